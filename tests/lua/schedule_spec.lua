-- The factor on the learning rate, against worked values.
local schedule = require "moonrank.schedule"

local function factors(kind, warm_up, steps)
  local result = {}
  for i, step in ipairs(steps) do result[i] = schedule.factor(kind, warm_up, step) end
  return result
end

local function near(expected, actual)
  for i, want in ipairs(expected) do
    assert(math.abs(want - actual[i]) < 1e-12, ("value %d is %.17g, expected %.17g"):format(i,
      actual[i], want))
  end
end

describe("a schedule", function()
  it("is constant by default", function() near({ 1, 1 }, factors(nil, nil, { 1, 1000 })) end)

  it("goes down in steps", function()
    near({ 1, 1, 0.5, 0.5, 0.25 },
      factors({ step = { every = 10, factor = 0.5 } }, nil, { 1, 10, 11, 20, 21 }))
  end)

  it("follows half a cosine and stays at its end", function()
    near({ 1, 0.5 * (1 + math.cos(math.pi / 4)), 0.5, 0, 0 },
      factors({ cosine = { steps = 4 } }, nil, { 1, 2, 3, 5, 50 }))
    near({ 1, 0.55, 0.1 }, factors({ cosine = { steps = 4, least = 0.1 } }, nil, { 1, 3, 9 }))
  end)

  it("warms up in equal parts", function()
    near({ 0.25, 0.5, 0.75, 1, 1 }, factors(nil, 4, { 1, 2, 3, 4, 5 }))
    near({ 0.5, 1, 0.1 }, factors({ step = { every = 2 } }, 2, { 1, 2, 3 }))
  end)

  it("says that it is unknown", function()
    assert.has_error(function() schedule.factor({ linear = {} }, nil, 1) end,
      'no schedule "linear"')
  end)
end)
