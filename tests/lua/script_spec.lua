local helper = require "helper"
local script = require "moonrank.script"

local function load_text(text)
  local dir = helper.temp_dir()
  helper.write(dir .. "/m.lua", text)
  local loaded, message = script.load("m.lua", dir)
  return loaded, message and message:gsub(dir:gsub("%p", "%%%0") .. "/", "")
end

local function fails(message, text)
  local loaded, got = load_text(text)
  assert.is_nil(loaded)
  assert.equal(message, got)
end

describe("a model script", function()
  it("is found by name or path", function()
    local loaded = assert(script.load "lr")
    assert.equal("lr", loaded.name)
    assert.equal("models/lr.lua", loaded.path)
    assert.equal(helper.read "models/lr.lua", loaded.text)
    assert.equal("m", assert(load_text "return { build = function() end }").name)
  end)

  it("that does not exist is named, with the nearest", function()
    helper.fails_with('no model "dnnn"; did you mean "dnn"?', script.load "dnnn")
    helper.fails_with(('no model "transformer", expected %s or the path of a .lua file'):format(
      table.concat(script.names(), ", ")), script.load "transformer")
    helper.fails_with("/nowhere.lua: No such file or directory", script.load "/nowhere.lua")
  end)

  it("that is wrong is named with its line", function()
    fails("m.lua:2: '=' expected near 'y'", "\nx y")
    fails("m.lua:2: attempt to call global 'nothing' (a nil value)", "\nnothing()")
    fails('m.lua:1: global "x" is set; write local x', "x = 1")
    fails("m.lua: returns nothing, expected a table with a function build", "")
    fails("m.lua: returns a number, expected a table with a function build", "return 5")
    fails("m.lua: the table it returns has no function build", "return {}")
    fails("m.lua: options is a number, expected a table",
      "return { options = 5, build = function() end }")
  end)

  it("may not be bytecode", function()
    fails("attempt to load chunk with wrong mode", string.dump(function() end))
  end)
end)

describe("options of a script", function()
  local din = { name = "din", options = { hidden = { 80, 40 }, dropout = 0, activation = "relu",
    softmax = false, sides = { "user", "ad" } } }

  it("stand in place of the defaults", function()
    assert.same({ hidden = { 1 }, dropout = 0.5, activation = "relu", softmax = true,
      sides = {} }, (script.options(din, { hidden = { 1 }, dropout = 0.5, softmax = true,
      sides = {} })))
  end)

  it("of the wrong kind or name are refused", function()
    local function fails_with(message, name, value)
      local options, got, wrong = script.options(din, { [name] = value })
      assert.is_nil(options)
      assert.equal(message, got)
      assert.equal(name, wrong)
    end
    fails_with('unknown option "hiden" of model din; did you mean "hidden"?', "hiden", 5)
    fails_with("hidden is 5, expected a list of numbers", "hidden", 5)
    fails_with('hidden[1] is "a", expected a number', "hidden", { "a" })
    fails_with("hidden[2] is a list, expected a number", "hidden", { 8, { 4 }, "b" })
    fails_with("hidden is a map, expected a list of numbers", "hidden", { a = 8 })
    fails_with('dropout is "x", expected a number', "dropout", "x")
    fails_with("softmax is 1, expected true or false", "softmax", 1)
    fails_with("activation is a map, expected text", "activation", { relu = 1 })
    fails_with("sides[1] is 1, expected text", "sides", { 1 })
  end)
end)
