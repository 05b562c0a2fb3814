--- Ctrl-C: LuaJIT raises it as an error, wherever Lua code runs.
-- @module moonrank.interrupt
local M = {}

--- Whether what was raised is Ctrl-C.
-- @param err
-- @treturn boolean
function M.is(err)
  return type(err) == "string" and (err:find "interrupted!$"
    or err:find("interrupted!\noriginal stack traceback:", 1, true)) ~= nil -- of argparse
end

local function pass(ok, err, ...)
  if not ok and M.is(err) then error(err, 0) end
  return ok, err, ...
end

--- Lua's pcall, for those who take what is raised for a trouble of their own: Ctrl-C goes on.
-- @tparam function f
-- @param ... its arguments
-- @return as of pcall
-- @raise at Ctrl-C
function M.pcall(f, ...) return pass(pcall(f, ...)) end

return M
