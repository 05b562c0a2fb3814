-- data.split of the fields file: lua/moonrank/config_split.lua and what the command makes of it.
local Dataset = require "moonrank.dataset"
local config = require "moonrank.config"
local helper = require "helper"
local yaml = require "moonrank.yaml"

local FIELDS = [[
label: click
group: user
fields:
  - {name: user, side: user, type: id}
  - {name: ad, side: ad, type: id}
  - {name: row, side: ad, type: number}
]]

-- 2,000 rows of 50 users; each row at a later time, with an ad of its own and one of five that all
-- rows share.
local function make_project(data)
  local dir, random, lines = helper.temp_dir(), helper.random(3), { "click,user,ad,row,time" }
  for i = 1, 2000 do
    local ad = i % 2 == 0 and "own" .. i or "shared" .. random(5)
    lines[i + 1] = ("%d,%d,%s,%d,%d"):format(random(2) - 1, random(50), ad, i, 1.7e9 + i)
  end
  helper.write(dir .. "/all.csv", table.concat(lines, "\n") .. "\n")
  helper.write(dir .. "/fields.yaml", data .. "\n" .. FIELDS)
  helper.write(dir .. "/lr.yaml", "fields: fields.yaml\nmodel: {script: lr}\n"
    .. "train: {batch: 256, optimizer: {adam: {lr: 0.01}}}\n")
  return dir
end

local function rows_of(split)
  local rows, view = {}, split:floats "row"
  for i = 0, split:samples() - 1 do rows[i + 1] = view[i] end
  return rows
end

