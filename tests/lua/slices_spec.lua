-- lua/moonrank/slices.lua against loops over the text, and what eval and compare make of it against
-- the same commands on files that hold a slice's rows alone.
local Dataset = require "moonrank.dataset"
local Slices = require "moonrank.slices"
local ffi = require "ffi"
local helper = require "helper"

local NAMES = { 'plain', '"in, quotes"', '"say ""hi"""', '', 'z\195\188rich', ('long'):rep(20) }
local TEXTS = { 'plain', 'in, quotes', 'say "hi"', '(none)', 'z\195\188rich' }

-- A split of 600 rows in requests of up to three, with commas and quotes in the scenes.
local function make_data(packed)
  local dir, random, rows = helper.temp_dir(), helper.random(5), {}
  local lines, request = { "id,scene,ad,click,age,who" }, 0
  for i = 1, 600 do
    local same = i > 1 and random(3) > 1
    if not same then request = request + 1 end
    local row = { scene = same and rows[i - 1].scene or random(#NAMES), ad = random(9),
      click = random(2) - 1, who = same and rows[i - 1].who or random(40),
      age = same and rows[i - 1].age or random(100) / 4 }
    rows[i] = row
    lines[i + 1] = ("%d,%s,a%d,%d,%g,w%d"):format(request, NAMES[row.scene], row.ad, row.click,
      row.age, row.who)
  end
  local path = helper.write(dir .. "/train.csv", table.concat(lines, "\r\n") .. "\r\n")
  if packed then os.execute(("gzip %s && mv %s.gz %s"):format(path, path, path)) end
  helper.write(dir .. "/fields.yaml", [[
data: {train: train.csv}
label: click
request: id
group: who
fields:
  - {name: scene, side: user, type: id}
  - {name: age, side: user, type: number}
  - {name: ad, side: ad, type: id}
]])
  return assert(Dataset.open(dir .. "/fields.yaml", { threads = 1 })).train, rows
end

local function numbered(n)
  local list = ffi.new("float[?]", n)
  for i = 0, n - 1 do list[i] = i end
  return list
end

-- The slices as { name = { numbers of the rows ... } }.
local function picked(slices, n)
  local result, count = {}, 0
  for k, slice in ipairs(slices) do
    local rows, list = slices:gather(k, numbered(n)), {}
    for i = 1, slice.rows do list[i] = rows[i - 1] end
    result[slice.name], count = list, count + slice.rows
  end
  assert.equal(n, count)
  return result
end

-- The slices of test.csv by how often train.csv has its ads; `more`: other fields.
local function by_frequency(dir, min_count, more)
  helper.write(dir .. "/fields.yaml", ([[
data: {train: train.csv, test: test.csv, cache: cache%d}
defaults: {min_count: %d}
label: click
fields:
  - {name: ad, side: ad, type: id}
%s]]):format(min_count, min_count, more or ""))
  local data = assert(Dataset.open(dir .. "/fields.yaml", { threads = 1 }))
  return assert(Slices.by_frequency(data.test, data.train, "ad"))
end

local function expected(rows, name_of)
  local result = {}
  for i, row in ipairs(rows) do
    local name = name_of(row)
    result[name] = result[name] or {}
    table.insert(result[name], i - 1)
  end
  return result
end

describe("slices", function()
  for _, packed in ipairs { false, true } do
    it("of an id have its rows and its texts" .. (packed and ", of gzip too" or ""), function()
      local split, rows = make_data(packed)
      local slices = assert(Slices.by(split, "scene"))
      local by_name, by_number = picked(slices, 600), expected(rows, function(r) return r.scene end)
      for i, text in ipairs(TEXTS) do assert.same(by_number[i], by_name[text], text) end
      for name, list in pairs(by_name) do
        if name:find "^longlong" then assert.same(by_number[6], list) end
      end
      for k = 2, #slices do assert.is_true(slices[k].rows <= slices[k - 1].rows) end
    end)
  end

  it("of many values put the rarer ones together", function()
    local split, rows = make_data()
    local counts, slices = {}, assert(Slices.by(split, "who", 3))
    for _, row in ipairs(rows) do counts[row.who] = (counts[row.who] or 0) + 1 end
    local order = {}
    for who, n in pairs(counts) do order[#order + 1] = { who = who, n = n } end
    table.sort(order, function(a, b) return a.n > b.n end)
    assert.same({ order[1].n, order[2].n, order[3].n }, { slices[1].rows, slices[2].rows,
      slices[3].rows })
    assert.equal(("%d others"):format(#order - 3), slices[4].name)
    assert.same(expected(rows, function(r) return "w" .. r.who end)[slices[1].name],
      picked(slices, 600)[slices[1].name])
  end)

  it("of a number are its values, or ranges of about as many rows", function()
    local split, rows = make_data()
    local slices = assert(Slices.by(split, "age"))
    assert.equal(5, #slices)
    for k, slice in ipairs(slices) do
      local low, high = slice.name:match "^(%S+) to (%S+)$"
      local n = 0
      for _, row in ipairs(rows) do
        if row.age >= tonumber(low) and row.age <= tonumber(high) then n = n + 1 end
      end
      assert.equal(n, slice.rows)
      assert.is_true(k == 1 or tonumber(low) > tonumber(slices[k - 1].name:match "%S+$"))
    end
    local clicks = picked(assert(Slices.by(split, "click")), 600)
    assert.same(expected(rows, function(r) return tostring(r.click) end), clicks)
    local ages, distinct = {}, 0
    for _, row in ipairs(rows) do
      distinct, ages[row.age] = distinct + (ages[row.age] and 0 or 1), true
    end
    assert.equal(distinct, #assert(Slices.by(split, "age", 100)))
  end)

  it("by frequency count the rows of the training data", function()
    local dir = helper.temp_dir()
    local lines, counts = { "ad,click" }, { a = 1, b = 9, c = 10, d = 99, e = 100, f = 2 }
    for ad, n in pairs(counts) do
      for i = 1, n do lines[#lines + 1] = ("%s,%d"):format(ad, i % 2) end
    end
    helper.write(dir .. "/train.csv", table.concat(lines, "\n") .. "\n")
    helper.write(dir .. "/test.csv", "ad,click\ng,0\na,1\ne,0\nd,1\nc,0\nb,1\ne,1\n,0\nf,0\n")
    for least, names in pairs { { "none", "1 to 9", "10 to 99", "100 to 999" },
      { "fewer than 2", "2 to 9", "10 to 99", "100 to 999" } } do
      local slices = by_frequency(dir, least)
      local first = least == 1 and { { 0, 7 }, { 1, 5, 8 } } or { { 0, 1, 7 }, { 5, 8 } }
      assert.same({ [names[1]] = first[1], [names[2]] = first[2], [names[3]] = { 3, 4 },
        [names[4]] = { 2, 6 } }, picked(slices, 9))
      assert.equal(names[1], slices[1].name)
    end
  end)

  it("by frequency count the rows of the field alone where its table has other columns", function()
    local dir = helper.temp_dir()
    local lines, counts = { "ad,seen,click" }, { a = 1, b = 2, c = 3, d = 19, e = 20 }
    for ad, n in pairs(counts) do -- each is often in the other column, and so known
      for i = 1, 30 do lines[#lines + 1] = ("%s,%s,%d"):format(i <= n and ad or "", ad, i % 2) end
    end
    helper.write(dir .. "/train.csv", table.concat(lines, "\n") .. "\n")
    helper.write(dir .. "/test.csv", "ad,seen,click\na,a,0\nb,a,1\nc,a,0\nd,a,1\ne,a,0\nf,a,1\n")
    for least, rows in pairs { [3] = { ["fewer than 3"] = { 0, 1, 5 }, ["3 to 9"] = { 2 },
      ["10 to 99"] = { 3, 4 } }, [20] = { ["fewer than 20"] = { 0, 1, 2, 3, 5 },
      ["20 to 99"] = { 4 } } } do
      assert.same(rows, picked(by_frequency(dir, least,
        "  - {name: seen, side: user, type: id, table: ad}\n"), 6))
    end
  end)

  it("say what there is instead", function()
    local split = make_data()
    helper.fails_with('there is no field "scenes" of one value a row; did you mean "scene"?',
      Slices.by(split, "scenes"))
    helper.fails_with('there is no field "age" of one id a row', Slices.by_frequency(split, split,
      "age"))
  end)
end)

describe("figures of slices", function()
  local dir

  -- The rows of test.csv of an hour, or of some hours, in a file of their own.
  local function write_hours(is_in)
    local lines, n = {}, 0
    for line in helper.read(dir .. "/test.csv"):gmatch "[^\n]+" do
      local hour = line:match "^[^,]*,[^,]*,[^,]*,[^,]*,(%d+)"
      if not hour or is_in(hour) then lines[#lines + 1], n = line, n + 1 end
    end
    helper.write(dir .. "/part.csv", table.concat(lines, "\n") .. "\n")
    return n - 1
  end

  setup(function() dir = helper.make_runs() end)

  it("by eval are those of the slice's rows alone", function()
    local all, out = helper.evaluate(dir .. "/lr --by hour --bins 4")
    assert.equal("hour", all.by[1].field)
    assert.equal(4, #all.bins)
    assert.truthy(out:find(("\nnormalised entropy %.6f, expected calibration error %.6f in 4 "
      .. "bins\n"):format(all.figures.normalised_entropy, all.calibration_error), 1, true))
    assert.truthy(out:find "\npredicted   clicked  95 %% interval               rows\n 0%.")
    for _, slice in ipairs { all.by[1].slices[1], all.by[1].slices[7] } do
      assert.equal(slice.rows, write_hours(function(hour) return hour == slice.name end))
      local part = helper.evaluate(("%s/lr --data %s/part.csv"):format(dir, dir)).figures
      for _, name in ipairs { "auc", "gauc", "logloss", "normalised_entropy", "calibration" } do
        assert.equal(part[name], slice[name], name)
      end
      assert.truthy(out:find(("\n%s +%d  %.6f  "):format(slice.name, slice.rows, slice.auc)))
    end
  end)

  it("by compare are those of the slice's rows alone, each with its interval", function()
    local _, out = helper.run(("compare %s/lr %s/fm --draws 60 --by hour --frequency ad")
      :format(dir, dir))
    local hour, rows, row = out:match "\nhour [^\n]+\n(%d+) +(%d+) +AUC +([^\n]+)\n"
    assert.equal(tonumber(rows), write_hours(function(other) return hour == other end))
    local _, part = helper.run(("compare %s/lr %s/fm --draws 60 --data %s/part.csv")
      :format(dir, dir, dir))
    assert.equal(row, part:match "\nAUC +([^\n]+)\n")
    assert.truthy(out:find "\nrows of ad in training")
    assert.truthy(out:find "\n10 to 99 +%d+ +AUC ")
  end)

  it("say in one line what is wrong", function()
    assert.same({ 1, "", 'moonrank: there is no field "tags" of one value a row\n' },
      { helper.run(("eval %s/lr --by tags"):format(dir)) })
    assert.same({ 1, "", 'moonrank: there is no field "price" of one id a row\n' },
      { helper.run(("compare %s/lr %s/fm --frequency price"):format(dir, dir)) })
    assert.same({ 2, "", 'moonrank: --bins is "0", expected a whole number 1 to 1000\n' },
      { helper.run(("eval %s/lr --bins 0"):format(dir)) })
  end)
end)
