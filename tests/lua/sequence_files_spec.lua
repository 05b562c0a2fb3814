-- The scripts about histories on files with sequences: what they learn, and how often each node is
-- computed. (Bits, stops and wrong cells: sequence_train_spec.)
local helper = require "helper"

local FIELDS = [[
data: {train: train.csv, valid: valid.csv, test: test.csv}
defaults: {dim: 4}
label: label
request: request
group: user
fields:
  - {name: user, side: user, type: id}
  - {name: cate, side: ad, type: id}
  - {name: tags, side: ad, type: ids, separator: "|"}
  - {name: item, side: ad, type: id}
  - {name: price, side: ad, type: number}
sequences:
  - name: click
    side: user
    max: 4
    of:
      item: click_items
      gap: {column: click_gaps, type: number, transform: log1p}
      tags: click_tags
      cate: click_cates
  - {name: seen, side: ad, separator: ";", of: {user: seen_by}}
]]

local HEADER = "request,user,click_items,click_cates,click_tags,click_gaps,item,cate,tags,price,"
  .. "seen_by,label"

local function item(random)
  local number = random(30)
  return { item = "i" .. number, cate = "c" .. number % 5,
    tags = ("t%d|t%d"):format(number % 7, number % 4) }
end

local function joined(list, key, separator)
  local words = {}
  for i, one in ipairs(list) do words[i] = one[key] end
  return table.concat(words, separator or " ")
end

-- Rows of requests with 0 to 6 behaviours and 1 to 4 samples, each seen by 0 to 2. Those that are
-- like the history are clicked. Gives the lines, and the counts of what max: 4 leaves.
local function make_rows(seed, requests)
  local random, lines = helper.random(seed), {}
  local counts = { requests = requests, samples = 0, clicks = 0, pairs = 0, seen = 0 }
  for q = 1, requests do
    local past, n = {}, random(7) - 1
    for t = 1, n do
      past[t] = item(random)
      past[t].gap = random(50)
    end
    local shared = ("%d,u%d,%s,%s,%s,%s"):format(q, random(20), joined(past, "item"),
      joined(past, "cate"), joined(past, "tags"), joined(past, "gap"))
    local samples = random(4)
    for _ = 1, samples do
      local ad, seen, alike = item(random), {}, 0
      for i = 1, random(3) - 1 do seen[i] = { user = "u" .. random(20) } end
      for _, one in ipairs(past) do alike = alike + (one.cate == ad.cate and 1 or 0) end
      local label = random() < (alike > 0 and 0.8 or 0.15) and 1 or 0
      lines[#lines + 1] = ("%s,%s,%s,%s,%d,%s,%d"):format(shared, ad.item, ad.cate, ad.tags,
        random(9), joined(seen, "user", ";"), label)
      counts.seen = counts.seen + #seen
    end
    counts.samples = counts.samples + samples
    counts.clicks = counts.clicks + math.min(n, 4)
    counts.pairs = counts.pairs + math.min(n, 4) * samples
  end
  return lines, counts
end

local function write_rows(path, lines)
  helper.write(path, HEADER .. "\n" .. table.concat(lines, "\n") .. "\n")
end

local function grouped(n) return require "moonrank.progress".grouped(n) end

describe("sequences in files", function()
  local dir, counts = helper.temp_dir(), nil
  local function experiment(name, model)
    helper.write(dir .. "/" .. name, "fields: fields.yaml\n" .. model
      .. "\ntrain: {batch: 128, epochs: 3, seed: 2, optimizer: {adam: {lr: 0.01}}}\n")
  end

  setup(function()
    helper.write(dir .. "/fields.yaml", FIELDS)
    write_rows(dir .. "/train.csv", (make_rows(1, 1500)))
    write_rows(dir .. "/valid.csv", (make_rows(2, 300)))
    local lines
    lines, counts = make_rows(3, 300)
    write_rows(dir .. "/test.csv", lines)
    experiment("din.yaml", "model: {script: din, attention: [16, 8], hidden: [32, 16]}")
    experiment("base.yaml", "model: {script: base, hidden: [32, 16]}")
    experiment("youtube_dnn.yaml", "model: {script: youtube_dnn, hidden: [32, 16]}")
    experiment("dnn.yaml", "model: {script: dnn, hidden: [32, 16]}")
  end)

  it("train each script, and what looks at the ad learns most", function()
    local auc = {}
    for _, name in ipairs { "din", "base", "youtube_dnn", "dnn" } do
      local status, said, err = helper.run(("train %s/%s.yaml --out %s/%s"):format(dir, name, dir,
        name))
      assert.same({ 0, "" }, { status, err })
      auc[name] = tonumber(said:match "\ntest +[%d,]+ +(%S+)")
    end
    assert(auc.din > 0.7 and auc.din > auc.dnn + 0.05, auc.din .. " " .. auc.dnn)
    assert(auc.din > auc.base, auc.din .. " " .. auc.base)
    assert(auc.youtube_dnn > 0.5)
  end)

  it("have domains, whose rows are counted", function()
    local _, out = helper.run(("inspect %s/din --data test"):format(dir))
    local rows, widths = {}, {}
    for op, domain, n, width in out:gmatch "\n%d+ +(%l[%w_]*) +(%l[%l ]-) +([%d,]+) +(%S+)" do
      assert.equal(rows[domain] or n, n, domain)
      rows[domain] = n
      widths[op .. " " .. domain] = width
    end
    assert.same({ request = grouped(counts.requests), sample = grouped(counts.samples),
      click = grouped(counts.clicks), ["sample x click"] = grouped(counts.pairs),
      seen = grouped(counts.seen) }, rows)
    -- The attention's input: q, k, q - k, q * k, each of three embeddings, and the gap. Its layer
    -- is computed in parts, so the input never is.
    assert.equal("1", widths["column click"])
    local computed = {}
    for op, n, width in out:gmatch "\n%d+ +(%l[%w_]*) +sample x click +([%d,-]+) +(%d+)" do
      computed[op .. " " .. width] = n
    end
    assert.same({ concat = "-", subtract = "-", multiply = "-", layer = grouped(counts.pairs) },
      { concat = computed["concat " .. 4 * 12 + 1], subtract = computed["subtract 12"],
        multiply = computed["multiply 12"], layer = computed["dense_pairs 16"] })
  end)

  it("of an ad are no part of youtube_dnn's vector of the user, which is computed once a request",
    function()
      local _, out = helper.run(("inspect %s/youtube_dnn --data test"):format(dir))
      local rows = {}
      for n, width in out:gmatch "\n%d+ +dense +%l+ +([%d,]+) +(%d+)" do
        table.insert(rows, n .. " x " .. width)
      end
      local requests, samples = grouped(counts.requests), grouped(counts.samples)
      assert.same({ requests .. " x 32", requests .. " x 16", samples .. " x 16" }, rows)
    end)
end)
