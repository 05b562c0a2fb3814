-- Lookups: ids, bags, unknown ids, tables shared by columns, parts, request-side columns; the
-- gradient of every row against central differences.
local g = require "graph_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local Pool = require "moonrank.pool"
local C = mr.C

local SIZES = { 2, 1, 4, 1, 3, 1 } -- samples of each request
local SAMPLES = 12

-- The column's keys for all rows, from whole numbers.
local function set_keys(batch, schema, name, keys)
  local ids = C.mr_batch_keys(batch, schema.columns[name])
  for i, key in ipairs(keys) do ids[i - 1] = key end
end

local function row_of(model, key, table)
  local row = mr.new "float *[1]"
  mr.check(C.mr_model_make_row(model, table or 0, key, row))
  return row[0]
end

-- A lookup's value, predicted.
local function values(model, batch, node, rows)
  return g.predict(model, Pool.new(1), batch, node, rows)
end

describe("lookup", function()
  it("of an id is the row of the id", function()
    local schema = g.schema { { name = "ad", type = "id" } }
    local b = g.builder(schema)
    local y = b:lookup { column = "ad", dim = 3 }
    local model, batch = g.model(b), g.batch(schema, 4)
    local keys = { 8, 1, 8, 9 }
    set_keys(batch, schema, "ad", keys)
    for i, key in ipairs { 1, 8, 9 } do
      for e = 0, 2 do row_of(model, key)[e] = 10 * i + e end
    end
    helper.all_near({ 20, 21, 22, 10, 11, 12, 20, 21, 22, 30, 31, 32 },
      values(model, batch, y, 4), 0)
  end)

  it("of a bag is the sum or the mean; a value that is there twice counts twice", function()
    local schema = g.schema { { name = "tags", type = "ids" } }
    local b = g.builder(schema)
    local sum = b:lookup { column = "tags", dim = 2, pool = "sum" }
    local mean = b:lookup { column = "tags", dim = 2, pool = "mean" }
    local model, batch = g.model(b), g.batch(schema, 5)
    g.set_bags(batch, schema, "tags", { { 1 }, {}, { 1, 2 }, { 2, 2, 1, 3 }, {} })
    for key = 1, 3 do row_of(model, key)[0], row_of(model, key)[1] = key, 4 ^ key end
    helper.all_near({ 1, 4, 0, 0, 3, 20, 8, 100, 0, 0 }, values(model, batch, sum, 5), 0)
    helper.all_near({ 1, 4, 0, 0, 1.5, 10, 2, 25, 0, 0 }, values(model, batch, mean, 5), 0)
  end)

  it("of a bag may be the largest of each number, alone and added to others", function()
    local schema = g.schema { { name = "tags", type = "ids" }, { name = "ad", type = "id" } }
    local b = g.builder(schema)
    local largest = b:lookup { column = "tags", dim = 2, pool = "max" }
    local added = b:add { b:lookup { column = "ad", dim = 2 },
      b:lookup { column = "tags", dim = 2, pool = "max" } }
    local model, batch = g.model(b), g.batch(schema, 5)
    g.set_bags(batch, schema, "tags", { { 1 }, {}, { 1, 2 }, { 2, 2, 3, 1 }, {} })
    set_keys(batch, schema, "ad", { 9, 9, 9, 9, 9 })
    for key = 1, 3 do row_of(model, key)[0], row_of(model, key)[1] = -key, 4 ^ key end
    local ad = row_of(model, 9, 1)
    ad[0], ad[1] = 100, -100
    local expected = { -1, 4, 0, 0, -1, 16, -1, 64, 0, 0 }
    helper.all_near(expected, values(model, batch, largest, 5), 0)
    for i, x in ipairs(expected) do expected[i] = x + (i % 2 == 1 and 100 or -100) end
    helper.all_near(expected, values(model, batch, added, 5), 0)
  end)

  it("of a bag with weights is sum w v or sum w v / sum |w|, alone and added to others", function()
    local schema = g.schema { { name = "tags", type = "ids", weighted = true },
      { name = "ad", type = "id" } }
    local b = g.builder(schema)
    local sum = b:lookup { column = "tags", dim = 2, pool = "sum" }
    local mean = b:lookup { column = "tags", dim = 2, pool = "mean" }
    local added = b:add { b:lookup { column = "ad", dim = 2 },
      b:lookup { column = "tags", dim = 2, part = "b", pool = "mean", start = "zero" } }
    local model, batch = g.model(b), g.batch(schema, 5)
    g.set_bags(batch, schema, "tags", { { 1 }, {}, { 1, 2 }, { 2, 2, 1, 3 }, { 1, 3 } },
      { { 0.5 }, {}, { 3, -1 }, { 1, 0.5, 0, 2.5 }, { 0, 0 } })
    set_keys(batch, schema, "ad", { 1, 2, 1, 2, 1 })
    for key = 1, 3 do
      local row = row_of(model, key)
      row[0], row[1], row[2], row[3] = key, 4 ^ key, 10 * key, 1
      row_of(model, key, 1)[0], row_of(model, key, 1)[1] = 100 * key, 0
    end
    helper.all_near({ 0.5, 2, 0, 0, 1, -4, 10.5, 184, 0, 0 }, values(model, batch, sum, 5), 0)
    helper.all_near({ 1, 4, 0, 0, 0.25, -1, 2.625, 46, 0, 0 }, values(model, batch, mean, 5), 0)
    helper.all_near({ 110, 1, 200, 0, 102.5, 0.5, 226.25, 1, 100, 0 },
      values(model, batch, added, 5), 0)
    g.set_bags(batch, schema, "tags", { { 1 }, {}, { 1, 2 }, {}, {} }) -- weights of 1
    helper.all_near({ 1, 4, 0, 0, 3, 20, 0, 0, 0, 0 }, values(model, batch, sum, 5), 0)
  end)

  it("of an id that the table lacks is the row of unknown; predicting adds no row", function()
    local schema = g.schema { { name = "ad", type = "id" } }
    local b = g.builder(schema)
    local y = b:lookup { column = "ad", dim = 2 }
    local model, batch = g.model(b), g.batch(schema, 2)
    set_keys(batch, schema, "ad", { 12345, 0 })
    helper.all_near({ 0, 0, 0, 0 }, values(model, batch, y, 2), 0)
    local unknown = row_of(model, 0)
    unknown[0], unknown[1] = 7, 8
    helper.all_near({ 7, 8, 7, 8 }, values(model, batch, y, 2), 0)
    assert.is_true(C.mr_model_row(model, 0, 12345) == nil)
  end)

  it("makes a row for a new id in training, the same whatever came before", function()
    local schema = g.schema { { name = "ad", type = "id" }, { name = "r", type = "number" } }
    local function rows_after(batches)
      local b = g.builder(schema)
      b:probe(b:lookup { column = "ad", dim = 1, scale = 1 }, b:column { column = "r" })
      local model = g.model(b)
      local run = g.run(model, { batch = 2 })
      for _, keys in ipairs(batches) do
        local batch = g.batch(schema, 2)
        set_keys(batch, schema, "ad", keys)
        g.gradient(run, batch)
      end
      return C.mr_model_row(model, 0, 5)[0], C.mr_model_row(model, 0, 6)[0]
    end
    local five, six = rows_after { { 5, 6 } }
    assert.not_equal(0, five)
    assert.not_equal(five, six)
    assert.same({ five, six }, { rows_after { { 9, 6 }, { 6, 6 }, { 7, 5 } } })
  end)

  it("of a request-side column is one row a request, seen by all of its samples", function()
    local schema = g.schema { { name = "user", type = "id", domain = "request" },
      { name = "last", type = "ids", domain = "request" }, { name = "x", type = "number" } }
    local b = g.builder(schema)
    local user = b:lookup { column = "user", dim = 1 }
    local last = b:lookup { column = "last", dim = 1, pool = "sum" }
    local seen = b:concat { user, last, b:column { column = "x" } }
    local model, batch = g.model(b), g.batch(schema, { 2, 1, 3 })
    set_keys(batch, schema, "user", { 1, 2, 3 })
    g.set_bags(batch, schema, "last", { { 4, 5 }, {}, { 5 } })
    g.fill(batch, schema, "x", 6, function(i) return i end)
    for key = 1, 3 do row_of(model, key, 0)[0] = 10 * key end
    for key = 4, 5 do row_of(model, key, 1)[0] = key end
    assert.equal("request", user.domain)
    assert.equal("request", last.domain)
    helper.all_near({ 10, 20, 30 }, values(model, batch, user, 3), 0)
    helper.all_near({ 9, 0, 5 }, values(model, batch, last, 3), 0)
    helper.all_near({ 10, 9, 0, 10, 9, 1, 20, 0, 2, 30, 5, 3, 30, 5, 4, 30, 5, 5 },
      values(model, batch, seen, 6), 0)
  end)

  it("starts rows at zero, normal or uniform, as asked", function()
    local schema = g.schema { { name = "ad", type = "id" } }
    local b = g.builder(schema)
    local starts = { { "zero", 5 }, { "normal", 0.5 }, { "uniform", 0.25 }, { "normal", 0 } }
    for i, start in ipairs(starts) do
      b:lookup { column = "ad", dim = 8, part = "p" .. i, start = start[1], scale = start[2] }
    end
    local model = g.model(b)
    local squares, most = { 0, 0, 0, 0 }, { 0, 0, 0, 0 }
    for key = 1, 2000 do
      local row = row_of(model, key)
      for p = 1, 4 do
        for e = 8 * p - 8, 8 * p - 1 do
          squares[p] = squares[p] + row[e] ^ 2 / 16000
          most[p] = math.max(most[p], math.abs(row[e]))
        end
      end
    end
    helper.all_near({ 0, 0.25, 0.25 ^ 2 / 3, 0 }, squares, 0.01)
    assert.equal(0, most[1])
    assert(most[2] > 1.5 and most[3] <= 0.25 and most[3] > 0.249, "the spread of values")
    assert.equal(0, most[4])
  end)
end)

