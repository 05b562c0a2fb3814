-- Checking mode: where the first number that is not finite came from.
local g = require "graph_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local C = mr.C

-- What mr_run_check says; nil where everything is finite.
local function finding(run, batch)
  local status = C.mr_run_check(run.handle, batch)
  if status == C.MR_OK then return nil end
  assert.equal(C.MR_ENAN, status)
  return mr.last_error()
end

local function failing_step(run, batch, message)
  local loss = mr.new "double[1]"
  assert.equal(C.MR_ENAN, C.mr_run_step(run.handle, batch, loss))
  assert.equal(message, mr.last_error())
end

local COLUMNS = { { name = "u", type = "number", domain = "request" },
  { name = "x", type = "vector", width = 3 }, { name = "id", type = "id", table = "ads" },
  { name = "tags", type = "ids" }, { name = "click", type = "label" } }

-- Two numbers of a network over requests of 2, 1 and 3 samples (rows 1-2, 3, 4-6), each a slice.
local function network(build)
  local schema = g.schema(COLUMNS)
  local b = g.builder(schema)
  build = build or function(columns, lookup, bags)
    local h = b:dense(b:concat { columns.u, columns.x, lookup, bags }, { out = 4, name = "first" })
    b:logloss(b:dense(b:relu(h), { out = 1, name = "last" }), b:column { column = "click" })
  end
  build({ u = b:column { column = "u" }, x = b:column { column = "x" } },
    b:lookup { column = "id", dim = 2, part = "p" }, b:lookup { column = "tags", dim = 2 }, b)
  local sizes, random = { 2, 1, 3 }, helper.random(2)
  local batch = g.batch(schema, sizes)
  for name, n in pairs { u = 3, x = 18 } do
    g.fill(batch, schema, name, n, function() return random() end)
  end
  for i = 0, 5 do C.mr_batch_keys(batch, 2)[i] = 100 + i end
  g.fill_bags(batch, schema, "tags", { { "a", "b" }, {}, { "a" }, { "c", "d", "a" }, {}, { "b" } })
  local model = g.model(b)
  return { schema = schema, batch = batch, model = model, builder = b,
    run = g.run(model, { slice_bytes = 1, threads = 2 }) }
end

