-- data.rules: how rows were split and sampled, told with the results.
local config = require "moonrank.config"
local data_rules = require "moonrank.data_rules"
local helper = require "helper"

-- A project whose fields file has data.rules.
local function project(rules)
  local dir = helper.make_project {}
  local text = helper.read(dir .. "/fields.yaml")
  local changed, n = text:gsub("\ndata: {", "\ndata: {rules: " .. rules .. ", ")
  assert.equal(1, n)
  helper.write(dir .. "/fields.yaml", changed)
  return dir
end

local function lines_of(dir) return data_rules.lines(config.fields(dir .. "/fields.yaml")) end

describe("the rules of data", function()
  it("are printed by train, and stand in its log", function()
    local dir = project "about/made.txt"
    assert.equal(0, (helper.shell(("mkdir %s"):format(helper.quote(dir .. "/about")))))
    helper.write(dir .. "/about/made.txt", "split  by hand, 2:1\r\n\nrule   100 % größte Läden\n")
    local status, out, err = helper.run(("train %s/lr.yaml --out %s/run"):format(dir, dir))
    assert.same({ 0, "" }, { status, err })
    local said = "\nrules    split  by hand, 2:1\n         rule   100 % größte Läden\nweights "
    assert.truthy(out:find(said, 1, true), out)
    assert.truthy(helper.read(dir .. "/run/log.txt"):find(said, 1, true))
    -- From the run's own files it is the same.
    local _, again = helper.run(("train %s/run/config.yaml --out %s/again"):format(dir, dir))
    assert.truthy(again:find(said, 1, true), again)
  end)

  it("may stand in the fields file", function()
    assert.same({ "split  by hand", "rule   all" },
      lines_of(project '["split  by hand", rule   all]'))
    assert.same({}, lines_of(helper.make_project {}))
  end)

  it("are short text that is there", function()
    local dir = project "made.txt"
    local function refused(what)
      local place = ("%s/fields.yaml:%d"):format(dir, 2)
      local status, out, err = helper.run(("train %s/lr.yaml --out %s/run"):format(dir, dir))
      assert.same({ 1, "" }, { status, out })
      assert.truthy(err:find(place, 1, true), err)
      assert.equal(("data.rules: %s/made.txt: %s\n"):format(dir, what),
        err:match "^moonrank: [^\n]-:%d+: (.*)$")
      assert.is_false(helper.exists(dir .. "/run"))
    end
    refused "No such file or directory"
    helper.write(dir .. "/made.txt", ("x"):rep(4096))
    assert.equal(4096, #lines_of(dir)[1])
    helper.write(dir .. "/made.txt", ("x"):rep(4097))
    refused "larger than 4096 bytes"
    helper.write(dir .. "/made.txt", "split \27[2J\n")
    refused "it is not text"
    helper.write(dir .. "/made.txt", "")
    assert.same({}, lines_of(dir))
    assert.equal(0, (helper.shell(("rm %s && mkdir %s"):format(helper.quote(dir .. "/made.txt"),
      helper.quote(dir .. "/made.txt")))))
    refused "Is a directory"
  end)
end)
