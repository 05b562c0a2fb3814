-- moonrank.prepare and the scripts that use it, on made-up data: histories are the past and nothing
-- else, counts, negatives, the same bytes for the same seed.
local helper = require "helper"
local path_of = require "moonrank.path"
local prepare = require "moonrank.prepare"

local SPLITS = { "train", "valid", "test" }

local function run(example, folder, more)
  local out = helper.temp_dir() .. "/rows"
  local status, said, err = helper.shell(("luajit examples/%s/prepare.lua --data %s --out %s %s")
    :format(example, helper.quote(folder), helper.quote(out), more or ""))
  return out, status, said, err
end

local function read_all(out)
  local parts, counts = {}, {}
  for i, split in ipairs(SPLITS) do
    parts[split] = helper.read_table(("%s/%s.tsv.zst"):format(out, split))
    counts[i] = #parts[split]
  end
  return parts, counts
end

local function prepared(example, folder, more)
  local out, status, said, err = run(example, folder, more)
  assert.same({ 0, "" }, { status, err })
  local parts, counts = read_all(out)
  return parts, counts, said, out
end

local function bytes(out)
  local text = {}
  for i, split in ipairs(SPLITS) do
    text[i] = helper.read(("%s/%s.tsv.zst"):format(out, split))
  end
  return table.concat(text)
end

