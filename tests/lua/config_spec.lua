local config = require "moonrank.config"
local helper = require "helper"
local yaml = require "moonrank.yaml"

local FIELDS = [[
data: {train: train.csv}
label: click
fields:
  - {name: user, side: user, type: id}
]]

local EXPERIMENT = [[
fields: fields.yaml
model: {script: lr}
train:
  batch: 256
]]

-- A folder with the two files; the messages of failures without that folder's path.
local function project(experiment, fields)
  local dir = helper.temp_dir()
  helper.write(dir .. "/fields.yaml", fields or FIELDS)
  helper.write(dir .. "/lr.yaml", experiment or EXPERIMENT)
  return dir
end

local function plain(message, dir)
  return message and message:gsub(dir:gsub("%p", "%%%0") .. "/", "")
end

local function fails(message, experiment, set)
  local dir = project(experiment)
  local values, got = config.experiment(dir .. "/lr.yaml", set)
  assert.is_nil(values)
  assert.equal(message, (plain(got, dir)))
end

local function fields_fail(message, fields, set)
  local dir = project(nil, fields)
  local values, got = config.fields(dir .. "/fields.yaml", set)
  assert.is_nil(values)
  assert.equal(message, (plain(got, dir)))
end

-- The fields file with a line added to its end.
local function more(text) return FIELDS .. text .. "\n" end

describe("an experiment file", function()
  it("is filled with defaults", function()
    local dir = project()
    local c = assert(config.experiment(dir .. "/lr.yaml"))
    assert.equal("lr", c.name)
    assert.same({
      version = 1, fields = dir .. "/fields.yaml", model = { script = "lr" },
      train = { batch = 256, epochs = 1, seed = 1, threads = "auto", lanes = 16, shuffle = true,
        optimizer = { adam = { lr = 0.001, beta1 = 0.9, beta2 = 0.999, eps = 1e-8 } },
        tables = { rows = "touched", l1 = 0, l2 = 0, mba = 0, init = { normal = 0.01 } },
        dense = { l1 = 0, l2 = 0 },
        monitor = { auc = 1 }, checkpoint = { minutes = 10, keep = 3 },
        schedule = { constant = {} }, warm_up = 0 },
      eval = { batch = 4096 },
    }, c.experiment)
  end)

  it("reads back as itself once resolved", function()
    local dir = project([[
fields: fields.yaml
model: {script: lr, hidden: [4, 2]}
train: {monitor: {gauc: 1, logloss: -0.5}, reduce_on_plateau: {}, patience: 3}]])
    local first = assert(config.experiment(dir .. "/lr.yaml"))
    helper.write(dir .. "/again.yaml", yaml.write(first.experiment))
    local second = assert(config.experiment(dir .. "/again.yaml"))
    assert.same(first.experiment, second.experiment)
    helper.write(dir .. "/fields2.yaml", yaml.write(first.fields))
    assert.same(first.fields, (assert(config.fields(dir .. "/fields2.yaml"))))
  end)

  it("may name an optimizer alone", function()
    local dir = project()
    local c = assert(config.experiment(dir .. "/lr.yaml",
      { "train.optimizer=sgd", "train.tables.optimizer={adagrad: {lr: 0.5}}" }))
    assert.same({ sgd = { lr = 0.1 } }, c.experiment.train.optimizer)
    assert.same({ adagrad = { lr = 0.5, eps = 1e-10, start = 0 } },
      c.experiment.train.tables.optimizer)
  end)

  it("may monitor logloss, where less is better", function()
    local dir = project()
    local c = assert(config.experiment(dir .. "/lr.yaml", { "train.monitor=logloss" }))
    assert.same({ logloss = -1 }, c.experiment.train.monitor)
  end)

  it("takes paths from its own folder", function()
    local dir = project()
    helper.write(dir .. "/sub/x.yaml", "fields: ../fields.yaml\nmodel: {script: ../my.lua}\n")
    local c = assert(config.experiment(dir .. "/sub/x.yaml"))
    assert.equal(dir .. "/fields.yaml", c.experiment.fields)
    assert.equal(dir .. "/my.lua", c.experiment.model.script)
  end)
end)

