--- What a pass over a split finds of each column: how much is empty, which values there are and how
-- many are new, lengths of lists, moments of numbers, and what each alone tells of the label.
--
-- Rows are read as training reads them, from a column cache that is built for the purpose, with no
-- transforms and with a mark for empty numbers. Memory does not grow with the rows. Counts of rows
-- are exact, and all that is said of values as long as a column has at most KEYS different ones,
-- beyond that of a fair sample (moonrank.key_counts); the AUC of single columns is of a sample of
-- rows. A vector counts as all of its numbers, has no AUC, and is empty where all are zero.
-- @module moonrank.check_columns
local clock = require "moonrank.clock"
local KeyCounts = require "moonrank.key_counts"
local metric = require "moonrank.metric"
local mr = require "moonrank.ffi"
local C = mr.C

local M = {}

local BATCH, LENGTHS, PARTS = 8192, 4096, 10
local ALL_KEYS, MOST_KEYS = 8e6, 1048576 -- of all columns of a split, of one
local SAMPLE_ROWS = 200000 -- for the AUC of single columns

--- What stands for an empty number.
M.EMPTY = -3.4e38
--- What is at most this is one.
M.LEAST = -3.3e38

-- ---- columns ----

local function column_of(field, sequence, most)
  local c = { name = field.name, type = field.type, column = field.column, table = field.table,
    sequence = sequence, rows = 0, empty = 0, aucs = {}, width = field.width or 1 }
  local has_keys = field.type == "id" or field.type == "ids"
  if has_keys then c.keys = KeyCounts.new(most) end
  if field.type == "ids" or sequence then c.lengths = mr.new("double[?]", LENGTHS + 1) end
  if not has_keys then
    c.number = { n = 0, mean = 0, m2 = 0, m3 = 0, min = math.huge, max = -math.huge }
  end
  -- Two sums over the rows that are equal for columns with equal values in every row, whatever the
  -- values are called.
  local has_one = field.type == "id" or field.type == "number"
  if has_one and not sequence then c.print1, c.print2 = 1, 1 end
  return c
end

