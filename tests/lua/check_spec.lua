-- moonrank check: its figures beside slow loops over the same rows, its findings on data made to
-- have them, and its forecast beside the memory that a training took.
local cjson = require "cjson"
local helper = require "helper"

local FIELDS = [[
data: {train: train.csv, valid: valid.csv}
label: click
time: at
fields:
  - {name: [user, twin, fixed, told, fresh], side: user, type: id}
  - {name: tags, side: ad, type: ids, separator: "|"}
  - {name: [price, plain], side: ad, type: number}
]]

-- Rows as tables, and the project's folder.
local function project()
  local dir, rows = helper.temp_dir(), {}
  local random = helper.random(3)
  for _, split in ipairs { "train", "valid" } do
    rows[split] = {}
    local lines = { "click,user,twin,fixed,told,fresh,tags,price,plain,at" }
    for i = 1, split == "train" and 3000 or 600 do
      local user, click = random(100), random(4) == 1 and 1 or 0
      local n, tags = random(5) - 1, {}
      for k = 1, n do tags[k] = "t" .. random(9) end
      local r = { click = click, user = "u" .. user, twin = "v" .. user, fixed = "x",
        told = random(50) == 1 and "z" or "c" .. click, fresh = split .. random(200),
        tags = tags, price = ("%.3f"):format(math.exp(10 * random())),
        plain = random(4) == 1 and "" or ("%.3f"):format(random()),
        at = split == "train" and i or 2000 + i }
      rows[split][i] = r
      lines[i + 1] = table.concat({ click, r.user, r.twin, r.fixed, r.told, r.fresh,
        table.concat(tags, "|"), r.price, r.plain, r.at }, ",")
    end
    helper.write(("%s/%s.csv"):format(dir, split), table.concat(lines, "\n") .. "\n")
  end
  helper.write(dir .. "/fields.yaml", FIELDS)
  helper.write(dir .. "/lr.yaml", "fields: fields.yaml\nmodel: {script: lr}\n")
  return dir, rows
end

local function column(split, name)
  for _, one in ipairs(split.columns) do
    if one.name == name then return one end
  end
end

