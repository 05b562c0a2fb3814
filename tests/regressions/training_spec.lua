-- Troubles of training that once passed in silence: a monitor that the data does not define kept
-- the first epoch's model, a checkpoint at the last step of an epoch could not be resumed, an
-- unfinished run was overwritten by typing the command again, with `rows: all` a row took no step
-- before its first batch.
local helper = require "helper"
local mr = require "moonrank"

local function message_of(f, ...)
  local ok, message = pcall(f, ...)
  assert.is_false(ok)
  return (tostring(message):gsub("^[^\n:]*%.lua:%d+: ", ""))
end

describe("training", function()
  it("refuses a monitor that needs groups where there are none", function()
    local dir = helper.make_project { rows = 200 }
    local fields = helper.read(dir .. "/fields.yaml"):gsub("group: user\n", "")
    helper.write(dir .. "/fields.yaml", fields)
    local status, _, err = helper.run(("train %s --quiet --set train.monitor=gauc --out %s"):format(
      helper.quote(dir .. "/lr.yaml"), helper.quote(dir .. "/run")))
    assert.equal(1, status)
    assert.equal("moonrank: the monitor gauc needs groups; name their column as `group` in the "
      .. "fields file\n", err)
  end)

  it("refuses to judge by validation data of one class", function()
    local dir = helper.make_project { rows = 200 }
    local lines = {}
    for line in helper.read(dir .. "/valid.csv"):gmatch "[^\n]+" do
      lines[#lines + 1] = (line:gsub("^1,", "0,"))
    end
    helper.write(dir .. "/valid.csv", table.concat(lines, "\n") .. "\n")
    local status, _, err = helper.run(("train %s --quiet --out %s"):format(
      helper.quote(dir .. "/lr.yaml"), helper.quote(dir .. "/run")))
    assert.equal(1, status)
    assert.equal("moonrank: the monitor auc is not defined on the validation data: it needs rows "
      .. "of both labels\n", err)
  end)

  it("resumes from a checkpoint that fell on the last step of an epoch", function()
    local dir = helper.make_project { rows = 2048 } -- 8 steps of 256
    local train = ("train %s --quiet --set train.checkpoint.steps=8 --set train.checkpoint.keep=1 "
      .. "--set train.epochs=4 --out "):format(helper.quote(dir .. "/lr.yaml"))
    assert.equal(0, (helper.run(train .. helper.quote(dir .. "/whole"))))
    local parts = helper.quote(dir .. "/parts")
    assert.equal(0, (helper.run(train .. parts .. " --stop-after 2")))
    assert.equal(0, (helper.run(train .. parts .. " --resume")))
    assert.is_true(helper.read(dir .. "/whole/model.mr") == helper.read(dir .. "/parts/model.mr"))
  end)

  it("does not begin anew over an unfinished run, unless it is told to", function()
    local dir = helper.make_project { rows = 200 }
    local out = dir .. "/run"
    local train = ("train %s --quiet --out %s"):format(helper.quote(dir .. "/lr.yaml"),
      helper.quote(out))
    assert.equal(0, (helper.run(train .. " --stop-after 1")))
    local status, _, err = helper.run(train)
    assert.equal(1, status)
    assert.equal(("moonrank: %s holds an unfinished run; go on with --resume, drop it with "
      .. "--restart, or choose another --out\n"):format(out), err)
    assert.equal(0, (helper.run(train .. " --restart")))
    assert.equal(0, (helper.run(train))) -- finished: replaced
  end)

  it("makes every row before the first step with rows: all", function()
    local dir = helper.make_project { rows = 512 }
    local data = mr.dataset(dir .. "/fields.yaml", { threads = 1 })
    -- After one step over the first 64 rows, those of all 512 are there, and take every step.
    local function row_after(steps)
      local model = mr.model("lr", { fields = data.fields })
      local run = mr.trainer(model, { batch = 64, shuffle = false, threads = 1,
        optimizer = { sgd = { lr = 0.1 } }, tables = { rows = "all", l2 = 1 } })
      if steps > 0 then
        local taken = 0
        run:on("step", function()
          taken = taken + 1
          if taken == steps then error("enough", 0) end
        end)
        pcall(run.fit, run, data, { epochs = 1 })
      end
      local rows = 0
      for _, t in ipairs(model:describe().tables) do rows = rows + t.rows end
      run:close()
      return rows
    end
    assert.is_true(row_after(1) > 60) -- 50 users, 24 hours, 30 ads, tags: nearly all of them
  end)
end)

describe("a script", function()
  local g = require "graph_helper"
  local schema = g.schema { { name = "x", type = "vector", width = 2 },
    { name = "label:ctr", type = "label" } }
  schema.tasks[1] = { name = "ctr", column_name = "label:ctr" }

  it("cannot describe a task twice", function()
    local b = g.builder(schema)
    local z = b:dense(b:column { column = "x" }, { out = 1 })
    b:task("ctr", z)
    assert.equal('task "ctr" is there already', message_of(b.task, b, "ctr", z))
  end)

  it("is told when a logit is nil, options are missing, or no activation is meant", function()
    local b = g.builder(schema)
    local x = b:column { column = "x" }
    assert.equal("task: the logit is nil, expected a value of the graph",
      message_of(b.task, b, "ctr", nil))
    assert.equal("mlp: expected a table of options, got nothing", message_of(b.mlp, b, x))
    assert.equal("mlp: hidden is 8, expected a list of widths",
      message_of(b.mlp, b, x, { hidden = 8 }))
    assert.equal('mlp: no activation "sum", expected one of: relu, sigmoid, tanh, prelu, '
        .. 'dice',
      message_of(b.mlp, b, x, { hidden = { 8 }, activation = "sum" }))
    assert.equal("call it with a colon: m:mlp(...)", message_of(b.mlp, x, {}))
  end)
end)
