--- Programs that run beside this one, some at a time.
-- @module moonrank.processes
local clock = require "moonrank.clock"
local mr = require "moonrank.ffi"
local C = mr.C

local M = {}

local NAP_SECONDS = 0.05

--- Start a program: mr_process_start.
-- @tparam {string,...} words
-- @tparam string output  the file that what it prints is added to
-- @treturn ?cdata its number
-- @treturn ?string what is wrong
function M.start(words, output)
  local list, pid = mr.new("const char *[?]", #words + 1), mr.new "int64_t[1]"
  for i, word in ipairs(words) do list[i - 1] = word end
  local ok, message = mr.ok(C.mr_process_start(pid, list, output))
  if not ok then return nil, message end
  return pid[0]
end

-- The status of a program that has ended, nil of one that has not.
local function status_of(pid, seconds)
  local status = mr.new "int32_t[1]"
  local code = C.mr_process_wait(pid, seconds, status)
  mr.check(code)
  return code == C.MR_OK and status[0] or nil
end

-- Tell those that have ended to `done` and take them off the list.
local function reap(running, done)
  for i = #running, 1, -1 do
    local status = status_of(running[i].pid, i == 1 and NAP_SECONDS or 0)
    if status then
      local job = table.remove(running, i).job
      done(job, status)
    end
  end
end

--- Run jobs, some at a time, in their order. After a signal (mr_signals_catch) no more is started,
-- those that run are told to stop, and are waited for.
-- @tparam table jobs  a list
-- @tparam integer most  at a time
-- @tparam function start  start(job) gives its number, as M.start does
-- @tparam function done  done(job, status) is called when it has ended: 0 to 255, or minus the
-- signal that ended it
-- @tparam[opt] function meanwhile  meanwhile(jobs) is called every second with those that run
-- @treturn ?boolean whether all were started and none was told to stop
-- @treturn ?string what is wrong, where one cannot be started; the others have ended then
function M.run(jobs, most, start, done, meanwhile)
  local running, next_job, stopped, trouble, last = {}, 1, false, nil, clock.now()
  while #running > 0 or next_job <= #jobs and not stopped do
    if not stopped and (C.mr_signals_seen() > 0 or trouble) then
      stopped = true
      for _, one in ipairs(running) do mr.check(C.mr_process_stop(one.pid)) end
    end
    while not stopped and #running < most and next_job <= #jobs do
      local one = { job = jobs[next_job] }
      one.pid, trouble = start(one.job)
      if not one.pid then break end
      running[#running + 1], next_job = one, next_job + 1
    end
    if #running > 0 then reap(running, done) elseif trouble then break end
    if meanwhile and #running > 0 and clock.now() >= last + 1 then
      last = clock.now()
      local list = {}
      for i, one in ipairs(running) do list[i] = one.job end
      meanwhile(list)
    end
  end
  if trouble then return nil, trouble end
  return not stopped
end

return M
