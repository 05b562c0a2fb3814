--- Configuration files: read, inherit, override, validate, fill defaults.
--
-- What keys there are is written in moonrank.config_keys alone; this module knows how to hold a
-- file against it. A complaint is one line: where, what was found, what is allowed. Files that
-- are wrong are troubles of the world: nil and the message.
-- @module moonrank.config
local config_error = require "moonrank.config_error"
local config_fields = require "moonrank.config_fields"
local config_keys = require "moonrank.config_keys"
local config_labels = require "moonrank.config_labels"
local joined = require "moonrank.joined"
local path_of = require "moonrank.path"
local suggest = require "moonrank.suggest"
local yaml = require "moonrank.yaml"

local caught, stop = config_error.caught, config_error.stop

local M = {}

local MAX_BASES = 8
-- Of larger numbers another one than was written may be what is read.
local LARGEST_WHOLE = 2 ^ 53 - 1

-- ---- words for messages ----

local function names_of(keys)
  local names = {}
  for i, description in ipairs(keys) do names[i] = description.name end
  return names
end

local function shown(limit)
  return (math.abs(limit) <= LARGEST_WHOLE and limit % 1 == 0 and "%.0f" or "%.10g"):format(limit)
end

local function range_of(description, noun)
  local min, max, above = description.min, description.max, description.above
  if above and max then return ("%s > %s and <= %s"):format(noun, shown(above), shown(max)) end
  if above then return ("%s > %s"):format(noun, shown(above)) end
  if min and max then
    if min == max then return shown(min) end
    return ("%s %s to %s"):format(noun, shown(min), shown(max))
  end
  if min then return ("%s >= %s"):format(noun, shown(min)) end
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
    return node.type == "number" and node.value % 1 == 0 and math.abs(node.value) <= LARGEST_WHOLE
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
    local large = node.type == "number" and node.value > LARGEST_WHOLE and node.value < math.huge
    if large and description.type == "whole" then
      description = { type = "whole", min = description.min,
        max = math.min(description.max or math.huge, LARGEST_WHOLE) }
    end
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

local function check_fields_file(path, overrides)
  return config_fields.resolve(load(config_keys.fields, path, overrides))
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
    local resolved = config_fields.resolve(check(context, config_keys.fields, root, ""), context)
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
    config_labels.check_training(values.train, fields.label, context)
    local tune = values.tune
    values.tune = nil -- is nothing of the experiment
    return { name = path_of.stem(path), file = path, experiment = values, fields = fields,
      places = context.places, key_places = context.key_places, fields_places = fields_places,
      tune = tune }
  end)
end

return M
