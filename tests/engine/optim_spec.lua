-- Optimizers, in the dense form and on rows of tables: against numbers from an independent
-- implementation (tests/golden) and against slow loops in Lua over models whose gradient is known.
local cjson = require "cjson"
local g = require "graph_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local C = mr.C

local golden = cjson.decode(helper.read "tests/golden/optim.json")

-- ---- the slow loop ----

local PRESETS = {
  sgd = { lr = 0.1 },
  adagrad = { lr = 0.01, eps = 1e-10, start = 0 },
  adam = { lr = 0.001, beta1 = 0.9, beta2 = 0.999, eps = 1e-8 },
  momentum = { lr = 0.01, momentum = 0.9, nesterov = 0 },
  ftrl = { lr = 0.1, beta = 1, l1 = 0, l2 = 0 },
}
local NAMES = { "sgd", "adagrad", "adam", "momentum", "ftrl" }

local STEPS = {}

function STEPS.sgd(o, _, w, gradient) return w - o.lr * gradient end

function STEPS.adagrad(o, state, w, gradient)
  state.sum = (state.sum or o.start) + gradient ^ 2
  return w - o.lr * gradient / (math.sqrt(state.sum) + o.eps)
end

function STEPS.adam(o, state, w, gradient, t)
  state.m = o.beta1 * (state.m or 0) + (1 - o.beta1) * gradient
  state.v = o.beta2 * (state.v or 0) + (1 - o.beta2) * gradient ^ 2
  local m, v = state.m / (1 - o.beta1 ^ t), state.v / (1 - o.beta2 ^ t)
  return w - o.lr * m / (math.sqrt(v) + o.eps)
end

-- As published for w, with v as the velocity (Sutskever et al. 2013, eq. 3 and 4), of which w is
-- the point ahead, where the gradient is taken.
function STEPS.momentum(o, state, w, gradient)
  local mu, v = o.momentum, state.v or 0
  state.v = mu * v + gradient
  return w - o.lr * (o.nesterov == 1 and gradient + mu * state.v or state.v)
end

local function sign(x) return x > 0 and 1 or x < 0 and -1 or 0 end

-- Algorithm 1 of McMahan et al. 2013, z started so that w comes out of it where it starts.
function STEPS.ftrl(o, state, w, gradient)
  local n, rate = state.n or 0, state.rate or o.beta / o.lr
  state.z = state.z or -w * (rate + o.l2) - sign(w) * o.l1
  state.n = n + gradient ^ 2
  state.rate = (o.beta + math.sqrt(state.n)) / o.lr
  state.z = state.z + gradient - (state.rate - rate) * w
  if math.abs(state.z) <= o.l1 then return 0 end
  return -(state.z - sign(state.z) * o.l1) / (state.rate + o.l2)
end

-- One number that learns: step(gradient, t) with a rate factor.
local function learner(name, options, w)
  local o = setmetatable(options or {}, { __index = PRESETS[name] })
  local state, self = {}, { w = w }
  function self.step(gradient, t, factor)
    local scaled = setmetatable({ lr = o.lr * (factor or 1) }, { __index = o })
    self.w = STEPS[name](scaled, state, self.w, gradient, t)
  end
  return self
end

-- ---- models whose gradient is known ----

local function near(want, got, what)
  if math.abs(want - got) <= 2e-6 * math.max(0.1, math.abs(want)) then return end -- not if NaN
  error(("%s is %.9g, expected %.9g"):format(what, got, want), 2)
end

-- y = x + b over one sample, probed by r: the gradient of b is r.
local function dense_case(width, options)
  local schema = g.schema { { name = "x", type = "vector", width = width },
    { name = "r", type = "vector", width = width } }
  local b = g.builder(schema)
  b:probe(b:bias(b:column { column = "x" }, { name = "b" }), b:column { column = "r" })
  local batch, model = g.batch(schema, 1), g.model(b)
  local run = g.run(model, options)
  return { w = (g.weight(model, "b.bias")), run = run, step = function(gradient)
    g.fill(batch, schema, "r", width, function(i) return gradient[i + 1] end)
    g.gradient(run, batch)
    g.update(run)
  end }
end

