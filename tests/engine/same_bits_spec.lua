-- The promise of the engine: the same bits. A trained model does not depend on the number of
-- threads; a run repeated is the same; a row's prediction is a function of the row alone, whatever
-- stands around it and whichever kernel family computes it.
local g = require "graph_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local Pool = require "moonrank.pool"
local C = mr.C

local STEPS, BATCHES, REQUESTS = 20, 4, 150

local function new_schema()
  return g.schema { { name = "user", type = "id", domain = "request" },
    { name = "last", type = "ids", table = "ad", domain = "request" },
    { name = "age", type = "number", domain = "request" },
    { name = "ad", type = "id" }, { name = "tags", type = "ids" },
    { name = "price", type = "number" }, { name = "click", type = "label" } }
end

-- Batch norm on both sides, dropout, bags of both kinds, numbers, factors, a shared table.
local function build(schema)
  local b = g.builder(schema)
  local function embed(column, pool) return b:lookup { column = column, dim = 5, pool = pool,
    scale = 0.5 } end
  local last, ad = embed("last", "mean"), embed "ad"
  local user = b:relu(b:batch_norm(b:dense(b:concat { embed "user", last,
    b:column { column = "age" } }, { out = 19 })))
  local all = b:concat { user, ad, embed("tags", "sum"), b:multiply(ad, last),
    b:column { column = "price" } }
  local x = b:relu(b:batch_norm(b:dense(all, { out = 67 })))
  x = b:tanh(b:dense(b:dropout(x, { rate = 0.3 }), { out = 33 }))
  local linear = b:lookup { column = "ad", dim = 1, part = "linear", start = "zero" }
  local pairs_of = b:fm_pairs(b:concat { ad, last, embed("tags", "sum") }, { dim = 5 })
  local logit = b:add { b:dense(x, { out = 1 }), linear, b:bias(pairs_of) }
  b:logloss(logit, b:column { column = "click" })
  return b, logit, b:sigmoid(logit)
end

-- What one request is: its own values and those of its samples.
local function draw_request(random)
  local function key(n) return random(n) * 7919 end
  local function bag(most, n)
    local list = {}
    for i = 1, random(most + 1) - 1 do list[i] = key(n) end
    return list
  end
  local q = { user = key(40), last = bag(6, 60), age = random(), samples = {} }
  for i = 1, random(4) do
    q.samples[i] = { ad = key(60), tags = bag(4, 20), price = 3 * random() - 1,
      click = random(2) - 1 }
  end
  return q
end

local function draw_requests(seed, n)
  local random, list = helper.random(seed), {}
  for i = 1, n do list[i] = draw_request(random) end
  return list
end

local function make_batch(schema, requests)
  local batch, samples = g.batch_of(schema, requests)
  local function each(rows, name, f) for i, row in ipairs(rows) do f(i - 1, row[name]) end end
  local function bags_of(rows, name)
    local bags = {}
    each(rows, name, function(i, bag) bags[i + 1] = bag end)
    g.set_bags(batch, schema, name, bags)
  end
  local function put(rows, name, p) each(rows, name, function(i, value) p[i] = value end) end
  put(requests, "user", C.mr_batch_keys(batch, schema.columns.user))
  put(samples, "ad", C.mr_batch_keys(batch, schema.columns.ad))
  for _, name in ipairs { "price", "click" } do
    put(samples, name, C.mr_batch_floats(batch, schema.columns[name]))
  end
  put(requests, "age", C.mr_batch_floats(batch, schema.columns.age))
  bags_of(requests, "last")
  bags_of(samples, "tags")
  return batch, #samples
end

-- Train; the bytes of the model file, and what is needed to predict.
local function train(options)
  local schema = new_schema()
  local b, logit, probability = build(schema)
  local model = g.model(b, 11)
  options.slice_bytes = 20000
  options.batch = options.batch or 400
  options.seed = 5
  local run, loss = g.run(model, options), mr.new "double[1]"
  local batches = {}
  for i = 1, BATCHES do
    batches[i] = make_batch(schema, draw_requests(i, REQUESTS - 20 * i))
  end
  for step = 1, STEPS do
    mr.check(C.mr_run_step(run.handle, batches[step % BATCHES + 1], loss))
  end
  local path = helper.temp_dir() .. "/model.mr"
  mr.check(C.mr_model_save(model, path, "about"))
  return helper.read(path), { model = model, schema = schema, logit = logit,
    probability = probability, loss = loss[0] }
end

