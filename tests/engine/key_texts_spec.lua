-- The texts of keys that a table keeps (engine/src/data/row_codes.c, dictionary.c, store_writer.c),
-- against the values that are in the files.
local data = require "data_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local C = mr.C

local COLUMNS = {
  { name = "click", type = "label" },
  { name = "place", type = "id", side = "request" },
  { name = "tags", type = "ids", separator = "|" },
  { name = "past.place", source = "past", table = "place", type = "id", side = "request",
    sequence = "past" },
  { name = "past.more", source = "more", table = "more", type = "ids", separator = "|",
    side = "request", sequence = "past" },
  { name = "kind", type = "id", values = { "new", "old", "never" } },
  { name = "price", type = "bucket", buckets = 3 },
  { name = "rid", type = "request_key", side = "request" },
  sequences = { { name = "past", side = "request", max = 3, keep = "last" } },
}
local TABLES = { "place", "tags", "more", "kind", "price" }

local function schema_of(columns, min_count, tables)
  local schema = data.schema(columns, min_count)
  for _, name in ipairs(tables or TABLES) do
    mr.check(C.mr_schema_keep_texts(schema, C.mr_schema_find_table(schema, name)))
  end
  return schema
end

-- Values with quotes, separators within them, bytes that are no UTF-8, and long ones.
local PLACES = { "a b", 'say "no"', "x,y", "\xff\xfe", ("long"):rep(30), "7", "seven" }
local WORDS = { "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9" }

