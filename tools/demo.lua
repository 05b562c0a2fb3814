--- make demo: a simulated ad exchange, three models, one table of figures.
-- Runs the commands that anybody would type, and shows them. Called from the root of the checkout.
package.path = "lua/?.lua;lua/?/init.lua;" .. package.path
local clock = require "moonrank.clock"
local json = require "moonrank.json"
local report_table = require "moonrank.report_table"

local DATA, MODELS = "data/adworld", { "lr", "fm", "dnn" }
local start = clock.now()

local function run(command)
  print("\n$ " .. command)
  io.stdout:flush()
  local status = os.execute(command)
  if status ~= 0 then
    io.stderr:write("demo: the command above failed\n")
    os.exit(1)
  end
end

-- The figures of a run: those of the test data, and the seconds of all epochs.
local function figures_of(folder)
  local figures, seconds = nil, 0
  for line in io.lines(folder .. "/metrics.jsonl") do
    local entry = assert(json.decode(line))
    if entry.test then figures = entry.test end
    seconds = seconds + (entry.seconds or 0)
  end
  figures.seconds = seconds
  return figures
end

-- What the simulator says any model could reach on the test data.
local function best_possible()
  local pool = require "moonrank.pool".new "auto"
  return assert(require "moonrank.truth".figures(DATA, "test", nil, pool))
end

run(("./moonrank simulate --out %s --requests 177000 --seed 1"):format(DATA))
local rows = {}
for _, model in ipairs(MODELS) do
  local folder = "runs/demo/" .. model
  run(("./moonrank train examples/adworld/%s.yaml --out %s"):format(model, folder))
  rows[#rows + 1] = { what = model, figures = figures_of(folder) }
end
rows[#rows + 1] = { what = "best possible", figures = best_possible() }

print(("\n%.0f s in all. On the test data (seconds: of training):\n"):format(clock.now() - start))
local report = report_table.evaluations()
print(report.heading())
for _, row in ipairs(rows) do print(report.row(row)) end
print [[

next: ./moonrank train examples/adworld/fm.yaml --set model.dim=8 --out runs/fm-8
      ./moonrank eval runs/demo/fm --truth data/adworld
      ./moonrank help]]