describe("a wrong experiment file", function()
  local head = "fields: fields.yaml\nmodel: {script: lr}\n"

  it("names an unknown key and the nearest known one", function()
    fails('lr.yaml:3:9: unknown key "bacth" in train; did you mean "batch"?',
      head .. "train: {bacth: 5}")
    fails('lr.yaml:3:1: unknown key "trian"; did you mean "train"?', head .. "trian: {batch: 5}")
    fails('lr.yaml:3:1: unknown key "xyz", expected version, base, fields, model, train, eval or '
      .. "tune", head .. "xyz: 1")
    fails('lr.yaml:3:9: unknown key "xyz" in train', head .. "train: {xyz: 5}") -- too many to list
    fails('lr.yaml:3:28: unknown key "l" in train.optimizer.adam; did you mean "lr"?',
      head .. "train: {optimizer: {adam: {l: 1}}}")
    fails('lr.yaml:3:21: unknown key "adm" in train.optimizer; did you mean "adam"?',
      head .. "train: {optimizer: {adm: {}}}")
  end)

  it("says what was found and what is allowed", function()
    fails('lr.yaml:3:16: train.batch is "many", expected a whole number 1 to 2147483647',
      head .. "train: {batch: many}")
    fails("lr.yaml:3:16: train.batch is 0, expected a whole number 1 to 2147483647",
      head .. "train: {batch: 0}")
    fails("lr.yaml:3:16: train.batch is 1.5, expected a whole number 1 to 2147483647",
      head .. "train: {batch: 1.5}")
    fails("lr.yaml:3:15: train.seed is -1, expected a whole number >= 0",
      head .. "train: {seed: -1}")
    -- Of these another number may be read than the one that was written.
    for _, large in ipairs { "1e20", "9007199254740993", "9007199254740992" } do
      fails(("lr.yaml:3:15: train.seed is %s, expected a whole number 0 to 9007199254740991")
        :format(large), head .. ("train: {seed: %s}"):format(large))
    end
    fails("lr.yaml:3:16: train.batch is 1e20, expected a whole number 1 to 2147483647",
      head .. "train: {batch: 1e20}")
    fails("lr.yaml:3:16: train.batch is 2147483648, expected a whole number 1 to 2147483647",
      head .. "train: {batch: 2147483648}")
    fails("lr.yaml:3:15: eval.batch is 2147483648, expected a whole number 1 to 2147483647",
      head .. "eval: {batch: 2147483648}")
    fails("lr.yaml:3:27: train.shuffle.memory is 1000000001, expected a whole number 1 to "
      .. "1000000000", head .. "train: {shuffle: {memory: 1000000001}}")
    fails("lr.yaml:3:8: train is a list, expected a map", head .. "train: []")
    fails('lr.yaml:3:18: train.shuffle is "no", expected true or false or a map',
      head .. "train: {shuffle: no}")
    fails("lr.yaml:3:18: train.threads is 0, expected auto or a whole number 1 to 256",
      head .. "train: {threads: 0}")
    fails('lr.yaml:3:18: train.monitor is "aucc", expected auc, gauc or logloss or a map; '
      .. 'did you mean "auc"?', head .. "train: {monitor: aucc}")
    fails("lr.yaml:3:32: train.optimizer.adam.lr is 0, expected a number > 0 and <= 1000000",
      head .. "train: {optimizer: {adam: {lr: 0}}}")
    fails('lr.yaml:3:20: train.optimizer is "adm", expected one of adam, adagrad, sgd, '
      .. 'momentum or ftrl; did you mean "adam"?', head .. "train: {optimizer: adm}")
    fails("lr.yaml:3:20: train.optimizer has 2 keys, expected one of adam, adagrad, sgd, "
      .. "momentum or ftrl", head .. "train: {optimizer: {adam: {}, sgd: {}}}")
    fails("lr.yaml:3:22: train.tables.l2 is .nan, expected a number >= 0",
      head .. "train: {tables: {l2: .nan}}")
    fails("lr.yaml:3:14: train.batch is empty, expected a whole number 1 to 2147483647",
      head .. "train: {batch}")
    fails("lr.yaml:3:18: train.monitor is an empty map", head .. "train: {monitor: {}}")
  end)

  it("says what is missing", function()
    fails("lr.yaml:1:1: model is missing", "fields: fields.yaml")
    fails("lr.yaml:2:8: model.script is missing", "fields: fields.yaml\nmodel: {}")
    fails("lr.yaml:1:1: fields is missing", "")
    fails("lr.yaml:1:1: the file is a list, expected a map", "- a")
  end)

  it("says when the fields file cannot be read", function()
    local dir = project "fields: nope.yaml\nmodel: {script: lr}\n"
    local _, message = config.experiment(dir .. "/lr.yaml")
    assert.equal(("%s/lr.yaml:1:9: fields cannot be read (%s/nope.yaml: No such file or directory)")
      :format(dir, dir), message)
  end)

  it("says when it is not there", function()
    helper.fails_with("/nowhere.yaml: No such file or directory",
      config.experiment "/nowhere.yaml")
  end)
end)

