--- Crosses held against columns into which their combinations were written, for specs of both.
local helper = require "helper"

local M = {}

--- The text of a combination, by the rule that says when it is unknown.
-- @param ... texts
function M.combined(...)
  for i = 1, select("#", ...) do
    if select(i, ...) == "" then return "" end
  end
  return table.concat({ ... }, " & ")
end

--- Commands in a folder that has NAME.yaml, fields files.
-- @tparam string dir
-- @treturn function run(words): a command that must succeed and complain of nothing; its output
-- @treturn function train(name, more): lr by the fields file of that name, in run_NAME; its scores
-- of the test data
-- @treturn function slices(name, by): what eval says of the slices of run_NAME, but for the ends
-- of its lines
function M.commands(dir)
  local function run(words)
    local status, out, err = helper.run(words, dir)
    require "luassert".same({ 0, "" }, { status, err })
    return out
  end

  -- Weights of lr begin at 0, so they do not depend on what keys are called.
  local function train(name, more)
    helper.write(("%s/lr_%s.yaml"):format(dir, name), ([[
fields: %s.yaml
model: {script: lr}
train:
  {batch: 128, epochs: 2, seed: 3, tables: {init: {normal: 0}}, optimizer: {adagrad: {lr: 0.1}}}
]]):format(name))
    run(("train lr_%s.yaml --quiet --out run_%s %s"):format(name, name, more or ""))
    return run(("predict run_%s --data test"):format(name))
  end

  local function slices(name, by)
    return (run(("eval run_%s --data test --by %s"):format(name, by)):gsub("[%d.]+\n", "\n"))
  end
  return run, train, slices
end

return M
