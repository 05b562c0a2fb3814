--- The models that come with moonrank side by side, from Lua. From anywhere:
--
--     moonrank simulate --out data/adworld              (once, in the root of the checkout)
--     luajit examples/adworld/compare_models.lua        (or with another folder of a simulated log)
local here = arg[0]:match "^(.*/)" or ""
package.path = here .. "../../lua/?.lua;" .. here .. "../../lua/?/init.lua;" .. package.path
local mr = require "moonrank"

local data = dofile(here .. "open_log.lua")(here, arg[1])

local experiments = {
  { name = "lr", script = "lr", options = {}, lr = 0.005 },
  { name = "fm", script = "fm", options = { dim = 16 }, lr = 0.002 },
  { name = "dnn", script = "dnn", options = { hidden = { 128, 64 } }, lr = 0.001 },
  { name = "dnn, tanh", script = "dnn", options = { hidden = { 128, 64 }, activation = "tanh" },
    lr = 0.001 },
}

print(("%-10s %6s %14s %9s %9s"):format("", "epoch", "train logloss", "AUC", "GAUC"))
for _, e in ipairs(experiments) do
  local model = mr.model(e.script, { fields = data.fields, options = e.options, seed = 1 })
  local run = mr.trainer(model, { optimizer = { adam = { lr = e.lr } }, batch = 1024, seed = 1 })
  local function row(epoch, loss, figures)
    print(("%-10s %6s %14s %9.6f %9.6f"):format(e.name, epoch, loss, figures.auc, figures.gauc))
  end
  run:on("epoch", function(epoch)
    row(epoch.number, ("%.6f"):format(epoch.train.logloss), epoch.valid)
  end)
  run:fit(data, { epochs = 3 })
  row("test", "-", run:evaluate(data.test)) -- of the epoch with the best AUC
  run:close()
  model:close()
end
