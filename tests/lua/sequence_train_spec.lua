-- Files with sequences through the whole house: the same bytes for any number of threads and after
-- a stop, a file's predictions the same however it is read, and wrong cells named with their place.
local helper = require "helper"

local HEADER = "session,user,ads,gaps,ad,buyers,click\n"

local function list(random, n, draw)
  local values = {}
  for i = 1, n do values[i] = draw(random) end
  return table.concat(values, " ")
end

--- Requests of one to five ads; the more of a user's last clicks are like an ad, the better.
local function make_text(requests, seed)
  local random, lines = helper.random(seed), { HEADER:sub(1, -2) }
  local function ad() return "a" .. random(40) end
  for session = 1, requests do
    local n, user = random(9) - 1, random(30)
    local clicks, gaps = list(random, n, ad), list(random, n, function() return random(500) end)
    for _ = 1, random(5) do
      local this = random(40)
      local seen = clicks:find("a" .. this .. "%f[%D]") ~= nil
      lines[#lines + 1] = ("%d,u%d,%s,%s,a%d,%s,%d"):format(session, user, clicks, gaps, this,
        list(random, random(4) - 1, function() return "u" .. random(30) end),
        random() < (seen and 0.7 or 0.2) and 1 or 0)
    end
  end
  return table.concat(lines, "\n") .. "\n"
end

local dir = helper.temp_dir()
helper.write(dir .. "/train.csv", make_text(400, 1))
helper.write(dir .. "/valid.csv", make_text(100, 2))
helper.write(dir .. "/fields.yaml", [[
version: 1
data: {train: train.csv, valid: valid.csv}
defaults: {dim: 6, min_count: 2}
label: click
request: session
fields:
  - {name: user, side: user, type: id}
  - {name: ad, side: ad, type: id}
sequences:
  - {name: click, side: user, max: 5, keep: last, of: {ad: ads,
      gap: {column: gaps, type: number, transform: log1p}}}
  - {name: buy, side: ad, max: 2, keep: first, of: {user: buyers}}
]])
helper.write(dir .. "/din.yaml", [[
fields: fields.yaml
model: {script: din, attention: [8], hidden: [16], dropout: 0.2}
train: {batch: 64, epochs: 2, seed: 3, checkpoint: {steps: 4}, optimizer: {adam: {lr: 0.01}}}
]])

local function train(out, more)
  local status, _, err = helper.run(("train %s/din.yaml --quiet --out %s/%s %s"):format(dir, dir,
    out, more or ""))
  assert.same({ 0, "" }, { status, err })
  return helper.read(dir .. "/" .. out .. "/model.mr")
end

describe("a model of files with sequences", function()
  local model = train "first"

  it("is the same for any number of threads", function()
    for _, threads in ipairs { 1, 2, 3, 8 } do
      assert.is_true(model == train("threads" .. threads, "--threads " .. threads))
    end
  end)

  it("is the same after a stop", function()
    local status = helper.run(("train %s/din.yaml --quiet --out %s/stopped --stop-after 9"):format(
      dir, dir))
    assert.equal(0, status)
    assert.is_true(model == train("stopped", "--resume"))
  end)

  it("predicts a row the same whatever is in the file besides", function()
    local function predict(name, text)
      helper.write(dir .. "/" .. name, text)
      local status, out, err = helper.run(("predict %s/first --data %s/%s"):format(dir, dir, name))
      assert.same({ 0, "" }, { status, err })
      local list_of = {}
      for line in out:gmatch "[^\n]+" do list_of[#list_of + 1] = line end
      return list_of
    end
    local text = make_text(100, 2)
    local all, n = predict("all.csv", text), 0
    for line in text:gmatch "[^\n]+" do
      if n > 0 and n % 40 == 1 then assert.same({ all[n] }, predict("one.csv", HEADER .. line)) end
      n = n + 1
    end
    assert.equal(#all, n - 1)
    assert.is_true(all[1] ~= all[2])
  end)

  it("is not trained on cells that do not fit together", function()
    local function fails(message, line)
      helper.write(dir .. "/bad.csv", HEADER .. line .. "\n")
      local status, _, err = helper.run(("train %s/din.yaml --out %s/bad --set data.train=bad.csv")
        :format(dir, dir))
      assert.same({ 1, ("moonrank: %s/bad.csv:2:%s\n"):format(dir, message) }, { status, err })
    end
    fails('12: sequence "click": column "gaps" has 1 behaviour, column "ads" has 2',
      "1,u1,a1 a2,5,a3,,1")
    fails('14: "soon" is not a number (column "gaps", behaviour 2)', "1,u1,a1 a2,5 soon,a3,,1")
  end)
end)
