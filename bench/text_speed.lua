--- Rows a second from text to a trained logistic regression: read and parse, map to keys, build the
-- column cache, train one pass in the order of the file. One JSON line: { rows_per_s, seconds,
-- reading (seconds of them), loss, rows }.
--
--     luajit bench/text_speed.lua --data DIR [--file train.csv] [--threads 2]
--
-- The file should be in the page cache; the column cache is made anew.
local root = debug.getinfo(1, "S").source:match "^@(.*)bench/[^/]*$" or ""
package.path = root .. "lua/?.lua;" .. root .. "lua/?/init.lua;" .. root .. "bench/?.lua;"
  .. package.path
local words = require "words"
local clock = require "moonrank.clock"
local json = require "moonrank.json"
local mr = require "moonrank"

local given = words.parse(arg, { data = "", file = "train.csv", threads = 2 })
local cache = os.tmpname()
os.remove(cache)

local start = clock.now()
local data = mr.dataset(given.data .. "/fields.yaml", { threads = given.threads,
  set = { "data.train=" .. given.file, "data.cache=" .. cache } })
local rows = data.train:samples()
local reading = clock.now() - start
local model = mr.model("lr", { fields = data.fields })
local run = mr.trainer(model, { threads = given.threads, shuffle = false,
  optimizer = { adagrad = { lr = 0.01 } } })
local loss
run:on("epoch", function(e) loss = e.train.logloss end)
run:fit({ train = data.train }, { epochs = 1 })
local seconds = clock.now() - start

data:close()
os.execute("rm -rf '" .. cache .. "'")
print(json.encode { rows_per_s = math.floor(rows / seconds), seconds = seconds, reading = reading,
  loss = loss, rows = rows })
