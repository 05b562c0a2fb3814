--- Rows and bytes a second of each format, over rows of a label and 39 ids: from text to the column
-- cache, and from the cache as batches. The table of docs/performance.md, a line a format:
--
--     format  file MB  text MB | to the cache: cpu s, rows a cpu s, rows/s, text GB/s, file GB/s |
--     from it: rows/s, GB/s | with --cold the same from disk
--
--     luajit bench/format_speed.lua [--rows 1000000] [--threads 1] [--repeat 3] [--cold]
--                                    [--dir DIR] [--generate PROGRAM]
--
-- The rows are those of bench/generate.c, which is compiled unless --generate names it. They lie in
-- a folder of their own in DIR, or among the system's temporary files. Column caches are made anew;
-- formats take turns, and the best of the rounds is what counts. libsvm is read as one bag a row,
-- libffm as 39 ids. Files are in memory; with --cold each is on disk alone when it is read, and so
-- is the column cache, which is read once as it was written, in memory, and once from disk.
local root = debug.getinfo(1, "S").source:match "^@(.*)bench/[^/]*$" or ""
package.path = root .. "lua/?.lua;" .. root .. "lua/?/init.lua;" .. root .. "bench/?.lua;"
  .. package.path
local words = require "words"
local clock = require "moonrank.clock"
local lfs = require "lfs"
local mr = require "moonrank"
local path_of = require "moonrank.path"
local Progress = require "moonrank.progress"

local FIELDS = 39
local given = words.parse(arg, { rows = 1e6, threads = 1, ["repeat"] = 3, cold = false, dir = "",
  generate = "" })
local dir = assert(path_of.temporary_folder(given.dir ~= "" and given.dir or nil))

local function run(command, ...)
  command = command:format(...)
  if os.execute(command) ~= 0 then error("this failed: " .. command, 0) end
end

-- The same rows in every format, in `dir`.
local function write_files()
  local generate = given.generate
  if generate == "" then
    generate = dir .. "/generate"
    run("${CC:-cc} -O2 %sbench/generate.c -o %s -lm", root == "" and "./" or root, generate)
  end
  run("%s %s %d >%s/said", generate, dir, given.rows, dir)
  run("cd %s && tr , '\\t' <train.csv >train.tsv", dir)
  run("cd %s && awk -F, 'NR > 1 { printf \"%%s\", $1; for (i = 2; i <= NF; i++) "
    .. "printf \" %%d:%%s:1\", i - 2, $i; print \"\" }' train.csv >train.ffm", dir)
  run("cd %s && awk -F, 'NR > 1 { printf \"{\\\"label\\\":%%s\", $1; for (i = 2; i <= NF; i++) "
    .. "printf \",\\\"c%%d\\\":\\\"%%s\\\"\", i - 1, $i; print \"}\" }' train.csv "
    .. ">train.jsonl", dir)
  for ending, command in pairs { gz = "gzip -c", zst = "zstd -q -c", lz4 = "lz4 -q -c" } do
    run("cd %s && %s train.csv >train.csv.%s", dir, command, ending)
  end
end

