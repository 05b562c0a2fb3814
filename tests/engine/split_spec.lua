-- Dense layers over inputs of several domains: ancestors first, with the bits of one product over
-- all inputs in that order; q - k and q * k of an attention unit inside the weights of q and k.
local g = require "graph_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local Pool = require "moonrank.pool"
local C = mr.C

local SIZES = { 3, 1, 2, 9, 1, 17, 4 } -- samples of each request
local CLICKS = { 2, 0, 13, 1, 100, 8, 3 } -- behaviours of each request
local SEEN = {} -- and of each sample

local function sum(list)
  local total = 0
  for _, n in ipairs(list) do total = total + n end
  return total
end

for s = 1, sum(SIZES) do SEEN[s] = s * 5 % 7 end

local ROWS = { u = #SIZES, a = sum(SIZES), b = sum(SIZES), z = sum(SIZES), k = sum(CLICKS),
  l = sum(CLICKS), s = sum(SEEN), r = sum(SIZES) }

-- Vectors u of the request, a, b and z (zeros) of the sample, k and l of clicks, s of seen.
local function new_schema(width)
  local function vector(name, domain, sequence)
    return { name = name, type = "vector", width = width, domain = domain, sequence = sequence }
  end
  return g.schema({ vector("u", "request"), vector "a", vector "b", vector "z",
    vector("k", "request", "click"), vector("l", "request", "click"), vector("s", nil, "seen"),
    { name = "r", type = "vector", width = 1 } },
    { { name = "click", domain = "request" }, { name = "seen" } })
end

local function make_batch(schema, width)
  local batch, random, values = g.batch(schema, SIZES), helper.random(5), {}
  g.set_lengths(batch, schema, "click", CLICKS)
  g.set_lengths(batch, schema, "seen", SEEN)
  for _, name in ipairs { "u", "a", "b", "z", "k", "l", "s", "r" } do
    values[name] = g.fill(batch, schema, name, ROWS[name] * (name == "r" and 1 or width),
      function() return name == "z" and 0 or random() - 0.5 end)
  end
  return batch, values
end

local function columns(b)
  local nodes = {}
  for _, name in ipairs { "u", "a", "b", "z", "k", "l", "s", "r" } do
    nodes[name] = b:column { column = name }
    if name ~= "z" and name ~= "r" then b:watch(nodes[name]) end
  end
  return nodes
end

-- Values of a node that has `rows` rows.
local function values_of(model, batch, node, rows, options)
  options = options or {}
  local out, pool = mr.new "mr_run *[1]", Pool.new(options.threads or 1)
  mr.check(C.mr_run_new_predict(out, model, pool.handle, mr.new("mr_run_options", { batch = 64,
    slice_bytes = options.slice_bytes or 0 }), mr.new("int32_t[1]", node.id), 1))
  local run, values = mr.gc(out[0], C.mr_run_free), mr.new("float[?]", rows * node.width)
  mr.check(C.mr_run_predict(run, batch, mr.new("float *[1]", values)))
  local list = {}
  for i = 1, rows * node.width do list[i] = values[i - 1] end
  return list
end

local function pairs_of()
  local n = 0
  for i, size in ipairs(SIZES) do n = n + size * CLICKS[i] end
  return n
end

-- The same layer twice: over parts of several domains, and over them in one, ancestors first. What
-- is of an ancestor is brought there by adding zeros. names, order: of the two concats' inputs.
local CASES = {
  { what = "of a request and its samples", rows = ROWS.a, order = { "u", "a", "b" },
    names = { "a", "u", "b" },
    parts = function(n) return { n.a, n.u, n.b } end,
    together = function(b, n) return { b:add { n.u, n.z }, n.a, n.b } end },
  { what = "of a sample and its behaviours", rows = ROWS.s, order = { "a", "s" },
    names = { "s", "a" },
    parts = function(n) return { n.s, n.a } end,
    together = function(b, n) return { b:add { n.a, b:multiply(n.z, n.s) }, n.s } end },
  { what = "of a request and its behaviours", rows = ROWS.k, order = { "u", "k" },
    names = { "k", "u" },
    parts = function(n) return { n.k, n.u } end,
    together = function(b, n) return { b:add { n.u, b:subtract(n.k, n.k) }, n.k } end },
  { what = "of a request and its samples, in a concat of the concat", rows = ROWS.a,
    order = { "u", "a", "b" },
    names = { "a", "u", "b" },
    parts = function(n, b) return { b:concat { n.a, n.u }, n.b } end,
    together = function(b, n) return { b:add { n.u, n.z }, n.a, n.b } end },
  { what = "of a request, its samples and its behaviours", rows = pairs_of(),
    order = { "u", "a", "k", "l" },
    names = { "k", "a", "l", "u" },
    parts = function(n) return { n.k, n.a, n.l, n.u } end,
    together = function(b, n)
      local zero = b:multiply(n.z, n.k)
      return { b:add { n.u, zero }, b:add { n.a, zero }, b:add { n.k, zero }, b:add { n.l, zero } }
    end },
}

