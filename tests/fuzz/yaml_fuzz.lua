--- YAML files and configurations: any text is read or refused with one line, soon, and what was
-- read is written and reads back the same. Mutations of the committed inputs and of the examples,
-- from a seed; there is no coverage to guide them.
--
--     luajit tests/fuzz/yaml_fuzz.lua SECONDS FOLDER [SEED]   an input that fails is kept in FOLDER
--     luajit tests/fuzz/yaml_fuzz.lua replay                  the committed inputs, once each
package.path = "lua/?.lua;lua/?/init.lua;tests/?.lua;" .. package.path
local config = require "moonrank.config"
local config_keys = require "moonrank.config_keys"
local Dataset = require "moonrank.dataset"
local fuzz = require "fuzz.fuzz_loop"
local helper = require "helper"
local Pool = require "moonrank.pool"
local yaml = require "moonrank.yaml"

local pool = Pool.new(1)

-- ---- what must hold ----

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
  local root = fuzz.call("yaml.parse", yaml.parse, text, "x.yaml")
  if not root or root.type ~= "map" or has_null(root) then return end
  local written = yaml.write(yaml.plain(root))
  local again, message = yaml.parse(written, "again.yaml")
  if not again then error(("written as %q it is refused: %s"):format(written, message), 0) end
  local twice = yaml.write(yaml.plain(again))
  if twice ~= written then error(("written as %q, then as %q"):format(written, twice), 0) end
end

local function check_config(text)
  local path = helper.write(fuzz.folder .. "/fields.yaml", text)
  local fields = fuzz.call("config.fields", config.fields, path)
  if fields then
    local written = yaml.write(fields)
    local again, message = config.fields(helper.write(fuzz.folder .. "/again.yaml", written))
    if not again then error(("resolved as %s it is refused: %s"):format(written, message), 0) end
    if yaml.write(again) ~= written then error("resolved twice it differs: " .. written, 0) end
    fuzz.call("Dataset.open", Dataset.open, fields, { pool = pool })
  end
  fuzz.call("config.experiment", config.experiment,
    helper.write(fuzz.folder .. "/experiment.yaml", text))
end

local function check(text)
  check_yaml(text)
  check_config(text)
end

-- ---- mutations ----

for _, word in ipairs { ": ", "- ", "\n  ", "&a ", "*a", "!!str ", "|\n", ">-\n", "#", "? ", "~",
  "%YAML 1.2\n---\n", "---\n", "...\n", "no", "010", "0x1F", "1_000", ".inf", "-.inf", ".nan",
  "1e-999", "\0", "@", "`", "<<: ", "\\x41", "\\N" } do
  table.insert(fuzz.words, word)
end

local function add_keys(description)
  for _, key in ipairs(description.keys or {}) do
    table.insert(fuzz.words, key.name)
    table.insert(fuzz.words, "\n" .. key.name .. ": ")
    add_keys(key)
  end
  for _, form in ipairs(description.forms or { description.of }) do add_keys(form) end
end
add_keys(config_keys.fields)
add_keys(config_keys.experiment)

local function mutate(inputs)
  local text = inputs[math.random(#inputs)]
  if math.random(4) == 1 then text = fuzz.splice(text, inputs[math.random(#inputs)]) end
  return fuzz.mutate_text(text)
end

fuzz.run("yaml", fuzz.list_inputs("examples/adworld", "%.yaml$", {}), check, mutate)
