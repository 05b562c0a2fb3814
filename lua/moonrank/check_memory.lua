--- How much memory a training will take, before there is a cache of its data.
-- @module moonrank.check_memory
local check_columns = require "moonrank.check_columns"
local mr = require "moonrank.ffi"
local C = mr.C

local M = {}

-- Compiled Lua, stacks, what the system's allocator keeps: measured, and half more.
local BESIDE = 2 * 2 ^ 20

--- At most what a training takes of its own, beside its data and model: all of the code; and twice
-- the memory that Lua needs, since the collector waits for so much.
-- @treturn number bytes
function M.program()
  collectgarbage()
  local code = require "moonrank.clock".code_memory() or 8 * 2 ^ 20
  return code + 2 * 1024 * collectgarbage "count" + BESIDE
end

-- What a training holds of its own beside code: Lua's memory, half of it waiting to be collected,
-- compiled Lua, stacks, what the system's allocator keeps. Measured.
local OWN = 2.0 * 2 ^ 20
-- Of the pages that tables lie in (mr__calloc_block).
local HUGE_PAGE = 2 ^ 21

--- Bytes of dense weights: themselves, an optimizer's two states, packed as forward and backward
-- products read them; and the best model so far, packed too, where there is one.
-- @tparam integer parameters
-- @tparam boolean has_best
-- @treturn integer
function M.dense(parameters, has_best) return 4 * parameters * (has_best and 7 or 5) end

-- What finds the rows of a dataset's keys by their codes: 8 bytes a code (moonrank.trainer).
local function memo_bytes(keys) return 8 * keys end

-- ---- tables ----

-- Keys of a table that have a row after so many epochs, of `keys` that come: where they are
-- admitted by count, those that come again when they have reached it.
local function rows_of(report, t, own, keys, epochs)
  if not (own and own.admit) then return keys end
  local often = math.floor(own.admit.count / epochs) + 1
  return report.table_counts[t]:distinct(math.max(often, own.min_count))
end

-- Rows of the best model so far: it may be that of any epoch, so between those of the first and the
-- last.
local function best_rows(report, t, own, keys, epochs)
  return (rows_of(report, t, own, keys, 1) + rows_of(report, t, own, keys, epochs)) / 2
end

-- What a table takes while it is saved, beside its rows: their keys in order, a stretch of rows,
-- and the keys that wait, in order and once more.
local ROWS_SAVED, WAITING_SAVED = 1024, 32
local function saving_bytes(t, own, rows, keys)
  local waiting = own and own.admit and keys - rows or 0
  return math.max(8 * rows + 4 * t.width * math.min(rows, ROWS_SAVED), WAITING_SAVED * waiting)
end

-- At most the keys of a table that a split has.
local function keys_of(survey, t)
  local keys = 0
  for _, c in ipairs(survey.columns) do
    if c.table == t and c.keys then keys = keys + c.keys:distinct() end
  end
  return keys
end

-- The same in whole pages, huge ones where the system gives such; what was freed at their start, as
-- a table's first slots, is not used again.
local function in_pages(bytes)
  local file = io.open("/sys/kernel/mm/transparent_hugepage/enabled", "r")
  local is_given = file and not file:read "*a":find("[never]", 1, true)
  if file then file:close() end
  return is_given and math.ceil(bytes / HUGE_PAGE + 1 / 8) * HUGE_PAGE or bytes
end

-- Tables with the states of their optimizers, the best so far without, what finds their rows, and
-- what saving the largest takes.
local function table_bytes(opened, report, described)
  local run, model, valid = opened.run, opened.model, report.surveys.valid
  local configured = model.fields_config and model.fields_config.tables or {}
  local bytes, saving, best = 0, 0, valid and model:fresh()
  for i, t in ipairs(described.tables) do
    local keys = (report.table_rows[t.name] or 0) + 1 -- with that of unknown values
    local own, epochs = configured[t.name], run.options.epochs
    local rows = rows_of(report, t.name, own, keys, epochs)
    saving = math.max(saving, saving_bytes(t, own, rows, keys))
    bytes = bytes + memo_bytes(keys)
      + tonumber(C.mr_model_table_filled(model.handle, i - 1, rows, keys))
    if best then
      bytes = bytes + memo_bytes(math.min(keys, keys_of(valid, t.name)))
        + tonumber(C.mr_model_table_filled(best.handle, i - 1,
          best_rows(report, t.name, own, keys, epochs), 0))
    end
  end
  if best then best:close() end
  return in_pages(bytes) + saving
