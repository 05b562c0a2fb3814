-- Lists that are filled up to one length: what says the padding counts as if it were not there
-- (engine/src/data/{behaviours,rows}.c). Against the same rows written without it.
local cjson = require "cjson"
local data = require "data_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"

-- Columns of every kind that a list can be, with a padding or without.
local function columns_of(padding, separator, inner)
  return {
    { name = "y", source = "click", type = "label" },
    { name = "r", type = "request_key", side = "request" },
    { name = "id", source = "click", type = "id" },
    { name = "tags", type = "ids", separator = separator, max = 3, padding = padding },
    { name = "words", type = "ids", separator = separator, weights = ":", padding = padding },
    { name = "c.ad", source = "ads", type = "id", side = "request", sequence = "c" },
    { name = "c.cate", source = "cates", type = "id", side = "request", sequence = "c" },
    { name = "c.gap", source = "gaps", type = "number", side = "request", sequence = "c" },
    { name = "c.more", source = "more", type = "ids", side = "request", sequence = "c",
      separator = inner, padding = padding },
    { name = "s.ad", source = "s_ads", type = "id", table = "ad", sequence = "s" },
    { name = "s.v", source = "s_vs", type = "vector", width = 2, sequence = "s",
      separator = inner },
    sequences = { { name = "c", side = "request", max = 3, keep = "last", separator = separator,
      padding = padding }, { name = "s", max = 2, separator = separator, padding = padding } },
  }
end

local LISTS = { "tags", "words", "ads", "cates", "gaps", "more", "s_ads", "s_vs" }

-- Requests of 1 to 3 rows, each list twice: as it is, and with zeros in front, behind or between.
local function make_rows(n, random)
  local rows, request = {}, nil
  local function places(length) -- which of 8 places are taken, the others being padding
    local taken, left = {}, length
    for i = 1, 8 do
      local takes = left > 0 and (random(2) == 1 or 8 - i < left)
      taken[i], left = takes, left - (takes and 1 or 0)
    end
    return taken
  end
  local function both(lists, length, at, draw)
    for name, one in pairs(draw) do
      local plain, padded, k = {}, {}, 0
      for i = 1, 8 do
        padded[i] = name == "s_vs" and { "0", "0" } or "0"
        if at[i] then
          k = k + 1
          padded[i], plain[k] = one(k)
        end
      end
      assert(k == length)
      lists[name] = { plain = plain, padded = padded }
    end
  end
  local function value(prefix, n_values)
    return function()
      local text = prefix .. random(n_values)
      return text, text
    end
  end
  -- Behind the first, an id may be missing in a behaviour that the other id shows to be there.
  local function cate(k)
    if k > 1 and random(4) == 1 then return "0", "" end
    local text = 'c"' .. random(9)
    return text, text
  end
  local function bag()
    local words = { "m" .. random(9), "0", "m" .. random(9) }
    return words, { words[1], words[3] }
  end
  local function vector()
    local list = { tostring(random(9)), tostring(random(9) / 4) }
    return list, list
  end
  for i = 1, n do
    if not request or random(2) == 1 then
      request = { r = (request and request.r or 0) + 1, lists = {} }
      local length = random(9) - 1
      both(request.lists, length, places(length),
        { ads = value("a", 30), cates = cate, gaps = value("", 50), more = bag })
    end
    local row = { click = random(2) - 1, r = request.r, lists = {} }
    for name, list in pairs(request.lists) do row.lists[name] = list end
    for name, one in pairs { tags = value("t", 9), words = function()
      local text = ("w%d:%g"):format(random(9), random(9) / 2)
      return text, text
    end } do
      local length = random(9) - 1
      both(row.lists, length, places(length), { [name] = one })
    end
    for k, word in ipairs(row.lists.words.padded) do
      row.lists.words.padded[k] = word == "0" and "0:0" or word
    end
    local length = random(9) - 1
    both(row.lists, length, places(length), { s_ads = value("a", 30), s_vs = vector })
    rows[i] = row
  end
  return rows
end

local function quoted(cell) return '"' .. cell:gsub('"', '""') .. '"' end

local function csv_of(rows, form)
  local lines = { "click,r," .. table.concat(LISTS, ",") }
  for i, row in ipairs(rows) do
    local cells = { row.click, row.r }
    for c, name in ipairs(LISTS) do
      local pieces = {}
      for k, piece in ipairs(row.lists[name][form]) do
        pieces[k] = type(piece) == "table" and table.concat(piece, "|") or piece
      end
      cells[c + 2] = quoted(table.concat(pieces, ","))
    end
    lines[i + 1] = table.concat(cells, ",")
  end
  return table.concat(lines, "\n") .. "\n"
end

