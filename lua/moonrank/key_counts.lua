--- How often each key of a column comes, in bounded memory: exact up to a number of keys, beyond
-- it of a fair sample of them.
--
-- Keys are hashes already, so the sample is of those whose upper half ends in `level` zero bits:
-- each key is in it or not, wherever it comes, and counts of rows and keys are those of the sample
-- times 2^level. (Adaptive sampling: Flajolet, "On adaptive sampling", 1990; its relative error is
-- about 1.2 over the root of the keys held.)
-- @classmod moonrank.KeyCounts
local bit = require "bit"
local mr = require "moonrank.ffi"

local KeyCounts = {}
KeyCounts.__index = KeyCounts

-- One key: `n` rows, of which `half_n` in the half that means are taken of, with `half_pos` labels.
local slots_of = mr.typeof
  "struct { uint32_t lo, hi; double n; float half_n, half_pos; int32_t rank; }[?]"
local START = 256

--- No keys yet.
-- @tparam integer most  keys that are counted exactly; memory is 32 to 80 bytes for each
-- @treturn KeyCounts
function KeyCounts.new(most)
  return setmetatable({ slots = slots_of(START), size = START, n_keys = 0, level = 0, mask = 0,
    most = most }, KeyCounts)
end

-- The slot of a key, or the empty one where it would be.
local function slot_of(slots, size, lo, hi)
  local i = bit.band(lo, size - 1)
  while slots[i].n ~= 0 and (slots[i].lo ~= lo or slots[i].hi ~= hi) do
    i = bit.band(i + 1, size - 1)
  end
  return slots[i]
end

local function rebuild(self, size)
  local old, old_size = self.slots, self.size
  self.slots, self.size, self.n_keys = slots_of(size), size, 0
  for i = 0, old_size - 1 do
    local from = old[i]
    if from.n ~= 0 and bit.band(from.hi, self.mask) == 0 then
      local to = slot_of(self.slots, size, from.lo, from.hi)
      to.lo, to.hi, to.n, to.rank = from.lo, from.hi, from.n, from.rank
      to.half_n, to.half_pos = from.half_n, from.half_pos
      self.n_keys = self.n_keys + 1
    end
  end
end

local function make_room(self)
  if self.n_keys * 5 >= self.size * 3 then rebuild(self, self.size * 2) end
  while self.n_keys > self.most do
    self.level = self.level + 1
    self.mask = bit.lshift(1, self.level) - 1
    rebuild(self, self.size)
  end
end

--- Count a key.
-- @tparam integer lo  its lower 32 bits
-- @tparam integer hi  its upper 32 bits
-- @tparam number n  rows, above 0
-- @tparam number half_n
-- @tparam number half_pos
-- @treturn integer how many keys came before it; -1 where it is not in the sample
function KeyCounts:add(lo, hi, n, half_n, half_pos)
  if bit.band(hi, self.mask) ~= 0 then return -1 end
  local slot = slot_of(self.slots, self.size, lo, hi)
  if slot.n ~= 0 then
    slot.n, slot.half_n, slot.half_pos = slot.n + n, slot.half_n + half_n, slot.half_pos + half_pos
    return slot.rank
  end
  local rank = self.n_keys
  slot.lo, slot.hi, slot.n, slot.rank = lo, hi, n, rank
  slot.half_n, slot.half_pos = half_n, half_pos
  self.n_keys = rank + 1
  make_room(self)
  return rank
end

--- What was counted of a key.
-- @treturn integer rows; 0 where it never came, -1 where it is not in the sample
-- @treturn number half_n
-- @treturn number half_pos
function KeyCounts:get(lo, hi)
  if bit.band(hi, self.mask) ~= 0 then return -1, 0, 0 end
  local slot = slot_of(self.slots, self.size, lo, hi)
  return slot.n, slot.half_n, slot.half_pos
end

--- Whether no key was left out.
function KeyCounts:exact() return self.level == 0 end

--- How many keys there are that came in at least so many rows, estimated where not exact.
-- @tparam[opt=1] number least
-- @treturn integer
function KeyCounts:distinct(least)
  local n = self.n_keys
  if (least or 1) > 1 then
    n = 0
    for i = 0, self.size - 1 do
      if self.slots[i].n >= least then n = n + 1 end
    end
  end
  return n * 2 ^ self.level
end

--- Add what another one, of keys of the same table, has counted.
-- @tparam KeyCounts other
function KeyCounts:merge(other)
  while self.level < other.level do
    self.level = self.level + 1
    self.mask = bit.lshift(1, self.level) - 1
    rebuild(self, self.size)
  end
  for i = 0, other.size - 1 do
    local s = other.slots[i]
    if s.n ~= 0 then self:add(s.lo, s.hi, s.n, s.half_n, s.half_pos) end
  end
end

return KeyCounts
