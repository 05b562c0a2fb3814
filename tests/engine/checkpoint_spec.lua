-- Checkpoints: what was saved comes back, no change of a byte goes unnoticed, and whatever lies in
-- place of a file is refused with one line. (Faults while saving are faults_spec's.)
local g = require "graph_helper"
local helper = require "helper"
local lfs = require "lfs"
local mr = require "moonrank.ffi"
local C = mr.C

local NAMES = { "dense.safetensors", "tables.safetensors", "manifest.json" }

local schema = g.schema { { name = "id", type = "id" }, { name = "y", type = "label" } }

local function new_run(options)
  local b = g.builder(schema)
  local x = b:batch_norm(b:dense(b:lookup { column = "id", dim = 2 }, { out = 1 }))
  b:logloss(x, b:column { column = "y" })
  return g.run(g.model(b), options or { optimizer = "adam" })
end

local function step(run, times)
  local batch = g.batch(schema, 4)
  for i = 0, 3 do C.mr_batch_keys(batch, 0)[i] = i % 3 + 1 end
  g.fill(batch, schema, "y", 4, function(i) return i % 2 end)
  for _ = 1, times do
    g.gradient(run, batch)
    g.update(run)
  end
end

local function save(run, folder, state)
  return mr.ok(C.mr_run_save(run.handle, folder, state or "state"))
end

local function restore(run, folder)
  local state = mr.new "char *[1]"
  local ok, message = mr.ok(C.mr_run_restore(run.handle, folder, state))
  if not ok then
    assert(state[0] == nil)
    assert(message:find "^[^\n]+$", message)
    return nil, message
  end
  local text = mr.string(state[0])
  C.mr_text_free(state[0])
  return text
end

-- The bytes of a run's checkpoint say all that there is in it.
local function bytes_of(run)
  local folder = helper.temp_dir() .. "/now"
  assert(save(run, folder))
  local all = {}
  for i, name in ipairs(NAMES) do all[i] = helper.read(folder .. "/" .. name) end
  return table.concat(all)
end

local function names_in(folder)
  local names = {}
  for name in lfs.dir(folder) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local sound = helper.temp_dir() .. "/sound"
local original = new_run()
step(original, 3)
assert(save(original, sound))
local files = {}
for _, name in ipairs(NAMES) do files[name] = helper.read(sound .. "/" .. name) end

-- A copy of the sound checkpoint to be spoilt.
local function copy()
  local folder = helper.temp_dir() .. "/copy"
  for _, name in ipairs(NAMES) do helper.write(folder .. "/" .. name, files[name]) end
  return folder
end

describe("a checkpoint", function()
  it("brings weights, rows, states and steps back, so that training goes on bit by bit", function()
    local again = new_run()
    step(again, 1) -- what it has is replaced
    assert.equal("state", restore(again, sound))
    assert.equal(3, tonumber(C.mr_run_steps(again.handle)))
    assert.is_true(bytes_of(original) == bytes_of(again))
    local straight = new_run()
    step(straight, 5)
    step(again, 2)
    assert.is_true(bytes_of(straight) == bytes_of(again))
  end)

  it("brings back the states of every optimizer", function()
    for _, name in ipairs { "sgd", "adagrad", "adam", "momentum", "ftrl" } do
      local options = { optimizer = name }
      local straight, first, again = new_run(options), new_run(options), new_run(options)
      step(straight, 5)
      step(first, 3)
      local folder = helper.temp_dir() .. "/" .. name
      assert(save(first, folder))
      assert.equal("state", restore(again, folder))
      step(again, 2)
      assert.is_true(bytes_of(straight) == bytes_of(again), name)
    end
  end)

  it("keeps any text as the state", function()
    for _, text in ipairs { "", '{"a": "\\u0041\\n"}', "a\nb\t\"\\", ("x"):rep(100000) } do
      local folder = helper.temp_dir() .. "/c"
      assert(save(original, folder, text))
      assert.equal(text, restore(new_run(), folder))
    end
  end)

  it("replaces one of the same name, and leaves nothing beside it", function()
    local dir = helper.temp_dir()
    assert(save(original, dir .. "/c", "first"))
    assert(save(original, dir .. "/c", "second"))
    assert.same({ ".", "..", "c" }, names_in(dir))
    assert.same({ ".", "..", "dense.safetensors", "manifest.json", "tables.safetensors" },
      names_in(dir .. "/c"))
    assert.equal("second", restore(new_run(), dir .. "/c"))
  end)

  it("replaces one where the file system cannot exchange folders", function()
    -- strace answers for such a file system.
    if not helper.can_trace() then return pending "nothing can be traced here" end
    local dir = helper.make_project { rows = 64 }
    helper.write(dir .. "/lr.yaml", [[
fields: fields.yaml
model: {script: lr}
train: {batch: 64, epochs: 2, optimizer: {adam: {lr: 0.01}}, checkpoint: {steps: 1}}
]])
    local train = ("luajit moonrank train %s/lr.yaml --quiet --out %s/"):format(dir, dir)
    assert.equal(0, (helper.shell(train .. "whole")))
    local status, _, err = helper.shell(("strace -f -o %s/trace -e trace=renameat2 -e "
      .. "inject=renameat2:error=EINVAL %sother --stop-after 1"):format(dir, train))
    assert.same({ 0, "" }, { status, err })
    assert.truthy(helper.read(dir .. "/trace"):find("(INJECTED)", 1, true))
    assert.same({ ".", "..", "best-1.mr", "step-000000001" },
      names_in(dir .. "/other/checkpoints"))
    assert.equal(0, (helper.shell(train .. "other --resume")))
    assert.is_true(helper.read(dir .. "/whole/model.mr") == helper.read(dir .. "/other/model.mr"))
  end)

  it("is removed whole; one that is not there is fine", function()
    local folder = copy()
    assert(mr.ok(C.mr_checkpoint_remove(folder)))
    assert(mr.ok(C.mr_checkpoint_remove(folder)))
    assert.same({ ".", ".." }, names_in((folder:gsub("/copy$", ""))))
  end)

  it("is not believed beyond its manifest: other files and names change nothing", function()
    local folder = copy()
    helper.write(folder .. "/more.safetensors", "what is this")
    assert.equal("state", restore(new_run(), folder))
    assert(os.rename(folder, folder .. "-renamed"))
    assert.equal("state", restore(new_run(), folder .. "-renamed"))
  end)
end)

-- ---- changed bytes ----

describe("a changed checkpoint", function()
  local run, folder = new_run(), copy()

  -- Removed first: a file system may sync what replaces the contents of a file.
  local function put(name, text)
    os.remove(folder .. "/" .. name)
    helper.write(folder .. "/" .. name, text)
  end

  local function refused(name, text, what)
    put(name, text)
    local state, message = restore(run, folder)
    assert(state == nil, what)
    assert(message:sub(1, #folder) == folder, message)
    return message
  end

  it("is refused when any byte has changed: of the manifest, any bit", function()
    for _, name in ipairs(NAMES) do
      local text = files[name]
      local expected = ("%s/manifest.json: %s/%s is not the file that was written: its size or sum "
        .. "differs"):format(folder, folder, name)
      for at = 1, #text do
        local byte = text:byte(at)
        for bit = 0, name == "manifest.json" and 7 or 0 do
          local other = name == "manifest.json" and require "bit".bxor(byte, 2 ^ bit)
            or (byte + 1 + at % 255) % 256
          local message = refused(name, text:sub(1, at - 1) .. string.char(other)
            .. text:sub(at + 1), name .. " byte " .. at)
          if name ~= "manifest.json" then assert.equal(expected, message) end
        end
      end
      put(name, text)
    end
    assert.equal("state", restore(run, folder))
  end)

  it("is refused at every length but its own", function()
    for _, name in ipairs(NAMES) do
      for length = 0, #files[name] - 1 do
        refused(name, files[name]:sub(1, length), name .. " length " .. length)
      end
      refused(name, files[name] .. "\0", name .. " is longer")
      refused(name, files[name] .. "\n", name .. " is longer")
      put(name, files[name])
    end
    assert.equal("state", restore(run, folder))
    assert.is_true(bytes_of(original) == bytes_of(run))
  end)

  it("is refused with files of another step or of one another", function()
    local later = helper.temp_dir() .. "/later"
    step(original, 1)
    assert(save(original, later))
    local manifest = folder .. "/manifest.json: "
    local differs = " is not the file that was written: its size or sum differs"
    for _, name in ipairs(NAMES) do
      local other = name == "manifest.json" and "dense.safetensors" or name
      assert.equal(manifest .. folder .. "/" .. other .. differs,
        refused(name, helper.read(later .. "/" .. name)))
      put(name, files[name])
    end
    assert.equal(manifest .. folder .. "/dense.safetensors" .. differs,
      refused("dense.safetensors", files["tables.safetensors"]))
    put("dense.safetensors", files["dense.safetensors"])
    assert.equal(manifest .. "damaged JSON: a broken number",
      refused("manifest.json", files["dense.safetensors"]))
  end)
end)

-- ---- what is no checkpoint ----

describe("what lies in place of a checkpoint", function()
  local function refused(message, spoil, options)
    local folder = copy()
    spoil(folder)
    local run = new_run(options)
    local state, actual = restore(run, folder)
    assert.is_nil(state)
    assert.equal(message:gsub("DIR", (folder:gsub("%%", "%%%%"))), actual)
  end

  local function replaced(name, by)
    return function(folder)
      assert(os.remove(folder .. "/" .. name))
      by(folder .. "/" .. name, name)
    end
  end

  local function link(path, name) assert(lfs.link(sound .. "/" .. name, path, true)) end
  local function fifo(path) assert(os.execute("mkfifo " .. helper.quote(path)) == 0) end

  it("is refused: a file that is missing, a link, a FIFO, a folder", function()
    for _, name in ipairs(NAMES) do
      local place = name == "manifest.json" and "" or "DIR/manifest.json: "
      refused(("%sDIR/%s: No such file or directory"):format(place, name),
        replaced(name, function() end))
      refused(("%sDIR/%s is a symbolic link, expected the file itself"):format(place, name),
        replaced(name, link))
      refused(("%sDIR/%s is not a regular file"):format(place, name), replaced(name, fifo))
      refused(("%sDIR/%s is not a regular file"):format(place, name), replaced(name, lfs.mkdir))
    end
  end)

  it("is refused: a device", function()
    local made = helper.shell(("mknod %s/device c 1 5"):format(helper.temp_dir()))
    if made ~= 0 then return pending "devices cannot be made here" end
    for _, name in ipairs(NAMES) do
      local place = name == "manifest.json" and "" or "DIR/manifest.json: "
      refused(("%sDIR/%s is not a regular file"):format(place, name),
        replaced(name, function(path) helper.shell("mknod " .. path .. " c 1 5") end))
    end
  end)

  it("is refused: a manifest that is none, or of another version", function()
    local function manifest(text)
      return function(folder) helper.write(folder .. "/manifest.json", text) end
    end
    local text = files["manifest.json"]
    refused("DIR/manifest.json: damaged JSON: a broken number", manifest "")
    refused('DIR/manifest.json: "format" is missing', manifest "[]")
    refused('DIR/manifest.json: "format" is missing', manifest "{}")
    refused("DIR/manifest.json: it is of format 2, this version reads format 1",
      manifest((text:gsub('"format":1', '"format":2'))))
    refused("DIR/manifest.json: its bytes have changed since they were written",
      manifest '{"format":1}')
    refused("DIR/manifest.json: damaged JSON: a key is there twice",
      manifest((text:gsub('"format":1', '"format":1,"format":1'))))
    refused("DIR/manifest.json is too large for a manifest",
      manifest((" "):rep(16 * 2 ^ 20 + 1)))
  end)

  it("is refused: no folder at all", function()
    local folder = helper.temp_dir() .. "/none"
    local state, message = restore(new_run(), folder)
    assert.is_nil(state)
    assert.equal(folder .. "/manifest.json: No such file or directory", message)
    helper.write(folder, "a file")
    state, message = restore(new_run(), folder)
    assert.is_nil(state)
    assert.equal(folder .. "/manifest.json: Not a directory", message)
  end)

  it("is refused: that of another model, of other lanes", function()
    refused("DIR/manifest.json: it is of another model: graph, columns or optimizers differ",
      function() end, { optimizer = "adagrad" })
    refused(("DIR/manifest.json: it was made with %d lanes, this run has 1: results would differ")
      :format(16), function() end, { optimizer = "adam", lanes = 1 })
  end)
end)

describe("a checkpoint that cannot be written", function()
  it("says why and leaves nothing", function()
    local dir = helper.temp_dir()
    helper.write(dir .. "/file", "")
    local function fails(message, folder)
      local ok, actual = save(original, folder)
      assert.is_nil(ok)
      assert.equal(message, actual)
    end
    fails(dir .. "/none/c.tmp: No such file or directory", dir .. "/none/c")
    fails(dir .. "/file/c.tmp: Not a directory", dir .. "/file/c")
    fails(dir .. "/file: Not a directory", dir .. "/file")
    assert(os.execute(("mkfifo %s/pipe.tmp"):format(dir)) == 0)
    fails(dir .. "/pipe.tmp: Not a directory", dir .. "/pipe")
    assert.same({ ".", "..", "file", "pipe.tmp" }, names_in(dir))
    local long = dir .. ("/x"):rep(2100)
    fails(("the path %s... is too long"):format(long:sub(1, 80)), long)
  end)
end)