describe("base", function()
  it("gives what the file does not, map by map", function()
    local dir = project "base: common/base.yaml\nmodel: {script: lr}\ntrain: {batch: 2}\n"
    helper.write(dir .. "/common/base.yaml", [[
fields: ../fields.yaml
model: {script: dnn, hidden: [4]}
train: {batch: 1, epochs: 7, optimizer: {adam: {lr: 0.5}}, monitor: {gauc: 1}}]])
    local c = assert(config.experiment(dir .. "/lr.yaml", { "train.optimizer.adam.beta1=0.5",
      "train.monitor.auc=2" }))
    assert.equal(dir .. "/fields.yaml", c.experiment.fields)
    assert.same({ script = "lr", hidden = { 4 } }, c.experiment.model)
    assert.equal(2, c.experiment.train.batch)
    assert.equal(7, c.experiment.train.epochs)
    assert.same({ adam = { lr = 0.5, beta1 = 0.5, beta2 = 0.999, eps = 1e-8 } },
      c.experiment.train.optimizer)
    assert.same({ auc = 2 }, c.experiment.train.monitor) -- one form replaces another
  end)

  it("loses to the file's own choice of an optimizer", function()
    local dir = project "base: b.yaml\ntrain: {optimizer: {sgd: {lr: 1}}}\n"
    helper.write(dir .. "/b.yaml", EXPERIMENT .. "  optimizer: {adam: {lr: 0.5}}\n")
    local c = assert(config.experiment(dir .. "/lr.yaml"))
    assert.same({ sgd = { lr = 1 } }, c.experiment.train.optimizer)
  end)

  it("keeps the place of what it gives", function()
    local dir = project "base: b.yaml\n"
    helper.write(dir .. "/b.yaml", EXPERIMENT .. "  seed: x\n")
    local _, message = config.experiment(dir .. "/lr.yaml")
    assert.equal(dir .. '/b.yaml:5:9: train.seed is "x", expected a whole number >= 0', message)
  end)

  it("may not lead back to itself", function()
    fails('lr.yaml:1:7: base "lr.yaml" leads back to itself', "base: lr.yaml\n")
  end)

  it("must be readable text", function()
    fails("lr.yaml:1:7: base is 5, expected text", "base: 5\n")
    local dir = project "base: nope.yaml\n"
    local _, message = config.experiment(dir .. "/lr.yaml")
    assert.equal(('%s/lr.yaml:1:7: base "nope.yaml" cannot be read (%s/nope.yaml: '
      .. 'No such file or directory)'):format(dir, dir), message)
  end)
end)

