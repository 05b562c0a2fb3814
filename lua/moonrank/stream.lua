--- Rows of text as they come, a part at a time: for those who read them once.
-- @classmod moonrank.Stream
local clock = require "moonrank.clock"
local mr = require "moonrank.ffi"
local Split = require "moonrank.split"
local C = mr.C

local Stream = {}
Stream.__index = Stream

local WAIT_MS = 100

--- Start to read files.
-- @tparam Schema schema  to which numbers are fitted
-- @param format  an mr_text_format, of moonrank.text_format
-- @param list  `const char *[]` of paths, "-" is standard input
-- @tparam integer n  of them
-- @tparam table options  name: for messages; paths: kept, since the list points to them; progress:
-- told how far the reading is
-- @treturn ?Stream
-- @treturn ?string what is wrong
function Stream.open(schema, format, list, n, options)
  local out = mr.new "mr_stream *[1]"
  local ok, message = mr.ok(C.mr_stream_open(out, schema.handle, format, list, n))
  if not ok then return nil, message end
  return setmetatable({ handle = mr.gc(out[0], C.mr_stream_close), schema = schema,
    name = options.name, progress = options.progress, start = clock.now(), bad = 0,
    bad_by_reason = {}, held = { format, list, options.paths } }, Stream)
end

-- Say how far it is, where anyone knows: a pipe may have nothing to give for long.
local function tell(self, at)
  local bytes, total = tonumber(at.bytes), tonumber(at.total)
  if not self.progress or bytes >= total then return end
  self.progress:update("reading the " .. self.name, { bytes = bytes, total_bytes = total,
    bytes_per_second = bytes / (clock.now() - self.start) })
end

-- Wait for a part. Not compiled: there Ctrl-C, which raises an error here, would not be looked for.
local function wait(self, out)
  local at = mr.new "mr_build_progress"
  local status = C.mr_stream_next(self.handle, WAIT_MS, out, at)
  while status == C.MR_OK and out[0] == nil do
    tell(self, at)
    status = C.mr_stream_next(self.handle, WAIT_MS, out, at)
  end
  if out[0] ~= nil then tell(self, at) elseif self.progress then self.progress:clear() end
  return status
end
jit.off(wait)

--- The next rows: some whole requests. Close them when they are used: memory holds two parts then.
-- @treturn ?Split nil without a message where there are no more
-- @treturn ?string what is wrong
function Stream:next()
  if not self.handle then error("the stream is closed", 2) end
  local out = mr.new "mr_dataset *[1]"
  local status = wait(self, out)
  if status < 0 then return nil, mr.last_error() end
  if status == C.MR_END then return nil end
  local part = Split.of(out[0], self.schema, self.name)
  local n, by_reason = part:bad_rows()
  self.bad = self.bad + n
  for reason, count in pairs(by_reason) do
    self.bad_by_reason[reason] = (self.bad_by_reason[reason] or 0) + count
  end
  return part
end

--- Rows of the parts so far that were wrong and left out, as a line for people.
-- @treturn ?string nil where there are none
function Stream:bad_rows_line() return Split.bad_line(self.name, self.bad, self.bad_by_reason) end

--- Read no more, now rather than at some later collection. May be called twice.
function Stream:close()
  if self.handle then
    C.mr_stream_close(mr.gc(self.handle, nil))
    self.handle = nil
  end
end

--- A split as a stream of one part.
-- @tparam Split split
-- @treturn table with next(), bad_rows_line() and close()
function Stream.of_split(split)
  local rest, line = split, split:bad_rows_line()
  return {
    next = function()
      local part = rest
      rest = nil
      return part
    end,
    bad_rows_line = function() return line end,
    close = function() end,
  }
end

return Stream