local function make_text(n)
  local random = helper.random(8)
  local function word() return WORDS[random(#WORDS)] end
  local function quoted(text) return '"' .. text:gsub('"', '""') .. '"' end
  local lines, request = { "click,place,tags,past,more,kind,price,rid" }, nil
  for i = 1, n do
    if i % 3 == 1 then
      local past, more = {}, {}
      for k = 1, random(5) do past[k], more[k] = "p" .. word(), word() .. "x|" .. word() end
      request = { quoted(PLACES[random(#PLACES)]), table.concat(past, " "),
        table.concat(more, " "), i }
    end
    lines[i + 1] = ("%d,%s,%s,%s,%s,%s,%d,%d"):format(random(2) - 1, request[1],
      word() .. "|" .. word(), request[2], request[3], ({ "new", "old", "other" })[random(3)],
      random(100), request[4])
  end
  return table.concat(lines, "\n") .. "\n"
end

-- The texts of values' keys, in the order of the values.
local function texts_of(schema, dataset, column, table_name, values)
  local keys, out = mr.new("uint64_t[?]", #values), mr.new "char *[1]"
  for i, value in ipairs(values) do
    keys[i - 1] = C.mr_schema_key(schema, C.mr_schema_find(schema, column), value, #value)
  end
  mr.check(C.mr_dataset_texts(out, dataset, C.mr_schema_find_table(schema, table_name), keys,
    #values))
  local list = {}
  for line in mr.string(out[0]):gmatch "([^\n]*)\n" do list[#list + 1] = line end
  C.mr_text_free(out[0])
  return list
end

describe("texts of keys", function()
  it("are kept of fields, bags and sequences, for any number of threads and any block", function()
    local dir = helper.temp_dir()
    local path = helper.write(dir .. "/text.csv", make_text(900))
    local past, more = {}, {}
    for i, word in ipairs(WORDS) do past[i], more[i] = "p" .. word, word .. "x" end
    for _, word in ipairs(WORDS) do more[#more + 1] = word end
    local first
    for _, threads in ipairs { 1, 4 } do
      for _, block in ipairs { 0, 300 } do
        local schema = schema_of(COLUMNS)
        assert(data.build(schema, path, dir .. "/cache",
          { fit = true, pool = data.pool(threads), block = block }))
        local bytes = helper.read(dir .. "/cache")
        first = first or bytes
        assert.is_true(first == bytes)
        local dataset = assert(data.open(schema, dir .. "/cache"))
        assert.same({ "a b", 'say "no"', "x,y", "\xff\xfe", ("long"):rep(10) .. "...", "7",
          "seven", "" }, texts_of(schema, dataset, "place", "place",
          { PLACES[1], PLACES[2], PLACES[3], PLACES[4], PLACES[5], PLACES[6], PLACES[7], "no" }))
        assert.same(past, texts_of(schema, dataset, "place", "place", past))
        assert.same(WORDS, texts_of(schema, dataset, "tags", "tags", WORDS))
        assert.same(more, texts_of(schema, dataset, "past.more", "more", more))
        assert.same({ "new", "old", "never", "" }, texts_of(schema, dataset, "kind", "kind",
          { "new", "old", "never", "other" }))
      end
    end
  end)

  it("are those of keys that are no rarer than min_count", function()
    local dir = helper.temp_dir()
    local columns = { { name = "click", type = "label" }, { name = "x", type = "id" } }
    local lines, all, often = { "click,x" }, {}, {}
    for i = 1, 300 do
      all[i], often[i] = "value" .. i, i % 3 == 0 and "value" .. i or ""
      for _ = 1, i % 3 == 0 and 2 or 1 do lines[#lines + 1] = "1,value" .. i end
    end
    local schema = schema_of(columns, { x = 2 }, { "x" })
    assert(data.build(schema, helper.write(dir .. "/t.csv", table.concat(lines, "\n") .. "\n"),
      dir .. "/cache", { fit = true }))
    assert.same(often, texts_of(schema, data.open(schema, dir .. "/cache"), "x", "x", all))
  end)

  it("are those of their keys where there are more than are written at a time", function()
    local dir = helper.temp_dir()
    local columns = { { name = "click", type = "label" }, { name = "x", type = "id" } }
    local lines, all = { "click,x" }, {}
    for i = 1, 9000 do -- more than two times as many as store_writer.c writes at a time
      all[i] = ("v"):rep(i % 13) .. i
      lines[i + 1] = "1," .. all[i]
    end
    local schema = schema_of(columns, nil, { "x" })
    assert(data.build(schema, helper.write(dir .. "/t.csv", table.concat(lines, "\n") .. "\n"),
      dir .. "/cache", { fit = true }))
    assert.same(all, texts_of(schema, data.open(schema, dir .. "/cache"), "x", "x", all))
  end)

  it("are kept of JSON lines and libffm", function()
    for layout, text in pairs {
      json = '{"click": 1, "x": "a\\tb", "y": ["p", "q"]}\n{"click": 0, "x": 5, "y": []}\n',
      libffm = "1 0:7:1 1:8:1\n0 0:9:1 1:8:1\n" } do
      local dir, pairs_of = helper.temp_dir(), layout == "libffm"
      local columns = { { name = "click", source = pairs_of and "label" or nil, type = "label" },
        { name = "x", source = pairs_of and "0" or "x", type = "id" },
        { name = "y", source = pairs_of and "1" or "y", type = "ids" } }
      local schema = schema_of(columns, nil, { "x", "y" })
      assert(data.build(schema, helper.write(dir .. "/t", text), dir .. "/cache",
        { fit = true, layout = layout }))
      local dataset = data.open(schema, dir .. "/cache")
      local x = pairs_of and { "7", "9" } or { "a\tb", "5" }
      local shown = pairs_of and x or { "a?b", "5" }
      assert.same(shown, texts_of(schema, dataset, "x", "x", x))
      local y = pairs_of and { "8" } or { "p", "q" }
      assert.same(y, texts_of(schema, dataset, "y", "y", y))
    end
  end)

  it("are not there where nothing asks for them, nor in data that is not trained on", function()
    local dir = helper.temp_dir()
    local path = helper.write(dir .. "/text.csv", make_text(50))
    local columns = { { name = "click", type = "label" }, { name = "tags", type = "ids" } }
    for _, case in ipairs { { schema_of(columns, nil, {}), true },
      { schema_of(columns, nil, { "tags" }), false } } do
      assert(data.build(case[1], path, dir .. "/cache", { fit = case[2] }))
      local dataset, out = assert(data.open(case[1], dir .. "/cache")), mr.new "char *[1]"
      assert.equal(0, C.mr_dataset_has_texts(dataset, 0))
      helper.fails_with("there are no texts of table 0, or no number of 1 keys",
        mr.ok(C.mr_dataset_texts(out, dataset, 0, mr.new "uint64_t[1]", 1)))
    end
    local schema = data.new_schema()
    helper.fails_with("table 3, but there are 0", mr.ok(C.mr_schema_keep_texts(schema, 3)))
  end)

  it("that are damaged are empty", function()
    local dir = helper.temp_dir()
    local schema = schema_of({ { name = "click", type = "label" }, { name = "x", type = "id" } },
      nil, { "x" })
    local path = helper.write(dir .. "/t.csv", "click,x\n1,some\n0,more\n")
    assert(data.build(schema, path, dir .. "/cache", { fit = true }))
    local bytes = helper.read(dir .. "/cache")
    local at = assert(bytes:find("somemore", 1, true) or bytes:find("moresome", 1, true))
    assert.same({ "some", "more" },
      texts_of(schema, data.open(schema, dir .. "/cache"), "x", "x", { "some", "more" }))
    -- The ends lie before the texts: a number of 64 bits for each code, 8 from the second text on.
    local before, ends = bytes:sub(1, at - 1):match "^(.-)([%z\4\8]*)$"
    local damaged, n = ends:gsub("\8", "\255")
    assert.is_true(n >= 1)
    helper.write(dir .. "/cache", before .. damaged .. bytes:sub(at))
    local found = texts_of(schema, assert(data.open(schema, dir .. "/cache")), "x", "x",
      { "some", "more" })
    assert.is_true(found[1] == "" or found[2] == "")
    for _, text in ipairs(found) do assert.is_true(text == "" or #text == 4) end
  end)
end)
