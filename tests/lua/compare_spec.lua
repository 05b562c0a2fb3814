-- moonrank compare, as typed; the figures are tested in tests/engine/compare_spec.lua.
local helper = require "helper"

describe("moonrank compare", function()
  local dir

  setup(function() dir = helper.make_runs() end)

  local function figures_of(run)
    local lines = helper.figures(("%s/%s"):format(dir, run))
    return lines[#lines].test
  end

  it("prints the figures of both, their difference and its interval", function()
    local status, out, err = helper.run(("compare %s/lr %s/fm --draws 200"):format(dir, dir))
    assert.same({ 0, "" }, { status, err })
    local first, second = figures_of "lr", figures_of "fm"
    local row = ("\nAUC             %.6f   %.6f   %+.6f  [-+]0%%.%%d+ to [-+]0%%.%%d+  "
      .. "[01]%%.%%d+\n"):format(first.auc, second.auc, first.auc - second.auc)
    assert.truthy(out:find((row:gsub("   ([-+])", "   %%%1"))))
    for label, name in pairs { ["logloss      "] = "logloss",
      ["norm. entropy"] = "normalised_entropy", ["calibration  "] = "calibration" } do
      assert.truthy(out:find(("\n%s   %.6f   %.6f "):format(label, first[name], second[name]), 1,
        true))
    end
    local function calibration_error(run)
      return tonumber(select(2, helper.run(("eval %s/%s"):format(dir, run))):match
        "calibration error ([%d.]+)")
    end
    assert.truthy(out:find(("\ncalib. error    %.6f   %.6f "):format(calibration_error "lr",
      calibration_error "fm"), 1, true))
    assert.truthy(out:find("\ndata     test: 500 rows, 200 draws of 50 groups\n", 1, true))
  end)

  it("reads other data, by the first model's labels, and the same for any threads", function()
    local command = ("compare %s/lr %s/fm --draws 50 --data %s/valid.csv"):format(dir, dir, dir)
    local status, out = helper.run(command)
    assert.equal(0, status)
    assert.same({ 0, out, "" }, { helper.run(command .. " --threads 1") })
    assert.is_false(out == select(2, helper.run(command .. " --seed 2")))
  end)

  it("reads the data where --set says that the first run's is", function()
    local moved = helper.temp_dir()
    helper.shell(("cp %s/test.csv %s"):format(dir, moved))
    local command = ("compare %s/lr %s/fm --draws 50"):format(dir, dir)
    local status, out = helper.run(command)
    assert.equal(0, status)
    local set = (" --set data.root=%s --set data.cache=%s/cache"):format(moved, moved)
    assert.same({ 0, out, "" }, { helper.run(command .. set) })
    assert.same({ 1, "", ("moonrank: %s/lr/fields.yaml:8:9: cannot read %s/lr/model.mr/test.csv: "
      .. "Not a directory\n"):format(dir, dir) }, { helper.run(command
      .. (" --set data.root=%s/lr/model.mr"):format(dir)) })
  end)

  it("says in one line what is wrong", function()
    assert.same({ 1, "", ("moonrank: %s/none: No such file or directory\n"):format(dir) },
      { helper.run(("compare %s/lr %s/none"):format(dir, dir)) })
    assert.same({ 2, "", 'moonrank: --draws is "0", expected a whole number 1 to 1000000\n' },
      { helper.run(("compare %s/lr %s/fm --draws 0"):format(dir, dir)) })
    assert.same({ 2, "", "moonrank: missing argument \"second\"; try: moonrank help compare\n" },
      { helper.run(("compare %s/lr"):format(dir)) })
  end)

  it("is of models of the same tasks", function()
    local folder = helper.make_project { rows = 100 }
    helper.write(folder .. "/fields.yaml", (helper.read(folder .. "/fields.yaml")
      :gsub("label: click", "label: {opened: click}")))
    helper.write(folder .. "/opened.lua", 'return { name = "opened", options = {}, build = '
      .. 'function(m) m:task("opened", m:linear()) end }\n')
    assert.equal(0, (helper.run(("train %s/lr.yaml --quiet --set model.script=%s/opened.lua "
      .. "--out %s/lr"):format(folder, folder, folder))))
    assert.same({ 1, "", ('moonrank: %s/lr/model.mr has no task "ctr", but opened\n')
      :format(folder) }, { helper.run(("compare %s/lr %s/lr"):format(dir, folder)) })
  end)
end)

describe("a run without test data", function()
  it("is judged on what it has, as train says in the end", function()
    local folder = helper.make_project { rows = 100 }
    local fields = helper.read(folder .. "/fields.yaml")
    for has, named in pairs { ["train, valid"] = ", test: test.csv",
      train = ", valid: valid.csv, test: test.csv" } do
      helper.write(folder .. "/fields.yaml", (fields:gsub(named, "")))
      local run = ("%s/%d"):format(folder, #has)
      local status, out = helper.run(("train %s/lr.yaml --out %s"):format(folder, run))
      assert.equal(0, status)
      local next_words = ("eval %s --data %s"):format(run, has:match "%a+$")
      assert.equal(("next: %s %s"):format(helper.command(), next_words), out:match "([^\n]+)\n$")
      assert.equal(0, (helper.run(next_words)))
      local message = ("moonrank: the run of %s/model.mr has no test data; name other data with "
        .. "--data: %s or a file\n"):format(run, has)
      for _, words in ipairs { "eval %s", "compare %s %s", "report %s --data test" } do
        assert.same({ 1, "", message }, { helper.run((words:gsub("%%s", run))) })
      end
    end
  end)
end)
