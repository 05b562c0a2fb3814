-- What is told of a row that goes on with a request, where something is wrong with it: what comes
-- first in the text, the same wherever a block of the file ends. A block that begins with such a
-- row reads it as if it began a request, and is compared when its turn comes
-- (engine/src/data/{row_requests,row_problems,dataset_build}.c).
local cjson = require "cjson"
local data = require "data_helper"
local helper = require "helper"

local NAMES = { "y", "rid", "user", "list", "w", "age", "vec", "kinds", "n2" }
local LISTS = { list = true, w = true, vec = true, kinds = true } -- of JSON

--- Columns of all types, most cells read by several; `s` separates values.
local function columns_of(s)
  return {
    sequences = { { name = "s", side = "request", separator = s },
      { name = "p", side = "request", separator = s, padding = "0" } },
    { name = "y", type = "label" },
    { name = "rid", type = "request_key", side = "request" },
    { name = "known", source = "user", type = "id", side = "request", values = { "a", "b" },
      unseen = "error" },
    { name = "user", type = "id", side = "request" },
    { name = "listed", source = "list", type = "ids", side = "request", separator = s,
      values = { "a", "b", "c" }, unseen = "error" },
    { name = "bag", source = "list", type = "ids", side = "request", separator = s,
      weights_source = "w" },
    { name = "age", type = "number", side = "request" },
    { name = "log_age", source = "age", type = "number", side = "request", log1p = true },
    { name = "vec", type = "vector", side = "request", separator = s, width = 2 },
    { name = "s.ad", source = "list", type = "id", side = "request", sequence = "s" },
    { name = "s.gap", source = "w", type = "number", side = "request", sequence = "s" },
    { name = "p.ad", source = "list", type = "id", side = "request", sequence = "p" },
    { name = "p.kind", source = "kinds", type = "id", side = "request", sequence = "p",
      values = { "a", "b" }, unseen = "error" },
    { name = "wide", type = "vector", side = "request", sources = { "age", "n2" }, width = 2 },
    { name = "own", source = "user", type = "id", values = { "a", "b", "x" }, unseen = "error" },
  }
end

local HEADER = table.concat(NAMES, ",") .. "\n"
local csv, json = columns_of " ", columns_of "\31"

local function read(text, is_json, options)
  if is_json then options.layout = "json" end
  local rows, message = data.parse(is_json and json or csv, is_json and text or HEADER .. text,
    options)
  return rows and "" or message
end

local FIRST = "1,r,a,a b,1 2,30,1 2,a b,1\n"

describe("a row that goes on with a request", function()
  local cases = {
    { "is told by a difference before what is wrong behind it in one cell",
      "1,r,a,a b,1.02 ,30,1 2,a b,1\n",
      'FILE:3:11: column "w" is "1.02 ", but "1 2" in an earlier row of the same request' },
    { "is told by a difference before what is wrong with another column of its cell",
      "1,r,a,a c,x 2,30,1 2,a b,1\n",
      'FILE:3:7: column "list" is "a c", but "a b" in an earlier row of the same request' },
    { "is told by what is wrong in a cell before its difference", "1,r,a,a b,1 2,30,1 x,a b,1\n",
      'FILE:3:20: number 2, "x", is not a number (column "vec")' },
    { "is told by a difference before a cell that is wrong", "1,r,b,a b,1 2,30,1 2,a q,1\n",
      'FILE:3:5: column "user" is "b", but "a" in an earlier row of the same request' },
    { "is told by an id that is not listed before its difference",
      "1,r,x,a b,1 2,30,1 2,a b,1\n", 'FILE:3:5: "x" is none of a, b (column "user")' },
    { "is told by one of several ids that is not listed before its difference",
      "1,r,a,a q,1 2,30,1 2,a b,1\n", 'FILE:3:7: "q" is none of a, b, c (column "list")' },
    { "is told by the first column of those that are wrong in one cell",
      "1,r,q,a b,1 2,30,1 2,a b,1\n", 'FILE:3:5: "q" is none of a, b (column "user")' },
    { "is compared with the row that began the request",
      "1,r,a,a b,1 2,30.0,1 2,a b,1\n1,r,a,a b,1.0 2,31,1 2,a b,1\n",
      'FILE:4:17: column "age" is "31", but "30" in an earlier row of the same request' },
    { "may say again what the request began with, where a cell that it has to do with does not",
      "1,r,a,a b,1.0 2,30,1 2,a b,1\n1,r,a,a c,1 2,30,1 2,a b,1\n",
      'FILE:4:7: column "list" is "a c", but "a b" in an earlier row of the same request' },
    { "is told by the behaviour that is wrong, not by what other columns say of padding",
      "1,r,a,a b,1 2,30,1 2,a q,1\n",
      'FILE:3:24: "q" is none of a, b (column "kinds", behaviour 2)' },
  }
  for _, case in ipairs(cases) do
    it(case[1], function()
      local text = FIRST .. case[2] .. FIRST
      for block = 0, #text + #HEADER, 9 do
        assert.equal(case[3], read(text, false, { block = block }))
      end
    end)
  end

  it("of JSON is told by the first member in its line that differs", function()
    local first = '{"rid":1,"y":1,"user":"a","list":["a","b"],"w":[1,2],"age":30,"vec":[1,2],'
      .. '"kinds":["a","b"],"n2":1}\n'
    local second = '{"rid":1,"y":1,"n2":2,"kinds":["a","b"],"vec":[1,3],"age":31,"w":[1,2],'
      .. '"list":["a","b"],"user":"b"}\n'
    for block = 0, 240, 20 do
      assert.equal('FILE:2:21: column "n2" is "2", but "1" in an earlier row of the same request',
        read(first .. second, true, { block = block }))
    end
  end)
end)

