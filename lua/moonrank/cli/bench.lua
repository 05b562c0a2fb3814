--- moonrank bench: how fast an experiment trains, and where the time goes.
local M = { name = "bench", summary = "how fast an experiment trains, and where the time goes" }

local function parser()
  local args = require "moonrank.args"
  local p = args.parser("bench", "Train some steps of an experiment and print the speed.", [[
The model is thrown away. With --profile a table shows where the time went: for each op and pass,
and for each part of the step beside the graph, milliseconds a step (of all threads together, over
their number, so that the lines add up to the step), the share, the rates while it ran, and of the
limits of this machine the share that it reached: of the operations of a dense layer's product
alone, or of the bytes that its cache (ops) or its memory (lookups, probe, rows, weights) can move,
whichever is more. "batch" is waiting for the loader, "wait" threads without a slice to work on.]])
  p:argument("config", "the experiment file"):argname "CONFIG"
  args.add_set(p)
  p:option("--steps", "steps that are measured, after a tenth as many that are not; default: 100")
    :argname "N"
  p:flag("--profile", "print where the time goes")
  p:option("--threads", "threads to use; default: one per CPU"):argname "N"
  return p
end

function M.usage() return require "moonrank.args".help(parser()) end

function M.run(words)
  local cli, args = require "moonrank.cli", require "moonrank.args"
  local options = args.parse(parser(), words)
  local steps = args.whole("--steps", options.steps, 1, 1e9) or 100
  local progress = require "moonrank.progress".new()
  local opened = require "moonrank.experiment".open(options, progress, { "train" })
  local speed = require "moonrank.speed"
  local result = cli.guard(speed.measure, opened.run, opened.data.train,
    { steps = steps, warm_up = math.ceil(steps / 10), profile = options.profile })
  print(("model    %s (%s)"):format(opened.script.name, opened.script.path))
  print(("machine  %s"):format(speed.machine(opened.run)))
  local report = speed.report(result)
  print("\n" .. table.concat(report.speed, "\n"))
  if report.profile then print("\n" .. table.concat(report.profile, "\n")) end
  return 0
end

return M
