--- moonrank: train and serve models of click-through rates.
--
--     local mr = require "moonrank"
--     local data = mr.dataset "examples/adworld/fields.yaml"
--     local model = mr.model("dnn", { fields = data.fields, options = { hidden = { 64 } } })
--     local run = mr.trainer(model, { optimizer = { adam = { lr = 1e-3 } } })
--     run:fit(data, { epochs = 2 })
--     print(run:evaluate(data.test).auc)
-- @module moonrank
local M = {}

--- Open data by its fields file; see Dataset.open.
-- @param source  the path of a fields file
-- @tparam[opt] table options
-- @treturn Dataset
-- @raise when the file or the data is wrong
function M.dataset(source, options)
  local data, message = require "moonrank.dataset".open(source, options)
  if not data then error(message, 2) end
  return data
end

--- Build a model from a script.
-- @tparam string script  a name in models/, or the path of a .lua file
-- @tparam table options  fields (of a dataset); options: of the script, in place of its defaults;
-- seed (1); init: { normal = s } or { uniform = s }, the start of embedding rows;
-- task_weights: of tasks in the loss, by name (1)
-- @treturn Model
-- @raise when the script, an option or the graph is wrong
function M.model(script, options)
  local scripts = require "moonrank.script"
  local loaded, message = scripts.load(script)
  if not loaded then error(message, 2) end
  local given
  given, message = scripts.options(loaded, options.options or {})
  if not given then error(message, 2) end
  return require "moonrank.model".new(loaded, { fields = options.fields, options = given,
    seed = options.seed, init = options.init, task_weights = options.task_weights })
end

--- Train a model; see Trainer.new.
function M.trainer(model, options) return require "moonrank.trainer".new(model, options) end

--- Read a model file; see Model.load.
function M.load(path) return require "moonrank.model".load(path) end

return M
