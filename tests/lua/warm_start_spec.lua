-- Starting from another model: what the patterns name is taken, rows with their keys; the rest is
-- as the seed makes it.
local helper = require "helper"
local mr = require "moonrank"
local tensors = require "moonrank.tensors"
local ffi = require "moonrank.ffi"
local C = ffi.C

local dir = helper.make_project { rows = 600 }
local data = mr.dataset(dir .. "/fields.yaml", { threads = 1 })

local function script(name, body)
  return helper.write(("%s/%s.lua"):format(dir, name),
    ("return { build = function(m)\n%s\nend }\n"):format(body))
end

-- A network alone, with a linear part beside it, and with a wider table and layer.
local deep = script("deep", 'm:task("ctr", m:mlp(m:inputs(), { hidden = { 8 }, out = 1 }))')
local both = script("both", [[
local y = m:mlp(m:inputs(), { hidden = { 8 }, out = 1 })
m:task("ctr", m:add { m:linear(), y })]])
local wide = script("wide", [[
m:task("ctr", m:mlp(m:inputs("all", { dim = 6 }), { hidden = { 8 }, out = 1 }))]])

local function new_model(path, seed)
  return mr.model(path, { fields = data.fields, seed = seed })
end

-- A trained network and its file; every number in it has moved, biases too.
local source = new_model(deep, 1)
local trained = mr.trainer(source, { batch = 50, threads = 1,
  optimizer = { adam = { lr = 0.01 } } })
trained:fit({ train = data.train }, { epochs = 1 })
local file = dir .. "/deep.mr"
assert(trained:save(file))

local function numbers(model, name)
  for _, tensor in ipairs(tensors.list(model)) do
    if tensor.name == name then
      local info, list = ffi.new "mr_param_info", {}
      ffi.check(C.mr_model_param(model.handle, tensor.weight, info))
      local w = C.mr_model_weights(model.handle, tensor.weight)
      for i = 1, info.rows * info.columns do list[i] = w[i - 1] end
      return list
    end
  end
end

