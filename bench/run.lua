--- The table of speed: moonrank and each peer in turn on the same data, in rounds; medians, ratios,
-- and the share of the roofline. `make bench` calls it, `make bench QUICK=1` in a short form.
--
--     luajit bench/run.lua [--quick] [--only lr,dnn] [--rounds 3] [--seconds 2] [--rows 1000000]
--                          [--alone]
--
-- Lines of training: samples a second, everything included that a step costs a user, batches from
-- the column cache. Lines of text: rows a second from a text file to a model trained for one pass,
-- a logistic regression, or dnn beside the same pass from the column cache. Lines of a command:
-- milliseconds until it is done. Lines of scoring: milliseconds for one user with 100 behaviours
-- and so many ads, the median. A line of the table is:
--
--   samples/s   moonrank, median of the rounds
--   best        PyTorch in its best environment, the fastest of its programs (which one is said),
--               or, of dnn from text, dnn from the cache
--   ratio       moonrank / best; `wanted` is what it should be at least
--   default     the same program as Debian installs PyTorch; never used for a claim, and left out
--               of a quick run, as liblinear is
--   newer       a newer PyTorch (PEER_PYTHON, or a Python of the path), in the same best
--               environment, the fastest of its programs; columns that are there only if it is
--   roofline    what the machine could do at most (bench/roofline.lua; of text, what a bare program
--               does, bench/bare_text.c), and moonrank's share of it
--
-- A peer that is not there, or that --alone leaves out, is "not installed". The data that the lines
-- need are made once, into build/bench; the machine's limits are measured where a line is held
-- against them.
local root = debug.getinfo(1, "S").source:match "^@(.*)bench/[^/]*$" or ""
package.path = root .. "lua/?.lua;" .. root .. "lua/?/init.lua;" .. root .. "bench/?.lua;"
  .. package.path
local clock = require "moonrank.clock"
local grouped = require "moonrank.progress".grouped
local json = require "moonrank.json"
local mr = require "moonrank.ffi"
local numbers = require "numbers"
local path_of = require "moonrank.path"
local peers = require "peers.peers"
local report_table = require "moonrank.report_table"
local roofline = require "roofline"
local speed = require "moonrank.speed"
local words = require "words"

local BATCH = 4096

