--- Read data sets in their own layouts by the fields files beside this program.
--
--     luajit examples/layouts/load.lua DIR
--
-- DIR holds the files that they name, itself or in its folders; those that are not there are passed
-- over. Of each that is there a line says how many rows it has, and how many of them are 1.
local here = arg[0]:match "^(.*/)" or ""
package.path = here .. "../../lua/?.lua;" .. here .. "../../lua/?/init.lua;" .. package.path
local lfs = require "lfs"
local config = require "moonrank.config"
local mr = require "moonrank"
local path_of = require "moonrank.path"
local sorted_keys = require "moonrank.sorted_keys"

if #arg ~= 1 then
  io.stderr:write "usage: luajit examples/layouts/load.lua DIR\n"
  os.exit(2)
end

-- The folder of a file: DIR or one in it.
local function find(name)
  for entry in lfs.dir(arg[1]) do
    local folder = path_of.join(arg[1], entry)
    if entry ~= ".." and lfs.attributes(path_of.join(folder, name), "mode") == "file" then
      return folder
    end
  end
end

local function count_ones(labels, n)
  local ones = 0
  for i = 0, n - 1 do ones = ones + (labels[i] == 1 and 1 or 0) end
  return ones
end

local cache = assert(path_of.temporary_folder())
local ok, message = pcall(function()
  for _, file in ipairs(path_of.glob(here .. "fields_*.yaml")) do
    local fields = assert(config.fields(file))
    local folder = find(fields.data.train)
    if folder then
      local data = mr.dataset(file, { set = { "data.root=" .. folder, "data.cache=" .. cache } })
      local parts, split = {}, data.train
      for i, task in ipairs(sorted_keys(fields.label)) do
        parts[i] = ("%s %d"):format(task, count_ones(split:labels(task), split:samples()))
      end
      print(("%-28s %6d rows, %d fields, ones: %s"):format(path_of.base(file), split:samples(),
        #fields.fields, table.concat(parts, ", ")))
      data:close()
    else
      print(("%-28s %s is not there"):format(path_of.base(file), fields.data.train))
    end
  end
end)
path_of.remove_folder(cache)
if not ok then
  io.stderr:write(("load: %s\n"):format((tostring(message):gsub("^[^\n]-%.lua:%d+: ", ""))))
  os.exit(1)
end
