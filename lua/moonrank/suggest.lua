--- "Did you mean": the nearest of the names that would have been right.
-- @module moonrank.suggest
local M = {}

--- Edits that turn one text into the other: a character inserted, removed or replaced, or two
-- neighbours swapped.
-- @tparam string a
-- @tparam string b
-- @treturn integer
function M.distance(a, b)
  local before, last = nil, {}
  for j = 0, #b do last[j] = j end
  for i = 1, #a do
    local row = { [0] = i }
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j)
      row[j] = math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (same and 0 or 1))
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        row[j] = math.min(row[j], before[j - 2] + 1)
      end
    end
    before, last = last, row
  end
  return last[#b]
end

--- The nearest of some names, if one is near: at most a third of the longer text differs.
-- Among equally near ones the first in alphabetical order.
-- @tparam string text
-- @tparam {string,...} names
-- @treturn ?string
function M.nearest(text, names)
  if #text > 64 then return nil end
  local best, best_distance
  for _, name in ipairs(names) do
    if #name <= 64 then
      local distance = M.distance(text:lower(), name:lower())
      local near = distance <= math.max(1, math.floor(math.max(#text, #name) / 3))
        and distance < math.max(#text, #name)
      if near and (not best or distance < best_distance
          or distance == best_distance and name < best) then
        best, best_distance = name, distance
      end
    end
  end
  return best
end

--- The end of a message: `; did you mean "batch"?`, or nothing.
-- @tparam string text
-- @tparam {string,...} names
-- @treturn string
function M.phrase(text, names)
  local name = M.nearest(text, names)
  return name and ('; did you mean "%s"?'):format(name) or ""
end

return M
