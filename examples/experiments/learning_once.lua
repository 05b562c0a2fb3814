--- A training loop of one's own: learning from a log as it is written.
--
--     luajit examples/experiments/learning_once.lua [LOG]
--
-- A system that learns while it serves sees each row once, in the order of time, and predicts it
-- before it learns from it. The loss of these predictions (progressive validation; Blum, Kalai and
-- Langford 1999) needs no test data, and no row is judged that was trained on. `trainer:step`
-- returns just that: the loss of a batch before the step.
--
-- The log is that of the simulated exchange, data/adworld, which `make demo` leaves behind. The
-- table has a line for each tenth of it and a column for each learning rate. A model that knew
-- nothing would lose log 2 = 0.693 a row. Beside them is what a guess loses that knows the share of
-- clicks so far and nothing else: what is less than that was learned from fields.
local here = arg[0]:match "^(.*/)" or ""
package.path = here .. "../../lua/?.lua;" .. here .. "../../lua/?/init.lua;" .. package.path
local mr = require "moonrank"

local RATES, PARTS = { 0.0003, 0.001, 0.003 }, 10
local adworld = here .. "../adworld/"
local data = dofile(adworld .. "open_log.lua")(adworld, arg[1])
local train = data.train

-- Mean losses of the parts of the log.
local function learn_once(lr)
  local model = mr.model("fm", { fields = data.fields, options = { dim = 8 } })
  local run = mr.trainer(model, { optimizer = { adam = { lr = lr } }, batch = 512,
    shuffle = false })
  local sums, counts, seen = {}, {}, 0
  for batch in run:batches(train, 1) do
    local loss, samples = run:step(batch)
    local part = math.floor(seen / train:samples() * PARTS) + 1
    sums[part], counts[part] = (sums[part] or 0) + loss, (counts[part] or 0) + samples
    seen = seen + samples
  end
  run:close()
  model:close()
  for part = 1, PARTS do sums[part] = sums[part] / counts[part] end
  return sums
end

-- The same of the share of clicks so far, which begins as if of two rows one was clicked.
local function guess()
  local labels, n = train:labels "ctr", train:samples()
  local sums, counts, clicks = {}, {}, 0
  for row = 0, n - 1 do
    local p = (clicks + 1) / (row + 2)
    local part = math.floor(row / n * PARTS) + 1
    sums[part] = (sums[part] or 0) - math.log(labels[row] == 1 and p or 1 - p)
    counts[part] = (counts[part] or 0) + 1
    clicks = clicks + labels[row]
  end
  for part = 1, PARTS do sums[part] = sums[part] / counts[part] end
  return sums
end

local columns, heading = { guess() }, ("%-12s %9s"):format("", "guess")
for i, lr in ipairs(RATES) do
  columns[i + 1] = learn_once(lr)
  heading = heading .. (" %9s"):format("lr " .. lr)
end
print(("Loss of %d rows, each before it was learned from:\n\n%s"):format(train:samples(), heading))
for part = 1, PARTS do
  local line = ("%-12s"):format(("tenth %d"):format(part))
  for _, losses in ipairs(columns) do line = line .. (" %9.6f"):format(losses[part]) end
  print(line)
end
