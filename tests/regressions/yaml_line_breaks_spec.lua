-- Text with line ends of Unicode (U+0085) read back changed from the YAML that was written of it.
local yaml = require "moonrank.yaml"

describe("text written as YAML", function()
  it("reads back the same, whatever YAML takes for ends of lines or refuses", function()
    for _, text in ipairs {
      "a\194\133b", "a \194\133 b", "a\226\128\168b", "a\226\128\169 b",
      "\194\128", "\194\159x", "\239\191\190", "\239\191\191", "\127\1", "\239\187\191", "\194\160",
    } do
      local root = assert(yaml.parse(yaml.write { key = text }, "x.yaml"))
      assert.equal(text, yaml.plain(root).key)
    end
  end)
end)
