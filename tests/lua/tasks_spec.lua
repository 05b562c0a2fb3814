-- Several tasks: labels with holes, a head and a loss for each, figures of each.
local g = require "graph_helper"
local helper = require "helper"
local json = require "moonrank.json"
local metric = require "moonrank.metric"
local mr = require "moonrank"
local array = require "moonrank.ffi".array
local C = require "moonrank.ffi".C

local NONE = 0 / 0

describe("the loss of a task", function()
  local schema = g.schema { { name = "x", type = "number" }, { name = "click", type = "label" },
    { name = "buy", type = "label" } }

  -- A batch of rows { x, click, buy }, and the run of a model with a layer of one number for each.
  local function case(rows, weight)
    local b = g.builder(schema)
    local x = b:column { column = "x" }
    b:watch(x)
    for _, name in ipairs { "click", "buy" } do
      b:logloss(b:dense(x, { out = 1, name = name }), b:column { column = name },
        name == "buy" and { weight = weight } or {})
    end
    local batch = g.batch(schema, #rows)
    for i, name in ipairs { "x", "click", "buy" } do
      g.fill(batch, schema, name, #rows, function(r) return rows[r + 1][i] end)
    end
    return batch, g.run(g.model(b, 1), { batch = #rows }), x
  end

  -- Weights w = 1 and -2, biases 0: z = x and -2 x.
  local function set_weights(run)
    for i, w in ipairs { 1, 0, -2, 0 } do C.mr_model_weights(run.model, i - 1)[0] = w end
  end

  it("has nothing of rows without its label, and counts by its weight: by hand", function()
    -- Row 1: z = 2, click 1: softplus(-2); z = -4, no buy. Row 2: no click; z = 2, buy 0:
    -- softplus(2), times 0.5. Row 3 has neither.
    local batch, run, x = case({ { 2, 1, NONE }, { -1, NONE, 0 }, { 5, NONE, NONE } }, 0.5)
    set_weights(run)
    local loss = g.gradient(run, batch)
    assert.near(0.126928 + 0.5 * 2.126928, loss, 1e-6)
    -- d/dx: row 1 (s(2) - 1) * 1 / 3 = -0.119203 / 3, row 2 0.5 s(2) (-2) / 3 = -0.880797 / 3
    helper.all_near({ -0.0397343, -0.2935990, 0 }, C.mr_run_watched(run.handle, x.id), 1e-6)
  end)

  it("has the gradient of its value, where labels are missing", function()
    local random, rows = helper.random(5), {}
    local function label()
      local draw = random(3) - 1
      return draw == 2 and NONE or draw
    end
    for i = 1, 24 do rows[i] = { 4 * random() - 2, label(), label() } end
    local batch, run, x = case(rows, 1.5)
    g.check_gradient(run, batch, x, 24, 1e-4)
    assert.equal(C.MR_OK, C.mr_run_check(run.handle, batch)) -- a label that is not there is fine
  end)
end)

describe("figures", function()
  it("are of the rows that have a label", function()
    local random, rows, all, some = helper.random(7), 200, {}, {}
    for _, name in ipairs { "x", "y", "label", "weight" } do all[name], some[name] = {}, {} end
    for i = 1, rows do
      local row = { x = random() - 0.5, y = random() - 0.5, label = random(2) - 1,
        weight = random(3) - 1 }
      if i % 3 ~= 0 then
        for name, value in pairs(row) do table.insert(some[name], value) end
      end
      if i % 3 == 0 then row.label = NONE end
      for name, value in pairs(row) do all[name][i] = value end
    end
    local keys = { all = {}, some = {} }
    for i = 1, rows do
      keys.all[i] = i % 7
      if i % 3 ~= 0 then table.insert(keys.some, i % 7) end
    end
    local function judged(of, groups, n)
      local f = helper.floats
      local x, y, labels, weights = f(of.x), f(of.y), f(of.label), f(of.weight)
      groups = helper.keys(groups)
      local compared = assert(metric.compare(x, y, labels, groups, n, { weights = weights,
        draws = 10 }))
      return { assert(metric.figures(x, labels, groups, n, nil, weights)), compared,
        assert(metric.reliability(x, labels, n, 5, weights)) }
    end
    local expected = judged(some, keys.some, #some.x)
    assert.equal(#some.x, expected[1].rows)
    assert.same(expected, judged(all, keys.all, rows))
  end)
end)

describe("copies of the rows that have a label", function()
  it("are in the engine's memory, not in Lua's, and leave it", function()
    local n = 200000
    local x, labels, keys = array("float", n), array("float", n), array("uint64_t", n)
    for i = 0, n - 1 do x[i], labels[i], keys[i] = i % 97, i % 3 == 0 and NONE or i % 2, i % 11 end
    collectgarbage()
    collectgarbage "stop"
    local before = collectgarbage "count"
    assert.equal(133333, assert(metric.figures(x, labels, keys, n, nil, x)).rows)
    assert(metric.reliability(x, labels, n, 5, x))
    assert(metric.compare(x, x, labels, keys, n, { weights = x, draws = 2 }))
    local grown = collectgarbage "count" - before
    collectgarbage "restart"
    assert(grown < 1000, ("%d KB"):format(grown)) -- one copy of floats alone has 520
  end)
end)

-- ---- whole projects ----

local SCRIPT = [[
return {
  name = "heads",
  options = {},
  build = function(m)
    local x = m:mlp(m:inputs(), { hidden = { 8 } })
    for _, task in ipairs(m:task_names()) do m:task(task, m:dense(x, { out = 1 })) end
  end,
}
]]

-- A project with a column `buy`: of clicks 0 or 1, else nothing; every tenth row has no click.
local function make_project(label)
  local dir, random = helper.make_project { rows = 600 }, helper.random(3)
  for _, split in ipairs { "train", "valid", "test" } do
    local path, lines = ("%s/%s.csv"):format(dir, split), {}
    for line in io.lines(path) do
      local click, rest = line:match "^([^,]*)(.*)$"
      if #lines == 0 then lines[1] = line .. ",buy"
      else
        local buy = click == "1" and tostring(random(2) - 1) or ""
        lines[#lines + 1] = (#lines % 10 == 0 and "" or click) .. rest .. "," .. buy
      end
    end
    helper.write(path, table.concat(lines, "\n") .. "\n")
  end
  local fields = helper.read(dir .. "/fields.yaml")
  helper.write(dir .. "/fields.yaml", (fields:gsub("label: click", "label: " .. label)))
  helper.write(dir .. "/heads.lua", SCRIPT)
  helper.write(dir .. "/heads.yaml", "fields: fields.yaml\nmodel: {script: heads.lua}\n"
    .. "train: {batch: 64, epochs: 2, monitor: {buy.auc: 1, click.logloss: -1}}\n")
  return dir
end

local function train(dir, out, more)
  local status, text, err = helper.run(("train %s/heads.yaml --out %s/%s %s"):format(dir, dir, out,
    more or ""))
  assert.same({ 0, "" }, { status, err })
  return text
end

describe("tasks", function()
  it("are read with holes, from a list or a map", function()
    for _, label in ipairs { "[click, buy]", "{click: click, buy: {column: buy}}" } do
      local data = assert(mr.dataset(make_project(label) .. "/fields.yaml"))
      local row, n = 0, 0
      for line in io.lines(data.config.data.root .. "/train.csv") do
        if n > 0 then
          for _, name in ipairs { "click", "buy" } do
            local text = name == "click" and line:match "^[^,]*" or line:match "[^,]*$"
            local value = data.train:labels(name)[row]
            assert.equal(text, value == value and ("%d"):format(value) or "")
          end
          row = row + 1
        end
        n = n + 1
      end
      assert.equal(600, row)
      data:close()
    end
  end)

  it("of which one decides where the other has labels", function()
    local dir = make_project("{buy: {column: b2, when: click}, click: click, "
      .. "far: {column: b2, when: buy}}")
    helper.write(dir .. "/train.csv", "click,user,ad,tags,hour,price,b2\n"
      .. "1,u,a,t,1,1,1\n1,u,a,t,1,1,0\n0,u,a,t,1,1,1\n,u,a,t,1,1,1\n1,u,a,t,1,1,\n")
    local data = assert(mr.dataset(dir .. "/fields.yaml"))
    local function list(task)
      local values = {}
      for i = 0, 4 do
        local v = data.train:labels(task)[i]
        values[i + 1] = v == v and ("%d"):format(v) or "-"
      end
      return table.concat(values, " ")
    end
    assert.equal("1 1 0 - 1", list "click")
    assert.equal("1 0 - - -", list "buy")
    assert.equal("1 - - - -", list "far")
    data:close()
  end)

  it("of one label have no holes", function()
    local dir = helper.make_project { rows = 20 }
    helper.write(dir .. "/train.csv", "click,user,ad,tags,hour,price\n,u,a,t,1,1\n")
    local data = assert(mr.dataset(dir .. "/fields.yaml"))
    helper.fails_with(dir .. '/train.csv:2:1: label "" in column "click", expected 0 or 1',
      data:split "train")
  end)

  it("say of wrong cells that they may be empty", function()
    local dir = make_project "[click, buy]"
    helper.write(dir .. "/train.csv", "click,user,ad,tags,hour,price,buy\n1,u,a,t,1,1,2\n")
    local data = assert(mr.dataset(dir .. "/fields.yaml"))
    helper.fails_with(dir .. '/train.csv:2:13: label "2" in column "buy", expected 0 or 1, or '
      .. "nothing", data:split "train")
  end)

  it("are trained together, each judged by its rows", function()
    local dir = make_project "[click, buy]"
    local text = train(dir, "run")
    assert.matches("labels   of training rows: buy %d+, click 540; none %d+\n", text)
    local valid
    for _, line in ipairs(helper.figures(dir .. "/run")) do valid = line.valid or valid end
    assert.equal(135, valid.tasks.click.rows)
    local known = 0
    for line in io.lines(dir .. "/valid.csv") do
      known = known + (line:find ",[01]$" and 1 or 0)
    end
    assert.equal(known, valid.tasks.buy.rows)
    assert.same(valid.tasks.buy.auc, valid.auc) -- of the first task

    -- The figures of a task are those of a file that has its rows alone.
    local model = dir .. "/run/model.mr"
    local lines = {}
    for line in io.lines(dir .. "/test.csv") do
      if #lines == 0 or line:find ",[01]$" then lines[#lines + 1] = line end
    end
    helper.write(dir .. "/bought.csv", table.concat(lines, "\n") .. "\n")
    local all, out = helper.evaluate(dir .. "/run --data test")
    local some = helper.evaluate(("%s/run --data %s/bought.csv"):format(dir, dir))
    all.figures.tasks.buy.seconds, some.figures.tasks.buy.seconds = nil, nil
    assert.same(some.figures.tasks.buy, all.figures.tasks.buy)
    assert.same(some.tasks.buy, all.tasks.buy)
    assert.matches("\nheads buy +%d", out)
    assert.matches("\nheads click +%d", out)
    assert.matches("\ntask click\n\nnormalised entropy", out)

    -- Two probabilities a row, in the order of the script.
    local status, predicted = helper.run(("predict %s --data %s/test.csv"):format(model, dir))
    assert.equal(0, status)
    local n, sum = 0, 0
    for buy, click in predicted:gmatch "(%S+)\t(%S+)\n" do
      n, sum = n + 1, sum + buy
      assert(tonumber(click) > 0)
    end
    assert.equal(150, n)

    local compared
    status, compared = helper.run(("compare %s %s --data test --draws 10"):format(dir .. "/run",
      dir .. "/run"))
    assert.equal(0, status)
    assert.matches("\ntask     buy: %d+ rows with a label\n", compared)
    assert.matches("\ntask     click: 135 rows with a label\n", compared)
  end)

  it("have a mean and a spread each of several seeds", function()
    local dir = make_project "[click, buy]"
    local text = train(dir, "two", "--repeat 2")
    local all = assert(json.decode(helper.read(dir .. "/two/seeds.json")))
    for _, task in ipairs { "click", "buy" } do
      local auc = {}
      for i = 1, 2 do
        local lines = helper.figures(("%s/two/seed-%d"):format(dir, i))
        auc[i] = lines[#lines].test.tasks[task].auc
        assert.equal(auc[i], all.seeds[i].tasks[task].auc)
        assert.matches(("\ntest %s, seed %d +%%d+  %.6f "):format(task, i, auc[i]), text)
      end
      local mean, spread = (auc[1] + auc[2]) / 2, math.abs(auc[1] - auc[2]) / math.sqrt(2)
      helper.all_near({ mean, spread }, { all.mean.tasks[task].auc, all.spread.tasks[task].auc },
        1e-9)
      assert.matches(("\nmean %s +%%-  %.6f "):format(task, mean), text)
      assert.matches(("\nspread %s +%%-  %.6f "):format(task, spread), text)
    end
    assert.same(all.mean.tasks.buy.auc, all.mean.auc) -- of the first task
  end)

  it("are each held against every column by check", function()
    local dir, random = helper.temp_dir(), helper.random(9)
    local lines = { "click,buy,tells,price,plain" }
    for i = 1, 4000 do
      local click = random(3) == 1 and 1 or 0
      local buy = click == 1 and random(2) - 1 or nil
      lines[i + 1] = ("%d,%s,%s,%.3f,%.3f"):format(click, buy or "", "t" .. (buy or random(2) - 1),
        click + random() / 2, random())
    end
    helper.write(dir .. "/train.csv", table.concat(lines, "\n") .. "\n")
    helper.write(dir .. "/fields.yaml", "data: {train: train.csv}\nlabel: [click, buy]\nfields:\n"
      .. "  - {name: tells, side: ad, type: id}\n"
      .. "  - {name: [price, plain], side: ad, type: number}\n")
    local status, out, err = helper.run("check fields.yaml --quiet --json", dir)
    assert.same({ 0, "" }, { status, err })
    local report, aucs = assert(json.decode(out)), {}
    for _, column in ipairs(report.splits.train.columns) do aucs[column.name] = column.aucs end
    assert.equal(1, aucs.tells.buy)
    assert.equal(1, aucs.price.click)
    for _, auc in ipairs { aucs.tells.click, aucs.price.buy, aucs.plain.click, aucs.plain.buy } do
      assert.is_true(math.abs(auc - 0.5) < 0.06, auc)
    end
    local leaks = {}
    for _, f in ipairs(report.findings) do
      if f.kind == "leak" then leaks[#leaks + 1] = f.text end
    end
    table.sort(leaks)
    assert.same({ "price alone ranks the labels of click with an AUC of 1.000",
      "tells alone ranks the labels of buy with an AUC of 1.000" }, leaks)
    status, out = helper.run("check fields.yaml --quiet", dir)
    assert.equal(0, status)
    assert.matches("  AUC of buy  AUC of click\ntells [^\n]+  1%.0000        0%.[45]%d+\n", out)
  end)

  it("give the same bytes for any threads and after a resume", function()
    local dir = make_project "[click, buy]"
    train(dir, "a", "--threads 1")
    train(dir, "b", "--threads 3 --stop-after 1 --set train.checkpoint.steps=2")
    -- Settings are part of what a run is: the same ones once more.
    train(dir, "b", "--threads 2 --resume --set train.checkpoint.steps=2")
    assert.is_true(helper.read(dir .. "/a/model.mr") == helper.read(dir .. "/b/model.mr"))
  end)

  it("count in the loss as train.task_weights says: one of weight 0 teaches nothing", function()
    local dir = make_project "[click, buy]"
    train(dir, "zero", "--set train.task_weights.buy=0")
    local data = assert(mr.dataset(dir .. "/fields.yaml"))
    local model = mr.model(dir .. "/heads.lua", { fields = data.fields,
      task_weights = { buy = 0 } })
    local loaded = assert(mr.load(dir .. "/zero/model.mr"))
    local seen, tensors = {}, require "moonrank.tensors"
    for i, tensor in ipairs(tensors.list(model)) do
      seen[tensor.name] = true
      if tensor.name == "dense_2.weight" then -- the head of buy stayed as it began
        assert.equal(C.mr_model_weights(model.handle, i - 1)[0],
          C.mr_model_weights(loaded.handle, i - 1)[0])
      elseif tensor.name == "dense_3.weight" then
        assert.are_not.equal(C.mr_model_weights(model.handle, i - 1)[0],
          C.mr_model_weights(loaded.handle, i - 1)[0])
      end
    end
    assert.is_true(seen["dense_3.weight"])
    data:close()
  end)

  it("that are wrong in a configuration are named with their places", function()
    local function fails(expected, label, more)
      local dir = make_project(label or "[click, buy]")
      local command = ("train %s/heads.yaml --out %s/run %s"):format(dir, dir, more or "")
      local status, _, err = helper.run(command)
      assert.equal(1, status)
      assert.equal("moonrank: " .. expected:gsub("DIR", (dir:gsub("%%", "%%%%"))) .. "\n", err)
    end
    fails('--set train.monitor=bay.auc: train.monitor is "bay.auc", expected auc, gauc, logloss, '
      .. "buy.auc, buy.gauc, buy.logloss, click.auc, click.gauc or click.logloss or a map"
      .. '; did you mean "buy.auc"?', nil, "--set train.monitor=bay.auc")
    fails('--set train.task_weights.bay=1: unknown task "bay" in train.task_weights; did you mean '
      .. '"buy"?', nil, "--set train.task_weights.bay=1")
    fails('DIR/fields.yaml:4:16: label has "click" twice', "[click, click]")
    fails('DIR/fields.yaml:4:48: label.buy.when: no task "clock"; did you mean "click"?',
      "{click: click, buy: {column: buy, when: clock}}")
    fails("DIR/fields.yaml:4:34: label.buy.when leads back to itself",
      "{buy: {column: buy, when: click}, click: {column: click, when: buy}}")
    fails(helper.root() .. '/models/lr.lua:6: no task "ctr", the label has buy, click', nil,
      "--set model.script=lr")
  end)
end)
