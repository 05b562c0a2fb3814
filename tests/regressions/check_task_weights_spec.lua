-- `moonrank check` of an experiment with train.task_weights, which train takes, stopped with
-- 'unknown option "task_weights" of a trainer'.
local helper = require "helper"

describe("check of an experiment with weights of tasks", function()
  it("says as much as of one without", function()
    local dir = helper.make_project { rows = 200 }
    local experiment = helper.quote(dir .. "/lr.yaml")
    local _, plain = helper.run("check --quiet " .. experiment)
    local status, out, err = helper.run("check --quiet --set train.task_weights.ctr=2 "
      .. experiment)
    assert.same({ 0, "" }, { status, err })
    local function without_memory(text) return (text:gsub("memory of a training: [^\n]*\n", "")) end
    assert.equal(without_memory(plain), without_memory(out))
    assert.truthy(out:find("\nmemory of a training: ", 1, true))
  end)
end)