describe("--set", function()
  it("overrides keys of both files", function()
    local dir = project()
    local c = assert(config.experiment(dir .. "/lr.yaml", { "train.batch=8", "data.root=some/where",
      "tables.user.dim=3", "model.hidden=[4, 2]", "train.batch=9" }))
    assert.equal(9, c.experiment.train.batch)
    assert.same({ 4, 2 }, c.experiment.model.hidden)
    assert.equal("some/where", c.fields.data.root)
    assert.equal("some/where/.moonrank-cache", c.fields.data.cache)
    assert.equal(3, c.fields.tables.user.dim)
  end)

  it("is named by what is wrong with it", function()
    fails('--set train.bacth=5: unknown key "bacth" in train; did you mean "batch"?', nil,
      { "train.bacth=5" })
    fails('--set train.batch=many: train.batch is "many", expected a whole number 1 to '
      .. "2147483647", nil,
      { "train.batch=many" })
    fails('--set trian.batch=5: unknown key "trian"; did you mean "train"?', nil,
      { "trian.batch=5" })
    fails('--set data.rot=x: unknown key "rot" in data; did you mean "root"?', nil,
      { "data.rot=x" })
    fails("--set batch: expected NAME=VALUE, such as train.batch=1024", nil, { "batch" })
    fails("--set train..batch=1: expected NAME=VALUE, such as train.batch=1024", nil,
      { "train..batch=1" })
    fails("--set train.batch=[1: did not find expected ',' or ']'", nil, { "train.batch=[1" })
    fails("--set train.batch=: train.batch is empty, expected a whole number 1 to 2147483647", nil,
      { "train.batch=" })
  end)
end)

describe("a fields file", function()
  it("is expanded to one entry a field and one a table", function()
    local dir = project(nil, [[
data: {root: ../data, train: [b.tsv.gz, a-*.tsv]}
defaults: {dim: 8, min_count: 2}
label: {ctr: click, cvr: buy}
request: rid
group: user
fields:
  - {name: [user, age], side: user, type: id}
  - {name: ad, side: ad, type: id, source: ad_id}
  - {name: clicks, side: user, type: ids, table: ad, max: 20, separator: " "}
  - {name: price, side: ad, type: number, transform: log1p}
tables: {ad: {dim: 32}}]])
    local c = assert(config.fields(dir .. "/fields.yaml"))
    local root = require "moonrank.path".join(dir, "../data")
    assert.same({
      version = 1,
      data = { root = root, train = { "b.tsv.gz", "a-*.tsv" }, format = "tsv", header = true,
        bad_rows = "stop", bad_rows_limit = 1000,
        cache = root .. "/.moonrank-cache" },
      defaults = { dim = 8, min_count = 2 },
      label = { ctr = "click", cvr = "buy" }, request = "rid", group = "user",
      fields = {
        { name = "user", source = "user", table = "user", side = "user", type = "id" },
        { name = "age", source = "age", table = "age", side = "user", type = "id" },
        { name = "ad", source = "ad_id", table = "ad", side = "ad", type = "id" },
        { name = "clicks", source = "clicks", table = "ad", side = "user", type = "ids", max = 20,
          separator = " ", pool = "mean" },
        { name = "price", source = "price", side = "ad", type = "number", transform = "log1p",
          missing = 0 },
      },
      tables = { user = { dim = 8, min_count = 2 }, age = { dim = 8, min_count = 2 },
        ad = { dim = 32, min_count = 2 } },
    }, c)
  end)

  it("takes csv or tsv from the name of the data", function()
    local formats = { ["a.csv"] = "csv", ["a.tsv.zst"] = "tsv", ["a-*.csv.gz"] = "csv" }
    for name, format in pairs(formats) do
      local dir = project(nil, (FIELDS:gsub("train.csv", name)))
      assert.equal(format, assert(config.fields(dir .. "/fields.yaml")).data.format)
    end
    fields_fail('fields.yaml:1:15: data.format is missing, and the name "train.txt" does not tell '
      .. "which of csv, tsv, jsonl, libsvm and libffm it is",
      (FIELDS:gsub("train.csv", "train.txt")))
  end)
end)

