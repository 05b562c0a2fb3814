-- What moonrank init makes of columns (lua/moonrank/guess.lua, guess_column.lua), at the numbers
-- where a guess turns. Whole files have init_spec.lua.
local guess = require "moonrank.guess"
local guess_column = require "moonrank.guess_column"
local helper = require "helper"

-- The guess of a csv file of lines; the columns by name besides.
local function guess_of(lines, options)
  local path = helper.write(helper.temp_dir() .. "/x.csv", table.concat(lines, "\n") .. "\n")
  local found, message = guess.file(path, options)
  if not found then return nil, (message:gsub("^.*/x%.csv", "x.csv")) end
  local columns = {}
  for _, column in ipairs(found.columns) do columns[column.name] = column end
  return found, columns
end

-- The columns of a file of n rows whose cells are functions of the row, from 0.
local function columns_of(n, cells)
  local names, lines = {}, {}
  for name in pairs(cells) do names[#names + 1] = name end
  table.sort(names)
  lines[1] = table.concat(names, ",")
  for i = 0, n - 1 do
    local row = {}
    for k, name in ipairs(names) do row[k] = cells[name](i) end
    lines[i + 2] = table.concat(row, ",")
  end
  local _, columns = assert(guess_of(lines))
  return columns
end

local function by_threes(i) return math.floor(i / 3) % 2 end -- a label that no column tells

describe("a guess", function()
  it("takes the logarithm of skewed numbers above 10 that are hardly below 0", function()
    local function rare(i, often, rarely) return i % 40 == 5 and rarely or often end
    local columns = columns_of(120, { click = by_threes,
      skewed = function(i) return rare(i, 1.5, 90.5) end,
      small = function(i) return rare(i, 0.15, 9.5) end,
      even = function(i) return i % 5 < 2 and 90.5 or 1.5 end,
      near = function(i) return i == 7 and -0.9 or rare(i, 1.5, 90.5) end,
      below = function(i) return i == 7 and -0.91 or rare(i, 1.5, 90.5) end })
    for name, transform in pairs { skewed = "log1p", near = "log1p", small = false, even = false,
      below = false } do
      assert.equal("number", columns[name].type)
      assert.equal(transform or nil, columns[name].transform, name)
    end
  end)

  it("takes whole numbers of up to 32 values for ids, however skewed", function()
    local columns = columns_of(330, { click = by_threes,
      x = function(i) return i % 32 == 31 and 100000 or i % 32 end,
      y = function(i) return i % 33 == 32 and 100000 or i % 33 end })
    assert.same({ "id", "number" }, { columns.x.type, columns.y.type })
  end)

  it("leaves out what tells the label in 10 rows of each kind, and keeps what does in 9", function()
    for n, role in pairs { [10] = "out", [9] = "field" } do
      local columns = columns_of(100, { click = function(i) return i < n and 1 or 0 end,
        kind = function(i) return i < n and "x" or "y" end,
        other = function(i) return i % 4 end })
      assert.equal(role, columns.kind.role)
    end
  end)

  it("leaves out what has another value in each of 50 rows, and keeps what does in 49", function()
    for n, role in pairs { [50] = "out", [49] = "field" } do
      local columns = columns_of(n, { click = by_threes, code = function(i) return "c" .. i end,
        other = function(i) return i % 4 end })
      assert.equal(role, columns.code.role)
    end
  end)

  it("makes the rarer of two texts the label's 1, or else the later one", function()
    for often, is in pairs { [50] = "yes", [51] = "yes", [49] = "no" } do
      local lines = { "kind,a" }
      for i = 1, 100 do lines[i + 1] = (i <= often and "no" or "yes") .. "," .. i % 3 end
      local found = assert(guess_of(lines, { label = "kind" }))
      assert.equal(is, found.label.made.is)
    end
  end)

  it("makes a label of the highest numbers that at most 60 % of the rows reach", function()
    for fours, from in pairs { [30] = 4, [31] = 5 } do
      local lines = { "stars,a" }
      for i = 1, 100 do
        lines[i + 1] = (i <= 30 and 5 or i <= 30 + fours and 4 or 3) .. "," .. i % 3
      end
      local found = assert(guess_of(lines, { label = "stars" }))
      assert.equal(from, found.label.made.from)
    end
  end)

  it("is of files of which more than 90 % of the lines have equally many cells", function()
    for odd, fits in pairs { [9] = true, [10] = false } do
      local lines = { "click,a" }
      for i = 2, 100 do lines[i] = i % 2 .. "," .. i % 3 .. (i <= odd + 1 and ",1" or "") end
      local found, message = guess_of(lines)
      assert.equal(fits, found ~= nil)
      if not fits then
        assert.equal("x.csv: no tabs or commas divide its lines into equally many cells; expected "
          .. "csv, tsv, JSON lines, libsvm, libffm or named pairs", message)
      end
    end
  end)

  it("takes a first row with a cell twice for no header", function()
    helper.fails_with('x.csv: column "col1" has 3 different texts; a label is 0 or 1, one of two '
      .. "texts, or numbers from one on", guess_of({ "p,p", "0,5", "1,6" }, { label = "col1" }))
  end)
end)

describe("a look at cells", function()
  it("takes 0 and 1 for a label only where no cell is empty, and NaN for no text", function()
    assert.is_true(guess_column.look({ "0", "1" }, ",").binary)
    assert.is_false(guess_column.look({ "0", "1", "" }, ",").binary)
    local look = guess_column.look({ "1", "NaN", "2", "nan" }, ",")
    assert.same({ true, 2, 4 }, { look.numeric, look.max, look.filled })
  end)

  it("takes cells for lists where one in fifty has a separator", function()
    for n, is_list in pairs { [1] = false, [2] = true } do
      local cells = {}
      for i = 1, 100 do cells[i] = i <= n and "a|b" or "a" end
      assert.equal(is_list, guess_column.look(cells, ",").list ~= nil)
    end
  end)

  it("takes weights off values: fractions, or of whole numbers few to many values", function()
    local function mark(...) return guess_column.list({ ... }, "|").mark end
    assert.equal(":", mark("a:1|b:2", "c:1|d:2", "e:1|f:2")) -- three values a weight
    assert.is_nil(mark("a:1|b:2", "c:1|d:2", "e:1"))
    assert.equal("=", mark("a=0.5|b=1"))
    assert.equal(":", mark("a:0.5|b:-1e9"))
    assert.is_nil(mark("a:0.5|b:-1.1e9")) -- which is no weight
  end)

  it("finds what lists of three and more are filled up with, in runs of three lengths", function()
    local function padding(...) return guess_column.list({ ... }, "|").padding end
    assert.equal("0", padding("a|b|c", "a|b|0", "a|0|0"))
    assert.equal("0", padding("a|b|c", "0|b|a", "0|0|a"))
    assert.is_nil(padding("a|b|c", "a|0|0", "c|0|0"))
    assert.is_nil(padding("a|b", "a|0", "0|0"))
    for n, found in pairs { [1] = false, [2] = "0" } do -- of a hundred, with a run of two
      local cells = {}
      for i = 1, 100 do cells[i] = i <= n and "a|0|0" or i % 2 == 0 and "a|b|0" or "a|b|c" end
      assert.equal(found or nil, padding(unpack(cells)))
    end
  end)
end)
