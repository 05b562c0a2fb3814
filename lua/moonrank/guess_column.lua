--- What the cells of a column tell: how many values, numbers or text, lists.
-- @module moonrank.guess_column
local M = {}

-- The characters that lists are written with, the likeliest first. A blank stands in names too.
local SEPARATORS = { "|", ";", "\1", "\2", "\3", "^", "#", ",", " " }
local LIST_SHARE = 0.02 -- of the cells that are not empty

--- The number that a text is by the rules of the engine's reader, or nil.
-- @tparam string text
-- @treturn ?number
function M.number(text)
  text = text:match "^ *(.-) *$" -- blanks around it do not count
  if not text:find "^[-+]?[%d.]+[eE]?[-+]?%d*$" or not text:find "%d" then return nil end
  return tonumber(text)
end

local function moments(numbers)
  local n, sum = #numbers, 0
  for _, x in ipairs(numbers) do sum = sum + x end
  local mean, m2, m3 = sum / n, 0, 0
  for _, x in ipairs(numbers) do
    local d = x - mean
    m2, m3 = m2 + d * d, m3 + d * d * d
  end
  m2, m3 = m2 / n, m3 / n
  return mean, math.sqrt(m2), m2 > 0 and m3 / m2 ^ 1.5 or 0
end

-- Whether pieces between blanks are words of a language rather than values: then the blank is no
-- separator.
local function are_words(list)
  local words = 0
  for piece, count in pairs(list.pieces) do
    if not piece:find "%d" then words = words + count end
  end
  return words * 2 > list.total
end

-- The pieces of all cells at a separator: how often each, how many different ones, how many in all,
-- in each row, and at most.
local function split(cells, separator)
  local pieces, distinct, total, lengths, most = {}, 0, 0, {}, 0
  local pattern = ("[^%%%s]+"):format(separator)
  if separator:find "%c" then pattern = "[^" .. separator .. "]+" end
  for i, cell in ipairs(cells) do
    local n = 0
    for piece in cell:gmatch(pattern) do
      n = n + 1
      if not pieces[piece] then distinct = distinct + 1 end
      pieces[piece] = (pieces[piece] or 0) + 1
    end
    lengths[i], total, most = n, total + n, math.max(most, n)
  end
  return { separator = separator, pieces = pieces, distinct = distinct, total = total,
    lengths = lengths, most = most }
end
M.split = split

-- What lists are filled up with, where they are.
local FILLERS = { ["0"] = true, ["-1"] = true }
local function is_filler(piece) return FILLERS[piece] or piece:lower():find "^%W*pad%W*$" ~= nil end

