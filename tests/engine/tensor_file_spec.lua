-- Files of tensors: every change of a byte and every truncation is noticed, when a file is loaded
-- and when it is mapped; headers that no writer of ours makes are refused.
local g = require "graph_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local C = mr.C

local function small_model()
  local schema = g.schema { { name = "id", type = "id" }, { name = "y", type = "label" } }
  local b = g.builder(schema)
  b:logloss(b:dense(b:lookup { column = "id", dim = 3 }, { out = 1 }), b:column { column = "y" })
  local model = g.model(b)
  local row = mr.new "float *[1]"
  for _, text in ipairs { "a", "b", "c" } do
    mr.check(C.mr_model_make_row(model, 0, g.key(schema, "id", text), row))
  end
  return model, b
end

-- Whether a file opens and loads, to go on training with; every failure must leave one line.
local function loads(path)
  local graph, about, model = mr.new "mr_graph *[1]", mr.new "char *[1]", mr.new "mr_model *[1]"
  if C.mr_graph_open(graph, path, about) < 0 then
    assert.truthy(mr.last_error():find "^[^\n]+$")
    return false
  end
  C.mr_text_free(about[0])
  mr.check(C.mr_model_new(model, graph[0], 1))
  local ok = C.mr_model_load(model[0], path) >= 0
  assert.truthy(ok or mr.last_error():find "^[^\n]+$")
  C.mr_model_free(model[0])
  C.mr_graph_free(graph[0])
  return ok
end

-- Whether it opens to predict.
local function opens(path)
  local graph, about, model = mr.new "mr_graph *[1]", mr.new "char *[1]", mr.new "mr_model *[1]"
  if C.mr_model_open(model, graph, path, about) < 0 then
    assert.truthy(mr.last_error():find "^[^\n]+$")
    return false
  end
  C.mr_text_free(about[0])
  C.mr_model_free(model[0])
  C.mr_graph_free(graph[0])
  return true
end

-- Removed first: a file system may sync what replaces the contents of a file.
local function write(path, text)
  os.remove(path)
  helper.write(path, text)
end

describe("a file of tensors", function()
  local path = helper.temp_dir() .. "/small.mr"
  local model = small_model()
  mr.check(C.mr_model_save(model, path, "about"))
  local text = helper.read(path)

  local function refused(what)
    assert(not loads(path), what)
    assert(not opens(path), what .. ", mapped")
  end

  it("loads as it was written, also through a link", function()
    assert.is_true(loads(path) and opens(path))
    local link = helper.temp_dir() .. "/link"
    assert(require "lfs".link(path, link, true))
    assert.is_true(loads(link) and opens(link))
  end)

  it("is refused when any byte has changed", function()
    for at = 0, #text - 1 do
      local byte = text:byte(at + 1)
      write(path, text:sub(1, at) .. string.char((byte + 1 + at % 255) % 256) .. text:sub(at + 2))
      refused("byte " .. at)
    end
  end)

  it("is refused at every length but its own", function()
    for length = 0, #text - 1 do
      write(path, text:sub(1, length))
      refused("length " .. length)
    end
    write(path, text .. "\0")
    refused "longer"
  end)
end)

-- ---- headers ----

