--- The tables of docs/results.md, a command each:
--
--     luajit examples/results.lua movielens
--
-- Trains what the table compares, three seeds each, and prints by which rules its rows were
-- split and sampled, and the table in Markdown: mean and spread (standard deviation) on the test
-- data, which is read once a run, by the epoch that is best on the validation data; the seconds
-- of training, by the clock and of all processors together, and the most memory that the process
-- had. Runs that are there already are kept. `exchange` and `baselines` simulate their logs; the
-- other tables are of data that prepare.lua, or the README, of the example has put into data/.
--
--     --data DIR      the folder of folders of data; default: data
--     --out DIR       where the runs go; default: runs/results
--     --repeat N      seeds; default: 3
--     --requests N    of the simulated logs; default: 177000, a million impressions
--     --set KEY=VALUE of the experiments
local here = arg[0]:match "^(.*/)" or ""
local root = here .. "../"
package.path = root .. "lua/?.lua;" .. root .. "lua/?/init.lua;" .. package.path
local json = require "moonrank.json"
local path_of = require "moonrank.path"

local BASELINES = { "lr", "mlr", "fm", "dnn", "wide_deep", "deepfm", "dcn", "dcn_v2" }

-- A table: the folder of its experiments, that of its data, and the experiments; or `one`
-- experiment, and scripts for it.
local TABLES = {
  movielens = { of = "movielens", data = "movielens",
    experiments = { "base", "youtube_dnn", "din" } },
  movielens_date = { of = "movielens", data = "movielens_date",
    experiments = { "base", "youtube_dnn", "din" } },
  beauty = { of = "beauty", data = "beauty", experiments = { "base", "din" } },
  grocery = { of = "grocery", data = "grocery", experiments = { "base", "din" } },
  movielens_random = { of = "movielens_random", data = "movielens_random",
    experiments = { "lr", "fm", "dnn" } },
  movielens_random_tuned = { of = "movielens_random", data = "movielens_random",
    experiments = { "lr_tuned" } },
  census = { of = "census", data = "census", experiments = { "lr", "mlr" } },
  frappe = { of = "frappe", data = "frappe_x1", experiments = { "lr", "fm", "dnn", "wide_deep",
    "deepfm", "dcn", "dcn_v2" } },
  criteo_10k = { of = "criteo_10k", data = "criteo_10k", experiments = BASELINES,
    one = "baseline" },
  frappe_tuned = { of = "frappe", data = "frappe_x1", experiments = { "dnn_tuned" } },
}

local EXCHANGE = { "base_sum", "base_mean", "din_softmax", "din" }

local function fail(message)
  io.stderr:write("results: ", message, "\n")
  os.exit(1)
end

-- ---- commands ----

local function run(words)
  for i, word in ipairs(words) do words[i] = path_of.quote(word) end
  local command = path_of.quote(root .. "moonrank") .. " " .. table.concat(words, " ")
  if os.execute(command) ~= 0 then fail("failed: " .. command) end
end

-- Train an experiment of an example, maybe by another script, with `times` seeds from `seed` on.
local function train(of, name, given, o)
  local words = { "train", ("%sexamples/%s/%s.yaml"):format(root, of, name), "--set",
    "data.root=" .. o.root, "--set", "train.seed=" .. o.seed, "--repeat", tostring(o.times),
    "--out", o.out, "--resume", "--quiet" }
  local with_set = require "moonrank.args".with_set
  with_set(words, o.script and { "model.script=" .. o.script })
  run(with_set(words, given.set))
end

local function read_json(path)
  local file = assert(io.open(path, "rb"))
  local value = assert(json.decode(file:read "*a"))
  file:close()
  return value
end

-- ---- the data ----

-- Print how the rows of an experiment came about, as a block of Markdown. `folder` is the data's.
local function print_rules(of, name, folder, given)
  local set = { "data.root=" .. folder, unpack(given.set) }
  local configuration, message = require "moonrank.config".experiment(("%sexamples/%s/%s.yaml")
    :format(root, of, name), set)
  if not configuration then fail(message) end
  local lines
  lines, message = require "moonrank.data_rules".with_split(configuration.fields,
    configuration.fields_places)
  if not lines then fail(message) end
  for _, line in ipairs(lines) do print("    " .. line) end
  print ""
end

-- ---- seeds of one experiment ----

local function with_spread(all, name, format, unit)
  local mean, spread = all.mean[name], all.spread[name]
  if not mean then return "-" end
  mean, spread = mean / (unit or 1), spread and spread / (unit or 1)
  if not spread then return format:format(mean) end
  return (format .. " ± " .. format):format(mean, spread)
end

local function print_heading()
  print "| model | AUC | GAUC | logloss | seconds | of the processors | peak memory, MB |"
  print "|---|---|---|---|---|---|---|"
end