-- How many pieces at the end of a cell, or at its front, are `filler`, and how many others are.
local function count_filler(cell, separator, filler, at_front)
  local run, others, open = 0, 0, true
  local pieces = {}
  for piece in cell:gmatch("[^" .. separator .. "]+") do pieces[#pieces + 1] = piece end
  for i = 1, #pieces do
    local piece = pieces[at_front and i or #pieces + 1 - i]
    open = open and piece == filler
    if open then
      run = run + 1
    elseif piece == filler then
      others = others + 1
    end
  end
  return run, others
end

-- Take the filler off lists, if it is one: at one end of them, in runs of several lengths, and not
-- often elsewhere.
local function take_off(list, cells, filler, at_front)
  local runs, seen, n_seen, others, filled = {}, {}, 0, 0, 0
  for i, cell in ipairs(cells) do
    local run, more = count_filler(cell, "%" .. list.separator, filler, at_front)
    runs[i], others = run, others + more
    filled = filled + (run > 1 and 1 or 0)
    if not seen[run] then seen[run], n_seen = true, n_seen + 1 end
  end
  if n_seen < 3 or filled < 0.02 * #cells then return false end
  if others > 0.2 * list.pieces[filler] then return false end
  list.most = 0
  for i, run in ipairs(runs) do
    list.lengths[i] = list.lengths[i] - run
    list.most = math.max(list.most, list.lengths[i])
  end
  list.padding, list.at_front = filler, at_front
  list.total, list.distinct = list.total - list.pieces[filler], list.distinct - 1
  list.pieces[filler] = nil
  return true
end

--- Find what lists are filled up with to one length, and take it off them.
-- @tparam table list  as of split; gets `padding` (the text), and `at_front` where it stands there
-- @tparam {string,...} cells  of the column
function M.find_padding(list, cells)
  local length
  for _, n in ipairs(list.lengths) do
    if n > 0 and length and n ~= length then return end
    if n > 0 then length = n end
  end
  if not length or length < 3 then return end
  for filler in pairs(list.pieces) do
    if is_filler(filler) and (take_off(list, cells, filler, false)
      or take_off(list, cells, filler, true)) then return end
  end
end

-- What stands before the weights of values.
local WEIGHT_MARKS = { ":", "=" }

-- The values before a mark, and the weights behind it, which all pieces must have.
local function split_weights(pieces, mark)
  local found = { pieces = {}, distinct = 0, weights = 0, fractions = false }
  local seen = {}
  for piece, count in pairs(pieces) do
    local value, weight = piece:match("^(.+)" .. mark .. "([^" .. mark .. "]+)$")
    local number = weight and M.number(weight)
    if not number or math.abs(number) > 1e9 then return nil end
    if not found.pieces[value] then found.distinct = found.distinct + 1 end
    if not seen[number] then seen[number], found.weights = true, found.weights + 1 end
    found.pieces[value] = (found.pieces[value] or 0) + count
    found.fractions = found.fractions or number % 1 ~= 0
  end
  return found
end

-- Take the weights off the values of a list, if each has one: fractions, or of whole numbers few to
-- many values, since kind:id and hour:minute are written so, too.
local function take_weights(list)
  for _, mark in ipairs(WEIGHT_MARKS) do
    local found = split_weights(list.pieces, mark)
    if found and (found.fractions or found.distinct >= 3 * found.weights) then
      list.pieces, list.distinct, list.mark = found.pieces, found.distinct, mark
      return
    end
  end
end

--- How many numbers each cell has that is not empty: all equally many, at least one cell.
-- @tparam {string,...} cells
-- @tparam string separator
-- @treturn ?integer nil where they are not, or are no numbers
function M.width(cells, separator)
  local width
  for _, cell in ipairs(cells) do
    local n = 0
    for piece in cell:gmatch("[^" .. separator .. "]+") do
      if not tonumber(piece) then return nil end
      n = n + 1
    end
    if n > 0 and width and n ~= width then return nil end
    if n > 0 then width = n end
  end
  return width
end

-- Whether the pieces of a list are numbers, and whether some of them are fractions.
local function are_numbers(list)
  local fractions = 0
  for piece in pairs(list.pieces) do
    local number = M.number(piece)
    if not number then return false, false end
    if piece:find "[.eE]" then fractions = fractions + 1 end
  end
  return true, fractions > 0
end

--- Take cells for lists.
-- @tparam {string,...} cells
-- @tparam string separator
-- @treturn table pieces (how often each), distinct, total, lengths (of each cell), most;
-- numeric, decimals: whether they are numbers, and with fractions; padding: as of find_padding;
-- mark: what stands between values, which are the pieces then, and weights
function M.list(cells, separator)
  local list = split(cells, separator)
  take_weights(list)
  list.numeric, list.decimals = are_numbers(list)
  if not list.decimals and not list.mark then M.find_padding(list, cells) end
  return list
end

-- How the cells of a column are lists, or nil.
local function list_of(cells, filled, delimiter)
  for _, separator in ipairs(SEPARATORS) do
    local with = 0
    if separator ~= delimiter then
      for _, cell in ipairs(cells) do
        if cell:find(separator, 1, true) then with = with + 1 end
      end
    end
    if with > 0 and with >= LIST_SHARE * filled then
      local list = M.list(cells, separator)
      -- Pieces come again in other cells; those of free text and of dates do less.
      local again = list.distinct * 2 <= list.total or filled < 50
      local words = (separator == " " or separator == ",") and not list.mark and are_words(list)
      if list.most > 1 and (again or list.decimals) and not words then return list end
    end
  end
end

--- Look at the cells of a column.
-- @tparam {string,...} cells
-- @tparam string delimiter  of the file, which separates no lists
-- @treturn table n, filled (not empty), distinct, values (how often each), text and longest (of a
-- cell, in bytes, on average and at most); numeric (all that are filled are numbers), whole, min,
-- max, median, mean, deviation, skew; binary (0 and 1 alone); dates; list: as of split, or nil
function M.look(cells, delimiter)
  local c = { n = #cells, filled = 0, distinct = 0, values = {}, longest = 0, numeric = true,
    whole = true, binary = true }
  local numbers, bytes = {}, 0
  for _, cell in ipairs(cells) do
    if cell ~= "" then
      c.filled = c.filled + 1
      bytes, c.longest = bytes + #cell, math.max(c.longest, #cell)
      if not c.values[cell] then c.distinct = c.distinct + 1 end
      c.values[cell] = (c.values[cell] or 0) + 1
      local number = cell:lower() ~= "nan" and M.number(cell)
      if number then
        numbers[#numbers + 1] = number
        c.whole = c.whole and number % 1 == 0
        c.binary = c.binary and (number == 0 or number == 1)
      elseif cell:lower() ~= "nan" then
        c.numeric = false
      end
    else
      c.binary = false
    end
  end
  c.text = bytes / math.max(c.filled, 1)
  c.numeric = c.numeric and #numbers > 0
  if c.numeric then
    c.mean, c.deviation, c.skew = moments(numbers)
    table.sort(numbers)
    c.min, c.max, c.median = numbers[1], numbers[#numbers], numbers[math.ceil(#numbers / 2)]
  else
    c.whole, c.binary = false, false
    local first = next(c.values)
    c.dates = first ~= nil and first:find "^%d%d%d%d[-/]%d%d?[-/]%d" ~= nil
    if not c.dates then c.list = list_of(cells, c.filled, delimiter) end
  end
  return c
end

return M
