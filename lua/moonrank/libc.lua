--- What the C library has and Lua's own lacks. Loads nothing else: the command starts at once.
-- @module moonrank.libc
local ffi = require "ffi"

ffi.cdef [[
int ferror(void *);
int fileno(void *);
struct moonrank_poll { int fd; short events, revents; };
int poll(struct moonrank_poll *, unsigned long, int);
long read(int, void *, size_t);
]]

local M = {}

local POLLIN = 1

--- Whether writing to a file failed, maybe long ago.
function M.has_failed(file) return ffi.C.ferror(file) ~= 0 end

--- The number of a file that is open.
function M.number(file) return ffi.C.fileno(file) end

--- What there is to read of an open file, or nothing for a while.
-- @tparam integer number  0 is standard input
-- @tparam integer most  bytes
-- @tparam integer milliseconds  to wait at most
-- @treturn ?string empty at the end; nil without a message where nothing came
-- @treturn ?string what is wrong
function M.read(number, most, milliseconds)
  local what = ffi.new("struct moonrank_poll", { fd = number, events = POLLIN })
  if ffi.C.poll(what, 1, milliseconds) <= 0 then return nil end
  local buffer = ffi.new("char[?]", most)
  local n = tonumber(ffi.C.read(number, buffer, most))
  if n < 0 then return nil, "it cannot be read" end
  return ffi.string(buffer, n)
end

return M
