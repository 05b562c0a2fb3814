-- The op mixture: LS-PLM's worked numbers, and saturated gates and fits.
local g = require "graph_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local C = mr.C

-- x [2m] of one sample -> mixture -> logloss: the loss, dloss/dx, the logit.
local function case(x, label)
  local schema = g.schema { { name = "x", type = "vector", width = #x },
    { name = "click", type = "label" } }
  local b = g.builder(schema)
  local input = b:column { column = "x" }
  b:watch(input)
  local y = b:mixture(input)
  b:logloss(y, b:column { column = "click" })
  local batch = g.batch(schema, 1)
  g.fill(batch, schema, "x", #x, function(i) return x[i + 1] end)
  g.fill(batch, schema, "click", 1, function() return label end)
  local model = g.model(b)
  local run = g.run(model, { batch = 1 })
  local loss, gradient = g.gradient(run, batch), {}
  for i = 1, #x do gradient[i] = C.mr_run_watched(run.handle, input.id)[i - 1] end
  return loss, gradient, g.predict(model, run.pool, batch, y, 1)[0]
end

-- The formula as the paper has it, in double: p, where nothing overflows.
local function probability(x)
  local m, sum, p = #x / 2, 0, 0
  for i = 1, m do sum = sum + math.exp(x[i]) end
  for i = 1, m do p = p + math.exp(x[i]) / sum / (1 + math.exp(-x[m + i])) end
  return p
end

describe("mixture", function()
  it("has the loss and the gradient of an example worked by hand", function()
    -- Weights (u1, u2, w1, w2) of two features: (.5, -.5, 1, -2), (.2, .1, -1, .9); x = (1, 2).
    local x = { 0.9, -0.3, -1, -0.2 }
    local loss, gradient, logit = case(x, 1)
    helper.all_near({ 1.16831477, 0.31089042 }, { loss, 1 / (1 + math.exp(-logit)) }, 1e-7)
    helper.all_near({ 0.10369842, -0.10369842, -0.48602702, -0.18428986 }, gradient, 1e-7)
    loss, gradient = case(x, 0)
    helper.all_near({ 0.37235498 }, { loss }, 1e-7)
    helper.all_near({ -0.04678334, 0.04678334, 0.21927012, 0.08314201 }, gradient, 1e-7)
  end)

  it("is exact where gate and fit are saturated", function()
    local x = { 800, -800, -900, 700 }
    local loss, gradient, logit = case(x, 1)
    assert.same({ 900, -900 }, { loss, logit })
    assert.same({ 0, 0, -1, 0 }, gradient)
    loss, gradient = case(x, 0)
    assert.same({ 0, { 0, 0, 0, 0 } }, { loss, gradient })
    -- The gate against the only region that explains the click: its share is all of the gradient.
    loss, gradient = case({ 50, -50, -200, 30 }, 1)
    helper.all_near({ 100 }, { loss }, 1e-4)
    helper.all_near({ 1, -1, 0, 0 }, gradient, 1e-6)
  end)

  it("is the published formula for any number of regions", function()
    local random = helper.random(4)
    for m = 1, 40 do
      local x = {}
      for i = 1, 2 * m do x[i] = 12 * random() - 6 end
      local loss, _, logit = case(x, 1)
      local p = probability(x)
      helper.all_near({ math.log(p / (1 - p)), -math.log(p) }, { logit, loss }, 5e-6)
    end
  end)

  it("of one region is that region's fit", function()
    local _, gradient, logit = case({ 123, -1.5 }, 0)
    helper.all_near({ -1.5 }, { logit }, 1e-6)
    helper.all_near({ 0, 1 / (1 + math.exp(1.5)) }, gradient, 1e-7)
  end)

  it("refuses a width that is no gates and fits", function()
    local schema = g.schema { { name = "x", type = "vector", width = 3 } }
    local b = g.builder(schema)
    helper.raises("mixture: x is 3 wide, expected an even number 2 to 128: gates, then fits",
      function() b:mixture(b:column { column = "x" }) end)
  end)
end)

describe("sum", function()
  it("adds vectors side by side, column by column", function()
    local schema = g.schema { { name = "x", type = "vector", width = 12 } }
    local b = g.builder(schema)
    local y = b:sum(b:column { column = "x" }, { dim = 4 })
    helper.raises("sum: x is 12 wide, which is not a multiple of dim 5",
      function() b:sum(b:column { column = "x" }, { dim = 5 }) end)
    local batch = g.batch(schema, 2)
    g.fill(batch, schema, "x", 24, function(i) return i end)
    local values = g.predict(g.model(b), require "moonrank.pool".new(1), batch, y, 2)
    for r = 0, 1 do
      for d = 0, 3 do assert.equal(3 * (12 * r + d) + 4 + 8, values[4 * r + d]) end
    end
  end)
end)
