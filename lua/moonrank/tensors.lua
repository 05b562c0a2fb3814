--- The tensors of a model by their names, and patterns over them: what `train.freeze` and
-- `train.warm_start` speak of. A dense weight or moving statistic is `<node>.<weight>`, as
-- `moonrank inspect` lists it; a table is `table.<name>`, one part of its rows
-- `table.<name>.<part>`. In a pattern * stands for any text, ? for one character, [ab] for a set.
-- @module moonrank.tensors
local mr = require "moonrank.ffi"
local path_of = require "moonrank.path"
local suggest = require "moonrank.suggest"
local C = mr.C

local M = {}

--- The tensors of a model: weights in the order of the graph, then tables, part by part.
-- @tparam Model model
-- @treturn {table,...} { name, weight = number } or { name, within = name of the table,
-- table = number, part = number }; numbers as the engine counts, from 0; trained: false of a moving
-- statistic
function M.list(model)
  local handle, list = mr.handle(model, "the model"), {}
  local weight = mr.new "mr_param_info"
  for i = 0, C.mr_model_params(handle) - 1 do
    mr.check(C.mr_model_param(handle, i, weight))
    list[#list + 1] = { name = mr.string(weight.name), weight = i, trained = weight.trained ~= 0 }
  end
  local info, part = mr.new "mr_table_info", mr.new "mr_part_info"
  for t = 0, C.mr_model_tables(handle) - 1 do
    mr.check(C.mr_model_table(handle, t, info))
    local within = "table." .. mr.string(info.name)
    for p = 0, info.n_parts - 1 do
      mr.check(C.mr_model_part(handle, t, p, part))
      list[#list + 1] = { name = within .. "." .. mr.string(part.name), within = within, table = t,
        part = p, trained = true }
    end
  end
  return list
end

local function names_of(list)
  local names, seen = {}, {}
  for _, tensor in ipairs(list) do
    if tensor.within and not seen[tensor.within] then names[#names + 1] = tensor.within end
    if tensor.within then seen[tensor.within] = true end
    names[#names + 1] = tensor.name
  end
  return names
end

--- The tensors that patterns match, in the order of the list, each once. A table stands for all of
-- its parts.
-- @tparam {table,...} list  as of M.list
-- @tparam {string,...} patterns
-- @treturn ?{table,...}
-- @treturn ?string what is wrong: a pattern matches nothing
-- @treturn ?integer which pattern
function M.match(list, patterns)
  local chosen, result = {}, {}
  for n, pattern in ipairs(patterns) do
    local any = false
    for i, tensor in ipairs(list) do
      if path_of.matches(tensor.name, pattern)
          or tensor.within and path_of.matches(tensor.within, pattern) then
        chosen[i], any = true, true
      end
    end
    if not any then
      return nil, ('"%s" matches no weight and no table of the model%s'):format(pattern,
        suggest.phrase(pattern, names_of(list))), n
    end
  end
  for i, tensor in ipairs(list) do
    if chosen[i] then result[#result + 1] = tensor end
  end
  return result
end

--- Names for people: a table whose parts are all there goes by its own name.
-- @tparam {table,...} list  as of M.list
-- @tparam {table,...} some  of these
-- @treturn {string,...}
function M.names(list, some)
  local parts, names, named = {}, {}, {}
  for _, tensor in ipairs(list) do
    if tensor.within then parts[tensor.within] = (parts[tensor.within] or 0) + 1 end
  end
  for _, tensor in ipairs(some) do
    if tensor.within then parts[tensor.within] = parts[tensor.within] - 1 end
  end
  for _, tensor in ipairs(some) do
    local name = tensor.name
    if tensor.within and parts[tensor.within] == 0 then name = tensor.within end
    if not named[name] then names[#names + 1] = name end
    named[name] = true
  end
  return names
end

return M
