-- Every kind of bad input, through the command: the whole message and the exit status. What only
-- looks bad is read, and shown to have been read.
local helper = require "helper"

local HEADER = "click,user,ad,price\n"

-- A project whose files have the same 20 good rows, in a folder where commands run.
local good_rows = {}
for i = 1, 20 do good_rows[i] = ("%d,u%d,a%d,%g\n"):format(i % 2, i % 3, i % 5, i / 2) end
local GOOD = HEADER .. table.concat(good_rows)

local dir = helper.temp_dir()
helper.write(dir .. "/fields.yaml", [[
data: {train: train.csv, valid: valid.csv}
label: click
group: user
fields:
  - {name: user, side: user, type: id}
  - {name: ad, side: ad, type: id}
  - {name: price, side: ad, type: number}
]])
helper.write(dir .. "/lr.yaml", "fields: fields.yaml\nmodel: {script: lr}\n"
  .. "train: {batch: 8, threads: 1, optimizer: {adagrad: {lr: 0.1}}}\n")
helper.write(dir .. "/valid.csv", GOOD)
helper.write(dir .. "/train.csv", GOOD)
assert.equal(0, (helper.run("train lr.yaml --quiet --out good", dir)))

local function train(arguments)
  return helper.run("train lr.yaml --quiet --restart --out out " .. (arguments or ""), dir)
end

-- Training on this text fails with these words, and nothing else.
local function refuses(message, text, arguments)
  helper.write(dir .. "/train.csv", text)
  local status, out, err = train(arguments)
  assert.same({ 1, "", "moonrank: " .. message .. "\n" }, { status, out, err })
end

-- Predicting it does, too.
local function refused(message, text)
  refuses(message, text)
  local status, _, err = helper.run("predict good train.csv", dir)
  assert.same({ 1, "moonrank: " .. message .. "\n" }, { status, err })
end

-- The rows of train.csv by the values of a field, as eval prints them: name -> rows.
local function slices(field)
  local status, out, err = helper.run("eval good --data train.csv --by " .. field, dir)
  assert.same({ 0, "" }, { status, err })
  local rows = {}
  for name, n in out:match("\n\n" .. field .. " [^\n]*\n(.*)$"):gmatch "([^\n]-)  +(%d+)[^\n]*\n" do
    rows[name] = tonumber(n)
  end
  return rows
end

-- This text trains, and predicts a line for each of its rows.
local function accepts(text, rows)
  helper.write(dir .. "/train.csv", text)
  assert.same({ 0, "", "" }, { train() })
  local status, out, err = helper.run("predict good --data train.csv", dir)
  assert.same({ 0, "" }, { status, err })
  assert.equal(rows, select(2, out:gsub("0%.%d+\n", "")))
  return out
end