-- ---- gradients ----

local STEP, TOLERANCE = 3e-3, 1e-3

local function crowded_schema(width, weighted)
  local schema = g.schema { { name = "ad", type = "id", table = "t" },
    { name = "seen", type = "ids", table = "t", weighted = weighted },
    { name = "user", type = "id", table = "u", domain = "request" },
    { name = "last", type = "ids", table = "t", domain = "request", weighted = weighted },
    { name = "friends", type = "ids", table = "u", domain = "request", weighted = weighted },
    { name = "r", type = "vector", width = width } }
  schema.weighted = weighted
  return schema
end

-- Every way to read table "t" and "u" at once, through a curved function.
local function crowded_graph(weighted)
  local schema = crowded_schema(5, weighted)
  local b = g.builder(schema)
  local options = { start = "normal", scale = 0.6 }
  local function read(column, dim, part, pool)
    return b:lookup { column = column, dim = dim, part = part, pool = pool, start = options.start,
      scale = options.scale }
  end
  local ad = b:add { read("ad", 3, "p"), read("last", 3, "p", "mean"),
    read("seen", 3, "p", "sum") }
  local seen = b:multiply(read("seen", 3, "q", "mean"), read("user", 3, "v"))
  local friends = b:multiply(read("friends", 1, "w", "sum"), read("ad", 1, "s"))
  local again = b:add { read("ad", 1, "s"), read("user", 1, "w"), read("last", 1, "s", "sum") }
  local y = b:tanh(b:concat { b:multiply(ad, seen), friends, again })
  b:probe(y, b:column { column = "r" })
  return schema, b
