-- Ids with a weight each (engine/src/data/row_bags.c, loader.c): the weights come through the cache
-- beside the keys, and what is wrong is named with its place.
local data = require "data_helper"
local helper = require "helper"

local tags = { name = "tags", type = "ids", separator = "|", weights = ":" }
local plain = { { name = "y", type = "label" }, { name = "n", type = "number" },
  tags, { name = "few", type = "ids", separator = "|", max = 2 },
  { name = "liked", type = "ids", separator = " ", weights = "=", max = 2, table = "tags" } }

-- Rows of every length, and what a row is to read as.
local function made_rows(schema, n)
  local random, lines, expected = helper.random(5), { "y,few,tags,n,liked" }, {}
  local function bag(name, separator, mark, most)
    local pieces, keys, weights = {}, {}, {}
    for i = 1, random(5) - 1 do
      local key = "k" .. (random(9) == 9 and ":" or "") .. random(40)
      local weight = (random(81) - 41) / 16
      pieces[i] = key .. (mark and mark .. ("%.17g"):format(weight) or "")
      if i <= (most or 9) then keys[i], weights[i] = key, mark and weight end
    end
    return table.concat(pieces, separator), data.bag(schema, name, keys, mark and weights)
  end
  for i = 1, n do
    local row, texts = { y = i % 2, n = i }, {}
    texts.few, row.few = bag("few", "|", nil, 2)
    texts.tags, row.tags = bag("tags", "|", ":")
    texts.liked, row.liked = bag("liked", " ", "=", 2)
    lines[i + 1] = ("%d,%s,%s,%d,%s"):format(row.y, texts.few, texts.tags, i, texts.liked)
    expected[i] = row
  end
  return table.concat(lines, "\n"), expected
end

local function only(rows, names)
  local list = {}
  for i, row in ipairs(rows) do
    list[i] = {}
    for _, name in ipairs(names) do list[i][name] = row[name] end
  end
  return list
end

local NAMES = { "y", "n", "tags", "few", "liked" }

-- The same texts with the weights behind the values and in a column of their own, which comes
-- before and behind it; some values are empty, and their weights are nobody's.
local beside = { { name = "y", type = "label" },
  { name = "tags", type = "ids", separator = "|", weights_source = "w" },
  { name = "few", type = "ids", separator = " ", weights_source = "v", max = 2 } }
local behind = { { name = "y", type = "label" },
  { name = "tags", type = "ids", separator = "|", weights = ":" },
  { name = "few", type = "ids", separator = " ", weights = ":", max = 2 } }

