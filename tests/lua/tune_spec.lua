-- moonrank tune: its trials against trainings typed one by one, its choices against a plain loop
-- over their figures, and what is left of it when it is stopped or killed.
local helper = require "helper"
local json = require "moonrank.json"
local tune_space = require "moonrank.tune_space"

-- A project with an experiment tune.yaml of two epochs, or as `text` says.
local function make_project(text, rows)
  local dir = helper.make_project { rows = rows or 600 }
  helper.write(dir .. "/tune.yaml", text)
  return dir
end

local HEAD = [[
fields: fields.yaml
model: {script: fm}
train: {batch: 128, epochs: 2, seed: 1, optimizer: {adam: {lr: 0.01}}}
]]

local GRID = HEAD .. [[
tune:
  over:
    train.optimizer.adam.lr: [0.001, 0.02]
    model.dim: [2, 4, 8]
]]

local RANGES = HEAD .. [[
tune:
  over:
    train.optimizer.adam.lr: {min: 1e-4, max: 1e-1, log: true}
    train.batch: {min: 60, max: 70, whole: true}
    train.tables.l2: {min: 0, max: 0.01}
    model.dim: [2, 4]
]]

local function read_table(folder)
  local trials = {}
  for line in helper.read(folder .. "/trials.jsonl"):gmatch "[^\n]+" do
    trials[#trials + 1] = assert(json.decode(line))
    trials[#trials].seconds = nil
  end
  return trials
end

local function model_of(folder) return helper.read(folder .. "/model.mr") end

-- ---- what is tried ----

describe("the trials", function()
  local function trials_of(text, set)
    local dir = make_project(text, 40)
    return assert(tune_space.trials(dir .. "/tune.yaml", set))
  end

  local function values_of(trials)
    local list = {}
    for i, trial in ipairs(trials) do list[i] = trial.values end
    return list
  end

  it("of lists are all combinations", function()
    local list = {}
    for i, pair in ipairs { { 2, 0.001 }, { 2, 0.02 }, { 4, 0.001 }, { 4, 0.02 }, { 8, 0.001 },
      { 8, 0.02 } } do
      list[i] = { ["model.dim"] = pair[1], ["train.optimizer.adam.lr"] = pair[2] }
    end
    local trials = trials_of(GRID)
    assert.same(list, values_of(trials))
    for i, trial in ipairs(trials) do
      local experiment = trial.configuration.experiment
      assert.same({ i, list[i]["model.dim"], list[i]["train.optimizer.adam.lr"], 128 },
        { trial.number, experiment.model.dim, experiment.train.optimizer.adam.lr,
          experiment.train.batch })
    end
  end)

  it("of lists may be some of the combinations, none of them twice", function()
    local seen, n = {}, 0
    for _, values in ipairs(values_of(trials_of(GRID, { "tune.trials=5" }))) do
      local text = json.encode(values)
      assert.is_nil(seen[text])
      seen[text], n = true, n + 1
    end
    assert.equal(5, n)
    assert.equal(6, #trials_of(GRID, { "tune.trials=50" }))
  end)

  it("of ranges are as many as asked for, the same each time; more leave the first as they are",
    function()
      local twenty = values_of(trials_of(RANGES))
      assert.equal(20, #twenty)
      assert.same(twenty, values_of(trials_of(RANGES)))
      local more = values_of(trials_of(RANGES, { "tune.trials=30" }))
      assert.equal(30, #more)
      for i = 1, 20 do assert.same(twenty[i], more[i]) end
      assert.is_false(json.encode(twenty) == json.encode(values_of(trials_of(RANGES,
        { "tune.seed=2" }))))
      -- A key's draws are its own: another key beside it changes none.
      local fewer = values_of(trials_of((RANGES:gsub("    train.batch[^\n]+\n", ""))))
      for i = 1, 20 do
        assert.equal(twenty[i]["train.tables.l2"], fewer[i]["train.tables.l2"])
      end
    end)

  it("of ranges are spread evenly, over their logarithms where asked", function()
    local low, whole, even, small, n = 0, {}, 0, 0, 2000
    for _, v in ipairs(values_of(trials_of(RANGES, { "tune.trials=" .. n }))) do
      local lr, batch, l2 = v["train.optimizer.adam.lr"], v["train.batch"], v["train.tables.l2"]
      assert.is_true(lr >= 1e-4 and lr <= 1e-1 and l2 >= 0 and l2 <= 0.01 and batch % 1 == 0)
      low, even = low + (lr < 1e-3 and 1 or 0), even + (l2 < 0.0025 and 1 or 0)
      whole[batch] = (whole[batch] or 0) + 1
      small = small + (v["model.dim"] == 2 and 1 or 0)
    end
    local function near(share, count) -- within four standard deviations
      return math.abs(count - n * share) < 4 * math.sqrt(n * share * (1 - share))
    end
    assert.is_true(near(1 / 3, low) and near(1 / 4, even) and near(1 / 2, small))
    for batch = 60, 70 do assert.is_true(near(1 / 11, whole[batch])) end
  end)

  it("are fewer where there are no more that differ", function()
    local text = HEAD .. "tune:\n  over:\n    train.batch: {min: 3, max: 6, whole: true}\n"
    local trials, batches = trials_of(text), {}
    for i, trial in ipairs(trials) do batches[i] = trial.values["train.batch"] end
    table.sort(batches)
    assert.same({ 3, 4, 5, 6 }, batches)
  end)

  it("may change the fields file, scripts, and values that are lists", function()
    local dir = make_project(HEAD .. [==[
tune:
  over:
    defaults.dim: [2, 3]
    model.script: [fm, models/mine.lua]
    train.freeze: [[table.user], ["table.*"]]
]==], 40)
    helper.write(dir .. "/models/mine.lua", "return {}")
    local trials = assert(tune_space.trials(dir .. "/tune.yaml"))
    assert.equal(8, #trials)
    assert.equal(3, trials[8].configuration.fields.tables.user.dim)
    assert.equal(dir .. "/models/mine.lua", trials[8].configuration.experiment.model.script)
    assert.same({ "table.*" }, trials[8].configuration.experiment.train.freeze)
    assert.same({ "table.user" }, trials[1].values["train.freeze"])
  end)

  it("are told wrong before the first one starts, with their place", function()
    local cases = {
      { "model.dim: [2, 4]\n    train.bach: [1]",
        '7:5: unknown key "bach" in train; did you mean "batch"?' },
      { "train.batch: [64, 0]",
        "6:23: train.batch is 0, expected a whole number 1 to 2147483647" },
      { "train.optimizer.adam.lr: {min: 0, max: 1}",
        "6:30: train.optimizer.adam.lr is 0, expected a number > 0 and <= 1000000" },
      { "train.batch: {min: 4, max: 4, whole: true}",
        "6:18: tune.over.train.batch.min is 4, expected less than max, 4" },
      { "train.tables.l2: {min: 0, max: 1, log: true}",
        "6:22: tune.over.train.tables.l2.min is 0, expected more than 0 where log is true" },
      { "train.batch: {min: 1.5, max: 4, whole: true}", "6:18: tune.over.train.batch.min to max "
        .. "is 1.5 to 4, expected whole numbers where whole is true" },
      { "train.batch: {min: 1.5, max: 4}",
        "6:18: train.batch is 1.5, expected a whole number 1 to 2147483647" },
      { "train.batch: {min: 2}", "6:18: tune.over.train.batch.max is missing" },
      { "train.batch: 64", "6:18: tune.over.train.batch is 64, expected a list or a map" },
      { "train.batch: []", "6:18: tune.over.train.batch is an empty list" },
      { "train.monitor: [auc, gauc]", "6:5: tune.over.train.monitor: trials that are judged by "
        .. "other things cannot be compared" },
      { "tune.trials: [1, 2]", "6:5: tune.over.tune.trials: it is not of the experiment" },
      { "train..batch: [1]", '6:5: "train..batch" is not the name of a key, such as train.batch' },
    }
    for _, case in ipairs(cases) do
      local dir = make_project(HEAD .. "tune:\n  over:\n    " .. case[1] .. "\n", 40)
      helper.fails_with(dir .. "/tune.yaml:" .. case[2], tune_space.trials(dir .. "/tune.yaml"))
    end
    local dir = make_project(HEAD .. "tune: {over: {}}\n", 40)
    helper.fails_with(dir .. "/tune.yaml:4:14: tune.over is empty",
      tune_space.trials(dir .. "/tune.yaml"))
    dir = make_project(HEAD, 40)
    helper.fails_with(dir .. "/tune.yaml: there is no key tune, which says what is searched; "
      .. "try: moonrank help config tune", tune_space.trials(dir .. "/tune.yaml"))
  end)

  it("are not too many", function()
    local list = {}
    for i = 1, 101 do list[i] = i end
    local numbers = table.concat(list, ", ")
    local dir = make_project(("%stune:\n  over:\n    train.batch: [%s]\n    train.seed: [%s]\n")
      :format(HEAD, numbers, numbers), 40)
    helper.fails_with(dir .. "/tune.yaml:6:5: tune.over has 10201 combinations, expected at most "
      .. "10000; tune.trials draws some", tune_space.trials(dir .. "/tune.yaml"))
  end)
end)

-- ---- what becomes of them ----

describe("moonrank tune", function()
  local function tune(dir, arguments)
    local status, out, err = helper.run(("tune %s/tune.yaml --out %s/t %s"):format(dir, dir,
      arguments or ""))
    assert.equal("", err)
    return status, out
  end

  -- The trial's settings trained as typed; its figures by epoch.
  local function train(dir, trial, out)
    local set = ""
    for name, value in pairs(trial.values) do
      set = ("%s --set %s"):format(set, helper.quote(name .. "=" .. json.encode(value)))
    end
    assert.equal(0, (helper.run(("train %s/tune.yaml --quiet --no-test --out %s %s"):format(dir,
      out, set))))
    local aucs = {}
    for i, line in ipairs(helper.figures(out)) do aucs[i] = line.valid.auc end
    return aucs
  end

  it("comes to what trainings typed one by one come to, and prints the best", function()
    local dir = make_project(GRID)
    local status, out = tune(dir)
    assert.equal(0, status)
    local best
    for i, trial in ipairs(read_table(dir .. "/t")) do
      assert.equal(i, trial.trial)
      local aucs = train(dir, trial, dir .. "/plain")
      assert.same(aucs, trial.monitors)
      assert.equal(aucs[1] >= aucs[2] and 1 or 2, trial.best_epoch)
      assert.equal(aucs[trial.best_epoch], trial.valid.auc)
      assert.is_true(model_of(dir .. "/plain") == model_of(("%s/t/trial-%03d"):format(dir, i)))
      if not best or trial.valid.auc > best.valid.auc then best = trial end
    end
    local lr, dim = best.values["train.optimizer.adam.lr"], best.values["model.dim"]
    assert.truthy(out:find(("\nbest     trial %d\n\nmodel:\n  dim: %d\ntrain:\n  optimizer:\n"
      .. "    adam:\n      lr: %s\n\nnext: %s eval %s/t/trial-%03d\n"):format(best.trial, dim,
      lr, helper.command(), dir, best.trial), 1, true), out)
    assert.truthy(out:find(("\n%5d       2 %5d  %.6f  %.6f  %.6f +%%d+%%.%%d  %d +%s\n"):format(
      best.trial, best.best_epoch, best.valid.auc, best.valid.gauc, best.valid.logloss, dim, lr)))
    -- Ready to use, with as many threads as there are.
    assert.truthy(helper.read(("%s/t/trial-%03d/config.yaml"):format(dir, best.trial))
      :find("\n  threads: auto\n", 1, true))
    assert.equal(0, (helper.run(("train %s/t/trial-%03d/config.yaml --quiet --out %s/again"):format(
      dir, best.trial, dir))))
    assert.is_true(model_of(dir .. "/again")
      == model_of(("%s/t/trial-%03d"):format(dir, best.trial)))
  end)

  it("gives the same table for any workers and threads, over one cache", function()
    local dir = make_project(GRID)
    local status, out = tune(dir, "--threads 1")
    assert.equal(0, status)
    assert.truthy(out:find("\nworkers  1, of 1 thread\n", 1, true), out)
    local first = read_table(dir .. "/t")
    status, out = tune(dir, "--workers 3 --threads 2 --restart")
    assert.equal(0, status)
    assert.truthy(out:find("\nworkers  3, of 2 threads\n", 1, true), out)
    assert.same(first, read_table(dir .. "/t"))
    local caches = 0
    for name in require "lfs".dir(dir .. "/.moonrank-cache") do
      if not name:find "^%." and not name:find "lock$" then caches = caches + 1 end
    end
    assert.equal(2, caches) -- train and valid
  end)

  it("never reads the test data", function()
    local dir = make_project(GRID)
    helper.write(dir .. "/test.csv", "not,the,right,columns\n")
    assert.equal(0, (tune(dir, "--set tune.trials=2")))
    assert.equal(2, #read_table(dir .. "/t"))
    assert.equal(0, (helper.run(("train %s/tune.yaml --quiet --no-test --out %s/n"):format(dir,
      dir))))
    assert.same({ 1, 2 }, { helper.figures(dir .. "/n")[1].epoch, #helper.figures(dir .. "/n") })
    local status, _, err = helper.run(("eval %s/t/trial-001"):format(dir))
    assert.equal(1, status)
    assert.truthy(err:find("test.csv", 1, true))
  end)

  local HALVING = RANGES:gsub("epochs: 2", "epochs: 5") .. [[
  trials: 9
  halving: {epochs: 1, factor: 2}
]]

  -- Which trials go on to which epoch, by a loop over the figures of whole trainings.
  local function expected_epochs(aucs, stages, factor)
    local alive, epochs = {}, {}
    for i = 1, #aucs do alive[i] = i end
    for s, stage in ipairs(stages) do
      for _, i in ipairs(alive) do epochs[i] = stage end
      local function best(i) return math.max(unpack(aucs[i], 1, stage)) end
      table.sort(alive, function(a, b) return best(a) > best(b) end)
      local keep = s < #stages and math.ceil(#alive / factor) or #alive
      while #alive > keep do table.remove(alive) end
    end
    return epochs, alive[1]
  end

  it("halves: the best of each stage go on, to what they would have come to at once", function()
    local dir = make_project(HALVING)
    local status, out = tune(dir, "--workers 2")
    assert.equal(0, status)
    assert.truthy(out:find("\nhalving  one of 2 goes on after epoch 1, 2, 4\n", 1, true))
    local trials, aucs = read_table(dir .. "/t"), {}
    for i, trial in ipairs(trials) do
      aucs[i] = train(dir, trial, ("%s/plain%d"):format(dir, i))
    end
    local epochs, best = expected_epochs(aucs, { 1, 2, 4, 5 }, 2)
    for i, trial in ipairs(trials) do
      assert.equal(epochs[i], trial.epochs)
      assert.same({ unpack(aucs[i], 1, epochs[i]) }, trial.monitors)
      local folder = ("%s/t/trial-%03d"):format(dir, i)
      assert.equal(epochs[i] == 5, helper.exists(folder .. "/model.mr"))
      local checkpoints = require "moonrank.path".glob(folder .. "/checkpoints/*")
      assert.equal(epochs[i] == 5, #checkpoints > 0) -- those that were dropped have none
      if epochs[i] == 5 then
        assert.is_true(model_of(("%s/plain%d"):format(dir, i)) == model_of(folder))
      end
    end
    assert.truthy(out:find(("\nbest     trial %d\n"):format(best), 1, true))
  end)

  it("goes on after Ctrl-C and after kill -9 to the same table and models", function()
    local dir = make_project(HALVING, 4000)
    assert.equal(0, (tune(dir, "--workers 2 --quiet")))
    local want, models = read_table(dir .. "/t"), {}
    for i = 1, #want do
      local path = ("%s/t/trial-%03d"):format(dir, i)
      models[i] = helper.exists(path .. "/model.mr") and model_of(path)
    end
    -- Stopped by each signal in turn after one more line of the table, until it comes to its end.
    local command = ("cd %s && exec ./moonrank tune %s/tune.yaml --out %s/t --workers 2"):format(
      helper.quote(helper.root()), dir, dir)
    os.execute(("rm -r %s/t"):format(dir))
    local stops, status = 0, 130
    while status ~= 0 and stops < 40 do
      local signal = stops % 2 == 0 and "INT" or "KILL"
      local code, out, err = helper.shell(([[(
before=$(cat %s/t/trials.jsonl 2>/dev/null | wc -c)
{ %s %s; } >%s/out & pid=$!
while kill -0 $pid 2>/dev/null; do
  now=$(cat %s/t/trials.jsonl 2>/dev/null | wc -c)
  if [ "$now" -gt "$before" ]; then kill -%s $pid; break; fi
done
wait $pid; status=$?
tail -n 1 %s/out
timeout 60 flock %s/t/lock true
exit $status)]]):format(dir, command, "--resume", dir, dir, signal, dir, dir))
      status = code
      if status == 130 then
        assert.equal(("stopped; go on with: ./moonrank tune %s/tune.yaml --out %s/t --resume\n")
          :format(dir, dir), out)
      else
        assert.is_true(status == 0 or status == 137, status .. out .. err)
      end
      stops = stops + 1
    end
    assert.equal(0, status)
    assert.is_true(stops > 3)
    assert.same(want, read_table(dir .. "/t"))
    for i = 1, #want do
      local path = ("%s/t/trial-%03d"):format(dir, i)
      assert.is_true(models[i] == (helper.exists(path .. "/model.mr") and model_of(path)))
    end
  end)

  it("trains nothing again that the table has, and more trials where more are asked for", function()
    local dir = make_project(RANGES)
    assert.equal(0, (tune(dir, "--set tune.trials=2")))
    local two = read_table(dir .. "/t")
    local _, out = tune(dir, "--set tune.trials=2 --resume")
    assert.truthy(out:find "  l2\n\nthe best of them\n") -- no row in between
    _, out = tune(dir, "--set tune.trials=3 --resume")
    assert.truthy(out:find "  l2\n    3 [^\n]+\n\nthe best of them\n")
    local three = read_table(dir .. "/t")
    assert.same({ two[1], two[2] }, { three[1], three[2] })
    os.execute(("rm -r %s/t/trial-001"):format(dir)) -- a folder that is not needed any more
    _, out = tune(dir, "--set tune.trials=3 --resume")
    assert.truthy(out:find "  l2\n\nthe best of them\n")
    assert.same(three, read_table(dir .. "/t"))
  end)

  it("trains a dropped trial anew where another choice lets it go on after all", function()
    local dir = make_project(HALVING)
    assert.equal(0, (tune(dir, "--quiet --set tune.halving.factor=9")))
    local revived, one = 0, read_table(dir .. "/t")
    assert.equal(0, (tune(dir, "--quiet --resume")))
    local now = read_table(dir .. "/t")
    for i, trial in ipairs(now) do
      if trial.epochs > one[i].epochs then
        revived = revived + 1
        local plain = train(dir, trial, dir .. "/plain")
        assert.same({ unpack(plain, 1, trial.epochs) }, trial.monitors)
      end
    end
    assert.is_true(revived > 0)
  end)

  it("tells while trials run how far they are", function()
    local dir = make_project(GRID)
    -- train CONFIG --out FOLDER: the second trial has ended an epoch since it said something.
    local fake = helper.write(dir .. "/fake", "#!/bin/sh\necho epoch 1: 5 of 9 rows, 4 s left\n"
      .. "case $4 in *2) echo '{\"epoch\":1,\"valid\":{\"auc\":0.5},\"seconds\":1}' "
      .. ">\"$4/metrics.jsonl\" ;; esac\nsleep 3\nexit 1\n")
    assert.equal(0, os.execute("chmod +x " .. fake))
    local trials, configuration = tune_space.trials(dir .. "/tune.yaml", { "tune.trials=2" })
    local tuning, seen = require "moonrank.tune".new(dir .. "/t", configuration, trials), {}
    assert(require "moonrank.path".make_folder(dir .. "/t"))
    assert(tuning:begin())
    assert(tuning:run { command = fake, workers = 2, threads = 1, each = function() end,
      progress = function(now)
        for _, one in ipairs(now) do seen[one.trial.number] = one.line end
      end })
    assert.same({ "epoch 1: 5 of 9 rows, 4 s left", "epoch 2" }, seen)
  end)

  it("keeps a trial that fails as a line of the table", function()
    local dir = make_project(HEAD:gsub("adam", "sgd")
      .. "tune: {over: {train.optimizer.sgd.lr: [0.1, 1e6, 0.2]}}\n")
    local status, out = tune(dir)
    assert.equal(0, status)
    local trials = read_table(dir .. "/t")
    assert.equal("row 1: score is nan", trials[2].failed)
    assert.truthy(out:find("\n    2 [^\n]+  1000000  failed: row 1: score is nan\n"))
    assert.equal(2, #trials[3].monitors)
    out = select(2, tune(dir, "--resume"))
    assert.truthy(out:find "  lr\n\nthe best of them\n") -- it is not tried again
    -- None that did not fail.
    local failed, _, err = helper.run(("tune %s/tune.yaml --out %s/none --quiet "
      .. "--set 'tune.over={train.optimizer.sgd.lr: [1e6]}'"):format(dir, dir))
    assert.equal(1, failed)
    assert.equal("moonrank: no trial came to its end; trial 1: row 1: score is nan\n", err)
  end)

  it("says of a trial that was killed by what", function()
    local dir = make_project(HEAD .. "tune: {over: {model.dim: [2, 3]}}\n")
    helper.write(dir .. "/mine.lua", (helper.read "models/fm.lua":gsub("build = function%(m, opt%)",
      '%0\n    if opt.dim == 3 and arg[1] == "train" then os.execute "kill -9 $PPID" end')))
    assert.equal(0, (tune(dir, ("--set model.script=%s/mine.lua"):format(dir))))
    local trials = read_table(dir .. "/t")
    assert.same({ 2, "ended by signal 9" }, { trials[1].epochs, trials[2].failed })
  end)

  it("lets a trial end itself", function()
    local dir = make_project((GRID:gsub("epochs: 2", "epochs: 30, patience: 1")))
    assert.equal(0, (tune(dir, "--set 'tune.halving={epochs: 20}' --set tune.trials=3")))
    local stopped = 0
    for _, trial in ipairs(read_table(dir .. "/t")) do
      if trial.stopped then
        stopped = stopped + 1
        assert.equal(trial.epochs - 1, trial.best_epoch)
        assert.is_true(trial.epochs < 20)
      end
    end
    assert.is_true(stopped > 0)
    local _, out = tune(dir, "--set 'tune.halving={epochs: 20}' --set tune.trials=3 --resume")
    assert.truthy(out:find "  lr\n\nthe best of them\n")
  end)

  it("is judged by the monitor", function()
    local dir = make_project(GRID)
    local _, out = tune(dir, "--set train.monitor=logloss")
    local best
    for _, trial in ipairs(read_table(dir .. "/t")) do
      assert.equal(-trial.valid.logloss, math.max(unpack(trial.monitors)))
      if not best or trial.valid.logloss < best.valid.logloss then best = trial end
    end
    assert.truthy(out:find(" 6 trials, judged by logloss\n", 1, true))
    assert.truthy(out:find(("\nbest     trial %d\n"):format(best.trial), 1, true))
    _, out = tune(dir, "--restart --set tune.trials=1 "
      .. "--set 'train.monitor={auc: 1, logloss: -0.5}'")
    assert.truthy(out:find(" 1 trials, judged by 1 auc + -0.5 logloss\n", 1, true))
  end)

  it("is nothing to train, whose folder and model do not change", function()
    local dir = make_project(GRID)
    helper.write(dir .. "/plain.yaml", HEAD)
    for _, name in ipairs { "tune", "plain" } do
      assert.equal(0, (helper.run(("train %s/%s.yaml --quiet --out %s/%s"):format(dir, name, dir,
        name))))
    end
    assert.is_true(model_of(dir .. "/tune") == model_of(dir .. "/plain"))
    assert.equal(helper.read(dir .. "/plain/config.yaml"), helper.read(dir .. "/tune/config.yaml"))
  end)

  it("says in one line what is wrong", function()
    local dir = make_project(GRID)
    local function fails(status, message, arguments)
      arguments = arguments:gsub("DIR", dir)
      assert.same({ status, "", "moonrank: " .. message .. "\n" },
        { helper.run("tune " .. arguments) })
    end
    assert.equal(0, (tune(dir, "--quiet --set tune.trials=2")))
    fails(1, dir .. "/t holds a tune; go on with --resume, drop it with --restart, or choose "
      .. "another --out", "DIR/tune.yaml --out DIR/t")
    fails(1, dir .. "/t/trials.jsonl:1: trial 1 is of another configuration; begin anew with "
      .. "--restart, or choose another --out",
      "DIR/tune.yaml --out DIR/t --resume --set train.seed=2")
    helper.write(dir .. "/t/trials.jsonl", "{\n")
    fails(1, dir .. "/t/trials.jsonl:1: the line is damaged; remove it to have its trial done "
      .. "again", "DIR/tune.yaml --out DIR/t --resume")
    helper.write(dir .. "/wrong.yaml", HEAD .. "tune: {over: {model.dim: [2, 2.5]}}\n")
    fails(1, dir .. "/wrong.yaml: trial 2 (model.dim=2.5): " .. helper.root()
      .. "/models/fm.lua:8: lookup: dim is 2.5, expected a whole number",
      "DIR/wrong.yaml --out DIR/u")
    helper.write(dir .. "/wrong.yaml", HEAD .. "tune: {over: {model.dims: [2, 2.5]}}\n")
    fails(1, dir .. '/wrong.yaml:4:15: unknown option "dims" of model fm; did you mean "dim"?',
      "DIR/wrong.yaml --out DIR/u")
    assert.is_false(helper.exists(dir .. "/u"))
    helper.write(dir .. "/alone.yaml", (helper.read(dir .. "/fields.yaml")
      :gsub(", valid: valid.csv, test: test.csv", "")))
    fails(1, dir .. "/alone.yaml: trials are judged on validation data, and data names none",
      "DIR/tune.yaml --out DIR/u --set fields=DIR/alone.yaml")
    fails(2, '--workers is "0", expected a whole number 1 to 256', "DIR/tune.yaml --workers 0")
  end)

  it("is alone in its folder", function()
    local dir = make_project(GRID)
    local mr = require "moonrank.ffi"
    local lock = mr.new "int32_t[1]"
    require "lfs".mkdir(dir .. "/t")
    assert.equal(0, mr.C.mr_lock_take(lock, dir .. "/t/lock"))
    assert.same({ 1, "", ("moonrank: %s/t: another tune trains there, or its last trainings are "
      .. "still being saved\n"):format(dir) },
      { helper.run(("tune %s/tune.yaml --out %s/t"):format(dir, dir)) })
    mr.C.mr_lock_release(lock[0])
    assert.equal(0, (tune(dir, "--quiet --set tune.trials=1")))
  end)
end)
