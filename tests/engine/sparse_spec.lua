-- libsvm and libffm (engine/src/data/sparse.c): rows of pairs behind a label.
local data = require "data_helper"
local helper = require "helper"

local function fails(message, layout, columns, text, options)
  options = options or {}
  options.layout = layout
  local rows, actual = data.parse(columns, text, options)
  helper.fails_with(message, rows, actual)
end

-- Whatever blocks there are, lines read as a csv of the same rows, its bags with "|".
local function reads_as_csv(cells, columns, lines, options)
  local as_csv = {}
  for i, column in ipairs(columns) do
    as_csv[i] = {}
    for key, value in pairs(column) do as_csv[i][key] = value end
    if column.type == "ids" then as_csv[i].separator = "|" end
  end
  local expected = assert(data.parse(as_csv, table.concat(cells, "\n")))
  for _, block in ipairs { 0, 1, 700 } do
    options.block = block
    assert.same(expected, (assert(data.parse(columns, table.concat(lines, "\n"), options))))
  end
end

local svm = { { name = "y", source = "label", type = "label" },
  { name = "f", source = "features", type = "ids", table = "t" },
  { name = "n", source = "7", type = "number", missing = -2 },
  { name = "v", source = "9", type = "id" }, { name = "q", source = "qid", type = "group" } }

describe("a libsvm file", function()
  local text = "1 qid:a 1:1 7:1.0 18446744073709551615:1\n-1 0:1\t9:1  \r\n0\n"
    .. "+1 7:1 9:1.0 # a comment: 1:2\n1.0 qid:a 9:1"
  local function check(options)
    options = options or {}
    options.layout = "libsvm"
    local rows, schema = assert(data.parse(svm, text, options))
    assert.same({ 1, 0, 0, 1, 1 }, data.column(rows, "y"))
    assert.same({ 1, -2, -2, 1, -2 }, data.column(rows, "n"))
    for i, keys in ipairs { { "1", "7", "18446744073709551615" }, { "0", "9" }, {}, { "7", "9" },
      { "9" } } do
      assert.equal(data.bag(schema, "f", keys), rows[i].f)
    end
    for i, key in ipairs { "", "1", "", "1.0", "1" } do
      assert.equal(data.key(schema, "v", key), rows[i].v)
    end
    for i, key in ipairs { "a", "", "", "", "a" } do
      assert.equal(data.key(schema, "q", key), rows[i].q)
    end
  end

  it("has a label, perhaps a group, and pairs of an index and a value", function() check() end)

  it("is the same wherever a block is cut, on any number of threads", function()
    local pool = data.pool(3)
    for block = 1, 60 do check { block = block, pool = block % 2 == 0 and pool or nil } end
  end)

  it("may have numbers at some indices and no keys, with any values", function()
    local columns = { { name = "a", source = "3", type = "number" },
      { name = "b", source = "10", type = "number", log1p = true } }
    local rows = assert(data.parse(columns, "9 3:-0.25 5:x 10:0\n9 10:1e-3 x:y\n",
      { layout = "libsvm" }))
    assert.same({ -0.25, 0 }, data.column(rows, "a"))
    assert.near(math.log(1.001), rows[2].b, 1e-9)
  end)

  it("is refused with the place of what is wrong", function()
    fails('FILE:2:5: "7" is not index:value', "libsvm", svm, "1 1:1\n1   7\n")
    fails('FILE:1:3: ":1" is not index:value', "libsvm", svm, "1 :1\n")
    fails('FILE:1:3: "1:" is not index:value', "libsvm", svm, "1 1:\n")
    fails('FILE:1:3: "1:2:3" is not index:value', "libsvm", svm, "1 1:2:3\n")
    fails('FILE:1:5: value "0.5" of a key, expected 1 (its field is not weighted)', "libsvm", svm,
      "1 3:0.5\n")
    fails("FILE:1:7: index 9 is there twice", "libsvm", svm, "1 9:1 9:1\n")
    fails('FILE:1:5: "x" is not a number (column "7")', "libsvm", { svm[3] }, "1 7:x\n")
    fails('FILE:1:5: "1e39" is too large for a float (column "7")', "libsvm", { svm[3] },
      "1 7:1e39\n")
    fails('FILE:2:1: label "2" in column "label", expected 0 or 1, or -1 for 0', "libsvm", svm,
      "1\n2\n")
    fails("FILE:2:1: the row has no label", "libsvm", svm, "1\n1:1 2:1\n")
    fails("FILE: the file is empty, expected rows", "libsvm", svm, "")
    fails("FILE: no rows", "libsvm", svm, "# nothing\n\n")
  end)
end)

local ffm = { { name = "y", source = "label", type = "label" },
  { name = "user", source = "0", type = "id", table = "t" },
  { name = "tags", source = "12", type = "ids", max = 2, table = "t" },
  { name = "price", source = "3", type = "number", missing = 5 },
  { name = "who", source = "0", type = "group" } }