describe("a wrong fields file", function()
  it("names a field described twice", function()
    fields_fail('fields.yaml:5:12: field "user" is described twice',
      more "  - {name: user, side: ad, type: number}")
  end)

  it("names a key that is not for the field's type", function()
    fields_fail("fields.yaml:5:36: fields[2].separator is for type ids and vector, this field is "
      .. "of type id",
      more "  - {name: ad, side: ad, type: id, separator: ';'}")
    fields_fail("fields.yaml:5:47: fields[2].table is for numbers with buckets only",
      more "  - {name: ad, side: ad, type: number, table: x}")
  end)

  it("takes crosses anywhere, and their side from their parts", function()
    local function sides(list)
      local dir = project(nil, "data: {train: t.csv}\nlabel: l\nfields:\n"
        .. "  - {name: x, type: id, cross: [a, b]}\n" .. list)
      local fields = assert(config.fields(dir .. "/fields.yaml")).fields
      for i, field in ipairs(fields) do fields[i] = field.name .. " " .. field.side end
      return fields
    end
    assert.same({ "x user", "a user", "b scene" }, sides("  - {name: a, side: user, type: id}\n"
      .. "  - {name: b, side: scene, type: id}"))
    assert.same({ "x ad", "b ad", "a user" }, sides("  - {name: b, side: ad, type: id}\n"
      .. "  - {name: a, side: user, type: id}"))
    assert.same({ "x context", "a context", "b user", "y ad" },
      sides("  - {name: [a], side: context, type: id}\n  - {name: b, side: user, type: id}\n"
        .. "  - {name: y, side: ad, type: id, cross: [b, a]}"))
  end)

  it("names what a cross cannot be of", function()
    local function wrong(message, rest)
      fields_fail(message, more("  - {name: ad, side: ad, type: id}\n"
        .. "  - {name: n, side: ad, type: number}\n  - {name: x, " .. rest .. "}"))
    end
    wrong('fields.yaml:7:49: fields[4].cross: there is no field "adx"; did you mean "ad"?',
      "side: ad, type: id, cross: [user, adx]")
    wrong('fields.yaml:7:49: fields[4].cross: field "n" is of type number, expected fields of type '
      .. "id or ids, or numbers with buckets", "side: ad, type: id, cross: [user, n]")
    wrong('fields.yaml:7:49: fields[4].cross has "user" twice',
      "side: ad, type: id, cross: [user, user]")
    wrong("fields.yaml:7:42: fields[4].cross names 1 field, expected 2 to 8",
      "side: ad, type: id, cross: [ad]")
    wrong('fields.yaml:7:21: fields[4].side is user, expected ad, since "ad" is the ad\'s',
      "side: user, type: id, cross: [user, ad]")
    fields_fail("fields.yaml:5:5: fields[2].side is missing", more "  - {name: x, type: id}")
    wrong("fields.yaml:7:62: fields[4].source does not go with cross",
      "side: ad, type: id, cross: [user, ad], source: x")
    wrong("fields.yaml:7:62: fields[4].values does not go with cross",
      "side: ad, type: id, cross: [user, ad], values: [a]")
    wrong("fields.yaml:7:31: fields[4].type is ids, expected id, since its parts have one value "
      .. "each",
      "side: ad, type: ids, cross: [user, ad]")
    local function wrong_bag(message, rest)
      fields_fail(message, more("  - {name: a, side: ad, type: ids, weighted: true}\n"
        .. "  - {name: b, side: ad, type: ids, weights: w}\n  - {name: x, " .. rest .. "}"))
    end
    wrong_bag('fields.yaml:7:21: fields[4].type is id, expected ids, since "a" has several values',
      "type: id, cross: [user, a]")
    wrong_bag("fields.yaml:7:33: fields[4].max is missing: how many combinations a row keeps",
      "type: ids, cross: [user, a]")
    wrong_bag('fields.yaml:7:37: fields[4].cross: "a" and "b" both have weights, and a combination '
      .. "has one", "type: ids, cross: [a, b], max: 9")
    wrong_bag('fields.yaml:7:58: fields[4].pool is max, expected sum or mean, since "b" has '
      .. "weights",
      "type: ids, cross: [user, b], max: 9, pool: max")
    wrong_bag("fields.yaml:7:62: fields[4].weighted does not go with cross",
      "type: ids, cross: [user, b], max: 9, weighted: true")
    wrong_bag("fields.yaml:7:63: fields[4].separator does not go with cross",
      "type: ids, cross: [user, b], max: 9, separator: ';'")
    fields_fail('fields.yaml:7:49: fields[4].cross: field "x" is a cross itself, expected fields '
      .. "of type id or ids, or numbers with buckets", more("  - {name: ad, side: ad, type: id}\n"
        .. "  - {name: x, side: ad, type: id, cross: [user, ad]}\n"
        .. "  - {name: y, side: ad, type: id, cross: [user, x]}"))
    fields_fail("fields.yaml:8:35: sequences[1].of.x: its field is a cross, which sequences have "
      .. "none of; give the member another name", more("  - {name: ad, side: ad, type: id}\n"
        .. "  - {name: x, side: ad, type: id, cross: [user, ad]}\n"
        .. "sequences:\n  - {name: past, side: user, of: {x: xs}}"))
    fields_fail("fields.yaml:6:47: fields[3].cross does not go with a list of names",
      more("  - {name: ad, side: ad, type: id}\n"
        .. "  - {name: [x, y], side: ad, type: id, cross: [user, ad]}"))
  end)

  it("names wrong values", function()
    fields_fail('fields.yaml:5:32: fields[2].type is "idd", expected id, ids, number or '
      .. 'vector; did you mean "id"?', more "  - {name: ad, side: ad, type: idd}")
    fields_fail('fields.yaml:5:22: fields[2].side is "add", expected user, ad, scene or context; '
      .. 'did you mean "ad"?', more "  - {name: ad, side: add, type: id}")
    fields_fail('fields.yaml:5:48: fields[2].separator is "||", expected one character',
      more "  - {name: ad, side: ad, type: ids, separator: '||'}")
    fields_fail('fields.yaml:5:12: fields[2].name is "a b", expected text without spaces and '
      .. "colons", more "  - {name: a b, side: ad, type: id}")
    fields_fail("fields.yaml:5:5: fields[2].side is missing", more "  - {name: ad, type: id}")
    fields_fail("fields.yaml:5:48: fields[2].source does not go with a list of names",
      more "  - {name: [a, b], side: ad, type: id, source: c}")
    fields_fail("fields.yaml:1:34: data.header is false, so data.columns must name the columns, "
      .. "such as [click, user, ad]", (FIELDS:gsub("csv}", "csv, header: false}")))
    fields_fail("fields.yaml:1:35: data.columns is for files without a header, and needs header: "
      .. "false", (FIELDS:gsub("csv}", "csv, columns: [a, b]}")))
    fields_fail('fields.yaml:1:54: data.columns has "a" twice',
      (FIELDS:gsub("csv}", "csv, header: false, columns: [a, a]}")))
    fields_fail('fields.yaml:5:16: "b1..c3" is no range of names, such as f1..f200, of at most '
      .. "65536", more "  - {name: [a, b1..c3], side: ad, type: id}")
    fields_fail('fields.yaml:5:12: field "b2" is described twice',
      more "  - {name: [b2, b1..b3], side: ad, type: id}")
    fields_fail('fields.yaml:1:55: data.columns has "a2" twice',
      (FIELDS:gsub("csv}", "csv, header: false, columns: [a2, a1..a3]}")))
    fields_fail("fields.yaml:3:9: fields is an empty list",
      "data: {train: a.csv}\nlabel: click\nfields: []\n")
  end)

  it("names a table that no field uses", function()
    fields_fail('fields.yaml:5:10: tables.usr: no field uses this table; did you mean "user"?',
      more "tables: {usr: {dim: 3}}")
  end)

  it("does not take keys of an experiment", function()
    fields_fail('--set train.batch=1: unknown key "train"', nil, { "train.batch=1" })
  end)
end)

