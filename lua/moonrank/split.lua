--- A part of the data (train, valid, test or a file to predict), read from its column cache.
-- @classmod moonrank.Split
local mr = require "moonrank.ffi"
local path_of = require "moonrank.path"
local sorted_keys = require "moonrank.sorted_keys"
local C = mr.C

local Split = {}
Split.__index = Split

--- Open a column cache.
-- @tparam Schema schema
-- @tparam string cache  path of the cache file
-- @tparam string name  for messages
-- @treturn ?Split
-- @treturn ?string what is wrong
function Split.open(schema, cache, name)
  local out = mr.new "mr_dataset *[1]"
  local ok, message = mr.ok(C.mr_dataset_open(out, schema.handle, cache))
  if not ok then return nil, message end
  local split = Split.of(out[0], schema, name)
  split.cache, split.cache_bytes, message = cache, path_of.size(cache)
  if message then
    split:close()
    return nil, message
  end
  return split
end

--- Take what is a dataset already.
-- @param dataset  `mr_dataset *`, which is the split's from now on
-- @tparam Schema schema
-- @tparam string name  for messages
-- @treturn Split
function Split.of(dataset, schema, name)
  return setmetatable({ handle = mr.gc(dataset, C.mr_dataset_close), name = name, schema = schema },
    Split)
end

local function handle_of(self)
  return self.handle or error(("the split %s is closed"):format(self.name), 3)
end

--- How many samples (rows of text) there are.
-- @treturn integer
function Split:samples() return tonumber(C.mr_dataset_samples(handle_of(self))) end

--- How many requests there are; as many as samples when no request key is declared.
-- @treturn integer
function Split:requests() return tonumber(C.mr_dataset_requests(handle_of(self))) end

local REASONS = { cells = C.MR_BAD_CELLS, label = C.MR_BAD_LABEL, number = C.MR_BAD_NUMBER,
  sequence = C.MR_BAD_SEQUENCE, pair = C.MR_BAD_PAIR, id = C.MR_BAD_ID }

--- Rows of the text that were wrong and left out, as data.bad_rows asked for.
-- @treturn integer how many
-- @treturn table how many by reason, of those that there are: `cells` (their number), `label`,
-- `number`, `sequence` (columns of different lengths), `pair` (of libsvm and libffm), `id` (not
-- among the values of its field)
-- @return `const int64_t *`: their numbers from 0, ascending, wrong ones counted, valid until the
-- split is closed
function Split:bad_rows()
  local handle, n, by_reason = handle_of(self), 0, {}
  for name, reason in pairs(REASONS) do
    local count = tonumber(C.mr_dataset_bad_rows(handle, reason))
    if count > 0 then n, by_reason[name] = n + count, count end
  end
  return n, by_reason, C.mr_dataset_bad_list(handle)
end

--- The same as a line for people, nil where there are none.
-- @treturn ?string such as "train: 3 wrong rows left out (cells 1, number 2)"
function Split:bad_rows_line()
  local n, by_reason = self:bad_rows()
  return Split.bad_line(self.name, n, by_reason)
end

--- A line for people on rows that were wrong.
-- @tparam string name  of what was read
-- @tparam integer n  how many
-- @tparam table by_reason  as of bad_rows()
-- @treturn ?string nil where there are none
function Split.bad_line(name, n, by_reason)
  if n == 0 then return nil end
  local parts = {}
  for i, reason in ipairs(sorted_keys(by_reason)) do
    parts[i] = ("%s %d"):format(reason, by_reason[reason])
  end
  return ("%s: %d wrong row%s left out (%s)"):format(name, n, n == 1 and "" or "s",
    table.concat(parts, ", "))
end

--- Distinct values of a table; in training data with a min_count above 1, of those that are kept.
-- @tparam string name  of the table
-- @treturn integer 0 where there is no such table
function Split:distinct(name)
  local handle = handle_of(self)
  local index = C.mr_schema_find_table(self.schema.handle, name)
  return index < 0 and 0 or math.max(0, tonumber(C.mr_dataset_distinct(handle, index)))
end

--- Codes that stand for a table's values in rows, some of which stand for none.
-- @tparam string name  of the table
-- @treturn integer 0 where there is no such table
function Split:codes(name)
  local handle = handle_of(self)
  local index = C.mr_schema_find_table(self.schema.handle, name)
  return index < 0 and 0 or math.max(0, tonumber(C.mr_dataset_codes(handle, index)))
