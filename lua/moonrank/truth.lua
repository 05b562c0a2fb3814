--- The true probabilities of a simulated log: what the best possible model would score.
--
-- DIR/truth/<split>.tsv.zst has a column `p`, row by row as DIR/<split>.tsv.zst. No model reads it.
-- @module moonrank.truth
local Dataset = require "moonrank.dataset"
local metric = require "moonrank.metric"
local path_of = require "moonrank.path"

local M = {}

-- The log's own columns that figures need when no fields file is at hand: docs/simulator.md.
local LABEL, GROUP = "click", "user_id"

local function configuration(root, fields, label, group)
  local tables = {}
  for _, field in ipairs(fields) do
    if field.table then tables[field.table] = { dim = 1, min_count = 1 } end
  end
  return { version = 1, data = { root = root, format = "tsv" }, fields = fields, tables = tables,
    label = label, group = group }
end

-- A file of the log as a split whose cache is in the temporary folder.
local function open_file(values, labels, path, folder, pool)
  local data, message = Dataset.open(values, { labels = labels, pool = pool })
  if not data then return nil, message end
  return data:open_files({ path }, path_of.stem(path), { folder = folder })
end

local function figures_of(p, split, pool)
  local labels, n, weights = split:labels(), split:samples(), split:weights()
  local figures, message = metric.logloss_of_probabilities(p, labels, n, pool.handle, weights)
  if not figures then return nil, message end
  figures.rows = n
  figures.auc, message = metric.auc(p, labels, n, pool.handle, weights)
  if not figures.auc then return nil, message end
  if split:groups() then
    local of_groups
    of_groups, message = metric.gauc(p, labels, split:groups(), n, pool.handle,
      weights)
    if not of_groups then return nil, message end
    figures.gauc, figures.groups = of_groups.gauc, of_groups.groups
  end
  return figures
end

--- The figures that the true probabilities reach on a split.
-- @tparam string dir  of the simulated log
-- @tparam string name  train-NN, valid or test
-- @param[opt] split  the split as a model sees it; default: read from the log
-- @tparam Pool pool
-- @treturn ?table logloss, auc, gauc, calibration, rows, groups
-- @treturn ?string what is wrong
function M.figures(dir, name, split, pool)
  local folder, trouble = path_of.temporary_folder()
  if not folder then return nil, trouble end
  local function steps()
    local path = ("%s/truth/%s.tsv.zst"):format(dir, name)
    local field = { name = "p", source = "p", side = "ad", type = "number", transform = "none",
      missing = 0 }
    local truth, message = open_file(configuration(dir, { field }, {}, nil), false, path, folder,
      pool)
    if not truth then return nil, message end
    if not split then
      local user = { name = GROUP, source = GROUP, side = "user", type = "id", table = GROUP }
      split, message = open_file(configuration(dir, { user }, { ctr = LABEL }, GROUP), true,
        ("%s/%s.tsv.zst"):format(dir, name), folder, pool)
      if not split then return nil, message end
    end
    if truth:samples() ~= split:samples() then
      return nil, ("%s has %d rows, the %s data has %d"):format(path, truth:samples(), name,
        split:samples())
    end
    local figures
    figures, message = figures_of(truth:floats "p", split, pool)
    truth:close()
    return figures, message
  end
  local ok, figures, message = pcall(steps)
  path_of.remove_folder(folder)
  if not ok then error(figures, 0) end
  return figures, message
end

return M
