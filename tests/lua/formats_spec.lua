-- Forms of files other than a csv or tsv with a header, from the configuration to the predictions.
local helper = require "helper"

-- What a command that succeeds prints.
local function run(arguments, dir)
  local status, out, err = helper.run(arguments, dir)
  assert.same({ 0, "" }, { status, err })
  return out
end

describe("a file without a header", function()
  it("trains and is predicted like one with a header", function()
    local dir = helper.make_project { rows = 200 }
    local header, rows = helper.read(dir .. "/train.csv"):match "^([^\n]*)\n(.*)$"
    helper.write(dir .. "/bare.csv", rows)
    local same = "train lr.yaml --quiet --out %s --set data.train=%s --set data.valid=%s "
      .. "--set data.test=%s"
    run(same:format("with", "train.csv", "train.csv", "train.csv"), dir)
    run((same .. " --set data.header=false --set 'data.columns=[%s]'"):format("without", "bare.csv",
      "bare.csv", "bare.csv", header), dir)
    local expected = run("predict with --data train.csv", dir)
    assert.equal(200, select(2, expected:gsub("\n", "")))
    assert.is_true(expected == run("predict without --data bare.csv", dir))
    assert.is_true(expected == run("predict without --data test", dir))
    -- A model knows how its files are read, also away from its run.
    os.execute(("cd %s && mv without/model.mr alone.mr"):format(dir))
    assert.is_true(expected == run("predict alone.mr --data bare.csv", dir))
  end)
end)
