--- What a training improves: figures of the validation data, each by a weight.
-- @module moonrank.monitor
local sorted_keys = require "moonrank.sorted_keys"

local M = {}

local METRICS = { "auc", "gauc", "logloss" }

--- What may be monitored: a metric of the first task or, of several, as in buy.auc, of any.
-- @tparam {string,...} tasks  their names
-- @treturn {string,...}
function M.names(tasks)
  local names = { unpack(METRICS) }
  for _, task in ipairs(#tasks > 1 and tasks or {}) do
    for _, metric in ipairs(METRICS) do names[#names + 1] = task .. "." .. metric end
  end
  return names
end

--- A monitor as weights, more being better.
-- @param monitor  a name, or weights by name
-- @treturn table
function M.weights(monitor)
  if type(monitor) == "table" then return monitor end
  return { [monitor] = monitor:match "[^.]*$" == "logloss" and -1 or 1 }
end

--- A figure as monitors name it.
-- @tparam table figures  as of Predictor:evaluate
-- @tparam string name
-- @treturn ?number
-- @treturn string what the figure is called without its task
function M.figure(figures, name)
  local task, figure = name:match "^(.*)%.([^.]*)$"
  if not task then return figures[name], name end
  return figures.tasks[task][figure], figure
end

--- What a monitor comes to.
-- @tparam table weights
-- @tparam function figure_of  figure_of(figures, name) gives a number
-- @tparam table figures
-- @treturn number
function M.value(weights, figure_of, figures)
  local sum = 0
  for _, name in ipairs(sorted_keys(weights)) do -- in a fixed order: floats do not commute
    sum = sum + weights[name] * figure_of(figures, name)
  end
  return sum
end

return M
