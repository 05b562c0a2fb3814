--- The files of a simulated log. Formats: docs/simulator.md.
--
-- A file that cannot be written ends the whole run, so the functions here raise such troubles, as
-- { trouble = message }, and `simulator.run` hands the message to its caller.
-- @module moonrank.simulator.log_files
local lfs = require "lfs"
local make_folder = require "moonrank.path".make_folder
local sink = require "moonrank.sink"

local M = {}
M.__index = M

local REQUEST_COLUMNS = "request_id\ttime\tuser_id\tage\tgender\tscene\tquery\tclick_ads"
  .. "\tclick_cates"
local AD_COLUMNS = "ad_id\tcate\tbrand\tprice\tprice_level\tbid\ttitle"
local TRUTH_COLUMNS = "p\tcvr\tcold\n"

local PIECES_PER_WRITE = 4096

local function need(value, message)
  if value == nil then error({ trouble = message }, 0) end
  return value
end

--- A tab-separated file that collects pieces of text before it writes them.
local function open_table(path, header)
  return { sink = need(sink.open(path)), pieces = { header }, n = 1 }
end

local function put(file, text)
  local n = file.n + 1
  file.pieces[n], file.n = text, n
end

local function flush(file)
  need(file.sink:write(table.concat(file.pieces, "", 1, file.n)))
  file.n = 0
end

local function close_table(file)
  flush(file)
  need(file.sink:close())
end

--- The ad's part of a row, for every ad.
local function ad_rows(world)
  local rows = {}
  for a = 0, world.constants.ads - 1 do
    rows[a] = ("a%d\tc%d\tb%d\t%.2f\t%d\t%.3f\t%s"):format(a + 1, world.category[a] + 1,
      world.brand[a] + 1, world.price[a], world.price_level[a] + 1, world.bid[a], world.title[a])
  end
  return rows
end

--- The ends of rows: position, click, buy.
local function outcomes(max)
  local ends = {}
  for position = 1, max do
    ends[position] = {}
    for click = 0, 1 do
      for buy = 0, 1 do
        ends[position][2 * click + buy] = ("\t%d\t%d\t%d\n"):format(position, click, buy)
      end
    end
  end
  return ends
end

--- Files of a log in a folder, which is made if it is missing.
-- @tparam table world
-- @tparam string dir
-- @tparam number train_end  share of the log that is training data
-- @treturn table
function M.new(world, dir, train_end)
  for _, path in ipairs { dir, dir .. "/truth" } do
    need(make_folder(path))
  end
  local self = setmetatable({ world = world, dir = dir, open = {}, names = {},
    ad_rows = ad_rows(world), outcomes = outcomes(math.max(unpack(world.constants.shown))),
    ad_ids = {}, cate_ids = {}, cold = {}, prefix = "", prefix_of = -1 }, M)
  for a = 0, world.constants.ads - 1 do
    self.ad_ids[a], self.cate_ids[a] = "a" .. a + 1, "c" .. world.category[a] + 1
    self.cold[a] = world.launch[a] >= train_end and "\t1\n" or "\t0\n"
  end
  return self
end

--- Start a data file and its truth.
-- @tparam string name  as "train-00"
-- @tparam string columns  what follows the columns of request and ad
function M:start(name, columns)
  local ending = name .. ".tsv.zst"
  local header = ("%s\t%s%s\n"):format(REQUEST_COLUMNS, AD_COLUMNS, columns)
  local pair = {}
  self.open[name], self.names[ending] = pair, true
  pair.data = open_table(("%s/%s"):format(self.dir, ending), header)
  pair.truth = open_table(("%s/truth/%s"):format(self.dir, ending), TRUTH_COLUMNS)
end

--- Finish a data file and its truth.
function M:finish(name)
  close_table(self.open[name].truth)
  close_table(self.open[name].data)
  self.open[name] = nil
end

--- Give up all files that are open.
function M:abort()
  for _, pair in pairs(self.open) do
    for _, file in pairs(pair) do file.sink:abort() end
  end
