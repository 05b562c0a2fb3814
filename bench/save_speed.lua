--- How long a table takes to be written and read again: the model file, and a checkpoint with the
-- optimizer's states, of `keys` rows of `dim` floats, adagrad. Seconds by the clock and of the
-- processors, and megabytes of the file a second.
--
--     luajit bench/save_speed.lua [--keys 5000000] [--dim 16] [--folder DIR] [--threads 2]
--
-- DIR: where the files go, and are removed again; default: a new one in the folder of temporary
-- files. Syncing to the disk is part of it.
local root = debug.getinfo(1, "S").source:match "^@(.*)bench/[^/]*$" or ""
package.path = root .. "lua/?.lua;" .. root .. "lua/?/init.lua;" .. root .. "bench/?.lua;"
  .. package.path
local clock = require "moonrank.clock"
local lfs = require "lfs"
local mr = require "moonrank.ffi"
local path_of = require "moonrank.path"
local report_table = require "moonrank.report_table"
local small_run = require "small_run"
local words = require "words"
local C = mr.C

local BATCH = 65536

local function make(given)
  return small_run.make({ { "id", C.MR_ID }, { "label", C.MR_LABEL } }, BATCH, given.threads,
    function(m)
      m:logloss(m:sum(m:lookup { column = "id", dim = given.dim }), m:column { column = "label" })
    end)
end

local function bytes_of(path)
  if lfs.attributes(path, "mode") == "file" then return lfs.attributes(path, "size") end
  local sum = 0
  for name in lfs.dir(path) do
    if name ~= "." and name ~= ".." then sum = sum + bytes_of(path .. "/" .. name) end
  end
  return sum
end

local function timed(what, path, call)
  local start, processor = clock.now(), clock.processor()
  mr.check(call())
  local seconds = clock.now() - start
  return { what = what, seconds = seconds, processor = clock.processor() - processor,
    rate = bytes_of(path) / 1e6 / seconds }
end

local function measure(given, folder)
  local made = make(given)
  local keys = C.mr_batch_keys(made.batch, 0)
  small_run.train(made, math.ceil(given.keys / BATCH), function(i)
    small_run.new_keys(keys, (i - 1) * BATCH, BATCH)
  end)
  local file, checkpoint = folder .. "/model.mr", folder .. "/checkpoint"
  local lines = {
    timed("save the model", file, function() return C.mr_model_save(made.model, file, "") end),
    timed("save a checkpoint", checkpoint, function()
      return C.mr_run_save(made.run, checkpoint, "")
    end),
  }
  made = make(given)
  lines[3] = timed("load the model", file, function() return C.mr_model_load(made.model, file) end)
  made = make(given)
  lines[4] = timed("restore the checkpoint", checkpoint, function()
    local state = mr.new "char *[1]"
    local status = C.mr_run_restore(made.run, checkpoint, state)
    C.mr_text_free(state[0])
    return status
  end)
  mr.check(C.mr_checkpoint_remove(checkpoint))
  return lines
end

local given = words.parse(arg, { keys = 5e6, dim = 16, folder = "", threads = 2 })
small_run.print_machine(given.threads)
local report = report_table.new {
  { ("%d keys"):format(given.keys), "%s", function(c) return c.what end, width = 22 },
  { "seconds", "%.2f", function(c) return c.seconds end },
  { "of the processors", "%.2f", function(c) return c.processor end },
  { "MB/s", ",", function(c) return c.rate end, width = 7 },
}
local folder = assert(path_of.temporary_folder(given.folder ~= "" and given.folder or nil))
local ok, lines = pcall(measure, given, folder)
path_of.remove_folder(folder)
if not ok then error(lines, 0) end
print(report.heading())
for _, line in ipairs(lines) do print(report.row(line)) end
