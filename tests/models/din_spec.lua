-- The din script on hand-filled batches: what must hold however a batch is cut and whatever the
-- histories are. (Its numbers: golden_spec.)
local g = require "graph_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local Model = require "moonrank.model"
local Pool = require "moonrank.pool"
local Schema = require "moonrank.schema"
local script = require "moonrank.script"
local C = mr.C

-- Two sequences: what the user clicked, with a number of no field, and who saw the ad.
local FIELDS = { version = 1, data = { format = "csv" }, label = { ctr = "label" },
  request = "request", tables = {}, fields = {}, sequences = {
    { name = "click", side = "user", keep = "last", separator = " ", of = {
      item = { column = "click_items", type = "id", table = "item" },
      cate = { column = "click_cates", type = "id", table = "cate" },
      gap = { column = "click_gaps", type = "number" } } },
    { name = "seen", side = "ad", keep = "last", separator = " ", of = {
      person = { column = "seen_by", type = "id", table = "person" } } } } }
for name, side in pairs { person = "user", item = "ad", cate = "ad" } do
  FIELDS.tables[name] = { dim = 6, min_count = 1 }
  table.insert(FIELDS.fields, { name = name, source = name, side = side, type = "id",
    table = name })
end
table.sort(FIELDS.fields, function(a, b) return a.name > b.name end)

-- Requests { person, click = list of { item, cate, gap }, samples = list of { item, cate, label,
-- seen = list of { person } } }.
local function draw_requests(seed, n, longest)
  local random, list = helper.random(seed), {}
  local function item() return { item = "i" .. random(40), cate = "c" .. random(5) } end
  for i = 1, n do
    local q = { person = "p" .. random(25), click = {}, samples = {} }
    for k = 1, random((longest or 8) + 1) - 1 do
      q.click[k] = item()
      q.click[k].gap = random() - 0.5
    end
    for k = 1, random(4) do
      local s = item()
      s.label, s.seen = random(2) - 1, {}
      for j = 1, random(4) - 1 do s.seen[j] = { person = "p" .. random(25) } end
      q.samples[k] = s
    end
    list[i] = q
  end
  return list
end