-- A line is what `measure` of its kind (KINDS) takes, and a peer. To add one:
--
--   * a model: its script in models/, its function in MODELS of bench/peers/torch_train.py, its
--     operations in bench/roofline.lua, a line here;
--   * a kind of line (scoring, images, ...): an entry of KINDS with data, what of DATA it runs on,
--     where it needs any; measure(line, given, folder, note), which runs a program and returns the
--     figure of our side; peer(line, given, folder, torch, note), where there is one; both hand
--     figures of other sides to note(what, figure), what is "best", "default" or "newer";
--     wanted(line), a text; figure(value), a text, where it is not a number a second; and
--     bound(line, limits, folder), what the machine could do at most and what binds, where the
--     roofline says so.
--
-- `programs`: PyTorch's ways that may be its fastest; in a quick run the first one only.
local JAGGED = { "jagged-manual", "jagged-sparse", "jagged-dense" }
local PADDED = { "padded-sparse", "padded-manual", "padded-dense" }
local LINES = {
  { name = "lr", model = "lr", optimizer = "adagrad", threads = 2, wanted = 12,
    programs = { "sparse", "manual", "dense" } },
  { name = "mlr", model = "mlr", optimizer = "adagrad", threads = 2, wanted = 12,
    programs = { "manual", "sparse", "dense" } },
  { name = "fm", model = "fm", optimizer = "adagrad", threads = 2, wanted = 12,
    programs = { "manual", "sparse", "dense" } },
  { name = "dnn", model = "dnn", optimizer = "adagrad", threads = 2, wanted = 1.6,
    programs = { "sparse", "manual", "dense" } },
  { name = "dnn-adam", model = "dnn", optimizer = "adam", threads = 2, wanted = 1.6,
    programs = { "sparse", "dense" } },
  { name = "deepfm", model = "deepfm", optimizer = "adagrad", threads = 2, wanted = 2,
    programs = { "sparse", "manual", "dense" } },
  { name = "dnn-1", model = "dnn", optimizer = "adagrad", threads = 1, wanted = 1.5,
    programs = { "sparse", "manual", "dense" } },
  { name = "din-1024", model = "din", optimizer = "adagrad", batch = 1024, threads = 2,
    wanted = 4.5, programs = JAGGED },
  { name = "din-1024-pad", model = "din", optimizer = "adagrad", batch = 1024, threads = 2,
    wanted = 14, programs = PADDED },
  { name = "din-32", model = "din", optimizer = "adagrad", batch = 32, threads = 2, lanes = 2,
    wanted = 4.5, programs = JAGGED },
  { name = "din-32-pad", model = "din", optimizer = "adagrad", batch = 32, threads = 2, lanes = 2,
    wanted = 14, programs = PADDED },
  { name = "score-200", model = "din", ads = 200, threads = 1, wanted = 4,
    programs = { "factored", "plain" } },
  { name = "score-1000", model = "din", ads = 1000, threads = 1,
    programs = { "factored", "plain" } },
  { name = "text-csv", file = "train.csv", model = "lr", threads = 2, wanted = 3.5e6,
    peer = "liblinear" },
  { name = "text-zst", file = "train.csv.zst", model = "lr", threads = 2, wanted = 3.5e6 },
  { name = "dnn-text", file = "train.csv", model = "dnn", threads = 2, wanted = 0.9,
    peer = "cache" },
  { name = "help", command = "moonrank help", threads = 1, wanted = 30 },
}

local function say(...)
  io.stdout:write(string.format(...), "\n")
  io.stdout:flush()
end

local function stop(...)
  io.stderr:write("bench: ", string.format(...), "\n")
  os.exit(1)
end

-- ---- what is measured ----

local function shell(command)
  if os.execute(command) ~= 0 then stop("this failed: %s", command) end
end

local function generate(shape, folder, rows)
  say("making data: %s rows in %s", grouped(rows), folder)
  assert(path_of.make_folder(folder))
  local program = root .. "build/bench/generate"
  shell(("gcc -O2 '%sbench/generate.c' -o '%s' -lm"):format(root, program))
  shell(("'%s' %s '%s' %d >&2"):format(program, shape, folder, rows))
end

-- Behaviours take ten times the room of clicks; there is a row of 100 among the first thousands.
local function make_behaviours(rows)
  rows = math.max(math.ceil(rows / 10), 4000)
  local folder = ("%sbuild/bench/din-%d"):format(root, rows)
  if not io.open(folder .. "/requests.yaml") then generate("din", folder, rows) end
  say("data      %s rows with 1 to 100 behaviours each, 100,000 items", grouped(rows))
  return folder
end

local function make_clicks(rows)
  local folder = ("%sbuild/bench/data-%d"):format(root, rows)
  if not io.open(folder .. "/train.csv.zst") then
    generate("", folder, rows)
    shell(("zstd -q -f -T0 '%s/train.csv' -o '%s/train.csv.zst.new'"):format(folder, folder))
    assert(os.rename(folder .. "/train.csv.zst.new", folder .. "/train.csv.zst"))
  end
  say("data      %s rows, 39 fields, 1,000,000 ids, Zipf 1.05; batches of %s", grouped(rows),
    grouped(BATCH))
  return folder
end

-- What a line may run on, made where a line needs it; each returns its folder.
local DATA = { clicks = make_clicks, behaviours = make_behaviours }

-- The first n integers of a file; all of them without n.
local function integers(folder, name, n)
  return numbers(("%s/%s.i32"):format(folder, name), "int32_t", n)
end