local function two_forms(n)
  local random = helper.random(8)
  local one, two, lines = { "y,tags,few" }, { "w,y,tags,few,v" }, { "" }
  local function bag(separator)
    local pairs_of, values, weights = {}, {}, {}
    for i = 1, random(5) - 1 do
      local value = (i > 1 or random(3) > 1) and random(6) > 1 and 'k"' .. random(30) or ""
      local weight = ("%.17g"):format((random(81) - 41) / 16)
      if value ~= "" then pairs_of[#pairs_of + 1] = value .. ":" .. weight end
      values[i], weights[i] = value, (value ~= "" or random(2) == 1) and weight or ""
    end
    if table.concat(values, separator) == "" or table.concat(weights, separator) == "" then
      return "", "", "", "[]", "[]"
    end
    local texts, numbers = {}, {}
    for i, value in ipairs(values) do
      texts[i] = '"' .. value:gsub('"', '\\"') .. '"'
      numbers[i] = weights[i] == "" and "null" or weights[i]
    end
    return table.concat(pairs_of, separator), table.concat(values, separator),
      table.concat(weights, separator), "[" .. table.concat(texts, ", ") .. "]",
      "[" .. table.concat(numbers, ",") .. "]"
  end
  local function quoted(text) return '"' .. text:gsub('"', '""') .. '"' end
  for i = 1, n do
    local pieces, values, weights, list, numbers = bag "|"
    local few, few_values, few_weights, few_list, few_numbers = bag " "
    one[i + 1] = ("%d,%s,%s"):format(i % 2, quoted(pieces), quoted(few))
    two[i + 1] = ("%s,%d,%s,%s,%s"):format(random(2) == 1 and quoted(weights) or weights, i % 2,
      quoted(values), quoted(few_values), few_weights)
    lines[i] = ('{"v": %s, "tags": %s, "y": %d, "w": %s, "few": %s}'):format(few_numbers, list,
      i % 2, numbers, few_list)
  end
  return table.concat(one, "\n"), table.concat(two, "\n"), table.concat(lines, "\n")
end

-- Rows of two requests: tags of the first, of two rows, are a of weight 1 and b of weight 2, those
-- of the other a of -3. `refused` is a list of { message, text }.
local function check_requests(tags_of_request, text, refused)
  local columns = { { name = "q", type = "request_key", side = "request" }, tags_of_request,
    { name = "ad", type = "id" } }
  for _, block in ipairs { 0, 1 } do
    local rows, schema = assert(data.parse(columns, text, { block = block }))
    local first = data.bag(schema, "tags", { "a", "b" }, { 1, 2 })
    local second = data.bag(schema, "tags", { "a" }, { -3 })
    local _, n = text:gsub("\n", "\n")
    assert.equal(n - 1, #rows)
    for i, row in ipairs(rows) do assert.equal(i < 3 and first or second, row.tags) end
    for _, case in ipairs(refused) do
      helper.fails_with(case[1], data.parse(columns, case[2], { block = block }))
    end
  end
end

-- Of four rows two have wrong weights, and are left out; a of weight 1 and b of weight 3 stay.
local function check_left_out(columns, text)
  local dir, schema = helper.temp_dir(), data.schema(columns)
  local path = helper.write(dir .. "/data.csv", text)
  assert(data.build(schema, path, dir .. "/cache", { bad_rows = 5 }))
  local counts, list = data.bad_rows(schema, dir .. "/cache")
  assert.same({ 0, 0, 2, 0, 0, 0 }, counts)
  assert.same({ 1, 2 }, list)
  local rows = assert(data.rows(schema, columns, dir .. "/cache"))
  assert.same({ data.bag(schema, "tags", { "a" }, { 1 }),
    data.bag(schema, "tags", { "b" }, { 3 }) }, data.column(rows, "tags"))
end

describe("ids with a column of weights", function()
  it("are those that have them behind, wherever a block is cut", function()
    local one, two, lines = two_forms(300)
    local pool = data.pool(3)
    for _, block in ipairs { 0, 1, 900 } do
      local options = { block = block, pool = block == 1 and pool or nil }
      local expected = assert(data.parse(behind, one, options))
      assert.same(expected, assert(data.parse(beside, two, options)))
      local listed = {}
      for i, column in ipairs(beside) do
        listed[i] = {}
        for key, value in pairs(column) do listed[i][key] = value end
        listed[i].separator = listed[i].separator and "\31"
      end
      options.layout = "json"
      assert.same(expected, assert(data.parse(listed, lines, options)))
    end
  end)

  it("of a request are the same in its rows, values and weights", function()
    local function rows(first, second)
      return ("q,w,tags,ad\n1,%s,x\n1,%s,y\n"):format(first, second)
    end
    check_requests({ name = "tags", type = "ids", side = "request", weights_source = "w",
      separator = "|" },
      "q,w,tags,ad\n1,1|2,a|b,x\n1,1.0|3|2,a||b,y\n2,-3,a,x\n2,-3,a,y\n", {
        { 'FILE:3:3: column "w" is "1|2.5", but "1|2" in an earlier row of the same request',
          rows("1|2,a|b", "1|2.5,a|b") },
        { 'FILE:3:7: column "tags" is "a|c", but "a|b" in an earlier row of the same request',
          rows("1|2,a|b", "1|2,a|c") },
        { 'FILE:3:3: column "w" has 1 weight, column "tags" has 2 values',
          rows("1|2,a|b", "1,a|b") },
        { 'FILE:3:5: weight "x" of "b" is no number from -1e9 to 1e9 (column "w")',
          rows("1|2,a|b", "1|x,a|b") },
        -- Only the empty place moves: the weights are others.
        { 'FILE:3:9: column "tags" is "|a|b", but "a||b" in an earlier row of the same request',
          rows("1|9|2,a||b", "1|9|2,|a|b") } })
  end)

  it("are refused where the numbers are wrong or not as many", function()
    local columns = { { name = "y", type = "label" },
      { name = "tags", type = "ids", separator = "|", weights_source = "w" } }
    local function fails(message, row, options)
      local rows, actual = data.parse(columns, "y,tags,w\n1,a,1\n0," .. row .. "\n", options)
      helper.fails_with(message, rows, actual)
    end
    fails('FILE:3:7: column "w" has 1 weight, column "tags" has 2 values', "a|b,1")
    fails('FILE:3:5: column "w" has 3 weights, column "tags" has 1 value', "a,1|2|3")
    fails('FILE:3:4: column "w" has 1 weight, column "tags" has 0 values', ",1")
    fails('FILE:3:5: column "w" has 0 weights, column "tags" has 1 value', "a,")
    fails('FILE:3:9: weight "" of "b" is no number from -1e9 to 1e9 (column "w")', "a|b,1|")
    fails('FILE:3:9: weight "2e9" of "b" is no number from -1e9 to 1e9 (column "w")', "a|b,1|2e9")
    fails('FILE:3:12: weight "x" of "b" is no number from -1e9 to 1e9 (column "w")', '"a|b","1|x"')
    -- Both cells have quotes in them.
    fails('FILE:3:13: weight "x"y" of "b"" is no number from -1e9 to 1e9 (column "w")',
      '"a""|b""","1|x""y"')
    local rows, actual = data.parse({ columns[1], { name = "tags", type = "ids",
      weights_source = "w", separator = "\31" } },
      '{"y": 1, "tags": ["a", "b"], "w": [1, "x"]}\n', { layout = "json" })
    helper.fails_with('FILE:1:40: weight "x" of "b" is no number from -1e9 to 1e9 (column "w")',
      rows, actual)
    check_left_out(columns, "y,tags,w\n1,a,1\n0,a,\n1,b|c,1|x\n0,b,3\n")
    helper.fails_with('FILE:1: column "w" is missing; did you mean "W"? (columns: y, tags, W)',
      data.parse(columns, "y,tags,W\n1,a,1\n"))
  end)

  it("are refused as columns that cannot be", function()
    local function refused(message, column)
      helper.fails_with(message, data.add_column(data.new_schema(), column))
    end
    refused('column "x": only ids have weights', { name = "x", type = "id", weights_source = "w" })
    refused('column "x": its weights stand behind its values or in column "w", not both',
      { name = "x", type = "ids", weights = ":", weights_source = "w" })
    refused('column "x": its weights are in column "x", expected another',
      { name = "x", type = "ids", weights_source = "x" })
    for layout, name in pairs { libsvm = "libsvm", libffm = "libffm" } do
      helper.fails_with(('column "x": files of %s have no column of weights'):format(name),
        data.parse({ { name = "x", source = "features", type = "ids", weights_source = "w" } },
          "1 1:1\n", { layout = layout }))
    end
    helper.fails_with('columns "a" and "b" read one member with different separators',
      data.parse({ { name = "a", type = "ids", separator = "|", weights_source = "w" },
        { name = "b", source = "w", type = "ids", separator = ";" } }, "{}\n",
        { layout = "json" }))
  end)
end)

describe("ids with weights", function()
  it("are read, kept and loaded with them, wherever a block is cut", function()
    local text, expected = made_rows(data.schema(plain), 300)
    local pool = data.pool(3)
    for _, block in ipairs { 0, 1, 900 } do
      local rows = assert(data.parse(plain, text,
        { block = block, pool = block == 1 and pool or nil }))
      assert.same(expected, only(rows, NAMES))
    end
  end)

  it("keep them where keys are rare, not listed or read as zeros", function()
    local columns = {
      { name = "tags", type = "ids", weights = ":", separator = "|", unseen = "zero" },
      { name = "two", source = "tags", type = "ids", weights = ":", separator = "|",
        values = { "a", "b" } } }
    local dir = helper.temp_dir()
    local path = helper.write(dir .. "/data.csv", "tags\na:1|b:2|a:3\nc:4|a:0.5\n\n")
    local schema = data.schema(columns, { tags = 2 })
    assert(data.build(schema, path, dir .. "/cache", { fit = true }))
    local rows = assert(data.rows(schema, columns, dir .. "/cache"))
    local a, b = data.key(schema, "two", "a"), data.key(schema, "two", "b")
    assert.equal(("%s*1 %s*2 %s*3"):format(a, b, a), rows[1].two)
    assert.equal(("0ULL*4 %s*0.5"):format(a), rows[2].two)
    local weights = {}
    for i = 1, 2 do weights[i] = rows[i].tags:gsub("%d+ULL%*", "") end
    assert.same({ "1 2 3", "4 0.5" }, weights)
  end)

  it("of a request are the same in its rows, weights included", function()
    check_requests({ name = "tags", type = "ids", side = "request", weights = ":",
      separator = "|" },
      "q,tags,ad\n1,a:1|b:2,x\n1,a:1.0|b:2,y\n2,a:-3,x\n2,a:-3,y\n2,a:-3,z\n", {
        { 'FILE:3:3: column "tags" is "a:1|b:2.5", but "a:1|b:2" in an earlier row of the same '
          .. "request", "q,tags,ad\n1,a:1|b:2,x\n1,a:1|b:2.5,y\n" },
        { 'FILE:3:7: weight "x" of "b" is no number from -1e9 to 1e9 (column "tags")',
          "q,tags,ad\n1,a:1|b:2,x\n1,a:1|b:x,y\n" } })
  end)

  it("are refused with the place of a weight that is none", function()
    local columns = { { name = "y", type = "label" }, tags }
    local function fails(message, cell)
      local rows, actual = data.parse(columns, "y,tags\n1,a:1\n0," .. cell .. "\n")
      helper.fails_with(message, rows, actual)
    end
    for _, weight in ipairs { "x", "nan", "inf", "1e39", "1.1e9", "-1.1e9", "0x1", "" } do
      fails(('FILE:3:7: weight "%s" of "b" is no number from -1e9 to 1e9 (column "tags")'):format(
        weight), "a:2|b:" .. weight)
    end
    fails('FILE:3:3: "a" is not value:weight (column "tags")', "a|b:1")
    fails('FILE:3:3: ":2" is not value:weight (column "tags")', ":2")
    fails('FILE:3:3: weight "1e39" of "a" is no number from -1e9 to 1e9 (column "tags")',
      "a:1e39|x")
    check_left_out(columns, "y,tags\n1,a:1\n0,a:x\n1,b:1|c\n0,b:3\n")
  end)

  it("are the values of pairs in libsvm, libffm and behind named texts", function()
    local svm = { { name = "y", source = "label", type = "label" },
      { name = "f", source = "features", type = "ids", weights = ":", max = 2 } }
    local rows, schema = assert(data.parse(svm, "1 7:0.25 9:-3 11:x\n0\n-1 7:1.25e-1 # c\n",
      { layout = "libsvm" }))
    assert.same({ data.bag(schema, "f", { "7", "9" }, { 0.25, -3 }), "",
      data.bag(schema, "f", { "7" }, { 0.125 }) }, data.column(rows, "f"))
    local wrong, message = data.parse(svm, "1 7:1\n0 7:0.25 9:x\n", { layout = "libsvm" })
    helper.fails_with('FILE:2:10: weight "x" of "9" is no number from -1e9 to 1e9 '
      .. '(column "features")', wrong, message)
    local ffm = { { name = "y", source = "label", type = "label" },
      { name = "a", source = "2", type = "ids", weights = ":" },
      { name = "b", source = "3", type = "ids" } }
    rows, schema = assert(data.parse(ffm, "1 2:7:0.25 2:9:-3 3:1:1\n0 3:5:1 2:7:2\n",
      { layout = "libffm" }))
    assert.same({ data.bag(schema, "a", { "7", "9" }, { 0.25, -3 }),
      data.bag(schema, "a", { "7" }, { 2 }) }, data.column(rows, "a"))
    wrong, message = data.parse(ffm, "1 2:7:0.25 3:1:2\n", { layout = "libffm" })
    helper.fails_with('FILE:1:16: value "2" of a key, expected 1 (its field is not weighted)',
      wrong, message)
    local named = { { name = "y", source = "click", type = "label" },
      { name = "a", source = "2", type = "ids", weights = ":" } }
    rows, schema = assert(data.parse(named, "1,2:u:0.5,9:x,2:v:2\n0,9:y\n",
      { layout = "pairs", names = { "click" } }))
    assert.same({ data.bag(schema, "a", { "u", "v" }, { 0.5, 2 }), "" }, data.column(rows, "a"))
  end)

  it("may stand in lists of JSON", function()
    local columns = { { name = "y", type = "label" },
      { name = "tags", type = "ids", weights = ":", separator = "\31" } }
    local rows, schema = assert(data.parse(columns,
      '{"y": 1, "tags": ["a:0.5", "b:c:2"]}\n{"y": 0, "tags": []}\n', { layout = "json" }))
    assert.same({ data.bag(schema, "tags", { "a", "b:c" }, { 0.5, 2 }), "" },
      data.column(rows, "tags"))
    local wrong, message = data.parse(columns, '{"y": 1, "tags": ["a"]}\n', { layout = "json" })
    helper.fails_with('FILE:1:20: "a" is not value:weight (column "tags")', wrong, message)
  end)

  it("are of schemas, where a separator is none of a number", function()
    local function refused(message, column)
      helper.fails_with(message, data.add_column(data.new_schema(), column))
    end
    for _, byte in ipairs { ",", "-", "5", "e", ".", '"' } do
      refused(('column "x": weight_separator is byte %d, expected 0 to 255 and neither its '
        .. "separator, a quote, the end of a line nor what numbers are written with"):format(
        byte:byte()), { name = "x", type = "ids", weights = byte })
    end
    local schema = data.new_schema()
    assert(data.add_sequence(schema, { name = "s" }))
    helper.fails_with('column "x": ids of a sequence have no weights',
      data.add_column(schema, { name = "x", type = "ids", weights = ":", sequence = "s" }))
  end)

  it("are read with memory running out at any point", function()
    local dir = helper.temp_dir()
    local text = made_rows(data.schema(plain), 20)
    local source = helper.write(dir .. "/data.csv", text)
    local columns = { tags, { name = "id", source = "n", type = "id" } }
    assert(data.read_without_memory(columns, source, dir .. "/cache", {}, { batch = 3 }) > 50)
  end)
end)
