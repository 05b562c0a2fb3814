--- The log of a simulated ad exchange, with planted interests and known click probabilities.
-- What is in it, the formula and the file formats: docs/simulator.md.
-- @module moonrank.simulator
local constants = require "moonrank.simulator.constants"
local log_files = require "moonrank.simulator.log_files"
local new_ceilings = require "moonrank.simulator.ceilings".new
local new_traffic = require "moonrank.simulator.traffic".new
local new_world = require "moonrank.simulator.world".new
local floor = math.floor

local M = {}

--- The version of the formula and its constants, written into every log.
M.version = constants.version

-- Impressions of a request, on average; a pool may run short, which is rare.
M.rows_per_request = 0
for scene, share in ipairs(constants.scene_shares) do
  M.rows_per_request = M.rows_per_request + share * constants.shown[scene]
end

--- How often `on_progress` is called: once for this many requests, and at the end.
local REQUESTS_PER_REPORT = 1000

--- The numbers among the options: default, least and most.
M.limits = {
  requests = { default = 100000, low = 10, high = 100000000 },
  seed = { default = 1, low = 0, high = 9007199254740991 },
  candidates = { default = 0, low = 0, high = 10000000 },
}

local function check_whole(options, name)
  local limit, value = M.limits[name], options[name]
  if value == nil then return limit.default end
  if type(value) ~= "number" or value % 1 ~= 0 or value < limit.low or value > limit.high then
    return nil, ("%s is %s, expected a whole number %d to %d"):format(name,
      type(value) == "string" and '"' .. value .. '"' or tostring(value), limit.low, limit.high)
  end
  return value
end

-- The first request after each split.
local function split_ends(requests)
  local c = constants
  return floor(requests * c.train_share + 0.5),
    floor(requests * (c.train_share + c.valid_share) + 0.5)
end

--- Check options and fill in the defaults.
-- @tparam table options  as for `run`
-- @treturn table the complete options; or nil and a message
function M.check(options)
  local full = { out = options.out, on_progress = options.on_progress }
  for name in pairs(options) do
    if not (name == "out" or name == "on_progress" or M.limits[name]) then
      return nil, ('unknown option "%s", expected out, requests, seed, candidates or on_progress')
        :format(tostring(name))
    end
  end
  if type(options.out) ~= "string" or options.out == "" then
    return nil, ("out is %s, expected the path of a folder"):format(tostring(options.out))
  end
  for _, name in ipairs { "requests", "seed", "candidates" } do
    local message
    full[name], message = check_whole(options, name)
    if not full[name] then return nil, message end
  end
  local _, valid_end = split_ends(full.requests)
  local test_requests = full.requests - valid_end
  if full.candidates > test_requests then
    return nil, ("candidates is %d, expected at most %d, the requests of the test split"):format(
      full.candidates, test_requests)
  end
  return full
end

-- A function that tells whether request i of the test split is one of `wanted`, spread evenly.
local function even_choice(first, requests, wanted)
  return function(i)
    local k = i - first
    return floor((k + 1) * wanted / requests) > floor(k * wanted / requests)
  end
end

--- Which file holds a request, and which split that is.
local function new_place(train_end, valid_end)
  local per_file = constants.requests_per_file
  return function(i)
    if i >= valid_end then return "test", "test" end
    if i >= train_end then return "valid", "valid" end
    return ("train-%02d"):format(floor(i / per_file)), "train"
  end
end

local function new_counts()
  local counts = {}
  for _, split in ipairs { "train", "valid", "test" } do
    counts[split] = { requests = 0, rows = 0, clicks = 0, buys = 0 }
  end
  return counts
end

local function count(counts, request)
  counts.requests = counts.requests + 1
  counts.rows = counts.rows + request.shown_count
  for k = 0, request.shown_count - 1 do
    counts.clicks = counts.clicks + request.click[k]
    counts.buys = counts.buys + request.buy[k]
  end
end

