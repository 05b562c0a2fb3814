--- The samples a second that this machine could reach at most on a line of the table of speed,
-- from its limits (mr_limits) and from what a step must compute and move. docs/performance.md
-- derives it.
-- @module roofline
local M = {}

local FIELDS = 39
local HIDDEN = { FIELDS * 16, 400, 400, 400, 1 }

-- What a model must do for one sample. width: floats of a row's value; flops: forward and backward.
local function network_flops()
  local weights = 0
  for i = 1, #HIDDEN - 1 do weights = weights + HIDDEN[i] * HIDDEN[i + 1] end
  return 6 * weights -- forward, gradient of the input, gradient of the weights: 2 each
end

-- DIN with embeddings of 64 + 64, attention 80-40, top 200-80: weights of a behaviour as one ad
-- sees it (the attention unit, whose first layer is one product with a weight of the ad's own, and
-- the pooling), and of an ad (that weight, which takes as much to make as a behaviour's product,
-- the ad's part of the layer, and the top).
local PAIR = 128 * 80 + 80 * 40 + 40 + 128
local AD = 2 * 128 * 80 + 256 * 200 + 200 * 80 + 80

local MODELS = {
  din = { width = 64, ids = 2 * 41, flops = 6 * (40 * PAIR + AD) },
  lr = { width = 1, flops = 2 * FIELDS },
  mlr = { width = 24, flops = 2 * FIELDS * 24 },
  fm = { width = 17, flops = FIELDS * (2 + 7 * 16) },
  dnn = { width = 16, flops = network_flops() },
  deepfm = { width = 17, flops = network_flops() + FIELDS * (2 + 7 * 16) },
}

local STATES = { sgd = 0, adagrad = 1, adam = 2 }

--- The bound and what binds.
-- @tparam string model
-- @tparam string optimizer  of the tables
-- @tparam table limits  as of moonrank.speed's limits, for the threads used
-- @tparam number distinct  distinct keys in a batch, for each of its samples
-- @treturn number samples a second
-- @treturn string "products", "cache" or "rows"
function M.bound(model, optimizer, limits, distinct)
  local of = MODELS[model]
  -- Each occurrence: its code, the memo's entry, its place written and read by forward and update;
  -- the row's value read, and its gradient.
  local cache = (of.ids or FIELDS) * (4 + 8 + 3 * 4 + 2 * 4 * of.width)
  -- Each distinct key: a line of the memo, and the row with its states.
  local lines = distinct * (1 + math.ceil(4 * of.width * (1 + STATES[optimizer]) / 64))
  local seconds, what = of.flops / limits.layer_flops, "products"
  if cache / limits.cache_bytes > seconds then
    seconds, what = cache / limits.cache_bytes, "cache"
  end
  if lines / limits.rows > seconds then seconds, what = lines / limits.rows, "rows" end
  return 1 / seconds, what
end

--- The rows a second from text to a trained lr: as many as a bare program makes; where the text
-- has to be decompressed, in the threads' time that is left.
-- @tparam string file  its name; of zstd it ends in .zst
-- @tparam table limits  text: rows a second of bench/bare_text.c on so many threads; unpack:
--   seconds of one thread for decompressing a row
-- @tparam integer threads
-- @treturn number rows a second
-- @treturn string "bare" or "unpacking"
function M.text(file, limits, threads)
  if not file:find "%.zst$" then return limits.text, "bare" end
  local seconds = threads / limits.text + limits.unpack -- of all threads, for one row
  local binds = limits.unpack > threads / limits.text and "unpacking" or "bare"
  return threads / seconds, binds
end

--- The least time of scoring one user's ads, each with all of the user's behaviours.
-- @tparam integer ads
-- @tparam integer behaviours
-- @tparam table limits
-- @treturn number milliseconds
-- @treturn string "products"
function M.scoring(ads, behaviours, limits)
  return 1e3 * 2 * ads * (behaviours * PAIR + AD) / limits.layer_flops, "products"
end

return M
