--- Figures of many rows: seconds and memory of AUC, GAUC and logloss, for one thread and for all;
-- beside them scikit-learn's AUC of the same rows, as far as it is installed.
--
--     luajit bench/metric_speed.lua [--rows 100000000] [--groups 1000000] [--peer-rows 10000000]
--
-- Logits are about normal, one fifth of the rows are clicks with logits that lie higher; groups
-- come by a power law, in no order. "cpu s" is the processor time of all threads; memory is what
-- the metric takes beside the rows, at its peak.
local root = debug.getinfo(1, "S").source:match "^@(.*)bench/[^/]*$" or ""
package.path = root .. "lua/?.lua;" .. root .. "lua/?/init.lua;" .. root .. "bench/?.lua;"
  .. package.path
local Pool = require "moonrank.pool"
local clock = require "moonrank.clock"
local metric = require "moonrank.metric"
local mr = require "moonrank.ffi"
local peers = require "peers.peers"
local report_table = require "moonrank.report_table"
local small_run = require "small_run"
local words = require "words"

local function make_rows(n, n_groups)
  local rows = { n = n, scores = mr.new("float[?]", n), labels = mr.new("float[?]", n),
    groups = mr.new("uint64_t[?]", n) }
  math.randomseed(1)
  local random = math.random
  for i = 0, n - 1 do
    local label = random() < 0.2 and 1 or 0
    rows.labels[i] = label
    rows.scores[i] = 2 * (random() + random() + random() + random()) - 6 + label
    rows.groups[i] = math.floor(random() ^ 3 * n_groups)
  end
  return rows
end

local MEASURES = {
  { "AUC", function(r, n, pool) return assert(metric.auc(r.scores, r.labels, n, pool)) end },
  { "GAUC", function(r, n, pool)
    return assert(metric.gauc(r.scores, r.labels, r.groups, n, pool)).gauc
  end },
  { "logloss", function(r, n, pool)
    return assert(metric.logloss(r.scores, r.labels, n, pool)).logloss
  end },
}

local function measure(what, rows, n, threads)
  local pool = Pool.new(threads)
  small_run.forget_peak()
  local before, start, cpu = small_run.resident(), clock.now(), os.clock()
  local value = what[2](rows, n, pool.handle)
  local seconds = clock.now() - start
  cpu = os.clock() - cpu
  local bytes = small_run.peak() - before
  pool:close()
  return { what = what[1], rows = n, threads = threads, value = value, seconds = seconds, cpu = cpu,
    bytes = bytes / n }
end

local given = words.parse(arg, { rows = 1e8, groups = 1e6, peer_rows = 1e7 })
local rows = make_rows(given.rows, given.groups)
small_run.print_machine(Pool.cpus())
local report = report_table.new {
  { "figure", "%s", function(r) return r.what end, width = 12 },
  { "rows", ",", function(r) return r.rows end, width = 11 },
  { "threads", "%d", function(r) return r.threads end },
  { "seconds", "%.2f", function(r) return r.seconds end },
  { "cpu s", "%.2f", function(r) return r.cpu end },
  { "rows/s", ",", function(r) return r.rows / r.seconds end, width = 11 },
  { "bytes/row", "%.1f", function(r) return r.bytes end },
  { "value", "%.9f", function(r) return r.value end, width = 11 },
}
print(report.heading())
local peer_rows = math.min(given.peer_rows, given.rows)
local auc
for _, n in ipairs(peer_rows < given.rows and { peer_rows, given.rows } or { given.rows }) do
  for _, what in ipairs(MEASURES) do
    for threads = 1, Pool.cpus() do
      local found = measure(what, rows, n, threads)
      print(report.row(found))
      if what[1] == "AUC" and n == peer_rows then auc = found.value end
    end
  end
end

local peer = peers.sklearn_auc(rows.scores, rows.labels, peer_rows)
if peer then
  print(report.row { what = "scikit-learn", rows = peer_rows, threads = 1, value = peer.auc,
    seconds = peer.seconds, cpu = peer.cpu, bytes = peer.bytes / peer_rows })
  print(("scikit-learn %s; its AUC and ours differ by %.1e"):format(peer.version,
    math.abs(peer.auc - auc)))
else
  print "scikit-learn is not installed"
end
