-- Crosses of numbers with buckets in caches, whose text is read twice (engine/src/data/
-- dataset_build.c); that they are the combinations of the buckets is in tests/lua.
local data = require "data_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local C = mr.C

local function columns()
  return {
    { name = "q", type = "request_key", side = "request" },
    { name = "click", type = "label" },
    { name = "age", type = "bucket", side = "request", buckets = 3, missing = "own" },
    { name = "tags", type = "ids", side = "request", separator = "|" },
    { name = "price", type = "bucket", buckets = 5 },
    { name = "size", type = "number", normalize = true, missing = "mean" },
    { name = "age_price", type = "id", cross = { "age", "price" } },
    { name = "tags_age", type = "ids", side = "request", max = 2, cross = { "tags", "age" } },
  }
end

local function make_text(n, seed)
  local random, lines, q, age, tags = helper.random(seed), { "click,q,age,tags,price,size" }
  for i = 1, n do
    if not q or random(4) == 1 then
      q, age = i, random(9) == 1 and "" or random(60)
      tags = ("t%d|t%d"):format(random(4), random(4))
    end
    lines[i + 1] = ("%d,%d,%s,%s,%d,%s"):format(i % 2, q, age, tags, random(40),
      random(5) == 1 and "" or random(100))
  end
  return table.concat(lines, "\n") .. "\n"
end

describe("a cross of buckets", function()
  it("gives the same bytes for any number of threads and any size of block", function()
    local dir = helper.temp_dir()
    local path = helper.write(dir .. "/text.csv", make_text(3000, 2))
    data.check_same_bytes(function()
      return data.schema(columns(), { age_price = 5, tags_age = 9 })
    end, path, dir .. "/cache")
  end)

  it("leaves out what is wrong once, and is fitted to the rest", function()
    local dir, text, bad, wrong = helper.temp_dir(), make_text(400, 3), {}, 0
    for line in text:gmatch "[^\n]+" do
      bad[#bad + 1] = line
      if #bad % 50 == 2 then
        bad[#bad + 1], wrong = "1,77,x,a|b,5000,2", wrong + 1
      end
    end
    assert(wrong > 5)
    local caches = {}
    for name, content in pairs { good = text, bad = table.concat(bad, "\n") .. "\n" } do
      local schema, cache = data.schema(columns()), ("%s/%s"):format(dir, name)
      assert(data.build(schema, helper.write(cache .. ".csv", content), cache,
        { fit = true, bad_rows = wrong }))
      caches[name] = assert(data.rows(schema, columns(), cache))
      assert.equal(name == "bad" and wrong or 0,
        tonumber(C.mr_dataset_bad_rows(data.open(schema, cache), C.MR_BAD_NUMBER)))
    end
    assert.same(caches.good, caches.bad)
  end)

  it("of a text that is refused leaves the schema as it was", function()
    local dir, good = helper.temp_dir(), make_text(300, 4)
    local schema, fresh = data.schema(columns()), data.schema(columns())
    local path = helper.write(dir .. "/text.csv", good .. "1,9,9,9,many,9\n")
    helper.fails_with(path .. ':302:9: "many" is not a number (column "price")',
      data.build(schema, path, dir .. "/cache", { fit = true }))
    helper.fails_with('column "age" is not fitted: build the training data first',
      data.build(schema, path, dir .. "/cache"))
    -- Refused by the second pass, when what is fitted is known already.
    helper.write(path, good)
    assert.equal(0, os.execute("mkdir " .. helper.quote(dir .. "/cache.tmp")))
    helper.fails_with(dir .. "/cache.tmp: Is a directory",
      data.build(schema, path, dir .. "/cache", { fit = true }))
    helper.fails_with('column "age" is not fitted: build the training data first',
      data.build(schema, path, dir .. "/cache"))
    assert.equal(0, os.execute("rmdir " .. helper.quote(dir .. "/cache.tmp")))
    helper.write(path, make_text(300, 5))
    assert(data.build(schema, path, dir .. "/cache", { fit = true }))
    local cache = helper.read(dir .. "/cache")
    assert(data.build(fresh, path, dir .. "/fresh", { fit = true }))
    assert.is_true(cache == helper.read(dir .. "/fresh"))
  end)

  it("that runs out of memory anywhere is a message, and nothing leaks", function()
    local dir = helper.temp_dir()
    local path = helper.write(dir .. "/text.csv", make_text(40, 7))
    assert(data.read_without_memory(columns(), path, dir .. "/cache", { fit = true }) > 100)
  end)

  it("says how far its two passes are", function()
    local dir, schema = helper.temp_dir(), data.schema(columns())
    local path = helper.write(dir .. "/text.csv", make_text(300, 6))
    local out, at = mr.new "mr_build *[1]", mr.new "mr_build_progress"
    local format = mr.new("mr_text_format", { delimiter = (","):byte(), quotes = 1 })
    local list, pool, cache = mr.new("const char *[1]", { path }), data.pool(1), dir .. "/cache"
    mr.check(C.mr_build_start(out, schema, format, list, 1, cache, 1, pool))
    while C.mr_build_wait(out[0], 1000, at) == C.MR_OK do end
    C.mr_build_free(out[0])
    local twice = 2 * #helper.read(path)
    assert.same({ twice, twice }, { tonumber(at.bytes), tonumber(at.total) })
  end)
end)
