-- A configuration's value with line ends in it made a message of several lines.
local config = require "moonrank.config"
local helper = require "helper"
local yaml = require "moonrank.yaml"

describe("a message that quotes the file", function()
  it("is one line, whatever the file says", function()
    local path = helper.write(helper.temp_dir() .. "/fields.yaml", 'base: "a.\\n\\tyaml"\n')
    local ok, message = config.fields(path)
    assert.is_nil(ok)
    assert.equal(('%s:1:7: base "a.  yaml" cannot be read (%s: No such file or directory)'):format(
      path, path:gsub("fields.yaml$", "a.  yaml")), message)
    helper.fails_with('x.yaml:2:1: key "a b" is given twice, first in line 1',
      yaml.parse('"a\\nb": 1\n"a\\nb": 2\n', "x.yaml"))
  end)
end)
