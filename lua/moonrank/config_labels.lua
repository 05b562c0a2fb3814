--- Tasks in the configuration: `label` of a fields file, and what `train` says of tasks.
-- @module moonrank.config_labels
local stop = require "moonrank.config_error".stop
local joined = require "moonrank.joined"
local monitors = require "moonrank.monitor"
local sorted_keys = require "moonrank.sorted_keys"
local suggest = require "moonrank.suggest"

local M = {}

-- The task that decides where `task` has labels: named itself, or by its column.
local function decider(tasks, columns, task, context)
  local named = tasks[task].when
  local when = tasks[named] and named or columns[named]
  if when then return when end
  return stop(context.places[("label.%s.when"):format(task)], 'label.%s.when: no task "%s"%s', task,
    named, suggest.phrase(named, sorted_keys(tasks)))
end

local function check_circles(tasks, context)
  for _, task in ipairs(sorted_keys(tasks)) do
    local at, seen = task, {}
    while type(tasks[at]) == "table" do
      if seen[at] then
        stop(context.places[("label.%s.when"):format(task)],
          "label.%s.when leads back to itself", task)
      end
      seen[at], at = true, tasks[at].when
    end
  end
end

--- `label` in one form.
-- @param label  text, a list or a map, as given
-- @tparam table context  places of values
-- @treturn table by task its column, or { column, when = the task that decides, is = {texts that
-- are 1}, from = the least number that is }
function M.resolve(label, context)
  if type(label) == "string" then return { ctr = label } end
  if not next(label) then stop(context.places.label, "label is an empty map") end
  local tasks, columns = {}, {}
  for i, column in ipairs(label) do
    if tasks[column] then
      stop(context.places[("label[%d]"):format(i)], 'label has "%s" twice', column)
    end
    tasks[column] = column
  end
  if label[1] then return tasks end
  for _, task in ipairs(sorted_keys(label)) do
    local one = label[task]
    local column = type(one) == "table" and one.column or one
    columns[column] = columns[column] or task
    local is = type(one) == "table" and one.is or nil
    if is and one.from then
      stop(context.places[("label.%s.from"):format(task)], "label.%s.from does not go with is",
        task)
    end
    if type(one) == "table" and (one.when or one.is or one.from) then
      tasks[task] = { column = column, when = one.when, from = one.from,
        is = type(is) == "string" and { is } or is }
    else
      tasks[task] = column
    end
  end
  for _, task in ipairs(sorted_keys(tasks)) do
    if type(tasks[task]) == "table" and tasks[task].when then
      tasks[task].when = decider(tasks, columns, task, context)
    end
  end
  check_circles(tasks, context)
  return tasks
end

--- Hold the tasks that data.sample_rate names against those that there are.
-- @tparam table data
-- @tparam table label  resolved
-- @tparam table context  places of keys
function M.check_rates(data, label, context)
  local rates = type(data.sample_rate) == "table" and data.sample_rate or {}
  for _, task in ipairs(sorted_keys(rates)) do
    if not label[task] then
      stop(context.key_places["data.sample_rate." .. task],
        'unknown task "%s" in data.sample_rate, expected %s%s', task,
        joined(sorted_keys(label), "or"), suggest.phrase(task, sorted_keys(label)))
    end
  end
end

--- Hold train.monitor, which becomes a map of weights, and train.task_weights against the tasks.
-- @tparam table train
-- @tparam table label  resolved
-- @tparam table context  places of values and keys
function M.check_training(train, label, context)
  local tasks, known = sorted_keys(label), {}
  local names = monitors.names(tasks)
  for _, name in ipairs(names) do known[name] = true end
  local monitor = train.monitor
  if type(monitor) == "string" and not known[monitor] then
    stop(context.places["train.monitor"], 'train.monitor is "%s", expected %s or a map%s', monitor,
      joined(names, "or"), suggest.phrase(monitor, names))
  elseif type(monitor) == "table" and not next(monitor) then
    stop(context.places["train.monitor"], "train.monitor is an empty map")
  end
  train.monitor = monitors.weights(monitor)
  for _, name in ipairs(sorted_keys(train.monitor)) do
    if not known[name] then
      stop(context.key_places["train.monitor." .. name], 'unknown key "%s" in train.monitor%s',
        name, suggest.phrase(name, names))
    end
  end
  for _, task in ipairs(sorted_keys(train.task_weights or {})) do
    if not label[task] then
      stop(context.key_places["train.task_weights." .. task],
        'unknown task "%s" in train.task_weights%s', task, suggest.phrase(task, tasks))
    end
  end
end

-- A word as YAML has it: quoted where it may mean something else; nil where that is not plain.
local function word(text)
  if text:find "^[%w_+-][%w_.+-]*$" then return text end
  return not text:find '["\\%c]' and ('"%s"'):format(text) or nil
end

-- What takes a label for 1: a text, or this number and more, from 1 on.
local function takes(text)
  local number = tonumber(text)
  if not number or not text:find "%d" then
    local is = word(text)
    return is and "is: " .. is, ('"%s"'):format(text)
  end
  local least = ("%.14g"):format(math.max(number, 1))
  return "from: " .. least, least .. " and more"
end

--- A message about a label that is neither 0 nor 1, with what in the configuration would take such.
-- @tparam string message
-- @tparam table label  resolved
-- @treturn string the message alone where it is about something else
function M.hint(message, label)
  local text, column = message:match 'label "([^"]+)" in column "([^"]+)", expected 0 or 1$'
  if not text or #text > 40 then return message end -- longer ones are not shown whole
  for _, task in ipairs(sorted_keys(label)) do
    local rule, what = takes(text)
    local name = word(column)
    if label[task] == column and rule and name then
      return ("%s; label: {%s: {column: %s, %s}} takes %s for 1"):format(message, task, name, rule,
        what)
    end
  end
  return message
end

return M
