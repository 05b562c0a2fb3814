--- Rows a second from text to a trained model: read and parse, map to keys, build the column cache,
-- train one pass in the order of the file. One JSON line: { rows_per_s, seconds, reading (seconds
-- of them), loss, rows }, and with --cached cached_rows_per_s, of the same pass from the cache that
-- is there then.
--
--     luajit bench/text_speed.lua --data DIR [--file train.csv] [--model lr] [--threads 2]
--                                 [--cached]
--
-- The file should be in the page cache; the column cache is made anew.
local root = debug.getinfo(1, "S").source:match "^@(.*)bench/[^/]*$" or ""
package.path = root .. "lua/?.lua;" .. root .. "lua/?/init.lua;" .. root .. "bench/?.lua;"
  .. package.path
local words = require "words"
local clock = require "moonrank.clock"
local json = require "moonrank.json"
local mr = require "moonrank"

local given = words.parse(arg, { data = "", file = "train.csv", model = "lr", threads = 2,
  cached = false })
local cache = os.tmpname()
os.remove(cache)

-- One pass over the data. Returns its mean loss and when it ended.
local function train(data)
  local model = mr.model(given.model, { fields = data.fields, seed = 1 })
  local run = mr.trainer(model, { threads = given.threads, shuffle = false, seed = 1,
    optimizer = { adam = { lr = 0.001 } }, tables = { optimizer = { adagrad = { lr = 0.01 } } } })
  local loss
  run:on("epoch", function(e) loss = e.train.logloss end)
  run:fit({ train = data.train }, { epochs = 1 })
  return loss, clock.now()
end

local start = clock.now()
local data = mr.dataset(given.data .. "/fields.yaml", { threads = given.threads,
  set = { "data.train=" .. given.file, "data.cache=" .. cache } })
local rows = data.train:samples()
local read = clock.now()
local loss, trained = train(data)
local figures = { rows_per_s = math.floor(rows / (trained - start)), seconds = trained - start,
  reading = read - start, loss = loss, rows = rows }
if given.cached then
  start = clock.now()
  loss, trained = train(data)
  assert(loss == figures.loss, "the second pass is not the first")
  figures.cached_rows_per_s = math.floor(rows / (trained - start))
end

data:close()
os.execute("rm -rf '" .. cache .. "'")
print(json.encode(figures))
