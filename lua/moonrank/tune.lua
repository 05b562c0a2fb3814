--- The table of a tune's trials: trials.jsonl in its folder, a line a trial, and beside it the run
-- folders trial-001, trial-002 ...
--
-- A trial is a run like any other, trained by a process of its own, which stops after the epochs of
-- each choice and goes on from its checkpoint: so it comes to what one training would. The table is
-- written whole after each trial's turn; what is in it is not done again.
-- @classmod moonrank.Tune
local Checkpoints = require "moonrank.checkpoints"
local RunFolder = require "moonrank.run_folder"
local Sink = require "moonrank.sink"
local json = require "moonrank.json"
local lfs = require "lfs"
local monitors = require "moonrank.monitor"
local mr = require "moonrank.ffi"
local processes = require "moonrank.processes"

local Tune = {}
Tune.__index = Tune

--- A tune, of which nothing is done.
-- @tparam string folder
-- @tparam table configuration  of the experiment file, as of config.experiment
-- @tparam {table,...} trials  as of tune_space.trials
-- @treturn Tune whose `trials` have beside that: folder, and after their turn monitors (a figure
-- for each epoch; more is better), best_epoch, valid (the figures there), seconds, and where it is
-- so failed (why) or stopped (it ended itself before its last epoch: train.patience)
function Tune.new(folder, configuration, trials)
  local self = setmetatable({ folder = folder, trials = trials,
    halving = configuration.tune.halving, monitor = configuration.experiment.train.monitor },
    Tune)
  for _, trial in ipairs(trials) do
    trial.folder = ("%s/trial-%03d"):format(folder, trial.number)
    trial.sum, trial.monitors, trial.seconds = RunFolder.sum(trial.configuration), {}, 0
  end
  return self
end

--- The path of the table.
function Tune:table() return self.folder .. "/trials.jsonl" end

--- The path of the file that whoever trains in the folder holds.
function Tune:lock() return self.folder .. "/lock" end

local KEPT = { "monitors", "best_epoch", "valid", "seconds", "stopped", "failed" }

