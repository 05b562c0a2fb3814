--- Rows of Amazon Grocery, as ReChorus has it: which product comes next, after which products.
--
--     luajit examples/grocery/prepare.lua --data DIR [--seed 1] [--max 100] [--out DIR]
--
-- DIR holds train.csv and item_meta.csv, plain or gzip. Rows go to data/grocery.
local here = arg[0]:match "^(.*/)" or ""
package.path = here .. "../../lua/?.lua;" .. here .. "../../lua/?/init.lua;" .. package.path
local prepare = require "moonrank.prepare"

local COLUMNS = { "request_id", "time", "user_id", "items", "items_cates", "item_id", "cate",
  "label" }

local function read(folder)
  local cates, users, by_id, catalogue, seen = {}, {}, {}, {}, {}
  prepare.each_line(folder, "item_meta.csv", "^(%d+)\t(%d+)\t",
    function(item, cate) cates[item] = cate end, 1)
  prepare.each_line(folder, "train.csv", "^(%d+)\t(%d+)\t(%d+)$", function(id, item, time)
    if not cates[item] then error(("item %s has no category"):format(item), 0) end
    if not by_id[id] then
      by_id[id] = { id = id, events = {}, items = {}, cates = {} }
      users[#users + 1] = by_id[id]
    end
    if not seen[item] then seen[item], catalogue[#catalogue + 1] = true, item end
    table.insert(by_id[id].events, { item = item, time = tonumber(time) })
  end, 1)
  for _, user in ipairs(users) do
    prepare.sort(user.events)
    for k, event in ipairs(user.events) do
      user.items[k], user.cates[k] = event.item, cates[event.item]
    end
  end
  return users, catalogue, cates
end

prepare.main({ name = "grocery", summary = "Rows of Amazon Grocery with histories." },
  function(given)
    local users, catalogue, cates = read(given.data)
    return prepare.write_leave_last_out(given, COLUMNS, users, catalogue, function(user, k)
      return ("%d\t%s\t%s\t%s"):format(user.events[k].time, user.id,
        prepare.history(user.items, k - 1, given.max),
        prepare.history(user.cates, k - 1, given.max))
    end, function(item) return item .. "\t" .. cates[item] end)
  end)
