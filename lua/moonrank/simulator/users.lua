--- The users of the simulated exchange: profiles, interests, and the click histories that grow as
-- the log goes on. A user is drawn when first met, so a short log costs little.
-- @module moonrank.simulator.users
local ffi = require "ffi"
local alias = require "moonrank.simulator.alias"
local population = require "moonrank.simulator.world"
local exp, floor, log, min = math.exp, math.floor, math.log, math.min
local P, pick = population.PURPOSE, population.pick

local M = {}

local doubles, integers, bytes =
  ffi.typeof "double[?]", ffi.typeof "int32_t[?]", ffi.typeof "uint8_t[?]"

--- Add a behaviour to the end of a user's history.
local function new_push(users, max)
  local history, seen = users.history, users.seen
  return function(u, ad)
    history[u * max + seen[u] % max] = ad
    seen[u] = seen[u] + 1
  end
end

-- A behaviour from before the log: mostly of an interest, and rather of a favourite style.
local function new_past(world, users)
  local c, uniform2 = world.constants, world.uniform2
  local slots = #c.interest_shares
  local function draw(u, position, try, random_share)
    local x, y = uniform2(P.history, u, position * 16 + try)
    if x < random_share then return world.draw_popular(y) end
    local interest = floor((x - random_share) / (1 - random_share) * users.interests[u])
    return world.draw_in_category(users.before[u * slots + interest], y)
  end
  -- Ads that appear later than the log begins have no past: they are drawn again, at most so
  -- often that the tries have numbers of their own; nil if even that does not help.
  return function(u, position, random_share, favourites)
    for try = 0, 15 do
      local ad = draw(u, position, try, random_share)
      local liked = bit.band(favourites, bit.lshift(1, world.style[ad])) ~= 0
      if world.launch[ad] == 0 and (liked or try >= c.history_tries - 1
        or uniform2(P.history_style, u, position * 16 + try) > c.history_pickiness) then
        return ad
      end
    end
  end
end

local function new_meet(world, users)
  local c, uniform2 = world.constants, world.uniform2
  local slots = #c.interest_shares
  local past = new_past(world, users)

  local function set_interests(u, count)
    users.interests[u] = count
    for j = 0, count - 1 do
      local x, y = uniform2(P.interest, u, 2 * j)
      users.before[u * slots + j] = world.draw_category(x)
      users.after[u * slots + j] = world.draw_category(y)
      users.switch[u * slots + j] = c.interest_switch_to * uniform2(P.interest, u, 2 * j + 1)
    end
  end

  local function set_history(u, level)
    local x, y = uniform2(P.user, u, 2)
    local favourites = bit.bor(bit.lshift(1, floor(x * c.styles)),
      bit.lshift(1, floor(y * c.styles)))
    local random = c.history_random_max * uniform2(P.user, u, 3)
    local intensity = exp(log(c.intensity_max) * level)
    local length = floor(users.interests[u] * intensity * (1 + random) + 0.5)
    for position = 0, length - 1 do
      local ad = past(u, position, random / (1 + random), favourites)
      if ad then users.push(u, ad) end
    end
  end

  return function(u)
    users.met[u] = 1
    local x, y = uniform2(P.user, u, 0)
    users.age[u] = pick(c.age_shares, x) - 1
    users.gender[u] = y < c.female_share and 0 or 1
    x, y = uniform2(P.user, u, 1)
    set_interests(u, pick(c.interest_shares, x))
    if y >= c.history_empty_share then
      set_history(u, (y - c.history_empty_share) / (1 - c.history_empty_share))
    end
  end
end

--- Users of a world.
-- @tparam table world
-- @treturn table with arrays age, gender and interests (their number), and the functions
-- draw(x), push(u, ad), interest(u, j, moment) and read(u, list), explained where they are made
function M.new(world)
  local c, n = world.constants, world.constants.users
  local slots, max = #c.interest_shares, c.history_max
  local users = {
    met = bytes(n), age = integers(n), gender = integers(n), interests = integers(n),
    before = integers(n * slots), after = integers(n * slots), switch = doubles(n * slots),
    history = integers(n * max), -- of each user a ring: the newest is at (seen - 1) % max
    seen = integers(n),
  }
  local activity = doubles(n)
  for u = 0, n - 1 do activity[u] = exp(c.activity_sd * world.normal2(P.activity, u, 0)) end
  local draw = alias.new(activity, n)
  users.push = new_push(users, max)
  local meet = new_meet(world, users)

  --- A user, in proportion to activity.
  function users.draw(x)
    local u = draw(x)
    if users.met[u] == 0 then meet(u) end
    return u
  end

  --- The category of the j-th interest at a moment of the log.
  function users.interest(u, j, moment)
    local at = u * slots + j
    if moment < users.switch[at] then return users.before[at] end
    return users.after[at]
  end

  --- Copy the history, oldest first; returns its length.
  function users.read(u, list)
    local seen = users.seen[u]
    local count = min(seen, max)
    for k = 0, count - 1 do list[k] = users.history[u * max + (seen - count + k) % max] end
    return count
  end

  return users
end

return M
