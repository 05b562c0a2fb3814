--- How far a long job is: on a terminal one line that is written over, elsewhere a plain line now
-- and then, on standard error.
-- @classmod moonrank.Progress
local Progress = {}
Progress.__index = Progress

local showing -- the one whose line is on the terminal

local PLAIN_SECONDS = 10    -- between two plain lines
local TERMINAL_SECONDS = 0.1 -- of computing between two writings of the terminal's line

--- 1234567 as "1,234,567".
-- @tparam number number
-- @treturn string
function Progress.grouped(number)
  local text = ("%.0f"):format(number)
  local sign, digits = text:match "^(-?)(%d+)$"
  if not digits then return text end
  return sign .. digits:reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", "")
end

--- A time for people: "8 s", "2 min 05 s", "1 h 03 min".
-- @tparam number seconds
-- @treturn string
function Progress.duration(seconds)
  local s = math.floor(seconds + 0.5)
  if s < 60 then return ("%d s"):format(s) end
  if s < 3600 then return ("%d min %02d s"):format(math.floor(s / 60), s % 60) end
  return ("%d h %02d min"):format(math.floor(s / 3600), math.floor(s % 3600 / 60))
end

--- Lines about what goes on, written over one another on a terminal.
-- @tparam[opt] table options  quiet = true: say nothing; stream: default standard error;
-- terminal: whether the stream is one, default looked up
-- @treturn Progress
function Progress.new(options)
  options = options or {}
  local terminal = options.terminal
  if terminal == nil then terminal = os.execute "test -t 2" == 0 end
  return setmetatable({ quiet = options.quiet, stream = options.stream or io.stderr,
    terminal = terminal, last_clock = -1, last_time = os.time() }, Progress)
end

local function megabytes(bytes) return Progress.grouped(math.floor(bytes / 1e6 + 0.5)) end

-- Of a file: what is read of it, and how fast.
local function line_of_bytes(what, p)
  local known = p.total_bytes > 0
  local parts = { ("%s: %s%s MB"):format(what, megabytes(p.bytes),
    known and " of " .. megabytes(p.total_bytes) or "") }
  if known and p.bytes >= p.total_bytes then
    parts[2] = "now writing the cache"
  elseif p.bytes_per_second > 0 then
    parts[2] = megabytes(p.bytes_per_second) .. " MB/s"
    if known then
      parts[3] = Progress.duration((p.total_bytes - p.bytes) / p.bytes_per_second) .. " left"
    end
  end
  return table.concat(parts, ", ")
end

local function line_of(what, p)
  if p.bytes then return line_of_bytes(what, p) end
  local parts = { ("%s: %s of %s rows"):format(what, Progress.grouped(p.rows),
    Progress.grouped(p.total)) }
  if p.rows_per_second and p.rows_per_second > 0 then
    parts[2] = Progress.grouped(p.rows_per_second) .. " rows/s"
    parts[3] = Progress.duration((p.total - p.rows) / p.rows_per_second) .. " left"
  end
  return table.concat(parts, ", ")
end

--- Tell how far it is.
-- @tparam string what  the part of the job, such as "epoch 1"
-- @tparam table p  rows, total, and rows_per_second; or bytes, total_bytes (0: nobody knows) and
-- bytes_per_second
function Progress:update(what, p)
  if self.quiet then return end
  if self.terminal then
    if os.clock() - self.last_clock < TERMINAL_SECONDS then return end
    self.last_clock, showing = os.clock(), self
    self.stream:write("\r", line_of(what, p), "\27[K")
  else
    if os.time() - self.last_time < PLAIN_SECONDS then return end
    self.last_time = os.time()
    self.stream:write(line_of(what, p), "\n")
  end
  self.stream:flush()
end

--- Say on a terminal what is being done, where it cannot be said how far it is.
-- @tparam string what
function Progress:note(what)
  if self.quiet or not self.terminal then return end
  showing = self
  self.stream:write("\r", what, "\27[K")
  self.stream:flush()
end

--- Take the terminal's line away, before something else is printed.
function Progress:clear()
  if showing ~= self then return end
  showing = nil
  self.stream:write "\r\27[K"
  self.stream:flush()
end

--- Take any such line away, before a complaint.
function Progress.clear_all()
  if showing then showing:clear() end
end

return Progress
