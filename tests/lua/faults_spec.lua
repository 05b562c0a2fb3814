-- A fault at every call to the file system that a training makes in its run folder: the process is
-- killed there, or the call fails with EIO or ENOSPC. What had been committed is still there, and
-- the run goes on to the same model, byte for byte. strace makes the faults.
--
-- Each call gets one kind of fault here, in turn; with MOONRANK_FAULTS=all (`make check`) each call
-- gets each kind, and the run from its beginning is gone through as well, and the reading of its
-- configuration and data, which the main thread and one that builds a cache take part in.
local helper = require "helper"
local lfs = require "lfs"

local ALL = os.getenv "MOONRANK_FAULTS" == "all"
local KINDS = { "KILL", "EIO", "ENOSPC" }
local REASONS = { EIO = "Input/output error", ENOSPC = "No space left on device" }

-- A name that an architecture lacks is skipped, by the question mark.
local CALLS = { "openat", "read", "pread64", "write", "pwrite64", "lseek", "fsync", "fdatasync",
  "close", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir", "unlink", "unlinkat",
  "ftruncate", "getdents64", "newfstatat", "fstat", "stat" }
-- A failure of these must end the command: what they do is what reading and saving is.
local NEVER_IGNORED = {}
for _, name in ipairs { "read", "pread64", "write", "pwrite64", "ftruncate", "fsync", "rename",
  "renameat", "renameat2", "mkdir", "mkdirat", "getdents64" } do NEVER_IGNORED[name] = true end

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