describe("rows of requests", function()
  local good = { user = { "a", "b" }, list = { "a b", "a c", "b", "0 a" },
    w = { "1 2", "1.0 2", "3", "1 3" }, age = { "30", "30.0", "31" },
    vec = { "1 2", "1.0 2", "1 3" }, kinds = { "a b", "0 b", "a 0" }, n2 = { "1", "1e0", "2" } }
  local bad = { user = { "q", "", "x" }, list = { "a q", "q", "", "a b c", " a" },
    w = { "1 x", "x 1", "1", "1 2 ", "" }, age = { "old", "", "1e99" },
    vec = { "1", "1 x", "", "x y z" }, kinds = { "a q", "q", "", "a" }, n2 = { "x", "" } }
  local random = helper.random(5)

  local function cell(name, i)
    if name == "y" then return "1" end
    if name == "rid" then return "r" end
    local list = (i > 1 and random(14) == 1 and bad or good)[name]
    local is_first = i == 1 or (list == good[name] and random(4) > 1)
    return list[is_first and 1 or random(#list)]
  end

  -- In JSON members come in any order, and some are not there.
  local function made_row(i, is_json)
    local members, cells = {}, {}
    for k, name in ipairs(NAMES) do
      cells[k] = cell(name, i)
      local pieces = {}
      for piece in (cells[k] .. " "):gmatch "(.-) " do pieces[#pieces + 1] = piece end
      local value = not LISTS[name] and cjson.encode(cells[k])
        or cells[k] == "" and "[]" or cjson.encode(pieces)
      if i == 1 or k < 3 or random(40) > 1 then
        members[#members + 1] = ('"%s":%s'):format(name, value)
      end
    end
    if not is_json then return table.concat(cells, ",") .. "\n" end
    for k = #members, 2, -1 do
      local other = random(k)
      members[k], members[other] = members[other], members[k]
    end
    return "{" .. table.concat(members, ",") .. "}\n"
  end

  for _, is_json in ipairs { false, true } do
    it("are refused alike wherever a block ends" .. (is_json and ", of JSON too" or ""), function()
      local pool, refused = data.pool(3), 0
      for _ = 1, 200 do
        local lines = {}
        for i = 1, 4 do lines[i] = made_row(i, is_json) end
        local text = table.concat(lines)
        local expected = read(text, is_json, { block = 0 })
        if expected ~= "" then refused = refused + 1 end
        for _, block in ipairs { 1, 60, 110 } do
          assert.equal(expected, read(text, is_json, { block = block, pool = pool }), text)
        end
      end
      assert.is_true(refused > 150 and refused < 200, refused)
    end)
  end
end)
