--- moonrank compare: two models on the same data, and how sure their difference is.
local M = { name = "compare", summary = "how two models differ on data, and how sure that is" }

local function parser()
  local args = require "moonrank.args"
  local p = args.parser("compare", "Print by how much the figures of two models differ.", [[
The interval holds 95 % of the differences over random draws of groups (users; rows where the data
names no group), each of which judges both models; p is how often chance alone would give a
difference as large. The data, and its labels and groups, are those of the first model.]])
  p:argument("first", "a run folder or a model file"):argname "RUN|MODEL"
  p:argument("second", "the same, of another"):argname "RUN|MODEL"
  p:option("--data", "train, valid or test of the first run, or a file or pattern; default: test")
    :argname "DATA"
  p:option("--draws", "how many draws; default: 1000"):argname "N"
  p:option("--seed", "of the draws; default: 1"):argname "N"
  p:option("--threads", "threads to use; default: one per CPU"):argname "N"
  return p
end

function M.usage() return require "moonrank.args".help(parser()) end

local function figure_table()
  local function of(name) return function(r) return r[name] end end
  local function interval(r)
    if r.low ~= r.low then return "-" end
    return ("%+.6f to %+.6f"):format(r.low, r.high)
  end
  return require "moonrank.report_table".new {
    { "", "%s", of "name", width = 7 },
    { "first", "%.6f", of "first", width = 9 },
    { "second", "%.6f", of "second", width = 9 },
    { "difference", "%+.6f", of "difference" },
    { "95 % interval", "%s", interval, width = 22 },
    { "p", "%.3f", of "p", width = 5 },
  }
end

local NAMES = { auc = "AUC", gauc = "GAUC", logloss = "logloss" }

local function print_figures(compared)
  local report = figure_table()
  print(report.heading())
  for _, name in ipairs { "auc", "gauc", "logloss" } do
    local row = { name = NAMES[name] }
    for key, value in pairs(compared[name]) do row[key] = value end
    print(report.row(row))
  end
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
    what, { draws = draws, seed = args.whole("--seed", options.seed, 0, 2 ^ 53), pool = pool }))
  print(("first    %s"):format(options.first))
  print(("second   %s"):format(options.second))
  print(("data     %s: %s rows, %s draws of %s %s"):format(what, grouped(compared.rows),
    grouped(draws), grouped(compared.groups), compared.grouped and "groups" or "rows"))
  print ""
  print_figures(compared)
  return 0
end

return M