end

-- ---- batches: a run is given one as the data has them, and then says what it holds ----

local TRIED = 2 ^ 20 -- behaviours of its samples, at most

-- [rows + 1]: where the values of each row begin if all have `mean` of them.
local function offsets_of(rows, mean)
  local offsets = mr.new("int32_t[?]", rows + 1)
  for r = 0, rows do offsets[r] = math.floor(r * mean) end
  return offsets
end

-- As many requests as n samples have in the mean.
local function requests_of(survey, n)
  return math.max(1, math.floor(n * survey.requests / survey.rows + 0.5))
end

-- How many deviations the largest of k numbers that are spread normally is above their mean, in the
-- mean (the Gumbel distribution, which such largest ones come to).
local function largest_of(k)
  local l = math.log(math.max(k, 3))
  return math.sqrt(2 * l) + (0.5772 - 0.5 * math.log(4 * math.pi * l)) / math.sqrt(2 * l)
end

-- The mean length of a column's lists in that batch, of all in some epochs, that has the most.
local function length_in_largest(c, survey, batch, epochs)
  local mean, variance = check_columns.mean_length(c)
  local batches = math.max(1, survey.rows / batch) * epochs
  return mean + largest_of(batches) * math.sqrt(variance / requests_of(survey, batch))
end

-- A batch of n samples in as many requests, with as many behaviours and values, as the survey's
-- rows have in the mean, in the largest of such batches. All its values are unknown ones.
local function usual_batch(schema, survey, n, batch_size, epochs)
  local requests = requests_of(survey, n)
  local ends, sizes = offsets_of(requests, n / requests), mr.new("int32_t[?]", requests)
  ends[requests] = n
  for q = 0, requests - 1 do sizes[q] = ends[q + 1] - ends[q] end
  local out, is_set = mr.new "mr_batch *[1]", {}
  mr.check(C.mr_batch_new(out, schema, requests, sizes))
  local batch = mr.gc(out[0], C.mr_batch_free)
  for _, c in ipairs(survey.columns) do
    if c.lengths then
      local owners = tonumber(C.mr_batch_rows(batch, c.domain))
      local offsets = offsets_of(owners, length_in_largest(c, survey, batch_size, epochs))
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
    if c.lengths then behaviours = math.max(behaviours, (check_columns.mean_length(c))) end
  end
  return math.max(1, math.min(n, survey.rows, math.floor(TRIED / behaviours)))
end

-- Bytes of a run's buffers once it has had the batches of n samples of some epochs; `use` gives it
-- one.
local function batch_bytes(run, schema, survey, n, epochs, use)
  local before, tried = tonumber(C.mr_run_bytes(run)), tried_samples(survey, n)
  use(usual_batch(schema, survey, tried, math.min(n, survey.rows), epochs), tried)
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
-- @tparam table report  as of moonrank.check, whose data is closed
-- @treturn table weights (dense), tables (rows with their optimizer states, the best model so far,
-- memos of codes), batches, figures (batches and scores of the validation data), cache (mapped:
-- given back when memory is short), process (the program itself), total
function M.forecast(opened, report)
  local run, model = opened.run, opened.model
  local surveys = report.surveys
  local parts = { figures = 0, cache = report.cache_bytes }
  local described = model:describe()
  parts.weights = M.dense(described.parameters, surveys.valid ~= nil)
  parts.tables = table_bytes(opened, report, described)
  local schema = C.mr_graph_schema(model.graph)
  local options = run.options
  parts.batches = batch_bytes(run.handle, schema, surveys.train, options.batch, options.epochs,
    function(batch) mr.check(C.mr_run_gradient(run.handle, batch, mr.new "double[1]")) end)
    + loader_bytes(report, surveys.train, options.batch) + 4 * surveys.train.requests
  for _, name in ipairs { "valid", "test" } do
    local survey = surveys[name]
    if survey and survey.rows > 0 then
      local predictor, n = run:predictor_of_model(), 2 * #model.tasks
      local bytes = batch_bytes(predictor.handle, schema, survey, predictor.batch, 1,
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
  -- The code of this process is that of a training: it has just taken a step.
  parts.process = OWN + (require "moonrank.clock".mapped_memory() or 0)
  parts.total = parts.weights + parts.tables + parts.batches + parts.figures
    + parts.cache + parts.process
  return parts
end

return M
