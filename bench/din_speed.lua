--- DIN on the data that `generate din` wrote: samples a second of training, or the time of scoring
-- one user's candidates, as one JSON line.
--
--     luajit bench/din_speed.lua --data DIR [--batch 1024] [--threads 2] [--lanes 16]
--                                [--activation prelu] [--seconds 3] [--windows 3]
--     luajit bench/din_speed.lua --data DIR --score 200 [--behaviours 100] [--threads 1]
--                                [--seconds 1] [--windows 5]
--     luajit bench/din_speed.lua --data DIR --profile 20 [--batch 1024] [--threads 2]
--
-- Training: { samples_per_s, ms_per_step, cpu_us, loss, steps }; cpu_us is processor time a sample.
-- Rows lie in memory as keys before the clock starts; filling a batch with them is timed, and so is
-- all that a step does. Tables are trained with adagrad, dense weights with adam, as by the peers.
--
-- Scoring: { p50_ms, p99_ms, jitter_p99_ms, row_by_row_ms, calls }. A call fills a batch, one
-- request with its behaviours and candidates, and scores it. The window with the best median
-- counts. row_by_row_ms is the median of the same candidates as requests of one: what the user's
-- part costs where it is not shared. jitter_p99_ms is the machine's own: the 99th percentile of a
-- loop of arithmetic whose median is p50_ms.
--
-- With --whole the attention unit's first layer is one product over [q, k, q - k, q * k], written
-- out for every pair: what the engine's way is held against.
--
-- A profile: where the time of so many steps goes, a table as of `moonrank bench --profile`.
local root = debug.getinfo(1, "S").source:match "^@(.*)bench/[^/]*$" or ""
package.path = root .. "lua/?.lua;" .. root .. "lua/?/init.lua;" .. root .. "bench/?.lua;"
  .. package.path
local words = require "words"
local Builder = require "moonrank.builder"
local clock = require "moonrank.clock"
local json = require "moonrank.json"
local mr = require "moonrank.ffi"
local numbers = require "numbers"
local Pool = require "moonrank.pool"
local speed = require "moonrank.speed"
local Trainer = require "moonrank.trainer"
local C = mr.C

local DIM = 64
local NAMES = { "item", "cate" } -- tables, and the columns of the ad

local given = words.parse(arg, { data = "", batch = 1024, threads = 2, activation = "prelu",
  seconds = 3, windows = 3, warm_up = 1, score = 0, behaviours = 100, profile = 0, lanes = 0,
  whole = false })

local function object(kind, free, make, ...)
  local out = mr.new(kind .. " *[1]")
  mr.check(make(out, ...))
  return mr.gc(out[0], free)
end

-- ---- data ----

local function read_list(name, kind)
  local list, n = numbers(given.data .. "/" .. name, kind)
  return { at = list, n = n }
end

local function integers(name) return read_list(name .. ".i32", "int32_t") end

