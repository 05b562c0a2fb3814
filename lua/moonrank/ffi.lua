--- The engine as LuaJIT sees it: the only file that knows C.
-- Loads the library that lies beside this checkout (or installation), declares what the public
-- header declares, and turns status codes into errors.
-- @module moonrank.ffi
local ffi = require "ffi"

local place = require "moonrank.place"
local read_file = require "moonrank.read_file"

local declarations = read_file(place.declarations)
if not declarations then
  error(("the engine is not built: %s is missing; %s"):format(place.declarations,
    place.mend_engine), 0)
end
ffi.cdef(declarations)
local C = ffi.load(place.library)
if C.mr_abi() ~= C.MR_ABI then
  error(("the engine %s is of another version (ABI %d, expected %d); %s"):format(
    place.library, C.mr_abi(), tonumber(C.MR_ABI), place.mend_engine), 0)
end

local M = { C = C, new = ffi.new, gc = ffi.gc, string = ffi.string, cast = ffi.cast,
  copy = ffi.copy, fill = ffi.fill, typeof = ffi.typeof, sizeof = ffi.sizeof, null = nil }

--- The text of the last failure on this thread.
function M.last_error() return ffi.string(C.mr_last_error()) end

--- Trouble of the world: nil and a message; everything else passes.
-- @tparam integer status
-- @return true, or nil and the message
function M.ok(status)
  if status >= 0 then return true end
  return nil, M.last_error()
end

--- Mistake of the programmer: raise at the caller's line.
-- @tparam integer status
-- @tparam[opt=1] integer level  how many calls further up the mistake was made
function M.check(status, level)
  if status < 0 then error(M.last_error(), (level or 1) + 2) end
end

--- An array in the engine's memory, for as many elements as there are rows: Lua's own has a limit.
-- Its elements are not set. It is freed when it is collected, or by free().
-- @tparam string kind  of an element, such as "float"
-- @tparam integer n
-- @return a pointer, which must be kept: one calculated from it does not hold the array
-- @raise when memory runs out
function M.array(kind, n)
  local out = ffi.new "void *[1]"
  M.check(C.mr_block_new(out, n * ffi.sizeof(kind)), 1)
  return ffi.gc(ffi.cast(kind .. " *", out[0]), C.mr_block_free)
end

--- Free an array() now rather than at some later collection.
function M.free(array) C.mr_block_free(ffi.gc(array, nil)) end

--- The C object of a Lua object, or an error at the caller's line: it was closed.
-- @tparam table object  with `handle`
-- @tparam string what  for the message
function M.handle(object, what)
  return object.handle or error(what .. " is closed", 3)
end

return M
