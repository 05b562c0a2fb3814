--- Names that differ in a number alone, written as a range: f1..f200, C01..C26.
-- @module moonrank.name_ranges
local M = {}

local MOST = 65536
local LEAST = 3 -- names that are worth a range
local LONGEST = 15 -- digits, which a number holds

-- How numbers are written behind a name: as wide as the first, where that starts with a zero.
local function form_of(digits)
  return digits:find "^0." and ("%%0%dd"):format(#digits) or "%d"
end

--- The names that a range stands for; a name that is none stands for itself.
-- @tparam string text
-- @treturn ?{string,...}
-- @treturn ?string what is wrong with the range
function M.expand(text)
  local before, from, after, to = text:match "^(.-)(%d+)%.%.(.-)(%d+)$"
  if not before then return { text } end
  local first, last, form, names = tonumber(from), tonumber(to), form_of(from), {}
  if before ~= after or first > last or last - first >= MOST or #to > LONGEST
      or form:format(last) ~= to then
    return nil, ('"%s" is no range of names, such as f1..f200, of at most %d'):format(text, MOST)
  end
  for i = first, last do names[#names + 1] = before .. form:format(i) end
  return names
end

--- The shortest list of names and ranges for a list of names.
-- @tparam {string,...} names
-- @treturn {string,...}
-- @treturn {{integer,integer},...} for each the places of the first and the last name it stands for
function M.compress(names)
  local list, places, i = {}, {}, 1
  while i <= #names do
    local before, digits = names[i]:match "^(.-)(%d+)$"
    local last = i
    if before and #digits <= LONGEST then
      local form, number = form_of(digits), tonumber(digits)
      local most = math.min(MOST, 10 ^ LONGEST - number) -- names
      while last - i + 1 < most and names[last + 1] == before .. form:format(number + last + 1 - i)
      do
        last = last + 1
      end
      if last - i + 1 < LEAST then last = i end
    end
    list[#list + 1] = last > i and names[i] .. ".." .. names[last] or names[i]
    places[#places + 1], i = { i, last }, last + 1
  end
  return list, places
end

return M
