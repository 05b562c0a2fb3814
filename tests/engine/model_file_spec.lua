-- The model file: what was saved comes back, the layout as another reader sees it, and every file
-- that is none. (That no changed or missing byte goes unnoticed is tensor_file_spec's.)
local cjson = require "cjson"
local ffi = require "ffi"
local g = require "graph_helper"
local helper = require "helper"
local lfs = require "lfs"
local mr = require "moonrank.ffi"
local Pool = require "moonrank.pool"
local bit64 = require "bit"
local C = mr.C

local KEYS = { 1, 77, 123456789 } -- and some beyond the signed range
local HIGH = { 0x8000000000000000ULL, 0xfffffffffffffffeULL, 0xffffffffffffffffULL }

local function new_graph()
  local schema = g.schema { { name = "ad", type = "id" }, { name = "tags", type = "ids" },
    { name = "price", type = "number" }, { name = "click", type = "label" } }
  local b = g.builder(schema)
  local x = b:concat { b:lookup { column = "ad", dim = 3 }, b:lookup { column = "tags", dim = 2 },
    b:column { column = "price" } }
  x = b:relu(b:batch_norm(b:dense(x, { out = 7, name = "hidden" }), { name = "norm" }))
  local linear = b:lookup { column = "ad", dim = 1, part = "linear", start = "zero" }
  local logit = b:add { b:dense(x, { out = 1, name = "out" }), linear }
  b:logloss(logit, b:column { column = "click" })
  local probability = b:sigmoid(logit)
  mr.check(C.mr_graph_add_task(b.handle, "ctr", logit.id, probability.id))
  return schema, b, logit, probability
end

local function new_batch(schema)
  local n, random = 60, helper.random(3)
  local batch = g.batch(schema, n)
  local ids, bags = C.mr_batch_keys(batch, schema.columns.ad), {}
  for i = 0, n - 1 do ids[i] = i < 3 and HIGH[i + 1] or KEYS[random(3)] + random(20) end
  for i = 1, n do
    bags[i] = {}
    for k = 1, random(4) - 1 do bags[i][k] = "tag" .. random(9) end
  end
  g.fill_bags(batch, schema, "tags", bags)
  g.fill(batch, schema, "price", n, random)
  g.fill(batch, schema, "click", n, function() return random(2) - 1 end)
  return batch, n
end

-- A model after some steps, saved.
local function saved(about)
  local schema, b, logit, probability = new_graph()
  local model, batch, n = g.model(b, 5), new_batch(schema)
  local run = g.run(model, { optimizer = "adam" })
  for _ = 1, 3 do
    g.gradient(run, batch)
    g.update(run)
  end
  local path = helper.temp_dir() .. "/model.mr"
  mr.check(C.mr_model_save(model, path, about or "about"))
  return { path = path, model = model, schema = schema, logit = logit, probability = probability,
    batch = batch, n = n, b = b }
end

local function open(path)
  local graph, about = mr.new "mr_graph *[1]", mr.new "char *[1]"
  local ok, message = mr.ok(C.mr_graph_open(graph, path, about))
  if not ok then return nil, message end
  local text = mr.string(about[0])
  C.mr_text_free(about[0])
  return mr.gc(graph[0], C.mr_graph_free), text
end

local function floats_of(p, n) return mr.string(mr.cast("const char *", p), 4 * n) end

describe("a model file", function()
  it("gives weights, rows, moving statistics and predictions back, bit by bit", function()
    local case = saved()
    local graph = assert(open(case.path))
    local out = mr.new "mr_model *[1]"
    mr.check(C.mr_model_new(out, graph, 99)) -- another start, which must not show
    local copy = mr.gc(out[0], C.mr_model_free)
    mr.check(C.mr_model_load(copy, case.path))
    local pool = Pool.new(1)
    local expected = floats_of(g.predict(case.model, pool, case.batch, case.logit, case.n), case.n)
    assert.equal(expected,
      floats_of(g.predict(copy, pool, case.batch, case.logit, case.n), case.n))
    local again = helper.temp_dir() .. "/again.mr"
    mr.check(C.mr_model_save(copy, again, "about"))
    assert.is_true(helper.read(case.path) == helper.read(again), "saved again it is another file")
    assert.truthy(graph)
  end)

  it("may be loaded over a model that has rows: those of the file win, others stay", function()
    local case = saved()
    local schema, b = new_graph()
    local model, row = g.model(b, 5), mr.new "float *[1]"
    mr.check(C.mr_model_make_row(model, 0, HIGH[1], row))
    row[0][0] = 5
    mr.check(C.mr_model_make_row(model, 0, 4711, row))
    row[0][0] = 6
    mr.check(C.mr_model_load(model, case.path))
    assert.equal(C.mr_model_row(case.model, 0, HIGH[1])[0], C.mr_model_row(model, 0, HIGH[1])[0])
    assert.equal(6, C.mr_model_row(model, 0, 4711)[0])
    assert.truthy(schema)
  end)

  it("keeps any text about it: quotes, backslashes, control characters, UTF-8", function()
    local controls = {}
    for byte = 1, 31 do controls[byte] = string.char(byte) end
    for _, about in ipairs { "", '"', "\\", '\\"\\\\', "a\nb\tc\r\n", table.concat(controls),
      "\127", "naïve – 模型 🙂", '{"json": ["inside", "\\u0041"]}', ("x"):rep(100000) } do
      local _, text = assert(open(saved(about).path))
      assert.is_true(text == about, ("%q came back as %q"):format(about, text))
    end
  end)
end)

-- ---- the layout, read with nothing of the engine's own reader ----

local U64 = ffi.typeof "const uint64_t *"

-- The whole number in eight bytes, `at` bytes from the start.
local function number_at(bytes, at) return ffi.cast(U64, bytes + at)[0] end

local SIZES = require "tensors_helper".SIZES

local function read_tensors(text, bytes)
  local length = tonumber(number_at(bytes, 0))
  assert.equal(0, (8 + length) % 4096, "the data starts on a page")
  local header = cjson.decode(text:sub(9, 8 + length))
  local about = header.__metadata__
  header.__metadata__ = nil
  local list = {}
  for name, tensor in pairs(header) do
    tensor.name, tensor.first = name, 8 + length + tensor.data_offsets[1]
    list[#list + 1] = tensor
  end
  table.sort(list, function(a, b) return a.first < b.first end)
  return list, header, about, 8 + length
end

describe("the layout of a model file", function()
  local case = saved()
  local text = helper.read(case.path)
  local bytes = ffi.new("uint8_t[?]", #text)
  ffi.copy(bytes, text, #text)
  local list, header, about, data = read_tensors(text, bytes)

  it("is safetensors: tensors side by side, without hole or overlap, up to the end", function()
    local at = data
    for _, tensor in ipairs(list) do
      local size = SIZES[tensor.dtype]
      for _, n in ipairs(tensor.shape) do size = size * n end
      assert.equal(at, tensor.first, tensor.name)
      assert.equal(size, tensor.data_offsets[2] - tensor.data_offsets[1], tensor.name)
      at = at + size
      if not tensor.name:find "^pad%d+$" then
        assert.equal(0, tensor.first % 64, tensor.name .. " starts on 64 bytes")
      else
        assert.equal(("\0"):rep(size), text:sub(tensor.first + 1, tensor.first + size))
      end
    end
    assert.equal(#text, at)
  end)

  it("has every weight under its name, with its shape and numbers", function()
    local info = mr.new "mr_param_info"
    for i = 0, C.mr_model_params(case.model) - 1 do
      mr.check(C.mr_model_param(case.model, i, info))
      local tensor = header[mr.string(info.name)]
      assert.same({ info.rows, info.columns }, tensor.shape)
      assert.equal("F32", tensor.dtype)
      local n = info.rows * info.columns
      assert.is_true(floats_of(C.mr_model_weights(case.model, i), n)
        == text:sub(tensor.first + 1, tensor.first + 4 * n), mr.string(info.name))
    end
  end)

  it("has every table's keys, ascending as unsigned numbers, and rows in that order", function()
    local info = mr.new "mr_table_info"
    for t = 0, C.mr_model_tables(case.model) - 1 do
      mr.check(C.mr_model_table(case.model, t, info))
      local name = "table." .. mr.string(info.name)
      local keys, rows = header[name .. ".keys"], header[name .. ".rows"]
      assert.same({ tonumber(info.rows) }, keys.shape)
      assert.same({ tonumber(info.rows), info.width }, rows.shape)
      assert.equal("I64", keys.dtype)
      local last
      for r = 0, tonumber(info.rows) - 1 do
        local key = number_at(bytes, keys.first + 8 * r)
        assert.is_true(last == nil or key > last, "keys must ascend")
        last = key
        local at = rows.first + 4 * info.width * r
        assert.is_true(floats_of(C.mr_model_row(case.model, t, key), info.width)
          == text:sub(at + 1, at + 4 * info.width), "a row of " .. name)
      end
      assert.is_true(number_at(bytes, keys.first) == 0ULL, "unknown comes first")
      if t == 0 then assert.is_true(last == HIGH[3], "2^64 - 1 comes last") end
    end
  end)

  -- A directory has a bit more each time the keys are twice as many, from two to four in a bucket.
  it("has every table's directory: where the keys of a bucket begin", function()
    for name, keys in pairs(header) do
      if name:find "%.keys$" then
        local directory, n = header[name:gsub("keys$", "directory")], keys.shape[1]
        local bits = 0
        while n >= 2 * 2 ^ (bits + 1) do bits = bits + 1 end
        assert.equal("I32", directory.dtype)
        assert.same({ 2 ^ bits + 1 }, directory.shape)
        local entries = ffi.cast("const int32_t *", bytes + directory.first)
        for bucket = 0, 2 ^ bits do
          local below = 0
          for r = 0, n - 1 do
            local key = number_at(bytes, keys.first + 8 * r)
            local top = 0
            for bit = 0, bits - 1 do
              if bit64.band(bit64.rshift(key, 63 - bit), 1ULL) == 1ULL then
                top = top + 2 ^ (bits - 1 - bit)
              end
            end
            if top < bucket then below = below + 1 end
          end
          assert.equal(below, entries[bucket], name .. ", bucket " .. bucket)
        end
      end
    end
  end)

  it("says what the model is: format, schema and graph as JSON, the text about it", function()
    assert.equal("1", about.format)
    assert.equal("about", about.about)
    local schema, graph = cjson.decode(about.schema), cjson.decode(about.graph)
    assert.equal(4, #schema.columns)
    assert.equal(C.mr_graph_nodes(case.b.handle), #graph)
    assert.equal("lookup", graph[1].op)
    assert.equal(3, graph[1].options.dim)
    assert.same({ { name = "ctr", logit = case.logit.id, probability = case.probability.id } },
      cjson.decode(about.tasks))
  end)
end)

-- ---- opened for predicting ----

local tensors = require "tensors_helper"

local function map(path)
  local model, graph, about = mr.new "mr_model *[1]", mr.new "mr_graph *[1]", mr.new "char *[1]"
  local ok, message = mr.ok(C.mr_model_open(model, graph, path, about))
  if not ok then
    assert.is_true(model[0] == nil and graph[0] == nil and about[0] == nil)
    return nil, message
  end
  local text = mr.string(about[0])
  C.mr_text_free(about[0])
  return mr.gc(model[0], C.mr_model_free), mr.gc(graph[0], C.mr_graph_free), text
end

describe("a model file that is mapped", function()
  it("has the same rows, knows no others, and predicts the same bits", function()
    local case = saved()
    local model, graph, text = assert(map(case.path))
    assert.equal("about", text)
    for t = 0, C.mr_model_tables(case.model) - 1 do
      local info, other = mr.new "mr_table_info", mr.new "mr_table_info"
      mr.check(C.mr_model_table(case.model, t, info))
      mr.check(C.mr_model_table(model, t, other))
      local n = tonumber(info.rows)
      assert.equal(n, tonumber(other.rows))
      local keys, values = mr.new("uint64_t[?]", n), mr.new("float[?]", n * info.width)
      local same_keys, same = mr.new("uint64_t[?]", n), mr.new("float[?]", n * info.width)
      mr.check(C.mr_model_export(case.model, t, keys, values))
      mr.check(C.mr_model_export(model, t, same_keys, same))
      assert.equal(mr.string(keys, 8 * n), mr.string(same_keys, 8 * n))
      assert.equal(floats_of(values, n * info.width), floats_of(same, n * info.width))
      for i = 0, n - 1 do
        for _, key in ipairs { keys[i] + 1, keys[i] - 1, keys[i] * 7 + 13 } do
          local has = C.mr_model_row(case.model, t, key) ~= nil
          assert.equal(has, C.mr_model_row(model, t, key) ~= nil)
        end
      end
    end
    local pool = Pool.new(2)
    assert.equal(floats_of(g.predict(case.model, pool, case.batch, case.logit, case.n), case.n),
      floats_of(g.predict(model, pool, case.batch, case.logit, case.n), case.n))
    assert.truthy(graph)
  end)

  it("is read only: no row is made in it and no run trains it", function()
    local case = saved()
    local model, graph = assert(map(case.path))
    local message = 'table "ad" is that of a file, which is only read'
    local ok, actual = mr.ok(C.mr_model_make_row(model, 0, 4711, mr.new "float *[1]"))
    assert.is_nil(ok)
    assert.equal(message, actual)
    local run, pool = mr.new "mr_run *[1]", Pool.new(1)
    ok, actual = mr.ok(C.mr_run_new(run, model, pool.handle, mr.new("mr_run_options",
      { batch = 8, dense = { name = "adam" } })))
    assert.is_nil(ok)
    assert.equal(message, actual)
    assert.truthy(graph)
  end)

  it("gives its rows to a model that is trained", function()
    local case = saved()
    local model, graph = assert(map(case.path))
    local _, b = new_graph()
    local other = g.model(b, 1)
    local ok, message = mr.ok(C.mr_model_assign(other, model))
    assert.is_nil(ok)
    assert.equal("the two models are of different graphs", message)
    local again = mr.new "mr_model *[1]"
    mr.check(C.mr_model_new(again, graph, 3))
    local copy = mr.gc(again[0], C.mr_model_free)
    mr.check(C.mr_model_assign(copy, model))
    local path = helper.temp_dir() .. "/copy.mr"
    mr.check(C.mr_model_save(copy, path, "about"))
    assert.is_true(helper.read(case.path) == helper.read(path))
  end)

  it("is refused with one line where it is whole but wrong", function()
    local case = saved()
    local path = helper.temp_dir() .. "/wrong.mr"
    local function refused(message, change)
      local file = tensors.read(case.path)
      change(file)
      tensors.write(path, file)
      local model, actual = map(path)
      assert.is_nil(model)
      assert.equal(path .. ": " .. message, actual)
    end
    tensors.write(path, tensors.read(case.path))
    assert(map(path)) -- nothing but the change is what is refused

    local function edit(name, f)
      return function(file)
        local value = cjson.decode(file.metadata[name])
        file.metadata[name] = cjson.encode(f(value) or value)
      end
    end
    refused("tasks: task \"ctr\": node 99, but there are 13 nodes",
      edit("tasks", function(tasks) tasks[1].logit = 99 end))
    refused("tasks: task \"ctr\": the probability is node 0 (lookup), which is not one value a "
      .. "sample", edit("tasks", function(tasks) tasks[1].probability = 0 end))
    refused("tasks: \"logit\": a number is not whole or out of range",
      edit("tasks", function(tasks) tasks[1].logit = 0.5 end))
    refused("tasks: task \"ctr\": there is one of that name already",
      edit("tasks", function(tasks) tasks[2] = tasks[1] end))
    refused("tasks: task \"\": the name has 0 bytes, expected 1 to 200",
      edit("tasks", function(tasks) tasks[1].name = "" end))
    refused("tasks: there is no list of them", function(file) file.metadata.tasks = "{}" end)
    refused('metadata: "tasks" is missing', function(file) file.metadata.tasks = nil end)
    refused("it is of format 2, this version reads format 1", function(file)
      file.metadata.format = "2"
    end)
    -- As text: an encoder would make objects of the empty lists of inputs.
    local function retext(from, to)
      return function(file)
        local graph, n = file.metadata.graph:gsub(from, to)
        assert.equal(1, n)
        file.metadata.graph = graph
      end
    end
    refused('graph: node 3: there is no op "concatenate"', retext('"concat"', '"concatenate"'))
    refused("graph: node 4: dense: input 1 is node 4, but there are 4 nodes", -- a cycle
      retext("%[3%]", "[4]"))
    refused("graph: node 4: dense: input 1 is node 77, but there are 4 nodes",
      retext("%[3%]", "[77]"))
    refused('graph: node 4: a number is not whole or out of range',
      retext("%[3%]", "[-1]"))
    refused('"hidden.weight" has size 7 where the model has 9', retext('"out":7', '"out":9'))

    local function numbers(name, ctype, f)
      return function(file)
        local t = tensors.find(file, name)
        local values = ffi.new(ctype .. "[?]", #t.data / ffi.sizeof(ctype))
        ffi.copy(values, t.data, #t.data)
        f(values)
        t.data = ffi.string(values, #t.data)
      end
    end
    refused('number 2 of "hidden.bias" is not finite',
      numbers("hidden.bias", "float", function(v) v[1] = 0 / 0 end))
    refused('number 1 of "norm.moving_variance" is not finite',
      numbers("norm.moving_variance", "float", function(v) v[0] = math.huge end))
    refused('table "ad": the keys do not ascend',
      numbers("table.ad.keys", "uint64_t", function(v) v[2] = v[1] end))
    refused('"table.ad.keys" does not start with the key of unknown values',
      numbers("table.ad.keys", "uint64_t", function(v) v[0] = 1 end))
    refused('table "ad": the directory is not that of the keys',
      numbers("table.ad.directory", "int32_t", function(v) v[1] = 1000000 end))
    refused('there is no "table.ad.directory"', function(file)
      tensors.find(file, "table.ad.directory").name = "other"
    end)
    refused('"table.ad.directory" is of another type than the model\'s', function(file)
      tensors.find(file, "table.ad.directory").dtype = "F32"
    end)
    local n = tensors.find(tensors.read(case.path), "table.ad.rows").shape[1]
    refused(('"table.ad.rows" has size %d where the model has %d'):format(2 * n, n), function(file)
      local t = tensors.find(file, "table.ad.rows")
      t.shape = { t.shape[1] * 2, 2 }
    end)
    refused("the header is damaged: a tensor is not where the one before it ends, or has another "
      .. "size", function(file) tensors.find(file, "hidden.weight").shape = { 1, 1 } end)
    refused('the header is damaged: a tensor type other than F32, I64, I32 and U8', function(file)
      tensors.find(file, "hidden.weight").dtype = "F16"
    end)
    refused('tensor "hidden.weight": its size overflows', function(file)
      tensors.find(file, "hidden.weight").shape = { 2 ^ 52, 2 ^ 52 }
    end)
  end)
end)

-- ---- files that are none ----

describe("what is no model file", function()
  local function refused(path, message)
    local graph, actual = open(path)
    assert.is_nil(graph)
    assert.equal(message, actual)
    local _, b = new_graph()
    local model = g.model(b)
    local ok
    ok, actual = mr.ok(C.mr_model_load(model, path))
    assert.is_nil(ok)
    assert.equal(message, actual)
  end

  it("is refused with its path: missing, a folder, a pipe, empty, text, zeros", function()
    local dir = helper.temp_dir()
    refused(dir .. "/none.mr", dir .. "/none.mr: No such file or directory")
    refused(dir, dir .. " is not a file of tensors")
    assert.equal(0, os.execute("mkfifo " .. helper.quote(dir .. "/pipe")))
    refused(dir .. "/pipe", dir .. "/pipe is not a file of tensors")
    refused("/dev/null", "/dev/null is not a file of tensors")
    refused(helper.write(dir .. "/empty", ""), dir .. "/empty is not a file of tensors")
    refused(helper.write(dir .. "/text", "click,user\n1,2\n"),
      dir .. "/text: the header is damaged: its length is wrong")
    refused(helper.write(dir .. "/zeros", ("\0"):rep(4096)),
      dir .. "/zeros: damaged JSON: a broken number")
  end)

  it("cannot be written over a folder or into none; nothing is left behind", function()
    local _, b = new_graph()
    local model, dir = g.model(b), helper.temp_dir()
    assert(lfs.mkdir(dir .. "/folder"))
    assert.is_nil(mr.ok(C.mr_model_save(model, dir .. "/none/model.mr", "")))
    assert.truthy(mr.last_error():find(dir .. "/none/model.mr", 1, true))
    assert.is_nil(mr.ok(C.mr_model_save(model, dir .. "/folder", "")))
    local left = {}
    for name in lfs.dir(dir) do left[#left + 1] = name end
    table.sort(left)
    assert.same({ ".", "..", "folder" }, left)
  end)
end)

describe("a file of another model", function()
  local function refused(message, build)
    it(("is refused: %s"):format(message), function()
      local case = saved()
      local b = g.builder(g.schema { { name = "ad", type = "id" },
        { name = "x", type = "number" } })
      build(b)
      local ok, actual = mr.ok(C.mr_model_load(g.model(b), case.path))
      assert.is_nil(ok)
      assert.equal(case.path .. ": " .. message, actual)
    end)
  end

  refused('there is no "other.weight"', function(b)
    b:dense(b:column { column = "x" }, { out = 7, name = "other" })
  end)
  refused('"hidden.weight" has size 6 where the model has 1', function(b)
    b:dense(b:column { column = "x" }, { out = 7, name = "hidden" })
  end)
  refused('"table.ad.rows" has size 4 where the model has 2', function(b)
    b:lookup { column = "ad", dim = 2 }
  end)
end)

describe("long names", function()
  local function built(name, weight)
    local b = g.builder(g.schema { { name = "x", type = "number" },
      { name = "ad", type = "id", table = name } })
    local y = b:concat { b:lookup { column = "ad", dim = 2 },
      b:dense(b:column { column = "x" }, { out = 2, name = weight }) }
    b:probe(y, y)
    return b
  end

  it("come back when the graph takes them", function()
    local b, row = built(("t"):rep(200), ("w"):rep(200)), mr.new "float *[1]"
    local model, path = g.model(b), helper.temp_dir() .. "/model.mr"
    mr.check(C.mr_model_make_row(model, 0, 5, row))
    row[0][1] = 42
    mr.check(C.mr_model_save(model, path, ""))
    local other = g.model(b)
    assert(mr.ok(C.mr_model_load(other, path)))
    assert.equal(42, C.mr_model_row(other, 0, 5)[1])
    assert(open(path))
  end)

  it("are refused while the graph is built, not after the training", function()
    for _, n in ipairs { 201, 245, 295, 1000 } do
      helper.raises(('lookup: the name of a table, "%s...", has %d bytes, at most 200 are allowed')
        :format(("t"):rep(40), n), built, ("t"):rep(n), "w")
      helper.raises(('dense: the name of a node, "%s...", has %d bytes, at most 200 are allowed')
        :format(("w"):rep(40), n), built, "t", ("w"):rep(n))
    end
  end)
end)
