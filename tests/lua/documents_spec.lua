-- README.md, CONTRIBUTING.md and docs/*.md: what they quote is there, what they say to type works.
--
-- The first line of a code block says what is done with it:
--
--     ```c file=PATH          the block is part of that file
--     ```lua write=NAME       the block is put into a file of that name, for the blocks behind it
--     ```sh run, ```lua run   the block is run and must succeed
--     ```sh                   commands, files and options in it must exist
--
-- Blocks run in a copy of the checkout with a short simulated log in data/adworld.
local helper = require "helper"
local path_of = require "moonrank.path"

local FOLDERS = { bench = true, docs = true, engine = true, examples = true, lua = true,
  models = true, tests = true, tools = true }

local function documents()
  local paths = path_of.glob "docs/*.md"
  table.insert(paths, 1, "CONTRIBUTING.md")
  table.insert(paths, 1, "README.md")
  return paths
end

-- The code blocks of a document: { info =, text =, line = }, and the text between them.
local function read(path)
  local blocks, prose, block, number = {}, {}, nil, 0
  for line in (helper.read(path) .. "\n"):gmatch "([^\n]*)\n" do
    number = number + 1
    local info = line:match "^```(.*)$"
    if info and block then
      block.text = table.concat(block, "\n") .. "\n"
      blocks[#blocks + 1], block = block, nil
    elseif info then
      block = { info = info, line = number, place = ("%s:%d"):format(path, number) }
    elseif block then
      block[#block + 1] = line
    else
      prose[#prose + 1] = line
    end
  end
  assert.is_nil(block, path .. ": the last code block does not end")
  return blocks, table.concat(prose, "\n")
end

local function exists(path) return helper.exists((path:gsub("/$", ""))) end

-- ---- commands that are not run ----

-- Words of a shell line; quotes group, and nothing else is special.
local function words_of(line)
  local words = {}
  for word in line:gsub("%s#.*$", ""):gmatch "%S+" do words[#words + 1] = (word:gsub("'", "")) end
  return words
end

local function check_moonrank(words, place)
  local known = {}
  for _, name in ipairs(require "moonrank.cli".commands()) do known[name] = true end
  local command = words[2]
  if not command then return end
  assert.is_true(known[command], ("%s: there is no command %s"):format(place, command))
  local usage = require("moonrank.cli." .. command).usage
  if type(usage) == "function" then usage = usage() end
  for _, word in ipairs(words) do
    local option = word:match "^%-%-[%w-]+"
    if option then
      assert.truthy(usage:find(option, 1, true),
        ("%s: %s has no %s"):format(place, command, option))
    end
  end
end

local function check_make(words, place)
  local targets = helper.read("Makefile"):match "%.PHONY: ([^\n]*)" .. " "
  for i = 2, #words do
    assert.truthy(words[i]:find "=" or targets:find(words[i] .. " ", 1, true),
      ("%s: make has no target %s"):format(place, words[i]))
  end
end

local function check_paths(words, place)
  for _, word in ipairs(words) do
    word = word:gsub(":%d+$", "")
    if FOLDERS[word:match "^([%w_]+)/" or ""] and not path_of.is_pattern(word)
        and not word:find "<" then
      assert.is_true(exists(word), ("%s: there is no %s"):format(place, word))
    end
  end
end

local function check_command(line, place)
  local words = words_of(line)
  if words[1] == "./moonrank" or words[1] == "moonrank" then check_moonrank(words, place) end
  if words[1] == "make" then check_make(words, place) end
  check_paths(words, place)
end

-- ---- blocks that are run ----

local workplace

local function make_workplace()
  workplace = helper.temp_dir()
  local root = helper.quote(helper.root())
  local build = os.getenv "MOONRANK_BUILD" or "build"
  if build:sub(1, 1) ~= "/" then build = helper.root() .. "/" .. build end
  local copy = ("cd %s && cp -R moonrank lua models examples %s && ln -s %s %s/build"):format(root,
    workplace, helper.quote(build), workplace)
  assert.equal(0, (helper.shell(copy)))
  assert.equal(0, (helper.run("simulate --requests 3000 --out data/adworld", workplace)))
end

local function run(command, place)
  if not workplace then make_workplace() end
  local status, out, err = helper.shell(
    ('(cd %s && export MOONRANK_BUILD="$PWD/build"\nset -e\n%s)'):format(workplace, command))
  assert.same({ 0 }, { status }, ("%s: %s%s"):format(place, out, err))
end

-- What an info string asks for.
local function check_block(block)
  local language, action, name = block.info:match "^(%w*) ?([%w]*)=?(%S*)$"
  if action == "file" then
    local text = "\n" .. helper.read(name)
    assert.truthy(text:find("\n" .. block.text, 1, true),
      ("%s: the block is not part of %s"):format(block.place, name))
  elseif action == "write" then
    if not workplace then make_workplace() end
    helper.write(workplace .. "/" .. name, block.text)
  elseif action == "run" and language == "sh" then
    run(block.text, block.place)
  elseif action == "run" and language == "lua" then
    helper.write(workplace .. "/block.lua", block.text)
    run("luajit block.lua", block.place)
  else
    assert.equal("", action, block.place)
    for line in block.text:gmatch "[^\n]+" do
      if language == "sh" then check_command(line, block.place) end
    end
  end
end

-- ---- words in the text ----

-- Spans in backquotes that name files, commands or configuration keys.
local function check_spans(prose, path, keys)
  for span in prose:gsub("%s+", " "):gmatch "`([^`]+)`" do
    check_command(span, path)
    local key = span:match "^([%w_]+%.[%w_.]+)" -- train.batch, train.tables.rows: all
    local first = key and key:match "^[%w_]+"
    if first == "train" or first == "data" or first == "defaults" or first == "eval" then
      assert.truthy(keys:find("\n  " .. key .. ": ", 1, true) or span:find "%.tsv",
        ("%s: there is no key %s"):format(path, key))
    end
  end
end

local function check_links(prose, path)
  for target in prose:gmatch "%]%(([^)]*)%)" do
    if not target:find "^https?:" then
      local file = path_of.join(path_of.folder(path), (target:gsub("#.*$", "")))
      assert.is_true(exists(file), ("%s: the link to %s leads nowhere"):format(path, target))
    end
  end
end

describe("the document", function()
  local keys = require "moonrank.config_reference".text()

  for _, path in ipairs(documents()) do
    it(path .. " quotes what is there and says what works", function()
      local blocks, prose = read(path)
      for _, block in ipairs(blocks) do check_block(block) end
      check_spans(prose, path, keys)
      check_links(prose, path)
    end)
  end

  it("README.md has a line for each page in docs/", function()
    local readme = helper.read "README.md"
    for _, path in ipairs(path_of.glob "docs/*.md") do
      assert.truthy(readme:find(("](%s)"):format(path), 1, true), path)
    end
  end)
end)
