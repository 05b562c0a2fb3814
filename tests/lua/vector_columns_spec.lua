-- Vectors of a column for each number, through the whole house: what is read, trained and predicted
-- is held against the same numbers in one cell.
local config = require "moonrank.config"
local helper = require "helper"
local mr = require "moonrank"

local N = 12

-- Rows of one to four a request, whose `face` is the request's; some numbers are empty: they are 0.
local function make_rows(requests, seed)
  local random, rows = helper.random(seed), {}
  local function numbers(n, empty)
    local list = {}
    for i = 1, n do
      list[i] = random(empty) == 1 and "" or ("%.3f"):format(2 * random() - 1)
    end
    return list
  end
  for session = 1, requests do
    local face = numbers(2, 6)
    for _ = 1, random(4) do
      local emb = numbers(N, 9)
      local score = (tonumber(emb[1]) or 0) - 2 * (tonumber(emb[N]) or 0) + (tonumber(face[2]) or 0)
      rows[#rows + 1] = { session = session, face = face, emb = emb, ad = "a" .. random(5),
        click = score + random() - 0.5 > 0 and 1 or 0 }
    end
  end
  return rows
end

-- The columns of emb do not stand side by side, nor in their order.
local function csv(rows)
  local head = { "click", "session", "f2", "f1" }
  for i = N, 1, -1 do head[#head + 1] = ("e_%02d"):format(i) end
  head[#head + 1] = "ad"
  local lines = { table.concat(head, ",") }
  for _, row in ipairs(rows) do
    local cells = { row.click, row.session, row.face[2], row.face[1] }
    for i = N, 1, -1 do cells[#cells + 1] = row.emb[i] end
    cells[#cells + 1] = row.ad
    lines[#lines + 1] = table.concat(cells, ",")
  end
  return table.concat(lines, "\n") .. "\n"
end

local function jsonl(rows)
  local lines = {}
  for i, row in ipairs(rows) do
    local members = { ('"click":%d,"session":%d,"ad":"%s"'):format(row.click, row.session, row.ad) }
    for k = 1, 2 do members[#members + 1] = ('"f%d":"%s"'):format(k, row.face[k]) end
    for k = 1, N do
      members[#members + 1] = ('"e_%02d":%s'):format(k, row.emb[k] == "" and "null" or row.emb[k])
    end
    lines[i] = "{" .. table.concat(members, ",") .. "}"
  end
  return table.concat(lines, "\n") .. "\n"
end

local function joined(rows)
  local lines = { "click,session,face,emb,ad" }
  local function cell(list)
    local all = {}
    for i, text in ipairs(list) do all[i] = text == "" and "0" or text end
    return table.concat(all, ";")
  end
  for i, row in ipairs(rows) do
    lines[i + 1] = ("%d,%d,%s,%s,%s"):format(row.click, row.session, cell(row.face), cell(row.emb),
      row.ad)
  end
  return table.concat(lines, "\n") .. "\n"
end

local SPLIT = [[
  - {name: face, side: user, type: vector, source: [f1, f2]}
  - {name: emb, side: ad, type: vector, source: e_01..e_12}
]]
local JOINED = [[
  - {name: face, side: user, type: vector, width: 2, separator: ";"}
  - {name: emb, side: ad, type: vector, width: 12, separator: ";"}
]]

local function project(fields, format, text)
  local dir = helper.temp_dir()
  for i, split in ipairs { "train", "valid" } do
    helper.write(("%s/%s.%s"):format(dir, split, format), text(make_rows(i == 1 and 500 or 120, i)))
  end
  helper.write(dir .. "/fields.yaml", ([[
data: {train: train.%s, valid: valid.%s}
label: click
request: session
fields:
  - {name: ad, side: ad, type: id}
]]):format(format, format) .. fields)
  helper.write(dir .. "/dnn.yaml", "fields: fields.yaml\nmodel: {script: dnn, hidden: [8]}\n"
    .. "train: {batch: 64, epochs: 2, seed: 1, optimizer: {adam: {lr: 0.01}}}\n")
  return dir
end

local function run(dir, words)
  local status, out, err = helper.run(words, dir)
  assert.same({ 0, "" }, { status, err })
  return out
end

local function train(dir, threads)
  run(dir, ("train dnn.yaml --quiet --out run --threads %d"):format(threads))
  return run(dir, "predict run --data valid")
end

local split = project(SPLIT, "csv", csv)
local scores = train(split, 1)

describe("a vector of a column for each number", function()
  it("is that of one cell with the same numbers", function()
    assert.equal(train(project(JOINED, "csv", joined), 1), scores)
    assert.equal(scores, train(project(SPLIT, "jsonl", jsonl), 3))
    assert(helper.evaluate(split .. "/run --data valid").figures.auc > 0.8)
  end)

  it("has its numbers in the order of its source", function()
    local data = assert(mr.dataset(split .. "/fields.yaml", { threads = 1 }))
    assert.same({ "vector", N }, { data.fields[3].type, data.fields[3].width })
    local rows, at = make_rows(120, 2), 0
    for batch in data.valid:loader { batch = 50 } do
      local C = require "moonrank.ffi".C
      local emb = C.mr_batch_floats(batch, data.fields[3].column)
      for r = 0, tonumber(C.mr_batch_rows(batch, C.MR_SAMPLE)) - 1 do
        at = at + 1
        for i = 1, N do
          assert.near(tonumber(rows[at].emb[i]) or 0, emb[r * N + i - 1], 1e-7)
        end
      end
    end
    assert.equal(#rows, at)
  end)

  it("is predicted from a file that has columns of the same names", function()
    helper.write(split .. "/new.csv", csv(make_rows(120, 2)))
    assert.equal(scores, run(split, "predict run --data new.csv"))
  end)

  it("is read by check", function()
    assert.truthy(run(split, "check fields.yaml"):find("emb", 1, true))
  end)

  it("names the column of what is wrong", function()
    local function fails(message, text)
      local dir = project(SPLIT, "csv", csv)
      helper.write(dir .. "/train.csv", text)
      local status, _, err = helper.run("train dnn.yaml --quiet --out run", dir)
      assert.same({ 1, "moonrank: train.csv:" .. message .. "\n" }, { status, err })
    end
    local good = csv(make_rows(3, 5))
    local head = good:match "^[^\n]*\n"
    local function row(f2, e3)
      local cells = { "1,7," .. f2 .. ",1" }
      for i = N, 1, -1 do cells[#cells + 1] = i == 3 and e3 or "0" end
      return table.concat(cells, ",") .. ",a\n"
    end
    fails('2:27: "x" is not a number (column "e_03")', head .. row("1", "x"))
    fails('2:27: "1e39" is too large for a float (column "e_03")', head .. row("1", "1e39"))
    fails('3:5: column "f2" is "2", but "1" in an earlier row of the same request',
      head .. row("1", "") .. row("2", ""))
    helper.write(split .. "/other.csv", (good:gsub("e_03", "e_99")))
    local _, _, err = helper.run("predict run --data other.csv", split)
    assert.truthy(err:find('column "e_03" is missing', 1, true), err)
  end)
end)

describe("a vector's source", function()
  local dir = helper.temp_dir()

  local function fails(message, field)
    helper.write(dir .. "/fields.yaml", "data: {train: a.csv}\nlabel: click\nfields:\n  - "
      .. field)
    helper.fails_with(dir .. "/fields.yaml:" .. message, config.fields(dir .. "/fields.yaml"))
  end

  it("names what is wrong with it", function()
    fails('4:47: fields[1].source has "f1" twice',
      "{name: v, side: ad, type: vector, source: [f1, f1..f3]}")
    fails("4:66: fields[1].width is 4, but its source has 3 columns; leave that out",
      "{name: v, side: ad, type: vector, source: f1..f3,     width: 4}")
    fails("4:47: fields[1].source is a list, which is for type vector; this field is of type "
      .. "number",
      "{name: v, side: ad, type: number, source: [f1, f2]}")
    fails('4:48: "f3..f1" is no range of names, such as f1..f200, of at most 65536',
      "{name: v, side: ad, type: vector, source: [f3..f1]}")
    fails("4:12: fields[1].width is missing: how many numbers each cell has",
      "{name: v, side: ad, type: vector, source: f1}")
  end)
end)
