-- data.sample_rate: predictions of a model whose training data kept a share of its negatives.
local helper = require "helper"

local function train(dir, out, more)
  assert.same({ 0, "", "" }, { helper.run(("train %s/lr.yaml --quiet --out %s/%s %s"):format(dir,
    dir, out, more or "")) })
end

local function predict(dir, out)
  local status, text = helper.run(("predict %s/%s --data %s/test.csv"):format(dir, out, dir))
  assert.equal(0, status)
  local list = {}
  for line in text:gmatch "[^\n]+" do list[#list + 1] = tonumber(line) end
  return list
end

describe("data.sample_rate", function()
  it("makes p into p / (p + (1 - p) / rate), in predictions and figures", function()
    local dir = helper.make_project { rows = 400 }
    train(dir, "plain")
    train(dir, "one", "--set data.sample_rate=1")
    train(dir, "tenth", "--set data.sample_rate=0.1")
    train(dir, "map", "--set 'data.sample_rate={ctr: 0.1}'")
    local plain, tenth, sum = predict(dir, "plain"), predict(dir, "tenth"), 0
    assert.equal(100, #tenth)
    for i, p in ipairs(plain) do
      assert.near(p / (p + (1 - p) / 0.1), tenth[i], 1e-6)
      sum = sum + tenth[i]
    end
    assert.same(plain, predict(dir, "one"))
    assert.same(tenth, predict(dir, "map"))
    local before = helper.evaluate(dir .. "/plain --data test").figures
    local after = helper.evaluate(dir .. "/tenth --data test").figures
    assert.near(before.auc, after.auc, 1e-9)
    assert.near(sum / after.positives, after.calibration, 1e-6)
    assert.is_true(after.calibration < before.calibration)
  end)

  it("of 0.5 makes a half a third, by hand", function()
    local p = 0.5
    assert.near(1 / 3, 1 / (1 + math.exp(-(math.log(p / (1 - p)) + math.log(0.5)))), 1e-15)
  end)

  it("is above 0 and at most 1", function()
    local dir = helper.make_project { rows = 40 }
    local status, _, err = helper.run(("train %s/lr.yaml --out %s/x --set data.sample_rate=1.5")
      :format(dir, dir))
    assert.same({ 1, "moonrank: --set data.sample_rate=1.5: data.sample_rate is 1.5, expected a "
      .. "number > 0 and <= 1 or a map\n" }, { status, err })
  end)
end)
