-- JSON lines (engine/src/data/json_lines.c): objects whose members are cells.
local cjson = require "cjson"
local data = require "data_helper"
local helper = require "helper"

local function parse(columns, text, options)
  options = options or {}
  options.layout = "json"
  return data.parse(columns, text, options)
end

local function fails(message, columns, text, options)
  helper.fails_with(message, parse(columns, text, options))
end

local SEPARATOR, INNER = "\31", "\30"

-- A click, a user with an age, tags, a price; and what the user has seen, with words of each.
local columns = { sequences = { { name = "past", side = "request", separator = SEPARATOR } },
  { name = "y", source = "click", type = "label" },
  { name = "user", type = "id" }, { name = "age", source = "about.age", type = "number",
    missing = -1 },
  { name = "tags", type = "ids", separator = SEPARATOR },
  { name = "past.ad", source = "seen", type = "id", sequence = "past", side = "request" },
  { name = "past.gap", source = "gaps", type = "number", sequence = "past", side = "request",
    missing = 7 },
  { name = "past.words", source = "words", type = "ids", sequence = "past", side = "request",
    separator = INNER } }

-- A row of the columns above out of JSON text for some of them.
local function row(members)
  local parts = {}
  for _, name in ipairs { "click", "user", "about", "tags", "seen", "gaps", "words" } do
    local text = members[name] or name == "click" and "0"
    if text then parts[#parts + 1] = ('"%s":%s'):format(name, text) end
  end
  return "{" .. table.concat(parts, ",") .. "}\n"
end

local function keys_of(schema, column, texts)
  local keys = {}
  for i, text in ipairs(texts) do keys[i] = data.key(schema, column, text) end
  return keys
end

describe("JSON lines", function()
  it("have cells by the names of members, in any order and with blanks", function()
    local rows, schema = assert(parse(columns, '{"user":"u1", "click":1}\n'
      .. ' \t{ "other" : {"click": [1, {"a": "}"}]} ,"click"\t: 0,"about":{"size":3,"age":31.5} '
      .. '}\r\n{"click":true,"about":{},"user":null,"x":[],"seen":1,"gaps":1,"words":1}\n'
      .. '{"click":false,"user":0.10,"about":null}'))
    assert.same({ 1, 0, 1, 0 }, data.column(rows, "y"))
    assert.same({ -1, 31.5, -1, -1 }, data.column(rows, "age"))
    for i, text in ipairs { "u1", "", "", "0.10" } do
      assert.equal(data.key(schema, "user", text), rows[i].user)
    end
  end)

  it("may have empty ones among them, which are no rows", function()
    for block = 0, 60, 12 do
      local text = '\n{"click":1}\n\r\n \t\n{"click":0}\n\n\n'
      local rows = assert(parse(columns, text, { block = block }))
      assert.same({ 1, 0 }, data.column(rows, "y"))
      fails("FILE:4:1: 7, expected an object", columns, '\n{"click":1}\n\n7\n', { block = block })
    end
    fails("FILE: no rows", columns, "\n \n")
  end)

  it("have texts with every escape", function()
    local texts = { '"', "\\", "/", "\b\f\n\r\t", "é", "€", "😀", "a\nb", "\239\191\189x", "\0",
      "x", "\127\194\128", "\223\191\224\160\128", "\239\191\191\240\144\128\128",
      "\244\143\191\191", "\237\159\191\238\128\128", "\239\191\189", ("\239\191\189"):rep(2) }
    local written = { [["\""]], [["\\"]], [["\/"]], [["\b\f\n\r\t"]], [["\u00e9"]], [["\u20AC"]],
      [["\ud83d\uDE00"]], [["a\nb"]], [["\ud83dx"]], [["\u0000"]], [["\u0078"]],
      -- The first and the last of each length, of pairs, and beside those that are of pairs.
      [["\u007f\u0080"]], [["\u07ff\u0800"]], [["\uffff\ud800\udc00"]], [["\udbff\udfff"]],
      [["\ud7ff\ue000"]], [["\udfff"]], [["\udc00\udc01"]] }
    local lines = { [0] = row { seen = "1", gaps = "1", words = "1" } }
    for i, text in ipairs(written) do lines[i] = row { user = text } end
    local rows, schema = assert(parse(columns, table.concat(lines, "", 0)))
    for i, text in ipairs(texts) do
      assert.equal(data.key(schema, "user", text), rows[i + 1].user, written[i])
    end
    -- A name may have them, too.
    rows = assert(parse(columns, lines[0] .. '{"cl\\u0069ck":1,"\\u0075ser":"a"}\n'))
    assert.equal(data.key(schema, "user", "a"), rows[2].user)
  end)

  it("have names of 255 bytes, dots and all, and skip longer ones", function()
    local outer = ("o"):rep(200)
    local inner = ("i"):rep(54)
    local function line(name, value) return ('{"%s":{"%s":%d}}\n'):format(outer, name, value) end
    local rows = assert(parse({ { name = "x", source = outer .. "." .. inner, type = "number",
      missing = -1 } }, line(inner, 3) .. line(inner .. "i", 4) .. line(inner:sub(2), 5)))
    assert.same({ 3, -1, -1 }, data.column(rows, "x"))
  end)

  it("have lists as bags, as sequences, and lists of lists as sequences of bags", function()
    local rows, schema = assert(parse(columns, row { tags = '[ "a b", 7,null,true , "c\\"" ]',
      seen = '["x",null,12]', gaps = "[0.5,null,3]", words = '[["p","q"],[],"r"]' }
      .. row { tags = "[]", seen = "[]", gaps = "[]", words = "[]" }
      .. row { tags = '"a"', seen = '"x"', gaps = "1e1", words = '[[1,2]]' } .. row {}))
    for i, tags in ipairs { { "a b", "7", "1", 'c"' }, {}, { "a" }, {} } do
      assert.equal(data.bag(schema, "tags", tags), rows[i].tags)
    end
    for i, seen in ipairs { { "x", "", "12" }, {}, { "x" }, {} } do
      assert.same(keys_of(schema, "past.ad", seen), rows[i]["past.ad"])
    end
    assert.same({ { 0.5, 7, 3 }, {}, { 10 }, {} }, data.column(rows, "past.gap"))
    for i, words in ipairs { { { "p", "q" }, {}, { "r" } }, {}, { { "1", "2" } }, {} } do
      local bags = {}
      for k, texts in ipairs(words) do bags[k] = data.bag(schema, "past.words", texts) end
      assert.same(bags, rows[i]["past.words"])
    end
  end)

  it("say themselves that a list has one value of which nothing is known", function()
    local text = row { seen = "[null]", gaps = "[2]", words = "[[]]" }
      .. row { seen = '[ ""]', gaps = "[null]", words = '[["p"]]' }
      .. row { seen = "[\tnull ]", gaps = "[null]", words = "[null]" }
      .. row { seen = "[ ]", gaps = "[\t]", words = "[]" }
      .. row { seen = '""', gaps = "null" }
      .. row { seen = '["x"]', gaps = "[null]", words = '[""]' }
    for block = 0, #text, 37 do
      local rows, schema = assert(parse(columns, text, { block = block }))
      local function bags(...)
        local list = {}
        for i, texts in ipairs { ... } do list[i] = data.bag(schema, "past.words", texts) end
        return list
      end
      for i, seen in ipairs { { "" }, { "" }, { "" }, {}, {}, { "x" } } do
        assert.same(keys_of(schema, "past.ad", seen), rows[i]["past.ad"])
      end
      assert.same({ { 2 }, { 7 }, { 7 }, {}, {}, { 7 } }, data.column(rows, "past.gap"))
      assert.same({ bags {}, bags { "p" }, bags {}, bags(), bags(), bags {} },
        data.column(rows, "past.words"))
      fails('FILE:1:34: sequence "past": column "gaps" has 0 behaviours, column "seen" has 1',
        columns, row { seen = "[null]", gaps = "[]", words = "[null]" }, { block = block })
    end
  end)

  -- The same rows as JSON, members in any order and some more of them, and as a csv.
  local function two_forms(n)
    local random, lines = helper.random(5), {}
    local cells = { "click,user,about.age,tags,seen,gaps,words" }
    local function text(i) -- what needs escapes comes through as well
      return ({ "t" .. i, 'q"' .. i, "é\\" .. i, "two\nlines" .. i, "" })[i % 5 + 1]
    end
    local function quoted(cell) return '"' .. cell:gsub('"', '""') .. '"' end
    for i = 1, n do
      local tags, seen, gaps, words, bags = {}, {}, {}, {}, {}
      for k = 1, random(4) - 1 do tags[k] = text(random(50) * 5 - 2 + k % 2) end
      for k = 1, random(4) - 1 do
        seen[k], gaps[k], words[k] = tostring(random(99)), random(100) / 4, {}
        for j = 1, random(3) do words[k][j] = "w" .. random(20) end
        bags[k] = table.concat(words[k], INNER)
      end
      local members = { ('"click":%d'):format(i % 3 == 0 and 1 or 0),
        '"user":' .. cjson.encode(text(i)), ('"about":{"x":[{}],"age":%d}'):format(i % 70),
        '"skipped":' .. cjson.encode { a = { text(i), { b = "]" } } } }
      for name, list in pairs { tags = tags, seen = seen, gaps = gaps, words = words } do
        members[#members + 1] = ('"%s":%s'):format(name, #list == 0 and "[]" or cjson.encode(list))
      end
      for k = #members, 2, -1 do -- shuffled
        local other = random(k)
        members[k], members[other] = members[other], members[k]
      end
      lines[i] = "{" .. table.concat(members, (", "):sub(1, random(2))) .. "}"
      cells[i + 1] = table.concat({ i % 3 == 0 and 1 or 0, quoted(text(i)), i % 70,
        quoted(table.concat(tags, SEPARATOR)), table.concat(seen, SEPARATOR),
        table.concat(gaps, SEPARATOR), table.concat(bags, SEPARATOR) }, ",")
    end
    return table.concat(lines, "\n"), table.concat(cells, "\n")
  end

  it("read as the same cells of a csv do, wherever a block is cut, on any number of threads",
    function()
      local lines, cells = two_forms(300)
      local expected, pool = assert(data.parse(columns, cells)), data.pool(3)
      for _, block in ipairs { 0, 1, 700, 5000 } do
        assert.same(expected, (assert(parse(columns, lines, { block = block, pool = pool }))))
      end
    end)

  it("are split into parts as the same cells of a csv are", function()
    local C = require "moonrank.ffi".C
    local lines, cells = two_forms(200)
    for _, rule in ipairs { { by = C.MR_BY_CHANCE }, { by = C.MR_BY_VALUE, column = "gaps" },
      { by = C.MR_BY_TIME, column = "about.age" },
      { by = C.MR_BY_TIME_SHARE, column = "about.age" } } do
      rule.seed, rule.from, rule.to = 3, 0.25, rule.by == C.MR_BY_TIME and 40 or 0.75
      if rule.column == "gaps" then rule.column = "about.age" end
      local expected = assert(data.parse(columns, cells, { selection = rule }))
      assert.is_true(#expected > 50 and #expected < 150)
      assert.same(expected, (assert(parse(columns, lines, { selection = rule, block = 900 }))))
    end
  end)

  local keyed = { { name = "y", source = "click", type = "label" },
    { name = "rid", type = "request_key", side = "request" },
    { name = "user", type = "id", side = "request" },
    { name = "seen", type = "ids", side = "request", separator = SEPARATOR },
    { name = "ad", type = "id" } }
  local function request(rid, user, ad, seen)
    return ('{"click":0,"rid":%d,"user":"%s","seen":[%s],"ad":%d}\n'):format(rid, user, seen or "1",
      ad)
  end

  it("have requests, which are compared as texts are", function()
    local rows = assert(parse(keyed, request(1, "a", 1) .. request(1, "\\u0061", 2)
      .. request(2, "a", 3), { block = 1 }))
    assert.same({ 1, 1 }, { rows[1].request + 1, rows[2].request + 1 })
    for block = 0, 400, 40 do
      fails('FILE:3:28: column "user" is "b", but "a" in an earlier row of the same request', keyed,
        request(1, "x\\n\\n", 1) .. request(2, "a", 1) .. request(2, "b", 1), { block = block })
      fails('FILE:2:39: column "seen" is "1?3", but "1?2" in an earlier row of the same request',
        keyed, request(1, "a", 1, "1,2") .. request(1, "a", 1, "1,3"), { block = block })
    end
  end)

  it("have requests whose list of one unknown value is none of no values", function()
    local listed = { keyed[1], keyed[2], keyed[3],
      { name = "s.ad", source = "seen", type = "id", sequence = "s", side = "request" }, keyed[5],
      sequences = { { name = "s", side = "request", separator = SEPARATOR } } }
    local one, none = request(1, "a", 1, "null"), request(1, "a", 1, "")
    for block = 0, 120, 20 do
      local options = { block = block }
      for _, rows in ipairs { none .. one, one .. none } do
        fails('FILE:2:39: column "seen" is empty in one row of a request and a list of one unknown '
          .. "value in another", listed, rows, options)
      end
      assert.same({ { "0ULL" }, { "0ULL" } },
        data.column(assert(parse(listed, one .. one, options)), "s.ad"))
      assert.same({ {}, {} }, data.column(assert(parse(listed, none .. none, options)), "s.ad"))
    end
  end)

  it("are refused alike wherever a block is cut, where several members are not there", function()
    local some = { sequences = { { name = "s", side = "request" } }, keyed[1], keyed[2], keyed[3],
      { name = "s.ad", source = "seen", type = "id", sequence = "s", side = "request" },
      { name = "s.gap", source = "gaps", type = "number", sequence = "s", side = "request" } }
    local text = '{"click":1,"rid":1,"user":"a"}\n{"click":0,"rid":1,"seen":[1,2]}\n'
    local last = { some[1], some[2], some[4], some[5], some[3], sequences = some.sequences }
    for block = 0, 90, 10 do
      fails('FILE:2:1: column "user" is "", but "a" in an earlier row of the same request', some,
        text, { block = block })
      fails('FILE:2:1: sequence "s": column "gaps" has 0 behaviours, column "seen" has 2', last,
        text, { block = block })
    end
  end)

  it("are refused with the place of what is wrong", function()
    local function says(place, message, line)
      fails(("FILE:2:%d: %s"):format(place, message), columns, row { user = '"a\\nb"' } .. line)
    end
    says(1, "[, expected an object", '[{"click":0}]\n')
    says(1, "null, expected an object", "null\n")
    says(2, "click, expected the name of a member", "{click:0}\n")
    says(10, "}, expected : behind the name of a member", '{"click" }\n')
    says(12, '", expected , or } behind a member', '{"click":0 "user":1}\n')
    says(12, "}, expected the name of a member", '{"click":0,}\n')
    says(11, "the line ends, expected , or } behind a member", '{"click":0\n')
    says(13, "{, expected the end of the line", '{"click":0} {}\n')
    says(10, "the line ends, expected a value", '{"click":\n')
    says(10, "}, expected a value of JSON", '{"click":}\n')
    says(10, "yes, expected a value of JSON", '{"click":yes}\n')
    says(10, "a string is not closed", '{"click":"0}\n')
    says(10, "a string is not closed", '{"click":"0\\\n')
    says(11, '"\\x" is no escape of JSON', '{"user":"a\\x41"}\n')
    says(10, '"\\u12g4" is no escape of JSON', '{"user":"\\u12g4"}\n')
    says(10, '"\\u12" is no escape of JSON', '{"user":"\\u12"}\n')
    says(19, 'member "user" is there twice', '{"user":1, "user":2}\n')
    says(9, 'member "user" is a list, expected one value', '{"user":["a"]}\n')
    says(9, 'member "user" is an object, expected one value', '{"user":{"a":1}}\n')
    says(9, 'member "tags" is an object, expected a list or one value', '{"tags":{"a":1}}\n')
    says(12, "a list in a list, expected single values", '{"tags":[1,[2]]}\n')
    says(10, "an object in a list, expected single values", '{"tags":[{}]}\n')
    says(12, "a list in a list, expected single values", '{"words":[[[1]]]}\n')
    says(12, "2, expected , or ] behind a value of a list", '{"tags":[1 2]}\n')
    says(9, "a [ is not closed", '{"tags":[1,\n')
    says(10, 'the value "a?b" of a list has the separator in it', '{"tags":["a\\u001fb"]}\n')
    says(11, 'the value "a?b" of a list has the separator in it', '{"words":["a\\u001eb"]}\n')
    says(12, 'the value "a?b" of a list has the separator in it', '{"words":[["a\\u001eb"]]}\n')
    says(6, "a { is not closed", '{"a":{"b":[1]\n')
    says(8, "], expected }", '{"a":{ ]}\n')
    says(70, "lists and objects are nested more than 64 deep", '{"a":' .. ("["):rep(65) .. "\n")
    says(10, 'label "2" in column "click", expected 0 or 1', '{"click":2}\n')
    says(10, 'label "" in column "click", expected 0 or 1', '{"click":null}\n')
    says(29, '"x" is not a number (column "about.age")', '{"click":0,"about":{"age": "x"}}\n')
    says(50, '"x" is not a number (column "gaps", behaviour 2)',
      '{"click":0,"seen":[1,2],"words":[1,2],"gaps":[1,"x"]}\n')
    fails("FILE: the file is empty, expected rows", columns, "")
    local cut = "{" .. ('"a":1,'):rep(100)
    fails("FILE:1: a row is longer than 64 bytes", columns, cut, { row = 64, block = 16 })
  end)

  it("name the place of a value in a list, whatever stands between the values", function()
    local listed = { sequences = columns.sequences, columns[1],
      { name = "v", type = "vector", width = 3, separator = SEPARATOR },
      { name = "tags", type = "ids", separator = SEPARATOR, weights = ":" },
      { name = "past.gap", source = "gaps", type = "number", sequence = "past", side = "request" },
      { name = "past.v", source = "vs", type = "vector", width = 2, separator = INNER,
        sequence = "past", side = "request" } }
    -- The place of what stands between the marks, which are taken out.
    local function says(message, line)
      line = '{"click":0,' .. line .. "}\n"
      local place = line:find("^", 1, true)
      for block = 0, 400, 80 do
        fails(("FILE:4:%d: %s"):format(place, message), listed, ('{"click":0,"gaps":[1 ,2],'
          .. '"vs":[ [1,2],[3, 4] ]}\n{"click":1}\n\n') .. line:gsub("%^", ""), { block = block })
      end
    end
    says('number 2, "x", is not a number (column "v")', '"v":[ 1 ,\t"^x", 3]')
    says('number 1, "", is not a number (column "v")', '"v":[ ^null, 1, 3]')
    says("2 numbers, expected 3 (column \"v\")", '"v" : [  ^1 , 3]')
    says('weight "x" of "b" is no number from -1e9 to 1e9 (column "tags")',
      '"tags":[ "a\\u003a1" , "^b:x"]')
    says('"y" is not a number (column "gaps", behaviour 3)',
      '"gaps": [ 1 , "2",  "^y" ],"vs":[[1,2],[1,2],[1,2]]')
    says('number 2, "z", is not a number (column "vs", behaviour 2)',
      '"gaps":[1,2],"vs": [ [ 1, 2 ] , [3,"^z"]]')
    says('"0 1" is not a number (column "gaps", behaviour 1)', '"gaps":"^0 1","vs":[[1,2]]')
  end)

  it("leave wrong rows out where they may, and the lines of others stay right", function()
    local options = { layout = "json", bad_rows = 3 }
    local text = row { user = '"a\\nb"', seen = "1", gaps = "1", words = "1" } .. "{]\n"
      .. row { about = '{"age":"x"}', click = "1" }
      .. row { click = "1" } .. row { click = "7" }
    local dir, schema = helper.temp_dir(), data.schema(columns)
    local path = helper.write(dir .. "/rows.jsonl", text)
    assert(data.build(schema, path, dir .. "/cache", options))
    assert.same({ 0, 1 }, data.column(assert(data.rows(schema, columns, dir .. "/cache")), "y"))
    local counts, list = data.bad_rows(schema, dir .. "/cache")
    assert.same({ { 1, 1, 1 }, { 1, 2, 4 } }, { { counts[1], counts[2], counts[3] }, list })
    options.bad_rows = 2
    helper.fails_with(path .. ':5:10: label "7" in column "click", expected 0 or 1; at most 2 '
      .. "wrong rows are left out", data.build(schema, path, dir .. "/cache", options))
  end)

  it("have members of one kind of list, with short names", function()
    local function refuses(message, list)
      helper.fails_with(message, data.build(data.schema(list), "x", "y", { layout = "json" }))
    end
    refuses('columns "a" and "b" read one member with different separators',
      { { name = "a", source = "m", type = "ids", separator = "|" },
        { name = "b", source = "m", type = "ids" } })
    refuses('column "a": its source has 256 bytes, expected at most 255',
      { { name = "a", source = ("m"):rep(256), type = "id" } })
  end)

  it("are read or refused when memory runs out anywhere", function()
    local path = helper.write(helper.temp_dir() .. "/rows.jsonl", (two_forms(20)))
    assert.is_true(data.read_without_memory(columns, path, path .. ".cache",
      { layout = "json" }) > 30)
  end)
end)
