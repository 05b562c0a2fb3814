--- What any model could reach on a simulated log, and what is lost without each planted term.
--
-- The figures come from the true logit of the test rows and their drawn clicks; nothing is fitted
-- but means of terms over the training rows. A term that a kind of model cannot see is replaced by
-- its mean given what that model does see: the best such a model could do, were it to find all
-- else exactly.
-- @module moonrank.simulator.ceilings
local ffi = require "ffi"
local formula = require "moonrank.simulator.formula"
local metric = require "moonrank.metric"

local M = {}
M.__index = M

local doubles = ffi.typeof "double[?]"

-- The fraction of a history that lies in one category, in this many steps: finer ones would give
-- away the length of the history, which a mean of embeddings does not show.
local FRACTION_STEPS = 20

local TERM = {}
for i, name in ipairs(formula.TERMS) do TERM[name] = i - 1 end
local N_TERMS = #formula.TERMS

--- Means of a value by a small whole number.
local function new_means(n)
  return { sum = doubles(n), count = doubles(n), n = n }
end

local function add_to(means, key, value)
  means.sum[key] = means.sum[key] + value
  means.count[key] = means.count[key] + 1
end

local function mean_of(means, key)
  if means.count[key] > 0 then return means.sum[key] / means.count[key] end
  return 0
end

local function overall_mean(means)
  local sum, count = 0, 0
  for key = 0, means.n - 1 do sum, count = sum + means.sum[key], count + means.count[key] end
  return count > 0 and sum / count or 0
end

--- Observer of a log.
-- @tparam table world
-- @tparam integer test_requests  how many requests the test split has
-- @tparam number train_end  share of the log that is training data
-- @treturn table with observe(request, split) and figures()
function M.new(world, test_requests, train_end)
  local c = world.constants
  local capacity = test_requests * math.max(unpack(c.shown))
  local self = {
    world = world, n = 0, train_end = train_end,
    by_fraction = new_means(FRACTION_STEPS + 1), -- of the behaviour term
    by_length = new_means(c.history_max + 1), -- of the style term
    by_scene = new_means(#c.scenes), -- of the text term
    terms = doubles(capacity * N_TERMS),
    logit = doubles(capacity),
    fraction = ffi.new("int32_t[?]", capacity), length = ffi.new("int32_t[?]", capacity),
    scene = ffi.new("int32_t[?]", capacity), cold = ffi.new("uint8_t[?]", capacity),
    user = ffi.new("uint64_t[?]", capacity), label = ffi.new("float[?]", capacity),
  }
  return setmetatable(self, M)
end

--- Take in the rows of a request.
-- @tparam table request
-- @tparam string split  "train", "valid" or "test"
function M:observe(request, split)
  if split == "valid" then return end
  local world, terms = self.world, request.terms
  for k = 0, request.shown_count - 1 do
    local ad, from = request.pool[k], k * N_TERMS
    local length, count = request.history_count, request.category_count[world.category[ad]]
    local fraction = length > 0 and math.ceil(count / length * FRACTION_STEPS) or 0
    if split == "train" then
      add_to(self.by_fraction, fraction, terms[from + TERM.behaviour])
      add_to(self.by_length, length, terms[from + TERM.style])
      add_to(self.by_scene, request.scene, terms[from + TERM.text])
    else
      local row = self.n
      self.n = row + 1
      for t = 0, N_TERMS - 1 do self.terms[row * N_TERMS + t] = terms[from + t] end
      self.logit[row], self.label[row] = request.logit[k], request.click[k]
      self.fraction[row], self.length[row] = fraction, length
      self.scene[row], self.user[row] = request.scene, request.user
      self.cold[row] = world.launch[ad] >= self.train_end and 1 or 0
    end
  end
end

--- What is added to the logit of a test row by one who does not see a term.
local function blind_spots(self)
  local style_mean = overall_mean(self.by_length)
  local function term(row, name) return self.terms[row * N_TERMS + TERM[name]] end
  local function left_out(name)
    return function(row) return -term(row, name) end
  end
  local blind = {
    behaviour = left_out "behaviour", taste = left_out "taste",
    affinity = left_out "affinity", region = left_out "region",
    count = function(row)
      return mean_of(self.by_fraction, self.fraction[row]) - term(row, "behaviour")
    end,
    picture_match = function(row)
      return mean_of(self.by_length, self.length[row]) - term(row, "style")
    end,
    picture_count = function(row) return style_mean - term(row, "style") end,
    text = function(row) return mean_of(self.by_scene, self.scene[row]) - term(row, "text") end,
    cold = function(row)
      return self.cold[row] == 1 and -term(row, "picture") - term(row, "own") or 0
    end,
  }
  return blind
end

--- The ceilings that are reported: a name, and what is not seen.
M.VIEWS = {
  { "best" },
  { "without_behaviour", "behaviour" },
  { "fraction_for_count", "count" },
  { "without_picture_match", "picture_match" },
  { "without_text", "text" },
  { "without_cold_pictures", "cold" },
  { "ids", "picture_match", "text", "cold" },
  { "ids_fraction_for_count", "count", "picture_count", "text", "cold" },
  { "without_taste", "taste" },
  { "without_affinity", "affinity" },
  { "without_region", "region" },
}

local function select_rows(self, keep)
  local scores, labels = ffi.new("float[?]", self.n), ffi.new("float[?]", self.n)
  return function(all)
    local n = 0
    for row = 0, self.n - 1 do
      if keep(self, row) then
        scores[n], labels[n] = all[row], self.label[row]
        n = n + 1
      end
    end
    return metric.auc(scores, labels, n)
  end
end

local PARTS = {
  { "feed", function(self, row) return self.scene[row] == 0 end },
  { "search", function(self, row) return self.scene[row] == 1 end },
  { "cart", function(self, row) return self.scene[row] == 2 end },
  { "cold", function(self, row) return self.cold[row] == 1 end },
}

local function variance(self, value)
  local sum, squares = 0, 0
  for row = 0, self.n - 1 do
    local x = value(row)
    sum, squares = sum + x, squares + x * x
  end
  local mean = sum / self.n
  return squares / self.n - mean * mean
end

--- The figures of the test rows.
-- @treturn {{string,number},...} names and values; or nil and a message
function M:figures()
  local list, blind = {}, blind_spots(self)
  local function add(value, ...) list[#list + 1] = { table.concat({ ... }, "."), value } end

  add(variance(self, function(row) return self.logit[row] end), "variance", "logit")
  for t, name in ipairs(formula.TERMS) do
    add(variance(self, function(row) return self.terms[row * N_TERMS + t - 1] end),
      "variance", name)
  end

  local scores = ffi.new("float[?]", self.n)
  for _, view in ipairs(M.VIEWS) do
    for row = 0, self.n - 1 do
      local z = self.logit[row]
      for k = 2, #view do z = z + blind[view[k]](row) end
      scores[row] = z
    end
    local auc, message = metric.auc(scores, self.label, self.n)
    if not auc then return nil, message end
    add(auc, "auc", view[1])
    local gauc
    gauc, message = metric.gauc(scores, self.label, self.user, self.n)
    if not gauc then return nil, message end
    add(gauc.gauc, "gauc", view[1])
    for _, part in ipairs(PARTS) do
      add(select_rows(self, part[2])(scores), "auc", view[1], part[1])
    end
  end
  return list
end

return M