local function make_batch(schema, requests)
  local batch, samples = g.batch_of(schema, requests)
  g.fill_ids(batch, schema, "person", requests, "person")
  g.fill_ids(batch, schema, "item", samples, "item")
  g.fill_ids(batch, schema, "cate", samples, "cate")
  g.fill(batch, schema, "label:ctr", #samples, function(i) return samples[i + 1].label end)
  local clicks = g.set_behaviours(batch, schema, "click", requests)
  g.fill_ids(batch, schema, "click.item", clicks, "item")
  g.fill_ids(batch, schema, "click.cate", clicks, "cate")
  g.fill(batch, schema, "click.gap", #clicks, function(i) return clicks[i + 1].gap end)
  local seen = g.set_behaviours(batch, schema, "seen", samples)
  g.fill_ids(batch, schema, "seen.person", seen, "person")
  return batch, #samples
end

local function new_model(options)
  local schema = Schema.new(FIELDS)
  local loaded = assert(script.load "din")
  options.attention, options.hidden = { 12, 6 }, { 16, 8 }
  return Model.new(loaded, { fields = schema.fields, seed = 3,
    options = assert(script.options(loaded, options)) }), schema
end

-- After some steps, so that weights, rows and statistics are no longer as they started.
local function trained(options, threads)
  local model, schema = new_model(options)
  local run, loss = g.run(model.handle, { optimizer = "adam", rates = { lr = 0.02 },
    threads = threads, batch = 100, slice_bytes = 30000 }), mr.new "double[1]"
  for step = 1, 6 do
    mr.check(C.mr_run_step(run.handle, make_batch(schema, draw_requests(step, 40)), loss))
  end
  return model, schema
end

-- The values of a node for every sample of some requests, as a list.
local function values(model, schema, requests, node, threads)
  local batch, samples = make_batch(schema, requests)
  local p, list = g.predict(model.handle, Pool.new(threads or 1), batch, node, samples), {}
  for i = 1, samples * node.width do list[i] = p[i - 1] end
  return list
end

local function logits(model, schema, requests, threads)
  return values(model, schema, requests, model.tasks[1].logit, threads)
end

-- The pooled clicks of a model: the first pool_weighted of its graph.
local function interest(model)
  local info = mr.new "mr_node_info"
  for i = 0, C.mr_graph_nodes(model.graph) - 1 do
    mr.check(C.mr_graph_describe(model.graph, i, info))
    if mr.string(info.op) == "pool_weighted" then return { id = i, width = info.width } end
  end
end

local CASES = { plain = {}, softmax = { softmax = true, activation = "prelu" } }

for kind, options in pairs(CASES) do
  describe("din, " .. kind .. ",", function()
    local model, schema = trained(options)

    it("has the same bits for a row alone, in any batch and in any order", function()
      local requests = draw_requests(99, 50)
      local together = logits(model, schema, requests)
      assert.same(together, logits(model, schema, requests, 3))
      local at, backward, reversed = 0, {}, {}
      for i, q in ipairs(requests) do
        for k, s in ipairs(q.samples) do
          local alone = logits(model, schema,
            { { person = q.person, click = q.click, samples = { s } } })
          assert.same({ together[at + k] }, alone)
        end
        at = at + #q.samples
        backward[#requests + 1 - i] = q
      end
      local last = logits(model, schema, backward)
      for _, q in ipairs(requests) do
        for k = 1, #q.samples do reversed[#reversed + 1] = last[at - #q.samples + k] end
        at = at - #q.samples
      end
      assert.same(together, reversed)
    end)

    it("does not change beyond rounding when a history is permuted", function()
      local requests, turned = draw_requests(98, 40), draw_requests(98, 40)
      for _, q in ipairs(turned) do
        local list = {}
        for i, c in ipairs(q.click) do list[#q.click + 1 - i] = c end
        q.click = list
      end
      helper.all_near(logits(model, schema, requests), mr.new("float[?]", 400,
        logits(model, schema, turned)), 2e-6)
    end)

    it("has the same interest, or with no softmax twice of it, in every behaviour twice", function()
      local requests, twice = draw_requests(97, 30), draw_requests(97, 30)
      for _, q in ipairs(twice) do
        for i = 1, #q.click do q.click[#q.click + 1] = q.click[i] end
      end
      local once = values(model, schema, requests, interest(model))
      local sum = 0
      for i, x in ipairs(once) do
        once[i] = options.softmax and x or 2 * x
        sum = sum + math.abs(x)
      end
      assert(sum > 1)
      helper.all_near(once, mr.new("float[?]", #once,
        values(model, schema, twice, interest(model))), 1e-5)
    end)

    it("has no interest where there are no behaviours, and learns", function()
      local empty, zeros = draw_requests(4, 10), {}
      for _, q in ipairs(empty) do
        q.click = {}
        for _, s in ipairs(q.samples) do s.seen = {} end
      end
      local fresh = new_model(options)
      local run, loss = g.run(fresh.handle), mr.new "double[1]"
      for _ = 1, 3 do mr.check(C.mr_run_step(run.handle, make_batch(schema, empty), loss)) end
      mr.check(C.mr_model_check(fresh.handle))
      local got = values(fresh, schema, empty, interest(fresh))
      for i = 1, #got do zeros[i] = 0 end
      assert.same(zeros, got)
    end)

    it("is trained to the same file by 1, 2, 3 and 8 threads", function()
      local path, expected = helper.temp_dir() .. "/model.mr", nil
      for _, threads in ipairs { 1, 2, 3, 8 } do
        assert(trained(options, threads):save(path))
        expected = expected or helper.read(path)
        assert(expected == helper.read(path), threads)
      end
    end)
  end)
end

describe("a slow, padded din in Lua", function()
  -- Rows of numbers [n][width] of a weight, or of the rows of a table.
  local function matrix(model, name)
    local w, rows, columns = g.weight(model.handle, name)
    local list = {}
    for r = 1, rows do
      list[r] = {}
      for c = 1, columns do list[r][c] = w[(r - 1) * columns + c - 1] end
    end
    return list
  end

  local function layer(model, number, x)
    local w, y = matrix(model, "dense_" .. number .. ".weight"), {}
    for c, b in ipairs(matrix(model, "dense_" .. number .. ".bias")[1]) do
      y[c] = b
      for r = 1, #x do y[c] = y[c] + x[r] * w[r][c] end
    end
    return y
  end

  local function dice(model, number, x)
    local function row(name) return matrix(model, ("dice_%d.%s"):format(number, name))[1] end
    local alpha, mean, variance = row "alpha", row "moving_mean", row "moving_variance"
    local y = {}
    for i, s in ipairs(x) do
      local p = 1 / (1 + math.exp(-(s - mean[i]) / math.sqrt(variance[i] + 1e-8)))
      y[i] = p * s + (1 - p) * alpha[i] * s
    end
    return y
  end

  local function network(model, x, first_dense, first_dice)
    for i = 0, 1 do
      x = dice(model, first_dice + i, layer(model, first_dense + i, x))
    end
    return layer(model, first_dense + 2, x)
  end

  local function joined(...)
    local all = {}
    for _, list in ipairs { ... } do
      for _, x in ipairs(list) do all[#all + 1] = x end
    end
    return all
  end

  local function zip(a, b, f)
    local list = {}
    for i = 1, #a do list[i] = f(a[i], b[i]) end
    return list
  end

  it("gives what the engine gives", function()
    local model, schema = trained {}
    local requests = draw_requests(55, 15, 5)
    local table_of, info = {}, mr.new "mr_table_info"
    for t = 0, C.mr_model_tables(model.handle) - 1 do
      mr.check(C.mr_model_table(model.handle, t, info))
      table_of[mr.string(info.name)] = t
    end
    local function embedding(column, text)
      local key, list = g.key(schema, column, text), {}
      local p = C.mr_model_row(model.handle, table_of[column], key)
      for e = 1, 6 do list[e] = p[e - 1] end
      return list
    end
    -- Pads histories to `longest` with rows of zeros, which a mask takes out of the sum again.
    local longest = 7
    local function pooled(q, behaviours, vector, first_dense, first_dice)
      local sum
      for t = 1, longest do
        local k, more = vector(behaviours[t])
        local w = network(model, joined(q, k, zip(q, k, function(a, b) return a - b end),
          zip(q, k, function(a, b) return a * b end), more), first_dense, first_dice)[1]
        local e, mask = joined(k, more), behaviours[t] and 1 or 0
        sum = zip(sum or e, e, function(a, b) return (t == 1 and 0 or a) + mask * w * b end)
      end
      return sum
    end
    local expected = {}
    for _, q in ipairs(requests) do
      for _, s in ipairs(q.samples) do
        local person, item, cate = embedding("person", q.person), embedding("item", s.item),
          embedding("cate", s.cate)
        local none = { 0, 0, 0, 0, 0, 0 }
        local clicks = pooled(joined(item, cate), q.click, function(c)
          return joined(c and embedding("item", c.item) or none,
            c and embedding("cate", c.cate) or none), { c and c.gap or 0 }
        end, 1, 1)
        local seen = pooled(person, s.seen, function(c)
          return c and embedding("person", c.person) or none, {}
        end, 4, 3)
        expected[#expected + 1] =
          network(model, joined(person, item, cate, clicks, seen), 7, 5)[1]
      end
    end
    helper.all_near(expected, mr.new("float[?]", #expected, logits(model, schema, requests)), 5e-6)
  end)
end)
