-- The op layer_norm: the published formula as a slow loop, an example worked by hand, and rows that
-- have nothing to divide by. Its gradient is checked in ops_spec.
local g = require "graph_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local C = mr.C

-- Rows of x, and what comes of them with a gain and a bias.
local function run(x, gain, bias, options)
  local width = #x[1]
  local schema = g.schema { { name = "x", type = "vector", width = width } }
  local b = g.builder(schema)
  options.name = "n"
  local y = b:layer_norm(b:column { column = "x" }, options)
  local batch, model = g.batch(schema, #x), g.model(b)
  g.fill(batch, schema, "x", #x * width, function(i)
    return x[math.floor(i / width) + 1][i % width + 1]
  end)
  for e = 1, width do
    assert.same({ 1, 0 }, { g.weight(model, "n.gain")[e - 1], g.weight(model, "n.bias")[e - 1] })
    g.weight(model, "n.gain")[e - 1] = gain[e]
    g.weight(model, "n.bias")[e - 1] = bias[e]
  end
  mr.check(C.mr_model_changed(model))
  local out, rows = g.predict(model, require "moonrank.pool".new(1), batch, y, #x), {}
  for r = 1, #x do
    rows[r] = {}
    for e = 1, width do rows[r][e] = out[(r - 1) * width + e - 1] end
  end
  return rows
end

-- Equations 3 and 4 of Ba et al. 2016, in double.
local function slow(row, gain, bias, eps)
  local mean, variance, y = 0, 0, {}
  for _, x in ipairs(row) do mean = mean + x / #row end
  for _, x in ipairs(row) do variance = variance + (x - mean) ^ 2 / #row end
  for e, x in ipairs(row) do
    y[e] = gain[e] * (x - mean) / math.sqrt(variance + eps) + bias[e]
  end
  return y
end

local function filled(n, f)
  local list = {}
  for i = 1, n do list[i] = f(i) end
  return list
end

describe("layer_norm", function()
  after_each(function() C.mr_isa_set "auto" end)

  it("has the values of an example worked by hand", function()
    -- 1, 3, 5, 7: mean 4, variance 5; with eps 1/4 it is 21/4, and 1 / sqrt(21/4) = 0.43643578.
    local rows = run({ { 1, 3, 5, 7 } }, { 1, 1, 2, -1 }, { 0, 1, 0, 0.5 }, { eps = 0.25 })
    helper.all_near({ -1.30930734, 0.56356422, 0.87287156, -0.80930734 }, rows[1], 1e-6)
  end)

  it("is the published formula at any width, in every kernel family", function()
    for _, family in ipairs(g.families()) do
      mr.check(C.mr_isa_set(family))
      local random = helper.random(8)
      for _, width in ipairs { 1, 2, 3, 15, 16, 17, 31, 64, 101 } do
        local function draw() return random() - 0.5 end
        local gain, bias = filled(width, draw), filled(width, draw)
        -- Rows of small and large numbers, and far from zero.
        local x = filled(5, function(r)
          return filled(width, function() return draw() * 10 ^ (r - 3) + (r == 3 and 8 or 0) end)
        end)
        for r, row in ipairs(run(x, gain, bias, {})) do
          for e = 1, width do x[r][e] = tonumber(mr.new("float", x[r][e])) end
          helper.all_near(slow(x[r], gain, bias, 1e-5), row, 2e-5)
        end
      end
    end
  end)

  it("of equal numbers is the bias", function()
    local gain, bias = filled(19, function() return 3 end), filled(19, function(e) return e / 4 end)
    assert.same(bias, run({ filled(19, function() return -2.5 end) }, gain, bias, {})[1])
    assert.same({ 0.75 }, run({ { 1e6 } }, { 2 }, { 0.75 }, {})[1])
  end)

  it("normalises each row for itself", function()
    local gain, bias = filled(6, function() return 1 end), filled(6, function() return 0 end)
    local row = { 0.5, -1, 2, 0.25, 3, 1 }
    local far = filled(6, function(e) return 1000 * e end)
    assert.same(run({ row }, gain, bias, {})[1], run({ far, row, far }, gain, bias, {})[2])
  end)
end)
