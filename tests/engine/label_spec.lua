-- Labels that are made of what a column says: some texts are 1, or numbers from one on.
local data = require "data_helper"
local helper = require "helper"

local function labels(column, cells, more)
  column.name, column.source, column.type = "y", "y", "label"
  local columns = { column, more }
  local text = more and table.concat(cells, ",0\n") .. ",0\n" or table.concat(cells, "\n") .. "\n"
  local rows, message = data.parse(columns, (more and "y,z\n" or "y\n") .. text)
  return rows and data.column(rows, "y"), message
end

describe("a label", function()
  it("is 1 where the cell is one of its texts, blanks and quotes included", function()
    assert.same({ 1, 0, 0, 1, 0, 0 }, labels({ values = { " 50000+.", "rich, very" } },
      { " 50000+.", "50000+.", "- 50000.", '"rich, very"', "0", "1" }))
  end)

  it("is 1 where the number is as large as one or larger", function()
    assert.same({ 0, 1, 1, 0, 0, 1 }, labels({ from = 3.5 },
      { "3", "3.5", "1e3", "-4", "3.499", " 4 " }))
  end)

  it("is refused where there is nothing to tell it by", function()
    helper.fails_with('FILE:3:1: label "x" in column "y", expected a number',
      labels({ from = 1 }, { "1", "x" }))
    helper.fails_with('FILE:3:1: label "" in column "y", expected a number',
      labels({ from = 1 }, { "1", '""' }))
    helper.fails_with('FILE:3:1: label "" in column "y", expected a text',
      labels({ values = { "a" } }, { "b", '""' }))
    helper.fails_with('column "y": its numbers are 1 from inf on, expected a finite one',
      data.add_column(data.new_schema(), { name = "y", type = "label", from = math.huge }))
  end)

  it("is none where the cell is empty, if there are several", function()
    local second = { name = "z", type = "label" }
    local got = labels({ values = { "a" } }, { "a", "", "b" }, second)
    assert.same({ 1, 0 }, { got[1], got[3] })
    assert.is_true(got[2] ~= got[2])
    got = labels({ from = 2 }, { "2", "", "1" }, second)
    assert.same({ 1, 0 }, { got[1], got[3] })
    assert.is_true(got[2] ~= got[2])
  end)

  it("makes another cache when it is made of something else", function()
    local dir = helper.temp_dir()
    local path = helper.write(dir .. "/rows.csv", "y\n1\n2\n3\n")
    for _, case in ipairs { { { from = 2 }, { 0, 1, 1 } }, { { from = 3 }, { 0, 0, 1 } },
      { { values = { "2" } }, { 0, 1, 0 } }, { { values = { "1", "2" } }, { 1, 1, 0 } } } do
      local column = case[1]
      column.name, column.type = "y", "label"
      local schema = data.schema { column }
      assert(data.build(schema, path, dir .. "/cache"))
      assert.same(case[2], data.column(assert(data.rows(schema, { column }, dir .. "/cache")), "y"))
    end
  end)
end)
