-- moonrank init: what it guesses of generated data, and that what it writes trains as it is.
local config = require "moonrank.config"
local helper = require "helper"

-- A file of rows; `row(i, random)` gives the cells.
local function write(path, names, n, row, delimiter)
  local random, lines = helper.random(7), { table.concat(names, delimiter) }
  for i = 1, n do lines[i + 1] = table.concat(row(i, random), delimiter) end
  return helper.write(path, table.concat(lines, "\n") .. "\n")
end

-- Run init in the folder of the data and hand over what the fields file says.
local function init(dir, arguments)
  local status, out, err = helper.run("init " .. arguments, dir)
  assert.same({ 0, "" }, { status, err })
  return assert(config.fields(dir .. "/fields.yaml")), helper.read(dir .. "/fields.yaml"), out
end

local function trains(dir)
  local status, out, err = helper.run("train lr.yaml --threads 1 --out run", dir)
  assert.same({ 0, "" }, { status, err })
  return out
end

local function field(fields, name)
  for _, one in ipairs(fields.fields) do
    if one.name == name then return one end
  end
end

local function show(one) -- what is said of a field, without its defaults
  return one and ("%s %s %s"):format(one.side, one.type, one.transform or one.separator or
    one.table or "")
end

describe("moonrank init", function()
  it("guesses a log of clicks in csv, which trains as it is", function()
    local dir = helper.temp_dir()
    local names = { "click", "user_id", "age", "item_id", "price", "item_tags", "hour", "version",
      "purchase", "play_time_ms", "timestamp", "ts", "row_key", "note", "same", "income" }
    local function row(i, random)
      local user, item = random(40), random(60)
      local click = random(4) == 1 and 1 or 0
      return { click, "u" .. user, 18 + user % 50, "i" .. item,
        ("%.2f"):format(math.exp(10 * random())), ("%s|t%d"):format("t" .. item % 7, item % 5),
        random(24) - 1, 3, click * (random(2) - 1), click * random(1000), 1600000000 + i, 10 * i,
        ("k%d"):format(i), ("%s word%d of a long text, with commas and more"):format(
          ("word "):rep(10), random(1e6)):gsub(",", ";"):gsub("|", " "), click,
        random(3) == 1 and "" or math.floor(math.exp(9 * random())) }
    end
    write(dir .. "/train.csv", names, 1200, row, ",")
    write(dir .. "/val.csv", names, 300, row, ",")
    write(dir .. "/test.csv", names, 300, row, ",")
    local fields, text, out = init(dir, "train.csv")
    assert.same({ train = "train.csv", valid = "val.csv", test = "test.csv" },
      { train = fields.data.train, valid = fields.data.valid, test = fields.data.test })
    assert.same({ ctr = "click" }, fields.label)
    assert.equal("user_id", fields.group)
    assert.same({
      user_id = "user id user_id", age = "user id age", item_id = "ad id item_id",
      price = "ad number log1p", item_tags = "ad ids |", hour = "context id hour",
      income = "user number log1p",
    }, {
      user_id = show(field(fields, "user_id")), age = show(field(fields, "age")),
      item_id = show(field(fields, "item_id")), price = show(field(fields, "price")),
      item_tags = show(field(fields, "item_tags")), hour = show(field(fields, "hour")),
      income = show(field(fields, "income")),
    })
    assert.equal(7, #fields.fields)
    for _, line in ipairs {
      "# version: 3 in all of the sample",
      "# purchase, play_time_ms: known only after the click by its name: as a field it would tell "
        .. "the label",
      "# timestamp, ts: a time: new ones come after the training, so models know none of them",
      "# row_key: another value in every row: it tells nothing of other rows",
      "# note: free text, which is not read", "# same: the same as the label",
      '  # text, 40 values; user: "user" in its name',
    } do
      assert.truthy(text:find(line .. "\n", 1, true), line .. "\nis not in\n" .. text)
    end
    assert.equal("fields.yaml: 8 columns of train.csv, 8 left out, the label is click\n"
      .. "lr.yaml: a first experiment\n\nnext: " .. helper.command() .. " train lr.yaml\n",
      out)
    assert.truthy(trains(dir):find "\ntest +300 ")
  end)

  it("guesses requests and sequences in tsv, which train as they are", function()
    local dir = helper.temp_dir()
    local names = { "request_id", "user_id", "gender", "position", "ad_id", "cate", "click_ads",
      "click_cates", "label" }
    local user, history, cates
    write(dir .. "/x-train.tsv", names, 1500, function(i, random)
      if i % 5 == 1 then
        user, history, cates = random(50), {}, {}
        for k = 1, random(6) - 1 do
          history[k] = random(80)
          cates[k] = "c" .. history[k] % 9
        end
      end
      local ad = random(80)
      return { math.floor((i - 1) / 5), user, user % 2 == 0 and "m" or "f", i % 5, ad,
        "c" .. ad % 9, table.concat(history, " "), table.concat(cates, " "), random(2) - 1 }
    end, "\t")
    local fields, text = init(dir, "x-train.tsv")
    assert.equal("request_id", fields.request)
    assert.equal("user", field(fields, "gender").side)
    assert.equal("ad", field(fields, "position").side)
    assert.truthy(text:find("it differs within a request", 1, true))
    assert.equal(1, #fields.sequences)
    local sequence = fields.sequences[1]
    assert.same({ "click", "user", " ", "click_ads", "ad_id", "click_cates", "cate" },
      { sequence.name, sequence.side, sequence.separator, sequence.of.ad_id.column,
        sequence.of.ad_id.table, sequence.of.cate.column, sequence.of.cate.table })
    trains(dir)
    local status, _, err = helper.run("train lr.yaml --threads 1 --out din --set model.script=din",
      dir)
    assert.same({ 0, "" }, { status, err })
  end)

  it("takes types from a header NAME:TYPE", function()
    local dir = helper.temp_dir()
    write(dir .. "/x.inter", { "user_id:token", "item_id:token", "title:token_seq", "click:float",
      "price:float", "code:float_seq", "codes:float_seq" }, 600, function(_, random)
      local item = random(50)
      return { random(30), item, ("big film %d"):format(item % 6), random(2) - 1,
        ("%.1f"):format(random() * 9), "0.5 " .. random(9),
        ("1 "):rep(random(3)) }
    end, "\t")
    local fields, text = init(dir, "x.inter")
    assert.equal("tsv", fields.data.format)
    assert.same({ ctr = "click:float" }, fields.label)
    assert.equal("user_id:token", fields.group)
    assert.same({ "user_id", "user_id:token", "user", "id" }, { fields.fields[1].name,
      fields.fields[1].source, fields.fields[1].side, fields.fields[1].type })
    assert.equal("ad ids  ", show(field(fields, "title")))
    assert.equal("ad number none", show(field(fields, "price")))
    assert.same({ "vector", 2, " " }, { field(fields, "code").type, field(fields, "code").width,
      field(fields, "code").separator })
    assert.truthy(text:find("# codes:float_seq: numbers, but not equally many in each cell", 1,
      true))
    trains(dir)
  end)

  it("calls columns by their places where no header names them", function()
    local dir, random = helper.temp_dir(), helper.random(2)
    local lines = {}
    for i = 1, 500 do -- as the rows of Criteo: a label, counts, texts
      local cells = { random(2) - 1, ("%.2f"):format(random() * 90) }
      for c = 3, 9 do cells[c] = c % 3 == 0 and "" or random(1000) end
      for c = 10, 30 do cells[c] = ("%08x"):format(random(100 + c) * 7919) end
      lines[i] = table.concat(cells, "\t") .. "\n"
    end
    helper.write(dir .. "/rows.tsv", table.concat(lines))
    local fields, text = init(dir, "rows.tsv")
    assert.is_false(fields.data.header)
    assert.equal(30, #fields.data.columns)
    assert.same({ "col1", "col30" }, { fields.data.columns[1], fields.data.columns[30] })
    assert.same({ ctr = "col1" }, fields.label)
    assert.equal("number", field(fields, "col2").type)
    assert.equal("id", field(fields, "col30").type)
    assert.truthy(text:find("# no file beside it is called valid: 10 % of the rows are held back, "
      .. "by chance, to judge models by\n# the first line is a row like others: columns are called "
      .. "by their places\ndata: {train: rows.tsv, split: {valid: 0.1}, header: false, "
      .. "columns: [col1..col30]}\n", 1, true), text)
    assert.truthy(text:find("\n  # col10..col30: text, %d+ to %d+ values\n  # ad: nothing tells "
      .. "whose it is\n  %- {name: %[col4, col5, col7, col8, col10..col30%], side: ad, "
      .. "type: id}\n"), text)
    for line in text:gmatch "[^\n]+" do assert(#line <= 100, line) end
    trains(dir)
    local _, out = helper.run("check fields.yaml", dir)
    assert.truthy(out:find("^train: 4%d%d rows"), out)
  end)

  it("makes a label of ratings, of two texts, or of what is named", function()
    local dir = helper.temp_dir()
    local function label_of(names, row, arguments)
      write(dir .. "/x.csv", names, 400, row, ",")
      local fields, text = init(dir, "x.csv --force " .. (arguments or ""))
      helper.shell(("rm -rf %s/run"):format(dir))
      trains(dir)
      return fields.label.ctr, text:match "\n(# [^\n]*)\nlabel:"
    end
    -- Of 400 rows 80 have each rating: 4 and 5 are two fifths, 3 to 5 are three.
    local function rated(i, random) return { random(30), i % 5 + 1, random(40) } end
    assert.same({ { column = "rating", from = 3 },
      "# numbers from 1 to 5: those from 3 on are 1, in 60 % of the rows" },
      { label_of({ "user", "rating", "ad" }, rated) })
    assert.same({ { column = "stars", from = 3 },
      "# numbers from 1 to 5: those from 3 on are 1, in 60 % of the rows" },
      { label_of({ "user", "stars", "ad" }, rated, "--label stars") })
    local function texts(i, random)
      return { random(30), random(40), i % 4 == 0 and "yes, much" or "no" }
    end
    local function quoted(i, random)
      local cells = texts(i, random)
      return { cells[1], cells[2], '"' .. cells[3] .. '"' }
    end
    assert.same({ { column = "outcome", is = { "yes, much" } },
      "# two texts in the last column: the rarer one is 1, in 25 % of the rows" },
      { label_of({ "user", "ad", "outcome" }, quoted) })
    assert.same({ { column = "income", is = { "yes, much" } },
      "# two texts: the rarer one is 1, in 25 % of the rows" },
      { label_of({ "user", "ad", "income" }, quoted, "--label income") })
  end)

  it("takes lists of fractions for vectors, or leaves them out", function()
    local dir = helper.temp_dir()
    write(dir .. "/x.csv", { "click", "ad", "picture", "gaps", "ids" }, 300, function(_, random)
      local gaps = {}
      for k = 1, random(3) do gaps[k] = ("%.3f"):format(random()) end
      return { random(2) - 1, random(9), ("%.2f|%.2f|1"):format(random(), random()),
        table.concat(gaps, "|"), random(9) .. "|" .. random(9) }
    end, ",")
    local fields, text = init(dir, "x.csv")
    assert.same({ "vector", 3, "|" }, { field(fields, "picture").type,
      field(fields, "picture").width, field(fields, "picture").separator })
    assert.equal("ids", field(fields, "ids").type)
    assert.truthy(text:find("# gaps: numbers, but not equally many in each cell\n", 1, true))
    trains(dir)
  end)

  it("guesses JSON lines with objects, lists and sequences", function()
    local dir, random, lines = helper.temp_dir(), helper.random(3), {}
    for i = 1, 400 do
      local user, ads, gaps = random(30), {}, {}
      for k = 1, random(4) - 1 do
        ads[k], gaps[k] = ('"i%d"'):format(random(50)), ("%.1f"):format(random() * 9)
      end
      lines[i] = ('{"click": %s, "user": {"id": "u%d", "age": %d}, "item": "i%d", "tags": [%s], '
        .. '"seen_item": [%s], "seen_gap": [%s], "shape": [%.2f, %.2f], "note": null, '
        .. '"parts": [{"a": 1}]}'):format(random(4) == 1, user, 20 + user % 40, random(50),
        random(3) == 1 and '"a b"' or '"new", "a b"', table.concat(ads, ", "),
        table.concat(gaps, ", "), random(), random())
    end
    helper.write(dir .. "/log.txt", table.concat(lines, "\n") .. "\n")
    local fields, text = init(dir, "log.txt")
    assert.same({ "jsonl", { ctr = "click" }, "user.id" },
      { fields.data.format, fields.label, fields.group })
    assert.same({ "user id user.id", "ad id item", "ad ids tags", "ad vector shape" }, {
      show(field(fields, "user.id")), show(field(fields, "item")),
      ("%s %s %s"):format(field(fields, "tags").side, field(fields, "tags").type,
        field(fields, "tags").source),
      ("%s %s %s"):format(field(fields, "shape").side, field(fields, "shape").type,
        field(fields, "shape").source) })
    assert.equal("user", field(fields, "user.age").side)
    assert.equal(1, #fields.sequences)
    local sequence = fields.sequences[1]
    assert.same({ "seen", "seen_item", "item", "number" }, { sequence.name,
      sequence.of.item.column, sequence.of.item.table, sequence.of.seen_gap.type })
    assert.truthy(text:find("# note: empty in all of the sample\n"
      .. "# parts: lists within a list, or objects\n", 1, true), text)
    trains(dir)
  end)

  it("guesses libsvm: a bag where all values are 1, else numbers", function()
    local dir, random, lines = helper.temp_dir(), helper.random(4), {}
    for i = 1, 300 do
      local pairs_ = {}
      for k = 1, random(5) do pairs_[k] = ("%d:1"):format(100 * k + random(99)) end
      lines[i] = (random(2) == 1 and "+1 " or "-1 ") .. table.concat(pairs_, " ")
    end
    helper.write(dir .. "/x.svm", table.concat(lines, "\n") .. "\n")
    local fields, text = init(dir, "x.svm")
    assert.same({ { ctr = "label" }, 1, "ids", "features" }, { fields.label, #fields.fields,
      fields.fields[1].type, fields.fields[1].source })
    assert.truthy(text:find("\ndata: {train: x.svm, split: {valid: 0.1}}\n", 1, true), text)
    trains(dir)
    for i = 1, 300 do
      lines[i] = ("%d qid:%d 1:%.3f 3:%d 12:%.2f"):format(random(2) - 1, i / 10, random(),
        random(9), 100 * random())
    end
    helper.write(dir .. "/y.txt", table.concat(lines, "\n") .. "\n")
    fields = init(dir, "y.txt --force")
    assert.same({ "libsvm", "qid", "f1", "1", "number", "f3", "id", "f12", "12", "number" }, {
      fields.data.format, fields.group, fields.fields[1].name, fields.fields[1].source,
      fields.fields[1].type, fields.fields[2].name, fields.fields[2].type,
      fields.fields[3].name, fields.fields[3].source, fields.fields[3].type })
    helper.shell("rm -r " .. dir .. "/run")
    trains(dir)
  end)

  it("finds what lists are filled up with, behind or in front", function()
    local dir = helper.temp_dir()
    local function fill(n, length, draw, at_front, separator)
      local list = {}
      for k = 1, n do list[k] = draw() end
      for _ = n + 1, length do table.insert(list, at_front and 1 or #list + 1, "0") end
      return table.concat(list, separator or " ")
    end
    local names = { "click", "user_id", "ad_id", "cate_id", "click_ads", "click_cates", "seen_ads",
      "tags", "codes", "bits", "past_gap_days" }
    write(dir .. "/x.tsv", names, 800, function(_, random)
      local n = random(11) - 1
      return { random(2) - 1, random(90), random(60), random(9),
        fill(n, 10, function() return random(60) end),
        fill(n, 10, function() return random(10) - 1 end), -- 0 is a category, too
        fill(random(9) - 1, 8, function() return random(60) end, true),
        fill(random(6) - 1, 5, function() return "t" .. random(7) end, false, "|"),
        fill(5, 5, function() return "c" .. random(7) end, false, "|"), -- of one length, not filled
        fill(4, 4, function() return random(2) - 1 end, false, "|"), -- zeros at any place
        fill(n, 10, function() return random(900) end) }
    end, "\t")
    local fields, text = init(dir, "x.tsv")
    assert.same({ nil, "0", "0" }, { field(fields, "codes").padding, field(fields, "tags").padding,
      field(fields, "seen_ads").padding })
    assert.is_nil(field(fields, "bits").padding)
    local sequence = fields.sequences[1]
    assert.truthy(sequence.of.past_gap_days, text)
    assert.same({ 1, "0", "click_ads", "click_cates", "number" }, { #fields.sequences,
      sequence.padding, sequence.of.ad_id.column, sequence.of.cate_id.column,
      sequence.of.past_gap_days.type })
    for _, line in ipairs {
      '  # lists of up to 5, 7 different, filled up with 0 behind to one length; ad: "tags" in its '
        .. 'name\n  - {name: tags, side: ad, type: ids, separator: "|", padding: 0}\n',
      "filled up with 0 in front to one length, values of ad_id;",
      "  # equally many values in every row: columns of one sequence; filled up with 0 behind to "
        .. "one length\n",
    } do
      assert.truthy(text:find(line, 1, true), line .. "\nis not in\n" .. text)
    end
    trains(dir)
  end)

  it("takes blanks around numbers and texts for what they are", function()
    local dir = helper.temp_dir()
    write(dir .. "/x.csv", { "age", "work", "weeks", "wage", "income" }, 400, function(_, random)
      return { random(80), " Not in universe", " " .. random(52), (" %.2f"):format(random() * 90),
        random(9) == 1 and " 50000+." or " - 50000." }
    end, ",")
    local fields, text = init(dir, "x.csv --label income")
    assert.same({ column = "income", is = { " 50000+." } }, fields.label.ctr)
    assert.same({ "ad id weeks", "ad number none" },
      { show(field(fields, "weeks")), show(field(fields, "wage")) })
    assert.truthy(text:find("# two texts: the rarer one is 1, in ", 1, true), text)
    trains(dir)
  end)

  it("leaves out what tells the label in every row, and holds rows back to judge by", function()
    local dir = helper.temp_dir()
    local names, n = { "click", "user_id", "class", "nearly" }, 900
    local function row(i, random)
      local click = random(3) == 1 and 1 or 0
      return { click, random(40), click == 1 and 3 + random(2) or random(3),
        i == 7 and 1 - click or click }
    end
    write(dir .. "/x.csv", names, n, row, ",")
    local fields, text = init(dir, "x.csv")
    assert.truthy(text:find("\n# class: its values tell the label in every row: known only after "
      .. "the click, it seems\n", 1, true), text)
    assert.equal("ad id nearly", show(field(fields, "nearly")))
    assert.equal(0.1, fields.data.split.valid)
    assert.equal("train: {batch: 32, epochs: 1, seed: 1, optimizer: {adam: {lr: 0.01}}}\n",
      helper.read(dir .. "/lr.yaml"):match "train: .*")
    assert.truthy(trains(dir):find "rows: train 8%d%d, valid %d+\n")
    -- Where there is a file for that, or too little, all rows are trained on.
    write(dir .. "/valid.csv", names, 50, row, ",")
    helper.shell(("mv %s/x.csv %s/train.csv"):format(dir, dir))
    assert.is_nil(init(dir, "train.csv --force").data.split)
    write(dir .. "/few.csv", names, 200, row, ",")
    assert.is_nil(init(dir, "few.csv --force").data.split)
    assert.truthy(helper.read(dir .. "/lr.yaml"):find("{batch: 16,", 1, true))
  end)

  it("guesses libffm and named pairs, field by field", function()
    local dir, random, lines = helper.temp_dir(), helper.random(5), {}
    for i = 1, 300 do
      lines[i] = ("%d 0:%d:1 1:%d:1 2:%d:1 2:%d:1 3:7:%.2f 4:%d:%.1f"):format(random(2) - 1,
        random(30), 100 + random(9), 200 + random(9), 220 + random(9), random() * 9, random(9),
        random())
    end
    helper.write(dir .. "/x.ffm", table.concat(lines, "\n") .. "\n")
    local fields, text = init(dir, "x.ffm")
    local types = {}
    for i, one in ipairs(fields.fields) do types[i] = one.name .. " " .. one.type end
    assert.same({ "field0 id", "field1 id", "field2 ids", "field3 number" }, types)
    assert.truthy(text:find("# 4: values beside indices that differ: one of both can be read\n",
      1, true), text)
    trains(dir)
    for i = 1, 300 do
      local tags = {}
      for k = 1, random(3) do tags[k] = ("tag:%d"):format(random(9)) end
      lines[i] = ("%d,%d,%d,user_id:%d,ad:%d,%s"):format(i, random(2) - 1, random(2) - 1,
        random(30), random(40), table.concat(tags, ","))
    end
    helper.write(dir .. "/y.txt", table.concat(lines, "\n") .. "\n")
    fields, text = init(dir, "y.txt --force")
    assert.same({ "pairs", { "col1", "col2", "col3" }, { ctr = "col2" }, "user_id" },
      { fields.data.format, fields.data.columns, fields.label, fields.group })
    assert.same({ "id", "id", "ids" }, { field(fields, "user_id").type, field(fields, "ad").type,
      field(fields, "tag").type })
    assert.truthy(text:find("# col3: 0 and 1: another task, perhaps, of `label`\n", 1, true), text)
    helper.shell("rm -r " .. dir .. "/run")
    trains(dir)
  end)

  it("writes hundreds of columns in a few lines", function()
    local dir, names = helper.temp_dir(), { "click" }
    for c = 1, 400 do names[c + 1] = ("f%03d"):format(c) end
    write(dir .. "/x.csv", names, 200, function(_, random)
      local cells = { random(2) - 1 }
      for c = 1, 400 do
        cells[c + 1] = c <= 300 and random(9) or c <= 390 and ("%.3f"):format(random()) or 7
      end
      return cells
    end, ",")
    local fields, text = init(dir, "x.csv")
    assert.equal(390, #fields.fields)
    assert.same({ "f001", "id", "f390", "number" }, { fields.fields[1].name, fields.fields[1].type,
      fields.fields[390].name, fields.fields[390].type })
    assert.equal(([[
fields:
  # f001..f300: whole numbers, 9 values
  # ad: nothing tells whose it is
  - {name: f001..f300, side: ad, type: id}
  # f301..f390: numbers, %s
  # ad: nothing tells whose it is
  - {name: f301..f390, side: ad, type: number}

# Columns that are left out:
# f391..f400: 7 in all of the sample
]]):format(text:match "f390: numbers, ([^\n]*)"), text:match "fields:.*")
    trains(dir)
  end)

  it("writes names and lists that YAML and csv need quotes for", function()
    local dir = helper.temp_dir()
    write(dir .. "/x.csv", { "target", "101", '"a ""b"": c"', "true", '"ids, all"' }, 300,
      function(_, random)
        return { random(2) - 1, random(9), '"x, ' .. random(5) .. '"', "v" .. random(4),
          ('"%d;%d"'):format(random(20), random(20)) }
      end, ",")
    local fields = init(dir, "x.csv")
    assert.equal("101", field(fields, "101").source)
    assert.equal('a "b": c', field(fields, 'a_"b"_c').source)
    assert.equal("true", field(fields, "true").source)
    assert.equal(";", field(fields, "ids,_all").separator)
    trains(dir)
  end)

  it("names the data from the folder of the file it writes", function()
    local dir = helper.temp_dir()
    write(dir .. "/data/x.csv", { "click", "ad" }, 100, function(i)
      return { i % 2, i % 7 } end, ",")
    local status, out = helper.run("init data/x.csv --out conf/f.yaml", dir)
    assert.equal(0, status)
    assert.truthy(out:find("\nconf/lr.yaml: a first experiment\n", 1, true))
    assert.equal(dir .. "/data", assert(config.fields(dir .. "/conf/f.yaml")).data.root)
    status = helper.run("train conf/lr.yaml --threads 1 --out run", dir)
    assert.equal(0, status)
  end)

  it("writes over nothing without --force", function()
    local dir = helper.temp_dir()
    write(dir .. "/x.csv", { "click", "ad" }, 100, function(i) return { i % 2, i % 7 } end, ",")
    for _, name in ipairs { "fields.yaml", "lr.yaml" } do
      helper.write(dir .. "/" .. name, "mine")
      assert.same({ 1, "", ("moonrank: %s is there already; write another with --out FILE, or over "
        .. "it with --force\n"):format(name) }, { helper.run("init x.csv", dir) })
      assert.equal("mine", helper.read(dir .. "/" .. name))
      assert.equal(0, (helper.run("init x.csv --force", dir)))
      assert.not_equal("mine", helper.read(dir .. "/" .. name))
      os.remove(dir .. "/fields.yaml")
      os.remove(dir .. "/lr.yaml")
    end
  end)

  it("guesses standard input, which every run is then given", function()
    local dir = helper.temp_dir()
    local function row(i, random) return { i % 3 == 0 and 1 or 0, "u" .. random(9) } end
    write(dir .. "/x.csv", { "click", "user" }, 300, row, ",")
    local _, named = init(dir, "x.csv")
    local command = helper.command()
    local function given(words)
      return { helper.shell(("cd %s && gzip -c x.csv | %s %s"):format(helper.quote(dir), command,
        words)) }
    end
    assert.same({ 0, "piped/fields.yaml: 2 columns of standard input, 0 left out, the label is "
      .. "click\npiped/lr.yaml: a first experiment\n\nnext: " .. command
      .. " train piped/lr.yaml <DATA\n", "" }, given "init - --out piped/fields.yaml")
    assert.equal((named:gsub("\ndata: [^\n]+",
      '\ndata: {train: "-", split: {valid: 0.1}, format: csv}')),
      helper.read(dir .. "/piped/fields.yaml"))
    assert.same({ 0, "", "" }, given "train piped/lr.yaml --quiet --out run")
  end)

  it("refuses a pipe, which no later run could read", function()
    local dir = helper.temp_dir()
    assert.equal(0, os.execute("mkfifo " .. helper.quote(dir .. "/pipe")))
    assert.same({ 1, "", "moonrank: pipe is a pipe, which no later run can read again; name the "
      .. 'file itself, compressed or not, or "-" for standard input\n' },
      { helper.run("init pipe", dir) })
    assert.is_false(helper.exists(dir .. "/fields.yaml"))
  end)

  it("says what it cannot guess", function()
    local dir = helper.temp_dir()
    local function says(message, text, arguments)
      helper.write(dir .. "/x.csv", text)
      assert.same({ 1, "", "moonrank: " .. message .. "\n" },
        { helper.run("init x.csv " .. (arguments or ""), dir) })
      assert.is_false(helper.exists(dir .. "/fields.yaml"))
    end
    says("x.csv: no column looks like a label, which is 0 or 1 in every row; name one with --label "
      .. "COLUMN", "stars,ad\n3,1\n4,2\n")
    says('x.csv:1: no column is called "clik"; did you mean "click"?', "click,ad\n1,2\n0,3\n",
      "--label clik")
    says('x.csv: column "kind" has 3 different texts; a label is 0 or 1, one of two texts, or '
      .. "numbers from one on", "kind,ad\na,1\nb,2\nc,3\n", "--label kind")
    says("x.csv: no tabs or commas divide its lines into equally many cells; expected csv, tsv, "
      .. "JSON lines, libsvm, libffm or named pairs", "a\nb\nc\n")
    says("x.csv: no rows follow the header", "click,ad\n")
    says("x.csv: no column is left that could be a field", "click,ad\n1,2\n0,2\n")
    says("x.csv: the file is empty", "")
    os.remove(dir .. "/x.csv")
    assert.same({ 1, "", "moonrank: x.csv: No such file or directory\n" },
      { helper.run("init x.csv", dir) })
    assert.same({ 1, "", "moonrank: no file matches y-*.csv\n" },
      { helper.run("init 'y-*.csv'", dir) })
  end)

  it("guesses values with weights behind them, but no kinds, times and sequences", function()
    local dir = helper.temp_dir()
    local function joined(random, most, separator, one)
      local list = {}
      for k = 1, random(most + 1) - 1 do list[k] = one(k) end
      return table.concat(list, separator)
    end
    write(dir .. "/train.csv", { "click", "user_id", "item_id", "words", "counts", "seen_items",
      "kinds", "times", "mixed" }, 600, function(i, random)
      return { random(2) - 1, "u" .. i % 50, "i" .. random(40),
        joined(random, 4, " ", function() return ("w%d=%.3f"):format(random(30), random()) end),
        joined(random, 4, "|", function() return ("c%d:%d"):format(random(40), random(5)) end),
        joined(random, 5, ";", function() return ("i%d:%.2f"):format(random(40), random()) end),
        joined(random, 3, "|", function() return ("cate:%d"):format(random(20)) end),
        joined(random, 3, "|", function() return ("%d:%02d"):format(random(24), random(60)) end),
        joined(random, 3, "|", function(k) return k == 1 and "m1" or ("m%d:0.5"):format(k) end) }
    end, ",")
    local fields, text = init(dir, "train.csv")
    local function shown(name)
      local one = field(fields, name)
      return { one.type, one.separator, one.weighted, one.weight_separator, one.table }
    end
    assert.same({ "ids", " ", true, "=", "words" }, shown "words")
    assert.same({ "ids", "|", true, ":", "counts" }, shown "counts")
    assert.same({ "ids", ";", true, ":", "item_id" }, shown "seen_items")
    for _, name in ipairs { "kinds", "times", "mixed" } do
      assert.is_nil(field(fields, name).weighted)
    end
    assert.is_nil(fields.sequences)
    assert(text:find("lists of up to 4, 40 different, each with a weight behind it; ", 1, true))
    assert(text:find('separator: "|", weighted: true}', 1, true))
    trains(dir)
  end)

  it("normalises numbers that are far from 1, so that check wants nothing of them", function()
    local dir = helper.temp_dir()
    write(dir .. "/train.csv", { "click", "item_id", "duration", "depth", "ratio" }, 600,
      function(_, random)
        return { random(2) - 1, "i" .. random(40), ("%.1f"):format(4000 + 900 * random()),
          ("%.1f"):format(-500 * random()), ("%.2f"):format(99 * random()) }
      end, ",")
    local fields, text = init(dir, "train.csv")
    assert.same({ true, true }, { field(fields, "duration").normalize,
      field(fields, "depth").normalize })
    assert.is_nil(field(fields, "ratio").normalize)
    assert(text:find("type: number, normalize: true}", 1, true), text)
    local status, out, err = helper.run("check lr.yaml", dir)
    assert.same({ 0, "" }, { status, err })
    assert.is_nil(out:find("wide range", 1, true), out)
    trains(dir)
  end)

  it("guesses weights in a column beside, but not numbers of a history", function()
    local dir = helper.temp_dir()
    local function joined(list, separator) return table.concat(list, separator) end
    write(dir .. "/train.csv", { "click", "user_id", "item_id", "tags", "strength", "seen_items",
      "prices" }, 600, function(i, random)
      local tags, strength, seen, prices = {}, {}, {}, {}
      for k = 1, random(4) do
        tags[k], strength[k] = "t" .. random(30), ("%.2f"):format(random())
      end
      for k = 1, random(3) do
        seen[k], prices[k] = "i" .. random(40), ("%.1f"):format(9 * random())
      end
      return { random(2) - 1, "u" .. i % 50, "i" .. random(40), joined(tags, "|"),
        joined(strength, "|"), joined(seen, ";"), joined(prices, ";") }
    end, ",")
    local fields, text = init(dir, "train.csv")
    local tags = field(fields, "tags")
    assert.same({ "ids", "strength" }, { tags.type, tags.weights })
    assert.is_nil(field(fields, "strength"))
    assert(text:find("# lists of up to 4, 30 different, their weights in strength; ", 1, true))
    assert(text:find('separator: "|", weights: strength}', 1, true), text)
    assert.equal(1, #fields.sequences)
    assert.equal("prices", fields.sequences[1].of.prices.column)
    trains(dir)
  end)

  it("guesses weights in lists of JSON", function()
    local dir = helper.temp_dir()
    local random, lines = helper.random(3), {}
    for i = 1, 300 do
      local list = {}
      for k = 1, random(4) do list[k] = ('"t%d:%.2f"'):format(random(20), random()) end
      lines[i] = ('{"click": %d, "item_id": "i%d", "tags": [%s]}'):format(random(2) - 1, random(30),
        table.concat(list, ", "))
    end
    helper.write(dir .. "/train.jsonl", table.concat(lines, "\n") .. "\n")
    local tags = field(init(dir, "train.jsonl"), "tags")
    assert.same({ "ids", true, ":" }, { tags.type, tags.weighted, tags.weight_separator })
    trains(dir)
  end)
end)
