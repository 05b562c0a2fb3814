-- Rows with weights: in the metrics (engine/src/metric) and in the loss (ops/logloss). A row of
-- weight 2 is the row twice; other weights are held against a count over all pairs of rows.
local g = require "graph_helper"
local helper = require "helper"
local metric = require "moonrank.metric"
local mr = require "moonrank.ffi"
local C = mr.C

local floats, keys = helper.floats, helper.keys

-- Rows with ties; whole weights from 0 to 3, or any.
local function draw(seed, n, whole)
  local random = helper.random(seed)
  local rows = { n = n, scores = {}, second = {}, labels = {}, groups = {}, weights = {} }
  for i = 1, n do
    rows.scores[i], rows.second[i] = (random(16) - 8) / 8, (random(16) - 8) / 8
    rows.labels[i], rows.groups[i] = random(3) == 1 and 1 or 0, random(7)
    rows.weights[i] = whole and random(4) - 1 or random(1000) / 256
  end
  return rows
end

local function repeated(rows)
  local out = { n = 0, scores = {}, second = {}, labels = {}, groups = {} }
  for i = 1, rows.n do
    for _ = 1, rows.weights[i] do
      out.n = out.n + 1
      for _, name in ipairs { "scores", "second", "labels", "groups" } do
        out[name][out.n] = rows[name][i]
      end
    end
  end
  return out
end

local function figures(rows, pool)
  local s, l, w = floats(rows.scores), floats(rows.labels), rows.weights and floats(rows.weights)
  local f = assert(metric.logloss(s, l, rows.n, pool, w))
  f.auc = assert(metric.auc(s, l, rows.n, pool, w))
  local of_groups = assert(metric.gauc(s, l, keys(rows.groups), rows.n, pool, w))
  f.gauc, f.gauc_by_clicks = of_groups.gauc, of_groups.gauc_by_clicks
  return f
end

local NAMES = { "logloss", "calibration", "mean_label", "mean_probability", "auc", "gauc",
  "gauc_by_clicks" }

local function slow_auc(rows, group)
  local won, all, sum, clicks = 0, 0, 0, 0
  for i = 1, rows.n do
    if not group or rows.groups[i] == group then
      sum = sum + rows.weights[i]
      clicks = clicks + rows.weights[i] * rows.labels[i]
      for j = 1, rows.n do
        if rows.labels[i] == 1 and rows.labels[j] == 0
          and (not group or rows.groups[j] == group) then
          local w = rows.weights[i] * rows.weights[j]
          all = all + w
          if rows.scores[i] > rows.scores[j] then won = won + w end
          if rows.scores[i] == rows.scores[j] then won = won + w / 2 end
        end
      end
    end
  end
  return won / all, sum, clicks
end

