--- Model scripts: finding them, running them once, holding options against theirs.
--
-- A script returns { name =, options = { ... defaults ... }, build = function(m, opt) ... end }.
-- It is trusted code; its environment only guards against mistakes (a global that was meant to be
-- local).
-- @module moonrank.script
local interrupt = require "moonrank.interrupt"
local path_of = require "moonrank.path"
local read_file = require "moonrank.read_file"
local suggest = require "moonrank.suggest"

local M = {}

local models = require "moonrank.place".models

--- The names of the models that come with moonrank, sorted.
-- @treturn {string,...}
function M.names() return path_of.modules(models) end

--- The file of a script.
-- @tparam string name  of a model in models/, or a path that ends in .lua
-- @tparam[opt="."] string folder  that paths start from
-- @treturn ?string
-- @treturn ?string what is wrong
function M.find(name, folder)
  if name:find "%.lua$" then return path_of.join(folder or ".", name) end
  local names = M.names()
  for _, known in ipairs(names) do
    if known == name then return models .. name .. ".lua" end
  end
  local hint = suggest.phrase(name, names)
  if hint == "" then
    hint = ", expected " .. table.concat(names, ", ") .. " or the path of a .lua file"
  end
  return nil, ('no model "%s"%s'):format(name, hint)
end

local function guarded_environment()
  return setmetatable({}, {
    __index = _G,
    __newindex = function(_, name)
      error(('global "%s" is set; write local %s'):format(tostring(name), tostring(name)), 2)
    end,
  })
end

local function check_shape(script, path)
  if type(script) ~= "table" then
    return nil, ("%s: returns %s, expected a table with a function build"):format(path,
      script == nil and "nothing" or "a " .. type(script))
  elseif type(script.build) ~= "function" then
    return nil, ("%s: the table it returns has no function build"):format(path)
  elseif script.options ~= nil and type(script.options) ~= "table" then
    return nil, ("%s: options is a %s, expected a table"):format(path, type(script.options))
  end
  return true
end

--- Run a script.
-- @tparam string name  of a model in models/, or a path that ends in .lua
-- @tparam[opt="."] string folder  that paths start from
-- @treturn ?table what the script returns, with `path` and `text` (its source) added; `name` and
-- `options` are filled in where it gives none
-- @treturn ?string what is wrong
function M.load(name, folder)
  local path, message = M.find(name, folder)
  if not path then return nil, message end
  local text, chunk
  text, message = read_file(path)
  if not text then return nil, message end
  chunk, message = load(text, "@" .. path, "t", guarded_environment())
  if not chunk then return nil, message end
  local ok, script = interrupt.pcall(chunk)
  if not ok then return nil, tostring(script) end
  ok, message = check_shape(script, path)
  if not ok then return nil, message end
  script.name = script.name or path_of.stem(path)
  script.options = script.options or {}
  script.path, script.text = path, text
  return script
end

-- ---- options ----

local KINDS = { number = "a number", boolean = "true or false", string = "text" }
local KINDS_OF_ITEMS = { number = "numbers", boolean = "true or false", string = "text",
  table = "lists" }

local function kind_of(value)
  if type(value) ~= "table" then return KINDS[type(value)] end
  return value[1] == nil and "a list" or "a list of " .. KINDS_OF_ITEMS[type(value[1])]
end

local function same_kind(default, value)
  if type(value) ~= type(default) then return false end
  if type(value) ~= "table" then return true end
  for key, item in pairs(value) do
    if type(key) ~= "number" then return false end
    if default[1] ~= nil and not same_kind(default[1], item) then return false end
  end
  return true
end

local function shown(value)
  if type(value) == "table" then
    return #value == 0 and next(value) ~= nil and "a map" or "a list"
  end
  return type(value) == "string" and ('"%s"'):format(value) or tostring(value)
end

-- What is wrong with a value that is not of its default's kind: it, or the first item that is not.
local function wrong_kind(name, default, value)
  if type(value) == "table" and type(default) == "table" then
    for i, item in ipairs(value) do
      if default[1] ~= nil and not same_kind(default[1], item) then
        return wrong_kind(("%s[%d]"):format(name, i), default[1], item)
      end
    end
  end
  return ("%s is %s, expected %s"):format(name, shown(value), kind_of(default))
end

--- A script's options with the given ones in place of the defaults.
-- @tparam table script  as of load()
-- @tparam table given
-- @treturn ?table
-- @treturn ?string what is wrong, without a place
-- @treturn ?string the name of the option that is wrong
function M.options(script, given)
  local names, options, order = {}, {}, {}
  for name, default in pairs(script.options) do
    names[#names + 1] = name
    options[name] = default
  end
  for name in pairs(given) do order[#order + 1] = name end
  table.sort(order)
  for _, name in ipairs(order) do
    local default, value = script.options[name], given[name]
    if default == nil then
      return nil, ('unknown option "%s" of model %s%s'):format(name, script.name,
        suggest.phrase(name, names)), name
    elseif not same_kind(default, value) then
      return nil, wrong_kind(name, default, value), name
    end
    options[name] = value
  end
  return options
end

return M
