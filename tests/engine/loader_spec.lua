-- Batches of whole requests, in order or shuffled: engine/src/data/loader.c.
local data = require "data_helper"
local helper = require "helper"
local lfs = require "lfs"
local mr = require "moonrank.ffi"
local C = mr.C

local columns = {
  { name = "session", type = "request_key" }, { name = "user", type = "id", side = "request" },
  { name = "age", type = "number", side = "request" },
  { name = "past", type = "ids", side = "request", separator = "|" },
  { name = "click", type = "label" }, { name = "ad", type = "id" },
  { name = "tags", type = "ids", separator = "|" }, { name = "n", type = "number" },
}
local flat = { { name = "click", type = "label" }, { name = "ad", type = "id" },
  { name = "n", type = "number" } }

--- A dataset whose requests have these numbers of samples; sample i has n = i.
local function sessions(sizes)
  local dir, lines, n = helper.temp_dir(), { "session,user,age,past,click,ad,tags,n" }, 0
  for session, size in ipairs(sizes) do
    for _ = 1, size do
      n = n + 1
      lines[#lines + 1] = ("%d,u%d,%d,%s,%d,ad%d,%s,%d"):format(session, session, session,
        ("p|"):rep(session % 4), n % 2, n, ("t" .. n .. "|"):rep(n % 3), n)
    end
  end
  local schema = data.schema(columns)
  local path = helper.write(dir .. "/data.csv", table.concat(lines, "\n"))
  assert(data.build(schema, path, dir .. "/cache"))
  return assert(data.open(schema, dir .. "/cache")), schema
end

--- A dataset of n samples that share nothing.
local function samples(n)
  local dir, lines = helper.temp_dir(), { "click,ad,n" }
  for i = 1, n do lines[i + 1] = ("%d,ad%d,%d"):format(i % 2, i, i) end
  local schema = data.schema(flat)
  local path = helper.write(dir .. "/data.csv", table.concat(lines, "\n"))
  assert(data.build(schema, path, dir .. "/cache"))
  return assert(data.open(schema, dir .. "/cache")), schema
end

