-- `clip`, `normalize`, `buckets` and `missing` of number fields: engine/src/data/fit.c, held
-- against sums and sorted lists in Lua; and that only the training data is fitted to.
local ffi = require "ffi"
local helper = require "helper"
local mr = require "moonrank"
local C = require "moonrank.ffi".C

local FIELDS = [[
data: {train: train.csv, valid: valid.csv}
defaults: {dim: 2, min_count: 3}
label: click
%s
fields:
  - {name: user, side: user, type: id}
  - {name: price, side: ad, type: number%s}
]]

-- Prices as text, "" for a missing one; a request has three rows where `request` is given.
local function make(options, prices, valid, request)
  local dir = helper.temp_dir()
  for name, list in pairs { train = prices, valid = valid or { "1" } } do
    local lines = { "click,user,rid,price" }
    for i, price in ipairs(list) do
      lines[i + 1] = ("%d,u%d,r%d,%s"):format(i % 2, math.floor(i / 3), math.floor(i / 3), price)
    end
    helper.write(("%s/%s.csv"):format(dir, name), table.concat(lines, "\n") .. "\n")
  end
  helper.write(dir .. "/fields.yaml", FIELDS:format(request and "request: rid" or "", options))
  helper.write(dir .. "/lr.yaml", "fields: fields.yaml\nmodel: {script: lr}\n"
    .. "train: {batch: 64, epochs: 1, seed: 1}\n")
  return dir
end

local function draw(seed, n, missing)
  local random, prices = helper.random(seed), {}
  for i = 1, n do
    prices[i] = missing and random(10) == 1 and "" or ("%.4f"):format(random() ^ 3 * 50 - 2)
  end
  return prices
end