-- How many different values the first n of a list have, or what `of` says of them.
local function count_distinct(list, n, of)
  local seen, count = {}, 0
  for i = 0, n - 1 do
    local id = of and of[list[i]] or list[i]
    if not seen[id] then seen[id], count = true, count + 1 end
  end
  return count
end

-- Distinct ids of a batch, for each of its samples.
local function distinct_ids(folder)
  local ids, n = integers(folder, "ids", BATCH * 39)
  return count_distinct(ids, n) * 39 / n
end

-- The same of behaviours: items and categories. The ads are nearly all among them.
local function distinct_behaviours(folder, batch)
  local lengths, n = integers(folder, "lengths", batch)
  local behaviours = 0
  for r = 0, n - 1 do behaviours = behaviours + lengths[r] end
  local items, cates = integers(folder, "history", behaviours), integers(folder, "cates")
  return (count_distinct(items, behaviours) + count_distinct(items, behaviours, cates)) / n
end

-- The figures of a program: the last line that it prints, as JSON.
local function run(command)
  local pipe = assert(io.popen(command, "r"))
  local last
  for line in pipe:lines() do last = line end
  pipe:close()
  local result = last and json.decode(last)
  if type(result) ~= "table" then stop("this printed no figures: %s", command) end
  return result
end

-- moonrank chooses OpenBLAS's kernels itself; a choice in the environment would stand.
local function our_program(line, folder)
  return "env -u OPENBLAS_CORETYPE luajit "
    .. ("'%sbench/%s_speed.lua' --data '%s' --threads %d"):format(root,
      line.file and "text" or "train", folder, line.threads)
end

-- Samples a second of one PyTorch, the fastest of the line's programs, which the first round finds;
-- milliseconds of scoring.
local function fastest(line, given, column, torch, folder)
  local function speed_of(program)
    local figures = run(torch.command("best", root, folder, line, given, program))
    return figures.samples_per_s or figures.p50_ms
  end
  line.program = line.program or {}
  local known = line.program[column]
  if known then return speed_of(known) end
  local most
  for i, program in ipairs(line.programs) do
    if i > 1 and given.quick then break end
    local speed_here = speed_of(program)
    if not most or (speed_here > most) == not line.ads then
      most, line.program[column] = speed_here, program
    end
  end
  return most
end

local function peers_of_training(line, given, folder, torch, note)
  if torch.debian then
    note("best", fastest(line, given, "best", torch.debian, folder))
    if not given.quick then
      local figures = run(torch.debian.command("default", root, folder, line, given,
        line.program.best))
      note("default", figures.samples_per_s or figures.p50_ms)
    end
  end
  if torch.newer then note("newer", fastest(line, given, "newer", torch.newer, folder)) end
end

local function our_din(line, given, folder, more)
  return run(("env -u OPENBLAS_CORETYPE luajit '%sbench/din_speed.lua' --data '%s' --threads %d "
    .. "--seconds %g --windows %d --warm-up %g %s"):format(root, folder, line.threads,
    given.seconds, given.windows, given.warm_up, more))
end

-- Our side is the same for both layouts of the peers; a quick run measures it once.
local din_speeds = {}

local function speed_of_din(line, given, folder)
  if not (given.quick and din_speeds[line.batch]) then
    local more = ("--batch %d --lanes %d"):format(line.batch, line.lanes or 0)
    din_speeds[line.batch] = our_din(line, given, folder, more).samples_per_s
  end
  return din_speeds[line.batch]
end

local function read_text(line, folder, more)
  return run(("%s --file %s --model %s %s"):format(our_program(line, folder), line.file, line.model,
    more or ""))
end

local function times_wanted(line) return ("%g x"):format(line.wanted) end

