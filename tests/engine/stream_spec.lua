-- Rows as they come are those of a cache, whatever the blocks are (engine/src/data/stream.c,
-- part.c).
local data = require "data_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local C = mr.C

local columns = {
  { name = "r", type = "request_key", side = "request" },
  { name = "user", type = "id", side = "request" },
  { name = "age", type = "number", side = "request", log1p = true, normalize = true },
  { name = "c.ad", source = "ads", type = "id", sequence = "c", side = "request", table = "ad" },
  { name = "c.gap", source = "gaps", type = "number", sequence = "c", side = "request" },
  { name = "ad", type = "id", table = "ad" },
  { name = "kind", type = "id", values = { "x", "y" }, unseen = "zero" },
  { name = "tags", type = "ids", separator = "|" },
  { name = "price", type = "bucket", buckets = 3, missing = "own" },
  sequences = { { name = "c", side = "request", max = 3, keep = "last" } },
}
local names = { "r", "user", "age", "ads", "gaps", "ad", "kind", "tags", "price" }

-- Rows of requests of one to six samples, as lists of cells; of some cells that are wrong.
local function make_rows(seed, requests, bad)
  local random, rows = helper.random(seed), {}
  local function list(n, draw)
    local values = {}
    for i = 1, n do values[i] = draw() end
    return table.concat(values, " ")
  end
  for request = 1, requests do
    local n = random(6) - 1
    local shared = { "q" .. request, "u" .. random(9), tostring(random(70)),
      list(n, function() return "a" .. random(20) end),
      list(n, function() return random(100) end) }
    for _ = 1, random(6) do
      local row = { unpack(shared) }
      row[6], row[7] = "a" .. random(20), ({ "x", "y", "z" })[random(3)]
      row[8], row[9] = list(random(3), function() return "t" .. random(9) end):gsub(" ", "|"),
        random(5) == 1 and "" or tostring(random(100))
      if random() < (bad or 0) then row[9] = "much" end
      rows[#rows + 1] = row
    end
  end
  return rows
end

local function as_csv(rows, header)
  local lines = { header and table.concat(names, ",") }
  for _, row in ipairs(rows) do
    -- A quoted cell with a newline: lines are more than rows.
    local cells = { unpack(row) }
    cells[2] = '"' .. cells[2] .. '\n"'
    lines[#lines + 1] = table.concat(cells, ",")
  end
  return table.concat(lines, "\n") .. "\n"
end

-- JSON lines whose escaped newlines the parser writes over.
local function as_json(rows)
  local lines = {}
  for i, row in ipairs(rows) do
    local members = {}
    for c, name in ipairs(names) do members[c] = ('"%s":"%s"'):format(name, row[c]) end
    members[2] = members[2]:gsub('"$', '\\n"')
    lines[i] = "{" .. table.concat(members, ",") .. "}"
  end
  return table.concat(lines, "\n") .. "\n"
end

-- A schema that is fitted to some rows.
local function fitted_schema(dir)
  local schema = data.schema(columns)
  local path = helper.write(dir .. "/fit.csv", as_csv(make_rows(99, 40), true))
  assert(data.build(schema, path, dir .. "/fit", { fit = true }))
  assert(data.open(schema, dir .. "/fit"))
  return schema
end

-- Rows without their numbers, with those of their requests counted through.
local function add_rows(all, rows, first_request)
  local last
  for _, row in ipairs(rows) do
    if row.request ~= last then first_request = first_request + 1 end
    last = row.request
    row.row, row.request = nil, first_request
    all[#all + 1] = row
  end
  return first_request
end

local function stream_rows(schema, paths, options)
  local all, bad, requests, parts, at = {}, {}, 0, 0, 0
  local ok, message = data.stream(schema, paths, options, function(part)
    parts = parts + 1
    local rows = assert(data.rows_of(schema, columns, part))
    requests = add_rows(all, rows, requests)
    local _, list = data.bad_rows_of(part)
    for _, row in ipairs(list) do bad[#bad + 1] = at + row end
    at = at + tonumber(C.mr_dataset_samples(part)) + #list
  end)
  if not ok then return nil, message end
  return all, bad, parts
end

describe("a stream", function()
  local dir = helper.temp_dir()
  local schema = fitted_schema(dir)

  for name, format in pairs {
    csv = { write = function(rows) return as_csv(rows, true) end },
    jsonl = { write = as_json, layout = "json" },
  } do
    it("has the rows and whole requests of a cache, in blocks of any size: " .. name, function()
      for round = 1, 8 do
        local paths = {}
        for i = 1, 2 do
          paths[i] = helper.write(("%s/%d.%s"):format(dir, i, name),
            format.write(make_rows(10 * round + i, 30, round % 2 * 0.1)))
        end
        local options = { layout = format.layout, bad_rows = 100 }
        os.remove(dir .. "/cache")
        assert(data.build(schema, paths, dir .. "/cache", options))
        local expected = {}
        add_rows(expected, assert(data.rows(schema, columns, dir .. "/cache")), 0)
        local _, expected_bad = data.bad_rows(schema, dir .. "/cache")
        local most = 0
        for _, block in ipairs { 1, 100, 1000, 5000, 0 } do
          options.block = block
          local rows, bad, parts = stream_rows(schema, paths, options)
          assert.same(expected, rows)
          assert.same(expected_bad, bad)
          most = math.max(most, parts)
        end
        assert(most > 10, most) -- some blocks are shorter than a request
      end
    end)
  end

  it("knows what keys are, also when they are more than it keeps", function()
    local many = { { name = "ad", type = "id" },
      { name = "tags", type = "ids", separator = "|", table = "ad" } }
    local random, lines = helper.random(12), { "ad,tags" }
    for i = 1, 9000 do -- 320,000 keys and some that come all the time
      local tags = { "common" }
      for k = 2, 36 do tags[k] = ("%d"):format(36 * i + k) end
      lines[i + 1] = random(100) .. "," .. table.concat(tags, "|")
    end
    local path = helper.write(dir .. "/many.csv", table.concat(lines, "\n") .. "\n")
    local plain, seen, wrong = data.schema(many), 0, 0
    local common = data.key(plain, "ad", "common")
    assert(data.stream(plain, path, { block = 100000 }, function(part)
      for _, row in ipairs(assert(data.rows_of(plain, many, part))) do
        seen = seen + 1
        local ad, tags = lines[seen + 1]:match "^(%d+),(.*)$"
        local first, second = tags:match "^([^|]*)|([^|]*)"
        local got_first, got_second = row.tags:match "^(%S+) (%S+)"
        local right = first == "common" and got_first == common
          and row.ad == data.key(plain, "ad", ad)
          and got_second == data.key(plain, "ad", second)
        wrong = wrong + (right and 0 or 1)
      end
    end))
    assert.same({ 9000, 0 }, { seen, wrong })
  end)

  it("says what is wrong where it is, whatever was read twice before it", function()
    local rows = make_rows(5, 30)
    rows[#rows][9] = "much"
    local path = helper.write(dir .. "/bad.csv", as_csv(rows, true))
    local _, expected = data.build(schema, path, dir .. "/none", {})
    assert.truthy(expected:find('"much" is not a number', 1, true))
    for _, block in ipairs { 1, 100, 1000, 0 } do
      assert.same({ nil, expected }, { stream_rows(schema, path, { block = block }) })
    end
    rows[#rows - 20][9], rows[#rows - 1][9] = "x", "y"
    helper.write(path, as_csv(rows, true))
    _, expected = data.build(schema, path, dir .. "/none", { bad_rows = 2 })
    assert.truthy(expected:find('"much".*; at most 2 wrong rows are left out$'))
    for _, block in ipairs { 1, 100, 1000, 0 } do
      assert.same({ nil, expected },
        { stream_rows(schema, path, { block = block, bad_rows = 2 }) })
    end
    -- A value that changes within a request.
    rows = make_rows(6, 30)
    rows[#rows + 1] = { unpack(rows[#rows]) }
    rows[#rows][2] = "other"
    helper.write(path, as_csv(rows, true))
    _, expected = data.build(schema, path, dir .. "/none", {})
    assert.truthy(expected:find('"user"', 1, true))
    for _, block in ipairs { 1, 100, 1000, 0 } do
      assert.same({ nil, expected }, { stream_rows(schema, path, { block = block }) })
    end
  end)

  it("may end without rows, and says so as a cache does", function()
    local path = helper.write(dir .. "/bare.csv", table.concat(names, ",") .. "\n")
    helper.fails_with(path .. ": a header but no rows", stream_rows(schema, path, {}))
    helper.fails_with(path .. " and 1 more: headers but no rows",
      stream_rows(schema, { path, path }, {}))
    helper.write(path, table.concat(names, ",") .. "\n1,2\n")
    helper.fails_with(path .. ": all 1 rows are wrong", stream_rows(schema, path, { bad_rows = 9 }))
    helper.fails_with(dir .. "/none.csv: No such file or directory",
      stream_rows(schema, dir .. "/none.csv", {}))
  end)

  it("refuses a request longer than a row may be, rather than to hold it", function()
    local row = make_rows(7, 1)[1]
    local rows = {}
    for i = 1, 50 do rows[i] = row end
    local path = helper.write(dir .. "/long.csv", as_csv(rows, true))
    assert(stream_rows(schema, path, { block = 100, row = 10000 }))
    helper.fails_with(path .. ":2: the rows of a request are longer than 300 bytes",
      stream_rows(schema, path, { block = 100, row = 300 }))
  end)

  it("needs what caches need, and may be closed at any time", function()
    helper.fails_with("the schema has no columns", data.stream(data.new_schema(), "x", {}))
    helper.fails_with("there are no files to read", data.stream(schema, {}, {}))
    helper.fails_with("a selection of rows needs a column cache", data.stream(schema, "x",
      { selection = { by = C.MR_BY_CHANCE, to = 0.5 } }))
    helper.fails_with('column "age" is not fitted: build the training data first',
      data.stream(data.schema(columns), "x", {}))
    local path = helper.write(dir .. "/open.csv", as_csv(make_rows(8, 300), true))
    local before = data.live_blocks()
    for n = 0, 3 do
      local out, part = mr.new "mr_stream *[1]", mr.new "mr_dataset *[1]"
      local format = mr.new("mr_text_format", { delimiter = 44, quotes = 1, block_bytes = 500 })
      local list = mr.new("const char *[1]", { path })
      mr.check(C.mr_stream_open(out, schema, format, list, 1))
      for _ = 1, n do
        mr.check(C.mr_stream_next(out[0], 1000, part, mr.new "mr_build_progress"))
        C.mr_dataset_close(part[0])
      end
      C.mr_stream_close(out[0])
    end
    assert.equal(before, data.live_blocks())
    local out = mr.new "mr_stream *[1]"
    mr.check(C.mr_stream_open(out, schema, mr.new("mr_text_format", { delimiter = 44 }),
      mr.new("const char *[1]", { path }), 1))
    helper.fails_with("milliseconds is -1, expected 0 or more",
      mr.ok(C.mr_stream_next(out[0], -1, mr.new "mr_dataset *[1]", mr.new "mr_build_progress")))
    C.mr_stream_close(out[0])
  end)
end)
