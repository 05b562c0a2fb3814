--- What a report says of a run: its figures on data, curves, slices, tables and settings.
-- @module moonrank.report_data
local Model = require "moonrank.model"
local Predictor = require "moonrank.predictor"
local RunFolder = require "moonrank.run_folder"
local Slices = require "moonrank.slices"
local config_split = require "moonrank.config_split"
local data_rules = require "moonrank.data_rules"
local metric = require "moonrank.metric"
local model_data = require "moonrank.model_data"
local path_of = require "moonrank.path"
local sorted_keys = require "moonrank.sorted_keys"
local yaml = require "moonrank.yaml"

local M = {}

local ROC_POINTS, HISTOGRAM_BINS, MOST_SLICES = 200, 40, 10

-- Walk over the rows: each(logit, label, weight).
local function walk(rows, each)
  for i = 0, rows.n - 1 do
    local label = rows.labels[i] -- NaN: there is none
    if label == label then each(rows.logits[i], label, rows.weights and rows.weights[i] or 1) end
  end
end

-- The number of the bin that holds a logit; bins ascend and hold all.
local function bin_of(bins, logit)
  local low, high = 1, #bins
  while low < high do
    local middle = math.floor((low + high) / 2)
    if logit > bins[middle].most then low = middle + 1 else high = middle end
  end
  return low
end

