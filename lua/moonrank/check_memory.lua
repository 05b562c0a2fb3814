--- How much memory a training will take, before there is a cache of its data.
-- @module moonrank.check_memory
local mr = require "moonrank.ffi"
local C = mr.C

local M = {}

-- Code that is loaded as it is needed, compiled Lua, stacks: measured, at its most where the files
-- of the libraries have just been written.
local CODE = 16 * 2 ^ 20
M.code = CODE

-- What finds the rows of a dataset's keys by their codes: 8 bytes a code (moonrank.trainer).
local function memo_bytes(keys) return 8 * keys end

--- The parts of what `moonrank train` takes at its most, in bytes.
-- @tparam table opened  a model and a run that has taken no step: as of moonrank.experiment
-- @tparam table report  as of moonrank.check
-- @tparam integer own  bytes that the program holds without data
-- @treturn table tables (rows with their optimizer states, the best model so far, memos of codes),
-- batches, figures (scores of the validation data), cache (mapped: given back when memory is
-- short), process (the program itself), total
function M.forecast(opened, report, own)
  local run, model = opened.run, opened.model
  local parts = { tables = 0, batches = tonumber(C.mr_run_bytes(run.handle)), figures = 0,
    cache = report.cache_bytes, process = own + CODE }
  local best = report.surveys.valid and model:fresh()
  for i, t in ipairs(model:describe().tables) do
    local rows = (report.table_rows[t.name] or 0) + 1 -- with that of unknown values
    parts.tables = parts.tables + memo_bytes(rows)
      + tonumber(C.mr_model_table_filled(model.handle, i - 1, rows))
    if best then
      parts.tables = parts.tables + tonumber(C.mr_model_table_filled(best.handle, i - 1, rows))
        + memo_bytes(rows)
    end
  end
  if best then best:close() end
  local judged = math.max(report.surveys.valid and report.surveys.valid.rows or 0,
    report.surveys.test and report.surveys.test.rows or 0)
  parts.figures = 24 * judged -- scores, and what AUC and GAUC sort
  parts.total = parts.tables + parts.batches + parts.figures + parts.cache + parts.process
  return parts
end

return M
