--- The population of the simulated exchange: categories, brands and ads, with their pictures,
-- texts and prices, and the ways to draw one of them. A function of the seed alone.
--
-- Everything is counted from 0 in here; the log counts from 1.
-- @module moonrank.simulator.world
local ffi = require "ffi"
local alias = require "moonrank.simulator.alias"
local threefry = require "moonrank.simulator.threefry"
local vocabulary = require "moonrank.simulator.vocabulary"
local exp, floor, sqrt = math.exp, math.floor, math.sqrt

local M = {}

--- What a random number is for; part of its key, so that purposes never share numbers.
M.PURPOSE = {
  category = 1, brand = 2, affinity = 3, ad = 4, ad_normal = 5, style = 6, picture = 7, title = 8,
  activity = 20, user = 21, interest = 22, history = 23, history_style = 24,
  request = 40, query = 41, draw = 42, score = 43, outcome = 44, unshown = 45,
}
local P = M.PURPOSE

local doubles, integers = ffi.typeof "double[?]", ffi.typeof "int32_t[?]"

--- An index from 1 to #shares, in proportion to shares that sum to one.
-- @tparam {number,...} shares
-- @tparam number u  in (0, 1)
function M.pick(shares, u)
  for i = 1, #shares - 1 do
    u = u - shares[i]
    if u < 0 then return i end
  end
  return #shares
end

--- Shift and scale n doubles to mean 0 and standard deviation 1.
local function standardise(values, n)
  local sum, squares = 0, 0
  for i = 0, n - 1 do sum = sum + values[i] end
  for i = 0, n - 1 do
    values[i] = values[i] - sum / n
    squares = squares + values[i] * values[i]
  end
  local sd = sqrt(squares / n)
  for i = 0, n - 1 do values[i] = values[i] / sd end
end

local function add_categories(world)
  local c, n = world.constants, world.constants.categories
  local weight = doubles(n)
  world.group = integers(n)
  world.category_effect = doubles(n)
  for i = 0, n - 1 do
    local x, y = world.normal2(P.category, i, 0)
    world.group[i] = floor(i * c.groups / n)
    weight[i] = exp(c.category_weight_sd * x)
    world.category_effect[i] = y
  end
  standardise(world.category_effect, n)
  world.draw_category = alias.new(weight, n)
end

-- The affinity of a user group (gender x age) for a brand is the inner product of two short
-- vectors: a table of low rank.
local function add_brands(world)
  local c, n = world.constants, world.constants.brands
  local user_groups, in_group = #c.genders * #c.ages, n / c.groups
  local weight = doubles(in_group)
  for i = 0, in_group - 1 do weight[i] = 1 / (c.brand_offset + i) end
  world.draw_brand = alias.new(weight, in_group)
  world.affinity = doubles(user_groups * n)
  for g = 0, user_groups - 1 do
    for b = 0, n - 1 do
      local sum = 0
      for r = 0, c.affinity_rank - 1 do
        sum = sum + world.normal2(P.affinity, g, r) * world.normal2(P.brand, b, r)
      end
      world.affinity[g * n + b] = sum
    end
  end
  standardise(world.affinity, user_groups * n)
end

local function set_prices(world, a, group)
  local c = world.constants
  local x, y = world.normal2(P.ad_normal, a, 0)
  local log_price = c.price_mean + c.price_sd * x
    + c.price_group_sd * world.normal2(P.ad_normal, c.ads, group)
  local log_bid = c.bid_mean + c.bid_price_slope * log_price + c.bid_sd * y
  world.price[a] = floor(exp(log_price) * 100 + 0.5) / 100
  world.bid[a] = floor(exp(log_bid) * 1000 + 0.5) / 1000
end

