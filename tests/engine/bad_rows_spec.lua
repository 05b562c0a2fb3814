-- Rows that are wrong are left out where that is asked for and counted, the rest is as without
-- them (engine/src/data/row_lines.c, dataset_build.c).
local data = require "data_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"

local columns = { { name = "click", type = "label" }, { name = "user", type = "id" },
  { name = "age", type = "number" }, { name = "s.ad", source = "ads", type = "id", sequence = "s" },
  { name = "s.gap", source = "gaps", type = "number", sequence = "s" },
  sequences = { { name = "s" } } }
local header = "click,user,age,ads,gaps\n"

-- Build a cache of a text, and one of its good rows alone, and compare.
local function check(text, good, counts, list, options)
  local dir, schema = helper.temp_dir(), data.schema(columns)
  options.bad_rows = options.bad_rows or 100
  assert(data.build(schema, helper.write(dir .. "/all.csv", text), dir .. "/all", options))
  local found, places = data.bad_rows(schema, dir .. "/all")
  assert.same({ counts, list }, { found, places })
  assert(data.build(schema, helper.write(dir .. "/good.csv", good), dir .. "/good"))
  assert.same(data.rows(schema, columns, dir .. "/good"),
    data.rows(schema, columns, dir .. "/all"))
  assert.same({ { 0, 0, 0, 0, 0, 0 }, {} }, { data.bad_rows(schema, dir .. "/good") })
end

