--- How much memory a training will take, before there is a cache of its data.
-- @module moonrank.check_memory
local check_columns = require "moonrank.check_columns"
local mr = require "moonrank.ffi"
local C = mr.C

local M = {}

--- Code that is loaded as it is needed, compiled Lua, stacks: measured, at its most where the files
-- of the libraries have just been written.
M.code = 16 * 2 ^ 20
local USUAL_CODE = 10 * 2 ^ 20

--- Bytes of dense weights: themselves, an optimizer's two states, packed as forward and backward
-- products read them; and the best model so far, packed too, where there is one.
-- @tparam integer parameters
-- @tparam boolean has_best
-- @treturn integer
function M.dense(parameters, has_best) return 4 * parameters * (has_best and 7 or 5) end

-- What finds the rows of a dataset's keys by their codes: 8 bytes a code (moonrank.trainer).
local function memo_bytes(keys) return 8 * keys end

-- ---- batches: a run is given one as the data has them, and then says what it holds ----

local TRIED = 2 ^ 20 -- behaviours of its samples, at most

-- [rows + 1]: where the values of each row begin if all have `mean` of them.
local function offsets_of(rows, mean)
  local offsets = mr.new("int32_t[?]", rows + 1)
  for r = 0, rows do offsets[r] = math.floor(r * mean) end
  return offsets
end

-- A batch of n samples in as many requests, with as many behaviours and values, as the survey's
-- rows have in the mean. All its values are unknown ones.
local function mean_batch(schema, survey, n)
  local requests = math.max(1, math.floor(n * survey.requests / survey.rows + 0.5))
  local ends, sizes = offsets_of(requests, n / requests), mr.new("int32_t[?]", requests)
  ends[requests] = n
  for q = 0, requests - 1 do sizes[q] = ends[q + 1] - ends[q] end
  local out, is_set = mr.new "mr_batch *[1]", {}
  mr.check(C.mr_batch_new(out, schema, requests, sizes))
  local batch = mr.gc(out[0], C.mr_batch_free)
  for _, c in ipairs(survey.columns) do
    if c.lengths then
      local owners = tonumber(C.mr_batch_rows(batch, c.domain))
      local offsets = offsets_of(owners, check_columns.mean_length(c))
      if c.sequence and not is_set[c.sequence] then
        is_set[c.sequence] = true
        mr.check(C.mr_batch_set_sequence(batch, c.sequence, offsets))
      end
      if c.type == "ids" then
        local values = offsets[owners]
        if c.sequence then offsets = offsets_of(values, 1) end -- how many each has is not known
        mr.check(C.mr_batch_set_bags(batch, C.mr_schema_find(schema, c.name), offsets,
          mr.new("uint64_t[?]", math.max(values, 1))))
      end
    end
  end
  return batch
end

-- Samples of up to n whose behaviours are no more than TRIED.
local function tried_samples(survey, n)
  local behaviours = 1
  for _, c in ipairs(survey.columns) do
    if c.lengths then behaviours = math.max(behaviours, check_columns.mean_length(c)) end
  end
  return math.max(1, math.min(n, survey.rows, math.floor(TRIED / behaviours)))
end

-- Bytes of a run's buffers once it has had batches of n samples; `use` gives it one.
local function batch_bytes(run, schema, survey, n, use)
  local before, tried = tonumber(C.mr_run_bytes(run)), tried_samples(survey, n)
  use(mean_batch(schema, survey, tried), tried)
  local grown = tonumber(C.mr_run_bytes(run)) - before
  return before + grown * math.min(n, survey.rows) / tried
end

-- What a loader holds: three batches of n samples, whose buffers grew by doubling, to some half
-- more than they need.
local function loader_bytes(report, survey, n)
  local rows = 0
  for _, one in pairs(report.surveys) do rows = rows + one.rows end
  return 3 * 1.5 * report.cache_bytes / math.max(rows, 1) * math.min(n, survey.rows)
end

--- The parts of what `moonrank train` takes at its most, in bytes.
-- @tparam table opened  a model and a run that has taken no step, and takes one now: as of
-- moonrank.experiment
-- @tparam table report  as of moonrank.check
-- @tparam integer own  bytes that the program holds without data
-- @treturn table weights (dense), tables (rows with their optimizer states, the best model so far,
-- memos of codes), batches, figures (batches and scores of the validation data), cache (mapped:
-- given back when memory is short), process (the program itself), total
function M.forecast(opened, report, own)
  local run, model = opened.run, opened.model
  local surveys = report.surveys
  local parts = { tables = 0, figures = 0, cache = report.cache_bytes, process = own + USUAL_CODE }
  local best, described = surveys.valid and model:fresh(), model:describe()
  parts.weights = M.dense(described.parameters, best ~= nil)
  for i, t in ipairs(described.tables) do
    local rows = (report.table_rows[t.name] or 0) + 1 -- with that of unknown values
    parts.tables = parts.tables + memo_bytes(rows)
      + tonumber(C.mr_model_table_filled(model.handle, i - 1, rows))
    if best then
      parts.tables = parts.tables + tonumber(C.mr_model_table_filled(best.handle, i - 1, rows))
        + memo_bytes(rows)
    end
  end
  if best then best:close() end
  local schema = C.mr_graph_schema(model.graph)
  parts.batches = batch_bytes(run.handle, schema, surveys.train, run.options.batch,
    function(batch) mr.check(C.mr_run_gradient(run.handle, batch, mr.new "double[1]")) end)
    + loader_bytes(report, surveys.train, run.options.batch) + 4 * surveys.train.requests
  for _, name in ipairs { "valid", "test" } do
    local survey = surveys[name]
    if survey and survey.rows > 0 then
      local predictor, n = run:predictor_of_model(), 2 * #model.tasks
      local bytes = batch_bytes(predictor.handle, schema, survey, predictor.batch,
        function(batch, rows)
          local views, memory = mr.new("float *[?]", n), {}
          for i = 1, n do
            memory[i] = mr.new("float[?]", rows)
            views[i - 1] = memory[i]
          end
          mr.check(C.mr_run_predict(predictor.handle, batch, views))
        end)
      -- Scores, and what AUC and GAUC sort.
      parts.figures = math.max(parts.figures, bytes + 24 * survey.rows
        + loader_bytes(report, survey, predictor.batch))
    end
  end
  parts.total = parts.weights + parts.tables + parts.batches + parts.figures
    + parts.cache + parts.process
  return parts
end

return M
