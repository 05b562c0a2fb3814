--- Rows of Amazon Beauty, as S3-Rec has it: which product comes next, after which products.
--
--     luajit examples/beauty/prepare.lua --data DIR [--seed 1] [--max 100] [--out DIR]
--
-- DIR holds Beauty.txt and Beauty_item2attributes.json, plain or gzip. Rows go to data/beauty.
local here = arg[0]:match "^(.*/)" or ""
package.path = here .. "../../lua/?.lua;" .. here .. "../../lua/?/init.lua;" .. package.path
local json = require "moonrank.json"
local prepare = require "moonrank.prepare"

local COLUMNS = { "request_id", "user_id", "items", "items_attributes", "item_id", "attributes",
  "label" }

-- The attributes of each item, with commas between them.
local function read_attributes(folder)
  local text, path = prepare.read(folder, "Beauty_item2attributes.json")
  local attributes = {}
  for item, list in pairs(json.decode(text) or error(path .. " is not JSON", 0)) do
    attributes[item] = table.concat(list, ",")
  end
  return attributes
end

local function read_users(folder, attributes)
  local users, catalogue, seen = {}, {}, {}
  prepare.each_line(folder, "Beauty.txt", "^(%d+) ([%d ]+)$", function(id, list)
    local user = { id = id, items = {}, attributes = {} }
    for item in list:gmatch "%d+" do
      if not attributes[item] then error(("item %s has no attributes"):format(item), 0) end
      if not seen[item] then seen[item], catalogue[#catalogue + 1] = true, item end
      table.insert(user.items, item)
      table.insert(user.attributes, attributes[item])
    end
    users[#users + 1] = user
  end)
  return users, catalogue
end

prepare.main({ name = "beauty", summary = "Rows of Amazon Beauty with histories." },
  function(given)
    local attributes = read_attributes(given.data)
    local users, catalogue = read_users(given.data, attributes)
    return prepare.write_leave_last_out(given, COLUMNS, users, catalogue, function(user, k)
      return ("%s\t%s\t%s"):format(user.id, prepare.history(user.items, k - 1, given.max),
        prepare.history(user.attributes, k - 1, given.max))
    end, function(item) return item .. "\t" .. attributes[item] end)
  end)
