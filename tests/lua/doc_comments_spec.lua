-- Every public function says what it does: those that Lua modules export, by an LDoc comment, and
-- those of moonrank.h, by a comment before or beside it. No line is too long to be read beside
-- another.
local helper = require "helper"

-- Classes whose objects a module hands out, without being what it returns.
local HANDED_OUT = { methods = true, Loader = true }

-- The functions of a Lua file that others can call and that have no comment "---" before them: the
-- fields of the table that the file returns, and methods of a class.
local function undocumented_lua(text)
  local missing, comment = {}, false
  local returned = text:match "return ([%a_][%w_]*)%s*$"
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    local owner, name = line:match "^function ([%w_]+)[.:]([%a][%w_]*)%("
    if not owner then owner, name = line:match "^([%w_]+)%.([%a][%w_]*) = function" end
    if owner and (owner == returned or HANDED_OUT[owner]) and not comment then
      missing[#missing + 1] = owner .. "." .. name
    end
    if line:find "^%-%-%-" then
      comment = line:find "^%-%-%-%s*[^%s%-@]" ~= nil
    elseif not line:find "^%-%-" then
      comment = false
    end
  end
  return missing
end

-- The functions of a C header without a comment: one belongs to the declarations right below it, up
-- to an empty line, or stands at the end of the declaration's own lines.
local function undocumented_c(text)
  local missing, covered, declaration = {}, false, nil
  local inside = false
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    if inside then
      inside = not line:find("*/", 1, true)
    elseif line:find "^%s*$" then
      covered = false
    elseif line:find "^/%*" then
      -- "/* ---- base ---- */" is a heading.
      covered = not line:find "^/%* %-%-%-%-"
      inside = not line:find("*/", 1, true)
    elseif declaration or line:find "^[%a][^;{]*mr_[%w_]+%(" and not line:find "^typedef" then
      declaration = (declaration and declaration .. " " or "") .. line
      if line:find(";", 1, true) then
        local name = declaration:match "(mr_[%w_]+)%("
        if not covered and not line:find("/*", 1, true) then missing[#missing + 1] = name end
        inside = line:find("/*", 1, true) and not line:find("*/", 1, true)
        declaration = nil
      end
    end
  end
  return missing
end

describe("the comment of a public function", function()
  it("is missed where there is none", function()
    assert.same({ "M.bare", "M.late", "Loader.method", "M.value" }, undocumented_lua [[
--- A module.
local M = {}
local Loader = {}
--- Says.
-- @tparam integer n
function M.said(n) end
function M.bare() end

--- Says, but about something else.
local x = 1
function M.late() end
-- Not LDoc.
function Loader:method() end
local function inner() end
M.value = function() end
function inner.other() end
return M
]])
    assert.same({ "mr_under_heading", "mr_bare", "mr_bare_lines" }, undocumented_c [[
/* ---- base ---- */
int mr_under_heading(void);

/* Both of them. */
int mr_one(int a,
           int b);
int mr_two(void);

int mr_bare(void);
int mr_beside(void); /* says */
int mr_bare_lines(int a,
                  int b);
int mr_long(void); /* says
                    * more */
typedef int (*mr_type)(void);
]])
  end)

  it("is there in every Lua module", function()
    local missing, functions = {}, 0
    local found = select(2, helper.shell "find lua -name '*.lua' ! -path '*/cli/*' | sort")
    for path in found:gmatch "[^\n]+" do
      local text = helper.read(path)
      functions = functions + select(2, text:gsub("\nfunction ", ""))
      for _, name in ipairs(undocumented_lua(text)) do
        missing[#missing + 1] = path .. " " .. name
      end
    end
    assert.is_true(functions > 200)
    assert.same({}, missing)
  end)

  it("is there in moonrank.h", function()
    assert.same({}, undocumented_c(helper.read "engine/include/moonrank.h"))
  end)
end)

describe("a line", function()
  it("has at most 100 columns in C and Lua", function()
    local long, lines = {}, 0
    local found = select(2, helper.shell(
      "find engine lua models tests bench examples tools -name '*.[ch]' -o -name '*.def' "
      .. "-o -name '*.lua' | sort"))
    for path in found:gmatch "[^\n]+" do
      local number = 0
      for line in helper.read(path):gmatch "([^\n]*)\n" do
        number, lines = number + 1, lines + 1
        local _, columns = line:gsub("[^\128-\191]", "") -- what begins a character of UTF-8
        if columns > 100 then long[#long + 1] = ("%s:%d"):format(path, number) end
      end
    end
    assert.is_true(lines > 50000)
    assert.same({}, long)
  end)
end)

describe("make docs", function()
  it("has a page for each module, without a warning", function()
    local status, out, err = helper.shell "make docs"
    assert.same({ 0, "" }, { status, err }, out)
    local index = helper.read "build/docs/index.html"
    local found = select(2, helper.shell "find lua -name '*.lua' ! -path '*/cli/*'")
    for path in found:gmatch "[^\n]+" do
      local name = helper.read(path):match "\n%-%- @%a*mod%a* (%S+)"
      assert.truthy(name, path .. " has no @module")
      assert.truthy(index:find('.html">' .. name .. "</a>", 1, true), name)
    end
    assert.truthy(helper.read("build/docs/classes/moonrank.Trainer.html"):find("Trainer:step", 1,
      true))
  end)
end)
