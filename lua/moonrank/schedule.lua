--- Schedules of the learning rate: a factor for each update, a function of its number alone, so a
-- resumed run goes on as if it had never stopped.
-- @module moonrank.schedule
local M = {}

local KINDS = {
  constant = function() return 1 end,
  step = function(o, step) return (o.factor or 0.1) ^ math.floor((step - 1) / o.every) end,
  cosine = function(o, step)
    local least, done = o.least or 0, math.min((step - 1) / o.steps, 1)
    return least + (1 - least) * 0.5 * (1 + math.cos(math.pi * done))
  end,
}

--- The factor on the learning rate.
-- @tparam ?table schedule  { constant = {} }, { step = { every, factor } } or
-- { cosine = { steps, least } }
-- @tparam ?integer warm_up  updates over which the factor rises to the schedule's
-- @tparam integer step  the update that comes, from 1
-- @treturn number
-- @raise when the schedule is unknown
function M.factor(schedule, warm_up, step)
  local name, options = "constant", {}
  if schedule then name, options = next(schedule) end
  local kind = KINDS[name]
  if not kind then error(('no schedule "%s"'):format(tostring(name)), 2) end
  local factor = kind(options, step)
  if warm_up and step <= warm_up then factor = factor * step / warm_up end
  return factor
end

return M
