--- Configuration files: read, inherit, override, validate, fill defaults.
--
-- What keys there are is written in moonrank.config_keys alone; this module knows how to hold a
-- file against it. A complaint is one line: where, what was found, what is allowed. Files that
-- are wrong are troubles of the world: nil and the message.
-- @module moonrank.config
local config_keys = require "moonrank.config_keys"
local config_labels = require "moonrank.config_labels"
local config_sequences = require "moonrank.config_sequences"
local config_split = require "moonrank.config_split"
local joined = require "moonrank.joined"
local name_ranges = require "moonrank.name_ranges"
local path_of = require "moonrank.path"
local sorted_keys = require "moonrank.sorted_keys"
local suggest = require "moonrank.suggest"
local text_format = require "moonrank.text_format"
local yaml = require "moonrank.yaml"

local M = {}

local MAX_BASES = 8

-- Raised inside this module, caught by its interface. What a file says may hold anything; the
-- message stays one line.
local function stop(where, ...)
  error({ config = (where .. ": " .. string.format(...)):gsub("%c", " ") }, 0)
end

local function caught(f, ...)
  local results = { pcall(f, ...) }
  if results[1] then return unpack(results, 2) end
  local err = results[2]
  if type(err) == "table" and err.config then return nil, err.config end
  error(err, 0)
end

-- ---- words for messages ----

local function names_of(keys)
  local names = {}
  for i, description in ipairs(keys) do names[i] = description.name end
  return names
end

local function range_of(description, noun)
  local min, max, above = description.min, description.max, description.above
  if above and max then return ("%s > %.10g and <= %.10g"):format(noun, above, max) end
  if above then return ("%s > %.10g"):format(noun, above) end
  if min and max then
    if min == max then return ("%.10g"):format(min) end
    return ("%s %.10g to %.10g"):format(noun, min, max)
  end
  if min then return ("%s >= %.10g"):format(noun, min) end
  return noun
end

--- What a description allows, in words: "a whole number >= 1".
-- @tparam table description
-- @treturn string
function M.expected(description)
  local kind = description.type
  if kind == "whole" then return range_of(description, "a whole number") end
  if kind == "number" then return range_of(description, "a number") end
  if kind == "boolean" then return "true or false" end
  if kind == "text" then return "text" end
  if kind == "word" then return joined(description.words, "or") end
  if kind == "list" then return "a list" end
  if kind == "pick" then return "one of " .. joined(names_of(description.keys), "or") end
  if kind == "any" then return "anything" end
  if kind == "either" then
    local parts = {}
    for i, form in ipairs(description.forms) do parts[i] = M.expected(form) end
    return joined(parts, "or")
  end
  return "a map"
end

local function found(node)
  if node.type == "text" then return ('"%s"'):format(node.text:gsub("\n.*", "...")) end
  if node.type == "null" then return "empty" end
  if node.type == "list" then return "a list" end
  if node.type == "map" then return "a map" end
  return node.text
end

-- ---- nodes ----

