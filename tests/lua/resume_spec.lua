-- A run that is stopped, interrupted or killed and then resumed ends in the same bytes as one that
-- never stopped: the model and, but for times, the figures.
local helper = require "helper"

local KILLS = 50

-- Dropout, batch norm, bags, a plateau schedule and the best model kept; clipping, frozen weights
-- and a warm start.
local function make_project()
  local dir = helper.make_project { rows = 3000 }
  assert(helper.run(("train %s/lr.yaml --out %s/first --quiet --set model.script=dnn "
    .. "--set 'model.hidden=[16]' --set train.epochs=1"):format(dir, dir)) == 0)
  helper.write(dir .. "/dnn.yaml", [[
fields: fields.yaml
model: {script: dnn, hidden: [16, 8], batch_norm: true, dropout: 0.3}
train:
  warm_start: {model: first, names: ["table.*", "dense_1.*"]}
  freeze: [table.hour, dense_1.bias, batch_norm_1.moving_mean]
  clip: {value: 0.01, row: 0.01, norm: 0.02}
  batch: 64
  epochs: 5
  optimizer: {adam: {lr: 0.02}}
  reduce_on_plateau: {factor: 0.5, patience: 1}
  schedule: {cosine: {steps: 240, least: 0.1}}
  warm_up: 20
  checkpoint: {steps: 9}
]])
  return dir
end

local function train(dir, out, more)
  return helper.run(("train %s --quiet --out %s %s"):format(helper.quote(dir .. "/dnn.yaml"),
    helper.quote(dir .. "/" .. out), more or ""))
end

local function same(dir, out)
  assert.is_true(helper.read(dir .. "/whole/model.mr") == helper.read(dir .. "/" .. out
    .. "/model.mr"), "the models differ")
  assert.same(helper.figures(dir .. "/whole"), helper.figures(dir .. "/" .. out))
end