-- `all` has the means and spreads of figures by name.
local function print_row(name, all)
  print(("| %s | %s | %s | %s | %s | %s | %s |"):format(name, with_spread(all, "auc", "%.4f"),
    with_spread(all, "gauc", "%.4f"), with_spread(all, "logloss", "%.4f"),
    with_spread(all, "seconds", "%.0f"), with_spread(all, "processor_seconds", "%.0f"),
    with_spread(all, "peak_memory", "%.0f", 2 ^ 20)))
  io.stdout:flush()
end

local function table_of(about, given)
  io.stderr:write(("results: %s, %d seed%s\n"):format(about.data, given.times,
    given.times == 1 and "" or "s"))
  print_rules(about.of, about.one or about.experiments[1], ("%s/%s"):format(given.data, about.data),
    given)
  print_heading()
  for _, name in ipairs(about.experiments) do
    local out = ("%s/%s/%s"):format(given.out, about.data, name)
    train(about.of, about.one or name, given, { out = out, seed = 1, times = given.times,
      root = ("%s/%s"):format(given.data, about.data), script = about.one and name })
    print_row(name, read_json(out .. "/seeds.json"))
  end
end

-- ---- the simulated exchange: a log and a training for each seed ----

local function interval(d) return ("%+.4f (%+.4f to %+.4f)"):format(d.difference, d.low, d.high) end

local function exchange_log(seed, given)
  local log = ("%s/exchange-%d"):format(given.data, seed)
  if require "lfs".attributes(log .. "/simulation.tsv") == nil then
    run { "simulate", "--out", log, "--requests", given.requests, "--seed", tostring(seed),
      "--quiet" }
  end
  return log
end

local function exchange_row(seed, given)
  local log = exchange_log(seed, given)
  local pool = require "moonrank.pool".new()
  local auc = {}
  local function folder(name) return ("%s/exchange-%d/%s"):format(given.out, seed, name) end
  for _, name in ipairs(EXCHANGE) do
    train("adworld", name, given, { out = folder(name), root = log, seed = seed, times = 1 })
    auc[name] = read_json(folder(name) .. "/seeds.json").mean.auc
  end
  local function compare(first, second)
    local one = ("/seed-%d"):format(seed)
    return assert(require "moonrank.comparison"(folder(first) .. one, folder(second) .. one, "test",
      { pool = pool })).auc
  end
  local best = assert(require "moonrank.truth".figures(log, "test", nil, pool)).auc
  print(("| %d | %.4f | %.4f | %.4f | %.4f | %.4f | %s | %s | %.0f %% |"):format(seed, auc.base_sum,
    auc.base_mean, auc.din_softmax, auc.din, best, interval(compare("din", "din_softmax")),
    interval(compare("din", "base_mean")), 100 * (auc.din - auc.base_mean)
      / (best - auc.base_mean)))
  io.stdout:flush()
end

local function exchange(given)
  print_rules("adworld", EXCHANGE[1], given.data, given)
  print("| seed | sum | mean | din, softmax | din | best possible | din less softmax (95 %) "
    .. "| din less mean (95 %) | of the distance from mean to best |")
  print "|---|---|---|---|---|---|---|---|---|"
  for seed = 1, given.times do exchange_row(seed, given) end
end

local function baselines(given)
  local Seeds = require "moonrank.seeds"
  local pool, best, of = require "moonrank.pool".new(), Seeds.new(given.out, "test"), {}
  for _, name in ipairs(BASELINES) do of[name] = Seeds.new(given.out, "test") end
  for seed = 1, given.times do
    local log = exchange_log(seed, given)
    best.list[seed] = assert(require "moonrank.truth".figures(log, "test", nil, pool))
    for _, name in ipairs(BASELINES) do
      local out = ("%s/exchange-%d/%s"):format(given.out, seed, name)
      train("adworld", name, given, { out = out, root = log, seed = seed, times = 1 })
      of[name].list[seed] = read_json(out .. "/seeds.json").seeds[1]
    end
  end
  print_rules("adworld", BASELINES[1], given.data, given)
  print_heading()
  local function print_mean(name, seeds)
    local mean, spread = seeds:summary()
    print_row(name, { mean = mean, spread = spread })
  end
  for _, name in ipairs(BASELINES) do print_mean(name, of[name]) end
  print_mean("best possible", best)
end

-- ---- the command ----

local function main(words)
  local p = require "argparse"("results", "Train and print a table of docs/results.md.")
  p:argument("table", "exchange, baselines, movielens, movielens_date, movielens_random, "
    .. "movielens_random_tuned, beauty, grocery, census, criteo_10k, frappe or frappe_tuned")
  p:option("--data", "the folder of folders of data", "data")
  p:option("--out", "where the runs go", "runs/results")
  p:option("--repeat", "seeds", "3"):argname "N":target "times":convert(tonumber)
  p:option("--requests", "of the simulated logs", "177000"):argname "N"
  p:option("--set", "a key of the experiments"):argname "KEY=VALUE":count "*"
  local given = p:parse(words)
  if given.table == "exchange" then return exchange(given) end
  if given.table == "baselines" then return baselines(given) end
  local about = TABLES[given.table]
  if not about then fail(('there is no table "%s"'):format(given.table)) end
  return table_of(about, given)
end

main(arg)
