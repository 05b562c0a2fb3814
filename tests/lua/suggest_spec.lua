local suggest = require "moonrank.suggest"

describe("suggest", function()
  it("counts edits, a swap of neighbours as one", function()
    assert.equal(0, suggest.distance("batch", "batch"))
    assert.equal(1, suggest.distance("bacth", "batch"))
    assert.equal(1, suggest.distance("bach", "batch"))
    assert.equal(3, suggest.distance("kitten", "sitting"))
    assert.equal(5, suggest.distance("", "batch"))
  end)

  it("finds the nearest name", function()
    local names = { "batch", "epochs", "seed", "threads" }
    assert.equal("batch", suggest.nearest("bacth", names))
    assert.equal("epochs", suggest.nearest("epoch", names))
    assert.equal("seed", suggest.nearest("SEED", names))
  end)

  it("prefers silence to a wild guess", function()
    assert.is_nil(suggest.nearest("x", { "lr", "eps" }))
    assert.is_nil(suggest.nearest("ab", { "cd" }))
    assert.is_nil(suggest.nearest("monitor", { "batch" }))
  end)

  it("takes the first in alphabetical order among equally near ones", function()
    assert.equal("beta1", suggest.nearest("beta", { "beta2", "beta1" }))
  end)

  it("words the end of a message", function()
    assert.equal('; did you mean "batch"?', suggest.phrase("bacth", { "batch" }))
    assert.equal("", suggest.phrase("zzz", { "batch" }))
  end)
end)
