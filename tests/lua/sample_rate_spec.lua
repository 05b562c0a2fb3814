-- data.sample_rate: predictions of a model whose training data kept a share of its negatives.
local helper = require "helper"

local function train(dir, out, more)
  assert.same({ 0, "", "" }, { helper.run(("train %s/lr.yaml --quiet --out %s/%s %s"):format(dir,
    dir, out, more or "")) })
end

local function predict(dir, out)
  local status, text = helper.run(("predict %s/%s --data %s/test.csv"):format(dir, out, dir))
  assert.equal(0, status)
  local list = {}
  for line in text:gmatch "[^\n]+" do list[#list + 1] = tonumber(line) end
  return list
end

describe("data.sample_rate", function()
  it("makes p into p / (p + (1 - p) / rate), in predictions and figures", function()
    local dir = helper.make_project { rows = 400 }
    train(dir, "plain")
    train(dir, "one", "--set data.sample_rate=1")
    train(dir, "tenth", "--set data.sample_rate=0.1")
    train(dir, "map", "--set 'data.sample_rate={ctr: 0.1}'")
    local plain, tenth, sum = predict(dir, "plain"), predict(dir, "tenth"), 0
    assert.equal(100, #tenth)
    for i, p in ipairs(plain) do
      assert.near(p / (p + (1 - p) / 0.1), tenth[i], 1e-6)
      sum = sum + tenth[i]
    end
    assert.same(plain, predict(dir, "one"))
    assert.same(tenth, predict(dir, "map"))
    local before = helper.evaluate(dir .. "/plain --data test").figures
    local after = helper.evaluate(dir .. "/tenth --data test").figures
    assert.near(before.auc, after.auc, 1e-9)
    assert.near(sum / after.positives, after.calibration, 1e-6)
    assert.is_true(after.calibration < before.calibration)
  end)

  it("is in the scores that a program gets", function()
    local mr = require "moonrank.ffi"
    local C, dir = mr.C, helper.make_project { rows = 200 }
    train(dir, "tenth", "--set data.sample_rate=0.1")
    local expected, out = predict(dir, "tenth"), mr.new "mr_predictor *[1]"
    mr.check(C.mr_predictor_open(out, dir .. "/tenth/model.mr"))
    local predictor = mr.gc(out[0], C.mr_predictor_close)
    local made = mr.new "mr_scratch *[1]"
    mr.check(C.mr_scratch_new(made, predictor))
    local scratch, schema = mr.gc(made[0], C.mr_scratch_free), C.mr_predictor_schema(predictor)
    local names, cells, n = {}, {}, 0 -- of the file, column by column
    for line in io.lines(dir .. "/test.csv") do
      local i = 0
      for cell in (line .. ","):gmatch "([^,]*)," do
        i = i + 1
        if n == 0 then names[i], cells[i] = cell, {} else cells[i][n] = cell end
      end
      n = n + 1
    end
    local values, texts, n_values = mr.new("mr_values[?]", #names), {}, 0
    for i, name in ipairs(names) do
      local column = C.mr_schema_find(schema, name)
      if column >= 0 then
        texts[i] = mr.new("const char *[?]", n - 1, cells[i])
        values[n_values].column, values[n_values].texts = column, texts[i]
        n_values = n_values + 1
      end
    end
    assert.same({ 5, #expected + 1 }, { n_values, n })
    local scores = mr.new("float[?]", n - 1)
    mr.check(C.mr_predictor_prepare(scratch, nil, 0))
    mr.check(C.mr_predictor_score(scratch, n - 1, values, n_values, scores))
    for i, p in ipairs(expected) do assert.near(p, scores[i - 1], 1e-7) end
  end)

  it("of 0.5 makes a half a third, by hand", function()
    local p = 0.5
    assert.near(1 / 3, 1 / (1 + math.exp(-(math.log(p / (1 - p)) + math.log(0.5)))), 1e-15)
  end)

  it("is of tasks that there are", function()
    local config, dir = require "moonrank.config", helper.temp_dir()
    local function read(label, rate)
      return config.fields(helper.write(dir .. "/fields.yaml",
        ("data: {train: a.csv, sample_rate: %s}\nlabel: %s\n"
          .. "fields: [{name: a, side: ad, type: id}]\n"):format(rate, label)))
    end
    assert.same({ buy = 0.5 }, assert(read("[click, buy]", "{buy: 0.5}")).data.sample_rate)
    local fields, message = read("[click, buy]", "{click: 0.1, by: 0.5}")
    assert.is_nil(fields)
    assert.equal(dir .. '/fields.yaml:1:48: unknown task "by" in data.sample_rate, expected buy or '
      .. 'click; did you mean "buy"?', message)
    fields, message = read("click", "{click: 0.1}") -- the task of one column is ctr
    assert.is_nil(fields)
    assert.equal(dir .. '/fields.yaml:1:36: unknown task "click" in data.sample_rate, expected ctr',
      message)
  end)

  it("is above 0 and at most 1", function()
    local dir = helper.make_project { rows = 40 }
    local status, _, err = helper.run(("train %s/lr.yaml --out %s/x --set data.sample_rate=1.5")
      :format(dir, dir))
    assert.same({ 1, "moonrank: --set data.sample_rate=1.5: data.sample_rate is 1.5, expected a "
      .. "number > 0 and <= 1 or a map\n" }, { status, err })
  end)
end)
