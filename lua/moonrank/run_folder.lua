--- The folder of a run: config.yaml and fields.yaml (resolved, so that the run can be repeated from
-- them), log.txt, metrics.jsonl (a line an epoch), checkpoints/ and model.mr; and the file lock,
-- which the process that trains there holds.
--
-- What survives a power cut: config.yaml and fields.yaml before the first step; of metrics.jsonl
-- what a checkpoint speaks of, and at the end all; checkpoints and models once they are in place.
-- log.txt is for people and is written, not synced. No failed write goes unsaid, of any of them.
-- @classmod moonrank.RunFolder
local Checkpoints = require "moonrank.checkpoints"
local Dataset = require "moonrank.dataset"
local Sink = require "moonrank.sink"
local clock = require "moonrank.clock"
local json = require "moonrank.json"
local libc = require "moonrank.libc"
local mr = require "moonrank.ffi"
local path_of = require "moonrank.path"
local read_file = require "moonrank.read_file"
local yaml = require "moonrank.yaml"

local RunFolder = {}
RunFolder.__index = RunFolder

local ENOENT = 2
local SECONDS_TO_END = 2 -- of a training that was killed

local function copy(value)
  if type(value) ~= "table" then return value end
  local result = {}
  for key, item in pairs(value) do result[key] = copy(item) end
  return result
end

--- A sum over what decides the results of an experiment: not over the number of threads, which
-- changes none, nor over how long it trains or how often it saves.
-- @tparam table configuration  as of config.experiment
-- @treturn string
function RunFolder.sum(configuration)
  local values = copy(configuration.experiment)
  values.train.threads, values.train.epochs, values.train.checkpoint = nil, nil, nil
  return Dataset.sum_of(yaml.write(values) .. yaml.write(configuration.fields))
end

--- The default folder of an experiment: runs/<name>-<sum of the resolved configuration>. The number
-- of threads does not count: it changes no result.
-- @tparam table configuration  as of config.experiment
-- @treturn string
function RunFolder.default(configuration)
  local values = copy(configuration.experiment)
  values.train.threads, values.train.checkpoint = nil, nil
  local text = yaml.write(values) .. yaml.write(configuration.fields)
  return ("runs/%s-%s"):format(configuration.name, Dataset.sum_of(text):sub(1, 8))
end

-- What config.yaml and fields.yaml hold, with paths as seen from the folder.
local function texts_of(path, configuration)
  local values, fields = copy(configuration.experiment), copy(configuration.fields)
  values.fields = "fields.yaml"
  if values.model.script:find "%.lua$" then
    values.model.script = path_of.relative(path, values.model.script)
  end
  local warm_start = values.train.warm_start
  if warm_start then warm_start.model = path_of.relative(path, warm_start.model) end
  fields.data.root = path_of.relative(path, fields.data.root)
  fields.data.cache = path_of.relative(path, fields.data.cache)
  return { ["config.yaml"] = yaml.write(values), ["fields.yaml"] = yaml.write(fields) }
end

local function write_texts(path, texts)
  for _, name in ipairs { "config.yaml", "fields.yaml" } do
    local ok, message = Sink.write_file(("%s/%s"):format(path, name), texts[name])
    if not ok then return nil, message end
  end
  return true
end

--- Write config.yaml and fields.yaml, with paths as seen from the folder.
-- @tparam string path  of the folder
-- @tparam table configuration  as of config.experiment
-- @treturn ?boolean true
-- @treturn ?string what is wrong
function RunFolder.write(path, configuration)
  return write_texts(path, texts_of(path, configuration))
end

--- The folder that holds a run's checkpoints.
function RunFolder:checkpoints() return self.path .. "/checkpoints" end

local FILES = { "log.txt", "metrics.jsonl" }

local function open_files(self, mode)
  for _, name in ipairs(FILES) do
    local message
    self[name], message = io.open(self.path .. "/" .. name, mode)
    if not self[name] then return nil, message end
  end
  return self
end

local function remove_model(self)
  local ok, message, code = os.remove(self:model())
  if not ok and code ~= ENOENT then return nil, message end
  return true
end

-- The first bytes of a file, "" where there is none.
local function first_bytes(path, size)
  local text, message, code = read_file(path, size)
  if code == ENOENT then return "" end
  return text, message
end

