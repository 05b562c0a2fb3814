-- `strings: keep` from the fields file to the values that moonrank inspect names: each text in a
-- model file is that of its key, and nothing else of the model changes.
local helper = require "helper"
local moonrank = require "moonrank"
local mr = require "moonrank.ffi"
local tensors = require "tensors_helper"
local C = mr.C

local FIELDS = [[
data: {train: %s}
label: click
defaults: {dim: 3%s}
group: ad
fields:
  - {name: ad, side: ad, type: id}
  - {name: tags, side: ad, type: ids, separator: "|"}
  - {name: price, side: ad, type: number, buckets: quantile(3)}
]]

local function project(strings, source)
  local dir, random, lines = helper.temp_dir(), helper.random(3), { "click,ad,tags,price" }
  for i = 1, 300 do
    lines[i + 1] = ("%d,ad %d,t%d|u%d,%d"):format(random(2) - 1, random(30), random(4), random(6),
      random(50))
  end
  helper.write(dir .. "/train.csv", table.concat(lines, "\n") .. "\n")
  helper.write(dir .. "/fields.yaml", FIELDS:format(source or "train.csv", strings))
  helper.write(dir .. "/fm.yaml", "fields: fields.yaml\nmodel: {script: fm}\n"
    .. "train: {batch: 50, optimizer: {adagrad: {lr: 0.1}}}\n")
  return dir
end

local function run(dir, command)
  local status, out, err = helper.run(command, dir)
  assert.same({ 0, "" }, { status, err })
  return out
end

describe("strings: keep", function()
  it("puts the text of each key into the model file, and changes nothing else", function()
    local dir, plain = project ", strings: keep", project ""
    run(dir, "train fm.yaml --out run --threads 2")
    run(plain, "train fm.yaml --out run")
    run(dir, "inspect run --verify")
    local kept, forgotten = tensors.read(dir .. "/run/model.mr"),
      tensors.read(plain .. "/run/model.mr")
    for _, tensor in ipairs(forgotten.tensors) do
      assert.is_true(tensor.data == tensors.find(kept, tensor.name).data, tensor.name)
    end
    assert.equal(#forgotten.tensors + 2 * 3, #kept.tensors)
    local model = assert(moonrank.load(dir .. "/run/model.mr"))
    local data = assert(moonrank.dataset(dir .. "/fields.yaml"))
    local size, n_texts = mr.new "int64_t[1]", 0
    for t, one in ipairs(model:describe().tables) do
      local keys = mr.new("uint64_t[?]", one.rows)
      mr.check(C.mr_model_export(model.handle, t - 1, keys,
        mr.new("float[?]", one.rows * one.width)))
      local column = data.schema:column(one.name)
      for row = 0, one.rows - 1 do
        local text = mr.string(C.mr_model_row_text(model.handle, t - 1, row, size),
          tonumber(size[0]))
        if keys[row] == 0 then assert.equal("", text)
        elseif one.name == "price" then assert.is_true(#text > 0)
        else
          assert.is_true(C.mr_schema_key(data.schema.handle, column, text, #text) == keys[row])
          n_texts = n_texts + 1
        end
      end
      assert.is_true(C.mr_model_row_text(model.handle, t - 1, one.rows, size) == nil)
    end
    assert.equal(30 + 10, n_texts)
  end)

  it("lets inspect name the rows that weigh most", function()
    local dir = project ", strings: keep"
    run(dir, "train fm.yaml --out run")
    local model = assert(moonrank.load(dir .. "/run/model.mr"))
    local width, rows = model:describe().tables[1].width, {}
    local keys, values = mr.new("uint64_t[?]", 31), mr.new("float[?]", 31 * width)
    mr.check(C.mr_model_export(model.handle, 0, keys, values))
    local data = assert(moonrank.dataset(dir .. "/fields.yaml"))
    for i = 1, 30 do
      local text = "ad " .. i
      local key = C.mr_schema_key(data.schema.handle, data.schema:column "ad", text, #text)
      for row = 0, 30 do
        if keys[row] == key then
          local sum = 0
          for e = row * width, (row + 1) * width - 1 do sum = sum + values[e] ^ 2 end
          rows[#rows + 1] = { text, math.sqrt(sum), bit.tohex(key) }
        end
      end
    end
    assert.equal(30, #rows)
    table.sort(rows, function(a, b) return a[2] > b[2] end)
    local lines = { "key                       norm  value" }
    for i = 1, 4 do
      lines[i + 1] = ("%s  %12.6g  %s"):format(rows[i][3], rows[i][2], rows[i][1])
    end
    local out = run(dir, "inspect run --table ad --top 4")
    assert.truthy(out:find("\n" .. table.concat(lines, "\n") .. "\n\n", 1, true), out)
    assert.truthy(run(dir, "inspect run --table price"):find("or more\n", 1, true))
    assert.same({ 1, "moonrank: there is no table \"adx\"; did you mean \"ad\"?\n" },
      { (helper.run("inspect run --table adx", dir)),
        select(3, helper.run("inspect run --table adx", dir)) })
  end)

  it("is off by default: then keys alone are shown", function()
    local dir = project ""
    run(dir, "train fm.yaml --out run")
    local out = run(dir, "inspect run --table ad --top 1")
    assert.truthy(out:find("\nkey                       norm\n%x+ +[%d.e-]+\nthe values are not "
      .. "known: tables%.ad%.strings: keep in the fields file keeps them\n"), out)
  end)

  it("names values of data that came through standard input", function()
    for strings, expected in pairs { [", strings: keep"] = "ad 7", [""] = "" } do
      local dir = project(strings, '"-", format: csv')
      local script = helper.write(dir .. "/names.lua", ([[
        package.path = ("R/lua/?.lua;R/lua/?/init.lua;"):gsub("R", (%q)) .. package.path
        local mr = require "moonrank.ffi"
        local data = assert(require "moonrank".dataset "fields.yaml")
        local schema = data.train.schema
        local column = schema:column "ad"
        local key = mr.new("uint64_t[1]", mr.C.mr_schema_key(schema.handle, column, "ad 7", 4))
        io.write("[" .. data.train:texts(column, key, 1)[1] .. "]")
      ]]):format(helper.root()))
      local pipe = io.popen(("cd %s && . %s/tools/lua-path && luajit %s < train.csv"):format(
        helper.quote(dir), helper.quote(helper.root()), helper.quote(script)))
      assert.equal("[" .. expected .. "]", pipe:read "*a")
      pipe:close()
    end
  end)

  it("is refused in a model file whose texts do not follow one another", function()
    local dir = project ", strings: keep"
    run(dir, "train fm.yaml --out run")
    local path = dir .. "/run/model.mr"
    local file = tensors.read(path)
    local ends = tensors.find(file, "table.ad.text_ends")
    ends.data = ends.data:sub(1, 8) .. ("\255"):rep(7) .. "\127" .. ends.data:sub(17)
    tensors.write(path, file)
    local status, _, err = helper.run("inspect run", dir)
    assert.same({ 1, "moonrank: run/model.mr: table \"ad\": the texts of the keys do not follow "
      .. "one another\n" }, { status, err })
  end)
end)
