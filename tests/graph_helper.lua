--- Small graphs over hand-filled batches, for specs about the engine.
local Builder = require "moonrank.builder"
local Pool = require "moonrank.pool"
local mr = require "moonrank.ffi"
local C = mr.C

local M = {}

local TYPES = { id = C.MR_ID, ids = C.MR_IDS, number = C.MR_NUMBER, label = C.MR_LABEL,
  vector = C.MR_VECTOR, weight = C.MR_WEIGHT, bucket = C.MR_BUCKET }

local function domain_of(spec) return spec.domain == "request" and C.MR_REQUEST or C.MR_SAMPLE end

--- A schema of the given columns: { name =, type =, width =, table =, domain = "request",
-- sequence =, weighted =, weights =, padding =, values = }, and sequences { name =,
-- domain = "request", max =, padding = }.
function M.schema(columns, sequences)
  local out = mr.new "mr_schema *[1]"
  mr.check(C.mr_schema_new(out))
  local schema = { handle = mr.gc(out[0], C.mr_schema_free), columns = {}, fields = {},
    tasks = {}, sequences = {} }
  for _, sequence in ipairs(sequences or {}) do
    mr.check(C.mr_schema_add_sequence(schema.handle, mr.new("mr_sequence_spec", {
      name = sequence.name, domain = domain_of(sequence), max = sequence.max or 0,
      padding = sequence.padding })))
  end
  for i, column in ipairs(columns) do
    local values = column.values or {}
    local list = mr.new("const char *[?]", math.max(#values, 1), values)
    mr.check(C.mr_schema_add_column(schema.handle, mr.new("mr_column_spec", {
      name = column.name, table = column.table, type = TYPES[column.type],
      weight_separator = column.weighted and (":"):byte() or 0, weights = column.weights,
      padding = column.padding, values = list, n_values = #values,
      width = column.width or 0, domain = domain_of(column), sequence = column.sequence,
      normalize = column.normalize and 1 or 0, buckets = column.buckets or 0 })))
    schema.columns[column.name] = i - 1
  end
  return schema
end

-- Wherever keys come from: samples and requests, bags, behaviours of both.
local KEY_COLUMNS = {
  { name = "ad", type = "id", table = "t" },
  { name = "user", type = "id", table = "t", domain = "request" },
  { name = "tags", type = "ids", table = "t" },
  { name = "click.ad", type = "id", table = "t", domain = "request", sequence = "click" },
  { name = "click.tags", type = "ids", table = "t", domain = "request", sequence = "click" },
  { name = "seen.ad", type = "id", table = "t", sequence = "seen" },
  { name = "few", type = "id", table = "small" }, -- a table that is no eighth of the keys
}

--- Those of these columns whose names have been given, for M.schema: ad, user, tags, click.ad,
-- click.tags, seen.ad of table "t", few of table "small".
function M.key_columns(names)
  local columns = {}
  for _, column in ipairs(KEY_COLUMNS) do
    for _, name in ipairs(names) do
      if column.name == name then columns[#columns + 1] = column end
    end
  end
  return columns
end

--- A lookup of each column, pooled where it is of a sequence, side by side; options of the lookups.
function M.lookups(builder, columns, options)
  local nodes = {}
  for i, column in ipairs(columns) do
    local given = { column = column.name }
    for name, value in pairs(options) do given[name] = value end
    local x = builder:lookup(given)
    nodes[i] = column.sequence and builder:pool(x) or x
  end
  return builder:concat(nodes)
end

--- Say how many behaviours each row of a sequence's owner has, by a list; gives their number.
function M.set_lengths(batch, schema, name, lengths)
  local offsets, sum = mr.new("int32_t[?]", #lengths + 1), 0
  for i, n in ipairs(lengths) do
    sum = sum + n
    offsets[i] = sum
  end
  local sequence = C.mr_schema_find_sequence(schema.handle, name)
  mr.check(C.mr_batch_set_sequence(batch, sequence, offsets))
  return sum
end

--- A batch: n samples each of its own request, or the sizes of the requests.
function M.batch(schema, sizes)
  local out = mr.new "mr_batch *[1]"
  if type(sizes) == "number" then
    mr.check(C.mr_batch_new(out, schema.handle, sizes, nil))
  else
    mr.check(C.mr_batch_new(out, schema.handle, #sizes, mr.new("int32_t[?]", #sizes, sizes)))
  end
  return mr.gc(out[0], C.mr_batch_free)
end

--- A batch of requests, each with a list `samples`; gives the batch and all samples, in order.
function M.batch_of(schema, requests)
  local sizes, samples = {}, {}
  for i, q in ipairs(requests) do
    sizes[i] = #q.samples
    for _, s in ipairs(q.samples) do samples[#samples + 1] = s end
  end
  return M.batch(schema, sizes), samples
end

--- Give each owner the behaviours that it has as a list under the sequence's name; gives all of
-- them, in order.
function M.set_behaviours(batch, schema, name, owners)
  local lengths, rows = {}, {}
  for i, owner in ipairs(owners) do
    lengths[i] = #owner[name]
    for _, row in ipairs(owner[name]) do rows[#rows + 1] = row end
  end
  M.set_lengths(batch, schema, name, lengths)
  return rows
end

--- Fill an id column from the texts that rows have under `of`.
function M.fill_ids(batch, schema, name, rows, of)
  local keys = C.mr_batch_keys(batch, schema.columns[name])
  for i, row in ipairs(rows) do keys[i - 1] = M.key(schema, name, row[of]) end
end

--- Fill a column of floats by a function of the position.
function M.fill(batch, schema, name, n, value)
  local floats = C.mr_batch_floats(batch, schema.columns[name])
  for i = 0, n - 1 do floats[i] = value(i) end
  return floats
end

--- The key of a text in a column's table.
function M.key(schema, name, text)
  return C.mr_schema_key(schema.handle, schema.columns[name], text, #text)
end

--- Fill an ids column from lists of keys (or of whole numbers that stand for them), one a row.
function M.set_bags(batch, schema, name, bags, weights)
  local offsets, keys = mr.new("int32_t[?]", #bags + 1), {}
  for i, bag in ipairs(bags) do
    for _, key in ipairs(bag) do keys[#keys + 1] = key end
    offsets[i] = #keys
  end
  local list = mr.new("uint64_t[?]", math.max(#keys, 1))
  for i, key in ipairs(keys) do list[i - 1] = key end
  mr.check(C.mr_batch_set_bags(batch, schema.columns[name], offsets, list))
  if not weights then return end
  local floats, n = C.mr_batch_floats(batch, schema.columns[name]), 0
  for _, bag in ipairs(weights) do
    for _, weight in ipairs(bag) do
      floats[n] = weight
      n = n + 1
    end
  end
end

--- Fill an ids column from lists of texts, one a row.
function M.fill_bags(batch, schema, name, bags)
  local keys = {}
  for i, bag in ipairs(bags) do
    keys[i] = {}
    for j, text in ipairs(bag) do keys[i][j] = M.key(schema, name, text) end
  end
  M.set_bags(batch, schema, name, keys)
end

function M.builder(schema) return Builder.new(schema) end

local builder_of = setmetatable({}, { __mode = "k" }) -- a model points into its graph

function M.model(builder, seed)
  local out = mr.new "mr_model *[1]"
  mr.check(C.mr_model_new(out, builder.handle, seed or 1))
  local model = mr.gc(out[0], C.mr_model_free)
  builder_of[model] = builder
  return model
end

--- A run that trains: options as of mr_run_options, `optimizer` a name, `rates` its options.
function M.run(model, options)
  options = options or {}
  local pool = options.pool or Pool.new(options.threads or 1)
  local rates, n = mr.new("mr_option[?]", 8), 0
  for name, value in pairs(options.rates or {}) do
    rates[n].name, rates[n].number = name, value
    n = n + 1
  end
  local given = mr.new("mr_run_options", { batch = options.batch or 64, lanes = options.lanes or 0,
    seed = options.seed or 1, rows_all = options.rows_all and 1 or 0,
    table_l1 = options.table_l1 or 0, table_l2 = options.table_l2 or 0,
    dense_l1 = options.dense_l1 or 0, dense_l2 = options.dense_l2 or 0,
    clip_value = options.clip_value or 0, clip_row = options.clip_row or 0,
    clip_norm = options.clip_norm or 0,
    slice_bytes = options.slice_bytes or 0, table_mba = options.table_mba or 0,
    dense = { name = options.optimizer or "sgd", options = rates, n_options = n } })
  given.admit, given.expire = options.admit, options.expire
  local out = mr.new "mr_run *[1]"
  mr.check(C.mr_run_new(out, model, pool.handle, given))
  return { handle = mr.gc(out[0], C.mr_run_free), pool = pool, model = model }
end

--- Forward and backward; the sum of the loss over samples.
function M.gradient(run, batch)
  local loss = mr.new "double[1]"
  mr.check(C.mr_run_gradient(run.handle, batch, loss))
  return loss[0]
end

--- Hold a run's gradient of the node of the schema's first column, n numbers that are watched,
-- against central differences of the loss; fails where they are more than `tolerance` apart.
function M.check_gradient(run, batch, node, n, tolerance)
  M.gradient(run, batch)
  local gradient, p = mr.new("float[?]", n), C.mr_batch_floats(batch, 0)
  mr.copy(gradient, C.mr_run_watched(run.handle, node.id), 4 * n)
  for i = 0, n - 1 do
    local before = p[i]
    p[i] = before + 3e-3
    local up, above = p[i], M.gradient(run, batch)
    p[i] = before - 3e-3
    local down, below = p[i], M.gradient(run, batch)
    p[i] = before
    assert(math.abs((above - below) / (up - down) - n * gradient[i]) < tolerance)
  end
end

function M.update(run) mr.check(C.mr_run_update(run.handle)) end

--- The value of a node for every row of its domain.
function M.predict(model, pool, batch, node, rows, batch_size)
  local nodes = mr.new("int32_t[1]", node.id)
  local out = mr.new "mr_run *[1]"
  mr.check(C.mr_run_new_predict(out, model, pool.handle,
    mr.new("mr_run_options", { batch = batch_size or 64 }), nodes, 1))
  local run = mr.gc(out[0], C.mr_run_free)
  local values = mr.new("float[?]", rows * node.width)
  local views = mr.new("float *[1]", values)
  mr.check(C.mr_run_predict(run, batch, views))
  return values
end

--- The numbers of a model's tables, by name.
function M.tables(model)
  local info, numbers = mr.new "mr_table_info", {}
  for t = 0, C.mr_model_tables(model) - 1 do
    mr.check(C.mr_model_table(model, t, info))
    numbers[mr.string(info.name)] = t
  end
  return numbers
end

--- A model's weight by its full name: pointer, rows, columns, number.
function M.weight(model, name)
  local info = mr.new "mr_param_info"
  for i = 0, C.mr_model_params(model) - 1 do
    mr.check(C.mr_model_param(model, i, info))
    if mr.string(info.name) == name then
      return C.mr_model_weights(model, i), info.rows, info.columns, i
    end
  end
  error("no weight " .. name)
end

--- The kernel families that this CPU has, for mr_isa_set; the engine's own choice is in use after.
function M.families()
  local list = {}
  for _, name in ipairs { "plain", "avx2", "avx512" } do
    if C.mr_isa_set(name) == C.MR_OK then list[#list + 1] = name end
  end
  C.mr_isa_set "auto"
  return list
end

return M
