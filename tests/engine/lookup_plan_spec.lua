-- Lookups that the plan lays into a sum, or whose gradient it leaves to the update: the same values
-- and gradients of rows as when every lookup keeps its own, which watching it makes it do.
local g = require "graph_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local Pool = require "moonrank.pool"
local C = mr.C

local SAMPLES, KEYS, WIDTHS = 40, 7, { 1, 3, 4, 17, 24, 29 }

local function new_schema()
  return g.schema { { name = "a", type = "id", table = "t" }, { name = "b", type = "id" },
    { name = "c", type = "id", table = "t" }, { name = "bag", type = "ids" },
    { name = "x", type = "vector", width = 2 }, { name = "click", type = "label" } }
end

local function new_batch(schema, random)
  local batch = g.batch(schema, SAMPLES)
  for _, name in ipairs { "a", "b", "c" } do
    local keys = C.mr_batch_keys(batch, schema.columns[name])
    for i = 0, SAMPLES - 1 do keys[i] = random(KEYS) - 1 end
  end
  local bags = {}
  for i = 1, SAMPLES do
    bags[i] = {}
    for k = 1, random(4) - 1 do bags[i][k] = tostring(random(KEYS)) end
  end
  g.fill_bags(batch, schema, "bag", bags)
  g.fill(batch, schema, "x", 2 * SAMPLES, function() return random() - 0.5 end)
  g.fill(batch, schema, "click", SAMPLES, function() return random(2) - 1 end)
  return batch
end

-- Each gives a value of one column; read(column) is a lookup `dim` wide.
local GRAPHS = {
  ["a sum of lookups"] = function(b, read, dim)
    return b:dense(b:sum(b:concat { read "a", read "b", read "c" }, { dim = dim }), { out = 1 })
  end,
  ["a sum of one lookup"] = function(b, read, dim)
    return b:dense(b:sum(read "a", { dim = dim }), { out = 1 })
  end,
  ["an add of lookups, bags and others"] = function(b, read, dim)
    local x = b:dense(b:column { column = "x" }, { out = dim })
    return b:dense(b:tanh(b:add { x, read "c", read("bag", "mean"), read("bag", "sum"), x,
      read "a" }), { out = 1 })
  end,
  ["an add within a concat"] = function(b, read)
    return b:dense(b:bias(b:concat { b:add { read "a", read "b" }, read "c" }), { out = 1 })
  end,
  ["pairs of lookups"] = function(b, read, dim)
    return b:fm_pairs(b:concat { read "a", read "b", read "c" }, { dim = dim })
  end,
  ["pairs of lookups and a bag"] = function(b, read, dim)
    return b:fm_pairs(b:concat { read "a", read "bag", read "c" }, { dim = dim })
  end,
  ["pairs beside a sum"] = function(b, read, dim)
    local all = b:concat { read "a", read "b", read "c" }
    local second = b:concat { read "a", read "c" }
    return b:add { b:fm_pairs(all, { dim = dim }), b:fm_pairs(second, { dim = dim }),
      b:dense(b:sum(all, { dim = dim }), { out = 1 }) }
  end,
}

local function make(build, dim, watched)
  local schema = new_schema()
  local b = g.builder(schema)
  local logit = build(b, function(column, pool)
    local node = b:lookup { column = column, dim = dim, pool = pool, scale = 0.5 }
    if watched then b:watch(node) end
    return node
  end, dim)
  b:logloss(logit, b:column { column = "click" })
  return { schema = schema, logit = logit, model = g.model(b, 3) }
end

-- The gradient of every row of every table, one after another.
local function row_gradients(run, model, schema)
  local info, row, all = mr.new "mr_table_info", mr.new "float[32]", {}
  for t = 0, C.mr_model_tables(model) - 1 do
    mr.check(C.mr_model_table(model, t, info))
    for key = 0, KEYS do
      for _, k in ipairs { key, g.key(schema, "bag", tostring(key)) } do
        mr.check(C.mr_run_row_gradient(run.handle, t, k, row))
        for e = 0, info.width - 1 do all[#all + 1] = row[e] end
      end
    end
  end
  return all
end

local function same_as_kept(build, dim)
  local found = {}
  for i, watched in ipairs { false, true } do
    local c = make(build, dim, watched)
    local batch = new_batch(c.schema, helper.random(5))
    local run = g.run(c.model, { slice_bytes = 1 })
    local loss = g.gradient(run, batch)
    found[i] = { loss = loss, gradients = row_gradients(run, c.model, c.schema),
      logits = g.predict(c.model, Pool.new(1), batch, c.logit, SAMPLES) }
  end
  local kept, shared = found[2], found[1]
  assert(math.abs(kept.loss - shared.loss) < 1e-5 * kept.loss)
  for i = 0, SAMPLES - 1 do
    assert(math.abs(kept.logits[i] - shared.logits[i]) < 1e-5, "sample " .. i)
  end
  local largest = 0
  for i, want in ipairs(kept.gradients) do
    largest = math.max(largest, math.abs(want))
    assert(math.abs(want - shared.gradients[i]) < 1e-7, ("number %d of the rows' gradients is %g, "
      .. "expected %g"):format(i, shared.gradients[i], want))
  end
  assert(largest > 1e-3, "the gradient is nearly zero")
end

describe("a plan for", function()
  for name, build in pairs(GRAPHS) do
    it(name .. " gives what lookups with their own buffers give", function()
      for _, dim in ipairs(WIDTHS) do same_as_kept(build, dim) end
    end)
  end

  it("the linear part keeps one number a row, not one for each field", function()
    local function bytes(build)
      local c = make(build, 1, false)
      return tonumber(C.mr_run_bytes(g.run(c.model, { batch = 4096 }).handle))
    end
    local function sum_of(n)
      return function(b, read)
        local lookups = {}
        for i = 1, n do lookups[i] = read "a" end
        return b:sum(b:concat(lookups))
      end
    end
    assert.equal(bytes(sum_of(2)), bytes(sum_of(30)))
  end)
end)