end

local function crowded_batch(schema, random, width)
  local batch = g.batch(schema, SIZES)
  local function keys(n)
    local list = {}
    for i = 1, n do list[i] = random(6) - 1 end -- 0, unknown, learns too
    return list
  end
  local function fill_bags(name, n)
    local list, weights = {}, schema.weighted and {}
    for i = 1, n do list[i] = keys(random(4) - 1) end
    for i = 1, weights and n or 0 do
      weights[i] = {}
      for k = 1, #list[i] do weights[i][k] = (random(9) - 4) / 4 end -- zeros and below too
    end
    g.set_bags(batch, schema, name, list, weights)
  end
  set_keys(batch, schema, "ad", keys(SAMPLES))
  fill_bags("seen", SAMPLES)
  set_keys(batch, schema, "user", keys(#SIZES))
  fill_bags("last", #SIZES)
  fill_bags("friends", #SIZES)
  g.fill(batch, schema, "r", SAMPLES * (width or 5), function() return random() - 0.5 end)
  return batch
end

-- The same keys read by their largest numbers, alone and added up, in bags with a key twice.
local function largest_graph()
  local schema = crowded_schema(7)
  local b = g.builder(schema)
  local function read(column, dim, part, pool)
    return b:lookup { column = column, dim = dim, part = part, pool = pool }
  end
  local all = b:concat { read("seen", 3, "p", "max"), read("friends", 1, "v", "max"),
    b:add { read("ad", 3, "p"), read("seen", 3, "p", "max"), read("last", 3, "p", "max"),
      read("seen", 3, "p", "mean") } }
  b:probe(b:tanh(all), b:column { column = "r" })
  return schema, b
end

-- Rows whose numbers are far from one another, so that no step makes another one the largest.
local function set_apart(model)
  for t = 0, 1 do
    for key = 0, 5 do
      for e = 0, t == 0 and 2 or 0 do
        row_of(model, key, t)[e] = 0.1 * ((7 * key + 3 * e * key) % 11) - 0.4
      end
    end
  end
end

describe("the gradient of rows", function()
  for _, family in ipairs { "avx512", "avx2", "plain" } do
    local function check(make, width, start, seed)
      if C.mr_isa_set(family) ~= C.MR_OK then return pending("this CPU lacks " .. family) end
      finally(function() C.mr_isa_set "auto" end)
      local schema, b = make()
      local model, batch = g.model(b, 4), crowded_batch(schema, helper.random(seed), width)
      local run = g.run(model, { slice_bytes = 1, batch = SAMPLES }) -- several slices
      start(model)
      g.gradient(run, batch)
      local info, gradient = mr.new "mr_table_info", mr.new "float[16]"
      local analytic, largest = {}, 0
      for t = 0, 1 do
        mr.check(C.mr_model_table(model, t, info))
        for key = 0, 5 do
          mr.check(C.mr_run_row_gradient(run.handle, t, key, gradient))
          for e = 0, info.width - 1 do
            local value = gradient[e] * SAMPLES
            analytic[#analytic + 1] = { t, key, e, value }
            largest = math.max(largest, math.abs(value))
          end
        end
      end
      assert(largest > 0.1, "the gradient is nearly zero")
      for _, entry in ipairs(analytic) do
        local t, key, e, value = unpack(entry)
        local row = row_of(model, key, t)
        local before = row[e]
        row[e] = before + STEP
        local up, above = row[e], g.gradient(run, batch)
        row[e] = before - STEP
        local down, below = row[e], g.gradient(run, batch)
        row[e] = before
        local off = math.abs((above - below) / (up - down) - value)
        assert(off < TOLERANCE * largest, ("table %d, key %d, [%d] is off by %g"):format(t, key, e,
          off))
      end
    end

    it("is that of the forward pass, whoever reads them, in " .. family, function()
      for _, weighted in ipairs { false, true } do
        check(function() return crowded_graph(weighted) end, 5, function(model)
          for t = 0, 1 do
            for e = 0, 3 do row_of(model, 0, t)[e] = 0.3 * (e + t) - 0.4 end
          end
        end, 8)
      end
    end)

    it("of the largest numbers goes to the first that has each, in " .. family, function()
      check(largest_graph, 7, set_apart, 9)
    end)
  end

  it("of a largest number that several ids have goes to the first of them in the bag", function()
    local schema = g.schema { { name = "tags", type = "ids" }, { name = "r", type = "number" } }
    local b = g.builder(schema)
    b:probe(b:lookup { column = "tags", dim = 1, pool = "max" }, b:column { column = "r" })
    local model, batch, gradient = g.model(b), g.batch(schema, 4), mr.new "float[1]"
    for key, value in ipairs { 5, 5, 3 } do row_of(model, key)[0] = value end
    g.set_bags(batch, schema, "tags", { { 3, 2, 1 }, { 1, 2 }, { 3, 1 }, { 2, 2, 1 } })
    g.fill(batch, schema, "r", 4, function(i) return 4 * 2 ^ i end)
    local run = g.run(model)
    g.gradient(run, batch)
    for key, expected in ipairs { 2 + 4, 1 + 8, 0 } do
      mr.check(C.mr_run_row_gradient(run.handle, 0, key, gradient))
      assert.equal(expected, gradient[0])
    end
  end)

  it("adds up the occurrences of a key in their order, also where rows are wide", function()
    for _, family in ipairs(g.families()) do
      mr.check(C.mr_isa_set(family))
      for _, dim in ipairs { 48, 64, 50 } do
        local schema = g.schema { { name = "ad", type = "id" },
          { name = "r", type = "vector", width = dim } }
        local b, random = g.builder(schema), helper.random(dim)
        b:probe(b:lookup { column = "ad", dim = dim }, b:column { column = "r" })
        local model, batch, keys = g.model(b), g.batch(schema, 64), {}
        for i = 1, 64 do keys[i] = random(5) end
        set_keys(batch, schema, "ad", keys)
        local r = g.fill(batch, schema, "r", 64 * dim, function() return random() - 0.5 end)
        local run, gradient = g.run(model), mr.new("float[?]", dim)
        g.gradient(run, batch)
        for key = 1, 5 do
          local sum = mr.new("float[?]", dim) -- each addition rounded to a float
          for i = 1, 64 do
            for e = 0, keys[i] == key and dim - 1 or -1 do
              sum[e] = sum[e] + r[(i - 1) * dim + e] / 64
            end
          end
          mr.check(C.mr_run_row_gradient(run.handle, 0, key, gradient))
          for e = 0, dim - 1 do assert.equal(sum[e], gradient[e]) end
        end
      end
    end
    C.mr_isa_set "auto"
  end)

  it("is zero for a key that the batch lacks, and an error without a gradient", function()
    local schema, b = crowded_graph()
    local model, batch = g.model(b), crowded_batch(schema, helper.random(8))
    local run, gradient = g.run(model), mr.new("float[16]", { 1, 2, 3 })
    local function ask(t, key) mr.check(C.mr_run_row_gradient(run.handle, t, key, gradient)) end
    helper.raises("there is no gradient", ask, 0, 1)
    g.gradient(run, batch)
    ask(0, 999)
    helper.all_near({ 0, 0, 0 }, gradient, 0)
    helper.raises("table 2, but there are 2", ask, 2, 1)
    helper.raises("table -1, but there are 2", ask, -1, 1)
    g.update(run)
    helper.raises("there is no gradient", ask, 0, 1)
  end)
end)

-- ---- messages ----

describe("a wrong lookup", function()
  local schema = g.schema { { name = "ad", type = "id" }, { name = "price", type = "number" },
    { name = "seen", type = "ids", table = "ad" } }

  it("names the column, the part and what is allowed", function()
    local b = g.builder(schema)
    local function lookup(options) return function() b:lookup(options) end end
    helper.raises('lookup: column "price" holds numbers, expected ids',
      lookup { column = "price", dim = 4 })
    helper.raises('lookup: column is "pice", but there is no such column',
      lookup { column = "pice", dim = 4 })
    helper.raises('lookup: option "column" is missing', lookup { dim = 4 })
    helper.raises('lookup: option "dim" is missing', lookup { column = "ad" })
    helper.raises("lookup: dim is 0, expected 1 to 4096", lookup { column = "ad", dim = 0 })
    helper.raises("lookup: dim is 2.5, expected a whole number",
      lookup { column = "ad", dim = 2.5 })
    helper.raises('lookup: pool is "most", expected one of: sum mean max',
      lookup { column = "ad", dim = 4, pool = "most" })
    b:lookup { column = "ad", dim = 4 }
    helper.raises('lookup: part "embedding" of table "ad" has width 4 elsewhere, here dim is 8',
      lookup { column = "seen", dim = 8 })
  end)

  it("of one part with another start is refused, as its rows start once", function()
    local b = g.builder(schema)
    b:lookup { column = "ad", dim = 4, start = "zero" }
    b:lookup { column = "seen", dim = 4, start = "zero", scale = 5 }
    helper.raises('lookup: part "embedding" of table "ad" starts zero with scale 0.01 elsewhere, '
      .. "here normal with 0.01", function() b:lookup { column = "seen", dim = 4 } end)
    b:lookup { column = "ad", dim = 4, part = "p", start = "uniform", scale = 0.5 }
    helper.raises('lookup: part "p" of table "ad" starts uniform with scale 0.5 elsewhere, '
      .. "here uniform with 0.25", function()
        b:lookup { column = "seen", dim = 4, part = "p", start = "uniform", scale = 0.25 }
      end)
  end)
end)
