--- moonrank train: an experiment file in, a run folder with a model out.
local M = { name = "train", summary = "train a model from an experiment file" }

local function parser()
  local args = require "moonrank.args"
  local p = args.parser("train", "Train a model and write a run folder.", [[
The run folder holds config.yaml and fields.yaml (everything resolved), log.txt, metrics.jsonl,
checkpoints and model.mr. The same experiment gives the same model, byte for byte, whatever the
threads and however often it was stopped and resumed. Ctrl-C saves and exits with 130.]])
  p:argument("config", "the experiment file"):argname "CONFIG"
  args.add_set(p)
  p:option("--out", "the run folder; default: runs/<experiment>-<sum>"):argname "DIR"
  p:flag("--resume", "go on from the run's newest checkpoint, if there is one")
  p:flag("--restart", "begin anew where an unfinished run lies, and drop its checkpoints")
  p:option("--stop-after", "stop after this epoch; --resume goes on"):argname "EPOCH"
  p:option("--threads", "threads to use; default: one per CPU"):argname "N"
  p:option("--repeat", "train N times, with train.seed and those after it, each in its own folder "
    .. "in the run folder; print mean and spread; --resume keeps the runs that are finished")
    :argname "N":target "times"
  p:flag("--no-test", "leave the test data alone: it is not even read")
  p:flag("--quiet", "print nothing but errors")
  return p
end

function M.usage() return require "moonrank.args".help(parser()) end

local function print_warm_start(say, report)
  if not report then return end
  say(("taken    from %s: %s"):format(report.file, table.concat(report.taken, ", ")))
  if #report.missing > 0 then
    say(("new      not in there: %s"):format(table.concat(report.missing, ", ")))
  end
end