describe("wrong rows", function()
  local bad = { "1,u", "2,u,1,,", '"x",u,1,,', "1,u,old,,", "1,u,1e39,,", "0,u,inf,a,1",
    "1,u,3,a b,1", "1,u,3,a b,1 x", "1" }
  local reasons = { 1, 2, 2, 3, 3, 3, 4, 3, 1 }

  it("are left out and counted, in blocks of any size and any number of threads", function()
    local random, pool = helper.random(3), data.pool(3)
    for round = 1, 12 do
      local lines, good, counts, list, n_empty = {}, {}, { 0, 0, 0, 0, 0, 0 }, {}, 0
      for i = 1, 200 do
        local which = random(32)
        if which > 30 then -- an empty line, which is no row
          lines[i], n_empty = which == 31 and "" or "\r", n_empty + 1
        elseif bad[which] then
          lines[i], list[#list + 1] = bad[which], i - 1 - n_empty
          counts[reasons[which]] = counts[reasons[which]] + 1
        else
          lines[i] = ('%d,"u,%d",%d,a%d b,1 %d'):format(i % 2, random(9), i, random(9), i)
          good[#good + 1] = lines[i]
        end
      end
      check(header .. table.concat(lines, "\n"), header .. table.concat(good, "\n"), counts, list,
        { block = ({ 0, 1, 50, 333 })[round % 4 + 1], pool = round % 3 == 0 and pool or nil })
    end
  end)

  it("do not shift the lines of what still stops", function()
    local dir, schema = helper.temp_dir(), data.schema(columns)
    for block = 0, 60, 20 do
      helper.fails_with(dir .. "/f.csv:4:3: a quote inside a cell that does not start with one",
        data.build(schema, helper.write(dir .. "/f.csv", header .. "1,u\n1,u,1,,\n"
          .. '1,u"v,1,,\n'), dir .. "/cache", { bad_rows = 5, block = block }))
    end
  end)

  it("are an error again when there are more than allowed", function()
    local dir, schema = helper.temp_dir(), data.schema(columns)
    local path = helper.write(dir .. "/f.csv", header .. "1,u\n1,u,1,,\n1,u,old,,\n9,u,1,,\n")
    local function build(n, block)
      return data.build(schema, path, dir .. "/cache", { bad_rows = n, block = block })
    end
    helper.fails_with(path .. ":2: 2 cells, expected 5 (as in the header)", build(0))
    for block = 0, 40, 10 do
      helper.fails_with(path .. ':4:5: "old" is not a number (column "age"); at most 1 wrong rows '
        .. "are left out", build(1, block))
      helper.fails_with(path .. ':5:1: label "9" in column "click", expected 0 or 1; at most 2 '
        .. "wrong rows are left out", build(2, block))
    end
    assert(build(3))
    helper.write(path, header .. "1,u\n")
    helper.fails_with(path .. ": all 1 rows are wrong", build(3))
    helper.fails_with("bad_rows is -1, expected at least 0", build(-1))
  end)

  it("of requests leave the others of their request", function()
    local keyed = { { name = "r", type = "request_key", side = "request" },
      { name = "user", type = "id", side = "request" }, { name = "n", type = "number" } }
    local dir, schema = helper.temp_dir(), data.schema(keyed)
    local path = helper.write(dir .. "/f.csv",
      "r,user,n\n1,a,x\n1,b,1\n1,b,2\n1\n1,b,3\n2,c,4\n2,d,y\n")
    for block = 0, 20 do
      assert(data.build(schema, path, dir .. "/cache", { bad_rows = 9, block = block }))
      local rows = assert(data.rows(schema, keyed, dir .. "/cache"))
      assert.same({ 1, 2, 3, 4 }, data.column(rows, "n"))
      assert.same({ 0, 0, 0, 1 }, data.column(rows, "request"))
      assert.equal(data.key(schema, "user", "b"), rows[1].user)
      os.remove(dir .. "/cache")
    end
    helper.write(path, "r,user,n\n1,a,x\n1,b,1\n1,c,2\n")
    for block = 0, 20 do
      helper.fails_with(path .. ':4:3: column "user" is "c", but "b" in an earlier row of the same '
        .. "request", data.build(schema, path, dir .. "/cache", { bad_rows = 9, block = block }))
    end
  end)

  it("do not join requests between which a split leaves rows out", function()
    local keyed = { { name = "r", type = "request_key", side = "request" },
      { name = "n", type = "number" }, { name = "t", type = "time" } }
    local dir, schema, random = helper.temp_dir(), data.schema(keyed), helper.random(5)
    local early = { by = mr.C.MR_BY_TIME, column = "t", from = -1, to = 1 }
    local n_requests = 0
    for _ = 1, 40 do
      -- A slow reader beside the file: a run of rows of one key is of the time of its first row.
      local lines, numbers, requests = { "r,n,t\n" }, {}, {}
      local last_key, kept, in_part, after_gap, request = nil, nil, true, false, -1
      for i = 1, 60 do
        local key, time, kind = random(2), random(2) - 1, random(4)
        if kind == 1 then
          lines[#lines + 1] = key .. "\n" -- of too few cells: nobody's
        else
          lines[#lines + 1] = ("%d,%s,%d\n"):format(key, kind == 2 and "x" or i, time)
          if key ~= last_key then in_part = time < 1 end
          last_key = key
          after_gap = after_gap or not in_part
          if in_part and kind > 2 then
            if key ~= kept or after_gap then request = request + 1 end
            kept, after_gap = key, false
            numbers[#numbers + 1], requests[#requests + 1] = i, request
          end
        end
      end
      local path = helper.write(dir .. "/f.csv", table.concat(lines))
      for block = 0, 24, 4 do
        assert(data.build(schema, path, dir .. "/cache",
          { bad_rows = 100, block = block, selection = early }))
        local rows = assert(data.rows(schema, keyed, dir .. "/cache"))
        assert.same(numbers, data.column(rows, "n"))
        assert.same(requests, data.column(rows, "request"))
        os.remove(dir .. "/cache")
      end
      n_requests = n_requests + request
    end
    assert(n_requests > 200)
  end)

  it("of pairs are left out too", function()
    local pairs_of = { { name = "y", source = "label", type = "label" },
      { name = "a", source = "features", type = "ids" },
      { name = "n", source = "2", type = "number" } }
    local dir, schema = helper.temp_dir(), data.schema(pairs_of)
    local path = helper.write(dir .. "/f.svm", "1 1:1\n\n0 1:2\n3\n-1 2:1\n1 5\n1:1\n\n")
    for block = 0, 12, 3 do
      assert(data.build(schema, path, dir .. "/cache",
        { layout = "libsvm", bad_rows = 9, block = block }))
      local rows = assert(data.rows(schema, pairs_of, dir .. "/cache"))
      assert.same({ 1, 0 }, data.column(rows, "y"))
      assert.same({ { 0, 1, 0, 0, 3, 0 }, { 1, 2, 4, 5 } },
        { data.bad_rows(schema, dir .. "/cache") })
      os.remove(dir .. "/cache")
    end
  end)

  it("leave nothing behind where memory runs out", function()
    local dir = helper.temp_dir()
    local path = helper.write(dir .. "/f.csv", header .. "1,u\n1,u,1,,\n1,u,old,,\n0,v,1,a,1\n")
    assert.is_true(data.read_without_memory(columns, path, dir .. "/cache",
      { bad_rows = 9, block = 30 }) > 50)
    assert.equal(6, tonumber(mr.C.MR_BAD_REASONS))
  end)
end)
