--- The engine's threads.
-- @classmod moonrank.Pool
local mr = require "moonrank.ffi"
local C = mr.C

local Pool = {}
Pool.__index = Pool

--- CPUs that this process may use, at least 1.
-- @treturn integer
function Pool.cpus()
  local file = io.open "/proc/self/status"
  local text = file and file:read "*a" or ""
  if file then file:close() end
  local count = 0
  for first, last in (text:match "Cpus_allowed_list:%s*([%d,-]+)" or "0"):gmatch "(%d+)%-?(%d*)" do
    count = count + (last ~= "" and tonumber(last) - tonumber(first) or 0) + 1
  end
  return math.min(count, 256)
end

--- Start threads.
-- @param[opt="auto"] threads  1 to 256, the caller's own included; "auto": one per CPU
-- @treturn Pool
-- @raise when the number is wrong or no thread can be started
function Pool.new(threads)
  if threads == nil or threads == "auto" then threads = Pool.cpus() end
  if type(threads) ~= "number" or threads % 1 ~= 0 then
    error(('threads is %s, expected "auto" or a whole number 1 to 256'):format(tostring(threads)),
      2)
  end
  local out = mr.new "mr_pool *[1]"
  mr.check(C.mr_pool_new(out, threads))
  return setmetatable({ handle = mr.gc(out[0], C.mr_pool_free), threads = threads }, Pool)
end

--- End the threads now. May be called twice.
function Pool:close()
  if self.handle then
    C.mr_pool_free(mr.gc(self.handle, nil))
    self.handle = nil
  end
end

return Pool