-- Levels of equal size over the catalogue.
local function set_price_levels(world)
  local c, n = world.constants, world.constants.ads
  local order = {}
  for a = 0, n - 1 do order[a + 1] = a end
  table.sort(order, function(a, b)
    if world.price[a] ~= world.price[b] then return world.price[a] < world.price[b] end
    return a < b
  end)
  for rank, a in ipairs(order) do
    world.price_level[a] = floor((rank - 1) * c.price_levels / n)
  end
end

local function set_ad(world, a)
  local c, uniform2, normal2 = world.constants, world.uniform2, world.normal2
  local u, v = uniform2(P.ad, a, 0)
  local category = world.draw_category(u)
  local group = world.group[category]
  world.category[a] = category
  world.brand[a] = group * (c.brands / c.groups) + world.draw_brand(v)
  u, v = uniform2(P.ad, a, 1)
  world.style[a] = floor(u * c.styles)
  world.launch[a] = v < c.late_share
    and c.late_from + (c.late_to - c.late_from) * v / c.late_share or 0
  world.title_bits[a], world.title[a] = world.text(category, c.title_attributes, P.title, a)
  set_prices(world, a, group)
  world.own_quality[a], world.buy_quality[a] = normal2(P.ad_normal, a, 1)
  world.popularity[a] = exp(c.popularity_sd * normal2(P.ad_normal, a, 2))
end

local function add_ads(world)
  local n = world.constants.ads
  for _, name in ipairs { "category", "brand", "style", "price_level", "title_bits" } do
    world[name] = integers(n)
  end
  for _, name in ipairs { "price", "bid", "launch", "own_quality", "buy_quality", "popularity" } do
    world[name] = doubles(n)
  end
  world.title = {}
  for a = 0, n - 1 do set_ad(world, a) end
  standardise(world.own_quality, n)
  standardise(world.buy_quality, n)
  set_price_levels(world)
end

-- A picture is the centre of the ad's style plus a spread of its own. The quality that it shows is
-- its component along one fixed direction.
local function add_pictures(world)
  local c, n, width = world.constants, world.constants.ads, world.constants.picture_width
  world.picture = doubles(n * width)
  world.picture_quality = doubles(n)
  for a = 0, n - 1 do
    local quality = 0
    for k = 0, width - 1 do
      local x = world.normal2(P.style, world.style[a], k)
        + c.picture_spread * world.normal2(P.picture, a, k)
      world.picture[a * width + k] = x
      quality = quality + x * world.normal2(P.style, c.styles, k)
    end
    world.picture_quality[a] = quality
  end
  standardise(world.picture_quality, n)
end

-- By popularity among all ads, and by popularity within a category; the ads of a category lie
-- together in `member`.
local function add_draws(world)
  local c, n = world.constants, world.constants.ads
  world.draw_popular = alias.new(world.popularity, n)
  local first, count, next = integers(c.categories), integers(c.categories), integers(c.categories)
  for a = 0, n - 1 do count[world.category[a]] = count[world.category[a]] + 1 end
  for k = 1, c.categories - 1 do first[k] = first[k - 1] + count[k - 1] end
  local member, weight = integers(n), doubles(n)
  for a = 0, n - 1 do
    local k = world.category[a]
    local at = first[k] + next[k]
    next[k] = next[k] + 1
    member[at], weight[at] = a, world.popularity[a]
  end
  local keep, other = doubles(n), integers(n)
  for k = 0, c.categories - 1 do alias.fill(weight, first[k], count[k], keep, other) end
  local draw = alias.draw
  function world.draw_in_category(k, u)
    return member[first[k] + draw(keep, other, first[k], count[k], u)]
  end
end

--- Make the world of a seed.
-- @tparam table constants  see moonrank.simulator.constants
-- @tparam integer seed
-- @treturn table
function M.new(constants, seed)
  local world = { constants = constants }
  world.uniform2, world.normal2 = threefry.streams(seed)
  world.text = vocabulary.new(constants, world.uniform2)
  add_categories(world)
  add_brands(world)
  add_ads(world)
  add_pictures(world)
  add_draws(world)
  return world
end

return M
