-- examples/results.lua: tables of results by one command, on made-up data.
local cjson = require "cjson"
local helper = require "helper"

-- `said`: what it makes, as it tells before.
local function results(words, said)
  local status, out, err = helper.shell("luajit examples/results.lua " .. words)
  assert.equal(said and ("results: %s\n"):format(said) or "", err)
  assert.equal(0, status)
  return out
end

-- Of a Markdown table the rows, lists of cells.
local function rows_of(text)
  local rows = {}
  for line in text:gmatch "|[^\n]+" do
    local cells = {}
    for cell in line:gmatch "|%s*([^|]-)%s*%f[|]" do cells[#cells + 1] = cell end
    rows[#rows + 1] = cells
  end
  return rows
end

describe("a table of results", function()
  it("has mean and spread of each experiment, and is there at once when asked again", function()
    local dir, random = helper.temp_dir(), helper.random(2)
    local train, meta = { "user_id\titem_id\ttime" }, { "item_id\ti_category\tr\ts" }
    for item = 1, 60 do meta[item + 1] = ("%d\t%d\t[]\t[]"):format(item, item % 5) end
    for user = 1, 80 do
      local first = random(60)
      for k = 0, 6 do
        train[#train + 1] = ("%d\t%d\t%d"):format(user, (first + 5 * k) % 60 + 1, k)
      end
    end
    helper.write(dir .. "/train.csv", table.concat(train, "\n") .. "\n")
    helper.write(dir .. "/item_meta.csv", table.concat(meta, "\n") .. "\n")
    assert.equal(0, (helper.shell(("luajit examples/grocery/prepare.lua --data %s --out %s/grocery")
      :format(dir, dir))))
    local words = ("grocery --data %s --out %s/runs --repeat 2 --set train.epochs=2 "):format(dir,
      dir)
    local text = results(words, "grocery, 2 seeds")
    assert.equal("    split  by user: the last item is test, the one before it valid, the others "
      .. "train\n    rule   each item but the first with one negative, drawn evenly from the items "
      .. "that its user never had (seed 1)\n    past   what the user had before, the last 100 of "
      .. "it\n\n", text:match "^[^|]*")
    local rows = rows_of(text)
    assert.same({ "model", "AUC", "GAUC", "logloss", "seconds",
      "of the processors", "peak memory, MB" }, rows[1])
    assert.same({ "base", "din" }, { rows[3][1], rows[4][1] })
    for i, name in ipairs { "base", "din" } do
      local all = cjson.decode(helper.read(("%s/runs/grocery/%s/seeds.json"):format(dir, name)))
      assert.equal(2, #all.seeds)
      assert.equal(("%.4f ± %.4f"):format(all.mean.auc, all.spread.auc), rows[i + 2][2])
      assert.equal(("%.4f ± %.4f"):format(all.mean.logloss, all.spread.logloss), rows[i + 2][4])
      assert.equal(("%.0f ± %.0f"):format(all.mean.peak_memory / 2 ^ 20, all.spread.peak_memory
        / 2 ^ 20), rows[i + 2][7])
      for _, seed in ipairs(all.seeds) do
        assert.is_true(seed.peak_memory > 2 ^ 20 and seed.peak_memory < 2 ^ 32)
        assert.is_true(seed.processor_seconds > 0)
      end
    end
    assert.equal(text, results(words, "grocery, 2 seeds"))
  end)

  it("may be of one experiment with several scripts, on lines as Criteo has them", function()
    local dir, random, lines = helper.temp_dir(), helper.random(4), {}
    for i = 1, 400 do
      local cells = { random(2) - 1 }
      for k = 2, 14 do cells[k] = random(3) == 1 and "" or tostring(random(500) - 3) end
      for k = 15, 40 do cells[k] = random(9) == 1 and "" or ("%08x"):format(random(40)) end
      lines[i] = table.concat(cells, "\t")
    end
    helper.write(dir .. "/criteo_10k/lines.tsv", table.concat(lines, "\n") .. "\n")
    local text = results(("criteo_10k --data %s --out %s/runs --repeat 1 "
      .. "--set data.train=lines.tsv --set train.epochs=1"):format(dir, dir), "criteo_10k, 1 seed")
    assert.equal("    split  at random, seed 1: valid 10 %, test 10 %\n\n", text:match "^[^|]*")
    local rows = rows_of(text)
    local names = { "lr", "mlr", "fm", "dnn", "wide_deep", "deepfm", "dcn", "dcn_v2" }
    assert.equal(#names + 2, #rows)
    for i, name in ipairs(names) do
      local run = ("%s/runs/criteo_10k/%s"):format(dir, name)
      local all = cjson.decode(helper.read(run .. "/seeds.json"))
      assert.same({ name, ("%.4f"):format(all.mean.auc), "-" }, { unpack(rows[i + 2], 1, 3) })
      assert.truthy(helper.read(run .. "/seed-1/config.yaml"):find("script: " .. name .. "\n"))
    end
  end)

  it("holds models of the simulated exchange against the best possible", function()
    local dir = helper.temp_dir()
    local out = results(("exchange --data %s --out %s/runs --repeat 1 --requests 700 "
      .. "--set train.epochs=1"):format(dir, dir))
    local row = rows_of(out)[3]
    assert.equal(9, #row)
    local _, best = helper.run(("eval --truth %s/exchange-1"):format(dir))
    assert.equal(("%.4f"):format(best:match "best possible +%S+ +(%S+)"), row[6])
    local function figure(name)
      local path = ("%s/runs/exchange-1/%s/seed-1/metrics.jsonl"):format(dir, name)
      return cjson.decode(helper.read(path):match "([^\n]*)\n$").test.auc
    end
    for i, name in ipairs { "base_sum", "base_mean", "din_softmax", "din" } do
      assert.equal(("%.4f"):format(figure(name)), row[i + 1])
    end
    assert.equal(("%+.4f"):format(figure "din" - figure "base_mean"), row[8]:match "^%S+")
  end)

  it("holds the baselines against the best possible", function()
    local dir = helper.temp_dir()
    local out = results(("baselines --data %s --out %s/runs --repeat 2 --requests 300 "
      .. "--set train.epochs=1"):format(dir, dir))
    local rows = rows_of(out)
    assert.equal(2 + 9, #rows)
    for i, name in ipairs { "lr", "mlr", "fm", "dnn", "wide_deep", "deepfm", "dcn", "dcn_v2" } do
      local sum = 0
      for seed = 1, 2 do
        local path = ("%s/runs/exchange-%d/%s/seed-%d/metrics.jsonl"):format(dir, seed, name, seed)
        sum = sum + cjson.decode(helper.read(path):match "([^\n]*)\n$").test.auc
      end
      assert.same({ name, ("%.4f"):format(sum / 2) },
        { rows[i + 2][1], rows[i + 2][2]:match "^%S+" })
    end
    local best = 0
    for seed = 1, 2 do
      local _, text = helper.run(("eval --truth %s/exchange-%d"):format(dir, seed))
      best = best + text:match "best possible +%S+ +(%S+)"
    end
    local row = rows[11]
    assert.equal("best possible", row[1])
    assert.is_true(math.abs(row[2]:match "^%S+" - best / 2) < 1e-4)
  end)

  it("is one that there is", function()
    assert.same({ 1, "", 'results: there is no table "groceries"\n' },
      { helper.shell "luajit examples/results.lua groceries" })
  end)
end)
