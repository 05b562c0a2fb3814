-- A configuration whose reading failed was taken to be empty ("fields is missing"), and a model
-- script's ended in an internal error.
local helper = require "helper"
local script = require "moonrank.script"
local yaml = require "moonrank.yaml"

describe("a file that can be opened and not read", function()
  -- The first page of a program's memory is nobody's.
  local function unreadable(name)
    local path = helper.temp_dir() .. "/" .. name
    assert(require "lfs".link("/proc/self/mem", path, true))
    return path
  end

  it("is no empty configuration", function()
    local path = unreadable "fields.yaml"
    helper.fails_with(path .. ": Input/output error", yaml.read(path))
  end)

  it("is no model script", function()
    local path = unreadable "model.lua"
    helper.fails_with(path .. ": Input/output error", script.load(path))
  end)
end)
