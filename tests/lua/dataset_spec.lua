-- lua/moonrank/dataset.lua, split.lua, schema.lua, pool.lua: the engine's data as Lua sees it.
local helper = require "helper"
local lfs = require "lfs"
local Dataset = require "moonrank.dataset"
local Pool = require "moonrank.pool"
local mr = require "moonrank.ffi"

local C = mr.C

-- The project's rows as they stand in a file: lists by column name.
local function read_csv(path)
  local names, columns = {}, {}
  for line in io.lines(path) do
    local cells = {}
    for cell in (line .. ","):gmatch "([^,]*)," do cells[#cells + 1] = cell end
    if #names == 0 then
      names = cells
      for _, name in ipairs(names) do columns[name] = {} end
    else
      for i, name in ipairs(names) do table.insert(columns[name], cells[i]) end
    end
  end
  return columns
end

local function column_files(dir)
  local files = {}
  for entry in lfs.dir(dir .. "/.moonrank-cache") do
    if entry:find "%.columns$" then files[#files + 1] = entry end
  end
  table.sort(files)
  return files
end

describe("a dataset", function()
  local dir, data

  before_each(function()
    dir = helper.make_project { rows = 400 }
    data = assert(Dataset.open(dir .. "/fields.yaml"))
  end)

  after_each(function() data:close() end)

  it("tells models what fields there are", function()
    assert.same({
      { name = "user", side = "user", type = "id", table = "user", dim = 4, domain = "sample",
        column = 0 },
      { name = "hour", side = "context", type = "id", table = "hour", dim = 4, domain = "sample",
        column = 1 },
      { name = "ad", side = "ad", type = "id", table = "ad", dim = 4, domain = "sample",
        column = 2 },
      { name = "tags", side = "ad", type = "ids", table = "tags", dim = 4, domain = "sample",
        column = 3, pool = "mean" },
      { name = "price", side = "ad", type = "number", domain = "sample", column = 4 },
    }, { unpack(data.fields) })
    assert.equal(data.schema, data.fields.schema)
    assert.same({ { name = "ctr", column = 5, column_name = "label:ctr", source = "click" } },
      data.schema.tasks)
    assert.equal(6, data.schema.group)
  end)

  it("reads labels, numbers and groups as they stand", function()
    local rows = read_csv(dir .. "/train.csv")
    assert.equal(400, data.train:samples())
    assert.equal(400, data.train:requests())
    local labels, prices = {}, {}
    for i = 1, 400 do
      labels[i] = tonumber(rows.click[i])
      prices[i] = math.log(1 + tonumber(rows.price[i]))
    end
    helper.all_near(labels, data.train:labels(), 0)
    helper.all_near(labels, data.train:labels "ctr", 0)
    helper.all_near(labels, data.train:floats "label:ctr", 0)
    helper.all_near(prices, data.train:floats "price", 1e-6)
    assert.is_nil(data.train:labels "cvr")
    local group_of, groups = {}, data.train:groups()
    for i = 1, 400 do
      local key = tostring(groups[i - 1])
      group_of[rows.user[i]] = group_of[rows.user[i]] or key
      assert.equal(group_of[rows.user[i]], key)
    end
  end)

  it("gives every row once in batches, in order or shuffled", function()
    local column = data.schema:column "label:ctr"
    local labels = data.train:labels()
    local seen = {}
    for batch in data.train:loader { batch = 64 } do
      local rows = tonumber(C.mr_batch_rows(batch, C.MR_SAMPLE))
      assert.is_true(rows <= 64)
      for i = 0, rows - 1 do
        seen[#seen + 1] = C.mr_batch_floats(batch, column)[i]
        assert.equal(labels[#seen - 1], seen[#seen])
      end
    end
    assert.equal(400, #seen)

    local price = data.schema:column "price"
    local function sequence(options)
      local list = {}
      for batch in data.train:loader(options) do
        for i = 0, tonumber(C.mr_batch_rows(batch, C.MR_SAMPLE)) - 1 do
          list[#list + 1] = C.mr_batch_floats(batch, price)[i]
        end
      end
      return list
    end
    local first = sequence { batch = 64, shuffle = true, seed = 1, epoch = 1 }
    assert.same(first, sequence { batch = 64, shuffle = true, seed = 1, epoch = 1 })
    assert.not_same(first, sequence { batch = 64, shuffle = true, seed = 1, epoch = 2 })
    local plain = sequence { batch = 64 }
    assert.not_same(first, plain)
    table.sort(first)
    table.sort(plain)
    assert.same(plain, first)
  end)

  it("keeps one cache a split, whatever the widths", function()
    assert.equal(100, data.valid:samples())
    assert.equal(400, data.train:samples())
    local files = column_files(dir)
    assert.equal(2, #files)
    local other = assert(Dataset.open(dir .. "/fields.yaml",
      { set = { "defaults.dim=7", "tables.user.dim=9" } }))
    assert.equal(400, other.train:samples())
    assert.equal(9, other.fields[1].dim)
    assert.same(files, column_files(dir))
    other:close()
    local third = assert(Dataset.open(dir .. "/fields.yaml", { set = { "defaults.min_count=3" } }))
    assert.equal(400, third.train:samples())
    assert.equal(3, #column_files(dir))
    third:close()
  end)

  it("keeps one cache a split, from whatever folder and however its files are named", function()
    local own = helper.make_project { rows = 60 }
    local function caches()
      local list = {}
      for _, file in ipairs(column_files(own)) do
        local ino = lfs.attributes(("%s/.moonrank-cache/%s"):format(own, file), "ino")
        list[#list + 1] = ("%s %d"):format(file, ino)
      end
      return list
    end
    local function prints(words, folder)
      local status, out, err = helper.run(words, folder)
      assert.same({ 0, "" }, { status, err })
      return out
    end
    prints("train lr.yaml --quiet --out run", own)
    local expected = prints("predict run --data test", own)
    local files = caches()
    assert.equal(4, #files) -- that of the test data with labels, too
    assert(lfs.mkdir(own .. "/other"))
    assert(lfs.link(own, own .. "/other/link", true))
    assert.equal(expected, prints("predict ../run --data test", own .. "/other"))
    assert.equal(expected, prints("predict link/run --data test", own .. "/other"))
    assert.equal(expected,
      prints("predict other/../run --data test --set data.root=other/link", own))
    assert.equal(expected, prints("predict run --data test --set 'data.test=te*.csv'", own))
    assert.same(files, caches())
    -- Other words under the name are other data.
    helper.write(own .. "/test.csv", helper.read(own .. "/valid.csv"))
    assert.not_equal(expected, prints("predict other/link/run --data test", own))
    assert.not_same(files, caches())
  end)

  it("knows only the splits that the file names", function()
    helper.write(dir .. "/one.yaml", (helper.read(dir .. "/fields.yaml"):gsub("valid: valid.csv, ",
      "")))
    local one = assert(Dataset.open(dir .. "/one.yaml"))
    assert.is_nil(one.valid)
    assert.is_nil((one:split "valid"))
    helper.raises('no split "vaild", expected train, valid or test', one.split, one, "vaild")
    one:close()
  end)

  it("can be closed twice, and says so when used after", function()
    local train = data.train
    train:close()
    train:close()
    helper.raises("the split train is closed", train.samples, train)
    data:close()
    assert.equal(400, data.train:samples()) -- opened anew
  end)

  it("names a column that is not there", function()
    helper.raises('no column "pricee"; did you mean "price"?', data.train.floats, data.train,
      "pricee")
    helper.raises('unknown option "size" of a loader', data.train.loader, data.train, { size = 1 })
  end)

  it("may do without labels", function()
    local text = helper.read(dir .. "/test.csv"):gsub("[^\n,]*,([^\n]*)", "%1")
    helper.write(dir .. "/test.csv", text)
    local bare = assert(Dataset.open(dir .. "/fields.yaml", { labels = false }))
    assert.equal(100, bare.test:samples())
    assert.is_nil(bare.test:labels())
    assert.is_nil(bare.test:groups())
    bare:close()
    local split, message = data:split "test"
    assert.is_nil(split)
    assert.equal(dir .. '/test.csv:1: column "click" is missing (columns: user, ad, tags, hour, '
      .. "price)", message)
  end)
end)

describe("data with a request key", function()
  it("has fields of the request and of the sample", function()
    local dir = helper.temp_dir()
    helper.write(dir .. "/train.tsv", "rid\tuser\tad\tclick\n1\ta\tx\t0\n1\ta\ty\t1\n2\tb\tx\t0\n")
    helper.write(dir .. "/fields.yaml", [[
data: {train: train.tsv}
label: {ctr: click}
request: rid
fields:
  - {name: user, side: user, type: id}
  - {name: ad, side: ad, type: id}
]])
    local data = assert(Dataset.open(dir .. "/fields.yaml"))
    assert.equal("request", data.fields[1].domain)
    assert.equal("sample", data.fields[2].domain)
    assert.equal(3, data.train:samples())
    assert.equal(2, data.train:requests())
    assert.is_nil(data.train:groups())
    data:close()
  end)
end)

describe("trouble with data", function()
  local function trouble(train, set)
    local dir = helper.temp_dir()
    helper.write(dir .. "/fields.yaml", ("data: {train: %s}\nlabel: click\n"):format(train)
      .. "fields:\n  - {name: user, side: user, type: id}\n")
    local data, message = Dataset.open(dir .. "/fields.yaml", { set = set })
    if data then message = select(2, data:split "train") end
    return message:gsub(dir:gsub("%p", "%%%0"), "DIR")
  end

  it("names the place in the fields file", function()
    assert.equal("DIR/fields.yaml:1:15: cannot read DIR/a.csv: No such file or directory",
      (trouble "a.csv"))
    assert.equal('DIR/fields.yaml:1:15: no file matches "a-*.csv" in DIR', (trouble "a-*.csv"))
  end)

  it("or the option", function()
    assert.equal("--set data.train=b.csv: cannot read DIR/b.csv: No such file or directory",
      (trouble("a.csv", { "data.train=b.csv" })))
  end)

  it("raises where a script just asks for a split", function()
    local dir = helper.make_project { rows = 10 }
    os.remove(dir .. "/train.csv")
    local data = assert(Dataset.open(dir .. "/fields.yaml"))
    helper.raises(("%s/fields.yaml:2:15: cannot read %s/train.csv: No such file or directory")
      :format(dir, dir), function() return data.train end)
  end)
end)

describe("a pool", function()
  it("has as many threads as asked for, or one a CPU", function()
    local pool = Pool.new(3)
    assert.equal(3, pool.threads)
    pool:close()
    pool:close()
    pool = Pool.new "auto"
    assert.equal(Pool.cpus(), pool.threads)
    assert.is_true(pool.threads >= 1)
    pool:close()
  end)

  it("refuses other numbers", function()
    helper.raises('threads is 1.5, expected "auto" or a whole number 1 to 256', Pool.new, 1.5)
    helper.raises('threads is many, expected "auto" or a whole number 1 to 256', Pool.new, "many")
  end)
end)
