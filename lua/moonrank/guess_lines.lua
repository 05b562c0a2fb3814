--- The columns of a sample of rows that no delimiter divides: JSON lines, libsvm, libffm and named
-- pairs, told by the first lines.
-- @module moonrank.guess_lines
local text_sample = require "moonrank.text_sample"

local M = {}

local LIST = require "moonrank.text_format".LIST -- between the values of a cell that has several
local MOST_INDICES = 500 -- of libsvm, each a column where values are not all 1

-- Columns in the order in which they come; cells of rows that have none are empty.
local Columns = {}
Columns.__index = Columns

local function new_columns() return setmetatable({ list = {}, by_source = {} }, Columns) end

function Columns:put(row, source, value, is_list)
  local column = self.by_source[source]
  if not column then
    column = { source = source, name = source, cells = {} }
    self.by_source[source] = column
    self.list[#self.list + 1] = column
  end
  local before = column.cells[row]
  column.has_lists = column.has_lists or is_list or before ~= nil
  column.cells[row] = before and before .. LIST .. value or value
  return column
end

function Columns:finish(n)
  for _, column in ipairs(self.list) do
    for row = 1, n do column.cells[row] = column.cells[row] or "" end
  end
  return self.list
end

-- ---- JSON ----

local function text_of(value)
  if type(value) == "boolean" then return value and "1" or "0" end
  if type(value) ~= "number" then return type(value) == "string" and value or "" end
  if value % 1 == 0 and math.abs(value) < 2 ^ 53 then return ("%d"):format(value) end
  return ("%.17g"):format(value)
end

-- Names by where they stand in the line.
local function names_in(object, line)
  local places, list = {}, {}
  for name in pairs(object) do
    if type(name) == "string" then
      list[#list + 1] = name
      places[name] = line:find('"' .. name .. '"', 1, true) or #line
    end
  end
  table.sort(list, function(a, b)
    if places[a] ~= places[b] then return places[a] < places[b] end
    return a < b
  end)
  return list
end

local function put_list(columns, row, source, list)
  local texts = {}
  for i, value in ipairs(list) do
    if type(value) == "table" then
      columns:put(row, source, "", true).unread = "lists within a list, or objects"
      return
    end
    texts[i] = text_of(value)
  end
  columns:put(row, source, table.concat(texts, LIST), true)
end

local function put_object(columns, row, object, line, before)
  for _, name in ipairs(names_in(object, line)) do
    local value, source = object[name], before .. name
    if type(value) ~= "table" then
      columns:put(row, source, text_of(value))
    elseif value[1] ~= nil or next(value) == nil then
      put_list(columns, row, source, value)
    else
      put_object(columns, row, value, line, source .. ".")
    end
  end
end

local function read_json(rows)
  local decode, columns, kept = require "cjson".decode, new_columns(), {}
  for _, row in ipairs(rows) do
    local ok, object = pcall(decode, row[1])
    if ok and type(object) == "table" then
      kept[#kept + 1] = row
      put_object(columns, #kept, object, row[1], "")
    end
  end
  return columns:finish(#kept), kept
end

-- ---- pairs behind labels ----

-- The label of a row, as the engine reads it: -1 is 0.
local function label_of(row)
  local text = row:match "^%S+"
  return tonumber(text) == -1 and "0" or text
end

-- The columns of libsvm: all pairs as one bag where each value is 1, else one for each index.
local function read_libsvm(rows)
  local bags, each, n, only_ones = new_columns(), new_columns(), 0, true
  for r, row in ipairs(rows) do
    local text = row[1]:gsub("#.*", "")
    for _, columns in ipairs { bags, each } do columns:put(r, "label", label_of(text)) end
    for index, value in text:gmatch "%s(%w+):(%S+)" do
      if index == "qid" then
        for _, columns in ipairs { bags, each } do columns:put(r, "qid", value) end
      else
        only_ones = only_ones and tonumber(value) == 1
        bags:put(r, "features", index, true)
        local known = each.by_source[index]
        if known or n < MOST_INDICES then
          each:put(r, index, value).name = "f" .. index
          n = n + (known and 0 or 1)
        end
      end
    end
  end
  if only_ones then return bags:finish(#rows) end
  table.sort(each.list, function(a, b)
    return (tonumber(a.source) or -1) < (tonumber(b.source) or -1)
  end)
  return each:finish(#rows)
end

-- A field's pairs have one index and any value, which is a number, or any index and the value 1.
local function read_libffm(rows)
  local columns, index_of, varied, values = new_columns(), {}, {}, {}
  for r, row in ipairs(rows) do
    columns:put(r, "label", label_of(row[1]))
    for field, index, value in row[1]:gmatch "%s(%d+):(%d+):(%S+)" do
      columns:put(r, field, index).name = "field" .. field
      varied[field] = varied[field] or index_of[field] and index_of[field] ~= index
      index_of[field] = index
      if tonumber(value) ~= 1 then
        values[field] = values[field] or {}
        values[field][r] = value
      end
    end
  end
  for field, of_rows in pairs(values) do
    local column = columns.by_source[field]
    if varied[field] or column.has_lists then
      column.unread = "values beside indices that differ: one of both can be read"
    else
      for r, value in pairs(of_rows) do column.cells[r] = value end
      for r, cell in pairs(column.cells) do
        if not of_rows[r] and cell ~= "" then column.cells[r] = "1" end
      end
    end
  end
  return columns:finish(#rows)
end

-- How many cells come before the first that is a pair.
local function cells_before(line)
  local n = 0
  for cell in line:gmatch "[^,]+" do
    if cell:find ":" then return n end
    n = n + 1
  end
  return nil
end

local function read_pairs(rows)
  local columns, n = new_columns(), cells_before(rows[1][1])
  for r, row in ipairs(rows) do
    local place = 0
    for cell in row[1]:gmatch "[^,]+" do
      place = place + 1
      local name, text = cell:match "^([^:]+):(.*)$"
      if place <= n then
        columns:put(r, "col" .. place, cell).leads = true
      elseif name then
        columns:put(r, name, text)
      end
    end
  end
  return columns:finish(#rows)
end

-- ---- which it is ----

-- Whether nearly all lines have a form.
local function most(rows, has)
  local n = 0
  for _, row in ipairs(rows) do n = n + (has(row[1]) and 1 or 0) end
  return n >= 0.9 * #rows
end

local function is_json(line) return line:find "^%s*{.*}%s*$" ~= nil end
local function is_libffm(line)
  return line:find "^[-+]?[%d.]+[ \t]+%d+:%d+:" ~= nil
end
local function is_libsvm(line)
  return line:find "^[-+]?[%d.]+[ \t]+%w+:[^:%s]+" ~= nil and not line:find ","
end

-- Named pairs: equally many cells before them, and more or fewer of them.
local function are_pairs(rows)
  local n = cells_before(rows[1][1])
  return n and n > 0 and most(rows, function(line)
    return cells_before(line) == n and select(2, line:gsub("[^,:]+:[^,]*", "")) > 1
  end)
end

--- Read lines of one of these forms.
-- @tparam {string,...} blocks  as of moonrank.text_sample
-- @tparam boolean whole  likewise
-- @treturn ?table nil where they have none of them; format (jsonl, libsvm, libffm or pairs), rows
-- (with `block`), all (whether they are all rows), columns: each with source, name, cells (texts,
-- values of a list with text_format.LIST between them), has_lists, unread (why it cannot be read)
-- and leads (it is a cell before the pairs)
function M.read(blocks, whole)
  local rows, all = text_sample.rows(blocks, whole, "\1", false)
  if not rows[1] then return nil end
  local format, columns
  if most(rows, is_json) then
    format = "jsonl"
    columns, rows = read_json(rows)
  elseif most(rows, is_libffm) then
    format, columns = "libffm", read_libffm(rows)
  elseif most(rows, is_libsvm) then
    format, columns = "libsvm", read_libsvm(rows)
  elseif are_pairs(rows) then
    format, columns = "pairs", read_pairs(rows)
  end
  return format and { format = format, columns = columns, rows = rows, all = all }
end

return M
