-- What is fitted to numbers (engine/src/data/fit.c) through the engine's own calls: whatever
-- threads and blocks there are, in both domains, past wrong rows, in files of pairs, at the ends.
local data = require "data_helper"
local ffi = require "ffi"
local helper = require "helper"
local mr = require "moonrank.ffi"
local C = mr.C

local columns = {
  { name = "click", type = "label" },
  { name = "age", type = "number", side = "request", normalize = true, missing = "mean" },
  { name = "level", source = "age", type = "bucket", side = "request", buckets = 6 },
  { name = "price", type = "bucket", buckets = 30, missing = "own", log1p = true },
  { name = "worth", source = "price", type = "number", normalize = true, clip = { 1, 40 } },
  { name = "rid", type = "request_key", side = "request" },
}

local function make_text(n, seed)
  local random, lines, age = helper.random(seed), { "click,age,price,rid" }, nil
  for i = 1, n do
    if i % 3 == 1 then age = random(6) == 1 and "" or random(70) / 2 end
    local price = random(9) == 1 and "" or ("%.3f"):format(random() ^ 4 * 90)
    lines[i + 1] = ("%d,%s,%s,%d"):format(i % 2, age, price, math.floor((i - 1) / 3))
  end
  return table.concat(lines, "\n") .. "\n"
end

-- A cache that is fitted to its text; its bytes and its schema.
local function fitted(path, options)
  local schema, cache = data.schema(columns), helper.temp_dir() .. "/cache"
  options.fit = true
  assert(data.build(schema, path, cache, options))
  return helper.read(cache), schema, cache
end

