-- Data larger than the memory allowed: what training holds does not grow with the file.
local helper = require "helper"

-- A file of at least so many bytes: a heading and some rows over and over.
local function write_again(path, heading, rows, bytes)
  local text, file = table.concat(rows, "\n") .. "\n", assert(io.open(path, "wb"))
  file:write(heading, "\n")
  for _ = 1, math.ceil(bytes / #text) do file:write(text) end
  file:close()
end

-- 4,000 different rows of twelve ids.
local function write_ids(path, bytes)
  local random, rows, names = helper.random(1), {}, { "click" }
  for c = 1, 12 do names[c + 1] = "c" .. c end
  for i = 1, 4000 do
    local cells = { random(2) - 1 }
    for c = 1, 12 do cells[c + 1] = ("a_rather_long_text_of_an_id_%d_%d"):format(c, random(50)) end
    rows[i] = table.concat(cells, ",")
  end
  write_again(path, table.concat(names, ","), rows, bytes)
end

-- 1,000 different requests of up to four rows, with up to 30 behaviours, tags and vectors.
local function write_requests(path, bytes)
  local random, rows = helper.random(2), {}
  local function list(most, make)
    local values = {}
    for k = 1, random(most + 1) - 1 do values[k] = make() end
    return values
  end
  local function some_ad() return "an_ad_of_the_shop_" .. random(500) end
  for request = 1, 1000 do
    local ads = list(30, some_ad)
    local cats = {}
    for k = 1, #ads do cats[k] = "cat_" .. random(20) end
    for _ = 1, random(4) do
      local tags = list(6, function() return "a_tag_" .. random(200) end)
      rows[#rows + 1] = ("%d,%d,user_%d,%d,%s,cat_%d,%s,%.3f %.3f %.3f,%s,%s"):format(request,
        random(2) - 1, request % 300, request % 60, some_ad(), random(20), table.concat(tags, " "),
        random(), random(), random(), table.concat(ads, " "), table.concat(cats, " "))
    end
  end
  write_again(path, "request,click,user,age,ad,cat,tags,picture,ads,cats", rows, bytes)
end

describe("a file ten times the memory allowed", function()
  -- Train within a limit on memory that is no mapped file (RLIMIT_DATA, stacks of threads included)
  -- and without, each with a cache of its own.
  local function check(limit_kb, write, fields, experiment)
    local dir, sanitizes = helper.temp_dir(), os.getenv "MOONRANK_BUILD"
    write(dir .. "/train.csv", (sanitizes and 1 or 10) * limit_kb * 1024)
    helper.write(dir .. "/fields.yaml", "data: {train: train.csv, split: {valid: 0.05}}\n"
      .. "label: click\n" .. fields)
    helper.write(dir .. "/experiment.yaml", "fields: fields.yaml\n" .. experiment)
    local function train(limit, set, out)
      local status, _, err = helper.shell(("%s %s train %s/experiment.yaml --threads 1 --quiet "
        .. "--out %s/%s %s"):format(limit, helper.quote(helper.root() .. "/moonrank"), dir, dir,
        out, set))
      assert.equal("", err)
      assert.equal(0, status)
      return helper.read(("%s/%s/model.mr"):format(dir, out))
    end
    -- Sanitizers take memory of their own, and time.
    local limit = sanitizes and "" or ("ulimit -d %d;"):format(limit_kb)
    local held = train(limit, "", "held")
    local free = train("", "--set data.cache=" .. helper.quote(dir .. "/other"), "free")
    assert.is_true(held == free)
  end

  it("is cached and trained on within it, to the same model as without a limit", function()
    check(20000, write_ids, "fields: [{name: [c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12], "
      .. "side: ad, type: id}]\n",
      "model: {script: lr}\n"
      .. "train: {batch: 4096, shuffle: {memory: 4}, optimizer: {adagrad: {lr: 0.05}}}\n")
  end)

  it("may have requests, behaviours, lists, vectors and crosses", function()
    check(24000, write_requests, "request: request\ngroup: user\ndefaults: {dim: 4}\nfields:\n"
      .. "  - {name: user, side: user, type: id}\n"
      .. "  - {name: age, side: user, type: number, normalize: true}\n"
      .. "  - {name: [ad, cat], side: ad, type: id}\n"
      .. '  - {name: tags, side: ad, type: ids, separator: " "}\n'
      .. '  - {name: picture, side: ad, type: vector, width: 3, separator: " "}\n'
      .. "  - {name: user_cat, side: ad, type: id, cross: [user, cat]}\n"
      .. "sequences: [{name: click, side: user, max: 20, of: {ad: ads, cat: cats}}]\n",
      "model: {script: din, hidden: [8], attention: [4]}\n"
      .. "train: {batch: 512, shuffle: {memory: 4}, optimizer: {adagrad: {lr: 0.05}}}\n")
  end)
end)

describe("the memory that is printed at the start", function()
  local dir, random = helper.temp_dir(), helper.random(7)

  -- Train, and compare what its log says with what it took. Whether that was more for the cache.
  local function check(name, text, factor, threads)
    helper.write(("%s/%s.yaml"):format(dir, name), text)
    local status, _, err = helper.run(("train %s.yaml --quiet --threads %d --out %s"):format(name,
      threads or 2, name), dir)
    assert.same({ 0, "" }, { status, err })
    if os.getenv "MOONRANK_BUILD" then return end -- sanitizers take memory of their own
    local log = helper.read(dir .. "/" .. name .. "/log.txt")
    local total, parts, mapped, built = log:match("memory   at most (%d+) MB: (weights %d+, "
      .. "tables %d+, batches %d+, the loader %d+, evaluation %d+, the program %d+); and up to "
      .. "(%d+) MB of the mapped cache, which the system takes back when it needs to([^\n]*)\n")
    local sum, took = 0, 0
    for part in parts:gmatch "%d+" do sum = sum + part end
    assert(sum >= tonumber(total) and sum <= total + 6, parts) -- each is rounded up
    for peak in helper.read(("%s/%s/metrics.jsonl"):format(dir, name))
      :gmatch '"peak_memory":(%d+)' do
      took = math.max(took, peak / 2 ^ 20)
    end
    local bound = total + mapped
    if built ~= "" then
      bound = tonumber(built:match "^; to build the cache took (%d+) MB$")
      assert(bound > total + mapped, built)
    end
    assert(took <= bound and took >= bound / factor, ("%d MB, took %.1f MB"):format(bound, took))
    return built ~= ""
  end

  describe("without sequences", function()
    local lines = { "click,user,a,b,tags" }
    for i = 1, 60000 do
      local tags = {}
      for k = 1, random(9) - 1 do tags[k] = "t" .. random(5000) end
      lines[i + 1] = ("%d,%d,%d,%d,%s"):format(random(2) - 1, random(999), random(90000),
        random(90000), table.concat(tags, "|"))
    end
    helper.write(dir .. "/train.csv", table.concat(lines, "\n") .. "\n")
    helper.write(dir .. "/fields.yaml", "data: {train: train.csv, split: {valid: 0.2}}\n"
      .. "label: click\ngroup: user\nfields:\n"
      .. "  - {name: [a, b], side: ad, type: id}\n"
      .. '  - {name: tags, side: ad, type: ids, separator: "|"}\n')

    for name, text in pairs { lr = "script: lr", dnn = "script: dnn, hidden: [64, 32]",
      wide = "script: dnn, hidden: [1000, 1000]" } do
      it("is more than the training takes, and at most 1.6 times as much: " .. name, function()
        check(name, ("fields: fields.yaml\nmodel: {%s}\n"
          .. "train: {batch: 2048, epochs: 2}\n"):format(text), 1.6)
      end)
    end

    it("says what the building of the cache took where many threads had more than that", function()
      local rows = {}
      for i = 1, 4000 do rows[i] = ("%d,a%d,%s"):format(i % 2, i, ("b"):rep(250)) end
      write_again(dir .. "/texts.csv", "click,a,b", rows, 80 * 2 ^ 20)
      helper.write(dir .. "/texts.yaml", "data: {train: texts.csv}\nlabel: click\n"
        .. "fields: [{name: a, side: ad, type: id}]\n")
      local text = "fields: texts.yaml\nmodel: {script: lr}\ntrain: {batch: 256}\n"
      local built = check("built", text, 1.6, 16)
      local again = check("again", text, 2, 16) -- the cache is there
      if os.getenv "MOONRANK_BUILD" then return end
      assert.same({ true, false }, { built, again })
    end)
  end)

  -- Histories of up to 60, most of them short, so that the longest that may meet in a batch are
  -- several times those that do.
  describe("with sequences", function()
    local heading = "request,click,user,ad,cat,ads,cats\n"
    local groups = {}
    local function list(n, most)
      local values = {}
      for k = 1, n do values[k] = random(most) end
      return table.concat(values, " ")
    end
    for request = 1, 6000 do
      local n = math.floor(60 * random() ^ 2)
      local user, ads, cats = random(999), list(n, 20000), list(n, 500)
      local lines = {}
      for k = 1, random(6) do
        lines[k] = ("%d,%d,%d,%d,%d,%s,%s"):format(request, random(2) - 1, user,
          random(20000), random(500), ads, cats)
      end
      groups[request] = { n = n, text = table.concat(lines, "\n") .. "\n" }
    end
    local function write(name)
      local texts = { heading }
      for i, group in ipairs(groups) do texts[i + 1] = group.text end
      helper.write(("%s/%s.csv"):format(dir, name), table.concat(texts))
    end
    write "asked"
    table.sort(groups, function(a, b) return a.n > b.n or a.n == b.n and a.text < b.text end)
    write "longest_first"
    local fields = "data: {train: %s.csv, split: {valid: 0.2}}\nlabel: click\n%s"
      .. "group: user\ndefaults: {dim: 32}\nfields: [{name: user, side: user, type: id}, "
      .. "{name: [ad, cat], side: ad, type: id}]\n"
      .. "sequences: [{name: click, side: %s, of: {ad: ads, cat: cats}}]\n"
    helper.write(dir .. "/of_request.yaml", fields:format("asked", "request: request\n", "user"))
    helper.write(dir .. "/of_sample.yaml", fields:format("asked", "", "ad"))
    helper.write(dir .. "/longest_first.yaml", fields:format("longest_first",
      "request: request\n", "user"))

    local din = "fields: %s.yaml\nmodel: {script: din, hidden: [32], attention: [16]}\n"
      .. "train: {batch: %d, epochs: 2%s}\n"
    for name, which in pairs { din = "of_request", din_of_samples = "of_sample" } do
      it("is more than the training takes, and at most 1.6 times as much: " .. name, function()
        check(name, din:format(which, 8192, ""), 1.6)
      end)
    end

    -- Here a batch has all of the longest histories, which no order that is drawn brings together.
    for name, shuffle in pairs { file = "false", blocks = "{memory: 1}" } do
      it("holds for rows in the order of the " .. name .. ", too", function()
        check("longest_" .. name, din:format("longest_first", 2048, ", shuffle: " .. shuffle), 2.5)
      end)
    end
  end)
end)

describe("histories of 10,000 behaviours under attention", function()
  it("are trained on and predicted from in memory that does not grow with pairs", function()
    local dir, random = helper.temp_dir(), helper.random(9)
    local lines = { "request,click,ad,ads" }
    for request = 1, 2 do
      local past = {}
      for k = 1, 10000 do past[k] = random(500) end
      past = table.concat(past, " ")
      for i = 1, 200 do lines[#lines + 1] = ("%d,%d,%d,%s"):format(request, i % 2, i, past) end
    end
    helper.write(dir .. "/train.csv", table.concat(lines, "\n") .. "\n")
    helper.write(dir .. "/fields.yaml", "data: {train: train.csv}\nlabel: click\n"
      .. "request: request\nfields: [{name: ad, side: ad, type: id}]\n"
      .. "sequences: [{name: click, side: user, of: {ad: ads}}]\n")
    helper.write(dir .. "/din.yaml", "fields: fields.yaml\nmodel: {script: din, attention: [16], "
      .. "hidden: [8], activation: prelu}\ntrain: {batch: 400}\n")
    assert.same({ 0, "", "" }, { helper.run("train din.yaml --quiet --threads 2 --out run", dir) })
    local status, out = helper.run("predict run --data train.csv --threads 2", dir)
    assert.equal(0, status)
    assert.equal(400, select(2, out:gsub("0%.%d+\n", "")))
    if os.getenv "MOONRANK_BUILD" then return end -- sanitizers take memory of their own
    local took = helper.read(dir .. "/run/metrics.jsonl"):match '"peak_memory":(%d+)' / 2 ^ 20
    -- The 16 units of four million pairs would be 256 MB alone.
    assert(took < 64, took)
  end)
end)