-- What every id is as a key of each table, and then the keys of the rows and of their behaviours.
-- The text is that of the data's own file.
local function make_keys(schema, data)
  for t, name in ipairs(NAMES) do
    local keys = mr.new("uint64_t[?]", data.cates.n)
    for item = 0, data.cates.n - 1 do
      local id = t == 1 and item or data.cates.at[item]
      local text = ("%08x"):format(tonumber((id * 0x9e3779b1ULL) % 0x100000000ULL))
      keys[item] = C.mr_schema_key(schema.handle, schema.columns[name], text, #text)
    end
    local function of(list)
      local out = mr.new("uint64_t[?]", list.n)
      for i = 0, list.n - 1 do out[i] = keys[list.at[i]] end
      return out
    end
    data.keys[t], data.past[t] = of(data.items), of(data.history)
  end
end

local function read()
  local data = { items = integers "items", lengths = integers "lengths",
    history = integers "history", cates = integers "cates",
    labels = read_list("labels.u8", "uint8_t"), keys = {}, past = {} }
  data.first = mr.new("int32_t[?]", data.items.n + 1)
  for r = 0, data.items.n - 1 do data.first[r + 1] = data.first[r] + data.lengths.at[r] end
  return data
end

-- ---- model ----

local function make_schema()
  local schema = { handle = object("mr_schema", C.mr_schema_free, C.mr_schema_new), fields = {},
    tasks = {}, columns = {} }
  mr.check(C.mr_schema_add_sequence(schema.handle, mr.new("mr_sequence_spec", { name = "past",
    domain = C.MR_REQUEST, max = 0 })))
  local n = 0
  local function add(spec)
    mr.check(C.mr_schema_add_column(schema.handle, mr.new("mr_column_spec", spec)))
    schema.columns[spec.name], n = n, n + 1
  end
  for _, name in ipairs(NAMES) do
    add { name = name, type = C.MR_ID, domain = C.MR_SAMPLE }
    add { name = "past." .. name, table = name, type = C.MR_ID, domain = C.MR_REQUEST,
      sequence = "past" }
  end
  add { name = "label", type = C.MR_LABEL, domain = C.MR_SAMPLE }
  return schema
end

local function build(schema)
  local m = Builder.new(schema)
  local function embed(prefix)
    local parts = {}
    for i, name in ipairs(NAMES) do parts[i] = m:lookup { column = prefix .. name, dim = DIM } end
    return m:concat(parts)
  end
  local ad, past = embed "", embed "past."
  local unit = m:concat { ad, past, m:subtract(ad, past), m:multiply(ad, past) }
  local weight = m:mlp(given.whole and m:add { unit } or unit,
    { hidden = { 80, 40 }, activation = given.activation, out = 1 })
  local logit = m:mlp(m:concat { m:pool_weighted(past, weight), ad },
    { hidden = { 200, 80 }, activation = given.activation, out = 1 })
  m:logloss(logit, m:column { column = "label" })
  return m, logit
end

-- ---- batches ----

-- A function that puts rows into a batch: each its own request with its behaviours, or, with
-- `together`, one request with the behaviours of the first row.
local function filler(schema, data)
  local batch = object("mr_batch", C.mr_batch_free, C.mr_batch_new, schema.handle, 1, nil)
  local offsets, count = mr.new("int32_t[?]", 100001), mr.new "int32_t[1]"
  local function fill(first, rows, together)
    local requests = together and 1 or rows
    count[0] = rows
    mr.check(C.mr_batch_reset(batch, requests, together and count or nil))
    for r = 0, requests do offsets[r] = data.first[first + r] - data.first[first] end
    mr.check(C.mr_batch_set_sequence(batch, 0, offsets))
    local labels = C.mr_batch_floats(batch, schema.columns.label)
    for r = 0, rows - 1 do labels[r] = data.labels.at[first + r] end
    local from, n = data.first[first], offsets[requests]
    for t, name in ipairs(NAMES) do
      mr.copy(C.mr_batch_keys(batch, schema.columns[name]), data.keys[t] + first, 8 * rows)
      mr.copy(C.mr_batch_keys(batch, schema.columns["past." .. name]), data.past[t] + from, 8 * n)
    end
    return batch
  end
  return fill
end

-- ---- training ----

local function rate(value) return mr.new("mr_option[1]", { { name = "lr", number = value } }) end

local function make_run(model, pool)
  local adam, adagrad = rate(0.001), rate(0.01)
  return object("mr_run", C.mr_run_free, C.mr_run_new, model, pool.handle,
    mr.new("mr_run_options", { batch = given.batch, lanes = given.lanes, seed = 1,
      dense = { name = "adam", options = adam, n_options = 1 },
      tables = { name = "adagrad", options = adagrad, n_options = 1 } }))
end

local function train(fill, run, rows)
  local loss, steps = mr.new "double[1]", 0
  local batches = math.floor(rows / given.batch)
  local function window(seconds)
    local start, before = clock.now(), steps
    repeat
      mr.check(C.mr_run_step(run, fill(steps % batches * given.batch, given.batch), loss))
      steps = steps + 1
      local taken = clock.now() - start
    until taken >= seconds
    return (steps - before) * given.batch / (clock.now() - start)
  end
  window(given.warm_up)
  local speeds, spent, first = {}, os.clock(), steps
  for i = 1, given.windows do speeds[i] = window(given.seconds) end
  spent = os.clock() - spent
  local median = speed.median(speeds)
  return { samples_per_s = math.floor(median), ms_per_step = 1e3 * given.batch / median,
    cpu_us = 1e6 * spent / ((steps - first) * given.batch), loss = loss[0] / given.batch,
    steps = steps }
end

-- ---- where the time goes ----

local function profile(fill, run, rows, m, pool)
  local loss, batches = mr.new "double[1]", math.floor(rows / given.batch)
  local result = { steps = given.profile, samples = given.profile * given.batch, waited = 0,
    threads = given.threads }
  local start
  for step = -2 * batches, given.profile - 1 do -- batches that it has seen twice before
    if step == 0 then
      mr.check(C.mr_run_profile(run, 1))
      start, result.waited = clock.now(), 0
    end
    local before = clock.now()
    local batch = fill(step % batches * given.batch, given.batch)
    result.waited = result.waited + clock.now() - before
    mr.check(C.mr_run_step(run, batch, loss))
  end
  result.seconds, result.loss = clock.now() - start, loss[0] / given.batch
  result.profile = Trainer.measured { handle = run, model = { builder = m } }
  result.limits = speed.limits(pool)
  local report = speed.report(result)
  return table.concat(report.speed, "\n") .. "\n\n" .. table.concat(report.profile, "\n")
end

-- ---- scoring ----

-- The median and the 99th percentile, in milliseconds, of the window with the best median.
local function time_calls(call, seconds, windows)
  local best
  for _ = 0, windows do -- the first one warms up
    local times, n, last = {}, 0, clock.now() + seconds
    repeat
      local start = clock.now()
      call()
      n = n + 1
      times[n] = 1e3 * (clock.now() - start)
    until start >= last and n >= 20
    table.sort(times)
    local p50, p99 = times[math.ceil(0.5 * n)], times[math.ceil(0.99 * n)]
    if not best or p50 < best.p50 then best = { p50 = p50, p99 = p99, calls = n } end
  end
  return best
end

-- A loop of arithmetic that takes about so many milliseconds.
local function busy(milliseconds)
  local function loop(n)
    local x = 1
    for i = 1, n do x = x + 1 / (x * i) end
    return x
  end
  local n = 100000
  for _ = 1, 5 do
    local taken = time_calls(function() loop(n) end, 0.02, 1).p50
    n = math.max(1000, math.floor(n * milliseconds / taken))
  end
  return function() loop(n) end
end

-- The row from which on there are enough candidates, and that has so many behaviours.
local function row_with(data, behaviours, rows)
  for r = 0, data.items.n - rows do
    if data.lengths.at[r] == behaviours then return r end
  end
  error(("no row with %d behaviours has %d rows behind it"):format(behaviours, rows), 0)
end

local function score(data, fill, model, pool, logit, training)
  local row, loss = row_with(data, given.behaviours, given.score), mr.new "double[1]"
  mr.check(C.mr_run_step(training, fill(row, given.score), loss)) -- so that tables have rows
  local run = object("mr_run", C.mr_run_free, C.mr_run_new_predict, model, pool.handle,
    mr.new("mr_run_options", { batch = given.score }), mr.new("int32_t[1]", logit.id), 1)
  local values, views = mr.new("float[?]", given.score), mr.new "float *[1]"
  views[0] = values
  local shared = time_calls(function()
    mr.check(C.mr_run_predict(run, fill(row, given.score, true), views))
  end, given.seconds, given.windows)
  -- The same candidates and behaviours, a request each.
  local alone = { keys = {}, labels = data.labels, past = data.past, first = data.first }
  local fill_one = filler(logit.builder.schema, alone)
  local single = time_calls(function()
    for r = 0, given.score - 1 do
      for t in ipairs(NAMES) do alone.keys[t] = data.keys[t] + r end
      mr.check(C.mr_run_predict(run, fill_one(row, 1, true), views))
    end
  end, given.seconds, 1)
  local jitter = time_calls(busy(shared.p50), given.seconds, 1)
  return { p50_ms = shared.p50, p99_ms = shared.p99, calls = shared.calls,
    row_by_row_ms = single.p50, jitter_p99_ms = jitter.p99 }
end

-- ---- all together ----

local schema, data = make_schema(), read()
make_keys(schema, data)
local m, logit = build(schema)
local model = object("mr_model", C.mr_model_free, C.mr_model_new, m.handle, 1)
local pool, fill = Pool.new(given.threads), filler(schema, data)
local run = make_run(model, pool)
if given.profile > 0 then
  print(profile(fill, run, data.items.n, m, pool))
  return
end
local figures = given.score > 0 and score(data, fill, model, pool, logit, run)
  or train(fill, run, data.items.n)
figures.threads, figures.isa = given.threads, mr.string(C.mr_isa())
print(json.encode(figures))
