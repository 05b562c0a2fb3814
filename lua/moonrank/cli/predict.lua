--- moonrank predict: a probability for every row of a file, in order.
local M = { name = "predict", summary = "write a model's probability for every row of a file" }

local function parser()
  local args = require "moonrank.args"
  local p = args.parser("predict", "Write the probability of a click, a line a row, in order.", [[
The file needs the columns of the fields, not those of labels. A row that is wrong is an error, or,
with bad_rows: skip in the run's fields file, has the prediction nan. A name for --out that ends in
.zst is compressed; the file takes its place when it is whole.]])
  p:argument("model", "a run folder or a model file"):argname "RUN|MODEL"
  p:option("--data", "a file or pattern, - for standard input; or train, valid or test of the run")
    :argname "DATA"
  args.add_set(p)
  p:option("--out", "where to write; default: standard output"):argname "FILE"
  p:option("--threads", "threads to use; default: one per CPU"):argname "N"
  return p
end

function M.usage() return require "moonrank.args".help(parser()) end

local function told(ok, message)
  if ok then return true end
  return nil, "standard output: " .. message
end

-- Standard output as a sink.
local STDOUT = {
  write = function(_, text) return told(io.stdout:write(text)) end,
  close = function() return told(io.stdout:flush()) end,
  abort = function() end,
}

function M.run(words)
  local cli = require "moonrank.cli"
  local args = require "moonrank.args"
  local options = args.parse(parser(), words)
  if not options.data then cli.usage_error "name the rows to predict with --data FILE" end
  local pool = require "moonrank.pool".new(args.whole("--threads", options.threads, 1, 256))
  local model_data = require "moonrank.model_data"
  local opened = cli.need(model_data.open(options.model, { labels = false, pool = pool,
    set = options.set, progress = require "moonrank.progress".new() }))
  local split = cli.need(model_data.split(opened, options.data))
  local sink = STDOUT
  if options.out then sink = cli.need(require "moonrank.sink".open(options.out)) end
  local predictor = cli.guard(require "moonrank.predictor".new, opened.model, pool)
  local ok, message = cli.guard(predictor.predict, predictor, split, sink)
  if not ok then
    sink:abort()
    cli.fail("%s", message)
  end
  cli.need(sink:close())
  local line = split:bad_rows_line()
  if line then io.stderr:write("moonrank: ", line, "; their predictions are nan\n") end
  return 0
end

return M
