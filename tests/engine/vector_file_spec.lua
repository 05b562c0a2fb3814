-- Vectors in files: cells of so many numbers (engine/src/data/{cell,rows,record,loader,values}.c).
-- Vectors of behaviours: sequence_file_spec.lua.
local data = require "data_helper"
local helper = require "helper"

local columns = { { name = "q", type = "request_key" }, { name = "click", type = "label" },
  { name = "user", type = "vector", width = 2, separator = " ", side = "request" },
  { name = "ad", type = "id" }, { name = "tags", type = "ids", separator = "|" },
  { name = "image", type = "vector", width = 5, separator = "|" },
  { name = "price", type = "number" },
  { name = "again", source = "image", type = "vector", width = 5, separator = "|" } }
local HEADER = "price,image,q,user,ad,tags,click\n"

--- What rows of requests of 1 to 4 say, and what is to be read of them.
local function make(n, seed)
  local random, lines, expected = helper.random(seed), {}, {}
  local function vector(width, separator)
    if random(6) == 1 then return "", data.vector({ 0, 0, 0, 0, 0 }, width) end
    local texts, numbers = {}, {}
    for i = 1, width do
      texts[i] = ({ "%.4g", "%.9f", "%.3e", "%+d" })[random(4)]:format(random(9000) / 7 - 600)
      numbers[i] = data.strtof(texts[i])
    end
    return table.concat(texts, separator), data.vector(numbers, width)
  end
  for q = 1, n do
    local user, of_user = vector(2, " ")
    for _ = 1, random(4) do
      local image, of_image = vector(5, "|")
      lines[#lines + 1] = ("%d,%s,%d,%s,a%d,%s,%d"):format(#lines, image, q, user, random(9),
        ("t|"):rep(random(3)), random(2) - 1)
      expected[#expected + 1] = { user = of_user, image = of_image, again = of_image,
        price = #lines - 1 }
    end
  end
  return HEADER .. table.concat(lines, "\n"), expected
end

local function same(expected, rows)
  assert.equal(#expected, #rows)
  for i, row in ipairs(expected) do
    for name, value in pairs(row) do assert.equal(value, rows[i][name], name .. i) end
  end
end

describe("vectors of a file", function()
  it("are the numbers of their cells, for any block and number of threads", function()
    local text, expected = make(400, 3)
    for _, block in ipairs { 0, 300, 4000 } do
      same(expected, assert(data.parse(columns, text, { block = block })))
      same(expected, assert(data.parse(columns, text, { block = block, pool = data.pool(3) })))
    end
  end)

  it("come in batches of any order", function()
    local text, expected = make(300, 4)
    local dir, schema = helper.temp_dir(), data.schema(columns)
    assert(data.build(schema, helper.write(dir .. "/data.csv", text), dir .. "/cache"))
    local rows = assert(data.rows(schema, columns, dir .. "/cache", { shuffle = true, batch = 37 }))
    local in_order, moved = {}, 0
    for i, row in ipairs(rows) do
      in_order[row.row + 1] = row
      moved = moved + (row.row + 1 ~= i and 1 or 0)
    end
    assert.is_true(moved > #rows / 2)
    same(expected, in_order)
  end)

  it("may be wide, quoted, and one cell of two columns", function()
    local texts, numbers = {}, {}
    for i = 1, 615 do numbers[i] = i / 4; texts[i] = ("%.2f"):format(i / 4) end
    local text = 'x\n"' .. table.concat(texts, ",") .. '"\n\n'
    local rows = assert(data.parse({ { name = "x", type = "vector", width = 615 },
      { name = "first", source = "x", type = "ids" } }, text, { block = 100 }))
    assert.equal(data.vector(numbers, 615), rows[1].x)
    assert.equal(("0 "):rep(614) .. "0", rows[2].x)
  end)

  it("are compared within a request number by number", function()
    local same_column = { { name = "q", type = "request_key" },
      { name = "v", type = "vector", width = 2, separator = ";", side = "request" } }
    for _, block in ipairs { 0, 6, 14 } do
      local rows = assert(data.parse(same_column, "q,v\n1,0.5;2\n1,.50;2e0\n1,5e-1;2\n2,\n2,0;-0\n",
        { block = block }))
      assert.same({ "0.5 2", "0.5 2", "0.5 2", "0 0", "0 0" }, data.column(rows, "v"))
      local _, message = data.parse(same_column, "q,v\n1,0.5;2\n1,0.5;2\n1,0.5;3\n",
        { block = block })
      assert.equal('FILE:4:3: column "v" is "0.5;3", but "0.5;2" in an earlier row of the same '
        .. "request", message)
    end
  end)
end)

describe("a vector that is wrong", function()
  local two = { { name = "n", type = "number" },
    { name = "v", source = "vec", type = "vector", width = 3, separator = ";" },
    { name = "s.v", source = "s", type = "vector", width = 2, separator = ":", sequence = "s" },
    sequences = { { name = "s", separator = " " } } }

  local function fails(message, row, options)
    options = options or {}
    for _, block in ipairs { 0, 1, 20 } do
      options.block = block
      local text = "n,vec,s\n1,1;2;3,1:2 3:4\n" .. row .. "\n2,,\n"
      local rows, actual = data.parse(two, text, options)
      helper.fails_with(message, rows, actual)
    end
  end

  it("is named with its place, the column and what it should be", function()
    fails('FILE:3:3: 2 numbers, expected 3 (column "vec")', "1,1;2,")
    fails('FILE:3:3: 1 number, expected 3 (column "vec")', "1,7,")
    fails('FILE:3:3: 4 numbers, expected 3 (column "vec")', "1,1;2;3;,")
    fails('FILE:3:5: number 2, "x", is not a number (column "vec")', "1,1;x;3,")
    fails('FILE:3:5: number 2, "", is not a number (column "vec")', "1,1;;3,")
    fails('FILE:3:7: number 3, "nan", is not a number (column "vec")', "1,1;2;nan,")
    fails('FILE:3:3: number 1, "1e39", is too large for a float (column "vec")', "1,1e39;2;3,")
    fails('FILE:3:6: number 2, "-inf", is too large for a float (column "vec")', '1,"1;-inf;3",')
    fails('FILE:3:5: 3 numbers, expected 2 (column "s", behaviour 2)', "1,, 1:2:3")
    fails('FILE:3:10: number 2, "b", is not a number (column "s", behaviour 2)', "1,,1:2 3:b 4:")
    fails('FILE:3:1: "a" is not a number (column "n")', "a,1,")
  end)

  it("leaves its row out where wrong rows are skipped", function()
    local text = "n,vec,s\n1,1;2;3,1:2\n2,1;2,\n3,,1:x\n4,;;,\n5,4;5;6,\n"
    local rows, schema = data.parse(two, text, { bad_rows = 9 })
    assert.same({ 1, 5 }, data.column(assert(rows, schema), "n"))
    assert.same({ "1 2 3", "4 5 6" }, data.column(rows, "v"))
    local _, message = data.parse(two, text, { bad_rows = 2 })
    assert.equal('FILE:5:3: number 1, "", is not a number (column "vec"); at most 2 wrong rows are '
      .. "left out", message)
  end)

  it("needs a separator of its own, and cells", function()
    local v = { { name = "v", type = "vector", width = 2 } }
    local _, message = data.parse(v, "v\n1,2\n", { quotes = false })
    assert.equal('column "v": its separator is the delimiter of the cells, which needs quotes',
      message)
    _, message = data.parse(v, "1 1:2\n", { layout = "libsvm" })
    assert.equal('column "v": files of libsvm have no vectors', message)
    local schema = data.new_schema()
    assert(data.add_sequence(schema, { name = "s", separator = "," }))
    helper.fails_with(
      'column "a": separator is byte 44, which separates the behaviours of sequence "s"',
      data.add_column(schema, { name = "a", type = "vector", width = 2, sequence = "s" }))
  end)
end)
