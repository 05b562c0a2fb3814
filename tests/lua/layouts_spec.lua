-- The fields files of examples/layouts: each reads rows as they are written here, in the layout of
-- its data set, and a model trains on them.
local config = require "moonrank.config"
local helper = require "helper"

local FOLDER, ROWS = "examples/layouts/", 240

-- prefix .. first .. suffix, ..., prefix .. last .. suffix
local function named(prefix, first, last)
  local names = {}
  for i = first, last do names[#names + 1] = prefix .. i end
  return names
end

local function join(...)
  local all = {}
  for _, list in ipairs { ... } do
    for _, name in ipairs(type(list) == "table" and list or { list }) do all[#all + 1] = name end
  end
  return all
end

-- Lines of cells under these names; `cell(name, i, random)` gives one, a small number unless it
-- does.
local function cells(names, delimiter, cell, header)
  return function(i, random)
    if i == 0 then return header ~= false and table.concat(names, delimiter) or nil end
    local row = {}
    for c, name in ipairs(names) do
      row[c] = tostring(cell and cell(name, i, random) or random(9))
    end
    return table.concat(row, delimiter), row
  end
end

-- In turn 1, 0, 0 or what else there is.
local function every(n, i, one, other) return i % n == 0 and one or other end

-- Pairs behind labels, some fields more than once.
local function ali_ccp_pairs(i, random)
  if i == 0 then return nil end
  local click = every(4, i, 1, 0)
  local row = { i, click, every(8, i, 1, 0) }
  for _, name in ipairs { "101", "121", "122", "205", "206", "508", "301" } do
    row[#row + 1] = ("%s:%d"):format(name, random(9))
  end
  for _, name in ipairs { "109_14", "210", "853" } do
    for _ = 1, random(3) do row[#row + 1] = ("%s:%d"):format(name, random(30)) end
  end
  return table.concat(row, ",")
end

local function jd(i, random)
  if i == 0 then return nil end
  local members = { ('"click": %d'):format(every(3, i, 1, 0)),
    ('"order": %d'):format(every(6, i, 1, 0)), '"page": 1', '"index": "2"', '"pos": 3',
    '"item_term": [4, 5]', '"item_pw": []' }
  for _, what in ipairs { "sku", "c2", "c3", "brand", "shop" } do
    members[#members + 1] = ('"item_fea_%s": %d'):format(what, random(20))
  end
  for start, finish in pairs { clk_seq = "_7d_50", ord_seq = "_12m_10", cart_seq = "_12m_10",
    near_expo_seq = "" } do
    local n = random(4) - 1
    for _, what in ipairs { "sku", "c2", "c3", "brand", "shop" } do
      local list = {}
      for k = 1, n do list[k] = random(20) end
      members[#members + 1] = ('"%s_%s%s": [%s]'):format(start, what, finish,
        table.concat(list, ", "))
    end
  end
  return "{" .. table.concat(members, ", ") .. "}"
end

local function labels(label)
  return function(name, i) return label[name] and label[name](i) end
end
local function third(i) return every(3, i, 1, 0) end
local function sixth(i) return every(6, i, 1, 0) end

local ALI_CCP = join("click", "purchase", "101", "121", "122", named("", 124, 129), "109_14",
  "110_14", "127_14", "150_14", named("", 205, 207), "210", "216", "508", "509", "702", "853",
  "301", "D109_14", "D110_14", "D127_14", "D150_14", "D508", "D509", "D702", "D853")

-- Behind each fields file: what a file of it has, its delimiter where it has one, and how many rows
-- of each task are 1.
local LAYOUTS = {
  ali_ccp = { line = cells(ALI_CCP, ",", labels { click = third, purchase = sixth }),
    ones = { ctcvr = ROWS / 6, ctr = ROWS / 3 } },
  ali_ccp_pairs = { line = ali_ccp_pairs, ones = { ctr = ROWS / 4, cvr = ROWS / 8 } },
  aliexpress = {
    line = cells(join("search_id", named("categorical_", 1, 16), named("numerical_", 1, 63),
      "click", "conversion"), ",", labels { click = third, conversion = sixth }),
    ones = { ctcvr = ROWS / 6, ctr = ROWS / 3 } },
  alimama_dmr = {
    line = cells(join(named("c", 1, 266), "label"), ",", labels { label = third }, false),
    ones = { ctr = ROWS / 3 } },
  census = {
    line = cells(join(named("c", 1, 42)), ", ", labels {
      c8 = function(i) return every(2, i, "Never married", "Divorced") end,
      c42 = function(i) return every(3, i, "50000+.", "- 50000.") end }, false),
    ones = { income = ROWS / 3, single = ROWS / 2 }, split = true },
  criteo = {
    line = cells(join("label", named("I", 1, 13), named("C", 1, 26)), "\t",
      function(name, i, random)
        if name == "label" then return third(i) end
        if random(4) == 1 then return "" end
        return name:find "^C" and ("%08x"):format(random(2 ^ 30)) or random(1000) - 3
      end, false),
    ones = { ctr = ROWS / 3 }, split = true },
  douban = { line = cells({ "user_id", "living_place", "item_id", "domain", "time_bin", "rating" },
      ",", labels { rating = third }), ones = { ctr = ROWS / 3 } },
  jd_dmt = { line = jd, ones = { ctr = ROWS / 3, order = ROWS / 6 } },
  kuairand = {
    line = cells(join("user_id", "video_id", "tab", "is_click", "duration_ms", "user_active_degree",
      "is_lowactive_period", "is_live_streamer", "is_video_author", "follow_user_num_range",
      "fans_user_num_range", "friend_user_num_range", "register_days_range",
      named("onehot_feat", 0, 17), "follow_user_num", "fans_user_num", "friend_user_num",
      "register_days", "video_type", "visible_status", "server_width", "server_height",
      "play_time_ms"), ",", labels { is_click = third }), ones = { ctr = ROWS / 3 } },
  mind = { line = cells({ "User_ID", "News_ID", "Category", "SubCategory", "label" }, ",",
      labels { label = third }), ones = { ctr = ROWS / 3 } },
  ml100k = {
    line = cells({ "user_id:token", "item_id:token", "rating:float", "timestamp:float" }, "\t",
      labels { ["rating:float"] = function(i) return i % 5 + 1 end,
        ["timestamp:float"] = function(i) return 881250949 + 7 * i end }),
    ones = { ctr = ROWS / 5 * 2 }, split = true },
}

local function write(path, line, rows)
  local random, lines = helper.random(11), {}
  for i = 0, rows do lines[#lines + 1] = (line(i, random)) end
  local plain = helper.write(path:gsub("%.gz$", ""), table.concat(lines, "\n") .. "\n")
  if path:find "%.gz$" then assert(helper.shell("gzip -nf " .. helper.quote(plain)) == 0) end
end

-- Logistic regression for every task that there is.
local SCRIPT = [[
return {
  name = "tasks",
  options = {},
  build = function(m)
    for _, task in ipairs(m:task_names()) do m:task(task, m:linear()) end
  end,
}
]]

local function count_ones(split, task)
  local found, ones = split:labels(task), 0
  for i = 0, split:samples() - 1 do ones = ones + (found[i] == 1 and 1 or 0) end
  return ones
end

describe("a layout of a public data set", function()
  local all = helper.temp_dir()

  local files = require "moonrank.path".glob(FOLDER .. "fields_*.yaml")
  it("is each of these", function()
    local names = {}
    for i, file in ipairs(files) do names[i] = file:match "fields_(.*)%.yaml$" end
    assert.same(require "moonrank.sorted_keys"(LAYOUTS), names)
  end)

  for _, file in ipairs(files) do
    local name = file:match "fields_(.*)%.yaml$"
    local layout = LAYOUTS[name]
    it("reads its rows with a file of less than 25 lines, and trains: " .. name, function()
      assert(select(2, helper.read(file):gsub("\n", "")) < 25)
      local fields = assert(config.fields(file))
      local dir = helper.temp_dir()
      for _, split in ipairs { "train", "valid", "test" } do
        local data = fields.data[split]
        if data then
          write(dir .. "/" .. data, layout.line, split == "train" and ROWS or ROWS / 2)
          if split == "train" then write(all .. "/" .. data, layout.line, ROWS) end
        end
      end
      local set = { "data.root=" .. dir, "data.cache=" .. dir .. "/cache" }
      local data = require "moonrank".dataset(file, { set = set })
      local splits, rows, ones = { data.train }, 0, {}
      if layout.split then splits = { data.train, data.valid, data.test } end
      for _, split in ipairs(splits) do
        rows = rows + split:samples()
        for task in pairs(layout.ones) do
          ones[task] = (ones[task] or 0) + count_ones(split, task)
        end
      end
      assert.same({ ROWS, layout.ones }, { rows, ones })
      data:close()
      helper.shell(("cp %s %s/fields.yaml"):format(file, dir))
      helper.write(dir .. "/tasks.lua", SCRIPT)
      helper.write(dir .. "/lr.yaml", "fields: fields.yaml\nmodel: {script: tasks.lua}\n"
        .. "train: {epochs: 1}\n")
      local status, _, err = helper.run("train lr.yaml --quiet --threads 1 --out run "
        .. "--set data.root=.", dir)
      assert.same({ 0, "" }, { status, err })
    end)
  end

  it("is counted by the program beside them", function()
    local status, out, err = helper.shell(("luajit %sload.lua %s"):format(FOLDER, all))
    assert.same({ 0, "" }, { status, err })
    local seen = 0
    for line in out:gmatch "[^\n]+" do
      local name, rows, ones = line:match(
        "^fields_([%w_]+)%.yaml +(%d+) rows, %d+ fields, ones: (.*)$")
      local layout = assert(LAYOUTS[name], line)
      seen = seen + 1
      if not layout.split then
        local parts = {}
        for i, task in ipairs(require "moonrank.sorted_keys"(layout.ones)) do
          parts[i] = ("%s %d"):format(task, layout.ones[task])
        end
        assert.same({ ROWS, table.concat(parts, ", ") }, { tonumber(rows), ones })
      end
    end
    assert.equal(#files, seen)
  end)
end)
