--- How the rows of the data came about, in words: by which rule they were split and sampled, so
-- that it stands beside each result. `data.rules` has the words, or names the file that they are
-- in, which moonrank.prepare writes.
-- @module moonrank.data_rules
local config_split = require "moonrank.config_split"
local path_of = require "moonrank.path"
local read_file = require "moonrank.read_file"

local M = {}

--- The file that moonrank.prepare writes beside the rows.
M.FILE = "rules.txt"

local MOST_BYTES = 4096

-- Lines of text for people: what a terminal would take for a command is none.
local function lines_of(text)
  if text:find "[%z\1-\8\11-\12\14-\31\127]" then return nil, "it is not text" end
  local lines = {}
  for line in text:gmatch "[^\r\n]+" do lines[#lines + 1] = line end
  return lines
end

local function read(path)
  local text, message = read_file(path, MOST_BYTES + 1)
  if not text then return nil, message end
  if #text > MOST_BYTES then
    return nil, ("%s: larger than %d bytes"):format(path, MOST_BYTES)
  end
  local lines
  lines, message = lines_of(text)
  if not lines then return nil, ("%s: %s"):format(path, message) end
  return lines
end

--- The lines of `data.rules`.
-- @tparam table values  a resolved fields configuration
-- @tparam[opt] table places  of its values, for messages
-- @treturn ?{string,...} none where there is no such key
-- @treturn ?string what is wrong
function M.lines(values, places)
  local rules = values.data.rules
  if not rules then return {} end
  local lines, message
  if type(rules) == "table" then
    lines, message = lines_of(table.concat(rules, "\n"))
  else
    lines, message = read(path_of.join(values.data.root, rules))
  end
  if lines then return lines end
  local place = places and places["data.rules"]
  return nil, ("%sdata.rules: %s"):format(place and place .. ": " or "", message)
end

--- What stands beside results: the rule of `data.split`, where there is one, and the lines of
-- `data.rules`.
-- @tparam table values  a resolved fields configuration
-- @tparam[opt] table places  of its values, for messages
-- @treturn ?{string,...} none where there is neither
-- @treturn ?string what is wrong
function M.with_split(values, places)
  local lines, message = M.lines(values, places)
  if not lines then return nil, message end
  local split = config_split.describe(values)
  if split then table.insert(lines, 1, "split  " .. split) end
  return lines
end

return M
