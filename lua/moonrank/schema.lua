--- The engine's schema of a fields configuration, and the fields as model scripts see them.
--
-- Columns are added in a fixed order: the fields as written, but crosses that stand before one of
-- their parts behind all of them, the members of the sequences
-- ("click.ad"), the request key, the labels by task name, behind those that decide about them, the
-- group, the weight, the scenario, the time. So the fields have the same numbers with and without
-- labels.
-- @classmod moonrank.Schema
local config_sequences = require "moonrank.config_sequences"
local mr = require "moonrank.ffi"
local sorted_keys = require "moonrank.sorted_keys"
local C = mr.C

local Schema = {}
Schema.__index = Schema

local TYPES = { id = C.MR_ID, ids = C.MR_IDS, number = C.MR_NUMBER, vector = C.MR_VECTOR }

local UNSEEN = { unknown = C.MR_UNSEEN_UNKNOWN, zero = C.MR_UNSEEN_ZERO,
  error = C.MR_UNSEEN_ERROR }

-- Whose a field is decides the domain of its values.
local function domain_of(side, config)
  if side == "ad" or not config.request then return "sample" end
  return "request"
end

--- A domain of fields in the engine.
-- @tparam string domain  request or sample
-- @treturn integer
function Schema.domain_number(domain)
  return domain == "request" and C.MR_REQUEST or C.MR_SAMPLE
end

local function add_column(self, spec)
  -- The texts are borrowed for the length of the call only.
  mr.check(C.mr_schema_add_column(self.handle, mr.new("mr_column_spec", spec)), 3)
  local index = C.mr_schema_columns(self.handle) - 1
  self.columns[spec.name] = index
  return index
end