end

--- Values that were made unknown when the cache was built: not listed, or rare in training data.
-- @tparam Field field  of type id or ids
-- @treturn integer
function Split:unseen(field)
  return tonumber(C.mr_dataset_unseen(handle_of(self), field.column))
end

--- Whether any row has a value of a field, rare and unlisted ones counted.
-- @tparam Field field  of type id or ids
-- @treturn boolean
function Split:has_values(field)
  return C.mr_dataset_has_values(handle_of(self), field.column) ~= 0
end

--- The numbers or labels of a sample-side column, one a sample.
-- @param column  name or number
-- @return `const float *` from 0, valid until the split is closed; nil where the column has none
function Split:floats(column)
  local view = C.mr_dataset_floats(handle_of(self), self.schema:column(column))
  return view ~= nil and view or nil
end

--- The keys of a sample-side column, one a sample.
-- @param column  name or number
-- @return `const uint64_t *` from 0, valid until the split is closed; nil where the column has none
function Split:keys(column)
  local view = C.mr_dataset_keys(handle_of(self), self.schema:column(column))
  return view ~= nil and view or nil
end

--- The labels of a task.
-- @tparam[opt] string task  default: the only one
-- @return `const float *`, or nil where the data has no such label
function Split:labels(task)
  for _, known in ipairs(self.schema.tasks) do
    if known.name == task or task == nil and #self.schema.tasks == 1 then
      return self:floats(known.column)
    end
  end
end

--- The keys of GAUC's groups.
-- @return `const uint64_t *`, or nil where no group is declared
function Split:groups()
  return self.schema.group and self:keys(self.schema.group)
end

--- The weights of samples.
-- @return `const float *`, or nil where no weight is declared
function Split:weights()
  return self.schema.weight and self:floats(self.schema.weight)
end

--- The times of samples, in seconds.
-- @return `const double *`, or nil where no time is declared
function Split:times()
  local view = self.schema.time and C.mr_dataset_times(handle_of(self), self.schema.time)
  return view ~= nil and view or nil
end

--- The scenarios of samples.
-- @return `const int32_t *`, numbers from 0, or nil where no scenario is declared; valid until the
-- split is closed
-- @treturn ?{string,...} what they are called, by number + 1
function Split:scenarios()
  if not self.schema.scenario then return nil end
  local handle, names = handle_of(self), {}
  for i = 0, C.mr_dataset_scenarios(handle) - 1 do
    names[i + 1] = mr.string(C.mr_dataset_scenario_name(handle, i))
  end
  return C.mr_dataset_scenario(handle), names
end

--- What a field of one value a row says, one a sample, whatever side it is of.
-- @tparam Field field  an id or a number (of Schema.fields)
-- @return keys as `uint64_t *`, of a number as `float *`; from 0
function Split:values(field)
  local is_number = field.type == "number"
  local values = mr.array(is_number and "float" or "uint64_t", self:samples())
  local view = is_number and C.mr_batch_floats or C.mr_batch_keys
  local at = 0
  for batch in self:loader {} do
    local from, first = view(batch, field.column), C.mr_batch_first_sample(batch)
    if from == nil then error("memory ran out", 2) end
    local n = tonumber(C.mr_batch_rows(batch, C.MR_SAMPLE))
    if field.domain == "sample" then
      mr.copy(values + at, from, n * (is_number and 4 or 8))
    else
      for row = 0, tonumber(C.mr_batch_rows(batch, C.MR_REQUEST)) - 1 do
        for i = first[row], first[row + 1] - 1 do values[at + i] = from[row] end
      end
    end
    at = at + n
  end
  return values
end

