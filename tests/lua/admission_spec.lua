-- `admit` and `expire` of tables from the fields file to the model: what has a row is what a loop
-- over the rows of the data says, the numbers have the bits of a training whose data is unknown
-- where the loop refuses a value, with any number of threads and after a resume.
local cjson = require "cjson"
local helper = require "helper"
local moonrank = require "moonrank"
local mr = require "moonrank.ffi"
local sum_of = require "moonrank.dataset".sum_of
local C = mr.C

local FIELDS = [[
data: {train: train.csv, valid: train.csv}
label: click
defaults: {dim: 4}
fields:
  - {name: ad, side: ad, type: id%s}
  - {name: tags, side: ad, type: ids, separator: "|"%s}
  - {name: place, side: ad, type: id}
tables:
  ad: {%s}
  tags: {%s}
]]

local BATCH, ROWS = 50, 1500

-- Ads and tags move on with time, so that some come no more.
local function draw_rows()
  local random, rows = helper.random(11), {}
  for i = 1, ROWS do
    local function value() return random(30) * random(3) + math.floor(i / 8) % 200 end
    rows[i] = { random(2) - 1, "a" .. value(), ("t%d|t%d"):format(value(), value()),
      "p" .. random(3) }
  end
  return rows
end

local function project(rows, options)
  local dir, lines = helper.temp_dir(), { "click,ad,tags,place" }
  for i, row in ipairs(rows) do lines[i + 1] = table.concat(row, ",") end
  helper.write(dir .. "/train.csv", table.concat(lines, "\n") .. "\n")
  helper.write(dir .. "/fields.yaml", FIELDS:format(options.field or "", options.listed or "",
    options.ad or "", options.tags or ""))
  helper.write(dir .. "/fm.yaml", ("fields: fields.yaml\nmodel: {script: fm}\ntrain: {batch: %d, "
    .. "shuffle: false, epochs: %d, optimizer: {adagrad: {lr: 0.1}}}\n"):format(BATCH,
    options.epochs or 1))
  return dir
end

