-- Sequences as domains of their own: a row for each behaviour, pairs of samples and behaviours, no
-- padding. Against loops over padded histories, and the same bits however a batch is cut.
local g = require "graph_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local Pool = require "moonrank.pool"
local C = mr.C

local SEQUENCES = { { name = "click", domain = "request" }, { name = "seen" } }

local function new_schema()
  return g.schema({
    { name = "ad", type = "id" },
    { name = "user", type = "id", domain = "request" },
    { name = "click.ad", type = "id", table = "ad", domain = "request", sequence = "click" },
    { name = "click.tags", type = "ids", domain = "request", sequence = "click" },
    { name = "click.gap", type = "number", domain = "request", sequence = "click" },
    { name = "seen.ad", type = "id", table = "ad", sequence = "seen" },
    { name = "label", type = "label" } }, SEQUENCES)
end

-- ---- requests ----

local function draw_click(random)
  local tags = {}
  for i = 1, random(4) - 1 do tags[i] = "t" .. random(9) end
  return { ad = "a" .. random(30), tags = tags, gap = random() - 0.5 }
end

local function draw_requests(seed, n, most)
  local random, list = helper.random(seed), {}
  for i = 1, n do
    local q = { user = "u" .. random(20), click = {}, samples = {} }
    for k = 1, random(most or 6) - 1 do q.click[k] = draw_click(random) end
    for k = 1, random(4) do
      local s = { ad = "a" .. random(30), seen = {}, label = random(2) - 1 }
      for j = 1, random(4) - 1 do s.seen[j] = { ad = "a" .. random(30) } end
      q.samples[k] = s
    end
    list[i] = q
  end
  return list
end