-- The value of a key of a field's table: all parts side by side.
local function row(model, field, text)
  local schema = data.fields.schema
  local column = schema:column(field)
  local info = ffi.new "mr_table_info"
  for t = 0, C.mr_model_tables(model.handle) - 1 do
    ffi.check(C.mr_model_table(model.handle, t, info))
    if ffi.string(info.name) == field then
      local values = C.mr_model_row(model.handle, t,
        C.mr_schema_key(schema.handle, column, text, #text))
      if values == nil then return nil end
      local list = {}
      for i = 1, info.width do list[i] = values[i - 1] end
      return list
    end
  end
end

describe("a warm start", function()
  it("takes everything by default, so that the two models are the same", function()
    local model = new_model(deep, 2)
    local report = assert(model:warm_start(file))
    assert.same({ file = file, missing = {}, taken = { "dense_1.weight", "dense_1.bias",
      "dense_2.weight", "dense_2.bias", "table.user", "table.hour", "table.ad", "table.tags" } },
      report)
    model.training = source.training -- what the file says of it
    assert(model:save(dir .. "/again.mr"))
    assert.is_true(helper.read(file) == helper.read(dir .. "/again.mr"))
  end)

  it("takes what patterns name and leaves the rest to the seed", function()
    local model, fresh = new_model(deep, 2), new_model(deep, 2)
    local report = assert(model:warm_start(file, { "table.user", "*_2.*" }))
    assert.same({ "dense_2.weight", "dense_2.bias", "table.user" }, report.taken)
    assert.same(row(source, "user", "u5"), row(model, "user", "u5"))
    assert.is_nil(row(model, "ad", "a5"))
    assert.same(numbers(source, "dense_2.weight"), numbers(model, "dense_2.weight"))
    assert.same(numbers(fresh, "dense_1.weight"), numbers(model, "dense_1.weight"))
    assert.is_true(numbers(source, "dense_1.weight")[1] ~= numbers(model, "dense_1.weight")[1])
  end)

  it("takes the parts that a table of another width has, and says what is not there", function()
    local report = assert(new_model(both, 2):warm_start(file, { "table.*" }))
    assert.same({ "table.user.embedding", "table.hour.embedding", "table.ad.embedding",
      "table.tags.embedding" }, report.taken)
    assert.same({ "table.user.linear", "table.hour.linear", "table.ad.linear",
      "table.tags.linear" }, report.missing)
    -- Parts lie side by side in a row, in the order in which the script looks them up.
    local model = new_model(both, 2)
    assert(model:warm_start(file, { "table.user" }))
    local from, to = row(source, "user", "u5"), row(model, "user", "u5")
    assert.equal(#from + 1, #to)
    assert.same(from, { to[1], to[2], to[3], to[4] })
    assert.equal(0, to[5]) -- a linear weight starts at zero
  end)

  it("is predicted by at once", function()
    local model = new_model(deep, 7)
    assert(model:warm_start(file))
    local run = mr.trainer(model, { batch = 50, threads = 1 })
    assert.equal(trained:evaluate(data.test).logloss, run:evaluate(data.test).logloss)
  end)

  it("is refused where a shape differs, with both shapes", function()
    helper.fails_with(file .. ': "table.user.embedding" is 4 wide there, 6 here',
      new_model(wide, 2):warm_start(file, { "table.user" }))
    helper.fails_with(file .. ': "dense_1.weight" is 17 x 8 there, 25 x 8 here',
      new_model(wide, 2):warm_start(file))
  end)

  it("is refused where a pattern matches nothing, here or in both", function()
    helper.fails_with(file .. ': "table.usr" matches no weight and no table of the model; did you '
      .. 'mean "table.user"?', new_model(deep, 2):warm_start(file, { "*", "table.usr" }))
    helper.fails_with(file .. ': "table.*.linear" matches nothing that both models have',
      new_model(both, 2):warm_start(file, { "*", "table.*.linear" }))
    helper.fails_with(dir .. "/none.mr: No such file or directory",
      new_model(deep, 2):warm_start(dir .. "/none.mr"))
  end)

  it("never mixes tables of two names: their keys are other hashes", function()
    helper.raises('the keys of table "ad" mean nothing in table "user"', function()
      ffi.check(C.mr_model_take_part(new_model(deep, 2).handle, 0, 0, source.handle, 2, 0))
    end)
  end)
end)

describe("train.warm_start", function()
  local function experiment(name, text)
    return helper.write(("%s/%s.yaml"):format(dir, name), ([[
fields: fields.yaml
model: {script: both.lua}
train:
  batch: 50
  optimizer: {sgd: {lr: 0.01}}
  %s
]]):format(text))
  end

  it("starts a run, which says what was taken; its folder repeats it", function()
    helper.write(dir .. "/folder/model.mr", helper.read(file))
    local path = experiment("warm", 'warm_start: {model: folder, names: ["table.*", dense_2.bias]}')
    local status, out, err = helper.run(("train %s --out %s/warm"):format(path, dir))
    assert.same({ 0, "" }, { status, err })
    local lines = ("taken    from %s/folder/model.mr: dense_2.bias, table.user.embedding, "
      .. "table.hour.embedding, table.ad.embedding, table.tags.embedding\nnew      not in there: "
      .. "table.user.linear, table.hour.linear, table.ad.linear, table.tags.linear\n"):format(dir)
    assert.truthy(out:find(lines, 1, true))
    assert.truthy(helper.read(dir .. "/warm/log.txt"):find(lines, 1, true))
    assert.equal(0, (helper.run(("train %s/warm/config.yaml --out %s/repeated --quiet"):format(dir,
      dir))))
    assert.is_true(helper.read(dir .. "/warm/model.mr") == helper.read(dir .. "/repeated/model.mr"))
    assert.equal(0, (helper.run(("train %s --out %s/cold --quiet --set 'train.warm_start={model: "
      .. "%s, names: [dense_2.bias]}'"):format(path, dir, file))))
    assert.is_false(helper.read(dir .. "/warm/model.mr") == helper.read(dir .. "/cold/model.mr"))
  end)

  it("says in one line what is wrong, and where", function()
    local function says(message, text)
      local path = experiment("wrong", text)
      assert.same({ 1, "", ("moonrank: %s:%s\n"):format(path, message) },
        { helper.run(("train %s --quiet --out %s/wrong"):format(path, dir)) })
      assert.is_false(helper.exists(dir .. "/wrong"))
    end
    says(("6:23: train.warm_start.model: %s/nope.mr: No such file or directory"):format(dir),
      "warm_start: {model: nope.mr}")
    says(('6:45: train.warm_start.names: %s/deep.mr: "table.usr" matches no weight and no table of '
      .. 'the model; did you mean "table.user"?'):format(dir),
      'warm_start: {model: deep.mr, names: ["*", table.usr]}')
    says("6:15: train.warm_start.model is missing", "warm_start: {}")
  end)
end)
