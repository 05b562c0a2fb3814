--- Samples a second of training: everything that a step costs, batches read from the column cache.
-- One JSON line: { samples_per_s, ms_per_step, loss, steps, threads, isa }.
--
--     luajit bench/train_speed.lua --data DIR --model dnn [--optimizer adagrad] [--batch 4096]
--                                  [--threads 2] [--seconds 3] [--windows 3]
--
-- DIR is what `generate` wrote. The model trains for a second, then `windows` times `seconds` are
-- timed and the median counts. The optimizer is that of the tables; dense weights are trained with
-- adam, as by the peers.
local root = debug.getinfo(1, "S").source:match "^@(.*)bench/[^/]*$" or ""
package.path = root .. "lua/?.lua;" .. root .. "lua/?/init.lua;" .. root .. "bench/?.lua;"
  .. package.path
local words = require "words"
local json = require "moonrank.json"
local mr = require "moonrank"
local speed = require "moonrank.speed"
local ffi = require "moonrank.ffi"

local RATES = { sgd = 0.05, adagrad = 0.01, adam = 0.001 }

local given = words.parse(arg, { data = "", model = "lr", optimizer = "adagrad", batch = 4096,
  threads = 2, seconds = 3, windows = 3, warm_up = 1 })
local data = mr.dataset(given.data .. "/fields.yaml", { threads = given.threads })
local split = data.train
local model = mr.model(given.model, { fields = data.fields, seed = 1 })
local run = mr.trainer(model, { batch = given.batch, threads = given.threads, seed = 1,
  optimizer = { adam = { lr = RATES.adam } },
  tables = { optimizer = { [given.optimizer] = { lr = RATES[given.optimizer] } } } })

local result = speed.windows(run, split, given)
print(json.encode { samples_per_s = math.floor(result.samples_per_s),
  ms_per_step = 1e3 * given.batch / result.samples_per_s, loss = result.loss, steps = result.steps,
  threads = given.threads, isa = ffi.string(ffi.C.mr_isa()) })