end

local function list_text(ids, history, count)
  local parts = {}
  for k = 0, count - 1 do parts[k + 1] = ids[history[k]] end
  return table.concat(parts, ",")
end

--- The request's part of a row.
local function request_prefix(self, request)
  if self.prefix_of == request.number then return self.prefix end
  local c = self.world.constants
  self.prefix_of = request.number
  self.prefix = table.concat({ request.number + 1, request.time, "u" .. request.user + 1,
    c.ages[request.age + 1], c.genders[request.gender + 1], c.scenes[request.scene + 1],
    request.query, list_text(self.ad_ids, request.history, request.history_count),
    list_text(self.cate_ids, request.history, request.history_count) }, "\t") .. "\t"
  return self.prefix
end

local function put_row(self, pair, prefix, ad, ending, p, buy_p)
  local data, truth = pair.data, pair.truth
  put(data, prefix)
  put(data, self.ad_rows[ad])
  put(data, ending)
  put(truth, ("%.9g\t%.9g"):format(p, buy_p))
  put(truth, self.cold[ad])
end

--- Write out what has been collected, if it is much.
local function settle(pair)
  for _, file in pairs(pair) do
    if file.n > PIECES_PER_WRITE then flush(file) end
  end
end

--- Write the impressions of a request.
function M:write_shown(name, request)
  local pair, prefix = self.open[name], request_prefix(self, request)
  for k = 0, request.shown_count - 1 do
    put_row(self, pair, prefix, request.pool[k],
      self.outcomes[k + 1][2 * request.click[k] + request.buy[k]], request.p[k],
      request.buy_p[k])
  end
  settle(pair)
end

--- Write the candidates of a request that were drawn for the file of those not shown.
function M:write_unshown(request)
  local pair, prefix = self.open.unshown, request_prefix(self, request)
  local ending = ("\t%.9g\n"):format(request.unshown_probability)
  for k = 0, request.unshown_count - 1 do
    local ad = request.unshown[k]
    put_row(self, pair, prefix, ad, ending, request.probabilities(ad))
  end
  settle(pair)
end

--- Write every ad that could be shown in a request.
function M:write_candidates(request)
  local pair, prefix = self.open.candidates, request_prefix(self, request)
  local launch = self.world.launch
  for ad = 0, self.world.constants.ads - 1 do
    if launch[ad] <= request.moment then
      put_row(self, pair, prefix, ad, "\n", request.probabilities(ad))
    end
  end
  settle(pair)
end

--- Write a small file of lines.
-- @tparam string name  relative to the folder
-- @tparam {string,...} lines
function M:write_lines(name, lines)
  local file = open_table(("%s/%s"):format(self.dir, name), "")
  for _, line in ipairs(lines) do
    put(file, line)
    put(file, "\n")
  end
  close_table(file)
end

--- Write the pictures of all ads: the text format of word vectors.
function M:write_pictures()
  local world = self.world
  local n, width = world.constants.ads, world.constants.picture_width
  local lines = { ("%d %d"):format(n, width) }
  for a = 0, n - 1 do
    local parts = { self.ad_ids[a] }
    for k = 0, width - 1 do
      parts[k + 2] = ("%.4f"):format(world.picture[a * width + k])
    end
    lines[a + 2] = table.concat(parts, " ")
  end
  self:write_lines("images.vec", lines)
end

--- Remove the files of an older, longer log from the folder, so that a pattern such as
-- train-*.tsv.zst matches this log alone.
function M:remove_stale()
  for _, dir in ipairs { self.dir, self.dir .. "/truth" } do
    local stale = {}
    for entry in lfs.dir(dir) do
      local ours = entry:find "^train%-%d+%.tsv%.zst$" or entry == "candidates.tsv.zst"
      if ours and not self.names[entry] then stale[#stale + 1] = entry end
    end
    for _, entry in ipairs(stale) do os.remove(dir .. "/" .. entry) end
  end
end

return M
