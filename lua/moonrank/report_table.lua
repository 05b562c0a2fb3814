--- Tables of figures in plain text: a heading line and rows with right-aligned columns.
-- @module moonrank.report_table
local Progress = require "moonrank.progress"

local M = {}

--- A figure as text: "-" where there is none (nil or NaN).
-- @param value
-- @tparam string format  as of string.format; "," groups thousands
-- @treturn string
function M.figure(value, format)
  if value == nil or value ~= value then return "-" end
  if format == "," then return Progress.grouped(value) end
  return format:format(value)
end

--- A table of the given columns.
-- @tparam {table,...} columns  each { title, format, get, width = }: get(row) gives the value,
-- width is the least; a column whose format is "%s" is text and stands to the left
-- @treturn table with heading() and row(row), which give lines
function M.new(columns)
  local function cell(column, text)
    local width = math.max(#column[1], column.width or 0)
    return ("%" .. (column[2] == "%s" and "-" or "") .. width .. "s"):format(text)
  end
  local function line(text_of)
    local cells = {}
    for i, column in ipairs(columns) do cells[i] = cell(column, text_of(column)) end
    return (table.concat(cells, "  "):gsub("%s+$", ""))
  end
  return {
    heading = function() return line(function(column) return column[1] end) end,
    row = function(row)
      return line(function(column) return M.figure(column[3](row), column[2]) end)
    end,
  }
end

local function of(part, name)
  return function(e) return e[part] and e[part][name] end
end

--- The table of epochs. Rows: { number, train = { logloss }, valid = { logloss, auc, gauc,
-- calibration }, rows_per_second, seconds }; without validation data the figures are "-".
-- @tparam[opt] boolean tasks  true: a column behind that tells the `task` of the row
-- @treturn table
function M.epochs(tasks)
  return M.new {
    { "epoch", "%d", function(e) return e.number end },
    { "train logloss", "%.6f", of("train", "logloss") },
    { "valid logloss", "%.6f", of("valid", "logloss") },
    { "AUC", "%.6f", of("valid", "auc"), width = 8 },
    { "GAUC", "%.6f", of("valid", "gauc"), width = 8 },
    { "calibration", "%.4f", of("valid", "calibration") },
    { "rows/s", ",", function(e) return e.rows_per_second end, width = 9 },
    { "seconds", "%.1f", function(e) return e.seconds end },
    tasks and { "task", "%s", function(e) return e.task end } or nil,
  }
end

--- The lines of an epoch: its own, then, of several tasks, one for the validation figures of each
-- task but the first, whose the figures of the epoch are.
-- @tparam table report  as of epochs()
-- @tparam table epoch  a row of it
-- @tparam {string,...} tasks  their names
-- @treturn {string,...}
function M.epoch_lines(report, epoch, tasks)
  local lines = {}
  for i, task in ipairs(tasks) do
    local row = { valid = epoch.valid and epoch.valid.tasks[task], task = task }
    if i == 1 then row = setmetatable({ task = task }, { __index = epoch }) end
    if i == 1 or row.valid then lines[#lines + 1] = report.row(row) end
  end
  return lines
end

--- The lines of a row of evaluations: its own, then one for each scenario; of several tasks those
-- of each.
-- @tparam table report  as of evaluations()
-- @tparam table row  of it
-- @tparam[opt] {string,...} tasks  their names, where there are several
-- @treturn {string,...}
function M.lines(report, row, tasks)
  local lines = {}
  local function add(what, figures)
    lines[#lines + 1] = report.row { what = what, figures = figures }
    for _, scenario in ipairs(figures.scenarios or {}) do
      lines[#lines + 1] = report.row { what = "  " .. scenario.name, figures = scenario }
    end
  end
  if not tasks or #tasks < 2 then
    add(row.what, row.figures)
  else
    for _, task in ipairs(tasks) do add(row.what .. " " .. task, row.figures.tasks[task]) end
  end
  return lines
end

local MOST_UNSEEN = 10 -- fields that a line names

--- Which values a model does not know, as a line for people: of many fields those with the largest
-- shares.
-- @tparam ?{table,...} unseen  of the figures of Predictor:evaluate
-- @treturn ?string such as "ad_id 3.10 % of 1,000 values"; nil where there are none
function M.unseen(unseen)
  local parts, grouped = {}, require "moonrank.progress".grouped
  local shown = { unpack(unseen or {}) }
  local others = #shown - MOST_UNSEEN
  if others > 0 then
    table.sort(shown, function(a, b)
      local of_a, of_b = a.unseen / a.values, b.unseen / b.values
      return of_a > of_b or of_a == of_b and a.field < b.field
    end)
  end
  for i = 1, math.min(#shown, MOST_UNSEEN) do
    local one = shown[i]
    parts[i] = ("%s %.2f %% of %s values"):format(one.field, 100 * one.unseen / one.values,
      grouped(one.values))
  end
  if others > 0 then
    parts[#parts + 1] = ("less in %d other%s"):format(others, others == 1 and "" or "s")
  end
  return parts[1] and table.concat(parts, ", ")
end

--- The table of evaluations. Rows: { what, figures = { logloss, auc, gauc, calibration, rows,
-- seconds } }.
-- @tparam[opt] integer width  least width of the first column
-- @treturn table
function M.evaluations(width)
  return M.new {
    { "", "%s", function(r) return r.what end, width = width or 14 },
    { "rows", ",", of("figures", "rows"), width = 10 },
    { "AUC", "%.6f", of("figures", "auc"), width = 8 },
    { "GAUC", "%.6f", of("figures", "gauc"), width = 8 },
    { "logloss", "%.6f", of("figures", "logloss"), width = 8 },
    { "calibration", "%.4f", of("figures", "calibration") },
    { "seconds", "%.1f", of("figures", "seconds") },
  }
end

--- The table of slices. Rows: figures as of Slices:figures.
-- @tparam string what  the title of the first column
-- @tparam {table,...} list  the rows, which decide its width
-- @treturn table
function M.slices(what, list)
  local width = 14
  for _, row in ipairs(list) do width = math.max(width, #row.name) end
  local function get(name) return function(r) return r[name] end end
  return M.new {
    { what, "%s", get "name", width = width },
    { "rows", ",", get "rows", width = 10 },
    { "AUC", "%.6f", get "auc", width = 8 },
    { "GAUC", "%.6f", get "gauc", width = 8 },
    { "logloss", "%.6f", get "logloss", width = 8 },
    { "norm. entropy", "%.6f", get "normalised_entropy" },
    { "calibration", "%.4f", get "calibration" },
  }
end

--- The table of calibration. Rows: bins as of metric.reliability.
-- @treturn table
function M.bins()
  local function get(name) return function(b) return b[name] end end
  return M.new {
    { "predicted", "%.6f", get "mean_probability" },
    { "clicked", "%.6f", get "mean_label", width = 8 },
    { "95 % interval", "%s", function(b) return ("%.6f to %.6f"):format(b.low, b.high) end,
      width = 20 },
    { "rows", ",", get "rows", width = 10 },
  }
end

--- All lines of a table.
-- @tparam table report  as of M.new
-- @tparam {table,...} rows
-- @treturn string
function M.text(report, rows)
  local lines = { report.heading() }
  for i, row in ipairs(rows) do lines[i + 1] = report.row(row) end
  return table.concat(lines, "\n")
end

return M
