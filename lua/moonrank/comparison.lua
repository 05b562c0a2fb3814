--- Two trained models on the same data: by how much their figures differ, and how sure that is.
-- @module moonrank.comparison
local Predictor = require "moonrank.predictor"
local metric = require "moonrank.metric"
local model_data = require "moonrank.model_data"

-- A model and the data as it reads it.
local function open(where, what, data, pool)
  local opened, message = model_data.open(where, { pool = pool })
  if not opened then return nil, message end
  opened.data = data or opened.data
  opened.split, message = model_data.split(opened, what)
  if not opened.split then return nil, message end
  return opened
end

local function logits_of(opened, task, pool)
  for i, known in ipairs(opened.model.tasks) do
    if known.name == task then
      local predictor = Predictor.new(opened.model, pool)
      local logits = predictor:logits(opened.split, i)
      predictor:close()
      return logits
    end
  end
  return nil, ('%s has no task "%s"'):format(opened.file, task)
end

--- Compare two models. The data, its labels, weights and groups, are those of the first one.
-- @tparam string first  a run folder or a model file
-- @tparam string second  the same
-- @tparam string what  train, valid or test of the first run, or a file or pattern
-- @tparam table options  pool (a Pool); draws, seed: as of metric.compare
-- @treturn ?table as of metric.compare, with rows, and grouped: whether groups were drawn
-- @treturn ?string what is wrong
return function(first, second, what, options)
  local pool = options.pool
  local a, b, message
  a, message = open(first, what, nil, pool)
  if not a then return nil, message end
  b, message = open(second, what, a.data, pool)
  if not b then return nil, message end
  local n, m = a.split:samples(), b.split:samples()
  if m ~= n then
    return nil, ("%s reads %d rows of the data, %s reads %d"):format(a.file, n, b.file, m)
  end
  local task = a.model.tasks[1].name
  local x, y
  x, message = logits_of(a, task, pool)
  if x then y, message = logits_of(b, task, pool) end
  if not y then return nil, message end
  local groups = a.split:groups()
  local compared
  compared, message = metric.compare(x, y, a.split:labels(task), groups, n,
    { draws = options.draws, seed = options.seed, pool = pool.handle,
      weights = a.split:weights() })
  if not compared then return nil, message end
  compared.rows, compared.grouped = n, groups ~= nil
  return compared
end
