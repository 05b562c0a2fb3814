-- The builder's methods end in tail calls, which leave no frame on the stack: errors that counted
-- frames lost the script's line. A nil in the middle of a list of inputs was dropped silently.
local g = require "graph_helper"

local function builder()
  local b = g.builder(g.schema { { name = "x", type = "vector", width = 2 } })
  return b, b:column { column = "x" }
end

local function line_and_message(f, ...)
  local ok, message = pcall(f, ...)
  assert.is_false(ok)
  return message
end

describe("an error of the builder", function()
  it("names the line of the script, whether or not the call is in tail position", function()
    local b, x = builder()
    local line = debug.getinfo(1, "l").currentline
    local message = line_and_message(function()
      b:dense(x)
      return true
    end)
    assert.equal(("tests/regressions/script_line_spec.lua:%d: dense: option \"out\" is missing")
      :format(line + 2), message)
    message = line_and_message(function()
      local block = function() b:mlp(x, { hiden = { 3 } }) return 1 end
      return block() + 1
    end)
    assert.equal(("tests/regressions/script_line_spec.lua:%d: mlp: unknown option \"hiden\"; "
      .. "did you mean \"hidden\"?")
      :format(line + 8), message)
  end)

  it("is raised for a hole in a list of inputs", function()
    local b, x = builder()
    local message = line_and_message(function()
      b:concat { x, nil, x }
      return true
    end)
    assert.truthy(message:find("concat: input 2 is nil, expected a value of the graph", 1, true))
  end)
end)
