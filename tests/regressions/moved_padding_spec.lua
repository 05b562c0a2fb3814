-- A row of a request whose padding stood at another behaviour than in the request's first row, and
-- so left other values of the columns beside, was taken for the same inside a block of text; across
-- a border it was refused with one text twice: 'column "gaps" is "1 2 3", but "1 2 3" in ...'.
local data = require "data_helper"
local helper = require "helper"

describe("padding that moves within a request", function()
  local columns = { { name = "r", type = "request_key", side = "request" },
    { name = "s.ad", source = "ads", type = "id", side = "request", sequence = "s" },
    { name = "s.kind", source = "kinds", type = "id", side = "request", sequence = "s" },
    { name = "s.gap", source = "gaps", type = "number", side = "request", sequence = "s" },
    sequences = { { name = "s", side = "request", padding = "0" } } }
  local HEADER = "r,gaps,ads,kinds\n"

  local function refused(message, first, second)
    for _, block in ipairs { 0, 1 } do
      helper.fails_with(message, data.parse(columns, HEADER .. first .. "\n" .. second .. "\n",
        { block = block }))
    end
  end

  it("is refused where it leaves other values beside, at the cell that says so", function()
    refused('FILE:3:9: column "ads" is "a 0 a", but "0 a a" in an earlier row of the same request',
      "1,1 2 3,0 a a,0 k k", "1,1 2 3,a 0 a,k 0 k")
    refused('FILE:3:15: column "kinds" is "k 0 k", but "0 k k" in an earlier row of the same '
      .. "request", "1,1 2 3,0 a a,0 k k", "1,1 2 3,0 a a,k 0 k")
  end)

  it("is refused where a value that was not looked at is none", function()
    refused('FILE:3:3: "x" is not a number (column "gaps", behaviour 1)', "1,x 2 3,0 a a,0 k k",
      "1,x 2 3,a 0 a,k 0 k")
  end)

  it("is taken where the same values are left", function()
    for _, block in ipairs { 0, 1 } do
      local rows = assert(data.parse(columns, HEADER
        .. "1,1 2 3,0 a a,0 k k\n1,2 9 3,a 0 a,k 0 k\n1,2 3,a a,k k\n", { block = block }))
      assert.equal(3, #rows)
      for i = 1, 3 do assert.same({ 2, 3 }, rows[i]["s.gap"]) end
    end
  end)
end)
