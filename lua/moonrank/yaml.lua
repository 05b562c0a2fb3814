--- YAML as plain data, with the place of every value.
--
-- Read from the parser's events, so that each node knows its line and column. Much less than YAML
-- allows: one document; maps with text keys, lists and scalars; no anchors, aliases or tags; no key
-- twice; at most 1 MB, 32 levels and 100,000 nodes. Scalars are typed by the YAML 1.2 core schema:
-- only true and false are booleans (`no` is text), 010 is ten, quoted scalars are text.
--
-- A node is a table:
--
--     type     "map", "list", "text", "number", "boolean" or "null"
--     value    the Lua value of a text, number or boolean
--     text     a scalar as written
--     items    of a list: the nodes
--     entries  of a map: { key =, key_node =, node = } in the order written
--     index    of a map: the entries by key
--     source, line, column (from 1), option: see where()
-- @module moonrank.yaml
local read_file = require "moonrank.read_file"
local sorted_keys = require "moonrank.sorted_keys"

local M = {}

local MAX_BYTES, MAX_DEPTH, MAX_NODES = 1024 * 1024, 32, 100000
local EISDIR = 21

-- ---- places ----

--- The place of a node for a message: `path:line:column`, or the command-line option it came from.
-- @tparam table node
-- @treturn string
function M.where(node)
  return node.option or ("%s:%d:%d"):format(node.source, node.line, node.column)
end

-- Raised inside the reader, caught by parse(). A key may hold anything; the message stays one line.
local function stop(at, ...)
  error({ yaml = (M.where(at) .. ": " .. string.format(...)):gsub("%c", " ") }, 0)
end

-- ---- scalars ----

local WORDS = {
  [""] = "null", ["~"] = "null", null = "null", Null = "null", NULL = "null",
  ["true"] = true, True = true, TRUE = true, ["false"] = false, False = false, FALSE = false,
  [".nan"] = 0 / 0, [".NaN"] = 0 / 0, [".NAN"] = 0 / 0,
}
for _, word in ipairs { ".inf", ".Inf", ".INF" } do
  WORDS[word], WORDS["+" .. word], WORDS["-" .. word] = math.huge, math.huge, -math.huge
end

local function number_of(text)
  if text:find "^[-+]?%d+$" then return tonumber((text:gsub("^%+", "")), 10) or tonumber(text) end
  local octal = text:match "^0o([0-7]+)$"
  if octal then return tonumber(octal, 8) end
  if text:find "^0x%x+$" then return tonumber(text) end
  local mantissa, exponent = text:match "^[-+]?([%d.]+)(.*)$"
  if not mantissa then return nil end
  local digits = mantissa:find "^%d+%.?%d*$" or mantissa:find "^%.%d+$"
  if digits and (exponent == "" or exponent:find "^[eE][-+]?%d+$") then
    return tonumber((text:gsub("^%+", "")))
  end
end

-- Type and value of a plain (unquoted) scalar.
local function type_scalar(text)
  local word = WORDS[text]
  if word == "null" then return "null", nil end
  if word ~= nil then return type(word), word end
  local number = number_of(text)
  if number then return "number", number end
  return "text", text
end

-- ---- reader ----

local Reader = {}
Reader.__index = Reader

function Reader:mark(event)
  local mark = event.start_mark
  return { source = self.source, option = self.option, line = mark.line + 1,
    column = mark.column + 1 }
end

-- The place of the first byte that is not text: a control character or broken UTF-8. libyaml
-- refuses it too, but does not say where it stands.
local function first_bad_byte(text)
  local line, start, i = 1, 1, 1
  while i <= #text do
    local after = text:match("^[\t\r\32-\126]+()", i) or text:match("^[\194-\223][\128-\191]()", i)
      or text:match("^[\224-\239][\128-\191][\128-\191]()", i)
      or text:match("^[\240-\244][\128-\191][\128-\191][\128-\191]()", i)
    if not after then
      if text:byte(i) ~= 10 then return line, i - start + 1 end
      after = i + 1
      line, start = line + 1, after
    end
    i = after
  end
end

