-- Sequences in files: cells of aligned columns become behaviours, records and batches
-- (engine/src/data/{behaviours,rows,record,loader}.c). Against a reader that splits texts by hand.
local data = require "data_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local C = mr.C

-- Every kind of column in a sequence of the request and in one of the sample; two share a source.
local columns = {
  { name = "session", type = "request_key" }, { name = "click", type = "label" },
  { name = "user", type = "id", side = "request" },
  { name = "likes", type = "ids", side = "request", separator = "|" },
  { name = "c.ad", source = "c_ads", type = "id", table = "ad", side = "request", sequence = "c" },
  { name = "c.cate", source = "c_cates", type = "id", side = "request", sequence = "c" },
  { name = "c.gap", source = "c_gaps", type = "number", side = "request", sequence = "c",
    missing = 7 },
  { name = "c.tags", source = "c_tags", type = "ids", side = "request", sequence = "c",
    separator = "|", max = 2, table = "tag" },
  { name = "c.again", source = "c_ads", type = "id", table = "other", side = "request",
    sequence = "c" },
  { name = "ad", type = "id" }, { name = "tags", type = "ids", separator = "|", table = "tag" },
  { name = "s.ad", source = "s_ads", type = "id", table = "ad", sequence = "s" },
  { name = "s.image", source = "s_images", type = "vector", width = 2, sequence = "s",
    separator = "|" },
  { name = "s.n", source = "s_ns", type = "number", log1p = true, sequence = "s" },
  { name = "n", type = "number" },
  { name = "c.face", source = "c_faces", type = "vector", width = 3, side = "request",
    sequence = "c", separator = ":" },
  sequences = { { name = "c", side = "request", max = 5, keep = "last" },
    { name = "s", max = 3, separator = ";" }, { name = "none" } },
}
local HEADER = "session,click,user,likes,c_ads,c_cates,c_gaps,c_tags,c_faces,ad,tags,s_ads,s_ns,"
  .. "s_images,n"

-- ---- the slow reader ----

