--- A look at the data of a fields file before training: surveys of its splits, findings, and the
-- memory that a training will take.
-- @module moonrank.check
local check_columns = require "moonrank.check_columns"
local check_findings = require "moonrank.check_findings"
local config_split = require "moonrank.config_split"
local Dataset = require "moonrank.dataset"
local KeyCounts = require "moonrank.key_counts"
local lfs = require "lfs"
local path_of = require "moonrank.path"

local M = {}

local SPLITS = { "train", "valid", "test" }
-- What changes values on their way into the cache.
local CHANGES = { "normalize", "clip", "buckets", "transform", "values", "unseen" }

-- Crosses have the parts that they have, but numbers that are read as they are written have no
-- buckets: fields of other names have these, which are in no report.
local function keep_buckets(copy, values)
  local fields, hidden = {}, {}
  for _, field in ipairs(values.fields) do fields[field.name] = field end
  local function part_of(name)
    if not fields[name].buckets then return name end
    local one, other = {}, name .. ":buckets"
    if hidden[other] then return other end
    for key, value in pairs(fields[name]) do one[key] = value end
    one.name, one.table, hidden[other] = other, other, true
    copy.fields[#copy.fields + 1] = one
    copy.tables[other] = { dim = values.tables[fields[name].table].dim, min_count = 1 }
    return other
  end
  for i, field in ipairs(values.fields) do
    local cross = {}
    for k, name in ipairs(field.cross or {}) do cross[k] = part_of(name) end
    if field.cross then copy.fields[i].cross = cross end
  end
  return hidden
end

-- The configuration that reads numbers as they are written and keeps every value, and the names of
-- its fields that are not asked for.
local function bare(values, cache)
  local copy = {}
  for key, value in pairs(values) do copy[key] = value end
  local function plain(field)
    local one = {}
    for key, value in pairs(field) do one[key] = value end
    for _, key in ipairs(CHANGES) do one[key] = nil end
    if field.type == "number" then
      one.transform, one.missing = "none", check_columns.EMPTY
    end
    return one
  end
  copy.fields, copy.tables, copy.data = {}, {}, {}
  for i, field in ipairs(values.fields) do copy.fields[i] = plain(field) end
  if values.sequences then
    copy.sequences = {}
    for i, sequence in ipairs(values.sequences) do
      local one = { of = {} }
      for key, value in pairs(sequence) do if key ~= "of" then one[key] = value end end
      for name, member in pairs(sequence.of) do one.of[name] = plain(member) end
      copy.sequences[i] = one
    end
  end
  for name, t in pairs(values.tables) do
    local one = {}
    for key, value in pairs(t) do one[key] = value end
    one.min_count = 1
    copy.tables[name] = one
  end
  for key, value in pairs(values.data) do copy.data[key] = value end
  copy.data.cache = cache
  return copy, keep_buckets(copy, values)
end

-- By table its distinct keys that come min_count times or more, which all have a row after a
-- training unless they are admitted by count; and where either is so, how often keys come.
local function rows_of_tables(values, survey, split)
  local counts, rows = {}, {}
  for _, c in ipairs(survey.columns) do
    if c.keys then
      local own = values.tables[c.table]
      if own.min_count > 1 or own.admit then
        counts[c.table] = counts[c.table] or KeyCounts.new(1048576)
        counts[c.table]:merge(c.keys)
      end
      rows[c.table] = own.min_count == 1 and split:distinct(c.table)
        or counts[c.table]:distinct(own.min_count)
    end
  end
  for _, field in ipairs(values.fields) do
    -- All buckets have a code, and so has "missing".
    if field.buckets then rows[field.table] = tonumber(field.buckets:match "%d+") + 1 end
    if field.values then rows[field.table] = math.max(rows[field.table], #field.values) end
  end
  return rows, counts
end

--- Look at the data.
-- @tparam table values  a resolved fields configuration
-- @tparam[opt] table options  pool; places: of the values, for messages; progress: told a split's
-- name and rows of batches as they are looked at; reading: told a split's name before it is read
-- @treturn ?table names (of the splits there are), surveys by name (moonrank.check_columns),
-- findings (moonrank.check_findings), table_rows (after a training, by table),
-- table_counts (KeyCounts by table, where keys have rows by their counts)
-- @treturn ?string what is wrong
function M.look(values, options)
  options = options or {}
  local folder = path_of.new(values.data.cache, "check-") -- for caches that nobody else has
  local config, hidden = bare(values, folder)
  local data, message = Dataset.open(config, { pool = options.pool, places = options.places })
  if not data then return nil, message end
  local report = { names = {}, surveys = {} }
  local ok, trouble = pcall(function()
    for _, name in ipairs(SPLITS) do
      if config_split.has(values, name) then
        if options.reading then options.reading(name) end
        local split, wrong = data:split(name)
        if not split then return wrong end
        report.names[#report.names + 1] = name
        report.surveys[name] = check_columns.survey(split, { schema = data.schema,
          hidden = hidden, train = report.surveys.train, pool = data.pool,
          progress = options.progress })
      end
    end
    report.cache_bytes = 0
    for entry in lfs.dir(folder) do
      local file = lfs.attributes(folder .. "/" .. entry)
      if file.mode == "file" then report.cache_bytes = report.cache_bytes + file.size end
    end
    report.table_rows, report.table_counts = rows_of_tables(values, report.surveys.train,
      data.splits.train)
  end)
  data:close()
  path_of.remove_folder(folder)
  if not ok then error(trouble, 0) end
  if trouble then return nil, trouble end
  local fields = {}
  for _, field in ipairs(values.fields) do fields[field.name] = field end
  for _, sequence in ipairs(values.sequences or {}) do
    for name, member in pairs(sequence.of) do fields[sequence.name .. "." .. name] = member end
  end
  report.findings = check_findings.find(report.surveys, report.names, fields,
    require "moonrank.config_reference".key "fields.normalize" ~= nil)
  return report
end

return M
