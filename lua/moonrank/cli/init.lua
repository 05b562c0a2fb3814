--- moonrank init: a fields file guessed from data, and a first experiment.
local M = { name = "init", summary = "guess a fields file, and a first experiment, from data" }

local function parser()
  local args = require "moonrank.args"
  local p = args.parser("init", "Look at data and write a fields file, and a first experiment.", [[
Reads a sample of the rows: over all of a plain file, over the first 64 MB of a compressed one.
Files of cells, JSON lines, libsvm, libffm and named pairs are told by their lines. Each guess has a
comment that says why; what is in doubt is left out, with its reason. A label that is not 0 or 1 is
made of two texts, or of numbers from one on, where a name or --label says which column. Names of
the form NAME:TYPE (token, token_seq, float) give the types. Where the first line names nothing,
columns are called col1, col2 ... by their places. Where DATA is called train, files beside it that
are called valid and test in its place are named too; where there is none for validation a tenth of
the rows is held back. The experiment, lr.yaml, is written beside the fields file.]])
  p:argument("data", "the training data: a file or a pattern, - for standard input"):argname "DATA"
  p:option("--out", "the fields file; default: fields.yaml"):argname "FILE"
  p:option("--label", "the column with 0 and 1, two texts, or numbers"):argname "COLUMN"
  p:flag("--force", "write over files that are there")
  return p
end

function M.usage() return require "moonrank.args".help(parser()) end

-- The files that stand beside the training data as its valid and test data.
local function siblings(data)
  local path_of = require "moonrank.path"
  local base, found = path_of.base(data), {}
  local before, after = base:match "^(.-)train(.*)$"
  if not before then return found end
  after = after:gsub("[-_]?%*", "") -- train-*.csv, valid.csv
  local called = { valid = { "valid", "validation", "val", "dev" }, test = { "test" } }
  for split, words in pairs(called) do
    for _, word in ipairs(words) do
      local name = before .. word .. after
      local there = require "lfs".attributes(path_of.join(path_of.folder(data), name), "mode")
      if there == "file" and not found[split] then found[split] = name end
    end
  end
  return found
end

local function first_file(data, cli)
  local path_of = require "moonrank.path"
  if require "lfs".attributes(data, "mode") == "named pipe" then
    cli.fail('%s is a pipe, which no later run can read again; name the file itself, compressed or '
      .. 'not, or "-" for standard input', data)
  end
  if not path_of.is_pattern(data) then return data end
  return path_of.glob(data)[1] or cli.fail("no file matches %s", data)
end

local function plan(options, cli)
  local path_of = require "moonrank.path"
  local out = options.out or "fields.yaml"
  local folder = path_of.folder(out)
  local experiment = path_of.join(folder, "lr.yaml")
  for _, path in ipairs { out, experiment } do
    if not options.force and require "lfs".attributes(path, "mode") then
      cli.fail("%s is there already; write another with --out FILE, or over it with --force", path)
    end
  end
  return out, experiment, folder
end

function M.run(words)
  local cli = require "moonrank.cli"
  local options = require "moonrank.args".parse(parser(), words)
  local path_of, sink = require "moonrank.path", require "moonrank.sink"
  local out, experiment, folder = plan(options, cli)
  local guess = cli.need(require "moonrank.guess".file(first_file(options.data, cli),
    { label = options.label }))
  local data = siblings(options.data)
  data.train = path_of.base(options.data)
  local is_stdin = options.data == "-" -- every run is to be given it
  local root = is_stdin and "." or path_of.relative(folder, path_of.folder(options.data))
  data.root = root ~= "." and (root:find "^%.%./%.%." and path_of.absolute(path_of.folder(
    options.data)) or root) or nil
  local guess_file = require "moonrank.guess_file"
  cli.need(path_of.make_folder(folder))
  cli.need(sink.write_file(out, guess_file.fields(guess, data)))
  cli.need(sink.write_file(experiment, guess_file.experiment(path_of.base(out), guess)))
  local kept, left = 0, 0
  for _, column in ipairs(guess.columns) do
    if column.role == "out" then left = left + 1 else kept = kept + 1 end
  end
  print(("%s: %d columns of %s, %d left out, the label is %s"):format(out, kept,
    is_stdin and "standard input" or options.data, left, guess.label.source))
  print(("%s: a first experiment"):format(experiment))
  print ""
  print("next: " .. cli.next("train", experiment) .. (is_stdin and " <DATA" or ""))
  return 0
end

return M