describe("what is fitted", function()
  it("is the same byte for byte for any number of threads and any size of block", function()
    local path = helper.write(helper.temp_dir() .. "/text.csv", make_text(2000, 1))
    local first = fitted(path, {})
    for _, threads in ipairs { 1, 3, 8 } do
      local pool = data.pool(threads)
      for _, block in ipairs { 1, 90, 4000 } do
        assert.is_true(fitted(path, { pool = pool, block = block }) == first)
      end
    end
  end)

  it("is of rows, whatever requests they are in", function()
    local text = make_text(600, 2)
    local path = helper.write(helper.temp_dir() .. "/text.csv", text)
    local _, schema, cache = fitted(path, { block = 100 })
    local rows = assert(data.rows(schema, columns, cache))
    local mean, n, ages = 0, 0, {}
    for age in text:gmatch "\n[01],([^,]*),[^,]*," do ages[#ages + 1] = age end
    for _, age in ipairs(ages) do
      if age ~= "" then mean, n = mean + age, n + 1 end
    end
    mean = mean / n
    local squares, counts = 0, {}
    for _, age in ipairs(ages) do
      if age ~= "" then squares = squares + (age - mean) ^ 2 end
    end
    for i, row in ipairs(rows) do
      local expected = ages[i] == "" and 0 or (ages[i] - mean) / math.sqrt(squares / n)
      assert.near(expected, row.age, 1e-5)
      counts[row.level] = (counts[row.level] or 0) + 1
    end
    -- Ages come in steps of a half, so a bucket is off its sixth by what one of them has: some 20
    -- rows; the empty ones, which count as 0, are in the first.
    for bucket = 0, 5 do
      local key = data.key(schema, "level", tostring(bucket))
      assert.near(100, counts[key], 40)
    end
  end)

  it("is the model of what is built without fitting", function()
    local dir = helper.temp_dir()
    local train = helper.write(dir .. "/train.csv", make_text(900, 3))
    local more = helper.write(dir .. "/more.csv", make_text(60, 4))
    local _, schema = fitted(train, {})
    assert(data.build(schema, more, dir .. "/a"))
    local other = data.schema(columns)
    helper.fails_with('column "age" is not fitted: build the training data first',
      data.build(other, more, dir .. "/b"))
    mr.check(C.mr_schema_fit(other, schema))
    assert(data.build(other, more, dir .. "/b"))
    assert.is_true(helper.read(dir .. "/a") == helper.read(dir .. "/b"))
    -- Rows of a text mean the same beside others.
    local both = helper.write(dir .. "/both.csv", helper.read(train)
      .. helper.read(more):match "\n(.*)")
    assert(data.build(other, both, dir .. "/c"))
    local alone = assert(data.rows(schema, columns, dir .. "/a"))
    local beside = assert(data.rows(other, columns, dir .. "/c"))
    for i, row in ipairs(alone) do
      for _, name in ipairs { "age", "level", "price", "worth" } do
        assert.equal(row[name], beside[900 + i][name])
      end
    end
  end)

  it("makes a cache anew that was made by other values", function()
    local dir = helper.temp_dir()
    local more = helper.write(dir .. "/more.csv", make_text(60, 4))
    for seed = 5, 6 do
      local _, schema = fitted(helper.write(dir .. "/train.csv", make_text(300, seed)), {})
      assert(data.build(schema, more, dir .. "/cache"))
      local _, other = fitted(helper.write(dir .. "/train.csv", make_text(300, 9)), {})
      helper.fails_with(dir .. '/cache: column "age": its numbers were fitted to other data',
        data.open(other, dir .. "/cache"))
    end
  end)

  it("is refused where a cache has another number of bounds than can be", function()
    local path = helper.write(helper.temp_dir() .. "/text.csv", make_text(300, 8))
    local whole, _, cache = fitted(path, {})
    local function numbers(n_bounds) -- of "level": what stands in place of mean and deviation first
      return ffi.string(ffi.new("double[3]", 0, 1, n_bounds), 24)
    end
    local at = assert(whole:find(numbers(5), 1, true))
    for _, n_bounds in ipairs { -1, 6, 1e9, 0 / 0 } do
      helper.write(cache, whole:sub(1, at - 1) .. numbers(n_bounds) .. whole:sub(at + 24))
      helper.fails_with(cache .. ': column "level": what was fitted to its numbers is damaged',
        data.open(data.schema(columns), cache))
    end
  end)

  it("is not of rows that are left out", function()
    local dir = helper.temp_dir()
    local bad = "1,5,cheap,x\n0,7,1e39,y\n1,old,3,z\n1,5\n"
    local text = make_text(90, 7)
    local _, of_good, good_cache = fitted(helper.write(dir .. "/text.csv", text .. "1,3,1,end\n"),
      {})
    local good = assert(data.rows(of_good, columns, good_cache))
    for _, block in ipairs { 0, 1, 40 } do
      local _, schema, cache = fitted(helper.write(dir .. "/bad.csv", text .. bad .. "1,3,1,end\n"),
        { bad_rows = 9, block = block })
      assert.same({ { 1, 0, 3, 0, 0, 0 }, { 90, 91, 92, 93 } }, { data.bad_rows(schema, cache) })
      assert.same(good, data.rows(schema, columns, cache))
    end
    helper.fails_with(dir .. '/bad.csv:92:5: "cheap" is not a number (column "price")',
      data.build(data.schema(columns), dir .. "/bad.csv", dir .. "/none", { fit = true }))
  end)

  it("takes numbers of libffm and of libsvm", function()
    for layout, text in pairs { libffm = "1 3:1:2.5 4:4:1\n0 3:1:7 4:5:2\n1 4:4:3\n0 3:1:9\n",
      libsvm = "1 3:2.5 4:1\n0 3:7 4:2\n1 4:3\n0 3:9\n" } do
      local dir = helper.temp_dir()
      local pairs_of = { { name = "label", type = "label" },
        { name = "price", source = "3", type = "bucket", buckets = 3, missing = "own" },
        { name = "age", source = "4", type = "number", missing = "mean" } }
      local schema = data.schema(pairs_of)
      assert(data.build(schema, helper.write(dir .. "/text", text), dir .. "/cache",
        { fit = true, layout = layout, delimiter = " " }))
      local rows = assert(data.rows(schema, pairs_of, dir .. "/cache"))
      for i, bucket in ipairs { "0", "1", "missing", "2" } do
        assert.equal(data.key(schema, "price", bucket), rows[i].price, layout)
      end
      assert.same({ 1, 2, 3, 2 }, { rows[1].age, rows[2].age, rows[3].age, rows[4].age })
    end
  end)

  it("leaves no number that is not finite", function()
    local dir = helper.temp_dir()
    local list = { { name = "click", type = "label" },
      { name = "x", type = "number", normalize = true } }
    local schema = data.schema(list)
    assert(data.build(schema, helper.write(dir .. "/a", "click,x\n1,0\n0,1e-30\n"), dir .. "/ca",
      { fit = true }))
    local far = helper.write(dir .. "/b", "click,x\n1,3e38\n0,-3e38\n")
    assert(data.build(schema, far, dir .. "/cb"))
    local rows, most = assert(data.rows(schema, list, dir .. "/cb")), 3.4028234663852886e38
    assert.same({ most, -most }, { rows[1].x, rows[2].x })
  end)

  it("of a bucket says which numbers fall into it", function()
    local dir = helper.temp_dir()
    local list = { { name = "click", type = "label" },
      { name = "x", type = "bucket", buckets = 3, missing = "own", log1p = true },
      { name = "y", type = "bucket", buckets = 3 } }
    local schema = data.schema(list)
    local path = helper.write(dir .. "/a", "click,x,y\n1,0,4\n0,1,4\n1,7,4\n0,8,4\n"
      .. "1,20,4\n0,30,4\n")
    assert(data.build(schema, path, dir .. "/ca", { fit = true }))
    local function named(column, texts)
      local keys, out = mr.new("uint64_t[?]", #texts), mr.new "char *[1]"
      for i, text in ipairs(texts) do keys[i - 1] = C.mr_schema_key(schema, column, text, #text) end
      local format, paths = mr.new("mr_text_format", { delimiter = 44 }), mr.new "const char *[1]"
      mr.check(C.mr_keys_texts(out, schema, format, paths, 0, column, keys, #texts))
      local text = mr.string(out[0])
      C.mr_text_free(out[0])
      return text
    end
    assert.equal("20 or more\nbelow 7\nmissing\n\n7 to 20\n",
      named(1, { "2", "0", "missing", "other", "1" }))
    assert.equal("any\nmissing\n", named(2, { "0", "missing" }))
  end)
end)
