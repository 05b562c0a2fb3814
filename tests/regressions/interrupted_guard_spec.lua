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

describe("Ctrl-C while the command loads its first module", function()
  it("is status 130", function()
    local status, out, err = helper.shell [[luajit -e '
      package.preload.lfs = function() error "interrupted!" end' moonrank help]]
    assert.same({ 130, "", "moonrank: interrupted\n" }, { status, out, err })
  end)
end)
