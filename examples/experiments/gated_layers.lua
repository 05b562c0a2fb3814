--- What is a gate good for? The model beside this file, gated.lua, has a block of its own.
--
--     luajit examples/experiments/gated_layers.lua
--
-- The data is made here: a click depends on nothing but the product of two numbers,
--
--     P(click) = sigmoid(6 a b),    a and b even in [-1, 1]
--
-- so either number alone says nothing. A gate multiplies what it sees; relus have to piece a
-- product together from folds. Each kind gets about as many weights: a gated unit has twice as many
-- as a relu, so its layer is half as wide. The best possible AUC is that of the probabilities which
-- the labels were drawn from.
local here = arg[0]:match "^(.*/)" or ""
package.path = here .. "../../lua/?.lua;" .. here .. "../../lua/?/init.lua;" .. package.path
local mr = require "moonrank"

-- ---- the data ----

local folder = os.tmpname()
os.remove(folder)
assert(require "lfs".mkdir(folder))
math.randomseed(1) -- LuaJIT's numbers are the same on every machine

local best = {} -- of the test data: probabilities and labels
local function write(name, rows)
  local file = assert(io.open(folder .. "/" .. name, "w"))
  file:write "click,a,b\n"
  for i = 1, rows do
    local a, b = 2 * math.random() - 1, 2 * math.random() - 1
    local p = 1 / (1 + math.exp(-6 * a * b))
    local click = math.random() < p and 1 or 0
    file:write(("%d,%.6f,%.6f\n"):format(click, a, b))
    if name == "test.csv" then best[i] = { p = p, click = click } end
  end
  file:close()
end

write("train.csv", 40000)
write("test.csv", 10000)
local file = assert(io.open(folder .. "/fields.yaml", "w"))
file:write [[
version: 1
data: {train: train.csv, test: test.csv}
label: {ctr: click}
fields:
  - {name: [a, b], side: ad, type: number}
]]
file:close()
local data = mr.dataset(folder .. "/fields.yaml")

-- ---- the experiment ----

local function auc_of(script, hidden)
  local model = mr.model(script, { fields = data.fields, options = { hidden = hidden } })
  local run = mr.trainer(model, { optimizer = { adam = { lr = 0.01 } }, batch = 256 })
  run:fit(data, { epochs = 8 })
  local auc = run:evaluate(data.test).auc
  run:close()
  model:close()
  return auc
end

-- The share of pairs of a click and none in which the click is the likelier one.
local function best_auc()
  table.sort(best, function(x, y) return x.p < y.p end)
  local pairs_won, without, clicks = 0, 0, 0
  for _, row in ipairs(best) do
    if row.click == 1 then
      pairs_won, clicks = pairs_won + without, clicks + 1
    else
      without = without + 1
    end
  end
  return pairs_won / (clicks * without)
end

print "AUC on the test data:\n"
print(("%-24s %9s %9s"):format("", "relu", "gated"))
for _, width in ipairs { 1, 2, 4 } do
  print(("%-24s %9.6f %9.6f"):format(("%d relus or %d gated"):format(2 * width, width),
    auc_of("dnn", { 2 * width }), auc_of(here .. "gated.lua", { width })))
end
print(("%-24s %9.6f"):format("best possible", best_auc()))
data:close()
require "moonrank.path".remove_folder(folder)
