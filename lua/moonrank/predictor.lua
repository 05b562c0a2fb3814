--- Scores of a model over a split, and the figures that follow from them.
-- @classmod moonrank.Predictor
local clock = require "moonrank.clock"
local metric = require "moonrank.metric"
local mr = require "moonrank.ffi"
local Slices = require "moonrank.slices"
local C = mr.C

local Predictor = {}
Predictor.__index = Predictor

--- Prepare a model for predicting.
-- @tparam Model model
-- @tparam Pool pool
-- @tparam[opt] table options  batch (4096)
-- @treturn Predictor
function Predictor.new(model, pool, options)
  local batch = options and options.batch or 4096
  mr.handle(model, "the model")
  mr.handle(pool, "the pool of threads")
  local predictor, run = mr.new "mr_predictor *[1]", mr.new "mr_run *[1]"
  mr.check(C.mr_predictor_new(predictor, model.handle), 1)
  predictor = mr.gc(predictor[0], C.mr_predictor_close)
  mr.check(C.mr_predictor_run(run, predictor, pool.handle, batch), 1)
  return setmetatable({ handle = mr.gc(run[0], C.mr_run_free), predictor = predictor,
    model = model, pool = pool, batch = batch }, Predictor)
end

--- Score all samples of a split, batch by batch.
-- @tparam Split split  of the model's own schema
-- @tparam function each  each(batch_rows, outputs): outputs[2 * i - 1] the logits of task i,
-- outputs[2 * i] its probabilities, `float *` valid until it returns
function Predictor:scan(split, each)
  local handle = mr.handle(self, "the predictor")
  mr.handle(self.model, "the model")
  mr.handle(self.pool, "the pool of threads")
  local n = 2 * #self.model.tasks
  local memory, views = {}, mr.new("float *[?]", n)
  local capacity = 0
  for batch in split:loader { batch = self.batch } do
    local rows = tonumber(C.mr_batch_rows(batch, C.MR_SAMPLE))
    if rows > capacity then
      capacity = rows
      for i = 1, n do
        memory[i] = mr.new("float[?]", rows)
        views[i - 1] = memory[i]
      end
    end
    mr.check(C.mr_run_predict(handle, batch, views), 1)
    each(rows, memory)
  end
end

--- The logits of one task, in the order of the data.
-- @tparam Split split
-- @tparam integer task  from 1
-- @return `float *` from 0, of mr.array
function Predictor:logits(split, task)
  local scores = mr.array("float", split:samples())
  local at = 0
  self:scan(split, function(rows, outputs)
    mr.copy(scores + at, outputs[2 * task - 1], rows * 4)
    at = at + rows
  end)
  return scores
end

-- The figures of each scenario, by name.
local function judge_scenarios(scenarios, split, logits, labels, pool)
  if not scenarios then return nil end
  local list = assert(scenarios:figures(split, logits, labels, pool.handle))
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

local function figures_of(self, split, task, scenarios, seen)
  local start, name = clock.now(), self.model.tasks[task].name
  local labels = split:labels(name)
  if labels == nil then error(('the data has no label of task "%s"'):format(name), 3) end
  local logits = self:logits(split, task)
  local figures = assert(metric.figures(logits, labels, split:groups(), split:samples(),
    self.pool.handle, split:weights()))
  figures.scenarios = judge_scenarios(scenarios, split, logits, labels, self.pool)
  figures.seconds = clock.now() - start
  if seen then seen(name, logits, labels) else mr.free(logits) end
  return figures
end

-- What the run has read so far, by the fields' numbers.
local function read_so_far(self, fields)
  local counts, handle = {}, mr.handle(self, "the predictor")
  for i, field in ipairs(fields) do
    counts[i] = { tonumber(C.mr_run_values(handle, field.column)),
      tonumber(C.mr_run_unseen(handle, field.column)) }
  end
  return counts
end

-- Values of each field that the model reads, and how many of them it does not know.
local function unseen_of(self, split, fields, before)
  local list = {}
  for i, now in ipairs(read_so_far(self, fields)) do
    local values, unseen = now[1] - before[i][1], now[2] - before[i][2]
    local unlisted = split:unseen(fields[i]) -- which read as if there were no value
    if unseen + unlisted > 0 then
      list[#list + 1] = { field = fields[i].name, values = values + unlisted,
        unseen = unseen + unlisted }
    end
  end
  return list
