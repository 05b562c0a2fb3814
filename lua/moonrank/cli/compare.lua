--- moonrank compare: two models on the same data, and how sure their difference is.
local M = { name = "compare", summary = "how two models differ on data, and how sure that is" }

local function parser()
  local args = require "moonrank.args"
  local p = args.parser("compare", "Print by how much the figures of two models differ.", [[
The interval holds 95 % of the differences over random draws of groups (users; rows where the data
names no group), each of which judges both models; p is how often chance alone would give a
difference as large, and no less than 2 in draws + 1. The data, and its labels and groups, are those
of the first model, and so is what --set overrides. Normalised entropy and the calibration error, in
10 bins, are as `moonrank help eval` says.]])
  p:argument("first", "a run folder or a model file"):argname "RUN|MODEL"
  p:argument("second", "the same, of another"):argname "RUN|MODEL"
  p:option("--data", "train, valid or test of the first run, or a file or pattern; default: test")
    :argname "DATA"
  args.add_set(p)
  p:option("--by", "compare for each value of a field too, as `eval --by`; as often as you like")
    :argname "FIELD":count "*"
  p:option("--frequency", "compare for rows whose value of this field, such as the ad's id, the "
    .. "first model's training data has none of, 1 to 9 of, 10 to 99 of ... too"):argname "FIELD"
  p:option("--draws", "how many draws; default: 1000"):argname "N"
  p:option("--seed", "of the draws; default: 1"):argname "N"
  p:option("--threads", "threads to use; default: one per CPU"):argname "N"
  return p
end

function M.usage() return require "moonrank.args".help(parser()) end

local function of(name) return function(r) return r[name] end end

local function interval(r)
  if r.low ~= r.low then return "-" end
  return ("%+.6f to %+.6f"):format(r.low, r.high)
end

-- The table of figures; `leading` columns come first.
local function figure_table(leading)
  local columns = leading or {}
  for _, column in ipairs {
    { "", "%s", of "figure", width = 13 },
    { "first", "%.6f", of "first", width = 9 },
    { "second", "%.6f", of "second", width = 9 },
    { "difference", "%+.6f", of "difference" },
    { "95 % interval", "%s", interval, width = 22 },
    { "p", "%.3f", of "p", width = 5 },
  } do
    columns[#columns + 1] = column
  end
  return require "moonrank.report_table".new(columns)
end

local NAMES = { auc = "AUC", gauc = "GAUC", logloss = "logloss",
  normalised_entropy = "norm. entropy", calibration = "calibration",
  calibration_error = "calib. error" }

-- A row for each figure; those of a slice have its name and rows in the first one.
local function print_figures(report, compared)
  for i, name in ipairs(require "moonrank.metric".compared) do
    local row = { figure = NAMES[name], slice = i == 1 and compared.name or "",
      rows = i == 1 and require "moonrank.progress".grouped(compared.rows) or "" }
    for key, value in pairs(compared[name]) do row[key] = value end
    print(report.row(row))
  end
end

local function print_part(part)
  local width = 0
  for _, slice in ipairs(part.slices) do width = math.max(width, #slice.name) end
  local report = figure_table { { part.what, "%s", of "slice", width = width },
    { "rows", "%s", of "rows", width = 9 } }
  print("\n" .. report.heading())
  for _, slice in ipairs(part.slices) do print_figures(report, slice) end
end

function M.run(words)
  local cli = require "moonrank.cli"
  local args = require "moonrank.args"
  local grouped = require "moonrank.progress".grouped
  local options = args.parse(parser(), words)
  local draws = args.whole("--draws", options.draws, 1, 1e6) or 1000
  local pool = require "moonrank.pool".new(args.whole("--threads", options.threads, 1, 256))
  local what = options.data or "test"
  local compared = cli.need(cli.guard(require "moonrank.comparison", options.first, options.second,
    what, { draws = draws, seed = args.whole("--seed", options.seed, 0, 2 ^ 53 - 1), pool = pool,
      by = options.by, set = options.set, frequency = options.frequency }))
  print(("first    %s"):format(options.first))
  print(("second   %s"):format(options.second))
  print(("data     %s: %s rows, %s draws of %s %s"):format(what, grouped(compared.rows),
    grouped(draws), grouped(compared.groups), compared.grouped and "groups" or "rows"))
  for _, one in ipairs(compared.tasks) do
    print(#compared.tasks > 1 and ("\ntask     %s: %s rows with a label"):format(one.task,
      grouped(one.rows)) or "")
    local report = figure_table()
    print(report.heading())
    print_figures(report, one)
    for _, part in ipairs(one.parts) do print_part(part) end
  end
  return 0
end

return M