describe("the header of a file of tensors", function()
  local path = helper.temp_dir() .. "/header.mr"

  -- 8 bytes, little endian.
  local function length_of(n)
    return mr.string(mr.new("uint64_t[1]", n), 8)
  end

  local function refused(message, header, data)
    if type(header) == "string" then header = { length = length_of(#header), text = header } end
    write(path, header.length .. header.text .. (data or ""))
    assert.is_false(loads(path))
    assert.equal(path .. ": " .. message, mr.last_error())
    assert.is_false(opens(path))
    assert.equal(path .. ": " .. message, mr.last_error())
  end

  -- The member of a tensor of floats.
  local function floats(name, first, last, shape)
    return ('"%s":{"dtype":"F32","shape":%s,"data_offsets":[%s,%s]}'):format(name,
      shape or ("[%d]"):format((last - first) / 4), first, last)
  end

  local function object(...) return "{" .. table.concat({ ... }, ",") .. "}" end

  local gap = "the header is damaged: a tensor is not where the one before it ends, or has another "
    .. "size"

  it("must be as long as it says", function()
    local wrong = "the header is damaged: its length is wrong"
    for _, length in ipairs { 3ULL, 1000ULL, 2ULL ^ 32, 2ULL ^ 63, 0xffffffffffffffffULL,
      0xfffffffffffffff8ULL } do
      refused(wrong, { length = length_of(length), text = "{}" })
    end
    refused("damaged JSON: a broken number", { length = length_of(0), text = "{}" })
    refused("damaged JSON: an unexpected character", { length = length_of(1), text = "{}" })
  end)

  it("must be an object of tensors with a name and three fields", function()
    refused("the header is damaged: it is no object, or has too many tensors", "[]")
    local fields = "the header is damaged: a tensor without a name, or with other than three fields"
    refused(fields, object(floats("", 0, 4)), "abcd")
    refused(fields, object(floats(("n"):rep(256), 0, 4)), "abcd")
    refused(fields, object '"a":1')
    refused(fields, object '"a":{"dtype":"F32","shape":[1]}', "abcd")
    refused(fields, object '"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":0}', "abcd")
    refused('"shape" is of the wrong kind',
      object '"a":{"dtype":"F32","shape":4,"data_offsets":[0,4]}', "abcd")
    refused('"dtype" is missing', object '"a":{"type":"F32","shape":[1],"data_offsets":[0,4]}',
      "abcd")
    refused("the header is damaged: metadata that is no text", object '"__metadata__":{"a":1}')
    local many = {}
    for i = 1, 65537 do many[i] = floats("t" .. i, 0, 0) end
    refused("the header is damaged: it is no object, or has too many tensors",
      "{" .. table.concat(many, ",") .. "}")
  end)

  it("must not say a thing twice", function()
    refused("damaged JSON: a key is there twice", object(floats("a", 0, 4), floats("a", 4, 8)),
      "abcdefgh")
    refused("damaged JSON: a key is there twice",
      object '"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"dtype":"U8"}', "abcd")
  end)

  it("must place tensors side by side, without hole or overlap, up to the end", function()
    refused(gap, object(floats("a", 0, 4), floats("b", 8, 12)), "abcdefghijkl")
    refused(gap, object(floats("a", 0, 8), floats("b", 4, 12)), "abcdefghijkl")
    refused(gap, object(floats("a", 4, 8), floats("b", 0, 4)), "abcdefgh")
    refused(gap, object(floats("a", 8, 4, "[1]")), "abcdefgh")
    refused(gap, object(floats("a", 0, 4, "[2]")), "abcd")
    refused(gap, object(floats("a", 4, 8)), "abcdefgh")
    local rest = "the header is damaged: the file is longer or shorter than its tensors"
    refused(rest, object(floats("a", 0, 4)), "abcdefgh")
    refused(rest, object(floats("a", 0, 8)), "abcd")
    refused(rest, object(), "abcd")
  end)

  it("must have sizes that are whole, small and of at most two dimensions", function()
    local whole = "a number is not whole or out of range"
    refused(whole, object(floats("a", 0, 4, "[-1]")), "abcd")
    refused(whole, object(floats("a", 0, 4, "[0.5]")), "abcd")
    refused(whole, object(floats("a", 0, 4, "[1e300]")), "abcd")
    refused(whole, object(floats("a", -4, 0, "[1]")), "abcd")
    refused('tensor "a": its size overflows', object(floats("a", 0, 4,
      "[4503599627370496,4503599627370496]")), "abcd")
    refused("the header is damaged: a tensor of more than two dimensions",
      object(floats("a", 0, 4, "[1,1,1]")), "abcd")
  end)

  it("must have the sums of all, as the last tensor", function()
    local none = "its last tensor is not the sums of the others"
    refused(none, object())
    refused(none, object(floats("a", 0, 4)), "abcd")
    refused(none, object(floats("sums", 0, 16, "[2,2]")), ("x"):rep(16))
    local sums = '"sums":{"dtype":"I64","shape":[%d,2],"data_offsets":[%d,%d]}'
    refused(none, object(sums:format(0, 0, 0)))
    refused(none, object(sums:format(2, 0, 32)), ("x"):rep(32))
    refused(none, object(sums:format(1, 0, 16), floats("a", 16, 20)), ("x"):rep(20))
    refused('the bytes of "header" have changed since they were written',
      object(sums:format(1, 0, 16)), ("x"):rep(16))
  end)
end)
