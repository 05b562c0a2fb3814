--- An experiment file, opened up to a trainer that has taken no step: what train and bench share.
-- What is wrong stops the command (moonrank.cli).
-- @module moonrank.experiment
local cli = require "moonrank.cli"

local M = {}

-- The script's options, held against the script; a complaint has the place in the file.
local function options_of(configuration, script)
  local given = {}
  for name, value in pairs(configuration.experiment.model) do
    if name ~= "script" then given[name] = value end
  end
  local options, message, name = require "moonrank.script".options(script, given)
  if options then return options end
  local unknown = script.options[name] == nil
  local places = unknown and configuration.key_places or configuration.places
  cli.fail("%s: %s%s", places["model." .. name], unknown and "" or "model.", message)
end

-- Patterns over the model's tensors, where the configuration has them.
local function check_patterns(configuration, name, patterns, model)
  local tensors = require "moonrank.tensors"
  local found, message, n = tensors.match(tensors.list(model), patterns)
  if not found then
    cli.fail("%s: %s: %s", configuration.places[("%s[%d]"):format(name, n)]
      or configuration.places[name], name, message)
  end
end

-- What a trainer takes: the keys of `train`.
local function trainer_options(configuration)
  local options = { eval_batch = configuration.experiment.eval.batch }
  for name, value in pairs(configuration.experiment.train) do options[name] = value end
  return options
end

--- Read the configuration, the script and the data, make the model and the trainer.
-- @tparam table options  of the command: config (the file), set, threads
-- @tparam Progress progress
-- @tparam {string,...} splits  to be opened, those of them that the fields file names
-- @treturn table configuration, script, data, model, run
function M.open(options, progress, splits)
  local configuration = cli.need(require "moonrank.config".experiment(options.config, options.set))
  local train = configuration.experiment.train
  train.threads = require "moonrank.args".whole("--threads", options.threads, 1, 256)
    or train.threads
  local script, message = require "moonrank.script".load(configuration.experiment.model.script)
  if not script then
    cli.fail("%s: %s", configuration.places["model.script"], message)
  end
  local model_options = options_of(configuration, script)
  local data = cli.need(require "moonrank.dataset".open(configuration.fields,
    { threads = train.threads, places = configuration.fields_places }))
  for _, name in ipairs(splits) do
    if configuration.fields.data[name] then
      progress:note(("reading the %s data ..."):format(name))
      cli.need(data:split(name))
    end
  end
  progress:clear()
  local mr = require "moonrank"
  local model = cli.guard(mr.model, script.path, { fields = data.fields, options = model_options,
    seed = train.seed, init = train.tables.init })
  if train.freeze then check_patterns(configuration, "train.freeze", train.freeze, model) end
  local run = cli.guard(mr.trainer, model, trainer_options(configuration))
  return { configuration = configuration, script = script, data = data, model = model, run = run }
end

return M
