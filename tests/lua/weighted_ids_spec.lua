-- Weighted ids, and ids pooled by their largest numbers, through the whole house: from the fields
-- file to scores, held against loops in Lua.
local helper = require "helper"
local mr = require "moonrank"
local ffi = require "moonrank.ffi"
local C = ffi.C

local TAGS, ROWS = 12, 400

-- Rows { y, tags = { { tag, weight } .. } }: some without tags, with one twice, or all weights 0.
local function make_rows(n, seed)
  local random, rows = helper.random(seed), {}
  for i = 1, n do
    local row = { tags = {} }
    local score = 0
    for k = 1, random(5) - 1 do
      local tag, weight = random(TAGS), (random(17) - 5) / 4
      row.tags[k] = { tag, weight }
      score = score + weight * (tag % 3 - 1)
    end
    row.y = score + random() - 0.5 > 0 and 1 or 0
    rows[i] = row
  end
  return rows
end

local function bag(row, separator, form)
  local pieces = {}
  for i, one in ipairs(row.tags) do
    pieces[i] = form == "weight" and ("%.17g"):format(one[2]) or form:format(one[1], one[2])
  end
  return table.concat(pieces, separator)
end

local function write_csv(path, rows, form)
  local lines = { "click,tags" }
  for i, row in ipairs(rows) do lines[i + 1] = ("%d,%s"):format(row.y, bag(row, "|", form)) end
  helper.write(path, table.concat(lines, "\n") .. "\n")
end

-- The weights in a column of their own, of csv and of lists.
local function write_beside(path, rows)
  local lines, lists = { "w,click,tags" }, {}
  for i, row in ipairs(rows) do
    lines[i + 1] = ("%s,%d,%s"):format(bag(row, "|", "weight"), row.y, bag(row, "|", "t%d"))
    lists[i] = ('{"click": %d, "u": {"tags": [%s], "w": [%s]}}'):format(row.y,
      bag(row, ",", '"t%d"'), bag(row, ",", "weight"))
  end
  helper.write(path .. ".csv", table.concat(lines, "\n") .. "\n")
  helper.write(path .. ".jsonl", table.concat(lists, "\n") .. "\n")
end

local dir = helper.temp_dir()
local train, valid = make_rows(ROWS, 1), make_rows(150, 2)
for name, rows in pairs { train = train, valid = valid } do
  write_csv(("%s/%s.csv"):format(dir, name), rows, "t%d:%.17g")
  write_beside(("%s/beside-%s"):format(dir, name), rows)
  write_csv(("%s/plain-%s.csv"):format(dir, name), rows, "t%d")
  local lines = {}
  for i, row in ipairs(rows) do
    lines[i] = ("%d %s"):format(row.y, bag(row, " ", "%d:%.17g"))
  end
  helper.write(("%s/%s.svm"):format(dir, name), table.concat(lines, "\n") .. "\n")
end

local function fields(text) return "defaults: {dim: 3}\n" .. text end

helper.write(dir .. "/mean.yaml", fields [[
data: {train: train.csv, valid: valid.csv}
label: click
fields: [{name: tags, side: ad, type: ids, separator: "|", weighted: true, pool: mean}]
]])
helper.write(dir .. "/sum.yaml", fields [[
data: {train: train.csv, valid: valid.csv}
label: click
fields: [{name: tags, side: ad, type: ids, separator: "|", weighted: true, pool: sum, max: 3}]
]])
helper.write(dir .. "/svm.yaml", fields [[
data: {train: train.svm, valid: valid.svm}
label: label
fields: [{name: tags, source: features, side: ad, type: ids, weighted: true, pool: sum}]
]])
helper.write(dir .. "/max.yaml", fields [[
data: {train: plain-train.csv, valid: plain-valid.csv}
label: click
fields: [{name: tags, side: ad, type: ids, separator: "|", pool: max}]
]])
helper.write(dir .. "/beside.yaml", fields [[
data: {train: beside-train.csv, valid: beside-valid.csv}
label: click
fields: [{name: tags, side: ad, type: ids, separator: "|", weights: w, pool: mean}]
]])
helper.write(dir .. "/lists.yaml", fields [[
data: {train: beside-train.jsonl, valid: beside-valid.jsonl}
label: click
fields: [{name: tags, source: u.tags, side: ad, type: ids, weights: u.w, pool: mean}]
]])
helper.write(dir .. "/script.lua", [[
return {
  name = "bag", options = {},
  build = function(m) m:task("ctr", m:dense(m:embed "tags", { out = 1 })) end,
}
]])
for _, name in ipairs { "mean", "sum", "svm", "max", "beside", "lists" } do
  helper.write(("%s/%s-model.yaml"):format(dir, name), ([[
fields: %s.yaml
model: {script: script.lua}
train: {batch: %d, epochs: 6, seed: 3, shuffle: false, optimizer: {sgd: {lr: 0.5}}}
]]):format(name, ROWS))
end

