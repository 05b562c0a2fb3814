-- Graphs: what is refused and in which words; gradients of graphs that share, branch and chain;
-- buffers that the planner lays on one another, against the same graph without any sharing.
local g = require "graph_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local Pool = require "moonrank.pool"
local C = mr.C

local SIZES = { 3, 1, 1, 4, 2, 9, 1, 5, 3, 2, 2, 6, 1 } -- samples of each request
local SAMPLES, REQUESTS = 40, 13

-- ---- messages ----

describe("a wrong node", function()
  local schema = g.schema { { name = "x", type = "vector", width = 3 },
    { name = "z", type = "vector", width = 4 }, { name = "one", type = "number" },
    { name = "ad", type = "id" }, { name = "u", type = "vector", width = 3, domain = "request" },
    { name = "click", type = "label" } }
  local b = g.builder(schema)
  local x, z = b:column { column = "x" }, b:column { column = "z" }
  local one, u = b:column { column = "one" }, b:column { column = "u" }
  local click = b:column { column = "click" }

  local function refused(message, f)
    it(("is refused: %s"):format(message), function() helper.raises(message, f) end)
  end

  refused("add: input 2 is 4 wide, input 1 is 3 wide", function() b:add { x, z } end)
  refused("multiply: b is 4 wide, a is 3 wide", function() b:multiply(x, z) end)
  refused("fm_pairs: x is 4 wide, which is not a multiple of dim 3",
    function() b:fm_pairs(z, { dim = 3 }) end)
  refused("pool: the input is in the request domain, which has no parent",
    function() b:pool(u) end)
  refused("logloss: logit is 3 wide, expected 1", function() b:logloss(x, click) end)
  refused("logloss: label is 4 wide, expected 1", function() b:logloss(one, z) end)
  refused("probe: r is 4 wide, x is 3 wide", function() b:probe(x, z) end)
  refused('column: column "ad" holds keys, expected numbers',
    function() b:column { column = "ad" } end)
  refused('column: column is "adz", but there is no such column',
    function() b:column { column = "adz" } end)
  refused("dense: out is 0, expected 1 to 65536", function() b:dense(x, { out = 0 }) end)
  refused("dense: out is 2.5, expected a whole number", function() b:dense(x, { out = 2.5 }) end)
  refused('dense: start is "zero", expected one of: glorot normal',
    function() b:dense(x, { out = 2, start = "zero" }) end)
  refused("dropout: rate is 1, expected 0 to 0.99", function() b:dropout(x, { rate = 1 }) end)
  refused("batch_norm: eps is 0, expected 1e-12 to 1", function() b:batch_norm(x, { eps = 0 }) end)
  refused("batch_norm: momentum is 1.5, expected 0 to 1",
    function() b:batch_norm(x, { momentum = 1.5 }) end)
  refused('pool: kind is "su", expected one of: sum mean max',
    function() b:pool(x, { kind = "su" }) end)
  refused('dense: there are two weights called "twice.weight"', function()
    b:dense(x, { out = 2, name = "twice" })
    b:dense(x, { out = 2, name = "twice" })
  end)
  refused("relu: input 1 is an objective, which has no value",
    function() b:relu(b:probe(x, x)) end)
  refused("concat: the output is 1114112 wide, at most 1048576 is allowed", function()
    local wide = {}
    for i = 1, 17 do wide[i] = b:dense(one, { out = 65536 }) end
    b:concat(wide)
  end)

  it("leaves the graph as it was, so that others can be added", function()
    local before = C.mr_graph_nodes(b.handle)
    pcall(function() b:add { x, z } end)
    pcall(function() b:dropout(x, { rate = 2 }) end)
    assert.equal(before, C.mr_graph_nodes(b.handle))
    assert.equal(before, b:tanh(x).id)
  end)
end)

