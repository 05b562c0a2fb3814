-- What the data is: engine/src/data/schema.c.
local data = require "data_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local C = mr.C

local schema
before_each(function() schema = data.new_schema() end)

local function add(column) return data.add_column(schema, column) end
local function add_table(name, count) return mr.ok(C.mr_schema_add_table(schema, name, count)) end

describe("a schema", function()
  it("finds columns by name", function()
    assert(add { name = "user", type = "id" })
    assert(add { name = "price", type = "number" })
    assert.equal(2, C.mr_schema_columns(schema))
    assert.equal(0, C.mr_schema_find(schema, "user"))
    assert.equal(1, C.mr_schema_find(schema, "price"))
    assert.equal(-1, C.mr_schema_find(schema, "Price"))
  end)

  it("adds the tables that columns name", function()
    assert(add_table("ad", 5))
    assert(add { name = "ad_id", type = "id", table = "ad" })
    assert(add { name = "clicks", type = "ids", table = "ad" })
    assert(add { name = "city", type = "id" })
    assert(add { name = "price", type = "number" })
    assert.equal(0, C.mr_schema_find_table(schema, "ad"))
    assert.equal(1, C.mr_schema_find_table(schema, "city"))
    assert.equal(-1, C.mr_schema_find_table(schema, "price"))
  end)

  it("gives a text one key per table", function()
    assert(add { name = "ad_id", type = "id", table = "ad" })
    assert(add { name = "clicks", type = "ids", table = "ad" })
    assert(add { name = "user", type = "id" })
    assert(add { name = "by", source = "user", type = "group" })
    assert.equal(data.key(schema, "ad_id", "7"), data.key(schema, "clicks", "7"))
    assert.not_equal(data.key(schema, "ad_id", "7"), data.key(schema, "user", "7"))
    assert.not_equal(data.key(schema, "by", "7"), data.key(schema, "user", "7"))
    assert.not_equal(data.key(schema, "user", ""), data.key(schema, "user", "\0"))
    assert.equal("0ULL", tostring(C.mr_schema_key(schema, 9, "7", 1)))
  end)

  it("takes nothing more while something uses it, and outlives its first owner", function()
    assert(add { name = "user", type = "id" })
    local out = mr.new "mr_batch *[1]"
    mr.check(C.mr_batch_new(out, schema, 2, nil))
    helper.fails_with("the schema is in use and takes no more columns or tables",
      add { name = "ad", type = "id" })
    helper.fails_with("the schema is in use and takes no more columns or tables",
      add_table("ad", 1))
    C.mr_schema_free(mr.gc(schema, nil))
    C.mr_batch_keys(out[0], 0)[1] = 5
    C.mr_batch_free(out[0])
  end)

  it("says what is wrong with a column", function()
    assert(add { name = "user", type = "id" })
    assert(add { name = "session", type = "request_key" })
    assert(add { name = "w", type = "weight" })
    assert(add { name = "level", type = "bucket", buckets = 2 })
    assert(add { name = "price", type = "number" })
    assert(add_table("rare", 3))
    assert(data.add_sequence(schema, { name = "past" }))
    assert(add { name = "ad", type = "id" })
    assert(add { name = "both", type = "id", cross = { "ad", "user" } })
    assert(add { name = "past.ad", type = "id", sequence = "past" })
    assert(add { name = "tags", type = "ids", weights = ":" })
    assert(add { name = "words", type = "ids", weights_source = "w" })
    local cases = {
      { { type = "id" }, "a column has no name" },
      { { name = "", type = "id" }, "a column has no name" },
      { { name = "user", type = "id" }, 'column "user" is there already' },
      { { name = "x", type = 0 }, 'column "x": type is 0, expected 1 to 11' },
      { { name = "x", type = 12 }, 'column "x": type is 12, expected 1 to 11' },
      { { name = "x", type = "ids", separator = '"' }, 'column "x": separator is byte 34, '
        .. "expected 1 to 255 and neither a quote nor the end of a line" },
      { { name = "x", type = "ids", max = -1 }, 'column "x": max is -1, expected 0 or more' },
      { { name = "x", type = "number", missing = 0 / 0 },
        'column "x": missing is nan, expected a finite number' },
      { { name = "x", type = "label", side = "request" },
        'column "x": a label belongs to a sample, not to a request' },
      { { name = "x", type = "request_key" }, 'column "x": "session" is the request key already' },
      { { name = "x", type = "weight" }, 'column "x": "w" is the weight already' },
      { { name = "x", type = "time", side = "request" },
        'column "x": a time belongs to a sample, not to a request' },
      { { name = "x", type = "scenario", side = "request" },
        'column "x": a scenario belongs to a sample, not to a request' },
      { { name = "x", type = "vector" }, 'column "x": width is 0, expected 1 or more' },
      { { name = "x", type = "number", missing = "own" },
        'column "x": when_missing is 2, expected 0 or 1' },
      { { name = "x", type = "bucket", buckets = 5, missing = "mean" },
        'column "x": when_missing is 1, expected 0 or 2' },
      { { name = "x", type = "number", clip = { 2, 2 } }, 'column "x": numbers are held within 2 '
        .. "and 2, expected finite ones, the second larger" },
      { { name = "x", type = "bucket", buckets = 1 },
        'column "x": buckets is 1, expected 2 to 1000' },
      { { name = "x", type = "bucket", buckets = 5, table = "user" },
        'column "x": its buckets\' table is that of column "user"' },
      { { name = "x", type = "id", table = "level" },
        'column "x": its table is that of the buckets of column "level"' },
      { { name = "x", type = "bucket", buckets = 5, table = "rare" },
        'column "x": min_count of its buckets\' table is 3, expected 1' },
      { { name = "x", type = "number", normalize = true, sequence = "past" },
        'column "x": numbers of a sequence are not fitted' },
      { { name = "x", type = "vector", width = 3, sources = { "a", "b" } },
        'column "x": it has 2 sources, expected its width, 3' },
      { { name = "x", type = "vector", width = 2, sources = { "a", "" } },
        'column "x": source 2 is empty' },
      { { name = "x", type = "number", sources = { "a", "b" } },
        'column "x": only a vector that is of no sequence has a source for each number' },
      { { name = "x", type = "id", cross = { "user" } },
        'column "x": a cross is of 1 columns, expected 2 to 8' },
      { { name = "x", type = "id", cross = { "user", "place" } },
        'column "x": there is no column "place" to cross' },
      { { name = "x", type = "id", cross = { "user", "user" } },
        'column "x" crosses "user" twice' },
      { { name = "x", type = "id", cross = { "user", "price" } },
        'column "x": "price" is a number without buckets, and a cross is of ids' },
      { { name = "x", type = "id", cross = { "user", "w" } },
        'column "x": "w" is no id, and a cross is of ids' },
      { { name = "x", type = "id", cross = { "user", "both" } },
        'column "x": "both" is a cross itself, and a cross is of ids' },
      { { name = "x", type = "id", cross = { "user", "past.ad" } },
        'column "x": "past.ad" is of a sequence, and a cross is of ids' },
      { { name = "x", type = "id", side = "request", cross = { "user", "ad" } },
        'column "x" is of the request, but its part "user" of the sample' },
      { { name = "x", type = "id", values = { "a" }, cross = { "user", "ad" } },
        'column "x": a cross is of ids, not of a sequence, without values' },
      { { name = "x", type = "number", cross = { "user", "ad" } },
        'column "x": a cross is of ids, not of a sequence, without values' },
      { { name = "x", type = "ids", cross = { "user", "ad" } },
        'column "x" holds several values, and each of its parts one' },
      { { name = "x", type = "id", cross = { "user", "tags" } },
        'column "x" holds one value, and its part "tags" several' },
      { { name = "x", type = "ids", cross = { "user", "tags" } },
        'column "x": max is 0, expected how many combinations a row keeps' },
      { { name = "x", type = "ids", max = 5, cross = { "tags", "user", "words" } },
        'column "x" crosses "tags" and "words", which both have weights' },
      { { name = "x", type = "ids", max = 5, cross = { "user", "tags" }, weights = ":" },
        'column "x": the weights of a cross are those of a part' },
    }
    for _, case in ipairs(cases) do
      local ok, message = add(case[1])
      -- The sign of a NaN is the machine's own.
      helper.fails_with(case[2], ok, (message:gsub("%-nan", "nan")))
    end
    assert.equal(10, C.mr_schema_columns(schema))
  end)

  it("refuses a transform or a domain that it does not know", function()
    local column = { name = "x", type = "number" }
    local spec = data.spec(column)
    spec.transform = 2
    helper.fails_with('column "x": transform is 2, expected 0 (none) or 1 (log1p)',
      mr.ok(C.mr_schema_add_column(schema, spec)))
    spec.transform, spec.domain = 0, 2
    helper.fails_with('column "x": domain is 2, expected 0 (request) or 1 (sample)',
      mr.ok(C.mr_schema_add_column(schema, spec)))
  end)

  it("says what is wrong with a table", function()
    assert(add_table("ad", 0))
    helper.fails_with('table "ad" is there already', add_table("ad", 2))
    helper.fails_with('table "user": min_count is -1, expected 0 or more', add_table("user", -1))
    helper.fails_with("a table has no name", add_table("", 1))
  end)

  it("is whole when memory runs out at any moment", function()
    local before = data.live_blocks()
    local failures = data.with_failing_memory(function()
      local out = mr.new "mr_schema *[1]"
      local ok = mr.ok(C.mr_schema_new(out))
      for i = 1, 20 do
        ok = ok and data.add_column(out[0], { name = "c" .. i, type = "id" })
      end
      C.mr_schema_free(out[0])
      return ok
    end)
    assert.is_true(failures > 60)
    assert.equal(before, data.live_blocks())
  end)
end)

