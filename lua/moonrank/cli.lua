--- The command line: finds the sub-command, runs it, and turns troubles into one line and a status.
--
-- A sub-command is a file lua/moonrank/cli/<name>.lua that returns
--
--     { name = "train", summary = "one line", usage = "what `moonrank help train` prints",
--       run = function(args) ... return status end }
--
-- `usage` may be a function that returns the text. `args` is the list of words after the name. The
-- files load nothing else before `run` is called, so that `moonrank help` stays instant. `run`
-- returns a status, nothing (success), or nil and a message (trouble). Exit status: 0 success,
-- 1 trouble of the world, 2 wrong usage, 130 Ctrl-C.
-- @module moonrank.cli
local M = {}

local interrupt = require "moonrank.interrupt"
local libc = require "moonrank.libc"
local suggest = require "moonrank.suggest"

local OK, TROUBLE, USAGE, INTERRUPTED = 0, 1, 2, 130

local place = require "moonrank.place"

local function raise(status, ...)
  error({ status = status, message = string.format(...) }, 0)
end

--- Stop the command: wrong usage.
-- @param ... as for string.format
function M.usage_error(...) raise(USAGE, ...) end

--- Stop the command: trouble of the world.
-- @param ... as for string.format
function M.fail(...) raise(TROUBLE, ...) end

--- Pass values through, or stop the command with the message if the first is nil.
function M.need(value, message, ...)
  if value == nil then raise(TROUBLE, "%s", message) end
  return value, message, ...
end

-- Messages of Lua itself: a bug in the code where they are raised.
local function is_bug(message)
  return message:find "^attempt to " or message:find "^bad argument #%d+ to '"
    or message:find "^stack overflow" or message:find "^table index is "
end

