--- moonrank tune: many trainings of one experiment, with other settings each; the best is kept.
local M = { name = "tune", summary = "search the settings of an experiment" }

local MOST_SHOWN = 10

local function parser()
  local args = require "moonrank.args"
  local p = args.parser("tune", "Train an experiment with other settings each time.", [[
The key tune of the experiment file names the keys that are searched: a list of values each (every
combination is a trial), or a range from which trials are drawn; `moonrank help config tune` says
all. Trials are judged on the validation data; the test data is not read. The folder holds
trials.jsonl, a line a trial, and the run folder of each, whose config.yaml trains it again; trials
that a choice drops lose their checkpoints. On a terminal a line says how far trials are.
The same file gives the same trials, whatever the workers. Ctrl-C saves and exits with 130.]])
  p:argument("config", "the experiment file"):argname "CONFIG"
  args.add_set(p)
  p:option("--out", "the folder; default: runs/<experiment>-tune"):argname "DIR"
  p:flag("--resume", "go on with what the folder holds, if it holds anything")
  p:flag("--restart", "begin anew, and drop what the folder holds")
  p:option("--workers", "trials that are trained at a time, each with the memory of a training; "
    .. "default: 1"):argname "N"
  p:option("--threads", "threads of each; default: one per CPU, shared out"):argname "N"
  p:flag("--quiet", "print nothing but errors")
  return p
end

function M.usage() return require "moonrank.args".help(parser()) end

-- ---- before the first trial ----

local function text_of(value)
  return type(value) == "string" and value or require "moonrank.json".encode(value)
end

-- Settings in one line: "model.dim=8, train.batch=64".
local function line_of(values)
  local parts = {}
  for i, name in ipairs(require "moonrank.sorted_keys"(values)) do
    parts[i] = ("%s=%s"):format(name, text_of(values[name]))
  end
  return table.concat(parts, ", ")
end

