-- Objects of the library: closed twice, used after they were closed, collected in any order.
local helper = require "helper"
local mr = require "moonrank"

local function make()
  local dir = helper.make_project { rows = 300 }
  local data = mr.dataset(dir .. "/fields.yaml", { threads = 1 })
  local model = mr.model("lr", { fields = data.fields })
  local run = mr.trainer(model, { batch = 64, threads = 2 })
  return data, model, run, dir
end

local function closed(message, f, ...)
  local ok, actual = pcall(f, ...)
  assert.is_false(ok)
  assert.equal(message, (tostring(actual):gsub("^.-%.lua:%d+: ", "")))
end

describe("an object of the library", function()
  it("may be closed twice", function()
    local data, model, run = make()
    run:fit(data, { epochs = 1 })
    for _ = 1, 2 do
      run:close()
      model:close()
      data:close()
    end
  end)

  it("says so when it is used after it was closed", function()
    local data, model, run, dir = make()
    run:fit(data, { epochs = 1 })
    local batches = run:batches(data.train, 1)
    local batch = batches()
    run:close()
    closed("the trainer is closed", run.fit, run, data, { epochs = 2 })
    closed("the trainer is closed", run.step, run, batch)
    closed("the trainer is closed", run.evaluate, run, data.test)
    closed("the trainer is closed", run.save, run, dir .. "/x.mr")
    closed("the trainer is closed", run.describe, run, data)
    model:close()
    closed("the model is closed", model.save, model, dir .. "/x.mr")
    closed("the model is closed", model.describe, model)
    closed("the model is closed", model.copy, model)
    closed("the model is closed", mr.trainer, model, {})
    data:close()
  end)

  it("says so when what it works on was closed", function()
    local data, model, run = make()
    run:fit(data, { epochs = 1 })
    model:close()
    closed("the model is closed", run.fit, run, data, { epochs = 2 })
  end)

  it("may be collected in any order, and nothing is left", function()
    local C = require "moonrank.ffi".C
    local function live()
      collectgarbage()
      collectgarbage()
      return tonumber(C.mr_alloc_live())
    end
    local before = live()
    for order = 1, 4 do
      local parts = { make() } -- data, model, trainer, folder
      parts[3]:fit(parts[1], { epochs = 1 })
      parts[4] = parts[3]:batches(parts[1].train, 1)
      for i = 1, 4 do
        parts[(i * (order % 2 == 0 and 1 or 3) + order) % 4 + 1] = nil
        collectgarbage()
      end
    end
    assert.equal(before, live())
  end)
end)
