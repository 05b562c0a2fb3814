--- Figures that say how good scores are: AUC, GAUC, logloss and calibration, exact on any amount
-- of data. What each means, to the last tie: docs/numerics.md.
--
-- Scores, labels, weights and groups are FFI arrays or pointers (`float`, `float`, `float`,
-- `uint64_t`) that hold at least `n` elements. A row of weight 2 counts as if it came twice. A
-- figure that the rows do not define, such as the AUC of clicks alone, is NaN; `metric.text` shows
-- it as "-".
-- @module moonrank.metric
local mr = require "moonrank.ffi"
local C = mr.C

local M = {}

local function view(scores, labels, n, groups, weights)
  if type(n) ~= "cdata" and (type(n) ~= "number" or n % 1 ~= 0) then
    error(("n is %s, expected a whole number"):format(tostring(n)), 3)
  end
  return mr.new("mr_scores", { n = n, scores = scores, labels = labels, groups = groups,
    weights = weights })
end

-- Scores that are NaN, from a model that diverged, and lack of memory are troubles of the world.
-- A wrong label or argument is the mistake of who called the metric.
local function ok(status)
  if status == C.MR_EINVAL then mr.check(status, 2) end
  return mr.ok(status)
end

-- The rows that have a label: their number, of `given` (labels, weights, groups and scores by any
-- name) what these rows have, and a function that frees it.
local function labelled(n, given)
  local all, labels, known = tonumber(n), given.labels, 0
  if labels == nil or not all then return n, given, function() end end
  for i = 0, all - 1 do
    if labels[i] == labels[i] then known = known + 1 end
  end
  if known == all then return all, given, function() end end
  local picked = {}
  for name, values in pairs(given) do
    if values ~= nil then
      local to, at = mr.array(name == "groups" and "uint64_t" or "float", known), 0
      for i = 0, all - 1 do
        if labels[i] == labels[i] then
          to[at] = values[i]
          at = at + 1
        end
      end
      picked[name] = to
    end
  end
  return known, picked, function()
    for _, array in pairs(picked) do mr.free(array) end
  end
end

--- AUC: the share of (positive, negative) pairs in which the positive has the higher score; a tie
-- counts one half.
-- @param scores  logits or probabilities
-- @param labels  0 or 1
-- @tparam integer n
-- @param[opt] pool  threads to use; the figure does not depend on them
-- @param[opt] weights  0 to 1e9; default: every row counts once
-- @treturn number the AUC, NaN when a class is missing; or nil and a message
-- @treturn integer positives
-- @treturn integer negatives
-- @raise when a label is neither 0 nor 1
function M.auc(scores, labels, n, pool, weights)
  local out = mr.new "mr_auc[1]"
  local fine, message = ok(C.mr_metric_auc(out, view(scores, labels, n, nil, weights), pool))
  if not fine then return nil, message end
  return out[0].auc, tonumber(out[0].positives), tonumber(out[0].negatives)
end

