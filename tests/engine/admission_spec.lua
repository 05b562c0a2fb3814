-- Keys that get a row once they came often enough, and rows that are dropped when their keys come
-- no more (engine/src/table/touched.c, table.c, waiting.c), against a loop over sets: the trained
-- numbers have the bits of a run whose batches say "unknown" wherever the loop does.
local g = require "graph_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local C = mr.C

local COLUMNS = g.key_columns { "ad", "user", "tags", "click.ad", "few" }
local IDS = 90

-- Ids stand for keys in all shards; 0 is "unknown".
local function key_of(id) return id * 0x9E3779B97F4A7C15ULL end

-- ---- batches as lists of ids ----

-- The ids that come go up with the step, so that some come no more.
local function draw(random, step)
  local batch = { sizes = {}, lengths = {}, ad = {}, user = {}, tags = {}, ["click.ad"] = {},
    few = {} }
  local function id() return (random(12) * random(2) + 4 * step) % IDS + 1 end
  for q = 1, 12 do
    batch.sizes[q], batch.user[q], batch.lengths[q] = random(3), id(), random(4) - 1
    for _ = 1, batch.lengths[q] do table.insert(batch["click.ad"], id()) end
    for _ = 1, batch.sizes[q] do
      table.insert(batch.ad, id())
      table.insert(batch.few, random(9))
      table.insert(batch.tags, random(3) > 1 and { id(), id() } or {})
    end
  end
  return batch
end

-- The same batch with other ids: change(table, id).
local function changed(batch, change)
  local other = { sizes = batch.sizes, lengths = batch.lengths }
  for _, column in ipairs(COLUMNS) do
    local list = {}
    for i, value in ipairs(batch[column.name]) do
      if type(value) == "number" then
        list[i] = change(column.table, value)
      else
        list[i] = {}
        for k, id in ipairs(value) do list[i][k] = change(column.table, id) end
      end
    end
    other[column.name] = list
  end
  return other
end

local function fill(schema, ids)
  local batch = g.batch(schema, ids.sizes)
  g.set_lengths(batch, schema, "click", ids.lengths)
  for _, column in ipairs(COLUMNS) do
    if column.type == "ids" then
      local bags = {}
      for i, bag in ipairs(ids[column.name]) do
        bags[i] = {}
        for k, id in ipairs(bag) do bags[i][k] = key_of(id) end
      end
      g.set_bags(batch, schema, column.name, bags)
    else
      local keys = C.mr_batch_keys(batch, schema.columns[column.name])
      for i, id in ipairs(ids[column.name]) do keys[i - 1] = key_of(id) end
    end
  end
  return batch
end

local function new_model(schema)
  local b, start = g.builder(schema), { dim = 2, start = "normal", scale = 1 }
  b:probe(b:dense(g.lookups(b, COLUMNS, start), { out = 1 }),
    b:sum(g.lookups(b, { COLUMNS[1] }, start)))
  return g.model(b)
end

-- By table, as the engine wants it.
local function options_of(model, options)
  local numbers, given = g.tables(model), {}
  for key, value in pairs(options) do given[key] = value end
  for _, what in ipairs { "admit", "expire" } do
    given[what] = mr.new "int32_t[2]"
    for name, n in pairs(options[what] or {}) do given[what][numbers[name]] = n end
  end
  return given
end

-- ---- the loop ----

local function new_loop(options)
  local loop = { step = 0, dropped = 0 }
  for _, name in ipairs { "t", "small" } do
    loop[name] = { rows = {}, counts = {}, seen = {}, admit = options.admit and options.admit[name],
      expire = options.expire and options.expire[name] }
  end
  return loop
end

