-- Fixed: gradcheck gave weights to all values that it had drawn for a field with weights and a
-- `max`, those that the batch does not keep, too, and wrote them behind the end of its memory.
local helper = require "helper"

describe("gradcheck", function()
  it("weighs the values that a field's max keeps", function()
    local dir = helper.temp_dir()
    helper.write(dir .. "/fields.yaml", "data: {train: t.csv}\nlabel: click\nfields:\n"
      .. "  - {name: a, side: ad, type: ids, weighted: true, max: 1}\n"
      .. "  - {name: b, side: ad, type: ids, weighted: true, max: 1}\n"
      .. "  - {name: c, side: ad, type: ids, weighted: true, max: 2, pool: sum}\n")
    local status, _, err = helper.run("gradcheck fm --fields fields.yaml", dir)
    assert.same({ 0, "" }, { status, err })
  end)
end)