describe("a resumed run", function()
  local dir = make_project()
  assert.equal(0, (train(dir, "whole")))

  it("goes on after --stop-after", function()
    local status, out = helper.run(("train %s --out %s --stop-after 2"):format(
      helper.quote(dir .. "/dnn.yaml"), helper.quote(dir .. "/stopped")))
    assert.equal(0, status)
    assert.truthy(out:find("stopped in epoch 2; go on with: ", 1, true))
    assert.is_false(helper.exists(dir .. "/stopped/model.mr"))
    -- The checkpoint has all that the warm start took.
    assert(os.rename(dir .. "/first", dir .. "/gone"))
    assert.equal(0, (train(dir, "stopped", "--resume")))
    assert(os.rename(dir .. "/gone", dir .. "/first"))
    same(dir, "stopped")
  end)

  it("goes on with momentum, and ftrl for the tables", function()
    local set = "--set 'train.optimizer={momentum: {nesterov: 1}}' "
      .. "--set 'train.tables={optimizer: {ftrl: {beta: 0.01, l1: 0.001}}, l1: 0.0001}' "
    assert.same({ 0, "", "" }, { train(dir, "whole-ftrl", set) })
    assert.equal(0, (train(dir, "ftrl", set .. "--stop-after 2")))
    assert.equal(0, (train(dir, "ftrl", set .. "--resume")))
    assert.is_true(helper.read(dir .. "/whole-ftrl/model.mr") == helper.read(dir
      .. "/ftrl/model.mr"))
    assert.is_false(helper.read(dir .. "/whole-ftrl/model.mr") == helper.read(dir
      .. "/whole/model.mr"))
  end)

  it("counts the training data again for mini-batch aware regularisation", function()
    local set = "--set train.tables.mba=0.5 "
    assert.equal(0, (train(dir, "whole-mba", set)))
    assert.equal(0, (train(dir, "mba", set .. "--stop-after 2 --threads 1")))
    assert.equal(0, (train(dir, "mba", set .. "--resume")))
    assert.is_true(helper.read(dir .. "/whole-mba/model.mr") == helper.read(dir
      .. "/mba/model.mr"))
    assert.is_false(helper.read(dir .. "/whole-mba/model.mr") == helper.read(dir
      .. "/whole/model.mr"))
    assert.same({ 1, "", ("moonrank: --set train.tables.mba=0.5: train.tables.mba: it regularises "
      .. "the rows of a batch, and train.tables.rows: all moves all of them\n") },
      { train(dir, "all", set .. "--set train.tables.rows=all") })
  end)

  it("is another run without the clipping, the freezing or the warm start", function()
    -- Guards the tests of this file: what has no effect is resumed easily.
    for i, setting in ipairs { "train.clip={value: 1e9}", "train.freeze=[table.hour]",
      "train.warm_start={model: " .. dir .. "/first, names: [table.ad]}" } do
      local out = "without" .. i
      assert.equal(0, (train(dir, out, "--set " .. helper.quote(setting))))
      assert.is_false(helper.read(dir .. "/whole/model.mr")
        == helper.read(("%s/%s/model.mr"):format(dir, out)), setting)
    end
  end)

  it("may have another number of threads", function()
    assert.equal(0, (train(dir, "threads", "--stop-after 3 --threads 1")))
    assert.equal(0, (train(dir, "threads", "--resume --threads 3")))
    same(dir, "threads")
  end)

  it("goes on after Ctrl-C, which saves and exits with 130", function()
    -- A checkpoint at every step makes the run slow, and changes nothing in it: the signal comes as
    -- soon as the first one is there.
    local command = ("./moonrank train %s --out %s --quiet --set train.checkpoint.steps=1"):format(
      helper.quote(dir .. "/dnn.yaml"), helper.quote(dir .. "/interrupted"))
    local status, out, err = helper.shell(([[%s & run=$!
until ls -d %s/step-????????? || ! kill -0 $run; do sleep 0.01; done >/dev/null 2>&1
kill -INT $run; wait $run]]):format(command, helper.quote(dir .. "/interrupted/checkpoints")))
    assert.equal(130, status)
    assert.equal("", out .. err)
    assert.is_false(helper.exists(dir .. "/interrupted/model.mr"))
    assert.equal(0, (train(dir, "interrupted", "--resume")))
    same(dir, "interrupted")
  end)

  it(("survives kill -9 at %d moments"):format(KILLS), function()
    local random = helper.random(5)
    local quoted = helper.quote(dir .. "/dnn.yaml") .. " --quiet --out "
      .. helper.quote(dir .. "/killed")
    local kills, finished = 0, 0
    while kills < KILLS do
      -- Waited for: the run folder belongs to a process until all of it has ended.
      local status = helper.shell(("./moonrank train %s --resume & run=$!; sleep %.3f; "
        .. "kill -KILL $run 2>/dev/null; wait $run"):format(quoted, 0.03 + 0.25 * random()))
      if status == 0 then -- it came to its end: compare, and begin again
        same(dir, "killed")
        finished = finished + 1
        os.execute("rm -rf " .. helper.quote(dir .. "/killed"))
      else
        assert.equal(137, status)
        kills = kills + 1
      end
    end
    assert.equal(0, (train(dir, "killed", "--resume")))
    same(dir, "killed")
  end)

  it("refuses another configuration", function()
    assert.equal(0, (train(dir, "changed", "--stop-after 1")))
    local status, _, err = train(dir, "changed", "--resume --set train.batch=65")
    assert.equal(1, status)
    assert.equal(("moonrank: %s/changed holds a run of another configuration; train without "
      .. "--resume, or with another --out\n"):format(dir), err)
  end)

  it("may be longer than it was told to be, which config.yaml then says, and no shorter", function()
    assert.equal(0, (train(dir, "longer", "--set train.epochs=3")))
    assert.equal(0, (train(dir, "longer", "--resume")))
    same(dir, "longer")
    assert.equal(helper.read(dir .. "/whole/config.yaml"),
      helper.read(dir .. "/longer/config.yaml"))
    -- Interrupted behind the new configuration, it has no model of the old one.
    assert.equal(0, (train(dir, "longer", "--resume --set train.epochs=7 --stop-after 6")))
    assert.is_false(helper.exists(dir .. "/longer/model.mr"))
    assert.same({ 1, "", ("moonrank: %s/longer holds a run of 6 epochs, and train.epochs is 5; "
      .. "train without --resume, or with another --out\n"):format(dir) },
      { train(dir, "longer", "--resume") })
  end)

  -- Change the last byte of a file.
  local function spoil(path)
    local text = helper.read(path)
    helper.write(path, text:sub(1, -2) .. string.char((text:byte(-1) + 1) % 256))
  end

  local function complaint_of(out)
    local status, _, err = train(dir, out, "--resume")
    assert.equal(1, status)
    return err
  end

  it("names a checkpoint whose bytes have changed, and the way on from the one before", function()
    assert.equal(0, (train(dir, "damaged", "--stop-after 1")))
    local steps = {}
    for name in require "lfs".dir(dir .. "/damaged/checkpoints") do
      if name:find "^step" then steps[#steps + 1] = name end
    end
    table.sort(steps)
    local before, newest = steps[#steps - 1], steps[#steps]
    local path = ("%s/damaged/checkpoints/%s"):format(dir, newest)
    spoil(path .. "/tables.safetensors")
    assert.equal(("moonrank: %s/manifest.json: %s/tables.safetensors is not the file that was "
      .. "written: its size or sum differs; move %s away to go on from %s\n"):format(path, path,
      newest, before), complaint_of "damaged")
    spoil(path .. "/manifest.json")
    assert.equal(("moonrank: %s/manifest.json: damaged JSON: something follows its end; move %s "
      .. "away to go on from %s\n"):format(path, newest, before), complaint_of "damaged")
    assert(os.rename(path, dir .. "/away"))
    assert.equal(0, (train(dir, "damaged", "--resume")))
    same(dir, "damaged")
  end)

  it("says so when the only checkpoint is damaged, or the best model that it speaks of", function()
    assert.equal(0, (train(dir, "only", "--stop-after 1 --set train.checkpoint.keep=1")))
    local step, best
    for name in require "lfs".dir(dir .. "/only/checkpoints") do
      if name:find "^step" then step = name elseif name:find "^best" then best = name end
    end
    local path = ("%s/only/checkpoints/%s"):format(dir, step)
    spoil(("%s/only/checkpoints/%s"):format(dir, best))
    local place = ("moonrank: %s/only/checkpoints/%s: "):format(dir, best)
    assert.truthy(complaint_of "only":sub(#place + 1)
      :find '^the bytes of "[%w.]+" have changed since they were written\n$')
    assert(os.remove(path .. "/dense.safetensors"))
    assert.equal(("moonrank: %s/manifest.json: %s/dense.safetensors: No such file or directory; "
      .. "there is no older checkpoint to go on from\n"):format(path, path), complaint_of "only")
    assert.equal(0, (train(dir, "only", "--restart")))
    same(dir, "only")
  end)

  it("says so when metrics.jsonl has lost lines, and keeps those that are there", function()
    assert.equal(0, (train(dir, "lines", "--stop-after 3")))
    local path = dir .. "/lines/metrics.jsonl"
    local text = helper.read(path)
    helper.write(path, text:sub(1, #text - 10))
    local status, out, err = helper.run(("train %s --out %s --resume"):format(
      helper.quote(dir .. "/dnn.yaml"), helper.quote(dir .. "/lines")))
    assert.same({ 0, "" }, { status, err })
    assert.equal(("metrics.jsonl has %d bytes and had %d at the checkpoint: lines are missing")
      :format(#text - 10, #text), out:match "^[^\n]+")
    local epochs = {}
    for _, line in ipairs(helper.figures(dir .. "/lines")) do
      epochs[#epochs + 1] = line.epoch or "test"
    end
    assert.same({ 1, 2, 4, 5, "test" }, epochs)
    assert.is_true(helper.read(dir .. "/lines/model.mr") == helper.read(dir .. "/whole/model.mr"))
  end)

  it("is alone in its folder", function()
    local mr = require "moonrank.ffi"
    local lock = mr.new "int32_t[1]"
    assert(require "moonrank.path".make_folder(dir .. "/held"))
    assert.equal(0, mr.C.mr_lock_take(lock, dir .. "/held/lock"))
    for _, more in ipairs { "", "--resume", "--restart" } do
      assert.same({ 1, "", ("moonrank: %s/held: another training runs there\n"):format(dir) },
        { train(dir, "held", more) })
    end
    mr.C.mr_lock_release(lock[0])
    -- A training holds it: the second comes while the first one is halted.
    local out = helper.quote(dir .. "/held")
    local _, _, err = helper.shell(([[./moonrank train %s --out %s --quiet \
  --set train.checkpoint.steps=1 & run=$!
until ls -d %s/checkpoints/step-????????? || ! kill -0 $run; do sleep 0.01; done >/dev/null 2>&1
kill -STOP $run
./moonrank train %s --out %s --quiet --restart
kill -CONT $run; wait $run]]):format(helper.quote(dir .. "/dnn.yaml"), out, out,
      helper.quote(dir .. "/dnn.yaml"), out))
    assert.equal(("moonrank: %s/held: another training runs there\n"):format(dir), err)
    same(dir, "held")
  end)

  -- kill -9, and at once the next: the first one's threads may still be ending.
  it("waits a moment for a folder whose training ends", function()
    assert(require "moonrank.path".make_folder(dir .. "/ending"))
    local out = helper.quote(dir .. "/ending")
    local status, _, err = helper.shell(([[(flock 9; touch %s/taken; sleep 0.5) 9>%s/lock &
until [ -e %s/taken ]; do sleep 0.01; done
./moonrank train %s --out %s --quiet]]):format(out, out, out, helper.quote(dir .. "/dnn.yaml"),
      out))
    assert.same({ 0, "" }, { status, err })
    same(dir, "ending")
  end)

  it("starts from the beginning where nothing was saved yet", function()
    assert.equal(0, (train(dir, "fresh", "--resume")))
    same(dir, "fresh")
  end)
end)