describe("refused is", function()
  it("a number that is none", function()
    refused('train.csv:22:9: "abc" is not a number (column "price")', GOOD .. "1,u1,a1,abc\n")
    refused('train.csv:22:8: "3?" is not a number (column "price")', GOOD .. "1,u1,a,3\0\n")
    refused('train.csv:22:9: "0x1f" is not a number (column "price")', GOOD .. "1,u1,a1,0x1f\n")
    refused('train.csv:22:9: "1,5" is not a number (column "price")', GOOD .. '1,u1,a1,"1,5"\n')
    refused(('train.csv:22:8: "%s..." is not a number (column "price")'):format(("x"):rep(40)),
      GOOD .. "1,u1,a," .. ("x"):rep(10e6) .. "\n")
  end)

  it("a number that no float holds", function()
    for _, text in ipairs { "inf", "-Inf", "Infinity", "1e39", "-1e39" } do
      refused(('train.csv:22:9: "%s" is too large for a float (column "price")'):format(text),
        GOOD .. "1,u1,a1," .. text .. "\n")
    end
  end)

  it("a quote that is not closed, or in the wrong place", function()
    refused("train.csv:22:6: a quoted cell is not closed", GOOD .. '1,u1,"a1,3\n1,u2,a2,4\n')
    refused("train.csv:22:6: a quote inside a cell that does not start with one",
      GOOD .. '1,u1,a"1,3\n1,u2,a2,4\n')
    refused("train.csv:22:6: text after the closing quote of a cell",
      GOOD .. '1,u1,"a"1,3\n1,u2,a2,4\n')
  end)

  it("a label that is neither 0 nor 1", function()
    local long = ("b"):rep(41)
    for label, hint in pairs { ["2"] = "from: 2}} takes 2 and more", [""] = false,
      ["0.5"] = "from: 1}} takes 1 and more", ["-1"] = "from: 1}} takes 1 and more",
      ["4.25"] = "from: 4.25}} takes 4.25 and more", yes = 'is: yes}} takes "yes"',
      nan = 'is: nan}} takes "nan"', [" >50K"] = 'is: " >50K"}} takes " >50K"',
      ["a\\b"] = false, [long] = false } do
      refuses(('train.csv:22:1: label "%s" in column "click", expected 0 or 1%s'):format(
        label == long and label:sub(1, 40) .. "..." or label,
        hint and ("; label: {ctr: {column: click, %s for 1"):format(hint) or ""),
        GOOD .. label .. ",u1,a1,3\n")
    end
  end)

  it("a row of another number of cells", function()
    refused("train.csv:22: 3 cells, expected 4 (as in the header)", GOOD .. "1,u1,a1\n")
    refused("train.csv:22: 5 cells, expected 4 (as in the header)", GOOD .. "1,u1,a1,3,4\n")
    refused("train.csv:23: 1 cell, expected 4 (as in the header)", GOOD .. "\n1\n")
  end)

  it("a column that is missing, or there twice", function()
    refused('train.csv:1: column "price" is missing; did you mean "prise"? (columns: click, user, '
      .. "ad, prise)", "click,user,ad,prise\n1,u1,a1,3\n")
    refuses('train.csv:1: column "click" is missing; did you mean "cli?ck"? (columns: cli?ck, '
      .. "user, ad, price)", "cli\0ck,user,ad,price\n1,u1,a1,3\n")
    refused('train.csv:1: column "user" is there twice (cells 2 and 5)',
      "click,user,ad,price,user\n1,u1,a1,3,u1\n")
  end)

  it("a file without rows", function()
    refused("train.csv: the file is empty, expected a header", "")
    refused("train.csv: a header but no rows", HEADER)
    refused("train.csv:1: the header is an empty line", "\n")
    refused("train.csv:1: the header is an empty line", "\239\187\191\n")
  end)

  it("a file whose lines end with CR alone", function()
    refused("train.csv:1: the lines end with CR alone, expected LF or CRLF",
      (GOOD:gsub("\n", "\r")))
    refuses("train.csv:1: the lines end with CR alone, expected LF or CRLF",
      (good_rows[1]:gsub("\n", "\r")):rep(3),
      "--set data.header=false --set 'data.columns=[click, user, ad, price]'")
  end)

  it("validation data of one class, where the monitor needs both", function()
    helper.write(dir .. "/ones.csv", (GOOD:gsub("\n0", "\n1")))
    refuses("the monitor auc is not defined on the validation data: it needs rows of both labels",
      GOOD, "--set data.valid=ones.csv")
    assert.equal(0, (train "--set data.valid=ones.csv --set train.monitor=logloss"))
  end)

  it("a number of rows that are wrong, one by one, up to a limit", function()
    local wrong = GOOD .. "1,u1,a1,abc\n2,u1,a1,3\n1,u1\n"
    refuses("train.csv:24: 2 cells, expected 4 (as in the header); at most 2 wrong rows are left "
      .. "out", wrong, "--set data.bad_rows=skip --set data.bad_rows_limit=2")
    assert.same({ 0, "", "" }, { train "--set data.bad_rows=skip --set data.bad_rows_limit=3" })
    assert.equal("train: 3 wrong rows left out (cells 1, label 1, number 1)",
      helper.read(dir .. "/out/log.txt"):match "train: [^\n]*")
  end)
end)

