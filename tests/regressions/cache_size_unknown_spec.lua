-- Where the system would not say how large a cache is that had just been opened, training ended
-- with an internal error: "attempt to perform arithmetic on field 'cache_bytes' (a nil value)".
local helper = require "helper"
local lfs = require "lfs"
local moonrank = require "moonrank"

describe("a cache whose size the system does not say", function()
  it("is a trouble with a message", function()
    local dir = helper.make_project { rows = 60 }
    local data = assert(moonrank.dataset(dir .. "/fields.yaml"))
    local look, asked = lfs.attributes, nil
    finally(function() lfs.attributes = look end)
    lfs.attributes = function(path, ...)
      if not path:find "/train%-%x+%.columns$" then return look(path, ...) end
      asked = path
      return nil, ("cannot obtain information from file '%s': Input/output error"):format(path), 5
    end
    local split, message = data:split "train"
    lfs.attributes = look
    helper.fails_with(asked .. ": Input/output error", split, message)
    assert.equal(60, assert(data:split "train"):samples())
  end)
end)