describe("a libffm file", function()
  it("has pairs of a field, an index and a value", function()
    local rows, schema = assert(data.parse(ffm, "1 0:u1:1 3:3:2.5 12:a:1\t12:b:1 12:c:1\n"
      .. "-1 12:18446744073709551615:1.0 7:9:0.1 0:0:1\n+1\n0 3:1:nan # end",
      { layout = "libffm" }))
    assert.same({ 1, 0, 1, 0 }, data.column(rows, "y"))
    assert.same({ 2.5, 5, 5, 5 }, data.column(rows, "price"))
    for i, key in ipairs { "u1", "0", "", "" } do
      assert.equal(data.key(schema, "user", key), rows[i].user)
      assert.equal(data.key(schema, "who", key), rows[i].who)
    end
    for i, keys in ipairs { { "a", "b" }, { "18446744073709551615" }, {}, {} } do
      assert.equal(data.bag(schema, "tags", keys), rows[i].tags)
    end
  end)

  it("reads as the same cells of a csv do", function()
    local random, lines, cells = helper.random(5), {}, { "label,0,12,3" }
    for i = 1, 300 do
      local user, n = random(40), random(4) - 1
      local tags, words = {}, { tostring(random(2) - 1) }
      for k = 1, n do tags[k] = tostring(random(99)) end
      local price = random(3) > 1 and tostring(random(1000) / 8) or ""
      local parts = { "0:" .. user .. ":1" }
      if price ~= "" then parts[#parts + 1] = "3:0:" .. price end
      for k, tag in ipairs(tags) do tags[k], parts[#parts + 1] = tag, "12:" .. tag .. ":1" end
      if random(2) == 1 then -- fields in another order
        table.insert(parts, table.remove(parts, 1))
      end
      lines[i] = words[1] .. " " .. table.concat(parts, (" "):rep(random(2)))
      cells[i + 1] = ("%s,%d,%s,%s"):format(words[1], user, table.concat(tags, "|"), price)
    end
    reads_as_csv(cells, ffm, lines, { layout = "libffm" })
  end)

  it("is refused with the place of what is wrong", function()
    fails('FILE:1:3: "0:1" is not field:index:value', "libffm", ffm, "1 0:1\n")
    fails('FILE:1:3: "0:1:2:3" is not field:index:value', "libffm", ffm, "1 0:1:2:3\n")
    fails('FILE:1:3: field "x" is not a number', "libffm", ffm, "1 x:1:1\n")
    fails('FILE:1:3: field "4294967296" is not a number', "libffm", ffm, "1 4294967296:1:1\n")
    fails('FILE:1:7: value "0.5" of a key, expected 1 (its field is not weighted)', "libffm", ffm,
      "1 0:1:0.5\n")
    fails("FILE:1:9: field 0 has several pairs, which only a field of type ids can hold", "libffm",
      ffm, "1 0:1:1 0:2:1\n")
    fails("FILE:1:16: field 12 comes again behind others; its pairs must stand together", "libffm",
      ffm, "1 12:1:1 0:2:1 12:3:1\n")
    fails('FILE:1:7: "old" is not a number (column "3")', "libffm", ffm, "1 3:1:old\n")
  end)
end)

-- Several labels, cells that are read or not, fields with names.
local named = { { name = "y", source = "click", type = "label" },
  { name = "z", source = "buy", type = "label" },
  { name = "row", type = "id", table = "t" }, { name = "user", source = "101", type = "id" },
  { name = "tags", source = "109_14", type = "ids", max = 2 },
  { name = "price", type = "number", missing = 5 } }
local names = { "row", "click", "buy" }

describe("a file of named pairs", function()
  it("has cells and then pairs of a field and a text", function()
    local rows, schema = assert(data.parse(named, "r1,1,0,109_14:x,101:a:b,no:1,109_14:y,109_14:z\n"
      .. ",0,,price:2.5,101: c \r\n3,1,1\n4,0,0,,price:-1e1,", { layout = "pairs", names = names }))
    assert.same({ 1, 0, 1, 0 }, data.column(rows, "y"))
    assert.same({ 0, 1, 0 }, { rows[1].z, rows[3].z, rows[4].z })
    assert.is_true(rows[2].z ~= rows[2].z)
    assert.same({ 5, 2.5, 5, -10 }, data.column(rows, "price"))
    for i, key in ipairs { "r1", "", "3", "4" } do
      assert.equal(data.key(schema, "row", key), rows[i].row)
    end
    for i, key in ipairs { "a:b", " c", "", "" } do
      assert.equal(data.key(schema, "user", key), rows[i].user)
    end
    for i, keys in ipairs { { "x", "y" }, {}, {}, {} } do
      assert.equal(data.bag(schema, "tags", keys), rows[i].tags)
    end
  end)

  it("reads as the same cells of a csv do, wherever a block is cut", function()
    local random, lines, cells = helper.random(4), {}, { "row,click,buy,101,109_14,price" }
    for i = 1, 300 do
      local user, tags, price = "u" .. random(40), {}, random(3) > 1 and random(1000) / 8 or ""
      local parts = { "101:" .. user }
      if price ~= "" then parts[#parts + 1] = "price:" .. price end
      for k = 1, random(4) - 1 do
        tags[k] = "t" .. random(99)
        parts[#parts + 1] = "109_14:" .. tags[k]
      end
      if random(2) == 1 then table.insert(parts, 1, "skipped:" .. i) end
      local start = ("%d,%d,%d"):format(i, i % 2, i % 3 % 2)
      lines[i] = start .. "," .. table.concat(parts, ",")
      cells[i + 1] = ("%s,%s,%s,%s"):format(start, user, table.concat(tags, "|"), price)
    end
    reads_as_csv(cells, named, lines, { layout = "pairs", names = names })
  end)

  it("is refused with the place of what is wrong", function()
    local function says(message, line)
      fails(message, "pairs", named, "r,1,0\n" .. line .. "\n", { names = names })
    end
    says("FILE:2:1: 2 cells, expected 3 before pairs", "r,1")
    says("FILE:3:1: 1 cell, expected 3 before pairs", "\nr")
    says("FILE:2:1: 1 cell, expected 3 before pairs", "#")
    says('FILE:2:7: "101" is not field:text', "r,1,0,101")
    says('FILE:2:7: ":a" is not field:text', "r,1,0,:a")
    says('FILE:2:7: "101:" is not field:text', "r,1,0,101:")
    says("FILE:2:13: field 101 has several pairs, which only a field of type ids can hold",
      "r,1,0,101:a,101:b")
    says('FILE:2:13: "x" is not a number (column "price")', "r,1,0,price:x")
    fails('column "c": click is one value, and a field of type ids reads pairs', "pairs",
      { { name = "c", source = "click", type = "ids" } }, "1\n", { names = { "click" } })
    fails('column "q": files of named pairs have no requests', "pairs",
      { { name = "q", type = "request_key", side = "request" } }, "1\n", { names = { "q" } })
  end)
end)

describe("a file of pairs", function()
  it("may have empty lines and, but for named pairs, lines of comments: no rows", function()
    for block = 0, 30, 6 do
      local options = { layout = "libsvm", block = block }
      local text = "# a\n\n1 1:1\n \t\r\n  # b\n-1 2:1\n\n\n"
      local rows = assert(data.parse({ svm[1] }, text, options))
      assert.same({ 1, 0 }, data.column(rows, "y"))
      options.layout = "libffm"
      rows = assert(data.parse({ ffm[1] }, "\n#\n-1 0:1:1\n\n1 0:1:1\n#\n", options))
      assert.same({ 0, 1 }, data.column(rows, "y"))
      options.layout, options.names = "pairs", names
      rows = assert(data.parse({ named[1] }, "\nr,1,0\n\r\nr,0,1\n\n", options))
      assert.same({ 1, 0 }, data.column(rows, "y"))
    end
    fails("FILE:4:1: the row has no label", "libsvm", svm, "# a\n1\n\n1:1\n")
  end)

  local function refuses(message, layout, columns, sequences)
    columns.sequences = sequences
    local schema = data.schema(columns)
    helper.fails_with(message, data.build(schema, "x", "y", { layout = layout }))
  end

  it("has columns of its own only", function()
    refuses('column "a": its source is "user", expected label, qid, features or the number of an '
      .. "index", "libsvm", { { name = "a", source = "user", type = "id" } })
    refuses('column "a": its source is "qid", expected label, features or the number of a field',
      "libffm", { { name = "a", source = "qid", type = "id" } })
    refuses('column "a": features are several values, which only a field of type ids can hold',
      "libsvm", { { name = "a", source = "features", type = "id" } })
    refuses('column "a": 3 is one value, and a field of type ids reads pairs', "libsvm",
      { { name = "a", source = "3", type = "ids" } })
    refuses('column "q": files of libsvm have no requests', "libsvm",
      { { name = "q", source = "qid", type = "request_key", side = "request" } })
    refuses('sequence "s": files of libffm have no sequences', "libffm",
      { { name = "s.a", source = "3", type = "id", sequence = "s" } }, { { name = "s" } })
  end)

  it("is of a layout that there is", function()
    local schema = data.schema(svm)
    local mr = require "moonrank.ffi"
    local paths = mr.new("const char *[1]", { "x" })
    helper.fails_with("layout is 5, expected MR_CELLS, MR_LIBSVM, MR_LIBFFM, MR_JSON or MR_PAIRS",
      mr.ok(mr.C.mr_dataset_build(schema, mr.new("mr_text_format", { layout = 5 }), paths, 1, "y",
        0, nil)))
  end)
end)
