--- The checkpoints of a run: folders `step-<number>` under <run>/checkpoints, and the models
-- `best-<epoch>.mr` that they speak of. A folder of that name is whole: the engine renames it into
-- place when all is written and synced.
-- @classmod moonrank.Checkpoints
local json = require "moonrank.json"
local mr = require "moonrank.ffi"
local path_of = require "moonrank.path"
local read_file = require "moonrank.read_file"
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

-- The names in the folder. LuaFileSystem takes a folder that cannot be read to its end for a
-- shorter one, and a checkpoint overlooked is a checkpoint lost.
local function names_in(folder)
  local text, names = mr.new "char *[1]", {}
  local ok, message = mr.ok(C.mr_folder_names(text, folder))
  if not ok then return nil, message end
  for name in mr.string(text[0]):gmatch "[^\n]+" do names[#names + 1] = name end
  C.mr_text_free(text[0])
  return names
end

-- Steps of the checkpoints that are there, ascending.
local function steps_of(self)
  local names, message = names_in(self.folder)
  if not names then return nil, message end
  local steps = {}
  for _, name in ipairs(names) do
    local step = name:match "^step%-(%d+)$"
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
  local names, steps, ok, message
  steps, message = steps_of(self)
  if not steps then return nil, message end
  for i = 1, #steps - self.keep do
    ok, message = mr.ok(C.mr_checkpoint_remove(path_at(self, steps[i])))
    if not ok then return nil, message end
    states[steps[i]] = nil
  end
  local spoken_of = {}
  for _, state in pairs(states) do
    if state.best_epoch then spoken_of[state.best_epoch] = true end
  end
  names, message = names_in(self.folder)
  if not names then return nil, message end
  for _, name in ipairs(names) do
    local epoch = name:match "^best%-(%d+)%.mr$"
    if epoch and not spoken_of[tonumber(epoch)] then
      ok, message = os.remove(self.folder .. "/" .. name)
      if not ok then return nil, message end
    end
  end
  return true
end

--- Write a checkpoint of a run.
-- @param run  `mr_run *`
-- @tparam table state  what the trainer needs beside the engine's numbers
-- @treturn ?boolean true
-- @treturn ?string what is wrong; the checkpoints before it are as they were
function Checkpoints:save(run, state)
  local step = tonumber(C.mr_run_steps(run))
  local ok, message = path_of.make_folder(self.folder)
  if ok then ok, message = mr.ok(C.mr_run_save(run, path_at(self, step), json.encode(state))) end
  if not ok then return nil, "the checkpoint could not be written: " .. message end
  self.states = self.states or {}
  self.states[step] = state
  ok, message = prune(self, self.states)
  if not ok then return nil, "older checkpoints could not be removed: " .. message end
  return true
end

--- Whether there is anything to go on from.
-- @treturn ?boolean
-- @treturn ?string what is wrong
function Checkpoints:any()
  local steps, message = steps_of(self)
  if not steps then return nil, message end
  return #steps > 0
end

-- Remove the names that match, in their order.
local function remove_named(self, names, pattern)
  for _, name in ipairs(names) do
    if name:find(pattern) then
      local path = self.folder .. "/" .. name
      local ok, message
      if name:find "^step" then
        ok, message = mr.ok(C.mr_checkpoint_remove(path))
      else
        ok, message = os.remove(path)
      end
      if not ok then return nil, message end
    end
  end
  return true
end

-- Remove the names that match each pattern in turn.
local function remove_all(self, patterns)
  local names, message = names_in(self.folder)
  if not names then return nil, message end
  table.sort(names)
  for _, pattern in ipairs(patterns) do
    local ok
    ok, message = remove_named(self, names, pattern)
    if not ok then return nil, message end
  end
  return true
end

-- What a process that was killed while it saved or removed has left behind.
local function remove_leftovers(self)
  return remove_all(self, { "^step%-%d+%.tmp$", "^best%-%d+%.mr%.tmp$" })
end

--- Remove all checkpoints, then the best models that they speak of: those of an earlier run must
-- not be gone on from.
-- @treturn ?boolean true
-- @treturn ?string what is wrong
function Checkpoints:clear()
  local ok, message = remove_leftovers(self)
  if not ok then return nil, message end
  return remove_all(self, { "^step%-%d+$", "^best%-%d+%.mr$" })
end

-- What an older checkpoint says, to know which best model it needs; nil where it is damaged.
local function read_state(path)
  local text = read_file(path .. "/manifest.json")
  local manifest = text and json.decode(text) or nil
  return manifest and type(manifest.state) == "string" and json.decode(manifest.state) or nil
end

-- A damaged checkpoint is not passed over in silence: its disk may need looking after. The one
-- before it leads to the same model, only later.
local function way_on(steps)
  if #steps == 1 then return "; there is no older checkpoint to go on from" end
  return ("; move step-%09d away to go on from step-%09d"):format(steps[#steps], steps[#steps - 1])
end

local function read_newest(self, run, steps)
  local path, text = path_at(self, steps[#steps]), mr.new "char *[1]"
  local status = C.mr_run_restore(run, path, text)
  local damaged = status == C.MR_EDATA or status == C.MR_EIO
  local ok, message = mr.ok(status)
  if not ok then return nil, damaged and message .. way_on(steps) or message end
  local said = mr.string(text[0])
  C.mr_text_free(text[0])
  local state
  state, message = json.decode(said)
  if not state then return nil, ("%s: %s"):format(path, message) end
  return state
end

--- Go on from the newest checkpoint.
-- @param run  `mr_run *`, of the same model and options
-- @treturn ?table the trainer's state
-- @treturn ?string what is wrong
function Checkpoints:restore(run)
  local steps, message = steps_of(self)
  if not steps then return nil, message end
  if #steps == 0 then return nil, ("%s holds no checkpoint"):format(self.folder) end
  local state
  state, message = read_newest(self, run, steps)
  if not state then return nil, message end
  self.states = { [steps[#steps]] = state }
  for i = 1, #steps - 1 do self.states[steps[i]] = read_state(path_at(self, steps[i])) end
  local ok
  ok, message = remove_leftovers(self)
  if not ok then return nil, message end
  return state
end

return Checkpoints
