-- Bad input in JSON lines and libsvm, through the command, training and predicting: the whole
-- message and the exit status. Cells of a csv have bad_input_spec.lua.
local helper = require "helper"

local dir = helper.temp_dir()
local good = { jsonl = {}, svm = {} }
for i = 1, 20 do
  good.jsonl[i] = ('{"click":%d,"user":"u%d","tags":["t%d","t1"],"price":%g}\n'):format(i % 2,
    i % 3, i % 4, i / 2)
  good.svm[i] = ("%d 1:%g 7:1\n"):format(i % 2, i / 2)
end
local GOOD = { jsonl = table.concat(good.jsonl), svm = table.concat(good.svm) }
helper.write(dir .. "/jsonl.yaml", [[
data: {train: train.jsonl, valid: valid.jsonl}
label: click
fields:
  - {name: user, side: user, type: id}
  - {name: tags, side: ad, type: ids}
  - {name: price, side: ad, type: number}
]])
helper.write(dir .. "/svm.yaml", [[
data: {train: train.svm, valid: valid.svm}
label: label
fields:
  - {name: price, source: 1, side: ad, type: number}
  - {name: ad, source: features, side: ad, type: ids, weighted: true, pool: sum}
]])
for format, text in pairs(GOOD) do
  helper.write(("%s/train.%s"):format(dir, format), text)
  helper.write(("%s/valid.%s"):format(dir, format), text)
  helper.write(("%s/%s-lr.yaml"):format(dir, format), ("fields: %s.yaml\nmodel: {script: lr}\n"
    .. "train: {batch: 8, threads: 1, optimizer: {adagrad: {lr: 0.1}}}\n"):format(format))
  assert.equal(0, (helper.run(("train %s-lr.yaml --quiet --out good-%s"):format(format, format),
    dir)))
end

local function train(format)
  return helper.run(("train %s-lr.yaml --quiet --restart --out out"):format(format), dir)
end

local function predict(format)
  return helper.run(("predict good-%s train.%s"):format(format, format), dir)
end

-- Both fail with these words behind the file's name, and nothing else. What is wrong with a label
-- fails training alone.
local function refuses(format, message, text)
  helper.write(("%s/train.%s"):format(dir, format), text)
  local err = ("moonrank: train.%s%s\n"):format(format, message)
  assert.same({ 1, "", err }, { train(format) })
  if message:find "label \"" then
    assert.same({ 0, "" }, { (predict(format)), select(3, predict(format)) })
  else
    local status, _, told = predict(format)
    assert.same({ 1, err }, { status, told })
  end
end

-- The text trains; the predictions of its rows.
local function accepts(format, text, rows)
  helper.write(("%s/train.%s"):format(dir, format), text)
  assert.same({ 0, "", "" }, { train(format) })
  local status, out, err = predict(format)
  assert.same({ 0, "", rows }, { status, err, select(2, out:gsub("0%.%d+\n", "")) })
  return out
end

local function row(members)
  return ('{"click":%s,"user":%s,"tags":%s,"price":%s}\n'):format(members.click or "1",
    members.user or '"u"', members.tags or "[]", members.price or "3")
end

describe("JSON lines: refused is", function()
  local function says(message, line) refuses("jsonl", message, GOOD.jsonl .. line) end

  it("a number that is none, or that no float holds", function()
    says(':21:42: "abc" is not a number (column "price")', row { price = '"abc"' })
    says(':21:41: "3?" is not a number (column "price")', row { price = "3\0" })
    says(':21:41: "-" is not a number (column "price")', row { price = "-" })
    says((':21:42: "%s..." is not a number (column "price")'):format(("x"):rep(40)),
      row { price = '"' .. ("x"):rep(10e6) .. '"' })
    for _, text in ipairs { "Infinity", "-Infinity", "1e39", "-1e400" } do
      says((':21:41: "%s" is too large for a float (column "price")'):format(text),
        row { price = text })
    end
    says(':21:41: member "price" is a list, expected one value', row { price = "[3]" })
    says(':21:19: member "user" is an object, expected one value', row { user = '{"id":1}' })
  end)

  it("a line that is no object, or a part of one", function()
    says(":21:23: tags, expected , or } behind a member", '{"click":1,"user":"u,"tags":[]}\n')
    says(":21:19: a string is not closed", '{"click":1,"user":"u1\n')
    says(":21:2: 'click', expected the name of a member", "{'click':1}\n")
    says(":21:12: ,, expected the end of the line", '{"click":1},\n')
    says(":21:1: [, expected an object", "[1]\n")
    says(":21:10: yes, expected a value of JSON", '{"click":yes}\n')
    says(":21:32: member \"user\" is there twice", '{"click":1,"user":"u1","user": 2}\n')
    refuses("jsonl", ":1:2: the line ends, expected the name of a member", '{\n "click": 1\n}\n')
    refuses("jsonl", ":1:1: click, expected an object", "click,user\n1,2\n")
  end)

  it("a label that is neither 0 nor 1", function()
    for label, hint in pairs { ["2"] = "from: 2}} takes 2 and more",
      ["0.5"] = "from: 1}} takes 1 and more", ["-1"] = "from: 1}} takes 1 and more",
      ['"yes"'] = 'is: yes}} takes "yes"' } do
      local place, text = label:find '"' and 11 or 10, label:gsub('"', "")
      says((':21:%d: label "%s" in column "click", expected 0 or 1; label: {ctr: {column: click, '
        .. "%s for 1"):format(place, text, hint), row { click = label })
    end
    says(':21:10: label "" in column "click", expected 0 or 1', row { click = "null" })
    says(':21:10: label "" in column "click", expected 0 or 1', row { click = "NaN" })
    says(':21:1: label "" in column "click", expected 0 or 1', '{"user":"u"}\n')
  end)
end)

