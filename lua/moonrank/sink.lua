--- Text files that are there whole or not at all.
--
-- Bytes go to PATH.tmp, which takes its place at `close`; until then an older file of that name
-- stays as it is. A path that ends in `.zst` is compressed.
-- @classmod moonrank.Sink
local mr = require "moonrank.ffi"
local C = mr.C

local Sink = {}
Sink.__index = Sink

--- Start a file.
-- @tparam string path  its folder must exist
-- @treturn Sink  or nil and a message
function Sink.open(path)
  if type(path) ~= "string" then
    error(("bad argument #1 to 'sink.open' (path expected, got %s)"):format(type(path)), 2)
  end
  local out = mr.new "mr_sink *[1]"
  local ok, message = mr.ok(C.mr_sink_open(out, path))
  if not ok then return nil, message end
  return setmetatable({ handle = mr.gc(out[0], C.mr_sink_abort), path = path }, Sink)
end

local function handle_of(self)
  return self.handle or error("the file " .. self.path .. " is closed already", 3)
end

--- Append text.
-- @tparam string text
-- @return true, or nil and a message; after a failure the file is lost, whatever is done
function Sink:write(text)
  return mr.ok(C.mr_sink_write(handle_of(self), text, #text))
end

--- Finish the file and put it in its place.
-- @return true, or nil and a message; then nothing is left of the file
function Sink:close()
  local handle = mr.gc(handle_of(self), nil)
  self.handle = nil
  return mr.ok(C.mr_sink_close(handle))
end

--- Give the file up, with what was written. May be called at any time, also after `close`.
function Sink:abort()
  if self.handle then
    C.mr_sink_abort(mr.gc(self.handle, nil))
    self.handle = nil
  end
end

--- Write a text as a file that is there whole or not at all, and durable.
-- @tparam string path
-- @tparam string text
-- @treturn ?boolean true
-- @treturn ?string what is wrong
function Sink.write_file(path, text)
  local sink, message = Sink.open(path)
  if not sink then return nil, message end
  local ok
  ok, message = sink:write(text)
  if ok then return sink:close() end
  sink:abort()
  return nil, message
end

return Sink
