--- moonrank simulate: write the log of a simulated ad exchange.
local M = { name = "simulate", summary = "write the log of a simulated ad exchange" }

local function parser()
  local p = require "moonrank.args".parser("simulate",
    "Write the log of a simulated ad exchange, with planted interests and known probabilities.", [[
Writes train-*.tsv.zst, valid.tsv.zst, test.tsv.zst, unshown.tsv.zst, images.vec and, under truth/,
the true probabilities. The same seed gives the same bytes. An older log in DIR is replaced. The
columns, the click formula and what is planted where: docs/simulator.md.]])
  p:option("--out", "the folder; made if it is missing"):argname "DIR":count(1)
  p:option("--requests", "length of the log, about 5.6 impressions each; default: 100000")
    :argname "N"
  p:option("--seed", "1, 2, 3 are for tables, 11 to 13 for tuning; default: 1"):argname "S"
  p:option("--candidates", "for N requests of the test split, write every ad that could be shown"
    .. "; default: 0"):argname "N"
  p:flag("--quiet", "print nothing but errors")
  return p
end

function M.usage() return require "moonrank.args".help(parser()) end

-- Told in rows, as every other command does; exact enough for the eye.
local function reporter(progress, rows_per_request)
  return function(done, all)
    local rows = math.floor(done * rows_per_request)
    progress:update("simulate", { rows = rows, total = math.floor(all * rows_per_request),
      rows_per_second = rows / os.clock() })
  end
end

local function print_figures(f, out)
  local grouped, text = require "moonrank.progress".grouped, require "moonrank.metric".text
  local rows, clicks, buys = {}, 0, 0
  for i, split in ipairs { "train", "valid", "test" } do
    rows[i] = ("%s %s"):format(split, grouped(f["rows." .. split]))
    clicks, buys = clicks + f["clicks." .. split], buys + f["buys." .. split]
  end
  print(("data     %s rows: %s"):format(out, table.concat(rows, ", ")))
  print(("clicks   %s, conversions %s"):format(grouped(clicks), grouped(buys)))
  print(("ceiling  AUC %s, GAUC %s: the best that any model can reach on the test rows"):format(
    text(f["auc.best"]), text(f["gauc.best"])))
end

function M.run(words)
  local cli, args = require "moonrank.cli", require "moonrank.args"
  local options = args.parse(parser(), words)
  local simulator = require "moonrank.simulator"
  local limits, wanted = simulator.limits, { out = options.out }
  for _, name in ipairs { "requests", "seed", "candidates" } do
    wanted[name] = args.whole("--" .. name, options[name], limits[name].low, limits[name].high)
  end
  local full, message = simulator.check(wanted)
  if not full then cli.usage_error("--%s; try: moonrank help simulate", message) end
  local progress = require "moonrank.progress".new { quiet = options.quiet }
  full.on_progress = reporter(progress, simulator.rows_per_request)
  local figures = cli.need(simulator.run(full))
  progress:clear()
  if not options.quiet then print_figures(figures, options.out) end
  return 0
end

return M
