--- What the C library has and Lua's own lacks. Loads nothing else: the command starts at once.
-- @module moonrank.libc
local ffi = require "ffi"

ffi.cdef [[
int ferror(void *);
int fileno(void *);
struct moonrank_poll { int fd; short events, revents; };
int poll(struct moonrank_poll *, unsigned long, int);
long read(int, void *, size_t);
int mallopt(int, int);
char *realpath(const char *, char *);
]]

local M = {}

local POLLIN = 1
local PATH_MAX = 4096 -- of limits.h
local M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8 -- of malloc.h

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

--- The path of a file from the root, without links.
-- @tparam string path
-- @treturn ?string nil where there is no such file
function M.real_path(path)
  local real = ffi.new("char[?]", PATH_MAX)
  return ffi.C.realpath(path, real) ~= nil and ffi.string(real) or nil
end

--- Do nothing for a while, or until a signal comes.
-- @tparam integer milliseconds
function M.wait(milliseconds) ffi.C.poll(nil, 0, milliseconds) end

--- Have blocks of 256 KB and more come from the system and go back to it, and all threads share the
-- room of others. By itself, glibc keeps what was freed, of up to 32 MB at a time and for each
-- thread, and buffers that grow leave holes that nothing fits. For a process whose buffers live
-- long: others would ask the system over and over.
function M.return_blocks()
  pcall(function() -- not every C library has it
    ffi.C.mallopt(M_MMAP_THRESHOLD, 2 ^ 18)
    ffi.C.mallopt(M_TRIM_THRESHOLD, 2 ^ 22)
    ffi.C.mallopt(M_ARENA_MAX, 1)
  end)
end

return M
