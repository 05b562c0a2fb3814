--- The words of the simulated exchange, made from syllables, and texts of them: titles and queries.
--
-- A category has words of its own (its names) and attributes. A text is one of the names followed
-- by some attributes; its attributes are also kept as a set of bits, which the formula compares.
-- @module moonrank.simulator.vocabulary
local floor = math.floor

local M = {}

local CONSONANTS = { "b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z" }
local VOWELS = { "a", "e", "i", "o", "u" }
local SYLLABLES = #CONSONANTS * #VOWELS

--- The i-th word: three syllables of a consonant and a vowel. Different numbers below 70^3 give
-- different words, because the multiplier has no divisor in common with 70.
-- @tparam integer i
-- @treturn string
function M.word(i)
  local code, text = (i * 130363 + 71993) % (SYLLABLES * SYLLABLES * SYLLABLES), {}
  for s = 1, 3 do
    local syllable = code % SYLLABLES
    text[s] = CONSONANTS[syllable % #CONSONANTS + 1] .. VOWELS[floor(syllable / #CONSONANTS) + 1]
    code = floor(code / SYLLABLES)
  end
  return table.concat(text)
end

--- A maker of texts.
-- @tparam table constants
-- @tparam function uniform2  see moonrank.simulator.threefry
-- @treturn function text(category, attributes, purpose, a): a text with that many attributes, a
-- function of (purpose, a); returns the attributes as bits, and the text
function M.new(constants, uniform2)
  local names, attributes = constants.category_names, constants.attributes
  local words = {} -- by category: names, then attributes
  for i = 0, constants.categories * (names + attributes) - 1 do words[i] = M.word(i) end

  return function(category, count, purpose, a)
    local first = category * (names + attributes)
    local text = words[first + floor(uniform2(purpose, a, 0) * names)]
    local bits, draw = 0, 0
    while count > 0 do
      draw = draw + 1
      local attribute = floor(uniform2(purpose, a, draw) * attributes)
      local flag = bit.lshift(1, attribute)
      if bit.band(bits, flag) == 0 then
        bits, count = bit.bor(bits, flag), count - 1
        text = text .. " " .. words[first + names + attribute]
      end
    end
    return bits, text
  end
end

return M
