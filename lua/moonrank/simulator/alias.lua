--- Drawing an index in proportion to weights in constant time (Walker's alias method).
--
-- Each of n equally likely slots keeps its own index with some probability and otherwise hands
-- over to one other index. Tables live in flat arrays, so that many can lie one after another.
-- @module moonrank.simulator.alias
local ffi = require "ffi"
local floor, min = math.floor, math.min

local M = {}

--- Build a table.
-- @tparam cdata weights  positive doubles; read from `from` to `from + n - 1`, as are the others
-- @tparam integer from
-- @tparam integer n
-- @tparam cdata keep  doubles, overwritten: the probability that a slot keeps its own index
-- @tparam cdata other  integers, overwritten: the index it hands over to, counted from `from`
function M.fill(weights, from, n, keep, other)
  local total = 0
  for i = 0, n - 1 do total = total + weights[from + i] end
  local small, large = {}, {}
  for i = 0, n - 1 do
    local share = weights[from + i] * n / total
    keep[from + i], other[from + i] = share, i
    table.insert(share < 1 and small or large, i)
  end
  while #small > 0 and #large > 0 do
    local low, high = table.remove(small), large[#large]
    other[from + low] = high
    keep[from + high] = keep[from + high] - (1 - keep[from + low])
    if keep[from + high] < 1 then table.insert(small, table.remove(large)) end
  end
  -- What is left differs from 1 by rounding only.
  for _, list in ipairs { small, large } do
    for _, i in ipairs(list) do keep[from + i] = 1 end
  end
end

--- Draw from a table.
-- @tparam cdata keep
-- @tparam cdata other
-- @tparam integer from
-- @tparam integer n
-- @tparam number u  in (0, 1)
-- @treturn integer 0 to n - 1
function M.draw(keep, other, from, n, u)
  local x = u * n
  local i = min(floor(x), n - 1)
  if x - i < keep[from + i] then return i end
  return other[from + i]
end

--- A table of its own.
-- @tparam cdata weights  n positive doubles
-- @tparam integer n
-- @treturn function draw(u): an index from 0 to n - 1
function M.new(weights, n)
  local keep, other = ffi.new("double[?]", n), ffi.new("int32_t[?]", n)
  M.fill(weights, 0, n, keep, other)
  local draw = M.draw
  return function(u) return draw(keep, other, 0, n, u) end
end

return M
