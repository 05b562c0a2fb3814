-- The programs of bench/ at their smallest: they run, agree with each other and say what is wrong.
-- No time is held against anything.
local helper = require "helper"
local json = require "moonrank.json"
local mr = require "moonrank.ffi"

local FIELDS = 39

local function load_module(name)
  local path = package.path
  package.path = "bench/?.lua;" .. path
  local module = require(name)
  package.path = path
  return module
end

describe("bench/generate", function()
  local dir = helper.temp_dir()
  local program = helper.quote(dir .. "/generate")
  assert.equal(0, (helper.shell(("gcc -O1 bench/generate.c -o %s -lm"):format(program))))

  local function generate(rows, seed)
    local folder = helper.temp_dir()
    local status, out = helper.shell(("%s %s %d %s"):format(program, helper.quote(folder), rows,
      seed or ""))
    assert.equal(0, status)
    return folder, out
  end

  local folder, said = generate(4000)
  local ids_text, labels = helper.read(folder .. "/ids.i32"), helper.read(folder .. "/labels.u8")
  local ids = mr.cast("const int32_t *", ids_text)

  it("writes the same bytes for the same seed", function()
    local again, other = generate(4000, 1), generate(4000, 2)
    for _, name in ipairs { "ids.i32", "labels.u8", "train.csv", "train.svm", "fields.yaml" } do
      assert.is_true(helper.read(folder .. "/" .. name) == helper.read(again .. "/" .. name), name)
    end
    assert.is_false(ids_text == helper.read(other .. "/ids.i32"))
  end)

  it("writes the same rows in every form", function()
    local row, text_of, id_of = 0, {}, {}
    local svm = io.lines(folder .. "/train.svm")
    for line in helper.read(folder .. "/train.csv"):gmatch "[^\n]+" do
      local column, expected = 0, svm
      if row == 0 then
        expected = nil
        assert.equal("label,c1,c2,", line:sub(1, 12))
      else
        expected = expected()
      end
      local svm_line = {}
      for cell in (row > 0 and line or ""):gmatch "[^,]+" do
        if column == 0 then
          assert.equal(labels:byte(row), tonumber(cell))
          svm_line[1] = cell
        else
          local id = ids[(row - 1) * FIELDS + column - 1]
          -- One text for an id, and one id for a text.
          assert.equal(text_of[id] or cell, cell)
          assert.equal(id_of[cell] or id, id)
          text_of[id], id_of[cell] = cell, id
          svm_line[column + 1] = ("%d:1"):format(id + 1)
        end
        column = column + 1
      end
      if row > 0 then assert.equal(expected, table.concat(svm_line, " ")) end
      row = row + 1
    end
    assert.equal(4000, row - 1)
    assert.is_nil(svm())
  end)

  it("draws ids of 13 fields of 64 and 26 others by a steep law, about 32 % clicks", function()
    local positives, counts = 0, {}
    for r = 0, 3999 do
      positives = positives + labels:byte(r + 1)
      for f = 0, 12 do
        assert.is_true(math.floor(ids[r * FIELDS + f] / 64) == f)
      end
      local last = ids[r * FIELDS + 38]
      assert.is_true(last >= 820000 and last < 1000000)
      counts[last] = (counts[last] or 0) + 1
    end
    assert.equal(("4000 rows, %.1f %% positives\n"):format(positives / 40), said)
    assert.is_true(positives > 0.28 * 4000 and positives < 0.36 * 4000)
    -- The share of the most frequent id: (1 - 2^-0.05) / (1 - 180001^-0.05), seven per cent.
    local most = 0
    for _, n in pairs(counts) do most = math.max(most, n) end
    local share = (1 - 2 ^ -0.05) / (1 - 180001 ^ -0.05)
    assert.is_true(math.abs(most / 4000 - share) < 4 * math.sqrt(share / 4000))
  end)

  it("feeds the program of training and that of text", function()
    local options = ("--data %s --threads 1"):format(helper.quote(folder))
    for _, model in ipairs { "lr", "mlr" } do
      local status, out, err = helper.shell(("luajit bench/train_speed.lua %s --model %s "
        .. "--seconds 0 --windows 2 --warm-up 0 --batch 256"):format(options, model))
      assert.same({ 0, "" }, { status, err })
      local figures = assert(json.decode(out))
      assert.is_true(figures.samples_per_s > 0)
      assert.equal(3, figures.steps) -- one in each window
      assert.is_true(figures.loss > 0.3 and figures.loss < 1)
    end
    local status, out = helper.shell("luajit bench/text_speed.lua " .. options)
    assert.equal(0, status)
    local figures = assert(json.decode(out))
    assert.equal(4000, figures.rows)
    assert.is_true(figures.rows_per_s > 0 and figures.reading < figures.seconds)
    assert.is_true(figures.loss > 0.3 and figures.loss < 0.7)
    assert.is_nil(figures.cached_rows_per_s)
  end)

  -- The lines of its table, each of which has so many figures.
  local function formats_of(options, expected)
    local status, out = helper.shell(("luajit bench/format_speed.lua --generate %s --rows 1000 "
      .. "--repeat 1 %s"):format(program, options))
    assert.equal(0, status, out)
    local names = {}
    for line in out:gmatch "[^\n]+" do
      local name, rest = line:match "^| (%S+) |(.*)$"
      names[#names + 1] = name -- none of the line below the head
      local figures = {}
      for figure in (rest or ""):gmatch " ([%d.,]+) |" do
        figures[#figures + 1] = tonumber((figure:gsub(",", "")))
      end
      if name and #names > 1 then
        assert.equal(expected, #figures, line)
        for i = 3, #figures do assert(figures[i] >= 0, line) end
      end
    end
    return names
  end
  local NAMES = { "format", "csv", "csv.gz", "csv.zst", "csv.lz4", "tsv", "jsonl", "libsvm",
    "libffm" }

  it("feeds the program of formats: the same rows in each", function()
    assert.same(NAMES, formats_of("", 9))
  end)

  it("feeds it from disk, where a temporary folder is on one", function()
    local kind = select(2, helper.shell("stat -f -c %T " .. helper.quote(folder)))
    if kind:find "tmpfs" then return pending "temporary files are in memory" end
    assert.same(NAMES, formats_of("--cold --dir " .. helper.quote(folder), 11))
  end)

  -- Adagrad, sample by sample, in plain Lua.
  local function mean_loss_of_online_steps()
    local weights, states, sum, n = {}, {}, 0, 0
    for line in io.lines(folder .. "/train.csv") do
      local z, cells, label = 0, {}, tonumber(line:sub(1, 1))
      for cell in line:sub(3):gmatch "[^,]+" do cells[#cells + 1] = #cells .. ":" .. cell end
      if label then
        for _, cell in ipairs(cells) do z = z + (weights[cell] or 0) end
        local p = 1 / (1 + math.exp(-z))
        for _, cell in ipairs(cells) do
          states[cell] = (states[cell] or 0) + (p - label) ^ 2
          weights[cell] = (weights[cell] or 0)
            - 0.01 * (p - label) / math.sqrt(states[cell] + 1e-6)
        end
        sum, n = sum - math.log(label == 1 and p or 1 - p), n + 1
      end
    end
    return sum / n
  end

  it("feeds the bare program of text, which trains what a plain loop does", function()
    local build = os.getenv "MOONRANK_BUILD" or "build"
    assert.equal(0, (helper.shell(("cmake --build %s --target bare_text"):format(
      helper.quote(build)))))
    local status, out = helper.shell(("%s %s 0"):format(helper.quote(build .. "/bench/bare_text"),
      helper.quote(folder)))
    assert.equal(0, status)
    local figures = assert(json.decode(out))
    assert.equal(4000, figures.rows)
    assert.is_true(figures.rows_per_s[1] > 0 and figures.rows_per_s[2] > 0)
    local expected = mean_loss_of_online_steps()
    assert.is_true(math.abs(figures.loss[1] - expected) < 2e-6, figures.loss[1] .. " " .. expected)
    -- Steps that one thread loses of the other are few.
    assert.is_true(math.abs(figures.loss[2] - expected) < 0.05, figures.loss[2] .. " " .. expected)
  end)

  it("feeds the program of text twice, where the cache is to be compared", function()
    local status, out = helper.shell(("luajit bench/text_speed.lua --data %s --threads 1 "
      .. "--model dnn --cached"):format(helper.quote(folder)))
    assert.equal(0, status)
    local figures = assert(json.decode(out))
    assert.equal(4000, figures.rows)
    assert.is_true(figures.rows_per_s > 0 and figures.cached_rows_per_s > 0)
  end)
end)

describe("bench/generate din", function()
  local dir = helper.temp_dir()
  local program = helper.quote(dir .. "/generate")
  assert.equal(0, (helper.shell(("gcc -O1 bench/generate.c -o %s -lm"):format(program))))
  local rows = 3000

  local function generate(seed)
    local folder = helper.temp_dir()
    local status, said = helper.shell(("%s din %s %d %s"):format(program, helper.quote(folder),
      rows, seed or ""))
    assert.equal(0, status)
    return folder, said
  end

  local folder, said = generate()

  local function integers(name)
    local text = helper.read(("%s/%s.i32"):format(folder, name))
    return mr.cast("const int32_t *", text), #text / 4, text
  end

  it("writes the same bytes for the same seed", function()
    local again, other = generate(1), generate(2)
    for _, name in ipairs { "items.i32", "lengths.i32", "history.i32", "cates.i32", "labels.u8",
      "train.tsv", "fields.yaml", "requests.yaml" } do
      local text = helper.read(folder .. "/" .. name)
      assert.is_true(text == helper.read(again .. "/" .. name), name)
      if name ~= "cates.i32" and not name:find "yaml" then
        assert.is_false(text == helper.read(other .. "/" .. name), name)
      end
    end
  end)

  it("writes the same rows in both forms, histories of 1 to 100, 40 on average", function()
    local items, n_items, items_text = integers "items"
    local lengths, n_lengths, lengths_text = integers "lengths"
    local history, n_history, history_text = integers "history"
    local cates, n_cates, cates_text = integers "cates"
    assert.truthy(items_text and lengths_text and history_text and cates_text) -- kept alive
    assert.same({ rows, rows, 100000 }, { n_items, n_lengths, n_cates })
    local labels = helper.read(folder .. "/labels.u8")
    local text_of, id_of, at, row = { {}, {} }, { {}, {} }, 0, -1
    -- One text for an id, and one id for a text.
    local function check(kind, id, text)
      assert.equal(text_of[kind][id] or text, text)
      assert.equal(id_of[kind][text] or id, id)
      text_of[kind][id], id_of[kind][text] = text, id
    end
    local positives = 0
    for line in helper.read(folder .. "/train.tsv"):gmatch "[^\n]+" do
      local cells = {}
      for cell in line:gmatch "[^\t]+" do cells[#cells + 1] = cell end
      if row < 0 then
        assert.same({ "label", "row", "item", "cate", "items", "cates" }, cells)
      else
        assert.same({ labels:byte(row + 1), row }, { tonumber(cells[1]), tonumber(cells[2]) })
        positives = positives + tonumber(cells[1])
        check(1, items[row], cells[3])
        check(2, cates[items[row]], cells[4])
        local next_cate, n = cells[6]:gmatch "%S+", 0
        for text in cells[5]:gmatch "%S+" do
          check(1, history[at], text)
          check(2, cates[history[at]], next_cate())
          at, n = at + 1, n + 1
        end
        assert.is_nil(next_cate())
        assert.equal(lengths[row], n)
        assert.is_true(n >= 1 and n <= 100)
      end
      row = row + 1
    end
    assert.same({ rows, n_history }, { row, at })
    -- 0.5 + 100 / 2.53, of a deviation of 29.
    assert.is_true(math.abs(n_history / rows - 40.03) < 4 * 29 / math.sqrt(rows))
    assert.equal(("%d rows, %.1f %% positives\n"):format(rows, 100 * positives / rows), said)
    assert.is_true(positives > 0.3 * rows and positives < 0.39 * rows)
  end)

  it("feeds the program of DIN, training and scoring", function()
    local command = "luajit bench/din_speed.lua --threads 1 --data " .. helper.quote(folder)
    local status, out, err = helper.shell(command
      .. " --batch 64 --seconds 0.02 --windows 2 --warm-up 0.02")
    assert.same({ 0, "" }, { status, err })
    local figures = assert(json.decode(out))
    assert.is_true(figures.samples_per_s > 0 and figures.steps >= 3)
    assert.is_true(figures.loss > 0.3 and figures.loss < 1)
    status, out, err = helper.shell(command .. " --batch 64 --profile 2")
    assert.same({ 0, "" }, { status, err })
    assert.truthy(out:find("\nbackward dense_pairs 80 ", 1, true) and out:find "\nprobe +%d")
    status, out, err = helper.shell(command
      .. " --score 8 --behaviours 5 --seconds 0.01 --windows 1")
    assert.same({ 0, "" }, { status, err })
    figures = assert(json.decode(out))
    assert.is_true(figures.p50_ms > 0 and figures.p99_ms >= figures.p50_ms)
    assert.is_true(figures.calls >= 20 and figures.row_by_row_ms > 0 and figures.jitter_p99_ms > 0)
  end)
end)

describe("bench/run", function()
  it("prints a table of the lines asked for, without peers where there are none", function()
    local status, out, err = helper.shell("luajit bench/run.lua --alone "
      .. "--only lr,text-zst,dnn-text,help "
      .. "--rows 2000 --rounds 1 --seconds 0.02 --windows 1 --warm-up 0.01")
    assert.same({ 0, "" }, { status, (err:gsub("^2000 rows, [%d.]+ %% positives\n", "")) })
    assert.truthy(out:find "^machine   [^\n]+\nmoonrank  [^\n]+OpenBLAS")
    assert.truthy(out:find("\nPyTorch   not installed\nnewer     not found\n"
      .. "liblinear not installed\n"))
    local heading, lines = out:match "\n\n(line[^\n]+)\n(.*)$"
    assert.equal("line threads samples/s peer, best program ratio wanted default ratio roofline "
      .. "share binds", (heading:gsub("  +", " ")))
    lines = lines:gsub(" +", " ")
    assert.truthy(lines:find "^lr 2 [%d,]+ not installed %- %- 12 x %- %- [%d,]+ %d+%% %l+\n"
      and lines:find "\ntext%-zst 2 [%d,]+ %- %- %- 3%.5M/s %- %- [%d,]+ %d+%% %l+\n"
      and lines:find "\ndnn%-text 2 [%d,]+ [%d,]+ cache [%d.]+ 0%.9 x %- %- %- %- %-\n", lines)
    local ms = lines:match "\nhelp 1 ([%d.]+) ms %- %- %- < 30 ms %- %- %- %- %-\n$"
    assert.is_true(tonumber(ms) > 0.1, lines)
  end)

  -- At numbers of rows that are asked for nowhere else: data that are there are not made again.
  it("makes the data that its lines need, and measures limits where a line has one", function()
    local function run(lines)
      assert(os.execute "rm -rf build/bench/data-49990 build/bench/din-4999" == 0)
      local status, out, err = helper.shell("luajit bench/run.lua --alone --rows 49990 --rounds 1 "
        .. "--seconds 0.01 --windows 1 --warm-up 0.01 --only " .. lines)
      assert.equal(0, status, err)
      local made = {}
      for rows, folder in out:gmatch "making data: ([%d,]+) rows in (%S+)\n" do
        made[#made + 1] = ("%s %s"):format(rows, folder:match "[^/]+$")
      end
      assert.equal(#made, select(2, err:gsub("positives\n", "")), err)
      local data = {}
      for line in out:gmatch "\ndata +([^\n]+)" do data[#data + 1] = line end
      return { table.concat(made, "; "), table.concat(data, "; "), out:find "\nlimits 1" ~= nil }
    end
    assert.same({ "", "", false }, run "help")
    assert.same({ "4,999 din-4999", "4,999 rows with 1 to 100 behaviours each, 100,000 items",
      true }, run "score-200,help")
    assert.same({ "49,990 data-49990", "49,990 rows, 39 fields, 1,000,000 ids, Zipf 1.05; batches "
      .. "of 4,096", false }, run "text-csv")
    assert(os.execute "rm -rf build/bench/data-49990 build/bench/din-4999" == 0)
  end)

  it("says which lines there are", function()
    assert.same({ 1, "", 'bench: no line "lx", there are lr, mlr, fm, dnn, dnn-adam, deepfm, '
      .. "dnn-1, din-1024, din-1024-pad, din-32, din-32-pad, score-200, score-1000, text-csv, "
      .. "text-zst, dnn-text, help\n" }, { helper.shell "luajit bench/run.lua --only lx" })
  end)

  it("says which options there are", function()
    local status, _, err = helper.shell "luajit bench/text_speed.lua --dta x"
    assert.same({ 2, "bench: --dta is no option with its value; there are --cached --data "
      .. "--file --model --threads\n" }, { status, err })
  end)
end)

describe("the small programs of bench/", function()
  -- The lines of a table under its heading, blanks collapsed.
  local function rows_of(command, heading)
    local status, out, err = helper.shell("luajit bench/" .. command)
    assert.same({ 0, "" }, { status, err })
    local machine, head, lines = out:gsub(" +", " "):match "^([^\n]+)\n ?([^\n]+)\n(.*)$"
    assert.truthy(machine:find("; OpenBLAS ", 1, true), machine)
    assert.equal(heading, head)
    local rows = {}
    for line in lines:gmatch "[^\n]+" do rows[#rows + 1] = line:gsub("^ ", "") end
    return rows
  end

  it("measure tables", function()
    local rows = rows_of("table_speed.lua --keys 2000 --batch 500 --steps 2",
      "keys law dim probe M/s read M/s update M/s all M/s")
    assert.equal(4, #rows)
    for i, case in ipairs { "even 1", "even 16", "zipf 1", "zipf 16" } do
      assert.truthy(rows[i]:find("^2,000 " .. case .. " [%d.]+ [%d.]+ [%d.]+ [%d.]+$"), rows[i])
    end
  end)

  it("measure pauses", function()
    local rows = rows_of("insert_pause.lua --keys 5000 --batch 500 --dim 2", "keys batch median ms "
      .. "99.9 % longest most cpu jitter keys/s bytes/key, at most grown")
    assert.equal(1, #rows)
    local median, rare, longest = rows[1]:match "^5,000 500 ([%d.]+) ([%d.]+) ([%d.]+) "
    assert.is_true(tonumber(median) <= tonumber(rare) and rare == longest, rows[1])
  end)

  it("measure saving and loading", function()
    local rows = rows_of("save_speed.lua --keys 70000 --dim 2",
      "70000 keys seconds of the processors MB/s")
    for i, what in ipairs { "save the model", "save a checkpoint", "load the model",
      "restore the checkpoint" } do
      assert.truthy(rows[i]:find("^" .. what .. " [%d.]+ [%d.]+ [%d,]+$"), rows[i])
    end
    assert.equal(4, #rows)
  end)

  it("measure dense layers", function()
    local rows = rows_of("dense_speed.lua --rows 64 --steps 1",
      "shape rows of a slice forward OpenBLAS backward")
    assert.equal(8, #rows)
    assert.truthy(rows[1]:find "^624 %-> 400 %d+ [%d.]+ [%d.]+ [%d.]+$", rows[1])
  end)

  it("measure the machine", function()
    local rows = rows_of("limits.lua",
      "threads GFLOP/s in registers cache GB/s memory GB/s random rows M/s")
    assert.truthy(rows[1]:find "^1 %d+ %d+ %d+ [%d.]+ %d+$", rows[1])
  end)
end)

describe("the peers", function()
  local peers = load_module "peers.peers"

  it("are compared by the numbers of their versions", function()
    for _, case in ipairs { { "1.13.1", "1.13.0", true }, { "1.13.0", "1.13.0", false },
      { "2.0.0+cpu", "1.13.0+git", true }, { "1.9.1", "1.13.0", false }, { "2.1", "2.0.9", true },
      { "2.15.0+cu132", "0", true } } do
      assert.equal(case[3], peers.is_newer(case[1], case[2]), case[1] .. " " .. case[2])
    end
  end)

  it("are found where PEER_PYTHON says", function()
    local python = helper.temp_dir() .. "/py"
    local file = assert(io.open(python, "w"))
    file:write "#!/bin/sh\necho 99.1.0\n"
    file:close()
    os.execute("chmod +x " .. helper.quote(python))
    local status, out = helper.shell(("PEER_PYTHON=%s luajit -e %s"):format(
      helper.quote(python), helper.quote [[
      package.path = "lua/?.lua;lua/?/init.lua;bench/?.lua;" .. package.path
      local peers = require "peers.peers"
      local newer = peers.newer_torch { version = "1.13.0" }
      print(newer.version, newer.command("best", "", "d", { threads = 1, model = "lr",
        optimizer = "adagrad" }, { seconds = 1, windows = 1, warm_up = 1 }, "sparse"))
      print(peers.newer_torch { version = "99.1.0" })
    ]]))
    assert.equal(0, status)
    local called = python:gsub("%p", "%%%0") .. "' %-W ignore 'bench/peers/"
    assert.truthy(out:find("^99.1.0\t[^\n]*" .. called))
    assert.truthy(out:find "\nnil\n$")
  end)
end)

describe("growth", function()
  it("of keys, batch, fields and threads is a table and a picture", function()
    local path = helper.temp_dir() .. "/growth.svg"
    local status, out, err = helper.shell("luajit bench/growth.lua --quick --most-keys 20000 "
      .. "--keys 3000 --batch 64 --seconds 0.001 --threads 1 --svg " .. helper.quote(path))
    assert.same({ 0, "" }, { status, err })
    local seen = {}
    for line in out:gsub(" +", " "):gmatch "[^\n]+" do
      local grows, keys, batch, fields, threads, law =
        line:match "^(%l+) ([%d,]+) ([%d,]+) (%d+) (%d+) (%l+) [%d,]+ [%d,]+ %d+ %-?%d+$"
      if grows then
        local value = ({ keys = keys, batch = batch, fields = fields, threads = threads })[grows]
        seen[#seen + 1] = ("%s %s %s"):format(grows, value, law)
      end
    end
    local expected = {}
    for _, case in ipairs { "keys 9,984", "keys 19,968", "batch 32", "batch 512", "batch 16,384",
      "fields 10", "fields 100", "fields 500", "threads 1", "threads 2" } do
      expected[#expected + 1], expected[#expected + 2] = case .. " even", case .. " power"
    end
    assert.same(expected, seen)
    local picture = helper.read(path)
    for _, title in ipairs { "Speed against keys", "Memory against keys", "Speed against batch",
      "Speed against fields", "Speed against threads" } do
      assert.truthy(picture:find(title, 1, true))
    end
  end)
end)

describe("figures of many rows", function()
  it("are measured for one thread and for all", function()
    local status, out = helper.shell "luajit bench/metric_speed.lua --rows 2000 --peer-rows 2000"
    assert.equal(0, status)
    local auc
    for line in out:gsub(" +", " "):gmatch "[^\n]+" do
      local value = line:match "^AUC 2,000 %d+ [%d.]+ [%d.]+ [%d,]+ [%d.]+ (0%.%d+)$"
      if value then
        assert.equal(auc or value, value)
        auc = value
      end
    end
    assert.truthy(auc, out)
    assert.truthy(out:find "\nGAUC" and out:find "\nlogloss", out)
    assert.truthy(out:find "differ by %d%.%de%-1[5-9]\n$" or out:find "differ by 0%.0e"
      or out:find "scikit%-learn is not installed\n$", out)
  end)
end)

describe("the roofline", function()
  local roofline = load_module "roofline"
  local bound = roofline.bound
  local limits = { layer_flops = 1e11, cache_bytes = 1e11, rows = 1e8 }

  local function says(samples, what, ...)
    local got, binds = bound(...)
    assert.equal(what, binds)
    assert.is_true(math.abs(got / samples - 1) < 1e-9, tostring(got))
  end

  it("is the least of products, cache and rows", function()
    -- dnn: 624 x 400 + 2 x 400 x 400 + 400 weights, six operations each.
    says(1e11 / (6 * 570000), "products", "dnn", "adagrad", limits, 5)
    -- din: 40 behaviours with an attention unit, the ad's part twice, and the top.
    says(1e11 / (6 * (40 * (128 * 80 + 80 * 40 + 40 + 128) + 2 * 128 * 80 + 256 * 200 + 200 * 80
      + 80)), "products", "din", "adagrad", limits, 5)
    -- scoring: forward alone, 200 ads with 100 behaviours each.
    local least, binds = roofline.scoring(200, 100, limits)
    assert.equal("products", binds)
    assert(math.abs(least - 1e3 * 2 * 200 * (100 * (128 * 80 + 80 * 40 + 40 + 128) + 2 * 128 * 80
      + 256 * 200 + 200 * 80 + 80) / 1e11) < 1e-9)
    -- lr: five keys, each a line of the memo and one of the row.
    says(1e8 / (5 * 2), "rows", "lr", "adagrad", limits, 5)
    -- mlr with adam: 24 floats with two states are 288 bytes, five lines.
    says(1e8 / (5 * 6), "rows", "mlr", "adam", limits, 5)
    -- mlr where every key is in the cache: 39 times a code, its memo, its place written once and
    -- read twice, 2 x 24 floats.
    says(1e11 / (39 * (24 + 192)), "cache", "mlr", "adagrad", limits, 0)
  end)
end)