local function samples_of(requests)
  local list = {}
  for _, q in ipairs(requests) do
    for _, s in ipairs(q.samples) do list[#list + 1] = s end
  end
  return list
end

local function make_batch(schema, requests)
  local batch, samples = g.batch_of(schema, requests)
  g.fill_ids(batch, schema, "ad", samples, "ad")
  g.fill_ids(batch, schema, "user", requests, "user")
  local clicks = g.set_behaviours(batch, schema, "click", requests)
  local seen = g.set_behaviours(batch, schema, "seen", samples)
  g.fill_ids(batch, schema, "click.ad", clicks, "ad")
  g.fill_ids(batch, schema, "seen.ad", seen, "ad")
  local tags = {}
  for i, row in ipairs(clicks) do tags[i] = row.tags end
  g.fill_bags(batch, schema, "click.tags", tags)
  g.fill(batch, schema, "click.gap", #clicks, function(i) return clicks[i + 1].gap end)
  g.fill(batch, schema, "label", #samples, function(i) return samples[i + 1].label end)
  return batch, #samples, #clicks, #seen
end

-- ---- a model with everything: pairs, request-side parts of the sequence, both softmaxes ----

local function build(schema, options)
  options = options or {}
  local b = g.builder(schema)
  local function embed(column) return b:lookup { column = column, dim = 4, scale = 0.5 } end
  local ad, user = embed "ad", embed "user"
  local click = b:concat { embed "click.ad", embed "click.tags", b:column { column = "click.gap" } }
  local layer = b:dense(click, { out = 5 }) -- once a behaviour, whoever asks
  local inner = b:prelu(layer)
  local pair = b:concat { ad, embed "click.ad", b:subtract(ad, embed "click.ad"),
    b:multiply(ad, embed "click.ad"), inner }
  local pair_layer = b:dense(pair, { out = 7 })
  local hidden = options.dice and b:dice(pair_layer) or b:prelu(pair_layer)
  local weight = b:dense(hidden, { out = 1 })
  if options.softmax then weight = b:softmax(weight) end
  local interest = b:pool_weighted(click, weight)
  local seen = embed "seen.ad"
  local own = b:pool_weighted(seen, b:softmax(b:dot(ad, seen, { scale = "root" })))
  local x = b:concat { ad, user, interest, own, b:pool(inner, { kind = "max" }),
    b:pool(b:multiply(inner, inner), { kind = "mean" }), b:length { column = "click.ad" },
    b:length { column = "seen.ad", transform = "log1p" }, b:pool(pair, { kind = "mean" }) }
  local logit = b:dense(b:tanh(b:dense(x, { out = 9 })), { out = 1 })
  b:logloss(logit, b:column { column = "label" })
  return b, { logit = logit, interest = interest, layer = layer, inner = inner, hidden = hidden,
    pair_layer = pair_layer, weight = weight, ad = ad, click = click, own = own, x = x }
end

-- Values of nodes for every row of their domains.
local function predict(model, batch, nodes, options)
  options = options or {}
  local ids, views, values = mr.new("int32_t[?]", #nodes), mr.new("float *[?]", #nodes), {}
  local info = mr.new "mr_node_info"
  for i, node in ipairs(nodes) do
    mr.check(C.mr_graph_describe(node.builder.handle, node.id, info))
    ids[i - 1] = node.id
    values[i] = mr.new("float[?]", tonumber(C.mr_batch_rows(batch, info.domain)) * node.width)
    views[i - 1] = values[i]
  end
  local out, pool = mr.new "mr_run *[1]", Pool.new(options.threads or 1)
  mr.check(C.mr_run_new_predict(out, model, pool.handle, mr.new("mr_run_options", {
    batch = options.batch or 64, slice_bytes = options.slice_bytes or 0 }), ids, #nodes))
  local run = mr.gc(out[0], C.mr_run_free)
  mr.check(C.mr_run_predict(run, batch, views))
  return unpack(values, 1, #nodes)
end

local function as_list(values, n)
  local list = {}
  for i = 1, n do list[i] = values[i - 1] end
  return list
end

-- Some steps, so that weights and rows are no longer as they started.
local function trained(options)
  local schema = new_schema()
  local b, nodes = build(schema, options)
  local model = g.model(b, 3)
  local run, loss = g.run(model, options or {}), mr.new "double[1]"
  for step = 1, options and options.steps or 3 do
    mr.check(C.mr_run_step(run.handle, make_batch(schema, draw_requests(step, 40)), loss))
  end
  return model, nodes, schema
end

describe("domains", function()
  local schema = new_schema()

  local function builder()
    local b = g.builder(schema)
    return b, b:lookup { column = "ad", dim = 2 }, b:lookup { column = "user", dim = 2 },
      b:lookup { column = "click.ad", dim = 2 }, b:lookup { column = "seen.ad", dim = 2 }
  end

  it("are those of the rows where the inputs of an op meet", function()
    local b, ad, user, click, seen = builder()
    assert.equal("click", click.domain)
    assert.equal("seen", seen.domain)
    assert.equal("click", b:add({ user, click }).domain)
    assert.equal("sample x click", b:add({ ad, click }).domain)
    assert.equal("sample x click", b:add({ user, ad, click }).domain)
    assert.equal("seen", b:add({ ad, seen }).domain)
    assert.equal("seen", b:add({ user, seen }).domain)
    assert.equal("request", b:pool(click).domain)
    assert.equal("sample", b:pool(b:add { ad, click }).domain)
    assert.equal("sample", b:pool(seen).domain)
    assert.equal("request", b:length({ column = "click.ad" }).domain)
    assert.equal("sample", b:length({ column = "seen.ad" }).domain)
  end)

  it("do not meet in two sequences", function()
    local b, ad, _, click, seen = builder()
    helper.raises('add: inputs are of sequence "click" and of sequence "seen"; pool one of them '
      .. "first", function() b:add { click, seen } end)
    helper.raises('multiply: inputs are of the pairs of sequence "click" and of sequence "seen"; '
      .. "pool one of them first", function() b:multiply(b:add { ad, click }, seen) end)
  end)

  it("of a sequence have no loss", function()
    local b, ad, _, click, seen = builder()
    local function wrong(input, sequence, ...)
      helper.raises(('probe: %s has a row for each behaviour of sequence "%s", expected one for '
        .. "each sample; pool it first"):format(input, sequence), b.probe, b, ...)
    end
    wrong("x", "click", click, click)
    wrong("x", "seen", seen, ad)
    wrong("x", "click", b:add { ad, click }, ad)
    wrong("r", "click", ad, click)
  end)

  it("of a request have no siblings", function()
    local b, _, user = builder()
    helper.raises("softmax: the input is in the request domain, which has no parent",
      function() b:softmax(user) end)
  end)

  -- A file may ask for it: the fuzz target of plans did.
  it("have no pairs where each sample has a sequence of its own", function()
    local b, ad = builder()
    local pairs_of_seen = 5
    local option = mr.new("mr_option[1]", { { name = "to", number = pairs_of_seen } })
    local input, node = mr.new("int32_t[1]", { ad.id }), mr.new "int32_t[1]"
    assert.equal(C.MR_ESHAPE,
      C.mr_graph_add(b.handle, "broadcast", nil, input, 1, option, 1, node))
    assert.equal('broadcast: to is the pairs of sequence "seen", which has none: each sample has '
      .. "a sequence of its own", mr.last_error())
  end)

  it("give a length only to sequences", function()
    local b = builder()
    helper.raises('length: column "ad" is not of a sequence',
      function() b:length { column = "ad" } end)
  end)
end)

describe("a sequence in a graph", function()
  -- The padded way: [samples, longest, ...] with a mask, in Lua's doubles.
  it("gives what loops over padded histories give", function()
    local schema = new_schema()
    for _, softmax in ipairs { false, true } do
      local b, n = build(schema, { softmax = softmax })
      local model = g.model(b, 5)
      local requests = draw_requests(9, 25)
      local batch, samples = make_batch(schema, requests)
      g.gradient(g.run(model), batch) -- makes the rows
      local ad, click, weight, interest, own = predict(model, batch,
        { n.ad, n.click, n.weight, n.interest, n.own })
      local longest, width = 0, n.click.width
      for _, q in ipairs(requests) do longest = math.max(longest, #q.click) end
      -- Of every sample the history of its request, filled up with zeros; the weights of its pairs.
      local s, row, pair, expected = 0, 0, 0, {}
      for _, q in ipairs(requests) do
        for _ = 1, #q.samples do
          local padded, mask, weights = {}, {}, {}
          for t = 1, longest do
            local there = t <= #q.click
            mask[t], padded[t] = there and 1 or 0, {}
            for e = 1, width do
              padded[t][e] = there and click[(row + t - 1) * width + e - 1] or 0
            end
            weights[t] = there and weight[pair + t - 1] or 12345
          end
          for e = 1, width do
            local sum = 0
            for t = 1, longest do sum = sum + mask[t] * weights[t] * padded[t][e] end
            expected[s * width + e] = sum
          end
          local total = 0
          for t = 1, longest do total = total + mask[t] * weights[t] end
          if softmax and #q.click > 0 then assert(math.abs(total - 1) < 1e-6) end
          s, pair = s + 1, pair + #q.click
        end
        row = row + #q.click
      end
      assert.equal(samples, s)
      helper.all_near(expected, interest, 1e-6)
      -- Scaled dot products over the sample's own sequence.
      s, expected = 0, {}
      for _, sample in ipairs(samples_of(requests)) do
        local rows, most, sum = {}, -math.huge, 0
        for j, seen in ipairs(sample.seen) do
          local p = C.mr_model_row(model, 0, g.key(schema, "ad", seen.ad))
          local dot = 0
          for e = 0, 3 do dot = dot + ad[s * 4 + e] * p[e] end
          rows[j] = { p, dot / 2 }
          most = math.max(most, dot / 2)
        end
        for _, r in ipairs(rows) do sum = sum + math.exp(r[2] - most) end
        for e = 0, 3 do
          local y = 0
          for _, r in ipairs(rows) do y = y + math.exp(r[2] - most) / sum * r[1][e] end
          expected[s * 4 + e + 1] = y
        end
        s = s + 1
      end
      helper.all_near(expected, own, 1e-6)
    end
  end)

  it("computes each domain's rows once", function()
    local schema = new_schema()
    local b, n = build(schema)
    local run = g.run(g.model(b), { batch = 4000 })
    local requests = draw_requests(2, 30)
    local batch, samples, clicks = make_batch(schema, requests)
    mr.check(C.mr_run_profile(run.handle, 1))
    g.gradient(run, batch)
    local rows, line, pairs_of = {}, mr.new "mr_profile_line", 0
    for _, q in ipairs(requests) do pairs_of = pairs_of + #q.samples * #q.click end
    for i = 0, C.mr_run_profile_lines(run.handle) - 1 do
      mr.check(C.mr_run_profile_line(run.handle, i, line))
      if mr.string(line.what) == "forward" then rows[line.node] = tonumber(line.rows) end
    end
    assert.equal(clicks, rows[n.layer.id])
    assert.equal(clicks, rows[n.click.id])
    assert.equal(pairs_of, rows[n.pair_layer.id])
    assert.equal(samples, rows[n.interest.id])
    assert(clicks < pairs_of)
  end)

  it("computes what is of the request once, also where the request is cut into slices", function()
    local schema = new_schema()
    local b, n = build(schema)
    local model, requests = g.model(b), draw_requests(2, 3, 20)
    for _, q in ipairs(requests) do
      for _ = 1, 40 do q.samples[#q.samples + 1] = { ad = "a1", seen = {}, label = 1 } end
    end
    local batch, samples, clicks = make_batch(schema, requests)
    local run, line = g.run(model, { slice_bytes = 1 }), mr.new "mr_profile_line"
    mr.check(C.mr_run_profile(run.handle, 1))
    g.gradient(run, batch)
    for i = 0, C.mr_run_profile_lines(run.handle) - 1 do
      mr.check(C.mr_run_profile_line(run.handle, i, line))
      if line.node == n.layer.id then
        assert.equal(clicks, tonumber(line.rows))
        assert(tonumber(line.calls) <= 3)
      elseif line.node == n.interest.id then
        assert.equal(samples, tonumber(line.rows))
        assert(tonumber(line.calls) > 3)
      end
    end
  end)

  it("has the same bits where the gradient of behaviours is begun by the product that adds to it",
    function()
      local schema = new_schema()
      -- What is watched shares its gradient with nobody, and each adds its own part to it.
      local function gradient(sequence, requests, watched)
        local b = g.builder(schema)
        local function embed(column) return b:lookup { column = column, dim = 20, scale = 0.5 } end
        local ad, x = embed "ad", embed(sequence)
        local hidden = b:dense(b:concat { ad, x, b:multiply(ad, x) }, { out = 7 })
        local weight = b:dense(b:prelu(hidden), { out = 1 })
        b:logloss(b:dense(b:pool_weighted(x, weight), { out = 1 }), b:column { column = "label" })
        if watched then b:watch(x) end
        local model = g.model(b, 8)
        local run = g.run(model, { slice_bytes = 1, threads = 2 })
        local result = { g.gradient(run, (make_batch(schema, requests))) }
        local info, row = mr.new "mr_param_info", mr.new "float[20]"
        for p = 0, C.mr_model_params(model) - 1 do
          mr.check(C.mr_model_param(model, p, info))
          result[#result + 1] = mr.string(mr.cast("const char *",
            C.mr_run_weight_gradient(run.handle, p)), 4 * info.rows * info.columns)
        end
        for i = 1, 30 do
          mr.check(C.mr_run_row_gradient(run.handle, 0, g.key(schema, "ad", "a" .. i), row))
          result[#result + 1] = mr.string(mr.cast("const char *", row), 80)
        end
        return result
      end
      for seed = 1, 6 do
        local requests = draw_requests(seed, 30, 12)
        for i = 1, #requests, 2 do -- half of them with one sample, as without requests
          requests[i].samples = { requests[i].samples[1] }
        end
        for _, sequence in ipairs { "click.ad", "seen.ad" } do
          assert.same(gradient(sequence, requests, true), gradient(sequence, requests, false))
        end
      end
    end)

  for _, dice in ipairs { false, true } do
    it("has the same loss and gradients however it is cut" .. (dice and ", with statistics" or ""),
      function()
        local schema = new_schema()
        local requests = draw_requests(7, 12, 9)
        for k = 1, 40 do
          requests[3].samples[k] = { ad = "a" .. k % 7, seen = {}, label = k % 2 }
        end
        for k = 1, 30 do
          requests[5].click[k] = requests[5].click[1] or { ad = "a3", tags = {}, gap = 0.25 }
        end
        local function gradient(options)
          local b = build(schema, { dice = dice })
          local model = g.model(b, 8)
          local run = g.run(model, options)
          local loss = g.gradient(run, make_batch(schema, requests))
          local all, info = {}, mr.new "mr_param_info"
          for p = 0, C.mr_model_params(model) - 1 do
            mr.check(C.mr_model_param(model, p, info))
            local w = C.mr_run_weight_gradient(run.handle, p)
            for i = 1, info.trained * info.rows * info.columns do all[#all + 1] = w[i - 1] end
          end
          local row = mr.new "float[4]"
          for _, text in ipairs { "a1", "a3", "a7", "a20" } do
            mr.check(C.mr_run_row_gradient(run.handle, 0, g.key(schema, "ad", text), row))
            for e = 0, 3 do all[#all + 1] = row[e] end
          end
          return loss, all
        end
        local loss, expected = gradient { batch = 100000, slice_bytes = 2 ^ 28, lanes = 1 }
        assert(#expected > 300)
        for _, options in ipairs { { slice_bytes = 1 }, { slice_bytes = 1, lanes = 3 },
          { slice_bytes = 50000, lanes = 2, threads = 2 } } do
          local other, all = gradient(options)
          assert(math.abs(loss - other) < 1e-5, ("%.9g, expected %.9g"):format(other, loss))
          helper.all_near(expected, all, 1e-6)
        end
      end)
  end
end)

describe("a prediction", function()
  for _, options in ipairs { {}, { dice = true, softmax = true } } do
    it("has the same bits alone, in any batch and in any order" ..
      (options.dice and ", with Dice and softmax" or ""), function()
      local model, n, schema = trained(options)
      local requests = draw_requests(99, 60)
      local function logits(list, cut)
        local batch, samples = make_batch(schema, list)
        return as_list(predict(model, batch, { n.logit }, cut), samples)
      end
      local together = logits(requests)
      assert.same(together, logits(requests, { slice_bytes = 1, threads = 3 }))
      local at, backward, reversed = 0, {}, {}
      for i, q in ipairs(requests) do
        local alone = logits { q }
        for k, z in ipairs(alone) do assert.equal(together[at + k], z) end
        for k = 1, #q.samples do -- and a sample alone, without the others of its request
          local one = logits { { user = q.user, click = q.click, samples = { q.samples[k] } } }
          assert.equal(together[at + k], one[1])
        end
        at = at + #q.samples
        backward[#requests + 1 - i] = q
      end
      local last = logits(backward)
      at = #last
      for _, q in ipairs(requests) do
        at = at - #q.samples
        for k = 1, #q.samples do reversed[#reversed + 1] = last[at + k] end
      end
      assert.same(together, reversed)
    end)
  end

  it("does not change beyond rounding when a history is permuted", function()
    local model, n, schema = trained { dice = true }
    local requests, turned = draw_requests(98, 40), draw_requests(98, 40)
    for _, q in ipairs(turned) do
      local list = {}
      for i, c in ipairs(q.click) do list[#q.click + 1 - i] = c end
      q.click = list
    end
    local batch, samples = make_batch(schema, requests)
    local expected = as_list(predict(model, batch, { n.logit }), samples)
    helper.all_near(expected, predict(model, make_batch(schema, turned), { n.logit }), 1e-6)
  end)

  it("of an empty history has an interest of zeros, and gradients that are finite", function()
    for _, softmax in ipairs { false, true } do
      local schema = new_schema()
      local b, n = build(schema, { softmax = softmax, dice = true })
      local model = g.model(b)
      local requests = draw_requests(4, 10)
      for _, q in ipairs(requests) do q.click = {} end
      local batch, samples = make_batch(schema, requests)
      local run, loss = g.run(model), mr.new "double[1]"
      for _ = 1, 3 do mr.check(C.mr_run_step(run.handle, batch, loss)) end
      mr.check(C.mr_model_check(model))
      local zeros = {}
      for i = 1, samples * n.interest.width do zeros[i] = 0 end
      helper.all_near(zeros, predict(model, batch, { n.interest }), 0)
      for _, name in ipairs { "dice_1.moving_mean", "dice_1.moving_variance" } do
        local w, _, columns = g.weight(model, name) -- no rows, no statistics
        for e = 0, columns - 1 do assert.equal(name:match "mean$" and 0 or 1, w[e]) end
      end
    end
  end)

  it("doubles its interest with every behaviour twice, but with softmax it stays", function()
    for _, softmax in ipairs { false, true } do
      local model, n, schema = trained { softmax = softmax, dice = true }
      local requests, twice = draw_requests(97, 30), draw_requests(97, 30)
      for _, q in ipairs(twice) do
        for i = 1, #q.click do q.click[#q.click + 1] = q.click[i] end
      end
      local batch, samples = make_batch(schema, requests)
      local expected = as_list(predict(model, batch, { n.interest }), samples * n.interest.width)
      if not softmax then
        for i, x in ipairs(expected) do expected[i] = 2 * x end
      end
      helper.all_near(expected, predict(model, make_batch(schema, twice), { n.interest }), 1e-5)
    end
  end)

  it("has the softmax of numbers whose exponentials a float cannot hold", function()
    local schema = new_schema()
    local b = g.builder(schema)
    local weight = b:softmax(b:column { column = "click.gap" })
    b:logloss(b:dense(b:pool(weight, { kind = "sum" }), { out = 1 }), b:column { column = "label" })
    local model, requests = g.model(b), draw_requests(5, 3)
    local gaps = { { 1000, 998, -1000, 999 }, { -500, -501 }, { 3e38, -3e38 } }
    for i, list in ipairs(gaps) do
      requests[i].click = {}
      for k, gap in ipairs(list) do requests[i].click[k] = { ad = "a1", tags = {}, gap = gap } end
    end
    local e = math.exp(1)
    local all, two = 1 + e ^ -1 + e ^ -2, 1 + e ^ -1
    helper.all_near({ 1 / all, e ^ -2 / all, 0, e ^ -1 / all, 1 / two, e ^ -1 / two, 1, 0 },
      predict(model, make_batch(schema, requests), { weight }), 1e-6)
  end)

  it("of 10,000 candidates with 10,000 behaviours needs no room for their pairs", function()
    local schema = g.schema({ { name = "x", type = "number" },
      { name = "click.x", type = "number", domain = "request", sequence = "click" } },
      { { name = "click", domain = "request" } })
    local b = g.builder(schema)
    local x, click = b:column { column = "x" }, b:column { column = "click.x" }
    local y = b:pool(b:multiply(x, click), { kind = "mean" })
    local n = 10000
    local batch, model = g.batch(schema, { n }), g.model(b)
    g.set_lengths(batch, schema, "click", { n })
    g.fill(batch, schema, "x", n, function(i) return i % 16 end)
    g.fill(batch, schema, "click.x", n, function(i) return i % 2 end)
    local out, pool = mr.new "mr_run *[1]", Pool.new(1)
    mr.check(C.mr_run_new_predict(out, model, pool.handle,
      mr.new("mr_run_options", { batch = n }), mr.new("int32_t[1]", y.id), 1))
    local run, values = mr.gc(out[0], C.mr_run_free), mr.new("float[?]", n)
    mr.check(C.mr_run_predict(run, batch, mr.new("float *[1]", values)))
    for i = 0, n - 1 do assert(math.abs(i % 16 / 2 - values[i]) < 1e-6) end
    assert(tonumber(C.mr_run_bytes(run)) < 2 ^ 23, tonumber(C.mr_run_bytes(run)))
  end)
end)

describe("training on sequences", function()
  local function file_of(options)
    local model = trained(options)
    local path = helper.temp_dir() .. "/model.mr"
    mr.check(C.mr_model_save(model, path, "about"))
    return helper.read(path)
  end

  it("gives the same file for any number of threads", function()
    local function options(threads)
      return { threads = threads, dice = true, softmax = true, optimizer = "adam",
        slice_bytes = 30000, steps = 8, batch = 100 }
    end
    local expected = file_of(options(1))
    for _, threads in ipairs { 2, 3, 8 } do assert(expected == file_of(options(threads))) end
  end)

  it("gives the same file after a checkpoint", function()
    local schema = new_schema()
    local function new_run()
      local b = build(schema, { dice = true })
      local model = g.model(b, 3)
      return g.run(model, { optimizer = "adam", batch = 100 }), model
    end
    local loss, folder = mr.new "double[1]", helper.temp_dir()
    local function steps(run, first, last)
      for step = first, last do
        mr.check(C.mr_run_step(run.handle, make_batch(schema, draw_requests(step, 30)), loss))
      end
    end
    local function bytes(model)
      mr.check(C.mr_model_save(model, folder .. "/model.mr", "about"))
      return helper.read(folder .. "/model.mr")
    end
    local run, model = new_run()
    steps(run, 1, 6)
    local expected = bytes(model)
    run = new_run()
    steps(run, 1, 3)
    mr.check(C.mr_run_save(run.handle, folder .. "/c", "state"))
    run, model = new_run()
    local state = mr.new "char *[1]"
    mr.check(C.mr_run_restore(run.handle, folder .. "/c", state))
    C.mr_text_free(state[0])
    steps(run, 4, 6)
    assert(expected == bytes(model))
  end)

  it("is in the model file: schema, domains and bits", function()
    local model, n, schema = trained { dice = true }
    local path, requests = helper.temp_dir() .. "/model.mr", draw_requests(50, 20)
    mr.check(C.mr_model_save(model, path, "about"))
    local batch, samples = make_batch(schema, requests)
    local expected = as_list(predict(model, batch, { n.logit }), samples)
    local opened, graph, about = mr.new "mr_model *[1]", mr.new "mr_graph *[1]", mr.new "char *[1]"
    mr.check(C.mr_model_open(opened, graph, path, about))
    C.mr_text_free(about[0])
    local handle = mr.gc(graph[0], C.mr_graph_free)
    local copy = mr.gc(opened[0], C.mr_model_free)
    local logit = { id = n.logit.id, width = 1, builder = { handle = handle } }
    assert.same(expected, as_list(predict(copy, batch, { logit }), samples))
    local spec = mr.new "mr_sequence_spec"
    mr.check(C.mr_schema_sequence(C.mr_graph_schema(handle), 0, spec))
    assert.equal("click", mr.string(spec.name))
    assert.equal(C.MR_REQUEST, spec.domain)
  end)
end)

describe("the worked numbers of DIN", function()
  it("for the attention unit: two PReLU units on q, k, q - k, q k", function()
    local schema = g.schema({ { name = "q", type = "number" },
      { name = "k", type = "number", domain = "request", sequence = "click" } },
      { { name = "click", domain = "request" } })
    local b = g.builder(schema)
    local q, k = b:column { column = "q" }, b:column { column = "k" }
    local hidden = b:prelu(b:dense(b:concat { q, k, b:subtract(q, k), b:multiply(q, k) },
      { out = 2, name = "first" }))
    local weight = b:dense(hidden, { out = 1, name = "last" })
    local plain, soft = b:pool_weighted(k, weight), b:pool_weighted(k, b:softmax(weight))
    local model = g.model(b)
    for name, values in pairs { ["first.weight"] = { 0.5, -0.3, 0.2, 0.4, -0.1, 0.1, 0.3, 0.2 },
      ["first.bias"] = { 0, 0.1 }, ["last.weight"] = { 0.7, -0.5 }, ["last.bias"] = { 0.05 } } do
      local w = g.weight(model, name)
      for i, x in ipairs(values) do w[i - 1] = x end
    end
    mr.check(C.mr_model_changed(model))
    local batch = g.batch(schema, { 2, 1 }) -- one request with both ads, one without behaviours
    g.set_lengths(batch, schema, "click", { 3, 0 })
    g.fill(batch, schema, "q", 3, function(i) return ({ 2, -1, 2 })[i + 1] end)
    g.fill(batch, schema, "k", 3, function(i) return ({ 1, -1, 3 })[i + 1] end)
    local weights, interest, softened = predict(model, batch, { weight, plain, soft })
    helper.all_near({ 1.04, 0.1575, 1.6, -0.22, -0.12, -0.32 }, weights, 1e-6)
    helper.all_near({ 5.6825, -1.06, 0 }, interest, 1e-6)
    helper.all_near({ 1.844973, 0.866888, 0 }, softened, 1e-6)
  end)

  -- s = (-1, 0, 1, 4): mean 1, variance 3.5.
  local function dice(sizes, s)
    local schema = g.schema { { name = "s", type = "number", domain = "request" },
      { name = "g", type = "number" } }
    local b = g.builder(schema)
    local x = b:column { column = "s" }
    b:watch(x)
    local y = b:dice(x, { start = 0.25, name = "d" })
    b:probe(y, b:column { column = "g" })
    local batch, model = g.batch(schema, sizes), g.model(b)
    g.fill(batch, schema, "s", #s, function(i) return s[i + 1] end)
    return schema, batch, model, g.run(model, { rates = { lr = 0 } }), x, y
  end

  it("for Dice: values, gradients, moving statistics", function()
    local schema, batch, model, run, x, y = dice({ 1, 1, 1, 1 }, { -1, 0, 1, 4 })
    local f, sum = { -0.441689, 0, 0.625, 3.497549 }, 0
    local given = { 1, -2, 0.5, 1.5 }
    g.fill(batch, schema, "g", 4, function(i) return given[i + 1] end)
    for i = 1, 4 do sum = sum + f[i] * given[i] end
    assert(math.abs(g.gradient(run, batch) - sum) < 3e-6)
    local gradient, expected = C.mr_run_watched(run.handle, x.id), {}
    for i, e in ipairs { 0.45363786, -1.04873512, 0.28530591, 1.32136679 } do
      expected[i] = e / 4
    end
    helper.all_near(expected, gradient, 1e-7)
    local _, _, _, alpha = g.weight(model, "d.alpha")
    assert(math.abs(C.mr_run_weight_gradient(run.handle, alpha)[0] - 0.51048638 / 4) < 1e-7)
    g.update(run)
    helper.all_near({ 0.1 * 1 }, (g.weight(model, "d.moving_mean")), 1e-7)
    helper.all_near({ 0.9 + 0.1 * 3.5 }, (g.weight(model, "d.moving_variance")), 1e-7)
    -- Predicting takes the moving ones.
    local values, p = predict(model, batch, { y }), {}
    for i, s in ipairs { -1, 0, 1, 4 } do
      local share = 1 / (1 + math.exp(-(s - 0.1) / math.sqrt(1.25)))
      p[i] = share * s + (1 - share) * 0.25 * s
    end
    helper.all_near(p, values, 1e-6)
  end)

  it("for Dice, rows of requests counting once for each sample", function()
    local function gradient(sizes, s, given)
      local schema, batch, model, run, x = dice(sizes, s)
      g.fill(batch, schema, "g", #given, function(i) return given[i + 1] end)
      local loss = g.gradient(run, batch)
      local rows = as_list(C.mr_run_watched(run.handle, x.id), #sizes)
      g.update(run)
      return loss, rows, g.weight(model, "d.moving_variance")[0]
    end
    local loss, rows, variance = gradient({ 1, 1, 1, 1, 1 }, { 3, 3, -1, 0.5, 0.5 },
      { 1, 2, -1, 0.25, 4 })
    local other, grouped, moved = gradient({ 2, 1, 2 }, { 3, -1, 0.5 }, { 1, 2, -1, 0.25, 4 })
    assert(math.abs(loss - other) < 1e-6)
    helper.all_near({ rows[1] + rows[2], rows[3], rows[4] + rows[5] }, grouped, 1e-6)
    assert(math.abs(variance - moved) < 1e-7)
  end)
end)
