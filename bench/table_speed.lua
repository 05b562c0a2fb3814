--- Ids looked up and updated a second: one field of `dim` floats, batches of ids drawn evenly or by
-- a power law from tables of several sizes. Per case, in millions of ids a second:
--
--   probe    keys to rows, with the list of distinct keys and their occurrences
--   read     copying the rows (forward of lookup)
--   update   gradients summed for each distinct key, adagrad
--   all      the whole step
--
--     luajit bench/table_speed.lua [--threads 2] [--batch 65536] [--steps 20]
local root = debug.getinfo(1, "S").source:match "^@(.*)bench/[^/]*$" or ""
package.path = root .. "lua/?.lua;" .. root .. "lua/?/init.lua;" .. root .. "bench/?.lua;"
  .. package.path
local mr = require "moonrank.ffi"
local report_table = require "moonrank.report_table"
local small_run = require "small_run"
local words = require "words"
local C = mr.C

local EXPONENT = -0.05 -- 1 - 1.05

local function draw(law, keys)
  local u = math.random()
  if law == "even" then return math.floor(u * keys) end
  return math.min(math.floor((1 + u * ((keys + 1) ^ EXPONENT - 1)) ^ (1 / EXPONENT)) - 1, keys - 1)
end

-- Keys as hashes are: all bits of the id spread.
local function fill(batch, n, law, keys)
  local to = C.mr_batch_keys(batch, 0)
  for i = 0, n - 1 do to[i] = (draw(law, keys) + 1ULL) * 0x9e3779b97f4a7c15ULL end
end

local function measure(given, case)
  math.randomseed(1)
  local lookup
  local made = small_run.make({ { "id", C.MR_ID }, { "label", C.MR_LABEL } }, given.batch,
    given.threads, function(m)
      lookup = m:lookup { column = "id", dim = case.dim }
      m:logloss(m:sum(lookup), m:column { column = "label" })
    end)
  local function refill() fill(made.batch, given.batch, case.law, case.keys) end
  -- All rows there first, then the tables' usual state.
  local to, n = C.mr_batch_keys(made.batch, 0), 0
  for id = 0, case.keys - 1 do
    to[n], n = (id + 1ULL) * 0x9e3779b97f4a7c15ULL, n + 1
    if n == given.batch or id == case.keys - 1 then
      mr.check(C.mr_run_make_rows(made.run, made.batch))
      n = 0
    end
  end
  small_run.train(made, 2, refill)
  mr.check(C.mr_run_profile(made.run, 1))
  small_run.train(made, given.steps, refill)
  local lines, all, ids = small_run.profile(made), 0, given.batch * given.steps / 1e6
  for _, line in pairs(lines) do all = all + line.seconds end
  case.probe, case.update = ids / lines.probe.seconds, ids / lines["update rows"].seconds
  case.read = ids / lines["forward " .. lookup.id].seconds
  case.all = ids / all
  return case
end

local given = words.parse(arg, { threads = 2, batch = 65536, steps = 20, keys = 0 })
small_run.print_machine(given.threads)
local report = report_table.new {
  { "keys", ",", function(c) return c.keys end, width = 10 },
  { "law", "%s", function(c) return c.law end, width = 5 },
  { "dim", "%d", function(c) return c.dim end },
  { "probe M/s", "%.1f", function(c) return c.probe end },
  { "read M/s", "%.1f", function(c) return c.read end },
  { "update M/s", "%.1f", function(c) return c.update end },
  { "all M/s", "%.1f", function(c) return c.all end },
}
print(report.heading())
for _, keys in ipairs(given.keys > 0 and { given.keys } or { 10000, 1000000, 8000000 }) do
  for _, law in ipairs { "even", "zipf" } do
    for _, dim in ipairs { 1, 16 } do
      print(report.row(measure(given, { keys = keys, law = law, dim = dim })))
      collectgarbage()
    end
  end
end
