-- moonrank gradcheck: right gradients pass, wrong ones do not.
local gradcheck = require "moonrank.gradcheck"
local helper = require "helper"
local script = require "moonrank.script"

local function check(name, given, options)
  local loaded = assert(script.load(name))
  options = options or {}
  options.options = assert(script.options(loaded, given))
  return gradcheck.check(loaded, options)
end

-- The groups that failed, and all groups by name.
local function verdicts(result)
  local failed, by_name = {}, {}
  for _, group in ipairs(result.groups) do
    by_name[group.name] = group
    if not group.ok then failed[#failed + 1] = group.name end
  end
  return failed, by_name
end

local DNN = { hidden = { 16, 8 }, batch_norm = true, dropout = 0.2 }

describe("a gradient check", function()
  for _, case in ipairs {
    { "lr", {} },
    { "mlr", { m = 4 } },
    { "fm", { dim = 4 } },
    { "dnn", { hidden = { 16, 8 } } },
    { "deepfm", { dim = 4, hidden = { 16, 8 }, batch_norm = true, dropout = 0.2 } },
    { "wide_deep", { hidden = { 16, 8 } } },
    { "dcn", { layers = 2, hidden = { 16, 8 } } },
    { "dcn", { layers = 3, hidden = {} } },
    { "dcn_v2", { layers = 2, hidden = { 16, 8 }, batch_norm = true, dropout = 0.2 } },
    { "dcn_v2", { layers = 2, hidden = { 8 }, stacked = true } },
    { "dcn_v2", { layers = 2, hidden = {} } },
    { "din", { attention = { 8, 4 }, hidden = { 16, 8 } } },
    { "din", { attention = { 8 }, hidden = { 16 }, activation = "prelu", softmax = true,
      outer = true } },
    { "base", { hidden = { 16, 8 }, pooling = "max" } },
    { "base", { hidden = { 16 }, pooling = "sum", activation = "prelu", dropout = 0.2 } },
    { "youtube_dnn", { hidden = { 16, 8 } } },
    { "dnn", DNN },
    { "dnn", { hidden = { 12 }, activation = "tanh", dropout = 0.5 } },
  } do
    local name, given = case[1], case[2]
    it(("passes %s %s"):format(name, require "moonrank.json".encode(given)), function()
      for seed = 1, 3 do
        local result = check(name, given, { seed = seed })
        assert.same({}, (verdicts(result)))
        assert.is_true(result.ok)
      end
    end)
  end

  it("has a group for each dense weight and each part of a table, and all together", function()
    local _, groups = verdicts(check("fm", { dim = 4 }))
    local names = {}
    for name in pairs(groups) do names[#names + 1] = name end
    table.sort(names)
    assert.same({ "ad_id.embedding", "ad_id.linear", "age.embedding", "age.linear", "all rows",
      "all weights", "cate.embedding", "cate.linear", "dense_1.bias", "dense_1.weight",
      "everything", "scene.embedding", "scene.linear", "tags.embedding", "tags.linear",
      "user_id.embedding", "user_id.linear" }, names)
    assert.equal(groups["all rows"].numbers + groups["all weights"].numbers,
      groups.everything.numbers)
  end)

  it("moves what it compares", function()
    local _, groups = verdicts(check("dnn", DNN))
    for name, group in pairs(groups) do
      assert.equal(name == "dense_1.bias" or name == "dense_2.bias", group.faint, name)
    end
    assert.is_true(math.abs(groups.everything.numeric) > 0.01)
  end)

  it("gives the same figures again, and others for another seed", function()
    local first, again = check("dnn", DNN), check("dnn", DNN)
    assert.same(first, again)
    assert.is_not.equal(first.loss, check("dnn", DNN, { seed = 2 }).loss)
  end)

  it("takes the fields of a fields file", function()
    local dir = helper.make_project { rows = 4 }
    local fields = assert(require "moonrank.config".fields(dir .. "/fields.yaml"))
    local result = check("fm", { dim = 3 }, { fields = fields })
    local _, groups = verdicts(result)
    assert.is_true(result.ok)
    assert.equal(64, result.requests) -- no request key: each sample is its own
    assert.truthy(groups["hour.embedding"])
  end)
end)

describe("a gradient check fails", function()
  -- spoil(gradient, n, times): the gradient of the group `name`.
  local function spoiled(name, spoil, model, given)
    local times = 0
    return verdicts(check(model or "dnn", given or DNN, { tamper = function(group, gradient, n)
      if group ~= name then return end
      times = times + 1
      spoil(gradient, n, times)
    end }))
  end

  it("where a gradient is missing", function()
    local function none(gradient, n)
      for i = 0, n - 1 do gradient[i] = 0 end
    end
    assert.same({ "dense_2.weight", "all weights", "everything" },
      (spoiled("dense_2.weight", none)))
    assert.same({ "cate.embedding", "all rows", "everything" }, (spoiled("cate.embedding", none)))
  end)

  it("where a gradient has the wrong sign or factor", function()
    for _, factor in ipairs { -1, 2, 0.5, 1.03 } do
      local failed, groups = spoiled("dense_3.bias", function(gradient) -- one number
        gradient[0] = factor * gradient[0]
      end)
      assert.equal("dense_3.bias", failed[1])
      local off = math.abs(factor - 1) / math.max(math.abs(factor), 1)
      assert.is_true(math.abs(groups["dense_3.bias"].error - off) < 1e-3)
    end
    assert.equal("batch_norm_1.gamma", spoiled("batch_norm_1.gamma", function(gradient, n)
      for i = 0, n - 1 do gradient[i] = 1.05 * gradient[i] end
    end)[1])
  end)

  it("where two columns are exchanged", function()
    assert.equal("dense_1.weight", spoiled("dense_1.weight", function(gradient, n)
      for i = 0, n - 1, 16 do gradient[i], gradient[i + 1] = gradient[i + 1], gradient[i] end
    end)[1])
  end)

  it("where some rows of a table have none", function()
    assert.equal("tags.linear", spoiled("tags.linear", function(gradient, _, times)
      if times % 3 == 0 then gradient[0] = 0 end
    end, "lr", {})[1])
  end)

  it("where a weight that rounding hides is given a gradient", function()
    assert.equal("dense_1.bias", spoiled("dense_1.bias", function(gradient) gradient[0] = 0.1 end)
      [1])
  end)
end)

describe("moonrank gradcheck", function()
  it("prints the groups and passes", function()
    local status, out, err = helper.run "gradcheck lr"
    assert.same({ 0, "" }, { status, err })
    assert.truthy(out:find("^model    lr %(.*models/lr%.lua%)\nfields   the built%-in set\n"
      .. "batch    64 samples of 1%d requests, mean loss 0%.%d+\n\n"))
    assert.truthy(out:find "\n +numbers +backward +forward +error\n")
    assert.truthy(out:find "\nuser_id%.linear +%d+ +%S+e%S+ +%S+e%S+ +%S+e%-0%d  PASS\n")
    assert.equal("PASS: every error is at most 0.01", out:match "([^\n]*)\n$")
  end)

  it("takes options, a seed and a fields file", function()
    local dir = helper.make_project { rows = 4 }
    local status, out = helper.run(("gradcheck dnn --set 'hidden=[6]' --set batch_norm=true "
      .. "--seed 5 --fields %s/fields.yaml"):format(dir))
    assert.equal(0, status)
    assert.truthy(out:find(("\nfields   %s/fields.yaml\n"):format(dir), 1, true))
    assert.truthy(out:find "\nbatch_norm_1%.beta +6 ")
    assert.truthy(out:find "\nhour%.embedding ")
  end)

  it("exits with 1 where a gradient is wrong", function()
    local cli = require "moonrank.cli"
    local lines, original = {}, gradcheck.check
    local undo = stub(gradcheck, "check", function(loaded, options)
      options.tamper = function(_, gradient) gradient[0] = 0 end
      return original(loaded, options)
    end)
    local printed = stub(_G, "print", function(line) lines[#lines + 1] = line end)
    local status = cli.main({ "gradcheck", "lr" }, io.stdout)
    printed:revert()
    undo:revert()
    assert.equal(1, status)
    assert.equal("FAIL: 11 of 11 errors are above 0.01", lines[#lines])
    assert.truthy(table.concat(lines, "\n"):find "\ndense_1%.weight .* FAIL\n")
  end)

  local function says(message, arguments, expected)
    local status, out, err = helper.run("gradcheck " .. arguments)
    assert.same({ expected or 1, "", "moonrank: " .. message .. "\n" }, { status, out, err })
  end

  it("names the line of a script that is wrong", function()
    local path = helper.temp_dir() .. "/mine.lua"
    local function script_says(message, build)
      helper.write(path, ("return {\n  options = { width = 3 },\n  build = function(m, opt)\n%s\n"
        .. "  end,\n}\n"):format(build))
      says(path .. message, helper.quote(path))
    end
    script_says(':4: dense: option "out" is missing', "m:task('ctr', m:dense(m:inputs(), {}))")
    script_says(":5: multiply: b is 4 wide, a is 3 wide",
      "local x = m:inputs()\nm:task('ctr', m:multiply(m:dense(x, { out = opt.width }), "
      .. "m:dense(x, { out = 4 })))")
    script_says(':4: no field, side or sequence "users"; did you mean "user"?', "m:embed 'users'")
    script_says(":4: attempt to index local 'opt' (a nil value)", "opt = nil; print(opt.x)")
    helper.write(path, "return {")
    says(path .. ":1: unexpected symbol near '<eof>'", helper.quote(path))
    helper.write(path, "return { build = function() end }")
    says("the script describes no task; end its build with m:task(name, logit)",
      helper.quote(path))
  end)

  it("says what is wrong with its arguments", function()
    says('no model "dnnn"; did you mean "dnn"?', "dnnn")
    says('--set hiden=3: unknown option "hiden" of model dnn; did you mean "hidden"?',
      "dnn --set hiden=3")
    says("--set hidden=3: hidden is 3, expected a list of numbers", "dnn --set hidden=3")
    says("--set hidden: expected OPTION=VALUE, such as hidden=[16,8]", "dnn --set hidden")
    says("nowhere.yaml: No such file or directory", "dnn --fields nowhere.yaml")
    says('--seed is "x", expected a whole number 0 to 9007199254740991', "dnn --seed x", 2)
    says('unknown option "--feilds"; did you mean "--fields"?; try: moonrank help gradcheck',
      "dnn --feilds x", 2)
    says('missing argument "script"; try: moonrank help gradcheck', "", 2)
  end)
end)
