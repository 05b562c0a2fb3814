-- mr_metric_compare: figures of two models are those of the other metrics, and the interval of
-- their difference agrees with what the influence of each group says (for the AUC of single rows
-- that is DeLong's variance, 1988).
local ffi = require "ffi"
local helper = require "helper"
local metric = require "moonrank.metric"
local mr = require "moonrank.ffi"
local Pool = require "moonrank.pool"
local C = mr.C

local floats = helper.floats

local function is_nan(x) return x ~= x end

-- Scores of two models for rows of groups, in whole tenths, so that there are ties.
local function draw_rows(seed, n, n_groups)
  local random = helper.random(seed)
  local rows = { labels = {}, first = {}, second = {}, groups = ffi.new("uint64_t[?]", n) }
  local mood = {}
  for g = 1, n_groups do mood[g] = 2 * random() - 1 end
  for i = 1, n do
    local g = random(n_groups)
    local truth = mood[g] + 3 * random() - 1.5
    rows.labels[i] = random() < 1 / (1 + math.exp(-truth)) and 1 or 0
    rows.first[i] = math.floor(10 * (truth + 2 * random() - 1)) / 10
    rows.second[i] = math.floor(10 * (truth + 4 * random() - 2)) / 10
    rows.groups[i - 1] = 1000003ULL * g
  end
  rows.n = n
  return rows
end

local function compare(rows, options)
  options = options or {}
  return metric.compare(floats(rows.first), floats(rows.second), floats(rows.labels),
    not options.rows and rows.groups or nil, rows.n, options)
end

-- ---- slow and independent ----

-- What each row adds to the AUC, less the AUC: a positive the share of negatives below it, by the
-- number of positives, and a negative the other way around.
local function auc_influence(scores, labels)
  local n, positives, won = #scores, 0, 0
  for i = 1, n do positives = positives + labels[i] end
  local negatives, share = n - positives, {}
  for i = 1, n do
    local sum = 0
    for j = 1, n do
      if labels[i] ~= labels[j] then
        local d = (scores[i] - scores[j]) * (labels[i] == 1 and 1 or -1)
        sum = sum + (d > 0 and 1 or d == 0 and 0.5 or 0)
      end
    end
    share[i] = sum
    if labels[i] == 1 then won = won + sum end
  end
  local auc = won / positives / negatives
  for i = 1, n do
    share[i] = labels[i] == 1 and (share[i] / negatives - auc) / positives
      or (share[i] / positives - auc) / negatives
  end
  return share
end

local function deviation_by_group(rows, influence)
  local sums = {}
  for i = 1, rows.n do
    local key = tostring(rows.groups[i - 1])
    sums[key] = (sums[key] or 0) + influence[i]
  end
  local squares = 0
  for _, sum in pairs(sums) do squares = squares + sum * sum end
  return math.sqrt(squares)
end

local function minus(a, b)
  local list = {}
  for i = 1, #a do list[i] = a[i] - b[i] end
  return list
end

local function losses(logits, labels)
  local list, mean = {}, 0
  for i = 1, #logits do
    list[i] = math.log(1 + math.exp(labels[i] == 1 and -logits[i] or logits[i]))
    mean = mean + list[i] / #logits
  end
  for i = 1, #logits do list[i] = (list[i] - mean) / #logits end
  return list
end

-- The same of normalised entropy, calibration and the calibration error in ten bins. With mean
-- label y, mean prediction p, entropy H(y) and its slope H' = log((1 - y) / y): of L / H,
-- (l - L) / H - L H' (y_i - y) / H^2; of p / y, (p_i - y_i p / y) / y; of a bin's
-- |sum of p_i - y_i|, its sign times p_i - y_i.
local function calibration_influence(logits, labels)
  local n, loss, p, y = #logits, 0, 0, 0
  local ps, ls, order = {}, {}, {}
  for i = 1, n do
    ps[i] = 1 / (1 + math.exp(-logits[i]))
    ls[i] = -math.log(labels[i] == 1 and ps[i] or 1 - ps[i])
    loss, p, y, order[i] = loss + ls[i] / n, p + ps[i] / n, y + labels[i] / n, i
  end
  table.sort(order, function(a, b) return logits[a] < logits[b] end)
  local bin_of, sums, bin = {}, {}, 0
  for rank, i in ipairs(order) do -- n is a multiple of ten; ties go with the first of them
    if logits[i] ~= logits[order[rank - 1]] then bin = math.floor((rank - 1) / (n / 10)) end
    bin_of[i], sums[bin] = bin, (sums[bin] or 0) + ps[i] - labels[i]
  end
  local off = 0
  for _, sum in pairs(sums) do off = off + math.abs(sum) / n end
  local h, slope = -y * math.log(y) - (1 - y) * math.log(1 - y), math.log((1 - y) / y)
  local of = { normalised_entropy = {}, calibration = {}, calibration_error = {} }
  for i = 1, n do
    of.normalised_entropy[i] = ((ls[i] - loss) / h - loss * slope * (labels[i] - y) / h ^ 2) / n
    of.calibration[i] = (ps[i] - labels[i] * p / y) / y / n
    local sign = sums[bin_of[i]] > 0 and 1 or -1
    of.calibration_error[i] = (sign * (ps[i] - labels[i]) - off) / n
  end
  return of
end

-- Rows of each group, and the difference of its AUCs: rows n, difference d; the mean is sum n d /
-- sum n over groups of both classes.
local function gauc_deviation(rows)
  local by, total, mean, squares = {}, 0, 0, 0
  for i = 1, rows.n do
    local key = tostring(rows.groups[i - 1])
    by[key] = by[key] or { first = {}, second = {}, labels = {} }
    for _, name in ipairs { "first", "second", "labels" } do
      table.insert(by[key][name], rows[name][i])
    end
  end
  for _, group in pairs(by) do
    local n, labels = #group.labels, floats(group.labels)
    group.d = metric.auc(floats(group.first), labels, n)
      - metric.auc(floats(group.second), labels, n)
    if not is_nan(group.d) then total, mean = total + n, mean + n * group.d end
  end
  for _, group in pairs(by) do
    if not is_nan(group.d) then
      squares = squares + (#group.labels * (group.d - mean / total) / total) ^ 2
    end
  end
  return math.sqrt(squares)
end

-- The interval is 2 * 1.96 deviations wide, as far as 4,000 draws can tell: within a tenth.
local function agrees(d, deviation)
  local ratio = (d.high - d.low) / (2 * 1.96 * deviation)
  assert.is_true(ratio > 0.9 and ratio < 1.1, ("%g times the width expected"):format(ratio))
  assert.is_true(math.abs((d.high + d.low) / 2 - d.difference) < 0.2 * deviation)
end

describe("the comparison of two models", function()
  local rows = draw_rows(3, 1500, 200)

  it("has the figures of the other metrics", function()
    local compared, labels = compare(rows, { draws = 1 }), floats(rows.labels)
    for _, which in ipairs { "first", "second" } do
      local scores = floats(rows[which])
      assert.equal((metric.auc(scores, labels, rows.n)), compared.auc[which])
      local gauc = metric.gauc(scores, labels, rows.groups, rows.n)
      assert.is_true(math.abs(gauc.gauc - compared.gauc[which]) < 1e-14)
      assert.equal(gauc.groups, compared.groups)
      local loss = metric.logloss(scores, labels, rows.n)
      for _, name in ipairs { "logloss", "normalised_entropy", "calibration" } do
        assert.is_true(math.abs(loss[name] - compared[name][which]) < 1e-13)
      end
      local off = metric.reliability(scores, labels, rows.n).calibration_error
      assert.is_true(math.abs(off - compared.calibration_error[which]) < 1e-13)
    end
    for _, name in ipairs(metric.compared) do
      assert.equal(compared[name].first - compared[name].second, compared[name].difference)
    end
  end)

  it("has the figures of the other metrics where rows have weights", function()
    local weights, random = {}, helper.random(8)
    for i = 1, rows.n do weights[i] = random(4) - 1 end
    local labels, w = floats(rows.labels), floats(weights)
    local compared = compare(rows, { draws = 1, weights = w })
    for _, which in ipairs { "first", "second" } do
      local scores = floats(rows[which])
      local loss = metric.logloss(scores, labels, rows.n, nil, w)
      for _, name in ipairs { "logloss", "normalised_entropy", "calibration" } do
        assert.is_true(math.abs(loss[name] - compared[name][which]) < 1e-13)
      end
      local off = metric.reliability(scores, labels, rows.n, 10, w).calibration_error
      assert.is_true(math.abs(off - compared.calibration_error[which]) < 1e-13)
    end
  end)

  it("has intervals as wide as the influence of the groups says", function()
    local compared = compare(rows, { draws = 4000, seed = 5 })
    agrees(compared.auc, deviation_by_group(rows, minus(auc_influence(rows.first, rows.labels),
      auc_influence(rows.second, rows.labels))))
    agrees(compared.gauc, gauc_deviation(rows))
    agrees(compared.logloss, deviation_by_group(rows, minus(losses(rows.first, rows.labels),
      losses(rows.second, rows.labels))))
    local first = calibration_influence(rows.first, rows.labels)
    local second = calibration_influence(rows.second, rows.labels)
    for name, influence in pairs(first) do
      agrees(compared[name], deviation_by_group(rows, minus(influence, second[name])))
    end
  end)

  it("draws single rows where there are no groups: DeLong's variance", function()
    local compared, squares = compare(rows, { draws = 4000, rows = true }), 0
    for _, x in ipairs(minus(auc_influence(rows.first, rows.labels),
      auc_influence(rows.second, rows.labels))) do
      squares = squares + x * x
    end
    agrees(compared.auc, math.sqrt(squares))
    assert.equal(rows.n, compared.groups)
    assert.is_true(is_nan(compared.gauc.first) and is_nan(compared.gauc.low))
  end)

  it("tells a model that is better from one that is the same", function()
    assert.is_true(compare(rows).auc.difference > 0.03)
    assert.is_true(compare(rows).auc.p < 0.01)
    local same = { labels = rows.labels, first = rows.first, second = rows.first, n = rows.n,
      groups = rows.groups }
    assert.same({ 0, 0, 0, 1 }, { compare(same).auc.difference, compare(same).auc.low,
      compare(same).auc.high, compare(same).auc.p })
    -- Two models that differ by chance alone: 30 comparisons, p below 0.1 in about three.
    local small = 0
    for seed = 1, 30 do
      local random, other = helper.random(seed), draw_rows(seed, 400, 100)
      for i = 1, other.n do
        local noise = random() - 0.5
        local a, b = other.second[i] + noise, other.second[i] - noise
        if random() < 0.5 then a, b = b, a end
        other.first[i], other.second[i] = a, b
      end
      if compare(other, { draws = 400 }).auc.p < 0.1 then small = small + 1 end
    end
    assert.is_true(small <= 8, small .. " of 30") -- more than 8 in one of 500 cases
  end)

  it("is the same for any number of threads, and another for another seed", function()
    local one = compare(rows, { draws = 50 })
    for _, threads in ipairs { 2, 3 } do
      local pool = Pool.new(threads)
      assert.same(one, compare(rows, { draws = 50, pool = pool.handle }))
      pool:close()
    end
    assert.is_false(one.auc.low == compare(rows, { draws = 50, seed = 2 }).auc.low)
  end)

  it("is not defined for no rows, or those of one class", function()
    local none = compare { n = 0, labels = {}, first = {}, second = {},
      groups = ffi.new "uint64_t[1]" }
    assert.is_true(is_nan(none.auc.first) and is_nan(none.logloss.p))
    local one = compare { n = 2, labels = { 1, 1 }, first = { 0, 1 }, second = { 1, 0 },
      groups = ffi.new("uint64_t[2]", { 1, 2 }) }
    assert.is_true(is_nan(one.auc.difference) and is_nan(one.auc.p) and is_nan(one.gauc.low))
    assert.is_false(is_nan(one.logloss.difference))
    assert.is_true(is_nan(one.normalised_entropy.difference)) -- a label that is known costs nothing
    assert.is_false(is_nan(one.calibration.difference) or is_nan(one.calibration_error.p))
  end)

  it("says what is wrong with its rows", function()
    local bad = draw_rows(1, 5, 2)
    bad.second[4] = 0 / 0
    helper.fails_with("row 4: score is nan", compare(bad))
    bad.second[4], bad.labels[2] = 0, 2
    helper.raises("row 2: label is 2, expected 0 or 1", compare, bad)
    helper.raises("draws is 0, expected 1 or more", compare, rows, { draws = 0 })
  end)

  it("fails cleanly wherever memory runs out", function()
    local live, failures = tonumber(C.mr_alloc_live()), 0
    for count = 0, 100 do
      C.mr_alloc_fail_after(count)
      local compared, message = compare(rows, { draws = 3 })
      C.mr_alloc_fail_after(-1)
      assert.equal(live, tonumber(C.mr_alloc_live()))
      if compared then break end
      assert.truthy(message:find "memory")
      failures = failures + 1
    end
    assert.is_true(failures > 8 and failures < 100)
  end)
end)
