-- Crosses of numbers with buckets, from the fields file to scores: everything is held against the
-- same data with columns into which a loop wrote the buckets and their combinations beforehand.
local crosses_helper = require "crosses_helper"
local helper = require "helper"

local combined = crosses_helper.combined

local dir = helper.temp_dir()
local AGES, PRICES = 4, 6

-- Requests of one to five rows; what is clicked depends on age and price together.
local function make_rows(n, seed)
  local random, rows, request = helper.random(seed), {}, nil
  for i = 1, n do
    if not request or random(5) == 1 then
      local tags = {}
      for k = 1, random(4) - 1 do tags[k] = "t" .. random(5) end
      request = { id = i, age = random(12) == 1 and "" or tostring(15 + random(50)),
        place = ({ "feed", "search", "cart", "" })[random(4)], tags = tags }
    end
    -- Each number in several spellings, of which a bucket must not know.
    local price = random(10) == 1 and "" or ("%.1f"):format(math.exp(random() * 4)):gsub("%.0$",
      ({ "", ".0", ".00" })[random(3)])
    local dear, old = (tonumber(price) or 0) > 8, (tonumber(request.age) or 0) > 40
    rows[i] = { rid = request.id, age = request.age, place = request.place, tags = request.tags,
      ad = "a" .. random(9), price = price, click = random(10) <= (dear == old and 7 or 2) and 1
        or 0 }
  end
  return rows
end

