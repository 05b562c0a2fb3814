-- Fields that combine others, from the fields file to scores: everything is held against the same
-- data with a column into which the combinations were written beforehand.
local helper = require "helper"

local USERS, PLACES = { "u1", "u2", "u, 3", "" }, { "feed", "search", "cart", "" }

local function quoted(text) return '"' .. text .. '"' end

-- Requests of one to five rows; what is clicked depends on ad and place together.
local function make_rows(n, seed)
  local random, rows, liked, request = helper.random(seed), {}, helper.random(77), nil
  local likes = {}
  for a = 1, 9 do
    for _, place in ipairs(PLACES) do likes["a" .. a .. place] = liked(10) end
  end
  for i = 1, n do
    if not request or random(5) == 1 then
      request = { id = i, user = USERS[random(#USERS)], place = PLACES[random(#PLACES)] }
    end
    local ad = "a" .. random(9)
    rows[i] = { request.id, request.user, request.place, ad,
      random(10) <= likes[ad .. request.place] and 1 or 0 }
  end
  return rows
end

-- The text of a combination, by the rule that says when it is unknown.
local function combined(...)
  for i = 1, select("#", ...) do
    if select(i, ...) == "" then return "" end
  end
  return table.concat({ ... }, " & ")
end

local function write_csv(path, rows)
  local lines = { "rid,user,place,ad,click,user_place,ad_place,all" }
  for i, row in ipairs(rows) do
    local rid, user, place, ad, click = unpack(row)
    lines[i + 1] = table.concat({ rid, quoted(user), place, ad, click,
      quoted(combined(user, place)), combined(ad, place), quoted(combined(user, ad, place)) }, ",")
  end
  helper.write(path, table.concat(lines, "\n") .. "\n")
end

local function write_jsonl(path, rows)
  local lines = {}
  for i, row in ipairs(rows) do
    lines[i] = ('{"click": %d, "ad": "%s", "rid": %d, "place": "%s", "user": "%s"}'):format(row[5],
      row[4], row[1], row[3], row[2])
  end
  helper.write(path, table.concat(lines, "\n") .. "\n")
end

local FIELDS = [[
data: {train: train.%s, test: test.%s}
label: click
request: rid
group: user
defaults: {dim: 4, min_count: 3, strings: keep}
fields:
  - {name: user, side: user, type: id}
  - {name: place, side: scene, type: id}
  - {name: ad, side: ad, type: id}
  - {name: user_place, side: user, type: id, cross: [user, place]}
  - {name: ad_place, side: ad, type: id, table: both, cross: [ad, place]}
  - {name: all, side: ad, type: id, cross: [user, ad, place]}
]]

local dir = helper.temp_dir()
local test_rows = make_rows(600, 2)
for name, rows in pairs { train = make_rows(4000, 1), test = test_rows } do
  write_csv(("%s/%s.csv"):format(dir, name), rows)
  write_jsonl(("%s/%s.jsonl"):format(dir, name), rows)
end
-- The crosses above their parts, which say whose they are.
local plain, crosses = FIELDS:match "fields:\n(.-)(  %- {name: user_place.*)$"
local ABOVE = FIELDS:match "^.*fields:\n" .. crosses .. plain
helper.write(dir .. "/written_above.yaml", (ABOVE:format("csv", "csv"):gsub(", cross: %b[]", "")))
helper.write(dir .. "/crossed_above.yaml",
  (ABOVE:format("csv", "csv"):gsub("side: %a+, ([^\n]*cross)", "%1")))
helper.write(dir .. "/crossed.yaml", FIELDS:format("csv", "csv"))
helper.write(dir .. "/json.yaml", FIELDS:format("jsonl", "jsonl"))
helper.write(dir .. "/written.yaml", (FIELDS:format("csv", "csv"):gsub(", cross: %b[]", "")))

local function run(words)
  local status, out, err = helper.run(words, dir)
  assert.same({ 0, "" }, { status, err })
  return out
end

-- Weights of lr begin at 0, so they do not depend on what keys are called.
local function train(name, more)
  helper.write(("%s/lr_%s.yaml"):format(dir, name), ([[
fields: %s.yaml
model: {script: lr}
train:
  {batch: 128, epochs: 2, seed: 3, tables: {init: {normal: 0}}, optimizer: {adagrad: {lr: 0.1}}}
]]):format(name))
  run(("train lr_%s.yaml --quiet --out run_%s %s"):format(name, name, more or ""))
  return run(("predict run_%s --data test"):format(name))
end

local written = train "written"

describe("a cross", function()
  it("is the column that has the combinations written out, to the bit", function()
    assert.equal(written, train "crossed")
    local figures = helper.evaluate(("%s/run_crossed --data test"):format(dir)).figures
    assert(figures.auc > 0.65, figures.auc)
    local _, lines = written:gsub("\n", "\n")
    assert.equal(#test_rows, lines)
  end)

  it("is the same from JSON lines, and for any number of threads", function()
    assert.equal(written, train("json", "--threads 1"))
    assert.equal(written, train("crossed", "--threads 3"))
  end)

  it("may stand above its parts, and is theirs", function()
    local scores = train "crossed_above"
    assert.equal(train "written_above", scores)
    helper.write(dir .. "/one.csv", "rid,ad,place,user\n1,a1,feed,u1\n")
    helper.write(dir .. "/same.csv", "rid,ad,place,user,user_place,ad_place,all\n"
      .. "1,a1,feed,u1,u1 & feed,a1 & feed,u1 & a1 & feed\n")
    assert.equal(run "predict run_written_above --data same.csv",
      run "predict run_crossed_above --data one.csv")
  end)

  it("is the same for a row alone", function()
    local at, lines = 0, {}
    for line in helper.read(dir .. "/test.csv"):gmatch "[^\n]+" do lines[#lines + 1] = line end
    train "crossed"
    for score in written:gmatch "[^\n]+" do
      at = at + 1
      if at % 97 == 0 then
        helper.write(dir .. "/one.csv", lines[1] .. "\n" .. lines[at + 1] .. "\n")
        assert.equal(score .. "\n", run "predict run_crossed --data one.csv")
      end
    end
    assert.equal(#test_rows, at)
  end)

  it("needs no column in the file", function()
    train "crossed"
    helper.write(dir .. "/few.csv", "rid,ad,place,user\n1,a1,feed,u1\n")
    helper.write(dir .. "/more.csv",
      "rid,ad,place,user,user_place,ad_place,all\n1,a1,feed,u1,x,y,z\n")
    assert.equal(run "predict run_crossed --data more.csv",
      run "predict run_crossed --data few.csv")
  end)

  it("has names where a table keeps them, and in figures by its values", function()
    train "crossed"
    local function names(run_name)
      local out, found = run(("inspect run_%s --table all --top 20"):format(run_name)), {}
      for value in out:match("key +norm +value\n(.-)\n\n"):gmatch "%x+ +[%d.]+ +([^\n]+)" do
        found[#found + 1] = value
      end
      return found
    end
    assert.equal(20, #names "crossed")
    assert.same(names "written", names "crossed")
    for _, by in ipairs { "all", "user_place" } do
      local function figures(name)
        return (run(("eval run_%s --data test --by %s"):format(name, by)):gsub("[%d.]+\n", "\n"))
      end
      assert.is_truthy(figures("crossed"):find(" & ", 1, true))
      assert.equal(figures "written", figures "crossed")
    end
    train "json"
    assert.is_truthy(run("eval run_json --data test --by all"):find(" & a%d & "))
  end)

  it("is counted by check as the column would be", function()
    local function table_of(name) return run(("check %s.yaml"):format(name)) end
    assert.equal(table_of "written", table_of "crossed")
  end)
end)
