--- Schemas, text files, caches and what comes out of them, for specs about engine/src/data.
local ffi = require "ffi"
local helper = require "helper"
local mr = require "moonrank.ffi"
local C = mr.C

local M = {}

local TYPES = { id = C.MR_ID, ids = C.MR_IDS, number = C.MR_NUMBER, label = C.MR_LABEL,
  group = C.MR_GROUP, request_key = C.MR_REQUEST_KEY, vector = C.MR_VECTOR, weight = C.MR_WEIGHT,
  scenario = C.MR_SCENARIO, time = C.MR_TIME, bucket = C.MR_BUCKET }

local WHEN_MISSING = { mean = C.MR_MISSING_MEAN, own = C.MR_MISSING_OWN }

-- Columns that batches do not have.
local NOT_IN_BATCHES = { request_key = true, scenario = true, time = true }

--- What a column is, for mr_schema_add_column. Points into the texts of `column`.
function M.spec(column)
  local spec = mr.new "mr_column_spec"
  spec.name, spec.source, spec.table = column.name, column.source, column.table
  spec.sequence = column.sequence
  spec.type = TYPES[column.type] or column.type
  spec.domain = column.side == "request" and C.MR_REQUEST or C.MR_SAMPLE
  spec.separator = column.separator and column.separator:byte() or 0
  spec.max, spec.width = column.max or 0, column.width or 0
  spec.weight_separator = column.weights and column.weights:byte() or 0
  spec.padding = column.padding
  spec.weights = column.weights_source
  spec.transform = column.log1p and C.MR_LOG1P or C.MR_PLAIN_NUMBER
  spec.when_missing = WHEN_MISSING[column.missing] or C.MR_MISSING_VALUE
  spec.missing = tonumber(column.missing) or 0
  spec.normalize, spec.buckets = column.normalize and 1 or 0, column.buckets or 0
  if column.values then
    column.list = mr.new("const char *[?]", #column.values, column.values) -- lives as it does
    spec.values, spec.n_values = column.list, #column.values
  end
  if column.cross then
    column.parts = mr.new("const char *[?]", #column.cross, column.cross)
    spec.cross, spec.n_cross = column.parts, #column.cross
  end
  spec.unseen = column.unseen and C["MR_UNSEEN_" .. column.unseen:upper()] or 0
  if column.sources then
    column.source_list = mr.new("const char *[?]", #column.sources, column.sources)
    spec.sources, spec.n_sources = column.source_list, #column.sources
  end
  if column.from then spec.clips, spec.least = 1, column.from end
  if column.clip then spec.clips, spec.least, spec.most = 1, column.clip[1], column.clip[2] end
  return spec
end

--- @return true, or nil and the message
function M.add_column(schema, column)
  local spec = M.spec(column)
  local ok, message = mr.ok(C.mr_schema_add_column(schema, spec))
  return ok, message, column -- used until here, so its texts live as long
end

--- { name =, side =, max =, keep = "last", separator = }; true, or nil and the message.
function M.add_sequence(schema, sequence)
  return mr.ok(C.mr_schema_add_sequence(schema, mr.new("mr_sequence_spec", {
    name = sequence.name, max = sequence.max or 0,
    domain = sequence.side == "request" and C.MR_REQUEST or C.MR_SAMPLE,
    keep = ({ first = C.MR_KEEP_FIRST, last = C.MR_KEEP_LAST })[sequence.keep] or sequence.keep
      or C.MR_KEEP_FIRST,
    padding = sequence.padding,
    separator = sequence.separator and sequence.separator:byte() or 0 })))
end

function M.new_schema()
  local out = mr.new "mr_schema *[1]"
  mr.check(C.mr_schema_new(out))
  return mr.gc(out[0], C.mr_schema_free)
end

--- A schema of columns { name =, type =, side =, ... }; min_count by table. The sequences that
-- columns name stand in `columns.sequences`, as M.add_sequence takes them.
function M.schema(columns, min_count)
  local schema = M.new_schema()
  for _, sequence in ipairs(columns.sequences or {}) do assert(M.add_sequence(schema, sequence)) end
  for name, count in pairs(min_count or {}) do
    mr.check(C.mr_schema_add_table(schema, name, count))
  end
  for _, column in ipairs(columns) do assert(M.add_column(schema, column)) end
  return schema
end

function M.pool(threads)
  local out = mr.new "mr_pool *[1]"
  mr.check(C.mr_pool_new(out, threads))
  return mr.gc(out[0], C.mr_pool_free)
end

-- The format that options say; what it points into comes besides.
local function format_of(options)
  local format = mr.new("mr_text_format", {
    delimiter = (options.delimiter or ","):byte(), quotes = options.quotes == false and 0 or 1,
    block_bytes = options.block or 0, row_bytes = options.row or 0 })
  format.bad_rows = options.bad_rows or 0
  if options.layout then format.layout = C["MR_" .. options.layout:upper()] end
  local names = options.names and mr.new("const char *[?]", #options.names, options.names)
  if names then format.names, format.n_names = names, #options.names end
  local selection = options.selection and mr.new("mr_selection", options.selection)
  format.selection = selection
  return format, { names, selection }
end

--- Build a cache. Options: delimiter, quotes (default true), block, row, names, layout ("libsvm"),
-- bad_rows, fit, pool, selection (the fields of an mr_selection).
-- @return true, or nil and the message
function M.build(schema, paths, cache, options)
  options = options or {}
  if type(paths) == "string" then paths = { paths } end
  local format, held = format_of(options)
  local list = mr.new("const char *[?]", #paths, paths)
  return mr.ok(C.mr_dataset_build(schema, format, list, #paths, cache, options.fit and 1 or 0,
    options.pool), held)
end

--- Build a cache of training data by one and by four threads, with blocks of several sizes: all
-- must have the same bytes.
-- @tparam function make  gives a schema for each
function M.check_same_bytes(make, path, cache)
  local first
  for _, threads in ipairs { 1, 4 } do
    local pool = M.pool(threads)
    for _, block in ipairs { 0, 60, 3000 } do
      assert(M.build(make(), path, cache, { fit = true, pool = pool, block = block }))
      local bytes = helper.read(cache)
      first = first or bytes
      require "luassert".is_true(bytes == first)
    end
  end
end

--- Read files as a stream, with options as of M.build.
-- @tparam function each  is called with each part, a dataset
-- @return true, or nil and the message
function M.stream(schema, paths, options, each)
  if type(paths) == "string" then paths = { paths } end
  local format, held = format_of(options)
  local list, out = mr.new("const char *[?]", #paths, paths), mr.new "mr_stream *[1]"
  local ok, message = mr.ok(C.mr_stream_open(out, schema, format, list, #paths))
  if not ok then return nil, message end
  local stream, part = out[0], mr.new "mr_dataset *[1]"
  local status
  repeat
    status = C.mr_stream_next(stream, 1000, part, mr.new "mr_build_progress")
    message = status < 0 and mr.last_error() or nil
    if part[0] ~= nil then each(mr.gc(part[0], C.mr_dataset_close)) end
  until status ~= C.MR_OK
  C.mr_stream_close(stream)
  return status == C.MR_END and held ~= nil or nil, message
end

--- @return the dataset, or nil and the message
function M.open(schema, cache)
  local out = mr.new "mr_dataset *[1]"
  local ok, message = mr.ok(C.mr_dataset_open(out, schema, cache))
  if not ok then return nil, message end
  return mr.gc(out[0], C.mr_dataset_close)
end

--- Options: batch (default 100), max_request, seed, epoch, shuffle, shuffle_bytes, skip.
function M.loader(dataset, options)
  local out = mr.new "mr_loader *[1]"
  local ok, message = mr.ok(C.mr_loader_new(out, dataset, mr.new("mr_loader_options", {
    batch = options.batch or 100, max_request = options.max_request or 0,
    seed = options.seed or 0, epoch = options.epoch or 0, shuffle = options.shuffle and 1 or 0,
    shuffle_bytes = options.shuffle_bytes or 0, skip = options.skip or 0 })))
  if not ok then return nil, message end
  return mr.gc(out[0], C.mr_loader_free)
end

--- The next batch; nil at the end; nil and a message.
function M.next_batch(loader)
  local out = mr.new "mr_batch *[1]"
  local status = C.mr_loader_next(loader, out)
  if status == C.MR_OK then return out[0] end
  if status == C.MR_END then return nil end
  return nil, mr.last_error()
end

--- The key of a text, as text.
function M.key(schema, column, text)
  return tostring(C.mr_schema_key(schema, C.mr_schema_find(schema, column), text, #text))
end

--- A bag of texts as M.rows shows it; with the weight of each where the column has `weights`, which
-- is the separator of its spec.
function M.bag(schema, column, texts, weights)
  local keys = {}
  for i, text in ipairs(texts) do
    keys[i] = M.key(schema, column, text)
    if weights then keys[i] = ("%s*%.9g"):format(keys[i], weights[i]) end
  end
  return table.concat(keys, " ")
end

--- A vector as M.rows shows it.
-- @tparam {number,...} numbers  from `from` (1) on
function M.vector(numbers, width, from)
  local list = {}
  for i = 1, width do list[i] = ("%.9g"):format(numbers[(from or 1) + i - 1]) end
  return table.concat(list, " ")
end

local function value_of(batch, column, kind, row, width, weights)
  if kind == "vector" then
    return M.vector(C.mr_batch_floats(batch, column), width, row * width)
  end
  if kind == "number" or kind == "label" or kind == "weight" then
    return C.mr_batch_floats(batch, column)[row]
  end
  local keys = C.mr_batch_keys(batch, column)
  if kind ~= "ids" then return tostring(keys[row]) end
  local offsets, bag = C.mr_batch_offsets(batch, column), {}
  for i = offsets[row], offsets[row + 1] - 1 do
    bag[#bag + 1] = tostring(keys[i])
    if weights then
      bag[#bag] = ("%s*%.9g"):format(bag[#bag], C.mr_batch_floats(batch, column)[i])
    end
  end
  return table.concat(bag, " ")
end

-- What a row has of a sequence's column: a list of its behaviours' values.
local function behaviours_of(batch, schema, column, row)
  local offsets = C.mr_batch_sequence(batch, C.mr_schema_find_sequence(schema, column.sequence))
  local index, list = C.mr_schema_find(schema, column.name), {}
  for i = offsets[row], offsets[row + 1] - 1 do
    list[#list + 1] = value_of(batch, index, column.type, i, column.width)
  end
  return list
end

--- The samples of a batch, each a table of its values by column; request-side values included.
-- `row` is the position in the dataset, `request` that of its request in the batch, from 0.
function M.samples(batch, schema, columns)
  local samples = {}
  local first, index = C.mr_batch_first_sample(batch), C.mr_batch_sample_index(batch)
  for request = 0, tonumber(C.mr_batch_rows(batch, C.MR_REQUEST)) - 1 do
    for i = first[request], first[request + 1] - 1 do
      local sample = { row = tonumber(index[i]), request = request }
      for _, column in ipairs(columns) do
        if not NOT_IN_BATCHES[column.type] then
          local at = column.side == "request" and request or i
          sample[column.name] = column.sequence and behaviours_of(batch, schema, column, at)
            or value_of(batch, C.mr_schema_find(schema, column.name), column.type, at,
              column.width, column.weights or column.weights_source or column.is_weighted)
        end
      end
      samples[#samples + 1] = sample
    end
  end
  return samples
end

--- All samples of a cache, in the order of the loader.
-- @return a list, or nil and the message
function M.rows(schema, columns, cache, options)
  local dataset, message = M.open(schema, cache)
  if not dataset then return nil, message end
  return M.rows_of(schema, columns, dataset, options)
end

--- The same of an open dataset.
function M.rows_of(schema, columns, dataset, options)
  local loader, trouble = M.loader(dataset, options or {})
  if not loader then return nil, trouble end
  local rows = {}
  while true do
    local batch, failure = M.next_batch(loader)
    if failure then return nil, failure end
    if not batch then return rows end
    for _, column in ipairs(columns) do -- the first call makes the keys of all
      if column.type == "id" and not column.sequence -- of one there may be none
        and C.mr_batch_keys(batch, C.mr_schema_find(schema, column.name)) == nil then
        return nil, mr.last_error()
      end
    end
    for _, sample in ipairs(M.samples(batch, schema, columns)) do rows[#rows + 1] = sample end
  end
end

--- Write text, build a cache of it and return its samples.
-- @return a list, or nil and the message, where the path of the file reads "FILE"
function M.parse(columns, text, options)
  local dir, schema = helper.temp_dir(), M.schema(columns)
  local path = helper.write(dir .. "/data.csv", text)
  local ok, message = M.build(schema, path, dir .. "/cache", options)
  if not ok then return nil, (message:gsub("^" .. path:gsub("%p", "%%%0"), "FILE")) end
  return assert(M.rows(schema, columns, dir .. "/cache")), schema
end

--- The counts of rows left out by reason, and the list of their numbers.
function M.bad_rows(schema, cache) return M.bad_rows_of(assert(M.open(schema, cache))) end

--- The same of an open dataset.
function M.bad_rows_of(dataset)
  local counts, list, total = {}, {}, 0
  for reason = 0, C.MR_BAD_REASONS - 1 do
    counts[reason + 1] = tonumber(C.mr_dataset_bad_rows(dataset, reason))
    total = total + counts[reason + 1]
  end
  for i = 0, total - 1 do list[i + 1] = tonumber(C.mr_dataset_bad_list(dataset)[i]) end
  return counts, list
end

--- The values of one column of samples.
function M.column(rows, name)
  local values = {}
  for i, row in ipairs(rows) do values[i] = row[name] end
  return values
end

--- Call `f` with the first allocation failing, then the second, and so on, until it returns true.
-- @treturn integer how many runs failed
function M.with_failing_memory(f)
  for n = 0, 100000 do
    C.mr_alloc_fail_after(n)
    local done = f()
    C.mr_alloc_fail_after(-1)
    if done then return n end
  end
  error "it never succeeded"
end

--- Make a schema, build a cache and read its rows, while every allocation fails in turn: each time
-- one message, no file left over, and at the end nothing in use that was not before. Gives how many
-- failed.
function M.read_without_memory(columns, source, cache, build, read)
  local assert, lfs = require "luassert", require "lfs"
  local before = M.live_blocks()
  local failures = M.with_failing_memory(function()
    os.remove(cache)
    local schema = mr.new "mr_schema *[1]"
    if not mr.ok(C.mr_schema_new(schema)) then return false end
    local ok, message, rows = true, nil, nil
    for _, sequence in ipairs(columns.sequences or {}) do
      if ok then ok, message = M.add_sequence(schema[0], sequence) end
    end
    for _, column in ipairs(columns) do
      if ok then ok, message = M.add_column(schema[0], column) end
    end
    if ok then ok, message = M.build(schema[0], source, cache, build) end
    if ok then rows, message = M.rows(schema[0], columns, cache, read) end
    C.mr_schema_free(schema[0])
    collectgarbage()
    collectgarbage()
    if not rows then assert.equal("memory ran out", message) end
    assert.is_nil(lfs.attributes(cache .. ".tmp"))
    return rows ~= nil
  end)
  assert.equal(before, M.live_blocks())
  return failures
end

--- Blocks of memory in use, garbage aside.
function M.live_blocks()
  collectgarbage()
  collectgarbage()
  return tonumber(C.mr_alloc_live())
end

ffi.cdef "float strtof(const char *text, char **end);"
--- What the C library makes of a number.
function M.strtof(text) return ffi.C.strtof(text, nil) end

return M