-- The graph of a case, its model and the layer.
local function build(case, schema, width, out, is_together)
  local b = g.builder(schema)
  local n = columns(b)
  local parts = is_together and case.together(b, n) or case.parts(n, b)
  local y = b:relu(b:dense(b:concat(parts), { out = out, name = "layer" }))
  local top = y
  while top.domain ~= "sample" and top.domain ~= "request" do
    top = b:pool(top, { kind = "sum" })
  end
  b:probe(b:dense(top, { out = 1, name = "top" }), n.r)
  local model = g.model(b, 2)
  if is_together then -- rows of the weight in the order of the other's concat
    local other = g.weight(g.model((select(3, build(case, schema, width, out, false))), 2),
      "layer.weight")
    local w, place = g.weight(model, "layer.weight"), {}
    for i, name in ipairs(case.names) do place[name] = i - 1 end
    for i, name in ipairs(case.order) do
      mr.copy(w + (i - 1) * width * out, other + place[name] * width * out, 4 * width * out)
    end
    mr.check(C.mr_model_changed(model))
  end
  return model, y, b, n
end

local function has_op(b, name)
  local info = mr.new "mr_node_info"
  for i = 0, C.mr_graph_nodes(b.handle) - 1 do
    mr.check(C.mr_graph_describe(b.handle, i, info))
    if mr.string(info.op) == name then return true end
  end
  return false
end

