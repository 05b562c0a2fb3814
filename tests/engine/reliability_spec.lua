-- mr_metric_reliability and mr_keys_number against slow loops and numbers worked by hand.
local ffi = require "ffi"
local helper = require "helper"
local metric = require "moonrank.metric"
local mr = require "moonrank.ffi"
local C = mr.C

local floats = helper.floats

local function reliability(logits, labels, bins)
  return metric.reliability(floats(logits), floats(labels), #logits, bins)
end

local function draw(seed, n, steps)
  local random = helper.random(seed)
  local logits, labels = {}, {}
  for i = 1, n do
    local z = math.floor(steps * (4 * random() - 3)) / steps
    logits[i], labels[i] = z, random() < 1 / (1 + math.exp(-1.3 * z)) and 1 or 0
  end
  return logits, labels
end

-- The bins by their definition: rows sorted, each score in the bin of its first row.
local function slow_bins(logits, labels, n_bins)
  local rows = {}
  for i, z in ipairs(logits) do rows[i] = { z = z, y = labels[i] } end
  table.sort(rows, function(a, b) return a.z < b.z end)
  local n, bins, first = #rows, {}, 1
  local function bin_of(rank) -- from 0: sizes differ by one at most, larger ones first
    local size, more = math.floor(n / n_bins), n % n_bins
    local in_larger = more * (size + 1)
    return rank < in_larger and math.floor(rank / (size + 1))
      or more + math.floor((rank - in_larger) / size)
  end
  for i, row in ipairs(rows) do
    if row.z ~= rows[first].z then first = i end
    local b = bin_of(first - 1)
    bins[b] = bins[b] or { rows = 0, positives = 0, p = 0, least = row.z }
    local bin = bins[b]
    bin.rows, bin.positives, bin.most = bin.rows + 1, bin.positives + row.y, row.z
    bin.p = bin.p + 1 / (1 + math.exp(-row.z))
  end
  local list = {}
  for b = 0, n_bins - 1 do list[#list + 1] = bins[b] end
  return list
end

describe("the reliability of scores", function()
  it("equals a slow loop, with ties and without", function()
    local cases = { { 1000, 1e6, 10 }, { 997, 8, 10 }, { 300, 2, 20 }, { 7, 100, 10 } }
    for seed, case in ipairs(cases) do
      local logits, labels = draw(seed, case[1], case[2])
      local actual = reliability(logits, labels, case[3])
      local expected, error_sum = slow_bins(logits, labels, case[3]), 0
      assert.equal(#expected, #actual.bins)
      for i, bin in ipairs(actual.bins) do
        local e = expected[i]
        assert.same({ e.rows, e.positives }, { bin.rows, bin.positives })
        assert.near(e.p / e.rows, bin.mean_probability, 1e-6)
        assert.equal(e.positives / e.rows, bin.mean_label)
        assert.near(e.least, bin.least, 1e-6)
        assert.near(e.most, bin.most, 1e-6)
        error_sum = error_sum + math.abs(e.p - e.positives) / case[1]
      end
      assert.near(error_sum, actual.calibration_error, 1e-6)
    end
  end)

  it("has Wilson's interval: 8 of 10 are 0.4902 to 0.9433, none of 10 are 0 to 0.2775", function()
    local labels, none = {}, {}
    for i = 1, 10 do labels[i], none[i] = i <= 8 and 1 or 0, 0 end
    local logits = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
    local bin = reliability(logits, labels, 1).bins[1]
    assert.near(0.4901625, bin.low, 1e-6)
    assert.near(0.9433178, bin.high, 1e-6)
    local empty = reliability(logits, none, 1).bins[1]
    assert.equal(0, empty.low)
    assert.near(0.2775328, empty.high, 1e-6)
    for i = 1, 10 do none[i] = 1 end
    assert.equal(1, reliability(logits, none, 1).bins[1].high)
  end)

  it("counts rows by their weights: whole ones as so many rows, and none as no row", function()
    local function weighted(logits, labels, weights, bins)
      return metric.reliability(floats(logits), floats(labels), #logits, bins, floats(weights))
    end
    local r = weighted({ 0, 0, 1, 1, 5 }, { 1, 0, 1, 0, 1 }, { 3, 1, 2, 2, 0 }, 1)
    local rows = reliability({ 0, 0, 0, 0, 1, 1, 1, 1 }, { 1, 1, 1, 0, 1, 1, 0, 0 }, 1)
    assert.near(rows.calibration_error, r.calibration_error, 1e-12)
    assert.near(rows.bins[1].mean_probability, r.bins[1].mean_probability, 1e-12)
    assert.equal(5 / 8, r.bins[1].mean_label)
    -- Kish: 8^2 / (9 + 1 + 4 + 4) rows; the interval's middle by Wilson's formula.
    local n, z2, b = 64 / 18, 1.959963984540054 ^ 2, r.bins[1]
    assert.near((5 / 8 + z2 / (2 * n)) / (1 + z2 / n), (b.low + b.high) / 2, 1e-12)
    assert.same({}, weighted({ 1, 2 }, { 0, 1 }, { 0, 0 }, 2).bins)
  end)

  it("is worked by hand", function()
    -- p = 1/4, 1/4 | 3/4, 3/4; clicks 0, 1 | 1, 1: |1/4 - 1/2| / 2 + |3/4 - 1| / 2
    local z = math.log(3)
    local r = reliability({ z, -z, z, -z }, { 1, 0, 1, 1 }, 2)
    assert.near(0.25, r.calibration_error, 1e-7)
    assert.same({ 2, 1, 2, 2 }, { r.bins[1].rows, r.bins[1].positives, r.bins[2].rows,
      r.bins[2].positives })
  end)

  it("has the same bits for any order of the rows", function()
    local logits, labels = draw(9, 500, 50)
    local expected, random = reliability(logits, labels, 7), helper.random(2)
    for i = #logits, 2, -1 do
      local k = random(i)
      logits[i], logits[k], labels[i], labels[k] = logits[k], logits[i], labels[k], labels[i]
    end
    assert.same(expected, reliability(logits, labels, 7))
  end)

  it("keeps rows of one score together: all of one score are one bin", function()
    local r = reliability({ 1, 1, 1, 1 }, { 1, 0, 1, 0 }, 4)
    assert.same({ 1, 4 }, { #r.bins, r.bins[1].rows })
    local infinite = reliability({ -math.huge, math.huge, 0 }, { 0, 1, 0 }, 3).bins
    assert.same({ 0, 0.5, 1 }, { infinite[1].mean_probability, infinite[2].mean_probability,
      infinite[3].mean_probability })
  end)

  it("of no rows has no bins", function()
    local r = reliability({}, {}, 10)
    assert.is_true(r.calibration_error ~= r.calibration_error)
    assert.same({}, r.bins)
  end)

  it("says what is wrong", function()
    helper.raises("bins is 0, expected 1 to 100000", reliability, { 1 }, { 1 }, 0)
    helper.raises("row 1: label is 2, expected 0 or 1", reliability, { 1 }, { 2 })
    helper.fails_with("row 1: score is nan", reliability({ 0 / 0 }, { 1 }))
  end)
end)

describe("the numbers of keys", function()
  it("count distinct keys as they first come", function()
    local random = helper.random(4)
    local keys, numbers, seen, n = ffi.new "uint64_t[2000]", ffi.new "uint32_t[2000]", {}, 0
    local expected = {}
    for i = 0, 1999 do
      local key = random(700)
      keys[i] = key * 0x9E3779B97F4A7C15ULL
      if not seen[key] then seen[key], n = n, n + 1 end
      expected[i + 1] = seen[key]
    end
    local distinct = ffi.new "int64_t[1]"
    assert.equal(C.MR_OK, C.mr_keys_number(numbers, distinct, keys, 2000))
    assert.equal(n, tonumber(distinct[0]))
    helper.all_near(expected, numbers, 0)
    assert.equal(C.MR_EINVAL, C.mr_keys_number(numbers, distinct, keys, -1))
    assert.equal("n is -1, expected 0 to 4294967294", mr.last_error())
  end)
end)
