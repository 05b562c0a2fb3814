--- Gradients of a whole graph against differences of its loss.
--
-- The graph is built on fields, a batch, rows and weights that are all random, away from zero. Then
-- every dense weight and every part of every table is moved along a few random directions u, and
--
--     (L(w + h u) - L(w - h u)) / 2h     is held against     the mean of g(w + t u) u, -h <= t <= h
--
-- where L is the loss of forward and g the gradient of backward. Directions rather than single
-- numbers, and a mean rather than g(w) u alone, since relus have kinks: where a unit switches
-- within the step, the slope on either side of it is not the difference quotient, but the mean of
-- the slope over the step is. It is taken at 9 points, and at more where the two do not agree:
-- half-way between those neighbours that agree least. So a kink is closed in on, while a wrong
-- gradient stays as wrong as it was.
--
-- * A direction moves each number by half to all of h, either way, times the root mean square of
--   its weight or part; so h means the same for weights of every size.
-- * The error of a group is the root mean square of the differences over that of the derivatives.
--   Where these drown in the rounding of the loss (a bias in front of batch norm has no gradient at
--   all), it is over what rounding would make of them, and the group is marked as faint.
-- * Dropout draws by the number of the step, and no step is taken: its mask stays as it is.
-- @module moonrank.gradcheck
local Model = require "moonrank.model"
local Pool = require "moonrank.pool"
local Schema = require "moonrank.schema"
local mr = require "moonrank.ffi"
local threefry = require "moonrank.simulator.threefry"
local C = mr.C

local M = {}

local SAMPLES, MOST_OF_REQUEST = 64, 6
local VALUES, MOST_OF_BAG = 12, 4 -- different ids of a table, ids of a bag
local MOST_OF_SEQUENCE = 5        -- behaviours
local UNKNOWN = 0.1               -- share of ids that no training data had
local DIRECTIONS = 4
local STEP = 3e-3
local LEAST_POINTS, MOST_POINTS = 9, 64
local TOLERANCE = 1e-2
local ROUNDING = 2 ^ -23 -- of the mean loss, relative: several times what is seen

--- The largest error that passes.
M.tolerance = TOLERANCE

--- The fields that a script is checked on unless others are given, as a resolved fields
-- configuration: ids of both sides, a bag, a number, several samples a request, a sequence of
-- the user with members of each type.
-- @treturn table
function M.fields()
  local fields, tables = {}, {}
  local function field(name, side, type, pool)
    fields[#fields + 1] = { name = name, source = name, side = side, type = type, pool = pool,
      table = type ~= "number" and name or nil, missing = type == "number" and 0 or nil }
    if type ~= "number" then tables[name] = { dim = 8, min_count = 1 } end
  end
  field("user_id", "user", "id")
  field("age", "user", "id")
  field("scene", "scene", "id")
  field("ad_id", "ad", "id")
  field("cate", "ad", "id")
  field("tags", "ad", "ids", "mean")
  field("price", "ad", "number")
  local click = { name = "click", side = "user", keep = "last", separator = " ", of = {
    ad_id = { column = "click_ads", type = "id", table = "ad_id" },
    tags = { column = "click_tags", type = "ids", table = "tags", separator = ",", pool = "mean" },
    gap = { column = "click_gaps", type = "number", missing = 0 } } }
  return { version = 1, data = { format = "csv" }, fields = fields, sequences = { click },
    tables = tables, label = { ctr = "click" }, request = "request_id" }
end

-- ---- random numbers ----

local WORLD, DIRECTION = 1, 2 -- purposes

-- A stream in (0, 1): a function of the seed, the purpose, `of` and the count of calls.
local function stream(seed, purpose, of)
  local uniform2, count = threefry.streams(seed), 0
  return function()
    count = count + 1
    return (uniform2(purpose, of, count))
  end
end

-- `low` to `high` or the same below zero.
local function away_from_zero(random, low, high)
  local size = low + (high - low) * random()
  return random() < 0.5 and -size or size
end

-- ---- the batch ----

