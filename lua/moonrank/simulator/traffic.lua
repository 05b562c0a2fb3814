--- The requests of the log, one after another: who asks where and when, which ads are in the pool,
-- which of them are shown, clicked and bought.
-- @module moonrank.simulator.traffic
local ffi = require "ffi"
local formula = require "moonrank.simulator.formula"
local new_users = require "moonrank.simulator.users".new
local population = require "moonrank.simulator.world"
local floor, log, min = math.floor, math.log, math.min
local P, pick = population.PURPOSE, population.pick

local M = {}

local doubles, integers = ffi.typeof "double[?]", ffi.typeof "int32_t[?]"

local SEARCH = 1

local function new_request(c)
  local n = c.draws
  return {
    number = 0, -- from 0
    moment = 0, -- share of the log that has passed
    time = 0, -- the same in seconds
    user = 0, age = 0, gender = 0, user_group = 0, scene = 0,
    query = "", query_bits = 0, query_category = -1,
    history_count = 0, history = integers(c.history_max), -- ads, oldest first
    category_count = integers(c.categories), style_count = integers(c.styles), -- of the history
    pool_count = 0, pool = integers(n), score = doubles(n),
    shown_count = 0, -- pool[0 .. shown_count - 1] are shown, in this order, and have:
    logit = doubles(n), p = doubles(n), buy_p = doubles(n), click = integers(n), buy = integers(n),
    terms = doubles(n * #formula.TERMS),
    unshown_count = 0, unshown = integers(c.unshown), unshown_probability = 0,
  }
end

local function new_set_user(world, users, request)
  local c = world.constants
  local category_count, style_count = request.category_count, request.style_count
  return function(u)
    request.user, request.age, request.gender = u, users.age[u], users.gender[u]
    request.user_group = users.gender[u] * #c.ages + users.age[u]
    ffi.fill(category_count, ffi.sizeof(category_count))
    ffi.fill(style_count, ffi.sizeof(style_count))
    local count = users.read(u, request.history)
    for k = 0, count - 1 do
      local ad = request.history[k]
      local category, style = world.category[ad], world.style[ad]
      category_count[category] = category_count[category] + 1
      style_count[style] = style_count[style] + 1
    end
    request.history_count = count
  end
end

local function new_set_scene(world, users, request)
  local c, uniform2 = world.constants, world.uniform2
  return function(i)
    local x, y = uniform2(P.request, i, 1)
    request.scene = pick(c.scene_shares, x) - 1
    request.query, request.query_bits, request.query_category = "", 0, -1
    if request.scene ~= SEARCH then return end
    local category
    if y < c.query_interest_share then
      local u = request.user
      local j = floor(y / c.query_interest_share * users.interests[u])
      category = users.interest(u, j, request.moment)
    else
      category = world.draw_category((uniform2(P.request, i, 2)))
    end
    request.query_category = category
    request.query_bits, request.query =
      world.text(category, c.query_attributes, P.query, i)
  end
end

-- One draw of the pool: from the query's category in searches; elsewhere from an interest, from
-- the category of a past behaviour, by popularity, or any ad.
local function new_draw(world, users, request)
  local c, uniform2 = world.constants, world.uniform2
  local interest, history, popular = c.pool_interest, c.pool_history, c.pool_popular
  local in_category = world.draw_in_category
  return function(i, draw)
    local x, y = uniform2(P.draw, i, draw)
    local scene, u = request.scene + 1, request.user
    if scene == SEARCH + 1 then return in_category(request.query_category, y) end
    if x < interest[scene] then
      local j = floor(x / interest[scene] * users.interests[u])
      return in_category(users.interest(u, j, request.moment), y)
    end
    x = x - interest[scene]
    if x < history[scene] and request.history_count > 0 then
      local past = request.history[floor(x / history[scene] * request.history_count)]
      return in_category(world.category[past], y)
    end
    x = x - history[scene]
    if x < popular[scene] then return world.draw_popular(y) end
    return floor(y * c.ads)
  end
end

local function new_fill_pool(world, users, request)
  local c, uniform2 = world.constants, world.uniform2
  local draw, quality = new_draw(world, users, request), formula.quality(world)
  local pool, score = request.pool, request.score
  local in_pool = integers(c.ads) -- the last request, from 1, whose pool has the ad
  local preference = doubles(c.ads)
  for a = 0, c.ads - 1 do
    preference[a] = c.score_bid * log(world.bid[a]) + c.score_quality * quality(a)
  end
  local launch, noise, n_draws = world.launch, c.score_noise, c.draws
  return function(i)
    local count = 0
    for d = 0, n_draws - 1 do
      local ad = draw(i, d)
      if in_pool[ad] ~= i + 1 and launch[ad] <= request.moment then
        in_pool[ad] = i + 1
        pool[count] = ad
        score[count] = preference[ad] - noise * log(-log((uniform2(P.score, i, ad))))
        count = count + 1
      end
    end
    request.pool_count = count
  end
end

-- Bring the ads to show to the front of the pool, the best first.
local function choose_shown(request, wanted)
  local pool, score, count = request.pool, request.score, request.pool_count
  local shown = min(wanted, count)
  for place = 0, shown - 1 do
    local best = place
    for k = place + 1, count - 1 do
      if score[k] > score[best] then best = k end
    end
    pool[place], pool[best] = pool[best], pool[place]
    score[place], score[best] = score[best], score[place]
  end
  request.shown_count = shown
end

-- Two of the rest, each pair equally likely.
local function choose_unshown(request, wanted, u, v)
  local shown = request.shown_count
  local left = request.pool_count - shown
  local count = min(wanted, left)
  request.unshown_count = count
  if count == 0 then return end
  local first = floor(u * left)
  request.unshown[0] = request.pool[shown + first]
  if count == 2 then
    local second = floor(v * (left - 1))
    if second >= first then second = second + 1 end
    request.unshown[1] = request.pool[shown + second]
  end
  request.unshown_probability = count / left
end

local function new_draw_outcomes(world, request, click_logit, buy_logit)
  local uniform2, sigmoid, n_terms = world.uniform2, formula.sigmoid, #formula.TERMS
  return function(i)
    for k = 0, request.shown_count - 1 do
      local ad = request.pool[k]
      local z = click_logit(request, ad, request.terms, k * n_terms)
      local p, buy_p = sigmoid(z), sigmoid(buy_logit(request, ad))
      local u, v = uniform2(P.outcome, i, ad)
      request.logit[k], request.p[k], request.buy_p[k] = z, p, buy_p
      request.click[k] = u < p and 1 or 0
      request.buy[k] = u < p and v < buy_p and 1 or 0
    end
  end
end

--- Traffic of a world.
-- @tparam table world
-- @tparam integer requests  length of the log: sets how dense the traffic of the days is
-- @treturn table the current request, overwritten by each call of `next`; its function
-- probabilities(ad) gives the true ones of a click, and of a conversion after it, for any ad
-- @treturn function next(i): make request i; to be called with 0, 1, 2, ... in turn
function M.new(world, requests)
  local c, uniform2 = world.constants, world.uniform2
  local users = new_users(world)
  local request = new_request(c)
  local click_logit, buy_logit = formula.click(world), formula.buy(world)
  local set_user = new_set_user(world, users, request)
  local set_scene = new_set_scene(world, users, request)
  local fill_pool = new_fill_pool(world, users, request)
  local draw_outcomes = new_draw_outcomes(world, request, click_logit, buy_logit)

  local spare = doubles(#formula.TERMS)
  function request.probabilities(ad)
    return formula.sigmoid(click_logit(request, ad, spare, 0)),
      formula.sigmoid(buy_logit(request, ad))
  end

  local function next(i)
    -- The clicks of a request join the history after it: its rows all see the same past.
    for k = 0, request.shown_count - 1 do
      if request.click[k] == 1 then users.push(request.user, request.pool[k]) end
    end
    local x, y = uniform2(P.request, i, 0)
    request.number, request.moment = i, (i + y) / requests
    request.time = floor(request.moment * c.days * 86400)
    set_user(users.draw(x))
    set_scene(i)
    fill_pool(i)
    choose_shown(request, c.shown[request.scene + 1])
    local u, v = uniform2(P.unshown, i, 0)
    choose_unshown(request, c.unshown, u, v)
    draw_outcomes(i)
  end

  return request, next
end

return M
