-- moonrank help ops and docs/ops.md: the engine's own lists, as people read them.
local Builder = require "moonrank.builder"
local helper = require "helper"
local reference = require "moonrank.ops_reference"

describe("the reference of ops", function()
  it("is the page docs/ops.md (make it anew: ./moonrank help ops --markdown > docs/ops.md)",
    function() assert.equal(reference.markdown(), helper.read "docs/ops.md") end)

  it("has every op that a script can call, and every option of it", function()
    local text = reference.text():match "\nOps of a model script.*"
    for _, op in ipairs(Builder.ops()) do
      local call = text:match("\n  (m:" .. op.name .. "[ (][^\n]*)\n")
      assert.equal(op.internal, call == nil, op.name)
      for _, option in ipairs(call and op.options or {}) do
        assert.truthy(call:find("[ {]" .. option.name .. "[ ,]"), op.name .. " " .. option.name)
      end
    end
  end)

  it("has every optimizer of the configuration", function()
    local text = reference.text()
    for _, name in ipairs { "sgd", "adagrad", "adam", "momentum", "ftrl" } do
      assert.truthy(text:find("\n  " .. name .. "\n", 1, true), name)
    end
  end)

  it("describes blocks that exist", function()
    for _, name in ipairs(reference.blocks()) do
      assert.is_function(Builder[name], name)
      -- Two say more than the op that they stand for.
      assert.equal(name == "pool" or name == "length", Builder.ops()[name] ~= nil, name)
    end
  end)

  it("is printed by moonrank help ops", function()
    assert.same({ 0, reference.text(), "" }, { helper.run "help ops" })
    assert.same({ 0, reference.markdown(), "" }, { helper.run "help ops --markdown" })
  end)
end)