-- Points of the curve from (0, 0) to (1, 1): those between bins of equal count. Rows of one score
-- are in one bin, so each point is exact. None where a class is missing.
local function roc_of(rows)
  local bins = assert(metric.reliability(rows.logits, rows.labels, rows.n, ROC_POINTS,
    rows.weights)).bins
  local clicks, others, all = {}, {}, { 0, 0 }
  for k = 1, #bins do clicks[k], others[k] = 0, 0 end
  walk(rows, function(logit, label, weight)
    local of, k = label == 1 and clicks or others, bin_of(bins, logit)
    of[k] = of[k] + weight
  end)
  for k = 1, #bins do all = { all[1] + others[k], all[2] + clicks[k] } end
  if all[1] == 0 or all[2] == 0 then return {} end
  local points, alarms, hits = { { 0, 0 } }, 0, 0
  for k = #bins, 1, -1 do
    alarms, hits = alarms + others[k], hits + clicks[k]
    points[#points + 1] = { alarms / all[1], hits / all[2] }
  end
  return points
end

local function probability(logit) return 1 / (1 + math.exp(-logit)) end

-- Shares of the rows without and with a click in equal steps of the probability, of its logarithm
-- where the least and the most are far apart: { log, { from, to, without, with }, ... }.
local function histogram_of(rows)
  local least, most = math.huge, -math.huge
  walk(rows, function(logit) least, most = math.min(least, logit), math.max(most, logit) end)
  if least > most then return {} end
  least, most = math.max(probability(least), 1e-6), math.max(probability(most), 1e-6)
  local log = most > 20 * least
  local scale = log and math.log or function(p) return p end
  local from = scale(least)
  local step = math.max(scale(most) - from, 1e-9) / HISTOGRAM_BINS
  local bins, totals = { log = log }, { 0, 0 }
  for k = 1, HISTOGRAM_BINS do
    local low, high = from + (k - 1) * step, from + k * step
    bins[k] = { log and math.exp(low) or low, log and math.exp(high) or high, 0, 0 }
  end
  walk(rows, function(logit, label, weight)
    local place = (scale(math.max(probability(logit), least)) - from) / step
    local bin = bins[math.max(1, math.min(HISTOGRAM_BINS, math.floor(place) + 1))]
    local class = label == 1 and 2 or 1
    bin[2 + class] = bin[2 + class] + weight
    totals[class] = totals[class] + weight
  end)
  for _, bin in ipairs(bins) do
    for class = 1, 2 do
      bin[2 + class] = totals[class] > 0 and bin[2 + class] / totals[class] or 0
    end
  end
  return bins
end

-- A list or a map as it is written in one line.
local function in_line(value) return (yaml.write({ value }):gsub("%s+$", ""):gsub("^%- ", "")) end

-- Settings by dotted name; lists as they are written.
local function flatten(values, path, result)
  for _, key in ipairs(sorted_keys(values)) do
    local value, name = values[key], path and path .. "." .. key or key
    if type(value) == "table" and #value == 0 and next(value) ~= nil then
      flatten(value, name, result)
    else
      result[name] = type(value) == "table" and in_line(value) or tostring(value)
    end
  end
  return result
end

-- Of the experiment, and of its fields file: the fields each by its name.
local function settings_of(folder)
  local settings = {}
  for _, name in ipairs { "fields.yaml", "config.yaml" } do
    local node, message = yaml.read(path_of.join(folder, name))
    if not node then return nil, message end
    local values = yaml.plain(node)
    if name == "fields.yaml" then
      for _, field in ipairs(values.fields) do
        settings["fields." .. field.name] = in_line(field)
      end
    end
    values.fields = nil
    flatten(values, nil, settings)
  end
  return settings
end

-- What the pictures show of a task.
local function look(task, split, rows, options)
  task.reliability = assert(metric.reliability(rows.logits, rows.labels, rows.n, nil, rows.weights))
  task.roc = roc_of(rows)
  task.histogram = histogram_of(rows)
  for _, field in ipairs(options.by or {}) do
    local slices, message = Slices.by(split, field, MOST_SLICES)
    if not slices then return nil, message end
    local list
    list, message = slices:figures(split, rows.logits, rows.labels, options.pool.handle)
    if not list then return nil, message end
    task.by[#task.by + 1] = { field = field, slices = list }
  end
  return true
end

-- The tasks of a model, each with its figures and what the pictures show.
local function judge(opened, split, options)
  local predictor, tasks, ok, message = Predictor.new(opened.model, options.pool), {}, true, nil
  local all = predictor:evaluate(split, function(name, logits, labels)
    local task = { task = name, by = {} }
    tasks[#tasks + 1] = task
    if not ok then return end
    ok, message = look(task, split, { n = split:samples(), logits = logits, labels = labels,
      weights = split:weights() }, options)
  end)
  predictor:close()
  if not ok then return nil, message end
  for _, task in ipairs(tasks) do
    task.figures = all.tasks[task.task]
    if task.figures.scenarios then
      table.insert(task.by, 1, { field = split.schema.config.scenario,
        slices = task.figures.scenarios })
    end
  end
  return tasks
end

-- The last name of a folder; of one of several seeds or trials, "seed-2", the one above it as well.
local function name_of(folder)
  local path = folder:gsub("/+$", "")
  return path:match "([^/]+/%a+%-%d+)$" or path_of.base(path)
end

--- Open a run and judge it on data.
-- @tparam string folder  a run folder
-- @tparam table options  pool; data: train, valid, test or a file, default: test where the run has
-- it, else valid, else train; by: a list of fields; set: overrides of the run's fields file
-- @treturn ?table name, folder, data, rules (lines of how its rows were split and sampled; none for
-- a file), epochs (of metrics.jsonl), tables { name, rows, width }, parameters, settings; and
-- tasks, in the order of the script, each { task = its name, figures (as of metric.figures),
-- reliability (as of metric.reliability), roc { { x, y }, ... }, histogram, by { { field,
-- slices }, ... } with scenarios first }
-- @treturn ?string what is wrong
-- @raise when a score is not finite, or the data has no label
function M.read(folder, options)
  local file, message = Model.file(folder)
  if not file then return nil, message end
  local run = { folder = folder, name = name_of(folder) }
  run.epochs, message = RunFolder.epochs(folder)
  if not run.epochs then return nil, message .. "; a report is of run folders" end
  run.settings, message = settings_of(folder)
  if not run.settings then return nil, message end
  local opened, split
  opened, message = model_data.open(folder, { pool = options.pool, set = options.set })
  if not opened then return nil, message end
  run.data = options.data or config_split.to_judge { data = opened.data or {} }
  split, message = model_data.split(opened, run.data)
  if not split then return nil, message end
  run.rules = {}
  if opened.fields and model_data.is_split(run.data) then
    run.rules, message = data_rules.with_split(opened.fields, opened.places)
    if not run.rules then return nil, message end
  end
  local described = opened.model:describe()
  run.tables, run.parameters, run.script = described.tables, described.parameters,
    opened.model.script
  run.tasks, message = judge(opened, split, options)
  opened.model:close()
  if not run.tasks then return nil, message end
  return run
end

return M
