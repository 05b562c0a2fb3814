-- Ctrl-C while a cache whose rows were all read was completed, or waited for another process that
-- builds it, was obeyed when that had ended.
local helper = require "helper"

local function project()
  local dir = helper.make_project { rows = 60 }
  return dir, dir .. "/.moonrank-cache"
end

describe("Ctrl-C while a cache is completed", function()
  if not helper.can_trace() then
    pending "strace does not work here"
    return
  end

  -- What a thread calls for so few rows: pwrite64 of the records and of four columns, pread64 and
  -- pwrite64 of each of these, pwrite64 of all that completes the file, ftruncate to its size,
  -- sync_file_range, fsync, rename. Others call pread64 twice, to look at the text.
  local CASES = {
    { "while its parts are put together", at = "pread64", count = 3, delayed = "pwrite64",
      delayed_count = 8, never = { "ftruncate", "fsync", "rename" } },
    { "before the disk is waited for", at = "pwrite64", count = 4, delayed = "ftruncate",
      delayed_count = 1, never = { "fsync", "rename" } },
    { "when the disk has it", at = "ftruncate", count = 1, delayed = "fsync", delayed_count = 1,
      never = { "rename" } },
  }

  for _, case in ipairs(CASES) do
    it("ends the command at once, and leaves none: " .. case[1], function()
      local dir, cache = project()
      -- A signal on entering one call, and another call that takes two seconds, by when the command
      -- has seen the signal.
      local status, out, err = helper.shell(("strace -f -o %s/log "
        .. "-e trace=pread64,pwrite64,ftruncate,fsync,rename "
        .. "-e inject=%s:signal=INT:when=%d -e inject=%s:delay_enter=2000000:when=%d "
        .. "luajit moonrank train %s/lr.yaml --quiet --threads 1 --out %s/run"):format(
        helper.quote(dir), case.at, case.count, case.delayed, case.delayed_count,
        helper.quote(dir), helper.quote(dir)))
      assert.same({ 130, "", "moonrank: interrupted\n" }, { status, out, err })
      local log = helper.read(dir .. "/log")
      assert.truthy(log:find "SIGINT")
      for _, call in ipairs(case.never) do assert.is_nil(log:find(call .. "(", 1, true), log) end
      local _, files = helper.shell("ls -A " .. helper.quote(cache))
      assert.truthy(files:find "^train%-%x+%.columns%.lock\n$", files)
    end)
  end
end)

describe("Ctrl-C while another process builds the cache", function()
  it("ends the command at once", function()
    local dir = project()
    assert.equal(0, (helper.run(("train %s/lr.yaml --quiet --out %s/run"):format(dir, dir))))
    -- The data is another, so that there is a cache to build; and somebody has its lock.
    local status, out, err = helper.shell(([[
tail -n 1 %s/train.csv >>%s/train.csv
flock %s/.moonrank-cache/train-*.lock sh -c '>%s/held; exec sleep 60' & holder=$!
until [ -e %s/held ]; do sleep 0.01; done
./moonrank train %s/lr.yaml --quiet --out %s/other & run=$!
until ls -l /proc/$run/fd | grep -q 'columns.lock$' || ! kill -0 $run
do sleep 0.01; done 2>/dev/null
kill -INT $run
wait $run
status=$?
kill $holder && (exit $status)]]):gsub("%%s", dir))
    assert.same({ 130, "", "moonrank: interrupted\n" }, { status, out, err })
  end)
end)
