local helper = require "helper"
local path = require "moonrank.path"

describe("path", function()
  it("joins and tidies", function()
    assert.equal("a/b", path.join("a", "b"))
    assert.equal("b", path.join(".", "b"))
    assert.equal("/x/y", path.join("a", "/x/y"))
    assert.equal("data/adworld", path.join("examples/adworld", "../../data/adworld"))
    assert.equal("../b", path.join("a", "../../b"))
    assert.equal(".", path.join("a", ".."))
    assert.equal("a", path.join("a", "."))
    assert.equal("/b", path.join("/a", "../../b"))
    assert.equal("a b/é.csv", path.join("a b", "./é.csv"))
  end)

  it("does not tidy away a link", function()
    local dir = helper.temp_dir()
    helper.shell(("mkdir -p %s/far/away && ln -s far/away %s/link"):format(dir, dir))
    helper.write(dir .. "/far/file", "x")
    local joined = path.join(dir, "link/../file")
    assert.equal(dir .. "/link/../file", joined)
    assert.equal("x", helper.read(joined))
  end)

  it("takes names apart", function()
    assert.equal("a/b", path.folder "a/b/c.yaml")
    assert.equal(".", path.folder "c.yaml")
    assert.equal("/", path.folder "/c.yaml")
    assert.equal("c.yaml", path.base "a/b/c.yaml")
    assert.equal("c", path.stem "a/b/c.yaml")
    assert.equal("c.tsv", path.stem "c.tsv.zst")
    assert.equal(".hidden", path.stem ".hidden")
  end)

  it("says how to get from a folder to a file", function()
    assert.equal("../../data/x", path.relative("runs/lr", "data/x"))
    assert.equal("x", path.relative("a", "a/x"))
    assert.equal(".", path.relative("a", "a"))
    assert.equal("../b", path.relative("/r/a", "/r/b"))
  end)

  it("names the Lua modules of a folder, sorted", function()
    local dir = helper.temp_dir()
    for _, name in ipairs { "two.lua", "one_1.lua", "a-b.lua", "notes.txt", ".hidden.lua" } do
      helper.write(dir .. "/" .. name, "")
    end
    assert.same({ "one_1", "two" }, path.modules(dir))
    assert.same({}, path.modules(dir .. "/none"))
  end)

  it("finds the files of a pattern, sorted", function()
    local dir = helper.temp_dir()
    for _, name in ipairs { "train-01.tsv", "train-00.tsv", "train-x.csv", ".train-02.tsv",
      "valid.tsv" } do
      helper.write(dir .. "/" .. name, "")
    end
    helper.write(dir .. "/train-dir.tsv/inner", "")
    local function glob(pattern)
      local names = {}
      for i, found in ipairs(path.glob(dir .. "/" .. pattern)) do names[i] = path.base(found) end
      return names
    end
    assert.same({ "train-00.tsv", "train-01.tsv" }, glob "train-*.tsv")
    assert.same({ "train-01.tsv" }, glob "train-?[1-9].tsv")
    assert.same({ "train-00.tsv" }, glob "train-0[!1].tsv")
    assert.same({ "train-x.csv" }, glob "*.csv")
    assert.same({}, glob "nothing*")
    assert.same({}, path.glob "/no/such/folder/*")
  end)

  it("makes folders, and says why it cannot", function()
    local dir = helper.temp_dir()
    assert.is_true(path.make_folder(dir .. "/a/b/c"))
    assert.is_true(path.make_folder(dir .. "/a/b/c"))
    helper.write(dir .. "/file", "")
    local made, message = path.make_folder(dir .. "/file/x")
    assert.is_nil(made)
    assert.equal(dir .. "/file: Not a directory", message)
  end)
end)
