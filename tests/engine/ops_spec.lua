-- Every op of the engine's list: the gradient of every input and weight against central
-- differences, in every kernel family that this CPU has.
local Builder = require "moonrank.builder"
local g = require "graph_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local C = mr.C

local STEP = 3e-3 -- smaller drowns in float's rounding, larger in curvature
local TOLERANCE = 1e-3 -- of the largest entry of the gradient
local SIZES = { 3, 1, 1, 4, 2, 9, 1, 5, 3, 2, 2, 6, 1 } -- samples of each request
local SAMPLES = 40
local CLICKS = { 2, 0, 3, 1, 5, 1, 0, 2, 1, 4, 0, 1, 0 } -- behaviours of each request
local SEEN = {} -- and of each sample
for s = 1, SAMPLES do SEEN[s] = s * 3 % 4 end

local function sum(list)
  local total = 0
  for _, n in ipairs(list) do total = total + n end
  return total
end

local DOMAINS = {
  [""] = { rows = SAMPLES },
  r = { rows = #SIZES, domain = "request" },
  s = { rows = sum(CLICKS), domain = "request", sequence = "click" },
  a = { rows = sum(SEEN), sequence = "seen" },
}

-- "3r 2 | dim=2" as { { width = 3, rows =, domain = "request" }, { width = 2, rows = } },
-- { dim = 2 }.
local function parse(sample)
  local shapes, options = sample:match "^([^|]*)|?(.*)$"
  local inputs, given = {}, {}
  for width, letter in shapes:gmatch "(%d+)(%a?)" do
    local d = DOMAINS[letter]
    inputs[#inputs + 1] = { width = tonumber(width), rows = d.rows, domain = d.domain,
      sequence = d.sequence }
  end
  for name, value in options:gmatch "([%w_]+)=([%w_.]+)" do
    given[name] = tonumber(value) or value
  end
  return inputs, given
end

-- A dense layer that becomes this op and others: over the inputs and, where they are to be, the
-- difference and the product of the first two.
local function build_dense(b, op, nodes, options)
  local parts = { unpack(nodes) }
  if op.name == "dense_pairs" then
    parts[#parts + 1] = b:subtract(nodes[1], nodes[2])
    parts[#parts + 1] = b:multiply(nodes[1], nodes[2])
  end
  return b:dense(b:concat(parts), options)
end

-- Inputs as vector columns, the op, and a probe that weighs its output by random numbers.
local function build(op, inputs, options, out_width)
  local columns = {}
  for i, input in ipairs(inputs) do
    columns[i] = { name = "x" .. i, type = "vector", width = input.width, domain = input.domain,
      sequence = input.sequence }
  end
  local width = out_width or op.name == "broadcast" and inputs[1].width or 1
  columns[#columns + 1] = { name = "r", type = "vector", width = width }
  columns[#columns + 1] = { name = "click.r", type = "vector", width = width, domain = "request",
    sequence = "click" }
  columns[#columns + 1] = { name = "seen.r", type = "vector", width = width, sequence = "seen" }
  local schema = g.schema(columns, { { name = "click", domain = "request" }, { name = "seen" } })
  local b = g.builder(schema)
  local nodes = {}
  for i in ipairs(inputs) do
    nodes[i] = b:column { column = "x" .. i }
    b:watch(nodes[i])
  end
  local y
  if op.name:find "^dense_" then
    y = build_dense(b, op, nodes, options)
  elseif op.internal then -- reached by mixing domains
    y = b:add { nodes[1], b:column { column = options.meets and options.meets .. ".r" or "r" } }
  elseif op.variadic then
    y = b[op.name](b, nodes, options)
  else
    nodes[#op.inputs + 1] = options
    y = b[op.name](b, unpack(nodes, 1, #op.inputs + 1))
    nodes[#op.inputs + 1] = nil
  end
  if not out_width then return nil, nil, nil, y.width end
  local r = b:column { column = "r" }
  local s = y.domain ~= "sample" and y.domain ~= "request" and y.domain:match "%a+$"
  if s then -- the rows of a sequence or its pairs, by random numbers of their own
    b:probe(b:pool(b:multiply(y, b:column { column = s .. ".r" }), { kind = "sum" }), r)
  else
    b:probe(y, r)
  end
  return schema, b, nodes
end

-- The worst difference from central differences over `n` numbers at `p`, against `gradient`.
local function compare(what, run, batch, p, n, gradient, changed)
  local largest, worst, analytic = 0, 0, {}
  for i = 0, n - 1 do
    analytic[i] = gradient[i] * SAMPLES
    largest = math.max(largest, math.abs(analytic[i]))
  end
  for i = 0, n - 1 do
    local before = p[i]
    p[i] = before + STEP
    local up = p[i]
    changed()
    local above = g.gradient(run, batch)
    p[i] = before - STEP
    local down = p[i]
    changed()
    local below = g.gradient(run, batch)
    p[i] = before
    worst = math.max(worst, math.abs((above - below) / (up - down) - analytic[i]))
  end
  changed()
  assert(largest > 0, what .. ": the gradient is zero")
  assert(worst < TOLERANCE * largest, ("%s: off by %.3g, largest entry %.3g"):format(what, worst,
    largest))
end

-- Away from zero by at least ten steps, where relu has its kink.
local function away_from_zero(random)
  return function()
    local x = 0.1 + random()
    return random() < 0.5 and -x or x
  end
end

local function check(op, sample)
  local inputs, options = parse(sample)
  local _, _, _, width = build(op, inputs, options)
  if op.name == "broadcast" then width = inputs[1].width end
  local schema, b, nodes = build(op, inputs, options, width)
  local batch = g.batch(schema, SIZES)
  g.set_lengths(batch, schema, "click", CLICKS)
  g.set_lengths(batch, schema, "seen", SEEN)
  local value = away_from_zero(helper.random(7))
  local p = {}
  for i, input in ipairs(inputs) do
    p[i] = g.fill(batch, schema, "x" .. i, input.rows * input.width, value)
  end
  g.fill(batch, schema, "r", SAMPLES * width, value)
  g.fill(batch, schema, "click.r", sum(CLICKS) * width, value)
  g.fill(batch, schema, "seen.r", sum(SEEN) * width, value)
  local model = g.model(b, 3)
  local run = g.run(model)
  local info = mr.new "mr_param_info"
  for i = 0, C.mr_model_params(model) - 1 do -- biases too must not be zero
    mr.check(C.mr_model_param(model, i, info))
    local w = C.mr_model_weights(model, i)
    for k = 0, info.rows * info.columns - 1 do w[k] = w[k] + 0.3 * value() end
  end
  mr.check(C.mr_model_changed(model))
  local function changed() mr.check(C.mr_model_changed(model)) end

  g.gradient(run, batch)
  local gradients = {}
  for i, input in ipairs(inputs) do
    local n = input.rows * input.width
    gradients[i] = mr.new("float[?]", n)
    mr.copy(gradients[i], C.mr_run_watched(run.handle, nodes[i].id), 4 * n)
  end
  local weights = {}
  for i = 0, C.mr_model_params(model) - 1 do
    mr.check(C.mr_model_param(model, i, info))
    if info.trained ~= 0 then
      local n = info.rows * info.columns
      local copy = mr.new("float[?]", n)
      mr.copy(copy, C.mr_run_weight_gradient(run.handle, i), 4 * n)
      weights[#weights + 1] = { mr.string(info.name), i, n, copy }
    end
  end
  for i, input in ipairs(inputs) do
    compare("input " .. i, run, batch, p[i], input.rows * input.width, gradients[i],
      function() end)
  end
  for _, w in ipairs(weights) do
    compare(w[1], run, batch, C.mr_model_weights(model, w[2]), w[3], w[4], changed)
  end
end

-- Ops that read the batch or end the graph have their own specs (lookup_spec, run_spec).
local ELSEWHERE = { column = true, length = true, lookup = true, logloss = true, probe = true }

describe("ops", function()
  after_each(function() C.mr_isa_set "auto" end)

  it("each have a gradient sample, or a spec of their own", function()
    for _, op in ipairs(Builder.ops()) do
      assert(#op.samples > 0 or ELSEWHERE[op.name], op.name)
    end
  end)

  for _, op in ipairs(Builder.ops()) do
    for _, sample in ipairs(op.samples) do
      for _, family in ipairs(g.families()) do
        it(("%s (%s) has the gradient of its forward pass in %s"):format(op.name, sample, family),
          function()
            mr.check(C.mr_isa_set(family))
            check(op, sample)
          end)
      end
    end
  end
end)