-- The rows as training reads them: values that wait are empty, or none of a list.
local function wait_for(rows, count)
  local seen, known, read = {}, {}, {}
  for first = 1, #rows, BATCH do
    local came = {}
    local function read_value(value)
      local admitted = (seen[value] or 0) >= count
      if admitted then known[value] = true else came[#came + 1] = value end
      return admitted and value or value:find "^t" and "none" or ""
    end
    for i = first, math.min(first + BATCH - 1, #rows) do
      local row = rows[i]
      read[i] = { row[1], read_value(row[2]), (row[3]:gsub("[^|]+", read_value)), row[4] }
    end
    for _, value in ipairs(came) do seen[value] = (seen[value] or 0) + 1 end
  end
  return read, known, seen
end

local function train(dir, more)
  local status, out, err = helper.run("train fm.yaml --out run " .. (more or ""), dir)
  assert.same({ 0, "" }, { status, err })
  return out
end

-- The rows of a run's model: by table their number, and sums over all keys and values.
local function rows_of(dir)
  local model = assert(moonrank.load(dir .. "/run/model.mr"))
  local found = {}
  for t, one in ipairs(model:describe().tables) do
    local keys = mr.new("uint64_t[?]", one.rows)
    local values = mr.new("float[?]", one.rows * one.width)
    mr.check(C.mr_model_export(model.handle, t - 1, keys, values))
    found[one.name] = { n = one.rows, keys = sum_of(mr.string(keys, 8 * one.rows)),
      values = sum_of(mr.string(values, 4 * one.rows * one.width)) }
  end
  model:close()
  return found
end

describe("admit", function()
  for _, case in ipairs { { 3, "" }, { 2, ", unseen: zero" } } do
    local set = ("admit: {count: %d}"):format(case[1])
    it(("trains as if values were unknown before, %s%s"):format(set, case[2]), function()
      local rows = draw_rows()
      local read, known, seen = wait_for(rows, case[1])
      local dir = project(rows, { ad = set, tags = set, field = case[2] })
      local tags = {}
      for value in pairs(known) do tags[#tags + 1] = value:match "^t.*" end
      local plain = project(read, { field = case[2],
        listed = (", values: [%s]"):format(table.concat(tags, ", ")) })
      local out = train(dir, "--threads 2")
      train(plain)
      assert.same(rows_of(plain), rows_of(dir))
      local ads, waiting = 0, 0
      for value, n in pairs(seen) do
        if value:find "^a" then
          ads = ads + (known[value] and 1 or 0)
          waiting = waiting + (n < case[1] and 1 or 0)
        end
      end
      local own = case[2] == "" and 1 or 2 -- of unknown values, and of zeros
      assert.truthy(out:find(("\nkeys     ad: %d rows, %d keys came too rarely for one\n"):format(
        ads + own, waiting), 1, true), out)
      assert.is_true(waiting > 10 and ads > 50)
      local line = cjson.decode(helper.read(dir .. "/run/metrics.jsonl"):match "^[^\n]+")
      assert.same({ table = "ad", rows = ads + own, waiting = waiting }, line.keys[1])
    end)
  end
end)

describe("admit and expire", function()
  local SET = "admit: {count: 2}, expire: {steps: 9}"

  it("give the same bytes with any number of threads, and after a resume", function()
    local rows = draw_rows()
    local function run(...)
      local dir = project(rows, { ad = SET, tags = "expire: {steps: 5}", epochs = 3 })
      local out
      for _, more in ipairs { ... } do out = train(dir, more) end
      return helper.read(dir .. "/run/model.mr"), rows_of(dir), out
    end
    local first, tables, out = run "--threads 1"
    assert.is_true(first == run "--threads 4")
    local resumed, _, said = run("--stop-after 1 --threads 2", "--resume --stop-after 2",
      "--resume --threads 3")
    assert.is_true(first == resumed)
    assert.equal(out:match "\nkeys .-\nkeys [^\n]+", said:match "\nkeys .-\nkeys [^\n]+")
    assert.truthy(out:find(("\nkeys     tags: %d rows, %%d+ were dropped\n"):format(tables.tags.n)))
    local dropped = tonumber(out:match "keys     ad: %d+ rows, %d+ keys [%a ]+, (%d+) were dropped")
    assert.is_true(dropped > 50)
    local all = {}
    for _, row in ipairs(rows) do all[row[2]] = true end
    assert.is_true(tables.ad.n < helper.count(all))
  end)
end)

describe("the configuration of admission", function()
  local function refused(message, options)
    local dir = project({ { 1, "a", "b", "c" } }, options)
    local status, _, err = helper.run("train fm.yaml --out run" .. (options.set or ""), dir)
    assert.same({ 1, ("moonrank: %s\n"):format(message) }, { status, err })
  end

  it("is held against what else is set", function()
    refused('fields.yaml:9:23: tables.ad.admit.count is 0, expected a whole number 1 to 2147483647',
      { ad = "admit: {count: 0}" })
    refused("fields.yaml:9:16: tables.ad.expire.steps is missing", { ad = "expire: {}" })
    refused("fields.yaml:5:44: fields[1].unseen is error, but values have no row before they are "
      .. "admitted, by admit of table ad; list the field's values or leave that out",
      { field = ", unseen: error", ad = "admit: {count: 2}" })
    refused("fields.yaml:5:44: fields[1].unseen is error, but values have no row once they "
      .. "expired, by expire of table ad; list the field's values or leave that out",
      { field = ", unseen: error", ad = "expire: {steps: 2}" })
    refused('fields.yaml:10:16: tables.ad.expire: field "price" has buckets, which are all known',
      { ad = "expire: {steps: 2}", field = "}\n  - {name: price, side: ad, type: number, "
        .. "buckets: quantile(4), table: ad" })
    refused("--set train.tables.rows=all: train.tables.rows: all makes the rows of all keys "
      .. "beforehand, and table ad has expire; leave one of them out",
      { ad = "expire: {steps: 2}", set = " --set train.tables.rows=all" })
    refused("--set train.tables.mba=0.5: train.tables.mba: 0.5 makes the rows of all keys "
      .. "beforehand, and table tags has admit; leave one of them out",
      { tags = "admit: {count: 2}", set = " --set train.tables.mba=0.5" })
  end)
end)
