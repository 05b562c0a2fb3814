-- The models, and dnn with batch norm, against numbers from an independent implementation
-- (tests/golden/README.md): logits, loss, every gradient, moving statistics.
local cjson = require "cjson"
local g = require "graph_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local Pool = require "moonrank.pool"
local script = require "moonrank.script"
local C = mr.C

local IDS = { "user", "ad", "hour" }

local function golden(name) return cjson.decode(helper.read("tests/golden/" .. name .. ".json")) end

-- The models' own scripts, on fields like those of the golden data.
local function build(name, options)
  local columns = { { name = "user", type = "id" }, { name = "ad", type = "id" },
    { name = "hour", type = "id" }, { name = "tags", type = "ids" },
    { name = "price", type = "number" }, { name = "label:ctr", type = "label" } }
  local schema = g.schema(columns)
  for i = 1, 4 do
    schema.fields[i] = { name = columns[i].name, side = "ad", type = columns[i].type, dim = 4,
      pool = "mean" }
  end
  schema.fields[5] = { name = "price", side = "ad", type = "number" }
  schema.tasks[1] = { name = "ctr", column_name = "label:ctr" }
  local b = g.builder(schema)
  local loaded = assert(script.load(name))
  loaded.build(b, assert(script.options(loaded, options)))
  return schema, b
end

