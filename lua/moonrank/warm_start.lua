--- Starting from another model: weights, tables and parts of tables taken over by name.
-- @module moonrank.warm_start
local mr = require "moonrank.ffi"
local tensors = require "moonrank.tensors"
local C = mr.C

local M = {}

local function take(model, tensor, other, theirs)
  if tensor.weight then
    return mr.ok(C.mr_model_take_weight(model.handle, tensor.weight, other.handle, theirs.weight))
  end
  return mr.ok(C.mr_model_take_part(model.handle, tensor.table, tensor.part, other.handle,
    theirs.table, theirs.part))
end

-- What the patterns choose of the model, in two lists: what the other one has too, and the rest.
local function choose(model, other, patterns)
  local list, there = tensors.list(model), {}
  for _, tensor in ipairs(tensors.list(other)) do there[tensor.name] = tensor end
  local chosen, message, n = tensors.match(list, patterns)
  if not chosen then return nil, message, n end
  local shared, found, missing = {}, {}, {}
  for _, tensor in ipairs(list) do
    if there[tensor.name] then shared[#shared + 1] = tensor end
  end
  for i, pattern in ipairs(patterns) do
    if not tensors.match(shared, { pattern }) then
      return nil, ('"%s" matches nothing that both models have'):format(pattern), i
    end
  end
  for _, tensor in ipairs(chosen) do
    local to = there[tensor.name] and found or missing
    to[#to + 1] = tensor
  end
  return { list = list, there = there, found = found, missing = missing }
end

local function apply(model, other, patterns)
  local choice, message, n = choose(model, other, patterns)
  if not choice then return nil, message, n end
  for _, tensor in ipairs(choice.found) do
    local ok
    ok, message = take(model, tensor, other, choice.there[tensor.name])
    if not ok then return nil, message end
  end
  mr.check(C.mr_model_changed(model.handle))
  return { taken = tensors.names(choice.list, choice.found),
    missing = tensors.names(choice.list, choice.missing) }
end

--- Take over what patterns name. The rows of a table come with their keys; rows that only the
-- model has stay. Optimizer states are not taken.
-- @tparam Model model
-- @tparam string where  a run folder or a model file
-- @tparam[opt={"*"}] {string,...} patterns  as of moonrank.tensors
-- @treturn ?table { file =, taken = names, missing = names that the patterns match and the other
-- model lacks: they stay as they are }
-- @treturn ?string what is wrong: the file, a pattern that matches nothing in one of the two, or a
-- tensor of another shape
-- @treturn ?integer which pattern it is about
function M.apply(model, where, patterns)
  mr.handle(model, "the model")
  local Model = require "moonrank.model"
  local file, trouble = Model.file(where)
  if not file then return nil, trouble end
  local other
  other, trouble = Model.load(file)
  if not other then return nil, trouble end
  local report, message, n = apply(model, other, patterns or { "*" })
  other:close()
  if not report then return nil, ("%s: %s"):format(file, message), n end
  report.file = file
  return report
end

return M