local function run(words)
  local status, out, err = helper.run(words)
  assert.same({ 0, "" }, { status, err })
  return out
end

local function scores(text)
  local list = {}
  for line in text:gmatch "[^\n]+" do list[#list + 1] = tonumber(line) end
  return list
end

-- The share of each value in its bag.
local function shares(row, kind, max)
  local list, sum = {}, 0
  for i = 1, math.min(#row.tags, max or 99) do
    list[i] = row.tags[i][2]
    sum = sum + math.abs(list[i])
  end
  for i = 1, kind == "mean" and #list or 0 do list[i] = sum > 0 and list[i] / sum or 0 end
  return list
end

local POOLS = {
  max = function(row, rows)
    local x, from = { 0, 0, 0 }, {}
    for e = 1, 3 do
      for i, one in ipairs(row.tags) do
        if i == 1 or rows[one[1]][e] > x[e] then x[e], from[e] = rows[one[1]][e], one[1] end
      end
    end
    return x, function(e, add) if from[e] then add(from[e], 1) end end
  end,
}
for kind, max in pairs { mean = 99, sum = 3, svm = 99 } do
  POOLS[kind] = function(row, rows)
    local x, list = { 0, 0, 0 }, shares(row, kind, max)
    for i, share in ipairs(list) do
      for e = 1, 3 do x[e] = x[e] + share * rows[row.tags[i][1]][e] end
    end
    return x, function(_, add)
      for i, share in ipairs(list) do add(row.tags[i][1], share) end
    end
  end
end

local function sigmoid(z) return 1 / (1 + math.exp(-z)) end

-- One output over a pooled bag, learned by plain gradient descent over all rows at once, in double.
local function learn(model, pool, epochs)
  for _ = 1, epochs do
    local d = { rows = {}, w = { 0, 0, 0 }, b = 0 }
    for tag = 1, TAGS do d.rows[tag] = { 0, 0, 0 } end
    for _, row in ipairs(train) do
      local x, spread = pool(row, model.rows)
      local z = model.b
      for e = 1, 3 do z = z + model.w[e] * x[e] end
      local dz = (sigmoid(z) - row.y) / #train
      d.b = d.b + dz
      for e = 1, 3 do
        d.w[e] = d.w[e] + dz * x[e]
        spread(e, function(tag, share)
          d.rows[tag][e] = d.rows[tag][e] + dz * model.w[e] * share
        end)
      end
    end
    model.b = model.b - 0.5 * d.b
    for e = 1, 3 do
      model.w[e] = model.w[e] - 0.5 * d.w[e]
      for tag = 1, TAGS do
        model.rows[tag][e] = model.rows[tag][e] - 0.5 * d.rows[tag][e]
      end
    end
  end
  return model
end

-- A model of known numbers, trained on the fields of a file, and the same in Lua; form: how the
-- file names tags.
local function train_both(kind, form)
  local data = assert(mr.dataset(("%s/%s.yaml"):format(dir, kind), { threads = 2 }))
  local model = mr.model(dir .. "/script.lua", { fields = data.fields })
  local slow, random, row = { rows = {}, w = {}, b = 0.25 }, helper.random(7), ffi.new "float *[1]"
  for tag = 1, TAGS do
    local text = form:format(tag)
    local key = C.mr_schema_key(data.schema.handle, 0, text, #text)
    ffi.check(C.mr_model_make_row(model.handle, 0, key, row))
    slow.rows[tag] = {}
    for e = 1, 3 do
      slow.rows[tag][e] = random() - 0.5
      row[0][e - 1] = slow.rows[tag][e]
    end
  end
  for i = 0, 1 do
    local info = ffi.new "mr_param_info"
    ffi.check(C.mr_model_param(model.handle, i, info))
    local w, n = C.mr_model_weights(model.handle, i), tonumber(info.rows * info.columns)
    for e = 1, n do
      local value = n == 1 and slow.b or random() - 0.5
      if n == 3 then slow.w[e] = value end
      w[e - 1] = value
    end
  end
  ffi.check(C.mr_model_changed(model.handle))
  mr.trainer(model, { optimizer = { sgd = { lr = 0.5 } }, batch = ROWS, seed = 1 })
    :fit(data, { epochs = 6 })
  learn(slow, POOLS[kind], 6)
  return data, model, slow
end

local function check_training(kind, form)
  local data, model, slow = train_both(kind, form)
  local logits, spread = require "moonrank.predictor".new(model, data.pool):logits(data.valid, 1), 0
  for i, row in ipairs(valid) do
    local x, z = POOLS[kind](row, slow.rows), slow.b
    for e = 1, 3 do z = z + slow.w[e] * x[e] end
    assert(math.abs(z - logits[i - 1]) < 1e-5, ("%s, row %d: %g and %g"):format(kind, i, z,
      logits[i - 1]))
    spread = math.max(spread, math.abs(z - slow.b))
  end
  assert(spread > 0.1, spread)
end

describe("ids with weights", function()
  it("are learned from by their sum", function() check_training("sum", "t%d") end)
  it("are learned from by their mean", function() check_training("mean", "t%d") end)
  it("are learned from in a libsvm file", function() check_training("svm", "%d") end)

  it("train, evaluate and predict, with the same bytes for any number of threads", function()
    for _, kind in ipairs { "mean", "svm" } do
      local of_threads = {}
      for _, threads in ipairs { 1, 3 } do
        local out = ("%s/%s%d"):format(dir, kind, threads)
        run(("train %s/%s-model.yaml --quiet --threads %d --out %s --set train.batch=64")
          :format(dir, kind, threads, out))
        of_threads[threads] = helper.read(("%s/%s%d/model.mr"):format(dir, kind, threads))
      end
      assert.is_true(of_threads[1] == of_threads[3])
      local figures = helper.evaluate(("%s/%s1 --data valid"):format(dir, kind)).figures
      assert(figures.auc > 0.85, figures.auc)
      local list = scores(run(("predict %s/%s1 --data valid --threads 2"):format(dir, kind)))
      local loss = 0
      for i, row in ipairs(valid) do
        loss = loss - math.log(row.y == 1 and list[i] or 1 - list[i]) / #valid
      end
      assert(math.abs(loss - figures.logloss) < 1e-6)
    end
    local all = run(("predict %s/mean1 --data valid"):format(dir))
    local i = 0
    for line in all:gmatch "[^\n]+" do
      i = i + 1
      if i % 30 == 0 then -- a row of its own file, which has no label
        helper.write(dir .. "/one.csv", "tags\n" .. bag(valid[i], "|", "t%d:%.17g") .. "\n")
        assert.equal(line .. "\n", run(("predict %s/mean1 --data %s/one.csv"):format(dir, dir)))
      end
    end
  end)

  it("are the same with a column of weights, in csv and in lists of JSON", function()
    local function predictions(kind)
      run(("train %s/%s-model.yaml --quiet --out %s/column-%s"):format(dir, kind, dir, kind))
      return run(("predict %s/column-%s --data valid"):format(dir, kind))
    end
    local behind = predictions "mean"
    assert.equal(behind, predictions "beside")
    assert.equal(behind, predictions "lists")
    local first = behind:match "^[^\n]+\n"
    helper.write(dir .. "/one.csv",
      ("tags,w\n%s,%s\n"):format(bag(valid[1], "|", "t%d"), bag(valid[1], "|", "weight")))
    assert.equal(first, run(("predict %s/column-beside --data %s/one.csv"):format(dir, dir)))
    helper.write(dir .. "/broken.csv", "tags,w\nt1|t2,1|2\nt1,\n")
    assert.same({ 1, "", ('moonrank: %s/broken.csv:3:4: column "w" has 0 weights, column "tags" '
      .. "has 1 value\n"):format(dir) },
      { helper.run(("predict %s/column-beside --data %s/broken.csv"):format(dir, dir)) })
    helper.write(dir .. "/broken.jsonl", '{"u": {"tags": ["t1", "t2"], "w": [0.5]}}\n')
    assert.same({ 1, "", ('moonrank: %s/broken.jsonl:1:36: column "u.w" has 1 weight, column '
      .. '"u.tags" has 2 values\n'):format(dir) },
      { helper.run(("predict %s/column-lists --data %s/broken.jsonl"):format(dir, dir)) })
    assert(run(("inspect %s/column-beside/model.mr"):format(dir)):find "tags")
    run(("gradcheck %s/script.lua --fields %s/beside.yaml"):format(dir, dir))
    local function checked(kind) -- but for the memory, which has the process's own in it
      return (run(("check %s/%s-model.yaml"):format(dir, kind)):gsub("[%w-]+%.csv", "")
        :gsub("memory of a training:[^\n]*", ""))
    end
    assert.equal(checked "mean", checked "beside")
  end)

  it("stop a prediction at a wrong weight, with its place", function()
    helper.write(dir .. "/broken.csv", "tags\nt1:1\nt1:2|t2\n")
    assert.same({ 1, "", ('moonrank: %s/broken.csv:3:6: "t2" is not value:weight (column "tags")\n')
      :format(dir) }, { helper.run(("predict %s/mean1 --data %s/broken.csv"):format(dir, dir)) })
  end)

  it("go through check, gradcheck and inspect", function()
    local out = run(("check %s/mean-model.yaml --json"):format(dir))
    local column = require "moonrank.json".decode(out).splits.train.columns[1]
    local values = 0
    for _, row in ipairs(train) do values = values + #row.tags end
    assert.same({ "tags", "ids", ROWS }, { column.name, column.type, column.rows })
    assert.equal(TAGS, column.distinct)
    run(("gradcheck %s/script.lua --fields %s/mean.yaml"):format(dir, dir))
    assert(run(("inspect %s/mean1/model.mr"):format(dir)):find "tags")
  end)

  it("are refused where the file asks for what they are not", function()
    local function refused(field, message)
      helper.write(dir .. "/wrong.yaml", ("data: {train: train.csv}\nlabel: click\nfields:\n"
        .. "  - {name: tags, side: ad, %s}\n"):format(field))
      helper.fails_with(dir .. "/wrong.yaml:" .. message,
        require "moonrank.config".fields(dir .. "/wrong.yaml"))
    end
    refused("type: ids, weighted: true, pool: max",
      "4:61: fields[1].pool is max, expected sum or mean of ids that are weighted")
    refused("type: id, weighted: true",
      "4:38: fields[1].weighted is for type ids, this field is of type id")
    refused('type: ids, weight_separator: "="',
      "4:57: fields[1].weight_separator is for ids that are weighted: true")
    for _, text in ipairs { "ab", "5", "-", "e" } do
      refused(('type: ids, weighted: true, weight_separator: "%s"'):format(text),
        ('4:73: fields[1].weight_separator is "%s", expected one character that numbers are not '
          .. "written with"):format(text))
    end
    refused('type: ids, weighted: true, separator: ":"', '4:66: fields[1].separator is ":", which '
      .. "stands before weights; say another weight_separator")
    refused("type: id, weights: w",
      "4:38: fields[1].weights is for type ids, this field is of type id")
    refused("type: ids, weights: tags", '4:48: fields[1].weights is "tags", which has the values')
    refused("type: ids, weights: w, pool: max",
      "4:57: fields[1].pool is max, expected sum or mean of ids that are weighted")
    refused("type: ids, weights: w, weighted: false",
      '4:61: fields[1].weighted is false, but weights names column "w"')
    refused('type: ids, weights: w, weight_separator: "="',
      '4:69: fields[1].weight_separator does not go with weights in column "w"')
    helper.write(dir .. "/wrong.yaml", "data: {train: train.svm}\nlabel: label\nfields:\n"
      .. "  - {name: x, source: features, side: ad, type: ids, weights: w}\n")
    helper.fails_with(dir .. "/wrong.yaml:4:63: fields[1].weights: files of libsvm have no column "
      .. "of weights; weighted: true reads those in their pairs",
      require "moonrank.config".fields(dir .. "/wrong.yaml"))
    helper.write(dir .. "/wrong.yaml", "data: {train: train.csv}\nlabel: click\nfields:\n"
      .. "  - {name: tags, side: ad, type: ids, weighted: true}\nsequences:\n"
      .. "  - {name: seen, side: user, of: {tags: past}}\n")
    helper.fails_with(dir .. "/wrong.yaml:6:35: sequences[1].of.tags: ids of a sequence have no "
      .. "weights, and its field does; give the member another name",
      require "moonrank.config".fields(dir .. "/wrong.yaml"))
    local data = assert(mr.dataset(dir .. "/mean.yaml", { threads = 1 }))
    helper.write(dir .. "/largest.lua", 'return { name = "x", options = {}, build = function(m)\n'
      .. 'm:task("ctr", m:dense(m:embed("tags", { pool = "max" }), { out = 1 })) end }\n')
    helper.raises('lookup: column "tags" has weights, which a max does not go with', function()
      mr.model(dir .. "/largest.lua", { fields = data.fields })
    end)
  end)
end)

describe("ids pooled by their largest numbers", function()
  it("are learned from as a fields file says", function() check_training("max", "t%d") end)

  it("train, evaluate and predict", function()
    run(("train %s/max-model.yaml --quiet --out %s/max"):format(dir, dir))
    local figures = helper.evaluate(("%s/max --data valid"):format(dir)).figures
    local list, loss = scores(run(("predict %s/max --data valid"):format(dir))), 0
    for i, row in ipairs(valid) do
      loss = loss - math.log(row.y == 1 and list[i] or 1 - list[i]) / #valid
    end
    assert(math.abs(loss - figures.logloss) < 1e-6)
  end)
end)