local function fill(schema, rows)
  local batch = g.batch(schema, #rows)
  for _, name in ipairs(IDS) do
    local keys = C.mr_batch_keys(batch, schema.columns[name])
    for i, row in ipairs(rows) do keys[i - 1] = g.key(schema, name, row[name]) end
  end
  local bags = {}
  for i, row in ipairs(rows) do bags[i] = row.tags end
  g.fill_bags(batch, schema, "tags", bags)
  g.fill(batch, schema, "price", #rows, function(i) return rows[i + 1].price end)
  g.fill(batch, schema, "label:ctr", #rows, function(i) return rows[i + 1].label end)
  return batch
end

-- Where a kind of row lies: { table number, offset, dim } by field and part.
local function parts_of(model)
  local found, table_info, part = {}, mr.new "mr_table_info", mr.new "mr_part_info"
  for t = 0, C.mr_model_tables(model) - 1 do
    mr.check(C.mr_model_table(model, t, table_info))
    local name = mr.string(table_info.name)
    found[name] = { number = t, width = table_info.width }
    for p = 0, table_info.n_parts - 1 do
      mr.check(C.mr_model_part(model, t, p, part))
      found[name][mr.string(part.name)] = part.offset
    end
  end
  return found
end

local PARTS = { linear = "linear", factors = "embedding", embedding = "embedding" }

local function set_weights(case, schema, model, dense_names)
  local parts = parts_of(model)
  for kind, fields in pairs(case.weights.tables) do
    for field, rows in pairs(fields) do
      for value, numbers in pairs(rows) do
        local row = mr.new "float *[1]"
        mr.check(C.mr_model_make_row(model, parts[field].number, g.key(schema, field, value), row))
        for i, x in ipairs(numbers) do row[0][parts[field][PARTS[kind]] + i - 1] = x end
      end
    end
  end
  for theirs, ours in pairs(dense_names) do
    local w, _, columns = g.weight(model, ours)
    for r, numbers in ipairs(case.weights.dense[theirs]) do
      for c, x in ipairs(numbers) do w[(r - 1) * columns + c - 1] = x end
    end
  end
  mr.check(C.mr_model_changed(model))
end

local function near(want, got, what)
  local allowed = 1e-5 * math.max(1e-2, math.abs(want))
  if got ~= got or math.abs(want - got) > allowed then
    error(("%s is %.9g, expected %.9g"):format(what, got, want), 2)
  end
end

local function check_gradients(case, schema, run, dense_names)
  for theirs, ours in pairs(dense_names) do
    local _, _, columns, index = g.weight(run.model, ours)
    local gradient = C.mr_run_weight_gradient(run.handle, index)
    for r, numbers in ipairs(case.expected.gradients.dense[theirs]) do
      for c, x in ipairs(numbers) do
        near(x, gradient[(r - 1) * columns + c - 1], ("d %s[%d][%d]"):format(ours, r, c))
      end
    end
  end
  local parts = parts_of(run.model)
  for kind, fields in pairs(case.weights.tables) do
    for field, rows in pairs(fields) do
      local expected = case.expected.gradients.tables[kind][field]
      local gradient = mr.new("float[?]", parts[field].width)
      for value, numbers in pairs(rows) do
        mr.check(C.mr_run_row_gradient(run.handle, parts[field].number,
          g.key(schema, field, value), gradient))
        for i = 1, #numbers do
          near(expected[value] and expected[value][i] or 0,
            gradient[parts[field][PARTS[kind]] + i - 1],
            ("d %s %s[%d]"):format(field, value, i))
        end
      end
    end
  end
end

local function logits(model, b, batch, n)
  return g.predict(model, Pool.new(1), batch, b.tasks[1].logit, n)
end

local function check(file, name, options, dense_names)
  local case = golden(file)
  local schema, b = build(name, options)
  local batch = fill(schema, case.rows)
  local model = g.model(b)
  set_weights(case, schema, model, dense_names)
  local n = #case.rows
  local run = g.run(model, { batch = n })
  near(case.expected.loss, g.gradient(run, batch) / n, "the loss")
  check_gradients(case, schema, run, dense_names)
  return case, model, b, batch, n, run
end

local function check_forward(case, model, b, batch, n)
  local z = logits(model, b, batch, n)
  local p = g.predict(model, Pool.new(1), batch, b.tasks[1].probability, n)
  for i = 1, n do
    near(case.expected.logits[i], z[i - 1], "logit " .. i)
    near(case.expected.probabilities[i], p[i - 1], "probability " .. i)
  end
end

-- The names of a network's weights where its dense layers are numbered from `first`, and of others.
local function network(first, others)
  for layer = 1, 3 do
    others["w" .. layer] = ("dense_%d.weight"):format(first + layer - 1)
    others["b" .. layer] = ("dense_%d.bias"):format(first + layer - 1)
  end
  return others
end

describe("models against golden values", function()
  it("lr", function()
    check_forward(check("lr", "lr", {}, { price = "dense_1.weight", bias = "dense_1.bias" }))
  end)

  it("fm", function()
    check_forward(check("fm", "fm", { dim = 4 },
      { price = "dense_1.weight", bias = "dense_1.bias" }))
  end)

  it("mlr", function()
    check_forward(check("mlr", "mlr", { m = 3 },
      { price = "dense_1.weight", bias = "dense_1.bias" }))
  end)

  it("deepfm", function()
    check_forward(check("deepfm", "deepfm", { dim = 4, hidden = { 8, 6 } },
      network(1, { price = "dense_4.weight", bias = "dense_4.bias" })))
  end)

  it("wide_deep", function()
    check_forward(check("wide_deep", "wide_deep", { hidden = { 8, 6 } },
      network(1, { price = "dense_4.weight", bias = "dense_4.bias" })))
  end)

  it("dcn", function()
    check_forward(check("dcn", "dcn", { layers = 2, hidden = { 8, 6 } },
      network(1, { cross1 = "cross_1.weight", shift1 = "cross_1.bias", cross2 = "cross_2.weight",
        shift2 = "cross_2.bias" })))
  end)

  for file, stacked in pairs { dcn_v2 = false, dcn_v2_stacked = true } do
    it(file, function()
      check_forward(check(file, "dcn_v2", { layers = 2, hidden = { 8, 6 }, stacked = stacked },
        network(3, { cross1 = "dense_1.weight", shift1 = "dense_1.bias",
          cross2 = "dense_2.weight", shift2 = "dense_2.bias" })))
    end)
  end

  it("dnn", function()
    check_forward(check("dnn", "dnn", { hidden = { 8, 6 } }, network(1, {})))
  end)

  it("dnn with batch norm, and its moving statistics", function()
    local names = network(1, { gamma1 = "batch_norm_1.gamma", beta1 = "batch_norm_1.beta",
      gamma2 = "batch_norm_2.gamma", beta2 = "batch_norm_2.beta" })
    local case, model, b, batch, n, run =
      check("dnn_bn", "dnn", { hidden = { 8, 6 }, batch_norm = true }, names)
    mr.check(C.mr_run_set_rate(run.handle, 0)) -- move the statistics, not the weights
    g.update(run)
    for layer = 1, 2 do
      for theirs, ours in pairs { mean = "moving_mean", var = "moving_variance" } do
        local w = g.weight(model, ("batch_norm_%d.%s"):format(layer, ours))
        local expected = case.expected.running[("%s%d"):format(theirs, layer)]
        for i, x in ipairs(type(expected[1]) == "table" and expected[1] or expected) do
          near(x, w[i - 1], ("%s %d of layer %d"):format(ours, i, layer))
        end
      end
    end
    local z = logits(model, b, batch, n)
    for i = 1, n do near(case.expected.eval_logits[i], z[i - 1], "logit " .. i) end
  end)
end)