local function new_batch(schema, random)
  local sizes, total = {}, 0
  while total < SAMPLES do
    local size = schema.request and 1 + math.floor(random() * MOST_OF_REQUEST) or 1
    sizes[#sizes + 1] = math.min(size, SAMPLES - total)
    total = total + sizes[#sizes]
  end
  local out = mr.new "mr_batch *[1]"
  mr.check(C.mr_batch_new(out, schema.handle, #sizes, mr.new("int32_t[?]", #sizes, sizes)))
  return mr.gc(out[0], C.mr_batch_free), #sizes
end

local function random_key(schema, column, random)
  if random() < UNKNOWN then return 0 end
  local text = tostring(1 + math.floor(random() * VALUES))
  return C.mr_schema_key(schema.handle, column, text, #text)
end

local function fill_bags(batch, schema, field, rows, random)
  local column = field.column
  local offsets, keys = mr.new("int32_t[?]", rows + 1), mr.new("uint64_t[?]", rows * MOST_OF_BAG)
  local n = 0
  for row = 1, rows do
    for _ = 1, math.floor(random() * (MOST_OF_BAG + 1)) do
      keys[n] = random_key(schema, column, random)
      n = n + 1
    end
    offsets[row] = n
  end
  mr.check(C.mr_batch_set_bags(batch, column, offsets, keys))
  local weights = field.weighted and C.mr_batch_floats(batch, column)
  local kept = C.mr_batch_offsets(batch, column)[rows] -- of n: a field has a max
  for i = 0, weights and kept - 1 or -1 do weights[i] = away_from_zero(random, 0.2, 2) end
end

local function rows_of(batch, domain)
  return tonumber(C.mr_batch_rows(batch, Schema.domain_number(domain)))
end

local function fill_field(batch, schema, field, rows, random)
  if field.type == "ids" then
    fill_bags(batch, schema, field, rows, random)
  elseif field.type == "id" then
    local keys = C.mr_batch_keys(batch, field.column)
    for row = 0, rows - 1 do keys[row] = random_key(schema, field.column, random) end
  else
    local floats = C.mr_batch_floats(batch, field.column)
    for i = 0, rows * (field.width or 1) - 1 do floats[i] = away_from_zero(random, 0.1, 1.5) end
  end
end

-- Any number of behaviours for each owner, also none.
local function fill_sequence(batch, schema, sequence, index, random)
  local owners = rows_of(batch, sequence.domain)
  local offsets = mr.new("int32_t[?]", owners + 1)
  for row = 1, owners do
    offsets[row] = offsets[row - 1] + math.floor(random() * (MOST_OF_SEQUENCE + 1))
  end
  mr.check(C.mr_batch_set_sequence(batch, index - 1, offsets))
  for _, member in ipairs(sequence.members) do
    fill_field(batch, schema, member, offsets[owners], random)
  end
end

local function fill(batch, schema, random)
  for _, field in ipairs(schema.fields) do
    fill_field(batch, schema, field, rows_of(batch, field.domain), random)
  end
  for _, task in ipairs(schema.tasks) do
    local labels = C.mr_batch_floats(batch, task.column)
    for row = 0, SAMPLES - 1 do labels[row] = random() < 0.4 and 1 or 0 end
  end
  for i, sequence in ipairs(schema.sequences) do
    fill_sequence(batch, schema, sequence, i, random)
  end
end

-- ---- the run ----

local function new_run(model, pool)
  local out = mr.new "mr_run *[1]"
  mr.check(C.mr_run_new(out, model.handle, pool.handle, mr.new("mr_run_options", {
    batch = SAMPLES, seed = 1, dense = { name = "sgd" } })))
  return mr.gc(out[0], C.mr_run_free)
end

-- The mean loss of the batch, and the gradient that the engine then holds.
local function loss_of(self)
  mr.check(C.mr_model_changed(self.model.handle), 0)
  mr.check(C.mr_run_gradient(self.run, self.batch, self.loss), 0)
  return self.loss[0] / SAMPLES
end

-- ---- weights and rows ----

-- A stretch is a run of numbers side by side: their gradient, their values before a move, a
-- direction, and the unit that steps are counted in.
local function stretch(name, p, n)
  return { name = name, p = p, n = n, gradient = mr.new("double[?]", n),
    before = mr.new("float[?]", n), direction = mr.new("double[?]", n) }
end

local function dense_groups(self, random)
  local groups, info = {}, mr.new "mr_param_info"
  for i = 0, C.mr_model_params(self.model.handle) - 1 do
    mr.check(C.mr_model_param(self.model.handle, i, info))
    if info.trained ~= 0 then
      local name = mr.string(info.name)
      local s = stretch(name, C.mr_model_weights(self.model.handle, i), info.rows * info.columns)
      local size = 0.3 / math.sqrt(info.rows)
      for k = 0, s.n - 1 do s.p[k] = s.p[k] + away_from_zero(random, 0.3 * size, size) end
      s.param = i
      groups[#groups + 1] = { name = name, stretches = { s } }
    end
  end
  return groups
end

-- A group for each part of a table, a stretch for each of its rows.
local function part_groups(self, t, random)
  local handle, info, part = self.model.handle, mr.new "mr_table_info", mr.new "mr_part_info"
  mr.check(C.mr_model_table(handle, t, info))
  local name, width, rows = mr.string(info.name), info.width, tonumber(info.rows)
  local keys, values = mr.new("uint64_t[?]", rows), mr.new("float[?]", rows * width)
  mr.check(C.mr_model_export(handle, t, keys, values))
  local groups = {}
  for k = 0, info.n_parts - 1 do
    mr.check(C.mr_model_part(handle, t, k, part))
    local group = { name = name .. "." .. mr.string(part.name), stretches = {} }
    for r = 0, rows - 1 do
      local s = stretch(group.name, C.mr_model_row(handle, t, keys[r]) + part.offset, part.dim)
      for e = 0, s.n - 1 do s.p[e] = away_from_zero(random, 0.1, 0.5) end
      s.table, s.key, s.offset = t, keys[r], part.offset
      s.row = mr.new("float[?]", width)
      group.stretches[r + 1] = s
    end
    groups[k + 1] = group
  end
  return groups
end

local function append(list, more)
  for _, item in ipairs(more) do list[#list + 1] = item end
  return list
end

local function together(name, groups)
  local all = { name = name, stretches = {} }
  for _, group in ipairs(groups) do append(all.stretches, group.stretches) end
  return all
end

-- Count the numbers of a group and find its unit, their root mean square.
local function measure(group)
  local sum, n = 0, 0
  for _, s in ipairs(group.stretches) do
    for i = 0, s.n - 1 do sum = sum + s.p[i] * s.p[i] end
    n = n + s.n
  end
  for _, s in ipairs(group.stretches) do s.unit = s.unit or math.sqrt(sum / n) end
  group.numbers = n
end

local function make_groups(self, random)
  loss_of(self) -- makes the rows of the batch
  local dense, rows = dense_groups(self, random), {}
  for t = 0, C.mr_model_tables(self.model.handle) - 1 do
    append(rows, part_groups(self, t, random))
  end
  local groups = append(append({}, dense), rows)
  local everything = together("everything", groups)
  if #dense > 1 then append(groups, { together("all weights", dense) }) end
  if #rows > 1 then append(groups, { together("all rows", rows) }) end
  if #dense > 0 and #rows > 0 then append(groups, { everything }) end
  for _, group in ipairs(groups) do measure(group) end
  return groups
end

-- ---- comparing ----

-- What backward says of a stretch, after loss_of.
local function read_gradient(self, s)
  local from, first = s.row, s.offset
  if s.param then
    from, first = C.mr_run_weight_gradient(self.run, s.param), 0
  else
    mr.check(C.mr_run_row_gradient(self.run, s.table, s.key, s.row), 0)
  end
  for i = 0, s.n - 1 do s.gradient[i] = from[first + i] end
  if self.tamper then self.tamper(s.name, s.gradient, s.n) end
end

-- The direction is that between the two ends as float has rounded them.
local function choose_direction(group, random)
  for _, s in ipairs(group.stretches) do
    for i = 0, s.n - 1 do
      local before, by = s.p[i], STEP * s.unit * away_from_zero(random, 0.5, 1)
      s.before[i] = before
      s.p[i] = before + by
      local up = s.p[i]
      s.p[i] = before - by
      s.direction[i] = (up - s.p[i]) / (2 * STEP)
    end
  end
end

local function move(group, by)
  for _, s in ipairs(group.stretches) do
    for i = 0, s.n - 1 do s.p[i] = s.before[i] + by * s.direction[i] end
  end
end

local function slope(self, group)
  local sum = 0
  for _, s in ipairs(group.stretches) do
    read_gradient(self, s)
    for i = 0, s.n - 1 do sum = sum + s.gradient[i] * s.direction[i] end
  end
  return sum
end

local function visit(self, group, by)
  move(group, by)
  local loss = loss_of(self)
  return { by = by, loss = loss, slope = slope(self, group) }
end

-- The rise of the loss between two points as backward has it, by the trapezoidal rule.
local function rise(a, b) return (b.by - a.by) * (a.slope + b.slope) / 2 end

-- Where two neighbours agree least on the rise between them.
local function widest_gap(points)
  local widest, gap = 1, -1
  for i = 1, #points - 1 do
    local a, b = points[i], points[i + 1]
    local off = math.abs(b.loss - a.loss - rise(a, b))
    if off > gap then widest, gap = i, off end
  end
  return widest
end

-- Backward's and forward's word on the points, from the first to the last.
local function judge(points)
  local sum = 0
  for i = 1, #points - 1 do sum = sum + rise(points[i], points[i + 1]) end
  local d = { analytic = sum / (2 * STEP),
    numeric = (points[#points].loss - points[1].loss) / (2 * STEP) }
  d.off = math.abs(d.analytic - d.numeric)
  d.size = math.max(math.abs(d.analytic), math.abs(d.numeric))
  return d
end

local function compare(self, group, random)
  choose_direction(group, random)
  local points = {}
  for i = 0, LEAST_POINTS - 1 do
    points[i + 1] = visit(self, group, STEP * (2 * i / (LEAST_POINTS - 1) - 1))
  end
  local d = judge(points)
  while #points < MOST_POINTS and d.off > self.rounding and d.off > 0.1 * TOLERANCE * d.size do
    local i = widest_gap(points)
    table.insert(points, i + 1, visit(self, group, (points[i].by + points[i + 1].by) / 2))
    d = judge(points)
  end
  move(group, 0)
  return d
end

local function check_group(self, group, index)
  local random = stream(self.seed, DIRECTION, index)
  local off, size, worst = 0, 0, nil
  for _ = 1, DIRECTIONS do
    local d = compare(self, group, random)
    off = off + d.off ^ 2 / DIRECTIONS
    size = size + d.size ^ 2 / DIRECTIONS
    if not worst or d.off > worst.off then worst = d end
  end
  off, size = math.sqrt(off), math.sqrt(size)
  local err = off / math.max(size, self.rounding / TOLERANCE)
  return { name = group.name, numbers = group.numbers, analytic = worst.analytic,
    numeric = worst.numeric, error = err, faint = size <= self.rounding, ok = err <= TOLERANCE }
end

--- Check the gradients of a script's graph.
-- @tparam table script  as of moonrank.script's load
-- @tparam[opt] table options  options: all options of the script (its defaults); fields: a resolved
-- fields configuration (those of fields()); seed (1); tamper(name, gradient, n): called with every
-- gradient that is read (`double *`, of a dense weight, or of a row's part), so that a test can
-- spoil it
-- @treturn table { ok =, samples =, requests =, loss = (mean), groups = list of { name, numbers
-- (how many), analytic, numeric (of the direction that is furthest off), error, faint, ok } }:
-- every dense weight and every part of a table, then all together
-- @raise when the script or its graph is wrong, with the script's line; when a loss is not finite
function M.check(script, options)
  options = options or {}
  local seed = options.seed or 1
  local random = stream(seed, WORLD, 0)
  local schema = Schema.new(options.fields or M.fields())
  local self = { seed = seed, tamper = options.tamper, loss = mr.new "double[1]" }
  self.model = Model.new(script, { fields = schema.fields, seed = seed,
    options = options.options or script.options })
  local requests
  self.batch, requests = new_batch(schema, random)
  fill(self.batch, schema, random)
  self.pool = Pool.new(1)
  self.run = new_run(self.model, self.pool)
  local groups = make_groups(self, random)
  local loss = loss_of(self)
  self.rounding = ROUNDING * loss / STEP
  local result = { ok = true, samples = SAMPLES, requests = requests, loss = loss, groups = {} }
  for i, group in ipairs(groups) do
    result.groups[i] = check_group(self, group, i)
    result.ok = result.ok and result.groups[i].ok
  end
  return result
end

return M
