-- The width of a concat of thousands of wide inputs overflowed and became 0 or negative.
local g = require "graph_helper"
local helper = require "helper"

describe("a concat that is too wide", function()
  it("is refused, however wide it is", function()
    local b = g.builder(g.schema { { name = "x", type = "vector", width = 2 ^ 20 } })
    local x, inputs = b:column { column = "x" }, {}
    for n, width in pairs { [2] = 2 ^ 21, [2047] = 2047 * 2 ^ 20, [2048] = 2 ^ 31 - 1,
      [4096] = 2 ^ 31 - 1, [4097] = 2 ^ 31 - 1 } do
      for i = 1, math.max(n, #inputs) do inputs[i] = i <= n and x or nil end
      helper.raises(("concat: the output is %d wide, at most 1048576 is allowed"):format(width),
        b.concat, b, inputs)
    end
  end)
end)
