-- Objects of the library: closed twice, used after they were closed, collected in any order.
local helper = require "helper"
local mr = require "moonrank"

local function make()
  local dir = helper.make_project { rows = 300 }
  local data = mr.dataset(dir .. "/fields.yaml", { threads = 1 })
  local model = mr.model("lr", { fields = data.fields })
  local run = mr.trainer(model, { batch = 64, threads = 2 })
  return data, model, run, dir
end

local function closed(message, f, ...)
  local ok, actual = pcall(f, ...)
  assert.is_false(ok)
  assert.equal(message, (tostring(actual):gsub("^.-%.lua:%d+: ", "")))
end

describe("an object of the library", function()
  it("may be closed twice", function()
    local data, model, run = make()
    run:fit(data, { epochs = 1 })
    for _ = 1, 2 do
      run:close()
      model:close()
      data:close()
    end
  end)

  it("says so when it is used after it was closed", function()
    local data, model, run, dir = make()
    run:fit(data, { epochs = 1 })
    local batches = run:batches(data.train, 1)
    local batch = batches()
    run:close()
    closed("the trainer is closed", run.fit, run, data, { epochs = 2 })
    closed("the trainer is closed", run.step, run, batch)
    closed("the trainer is closed", run.evaluate, run, data.test)
    closed("the trainer is closed", run.save, run, dir .. "/x.mr")
    closed("the trainer is closed", run.describe, run, data)
    model:close()
    closed("the model is closed", model.save, model, dir .. "/x.mr")
    closed("the model is closed", model.describe, model)
    closed("the model is closed", model.copy, model)
    closed("the model is closed", mr.trainer, model, {})
    data:close()
  end)

  it("says so when what it works on was closed", function()
    local data, model, run = make()
    run:fit(data, { epochs = 1 })
    model:close()
    closed("the model is closed", run.fit, run, data, { epochs = 2 })
  end)

  it("may be closed in any order, whatever was made from it", function()
    local data, model, run, dir = make()
    run:fit(data, { epochs = 1 })
    local other = model:copy()
    local path = dir .. "/model.mr"
    model.builder:close() -- the models share the graph, which stays as long as they do
    closed("the graph is closed", model.builder.watch, model.builder, { id = 0 })
    assert(other:save(path))
    model:close()
    assert(other:fresh():read(path))
    assert(run:evaluate(data.test).auc) -- of the best model, a copy
    closed("the model is closed", run.use, run, model)
    local read = assert(mr.load(path))
    read.builder:close()
    assert(read:save(dir .. "/again.mr"))
    assert(read:describe())
    read:close()
    read:close()
    closed("the model is closed", read.describe, read)
    other:close()
    closed("the model is closed", other.fresh, other)
    closed("the model is closed", other.read, other, path)
    closed("the model is closed", other.assign, other, assert(mr.load(path)))
    closed("the other model is closed", assert(mr.load(path)).assign, assert(mr.load(path)), other)
    run:close()
    data:close()
  end)

  it("says so: the trainer of a model whose rows all step", function()
    local data, model, _, dir = make()
    local run = mr.trainer(model, { batch = 64, threads = 1, tables = { rows = "all" } })
    run:keep_checkpoints(dir .. "/checkpoints")
    run:close()
    closed("the trainer is closed", run.fit, run, data, { epochs = 1 })
    closed("the trainer is closed", run.resume, run)
    closed("the trainer is closed", run.batches, run, data.train, 1)
    closed("the trainer is closed", run.use, run, model)
    closed("the trainer is closed", run.predict, run, data.test, {})
  end)

  it("says so: a split, its loader and its batches", function()
    local data, _, run = make()
    local split = data.train
    local loader = split:loader { batch = 64 }
    local first = loader()
    run:step(first)
    local second = loader()
    closed("the batch is gone: its loader was closed or has made another", run.step, run, first)
    run:step(second)
    loader:close()
    loader:close()
    closed("the loader is closed", loader)
    closed("the batch is gone: its loader was closed or has made another", run.step, run, second)

    loader = split:loader { batch = 1000 }
    local batch = loader()
    assert.is_nil(loader()) -- the end, which is no mistake, however often it is met
    assert.is_nil(loader())
    closed("the batch is gone: its loader was closed or has made another", run.step, run, batch)

    loader = split:loader { batch = 64 }
    split:close()
    split:close()
    run:step(loader()) -- which holds on to the data
    for _, name in ipairs { "samples", "requests", "labels", "loader" } do
      closed("the split train is closed", split[name], split)
    end
    closed("the split train is closed", split.distinct, split, "user")
    closed("the split train is closed", split.floats, split, "price")
    closed("the split train is closed", split.keys, split, "group:user")
    closed("the split train is closed", split.groups, split)
    closed("the split train is closed", run.evaluate, run, split)
    closed("the split train is closed", run.batches, run, split, 1)
  end)

  it("says so: a batch outlives the name of its loader", function()
    local data, _, run = make()
    local batch = data.train:loader { batch = 64 } ()
    for _ = 1, 3 do collectgarbage() end
    run:step(batch)
  end)

  it("says so: a predictor, its pool and its model", function()
    local data, model = make()
    local Pool, Predictor = require "moonrank.pool", require "moonrank.predictor"
    local pool = Pool.new(2)
    local predictor = Predictor.new(model, pool)
    predictor:evaluate(data.test)
    pool:close()
    pool:close()
    closed("the pool of threads is closed", predictor.evaluate, predictor, data.test)
    closed("the pool of threads is closed", predictor.predict, predictor, data.test, {})
    closed("the pool of threads is closed", Predictor.new, model, pool)
    local other = Predictor.new(model, Pool.new(1))
    other:close()
    other:close()
    closed("the predictor is closed", other.evaluate, other, data.test)
    closed("the predictor is closed", other.predict, other, data.test, {})
    local unread = mr.dataset(data.config, { pool = pool })
    closed("the pool of threads is closed", unread.split, unread, "valid")
  end)

  it("says so: a trainer whose pool was closed under it", function()
    local data, _, run = make()
    run.pool:close()
    local loader = data.train:loader { batch = 64 }
    closed("the pool of threads is closed", run.step, run, loader())
  end)

  it("says so: a builder, a file, a run folder", function()
    local data = make()
    local builder = require "moonrank.builder".new(data.schema)
    local node = builder:lookup { column = "user", dim = 2 }
    builder:close()
    builder:close()
    closed("the graph is closed", builder.dense, builder, node, { out = 1 })
    closed("the graph is closed", builder.share, builder)
    closed("the graph is closed", builder.watch, builder, node)

    local dir = helper.temp_dir()
    local sink = assert(require "moonrank.sink".open(dir .. "/text"))
    assert(sink:close())
    sink:abort()
    closed(("the file %s/text is closed already"):format(dir), sink.write, sink, "more")
    closed(("the file %s/text is closed already"):format(dir), sink.close, sink)

    local project = helper.make_project {}
    local configuration = assert(require "moonrank.config".experiment(project .. "/lr.yaml"))
    local folder = assert(require "moonrank.run_folder".new(project .. "/run", configuration))
    assert(folder:close())
    assert(folder:close())
    closed("the run folder is closed", folder.log, folder, "line")
    closed("the run folder is closed", folder.metrics, folder, {})
    closed("the run folder is closed", folder.sync_metrics, folder)
  end)

  it("may be collected in any order, and nothing is left", function()
    local C = require "moonrank.ffi".C
    local function live()
      -- A batch's loader goes a collection after the batch, and what it holds after that.
      for _ = 1, 4 do collectgarbage() end
      return tonumber(C.mr_alloc_live())
    end
    local before = live()
    local function make_parts(data, model)
      local copy = model:copy()
      local trainer = mr.trainer(copy, { batch = 64, threads = 1 })
      local loader = trainer:batches(data.train, 1)
      local batch = loader()
      trainer:step(batch)
      return { copy, trainer, loader, batch, require "moonrank.predictor".new(copy, trainer.pool) }
    end
    local function orders(done, left, each)
      if #left == 0 then return each(done) end
      for i = 1, #left do
        local rest = { unpack(left) }
        done[#done + 1] = table.remove(rest, i)
        orders(done, rest, each)
        done[#done] = nil
      end
    end
    local function drop_in_all_orders()
      local data, model = make()
      local n = 0
      orders({}, { 1, 2, 3, 4, 5 }, function(order)
        local parts = make_parts(data, model)
        for _, i in ipairs(order) do
          parts[i] = nil
          collectgarbage()
        end
        n = n + 1
      end)
      assert.equal(120, n)
    end
    jit.off(drop_in_all_orders, true) -- compiled code holds on to what it has seen
    drop_in_all_orders()
    for order = 1, 4 do
      local parts = { make() } -- data, model, trainer, folder
      parts[3]:fit(parts[1], { epochs = 1 })
      parts[4] = parts[3]:batches(parts[1].train, 1)
      for i = 1, 4 do
        parts[(i * (order % 2 == 0 and 1 or 3) + order) % 4 + 1] = nil
        collectgarbage()
      end
    end
    assert.equal(before, live())
  end)
end)

describe("an array in the engine's memory", function()
  local engine = require "moonrank.ffi"

  it("holds what is written, and is freed once: when told to, or collected", function()
    collectgarbage() collectgarbage()
    local before = tonumber(engine.C.mr_alloc_live())
    local array = engine.array("double", 1000)
    for i = 0, 999 do array[i] = i / 2 end
    assert.equal(499.5, array[999])
    assert.equal(before + 1, tonumber(engine.C.mr_alloc_live()))
    engine.free(array)
    assert.equal(before, tonumber(engine.C.mr_alloc_live()))
    assert(engine.array("float", 0) ~= nil)
    collectgarbage() collectgarbage()
    assert.equal(before, tonumber(engine.C.mr_alloc_live()))
  end)

  it("says so where memory runs out, and is of no negative size", function()
    engine.C.mr_alloc_fail_after(0)
    local ok, message = pcall(engine.array, "float", 10)
    engine.C.mr_alloc_fail_after(-1)
    assert.is_false(ok)
    assert.equal("memory ran out", (message:gsub("^[^\n:]*:%d+: ", "")))
    ok, message = pcall(engine.array, "float", -1)
    assert.is_false(ok)
    assert.equal("a block of -4 bytes, expected 0 or more", (message:gsub("^[^\n:]*:%d+: ", "")))
  end)
end)
