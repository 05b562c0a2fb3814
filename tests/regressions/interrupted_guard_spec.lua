-- Ctrl-C while a command called what it guards, such as opening an experiment, was a trouble of
-- status 1 that said "interrupted!"; and while the command loaded lfs, that lfs is missing.
local cli = require "moonrank.cli"
local helper = require "helper"

describe("Ctrl-C in a guarded call", function()
  for _, message in ipairs { "interrupted!", debug.getinfo(cli.guard).short_src
    .. ":7: interrupted!" } do
    it("is status 130: " .. message:match "[^/]*$", function()
      local ok, err = pcall(cli.guard, error, message, 0)
      assert.same({ false, { status = 130, message = "interrupted" } }, { ok, err })
    end)
  end
end)

describe("Ctrl-C while the arguments are read", function()
  it("is status 130, though argparse adds a traceback", function()
    assert.same({ status = 130, message = "interrupted" }, cli.explain(
      "argparse.lua:105: interrupted!\noriginal stack traceback:\n\t[C]: in function 'x'"))
  end)
end)

describe("Ctrl-C where what is raised is taken for a trouble", function()
  local raised = "lua/any.lua:7: interrupted!"

  it("goes on from a script's own code", function()
    local path = helper.write(helper.temp_dir() .. "/endless.lua", 'error("interrupted!", 0)')
    helper.raises("interrupted!", require "moonrank.script".load, path)
  end)

  it("goes on from the reading of a fields file", function()
    local dir = helper.make_project { rows = 60 }
    local undo = stub(require "moonrank.schema", "new", function() error(raised, 0) end)
    local ok, err = pcall(require "moonrank.dataset".open, dir .. "/fields.yaml")
    undo:revert()
    assert.same({ false, raised }, { ok, err })
  end)

  it("goes on from the reading of a model file", function()
    local dir = helper.make_project { rows = 60 }
    assert.equal(0, (helper.run(("train %s/lr.yaml --quiet --out %s/run"):format(dir, dir))))
    local undo = stub(require "moonrank.json", "encode", function() error(raised, 0) end)
    local ok, err = pcall(require "moonrank".load, dir .. "/run/model.mr")
    undo:revert()
    assert.same({ false, raised }, { ok, err })
  end)
end)

describe("Ctrl-C in the command's last steps", function()
  local function main()
    local text = {}
    local status = cli.main({ "help" }, { write = function(_, ...)
      text[#text + 1] = table.concat { ... }
    end })
    return { status, table.concat(text) }
  end

  it("is status 130 while a module is half loaded", function()
    local before = package.loaded["moonrank.progress"]
    local command = stub(cli, "command", function() error("interrupted!", 0) end)
    package.loaded["moonrank.progress"] = 1 -- what LuaJIT has there meanwhile is no table
    local told = main()
    package.loaded["moonrank.progress"] = before
    command:revert()
    assert.same({ 130, "moonrank: interrupted\n" }, told)
  end)

  it("is status 130 when all is done", function()
    local command = stub(cli, "command", function() return { run = function() end } end)
    local failed = stub(require "moonrank.libc", "has_failed", function()
      error("interrupted!", 0)
    end)
    local told = main()
    failed:revert()
    command:revert()
    assert.same({ 130, "moonrank: interrupted\n" }, told)
  end)
end)

-- LuaJIT makes Ctrl-C an error where the next instruction of Lua is run; so does this, after `n`.
describe("Ctrl-C anywhere in a command", function()
  it("is status 130, and nothing else is said", function()
    local dir = helper.make_project { rows = 60 }
    assert.equal(0, (helper.run(("train %s/lr.yaml --quiet --out %s/run"):format(dir, dir))))
    for n = 2000, 26000, 1171 do
      local status, out, err = helper.shell(([[LUA_INIT='debug.sethook(function()
        debug.sethook() error("interrupted!", 2) end, "", %d)' ./moonrank eval %s/run]]):format(n,
        dir))
      assert.same({ n, 130, "", "moonrank: interrupted\n" }, { n, status, out, err })
    end
  end)
end)

describe("Ctrl-C while the command loads its first module", function()
  it("is status 130", function()
    local status, out, err = helper.shell [[luajit -e '
      package.preload.lfs = function() error "interrupted!" end' moonrank help]]
    assert.same({ 130, "", "moonrank: interrupted\n" }, { status, out, err })
  end)
end)