-- Bounds between so many buckets, where a bound is the number of that rank and no other bound.
local function bounds_of(numbers, buckets)
  local sorted, bounds = { unpack(numbers) }, {}
  table.sort(sorted)
  for b = 1, buckets - 1 do
    local bound = sorted[math.floor(#sorted * b / buckets) + 1]
    if bound > (bounds[#bounds] or sorted[1]) then bounds[#bounds + 1] = bound end
  end
  return bounds
end

local function name_of(bounds, number)
  if not number then return "missing" end
  local at = 0
  while at < #bounds and bounds[at + 1] <= number do at = at + 1 end
  if at == 0 then return ("below %.6g"):format(bounds[1]) end
  if at == #bounds then return ("%.6g or more"):format(bounds[at]) end
  return ("%.6g to %.6g"):format(bounds[at], bounds[at + 1])
end

local function float(text) return tonumber(require("ffi").new("float", tonumber(text))) end

local train_rows, test_rows = make_rows(4000, 1), make_rows(600, 2)
local ages, prices = {}, {}
for i, row in ipairs(train_rows) do
  ages[i] = tonumber(row.age) or 30 -- as `missing` says
  if row.price ~= "" then prices[#prices + 1] = float(row.price) end
end
ages, prices = bounds_of(ages, AGES), bounds_of(prices, PRICES)

local NAMES = { "rid", "age", "place", "tags", "ad", "price", "click", "age_b", "price_b",
  "age_place", "price_age", "price_ad", "tags_price" }

local function write(name, rows)
  local csv, jsonl = { table.concat(NAMES, ",") }, {}
  for i, row in ipairs(rows) do
    local age = name_of(ages, tonumber(row.age) or 30)
    local price = name_of(prices, row.price ~= "" and float(row.price) or nil)
    local both = {}
    for k, tag in ipairs(row.tags) do both[k] = combined(tag, price) end
    csv[i + 1] = table.concat({ row.rid, row.age, row.place, table.concat(row.tags, "|"), row.ad,
      row.price, row.click, age, price, combined(age, row.place), combined(price, age),
      combined(price, row.ad), table.concat(both, "|", 1, math.min(2, #both)) }, ",")
    jsonl[i] = ('{"tags": ["%s"], "click": %d, "price": %s, "rid": %d, "ad": "%s", "age": "%s", '
      .. '"place": "%s"}'):format(table.concat(row.tags, '","'), row.click,
        row.price == "" and "null" or row.price, row.rid, row.ad, row.age, row.place)
  end
  helper.write(("%s/%s.csv"):format(dir, name), table.concat(csv, "\n") .. "\n")
  helper.write(("%s/%s.jsonl"):format(dir, name), table.concat(jsonl, "\n") .. "\n")
end

write("train", train_rows)
write("test", test_rows)

-- The crosses that have a bucket stand above their parts and below.
local FIELDS = [[
data: {train: train.%s, test: test.%s}
label: click
request: rid
defaults: {dim: 4, min_count: 3, strings: keep}
tables: {age: {min_count: 1}, price: {min_count: 1}}
fields:
  - {name: price_age, type: id, cross: [price, age]}
  - {name: age, side: user, type: number, missing: 30, buckets: quantile(4)}
  - {name: place, side: scene, type: id}
  - {name: tags, side: user, type: ids, separator: "|", max: 2}
  - {name: ad, side: ad, type: id}
  - {name: price, side: ad, type: number, buckets: quantile(6), missing: own}
  - {name: age_place, type: id, cross: [age, place]}
  - {name: price_ad, type: id, cross: [price, ad]}
  - {name: tags_price, type: ids, cross: [tags, price], max: 2, pool: sum}
]]
-- Written out, each is a column; a bucket is an id, whose column has its name.
local SIDES = { price_age = "ad", age_place = "user", price_ad = "ad", tags_price = "ad" }
local WRITTEN = FIELDS:gsub("name: ([%w_]+), type: (%a+), cross: %b[]", function(name, type)
  return ("name: %s, side: %s, type: %s%s"):format(name, SIDES[name], type,
    type == "ids" and ', separator: "|"' or "")
end):gsub("name: (%a+), side: (%a+), type: number[^}]*",
  "name: %1, source: %1_b, side: %2, type: id")

helper.write(dir .. "/crossed.yaml", FIELDS:format("csv", "csv"))
helper.write(dir .. "/json.yaml", FIELDS:format("jsonl", "jsonl"))
helper.write(dir .. "/written.yaml", WRITTEN:format("csv", "csv"))

local run, train, slices = crosses_helper.commands(dir)

describe("a cross of buckets", function()
  local written = train "written"

  it("is the column that has the combinations written out, to the bit", function()
    assert.equal(written, train "crossed")
    local figures = helper.evaluate(("%s/run_crossed --data test"):format(dir)).figures
    assert(figures.auc > 0.65, figures.auc)
    local _, lines = written:gsub("\n", "\n")
    assert.equal(#test_rows, lines)
  end)

  it("is the same from JSON lines, from a cache, and for any number of threads", function()
    assert.equal(written, train("json", "--threads 1"))
    assert.equal(written, train("crossed", "--threads 3"))
    assert.equal(0, os.execute("rm -r " .. helper.quote(dir .. "/.moonrank-cache")))
    assert.equal(written, train("crossed", "--threads 2"))
    local model = helper.read(dir .. "/run_crossed/model.mr")
    assert.equal(written, train("crossed", "--threads 1"))
    assert.is_true(model == helper.read(dir .. "/run_crossed/model.mr"))
  end)

  it("is the same of standard input, which is kept for the second pass", function()
    train "crossed"
    local command = ("cd %s && cat train.csv | %s train lr_crossed.yaml --quiet --out run_piped "
      .. "--set data.train=- --set data.format=csv"):format(dir,
      helper.quote(helper.root() .. "/moonrank"))
    assert.same({ 0, "", "" }, { helper.shell(command) })
    assert.equal(written, run "predict run_piped --data test.csv")
    local both = command:gsub("run_piped", "run_both") .. " --set data.valid=-"
    assert.same({ 1, "", "moonrank: --set data.valid=-: standard input is read once, and "
      .. "data.train reads it already\n" }, { helper.shell(both) })
  end)

  it("is the same for a row alone, and for a program request by request", function()
    train "crossed"
    local lines, scores = {}, {}
    for line in helper.read(dir .. "/test.csv"):gmatch "[^\n]+" do lines[#lines + 1] = line end
    for score in written:gmatch "[^\n]+" do scores[#scores + 1] = score end
    for at = 50, #scores, 97 do
      helper.write(dir .. "/one.csv", lines[1] .. "\n" .. lines[at + 1] .. "\n")
      assert.equal(scores[at] .. "\n", run "predict run_crossed --data one.csv")
    end

    local mr = require "moonrank.ffi"
    local C, out, made = mr.C, mr.new "mr_predictor *[1]", mr.new "mr_scratch *[1]"
    mr.check(C.mr_predictor_open(out, dir .. "/run_crossed/model.mr"))
    local predictor = mr.gc(out[0], C.mr_predictor_close)
    mr.check(C.mr_scratch_new(made, predictor))
    local scratch, schema = mr.gc(made[0], C.mr_scratch_free), C.mr_predictor_schema(predictor)
    -- Columns of some rows as their texts, which `keep` holds.
    local function values_of(names, first, last, keep)
      local values = mr.new("mr_values[?]", #names)
      for v, name in ipairs(names) do
        local texts = {}
        for i = first, last do
          local value = test_rows[i][name]
          texts[#texts + 1] = type(value) == "table" and table.concat(value, "|") or value
        end
        keep[#keep + 1] = mr.new("const char *[?]", #texts, texts)
        values[v - 1].column, values[v - 1].texts = C.mr_schema_find(schema, name), keep[#keep]
      end
      return values
    end
    local first, several = 1, 0
    while first <= #test_rows do
      local last, keep = first, {}
      while test_rows[last + 1] and test_rows[last + 1].rid == test_rows[first].rid do
        last = last + 1
      end
      local n, got = last - first + 1, mr.new("float[?]", last - first + 1)
      mr.check(C.mr_predictor_prepare(scratch,
        values_of({ "age", "place", "tags" }, first, first, keep), 3))
      mr.check(C.mr_predictor_score(scratch, n, values_of({ "ad", "price" }, first, last, keep), 2,
        got))
      for i = 1, n do assert.equal(scores[first + i - 1], ("%.9g"):format(got[i - 1])) end
      several, first = several + (n > 1 and 1 or 0), last + 1
    end
    assert(several > 50)
  end)

  it("has names where a table keeps them, and in figures by its values", function()
    train "crossed"
    for _, name in ipairs { "price_age", "age_place", "tags_price" } do
      local function names(of)
        local out = run(("inspect run_%s --table %s --top 30"):format(of, name))
        return (out:match("key +norm +value\n(.-)\n\n"):gsub("%f[%x]%x+ +([%d.]+ )", "%1"))
      end
      assert(names("crossed"):find(" to %d+%.?%d* &") or names("crossed"):find "& %d")
      assert.equal(names "written", names "crossed")
    end
    local function check_figures()
      for _, by in ipairs { "price_age", "age_place" } do
        assert.is_truthy(slices("crossed", by):find(" & ", 1, true))
        assert.equal(slices("written", by), slices("crossed", by))
      end
    end
    check_figures()
    for _, name in ipairs { "written", "crossed", "json" } do -- whose files are read again
      train(name, "--set defaults.strings=forget")
    end
    check_figures()
    assert.is_truthy(run("eval run_json --data test --by price_age"):find "missing & %d")
  end)

  it("is counted by check as the column would be", function()
    local function crosses_of(name)
      local out, lines = run(("check %s.yaml"):format(name)), {}
      for line in out:gmatch "[^\n]+" do
        if line:find "^%a+_%a+ " then lines[#lines + 1] = line end
      end
      return lines
    end
    assert.equal(8, #crosses_of "crossed") -- of train and test
    assert.same(crosses_of "written", crosses_of "crossed")
  end)
end)