-- What of a batch is unknown; then it counts. `drop` is told of rows that go.
local function go_on(loop, ids, drop)
  loop.step = loop.step + 1
  local came = {}
  local result = changed(ids, function(name, id)
    local t = loop[name]
    local known = t.rows[id] or not t.admit or (t.counts[id] or 0) >= t.admit
    came[#came + 1] = { t, id, known }
    return known and id or 0
  end)
  for _, one in ipairs(came) do
    local t, id = one[1], one[2]
    if one[3] then t.rows[id] = true else t.counts[id] = (t.counts[id] or 0) + 1 end
    t.seen[id] = loop.step
  end
  for _, name in ipairs { "t", "small" } do
    local t = loop[name]
    if t.expire and loop.step % math.max(1, math.floor(t.expire / 4)) == 0 then
      for id, last in pairs(t.seen) do
        if loop.step - last >= t.expire then
          if t.rows[id] then
            loop.dropped = loop.dropped + 1
            drop(name, id)
          end
          t.rows[id], t.counts[id], t.seen[id] = nil, nil, nil
        end
      end
    end
  end
  return result
end

local function bytes(p, n) return mr.string(p, 4 * n) end

local function compare(loop, model, other)
  for name, number in pairs(g.tables(model)) do
    local waiting, n = 0, 0
    for id = 0, IDS do
      local row = C.mr_model_row(model, number, key_of(id))
      if id == 0 or loop[name].rows[id] then
        n = n + 1
        assert.is_true(row ~= nil)
        assert.is_true(bytes(row, 2) == bytes(C.mr_model_row(other, number, key_of(id)), 2),
          ("table %s, id %d, step %d"):format(name, id, loop.step))
      else
        assert.is_true(row == nil)
        local seen = loop[name].counts[id]
        waiting = waiting + (seen and seen < loop[name].admit and 1 or 0)
      end
    end
    local info = mr.new "mr_table_info"
    mr.check(C.mr_model_table(model, number, info))
    assert.equal(n, tonumber(info.rows))
    loop.waiting = loop.waiting or {}
    loop.waiting[name] = waiting
  end
  local weights, rows, columns = g.weight(model, "dense_1.weight")
  assert.is_true(bytes(weights, rows * columns)
    == bytes(g.weight(other, "dense_1.weight"), rows * columns))
end

local function check(options, more)
  local schema = g.schema(COLUMNS, { { name = "click", domain = "request" } })
  local model, other, fresh = new_model(schema), new_model(schema), new_model(schema)
  local given = options_of(model, options)
  local run = g.run(model, given)
  local plain = g.run(other, { optimizer = options.optimizer })
  local loop, random, row = new_loop(options), helper.random(5), mr.new "float *[1]"
  local numbers = g.tables(model)
  for step = 1, 40 do
    local ids = draw(random, step)
    local replaced = go_on(loop, ids, function(name, id) -- it starts anew where it comes again
      mr.check(C.mr_model_make_row(fresh, numbers[name], key_of(id), row))
      loop.anew = loop.anew or {}
      table.insert(loop.anew, { numbers[name], id, row[0] })
    end)
    local batch = fill(schema, ids)
    if step == 7 then g.gradient(run, batch) end -- which is not stepped along counts nothing
    assert.equal(g.gradient(plain, fill(schema, replaced)), g.gradient(run, batch))
    g.update(run)
    g.update(plain)
    for _, one in ipairs(loop.anew or {}) do
      mr.copy(C.mr_model_row(other, one[1], key_of(one[2])), one[3], 8)
    end
    loop.anew = nil
    compare(loop, model, other)
    local dropped = 0
    for name, number in pairs(numbers) do
      if loop[name].admit then
        assert.equal(loop.waiting[name], tonumber(C.mr_run_waiting(run.handle, number)))
      end
      dropped = dropped + tonumber(C.mr_run_dropped(run.handle, number))
    end
    assert.equal(loop.dropped, dropped)
    if more and step == 17 then model, run = more(schema, run, given) end
  end
  return loop
end

describe("a table that admits keys", function()
  it("gives each a row from the batch after it came often enough", function()
    for _, threads in ipairs { 1, 3 } do
      local loop = check { admit = { t = 9 }, optimizer = "adam", threads = threads }
      assert.is_true(helper.count(loop.t.rows) > 20)
      assert.is_true(helper.count(loop.small.rows) == 9) -- which admits all at once
      check { admit = { t = 1, small = 4 }, optimizer = "momentum", threads = threads }
    end
  end)

  it("may read zeros for those that wait", function()
    local schema = g.schema { { name = "one", type = "number" } }
    mr.check(C.mr_schema_add_column(schema.handle, mr.new("mr_column_spec", { name = "ad",
      type = C.MR_ID, domain = C.MR_SAMPLE, unseen = C.MR_UNSEEN_ZERO })))
    schema.columns.ad = 1
    local b = g.builder(schema)
    local x = b:lookup { column = "ad", dim = 3, start = "normal", scale = 1 }
    b:probe(b:sum(x), b:column { column = "one" })
    local model = g.model(b)
    local run = g.run(model, { admit = mr.new("int32_t[1]", 2), rates = { lr = 0.25 } })
    for step = 1, 3 do
      local batch = g.batch(schema, 1)
      C.mr_batch_keys(batch, 1)[0] = key_of(5)
      g.fill(batch, schema, "one", 1, function() return 1 end)
      local loss = g.gradient(run, batch)
      assert.equal(step < 3, loss == 0)
      g.update(run)
      assert.equal(0, C.mr_model_row(model, 0, 0)[0]) -- "unknown" was not read
    end
  end)
end)

describe("a table whose rows expire", function()
  it("drops those whose keys come no more, which start anew if they do", function()
    for _, threads in ipairs { 1, 3 } do
      local loop = check { expire = { t = 8, small = 3 }, threads = threads }
      assert.is_true(loop.dropped > 50)
    end
  end)

  it("drops what was counted of keys that wait", function()
    local loop = check { admit = { t = 4 }, expire = { t = 6 }, threads = 2 }
    assert.is_true(loop.dropped > 20)
  end)

  it("keeps the row of unknown values and those of listed ones", function()
    local values = { "feed", "search" }
    local list = mr.new("const char *[?]", 2, values)
    local schema = g.schema {}
    mr.check(C.mr_schema_add_column(schema.handle, mr.new("mr_column_spec", { name = "place",
      type = C.MR_ID, domain = C.MR_SAMPLE, values = list, n_values = 2,
      unseen = C.MR_UNSEEN_ZERO })))
    schema.columns.place = 0
    local b = g.builder(schema)
    local x = b:lookup { column = "place", dim = 1 }
    b:probe(b:sum(x), b:sum(x))
    local model = g.model(b)
    local run = g.run(model, { expire = mr.new("int32_t[1]", 1) })
    for step = 1, 9 do
      local batch = g.batch(schema, 1)
      C.mr_batch_keys(batch, 0)[0] = key_of(step)
      g.gradient(run, batch)
      g.update(run)
      assert.is_true(C.mr_model_row(model, 0, key_of(step)) ~= nil)
      assert.is_true(step == 1 or C.mr_model_row(model, 0, key_of(step - 1)) == nil)
    end
    local feed, search = g.key(schema, "place", "feed"), g.key(schema, "place", "search")
    for _, key in ipairs { 0, 2, feed, search } do
      assert.is_true(C.mr_model_row(model, 0, key) ~= nil)
    end
  end)
end)

describe("a checkpoint", function()
  it("has what was counted, and when keys came last", function()
    for _, options in ipairs { { admit = { t = 5, small = 2 } }, { expire = { t = 8 } },
      { admit = { t = 12 }, expire = { t = 6, small = 4 } } } do
      check(options, function(schema, run, given)
        local dir, state = helper.temp_dir(), mr.new "char *[1]"
        mr.check(C.mr_run_save(run.handle, dir .. "/saved", ""))
        local model = new_model(schema)
        given.threads = 2
        local resumed = g.run(model, given)
        mr.check(C.mr_run_restore(resumed.handle, dir .. "/saved", state))
        C.mr_text_free(state[0])
        return model, resumed
      end)
    end
  end)

  it("is of one admission", function()
    local schema = g.schema(COLUMNS, { { name = "click", domain = "request" } })
    local model = new_model(schema)
    local dir, state = helper.temp_dir(), mr.new "char *[1]"
    local run = g.run(model, options_of(model, { admit = { t = 5 } }))
    mr.check(C.mr_run_save(run.handle, dir .. "/saved", ""))
    for _, options in ipairs { { admit = { t = 6 } }, { expire = { t = 5 } }, {} } do
      local other = g.run(model, options_of(model, options))
      local ok, message = mr.ok(C.mr_run_restore(other.handle, dir .. "/saved", state))
      assert.is_nil(ok)
      assert.equal(dir .. "/saved/manifest.json: it is of another model: graph, columns or "
        .. "optimizers differ", message)
    end
  end)
end)

describe("admission", function()
  it("is not for runs that make all rows beforehand", function()
    local schema = g.schema(COLUMNS, { { name = "click", domain = "request" } })
    local model = new_model(schema)
    local conflict = 'table "%s" admits or drops keys while it is trained, and %s makes all rows '
      .. "beforehand"
    for _, case in ipairs {
      { { admit = { t = 2 }, rows_all = true }, conflict:format("t", "rows: all") },
      { { expire = { small = 2 }, table_mba = 1 }, conflict:format("small", "mba") },
      { { admit = { t = -1 } }, 'admit of table "t" is -1, expected 0 to 2147483647' },
    } do
      local ok, message = pcall(g.run, model, options_of(model, case[1]))
      assert.is_false(ok)
      assert.truthy(message:find(case[2], 1, true), message)
    end
  end)
end)
