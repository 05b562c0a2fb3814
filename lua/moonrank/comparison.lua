--- Two trained models on the same data: by how much their figures differ, and how sure that is.
-- @module moonrank.comparison
local Predictor = require "moonrank.predictor"
local Slices = require "moonrank.slices"
local metric = require "moonrank.metric"
local model_data = require "moonrank.model_data"

-- A model and the data as it reads it: its own, as overridden by `set`, or that of another.
local function open(where, what, pool, set, data)
  local opened, message = model_data.open(where, { pool = pool, set = set })
  if not opened then return nil, message end
  opened.data = data or opened.data
  opened.split, message = model_data.split(opened, what)
  if not opened.split then return nil, message end
  return opened
end

local function logits_of(opened, task, pool)
  local names = {}
  for i, known in ipairs(opened.model.tasks) do
    names[i] = known.name
    if known.name == task then
      local predictor = Predictor.new(opened.model, pool)
      local logits = predictor:logits(opened.split, i)
      predictor:close()
      return logits
    end
  end
  return nil, ('%s has no task "%s", but %s'):format(opened.file, task,
    table.concat(names, ", "))
end

-- The slices that are asked for: { { field, slices }, ... }.
local function slices_of(opened, options)
  local list = {}
  for _, field in ipairs(options.by or {}) do
    local slices, message = Slices.by(opened.split, field)
    if not slices then return nil, message end
    list[#list + 1] = slices
  end
  if options.frequency then
    local train, slices, message
    train, message = model_data.split(opened, "train")
    if train then slices, message = Slices.by_frequency(opened.split, train, options.frequency) end
    if not slices then return nil, message end
    list[#list + 1] = slices
  end
  return list
end

-- Compare in each slice: { { name, rows, and as of metric.compare }, ... }.
local function compare_slices(slices, x, y, labels, groups, drawn)
  local list = {}
  for k, slice in ipairs(slices) do
    local options = { draws = drawn.draws, seed = drawn.seed, pool = drawn.pool,
      weights = slices:gather(k, drawn.weights) }
    local compared, message = metric.compare(slices:gather(k, x), slices:gather(k, y),
      slices:gather(k, labels), slices:gather(k, groups), slice.rows, options)
    if not compared then return nil, message end
    compared.name = slice.name
    list[k] = compared
  end
  return list
end

-- Compare in one task.
local function compare_task(a, b, task, parts, options)
  local x, y, message
  x, message = logits_of(a, task, options.pool)
  if x then y, message = logits_of(b, task, options.pool) end
  if not y then return nil, message end
  local labels, groups = a.split:labels(task), a.split:groups()
  if labels == nil then return nil, ('the data has no label of task "%s"'):format(task) end
  local drawn = { draws = options.draws, seed = options.seed, pool = options.pool.handle,
    weights = a.split:weights() }
  local compared
  compared, message = metric.compare(x, y, labels, groups, a.split:samples(), drawn)
  if not compared then return nil, message end
  compared.task, compared.grouped, compared.parts = task, groups ~= nil, {}
  for i, slices in ipairs(parts) do
    local list
    list, message = compare_slices(slices, x, y, labels, groups, drawn)
    if not list then return nil, message end
    compared.parts[i] = { what = slices.name, slices = list }
  end
  return compared
end

--- Compare two models. The data, its labels, weights and groups, are those of the first one.
-- @tparam string first  a run folder or a model file
-- @tparam string second  the same
-- @tparam string what  train, valid or test of the first run, or a file or pattern
-- @tparam table options  pool (a Pool); draws, seed: as of metric.compare; set: overrides of the
-- first run's fields file; by: fields whose values are compared one by one; frequency: a field by
-- which rows are in the training data as often
-- @treturn ?table as of metric.compare, with rows; grouped: whether groups were drawn; parts: for
-- each of `by` and `frequency` { what, slices = a list of { name, rows, as of metric.compare } };
-- task: the first model's first one; tasks: the same of each of its tasks
-- @treturn ?string what is wrong
return function(first, second, what, options)
  local pool = options.pool
  local a, b, message
  a, message = open(first, what, pool, options.set)
  if not a then return nil, message end
  b, message = open(second, what, pool, nil, a.data)
  if not b then return nil, message end
  local n, m = a.split:samples(), b.split:samples()
  if m ~= n then
    return nil, ("%s reads %d rows of the data, %s reads %d"):format(a.file, n, b.file, m)
  end
  local parts
  parts, message = slices_of(a, options)
  if not parts then return nil, message end
  local compared
  for _, task in ipairs(a.model.tasks) do
    local one
    one, message = compare_task(a, b, task.name, parts, options)
    if not one then return nil, message end
    compared = compared or one
    compared.tasks = compared.tasks or {}
    table.insert(compared.tasks, one)
  end
  return compared
end
