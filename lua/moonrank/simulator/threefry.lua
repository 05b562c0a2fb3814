--- Counter-based random numbers of the simulator: Threefry-2x32 with 20 rounds.
--
-- A number is a function of (seed, purpose, a, b) and of nothing else, so it does not matter in
-- which order, or whether, other numbers are drawn. The engine's own generator (Philox) multiplies
-- 32-bit words, which Lua numbers cannot do exactly; Threefry, from the same paper (Salmon et al.,
-- "Parallel random numbers: as easy as 1, 2, 3", SC 2011), needs only additions, rotations and
-- exclusive ors, which LuaJIT compiles to single instructions.
-- @module moonrank.simulator.threefry
local bit = require "bit"
local tobit, bxor, rol = bit.tobit, bit.bxor, bit.rol
local cos, sin, log, sqrt = math.cos, math.sin, math.log, math.sqrt

local M = {}

local PARITY = 0x1BD11BDA
local PER_WORD = 2.3283064365386963e-10 -- 2^-32

local function four_rounds(x0, x1, r1, r2, r3, r4)
  x0 = tobit(x0 + x1)
  x1 = bxor(rol(x1, r1), x0)
  x0 = tobit(x0 + x1)
  x1 = bxor(rol(x1, r2), x0)
  x0 = tobit(x0 + x1)
  x1 = bxor(rol(x1, r3), x0)
  x0 = tobit(x0 + x1)
  x1 = bxor(rol(x1, r4), x0)
  return x0, x1
end

--- One block of the cipher; the published test vectors hold for it.
-- @tparam integer key0  any 32-bit value, as are the others
-- @tparam integer key1
-- @tparam integer x0  first counter word
-- @tparam integer x1  second counter word
-- @treturn integer first word, signed as LuaJIT's bit operations return it
-- @treturn integer second word
function M.block(key0, key1, x0, x1)
  local key2 = bxor(PARITY, key0, key1)
  x0, x1 = four_rounds(tobit(x0 + key0), tobit(x1 + key1), 13, 15, 26, 6)
  x0, x1 = four_rounds(tobit(x0 + key1), tobit(x1 + key2 + 1), 17, 29, 16, 24)
  x0, x1 = four_rounds(tobit(x0 + key2), tobit(x1 + key0 + 2), 13, 15, 26, 6)
  x0, x1 = four_rounds(tobit(x0 + key0), tobit(x1 + key1 + 3), 17, 29, 16, 24)
  x0, x1 = four_rounds(tobit(x0 + key1), tobit(x1 + key2 + 4), 13, 15, 26, 6)
  return tobit(x0 + key2), tobit(x1 + key0 + 5)
end
local block = M.block

--- Random streams of one seed.
-- The returned functions take a purpose (1 to 255) and a position of two whole numbers below 2^32.
-- @tparam integer seed  whole number from 0 to 2^53
-- @treturn function uniform2(purpose, a, b): two independent numbers in (0, 1), 32 bits each
-- @treturn function normal2(purpose, a, b): two independent standard normals (Box and Muller)
function M.streams(seed)
  local key0, seed_high = tobit(seed % 4294967296), math.floor(seed / 4294967296) * 256
  local function uniform2(purpose, a, b)
    local x0, x1 = block(key0, seed_high + purpose, a, b)
    return (x0 + 2147483648.5) * PER_WORD, (x1 + 2147483648.5) * PER_WORD
  end
  local function normal2(purpose, a, b)
    local u, v = uniform2(purpose, a, b)
    local radius, angle = sqrt(-2 * log(u)), 6.283185307179586 * v
    return radius * cos(angle), radius * sin(angle)
  end
  return uniform2, normal2
end

return M
