--- What the process takes: elapsed time, processor time, memory; and how a time is written.
-- @module moonrank.clock
local mr = require "moonrank.ffi"

local M = {}

--- Seconds on a clock that only goes forward.
-- @treturn number
function M.now() return mr.C.mr_seconds() end

--- Seconds of all processors together, of all threads, since the process began.
-- @treturn number
M.processor = os.clock

--- A time as a date of ISO 8601, UTC.
-- @tparam number seconds  since 1970
-- @treturn ?string such as "2023-11-14T22:13:20Z"; nil where the year has not four digits
function M.date(seconds)
  if not (seconds >= -30610224000 and seconds < 253402300800) then return nil end
  return os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(seconds))
end

-- A figure of memory that the system gives by name.
local function status_of(name)
  local file = io.open("/proc/self/status", "r")
  local text = file and file:read "*a" or ""
  if file then file:close() end
  local kilobytes = text:match(name .. ":%s*(%d+) kB")
  return kilobytes and 1024 * kilobytes
end

--- Memory that the process has now, pages of mapped files included.
-- @treturn ?number bytes; nil where the system does not tell
function M.memory() return status_of "VmRSS" end

--- The part of it that is pages of mapped files: of code, and of data while it is open.
-- @treturn ?number bytes; nil where the system does not tell
function M.mapped_memory() return status_of "RssFile" end

--- The code that it has mapped, program and libraries: as much of it is in memory at most.
-- @treturn ?number bytes; nil where the system does not tell
function M.code_memory()
  local file = io.open("/proc/self/maps", "r")
  if not file then return nil end
  local sizes, is_code = {}, {}
  for line in file:lines() do
    local first, last, mode, path = line:match "^(%x+)%-(%x+) (%S+) %x+ %S+ %d+%s+(/.*)$"
    if path then
      sizes[path] = (sizes[path] or 0) + tonumber(last, 16) - tonumber(first, 16)
      is_code[path] = is_code[path] or mode:find "x" ~= nil
    end
  end
  file:close()
  local bytes = 0
  for path in pairs(is_code) do
    if is_code[path] then bytes = bytes + sizes[path] end
  end
  return bytes
end

--- The most that it has had at a time.
-- @treturn ?number bytes; nil where the system does not tell
function M.peak_memory() return status_of "VmHWM" end

return M
