-- A disk that is full, a limit on the size of files, a folder that cannot be written: one clear
-- line, what was there stays whole, and with room again the run goes on to the same model.
local helper = require "helper"
local lfs = require "lfs"

local function names_in(folder)
  local names = {}
  for name in lfs.dir(folder) do
    if name ~= "." and name ~= ".." then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

local function make_project()
  local dir = helper.make_project { rows = 300 }
  helper.write(dir .. "/small.yaml", [[
fields: fields.yaml
model: {script: dnn, hidden: [8]}
train: {batch: 64, epochs: 2, threads: 1, optimizer: {adam: {lr: 0.02}}}
]])
  return dir
end

local function command(dir, out, more)
  return ("luajit moonrank train %s --quiet --out %s %s"):format(helper.quote(dir .. "/small.yaml"),
    helper.quote(out), more or "")
end

-- What a run that is resumed must find again: its newest checkpoint.
local function checkpoint_of(out)
  local folder, all = out .. "/checkpoints/step-000000005", {}
  for _, name in ipairs(names_in(folder)) do
    all[#all + 1] = name .. "\n" .. helper.read(folder .. "/" .. name)
  end
  return table.concat(all)
end

describe("without room on the disk a run", function()
  local dir = make_project()
  local half, whole = dir .. "/half", dir .. "/whole"
  assert.equal(0, (helper.shell(command(dir, half, "--stop-after 1"))))
  assert.equal(0, (helper.shell(command(dir, whole))))

  -- The run failed with one line about a file in `out`; nothing of it is left.
  local function check_failure(out, status, err, reason)
    assert.equal(1, status, err)
    assert(err:find("^moonrank: [^\n]+\n$") and err:find(out, 1, true), err)
    assert.equal(reason, err:match ": ([^:\n]+)\n$")
    for _, folder in ipairs { out, out .. "/checkpoints" } do
      for _, name in ipairs(names_in(folder)) do assert(not name:find "%.tmp$", name) end
    end
    assert.is_true(checkpoint_of(half) == checkpoint_of(out), "the checkpoint has changed")
    assert.is_false(helper.exists(out .. "/model.mr"))
  end

  local function resume(out)
    local status, _, err = helper.shell(command(dir, out, "--resume"))
    assert.same({ 0, "" }, { status, err })
    assert.is_true(helper.read(out .. "/model.mr") == helper.read(whole .. "/model.mr"))
  end

  it("says so and goes on once there is some: a small disk, filled to the last pages", function()
    local disk = helper.temp_dir()
    if helper.shell("mount -t tmpfs -o size=512k tmpfs " .. disk) ~= 0 then
      return pending "file systems cannot be mounted here"
    end
    finally(function() helper.shell("umount " .. disk) end)
    local out, full = disk .. "/run", 0
    for pages = 0, 40 do
      assert.equal(0, (helper.shell(("rm -rf %s/*; cp -r %s %s"):format(disk, half, out))))
      helper.shell(("dd if=/dev/zero of=%s/filler bs=4096"):format(disk))
      helper.shell(("truncate -s -%d %s/filler"):format(pages * 4096, disk))
      local status, _, err = helper.shell(command(dir, out, "--resume"))
      if status == 0 then break end
      if helper.exists(out .. "/checkpoints/step-000000010") then
        -- There was room for the checkpoint, not for the model.
        assert.equal("No space left on device", err:match ": ([^:\n]+)\n$")
      else
        check_failure(out, status, err, "No space left on device")
      end
      os.remove(disk .. "/filler")
      resume(out)
      full = full + 1
    end
    assert(full > 3, "the disk was never full")
  end)

  it("says so: a limit on the size of files", function()
    local out = dir .. "/limited"
    assert.equal(0, (helper.shell(("cp -r %s %s"):format(half, out))))
    local status, _, err = helper.shell(("(trap '' XFSZ; ulimit -f 4; %s)"):format(
      command(dir, out, "--resume")))
    check_failure(out, status, err, "File too large")
    resume(out)
  end)

  it("survives a limit that ends the process", function()
    local out = dir .. "/killed"
    assert.equal(0, (helper.shell(("cp -r %s %s"):format(half, out))))
    local status = helper.shell(("(ulimit -c 0; ulimit -f 4; %s; exit $?)"):format(
      command(dir, out, "--resume")))
    assert.equal(128 + 25, status) -- SIGXFSZ
    assert.is_true(checkpoint_of(half) == checkpoint_of(out), "the checkpoint has changed")
    resume(out)
  end)

  it("says so: log.txt and metrics.jsonl, too", function()
    if not helper.exists "/dev/full" then return pending "there is no /dev/full" end
    for _, name in ipairs { "log.txt", "metrics.jsonl" } do
      local out = dir .. "/full-" .. name
      assert(lfs.mkdir(out))
      assert(lfs.link("/dev/full", out .. "/" .. name, true))
      local status, _, err = helper.shell(command(dir, out))
      assert.equal(1, status)
      assert.equal(("moonrank: %s/%s: cannot be written: No space left on device\n"):format(out,
        name), err)
    end
  end)
end)

describe("without room on standard output", function()
  for _, words in ipairs { "--version", "help train", "help config", "eval RUN",
    "predict RUN --data few.csv", "predict RUN --data train.csv" } do
    it("a command says so: " .. words, function()
      if not helper.exists "/dev/full" then return pending "there is no /dev/full" end
      local dir = helper.make_project { rows = 300 }
      helper.shell(("head -3 %s/test.csv > %s/few.csv"):format(dir, dir))
      if words:find "RUN" then
        assert.equal(0, (helper.run(("train %s/lr.yaml --quiet --out %s/run"):format(dir, dir))))
      end
      local status, _, err = helper.shell(("./moonrank %s >/dev/full"):format(
        (words:gsub("RUN", dir .. "/run"):gsub("(%w+%.csv)", dir .. "/%1"))))
      assert.equal(1, status)
      assert(err == "moonrank: standard output: No space left on device\n"
        or err == "moonrank: standard output: not all could be written\n", err)
    end)
  end
end)

describe("a folder that cannot be written", function()
  local dir = make_project()

  it("is named, and what was there stays: a file system that is read only", function()
    local disk = helper.temp_dir()
    if helper.shell("mount -t tmpfs tmpfs " .. disk) ~= 0 then
      return pending "file systems cannot be mounted here"
    end
    finally(function() helper.shell("umount " .. disk) end)
    local out = disk .. "/run"
    assert.equal(0, (helper.shell(command(dir, out, "--stop-after 1"))))
    local before = checkpoint_of(out)
    assert.equal(0, (helper.shell("mount -o remount,ro " .. disk)))
    local status, _, err = helper.shell(command(dir, out, "--resume"))
    assert.equal(1, status)
    assert.equal(("moonrank: %s/lock: Read-only file system\n"):format(out), err)
    status, _, err = helper.shell(command(dir, disk .. "/other"))
    assert.equal(1, status)
    assert.equal(("moonrank: %s/other: Read-only file system\n"):format(disk), err)
    assert.is_true(before == checkpoint_of(out))
  end)

  it("is named: permissions", function()
    local out = dir .. "/locked"
    assert(lfs.mkdir(out))
    assert.equal(0, (helper.shell("chmod 555 " .. out)))
    if helper.shell(("touch %s/probe"):format(out)) == 0 then
      return pending "permissions do not bind this user"
    end
    local status, _, err = helper.shell(command(dir, out))
    assert.equal(1, status)
    assert.equal(("moonrank: %s/lock: Permission denied\n"):format(out), err)
  end)

  it("is named: a file in its place", function()
    helper.write(dir .. "/file", "")
    local status, _, err = helper.shell(command(dir, dir .. "/file"))
    assert.equal(1, status)
    assert.equal(("moonrank: %s/file: Not a directory\n"):format(dir), err)
    assert.equal("", helper.read(dir .. "/file"))
  end)
end)
