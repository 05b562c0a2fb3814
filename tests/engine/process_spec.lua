-- Programs that are started, waited for and stopped, and locks that they share.
local helper = require "helper"
local mr = require "moonrank.ffi"
local C = mr.C

local function start(words, output)
  local list, pid = mr.new("const char *[?]", #words + 1), mr.new "int64_t[1]"
  for i, word in ipairs(words) do list[i - 1] = word end
  return C.mr_process_start(pid, list, output or "/dev/null"), pid[0]
end

-- Its status, or nil where it runs on.
local function wait(pid, seconds)
  local status = mr.new "int32_t[1]"
  local code = C.mr_process_wait(pid, seconds or 60, status)
  assert.is_true(code >= 0, mr.last_error())
  return code == C.MR_OK and status[0] or nil
end

local function lock(path)
  local out = mr.new "int32_t[1]"
  return C.mr_lock_take(out, path), out[0]
end

-- Whether a process is there.
local function runs(pid) return os.execute(("kill -0 %s 2>/dev/null"):format(pid)) == 0 end

describe("a program", function()
  it("gets its words, reads nothing, and adds what it prints to a file", function()
    local output = helper.write(helper.temp_dir() .. "/out", "before\n")
    local code, pid = start({ "sh", "-c", 'cat; echo "<$1>"; echo wrong >&2; exit 3', "sh",
      "two words; 'and' \"more\"" }, output)
    assert.equal(C.MR_OK, code)
    assert.equal(3, wait(pid))
    assert.equal("before\n<two words; 'and' \"more\">\nwrong\n", helper.read(output))
  end)

  it("is waited for as long as is said", function()
    local _, pid = start { "sleep", "60" }
    local before = C.mr_seconds()
    assert.is_nil(wait(pid, 0.05))
    assert.is_nil(wait(pid, 0))
    local took = C.mr_seconds() - before
    assert.is_true(took >= 0.05 and took < 20)
    assert.equal(C.MR_OK, C.mr_process_stop(pid))
    assert.equal(-15, wait(pid))
  end)

  it("is in a group of its own, where the terminal's signals do not come", function()
    local output = helper.temp_dir() .. "/out"
    local _, pid = start({ "sh", "-c", "cut -d ' ' -f 5 /proc/$$/stat" }, output)
    assert.equal(0, wait(pid))
    assert.equal(tonumber(pid), tonumber(helper.read(output)))
  end)

  it("that cannot be started is said", function()
    local code = start { "/no/such/program" }
    assert.equal(C.MR_ESYSTEM, code)
    assert.equal("/no/such/program cannot be started: No such file or directory", mr.last_error())
    code = start({ "true" }, "/no/such/folder/out")
    assert.equal(C.MR_EIO, code)
    assert.equal("/no/such/folder/out: No such file or directory", mr.last_error())
    assert.equal(C.MR_EINVAL, (start {}))
    assert.equal("there is no program to start", mr.last_error())
    assert.equal(C.MR_EINVAL, C.mr_process_stop(0))
    assert.equal("process 0 is none", mr.last_error())
    local status = mr.new "int32_t[1]"
    assert.equal(C.MR_ESYSTEM, C.mr_process_wait(1, 0, status)) -- not one of ours
    assert.equal("process 1: No child processes", mr.last_error())
  end)

  -- A parent that starts a child, writes its number down, and is killed.
  local function killed_parent(ignores)
    local dir = helper.temp_dir()
    helper.write(dir .. "/parent.lua", ([[
package.path = %q
local mr = require "moonrank.ffi"
local words, pid = mr.new("const char *[4]"), mr.new "int64_t[1]"
words[0], words[1], words[2] = "sh", "-c", %q
local lock = mr.new "int32_t[1]"
assert(mr.C.mr_lock_take(lock, "%s/lock") == 0)
assert(mr.C.mr_process_start(pid, words, "/dev/null") == 0)
while not io.open("%s/ready") do end
io.open("%s/pid", "w"):write(tostring(pid[0]):match "%%d+"):close()
os.execute("kill -9 $PPID")
]]):format(package.path, ("%s touch %s/ready; sleep 60 & wait; wait"):format(
      ignores and "trap '' TERM;" or "", dir), dir, dir, dir))
    helper.shell(("luajit %s/parent.lua"):format(dir))
    return dir, helper.read(dir .. "/pid")
  end

  it("ends when the one who started it is killed", function()
    local dir, pid = killed_parent(false)
    local until_when = C.mr_seconds() + 60
    while runs(pid) and C.mr_seconds() < until_when do os.execute "sleep 0.02" end
    assert.is_false(runs(pid))
    assert.is_true(helper.exists(dir .. "/lock"))
  end)

  it("holds the lock of the one who started it until it has ended", function()
    local dir, pid = killed_parent(true)
    assert.is_true(runs(pid))
    assert.equal(C.MR_END, (lock(dir .. "/lock")))
    os.execute(("pkill -9 -P %s; kill -9 %s"):format(pid, pid))
    local until_when = C.mr_seconds() + 60
    local code, held = lock(dir .. "/lock")
    while code == C.MR_END and C.mr_seconds() < until_when do
      os.execute "sleep 0.02"
      code, held = lock(dir .. "/lock")
    end
    assert.equal(C.MR_OK, code)
    C.mr_lock_release(held)
  end)
end)

describe("a lock", function()
  it("has one holder, until it is released", function()
    local path = helper.temp_dir() .. "/lock"
    local code, first = lock(path)
    assert.equal(C.MR_OK, code)
    local busy, none = lock(path)
    assert.same({ C.MR_END, -1 }, { busy, none })
    C.mr_lock_release(first)
    local again, second = lock(path)
    assert.equal(C.MR_OK, again)
    C.mr_lock_release(second)
    C.mr_lock_release(-1)
  end)

  it("that cannot be made is said", function()
    assert.equal(C.MR_EIO, (lock "/no/such/folder/lock"))
    assert.equal("/no/such/folder/lock: No such file or directory", mr.last_error())
  end)
end)
