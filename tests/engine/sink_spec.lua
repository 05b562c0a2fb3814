-- Files that are there whole or not at all: engine/src/io/sink.c and lua/moonrank/sink.lua.
local helper = require "helper"
local lfs = require "lfs"
local mr = require "moonrank.ffi"
local Sink = require "moonrank.sink"

local dir
before_each(function() dir = helper.temp_dir() end)

local function unpacked(path)
  local status, out = helper.shell("zstd -dc " .. helper.quote(path))
  assert.equal(0, status)
  return out
end

local function write_all(path, ...)
  local sink = assert(Sink.open(path))
  for _, text in ipairs { ... } do assert(sink:write(text)) end
  assert(sink:close())
  return helper.read(path)
end

describe("a file that is written", function()
  it("holds the text when it is closed, and not before", function()
    local path = dir .. "/a.txt"
    helper.write(path, "older")
    local sink = assert(Sink.open(path))
    assert(sink:write "new\n")
    assert(sink:write "")
    assert(sink:write "text\0\n")
    assert.equal("older", helper.read(path))
    assert.is_true(sink:close())
    assert.equal("new\ntext\0\n", helper.read(path))
    assert.is_false(helper.exists(path .. ".tmp"))
  end)

  it("is a zstd frame when its name says so", function()
    local text = ("the same line again and again\n"):rep(100000)
    local packed = write_all(dir .. "/a.zst", text)
    assert.equal(text, unpacked(dir .. "/a.zst"))
    assert.is_true(#packed < #text / 100)
    assert.equal("", write_all(dir .. "/empty.txt"))
    write_all(dir .. "/empty.zst")
    assert.equal("", unpacked(dir .. "/empty.zst"))
  end)

  it("has bytes that do not depend on how the text was cut", function()
    local random, parts = helper.random(1), {}
    for i = 1, 40000 do parts[i] = ("%d\t%d\n"):format(i, random(1000)) end
    for _, name in ipairs { "/a.txt", "/a.zst" } do
      local whole = write_all(dir .. name, table.concat(parts))
      assert.is_true(whole == write_all(dir .. name, table.concat(parts, "", 1, 20000),
        table.concat(parts, "", 20001, 39000), unpack(parts, 39001)))
    end
  end)

  it("leaves nothing when it is given up, and may be given up twice", function()
    local path = dir .. "/a.zst"
    local sink = assert(Sink.open(path))
    assert(sink:write "text")
    sink:abort()
    sink:abort()
    assert.is_false(helper.exists(path))
    assert.is_false(helper.exists(path .. ".tmp"))
    helper.raises("the file " .. path .. " is closed already", sink.write, sink, "more")
    helper.raises("the file " .. path .. " is closed already", sink.close, sink)
  end)

  it("is given up when it is forgotten", function()
    local path = dir .. "/a.txt"
    assert(Sink.open(path))
    collectgarbage()
    collectgarbage()
    assert.is_false(helper.exists(path .. ".tmp"))
  end)
end)

describe("a file that cannot be written", function()
  it("says why", function()
    helper.fails_with(dir .. "/no/a.txt.tmp: cannot be created: No such file or directory",
      Sink.open(dir .. "/no/a.txt"))
    helper.fails_with("the path of a file to write is empty", Sink.open "")
    helper.raises("bad argument #1 to 'sink.open' (path expected, got nil)", Sink.open)
  end)

  it("fails when the disk is full, and stays failed", function()
    if not helper.exists "/dev/full" then return pending "there is no /dev/full" end
    local path = dir .. "/a.txt"
    local full = path .. ".tmp: cannot be written: No space left on device"
    assert(lfs.link("/dev/full", path .. ".tmp", true))
    local sink = assert(Sink.open(path))
    assert(sink:write "short texts wait in a buffer")
    helper.fails_with(full, sink:close())
    assert.is_nil(lfs.symlinkattributes(path .. ".tmp"))

    assert(lfs.link("/dev/full", path .. ".tmp", true))
    sink = assert(Sink.open(path))
    helper.fails_with(full, sink:write(("x"):rep(1000000)))
    helper.fails_with(path .. ".tmp: an earlier write failed", sink:write "more")
    helper.fails_with(path .. ": not kept, a write failed", sink:close())
    assert.is_false(helper.exists(path))
  end)

  it("does not wait for a reader where a FIFO lies in its way", function()
    local path = dir .. "/a"
    assert(os.execute("mkfifo " .. helper.quote(path .. ".tmp")) == 0)
    helper.fails_with(path .. ".tmp: cannot be created: No such device or address",
      Sink.open(path))
  end)

  it("takes the place of a link, not of what the link leads to", function()
    local path = dir .. "/a"
    helper.write(dir .. "/target", "older")
    assert(lfs.link(dir .. "/target", path, true))
    assert.equal("text", write_all(path, "text"))
    assert.equal("file", lfs.symlinkattributes(path, "mode"))
    assert.equal("older", helper.read(dir .. "/target"))
  end)

  it("leaves nothing when its place is taken by a folder", function()
    local path = dir .. "/a"
    assert(lfs.mkdir(path))
    local sink = assert(Sink.open(path))
    helper.fails_with(path .. ": cannot be put in place: Is a directory", sink:close())
    assert.is_false(helper.exists(path .. ".tmp"))
  end)

  it("frees everything, whichever allocation fails", function()
    local live, reached = mr.C.mr_alloc_live(), false
    local out = mr.new "mr_sink *[1]"
    for count = 0, 10 do
      mr.C.mr_alloc_fail_after(count)
      local status = mr.C.mr_sink_open(out, dir .. "/a.zst")
      mr.C.mr_alloc_fail_after(-1)
      if status == mr.C.MR_OK then
        reached = count > 0
        mr.C.mr_sink_abort(out[0])
      else
        assert.equal(mr.C.MR_EMEMORY, status)
        assert.is_true(out[0] == nil)
      end
      assert.equal(live, mr.C.mr_alloc_live())
    end
    assert.is_true(reached)
    mr.C.mr_sink_abort(nil)
  end)
end)