end

--- The figures of the first task: rows (that have a label), positives, logloss,
-- normalised_entropy, calibration (sum p / sum y), auc, gauc with groups and groups_used where a
-- group is declared, seconds; those of every task under `tasks`.
-- Where a scenario is declared, `scenarios` has the same of each, with its `name`, in the order of
-- names. Rows count by their weights, where the data has them. `unseen` is a list of the fields and
-- members that have values which the model does not know, or which are not listed: field (name),
-- unseen and values (that are not empty), both once a request where they are of its side.
-- AUC and GAUC rank logits, which tie less often than their probabilities.
-- @tparam Split split
-- @tparam[opt] function seen  seen(task, logits, labels) is called for each task by name, with
-- `float *` from 0 in the order of the data
-- @treturn table
-- @raise when the data has no label, or a score is not finite
function Predictor:evaluate(split, seen)
  local all, fields, unseen = {}, split.schema:id_fields(), nil
  local scenarios, message = Slices.by_scenario(split)
  if message then error(message, 0) end
  for i, task in ipairs(self.model.tasks) do
    local before = read_so_far(self, fields)
    all[task.name] = figures_of(self, split, i, scenarios, seen)
    unseen = unseen or unseen_of(self, split, fields, before)
  end
  if scenarios then scenarios:close() end
  local figures = { tasks = all, unseen = unseen }
  for key, value in pairs(all[self.model.tasks[1].name]) do figures[key] = value end
  return figures
end

-- Adds, before each row that follows some, the lines of rows that were left out.
local function bad_lines(split, tasks)
  local n, _, list = split:bad_rows()
  local line, at, row = "nan" .. ("\tnan"):rep(tasks - 1), 0, 0
  return function(lines)
    while at < n and list[at] == row do
      lines[#lines + 1] = line
      at, row = at + 1, row + 1
    end
    row = row + 1
  end
end

--- Write one line for each row of the text, in order: the probability of every task, "%.9g", tabs
-- between; "nan" for a row that was wrong and left out.
-- @tparam Split split
-- @param sink  an object with write(text) that returns true, or nil and a message
-- @treturn ?integer samples written
-- @treturn ?string what is wrong
function Predictor:predict(split, sink)
  local written, trouble = 0, nil
  local tasks = #self.model.tasks
  local add_bad = bad_lines(split, tasks)
  self:scan(split, function(rows, outputs)
    if trouble then return end
    local lines = {}
    for r = 0, rows - 1 do
      local line = ("%.9g"):format(outputs[2][r])
      for t = 2, tasks do line = line .. ("\t%.9g"):format(outputs[2 * t][r]) end
      add_bad(lines)
      lines[#lines + 1] = line
    end
    lines[#lines + 1] = ""
    local ok, message = sink:write(table.concat(lines, "\n"))
    if not ok then trouble = message end
    written = written + rows
  end)
  local rest = {}
  add_bad(rest)
  if rest[1] and not trouble then
    rest[#rest + 1] = ""
    local ok, message = sink:write(table.concat(rest, "\n"))
    if not ok then trouble = message end
  end
  if trouble then return nil, trouble end
  return written
end

--- At most the bytes that `evaluate` takes on a split, beside the model.
-- @tparam Split split
-- @treturn integer of batches and their loader
-- @treturn integer of the scores, of what AUC and GAUC sort, and of copies of rows: of a scenario,
-- and with a label
function Predictor:bytes(split)
  local rows = split:samples()
  local figures = rows * (4 + 16) + 2 ^ 18 -- a score; the widest row that is sorted; tallies
  if split.schema.scenario then figures = figures + rows * (8 + 4 + 4 + 8 + 4) end -- gathered
  if #self.model.tasks > 1 then figures = figures + rows * (4 + 4 + 8 + 4) end -- labelled
  return split:run_bytes(mr.handle(self, "the predictor"))
    + split:loader_bytes { batch = self.batch }, figures
end

--- Free the buffers now rather than at some later collection. May be called twice.
function Predictor:close()
  if self.handle then
    C.mr_run_free(mr.gc(self.handle, nil))
    C.mr_predictor_close(mr.gc(self.predictor, nil))
    self.handle, self.predictor = nil, nil
  end
end

return Predictor
