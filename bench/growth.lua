--- How speed and memory grow: samples a second and bytes a key against the number of keys, the
-- batch, the fields and the threads, as a table and a picture. The model adds up a vector of `dim`
-- floats for each field (adagrad); each field has a table of its own, and the keys are spread over
-- them evenly. One thing grows at a time; the others are those of the options.
--
--     luajit bench/growth.lua [--quick] [--most-keys 50000000] [--keys 1000000] [--batch 4096]
--                             [--fields 39] [--threads 2] [--dim 4] [--svg build/bench/growth.svg]
--
-- All keys are there before anything is timed. Ids are drawn evenly over all keys, or by a power
-- law with exponent 1.05; drawing them is not timed, everything else of a step is. Bytes a key: the
-- most by the engine's own reckoning (mr_model_table_bytes), and the growth of the process, buffers
-- of the batch included.
local root = debug.getinfo(1, "S").source:match "^@(.*)bench/[^/]*$" or ""
package.path = root .. "lua/?.lua;" .. root .. "lua/?/init.lua;" .. root .. "bench/?.lua;"
  .. package.path
local Pool = require "moonrank.pool"
local clock = require "moonrank.clock"
local mr = require "moonrank.ffi"
local path_of = require "moonrank.path"
local report_table = require "moonrank.report_table"
local small_run = require "small_run"
local speed = require "moonrank.speed"
local svg = require "moonrank.svg"
local words = require "words"
local C = mr.C

local EXPONENT = -0.05 -- 1 - 1.05
local FIELD = 2 ^ 32   -- from the numbers of one field to those of the next

local LAWS = {
  even = function(keys) return math.floor(math.random() * keys) end,
  power = function(keys)
    local k = (1 + math.random() * ((keys + 1) ^ EXPONENT - 1)) ^ (1 / EXPONENT)
    return math.min(math.floor(k) - 1, keys - 1)
  end,
}

local function make(case)
  local columns = { { "label", C.MR_LABEL } }
  for f = 1, case.fields do columns[f + 1] = { "f" .. f, C.MR_ID } end
  local made = small_run.make(columns, case.batch, case.threads, function(m)
    local rows = {}
    for f = 1, case.fields do rows[f] = m:lookup { column = "f" .. f, dim = case.dim } end
    m:logloss(m:sum(m:concat(rows)), m:column { column = "label" })
  end)
  made.each, made.resident = 0, small_run.resident()
  return made
end

-- Make rows until every field has `each` keys.
local function fill(made, case, each)
  while made.each < each do
    for f = 1, case.fields do
      local keys = C.mr_batch_keys(made.batch, f)
      for i = 0, case.batch - 1 do
        keys[i] = small_run.key(f * FIELD + math.min(made.each + i, each - 1))
      end
    end
    mr.check(C.mr_run_make_rows(made.run, made.batch))
    made.each = math.min(made.each + case.batch, each)
  end
end

