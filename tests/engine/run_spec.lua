-- Running a graph over batches: the loss and its gradient, request-side values, requests larger
-- than a slice, batches of other schemas, and every way to ask for something that is not there.
local g = require "graph_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local Pool = require "moonrank.pool"
local C = mr.C

local function raises(message, f, ...)
  local arguments = { ... }
  helper.raises(message, function() mr.check(f(unpack(arguments))) end)
end

-- A run that predicts these nodes: predict(batch, {rows, ...}) gives one array a node.
local function predictor(model, nodes, options)
  local ids = mr.new("int32_t[?]", #nodes)
  for i, node in ipairs(nodes) do ids[i - 1] = node.id end
  local out, pool = mr.new "mr_run *[1]", Pool.new(options and options.threads or 1)
  mr.check(C.mr_run_new_predict(out, model, pool.handle, mr.new("mr_run_options", {
    batch = options and options.batch or 64,
    slice_bytes = options and options.slice_bytes or 0 }), ids, #nodes))
  local run = mr.gc(out[0], C.mr_run_free)
  return function(batch)
    local views, values = mr.new("float *[?]", #nodes), {}
    for i, node in ipairs(nodes) do
      local rows = C.mr_batch_rows(batch, node.domain == "request" and C.MR_REQUEST or C.MR_SAMPLE)
      values[i] = mr.new("float[?]", rows * node.width)
      views[i - 1] = values[i]
    end
    mr.check(C.mr_run_predict(run, batch, views))
    assert(pool.handle) -- it must outlive the run
    return unpack(values, 1, #nodes)
  end
end

describe("logloss", function()
  local schema = g.schema { { name = "z", type = "number" }, { name = "click", type = "label" } }

  local function case(logits, labels)
    local b = g.builder(schema)
    local z = b:column { column = "z" }
    b:watch(z)
    b:logloss(z, b:column { column = "click" })
    local batch = g.batch(schema, #logits)
    g.fill(batch, schema, "z", #logits, function(i) return logits[i + 1] end)
    g.fill(batch, schema, "click", #logits, function(i) return labels[i + 1] end)
    return batch, g.run(g.model(b), { batch = #logits }), z
  end

  it("is exact over many samples, also where each comes to log 2", function()
    local logits, labels, expected = {}, {}, 0
    for i = 1, 3000 do
      logits[i], labels[i] = i <= 1500 and 0 or i % 97 / 8 - 6, i % 2
      expected = expected + math.max(logits[i], 0) + math.log(1 + math.exp(-math.abs(logits[i])))
        - labels[i] * logits[i]
    end
    local batch, run = case(logits, labels)
    assert.near(expected, g.gradient(run, batch), 1e-12 * expected)
  end)

  it("is the sum of softplus(z) - t z, its gradient sigmoid(z) - t over the samples", function()
    local logits, labels, loss = { 0, 1, -2, 0.5, 30, -30, 80, -80, 200, -200 }, {}, 0
    for i in ipairs(logits) do labels[i] = i % 3 == 0 and 1 or 0 end
    labels[7], labels[8] = 1, 0.25 -- a label need not be whole
    for i, z in ipairs(logits) do
      loss = loss + math.max(z, 0) + math.log(1 + math.exp(-math.abs(z))) - labels[i] * z
    end
    local batch, run, z = case(logits, labels)
    local got = g.gradient(run, batch)
    assert(math.abs(got - loss) < 1e-12 * loss, ("%.17g, expected %.17g"):format(got, loss))
    local gradient, expected = C.mr_run_watched(run.handle, z.id), {}
    for i, x in ipairs(logits) do
      expected[i] = (1 / (1 + math.exp(-x)) - labels[i]) / #logits
    end
    helper.all_near(expected, gradient, 3e-8)
  end)

  it("has the gradient of its value", function()
    local random = helper.random(2)
    local logits, labels = {}, {}
    for i = 1, 20 do logits[i], labels[i] = 8 * random() - 4, random(2) - 1 end
    local batch, run, z = case(logits, labels)
    g.check_gradient(run, batch, z, 20, 1e-5)
  end)

  it("that is not finite is an error that names the step, and there is nothing to step along",
    function()
      for _, bad in ipairs { 1 / 0, -1 / 0, 0 / 0 } do
        local batch, run = case({ 0, bad, 1 }, { 0, 1, 0 })
        if bad == 1 / 0 then C.mr_batch_floats(batch, 1)[1] = 0 end
        local loss = mr.new "double[1]"
        assert.equal(C.MR_ENAN, C.mr_run_step(run.handle, batch, loss))
        assert.equal("the loss of step 1 is not finite", mr.last_error())
        raises("there is no gradient to step along; run mr_run_gradient first", C.mr_run_update,
          run.handle)
        C.mr_batch_floats(batch, 0)[1] = 0 -- and once the number is a number, on it goes
        mr.check(C.mr_run_step(run.handle, batch, loss))
        assert.equal(1, tonumber(C.mr_run_steps(run.handle)))
      end
    end)
end)

describe("several objectives", function()
  it("add up", function()
    local schema = g.schema { { name = "x", type = "number" }, { name = "r", type = "number" },
      { name = "click", type = "label" } }
    local b = g.builder(schema)
    local x, r = b:column { column = "x" }, b:column { column = "r" }
    b:watch(x)
    b:probe(x, r)
    b:logloss(x, b:column { column = "click" })
    b:probe(b:multiply(x, x), r)
    local batch, model = g.batch(schema, 2), g.model(b)
    g.fill(batch, schema, "x", 2, function(i) return i + 1 end)
    g.fill(batch, schema, "r", 2, function(i) return 2 * i - 0.5 end)
    g.fill(batch, schema, "click", 2, function(i) return i end)
    local run = g.run(model)
    local loss = g.gradient(run, batch)
    local function softplus(z) return math.log(1 + math.exp(z)) end
    assert(math.abs(loss - (-0.5 + 3 + softplus(1) + softplus(2) - 2 - 0.5 + 6)) < 1e-6)
    local function sigmoid(z) return 1 / (1 + math.exp(-z)) end
    helper.all_near({ (-0.5 + sigmoid(1) - 1) / 2, (1.5 + sigmoid(2) - 1 + 6) / 2 },
      C.mr_run_watched(run.handle, x.id), 1e-6)
  end)
end)

-- ---- request-side values ----

-- The requests' own value u, the samples' x; every kind of pool; and what samples see of them.
local POOLS = { "sum", "mean", "max" }

local function pooled(schema)
  local b = g.builder(schema)
  local x, u = b:column { column = "x" }, b:column { column = "u" }
  local nodes = { b:add { u, u } }
  for i, kind in ipairs(POOLS) do nodes[i + 1] = b:pool(x, { kind = kind }) end
  nodes[5] = b:add { b:pool(x, { kind = "sum" }), x }
  nodes[6] = b:add { u, x }
  return b, nodes
end

local function brute(sizes, xs, us, width)
  local out, at = { {}, {}, {}, {}, {}, {} }, 0
  for q, n in ipairs(sizes) do
    for e = 1, width do
      local sum, most = 0, -math.huge
      for s = at, at + n - 1 do
        sum, most = sum + xs[s * width + e], math.max(most, xs[s * width + e])
      end
      local u = us[(q - 1) * width + e]
      local at_q = (q - 1) * width + e
      out[1][at_q], out[2][at_q], out[3][at_q], out[4][at_q] = 2 * u, sum, sum / n, most
      for s = at, at + n - 1 do
        out[5][s * width + e] = sum + xs[s * width + e]
        out[6][s * width + e] = u + xs[s * width + e]
      end
    end
    at = at + n
  end
  return out
end

local function check_pooled(sizes, options)
  local width, samples = 3, 0
  for _, n in ipairs(sizes) do samples = samples + n end
  local schema = g.schema { { name = "x", type = "vector", width = width },
    { name = "u", type = "vector", width = width, domain = "request" } }
  local b, nodes = pooled(schema)
  local batch, model, random = g.batch(schema, sizes), g.model(b), helper.random(6)
  local xs, us = {}, {}
  g.fill(batch, schema, "x", samples * width, function(i)
    xs[i + 1] = math.floor(random() * 64) / 8 -- sums of these are exact
    return xs[i + 1]
  end)
  g.fill(batch, schema, "u", #sizes * width, function(i)
    us[i + 1] = random(100)
    return us[i + 1]
  end)
  local values = { predictor(model, nodes, options)(batch) }
  for i, expected in ipairs(brute(sizes, xs, us, width)) do
    helper.all_near(expected, values[i], i == 3 and 1e-5 or 0)
  end
end

describe("request-side values", function()
  it("are one row a request; pools and what samples see equal a loop", function()
    check_pooled { 2, 1, 5, 1, 3 }
  end)

  it("are the same with requests larger than a slice", function()
    check_pooled({ 3, 100, 1, 17, 8, 9, 40 }, { slice_bytes = 1 })
    check_pooled({ 3, 100, 1, 17, 8, 9, 40 }, { slice_bytes = 1, threads = 3 })
    check_pooled({ 700 }, { slice_bytes = 1, threads = 2 })
  end)
end)

describe("slices", function()
  -- A small network with a request side; loss and gradient of its first weight.
  local function gradient_with(sizes, options)
    local schema = g.schema { { name = "u", type = "vector", width = 4, domain = "request" },
      { name = "x", type = "vector", width = 3 }, { name = "click", type = "label" } }
    local b = g.builder(schema)
    local x, u = b:column { column = "x" }, b:column { column = "u" }
    local y = b:tanh(b:dense(b:concat { u, x, b:pool(x) }, { out = 6 }))
    b:logloss(b:dense(y, { out = 1 }), b:column { column = "click" })
    local batch, model, random = g.batch(schema, sizes), g.model(b), helper.random(4)
    local samples = tonumber(C.mr_batch_rows(batch, C.MR_SAMPLE))
    g.fill(batch, schema, "u", 4 * #sizes, random)
    g.fill(batch, schema, "x", 3 * samples, random)
    g.fill(batch, schema, "click", samples, function() return random(2) - 1 end)
    local run = g.run(model, options)
    local loss, copy = g.gradient(run, batch), {}
    local w = C.mr_run_weight_gradient(run.handle, 0)
    for i = 1, 60 do copy[i] = w[i - 1] end
    return loss, copy, tonumber(C.mr_run_slice_rows(run.handle))
  end

  it("do not matter to loss and gradient, however large the requests", function()
    local sizes = { 3, 50, 1, 1, 20, 9, 7, 30 }
    local loss, gradient, rows = gradient_with(sizes, { batch = 10000 })
    assert(rows > 121, "the batch should be one slice here")
    for _, options in ipairs { { slice_bytes = 1 }, { slice_bytes = 1, lanes = 1 },
      { slice_bytes = 1, lanes = 3, threads = 2 }, { batch = 1 } } do
      local other_loss, other, other_rows = gradient_with(sizes, options)
      assert.equal(8, other_rows)
      assert(math.abs(loss - other_loss) < 1e-10)
      -- Sums of 121 terms in another order: each addition rounds by half a unit of a sum below 1.
      helper.all_near(gradient, other, 121 * 2 ^ -25)
    end
  end)
end)

-- A mode of the processor, which those that have none lack.
local flushes = jit.arch == "x64" and it or pending

describe("numbers below 2^-126 in training", function()
  local schema = g.schema { { name = "x", type = "number" }, { name = "click", type = "label" } }

  -- The gradient of the first of two weights: the sum of x w dy.
  local function first_weight(x, second, threads)
    local b = g.builder(schema)
    local y = b:dense(b:column { column = "x" }, { out = 1 })
    b:logloss(b:dense(y, { out = 1 }), b:column { column = "click" })
    local batch, model = g.batch(schema, 64), g.model(b)
    for r = 0, 63 do C.mr_batch_floats(batch, 0)[r] = x end
    C.mr_model_weights(model, 0)[0], C.mr_model_weights(model, 2)[0] = 1, second
    local run = g.run(model, { slice_bytes = 1, threads = threads })
    g.gradient(run, batch)
    return C.mr_run_weight_gradient(run.handle, 0)[0]
  end

  flushes("are 0, in every thread, and stay as they are elsewhere", function()
    for threads = 1, 3 do
      -- 64 labels of 0 and logits of about 0: dy is a half by the number of rows.
      assert.equal(2 ^ -101, first_weight(2 ^ -50, 2 ^ -50, threads))
      assert.equal(0, first_weight(2 ^ -70, 2 ^ -70, threads))
      assert.equal(2 ^ -1074, math.abs(2 ^ -1000 * -2 ^ -74))
    end
  end)
end)

describe("predicting", function()
  local schema = g.schema { { name = "x", type = "number" }, { name = "click", type = "label" } }
  local b = g.builder(schema)
  local x = b:column { column = "x" }
  local y = b:dense(x, { out = 2, name = "d" })
  local objective = b:logloss(x, b:column { column = "click" })
  local batch, model = g.batch(schema, 3), g.model(b)
  g.fill(batch, schema, "x", 3, function(i) return i end)

  it("gives several outputs at once, also the same one twice", function()
    local w = g.weight(model, "d.weight")
    w[0], w[1] = 1, -2
    mr.check(C.mr_model_changed(model))
    local first, again, input = predictor(model, { y, y, x })(batch)
    helper.all_near({ 0, 0, 1, -2, 2, -4 }, first, 0)
    helper.all_near({ 0, 0, 1, -2, 2, -4 }, again, 0)
    helper.all_near({ 0, 1, 2 }, input, 0)
  end)

  it("needs outputs that have a value", function()
    local pool, out = Pool.new(1), mr.new "mr_run *[1]"
    local options = mr.new("mr_run_options", { batch = 8 })
    local function new(nodes)
      return C.mr_run_new_predict(out, model, pool.handle, options,
        mr.new("int32_t[?]", math.max(#nodes, 1), nodes), #nodes)
    end
    raises("no output node is asked for", new, {})
    raises("output node 4, but there are 4 nodes", new, { 4 })
    raises("output node -1, but there are 4 nodes", new, { 0, -1 })
    raises("output node 3 is an objective, which has no value", new, { objective.id })
    assert.is_true(out[0] == nil)
  end)

  it("and training are not mixed up", function()
    local run, loss = g.run(model), mr.new "double[1]"
    raises("this run only trains", C.mr_run_predict, run.handle, batch, mr.new "float *[1]")
    local out, pool = mr.new "mr_run *[1]", Pool.new(1)
    mr.check(C.mr_run_new_predict(out, model, pool.handle,
      mr.new("mr_run_options", { batch = 8 }), mr.new("int32_t[1]", y.id), 1))
    local predict = mr.gc(out[0], C.mr_run_free)
    raises("this run only predicts", C.mr_run_gradient, predict, batch, loss)
    raises("this run only predicts", C.mr_run_step, predict, batch, loss)
    raises("there is no gradient to step along; run mr_run_gradient first", C.mr_run_update,
      predict)
    assert.is_true(C.mr_run_weight_gradient(predict, 0) == nil)
    assert.is_true(C.mr_run_watched(predict, 0) == nil)
  end)
end)

describe("a second run that trains a model", function()
  it("ends the training by the first, whose optimizer's rows are no longer there", function()
    local schema = g.schema { { name = "id", type = "id" }, { name = "r", type = "number" } }
    local b = g.builder(schema)
    b:probe(b:lookup { column = "id", dim = 1 }, b:column { column = "r" })
    local batch, model = g.batch(schema, 1), g.model(b)
    local first = g.run(model, { optimizer = "adam" })
    g.gradient(first, batch)
    local second = g.run(model, { optimizer = "sgd" })
    local message = "another run has begun to train this model since"
    helper.raises(message, g.gradient, first, batch)
    helper.raises(message, g.update, first)
    g.gradient(second, batch)
    g.update(second)
  end)
end)

describe("the options of a run", function()
  it("are checked", function()
    local schema = g.schema { { name = "x", type = "number" } }
    local b = g.builder(schema)
    b:probe(b:column { column = "x" }, b:column { column = "x" })
    local model = g.model(b)
    helper.raises("batch is 0, expected 1 or more", g.run, model, { batch = 0 })
    helper.raises("batch is -5, expected 1 or more", g.run, model, { batch = -5 })
    helper.raises("lanes is 257, expected 1 to 256, or 0 for 16", g.run, model, { lanes = 257 })
    helper.raises("lanes is -1, expected 1 to 256, or 0 for 16", g.run, model, { lanes = -1 })
    helper.raises("slice_bytes is -1, expected 0 or more", g.run, model, { slice_bytes = -1 })
    g.run(model, { lanes = 256 })
  end)
end)

-- ---- batches of other schemas ----

describe("a batch of another schema", function()
  local function columns(...)
    local all = { u = { name = "u", type = "id" }, tags = { name = "tags", type = "ids" },
      price = { name = "price", type = "number" }, click = { name = "click", type = "label" },
      v = { name = "v", type = "vector", width = 2 } }
    local list = {}
    for i, name in ipairs { ... } do list[i] = all[name] or name end
    return list
  end

  local schema = g.schema(columns("u", "price", "v", "tags", "click"))
  local b = g.builder(schema)
  local u = b:lookup { column = "u", dim = 2 }
  local price, v = b:column { column = "price" }, b:column { column = "v" }
  local all = b:concat { u, price, v, b:lookup { column = "tags", dim = 3 } }
  b:probe(all, all)
  local model = g.model(b)

  local function predict(nodes, other)
    local batch = g.batch(other, 2)
    if other.columns.price then g.fill(batch, other, "price", 2, function(i) return 5 + i end) end
    return predictor(model, nodes)(batch)
  end

  it("does when the columns that are read are the same there", function()
    helper.all_near({ 5, 6 }, predict({ price }, g.schema(columns("u", "price"))), 0)
    helper.all_near({ 0, 0, 0, 0 }, predict({ u }, g.schema(columns("u"))), 0)
    predict({ all }, g.schema(columns("u", "price", "v", "tags")))
    local other = g.schema(columns("u", "price", "v", "tags", "click"))
    g.gradient(g.run(model), g.batch(other, 2))
  end)

  it("is refused when one is missing, elsewhere or of another kind", function()
    local function refused(name, nodes, other)
      helper.raises(('the data lacks column "%s" as the model was trained on it'):format(name),
        predict, nodes, other)
    end
    refused("u", { all }, g.schema(columns("price", "u", "v", "tags")))
    refused("tags", { all }, g.schema(columns("u", "price", "v")))
    refused("tags", { all }, g.schema(columns("u", "price", "v", { name = "tags", type = "id" })))
    refused("u", { u }, g.schema(columns { name = "u", type = "id", table = "ads" }))
    refused("u", { u }, g.schema(columns { name = "u", type = "id", domain = "request" }))
    refused("v", { v }, g.schema(columns("u", "price", { name = "v", type = "vector", width = 3 })))
    refused("price", { price }, g.schema(columns("u", { name = "price", type = "label" })))
    local training = g.run(model)
    helper.raises('the data lacks column "tags" as the model was trained on it', g.gradient,
      training, g.batch(g.schema(columns("u", "price", "v")), 2))
  end)

  it("is refused when one has weights, another padding or other values listed", function()
    local function make(change)
      return g.schema({ { name = "tags", type = "ids", weighted = change.weighted,
        weights = change.weights, padding = change.padding, values = change.values },
      { name = "ad", type = "id", sequence = "past" } },
      { { name = "past", padding = change.past } })
    end
    local function check(change, other, lacking)
      local own = make(change)
      local builder = g.builder(own)
      local tags = builder:lookup { column = "tags", dim = 3 }
      local past = builder:pool(builder:lookup { column = "ad", dim = 3 })
      builder:probe(tags, past)
      local predict_on = predictor(g.model(builder), { tags, past })
      local function on(made)
        local batch = g.batch(made, 2)
        g.fill_bags(batch, made, "tags", { { "a", "b" }, { "c" } })
        return predict_on(batch)
      end
      assert.truthy(on(make(change)))
      if not lacking then return assert.truthy(on(make(other))) end
      helper.raises(('the data lacks column "%s" as the model was trained on it'):format(lacking),
        on, make(other))
    end
    check({ weighted = true }, {}, "tags")
    check({}, { weighted = true }, "tags")
    check({ weighted = true }, { weights = "w" })
    check({ padding = "0" }, {}, "tags")
    check({}, { padding = "0" }, "tags")
    check({ values = { "a", "b" } }, { values = { "b", "a" } })
    check({ values = { "a", "b" } }, { values = { "a", "c" } }, "tags")
    check({ past = "0" }, {}, "ad")
    check({ past = "0" }, { past = "1" }, "ad")
  end)
end)

describe("a graph that has a model", function()
  it("takes no more nodes", function()
    local schema = g.schema { { name = "x", type = "number" } }
    local b = g.builder(schema)
    local x = b:column { column = "x" }
    g.model(b)
    helper.raises("the graph has a model and takes no more nodes", function() b:relu(x) end)
  end)
end)
