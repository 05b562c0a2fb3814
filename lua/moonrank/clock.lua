--- What the process takes: elapsed time, processor time, memory.
-- @module moonrank.clock
local mr = require "moonrank.ffi"

local M = {}

--- Seconds on a clock that only goes forward.
-- @treturn number
function M.now() return mr.C.mr_seconds() end

--- Seconds of all processors together, of all threads, since the process began.
-- @treturn number
M.processor = os.clock

--- The most memory that the process has had at a time, pages of mapped files included.
-- @treturn ?number bytes; nil where the system does not tell
function M.peak_memory()
  local file = io.open("/proc/self/status", "r")
  local text = file and file:read "*a" or ""
  if file then file:close() end
  local kilobytes = text:match "VmHWM:%s*(%d+) kB"
  return kilobytes and 1024 * kilobytes
end

return M
