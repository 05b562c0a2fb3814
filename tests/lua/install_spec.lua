-- tools/install, `make install`, moonrank.pc, the rockspec: an installation works from any folder,
-- without the sources, and does what the checkout does.
local helper = require "helper"
local quote = helper.quote

local function must(command)
  local status, out, err = helper.shell(command)
  assert.same({ 0, "" }, { status, err }, out)
  return out
end

-- Files of a folder, and links, as paths from it.
local function files(folder)
  local list = {}
  local found = must(("cd %s && find . ! -type d | sort"):format(quote(folder)))
  for file in found:gmatch "%./([^\n]+)" do list[#list + 1] = file end
  return list
end

describe("an installation", function()
  -- So long that Lua cuts the paths of its messages.
  local home = helper.temp_dir() .. "/a folder with blanks in its name, it is far from the root"
  local prefix, elsewhere, run = home .. "/pre fix", home .. "/else where", nil
  local predicted

  -- The installed command, with no environment that names the checkout.
  local function moonrank(arguments)
    return helper.shell(("cd %s && env -u LUA_PATH -u MOONRANK_BUILD %s %s"):format(
      quote(elsewhere), quote(prefix .. "/bin/moonrank"), arguments))
  end

  setup(function()
    local source = home .. "/source"
    must(("mkdir -p %s %s/build"):format(quote(elsewhere), quote(source)))
    must(("cp -R CMakeLists.txt LICENSE moonrank lua models tools engine %s"):format(quote(source)))
    must(("cp -P build/libmoonrank.* build/moonrank_cdef.h %s/build"):format(quote(source)))
    assert.equal(("install: installed into %s\n"):format(prefix),
      must(("PREFIX=%s sh %s/tools/install"):format(quote(prefix), quote(source))))
    must(("rm -r %s"):format(quote(source)))

    local status, _, err = moonrank "simulate --requests 2000 --out log"
    assert.same({ 0, "" }, { status, err })
    helper.write(elsewhere .. "/fields.yaml", [[
version: 1
data: {root: log, train: train-*.tsv.zst, valid: valid.tsv.zst, test: test.tsv.zst}
label: {ctr: click}
request: request_id
fields:
  - {name: user_id, side: user, type: id}
  - {name: click_ads, side: user, type: ids, table: ad_id}
  - {name: ad_id, side: ad, type: id}
  - {name: price, side: ad, type: number, transform: log1p}
]])
    helper.write(elsewhere .. "/fm.yaml", [[
fields: fields.yaml
model: {script: fm, dim: 4}
train: {batch: 256, epochs: 1, optimizer: {adam: {lr: 0.01}}}
]])
    run = elsewhere .. "/run"
    status, _, err = moonrank "train fm.yaml --quiet --out run"
    assert.same({ 0, "" }, { status, err })
    status, predicted, err = moonrank "predict run --data log/test.tsv.zst"
    assert.same({ 0, "" }, { status, err })
  end)

  it("trains and predicts as the checkout does, byte for byte", function()
    local status, _, err = helper.run("train fm.yaml --quiet --out again", elsewhere)
    assert.same({ 0, "" }, { status, err })
    assert.is_true(helper.read(run .. "/model.mr") == helper.read(elsewhere .. "/again/model.mr"))
    assert.same({ 0, predicted, "" }, { helper.run("predict again --data log/test.tsv.zst",
      elsewhere) })
    assert.is_true(#predicted > 10000)
  end)

  -- Compile examples/embed/score.c, and score the first test row with it: the line of `predict`.
  local function score(flags, environment)
    local pc = ("PKG_CONFIG_PATH=%s pkg-config"):format(quote(prefix .. "/lib/pkgconfig"))
    local program = elsewhere .. "/score"
    must(("eval cc -std=c11 -Wall -Wextra -Werror examples/embed/score.c -o %s $(%s --cflags "
      .. "moonrank) %s"):format(quote(quote(program)), pc, flags:gsub("PC", pc)))
    local row = helper.read_table(elsewhere .. "/log/test.tsv.zst")[1]
    local user = ("user_id=%s click_ads=%s"):format(row.user_id, row.click_ads)
    local ad = ("ad_id=%s price=%s"):format(row.ad_id, row.price)
    return must(("cd / && %s %s %s %s %s"):format(environment, quote(program),
      quote(run .. "/model.mr"), quote(user), quote(ad)))
  end

  it("gives a C program what it needs, by pkg-config", function()
    assert.equal(predicted:match "^[^\n]+\n",
      score("$(PC --libs moonrank)", "LD_LIBRARY_PATH=" .. quote(prefix .. "/lib")))
  end)

  it("has a static library too", function()
    local out = score("-Wl,-Bstatic $(PC --libs moonrank) -Wl,-Bdynamic $(PC --static --libs "
      .. "moonrank | sed 's/.*-lmoonrank//')", "")
    assert.equal(predicted:match "^[^\n]+\n", out)
  end)

  it("is found by a Lua program", function()
    local program = 'print(require "moonrank".load("run/model.mr").script)'
    assert.equal("fm\n", must(("cd %s && LUA_PATH=%s luajit -e %s"):format(quote(elsewhere),
      quote(prefix .. "/share/lua/5.1/?.lua;" .. prefix .. "/share/lua/5.1/?/init.lua;;"),
      quote(program))))
  end)

  it("can be moved, and called through a link", function()
    local moved = home .. "/moved"
    must(("cp -RP %s %s && ln -s %s/bin/moonrank %s/mr"):format(quote(prefix), quote(moved),
      quote(moved), quote(elsewhere)))
    assert.equal(predicted, must(("cd %s && ./mr predict run --data log/test.tsv.zst"):format(
      quote(elsewhere))))
  end)

  it("has libraries without what debuggers read, with every name that programs use", function()
    local function names(tool, file) -- what a library defines for others
      local list = {}
      for name in must(("%s %s"):format(tool, quote(file))):gmatch " [TDBR] (%S+)" do
        list[#list + 1] = name
      end
      table.sort(list)
      return list
    end
    for file, tool in pairs { ["libmoonrank.so"] = "nm -D --defined-only",
      ["libmoonrank.a"] = "nm -g --defined-only" } do
      local installed = prefix .. "/lib/" .. file
      local defined = names(tool, installed)
      assert.same(names(tool, "build/" .. file), defined)
      assert.is_true(#defined > 100)
      assert.is_nil(must("readelf -SW " .. quote(installed)):find(".debug", 1, true))
    end
  end)

  it("gives advice that can be followed there", function()
    assert.equal("", must(("grep -rl 'run: make' %s || true"):format(quote(prefix))))
    local broken = home .. "/broken"
    must(("cp -RP %s %s && rm %s/share/lua/5.1/moonrank/moonrank_cdef.h"):format(quote(prefix),
      quote(broken), quote(broken)))
    local _, _, err = helper.shell(("cd / && env -u LUA_PATH -u MOONRANK_BUILD %s/bin/moonrank "
      .. "eval %s"):format(quote(broken), quote(run)))
    assert.matches("^moonrank: the engine is not built: .*moonrank_cdef%.h is missing; install "
      .. "moonrank anew\n$", err)
    local module = ([[
package.path = "%s/share/lua/5.1/?.lua;" .. package.path
local cli = require "moonrank.cli"
print(cli.explain("module 'cjson' not found: no field").message)]]):format(prefix)
    assert.equal('the Lua module "cjson" is missing; install it, by luarocks or as a package of '
      .. "the system\n", must("luajit -e " .. quote(module)))
  end)

  it("takes its own places off messages for people, and leaves those of scripts", function()
    helper.write(elsewhere .. "/mine.lua", [[
return { build = function(m) m:task("ctr", m:dense(m:embed("no_field", 4), 1)) end }
]])
    local status, _, err = moonrank "gradcheck mine.lua"
    assert.equal(1, status)
    assert.truthy(err:find('^moonrank: mine%.lua:1: '), err)
    local modules = prefix .. "/share/lua/5.1/?.lua;" .. prefix .. "/share/lua/5.1/?/init.lua;;"
    assert.equal("freeze is 1, expected a list of patterns\n", must(
      ("cd %s && LUA_PATH=%s luajit -e %s"):format(quote(elsewhere), quote(modules), quote [[
local mr = require "moonrank"
local options = { optimizer = { sgd = { lr = 1 } }, freeze = 1 }
local _, err = pcall(require "moonrank.cli".guard, mr.trainer, mr.load "run/model.mr", options)
print(err.message or err)]])))
  end)

  it("says what is wrong with its folders", function()
    for prefix_given, message in pairs {
      ["opt"] = "install: the folder opt is not a path from the root\n",
      ['/o"t'] = 'install: the folder /o"t has a quote, backslash or line break in its name\n',
    } do
      assert.same({ 2, "", message }, { helper.shell(("PREFIX=%s sh tools/install"):format(
        quote(prefix_given))) })
    end
    assert.same({ 2, "", 'install: unknown argument "al", expected nothing, "lua" or "remove"\n' },
      { helper.shell "sh tools/install al" })
  end)
end)

describe("make install", function()
  it("puts files under DESTDIR, and make uninstall takes all of them away", function()
    local stage = helper.temp_dir() .. "/sta ge"
    local into = ("DESTDIR=%s PREFIX=/opt/m LIBDIR=/opt/m/lib/deep"):format(quote(stage))
    must("make -s install " .. into)
    local list = files(stage .. "/opt/m")
    local set = {}
    for _, file in ipairs(list) do set[file] = true end
    for _, file in ipairs { "bin/moonrank", "include/moonrank.h", "lib/deep/libmoonrank.so",
      "lib/deep/libmoonrank.so.1", "lib/deep/libmoonrank.a", "lib/deep/pkgconfig/moonrank.pc",
      "share/lua/5.1/moonrank/cli/train.lua", "share/lua/5.1/moonrank/simulator/world.lua",
      "share/lua/5.1/moonrank/models/din.lua", "share/doc/moonrank/LICENSE" } do
      assert.is_true(set[file], file)
    end
    assert.truthy(must(("readelf -d %s"):format(quote(stage .. "/opt/m/lib/deep/libmoonrank.so")))
      :find("soname: [libmoonrank.so.1]", 1, true))
    assert.falsy(must(("grep -rlI sta.ge %s || true"):format(quote(stage .. "/opt/m")))
      :find "%S")
    -- The engine is found where it was put.
    assert.equal("moonrank " .. must "./moonrank --version":match "%S+\n",
      must(quote(stage .. "/opt/m/bin/moonrank") .. " --version"))
    helper.write(stage .. "/opt/m/lib/deep/other.so", "")
    must("make -s uninstall " .. into)
    assert.same({ "lib/deep/other.so" }, files(stage .. "/opt/m"))
  end)

  it("leaves nothing of an older version", function()
    local prefix = helper.temp_dir()
    helper.write(prefix .. "/share/lua/5.1/moonrank/models/old.lua", "")
    must(("PREFIX=%s sh tools/install"):format(prefix))
    assert.is_false(helper.exists(prefix .. "/share/lua/5.1/moonrank/models/old.lua"))
  end)
end)

describe("luarocks make", function()
  it("installs the command, the modules and the engine into its tree", function()
    if helper.shell "command -v luarocks" ~= 0 then
      pending "luarocks is not installed"
      return
    end
    local home = helper.temp_dir()
    local tree = home .. "/a tree"
    local status, out, err = helper.shell(("HOME=%s luarocks make --deps-mode=none --tree %s")
      :format(quote(home), quote(tree)))
    assert.equal(0, status, out .. err)
    local command = quote(tree .. "/bin/moonrank")
    assert.equal(must "./moonrank --version", must(("cd / && %s --version"):format(command)))
    local dir = helper.make_project { rows = 400 }
    helper.run("train lr.yaml --quiet --out here", dir)
    must(("cd %s && env -u MOONRANK_BUILD %s train lr.yaml --quiet --out there"):format(dir,
      command))
    assert.is_true(helper.read(dir .. "/here/model.mr") == helper.read(dir .. "/there/model.mr"))
    -- What is to be typed next is LuaRocks' own script, which knows where other rocks are.
    assert.truthy(must(("cd %s && %s init train.csv --out mine/fields.yaml"):format(dir, command))
      :find("\nnext: " .. command .. " train mine/lr.yaml\n", 1, true))
  end)

  it("has the modules where the version of its Lua has them", function()
    local rock = helper.temp_dir() .. "/lib/luarocks/rocks-5.4/moonrank/0.1.0-1"
    must(("PREFIX=%s LUADIR=%s/lua sh tools/install lua"):format(rock, rock))
    assert.truthy(helper.read(rock .. "/bin/moonrank"):find("../share/lua/5.4/", 1, true))
  end)

  it("is for the version that the engine has", function()
    local version = must "./moonrank --version":match " (%S+)\n"
    local rockspec = setfenv(assert(loadfile("moonrank-" .. version .. "-1.rockspec")), {})
    rockspec()
    assert.equal(version .. "-1", getfenv(rockspec).version)
  end)
end)
