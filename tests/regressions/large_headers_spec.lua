-- The header of a model file with very many keys kept the reader busy for minutes, and one with
-- very many values took gigabytes of memory.
local helper = require "helper"
local mr = require "moonrank.ffi"
local C = mr.C

local function refused(header)
  local length, rest = {}, #header
  for i = 1, 8 do length[i], rest = string.char(rest % 256), math.floor(rest / 256) end
  local path = helper.write(helper.temp_dir() .. "/model.mr", table.concat(length) .. header)
  local start = os.clock()
  local ok, message = mr.ok(C.mr_graph_open(mr.new "mr_graph *[1]", path, mr.new "char *[1]"))
  assert.is_nil(ok)
  assert.is_true(os.clock() - start < 5)
  return (message:gsub("^.*/model.mr: ", ""))
end

describe("a header", function()
  it("with hundreds of thousands of keys is refused at once", function()
    local keys = {}
    for i = 1, 300000 do keys[i] = ('"key%d":0'):format(i) end
    assert.equal("the header is damaged: it is no object, or has too many tensors",
      refused("{" .. table.concat(keys, ",") .. "}"))
    keys[#keys + 1] = '"key150000":1'
    assert.equal("damaged JSON: a key is there twice",
      refused("{" .. table.concat(keys, ",") .. "}"))
  end)

  it("with millions of values is refused", function()
    assert.equal("damaged JSON: it has too many values",
      refused('{"a":[' .. ("[],"):rep(5000000) .. "[]]}"))
  end)
end)
