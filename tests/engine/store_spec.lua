-- The dataset cache: engine/src/data/{dataset_build,store_writer,store,dictionary}.c.
local data = require "data_helper"
local ffi = require "ffi"
local helper = require "helper"
local lfs = require "lfs"
local mr = require "moonrank.ffi"
local C = mr.C

-- One column of every kind, so that the cache has every section.
local columns = {
  { name = "click", type = "label" }, { name = "session", type = "request_key" },
  { name = "user", type = "id", side = "request" },
  { name = "past", type = "ids", side = "request", separator = "|", table = "ad" },
  { name = "age", type = "number", side = "request" },
  { name = "ad", type = "id" }, { name = "price", type = "number", log1p = true },
  { name = "tags", type = "ids", separator = "|" },
  { name = "by", source = "user", type = "group" },
  { name = "image", type = "vector", width = 2, separator = "|" },
  { name = "weight", type = "weight" }, { name = "place", type = "scenario" },
  { name = "time", type = "time" },
  { name = "face", type = "vector", width = 3, separator = "|", side = "request" },
}

--- Rows of sessions of 1 to 7 samples. The numbers repeat for the same seed.
local function make_text(n_sessions, seed)
  math.randomseed(seed or 1)
  local lines = { "session,user,past,age,ad,price,tags,click,weight,place,time,image,face" }
  for session = 1, n_sessions do
    local user, past = math.random(1, 50), {}
    for i = 1, math.random(0, 9) do past[i] = "ad" .. math.random(1, 300) end
    for _ = 1, math.random(1, 7) do
      local tags = {}
      for i = 1, math.random(0, 3) do tags[i] = "t" .. math.random(1, 40) end
      lines[#lines + 1] = ("%d,%d,%s,%d,ad%d,%.2f,%s,%d,%.2f,p%d,%d,%s,%s"):format(session, user,
        table.concat(past, "|"), user % 7, math.random(1, 300) ^ 2 % 307, math.random() * 100,
        table.concat(tags, "|"), math.random(0, 1), session % 9 / 4, session ^ 2 % 5,
        1700000000 + session, #tags == 2 and "" or #tags .. "|-0.25", session .. "|1e3|.5")
    end
  end
  return table.concat(lines, "\n") .. "\n"
end

local dir, source, cache
before_each(function()
  dir = helper.temp_dir()
  source = helper.write(dir .. "/data.csv", make_text(300))
  cache = dir .. "/data.cache"
end)

local function files()
  local list = {}
  for name in lfs.dir(dir) do
    if not name:match "^%.+$" then list[#list + 1] = name end
  end
  table.sort(list)
  return table.concat(list, " ")
end

--- Run a Lua script in another process, with `data`, `helper`, `mr` and `dir` at hand.
local function child(script, before)
  local path = helper.write(dir .. "/child.lua", ([[
    package.path = "lua/?.lua;lua/?/init.lua;tests/?.lua;" .. package.path
    local data, helper, mr = require "data_helper", require "helper", require "moonrank.ffi"
    local dir = %q
  ]]):format(dir) .. script)
  return ("%s luajit %s"):format(before or "", path)
end

describe("a cache", function()
  it("is the same byte for byte for any number of threads and any size of block", function()
    local schema = data.schema(columns, { ad = 3, tags = 2 })
    assert(data.build(schema, source, cache, { fit = true }))
    local expected = helper.read(cache)
    assert.equal(0, #expected % 64)
    for _, threads in ipairs { 1, 2, 8 } do
      local pool = data.pool(threads)
      for _, block in ipairs { 0, 1, 100, 5000 } do
        os.remove(cache)
        assert(data.build(schema, source, cache, { fit = true, pool = pool, block = block }))
        assert.is_true(expected == helper.read(cache))
      end
    end
  end)

  it("gives back what was in the text", function()
    local schema = data.schema(columns)
    assert(data.build(schema, source, cache))
    local rows = assert(data.rows(schema, columns, cache))
    local n = 0
    for line in helper.read(source):gmatch "[^\n]+" do
      local session, user, past, age, ad, price, tags, click =
        line:match "^(%d+),(%d+),([^,]*),(%d+),([^,]+),([^,]+),([^,]*),(%d),"
      if user then
        n = n + 1
        local function bag(name, text)
          local texts = {}
          for piece in text:gmatch "[^|]+" do texts[#texts + 1] = piece end
          return data.bag(schema, name, texts)
        end
        local row = rows[n]
        assert.equal(n - 1, row.row)
        assert.equal(data.key(schema, "user", user), row.user)
        assert.equal(data.key(schema, "by", user), row.by)
        assert.equal(data.key(schema, "ad", ad), row.ad)
        assert.equal(bag("past", past), row.past)
        assert.equal(bag("tags", tags), row.tags)
        local n_tags = select(2, tags:gsub("[^|]+", ""))
        assert.equal(n_tags == 2 and "0 0" or n_tags .. " -0.25", row.image)
        assert.equal(session .. " 1000 0.5", row.face)
        assert.equal(tonumber(age), row.age)
        assert.equal(tonumber(click), row.click)
        assert.is_true(math.abs(math.log(1 + tonumber(price)) - row.price) < 1e-6)
      end
    end
    assert.equal(#rows, n)
  end)

  it("shows labels, numbers and groups of samples as columns", function()
    local schema = data.schema(columns)
    assert(data.build(schema, source, cache, { block = 700 }))
    local dataset = assert(data.open(schema, cache))
    local rows = assert(data.rows(schema, columns, cache))
    assert.equal(#rows, tonumber(C.mr_dataset_samples(dataset)))
    assert.equal(300, tonumber(C.mr_dataset_requests(dataset)))
    local clicks, prices = C.mr_dataset_floats(dataset, 0), C.mr_dataset_floats(dataset, 6)
    local users = C.mr_dataset_keys(dataset, 8)
    for i, row in ipairs(rows) do
      assert.equal(row.click, clicks[i - 1])
      assert.equal(row.price, prices[i - 1])
      assert.equal(row.by, tostring(users[i - 1]))
    end
    -- Keys of tables, request-side columns and what is not there have none.
    for _, column in ipairs { -1, 1, 2, 4, 5, 7, 9, 11, 12, 13, 14 } do
      assert.is_true(C.mr_dataset_floats(dataset, column) == nil)
      assert.is_true(C.mr_dataset_keys(dataset, column) == nil)
    end
    assert.is_true(C.mr_dataset_keys(dataset, 0) == nil)
    assert.is_true(C.mr_dataset_times(dataset, 0) == nil)
    assert.is_true(C.mr_dataset_floats(dataset, 8) == nil)
  end)

  it("is left alone while the sources are the same", function()
    local schema = data.schema(columns)
    local function identity() return lfs.attributes(cache, "ino") end
    local function build(options) assert(data.build(schema, source, cache, options)) end
    build()
    local first = identity()
    build()
    build { block = 100 }
    assert.equal(first, identity())
    build { fit = true }
    assert.not_equal(first, identity())
    build()
    first = identity()
    lfs.touch(source, 1, 1)
    build()
    assert.not_equal(first, identity())
    first = identity()
    -- Other words of the same size, under the time of the old ones.
    local text, times = helper.read(source), lfs.attributes(source)
    helper.write(source, (text:gsub("%.5\n", ".7\n")))
    assert.equal(times.size, lfs.attributes(source, "size"))
    lfs.touch(source, times.access, times.modification)
    build()
    assert.not_equal(first, identity())
    first = identity()
    schema = data.schema(columns, { ad = 2 })
    build()
    assert.not_equal(first, identity())
    assert.equal("data.cache data.cache.lock data.csv", files())
  end)

  it("is left alone however the path of its source is typed", function()
    local schema, folder = data.schema(columns), dir:match "[^/]+$"
    local function build(path)
      assert(data.build(schema, path, cache))
      return lfs.attributes(cache, "ino")
    end
    local first = build(source)
    assert(lfs.link(dir, dir .. "/again", true))
    for _, path in ipairs { ("%s/../%s/data.csv"):format(dir, folder), dir .. "//./data.csv",
      dir .. "/again/data.csv" } do
      assert.equal(first, build(path), path)
    end
    os.remove(dir .. "/again")
    helper.write(dir .. "/other.csv", helper.read(source))
    assert.not_equal(first, build(dir .. "/other.csv"))
    os.remove(dir .. "/other.csv")
  end)

  it("is for its own schema only: anything else that changes what is read makes another", function()
    local function changed(index, key, value)
      local list = { sequences = { { name = "s", padding = "0", max = 5 } },
        { name = "y", type = "label" }, { name = "user", type = "id", values = { "a", "b" } },
        { name = "tags", type = "ids", separator = "|", weights_source = "w", max = 4 },
        { name = "words", type = "ids", separator = " ", weights = ":", padding = "0" },
        { name = "both", type = "ids", max = 9, cross = { "user", "tags" } },
        { name = "s.ad", source = "ads", type = "id", sequence = "s" },
        { name = "age", type = "number", missing = 1 } }
      if index then (index == "s" and list.sequences[1] or list[index])[key] = value end
      return data.schema(list)
    end
    helper.write(source, "y,user,tags,w,words,ads,age\n1,a,x|y,1|2,p:1 q:2,d e,5\n0,b,,,,,\n")
    assert(data.build(changed(), source, cache))
    assert(data.open(changed(), cache))
    for _, change in ipairs { { 2, "values", { "a", "c" } }, { 2, "unseen", "zero" },
      { 3, "weights_source", "v" }, { 3, "max", 3 }, { 3, "separator", ";" },
      { 4, "weights", "=" }, { 4, "padding", "none" }, { 5, "cross", { "user", "words" } },
      { 5, "max", 8 }, { "s", "padding", "none" }, { "s", "max", 6 }, { 6, "source", "seen" },
      { 7, "missing", 2 }, { 7, "log1p", true } } do
      local dataset, message = data.open(changed(unpack(change)), cache)
      assert.is_nil(dataset, table.concat({ tostring(change[1]), change[2] }, " "))
      assert.equal(cache .. ": the cache was built with another schema; build it again", message)
    end
  end)

  it("keeps what it points into", function()
    local schema = data.schema(columns)
    assert(data.build(schema, source, cache))
    local before = data.live_blocks()
    local dataset = mr.gc(assert(data.open(schema, cache)), nil)
    C.mr_schema_free(mr.gc(schema, nil))
    os.remove(cache)
    assert.equal(0, C.mr_dataset_floats(dataset, 0)[0] % 1)
    C.mr_dataset_close(dataset)
    assert.is_true(data.live_blocks() < before)
  end)
end)

--- The sections of a cache of one kind, by index: { at =, size = }, bytes.
local function sections_of(bytes, kind)
  local found = {}
  local function number(at, size)
    local value = 0
    for i = size, 1, -1 do value = value * 256 + bytes:byte(at + i) end
    return value
  end
  for at = 136, 136 + 24 * (number(80, 8) - 1), 24 do
    if number(at, 4) == kind then
      found[number(at + 4, 4)] = { at = number(at + 8, 8), size = number(at + 16, 8) }
    end
  end
  return found
end

local DICTIONARY = 5

describe("the dictionary of a table", function()
  local plain = { { name = "a", type = "id", table = "t" }, { name = "b", type = "ids",
    separator = "|", table = "t" }, { name = "c", type = "id" } }

  --- The keys by code, as text.
  local function number_slowly(schema, texts, min_count)
    local seen, shards, codes = {}, {}, {}
    for _, text in ipairs(texts) do seen[text] = (seen[text] or 0) + 1 end
    for s = 0, 15 do shards[s] = s == 0 and { "0ULL" } or {} end
    local done, longest = {}, 1
    for _, text in ipairs(texts) do
      if not done[text] and seen[text] >= min_count then
        done[text] = true
        local key = C.mr_schema_key(schema, 0, text, #text)
        local shard = shards[tonumber(key / 1152921504606846976ULL)] -- 2^60
        shard[#shard + 1] = tostring(key)
        longest = math.max(longest, #shard)
      end
    end
    for s = 0, 15 do
      for i = 0, math.ceil(longest / 8) * 8 - 1 do
        codes[math.floor(i / 8) * 128 + s * 8 + i % 8 + 1] = shards[s][i + 1] or "0ULL"
      end
    end
    return codes
  end

  it("numbers keys as they come in the text, shard by shard, and nothing else", function()
    math.randomseed(5)
    local lines, order = { "c,b,a" }, {}
    for i = 1, 3000 do
      local a, bag = "k" .. math.floor(2000 ^ math.random()), {}
      order[#order + 1] = a -- columns in the order of the schema, not of the file
      for k = 1, math.random(0, 3) do
        bag[k] = "k" .. math.floor(2000 ^ math.random())
        order[#order + 1] = bag[k]
      end
      lines[i + 1] = ("%d,%s,%s"):format(i % 50, table.concat(bag, "|"), a)
    end
    helper.write(source, table.concat(lines, "\n"))
    for _, min_count in ipairs { 1, 3 } do
      for _, threads in ipairs { 1, 3 } do
        local options = { fit = true, block = 777 * threads, pool = data.pool(threads) }
        local schema = data.schema(plain, { t = min_count })
        os.remove(cache)
        assert(data.build(schema, source, cache, options))
        local bytes = helper.read(cache)
        local section = sections_of(bytes, DICTIONARY)[C.mr_schema_find_table(schema, "t")]
        local keys = mr.new("uint64_t[?]", section.size / 8)
        ffi.copy(keys, bytes:sub(section.at + 1, section.at + section.size), section.size)
        local found = {}
        for code = 0, section.size / 8 - 1 do found[code + 1] = tostring(keys[code]) end
        assert.same(number_slowly(schema, order, min_count), found)
      end
    end
  end)
end)

describe("keys that are rare in training data", function()
  local plain = { { name = "a", type = "id", table = "t" }, { name = "b", type = "ids",
    separator = "|", table = "t" }, { name = "c", type = "id" } }
  local text = "a,b,c\nx,y|z,1\nx,y,2\nw,,3\nv,z|w|x,4\n"

  --- The columns with a dot for each key that became unknown.
  local function parse(options, min_count)
    local schema = data.schema(plain, { t = min_count })
    source = helper.write(dir .. "/rare.csv", text)
    assert(data.build(schema, source, cache, options))
    local lines = {}
    for i, row in ipairs(assert(data.rows(schema, plain, cache))) do
      local line = row.a .. "," .. row.b .. "," .. row.c
      for word in ("x y z w v 1 2 3 4"):gmatch "%w" do
        line = line:gsub(data.key(schema, word:match "%d" and "c" or "a", word), word)
      end
      lines[i] = line:gsub("0ULL", "."):gsub(" ", "|")
    end
    local dataset = data.open(schema, cache)
    return lines, tonumber(C.mr_dataset_distinct(dataset, C.mr_schema_find_table(schema, "t"))),
      tonumber(C.mr_dataset_distinct(dataset, C.mr_schema_find_table(schema, "c")))
  end

  it("become unknown", function()
    assert.same({ { "x,y|z,1", "x,y,2", "w,,3", ".,z|w|x,4" }, 4, 4 },
      { parse({ fit = true }, 2) })
  end)

  it("are counted over all columns of a table", function()
    assert.same({ { "x,.|.,1", "x,.,2", ".,,3", ".,.|.|x,4" }, 1, 4 },
      { parse({ fit = true }, 3) })
    assert.same({ { ".,.|.,1", ".,.,2", ".,,3", ".,.|.|.,4" }, 0, 4 },
      { parse({ fit = true }, 4) })
  end)

  it("stay in other data, and where there is no minimum", function()
    local all = { { "x,y|z,1", "x,y,2", "w,,3", "v,z|w|x,4" }, 5, 4 }
    assert.same(all, { parse({}, 3) })
    assert.same(all, { parse({ fit = true }, 1) })
  end)

  it("of a request count once for each of its samples", function()
    local request = { { name = "session", type = "request_key" },
      { name = "u", type = "id", side = "request", table = "t" },
      { name = "p", type = "ids", side = "request", table = "t", separator = "|" },
      { name = "a", type = "id" } }
    local schema = data.schema(request, { t = 3 })
    source = helper.write(dir .. "/r.csv",
      "session,u,p,a\n1,x,y|z,1\n1,x,y|z,1\n1,x,y|z,1\n2,w,z,1\n2,w,z,1\n")
    for block = 0, 25, 5 do
      os.remove(cache)
      assert(data.build(schema, source, cache, { fit = true, block = block }))
      local rows = assert(data.rows(schema, request, cache))
      local y_z, z = data.bag(schema, "p", { "y", "z" }), data.bag(schema, "p", { "z" })
      assert.same({ y_z, y_z, y_z, z, z }, data.column(rows, "p"))
      local x = data.key(schema, "u", "x")
      assert.same({ x, x, x, "0ULL", "0ULL" }, data.column(rows, "u"))
    end
  end)

  it("are as many as a slow count says", function()
    local seen, lines = {}, { "a" }
    math.randomseed(3)
    for i = 1, 60000 do
      local key = math.floor(20000 ^ math.random())
      seen[key], lines[i + 1] = (seen[key] or 0) + 1, tostring(key)
    end
    local kept, distinct = 0, 0
    for _, n in pairs(seen) do kept, distinct = kept + (n >= 5 and 1 or 0), distinct + 1 end
    source = helper.write(dir .. "/many.csv", table.concat(lines, "\n"))
    local one = { { name = "a", type = "id" } }
    local function count(options, min_count)
      local schema = data.schema(one, { a = min_count })
      assert(data.build(schema, source, cache, options))
      local unknown = 0
      for _, row in ipairs(assert(data.rows(schema, one, cache, { batch = 4096 }))) do
        if row.a == "0ULL" then unknown = unknown + 1 end
      end
      return tonumber(C.mr_dataset_distinct(data.open(schema, cache), 0)), unknown
    end
    local rare = 0
    for _, n in pairs(seen) do rare = rare + (n < 5 and n or 0) end
    for _, threads in ipairs { 1, 4 } do
      local found, unknown = count({ fit = true, pool = data.pool(threads), block = 9999 }, 5)
      assert.equal(kept, found)
      assert.equal(rare, unknown)
      os.remove(cache)
    end
    assert.equal(distinct, (count({}, 1)))
    assert.equal(-1, tonumber(C.mr_dataset_distinct(data.open(data.schema(one), cache), 1)))
  end)
end)

describe("a damaged cache", function()
  local schema, bytes
  before_each(function()
    schema = data.schema(columns)
    helper.write(source, make_text(6))
    assert(data.build(schema, source, cache))
    bytes = helper.read(cache)
  end)

  local function with_byte(i, byte)
    helper.write(cache, bytes:sub(1, i - 1) .. string.char(byte) .. bytes:sub(i + 1))
  end

  it("is refused when its header or directory is not what it was", function()
    local unsigned = 136 + 17 * 24 -- header; directory of 17 sections
    for i = 1, unsigned do
      for _, change in ipairs { 1, 128 } do
        with_byte(i, (bytes:byte(i) + change) % 256)
        local dataset, message = data.open(schema, cache)
        assert.is_nil(dataset)
        assert.is_truthy(message:match "^.*data.cache: the .*$")
      end
    end
  end)

  it("says what it finds", function()
    local function refuses(message)
      local _, actual = data.open(schema, cache)
      assert.equal(cache .. ": " .. message, actual)
    end
    with_byte(1, 0)
    refuses "the file is no dataset cache"
    with_byte(9, 9)
    refuses "the cache has format 9, expected 8; build it again"
    with_byte(13, 9)
    refuses "the cache is damaged or of a machine of other byte order"
    with_byte(17, (bytes:byte(17) + 1) % 256)
    refuses "the cache is damaged; build it again"
    helper.write(cache, bytes:sub(1, -2))
    refuses(("the cache has %d bytes, expected %d; build it again"):format(#bytes - 1, #bytes))
    helper.write(cache, bytes:sub(1, 50))
    refuses "the file is no dataset cache"
    helper.write(cache, "")
    refuses "the file is no dataset cache"
    os.remove(cache)
    refuses "No such file or directory"
  end)

  it("never does worse than give wrong numbers", function()
    local refused = 0
    for i = 1, #bytes do
      with_byte(i, (bytes:byte(i) + 1 + i % 255) % 256)
      local rows, message = data.rows(schema, columns, cache)
      if not rows then
        refused = refused + 1
        assert.is_truthy(message:find(cache .. ": the", 1, true))
      end
    end
    assert.is_true(refused > 400)
  end)

  it("is found by the loader where a request or a record is wrong", function()
    -- The last byte of the second place in FIRST_SAMPLE and in the OFFSETS of samples.
    local function u64(at) return bytes:byte(at + 1) + 256 * bytes:byte(at + 2) end
    local function break_section(kind, index, message)
      for at = 136, 136 + 16 * 24, 24 do
        if bytes:byte(at + 1) == kind and bytes:byte(at + 5) == index then
          with_byte(u64(at + 8) + 16, 77)
          local _, actual = data.rows(schema, columns, cache)
          assert.equal(cache .. ": " .. message, actual)
          return
        end
      end
      error "no such section"
    end
    break_section(3, 0, "the cache is damaged at request 0; delete it and build it again")
    break_section(2, 1, "the cache is damaged at row 0; delete it and build it again")
    break_section(2, 0, "the cache is damaged at request 0; delete it and build it again")
  end)

  it("asks for no more memory than a sound one", function()
    local options = mr.new("mr_loader_options", { batch = 1000 })
    local function loader_bytes()
      return tonumber(C.mr_loader_bytes(assert(data.open(schema, cache)), options))
    end
    local most = loader_bytes()
    for _, section in pairs(sections_of(bytes, 2)) do
      for _, byte in ipairs { 77, 127, 128, 255 } do
        with_byte(section.at + 16, byte) -- the highest of the second place
        local found = loader_bytes()
        assert(found > 0 and found <= most, found)
      end
    end
  end)

  it("asks for as much memory as a sound one where the samples of a request are wrong", function()
    local function loader_bytes(shuffle)
      local options = mr.new("mr_loader_options", { batch = 5, shuffle = shuffle })
      return tonumber(C.mr_loader_bytes(assert(data.open(schema, cache)), options))
    end
    local in_any_order = loader_bytes(0)
    local first_sample = sections_of(bytes, 3)[0]
    for place = 0, first_sample.size / 8 - 1 do
      for _, byte in ipairs { 77, 127, 128, 255 } do
        with_byte(first_sample.at + 8 * place + 8, byte) -- the highest
        assert.equal(in_any_order, loader_bytes(0))
        -- So few that are drawn may be the largest; their order has 4 bytes for each.
        assert.equal(in_any_order + 4 * (first_sample.size / 8 - 1), loader_bytes(1))
      end
    end
  end)

  it("is found by the loader where a code is none of the dictionary", function()
    local records = sections_of(bytes, 1)
    local function break_code(at, place)
      with_byte(at + 4, 128) -- the highest byte of a code
      local _, message = data.rows(schema, columns, cache)
      assert.equal(cache .. ": the cache is damaged at " .. place
        .. "; delete it and build it again", message)
    end
    break_code(records[C.MR_REQUEST].at, "request 0") -- user
    break_code(records[C.MR_SAMPLE].at + 8, "row 0") -- ad, after the key of the group
    break_code(records[C.MR_SAMPLE].at + records[C.MR_SAMPLE].size - 4, -- the last tag
      ("row %d"):format(tonumber(C.mr_dataset_samples(data.open(schema, cache))) - 1))
  end)

  it("is built again", function()
    for _, size in ipairs { 0, 60, 200, #bytes - 1 } do
      helper.write(cache, bytes:sub(1, size))
      assert(data.build(schema, source, cache))
      assert.is_true(bytes == helper.read(cache))
    end
    with_byte(100, 1)
    assert(data.build(schema, source, cache))
    assert.is_true(bytes == helper.read(cache))
  end)
end)

describe("a build", function()
  it("does not overwrite what is no cache", function()
    local schema = data.schema(columns)
    helper.fails_with(source .. ": the file is no dataset cache, and is not overwritten",
      data.build(schema, source, source))
  end)

  it("names the place that it cannot write", function()
    local path = dir .. "/none/data.cache"
    helper.fails_with(path .. ".lock: No such file or directory",
      data.build(data.schema(columns), source, path))
  end)

  it("that fails leaves what was there, and nothing else", function()
    local schema = data.schema(columns)
    assert(data.build(schema, source, cache))
    local before = helper.read(cache)
    helper.write(source, make_text(50) .. "too,few,cells\n")
    assert.is_nil((data.build(schema, source, cache, { block = 500, pool = data.pool(3) })))
    assert.is_true(before == helper.read(cache))
    assert.equal("data.cache data.cache.lock data.csv", files())
  end)

  it("clears away what a killed one left", function()
    helper.write(cache .. ".tmp", ("left over "):rep(100000))
    assert(data.build(data.schema(columns), source, cache))
    assert.equal("data.cache data.cache.lock data.csv", files())
    assert(data.rows(data.schema(columns), columns, cache))
  end)

  it("says so when the disk takes no more", function()
    local script = child [[
      local schema = data.schema { { name = "a", type = "id" } }
      local _, message = data.build(schema, dir .. "/long.csv", dir .. "/data.cache")
      print(message)
    ]]
    helper.write(dir .. "/long.csv", "a\n" .. ("1\n"):rep(100000))
    local status, out, err = helper.shell("trap '' XFSZ; ulimit -f 100; " .. script)
    assert.equal("", err)
    assert.equal(0, status)
    assert.equal(cache .. ".tmp: File too large\n", out)
    assert.equal("child.lua data.cache.lock data.csv long.csv", files())
  end)

  it("waits for another of the same cache, and then finds it done", function()
    local script = child [[
      local columns = { { name = "ad", type = "id" }, { name = "click", type = "label" } }
      assert(data.build(data.schema(columns), dir .. "/data.csv", dir .. "/data.cache"))
      assert(data.rows(data.schema(columns), columns, dir .. "/data.cache"))
    ]]
    local log = dir .. "/log"
    local status, _, err = helper.shell(([[
      flock %s.lock sh -c 'sleep 0.4; echo released >> %s' & sleep 0.1
      %s && echo built >> %s & %s && echo built >> %s & wait]]):format(cache, log, script, log,
        script, log))
    assert.equal("", err)
    assert.equal(0, status)
    assert.equal("released\nbuilt\nbuilt\n", helper.read(log))
    assert.equal("child.lua data.cache data.cache.lock data.csv log", files())
  end)

  it("is made by one of two processes that start together", function()
    local script = child [[
      local schema = data.schema { { name = "a", type = "id" } }
      assert(data.build(schema, dir .. "/long.csv", dir .. "/data.cache"))
      print(require "lfs".attributes(dir .. "/data.cache", "ino"))
    ]]
    helper.write(dir .. "/long.csv", "a\n" .. ("1\n"):rep(300000))
    local _, out, err = helper.shell(("%s & %s & wait"):format(script, script))
    assert.equal("", err)
    -- Who builds puts another file in place.
    local file = lfs.attributes(cache, "ino")
    assert.equal(("%d\n%d\n"):format(file, file), out)
  end)

  it("is made anew where a process was killed in the middle", function()
    local schema = data.schema { { name = "a", type = "id" } }
    local long = helper.write(dir .. "/long.csv", "a\n" .. ("1\n"):rep(100000))
    assert(data.build(schema, long, cache))
    local whole = helper.read(cache)
    os.remove(cache)
    local script = child [[
      local schema = data.schema { { name = "a", type = "id" } }
      data.build(schema, dir .. "/long.csv", dir .. "/data.cache")
    ]]
    -- The signal of this limit ends a process as kill -9 does, and at a known place.
    local status = helper.shell("ulimit -f 100; " .. script)
    assert.equal(128 + 25, status)
    assert.equal("child.lua data.cache.lock data.cache.tmp data.csv long.csv", files())
    assert(data.build(schema, long, cache))
    assert.is_true(whole == helper.read(cache))
    assert.equal("child.lua data.cache data.cache.lock data.csv long.csv", files())
  end)

  it("gives everything back when memory runs out, whenever that is", function()
    helper.write(source, make_text(20))
    assert.equal(0, (helper.shell("gzip -n " .. source)))
    for _, threads in ipairs { 1, 3 } do
      local pool = data.pool(threads)
      local failures = data.read_without_memory(columns, source .. ".gz", cache,
        { pool = pool, block = 300, fit = true }, { shuffle = true, batch = 16 })
      assert.is_true(failures > 100)
    end
  end)
end)
