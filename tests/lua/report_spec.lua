-- lua/moonrank/report_table.lua and lua/moonrank/progress.lua
local Progress = require "moonrank.progress"
local report_table = require "moonrank.report_table"

describe("the table of epochs", function()
  local epochs = report_table.epochs()

  it("stands in columns", function()
    assert.equal("epoch  train logloss  valid logloss       AUC      GAUC  calibration     rows/s"
      .. "  seconds", epochs.heading())
    assert.equal("    2       0.501200       0.487124  0.712346  0.650000       0.9988  1,234,568"
      .. "     12.3", epochs.row { number = 2, train = { logloss = 0.5012 }, valid = {
      logloss = 0.4871236, auc = 0.7123456, gauc = 0.65, calibration = 0.99876 },
      rows_per_second = 1234567.8, seconds = 12.345 })
  end)

  it("shows what there is not as a dash", function()
    assert.equal("    1       0.500000              -         -         -            -        100"
      .. "      0.1", epochs.row { number = 1, train = { logloss = 0.5 }, rows_per_second = 100,
      seconds = 0.1 })
    assert.equal("-", report_table.figure(0 / 0, "%.6f"))
  end)
end)

describe("the table of evaluations", function()
  it("names what was evaluated", function()
    local report = report_table.evaluations()
    assert.equal("                      rows       AUC      GAUC   logloss  calibration  seconds",
      report.heading())
    assert.equal("best possible        1,000  0.700000         -  0.500000       1.0000        -",
      report.row { what = "best possible", figures = { rows = 1000, auc = 0.7, gauc = 0 / 0,
      logloss = 0.5, calibration = 1 } })
  end)
end)

describe("progress", function()
  local function recorder()
    local text = {}
    return { write = function(_, ...) text[#text + 1] = table.concat { ... } end,
      flush = function() end, text = function() return table.concat(text) end }
  end

  it("rewrites one line on a terminal", function()
    local stream = recorder()
    local progress = Progress.new { stream = stream, terminal = true }
    progress:update("epoch 1", { rows = 250000, total = 1000000, rows_per_second = 50000 })
    assert.equal("\repoch 1: 250,000 of 1,000,000 rows, 50,000 rows/s, 15 s left\27[K",
      stream.text())
    progress:clear()
    progress:clear()
    assert.equal(1, select(2, stream.text():gsub("\r\27%[K", "")))
  end)

  it("counts bytes where rows are not known yet", function()
    for expected, p in pairs {
      ["x: 12 of 1,500 MB, 120 MB/s, 12 s left"] =
        { bytes = 12e6, total_bytes = 1500e6, bytes_per_second = 120e6 },
      ["x: 0 of 10 MB"] = { bytes = 0, total_bytes = 10e6, bytes_per_second = 0 },
      ["x: 10 of 10 MB, now writing the cache"] =
        { bytes = 10e6, total_bytes = 10e6, bytes_per_second = 1e6 },
      ["x: 12 MB, 3 MB/s"] = { bytes = 12e6, total_bytes = 0, bytes_per_second = 3e6 },
    } do
      local stream = recorder()
      Progress.new({ stream = stream, terminal = true }):update("x", p)
      assert.equal("\r" .. expected .. "\27[K", stream.text())
    end
  end)

  it("prints nothing elsewhere until ten seconds have gone by", function()
    local stream = recorder()
    local progress = Progress.new { stream = stream, terminal = false }
    progress:update("epoch 1", { rows = 1, total = 2, rows_per_second = 1 })
    assert.equal("", stream.text())
    progress.last_time = progress.last_time - 10
    progress:update("epoch 1", { rows = 1, total = 3 })
    assert.equal("epoch 1: 1 of 3 rows\n", stream.text())
    progress:clear()
    assert.equal("epoch 1: 1 of 3 rows\n", stream.text())
  end)

  it("says nothing when told to be quiet", function()
    local stream = recorder()
    Progress.new({ stream = stream, terminal = true, quiet = true }):update("x",
      { rows = 1, total = 2 })
    assert.equal("", stream.text())
  end)

  it("writes numbers and times for people", function()
    assert.equal("0", Progress.grouped(0))
    assert.equal("999", Progress.grouped(999))
    assert.equal("1,000", Progress.grouped(1000))
    assert.equal("-12,345", Progress.grouped(-12345))
    assert.equal("8 s", Progress.duration(8.4))
    assert.equal("2 min 05 s", Progress.duration(125))
    assert.equal("1 h 03 min", Progress.duration(3800))
  end)
end)

describe("the line of values that a model does not know", function()
  local unseen = require "moonrank.report_table".unseen

  it("names every field in their order, and of many the ten with the largest shares", function()
    local list, parts = {}, {}
    assert.is_nil(unseen(nil))
    assert.is_nil(unseen {})
    for i = 1, 10 do
      list[i] = { field = "f" .. i, unseen = i, values = 2000 }
      parts[i] = ("f%d %.2f %% of 2,000 values"):format(i, i / 20)
    end
    assert.equal(table.concat(parts, ", "), unseen(list))
    for i = 1, 5 do parts[i], parts[11 - i] = parts[11 - i], parts[i] end
    list[11] = { field = "f11", unseen = 0.5, values = 2000 }
    assert.equal(table.concat(parts, ", ") .. ", less in 1 other", unseen(list))
    list[12] = { field = "g", unseen = 1, values = 2000 } -- as f1, and behind it by its name
    assert.equal(table.concat(parts, ", ") .. ", less in 2 others", unseen(list))
    assert.equal("f1", list[1].field) -- the figures keep their order
  end)
end)