-- Have config.yaml say what the run now does, where that is more epochs than before, or other ways
-- of saving; the model of before is then gone until there is a new one.
local function renew_texts(self, configuration)
  local texts = texts_of(self.path, configuration)
  local ok
  local now, message = first_bytes(self.path .. "/config.yaml", #texts["config.yaml"] + 1)
  if not now then return nil, message end
  if now == texts["config.yaml"] then return true end
  ok, message = remove_model(self)
  if not ok then return nil, message end
  return write_texts(self.path, texts)
end

--- Go on with the files of a run: what metrics.jsonl holds behind `size` bytes is cut off, since
-- it will be written again. Where it holds less, which only other hands can bring about, its whole
-- lines stay and `notice` says so.
-- @tparam string path
-- @tparam integer size
-- @tparam table configuration  as of config.experiment, of the run's sum
-- @treturn ?RunFolder
-- @treturn ?string what is wrong
function RunFolder.reopen(path, size, configuration)
  local self = setmetatable({ path = path, synced = size }, RunFolder)
  local ok, message = renew_texts(self, configuration)
  if not ok then return nil, message end
  local kept
  kept, message = first_bytes(path .. "/metrics.jsonl", size)
  if not kept then return nil, message end
  if #kept < size then
    self.notice = ("metrics.jsonl has %d bytes and had %d at the checkpoint: lines are missing")
      :format(#kept, size)
    kept = kept:match "^.*\n" or ""
  end
  ok, message = Sink.write_file(path .. "/metrics.jsonl", kept)
  if not ok then return nil, message end
  return open_files(self, "ab")
end

--- Bytes of metrics.jsonl so far; they are on the disk when this returns.
-- @treturn integer
-- @raise when they cannot be synced
function RunFolder:sync_metrics()
  local file = self["metrics.jsonl"] or error("the run folder is closed", 2)
  local size = file:seek "end"
  if size ~= self.synced then
    local ok, message = mr.ok(mr.C.mr_file_sync(self.path .. "/metrics.jsonl"))
    if not ok then error(message, 0) end
    self.synced = size
  end
  return size
end

-- A file that is of no run and would be written over, as where a project's own folder is given.
local function foreign(path)
  local lfs = require "lfs"
  for _, name in ipairs { "log.txt", "metrics.jsonl", "checkpoints" } do
    if lfs.attributes(path .. "/" .. name, "mode") then return nil end
  end
  for _, name in ipairs { "config.yaml", "fields.yaml", "model.mr" } do
    if lfs.attributes(path .. "/" .. name, "mode") then return name end
  end
end

--- Make the folder where it is missing and hold it, until this process ends or calls release(): two
-- trainings in one folder would write over each other's checkpoints. One that has just been killed
-- may take a moment to end: it is waited for.
-- @tparam string path
-- @treturn ?integer what release() takes
-- @treturn ?string what is wrong
function RunFolder.hold(path)
  local name = foreign(path)
  if name then
    return nil, ("%s/%s is of no run and would be written over; choose another folder"):format(path,
      name)
  end
  local ok, message = path_of.make_folder(path)
  if not ok then return nil, message end
  local lock = mr.new "int32_t[1]"
  local status
  local last = clock.now() + SECONDS_TO_END
  repeat
    status = mr.C.mr_lock_take(lock, path .. "/lock")
    if status == mr.C.MR_END then libc.wait(20) end
  until status ~= mr.C.MR_END or clock.now() > last or mr.C.mr_signals_seen() > 0
  ok, message = mr.ok(status)
  if not ok then return nil, message end
  if status == mr.C.MR_END then return nil, ("%s: another training runs there"):format(path) end
  return lock[0]
end

--- Let go of a folder.
-- @tparam integer lock  as of hold()
function RunFolder.release(lock) mr.C.mr_lock_release(lock) end

--- Make the folder and begin its files. What an earlier run of the same name left is replaced.
-- @tparam string path
-- @tparam table configuration  as of config.experiment
-- @treturn ?RunFolder
-- @treturn ?string what is wrong
function RunFolder.new(path, configuration)
  local self = setmetatable({ path = path }, RunFolder)
  local ok, message = path_of.make_folder(path)
  if not ok then return nil, message end
  -- An old model must never stand beside a new configuration.
  ok, message = remove_model(self)
  if not ok then return nil, message end
  ok, message = Checkpoints.new(self:checkpoints()):clear()
  if not ok then return nil, message end
  -- Before the configuration, so that one that is killed here leaves what is seen to be a run's.
  ok, message = open_files(self, "wb")
  if not ok then return nil, message end
  ok, message = RunFolder.write(path, configuration)
  if not ok then return nil, message end
  return self
end

--- The first run in a folder of runs, as train --repeat and tune make them.
-- @tparam string folder
-- @treturn ?string its folder
function RunFolder.inside(folder)
  local lfs, first = require "lfs", nil
  for entry in lfs.dir(folder) do
    local path = folder .. "/" .. entry
    if entry:find "^%a+%-%d+$" and lfs.attributes(path .. "/config.yaml", "mode") == "file"
        and (not first or path < first) then
      first = path
    end
  end
  return first
end

--- The path of the model file.
function RunFolder:model() return self.path .. "/model.mr" end

local function add_line(self, name, line)
  local file = self[name] or error("the run folder is closed", 3)
  local ok, message = file:write(line, "\n")
  if ok then ok, message = file:flush() end
  if not ok then error(("%s/%s: cannot be written: %s"):format(self.path, name, message), 0) end
end
-- A compiled flush that fails is made again by the interpreter, whose success would hide it.
jit.off(add_line)

--- Add a line to log.txt.
-- @raise when it cannot be written
function RunFolder:log(line) add_line(self, "log.txt", line) end

--- Add a line of figures to metrics.jsonl.
-- @tparam table figures
-- @raise when it cannot be written
function RunFolder:metrics(figures)
  add_line(self, "metrics.jsonl", json.encode(json.defined(figures)))
end

--- What metrics.jsonl says of the epochs of a run.
-- @tparam string path  the run folder
-- @treturn ?{table,...}
-- @treturn ?string what is wrong
function RunFolder.epochs(path)
  local file, message = io.open(path .. "/metrics.jsonl", "rb")
  if not file then return nil, message end
  local epochs = {}
  for line in file:lines() do
    local entry = json.decode(line)
    if type(entry) == "table" and entry.epoch then epochs[#epochs + 1] = entry end
  end
  file:close()
  return epochs
end

--- Close the files. May be called twice.
-- @treturn ?boolean true
-- @treturn ?string what is wrong
function RunFolder:close()
  local result, trouble = true, nil
  for _, name in ipairs(FILES) do
    local file = self[name]
    self[name] = nil
    if file then
      local ok, message = file:close()
      if not ok then
        result, trouble = nil, ("%s/%s: cannot be closed: %s"):format(self.path, name, message)
      end
    end
  end
  return result, trouble
end

return RunFolder