describe("compressed data", function()
  local lines = {}
  for i = 1, 20000 do
    lines[i] = ("%d,u%d,a%d,%g\n"):format(i % 2, i % 3333, i % 1555, i * i % 7777 / 2)
  end
  helper.write(dir .. "/many.csv", HEADER .. table.concat(lines))

  for name, command in pairs { gzip = "gzip -c", zstd = "zstd -q -c", lz4 = "lz4 -q -c" } do
    it("that ends too early is refused: " .. name, function()
      assert.equal(0, (helper.shell(("%s %s/many.csv > %s/whole"):format(command, dir, dir))))
      local whole = helper.read(dir .. "/whole")
      for _, size in ipairs { 2, 3, 7, 30, math.floor(#whole / 2), #whole - 1 } do
        refused(("train.csv: the %s data ends too early; the file is not complete"):format(name),
          whole:sub(1, size))
      end
      helper.write(dir .. "/train.csv", whole)
      assert.same({ 0, "", "" }, { train() })
    end)

    it("that is damaged is refused: " .. name, function()
      assert.equal(0, (helper.shell(("%s %s/many.csv > %s/whole"):format(command, dir, dir))))
      local whole = helper.read(dir .. "/whole")
      helper.write(dir .. "/train.csv", whole:sub(1, 20000) .. ("\0"):rep(300) .. whole:sub(20301))
      local status, out, err = train()
      assert.same({ 1, "" }, { status, out })
      assert(err:find("^moonrank: train%.csv: the " .. name .. " data is damaged %([%w_ ]+%)\n$"),
        err)
    end)
  end
end)

describe("read is", function()
  it("a last line without its end, lines that end with CRLF, a byte order mark", function()
    local expected = accepts(GOOD, 20)
    local model = helper.read(dir .. "/out/model.mr")
    for _, text in ipairs { GOOD:sub(1, -2), (GOOD:gsub("\n", "\r\n")), "\239\187\191" .. GOOD } do
      assert.equal(expected, accepts(text, 20))
      assert.is_true(model == helper.read(dir .. "/out/model.mr"))
    end
  end)

  it("a file with empty lines, which are no rows", function()
    local expected = accepts(GOOD, 20)
    assert.equal(expected, accepts(GOOD .. "\n\r\n", 20))
    assert.equal(expected, accepts(GOOD:gsub("\n", "\n\n"), 20))
  end)

  it("NUL bytes and bytes that are no UTF-8, as they are", function()
    accepts(GOOD .. "1,u\255\254,a\0b,3\n0,u\255,a\0c,3\n", 22)
    assert.same({ u0 = 6, u1 = 7, u2 = 7, ["u\255\254"] = 1, ["u\255"] = 1 }, slices "user")
    local ads = slices "ad" -- control bytes are shown as question marks
    assert.same({ 1, 1 }, { ads["a?b"], ads["a?c"] })
  end)

  it("a line of 10 MB", function()
    accepts(GOOD .. "1," .. ("x"):rep(10e6) .. ",a1,3\n", 21)
    assert.equal(1, slices "user" [("x"):rep(40) .. "..."])
  end)

  it("ids of 0 and 2^64-1, which are texts like others", function()
    accepts(GOOD .. "1,0,18446744073709551615,3\n0,,0,3\n", 22)
    assert.same({ u0 = 6, u1 = 7, u2 = 7, ["0"] = 1, ["(none)"] = 1 }, slices "user")
    local ads = slices "ad"
    assert.same({ 1, 1 }, { ads["0"], ads["18446744073709551615"] })
  end)

  it("a number nan or none, which is missing", function()
    local lines_of = function(text) return accepts(GOOD .. text, 22) end
    local expected = lines_of "1,u1,a1,\n1,u2,a2,0\n"
    assert.equal(expected, lines_of "1,u1,a1,nan\n1,u2,a2,NaN\n") -- `missing` is 0
  end)

  it("a column twice that no field reads", function()
    accepts("click,user,x,ad,price,x\n1,u1,,a1,3,\n0,u2,,a2,3,\n", 2)
  end)

  it("training data of one class, of which the log has a line", function()
    accepts((GOOD:gsub("\n0", "\n1")), 20)
    assert.equal("labels   every label of ctr in the training data is 1: there is nothing to learn",
      helper.read(dir .. "/out/log.txt"):match "labels[^\n]*")
    accepts(GOOD, 20)
    assert.is_nil(helper.read(dir .. "/out/log.txt"):match "labels[^\n]*")
  end)
end)

describe("a disk that is full while a cache is built", function()
  it("stops with the file's name; with room again it is built", function()
    local disk = helper.temp_dir()
    if helper.shell("mount -t tmpfs -o size=512k tmpfs " .. disk) ~= 0 then
      return pending "file systems cannot be mounted here"
    end
    finally(function() helper.shell("umount " .. disk) end)
    helper.write(dir .. "/train.csv", HEADER .. good_rows[1]:rep(6000))
    local set, full = "--set data.cache=" .. disk, 0
    for pages = 0, 100, 4 do
      helper.shell(("rm -f %s/*; dd if=/dev/zero of=%s/filler bs=4096"):format(disk, disk))
      helper.shell(("truncate -s -%d %s/filler"):format(pages * 4096, disk))
      local status, out, err = train(set)
      if status == 0 then break end
      assert.same({ 1, "" }, { status, out })
      local file, reason = err:match "^moonrank: ([^\n:]*): ([^\n:]*)\n$"
      assert.equal("No space left on device", reason)
      assert.equal(disk, file:match "^(.*)/[^/]+$")
      assert.equal(0, (helper.shell(("! ls %s | grep -v -e filler -e lock$ -e columns$"):format(
        disk))))
      full = full + 1
    end
    assert(full > 3, "the disk was never full")
    helper.shell("rm " .. disk .. "/filler")
    assert.same({ 0, "", "" }, { train(set) })
  end)
end)

describe("a folder that nothing can be written into", function()
  it("is told where column caches would be, with what helps", function()
    local home = helper.make_project { rows = 60 }
    assert.equal(0, (helper.run(("train %s/lr.yaml --quiet --out %s/run"):format(home, home))))
    -- Permissions do not bind root; a lock that is a folder cannot be opened by anybody.
    helper.shell(("cd %s/.moonrank-cache && rm *.columns && for f in *.lock; do rm $f; mkdir $f; "
      .. "done"):format(home))
    local message = ("moonrank: cannot keep column caches in %s/.moonrank-cache: Is a directory; "
      .. "choose a folder with --set data.cache=DIR\n"):format(home)
    for _, command in ipairs { "train %s/lr.yaml --quiet --out %s/other", "eval %s/run",
      "compare %s/run %s/run --draws 10" } do
      command = command:gsub("%%s", home)
      assert.same({ 1, "", message }, { helper.run(command) })
      assert.equal(0, (helper.run(("%s --set data.cache=%s/c"):format(command, home))))
    end
  end)

  it("is told where the cache of a file would be, and needs to be none for a check", function()
    local home = helper.make_project { rows = 60 }
    assert.equal(0, (helper.run(("train %s/lr.yaml --quiet --out %s/run"):format(home, home))))
    local function with(folder, words)
      return { helper.shell(("TMPDIR=%s ./moonrank %s"):format(folder, words)) }
    end
    local message = "moonrank: cannot make a folder in /nowhere: No such file or directory\n"
    assert.same({ 1, "", message },
      with("/nowhere", ("eval %s/run --data %s/test.csv"):format(home, home)))
    assert.equal(0, with(home, ("eval %s/run --data %s/test.csv"):format(home, home))[1])
    for name in require "lfs".dir(home) do
      assert.is_nil(name:match "^moonrank", "nothing is left behind")
    end
    local undo = stub(os, "tmpname", function() error "unable to generate a unique filename" end)
    local config = assert(require "moonrank.config".fields(home .. "/fields.yaml"))
    local report = require "moonrank.check".look(config)
    undo:revert()
    assert.same({ "train", "valid", "test" }, report.names)
  end)
end)
