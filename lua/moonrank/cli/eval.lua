--- moonrank eval: how good a model is on data, and how good any could be.
local M = { name = "eval", summary = "figures of a model on data: AUC, GAUC, logloss, calibration" }

local function parser()
  local args = require "moonrank.args"
  local p = args.parser("eval", "Print the figures of a model on data.", [[
With --truth DIR, the folder of a simulated log, the best that any model could reach is printed
beside; without a model, that alone. Normalised entropy is the logloss by that of the mean click
rate (less is better, 1 knows nothing but the mean); the calibration error is the mean distance of
predicted and clicked in bins of equal count.]])
  p:argument("model", "a run folder or a model file"):argname "RUN|MODEL":args "?"
  p:option("--data", "train, valid or test of the run, or a file or pattern, - for standard input; "
    .. "default: test")
    :argname "DATA"
  p:option("--by", "figures of each value of a field, or of ranges where a number has many, as the "
    .. "model reads it; the column of a label or of the groups will do too; as often as you like")
    :argname "FIELD":count "*"
  p:option("--bins", "print calibration in so many bins; default: 10, of which only the error")
    :argname "N"
  p:option("--json", "write all figures, bins and slices to a file too"):argname "FILE"
  args.add_set(p)
  p:option("--truth", "the folder of a simulated log"):argname "DIR"
  p:option("--threads", "threads to use; default: one per CPU"):argname "N"
  return p
end

function M.usage() return require "moonrank.args".help(parser()) end

-- What is asked of the rows one by one: the calibration in bins, and figures by field.
local function look_closer(split, logits, labels, options, pool)
  local cli = require "moonrank.cli"
  local bins = require "moonrank.args".whole("--bins", options.bins, 1, 1000) or 10
  local more = cli.need(require "moonrank.metric".reliability(logits, labels, split:samples(),
    bins, split:weights()))
  for i, field in ipairs(options.by) do
    more.by = more.by or {}
    local slices = cli.need(require "moonrank.slices".by(split, field))
    more.by[i] = { field = field,
      slices = cli.need(slices:figures(split, logits, labels, pool.handle)) }
  end
  return more
end

local function print_closer(figures, more, options)
  local report_table = require "moonrank.report_table"
  print(("\nnormalised entropy %s, expected calibration error %s in %d bins"):format(
    report_table.figure(figures.normalised_entropy, "%.6f"),
    report_table.figure(more.calibration_error, "%.6f"), #more.bins))
  if options.bins then print("\n" .. report_table.text(report_table.bins(), more.bins)) end
  for _, by in ipairs(more.by or {}) do
    print("\n" .. report_table.text(report_table.slices(by.field, by.slices), by.slices))
  end
end

-- `closer` has a list for each task; what is said beside `tasks` is of the first.
local function write_json(path, what, figures, closer)
  local json, more = require "moonrank.json", closer[1]
  local all = { data = what, figures = figures, calibration_error = more.calibration_error,
    bins = more.bins, by = more.by }
  if #closer > 1 then
    all.tasks = {}
    for _, one in ipairs(closer) do
      all.tasks[one.task] = { calibration_error = one.calibration_error, bins = one.bins,
        by = one.by }
    end
  end
  require "moonrank.cli".need(require "moonrank.sink".write_file(path,
    json.encode(json.defined(all)) .. "\n"))
end

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
  local lines, split, figures, closer = { report.heading() }, nil, nil, {}
  if options.model then
    local model_data = require "moonrank.model_data"
    local opened = cli.need(model_data.open(options.model, { pool = pool,
      set = options.set, progress = require "moonrank.progress".new() }))
    split = cli.need(model_data.split(opened, what))
    local predictor = cli.guard(require "moonrank.predictor".new, opened.model, pool)
    figures = cli.guard(predictor.evaluate, predictor, split, function(task, logits, labels)
      closer[#closer + 1] = look_closer(split, logits, labels, options, pool)
      closer[#closer].task = task
    end)
    for _, line in ipairs(tables.lines(report, { what = opened.model.script,
        figures = figures }, opened.model:task_names())) do
      lines[#lines + 1] = line
    end
  end
  if options.truth then
    local name = require "moonrank.path".base(what):gsub("%.tsv.*$", "")
    local best = cli.need(require "moonrank.truth".figures(options.truth, name, split, pool))
    lines[#lines + 1] = report.row { what = "best possible", figures = best }
  end
  lines[#lines + 1] = split and split:bad_rows_line()
  local unseen = tables.unseen(figures and figures.unseen)
  if unseen then lines[#lines + 1] = "not known to the model: " .. unseen end
  print(table.concat(lines, "\n"))
  for _, more in ipairs(closer) do
    if #closer > 1 then print(("\ntask %s"):format(more.task)) end
    print_closer(figures.tasks[more.task], more, options)
  end
  if closer[1] and options.json then write_json(options.json, what, figures, closer) end
  return 0
end

return M
