--- What the fuzz targets written in Lua share.
--
-- busted does not look for specs here; a target is run by tools/fuzz, and its committed inputs by
-- tests/lua/fuzz_corpus_spec.lua.
local helper = require "helper"
local lfs = require "lfs"

local M = { folder = helper.temp_dir() }

local MOST_SECONDS = 2 -- for one input
local random = math.random

local function is_line(text)
  return type(text) == "string" and text ~= "" and not text:find "[%z\n\r]"
end

--- The results of a call that may say nil and a message, which is one line. It never raises.
function M.call(what, f, ...)
  local ok, result, message = pcall(f, ...)
  if not ok then error(what .. " raised: " .. tostring(result), 0) end
  if result == nil and not is_line(message) then
    error(("%s said: %s"):format(what, tostring(message)), 0)
  end
  return result, message
end

--- The bytes of the files of a folder whose names match.
function M.list_inputs(path, pattern, inputs)
  local names = {}
  for name in lfs.dir(path) do
    if name:find(pattern) then names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do inputs[#inputs + 1] = helper.read(path .. "/" .. name) end
  return inputs
end

-- ---- mutations of text ----

--- Words that mutations put in; targets add theirs.
M.words = { '"', "'", "{", "}", "[", "]", ",", ":", "\n", "\r\n", "\t", "\255", "\239\187\191",
  "\226\128\168", "\\", "null", "true", "-1", "1e999", "-0", "9007199254740993", "\\u0000", "../" }

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
    return text:sub(1, at) .. M.words[random(#M.words)] .. text:sub(at + 1)
  end,
  function(text) -- a word in place of another
    local first, last = text:find("[%w_.]+", place(text))
    if not first then return text end
    return text:sub(1, first - 1) .. M.words[random(#M.words)] .. text:sub(last + 1)
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
    local open = ({ "[", "{a: ", "- ", "? ", "\n" .. (" "):rep(n), '{"a":' })[random(6)]
    return text:sub(1, at) .. open:rep(n) .. text:sub(at + 1)
  end,
}

--- The text after some mutations.
function M.mutate_text(text)
  for _ = 1, random(1, 6) do text = mutations[random(#mutations)](text) end
  return text:sub(1, 20000)
end

--- The start of one text and the end of another.
function M.splice(one, other) return one:sub(1, place(one)) .. other:sub(place(other) + 1) end

-- ---- running ----

local function finish(status)
  os.execute("rm -rf " .. helper.quote((M.folder:gsub("/%d+$", ""))))
  os.exit(status, true)
end

local function try(check, text)
  local start = os.clock()
  local ok, message = pcall(check, text)
  local seconds = os.clock() - start
  if ok and seconds > MOST_SECONDS then return false, ("it took %.1f s"):format(seconds) end
  return ok, message
end

local function replay(inputs, check)
  for i, text in ipairs(inputs) do
    local ok, message = try(check, text)
    if not ok then
      print(("input %d: %s"):format(i, message))
      finish(1)
    end
  end
  print(#inputs .. " inputs")
  finish(#inputs > 0 and 0 or 1)
end

local function search(name, inputs, check, mutate, seconds, keep, seed)
  math.randomseed(seed)
  print(("seed %d, %d inputs"):format(seed, #inputs))
  local stop, n = os.time() + seconds, 0
  while os.time() < stop do
    local text = mutate(inputs)
    local ok, message = try(check, text)
    n = n + 1
    if not ok then
      local path = helper.write(("%s/%s-%d-%d"):format(keep, name, seed, n), text)
      print(("ERROR: %s\nthe input is %s"):format(message, path))
      finish(1)
    end
  end
  print(("stat::number_of_executed_units: %d"):format(n))
  finish(0)
end

--- Do what the command line asks for, and end the process.
-- @tparam string name  of the target
-- @tparam {string,...} more  inputs besides the committed ones
-- @tparam function check  check(text) raises when something does not hold
-- @tparam function mutate  mutate(inputs) gives a new text
function M.run(name, more, check, mutate)
  local inputs = M.list_inputs("tests/fuzz/corpus/" .. name, "^[^.]", {})
  for _, text in ipairs(more) do inputs[#inputs + 1] = text end
  if arg[1] == "replay" then replay(inputs, check) end
  local seconds, keep = tonumber(arg[1]), arg[2]
  if not seconds or not keep then
    io.stderr:write(name .. "_fuzz: expected seconds and a folder for failures\n")
    finish(2)
  end
  search(name, inputs, check, mutate, seconds, keep, tonumber(arg[3] or os.time()))
end

return M
