--- Canonical JSON: keys sorted, numbers as short as they read back the same, no blanks. The same
-- value is the same text, which model files rely on. Reading is lua-cjson's.
-- @module moonrank.json
local M = {}

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function quoted(text)
  return '"' .. text:gsub('[%c"\\]', function(c)
    return ESCAPES[c] or ("\\u%04x"):format(c:byte())
  end) .. '"'
end

local function number(value)
  if value ~= value or value == math.huge or value == -math.huge then
    error("JSON has no " .. tostring(value), 0)
  end
  if value % 1 == 0 and math.abs(value) < 2 ^ 53 then return ("%.0f"):format(value) end
  for digits = 1, 17 do
    local text = ("%." .. digits .. "g"):format(value)
    if tonumber(text) == value then return text end
  end
end

local encode

local function list(values)
  local parts = {}
  for i, value in ipairs(values) do parts[i] = encode(value) end
  return "[" .. table.concat(parts, ",") .. "]"
end

local function object(values)
  local keys, parts = {}, {}
  for key in pairs(values) do
    if type(key) ~= "string" then error("a JSON object's keys are strings", 0) end
    keys[#keys + 1] = key
  end
  table.sort(keys)
  for i, key in ipairs(keys) do parts[i] = quoted(key) .. ":" .. encode(values[key]) end
  return "{" .. table.concat(parts, ",") .. "}"
end

function encode(value)
  local kind = type(value)
  if kind == "table" then return (#value > 0 and list or object)(value) end
  if kind == "string" then return quoted(value) end
  if kind == "number" then return number(value) end
  if kind == "boolean" then return tostring(value) end
  error("JSON has no " .. kind, 0)
end

--- The canonical text of a value. An empty table is an object.
-- @param value  nested tables, strings, numbers and booleans
-- @treturn string
M.encode = encode

--- A value without the numbers that JSON does not have: a figure that is not defined is left out.
-- @param value
-- @return a copy, nil for such a number
function M.defined(value)
  if type(value) ~= "table" then
    if type(value) == "number" and (value ~= value or math.abs(value) == math.huge) then
      return nil
    end
    return value
  end
  local result = {}
  for key, item in pairs(value) do result[key] = M.defined(item) end
  return result
end

--- Read JSON text.
-- @tparam string text
-- @return the value, or nil and a message
function M.decode(text)
  local ok, value = pcall(require("cjson").decode, text)
  if ok then return value end
  return nil, tostring(value)
end

return M
