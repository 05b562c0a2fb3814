--- The reference of configuration keys, as text for the terminal and as the page docs/config.md.
-- Both are made from moonrank.config_keys; a test holds the page against it.
-- @module moonrank.config_reference
local config = require "moonrank.config"
local config_keys = require "moonrank.config_keys"
local suggest = require "moonrank.suggest"

local M = {}

-- A default as one would write it.
local function shown(value)
  if type(value) == "table" then
    local key, inner = next(value)
    if key == nil then return "{}" end
    if type(inner) == "table" then return tostring(key) end
    return ("{%s: %s}"):format(key, shown(inner))
  end
  return (value == "," or value == " ") and ('"%s"'):format(value) or tostring(value)
end

-- Call visit(name, description) for every key below a description that is called `path`, in order.
local function walk(description, path, visit)
  if description.type == "list" then
    walk(description.of, path .. "[]", visit)
  elseif description.type == "named" then
    walk(description.of, path .. ".NAME", visit)
  end
  for _, form in ipairs(description.forms or {}) do walk(form, path, visit) end
  for _, inner in ipairs(description.keys or {}) do
    local name = path == "" and inner.name or path .. "." .. inner.name
    visit(name, inner)
    if not inner.alike then walk(inner, name, visit) end
  end
end

local function condition(description)
  if description.required then
    return "required" .. (description.unless and " without " .. description.unless or "")
  end
  if description.default ~= nil then return "default " .. shown(description.default) end
  return ""
end

local function explained(description)
  local doc = description.doc or ""
  if description.alike then doc = ("%s; keys as of %s"):format(doc, description.alike) end
  if description.only then
    doc = ("%s (type %s)"):format(doc, table.concat(description.only, ", "))
  end
  return doc
end

-- The lines of one key.
local function entry(name, description)
  local notes = { config.expected(description) }
  local when = condition(description)
  if when ~= "" then notes[2] = when end
  return ("  %s: %s\n      %s"):format(name, table.concat(notes, "; "), explained(description))
end

local SECTIONS = {
  { "The fields file", "What the data is; experiments name it by `fields:`.", "fields" },
  { "The experiment file", "What to run: `moonrank train FILE`.", "experiment" },
}

--- Text for the terminal.
-- @treturn string
function M.text()
  local lines = {}
  for _, section in ipairs(SECTIONS) do
    lines[#lines + 1] = section[1] .. ". " .. section[2]:gsub("`", "")
    walk(config_keys[section[3]], "", function(name, description)
      lines[#lines + 1] = entry(name, description)
    end)
    lines[#lines + 1] = ""
  end
  lines[#lines + 1] = "Every key can be set on the command line: --set train.batch=1024"
  return table.concat(lines, "\n") .. "\n"
end

-- How a key is asked for: lists and free names may be left out.
local function simple(name) return (name:gsub("%[%]", ""):gsub("%.NAME", "")) end

-- A key below one whose inner keys are described elsewhere, by its name there.
local function described(key)
  for _, section in ipairs(SECTIONS) do
    walk(config_keys[section[3]], "", function(name, description)
      local start = simple(name) .. "."
      if description.alike and key:sub(1, #start) == start then
        key = simple(description.alike) .. "." .. key:sub(#start + 1)
      end
    end)
  end
  return key
end

--- Text for the terminal about one key and those below it.
-- @tparam string key  such as train.optimizer or fields[].type; [] and NAME may be left out
-- @treturn ?string
-- @treturn ?string what is wrong
function M.key(key)
  local wanted, lines, names, known = described(simple(key)), {}, {}, {}
  for _, section in ipairs(SECTIONS) do
    local heading = #lines + 1
    walk(config_keys[section[3]], "", function(name, description)
      local short = simple(name)
      if not known[short] then names[#names + 1], known[short] = short, true end
      if short ~= wanted and short:sub(1, #wanted + 1) ~= wanted .. "." then return end
      lines[heading] = lines[heading] or section[1] .. "."
      lines[#lines + 1] = entry(name, description)
    end)
  end
  if #lines > 0 then return table.concat(lines, "\n") .. "\n" end
  local hint = suggest.phrase(simple(key), names)
  for _, name in ipairs(names) do -- the last word alone
    if hint == "" and name:match "[^.]*$" == key then
      hint = ('; did you mean "%s"?'):format(name)
    end
  end
  return nil, ('no configuration key "%s"%s'):format(key,
    hint ~= "" and hint or "; try: moonrank help config")
end

local INTRODUCTION = [[
# Configuration keys

<!-- Made by `moonrank help config --markdown` from lua/moonrank/config_keys.lua; do not edit. -->

Two YAML files describe an experiment. Both are plain data: text, numbers, true and false, lists
and maps. Anchors, aliases and tags are refused, and so are a key given twice and a key that is not
in the tables below. Only `true` and `false` are booleans; `no` and `off` are text, 010 is ten.

* Every key can be set on the command line: `--set train.batch=1024`. The first name tells which
  of the two files is meant; the value is read as YAML (`--set model.hidden=[400,400]`).
* `base: common.yaml` names a file whose keys stand where this one gives none. Maps are merged key
  by key; lists and single values are replaced, and so is the choice of an optimizer.
* A path in a file starts from the folder of that file, a path in `--set` from the working folder.
* The data files start from `data.root`.
]]

local function cell(text) return (text:gsub("|", "\\|")) end

--- The page docs/config.md.
-- @treturn string
function M.markdown()
  local lines = { INTRODUCTION }
  for _, section in ipairs(SECTIONS) do
    lines[#lines + 1] = ("## %s\n\n%s\n"):format(section[1], section[2])
    lines[#lines + 1] = "| key | value | | meaning |\n|---|---|---|---|"
    walk(config_keys[section[3]], "", function(name, description)
      lines[#lines + 1] = ("| `%s` | %s | %s | %s |"):format(name,
        cell(config.expected(description)), cell(condition(description)),
        cell(explained(description)))
    end)
    lines[#lines + 1] = ""
  end
  return table.concat(lines, "\n")
end

return M
