-- Every key that moonrank.config_keys describes, made wrong in every way: what is said has the
-- place of the mistake, the key, what was found and what is allowed. Places are counted here, in
-- files that are written line by line.
local config = require "moonrank.config"
local config_keys = require "moonrank.config_keys"
local helper = require "helper"

-- ---- files in which everything is right ----

local sample

local function required(description, indent, lines, except, kind)
  for _, key in ipairs(description.keys) do
    if key.required and key.name ~= except then
      lines[#lines + 1] = ("%s%s: %s"):format(indent, key.name,
        key.name == "type" and kind or sample(key))
    end
  end
end

-- A value that is allowed, as YAML on one line.
function sample(description)
  local kind = description.type
  if kind == "either" then return sample(description.forms[1]) end
  if kind == "text" or kind == "any" then return "a" end
  if kind == "word" then return description.words[1] end
  if kind == "boolean" then return "true" end
  if kind == "whole" or kind == "number" then
    return ("%.10g"):format(description.default or description.min or description.max or 1)
  end
  if kind == "pick" then return description.keys[1].name end
  if kind == "list" then return ("[%s]"):format((sample(description.of))) end
  if kind == "named" then return ("{x: %s}"):format((sample(description.of))) end
  local parts = {}
  for _, key in ipairs(description.keys) do
    if key.required then parts[#parts + 1] = key.name .. ": " .. sample(key) end
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

-- The steps from a file's root to every key: { description =, name = } where `name` is nil for an
-- item of a list and "x" for one with a free name.
local function each_key(description, steps, visit)
  if description.type == "list" or description.type == "named" then
    local inner = { unpack(steps) }
    inner[#inner + 1] = { name = description.type == "named" and "x" or nil,
      description = description.of }
    return each_key(description.of, inner, visit)
  end
  for _, form in ipairs(description.forms or {}) do each_key(form, steps, visit) end
  for _, key in ipairs(description.keys or {}) do
    local inner = { unpack(steps) }
    inner[#inner + 1] = { name = key.name, description = key, parent = description }
    visit(inner)
    each_key(key, inner, visit)
  end
end

local function path_of(steps)
  local path = ""
  for _, step in ipairs(steps) do
    if not step.name then
      path = path .. "[1]"
    else
      path = path == "" and step.name or path .. "." .. step.name
    end
  end
  return path
end

-- Lines of a file that is right down to the key of the last step, what its line begins with, and
-- the column of the key.
local function written(steps)
  local lines, indent, dash = {}, "", ""
  local kind = steps[#steps].description.only and steps[#steps].description.only[1]
  for i, step in ipairs(steps) do
    if step.parent and step.parent.type ~= "pick" then
      local own = #lines
      required(step.parent, indent, lines, step.name, kind)
      if dash ~= "" and #lines > own then -- the first line of an item
        lines[own + 1] = indent:sub(1, -3) .. "- " .. lines[own + 1]:sub(#indent + 1)
        dash = ""
      end
    end
    if i == #steps then break end
    if not step.name then
      dash, indent = "- ", indent .. "  "
    else
      lines[#lines + 1] = (dash == "" and indent or indent:sub(1, -3) .. dash) .. step.name .. ":"
      dash, indent = "", indent .. "  "
    end
  end
  return lines, dash == "" and indent or indent:sub(1, -3) .. dash, #indent + 1
end

-- ---- what is said of a file ----

local function said(dir, lines, file)
  helper.write(dir .. "/x.yaml", table.concat(lines, "\n") .. "\n")
  helper.write(dir .. "/a", "data: {train: a.csv}\nlabel: a\n"
    .. "fields: [{name: a, side: user, type: id}]\n") -- what `fields: a` names
  local values, message = config[file == "experiment" and "experiment" or "fields"](
    dir .. "/x.yaml")
  assert.is_nil(values, table.concat(lines, "\n"))
  return (message:gsub("^" .. dir:gsub("%p", "%%%0") .. "/", ""))
end

-- Numbers that are next to those allowed.
local function outside(description)
  local list = {}
  if description.above then list[#list + 1] = description.above end
  if description.min then
    list[#list + 1] = description.min - math.max(1, math.abs(description.min))
  end
  if description.max then list[#list + 1] = description.max * 2 end
  list[#list + 1] = ".inf"
  if description.type == "whole" then list[#list + 1] = 1.5 end
  return list
end

for _, file in ipairs { "fields", "experiment" } do
  local root = config_keys[file]

  describe("in the " .. file .. " file", function()
    local dir
    setup(function() dir = helper.temp_dir() end)

    -- Every key once, with lines up to it.
    local function every(visit)
      local count = 0
      each_key(root, {}, function(steps)
        local last = steps[#steps]
        if last.name == "base" then return end -- read before all else
        local lines, start, column = written(steps)
        count = count + 1
        visit(steps, last, lines, start, column)
      end)
      assert.is_true(count > 20)
    end

    local function check(expected, lines, start, key, value)
      lines[#lines + 1] = ("%s%s: %s"):format(start, key, value)
      assert.equal(expected, said(dir, lines, file))
      lines[#lines] = nil
    end

    it("a value of the wrong kind is told at every key", function()
      every(function(steps, last, lines, start, column)
        local wrong, found = "[[]]", "a list"
        local forms = last.description.forms or { last.description }
        for _, form in ipairs(forms) do
          if form.type == "list" then wrong, found = "3", "3" end
        end
        for _, form in ipairs(forms) do -- nor a number, then
          if form.type == "whole" and wrong == "3" then wrong, found = "true", "true" end
        end
        check(("x.yaml:%d:%d: %s is %s, expected %s"):format(#lines + 1, column + #last.name + 2,
          path_of(steps), found, config.expected(last.description)), lines, start, last.name, wrong)
      end)
    end)

    it("a number that is out of range is told at every key", function()
      every(function(steps, last, lines, start, column)
        for _, form in ipairs(last.description.forms or { last.description }) do
          if form.type == "whole" or form.type == "number" then
            for _, value in ipairs(outside(form)) do
              value = tostring(value)
              check(("x.yaml:%d:%d: %s is %s, expected %s"):format(#lines + 1,
                column + #last.name + 2, path_of(steps), value,
                config.expected(last.description)), lines, start, last.name, value)
            end
          end
        end
      end)
    end)

    it("a misspelt key is told beside every key, with what was meant", function()
      every(function(steps, last, lines, start, column)
        if last.parent.open then return end -- the script's own options
        local parents = { unpack(steps, 1, #steps - 1) }
        local path = path_of(parents)
        check(('x.yaml:%d:%d: unknown key "%sq"%s; did you mean "%s"?'):format(#lines + 1, column,
          last.name, path == "" and "" or " in " .. path, last.name), lines, start,
          last.name .. "q", "1")
      end)
    end)

    it("a key given twice is told at every key, with its first line", function()
      every(function(_, last, lines, start, column)
        lines[#lines + 1] = ("%s%s: 1"):format(start, last.name)
        check(('x.yaml:%d:%d: key "%s" is given twice, first in line %d'):format(#lines + 1, column,
          last.name, #lines), lines, (start:gsub("-", " ")), last.name, "2")
        lines[#lines] = nil
      end)
    end)
  end)
end

describe("files that stand on each other", function()
  it("are eight at most", function()
    local dir = helper.temp_dir()
    for i = 1, 10 do
      helper.write(("%s/%d.yaml"):format(dir, i), ("base: %d.yaml\n"):format(i + 1))
    end
    local values, message = config.fields(dir .. "/1.yaml")
    assert.is_nil(values)
    assert.equal(dir .. "/9.yaml:1:7: more than 8 files stand on each other", message)
  end)
end)
