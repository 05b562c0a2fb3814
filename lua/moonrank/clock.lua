--- Elapsed time.
-- @module moonrank.clock
local mr = require "moonrank.ffi"

local M = {}

--- Seconds on a clock that only goes forward.
-- @treturn number
function M.now() return mr.C.mr_seconds() end

return M
