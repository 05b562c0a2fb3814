-- The models, and dnn with batch norm, against numbers from an independent implementation
-- (tests/golden/README.md): logits, loss, every gradient, moving statistics.
local cjson = require "cjson"
local g = require "graph_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local Pool = require "moonrank.pool"
local script = require "moonrank.script"
local C = mr.C

local function golden(name) return cjson.decode(helper.read("tests/golden/" .. name .. ".json")) end

-- The models' own scripts, on fields like those of the golden data.
local function build_plain(name, options)
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

local function fill_ids(schema, batch, name, texts)
  local keys = C.mr_batch_keys(batch, schema.columns[name])
  for i, text in ipairs(texts) do keys[i - 1] = g.key(schema, name, text) end
end

-- What rows say under a name, in order.
local function cells(rows, name)
  local list = {}
  for i, row in ipairs(rows) do list[i] = row[name] end
  return list
end

local function fill_samples(schema, batch, rows)
  fill_ids(schema, batch, "ad", cells(rows, "ad"))
  g.fill_bags(batch, schema, "tags", cells(rows, "tags"))
  g.fill(batch, schema, "price", #rows, function(i) return rows[i + 1].price end)
  g.fill(batch, schema, "label:ctr", #rows, function(i) return rows[i + 1].label end)
end

local function fill_plain(schema, rows)
  local batch = g.batch(schema, #rows)
  for _, name in ipairs { "user", "hour" } do
    fill_ids(schema, batch, name, cells(rows, name))
  end
  fill_samples(schema, batch, rows)
  return batch
end

-- The same with requests that have a sequence.
local SEQUENCES = { version = 1, data = { format = "csv" }, label = { ctr = "label" },
  request = "request", fields = {
    { name = "user", side = "user", type = "id", source = "user", table = "user" },
    { name = "ad", side = "ad", type = "id", source = "ad", table = "ad" },
    { name = "hour", side = "context", type = "id", source = "hour", table = "hour" },
    { name = "tags", side = "ad", type = "ids", source = "tags", table = "tags", pool = "mean" },
    { name = "price", side = "ad", type = "number", source = "price" } },
  sequences = { { name = "click", side = "user", keep = "last", separator = " ", of = {
    ad = { column = "click_ad", type = "id", table = "ad" },
    tags = { column = "click_tags", type = "ids", table = "tags", separator = ",", pool = "mean" },
    gap = { column = "click_gap", type = "number" } } } }, tables = {} }
for _, name in ipairs { "user", "ad", "hour", "tags" } do
  SEQUENCES.tables[name] = { dim = 4, min_count = 1 }
end

local function build_with_sequences(name, options)
  local schema = require "moonrank.schema".new(SEQUENCES)
  local b = g.builder(schema)
  local loaded = assert(script.load(name))
  loaded.build(b, assert(script.options(loaded, options)))
  return schema, b
end

local function fill_with_sequences(schema, rows)
  local first, sizes = {}, {}
  for _, row in ipairs(rows) do
    first[row.request] = first[row.request] or row
    sizes[row.request] = (sizes[row.request] or 0) + 1
  end
  local batch = g.batch(schema, sizes)
  for _, name in ipairs { "user", "hour" } do
    fill_ids(schema, batch, name, cells(first, name))
  end
  fill_samples(schema, batch, rows)
  local lengths, ads, tags, gaps = {}, {}, {}, {}
  for q, row in ipairs(first) do
    lengths[q] = #row.click_ad
    for t, ad in ipairs(row.click_ad) do
      ads[#ads + 1], gaps[#gaps + 1], tags[#tags + 1] = ad, row.click_gap[t], {}
      for tag in row.click_tags[t]:gmatch "[^,]+" do table.insert(tags[#tags], tag) end
    end
  end
  g.set_lengths(batch, schema, "click", lengths)
  fill_ids(schema, batch, "click.ad", ads)
  g.fill_bags(batch, schema, "click.tags", tags)
  g.fill(batch, schema, "click.gap", #gaps, function(i) return gaps[i + 1] end)
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
  local with_sequences = case.rows[1].request ~= nil
  local schema, b = (with_sequences and build_with_sequences or build_plain)(name, options)
  local batch = (with_sequences and fill_with_sequences or fill_plain)(schema, case.rows)
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

-- One update that moves the statistics, not the weights; then predictions read them.
local function check_moved(case, model, b, batch, n, run, statistics)
  mr.check(C.mr_run_set_rate(run.handle, 0))
  g.update(run)
  for theirs, ours in pairs(statistics) do
    local w, expected = g.weight(model, ours), case.expected.running[theirs]
    for i, x in ipairs(type(expected[1]) == "table" and expected[1] or expected) do
      near(x, w[i - 1], ("%s[%d]"):format(ours, i))
    end
  end
  local z = logits(model, b, batch, n)
  for i = 1, n do near(case.expected.eval_logits[i], z[i - 1], "logit " .. i) end
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
    local statistics = {}
    for layer = 1, 2 do
      statistics["mean" .. layer] = ("batch_norm_%d.moving_mean"):format(layer)
      statistics["var" .. layer] = ("batch_norm_%d.moving_variance"):format(layer)
    end
    check_moved(case, model, b, batch, n, run, statistics)
  end)

  -- The layers of a network called `letter` in the file, counted from dense layer `dense` and
  -- activation `act`.
  local function activated(names, letter, activation, dense, act)
    for layer = 1, 3 do
      names[letter .. layer] = ("dense_%d.weight"):format(dense + layer - 1)
      names["b" .. letter .. layer] = ("dense_%d.bias"):format(dense + layer - 1)
      if layer < 3 then
        names["alpha" .. letter .. layer] = ("%s_%d.alpha"):format(activation, act + layer - 1)
      end
    end
    return names
  end

  it("base", function()
    check_forward(check("base", "base", { hidden = { 8, 6 }, activation = "prelu" },
      activated({}, "w", "prelu", 1, 1)))
  end)

  it("din with softmax and the outer product", function()
    local names = activated({}, "a", "prelu", 1, 1)
    check_forward(check("din_softmax", "din", { attention = { 5, 3 }, hidden = { 8, 6 },
      activation = "prelu", softmax = true, outer = true },
      activated(names, "w", "prelu", 4, 3)))
  end)

  it("din with Dice, and its moving statistics", function()
    local names = activated({}, "a", "dice", 1, 1)
    local case, model, b, batch, n, run = check("din", "din",
      { attention = { 5, 3 }, hidden = { 8, 6 } }, activated(names, "w", "dice", 4, 3))
    local statistics = {}
    for i, layer in ipairs { "a1", "a2", "w1", "w2" } do
      statistics["mean" .. layer] = ("dice_%d.moving_mean"):format(i)
      statistics["var" .. layer] = ("dice_%d.moving_variance"):format(i)
    end
    check_moved(case, model, b, batch, n, run, statistics)
  end)

  it("youtube_dnn", function()
    check_forward(check("youtube_dnn", "youtube_dnn", { hidden = { 8, 6 } }, {
      w1 = "dense_1.weight", bw1 = "dense_1.bias", w2 = "dense_2.weight", bw2 = "dense_2.bias",
      item = "dense_3.weight", bitem = "dense_3.bias", bias = "bias_1.bias" }))
  end)
end)
