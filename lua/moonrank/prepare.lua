--- What the scripts examples/*/prepare.lua share: from what users did, in the order of time, to
-- rows with histories.
--
-- **Leave the last out**, the protocol of the DIN paper (Zhou et al. 2018, section 6.1): each item
-- of a user but the first is a positive, and one item drawn evenly from those that the user never
-- had is a negative beside it; the history of both is all that the user had before. A user's last
-- item is test data, the one before it validation data, the others are training data.
--
-- The functions raise what is wrong as one line of text; `main` prints it.
-- @module moonrank.prepare
local data_rules = require "moonrank.data_rules"
local path_of = require "moonrank.path"
local sink = require "moonrank.sink"
local threefry = require "moonrank.simulator.threefry"

local M = {}

--- The parts of the data, in the order that is printed.
M.SPLITS = { "train", "valid", "test" }

-- What a random number is for.
local NEGATIVE, SHUFFLE = 1, 2

local ROWS_PER_WRITE = 4096

local function stop(...) error(string.format(...), 0) end

local function need(value, message)
  if value == nil then stop("%s", message) end
  return value
end

-- ---- reading ----

--- The text of a file, plain or compressed with gzip.
-- @tparam string folder
-- @tparam string name  without ".gz"; the file with it is taken where there is one
-- @treturn string
-- @treturn string the path, for complaints
function M.read(folder, name)
  local path = ("%s/%s.gz"):format(folder, name)
  local file = io.open(path, "rb")
  if not file then
    path = ("%s/%s"):format(folder, name)
    file = io.open(path, "rb") or stop("%s is not there, nor %s.gz", path, name)
  end
  file:close()
  -- The status of a pipe does not reach Lua: a dot at the end says that all went well.
  local pipe = io.popen(("gzip -dcf -- %s && printf ."):format(path_of.quote(path)), "r")
  local text = pipe:read "*a"
  pipe:close()
  if text:sub(-1) ~= "." then stop("%s cannot be decompressed", path) end
  return text:sub(1, -2), path
end

--- Walk over the lines of a file that match a pattern, all of them.
-- @tparam string folder
-- @tparam string name  as of `read`
-- @tparam string pattern  of a whole line, with captures
-- @tparam function visit  called with a line's captures
-- @tparam[opt=0] integer skip  lines at the top that are not read
function M.each_line(folder, name, pattern, visit, skip)
  local text, path = M.read(folder, name)
  local number = 0
  local function check(first, ...)
    if first == nil then stop("%s:%d: expected a line like %s", path, number, pattern) end
    visit(first, ...)
  end
  for line in text:gmatch "([^\n]*)\n?" do
    number = number + 1
    if number > (skip or 0) and line ~= "" then check(line:match(pattern)) end
  end
end

--- Bring a user's events into the order of time; of equal times, that of the file.
-- @tparam {table,...} events  each with `time`; gets `place`
function M.sort(events)
  for i, event in ipairs(events) do event.place = i end
  table.sort(events, function(a, b)
    if a.time ~= b.time then return a.time < b.time end
    return a.place < b.place
  end)
end

-- ---- choosing ----

--- Which part the k-th of n items of a user belongs to.
function M.split_of(k, n)
  return k == n and "test" or k == n - 1 and "valid" or "train"
end

--- Leave the last out: call `visit(split, user, k, positive, negative)` for each item of each user
-- but the first, in order.
-- @tparam {table,...} users  each with `items`, a list in the order of time
-- @tparam {string,...} catalogue  all items, each once
-- @tparam integer seed
-- @tparam function visit
function M.leave_last_out(users, catalogue, seed, visit)
  local uniform2, n_items, floor = threefry.streams(seed), #catalogue, math.floor
  for u, user in ipairs(users) do
    local items, had, n_had = user.items, {}, 0
    for _, item in ipairs(items) do
      if not had[item] then had[item], n_had = true, n_had + 1 end
    end
    if n_had >= n_items then stop("user %s had all %d items: no negatives", user.id, n_items) end
    for k = 2, #items do
      local negative
      local try = 0
      repeat
        -- A function of the seed, the user's place, k and the number of the draw.
        negative = catalogue[floor(uniform2(NEGATIVE, u, k * 65536 + try) * n_items) + 1]
        try = try + 1
      until not had[negative]
      visit(M.split_of(k, #items), user, k, items[k], negative)
    end
  end
end

--- A random order of the numbers 1 to n (Fisher and Yates).
-- @tparam integer n
-- @tparam integer seed
-- @treturn {integer,...}
function M.shuffled(n, seed)
  local uniform2, order = threefry.streams(seed), {}
  for i = 1, n do order[i] = i end
  for i = n, 2, -1 do
    local j = math.floor(uniform2(SHUFFLE, i, 0) * i) + 1
    order[i], order[j] = order[j], order[i]
  end
  return order
end

--- The text of a history: the last `max` of the first n texts of a list.
-- @tparam {string,...} texts
-- @tparam integer n  0 to #texts
-- @tparam integer max
-- @treturn string with blanks between them
function M.history(texts, n, max)
  return table.concat(texts, " ", math.max(1, n - max + 1), n)
end

-- ---- writing ----

local Writer = {}
Writer.__index = Writer

--- Start train.tsv.zst, valid.tsv.zst and test.tsv.zst in a folder, which is made if it is missing.
-- @tparam string folder
-- @tparam {string,...} columns  the first line of each
-- @treturn Writer with `put(split, row)`, `close()` and `rows`, counts by split
function M.writer(folder, columns)
  need(path_of.make_folder(folder))
  local self = setmetatable({ files = {}, rows = {} }, Writer)
  for _, split in ipairs(M.SPLITS) do
    local file = need(sink.open(("%s/%s.tsv.zst"):format(folder, split)))
    self.files[split] = { sink = file, n = 1, lines = { table.concat(columns, "\t") .. "\n" } }
    self.rows[split] = 0
  end
  return self
end

local function flush(file)
  need(file.sink:write(table.concat(file.lines, "", 1, file.n)))
  file.n = 0
end

--- Write a row.
-- @tparam string split
-- @tparam string row  cells with tabs between them
function Writer:put(split, row)
  local file, n = self.files[split], self.files[split].n
  file.lines[n + 1], file.lines[n + 2], file.n = row, "\n", n + 2
  self.rows[split] = self.rows[split] + 1
  if file.n >= 2 * ROWS_PER_WRITE then flush(file) end
end

--- Finish the files.
function Writer:close()
  for _, split in ipairs(M.SPLITS) do
    flush(self.files[split])
    need(self.files[split].sink:close())
  end
end

--- Write the rows of `leave_last_out`, two for each item: a column `request_id`, what `shared`
-- gives, what `item` gives, and `label`.
-- @tparam table given  the options of `main`
-- @tparam {string,...} columns  of all
-- @tparam {table,...} users  as of `leave_last_out`
-- @tparam {string,...} catalogue  as of `leave_last_out`
-- @tparam function shared  of a user and k: the cells of user, context and history
-- @tparam function item  of an item: its cells
-- @treturn table rows by split
-- @treturn {string,...} the rules
function M.write_leave_last_out(given, columns, users, catalogue, shared, item)
  local out, request = M.writer(given.out, columns), 0
  M.leave_last_out(users, catalogue, given.seed, function(split, user, k, positive, negative)
    request = request + 1
    local start = ("%d\t%s\t"):format(request, shared(user, k))
    out:put(split, ("%s%s\t1"):format(start, item(positive)))
    out:put(split, ("%s%s\t0"):format(start, item(negative)))
  end)
  out:close()
  return out.rows, {
    "split  by user: the last item is test, the one before it valid, the others train",
    ("rule   each item but the first with one negative, drawn evenly from the items that its user "
      .. "never had (seed %d)"):format(given.seed),
    ("past   what the user had before, the last %d of it"):format(given.max) }
end

--- Write rows in their order, each to a part that is drawn: a tenth of them, rounded down, are test
-- data, as many validation data.
-- @tparam table given  the options of `main`
-- @tparam {string,...} columns
-- @tparam {string,...} rows  cells with tabs between them
-- @treturn table rows by split
-- @treturn string the rule
function M.write_at_random(given, columns, rows)
  local out, order = M.writer(given.out, columns), M.shuffled(#rows, given.seed)
  local tenth = math.floor(#rows / 10)
  for i, row in ipairs(rows) do
    local place = order[i]
    out:put(place <= tenth and "test" or place <= 2 * tenth and "valid" or "train", row)
  end
  out:close()
  return out.rows, ("split  8:1:1 at random (seed %d)"):format(given.seed)
end

-- ---- the program ----

local function whole(text)
  local n = tonumber(text)
  return n and n >= 0 and n % 1 == 0 and n or nil
end

-- The rows, and beside them how they were made, so that training can say it with its results.
local function write_rows(run, given)
  local rows, rules = run(given)
  need(sink.write_file(("%s/%s"):format(given.out, data_rules.FILE),
    table.concat(rules, "\n") .. "\n"))
  return rows, rules
end

--- A script's command line, its run, and what is printed.
-- @tparam table about  `name`, `summary`, and `splits`: what --split may be, the default first
-- @tparam function run  called with the options (data, out, seed, max, split ...), returns the rows
-- by split, and lines that say how they were made
-- @tparam[opt] function more  adds options to the argparse parser
function M.main(about, run, more)
  local p = require "argparse"(arg[0], about.summary):help_max_width(100):usage_max_width(100)
  p:option("--data", "the folder of the raw data"):argname "DIR":count(1)
  p:option("--out", "the folder for the rows; default: data/" .. about.name):argname "DIR"
  p:option("--seed", "of what is drawn at random", "1"):argname "S":convert(whole)
  p:option("--max", "longest history", "100"):argname "N":convert(whole)
  if about.splits then
    p:option("--split", "how the rows are split", about.splits[1]):choices(about.splits)
  end
  if more then more(p) end
  local given = p:parse()
  given.out = given.out or "data/" .. about.name
  local ok, rows, rules = pcall(write_rows, run, given)
  if not ok then
    io.stderr:write("prepare: ", tostring(rows), "\n")
    os.exit(1, true) -- closes the state, so that unfinished files go
  end
  local grouped = require "moonrank.progress".grouped
  for _, rule in ipairs(rules) do print(rule) end
  for _, split in ipairs(M.SPLITS) do
    print(("%-5s  %s rows in %s/%s.tsv.zst"):format(split, grouped(rows[split]), given.out, split))
  end
end

return M
