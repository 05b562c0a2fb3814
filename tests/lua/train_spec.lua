-- The commands train, eval and predict, as typed.
local helper = require "helper"

local function lines_of(text)
  local lines = {}
  for line in text:gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
  return lines
end

describe("moonrank train", function()
  local dir, status, out, err

  setup(function()
    dir = helper.make_project {}
    status, out, err = helper.run(("train %s/lr.yaml --out %s/run"):format(dir, dir))
  end)

  it("prints a header, a line an epoch, the test figures and what to do next", function()
    assert.equal("", err)
    assert.equal(0, status)
    local lines = lines_of(out)
    assert.equal("model    lr (models/lr.lua)", (lines[1]:gsub("%(.*models/", "(models/")))
    assert.equal(("data     %s/fields.yaml rows: train 2,000, valid 500, test 500"):format(dir),
      lines[2])
    local text = table.concat(lines, "\n")
    assert.truthy(text:find("\n" .. require "moonrank.report_table".epochs().heading() .. "\n", 1,
      true))
    assert.truthy(text:find "\n    1 +0%.%d+ +0%.%d+ +0%.%d+ +0%.%d+ ")
    assert.truthy(text:find "\n    2 +0%.%d+ +0%.%d+ +0%.%d+ +0%.%d+ ")
    assert.truthy(text:find "\ntest +500 +0%.%d+ ")
    assert.equal(("next: %s eval %s/run"):format(helper.command(), dir), lines[#lines])
  end)

  it("writes a run folder", function()
    assert.equal(out, helper.read(dir .. "/run/log.txt"))
    local json = require "moonrank.json"
    local entries = {}
    for line in io.lines(dir .. "/run/metrics.jsonl") do
      entries[#entries + 1] = assert(json.decode(line))
    end
    assert.equal(3, #entries)
    assert.equal(1, entries[1].epoch)
    assert.is_true(entries[2].valid.auc > 0.5)
    assert.equal(500, entries[3].test.rows)
    assert.is_true(helper.exists(dir .. "/run/model.mr"))
  end)

  it("gives the same model from the resolved files, with any number of threads", function()
    for _, threads in ipairs { 1, 3 } do
      local again = helper.temp_dir()
      local result = { helper.run(("train %s/run/config.yaml --out %s/r --quiet --threads %d")
        :format(dir, again, threads)) }
      assert.same({ 0, "", "" }, result)
      assert.is_true(helper.read(dir .. "/run/model.mr") == helper.read(again .. "/r/model.mr"))
    end
  end)

  it("chooses a run folder by the experiment", function()
    local here = helper.temp_dir()
    local command = ("train %s/lr.yaml --quiet --set train.epochs=1"):format(dir)
    assert.same({ 0, "", "" }, { helper.run(command, here) })
    assert.same({ 0, "", "" }, { helper.run(command .. " --threads 1", here) })
    assert.same({ 0, "", "" }, { helper.run(command .. " --set train.seed=2", here) })
    local names = {}
    for entry in require "lfs".dir(here .. "/runs") do
      if entry:find "^lr%-%x%x%x%x%x%x%x%x$" then names[#names + 1] = entry end
    end
    assert.equal(2, #names)
  end)

  it("writes over no file that is of no run", function()
    local here = helper.make_project { rows = 200 }
    for _, name in ipairs { "fields.yaml", "config.yaml", "model.mr" } do
      local folder = name == "fields.yaml" and here or helper.temp_dir()
      if folder ~= here then helper.write(folder .. "/" .. name, "mine") end
      local before = helper.read(folder .. "/" .. name)
      for _, more in ipairs { "", " --resume", " --restart" } do
        assert.same({ 1, "", ("moonrank: %s/%s is of no run and would be written over; choose "
          .. "another folder\n"):format(folder, name) },
          { helper.run(("train %s/lr.yaml --out %s%s"):format(here, folder, more)) })
      end
      assert.equal(before, helper.read(folder .. "/" .. name))
      assert.is_false(helper.exists(folder .. "/lock"))
    end
  end)

  it("says in one line what is wrong", function()
    local function says(message, arguments)
      local result = { helper.run("train " .. arguments:gsub("LR", dir .. "/lr.yaml")) }
      assert.same({ 1, "", "moonrank: " .. message:gsub("DIR", dir) .. "\n" }, result)
    end
    says("nope.yaml: No such file or directory", "nope.yaml")
    says('--set train.bacth=5: unknown key "bacth" in train; did you mean "batch"?',
      "LR --set train.bacth=5")
    says('--set model.hiden=5: unknown option "hiden" of model dnn; did you mean "hidden"?',
      "LR --set model.script=dnn --set model.hiden=5")
    says("--set model.hidden=5: model.hidden is 5, expected a list of numbers",
      "LR --set model.script=dnn --set model.hidden=5")
    says('--set model.script=fmm: no model "fmm"; did you mean "fm"?', "LR --set model.script=fmm")
    says("--set data.train=a.csv: cannot read DIR/a.csv: No such file or directory",
      "LR --set data.train=a.csv")
  end)

  it("names the line of a script that is wrong", function()
    helper.write(dir .. "/bad.lua", [[
return { build = function(m)
  m:task("ctr", m:embed "usr")
end }
]])
    local result = { helper.run(("train %s/lr.yaml --set model.script=%s/bad.lua"):format(dir,
      dir)) }
    assert.same({ 1, "", ('moonrank: %s/bad.lua:2: no field, side or sequence "usr"; did you mean '
      .. '"user"?\n'):format(dir) }, result)
  end)
end)

describe("moonrank eval and predict", function()
  local dir

  setup(function()
    dir = helper.make_project {}
    assert(helper.run(("train %s/lr.yaml --out %s/run --quiet"):format(dir, dir)) == 0)
  end)

  it("give the figures of training, from the run or the model file", function()
    local status, out, err = helper.run(("eval %s/run"):format(dir))
    assert.same({ 0, "" }, { status, err })
    local trained = helper.read(dir .. "/run/log.txt"):match "\ntest +(500.-)[%d.]+\n"
    assert.equal(trained, out:match "\nlr +(500.-)[%d.]+\n")
    status, out, err = helper.run(("eval %s/run/model.mr --data %s/test.csv"):format(dir, dir))
    assert.same({ 0, "" }, { status, err })
    assert.equal(trained, out:match "\nlr +(500.-)[%d.]+\n")
  end)

  it("agree with each other", function()
    local status, out, err = helper.run(("predict %s/run --data test"):format(dir))
    assert.same({ 0, "" }, { status, err })
    local loss, n = 0, 0
    local rows = helper.read(dir .. "/test.csv"):gmatch "\n(%d),"
    for line in out:gmatch "([^\n]+)\n" do
      local p, y = tonumber(line), tonumber(rows())
      loss, n = loss - (y == 1 and math.log(p) or math.log(1 - p)), n + 1
    end
    assert.equal(500, n)
    local figures = select(2, helper.run(("eval %s/run"):format(dir)))
    local expected = figures:match "\nlr +500 +[%d.]+ +[%d.]+ +([%d.]+)"
    assert.near(tonumber(expected), loss / n, 1e-6)
  end)

  it("need no labels to predict, and write a file that is whole", function()
    local bare = helper.read(dir .. "/test.csv"):gsub("[^\n,]*,([^\n]*)", "%1")
    helper.write(dir .. "/bare.csv", bare)
    local _, expected = helper.run(("predict %s/run --data test"):format(dir))
    assert.same({ 0, expected, "" }, { helper.run(("predict %s/run --data %s/bare.csv"):format(dir,
      dir)) })
    assert.same({ 0, "", "" }, { helper.run(("predict %s/run/model.mr --data %s/bare.csv --out "
      .. "%s/p.txt --threads 1"):format(dir, dir, dir)) })
    assert.equal(expected, helper.read(dir .. "/p.txt"))
    assert.is_false(helper.exists(dir .. "/p.txt.tmp"))
  end)

  it("say in one line what is wrong", function()
    local function says(message, arguments)
      local result = { helper.run((arguments:gsub("DIR", dir))) }
      assert.same({ 1, "", "moonrank: " .. message:gsub("DIR", dir) .. "\n" }, result)
    end
    helper.write(dir .. "/alone/p.mr", helper.read(dir .. "/run/model.mr"))
    says("DIR/nope/model.mr: No such file or directory", "eval DIR/nope/model.mr")
    says("DIR/alone/p.mr does not say where the test data is; name a file with --data",
      "eval DIR/alone/p.mr")
    says("--set data.root=x: DIR/alone/p.mr is not in a run folder, there is nothing to override",
      "eval DIR/alone/p.mr --set data.root=x")
    says("--set data.test=x.csv: cannot read DIR/x.csv: No such file or directory",
      "eval DIR/run --set data.test=x.csv")
    says('no file matches "DIR/x*.csv"', "predict DIR/run --data 'DIR/x*.csv'")
    says("DIR/x.csv: No such file or directory", "predict DIR/run --data DIR/x.csv")
  end)
end)

describe("moonrank eval --truth", function()
  it("prints the best that any model can reach", function()
    local dir = helper.temp_dir()
    helper.write(dir .. "/test.tsv", "user_id\tclick\nu1\t1\nu1\t0\nu1\t0\nu2\t1\nu2\t0\n")
    helper.write(dir .. "/truth/test.tsv", "p\tcvr\n0.8\t1\n0.6\t1\n0.2\t1\n0.3\t1\n0.4\t1\n")
    helper.shell(("zstd -q --rm %s/test.tsv %s/truth/test.tsv"):format(dir, dir))
    -- AUC: of the 6 pairs 0.8 wins 3, 0.3 wins 1. GAUC: (3 rows x 1 + 2 rows x 0) / 5.
    assert.same({ 0, [[
                      rows       AUC      GAUC   logloss  calibration  seconds
best possible            5  0.666667  0.600000  0.]]
      .. ("%.6f"):format(-(math.log(0.8) + math.log(0.4) + math.log(0.8) + math.log(0.3)
      + math.log(0.6)) / 5):sub(3) .. "       1.1500        -\n", "" },
      { helper.run("eval --truth " .. dir) })
    assert.is_false(helper.exists(dir .. "/.moonrank-cache"))
  end)

  it("says when truth and data do not fit", function()
    local dir = helper.temp_dir()
    helper.write(dir .. "/test.tsv", "user_id\tclick\nu1\t1\nu1\t0\n")
    helper.write(dir .. "/truth/test.tsv", "p\n0.8\n")
    helper.shell(("zstd -q --rm %s/test.tsv %s/truth/test.tsv"):format(dir, dir))
    assert.same({ 1, "", ("moonrank: %s/truth/test.tsv.zst has 1 rows, the test data has 2\n")
      :format(dir) }, { helper.run("eval --truth " .. dir) })
  end)
end)