describe("the sequences of a fields file", function()
  local SEQUENCES = [[
data: {train: train.csv}
label: click
request: rid
fields:
  - {name: cate, side: ad, type: id, table: category}
  - {name: tags, side: ad, type: ids, separator: ";", max: 5, pool: sum}
  - {name: ad, side: ad, type: id}
  - {name: price, side: ad, type: number, transform: log1p, missing: 3}
sequences:
]]

  it("take from the fields what they do not say", function()
    local dir = project(nil, SEQUENCES .. [[
  - name: click
    side: user
    max: 50
    of:
      price: click_prices
      ad: click_ads
      hour: {column: click_hours, type: id}
      tags: {column: click_tags, separator: "+"}
      cate: {column: click_cates, type: ids}
      gap: {column: click_gaps, type: number, transform: log1p}
  - {name: seen, side: ad, separator: "|", keep: first, of: {hour: {column: seen, type: id}}}]])
    local c = assert(config.fields(dir .. "/fields.yaml"))
    assert.same({
      { name = "click", side = "user", max = 50, keep = "last", separator = " ", of = {
        price = { column = "click_prices", type = "number", transform = "log1p", missing = 3 },
        ad = { column = "click_ads", type = "id", table = "ad" },
        hour = { column = "click_hours", type = "id", table = "hour" },
        tags = { column = "click_tags", type = "ids", table = "tags", separator = "+", max = 5,
          pool = "sum" },
        cate = { column = "click_cates", type = "ids", table = "category", separator = ",",
          pool = "mean" },
        gap = { column = "click_gaps", type = "number", transform = "log1p", missing = 0 },
      } },
      { name = "seen", side = "ad", keep = "first", separator = "|",
        of = { hour = { column = "seen", type = "id", table = "hour" } } },
    }, c.sequences)
    assert.same({ dim = 16, min_count = 1 }, c.tables.hour)
    assert.same({ "cate", "tags", "ad", "price", "gap", "hour" },
      require "moonrank.config_sequences".members(c, c.sequences[1]))
    -- Once resolved they read back as themselves, also out of a model file.
    helper.write(dir .. "/again.yaml", yaml.write(c))
    assert.same(c, (config.fields(dir .. "/again.yaml")))
    assert.same(c.sequences, assert(config.stored(c, "x.mr")).sequences)
    assert.same(c.tables, assert(config.stored(c, "x.mr")).tables)
  end)

  it("may name a table of their own that tables describes", function()
    local dir = project(nil, SEQUENCES .. "  - {name: s, side: user, of: {a: {column: b, type: id, "
      .. "table: big}}}\ntables: {big: {dim: 64}}\n")
    local c = assert(config.fields(dir .. "/fields.yaml"))
    assert.equal("big", c.sequences[1].of.a.table)
    assert.equal(64, c.tables.big.dim)
  end)

  it("are named with the place of what is wrong", function()
    local function wrong(message, line)
      fields_fail("fields.yaml:" .. message, SEQUENCES .. line)
    end
    wrong('10:35: sequences[1].of.adx needs a type: no field has this name; did you mean "ad"?',
      "  - {name: s, side: user, of: {   adx: c}}")
    wrong("10:32: sequences[1].of.hour needs a type: no field has this name",
      "  - {name: s, side: user, of: {hour: {column: c}}}")
    wrong('10:55: sequences[1].of.ad.table is "catgory", but no field uses such a table; did you '
      .. 'mean "category"?',
      "  - {name: s, side: user, of: {ad: {column: c, table: catgory}}}")
    wrong('11:12: sequence "s" is described twice',
      "  - {name: s, side: user, of: {ad: c}}\n  - {name: s, side: ad, of: {ad: d}}")
    wrong('10:12: sequences[1].name is "cate", which is a field',
      "  - {name: cate, side: user, of: {ad: c}}")
    wrong('10:12: sequences[1].name is "user", which is the name of a side or domain',
      "  - {name: user, side: user, of: {ad: c}}")
    wrong('10:12: sequences[1].name is "a.b", expected text without spaces, colons and dots',
      "  - {name: a.b, side: user, of: {ad: c}}")
    wrong('10:39: key "ad" is given twice, first in line 10',
      "  - {name: s, side: user, of: {ad: c, ad: d}}")
    wrong('10:41: sequences[1].separator is "||", expected one character',
      '  - {name: s, side: user, separator:    "||", of: {ad: c}}')
    wrong('10:48: sequences[1].of.tags: ";" stands between its values and between behaviours as '
      .. "well", '  - {name: s, side: user, separator: ";", of: {tags: c}}')
    wrong('10:61: sequences[1].of.tags.separator is "", expected text',
      '  - {name: s, side: user, of: {tags: {column: c, separator: ""}}}')
    wrong('10:62: sequences[1].of.tags.separator is "++", expected one character',
      '  - {name: s, side: user, of: {tags: {column: c,  separator: "++"}}}')
    wrong("10:31: sequences[1].of is an empty map", "  - {name: s, side: user, of: {}}")
    wrong("10:5: sequences[1].of is missing", "  - {name: s, side: user}")
    wrong("10:36: sequences[1].of.ad is 3, expected text or a map",
      "  - {name: s, side: user, of: {ad: 3}}")
    wrong('10:27: unknown key "keeep" in sequences[1]; did you mean "keep"?',
      "  - {name: s, side: user, keeep: last, of: {ad: c}}")
    wrong('10:48: unknown key "tabel" in sequences[1].of.ad; did you mean "table"?',
      "  - {name: s, side: user, of: {ad: {column: c, tabel: ad}}}")
    wrong("10:37: sequences[1].of.ad.column is missing",
      "  - {name: s, side: user, of: {ad:  {type: id}}}")
    wrong("10:59: sequences[1].of.ad.transform is for type number, this member is of type id",
      "  - {name: s, side: user, of: {ad: {column: c, transform: log1p}}}")
    wrong('10:33: sequences[1].keep is "newest", expected first or last',
      "  - {name: s, side: user, keep: newest, of: {ad: c}}")
    fields_fail("fields.yaml:5:12: sequences is an empty list", more "sequences: []")
    fields_fail('fields.yaml:6:40: sequences[1].of.a is called "s.a", which is a field', FIELDS
      .. "  - {name: s.a, side: ad, type: id}\nsequences: [{name: s, side: user, of: {a: c}}]\n")
  end)
end)