local KINDS = {
  training = {
    data = "clicks",
    measure = function(line, given, folder)
      return run(("%s --model %s --optimizer %s --batch %d --seconds %g --windows %d --warm-up %g")
        :format(our_program(line, folder), line.model, line.optimizer, BATCH, given.seconds,
          given.windows, given.warm_up)).samples_per_s
    end,
    peer = peers_of_training,
    wanted = times_wanted,
    bound = function(line, limits, folder)
      return roofline.bound(line.model, line.optimizer, limits, distinct_ids(folder))
    end,
  },
  behaviours = {
    data = "behaviours",
    measure = speed_of_din,
    peer = peers_of_training,
    wanted = times_wanted,
    bound = function(line, limits, folder)
      return roofline.bound(line.model, line.optimizer, limits,
        distinct_behaviours(folder, line.batch))
    end,
  },
  scoring = {
    data = "behaviours",
    measure = function(line, given, folder)
      local figures = our_din(line, given, folder, "--score " .. line.ads)
      if not line.details or figures.p50_ms < line.details.p50_ms then line.details = figures end
      return figures.p50_ms
    end,
    peer = peers_of_training,
    wanted = function(line) return line.wanted and ("< %g ms"):format(line.wanted) or "-" end,
    figure = function(value) return ("%.2f ms"):format(value) end,
    bound = function(line, limits) return roofline.scoring(line.ads, 100, limits) end,
  },
  text = {
    data = "clicks",
    measure = function(line, _, folder) return read_text(line, folder).rows_per_s end,
    peer = function(line, given, folder, _, note)
      if line.peer == "liblinear" and not given.alone and peers.liblinear() then
        note("best", peers.run_liblinear(folder, clock))
        line.program = { best = "liblinear" }
      end
    end,
    wanted = function(line) return ("%.1fM/s"):format(line.wanted / 1e6) end,
    bound = function(line, limits) return roofline.text(line.file, limits, line.threads) end,
  },
  text_and_cache = {
    data = "clicks",
    measure = function(line, _, folder, note)
      local figures = read_text(line, folder, "--cached")
      note("best", figures.cached_rows_per_s)
      line.program = { best = "cache" }
      return figures.rows_per_s
    end,
    wanted = times_wanted,
  },
  command = {
    -- The fastest of ten: what else the machine does is not the command's.
    measure = function(line)
      local least = math.huge
      for _ = 1, 10 do
        local start = clock.now()
        shell(("'%s'%s >/dev/null"):format(root == "" and "./moonrank" or root .. "moonrank",
          line.command:match "^moonrank(.*)$"))
        least = math.min(least, 1e3 * (clock.now() - start))
      end
      return least
    end,
    wanted = function(line) return ("< %g ms"):format(line.wanted) end,
    figure = function(value) return ("%.1f ms"):format(value) end,
  },
}

local function kind_of(line)
  if line.ads then return KINDS.scoring end
  if line.model == "din" then return KINDS.behaviours end
  if line.file then return line.peer == "cache" and KINDS.text_and_cache or KINDS.text end
  return line.model and KINDS.training or KINDS.command
end

local function figure_of(line, value)
  local figure = kind_of(line).figure
  return figure and figure(value) or grouped(value)
end

-- The folders of the data that the lines need, by the names of DATA.
local function make_data(lines, rows)
  local folders = {}
  for _, line in ipairs(lines) do
    local data = kind_of(line).data
    if data and not folders[data] then folders[data] = DATA[data](rows) end
  end
  return folders
end

-- One round of a line; what was measured goes to its lists.
local function round(given, line, folders, torch)
  local kind = kind_of(line)
  local folder = folders[kind.data]
  local function note(what, value)
    line[what] = line[what] or {}
    table.insert(line[what], value)
  end
  note("moonrank", kind.measure(line, given, folder, note))
  if kind.peer then kind.peer(line, given, folder, torch, note) end
end

-- Measure the limits of one and two threads; the most that is found stands. At both ends of a
-- round, a second and a half each: a moment in which others use the machine, or both threads one
-- core, says nothing about it.
local function raise_limits(limits)
  for threads, so_far in ipairs(limits) do
    local pool = require "moonrank.pool".new(threads)
    for name, value in pairs(speed.limits(pool)) do
      so_far[name] = math.max(so_far[name] or 0, value)
    end
    pool:close()
  end