-- A fields file of these columns; `source_of` names what a field reads.
local function write_fields(name, source_of)
  local lines = { "data: {train: train.csv}\nlabel: label\nfields:" }
  for i = 1, source_of and FIELDS or 0 do
    lines[#lines + 1] = ("  - {name: c%d, side: ad, type: id, source: %s}"):format(i, source_of(i))
  end
  if not source_of then
    lines[#lines + 1] = "  - {name: all, side: ad, type: ids, source: features}"
  end
  local file = assert(io.open(("%s/%s.yaml"):format(dir, name), "w"))
  file:write(table.concat(lines, "\n"), "\n")
  file:close()
end

local function size(name) return lfs.attributes(dir .. "/" .. name, "size") end

-- { name, file, fields file, the file that has its text }
local FORMATS = {
  { "csv", "train.csv", "cells" },
  { "csv.gz", "train.csv.gz", "cells", "train.csv" },
  { "csv.zst", "train.csv.zst", "cells", "train.csv" },
  { "csv.lz4", "train.csv.lz4", "cells", "train.csv" },
  { "tsv", "train.tsv", "cells" },
  { "jsonl", "train.jsonl", "cells" },
  { "libsvm", "train.svm", "bag" },
  { "libffm", "train.ffm", "pairs" },
}

-- Write a file to disk and take it out of memory: posix_fadvise, by way of dd. File systems that
-- are memory themselves keep it.
local function forget(path)
  run("dd of='%s' oflag=nocache conv=notrunc,fdatasync count=0 2>%s/said", path, dir)
  local pipe = io.popen(("fincore --bytes --noheadings --output res '%s'"):format(path))
  local left = tonumber(pipe:read "*a")
  pipe:close()
  if not left then error("fincore does not say what is in memory of " .. path, 0) end
  if left > 0 then
    error(("%d bytes of %s stay in memory: --cold wants a --dir on a disk"):format(left, path), 0)
  end
end

local function open(format, cache)
  return assert(mr.dataset(("%s/%s.yaml"):format(dir, format[3]), { threads = given.threads,
    set = { "data.train=" .. format[2], "data.cache=" .. cache } }))
end

-- Seconds of reading a cache.
local function read(data)
  local split = data.train
  local start = clock.now()
  for _ in split:loader { batch = 4096 } do end
  local seconds = clock.now() - start
  data:close()
  return seconds
end

-- Its column cache, alone among locks.
local function cache_file(cache)
  for entry in lfs.dir(cache) do
    if entry:find "%.columns$" then return cache .. "/" .. entry end
  end
end

-- Seconds, and those of all processors, of building the cache; seconds of reading it, and of
-- reading it from disk; its bytes.
local function measure(format)
  local cache = dir .. "/cache"
  if given.cold then forget(dir .. "/" .. format[2]) end
  local data = open(format, cache)
  local start, cpu = clock.now(), clock.processor()
  local split = data.train
  local figures = { build = clock.now() - start, cpu = clock.processor() - cpu }
  assert(split:samples() == given.rows)
  figures.read = read(data)
  local file = cache_file(cache)
  figures.bytes = lfs.attributes(file, "size")
  if given.cold then
    forget(file)
    figures.read_cold = read(open(format, cache))
  end
  path_of.remove_folder(cache)
  return figures
end

-- 7070123 as 7,070,000.
local function thousands(rate) return Progress.grouped(math.floor(rate / 1000 + 0.5) * 1000) end

local function print_table(best)
  local head = { "format", "file MB", "text MB", "to the cache, processor s",
    "rows a processor second", "rows/s", "text GB/s", "file GB/s", "from the cache, rows/s",
    "GB/s" }
  if given.cold then
    head[#head + 1], head[#head + 2] = "cache on disk, rows/s", "GB/s"
  end
  print("| " .. table.concat(head, " | ") .. " |")
  print("|---|" .. ("---:|"):rep(#head - 1))
  for i, format in ipairs(FORMATS) do
    local file, text, b = size(format[2]), size(format[4] or format[2]), best[i]
    local line = { format[1], ("%.0f"):format(file / 1e6), ("%.0f"):format(text / 1e6),
      ("%.2f"):format(b.cpu), thousands(given.rows / b.cpu), thousands(given.rows / b.build),
      ("%.3f"):format(text / b.build / 1e9), ("%.3f"):format(file / b.build / 1e9),
      thousands(given.rows / b.read), ("%.2f"):format(b.bytes / b.read / 1e9) }
    if given.cold then
      line[#line + 1] = thousands(given.rows / b.read_cold)
      line[#line + 1] = ("%.2f"):format(b.bytes / b.read_cold / 1e9)
    end
    print("| " .. table.concat(line, " | ") .. " |")
  end
end

local ok, message = pcall(function()
  write_files()
  write_fields("cells", function(i) return "c" .. i end)
  write_fields("pairs", function(i) return i - 1 end)
  write_fields "bag"
  local best = {}
  for _ = 1, given["repeat"] do
    for i, format in ipairs(FORMATS) do
      local figures = measure(format)
      best[i] = best[i] or figures
      for name, value in pairs(figures) do best[i][name] = math.min(best[i][name], value) end
    end
  end
  print_table(best)
end)
path_of.remove_folder(dir)
if not ok then
  io.stderr:write("bench: ", tostring(message), "\n")
  os.exit(1)
end
