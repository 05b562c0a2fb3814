-- Files of tensors: every change of a byte and every truncation is noticed.
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

-- Whether a file opens and loads; every failure must leave one line.
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

describe("a file of tensors", function()
  local path = helper.temp_dir() .. "/small.mr"
  local model = small_model()
  mr.check(C.mr_model_save(model, path, "about"))
  local text = helper.read(path)

  it("loads as it was written", function() assert.is_true(loads(path)) end)

  it("is refused when any byte has changed", function()
    for at = 0, #text - 1 do
      local byte = text:byte(at + 1)
      helper.write(path, text:sub(1, at) .. string.char((byte + 1 + at % 255) % 256)
        .. text:sub(at + 2))
      assert(not loads(path), "byte " .. at)
    end
  end)

  it("is refused at every length but its own", function()
    for length = 0, #text - 1 do
      helper.write(path, text:sub(1, length))
      assert(not loads(path), "length " .. length)
    end
    helper.write(path, text .. "\0")
    assert.is_false(loads(path))
  end)
end)
