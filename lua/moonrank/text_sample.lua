--- A bounded sample of the rows of a text file, before anybody has said what is in it.
--
-- The engine reads the text (compression told by content): the first 4 MB, and places spread over
-- the rest, where the file is compressed over its first 64 MB. At each place up to 500 consecutive
-- rows are kept, so that what neighbours share can be seen.
-- @module moonrank.text_sample
local mr = require "moonrank.ffi"
local path_of = require "moonrank.path"
local C = mr.C

local M = {}

local PLACES, BLOCK, LONGEST = 16, 256 * 1024, 16 * 1024 * 1024
local ROWS, ROWS_ALONE = 500, 16000 -- of a block, of a single one
local FIRST = 4 * 1024 * 1024 -- of a smaller file all is read
local COMPRESSED_STEP = 4 * 1024 * 1024

-- ---- text ----

local function read(handle, size)
  local buffer, got = mr.new("char[?]", size), mr.new "int64_t[1]"
  local ok, message = mr.ok(C.mr_peek_read(handle, buffer, size, got))
  if not ok then return nil, message end
  return mr.string(buffer, tonumber(got[0]))
end

-- The first block: longer where it has to be to hold some lines.
local function read_first(handle, path)
  local text, message = read(handle, FIRST)
  if not text then return nil, message end
  local at_end = #text < FIRST
  while not at_end and select(2, text:gsub("\n", "")) < 20 and #text < LONGEST do
    local more
    more, message = read(handle, #text)
    if not more then return nil, message end
    at_end = #more < #text
    text = text .. more
  end
  text = text:gsub("^\239\187\191", "")
  if text:find "^%s*$" then return nil, path .. ": the file is empty" end
  if not text:find "\n" and not at_end then
    return nil, ("%s:1: a line longer than %d bytes"):format(path, LONGEST)
  end
  return text, at_end
end

-- A text cut into equal blocks, so that rows are taken from all over it.
local function cut(text)
  if #text < 2 * BLOCK then return { text } end
  local blocks, size = {}, math.ceil(#text / PLACES)
  for at = 1, #text, size do blocks[#blocks + 1] = text:sub(at, at + size - 1) end
  return blocks
end

-- How far it is from the end of a block to the start of the next; nil and a message.
local function gap_of(handle, path, first)
  if C.mr_peek_is_plain(handle) == 0 then return COMPRESSED_STEP - BLOCK end
  local size, message = path_of.size(path)
  if not size then return nil, message end
  return math.max(0, math.floor((size - first - BLOCK) / (PLACES - 1)) - BLOCK)
end

--- Text from some places of a file.
-- @tparam string path
-- @treturn ?{string,...} blocks of text in their order; the first begins with the file, the others
-- in the middle of a row; each ends in the middle of a row, but for the last of a file that was
-- read to its end
-- @treturn string|boolean what is wrong; else whether the blocks are all of the file
function M.blocks(path)
  local out = mr.new "mr_peek *[1]"
  local ok, message = mr.ok(C.mr_peek_open(out, path))
  if not ok then return nil, message end
  local handle = mr.gc(out[0], C.mr_peek_close)
  local first, at_end = read_first(handle, path)
  if not first then return nil, at_end end
  if at_end then return cut(first), true end
  local blocks = cut(first)
  local gap, trouble = gap_of(handle, path, #first)
  if not gap then return nil, trouble end
  for _ = 2, PLACES do
    if at_end then break end
    ok, message = mr.ok(C.mr_peek_skip(handle, gap))
    if not ok then return nil, message end
    local text
    text, message = read(handle, BLOCK)
    if not text then return nil, message end
    at_end = #text < BLOCK
    blocks[#blocks + 1] = #text > 0 and text or nil
  end
  C.mr_peek_close(mr.gc(handle, nil))
  return blocks, false
end

-- ---- rows ----

-- The cells of the next row from byte `at` on, and where the row after it begins; nil where the
-- text ends before the row does. `quotes`: by RFC 4180.
local function next_row(text, at, delimiter, quotes)
  local cells, plain = {}, ("^[^%s\n]*()"):format(delimiter == "\t" and "\t" or "%" .. delimiter)
  while true do
    local stop
    if quotes and text:sub(at, at) == '"' then
      local parts, from = {}, at + 1
      while true do
        local close = text:find('"', from, true)
        if not close then return nil end
        parts[#parts + 1] = text:sub(from, close - 1)
        from = close + 1
        if text:sub(from, from) ~= '"' then break end
        parts[#parts + 1], from = '"', from + 1
      end
      cells[#cells + 1], stop = table.concat(parts), text:match(plain, from)
    else
      stop = text:match(plain, at)
      cells[#cells + 1] = text:sub(at, stop - 1)
    end
    local byte = text:sub(stop, stop)
    if byte == "" then return nil end
    if byte == "\n" then
      cells[#cells] = cells[#cells]:gsub("\r$", "")
      return cells, stop + 1
    end
    at = stop + 1
  end
end

--- The rows of blocks, at most 500 of each, or 16,000 of a single one.
-- @tparam {string,...} blocks  as of M.blocks
-- @tparam boolean whole  as of M.blocks
-- @tparam string delimiter
-- @tparam boolean quotes  cells may stand in quotes
-- @treturn {table,...} rows, each a list of cells, with `block`: the number of its block
-- @treturn boolean whether these are all rows of the file
function M.rows(blocks, whole, delimiter, quotes)
  local rows, all = {}, whole and #blocks == 1
  for b, text in ipairs(blocks) do
    if b == #blocks and whole and text:sub(-1) ~= "\n" then text = text .. "\n" end
    local at = 1
    if b > 1 then at = (text:find("\n", 1, true) or #text) + 1 end
    local limit = #blocks == 1 and ROWS_ALONE or ROWS
    for _ = 1, limit do
      if at > #text then break end
      local row, after = next_row(text, at, delimiter, quotes)
      if not row then break end
      row.block = b
      if not (#row == 1 and row[1] == "") then rows[#rows + 1] = row end
      at = after
    end
    all = all and at > #text
  end
  return rows, all
end

return M
