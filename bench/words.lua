--- Words of a command line, for the programs of bench/: --name value, with defaults.
-- @module words
local M = {}

--- Read options; stops the program at one that is not known.
-- @tparam {string,...} words
-- @tparam table defaults  by name; a number's option takes a number, false is a flag
-- @treturn table
function M.parse(words, defaults)
  local given, i = {}, 1
  for name, value in pairs(defaults) do given[name] = value end
  while words[i] do
    local name = words[i]:match "^%-%-([%w-]+)$"
    name = name and name:gsub("-", "_")
    local preset = name and defaults[name]
    local value = words[i + 1]
    if type(preset) == "number" then value = tonumber(value) end
    if preset == nil or (preset ~= false and value == nil) then
      local names = {}
      for known in pairs(defaults) do names[#names + 1] = "--" .. known:gsub("_", "-") end
      table.sort(names)
      io.stderr:write(("bench: %s is no option with its value; there are %s\n"):format(words[i],
        table.concat(names, " ")))
      os.exit(2)
    end
    given[name] = preset == false or value
    i = i + (preset == false and 1 or 2)
  end
  return given
end

return M
