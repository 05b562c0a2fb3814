-- Files that are split by rows: engine/src/data/selection.c.
local data = require "data_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local C = mr.C

-- `row` tells which row of the text a sample is.
local plain = {
  { name = "row", type = "number" }, { name = "ad", type = "id" },
  { name = "tags", type = "ids", separator = "|" },
}
local grouped = {
  { name = "row", type = "number" }, { name = "session", type = "request_key" },
  { name = "user", type = "id", side = "request" }, { name = "ad", type = "id" },
  { name = "past", type = "ids", side = "request", separator = "|", table = "ad" },
}

local N = 3000
local dir, cache, rows

-- Sessions of 1 to 7 rows, each at its time; some cells are quoted, one in forty with a line feed.
local function make_rows()
  local random, list, session, left = helper.random(5), {}, 0, 0
  local user, time, past
  for i = 1, N do
    if left == 0 then
      session, left = session + 1, random(7)
      user, time, past = random(40), random(100000), ("p%d|p%d"):format(random(99), random(9))
    end
    left = left - 1
    list[i] = { row = i, session = session, user = user, time = time, past = past, ad = random(500),
      tags = ("t%d|t%d"):format(random(30), random(9)),
      note = random(40) == 1 and '"two\nlines, ""quoted"""' or "x" }
  end
  return list
end

local function text_of(list)
  local lines = { "row,session,user,time,past,ad,note,tags" }
  for _, r in ipairs(list) do
    lines[#lines + 1] = ("%d,%d,%d,%d,%s,%d,%s,%s"):format(r.row, r.session, r.user, r.time,
      r.past, r.ad, r.note, r.tags)
  end
  return table.concat(lines, "\n") .. "\n"
end

before_each(function()
  dir = helper.temp_dir()
  cache = dir .. "/data.cache"
  rows = make_rows()
  helper.write(dir .. "/data.csv", text_of(rows))
end)

-- The rows of a part, as a list of their numbers.
local function part(columns, selection, options)
  local schema = data.schema(columns, options and options.min_count)
  options = options or {}
  options.selection = selection
  os.remove(cache)
  assert(data.build(schema, dir .. "/data.csv", cache, options))
  return data.column(assert(data.rows(schema, columns, cache)), "row")
end

-- Everything of a cache but the fingerprint of its sources.
local function content(path)
  local bytes = helper.read(path)
  return bytes:sub(1, 16) .. bytes:sub(25, 40) .. bytes:sub(49)
end

-- The parts of three selections of one rule: each row is in one of them.
local function parts(columns, rule, cuts)
  local of, lists = {}, {}
  for i = 1, 3 do
    local selection = { from = cuts[i], to = cuts[i + 1] }
    for key, value in pairs(rule) do selection[key] = value end
    lists[i] = part(columns, selection)
    for _, row in ipairs(lists[i]) do
      assert.is_nil(of[row])
      of[row] = i
    end
  end
  for row = 1, N do assert.is_not_nil(of[row]) end
  return of, lists
end

local SHARES = { 0, 0.7, 0.9, 1 }

