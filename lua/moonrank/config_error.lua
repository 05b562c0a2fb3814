--- What is wrong with a configuration: raised where it is found, caught by what reads the file.
-- @module moonrank.config_error
local M = {}

--- Raise what is wrong. What a file says may hold anything; the message stays one line.
-- @tparam string where  the place: file, line and column, or an option
-- @param ... as for string.format
function M.stop(where, ...)
  error({ config = (where .. ": " .. string.format(...)):gsub("%c", " ") }, 0)
end

--- Call a function and hand on what it gives, or nil and what was wrong.
-- @tparam function f
-- @param ... its arguments
-- @return what f returns
-- @treturn string what is wrong, where the first is nil
function M.caught(f, ...)
  local results = { pcall(f, ...) }
  if results[1] then return unpack(results, 2) end
  local err = results[2]
  if type(err) == "table" and err.config then return nil, err.config end
  error(err, 0)
end

return M
