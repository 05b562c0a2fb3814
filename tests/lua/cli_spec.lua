local helper = require "helper"

describe("the command", function()
  it("lists only what exists", function()
    local status, out, err = helper.run "help"
    assert.equal(0, status)
    assert.equal("", err)
    local listed = {}
    for name in out:gmatch "\n  (%S+)  " do listed[#listed + 1] = name end
    assert.same(require "moonrank.cli".commands(), listed)
    assert.truthy(out:find("\n  help        list the commands, or explain one\n", 1, true))
  end)

  it("explains a command, by help and by --help", function()
    local status, out = helper.run "help help"
    assert.equal(0, status)
    assert.equal(require "moonrank.cli.help".usage, out)
    local _, again = helper.run "help --help"
    assert.equal(out, again)
    for _, name in ipairs(require "moonrank.cli".commands()) do
      out = select(2, helper.run("help " .. name))
      assert.equal("usage: moonrank " .. name .. " ", out:match "^usage: moonrank %l+ ", name)
    end
  end)

  it("explains one configuration key, or those below one", function()
    assert.same({ 0, [[
The experiment file.
  train.batch: a whole number 1 to 2147483647; default 4096
      samples per update
]], "" }, { helper.run "help config train.batch" })
    local reference = require "moonrank.config_reference"
    local function names(key)
      local list = {}
      for name in assert(reference.key(key)):gmatch "\n  ([%w_.%[%]]+): " do
        list[#list + 1] = name
      end
      return list
    end
    assert.same({ "train.clip", "train.clip.value", "train.clip.row", "train.clip.norm" },
      names "train.clip")
    assert.same({ "tables.NAME.dim" }, names "tables.dim")
    assert.same({ "fields[].type" }, names "fields[].type")
    assert.same(names "fields[].type", names "fields.type")
    assert.same({ "train.optimizer.sgd", "train.optimizer.sgd.lr" },
      names "train.tables.optimizer.sgd")
    assert.same({ "base", "base" }, names "base") -- of both files
    -- Every key of the list is found by its own name.
    for name in reference.text():gmatch "\n  ([%w_.%[%]]+): " do
      assert.equal(name, names(name)[1])
    end
  end)

  it("says what an unknown key may have meant, with status 2", function()
    local function says(message, key)
      assert.same({ 2, "", "moonrank: " .. message .. "\n" }, { helper.run("help config " .. key) })
    end
    says('no configuration key "train.bacth"; did you mean "train.batch"?', "train.bacth")
    says('no configuration key "min_count"; did you mean "defaults.min_count"?', "min_count")
    says('no configuration key "xyzzy"; try: moonrank help config', "xyzzy")
    says('unexpected argument "--x"; try: moonrank help', "--x")
  end)

  it("says what an unknown command may have meant, with status 2", function()
    local result = { helper.run "trian" }
    assert.same({ 2, "", 'moonrank: unknown command "trian"; did you mean "train"?\n' }, result)
    result = { helper.run "xyzzy" }
    assert.same({ 2, "", 'moonrank: unknown command "xyzzy"; try: moonrank help\n' }, result)
  end)

  it("prints the list on stderr with status 2 when nothing is asked", function()
    local status, out, err = helper.run ""
    assert.equal(2, status)
    assert.equal("", out)
    local _, overview = helper.run "help"
    assert.equal(overview, err)
  end)

  it("finds its folder from anywhere and through links", function()
    local dir = helper.temp_dir() .. "/a b"
    helper.shell("mkdir -p " .. helper.quote(dir) .. " && ln -s " ..
      helper.quote(helper.root() .. "/moonrank") .. " " .. helper.quote(dir .. "/first") ..
      " && ln -s first " .. helper.quote(dir .. "/second"))
    local _, expected = helper.run "help"
    local status, out = helper.shell("cd / && " .. helper.quote(dir .. "/second") .. " help")
    assert.equal(0, status)
    assert.equal(expected, out)
  end)

  it("needs no library of its own to print the list", function()
    local path = helper.root() .. "/lua/?.lua"
    local status, out = helper.shell("luajit -e " .. helper.quote(
      ("package.path = %q .. ';' .. package.path; require 'moonrank.cli.help'.overview(); " ..
      "print(package.loaded['moonrank.ffi'], package.loaded.yaml)"):format(path)))
    assert.equal(0, status)
    assert.equal("nil\tnil\n", out)
  end)
end)

describe("wrong usage", function()
  local function says(message, arguments)
    assert.same({ 2, "", "moonrank: " .. message .. "\n" }, { helper.run(arguments) })
  end

  it("of options and arguments is one line with status 2", function()
    says('unknown option "--stt"; did you mean "--set"?; try: moonrank help train', "train --stt x")
    says('missing argument "config"; try: moonrank help train', "train")
    says("too many arguments; try: moonrank help train", "train a b")
    says('option "--set" requires an argument; try: moonrank help train', "train x --set")
    says('--threads is "x", expected a whole number 1 to 256', "eval x --threads x")
    says("name a run folder or a model file, or a simulated log with --truth", "eval")
    says("name the rows to predict with --data FILE", "predict x")
    says('unexpected argument "more"; try: moonrank help', "help train more")
    says("the first argument is empty; try: moonrank help train", "train ''")
    says('the argument behind "--out" is empty; try: moonrank help train', "train x --out ''")
    says("--out is empty; try: moonrank help predict", "predict x --out=")
    says('unknown command "trian"; did you mean "train"?', "help trian")
  end)
end)

describe("the next command to type", function()
  local cli = require "moonrank.cli"
  local quote = helper.quote

  local function next_of(called, ...)
    local before = arg
    _G.arg = called and { [0] = called }
    local line = cli.next(...)
    _G.arg = before
    return line
  end

  it("has quotes where the shell needs them", function()
    assert.equal("./moonrank eval runs/lr-1", next_of("./moonrank", "eval", "runs/lr-1"))
    assert.equal([['a b/moonrank' eval 'it'\''s a run']], next_of("a b/moonrank", "eval",
      "it's a run"))
  end)

  it("is the command as it was called, and works", function()
    local root, dir = helper.root(), helper.temp_dir() .. "/a b"
    local rows = { "click,user_id,age" }
    for i = 1, 200 do rows[i + 1] = ("%d,u%d,%d"):format(i % 3 == 0 and 1 or 0, i % 20, i % 7) end
    os.execute("mkdir -p " .. quote(dir .. "/bin") .. " " .. quote(dir .. "/other"))
    helper.write(dir .. "/train.csv", table.concat(rows, "\n") .. "\n")
    os.execute(("ln -s %s %s && ln -s %s %s"):format(quote(root .. "/moonrank"),
      quote(dir .. "/bin/moonrank"), quote(root .. "/moonrank"), quote(dir .. "/mr")))
    helper.write(dir .. "/other/moonrank", "") -- not a program
    local function check(expected, typed, path)
      local status, out, err = helper.shell(("cd %s && PATH=%s && %s init train.csv --force")
        :format(quote(dir), path or '"$PATH"', typed))
      assert.same({ 0, "" }, { status, err })
      assert.equal(("next: %s train lr.yaml"):format(expected), out:match "([^\n]*)\n$")
      assert.equal(0, (helper.shell(("cd %s && PATH=%s && %s --version"):format(quote(dir),
        path or '"$PATH"', expected))))
    end
    local whole = quote(root .. "/moonrank")
    check(helper.command(), whole)
    check("./mr", "./mr")
    check("bin/moonrank", "bin/moonrank")
    -- Found by the shell, also behind a file of its name that is no program.
    check("moonrank", "moonrank", quote(dir .. "/bin") .. ':"$PATH"')
    check("moonrank", "moonrank", quote(dir .. "/other") .. ":" .. quote(dir .. "/bin/")
      .. ':"$PATH"')
    -- There is another one that the shell would find.
    check(quote(dir .. "/mr"), quote(dir .. "/mr"))
    check("bin/moonrank", "bin/moonrank", '"$PATH"')
    os.execute(("ln -s %s %s"):format(whole, quote(dir .. "/moonrank")))
    check(quote(dir .. "/moonrank"), quote(dir .. "/moonrank"), quote(dir .. "/bin")
      .. ':"$PATH"')
    check("./moonrank", "luajit moonrank")
  end)
end)

describe("errors of a command", function()
  local cli = require "moonrank.cli"
  local modules = require "moonrank.place".modules

  -- Run a command that was never on disk, catching what goes to stderr.
  local function run_command(run)
    local text = {}
    local undo = stub(cli, "command", function() return { run = run } end)
    local status = cli.main({ "made_up" }, { write = function(_, ...)
      text[#text + 1] = table.concat { ... }
    end })
    undo:revert()
    return status, table.concat(text)
  end

  it("are one line and status 1 for trouble of the world", function()
    local status, err = run_command(function() return nil, "no such file: x.csv" end)
    assert.equal(1, status)
    assert.equal("moonrank: no such file: x.csv\n", err)
    status, err = run_command(function() cli.fail("%s is empty", "x.csv") end)
    assert.equal(1, status)
    assert.equal("moonrank: x.csv is empty\n", err)
  end)

  it("are one line and status 2 for wrong usage", function()
    local status, err = run_command(function() cli.usage_error "expected a file" end)
    assert.equal(2, status)
    assert.equal("moonrank: expected a file\n", err)
  end)

  it("keep the line of a model script", function()
    local status, err = run_command(function() error("models/x.lua:3: no field \"a\"", 0) end)
    assert.equal(1, status)
    assert.equal('moonrank: models/x.lua:3: no field "a"\n', err)
  end)

  it("lose the place in the library when the user is to blame", function()
    local status, err = run_command(function()
      cli.guard(function() error(modules .. 'x.lua:3: unknown model "lx"', 0) end)
    end)
    assert.equal(1, status)
    assert.equal('moonrank: unknown model "lx"\n', err)
  end)

  it("show a bug also where the user may be to blame", function()
    local status, err = run_command(function()
      cli.guard(function()
        error(modules .. "x.lua:3: attempt to index a nil value", 0)
      end)
    end)
    assert.equal(1, status)
    assert.truthy(err:find("^moonrank: internal error, please report it with these lines: "))
    assert.truthy(err:find("stack traceback:", 1, true))
  end)

  it("ask for a report when the library is to blame", function()
    local status, err = run_command(function()
      error(modules .. "x.lua:3: attempt to index a nil value", 0)
    end)
    assert.equal(1, status)
    assert.truthy(err:find("^moonrank: internal error, please report it with these lines: "))
    assert.truthy(err:find("stack traceback:", 1, true))
  end)

  it("say what to do when a Lua module is missing", function()
    local status, err = run_command(function() require "no_such_module" end)
    assert.equal(1, status)
    assert.equal('moonrank: the Lua module "no_such_module" is missing; run: make setup\n', err)
  end)

  it("exit with 130 on Ctrl-C", function()
    local status, err = run_command(function() error("interrupted!", 0) end)
    assert.equal(130, status)
    assert.equal("moonrank: interrupted\n", err)
  end)
end)