describe("moonrank check", function()
  local dir, rows, report

  setup(function()
    dir, rows = project()
    local status, out, err = helper.run("check fields.yaml --json --threads 1", dir)
    assert.same({ 0, "" }, { status, err })
    report = cjson.decode(out)
  end)

  it("counts rows, empty cells, different values and lengths as a slow loop does", function()
    for _, name in ipairs { "train", "valid" } do
      local split, seen, different, empty, lengths = report.splits[name], {}, 0, 0, {}
      for i, r in ipairs(rows[name]) do
        if not seen[r.user] then seen[r.user], different = true, different + 1 end
        empty = empty + (r.plain == "" and 1 or 0)
        lengths[i] = #r.tags
      end
      table.sort(lengths)
      assert.equal(#rows[name], split.rows)
      assert.equal(different, column(split, "user").distinct)
      assert.is_true(column(split, "user").exact)
      assert.equal(empty, column(split, "plain").empty)
      local expected = {}
      for k, p in ipairs { 0.5, 0.9, 0.99, 1 } do
        expected[k] = lengths[math.ceil(p * #lengths)]
      end
      assert.same(expected, column(split, "tags").lengths)
    end
  end)

  it("looks at the parts that data.split makes too", function()
    helper.write(dir .. "/split.yaml", (FIELDS:gsub("data: [^\n]+",
      "data: {train: train.csv, split: {valid: 0.2, test: 0.1}}")))
    local status, out, err = helper.run("check split.yaml --json", dir)
    assert.same({ 0, "" }, { status, err })
    local splits, n = cjson.decode(out).splits, 0
    for _, name in ipairs { "train", "valid", "test" } do
      assert.is_true(splits[name].rows > 100)
      n = n + splits[name].rows
    end
    assert.equal(#rows.train, n)
  end)

  it("has the moments of numbers, before transforms", function()
    local values, sum = {}, 0
    for i, r in ipairs(rows.train) do
      values[i] = tonumber(r.price)
      sum = sum + values[i]
    end
    local mean, m2, m3 = sum / #values, 0, 0
    for _, x in ipairs(values) do m2, m3 = m2 + (x - mean) ^ 2, m3 + (x - mean) ^ 3 end
    local deviation = math.sqrt(m2 / #values)
    local price = column(report.splits.train, "price")
    helper.all_near({ 1, 1, 1 }, { price.mean / mean, price.deviation / deviation,
      price.skewness / (m3 / #values / deviation ^ 3) }, 1e-5)
    assert.is_true(math.abs(price.max / math.max(unpack(values)) - 1) < 1e-6)
  end)

  it("has the share of ones over ten parts, and of values that are new", function()
    local parts = report.splits.train.tasks.ctr.parts
    for p = 1, 10 do
      local ones = 0
      for i = (p - 1) * 300 + 1, p * 300 do ones = ones + rows.train[i].click end
      assert.same({ 300, ones }, { parts[p].n, parts[p].positives })
    end
    local known, new, looked = {}, 0, 0
    for _, r in ipairs(rows.train) do
      for _, tag in ipairs(r.tags) do known[tag] = true end
    end
    for _, r in ipairs(rows.valid) do
      for _, tag in ipairs(r.tags) do
        looked, new = looked + 1, new + (known[tag] and 0 or 1)
      end
    end
    local tags = column(report.splits.valid, "tags")
    assert.same({ looked, new }, { tags.looked, tags.unseen })
    assert.equal(600, column(report.splits.valid, "fresh").unseen)
  end)

  it("finds what is wrong, the gravest first", function()
    local found = {}
    for i, f in ipairs(report.findings) do
      found[i] = ("%s %s"):format(f.kind, f.field or "-")
      assert.is_true(i == 1 or report.findings[i - 1].weight >= f.weight)
    end
    assert.same({ "time -", "leak told", "constant fixed", "duplicate twin", "new values fresh",
      "skewed price" }, found)
    assert.equal("valid begins before train ends: its earliest time is 2001, the latest of train "
      .. "3000", report.findings[1].text)
    assert.equal("transform: log1p", report.findings[#report.findings].advice)
    assert.is_true(column(report.splits.train, "told").aucs.ctr > 0.95)
    assert.is_true(math.abs(column(report.splits.train, "user").aucs.ctr - 0.5) < 0.06)
  end)

  it("tells ten findings of a kind one by one, and of others which columns have them", function()
    local own, random, names, lines = helper.temp_dir(), helper.random(3), {}, {}
    for k = 1, 30 do names[k] = "c" .. k end
    for i = 1, 300 do
      local cells, value = { random(2) - 1 }, random(20)
      for k = 1, 30 do cells[k + 1] = k == 20 and random(9) or value end
      lines[i] = table.concat(cells, ",")
    end
    helper.write(own .. "/train.csv", "click," .. table.concat(names, ",") .. "\n"
      .. table.concat(lines, "\n") .. "\n")
    local function findings(n_fields)
      helper.write(own .. "/fields.yaml", "data: {train: train.csv}\nlabel: click\nfields:\n"
        .. ("  - {name: c1..c%d, side: ad, type: id}\n"):format(n_fields))
      local status, out, err = helper.run("check fields.yaml --quiet", own)
      assert.same({ 0, "" }, { status, err })
      return out:match "\n\n( 1%. .*)$"
    end
    local function twin(i, name)
      return ("%2d. duplicate: %s has the values of c1 in every row, if by other names; leave one "
        .. "of them out\n"):format(i, name)
    end
    local each = {}
    for i = 1, 12 do each[i] = twin(i, "c" .. i + 1) end
    assert.equal(table.concat(each), findings(13))
    assert.equal(table.concat(each, "", 1, 10) .. "11. duplicate: 18 more columns have it: "
      .. "c12..c19, c21..c30; --json tells of each\n", findings(30))
    local _, out = helper.run("check fields.yaml --json", own)
    assert.equal(28, #require "moonrank.json".decode(out).findings)
  end)

  it("says once of a column that nothing is in it, such as a member that no line has", function()
    local own, lines = helper.temp_dir(), {}
    for i = 1, 40 do
      lines[i] = ('{"click":%d,"user":"u%d","prise":%d,"tags":[0,0],"seen":[]}\n'):format(i % 2,
        i % 7, i % 9)
    end
    helper.write(own .. "/train.jsonl", table.concat(lines))
    helper.write(own .. "/fields.yaml", "data: {train: train.jsonl}\nlabel: click\nfields:\n"
      .. "  - {name: user, side: user, type: id}\n  - {name: price, side: ad, type: number}\n"
      .. "  - {name: tags, side: ad, type: ids, padding: 0}\nsequences:\n"
      .. "  - {name: past, side: user, of: {user: seen}}\n")
    local status, out, err = helper.run("check fields.yaml --quiet", own)
    assert.same({ 0, "" }, { status, err })
    assert.equal(" 1. empty: price is empty in every row; leave it out, or see that its source is "
      .. "right\n 2. empty: tags is empty in every row; leave it out, or see its source, separator "
      .. "and padding\n 3. empty: past.user is empty in every row; leave it out, or see its "
      .. "source, separator and padding\n", out:match "\n\n( 1%. .*)$")
  end)

  it("wants log1p of skewed numbers also where some are a little below 0", function()
    local own, random, lines = helper.temp_dir(), helper.random(4), { "click,n,far" }
    for i = 1, 500 do
      local n = math.floor(math.exp(9 * random()))
      lines[i + 1] = ("%d,%d,%d"):format(i % 2, i % 50 == 0 and -2 or n, i % 50 == 0 and -n or n)
    end
    helper.write(own .. "/train.csv", table.concat(lines, "\n") .. "\n")
    helper.write(own .. "/fields.yaml", "data: {train: train.csv}\nlabel: click\nfields:\n"
      .. "  - {name: [n, far], side: ad, type: number}\n")
    local status, out = helper.run("check fields.yaml --quiet", own)
    assert.equal(0, status)
    assert.truthy(out:find "%d%. skewed: n goes from %-2 to [^\n]*; transform: log1p\n", out)
    assert.truthy(out:find "%d%. wide range: far goes from %-[^\n]*; normalize: true\n", out)
    helper.shell("rm " .. own .. "/fields.yaml")
    assert.equal(0, (helper.run("init train.csv", own)))
    local text = helper.read(own .. "/fields.yaml")
    assert.truthy(text:find("{name: n, side: ad, type: number, transform: log1p}", 1, true), text)
    assert.truthy(text:find("{name: far, side: ad, type: number, normalize: true}", 1, true), text)
  end)

  it("finds what was not known yet: times after the row's own, and after now", function()
    local own, lines = helper.temp_dir(), { "rid,click,joined,seen,price,at" }
    local later = 0
    for i = 1, 400 do
      local request = math.floor((i - 1) / 2)
      local at, seen = 1.7e9 + 5000 * i, {}
      for k = 1, request % 4 do seen[k] = 1.7e9 + 5000 * (2 * request - k) end
      if request % 10 == 3 then -- in both rows, an hour after the second
        seen[#seen + 1], later = 1.7e9 + 5000 * (2 * request + 2) + 3600, later + 1
      end
      lines[i + 1] = ("r%d,%d,%.0f,%s,%d,%.0f"):format(request, i % 2, at, table.concat(seen, " "),
        i, at)
    end
    local text = table.concat(lines, "\n") .. "\n"
    helper.write(own .. "/train.csv", text)
    helper.write(own .. "/valid.csv", (text:gsub(",17(%d+)\n", ",9999%1\n")))
    helper.write(own .. "/fields.yaml", "data: {train: train.csv, valid: valid.csv}\n"
      .. "label: click\nrequest: rid\ntime: at\nfields:\n"
      .. "  - {name: [joined, price], side: ad, type: number, normalize: true}\nsequences:\n"
      .. "  - {name: past, side: user, of: {at: {column: seen, type: number}}}\n")
    local status, out, err = helper.run("check fields.yaml --json --threads 1", own)
    assert.same({ 0, "" }, { status, err })
    local found = {}
    for _, f in ipairs(cjson.decode(out).findings) do
      if f.kind == "future" then found[#found + 1] = f.text end
    end
    assert.same({ "the latest time of valid, 999902000000, is yet to come",
      ("past.at has times after the row's own in %d of 400 rows"):format(later) }, found)
    assert.equal(40, later)
  end)

  it("prints times as days, and other numbers as they are written", function()
    local own = helper.temp_dir()
    -- From the first to the second of March 2024, by the calendar: 19,783 days after 1970.
    local first = 19783 * 86400
    local function text_from(from)
      local lines = { "click,joined,price,share,at" }
      for i = 0, 99 do
        lines[i + 2] = ("%d,%d,%d,%.2f,%d"):format(i % 2, first - 86400 * 100,
          i == 99 and 1234567 or i, i / 100, from + i)
      end
      return table.concat(lines, "\n") .. "\n"
    end
    helper.write(own .. "/train.csv", text_from(first + 86400))
    helper.write(own .. "/valid.csv", text_from(first))
    helper.write(own .. "/fields.yaml", "data: {train: train.csv, valid: valid.csv}\n"
      .. "label: click\ntime: at\nfields:\n"
      .. "  - {name: [joined, price, share], side: ad, type: number}\n")
    local status, out, err = helper.run("check fields.yaml --quiet", own)
    assert.same({ 0, "" }, { status, err })
    for _, text in ipairs {
      "\ntimes: 2024-03-02T00:00:00Z to 2024-03-02T00:01:39Z\n",
      "\ntimes: 2024-03-01T00:00:00Z to 2024-03-01T00:01:39Z\n",
      "\njoined  number    0.0 %          -                      -  2023-11-22  2023-11-22  "
        .. "2023-11-22  ",
      "\nprice   number    0.0 %          -                      -           0       12394     "
        .. "1234567  ",
      "\nshare   number    0.0 %          -                      -           0       0.495        "
        .. "0.99  ",
      ". time: valid begins before train ends: its earliest time is 1709251200 "
        .. "(2024-03-01T00:00:00Z), the latest of train 1709337699 (2024-03-02T00:01:39Z); split "
        .. "by time, or figures promise too much\n",
      ". skewed: price goes from 0 to 1234567 with a mean of 12394 (skewness 9.8); transform: "
        .. "log1p\n" } do
      assert.truthy(out:find(text, 1, true), text .. "\nis not in\n" .. out)
    end
    helper.write(own .. "/fields.yaml", (helper.read(own .. "/fields.yaml"):gsub("time: at",
      "time: price")))
    status, out = helper.run("check fields.yaml --quiet", own)
    assert.equal(0, status)
    assert.truthy(out:find("\ntimes: 0 to 1234567\n", 1, true), out)
    assert.truthy(out:find("  1700611200  1700611200  1700611200  ", 1, true), out)
  end)

  it("prints tables and findings, with status 0, and leaves no cache", function()
    local status, out, err = helper.run("check lr.yaml --threads 1", dir)
    assert.same({ 0, "" }, { status, err })
    for _, text in ipairs { "train: 3,000 rows, 3,000 requests\n",
      "valid: 600 rows, 600 requests\n", "memory of a training: about ",
      "3. constant: fixed has the same value in every row; leave it out\n" } do
      assert.truthy(out:find(text, 1, true), text .. "\n" .. out)
    end
    for entry in require "lfs".dir(dir .. "/.moonrank-cache") do
      assert.is_nil(entry:find "^check%-", entry)
    end
  end)

  it("fails where the data or the file is wrong", function()
    local bad = helper.temp_dir()
    helper.write(bad .. "/fields.yaml", "data: {train: x.csv}\nlabel: click\n"
      .. "fields: [{name: a, side: ad, type: number}]\n")
    helper.write(bad .. "/x.csv", "click,a\n1,2\n0,many\n")
    assert.same({ 1, "", 'moonrank: x.csv:3:3: "many" is not a number (column "a")\n' },
      { helper.run("check fields.yaml", bad) })
  end)

  local function ids(keys)
    return function(random)
      return ("%d,%d,%d"):format(random(2) - 1, random(keys), random(keys))
    end
  end
  local IDS = "fields: [{name: [a, b], side: ad, type: id}]\n"
  local ADMIT = "tables: {a: {admit: {count: 2}}, b: {admit: {count: 5}}}\n"
  local FM = "model: {script: fm, dim: 32}\n"

  -- Shapes of data, in each of which another part of the memory is the largest: a header and a row,
  -- of which a request has some; and an experiment.
  local SHAPES = {
    ["a linear model of few rows"] = { rows = 5000, header = "click,a,b", row = ids(500),
      fields = IDS, experiment = "model: {script: lr}\n" },
    ["a linear model of many"] = { rows = 400000, header = "click,a,b", row = ids(300000),
      fields = IDS, experiment = "model: {script: lr}\n", threads = 2 },
    ["layers over few rows"] = { rows = 20000, header = "click,a,b", row = ids(2000),
      fields = IDS, experiment = "model: {script: dnn, hidden: [64, 32]}\n", threads = 2 },
    ["two tables of many keys"] = { rows = 200000, header = "click,a,b", row = ids(400000),
      fields = IDS, experiment = FM },
    ["keys that are admitted by count"] = { rows = 300000, header = "click,a,b", row = ids(200000),
      data = "data: {train: train.csv}\n", fields = IDS .. ADMIT, experiment = FM },
    -- The best model so far is that of an epoch with fewer rows, or not.
    ["keys that are admitted, and the best model"] = { rows = 300000, header = "click,a,b",
      row = ids(200000), fields = IDS .. ADMIT, experiment = FM },
    ["histories under attention"] = { rows = 12000, of_request = 4, header = "rid,past,ad,click",
      row = function(random)
        return ("%d,%d"):format(random(3000), random(2) - 1)
      end,
      request = function(random, q)
        local past = {}
        for k = 1, random(80) - 1 do past[k] = random(3000) end
        return q .. "," .. table.concat(past, " ")
      end,
      fields = "request: rid\nfields: [{name: ad, side: ad, type: id}]\n"
        .. "sequences: [{name: p, side: user, of: {ad: past}}]\n",
      experiment = "model: {script: din}\ntrain: {batch: 2048}\n" },
    ["wide layers and large batches"] = { rows = 40000, header = "click,n1,n2,n3,n4",
      row = function(random)
        return ("%d,%.4f,%.4f,%.4f,%.4f"):format(random(2) - 1, random(), random(), random(),
          random())
      end,
      fields = "fields: [{name: n1..n4, side: ad, type: number}]\n",
      experiment = "model: {script: dnn, hidden: [1024, 1024]}\ntrain: {batch: 16384}\n" },
  }

  -- The most that the process of a training had at a time, by the system's count.
  local function peak_of(words, folder)
    local status, out, err = helper.shell(([[cd %s && luajit -e '
local exit = os.exit
os.exit = function(...)
  io.stderr:write(require "moonrank.clock".peak_memory(), "\n")
  exit(...)
end' %s/moonrank %s]]):format(helper.quote(folder), helper.quote(helper.root()), words))
    assert.same({ 0, "" }, { status, out })
    return tonumber(err)
  end

  for name, shape in pairs(SHAPES) do
    it("forecasts the memory of a training within 10 %: " .. name, function()
      local big = helper.temp_dir()
      local random, lines, request = helper.random(5), { shape.header }, nil
      for i = 1, shape.rows do
        if shape.request and i % shape.of_request == 1 then
          request = shape.request(random, math.ceil(i / shape.of_request)) .. ","
        end
        lines[i + 1] = (request or "") .. shape.row(random)
      end
      helper.write(big .. "/train.csv", table.concat(lines, "\n") .. "\n")
      helper.write(big .. "/fields.yaml", (shape.data
        or "data: {train: train.csv, split: {valid: 0.1}}\n") .. "label: click\n" .. shape.fields)
      helper.write(big .. "/one.yaml", "fields: fields.yaml\n" .. shape.experiment)
      -- In the second epoch the best model so far is there besides.
      local more = ("--set train.epochs=2 --threads %d"):format(shape.threads or 1)
      local status, out, err = helper.run("check one.yaml --json " .. more, big)
      assert.same({ 0, "" }, { status, err })
      local forecast = cjson.decode(out).memory.total
      for _, cache in ipairs { "a new cache", "the same again" } do
        local took = peak_of(("train one.yaml --quiet --restart --out run " .. more), big)
        if not os.getenv "MOONRANK_BUILD" then -- sanitizers take memory of their own
          assert(math.abs(forecast / took - 1) < 0.1, ("%s: %.1f MB, took %.1f MB"):format(cache,
            forecast / 2 ^ 20, took / 2 ^ 20))
        end
      end
    end)
  end
end)

describe("counts of keys", function()
  local KeyCounts = require "moonrank.key_counts"

  it("are exact up to a number of keys, and then of a sample that estimates", function()
    local random, exact, sampled = helper.random(1), KeyCounts.new(100000), KeyCounts.new(1000)
    local plain, different = {}, 0
    for _ = 1, 60000 do
      local key = random(20000)
      local lo, hi = key * 2654435761 % 4294967296, key * 40503 * 65537 % 4294967296
      if not plain[key] then different = different + 1 end
      plain[key] = (plain[key] or 0) + 1
      exact:add(lo, hi, 1, 0, 0)
      sampled:add(lo, hi, 1, 0, 0)
    end
    assert.is_true(exact:exact() and not sampled:exact())
    assert.equal(different, exact:distinct())
    local often = 0
    for key, n in pairs(plain) do
      often = often + (n >= 4 and 1 or 0)
      local lo, hi = key * 2654435761 % 4294967296, key * 40503 * 65537 % 4294967296
      assert.equal(n, (exact:get(lo, hi)))
      local seen = sampled:get(lo, hi)
      assert.is_true(seen == -1 or seen == n)
    end
    assert.equal(often, exact:distinct(4))
    assert.is_true(math.abs(sampled:distinct() / different - 1) < 0.15)
    assert.equal(0, (exact:get(1, 2)))
  end)
end)
