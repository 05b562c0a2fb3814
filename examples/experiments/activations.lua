--- Does the activation of the hidden layers matter?
--
--     luajit examples/experiments/activations.lua [LOG]
--
-- The log is that of the simulated exchange, data/adworld, which `make demo` leaves behind. One
-- network is trained with each activation, from three seeds: a seed decides the weights at the
-- start and the order of the rows. So there are two differences to look at: that between
-- activations, and that between seeds, which says nothing about any of them. Where the first is not
-- clearly larger than the second, the experiment has found nothing.
local here = arg[0]:match "^(.*/)" or ""
package.path = here .. "../../lua/?.lua;" .. here .. "../../lua/?/init.lua;" .. package.path
local mr = require "moonrank"

local ACTIVATIONS = { "sigmoid", "tanh", "relu", "prelu", "dice" }
local SEEDS = { 1, 2, 3 }
local adworld = here .. "../adworld/"
local data = dofile(adworld .. "open_log.lua")(adworld, arg[1])

-- The AUC on the test data after one epoch.
local function auc_of(activation, seed)
  local model = mr.model("dnn", { fields = data.fields, seed = seed,
    options = { hidden = { 64, 32 }, activation = activation } })
  local run = mr.trainer(model, { optimizer = { adam = { lr = 1e-3 } }, batch = 1024, seed = seed })
  run:fit(data, { epochs = 1 })
  local auc = run:evaluate(data.test).auc
  run:close()
  model:close()
  return auc
end

print "AUC on the test data, of three seeds:\n"
print(("%-10s %9s %9s %9s"):format("", "lowest", "mean", "highest"))
for _, activation in ipairs(ACTIVATIONS) do
  local lowest, highest, sum = math.huge, -math.huge, 0
  for _, seed in ipairs(SEEDS) do
    local auc = auc_of(activation, seed)
    lowest, highest, sum = math.min(lowest, auc), math.max(highest, auc), sum + auc
  end
  print(("%-10s %9.6f %9.6f %9.6f"):format(activation, lowest, sum / #SEEDS, highest))
end