describe("a split", function()
  -- Also that no id, count or order of the other rows is in a part.
  it("has what a file of its rows alone would have, for any block and threads", function()
    for _, case in ipairs { { plain, { by = C.MR_BY_CHANCE, seed = 3 } },
      { grouped, { by = C.MR_BY_CHANCE, seed = 3 } },
      { grouped, { by = C.MR_BY_VALUE, column = "user", seed = 3 } },
      { grouped, { by = C.MR_BY_TIME_SHARE, column = "time" } } } do
      local columns, rule = case[1], case[2]
      local of = parts(columns, rule, SHARES)
      for i = 1, 3 do
        local mine = {}
        for row = 1, N do
          if of[row] == i then mine[#mine + 1] = rows[row] end
        end
        local own = helper.write(dir .. "/own.csv", text_of(mine))
        local schema = data.schema(columns, { ad = 3 })
        assert(data.build(schema, own, dir .. "/own.cache", { fit = true }))
        local wanted = content(dir .. "/own.cache")
        for _, how in ipairs { {}, { block = 700 }, { block = 5000, pool = data.pool(3) } } do
          rule.from, rule.to, how.fit, how.min_count = SHARES[i], SHARES[i + 1], true, { ad = 3 }
          part(columns, rule, how)
          assert.is_true(wanted == content(cache))
        end
      end
    end
  end)

  it("by chance has shares near what was asked for, others with another seed", function()
    local of, lists = parts(plain, { by = C.MR_BY_CHANCE, seed = 1 }, SHARES)
    for i, share in ipairs { 0.7, 0.2, 0.1 } do
      local deviation = math.sqrt(N * share * (1 - share))
      assert.is_true(math.abs(#lists[i] - N * share) < 4 * deviation)
    end
    local other, same = parts(plain, { by = C.MR_BY_CHANCE, seed = 2 }, SHARES), 0
    for row = 1, N do same = same + (of[row] == other[row] and 1 or 0) end
    -- Independent: 0.49 + 0.04 + 0.01 of the rows are in the same part.
    assert.is_true(math.abs(same / N - 0.54) < 0.04)
  end)

  it("takes whole requests", function()
    for _, rule in ipairs { { by = C.MR_BY_CHANCE, seed = 1 },
      { by = C.MR_BY_TIME, column = "time" } } do
      local cuts = rule.by == C.MR_BY_TIME and { -math.huge, 50000, 80000, math.huge } or SHARES
      local of = parts(grouped, rule, cuts)
      for row = 2, N do
        if rows[row].session == rows[row - 1].session then
          assert.equal(of[row - 1], of[row])
        end
      end
    end
  end)

  it("by a column has all rows with a value on one side", function()
    local of, lists = parts(grouped, { by = C.MR_BY_VALUE, column = "user", seed = 4 }, SHARES)
    local side = {}
    for row = 1, N do
      local user = rows[row].user
      side[user] = side[user] or of[row]
      assert.equal(side[user], of[row])
    end
    for i = 1, 3 do assert.is_true(#lists[i] > 0) end
  end)

  it("by time goes by the times, or by their order", function()
    local times = {}
    for i, r in ipairs(rows) do times[i] = r.time end
    table.sort(times)
    local border = times[math.floor(0.7 * N + 0.5) + 1]
    local wanted = {}
    for _, r in ipairs(rows) do
      if r.time >= border then wanted[#wanted + 1] = r.row end
    end
    assert.same(wanted, part(plain, { by = C.MR_BY_TIME_SHARE, column = "time", from = 0.7,
      to = 1 }))
    assert.same(wanted, part(plain, { by = C.MR_BY_TIME, column = "time", from = border,
      to = math.huge }))
    assert.equal(N, #part(plain, { by = C.MR_BY_TIME_SHARE, column = "time", from = 0, to = 1 }))
  end)

  it("by time goes by the first row of a request, whose others may be later", function()
    local wanted, session, first = {}, nil, nil
    for i, r in ipairs(rows) do r.time = r.time + (i % 5) * 20000 end
    helper.write(dir .. "/data.csv", text_of(rows))
    for _, r in ipairs(rows) do
      if r.session ~= session then session, first = r.session, r.time end
      if first >= 60000 then wanted[#wanted + 1] = r.row end
    end
    assert.same(wanted, part(grouped, { by = C.MR_BY_TIME, column = "time", from = 60000,
      to = math.huge }))
    assert(#wanted > 100)
  end)

  it("is another one in another file of the same list", function()
    helper.write(dir .. "/more.csv", text_of(rows))
    local schema = data.schema(plain)
    assert(data.build(schema, { dir .. "/data.csv", dir .. "/more.csv" }, cache,
      { selection = { by = C.MR_BY_CHANCE, seed = 1, from = 0, to = 0.5 } }))
    local seen = {}
    for _, row in ipairs(data.column(assert(data.rows(schema, plain, cache)), "row")) do
      seen[row] = (seen[row] or 0) + 1
    end
    local twice = 0
    for row = 1, N do twice = twice + (seen[row] == 2 and 1 or 0) end
    assert.is_true(math.abs(twice / N - 0.25) < 0.04)
  end)

  it("may be of rows of pairs, by chance", function()
    local columns = { { name = "click", source = "label", type = "label" },
      { name = "row", source = "2", type = "number" } }
    local lines = {}
    for i = 1, N do lines[i] = ("%d 2:%d"):format(i % 2, i) end
    helper.write(dir .. "/data.csv", table.concat(lines, "\n") .. "\n")
    local schema, seen = data.schema(columns), 0
    for i = 1, 3 do
      assert(data.build(schema, dir .. "/data.csv", cache, { layout = "libsvm", block = 700,
        selection = { by = C.MR_BY_CHANCE, seed = 3, from = SHARES[i], to = SHARES[i + 1] } }))
      for _, row in ipairs(assert(data.rows(schema, columns, cache))) do
        assert.equal(row.row % 2, row.click)
        seen = seen + row.row
      end
    end
    assert.equal(N * (N + 1) / 2, seen)
    helper.fails_with("selection is by 1, and rows of pairs are selected by chance only",
      data.build(schema, dir .. "/data.csv", cache, { layout = "libsvm",
        selection = { by = C.MR_BY_VALUE, column = "2", from = 0, to = 1 } }))
  end)

  it("does not join requests of one key that others stood between", function()
    local text = "session,time,user,row,ad,past\n1,0,x,1,1,\n2,5,y,2,1,\n1,0,z,3,1,\n"
    for block = 0, 30, 5 do
      local got = assert(data.parse(grouped, text, { block = block,
        selection = { by = C.MR_BY_TIME, column = "time", from = 0, to = 1 } }))
      assert.same({ 1, 3 }, data.column(got, "row"))
      assert.is_false(got[1].user == got[2].user)
      assert.is_false(got[1].request == got[2].request)
    end
  end)

  it("is none of a file that is a header", function()
    local path = helper.write(dir .. "/none.csv", text_of {})
    for _, by in ipairs { C.MR_BY_TIME, C.MR_BY_TIME_SHARE } do
      helper.fails_with(path .. ": no row falls into this part", data.build(data.schema(plain),
        path, cache, { selection = { by = by, column = "time", from = 0, to = 0.5 } }))
    end
  end)

  it("is part of what a cache is built from", function()
    local schema = data.schema(plain)
    local selection = { by = C.MR_BY_CHANCE, seed = 1, from = 0, to = 0.5 }
    for _, change in ipairs { {}, { seed = 2 }, { to = 0.25 }, { from = 0.125 },
      { by = C.MR_BY_VALUE, column = "ad" }, { column = "tags" } } do
      for key, value in pairs(change) do selection[key] = value end
      assert(data.build(schema, dir .. "/data.csv", cache, { selection = selection }))
      local bytes = helper.read(cache)
      os.remove(cache)
      assert(data.build(schema, dir .. "/data.csv", cache, { selection = selection }))
      assert.is_true(bytes == helper.read(cache))
    end
  end)

  it("gives everything back when memory runs out, whenever that is", function()
    helper.write(dir .. "/data.csv", text_of({ unpack(rows, 1, 60) }))
    local failures = data.read_without_memory(grouped, dir .. "/data.csv", cache,
      { block = 300, selection = { by = C.MR_BY_TIME_SHARE, column = "time", from = 0, to = 0.5 } },
      {})
    assert.is_true(failures > 50)
  end)
end)

describe("a row of a split that is wrong", function()
  local function fails(message, columns, text, selection)
    for _, block in ipairs { 0, 1, 20 } do
      local got, trouble = data.parse(columns, text, { block = block, selection = selection })
      assert.is_nil(got)
      assert.equal(message, trouble)
    end
  end
  local late = { by = C.MR_BY_TIME, column = "time", from = 10, to = math.huge }

  it("is named with its line in the file", function()
    fails('FILE:6:4: "x" is not a number (column "row")', plain,
      'time,row,ad,tags\n1,1,1,\n11,2,1,\n2,3,"a\nb",\n12,x,1,\n', late)
    fails("FILE:5: 2 cells, expected 4 (as in the header)", plain,
      "time,row,ad,tags\n1,1,1,\n11,2,1,\n2,3,1,\n12,2\n", late)
    fails('FILE:3:6: a quoted cell is not closed', plain,
      'time,row,ad,tags\n1,1,1,\n12,1,"1,\n', late)
  end)

  it("has no time, or another value than its request", function()
    fails('FILE:4:1: "noon" is no time (column "time", by which the data is split), expected a '
      .. "number", plain, "time,row,ad,tags\n1,1,1,\n11,2,1,\nnoon,3,1,\n", late)
    fails('FILE:4:1: "" is no time (column "time", by which the data is split), expected a number',
      plain, "time,row,ad,tags\n1,1,1,\n11,2,1,\n,3,1,\n", late)
    fails('FILE:4:8: column "ad", by which the data is split, is "b", but another value in an '
      .. "earlier row of the same request", grouped,
      "row,past,session,user,ad\n1,,1,x,a\n2,,2,x,a\n3,,2,x,b\n",
      { by = C.MR_BY_VALUE, column = "ad", from = 0, to = 1 })
  end)

  it("lacks the column", function()
    fails('FILE:1: column "tim" is missing; did you mean "time"? (columns: time, row, ad, tags)',
      plain, "time,row,ad,tags\n1,1,1,\n",
      { by = C.MR_BY_TIME, column = "tim", from = 0, to = 1 })
  end)
end)

describe("a selection", function()
  local function fails(message, selection)
    helper.fails_with(message, data.build(data.schema(plain), dir .. "/data.csv", cache,
      { selection = selection }))
  end

  it("says what is wrong with it", function()
    fails("selection is by 4, expected 0 to 3", { by = 4, from = 0, to = 1 })
    fails("selection by chance has a column", { by = 0, column = "ad", from = 0, to = 1 })
    fails("selection has no column to go by", { by = 1, from = 0, to = 1 })
    fails("selection is from 0.5 to 0.5, expected less to more", { by = 0, from = 0.5, to = 0.5 })
  end)

  it("says that no row is left", function()
    fails(dir .. "/data.csv: no row falls into this part",
      { by = C.MR_BY_TIME, column = "time", from = 1e9, to = math.huge })
  end)
end)
