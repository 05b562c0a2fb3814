--- moonrank report: runs in pictures.
local MOST_RUNS = 4

local M = { name = "report", summary = "a page with pictures of one run, or of several",
  most_runs = MOST_RUNS }

local function parser()
  local args = require "moonrank.args"
  local p = args.parser("report", "Write an HTML page about runs.", [[
The page is one file: it holds its pictures, and fetches and runs nothing.]])
  p:argument("runs", "run folders, at most " .. MOST_RUNS):argname "RUN":args "+"
  p:option("--data", "train, valid or test of each run, or a file or pattern; default: test where "
    .. "a run has it, else valid"):argname "DATA"
  args.add_set(p)
  p:option("--by", "bars for each value of a field, as `eval --by`, besides those of scenarios; "
    .. "as often as you like"):argname "FIELD":count "*"
  p:option("--out", "the file; default: report.html in the first run's folder"):argname "FILE"
  p:option("--threads", "threads to use; default: one per CPU"):argname "N"
  return p
end

function M.usage() return require "moonrank.args".help(parser()) end

-- Runs of the same name are told apart by their folders.
local function name_runs(runs)
  local seen = {}
  for _, run in ipairs(runs) do
    local name = run.name
    seen[name] = seen[name] or {}
    table.insert(seen[name], run)
  end
  for _, list in pairs(seen) do
    for _, run in ipairs(list) do run.name = list[2] and run.folder or run.name end
  end
end

function M.run(words)
  local cli = require "moonrank.cli"
  local args = require "moonrank.args"
  local options = args.parse(parser(), words)
  if #options.runs > MOST_RUNS then
    cli.usage_error("%d runs are given, expected 1 to %d", #options.runs, MOST_RUNS)
  end
  local pool = require "moonrank.pool".new(args.whole("--threads", options.threads, 1, 256))
  local runs = {}
  for i, folder in ipairs(options.runs) do
    runs[i] = cli.need(cli.guard(require "moonrank.report_data".read, folder, { pool = pool,
      data = options.data, by = options.by, set = options.set }))
  end
  name_runs(runs)
  local path = options.out or require "moonrank.path".join(options.runs[1], "report.html")
  cli.need(require "moonrank.sink".write_file(path, require "moonrank.report_page".text(runs)))
  print(path)
  return 0
end

return M
