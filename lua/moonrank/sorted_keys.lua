--- The keys of a map, in ascending order.
-- @module moonrank.sorted_keys

--- @tparam table map  its keys are all texts, or all numbers
-- @treturn table a list
return function(map)
  local keys = {}
  for key in pairs(map) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end
