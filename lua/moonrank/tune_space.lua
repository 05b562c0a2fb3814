--- What `tune` of an experiment file searches, and the trials that come of it.
--
-- A trial is a function of the file and its own number: the same file gives the same trials, and
-- with more of them the first ones stay. Where every key has a list and the number of trials is not
-- given, they are all combinations; else draws, no two alike.
-- @module moonrank.tune_space
local config = require "moonrank.config"
local sorted_keys = require "moonrank.sorted_keys"
local streams = require "moonrank.simulator.threefry".streams
local yaml = require "moonrank.yaml"

local M = {}

local DEFAULT_TRIALS, MOST_TRIALS, MOST_DRAWS = 20, 10000, 1000 -- draws until one is new
local DRAW = 1 -- purpose of the random numbers

-- ---- the keys ----

-- What trials are judged by must be the same for all of them.
local function refusal(name)
  local first = name:match "^[^.]*"
  if first == "tune" or first == "base" then return "it is not of the experiment" end
  if name == "train.monitor" or first == "data" or first == "label" or first == "group"
      or first == "weight" then
    return "trials that are judged by other things cannot be compared"
  end
end

local function check_range(path, range, place)
  local function wrong(what, ...)
    return nil, ("%s: %s." .. what):format(place, path, ...)
  end
  if range.min >= range.max then
    return wrong("min is %.10g, expected less than max, %.10g", range.min, range.max)
  elseif range.log and range.min <= 0 then
    return wrong("min is %.10g, expected more than 0 where log is true", range.min)
  elseif range.whole and (range.min % 1 ~= 0 or range.max % 1 ~= 0) then
    return wrong("min to max is %.10g to %.10g, expected whole numbers where whole is true",
      range.min, range.max)
  end
  return true
end

-- A number of its own for each name, so that the draws of one key do not depend on the others.
local function number_of(name)
  local number = 0
  for i = 1, #name do number = (number * 31 + name:byte(i)) % 4294967296 end
  return number
end

-- { name, place, items = nodes } or { name, place, min, max, log, whole }, in the order of names.
local function keys_of(configuration)
  local keys = {}
  for i, name in ipairs(sorted_keys(configuration.tune.over)) do
    local path = "tune.over." .. name
    local given, place = configuration.tune.over[name], configuration.key_places[path]
    local refused = refusal(name)
    if refused then return nil, ("%s: %s: %s"):format(place, path, refused) end
    local key = { name = name, place = place, number = number_of(name) }
    if given.min then
      local ok, message = check_range(path, given, configuration.places[path])
      if not ok then return nil, message end
      key.min, key.max, key.log, key.whole = given.min, given.max, given.log, given.whole
      key.value_place = configuration.places[path]
    else
      key.items = given
    end
    keys[i] = key
  end
  if not keys[1] then return nil, configuration.places["tune.over"] .. ": tune.over is empty" end
  return keys
end

-- ---- values ----

-- Four digits say enough of a draw, and can be read.
local function rounded(value, key)
  return math.max(key.min, math.min(key.max, tonumber(("%.4g"):format(value))))
end

local function draw_number(key, u)
  local scale, back = key.log and math.log or tonumber, key.log and math.exp or tonumber
  local from, to = scale(key.min), scale(key.whole and key.max + 1 or key.max)
  local value = back(from + u * (to - from))
  if key.whole then return math.max(key.min, math.min(key.max, math.floor(value))) end
  return rounded(value, key)
end

local function draw(key, uniform, number)
  local u = uniform(DRAW, number, key.number)
  if key.items then return key.items[math.floor(u * #key.items) + 1] end
  return config.node(draw_number(key, u), key.value_place)
end

-- The n-th combination, from 0; the first key changes last.
local function combination(keys, n)
  local nodes = {}
  for i = #keys, 1, -1 do
    nodes[i], n = keys[i].items[n % #keys[i].items + 1], math.floor(n / #keys[i].items)
  end
  return nodes
end

-- ---- trials ----

-- { number, values = by name, overrides = as of config.experiment }.
local function trial_of(number, keys, nodes)
  local trial = { number = number, values = {}, overrides = {} }
  for i, key in ipairs(keys) do
    trial.values[key.name] = yaml.plain(nodes[i])
    trial.overrides[i] = { name = key.name, node = nodes[i], place = key.place }
  end
  return trial
end

local function combinations(keys)
  local n = 1
  for _, key in ipairs(keys) do n = key.items and n * #key.items or math.huge end
  return n
end

local function draw_trials(keys, wanted, seed)
  local uniform, trials, seen = streams(seed), {}, {}
  local number, since = 0, 0
  while #trials < wanted and since < MOST_DRAWS do
    local nodes = {}
    for i, key in ipairs(keys) do nodes[i] = draw(key, uniform, number) end
    number, since = number + 1, since + 1
    local trial = trial_of(#trials + 1, keys, nodes)
    local text = yaml.write(trial.values)
    if not seen[text] then trials[#trials + 1], seen[text], since = trial, true, 0 end
  end
  return trials
end

-- What a single value makes of the experiment: each is tried before the first trial starts.
local function check_values(path, set, keys)
  for _, key in ipairs(keys) do
    local nodes = key.items or { config.node(key.min, key.value_place),
      config.node(key.max, key.value_place) }
    for _, node in ipairs(nodes) do
      local list = { unpack(set or {}) }
      list[#list + 1] = { name = key.name, node = node, place = key.place }
      local configuration, message = config.experiment(path, list)
      if not configuration then return nil, message end
    end
  end
  return true
end

--- The trials of an experiment file, each held against what the keys allow.
-- @tparam string path  the file
-- @tparam[opt] {string,...} set  overrides of it
-- @treturn ?{table,...} { number, values = plain values by the names of keys, configuration = as of
-- config.experiment }
-- @treturn string|table what is wrong; else the configuration of the file itself
function M.trials(path, set)
  local base, message = config.experiment(path, set)
  if not base then return nil, message end
  if not base.tune then
    return nil, path .. ": there is no key tune, which says what is searched; "
      .. "try: moonrank help config tune"
  end
  local keys
  keys, message = keys_of(base)
  if not keys then return nil, message end
  local ok
  ok, message = check_values(path, set, keys)
  if not ok then return nil, message end
  local all, wanted, trials = combinations(keys), base.tune.trials, {}
  if all == math.huge or wanted and wanted < all then
    trials = draw_trials(keys, wanted or DEFAULT_TRIALS, base.tune.seed)
  elseif all > MOST_TRIALS then
    return nil, ("%s: tune.over has %.0f combinations, expected at most %d; tune.trials draws some")
      :format(base.places["tune.over"], all, MOST_TRIALS)
  else
    for n = 1, all do trials[n] = trial_of(n, keys, combination(keys, n - 1)) end
  end
  for _, trial in ipairs(trials) do
    local list = { unpack(set or {}) }
    for _, override in ipairs(trial.overrides) do list[#list + 1] = override end
    trial.configuration, message = config.experiment(path, list)
    if not trial.configuration then return nil, message end
  end
  return trials, base
end

return M