-- A column of a field, or, with `in_sequence`, of a member, which has what a field has; as models
-- see it.
local function add_field(self, field, config, in_sequence)
  local domain = domain_of(field.side, config)
  local values = field.values and mr.new("const char *[?]", #field.values, field.values)
  local cross = field.cross and mr.new("const char *[?]", #field.cross, field.cross)
  local sources = type(field.source) == "table"
    and mr.new("const char *[?]", #field.source, field.source)
  local column = add_column(self, {
    name = field.name,
    source = not sources and field.source or nil,
    sources = sources or nil,
    n_sources = sources and #field.source or 0,
    table = field.table,
    type = field.buckets and C.MR_BUCKET or TYPES[field.type],
    domain = Schema.domain_number(domain),
    separator = field.separator and field.separator:byte() or 0,
    max = field.max or 0,
    weight_separator = field.weight_separator and field.weight_separator:byte() or 0,
    weights = field.weights,
    values = values,
    n_values = field.values and #field.values or 0,
    unseen = UNSEEN[field.unseen],
    width = field.width or 0,
    transform = field.transform == "log1p" and C.MR_LOG1P or C.MR_PLAIN_NUMBER,
    missing = type(field.missing) == "number" and field.missing or 0,
    when_missing = field.missing == "mean" and C.MR_MISSING_MEAN
      or field.missing == "own" and C.MR_MISSING_OWN or C.MR_MISSING_VALUE,
    clips = field.clip and 1 or 0,
    least = field.clip and field.clip[1] or 0,
    most = field.clip and field.clip[2] or 0,
    normalize = field.normalize and 1 or 0,
    buckets = field.buckets and tonumber(field.buckets:match "%d+") or 0,
    sequence = in_sequence,
    cross = cross,
    n_cross = field.cross and #field.cross or 0,
    padding = field.padding,
  })
  local weighted = field.weighted
  for _, part in ipairs(field.cross or {}) do weighted = weighted or self.weighted[part] end
  self.weighted[field.name] = weighted
  return {
    name = field.name, side = field.side, type = field.buckets and "id" or field.type,
    table = field.table, dim = field.table and config.tables[field.table].dim,
    domain = in_sequence or domain,
    column = column, pool = field.pool, width = field.width, weighted = weighted,
  }
end

-- A cross comes behind its parts, others as they are written.
local function add_fields(self, config)
  local waiting = {}
  for i, field in ipairs(config.fields) do
    local lacks
    for _, part in ipairs(field.cross or {}) do lacks = lacks or not self.columns[part] end
    if lacks then
      waiting[#waiting + 1] = i
    else
      self.fields[i] = add_field(self, field, config)
    end
  end
  for _, i in ipairs(waiting) do self.fields[i] = add_field(self, config.fields[i], config) end
end

-- The field that a member lines up with: of its name, and if it has a table, of the same one.
local function counterpart(self, name, member)
  for _, field in ipairs(self.fields) do
    if field.name == name and field.table == member.table then return field end
  end
end

local function add_sequence(self, sequence, config)
  local domain = domain_of(sequence.side, config)
  mr.check(C.mr_schema_add_sequence(self.handle, mr.new("mr_sequence_spec", {
    name = sequence.name,
    domain = Schema.domain_number(domain),
    max = sequence.max or 0,
    keep = sequence.keep == "first" and C.MR_KEEP_FIRST or C.MR_KEEP_LAST,
    separator = sequence.separator:byte(),
    padding = sequence.padding,
  })), 3)
  local seen = { name = sequence.name, side = sequence.side, domain = domain, members = {} }
  for i, name in ipairs(config_sequences.members(config, sequence)) do
    local member = { name = sequence.name .. "." .. name, side = sequence.side }
    for key, value in pairs(sequence.of[name]) do member[key] = value end
    member.source = member.column
    seen.members[i] = add_field(self, member, config, sequence.name)
    seen.members[i].field = counterpart(self, name, member)
  end
  return seen
end

-- What the keys of a fields file say of samples beside labels.
local OF_SAMPLES = { { "group", C.MR_GROUP }, { "weight", C.MR_WEIGHT },
  { "scenario", C.MR_SCENARIO }, { "time", C.MR_TIME } }

local function is_fitted(field)
  return field.normalize or field.buckets or field.missing == "mean"
end

-- A label that another one decides about comes behind it.
local function add_label(self, config, task)
  local label = config.label[task]
  local name, source, when, is, from = "label:" .. task, label, nil, nil, nil
  if self.columns[name] then return end
  if type(label) == "table" then
    source, when = label.column, label.when and "label:" .. label.when
    if when then add_label(self, config, label.when) end
    is, from = label.is and mr.new("const char *[?]", #label.is, label.is), label.from
  end
  local column = add_column(self, { name = name, source = source, type = C.MR_LABEL,
    domain = C.MR_SAMPLE, when = when, values = is, n_values = is and #label.is or 0,
    clips = from and 1 or 0, least = from or 0 })
  table.insert(self.tasks, { name = task, column = column, column_name = name, source = source })
end

local function add_labels(self, config)
  for _, task in ipairs(sorted_keys(config.label)) do add_label(self, config, task) end
  for _, kind in ipairs(OF_SAMPLES) do
    local source = config[kind[1]]
    if source then
      self[kind[1]] = add_column(self, { name = kind[1] .. ":" .. source, source = source,
        type = kind[2], domain = C.MR_SAMPLE })
    end
  end
end

-- Whether a cross has a part with buckets.
local function crosses_buckets(config)
  local buckets = {}
  for _, field in ipairs(config.fields) do buckets[field.name] = field.buckets end
  for _, field in ipairs(config.fields) do
    for _, part in ipairs(field.cross or {}) do
      if buckets[part] then return true end
    end
  end
  return false
end

--- Describe data to the engine.
-- @tparam table config  a resolved fields configuration (moonrank.config)
-- @tparam[opt] table options  labels = false: without labels and what else figures need, for data
-- to predict
-- @treturn Schema with `fields` (list of { name, side, type, table, dim, domain, column, pool,
-- width, weighted }; its key `schema` leads back here),
-- `sequences` (list of { name, side, domain = of its owner, members }; a member is like a field, in
-- the domain of the sequence's name, with the `field` of the same name and table, if any),
-- `tasks` (list of { name, column, column_name, source = its column in the file }), `group`,
-- `weight`, `scenario`, `time` (columns or nil), `columns` (numbers by name, counted from 0),
-- `reads_twice` (whether training data is read for what is fitted, and then for its rows) and
-- `config`
-- @raise when the engine refuses the configuration
function Schema.new(config, options)
  local out = mr.new "mr_schema *[1]"
  mr.check(C.mr_schema_new(out))
  local self = setmetatable({ handle = mr.gc(out[0], C.mr_schema_free), columns = {}, fields = {},
    sequences = {}, tasks = {}, weighted = {}, config = config }, Schema)
  for _, name in ipairs(sorted_keys(config.tables)) do
    mr.check(C.mr_schema_add_table(self.handle, name, config.tables[name].min_count))
    if config.tables[name].strings == "keep" then
      mr.check(C.mr_schema_keep_texts(self.handle, C.mr_schema_find_table(self.handle, name)))
    end
  end
  self.fields.schema = self
  self.reads_twice = crosses_buckets(config)
  for _, field in ipairs(config.fields) do self.fits = self.fits or is_fitted(field) or nil end
  add_fields(self, config)
  for i, sequence in ipairs(config.sequences or {}) do
    self.sequences[i] = add_sequence(self, sequence, config)
  end
  if config.request then
    self.request = add_column(self, { name = "request:" .. config.request,
      source = config.request, type = C.MR_REQUEST_KEY, domain = C.MR_REQUEST })
  end
  if not (options and options.labels == false) then add_labels(self, config) end
  return self
end

--- All fields and members that have a table.
-- @treturn {Field,...}
function Schema:id_fields()
  local list = {}
  local function add(fields)
    for _, field in ipairs(fields) do
      if field.table then list[#list + 1] = field end
    end
  end
  add(self.fields)
  for _, sequence in ipairs(self.sequences) do add(sequence.members) end
  return list
end

--- The number of the table of a field's column.
-- @tparam integer column
-- @treturn ?integer nil where it has none
function Schema:table_of(column)
  for _, field in ipairs(self:id_fields()) do
    if field.column == column then return C.mr_schema_find_table(self.handle, field.table) end
  end
end

--- The number of a column: a field's name, "label:<task>" or a number.
-- @raise when there is none of that name
function Schema:column(name)
  if type(name) == "number" then return name end
  local column = self.columns[name]
  if not column then
    local hint = require "moonrank.suggest".phrase(tostring(name), sorted_keys(self.columns))
    error(('no column "%s"%s'):format(tostring(name), hint), 2)
  end
  return column
end

return Schema
