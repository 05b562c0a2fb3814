--- What the small programs of bench/ share: a graph over a batch that is filled by hand, its
-- profile, and the line about the machine.
-- @module small_run
local mr = require "moonrank.ffi"
local Builder = require "moonrank.builder"
local Pool = require "moonrank.pool"
local bit = require "bit"
local C = mr.C

local M = {}

--- A graph over columns, a batch of `rows` samples, and a run that trains on it with adagrad.
-- @tparam {table,...} columns  each { name, type (MR_ID ...), width }
-- @tparam integer rows
-- @tparam integer threads
-- @tparam function build  receives the builder
-- @treturn table run and batch handles, threads
function M.make(columns, rows, threads, build)
  local out = mr.new "mr_schema *[1]"
  mr.check(C.mr_schema_new(out))
  local schema = { handle = mr.gc(out[0], C.mr_schema_free), fields = {} }
  for _, column in ipairs(columns) do
    mr.check(C.mr_schema_add_column(schema.handle, mr.new("mr_column_spec", { name = column[1],
      type = column[2], width = column[3] or 0, domain = C.MR_SAMPLE })))
  end
  local self = { schema = schema, builder = Builder.new(schema), pool = Pool.new(threads),
    threads = threads }
  build(self.builder)
  out = mr.new "mr_batch *[1]"
  mr.check(C.mr_batch_new(out, schema.handle, rows, nil))
  self.batch = mr.gc(out[0], C.mr_batch_free)
  out = mr.new "mr_model *[1]"
  mr.check(C.mr_model_new(out, self.builder.handle, 1))
  self.model = mr.gc(out[0], C.mr_model_free)
  out = mr.new "mr_run *[1]"
  mr.check(C.mr_run_new(out, self.model, self.pool.handle, mr.new("mr_run_options", {
    batch = rows, dense = { name = "adagrad" } })))
  self.run = mr.gc(out[0], C.mr_run_free)
  return self
end

--- Take steps.
-- @tparam table made  what make returned
-- @tparam integer steps
-- @tparam[opt] function before  called before each
function M.train(made, steps, before)
  local loss = mr.new "double[1]"
  for i = 1, steps do
    if before then before(i) end
    mr.check(C.mr_run_step(made.run, made.batch, loss))
  end
end

--- The lines of the run's profile by name: "probe", "forward 2" (of node 2) ...; seconds are wall
-- time.
-- @treturn table
function M.profile(made)
  local found, line = {}, mr.new "mr_profile_line"
  for i = 0, C.mr_run_profile_lines(made.run) - 1 do
    mr.check(C.mr_run_profile_line(made.run, i, line))
    local what = mr.string(line.what)
    if line.node >= 0 then what = ("%s %d"):format(what, line.node) end
    found[what] = { seconds = line.seconds / made.threads, rows = tonumber(line.rows),
      flops = line.flops }
  end
  return found
end

--- A key as a hash is, each number's another one (the mixer of SplitMix64, one to one).
-- @tparam integer number
-- @treturn uint64_t
function M.key(number)
  local x = (number + 1ULL) * 0x9e3779b97f4a7c15ULL
  x = bit.bxor(x, bit.rshift(x, 30)) * 0xbf58476d1ce4e5b9ULL
  x = bit.bxor(x, bit.rshift(x, 27)) * 0x94d049bb133111ebULL
  return bit.bxor(x, bit.rshift(x, 31))
end

--- The keys of `n` numbers.
-- @param keys  uint64_t *, overwritten
-- @tparam integer first  the first number
-- @tparam integer n
function M.new_keys(keys, first, n)
  for i = 0, n - 1 do keys[i] = M.key(first + i) end
end

-- A figure in kilobytes of this process's status.
local function status(name)
  local file = assert(io.open "/proc/self/status")
  local kilobytes = file:read "*a":match(name .. ":%s*(%d+)")
  file:close()
  return tonumber(kilobytes) * 1024
end

--- Bytes of memory that this process has in use.
-- @treturn integer
function M.resident() return status "VmRSS" end

--- The most bytes in use since forget_peak was called.
-- @treturn integer
function M.peak() return status "VmHWM" end

--- Begin a new peak.
function M.forget_peak()
  local file = io.open("/proc/self/clear_refs", "w") -- not everywhere: then the peak is the whole's
  if not file then return end
  file:write "5"
  file:close()
end

--- Print the line about the machine.
-- @tparam integer threads
function M.print_machine(threads)
  print(("%s; %s; %s"):format(
    require "moonrank.speed".machine { pool = { threads = threads } }, mr.string(C.mr_compiler()),
    mr.string(C.mr_blas())))
end

return M
