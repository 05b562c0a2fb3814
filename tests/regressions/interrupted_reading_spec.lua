-- Ctrl-C while text is read into a cache was obeyed when all of it was read, which of a pipe may be
-- never; and the folder for the cache of standard input stayed.
local helper = require "helper"

describe("Ctrl-C while standard input is read", function()
  it("ends the command at once, and leaves nothing", function()
    local dir = helper.make_project { rows = 60 }
    assert.equal(0, (helper.run(("train %s/lr.yaml --quiet --out %s/run"):format(dir, dir))))
    -- What feeds it writes some rows and then nothing, and is still there when it has ended. Linux
    -- shows the file that is being made.
    local status, out, err = helper.shell(([[
mkfifo %s/pipe
{ cat %s/test.csv; exec sleep 60; } >%s/pipe & feeder=$!
./moonrank eval %s/run --data - <%s/pipe & run=$!
until
  folder=$(ls -l /proc/$run/fd | sed -n 's:.* \(/.*\)/[^/]*/data-[^/]*\.tmp$:\1:p')
  [ -n "$folder" ] || ! kill -0 $run
do sleep 0.01; done 2>/dev/null
[ -d "$folder" ] || echo "it is not reading"
kill -INT $run
wait $run
status=$?
[ ! -e "$folder" ] || ls -R "$folder"
kill $feeder && (exit $status)]]):gsub("%%s", dir))
    assert.same({ 130, "", "moonrank: interrupted\n" }, { status, out, err })
  end)

  it("ends it, too, where the input is kept to be split", function()
    local dir = helper.make_project { rows = 60 }
    helper.write(dir .. "/fields.yaml", (helper.read(dir .. "/fields.yaml"):gsub("data: [^\n]*",
      'data: {train: "-", format: csv, split: {valid: 0.2}}')))
    local status, out, err = helper.shell(([[
mkfifo %s/pipe
{ cat %s/train.csv; exec sleep 60; } >%s/pipe & feeder=$!
./moonrank train %s/lr.yaml --quiet --out %s/run <%s/pipe & run=$!
until [ -n "$(ls -l /proc/$run/fd | grep '/input$')" ] || ! kill -0 $run
do sleep 0.01; done 2>/dev/null
kill -INT $run
wait $run
status=$?
ls -A %s/.moonrank-cache
kill $feeder && (exit $status)]]):gsub("%%s", dir))
    assert.same({ 130, "", "moonrank: interrupted\n" }, { status, out, err })
  end)
end)
