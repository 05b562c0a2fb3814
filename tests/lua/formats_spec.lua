-- Forms of files other than a csv or tsv with a header, from the configuration to the predictions.
local helper = require "helper"

-- What a command that succeeds prints.
local function run(arguments, dir)
  local status, out, err = helper.run(arguments, dir)
  assert.same({ 0, "" }, { status, err })
  return out
end

-- What eval prints, but for the seconds, which have one decimal.
local function evaluate(arguments, dir)
  return (run("eval " .. arguments, dir):gsub(" +%d+%.%d\n", "\n"))
end

describe("a file without a header", function()
  it("trains and is predicted like one with a header", function()
    local dir = helper.make_project { rows = 200 }
    local header, rows = helper.read(dir .. "/train.csv"):match "^([^\n]*)\n(.*)$"
    helper.write(dir .. "/bare.csv", rows)
    local same = "train lr.yaml --quiet --out %s --set data.train=%s --set data.valid=%s "
      .. "--set data.test=%s"
    run(same:format("with", "train.csv", "train.csv", "train.csv"), dir)
    run((same .. " --set data.header=false --set 'data.columns=[%s]'"):format("without", "bare.csv",
      "bare.csv", "bare.csv", header), dir)
    local expected = run("predict with --data train.csv", dir)
    assert.equal(200, select(2, expected:gsub("\n", "")))
    assert.is_true(expected == run("predict without --data bare.csv", dir))
    assert.is_true(expected == run("predict without --data test", dir))
    -- A model knows how its files are read, also away from its run.
    os.execute(("cd %s && mv without/model.mr alone.mr"):format(dir))
    assert.is_true(expected == run("predict alone.mr --data bare.csv", dir))
  end)
end)

