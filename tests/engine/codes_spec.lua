-- Batches that hold the codes of a dataset instead of keys (engine/src/data/dictionary.h, and the
-- memos of engine/src/table/touched.h): a shorter way to the same rows, nothing else may change.
local data = require "data_helper"
local g = require "graph_helper"
local helper = require "helper"
local Pool = require "moonrank.pool"
local mr = require "moonrank.ffi"
local C = mr.C

local EPOCHS = 3

-- "ad" is the table of two columns, and of so much of a batch that it is cut into shards.
local columns = { { name = "session", type = "request_key" },
  { name = "user", type = "id", side = "request" },
  { name = "past", type = "ids", side = "request", table = "ad" }, { name = "ad", type = "id" },
  { name = "tags", type = "ids" }, { name = "hour", type = "id" },
  { name = "click", type = "label" } }

local function write_text(path, seed, n_users)
  local random = helper.random(seed)
  local function bag(letter, most, n)
    local list = {}
    for i = 1, random(most + 1) - 1 do list[i] = letter .. random(n) end
    return table.concat(list, ",")
  end
  local lines = { "session\tuser\tpast\tad\ttags\thour\tclick" }
  for session = 1, 250 do
    local user, past = "u" .. random(n_users), bag("a", 6, 400)
    for _ = 1, random(4) do
      lines[#lines + 1] = table.concat({ session, user, past, "a" .. random(400),
        bag("t", 4, 30), random(24), random(2) - 1 }, "\t")
    end
  end
  return helper.write(path, table.concat(lines, "\n"))
end

local dir, schema
-- A split of rows of its own, whose codes are its own too.
local function new_split(seed, n_users)
  local path = write_text(("%s/%d.tsv"):format(dir, seed), seed, n_users)
  assert(data.build(schema.handle, path, path .. ".cache", { delimiter = "\t" }))
  return assert(data.open(schema.handle, path .. ".cache"))
end

local function new_model()
  local b = g.builder(schema)
  local function embed(column, pool)
    return b:lookup { column = column, dim = 4, pool = pool, scale = 0.5 }
  end
  local x = b:dense(b:concat { embed "user", embed("past", "mean"), embed "ad",
    embed("tags", "sum"), embed "hour" }, { out = 7 })
  local logit = b:add { b:dense(b:tanh(x), { out = 1 }),
    b:lookup { column = "ad", dim = 1, part = "linear", start = "zero" } }
  b:logloss(logit, b:column { column = "click" })
  return g.model(b, 3), logit
end

-- What may be done to a batch of a loader before it is used.
local forms = {
  codes = function() end,
  keys = function(batch) assert(C.mr_batch_keys(batch, 1) ~= nil) end,
  both = function(batch, i) if i % 3 == 1 then C.mr_batch_keys(batch, 3) end end,
}

local function each_batch(split, form, options, f)
  local loader, i = data.loader(split, options), 0
  for batch in function() return data.next_batch(loader) end do
    i = i + 1
    forms[form](batch, i)
    f(batch)
  end
end

local function train_epoch(run, split, form, epoch)
  local loss = mr.new "double[1]"
  each_batch(split, form, { batch = 90, shuffle = true, seed = 1, epoch = epoch }, function(batch)
    mr.check(C.mr_run_step(run.handle, batch, loss))
  end)
end

local function predictor(model, logit, threads)
  local pool, out = Pool.new(threads), mr.new "mr_run *[1]"
  mr.check(C.mr_run_new_predict(out, model, pool.handle, mr.new("mr_run_options", { batch = 64 }),
    mr.new("int32_t[1]", logit.id), 1))
  return { handle = mr.gc(out[0], C.mr_run_free), pool = pool }
end

