local name_ranges = require "moonrank.name_ranges"

describe("a range of names", function()
  it("stands for the names with the numbers in between", function()
    assert.same({ "f9", "f10", "f11" }, name_ranges.expand "f9..f11")
    assert.same({ "C08", "C09", "C10" }, name_ranges.expand "C08..C10")
    assert.same({ "205", "206" }, name_ranges.expand "205..206")
    assert.same({ "x1_7" }, name_ranges.expand "x1_7..x1_7")
    assert.equal(65536, #name_ranges.expand "f0..f65535")
  end)

  it("is not seen in other names", function()
    for _, name in ipairs { "a", "a..b", "f1..", "..f2", "f1...f2x", "" } do
      assert.same({ name }, name_ranges.expand(name))
    end
  end)

  it("has one name before the numbers, which rise and have the same form", function()
    for _, text in ipairs { "a1..b2", "f2..f1", "f0..f65536", "f01..f2", "f1..f02", "f1...f2",
      "f1..f1234567890123456" } do
      local names, message = name_ranges.expand(text)
      assert.is_nil(names)
      assert.equal(('"%s" is no range of names, such as f1..f200, of at most 65536'):format(text),
        message)
    end
  end)

  it("is what three names or more become, and gives them back", function()
    local function compressed(...) return table.concat((name_ranges.compress { ... }), " ") end
    assert.equal("f1..f3 f5 f6 g7", compressed("f1", "f2", "f3", "f5", "f6", "g7"))
    assert.equal("C08..C11 C012", compressed("C08", "C09", "C10", "C11", "C012"))
    assert.equal("f3 f2 f1", compressed("f3", "f2", "f1"))
    assert.equal("a b", compressed("a", "b"))
    assert.equal("", compressed())
    assert.equal("f999999999999998 f999999999999999 f1000000000000000",
      compressed("f999999999999998", "f999999999999999", "f1000000000000000"))
    assert.same({ { 1, 1 }, { 2, 4 }, { 5, 5 } },
      (select(2, name_ranges.compress { "x", "f1", "f2", "f3", "f9" })))
  end)
end)
