local helper = require "helper"
local text_sample = require "moonrank.text_sample"

local function rows_of(text, delimiter, quotes)
  local path = helper.write(helper.temp_dir() .. "/x.csv", text)
  local blocks, whole = assert(text_sample.blocks(path))
  local rows, all = text_sample.rows(blocks, whole, delimiter or ",", quotes ~= false)
  local plain = {}
  for i, row in ipairs(rows) do plain[i] = table.concat(row, "/") end
  return plain, all
end

-- 400,000 lines "i,i", their numbers told by their own text.
local function many_lines()
  local lines = {}
  for i = 1, 400000 do lines[i] = ("%d,%d\n"):format(i, i) end
  return table.concat(lines)
end

describe("a sample of a text file", function()
  it("is all of a small one", function()
    assert.same({ "a/b", "1/2", "3/" }, (rows_of "a,b\r\n1,2\r\n3,"))
    assert.is_true(select(2, rows_of "a,b\n1,2\n"))
  end)

  it("reads quotes by RFC 4180, where there are any", function()
    assert.same({ "a", 'x, "y"\nz/2', "/" }, (rows_of 'a\n"x, ""y""\nz",2\n"",""\n'))
    assert.same({ '"a/b"' }, (rows_of('"a,b"\n', ",", false)))
    assert.same({ "a b/c" }, (rows_of("a b\tc", "\t", false)))
  end)

  it("leaves out a byte order mark and empty lines", function()
    assert.same({ "a/b", "1/2" }, (rows_of "\239\187\191a,b\n\n1,2\n\n"))
  end)

  it("is spread over a large plain file, and holds whole rows", function()
    local rows, all = rows_of(many_lines())
    assert.is_false(all)
    local last, gaps = 0, 0
    for _, row in ipairs(rows) do
      local i, again = row:match "^(%d+)/(%d+)$"
      assert.equal(i, again)
      i = tonumber(i)
      assert.is_true(i > last, "rows come in their order, each once")
      if i > last + 1 then gaps = gaps + 1 end
      last = i
    end
    assert.is_true(#rows <= 31 * 500 and #rows >= 16 * 500, #rows)
    assert.is_true(gaps >= 15)
    assert.is_true(last > 380000, "it reaches the end")
  end)

  it("is the same of a compressed file, as far as it goes", function()
    local dir = helper.temp_dir()
    helper.write(dir .. "/x.csv", many_lines())
    assert.equal(0, (helper.shell(("cd %s && gzip -k x.csv && zstd -q x.csv"):format(dir))))
    for _, ending in ipairs { "gz", "zst" } do
      local blocks = assert(text_sample.blocks(dir .. "/x.csv." .. ending))
      local plain = helper.read(dir .. "/x.csv")
      for _, block in ipairs(blocks) do assert.truthy(plain:find(block, 1, true)) end
      assert.equal(plain:sub(1, 100), blocks[1]:sub(1, 100))
    end
  end)

  it("says what is wrong with a file", function()
    local dir = helper.temp_dir()
    helper.fails_with(dir .. "/empty: the file is empty",
      text_sample.blocks(helper.write(dir .. "/empty", "\n\n")))
    helper.fails_with(dir .. "/none: No such file or directory", text_sample.blocks(dir .. "/none"))
    helper.fails_with(dir .. "/long:1: a line longer than 16777216 bytes",
      text_sample.blocks(helper.write(dir .. "/long", ("x"):rep(17 * 2 ^ 20))))
    helper.fails_with(dir .. "/x.gz: the gzip data ends too early; the file is not complete",
      text_sample.blocks(helper.write(dir .. "/x.gz", "\31\139\8\0\0\0\0\0\0\3")))
  end)

  it("goes past text at once where the file is plain, and unpacks it where not", function()
    local mr = require "moonrank.ffi"
    local dir = helper.temp_dir()
    helper.write(dir .. "/x", many_lines())
    helper.shell(("cd %s && gzip -k x"):format(dir))
    local text = helper.read(dir .. "/x")
    local buffer, got = mr.new "char[10]", mr.new "int64_t[1]"
    for _, name in ipairs { "x", "x.gz" } do
      local out = mr.new "mr_peek *[1]"
      mr.check(mr.C.mr_peek_open(out, dir .. "/" .. name))
      assert.equal(name == "x" and 1 or 0, mr.C.mr_peek_is_plain(out[0]))
      local at = 0
      for _, skip in ipairs { 0, 3, 300000, 1, 2000000 } do
        mr.check(mr.C.mr_peek_skip(out[0], skip))
        mr.check(mr.C.mr_peek_read(out[0], buffer, 10, got))
        at = at + skip
        assert.equal(text:sub(at + 1, at + 10), mr.string(buffer, tonumber(got[0])))
        at = at + 10
      end
      mr.check(mr.C.mr_peek_skip(out[0], #text))
      mr.check(mr.C.mr_peek_read(out[0], buffer, 10, got))
      assert.equal(0, tonumber(got[0]))
      assert.equal(mr.C.MR_EINVAL, mr.C.mr_peek_skip(out[0], -1))
      assert.equal("size is -1, expected 0 or more", mr.last_error())
      assert.equal(mr.C.MR_EINVAL, mr.C.mr_peek_read(out[0], buffer, -1, got))
      mr.C.mr_peek_close(out[0])
    end
  end)
end)