end

-- What a bare program makes of the text, and the time of a thread for decompressing it: the most
-- and the least that is found stand.
local function raise_text_limits(given, limits, folder)
  local build = os.getenv "MOONRANK_BUILD" or root .. "build"
  shell(("cmake --build '%s' --target bare_text >/dev/null"):format(build))
  local figures = run(("'%s/bench/bare_text' '%s' %g"):format(build, folder, given.seconds))
  local start = clock.now()
  shell(("zstd -q -t '%s/train.csv.zst'"):format(folder))
  local seconds = (clock.now() - start) / figures.rows
  for threads, rows_per_s in ipairs(figures.rows_per_s) do
    local so_far = limits[threads]
    so_far.text = math.max(so_far.text or 0, rows_per_s)
    so_far.unpack = math.min(so_far.unpack or math.huge, seconds)
  end
end

-- ---- what is printed ----

local function print_machine(given, torch)
  local file = io.open "/proc/cpuinfo"
  local cpu = file and file:read "*a":match "model name%s*:%s*([^\n]*)" or "unknown"
  if file then file:close() end
  local blas = mr.C.mr_blas()
  say("machine   %s, %d cores, %s", cpu, require "moonrank.pool".cpus(), mr.string(mr.C.mr_isa()))
  say("moonrank  %s, %s; %s", mr.string(mr.C.mr_version()), mr.string(mr.C.mr_compiler()),
    blas ~= nil and mr.string(blas) or mr.last_error())
  say("PyTorch   %s", torch.debian and torch.debian.about or "not installed")
  say("newer     %s", torch.newer and torch.newer.version .. ", in the same environment"
    or "not found")
  say("liblinear %s", given.quick and "left out" or not given.alone and peers.liblinear()
    or "not installed")
  say("rounds    %d, windows of %g s: %d", given.rounds, given.seconds, given.windows)
end

local function print_limits(limits, clicks)
  for threads = 1, 2 do
    local l = limits[threads]
    say("limits %d  %.0f GFLOP/s (in registers %.0f), cache %.0f GB/s, memory %.0f GB/s, "
      .. "random rows %.0f M/s", threads, l.layer_flops / 1e9, l.flops / 1e9,
      l.cache_bytes / 1e9, l.memory_bytes / 1e9, l.rows / 1e6)
  end
  if clicks then say("          %.2f distinct keys a sample in a batch", distinct_ids(clicks)) end
end

local function median(list) return list and speed.median(list) end

local function row_of(line, limits, folders)
  local kind = kind_of(line)
  local row = { line = line, name = line.name, threads = line.threads,
    moonrank = median(line.moonrank), best = median(line.best), default = median(line.default),
    newer = median(line.newer), program = line.program and line.program.best,
    wanted = kind.wanted(line), has_peer = line.programs ~= nil or line.peer ~= nil }
  if kind.bound then
    row.bound, row.binds = kind.bound(line, limits[line.threads], folders[kind.data])
    row.share = line.ads and row.bound / row.moonrank or row.moonrank / row.bound
  end
  return row
end

local function best_of(r)
  if r.best then return figure_of(r.line, r.best) end
  return r.has_peer and "not installed" or "-"
end

-- moonrank's speed as a multiple of that of a column; of times, the other way round.
local function ratio_to(column)
  return { "ratio", "%.2f", function(r)
    if not r[column] then return nil end
    return r.line.ads and r[column] / r.moonrank or r.moonrank / r[column]
  end, width = 6 }
end

-- A column of the line's own figures, to the right.
local function figure_column(title, name, width)
  return { title, "%s", function(r)
    return ("%" .. width .. "s"):format(r[name] and figure_of(r.line, r[name]) or "-")
  end, width = width }
