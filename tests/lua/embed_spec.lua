-- examples/embed: a C program beside the library scores what `moonrank predict` scores.
local helper = require "helper"

-- With the library of the ordinary build: one with a sanitizer asks for its runtime.
local function build(folder)
  local program = folder .. "/score"
  local status, _, err = helper.shell(("cc -std=c11 -pedantic-errors -Wall -Wextra -Werror "
    .. '-Iengine/include examples/embed/score.c -Lbuild -lmoonrank -Wl,-rpath,"$PWD/build" -o %s')
    :format(helper.quote(program)))
  assert.same({ 0, "" }, { status, err })
  return program
end

describe("the program in examples/embed", function()
  local dir = helper.make_project { rows = 400 }
  helper.write(dir .. "/dnn.yaml", [[
fields: fields.yaml
model: {script: dnn, hidden: [16, 8], batch_norm: true}
train: {batch: 64, epochs: 1, optimizer: {adam: {lr: 0.01}}}
]])
  helper.write(dir .. "/rows.csv", [[
user,ad,tags,hour,price
u3,a1,t1|t2,7,1.5
u3,a2,,7,
u3,nobody,t9|t1,7,0
]])
  local program = build(dir)
  assert.equal(0, (helper.run(("train %s/dnn.yaml --quiet --out %s/run"):format(dir, dir))))
  local model = dir .. "/run/model.mr"

  local function score(...)
    local words = { helper.quote(program) }
    for i = 1, select("#", ...) do words[i + 1] = helper.quote((select(i, ...))) end
    return helper.shell(table.concat(words, " "))
  end

  it("gives the probabilities of `moonrank predict`", function()
    local status, expected, err = helper.run(("predict %s --data %s/rows.csv"):format(
      helper.quote(model), dir))
    assert.same({ 0, "" }, { status, err })
    assert.truthy(expected:find "^0%.%d+\n0%.%d+\n0%.%d+\n$")
    local result = { score(model, "user=u3 hour=7", "ad=a1 tags=t1|t2 price=1.5", "ad=a2 tags= ",
      "ad=nobody tags=t9|t1 price=0") }
    assert.same({ 0, expected, "" }, result)
  end)

  it("says what is wrong", function()
    assert.same({ 2, "", "usage: score MODEL REQUEST CANDIDATE...\n" }, { score(model, "") })
    assert.same({ 1, "", 'score: "colour" is no column with a value\n' },
      { score(model, "", "colour=red") })
    assert.same({ 1, "", 'score: column "price", row 1: "dear" is not a number\n' },
      { score(model, "", "price=dear") })
    assert.same({ 1, "", ("score: %s/none.mr: No such file or directory\n"):format(dir) },
      { score(dir .. "/none.mr", "", "ad=a1") })
  end)
end)