-- The row of one id over one sample: its gradient is r.
local function row_case(width, options)
  local schema = g.schema { { name = "id", type = "id" },
    { name = "r", type = "vector", width = width } }
  local b = g.builder(schema)
  b:probe(b:lookup { column = "id", dim = width }, b:column { column = "r" })
  local batch, model = g.batch(schema, 1), g.model(b)
  C.mr_batch_keys(batch, 0)[0] = 77
  local run = g.run(model, options)
  local row = mr.new "float *[1]"
  mr.check(C.mr_model_make_row(model, 0, 77, row))
  return { w = row[0], run = run, step = function(gradient)
    g.fill(batch, schema, "r", width, function(i) return gradient[i + 1] end)
    g.gradient(run, batch)
    g.update(run)
  end }
end

local FORMS = { dense = dense_case, row = row_case }

describe("optimizers", function()
  for form, make in pairs(FORMS) do
    for number, case in ipairs(golden.cases) do
      it(("%s take the golden steps in %s form (case %d)"):format(case.optimizer, form, number),
        function()
          local c = make(#golden.weights, { optimizer = case.optimizer, rates = case.options })
          for i, w in ipairs(golden.weights) do c.w[i - 1] = w end
          for t, gradient in ipairs(golden.gradients) do
            c.step(gradient)
            for i, want in ipairs(case.after[t]) do
              near(want, c.w[i - 1], ("weight %d after step %d"):format(i, t))
            end
          end
        end)
    end

    for name in pairs(STEPS) do
      it(("%s with its presets follow the slow loop in %s form"):format(name, form), function()
        local random, width = helper.random(3), 21
        local c = make(width, { optimizer = name })
        local slow = {}
        for i = 1, width do slow[i] = learner(name, nil, c.w[i - 1]) end
        for t = 1, 12 do
          local factor = t > 8 and 0.25 or 1 -- a schedule's factor multiplies the rate
          mr.check(C.mr_run_set_rate(c.run.handle, factor))
          local gradient = {}
          for i = 1, width do gradient[i] = random() - 0.5 end
          c.step(gradient)
          for i = 1, width do
            slow[i].step(gradient[i], t, factor)
            near(slow[i].w, c.w[i - 1], ("weight %d after step %d"):format(i, t))
          end
        end
      end)
    end
  end

  local SETTINGS = {
    { "momentum", { lr = 0.05, momentum = 0.5, nesterov = 1 } },
    { "ftrl", { lr = 0.5, beta = 0.25, l1 = 0.25 } },
    { "ftrl", { lr = 0.2, beta = 0.5, l1 = 0.15, l2 = 3 } },
  }
  for form, make in pairs(FORMS) do
    for _, setting in ipairs(SETTINGS) do
      local name, rates = setting[1], setting[2]
      it(("%s follow the slow loop in %s form in every kernel family, from any start, %s"):format(
        name, form, require "moonrank.json".encode(rates)), function()
        for _, family in ipairs(g.families()) do
          mr.check(C.mr_isa_set(family))
          local random, width = helper.random(5), 37
          local c = make(width, { optimizer = name, rates = rates })
          local slow, to_zero, from_zero = {}, 0, 0
          for i = 1, width do
            c.w[i - 1] = i % 3 == 0 and 0 or random() - 0.5
            slow[i] = learner(name, rates, c.w[i - 1])
          end
          for t = 1, 30 do
            local factor = t > 20 and 0.25 or 1
            mr.check(C.mr_run_set_rate(c.run.handle, factor))
            local gradient = {}
            for i = 1, width do gradient[i] = i % 5 == t % 5 and 0 or random() - 0.5 end
            c.step(gradient)
            for i = 1, width do
              local before = slow[i].w
              slow[i].step(gradient[i], t, factor)
              near(slow[i].w, c.w[i - 1], ("weight %d after step %d in %s"):format(i, t, family))
              if before ~= 0 and slow[i].w == 0 then to_zero = to_zero + 1 end
              if before == 0 and slow[i].w ~= 0 then from_zero = from_zero + 1 end
            end
          end
          if rates.l1 then assert(to_zero > 20 and from_zero > 20, "l1 was not tested") end
        end
        C.mr_isa_set "auto"
      end)
    end
  end

  it("ftrl at a rate of zero, or near it, moves nothing", function()
    local c = dense_case(1, { optimizer = "ftrl", rates = { l1 = 0.5 } })
    c.step { 0.75 }
    local before = c.w[0]
    assert(before < 0)
    for _, factor in ipairs { 0, 1e-40 } do
      mr.check(C.mr_run_set_rate(c.run.handle, factor))
      c.step { 1 }
      assert.equal(before, c.w[0])
    end
    mr.check(C.mr_run_set_rate(c.run.handle, 1))
    c.step { 1 }
    local slow = learner("ftrl", { l1 = 0.5 }, 0)
    slow.step(0.75, 1)
    slow.step(1, 2)
    near(slow.w, c.w[0], "the weight")
  end)

  it("leave a weight without gradient where it is", function()
    for _, make in pairs(FORMS) do
      for _, name in ipairs(NAMES) do
        local rates = PRESETS[name].eps and { eps = 1e-30 } or {}
        local c = make(1, { optimizer = name, rates = rates })
        local before = c.w[0]
        for _ = 1, 3 do c.step { 0 } end
        assert.equal(before, c.w[0])
      end
    end
  end)

  it("begin anew with every run, dense weights and rows alike", function()
    for _, name in ipairs { "adagrad", "adam", "momentum", "ftrl" } do
      local schema = g.schema { { name = "id", type = "id" },
        { name = "r", type = "vector", width = 1 } }
      local b = g.builder(schema)
      local y = b:bias(b:lookup { column = "id", dim = 1 }, { name = "b" })
      b:probe(y, b:column { column = "r" })
      local batch, model = g.batch(schema, 1), g.model(b)
      C.mr_batch_keys(batch, 0)[0] = 77
      g.fill(batch, schema, "r", 1, function() return 0.5 end)
      local function three_steps()
        local run = g.run(model, { optimizer = name })
        local row, bias = C.mr_model_row(model, 0, 77), g.weight(model, "b.bias")
        local from_row, from_bias = row ~= nil and row[0] or 0, bias[0]
        for _ = 1, 3 do
          g.gradient(run, batch)
          g.update(run)
        end
        row = C.mr_model_row(model, 0, 77)
        return row[0] - from_row, bias[0] - from_bias
      end
      three_steps()
      local row, bias = three_steps()
      near(bias, row, name)
      local slow = learner(name, nil, 0)
      for t = 1, 3 do slow.step(0.5, t) end
      near(slow.w, row, name)
    end
  end)
end)

-- Many rows, of two parts of 5 and 12 numbers that are both read, in the batch and once each: the
-- gradient of a row is r / n. `l2`: nil, or a penalty, with which
-- each row is looked at by itself.
local function check_many_rows(name, l2)
  local n, width, keys = 50, 17, {}
  local schema = g.schema { { name = "id", type = "id" },
    { name = "ra", type = "vector", width = 5 }, { name = "rb", type = "vector", width = 12 } }
  local b = g.builder(schema)
  b:probe(b:lookup { column = "id", dim = 5, part = "p" }, b:column { column = "ra" })
  b:probe(b:lookup { column = "id", dim = 12, part = "q" }, b:column { column = "rb" })
  local batch, model = g.batch(schema, n), g.model(b)
  local run = g.run(model, { optimizer = name, table_l2 = l2 })
  local random, row, slow = helper.random(9), mr.new "float *[1]", {}
  for i = 1, n do
    keys[i] = 2 ^ 40 * random(4000) + i
    C.mr_batch_keys(batch, 0)[i - 1] = keys[i]
    mr.check(C.mr_model_make_row(model, 0, keys[i], row))
    slow[i] = {}
    for e = 1, width do
      row[0][e - 1] = random() - 0.5
      slow[i][e] = learner(name, nil, row[0][e - 1])
    end
  end
  for t = 1, 5 do
    local ra = g.fill(batch, schema, "ra", 5 * n, function() return random() - 0.5 end)
    local rb = g.fill(batch, schema, "rb", 12 * n, function() return random() - 0.5 end)
    g.gradient(run, batch)
    g.update(run)
    for i = 1, n do
      for e = 1, width do
        local r = e <= 5 and ra[5 * (i - 1) + e - 1] or rb[12 * (i - 1) + e - 6]
        slow[i][e].step(r / n + (l2 or 0) * slow[i][e].w, t)
        near(slow[i][e].w, C.mr_model_row(model, 0, keys[i])[e - 1],
          ("number %d of row %d after step %d"):format(e, i, t))
      end
    end
  end
end

-- ---- tables: which rows move ----

-- Two columns of one table: `a` reads the part "p" (2 wide), `b` the part "q" (3 wide).
local A, B = 0, 1
local PARTS = { { column = A, name = "p", first = 0, dim = 2 },
  { column = B, name = "q", first = 2, dim = 3 } }
local KEYS = { 0, 5, 6, 7, 900 } -- and one that no batch has
local LONELY = 901

local function table_case(options)
  local schema = g.schema { { name = "a", type = "id", table = "t" },
    { name = "b", type = "id", table = "t" },
    { name = "ra", type = "vector", width = 2 }, { name = "rb", type = "vector", width = 3 } }
  local b = g.builder(schema)
  b:probe(b:lookup { column = "a", dim = 2, part = "p" }, b:column { column = "ra" })
  b:probe(b:lookup { column = "b", dim = 3, part = "q" }, b:column { column = "rb" })
  local model = g.model(b)
  return schema, model, g.run(model, options)
end

-- What one batch does to the gradient of every key's parts: sums over occurrences, over n samples.
local function fill_batch(schema, random, n, keys)
  local batch, sums = g.batch(schema, n), {}
  for _, part in ipairs(PARTS) do
    local ids = C.mr_batch_keys(batch, part.column)
    local r = C.mr_batch_floats(batch, schema.columns[part.column == A and "ra" or "rb"])
    for i = 0, n - 1 do
      local key = keys[random(#keys)]
      ids[i] = key
      sums[key] = sums[key] or {}
      sums[key][part.name] = sums[key][part.name] or { 0, 0, 0 }
      local sum = sums[key][part.name]
      for e = 0, part.dim - 1 do
        r[i * part.dim + e] = random() - 0.5
        sum[e + 1] = sum[e + 1] + r[i * part.dim + e] / n
      end
    end
  end
  return batch, sums
end

local function each_number(key, f)
  for _, part in ipairs(PARTS) do
    for e = 1, part.dim do f(part, e, ("key %d, part %s[%d]"):format(key, part.name, e)) end
  end
end

local function all_keys()
  local keys = { LONELY }
  for _, key in ipairs(KEYS) do keys[#keys + 1] = key end
  return keys
end

local function check_table(name, all, l2, l1)
  local schema, model, run = table_case { optimizer = name, rows_all = all, table_l1 = l1,
    table_l2 = l2 }
  local random, slow = helper.random(5), {}
  local row = mr.new "float *[1]"
  for _, key in ipairs(all_keys()) do
    mr.check(C.mr_model_make_row(model, 0, key, row))
    slow[key] = {}
    each_number(key, function(part, e)
      row[0][part.first + e - 1] = random() - 0.5
      slow[key][part.first + e] = learner(name, nil, row[0][part.first + e - 1])
    end)
  end
  for t = 1, 6 do
    -- Few keys a batch, so that some rows and some parts are missing from it.
    local batch, sums = fill_batch(schema, random, 3 + t % 3, { KEYS[random(#KEYS)],
      KEYS[random(#KEYS)] })
    g.gradient(run, batch)
    g.update(run)
    for _, key in ipairs(all_keys()) do
      each_number(key, function(part, e, what)
        local number = slow[key][part.first + e]
        local sum = sums[key] and sums[key][part.name]
        if sum or all then
          number.step((sum and sum[e] or 0) + (l2 or 0) * number.w + (l1 or 0) * sign(number.w), t)
        end
        near(number.w, C.mr_model_row(model, 0, key)[part.first + e - 1],
          ("%s after step %d"):format(what, t))
      end)
    end
  end
end

describe("rows of tables", function()
  for _, name in ipairs(NAMES) do
    it(("that a batch has many of step with %s, each by its own gradient"):format(name), function()
      check_many_rows(name)
      check_many_rows(name, 0.1)
    end)
    it(("step with %s when the batch has them, each part by its own"):format(name),
      function() check_table(name, false) end)
    it(("of the batch carry the l2 penalty with %s"):format(name),
      function() check_table(name, false, 0.1) end)
    it(("all step with %s in every batch with rows: all"):format(name),
      function() check_table(name, true) end)
    it(("all step with %s, the penalty included, with rows: all"):format(name),
      function() check_table(name, true, 0.1) end)
    it(("carry the l1 penalty with %s, alone and with l2, rows: touched and all"):format(name),
      function()
        check_table(name, false, 0, 0.03125)
        check_table(name, true, 0, 0.03125)
        check_table(name, true, 0.1, 0.03125)
      end)
  end

  it("step by their own optimizer where one is given", function()
    local schema = g.schema { { name = "id", type = "id" },
      { name = "r", type = "vector", width = 1 } }
    local b = g.builder(schema)
    local y = b:bias(b:lookup { column = "id", dim = 1 }, { name = "b" })
    b:probe(y, b:column { column = "r" })
    local batch, model, pool = g.batch(schema, 1), g.model(b), require "moonrank.pool".new(1)
    C.mr_batch_keys(batch, 0)[0] = 77
    g.fill(batch, schema, "r", 1, function() return 0.5 end)
    local sgd, adagrad = mr.new("mr_option[1]", { { name = "lr", number = 0.25 } }),
      mr.new("mr_option[1]", { { name = "lr", number = 2 } })
    local out = mr.new "mr_run *[1]"
    mr.check(C.mr_run_new(out, model, pool.handle, mr.new("mr_run_options", { batch = 1,
      dense = { name = "sgd", options = sgd, n_options = 1 },
      tables = { name = "adagrad", options = adagrad, n_options = 1 } })))
    local run = { handle = mr.gc(out[0], C.mr_run_free) }
    local start = mr.new "float *[1]"
    mr.check(C.mr_model_make_row(model, 0, 77, start))
    local from = start[0][0]
    g.gradient(run, batch)
    g.update(run)
    near(-0.25 * 0.5, g.weight(model, "b.bias")[0], "the bias")
    near(from - 2, C.mr_model_row(model, 0, 77)[0], "the row") -- 2 * 0.5 / sqrt(0.25)
  end)
end)

-- ---- penalties on dense weights ----

describe("the dense l2 penalty", function()
  it("pulls on weights, not on biases", function()
    local schema = g.schema { { name = "x", type = "number" }, { name = "r", type = "number" } }
    local b = g.builder(schema)
    b:probe(b:dense(b:column { column = "x" }, { out = 1, name = "d", offset = 3 }),
      b:column { column = "r" })
    local batch, model = g.batch(schema, 2), g.model(b)
    local x, r = { 2, -1 }, { 0.5, 0.25 }
    g.fill(batch, schema, "x", 2, function(i) return x[i + 1] end)
    g.fill(batch, schema, "r", 2, function(i) return r[i + 1] end)
    local run = g.run(model, { rates = { lr = 0.5 }, dense_l2 = 0.125 })
    local w, bias = g.weight(model, "d.weight"), g.weight(model, "d.bias")
    w[0] = 4
    mr.check(C.mr_model_changed(model))
    g.gradient(run, batch)
    near(0.375, C.mr_run_weight_gradient(run.handle, 0)[0], "the weight's gradient of the loss")
    near(0.375, C.mr_run_weight_gradient(run.handle, 1)[0], "the bias's gradient")
    g.update(run)
    near(4 - 0.5 * 0.875, w[0], "the weight")
    near(3 - 0.5 * 0.375, bias[0], "the bias")
  end)
end)

describe("the dense l1 penalty", function()
  it("pulls on weights by their sign, on zeros and biases not", function()
    local schema = g.schema { { name = "x", type = "vector", width = 3 },
      { name = "r", type = "number" } }
    local b = g.builder(schema)
    b:probe(b:dense(b:column { column = "x" }, { out = 1, name = "d", offset = 3 }),
      b:column { column = "r" })
    local batch, model = g.batch(schema, 1), g.model(b)
    g.fill(batch, schema, "x", 3, function() return 0 end)
    g.fill(batch, schema, "r", 1, function() return 1 end)
    local run = g.run(model, { rates = { lr = 0.5 }, dense_l1 = 0.25, dense_l2 = 0.125 })
    local w, bias = g.weight(model, "d.weight"), g.weight(model, "d.bias")
    w[0], w[1], w[2] = 4, -2, 0
    mr.check(C.mr_model_changed(model))
    g.gradient(run, batch)
    g.update(run)
    assert.same({ 4 - 0.5 * (0.25 + 0.5), -2 + 0.5 * (0.25 + 0.25), 0, 3 - 0.5 },
      { w[0], w[1], w[2], bias[0] })
  end)
end)

-- ---- clipping ----

-- As torch does it with clip_grad_value_, then clip_grad_norm_, then an optimizer with
-- weight_decay: the gradient of the loss is clipped, the penalty is added to what is left. Rows
-- have a clipping by their own norm between the two.
local function clipped(gradients, o)
  local function norm_of(list)
    local sum = 0
    for _, x in ipairs(list) do sum = sum + x * x end
    return math.sqrt(sum)
  end
  local all, result = {}, {}
  for key, gradient in pairs(gradients) do
    local list = {}
    for i, x in ipairs(gradient) do
      local most = o.clip_value or math.huge
      list[i] = math.max(-most, math.min(most, x))
    end
    local norm = norm_of(list)
    if key ~= "bias" and o.clip_row and norm > o.clip_row then
      for i, x in ipairs(list) do list[i] = x * o.clip_row / norm end
    end
    for _, x in ipairs(list) do all[#all + 1] = x end
    result[key] = list
  end
  local norm = norm_of(all)
  local scale = o.clip_norm and norm > o.clip_norm and o.clip_norm / norm or 1
  for _, list in pairs(result) do
    for i, x in ipairs(list) do list[i] = x * scale end
  end
  return result, scale
end

local function check_clipping(o)
  local schema = g.schema { { name = "a", type = "id", table = "t" },
    { name = "b", type = "id", table = "t" },
    { name = "ra", type = "vector", width = 2 }, { name = "rb", type = "vector", width = 3 },
    { name = "x", type = "vector", width = 2 }, { name = "rx", type = "vector", width = 2 } }
  local builder = g.builder(schema)
  builder:probe(builder:lookup { column = "a", dim = 2, part = "p" },
    builder:column { column = "ra" })
  builder:probe(builder:lookup { column = "b", dim = 3, part = "q" },
    builder:column { column = "rb" })
  builder:probe(builder:bias(builder:column { column = "x" }, { name = "d" }),
    builder:column { column = "rx" })
  local model = g.model(builder)
  local run, random, slow = g.run(model, o), helper.random(9), {}
  local bias, row = g.weight(model, "d.bias"), mr.new "float *[1]"
  local numbers = { bias = bias } -- what moves, by key
  for _, key in ipairs(KEYS) do
    mr.check(C.mr_model_make_row(model, 0, key, row))
    for i = 0, 4 do row[0][i] = random() - 0.5 end
    numbers[key] = row[0]
  end
  for key, list in pairs(numbers) do
    slow[key] = {}
    for i = 1, key == "bias" and 2 or 5 do slow[key][i] = learner(o.optimizer, nil, list[i - 1]) end
  end
  local scaled = 0
  for t = 1, 5 do
    local n = 4 + t
    local batch, sums = fill_batch(schema, random, n, KEYS)
    local gradients = { bias = { 0, 0 } }
    g.fill(batch, schema, "rx", 2 * n, function(i)
      local r = math.floor(random() * 64 - 32) / 16
      gradients.bias[i % 2 + 1] = gradients.bias[i % 2 + 1] + r / n
      return r
    end)
    for key, parts in pairs(sums) do
      local p, q = parts.p or { 0, 0 }, parts.q or { 0, 0, 0 }
      gradients[key] = { p[1], p[2], q[1], q[2], q[3] }
    end
    local expected, scale = clipped(gradients, o)
    if scale < 1 then scaled = scaled + 1 end
    g.gradient(run, batch)
    g.update(run)
    for key, list in pairs(expected) do
      for i, gradient in ipairs(list) do
        local number = slow[key][i]
        local part = i <= 2 and "p" or "q"
        if key == "bias" then
          number.step(gradient, t) -- a bias has no penalty
        elseif sums[key][part] then
          number.step(gradient + (o.table_l2 or 0) * number.w, t)
        end
        near(number.w, numbers[key][i - 1], ("%s[%d] after step %d"):format(key, i, t))
      end
    end
  end
  if o.clip_norm then assert(scaled > 1, "the norm never was too large: nothing was tested") end
end

describe("clipping", function()
  for what, clip in pairs { ["by value"] = { clip_value = 0.05 }, ["by row"] = { clip_row = 0.1 },
    ["by the global norm"] = { clip_norm = 0.2 },
    ["in all three ways"] = { clip_value = 0.15, clip_row = 0.1, clip_norm = 0.2 } } do
    for _, optimizer in ipairs { "sgd", "adagrad" } do
      it(("%s comes before the penalty and %s"):format(what, optimizer), function()
        local o = { optimizer = optimizer, table_l2 = 0.25 }
        for name, value in pairs(clip) do o[name] = value end
        check_clipping(o)
      end)
    end
  end

  it("leaves the penalty on dense weights as it is", function()
    local schema = g.schema { { name = "x", type = "number" }, { name = "r", type = "number" } }
    local b = g.builder(schema)
    b:probe(b:dense(b:column { column = "x" }, { out = 1, name = "d" }), b:column { column = "r" })
    local batch, model = g.batch(schema, 1), g.model(b)
    g.fill(batch, schema, "x", 1, function() return 3 end)
    g.fill(batch, schema, "r", 1, function() return 4 end) -- gradients: weight 12, bias 4
    local w, bias = g.weight(model, "d.weight"), g.weight(model, "d.bias")
    local function step(clip)
      w[0], bias[0], clip.rates, clip.dense_l2 = 8, 0, { lr = 1 }, 0.125
      mr.check(C.mr_model_changed(model))
      local run = g.run(model, clip)
      g.gradient(run, batch)
      g.update(run)
      return w[0], bias[0]
    end
    assert.same({ 8 - 12 - 1, -4 }, { step {} })
    assert.same({ 8 - 5 - 1, -4 }, { step { clip_value = 5 } })
    assert.same({ 8 - 12 - 1, -4 }, { step { clip_row = 1 } }) -- there are no rows
    local got_w, got_bias = step { clip_norm = 1 }
    near(8 - 12 / math.sqrt(160) - 1, got_w, "the weight")
    near(-4 / math.sqrt(160), got_bias, "the bias")
    assert.same({ 8 - 12 - 1, -4 }, { step { clip_norm = 12.65 } }) -- the norm is 12.649
  end)

  it("by the norm refuses a gradient that is not finite, and takes no step", function()
    local schema = g.schema { { name = "id", type = "id" }, { name = "x", type = "number" },
      { name = "r", type = "number" } }
    local b = g.builder(schema)
    b:probe(b:multiply(b:lookup { column = "id", dim = 1, start = "zero" },
      b:column { column = "x" }), b:column { column = "r" })
    local batch, model = g.batch(schema, 1), g.model(b)
    C.mr_batch_keys(batch, 0)[0] = 77
    local run = g.run(model, { clip_norm = 1 })
    local function step(x)
      g.fill(batch, schema, "x", 1, function() return x end)
      g.fill(batch, schema, "r", 1, function() return x end)
      assert.equal(0, g.gradient(run, batch)) -- the loss is finite in any case
      g.update(run)
    end
    helper.raises("the gradient of step 1 is not finite", step, 1e30) -- the row's is 1e60
    assert.equal(0, C.mr_model_row(model, 0, 77)[0])
    assert.equal(0, tonumber(C.mr_run_steps(run.handle)))
    step(2) -- the gradient is 4
    near(-0.1, C.mr_model_row(model, 0, 77)[0], "the row")
  end)

  it("takes numbers above zero", function()
    for _, name in ipairs { "clip_value", "clip_row", "clip_norm" } do
      helper.raises(name .. " is -1, expected 1e-30 to 1e+30, or 0 for none", dense_case, 1,
        { [name] = -1 })
      assert.has_error(function() dense_case(1, { [name] = 0 / 0 }) end)
    end
  end)
end)

-- ---- messages ----

describe("the optimizer's options", function()
  local function make(optimizer, rates)
    return function() dense_case(1, { optimizer = optimizer, rates = rates }) end
  end

  it("are checked, name and range", function()
    helper.raises('there is no optimizer "sdg"', make("sdg", {}))
    helper.raises('optimizer sgd has no option "eps"', make("sgd", { eps = 1 }))
    helper.raises("sgd.lr is -1, expected 0 to 1e+06", make("sgd", { lr = -1 }))
    helper.raises("sgd.lr is inf, expected 0 to 1e+06", make("sgd", { lr = math.huge }))
    assert.has_error(make("sgd", { lr = 0 / 0 }))
    helper.raises("adagrad.lr is 2e+06, expected 0 to 1e+06", make("adagrad", { lr = 2e6 }))
    helper.raises("adagrad.start is -0.1, expected 0 to 1e+06", make("adagrad", { start = -0.1 }))
    helper.raises("adagrad.eps is 2, expected 1e-30 to 1", make("adagrad", { eps = 2 }))
    helper.raises("adam.beta1 is 1, expected 0 to 0.999999", make("adam", { beta1 = 1 }))
    helper.raises("adam.beta2 is 1, expected 0 to 0.999999", make("adam", { beta2 = 1 }))
    helper.raises("adam.beta1 is -0.5, expected 0 to 0.999999", make("adam", { beta1 = -0.5 }))
    helper.raises("momentum.momentum is 1, expected 0 to 0.999999",
      make("momentum", { momentum = 1 }))
    helper.raises("momentum.nesterov is 2, expected 0 to 1", make("momentum", { nesterov = 2 }))
    helper.raises("ftrl.beta is 0, expected 1e-30 to 1e+06", make("ftrl", { beta = 0 }))
    helper.raises("ftrl.l1 is -1, expected 0 to 1e+06", make("ftrl", { l1 = -1 }))
  end)

  it("refuse an eps of zero, by which a weight without gradient would become NaN", function()
    helper.raises("adam.eps is 0, expected 1e-30 to 1", make("adam", { eps = 0 }))
    helper.raises("adagrad.eps is 0, expected 1e-30 to 1", make("adagrad", { eps = 0 }))
  end)

  it("are described", function()
    local info, option = mr.new "mr_optimizer_info", mr.new "mr_op_option_info"
    local found = {}
    for i = 0, C.mr_optimizer_count() - 1 do
      mr.check(C.mr_optimizer_describe(i, info))
      local name = mr.string(info.name)
      found[name] = {}
      for k = 0, info.n_options - 1 do
        mr.check(C.mr_optimizer_option_describe(i, k, option))
        found[name][mr.string(option.name)] = option.preset
        assert(option.least <= option.preset and option.preset <= option.most)
      end
    end
    assert.same(PRESETS, found)
    helper.raises("optimizer 5, but there are 5", function()
      mr.check(C.mr_optimizer_describe(5, info))
    end)
    helper.raises("optimizer 0 has no option 1", function()
      mr.check(C.mr_optimizer_option_describe(0, 1, option))
    end)
  end)
end)

describe("a step", function()
  it("needs a gradient that has not been used yet", function()
    local c = dense_case(1)
    local message = "there is no gradient to step along; run mr_run_gradient first"
    helper.raises(message, g.update, c.run)
    c.step { 1 }
    helper.raises(message, g.update, c.run)
    assert.equal(1, tonumber(C.mr_run_steps(c.run.handle)))
  end)

  it("takes a rate factor of zero to a million", function()
    local c = dense_case(1)
    assert.has_error(function() mr.check(C.mr_run_set_rate(c.run.handle, 0 / 0)) end)
    for _, bad in ipairs { -1, 2e6, math.huge } do
      helper.raises(("the rate factor is %g, expected 0 to 1e+06"):format(bad), function()
        mr.check(C.mr_run_set_rate(c.run.handle, bad))
      end)
    end
    mr.check(C.mr_run_set_rate(c.run.handle, 0))
    c.step { 1 }
    assert.equal(0, c.w[0])
  end)
end)
