--- An experiment file, opened up to a trainer that has taken no step: what train, bench
-- and check share.
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

-- Stop with the place of the n-th item of a list, or of the value itself.
local function fail_at(configuration, name, n, message)
  local place = n and configuration.places[("%s[%d]"):format(name, n)]
    or configuration.places[name]
  cli.fail("%s: %s: %s", place, name, message)
end

local function check_frozen(configuration, model)
  local tensors = require "moonrank.tensors"
  local found, message, n = tensors.match(tensors.list(model),
    configuration.experiment.train.freeze or {})
  if not found then fail_at(configuration, "train.freeze", n, message) end
end

local function check_mba(configuration)
  local tables = configuration.experiment.train.tables
  if tables.mba > 0 and tables.rows == "all" then
    fail_at(configuration, "train.tables.mba", nil,
      "it regularises the rows of a batch, and train.tables.rows: all moves all of them")
  end
end

-- Where all rows are made beforehand, keys cannot be admitted nor dropped while training.
local function check_admission(configuration)
  local train = configuration.experiment.train.tables
  local key, all = "train.tables.rows", "all"
  if train.mba > 0 then key, all = "train.tables.mba", train.mba
  elseif train.rows ~= "all" then return end
  local tables = configuration.fields.tables
  for _, name in ipairs(require "moonrank.sorted_keys"(tables)) do
    local what = tables[name].admit and "admit" or tables[name].expire and "expire"
    if what then
      fail_at(configuration, key, nil, ("%s makes the rows of all keys beforehand, and table %s "
        .. "has %s; leave one of them out"):format(all, name, what))
    end
  end
end

-- What a trainer takes: the keys of `train`, and the threads of this training.
local function trainer_options(configuration, threads)
  local options = { eval_batch = configuration.experiment.eval.batch }
  for name, value in pairs(configuration.experiment.train) do options[name] = value end
  options.warm_start, options.task_weights = nil, nil -- they are of the model
  options.threads = threads
  return options
end

local function load_script(configuration)
  local script, message = require "moonrank.script".load(configuration.experiment.model.script)
  if not script then cli.fail("%s: %s", configuration.places["model.script"], message) end
  return script
end

local function make_model(configuration, script, options, fields)
  local train = configuration.experiment.train
  local model = cli.guard(require "moonrank".model, script.path, { fields = fields,
    options = options, seed = train.seed, init = train.tables.init,
    task_weights = train.task_weights })
  check_frozen(configuration, model)
  return model
end

--- Hold a configuration against its script, as far as can be done without data.
-- @tparam table configuration  of an experiment
-- @tparam Pool pool
function M.check(configuration, pool)
  check_mba(configuration)
  check_admission(configuration)
  local script = load_script(configuration)
  local options = options_of(configuration, script)
  local data = cli.need(require "moonrank.dataset".open(configuration.fields,
    { pool = pool, places = configuration.fields_places }))
  make_model(configuration, script, options, data.fields):close()
end

--- The model and the trainer of an experiment before there is any data.
-- @tparam table configuration  of an experiment
-- @tparam table fields  of a Schema
-- @tparam integer threads
-- @treturn table model, run
function M.without_data(configuration, fields, threads)
  check_mba(configuration)
  check_admission(configuration)
  local script = load_script(configuration)
  local model = make_model(configuration, script, options_of(configuration, script), fields)
  return { model = model, run = cli.guard(require "moonrank".trainer, model,
    trainer_options(configuration, threads)) }
end

--- Read the configuration, the script and the data, make the model and the trainer.
-- @tparam table options  of the command: config (the file), set, threads
-- @tparam Progress progress
-- @tparam {string,...} splits  to be opened, those of them that the fields file names
-- @treturn table configuration, script, data, model, run; rules: lines of moonrank.data_rules
function M.open(options, progress, splits)
  local configuration = cli.need(require "moonrank.config".experiment(options.config, options.set))
  check_mba(configuration)
  check_admission(configuration)
  local threads = require "moonrank.args".whole("--threads", options.threads, 1, 256)
    or configuration.experiment.train.threads
  local script = load_script(configuration)
  local model_options = options_of(configuration, script)
  local rules = cli.need(require "moonrank.data_rules".lines(configuration.fields,
    configuration.fields_places))
  local data = cli.need(require "moonrank.dataset".open(configuration.fields,
    { threads = threads, places = configuration.fields_places, progress = progress }))
  for _, name in ipairs(splits) do
    if require "moonrank.config_split".has(configuration.fields, name) then
      progress:note(("reading the %s data ..."):format(name))
      cli.need(data:split(name))
    end
  end
  progress:clear()
  local model = make_model(configuration, script, model_options, data.fields)
  local run = cli.guard(require "moonrank".trainer, model,
    trainer_options(configuration, threads))
  return { configuration = configuration, script = script, data = data, model = model, run = run,
    rules = rules }
end

--- Take over what `train.warm_start` names, if anything. Not for a run that is resumed, which has
-- it in its checkpoint.
-- @tparam table opened  as of M.open
-- @treturn ?table as of moonrank.warm_start's apply
function M.warm_start(opened)
  local configuration, model = opened.configuration, opened.model
  local from = configuration.experiment.train.warm_start
  if not from then return nil end
  local report, message, n = cli.guard(model.warm_start, model, from.model, from.names)
  if report then return report end
  fail_at(configuration, n and from.names and "train.warm_start.names" or "train.warm_start.model",
    n, message)
end

return M
