-- The programs of examples/experiments: they run from any folder, and what they print is so.
local helper = require "helper"
local quote = helper.quote

local LOG

local function run(name, argument)
  local path = quote(helper.root() .. "/examples/experiments/" .. name)
  local status, out, err = helper.shell(("cd / && luajit %s %s"):format(path, argument or ""))
  assert.same({ 0, "" }, { status, err })
  return out
end

-- The numbers of the line that begins with these words.
local function numbers(out, words)
  local list = {}
  local line = out:match("\n" .. words .. " +([^\n]*)\n")
  assert.truthy(line, words .. " is not in:\n" .. out)
  for word in line:gmatch "%S+" do list[#list + 1] = tonumber(word) end
  return list
end

setup(function()
  LOG = helper.temp_dir() .. "/log"
  local status, _, err = helper.run(("simulate --requests 3000 --out %s"):format(LOG))
  assert.same({ 0, "" }, { status, err })
end)

describe("programs that read the log", function()
  it("say in one line how it is made where it is not there", function()
    local message = ('%s/examples/adworld/fields.yaml:6:10: no file matches "train-*.tsv.zst" in '
      .. "%s; to make the log: moonrank simulate --out %s\n")
    for _, name in ipairs { "experiments/activations", "experiments/learning_once",
      "adworld/compare_models" } do
      local folder = helper.temp_dir() .. "/none"
      local path = quote(("%s/examples/%s.lua"):format(helper.root(), name))
      local status, out, err = helper.shell(("cd / && luajit %s %s"):format(path, folder))
      assert.same({ 1, "" }, { status, out })
      assert.equal(message:format(helper.root(), folder, folder), (err:gsub("/%w+/%.%./", "/")))
    end
  end)
end)

describe("activations.lua", function()
  it("prints what the command finds, seed by seed", function()
    local out = run("activations.lua", LOG)
    local auc, sum = {}, 0
    for seed = 1, 3 do
      local dir = helper.temp_dir()
      helper.write(dir .. "/tanh.yaml", ([[
fields: %s/examples/adworld/fields.yaml
model: {script: dnn, hidden: [64, 32], activation: tanh}
train: {batch: 1024, epochs: 1, seed: %d, optimizer: {adam: {lr: 0.001}}}
]]):format(helper.root(), seed))
      assert.equal(0, (helper.run(("train %s/tanh.yaml --quiet --set data.root=%s --out %s/run")
        :format(dir, LOG, dir))))
      for _, line in ipairs(helper.figures(dir .. "/run")) do
        if line.test then auc[seed] = line.test.auc end
      end
      sum = sum + auc[seed]
    end
    table.sort(auc)
    helper.all_near({ auc[1], sum / 3, auc[3] }, numbers(out, "tanh"), 6e-7)
    assert.is_true(auc[3] > auc[1])
    for _, activation in ipairs { "sigmoid", "relu", "prelu", "dice" } do
      assert.equal(3, #numbers(out, activation))
    end
  end)
end)

describe("gated_layers.lua", function()
  it("shows that gates multiply: two do what four relus cannot", function()
    local out = run "gated_layers.lua"
    local two, four = numbers(out, "4 relus or 2 gated"), numbers(out, "8 relus or 4 gated")
    local best = numbers(out, "best possible")[1]
    assert.is_true(two[2] > two[1] + 0.005)
    assert.is_true(two[2] > best - 0.001 and four[2] > best - 0.001)
    assert.is_true(four[2] <= best + 0.001 and four[1] <= best)

    -- The best possible AUC of all pairs of numbers, by a grid.
    local cells, steps = {}, 300
    for i = 1, steps do
      for j = 1, steps do
        local a, b = (2 * i - 1) / steps - 1, (2 * j - 1) / steps - 1
        cells[#cells + 1] = 1 / (1 + math.exp(-6 * a * b))
      end
    end
    table.sort(cells)
    local below, won, clicks = 0, 0, 0
    for _, p in ipairs(cells) do
      won, clicks, below = won + p * (below + (1 - p) / 2), clicks + p, below + 1 - p
    end
    assert.near(won / (clicks * below), best, 0.01)
  end)

  it("has a block whose gradients are right", function()
    local status, out = helper.run "gradcheck examples/experiments/gated.lua"
    assert.equal(0, status, out)
  end)
end)

describe("learning_once.lua", function()
  local out
  setup(function() out = run("learning_once.lua", LOG) end)

  it("sees the losses of a training by fit, which goes through the rows once, in order", function()
    local mr = require "moonrank"
    local data = mr.dataset("examples/adworld/fields.yaml", { root = LOG })
    local model = mr.model("fm", { fields = data.fields, options = { dim = 8 } })
    local trainer = mr.trainer(model, { optimizer = { adam = { lr = 0.001 } }, batch = 512,
      shuffle = false })
    local seen, losses, rows = 0, {}, {}
    trainer:on("step", function(step)
      local part = math.floor(10 * seen / data.train:samples()) + 1
      losses[part] = (losses[part] or 0) + step.loss * step.rows
      rows[part] = (rows[part] or 0) + step.rows
      seen = seen + step.rows
    end)
    trainer:fit(data, { epochs = 1 })
    assert.equal(data.train:samples(), seen)
    assert.truthy(out:find(("Loss of %d rows"):format(seen), 1, true))
    for part = 1, 10 do
      assert.near(losses[part] / rows[part], numbers(out, "tenth " .. part)[3], 6e-7)
    end
    trainer:close()
    data:close()
  end)

  it("guesses by the clicks so far", function()
    local labels = {}
    for _, path in ipairs(require "moonrank.path".glob(LOG .. "/train-*.tsv.zst")) do
      for _, row in ipairs(helper.read_table(path)) do labels[#labels + 1] = row.click end
    end
    local clicks, loss, first = 0, 0, math.ceil(#labels / 10)
    for i = 1, first do
      local p = (clicks + 1) / (i + 1)
      if labels[i] == "1" then
        loss, clicks = loss - math.log(p), clicks + 1
      else
        loss = loss - math.log(1 - p)
      end
    end
    assert.near(loss / first, numbers(out, "tenth 1")[1], 6e-7)
  end)
end)