--- GAUC: the AUC inside each group, averaged with the group's rows as weights. Groups of one class
-- are left out.
-- @param scores  logits or probabilities
-- @param labels  0 or 1
-- @param groups  keys, in any order
-- @tparam integer n
-- @param[opt] pool  threads to use; the figures do not depend on them
-- @param[opt] weights  as of `auc`; a group then weighs their sum
-- @treturn table gauc, gauc_by_clicks (the same with the group's positives as weights), groups,
-- groups_used (those of both classes), rows_used; or nil and a message
-- @raise when a label is neither 0 nor 1
function M.gauc(scores, labels, groups, n, pool, weights)
  local out = mr.new "mr_gauc[1]"
  local fine, message = ok(C.mr_metric_gauc(out, view(scores, labels, n, groups, weights), pool))
  if not fine then return nil, message end
  local r = out[0]
  return {
    gauc = r.gauc,
    gauc_by_clicks = r.gauc_by_clicks,
    groups = tonumber(r.groups),
    groups_used = tonumber(r.groups_used),
    rows_used = tonumber(r.rows_used),
  }
end

-- A function for scores of a kind; it is what its caller sees, so that mistakes are at their line.
local function logloss_of(kind)
  return function(scores, labels, n, pool, weights)
    local out, rows = mr.new "mr_logloss[1]", view(scores, labels, n, nil, weights)
    local fine, message = ok(C.mr_metric_logloss(out, rows, kind, pool))
    if not fine then return nil, message end
    local r = out[0]
    return {
      logloss = r.logloss,
      normalised_entropy = r.normalised_entropy,
      calibration = r.calibration,
      mean_label = r.mean_label,
      mean_probability = r.mean_probability,
      positives = tonumber(r.positives),
    }
  end
end

--- Logloss and calibration of logits.
-- @function logloss
-- @param logits
-- @param labels  0 or 1
-- @tparam integer n
-- @param[opt] pool  threads to use; the figures do not depend on them
-- @param[opt] weights  as of `auc`
-- @treturn table logloss (the mean), normalised_entropy (logloss by that of the mean label, NaN
-- when a class is missing), calibration (sum p / sum y, NaN without positives), mean_label,
-- mean_probability, positives; or nil and a message
-- @raise when a label is neither 0 nor 1
M.logloss = logloss_of(C.MR_LOGIT)

--- The same of probabilities, which the logloss holds within [2^-23, 1 - 2^-23].
-- @function logloss_of_probabilities
-- @param probabilities
-- @param labels  0 or 1
-- @tparam integer n
-- @param[opt] pool
-- @param[opt] weights
-- @return as `logloss`
-- @raise when a probability is not within [0, 1], a label neither 0 nor 1
M.logloss_of_probabilities = logloss_of(C.MR_PROBABILITY)

local function all_figures(of, n, pool)
  local loss, message = M.logloss(of.logits, of.labels, n, pool, of.weights)
  if not loss then return nil, message end
  local figures = { rows = n, positives = loss.positives, logloss = loss.logloss,
    normalised_entropy = loss.normalised_entropy, calibration = loss.calibration }
  figures.auc, message = M.auc(of.logits, of.labels, n, pool, of.weights)
  if not figures.auc then return nil, message end
  if of.groups then
    local gauc
    gauc, message = M.gauc(of.logits, of.labels, of.groups, n, pool, of.weights)
    if not gauc then return nil, message end
    figures.gauc, figures.groups, figures.groups_used = gauc.gauc, gauc.groups, gauc.groups_used
  end
  return figures
end

--- All figures of logits that are one number.
-- @param logits
-- @param labels  0 or 1; NaN: the row has none and is left out, of `rows` too
-- @param groups  keys, or nil
-- @tparam integer n
-- @param[opt] pool
-- @param[opt] weights  as of `auc`
-- @treturn table rows, positives, logloss, normalised_entropy, calibration, auc, and with groups
-- gauc, groups and groups_used; or nil and a message
-- @raise when a label is neither 0 nor 1
function M.figures(logits, labels, groups, n, pool, weights)
  local known, of, free = labelled(n, { logits = logits, labels = labels, groups = groups,
    weights = weights })
  local figures, message = all_figures(of, known, pool)
  free()
  return figures, message
end

--- Calibration of logits in bins of equal count; rows of one score are in one bin.
-- @param logits
-- @param labels  as of `figures`
-- @tparam integer n
-- @tparam[opt=10] integer bins  how many
-- @param[opt] weights  as of `auc`
-- @treturn table calibration_error (expected: |mean probability - mean label|, weighted by rows;
-- NaN for no rows) and bins, those that have rows, in ascending order of the scores: { rows,
-- positives, mean_probability, mean_label, low and high (its 95 % interval), least and most
-- (logits) }; or nil and a message
-- @raise when a label is neither 0 nor 1, or bins not 1 to 100,000
function M.reliability(logits, labels, n, bins, weights)
  bins = bins or 10
  local known, of, free = labelled(n, { logits = logits, labels = labels, weights = weights })
  local out, memory = mr.new "mr_reliability[1]", mr.new("mr_bin[?]", math.max(bins, 1))
  local fine, message = ok(C.mr_metric_reliability(out, memory, bins,
    view(of.logits, of.labels, known, nil, of.weights), C.MR_LOGIT))
  free()
  if not fine then return nil, message end
  local result = { calibration_error = out[0].calibration_error, bins = {} }
  for i = 0, out[0].n_bins - 1 do
    local b = memory[i]
    result.bins[i + 1] = { rows = tonumber(b.rows), positives = tonumber(b.positives),
      mean_probability = b.mean_probability, mean_label = b.mean_label, low = b.low, high = b.high,
      least = b.least, most = b.most }
  end
  return result
end

--- The figures that models are compared by, in the order in which people read them.
M.compared = { "auc", "gauc", "logloss", "normalised_entropy", "calibration", "calibration_error" }

--- How the logits of two models on the same rows differ: of each figure of `compared` { first,
-- second, difference (first less second), low and high (its 95 % interval), p (of no difference) },
-- by the bootstrap over groups, each draw judging both; and groups, how many there are to draw
-- from. The calibration error is that of 10 bins.
-- @param first  logits
-- @param second  logits
-- @param labels  as of `figures`
-- @param groups  keys, in any order, or nil: each row is one
-- @tparam integer n
-- @tparam[opt] table options  draws (1000), seed (1), pool, weights
-- @treturn table figures are NaN where they are not defined, rows is how many have a label; or nil
-- and a message
-- @raise when a label is neither 0 nor 1
function M.compare(first, second, labels, groups, n, options)
  local o = options or {}
  local known, of, free = labelled(n, { first = first, second = second, labels = labels,
    groups = groups, weights = o.weights })
  local out = mr.new "mr_comparison[1]"
  local rows = view(of.first, of.labels, known, of.groups, of.weights)
  local fine, message = ok(C.mr_metric_compare(out, rows, of.second, o.draws or 1000, o.seed or 1,
    o.pool))
  free()
  if not fine then return nil, message end
  local result = { groups = tonumber(out[0].groups), rows = known }
  for _, name in ipairs(M.compared) do
    local d = out[0][name]
    result[name] = { first = d.first, second = d.second, difference = d.difference, low = d.low,
      high = d.high, p = d.p }
  end
  return result
end

--- A figure for people: six decimals, "-" for one that is not defined.
-- @tparam number value
-- @tparam[opt="%.6f"] string format
-- @treturn string
function M.text(value, format)
  if value ~= value then return "-" end
  return (format or "%.6f"):format(value)
end

return M
