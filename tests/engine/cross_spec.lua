-- The op cross: an example worked by hand and the published formula as a slow loop, values and
-- gradients, also where both inputs are one. ops_spec checks its gradient by differences.
local g = require "graph_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local C = mr.C

local function filled(n, f)
  local list = {}
  for i = 1, n do list[i] = f(i) end
  return list
end

-- One row through a cross layer, probed by r: y, and the gradients of all that goes in. Where `x`
-- is nil, x0 is both inputs.
local function run(x0, x, w, bias, r)
  local n = #x0
  local schema = g.schema { { name = "x0", type = "vector", width = n },
    { name = "x", type = "vector", width = n }, { name = "r", type = "vector", width = n } }
  local b = g.builder(schema)
  local first = b:column { column = "x0" }
  local second = x and b:column { column = "x" } or first
  b:watch(first)
  b:watch(second)
  local y = b:cross(first, second, { name = "c" })
  b:probe(y, b:column { column = "r" })
  local batch, model = g.batch(schema, 1), g.model(b)
  for name, values in pairs { x0 = x0, x = x or x0, r = r } do
    g.fill(batch, schema, name, n, function(i) return values[i + 1] end)
  end
  for i = 1, n do
    g.weight(model, "c.weight")[i - 1] = w[i]
    g.weight(model, "c.bias")[i - 1] = bias[i]
  end
  mr.check(C.mr_model_changed(model))
  local train = g.run(model)
  g.gradient(train, batch)
  local function list(p) return filled(n, function(i) return p[i - 1] end) end
  local function of_weight(name)
    local _, _, _, index = g.weight(model, name)
    return list(C.mr_run_weight_gradient(train.handle, index))
  end
  return { y = list(g.predict(model, train.pool, batch, y, 1)),
    dx0 = list(C.mr_run_watched(train.handle, first.id)),
    dx = list(C.mr_run_watched(train.handle, second.id)),
    dw = of_weight "c.weight", db = of_weight "c.bias" }
end

-- Wang et al. 2017, eq. 3, with x0 x^T as the matrix that it is; and its derivative by entries.
local function slow(x0, x, w, bias, r)
  local n = #x0
  local result = { y = {}, dx0 = {}, dx = {}, dw = {}, db = r }
  for i = 1, n do
    result.y[i] = bias[i] + x[i]
    for j = 1, n do result.y[i] = result.y[i] + x0[i] * x[j] * w[j] end
  end
  for i = 1, n do
    result.dx0[i], result.dx[i], result.dw[i] = 0, r[i], 0
    for j = 1, n do
      result.dx0[i] = result.dx0[i] + r[i] * x[j] * w[j]
      result.dx[i] = result.dx[i] + r[j] * x0[j] * w[i]
      result.dw[i] = result.dw[i] + r[j] * x0[j] * x[i]
    end
  end
  return result
end

describe("cross", function()
  after_each(function() C.mr_isa_set "auto" end)

  it("has the values and gradients of an example worked by hand", function()
    -- s = 3 * 1 + -1 * 2 = 1; ds = 1 * 2 + 2 * 4 = 10.
    assert.same({ y = { 2 + 0.5 + 3, 4 - 1 - 1 }, dx0 = { 1, 2 }, dx = { 1 + 10, 2 + 20 },
      dw = { 30, -10 }, db = { 1, 2 } },
      run({ 2, 4 }, { 3, -1 }, { 1, 2 }, { 0.5, -1 }, { 1, 2 }))
  end)

  it("is the published formula at any width, in every kernel family", function()
    for _, family in ipairs(g.families()) do
      mr.check(C.mr_isa_set(family))
      local random = helper.random(2)
      local function draw() return math.floor(random() * 64 - 32) / 32 end
      for _, n in ipairs { 1, 2, 7, 16, 17, 40, 101 } do
        local x0, x, w = filled(n, draw), filled(n, draw), filled(n, draw)
        local bias, r = filled(n, draw), filled(n, draw)
        local got = run(x0, x, w, bias, r)
        for name, want in pairs(slow(x0, x, w, bias, r)) do
          helper.all_near(want, got[name], 2e-5)
        end
      end
    end
  end)

  it("of one value with itself gives it both gradients", function()
    local random = helper.random(6)
    local function draw() return math.floor(random() * 64 - 32) / 32 end
    local x, w, bias, r = filled(21, draw), filled(21, draw), filled(21, draw), filled(21, draw)
    local want, got = slow(x, x, w, bias, r), run(x, nil, w, bias, r)
    helper.all_near(want.y, got.y, 1e-5)
    helper.all_near(filled(21, function(i) return want.dx0[i] + want.dx[i] end), got.dx0, 1e-5)
    helper.all_near(want.dw, got.dw, 1e-5)
  end)

  it("refuses inputs of two widths", function()
    local schema = g.schema { { name = "a", type = "vector", width = 3 },
      { name = "b", type = "vector", width = 4 } }
    local b = g.builder(schema)
    helper.raises("cross: x is 4 wide, x0 is 3 wide", function()
      b:cross(b:column { column = "a" }, b:column { column = "b" })
    end)
  end)
end)