describe("a batch filled by hand", function()
  local columns = { { name = "user", type = "id", side = "request" }, { name = "ad", type = "id" },
    { name = "price", type = "number", missing = 3, log1p = true },
    { name = "tags", type = "ids", max = 2 }, { name = "image", type = "vector", width = 3 } }
  local batch

  local function new_batch(sizes)
    local out = mr.new "mr_batch *[1]"
    local ok, message = mr.ok(C.mr_batch_new(out, schema, #sizes,
      mr.new("int32_t[?]", #sizes, sizes)))
    if not ok then return nil, message end
    return mr.gc(out[0], C.mr_batch_free)
  end

  local function set_bags(name, offsets, keys)
    return mr.ok(C.mr_batch_set_bags(batch, C.mr_schema_find(schema, name),
      mr.new("int32_t[?]", #offsets, offsets), mr.new("uint64_t[?]", #keys, keys)))
  end

  before_each(function()
    schema = data.schema(columns)
    batch = assert(new_batch { 2, 1 })
  end)

  it("has rows in each domain", function()
    assert.equal(2, tonumber(C.mr_batch_rows(batch, C.MR_REQUEST)))
    assert.equal(3, tonumber(C.mr_batch_rows(batch, C.MR_SAMPLE)))
    helper.all_near({ 0, 2, 3 }, C.mr_batch_first_sample(batch), 0)
    helper.all_near({ 0, 1, 2 }, C.mr_batch_sample_index(batch), 0)
  end)

  it("starts with unknown keys, missing numbers and empty bags", function()
    for _, sample in ipairs(data.samples(batch, schema, columns)) do
      assert.equal("0ULL", sample.user)
      assert.equal("0ULL", sample.ad)
      assert.equal("", sample.tags)
      helper.all_near({ math.log(4) }, { sample.price }, 1e-7)
    end
    local image = C.mr_batch_floats(batch, 4)
    for i = 0, 8 do assert.equal(0, image[i]) end
  end)

  it("keeps the first values of a bag, as the text reader does", function()
    assert(set_bags("tags", { 0, 3, 3, 4 }, { 7, 8, 9, 10 }))
    assert.same({ "7ULL 8ULL", "", "10ULL" }, data.column(data.samples(batch, schema, columns),
      "tags"))
  end)

  it("refuses bags that cannot be", function()
    helper.fails_with('column "tags": offsets[0] is 1, expected 0', set_bags("tags", { 1, 1, 1, 1 },
      {}))
    helper.fails_with('column "tags": offsets[2] is 1, expected 2 or more',
      set_bags("tags", { 0, 2, 1, 2 }, { 1, 2 }))
    helper.fails_with('column "ad" has no bags: its type is 1, expected 2',
      set_bags("ad", { 0, 0, 0, 0 }, {}))
    helper.fails_with("column -1 is not in the schema of 5 columns", set_bags("none", { 0 }, {}))
  end)

  it("is filled anew in the same buffers", function()
    C.mr_batch_keys(batch, 1)[2] = 9
    assert(set_bags("tags", { 0, 1, 2, 2 }, { 7, 8 }))
    local before = data.live_blocks()
    mr.check(C.mr_batch_reset(batch, 3, nil))
    assert.equal(before, data.live_blocks())
    assert.equal(3, tonumber(C.mr_batch_rows(batch, C.MR_REQUEST)))
    assert.equal("0ULL", tostring(C.mr_batch_keys(batch, 1)[2]))
    assert.same({ "", "", "" }, data.column(data.samples(batch, schema, columns), "tags"))
  end)

  it("needs a sample in every request", function()
    helper.fails_with("request 1 of a batch has 0 samples, expected 1 or more", new_batch { 2, 0 })
    helper.fails_with("a batch of 0 requests, expected 1 to 2147483647", new_batch {})
    helper.fails_with("a batch of 4294967294 samples, expected at most 2147483647",
      new_batch { 2147483647, 2147483647 })
  end)

  it("has no floats where there are keys, nor the other way round", function()
    assert.is_true(C.mr_batch_floats(batch, 1) == nil)
    assert.is_true(C.mr_batch_keys(batch, 2) == nil)
    assert.is_true(C.mr_batch_floats(batch, 99) == nil)
    assert.is_true(C.mr_batch_keys(batch, -1) == nil)
    assert.is_true(C.mr_batch_offsets(batch, 1) == nil)
  end)

  it("survives memory running out", function()
    local before = data.live_blocks()
    data.with_failing_memory(function()
      local out = mr.new "mr_batch *[1]"
      local ok = mr.ok(C.mr_batch_new(out, schema, 100, nil))
      C.mr_batch_free(out[0])
      return ok
    end)
    assert.equal(before, data.live_blocks())
  end)
end)

describe("a sequence", function()
  local columns = { { name = "user", type = "id", side = "request" },
    { name = "click.ad", type = "id", table = "ad", side = "request", sequence = "click" },
    { name = "click.gap", type = "number", missing = 7, side = "request", sequence = "click" },
    { name = "seen.tags", type = "ids", max = 2, sequence = "seen" },
    { name = "seen.face", type = "vector", width = 2, sequence = "seen" } }
  local CLICK, CLICK_PAIRS, SEEN, SEEN_PAIRS = C.MR_DOMAINS, C.MR_DOMAINS + 1, C.MR_DOMAINS + 2,
    C.MR_DOMAINS + 3
  local batch

  local function add_sequence(sequence) return data.add_sequence(schema, sequence) end

  local function set(s, offsets)
    return mr.ok(C.mr_batch_set_sequence(batch, s, mr.new("int32_t[?]", #offsets, offsets)))
  end

  local function rows(domain) return tonumber(C.mr_batch_rows(batch, domain)) end

  local function fill()
    assert(add_sequence { name = "click", side = "request", max = 4, keep = "last" })
    assert(add_sequence { name = "seen" })
    for _, column in ipairs(columns) do assert(add(column)) end
    local out = mr.new "mr_batch *[1]"
    mr.check(C.mr_batch_new(out, schema, 3, mr.new("int32_t[3]", { 2, 1, 2 })))
    batch = mr.gc(out[0], C.mr_batch_free)
  end

  it("is found by its name", function()
    assert(add_sequence { name = "click", side = "request" })
    assert(add_sequence { name = "seen" })
    assert.equal(1, C.mr_schema_find_sequence(schema, "seen"))
    assert.equal(-1, C.mr_schema_find_sequence(schema, "Seen"))
  end)

  it("says what is wrong with it, and with its columns", function()
    assert(add_sequence { name = "click", side = "request" })
    helper.fails_with("a sequence has no name", add_sequence { name = "" })
    helper.fails_with('sequence "click" is there already', add_sequence { name = "click" })
    helper.fails_with('sequence "a": max is -1, expected 0 or more',
      add_sequence { name = "a", max = -1 })
    helper.fails_with('sequence "a": keep is 2, expected 0 (first) or 1 (last)',
      add_sequence { name = "a", keep = 2 })
    helper.fails_with('sequence "a": separator is byte 10, expected 1 to 255 and neither a quote '
      .. "nor the end of a line", add_sequence { name = "a", separator = "\n" })
    helper.fails_with('column "x": there is no sequence "seen"',
      add { name = "x", type = "id", sequence = "seen" })
    helper.fails_with('column "x": domain is 1, that of sequence "click" is 0',
      add { name = "x", type = "id", sequence = "click" })
    helper.fails_with('column "x": type is 5, in a sequence expected 1 (id), 2 (ids), 3 (number) '
      .. "or 7 (vector)", add { name = "x", type = "group", side = "request", sequence = "click" })
    for i = 2, 30 do assert(add_sequence { name = "s" .. i }) end
    helper.fails_with('sequence "s31": at most 30 sequences are allowed',
      add_sequence { name = "s31" })
  end)

  it("has a row for each behaviour and, of a request, a pair for each sample and behaviour",
    function()
      fill()
      for domain = CLICK, SEEN_PAIRS do assert.equal(0, rows(domain)) end
      assert(set(0, { 0, 3, 3, 4 }))
      assert(set(1, { 0, 0, 2, 2, 3, 3 }))
      assert.equal(4, rows(CLICK))
      assert.equal(2 * 3 + 1 * 0 + 2 * 1, rows(CLICK_PAIRS))
      assert.equal(3, rows(SEEN))
      assert.equal(0, rows(SEEN_PAIRS))
    end)

  it("starts with unknown keys, missing numbers and empty bags", function()
    fill()
    assert(set(0, { 0, 3, 3, 4 }))
    assert(set(1, { 0, 0, 2, 2, 3, 3 }))
    local click, seen = C.mr_schema_find(schema, "click.ad"), C.mr_schema_find(schema, "seen.tags")
    for i = 0, 3 do assert.equal("0ULL", tostring(C.mr_batch_keys(batch, click)[i])) end
    helper.all_near({ 7, 7, 7, 7 }, C.mr_batch_floats(batch, click + 1), 0)
    helper.all_near({ 0, 0, 0, 0 }, C.mr_batch_offsets(batch, seen), 0)
    helper.all_near({ 0, 0, 0, 0, 0, 0 }, C.mr_batch_floats(batch, seen + 1), 0)
  end)

  it("may hold bags, cut as in any column", function()
    fill()
    assert(set(1, { 0, 0, 2, 2, 3, 3 }))
    local seen = C.mr_schema_find(schema, "seen.tags")
    mr.check(C.mr_batch_set_bags(batch, seen, mr.new("int32_t[4]", { 0, 3, 3, 4 }),
      mr.new("uint64_t[4]", { 5, 6, 7, 8 })))
    helper.all_near({ 0, 2, 2, 3 }, C.mr_batch_offsets(batch, seen), 0)
    local keys = C.mr_batch_keys(batch, seen)
    assert.same({ 5, 6, 8 }, { tonumber(keys[0]), tonumber(keys[1]), tonumber(keys[2]) })
  end)

  it("is empty again in a batch that is filled anew", function()
    fill()
    assert(set(0, { 0, 3, 3, 4 }))
    mr.check(C.mr_batch_reset(batch, 2, nil))
    assert.equal(0, rows(CLICK))
    assert.equal(0, rows(CLICK_PAIRS))
  end)

  it("refuses offsets that cannot be", function()
    fill()
    helper.fails_with('sequence "click": offsets[0] is 1, expected 0', set(0, { 1, 1, 1, 1 }))
    helper.fails_with('sequence "click": offsets[2] is 1, expected 2 or more',
      set(0, { 0, 2, 1, 2 }))
    helper.fails_with('sequence "click": row 2 has 5 behaviours, at most 4 are kept',
      set(0, { 0, 4, 4, 9 }))
    helper.fails_with("sequence 2, but there are 2", set(2, { 0 }))
  end)
end)
