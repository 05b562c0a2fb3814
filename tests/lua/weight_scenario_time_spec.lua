-- `weight`, `scenario` and `time` of a fields file: read, checked, used in losses and figures.
local helper = require "helper"
local mr = require "moonrank"

-- Rows of a small project as lists of cells, and their header.
local function rows_of(dir, split)
  local rows, header = {}, nil
  for line in io.lines(("%s/%s.csv"):format(dir, split)) do
    if header then rows[#rows + 1] = line else header = line end
  end
  return rows, header
end

local function write_rows(dir, split, header, lines)
  local text = header .. "\n" .. table.concat(lines, "\n") .. "\n"
  helper.write(("%s/%s.csv"):format(dir, split), text)
end

-- A project whose rows have a weight of 0 to 2, one of three places and a time.
local function make_project(keys)
  local dir = helper.make_project { rows = 400 }
  helper.add_columns(dir, "w,place,ts", function(_, i)
    local place = ({ "feed", "search", '"a ""b"" c"', "feed" })[i % 4 + 1]
    return ("%d,%s,%d.5"):format(i % 3, place, 1700000000 + i)
  end)
  local fields = helper.read(dir .. "/fields.yaml")
  helper.write(dir .. "/fields.yaml", (fields:gsub("group: user", "group: user\n" .. keys)))
  return dir
end

local ALL = "weight: w\nscenario: place\ntime: ts"

describe("weight, scenario and time", function()
  it("are read for every row, whatever the threads", function()
    local dir = make_project(ALL)
    for _, threads in ipairs { 1, 3 } do
      local data = assert(mr.dataset(dir .. "/fields.yaml", { threads = threads }))
      local train = data.train
      local weights, times = train:weights(), train:times()
      local of, names = train:scenarios()
      assert.same({ "search", 'a "b" c', "feed" }, names) -- as they first come
      for i = 1, train:samples() do
        assert.equal(i % 3, weights[i - 1])
        assert.equal(1700000000.5 + i, times[i - 1])
        assert.equal(({ "feed", "search", 'a "b" c' })[i % 4 + 1] or "feed", names[of[i - 1] + 1])
      end
      data:close()
    end
  end)

  it("are not there where the fields file does not name them", function()
    local data = assert(mr.dataset(helper.make_project { rows = 40 } .. "/fields.yaml"))
    assert.is_nil(data.train:weights())
    assert.is_nil(data.train:times())
    assert.is_nil(data.train:scenarios())
  end)

  it("of a wrong value say where it is", function()
    local cases = {
      { "-1,feed,5", 'FILE:2:29: weight "-1" in column "w", expected a number from 0 to 1e9' },
      { ",feed,5", 'FILE:2:29: weight "" in column "w", expected a number from 0 to 1e9' },
      { "1e10,feed,5", 'FILE:2:29: weight "1e10" in column "w", expected a number from 0 to 1e9' },
      { "1,feed,now", 'FILE:2:36: time "now" in column "ts", expected a number of seconds' },
      { "1,feed,", 'FILE:2:36: time "" in column "ts", expected a number of seconds' },
      { "1,feed,1e999", 'FILE:2:36: time "1e999" in column "ts", expected a number of seconds' },
    }
    for _, case in ipairs(cases) do
      local dir = make_project(ALL)
      write_rows(dir, "train", "click,user,ad,tags,hour,price,w,place,ts",
        { "1,u01,a01,t1|t1,10,1.500000," .. case[1] })
      local split, message = assert(mr.dataset(dir .. "/fields.yaml")):split "train"
      local file = dir:gsub("%p", "%%%0") .. "/train.csv"
      helper.fails_with(case[2], split, (message:gsub(file, "FILE")))
    end
  end)

  it("allow 4096 scenarios", function()
    local dir, lines = make_project(ALL), {}
    for i = 1, 4097 do lines[i] = ("1,u,a,t,1,1,1,p%d,1"):format(i) end
    write_rows(dir, "train", "click,user,ad,tags,hour,price,w,place,ts", lines)
    local data = assert(mr.dataset(dir .. "/fields.yaml"))
    helper.fails_with(dir .. '/train.csv:4098:15: scenario "p4097" in column "place" is one more '
      .. "than the 4096 that are allowed", data:split "train")
  end)
end)

local function evaluate(dir, out)
  local status, text, err = helper.run(("eval %s"):format(out))
  assert.same({ 0, "" }, { status, err })
  local lines = {}
  for line in text:gmatch "[^\n]+" do lines[#lines + 1] = (line:gsub("%s+%S+$", "")) end
  return lines, dir
end

describe("a model of weighted rows", function()
  it("has the figures of rows that come so often", function()
    local dir = make_project "weight: w"
    local plain = make_project ""
    local run = "train %s/lr.yaml --quiet --out %s/run --set train.epochs=1"
    assert.same({ 0, "", "" }, { helper.run(run:format(dir, dir)) })
    local rows, header = rows_of(plain, "test")
    local all = {}
    for i, row in ipairs(rows) do
      for _ = 1, i % 3 do all[#all + 1] = row end
    end
    write_rows(dir, "repeated", header, all)
    local of_weights = evaluate(dir, dir .. "/run")
    -- The same model over rows that are repeated, each of weight 1.
    for i, row in ipairs(all) do all[i] = row:gsub(",%d(,[^,]*,[%d.]*)$", ",1%1") end
    write_rows(dir, "repeated", header, all)
    local of_repeats = evaluate(dir, ("%s/run --data %s/repeated.csv"):format(dir, dir))
    local function without_rows(line) return (line:gsub("^(%S+%s+)%d+", "%1")) end
    assert.equal(without_rows(of_repeats[2]), without_rows(of_weights[2]))
  end)

  it("resumes to the same bytes", function()
    local dir = make_project(ALL)
    local run = "train %s/lr.yaml --quiet --out %s/%s --set train.checkpoint.steps=1 %s"
    assert.same({ 0, "", "" }, { helper.run(run:format(dir, dir, "a", "")) })
    assert.same({ 0, "", "" }, { helper.run(run:format(dir, dir, "b", "--stop-after 1")) })
    assert.same({ 0, "", "" }, { helper.run(run:format(dir, dir, "b", "--resume")) })
    assert.is_true(helper.read(dir .. "/a/model.mr") == helper.read(dir .. "/b/model.mr"))
    assert.same(helper.figures(dir .. "/a"), helper.figures(dir .. "/b"))
  end)
end)

describe("figures by scenario", function()
  it("are those of the scenario's rows alone, and stand below the total", function()
    local dir = make_project "scenario: place"
    local run = "train %s/lr.yaml --out %s/run --set train.epochs=1"
    local status, out = helper.run(run:format(dir, dir))
    assert.equal(0, status)
    local lines = evaluate(dir, dir .. "/run")
    local rows, header = rows_of(dir, "test")
    for i, name in ipairs { 'a "b" c', "feed", "search" } do
      local own = {}
      for _, row in ipairs(rows) do
        if row:match(",\"?" .. name:gsub('"', '""') .. "\"?,[^,]*$") then own[#own + 1] = row end
      end
      write_rows(dir, "own", header, own)
      local alone = evaluate(dir, ("%s/run --data %s/own.csv"):format(dir, dir))[2]
      assert.equal("  " .. name, lines[2 + i]:sub(1, 2 + #name))
      assert.equal(alone:sub(16), lines[2 + i]:sub(16))
      assert.truthy(out:find("\n  " .. name .. " ", 1, true))
    end
    -- The heading, the total, three scenarios, and the line of entropy and calibration error.
    assert.equal(6, #lines)
    local metrics = helper.read(dir .. "/run/metrics.jsonl")
    assert.truthy(metrics:find('"name":"search"', 1, true))
  end)
end)
