-- Fields that combine others, from the fields file to scores: everything is held against the same
-- data with a column into which the combinations were written beforehand.
local crosses_helper = require "crosses_helper"
local helper = require "helper"

local combined = crosses_helper.combined

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

local run, train, slices = crosses_helper.commands(dir)

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
      assert.is_truthy(slices("crossed", by):find(" & ", 1, true))
      assert.equal(slices("written", by), slices("crossed", by))
    end
    train "json"
    assert.is_truthy(run("eval run_json --data test --by all"):find(" & a%d & "))
  end)

  it("is counted by check as the column would be", function()
    local function table_of(name) return run(("check %s.yaml"):format(name)) end
    assert.equal(table_of "written", table_of "crossed")
  end)
end)

-- ---- of several values ----

-- Requests with tags that are weighed; one cross of the request's, one with the ad, one of both.
local BAGS = [[
data: {train: bags.%s, test: bags_test.%s}
label: click
request: rid
defaults: {dim: 4, min_count: 3, strings: keep}
fields:
  - {name: tags_ad, type: ids, cross: [tags, ad], max: 8, pool: sum}
  - {name: user, side: user, type: id}
  - {name: tags, side: user, type: ids, separator: "|", weights: shares, max: 3, pool: mean}
  - {name: words, side: ad, type: ids, separator: "|"}
  - {name: ad, side: ad, type: id}
  - {name: user_tags, type: ids, cross: [user, tags], max: 2, pool: mean}
  - {name: words_tags_user, type: ids, cross: [words, tags, user], max: 7, pool: mean}
]]

-- The combinations of lists of { text, weight }, the last list's changing first.
local function combinations(max, ...)
  local found = { { texts = {} } }
  for _, list in ipairs { ... } do
    local longer = {}
    for _, before in ipairs(found) do
      for _, one in ipairs(list) do
        local texts = { unpack(before.texts) }
        texts[#texts + 1] = one[1]
        longer[#longer + 1] = { texts = texts, weight = before.weight or one[2] }
      end
    end
    found = longer
  end
  local pieces = {}
  for i = 1, math.min(max, #found) do
    pieces[i] = ("%s:%.17g"):format(table.concat(found[i].texts, " & "), found[i].weight)
  end
  return table.concat(pieces, "|")
end

local function texts_of(list, of)
  local texts = {}
  for i, one in ipairs(list) do texts[i] = of == "list" and '"' .. one[1] .. '"' or one[of] end
  return texts
end

local function write_bags(name, n, seed)
  local random, request = helper.random(seed), nil
  local lines, lists =
    { "shares,rid,user,tags,words,ad,click,tags_ad,user_tags,words_tags_user" }, {}
  local function some(letter, of, most)
    local list = {}
    for i = 1, random(most + 1) - 1 do list[i] = { letter .. random(of), (random(9) - 3) / 4 } end
    return list
  end
  for i = 1, n do
    if not request or random(4) == 1 then
      request = { user = { "u" .. random(4) }, tags = some("t", 5, 4), id = i }
    end
    local words, ad = some("w", 4, 3), { "a" .. random(5) }
    for _, word in ipairs(words) do word[2] = nil end
    local score = random(3) - 1
    for _, tag in ipairs(request.tags) do
      score = score + (tag[1] == "t" .. ad[1]:sub(2) and 4 * tag[2] or 0)
    end
    local kept = { unpack(request.tags, 1, 3) }
    lines[i + 1] = table.concat({ table.concat(texts_of(request.tags, 2), "|"), request.id,
      request.user[1], table.concat(texts_of(request.tags, 1), "|"),
      table.concat(texts_of(words, 1), "|"), ad[1], score > 0.5 and 1 or 0,
      combinations(8, kept, { ad }), combinations(2, { request.user }, kept),
      combinations(7, words, kept, { request.user }) }, ",")
    lists[i] = ('{"rid": %d, "user": "%s", "ad": "%s", "click": %d, "words": [%s], "tags": [%s], '
      .. '"shares": [%s]}'):format(request.id, request.user[1], ad[1], score > 0.5 and 1 or 0,
      table.concat(texts_of(words, "list"), ","), table.concat(texts_of(request.tags, "list"), ","),
      table.concat(texts_of(request.tags, 2), ", "))
  end
  helper.write(("%s/%s.csv"):format(dir, name), table.concat(lines, "\n") .. "\n")
  helper.write(("%s/%s.jsonl"):format(dir, name), table.concat(lists, "\n") .. "\n")
end

write_bags("bags", 3000, 3)
write_bags("bags_test", 300, 4)
helper.write(dir .. "/bags.yaml", BAGS:format("csv", "csv"))
helper.write(dir .. "/bags_json.yaml", BAGS:format("jsonl", "jsonl"))
helper.write(dir .. "/bags_written.yaml",
  (BAGS:format("csv", "csv"):gsub("type: ids, cross: (%b[])", function(parts)
    return ('side: %s, type: ids, weighted: true, separator: "|"'):format(
      (parts:find "ad" or parts:find "words") and "ad" or "user")
  end)))

describe("a cross of several values", function()
  local expected = train "bags_written"

  it("is the column that has the combinations written out, to the bit", function()
    assert.equal(expected, train "bags")
    local figures = helper.evaluate(("%s/run_bags --data test"):format(dir)).figures
    assert(figures.auc > 0.65, figures.auc)
    assert.equal(expected, train("bags", "--threads 3"))
  end)

  it("is the same from JSON lines, and for a row alone", function()
    assert.equal(expected, train "bags_json")
    local lines, at = {}, 0
    for line in helper.read(dir .. "/bags_test.jsonl"):gmatch "[^\n]+" do
      lines[#lines + 1] = line
    end
    for score in expected:gmatch "[^\n]+" do
      at = at + 1
      if at % 71 == 0 then
        helper.write(dir .. "/one.jsonl", lines[at] .. "\n")
        assert.equal(score .. "\n", run "predict run_bags_json --data one.jsonl")
      end
    end
  end)

  it("has names where a table keeps them, and goes through check and gradcheck", function()
    train "bags"
    for _, name in ipairs { "tags_ad", "words_tags_user" } do
      local function names(of)
        local out = run(("inspect run_%s --table %s --top 30"):format(of, name))
        return (out:match("key +norm +value\n(.-)\n\n"):gsub("%f[%x]%x+ +([%d.]+ )", "%1"))
      end
      assert(names("bags"):find(" & ", 1, true))
      assert.equal(names "bags_written", names "bags")
    end
    local function checked(name) -- but for the memory, which has the process's own in it
      return (run(("check %s.yaml"):format(name)):gsub("memory of a training:[^\n]*", ""))
    end
    assert.equal(checked "bags_written", checked "bags")
    run(("gradcheck %s --fields bags.yaml"):format("lr"))
  end)
end)