local function split(text, separator)
  local list = {}
  if text == "" then return list end
  for piece in (text .. separator):gmatch("([^" .. separator .. "]*)" .. separator) do
    list[#list + 1] = piece
  end
  return list
end

local function cut(list, max, keep)
  local first = keep == "last" and math.max(#list - max, 0) or 0
  local kept = {}
  for i = 1, math.min(#list, max) do kept[i] = list[first + i] end
  return kept
end

local function id(schema, name, text)
  return text == "" and "0ULL" or data.key(schema, name, text)
end

local function read_behaviours(schema, column, cell, sequence)
  local values = {}
  for i, piece in ipairs(cut(split(cell, sequence.separator or " "), sequence.max,
    sequence.keep)) do
    if column.type == "id" then
      values[i] = id(schema, column.name, piece)
    elseif column.type == "number" then
      local value = piece == "" and (column.missing or 0) or data.strtof(piece)
      values[i] = column.log1p and data.strtof(("%.9g"):format(math.log(1 + value))) or value
    elseif column.type == "ids" then
      local bag = {}
      for _, word in ipairs(split(piece, "|")) do
        if word ~= "" and #bag < 2 then bag[#bag + 1] = word end
      end
      values[i] = data.bag(schema, column.name, bag)
    else
      local numbers = split(piece, column.separator)
      for k = 1, column.width do numbers[k] = data.strtof(numbers[k] or "0") end
      values[i] = data.vector(numbers, column.width)
    end
  end
  return values
end

--- What the rows of a text say about the columns of its sequences.
local function read_slowly(schema, text)
  local rows, names = {}, split(HEADER, ",")
  for line in text:gmatch "[^\n]+" do
    local cells, row = {}, {}
    for i, cell in ipairs(split(line, ",")) do cells[names[i]] = cell end
    for _, column in ipairs(columns) do
      for _, sequence in ipairs(columns.sequences) do
        if column.sequence == sequence.name then
          row[column.name] = read_behaviours(schema, column, cells[column.source], sequence)
        end
      end
    end
    row.user, row.n = data.key(schema, "user", cells.user), tonumber(cells.n)
    rows[#rows + 1] = row
  end
  table.remove(rows, 1) -- the header
  return rows
end

-- ---- text ----

local function draw_list(n, separator, draw)
  local list = {}
  for i = 1, n do list[i] = draw(i) end
  return table.concat(list, separator)
end

--- Requests of 1 to 3 rows. Ids are of any length, some are empty; the first of a list never is,
-- so that no list of one is taken for none.
local function make_text(n, seed)
  local random, lines, row = helper.random(seed), { HEADER }, 0
  local function word(i)
    return i > 1 and random(8) == 1 and "" or ("x"):rep(random(21) - 1) .. random(60)
  end
  local function number(i) return i > 1 and random(8) == 1 and "" or tostring(random(400) / 8) end
  local function vector(width, separator)
    return function(i)
      if i > 1 and random(8) == 1 then return "" end
      return draw_list(width, separator, function() return tostring(random(400) / 7 - 9) end)
    end
  end
  local function tags(i)
    return "t" .. i .. draw_list(random(4) - 1, "", function() return "|t" .. random(9) end)
  end
  for session = 1, n do
    local length = random(5) == 1 and 0 or random(40) -- more than max, and empty ones
    local shared = ("%d,0,u%d,%s,%s,%s,%s,%s,%s"):format(session, random(30), tags(1),
      draw_list(length, " ", word), draw_list(length, " ", word),
      draw_list(length, " ", number), draw_list(length, " ", tags),
      draw_list(length, " ", vector(3, ":")))
    for _ = 1, random(3) do
      local own = random(6) - 1
      row = row + 1
      lines[#lines + 1] = ("%s,ad%d,%s,%s,%s,%s,%d"):format(shared, random(60), tags(2),
        draw_list(own, ";", word), draw_list(own, ";", number),
        draw_list(own, ";", vector(2, "|")), row)
    end
  end
  return table.concat(lines, "\n") .. "\n"
end

local function same_rows(expected, rows)
  assert.equal(#expected, #rows)
  for i, row in ipairs(expected) do
    for name, value in pairs(row) do
      if name == "s.n" then -- the logarithms of two libraries
        helper.all_near(value, rows[i][name], 1e-6)
        assert.equal(#value, #rows[i][name])
      else
        assert.same(value, rows[i][name], ("row %d, %s"):format(i, name))
      end
    end
  end
end

local dir, source, cache
before_each(function()
  dir = helper.temp_dir()
  source, cache = dir .. "/data.csv", dir .. "/cache"
end)

describe("a sequence in a file", function()
  it("is read as a slow reader does, in any batch, order and kernel family", function()
    local text = make_text(300, 1)
    helper.write(source, text)
    local schema = data.schema(columns)
    local expected = read_slowly(schema, text)
    for _, family in ipairs { "auto", "avx2", "plain" } do
      if C.mr_isa_set(family) == C.MR_OK then
        os.remove(cache)
        assert(data.build(schema, source, cache, { block = 3000 }))
        for _, options in ipairs {
          { batch = 1 }, { batch = 64 }, { batch = 64, max_request = 2 } } do
          same_rows(expected, assert(data.rows(schema, columns, cache, options)))
        end
        local shuffled = assert(data.rows(schema, columns, cache, { batch = 37, shuffle = true }))
        table.sort(shuffled, function(a, b) return a.row < b.row end)
        same_rows(expected, shuffled)
      end
    end
    mr.check(C.mr_isa_set "auto")
  end)

  it("makes the same cache for any number of threads and any size of block", function()
    helper.write(source, make_text(200, 2))
    local schema, expected = data.schema(columns, { ad = 3, tag = 2 }), nil
    for _, threads in ipairs { 1, 2, 8 } do
      local pool = data.pool(threads)
      for _, block in ipairs { 0, 1, 100, 5000 } do
        os.remove(cache)
        assert(data.build(schema, source, cache, { fit = true, pool = pool, block = block }))
        expected = expected or helper.read(cache)
        assert.is_true(expected == helper.read(cache))
      end
    end
  end)

  it("takes less room in the cache than in the text", function()
    local random, lines = helper.random(4), { "items,cates,n" }
    for row = 1, 2000 do
      local n = random(80)
      lines[row + 1] = ("%s,%s,%d"):format(
        draw_list(n, " ", function() return 100000 + random(5000) end),
        draw_list(n, " ", function() return "c" .. 100 + random(300) end), row)
    end
    helper.write(source, table.concat(lines, "\n"))
    assert(data.build(data.schema { { name = "items", type = "id", sequence = "s" },
      { name = "cates", type = "id", sequence = "s" }, { name = "n", type = "number" },
      sequences = { { name = "s" } } }, source, cache))
    assert.is_true(#helper.read(cache) < 0.85 * #helper.read(source))
  end)

  it("may be in quotes, with doubled ones inside", function()
    local pair = { { name = "a", type = "id", sequence = "s" },
      { name = "b", type = "ids", sequence = "s", separator = "|" },
      { name = "n", type = "number", sequence = "s" }, sequences = { { name = "s" } } }
    local rows, schema = data.parse(pair,
      'a,b,n\n"x ""y"" z","p|q  ""r""|s","1 2 3"\n"u v",q p,"4 5"\n"""",,\n')
    helper.fails_with('FILE:4:6: sequence "s": column "b" has 0 behaviours, column "a" has 1', rows,
      schema)
    rows, schema = data.parse(pair,
      'a,b,n\n"x ""y"" z","p|q  ""r""|s","1 2 3"\n"u v",q p,"4 5"\n"""","""","6"\n')
    local function key(text) return data.key(schema, "a", text) end
    assert.same({ key "x", key '"y"', key "z" }, rows[1].a)
    assert.same({ data.bag(schema, "b", { "p", "q" }), "", data.bag(schema, "b", { '"r"', "s" }) },
      rows[1].b)
    assert.same({ { 1, 2, 3 }, { 4, 5 }, { 6 } }, data.column(rows, "n"))
    assert.same({ key "u", key "v" }, rows[2].a)
    assert.same({ key '"' }, rows[3].a)
  end)

  it("keeps the first or the last of all columns alike, and counts only those", function()
    local function parse(keep, max)
      local rows, schema = data.parse({ { name = "a", type = "id", sequence = "s" },
        { name = "n", type = "number", sequence = "s" },
        sequences = { { name = "s", keep = keep, max = max } } },
        "a,n\np q r s,1 2 3 4\np,5\n,\np q ,6 7 8\n")
      local names = {}
      for _, name in ipairs { "p", "q", "r", "s" } do names[data.key(schema, "a", name)] = name end
      local list = {}
      for i, row in ipairs(rows) do
        local line = {}
        for k, key in ipairs(row.a) do line[k] = (names[key] or "-") .. row.n[k] end
        list[i] = table.concat(line, " ")
      end
      return list
    end
    assert.same({ "p1 q2 r3 s4", "p5", "", "p6 q7 -8" }, parse("first", 0))
    assert.same({ "p1 q2", "p5", "", "p6 q7" }, parse("first", 2))
    assert.same({ "r3 s4", "p5", "", "q7 -8" }, parse("last", 2))
    assert.same({ "s4", "p5", "", "-8" }, parse("last", 1))
  end)

  it("may be of thousands of behaviours in a row that is longer than a block", function()
    local pair = { { name = "a", type = "id", sequence = "s" },
      { name = "n", type = "number", sequence = "s" }, sequences = { { name = "s" } } }
    local words, numbers, keys = {}, {}, {}
    for i = 1, 20000 do words[i], numbers[i] = "w" .. i, i end
    local rows, schema = data.parse(pair, ("a,n\nx,0\n%s,%s\ny,1\n"):format(
      table.concat(words, " "), table.concat(numbers, " ")), { block = 1000 })
    for i, word in ipairs(words) do keys[i] = data.key(schema, "a", word) end
    assert.same(keys, rows[2].a)
    assert.same(numbers, rows[2].n)
    assert.same({ 0 }, rows[1].n)
    assert.same({ 1 }, rows[3].n)
  end)

  it("may have vectors alone", function()
    local rows = assert(data.parse({ { name = "v", type = "vector", width = 3, separator = ":",
      sequence = "s" }, sequences = { { name = "s" } } }, "v\n1:2:3 4:5:6\n\n 7:8:9\n"))
    assert.same({ { "1 2 3", "4 5 6" }, {}, { "0 0 0", "7 8 9" } }, data.column(rows, "v"))
  end)
end)

describe("keys of a sequence that are rare in training data", function()
  it("become unknown, counted over its table, of a request once for each sample", function()
    local plain = { { name = "q", type = "request_key" },
      { name = "h.a", source = "h", type = "id", table = "t", side = "request", sequence = "h" },
      { name = "h.b", source = "b", type = "ids", table = "t", side = "request", sequence = "h",
        separator = "|" }, { name = "a", type = "id", table = "t" },
      sequences = { { name = "h", side = "request", max = 2, keep = "last" } } }
    -- In all: x 3 + 1, y 3, z 1 (cut), v 2, w 1 + 1.
    helper.write(source,
      "q,h,b,a\n1,z x y,| | |,x\n1,z x y,| | |,w\n1,z x y,| | |,-\n2,v w,v| ,+\n")
    for _, case in ipairs {
      { 2, "x y", "v w", 4 }, { 3, "x y", ". .", 2 }, { 4, "x .", ". .", 1 } } do
      for block = 0, 60, 6 do
        local schema = data.schema(plain, { t = case[1] })
        os.remove(cache)
        assert(data.build(schema, source, cache, { fit = true, block = block }))
        local function show(list)
          local words = {}
          for i, key in ipairs(list) do
            words[i] = "."
            for _, word in ipairs { "x", "y", "z", "v", "w" } do
              if key == data.key(schema, "a", word) then words[i] = word end
            end
          end
          return table.concat(words, " ")
        end
        local rows = assert(data.rows(schema, plain, cache))
        assert.equal(case[2], show(rows[3]["h.a"]))
        assert.equal(case[3], show(rows[4]["h.a"]))
        local dataset = data.open(schema, cache)
        assert.equal(case[4], tonumber(C.mr_dataset_distinct(dataset, 0)))
      end
    end
  end)
end)

describe("a sequence that is wrong", function()
  local pair = { { name = "ads", type = "id", sequence = "click" },
    { name = "ages", type = "number", sequence = "click" },
    { name = "cates", type = "ids", separator = "|", sequence = "click" },
    { name = "n", type = "number" }, sequences = { { name = "click" } } }

  local function fails(message, text, options)
    for _, block in ipairs { 0, 1, 20, 50 } do
      options = options or {}
      options.block = block
      local rows, actual = data.parse(options.columns or pair, text, options)
      helper.fails_with(message, rows, actual)
    end
  end

  it("is named where its columns differ in length", function()
    fails('FILE:3:7: sequence "click": column "ages" has 2 behaviours, column "ads" has 3',
      "ads,ages,cates,n\nx,1,a,1\nx y z,1 2,a b c,1\nx,2 2,2,1\n")
    fails('FILE:2:9: sequence "click": column "cates" has 1 behaviour, column "ads" has 3',
      "ads,n,cates,ages\nx y z,1,a,1 2 3\n")
    fails('FILE:2:2: sequence "click": column "ages" has 1 behaviour, column "ads" has 0',
      "ads,ages,cates,n\n,1,,1\n")
    fails('FILE:2:6: sequence "click": column "ages" has 1 behaviour, column "ads" has 3',
      "ads,ages,cates,n\nx y ,1,,old\n")
    fails('FILE:2:1: "old" is not a number (column "n")', "n,ads,ages,cates\nold,x y,1,\n")
  end)

  it("is named with the behaviour that is no number", function()
    fails('FILE:3:9: "1o" is not a number (column "ages", behaviour 2)',
      "ads,ages,cates,n\nx,1,a,1\nx y z,1 1o x,a b c,1\n")
    fails('FILE:3:10: "1o" is not a number (column "ages", behaviour 2)',
      'ads,ages,cates,n\nx,1,a,1\nx y z,"1 1o x",a b c,1\n')
    fails('FILE:2:3: "1e39" is too large for a float (column "ages", behaviour 1)',
      "ads,ages,cates,n\nx,1e39,a,1\n")
    fails('FILE:2:5: "-inf" is too large for a float (column "ages", behaviour 2)',
      "n,ages,ads,cates\n1,1 -inf,x y,a b\n")
  end)

  it("takes nan and empty numbers as missing", function()
    local rows = assert(data.parse({ { name = "n", type = "number", missing = 4, sequence = "s" },
      sequences = { { name = "s" } } }, "n\nnan 1  NaN\n "))
    assert.same({ { 4, 1, 4, 4 }, { 4, 4 } }, data.column(rows, "n"))
  end)

  it("is named where the header lacks a column", function()
    fails('FILE:1: column "ages" is missing; did you mean "agez"? (columns: ads, agez, cates, n)',
      "ads,agez,cates,n\nx,1,a,1\n")
  end)

  it("is named where it changes within a request", function()
    local request = { { name = "q", type = "request_key" },
      { name = "ads", type = "id", side = "request", sequence = "h" },
      { name = "ages", type = "number", side = "request", sequence = "h" },
      { name = "tags", type = "ids", separator = "|", side = "request", sequence = "h" },
      { name = "n", type = "number" }, sequences = { { name = "h", side = "request", max = 3 } } }
    local head = "q,ads,ages,tags,n\n0,,,,1\ns,x y,1 2,p|q p,1\n"
    local function changes(message, row)
      fails(message, head .. row .. "\nt,,,,3\n", { columns = request })
    end
    local function column(at, name, now, before)
      return ('FILE:4:%d: column "%s" is "%s", but "%s" in an earlier row of the same request')
        :format(at, name, now, before)
    end
    changes(column(3, "ads", "y x", "x y"), "s,y x,1 2,p|q p,1")
    changes(column(7, "ages", "1 3", "1 2"), "s,x y,1 3,p|q p,1")
    changes(column(11, "tags", "p q|p", "p|q p"), "s,x y,1 2,p q|p,1")
    changes(column(11, "tags", "p|q q", "p|q p"), "s,x y,1 2,p|q q,1")
    changes(column(3, "ads", "x y z", "x y"), "s,x y z,1 2 3,p|q p p,1")
    changes(column(3, "ads", "", "x y"), "s,,,,1")
    changes('FILE:4:7: sequence "h": column "ages" has 3 behaviours, column "ads" has 2',
      "s,x y,1 2 3,p|q p,1")
    changes('FILE:4:9: "b" is not a number (column "ages", behaviour 2)', "s,x y,1 b,p|q p,1")
    changes('FILE:4:7: "b" is not a number (column "ages", behaviour 1)', "s,x y,b 1 2,p|q p,1")
    changes('FILE:4:7: sequence "h": column "ages" has 3 behaviours, column "ads" has 2',
      "s,x y,1 b 2,p|q p,1")
    -- Other spellings, and what is cut, are no change.
    local rows = assert(data.parse(request,
      "q,ads,ages,tags,n\ns,x y z u,1 2 3 4,p|q p q r,1\ns,x y z,1.0 2e0 3,|p|q p q,2\n"
      .. "s,x y z v,1 2 3 5,p||q p q x,3\n"))
    assert.same({ 0, 0, 0 }, data.column(rows, "request"))
    assert.same({ 1, 2, 3 }, rows[3].ages)
  end)

  it("cannot be split at the delimiter without quotes, nor have bags split as it is", function()
    fails('sequence "click": its separator is the delimiter of the cells, which needs quotes',
      "ads ages cates n\nx 1 a 1\n", { delimiter = " ", quotes = false })
    local schema = data.new_schema()
    assert(data.add_sequence(schema, { name = "s", separator = "," }))
    helper.fails_with(
      'column "a": separator is byte 44, which separates the behaviours of sequence "s"',
      data.add_column(schema, { name = "a", type = "ids", sequence = "s" }))
    assert(data.add_column(schema, { name = "a", type = "ids", sequence = "s", separator = " " }))
  end)
end)

describe("a damaged cache of sequences", function()
  it("never does worse than give wrong numbers", function()
    helper.write(source, make_text(2, 5))
    local schema = data.schema(columns)
    assert(data.build(schema, source, cache))
    local bytes, refused = helper.read(cache), 0
    for i = 1, #bytes do
      helper.write(cache, bytes:sub(1, i - 1) .. string.char((bytes:byte(i) + 1 + i % 255) % 256)
        .. bytes:sub(i + 1))
      local rows, message = data.rows(schema, columns, cache)
      if not rows then
        refused = refused + 1
        assert.is_truthy(message:find(cache .. ": the", 1, true))
      end
    end
    assert.is_true(refused > 400)
  end)
end)

describe("a build of sequences", function()
  it("gives everything back when memory runs out, whenever that is", function()
    helper.write(source, make_text(15, 3))
    local pool = data.pool(2)
    local failures = data.read_without_memory(columns, source, cache,
      { pool = pool, block = 900, fit = true }, { shuffle = true, batch = 8 })
    assert.is_true(failures > 200)
  end)
end)