describe("mr_graph_add", function()
  local schema = g.schema { { name = "x", type = "number" },
    { name = "u", type = "number", domain = "request" } }
  local graph = g.builder(schema).handle
  local id = mr.new "int32_t[1]"

  local function add(op, inputs, options)
    options = options or {}
    local list = mr.new("mr_option[?]", math.max(#options, 1), options)
    return C.mr_graph_add(graph, op, nil, mr.new("int32_t[?]", math.max(#inputs, 1), inputs),
      #inputs, list, #options, id)
  end

  local x_option = { name = "column", text = "x" }

  it("says what is wrong with a call", function()
    local function refused(message, ...)
      assert.equal(C.MR_EINVAL, add(...))
      assert.equal(message, mr.last_error())
      assert.equal(-1, id[0])
    end
    refused('there is no op "dens"', "dens", {})
    mr.check(add("column", {}, { x_option }))
    refused("column: 1 inputs, expected 0", "column", { 0 }, { x_option })
    refused("relu: 0 inputs, expected 1", "relu", {})
    refused("concat: 0 inputs, expected at least 1", "concat", {})
    refused("relu: input 1 is node 7, but there are 1 nodes", "relu", { 7 })
    refused("add: input 2 is node -1, but there are 1 nodes", "add", { 0, -1 })
    refused('relu: unknown option "rate"', "relu", { 0 }, { { name = "rate" } })
    refused('column: option "column" is given twice', "column", {}, { x_option, x_option })
    refused('column: option "column" is missing', "column", {})
    refused("column: column is a number, expected a text", "column", {}, { { name = "column" } })
    refused("dense: out is a text, expected a number", "dense", { 0 },
      { { name = "out", text = "8" } })
    mr.check(add("column", {}, { { name = "column", text = "u" } }))
    mr.check(add("broadcast", { 1 }))
    assert.equal(C.MR_ESHAPE, add("broadcast", { 0 }))
    assert.equal("broadcast: the input is in the sample domain, which is not right above the "
      .. "sample domain", mr.last_error())
  end)

  it("keeps within the list of nodes", function()
    local info, op = mr.new "mr_node_info", mr.new "mr_op_info"
    local n = C.mr_graph_nodes(graph)
    local function refused(message, status)
      assert.equal(C.MR_EINVAL, status)
      assert.equal(message, mr.last_error())
    end
    refused(("node %d, but there are %d nodes"):format(n, n), C.mr_graph_describe(graph, n, info))
    refused(("node -1, but there are %d nodes"):format(n), C.mr_graph_watch(graph, -1))
    local ops = C.mr_op_count()
    refused(("op %d, expected 0 to %d"):format(ops, ops - 1), C.mr_op_describe(ops, op))
    refused("op 0 has no option 9", C.mr_op_option_describe(0, 9, mr.new "mr_op_option_info"))
    assert.is_true(C.mr_op_sample(ops, 0) == nil)
  end)
end)

-- ---- running a graph that `build(b)` makes over columns x, z (samples) and u, v (requests) ----

local WIDTH = 3

local function make_case(build, options)
  local columns = {}
  for _, name in ipairs { "x", "z" } do
    columns[#columns + 1] = { name = name, type = "vector", width = WIDTH }
  end
  for _, name in ipairs { "u", "v" } do
    columns[#columns + 1] = { name = name, type = "vector", width = WIDTH, domain = "request" }
  end
  columns[5] = { name = "click", type = "label" }
  columns[6] = { name = "r", type = "vector", width = 200 }
  local schema = g.schema(columns)
  local b, random = g.builder(schema), helper.random(options.seed or 1)
  local c = { b = b, schema = schema, inputs = {}, nodes = {} }
  for i = 1, 4 do c.inputs[i] = b:column { column = columns[i].name } end
  c.x, c.z, c.u, c.v = unpack(c.inputs)
  c.click = b:column { column = "click" }
  build(c, b)
  local batch = g.batch(schema, SIZES)
  c.batch, c.values = batch, {}
  for i = 1, 4 do
    local n = WIDTH * (i <= 2 and SAMPLES or REQUESTS)
    c.values[i] = { n = n, p = g.fill(batch, schema, columns[i].name, n,
      function() return 2 * random() - 1 end), node = c.inputs[i] }
  end
  g.fill(batch, schema, "click", SAMPLES, function() return random(2) - 1 end)
  c.model = g.model(b, options.seed)
  local info = mr.new "mr_param_info"
  for i = 0, C.mr_model_params(c.model) - 1 do -- biases and the like must not be zero
    mr.check(C.mr_model_param(c.model, i, info))
    if info.trained ~= 0 then
      local n, w = info.rows * info.columns, C.mr_model_weights(c.model, i)
      for k = 0, n - 1 do w[k] = w[k] + 0.4 * (random() - 0.5) end
      c.values[#c.values + 1] = { n = n, p = w, param = i, name = mr.string(info.name) }
    end
  end
  mr.check(C.mr_model_changed(c.model))
  return c
end

-- An objective over any value: a dense layer and logloss, so that its gradient is curved.
local function end_with(c, b, y, name)
  b:logloss(b:dense(y, { out = 1, name = name or "end" }), c.click)
end

local function copy_gradients(c, run)
  for _, value in ipairs(c.values) do
    local from = value.param and C.mr_run_weight_gradient(run.handle, value.param)
      or C.mr_run_watched(run.handle, value.node.id)
    value.gradient = mr.new("float[?]", value.n)
    if from ~= nil then mr.copy(value.gradient, from, 4 * value.n) end
  end
end

-- The derivative along a random direction in the space of all inputs and weights.
local function along(c, run, random, step)
  local expected, before = 0, {}
  for i, value in ipairs(c.values) do
    before[i] = mr.new("float[?]", value.n)
    mr.copy(before[i], value.p, 4 * value.n)
    value.direction = {}
    for k = 0, value.n - 1 do
      value.direction[k] = 2 * random() - 1
      expected = expected + value.direction[k] * value.gradient[k] * SAMPLES
    end
  end
  local function at(t)
    for i, value in ipairs(c.values) do
      for k = 0, value.n - 1 do value.p[k] = before[i][k] + t * value.direction[k] end
    end
    mr.check(C.mr_model_changed(c.model))
    return g.gradient(run, c.batch)
  end
  local above, below = at(step), at(-step)
  at(0)
  return (above - below) / (2 * step), expected
end

-- The gradients of inputs and weights against central differences along five directions.
local function check_numeric(build, options)
  options = options or {}
  local c = make_case(function(c, b)
    for i = 1, 4 do b:watch(c.inputs[i]) end
    build(c, b)
  end, options)
  local run = g.run(c.model, { slice_bytes = options.slice_bytes or 1, seed = 9 })
  g.gradient(run, c.batch)
  copy_gradients(c, run)
  local random = helper.random(77)
  for _ = 1, 5 do
    local numeric, analytic = along(c, run, random, 1.5e-3)
    local size = math.max(1, math.abs(analytic))
    assert(math.abs(numeric - analytic) < 4e-3 * size,
      ("along a direction %.6g, expected %.6g"):format(analytic, numeric))
  end
end

local GRAPHS = {
  ["multiply(x, x)"] = function(c, b) end_with(c, b, b:multiply(c.x, c.x)) end,
  ["add {x, x}"] = function(c, b) end_with(c, b, b:add { c.x, c.x, c.z, c.x }) end,
  ["concat {x, x}"] = function(c, b) end_with(c, b, b:concat { c.x, c.x, b:tanh(c.x) }) end,
  ["a diamond"] = function(c, b)
    local a = b:dense(c.x, { out = 4 })
    end_with(c, b, b:multiply(b:tanh(a), b:add { b:sigmoid(a), a }))
  end,
  ["a chain of in-place ops"] = function(c, b)
    local y = b:bias(b:tanh(b:bias(b:bias(b:dense(c.x, { out = 4 })))))
    y = b:sigmoid(b:bias(b:sigmoid(b:dropout(b:bias(y), { rate = 0.3 }))))
    end_with(c, b, b:dropout(y, { rate = 0.3 }))
  end,
  ["a bias over a concat of activations"] = function(c, b)
    end_with(c, b, b:tanh(b:bias(b:concat { b:tanh(c.x), b:sigmoid(c.z) })))
  end,
  ["dropout over a concat of activations"] = function(c, b)
    end_with(c, b, b:dropout(b:concat { b:sigmoid(c.x), b:tanh(c.z) }, { rate = 0.4 }))
  end,
  ["concats in concats"] = function(c, b)
    local inner = b:concat { b:tanh(c.x), b:dense(c.z, { out = 2 }) }
    local middle = b:concat { b:bias(inner), b:sigmoid(c.z) }
    end_with(c, b, b:bias(b:concat { c.x, middle, b:tanh(middle) }))
  end,
  ["a request side that is seen by several"] = function(c, b)
    local user = b:tanh(b:dense(b:concat { c.u, c.v }, { out = 3 }))
    local a = b:multiply(user, b:add { c.x, user })
    end_with(c, b, b:concat { a, user, b:bias(b:multiply(c.u, c.v)) })
  end,
  ["pools and back"] = function(c, b)
    local x = b:tanh(c.x)
    local pooled = b:concat { b:bias(b:pool(x, { kind = "max" })), b:pool(x, { kind = "mean" }),
      b:bias(b:pool(b:multiply(c.x, c.z), { kind = "sum" })) }
    end_with(c, b, b:concat { b:dense(b:tanh(pooled), { out = 2 }), x })
  end,
  ["an objective on the request side"] = function(c, b)
    end_with(c, b, b:dense(c.u, { out = 2 }))
    end_with(c, b, b:tanh(b:add { c.x, c.u }), "other")
  end,
  ["factors twice"] = function(c, b)
    local x = b:dense(c.x, { out = 6 })
    end_with(c, b, b:concat { b:fm_pairs(x, { dim = 2 }), b:fm_pairs(x, { dim = 3 }), b:sum(x) })
  end,
  ["two batch norms and a skip"] = function(c, b)
    local first = b:batch_norm(b:dense(c.x, { out = 5 }))
    local second = b:batch_norm(b:add { b:dense(b:tanh(first), { out = 5 }), first })
    end_with(c, b, b:tanh(b:add { second, first }))
  end,
  ["batch norm on both sides"] = function(c, b)
    local user = b:bias(b:batch_norm(b:dense(c.u, { out = 3 })))
    local both = b:batch_norm(b:concat { b:multiply(user, c.x), b:tanh(c.z), b:tanh(user) })
    end_with(c, b, b:dropout(b:sigmoid(both), { rate = 0.2 }))
  end,
  ["a value that two phases read"] = function(c, b)
    local a = b:tanh(b:dense(c.x, { out = 3 }))
    local n = b:batch_norm(a)
    local pooled = b:batch_norm(b:pool(b:multiply(n, a), { kind = "mean" }))
    end_with(c, b, b:concat { b:add { pooled, a }, b:batch_norm(b:add { n, a }) })
  end,
  ["objectives of different phases"] = function(c, b)
    local a = b:dense(c.x, { out = 3 })
    end_with(c, b, b:tanh(a), "early")
    end_with(c, b, b:tanh(b:batch_norm(b:bias(a))), "late")
  end,
  ["batch norm of an input"] = function(c, b)
    end_with(c, b, b:tanh(b:add { b:batch_norm(c.x), b:batch_norm(c.u) }))
  end,
}

describe("the gradient of", function()
  for name, build in pairs(GRAPHS) do
    it(name .. " is that of its value", function() check_numeric(build) end)
    it(name .. " is the same in one slice", function()
      check_numeric(build, { slice_bytes = 1e9 })
    end)
  end
end)

-- ---- sharing ----

-- A graph drawn at random: every node reads one or two of those before it.
local function draw_graph(seed, relus)
  return function(c, b)
    local random = helper.random(seed)
    local nodes = { c.x, c.z, c.u, c.v }
    local function any()
      -- Mostly the newest, so that chains grow and most values have one reader.
      local back = random() < 0.6 and 0 or random(#nodes) - 1
      return nodes[#nodes - back]
    end
    local function same_width(first)
      for _ = 1, 20 do
        local node = any()
        if node.width == first.width then return node end
      end
      return first
    end
    local made = {
      function() return b:tanh(any()) end,
      function() return b:sigmoid(any()) end,
      function() return b:bias(any()) end,
      function() return b:dropout(any(), { rate = 0.25 }) end,
      function() return b:dense(any(), { out = random(4) }) end,
      function() return b:concat { any(), any() } end,
      function() return b:concat { any(), any(), any() } end,
      function() local a = any() return b:add { a, same_width(a) } end,
      function() local a = any() return b:multiply(a, same_width(a)) end,
      function() return b:sum(any()) end,
      function()
        local a = any()
        return a.domain == "sample" and b:pool(a, { kind = "mean" }) or b:tanh(a)
      end,
      function() return random() < 0.5 and b:batch_norm(any()) or b:bias(any()) end,
    }
    if relus then -- mostly behind a dense layer, and before one
      for _ = 1, 4 do
        made[#made + 1] = function()
          local node = random() < 0.8 and b:dense(any(), { out = random(4) }) or any()
          node = random() < 0.5 and b:relu(node) or b:prelu(node, { start = random() - 0.5 })
          return random() < 0.7 and b:dense(node, { out = random(3) }) or node
        end
      end
    end
    for _ = 1, 6 + random(10) do
      local node = made[random(#made)]()
      if node.width <= 40 then nodes[#nodes + 1] = node end
    end
    c.drawn = nodes
    end_with(c, b, b:concat { nodes[#nodes], nodes[#nodes - 1] })
    if random() < 0.3 then end_with(c, b, any(), "second") end
  end
end

local function bytes(p, n) return mr.string(mr.cast("const char *", p), 4 * n) end

local GRAPH_SEEDS = 150

-- The loss and the gradients of the weights are the same bits when no buffer is shared: what is
-- watched shares with nobody.
local function check_sharing(build, seed, name)
  local results = {}
  for _, watched in ipairs { false, true } do
    local c = make_case(function(c, b)
      build(c, b)
      for i = 0, watched and C.mr_graph_nodes(b.handle) - 1 or -1 do
        mr.check(C.mr_graph_watch(b.handle, i))
      end
    end, { seed = seed })
    local run = g.run(c.model, { slice_bytes = seed % 3 == 0 and 1e9 or 1, seed = 9 })
    local result = { ("%.17g"):format(g.gradient(run, c.batch)) }
    for _, value in ipairs(c.values) do
      if value.param then
        result[#result + 1] = bytes(C.mr_run_weight_gradient(run.handle, value.param), value.n)
      end
    end
    results[#results + 1] = result
  end
  for i, result in ipairs(results[2]) do
    assert(result == results[1][i], ("graph %s: result %d differs"):format(name, i))
  end
end

describe("drawn graphs", function()
  it("have the same loss and gradient, bit by bit, when no buffer is shared", function()
    for seed = 1, GRAPH_SEEDS do
      check_sharing(draw_graph(seed), seed, seed)
      check_sharing(draw_graph(seed, true), seed, seed .. " with relus")
    end
  end)

  it("have the gradient of their value", function()
    for seed = 1, GRAPH_SEEDS do
      local ok, message = pcall(check_numeric, draw_graph(seed), { seed = seed })
      assert(ok, ("graph %d: %s"):format(seed, tostring(message)))
    end
  end)

  it("predict every node, bit by bit, as when no buffer is shared", function()
    local pool = Pool.new(1)
    local function predict(model, batch, nodes)
      local ids, views, out = mr.new("int32_t[?]", #nodes), mr.new("float *[?]", #nodes), {}
      for i, node in ipairs(nodes) do
        ids[i - 1] = node.id
        out[i] = mr.new("float[?]", node.width * SAMPLES)
        views[i - 1] = out[i]
      end
      local handle = mr.new "mr_run *[1]"
      mr.check(C.mr_run_new_predict(handle, model, pool.handle,
        mr.new("mr_run_options", { batch = 64, slice_bytes = 1 }), ids, #nodes))
      local run = mr.gc(handle[0], C.mr_run_free)
      mr.check(C.mr_run_predict(run, batch, views))
      return out
    end
    for seed = 1, GRAPH_SEEDS, 3 do
      local c = make_case(draw_graph(seed, seed % 2 == 0), { seed = seed })
      local all = predict(c.model, c.batch, c.drawn) -- outputs share with nobody
      for i, node in ipairs(c.drawn) do
        local n = node.width * (node.domain == "request" and REQUESTS or SAMPLES)
        assert(bytes(predict(c.model, c.batch, { node })[1], n) == bytes(all[i], n),
          ("graph %d: node %d (%s) differs"):format(seed, i, tostring(node)))
      end
    end
  end)
end)

-- ---- relus and prelus that the ops around them do ----

-- Each gives the activation that it is about, and whether it runs forward and backward.
local RELUS = {
  ["between dense layers"] = { "folded", "folded", function(c, b, act)
    local relu = act(b:dense(c.x, { out = 5 }))
    return relu, b:dense(relu, { out = 4 })
  end },
  ["before and behind a single output"] = { "folded", "folded", function(c, b, act)
    local relu = act(b:dense(c.x, { out = 1 }))
    return relu, relu
  end },
  ["of a dense layer that two read"] = { "folded", "runs", function(c, b, act)
    local relu = act(b:dense(c.x, { out = 5 }))
    return relu, b:concat { b:dense(relu, { out = 2 }), b:dense(relu, { out = 3 }) }
  end },
  ["of a dense layer that somebody else reads too"] = { "runs", "runs", function(c, b, act)
    local hidden = b:dense(c.x, { out = 5 })
    local relu = act(hidden)
    return relu, b:add { b:dense(relu, { out = 5 }), hidden }
  end },
  ["of a batch norm"] = { "runs", "folded", function(c, b, act)
    local relu = act(b:batch_norm(b:dense(c.x, { out = 5 })))
    return relu, b:dense(relu, { out = 4 })
  end },
  ["before a batch norm"] = { "folded", "runs", function(c, b, act)
    local relu = act(b:dense(c.x, { out = 5 }))
    return relu, b:batch_norm(relu)
  end },
  ["of an input"] = { "runs", "runs", function(c, b, act)
    local relu = act(c.x)
    return relu, b:concat { b:dense(relu, { out = 4 }), c.x }
  end },
  ["within a concat"] = { "folded", "runs", function(c, b, act)
    local relu = act(b:dense(c.x, { out = 5 }))
    return relu, b:concat { c.z, relu }
  end },
  ["on the request side"] = { "folded", "folded", function(c, b, act)
    local relu = act(b:dense(c.u, { out = 5 }))
    return relu, b:add { b:dense(relu, { out = 3 }), c.x }
  end },
}

-- A prelu's value has a place of its own, so others may read what was before.
local PRELUS = { ["of a dense layer that somebody else reads too"] = { "folded", "runs" } }

for _, kind in ipairs { "relu", "prelu" } do
  local function activation(b)
    return function(x) return b[kind](b, x) end
  end
  describe("a " .. kind, function()
    for name, case in pairs(RELUS) do
      local forward, backward = unpack(kind == "prelu" and PRELUS[name] or case)
      local build = case[3]
      it(name .. " gives the bits of one on its own", function()
        for seed = 1, 6 do
          check_sharing(function(c, b)
            end_with(c, b, select(2, build(c, b, activation(b))))
          end, seed, name)
        end
      end)

      it(("%s: forward %s, backward %s"):format(name, forward, backward), function()
        local node
        local c = make_case(function(c, b)
          for i = 1, 4 do b:watch(c.inputs[i]) end
          local y
          node, y = build(c, b, activation(b))
          end_with(c, b, y)
        end, {})
        local run = g.run(c.model, {})
        mr.check(C.mr_run_profile(run.handle, 1))
        g.gradient(run, c.batch)
        local line, calls = mr.new "mr_profile_line", {}
        for i = 0, C.mr_run_profile_lines(run.handle) - 1 do
          mr.check(C.mr_run_profile_line(run.handle, i, line))
          if line.node == node.id then
            calls[mr.string(line.what)] = line.calls > 0 and "runs" or "folded"
          end
        end
        assert.same({ forward = forward, backward = backward }, calls)
      end)
    end
  end)
end

-- ---- watching ----

describe("a watched node", function()
  it("keeps its gradient, wherever it stands; others have none to show", function()
    local c = make_case(function(c, b)
      c.a, c.other = b:bias(c.x), b:bias(c.z)
      c.joined = b:concat { c.a, c.other }
      b:watch(c.a)
      b:watch(c.joined)
      b:watch(c.click)
      b:probe(c.joined, b:concat { c.z, c.x })
    end, {})
    local run = g.run(c.model)
    assert.is_true(C.mr_run_watched(run.handle, c.a.id) == nil)
    g.gradient(run, c.batch)
    local a = C.mr_run_watched(run.handle, c.a.id)
    local joined = C.mr_run_watched(run.handle, c.joined.id)
    local inverse = mr.new("float[1]", 1 / SAMPLES)[0]
    for r = 0, SAMPLES - 1 do
      for e = 0, WIDTH - 1 do
        local want = c.values[2].p[r * WIDTH + e] * inverse
        assert(math.abs(a[r * WIDTH + e] - want) < 1e-9)
        assert(math.abs(joined[r * 2 * WIDTH + e] - want) < 1e-9)
      end
    end
    assert.is_true(C.mr_run_watched(run.handle, c.other.id) == nil, "not watched")
    assert.is_true(C.mr_run_watched(run.handle, c.click.id) == nil, "no gradient reaches a label")
    assert.is_true(C.mr_run_watched(run.handle, -1) == nil)
    assert.is_true(C.mr_run_watched(run.handle, 999) == nil)
    c.b:watch(c.other) -- too late for this run
    g.gradient(run, c.batch)
    assert.is_true(C.mr_run_watched(run.handle, c.other.id) == nil, "watched too late")
  end)
end)

-- ---- dropout ----

describe("dropout", function()
  -- The gradient of x is the mask times its scale over the samples.
  local function masks(options)
    local schema = g.schema { { name = "x", type = "vector", width = 50 } }
    local b = g.builder(schema)
    local x = b:column { column = "x" }
    b:watch(x)
    b:probe(b:dropout(x, { rate = options.rate }), x)
    local batch, model = g.batch(schema, 200), g.model(b)
    g.fill(batch, schema, "x", 10000, function() return 1 end)
    local run, found = g.run(model, options), {}
    for step = 1, 2 do
      g.gradient(run, batch)
      found[step] = bytes(C.mr_run_watched(run.handle, x.id), 10000)
      if step == 1 then g.update(run) end
    end
    local kept, p = 0, C.mr_run_watched(run.handle, x.id)
    for i = 0, 9999 do
      if p[i] ~= 0 then
        kept = kept + 1
        assert(math.abs(p[i] * 200 * (1 - options.rate) - 1) < 1e-5, "the scale")
      end
    end
    return found[1], found[2], kept / 10000
  end

  it("keeps its share, another one each step and seed, whatever the slices", function()
    local first, second, share = masks { rate = 0.3, seed = 1, batch = 1e6 } -- one slice
    assert(math.abs(share - 0.7) < 6 * math.sqrt(0.21 / 10000), share)
    assert.is_true(first ~= second, "the second step has the mask of the first")
    assert.is_true(first ~= (masks { rate = 0.3, seed = 2 }), "another seed has the same mask")
    local same, same_second = masks { rate = 0.3, seed = 1, slice_bytes = 1, threads = 2 }
    assert.is_true(first == same and second == same_second, "slices change the mask")
    local _, _, all = masks { rate = 0 }
    assert.equal(1, all)
  end)

  it("of one value has another mask at every place and in every row", function()
    local schema = g.schema { { name = "x", type = "vector", width = 50 },
      { name = "r", type = "vector", width = 100 } }
    local b = g.builder(schema)
    local x = b:column { column = "x" }
    local both = b:concat { b:dropout(x, { rate = 0.5 }), b:dropout(x, { rate = 0.5 }) }
    local y = b:bias(both) -- its own place, so that it can be watched apart
    b:watch(x)
    b:probe(y, b:column { column = "r" })
    local batch, run = g.batch(schema, 20), g.run(g.model(b))
    local seen, list = {}, {}
    for half = 0, 1 do -- one dropout alone lets a gradient through
      g.fill(batch, schema, "r", 2000, function(i)
        return math.floor(i % 100 / 50) == half and 1 or 0
      end)
      g.gradient(run, batch)
      local p = C.mr_run_watched(run.handle, x.id)
      for row = 0, 19 do
        local mask = bytes(p + 50 * row, 50)
        assert.is_nil(seen[mask])
        seen[mask] = true
        list[#list + 1] = mask
      end
    end
    assert.equal(40, #list)
  end)
end)

-- ---- pooling ----

describe("the gradient of a maximum", function()
  it("goes to the first of equal samples alone", function()
    local schema = g.schema { { name = "x", type = "number" },
      { name = "r", type = "number", domain = "request" } }
    local b = g.builder(schema)
    local x = b:column { column = "x" }
    b:watch(x)
    b:probe(b:pool(x, { kind = "max" }), b:column { column = "r" })
    local batch, values = g.batch(schema, { 4, 1, 3 }), { 1, 5, 5, 2, 7, 3, 3, 3 }
    g.fill(batch, schema, "x", 8, function(i) return values[i + 1] end)
    g.fill(batch, schema, "r", 3, function(i) return 8 * (i + 1) end)
    local run = g.run(g.model(b))
    g.gradient(run, batch)
    -- Every sample probes its request's maximum, so a request's counts as often as it has samples.
    helper.all_near({ 0, 4, 0, 0, 2, 9, 0, 0 }, C.mr_run_watched(run.handle, x.id), 0)
  end)
end)

describe("the gradient of weights that rows are pooled by", function()
  -- y[q] = sum w x and z[q] = sum w, so dw = d (x + 1); z runs backward first.
  it("is added to that of their other readers", function()
    local schema = g.schema { { name = "x", type = "number" }, { name = "w", type = "number" },
      { name = "r", type = "number", domain = "request" } }
    local b = g.builder(schema)
    local x, w = b:column { column = "x" }, b:column { column = "w" }
    b:watch(w)
    local y = b:pool_weighted(x, w)
    b:probe(b:add { y, b:pool(w, { kind = "sum" }) }, b:column { column = "r" })
    local batch, values = g.batch(schema, { 2, 1, 1 }), { 1, -3, 0.5, 2 }
    g.fill(batch, schema, "x", 4, function(i) return values[i + 1] end)
    g.fill(batch, schema, "w", 4, function(i) return 10 + i end)
    g.fill(batch, schema, "r", 3, function(i) return 4 * (i + 1) end)
    local run = g.run(g.model(b))
    g.gradient(run, batch)
    helper.all_near({ 2 * 2, 2 * -2, 2 * 1.5, 3 * 3 }, C.mr_run_watched(run.handle, w.id), 0)
  end)
end)

-- ---- batch norm over requests ----

describe("batch norm of a request-side value", function()
  it("weighs a request by its samples: the same as on their own rows", function()
    -- Once on u's rows, once on the same values repeated for every sample.
    local function results(domain)
      local schema = g.schema { { name = "u", type = "vector", width = 2, domain = domain },
        { name = "r", type = "vector", width = 2 } }
      local b = g.builder(schema)
      local u = b:column { column = "u" }
      local y = b:batch_norm(b:bias(u), { name = "n", momentum = 0.25 })
      b:probe(b:tanh(y), b:column { column = "r" })
      local batch, model, random = g.batch(schema, SIZES), g.model(b), helper.random(3)
      local at, p = 0, C.mr_batch_floats(batch, 0)
      for q, n in ipairs(SIZES) do
        local a, c = random(), random()
        for s = at, at + n - 1 do
          local row = domain and q - 1 or s
          p[2 * row], p[2 * row + 1] = a, 3 * c - 1
        end
        at = at + n
      end
      g.fill(batch, schema, "r", 2 * SAMPLES, random)
      local run = g.run(model, { slice_bytes = 1 })
      local list = { g.gradient(run, batch) }
      for i = 0, 2 do -- bias, gamma, beta
        for e = 0, 1 do list[#list + 1] = C.mr_run_weight_gradient(run.handle, i)[e] end
      end
      g.update(run)
      for _, name in ipairs { "n.moving_mean", "n.moving_variance" } do
        for e = 0, 1 do list[#list + 1] = g.weight(model, name)[e] end
      end
      return list
    end
    helper.all_near(results(nil), results "request", 2e-6)
  end)
end)
