--- Words in a row, as people write them: "a, b or c".
-- @module moonrank.joined

--- @tparam {string,...} words  one or more
-- @tparam string last  what stands before the last of several: "and", "or"
-- @treturn string
return function(words, last)
  if #words < 2 then return words[1] end
  return table.concat(words, ", ", 1, #words - 1) .. " " .. last .. " " .. words[#words]
end
