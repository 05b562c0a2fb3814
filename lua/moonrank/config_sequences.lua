--- The sequences of a fields file, resolved: each member with its column, type and all that a field
-- of its type has, taken from the field of its name where it does not say otherwise.
-- @module moonrank.config_sequences
local stop = require "moonrank.config_error".stop
local config_keys = require "moonrank.config_keys"
local sorted_keys = require "moonrank.sorted_keys"
local suggest = require "moonrank.suggest"
local text_format = require "moonrank.text_format"

local M = {}

-- What `which` of a model's selections and the domains of its values are called otherwise.
local TAKEN = { all = true, user = true, ad = true, scene = true, context = true, request = true,
  sample = true }

local function keys_of(name)
  for _, key in ipairs(config_keys.fields.keys) do
    if key.name == name then return key.of end
  end
end

local FIELD = keys_of "fields"

local function check_name(self, sequence, path)
  local name, place = sequence.name, self.context.places[path .. ".name"]
  if name:find "[%c%s:.]" or #name > 255 then
    stop(place, '%s.name is "%s", expected text without spaces, colons and dots', path, name)
  elseif TAKEN[name] then
    stop(place, '%s.name is "%s", which is the name of a side or domain', path, name)
  elseif self.fields[name] then
    stop(place, '%s.name is "%s", which is a field', path, name)
  elseif self.seen[name] then
    stop(place, 'sequence "%s" is described twice', name)
  end
  self.seen[name] = true
end

-- The type that a member gives or takes from its field.
local function type_of(self, name, member, field, path)
  local kind = member.type or field and field.type
  if kind then return kind end
  local hint = suggest.phrase(name, sorted_keys(self.fields))
  return stop(self.context.key_places[path], "%s needs a type: no field has this name%s", path,
    hint)
end

-- One value of a member: its own, that of its field, or the default that a field of its type has.
local function value_of(self, key, kind, member, field, path)
  local fits
  for _, one in ipairs(key.only) do fits = fits or one == kind end
  if fits then
    if member[key.name] ~= nil then return member[key.name] end
    if key.name == "separator" and self.is_json then return text_format.INNER_LIST end
    if field and field[key.name] ~= nil then return field[key.name] end
    return key.default
  elseif member[key.name] ~= nil then
    stop(self.context.places[path .. "." .. key.name],
      "%s.%s is for type %s, this member is of type %s", path, key.name,
      table.concat(key.only, " and "), kind)
  end
end

local function expand_member(self, sequence, name, path)
  local given, field = sequence.of[name], self.fields[name]
  local place = self.context.key_places[path]
  local member = type(given) == "table" and given or { column = given }
  if name:find "[%c%s:]" or #name > 255 then
    stop(place, '%s: the name is "%s", expected text without spaces and colons', path, name)
  elseif self.fields[sequence.name .. "." .. name] then
    stop(place, '%s is called "%s.%s", which is a field', path, sequence.name, name)
  end
  local one = { column = member.column, type = type_of(self, name, member, field, path) }
  if field and one.type == "number"
    and (field.normalize or field.buckets or type(field.missing) == "string") then
    stop(place, "%s: what is fitted to the numbers of its field is not for sequences; give "
      .. "the member another name", path)
  end
  if field and field.cross and (one.type == "id" or one.type == "ids") then
    stop(place, "%s: its field is a cross, which sequences have none of; give the member "
      .. "another name", path)
  end
  if field and field.weighted and one.type == "ids" then
    stop(place, "%s: ids of a sequence have no weights, and its field does; give the member "
      .. "another name", path)
  end
  for _, key in ipairs(FIELD.keys) do
    if key.only then one[key.name] = value_of(self, key, one.type, member, field, path) end
  end
  one.padding = text_format.padding(one.type == "ids", one.padding, self.defaults)
  local has_keys = one.type == "id" or one.type == "ids"
  one.table = has_keys and (one.table or name) or nil
  if one.type == "vector" and not one.width then
    stop(place, "%s.width is missing: how many numbers each behaviour has", path)
  end
  self.named[path] = member.table
  local separator = one.separator
  if separator and #separator ~= 1 then
    stop(self.context.places[path .. ".separator"],
      '%s.separator is "%s", expected one character', path, separator)
  elseif separator == sequence.separator then
    stop(place, '%s: "%s" stands between its values and between behaviours as well', path,
      separator)
  end
  return one
end

-- Which behaviours are padding is seen at ids.
local function check_padding(self, sequence, path)
  local has_ids = false
  for _, member in pairs(sequence.of) do has_ids = has_ids or member.table ~= nil end
  if sequence.padding and not has_ids then
    stop(self.context.places[path .. ".padding"], "%s.padding: no member is of type id or "
      .. "ids, which would tell what is padding", path)
  end
  sequence.padding = text_format.padding(has_ids, sequence.padding, self.defaults)
end

-- A member may share a table, and starts one only under its own name.
local function check_tables(self, values)
  local known = {}
  for name in pairs(values.tables) do known[name] = true end
  for _, field in ipairs(values.fields) do known[field.table or ""] = true end
  for i, sequence in ipairs(values.sequences) do
    for name, member in pairs(sequence.of) do
      local path = ("sequences[%d].of.%s"):format(i, name)
      if member.table and not self.named[path] then known[member.table] = true end
    end
  end
  known[""] = nil
  for _, path in ipairs(sorted_keys(self.named)) do
    local name = self.named[path]
    if not known[name] then
      stop(self.context.places[path .. ".table"], '%s.table is "%s", but no field uses such '
        .. "a table%s", path, name, suggest.phrase(name, sorted_keys(known)))
    end
  end
end

--- Write out the members of each sequence.
-- @tparam table values  of a fields file, its fields expanded
-- @tparam table context  places and key_places of the given values
-- @treturn ?{table,...} nil where there are no sequences
function M.expand(values, context)
  if not values.sequences then return nil end
  local self = { context = context, fields = {}, seen = {}, named = {},
    is_json = values.data.format == "jsonl", defaults = values.defaults }
  for _, field in ipairs(values.fields) do self.fields[field.name] = field end
  for i, sequence in ipairs(values.sequences) do
    local path = ("sequences[%d]"):format(i)
    check_name(self, sequence, path)
    if self.is_json and not context.places[path .. ".separator"] then
      sequence.separator = text_format.LIST
    end
    if #sequence.separator ~= 1 then
      stop(context.places[path .. ".separator"], '%s.separator is "%s", expected one character',
        path, sequence.separator)
    elseif not next(sequence.of) then
      stop(context.places[path .. ".of"], "%s.of is an empty map", path)
    end
    for _, name in ipairs(sorted_keys(sequence.of)) do
      sequence.of[name] = expand_member(self, sequence, name, ("%s.of.%s"):format(path, name))
    end
    check_padding(self, sequence, path)
  end
  check_tables(self, values)
  return values.sequences
end

--- The names of a sequence's members: those with the name of a field in the order of the fields,
-- then the others in the order of the alphabet.
-- @tparam table values  a resolved fields configuration
-- @tparam table sequence  of it
-- @treturn {string,...}
function M.members(values, sequence)
  local names, there = {}, {}
  for _, field in ipairs(values.fields) do
    if sequence.of[field.name] then names[#names + 1], there[field.name] = field.name, true end
  end
  for _, name in ipairs(sorted_keys(sequence.of)) do
    if not there[name] then names[#names + 1] = name end
  end
  return names
end

return M