end

-- The best round's scoring, beside its median.
local function print_details(line)
  local d = line.details
  if d then
    say("%-12s  99th percentile %.2f ms, the machine's own %.2f ms; each ad as a request %.2f ms",
      line.name, d.p99_ms, d.jitter_p99_ms, d.row_by_row_ms)
  end
end

local function print_table(rows, torch)
  say ""
  local columns = {
    { "line", "%s", function(r) return r.name end, width = 12 },
    { "threads", "%d", function(r) return r.threads end },
    figure_column(" samples/s", "moonrank", 10),
    { "peer, best", "%s", best_of, width = 13 },
    { "program", "%s", function(r) return r.program or "-" end, width = 9 },
    ratio_to "best",
    { "wanted", "%s", function(r) return r.wanted end, width = 7 },
    figure_column("default", "default", 8),
    ratio_to "default",
  }
  if torch.newer then
    columns[#columns + 1] = figure_column("newer", "newer", 8)
    columns[#columns + 1] = ratio_to "newer"
  end
  for _, column in ipairs {
    figure_column("roofline", "bound", 10),
    { "share", "%.0f%%", function(r) return r.share and 100 * r.share end },
    { "binds", "%s", function(r) return r.binds or "-" end },
  } do columns[#columns + 1] = column end
  local report = report_table.new(columns)
  say("%s", report.heading())
  for _, row in ipairs(rows) do say("%s", report.row(row)) end
end

-- ---- all together ----

-- All lines where none are named; a quick run leaves out those of which nothing is wanted.
local function choose(only, quick)
  local chosen, names = {}, {}
  if only == "" then
    for _, line in ipairs(LINES) do
      if line.wanted or not quick then chosen[#chosen + 1] = line end
    end
    return chosen
  end
  for _, line in ipairs(LINES) do names[#names + 1] = line.name end
  for name in only:gmatch "[^,]+" do
    local found
    for _, line in ipairs(LINES) do found = found or line.name == name and line end
    if not found then stop('no line "%s", there are %s', name, table.concat(names, ", ")) end
    chosen[#chosen + 1] = found
  end
  return chosen
end

local given = words.parse(arg, { quick = false, only = "", rounds = 3, seconds = 2, windows = 3,
  warm_up = 1, rows = 1000000, alone = false })
if given.quick then
  given.rounds, given.seconds, given.windows, given.warm_up = 1, 0.4, 2, 0.4
  given.rows = math.min(given.rows, 200000)
end
local lines, torch = choose(given.only, given.quick), {}
for _, line in ipairs(lines) do
  if given.quick and line.peer == "liblinear" then line.peer = nil end -- nothing is wanted of it
end
if not given.alone then
  torch.debian = peers.torch()
  torch.newer = peers.newer_torch(torch.debian)
end
-- Whether lines are held against the machine's limits, and against the bare program of text.
local bounded, reads_text = false, false
for _, line in ipairs(lines) do
  local is_text = kind_of(line) == KINDS.text
  reads_text = reads_text or is_text
  bounded = bounded or kind_of(line).bound ~= nil and not is_text
end
print_machine(given, torch)
local folders, limits = make_data(lines, given.rows), { {}, {} }
for number = 1, given.rounds do
  if bounded then raise_limits(limits) end
  if reads_text then raise_text_limits(given, limits, folders.clicks) end
  for _, line in ipairs(lines) do
    local start = clock.now()
    round(given, line, folders, torch)
    say("round %d  %-12s %13s  %3.0f s", number, line.name,
      figure_of(line, line.moonrank[#line.moonrank]), clock.now() - start)
  end
  if bounded then raise_limits(limits) end
end
if bounded then print_limits(limits, folders.clicks) end
local rows = {}
for i, line in ipairs(lines) do rows[i] = row_of(line, limits, folders) end
print_table(rows, torch)
for _, line in ipairs(lines) do print_details(line) end