describe("a file of pairs", function()
  -- The project's rows with a column for each field of libffm, and as one bag for libsvm.
  local function write_pairs(dir, file)
    local ffm, csv, svm, bag = {}, { "label,0,1,2" }, {}, { "label,all" }
    for line in helper.read(dir .. "/" .. file .. ".csv"):gmatch "\n([^\n]+)" do
      local click, user, ad, tags, hour = line:match "^(%d),([^,]*),([^,]*),([^,]*),([^,]*)"
      local pairs_of = { ("%s 0:%s:1"):format(click, user), "1:" .. ad .. ":1" }
      local all = { "u" .. user, "a" .. ad, "h" .. hour }
      for tag in tags:gmatch "[^|]+" do pairs_of[#pairs_of + 1] = "2:" .. tag .. ":1" end
      ffm[#ffm + 1] = table.concat(pairs_of, " ")
      csv[#csv + 1] = ("%s,%s,%s,%s"):format(click, user, ad, tags)
      svm[#svm + 1] = ("%s %s:1"):format(click == "0" and "-1" or "+1", table.concat(all, ":1 "))
      bag[#bag + 1] = ("%s,%s"):format(click, table.concat(all, "|"))
    end
    for ending, lines in pairs { ffm = ffm, svm = svm, ["ffm.csv"] = csv, ["svm.csv"] = bag } do
      helper.write(("%s/%s.%s"):format(dir, file, ending), table.concat(lines, "\n") .. "\n")
    end
  end

  local fields = { ffm = [[
data: {train: train.%s, valid: valid.%s, test: test.%s}
label: label
group: 0
fields:
  - {name: user, side: user, type: id, source: 0}
  - {name: ad, side: ad, type: id, source: 1}
  - {name: tags, side: ad, type: ids, source: 2, separator: "|"}
]], svm = [[
data: {train: train.%s, valid: valid.%s, test: test.%s}
label: label
fields:
  - {name: all, side: ad, type: ids, source: %s, separator: "|", pool: sum}
]] }

  for kind, text in pairs(fields) do
    it("trains and predicts as the same rows of a csv do: " .. kind, function()
      local dir = helper.make_project { rows = 300 }
      for _, split in ipairs { "train", "valid", "test" } do write_pairs(dir, split) end
      local out = {}
      for i, ending in ipairs { kind, kind .. ".csv" } do
        helper.write(dir .. "/fields.yaml",
          text:format(ending, ending, ending, i == 1 and "features" or "all"))
        run("train lr.yaml --quiet --out run" .. i, dir)
        out[i] = run(("predict run%d --data valid.%s"):format(i, ending), dir)
      end
      assert.equal(75, select(2, out[1]:gsub("\n", "")))
      assert.is_true(out[2] == out[1])
    end)
  end

  it("says what is wrong with its fields, its rows and its configuration", function()
    local dir = helper.make_project { rows = 20 }
    local function fails(message, config, rows)
      helper.write(dir .. "/train.svm", rows or "1 1:1\n")
      helper.write(dir .. "/fields.yaml", config)
      local status, out, err = helper.run("train lr.yaml --quiet --out run", dir)
      assert.same({ 1, "", "moonrank: " .. message .. "\n" }, { status, out, err })
    end
    local good = "data: {train: train.svm}\nlabel: label\n"
      .. "fields: [{name: a, side: ad, type: ids, source: features}]\n"
    fails('train.svm:2:5: value "2" of a key, expected 1 (its field is not weighted)', good,
      "1 1:1\n0 1:2\n")
    fails("train.svm: the file is empty, expected rows", good, "")
    fails("fields.yaml:1:35: data.columns: the columns of libsvm have no names",
      (good:gsub("svm}", "svm, columns: [a]}")))
    fails('column "a": its source is "ads", expected label, qid, features or the number of an '
      .. "index",
      (good:gsub("features", "ads")))
  end)
end)

describe("a label of other words", function()
  it("trains and is evaluated as 0 and 1 are", function()
    local dir = helper.make_project { rows = 200 }
    local fields, out = helper.read(dir .. "/fields.yaml"), {}
    for i, label in ipairs { "click", "{ctr: {column: click, is: yes please}}",
      "{ctr: {column: click, from: 4}}" } do
      local words = ({ { ["0"] = "0", ["1"] = "1" }, { ["0"] = "no", ["1"] = "yes please" },
        { ["0"] = "3.9", ["1"] = " 4 " } })[i]
      for _, split in ipairs { "train", "valid", "test" } do
        local text = helper.read(("%s/%s.csv"):format(dir, split))
        helper.write(("%s/%d-%s.csv"):format(dir, i, split), (text:gsub("\n([01]),",
          function(label_of) return "\n" .. words[label_of] .. "," end)))
      end
      helper.write(dir .. "/fields.yaml", (fields:gsub("label: click", "label: " .. label)
        :gsub("(%a+%.csv)", i .. "-%1")))
      run("train lr.yaml --quiet --out run" .. i, dir)
      out[i] = evaluate("run" .. i .. " --data test", dir)
        .. evaluate(("run%d --data %d-valid.csv"):format(i, i), dir)
    end
    assert.truthy(out[1]:find "0%.%d+")
    assert.equal(out[1], out[2])
    assert.equal(out[1], out[3])
  end)

  it("is said in one way", function()
    local config, dir = require "moonrank.config", helper.temp_dir()
    local function read(label)
      return config.fields(helper.write(dir .. "/fields.yaml", "data: {train: a.csv}\nlabel: "
        .. label .. "\nfields: [{name: a, side: ad, type: id}]\n"))
    end
    assert.same({ ctr = { column = "c", is = { "x" } }, cvr = { column = "c", is = { "x", "y" },
      when = "ctr" }, low = { column = "d", from = -1.5 }, plain = "e" }, assert(read(
      "{ctr: {column: c, is: x}, cvr: {column: c, is: [x, y], when: ctr}, "
        .. "low: {column: d, from: -1.5}, plain: {column: e}}")).label)
    local fields, message = read "{ctr: {column: c, is: x, from: 1}}"
    assert.is_nil(fields)
    assert.equal(dir .. "/fields.yaml:2:39: label.ctr.from does not go with is", message)
    fields, message = read "{ctr: {column: c, is: 1}}"
    assert.is_nil(fields)
    assert.equal(dir .. "/fields.yaml:2:30: label.ctr.is is 1, expected text or a list", message)
  end)
end)

describe("JSON lines", function()
  -- The project's rows as objects, some members within others.
  local function write_json(dir, file)
    local cjson, lines = require "cjson", {}
    for line in helper.read(dir .. "/" .. file .. ".csv"):gmatch "\n([^\n]+)" do
      local click, user, ad, tags, hour, price = line:match(("([^,]*),"):rep(5) .. "([^,]*)")
      local list = {}
      for tag in tags:gmatch "[^|]+" do list[#list + 1] = tag end
      lines[#lines + 1] = ('{"click":%s,"about":{"user":%s,"hour":"%s"},"ad":%s,"tags":%s%s}\n')
        :format(click == "1", cjson.encode(user), hour, cjson.encode(ad),
        #list > 0 and cjson.encode(list) or "[]", price ~= "" and ',"price":' .. price or "")
    end
    helper.write(("%s/%s.jsonl"):format(dir, file), table.concat(lines))
  end

  it("train and are predicted as the same rows of a csv are", function()
    local dir, out, by = helper.make_project { rows = 300 }, {}, {}
    for _, split in ipairs { "train", "valid", "test" } do write_json(dir, split) end
    local fields = [[
data: {train: train.%s, valid: valid.%s, test: test.%s}
label: click
fields:
  - {name: user, side: user, type: id%s}
  - {name: ad, side: ad, type: id}
  - {name: tags, side: ad, type: ids%s}
  - {name: price, side: ad, type: number}
  - {name: hour, side: context, type: id%s}
]]
    for i, case in ipairs { { "csv", "", ', separator: "|"', "" },
      { "jsonl", ", source: about.user", "", ", source: about.hour" } } do
      local ending = case[1]
      helper.write(dir .. "/fields.yaml",
        fields:format(ending, ending, ending, case[2], case[3], case[4]))
      run("train lr.yaml --quiet --out run" .. i, dir)
      out[i] = run(("predict run%d --data valid.%s"):format(i, ending), dir)
      by[i] = evaluate(("run%d --data test.%s --by hour"):format(i, ending), dir)
    end
    assert.equal(75, select(2, out[1]:gsub("\n", "")))
    assert.is_true(out[1] == out[2])
    -- Values are named by their texts, which are looked for in the file.
    assert.equal(by[1], by[2])
    assert.truthy(by[1]:find("\n *%d+ +%d"), by[1])
  end)

  it("have no names for columns in the configuration, and separators where texts need them",
    function()
      local config, dir = require "moonrank.config", helper.temp_dir()
      local text = "data: {train: a.jsonl%s}\nlabel: y\nfields:\n"
        .. "  - {name: a, side: ad, type: ids%s}\n"
        .. "sequences:\n  - {name: s, side: user%s, of: {a: b, c: {column: d, type: ids%s}}}\n"
      local function read(...)
        return config.fields(helper.write(dir .. "/fields.yaml", text:format(...)))
      end
      local function separators(...)
        local fields = assert(read(...))
        local s = fields.sequences[1]
        return { fields.fields[1].separator, s.separator, s.of.a.separator, s.of.c.separator }
      end
      assert.same({ "\31", "\31", "\30", "\30" }, separators("", "", "", ""))
      assert.same({ ",", "|", "\30", ";" },
        separators("", ', separator: ","', ', separator: "|"', ', separator: ";"'))
      local fields, message = read(", columns: [y, a]", "", "", "")
      assert.is_nil(fields)
      assert.equal(dir .. "/fields.yaml:1:33: data.columns: the members of jsonl have names",
        message)
    end)
end)

describe("standard input", function()
  local dir, expected
  setup(function()
    dir = helper.make_project { rows = 200 }
    run("train lr.yaml --quiet --out whole", dir)
    expected = run("predict whole --data test.csv", dir)
  end)

  -- A command whose input is what another prints.
  local function piped(source, arguments)
    return helper.shell(("cd %s && %s | %s %s"):format(dir, source,
      helper.quote(helper.root() .. "/moonrank"), arguments))
  end

  it("trains for several epochs, gives figures and is predicted, as its file is", function()
    assert.same({ 0, "", "" }, { piped("cat train.csv", "train lr.yaml --quiet --out piped "
      .. "--set data.train=- --set data.format=csv") })
    assert.is_true(helper.read(dir .. "/whole/model.mr") == helper.read(dir .. "/piped/model.mr"))
    assert.same({ 0, expected, "" }, { piped("cat test.csv", "predict whole --data -") })
    assert.same({ 0, expected, "" }, { piped("gzip -c test.csv", "predict whole --data -") })
    local _, figures = piped("zstd -qc test.csv", "eval whole --data -")
    local words = run("eval whole --data test.csv", dir)
    assert.equal(words:match "lr .*0%.%d+", figures:match "lr .*0%.%d+")
    -- Nothing is left of it.
    for entry in require "lfs".dir(dir .. "/.moonrank-cache") do
      assert.is_nil(entry:find "^%.lua")
    end
  end)

  it("may be a pipe with a name, which is read once", function()
    helper.write(dir .. "/parts.yaml", (helper.read(dir .. "/fields.yaml"):gsub("data: [^\n]*",
      "data: {train: train.csv, split: {valid: 0.2}}")))
    assert.equal(0, os.execute("mkfifo " .. helper.quote(dir .. "/pipe")))
    -- What nobody reads of the pipe is taken out of it.
    local function trained(more)
      return { helper.shell(("cd %s && (cat train.csv >pipe & timeout 60 %s train lr.yaml --quiet "
        .. "--set data.train=pipe --set data.format=csv %s; code=$?; "
        .. "dd if=pipe iflag=nonblock of=/dev/null 2>/dev/null; wait; exit $code)"):format(dir,
          helper.quote(helper.root() .. "/moonrank"), more)) }
    end
    assert.same({ 0, "", "" }, trained "--out of_pipe")
    assert.equal(expected, run("predict of_pipe --data test.csv", dir))
    assert.same({ 1, "", "moonrank: --set data.train=pipe: pipe is a pipe, which can be read only "
      .. 'once; standard input, "-", is kept to be read again\n' },
      trained "--set fields=parts.yaml --out of_parts")
  end)

  it("is split as its file is, at random and by a share of the time", function()
    for i, rule in ipairs { "{valid: 0.2, test: 0.1, seed: 3}",
      "{by: time, column: price, valid: 0.2, test: 0.1}" } do
      local fields = helper.read(dir .. "/fields.yaml"):gsub("data: [^\n]*",
        "data: {train: train.csv, format: csv, split: " .. rule .. "}")
      helper.write(dir .. "/split.yaml", fields)
      helper.write(dir .. "/one.yaml", (helper.read(dir .. "/lr.yaml"):gsub("fields.yaml",
        "split.yaml")))
      local train = "train one.yaml --quiet --out "
      run(train .. "of_file" .. i, dir)
      assert.same({ 0, "", "" }, { piped("cat train.csv", train .. "of_pipe" .. i
        .. " --set data.train=-") })
      assert.is_true(helper.read(("%s/of_file%d/model.mr"):format(dir, i))
        == helper.read(("%s/of_pipe%d/model.mr"):format(dir, i)))
      assert.equal(helper.read(("%s/of_file%d/log.txt"):format(dir, i)):match "data [^\n]*",
        (helper.read(("%s/of_pipe%d/log.txt"):format(dir, i)):match "data [^\n]*"))
      assert.same({ 1, "", 'moonrank: standard input:2:1: label "2" in column "click", expected 0 '
        .. "or 1; label: {ctr: {column: click, from: 2}} takes 2 and more for 1\n" },
        { piped("sed '2s/^./2/' train.csv", "train one.yaml --quiet --out none" .. i
          .. " --set data.train=- --set data.split.valid=0.001 --set data.split.test=0.001") })
    end
    for entry in require "lfs".dir(dir .. "/.moonrank-cache") do
      assert.is_nil(entry:find "^%.lua")
    end
  end)

  it("is called so where its rows are wrong, and may not be read twice or be empty", function()
    local function fails(message, source, arguments)
      assert.same({ 1, "", "moonrank: " .. message .. "\n" }, { piped(source, arguments) })
    end
    local train = "train lr.yaml --quiet --out none --set data.format=csv --set data.train=-"
    fails('standard input:2:1: label "2" in column "click", expected 0 or 1; label: {ctr: '
      .. "{column: click, from: 2}} takes 2 and more for 1", "sed '2s/^./2/' train.csv", train)
    fails("standard input: the file is empty, expected a header", "true", train)
    fails("standard input: the gzip data ends too early; the file is not complete",
      "gzip -c train.csv | head -c 1000", train)
    fails("--set data.valid=-: standard input is read once, and data.train reads it already",
      "cat train.csv", train .. " --set data.valid=-")
    fails("standard input: a header but no rows", "head -1 train.csv", "predict whole --data -")
  end)
end)

describe("wrong rows", function()
  it("may be left out: counted in the log and the figures, predicted as nan in their places",
    function()
      local dir = helper.make_project { rows = 200 }
      run("train lr.yaml --quiet --out clean", dir)
      local good = helper.read(dir .. "/train.csv")
      helper.write(dir .. "/train.csv",
        (good:gsub("\n", "\n7,u,a,,1,2\n", 1)) .. "1,u\n1,u,a,,1,x\n")
      local train = "train lr.yaml --quiet --out skip --set data.bad_rows=skip"
      local status, _, err = helper.run("train lr.yaml --quiet --out stop", dir)
      assert.same({ 1,
        'moonrank: train.csv:2:1: label "7" in column "click", expected 0 or 1; label: {ctr: '
          .. "{column: click, from: 7}} takes 7 and more for 1\n" },
        { status, err })
      status, _, err = helper.run(train .. " --set data.bad_rows_limit=2", dir)
      assert.same({ 1, 'moonrank: train.csv:204:10: "x" is not a number (column "price"); at most '
        .. "2 wrong rows are left out\n" }, { status, err })
      run(train, dir)
      assert.is_true(helper.read(dir .. "/clean/model.mr") == helper.read(dir .. "/skip/model.mr"))
      assert.truthy(helper.read(dir .. "/skip/log.txt"):find(
        "train: 3 wrong rows left out (cells 1, label 1, number 1)\n", 1, true))
      assert.equal('{"bad_rows":{"train":{"cells":1,"label":1,"number":1}}}',
        helper.read(dir .. "/skip/metrics.jsonl"):match "[^\n]*")
      helper.write(dir .. "/clean.csv", good)
      local expected = run("predict clean --data clean.csv", dir)
      -- Without labels a wrong one is none.
      local out
      status, out, err = helper.run("predict skip --data train.csv", dir)
      assert.same({ 0, "moonrank: data: 2 wrong rows left out (cells 1, number 1); their "
        .. "predictions are nan\n" }, { status, err })
      local first, rest = out:match "^([^\n]*\n)(.*)$"
      assert.is_true(tonumber(first) > 0 and rest == expected .. "nan\nnan\n")
    end)
end)

describe("a JSON member that no line has", function()
  it("is named when a training begins, and so is a column without values", function()
    local dir, lines = helper.temp_dir(), {}
    for i = 1, 20 do
      lines[i] = ('{"click":%d,"user":"u%d","blank":"","rare":"r%d","past":[],"last":%s}\n')
        :format(i % 2, i, i, i == 20 and '["", "u9"]' or "[]")
    end
    helper.write(dir .. "/train.jsonl", table.concat(lines))
    helper.write(dir .. "/fields.yaml", "data: {train: train.jsonl}\nlabel: click\nfields:\n"
      .. "  - {name: [usr, user, blank], side: ad, type: id}\n"
      .. "  - {name: friend, table: user, side: ad, type: id, unseen: zero}\n"
      .. "  - {name: lst, table: user, side: ad, type: ids}\n"
      .. "  - {name: last, table: user, side: ad, type: ids, max: 3}\n"
      .. "  - {name: plce, side: ad, type: id, values: [feed, search]}\n"
      .. "  - {name: place, source: user, side: ad, type: id, values: [feed, search]}\n"
      .. "  - {name: age, side: ad, type: number, buckets: quantile(2)}\n"
      .. "  - {name: [rare, rarer], table: rare, side: ad, type: id}\n"
      .. "tables: {rare: {min_count: 2}}\n"
      .. "sequences: [{name: p, side: ad, of: {user: past}}]\n")
    helper.write(dir .. "/lr.yaml", "fields: fields.yaml\nmodel: {script: lr}\n")
    local status, out, err = helper.run("train lr.yaml --out run", dir)
    assert.same({ 0, "" }, { status, err })
    assert.equal("empty    no row of train has a value: usr, blank, friend, lst, plce, rarer, "
      .. "p.user",
      out:match "(empty [^\n]*)")
  end)
end)
