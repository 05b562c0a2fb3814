--- The folder of a run: config.yaml and fields.yaml (resolved, so that the run can be repeated from
-- them), log.txt, metrics.jsonl (a line an epoch), checkpoints/ and model.mr.
-- @classmod moonrank.RunFolder
local Dataset = require "moonrank.dataset"
local json = require "moonrank.json"
local mr = require "moonrank.ffi"
local path_of = require "moonrank.path"
local yaml = require "moonrank.yaml"

local RunFolder = {}
RunFolder.__index = RunFolder

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

-- Written beside and renamed, so that no half file is left behind.
local function write_file(path, text)
  local file, message = io.open(path .. ".tmp", "wb")
  if not file then return nil, message end
  local written
  written, message = file:write(text)
  local closed = file:close()
  if not written or not closed then
    os.remove(path .. ".tmp")
    return nil, ("%s: %s"):format(path, message or "cannot be written")
  end
  return os.rename(path .. ".tmp", path)
end

-- Both files, with paths as seen from the folder.
local function write_configuration(self, configuration)
  local values, fields = copy(configuration.experiment), copy(configuration.fields)
  values.fields = "fields.yaml"
  if values.model.script:find "%.lua$" then
    values.model.script = path_of.relative(self.path, values.model.script)
  end
  local warm_start = values.train.warm_start
  if warm_start then warm_start.model = path_of.relative(self.path, warm_start.model) end
  fields.data.root = path_of.relative(self.path, fields.data.root)
  fields.data.cache = path_of.relative(self.path, fields.data.cache)
  local ok, message = write_file(self.path .. "/config.yaml", yaml.write(values))
  if not ok then return nil, message end
  return write_file(self.path .. "/fields.yaml", yaml.write(fields))
end

-- An earlier run's checkpoints must not be gone on from.
local function remove_checkpoints(folder)
  local lfs = require "lfs"
  if lfs.attributes(folder, "mode") ~= "directory" then return true end
  for entry in lfs.dir(folder) do
    local path, ok, message = folder .. "/" .. entry, true, nil
    if entry:find "^best%-%d+%.mr$" or entry:find "^best%-%d+%.mr%.tmp$" then
      ok, message = os.remove(path)
    elseif entry:find "^step%-%d+$" or entry:find "^step%-%d+%.tmp$" then
      ok, message = mr.ok(mr.C.mr_checkpoint_remove(path))
    end
    if not ok then return nil, message end
  end
  return true
end

--- The folder that holds a run's checkpoints.
function RunFolder:checkpoints() return self.path .. "/checkpoints" end

--- Go on with the files of a run: what metrics.jsonl holds behind `size` bytes is cut off, since
-- it will be written again.
-- @tparam string path
-- @tparam integer size
-- @treturn ?RunFolder
-- @treturn ?string what is wrong
function RunFolder.reopen(path, size)
  local self = setmetatable({ path = path }, RunFolder)
  local file, message = io.open(path .. "/metrics.jsonl", "rb")
  if not file then return nil, message end
  local kept = file:read(size) or ""
  file:close()
  local ok
  ok, message = write_file(path .. "/metrics.jsonl", kept)
  if not ok then return nil, message end
  for _, name in ipairs { "log.txt", "metrics.jsonl" } do
    self[name], message = io.open(path .. "/" .. name, "ab")
    if not self[name] then return nil, message end
  end
  return self
end

--- Bytes of metrics.jsonl so far.
-- @treturn integer
function RunFolder:metrics_size() return self["metrics.jsonl"]:seek "end" end

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
  if require "lfs".attributes(self:model(), "mode") then
    ok, message = os.remove(self:model())
    if not ok then return nil, message end
  end
  ok, message = write_configuration(self, configuration)
  if not ok then return nil, message end
  ok, message = remove_checkpoints(self:checkpoints())
  if not ok then return nil, message end
  for _, name in ipairs { "log.txt", "metrics.jsonl" } do
    self[name], message = io.open(path .. "/" .. name, "wb")
    if not self[name] then return nil, message end
  end
  return self
end

--- The path of the model file.
function RunFolder:model() return self.path .. "/model.mr" end

--- Add a line to log.txt.
function RunFolder:log(line)
  self["log.txt"]:write(line, "\n")
  self["log.txt"]:flush()
end

-- JSON has no NaN: a figure that the data does not define is left out.
local function defined(value)
  if type(value) ~= "table" then
    if type(value) == "number" and (value ~= value or math.abs(value) == math.huge) then
      return nil
    end
    return value
  end
  local result = {}
  for key, item in pairs(value) do result[key] = defined(item) end
  return result
end

--- Add a line of figures to metrics.jsonl.
-- @tparam table figures
function RunFolder:metrics(figures)
  self["metrics.jsonl"]:write(json.encode(defined(figures)), "\n")
  self["metrics.jsonl"]:flush()
end

--- Close the files. May be called twice.
function RunFolder:close()
  for _, name in ipairs { "log.txt", "metrics.jsonl" } do
    if self[name] then self[name]:close() end
    self[name] = nil
  end
end

return RunFolder
