-- Where the system would not say how large a cache is that had just been opened, or a text that a
-- sample is taken of, the command ended with an internal error: "attempt to perform arithmetic".
local helper = require "helper"
local lfs = require "lfs"
local moonrank = require "moonrank"

describe("a file whose size the system does not say", function()
  -- What f returns where nothing is told of the paths that match; and the one that was asked for.
  local function without_size(pattern, f)
    local look, asked = lfs.attributes, nil
    finally(function() lfs.attributes = look end)
    lfs.attributes = function(path, ...)
      if not path:find(pattern) then return look(path, ...) end
      asked = path
      return nil, ("cannot obtain information from file '%s': Input/output error"):format(path), 5
    end
    local value, message = f()
    lfs.attributes = look
    return asked, value, message
  end

  it("is a cache that cannot be used", function()
    local dir = helper.make_project { rows = 60 }
    local data = assert(moonrank.dataset(dir .. "/fields.yaml"))
    local asked, split, message = without_size("/train%-%x+%.columns$", function()
      return data:split "train"
    end)
    helper.fails_with(asked .. ": Input/output error", split, message)
    assert.equal(60, assert(data:split "train"):samples())
  end)

  it("is a text that no sample is taken of", function()
    local path = helper.write(helper.temp_dir() .. "/x.csv", ("1,2\n"):rep(1500000))
    local _, blocks, message = without_size("x%.csv$", function()
      return require "moonrank.text_sample".blocks(path)
    end)
    helper.fails_with(path .. ": Input/output error", blocks, message)
  end)
end)