--- All requests into their files. Returns the counts of each split.
local function write_requests(options, files, ceilings, request, next_request)
  local requests = options.requests
  local train_end, valid_end = split_ends(requests)
  local place = new_place(train_end, valid_end)
  local wants_candidates = even_choice(valid_end, requests - valid_end, options.candidates)
  local counts, name = new_counts()
  for i = 0, requests - 1 do
    next_request(i)
    local now, split = place(i)
    if now ~= name then
      if name then files:finish(name) end
      files:start(now, "\tposition\tclick\tbuy")
      name = now
    end
    files:write_shown(name, request)
    files:write_unshown(request)
    if split == "test" and wants_candidates(i) then files:write_candidates(request) end
    count(counts[split], request)
    ceilings:observe(request, split)
    if options.on_progress and ((i + 1) % REQUESTS_PER_REPORT == 0 or i + 1 == requests) then
      options.on_progress(i + 1, requests)
    end
  end
  files:finish(name)
  return counts
end

local function list_figures(counts, ceilings)
  local list = {}
  for _, split in ipairs { "train", "valid", "test" } do
    for _, what in ipairs { "requests", "rows", "clicks", "buys" } do
      list[#list + 1] = { what .. "." .. split, counts[split][what] }
    end
  end
  local more, message = ceilings:figures()
  if not more then return nil, message end
  for _, figure in ipairs(more) do list[#list + 1] = figure end
  return list
end

local function summary_lines(figures)
  local lines = { "figure\tvalue" }
  for _, figure in ipairs(figures) do
    local name, value = figure[1], figure[2]
    lines[#lines + 1] = value % 1 == 0 and ("%s\t%d"):format(name, value)
      or value ~= value and name .. "\t-" or ("%s\t%.6f"):format(name, value)
  end
  return lines
end

local function stamp_lines(options)
  return { "key\tvalue", "simulator_version\t" .. M.version, "seed\t" .. ("%.0f"):format(
    options.seed), "requests\t" .. options.requests, "candidates\t" .. options.candidates }
end

-- The whole log. `simulation.tsv` is removed first and written last.
local function write_log(options, files, world)
  local _, valid_end = split_ends(options.requests)
  local request, next_request = new_traffic(world, options.requests)
  local ceilings = new_ceilings(world, options.requests - valid_end, constants.train_share)
  os.remove(options.out .. "/simulation.tsv")
  files:start("unshown", "\tprobability")
  if options.candidates > 0 then files:start("candidates", "") end
  local counts = write_requests(options, files, ceilings, request, next_request)
  files:finish "unshown"
  if options.candidates > 0 then files:finish "candidates" end
  local figures, message = list_figures(counts, ceilings)
  if not figures then error({ trouble = message }, 0) end
  files:write_pictures()
  files:write_lines("truth/summary.tsv", summary_lines(figures))
  files:remove_stale()
  files:write_lines("simulation.tsv", stamp_lines(options))
  return figures
end

--- Simulate a log into a folder.
--
-- The folder may hold an older log, which is replaced. Where it has a file `simulation.tsv`, the
-- log is whole.
-- @tparam table options
--
-- * out: the folder
-- * requests (100000): length of the log; about 5.6 impressions each
-- * seed (1)
-- * candidates (0): for this many requests of the test split, all ads that could be shown
-- * on_progress: called as f(requests done, of all) now and then
-- @treturn table figures by name, as in truth/summary.tsv; or nil and a message
-- @raise when an option is wrong
function M.run(options)
  local full, message = M.check(options)
  if not full then error(message, 2) end
  local files
  local ok, result = pcall(function()
    local world = new_world(constants, full.seed)
    files = log_files.new(world, full.out, constants.train_share)
    return write_log(full, files, world)
  end)
  if files then files:abort() end -- of what is open still, after a failure or Ctrl-C
  if not ok then
    if type(result) == "table" and result.trouble then return nil, result.trouble end
    error(result, 0)
  end
  local by_name = {}
  for _, figure in ipairs(result) do by_name[figure[1]] = figure[2] end
  return by_name
end

return M
