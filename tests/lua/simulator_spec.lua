-- The simulated ad exchange: lua/moonrank/simulator.lua and docs/simulator.md.
local helper = require "helper"
local constants = require "moonrank.simulator.constants"
local simulator = require "moonrank.simulator"
local threefry = require "moonrank.simulator.threefry"
local traffic = require "moonrank.simulator.traffic"
local vocabulary = require "moonrank.simulator.vocabulary"
local world = require "moonrank.simulator.world"

local REQUESTS, CANDIDATES = 2500, 2
local DATA = { "train-00", "valid", "test" }
local REQUEST_COLUMNS = { "request_id", "time", "user_id", "age", "gender", "scene", "query",
  "click_ads", "click_cates" }
local AD_COLUMNS = { "ad_id", "cate", "brand", "price", "price_level", "bid", "title" }

local function split_text(text, separator)
  local parts = {}
  if text == "" then return parts end
  for part in (text .. separator):gmatch("(.-)" .. separator) do parts[#parts + 1] = part end
  return parts
end

local function read_pairs(path)
  local values = {}
  for name, value in helper.read(path):gmatch "([^\t\n]+)\t([^\n]+)" do values[name] = value end
  return values
end

-- Within `sds` standard deviations of what independent draws with these probabilities give.
local function assert_drawn(hits, probabilities, sds)
  local mean, variance = 0, 0
  for _, p in ipairs(probabilities) do
    mean, variance = mean + p, variance + p * (1 - p)
  end
  local off = math.abs(hits - mean) / math.sqrt(variance)
  if off > sds then
    error(("%d hits, expected %.1f: off by %.1f standard deviations"):format(hits, mean, off), 2)
  end
end

-- luassert takes microseconds for what holds; these are for the tests that look at every row.
local function equal(expected, actual)
  if expected ~= actual then assert.equal(expected, actual) end
end

local function check(condition)
  if not condition then error("does not hold", 2) end
end

-- One log for all tests that only read.
local log
local function the_log()
  if log then return log end
  log = { dir = helper.temp_dir(), tables = {}, truths = {}, headers = {}, rows = {} }
  log.figures = assert(simulator.run { out = log.dir, requests = REQUESTS, seed = 4,
    candidates = CANDIDATES })
  for _, name in ipairs { "train-00", "valid", "test", "unshown", "candidates" } do
    log.tables[name], log.headers[name] = helper.read_table(("%s/%s.tsv.zst"):format(log.dir, name))
    log.truths[name] = helper.read_table(("%s/truth/%s.tsv.zst"):format(log.dir, name))
  end
  for _, name in ipairs(DATA) do
    for i, row in ipairs(log.tables[name]) do
      row.truth = log.truths[name][i]
      log.rows[#log.rows + 1] = row
    end
  end
  return log
end

describe("the random numbers", function()
  it("are those of the published test vectors", function()
    local function block(...)
      local a, b = threefry.block(...)
      return bit.tohex(a) .. " " .. bit.tohex(b)
    end
    assert.equal("6b200159 99ba4efe", block(0, 0, 0, 0))
    assert.equal("1cb996fc bb002be7", block(-1, -1, -1, -1))
    assert.equal("c4923a9c 483df7a0", block(0x13198a2e, 0x03707344, 0x243f6a88, 0x85a308d3))
  end)

  it("are uniform or normal, and differ by seed, purpose and place", function()
    local uniform2, normal2 = threefry.streams(1)
    local sum, squares, n = 0, 0, 20000
    for i = 1, n do
      local u, v = uniform2(3, i, 0)
      assert.is_true(u > 0 and u < 1 and v > 0 and v < 1)
      sum = sum + u + v
      local x, y = normal2(4, i, 0)
      squares = squares + x * x + y * y
    end
    assert.near(0.5, sum / n / 2, 0.01)
    assert.near(1, squares / n / 2, 0.03)
    local seen = {}
    for _, seed in ipairs { 0, 1, 4294967296, 4294967297, 9007199254740991 } do
      local draw = threefry.streams(seed)
      for _, place in ipairs { { 1, 0, 0 }, { 2, 0, 0 }, { 1, 1, 0 }, { 1, 0, 1 } } do
        local u = draw(unpack(place))
        assert.is_nil(seen[u])
        seen[u] = true
      end
    end
  end)

  it("make words that are all different", function()
    local seen = {}
    for i = 0, 47 * 18 do
      local word = vocabulary.word(i)
      assert.truthy(word:find "^%l%l%l%l%l%l$")
      assert.is_nil(seen[word])
      seen[word] = true
    end
  end)
end)

describe("the files of a log", function()
  it("have the documented columns", function()
    local l = the_log()
    local shared = table.concat(REQUEST_COLUMNS, "\t") .. "\t" .. table.concat(AD_COLUMNS, "\t")
    for _, name in ipairs(DATA) do
      assert.equal(shared .. "\tposition\tclick\tbuy", l.headers[name])
    end
    assert.equal(shared .. "\tprobability", l.headers.unshown)
    assert.equal(shared, l.headers.candidates)
  end)

  it("have truths row by row, with probabilities", function()
    local l = the_log()
    for name, rows in pairs(l.tables) do
      equal(#rows, #l.truths[name])
      check(#rows > 0)
      for _, truth in ipairs(l.truths[name]) do
        local p, cvr = tonumber(truth.p), tonumber(truth.cvr)
        check(p > 0 and p < 1 and cvr > 0 and cvr < 1)
        check(truth.cold == "0" or truth.cold == "1")
      end
    end
  end)

  it("hold 80, 10 and 10 percent of the requests, in order of time", function()
    local l, last = the_log(), { id = 0, time = 0 }
    local ends = { ["train-00"] = REQUESTS * 0.8, valid = REQUESTS * 0.9, test = REQUESTS }
    for _, name in ipairs(DATA) do
      for _, row in ipairs(l.tables[name]) do
        local id, time = tonumber(row.request_id), tonumber(row.time)
        check(id == last.id or id == last.id + 1)
        check(time >= last.time and time < 14 * 86400)
        last.id, last.time = id, time
      end
      equal(ends[name], last.id)
    end
  end)

  it("hold whole requests whose columns are constant", function()
    local before
    local ads
    for _, row in ipairs(the_log().rows) do
      if before and before.request_id == row.request_id then
        for _, name in ipairs(REQUEST_COLUMNS) do equal(before[name], row[name]) end
        equal(tonumber(before.position) + 1, tonumber(row.position))
      else
        equal("1", row.position)
        ads = {}
      end
      check(not ads[row.ad_id])
      ads[row.ad_id] = true
      before = row
    end
  end)

  it("give an ad the same columns everywhere", function()
    local l, first = the_log(), {}
    for _, rows in pairs(l.tables) do
      for _, row in ipairs(rows) do
        local known = first[row.ad_id] or row
        first[row.ad_id] = known
        for _, name in ipairs(AD_COLUMNS) do equal(known[name], row[name]) end
      end
    end
  end)

  it("grow each history by the clicks of the user's earlier requests, and nothing else", function()
    local l, cate_of, expected, repeats = the_log(), {}, {}, 0
    for _, row in ipairs(l.tables.candidates) do cate_of[row.ad_id] = row.cate end
    local request
    for _, row in ipairs(l.rows) do
      if not request or row.request_id ~= request.request_id then
        if request then expected[request.user_id] = request.history end
        local ads, cates = split_text(row.click_ads, ","), split_text(row.click_cates, ",")
        equal(#ads, #cates)
        check(#ads <= constants.history_max)
        for i, ad in ipairs(ads) do equal(cate_of[ad] or cates[i], cates[i]) end
        if expected[row.user_id] then
          repeats = repeats + 1
          assert.same(expected[row.user_id], ads)
        end
        request = { request_id = row.request_id, user_id = row.user_id, history = ads }
      end
      if row.click == "1" then
        table.insert(request.history, row.ad_id)
        if #request.history > constants.history_max then table.remove(request.history, 1) end
      end
    end
    check(repeats > 50)
  end)

  it("draw clicks and conversions with the true probabilities", function()
    local clicks, buys, p, cvr = 0, 0, {}, {}
    for _, row in ipairs(the_log().rows) do
      p[#p + 1] = tonumber(row.truth.p)
      clicks = clicks + row.click
      if row.click == "1" then
        cvr[#cvr + 1] = tonumber(row.truth.cvr)
        buys = buys + row.buy
      else
        equal("0", row.buy)
      end
    end
    assert_drawn(clicks, p, 4)
    assert_drawn(buys, cvr, 4)
  end)

  it("have scenes of the documented shares, and queries in search alone", function()
    local counts, shares = { feed = 0, search = 0, cart = 0 }, {}
    local last
    for _, row in ipairs(the_log().rows) do
      if row.request_id ~= last then counts[row.scene] = counts[row.scene] + 1 end
      last = row.request_id
      equal(row.scene == "search", row.query ~= "")
      if row.scene == "search" then equal(3, #split_text(row.query, " ")) end
    end
    for i, scene in ipairs(constants.scenes) do
      for k = 1, REQUESTS do shares[k] = constants.scene_shares[i] end
      assert_drawn(counts[scene], shares, 4)
    end
  end)

  it("have at most two candidates of a request that were not shown", function()
    local l, shown, count = the_log(), {}, {}
    for _, row in ipairs(l.rows) do shown[row.request_id .. row.ad_id] = true end
    for _, row in ipairs(l.tables.unshown) do
      local key = row.request_id .. row.ad_id
      check(not shown[key])
      shown[key] = true
      count[row.request_id] = (count[row.request_id] or 0) + 1
      check(count[row.request_id] <= 2)
      local left = 2 / tonumber(row.probability)
      assert.near(math.floor(left + 0.5), left, 1e-6)
    end
  end)

  it("list every ad once for the requests with candidates, with the same truth", function()
    local l, requests, shown = the_log(), {}, {}
    for _, row in ipairs(l.tables.test) do
      shown[row.request_id] = shown[row.request_id] or {}
      shown[row.request_id][row.ad_id] = row.truth
    end
    for i, row in ipairs(l.tables.candidates) do
      local listed = requests[row.request_id] or { n = 0 }
      requests[row.request_id] = listed
      check(not listed[row.ad_id])
      listed[row.ad_id], listed.n = l.truths.candidates[i], listed.n + 1
    end
    local n = 0
    for id, listed in pairs(requests) do
      n = n + 1
      check(listed.n > constants.ads * (1 - constants.late_share) and
        listed.n <= constants.ads)
      for ad, truth in pairs(shown[id]) do assert.same(truth, listed[ad]) end
    end
    equal(CANDIDATES, n)
  end)

  it("have a picture for every ad", function()
    local lines = split_text(helper.read(the_log().dir .. "/images.vec"), "\n")
    assert.equal(("%d %d"):format(constants.ads, constants.picture_width), lines[1])
    for a = 1, constants.ads do
      local parts = split_text(lines[a + 1], " ")
      assert.equal("a" .. a, parts[1])
      assert.equal(constants.picture_width + 1, #parts)
    end
  end)

  it("have a summary and a stamp", function()
    local l = the_log()
    local summary = read_pairs(l.dir .. "/truth/summary.tsv")
    for i, split in ipairs { "train", "valid", "test" } do
      assert.equal(#l.tables[DATA[i]], tonumber(summary["rows." .. split]))
      assert.equal(#l.tables[DATA[i]], l.figures["rows." .. split])
    end
    assert.equal(("%.6f"):format(l.figures["auc.best"]), summary["auc.best"])
    assert.is_true(l.figures["auc.best"] > l.figures["auc.without_behaviour"])
    assert.same({ key = "value", simulator_version = tostring(simulator.version), seed = "4",
      requests = tostring(REQUESTS), candidates = tostring(CANDIDATES) },
      read_pairs(l.dir .. "/simulation.tsv"))
  end)
end)

describe("a log", function()
  local names = { "train-00.tsv.zst", "valid.tsv.zst", "test.tsv.zst", "unshown.tsv.zst",
    "candidates.tsv.zst", "images.vec", "simulation.tsv", "truth/train-00.tsv.zst",
    "truth/test.tsv.zst", "truth/summary.tsv" }

  local function run(seed)
    local dir = helper.temp_dir()
    assert(simulator.run { out = dir, requests = 100, seed = seed, candidates = 1 })
    local bytes = {}
    for _, name in ipairs(names) do bytes[name] = helper.read(dir .. "/" .. name) end
    return bytes
  end

  it("has the same bytes for the same seed, and others for another", function()
    local first, again, other = run(1), run(1), run(2)
    for _, name in ipairs(names) do
      assert.is_true(first[name] == again[name])
      assert.is_true(first[name] ~= other[name])
    end
  end)

  it("replaces an older, longer one", function()
    local dir = helper.temp_dir()
    helper.write(dir .. "/truth/train-07.tsv.zst", "older")
    helper.write(dir .. "/train-07.tsv.zst", "older")
    helper.write(dir .. "/candidates.tsv.zst", "older")
    helper.write(dir .. "/fields.yaml", "kept")
    assert(simulator.run { out = dir, requests = 20 })
    assert.is_false(helper.exists(dir .. "/truth/train-07.tsv.zst"))
    assert.is_false(helper.exists(dir .. "/train-07.tsv.zst"))
    assert.is_false(helper.exists(dir .. "/candidates.tsv.zst"))
    assert.equal("kept", helper.read(dir .. "/fields.yaml"))
  end)

  it("leaves neither stamp nor open files when it is broken off", function()
    local dir = helper.temp_dir()
    assert(simulator.run { out = dir, requests = 20 })
    local ok, message = pcall(simulator.run, { out = dir, requests = 20,
      on_progress = function() error("stop", 0) end })
    assert.same({ false, "stop" }, { ok, message })
    assert.is_false(helper.exists(dir .. "/simulation.tsv"))
    for entry in require "lfs".dir(dir) do assert.is_nil(entry:find "%.tmp$") end
  end)

  it("tells its progress", function()
    local told = {}
    assert(simulator.run { out = helper.temp_dir(), requests = 1500,
      on_progress = function(done, all) told[#told + 1] = { done, all } end })
    assert.same({ { 1000, 1500 }, { 1500, 1500 } }, told)
  end)

  it("that cannot be written is a trouble of the world", function()
    local path = helper.write(helper.temp_dir() .. "/file", "")
    local value, message = simulator.run { out = path .. "/log", requests = 20 }
    assert.is_nil(value)
    assert.equal("string", type(message))
  end)

  it("with wrong options is a mistake of the programmer", function()
    local function raises(message, options) helper.raises(message, simulator.run, options) end
    raises("out is nil, expected the path of a folder", {})
    raises("requests is 9, expected a whole number 10 to 100000000", { out = "x", requests = 9 })
    raises('seed is "1", expected a whole number 0 to 9007199254740991', { out = "x", seed = "1" })
    raises("candidates is 3, expected at most 2, the requests of the test split",
      { out = "x", requests = 20, candidates = 3 })
    raises('unknown option "sed", expected out, requests, seed, candidates or on_progress',
      { out = "x", sed = 1 })
  end)
end)

describe("the click formula", function()
  -- Written a second time, from docs/simulator.md, for an ad of a request.
  local function logit(w, request, a)
    local c, k = constants, w.category[a]
    local behaviours, styles = 0, 0
    for i = 0, request.history_count - 1 do
      if w.category[request.history[i]] == k then behaviours = behaviours + 1 end
      if w.style[request.history[i]] == w.style[a] then styles = styles + 1 end
    end
    local words = 0
    for word in request.query:gmatch "%a+" do
      -- The first word of query and title is the category's name.
      if request.query:find(word, 1, true) > 1 and (" " .. w.title[a]):find(" " .. word, 2, true)
      then
        words = words + 1
      end
    end
    local group = math.floor(k / (c.categories / c.groups)) + 1
    local region = c.region[c.region_ages[request.age + 1]][c.region_prices[w.price_level[a] + 1]]
    local user_group = request.gender * 7 + request.age
    return c.base + c.scene_bias[request.scene + 1]
      + c.category_amplitude * w.category_effect[k]
      + c.picture_amplitude * w.picture_quality[a] + c.own_amplitude * w.own_quality[a]
      + c.taste_amplitude * c.taste[request.scene + 1][group]
      + c.affinity_amplitude * w.affinity[user_group * c.brands + w.brand[a]]
      + c.region_amplitude * region
      + c.behaviour_amplitude * math.min(behaviours, c.behaviour_full) / c.behaviour_full
      + c.style_amplitude * math.min(styles, c.style_full) / c.style_full
      + c.text_amplitude * words, words
  end

  it("is the documented one", function()
    local w = world.new(constants, 5)
    local request, next = traffic.new(w, 400)
    local words = { [0] = 0, 0, 0 }
    for i = 0, 399 do
      next(i)
      for k = 0, request.shown_count - 1 do
        local z, shared = logit(w, request, request.pool[k])
        words[shared] = words[shared] + 1
        assert.near(z, request.logit[k], 1e-12)
        assert.near(1 / (1 + math.exp(-z)), request.p[k], 1e-12)
        assert.equal(request.p[k], (request.probabilities(request.pool[k])))
      end
    end
    assert.is_true(words[1] > 10 and words[2] > 0)
  end)

  it("has the constants of the page, which names the version", function()
    local page = helper.read "docs/simulator.md"
    assert.truthy(page:find(("**simulator version %d**"):format(simulator.version), 1, true))
    local function text(value)
      if type(value) ~= "table" then
        return value == 1 / 6 and "1/6" or type(value) == "number" and ("%.10g"):format(value)
          or value
      end
      local parts = {}
      for i, part in ipairs(value) do parts[i] = text(part) end
      return table.concat(parts, type(value[1]) == "table" and "; " or ", ")
    end
    local expected, found = {}, {}
    for name, value in pairs(constants) do
      if name ~= "version" then expected[name] = text(value) end
    end
    for name, value in page:gmatch "\n| `([%w_]+)` | ([^|\n]+) | [^\n|]-|%f[\n]" do
      if expected[name] then found[name] = value end
    end
    assert.same(expected, found)
  end)
end)

describe("traffic", function()
  -- A few users, so that histories are long and move out of the window.
  local function few_users(seed, requests)
    local c = setmetatable({ users = 20 }, { __index = constants })
    local w = world.new(c, seed)
    local request, next = traffic.new(w, requests)
    return request, next, w
  end

  it("keeps the newest behaviours of a history that is full", function()
    local request, next = few_users(6, 1500)
    local expected, full = {}, 0
    for i = 0, 1499 do
      next(i)
      local seen = {}
      for k = 0, request.history_count - 1 do seen[k + 1] = request.history[k] end
      if expected[request.user] then assert.same(expected[request.user], seen) end
      if #seen == constants.history_max then full = full + 1 end
      for k = 0, request.shown_count - 1 do
        if request.click[k] == 1 then
          seen[#seen + 1] = request.pool[k]
          if #seen > constants.history_max then table.remove(seen, 1) end
        end
      end
      expected[request.user] = seen
    end
    assert.is_true(full > 500)
  end)

  it("shows no ad before it appears, nor lets it into a history", function()
    local request, next, w = few_users(7, 500)
    local late = 0
    for i = 0, 499 do
      next(i)
      for k = 0, request.pool_count - 1 do
        assert.is_true(w.launch[request.pool[k]] <= request.moment)
        if w.launch[request.pool[k]] > 0 then late = late + 1 end
      end
      for k = 0, request.history_count - 1 do
        assert.is_true(w.launch[request.history[k]] <= request.moment)
      end
    end
    assert.is_true(late > 0)
  end)

  it("takes candidates that were not shown with the stated probability", function()
    local request, next = few_users(8, 4000)
    -- Of the ads that just missed being shown, which have no more and no less chance than others.
    local hits, probabilities, first = 0, {}, { 0, {} }
    for i = 0, 3999 do
      next(i)
      local left = request.pool_count - request.shown_count
      assert.equal(math.min(2, left), request.unshown_count)
      if left > 0 then
        assert.equal(math.min(2, left) / left, request.unshown_probability)
        local missed = request.pool[request.pool_count - 1]
        for k = 0, request.unshown_count - 1 do
          if request.unshown[k] == missed then hits = hits + 1 end
        end
        if request.unshown[0] == missed then first[1] = first[1] + 1 end
        probabilities[#probabilities + 1] = request.unshown_probability
        first[2][#first[2] + 1] = 1 / left
      end
    end
    assert_drawn(hits, probabilities, 4)
    assert_drawn(first[1], first[2], 4)
  end)
end)

describe("moonrank simulate", function()
  it("writes a log and prints the ceiling", function()
    local dir = helper.temp_dir() .. "/new/log"
    local status, out, err = helper.run("simulate --requests 300 --out " .. helper.quote(dir))
    assert.same({ 0, "" }, { status, err })
    assert.truthy(out:find "\nceiling  AUC 0%.%d+, GAUC 0%.%d+: the best that any model can reach")
    assert.is_true(helper.exists(dir .. "/simulation.tsv"))
    assert.same({ 0, "", "" },
      { helper.run("simulate --quiet --requests 20 --out " .. helper.quote(dir)) })
  end)

  it("says in one line what is wrong", function()
    local function says(message, arguments)
      assert.same({ 2, "", "moonrank: " .. message .. "\n" }, { helper.run(arguments) })
    end
    says('missing option "--out"; try: moonrank help simulate', "simulate")
    says('--requests is "many", expected a whole number 10 to 100000000',
      "simulate --out x --requests many")
    says("--candidates is 3, expected at most 2, the requests of the test split; try: moonrank"
      .. " help simulate", "simulate --out x --requests 20 --candidates 3")
  end)
end)