local function measure(made, case, each, given)
  local draw, loss, times, sum = LAWS[case.law], mr.new "double[1]", {}, 0
  for step = 1, 1000 do
    for f = 1, case.fields do
      local keys = C.mr_batch_keys(made.batch, f)
      for i = 0, case.batch - 1 do keys[i] = small_run.key(f * FIELD + draw(each)) end
    end
    local start = clock.now()
    mr.check(C.mr_run_step(made.run, made.batch, loss))
    if step > 2 then
      times[#times + 1] = clock.now() - start
      sum = sum + times[#times]
      if sum >= given.seconds and #times >= 5 then break end
    end
  end
  case.samples_per_s = case.batch / speed.median(times)
end

local function of_keys(made, case)
  local n = case.fields * made.each
  case.keys, case.bytes = n, (small_run.resident() - made.resident) / n
  local most = 0
  for t = 0, case.fields - 1 do
    most = most + tonumber(C.mr_model_table_bytes(made.model, t, made.each))
  end
  case.most_bytes = most / n
end

-- ---- what grows ----

local given = words.parse(arg, { quick = false, most_keys = 5e7, keys = 1e6, batch = 4096,
  fields = 39, threads = Pool.cpus(), dim = 4, seconds = 0.4, svg = "" })
if given.quick then
  given.most_keys, given.seconds = math.min(given.most_keys, 1e6), math.min(given.seconds, 0.1)
end

local report = report_table.new {
  { "grows", "%s", function(c) return c.grows end, width = 7 },
  { "keys", ",", function(c) return c.keys end, width = 10 },
  { "batch", ",", function(c) return c.batch end, width = 6 },
  { "fields", "%d", function(c) return c.fields end },
  { "threads", "%d", function(c) return c.threads end },
  { "ids", "%s", function(c) return c.law end, width = 5 },
  { "samples/s", ",", function(c) return c.samples_per_s end, width = 10 },
  { "ids/s", ",", function(c) return c.samples_per_s * c.fields end, width = 11 },
  { "bytes/key, at most", "%.0f", function(c) return c.most_bytes end },
  { "grown", "%.0f", function(c) return c.bytes end },
}
local cases = {}

local function case_of(grows, law, changes)
  local case = { grows = grows, law = law, batch = given.batch, fields = given.fields,
    threads = given.threads, dim = given.dim }
  for name, value in pairs(changes or {}) do case[name] = value end
  return case
end

local function add(case)
  cases[#cases + 1] = case
  print(report.row(case))
end

-- Measure with a number of keys in the tables, by both laws.
local function at(made, grows, keys, changes)
  for _, law in ipairs { "even", "power" } do
    local case = case_of(grows, law, changes)
    local each = math.max(math.floor(keys / case.fields), 1)
    fill(made, case, each)
    of_keys(made, case)
    measure(made, case, each, given)
    add(case)
  end
end

small_run.print_machine(given.threads)
print(report.heading())

local made, keys = make(case_of "keys"), 1e4
while keys <= given.most_keys do
  at(made, "keys", keys)
  keys = keys < given.most_keys and math.min(10 * keys, given.most_keys) or math.huge
end

local function grow(name, list)
  for _, value in ipairs(list) do
    made = nil
    collectgarbage()
    collectgarbage()
    made = make(case_of(name, nil, { [name] = value }))
    at(made, name, given.keys, { [name] = value })
  end
end
grow("batch", given.quick and { 32, 512, 16384 } or { 32, 128, 512, 2048, 4096, 8192, 16384 })
grow("fields", given.quick and { 10, 100, 500 } or { 10, 20, 50, 100, 200, 500 })
grow("threads", given.quick and { 1, 2 } or { 1, 2, 4 })

-- ---- the picture ----

local function series(name, grows, law, figure)
  local points = { name = name }
  for _, case in ipairs(cases) do
    if case.grows == grows and case.law == law then
      points[#points + 1] = { case[grows], figure(case) }
    end
  end
  return points
end

local function speeds(grows, title, log)
  local function figure(case) return case.samples_per_s end
  return { title = "Speed against " .. grows, x = { title = title, log = log },
    y = { title = "samples/s", log = log }, series = { series("ids even", grows, "even", figure),
      series("by a power law", grows, "power", figure) } }
end

local function pictures()
  return {
    title = "moonrank: growth of speed and memory",
    description = ("Samples a second of training and bytes a key, against the number of keys, "
      .. "rows of a batch, fields and threads. Unless they grow: %s keys, batches of %d, "
      .. "%d fields, %d threads; vectors of %d floats, adagrad. The table beside the picture has "
      .. "the figures."):format(svg.number(given.keys), given.batch, given.fields, given.threads,
      given.dim),
    panels = {
      speeds("keys", "keys in all tables", true),
      { title = "Memory against keys", x = { title = "keys in all tables", log = true },
        y = { title = "bytes a key", log = true }, series = {
          series("at most, reckoned", "keys", "even", function(c) return c.most_bytes end),
          series("growth of the process", "keys", "power", function(c)
            return math.max(c.bytes, 1)
          end) } },
      speeds("batch", "rows of a batch", true),
      speeds("fields", "fields", true),
      speeds("threads", "threads"),
    },
  }
end

local path = given.svg
if path == "" then
  path = root .. "build/bench/growth.svg"
  assert(path_of.make_folder(root .. "build/bench"))
end
local file = assert(io.open(path, "w"))
file:write(svg.picture(pictures()))
file:close()
print("picture: " .. path)
