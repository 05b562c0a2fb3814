--- What the name of a column tells: whose it is, what it holds, whether it is an outcome.
-- @module moonrank.guess_names
local M = {}

local function set(text)
  local words = {}
  for word in text:gmatch "%S+" do words[word] = true end
  return words
end

-- The label of clicks, most telling first; then what else a row may end in.
local LABELS = { "click", "clicked", "is click", "is clicked", "clk", "clicks", "label", "y",
  "target", "ctr", "like", "is like", "conversion", "purchase", "rating" }
local OUTCOMES = set [[click clicks clicked clk purchase purchased buy bought conversion converted
  convert cvr pay paid order ordered cart like liked follow followed forward comment share hate
  install watch dwell play finish]]
-- An outcome by these words too: "play_time", "watch_ratio", "is_like", "long_view".
local MEASURES = set "time ms ratio rate duration seconds stay"

local SIDES = {
  user = set [[user uid userid member customer visitor audience age gender sex occupation job zip
    zipcode education marital income register fans friend reader viewer cookie]],
  ad = set [[ad ads adid aid item items itemid iid goods sku product prod video videos vid news
    movie movies film song track artist book author advertiser brand brands cate cates category
    categories subcategory genre genres tag tags price campaign adgroup creative shop seller title
    keyword music doc document poi merchant candidate]],
  context = set [[hour day weekday week month daytime time position pos rank page scene site app
    device os network net ip browser platform channel query city country province region location
    weather holiday isweekend weekend session slot placement tab connection conn]],
}

local ID_ENDS = set "id ids code type key hash idx index no"
local NUMBERS = set [[num number count cnt counts price amount duration ms sec seconds rate ratio
  ctr cvr score scores pv uv len length size width height days gap distance qty quantity sum avg
  mean std min max percent pct budget bid balance revenue likes views fans]]
local TIMES = set "time timestamp ts date datetime dt"
local REQUESTS = set [[request requestid req rid search searchid session sessionid impression
  impressionid qid query]]
local LISTS = set [[hist history seq sequence list behavior behaviour behaviors behaviours past
  recent]]

--- The words of a name, in lower case: "userAge_days" has user, age, days.
-- @tparam string name
-- @treturn {string,...}
function M.words(name)
  local spaced, words = name:gsub("(%l)(%u)", "%1 %2"):lower(), {}
  for word in spaced:gmatch "%a+" do words[#words + 1] = word end
  return words
end

local function any(words, known)
  for _, word in ipairs(words) do
    if known[word] then return word end
  end
end

--- How good a name this is for the label of clicks: 1 is best; nil where it is none.
function M.label(name)
  local text = table.concat(M.words(name), " ")
  for i, label in ipairs(LABELS) do
    if text == label then return i end
  end
end

--- Whether a column says what came of the row: as a field it would tell the label.
-- @tparam string name
-- @tparam boolean binary  it holds nothing but 0 and 1
function M.is_outcome(name, binary)
  local words = M.words(name)
  local word = any(words, OUTCOMES)
  if not word or any(words, LISTS) then return false end
  if words[#words] == "id" or words[#words] == "ids" then return false end
  local first = words[1] == "is" and words[2] or words[1]
  return (binary and OUTCOMES[first] and #words <= 2)
    or #words == 1 and not word:find "s$"
    or OUTCOMES[first] and any(words, MEASURES) ~= nil
    or any(words, set "stay") ~= nil
end

--- Whose a column is by its name: "user", "ad" or "context", and the word that says so; nil where
-- no word does.
function M.side(name)
  for _, word in ipairs(M.words(name)) do
    for _, side in ipairs { "user", "ad", "context" } do
      if SIDES[side][word] then return side, word end
    end
  end
end

--- Whether the name says that whole numbers are names of things.
function M.is_id(name)
  local words = M.words(name)
  local last = words[#words]
  return last ~= nil and (ID_ENDS[last] or last == "uid" or last:find "..id$" ~= nil)
end

--- Whether the name says that numbers are amounts.
function M.is_number(name) return any(M.words(name), NUMBERS) ~= nil end

--- Whether the name is that of a time.
function M.is_time(name) return any(M.words(name), TIMES) ~= nil end

--- Whether the name is that of what a request's rows share.
function M.is_request(name)
  local words = M.words(name)
  if not any(words, REQUESTS) then return false end
  local last = words[#words]
  return last == "id" or last == "rid" or last == "qid" or last:find "..id$" ~= nil
    or #words == 1 and (last == "request" or last == "req")
end

--- Whether the name is that of a user's id.
function M.is_user(name)
  local text = table.concat(M.words(name), " ")
  return text == "user id" or text == "userid" or text == "uid" or text == "user"
    or text == "member id" or text == "customer id" or text == "visitor id"
end

--- Whether the name is that of a history.
function M.is_list(name) return any(M.words(name), LISTS) ~= nil end

--- Whether two names share a word that says something.
function M.share(a, b)
  local words, common = {}, false
  local function stem(word) return (word:gsub("s$", "")) end
  for _, word in ipairs(M.words(a)) do words[stem(word)] = true end
  for _, word in ipairs(M.words(b)) do
    word = stem(word)
    common = common or #word > 1 and words[word] and not ID_ENDS[word] and not LISTS[word] or false
  end
  return common
end

return M
