--- What this machine does at most, by the engine's own loops (mr_limits_measure): the yardsticks of
-- docs/performance.md. One line for each number of threads.
--
--     luajit bench/limits.lua
local root = debug.getinfo(1, "S").source:match "^@(.*)bench/[^/]*$" or ""
package.path = root .. "lua/?.lua;" .. root .. "lua/?/init.lua;" .. root .. "bench/?.lua;"
  .. package.path
local Pool = require "moonrank.pool"
local report_table = require "moonrank.report_table"
local small_run = require "small_run"
local speed = require "moonrank.speed"

local report = report_table.new {
  { "threads", "%d", function(l) return l.threads end },
  { "GFLOP/s", "%.0f", function(l) return l.layer_flops / 1e9 end },
  { "in registers", "%.0f", function(l) return l.flops / 1e9 end },
  { "cache GB/s", "%.0f", function(l) return l.cache_bytes / 1e9 end },
  { "memory GB/s", "%.1f", function(l) return l.memory_bytes / 1e9 end },
  { "random rows M/s", "%.0f", function(l) return l.rows / 1e6 end },
}
small_run.print_machine(Pool.cpus())
print(report.heading())
for threads = 1, Pool.cpus() do
  local pool = Pool.new(threads)
  local limits = speed.limits(pool)
  pool:close()
  limits.threads = threads
  print(report.row(limits))
end
