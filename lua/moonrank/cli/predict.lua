--- moonrank predict: a probability for every row of a file, in order.
local M = { name = "predict", summary = "write a model's probability for every row of a file" }

local function parser()
  local args = require "moonrank.args"
  local p = args.parser("predict", "Write the probability of a click, a line a row, in order.", [[
The file needs the columns of the fields, not those of labels. A row that is wrong is an error, or,
with bad_rows: skip in the run's fields file, has the prediction nan. Rows are predicted as they
come, those of a request together, in memory that does not grow with the file. A name for --out that
ends in .zst is compressed; the file takes its place when it is whole.]])
  p:argument("model", "a run folder or a model file"):argname "RUN|MODEL"
  p:argument("rows", "what to predict, instead of --data"):args "?":argname "DATA"
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

-- Standard output as a sink: whoever reads it has what is predicted, however slowly rows come.
local STDOUT = {
  write = function(_, text)
    local ok, message = told(io.stdout:write(text))
    if not ok then return nil, message end
    return told(io.stdout:flush())
  end,
  close = function() return told(io.stdout:flush()) end,
  abort = function() end,
}

-- None where predictions appear on the terminal.
local function progress_of(options)
  if not options.out and os.execute "test -t 1" == 0 then return nil end
  return require "moonrank.progress".new()
end

-- Predict what comes until nothing more does.
local function predict_all(predictor, rows, sink)
  local part, message = rows:next()
  while part do
    local written, trouble = predictor:predict(part, sink)
    part:close()
    if not written then return nil, trouble end
    part, message = rows:next()
  end
  if message then return nil, message end
  return true
end

function M.run(words)
  local cli = require "moonrank.cli"
  local args = require "moonrank.args"
  local options = args.parse(parser(), words)
  local what = options.data or options.rows
  if not what then cli.usage_error "name the rows to predict with --data FILE" end
  if options.data and options.rows then
    cli.usage_error("the rows to predict are named twice: %s and --data %s", options.rows,
      options.data)
  end
  local pool = require "moonrank.pool".new(args.whole("--threads", options.threads, 1, 256))
  local model_data = require "moonrank.model_data"
  local opened = cli.need(model_data.open(options.model, { labels = false, pool = pool,
    set = options.set, progress = progress_of(options) }))
  local rows = cli.need(model_data.stream(opened, what))
  local sink = STDOUT
  if options.out then sink = cli.need(require "moonrank.sink".open(options.out)) end
  local predictor = cli.guard(require "moonrank.predictor".new, opened.model, pool)
  local done, ok, message = pcall(cli.guard, predict_all, predictor, rows, sink)
  rows:close()
  if not done or not ok then sink:abort() end
  if not done then error(ok, 0) end
  cli.need(ok, message)
  cli.need(sink:close())
  local line = rows:bad_rows_line()
  if line then io.stderr:write("moonrank: ", line, "; their predictions are nan\n") end
  return 0
end

return M