--- Per batch the numbers of samples of its requests, and all values of n in order.
local function shape(dataset, schema, options)
  local loader = assert(data.loader(dataset, options))
  local sizes, order = {}, {}
  local n = C.mr_schema_find(schema, "n")
  while true do
    local batch, message = data.next_batch(loader)
    assert(not message, message)
    if not batch then return sizes, order end
    local first, list = C.mr_batch_first_sample(batch), {}
    for q = 1, tonumber(C.mr_batch_rows(batch, C.MR_REQUEST)) do
      list[q] = first[q] - first[q - 1]
    end
    sizes[#sizes + 1] = table.concat(list, " ")
    local floats, index = C.mr_batch_floats(batch, n), C.mr_batch_sample_index(batch)
    for i = 0, tonumber(C.mr_batch_rows(batch, C.MR_SAMPLE)) - 1 do
      assert(floats[i] == tonumber(index[i]) + 1)
      order[#order + 1] = floats[i]
    end
  end
end

local function up_to(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

describe("a loader", function()
  it("gives all samples in order, the last batch as long as it comes", function()
    local dataset, schema = samples(10)
    local sizes, order = shape(dataset, schema, { batch = 4 })
    assert.same({ "1 1 1 1", "1 1 1 1", "1 1" }, sizes)
    assert.same(up_to(10), order)
  end)

  it("puts whole requests into a batch", function()
    local dataset, schema = sessions { 3, 2, 4, 1, 1, 5 }
    local sizes, order = shape(dataset, schema, { batch = 6 })
    assert.same({ "3 2", "4 1 1", "5" }, sizes)
    assert.same(up_to(16), order)
  end)

  it("cuts a request that is too large, in a fixed way", function()
    local dataset, schema = sessions { 2, 11, 1 }
    assert.same({ "2", "4", "4", "3 1" }, (shape(dataset, schema, { batch = 4 })))
    assert.same({ "2 2", "2 2", "2 2", "1 1" },
      (shape(dataset, schema, { batch = 4, max_request = 2 })))
    assert.same({ "2 3 3", "3 2 1" }, (shape(dataset, schema, { batch = 8, max_request = 3 })))
    assert.same({ "2 11", "1" }, (shape(dataset, schema, { batch = 13 })))
    local sizes, order = shape(dataset, schema, { batch = 1 })
    assert.equal(14, #sizes)
    assert.same(up_to(14), order)
  end)

  it("gives every piece the values of its request", function()
    local dataset, schema = sessions { 2, 11, 1 }
    local loader, rows = data.loader(dataset, { batch = 8, max_request = 3 }), {}
    for batch in function() return data.next_batch(loader) end do
      for _, sample in ipairs(data.samples(batch, schema, columns)) do rows[#rows + 1] = sample end
    end
    assert.equal(14, #rows)
    for i, row in ipairs(rows) do
      local session = i <= 2 and 1 or i <= 13 and 2 or 3
      local past, tags = {}, {}
      for p = 1, session % 4 do past[p] = "p" end
      for t = 1, i % 3 do tags[t] = "t" .. i end
      assert.equal(data.key(schema, "user", "u" .. session), row.user)
      assert.equal(session, row.age)
      assert.equal(data.bag(schema, "past", past), row.past)
      assert.equal(data.key(schema, "ad", "ad" .. i), row.ad)
      assert.equal(data.bag(schema, "tags", tags), row.tags)
      assert.equal(i % 2, row.click)
    end
  end)

  it("shuffles whole requests", function()
    local sizes = {}
    for i = 1, 200 do sizes[i] = i % 5 + 1 end
    local dataset, schema = sessions(sizes)
    local _, order = shape(dataset, schema, { batch = 64, shuffle = true, seed = 1 })
    local first, seen, in_place = {}, {}, 0
    local n = 0
    for i, size in ipairs(sizes) do
      first[n + 1] = size
      n = n + size
      in_place = in_place + (order[n] == n and 1 or 0)
      sizes[i] = n
    end
    assert.equal(n, #order)
    local i = 1
    while i <= n do
      local size = assert(first[order[i]], "a request starts in its middle")
      for k = 0, size - 1 do
        assert.equal(order[i] + k, order[i + k])
        assert.is_nil(seen[order[i + k]])
        seen[order[i + k]] = true
      end
      i = i + size
    end
    assert.is_true(in_place < 10)
  end)

  it("shuffles by seed and epoch alone", function()
    local dataset, schema = samples(1000)
    local function order(options)
      options.shuffle = true
      return (select(2, shape(dataset, schema, options)))
    end
    local first = order { seed = 1, epoch = 0, batch = 100 }
    assert.same(first, order { seed = 1, epoch = 0, batch = 100 })
    assert.same(first, order { seed = 1, epoch = 0, batch = 7 })
    assert.not_same(first, order { seed = 1, epoch = 1 })
    assert.not_same(first, order { seed = 2, epoch = 0 })
    local sorted = order { seed = 3, epoch = 5 }
    table.sort(sorted)
    assert.same(up_to(1000), sorted)
  end)

  -- Each of six rows comes to each place as often, over the epochs.
  local function check_even(order_of)
    local seen = {}
    for epoch = 1, 6000 do
      for place, n in ipairs(order_of(epoch)) do
        seen[place * 10 + n] = (seen[place * 10 + n] or 0) + 1
      end
    end
    -- 36 counts of 1000 on average with a deviation of 29: five of them are out of reach.
    for place = 1, 6 do
      for n = 1, 6 do assert.is_true(math.abs(seen[place * 10 + n] - 1000) < 145) end
    end
  end

  it("puts every request anywhere with equal chance", function()
    local dataset, schema = samples(6)
    check_even(function(epoch)
      return (select(2, shape(dataset, schema, { shuffle = true, seed = 9, epoch = epoch })))
    end)
  end)

  describe("with more rows than it shuffles at a time", function()
    -- Of samples(n), a row has 12 bytes in its record and 4 in the order: 1,000 have 16,000.
    local dataset, schema
    before_each(function() dataset, schema = samples(1000) end)
    local function order(bytes, options)
      local given = { seed = 1, epoch = 1, shuffle = true, shuffle_bytes = bytes }
      for name, value in pairs(options or {}) do given[name] = value end
      return (select(2, shape(dataset, schema, given)))
    end

    it("shuffles all of them where they fit", function()
      assert.same(order(0), order(16000))
      assert.not_same(order(0), order(15999))
    end)

    it("takes some blocks of neighbours at a time, and each row once", function()
      -- 1,600 bytes are 100 rows: 16 blocks of 6 rows are a window of 96.
      local got = order(1600)
      local sorted = { unpack(got) }
      table.sort(sorted)
      assert.same(up_to(1000), sorted)
      local windows = 0
      for first = 1, 1000, 96 do
        local blocks, n, mixed = {}, 0, 0
        for i = first, math.min(first + 95, 1000) do
          local block = math.floor((got[i] - 1) / 6)
          if not blocks[block] then blocks[block], n = true, n + 1 end
          if i > first and got[i] == got[i - 1] + 1 then mixed = mixed + 1 end
        end
        -- The last block has 4 rows; the window that has it, and those after it, are cut 2 earlier.
        assert.is_true(n <= 18)
        assert.is_true(mixed < 12)
        windows = windows + 1
      end
      assert.equal(11, windows)
    end)

    it("goes by seed and epoch alone", function()
      assert.same(order(1600), order(1600, { batch = 7 }))
      assert.not_same(order(1600), order(1600, { epoch = 2 }))
      assert.not_same(order(1600), order(1600, { seed = 2 }))
      local all, skipped = order(1600, { batch = 50 }), order(1600, { batch = 50, skip = 7 })
      assert.same({ unpack(all, 351) }, skipped)
    end)

    it("may put every row anywhere", function()
      dataset, schema = samples(6)
      check_even(function(epoch) return order(32, { epoch = epoch }) end) -- two rows at a time
    end)

    it("keeps requests whole, whatever the memory", function()
      local sizes = {}
      for i = 1, 100 do sizes[i] = i % 5 + 1 end
      dataset, schema = sessions(sizes)
      for _, bytes in ipairs { 1, 100, 5000, 1e6 } do
        local got, i = order(bytes), 1
        local sorted = { unpack(got) }
        table.sort(sorted)
        assert.same(up_to(#got), sorted)
        local starts, n = {}, 0
        for _, size in ipairs(sizes) do starts[n + 1], n = size, n + size end
        while i <= #got do
          local size = assert(starts[got[i]])
          for k = 1, size - 1 do assert.equal(got[i] + k, got[i + k]) end
          i = i + size
        end
      end
    end)

    it("refuses what is no size", function()
      local _, message = data.loader(dataset, { shuffle = true, shuffle_bytes = -1 })
      assert.equal("shuffle_bytes is -1, expected 0 or more", message)
    end)
  end)

  -- Columns are filled four at a time, in tiles of 16 rows, and what is left one by one.
  describe("turns rows into columns", function()
    local ROWS = 53

    --- A dataset of so many ids and numbers; row r has "c<i>.<r % 7>" and i + r / 10 in column i.
    local function grid(ids, numbers)
      local dir, list, head = helper.temp_dir(), {}, {}
      for i = 1, ids do list[i] = { name = "c" .. i, type = "id", table = "t" .. i % 2 } end
      for i = 1, numbers do list[ids + i] = { name = "n" .. i, type = "number" } end
      for i, column in ipairs(list) do head[i] = column.name end
      local lines = { table.concat(head, ",") }
      for r = 0, ROWS - 1 do
        local cells = {}
        for i = 1, ids do cells[i] = "c" .. i .. "." .. r % 7 end
        for i = 1, numbers do cells[ids + i] = ("%.1f"):format(i + r / 10) end
        lines[r + 2] = table.concat(cells, ",")
      end
      local schema, cache = data.schema(list), dir .. "/cache"
      assert(data.build(schema, helper.write(dir .. "/data.csv", table.concat(lines, "\n")), cache))
      return schema, list, cache
    end

    it("of any number, in batches of any size", function()
      for ids = 0, 6 do
        local numbers = (ids * 5 + 1) % 7
        local schema, list, cache = grid(ids, numbers)
        for _, batch in ipairs { 1, 15, 16, 17, 50 } do
          local rows = assert(data.rows(schema, list, cache, { batch = batch, shuffle = true }))
          assert.equal(ROWS, #rows)
          for _, row in ipairs(rows) do
            for i = 1, ids do
              local text = "c" .. i .. "." .. row.row % 7
              assert.equal(data.key(schema, "c" .. i, text), row["c" .. i])
            end
            for i = 1, numbers do
              assert.is_true(math.abs(i + row.row / 10 - row["n" .. i]) < 1e-5)
            end
          end
        end
      end
    end)

    it("and finds the first row of a code that the dictionary does not have", function()
      local schema, list, cache = grid(6, 1)
      local bytes = helper.read(cache)
      local at = 0 -- where the records are: the first section
      for i = 8, 1, -1 do at = at * 256 + bytes:byte(136 + 8 + i) end
      for _, row in ipairs { 0, 5, 15, 16, 52 } do
        for column = 0, 5 do
          local place = at + (row * 7 + column) * 4
          for _, highest in ipairs { 1, 127, 128, 255 } do
            helper.write(cache, bytes:sub(1, place + 3) .. string.char(highest)
              .. bytes:sub(place + 5))
            local _, message = data.rows(schema, list, cache)
            assert.equal(("%s: the cache is damaged at row %d; delete it and build it again")
              :format(cache, row), message)
          end
        end
      end
    end)
  end)

  it("keeps a batch as it is until the next is asked for", function()
    local dataset, schema = samples(1000)
    local loader = data.loader(dataset, { batch = 10 })
    local n = C.mr_schema_find(schema, "n")
    local expected = 1
    for batch in function() return data.next_batch(loader) end do
      if expected % 200 == 1 then helper.shell "sleep 0.01" end -- time to run ahead
      for i = 0, 9 do assert.equal(expected + i, C.mr_batch_floats(batch, n)[i]) end
      expected = expected + 10
    end
    assert.equal(1001, expected)
  end)

  -- A cache of 200 rows, and how to write codes into some of them that nobody has.
  local function cache_in(dir)
    local list = { { name = "a", type = "id" }, { name = "n", type = "number" } }
    local lines, schema, cache = { "a,n" }, data.schema(list), dir .. "/cache"
    for row = 0, 199 do lines[row + 2] = ("a%d,%d"):format(row % 3, row) end
    assert(data.build(schema, helper.write(dir .. "/data.csv", table.concat(lines, "\n")), cache))
    local bytes, at = helper.read(cache), 0 -- where the records are: the first section
    for i = 8, 1, -1 do at = at * 256 + bytes:byte(136 + 8 + i) end
    return schema, cache, function(rows)
      local damaged = bytes
      for _, row in ipairs(rows) do
        local place = at + row * 8
        damaged = damaged:sub(1, place) .. "\255\255\255\255" .. damaged:sub(place + 5)
      end
      helper.write(cache, damaged)
    end
  end

  it("says all of a message with a long path", function()
    local dir = helper.temp_dir()
    for _, letter in ipairs { "a", "b", "c" } do
      dir = dir .. "/" .. letter:rep(120)
      assert(lfs.mkdir(dir))
    end
    local schema, cache, damage = cache_in(dir)
    damage { 3 }
    local loader = data.loader(assert(data.open(schema, cache)), { batch = 10 })
    helper.fails_with(cache .. ": the cache is damaged at row 3; delete it and build it again",
      data.next_batch(loader))
  end)

  -- Two batches are filled at the same time: the second may fail before the first is full.
  it("hands out every batch before the first that fails", function()
    local schema, cache, damage = cache_in(helper.temp_dir())
    for first = 5, 195, 10 do -- in batches of ten; others behind it, in the next and far away
      damage { first, math.min(first + 6, 199), math.min(first + 40, 199) }
      for _ = 1, 5 do
        local loader = data.loader(assert(data.open(schema, cache)), { batch = 10 })
        local n = C.mr_schema_find(schema, "n")
        for batch = 0, (first - 5) / 10 - 1 do
          local got = assert(data.next_batch(loader))
          for i = 0, 9 do assert.equal(batch * 10 + i, C.mr_batch_floats(got, n)[i]) end
        end
        for _ = 1, 2 do
          helper.fails_with(("%s: the cache is damaged at row %d; delete it and build it again")
            :format(cache, first), data.next_batch(loader))
        end
      end
    end
  end)

  it("stays at its end", function()
    local loader = data.loader(samples(3), {})
    assert.is_truthy(data.next_batch(loader))
    for _ = 1, 3 do
      local out = mr.new "mr_batch *[1]"
      out[0] = mr.cast("mr_batch *", 1)
      assert.equal(C.MR_END, C.mr_loader_next(loader, out))
      assert.is_true(out[0] == nil)
    end
  end)

  it("may be freed at any moment, and outlives its dataset", function()
    local before = data.live_blocks()
    local schema
    do
      local dataset
      dataset, schema = samples(5000)
      for taken = 0, 12 do
        local loader = mr.gc(data.loader(dataset, { batch = 7, shuffle = taken % 2 == 0 }), nil)
        for _ = 1, taken do data.next_batch(loader) end
        if taken == 12 then
          C.mr_dataset_close(mr.gc(dataset, nil))
          for _ = 1, 100 do assert.is_truthy(data.next_batch(loader)) end
        end
        C.mr_loader_free(loader)
      end
    end
    C.mr_schema_free(mr.gc(schema, nil))
    assert.equal(before, data.live_blocks())
    C.mr_loader_free(nil)
  end)

  it("allocates nothing once its batches have grown", function()
    local dataset = samples(5000)
    local loader = data.loader(dataset, { batch = 50, shuffle = true })
    for _ = 1, 20 do data.next_batch(loader) end
    C.mr_alloc_fail_after(0)
    local n = 0
    while data.next_batch(loader) do n = n + 1 end
    C.mr_alloc_fail_after(-1)
    assert.equal(80, n)
  end)

  it("says what is wrong with its options", function()
    local dataset = samples(3)
    local function refuses(message, options)
      helper.fails_with(message, data.loader(dataset, options))
    end
    refuses("batch is -1, expected 1 to 2147483647", { batch = -1 })
    refuses("max_request is 11, expected 0 to 10 (the batch)", { batch = 10, max_request = 11 })
    refuses("max_request is -1, expected 0 to 10 (the batch)", { batch = 10, max_request = -1 })
  end)

  it("hands on what goes wrong in its thread, again and again", function()
    local dataset = samples(3000)
    for n = 0, 3 do
      local out = mr.new "mr_loader *[1]"
      local options = mr.new("mr_loader_options", { batch = 1000, shuffle = 1 })
      -- The loader itself and its three batches take 10 allocations, its thread the rest.
      C.mr_alloc_fail_after(10 + n)
      local ok = mr.ok(C.mr_loader_new(out, dataset, options))
      assert.is_true(ok)
      local loader = mr.gc(out[0], C.mr_loader_free)
      for _ = 1, 3 do helper.fails_with("memory ran out", data.next_batch(loader)) end
      C.mr_alloc_fail_after(-1)
    end
  end)
end)

describe("what a loader holds", function()
  local bags = { { name = "tags", type = "ids", separator = "|" } }
  local dir, random, lines, sizes = helper.temp_dir(), helper.random(3), { "tags\n" }, {}
  for i = 1, 300 do
    local tags = {}
    for k = 1, i == 77 and 3000 or random(6) - 1 do tags[k] = "t" .. random(50) end
    lines[#lines + 1], sizes[i] = '"' .. table.concat(tags, "|") .. '"\n', #tags
  end
  local schema = data.schema(bags)
  assert(data.build(schema, helper.write(dir .. "/f.csv", table.concat(lines)), dir .. "/cache"))
  local dataset = assert(data.open(schema, dir .. "/cache"))
  table.sort(sizes, function(a, b) return a > b end)

  it("is at most three batches of the longest records, a quarter more, and the order", function()
    for _, batch in ipairs { 1, 7, 300, 1000 } do
      local rows = math.min(batch, 300)
      local bytes = 2 * 32 * rows -- of samples, and of requests, which are as many
      for i = 1, rows do bytes = bytes + 4 + 4 * sizes[i] end -- a count and its codes
      local options = mr.new("mr_loader_options", { batch = batch })
      assert.equal(1.25 * 3 * bytes, tonumber(C.mr_loader_bytes(dataset, options)))
      options.shuffle = 1
      assert.equal(1.25 * 3 * bytes + 4 * 300, tonumber(C.mr_loader_bytes(dataset, options)))
      options.shuffle_bytes = 100
      assert.equal(1.25 * 3 * bytes + 100, tonumber(C.mr_loader_bytes(dataset, options)))
    end
  end)

  -- Lists of 0 to 39 tags, few of them long. Batches of 4,000 of 20,000 rows, in 20 orders: a row
  -- has 32 bytes of a request and of a sample beside its record, of a count and codes.
  it("is near the mean where an order is drawn, and holds", function()
    local rows, total, texts = 20000, 0, { "tags\n" }
    for i = 1, rows do
      local n = math.floor(40 * random() ^ 3)
      texts[i + 1], total = ('"%s"\n'):format(("t|"):rep(n):sub(1, -2)), total + n
    end
    assert(data.build(schema, helper.write(dir .. "/g.csv", table.concat(texts)), dir .. "/other"))
    local many = assert(data.open(schema, dir .. "/other"))
    local options = mr.new("mr_loader_options", { batch = 4000, shuffle = 1 })
    local said = (tonumber(C.mr_loader_bytes(many, options)) - 4 * rows) / (1.25 * 3)
    local mean, most = 4000 * (2 * 32 + 4 + 4 * total / rows), 0
    for epoch = 1, 20 do
      local loader = data.loader(many, { batch = 4000, shuffle = 1, epoch = epoch })
      for _ = 1, 5 do
        local batch = assert(data.next_batch(loader))
        most = math.max(most, 4000 * (2 * 32 + 4) + 4 * C.mr_batch_offsets(batch, 0)[4000])
      end
    end
    assert(most > mean and most <= said, most)
    assert(said < 1.1 * mean, said / mean)
  end)

  it("is asked of options that a loader takes", function()
    assert.equal(-1, tonumber(C.mr_loader_bytes(dataset, mr.new "mr_loader_options")))
    assert.equal("batch is 0, expected 1 to 2147483647", mr.last_error())
  end)
end)
