--- Rows and bytes a second of each format, over rows of a label and 39 ids: from text to the column
-- cache, and from the cache as batches. A line a format:
--
--     format  file MB  text MB | to the cache: rows/s, text GB/s, file GB/s, cpu s | rows/s from it
--
--     luajit bench/format_speed.lua [--rows 1000000] [--threads 1] [--repeat 3]
--                                    [--generate PROGRAM]
--
-- The rows are those of bench/generate.c, which is compiled unless --generate names it. Files are
-- in the page cache, column caches are made anew; formats take turns, and the best of the rounds
-- is what counts. libsvm is read as one bag a row, libffm as 39 ids.
local root = debug.getinfo(1, "S").source:match "^@(.*)bench/[^/]*$" or ""
package.path = root .. "lua/?.lua;" .. root .. "lua/?/init.lua;" .. root .. "bench/?.lua;"
  .. package.path
local words = require "words"
local clock = require "moonrank.clock"
local lfs = require "lfs"
local mr = require "moonrank"
local path_of = require "moonrank.path"

local FIELDS = 39
local given = words.parse(arg, { rows = 1e6, threads = 1, ["repeat"] = 3, generate = "" })
local dir = path_of.temporary_folder()

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

-- Seconds, and those of all processors, of building the cache; seconds of reading it.
local function measure(format)
  local cache = dir .. "/cache"
  local data = assert(mr.dataset(("%s/%s.yaml"):format(dir, format[3]), { threads = given.threads,
    set = { "data.train=" .. format[2], "data.cache=" .. cache } }))
  local start, cpu = clock.now(), clock.processor()
  local split = data.train
  local built, built_cpu = clock.now(), clock.processor()
  assert(split:samples() == given.rows)
  for _ in split:loader { batch = 4096 } do end
  local read = clock.now()
  data:close()
  path_of.remove_folder(cache)
  return built - start, built_cpu - cpu, read - built
end

local ok, message = pcall(function()
  write_files()
  write_fields("cells", function(i) return "c" .. i end)
  write_fields("pairs", function(i) return i - 1 end)
  write_fields "bag"
  local best = {}
  for _ = 1, given["repeat"] do
    for i, format in ipairs(FORMATS) do
      local figures = { measure(format) }
      best[i] = best[i] or figures
      for k, value in ipairs(figures) do best[i][k] = math.min(best[i][k], value) end
    end
  end
  print(("%-8s %8s %8s  %9s %9s %9s %6s  %10s"):format("format", "file MB", "text MB", "rows/s",
    "text GB/s", "file GB/s", "cpu s", "from cache"))
  for i, format in ipairs(FORMATS) do
    local file, text, b = size(format[2]), size(format[4] or format[2]), best[i]
    print(("%-8s %8.1f %8.1f  %9.0f %9.3f %9.3f %6.2f  %10.0f"):format(format[1], file / 1e6,
      text / 1e6, given.rows / b[1], text / b[1] / 1e9, file / b[1] / 1e9, b[2],
      given.rows / b[3]))
  end
end)
path_of.remove_folder(dir)
if not ok then
  io.stderr:write("bench: ", tostring(message), "\n")
  os.exit(1)
end
