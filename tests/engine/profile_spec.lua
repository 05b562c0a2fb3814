-- Where the time of a run goes: what is counted is held against what the graph says.
local g = require "graph_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local C = mr.C

local ROWS, STEPS = 300, 3

-- id [4] ++ x [2] -> dense 5 -> relu -> dense 1 -> logloss
local function make(threads)
  local schema = g.schema { { name = "ad", type = "id" },
    { name = "x", type = "vector", width = 2 }, { name = "click", type = "label" } }
  local b = g.builder(schema)
  local nodes = {}
  nodes.lookup = b:lookup { column = "ad", dim = 4 }
  nodes.x = b:column { column = "x" }
  nodes.concat = b:concat { nodes.lookup, nodes.x }
  nodes.hidden = b:dense(nodes.concat, { out = 5 })
  nodes.relu = b:relu(nodes.hidden)
  nodes.logit = b:dense(nodes.relu, { out = 1 })
  b:logloss(nodes.logit, b:column { column = "click" })
  local batch, random = g.batch(schema, ROWS), helper.random(5)
  local keys = C.mr_batch_keys(batch, 0)
  for i = 0, ROWS - 1 do keys[i] = g.key(schema, "ad", "a" .. random(20)) end
  g.fill(batch, schema, "x", 2 * ROWS, function() return random() - 0.5 end)
  g.fill(batch, schema, "click", ROWS, function() return random(2) - 1 end)
  local run = g.run(g.model(b), { batch = ROWS, threads = threads, optimizer = "adagrad" })
  return run, batch, nodes
end

local function lines_of(run)
  local found, line = {}, mr.new "mr_profile_line"
  for i = 0, C.mr_run_profile_lines(run.handle) - 1 do
    mr.check(C.mr_run_profile_line(run.handle, i, line))
    local what = mr.string(line.what)
    if line.node >= 0 then what = what .. " " .. line.node end
    found[what] = { calls = tonumber(line.calls), rows = tonumber(line.rows),
      seconds = line.seconds, flops = line.flops, bytes = line.bytes }
  end
  return found
end

local function train(run, batch)
  for _ = 1, STEPS do
    g.gradient(run, batch)
    g.update(run)
  end
end

describe("the profile of a run", function()
  for _, threads in ipairs { 1, 2 } do
    it(("counts rows, products and bytes with %d threads"):format(threads), function()
      local run, batch, n = make(threads)
      mr.check(C.mr_run_profile(run.handle, 1))
      local start = C.mr_seconds()
      train(run, batch)
      local seconds = C.mr_seconds() - start
      local lines, rows = lines_of(run), STEPS * ROWS
      local function of(pass, node) return lines[("%s %d"):format(pass, node.id)] end
      for name, node in pairs(n) do
        if name ~= "relu" then assert.equal(rows, of("forward", node).rows) end
      end
      -- Weights 6 x 5 + 5 and 5 x 1 + 1; the first layer's input has a gradient, for the lookup.
      assert.equal(2 * 35 * rows, of("forward", n.hidden).flops)
      assert.equal(4 * 35 * rows, of("backward", n.hidden).flops)
      assert.equal(4 * 6 * rows, of("backward", n.logit).flops)
      assert.equal(0, of("forward", n.relu).calls) -- the dense layers do it
      assert.equal(0, of("backward", n.relu).calls)
      assert.equal(4 * (6 + 5) * rows, of("forward", n.hidden).bytes)
      assert.equal(4 * (5 + 6 + 6) * rows, of("backward", n.hidden).bytes) -- dy, x and dx
      assert.equal(0, of("backward", n.x).calls)
      -- The lookup is computed inside the concat, x without a gradient is copied.
      assert.equal(4 * (2 + 2) * rows, of("forward", n.concat).bytes)
      for _, what in ipairs { "probe", "wait", "reduce lanes", "update dense", "update rows",
          "pack" } do
        assert.equal(STEPS, lines[what].calls, what)
        assert.equal(rows, lines[what].rows, what)
      end
      -- A key, a slot, a pointer for each occurrence; a gradient for each, and 20 distinct rows
      -- with one state, read and written. Weights with their gradient and one state.
      assert.equal((8 + 16 + 8) * rows, lines.probe.bytes)
      assert.equal(STEPS * 4 * (4 * ROWS + 20 * 2 * 8), lines["update rows"].bytes)
      local padded = (30 + 15) - (30 + 15) % 16 + 3 * 16 -- each weight starts a line of 16 floats
      assert.equal(STEPS * 4 * 5 * padded, lines["update dense"].bytes)
      local sum = 0
      for _, line in pairs(lines) do
        assert.is_true(line.seconds >= 0)
        sum = sum + line.seconds
      end
      assert.is_true(sum > 0 and sum <= threads * seconds * 1.001)
    end)
  end

  it("changes no bit, and is forgotten when it ends", function()
    local plain, batch = make(2)
    local measured, same = make(2)
    mr.check(C.mr_run_profile(measured.handle, 1))
    train(plain, batch)
    train(measured, same)
    for p = 0, C.mr_model_params(plain.model) - 1 do
      assert.equal(mr.string(mr.cast("char *", C.mr_model_weights(plain.model, p)), 16),
        mr.string(mr.cast("char *", C.mr_model_weights(measured.model, p)), 16))
    end
    mr.check(C.mr_run_profile(measured.handle, 0))
    assert.equal(0, C.mr_run_profile_lines(measured.handle))
    helper.raises("profile line 0, but there are 0", function()
      mr.check(C.mr_run_profile_line(measured.handle, 0, mr.new "mr_profile_line"))
    end)
  end)
end)

describe("the limits of the machine", function()
  it("are of a size that machines have", function()
    local limits = require "moonrank.speed".limits(require "moonrank.pool".new(1))
    for _, name in ipairs { "flops", "layer_flops", "cache_bytes", "memory_bytes", "rows" } do
      assert.is_true(limits[name] > 0 and limits[name] < 1e15, name)
    end
    assert.is_true(limits.flops > 1e8 and limits.rows > 1e5)
  end)
end)