-- The watched paths of a line: of its file, or else those that it names (two of a renaming).
local function paths_of(line, watched)
  local paths, file = {}, line:match "^[%d ]*[%w_]+%(%d+<([^>]*)>"
  for path in (file and '"' .. file .. '"' or line):gmatch '"([^"]*)"' do
    if path:sub(1, #watched) == watched then paths[#paths + 1] = path end
  end
  return paths
end

-- Those that speak of the watched folder, in the order of time: { thread, name, paths, line,
-- committed (the newest checkpoint that had been reported before it) }; and the main thread.
local function calls_of(log, watched, out)
  local calls, main = {}, nil
  local renamed, committed = -1, -1
  for line in helper.read(log):gmatch "[^\n]+" do
    local thread, name = line:match "^(%d+) +([%w_]+)%("
    if thread then
      main = main or thread
      local paths = name == "execve" and {} or paths_of(line, watched)
      if #paths > 0 then
        calls[#calls + 1] = { thread = thread, name = name, paths = paths, line = line,
          committed = committed }
      end
      local step = name:find "^rename" and line:match '/step%-(%d+)"[^"]*$'
      if step then renamed = tonumber(step) end
      if name == "fsync" and line:find("<" .. out .. "/checkpoints>", 1, true) then
        committed = renamed
      end
    end
  end
  return calls, main, committed
end

-- strace counts the calls of each thread for itself, and of those that speak of certain paths if it
-- is told so. The how-manieth of its thread a call then is; nil if another thread has come as far
-- before it. (Those that come as far later fail, too, in a run that outlives the first fault.)
local function count_of(calls, i, paths, alone)
  local wanted, counts = calls[i], {}
  for k = 1, i do
    local call, counted = calls[k], false
    for _, path in ipairs(call.paths) do counted = counted or paths[path] end
    if call.name == wanted.name and counted and not (alone and call.thread ~= wanted.thread) then
      counts[call.thread] = (counts[call.thread] or 0) + 1
    end
  end
  for thread, count in pairs(counts) do
    if thread ~= wanted.thread and count >= counts[wanted.thread] then return nil end
  end
  return counts[wanted.thread]
end

-- The paths that tell a call of another thread from those of all others: its own, or else all that
-- its thread speaks of. Where the main thread has looked at the same file before, looking at it
-- (stat) and closing it after reading have none: a missing file, too, fails like the first, and
-- nothing depends on the second.
local function telling_paths(calls, i, of_thread)
  for _, paths in ipairs { calls[i].own, of_thread } do
    local count = count_of(calls, i, paths)
    if count then return paths, count end
  end
  local name = calls[i].name
  assert(name:find "stat" or name == "close", "not told from those before it: " .. calls[i].line)
end

-- The calls that strace can be told of, with `options` and `count`. For one of the main thread no
-- other is traced.
local function addressed(calls, main)
  local of_thread, found = {}, {}
  for _, call in ipairs(calls) do
    of_thread[call.thread] = of_thread[call.thread] or {}
    call.own = {}
    for _, path in ipairs(call.paths) do
      call.own[path], of_thread[call.thread][path] = true, true
    end
  end
  for i, call in ipairs(calls) do
    local paths = call.own
    if call.thread == main then
      call.count, call.options = count_of(calls, i, paths, "alone"), ""
    else
      paths, call.count = telling_paths(calls, i, of_thread[call.thread])
      call.options = "-f "
    end
    if call.count then
      for path in pairs(paths) do
        call.options = call.options .. "-P " .. helper.quote(path) .. " "
      end
      found[#found + 1] = call
    end
  end
  return found
end

local function traced(options, run)
  local log = base .. "/trace"
  local status, _, err = helper.shell(("strace -q -y -s 200 -o %s %s %s"):format(log, options,
    run))
  return status, err, log
end

local function baseline(job)
  job.prepare()
  local names = {}
  for i, name in ipairs(CALLS) do names[i] = "?" .. name end
  local status, err, log = traced("-f -e trace=" .. table.concat(names, ","), job.command)
  assert.same({ 0, "" }, { status, err })
  local calls, main, committed = calls_of(log, job.watched, job.out)
  assert.equal(2, committed)
  return addressed(calls, main)
end

-- ---- one fault ----

local function check_failure(call, kind, status, err, what)
  assert(err:find "^moonrank: [^\n]+\n$", what .. "\n" .. err)
  assert(not err:find "internal error", what .. "\n" .. err)
  assert(status == 1, what)
  assert(err:find(REASONS[kind], 1, true) or not NEVER_IGNORED[call.name], what .. "\n" .. err)
end

-- The call that the first fault was at; a line that another thread's interrupted is two.
local function struck(trace, kind)
  local last
  for line in trace:gmatch "[^\n]+" do
    if line:match "^[%d ]*[%w_]+%(" then last = line end
    if kind ~= "KILL" and line:find("(INJECTED)", 1, true) then
      local thread = line:match "^(%d+) +<%.%.%."
      return thread and trace:match("\n(" .. thread .. "[^\n]*<unfinished)") or line
    end
  end
  return last or ""
end

local function check_fault(job, call, kind)
  job.prepare()
  local how = kind == "KILL" and "signal=KILL" or "error=" .. kind
  local status, err, log = traced(("%s-e trace=%s -e inject=%s:%s:when=%d"):format(call.options,
    call.name, call.name, how, call.count), job.command)
  local what = ("%s at %s"):format(kind, call.line)
  local trace = helper.read(log)
  local at = struck(trace, kind)
  assert(at:find(call.name, 1, true), what .. ": another call: " .. trace)
  assert.same(call.paths, paths_of(at, job.watched), what .. ": another call: " .. trace)
  if kind == "KILL" then
    assert(status == 137 and trace:find "killed by SIGKILL", what)
  else
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
    reading.watched = project
  end)
  teardown(function() os.execute("rm -rf " .. base) end)

  it("leaves a run that goes on to the same model", function() sweep(resumed) end)

  it("ends with its reason where it is one of the thread that unpacks text", function()
    local project, random = make_project(), helper.random(7)
    -- Packed, it is read in at least four pieces: the first to know how it is packed, the others by
    -- that thread, whose second read is the only second one.
    helper.add_columns(project, "noise", function()
      local digits = {}
      for i = 1, 4000 do digits[i] = ("%08d"):format(random(10 ^ 8) - 1) end
      return table.concat(digits)
    end)
    local text = project .. "/train.csv.gz"
    assert.equal(0, (helper.shell("gzip " .. helper.quote(project .. "/train.csv"))))
    assert(lfs.attributes(text, "size") > 3 * 2 ^ 18)
    helper.write(project .. "/fields.yaml", (helper.read(project .. "/fields.yaml"):gsub(
      "train%.csv", "%0.gz")))
    local run = command(project, base .. "/packed")
    local status, err, log = traced(("-f -P %s -e trace=openat,read -e inject=read:error=EIO:when=2"
      ):format(helper.quote(text)), run)
    local trace = helper.read(log)
    local faulty = trace:match "(%d+) [^\n]*INJECTED"
    for opener in trace:gmatch "(%d+) +openat" do assert.not_equal(opener, faulty) end
    assert.same({ 1, ("moonrank: %s: Input/output error\n"):format(text) }, { status, err })
    assert.same({}, leftovers(project))
    assert.equal(0, (helper.shell(run)))
  end)

  if ALL then
    it("leaves a run from its beginning that goes on to the same model", function()
      sweep(whole)
    end)

    it("leaves data that is read again, whole", function() sweep(reading) end)
  end
end)
