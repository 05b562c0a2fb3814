--- What specs share: tolerance asserts, temporary folders, running the command, seeded data.
-- busted runs this file before the suite; specs get the same table by `require "helper"`.
if type(package.loaded.helper) == "table" then return package.loaded.helper end
local cjson = require "cjson"
local ffi = require "ffi"
local lfs = require "lfs"

local M = {}
package.loaded.helper = M

-- busted forgets modules between spec files; C declarations can be made only once a process.
local built = io.open((os.getenv "MOONRANK_BUILD" or "build") .. "/libmoonrank.so")
if built then
  built:close()
  require "moonrank.ffi"
end

-- ---- files ----

local temp_root
local temp_count = 0

--- Put a text between single quotes for the shell.
function M.quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

--- A new empty folder, removed when the suite ends.
-- @treturn string its path, without a final slash
function M.temp_dir()
  if not temp_root then
    temp_root = os.tmpname()
    os.remove(temp_root)
    assert(lfs.mkdir(temp_root))
  end
  temp_count = temp_count + 1
  local path = ("%s/%d"):format(temp_root, temp_count)
  assert(lfs.mkdir(path))
  return path
end

--- Write a file, making its folders.
-- @treturn string the path
function M.write(path, text)
  for slash in path:gmatch "()/" do
    if slash > 1 then lfs.mkdir(path:sub(1, slash - 1)) end
  end
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

--- The bytes of a file.
function M.read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

--- Whether a path exists.
function M.exists(path) return lfs.attributes(path, "mode") ~= nil end

--- The folder of the checkout.
function M.root() return lfs.currentdir() end

-- ---- the command ----

--- Run a shell command.
-- @tparam string command
-- @treturn integer exit status
-- @treturn string standard output
-- @treturn string standard error
function M.shell(command)
  local dir = M.temp_dir()
  os.execute(("{ %s\n} >%s/out 2>%s/err </dev/null; echo $? >%s/status"):format(command, dir, dir,
    dir))
  return tonumber(M.read(dir .. "/status")), M.read(dir .. "/out"), M.read(dir .. "/err")
end

--- Run the real moonrank command.
-- @tparam string arguments  as typed, with the shell's quoting
-- @tparam[opt] string folder  the working folder; default: the checkout
-- @treturn integer exit status
-- @treturn string standard output
-- @treturn string standard error
-- @usage local status, out, err = helper.run("train " .. helper.quote(path))
function M.run(arguments, folder)
  return M.shell(("cd %s && %s %s"):format(M.quote(folder or M.root()),
    M.quote(M.root() .. "/moonrank"), arguments))
end

--- The command that `run` calls, as lines that say what to type next have it.
-- @treturn string
function M.command()
  local path = M.root() .. "/moonrank"
  return path:find "^[%w_./-]+$" and path or M.quote(path)
end

--- Whether strace can make system calls fail: not where it is missing or not allowed, and not under
-- the sanitizers of `make check`, which refuse to be traced.
function M.can_trace()
  return not os.getenv "MOONRANK_BUILD"
    and M.shell "strace -f --seccomp-bpf -o /dev/null true" == 0
end

-- ---- sets and arrays ----

--- How many keys a table has.
function M.count(set)
  local n = 0
  for _ in pairs(set) do n = n + 1 end
  return n
end