describe("docs/config.md", function()
  it("is up to date (moonrank help config --markdown > docs/config.md)", function()
    assert.is_true(require "moonrank.config_reference".markdown() == helper.read "docs/config.md")
  end)
end)

describe("config_keys", function()
  local config_keys = require "moonrank.config_keys"

  local function key_of(description, ...)
    for _, name in ipairs { ... } do
      local found
      for _, candidate in ipairs(description.keys) do
        if candidate.name == name then found = candidate end
      end
      description = assert(found, name)
    end
    return description
  end

  it("have the engine's optimizers, with their options, defaults and ranges", function()
    local mr = require "moonrank.ffi"
    local about, option = mr.new "mr_optimizer_info", mr.new "mr_op_option_info"
    local pick = key_of(config_keys.experiment, "train", "optimizer")
    assert.equal(mr.C.mr_optimizer_count(), #pick.keys)
    for i = 0, mr.C.mr_optimizer_count() - 1 do
      mr.check(mr.C.mr_optimizer_describe(i, about))
      local known = key_of(pick, mr.string(about.name))
      assert.equal(about.n_options, #known.keys)
      for k = 0, about.n_options - 1 do
        mr.check(mr.C.mr_optimizer_option_describe(i, k, option))
        local key = key_of(known, mr.string(option.name))
        assert.equal(option.preset, key.default)
        assert.equal(option.least, key.min or key.above)
        assert.equal(option.most, key.max)
      end
    end
  end)

  local function every_key(description, visit, name)
    for _, inner in ipairs(description.keys or {}) do
      local path = name .. "." .. inner.name
      visit(path, inner)
      every_key(inner.of or inner, visit, path)
    end
    for _, form in ipairs(description.forms or {}) do every_key(form, visit, name) end
  end

  it("explains every key in one line", function()
    for file, root in pairs(config_keys) do
      every_key(root, function(path, description)
        assert(description.doc and not description.doc:find "\n", path .. " has no line of help")
        assert(#config.expected(description) > 0, path)
      end, file)
    end
  end)
end)
