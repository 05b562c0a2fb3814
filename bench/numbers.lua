--- Numbers from a file of bench/generate.c.
-- @module numbers
local mr = require "moonrank.ffi"

--- @tparam string path
-- @tparam string kind  "int32_t", "uint8_t"
-- @tparam[opt] integer n  the first ones; default: all
-- @return an array from 0
-- @treturn integer how many
return function(path, kind, n)
  local size = mr.sizeof(kind)
  local file = assert(io.open(path, "rb"))
  local text = file:read(n and size * n or "*a")
  file:close()
  local list = mr.new(kind .. "[?]", #text / size)
  mr.copy(list, text, #text)
  return list, #text / size
end