--- The texts of keys: those that the cache keeps, else found again in the files that the split was
-- read from.
-- @tparam integer column  of ids or groups
-- @param keys  `uint64_t` array
-- @tparam integer n
-- @treturn ?{string,...} at most 47 bytes each, "" where no row has the key
-- @treturn ?string what is wrong
function Split:texts(column, keys, n)
  local out, source, texts = mr.new "char *[1]", self.source, {}
  local function read(ok, message)
    if not ok then return nil, message end
    for line in mr.string(out[0]):gmatch "([^\n]*)\n" do texts[#texts + 1] = line end
    C.mr_text_free(out[0])
    return texts
  end
  local table_index = self.schema:table_of(column)
  if table_index and C.mr_dataset_has_texts(handle_of(self), table_index) ~= 0 then
    return read(mr.ok(C.mr_dataset_texts(out, handle_of(self), table_index, keys, n)))
  end
  if source.once then -- it was standard input
    for i = 1, n do texts[i] = "" end
    return texts
  end
  return read(mr.ok(C.mr_keys_texts(out, self.schema.handle, source.format, source.paths,
    source.n, column, keys, n)))
end

local Loader = {}
Loader.__index = Loader

-- The loader that a batch came from, and its how-manieth it was: a batch is valid until the next.
-- As long as somebody holds a batch its loader is not collected.
local origins = setmetatable({}, { __mode = "k" })

-- The next batch, or nil at the end.
function Loader:__call()
  if self.ended then return nil end
  if not self.handle then error("the loader is closed", 2) end
  local out = mr.new "mr_batch *[1]"
  local status = C.mr_loader_next(self.handle, out)
  if status < 0 then error(mr.last_error(), 2) end
  if status == C.MR_END then
    self.ended = true
    self:close()
    return nil
  end
  local batch = out[0]
  self.count = self.count + 1
  origins[batch] = { loader = self, count = self.count }
  return batch
end

--- Refuse a batch of a loader that was closed or has gone on: its memory is another's by now.
-- @param batch  `mr_batch *`
-- @tparam[opt=1] integer level  how many calls further up the mistake was made
-- @raise at the caller's line
function Split.check_batch(batch, level)
  local origin = origins[batch]
  if origin and (not origin.loader.handle or origin.loader.count ~= origin.count) then
    error("the batch is gone: its loader was closed or has made another", (level or 1) + 2)
  end
end

--- Stop making batches now rather than at some later collection. May be called twice.
function Loader:close()
  if self.handle then
    C.mr_loader_free(mr.gc(self.handle, nil))
    self.handle = nil
  end
end

local LOADER_OPTIONS = { batch = true, max_request = true, seed = true, epoch = true,
  shuffle = true, shuffle_bytes = true, skip = true }

local function loader_options(options)
  options = options or {}
  for name in pairs(options) do
    if not LOADER_OPTIONS[name] then
      error(('unknown option "%s" of a loader'):format(tostring(name)), 3)
    end
  end
  return mr.new("mr_loader_options", { batch = options.batch or 4096,
    max_request = options.max_request or 0, seed = options.seed or 0, epoch = options.epoch or 0,
    shuffle = options.shuffle and 1 or 0,
    skip = options.skip or 0, shuffle_bytes = options.shuffle_bytes or 0 })
end

--- Batches, made ahead by a thread of the engine.
-- @tparam table options  batch (samples at most, 4096); shuffle (false); seed (0) and epoch (0) of
-- the shuffle; shuffle_bytes: by blocks where there are more bytes of rows (0: never); max_request:
-- requests of more samples are cut (batch); skip: batches to leave out at the start (0)
-- @return an iterator over `mr_batch *`, each valid until the next; it has close() too
-- @raise when an option is unknown or wrong
-- @usage for batch in split:loader { batch = 1024 } do ... end
function Split:loader(options)
  local out = mr.new "mr_loader *[1]"
  mr.check(C.mr_loader_new(out, handle_of(self), loader_options(options)))
  return setmetatable({ handle = mr.gc(out[0], C.mr_loader_free), split = self, count = 0 },
    Loader)
end

--- At most the bytes that a loader holds, its batches included.
-- @tparam table options  as of loader()
-- @treturn integer
function Split:loader_bytes(options)
  local bytes = tonumber(C.mr_loader_bytes(handle_of(self), loader_options(options)))
  if bytes < 0 then error(mr.last_error(), 2) end
  return bytes
end

--- At most the bytes of a run's buffers for batches of this split.
-- @param run  `mr_run *` of a model of its schema
-- @tparam[opt] table options  as of loader(); default: in whatever order rows come
-- @treturn integer
function Split:run_bytes(run, options)
  return tonumber(C.mr_run_data_bytes(run, handle_of(self), options and loader_options(options)))
end

--- Close the cache now rather than at some later collection. May be called twice.
function Split:close()
  if self.handle then
    C.mr_dataset_close(mr.gc(self.handle, nil))
    self.handle = nil
  end
end

return Split