describe("libsvm: refused is", function()
  local function says(message, line) refuses("svm", message, GOOD.svm .. line) end

  it("a value that is no number, or that no float holds", function()
    for _, text in ipairs { "abc", "3?", "nan", "inf", "-Inf", "1e39" } do
      says((':21:3: weight "%s" of "7" is no number from -1e9 to 1e9 (column "features")'):format(
        text), "1 7:" .. text:gsub("%?", "\0") .. "\n")
    end
    says((':21:3: weight "%s..." of "1" is no number from -1e9 to 1e9 (column "features")'):format(
      ("7"):rep(40)), "1 1:" .. ("7"):rep(10e6) .. "\n")
  end)

  it("a word that is no pair, and an index twice where one value is read", function()
    says(':21:3: "7" is not index:value', "1 7 1:1\n")
    says(':21:3: "1:" is not index:value', "1 1:\n")
    says(":21:7: index 1 is there twice", "1 1:1 1:2\n")
    says(":21:1: the row has no label", " 1:1\n")
  end)

  it("a label that is neither 0 nor 1, nor -1", function()
    for _, label in ipairs { "2", "0.5", "yes", "nan", "a,b" } do
      says((':21:1: label "%s" in column "label", expected 0 or 1, or -1 for 0'):format(label),
        label .. " 1:1\n")
    end
  end)
end)

describe("lines of either: refused is", function()
  it("a file without rows, or of another kind", function()
    for _, format in ipairs { "jsonl", "svm" } do
      refuses(format, ": the file is empty, expected rows", "")
      refuses(format, ": no rows", "\n \r\n")
      refuses(format, ":1: the lines end with CR alone, expected LF or CRLF",
        (GOOD[format]:gsub("\n", "\r")))
      refuses(format, ": the file is UTF-16, expected text in UTF-8, plain, gzip, zstd or lz4",
        "\255\254{\0")
    end
  end)

  for name, command in pairs { gzip = "gzip -c", zstd = "zstd -q -c", lz4 = "lz4 -q -c" } do
    it("compressed data that ends too early: " .. name, function()
      for _, format in ipairs { "jsonl", "svm" } do
        local plain = helper.write(dir .. "/plain", GOOD[format]:rep(2000))
        assert.equal(0, (helper.shell(("%s %s > %s/packed"):format(command, plain, dir))))
        local whole = helper.read(dir .. "/packed")
        refuses(format, (": the %s data ends too early; the file is not complete"):format(name),
          whole:sub(1, math.floor(#whole / 2)))
      end
    end)
  end
end)

describe("lines of either: read is", function()
  it("a last line without its end, CRLF, a byte order mark, empty lines", function()
    for _, format in ipairs { "jsonl", "svm" } do
      local text = GOOD[format]
      local expected = accepts(format, text, 20)
      for _, other in ipairs { text:sub(1, -2), (text:gsub("\n", "\r\n")), "\239\187\191" .. text,
        text .. "\n\r\n", (text:gsub("\n", "\n\n")) } do
        assert.equal(expected, accepts(format, other, 20))
      end
    end
  end)

  it("NUL bytes and bytes that are no UTF-8, long lines, and ids of 0 and 2^64-1", function()
    accepts("jsonl", GOOD.jsonl .. row { user = '"u\0\255\254"' } .. row { user = "0",
      tags = '["18446744073709551615", 0]' } .. row { user = '"' .. ("x"):rep(10e6) .. '"' }, 23)
    accepts("svm", GOOD.svm .. "1 \255\254\0:1\n0 0:1 18446744073709551615:1\n1 " .. ("7"):rep(10e6)
      .. ":1\n-1 1:1\n", 24)
  end)

  it("NaN in JSON, which is missing as null is; true and false are 1 and 0", function()
    local function out_of(price)
      return accepts("jsonl", GOOD.jsonl .. row { price = price }, 21)
    end
    local expected = out_of "null"
    assert.equal(expected, out_of "NaN")
    assert.equal(expected, out_of '"nan"')
    assert.equal(out_of "1", out_of "true")
    accepts("jsonl", GOOD.jsonl .. row { user = "NaN", tags = "[NaN]", click = "false" }, 21)
  end)

  it("training data of one class, of which the log has a line", function()
    for format, task in pairs { jsonl = GOOD.jsonl:gsub('"click":0', '"click":1'),
      svm = GOOD.svm:gsub("\n0", "\n1") } do
      accepts(format, task, 20)
      assert.equal("labels   every label of ctr in the training data is 1: there is nothing to "
        .. "learn", helper.read(dir .. "/out/log.txt"):match "labels[^\n]*")
    end
  end)
end)
