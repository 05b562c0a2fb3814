-- A cache that is built on a thread of its own, watched; compressed text is made on another one.
local data = require "data_helper"
local helper = require "helper"
local lfs = require "lfs"
local mr = require "moonrank.ffi"
local C = mr.C

local columns = { { name = "a", type = "id" }, { name = "b", type = "number" },
  { name = "t", type = "time" } }
local crossed = { { name = "a", type = "id" }, { name = "b", type = "bucket", buckets = 4 },
  { name = "t", type = "time" }, { name = "a_b", type = "id", cross = { "a", "b" } } }

-- Several megabytes: more than what is decompressed ahead.
local dir = helper.temp_dir()
local lines = { "a,b,t\n" }
for i = 1, 200000 do lines[i + 1] = ("user_%d,%d,%d\n"):format(i * 7919 % 5000, i % 100, i) end
local text = table.concat(lines)
helper.write(dir .. "/all.csv", text)
assert(#text > 3e6)
for ending, command in pairs { gz = "gzip -c", zst = "zstd -q -c", lz4 = "lz4 -q -c" } do
  assert.equal(0, (helper.shell(("cd %s && %s all.csv > all.%s"):format(dir, command, ending))))
end

-- Status, message, and the progress at the end.
local function watch(path, cache, options)
  options = options or {}
  local schema, pool = data.schema(options.columns or columns), data.pool(options.threads or 1)
  local format = mr.new("mr_text_format", { delimiter = (","):byte(), quotes = 1 })
  local rule = options.selection and mr.new("mr_selection", options.selection)
  format.selection = rule
  local paths = mr.new("const char *[1]", { path })
  local out, at = mr.new "mr_build *[1]", mr.new "mr_build_progress"
  mr.check(C.mr_build_start(out, schema, format, paths, 1, cache,
    options.fit and 1 or 0, pool))
  local build, before = mr.gc(out[0], C.mr_build_free), 0
  local status = C.mr_build_wait(build, 1, at)
  while status == C.MR_OK do
    assert(at.bytes >= before)
    before = at.bytes
    status = C.mr_build_wait(build, 1, at)
  end
  local message = status < 0 and mr.last_error() or nil
  assert.equal(status, C.mr_build_wait(build, 0, at)) -- and it stays so
  C.mr_build_free(mr.gc(build, nil))
  return status, message, { bytes = tonumber(at.bytes), total = tonumber(at.total) }
end

local function rows_of(cache) return data.rows(data.schema(columns), columns, cache) end

describe("a cache built on a thread of its own", function()
  assert(data.build(data.schema(columns), dir .. "/all.csv", dir .. "/expected"))
  local expected = rows_of(dir .. "/expected")
  assert.equal(200000, #expected)

  for _, ending in ipairs { "csv", "gz", "zst", "lz4" } do
    it("is that of the same text, with any number of threads: " .. ending, function()
      local path, bytes = dir .. "/all." .. ending, nil
      for _, threads in ipairs { 1, 3 } do
        local cache = ("%s/%s-%d"):format(dir, ending, threads)
        local status, _, at = watch(path, cache, { threads = threads })
        assert.equal(C.MR_END, status)
        local size = lfs.attributes(path, "size")
        assert.same({ bytes = size, total = size }, at)
        bytes = bytes or helper.read(cache)
        assert.is_true(bytes == helper.read(cache))
      end
      assert.same(expected, rows_of(dir .. "/" .. ending .. "-1"))
    end)
  end

  it("is there at once when it was built before", function()
    assert.equal(C.MR_END, (watch(dir .. "/all.csv", dir .. "/again")))
    local status, _, at = watch(dir .. "/all.csv", dir .. "/again")
    assert.same({ C.MR_END, 0 }, { status, at.bytes })
  end)

  it("reads files twice for shares of their time", function()
    local status, _, at = watch(dir .. "/all.zst", dir .. "/late",
      { selection = { by = C.MR_BY_TIME_SHARE, column = "t", from = 0.75, to = 1 } })
    local size = lfs.attributes(dir .. "/all.zst", "size")
    assert.same({ C.MR_END, { bytes = 2 * size, total = 2 * size } }, { status, at })
    assert.equal(50000, #rows_of(dir .. "/late"))
  end)

  it("reads them once more where a cross has buckets, as by the times themselves", function()
    local size = lfs.attributes(dir .. "/all.zst", "size")
    local caches = {}
    for passes, rule in pairs { [3] = { by = C.MR_BY_TIME_SHARE, from = 0.25, to = 0.75 },
      [2] = { by = C.MR_BY_TIME, from = 50001, to = 150001 } } do
      rule.column = "t"
      local cache = ("%s/crossed-%d"):format(dir, passes)
      local status, _, at = watch(dir .. "/all.zst", cache, { columns = crossed, fit = true,
        selection = rule })
      assert.same({ C.MR_END, { bytes = passes * size, total = passes * size } }, { status, at })
      local schema = data.schema(crossed)
      assert(data.open(schema, cache))
      caches[#caches + 1] = data.rows(schema, crossed, cache)
    end
    assert.equal(100000, #caches[1])
    assert.same(caches[1], caches[2])
  end)

  it("fails with the first trouble of the file, whichever thread met it", function()
    local wrong = dir .. "/wrong.csv"
    helper.write(wrong, text .. "u,x,1\nu,1,1\n")
    for name, command in pairs { csv = "cat", gz = "gzip -c", zst = "zstd -q -c" } do
      local path = ("%s/wrong.%s"):format(dir, name)
      if name ~= "csv" then helper.shell(("%s %s > %s"):format(command, wrong, path)) end
      local status, message = watch(path, dir .. "/no")
      assert.equal(C.MR_EDATA, status)
      assert.equal(path .. ':200002:3: "x" is not a number (column "b")', message)
      assert.is_false(helper.exists(dir .. "/no"))
    end
    local status, message = watch(dir .. "/none.csv", dir .. "/no")
    assert.same({ C.MR_EIO, dir .. "/none.csv: No such file or directory" }, { status, message })
  end)

  it("stops where compressed data does, and names what is before it first", function()
    local whole = helper.read(dir .. "/all.gz")
    local cut = helper.write(dir .. "/cut.gz", whole:sub(1, -100))
    local status, message = watch(cut, dir .. "/no", { threads = 2 })
    assert.same({ C.MR_EIO, cut .. ": the gzip data ends too early; the file is not complete" },
      { status, message })
    helper.write(dir .. "/early.csv", "a,b,t\nu,x,1\n" .. text:sub(7))
    helper.shell(("cd %s && gzip -c early.csv | head -c 500000 > early.gz"):format(dir))
    status, message = watch(dir .. "/early.gz", dir .. "/no")
    assert.same({ C.MR_EDATA, dir .. '/early.gz:2:3: "x" is not a number (column "b")' },
      { status, message })
  end)

  it("is not waited for less than no time", function()
    local out, at = mr.new "mr_build *[1]", mr.new "mr_build_progress"
    local path, cache = dir .. "/all.csv", dir .. "/waited" -- borrowed while it is built
    local schema, paths = data.schema(columns), mr.new("const char *[1]", { path })
    local format = mr.new("mr_text_format", { delimiter = (","):byte(), quotes = 1 })
    mr.check(C.mr_build_start(out, schema, format, paths, 1, cache, 0, nil))
    local status = C.mr_build_wait(out[0], -1, at)
    local message = mr.last_error()
    C.mr_build_free(out[0])
    assert.equal(C.MR_EINVAL, status)
    assert.equal("milliseconds is -1, expected 0 or more", message)
    assert.equal(path, mr.string(paths[0]))
  end)
end)

describe("a dataset", function()
  it("tells how far its reading is, and then takes the line away", function()
    local told, cleared = {}, 0
    local progress = { update = function(_, what, p) told[#told + 1] = { what = what, p = p } end,
      clear = function() cleared = cleared + 1 end }
    helper.write(dir .. "/fields.yaml", "data: {train: all.zst, format: csv}\nlabel: b\nfields: "
      .. "[{name: a, side: ad, type: id}]\n")
    local dataset = assert(require "moonrank.dataset".open(dir .. "/fields.yaml",
      { labels = false, progress = progress }))
    assert.equal(200000, dataset.train:samples())
    assert.equal(1, cleared)
    for _, t in ipairs(told) do
      assert.equal("reading the train data", t.what)
      assert.equal(lfs.attributes(dir .. "/all.zst", "size"), t.p.total_bytes)
      assert(t.p.bytes >= 0 and t.p.bytes <= t.p.total_bytes and t.p.bytes_per_second >= 0)
    end
    dataset:close()
  end)
end)
