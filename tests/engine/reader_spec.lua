-- From text to values: sources, quotes, headers, cells and every complaint about them
-- (engine/src/data/{source,reader,heading,scan,cell,rows}.c).
local data = require "data_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"

local ab = { { name = "a", type = "id" }, { name = "b", type = "id" } }

--- The keys of columns a and b are those of these texts.
local function check_ab(expected, text, options)
  local rows, schema = assert(data.parse(ab, text, options))
  local keys = {}
  for i, row in ipairs(expected) do
    keys[i] = { data.key(schema, "a", row[1]), data.key(schema, "b", row[2]) }
  end
  local found = {}
  for i, row in ipairs(rows) do found[i] = { row.a, row.b } end
  assert.same(keys, found)
end

local function fails(message, columns, text, options)
  local rows, actual = data.parse(columns, text, options)
  helper.fails_with(message, rows, actual)
end

describe("a text file", function()
  it("is lines of cells below a header", function()
    check_ab({ { "1", "x" }, { "2", "y" } }, "a,b\n1,x\n2,y\n")
  end)

  it("may lack the last newline", function()
    check_ab({ { "1", "x" }, { "2", "y" } }, "a,b\n1,x\n2,y")
    check_ab({ { "1", "" } }, "a,b\n1,")
  end)

  it("may end its lines with CRLF", function()
    check_ab({ { "1", "x" }, { "2", "" } }, "a,b\r\n1,x\r\n2,\r\n")
    check_ab({ { "1", "x" } }, 'a,"b"\r\n1,"x"\r\n')
    check_ab({ { "\r1", "x\ry" } }, "a,b\r\n\r1,x\ry\r\n")
  end)

  it("may start with a byte order mark", function()
    check_ab({ { "1", "x" } }, "\239\187\191a,b\n1,x\n")
    check_ab({ { "1", "x" } }, '\239\187\191"a","b"\n1,x\n')
  end)

  it("may hold NUL bytes and any other byte", function()
    check_ab({ { "\0", "\255\0x" } }, "a,b\n\0,\255\0x\n")
  end)

  it("may hold a cell of 1 MB", function()
    local long = ("0123456789abcdef"):rep(65536)
    check_ab({ { long, "x" }, { "1", long } }, "a,b\n" .. long .. ",x\n1," .. long .. "\n")
    check_ab({ { long, "x" }, { "1", long .. '"' } },
      "a,b\n" .. long .. ',x\n1,"' .. long .. '"""\n', { block = 1000 })
  end)

  it("may have columns that nobody reads, in any order", function()
    check_ab({ { "1", "x" }, { "2", "y" } }, "u,b,v,a,w\n,x,7,1,8\n9,y,,2,\n")
    check_ab({ { "1", "x" } }, 'u,b,v,a,w\n"\n",x,",,",1,""\n')
  end)

  it("may have one column only", function()
    local rows, schema = assert(data.parse({ { name = "a", type = "id" } }, "a\n1\n\n2\r\n\r\n3"))
    local keys = {}
    for i, text in ipairs { "1", "", "2", "", "3" } do keys[i] = data.key(schema, "a", text) end
    assert.same(keys, data.column(rows, "a"))
  end)

  it("has unknown ids where cells are empty, of any column and in any family", function()
    local columns = { { name = "s", type = "request_key" }, { name = "u", type = "id",
      side = "request" }, { name = "a", type = "id" }, { name = "b", type = "id", table = "a" } }
    for _, family in ipairs { "plain", "avx2", "auto" } do
      if mr.C.mr_isa_set(family) == mr.C.MR_OK then
        local rows, schema = data.parse(columns,
          's,u,a,b\n1,,x,y\n1,,,y\n1,"",y,""\n2,u,,\n3,v,"",x\n4,,,x\n')
        local function key(text) return text == "" and "0ULL" or data.key(schema, "a", text) end
        assert.same({ key "x", key "", key "y", key "", key "", key "" }, data.column(rows, "a"))
        assert.same({ key "y", key "y", key "", key "", key "x", key "x" }, data.column(rows, "b"))
        assert.equal("0ULL", rows[3].u)
        assert.equal(data.key(schema, "u", "v"), rows[5].u)
        assert.equal("0ULL", rows[6].u)
        assert.equal("0ULL", data.key(schema, "a", ""))
      end
    end
    mr.check(mr.C.mr_isa_set "auto")
  end)

  it("may be read for two columns from one source", function()
    local rows, schema = assert(data.parse({ { name = "user", type = "id" },
      { name = "by", source = "user", type = "group" } }, "user\n7\n"))
    assert.same({ { row = 0, request = 0, user = data.key(schema, "user", "7"),
      by = data.key(schema, "by", "7") } }, rows)
  end)

  it("may have thousands of columns", function()
    local names, cells, columns = {}, {}, {}
    for i = 1, 3000 do
      names[i], cells[i] = "c" .. i, "v" .. i
      if i % 700 == 0 then columns[#columns + 1] = { name = names[i], type = "id" } end
    end
    local header, row = table.concat(names, ",") .. "\n", table.concat(cells, ",") .. "\n"
    local rows, schema = assert(data.parse(columns, header .. row:rep(50)))
    assert.equal(50, #rows)
    assert.equal(data.key(schema, "c2800", "v2800"), rows[50].c2800)
  end)
end)

describe("quotes", function()
  it("may enclose delimiters, newlines and doubled quotes", function()
    check_ab({ { "1,2", "x\ny" }, { 'say "hi"', '"' }, { "", "3" } },
      'a,b\n"1,2","x\ny"\n"say ""hi""",""""\n"",3\n')
    check_ab({ { "a\r\nb", "c" } }, 'a,b\r\n"a\r\nb","c"\r\n')
  end)

  it("may enclose names in the header", function()
    check_ab({ { "1", "x" } }, '"a","b"\n1,x\n')
    local rows = assert(data.parse({ { name = "p", source = 'a,\n"b"', type = "number" } },
      'x,"a,\n""b"""\n1,2\n'))
    assert.same({ 2 }, data.column(rows, "p"))
  end)

  it("are bytes like any other when quotes are off", function()
    check_ab({ { '"1', 'x"' }, { '""', 'say "hi"' } }, 'a\tb\n"1\tx"\n""\tsay "hi"\n',
      { delimiter = "\t", quotes = false })
  end)

  it("are the same wherever a block is cut", function()
    local text = 'a,b\n"1,2","x\ny"\n"say ""hi""",""""\r\n"","\n\n"\nplain,"""\n"""\n'
    for block = 1, 60 do
      check_ab({ { "1,2", "x\ny" }, { 'say "hi"', '"' }, { "", "\n\n" }, { "plain", '"\n"' } },
        text, { block = block })
    end
  end)

  it("are found at any place in a word of 64 bytes", function()
    for pad = 0, 130 do
      local fill = ("p"):rep(pad)
      check_ab({ { fill, 'q"' .. fill .. '",\n' }, { fill, "z" } },
        "a,b\n" .. fill .. ',"q""' .. fill .. '"",\n"\n' .. fill .. ',"z"\n')
    end
  end)

  it("must begin at the start of a cell", function()
    fails('FILE:3:3: a quote inside a cell that does not start with one', ab, 'a,b\n1,x\n2,y"\n')
    fails('FILE:2:1: a quote inside a cell that does not start with one', ab, 'a,b\n1"",x\n')
  end)

  it("must end at the end of a cell", function()
    fails('FILE:3:3: text after the closing quote of a cell', ab, 'a,b\n1,x\n2,"y"z\n')
    fails('FILE:4:3: text after the closing quote of a cell', ab, 'a,b\n1,x\n"\n","y" \n')
  end)

  it("must be closed", function()
    fails('FILE:3:3: a quoted cell is not closed', ab, 'a,b\n1,x\n2,"y\n3,z\n')
    fails('FILE:3:1: a quoted cell is not closed', ab, 'a,b\n1,x\n"')
    fails('FILE:1: a quoted cell is not closed (in the header)', ab, 'a,"b\n1,x\n')
  end)

  it("are checked in columns that nobody reads", function()
    fails('FILE:2:3: a quote inside a cell that does not start with one', ab,
      'a,size,b\n1,5" tv,x\n2,6" tv,y\n')
  end)

  it("that are wrong are found in blocks of any size", function()
    local text = 'a,b\n1,x\n2,"y\n"\n3,p"\n4,q\n5,"r"\n'
    for block = 1, 50 do
      fails('FILE:5:3: a quote inside a cell that does not start with one', ab, text,
        { block = block })
    end
  end)
end)

--- A slow reader of rows below the header "a,b", one byte at a time: the cells of each row, or the
-- message about the first wrong row.
local function read_slowly(text)
  if text:sub(-1) ~= "\n" then text = text .. "\n" end
  local rows, row, at, line, line_start = {}, {}, 1, 2, 1
  local row_line = 2
  local function wrong(place, message)
    return nil, ("FILE:%d:%d: %s"):format(line, place - line_start + 1, message)
  end
  while at <= #text do
    local start, cell, here, here_start = at, "", line, line_start
    if text:sub(at, at) == '"' then
      at = at + 1
      while true do
        local c = text:sub(at, at)
        if c == "" then
          line, line_start = here, here_start
          return wrong(start, "a quoted cell is not closed")
        elseif c == '"' then
          if text:sub(at + 1, at + 1) ~= '"' then break end
          at = at + 1
        elseif c == "\n" then
          line, line_start = line + 1, at + 1
        end
        cell, at = cell .. c, at + 1
      end
      at = at + 1
      if not text:match("^,", at) and not text:match("^\r?\n", at) then
        line, line_start = here, here_start
        return wrong(start, "text after the closing quote of a cell")
      end
      if text:match("^\r\n", at) then at = at + 1 end
    else
      local stop = text:find("[,\n]", at)
      cell = text:sub(at, stop - 1)
      if cell:find('"', 1, true) then
        return wrong(start, "a quote inside a cell that does not start with one")
      end
      if text:sub(stop, stop) == "\n" then cell = cell:gsub("\r$", "") end
      at = stop
    end
    row[#row + 1] = cell
    if text:sub(at, at) == "\n" then
      local line_text = text:sub(line_start, at)
      local is_empty = line_text == "\n" or line_text == "\r\n"
      if #row ~= 2 and not is_empty then
        return nil, ("FILE:%d: %d cell%s, expected 2 (as in the header)"):format(row_line, #row,
          #row == 1 and "" or "s")
      end
      if not is_empty then rows[#rows + 1] = row end
      row, line, line_start = {}, line + 1, at + 1
      row_line = line
    end
    at = at + 1
  end
  return rows
end

describe("random text", function()
  local dir, schema, path
  before_each(function()
    dir, schema = helper.temp_dir(), data.schema(ab)
    path = dir .. "/data.csv"
  end)

  local function check(text, options)
    helper.write(path, "a,b\n" .. text)
    os.remove(dir .. "/cache")
    local expected, message = read_slowly(text)
    local ok, actual = data.build(schema, path, dir .. "/cache", options)
    if not expected then
      local place = ok and "no message" or "FILE" .. actual:sub(#path + 1)
      assert(place == message, ("%q: %s, expected %s"):format(text, place, message))
      return
    end
    assert(ok or #expected == 0, ("%q: %s"):format(text, tostring(actual)))
    if not ok then return end
    local rows = assert(data.rows(schema, ab, dir .. "/cache"))
    assert.equal(#expected, #rows)
    for i, row in ipairs(expected) do
      local same = rows[i].a == data.key(schema, "a", row[1])
        and rows[i].b == data.key(schema, "b", row[2])
      assert(same, ("%q: row %d"):format(text, i))
    end
  end

  local function random_text(pieces, n)
    local list = {}
    for i = 1, n do list[i] = pieces[math.random(#pieces)] end
    return table.concat(list)
  end

  it("of cells is read as a slow reader does", function()
    math.randomseed(11)
    local cells = { "1", "", "xyz", '""', '"a,b"', '"a\nb"', '"""q"""', '"\r\n"', "\rz", '","',
      ("w"):rep(61), '"' .. ("v"):rep(60) .. '"' }
    for _ = 1, 400 do
      local lines = {}
      for i = 1, math.random(1, 30) do
        lines[i] = cells[math.random(#cells)] .. "," .. cells[math.random(#cells)]
          .. (math.random(2) == 1 and "\n" or "\r\n")
      end
      check(table.concat(lines), { block = math.random(1, 300) })
    end
  end)

  it("with wrong quotes is refused wherever they fall in a word of 64 bytes", function()
    for pad = 44, 66 do
      local fill = ("p"):rep(pad)
      for _, wrong in ipairs { '1"",2\n', '"1"2,3\n', '"1"\r,2\n', '1,"2"\r', '1,"2"\r\r\n',
        '"\n",2"\n', '1,2\r"3"\n', '1,"2\n' } do
        check(fill .. ",q\n" .. wrong .. 'x,y\n')
        check(fill .. ',"q"\n' .. wrong .. 'x,y\n')
        check('"' .. fill .. '",q\r\n' .. wrong)
      end
    end
  end)

  it("of any bytes is read, or refused with the same words", function()
    math.randomseed(12)
    for i = 1, 1500 do
      local text = random_text({ "1", ",", "\n", '"', "\r", "\r\n", "a,b\n", '"c",d\n', '","' },
        math.random(1, i % 10 == 0 and 200 or 12))
      check(("x,y\n"):rep(math.random(0, 20)) .. text, { block = math.random(1, 100) })
    end
  end)
end)

describe("a header", function()
  it("must name every column of the schema", function()
    local columns = { { name = "click", type = "label" }, { name = "user", type = "id" } }
    fails('FILE:1: column "click" is missing; did you mean "clik"? (columns: user, clik, ad)',
      columns, "user,clik,ad\n1,0,2\n")
    fails('FILE:1: column "click" is missing (columns: user, ad)', columns, "user,ad\n1,2\n")
    fails('FILE:1: column "user" is missing; did you mean "User"? (columns: click, User)', columns,
      "click,User\n1,2\n")
  end)

  it("is listed up to a point", function()
    local names = {}
    for i = 1, 500 do names[i] = "feature_" .. i end
    local listed = table.concat(names, ", ", 1, 25)
    fails('FILE:1: column "x" is missing (columns: ' .. listed .. " and 475 more)",
      { { name = "x", type = "id" } }, table.concat(names, ",") .. "\n")
  end)

  it("must not name a column twice, unless nobody reads it", function()
    fails('FILE:1: column "b" is there twice (cells 2 and 4)', ab, "a,b,c,b\n1,x,2,y\n")
    check_ab({ { "1", "x" } }, "a,c,b,c\n1,2,x,3\n")
  end)

  it("must be there", function()
    fails("FILE: the file is empty, expected a header", ab, "")
    fails("FILE:1: the header is an empty line", ab, "\239\187\191")
    fails("FILE:1: the header is an empty line", ab, "\r\n1,2\n")
    fails("FILE: a header but no rows", ab, "a,b\n")
  end)

  it("is judged alike in blocks of any size, also with CR in it", function()
    for _, text in ipairs { "a\rx,b\n1,2\n", "a\rx,b\n", "a,b\rx\r\n1,2", "a\rb\r" } do
      local _, whole = data.parse(ab, text)
      assert(whole)
      for block = 1, #text + 2 do
        assert.equal(whole, select(2, data.parse(ab, text, { block = block })))
      end
    end
  end)

  it("is that of each file", function()
    local dir, schema = helper.temp_dir(), data.schema(ab)
    local paths = { helper.write(dir .. "/1.csv", "a,b\n1,x\n"), helper.write(dir .. "/2.csv",
      "a,b\n"), helper.write(dir .. "/3.csv", "b,c,a\ny,0,2\n") }
    assert(data.build(schema, paths, dir .. "/cache"))
    local rows = assert(data.rows(schema, ab, dir .. "/cache"))
    assert.same({ data.key(schema, "a", "1"), data.key(schema, "a", "2") }, data.column(rows, "a"))
    assert.same({ data.key(schema, "b", "x"), data.key(schema, "b", "y") }, data.column(rows, "b"))

    helper.write(paths[3], "b,c\ny,0\n")
    helper.fails_with(paths[3] .. ':1: column "a" is missing (columns: b, c)',
      data.build(schema, paths, dir .. "/cache"))
  end)

  it("without rows in any of several files is a mistake", function()
    local dir = helper.temp_dir()
    local paths = { helper.write(dir .. "/1.csv", "a,b\n"), helper.write(dir .. "/2.csv", "a,b") }
    helper.fails_with(paths[1] .. " and 1 more: headers but no rows",
      data.build(data.schema(ab), paths, dir .. "/cache"))
  end)
end)

describe("a file without a header", function()
  local names = { names = { "u", "b", "a" } }

  it("has its columns named beforehand, in every file", function()
    check_ab({ { "1", "x" }, { "2", "y" } }, ",x,1\n9,y,2\n", names)
    check_ab({ { "1", "x" } }, '\239\187\191"\n",x,"1"\r\n', names)
    for block = 1, 12 do
      check_ab({ { "1", "x" }, { "2", "y" } }, ",x,1\n9,y,2",
        { names = names.names, block = block })
    end
    local dir, schema = helper.temp_dir(), data.schema(ab)
    local paths = { helper.write(dir .. "/1.csv", "0,x,1\n"),
      helper.write(dir .. "/2.csv", "0,y,2\n") }
    assert(data.build(schema, paths, dir .. "/cache", names))
    assert.equal(2, #assert(data.rows(schema, ab, dir .. "/cache")))
    -- Other names are another cache.
    assert(data.build(schema, paths, dir .. "/cache", { names = { "a", "b", "u" } }))
    local rows = assert(data.rows(schema, ab, dir .. "/cache"))
    assert.equal(data.key(schema, "a", "0"), rows[1].a)
  end)

  it("has its first row in line 1", function()
    local columns = { { name = "n", type = "number" } }
    fails('FILE:1:3: "x" is not a number (column "n")', columns, "1,x\n", { names = { "u", "n" } })
    fails("FILE:2: 1 cell, expected 2 (one for each name)", columns, "1,2\n3\n",
      { names = { "u", "n" } })
  end)

  it("must have its columns named, once, and rows", function()
    fails('FILE: column "b" is missing; did you mean "B"? (columns: a, B)', ab, "1,2\n",
      { names = { "a", "B" } })
    fails('FILE: column "a" is there twice (cells 1 and 3)', ab, "1,2,3\n",
      { names = { "a", "b", "a" } })
    fails("FILE: the file is empty, expected rows", ab, "", names)
  end)
end)

describe("a row", function()
  it("must have as many cells as the header", function()
    fails("FILE:3: 3 cells, expected 2 (as in the header)", ab, "a,b\n1,x\n2,y,z\n3,w\n")
    fails("FILE:3: 1 cell, expected 2 (as in the header)", ab, "a,b\n1,x\n2\n")
    fails("FILE:5: 1 cell, expected 2 (as in the header)", ab, "a,b\n1,x\n\r\n2,y\n \n")
    fails("FILE:3: 1 cell, expected 2 (as in the header)", ab, 'a,b\n1,x\n""\n')
    fails("FILE:6: 3 cells, expected 2 (as in the header)", ab, 'a,b\n1,"\n\n"\n2,y\n3,z,z\n')
  end)

  it("is no empty line, as long as it has more than one cell", function()
    local rows = { { "1", "x" }, { "2", "y\n\n" }, { "3", ("z"):rep(50) }, { "4", "" } }
    for block = 0, 40, 4 do
      local text = '1,x\n\n\r\n2,"y\n\n"\n3,"' .. ("z"):rep(50) .. '"\n\n4,\n\n\r\n'
      check_ab(rows, "a,b\n\n" .. text, { block = block })
      check_ab(rows, "\n" .. text, { block = block, names = { "a", "b" } })
      fails("FILE:10: 1 cell, expected 2 (as in the header)", ab, "a,b\n" .. text:gsub("4,", "4"),
        { block = block })
    end
    local one = { { name = "a", type = "id" } }
    assert.equal(4, #assert(data.parse(one, "a\n1\n\n3\n\n")))
    fails("FILE: a header but no rows", ab, "a,b\n\n\r\n")
    fails("FILE: no rows", ab, "\n\n", { names = { "a", "b" } })
  end)

  it("may be longer than a block, up to a limit", function()
    local long = ("x"):rep(10000)
    check_ab({ { "1", "x" }, { "2", long }, { "3", "z" } }, "a,b\n1,x\n2," .. long .. "\n3,z\n",
      { block = 16 })
    fails("FILE:3: a row is longer than 5000 bytes", ab, "a\tb\n1\tx\n2\t" .. long .. "\n3\tz\n",
      { block = 16, row = 5000, delimiter = "\t", quotes = false })
    fails("FILE:3: a row is longer than 5000 bytes; is a quote missing?", ab,
      'a,b\n1,x\n2,"' .. long .. '"\n3,z\n', { block = 16, row = 5000 })
    fails("FILE:1: the header is longer than 5000 bytes", ab, long, { block = 16, row = 5000 })
  end)

  it("that is wrong is named by its line, in blocks of any size and any number of threads",
    function()
      local lines = { "a,b" }
      for i = 1, 400 do lines[#lines + 1] = i % 7 == 0 and '"\n",' .. i or i .. ",x" end
      lines[#lines + 1] = "only one"
      lines[#lines + 1] = "1,2,3"
      local text = table.concat(lines, "\n")
      for _, threads in ipairs { 1, 2, 8 } do
        for _, block in ipairs { 1, 7, 64, 1000, 100000 } do
          fails("FILE:459: 1 cell, expected 2 (as in the header)", ab, text,
            { block = block, pool = data.pool(threads) })
        end
      end
    end)
end)

describe("a number", function()
  local price = { { name = "price", type = "number", missing = 7 } }
  local function numbers(texts, columns)
    local rows = assert(data.parse(columns or price, "x,price\n0," .. table.concat(texts, "\n0,")
      .. "\n"))
    return data.column(rows, "price")
  end

  it("is the nearest float", function()
    local texts = { "0", "-0", "1", "+1", "-1.5", ".5", "5.", "1e3", "1E-3", "0.1", "16777217",
      "16777219", "3.4028235e38", "1.17549435e-38", "1e-45", "1e-46", "7.006492e-46", "1e-400",
      "123456789012345678901234567890", "0.000000000000000000000000000000000000000000001",
      "1.00000005960464477539062500000", "1.00000005960464477539062500001",
      "1.00000017881393432617187500000", "1.00000017881393432617187499999",
      "00000000000000000000000000000000000000000000000001.5", "1e22", "1e23", "9007199254740993" }
    local expected = {}
    for i, text in ipairs(texts) do expected[i] = data.strtof(text) end
    assert.same(expected, numbers(texts))
  end)

  it("is the nearest float for random decimals", function()
    math.randomseed(5)
    local texts, expected = {}, {}
    local function digits(n)
      local list = {}
      for i = 1, n do list[i] = math.random(0, 9) end
      return table.concat(list)
    end
    for i = 1, 20000 do
      local text = digits(math.random(1, 25))
      if i % 2 == 0 then text = text .. "." .. digits(math.random(1, 25)) end
      if i % 3 == 0 then text = text .. "e" .. math.random(-60, 12) end
      texts[i] = i % 5 == 0 and "-" .. text or text
      expected[i] = data.strtof(texts[i])
    end
    assert.same(expected, numbers(texts))
  end)

  it("halfway between two floats goes to the even one, to the last of many digits", function()
    local texts, expected = {}, {}
    for i = 1, 500 do
      local middle = ("%.60f"):format(1 + (2 * i + 1) * 2 ^ -24)
      for j, tail in ipairs { "", ("0"):rep(300), ("0"):rep(300) .. "1" } do
        texts[3 * i - 3 + j] = middle .. tail
        expected[3 * i - 3 + j] = data.strtof(middle .. tail)
      end
    end
    assert.same(expected, numbers(texts))
  end)

  it("is the nearest float where whole numbers are halfway between two or beside it", function()
    local texts, expected = {}, {}
    for i = 1, 300 do
      local middle = (2 * i + 1) * 2 ^ (i % 7) + 2 ^ (24 + i % 7 + i % 3)
      for beside = -1, 1 do
        local text = ("%.0f"):format(middle + beside)
        texts[#texts + 1], expected[#expected + 1] = text, data.strtof(text)
      end
    end
    texts[#texts + 1], expected[#expected + 1] = "999999999", 1e9
    texts[#texts + 1], expected[#expected + 1] = "000000007", 7
    assert.same(expected, numbers(texts))
  end)

  it("that is empty or nan is missing", function()
    assert.same({ 7, 7, 7, 2 }, numbers { "", "nan", "NaN", "2" })
    assert.same({ 7, 2 }, numbers { '""', '"2"' })
  end)

  it("may have blanks around it", function()
    assert.same({ 7, 7, -2.5, 7 }, numbers { " 7", "7 ", "  -2.5 ", "  " })
  end)

  it("may go through log1p, with its sign, and so does what stands in for a missing one", function()
    local values = numbers({ "0", "1", "-1", "1e6", "" },
      { { name = "price", type = "number", missing = 7, log1p = true } })
    helper.all_near({ 0, 0.693147181, -0.693147181, 13.8155116, 2.07944154 }, values, 1e-6)
  end)

  it("is said to be wrong with its place", function()
    for _, text in ipairs { "abc", "1x", "-", ".", "e5", "1e", "1e+", "0x10", "1 1", "1,5",
      "1.2.3", "--1", "-nan", "NAN" } do
      fails(('FILE:3:5: "%s" is not a number (column "price")'):format(text), price,
        ('x,price\n0,1\n"0","%s"\n'):format(text))
    end
    fails('FILE:2:1: "1\\N" is not a number (column "price")', price, "price\tx\n1\\N\t0\n",
      { delimiter = "\t", quotes = false })
  end)

  it("must fit a float", function()
    for _, text in ipairs { "inf", "-inf", "Infinity", "1e39", "-3.4028236e38", "1e9999999999" } do
      fails(('FILE:2:3: "%s" is too large for a float (column "price")'):format(text), price,
        "x,price\n0," .. text .. "\n")
    end
  end)

  it("that is long or odd is shown in part", function()
    fails('FILE:2:1: "' .. ("z"):rep(40) .. '..." is not a number (column "price")', price,
      "price\n" .. ("z"):rep(1000) .. "\n")
    fails('FILE:2:1: "' .. ("é"):rep(20) .. '..." is not a number (column "price")', price,
      "price\n" .. ("é"):rep(1000) .. "\n")
    fails('FILE:2:1: "' .. "z" .. ("é"):rep(19) .. '..." is not a number (column "price")', price,
      "price\nz" .. ("é"):rep(1000) .. "\n")
    fails('FILE:2:1: "a?b?c" is not a number (column "price")', price, 'price\n"a\nb\0c"\n')
  end)

  it("named first is the first in the file, whatever the order of the schema", function()
    local columns = { { name = "p", type = "number" }, { name = "q", type = "number" },
      { name = "y", type = "label" } }
    fails('FILE:3:1: "bad" is not a number (column "q")', columns,
      "q,y,p\n1,0,1\nbad,2,bad\nbad,bad,bad\n")
    fails('FILE:3:3: label "2" in column "y", expected 0 or 1', columns,
      "q,y,p\n1,0,1\n1,2,bad\nbad,bad,bad,bad\n")
  end)
end)

describe("a label", function()
  local click = { { name = "click", type = "label" } }
  it("is 0 or 1", function()
    local rows = assert(data.parse(click, "click\n0\n1\n0.0\n1.0\n\"1\"\n"))
    assert.same({ 0, 1, 0, 1, 1 }, data.column(rows, "click"))
  end)

  it("is nothing else", function()
    for _, text in ipairs { "2", "", "-1", "0.5", "nan", "yes" } do
      fails(('FILE:2:3: label "%s" in column "click", expected 0 or 1'):format(text), click,
        "x,click\n0," .. text .. "\n")
    end
  end)
end)

describe("scenarios", function()
  local columns = { { name = "y", type = "label" }, { name = "place", type = "scenario" } }

  it("are refused at the first that is too many, on any number of threads", function()
    local lines, pool = {}, data.pool(3)
    for i = 1, 4300 do lines[i] = "1,s" .. i end
    local function refused(message)
      local text = "y,place\n" .. table.concat(lines, "\n") .. "\n"
      for _, block in ipairs { 0, 40, 90, 200, 400 } do
        local options = { block = block, pool = block > 0 and pool or nil }
        helper.fails_with(message, data.parse(columns, text, options))
      end
    end
    refused('FILE:4098:3: scenario "s4097" in column "place" is one more than the 4096 that are '
      .. "allowed")
    lines[4098] = "7,s1"
    refused('FILE:4098:3: scenario "s4097" in column "place" is one more than the 4096 that are '
      .. "allowed")
    lines[4097] = "7,s4097"
    refused('FILE:4098:1: label "7" in column "y", expected 0 or 1')
  end)
end)

describe("a bag", function()
  local tags = { { name = "x", type = "id" }, { name = "tags", type = "ids", separator = "|" },
    { name = "few", type = "ids", max = 2 } }
  it("is split at its separator; empty pieces are none", function()
    local rows, schema = assert(data.parse(tags, 'tags,x,few\na|b,1,"p,q,r"\n,2,\n|c||,3,",,p,"\n'))
    assert.same({ data.bag(schema, "tags", { "a", "b" }), "", data.bag(schema, "tags", { "c" }) },
      data.column(rows, "tags"))
    assert.same({ data.bag(schema, "few", { "p", "q" }), "", data.bag(schema, "few", { "p" }) },
      data.column(rows, "few"))
  end)

  it("of many values is kept whole", function()
    local texts = {}
    for i = 1, 5000 do texts[i] = "t" .. i end
    local rows, schema = assert(data.parse(tags, "x,few,tags\n1,,\n2,f," .. table.concat(texts, "|")
      .. "\n3,,z\n", { block = 64 }))
    assert.same({ "", data.bag(schema, "tags", texts), data.bag(schema, "tags", { "z" }) },
      data.column(rows, "tags"))
  end)

  it("cannot be split at the delimiter without quotes", function()
    fails('column "few": its separator is the delimiter of the cells, which needs quotes', tags,
      "x,few,tags\n1,2,3\n", { quotes = false })
  end)
end)

describe("requests", function()
  local columns = { { name = "session", type = "request_key" },
    { name = "user", type = "id", side = "request" },
    { name = "age", type = "number", side = "request" },
    { name = "liked", type = "ids", side = "request", separator = "|" },
    { name = "ad", type = "id" }, { name = "tags", type = "ids", separator = "|" } }
  local header = "session,user,age,liked,ad,tags\n"

  local function requests_of(text, options)
    local rows, message = data.parse(columns, header .. text, options)
    if not rows then return nil, message end
    return data.column(rows, "request"), rows, message
  end

  it("are runs of rows with an equal key", function()
    local text = "s,1,20,x|y,a,\ns,1,20,x|y,b,p|q\nt,1,20,,c,p\ns,2,5,x,d,\ns,2,5.0,x,e,r\n"
    local requests, rows, schema = requests_of(text)
    assert.same({ 0, 0, 1, 2, 2 }, requests)
    assert.same({ 20, 20, 20, 5, 5 }, data.column(rows, "age"))
    assert.equal(data.bag(schema, "liked", { "x", "y" }), rows[2].liked)
    assert.equal("", rows[3].liked)
    assert.equal(data.bag(schema, "tags", { "p", "q" }), rows[2].tags)
    assert.equal(data.key(schema, "user", "2"), rows[5].user)
  end)

  it("are the same wherever blocks are cut", function()
    local text = {}
    for i = 1, 40 do
      local session = math.floor(i / 7)
      text[i] = ("%d,u%d,%d,%s,a%d,t|t%d"):format(session, session, session,
        ("l|"):rep(session), i, i)
    end
    text = table.concat(text, "\n")
    local expected, rows = requests_of(text)
    assert.equal(5, expected[40])
    for block = 1, 200, 3 do
      local requests, again = requests_of(text, { block = block })
      assert.same(expected, requests)
      assert.same(rows, again)
    end
  end)

  it("end with the file", function()
    local dir, schema = helper.temp_dir(), data.schema(columns)
    local paths = { helper.write(dir .. "/1.csv", header .. "s,1,2,,a,\n"),
      helper.write(dir .. "/2.csv", header .. "s,9,9,,b,\n") }
    assert(data.build(schema, paths, dir .. "/cache"))
    local rows = assert(data.rows(schema, columns, dir .. "/cache"))
    assert.same({ 0, 1 }, data.column(rows, "request"))
  end)

  it("must say one thing in all their rows", function()
    local rows = "r,0,0,,z,\ns,1,20,x|y,a,\ns,1,20,x|y,b,\n"
    local cases = {
      { 's,"2",20,x|y,c,\n',
        'FILE:5:3: column "user" is "2", but "1" in an earlier row of the same request' },
      { "s,1,21,x|y,c,\n",
        'FILE:5:5: column "age" is "21", but "20" in an earlier row of the same request' },
      { "s,1,,x|y,c,\n",
        'FILE:5:5: column "age" is "", but "20" in an earlier row of the same request' },
      { "s,1,20,y|x,c,\n",
        'FILE:5:8: column "liked" is "y|x", but "x|y" in an earlier row of the same request' },
      { "s,1,20,x|y|z,c,\n",
        'FILE:5:8: column "liked" is "x|y|z", but "x|y" in an earlier row of the same request' },
      { "s,1,old,x|y,c,\n", 'FILE:5:5: "old" is not a number (column "age")' },
      { "s,2,old,x|y,c,\n",
        'FILE:5:3: column "user" is "2", but "1" in an earlier row of the same request' },
    }
    for _, case in ipairs(cases) do
      for _, block in ipairs { 0, 1, 10, 20, 30, 40 } do
        local found, message = requests_of(rows .. case[1] .. "s,3,3,3,3,\n", { block = block })
        helper.fails_with(case[2], found, message)
      end
    end
  end)

  it("may spell a value in several ways", function()
    for block = 0, 60, 6 do
      assert.same({ 0, 0, 0, 0 }, (requests_of(
        's,1,20,x|y,a,\ns,"1",2e1,"x|y",b,\n"s",1,20.0,x||y,c,\ns,1,20,|x|y|,d,\n',
        { block = block })))
    end
  end)

  it("are one per row when no key is declared", function()
    local plain = { { name = "user", type = "id", side = "request" }, { name = "ad", type = "id" } }
    local rows = assert(data.parse(plain, "user,ad\n1,a\n1,b\n2,c\n"))
    assert.same({ 0, 1, 2 }, data.column(rows, "request"))
  end)
end)

describe("a compressed file", function()
  local dir, schema, text
  before_each(function()
    dir, schema, text = helper.temp_dir(), data.schema(ab), { "a,b" }
    for i = 1, 20000 do text[#text + 1] = i .. ",x" .. i * i end
    text = table.concat(text, "\n") .. "\n"
    helper.write(dir .. "/half1", text:sub(1, 100001))
    helper.write(dir .. "/half2", text:sub(100002))
    helper.write(dir .. "/all", text)
    helper.write(dir .. "/nothing", "")
  end)

  --- Compare with the plain file what a shell command makes of it in the file "packed".
  local function check(command, options)
    assert.equal(0, (helper.shell("cd " .. dir .. " && " .. command)))
    assert(data.build(schema, dir .. "/all", dir .. "/cache1"))
    assert(data.build(schema, dir .. "/packed", dir .. "/cache2", options))
    assert.same(data.rows(schema, ab, dir .. "/cache1"), data.rows(schema, ab, dir .. "/cache2"))
  end

  local function refuses(message, command, change)
    assert.equal(0, (helper.shell("cd " .. dir .. " && " .. command)))
    if change then helper.write(dir .. "/packed", change(helper.read(dir .. "/packed"))) end
    helper.fails_with(dir .. "/packed: " .. message,
      data.build(schema, dir .. "/packed", dir .. "/cache2"))
  end

  it("may be gzip, in several members", function()
    check "gzip -c all > packed"
    check "{ gzip -c half1; gzip -c nothing; gzip -c half2; } > packed"
    check("{ gzip -c half1; gzip -c half2; } > packed", { block = 100 })
  end)

  it("may be gzip padded with zeros", function()
    check "{ gzip -c half1; gzip -c half2; head -c 1000 /dev/zero; } > packed"
  end)

  it("may be zstd, in several frames", function()
    check "zstd -q -c all > packed"
    check "{ zstd -q -c half1; zstd -q -c nothing; zstd -q --check -c half2; } > packed"
    check("{ zstd -q -c half1; zstd -q -c half2; } > packed", { block = 100 })
    check "{ printf 'P*M\\030\\003\\000\\000\\000abc'; zstd -q -c all; } > packed"
  end)

  it("may be lz4, in several frames", function()
    check "lz4 -q -c all > packed"
    check "{ lz4 -q -c half1; lz4 -q -c nothing; lz4 -q -9 -BD --content-size -c half2; } > packed"
    check("{ lz4 -q -c half1; lz4 -q --no-frame-crc -c half2; } > packed", { block = 100 })
    check "{ lz4 -q -c half1; printf 'P*M\\030\\003\\000\\000\\000abc'; lz4 -q -c half2; } > packed"
  end)

  it("is known by its content and not by its name", function()
    helper.shell(("cd %s && mv all all.gz && zstd -q -c all.gz > all.csv"):format(dir))
    assert(data.build(schema, dir .. "/all.gz", dir .. "/cache1"))
    assert(data.build(schema, dir .. "/all.csv", dir .. "/cache2"))
    assert.same(data.rows(schema, ab, dir .. "/cache1"), data.rows(schema, ab, dir .. "/cache2"))
  end)

  it("must be complete", function()
    for _, size in ipairs { 5, 1000, 30000 } do
      refuses("the gzip data ends too early; the file is not complete",
        "gzip -c all | head -c " .. size .. " > packed")
      refuses("the zstd data ends too early; the file is not complete",
        "zstd -q -c all | head -c " .. size .. " > packed")
      refuses("the lz4 data ends too early; the file is not complete",
        "lz4 -q -c all | head -c " .. size .. " > packed")
    end
    refuses("the lz4 data ends too early; the file is not complete",
      "lz4 -q -c all | head -c -1 > packed")
    refuses("the gzip data ends too early; the file is not complete",
      "gzip -c all | head -c -1 > packed")
    refuses("the zstd data ends too early; the file is not complete",
      "zstd -q -c all | head -c -1 > packed")
    refuses("the gzip data ends too early; the file is not complete",
      "{ gzip -c half1; gzip -c half2 | head -c 500; } > packed")
  end)

  it("must not be damaged", function()
    refuses("the gzip data is damaged (incorrect data check)",
      "gzip -c all > packed",
      function(bytes) return bytes:sub(1, -9) .. "abcd" .. bytes:sub(-4) end)
    refuses("bytes that are not gzip follow the gzip data",
      "{ gzip -c half1; cat half2; } > packed")
    refuses("the zstd data is damaged (Unknown frame descriptor)",
      "{ zstd -q -c half1; cat half2; } > packed")
    refuses("the lz4 data is damaged (ERROR_contentChecksum_invalid)", "lz4 -q -c all > packed",
      function(bytes) return bytes:sub(1, -5) .. "abcd" end)
    refuses("the lz4 data is damaged (ERROR_frameType_unknown)",
      "{ lz4 -q -c half1; cat half2; } > packed")
  end)

  it("must be of a format that is known", function()
    refuses("the file is xz, expected text in UTF-8, plain, gzip, zstd or lz4",
      "printf '\\3757zXZ\\000rest' > packed")
    refuses("the file is UTF-16, expected text in UTF-8, plain, gzip, zstd or lz4",
      "printf '\\377\\376a\\000' > packed")
    refuses("the file is parquet, expected text in UTF-8, plain, gzip, zstd or lz4",
      "printf 'PAR1rest' > packed")
    refuses("the file is lz4 of the old form, expected text in UTF-8, plain, gzip, zstd or lz4",
      "lz4 -q -l -c all > packed")
  end)

  it("may be empty inside, and then it is an empty file", function()
    refuses("the file is empty, expected a header", "gzip -c nothing > packed")
    refuses("the file is empty, expected a header", "zstd -q -c nothing > packed")
    refuses("the file is empty, expected a header", "lz4 -q -c nothing > packed")
  end)
end)

describe("a file that is not there", function()
  it("is named", function()
    local dir, schema = helper.temp_dir(), data.schema(ab)
    helper.fails_with(dir .. "/none.csv: No such file or directory",
      data.build(schema, dir .. "/none.csv", dir .. "/cache"))
    helper.fails_with(dir .. ": Is a directory", data.build(schema, dir, dir .. "/cache"))
    helper.fails_with("there are no files to read", data.build(schema, {}, dir .. "/cache"))
  end)
end)

describe("a format", function()
  it("must be one that a file can have", function()
    local schema = data.schema(ab)
    local function refuses(message, options)
      helper.fails_with(message, data.build(schema, "x", "y", options))
    end
    refuses("delimiter is byte 34, expected 1 to 255 and neither a quote nor the end of a line",
      { delimiter = '"' })
    refuses("block_bytes is -1, expected 1 to 1073741824", { block = -1 })
    refuses("row_bytes is 2147483648, expected 1 to 1073741824", { row = 2147483648 })
    helper.fails_with("the schema has no columns", data.build(data.new_schema(), "x", "y"))
  end)
end)
