-- Ctrl-C while the Lua state closes, and with it the library: the handler was no longer there, and
-- the command ended with a segmentation fault.
local helper = require "helper"

describe("a signal after the library is let go of", function()
  it("is counted as before", function()
    local dir = helper.temp_dir()
    helper.write(dir .. "/late.lua", [[
local ffi = require "ffi"
ffi.cdef "void mr_signals_catch(void); int raise(int);"
local library = ffi.load(arg[1])
library.mr_signals_catch()
library = nil
collectgarbage()
collectgarbage()
ffi.C.raise(2)
print "still here"
]])
    assert.same({ 0, "still here\n", "" }, { helper.shell(("luajit %s/late.lua %s"):format(dir,
      helper.quote((os.getenv "MOONRANK_BUILD" or helper.root() .. "/build")
        .. "/libmoonrank.so"))) })
  end)
end)
