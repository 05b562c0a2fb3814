--- Data: text files described by a fields file, read once into column caches.
--
--     local data = assert(Dataset.open "examples/adworld/fields.yaml")
--     for batch in data.train:loader { batch = 4096, seed = 1, shuffle = true } do ... end
--
-- A cache lies in `data.cache` under the split's name and a sum over its sources and the part of
-- the fields file that decides its contents, so experiments with other widths share it.
-- @classmod moonrank.Dataset
local clock = require "moonrank.clock"
local config = require "moonrank.config"
local config_split = require "moonrank.config_split"
local interrupt = require "moonrank.interrupt"
local lfs = require "lfs"
local libc = require "moonrank.libc"
local mr = require "moonrank.ffi"
local path_of = require "moonrank.path"
local Pool = require "moonrank.pool"
local Schema = require "moonrank.schema"
local Split = require "moonrank.split"
local Stream = require "moonrank.stream"
local text_format = require "moonrank.text_format"
local yaml = require "moonrank.yaml"

local C = mr.C

local Dataset = {}

local STDIN = "-" -- as a path
local PROGRESS_MS = 100
local COPIED = 2 ^ 20 -- bytes at a time

-- Paths as the engine takes them.
local function list_of(paths)
  local list = mr.new("const char *[?]", #paths)
  for i, path in ipairs(paths) do list[i - 1] = path end
  return list
end

local NAMES = { train = true, valid = true, test = true }

-- FNV-1a, 64 bits, as hexadecimal text: names files, guards nothing.
local function sum_of(text)
  local bit = require "bit"
  local sum = 0xcbf29ce484222325ULL
  for i = 1, #text do sum = bit.bxor(sum, text:byte(i)) * 0x100000001b3ULL end
  return bit.tohex(sum)
end
Dataset.sum_of = sum_of

-- What decides the contents of a cache, as text.
local function contents_of(values, paths, labels, selection)
  -- Of a field or a member; `pool` decides what models do, not what is read.
  local function read(field)
    local copy = {}
    for key, value in pairs(field) do copy[key] = value end
    copy.pool = nil
    return copy
  end
  local fields, sequences, min_counts = {}, nil, {}
  for i, field in ipairs(values.fields) do fields[i] = read(field) end
  for i, sequence in ipairs(values.sequences or {}) do
    sequences = sequences or {}
    sequences[i] = read(sequence)
    sequences[i].of = {}
    for name, member in pairs(sequence.of) do sequences[i].of[name] = read(member) end
  end
  for name, t in pairs(values.tables) do min_counts[name] = t.min_count end
  local files = {}
  for i, path in ipairs(paths) do files[i] = libc.real_path(path) or path_of.absolute(path) end
  return yaml.write { fields = fields, sequences = sequences, min_counts = min_counts,
    files = files, label = labels and values.label or {}, group = labels and values.group,
    weight = labels and values.weight or nil, scenario = labels and values.scenario or nil,
    time = labels and values.time or nil, request = values.request, format = values.data.format,
    columns = values.data.columns, selection = selection,
    bad_rows = values.data.bad_rows == "skip" and values.data.bad_rows_limit or nil }
end

-- Hand on what comes of standard input. Not compiled, and never long in a call: there Ctrl-C, which
-- raises an error here, would not be looked for.
local function read_stdin(write)
  local text, message
  while text ~= "" do
    text, message = libc.read(0, COPIED, PROGRESS_MS)
    if message then error(message) end
    if text then assert(write(text)) end
  end
end
jit.off(read_stdin)

-- Standard input as a file that has no name any more and vanishes with the process: its parts are
-- read one after another.
local function keep_stdin(self)
  local folder = self.config.data.cache
  local made, message = path_of.make_folder(folder)
  if not made then return nil, message end
  local spool
  spool, message = path_of.temporary_folder(folder)
  if not spool then return nil, message end
  local file
  local ok, trouble = pcall(function()
    file = assert(io.open(path_of.join(spool, "input"), "w+b"))
    read_stdin(function(text) return file:write(text) end)
    assert(file:flush())
  end)
  path_of.remove_folder(spool)
  if not ok then
    if interrupt.is(trouble) then error(trouble, 0) end
    return nil, "a copy of standard input: " .. tostring(trouble):gsub("^[^\n]-%.lua:%d+: ", "")
  end
  self.kept = { file = file, path = ("/proc/self/fd/%d"):format(libc.number(file)) }
  return true
end

-- The files of one entry: a path or a pattern, relative to the root, or standard input.
-- `again`: it is read more than once, for other splits or for what is fitted.
local function find_files(self, name, entry, place, found, again)
  local root = self.config.data.root
  if entry == STDIN and again then
    self.stdin = name
    if not self.kept then
      local ok, message = keep_stdin(self)
      if not ok then return nil, message end
    end
    found[#found + 1] = self.kept.path
    return true
  elseif entry == STDIN then
    if self.stdin then
      return nil, ("%s: standard input is read once, and data.%s reads it already"):format(place,
        self.stdin)
    end
    self.stdin, found[#found + 1] = name, entry
    return true
  end
  local path = path_of.join(root, entry)
  if path_of.is_pattern(entry) then
    local matching = path_of.glob(path)
    if #matching == 0 then
      return nil, ('%s: no file matches "%s" in %s'):format(place, entry, root)
    end
    for _, file in ipairs(matching) do found[#found + 1] = file end
    return true
  end
  if lfs.attributes(path, "mode") == "named pipe" then -- to be opened by who reads it alone
    if again then
      return nil, ('%s: %s is a pipe, which can be read only once; standard input, "-", is kept '
        .. "to be read again"):format(place, path)
    end
    found[#found + 1] = path
    return true
  end
  local file, message = io.open(path, "rb")
  if not file then return nil, ("%s: cannot read %s"):format(place, message) end
  file:close()
  found[#found + 1] = path
  return true
end

local function files_of(self, name, again)
  local entries, found = self.config.data[name], {}
  local place = self.places["data." .. name] or ("data." .. name)
  for _, entry in ipairs(type(entries) == "table" and entries or { entries }) do
    local ok, message = find_files(self, name, entry, place, found, again)
    if not ok then return nil, message end
  end
  return found
end

-- Start to build a cache, and say until it is there how far it is, if there is anyone to say it to.
local function watch(progress, name, out, ...)
  local ok, message = mr.ok(C.mr_build_start(out, ...))
  if not ok then return nil, message end
  local at, start = mr.new "mr_build_progress", clock.now()
  local what, status = name == "data" and "the data" or ("the %s data"):format(name),
    C.mr_build_wait(out[0], PROGRESS_MS, at)
  while status == C.MR_OK do
    local bytes = tonumber(at.bytes)
    if progress then
      progress:update("reading " .. what, { bytes = bytes, total_bytes = tonumber(at.total),
        bytes_per_second = bytes / (clock.now() - start) })
    end
    status = C.mr_build_wait(out[0], PROGRESS_MS, at)
  end
  if status < 0 then return nil, mr.last_error() end
  return true
end
jit.off(watch) -- where Ctrl-C, which raises an error here, would not be looked for

-- Build a cache. Whatever ends that, the building has ended then: it uses the pool and the paths.
local function build(self, name, ...)
  local out = mr.new "mr_build *[1]"
  local ok, done, message = pcall(watch, self.progress, name, out, ...)
  C.mr_build_free(out[0])
  if self.progress then self.progress:clear() end
  if not ok then error(done, 0) end
  return done, message
end

local function cannot_keep(message)
  return ("cannot keep column caches in %s; choose a folder with --set data.cache=DIR"):format(
    message)
end

local methods = {}

--- Read files into a cache and open it.
-- @tparam {string,...} paths  "-" is standard input, whose cache is not kept
-- @tparam string name  the cache's name
-- @tparam[opt] table options  fit = true: training data; folder: of the cache; selection: the
-- fields of an mr_selection, which rows are read
-- @treturn ?Split
-- @treturn ?string what is wrong
function methods:open_files(paths, name, options)
  options = options or {}
  local folder, spool = options.folder or self.config.data.cache, nil
  local made, message = path_of.make_folder(folder)
  if not made then return nil, cannot_keep(message) end
  for _, path in ipairs(paths) do
    -- Nobody else can use this cache; it is gone when it is closed.
    local is_stdin = path == STDIN or self.kept and path == self.kept.path
    if is_stdin and not spool then
      spool, message = path_of.temporary_folder(folder)
      if not spool then return nil, message end
    end
  end
  folder = spool or folder
  local file = ("%s-%s.columns"):format(name,
    sum_of(contents_of(self.config, paths, #self.schema.tasks > 0, options.selection)))
  local cache = path_of.join(folder, file)
  local format = text_format.new(self.config.data, options.selection)
  local list = list_of(paths)
  local ran, ok
  ran, ok, message = pcall(build, self, name, self.schema.handle, format, list, #paths, cache,
    options.fit and 1 or 0, mr.handle(self.pool, "the pool of threads"))
  local split
  if ran and ok then split, message = Split.open(self.schema, cache, name) end
  if split then -- `texts` reads them again; what the lists point into is kept
    split.source = { format = format, paths = list, n = #paths, keep = paths, once = spool ~= nil }
  end
  if spool then path_of.remove_folder(spool) end
  if not ran then error(ok, 0) end
  local locked = cache .. ".lock: " -- it could not be
  if message and message:sub(1, #locked) == locked then
    message = cannot_keep(("%s: %s"):format(folder, message:sub(#locked + 1)))
  end
  if self.kept and message then message = message:gsub("^" .. self.kept.path, "standard input") end
  if message then
    message = require "moonrank.config_labels".hint(message, self.config.label or {})
  end
  return split, message
end

--- Read files as they come, in memory that does not grow with them; nothing is cached.
-- @tparam {string,...} paths  "-" is standard input
-- @tparam string name  for messages
-- @treturn ?Stream its parts, in the order of the rows
-- @treturn ?string what is wrong
function methods:stream_files(paths, name)
  return Stream.open(self.schema, text_format.new(self.config.data), list_of(paths), #paths,
    { name = name, paths = paths, progress = self.progress })
end

--- One of the splits of the fields file, opened at first use.
-- @tparam string name  train, valid or test
-- @treturn ?Split nil without a message where the file names no such split
-- @treturn ?string what is wrong
function methods:split(name)
  if not NAMES[name] then
    error(('no split "%s", expected train, valid or test'):format(tostring(name)), 2)
  end
  if self.splits[name] then return self.splits[name] end
  if self.schema.fits and name ~= "train" and not self.is_fitted then
    local train, trouble = methods.split(self, "train")
    if not train then return nil, trouble end
  end
  if not config_split.has(self.config, name) then return nil end
  local selection = config_split.selection(self.config, name)
  local again = selection ~= nil or name == "train" and self.schema.reads_twice
  local paths, message = files_of(self, selection and "train" or name, again)
  if not paths then return nil, message end
  local split
  split, message = self:open_files(paths, name, { fit = name == "train", selection = selection })
  self.splits[name] = split
  return split, message
end

--- Take what was fitted to numbers from the schema of a model, rather than from the training data.
-- @param from  `const mr_schema *`
-- @treturn ?boolean true
-- @treturn ?string what is wrong
function methods:fit(from)
  self.is_fitted = true
  return mr.ok(C.mr_schema_fit(self.schema.handle, from))
end

--- Close all splits now. May be called twice.
function methods:close()
  for name, split in pairs(self.splits) do
    split:close()
    self.splits[name] = nil
  end
end

-- data.train, data.valid, data.test open the split at first use; trouble raises.
Dataset.__index = function(self, key)
  if methods[key] then return methods[key] end
  if not NAMES[key] then return nil end
  local split, message = methods.split(self, key)
  if message then error(message, 2) end
  return split
end

--- Describe data by a fields file. Text is read when a split is first used.
-- @param source  the path of a fields file, or a resolved configuration
-- @tparam[opt] table options  root: the folder of the data, instead of the file's; set: overrides
-- as of --set; threads: for reading, default one per CPU; pool: instead of that; labels = false:
-- data without labels; places: of a resolved configuration's values, for messages; progress: told
-- how far the reading of text is
-- @treturn ?Dataset with `fields` (what models see), `schema`, `config` and the splits `train`,
-- `valid`, `test`
-- @treturn ?string what is wrong
function Dataset.open(source, options)
  options = options or {}
  local values, places = source, options.places or {}
  if type(source) == "string" then
    values, places = config.fields(source, options.set)
    if not values then return nil, places end
  end
  if options.root then
    values.data.root = options.root
    values.data.cache = path_of.join(options.root, ".moonrank-cache")
  end
  local ok, schema = interrupt.pcall(Schema.new, values, { labels = options.labels })
  if not ok then return nil, (tostring(schema):gsub("^[^\n]-%.lua:%d+: ", "")) end
  return setmetatable({ config = values, places = places, schema = schema, splits = {},
    fields = schema.fields, pool = options.pool or Pool.new(options.threads),
    progress = options.progress }, Dataset)
end

return Dataset