describe("data.split", function()
  it("takes parts out of the training files", function()
    local dir = make_project "data: {train: all.csv, split: {valid: 0.2, test: 0.1}}"
    local data = assert(Dataset.open(dir .. "/fields.yaml"))
    local n = { data.train:samples(), data.valid:samples(), data.test:samples() }
    assert.equal(2000, n[1] + n[2] + n[3])
    assert.is_true(math.abs(n[2] - 400) < 80 and math.abs(n[3] - 200) < 60)
    data:close()
  end)

  it("counts in training nothing that the other parts have", function()
    local dir = make_project "data: {train: all.csv, split: {by: time, column: time, test: 0.25}}"
    local data = assert(Dataset.open(dir .. "/fields.yaml", { set = { "defaults.min_count=2" } }))
    assert.equal(1500, data.train:samples())
    assert.equal(500, data.test:samples())
    assert.equal(1501, rows_of(data.test)[1])
    assert.equal(5, data.train:distinct "ad") -- ads of one row are rare
    data:close()
    data = assert(Dataset.open(dir .. "/fields.yaml"))
    assert.equal(750 + 5, data.train:distinct "ad") -- and none is of the last quarter
    data:close()
  end)

  it("by time may be given by times", function()
    local dir = make_project("data: {train: all.csv, split: {by: time, column: time, "
      .. "valid_from: 1700001001, test_from: 1700001901}}")
    local data = assert(Dataset.open(dir .. "/fields.yaml"))
    assert.same({ 1000, 900, 100 },
      { data.train:samples(), data.valid:samples(), data.test:samples() })
    data:close()
  end)

  it("by group goes by the group of the fields file, and leaves other files alone", function()
    local dir = make_project("data: {train: all.csv, test: all.csv, split: {by: group, seed: 5, "
      .. "valid: 0.3}}")
    local data = assert(Dataset.open(dir .. "/fields.yaml"))
    assert.equal(2000, data.test:samples())
    assert.equal(2000, data.train:samples() + data.valid:samples())
    local seen, keys = {}, data.train:groups()
    for i = 0, data.train:samples() - 1 do seen[tostring(keys[i])] = true end
    keys = data.valid:groups()
    for i = 0, data.valid:samples() - 1 do assert.is_nil(seen[tostring(keys[i])]) end
    data:close()
  end)

  it("is printed by train, and eval finds the same rows", function()
    local dir = make_project "data: {train: all.csv, split: {valid: 0.2, test: 0.1, seed: 7}}"
    local status, out, err = helper.run(("train %s/lr.yaml --out %s/run"):format(dir, dir))
    assert.equal("", err)
    assert.equal(0, status)
    assert.truthy(out:find("\nsplit    at random, seed 7: valid 20 %, test 10 %\n", 1, true))
    local trained = helper.figures(dir .. "/run")
    local _, evaluated = helper.run(("eval %s/run --data test"):format(dir))
    assert.truthy(evaluated:find(("%.4f"):format(trained[#trained].test.auc), 1, true))
  end)

  it("is described as it is", function()
    local function described(split, more)
      local dir = helper.temp_dir()
      helper.write(dir .. "/fields.yaml", ("data: {train: a.csv, split: %s}\n%s%s"):format(split,
        more or "", FIELDS))
      local values = assert(config.fields(dir .. "/fields.yaml"))
      helper.write(dir .. "/again.yaml", yaml.write(values)) -- once resolved it reads as itself
      assert.same(values, (assert(config.fields(dir .. "/again.yaml"))))
      return require "moonrank.config_split".describe(values)
    end
    assert.equal("at random, seed 1: valid 12.5 %", described "{valid: 0.125}")
    assert.equal("at random, whole requests, seed 1: test 10 %",
      described("{test: 0.1}", "request: session\n"))
    assert.equal("by group user, seed 3: valid 10 %, test 10 %",
      described "{by: group, seed: 3, test: 0.1, valid: 0.1}")
    assert.equal("by time when: test from 1700000000",
      described "{by: time, column: when, test_from: 1700000000}")
  end)
end)

describe("a data.split that cannot be", function()
  local function fails(message, data, more)
    local dir = helper.temp_dir()
    local fields = more or "label: click\nfields: [{name: user, side: user, type: id}]\n"
    helper.write(dir .. "/fields.yaml", ("data: {train: a.csv, %s}\n%s"):format(data, fields))
    local values, got = config.fields(dir .. "/fields.yaml")
    assert.is_nil(values)
    assert.equal("fields.yaml:1:" .. message, (got:gsub("^.*/", "")))
  end

  it("is told with its place", function()
    fails("29: data.split takes no part: give valid, test or both, each a share of the rows",
      "split: {}")
    fails("48: data.split.valid and data.split.test are 1 together, which leaves nothing to train "
      .. "on",
      "split: {valid: 0.5, test: 0.5}")
    fails("29: data.test names files, and data.split takes a part of data.train for it: give one "
      .. "of them", " test: b.csv, split: {test: 0.1}")
    fails("34: data.split.by is time, and neither data.split.column nor time names the column",
      "split: {by: time, test: 0.1}")
    fails("34: data.split.by is group, and neither data.split.column nor group names the column",
      "split: {by: group, test: 0.1}")
    fails("38: data.split.column is for by: time and by: group, this split is by random",
      "split: {column: a, test: 0.1}")
    fails("57: data.split.seed is for by: random and by: group, this split is by time",
      "split: {by: time, column: a, seed: 1, test: 0.1}")
    fails("41: data.split.test_from is for by: time, this split is by random",
      "split: {test_from: 12}")
    fails("62: data.split.test_from is a time, and another part is given as a share: give times or "
      .. "shares", "split: {by: time, column: a, test_from: 12, valid: 0.1}")
    fails("78: data.split.test_from is 12, expected a time after valid_from (12)",
      "split: {by: time, column: a, valid_from: 12, test_from: 12}")
    fails('34: data.split.by is "tiem", expected random, time or group; did you mean "time"?',
      "split: {by: tiem, test: 0.1}")
    fails("50: data.split.by is group, and rows of libsvm, which have no columns with names, are "
      .. "split at random only", "format: libsvm, split: {by: group, column: a, test: 0.1}")
    fails("36: data.split.test is 1, expected a number > 0 and <= 0.999", "split: {test: 1}")
  end)

  it("leaves a part without rows", function()
    local dir = make_project "data: {train: all.csv, split: {by: time, column: time, test_from: 5}}"
    local data = assert(Dataset.open(dir .. "/fields.yaml"))
    helper.fails_with(dir .. "/all.csv: no row falls into this part", data:split "train")
    data:close()
  end)
end)
