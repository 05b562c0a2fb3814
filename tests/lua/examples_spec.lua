-- The experiments in examples/: the files fit the scripts and the data they name, and run.
local config = require "moonrank.config"
local helper = require "helper"
local path_of = require "moonrank.path"
local script = require "moonrank.script"

-- The folders of examples/, and the experiment files in each.
local function folders()
  local names = {}
  for name in require "lfs".dir "examples" do
    if name:sub(1, 1) ~= "." then names[#names + 1] = "examples/" .. name end
  end
  table.sort(names)
  return names
end

local function experiments(folder)
  local files = {}
  for _, file in ipairs(path_of.glob(folder .. "/*.yaml")) do
    local name = path_of.stem(file)
    if not name:find "^fields" and name ~= "common" then files[#files + 1] = file end
  end
  return files
end

describe("an example", function()
  for _, folder in ipairs(folders()) do
    for _, file in ipairs(experiments(folder)) do
      it(file .. " fits its fields and its script", function()
        local e = assert(config.experiment(file))
        assert.equal("data/", e.fields.data.root:sub(1, 5))
        if e.tune then assert(require "moonrank.tune_space".trials(file)) end
        local loaded = assert(script.load(e.experiment.model.script))
        local given = {}
        for name, value in pairs(e.experiment.model) do
          if name ~= "script" then given[name] = value end
        end
        local schema = require "moonrank.schema".new(e.fields)
        local model = require "moonrank.model".new(loaded, { fields = schema.fields,
          options = assert(script.options(loaded, given)) })
        local train = e.experiment.train
        train.threads, train.batch = 1, 64
        require "moonrank.trainer".new(model, train):close()
      end)
    end
  end
end)

describe("the simulated exchange", function()
  local log, test_rows = nil, {}

  -- The figures of the test rows, as the command prints them.
  local function test_row(out) return out:match "\ntest +[%d,]+ +(%S+ +%S+) " end

  setup(function()
    log = helper.temp_dir() .. "/log"
    local status, _, err = helper.run(("simulate --requests 3000 --out %s"):format(log))
    assert.same({ 0, "" }, { status, err })
  end)

  for _, file in ipairs(experiments "examples/adworld") do
    it("trains " .. file, function()
      local run = helper.temp_dir() .. "/run"
      local status, out, err = helper.run(("train %s --set data.root=%s --set train.epochs=3 "
        .. "--out %s"):format(file, log, run))
      err = err:gsub("epoch %d: [^\n]* left\n", "") -- of how far one is that takes long
      assert.same({ 0, "" }, { status, err })
      test_rows[path_of.stem(file)] = test_row(out)
      assert.truthy(test_row(out))
    end)
  end

  it("gives the same figures in a Lua experiment, from any folder", function()
    local path = "examples/adworld/compare_models.lua"
    local status, out, err = helper.shell(("luajit %s %s"):format(path, log))
    assert.same({ 0, "" }, { status, err })
    for _, name in ipairs { "lr", "fm", "dnn" } do
      assert.equal(test_rows[name], out:match("\n" .. name .. " +test +%- +(%S+ +%S+)\n"), name)
    end
    assert.truthy(out:find "\ndnn, tanh +test +%- ")
    local result = { helper.shell(("cd / && luajit %s %s"):format(
      helper.quote(helper.root() .. "/" .. path), log)) }
    assert.same({ 0, out, "" }, result)
  end)
end)
