-- Mini-batch aware regularisation (Zhou et al. 2018, eq. 4-7): in how many samples each key is,
-- against sets, and what a step does to the rows of a batch, against a loop.
local g = require "graph_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local C = mr.C

local COLUMNS = g.key_columns { "ad", "user", "tags", "click.ad", "click.tags", "seen.ad", "few" }
local SEQUENCES = { { name = "click", domain = "request" }, { name = "seen" } }

-- ---- batches, and the set of keys of each of their samples ----

local function draw_bag(random, most)
  local bag = {}
  for i = 1, random(most + 1) - 1 do bag[i] = random(40) end
  return bag
end

local function fill_ids(batch, schema, name, n, random, keys)
  local p, list = C.mr_batch_keys(batch, schema.columns[name]), {}
  for i = 0, n - 1 do
    list[i + 1] = keys and keys[random(#keys)] or random(40)
    p[i] = list[i + 1]
  end
  return list
end

local function add(set, list)
  for _, key in ipairs(list) do set[key] = true end
end

-- The behaviours of owner i as a list of what `values` has for them.
local function of_owner(lengths, values, i)
  local first, list = 0, {}
  for k = 1, i - 1 do first = first + lengths[k] end
  for k = first + 1, first + lengths[i] do list[#list + 1] = values[k] end
  return list
end

local function draw_batch(schema, random, n_requests)
  local sizes, samples, clicks, seens = {}, 0, {}, {}
  for q = 1, n_requests do
    sizes[q], clicks[q] = random(4), random(5) - 1
    samples = samples + sizes[q]
  end
  for s = 1, samples do seens[s] = random(3) - 1 end
  local batch = g.batch(schema, sizes)
  local n_clicks = g.set_lengths(batch, schema, "click", clicks)
  local n_seens = g.set_lengths(batch, schema, "seen", seens)
  local ad = fill_ids(batch, schema, "ad", samples, random)
  local user = fill_ids(batch, schema, "user", n_requests, random)
  local click = fill_ids(batch, schema, "click.ad", n_clicks, random)
  local seen = fill_ids(batch, schema, "seen.ad", n_seens, random)
  local few = fill_ids(batch, schema, "few", samples, random, { 3, 4 })
  local tags, click_tags = {}, {}
  for s = 1, samples do tags[s] = draw_bag(random, 3) end
  for k = 1, n_clicks do click_tags[k] = draw_bag(random, 2) end
  g.set_bags(batch, schema, "tags", tags)
  g.set_bags(batch, schema, "click.tags", click_tags)
  local sets, s = {}, 0
  for q = 1, n_requests do
    for _ = 1, sizes[q] do
      s = s + 1
      sets[s] = { t = {}, small = { [few[s]] = true } }
      add(sets[s].t, { ad[s], user[q] })
      add(sets[s].t, tags[s])
      add(sets[s].t, of_owner(clicks, click, q))
      for _, bag in ipairs(of_owner(clicks, click_tags, q)) do add(sets[s].t, bag) end
      add(sets[s].t, of_owner(seens, seen, s))
    end
  end
  return batch, sets
end

local function count_slowly(sets, counts)
  for _, set in ipairs(sets) do
    for name, keys in pairs(set) do
      for key in pairs(keys) do counts[name][key] = (counts[name][key] or 0) + 1 end
    end
  end
end

local function model_of_all(schema)
  local b = g.builder(schema)
  b:probe(b:sum(g.lookups(b, COLUMNS, { dim = 1 })), b:lookup { column = "ad", dim = 1 })
  return g.model(b)
end

describe("the samples of a key", function()
  local schema = g.schema(COLUMNS, SEQUENCES)

  local function check(threads)
    local random, counts = helper.random(7), { t = {}, small = {} }
    local model = model_of_all(schema)
    local run = g.run(model, { table_mba = 0.1, threads = threads })
    for i = 0, 3 do
      local batch, sets = draw_batch(schema, random, 30)
      -- The counts of the first batch are forgotten with the second.
      if i == 1 then counts = { t = {}, small = {} } end
      count_slowly(sets, counts)
      mr.check(C.mr_run_count(run.handle, batch, i <= 1 and 1 or 0))
    end
    for name, list in pairs(counts) do
      local t = g.tables(model)[name]
      for key = 1, 40 do
        assert.equal(list[key] or 0, tonumber(C.mr_run_row_count(run.handle, t, key)),
          ("table %s, key %d"):format(name, key))
      end
    end
  end

  it("are counted once each, through requests, bags and sequences", function() check(1) end)
  it("are the same for any number of threads", function()
    check(2)
    check(3)
  end)

  it("are counted by a run that uses them alone", function()
    local run = g.run(model_of_all(schema), {})
    local batch = draw_batch(schema, helper.random(1), 2)
    assert.equal(C.MR_EINVAL, C.mr_run_count(run.handle, batch, 1))
    assert.equal("this run does not use mba", mr.last_error())
    assert.equal(0, tonumber(C.mr_run_row_count(run.handle, 0, 1)))
  end)
end)

-- ---- the step ----

-- y = the row of each sample's bag, summed; dL/dy = r.
local function step_case(dim, options)
  local schema = g.schema { { name = "bag", type = "ids" },
    { name = "r", type = "vector", width = dim } }
  local b = g.builder(schema)
  b:probe(b:lookup { column = "bag", dim = dim, pool = "sum" }, b:column { column = "r" })
  local model = g.model(b)
  return schema, model, g.run(model, options)
end

local function check_step(dim)
  local lr, mba, l2 = 0.5, 0.25, 0.125
  local schema, model, run = step_case(dim, { rates = { lr = lr }, table_mba = mba,
    table_l2 = l2 })
  local batch = g.batch(schema, 4)
  -- Key 5 is in one sample three times and in another; 6 in all; 7 in one; 8 in none.
  g.set_bags(batch, schema, "bag", { { 5, 6, 5, 5 }, { 6, 5 }, { 6 }, { 7, 6 } })
  local n, occurs = { [5] = 2, [6] = 4, [7] = 1, [8] = 0 },
    { [5] = { 3, 1, 0, 0 }, [6] = { 1, 1, 1, 1 }, [7] = { 0, 0, 0, 1 }, [8] = { 0, 0, 0, 0 } }
  local random = helper.random(3)
  local r = g.fill(batch, schema, "r", 4 * dim, function() return random() - 0.5 end)
  mr.check(C.mr_run_count(run.handle, batch, 1))
  local row, want = mr.new "float *[1]", {}
  for key in pairs(n) do
    mr.check(C.mr_model_make_row(model, 0, key, row))
    want[key] = {}
    for e = 0, dim - 1 do
      local w = random() - 0.5
      row[0][e] = w
      w = tonumber(row[0][e])
      local gradient = 0
      for s = 1, 4 do gradient = gradient + occurs[key][s] * r[(s - 1) * dim + e] / 4 end
      want[key][e] = n[key] == 0 and w or w - lr * (gradient + (l2 + mba / n[key]) * w)
    end
  end
  g.gradient(run, batch)
  g.update(run)
  for key in pairs(n) do
    for e = 0, dim - 1 do
      local got = C.mr_model_row(model, 0, key)[e]
      assert.is_true(math.abs(got - want[key][e]) <= 1e-6,
        ("key %d[%d]: %g, expected %g"):format(key, e, got, want[key][e]))
    end
  end
end

describe("mini-batch aware regularisation", function()
  it("pulls each row of the batch once, by its own count", function()
    check_step(3) -- rows that step together
    check_step(20)
  end)

  it("takes a key that was never counted as one of a single sample", function()
    local schema, model, run = step_case(1, { rates = { lr = 0.5 }, table_mba = 0.25 })
    local batch, row = g.batch(schema, 1), mr.new "float *[1]"
    g.set_bags(batch, schema, "bag", { { 9 } })
    g.fill(batch, schema, "r", 1, function() return 0 end)
    mr.check(C.mr_model_make_row(model, 0, 9, row))
    row[0][0] = 2
    g.gradient(run, batch)
    g.update(run)
    assert.equal(1.75, C.mr_model_row(model, 0, 9)[0]) -- 2 - 0.5 * 0.25 / 1 * 2
  end)

  it("is not for a run that moves every row", function()
    local ok, message = pcall(step_case, 1, { table_mba = 0.1, rows_all = true })
    assert.is_false(ok)
    assert.truthy(message:find("mba regularises the rows of a batch, rows: all moves all of them",
      1, true))
  end)
end)
