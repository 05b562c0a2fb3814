--- Products of a dense layer by shape, one thread: the engine's forward kernel beside OpenBLAS on
-- the same rows, and the backward pass (gradients of input, weights and bias), in GFLOP/s, as
-- the op runs in a graph. bench/products.c has the kernels alone, beside two libraries.
--
--     luajit bench/dense_speed.lua [--rows 4096] [--steps 20]
local root = debug.getinfo(1, "S").source:match "^@(.*)bench/[^/]*$" or ""
package.path = root .. "lua/?.lua;" .. root .. "lua/?/init.lua;" .. root .. "bench/?.lua;"
  .. package.path
local ffi = require "ffi"
local mr = require "moonrank.ffi"
local report_table = require "moonrank.report_table"
local small_run = require "small_run"
local words = require "words"
local C = mr.C

local SHAPES = { { 624, 400 }, { 400, 400 }, { 400, 1 }, { 512, 36 }, { 128, 80 }, { 64, 16 },
  { 200, 80 }, { 1024, 256 } }

ffi.cdef [[
void cblas_sgemm(int order, int trans_a, int trans_b, int m, int n, int k, float alpha,
                 const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);
]]

-- The library that the engine has opened, with the kernels that it chose.
local function open_blas()
  assert(C.mr_blas() ~= nil, mr.last_error())
  local pipe = io.popen "ls -d /usr/lib/*/openblas-pthread/libopenblas.so.0 2>/dev/null"
  local path = pipe:read "*l"
  pipe:close()
  return path and ffi.load(path)
end

local function time_blas(blas, shape, given, slice)
  if not blas then return nil end
  local inputs, outputs = shape[1], shape[2]
  local x, w = ffi.new("float[?]", slice * inputs), ffi.new("float[?]", inputs * outputs)
  local y = ffi.new("float[?]", slice * outputs)
  local turns = math.ceil(given.rows * given.steps / slice)
  local function run(n)
    local start = C.mr_seconds()
    for _ = 1, n do
      blas.cblas_sgemm(101, 111, 111, slice, outputs, inputs, 1, x, inputs, w, outputs, 0, y,
        outputs)
    end
    return C.mr_seconds() - start
  end
  run(3)
  return 2 * turns * slice * inputs * outputs / run(turns) / 1e9
end

local function measure(blas, shape, given)
  local dense
  local made = small_run.make({ { "x", C.MR_VECTOR, shape[1] }, { "r", C.MR_VECTOR, shape[2] } },
    given.rows, 1, function(m)
      local x = m:column { column = "x" }
      m:watch(x)
      dense = m:dense(x, { out = shape[2] })
      m:probe(dense, m:column { column = "r" })
    end)
  for c, width in ipairs(shape) do
    local to = C.mr_batch_floats(made.batch, c - 1)
    for i = 0, given.rows * width - 1 do to[i] = math.random() - 0.5 end
  end
  small_run.train(made, 2)
  mr.check(C.mr_run_profile(made.run, 1))
  small_run.train(made, given.steps)
  local lines = small_run.profile(made)
  local forward, backward = lines["forward " .. dense.id], lines["backward " .. dense.id]
  local slice = tonumber(C.mr_run_slice_rows(made.run))
  return { shape = ("%d -> %d"):format(shape[1], shape[2]), slice = slice,
    forward = forward.flops / forward.seconds / 1e9,
    backward = backward.flops / backward.seconds / 1e9,
    blas = time_blas(blas, shape, given, slice) }
end

local given = words.parse(arg, { rows = 4096, steps = 20 })
small_run.print_machine(1)
local report = report_table.new {
  { "shape", "%s", function(c) return c.shape end, width = 11 },
  { "rows of a slice", "%d", function(c) return c.slice end },
  { "forward", "%.1f", function(c) return c.forward end },
  { "OpenBLAS", "%.1f", function(c) return c.blas end },
  { "backward", "%.1f", function(c) return c.backward end },
}
print(report.heading())
local blas = open_blas()
for _, shape in ipairs(SHAPES) do print(report.row(measure(blas, shape, given))) end