-- What libyaml says that does not tell people what to do.
local HINTS = {
  ["did not find expected alphabetic or numeric character"] =
    "text that begins with * or & needs quotes",
}

-- libyaml complains as "what at document: 1, line: 2, column: 3\nmore".
function Reader:next()
  local ok, event = pcall(self.parser)
  if ok then return event end
  local what, line, column = tostring(event):match
    "^(.-) at document: %d+, line: (%d+), column: (%d+)"
  if what then
    stop({ source = self.source, option = self.option, line = line, column = column }, "%s",
      HINTS[what] or what)
  end
  what = tostring(event):match "^(.-) at document" or tostring(event):match "^[^\n]*"
  line, column = first_bad_byte(self.text)
  if line then
    stop({ source = self.source, option = self.option, line = line, column = column }, "%s", what)
  end
  error({ yaml = (self.option or self.source) .. ": " .. what }, 0)
end

function Reader:node(event, depth)
  local node = self:mark(event)
  if event.type == "ALIAS" then
    stop(node, "aliases (*%s) are not allowed; write the value out", event.anchor)
  elseif event.anchor then
    stop(node, "anchors (&%s) are not allowed", event.anchor)
  elseif event.tag then
    stop(node, "tags (%s) are not allowed", event.tag)
  elseif depth > MAX_DEPTH then
    stop(node, "nested deeper than %d levels", MAX_DEPTH)
  end
  self.n_nodes = self.n_nodes + 1
  if self.n_nodes > MAX_NODES then stop(node, "more than %d values", MAX_NODES) end
  if event.type == "SCALAR" then
    node.text = event.value
    if event.plain_implicit then
      node.type, node.value = type_scalar(event.value)
    else
      node.type, node.value = "text", event.value
    end
  elseif event.type == "SEQUENCE_START" then
    self:list(node, depth)
  else
    self:map(node, depth)
  end
  return node
end

