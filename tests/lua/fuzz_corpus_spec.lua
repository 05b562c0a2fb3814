-- The committed inputs of the fuzz targets written in Lua; CTest runs those of the others.
local helper = require "helper"

describe("the fuzz target", function()
  for _, target in ipairs { "about", "yaml" } do
    it(target .. " finds nothing in its committed inputs", function()
      local status, out, err = helper.shell(("luajit tests/fuzz/%s_fuzz.lua replay"):format(target))
      assert.same({ 0, "" }, { status, err }, out)
      assert.truthy(out:find "^%d+ inputs\n$")
    end)
  end
end)
