--- moonrank eval: how good a model is on data, and how good any could be.
local M = { name = "eval", summary = "figures of a model on data: AUC, GAUC, logloss, calibration" }

local function parser()
  local args = require "moonrank.args"
  local p = args.parser("eval", "Print the figures of a model on data.", [[
With --truth DIR, the folder of a simulated log, the best that any model could reach is printed
beside; without a model, that alone.]])
  p:argument("model", "a run folder or a model file"):argname "RUN|MODEL":args "?"
  p:option("--data", "train, valid or test of the run, or a file or pattern, - for standard input; "
    .. "default: test")
    :argname "DATA"
  args.add_set(p)
  p:option("--truth", "the folder of a simulated log"):argname "DIR"
  p:option("--threads", "threads to use; default: one per CPU"):argname "N"
  return p
end

function M.usage() return require "moonrank.args".help(parser()) end

function M.run(words)
  local cli = require "moonrank.cli"
  local args = require "moonrank.args"
  local options = args.parse(parser(), words)
  if not options.model and not options.truth then
    cli.usage_error "name a run folder or a model file, or a simulated log with --truth"
  end
  local pool = require "moonrank.pool".new(args.whole("--threads", options.threads, 1, 256))
  local what = options.data or "test"
  local tables = require "moonrank.report_table"
  local report = tables.evaluations()
  local lines, split = { report.heading() }, nil
  if options.model then
    local model_data = require "moonrank.model_data"
    local opened = cli.need(model_data.open(options.model, { pool = pool,
      set = options.set }))
    split = cli.need(model_data.split(opened, what))
    local predictor = cli.guard(require "moonrank.predictor".new, opened.model, pool)
    local figures = cli.guard(predictor.evaluate, predictor, split)
    for _, line in ipairs(tables.lines(report, { what = opened.model.script,
        figures = figures })) do
      lines[#lines + 1] = line
    end
  end
  if options.truth then
    local name = require "moonrank.path".base(what):gsub("%.tsv.*$", "")
    local best = cli.need(require "moonrank.truth".figures(options.truth, name, split, pool))
    lines[#lines + 1] = report.row { what = "best possible", figures = best }
  end
  print(table.concat(lines, "\n"))
  return 0
end

return M