function Reader:list(node, depth)
  node.type, node.items = "list", {}
  while true do
    local event = self:next()
    if event.type == "SEQUENCE_END" then return end
    node.items[#node.items + 1] = self:node(event, depth + 1)
  end
end

function Reader:map(node, depth)
  node.type, node.entries, node.index = "map", {}, {}
  while true do
    local event = self:next()
    if event.type == "MAPPING_END" then return end
    local key_node = self:node(event, depth + 1)
    if not key_node.text then stop(key_node, "a key must be text, not a %s", key_node.type) end
    local key = key_node.text
    local first = node.index[key]
    if first then
      stop(key_node, 'key "%s" is given twice, first in line %d', key, first.key_node.line)
    end
    M.put(node, key, self:node(self:next(), depth + 1), key_node)
  end
end

function Reader:document()
  local event = self:next()
  while event.type == "STREAM_START" or event.type == "DOCUMENT_START" do event = self:next() end
  if event.type == "STREAM_END" then
    return { type = "null", text = "", source = self.source, option = self.option, line = 1,
      column = 1 }
  end
  local root = self:node(event, 1)
  self:next() -- the end of the document
  event = self:next()
  if event.type ~= "STREAM_END" then
    stop(self:mark(event), "a second document begins; expected one")
  end
  return root
end

-- ---- interface ----

--- Set a key of a map node.
-- @tparam table map
-- @tparam string key
-- @tparam table node
-- @tparam[opt=node] table key_node  where the key itself stands
function M.put(map, key, node, key_node)
  local entry = map.index[key]
  if not entry then
    entry = { key = key }
    map.entries[#map.entries + 1] = entry
    map.index[key] = entry
  end
  entry.node, entry.key_node = node, key_node or node
end

--- Read YAML text.
-- @tparam string text
-- @tparam string source  the file's name for messages
-- @tparam[opt] string option  the command-line option the text came from, instead of a place
-- @treturn ?table the root node; an empty text is a node of type "null"
-- @treturn ?string what is wrong, one line with its place
function M.parse(text, source, option)
  if #text > MAX_BYTES then
    local rows = text:sub(1, MAX_BYTES)
    local _, breaks = rows:gsub("\n", "")
    return nil, ("%s: larger than %d bytes"):format(M.where { source = source, option = option,
      line = breaks + 1, column = #rows:match "[^\n]*$" + 1 }, MAX_BYTES)
  end
  local reader = setmetatable({ parser = require "yaml".parser(text), text = text,
    source = source, option = option, n_nodes = 0 }, Reader)
  local ok, result = pcall(reader.document, reader)
  if ok then return result end
  if type(result) == "table" and result.yaml then return nil, result.yaml end
  error(result, 0)
end

--- Read a YAML file.
-- @tparam string path
-- @treturn ?table the root node
-- @treturn ?string what is wrong
function M.read(path)
  local text, message, code = read_file(path, MAX_BYTES + 1)
  if code == EISDIR then return nil, path .. ": is a folder" end
  if not text then return nil, message end
  return M.parse(text, path)
end

--- The plain Lua value of a node: tables, text, numbers, booleans; null is nil.
-- @tparam table node
function M.plain(node)
  if node.type == "list" then
    local list = {}
    for i, item in ipairs(node.items) do list[i] = M.plain(item) end
    return list
  elseif node.type == "map" then
    local map = {}
    for _, entry in ipairs(node.entries) do map[entry.key] = M.plain(entry.node) end
    return map
  end
  return node.value
end

-- ---- writer ----

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\t"] = "\\t", ["\r"] = "\\r" }

local function write_text(text)
  local plain = text:find "^[%a_./][%w_./*-]*$" and type_scalar(text) == "text"
  if plain then return text end
  text = text:gsub('[%c"\\]', function(c) return ESCAPES[c] or ("\\x%02x"):format(c:byte()) end)
  -- What YAML takes for ends of lines or refuses: U+0080 to U+009F, U+2028, U+2029, U+FFFE, U+FFFF.
  text = text:gsub("\194([\128-\159])", function(c) return ("\\x%02x"):format(c:byte()) end)
  text = text:gsub("\226\128\168", "\\L"):gsub("\226\128\169", "\\P")
  text = text:gsub("\239\191\190", "\\uFFFE"):gsub("\239\191\191", "\\uFFFF")
  return '"' .. text .. '"'
end

-- The shortest form that reads back as the same number.
local function write_number(number)
  if number ~= number then return ".nan" end
  if number == math.huge then return ".inf" end
  if number == -math.huge then return "-.inf" end
  if number % 1 == 0 and math.abs(number) < 2 ^ 53 then return ("%d"):format(number) end
  for precision = 1, 17 do
    local text = ("%%.%dg"):format(precision):format(number)
    if tonumber(text) == number then return text end
  end
end

local function write_scalar(value)
  if type(value) == "string" then return write_text(value) end
  if type(value) == "number" then return write_number(value) end
  return tostring(value)
end

local write_value

local function write_list(list)
  local parts = {}
  for i, item in ipairs(list) do
    parts[i] = write_value(item)
  end
  return "[" .. table.concat(parts, ", ") .. "]"
end

-- Lists of maps and of lists: a line an item.
local function write_items(list, indent)
  local lines = {}
  for i, item in ipairs(list) do lines[i] = indent .. "- " .. write_value(item) end
  return table.concat(lines, "\n")
end

-- Maps in block form at `indent`; in flow form inside lists (indent nil).
function write_value(value, indent)
  if type(value) ~= "table" then return write_scalar(value) end
  if indent and type(value[1]) == "table" then return write_items(value, indent) end
  if #value > 0 then return write_list(value) end
  local lines = {}
  for _, key in ipairs(sorted_keys(value)) do
    local item = value[key]
    local block = indent and type(item) == "table" and next(item) ~= nil
      and (#item == 0 or type(item[1]) == "table")
    lines[#lines + 1] = (indent or "") .. write_text(key) .. ":" .. (block and "\n" or " ") ..
      write_value(item, indent and indent .. "  ")
  end
  if not indent or #lines == 0 then return "{" .. table.concat(lines, ", ") .. "}" end
  return table.concat(lines, "\n")
end

--- YAML text of a plain value, always the same for the same value: keys sorted, numbers in their
-- shortest exact form. An empty list is written as an empty map.
-- @tparam table value
-- @treturn string
function M.write(value)
  return write_value(value, "") .. "\n"
end

return M
