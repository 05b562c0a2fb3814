-- A value of a list in a list of JSON, with the separator of the behaviours in it, was read as the
-- ends of two behaviours: [["a|b"]] as [["a"],["b"]]. Only the inner separator was looked for.
local data = require "data_helper"
local helper = require "helper"

describe("a value of a list in a list of JSON", function()
  it("has neither of the separators in it", function()
    local columns = { sequences = { { name = "past", side = "request", separator = "|" } },
      { name = "past.words", source = "seen", type = "ids", sequence = "past", side = "request",
        separator = ";" } }
    for _, separator in ipairs { ";", "|" } do
      local rows, message = data.parse(columns, ('{"seen":[["c"],["a%sb"]]}\n'):format(separator),
        { layout = "json" })
      helper.fails_with(('FILE:1:17: the value "a%sb" of a list has the separator in it'):format(
        separator), rows, message)
    end
    local rows, schema = assert(data.parse(columns, '{"seen":[["c"],["a,b"]]}\n',
      { layout = "json" }))
    assert.same({ data.bag(schema, "past.words", { "c" }),
      data.bag(schema, "past.words", { "a,b" }) }, rows[1]["past.words"])
  end)
end)
