--- What the same experiment comes to with several seeds: a run folder each, and in seeds.json
-- beside them the figures of all, their mean and spread.
-- @classmod moonrank.Seeds
local RunFolder = require "moonrank.run_folder"
local Sink = require "moonrank.sink"
local json = require "moonrank.json"
local path_of = require "moonrank.path"

local Seeds = {}
Seeds.__index = Seeds

local FIGURES = { "auc", "gauc", "logloss", "calibration", "seconds",
  "processor_seconds", "peak_memory" }

--- No seeds yet.
-- @tparam string folder  that the run folders are in
-- @tparam string split  that the figures are of
-- @treturn Seeds
function Seeds.new(folder, split)
  return setmetatable({ folder = folder, split = split, list = {} }, Seeds)
end

--- The run folder of a seed.
function Seeds:run_folder(seed) return ("%s/seed-%d"):format(self.folder, seed) end

-- Those of FIGURES that there are.
local function figures_of(all)
  local entry = { rows = all.rows }
  for _, name in ipairs(FIGURES) do entry[name] = all[name] end
  return entry
end

--- Take a run that came to its end.
-- @tparam integer seed
-- @tparam table figures  as of Predictor:evaluate; seconds become those of training, and
-- what else training took comes to them
-- @tparam {string,...} tasks  their names; of several the figures of each are kept
-- @treturn ?boolean true
-- @treturn ?string what is wrong
function Seeds:add(seed, figures, tasks)
  local entry = figures_of(figures)
  entry.seed = seed
  if #tasks > 1 then
    self.tasks, entry.tasks = tasks, {}
    for _, task in ipairs(tasks) do
      entry.tasks[task] = figures_of(figures.tasks[task])
      entry.tasks[task].seconds = nil
    end
  end
  local epochs, message = RunFolder.epochs(self:run_folder(seed))
  if not epochs then return nil, message end
  entry.seconds, entry.epochs = 0, #epochs
  for _, epoch in ipairs(epochs) do
    entry.seconds = entry.seconds + epoch.seconds
    if epoch.processor_seconds then
      entry.processor_seconds = (entry.processor_seconds or 0) + epoch.processor_seconds
    end
    if epoch.peak_memory then
      entry.peak_memory = math.max(entry.peak_memory or 0, epoch.peak_memory)
    end
  end
  table.insert(self.list, entry)
  return true
end

local function summary_of(entries)
  local mean, spread, n = {}, {}, #entries
  for _, name in ipairs(FIGURES) do
    local sum, squares = 0, 0
    for _, entry in ipairs(entries) do sum = sum + (entry[name] or 0 / 0) end
    for _, entry in ipairs(entries) do
      squares = squares + ((entry[name] or 0 / 0) - sum / n) ^ 2
    end
    if sum == sum then
      mean[name] = sum / n
      spread[name] = n > 1 and math.sqrt(squares / (n - 1)) or nil
    end
  end
  return mean, spread
end

--- Mean and spread of each figure: the spread is the standard deviation over the seeds, with n - 1
-- in the divisor; of one seed there is none. A figure that one of them does not have has neither.
-- @treturn table mean, by figure, of the first task; of several, those of each under `tasks`
-- @treturn table spread, the same
function Seeds:summary()
  local mean, spread = summary_of(self.list)
  if self.tasks then mean.tasks, spread.tasks = {}, {} end
  for _, task in ipairs(self.tasks or {}) do
    local entries = {}
    for i, entry in ipairs(self.list) do entries[i] = entry.tasks[task] end
    mean.tasks[task], spread.tasks[task] = summary_of(entries)
  end
  return mean, spread
end

--- A table for people: a line a seed, mean and spread; of several tasks, one after the other.
-- @treturn {string,...}
function Seeds:lines()
  local mean, spread = self:summary()
  local width = 14
  for _, task in ipairs(self.tasks or {}) do width = math.max(width, #task + 15) end
  local report = require "moonrank.report_table".evaluations(width)
  local lines = { report.heading() }
  local function add(what, figures)
    lines[#lines + 1] = report.row { what = what, figures = figures }
  end
  local function add_all(of_task, get)
    for _, entry in ipairs(self.list) do
      add(("%s%s, seed %d"):format(self.split, of_task, entry.seed), get(entry))
    end
    add("mean" .. of_task, get(mean))
    add("spread" .. of_task, get(spread))
  end
  if not self.tasks then add_all("", function(of) return of end) end
  for _, task in ipairs(self.tasks or {}) do
    add_all(" " .. task, function(of) return of.tasks[task] end)
  end
  return lines
end

--- Write seeds.json: { split, seeds = [figures ...], mean, spread }; of several tasks each of these
-- has `tasks`.
-- @treturn ?boolean true
-- @treturn ?string what is wrong
function Seeds:save()
  local ok, message = path_of.make_folder(self.folder)
  if not ok then return nil, message end
  local mean, spread = self:summary()
  local list = {}
  for i, entry in ipairs(self.list) do list[i] = json.defined(entry) end
  return Sink.write_file(self.folder .. "/seeds.json", json.encode { split = self.split,
    seeds = list, mean = mean, spread = spread } .. "\n")
end

return Seeds
