-- The command inspect, on a model of its own making.
local helper = require "helper"

describe("moonrank inspect", function()
  local dir = helper.make_project { rows = 200 }
  local run = helper.quote(dir .. "/run")
  assert.equal(0, (helper.run(("train %s --quiet --out %s"):format(
    helper.quote(dir .. "/lr.yaml"), run))))

  it("prints tables, weights and the graph", function()
    local status, out = helper.run("inspect --verify " .. run)
    assert.equal(0, status)
    assert.truthy(out:find("model   lr\n", 1, true))
    assert.truthy(out:find "\ntable   hour: %d+ rows x 1 %(linear 1%)\n")
    assert.truthy(out:find("\nweight  dense_1.weight: 1 x 1\n", 1, true))
    assert.truthy(out:find("\n0     lookup        sample         1\n", 1, true))
    assert.truthy(out:find("\nevery byte is as it was written\n", 1, true))
  end)

  it("counts the rows of data, where a node's values are as many as its domain has", function()
    local status, out, err = helper.run(("inspect %s --data valid"):format(run))
    assert.same({ 0, "" }, { status, err })
    assert.truthy(out:find("\nnode  op            domain            rows   width  inputs\n"
      .. "0     lookup        sample              50       1\n", 1, true), out)
    assert.same({ 1, "", "moonrank: nowhere.csv: No such file or directory\n" },
      { helper.run(("inspect %s --data nowhere.csv"):format(run)) })
  end)

  it("prints the configuration of fields and training, and nothing of this machine", function()
    local _, out = helper.run("inspect " .. run)
    local fields, train = out:match "\n(fields:\n.-)\n\n(train:\n.*)$"
    assert.truthy(fields:find("\n    - {name: hour, side: context, source: hour, table: hour, "
      .. "type: id}\n", 1, true))
    assert.truthy(train:find("\n  batch: 256\n", 1, true))
    assert.truthy(train:find("\n      lr: 0.01\n", 1, true))
    assert.is_nil(train:find "threads" or train:find "checkpoint")
    local model = helper.read(dir .. "/run/model.mr")
    assert.is_nil(model:find(dir, 1, true))
    assert.truthy(model:find("Logistic regression", 1, true)) -- the script's source
  end)

  it("says in one line what is wrong with a file", function()
    local status, out, err = helper.run("inspect " .. helper.quote(dir .. "/fields.yaml"))
    assert.equal(1, status)
    assert.equal("", out)
    assert.equal(("moonrank: %s/fields.yaml: the header is damaged: its length is wrong\n"):format(
      dir), err)
  end)
end)
