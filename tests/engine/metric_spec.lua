-- engine/src/metric through lua/moonrank/metric.lua: worked examples, brute force, edge values,
-- the same bits for any order of rows and any number of threads, every allocation failing.
local ffi = require "ffi"
local helper = require "helper"
local mr = require "moonrank.ffi"
local metric = require "moonrank.metric"

local C = mr.C
local NAN, INF = 0 / 0, math.huge

local floats, keys = helper.floats, helper.keys

local function auc(scores, labels) return metric.auc(floats(scores), floats(labels), #scores) end

local function gauc(scores, labels, groups, pool)
  return metric.gauc(floats(scores), floats(labels), keys(groups), #scores, pool)
end

local function is_nan(value) return value ~= value end

-- The eight bytes of a double, so that "equal" means the same bits, NaN included.
local function bits(value) return ffi.string(ffi.new("double[1]", value), 8) end

local function with_pool(threads, f)
  local out = ffi.new "mr_pool *[1]"
  mr.check(C.mr_pool_new(out, threads))
  local ok, message = pcall(f, out[0])
  C.mr_pool_free(out[0])
  if not ok then error(message, 0) end
end

-- ---- slow and independent: every pair of rows ----

local function pairs_won(scores, labels)
  local won, count = 0, 0
  for i = 1, #scores do
    for j = 1, #scores do
      if labels[i] == 1 and labels[j] == 0 then
        count = count + 1
        if scores[i] > scores[j] then won = won + 1 end
        if scores[i] == scores[j] then won = won + 0.5 end
      end
    end
  end
  return won, count
end

local function slow_auc(scores, labels)
  local won, count = pairs_won(scores, labels)
  return won / count
end

local function slow_gauc(scores, labels, groups)
  local rows_of, order = {}, {}
  for i, group in ipairs(groups) do
    if not rows_of[group] then
      rows_of[group] = { scores = {}, labels = {}, clicks = 0 }
      order[#order + 1] = group
    end
    local r = rows_of[group]
    r.scores[#r.scores + 1], r.labels[#r.labels + 1] = scores[i], labels[i]
    r.clicks = r.clicks + labels[i]
  end
  local s = { groups = #order, groups_used = 0, rows_used = 0, clicks = 0, won = 0, clicks_won = 0 }
  for _, group in ipairs(order) do
    local r = rows_of[group]
    local value = slow_auc(r.scores, r.labels)
    if value == value then
      s.groups_used = s.groups_used + 1
      s.rows_used, s.clicks = s.rows_used + #r.scores, s.clicks + r.clicks
      s.won, s.clicks_won = s.won + #r.scores * value, s.clicks_won + r.clicks * value
    end
  end
  s.gauc, s.gauc_by_clicks = s.won / s.rows_used, s.clicks_won / s.clicks
  return s
end

local function assert_gauc(expected, actual)
  assert.equal(expected.groups, actual.groups)
  assert.equal(expected.groups_used, actual.groups_used)
  assert.equal(expected.rows_used, actual.rows_used)
  if expected.groups_used == 0 then
    assert.is_true(is_nan(actual.gauc) and is_nan(actual.gauc_by_clicks))
  else
    assert.near(expected.gauc, actual.gauc, 1e-14)
    assert.near(expected.gauc_by_clicks, actual.gauc_by_clicks, 1e-14)
  end
end

-- ---- random rows ----

-- `levels` distinct scores at most, so small numbers make many ties. Scores are exact in float.
local function random_rows(random, n, levels, n_groups)
  local scores, labels, groups = {}, {}, {}
  local rate = random()
  for i = 1, n do
    scores[i] = (random(levels) - random(levels)) / 64
    labels[i] = random() < rate and 1 or 0
    groups[i] = random(n_groups)
  end
  return scores, labels, groups
end

local function shuffle(random, ...)
  local lists = { ... }
  for i = #lists[1], 2, -1 do
    local j = random(i)
    for _, list in ipairs(lists) do list[i], list[j] = list[j], list[i] end
  end
end

local big -- one million rows, made once: scores of many sizes, groups of power-law size
local function million_rows()
  if big then return big end
  local n, random = 1000000, helper.random(7)
  big = { n = n, scores = ffi.new("float[?]", n), labels = ffi.new("float[?]", n),
    groups = ffi.new("uint64_t[?]", n) }
  for i = 0, n - 1 do
    local u = random()
    big.labels[i] = random() < 0.2 and 1 or 0
    big.scores[i] = math.floor((u + 0.1 * big.labels[i]) * 50000) / 50000 * 8 - 6
    big.groups[i] = math.floor(random() ^ 4 * 20000)
  end
  return big
end

describe("the worked example", function()
  local scores = { .9, .2, .4, .4, .3, .7, .5, .6 }
  local labels = { 1, 0, 1, 0, 1, 0, 0, 0 }
  local groups = { 1, 1, 1, 1, 2, 2, 3, 3 }

  it("has an AUC of 0.5", function()
    local value, positives, negatives = auc(scores, labels)
    assert.equal(0.5, value)
    assert.equal(3, positives)
    assert.equal(5, negatives)
  end)

  it("has a GAUC of (4 x 0.875 + 2 x 0) / 6, the group of one class left out", function()
    local result = gauc(scores, labels, groups)
    assert.equal(3.5 / 6, result.gauc)
    assert.equal("0.583333", metric.text(result.gauc))
    assert.equal(2 * 0.875 / 3, result.gauc_by_clicks)
    assert.same({ 3, 2, 6 }, { result.groups, result.groups_used, result.rows_used })
  end)
end)

describe("AUC", function()
  it("equals the count over all pairs, with many ties and with few", function()
    local random = helper.random(1)
    for case = 1, 300 do
      local scores, labels = random_rows(random, random(60), case % 2 == 0 and 4 or 1000, 1)
      local expected, actual = slow_auc(scores, labels), auc(scores, labels)
      if is_nan(expected) then
        assert.is_true(is_nan(actual))
      else
        assert.near(expected, actual, 1e-15)
      end
    end
  end)

  it("is 1 for a perfect order, 0 for the opposite, 0.5 when all scores tie", function()
    assert.equal(1, (auc({ 1, 2, 3, 4 }, { 0, 0, 1, 1 })))
    assert.equal(0, (auc({ 4, 3, 2, 1 }, { 0, 0, 1, 1 })))
    assert.equal(0.5, (auc({ 7, 7, 7, 7, 7 }, { 0, 1, 1, 0, 1 })))
  end)

  it("is not defined for one class or no rows, and shows as a dash", function()
    for _, labels in ipairs { {}, { 1 }, { 0 }, { 1, 1, 1 }, { 0, 0 } } do
      local value, positives, negatives = auc(labels, labels)
      assert.is_true(is_nan(value))
      assert.equal(#labels, positives + negatives)
      assert.equal("-", metric.text(value))
    end
    local value, message = metric.auc(nil, nil, 0)
    assert.is_true(is_nan(value))
    assert.equal(0, message)
  end)

  it("orders infinities, denormals and both zeros as numbers", function()
    local tiny = 2 ^ -149
    local values = { -INF, -3.4e38, -1, -2 ^ -126, -2 * tiny, -tiny, 0, tiny, 2 * tiny, 2 ^ -126, 1,
      3.4e38, INF }
    for i = 1, #values do
      for j = 1, #values do
        local expected = i > j and 1 or i == j and 0.5 or 0
        assert.equal(expected, (auc({ values[i], values[j] }, { 1, 0 })))
      end
    end
    assert.equal(0.5, (auc({ -0.0, 0.0 }, { 1, 0 })))
    assert.equal(0.5, (auc({ 0.0, -0.0 }, { 1, 0 })))
  end)

  it("of a million rows equals a count by distinct score", function()
    local rows = million_rows()
    local by_score, distinct = {}, {}
    for i = 0, rows.n - 1 do
      local score = rows.scores[i]
      local cell = by_score[score]
      if not cell then
        cell = { [0] = 0, [1] = 0 }
        by_score[score], distinct[#distinct + 1] = cell, score
      end
      cell[rows.labels[i]] = cell[rows.labels[i]] + 1
    end
    table.sort(distinct)
    local twice_won, below, positives = 0, 0, 0 -- whole numbers under 2^53
    for _, score in ipairs(distinct) do
      local cell = by_score[score]
      twice_won = twice_won + cell[1] * (2 * below + cell[0])
      below, positives = below + cell[0], positives + cell[1]
    end
    assert.equal(twice_won / (2 * positives * below),
      (metric.auc(rows.scores, rows.labels, rows.n)))
  end)
end)

-- Rows are cut into parts from 65,536 on.
describe("AUC in parts", function()
  local n = 70000
  local function auc_of(score_of, label_of)
    local scores, labels = ffi.new("float[?]", n), ffi.new("float[?]", n)
    for i = 0, n - 1 do scores[i], labels[i] = score_of(i), label_of(i) end
    return metric.auc(scores, labels, n)
  end
  local function odd(i) return i % 2 end

  it("of one score is a half", function()
    assert.equal(0.5, (auc_of(function() return 3 end, odd)))
  end)

  it("of positives that all tie counts their run once", function()
    -- Negatives at 0, 2 .. n - 2, positives all at `at`.
    for _, at in ipairs { -1, 0, 34567, 34568, n - 2, n } do
      local below = math.min(math.max(math.ceil(at / 2), 0), n / 2)
      local tied = at % 2 == 0 and at >= 0 and at < n and 1 or 0
      assert.equal((below + tied / 2) / (n / 2),
        (auc_of(function(i) return i % 2 == 1 and at or i end, odd)))
    end
  end)

  it("with two positives alone finds all that lie below", function()
    local function two(i) return (i == 0 or i == n - 1) and 1 or 0 end
    -- The first has 100 of the n - 2 negatives below it, the last all of them.
    assert.equal((100 + n - 2) / (2 * (n - 2)),
      (auc_of(function(i) return i == 0 and 100.5 or i end, two)))
  end)
end)

describe("GAUC", function()
  it("equals the count over all pairs of every group", function()
    local random = helper.random(2)
    for case = 1, 300 do
      local n_groups = ({ 1, 3, 20 })[case % 3 + 1]
      local scores, labels, groups =
        random_rows(random, random(120), case % 2 == 0 and 3 or 1000, n_groups)
      assert_gauc(slow_gauc(scores, labels, groups), gauc(scores, labels, groups))
    end
  end)

  it("tells apart groups whose keys differ in one bit, 0 among them", function()
    local scores, labels, groups = {}, {}, {}
    local group_keys = { 0ULL }
    for bit = 0, 63 do group_keys[#group_keys + 1] = 2ULL ^ bit end
    for i, key in ipairs(group_keys) do
      for j = 1, 2 do
        scores[#scores + 1] = j
        labels[#labels + 1] = (i + j) % 2
        groups[#groups + 1] = key
      end
    end
    local result = gauc(scores, labels, groups)
    assert.same({ 65, 65, 130 }, { result.groups, result.groups_used, result.rows_used })
    assert.equal(33 / 65, result.gauc)
  end)

  it("of one group is its AUC, however large the group", function()
    local rows = million_rows()
    local one = ffi.new("uint64_t[?]", rows.n)
    local result = metric.gauc(rows.scores, rows.labels, one, rows.n)
    assert.near((metric.auc(rows.scores, rows.labels, rows.n)), result.gauc, 1e-15)
    assert.same({ 1, 1, rows.n }, { result.groups, result.groups_used, result.rows_used })
  end)

  it("of a million rows equals the AUC of each group taken alone", function()
    local rows = million_rows()
    local rows_of = {}
    for i = 0, rows.n - 1 do
      local group = tonumber(rows.groups[i])
      rows_of[group] = rows_of[group] or { scores = {}, labels = {} }
      local r = rows_of[group]
      r.scores[#r.scores + 1], r.labels[#r.labels + 1] = rows.scores[i], rows.labels[i]
    end
    local expected = { groups = 0, groups_used = 0, rows_used = 0 }
    expected.won, expected.clicks, expected.by_clicks = 0, 0, 0
    for _, r in pairs(rows_of) do
      local value, clicks = auc(r.scores, r.labels)
      expected.groups = expected.groups + 1
      if value == value then
        expected.groups_used = expected.groups_used + 1
        expected.rows_used = expected.rows_used + #r.scores
        expected.won = expected.won + #r.scores * value
        expected.clicks = expected.clicks + clicks
        expected.by_clicks = expected.by_clicks + clicks * value
      end
    end
    expected.gauc = expected.won / expected.rows_used
    expected.gauc_by_clicks = expected.by_clicks / expected.clicks
    local actual = metric.gauc(rows.scores, rows.labels, rows.groups, rows.n)
    assert.is_true(actual.groups_used < actual.groups)
    assert_gauc(expected, actual)
  end)

  it("is not defined without a group of both classes", function()
    for _, labels in ipairs { {}, { 1 }, { 0, 0, 1 } } do
      local groups = { 5, 5, 6 }
      for i = #groups, #labels + 1, -1 do groups[i] = nil end
      local result = gauc(labels, labels, groups)
      assert.is_true(is_nan(result.gauc) and is_nan(result.gauc_by_clicks))
      assert.equal(0, result.groups_used + result.rows_used)
    end
    assert.equal(2, gauc({ 1, 2, 3 }, { 0, 0, 1 }, { 5, 5, 6 }).groups)
  end)
end)

describe("logloss", function()
  local function losses(logits, labels)
    return metric.logloss(floats(logits), floats(labels), #logits)
  end
  local function losses_of_probabilities(ps, labels)
    return metric.logloss_of_probabilities(floats(ps), floats(labels), #ps)
  end

  it("of probabilities is worked by hand", function()
    local r = losses_of_probabilities({ 0.5, 0.25, 0.75, 0.125 }, { 1, 0, 1, 1 })
    assert.near((math.log(2) + 2 * math.log(4 / 3) + math.log(8)) / 4, r.logloss, 1e-15)
    assert.equal(1.625 / 3, r.calibration)
    assert.same({ 0.75, 1.625 / 4, 3 }, { r.mean_label, r.mean_probability, r.positives })
  end)

  it("of logits is worked by hand", function()
    -- sigmoid(log 3) = 3/4, sigmoid(-log 7) = 1/8; the logits are rounded to float
    local r = losses({ 0, math.log(3), -math.log(7) }, { 1, 0, 1 })
    assert.near((math.log(2) + math.log(4) + math.log(8)) / 3, r.logloss, 1e-7)
    assert.near((0.5 + 0.75 + 0.125) / 2, r.calibration, 1e-7)
  end)

  it("of logits stays exact where probabilities cannot", function()
    assert.near(100, losses({ 100 }, { 0 }).logloss, 1e-13)
    assert.near(math.exp(-100), losses({ 100 }, { 1 }).logloss, 1e-55)
    assert.near(1e30, losses({ -1e30 }, { 1 }).logloss, 1e23)
    assert.equal(0, losses({ -1e30 }, { 0 }).logloss)
  end)

  it("of infinite logits is 0 on the right side and infinite on the wrong one", function()
    local right = losses({ INF, -INF }, { 1, 0 })
    assert.same({ 0, 1, 0.5 }, { right.logloss, right.calibration, right.mean_probability })
    assert.equal(INF, losses({ INF }, { 0 }).logloss)
    assert.equal(INF, losses({ -INF, 1 }, { 1, 1 }).logloss)
  end)

  it("holds probabilities off 0 and 1 by 2^-23, the means untouched", function()
    local bound = 23 * math.log(2)
    for _, p in ipairs { 0, 2 ^ -149, 2 ^ -24, 2 ^ -23 } do
      assert.near(bound, losses_of_probabilities({ p }, { 1 }).logloss, 1e-13)
      assert.equal(p, losses_of_probabilities({ p }, { 1 }).mean_probability)
    end
    for _, p in ipairs { 1, 1 - 2 ^ -24, 1 - 2 ^ -23 } do
      assert.near(bound, losses_of_probabilities({ p }, { 0 }).logloss, 1e-13)
    end
    assert.near(2 ^ -23, losses_of_probabilities({ 0 }, { 0 }).logloss, 1e-13)
    assert.near(22 * math.log(2), losses_of_probabilities({ 2 ^ -22 }, { 1 }).logloss, 1e-13)
  end)

  it("has no figures for no rows and no calibration without positives", function()
    local empty = losses({}, {})
    assert.is_true(is_nan(empty.logloss) and is_nan(empty.calibration) and is_nan(empty.mean_label)
      and is_nan(empty.mean_probability))
    local r = losses({ 0, 0 }, { 0, 0 })
    assert.near(math.log(2), r.logloss, 1e-15)
    assert.is_true(is_nan(r.calibration))
  end)

  it("by that of the mean label is the normalised entropy of He et al.", function()
    -- One click in four, all given 1/4: what the mean label costs. Given 1/2: log 2 instead.
    local known = losses_of_probabilities({ 0.25, 0.25, 0.25, 0.25 }, { 0, 1, 0, 0 })
    assert.near(1, known.normalised_entropy, 1e-15)
    local half = losses({ 0, 0, 0, 0 }, { 0, 1, 0, 0 })
    assert.near(math.log(2) / (math.log(4) / 4 + 3 / 4 * math.log(4 / 3)), half.normalised_entropy,
      1e-15)
    assert.is_true(is_nan(losses({ 0, 1 }, { 0, 0 }).normalised_entropy))
    assert.is_true(is_nan(losses({ 0, 1 }, { 1, 1 }).normalised_entropy))
    assert.is_true(is_nan(losses({}, {}).normalised_entropy))
  end)

  it("of a million rows equals a compensated sum in Lua", function()
    local rows = million_rows()
    local loss, lost, p_sum, p_lost, clicks = 0, 0, 0, 0, 0
    for i = 0, rows.n - 1 do
      local z, y = rows.scores[i], rows.labels[i]
      local p = 1 / (1 + math.exp(-z))
      local term = (y == 1 and -math.log(p) or -math.log(1 - p)) - lost
      local sum = loss + term
      loss, lost = sum, (sum - loss) - term
      local p_term = p - p_lost
      sum = p_sum + p_term
      p_sum, p_lost = sum, (sum - p_sum) - p_term
      clicks = clicks + y
    end
    local r = metric.logloss(rows.scores, rows.labels, rows.n)
    assert.near(loss / rows.n, r.logloss, 1e-13)
    assert.near(p_sum / clicks, r.calibration, 1e-12)
    assert.equal(clicks, r.positives)
  end)
end)

describe("the same bits", function()
  it("for any order of the rows: AUC and GAUC", function()
    local random = helper.random(3)
    for _ = 1, 30 do
      local scores, labels, groups = random_rows(random, 500, 40, 25)
      local first_auc, first = bits((auc(scores, labels))), gauc(scores, labels, groups)
      for _ = 1, 3 do
        shuffle(random, scores, labels, groups)
        local again = gauc(scores, labels, groups)
        assert.equal(first_auc, bits((auc(scores, labels))))
        assert.equal(bits(first.gauc), bits(again.gauc))
        assert.equal(bits(first.gauc_by_clicks), bits(again.gauc_by_clicks))
      end
    end
  end)

  it("for any number of threads and for no pool: AUC, GAUC and logloss", function()
    local rows = million_rows()
    local function figures(pool)
      local a = metric.auc(rows.scores, rows.labels, rows.n, pool)
      local g = metric.gauc(rows.scores, rows.labels, rows.groups, rows.n, pool)
      local l = metric.logloss(rows.scores, rows.labels, rows.n, pool)
      return table.concat { bits(a), bits(g.gauc), bits(g.gauc_by_clicks), bits(l.logloss),
        bits(l.calibration), bits(l.mean_probability), g.groups, " ", g.groups_used, " ",
        g.rows_used }
    end
    local expected = figures(nil)
    for _, threads in ipairs { 1, 2, 3, 8 } do
      with_pool(threads, function(pool) assert.equal(expected, figures(pool)) end)
    end
  end)
end)

describe("a wrong input", function()
  it("names the row of a score that is NaN", function()
    local message = "row 3: score is nan"
    for _, nan in ipairs { NAN, -NAN } do
      local scores, labels = floats { 1, 2, nan, nan }, floats { 0, 1, 0, 1 }
      helper.fails_with(message, metric.auc(scores, labels, 4))
      helper.fails_with(message, metric.gauc(scores, labels, keys { 1, 1, 1, 1 }, 4))
      helper.fails_with(message, metric.logloss(scores, labels, 4))
      helper.fails_with(message, metric.logloss_of_probabilities(scores, labels, 4))
    end
  end)

  it("names the row of a label that is neither 0 nor 1", function()
    local scores = floats { 0.1, 0.2 }
    helper.raises("row 2: label is 0.5, expected 0 or 1", metric.auc, scores, floats { 1, 0.5 }, 2)
    helper.raises("row 1: label is -1, expected 0 or 1", metric.gauc, scores, floats { -1, 0 },
      keys { 1, 1 }, 2)
    helper.raises("row 2: label is nan, expected 0 or 1", metric.logloss, scores,
      floats { 1, math.abs(NAN) }, 2)
  end)

  it("names the row of a probability outside [0, 1]", function()
    helper.raises("row 2: probability is 1.25, expected 0 to 1", metric.logloss_of_probabilities,
      floats { 1, 1.25 }, floats { 1, 0 }, 2)
    helper.raises("row 1: probability is -0.5, expected 0 to 1", metric.logloss_of_probabilities,
      floats { -0.5 }, floats { 0 }, 1)
  end)

  it("of another kind is said at the caller's line", function()
    local one = floats { 1 }
    helper.raises("n is nil, expected a whole number", metric.auc, one, one)
    helper.raises("n is 1.5, expected a whole number", metric.auc, one, one, 1.5)
    helper.raises("n is -1, expected 0 or more", metric.auc, one, one, -1)
    helper.raises("scores are missing", metric.auc, nil, one, 1)
    helper.raises("labels are missing", metric.logloss, one, nil, 1)
    helper.raises("groups are missing", metric.gauc, one, one, nil, 1)
    local _, message = pcall(function()
      local _ = metric.auc(one, nil, 1)
    end)
    assert.truthy(message:find("metric_spec.lua", 1, true))
  end)

  it("of the plain interface: an unknown form", function()
    local one = floats { 1 }
    local rows = ffi.new("mr_scores", { n = 1, scores = one, labels = one })
    assert.equal(C.MR_EINVAL, C.mr_metric_logloss(ffi.new "mr_logloss[1]", rows, 2, nil))
    assert.equal("form is 2, expected MR_LOGIT or MR_PROBABILITY", mr.last_error())
  end)
end)

describe("memory", function()
  after_each(function() C.mr_alloc_fail_after(-1) end)

  -- Call f with the first, second, ... allocation failing until it succeeds.
  local function fail_each_allocation(f)
    for count = 0, 100 do
      local before = C.mr_alloc_live()
      C.mr_alloc_fail_after(count)
      local value, message = f()
      C.mr_alloc_fail_after(-1)
      assert.equal(before, C.mr_alloc_live())
      if value then return count end
      assert.equal("memory ran out", message)
    end
    error "still failing"
  end

  it("that runs out is a message, and nothing leaks", function()
    local scores, labels = floats { 1, 2, 3 }, floats { 0, 1, 0 }
    local groups = keys { 1, 1, 2 }
    assert.equal(2, fail_each_allocation(function() return metric.auc(scores, labels, 3) end))
    assert.equal(1, fail_each_allocation(function()
      return metric.gauc(scores, labels, groups, 3)
    end))
    assert.equal(1, fail_each_allocation(function() return metric.logloss(scores, labels, 3) end))
  end)

  it("stays balanced when rows are wrong", function()
    local before = C.mr_alloc_live()
    assert.is_nil(metric.gauc(floats { 1, NAN }, floats { 0, 1 }, keys { 1, 1 }, 2))
    assert.equal(before, C.mr_alloc_live())
  end)
end)
