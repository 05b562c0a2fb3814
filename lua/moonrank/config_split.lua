--- How the files of `data.train` are split into training, validation and test data.
-- @module moonrank.config_split
local stop = require "moonrank.config_error".stop

local M = {}

local text_format = require "moonrank.text_format"

local COLUMN_OF = { time = "time", group = "group" }

local function check_cuts(split, data, context)
  local by_share, from = false, {}
  for _, name in ipairs { "valid", "test" } do
    local border = name .. "_from"
    if (split[name] or split[border]) and data[name] then
      stop(context.places["data." .. name], "data.%s names files, and data.split takes a part of "
        .. "data.train for it: give one of them", name)
    elseif split[border] and split.by ~= "time" then
      stop(context.places["data.split." .. border],
        "data.split.%s is for by: time, this split is by %s", border, split.by)
    end
    by_share = by_share or split[name] ~= nil
    if split[border] then from[#from + 1] = border end
  end
  if by_share and from[1] then
    stop(context.places["data.split." .. from[1]],
      "data.split.%s is a time, and another part is given as a share: give times or shares",
      from[1])
  elseif not by_share and not from[1] then
    stop(context.places["data.split"],
      "data.split takes no part: give valid, test or both, each a share of the rows")
  elseif (split.valid or 0) + (split.test or 0) >= 1 then
    stop(context.places["data.split.test"],
      "data.split.valid and data.split.test are %.10g together, which leaves nothing to train on",
      split.valid + split.test)
  elseif from[2] and split.valid_from >= split.test_from then
    stop(context.places["data.split.test_from"],
      "data.split.test_from is %.14g, expected a time after valid_from (%.14g)", split.test_from,
      split.valid_from)
  end
end

--- Check `data.split` and fill in what follows from other keys.
-- @tparam table values  a fields file that was held against the descriptions
-- @tparam table context  with places
function M.resolve(values, context)
  local split = values.data.split
  if not split then return end
  check_cuts(split, values.data, context)
  local key = COLUMN_OF[split.by]
  if key and not text_format.has_cells(values.data.format) and values.data.format ~= "jsonl" then
    stop(context.places["data.split.by"], "data.split.by is %s, and rows of %s, which have no "
      .. "columns with names, are split at random only", split.by, values.data.format)
  end
  if key then
    split.column = split.column or values[key]
    if not split.column then
      stop(context.places["data.split.by"] or context.places["data.split"],
        "data.split.by is %s, and neither data.split.column nor %s names the column", split.by, key)
    end
  elseif split.column then
    stop(context.places["data.split.column"], "data.split.column is for by: time and by: group, "
      .. "this split is by %s", split.by)
  end
  if split.by == "time" and split.seed then
    stop(context.places["data.split.seed"],
      "data.split.seed is for by: random and by: group, this split is by time")
  end
  if split.by ~= "time" then split.seed = split.seed or 1 end
end

--- Whether there is data of a name.
-- @tparam table values  a resolved fields configuration
-- @tparam string name  train, valid or test
-- @treturn boolean
function M.has(values, name)
  local split = values.data.split
  return values.data[name] ~= nil
    or split ~= nil and (split[name] ~= nil or split[name .. "_from"] ~= nil)
end

--- The data to judge a trained model on: test where there is some, else valid, else train.
-- @tparam table values  a resolved fields configuration
-- @treturn string
function M.to_judge(values)
  return M.has(values, "test") and "test" or M.has(values, "valid") and "valid" or "train"
end

local function by_of(split)
  local C = require "moonrank.ffi".C
  if split.by == "random" then return C.MR_BY_CHANCE end
  if split.by == "group" then return C.MR_BY_VALUE end
  return (split.valid_from or split.test_from) and C.MR_BY_TIME or C.MR_BY_TIME_SHARE
end

--- The rows of `data.train`'s files that a part has.
-- @tparam table values  a resolved fields configuration
-- @tparam string name  train, valid or test
-- @treturn ?table the fields of an mr_selection; nil: all rows of the files of that name
function M.selection(values, name)
  local split = values.data.split
  if not split or values.data[name] and name ~= "train" then return nil end
  local last = split.test_from or math.huge
  local ranges = { train = { -math.huge, split.valid_from or last },
    valid = { split.valid_from, last }, test = { last, math.huge } }
  if not split.valid_from and not split.test_from then
    local test = 1 - (split.test or 0)
    local valid = 1 - ((split.test or 0) + (split.valid or 0))
    ranges = { train = { 0, valid }, valid = { valid, test }, test = { test, 1 } }
  end
  return { by = by_of(split), column = split.column, seed = split.seed or 0,
    from = ranges[name][1], to = ranges[name][2] }
end

--- The rule, in words: "at random, whole requests, seed 1: valid 10 %, test 10 %".
-- @tparam table values  a resolved fields configuration
-- @treturn ?string nil where nothing is split
function M.describe(values)
  local split = values.data.split
  if not split then return nil end
  local parts = {}
  for _, name in ipairs { "valid", "test" } do
    local from = split[name .. "_from"]
    if split[name] then parts[#parts + 1] = ("%s %.10g %%"):format(name, 100 * split[name]) end
    if from then parts[#parts + 1] = ("%s from %.14g"):format(name, from) end
  end
  local rule = split.by == "random" and "at random" or ("by %s %s"):format(split.by, split.column)
  if values.request then rule = rule .. ", whole requests" end
  if split.seed then rule = ("%s, seed %d"):format(rule, split.seed) end
  return rule .. ": " .. table.concat(parts, ", ")
end

return M