describe("checking a batch", function()
  it("finds nothing where all is finite, and changes nothing", function()
    local function train(check)
      local n = network(function(columns, lookup, bags, b)
        local h = b:batch_norm(b:dense(b:concat { columns.x, lookup, bags }, { out = 4 }))
        b:logloss(b:dense(b:dropout(h, { rate = 0.5 }), { out = 1 }), b:column { column = "click" })
      end)
      local loss = mr.new "double[1]"
      for _ = 1, 3 do
        if check then assert.is_nil(finding(n.run, n.batch)) end
        mr.check(C.mr_run_step(n.run.handle, n.batch, loss))
      end
      local path = helper.temp_dir() .. "/model.mr"
      mr.check(C.mr_model_save(n.model, path, "about"))
      return helper.read(path)
    end
    assert.is_true(train(false) == train(true), "the check left a trace")
  end)

  it("leaves no gradient to step along", function()
    local n = network()
    assert.is_nil(finding(n.run, n.batch))
    assert.equal(C.MR_EINVAL, C.mr_run_update(n.run.handle))
  end)

  it("names the field that holds it, with the row of the data", function()
    local n = network()
    C.mr_batch_floats(n.batch, 1)[3 * 4 + 1] = -1 / 0
    failing_step(n.run, n.batch, "the loss of step 1 is not finite")
    assert.equal('field "x" holds -inf in row 5', finding(n.run, n.batch))
  end)

  it("names for a field of the request the row in which the request begins", function()
    local n = network()
    C.mr_batch_floats(n.batch, 0)[2] = 0 / 0
    assert.equal('field "u" holds nan in row 4', finding(n.run, n.batch))
  end)

  it("names the weight that holds it", function()
    local n = network()
    g.weight(n.model, "last.weight")[2] = 1 / 0
    mr.check(C.mr_model_changed(n.model))
    assert.equal('weight "last.weight" itself holds inf', finding(n.run, n.batch))
    n = network()
    g.weight(n.model, "first.bias")[3] = 0 / 0
    assert.equal('weight "first.bias" itself holds nan', finding(n.run, n.batch))
  end)

  it("names the table that holds it, with part, field and row", function()
    local row = mr.new "float *[1]"
    local n = network()
    mr.check(C.mr_model_make_row(n.model, 0, 104, row))
    row[0][1] = 0 / 0
    assert.equal('table "ads" itself holds nan (part "p") for field "id" of row 5',
      finding(n.run, n.batch))
    n = network()
    mr.check(C.mr_model_make_row(n.model, 1, g.key(n.schema, "tags", "d"), row))
    row[0][0] = -1 / 0
    assert.equal('table "tags" itself holds -inf (part "embedding") for field "tags" of row 4',
      finding(n.run, n.batch))
  end)

  it("names the node whose result is too large, with column and row", function()
    local n = network()
    local w = g.weight(n.model, "first.weight")
    for i = 0, 4 * 8 - 1 do w[i] = 0 end
    w[4 * 2 + 3] = 3e38 -- from the second number of x to the last output
    mr.check(C.mr_model_changed(n.model))
    local x = C.mr_batch_floats(n.batch, 1)
    for i = 0, 17 do x[i] = 0.5 end
    x[3 * 2 + 1], x[3 * 5 + 1] = 2, 2
    assert.equal('node "first" (dense) gives inf in column 4 of row 3', finding(n.run, n.batch))
  end)

  it("names the node whose gradient is too large, forward first", function()
    local function build(columns, lookup, bags, b)
      local zero = b:multiply(lookup, b:concat { columns.u, columns.u }, { name = "product" })
      b:probe(b:concat { zero, bags }, b:concat { columns.u, columns.u, columns.u, columns.u })
    end
    local n = network(build)
    for key = 100, 105 do
      local row = mr.new "float *[1]"
      mr.check(C.mr_model_make_row(n.model, 0, key, row))
      row[0][0], row[0][1] = 0, 0
    end
    local u = C.mr_batch_floats(n.batch, 0)
    u[1] = 1e30 -- the product's gradient is 1e30 / 6, the lookup's that times 1e30
    assert.equal('the gradient of node "lookup_1" (lookup) that comes from node "product" '
      .. "(multiply) is inf in column 1 of row 3", finding(n.run, n.batch))
    u[2] = 1 / 0 -- in a later slice
    assert.equal('field "u" holds inf in row 4', finding(n.run, n.batch))
  end)

  it("names the weight whose gradient is too large, a loss that is finite regardless", function()
    local schema = g.schema { { name = "x", type = "number" }, { name = "r", type = "number" } }
    local b = g.builder(schema)
    b:probe(b:dense(b:column { column = "x" }, { out = 1, name = "d", start = "normal",
      scale = 0 }), b:column { column = "r" })
    local batch, model = g.batch(schema, 20), g.model(b)
    for _, name in ipairs { "x", "r" } do
      g.fill(batch, schema, name, 20, function(i) return i == 17 and 1e30 or 0 end)
    end
    local run = g.run(model, { slice_bytes = 1 })
    failing_step(run, batch, "the gradient of step 1 is not finite")
    assert.equal(0, g.weight(model, "d.weight")[0])
    assert.equal('the gradient of weight "d.weight" is inf in the rows from 17 on',
      finding(run, batch))
  end)

  it("names what is too large only as a sum over the batch", function()
    local schema = g.schema { { name = "id", type = "id" }, { name = "r", type = "number" } }
    local b = g.builder(schema)
    local y = b:lookup { column = "id", dim = 1, start = "zero" }
    for _ = 1, 2 do
      b:probe(b:lookup { column = "id", dim = 1, start = "zero" }, b:column { column = "r" })
    end
    b:probe(y, b:column { column = "r" })
    local batch, model = g.batch(schema, 1), g.model(b)
    g.fill(batch, schema, "r", 1, function() return 3e38 end)
    local run = g.run(model, { clip_norm = 1 })
    failing_step(run, batch, "the gradient of step 1 is not finite")
    assert.equal('the gradient of a row of table "id", summed over the batch, is not finite',
      finding(run, batch))
  end)

  it("is for runs that train", function()
    local n = network()
    local out, pool = mr.new "mr_run *[1]", require "moonrank.pool".new(1)
    mr.check(C.mr_run_new_predict(out, n.model, pool.handle,
      mr.new("mr_run_options", { batch = 8 }), mr.new("int32_t[1]", 0), 1))
    local predict = mr.gc(out[0], C.mr_run_free)
    assert.equal(C.MR_EINVAL, C.mr_run_check(predict, n.batch))
    assert.equal("this run only predicts", mr.last_error())
  end)
end)
