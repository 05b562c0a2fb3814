-- Models: how weights start, views of weights and tables, copies; and asking for what is not there.
local g = require "graph_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local C = mr.C

local function new_builder(schema)
  local b = g.builder(schema or g.schema { { name = "ad", type = "id" },
    { name = "x", type = "vector", width = 50 } })
  local x = b:dense(b:column { column = "x" }, { out = 200, name = "glorot", offset = 0.5 })
  x = b:dense(x, { out = 300, name = "normal", start = "normal", scale = 0.25 })
  x = b:batch_norm(x, { name = "norm" })
  local ad = b:concat { b:lookup { column = "ad", dim = 3 },
    b:lookup { column = "ad", dim = 1, part = "linear", start = "zero" } }
  b:probe(b:dense(b:concat { x, ad }, { out = 50, name = "out" }), b:column { column = "x" })
  return b
end

local function moments(p, n)
  local sum, squares, most = 0, 0, 0
  for i = 0, n - 1 do
    sum, squares, most = sum + p[i], squares + p[i] ^ 2, math.max(most, math.abs(p[i]))
  end
  return sum / n, squares / n, most
end

local function row_of(model, key)
  local row = mr.new "float *[1]"
  mr.check(C.mr_model_make_row(model, 0, key, row))
  return row[0]
end

local function bytes(p, n) return mr.string(mr.cast("const char *", p), 4 * n) end

describe("weights start", function()
  local b = new_builder()
  local model = g.model(b, 3)

  it("uniform within sqrt(6 / (in + out)), or normal, as asked; the rest constant", function()
    local limit = math.sqrt(6 / 250)
    local mean, square, most = moments(g.weight(model, "glorot.weight"), 50 * 200)
    assert(math.abs(mean) < 6 * limit / math.sqrt(3 * 10000), mean)
    assert(math.abs(square / (limit ^ 2 / 3) - 1) < 0.06, square)
    assert(most <= limit * (1 + 1e-6) and most > 0.999 * limit, most)
    mean, square, most = moments(g.weight(model, "normal.weight"), 200 * 300)
    assert(math.abs(mean) < 6 * 0.25 / math.sqrt(60000), mean)
    assert(math.abs(square / 0.0625 - 1) < 0.04, square)
    assert(most > 0.9, most)
    for name, value in pairs { ["glorot.bias"] = 0.5, ["normal.bias"] = 0, ["norm.gamma"] = 1,
      ["norm.beta"] = 0, ["norm.moving_mean"] = 0, ["norm.moving_variance"] = 1 } do
      local w, _, columns = g.weight(model, name)
      for i = 0, columns - 1 do assert.equal(value, w[i]) end
    end
  end)

  it("the same from the same seed and name, whatever else the graph has", function()
    local w = bytes(g.weight(model, "glorot.weight"), 10000)
    local again = g.model(b, 3)
    assert.is_true(w == bytes(g.weight(again, "glorot.weight"), 10000))
    local other = g.model(b, 4)
    assert.is_false(w == bytes(g.weight(other, "glorot.weight"), 10000))
    local small = g.builder(g.schema { { name = "x", type = "vector", width = 50 } })
    small:dense(small:column { column = "x" }, { out = 200, name = "glorot" })
    local alone = g.model(small, 3)
    assert.is_true(w == bytes(g.weight(alone, "glorot.weight"), 10000))
    local renamed = g.builder(g.schema { { name = "x", type = "vector", width = 50 } })
    renamed:dense(renamed:column { column = "x" }, { out = 200, name = "otherwise" })
    local named = g.model(renamed, 3)
    assert.is_false(w == bytes(g.weight(named, "otherwise.weight"), 10000))
  end)
end)

describe("views of a model", function()
  local b = new_builder()
  local model = g.model(b)

  it("tell weights, tables and parts", function()
    local param, info, part = mr.new "mr_param_info", mr.new "mr_table_info", mr.new "mr_part_info"
    mr.check(C.mr_model_param(model, 0, param))
    assert.same({ "glorot.weight", 50, 200, 1 },
      { mr.string(param.name), param.rows, param.columns, param.trained })
    assert.equal(1, C.mr_model_tables(model))
    row_of(model, 9)
    mr.check(C.mr_model_table(model, 0, info))
    assert.same({ "ad", 4, 2, 2 },
      { mr.string(info.name), info.width, info.n_parts, tonumber(info.rows) })
    mr.check(C.mr_model_part(model, 0, 1, part))
    assert.same({ "linear", 1, 3 }, { mr.string(part.name), part.dim, part.offset })
  end)

  it("give all rows, their keys ascending as unsigned numbers", function()
    local fresh = g.model(b)
    local high = 0xffffffffffffffffULL
    local wanted = { 0ULL, 3ULL, 77ULL, 0x8000000000000000ULL, high }
    for i, key in ipairs { 77, high, 3, 0x8000000000000000ULL } do row_of(fresh, key)[0] = i end
    local keys, values = mr.new "uint64_t[5]", mr.new "float[20]"
    mr.check(C.mr_model_export(fresh, 0, keys, values))
    for i, key in ipairs(wanted) do
      assert.is_true(keys[i - 1] == key)
      assert.is_true(bytes(values + 4 * (i - 1), 4) == bytes(row_of(fresh, key), 4))
    end
  end)

  it("say so when something is not there", function()
    local param, info, part = mr.new "mr_param_info", mr.new "mr_table_info", mr.new "mr_part_info"
    local row = mr.new "float *[1]"
    local n = C.mr_model_params(model)
    local function refused(message, status)
      assert.equal(C.MR_EINVAL, status)
      assert.equal(message, mr.last_error())
    end
    refused(("weight %d, but there are %d"):format(n, n), C.mr_model_param(model, n, param))
    refused("table 1, but there are 1", C.mr_model_table(model, 1, info))
    refused("table -1, but there are 1", C.mr_model_make_row(model, -1, 5, row))
    refused("part 2, but there are 2", C.mr_model_part(model, 0, 2, part))
    refused("table 7, but there are 1", C.mr_model_export(model, 7, nil, nil))
    assert.is_true(C.mr_model_weights(model, -1) == nil)
    assert.is_true(C.mr_model_row(model, 3, 0) == nil)
    assert.is_true(C.mr_model_row(model, 0, 123456) == nil)
  end)
end)

describe("mr_model_assign", function()
  it("takes over all weights and rows in place of its own", function()
    local b = new_builder()
    local from, to = g.model(b, 1), g.model(b, 2)
    for key = 1, 300 do row_of(from, key)[3] = key end
    row_of(to, 5)[3] = -1
    row_of(to, 999)[3] = 4711
    g.weight(from, "norm.moving_mean")[7] = 42
    g.run(to, { optimizer = "adam" }) -- rows of another layout
    mr.check(C.mr_model_assign(to, from))
    local info = mr.new "mr_param_info"
    for i = 0, C.mr_model_params(from) - 1 do
      mr.check(C.mr_model_param(from, i, info))
      local n = info.rows * info.columns
      assert.is_true(bytes(C.mr_model_weights(from, i), n) == bytes(C.mr_model_weights(to, i), n))
    end
    for key = 0, 300 do
      assert.is_true(bytes(row_of(from, key), 4) == bytes(row_of(to, key), 4))
    end
    assert.is_true(C.mr_model_row(to, 0, 999) == nil)
  end)

  it("refuses a model of another graph", function()
    local one, two = new_builder(), new_builder()
    local from, to = g.model(one), g.model(two)
    helper.raises("the two models are of different graphs",
      function() mr.check(C.mr_model_assign(to, from)) end)
  end)
end)
