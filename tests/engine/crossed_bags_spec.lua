-- Crosses of ids with several values (engine/src/data/row_bags.c): each row is held against a loop
-- over the values of its parts.
local data = require "data_helper"
local helper = require "helper"

local columns = {
  { name = "q", type = "request_key", side = "request" },
  { name = "tags", type = "ids", side = "request", separator = "|", max = 3 },
  { name = "user", type = "id", side = "request", values = { "u1", "u2" } },
  { name = "words", type = "ids", separator = " ", weights_source = "w" },
  { name = "ad", type = "id" },
  { name = "tags_user", type = "ids", side = "request", max = 9, cross = { "tags", "user" } },
  { name = "words_tags", type = "ids", max = 5, cross = { "words", "tags" } },
  { name = "all", type = "ids", max = 100, cross = { "ad", "words", "user", "tags" } },
}

local function keep(list, most)
  local kept = {}
  for i = 1, math.min(#list, most) do kept[i] = list[i] end
  return kept
end

-- The combinations of lists of values, the last list's changing first, as a list of lists.
local function combine(lists)
  local found = { {} }
  for _, list in ipairs(lists) do
    local longer = {}
    for _, before in ipairs(found) do
      for _, value in ipairs(list) do
        local one = { unpack(before) }
        one[#one + 1] = value
        longer[#longer + 1] = one
      end
    end
    found = longer
  end
  return found
end

-- Requests of up to four rows.
local function made_rows(n)
  local random, rows, request = helper.random(12), {}, nil
  local function some(most, letter, of)
    local list = {}
    for i = 1, random(most + 1) - 1 do list[i] = letter .. random(of) end
    return list
  end
  for i = 1, n do
    if not request or random(4) == 1 then
      request = { q = i, tags = some(4, "t", 5), user = ({ "u1", "u2", "u3", "" })[random(4)] }
    end
    local row = { q = request.q, tags = request.tags, user = request.user,
      words = some(3, "w", 6), weights = {}, ad = random(6) == 1 and "" or "a" .. random(3) }
    for k = 1, #row.words do row.weights[k] = (random(17) - 6) / 4 end
    rows[i] = row
  end
  return rows
end

local function text_of(rows)
  local lines = { "w,tags,words,ad,user,q" }
  for i, row in ipairs(rows) do
    lines[i + 1] = ("%s,%s,%s,%s,%s,%d"):format(table.concat(row.weights, " "),
      table.concat(row.tags, "|"), table.concat(row.words, " "), row.ad, row.user, row.q)
  end
  return table.concat(lines, "\n") .. "\n"
end

-- What a cross of these parts is in a row: for each combination its parts' texts, or "" where one
-- of them says nothing, and the weight of the word in it.
local function expected(row, parts, most)
  local lists = {}
  for k, name in ipairs(parts) do
    if name == "tags" then lists[k] = keep(row.tags, 3)
    elseif name == "words" then
      lists[k] = {}
      for i, word in ipairs(row.words) do lists[k][i] = { word, row.weights[i] } end
    else lists[k] = { row[name] } end
  end
  local list = {}
  for i, one in ipairs(keep(combine(lists), most)) do
    local weight, known = nil, true
    for k, value in ipairs(one) do
      if type(value) == "table" then one[k], weight = value[1], value[2] end
      known = known and one[k] ~= "" and one[k] ~= "u3"
    end
    list[i] = { known and table.concat(one, "&") or "", weight }
  end
  return list
end

-- Keys of combinations are nobody's but theirs: equal where the texts are, others where not.
local function check(rows, got)
  local key_of, text_of_key, seen = {}, {}, 0
  for i, row in ipairs(rows) do
    for _, column in ipairs(columns) do
      if column.cross then
        local want, found = expected(row, column.cross, column.max), {}
        for piece in got[i][column.name]:gmatch "%S+" do found[#found + 1] = piece end
        assert.equal(#want, #found, ("%s of row %d"):format(column.name, i))
        for k, one in ipairs(want) do
          local key, weight = found[k]:match "^(%d+)ULL%*?(.*)$"
          assert.equal(one[2], tonumber(weight))
          local text = column.name .. " " .. one[1]
          if one[1] == "" then
            assert.equal("0", key)
          else
            assert.equal(key_of[text] or key, key)
            assert.equal(text_of_key[key] or text, text)
            key_of[text], text_of_key[key], seen = key, text, seen + 1
          end
        end
      end
    end
  end
  return seen
end

local shown = {}
for i, column in ipairs(columns) do
  shown[i] = {}
  for key, value in pairs(column) do shown[i][key] = value end
end
for _, i in ipairs { 7, 8 } do shown[i].is_weighted = true end

describe("crosses of several values", function()
  it("are each combination of a row's values, wherever a block is cut", function()
    local rows = made_rows(400)
    local text, pool = text_of(rows), data.pool(3)
    for _, block in ipairs { 0, 1, 700 } do
      local got = assert(data.parse(shown, text,
        { block = block, pool = block == 1 and pool or nil }))
      assert(check(rows, got) > 1500)
    end
  end)

  it("are read in steps, of which a request may go on behind one", function()
    local rows = made_rows(9000) -- more text than a step has
    assert(check(rows, assert(data.parse(shown, text_of(rows)))) > 20000)
  end)

  it("count values of all rows of a request, and keep none that are rare", function()
    local dir = helper.temp_dir()
    local few = { columns[1], { name = "tags", type = "ids", side = "request", separator = "|" },
      { name = "user", type = "id", side = "request" },
      { name = "x", type = "ids", side = "request", max = 9, cross = { "tags", "user" } },
      { name = "y", type = "ids", max = 9, cross = { "user", "tags" } } }
    local schema = data.schema(few, { x = 3, y = 3 })
    local path = helper.write(dir .. "/data.csv",
      "q,tags,user\n1,a|b,u\n1,a|b,u\n2,a,u\n3,c,u\n3,c,u\n")
    assert(data.build(schema, path, dir .. "/cache", { fit = true }))
    local rows = assert(data.rows(schema, few, dir .. "/cache"))
    for _, name in ipairs { "x", "y" } do
      local key = rows[1][name]:match "^%d+ULL"
      assert(key ~= "0ULL")
      assert.same({ key .. " 0ULL", key .. " 0ULL", key, "0ULL", "0ULL" }, data.column(rows, name))
    end
  end)
end)
