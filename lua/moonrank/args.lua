--- Arguments of sub-commands, on argparse: one line for what is wrong, exit status 2.
-- @module moonrank.args
local cli = require "moonrank.cli"

local M = {}

--- A parser of a sub-command's words.
-- @tparam string name  of the sub-command
-- @tparam string summary  one line
-- @tparam string epilog  more about it, for `moonrank help NAME`
-- @return an argparse parser
function M.parser(name, summary, epilog)
  return require "argparse"("moonrank " .. name, summary, epilog):add_help(false)
    :help_max_width(100):usage_max_width(100)
end

--- What `moonrank help NAME` prints.
-- @treturn string
function M.help(parser) return (parser:get_help():gsub("^Usage", "usage")) end

--- Add the option --set, which every command that reads configuration takes.
function M.add_set(parser)
  parser:option("--set", "override a configuration key, such as data.root=FOLDER")
    :argname "KEY=VALUE":count "*"
  return parser
end

--- Put the settings of --set behind the words of a command.
-- @tparam {string,...} words  which it changes
-- @tparam ?{string,...} settings  KEY=VALUE
-- @treturn {string,...} words
function M.with_set(words, settings)
  for _, setting in ipairs(settings or {}) do
    words[#words + 1], words[#words + 2] = "--set", setting
  end
  return words
end

-- An empty word is a variable of a shell that was not set; as a path it would be the root, or none.
local function refuse_empty(words, name)
  for i, word in ipairs(words) do
    local option = word:match "^(%-%-[%w-]+)=$"
    if word == "" or option then
      local what = option or i > 1 and ('the argument behind "%s"'):format(words[i - 1])
        or "the first argument"
      cli.usage_error("%s is empty; try: moonrank help %s", what, name)
    end
  end
end

--- The words as a table; wrong usage stops the command.
-- @param parser
-- @tparam {string,...} words
-- @treturn table
function M.parse(parser, words)
  local name = parser:get_usage():match "moonrank (%S+)"
  refuse_empty(words, name)
  local ok, result = parser:pparse(words)
  if ok then return result end
  local message = tostring(result):gsub("\nDid you mean '(.-)'%?", '; did you mean "%1"?')
  message = message:gsub("'", '"'):gsub("\n.*", "")
  cli.usage_error("%s; try: moonrank help %s", message, name)
end

--- A whole number given as an option's text; wrong usage if it is none.
function M.whole(option, text, least, most)
  if text == nil then return nil end
  local number = tonumber(text)
  if not number or number % 1 ~= 0 or number < least or number > most then
    cli.usage_error('%s is "%s", expected a whole number %d to %d', option, text, least, most)
  end
  return number
end

return M
