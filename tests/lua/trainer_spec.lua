-- What a trainer makes of the figures after each epoch: the best model kept, early stopping, the
-- rate lowered on a plateau. The figures are given here, one an epoch; everything else is real.
local helper = require "helper"
local mr = require "moonrank"
local C = require "moonrank.ffi".C

local dir = helper.make_project { rows = 128 }
local data = mr.dataset(dir .. "/fields.yaml", { threads = 1 })

-- Fit with these figures; what every epoch said, and the bias after each, by which a model is told.
local function fit(figures, options)
  local model = mr.model("lr", { fields = data.fields })
  options.batch, options.threads = 64, 1
  local run = mr.trainer(model, options)
  run.use = function(self, used)
    self.used = used
    self.predictor = { close = function() end,
      evaluate = function() return figures[self.epoch] end }
  end
  local epochs, biases = {}, {}
  local function bias_of(m) return C.mr_model_weights(m.handle, 1)[0] end
  run:on("epoch", function(e)
    epochs[#epochs + 1], biases[#biases + 1] = e, bias_of(model)
  end)
  run:fit(data, { epochs = #figures })
  return epochs, biases, bias_of(run.used), run
end

local function aucs(list)
  local figures = {}
  for i, value in ipairs(list) do figures[i] = { auc = value } end
  return figures
end

local function column(epochs, name)
  local list = {}
  for i, e in ipairs(epochs) do list[i] = e[name] end
  return list
end

describe("the best model", function()
  it("is that of the epoch with the best monitor, kept as it was then", function()
    local epochs, biases, used = fit(aucs { 0.6, 0.8, 0.7, 0.75 }, {})
    assert.same({ true, true, false, false }, column(epochs, "best"))
    assert.equal(biases[2], used)
    assert.is_true(biases[4] ~= used)
  end)

  it("is the first of equals, and a gain of a millionth is none", function()
    local epochs, biases, used = fit(aucs { 0.7, 0.7, 0.7 + 0.9e-6, 0.7 + 1.2e-6 }, {})
    assert.same({ true, false, false, true }, column(epochs, "best"))
    assert.equal(biases[4], used)
    epochs = fit(aucs { 0.7, 0.7 }, {})
    assert.same({ true, false }, column(epochs, "best"))
  end)

  it("has the least logloss, or the greatest sum of a map", function()
    local figures = { { logloss = 0.5, auc = 0.6 }, { logloss = 0.4, auc = 0.61 },
      { logloss = 0.45, auc = 0.9 } }
    assert.same({ true, true, false }, column(fit(figures, { monitor = "logloss" }), "best"))
    -- 0.6 - 0.5, 0.61 - 0.4, 0.9 - 0.45
    assert.same({ true, true, true },
      column(fit(figures, { monitor = { auc = 1, logloss = -1 } }), "best"))
    -- 0.06 - 0.5, 0.061 - 0.4, 0.09 - 0.45
    assert.same({ true, true, false },
      column(fit(figures, { monitor = { auc = 0.1, logloss = -1 } }), "best"))
  end)

  it("is never judged by a figure that is not a number", function()
    local nan, message = 0 / 0, "the monitor auc is not defined on the validation data: it needs "
      .. "rows of both labels"
    helper.raises(message, fit, aucs { nan }, {})
    helper.raises(message, fit, aucs { 0.7, nan }, {})
    helper.raises("the monitor logloss is infinite on the validation data", fit,
      { { logloss = math.huge } }, { monitor = "logloss" })
  end)
end)

describe("early stopping", function()
  it("comes after so many epochs without a gain in a row", function()
    -- waited: 0 1 0 1 2: it stops with epoch 5
    local figures = aucs { 0.6, 0.59, 0.61, 0.6, 0.61, 0.9 }
    local epochs, biases, used, run = fit(figures, { patience = 2 })
    assert.equal(5, #epochs)
    assert.is_true(run.stopped)
    assert.equal(biases[3], used)
    assert.equal(6, #(fit(figures, {})))
    assert.equal(2, #(fit(figures, { patience = 1 })))
  end)
end)

describe("reduce_on_plateau", function()
  -- The rate of each epoch, as a factor on lr.
  local function rates(list, plateau, options)
    options = options or {}
    options.reduce_on_plateau = plateau
    return column(fit(aucs(list), options), "rate")
  end

  it("lowers the rate after every epoch without a gain by default", function()
    helper.all_near({ 1, 1, 0.1, 0.1, 0.01 }, rates({ 0.6, 0.5, 0.7, 0.7, 0.8 }, {}), 1e-15)
  end)

  it("waits for its patience, again after each reduction, anew after each gain", function()
    -- epochs without a gain, after each: 0 1 2 3 4 0 1 2 3
    helper.all_near({ 1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125 },
      rates({ 0.6, 0.6, 0.6, 0.6, 0.6, 0.7, 0.6, 0.6, 0.6 }, { factor = 0.5, patience = 2 }), 0)
  end)

  it("stops at min_lr, of the larger share where there are two learning rates", function()
    local flat = { 0.6, 0.6, 0.6, 0.6, 0.6 }
    -- 0.01 -> 0.001 -> 0.0005
    helper.all_near({ 1, 1, 0.1, 0.05, 0.05 }, rates(flat, { min_lr = 0.0005 },
      { optimizer = { sgd = { lr = 0.01 } } }), 1e-15)
    local slow = { optimizer = { sgd = { lr = 0.01 } } }
    helper.all_near({ 1, 1, 0.2, 0.2, 0.2 }, rates(flat, { min_lr = 0.002 },
      { optimizer = { sgd = { lr = 1 } }, tables = slow }), 1e-15)
    -- A rate below min_lr from the start is not raised.
    helper.all_near({ 1, 1, 1 }, rates({ 0.6, 0.6, 0.6 }, { min_lr = 0.1 },
      { optimizer = { sgd = { lr = 0.01 } } }), 0)
  end)

  it("knows the presets of an optimizer that is given without a rate, and of none", function()
    local flat = { 0.6, 0.6, 0.6, 0.6 }
    helper.all_near({ 1, 1, 0.5, 0.5 }, rates(flat, { min_lr = 0.05 },
      { optimizer = { sgd = {} } }), 1e-15) -- lr is 0.1
    helper.all_near({ 1, 1, 0.5, 0.5 }, rates(flat, { min_lr = 0.0005 }), 1e-15) -- adam's is 0.001
    helper.all_near({ 1, 1, 0.1, 0.01, 0.001, 0.001 },
      rates({ 0.6, 0.6, 0.6, 0.6, 0.6, 0.6 }, {}), 1e-15) -- min_lr is 1e-6
  end)

  it("multiplies with the schedule and the warm-up", function()
    -- One weight, a gradient known from its neighbours: the step of sgd is lr x rate x factor.
    local taken = {}
    local model = mr.model("lr", { fields = data.fields })
    local run = mr.trainer(model, { batch = 128, threads = 1, shuffle = false,
      optimizer = { sgd = { lr = 0.5 } }, reduce_on_plateau = { factor = 0.5 }, warm_up = 2,
      schedule = { step = { every = 3, factor = 0.1 } } })
    run.use = function(self)
      self.predictor = { close = function() end, evaluate = function() return { auc = 0.6 } end }
    end
    local bias, before = C.mr_model_weights(model.handle, 1), 0
    run:on("step", function()
      local gradient = C.mr_run_weight_gradient(run.handle, 1)[0]
      taken[#taken + 1], before = (before - bias[0]) / gradient, bias[0]
    end)
    run:fit(data, { epochs = 5 }) -- one step an epoch
    -- warm-up 1/2, then 1; from step 4 on 0.1; the plateau halves after epochs 2, 3, 4
    helper.all_near({ 0.25, 0.5, 0.25, 0.5 * 0.25 * 0.1, 0.5 * 0.125 * 0.1 }, taken, 2e-5)
  end)
end)

describe("the options of a trainer", function()
  it("have ranges, which a message names", function()
    local model = mr.model("lr", { fields = data.fields })
    local function says(message, options) helper.raises(message, mr.trainer, model, options) end
    for _, name in ipairs { "batch", "eval_batch" } do
      for _, wrong in ipairs { 0, 1.5, 2147483648 } do
        says(("%s is %s, expected a whole number 1 to 2147483647"):format(name, tostring(wrong)),
          { [name] = wrong })
      end
    end
    says("seed is -1, expected a whole number 0 to 9007199254740991", { seed = -1 })
    says("epochs is 0, expected a whole number 1 to 9007199254740991", { epochs = 0 })
    says("shuffle.memory is 1e+30, expected a whole number 1 to 1000000000",
      { shuffle = { memory = 1e30 } })
  end)
end)