local function json_of(rows, form)
  local lines = {}
  for i, row in ipairs(rows) do
    local members = { ('"click":%d,"r":%d'):format(row.click, row.r) }
    for c, name in ipairs(LISTS) do
      local list = row.lists[name][form]
      members[c + 1] = ('"%s": %s'):format(name, #list == 0 and "[]" or cjson.encode(list))
    end
    lines[i] = "{" .. table.concat(members, ", ") .. "}"
  end
  return table.concat(lines, "\n") .. "\n"
end

describe("a padding", function()
  local random = helper.random(8)

  it("is not there, wherever it stands, in a csv and in lists of JSON", function()
    for round = 1, 6 do
      local rows = make_rows(120, random)
      local expected = assert(data.parse(columns_of(nil, ",", "|"), csv_of(rows, "plain")))
      local pool = round % 2 == 0 and data.pool(3) or nil
      for _, bad_rows in ipairs { 0, 5 } do
        local options = { block = ({ 0, 1, 700 })[round % 3 + 1], pool = pool, bad_rows = bad_rows }
        assert.same(expected, (assert(data.parse(columns_of("0", ",", "|"), csv_of(rows, "padded"),
          options))))
        options.layout = "json"
        assert.same(expected, (assert(data.parse(columns_of("0", "\31", "\30"),
          json_of(rows, "padded"), options))))
      end
      -- Nor is it in rows that have none.
      assert.same(expected, (assert(data.parse(columns_of("-1", ",", "|"), csv_of(rows, "plain")))))
    end
  end)

  it("may stand elsewhere in each row of a request", function()
    local columns = { { name = "r", type = "request_key", side = "request" },
      { name = "s.ad", source = "ads", type = "id", side = "request", sequence = "s" },
      sequences = { { name = "s", side = "request", padding = "0" } } }
    local text = "r,ads\n1,0 a b\n1,a b\n1,a 0 b 0\n"
    local rows = assert(data.parse(columns, text))
    assert.equal(2, #rows[3]["s.ad"])
    columns.sequences[1].padding = nil
    helper.fails_with('FILE:3:3: column "ads" is "a b", but "0 a b" in an earlier row of the same '
      .. "request", data.parse(columns, text))
  end)

  it("is said by ids alone: a sequence of nothing but numbers keeps all of them", function()
    local rows = assert(data.parse({ { name = "y", type = "label" },
      { name = "s.gap", source = "gaps", type = "number", sequence = "s" },
      sequences = { { name = "s", padding = "0" } } }, "y,gaps\n1,0 2 0\n0,0\n"))
    assert.same({ { 0, 2, 0 }, { 0 } }, data.column(rows, "s.gap"))
  end)

  it("is dropped from pairs of libsvm by its index, from named ones by its text", function()
    local columns = { { name = "y", source = "label", type = "label" },
      { name = "tags", source = "features", type = "ids", weights = ":", padding = "0" } }
    local rows, schema = assert(data.parse(columns, "1 0:0 3:0.5 0:1 7:2\n0 0:0\n",
      { layout = "libsvm" }))
    assert.same({ data.bag(schema, "tags", { "3", "7" }, { 0.5, 2 }), "" },
      data.column(rows, "tags"))
    columns[1].source, columns[2] = "click",
      { name = "tags", source = "t", type = "ids", padding = "none" }
    rows, schema = assert(data.parse(columns, "1,t:none,t:x,t:none\n0,t:none\n",
      { layout = "pairs", names = { "click" } }))
    assert.same({ data.bag(schema, "tags", { "x" }), "" }, data.column(rows, "tags"))
  end)

  it("changes no place that a message names, and hides no columns of different lengths", function()
    local columns = columns_of("0", " ", "|")
    local function fails(message, cells)
      for _, bad_rows in ipairs { 0, 1 } do
        local text = "click,r," .. table.concat(LISTS, ",") .. "\n0,1," .. cells .. "\n"
        if bad_rows == 1 then text = text:gsub("\n", "\n0\n", 1) end
        local last = bad_rows == 1 and "; at most 1 wrong rows are left out" or ""
        helper.fails_with(("FILE:%d:"):format(2 + bad_rows) .. message .. last,
          data.parse(columns, text, { bad_rows = bad_rows }))
      end
    end
    fails('23: "x" is not a number (column "gaps", behaviour 3)',
      ",,0 0 a,0 0 c,0 0 x,0 0 m,,")
    fails('13: sequence "c": column "cates" has 2 behaviours, column "ads" has 3',
      ",,0 0 a,0 c,0 0 1,0 0 m,,")
    fails('23: number 2, "y", is not a number (column "s_vs", behaviour 2)',
      ",,,,,,0 a 0,0|0 1|y 0|0")
    -- What padding is at is not looked at.
    assert(data.parse(columns, "click,r," .. table.concat(LISTS, ",")
      .. "\n0,1,,,0 0 a,0 0 c,x x 1,0 0 m,0 a,? 1|2\n"))
  end)

  it("is a text with something in it, and makes another cache", function()
    helper.fails_with('column "t": padding is an empty text',
      data.add_column(data.new_schema(), { name = "t", type = "ids", padding = "" }))
    helper.fails_with('sequence "s": padding is an empty text',
      data.add_sequence(data.new_schema(), { name = "s", padding = "" }))
    local dir = helper.temp_dir()
    local path = helper.write(dir .. "/f.csv", csv_of(make_rows(3, random), "padded"))
    local columns = columns_of("0", ",", "|")
    assert(data.build(data.schema(columns), path, dir .. "/cache"))
    for _, where in ipairs { columns[4], columns.sequences[1] } do
      where.padding = "1"
      helper.fails_with(dir .. "/cache: the cache was built with another schema; build it again",
        data.rows(data.schema(columns), columns, dir .. "/cache"))
      where.padding = "0"
    end
    local spec = mr.new "mr_sequence_spec"
    local schema = data.schema(columns)
    mr.check(mr.C.mr_schema_sequence(schema, 1, spec))
    assert.equal("0", mr.string(spec.padding))
  end)

  it("is read or refused when memory runs out anywhere", function()
    local path = helper.write(helper.temp_dir() .. "/f.csv", csv_of(make_rows(9, random), "padded"))
    assert.is_true(data.read_without_memory(columns_of("0", ",", "|"), path, path .. ".cache",
      {}) > 50)
  end)
end)
