--- The rows of a split by what a field says: for figures of each part.
--
-- An id has a slice for each value, those of most rows first and the others together; a number has
-- one for each of its values or, where they are many, equally large ranges; by how often an id came
-- in the training data, a slice for each power of ten.
-- @classmod moonrank.Slices
local metric = require "moonrank.metric"
local mr = require "moonrank.ffi"
local suggest = require "moonrank.suggest"
local C = mr.C

local Slices = {}
Slices.__index = Slices

local RANGES = 5

-- Sort rows by the number of their slice. names[number + 1] is its name; those without rows are
-- left out. Returns nil where a number has no name.
local function build(name, n, numbers, names)
  local counts = mr.new("int64_t[?]", #names + 1)
  for i = 0, n - 1 do
    local number = numbers[i]
    if number < 0 or number >= #names then return nil end
    counts[number + 1] = counts[number + 1] + 1
  end
  local self = setmetatable({ name = name, order = mr.array("int64_t", n) }, Slices)
  for k, slice_name in ipairs(names) do
    local rows = tonumber(counts[k])
    counts[k] = counts[k] + counts[k - 1]
    if rows > 0 then
      self[#self + 1] = { name = slice_name, rows = rows, first = tonumber(counts[k - 1]) }
    end
  end
  for i = 0, n - 1 do
    local number = numbers[i]
    self.order[counts[number]] = i
    counts[number] = counts[number] + 1
  end
  return self
end

-- The number of each key's value, counted from 0 as they first come, and how many there are.
local function number_keys(keys, n)
  local numbers = mr.array("uint32_t", n)
  local distinct = mr.new "int64_t[1]"
  mr.check(C.mr_keys_number(numbers, distinct, keys, n), 2)
  return numbers, tonumber(distinct[0])
end

-- Distinct values by falling number of rows: { { number, rows, row = the first }, ... }.
local function by_rows(numbers, n, distinct)
  local values = {}
  for number = 0, distinct - 1 do values[number + 1] = { number = number, rows = 0 } end
  for i = n - 1, 0, -1 do
    local value = values[numbers[i] + 1]
    value.rows, value.row = value.rows + 1, i
  end
  table.sort(values, function(a, b)
    if a.rows ~= b.rows then return a.rows > b.rows end
    return a.number < b.number
  end)
  return values
end

-- Slices of the `most` values of most rows; names_of(rows) names the values of these rows.
local function largest(name, numbers, n, distinct, most, names_of)
  local values = by_rows(numbers, n, distinct)
  local slice_of, first = mr.array("int32_t", distinct), {}
  for i, value in ipairs(values) do
    slice_of[value.number] = math.min(i - 1, most)
    if i <= most then first[i] = value.row end
  end
  local names, message = names_of(first)
  if not names then return nil, message end
  if distinct > most then names[most + 1] = ("%d others"):format(distinct - most) end
  for i = 0, n - 1 do numbers[i] = slice_of[numbers[i]] end
  return build(name, n, numbers, names)
end

local function by_id(split, name, column, keys, most)
  local n = split:samples()
  local numbers, distinct = number_keys(keys, n)
  return largest(name, numbers, n, distinct, most, function(rows)
    local wanted = mr.new("uint64_t[?]", math.max(#rows, 1))
    for i, row in ipairs(rows) do wanted[i - 1] = keys[row] end
    local names, message = split:texts(column, wanted, #rows)
    for i, text in ipairs(names or {}) do
      local key = wanted[i - 1]
      names[i] = text ~= "" and text or key == 0 and "(none)"
        or "key " .. require "bit".tohex(key, 16)
    end
    return names, message
  end)
end

-- The number of each value's range: as the bins of equal count that calibration has.
local function by_range(name, values, n)
  local zeros = mr.array("float", n)
  mr.fill(zeros, 4 * n)
  local r = assert(metric.reliability(values, zeros, n, RANGES))
  mr.free(zeros)
  local numbers, names = mr.array("uint32_t", n), {}
  for i, bin in ipairs(r.bins) do names[i] = ("%.6g to %.6g"):format(bin.least, bin.most) end
  for i = 0, n - 1 do
    local range = 1
    while values[i] > r.bins[range].most do range = range + 1 end
    numbers[i] = range - 1
  end
  return build(name, n, numbers, names)
end

local function by_number(split, name, values, most)
  local n = split:samples()
  local keys = mr.array("uint64_t", n)
  for i = 0, n - 1 do keys[i] = mr.cast("uint32_t *", values + i)[0] end
  local numbers, distinct = number_keys(keys, n)
  if distinct > most then return by_range(name, values, n) end
  return largest(name, numbers, n, distinct, most, function(rows)
    local names = {}
    for i, row in ipairs(rows) do names[i] = ("%.6g"):format(values[row]) end
    return names
  end)
end

-- A field of one value a row, by name; or nil and a message.
local function field_of(split, name, with_numbers)
  local names = {}
  for _, field in ipairs(split.schema.fields) do
    if field.type == "id" or field.type == "number" and with_numbers then
      if field.name == name then return field end
      names[#names + 1] = field.name
    end
  end
  return nil, ('there is no field "%s" of one %s a row%s'):format(name,
    with_numbers and "value" or "id", suggest.phrase(name, names))
end

--- Slices by scenario.
-- @tparam Split split
-- @treturn ?Slices a list of { name, rows }; nil without a message where no scenario is declared
-- @treturn ?string what is wrong
function Slices.by_scenario(split)
  local numbers, names = split:scenarios()
  if not numbers then return nil end
  local slices = build(split.schema.config.scenario, split:samples(), numbers, names)
  if not slices then return nil, split.cache .. ": the cache is damaged; build it again" end
  return slices
end

--- Slices by the values of a field.
-- @tparam Split split
-- @tparam string name  a field of type id or number, or the column of GAUC's groups, of
-- scenarios or of a label
-- @tparam[opt=20] integer most  values that have a slice of their own
-- @treturn ?Slices a list of { name, rows }
-- @treturn ?string what is wrong
function Slices.by(split, name, most)
  most = most or 20
  local field, message = field_of(split, name, true)
  if field and field.type == "id" then
    return by_id(split, name, field.column, split:values(field), most)
  elseif field then
    return by_number(split, name, split:values(field), most)
  end
  local config = split.schema.config
  if config.scenario == name and split.schema.scenario then return Slices.by_scenario(split) end
  if config.group == name and split.schema.group then
    return by_id(split, name, split.schema.group, split:groups(), most)
  end
  for _, task in ipairs(split.schema.tasks) do
    if task.source == name then
      return by_number(split, name, split:labels(task.name), most)
    end
  end
  return nil, message
end

--- Slices by how many rows of the training data have the same value: none, 1 to 9, 10 to 99 ...
-- @tparam Split split
-- @tparam Split train
-- @tparam string name  a field of type id
-- @treturn ?Slices a list of { name, rows }
-- @treturn ?string what is wrong
function Slices.by_frequency(split, train, name)
  local field, message = field_of(split, name, false)
  if not field then return nil, message end
  local n, n_train = split:samples(), train:samples()
  local keys = mr.array("uint64_t", n_train + n)
  mr.copy(keys, train:values(field), 8 * n_train)
  mr.copy(keys + n_train, split:values(field), 8 * n)
  local numbers, distinct = number_keys(keys, n_train + n)
  local counts = mr.array("int64_t", distinct)
  mr.fill(counts, 8 * distinct)
  for i = 0, n_train - 1 do
    if keys[i] ~= 0 then counts[numbers[i]] = counts[numbers[i]] + 1 end -- 0: no value, or rare
  end
  local buckets, least = mr.array("uint32_t", n),
    split.schema.config.tables[field.table].min_count
  local names = { least > 1 and ("fewer than %d"):format(least) or "none" }
  for i = 0, n - 1 do
    local count, bucket = tonumber(counts[numbers[n_train + i]]), 0
    -- A rare value is known nevertheless where other columns of its table have it too.
    while count >= math.max(10 ^ bucket, least) do bucket = bucket + 1 end
    buckets[i] = bucket
    for k = #names + 1, bucket + 1 do
      names[k] = ("%d to %d"):format(math.max(10 ^ (k - 2), least), 10 ^ (k - 1) - 1)
    end
  end
  return build(("rows of %s in training"):format(name), n, buckets, names)
end

--- What a slice's rows have of an array over all rows.
-- @tparam integer k  of the slice
-- @param values  FFI array or pointer of floats or keys, or nil
-- @return an array from 0, in the order of the data; nil of nil
function Slices:gather(k, values)
  if values == nil then return nil end
  local slice = self[k]
  local kind = type(values[0]) == "number" and "float" or "uint64_t"
  local picked = mr.array(kind, slice.rows)
  for i = 0, slice.rows - 1 do picked[i] = values[self.order[slice.first + i]] end
  return picked
end

--- Free its memory now rather than at some later collection.
function Slices:close() mr.free(self.order) end

--- The figures of each slice.
-- @tparam Split split  the one that was sliced
-- @param logits  over all rows
-- @param labels  over all rows
-- @param[opt] pool
-- @treturn ?{table,...} as of metric.figures, with `name`
-- @treturn ?string what is wrong
function Slices:figures(split, logits, labels, pool)
  local list, groups, weights = {}, split:groups(), split:weights()
  for k, slice in ipairs(self) do
    local x, y, keys, w = self:gather(k, logits), self:gather(k, labels), self:gather(k, groups),
      self:gather(k, weights)
    local figures, message = metric.figures(x, y, keys, slice.rows, pool, w)
    for _, array in pairs { x, y, keys, w } do mr.free(array) end
    if not figures then return nil, message end
    figures.name = slice.name
    list[k] = figures
  end
  return list
end

return Slices
