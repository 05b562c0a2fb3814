--- YAML files and configurations: any text is read or refused with one line, soon, and what was read
-- is written and reads back the same. Mutations of the committed inputs and of the examples, from a
-- seed; there is no coverage to guide them.
--
--     luajit tests/fuzz/yaml_fuzz.lua SECONDS FOLDER [SEED]    an input that fails is kept in FOLDER
--     luajit tests/fuzz/yaml_fuzz.lua replay                   the committed inputs, once each
package.path = "lua/?.lua;lua/?/init.lua;tests/?.lua;" .. package.path
local config = require "moonrank.config"
local config_keys = require "moonrank.config_keys"
local helper = require "helper"
local lfs = require "lfs"
local yaml = require "moonrank.yaml"

local MOST_SECONDS = 2 -- for one input
local folder = helper.temp_dir()

-- ---- what must hold ----

local function is_line(text)
  return type(text) == "string" and text ~= "" and not text:find "[%z\n\r]"
end

-- The results of a call that may say nil and a message.
local function call(what, f, ...)
  local ok, result, message = pcall(f, ...)
  if not ok then error(what .. " raised: " .. tostring(result), 0) end
  if result == nil and not is_line(message) then
    error(("%s said: %s"):format(what, tostring(message)), 0)
  end
  return result, message
end

-- Lua tables have no place for null.
local function has_null(node)
  if node.type == "null" then return true end
  for _, item in ipairs(node.items or {}) do
    if has_null(item) then return true end
  end
  for _, entry in ipairs(node.entries or {}) do
    if has_null(entry.node) then return true end
  end
  return false
end

local function check_yaml(text)
  local root = call("yaml.parse", yaml.parse, text, "x.yaml")
  if not root or root.type ~= "map" or has_null(root) then return end
  local written = yaml.write(yaml.plain(root))
  local again, message = yaml.parse(written, "again.yaml")
  if not again then error(("written as %q it is refused: %s"):format(written, message), 0) end
  local twice = yaml.write(yaml.plain(again))
  if twice ~= written then error(("written as %q, then as %q"):format(written, twice), 0) end
end

local function check_config(text)
  local path = helper.write(folder .. "/fields.yaml", text)
  local fields = call("config.fields", config.fields, path)
  if fields then
    local written = yaml.write(fields)
    local again, message = config.fields(helper.write(folder .. "/again.yaml", written))
    if not again then error(("resolved as %s it is refused: %s"):format(written, message), 0) end
    if yaml.write(again) ~= written then error("resolved twice it differs: " .. written, 0) end
  end
  call("config.experiment", config.experiment, helper.write(folder .. "/experiment.yaml", text))
end

local function check(text)
  local start = os.clock()
  check_yaml(text)
  check_config(text)
  local seconds = os.clock() - start
  if seconds > MOST_SECONDS then error(("it took %.1f s"):format(seconds), 0) end
end

-- ---- inputs ----

local function list_inputs(path, pattern, inputs)
  local names = {}
  for name in lfs.dir(path) do
    if name:find(pattern) then names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do inputs[#inputs + 1] = helper.read(path .. "/" .. name) end
  return inputs
end

local words = { ": ", "- ", "\n", "\n  ", "{", "}", "[", "]", ",", "&a ", "*a", "!!str ", "|\n", ">-\n",
  "'", '"', "#", "%YAML 1.2\n---\n", "---\n", "...\n", "? ", "~", "null", "no", "true", "010", "0x1F",
  "1_000", ".inf", "-.inf", ".nan", "1e999", "1e-999", "-0", "9007199254740993", "\0", "\t", "\r\n",
  "\255", "\239\187\191", "\226\128\168", "\\", "@", "`", "<<: ", "\\x41", "\\u0000", "../" }

local function add_keys(description)
  for _, key in ipairs(description.keys or {}) do
    words[#words + 1] = key.name
    words[#words + 1] = "\n" .. key.name .. ": "
    add_keys(key)
  end
end
add_keys(config_keys.fields)
add_keys(config_keys.experiment)

-- ---- mutations ----

local random = math.random
local function place(text) return random(0, #text) end

local function range(text)
  local first = place(text)
  return first, math.min(#text, first + random(0, 30))
end

local mutations = {
  function(text) -- another byte
    local at = place(text)
    return text:sub(1, at) .. string.char(random(0, 255)) .. text:sub(at + 2)
  end,
  function(text) -- a word
    local at = place(text)
    return text:sub(1, at) .. words[random(#words)] .. text:sub(at + 1)
  end,
  function(text) -- a word in place of another
    local at = place(text)
    local first, last = text:find("[%w_.]+", at)
    if not first then return text end
    return text:sub(1, first - 1) .. words[random(#words)] .. text:sub(last + 1)
  end,
  function(text) -- less
    local first, last = range(text)
    return text:sub(1, first) .. text:sub(last + 1)
  end,
  function(text) -- again
    local first, last = range(text)
    local at = place(text)
    return text:sub(1, at) .. text:sub(first, last):rep(random(1, 3)) .. text:sub(at + 1)
  end,
  function(text) -- deeper
    local at, n = place(text), random(1, 60)
    local open = ({ "[", "{a: ", "- ", "? ", "\n" .. (" "):rep(n) })[random(5)]
    return text:sub(1, at) .. open:rep(n) .. text:sub(at + 1)
  end,
  function(text, inputs) -- the end of another
    local other = inputs[random(#inputs)]
    return text:sub(1, place(text)) .. other:sub(place(other) + 1)
  end,
}

local function mutate(inputs)
  local text = inputs[random(#inputs)]
  for _ = 1, random(1, 6) do text = mutations[random(#mutations)](text, inputs) end
  return text:sub(1, 20000)
end

-- ---- running ----

local function finish(status)
  os.execute("rm -rf " .. helper.quote((folder:gsub("/%d+$", ""))))
  os.exit(status, true)
end

local inputs = list_inputs("tests/fuzz/corpus/yaml", "^[^.]", {})
if arg[1] == "replay" then
  for i, text in ipairs(inputs) do
    local ok, message = pcall(check, text)
    if not ok then
      print(("input %d: %s"):format(i, message))
      finish(1)
    end
  end
  print(#inputs .. " inputs")
  finish(#inputs > 0 and 0 or 1)
end

local seconds, keep, seed = tonumber(arg[1]), arg[2], tonumber(arg[3] or os.time())
if not seconds or not keep then
  io.stderr:write "yaml_fuzz: expected seconds and a folder for failures\n"
  finish(2)
end
math.randomseed(seed)
list_inputs("examples/adworld", "%.yaml$", inputs)
print(("seed %d, %d inputs"):format(seed, #inputs))
local stop, n = os.time() + seconds, 0
while os.time() < stop do
  local text = mutate(inputs)
  local ok, message = pcall(check, text)
  n = n + 1
  if not ok then
    local path = ("%s/yaml-%d-%d"):format(keep, seed, n)
    helper.write(path, text)
    print(("ERROR: %s\nthe input is %s"):format(message, path))
    finish(1)
  end
end
print(("stat::number_of_executed_units: %d"):format(n))
finish(0)
