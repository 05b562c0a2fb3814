--- A fields file guessed from data: format, label, fields with sides and types, sequences; each
-- guess with a comment that says why. What it says of values is said of a sample of the rows.
--
-- What is in doubt is left out, with its reason, rather than read wrongly: the file that is written
-- loads and trains as it is.
-- @module moonrank.guess
local guess_column = require "moonrank.guess_column"
local guess_lines = require "moonrank.guess_lines"
local names = require "moonrank.guess_names"
local text_format = require "moonrank.text_format"
local text_sample = require "moonrank.text_sample"

local M = {}

local FEW = 32      -- values of a column of whole numbers that is then taken for an id
local SKEWED = 2    -- skewness from which on log1p is wanted
local WIDE = 100    -- numbers beyond are normalised, as `moonrank check` wants them to be
local LONG_TEXT = 60 -- bytes of a cell on average: free text
local LEAST_ROWS = 50 -- to say what has another value in every row
local LEAST_TOLD = 10 -- rows of each label, to say that values tell it
local ONES = 0.6       -- of the rows at most, where numbers are made a label

local grouped = require "moonrank.progress".grouped

-- ---- the rows ----

-- The rows if a byte separates their cells, how many cells most have, and the share of those.
local function fit(blocks, whole, delimiter)
  local rows, all = text_sample.rows(blocks, whole, delimiter, delimiter == ",")
  local counts, best = {}, 1
  for _, row in ipairs(rows) do counts[#row] = (counts[#row] or 0) + 1 end
  for n, count in pairs(counts) do
    if n > 1 and count > (counts[best] or 0) or n > 1 and best == 1 then best = n end
  end
  return { rows = rows, n_cells = best, all = all, delimiter = delimiter,
    share = (counts[best] or 0) / math.max(#rows, 1) }
end

-- The rows, their delimiter and how many cells each has.
local function read_rows(blocks, whole, path)
  local best
  for _, delimiter in ipairs { "\t", "," } do
    local one = fit(blocks, whole, delimiter)
    if one.n_cells > 1 and one.share > 0.9 and (not best or one.n_cells > best.n_cells) then
      best = one
    end
  end
  if best then return best end
  return nil, path .. ": no tabs or commas divide its lines into equally many cells; expected "
    .. "csv, tsv, JSON lines, libsvm, libffm or named pairs"
end

-- Types of a header as `name:type`, or nil.
local TYPED = { token = "id", token_seq = "ids", float = "number", float_seq = "numbers" }
local function typed_header(row)
  local types = {}
  for i, cell in ipairs(row) do
    types[i] = TYPED[cell:match "^[^:]+:([%w_]+)$"]
    if not types[i] then return nil end
  end
  return types
end

-- Whether the first row names the columns: no cell twice, none empty, and where a column holds
-- numbers alone below, one that is none above; or a name that labels have.
local function has_header(table_)
  local seen, first = {}, table_.rows[1]
  if typed_header(first) then return true end
  for _, cell in ipairs(first) do
    if cell == "" or seen[cell] then return false end
    seen[cell] = true
  end
  for i, cell in ipairs(first) do
    if names.label(cell) then return true end
    local numeric = #table_.rows > 1
    for r = 2, math.min(#table_.rows, 200) do
      local value = table_.rows[r][i]
      numeric = numeric and (not value or value == "" or guess_column.number(value) ~= nil)
    end
    if numeric and not guess_column.number(cell) then return true end
  end
  return false
end

-- A header for a file without one.
local function number_columns(table_)
  local header = {}
  for i = 1, table_.n_cells do header[i] = "col" .. i end
  table.insert(table_.rows, 1, header)
end

local function name_of(text) return text:gsub("[%c%s:]+", "_"):sub(1, 255) end

local function look_at_columns(table_)
  local columns, types = {}, typed_header(table_.rows[1])
  for i, source in ipairs(table_.rows[1]) do
    local cells = {}
    for r = 2, #table_.rows do cells[r - 1] = table_.rows[r][i] end
    local name = types and source:match "^[^:]+" or source
    columns[i] = { source = source, name = name_of(name), cells = cells, typed = types and types[i],
      look = guess_column.look(cells, table_.delimiter) }
  end
  return columns
end

-- ---- the label ----

-- How a column that is not 0 or 1 can be a label: as one of two texts, or as numbers from one on;
-- nil where it is not. The rarer text is 1, and of numbers the least that most rows do not reach.
local function made_label(column)
  local look = column.look
  if look.filled < look.n then return nil end
  if not look.numeric then
    if look.distinct ~= 2 then return nil end -- two texts are no lists, whatever is in them
    local a = next(look.values)
    local b = next(look.values, a)
    if look.values[b] == look.values[a] and b > a or look.values[b] < look.values[a] then a = b end
    return { is = a, share = look.values[a] / look.n }
  end
  if look.distinct < 2 then return nil end
  local counts = {}
  for text, count in pairs(look.values) do
    counts[#counts + 1] = { value = guess_column.number(text), count = count }
  end
  table.sort(counts, function(a, b) return a.value > b.value end)
  local from, ones = counts[1].value, counts[1].count
  for k = 2, #counts do
    if ones + counts[k].count > ONES * look.n then break end
    from, ones = counts[k].value, ones + counts[k].count
  end
  return { from = from, share = ones / look.n }
end

local function find_named(columns, wanted, path)
  for _, column in ipairs(columns) do
    if column.source == wanted or column.name == wanted then
      if not column.look.binary then column.made = made_label(column) end
      if column.look.binary or column.made then return column end
      return nil, ('%s: column "%s" has %s different texts; a label is 0 or 1, one of two texts, '
        .. "or numbers from one on"):format(path, column.source, grouped(column.look.distinct))
    end
  end
  local known = {}
  for i, column in ipairs(columns) do known[i] = column.source end
  return nil, ('%s:1: no column is called "%s"%s'):format(path, wanted,
    require "moonrank.suggest".phrase(wanted, known))
end

-- The best by its name of those for which `what` gives something.
local function best_of(columns, what)
  local best
  for _, column in ipairs(columns) do
    local rank = names.label(column.name)
    if rank and (not best or rank < best.rank) and what(column) then
      best, column.rank = column, rank
    end
  end
  return best
end

local function is_binary(column) return column.look.binary end

-- The last column or the first; of named pairs the first of the cells before them.
local function by_place(columns, what)
  local last, first = columns[#columns], columns[1]
  if first.leads then
    for _, column in ipairs(columns) do
      if column.leads and what(column) then return column, "first such" end
    end
    return nil
  end
  if what(last) then return last, "last" end
  if what(first) then return first, "first" end
end

local function of_two_texts(column)
  return not column.look.numeric and made_label(column) ~= nil
end

local function find_label(columns, wanted, path)
  if wanted then return find_named(columns, wanted, path) end
  local best = best_of(columns, is_binary) or best_of(columns, made_label)
  if not best then
    local place
    best, place = by_place(columns, is_binary)
    if not best then best, place = by_place(columns, of_two_texts) end
    if best then best.by_place = place end
  end
  if not best then
    return nil, ("%s: no column looks like a label, which is 0 or 1 in every row; name one with "
      .. "--label COLUMN"):format(path)
  end
  if not best.look.binary then best.made = made_label(best) end
  return best
end

-- ---- what each column is ----

local function range(look)
  local short = function(x) return ("%.4g"):format(x) end
  if look.whole and math.abs(look.max) < 2 ^ 53 then short = function(x) return grouped(x) end end
  return ("%s to %s, median %s"):format(short(look.min), short(look.max), short(look.median))
end

local function leave_out(column, why)
  column.role, column.why = "out", why
end

local function as_number(column, what)
  local look = column.look
  column.role, column.type, column.what = "field", "number", what or "numbers"
  column.why = ("%s, %s"):format(column.what, range(look))
  if look.min >= -look.max / 100 and look.skew > SKEWED and look.max > 10 then
    column.transform = "log1p"
    column.why = column.why .. ", skewed"
  elseif math.max(look.max, -look.min) > WIDE then
    column.normalize = true
  end
end

local function as_id(column, what)
  column.role, column.type, column.what = "field", "id", what
  column.why = ("%s, %s value%s"):format(what, grouped(column.look.distinct),
    column.look.distinct == 1 and "" or "s")
end

-- Values of JSON and of pairs have no separator that a fields file says.
local function separator_of(text) return text ~= text_format.LIST and text or nil end

local function as_list(column, list)
  column.role, column.type, column.list = "field", "ids", list
  column.separator = separator_of(list.separator)
  column.padding = list.padding
  column.why = ("lists of up to %d, %s different"):format(list.most, grouped(list.distinct))
  if list.mark then
    column.weighted, column.why = true, column.why .. ", each with a weight behind it"
    column.weight_separator = list.mark ~= ":" and list.mark or nil
  end
  if list.padding then
    column.filled = ("filled up with %s %s to one length"):format(list.padding,
      list.at_front and "in front" or "behind")
    column.why = column.why .. ", " .. column.filled
  end
end

local function as_vector(column, width, separator)
  column.role, column.type, column.width = "field", "vector", width
  column.separator = separator_of(separator)
  column.why = ("%d numbers in each cell"):format(width)
end

-- By the type that a header says.
local function by_header(column, what)
  if what == "ids" then
    local list = guess_column.split(column.cells, " ")
    guess_column.find_padding(list, column.cells)
    as_list(column, list)
  elseif what == "number" and column.look.numeric then
    as_number(column)
  elseif what == "numbers" and guess_column.width(column.cells, " ") then
    as_vector(column, guess_column.width(column.cells, " "), " ")
  elseif what == "id" then
    as_id(column, "tokens")
  else
    leave_out(column, "numbers, but not equally many in each cell")
  end
  column.why = column.why .. ", by its header"
end

local function by_numbers(column)
  local look, name = column.look, column.name
  if not look.whole then return as_number(column) end
  if names.is_id(name) then return as_id(column, "whole numbers, an id by its name") end
  if names.is_number(name) and look.distinct > 10 then
    return as_number(column, "whole numbers, an amount by its name")
  elseif look.distinct > FEW and look.skew > SKEWED then
    return as_number(column, "whole numbers")
  end
  as_id(column, "whole numbers")
end

local function by_values(column)
  local look = column.look
  if look.numeric then
    by_numbers(column)
  elseif look.list and look.list.decimals and not look.list.mark then
    local separator = look.list.separator
    local width = guess_column.width(column.cells, separator)
    if width then as_vector(column, width, separator) else as_list(column, look.list) end
  elseif look.list then
    as_list(column, look.list)
  else
    as_id(column, "text")
  end
end

-- Whether numbers hardly ever fall from row to row.
local function rises(cells)
  local falls = 0
  for i = 2, #cells do
    local before, now = tonumber(cells[i - 1]), tonumber(cells[i])
    if before and now and now < before then falls = falls + 1 end
  end
  return falls <= 0.01 * #cells
end

-- Whether a cell of the label is a 1.
local function is_one(label, cell)
  local made = label.made
  if not made then return tonumber(cell) == 1 end
  if made.is then return cell == made.is end
  return guess_column.number(cell) >= made.from
end

-- Whether a few values tell the label in every row, of which some are 1 and some 0.
local function tells(column, label)
  if column.look.distinct > FEW or column.look.filled < column.look.n then return false end
  local of, counts = {}, { [true] = 0, [false] = 0 }
  for i, cell in ipairs(column.cells) do
    local one = is_one(label, label.cells[i])
    if of[cell] ~= nil and of[cell] ~= one then return false end
    of[cell], counts[one] = one, counts[one] + 1
  end
  return counts[true] >= LEAST_TOLD and counts[false] >= LEAST_TOLD
end

-- What is no field: by name or by its values.
local function find_reason_to_leave_out(column, label)
  local look = column.look
  if column.unread then return column.unread end
  if column.leads then
    return look.binary and "0 and 1: another task, perhaps, of `label`"
      or "a cell before the pairs that is no label"
  end
  if look.filled == 0 then return "empty in all of the sample" end
  if look.distinct == 1 and look.filled == look.n then
    return ("%s in all of the sample"):format(next(look.values):sub(1, 40):gsub("%c", "?"))
  end
  if names.is_outcome(column.name, look.binary) then
    return "known only after the click by its name: as a field it would tell the label"
  end
  local same = look.binary
  for i, cell in ipairs(column.cells) do
    same = same and tonumber(cell) == tonumber(label.cells[i])
  end
  if same then return "the same as the label" end
  if tells(column, label) then
    return "its values tell the label in every row: known only after the click, it seems"
  end
  local is_time = names.is_time(column.name) and look.numeric
    and (look.min >= 1e7 or look.distinct > FEW and rises(column.cells))
  if is_time or look.dates then
    return "a time: new ones come after the training, so models know none of them"
  end
  if not look.numeric and not look.list and look.text > LONG_TEXT then
    return "free text, which is not read"
  end
  local unique = look.filled >= LEAST_ROWS and look.distinct >= 0.999 * look.filled
  if unique and not (look.numeric and not look.whole) and not names.side(column.name)
      and not look.list then
    return "another value in every row: it tells nothing of other rows"
  end
end

-- ---- sides, requests ----

-- Whether a column has one value for each value of another one, which repeats.
local function follows(column, key)
  local of, repeats = {}, 0
  for i, cell in ipairs(column.cells) do
    local before = of[key.cells[i]]
    if before and before ~= cell then return false end
    if before then repeats = repeats + 1 end
    of[key.cells[i]] = cell
  end
  return repeats >= LEAST_ROWS
end

local function key_of(columns, side)
  for _, column in ipairs(columns) do
    local own, word = names.side(column.name)
    local is_key = names.is_user(column.name) or names.is_id(column.name) or column.name == word
    if own == side and is_key and column.role == "field" and column.type == "id"
      and column.look.distinct > 1 then
      return column
    end
  end
end

local function set_sides(columns)
  local user, ad = key_of(columns, "user"), key_of(columns, "ad")
  for _, column in ipairs(columns) do
    if column.role == "field" then
      local side, word = names.side(column.name)
      local is_history = column.type == "ids" and names.is_list(column.name)
      if is_history then
        column.side, column.side_why = "user", "a history by its name"
      elseif side and not (side == "ad" and user and ad and column ~= ad
          and follows(column, user) and not follows(column, ad)) then
        column.side, column.side_why = side, ('"%s" in its name'):format(word)
      elseif user and follows(column, user) then
        column.side, column.side_why = "user", ("the same for each %s"):format(user.name)
      elseif ad and follows(column, ad) then
        column.side, column.side_why = "ad", ("the same for each %s"):format(ad.name)
      else
        column.side, column.side_why = "ad", "nothing tells whose it is"
      end
    end
  end
end

-- The column of what consecutive rows share, if they do in the sample; what is not shared goes to
-- the side of the ad. Columns that differ within a request are marked.
local function find_request(columns, rows)
  local request
  for _, column in ipairs(columns) do
    if not request and names.is_request(column.name) then request = column end
  end
  if not request then return nil end
  local below = {} -- rows whose request is that of the row above
  for i = 2, #request.cells do
    local together = rows[i - 1].block == rows[i].block and request.cells[i] == request.cells[i - 1]
    if together then below[#below + 1] = i end
  end
  if #below == 0 then return nil end
  for _, column in ipairs(columns) do
    for _, i in ipairs(below) do
      column.differs = column.differs or column.cells[i] ~= column.cells[i - 1]
    end
    if column.differs and column.side and column.side ~= "ad" then
      column.side, column.side_why = "ad", "it differs within a request"
    end
  end
  request.role = "request"
  return request
end

-- ---- sequences ----

-- The field whose values the pieces of a list are: by the values, and by a word or by many of them.
local function counterpart(column, columns)
  local best, best_share
  for _, other in ipairs(columns) do
    if other.role == "field" and other.type == "id" then
      local common = 0
      for piece in pairs(column.list.pieces) do
        if other.look.values[piece] then common = common + 1 end
      end
      local share = common / math.max(column.list.distinct, 1)
      local by_name = names.share(column.name, other.name)
      if share >= (by_name and 0.1 or 0.5) and (by_name or common >= 10)
          and (not best or share + (by_name and 1 or 0) > best_share) then
        best, best_share = other, share + (by_name and 1 or 0)
      end
    end
  end
  return best
end

-- Whether lists are as long as one another in every row; where they are filled up in most,
-- since the last value may be missing, which is written as padding is.
local function same_lengths(a, b)
  local differ, allowed = 0, a.list.padding and 0.15 * #a.list.lengths or 0
  for i, n in ipairs(a.list.lengths) do
    differ = differ + (n ~= b.list.lengths[i] and 1 or 0)
    if differ > allowed then return false end
  end
  return a.list.separator == b.list.separator and a.list.padding == b.list.padding
end

-- Lists of fractions are behaviours' numbers, or cannot be read.
local function leave_out_decimals(columns)
  for _, column in ipairs(columns) do
    if column.role == "field" and column.type == "ids" and column.list.decimals
        and not column.weighted then
      leave_out(column, "numbers, but not equally many in each cell")
    end
  end
end

-- What the names of a sequence's columns begin with, in words.
local function common_start(group)
  local start = names.words(group[1].name)
  for _, column in ipairs(group) do
    local words = names.words(column.name)
    for i = 1, #start do
      if words[i] ~= start[i] then
        for k = i, #start do start[k] = nil end
        break
      end
    end
  end
  return start
end

local TAKEN = { "user", "ad", "scene", "context", "request", "sample" }

local function sequence_name(group, columns, others)
  local taken = {}
  for _, name in ipairs(TAKEN) do taken[name] = true end
  for _, column in ipairs(columns) do taken[column.name] = true end
  for _, other in ipairs(others) do taken[other.name] = true end
  local start = common_start(group)
  local name = #start > 0 and #group > 1 and table.concat(start, "_") or "past"
  while taken[name] do name = name .. "_seq" end
  return name
end

local function make_sequence(group, columns, others, why)
  local sequence = { name = sequence_name(group, columns, others), separator = group[1].separator,
    members = {}, why = why, side = "user", padding = group[1].padding }
  if sequence.padding then sequence.why = why .. "; " .. group[1].filled end
  local used = {}
  for _, column in ipairs(group) do
    local field = counterpart(column, columns)
    local key = field and not used[field.name] and field.name or column.name
    used[key] = true
    local is_amount = names.is_time(column.name) or names.is_number(column.name)
    sequence.members[#sequence.members + 1] = { key = key, column = column,
      field = field and key == field.name and field or nil,
      type = column.list.numeric and (column.list.decimals or is_amount) and "number" or "id" }
    local of_ad = names.side(names.words(column.name)[1] or "") == "ad"
      and not names.is_list(column.name)
    if column.differs or of_ad then sequence.side = "ad" end
    column.role = "member"
  end
  return sequence
end

-- Of two aligned lists the values and their weights: fractions beside values that are no history,
-- whose fractions are a number of each behaviour.
local function weights_of(group, columns)
  local values, weights = group[1], group[2]
  if values.list.decimals then values, weights = weights, values end
  if #group ~= 2 or values.list.decimals or not weights.list.decimals or values.padding then
    return nil
  end
  if names.is_list(values.name) or counterpart(values, columns) then return nil end
  return values, weights
end

local function take_weights(values, weights)
  values.weights = weights.source
  values.why = ("%s, their weights in %s"):format(values.why, weights.name)
  weights.role, weights.why = "weights", nil
end

-- Lists of equal lengths in every row are aligned: one behaviour at each place.
local function find_sequences(columns)
  local sequences, lists = {}, {}
  for _, column in ipairs(columns) do
    if column.role == "field" and column.list and column.list.most > 1 then
      lists[#lists + 1] = column
    end
  end
  for i, column in ipairs(lists) do
    if column.role == "field" then
      local group = { column }
      for k = i + 1, #lists do
        if lists[k].role == "field" and not column.weighted and not lists[k].weighted
            and same_lengths(column, lists[k]) then
          group[#group + 1] = lists[k]
        end
      end
      local field, values, weights = counterpart(column, columns), weights_of(group, columns)
      if values then
        take_weights(values, weights)
      elseif #group > 1 then
        sequences[#sequences + 1] = make_sequence(group, columns, sequences,
          "equally many values in every row: columns of one sequence")
      elseif field and names.is_list(column.name) and not column.weighted then
        sequences[#sequences + 1] = make_sequence(group, columns, sequences,
          ("a history by its name, of values of %s"):format(field.name))
      elseif field then
        column.table = field.name
        column.why = ("%s, values of %s"):format(column.why, field.name)
      end
    end
  end
  return sequences
end

-- ---- all together ----

-- Rows of cells with their columns.
local function read_cells(blocks, whole, path)
  local table_, message = read_rows(blocks, whole, path)
  if not table_ then return nil, message end
  local numbered = not has_header(table_)
  if numbered then number_columns(table_) end
  local rows = { table_.rows[1] }
  for r = 2, #table_.rows do
    if #table_.rows[r] == table_.n_cells then rows[#rows + 1] = table_.rows[r] end
  end
  table_.rows = rows
  if #rows < 2 then return nil, ("%s: no rows follow the header"):format(path) end
  local columns = look_at_columns(table_)
  table.remove(rows, 1)
  return { format = table_.delimiter == "\t" and "tsv" or "csv", columns = columns, rows = rows,
    numbered = numbered, all = table_.all }
end

-- The columns of rows that are no cells.
local function look_at_lists(columns)
  for _, column in ipairs(columns) do
    column.name = name_of(column.name)
    column.look = guess_column.look(column.cells, text_format.LIST)
    if column.has_lists then
      local look = column.look
      look.numeric, look.whole, look.binary, look.dates = false, false, false, false
      look.list = guess_column.list(column.cells, text_format.LIST)
    end
  end
end

-- Files of pairs have neither requests nor sequences.
local function has_requests(format)
  return not text_format.has_pairs(format) and not text_format.needs_columns(format)
end

local function qid_of(columns)
  for _, column in ipairs(columns) do
    if column.source == "qid" then
      column.role = "group"
      return column
    end
  end
end

--- Guess what a file holds.
-- @tparam string path
-- @tparam[opt] table options  label: the column with 0 and 1
-- @treturn ?table format, columns (each with source, name, role and why; fields with type and
-- side, and what they hold in words), label (a column; `made`: how it is made one, is or from, and
-- the share of rows that are 1), request, group, sequences, rows (of the sample), whole
-- (they are all rows), numbered (no header names the columns, which are called col1, col2 ...)
-- @treturn ?string what is wrong
function M.file(path, options)
  local blocks, whole = text_sample.blocks(path)
  if not blocks then return nil, whole end
  local found = guess_lines.read(blocks, whole)
  if found then
    look_at_lists(found.columns)
  else
    local message
    found, message = read_cells(blocks, whole, path)
    if not found then return nil, message end
  end
  local columns = found.columns
  local label, message = find_label(columns, options and options.label, path)
  if not label then return nil, message end
  label.role = "label"
  for _, column in ipairs(columns) do
    local reason = not column.role and find_reason_to_leave_out(column, label)
    if reason then
      leave_out(column, reason)
    elseif not column.role and column.typed then
      by_header(column, column.typed)
    elseif not column.role then
      by_values(column)
    end
  end
  set_sides(columns)
  local request = has_requests(found.format) and find_request(columns, found.rows) or nil
  local sequences = has_requests(found.format) and find_sequences(columns) or {}
  leave_out_decimals(columns)
  local group
  for _, column in ipairs(columns) do
    if names.is_user(column.name) and column.type == "id" then group = group or column end
  end
  local fields = 0
  for _, column in ipairs(columns) do fields = fields + (column.role == "field" and 1 or 0) end
  if fields == 0 then return nil, ("%s: no column is left that could be a field"):format(path) end
  return { format = found.format, columns = columns, label = label, request = request,
    group = group or qid_of(columns), sequences = sequences, rows = #found.rows,
    whole = found.all, numbered = found.numbered }
end

return M
