-- moonrank train --repeat: the same experiment with several seeds.
local helper = require "helper"
local json = require "moonrank.json"

local function read_json(path) return assert(json.decode(helper.read(path))) end

describe("moonrank train --repeat", function()
  local dir, status, out, err

  setup(function()
    dir = helper.make_project { rows = 1000 }
    status, out, err = helper.run(("train %s/lr.yaml --set train.seed=4 --repeat 3 --out %s/three")
      :format(dir, dir))
  end)

  it("trains each seed as a run of its own would be", function()
    assert.same({ 0, "" }, { status, err })
    for seed = 4, 6 do
      assert.equal(0, (helper.run(("train %s/lr.yaml --quiet --set train.seed=%d --out %s/one")
        :format(dir, seed, dir))))
      assert.is_true(helper.read(dir .. "/one/model.mr")
        == helper.read(("%s/three/seed-%d/model.mr"):format(dir, seed)))
    end
  end)

  it("gives mean and spread of the figures on the test data", function()
    local all = read_json(dir .. "/three/seeds.json")
    assert.equal("test", all.split)
    local values, mean = {}, 0
    for i = 1, 3 do
      local lines = helper.figures(("%s/three/seed-%d"):format(dir, i + 3))
      values[i] = lines[#lines].test.auc
      assert.equal(i + 3, all.seeds[i].seed)
      assert.equal(values[i], all.seeds[i].auc)
      mean = mean + values[i] / 3
    end
    assert.is_true(math.abs(all.mean.auc - mean) < 1e-12)
    local a, b, c = values[1] - mean, values[2] - mean, values[3] - mean
    local spread = math.sqrt((a * a + b * b + c * c) / 2)
    assert.is_true(spread > 0 and math.abs(all.spread.auc - spread) < 1e-12)
    assert.truthy(out:find(("\nmean +%%- +%.6f "):format(mean)))
    assert.truthy(out:find(("\nspread +%%- +%.6f "):format(spread)))
    assert.truthy(out:find "\ntest, seed 5 +250 +0%.")
  end)

  it("says that a report of all is next, and other commands ask for one of the runs", function()
    assert.equal(("next: %s report %s/three/seed-4 %s/three/seed-5 %s/three/seed-6"):format(
      helper.command(), dir, dir, dir), out:match "([^\n]*)\n$")
    local message = ("%s/three holds several runs: name one of them, such as %s/three/seed-4\n")
      :format(dir, dir)
    for _, command in ipairs { "eval %s/three", "compare %s/one %s/three", "report %s/three/",
        "inspect %s/three", "predict %s/three --data %s/test.csv" } do
      assert.same({ 1, "", "moonrank: " .. message }, { helper.run(command:format(dir, dir, dir)) })
    end
    local set = ("--set train.warm_start.model=%s/three"):format(dir)
    assert.same({ 1, "", ("moonrank: %s: train.warm_start.model: %s"):format(set, message) },
      { helper.run(("train %s/lr.yaml --out %s/warm %s"):format(dir, dir, set)) })
    local path = dir .. "/pages.html"
    assert.same({ 0, path .. "\n", "" }, { helper.run(("report %s/three/seed-4 %s/three/seed-5/ "
      .. "--out %s"):format(dir, dir, path)) })
    assert.truthy(helper.read(path):find("<h1>moonrank: three/seed-4, three/seed-5</h1>", 1, true))
  end)

  it("keeps the runs that are finished with --resume, and goes on with the others", function()
    local before = {}
    for seed = 4, 6 do
      before[seed] = helper.read(("%s/three/seed-%d/model.mr"):format(dir, seed))
    end
    local figures = read_json(dir .. "/three/seeds.json")
    os.execute(("rm -rf %s/three/seed-6 %s/three/seeds.json"):format(dir, dir))
    local _, text = helper.run(("train %s/lr.yaml --set train.seed=4 --repeat 3 --out %s/three "
      .. "--resume"):format(dir, dir))
    assert.equal(2, select(2, text:gsub("\n +%d+ +0%.%d+ ", ""))) -- the epochs of seed 6
    for seed = 4, 6 do
      assert.is_true(before[seed]
        == helper.read(("%s/three/seed-%d/model.mr"):format(dir, seed)))
    end
    local again = read_json(dir .. "/three/seeds.json")
    assert.equal(figures.mean.auc, again.mean.auc)
    assert.equal(figures.seeds[1].seconds, again.seeds[1].seconds)
  end)

  it("says how to go on after --stop-after", function()
    local _, text = helper.run(("train %s/lr.yaml --repeat 2 --out %s/part --stop-after 1")
      :format(dir, dir))
    assert.same({ 1, "", ("moonrank: %s/part/seed-1 has no model yet: its training is not "
      .. "finished\n"):format(dir) }, { helper.run(("eval %s/part/seed-1"):format(dir)) })
    local command = text:match "go on with: ([^\n]*)\n"
    assert.truthy(command:find(" --repeat 2 --resume", 1, true))
    assert.equal(0, (helper.shell(command .. " --quiet")))
    assert.equal(2, #read_json(dir .. "/part/seeds.json").seeds)
  end)

  it("has no spread of one seed, and uses validation data where there is no test data", function()
    helper.write(dir .. "/valid.yaml", (helper.read(dir .. "/fields.yaml")
      :gsub(", test: test.csv", "")))
    local _, text = helper.run(("train %s/lr.yaml --repeat 1 --out %s/single --set fields=%s")
      :format(dir, dir, dir .. "/valid.yaml"))
    local all = read_json(dir .. "/single/seeds.json")
    assert.equal("valid", all.split)
    assert.same({}, all.spread)
    assert.equal(all.seeds[1].auc, all.mean.auc)
    local lines = helper.figures(dir .. "/single/seed-1")
    assert.equal(math.max(lines[1].valid.auc, lines[2].valid.auc), all.mean.auc)
    assert.truthy(text:find "\nvalid, seed 1 +250 +0%.")
    assert.truthy(text:find "\nspread +%- +%- +%- +%- +%- +%-\n")
  end)

  it("refuses what it cannot compare", function()
    helper.write(dir .. "/alone.yaml", (helper.read(dir .. "/fields.yaml")
      :gsub("valid: valid.csv, test: test.csv", "cache: c")))
    assert.same({ 1, "", ("moonrank: %s/alone.yaml: --repeat compares figures on test or "
      .. "validation data, and data names neither\n"):format(dir) },
      { helper.run(("train %s/lr.yaml --set fields=%s/alone.yaml --repeat 2 --out %s/no")
        :format(dir, dir, dir)) })
    assert.same({ 2, "", 'moonrank: --repeat is "0", expected a whole number 1 to 1000\n' },
      { helper.run(("train %s/lr.yaml --repeat 0"):format(dir)) })
  end)
end)