describe("training", function()
  after_each(function() C.mr_isa_set "auto" end)

  local variants = {
    { name = "adam", optimizer = "adam" },
    { name = "adagrad with penalties and rows: all", optimizer = "adagrad", rows_all = true,
      table_l1 = 1e-4, table_l2 = 1e-3, dense_l1 = 1e-4, dense_l2 = 1e-3,
      rates = { lr = 0.05 } },
    { name = "adam with all clippings", optimizer = "adam", clip_value = 0.01, clip_row = 0.01,
      clip_norm = 0.02 },
    { name = "momentum with Nesterov's form", optimizer = "momentum", rates = { nesterov = 1 } },
    { name = "ftrl with penalties", optimizer = "ftrl", table_l2 = 1e-3,
      rates = { beta = 0.01, l1 = 1e-4, l2 = 0.1 } },
    { name = "sgd on three lanes", optimizer = "sgd", lanes = 3 },
  }
  for _, variant in ipairs(variants) do
    local function with(threads)
      local options = { threads = threads }
      for key, value in pairs(variant) do options[key] = value end
      return train(options)
    end
    it(("by %s gives the same model from 1, 2, 3 and 8 threads, and once more"):format(
      variant.name), function()
      local one, trained = with(1)
      assert(trained.loss == trained.loss and #one > 20000, "nothing was trained")
      for _, threads in ipairs { 1, 2, 3, 8, 8 } do
        assert.is_true(one == with(threads), threads .. " threads give another model")
      end
    end)
  end

  it("gives the same model in every kernel family", function()
    local one = train { optimizer = "adam" }
    for _, family in ipairs(g.families()) do
      mr.check(C.mr_isa_set(family))
      assert.is_true(one == train { optimizer = "adam" }, family .. " gives another model")
    end
  end)

  it("gives another model for another job, and moves all there is", function()
    -- Guards the tests above: files that are equal because nothing happens prove nothing.
    local one, trained = train { optimizer = "adam" }
    local schema = new_schema()
    local fresh = g.model((build(schema)), 11)
    local info = mr.new "mr_param_info"
    for i = 0, C.mr_model_params(fresh) - 1 do
      mr.check(C.mr_model_param(fresh, i, info))
      local a, b = C.mr_model_weights(fresh, i), C.mr_model_weights(trained.model, i)
      local same = true
      for k = 0, info.rows * info.columns - 1 do same = same and a[k] == b[k] end
      assert.is_false(same, mr.string(info.name) .. " has not moved")
    end
    assert.is_false(one == train { optimizer = "adam", lanes = 2 }, "lanes are part of the job")
  end)
end)

-- ---- predictions ----

-- The bytes of logit and probability of every sample, as one list over all requests.
local function predictor(trained, options)
  local ids = mr.new("int32_t[2]", trained.logit.id, trained.probability.id)
  local out, pool = mr.new "mr_run *[1]", Pool.new(options.threads or 1)
  mr.check(C.mr_run_new_predict(out, trained.model, pool.handle, mr.new("mr_run_options",
    { batch = options.batch or 4096, slice_bytes = options.slice_bytes or 0 }), ids, 2))
  local run = mr.gc(out[0], C.mr_run_free)
  return function(requests)
    assert(pool.handle) -- it must outlive the run
    local batch, samples = make_batch(trained.schema, requests)
    local values = { mr.new("float[?]", samples), mr.new("float[?]", samples) }
    mr.check(C.mr_run_predict(run, batch, mr.new("float *[2]", values)))
    local list = {}
    for i = 0, samples - 1 do
      list[i + 1] = mr.string(mr.cast("const char *", values[1] + i), 4)
        .. mr.string(mr.cast("const char *", values[2] + i), 4)
    end
    return list
  end
end

local function flatten(lists)
  local all = {}
  for _, list in ipairs(lists) do
    for _, item in ipairs(list) do all[#all + 1] = item end
  end
  return all
end

-- The request with one of its samples.
local function only(q, sample)
  return { user = q.user, last = q.last, age = q.age, samples = { sample } }
end

describe("a row's prediction has the same bits", function()
  local requests = draw_requests(99, 61) -- with ids that training has not seen
  local _, trained = train { optimizer = "adam" }
  local expected = predictor(trained, {})(requests)

  after_each(function() C.mr_isa_set "auto" end)

  it("and is a number that differs from row to row", function()
    local different = {}
    for _, value in ipairs(expected) do different[value] = true end
    local n = 0
    for _ in pairs(different) do n = n + 1 end
    assert(n > 0.9 * #expected, "the rows should differ")
  end)

  for _, family in ipairs(g.families()) do
    it("in the kernel family " .. family, function()
      mr.check(C.mr_isa_set(family))
      assert.same(expected, predictor(trained, {})(requests))
    end)

    it("alone, without its request's other samples, in " .. family, function()
      mr.check(C.mr_isa_set(family))
      local predict, lists = predictor(trained, {}), {}
      for _, q in ipairs(requests) do
        for _, sample in ipairs(q.samples) do lists[#lists + 1] = predict { only(q, sample) } end
      end
      assert.same(expected, flatten(lists))
    end)

    it("at every position of a batch, in " .. family, function()
      mr.check(C.mr_isa_set(family))
      local predict, others = predictor(trained, {}), draw_requests(7, 40)
      local q = only(requests[1], requests[1].samples[1])
      for position = 1, #others do
        local batch, at = {}, 0
        for i, other in ipairs(others) do
          if i == position then
            batch[#batch + 1] = q
            at = at + 1
            break
          end
          batch[#batch + 1] = other
          at = at + #other.samples
        end
        assert.equal(expected[1], predict(batch)[at])
      end
    end)
  end

  it("in batches of any size, by any number of threads, in any slices", function()
    for _, options in ipairs { { batch = 1 }, { slice_bytes = 1 }, { threads = 3 },
      { threads = 8, slice_bytes = 1 }, { batch = 100000, slice_bytes = 1e9 } } do
      assert.same(expected, predictor(trained, options)(requests))
    end
    local predict = predictor(trained, {})
    for _, size in ipairs { 1, 2, 3, 5, 7, 16, 30 } do
      local lists = {}
      for first = 1, #requests, size do
        local some = {}
        for i = first, math.min(first + size - 1, #requests) do some[#some + 1] = requests[i] end
        lists[#lists + 1] = predict(some)
      end
      assert.same(expected, flatten(lists))
    end
  end)

  it("with its request larger than a slice", function()
    -- All samples of all requests under one request, thrice over.
    local q = { user = requests[1].user, last = requests[1].last, age = requests[1].age,
      samples = {} }
    local alone, predict = {}, predictor(trained, { slice_bytes = 1, threads = 2 })
    for _ = 1, 3 do
      for _, other in ipairs(requests) do
        for _, sample in ipairs(other.samples) do
          q.samples[#q.samples + 1] = sample
          alone[#alone + 1] = predict { only(q, sample) }[1]
        end
      end
    end
    assert.same(alone, predict { q })
    assert.same(alone, predictor(trained, {}) { q })
  end)
end)
