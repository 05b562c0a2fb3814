-- A fault at every call to the file system that a training makes in its run folder: the process is
-- killed there, or the call fails with EIO or ENOSPC. What had been committed is still there, and
-- the run goes on to the same model, byte for byte. strace makes the faults.
--
-- Each call gets one kind of fault here, in turn; with MOONRANK_FAULTS=all (`make check`) each call
-- gets each kind, and the run from its beginning is gone through as well.
local helper = require "helper"
local lfs = require "lfs"

local ALL = os.getenv "MOONRANK_FAULTS" == "all"
local KINDS = { "KILL", "EIO", "ENOSPC" }
local REASONS = { EIO = "Input/output error", ENOSPC = "No space left on device" }

-- A name that an architecture lacks is skipped, by the question mark.
local CALLS = { "openat", "read", "pread64", "write", "pwrite64", "lseek", "fsync", "fdatasync",
  "close", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat",
  "ftruncate", "getdents64", "newfstatat", "fstat", "stat" }
-- A failure of these must end the command: what they do is what saving is.
local NEVER_IGNORED = { write = true, fsync = true, rename = true, renameat = true,
  renameat2 = true, mkdir = true, mkdirat = true, getdents64 = true }

local works = helper.can_trace()
if ALL then assert(works, "strace does not work here") end

-- Memory where there is any: a sync then costs nothing, and faults are strace's.
local base
local function work_folder()
  if lfs.attributes("/dev/shm", "mode") ~= "directory" then return helper.temp_dir() end
  local _, out = helper.shell "mktemp -d /dev/shm/moonrank-faults-XXXXXX"
  return (out:gsub("\n", ""))
end

-- Two epochs of one step with everything that saves: best models, a checkpoint after each epoch
-- (and, with MOONRANK_FAULTS, one after its step, which is replaced then), older ones removed.
local function make_project()
  local dir = helper.make_project { rows = 64, users = 6, ads = 6 }
  helper.write(dir .. "/faults.yaml", ([[
fields: fields.yaml
model: {script: dnn, hidden: [4], batch_norm: true, dropout: 0.3}
train:
  batch: 64
  epochs: 2
  threads: 1
  optimizer: {adam: {lr: 0.02}}
  checkpoint: {steps: %d, keep: 1}
]]):format(ALL and 1 or 100))
  return dir
end

local function command(project, out, more)
  return ("luajit moonrank train %s --quiet --out %s %s"):format(
    helper.quote(project .. "/faults.yaml"), helper.quote(out), more or "")
end

