--- The text of a fields file, and of a first experiment, from what moonrank.guess found.
-- @module moonrank.guess_file
local name_ranges = require "moonrank.name_ranges"
local text_format = require "moonrank.text_format"
local yaml = require "moonrank.yaml"

local M = {}

local WIDTH = 100

-- A map in the form {name: x, ...}, its keys in the order given.
local function flow(entries)
  local parts = {}
  for _, entry in ipairs(entries) do
    local key, value = entry[1], entry[2]
    if value ~= nil then
      local text = yaml.write { { [key] = value } } -- "- {key: value}"
      parts[#parts + 1] = text:match "^%- {(.*)}\n$"
    end
  end
  return parts
end

-- Parts with commas between, on as many lines as they need.
local function wrapped(start, parts, finish, indent)
  local lines, line = {}, start
  for i, part in ipairs(parts) do
    local piece = part .. (i < #parts and "," or finish)
    if #line + #piece + 1 > WIDTH and line ~= start then
      lines[#lines + 1], line = line, indent .. piece
    else
      line = line .. ((line == start or line == indent) and "" or " ") .. piece
    end
  end
  lines[#lines + 1] = line
  return table.concat(lines, "\n")
end

local function comment(text, indent)
  local lines, line = {}, indent .. "#"
  for word in text:gmatch "%S+" do
    if #line + #word + 1 > WIDTH then lines[#lines + 1], line = line, indent .. "#" end
    line = line .. " " .. word
  end
  lines[#lines + 1] = line
  return table.concat(lines, "\n")
end

-- Columns that are described by the same words stand in one entry, if they need no source.
local function alike(a, b)
  return a.side == b.side and a.type == b.type and a.transform == b.transform
    and a.normalize == b.normalize
    and a.separator == b.separator and a.padding == b.padding and a.width == b.width
    and a.table == b.table and not a.weights and not b.weights and a.weighted == b.weighted
    and a.weight_separator == b.weight_separator
    and a.side_why == b.side_why
    and a.name == a.source and b.name == b.source
end

-- Why several columns of one kind are what they are: what is said of all, and how far it goes.
local function why_of(group, from, to)
  local first, least, most = group[from], math.huge, -math.huge
  local same, is_number = true, first.type == "number"
  for i = from, to do
    local column = group[i]
    same = same and column.why == first.why
    if column.what ~= first.what or not column.what then return nil end
    least = math.min(least, is_number and column.look.min or column.look.distinct)
    most = math.max(most, is_number and column.look.max or column.look.distinct)
  end
  if same then return first.why end
  return ("%s, %.6g to %.6g%s"):format(first.what, least, most, is_number and "" or " values")
end

-- Comments about the columns of a group, one for a range of names where there is a word for all.
local function add_reasons(lines, group, names, places)
  for i, place in ipairs(places) do
    local why = why_of(group, place[1], place[2])
    if why then
      lines[#lines + 1] = comment(("%s: %s"):format(names[i], why), "  ")
    else
      for k = place[1], place[2] do
        lines[#lines + 1] = comment(("%s: %s"):format(group[k].name, group[k].why), "  ")
      end
    end
  end
end

local function names_of(group)
  local list = {}
  for i, column in ipairs(group) do list[i] = column.name end
  return name_ranges.compress(list)
end

-- As it is written: a number as one.
local function padding_of(one) return tonumber(one.padding) or one.padding end

local function field_entry(group)
  local first = group[1]
  local lines = {}
  local names, places = names_of(group)
  if #group == 1 then
    lines[1] = comment(("%s; %s: %s"):format(first.why, first.side, first.side_why), "  ")
  else
    add_reasons(lines, group, names, places)
    lines[#lines + 1] = comment(("%s: %s"):format(first.side, first.side_why), "  ")
  end
  local start, parts = "  - {", flow {
    { "side", first.side }, { "type", first.type },
    { "source", first.source ~= first.name and first.source or nil },
    { "table", first.table },
    { "separator", first.type ~= "number" and first.separator or nil },
    { "padding", padding_of(first) }, { "width", first.width },
    { "weights", first.weights }, { "weighted", first.weighted },
    { "weight_separator", first.weight_separator },
    { "transform", first.transform }, { "normalize", first.normalize } }
  local list = yaml.write { { name = #names > 1 and names or names[1] } }:match "^%- {(.*)}\n$"
  local all = {}
  for piece in (list .. ", "):gmatch "(.-), " do all[#all + 1] = piece end
  for _, part in ipairs(parts) do all[#all + 1] = part end
  lines[#lines + 1] = wrapped(start, all, "}", "     ")
  return table.concat(lines, "\n")
end

local function sequence_entry(sequence)
  local members = {}
  for _, member in ipairs(sequence.members) do
    local value = member.column.source
    if not member.field then
      value = { column = member.column.source, type = member.type }
    end
    members[#members + 1] = { member.key, value }
  end
  local parts = flow { { "name", sequence.name }, { "side", sequence.side }, { "max", 100 },
    { "separator", sequence.separator ~= " " and sequence.separator or nil },
    { "padding", padding_of(sequence) } }
  for i, member in ipairs(flow(members)) do -- a line may end between any two
    parts[#parts + 1] = (i == 1 and "of: {" or "") .. member .. (i == #members and "}" or "")
  end
  return comment(sequence.why, "  ") .. "\n" .. wrapped("  - {", parts, "}", "     ")
end

local function left_out(guess)
  local lines, runs = {}, {}
  for _, column in ipairs(guess.columns) do
    local run = runs[#runs]
    if column.role == "out" and run and run.why == column.why then
      table.insert(run.names, column.source)
    elseif column.role == "out" then
      runs[#runs + 1] = { why = column.why, names = { column.source } }
    end
  end
  for _, run in ipairs(runs) do
    local names = table.concat((name_ranges.compress(run.names)), ", "):gsub("%c", "?")
    lines[#lines + 1] = comment(("%s: %s"):format(names, run.why), "")
  end
  if #lines == 0 then return nil end
  return "\n# Columns that are left out:\n" .. table.concat(lines, "\n")
end

local function share_of_ones(label)
  local ones, n = 0, 0
  for value, count in pairs(label.look.values) do
    n = n + count
    if tonumber(value) == 1 then ones = ones + count end
  end
  return ones / math.max(n, 1)
end

local function line(key, value)
  return (yaml.write { [key] = value }:gsub("\n$", ""))
end

-- What a label is made of, and why.
local function add_label(out, label)
  local place = label.by_place and (" in the %s column"):format(label.by_place) or ""
  local made = label.made
  if not made then
    out[#out + 1] = comment(("0 and 1%s; %.4g %% of the rows are 1"):format(place,
      100 * share_of_ones(label)), "")
    out[#out + 1] = line("label", label.source)
    return
  end
  if made.is then
    out[#out + 1] = comment(('two texts%s: the rarer one is 1, in %.4g %% of the rows'):format(
      place, 100 * made.share), "")
  else
    local look = label.look
    out[#out + 1] = comment(("numbers from %.6g to %.6g%s: those from %.6g on are 1, in %.4g %% of "
      .. "the rows"):format(look.min, look.max, place, made.from, 100 * made.share), "")
  end
  local parts = flow { { "column", label.source }, { "is", made.is }, { "from", made.from } }
  out[#out + 1] = "label: {ctr: {" .. table.concat(parts, ", ") .. "}}"
end

-- The names of columns that the file does not name.
local function add_names(parts, columns)
  local names = names_of(columns)
  parts[#parts + 1] = ("columns: [%s]"):format(table.concat(names, ", "))
end

-- The part of the rows to be judged by where no file has them, and the least of its ones, of which
-- figures say something.
local HELD_BACK, ONES_HELD_BACK = 0.1, 10

-- Whether enough rows can be held back.
local function holds_back(guess, data)
  if data.valid then return false end
  local share = guess.label.made and guess.label.made.share or share_of_ones(guess.label)
  return HELD_BACK * guess.rows * math.min(share, 1 - share) >= ONES_HELD_BACK
end

--- The text of a fields file.
-- @tparam table guess  as of moonrank.guess
-- @tparam table data  of the file: root (nil: its own folder), train, valid, test
-- @treturn string
function M.fields(guess, data)
  local label = guess.label
  local out = { ("# Guessed by moonrank init from %s %s rows: a start, to be read and corrected.")
    :format(guess.whole and "all" or "a sample of",
    require "moonrank.progress".grouped(guess.rows)), "version: 1" }
  local named = text_format.of_name(data.train)
  local parts = flow { { "root", data.root }, { "train", data.train }, { "valid", data.valid },
    { "test", data.test }, { "split", holds_back(guess, data) and { valid = HELD_BACK } or nil },
    { "format", named ~= guess.format and guess.format or nil } }
  if holds_back(guess, data) then
    out[#out + 1] = comment(("no file beside it is called valid: %s %% of the %s are held back, by "
      .. "chance, to judge models by"):format(100 * HELD_BACK,
      guess.request and "requests" or "rows"), "")
  end
  if guess.numbered then
    out[#out + 1] = "# the first line is a row like others: columns are called by their places"
    parts[#parts + 1] = "header: false"
    add_names(parts, guess.columns)
  elseif guess.format == "pairs" then
    out[#out + 1] = "# cells before the pairs are called by their places"
    local leading = {}
    for _, column in ipairs(guess.columns) do
      if column.leads then leading[#leading + 1] = column end
    end
    add_names(parts, leading)
  end
  out[#out + 1] = wrapped("data: {", parts, "}", "  ")
  out[#out + 1] = "defaults: {dim: 16}"
  add_label(out, label)
  if guess.request then
    out[#out + 1] = "# consecutive rows with an equal value share all fields but the ad's"
    out[#out + 1] = line("request", guess.request.source)
  end
  if guess.group then
    out[#out + 1] = "# GAUC is the mean of the AUC of each"
    out[#out + 1] = line("group", guess.group.source)
  end
  out[#out + 1] = "fields:"
  local group
  for _, column in ipairs(guess.columns) do
    if column.role == "field" then
      if group and alike(group[1], column) then
        group[#group + 1] = column
      else
        if group then out[#out + 1] = field_entry(group) end
        group = { column }
      end
    end
  end
  out[#out + 1] = field_entry(group)
  if guess.sequences[1] then
    out[#out + 1] = "sequences:"
    for _, sequence in ipairs(guess.sequences) do out[#out + 1] = sequence_entry(sequence) end
  end
  out[#out + 1] = left_out(guess)
  return table.concat(out, "\n") .. "\n"
end

-- Samples per update: of few rows so many that there are some updates.
local function batch_of(guess)
  local batch = 1024
  while guess.whole and batch > 16 and guess.rows < 20 * batch do batch = batch / 2 end
  return batch
end

--- The text of a first experiment: logistic regression.
-- @tparam string fields  the name of the fields file
-- @tparam table guess  as of moonrank.guess
-- @treturn string
function M.experiment(fields, guess)
  return table.concat({
    "# A first experiment: logistic regression. Try --set model.script=dnn too.",
    line("fields", fields), "model: {script: lr}",
    ("train: {batch: %d, epochs: 1, seed: 1, optimizer: {adam: {lr: 0.01}}}"):format(
      batch_of(guess)), "" }, "\n")
end

return M