-- A plain value (a default) as a node that stands where `at` does.
local function node_of(value, at)
  local node = { source = at.source, option = at.option, line = at.line, column = at.column }
  if type(value) == "table" and (#value > 0 or next(value) == nil and value.list) then
    node.type, node.items = "list", {}
    for i, item in ipairs(value) do node.items[i] = node_of(item, at) end
  elseif type(value) == "table" then
    node.type, node.entries, node.index = "map", {}, {}
    for key, item in pairs(value) do yaml.put(node, key, node_of(item, at)) end
  else
    node.type, node.value, node.text = type(value), value, tostring(value)
    if node.type == "string" then node.type = "text" end
  end
  return node
end

local function description_of(description, key)
  if not description then return nil end
  if description.type == "named" then return description.of end
  for _, inner in ipairs(description.keys or {}) do
    if inner.name == key then return inner end
  end
end

-- `over` on top of `under`: maps are merged, all else is replaced, and so is the choice of a pick
-- and a key that may take several forms (a sum of metrics, for one, is not added to another).
local function merge(description, under, over)
  if under.type ~= "map" or over.type ~= "map" then return over end
  if description and description.type == "either" then return over end
  if description and description.type == "pick" and under.entries[1] and over.entries[1]
      and under.entries[1].key ~= over.entries[1].key then
    return over
  end
  local result = { type = "map", entries = {}, index = {}, source = over.source,
    option = over.option, line = over.line, column = over.column }
  for _, entry in ipairs(under.entries) do
    yaml.put(result, entry.key, entry.node, entry.key_node)
  end
  for _, entry in ipairs(over.entries) do
    local below = under.index[entry.key]
    local node = entry.node
    if below then node = merge(description_of(description, entry.key), below.node, node) end
    yaml.put(result, entry.key, node, entry.key_node)
  end
  return result
end

-- ---- reading ----

local function read_root(path)
  local root, message = yaml.read(path)
  if not root then error({ config = message }, 0) end
  if root.type == "null" then
    root.type, root.entries, root.index = "map", {}, {}
  elseif root.type ~= "map" then
    stop(yaml.where(root), "the file is %s, expected a map", found(root))
  end
  return root
end

local function read_with_base(description, path, seen)
  local root = read_root(path)
  local base = root.index.base
  if not base then return root end
  if base.node.type ~= "text" then
    stop(yaml.where(base.node), "base is %s, expected text", found(base.node))
  end
  local base_path = path_of.join(path_of.folder(path), base.node.value)
  if seen[base_path] then
    stop(yaml.where(base.node), 'base "%s" leads back to itself', base.node.value)
  end
  seen[base_path] = true
  seen.n = (seen.n or 0) + 1
  if seen.n > MAX_BASES then
    stop(yaml.where(base.node), "more than %d files stand on each other", MAX_BASES)
  end
  local file, trouble = io.open(base_path, "rb")
  if not file then
    stop(yaml.where(base.node), 'base "%s" cannot be read (%s)', base.node.value, trouble)
  end
  file:close()
  local merged = merge(description, read_with_base(description, base_path, seen), root)
  return merged
end

-- A value under a dotted name as a chain of maps, and the first of its names.
local function chain(name, node, where)
  local names = {}
  for part in name:gmatch "[^.]+" do names[#names + 1] = part end
  for i = #names, 1, -1 do
    local map = { type = "map", entries = {}, index = {}, option = where }
    yaml.put(map, names[i], node, { option = where, text = names[i] })
    node = map
  end
  return node, names[1]
end

local function is_dotted(name)
  return name ~= "" and not (name:find "^%." or name:find "%.$" or name:find "%.%.")
end

-- "a.b=c", or { name = "a.b", node =, place = where the name stands }.
local function read_override(given)
  if type(given) == "table" then
    if not is_dotted(given.name) then
      stop(given.place, '"%s" is not the name of a key, such as train.batch', given.name)
    end
    return chain(given.name, given.node, given.place)
  end
  local option = "--set " .. given
  local name, value_text = given:match "^([^=]*)=(.*)$"
  if not name or not is_dotted(name) then
    stop(option, "expected NAME=VALUE, such as train.batch=1024")
  end
  if value_text == "-" then value_text = '"-"' end -- not a list
  local node, message = yaml.parse(value_text, "--set", option)
  if not node then error({ config = message }, 0) end
  return chain(name, node, option)
end

-- ---- validation ----

local check

local function dotted(path, key) return path == "" and key or path .. "." .. key end

local function in_path(path) return path == "" and "" or " in " .. path end

-- Where no name is near, all of them, as long as they are few.
local LISTED = 12

local function unknown_key(entry, path, names)
  local phrase = suggest.phrase(entry.key, names)
  if phrase == "" and #names <= LISTED then phrase = ", expected " .. joined(names, "or") end
  stop(yaml.where(entry.key_node), 'unknown key "%s"%s%s', entry.key, in_path(path), phrase)
end

local function wrong(node, path, description, hint)
  stop(yaml.where(node), "%s is %s, expected %s%s", path == "" and "the file" or path, found(node),
    M.expected(description), hint or "")
end

local function in_range(description, value)
  return value == value and math.abs(value) < math.huge
    and (not description.min or value >= description.min)
    and (not description.max or value <= description.max)
    and (not description.above or value > description.above)
end

local SCALARS = {
  whole = function(description, node)
    return node.type == "number" and node.value % 1 == 0 and math.abs(node.value) <= 2 ^ 53
      and in_range(description, node.value)
  end,
  number = function(description, node)
    return node.type == "number" and in_range(description, node.value)
  end,
  boolean = function(_, node) return node.type == "boolean" end,
  text = function(_, node) return node.type == "text" and node.value ~= "" end,
  word = function(description, node)
    if node.type ~= "text" then return false end
    for _, word in ipairs(description.words) do
      if word == node.value then return true end
    end
    return false
  end,
}

local function check_scalar(context, description, node, path)
  if not SCALARS[description.type](description, node) then
    local hint = description.words and node.type == "text"
      and suggest.phrase(node.value, description.words)
    wrong(node, path, description, hint or "")
  end
  context.places[path] = yaml.where(node)
  local is_path = description.path == true
    or description.path == "lua" and node.value:find "%.lua$" ~= nil
  if is_path and not node.option then
    return path_of.join(path_of.folder(node.source), node.value)
  end
  return node.value
end

-- Whether a key of a data field belongs to the field's type; a default is not set where not. A
-- member of a sequence may leave its type to a field.
local function belongs(description, map)
  if not description.only or not map.index.type then return true end
  local field_type = map.index.type.node.value
  for _, kind in ipairs(description.only) do
    if kind == field_type then return true end
  end
  return false, field_type
end

local function default_of(context, description, map, path)
  if description.required and not map.index[description.unless] then
    stop(yaml.where(map), "%s is missing", path)
  elseif description.optional then
    return nil
  elseif description.path == true and description.default then
    return path_of.join(path_of.folder(context.file), description.default)
  elseif description.default ~= nil then
    if description.type ~= "pick" then return description.default end
    return check(context, description, node_of(description.default, map), path)
  elseif description.type == "map" and description.keys then
    return check(context, description, node_of({}, map), path)
  elseif description.type == "named" then
    return {}
  end
end

local function check_map(context, description, node, path)
  local values = {}
  local names = names_of(description.keys)
  for _, entry in ipairs(node.entries) do
    if not description_of(description, entry.key) then
      if not description.open then unknown_key(entry, path, names) end
      values[entry.key] = yaml.plain(entry.node)
      context.places[dotted(path, entry.key)] = yaml.where(entry.node)
      context.key_places[dotted(path, entry.key)] = yaml.where(entry.key_node)
    end
  end
  for _, inner in ipairs(description.keys) do
    local entry = node.index[inner.name]
    local inner_path = dotted(path, inner.name)
    local fits, field_type = belongs(inner, node)
    if entry and not fits then
      stop(yaml.where(entry.key_node), "%s is for type %s, this field is of type %s", inner_path,
        joined(inner.only, "and"), field_type)
    elseif entry then
      values[inner.name] = check(context, inner, entry.node, inner_path)
    elseif fits then
      values[inner.name] = default_of(context, inner, node, inner_path)
    end
  end
  return values
end

local function check_pick(context, description, node, path)
  local names = names_of(description.keys)
  local entry
  if node.type == "text" then
    entry = { key = node.value, key_node = node, node = node_of({}, node) }
  else
    entry = node.entries[1]
    if #node.entries ~= 1 then
      stop(yaml.where(node), "%s has %d keys, expected %s", path, #node.entries,
        M.expected(description))
    end
  end
  local inner = description_of(description, entry.key)
  if not inner then
    if node.type == "text" then
      wrong(node, path, description, suggest.phrase(entry.key, names))
    end
    unknown_key(entry, path, names)
  end
  return { [entry.key] = check(context, inner, entry.node, dotted(path, entry.key)) }
end

local KIND = { whole = "scalar", number = "scalar", boolean = "scalar", text = "scalar",
  word = "scalar", list = "list", map = "map", named = "map" }

local function check_either(context, description, node, path)
  local kind = node.text and "scalar" or node.type
  local last
  for _, form in ipairs(description.forms) do
    local fits = KIND[form.type] == kind
      and (kind ~= "scalar" or SCALARS[form.type](form, node))
    if fits then return check(context, form, node, path) end
    if form.words and node.type == "text" then last = suggest.phrase(node.value, form.words) end
  end
  wrong(node, path, description, last)
end

function check(context, description, node, path)
  context.places[path] = yaml.where(node)
  local kind = description.type
  if kind == "any" then return node end
  if kind == "either" then return check_either(context, description, node, path) end
  if SCALARS[kind] then return check_scalar(context, description, node, path) end
  if node.type == "null" and (kind == "map" or kind == "named") then node = node_of({}, node) end
  if kind == "pick" and (node.type == "map" or node.type == "text") then
    return check_pick(context, description, node, path)
  elseif kind == "list" and node.type == "list" then
    local list = {}
    for i, item in ipairs(node.items) do
      list[i] = check(context, description.of, item, ("%s[%d]"):format(path, i))
    end
    if #list == 0 then stop(yaml.where(node), "%s is an empty list", path) end
    return list
  elseif kind == "map" and node.type == "map" then
    return check_map(context, description, node, path)
  elseif kind == "named" and node.type == "map" then
    local values = {}
    for _, entry in ipairs(node.entries) do
      local inner_path = dotted(path, entry.key)
      values[entry.key] = check(context, description.of, entry.node, inner_path)
      context.key_places[inner_path] = yaml.where(entry.key_node)
    end
    return values
  end
  wrong(node, path, description)
end

-- Read a file against a description: values, and the places of values and of open keys.
local function load(description, path, overrides)
  local root = read_with_base(description, path, { [path] = true })
  for _, override in ipairs(overrides or {}) do root = merge(description, root, override) end
  local context = { file = path, places = {}, key_places = {} }
  local values = check(context, description, root, "")
  values.base = nil -- its keys are in
  return values, context
end

-- ---- the fields file ----

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
  elseif part.type ~= "id" and part.type ~= "ids" or part.cross then
    stop(place, '%s.cross: field "%s" is %s, expected fields of type id or ids', path, name,
      part.cross and "a cross itself" or "of type " .. part.type)
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

local function resolve_fields(values, context)
  values.label = config_labels.resolve(values.label, context, stop)
  config_labels.check_rates(values.data, values.label, context, stop)
  for _, name in ipairs { "group", "weight", "scenario", "time" } do
    values[name] = values[name] and tostring(values[name])
  end
  values.data.format = values.data.format or format_of(values, context)
  check_columns(values.data, context)
  values.data.cache = values.data.cache or path_of.join(values.data.root, ".moonrank-cache")
  config_split.resolve(values, context, stop)
  values.fields = expand_fields(values, context)
  values.sequences = config_sequences.expand(values, context, stop)
  values.tables = expand_tables(values, context)
  return values, context.places
end

local function check_fields_file(path, overrides)
  return resolve_fields(load(config_keys.fields, path, overrides))
end

-- ---- overrides ----

-- Which of the two files a --set belongs to, by its first name.
local function sort_overrides(list)
  local overrides = { experiment = {}, fields = {} }
  local names = names_of(config_keys.experiment.keys)
  for _, description in ipairs(config_keys.fields.keys) do
    if not description_of(config_keys.experiment, description.name) then
      names[#names + 1] = description.name
    end
  end
  for _, given in ipairs(list or {}) do
    local node, first = read_override(given)
    if description_of(config_keys.experiment, first) then
      table.insert(overrides.experiment, node)
    elseif description_of(config_keys.fields, first) then
      table.insert(overrides.fields, node)
    else
      unknown_key(node.entries[1], "", names)
    end
  end
  return overrides
end

-- ---- interface ----

--- What of `data` says how files are read, wherever they are.
-- @tparam table data  of a resolved configuration
-- @treturn table
function M.text(data) return { format = data.format, columns = data.columns } end

--- Read a fields file.
-- @tparam string path
-- @tparam[opt] {string,...} set  overrides such as "data.root=elsewhere"
-- @treturn ?table the resolved configuration: every default filled in, one entry a field, every
-- member of a sequence with what a field has, every table with its width; written by yaml.write it
-- reads back as itself
-- @treturn string|table what is wrong; else the place of every given value by its dotted name
function M.fields(path, set)
  return caught(function()
    local overrides = sort_overrides(set)
    if overrides.experiment[1] then
      unknown_key(overrides.experiment[1].entries[1], "", names_of(config_keys.fields.keys))
    end
    return check_fields_file(path, overrides.fields)
  end)
end

--- Hold a resolved fields configuration that was stored without its data (in a model file, which
-- anybody can write) against the descriptions.
-- @tparam table values  as of fields(); of `data` only what M.text gives counts
-- @tparam string source  what says so, for messages
-- @treturn ?table the configuration, with every default filled in
-- @treturn ?string what is wrong
function M.stored(values, source)
  return caught(function()
    local copy = {}
    for key, value in pairs(values) do copy[key] = value end
    local data = type(values.data) == "table" and values.data or {}
    copy.base, copy.data = nil, { train = "none", format = data.format or nil,
      header = data.columns == nil, columns = data.columns }
    local context = { file = source, places = {}, key_places = {} }
    local root = node_of(copy, { option = source })
    local resolved = resolve_fields(check(context, config_keys.fields, root, ""), context)
    resolved.data = M.text(resolved.data)
    return resolved
  end)
end

--- A number as a value for a key.
-- @tparam number value
-- @tparam string place  for messages
-- @treturn table a node as of moonrank.yaml
function M.node(value, place) return node_of(value, { option = place }) end

--- Read an experiment file and the fields file it names.
-- @tparam string path
-- @tparam[opt] table set  overrides for either file: texts such as "train.batch=1024", or { name =
-- "train.batch", node = of moonrank.yaml, place = for messages }
-- @treturn ?table { name =, file =, experiment = values, fields = values, places =, key_places =,
-- fields_places =, tune = the values of that key }; the script's options stand in
-- experiment.model, unchecked
-- @treturn ?string what is wrong
function M.experiment(path, set)
  return caught(function()
    local overrides = sort_overrides(set)
    local values, context = load(config_keys.experiment, path, overrides.experiment)
    local file, message = io.open(values.fields, "rb")
    if not file then
      stop(context.places.fields, "fields cannot be read (%s)", message)
    end
    file:close()
    local fields, fields_places = check_fields_file(values.fields, overrides.fields)
    config_labels.check_training(values.train, fields.label, context, stop)
    local tune = values.tune
    values.tune = nil -- is nothing of the experiment
    return { name = path_of.stem(path), file = path, experiment = values, fields = fields,
      places = context.places, key_places = context.key_places, fields_places = fields_places,
      tune = tune }
  end)
end

return M