local function save(self)
  local lines = {}
  for _, trial in ipairs(self.trials) do
    if #trial.monitors > 0 or trial.failed then
      local line = { trial = trial.number, values = trial.values, sum = trial.sum,
        epochs = #trial.monitors }
      for _, name in ipairs(KEPT) do line[name] = trial[name] end
      lines[#lines + 1] = json.encode(json.defined(line)) .. "\n"
    end
  end
  return Sink.write_file(self:table(), table.concat(lines))
end

-- ---- begin, or go on ----

-- What the folder held of the trial is dropped.
local function clear(trial)
  local run, message = RunFolder.new(trial.folder, trial.configuration)
  if not run then return nil, message end
  return run:close()
end

--- Begin: what the folder held of these trials is dropped.
-- @treturn ?boolean true
-- @treturn ?string what is wrong
function Tune:begin()
  for _, trial in ipairs(self.trials) do
    local ok, message = clear(trial)
    if not ok then return nil, message end
  end
  return save(self)
end

local function take_line(self, text, place)
  local line = json.decode(text)
  if type(line) ~= "table" or type(line.monitors) ~= "table" then
    return nil, place .. ": the line is damaged; remove it to have its trial done again"
  end
  local trial = self.trials[line.trial]
  if not trial or trial.sum ~= line.sum then
    return nil, ("%s: trial %s is of another configuration; begin anew with --restart, or choose "
      .. "another --out"):format(place, tostring(line.trial))
  end
  for _, name in ipairs(KEPT) do trial[name] = line[name] end
  return true
end

--- Go on with what the folder holds.
-- @treturn ?boolean true
-- @treturn ?string what is wrong
function Tune:resume()
  local file, message = io.open(self:table(), "rb")
  if not file then return nil, message end
  local number, ok = 0, true
  for text in file:lines() do
    number = number + 1
    ok, message = take_line(self, text, ("%s:%d"):format(self:table(), number))
    if not ok then break end
  end
  file:close()
  if not ok then return nil, message end
  for _, trial in ipairs(self.trials) do
    if not lfs.attributes(trial.folder .. "/config.yaml", "mode") and #trial.monitors == 0 then
      ok, message = clear(trial) -- there are more trials than there were
      if not ok then return nil, message end
    end
  end
  return true
end

-- ---- a trial's turn ----

-- What metrics.jsonl says of a trial.
local function read_figures(self, trial)
  local epochs, message = RunFolder.epochs(trial.folder)
  if not epochs then return nil, message end
  trial.monitors, trial.seconds, trial.best_epoch, trial.valid = {}, 0, nil, nil
  for i, epoch in ipairs(epochs) do
    trial.monitors[i] = monitors.value(self.monitor, monitors.figure, epoch.valid)
    trial.seconds = trial.seconds + epoch.seconds
    if not trial.best_epoch or trial.monitors[i] > trial.monitors[trial.best_epoch] then
      trial.best_epoch = i
      trial.valid = { auc = epoch.valid.auc, gauc = epoch.valid.gauc,
        logloss = epoch.valid.logloss }
    end
  end
  return true
end

local function epochs_of(trial) return trial.configuration.experiment.train.epochs end

local function output_of(trial) return trial.folder .. ".txt" end

local function start(trial, until_epoch, options)
  local words = { options.command, "train", trial.folder .. "/config.yaml", "--out", trial.folder,
    "--resume", "--no-test", "--threads", tostring(options.threads) }
  if until_epoch < epochs_of(trial) then
    words[#words + 1], words[#words + 2] = "--stop-after", tostring(until_epoch)
  end
  os.remove(output_of(trial))
  return processes.start(words, output_of(trial))
end

-- How far the trial of a turn is: the last line about it that its process has written, or the epoch
-- that it is in where that is a later one.
local function line_of(job)
  local trial = job.trial
  local epochs = RunFolder.epochs(trial.folder)
  local epoch = math.min((epochs and #epochs or 0) + 1, job.epochs)
  local file = io.open(output_of(trial), "rb")
  if not file then return nil end
  file:seek("set", math.max(0, file:seek "end" - 400))
  local last
  for line in file:lines() do last = line:match "^epoch %d+: .*rows.*" or last end
  file:close()
  if last and tonumber(last:match "%d+") >= epoch then return last end
  return epochs and ("epoch %d"):format(epoch)
end

-- Why a trial failed: what it complained of (lines behind may be a traceback), or what ended it.
local function reason(trial, status)
  if status < 0 then return ("ended by signal %d"):format(-status) end
  if status == 130 then return "told to stop, but not by the tune" end
  local said
  for line in io.lines(output_of(trial)) do said = said or line:match "^moonrank: (.*)$" end
  return said or ("exit status %d"):format(status)
end

local function finish(self, trial, until_epoch, status)
  assert(read_figures(self, trial))
  if status ~= 0 then trial.failed = reason(trial, status) end
  trial.stopped = not trial.failed and #trial.monitors < until_epoch or nil
  os.remove(output_of(trial))
  assert(save(self))
end

-- ---- all of them ----

--- The epochs at which some are chosen, and the last.
-- @treturn {integer,...}
function Tune:stages()
  local most, list = 0, {}
  for _, trial in ipairs(self.trials) do most = math.max(most, epochs_of(trial)) end
  local halving, epochs = self.halving, self.halving and self.halving.epochs
  while halving and epochs < most do
    list[#list + 1], epochs = epochs, epochs * halving.factor
  end
  list[#list + 1] = most
  return list
end

-- The best monitor of the first epochs; nothing of a trial that failed.
local function value_at(trial, epochs)
  if trial.failed then return -math.huge end
  local best = -math.huge
  for i = 1, math.min(epochs, #trial.monitors) do best = math.max(best, trial.monitors[i]) end
  return best
end

--- Trials by what they came to within some epochs, the best first; those that failed last.
-- @tparam {table,...} trials
-- @tparam[opt] integer epochs  default: all that they were trained for
-- @treturn {table,...}
function Tune.ranked(trials, epochs)
  local list, values = {}, {}
  for i, trial in ipairs(trials) do
    list[i], values[trial] = trial, value_at(trial, epochs or math.huge)
  end
  table.sort(list, function(a, b)
    if values[a] ~= values[b] then return values[a] > values[b] end
    return a.number < b.number
  end)
  return list
end

-- Those that go on after a choice, in the order of their numbers.
local function chosen(self, trials, epochs)
  local best, alive = Tune.ranked(trials, epochs), {}
  for i = 1, math.ceil(#best / self.halving.factor) do
    if not best[i].failed then alive[#alive + 1] = best[i] end
  end
  table.sort(alive, function(a, b) return a.number < b.number end)
  return alive
end

-- Those that do not go on lose their checkpoints. Where more trials or another choice let one go on
-- after all, it begins anew and comes to the same.
local function drop(trials, alive)
  local goes_on = {}
  for _, trial in ipairs(alive) do goes_on[trial] = true end
  for _, trial in ipairs(trials) do
    if not goes_on[trial] then
      local folder = RunFolder.checkpoints { path = trial.folder }
      local ok, message = true, nil
      if lfs.attributes(folder, "mode") then ok, message = Checkpoints.new(folder):clear() end
      if not ok then return nil, message end
    end
  end
  return true
end

-- The turns of the trials that are to come to some epochs and have not yet.
local function turns(trials, epochs)
  local jobs = {}
  for _, trial in ipairs(trials) do
    local wanted = math.min(epochs, epochs_of(trial))
    if not trial.failed and not trial.stopped and #trial.monitors < wanted then
      jobs[#jobs + 1] = { trial = trial, epochs = wanted }
    end
  end
  return jobs
end

--- Train what is not trained yet.
-- @tparam table options  command (the path of moonrank), workers, threads (of each), each (called
-- with a trial after its turn); progress: called now and then with a list of { trial, line }, the
-- trials whose turn it is and how far each is, where it has said so
-- @treturn ?boolean whether all is done; false after a signal (mr_signals_catch)
-- @treturn ?string what is wrong
function Tune:run(options)
  local alive, list = self.trials, self:stages()
  local function begin(job) return start(job.trial, job.epochs, options) end
  local function done(job, status)
    if status ~= 0 and mr.C.mr_signals_seen() > 0 then return end -- told to stop
    finish(self, job.trial, job.epochs, status)
    options.each(job.trial)
  end
  local function meanwhile(jobs)
    local now = {}
    for k, job in ipairs(jobs) do now[k] = { trial = job.trial, line = line_of(job) } end
    options.progress(now)
  end
  for i, epochs in ipairs(list) do
    local all, message = processes.run(turns(alive, epochs), options.workers, begin, done,
      options.progress and meanwhile)
    if not all then return all, message end
    if i < #list then
      local before = alive
      alive = chosen(self, alive, epochs)
      all, message = drop(before, alive)
      if not all then return nil, message end
    end
  end
  self.last = alive
  return true
end

--- The best trial of those that were trained to the end; nil where all of these failed.
-- @treturn ?table
function Tune:best()
  local best = Tune.ranked(self.last)[1]
  return best and not best.failed and best or nil
end

return Tune
