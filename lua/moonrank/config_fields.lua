--- A fields file, resolved: how its data is read, one entry a field with its column, type and
-- table, crosses with their parts, sequences with their members, every table with its width.
-- @module moonrank.config_fields
local stop = require "moonrank.config_error".stop
local config_labels = require "moonrank.config_labels"
local config_sequences = require "moonrank.config_sequences"
local config_split = require "moonrank.config_split"
local name_ranges = require "moonrank.name_ranges"
local path_of = require "moonrank.path"
local sorted_keys = require "moonrank.sorted_keys"
local suggest = require "moonrank.suggest"
local text_format = require "moonrank.text_format"

local M = {}

-- The names of a list of names and ranges of names; place_of(i) is where the i-th stands.
local function expand_names(given, place_of)
  local names = {}
  for i, text in ipairs(given) do
    local some, message = name_ranges.expand(text)
    if not some then stop(place_of(i), "%s", message) end
    for _, name in ipairs(some) do names[#names + 1] = name end
  end
  return names
end

-- What a number field says of clipping and buckets.
local function check_number(context, field, path)
  local function wrong_value(name, ...) stop(context.places[path .. "." .. name], ...) end
  local clip = field.clip
  if clip and not (#clip == 2 and clip[1] < clip[2]) then
    wrong_value("clip", "%s.clip is a list of %s, expected two numbers, the second larger", path,
      #clip == 2 and ("%.10g and %.10g"):format(clip[1], clip[2]) or #clip)
  end
  if field.table and field.type == "number" and not field.buckets then
    wrong_value("table", "%s.table is for numbers with buckets only", path)
  end
  local n = field.buckets and tonumber(field.buckets:match "^quantile%((%d+)%)$")
  if field.buckets and not (n and n >= 2 and n <= 1000) then
    wrong_value("buckets", '%s.buckets is "%s", expected quantile(N) with N from 2 to 1000', path,
      field.buckets)
  elseif n and field.normalize then
    wrong_value("normalize", "%s.normalize does not go with buckets", path)
  elseif n and field.missing == "mean" then
    wrong_value("missing", "%s.missing is mean, expected a number or own with buckets", path)
  elseif not n and field.missing == "own" then
    wrong_value("missing", "%s.missing is own, expected a number or mean without buckets", path)
  end
end

-- What an ids field says of weights; gives the character before them.
local function check_weights(context, field, path)
  local function wrong_value(name, ...) stop(context.places[path .. "." .. name], ...) end
  local separator = field.weight_separator
  if field.weights then
    local column = tostring(field.weights)
    if text_format.has_pairs(context.format) or text_format.needs_columns(context.format) then
      wrong_value("weights", "%s.weights: files of %s have no column of weights; weighted: true "
        .. "reads those in their pairs", path, context.format)
    elseif separator then
      wrong_value("weight_separator", '%s.weight_separator does not go with weights in column "%s"',
        path, column)
    elseif field.weighted == false then
      wrong_value("weighted", '%s.weighted is false, but weights names column "%s"', path, column)
    elseif field.pool == "max" then
      wrong_value("pool", "%s.pool is max, expected sum or mean of ids that are weighted", path)
    end
    field.weights, field.weighted = column, true
    return nil
  end
  if separator and not field.weighted then
    wrong_value("weight_separator", "%s.weight_separator is for ids that are weighted: true", path)
  elseif separator and (#separator ~= 1 or separator:find "[%c%d+.eE\"-]") then
    wrong_value("weight_separator", '%s.weight_separator is "%s", expected one character that '
      .. "numbers are not written with", path, separator)
  end
  if not field.weighted then return nil end
  separator = separator or ":"
  if separator == field.separator then
    local places = context.places
    stop(places[path .. ".weight_separator"] or places[path .. ".separator"],
      '%s.separator is "%s", which stands before weights; say another weight_separator', path,
      separator)
  elseif field.pool == "max" then
    wrong_value("pool", "%s.pool is max, expected sum or mean of ids that are weighted", path)
  end
  return separator
end

-- The values that an id field lists, as texts.
local function list_values(context, field, path)
  local seen, list = {}, {}
  for i, value in ipairs(field.values or {}) do
    local text = text_format.written(value)
    if seen[text] then
      stop(context.places[("%s.values[%d]"):format(path, i)], '%s.values has "%s" twice', path,
        text)
    end
    seen[text], list[i] = true, text
  end
  if #list > 10000 then
    stop(context.places[path .. ".values"], "%s.values has %d values, expected at most 10000", path,
      #list)
  end
  return field.values and list
end

-- The columns of a vector that has one for each number, as names; nil where one column has all.
local function expand_sources(context, field, path)
  local source, place = field.source, context.places[path .. ".source"]
  if type(source) ~= "table" and field.type ~= "vector" then return nil end
  if field.type ~= "vector" then
    stop(place, "%s.source is a list, which is for type vector; this field is of type %s", path,
      field.type)
  end
  local is_list = type(source) == "table"
  local names = expand_names(is_list and source or { tostring(source or "") }, function(i)
    return context.places[("%s.source[%d]"):format(path, i)] or place
  end)
  if not is_list and #names == 1 then return nil end
  local seen = {}
  for _, name in ipairs(names) do
    if seen[name] then stop(place, '%s.source has "%s" twice', path, name) end
    seen[name] = true
  end
  if field.width and field.width ~= #names then
    stop(context.places[path .. ".width"], "%s.width is %d, but its source has %d columns; leave "
      .. "that out", path, field.width, #names)
  end
  field.width = #names
  return names
end

-- Whether one field can be a part of a cross.
local function check_part(context, field, path, i, fields)
  local name = field.cross[i]
  local place, part = context.places[("%s.cross[%d]"):format(path, i)], fields[name]
  if not part then
    stop(place, '%s.cross: there is no field "%s"%s', path, name,
      suggest.phrase(name, sorted_keys(fields)))
  elseif part.cross or not (part.type == "id" or part.type == "ids" or part.buckets) then
    stop(place, '%s.cross: field "%s" is %s, expected fields of type id or ids, or numbers with '
      .. "buckets", path, name, part.cross and "a cross itself" or "of type " .. part.type)
  elseif part.side == "ad" and field.side and field.side ~= "ad" then
    stop(context.places[path .. ".side"], '%s.side is %s, expected ad, since "%s" is the ad\'s',
      path, field.side, name)
  end
  for k = 1, i - 1 do
    if field.cross[k] == name then stop(place, '%s.cross has "%s" twice', path, name) end
  end
end

-- A field that combines others is no column, and its values cannot be listed.
local function check_cross(context, field, path)
  if #field.cross < 2 or #field.cross > 8 then
    stop(context.places[path .. ".cross"], "%s.cross names %d field%s, expected 2 to 8", path,
      #field.cross, #field.cross == 1 and "" or "s")
  end
  for _, key in ipairs { "source", "values", "separator", "padding", "weighted", "weights" } do
    if context.places[("%s.%s"):format(path, key)] then
      stop(context.places[("%s.%s"):format(path, key)], "%s.%s does not go with cross", path, key)
    end
  end
end

-- A cross has several values where one of its parts has, and the weights of one.
local function check_combinations(context, field, path, fields)
  local several, weighted
  for i, name in ipairs(field.cross) do
    if fields[name].type == "ids" then several = several or name end
    if fields[name].weighted and weighted then
      stop(context.places[("%s.cross[%d]"):format(path, i)], '%s.cross: "%s" and "%s" both have '
        .. "weights, and a combination has one", path, weighted, name)
    end
    if fields[name].weighted then weighted = name end
  end
  if several and field.type == "id" then
    stop(context.places[path .. ".type"], '%s.type is id, expected ids, since "%s" has several '
      .. "values", path, several)
  elseif not several and field.type == "ids" then
    stop(context.places[path .. ".type"], "%s.type is ids, expected id, since its parts have one "
      .. "value each", path)
  elseif several and not field.max then
    stop(context.places[path .. ".cross"], "%s.max is missing: how many combinations a row keeps",
      path)
  elseif weighted and field.pool == "max" then
    stop(context.places[path .. ".pool"], '%s.pool is max, expected sum or mean, since "%s" has '
      .. "weights", path, weighted)
  end
end

-- The crosses among the fields: their parts may stand anywhere, and say whose they are.
local function resolve_crosses(context, list)
  local fields = {}
  for _, field in ipairs(list) do fields[field.name] = field end
  for _, field in ipairs(list) do
    local cross, path = field.cross or {}, context.entries[field.name]
    for i = 1, #cross do check_part(context, field, path, i, fields) end
    if field.cross then check_combinations(context, field, path, fields) end
    local side = cross[1] and fields[cross[1]].side
    for _, name in ipairs(cross) do
      if fields[name].side == "ad" then side = "ad" end
    end
    field.side = field.side or side
  end
end

local function check_field(context, field, path)
  local place = context.places[path .. ".name"]
  local names = expand_names(type(field.name) == "table" and field.name or { field.name },
    function(i) return context.places[("%s.name[%d]"):format(path, i)] or place end)
  if #names > 1 and field.source then
    stop(context.places[path .. ".source"], "%s.source does not go with a list of names", path)
  end
  if field.separator and #field.separator ~= 1 then
    stop(context.places[path .. ".separator"], '%s.separator is "%s", expected one character', path,
      field.separator)
  end
  field.source = expand_sources(context, field, path) or field.source
  if field.type == "vector" and not field.width then
    stop(place, "%s.width is missing: how many numbers each cell has", path)
  end
  check_number(context, field, path)
  field.weight_separator = check_weights(context, field, path)
  field.values = list_values(context, field, path)
  for _, name in ipairs(names) do
    if name:find "[%c%s:]" or #name > 255 then
      stop(place, '%s.name is "%s", expected text without spaces and colons', path, name)
    end
    if field.weights and field.weights == tostring(field.source or name) then
      stop(context.places[path .. ".weights"], '%s.weights is "%s", which has the values', path,
        field.weights)
    end
    if context.seen[name] then stop(place, 'field "%s" is described twice', name) end
    context.seen[name] = true
  end
  return names
end

-- One entry a field, each with its source and table written out.
local function expand_fields(values, context)
  local fields = {}
  context.seen, context.entries, context.format = {}, {}, values.data.format
  for i, field in ipairs(values.fields) do
    local path = ("fields[%d]"):format(i)
    local names = check_field(context, field, path)
    if field.cross and #names > 1 then
      stop(context.places[path .. ".cross"], "%s.cross does not go with a list of names", path)
    end
    if field.cross then check_cross(context, field, path) end
    for _, name in ipairs(names) do
      local one = {}
      for key, value in pairs(field) do one[key] = value end
      one.name, one.source = name, field.source or name
      if field.cross then one.source = nil end
      if type(one.source) == "number" then one.source = tostring(one.source) end
      if values.data.format == "jsonl" and not context.places[path .. ".separator"] then
        one.separator = one.separator and text_format.LIST
      end
      one.padding = text_format.padding(one.type == "ids" and not field.cross, one.padding,
        values.defaults)
      if field.cross then one.separator = nil end -- it is in no file
      context.entries[name] = path
      if field.type == "id" or field.type == "ids" or field.buckets then
        one.table = field.table or name
      end
      fields[#fields + 1] = one
    end
  end
  resolve_crosses(context, fields)
  return fields
end

-- Where the configuration says `what` of a table: of its own, or of all.
local function place_of(values, context, name, what)
  local own = values.tables[name] and values.tables[name][what] and "tables." .. name or "defaults"
  return context.places[("%s.%s"):format(own, what)]
end

-- Values that a model may lack are no errors.
local function check_unseen(context, field, table)
  if field.unseen ~= "error" or field.values then return end
  local entry, reason = context.entries[field.name], nil
  if table.min_count > 1 then
    reason = ("values that come fewer than %d times in training are unseen, by min_count"):format(
      table.min_count)
  elseif table.admit or table.expire then
    reason = ("values have no row %s"):format(
      table.admit and "before they are admitted, by admit" or "once they expired, by expire")
  end
  if not reason then return end
  stop(context.places[entry .. ".unseen"], "%s.unseen is error, but %s of table %s; list the "
    .. "field's values or %s", entry, reason, field.table,
    table.min_count > 1 and "set that to 1" or "leave that out")
end

-- Buckets are all known.
local function check_buckets(values, context, field, tables)
  local own = values.tables[field.table] or {}
  if own.min_count and own.min_count > 1 then
    stop(context.places[("tables.%s.min_count"):format(field.table)],
      'tables.%s.min_count is %d, but field "%s" has buckets, which are all known', field.table,
      own.min_count, field.name)
  end
  for _, what in ipairs { "admit", "expire" } do
    if own[what] then
      stop(place_of(values, context, field.table, what),
        'tables.%s.%s: field "%s" has buckets, which are all known', field.table, what, field.name)
    end
  end
  local table = tables[field.table]
  table.min_count, table.admit, table.expire = 1, nil, nil
end

local function expand_tables(values, context)
  local tables, names = {}, {}
  local function add(name)
    if not name or tables[name] then return end
    local own = values.tables[name] or {}
    tables[name] = { dim = own.dim or values.defaults.dim,
      min_count = own.min_count or values.defaults.min_count,
      strings = own.strings or values.defaults.strings,
      admit = own.admit or values.defaults.admit, expire = own.expire or values.defaults.expire }
    names[#names + 1] = name
  end
  for _, field in ipairs(values.fields) do
    add(field.table)
    if field.buckets then check_buckets(values, context, field, tables) end
  end
  for _, sequence in ipairs(values.sequences or {}) do
    for _, member in pairs(sequence.of) do add(member.table) end
  end
  for _, field in ipairs(values.fields) do
    if field.table then check_unseen(context, field, tables[field.table]) end
  end
  for name in pairs(values.tables) do
    if not tables[name] then
      stop(context.key_places["tables." .. name], 'tables.%s: no field uses this table%s', name,
        suggest.phrase(name, names))
    end
  end
  return tables
end

local function format_of(values, context)
  local name = type(values.data.train) == "table" and values.data.train[1] or values.data.train
  local format = text_format.of_name(name)
  if not format then
    stop(context.places["data.train"],
      'data.format is missing, and the name "%s" does not tell which of csv, tsv, jsonl, libsvm '
        .. "and libffm it is", name)
  end
  return format
end

local function check_columns(data, context)
  local columns, seen = data.columns, {}
  if text_format.needs_columns(data.format) then
    if not columns then
      stop(context.places["data.format"], "data.columns must name the cells that come before the "
        .. "pairs, such as [click, buy]")
    end
    data.header = false
  elseif not text_format.has_cells(data.format) then
    if columns then
      stop(context.places["data.columns"], text_format.has_pairs(data.format)
        and "data.columns: the columns of %s have no names"
        or "data.columns: the members of %s have names", data.format)
    end
    return
  elseif not data.header and not columns then
    stop(context.places["data.header"],
      "data.header is false, so data.columns must name the columns, such as [click, user, ad]")
  elseif data.header and columns then
    stop(context.places["data.columns"],
      "data.columns is for files without a header, and needs header: false")
  end
  if not columns then return end
  data.columns = {}
  for i, given in ipairs(columns) do
    local place = context.places[("data.columns[%d]"):format(i)]
    for _, name in ipairs(expand_names({ given }, function() return place end)) do
      if seen[name] then stop(place, 'data.columns has "%s" twice', name) end
      seen[name] = true
      table.insert(data.columns, name)
    end
  end
end

--- Resolve a fields configuration whose keys and values are allowed each for itself.
-- @tparam table values  which it changes
-- @tparam table context  with `places` and `key_places`
-- @treturn table values
-- @treturn table the places of the values that were given, by their dotted names
-- @raise what is wrong, for config_error.caught
function M.resolve(values, context)
  values.label = config_labels.resolve(values.label, context)
  config_labels.check_rates(values.data, values.label, context)
  for _, name in ipairs { "group", "weight", "scenario", "time" } do
    values[name] = values[name] and tostring(values[name])
  end
  values.data.format = values.data.format or format_of(values, context)
  check_columns(values.data, context)
  values.data.cache = values.data.cache or path_of.join(values.data.root, ".moonrank-cache")
  config_split.resolve(values, context)
  values.fields = expand_fields(values, context)
  values.sequences = config_sequences.expand(values, context)
  values.tables = expand_tables(values, context)
  return values, context.places
end

return M
