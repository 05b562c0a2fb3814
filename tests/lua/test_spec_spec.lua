-- tools/test-spec: one spec file, and how it ended.
local helper = require "helper"

describe("tools/test-spec", function()
  -- What it prints of a spec with this body, stopped after so many seconds if that is given.
  local function run(body, seconds)
    local dir = helper.temp_dir()
    local path = helper.write(dir .. "/some_spec.lua", ([[
describe("some", function()
  it("test", function() %s end)
end)]]):format(body))
    local status, out, err = helper.shell(("sh tools/test-spec %s %s %s"):format(dir, path,
      seconds or ""))
    assert.same({ 0, "" }, { status, err })
    local counts = helper.read(("%s/%s.counts"):format(dir, (path:gsub("/", "."))))
    return (out:gsub(path, "SPEC")), counts
  end

  it("counts what passed", function()
    local out, counts = run("assert(true)", 600)
    assert.same({ "SPEC: 1 passed\n", "1 0 0\n" }, { out, counts })
  end)

  it("says that one ended before its last test", function()
    local out, counts = run("os.exit(3, true)", 600)
    assert.same({ "test: SPEC ended before its last test\nSPEC: 0 passed, 1 failed\n", "0 1 0\n" },
      { out, counts })
  end)

  -- As where a leak is reported, which is looked for last.
  it("says that one failed whose tests had passed", function()
    local at_end = "_G.kept = newproxy(true) getmetatable(_G.kept).__gc = function() %s end"
    local said = "test: SPEC %s, its tests being over\nSPEC: 1 passed, 1 failed\n"
    local out, counts = run(at_end:format [[
local ffi = require "ffi"
ffi.cdef "void _exit(int);"
ffi.C._exit(1)]], 600)
    assert.same({ said:format "ended with status 1", "1 1 0\n" },
      { out:match "test: .*", counts })
    out, counts = run(at_end:format "os.execute 'exec sleep 600'", 2)
    assert.same({ said:format "was stopped after 2 seconds", "1 1 0\n" },
      { out:match "test: .*", counts })
  end)

  it("stops one that hangs, and what that has started", function()
    local started = helper.temp_dir() .. "/started"
    local out, counts = run(("os.execute 'echo $$ >%s; exec sleep 600'"):format(started), 2)
    assert.same({ "test: SPEC was stopped after 2 seconds\nSPEC: 0 passed, 1 failed\n", "0 1 0\n" },
      { out, counts })
    -- On a busy machine it may not have come as far.
    if helper.exists(started) then
      local wait = "(for i in $(seq 600); do kill -0 %d || exit 0; sleep 0.1; done; exit 1)"
      assert.equal(0, (helper.shell(wait:format(tonumber(helper.read(started))))))
    end
  end)
end)
