-- tools/setup, tools/test, the Makefile
local helper = require "helper"

describe("tools/setup", function()
  it("is instant when nothing is missing", function()
    local status, out, err = helper.shell "sh tools/setup tests"
    assert.same({ 0, "setup: nothing is missing\n", "" }, { status, out, err })
    status, out = helper.shell "for i in 1 2 3 4 5; do sh tools/setup tests >/dev/null; done; times"
    assert.equal(0, status)
    local minutes, seconds = out:match "\n(%d+)m([%d.]+)s" -- user time of children
    assert.is_true(minutes * 60 + seconds < 5 * 0.2)
  end)

  it("works with an empty environment", function()
    assert.same({ 0, "setup: nothing is missing\n", "" },
      { helper.shell "env -i /bin/sh tools/setup tests" })
    assert.same({ 0, "setup: nothing is missing\n", "" }, { helper.shell "env -i make setup" })
  end)

  it("names the packages where it cannot install them", function()
    local bin = helper.temp_dir()
    for _, tool in ipairs { "sh", "dirname", "uname", "tr", "luajit", "zstd" } do
      helper.shell(("ln -s $(command -v %s) %s/%s"):format(tool, bin, tool))
    end
    assert.same({ 1, "", "setup: cannot install packages (there is no apt-get); install these and "
      .. "try again: gcc cmake make\n" }, { helper.shell(("PATH=%s sh tools/setup"):format(bin)) })
  end)

  it("refuses an argument that it does not know", function()
    assert.same({ 2, "",
      'setup: unknown argument "test", expected nothing, "tests", "check", '
      .. '"docs" or "bench"\n' },
      { helper.shell "sh tools/setup test" })
  end)
end)

describe("the counts of tools/test", function()
  it("are those of the run", function()
    local dir = helper.temp_dir()
    helper.write(dir .. "/a_spec.lua", [[
describe("a", function()
  it("passes", function() end)
  it("passes too", function() end)
  it("fails", function() assert.equal(1, 2) end)
  it("breaks", function() error "x" end)
  pending "waits"
end)]])
    helper.write(dir .. "/b_spec.lua", "this is not Lua")
    local status = helper.shell(("busted --output=tests/counting_output.lua -Xoutput %s/counts %s")
      :format(dir, dir))
    assert.is_true(status ~= 0)
    assert.equal("2 3 1\n", helper.read(dir .. "/counts"))
  end)
end)

describe("make", function()
  it("lists its targets by default", function()
    local status, out = helper.shell "make"
    assert.equal(0, status)
    for target in helper.read("Makefile"):match("%.PHONY: ([^\n]*)"):gmatch "%S+" do
      if target ~= "help" then assert.truthy(out:find("make " .. target .. " ", 1, true)) end
    end
  end)
end)