-- Whether a path in a message of Lua is one of the library's own files; models are not.
local function is_own(path)
  local last = path:match "^%.%.%.(.*)" -- of a long path Lua shows the end
  if last then
    local whole = place.modules .. (last:match "^.*moonrank/(.*)$" or "")
    if whole:sub(-#last) == last then path = whole end
  end
  return path:sub(1, #place.modules) == place.modules
    and path:sub(1, #place.models) ~= place.models
end

--- Call a library function whose arguments come from the user, or which the world can fail: what
-- it raises is a message for people, so the place in our own code is taken off. A place in a model
-- script stays.
function M.guard(f, ...)
  local function handler(err)
    if type(err) ~= "string" then return err end
    if interrupt.is(err) then return M.explain(err) end
    local path, rest = err:match "^([^\n:]*%.lua):%d+: (.*)$"
    if not path or not is_own(path) then return { status = TROUBLE, message = err } end
    if is_bug(rest) then return M.explain(err) end
    return { status = TROUBLE, message = rest }
  end
  local arguments, n = { ... }, select("#", ...)
  local results = { xpcall(function() return f(unpack(arguments, 1, n)) end, handler) }
  if results[1] then return unpack(results, 2, table.maxn(results)) end
  error(results[2], 0)
end

-- Whether the shell would run a file that has this path.
local function is_program(path)
  local attributes = require "lfs".attributes(path)
  return attributes ~= nil and attributes.mode == "file" and attributes.permissions:find "x" ~= nil
end

-- What to type to call this command again: its name alone where the shell, asked for that, comes to
-- the file that runs, else the path that it was called by.
local function called()
  local path = arg and arg[0] or "moonrank"
  -- A rock's command is called by a script of LuaRocks, which knows where other rocks are.
  local tree = path:match "^(.*)/lib/luarocks/rocks[^/]*/"
  if tree and is_program(tree .. "/bin/moonrank") then path = tree .. "/bin/moonrank" end
  local name = path:match "[^/]*$"
  if path == name then return "./" .. name end -- luajit moonrank
  for folder in (os.getenv "PATH" or ""):gmatch "[^:]+" do
    local found = (folder .. "/" .. name):gsub("//+", "/")
    if is_program(found) then return found == path:gsub("//+", "/") and name or path end
  end
  return path
end

--- A command line to type next: the command as it was called, words in quotes where they need it.
-- @param ... words
-- @treturn string
function M.next(...)
  local words = { called(), ... }
  for i, word in ipairs(words) do
    if not word:find "^[%w_./:=,+@%%-]+$" then
      words[i] = require "moonrank.path".quote(word)
    end
  end
  return table.concat(words, " ")
end

--- The command line that judges a run: where it has no test data, on what it has.
-- @tparam string folder  of the run
-- @tparam table values  its resolved fields configuration
-- @treturn string
function M.next_eval(folder, values)
  local what = require "moonrank.config_split".to_judge(values)
  if what == "test" then return M.next("eval", folder) end
  return M.next("eval", folder, "--data", what)
end

--- The names of the sub-commands that exist, sorted.
-- @treturn {string,...}
function M.commands() return require "moonrank.path".modules(place.modules .. "cli") end

--- A sub-command by name; wrong usage if there is none.
-- @tparam string name
-- @treturn table
function M.command(name)
  local names = M.commands()
  for _, known in ipairs(names) do
    if known == name then return require("moonrank.cli." .. name) end
  end
  local hint = suggest.phrase(name, names)
  M.usage_error('unknown command "%s"%s', name, hint ~= "" and hint or "; try: moonrank help")
end

--- What xpcall hands on of an error: for a bug with the traceback.
-- @param err  what was raised
-- @treturn table { status =, message =, traceback = }
function M.explain(err)
  if type(err) == "table" and err.status then return err end
  local text = tostring(err)
  if interrupt.is(text) then
    return { status = INTERRUPTED, message = "interrupted" }
  end
  local module = text:match "module '([%w_.]+)' not found"
  if module and not module:find "^moonrank" then
    return { status = TROUBLE,
      message = ('the Lua module "%s" is missing; %s'):format(module,
        require "moonrank.place".mend_modules) }
  end
  -- Without a place in our code it is a message meant for people, from a script or from below.
  local path = text:match "^([^\n:]*%.lua):%d+: "
  if type(err) == "string" and not (path and is_own(path)) and not text:find "\n" then
    return { status = TROUBLE, message = text }
  end
  return { status = TROUBLE,
    message = "internal error, please report it with these lines: " .. text,
    traceback = debug.traceback("", 2):gsub("^\n", "") }
end

-- Write what is left for standard output. A failure may be of now or of any time before: print does
-- not tell of one.
local function flush_output()
  local ok, reason = io.stdout:flush()
  if ok and not libc.has_failed(io.stdout) then return true end
  return nil, "standard output: " .. (reason or "not all could be written")
end

local function run(words, stderr)
  local list = {}
  for i = 1, #words do list[i] = words[i] end
  local name = table.remove(list, 1)

  local ok, status, message = xpcall(function()
    if name == nil then
      stderr:write(require "moonrank.cli.help".overview())
      return USAGE
    elseif name == "-h" or name == "--help" then
      name = "help"
    elseif name == "--version" then
      print("moonrank " .. require "moonrank.ffi".string(require "moonrank.ffi".C.mr_version()))
      return OK
    end
    local command = M.command(name)
    if list[1] == "--help" or list[1] == "-h" then
      list, command = { name }, M.command "help"
    end
    return command.run(list)
  end, M.explain)

  local written, trouble = flush_output()
  local progress = package.loaded["moonrank.progress"]
  if type(progress) == "table" then progress.clear_all() end -- else Ctrl-C came while it was loaded
  if ok and message then ok, status = false, { status = TROUBLE, message = message } end
  if ok and not written then
    ok, status = false, { status = TROUBLE, message = trouble }
  end
  if ok then return status or OK end
  stderr:write("moonrank: ", status.message, "\n")
  if status.traceback then stderr:write(status.traceback, "\n") end
  return status.status
end

--- Run a command line.
-- @tparam {string,...} words  everything after `moonrank`
-- @param[opt=io.stderr] stderr  where complaints go
-- @treturn integer the exit status
function M.main(words, stderr)
  stderr = stderr or io.stderr
  local ok, status = pcall(run, words, stderr)
  if ok then return status end
  if not interrupt.is(status) then error(status, 0) end
  stderr:write "moonrank: interrupted\n" -- it came when all was done but the end
  return INTERRUPTED
end

return M
