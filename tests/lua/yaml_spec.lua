local helper = require "helper"
local yaml = require "moonrank.yaml"

local function read(text) return assert(yaml.parse(text, "x.yaml")) end

local function value_of(text) return yaml.plain(read("v: " .. text)).v end

local function fails(message, text) helper.fails_with(message, yaml.parse(text, "x.yaml")) end

describe("yaml scalars", function()
  it("are typed by the core schema", function()
    assert.equal(true, value_of "true")
    assert.equal(false, value_of "FALSE")
    assert.equal(12, value_of "12")
    assert.equal(-3, value_of "-3")
    assert.equal(5, value_of "+5")
    assert.equal(0.001, value_of "1e-3")
    assert.equal(0.5, value_of ".5")
    assert.equal(31, value_of "0x1F")
    assert.equal(15, value_of "0o17")
    assert.equal(-math.huge, value_of "-.inf")
    assert.is_nil(value_of "~")
    assert.is_nil(value_of "")
  end)

  it("hold no surprises of YAML 1.1", function()
    for _, text in ipairs { "no", "off", "yes", "y", "1_000", "12:30:45", "0b11", "1e", ".", "e5",
      "2024-01-01", "0x", "+", "1.2.3", "nan", "inf" } do
      assert.equal(text, value_of(text))
    end
    assert.equal(10, value_of "010")
  end)

  it("are text when quoted", function()
    assert.equal("5", value_of "'5'")
    assert.equal("true", value_of '"true"')
    assert.equal("", value_of '""')
  end)
end)

describe("yaml nodes", function()
  it("know where they stand", function()
    local root = read "a: 1\nlist:\n  - x\n  - {b: c}\n"
    local list = root.index.list
    assert.equal("x.yaml:2:1", yaml.where(list.key_node))
    assert.equal("x.yaml:3:5", yaml.where(list.node.items[1]))
    assert.equal("x.yaml:4:9", yaml.where(list.node.items[2].index.b.node))
    assert.equal("x.yaml:1:4", yaml.where(root.index.a.node))
  end)

  it("from the command line name the option", function()
    local node = assert(yaml.parse("[1, 2]", "--set", "--set a=[1, 2]"))
    assert.equal("--set a=[1, 2]", yaml.where(node.items[2]))
  end)

  it("of an empty text are null", function()
    assert.equal("null", read("").type)
    assert.equal("null", read("# nothing\n").type)
  end)
end)

describe("yaml refuses", function()
  it("anchors, aliases and tags", function()
    fails("x.yaml:1:4: anchors (&x) are not allowed", "a: &x 3")
    fails("x.yaml:2:4: aliases (*x) are not allowed; write the value out", "b: 1\na: *x")
    fails("x.yaml:1:4: tags (tag:yaml.org,2002:int) are not allowed", "a: !!int 3")
    fails("x.yaml:1:4: tags (!lua) are not allowed", "a: !lua {}")
    fails("x.yaml:1:1: anchors (&a) are not allowed", "&a [*a]")
  end)

  it("a billion laughs, and merged keys, at their first anchor or alias", function()
    local lines = { "a: &a [ha, ha, ha, ha, ha, ha, ha, ha, ha]" }
    for i = 1, 9 do
      lines[i + 1] = ("%s: &%s [%s]"):format(("bcdefghij"):sub(i, i), ("bcdefghij"):sub(i, i),
        ("*" .. ("abcdefghi"):sub(i, i) .. ", "):rep(9))
    end
    fails("x.yaml:1:4: anchors (&a) are not allowed", table.concat(lines, "\n"))
    fails("x.yaml:1:4: anchors (&a) are not allowed", "a: &a {b: 1}\nc: {<<: *a}")
    fails("x.yaml:1:8: aliases (*a) are not allowed; write the value out", "c: {x: *a}")
  end)

  it("a key given twice", function()
    fails('x.yaml:3:2: key "a" is given twice, first in line 2', "a: 1\nb: {a: 1,\n a: 2}")
  end)

  it("keys that are not text", function()
    fails("x.yaml:1:3: a key must be text, not a list", "? [a]\n: b")
  end)

  it("a second document", function()
    fails("x.yaml:2:1: a second document begins; expected one", "a: 1\n---\nb: 2")
  end)

  it("broken syntax, with its place", function()
    fails("x.yaml:2:2: did not find expected ',' or ']'", "a: [1\nb: 2")
    fails("x.yaml:1:5: mapping values are not allowed in this context", "a: b: c")
    fails("x.yaml:2:1: found a tab character that violates indentation", "a: \tb\n\tc: d")
    fails("x.yaml:1:5: text that begins with * or & needs quotes", "a: *.csv")
    fails("x.yaml:2:4: invalid leading UTF-8 octet", "a: 1\nb: \255")
    fails("x.yaml:1:2: control characters are not allowed", "a\1: 1")
  end)

  it("what is too deep, too long or too large", function()
    fails("x.yaml:1:33: nested deeper than 32 levels", ("["):rep(40))
    fails("x.yaml:100000:3: more than 100000 values", ("- a\n"):rep(100001))
    fails("x.yaml:1:1048577: larger than 1048576 bytes", ("#"):rep(1048577))
    fails("x.yaml:524289:1: larger than 1048576 bytes", ("#\n"):rep(600000))
    helper.fails_with("--set a=[...: larger than 1048576 bytes",
      yaml.parse(("#"):rep(1048577), "--set", "--set a=[..."))
  end)

  it("a hundred thousand open brackets without ado", function()
    fails("x.yaml:1:33: nested deeper than 32 levels", ("["):rep(100000))
    fails("x.yaml:1:80: nested deeper than 32 levels", "a: " .. ("[{a: "):rep(2000))
  end)

  it("files that cannot be read", function()
    helper.fails_with("/nowhere.yaml: No such file or directory", yaml.read "/nowhere.yaml")
    local dir = helper.temp_dir()
    helper.fails_with(dir .. ": is a folder", yaml.read(dir))
  end)
end)

describe("yaml.write", function()
  it("gives text that reads back as the same value", function()
    local value = { a = { b = { 1, 2.5, "x y" }, c = true }, d = "no: 1", e = "5", f = "true",
      g = 1e-08, h = 1 / 3, i = "", j = "line\nbreak\t\"quoted\"\\", k = -0.1, l = 123456789012,
      m = { { name = "x", of = { 1, 2 } }, { name = "y" } }, n = "~", ["odd key:"] = "é" }
    assert.same(value, yaml.plain(read(yaml.write(value))))
  end)

  it("sorts keys and is the same every time", function()
    assert.equal("a: 1\nb:\n  c: [x, y]\n  d: {}\ne:\n  - {f: 1}\n",
      yaml.write { b = { d = {}, c = { "x", "y" } }, a = 1, e = { { f = 1 } } })
  end)

  it("keeps every bit of a number", function()
    local random = helper.random(1)
    for _ = 1, 200 do
      local number = (random() - 0.5) * 10 ^ (random(40) - 20)
      assert.equal(number, yaml.plain(read(yaml.write { v = number })).v)
    end
  end)
end)
