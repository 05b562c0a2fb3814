-- The command bench: the form of what it prints. No time is held against anything.
local helper = require "helper"

describe("moonrank bench", function()
  local dir = helper.make_project { rows = 400 }
  local config = helper.quote(dir .. "/lr.yaml")

  it("prints the model, the machine and the speed", function()
    local status, out, err = helper.run("bench --steps 5 --threads 2 " .. config)
    assert.same({ 0, "" }, { status, err })
    assert.truthy(out:find("^model    lr %(.-models/lr%.lua%)\nmachine  [^\n]*, 2 threads, %w+\n\n"
      .. "steps  samples/step   ms/step   samples/s      loss\n"
      .. "    5           [%d.]+ +[%d.]+ +[%d,]+  0%.%d+\n$"), out)
  end)

  it("prints where the time goes, shares that add up", function()
    local status, out = helper.run("bench --profile --steps 20 --threads 1 " .. config)
    assert.equal(0, status)
    local heading, lines = out:match "\n\n(where[^\n]*)\n(.*)$"
    assert.equal("where ms/step share GFLOP/s GB/s of limit", (heading:gsub(" +", " ")))
    local sum, seen = 0, {}
    for line in lines:gmatch "[^\n]+" do
      local name, share = line:match "^(.-)%s+[%d.]+%s+([%d.]+)%%"
      sum, seen[name] = sum + tonumber(share), true
    end
    assert.is_true(math.abs(sum - 100) < 2, out) -- each is rounded to a tenth
    for _, name in ipairs { "probe", "batch", "wait", "other", "update rows", "update dense",
        "reduce lanes", "pack", "forward lookup 1 x 4", "forward dense 1 -> 1",
        "backward dense 1 -> 1", "forward logloss", "backward logloss" } do
      assert.is_true(seen[name], name)
    end
    assert.is_nil(seen["forward sum 4 -> 1"], "lookups are added up as they are read")
    assert.truthy(out:find "\nlimits   [%d.]+ GFLOP/s, cache [%d.]+ GB/s, memory [%d.]+ GB/s\n")
  end)

  it("says in one line what is wrong", function()
    assert.same({ 2, "", 'moonrank: --steps is "0", expected a whole number 1 to 1000000000\n' },
      { helper.run("bench --steps 0 " .. config) })
  end)
end)
