-- Sequences from fields.yaml and text files to a trained din and its predictions, by the command.
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
  local dir, lines, counts = helper.temp_dir(), nil, nil
  local din = "model: {script: din, attention: [16, 8], hidden: [32, 16]}"

  local function experiment(name, model)
    helper.write(dir .. "/" .. name, "fields: fields.yaml\n" .. model
      .. "\ntrain: {batch: 128, epochs: 3, seed: 2, optimizer: {adam: {lr: 0.01}}}\n")
  end

  local function train(name, out, more)
    local status, said, err = helper.run(("train %s/%s --out %s/%s %s"):format(dir, name, dir, out,
      more or ""))
    assert.same({ 0, "" }, { status, err })
    return tonumber(said:match "\ntest +[%d,]+ +(%S+)")
  end

  setup(function()
    helper.write(dir .. "/fields.yaml", FIELDS)
    write_rows(dir .. "/train.csv", (make_rows(1, 1500)))
    write_rows(dir .. "/valid.csv", (make_rows(2, 300)))
    lines, counts = make_rows(3, 300)
    write_rows(dir .. "/test.csv", lines)
    experiment("din.yaml", din)
    experiment("base.yaml", "model: {script: base, hidden: [32, 16]}")
    experiment("youtube_dnn.yaml", "model: {script: youtube_dnn, hidden: [32, 16]}")
    experiment("dnn.yaml", "model: {script: dnn, hidden: [32, 16]}")
    train("din.yaml", "din", "--set train.threads=1")
  end)

  it("train each script, and what looks at the ad learns most", function()
    local auc = {}
    for _, name in ipairs { "din", "base", "youtube_dnn", "dnn" } do
      auc[name] = train(name .. ".yaml", "of_" .. name)
    end
    assert(auc.din > 0.7 and auc.din > auc.dnn + 0.05, auc.din .. " " .. auc.dnn)
    assert(auc.din > auc.base, auc.din .. " " .. auc.base)
    assert(auc.youtube_dnn > 0.5)
  end)

  it("give the same model for any number of threads, and after a stop", function()
    local expected = helper.read(dir .. "/din/model.mr")
    for _, threads in ipairs { 2, 3, 8 } do
      train("din.yaml", "din" .. threads, "--set train.threads=" .. threads)
      assert(expected == helper.read(("%s/din%d/model.mr"):format(dir, threads)), threads)
    end
    local run = ("train %s/din.yaml --quiet --out %s/stopped"):format(dir, dir)
    assert.equal(0, (helper.run(run .. " --stop-after 1")))
    assert.equal(0, (helper.run(run .. " --resume")))
    assert(expected == helper.read(dir .. "/stopped/model.mr"))
  end)

  local function predict(rows)
    write_rows(dir .. "/rows.csv", rows)
    local status, out, err = helper.run(("predict %s/din --data %s/rows.csv"):format(dir, dir))
    assert.same({ 0, "" }, { status, err })
    local list = {}
    for line in out:gmatch "[^\n]+" do list[#list + 1] = line end
    return list
  end

  it("predict the same digits for a row alone and in the other order", function()
    local together, backward = predict(lines), {}
    assert.equal(#lines, #together)
    for i, line in ipairs(lines) do backward[#lines + 1 - i] = line end
    for i, p in ipairs(predict(backward)) do assert.equal(together[#lines + 1 - i], p) end
    for _, i in ipairs { 1, 7, 100, #lines } do
      assert.same({ together[i] }, predict { lines[i] })
    end
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
    -- The attention's input: q, k, q - k, q * k, each of three embeddings, and the gap.
    assert.equal("1", widths["column click"])
    assert.truthy(out:find(("\n%%d+ +concat +sample x click +%s +%d +"):format(
      grouped(counts.pairs), 4 * 12 + 1)))
  end)

  it("say in one line what is wrong with a row", function()
    local function wrong(message, row)
      write_rows(dir .. "/bad.csv", { row })
      local status, out, err = helper.run(("predict %s/din --data %s/bad.csv"):format(dir, dir))
      assert.same({ 1, "", ("moonrank: %s/bad.csv:%s\n"):format(dir, message) },
        { status, out, err })
    end
    wrong('2:12: sequence "click": column "click_cates" has 1 behaviour, column "click_items" has '
      .. "2", "1,u1,i1 i2,c1,t1 t2,3 4,i3,c3,t1,1,,0")
    wrong('2:26: "x" is not a number (column "click_gaps", behaviour 2)',
      "1,u1,i1 i2,c1 c2,t1 t2,3 x,i3,c3,t1,1,,0")
  end)
end)