describe("weights of rows in figures", function()
  it("that are whole count rows so often", function()
    for seed = 1, 20 do
      local rows = draw(seed, 60, true)
      local expected, got = figures(repeated(rows)), figures(rows)
      for _, name in ipairs(NAMES) do assert.near(expected[name], got[name], 1e-12, name) end
    end
  end)

  it("give AUC and GAUC of all pairs of rows, each the product of its weights", function()
    for seed = 1, 10 do
      local rows = draw(seed, 80)
      local got = figures(rows)
      assert.near(slow_auc(rows), got.auc, 1e-12)
      local won, clicks_won, all, all_clicks = 0, 0, 0, 0
      for group = 1, 7 do
        local auc, sum, clicks = slow_auc(rows, group)
        if auc == auc then
          won, all = won + auc * sum, all + sum
          clicks_won, all_clicks = clicks_won + auc * clicks, all_clicks + clicks
        end
      end
      assert.near(won / all, got.gauc, 1e-12)
      assert.near(clicks_won / all_clicks, got.gauc_by_clicks, 1e-12)
    end
  end)

  it("give the same bits for any order of the rows and any threads", function()
    local rows, random = draw(3, 500), helper.random(9)
    local before = figures(rows)
    for i = rows.n, 2, -1 do
      local j = random(i)
      for _, name in ipairs { "scores", "labels", "groups", "weights" } do
        rows[name][i], rows[name][j] = rows[name][j], rows[name][i]
      end
    end
    local pool = require "moonrank.pool".new(3)
    local after = figures(rows, pool.handle)
    for _, name in ipairs { "auc", "gauc", "gauc_by_clicks" } do
      assert.equal(before[name], after[name])
    end
    pool:close()
  end)

  it("that are all 1 change nothing, and of 0 leave a row out", function()
    local rows = draw(5, 200)
    for i = 1, rows.n do rows.weights[i] = 1 end
    local with = figures(rows)
    rows.weights = nil
    local without = figures(rows)
    for _, name in ipairs(NAMES) do assert.near(without[name], with[name], 1e-14) end
    local loss = metric.logloss(floats { math.huge, 0 }, floats { 0, 1 }, 2, nil, floats { 0, 1 })
    assert.near(math.log(2), loss.logloss, 1e-15)
    loss = metric.logloss(floats { 1 }, floats { 1 }, 1, nil, floats { 0 })
    assert.is_true(loss.logloss ~= loss.logloss)
  end)

  it("compare two models as if rows came so often", function()
    local rows = draw(8, 300, true)
    -- No 0: groups then come in the same order, and so do the draws.
    for i = 1, rows.n do rows.weights[i] = math.max(rows.weights[i], 1) end
    local function compare(r)
      return assert(metric.compare(floats(r.scores), floats(r.second), floats(r.labels),
        keys(r.groups), r.n, { draws = 50, weights = r.weights and floats(r.weights) }))
    end
    local of_weights, of_repeats = compare(rows), compare(repeated(rows))
    for _, figure in ipairs { "auc", "gauc", "logloss" } do
      for _, name in ipairs { "first", "second", "low", "high", "p" } do
        assert.near(of_repeats[figure][name], of_weights[figure][name], 1e-12)
      end
    end
  end)

  it("are refused outside of 0 to 1e9", function()
    for _, case in ipairs { { -1, "-1" }, { 2e9, "2e+09" }, { 0 / 0, "nan" } } do
      local weight, shown = case[1], case[2]
      helper.raises(("row 2: weight is %s, expected 0 to 1e9"):format(shown), function()
        local ok, message = pcall(metric.auc, floats { 1, 2 }, floats { 0, 1 }, 2, nil,
          floats { 1, weight })
        error((message:gsub("%-nan", "nan")), ok and 1 or 0)
      end)
    end
  end)
end)

describe("weights of rows in the loss", function()
  local columns = { { name = "click", type = "label" }, { name = "x", type = "number" },
    { name = "w", type = "weight" } }

  -- Loss and gradient of a linear model's weight over rows { x, click, w }.
  local function gradient_of(rows, weighted)
    local schema = g.schema(weighted and columns or { columns[1], columns[2] })
    local m = g.builder(schema)
    local z = m:dense(m:column { column = "x" }, { out = 1, name = "d" })
    m:logloss(z, m:column { column = "click" })
    local run = g.run(g.model(m, 3))
    local batch = g.batch(schema, #rows)
    g.fill(batch, schema, "x", #rows, function(i) return rows[i + 1][1] end)
    g.fill(batch, schema, "click", #rows, function(i) return rows[i + 1][2] end)
    if weighted then g.fill(batch, schema, "w", #rows, function(i) return rows[i + 1][3] end) end
    local loss = g.gradient(run, batch)
    return loss, C.mr_run_weight_gradient(run.handle, 0)[0] * #rows
  end

  it("are as if rows came so often", function()
    local random, rows, all = helper.random(4), {}, {}
    for i = 1, 30 do
      rows[i] = { random() * 4 - 2, random(2) - 1, random(4) - 1 }
      for _ = 1, rows[i][3] do all[#all + 1] = rows[i] end
    end
    local loss, gradient = gradient_of(rows, true)
    local expected_loss, expected_gradient = gradient_of(all, false)
    assert.near(expected_loss, loss, 1e-10)
    assert.near(expected_gradient, gradient, 2e-5)
  end)

  it("are 1 in a batch filled by hand until they are set", function()
    local schema = g.schema(columns)
    local batch = g.batch(schema, 3)
    helper.all_near({ 1, 1, 1 }, C.mr_batch_floats(batch, 2), 0)
  end)
end)
