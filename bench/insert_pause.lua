--- The longest pause while new keys come: training steps on batches of keys that no table has seen,
-- until it holds `keys` of them, each step timed. Beside it what the machine itself does: after
-- every step a loop that only reads the clock runs for as long as the step took, and the longest
-- gap between two readings is the jitter.
--
--     luajit bench/insert_pause.lua [--keys 50000000] [--batch 4096] [--dim 4] [--threads 2]
--
-- One line: the median, the 99.9th percentile and the longest step, the most processor time that
-- one took, and the jitter, in milliseconds; keys a second; bytes a key, the most by the engine's
-- own reckoning and the growth of the process.
local root = debug.getinfo(1, "S").source:match "^@(.*)bench/[^/]*$" or ""
package.path = root .. "lua/?.lua;" .. root .. "lua/?/init.lua;" .. root .. "bench/?.lua;"
  .. package.path
local clock = require "moonrank.clock"
local mr = require "moonrank.ffi"
local report_table = require "moonrank.report_table"
local small_run = require "small_run"
local words = require "words"
local C = mr.C

-- Longest gap between two readings of the clock within `seconds`.
local function longest_gap(seconds)
  local start = clock.now()
  local before, longest = start, 0
  repeat
    local now = clock.now()
    longest = math.max(longest, now - before)
    before = now
  until now - start >= seconds
  return longest
end

local function measure(given)
  local made = small_run.make({ { "id", C.MR_ID }, { "label", C.MR_LABEL } }, given.batch,
    given.threads, function(m)
      m:logloss(m:sum(m:lookup { column = "id", dim = given.dim }), m:column { column = "label" })
    end)
  local resident = small_run.resident()
  local keys, steps, cpu = C.mr_batch_keys(made.batch, 0), {}, {}
  local loss, seconds, jitter = mr.new "double[1]", 0, 0
  for i = 1, math.floor(given.keys / given.batch) do
    small_run.new_keys(keys, (i - 1) * given.batch, given.batch)
    local start, cpu_start = clock.now(), os.clock()
    mr.check(C.mr_run_step(made.run, made.batch, loss))
    steps[i], cpu[i] = clock.now() - start, os.clock() - cpu_start
    seconds = seconds + steps[i]
    jitter = math.max(jitter, longest_gap(steps[i]))
  end
  resident = small_run.resident() - resident
  local n = #steps * given.batch
  table.sort(steps)
  table.sort(cpu)
  return { keys = n, batch = given.batch, median = 1e3 * steps[math.ceil(#steps / 2)],
    rare = 1e3 * steps[math.ceil(0.999 * #steps)], longest = 1e3 * steps[#steps],
    cpu = 1e3 * cpu[#cpu], jitter = 1e3 * jitter, rate = n / seconds,
    most_bytes = tonumber(C.mr_model_table_bytes(made.model, 0, n)) / n, bytes = resident / n }
end

local given = words.parse(arg, { keys = 5e7, batch = 4096, dim = 4, threads = 2 })
small_run.print_machine(given.threads)
local report = report_table.new {
  { "keys", ",", function(c) return c.keys end, width = 10 },
  { "batch", ",", function(c) return c.batch end },
  { "median ms", "%.2f", function(c) return c.median end },
  { "99.9 %", "%.2f", function(c) return c.rare end },
  { "longest", "%.2f", function(c) return c.longest end },
  { "most cpu", "%.2f", function(c) return c.cpu end },
  { "jitter", "%.2f", function(c) return c.jitter end },
  { "keys/s", ",", function(c) return c.rate end, width = 9 },
  { "bytes/key, at most", "%.1f", function(c) return c.most_bytes end },
  { "grown", "%.1f", function(c) return c.bytes end },
}
print(report.heading())
print(report.row(measure(given)))
