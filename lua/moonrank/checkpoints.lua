--- The checkpoints of a run: folders `step-<number>` under <run>/checkpoints, and the models
-- `best-<epoch>.mr` that they speak of. A folder of that name is whole: the engine renames it into
-- place when all is written and synced.
-- @classmod moonrank.Checkpoints
local json = require "moonrank.json"
local mr = require "moonrank.ffi"
local path_of = require "moonrank.path"
local C = mr.C

local Checkpoints = {}
Checkpoints.__index = Checkpoints

--- The checkpoints under a folder.
-- @tparam string folder  made at the first save
-- @tparam[opt=3] integer keep  how many are kept
-- @treturn Checkpoints
function Checkpoints.new(folder, keep)
  return setmetatable({ folder = folder, keep = keep or 3 }, Checkpoints)
end

-- Steps of the checkpoints that are there, ascending.
local function steps_of(self)
  local lfs, steps = require "lfs", {}
  if lfs.attributes(self.folder, "mode") ~= "directory" then return steps end
  for entry in lfs.dir(self.folder) do
    local step = entry:match "^step%-(%d+)$"
    if step then steps[#steps + 1] = tonumber(step) end
  end
  table.sort(steps)
  return steps
end

local function path_at(self, step) return ("%s/step-%09d"):format(self.folder, step) end

--- The path of the best model of an epoch.
function Checkpoints:best(epoch) return ("%s/best-%d.mr"):format(self.folder, epoch) end

-- Keep the newest checkpoints, and the best models from the oldest of them on.
local function prune(self, states)
  local lfs = require "lfs"
  local steps = steps_of(self)
  for i = 1, #steps - self.keep do
    local ok, message = mr.ok(C.mr_checkpoint_remove(path_at(self, steps[i])))
    if not ok then return nil, message end
    states[steps[i]] = nil
  end
  local spoken_of = {}
  for _, state in pairs(states) do
    if state.best_epoch then spoken_of[state.best_epoch] = true end
  end
  for entry in lfs.dir(self.folder) do
    local epoch = entry:match "^best%-(%d+)%.mr$"
    if epoch and not spoken_of[tonumber(epoch)] then os.remove(self.folder .. "/" .. entry) end
  end
  return true
end

--- Write a checkpoint of a run.
-- @param run  `mr_run *`
-- @tparam table state  what the trainer needs beside the engine's numbers
-- @treturn ?boolean true
-- @treturn ?string what is wrong; the checkpoints before it are as they were
function Checkpoints:save(run, state)
  local ok, message = path_of.make_folder(self.folder)
  if not ok then return nil, message end
  local step = tonumber(C.mr_run_steps(run))
  self.states = self.states or {}
  ok, message = mr.ok(C.mr_run_save(run, path_at(self, step), json.encode(state)))
  if not ok then return nil, message end
  self.states[step] = state
  return prune(self, self.states)
end

--- Whether there is anything to go on from.
function Checkpoints:any() return #steps_of(self) > 0 end

-- What a process that was killed while it saved has left behind.
local function remove_leftovers(self)
  for entry in require "lfs".dir(self.folder) do
    if entry:find "^step%-%d+%.tmp$" then C.mr_checkpoint_remove(self.folder .. "/" .. entry) end
    if entry:find "^best%-%d+%.mr%.tmp$" then os.remove(self.folder .. "/" .. entry) end
  end
end

-- What an older checkpoint says, to know which best model it needs; nil where it is damaged.
local function read_state(path)
  local file = io.open(path .. "/manifest.json", "rb")
  local manifest = file and json.decode(file:read "*a") or nil
  if file then file:close() end
  return manifest and type(manifest.state) == "string" and json.decode(manifest.state) or nil
end

--- Go on from the newest checkpoint.
-- @param run  `mr_run *`, of the same model and options
-- @treturn ?table the trainer's state
-- @treturn ?string what is wrong
function Checkpoints:restore(run)
  local steps = steps_of(self)
  if #steps == 0 then return nil, ("%s holds no checkpoint"):format(self.folder) end
  local text = mr.new "char *[1]"
  local ok, message = mr.ok(C.mr_run_restore(run, path_at(self, steps[#steps]), text))
  if not ok then return nil, message end
  local said = mr.string(text[0])
  C.mr_text_free(text[0])
  local state
  state, message = json.decode(said)
  if not state then return nil, ("%s: %s"):format(path_at(self, steps[#steps]), message) end
  self.states = { [steps[#steps]] = state }
  for i = 1, #steps - 1 do self.states[steps[i]] = read_state(path_at(self, steps[i])) end
  remove_leftovers(self)
  return state
end

return Checkpoints