-- The bits of the logits of all samples.
local function predict(run, split, form)
  local list = {}
  each_batch(split, form, { batch = 64 }, function(batch)
    local n = tonumber(C.mr_batch_rows(batch, C.MR_SAMPLE))
    local values = mr.new("float[?]", n)
    mr.check(C.mr_run_predict(run.handle, batch, mr.new("float *[1]", values)))
    list[#list + 1] = mr.string(mr.cast("const char *", values), 4 * n)
  end)
  return table.concat(list)
end

local function saved(model)
  local path = helper.temp_dir() .. "/model.mr"
  mr.check(C.mr_model_save(model, path, "about"))
  return helper.read(path), path
end

describe("codes", function()
  local train, valid, more
  setup(function()
    dir = helper.temp_dir()
    local handle = data.schema(columns)
    schema = { handle = handle, columns = {}, fields = {}, tasks = {} }
    for i, column in ipairs(columns) do schema.columns[column.name] = i - 1 end
    train, valid, more = new_split(1, 60), new_split(2, 90), new_split(3, 60)
  end)

  local function trained(form, threads, options)
    local model, logit = new_model()
    options = options or { optimizer = "adagrad" }
    options.batch, options.threads = 90, threads
    local run = g.run(model, options)
    for epoch = 1, EPOCHS do
      train_epoch(run, epoch == 2 and more or train, form, epoch)
    end
    return model, logit, run
  end

  it("train the same model as keys do, with both in turn, from any number of threads", function()
    local expected = saved(trained("keys", 1))
    assert(#expected > 10000, "nothing was trained")
    for _, threads in ipairs { 1, 3 } do
      for form in pairs(forms) do
        assert.is_true(expected == saved(trained(form, threads)), form .. " give another model")
      end
    end
  end)

  -- rows: all walked over the slots of a table, whose notes codes pass by: every row of a batch
  -- took a second step, with no gradient.
  it("train the same model as keys do with rows: all", function()
    local function all(form, threads)
      return (saved(trained(form, threads, { optimizer = "adam", rows_all = true,
        table_l2 = 0.01 })))
    end
    local expected = all("keys", 1)
    for _, threads in ipairs { 1, 3 } do
      for form in pairs(forms) do
        assert.is_true(expected == all(form, threads), form .. " give another model")
      end
    end
  end)

  it("predict what keys do, while the model gains rows between two predictions", function()
    local model, logit = new_model()
    local run = g.run(model, { optimizer = "adagrad", batch = 90, threads = 2 })
    local kept, before = predictor(model, logit, 3), nil
    for epoch = 1, EPOCHS do
      train_epoch(run, train, "codes", epoch)
      local expected = predict(predictor(model, logit, 1), valid, "keys")
      assert.is_true(expected == predict(kept, valid, "codes"))
      assert.is_true(expected == predict(kept, valid, "both"))
      assert.is_false(expected == before)
      before = expected
      train_epoch(run, more, "codes", epoch)
    end
    local expected = predict(kept, train, "keys") -- of another dataset
    assert.is_true(expected == predict(kept, train, "codes"))
  end)

  it("predict the same with the rows of a file", function()
    local model, logit = trained("codes", 1)
    local expected = predict(predictor(model, logit, 1), valid, "keys")
    local _, path = saved(model)
    local out, graph, about = mr.new "mr_model *[1]", mr.new "mr_graph *[1]", mr.new "char *[1]"
    mr.check(C.mr_model_open(out, graph, path, about))
    local opened_graph, opened = mr.gc(graph[0], C.mr_graph_free), mr.gc(out[0], C.mr_model_free)
    C.mr_text_free(about[0])
    for _, form in ipairs { "codes", "keys", "codes" } do
      assert.is_true(expected == predict(predictor(opened, logit, 2), valid, form))
    end
    assert(opened_graph)
  end)

  it("lead to the rows of a key also when another run has laid them out anew", function()
    local model, logit, run = trained("codes", 1)
    local kept = predictor(model, logit, 1)
    local before = predict(kept, valid, "codes")
    local other = g.run(model, { optimizer = "adam", batch = 90 })
    assert.is_true(before == predict(kept, valid, "codes"))
    assert.is_true(before == predict(kept, valid, "keys"))
    train_epoch(other, train, "codes", 9)
    local copy = trained("keys", 1)
    train_epoch(g.run(copy, { optimizer = "adam", batch = 90 }), train, "keys", 9)
    assert.is_true((saved(model)) == (saved(copy)))
    assert(run)
  end)
end)