-- The rows of leaving the last out, against the users' items in the order of time: `history(row)`
-- is what a row says was before; the number of a user's rows tells which item it is about.
local function check_leave_last_out(parts, users, item_column, history)
  local next_k = {}
  for id in pairs(users) do next_k[id] = 2 end
  for _, split in ipairs(SPLITS) do
    local rows = parts[split]
    for i = 1, #rows, 2 do
      local positive, negative = rows[i], rows[i + 1]
      local id = positive.user_id
      local items, k = users[id], next_k[id]
      next_k[id] = k + 1
      assert.same({ "1", "0" }, { positive.label, negative.label })
      assert.equal(items[k], positive[item_column])
      for _, item in ipairs(items) do assert.not_equal(item, negative[item_column]) end
      assert.equal(k == #items and "test" or k == #items - 1 and "valid" or "train", split)
      assert.equal(table.concat(items, " ", 1, k - 1), history(positive))
      -- What a request has in common is the same in both of its rows.
      for column, cell in pairs(positive) do
        if column == "user_id" or column == "request_id" or column == "time"
            or column:find "^items" or column:find "liked" then
          assert.equal(cell, negative[column], column)
        end
      end
    end
  end
  for id, items in pairs(users) do assert.equal(#items + 1, next_k[id], id) end
end

-- The experiments beside the script read the rows: each is trained for an epoch, on test rows,
-- since so little data may have no others.
local function check_experiments(example, out)
  local n = 0
  for _, file in ipairs(path_of.glob(("examples/%s/*.yaml"):format(example))) do
    local name = path_of.stem(file)
    if not name:find "^fields" and name ~= "common" then
      n = n + 1
      assert.same({ 0, "", "" }, { helper.run(("train %s --quiet --set data.root=%s --out %s/%s "
        .. "--set data.train=test.tsv.zst --set train.epochs=1 --set train.monitor=logloss")
        :format(file, helper.quote(out), helper.quote(out), name)) })
    end
  end
  assert(n >= 2)
end

-- ---- MovieLens ----

local GENRES = { "Drama", "Comedy,Drama", "Action", "Action,War,Drama" }
local FILMS = 9

-- { user, film, stars, time }, not in the order of time; two in the same second.
local RATINGS = {
  { "7", 1, 5, 300 }, { "7", 2, 3, 100 }, { "7", 3, 4, 200 }, { "7", 4, 2, 200 },
  { "7", 5, 5, 400 }, { "4", 9, 4, 250 }, { "4", 8, 1, 350 },
  { "4", 1, 3, 450 }, { "5", 2, 5, 150 }, { "5", 6, 4, 460 },
}
local BY_TIME = { ["7"] = { "2", "3", "4", "1", "5" }, ["4"] = { "9", "8", "1" },
  ["5"] = { "2", "6" } }

local function movielens()
  local folder = helper.temp_dir()
  local lines = {}
  for i, r in ipairs(RATINGS) do lines[i] = ("%s::%d::%d::%d\n"):format(unpack(r)) end
  helper.write(folder .. "/ratings.dat", table.concat(lines))
  assert.equal(0, (helper.shell("gzip " .. helper.quote(folder .. "/ratings.dat"))))
  helper.write(folder .. "/users.dat", "4::F::25::3::10001\n5::M::35::0::x-2\n7::M::1::12::03\n")
  lines = {}
  for film = 1, FILMS do
    lines[film] = ("%d::It's: a film, %d (1999)::%s\n"):format(film, film,
      (GENRES[film % 4 + 1]:gsub(",", "|")))
  end
  helper.write(folder .. "/movies.dat", table.concat(lines))
  return folder
end

local function stars_of(user, film)
  for _, r in ipairs(RATINGS) do
    if r[1] == user and tostring(r[2]) == film then return r[3], r[4] end
  end
end

local function words(list)
  local found = {}
  for word in list:gmatch "%S+" do found[#found + 1] = word end
  return found
end

describe("rows of MovieLens", function()
  local folder = movielens()

  -- Liked and disliked of a row, against a slow walk over the raw ratings of its user.
  local function check_past(row, is_past, max)
    for _, kind in ipairs { "liked", "disliked" } do
      local expected, genres = {}, {}
      for place, film in ipairs(BY_TIME[row.user_id]) do
        local stars, time = stars_of(row.user_id, film)
        if is_past(time, place) and (stars >= 4) == (kind == "liked") then
          expected[#expected + 1] = film
          genres[#genres + 1] = GENRES[film % 4 + 1]
        end
      end
      local from = math.max(1, #expected - max + 1)
      assert.equal(table.concat(expected, " ", from), row[kind])
      assert.equal(table.concat(genres, " ", from), row[kind .. "_genres"])
    end
  end

  it("by leaving the last out", function()
    local parts, counts, said, out = prepared("movielens", folder)
    assert.same({ 2 * 2, 2 * 2, 2 * 3 }, counts) -- users of five, three and two films
    assert.equal("split  by user: the last item is test, the one before it valid, the others "
      .. "train\nrule   each item but the first with one negative, drawn evenly from the items "
      .. "that its user never had (seed 1)\npast   what the user had before, the last 100 of it\n"
      .. ("train  4 rows in %s/train.tsv.zst\nvalid  4 rows in %s/valid.tsv.zst\ntest   6 rows in "
      .. "%s/test.tsv.zst\n"):format(out, out, out), said)
    assert.equal(said:match "^(.-)train ", helper.read(out .. "/rules.txt"))
    check_leave_last_out(parts, BY_TIME, "movie_id", function(row)
      local had = {}
      for _, film in ipairs(words(row.liked .. " " .. row.disliked)) do had[film] = true end
      local in_order = {}
      for _, film in ipairs(BY_TIME[row.user_id]) do
        if had[film] then in_order[#in_order + 1] = film end
      end
      return table.concat(in_order, " ")
    end)
    for _, split in ipairs(SPLITS) do
      for _, row in ipairs(parts[split]) do
        local n = #words(row.liked .. " " .. row.disliked)
        check_past(row, function(_, place) return place <= n end, 100)
        assert.equal(GENRES[row.movie_id % 4 + 1], row.genres)
        assert.equal(row.genres:match "^[^,]+", row.genre)
      end
    end
    check_experiments("movielens", out)
    local row = parts.test[1]
    assert.same({ "7", "M", "1", "12", "03" },
      { row.user_id, row.gender, row.age, row.occupation, row.zip })
  end)

  it("by date, with what was rated in earlier seconds", function()
    local parts, counts, said, out = prepared("movielens", folder,
      "--split date --valid-from 350 --test-from 450 --max 1")
    assert.same({ 6, 2, 2 }, counts)
    check_experiments("movielens", out)
    assert.truthy(said:find("split  by date: valid from 350 (1970-01-01 00:05:50 UTC), test from "
      .. "450 (1970-01-01 00:07:30 UTC)\nrule   every rating is a row; its label is 1 from 4 stars "
      .. "on\n", 1, true), said)
    local requests = {}
    for i, split in ipairs(SPLITS) do
      for _, row in ipairs(parts[split]) do
        local stars, time = stars_of(row.user_id, row.movie_id)
        assert.same({ tostring(time), stars >= 4 and "1" or "0" }, { row.time, row.label })
        assert.equal(time < 350 and 1 or time < 450 and 2 or 3, i)
        check_past(row, function(earlier) return earlier < time end, 1)
        local key = row.user_id .. " " .. row.time
        assert.equal(requests[key] or row.request_id, row.request_id)
        requests[key] = row.request_id
      end
    end
    assert.equal(requests["7 200"], parts.train[2].request_id)
    assert.equal(requests["7 200"], parts.train[3].request_id)
  end)

  it("by date, at the fifth and the tenth part of the ratings that came last", function()
    local parts, counts = prepared("movielens", folder, "--split date")
    assert.same({ 8, 1, 1 }, counts)
    assert.same({ "450", "460" }, { parts.valid[1].time, parts.test[1].time })
  end)

  it("at random: every rating once, 8:1:1, no histories", function()
    local parts, counts, said, out = prepared("movielens", folder, "--split random --seed 3")
    assert.same({ 8, 1, 1 }, counts)
    check_experiments("movielens_random", out)
    assert.truthy(said:find "^split  8:1:1 at random %(seed 3%)\n")
    local seen = {}
    for _, split in ipairs(SPLITS) do
      for _, row in ipairs(parts[split]) do
        local key = row.user_id .. " " .. row.movie_id
        assert.is_nil(seen[key])
        seen[key] = true
        assert.is_nil(row.liked)
        assert.equal(stars_of(row.user_id, row.movie_id) >= 4 and "1" or "0", row.label)
      end
    end
    local _, _, _, again = prepared("movielens", folder, "--split random --seed 3")
    assert.is_true(bytes(out) == bytes(again))
    local differ
    for seed = 4, 8 do
      local _, _, _, other = prepared("movielens", folder, "--split random --seed " .. seed)
      differ = differ or bytes(out) ~= bytes(other)
    end
    assert.is_true(differ)
  end)

  it("are the same bytes for the same seed, other negatives for another", function()
    local _, _, _, first = prepared("movielens", folder)
    local _, _, _, again = prepared("movielens", folder, "--seed 1")
    local _, _, _, other = prepared("movielens", folder, "--seed 2")
    assert.is_true(bytes(first) == bytes(again))
    assert.is_false(bytes(first) == bytes(other))
  end)

  it("say what is wrong", function()
    local empty = helper.temp_dir()
    local _, status, said, err = run("movielens", empty)
    assert.same({ 1, "", ("prepare: %s/users.dat is not there, nor users.dat.gz\n"):format(empty) },
      { status, said, err })
    helper.write(empty .. "/users.dat", "4::F::25::3::10001\n4::F::25\n")
    local out
    out, status, said, err = run("movielens", empty)
    assert.same({ 1, "", ("prepare: %s/users.dat:2: expected a line like "
      .. "^(%%d+)::(%%a)::(%%d+)::(%%d+)::(%%S+)$\n"):format(empty) }, { status, said, err })
    assert.is_false(helper.exists(out))
    helper.write(empty .. "/users.dat.gz", "\31\139broken")
    _, status, said, err = run("movielens", empty)
    assert.same({ 1, "" }, { status, said })
    assert.truthy(err:find(("prepare: %s/users.dat.gz cannot be decompressed\n"):format(empty), 1,
      true), err)
  end)
end)

-- ---- the others ----

describe("rows of Beauty", function()
  it("are of items in the order of the file, with their attributes", function()
    local folder = helper.temp_dir()
    helper.write(folder .. "/Beauty.txt", "1 3 1 4 2\n2 2 5 1\n")
    helper.write(folder .. "/Beauty_item2attributes.json",
      '{"1": [7], "2": [8, 9], "3": [7, 8], "4": [6], "5": [5, 4, 3]}')
    local parts, counts, _, out = prepared("beauty", folder)
    assert.same({ 2, 4, 4 }, counts)
    local attributes = { "7", "8,9", "7,8", "6", "5,4,3" }
    check_leave_last_out(parts, { ["1"] = { "3", "1", "4", "2" }, ["2"] = { "2", "5", "1" } },
      "item_id", function(row) return row.items end)
    for _, split in ipairs(SPLITS) do
      for _, row in ipairs(parts[split]) do
        assert.equal(attributes[tonumber(row.item_id)], row.attributes)
        assert.equal((row.items:gsub("%d", function(i) return attributes[tonumber(i)] end)),
          row.items_attributes)
      end
    end
    check_experiments("beauty", out)
    assert.equal("1 4", prepared("beauty", folder, "--max 2").test[1].items)
  end)
end)

describe("rows of Grocery", function()
  it("are of items in the order of time, with their categories", function()
    local folder = helper.temp_dir()
    helper.write(folder .. "/train.csv", "user_id\titem_id\ttime\n1\t3\t300\n2\t1\t5\n1\t2\t100\n"
      .. "2\t3\t5\n1\t4\t200\n2\t2\t6\n")
    helper.write(folder .. "/item_meta.csv", "item_id\ti_category\tr_complement\tr_substitute\n"
      .. "1\t0\t[]\t[2]\n2\t5\t[1, 3]\t[]\n3\t6\t[]\t[]\n4\t5\t[]\t[]\n")
    local parts, counts, _, out = prepared("grocery", folder)
    assert.same({ 0, 4, 4 }, counts)
    check_leave_last_out(parts, { ["1"] = { "2", "4", "3" }, ["2"] = { "1", "3", "2" } }, "item_id",
      function(row) return row.items end)
    assert.same({ "2 4", "5 5", "300", "6" }, { parts.test[1].items, parts.test[1].items_cates,
      parts.test[1].time, parts.test[1].cate })
    check_experiments("grocery", out)
  end)
end)

describe("rows of Census-Income", function()
  -- A line of the raw file: column c of row i is c * 100 + i, but for those of the labels.
  local function line(i)
    local cells = {}
    for c = 1, 42 do cells[c] = c * 100 + i end
    cells[1], cells[2] = 30 + i, " Not in universe"
    cells[8] = i % 2 == 0 and " Never married" or " Married-civilian spouse present"
    cells[42] = i % 5 == 0 and " 50000+." or " - 50000."
    return table.concat(cells, ", ") .. "\n"
  end

  local function write(folder, n)
    local lines = {}
    for i = 1, n do lines[i] = line(i) end
    helper.write(folder .. "/census-income.data", table.concat(lines))
  end

  it("have all columns but three, two labels, and parts drawn at random", function()
    local folder, seen = helper.temp_dir(), {}
    write(folder, 29)
    local parts, counts, said, out = prepared("census", folder)
    assert.same({ 25, 2, 2 }, counts)
    assert.truthy(said:find("split  8:1:1 at random (seed 1)\nrule   income is 1 from 50,000 on, "
      .. "single where somebody never married\n", 1, true), said)
    for _, split in ipairs(SPLITS) do
      for _, row in ipairs(parts[split]) do
        local i = row.age - 30
        assert.is_nil(seen[i])
        seen[i] = true
        assert.same({ "Not in universe", tostring(700 + i), tostring(900 + i), tostring(2400 + i),
          tostring(2600 + i), tostring(4100 + i) }, { row.worker_class, row.enrolled,
          row.major_industry, row.household_summary, row.migration_msa, row.year })
        assert.same({ i % 5 == 0 and "1" or "0", i % 2 == 0 and "1" or "0" },
          { row.income, row.single })
        assert.same({}, { row.marital, row.instance_weight })
      end
    end
    check_experiments("census", out)
  end)

  it("say which line is not one", function()
    local folder = helper.temp_dir()
    helper.write(folder .. "/census-income.data", line(1) .. "30, Private\n")
    local _, status, said, err = run("census", folder)
    assert.same({ 1, "", ("prepare: %s/census-income.data:2: expected 42 columns, found 2\n")
      :format(folder) }, { status, said, err })
  end)
end)

describe("what the scripts share", function()
  it("draws negatives evenly from what a user never had", function()
    local items, catalogue, counts, n = {}, {}, {}, 4000
    for i = 1, 10 do catalogue[i], counts["i" .. i] = "i" .. i, 0 end
    for k = 1, n + 1 do items[k] = k % 2 == 0 and "i3" or "i8" end
    local users = { { id = "u", items = items } }
    prepare.leave_last_out(users, catalogue, 5, function(_, _, _, _, other)
      counts[other] = counts[other] + 1
    end)
    assert.same({ 0, 0 }, { counts.i3, counts.i8 })
    for i = 1, 10 do -- eight that are left, four deviations
      if i ~= 3 and i ~= 8 then
        assert.is_true(math.abs(counts["i" .. i] - n / 8) < 4 * math.sqrt(n * 7 / 64))
      end
    end
  end)

  it("shuffles: every number once, each place as likely", function()
    local first = {}
    for seed = 1, 600 do
      local order, seen = prepare.shuffled(6, seed), {}
      for _, i in ipairs(order) do seen[i] = true end
      assert.equal(6, #seen)
      first[order[1]] = (first[order[1]] or 0) + 1
    end
    for i = 1, 6 do assert.is_true(math.abs(first[i] - 100) < 4 * math.sqrt(600 * 5 / 36)) end
  end)

  it("refuses a user who had everything", function()
    helper.raises("user u had all 2 items: no negatives", prepare.leave_last_out,
      { { id = "u", items = { "a", "b" } } }, { "a", "b" }, 1, function() end)
  end)
end)