-- The batch's value of every row: a number, or the key of a bucket as text.
local function values_of(split)
  local column, list = split.schema:column "price", {}
  for batch in split:loader { batch = 100 } do
    local n = tonumber(C.mr_batch_rows(batch, C.MR_SAMPLE))
    local floats, keys = C.mr_batch_floats(batch, column), C.mr_batch_keys(batch, column)
    for i = 0, n - 1 do
      list[#list + 1] = floats ~= nil and floats[i] or tostring(keys[i])
    end
  end
  return list
end

local function open(dir, threads)
  return assert(mr.dataset(dir .. "/fields.yaml", { threads = threads or 1 }))
end

local function log1p(x) return x < 0 and -math.log(1 - x) or math.log(1 + x) end

describe("a normalised number", function()
  local prices, valid = draw(1, 700, true), draw(2, 50, true)
  local LINE = ", clip: [0, 30], transform: log1p, normalize: true, missing: mean"

  -- Mean and deviation in two passes.
  local function fit()
    local list, sum, squares = {}, 0, 0
    for _, text in ipairs(prices) do
      if text ~= "" then
        list[#list + 1] = log1p(math.max(0, math.min(30, tonumber(text))))
        sum = sum + list[#list]
      end
    end
    for _, x in ipairs(list) do squares = squares + (x - sum / #list) ^ 2 end
    return sum / #list, math.sqrt(squares / #list)
  end

  local function expected(texts)
    local mean, deviation = fit()
    local list = {}
    for i, text in ipairs(texts) do
      list[i] = text == "" and 0
        or (log1p(math.max(0, math.min(30, tonumber(text)))) - mean) / deviation
    end
    return list
  end

  it("is less the mean of the training data, by its deviation, in all data", function()
    for _, request in ipairs { false, true } do
      local data = open(make(LINE, prices, valid, request))
      helper.all_near(expected(valid), values_of(data.valid), 2e-6)
      helper.all_near(expected(prices), values_of(data.train), 2e-6)
      helper.all_near(expected(prices), data.train:floats "price", 2e-6)
    end
  end)

  it("is not fitted to the validation data", function()
    local data = open(make(LINE, prices, { "1e6", "5" }))
    helper.all_near(expected { "30", "5" }, values_of(data.valid), 2e-6)
  end)

  it("of one value only is 0", function()
    helper.all_near({ 0, 0, 0 }, values_of(open(make(", normalize: true",
      { "4", "4", "4" })).train), 0)
  end)

  it("that is missing may be the mean of the others", function()
    local data = open(make(", missing: mean", { "1", "", "3" }))
    helper.all_near({ 1, 2, 3 }, values_of(data.train), 0)
  end)
end)

describe("buckets of a number", function()
  -- The number of bounds that are not above x; bounds are the values at equal shares of the ranks.
  local function slow(prices, n)
    local sorted, bounds = {}, {}
    for _, text in ipairs(prices) do
      if text ~= "" then sorted[#sorted + 1] = tonumber(text) end
    end
    table.sort(sorted)
    for b = 1, n - 1 do
      local bound = sorted[math.floor(#sorted * b / n) + 1]
      if bound > (bounds[#bounds] or sorted[1]) then bounds[#bounds + 1] = bound end
    end
    return function(text)
      if text == "" then return "missing" end
      local bucket = 0
      for _, bound in ipairs(bounds) do
        local two = ffi.new("float[2]", bound, tonumber(text))
        if two[0] <= two[1] then bucket = bucket + 1 end
      end
      return tostring(bucket)
    end
  end

  it("have equally many rows of the training data, and a key each", function()
    local prices, valid = draw(3, 900, true), draw(4, 60, true)
    for i = 1, 200 do prices[i] = "0" end -- more than one bucket's share
    for _, threads in ipairs { 1, 3 } do
      local data = open(make(', buckets: "quantile(8)", missing: own', prices, valid), threads)
      for split, texts in pairs { train = prices, valid = valid } do
        local of, column = slow(prices, 8), data.schema:column "price"
        local list = values_of(data[split])
        for i, text in ipairs(texts) do
          local bucket = of(text)
          assert.equal(tostring(C.mr_schema_key(data.schema.handle, column, bucket, #bucket)),
            list[i])
        end
      end
    end
  end)

  it("are ids to models, whose file has their bounds", function()
    local prices = draw(5, 600)
    local dir = make(', buckets: "quantile(5)", missing: own', prices, { "0.5", "", "40" })
    assert.equal("id", open(dir).fields[2].type)
    local command = ("train %s/lr.yaml --quiet --out %s/run"):format(dir, dir)
    assert.same({ 0, "", "" }, { helper.run(command) })
    local _, of_run = helper.run(("predict %s/run --data valid"):format(dir))
    -- The training data is gone, and other rows stand beside: nothing is fitted again.
    local rows = helper.read(dir .. "/valid.csv")
    os.remove(dir .. "/train.csv")
    helper.write(dir .. "/other.csv", rows .. "1,u1,r1,1e9\n1,u1,r1,2e9\n")
    command = ("predict %s/run/model.mr --data %s/other.csv"):format(dir, dir)
    local _, of_file, err = helper.run(command)
    assert.equal("", err)
    assert.equal(of_run, of_file:match "^[^\n]*\n[^\n]*\n[^\n]*\n")
    assert.not_equal("", of_run)
  end)

  it("of many rows are within the stated error of their ranks", function()
    local random, lines, n = helper.random(6), { "click,user,rid,price" }, 120000
    local sorted = {}
    for i = 1, n do
      sorted[i] = math.floor(random() ^ 2 * 1e9)
      lines[i + 1] = ("%d,u,r,%d"):format(i % 2, sorted[i])
    end
    local dir = make(', buckets: "quantile(20)"', { "1" })
    helper.write(dir .. "/train.csv", table.concat(lines, "\n") .. "\n")
    local data, count = open(dir), {}
    for _, key in ipairs(values_of(data.train)) do count[key] = (count[key] or 0) + 1 end
    local buckets, column = 0, data.schema:column "price"
    local below, bound = 0, math.ceil(math.log(n / 16384) / math.log(2)) / 16384 * n
    for b = 0, 19 do
      local text = tostring(b)
      local here = count[tostring(C.mr_schema_key(data.schema.handle, column, text, #text))] or 0
      buckets, below = buckets + (here > 0 and 1 or 0), below + here
      assert.is_true(math.abs(below - n * (b + 1) / 20) <= bound + 10)
    end
    assert.equal(20, buckets)
  end)
end)

describe("data.split and moonrank check", function()
  -- Rows of prices 1 to 400, then as many of 10,001 on, which are the later half.
  local function make_split(options)
    local dir = helper.temp_dir()
    local lines = { "click,user,rid,price,at" }
    for i = 1, 800 do
      lines[i + 1] = ("%d,u%d,r%d,%d,%d"):format(i % 2, i % 9, i, i > 400 and 10000 + i or i, i)
    end
    helper.write(dir .. "/all.csv", table.concat(lines, "\n") .. "\n")
    helper.write(dir .. "/fields.yaml", (FIELDS:format("", options):gsub("data: [^\n]*",
      "data: {train: all.csv, split: {by: time, column: at, test: 0.5}}")))
    helper.write(dir .. "/lr.yaml", "fields: fields.yaml\nmodel: {script: lr}\n")
    return dir
  end

  it("fit to the training part alone", function()
    local data = open(make_split ", normalize: true")
    assert.equal(400, data.train:samples())
    -- The mean of 1 to n is (n + 1) / 2, its deviation the root of (n^2 - 1) / 12.
    local deviation = math.sqrt((400 ^ 2 - 1) / 12)
    assert.near((1 - 200.5) / deviation, values_of(data.train)[1], 1e-6)
    assert.near((10401 - 200.5) / deviation, values_of(data.test)[1], 1e-4)
    data = open(make_split ', buckets: "quantile(4)"', 2)
    local last = tostring(C.mr_schema_key(data.schema.handle, data.schema:column "price", "3", 1))
    for _, key in ipairs(values_of(data.test)) do assert.equal(last, key) end
  end)

  it("know buckets as what they are", function()
    local dir = make_split ', buckets: "quantile(4)", missing: own'
    local report = assert(require "moonrank.check".look(assert(require "moonrank.config".fields(
      dir .. "/fields.yaml"))))
    assert.equal("number", report.surveys.train.columns[2].type)
    assert.equal(5, report.table_rows.price)
    for _, finding in ipairs(report.findings) do
      assert.is_false(finding.kind == "wide range" or finding.kind == "skewed", finding.text)
    end
    -- By which one may cut the figures.
    assert.equal(0, (helper.run("train lr.yaml --quiet --out run --set train.epochs=1", dir)))
    local status, out, err = helper.run("eval run --data train --by price", dir)
    assert.same({ 0, "" }, { status, err })
    for _, name in ipairs { "below 101", "101 to 201", "201 to 301", "301 or more" } do
      assert.truthy(out:find("\n%s*" .. name .. "%s+100 "), name .. out)
    end
  end)
end)

describe("a wrong transform", function()
  it("is named with its place", function()
    local cases = {
      { ", clip: [3, 1]",
        "fields[2].clip is a list of 3 and 1, expected two numbers, the second larger" },
      { ", clip: [3]", "fields[2].clip is a list of 1, expected two numbers, the second larger" },
      { ', buckets: "quantile(1)"', 'fields[2].buckets is "quantile(1)", expected '
        .. "quantile(N) with N from 2 to 1000" },
      { ', normalize: true, buckets: "quantile(9)"',
        "fields[2].normalize does not go with buckets" },
      { ', missing: mean, buckets: "quantile(9)"',
        "fields[2].missing is mean, expected a number or own with buckets" },
      { ", missing: own", "fields[2].missing is own, expected a number or mean without buckets" },
      { ', buckets: "quantile(9)"}\ntables: {price: {min_count: 3}',
        'tables.price.min_count is 3, but field "price" has buckets, which are all known' },
    }
    for _, case in ipairs(cases) do
      local dir = make(case[1], { "1" })
      local ok, message = pcall(mr.dataset, dir .. "/fields.yaml")
      assert.is_false(ok)
      assert.equal(case[2], (message:gsub("^.-fields%.yaml:%d+:%d+: ", "")))
    end
  end)
end)
