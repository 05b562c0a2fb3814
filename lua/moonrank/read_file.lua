--- The bytes of a file, or its first.
-- @module moonrank.read_file

--- @tparam string path
-- @tparam ?integer most  bytes; default: all
-- @treturn ?string
-- @treturn ?string what is wrong
-- @treturn ?integer the system's number for it
return function(path, most)
  local file, message, code = io.open(path, "rb")
  if not file then return nil, message, code end
  local text
  text, message, code = file:read(most or "*a")
  file:close()
  if message then return nil, ("%s: %s"):format(path, message), code end
  return text or "" -- the end at once is nil, without a message
end