--- The numbers of a list.
-- @return `float[?]`, from 0
function M.floats(list) return ffi.new("float[?]", math.max(#list, 1), list) end

--- The same as keys; numbers or `uint64_t`.
-- @return `uint64_t[?]`, from 0
function M.keys(list)
  local out = ffi.new("uint64_t[?]", math.max(#list, 1))
  for i, key in ipairs(list) do out[i - 1] = key end
  return out
end

-- ---- asserts ----

--- Every number within `tolerance` of the expected one; says which is not.
-- @param expected list of numbers
-- @param actual list or C array (from 0) of numbers
-- @tparam number tolerance
function M.all_near(expected, actual, tolerance)
  local base = type(actual) == "cdata" and -1 or 0
  for i, want in ipairs(expected) do
    local got = tonumber(actual[i + base])
    if not (got and math.abs(got - want) <= tolerance) then
      error(("value %d is %s, expected %.9g +- %g"):format(i, tostring(got), want, tolerance), 2)
    end
  end
end

--- The call fails (returns nil and a message) with exactly this message.
function M.fails_with(message, value, actual)
  require "luassert".is_nil(value)
  require "luassert".equal(message, actual)
end

--- The function raises exactly this message, after a place "file:line: " if `placed`.
function M.raises(message, f, ...)
  local ok, actual = pcall(f, ...)
  if ok then error("expected an error: " .. message, 2) end
  require "luassert".equal(message, (tostring(actual):gsub("^[^\n:]*%.lua:%d+: ", "")))
end

-- ---- seeded data ----

--- A stream of random numbers, the same for the same seed on every machine.
-- @tparam integer seed
-- @treturn function called with nothing: uniform in [0, 1); with n: a whole number 1 to n
function M.random(seed)
  local state = (seed * 2654435761 + 12345) % 4294967296
  return function(n)
    -- Two steps of a 32-bit linear congruential generator; its high bits are what is used.
    local high
    for _ = 1, 2 do
      state = (state * 1664525 + 1013904223) % 4294967296
      high = math.floor(state / 65536)
    end
    local u = (high * 65536 + math.floor((state * 40503) % 65536)) / 4294967296
    return n and math.floor(u * n) + 1 or u
  end
end

local function click_row(random, n)
  local user, ad, hour = random(n.users), random(n.ads), random(24) - 1
  local price = random() * 10
  -- Users like every third ad, their own third, and cheap ones.
  local logit = (user + ad) % 3 == 0 and 1 or -1
  local click = random() < 1 / (1 + math.exp(-(logit - 0.1 * price + 0.5))) and 1 or 0
  return ("%d,u%d,a%d,t%d|t%d,%d,%.3f"):format(click, user, ad, ad % 5, ad % 7, hour, price)
end

--- Write a small project: train.csv, valid.csv, test.csv, fields.yaml and lr.yaml.
-- Columns: click, user, ad, tags (two values between bars), hour, price.
-- @tparam[opt] table options  seed (1), rows (2000; valid and test a quarter), users (50), ads (30)
-- @treturn string the folder
function M.make_project(options)
  options = options or {}
  local n = { users = options.users or 50, ads = options.ads or 30 }
  local random = M.random(options.seed or 1)
  local dir = M.temp_dir()
  local rows = options.rows or 2000
  for _, split in ipairs { "train", "valid", "test" } do
    local lines = { "click,user,ad,tags,hour,price" }
    for i = 1, split == "train" and rows or math.ceil(rows / 4) do
      lines[i + 1] = click_row(random, n)
    end
    M.write(("%s/%s.csv"):format(dir, split), table.concat(lines, "\n") .. "\n")
  end
  M.write(dir .. "/fields.yaml", [[
version: 1
data: {train: train.csv, valid: valid.csv, test: test.csv}
defaults: {dim: 4}
label: click
group: user
fields:
  - {name: user, side: user, type: id}
  - {name: hour, side: context, type: id}
  - {name: ad, side: ad, type: id}
  - {name: tags, side: ad, type: ids, separator: "|"}
  - {name: price, side: ad, type: number, transform: log1p}
]])
  M.write(dir .. "/lr.yaml", [[
fields: fields.yaml
model: {script: lr}
train: {batch: 256, epochs: 2, seed: 1, optimizer: {adam: {lr: 0.01}}}
]])
  return dir
end

--- Add columns to the files of a project, behind the others.
-- @tparam string dir
-- @tparam string names  of the columns, with commas between
-- @tparam function cells  of a row's line and its number in the file: what is added to it
function M.add_columns(dir, names, cells)
  for _, split in ipairs { "train", "valid", "test" } do
    local path, lines = ("%s/%s.csv"):format(dir, split), {}
    for line in io.lines(path) do
      lines[#lines + 1] = line .. "," .. (#lines == 0 and names or cells(line, #lines))
    end
    M.write(path, table.concat(lines, "\n") .. "\n")
  end
end

--- A project as of make_project, with runs of lr and fm in folders of these names.
-- @tparam[opt] string dir  a project that is there
-- @tparam[opt] string words  options of the trainings
-- @treturn string the folder
function M.make_runs(dir, words)
  dir = dir or M.make_project {}
  for _, script in ipairs { "lr", "fm" } do
    assert(M.run(("train %s/lr.yaml --quiet --set model.script=%s --out %s/%s %s"):format(dir,
      script, dir, script, words or "")) == 0)
  end
  return dir
end

--- The rows of a tsv file packed by zstd, each a table by column; every row has all columns.
-- @tparam string path
-- @treturn {table,...}
-- @treturn string the first line
function M.read_table(path)
  local pipe = assert(io.popen("zstd -dc " .. M.quote(path)))
  local names, rows, header = {}, {}, pipe:read "*l"
  for name in header:gmatch "[^\t]+" do names[#names + 1] = name end
  for line in pipe:lines() do
    local row, i = {}, 0
    for cell in (line .. "\t"):gmatch "([^\t]*)\t" do
      i = i + 1
      row[names[i] or i] = cell
    end
    if i ~= #names then error(("%s: %d cells, expected %d: %s"):format(path, i, #names, line)) end
    rows[#rows + 1] = row
  end
  pipe:close()
  return rows, header
end

--- The lines of a run's metrics.jsonl without what is a matter of time.
-- @tparam string out  the run folder
-- @treturn {table,...}
function M.figures(out)
  local lines = {}
  for line in M.read(out .. "/metrics.jsonl"):gmatch "[^\n]+" do
    local values = cjson.decode(line)
    for _, of_this_run in ipairs { "seconds", "rows_per_second", "processor_seconds",
      "peak_memory" } do values[of_this_run] = nil end
    for _, part in ipairs { values.valid or {}, values.test or {} } do part.seconds = nil end
    lines[#lines + 1] = values
  end
  return lines
end

--- What `moonrank eval --json` says of a model.
-- @tparam string words  a run folder or model file, and options
-- @treturn table
-- @treturn string what it prints
function M.evaluate(words)
  local file = M.temp_dir() .. "/eval.json"
  local status, out, err = M.run(("eval %s --json %s"):format(words, file))
  if status ~= 0 or err ~= "" then error(("eval ended with %d: %s"):format(status, err), 2) end
  return cjson.decode(M.read(file)), out
end

-- Under busted: clean up at the end. Outside (a tool that borrows the data makers): nothing to do.
local found, busted = pcall(require, "busted")
if found and busted.subscribe then
  busted.subscribe({ "suite", "end" }, function()
    if temp_root then os.execute("rm -rf " .. M.quote(temp_root)) end
    return nil, true
  end)
end

return M
