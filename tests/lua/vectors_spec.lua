-- Fields of type vector through the whole house: from the fields file to scores; what a linear
-- model makes of them is held against sums in Lua.
local helper = require "helper"
local mr = require "moonrank"
local ffi = require "moonrank.ffi"
local C = ffi.C

local HEADER = "session,face,pics,item,pic,price,click\n"

local function numbers(random, n, separator)
  local list = {}
  for i = 1, n do list[i] = ("%.3f"):format(2 * random() - 1) end
  return table.concat(list, separator)
end

local function parts(text, n)
  local list = {}
  for part in text:gmatch "[^;]+" do list[#list + 1] = tonumber(part) end
  for i = #list + 1, n do list[i] = 0 end
  return list
end

local function dot(a, b)
  local sum = 0
  for i, x in ipairs(a) do sum = sum + x * b[i] end
  return sum
end

local TRUE_WEIGHTS = { 2, -1, 0.5, 0 }

-- Requests of one to four rows, some without a picture or a face; what is clicked depends on both,
-- and on the last picture seen.
local function make_text(requests, seed)
  local random, lines = helper.random(seed), {}
  local function vector(n) return random(8) == 1 and "" or numbers(random, n, ";") end
  for session = 1, requests do
    local face, past = vector(2), {}
    for i = 1, random(4) - 1 do past[i] = numbers(random, 4, ";") end
    for _ = 1, random(4) do
      local pic = vector(4)
      local score = dot(TRUE_WEIGHTS, parts(pic, 4)) + 2 * parts(face, 2)[1]
        + (#past > 0 and 3 * dot(parts(past[#past], 4), parts(pic, 4)) or 0)
      lines[#lines + 1] = ("%d,%s,%s,i%d,%s,%d,%d"):format(session, face, table.concat(past, " "),
        random(9), pic, random(9), score + random() - 0.5 > 0 and 1 or 0)
    end
  end
  return HEADER .. table.concat(lines, "\n") .. "\n"
end

local dir = helper.temp_dir()
local valid_text = make_text(200, 2)
helper.write(dir .. "/train.csv", make_text(900, 1))
helper.write(dir .. "/valid.csv", valid_text)
helper.write(dir .. "/fields.yaml", [[
data: {train: train.csv, valid: valid.csv}
defaults: {dim: 4}
label: click
request: session
fields:
  - {name: face, side: user, type: vector, width: 2, separator: ";"}
  - {name: item, side: ad, type: id}
  - {name: pic, side: ad, type: vector, width: 4, separator: ";"}
sequences:
  - {name: seen, side: user, max: 3, of: {pic: pics}}
]])
helper.write(dir .. "/script.lua", [[
return {
  name = "pictures", options = {},
  build = function(m)
    local met = m:pool(m:multiply(m:inputs "seen", m:numbers "pic"), { kind = "mean" })
    m:task("ctr", m:mlp(m:concat { m:inputs(), met }, { hidden = { 16 }, out = 1 }))
  end,
}
]])
helper.write(dir .. "/model.yaml", [[
fields: fields.yaml
model: {script: script.lua}
train: {batch: 64, epochs: 4, seed: 3, checkpoint: {steps: 10}, optimizer: {adam: {lr: 0.01}}}
]])

local function run(words)
  local status, out, err = helper.run(words)
  assert.same({ 0, "" }, { status, err })
  return out
end

describe("fields of type vector", function()
  it("are learned from, with the same bytes for any number of threads", function()
    local of_threads = {}
    for _, threads in ipairs { 1, 3 } do
      run(("train %s/model.yaml --quiet --threads %d --out %s/run%d"):format(dir, threads, dir,
        threads))
      of_threads[threads] = helper.read(("%s/run%d/model.mr"):format(dir, threads))
    end
    assert.is_true(of_threads[1] == of_threads[3])
    local figures = helper.evaluate(("%s/run1 --data valid"):format(dir)).figures
    assert(figures.auc > 0.93, figures.auc)
  end)

  it("predict a file alike whatever its batches, requests and neighbours", function()
    local scores = run(("predict %s/run1 --data valid"):format(dir))
    assert.equal(scores, run(("predict %s/run1 --data valid --threads 2"):format(dir)))
    local lines = {}
    for line in valid_text:gmatch "[^\n]+" do lines[#lines + 1] = line end
    local at = 1
    for score in scores:gmatch "[^\n]+" do
      at = at + 1
      if at % 50 == 0 then -- a row of its own file, which has no label
        helper.write(dir .. "/one.csv", HEADER .. lines[at] .. "\n")
        assert.equal(score .. "\n", run(("predict %s/run1 --data %s/one.csv"):format(dir, dir)))
      end
    end
    assert.equal(#lines, at)
  end)

  it("have a weight for each number in a linear model", function()
    local data = assert(mr.dataset(dir .. "/fields.yaml", { threads = 1 }))
    local model = mr.model("lr", { fields = data.fields })
    local w
    for i = 0, C.mr_model_params(model.handle) - 1 do
      local info = ffi.new "mr_param_info"
      ffi.check(C.mr_model_param(model.handle, i, info))
      if info.rows * info.columns == 6 then w = C.mr_model_weights(model.handle, i) end
    end
    for i, x in ipairs { 0.5, -1, 2, 3, -0.25, 1 } do w[i - 1] = x end
    ffi.check(C.mr_model_changed(model.handle))
    local predictor = require "moonrank.predictor".new(model, data.pool)
    local logits, at = predictor:logits(data.valid, 1), 0
    for face, pic in valid_text:gmatch "\n%d+,([^,]*),[^,]*,[^,]*,([^,]*)," do
      local expected = dot({ 0.5, -1 }, parts(face, 2)) + dot({ 2, 3, -0.25, 1 }, parts(pic, 4))
      assert(math.abs(expected - logits[at]) < 2e-6, at)
      at = at + 1
    end
    assert.equal(data.valid:samples(), at)
  end)

  it("have figures in check, and are empty where all numbers are 0", function()
    local out = run(("check %s/model.yaml --json"):format(dir))
    local train = require "moonrank.json".decode(out).splits.train
    local of = {}
    for _, column in ipairs(train.columns) do of[column.name] = column end
    local n, empty, sum = 0, 0, 0
    for pic in helper.read(dir .. "/train.csv"):gmatch "\n%d+,[^,]*,[^,]*,[^,]*,([^,]*)," do
      n, empty = n + 1, empty + (pic == "" and 1 or 0)
      for _, x in ipairs(parts(pic, 4)) do sum = sum + x end
    end
    assert.same({ n, empty, "vector" }, { of.pic.rows, of.pic.empty, of.pic.type })
    assert(math.abs(sum / (4 * n) - of.pic.mean) < 1e-6)
    assert.is_nil(of.pic.aucs)
    assert.equal(3, of["seen.pic"].lengths[4])
    assert.is_number(of.item.aucs.ctr)
  end)

  it("are refused where the file says too little or too much of them", function()
    local function refused(field, message, sequence)
      helper.write(dir .. "/wrong.yaml", ("data: {train: train.csv}\nlabel: click\nfields:\n"
        .. "  - {name: item, side: ad, type: id}\n  - {name: pic, side: ad, %s}\n%s"):format(field,
        sequence or ""))
      helper.fails_with(dir .. "/wrong.yaml:" .. message,
        require "moonrank.config".fields(dir .. "/wrong.yaml"))
    end
    refused("type: vector", "5:12: fields[2].width is missing: how many numbers each cell has")
    refused("type: vector, width: 0",
      "5:48: fields[2].width is 0, expected a whole number 1 to 1048576")
    refused("type: ids, width: 3",
      "5:38: fields[2].width is for type vector, this field is of type ids")
    refused("type: vector, width: 3, table: t",
      "5:51: fields[2].table is for type id, ids and number, this field is of type vector")
    refused("type: vector, width: 3, separator: ab",
      '5:62: fields[2].separator is "ab", expected one character')
    refused("type: id", "7:47: sequences[1].of.pics.width is missing: how many numbers each "
      .. "behaviour has", "sequences:\n  - {name: seen, side: user, of: {item: pics, "
      .. "pics: {column: pics, type: vector}}}\n")
  end)

  it("stop at a wrong cell with its place", function()
    helper.write(dir .. "/broken.csv", HEADER .. "1,,,i1,1;2;3,1,0\n")
    local status, out, err = helper.run(("predict %s/run1 --data %s/broken.csv"):format(dir, dir))
    assert.same({ 1, "", ("moonrank: %s/broken.csv:2:8: 3 numbers, expected 4 (column \"pic\")\n")
      :format(dir) }, { status, out, err })
  end)
end)
