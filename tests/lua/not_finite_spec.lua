-- A number that is not finite stops the training, says where it came from, and is never saved.
local helper = require "helper"
local mr = require "moonrank"
local ffi = require "moonrank.ffi"
local C = ffi.C

-- 700 rows of user, price and click. One row has a price whose square is no float.
local function make_project(row)
  local dir, random = helper.temp_dir(), helper.random(4)
  local lines = { "click,user,price" }
  for i = 1, 700 do
    lines[i + 1] = ("%d,u%d,%s"):format(random(2) - 1, random(20),
      i == row and "1e20" or "1." .. random(9))
  end
  helper.write(dir .. "/train.csv", table.concat(lines, "\n") .. "\n")
  helper.write(dir .. "/fields.yaml", [[
data: {train: train.csv, valid: train.csv}
label: click
fields:
  - {name: user, side: user, type: id}
  - {name: price, side: ad, type: number}
]])
  helper.write(dir .. "/square.lua", [[
return { build = function(m)
  local price = m:numbers()
  m:task("ctr", m:dense(m:concat { m:embed(), m:multiply(price, price) }, { out = 1 }))
end }
]])
  helper.write(dir .. "/square.yaml", [[
fields: fields.yaml
model: {script: square.lua}
train: {batch: 100, shuffle: false, checkpoint: {steps: 2}, epochs: 2}
]])
  return dir
end

local function entries(folder)
  local list = {}
  for entry in require "lfs".dir(folder) do
    if entry ~= "." and entry ~= ".." then list[#list + 1] = entry end
  end
  table.sort(list)
  return list
end

describe("training on a number that overflows", function()
  local dir = make_project(666)
  local command = ("train %s/square.yaml --out %s/run --quiet"):format(dir, dir)
  local line = 'the loss of step 7 is not finite: node "multiply_1" (multiply) gives inf in column '
    .. "1 of row 666 of the training data; the checkpoint of step 6 stays, and --resume goes on "
    .. "from it; a smaller lr or train.clip takes a new run\n"

  it("stops with one line that names node, column and row; the checkpoints stay", function()
    assert.same({ 1, "", "moonrank: " .. line }, { helper.run(command) })
    assert.same({ "step-000000002", "step-000000004", "step-000000006" },
      entries(dir .. "/run/checkpoints"))
    assert.is_false(helper.exists(dir .. "/run/model.mr"))
    assert.equal(line, helper.read(dir .. "/run/log.txt"):match "([^\n]+\n)$")
  end)

  it("resumes from the last checkpoint, and comes to the same end", function()
    assert.same({ 1, "", "moonrank: " .. line }, { helper.run(command .. " --resume") })
  end)

  it("says where nothing was saved yet", function()
    local first = make_project(5)
    assert.same({ 1, "", 'moonrank: the loss of step 1 is not finite: node "multiply_1" (multiply) '
      .. "gives inf in column 1 of row 5 of the training data; nothing was saved yet; a smaller lr "
      .. "or train.clip takes a new run\n" },
      { helper.run(("train %s/square.yaml --out %s/run --quiet"):format(first, first)) })
  end)
end)

describe("a weight that is not finite", function()
  local dir = make_project()
  local data = mr.dataset(dir .. "/fields.yaml", { threads = 1 })

  -- Fit, and after a step write NaN into the dense layer's weight, or a row of the table.
  local function fit_with_nan(step, what, checkpoints)
    local model = mr.model(dir .. "/square.lua", { fields = data.fields })
    local run = mr.trainer(model, { batch = 100, shuffle = false, threads = 1 })
    if checkpoints then run:keep_checkpoints(checkpoints) end
    run:on("step", function(s)
      if s.number ~= step then return end
      local numbers = C.mr_model_weights(model.handle, 0)
      if what == "row" then
        numbers = C.mr_model_row(model.handle, 0, C.mr_schema_key(data.fields.schema.handle,
          data.fields.schema:column "user", "u7", 2))
      end
      numbers[0] = 0 / 0
      ffi.check(C.mr_model_changed(model.handle))
    end)
    local ok, message = pcall(run.fit, run, data, { epochs = 1 })
    return ok, message, run, model
  end

  it("is named by the step that meets it", function()
    local ok, message, run = fit_with_nan(3)
    assert.is_false(ok)
    assert.equal('the loss of step 4 is not finite: weight "dense_1.weight" itself holds nan',
      message)
    assert.is_true(run.not_finite)
    ok, message = fit_with_nan(3, "row")
    assert.is_false(ok)
    assert.equal('the loss of step 4 is not finite: table "user" itself holds nan (part '
      .. '"embedding") for field "user" of row R of the training data',
      (message:gsub("row %d+ ", "row R ")))
    local row = tonumber(message:match "row (%d+) ")
    assert(row > 300 and row <= 400)
    local at = 0
    for text in io.lines(dir .. "/train.csv") do
      if at == row then assert.truthy(text:find ",u7,") end
      at = at + 1
    end
  end)

  it("ends the training after the epoch, before it is judged or saved", function()
    local folder = helper.temp_dir() .. "/checkpoints"
    local ok, message, run, model = fit_with_nan(7, nil, folder)
    assert.is_false(ok)
    assert.equal('after step 7 weight "dense_1.weight" is not finite', message)
    assert.is_false(helper.exists(folder))
    ok, message = fit_with_nan(7, "row")
    assert.is_false(ok)
    assert.equal('after step 7 a row of table "user" is not finite', message)

    -- Nor is it written when it is saved all the same.
    local path = helper.write(helper.temp_dir() .. "/model.mr", "an older model")
    helper.fails_with('weight "dense_1.weight" is not finite; nothing was written',
      model:save(path))
    assert.equal("an older model", helper.read(path))
    assert.is_false(helper.exists(path .. ".tmp"))
    helper.fails_with('weight "dense_1.weight" is not finite; nothing was written',
      ffi.ok(C.mr_run_save(run.handle, folder, "")))
    assert.is_false(helper.exists(folder))
    assert.is_false(helper.exists(folder .. ".tmp"))
  end)

  it("of a table is not written either", function()
    local model = mr.model(dir .. "/square.lua", { fields = data.fields })
    local row = ffi.new "float *[1]"
    ffi.check(C.mr_model_make_row(model.handle, 0, 12345, row))
    row[0][15] = -1 / 0
    local path = helper.temp_dir() .. "/model.mr"
    helper.fails_with('a row of table "user" is not finite; nothing was written', model:save(path))
    assert.is_false(helper.exists(path))
    row[0][15] = 0
    assert.is_true(model:save(path))
  end)
end)
