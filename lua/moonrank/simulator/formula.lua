--- The click formula and the conversion formula of docs/simulator.md.
-- @module moonrank.simulator.formula
local ffi = require "ffi"
local exp, min = math.exp, math.min

local M = {}

--- The terms of the click formula, in the order in which they are added to the base.
M.TERMS = { "scene", "category", "picture", "own", "taste", "affinity", "region", "behaviour",
  "style", "text" }

local doubles = ffi.typeof "double[?]"

--- A match grows with the number of behaviours until it is full.
local function match_table(amplitude, full, max)
  local values = doubles(max + 1)
  for count = 0, max do values[count] = amplitude * min(count, full) / full end
  return values
end

--- A table of rows as one flat array of doubles.
local function flat(rows, amplitude)
  local width = #rows[1]
  local values = doubles(#rows * width)
  for i, row in ipairs(rows) do
    for j, value in ipairs(row) do values[(i - 1) * width + j - 1] = amplitude * value end
  end
  return values
end

--- The regions of age x price, spread over all ages and price levels.
local function region_table(c, amplitude)
  local rows = {}
  for age, age_region in ipairs(c.region_ages) do
    rows[age] = {}
    for level, price_region in ipairs(c.region_prices) do
      rows[age][level] = c.region[age_region][price_region]
    end
  end
  return flat(rows, amplitude)
end

--- The number of members that two sets of at most 16 bits share.
local function shared_bits(a, b)
  local bits = bit.band(a, b)
  bits = bits - bit.band(bit.rshift(bits, 1), 0x5555)
  bits = bit.band(bits, 0x3333) + bit.band(bit.rshift(bits, 2), 0x3333)
  bits = bit.band(bits + bit.rshift(bits, 4), 0x0F0F)
  return bit.band(bits + bit.rshift(bits, 8), 0x1F)
end

--- The probability of a logit.
function M.sigmoid(z) return 1 / (1 + exp(-z)) end

--- The click formula of a world.
-- @tparam table world
-- @treturn function click(request, ad, terms, at): the logit; its terms go to terms[at], ...
function M.click(world)
  local c = world.constants
  local category_of, group_of, brand_of = world.category, world.group, world.brand
  local style_of, level_of, title_bits = world.style, world.price_level, world.title_bits
  local n_groups, n_brands, n_levels = c.groups, c.brands, c.price_levels
  local base, scene_bias = c.base, flat({ c.scene_bias }, 1)
  local category_amplitude, picture_amplitude, own_amplitude, affinity_amplitude, text_amplitude =
    c.category_amplitude, c.picture_amplitude, c.own_amplitude, c.affinity_amplitude,
    c.text_amplitude
  local taste = flat(c.taste, c.taste_amplitude)
  local region = region_table(c, c.region_amplitude)
  local behaviour = match_table(c.behaviour_amplitude, c.behaviour_full, c.history_max)
  local style = match_table(c.style_amplitude, c.style_full, c.history_max)
  local category_effect, picture_quality, own_quality, affinity =
    world.category_effect, world.picture_quality, world.own_quality, world.affinity

  return function(request, a, terms, at)
    local k, scene = category_of[a], request.scene
    terms[at] = scene_bias[scene]
    terms[at + 1] = category_amplitude * category_effect[k]
    terms[at + 2] = picture_amplitude * picture_quality[a]
    terms[at + 3] = own_amplitude * own_quality[a]
    terms[at + 4] = taste[scene * n_groups + group_of[k]]
    terms[at + 5] = affinity_amplitude * affinity[request.user_group * n_brands + brand_of[a]]
    terms[at + 6] = region[request.age * n_levels + level_of[a]]
    terms[at + 7] = behaviour[request.category_count[k]]
    terms[at + 8] = style[request.style_count[style_of[a]]]
    -- Outside the search scene the query is empty and has no bits.
    terms[at + 9] = text_amplitude * shared_bits(request.query_bits, title_bits[a])
    local z = base
    for t = at, at + 9 do z = z + terms[t] end
    return z
  end
end

--- The quality of an ad that everyone sees: the terms category, picture and own.
-- @tparam table world
-- @treturn function quality(ad)
function M.quality(world)
  local c = world.constants
  return function(a)
    return c.category_amplitude * world.category_effect[world.category[a]]
      + c.picture_amplitude * world.picture_quality[a] + c.own_amplitude * world.own_quality[a]
  end
end

--- The conversion formula of a world.
-- @tparam table world
-- @treturn function buy(request, ad): the logit of a conversion, given a click
function M.buy(world)
  local c = world.constants
  local category_of, level_of, quality = world.category, world.price_level, world.buy_quality
  local scene_bias = flat({ c.buy_scene }, 1)
  local region = region_table(c, c.buy_region_amplitude)
  local behaviour = match_table(c.buy_behaviour_amplitude, c.behaviour_full, c.history_max)
  local base, own_amplitude, slope = c.buy_base, c.buy_own_amplitude, c.buy_price_slope
  local n_levels, middle = c.price_levels, (c.price_levels - 1) / 2

  return function(request, a)
    return base + scene_bias[request.scene] + own_amplitude * quality[a]
      + slope * (level_of[a] - middle) + region[request.age * n_levels + level_of[a]]
      + behaviour[request.category_count[category_of[a]]]
  end
end

return M