local function columns_of(schema, hidden)
  local list, n = {}, #schema.fields
  for _, sequence in ipairs(schema.sequences) do n = n + #sequence.members end
  local most = math.max(4096, math.min(MOST_KEYS, math.floor(ALL_KEYS / math.max(n, 1))))
  for _, field in ipairs(schema.fields) do
    if not (hidden and hidden[field.name]) then
      local c = column_of(field, nil, most)
      c.domain = field.domain == "request" and C.MR_REQUEST or C.MR_SAMPLE
      list[#list + 1] = c
    end
  end
  for s, sequence in ipairs(schema.sequences) do
    for _, member in ipairs(sequence.members) do
      local c = column_of(member, s - 1, most)
      c.domain = sequence.domain == "request" and C.MR_REQUEST or C.MR_SAMPLE
      list[#list + 1] = c
    end
  end
  return list
end

-- Where the values of each row begin in a column: [rows + 1], or nil where each row has one.
local function starts_of(c, batch, rows)
  local bags = c.type == "ids" and C.mr_batch_offsets(batch, c.column) or nil
  if not c.sequence then return bags end
  local behaviours = C.mr_batch_sequence(batch, c.sequence)
  if not bags then return behaviours end
  c.starts = c.n_starts and c.n_starts > rows and c.starts or mr.new("int32_t[?]", rows + 1)
  c.n_starts = math.max(c.n_starts or 0, rows + 1)
  for r = 0, rows do c.starts[r] = bags[behaviours[r]] end
  return c.starts
end

local function print_of(c, value)
  c.print1 = (c.print1 * 65539 + value) % 2147483647
  c.print2 = (c.print2 * 48271 + value) % 2147483629
end

-- ---- the first pass ----

-- `of` holds a domain's rows: weight (samples), half_n, half_pos, each [rows].
local function count_keys(c, batch, rows, of, train)
  local keys = mr.cast("const uint32_t *", C.mr_batch_keys(batch, c.column))
  local starts, counts, lengths = starts_of(c, batch, rows), c.keys, c.lengths
  local before = train and train.keys
  for r = 0, rows - 1 do
    local from, to = r, r + 1
    if starts then from, to = starts[r], starts[r + 1] end
    local w, filled = of.weight[r], false
    for k = from, to - 1 do
      local lo, hi = keys[2 * k], keys[2 * k + 1]
      if lo ~= 0 or hi ~= 0 then
        filled = true
        local rank = counts:add(lo, hi, w, of.half_n[r], of.half_pos[r])
        if c.print1 then print_of(c, rank + 1) end
        if before then
          local n = before:get(lo, hi)
          if n >= 0 then
            c.looked, c.unseen = c.looked + w, c.unseen + (n == 0 and w or 0)
          end
        end
      end
    end
    if lengths then
      local n = starts and to - from or 0
      if c.type == "ids" and c.sequence then
        local owner = C.mr_batch_sequence(batch, c.sequence)
        n = owner[r + 1] - owner[r]
      end
      n = math.min(n, LENGTHS)
      lengths[n] = lengths[n] + w
    end
    if not filled then
      c.empty = c.empty + w
      if c.print1 then print_of(c, 0) end
    end
    c.rows = c.rows + w
  end
end

-- Moments with weights, one value after another (Pebay 2008).
local function add_number(s, x, w)
  local n = s.n + w
  local d = x - s.mean
  local step = d * w / n
  local term = d * step * s.n
  s.mean = s.mean + step
  s.m3 = s.m3 + term * d * (s.n - w) / n - 3 * step * s.m2
  s.m2, s.n = s.m2 + term, n
  if x < s.min then s.min = x end
  if x > s.max then s.max = x end
end

-- A row of a column of numbers: how many values it has, and whether they say something.
local function add_row(c, n, filled, w)
  if c.lengths then
    n = math.min(n, LENGTHS)
    c.lengths[n] = c.lengths[n] + w
  end
  c.rows, c.empty = c.rows + w, c.empty + (filled and 0 or w)
end

local function add_vectors(c, batch, rows, of)
  local values, stats = C.mr_batch_floats(batch, c.column), c.number
  local starts, width = starts_of(c, batch, rows), c.width
  for r = 0, rows - 1 do
    local from, to = r, r + 1
    if starts then from, to = starts[r], starts[r + 1] end
    local w, filled = of.weight[r], false
    for k = from * width, to * width - 1 do
      add_number(stats, values[k], w)
      filled = filled or values[k] ~= 0
    end
    add_row(c, to - from, filled, w)
  end
end

local function add_numbers(c, batch, rows, of)
  local values, stats, latest = C.mr_batch_floats(batch, c.column), c.number, of.latest
  local bits = mr.cast("const uint32_t *", values)
  local starts = starts_of(c, batch, rows)
  for r = 0, rows - 1 do
    local from, to = r, r + 1
    if starts then from, to = starts[r], starts[r + 1] end
    local w, filled, later = of.weight[r], false, false
    for k = from, to - 1 do
      if values[k] > M.LEAST then
        add_number(stats, values[k], w)
        filled, later = true, later or latest and values[k] > latest[r]
      end
    end
    if later then c.later = (c.later or 0) + w end
    if c.print1 then print_of(c, bits[r]) end
    add_row(c, to - from, filled, w)
  end
end

-- A stream of numbers 0 to 2^32 - 1, one for each request: the same in every pass.
local function random_stream()
  local state = 12345
  return function()
    state = (state * 1664525 + 1013904223) % 4294967296
    return state
  end
end

-- Rows of a batch by domain, with their labels: weight, half_n, half_pos; and where rows have times
-- that are of a day, latest: what a time is not after that was known then, as floats have it.
local function new_rows(n, times)
  return { weight = mr.new("double[?]", n), half_n = mr.new("double[?]", n),
    half_pos = mr.new("double[?]", n), latest = times and mr.new("double[?]", n) }
end

local ROUNDING = 1 + 2 ^ -23

local function set_latest(rows, batch, times)
  local first, index = C.mr_batch_first_sample(batch), C.mr_batch_sample_index(batch)
  local requests, samples = rows[C.MR_REQUEST].latest, rows[C.MR_SAMPLE].latest
  for q = 0, tonumber(C.mr_batch_rows(batch, C.MR_REQUEST)) - 1 do
    requests[q] = -math.huge
    for i = first[q], first[q + 1] - 1 do
      samples[i] = times[tonumber(index[i])] * ROUNDING
      requests[q] = math.max(requests[q], samples[i])
    end
  end
end

local function set_rows(rows, batch, labels, random)
  local first, index = C.mr_batch_first_sample(batch), C.mr_batch_sample_index(batch)
  local requests, samples = rows[C.MR_REQUEST], rows[C.MR_SAMPLE]
  local n = tonumber(C.mr_batch_rows(batch, C.MR_REQUEST))
  for q = 0, n - 1 do
    local half = random() >= 2147483648 and 1 or 0
    local weight, half_n, half_pos = 0, 0, 0
    for i = first[q], first[q + 1] - 1 do
      local label = labels and labels[tonumber(index[i])] or 0
      local known = label == label and 1 or 0
      samples.weight[i], samples.half_n[i] = 1, half * known
      samples.half_pos[i] = known == 1 and half * label or 0
      weight, half_n = weight + 1, half_n + half * known
      half_pos = half_pos + samples.half_pos[i]
    end
    requests.weight[q], requests.half_n[q], requests.half_pos[q] = weight, half_n, half_pos
  end
end

local function first_pass(survey, split, columns, labels, train)
  local random, rows = random_stream(), {}
  local times = M.are_dates(survey.times) and split:times()
  rows[C.MR_REQUEST], rows[C.MR_SAMPLE] = new_rows(BATCH, times), new_rows(BATCH, times)
  for batch in split:loader { batch = BATCH } do
    set_rows(rows, batch, labels, random)
    if times then set_latest(rows, batch, times) end
    for i, c in ipairs(columns) do
      local n = tonumber(C.mr_batch_rows(batch, c.domain))
      if c.type == "vector" then
        add_vectors(c, batch, n, rows[c.domain])
      elseif c.number then
        add_numbers(c, batch, n, rows[c.domain])
      else
        count_keys(c, batch, n, rows[c.domain], train and train.columns[i])
      end
    end
    if survey.progress then survey.progress(split.name, tonumber(
      C.mr_batch_rows(batch, C.MR_SAMPLE))) end
  end
end

-- ---- labels ----

local function rates_of(labels, n)
  local task = { n = 0, positives = 0, parts = {} }
  for p = 1, PARTS do
    local from, to = math.floor((p - 1) * n / PARTS), math.floor(p * n / PARTS)
    local known, positives = 0, 0
    for i = from, to - 1 do
      if labels[i] == labels[i] then known, positives = known + 1, positives + labels[i] end
    end
    task.parts[p] = { n = known, positives = positives }
    task.n, task.positives = task.n + known, task.positives + positives
  end
  return task
end

-- The earliest and the latest time, where one is declared.
local function times_of(split)
  local times, n = split:times(), split:samples()
  if not times or n == 0 then return nil end
  local range = { min = math.huge, max = -math.huge }
  for i = 0, n - 1 do
    range.min, range.max = math.min(range.min, times[i]), math.max(range.max, times[i])
  end
  return range
end

--- Whether times count seconds since 1970: from 1973 on.
-- @tparam ?table range  min and max
-- @treturn boolean
function M.are_dates(range) return range ~= nil and range.min >= 1e8 end

--- Whether a column has times as those of the rows are, which are of a day.
-- @tparam table c  a column
-- @tparam ?table times  min and max, of the rows
-- @treturn boolean
function M.is_time(c, times)
  return M.are_dates(times) and c.number ~= nil and c.number.n > 0
    and c.number.min >= times.min / 2 and c.number.max <= 2 * times.max
end

--- A number of a column as people read it: a day where the column has times, whose seconds are
-- beyond what a float can tell.
-- @tparam number x
-- @tparam table c  the column
-- @tparam ?table times  min and max, of the rows
-- @treturn string
function M.text_of_number(x, c, times)
  local date = M.is_time(c, times) and clock.date(x)
  if date then return date:sub(1, 10) end
  return (math.abs(x) >= 1e4 and math.abs(x) < 1e15 and "%.0f" or "%.4g"):format(x)
end

--- A time of rows as people read it.
-- @tparam number time
-- @tparam table times  min and max, of the rows
-- @treturn string
-- @treturn ?string the same as a date, where it is of a day
function M.text_of_time(time, times)
  return ("%.14g"):format(time), M.are_dates(times) and clock.date(time) or nil
end

-- ---- the second pass: what each column alone tells of the label ----

-- The mean label of a value's rows in the other half, drawn to the mean of all.
local function score_of_keys(c, keys, from, to, base)
  local sum, n = 0, 0
  for k = from, to - 1 do
    local lo, hi = keys[2 * k], keys[2 * k + 1]
    if lo ~= 0 or hi ~= 0 then
      local _, half_n, half_pos = c.keys:get(lo, hi)
      sum, n = sum + (half_pos + base) / (half_n + 1), n + 1
    end
  end
  return n > 0 and sum / n or base
end

local function score_of_numbers(values, from, to, mean)
  local sum, n = 0, 0
  for k = from, to - 1 do
    if values[k] > M.LEAST then sum, n = sum + values[k], n + 1 end
  end
  return n > 0 and sum / n or mean
end

-- The score of each row of a column's domain that is wanted.
local function score_column(c, batch, wanted, base, scores)
  local n = tonumber(C.mr_batch_rows(batch, c.domain))
  local starts = starts_of(c, batch, n)
  local values = c.number and C.mr_batch_floats(batch, c.column)
  local keys = c.keys and mr.cast("const uint32_t *", C.mr_batch_keys(batch, c.column))
  for r = 0, n - 1 do
    if wanted[r] ~= 0 then
      local from, to = r, r + 1
      if starts then from, to = starts[r], starts[r + 1] end
      scores[r] = keys and score_of_keys(c, keys, from, to, base)
        or score_of_numbers(values, from, to, c.number.mean)
    end
  end
end

-- Which requests and samples of a batch are judged: those of the half that no means are of.
local function choose(batch, labels, random, chance, wanted)
  local first, index = C.mr_batch_first_sample(batch), C.mr_batch_sample_index(batch)
  for q = 0, tonumber(C.mr_batch_rows(batch, C.MR_REQUEST)) - 1 do
    local draw = random()
    local judged = draw < 2147483648 and draw < 2147483648 * chance and 1 or 0
    wanted[C.MR_REQUEST][q] = judged
    for i = first[q], first[q + 1] - 1 do
      local label = labels[tonumber(index[i])]
      wanted[C.MR_SAMPLE][i] = label == label and judged or 0
    end
  end
end

-- The AUC of each column, a list.
local function second_pass(split, columns, labels, base, pool)
  local chance = math.min(1, SAMPLE_ROWS / math.max(split:samples() / 2, 1))
  local random, room = random_stream(), 2 * SAMPLE_ROWS + 2 * BATCH
  local wanted, batch_scores = {}, mr.new("float[?]", BATCH)
  wanted[C.MR_REQUEST], wanted[C.MR_SAMPLE] = mr.new("char[?]", BATCH), mr.new("char[?]", BATCH)
  local truth, n = mr.new("float[?]", room), 0
  for _, c in ipairs(columns) do c.scores = mr.new("float[?]", room) end
  for batch in split:loader { batch = BATCH } do
    choose(batch, labels, random, chance, wanted)
    local first, index = C.mr_batch_first_sample(batch), C.mr_batch_sample_index(batch)
    local requests, start = tonumber(C.mr_batch_rows(batch, C.MR_REQUEST)), n
    for i, c in ipairs(columns) do
      score_column(c, batch, wanted[c.domain], base, batch_scores)
      n = start
      for q = 0, requests - 1 do
        for s = first[q], first[q + 1] - 1 do
          if wanted[C.MR_SAMPLE][s] ~= 0 and n < room then
            c.scores[n] = batch_scores[c.domain == C.MR_REQUEST and q or s]
            if i == 1 then truth[n] = labels[tonumber(index[s])] end
            n = n + 1
          end
        end
      end
    end
  end
  local aucs = {}
  for i, c in ipairs(columns) do
    local auc = assert(metric.auc(c.scores, truth, n, pool and pool.handle))
    if c.number and auc < 0.5 then auc = 1 - auc end
    aucs[i], c.scores = auc, nil
  end
  return aucs
end

local function without_vectors(columns)
  local list = {}
  for _, c in ipairs(columns) do
    if c.type ~= "vector" then list[#list + 1] = c end
  end
  return list
end

-- ---- interface ----

--- The p-th part of a histogram of lengths.
-- @tparam table c  a column with lengths
-- @tparam number p  0 to 1
-- @treturn integer 4096 stands for that and more
function M.length(c, p)
  local sum = 0
  for n = 0, LENGTHS do
    sum = sum + c.lengths[n]
    if sum >= p * c.rows and sum > 0 then return n end
  end
  return LENGTHS
end

--- The mean of a histogram of lengths, of which 4096 and more count as 4096.
-- @tparam table c  a column with lengths
-- @treturn number
-- @treturn number the variance
function M.mean_length(c)
  local sum, squares = 0, 0
  for n = 1, LENGTHS do
    sum, squares = sum + n * c.lengths[n], squares + n ^ 2 * c.lengths[n]
  end
  local mean = sum / math.max(c.rows, 1)
  return mean, math.max(0, squares / math.max(c.rows, 1) - mean ^ 2)
end

--- Look at a split.
-- @tparam Split split  of a schema without transforms, see above
-- @tparam table options  schema; hidden: by name the fields that are left out; train: the survey of
-- the training data, where this is another; pool; progress: told the split's name and the rows of
-- each batch
-- @treturn table rows, requests, tasks (n, positives and parts, ten of the file, by name), columns
-- (in the order of fields and members: name, type, table, rows, empty, keys, looked and unseen
-- (where there is `train`), lengths, number (n, mean, m2, m3, min, max), auc (of training data),
-- print1 and print2; later: of numbers, rows with one after the row's time), all counts in samples;
-- times (min and max, where a time is declared)
function M.survey(split, options)
  local schema = options.schema
  local survey = { rows = split:samples(), requests = split:requests(), tasks = {},
    columns = columns_of(schema, options.hidden), progress = options.progress,
    times = times_of(split) }
  local labels = {}
  for i, task in ipairs(schema.tasks) do
    labels[i] = split:floats(task.column)
    survey.tasks[task.name] = rates_of(labels[i], survey.rows)
  end
  for _, c in ipairs(survey.columns) do
    if options.train and c.keys then c.looked, c.unseen = 0, 0 end
  end
  first_pass(survey, split, survey.columns, labels[1], options.train)
  for i, task in ipairs(options.train and {} or schema.tasks) do
    local figures, columns = survey.tasks[task.name], survey.columns
    if figures.positives > 0 and figures.positives < figures.n then
      if i > 1 then -- keys have room for one task's labels
        columns = columns_of(schema, options.hidden)
        first_pass({}, split, columns, labels[i])
      end
      local aucs = second_pass(split, without_vectors(columns), labels[i],
        figures.positives / figures.n, options.pool)
      for k, c in ipairs(without_vectors(survey.columns)) do c.aucs[task.name] = aucs[k] end
    end
  end
  survey.progress = nil
  return survey
end

return M