-- Every trial's model is made once, before the first is trained.
local function check_trials(path, trials, pool)
  for _, trial in ipairs(trials) do
    local ok, err = pcall(require "moonrank.experiment".check, trial.configuration, pool)
    if not ok then
      local told = type(err) == "table" and (err.status == 130
        or err.message:sub(1, #path + 1) == path .. ":")
      if type(err) == "table" and not told then
        err.message = ("%s: trial %d (%s): %s"):format(path, trial.number, line_of(trial.values),
          err.message)
      end
      error(err, 0)
    end
  end
end

-- The cache that all workers share is built once; what is wrong with the data is said now.
local function read_data(configuration, pool, progress)
  local cli = require "moonrank.cli"
  local data = cli.need(require "moonrank.dataset".open(configuration.fields,
    { pool = pool, places = configuration.fields_places }))
  if not require "moonrank.config_split".has(configuration.fields, "valid") then
    cli.fail("%s: trials are judged on validation data, and data names none",
      configuration.experiment.fields)
  end
  local rows = {}
  for i, name in ipairs { "train", "valid" } do
    progress:note(("reading the %s data ..."):format(name))
    rows[i] = ("%s %s"):format(name, require "moonrank.progress".grouped(
      cli.need(data:split(name)):samples()))
  end
  progress:clear()
  data:close()
  return ("%s rows: %s"):format(configuration.experiment.fields, table.concat(rows, ", "))
end

-- The folder, begun or gone on with, and held.
local function open_folder(folder, configuration, trials, options)
  local cli = require "moonrank.cli"
  local mr = require "moonrank.ffi"
  local tune = require "moonrank.tune".new(folder, configuration, trials)
  local any = require "lfs".attributes(tune:table(), "mode") ~= nil
  if any and not options.resume and not options.restart then
    cli.fail("%s holds a tune; go on with --resume, drop it with --restart, or choose another "
      .. "--out", folder)
  end
  cli.need(require "moonrank.path".make_folder(folder))
  local lock = mr.new "int32_t[1]"
  local status = mr.C.mr_lock_take(lock, tune:lock())
  cli.need(mr.ok(status))
  if status == mr.C.MR_END then
    cli.fail("%s: another tune trains there, or its last trainings are still being saved", folder)
  end
  if any and options.resume then cli.need(tune:resume()) else cli.need(tune:begin()) end
  return tune
end

-- ---- what is printed ----

-- The last word of each key's name, or all of it where two have the same.
local function short_names(names)
  local count, short = {}, {}
  for _, name in ipairs(names) do
    local word = name:match "[^.]*$"
    count[word] = (count[word] or 0) + 1
  end
  for _, name in ipairs(names) do
    local word = name:match "[^.]*$"
    short[name] = count[word] == 1 and word or name
  end
  return short
end

-- The table of trials: figures at the best epoch, and the settings in columns wide enough for all.
local function table_of(trials)
  local names = require "moonrank.sorted_keys"(trials[1].values)
  local short = short_names(names)
  local function valid(name) return function(t) return t.valid and t.valid[name] end end
  local columns = {
    { "trial", "%d", function(t) return t.number end },
    { "epochs", "%d", function(t) return #t.monitors end },
    { "best", "%d", function(t) return t.best_epoch end },
    { "AUC", "%.6f", valid "auc", width = 8 },
    { "GAUC", "%.6f", valid "gauc", width = 8 },
    { "logloss", "%.6f", valid "logloss", width = 8 },
    { "seconds", "%.1f", function(t) return t.seconds end },
  }
  for _, name in ipairs(names) do
    local width = 0
    for _, trial in ipairs(trials) do width = math.max(width, #text_of(trial.values[name])) end
    columns[#columns + 1] = { short[name], "%s", function(t) return text_of(t.values[name]) end,
      width = width }
  end
  return require "moonrank.report_table".new(columns)
end

local function row_of(report, trial)
  local row = report.row(trial)
  return trial.failed and ("%s  failed: %s"):format(row, trial.failed) or row
end

-- Settings as they stand in an experiment file.
local function settings(values)
  local root = {}
  for name, value in pairs(values) do
    local map, names = root, {}
    for part in name:gmatch "[^.]+" do names[#names + 1] = part end
    for i = 1, #names - 1 do
      map[names[i]] = map[names[i]] or {}
      map = map[names[i]]
    end
    map[names[#names]] = value
  end
  return require "moonrank.yaml".write(root)
end

-- "auc", or "0.5 auc + 0.5 gauc".
local function in_words(monitor)
  local parts = {}
  for _, name in ipairs(require "moonrank.sorted_keys"(monitor)) do
    parts[#parts + 1] = ("%g %s"):format(monitor[name], name)
  end
  return #parts == 1 and parts[1]:match "%S+$" or table.concat(parts, " + ")
end

-- "trial 3, epoch 1: 1,000 of 5,000 rows, ...", and how far the others are, in short.
local function line_of_trials(now)
  local parts = {}
  for i, one in ipairs(now) do
    local line = one.line or "begins"
    if i > 1 then line = line:match "^epoch %d+" or line end
    parts[i] = ("trial %d, %s"):format(one.trial.number, line)
  end
  return table.concat(parts, "; ")
end

local function print_header(say, options, tune, trials, data)
  say(("tune     %s: %d trials, judged by %s"):format(options.config, #trials,
    in_words(tune.monitor)))
  say("data     " .. data)
  local stages = tune:stages()
  if #stages > 1 then
    say(("halving  one of %d goes on after epoch %s"):format(tune.halving.factor,
      table.concat(stages, ", ", 1, #stages - 1)))
  end
  say(("workers  %d, of %d thread%s"):format(options.workers, options.threads,
    options.threads == 1 and "" or "s"))
end

local function print_best(say, tune, trials, report, fields)
  local cli = require "moonrank.cli"
  local ranked = require "moonrank.tune".ranked(trials)
  say(("\nthe best of them\n%s"):format(report.heading()))
  for i = 1, math.min(MOST_SHOWN, #ranked) do say(row_of(report, ranked[i])) end
  local best = tune:best()
  if not best then
    local first = ranked[1].failed and ranked[1] or tune.last[1]
    cli.fail("no trial came to its end; trial %d: %s", first.number, first.failed)
  end
  say(("\nbest     trial %d\n\n%s"):format(best.number, settings(best.values)))
  say("next: " .. cli.next_eval(best.folder, fields))
  say("      " .. cli.next("train", best.folder .. "/config.yaml", "--repeat", "3"))
end

local function resume_command(options, folder)
  local words = require "moonrank.args".with_set({ "tune", options.config }, options.set)
  words[#words + 1], words[#words + 2] = "--out", folder
  words[#words + 1] = "--resume"
  return require "moonrank.cli".next(unpack(words))
end

function M.run(words)
  local cli = require "moonrank.cli"
  local args = require "moonrank.args"
  local mr = require "moonrank.ffi"
  local options = args.parse(parser(), words)
  options.workers = args.whole("--workers", options.workers, 1, 256) or 1
  options.threads = args.whole("--threads", options.threads, 1, 256)
    or math.max(1, math.floor(require "moonrank.pool".cpus() / options.workers))
  local progress = require "moonrank.progress".new { quiet = options.quiet }
  local function say(line)
    if options.quiet then return end
    print(line)
    io.stdout:flush() -- a trial takes long, and a file is written in blocks
  end
  local trials, configuration = require "moonrank.tune_space".trials(options.config, options.set)
  cli.need(trials, configuration)
  local pool = require "moonrank.pool".new()
  check_trials(options.config, trials, pool)
  local data = read_data(configuration, pool, progress)
  pool:close()
  local folder = options.out or ("runs/%s-tune"):format(configuration.name)
  local tune = open_folder(folder, configuration, trials, options)
  print_header(say, options, tune, trials, data)
  local report = table_of(trials)
  say("\n" .. report.heading())
  mr.C.mr_signals_catch()
  local all = cli.need(cli.guard(tune.run, tune, { command = arg[0], workers = options.workers,
    threads = options.threads,
    each = function(trial)
      progress:clear()
      say(row_of(report, trial))
    end,
    progress = function(now) progress:note(line_of_trials(now)) end }))
  progress:clear()
  if not all then
    say("\nstopped; go on with: " .. resume_command(options, folder))
    return 130
  end
  print_best(say, tune, trials, report, configuration.fields)
  return 0
end

return M
