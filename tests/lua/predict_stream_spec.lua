-- moonrank predict of rows as they come: from a pipe while it is open, of any length, and ended by
-- whoever reads or waits.
local helper = require "helper"

local moonrank = helper.quote(helper.root() .. "/moonrank")

describe("predict", function()
  local dir, rows, expected
  setup(function()
    dir = helper.make_project { rows = 400 }
    assert.equal(0, (helper.run("train lr.yaml --quiet --out run", dir)))
    rows = {}
    for line in helper.read(dir .. "/test.csv"):gmatch "[^\n]+" do rows[#rows + 1] = line end
    local _, out = helper.run("predict run --data test.csv", dir)
    expected = out
  end)

  local function shell(script) return helper.shell(("cd %s\n%s"):format(dir, script)) end

  it("reads the rows that are named after the run", function()
    assert.same({ 0, expected, "" }, { helper.run("predict run test.csv", dir) })
    assert.same({ 0, expected, "" }, { shell("cat test.csv | " .. moonrank .. " predict run -") })
    local status, out, err = helper.run("predict run test.csv --data test.csv", dir)
    assert.same({ 2, "" }, { status, out })
    assert.equal("moonrank: the rows to predict are named twice: test.csv and --data test.csv\n",
      err)
  end)

  it("answers what has come of a pipe while it is open, and keeps nothing on disk", function()
    -- A row, then its prediction before the next row is given.
    local status, out, err = shell([[
mkfifo in out
TMPDIR=$PWD/tmp && mkdir tmp && export TMPDIR
]] .. moonrank .. [[ predict run - <in >out &
exec 3>in 4<out
sed -n 1p test.csv >&3
for i in 2 3 4; do
  sed -n ${i}p test.csv >&3
  read -r line <&4 && echo "$line"
done
ls tmp
sed -n '5,6p' test.csv | tr -d '\n' >&3
exec 3>&-
cat <&4 2>&1
wait $!]])
    -- The last two lines are one wrong row.
    local first = expected:match "^[^\n]*\n[^\n]*\n[^\n]*\n"
    assert.same({ 1, first }, { status, out })
    assert.truthy(err:find("^moonrank: standard input:5: 11 cells, expected 6"), err)
  end)

  it("writes nothing for empty lines, also where one comes alone", function()
    local lines = "{ head -2 test.csv; sleep 0.1; echo; sleep 0.1; sed -n 3p test.csv; echo; } | "
    assert.same({ 0, expected:match "^[^\n]*\n[^\n]*\n", "" },
      { shell(lines .. moonrank .. " predict run -") })
  end)

  it("keeps a request together until the next one or the end comes", function()
    local fields = helper.read(dir .. "/fields.yaml")
    helper.write(dir .. "/asked.yaml", (fields:gsub("label: click\n", "%0request: user\n"):gsub(
      "context", "ad")))
    assert.equal(0, (helper.run("train lr.yaml --quiet --out asked --set fields=asked.yaml", dir)))
    local sorted = { unpack(rows, 2) }
    local function user_of(row) return row:match ",([^,]*)" end
    table.sort(sorted, function(a, b)
      if user_of(a) ~= user_of(b) then return user_of(a) < user_of(b) end
      return a < b
    end)
    helper.write(dir .. "/asked.csv", rows[1] .. "\n" .. table.concat(sorted, "\n") .. "\n")
    local _, whole = helper.run("predict asked asked.csv", dir)
    local status, out = shell("while IFS= read -r line; do echo \"$line\"; sleep 0.002; done "
      .. "<asked.csv | " .. moonrank .. " predict asked -")
    assert.same({ 0, whole }, { status, out })
  end)

  it("ends at Ctrl-C while a pipe gives nothing, with what came before", function()
    local status, out, err = shell([[
mkfifo stuck
: >got
{ head -3 test.csv; exec sleep 60; } >stuck & feeder=$!
]] .. moonrank .. [[ predict run - <stuck >got & run=$!
until [ "$(wc -l <got)" = 2 ]; do sleep 0.01; done
kill -INT $run
wait $run
status=$?
cat got
kill $feeder
(exit $status)]])
    assert.same({ 130, expected:match "^[^\n]*\n[^\n]*\n", "moonrank: interrupted\n" },
      { status, out, err })
  end)

  it("ends when nobody reads what it writes", function()
    -- As other programs do: by the signal, without a word. `yes` never ends.
    local status, out, err = shell("{ cat test.csv; yes '" .. rows[2] .. "'; } | { "
      .. moonrank .. " predict run -; echo $? >status; } | head -2")
    assert.same({ 0, expected:match "^[^\n]*\n[^\n]*\n", "" }, { status, out, err })
    assert.equal(("%d\n"):format(128 + 13), helper.read(dir .. "/status"))
  end)

  it("leaves no file where it is interrupted, or a row is wrong", function()
    helper.write(dir .. "/wrong.csv", helper.read(dir .. "/test.csv") .. "1,u\n")
    local status, out, err = helper.run("predict run wrong.csv --out scores.txt", dir)
    assert.same({ 1, "", ("moonrank: wrong.csv:%d: 2 cells, expected 6 (as in the header)\n")
      :format(#rows + 1) }, { status, out, err })
    assert.is_false(helper.exists(dir .. "/scores.txt"))
    assert.is_false(helper.exists(dir .. "/scores.txt.tmp"))
  end)
end)

local LIMIT_KB = 20000 -- of memory that is no mapped file: RLIMIT_DATA, stacks of threads included

describe("a pipe of ten times the memory allowed", function()
  it("is predicted within it, each row as in a short file", function()
    local dir, random = helper.temp_dir(), helper.random(1)
    local names, lines = { "click" }, {}
    for c = 1, 12 do names[c + 1] = "c" .. c end
    for i = 1, 2000 do
      local cells = { random(2) - 1 }
      for c = 1, 12 do cells[c + 1] = ("a_rather_long_text_of_an_id_%d_%d"):format(c, random(9)) end
      lines[i] = table.concat(cells, ",")
    end
    local header, body = table.concat(names, ",") .. "\n", table.concat(lines, "\n") .. "\n"
    helper.write(dir .. "/train.csv", header .. body)
    helper.write(dir .. "/body", body)
    helper.write(dir .. "/fields.yaml", "data: {train: train.csv}\nlabel: click\n"
      .. "fields: [{name: [c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12], side: ad, "
      .. "type: id}]\n")
    helper.write(dir .. "/lr.yaml", "fields: fields.yaml\nmodel: {script: lr}\n"
      .. "train: {optimizer: {adagrad: {lr: 0.05}}}\n")
    assert.equal(0, (helper.run("train lr.yaml --quiet --out run", dir)))
    assert.equal(0, (helper.run("predict run train.csv --out scores", dir)))
    -- The body's rows over and over, and so are their predictions.
    -- Sanitizers take memory of their own, and time.
    local sanitizes = os.getenv "MOONRANK_BUILD"
    local times = math.ceil((sanitizes and 1 or 10) * LIMIT_KB * 1024 / #body)
    local limit = sanitizes and "" or ("ulimit -d %d; "):format(LIMIT_KB)
    local status, out, err = helper.shell(([[cd %s
repeat_file() { i=0; while [ $i -lt %d ]; do cat $1; i=$((i+1)); done; }
{ printf '%%s' '%s'; repeat_file body; } |
  (%sexec %s predict run - --threads 1 >long); echo $?
repeat_file scores | cmp - long && echo same
]]):format(dir, times, header, limit, moonrank))
    assert.same({ 0, "0\nsame\n", "" }, { status, out, err })
  end)
end)