-- The most that it will take, and, where that is less, what it took to build the cache.
local function print_memory(say, d, data)
  local total = 0
  local function megabytes(bytes)
    return require "moonrank.progress".grouped(math.ceil(bytes / 2 ^ 20))
  end
  local parts = {}
  local check_memory, clock = require "moonrank.check_memory", require "moonrank.clock"
  local dense = check_memory.dense(d.parameters, data.splits.valid ~= nil)
  for _, part in ipairs { { "weights", dense }, { "tables", d.table_bytes }, { "batches", d.bytes },
    { "the loader", d.loader_bytes }, { "evaluation", d.figure_bytes },
    { "the program", check_memory.program() } } do
    total = total + part[2]
    parts[#parts + 1] = ("%s %s"):format(part[1], megabytes(part[2]))
  end
  local mapped, before = 0, clock.peak_memory() or 0
  for _, split in pairs(data.splits) do mapped = mapped + split.cache_bytes end
  say(("memory   at most %s MB: %s; and up to %s MB of the mapped cache, which the system takes "
    .. "back when it needs to%s"):format(megabytes(total), table.concat(parts, ", "),
    megabytes(mapped), before > total + mapped
      and ("; to build the cache took %s MB"):format(megabytes(before)) or ""))
end

local function print_header(say, opened)
  local configuration, script = opened.configuration, opened.script
  local data, run = opened.data, opened.run
  local grouped = require "moonrank.progress".grouped
  local rows = {}
  for _, name in ipairs { "train", "valid", "test" } do
    local split = data.splits[name]
    if split then rows[#rows + 1] = ("%s %s"):format(name, grouped(split:samples())) end
  end
  say(("model    %s (%s)"):format(script.name, script.path))
  say(("data     %s rows: %s"):format(configuration.experiment.fields, table.concat(rows, ", ")))
  local rule = require "moonrank.config_split".describe(configuration.fields)
  if rule then say("split    " .. rule) end
  for i, line in ipairs(opened.rules) do say((i == 1 and "rules    " or "         ") .. line) end
  local d = run:describe(data)
  say(("weights  %s dense"):format(grouped(d.parameters)))
  local widths, names = {}, {}
  for _, t in ipairs(d.tables) do
    if not names[t.width] then
      names[t.width] = {}
      widths[#widths + 1] = t.width
    end
    table.insert(names[t.width], ("%s (%s)"):format(t.name, grouped(t.keys)))
  end
  for _, width in ipairs(widths) do
    say(("tables   %d wide (keys): %s"):format(width, table.concat(names[width], ", ")))
  end
  if run.frozen then say("frozen   " .. table.concat(run.frozen, ", ")) end
  print_memory(say, d, data)
end

-- Figures for metrics.jsonl: without those by task where there is only one.
local function figures_for_log(figures)
  if not figures then return nil end
  local result = {}
  for name, value in pairs(figures) do result[name] = value end
  if figures.tasks and next(figures.tasks, (next(figures.tasks))) == nil then result.tasks = nil end
  return result
end

-- The label of all rows that have one; nil where two differ, or there are not two.
local function only_label(labels, n)
  local only = nil
  for row = 0, n - 1 do
    local label = labels[row]
    if label == label then
      only = only or label
      if label ~= only then return nil end
    end
  end
  return n > 1 and only or nil
end

-- How many rows have a label of each task, a list, and how many have none of any.
local function count_labels(columns, n)
  local known, without = {}, 0
  for i = 1, #columns do known[i] = 0 end
  for row = 0, n - 1 do
    local none = 1
    for i = 1, #columns do
      local label = columns[i][row]
      if label == label then known[i], none = known[i] + 1, 0 end
    end
    without = without + none
  end
  return known, without
end

-- A label that says the same in all rows of the training data, which one may have named by mistake.
-- Of several tasks, how many rows have a label of each.
local function report_labels(say, data)
  local grouped = require "moonrank.progress".grouped
  local n, tasks, columns = data.train:samples(), data.schema.tasks, {}
  for i, task in ipairs(tasks) do
    columns[i] = data.train:labels(task.name)
    local only = only_label(columns[i], n)
    if only then
      say(("labels   every label of %s in the training data is %g: there is nothing to learn")
        :format(task.name, only))
    end
  end
  if #tasks < 2 then return end
  local known, without = count_labels(columns, n)
  for i, task in ipairs(tasks) do known[i] = ("%s %s"):format(task.name, grouped(known[i])) end
  say(("labels   of training rows: %s; none %s"):format(table.concat(known, ", "),
    grouped(without)))
end

-- Rows that were left out, of every split that has some.
local function report_bad_rows(say, data, out, resumes)
  local counts
  for _, name in ipairs { "train", "valid", "test" } do
    local split = data.splits[name]
    local line = split and split:bad_rows_line()
    if line then
      say(line)
      counts = counts or {}
      counts[name] = select(2, split:bad_rows())
    end
  end
  if counts and not resumes then out:metrics { bad_rows = counts } end
end

-- Fields that the training data has no value of: a wrong name, as often as not.
local function report_empty(say, data)
  local names = {}
  for _, field in ipairs(data.schema:id_fields()) do
    if not data.train:has_values(field) then names[#names + 1] = field.name end
  end
  if names[1] then
    say(("empty    no row of train has a value: %s"):format(table.concat(names, ", ")))
  end
end

-- Values of the training data that are rare or not listed.
local function report_unknown(say, data)
  local parts, grouped = {}, require "moonrank.progress".grouped
  for _, field in ipairs(data.schema:id_fields()) do
    local n = data.train:unseen(field)
    if n > 0 then parts[#parts + 1] = ("%s %s"):format(field.name, grouped(n)) end
  end
  if parts[1] then
    say(("unseen   values of train that are rare or not listed: %s"):format(
      table.concat(parts, ", ")))
  end
end

-- What a split has that the model does not know.
local function report_unseen(say, what, figures)
  local line = require "moonrank.report_table".unseen(figures.unseen)
  if line then say(("unseen   not known to the model in %s: %s"):format(what, line)) end
end

-- What came of keys that are admitted by count or expire.
local function report_keys(say, run)
  local grouped = require "moonrank.progress".grouped
  for _, t in ipairs(run:keys()) do
    say(("keys     %s: %s rows%s%s"):format(t.table, grouped(t.rows),
      t.waiting and (", %s keys came too rarely for one"):format(grouped(t.waiting)) or "",
      t.dropped and (", %s were dropped"):format(grouped(t.dropped)) or ""))
  end
end

-- A number that is not finite ended it. The same run would end there again: hence both ways out.
local function fail_not_finite(run, message, out, cli)
  local step = run.saved_step
  local saved = step > 0
    and ("the checkpoint of step %d stays, and --resume goes on from it"):format(step)
    or "nothing was saved yet"
  local line = ("%s; %s; a smaller lr or train.clip takes a new run"):format(message, saved)
  out:log(line)
  cli.fail("%s", line)
end

local function fit(run, data, configuration, out, say, progress, stop_after)
  local mr = require "moonrank.ffi"
  local report = require "moonrank.report_table"
  local tasks = run.model:task_names()
  local epochs = report.epochs(#tasks > 1)
  local first -- figures, of the first epoch
  say ""
  say(epochs.heading())
  run:on("progress", function(p) progress:update("epoch " .. p.epoch, p) end)
  run:on("epoch", function(e)
    progress:clear()
    for _, line in ipairs(report.epoch_lines(epochs, e, tasks)) do say(line) end
    if e.number == 1 then first = e.valid end
    local keys = run:keys()
    out:metrics { epoch = e.number, train = e.train, valid = figures_for_log(e.valid),
      keys = keys[1] and keys,
      rows_per_second = e.rows_per_second, seconds = e.seconds,
      processor_seconds = e.processor_seconds, peak_memory = e.peak_memory }
  end)
  mr.C.mr_signals_catch()
  local cli = require "moonrank.cli"
  local ok, err = pcall(cli.guard, run.fit, run, data,
    { epochs = configuration.experiment.train.epochs, stop_after = stop_after })
  progress:clear()
  if run.not_finite and not ok then fail_not_finite(run, err.message, out, cli) end
  if not ok then error(err, 0) end
  if first then report_unseen(say, "valid", first) end -- below the table of epochs
end

-- The run's folder: begun anew, or as its newest checkpoint left it.
local function open_folder(path, configuration, run, options, cli)
  local RunFolder = require "moonrank.run_folder"
  local sum = RunFolder.sum(configuration)
  local at = { path = path }
  local lock = cli.need(RunFolder.hold(path))
  run:keep_checkpoints(RunFolder.checkpoints(at))
  local out
  local any = cli.need(run.checkpoints:any())
  if options.resume and any then
    local state = cli.need(run:resume())
    if state.configuration ~= sum then
      cli.fail("%s holds a run of another configuration; train without --resume, or with another "
        .. "--out", path)
    end
    local epochs = configuration.experiment.train.epochs
    if run.epoch > epochs then
      cli.fail("%s holds a run of %d epochs, and train.epochs is %d; train without --resume, or "
        .. "with another --out", path, run.epoch, epochs)
    end
    out = cli.need(RunFolder.reopen(path, state.metrics_size, configuration))
  else
    local finished = require "lfs".attributes(RunFolder.model(at), "mode") ~= nil
    if any and not finished and not options.restart and not options.resume then
      cli.fail("%s holds an unfinished run; go on with --resume, drop it with --restart, or choose "
        .. "another --out", path)
    end
    out = cli.need(RunFolder.new(path, configuration))
  end
  run:on("checkpoint", function(state)
    state.configuration, state.metrics_size = sum, out:sync_metrics()
  end)
  return out, lock
end

local function resume_command(asked, folder, cli)
  local words = require "moonrank.args".with_set({ "train", asked.config }, asked.set)
  words[#words + 1], words[#words + 2] = "--out", folder
  if asked.times then words[#words + 1], words[#words + 2] = "--repeat", asked.times end
  if asked.no_test then words[#words + 1] = "--no-test" end
  words[#words + 1] = "--resume"
  return cli.next(unpack(words))
end

-- Train once. Gives the exit status and, of a run that came to its end, the figures on the test
-- data, or on the validation data where there is no other, and the names of its tasks. `asked` are
-- the options of the command, where they are not these.
local function train_once(options, asked)
  local cli = require "moonrank.cli"
  local progress = require "moonrank.progress".new { quiet = options.quiet }
  local stop_after = require "moonrank.args".whole("--stop-after", options.stop_after, 1, 1e9)
  require "moonrank.libc".return_blocks()
  local opened = require "moonrank.experiment".open(options, progress,
    options.no_test and { "train", "valid" } or { "train", "valid", "test" })
  local configuration, data, run = opened.configuration, opened.data, opened.run
  local train = configuration.experiment.train
  local folder = options.out or require "moonrank.run_folder".default(configuration)
  local resumes = options.resume and cli.need(require "moonrank.checkpoints".new(
    require "moonrank.run_folder".checkpoints { path = folder }):any())
  local taken = not resumes and require "moonrank.experiment".warm_start(opened) or nil
  local out, lock = open_folder(folder, configuration, run, options, cli)
  local function say(line)
    out:log(line)
    if not options.quiet then print(line) end
  end

  if out.notice then say(out.notice) end
  print_header(say, opened)
  print_warm_start(say, taken)
  report_labels(say, data)
  report_bad_rows(say, data, out, resumes)
  report_empty(say, data)
  report_unknown(say, data)
  fit(run, data, configuration, out, say, progress, stop_after)
  report_keys(say, run)
  if run.interrupted or stop_after and stop_after < train.epochs and not run.stopped then
    say ""
    say(("stopped in epoch %d; go on with: %s"):format(run.epoch,
      resume_command(asked or options, asked and asked.out or folder, cli)))
    cli.need(out:close())
    return run.interrupted and 130 or 0
  end
  local figures
  if data.splits.test then
    figures = cli.guard(run.evaluate, run, data.splits.test)
    local tables = require "moonrank.report_table"
    local report = tables.evaluations()
    say ""
    say(report.heading())
    for _, line in ipairs(tables.lines(report, { what = "test", figures = figures },
        run.model:task_names())) do
      say(line)
    end
    report_unseen(say, "test", figures)
    out:metrics { test = figures_for_log(figures) }
  end
  cli.guard(out.sync_metrics, out)
  cli.need(run:save(out:model()))
  say ""
  say("next: " .. cli.next_eval(folder, configuration.fields))
  cli.need(out:close())
  figures = figures or data.valid and cli.guard(run.evaluate, run, data.valid)
  local tasks = run.model:task_names()
  run:close()
  data:close()
  require "moonrank.run_folder".release(lock)
  return 0, figures, tasks
end

-- Train with several seeds, and print what they came to.
local function train_repeatedly(options, times)
  local cli = require "moonrank.cli"
  local configuration = cli.need(require "moonrank.config".experiment(options.config, options.set))
  local folder = options.out or require "moonrank.run_folder".default(configuration)
  local has = require "moonrank.config_split".has
  local split = has(configuration.fields, "test") and not options.no_test and "test" or "valid"
  if not has(configuration.fields, split) then
    cli.fail("%s: --repeat compares figures on test or validation data, and data names neither",
      configuration.experiment.fields)
  end
  local function say(line)
    if not options.quiet then print(line) end
  end
  local asked = { config = options.config, set = options.set, out = folder,
    times = options.times, no_test = options.no_test }
  local seeds = require "moonrank.seeds".new(folder, split)
  local first, folders = configuration.experiment.train.seed, {}
  for seed = first, first + times - 1 do
    local one = { set = { unpack(options.set or {}) }, out = seeds:run_folder(seed) }
    for name, value in pairs(options) do one[name] = one[name] or value end
    table.insert(one.set, "train.seed=" .. seed)
    say(("%sseed %d"):format(seed > first and "\n" or "", seed))
    local status, figures, tasks = train_once(one, asked)
    if not figures then return status end
    cli.need(seeds:add(seed, figures, tasks))
    folders[#folders + 1] = one.out
  end
  cli.need(seeds:save())
  say ""
  for _, line in ipairs(seeds:lines()) do say(line) end
  say ""
  local most = require "moonrank.cli.report".most_runs
  say("next: " .. cli.next("report", unpack(folders, 1, math.min(#folders, most))))
  return 0
end

function M.run(words)
  local args = require "moonrank.args"
  local options = args.parse(parser(), words)
  local times = args.whole("--repeat", options.times, 1, 1000)
  if times then return train_repeatedly(options, times) end
  return (train_once(options))
end

return M