-- Everything in a folder, and in the folders in it.
local function entries(folder, found)
  found = found or {}
  for name in lfs.dir(folder) do
    if name ~= "." and name ~= ".." then
      local path = folder .. "/" .. name
      found[#found + 1] = path
      if lfs.attributes(path, "mode") == "directory" then entries(path, found) end
    end
  end
  return found
end

local function leftovers(folder)
  local left = {}
  if not helper.exists(folder) then return left end
  for _, path in ipairs(entries(folder)) do
    if path:find "%.tmp$" or path:find "%.tmp/" then left[#left + 1] = path end
  end
  return left
end

local function newest_step(out)
  local newest = -1
  if not helper.exists(out .. "/checkpoints") then return newest end
  for name in lfs.dir(out .. "/checkpoints") do
    newest = math.max(newest, tonumber(name:match "^step%-(%d+)$") or -1)
  end
  return newest
end

-- ---- the calls of a run ----

-- Those of the main thread that speak of the watched folder: { name, count (its how-manieth call of
-- that name), line, committed (the newest checkpoint that had been reported before it) }.
local function calls_of(log, watched, out)
  local calls, counts, main = {}, {}, nil
  local renamed, committed = -1, -1
  for line in helper.read(log):gmatch "[^\n]+" do
    local thread, name = line:match "^(%d+) +([%w_]+)%("
    if thread then
      main = main or thread
      local speaks = line:find(watched, 1, true) ~= nil and name ~= "execve"
      assert(thread == main or not speaks, "another thread: " .. line)
      if thread == main then
        counts[name] = (counts[name] or 0) + 1
        if speaks then
          calls[#calls + 1] = { name = name, count = counts[name], line = line,
            committed = committed }
        end
        local step = name:find "^rename" and line:match '/step%-(%d+)"[^"]*$'
        if step then renamed = tonumber(step) end
        if name == "fsync" and line:find("<" .. out .. "/checkpoints>", 1, true) then
          committed = renamed
        end
      end
    end
  end
  return calls, committed
end

local function traced(trace, run)
  local log = base .. "/trace"
  -- With --seccomp-bpf, which spares the calls that are not asked for, no signal is sent.
  local quick = trace:find "signal" and "" or "--seccomp-bpf"
  local status, _, err = helper.shell(("strace -f %s -y -s 200 -o %s %s %s"):format(quick, log,
    trace, run))
  return status, err, log
end

local function baseline(job)
  job.prepare()
  local names = {}
  for i, name in ipairs(CALLS) do names[i] = "?" .. name end
  local status, err, log = traced("-e trace=" .. table.concat(names, ","), job.command)
  assert.same({ 0, "" }, { status, err })
  local calls, committed = calls_of(log, job.watched, job.out)
  assert.equal(2, committed)
  return calls
end

-- ---- one fault ----

local function check_failure(call, kind, status, err, what)
  assert(err:find "^moonrank: [^\n]+\n$", what .. "\n" .. err)
  assert(not err:find "internal error", what .. "\n" .. err)
  assert(status == 1, what)
  assert(err:find(REASONS[kind], 1, true) or not NEVER_IGNORED[call.name], what .. "\n" .. err)
end

-- The call that failed; a line that another thread's interrupted is two.
local function injected_at(trace)
  local before, line = ("\n" .. trace):match "^(.*)\n([^\n]*%(INJECTED%))"
  if line and line:find("resumed>", 1, true) then
    line = before:match("^.*\n(" .. line:match "^%d+" .. "[^\n]*<unfinished)")
  end
  return line or ""
end

local function check_fault(job, call, kind)
  job.prepare()
  local how = kind == "KILL" and "signal=KILL" or "error=" .. kind
  local status, err, log = traced(("-e trace=%s -e inject=%s:%s:when=%d"):format(call.name,
    call.name, how, call.count), job.command)
  local what = ("%s at %s"):format(kind, call.line)
  local trace = helper.read(log)
  if kind == "KILL" then
    assert(status == 137 and trace:find "killed by SIGKILL", what)
  else
    assert(injected_at(trace):find(job.watched, 1, true), what .. ": injected elsewhere: " .. trace)
    if status ~= 0 or NEVER_IGNORED[call.name] then
      check_failure(call, kind, status, err, what)
    end
    if NEVER_IGNORED[call.name] and call.name ~= "getdents64" or call.line:find "O_CREAT" then
      assert.same({}, leftovers(job.watched), what)
    end
  end
  assert(newest_step(job.out) >= call.committed, what .. ": a commit is lost")
  if status ~= 0 then
    local again, _, complaint = helper.shell(command(job.project, job.out, "--resume"))
    assert(again == 0 and complaint == "", what .. ", resumed: " .. complaint)
  end
  assert(helper.read(job.out .. "/model.mr") == job.model, what .. ": another model")
  assert.same(job.figures, helper.figures(job.out), what)
  assert.same({}, leftovers(job.out), what .. ", resumed")
  assert.same({}, leftovers(job.watched), what .. ", resumed")
end

local function sweep(job)
  local calls, faults = baseline(job), 0
  for i, call in ipairs(calls) do
    for k, kind in ipairs(KINDS) do
      if ALL or i % #KINDS == k - 1 then
        check_fault(job, call, kind)
        faults = faults + 1
      end
    end
  end
  if ALL then print(("%s: %d calls, %d faults"):format(job.name, #calls, faults)) end
  assert(#calls > 50)
end

describe("a fault while a run saves", function()
  if not works then
    it("leaves a run that goes on to the same model", function()
      pending "nothing can be traced here"
    end)
    return
  end

  local whole, resumed, reading
  setup(function()
    base = work_folder()
    local project, out = make_project(), base .. "/run"
    assert.equal(0, (helper.shell(command(project, base .. "/half", "--stop-after 1"))))
    assert.equal(0, (helper.shell(command(project, base .. "/whole"))))
    local function clean() os.execute("rm -rf " .. out) end
    local expected = { project = project, out = out, watched = out,
      model = helper.read(base .. "/whole/model.mr"), figures = helper.figures(base .. "/whole") }
    local function job(name, more, prepare)
      return setmetatable({ name = name, command = command(project, out, more),
        prepare = function() clean() prepare() end }, { __index = expected })
    end
    whole = job("from the beginning", "", function() end)
    resumed = job("resumed", "--resume", function()
      os.execute(("cp -r %s/half %s"):format(base, out))
    end)
    local cache = project .. "/.moonrank-cache"
    reading = job("reading data", "", function() os.execute("rm -rf " .. cache) end)
    reading.watched = cache
  end)
  teardown(function() os.execute("rm -rf " .. base) end)

  it("leaves a run that goes on to the same model", function() sweep(resumed) end)

  if ALL then
    it("leaves a run from its beginning that goes on to the same model", function()
      sweep(whole)
    end)

    it("leaves data that is read again, whole", function() sweep(reading) end)
  end
end)