describe("a dense layer over inputs of several domains", function()
  after_each(function() C.mr_isa_set "auto" end)

  for _, case in ipairs(CASES) do
    it("has the bits of one product, ancestors first: " .. case.what, function()
      for _, family in ipairs(g.families()) do
        mr.check(C.mr_isa_set(family))
        for _, shape in ipairs { { 3, 5 }, { 16, 50 }, { 1, 2 } } do
          local width, out = unpack(shape)
          local schema = new_schema(width)
          local batch = make_batch(schema, width)
          local split, y, b = build(case, schema, width, out, false)
          local whole, z, c = build(case, schema, width, out, true)
          assert(has_op(b, "dense_more") and not has_op(c, "dense_more"))
          local expected = values_of(whole, batch, z, case.rows)
          assert.same(expected, values_of(split, batch, y, case.rows))
          assert.same(expected, values_of(split, batch, y, case.rows,
            { slice_bytes = 1, threads = 3 }))
        end
      end
    end)

    it("has its gradients, within rounding: " .. case.what, function()
      local width, out = 5, 20
      local schema = new_schema(width)
      local batch = make_batch(schema, width)
      local function gradients(is_together)
        local model, _, _, n = build(case, schema, width, out, is_together)
        local run, found = g.run(model), {}
        g.gradient(run, batch)
        local _, rows, count, p = g.weight(model, "layer.weight")
        local w, place = C.mr_run_weight_gradient(run.handle, p), {}
        for i, name in ipairs(is_together and case.order or case.names) do place[name] = i - 1 end
        for _, name in ipairs(case.order) do
          for i = 0, width * count - 1 do
            found[#found + 1] = w[place[name] * width * count + i]
          end
          local dx = C.mr_run_watched(run.handle, n[name].id)
          for i = 0, ROWS[name] * width - 1 do found[#found + 1] = dx[i] end
        end
        assert.equal(#case.order * width, rows)
        return found
      end
      helper.all_near(gradients(true), gradients(false), 1e-5)
    end)
  end

  it("computes what an ancestor adds once for each of its rows", function()
    local schema = new_schema(4)
    local b = g.builder(schema)
    local n = columns(b)
    local y = b:dense(b:concat { n.a, n.u }, { out = 8 })
    b:probe(b:dense(y, { out = 1 }), n.r)
    local run, line, info = g.run(g.model(b)), mr.new "mr_profile_line", mr.new "mr_node_info"
    mr.check(C.mr_run_profile(run.handle, 1))
    g.gradient(run, (make_batch(schema, 4)))
    local rows = {}
    for i = 0, C.mr_run_profile_lines(run.handle) - 1 do
      mr.check(C.mr_run_profile_line(run.handle, i, line))
      if mr.string(line.what) == "forward" then
        mr.check(C.mr_graph_describe(b.handle, line.node, info))
        local op = mr.string(info.op)
        rows[op] = (rows[op] or 0) + tonumber(line.rows)
      end
    end
    assert.equal(#SIZES, rows.dense_first)
    assert.equal(ROWS.a, rows.dense_more)
    assert.equal(0, rows.broadcast)
    assert.equal(0, rows.concat)
  end)

  it("is one node where its inputs are of one domain, or its output is one number", function()
    local b = g.builder(new_schema(4))
    local n = columns(b)
    b:dense(b:concat { n.a, n.b }, { out = 8 })
    b:dense(b:concat { n.a, n.u }, { out = 1 })
    assert(not has_op(b, "dense_first"))
  end)

  it("names the layer in its messages", function()
    local b = g.builder(new_schema(4))
    local n = columns(b)
    b:dense(b:concat { n.a, n.u }, { out = 8, name = "twice" })
    helper.raises('dense: there are two weights called "twice.weight"',
      function() b:dense(b:concat { n.a, n.u }, { out = 8, name = "twice" }) end)
  end)

  it("leaves the graph as it was where it is refused", function()
    local b = g.builder(new_schema(4))
    local n = columns(b)
    local x = b:concat { n.a, n.b, n.u, n.b, n.u }
    b:dense(x, { out = 8, name = "twice" })
    local nodes = C.mr_graph_nodes(b.handle)
    helper.raises('dense: there are two weights called "twice.weight"',
      function() b:dense(x, { out = 8, name = "twice" }) end)
    assert.equal(nodes, C.mr_graph_nodes(b.handle))
  end)
end)

describe("an attention unit's first layer", function()
  after_each(function() C.mr_isa_set "auto" end)

  -- Over q of the sample and k of clicks; the weights before q's and k's are another input's.
  local function unit(schema, out, outer)
    local b = g.builder(schema)
    local n = columns(b)
    local y = b:dense(b:concat { n.l, n.a, n.k, b:subtract(n.a, n.k), b:multiply(n.a, n.k) },
      { out = out, name = "layer" })
    b:probe(b:dense(b:pool(b:tanh(y), { kind = "sum" }), { out = outer or 1, name = "top" }), n.r)
    return b, y, g.model(b, 4)
  end

  -- Each output within (2 n + 8) 2^-24 of the sum of what is added up, n numbers of one input.
  it("is q W + k W + (q - k) W + q k W, within the rounding of its terms", function()
    for _, family in ipairs(g.families()) do
      mr.check(C.mr_isa_set(family))
      for _, shape in ipairs { { 16, 20 }, { 3, 5 }, { 33, 80 } } do
        local width, out = unpack(shape)
        local schema = new_schema(width)
        local batch, x = make_batch(schema, width)
        local b, y, model = unit(schema, out)
        assert(has_op(b, "dense_pairs"))
        local w, bias = g.weight(model, "layer.weight"), g.weight(model, "layer.bias")
        for o = 0, out - 1 do bias[o] = 0.01 * o - 0.1 end
        mr.check(C.mr_model_changed(model))
        local found, at = values_of(model, batch, y, pairs_of()), 0
        local sample, click = 0, 0
        for i, size in ipairs(SIZES) do
          for _ = 1, size do
            for t = click, click + CLICKS[i] - 1 do
              for o = 0, out - 1 do
                local exact, all = bias[o], math.abs(bias[o])
                local function add(row, value)
                  exact = exact + w[row * out + o] * value
                  all = all + math.abs(w[row * out + o] * value)
                end
                for e = 0, width - 1 do
                  local q, k = x.a[sample * width + e], x.k[t * width + e]
                  add(e, x.l[t * width + e])
                  add(width + e, q)
                  add(2 * width + e, k)
                  add(3 * width + e, q)
                  add(3 * width + e, -k)
                  add(4 * width + e, q * k)
                end
                at = at + 1
                local bound = (2 * width + 8) * 2 ^ -24 * all
                assert(math.abs(found[at] - exact) <= bound)
              end
            end
            sample = sample + 1
          end
          click = click + CLICKS[i]
        end
        assert.equal(#found, at)
      end
    end
  end)

  it("has the same bits in every kernel family, forward and backward, however it is cut", function()
    local function bits(family, options)
      mr.check(C.mr_isa_set(family))
      local schema = new_schema(20)
      local batch = make_batch(schema, 20)
      local _, y, model = unit(schema, 37)
      local run = g.run(model, options)
      g.gradient(run, batch)
      local _, rows, count, p = g.weight(model, "layer.weight")
      local list = values_of(model, batch, y, pairs_of(), options)
      local w = C.mr_run_weight_gradient(run.handle, p)
      for i = 0, rows * count - 1 do list[#list + 1] = w[i] end
      return list
    end
    local families = g.families()
    local expected = bits(families[1], {})
    for i = 2, #families do assert.same(expected, bits(families[i], {})) end
    assert.same(expected, bits("auto", { threads = 3 }))
  end)

  it("makes no row for a pair but its own outputs", function()
    local schema = new_schema(16)
    local b, _, model = unit(schema, 8)
    local run, line, info = g.run(model), mr.new "mr_profile_line", mr.new "mr_node_info"
    mr.check(C.mr_run_profile(run.handle, 1))
    g.gradient(run, (make_batch(schema, 16)))
    for i = 0, C.mr_run_profile_lines(run.handle) - 1 do
      mr.check(C.mr_run_profile_line(run.handle, i, line))
      if line.node >= 0 then mr.check(C.mr_graph_describe(b.handle, line.node, info)) end
      local op = line.node >= 0 and mr.string(info.op)
      if op == "broadcast" or op == "concat" or op == "subtract" or op == "multiply" then
        assert.equal(0, tonumber(line.rows), op)
      end
    end
  end)
end)

describe("parts of a dense layer in a file", function()
  local function add(b, op, inputs, options)
    local list, node = mr.new("mr_option[?]", 8), mr.new "int32_t[1]"
    local n = 0
    for name, value in pairs(options) do
      list[n].name = name
      if type(value) == "string" then list[n].text = value else list[n].number = value end
      n = n + 1
    end
    local ids = mr.new("int32_t[?]", #inputs, inputs)
    if C.mr_graph_add(b.handle, op, nil, ids, #inputs, list, n, node) == C.MR_OK then
      return node[0]
    end
    return nil, mr.last_error()
  end

  it("are refused where they are not what a layer becomes", function()
    local b = g.builder(new_schema(4))
    local n = columns(b)
    local function refused(message, ...)
      local _, found = add(b, ...)
      assert.equal(message, found)
    end
    local function first(rows, folds)
      return "dense_first", { n.u.id }, { out = 3, inputs = 8, rows = rows, folds = folds }
    end
    for _, rows in ipairs { "", "0", "0:3", "0:5", "5:4", "0:4,", "0:4+5", "0:4*2", "0:4+x",
      "0:0,0:4", "0:4+0+0+0+0+0", "9999999999:4", "0:4 " } do
      refused(('dense: rows is "%s", expected those of 4 inputs within 8'):format(rows),
        first(rows, ""))
    end
    for _, folds in ipairs { "4", "4:4", "4:4=0", "4:4=0-5", "5:4=0-0", "4:4=0-4;" } do
      refused(('dense: folds is "%s", expected rows within 8'):format(folds), first("0:4", folds))
    end
    local start = assert(add(b, first("0:4", "")))
    refused("dense: the first input is of column, which has no weights to share", "dense_more",
      { n.a.id, n.b.id }, { rows = "0:4" })
    refused('dense: rows is "0:4*4", expected those of 4 inputs within 8', "dense_more",
      { start, n.a.id }, { rows = "0:4*4" })
    refused('dense: rows is "0:4", expected those of 4 inputs within 8', "dense_pairs",
      { start, n.k.id, n.a.id }, { rows = "0:4" })
    refused('dense: rows is "0:2*2,0:2*2", expected one run', "dense_pairs",
      { start, n.k.id, n.a.id }, { rows = "0:2*2,0:2*2" })
    assert(add(b, "dense_pairs", { start, n.k.id, n.a.id }, { rows = "0:4*4" }))
  end)
end)
