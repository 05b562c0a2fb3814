--- A trained model and the data to hold it against, for the commands eval and predict.
-- @module moonrank.model_data
local config = require "moonrank.config"
local config_split = require "moonrank.config_split"
local Dataset = require "moonrank.dataset"
local C = require "moonrank.ffi".C
local path_of = require "moonrank.path"
local Stream = require "moonrank.stream"
local text_format = require "moonrank.text_format"

local M = {}

--- Open a model.
-- @tparam string where  a run folder or a model file
-- @tparam table options  labels = false: for data that need not have labels; pool; set: overrides
-- of the run's fields file; progress: told how far the reading of text is
-- @treturn ?table { model =, file = of the model, fields = the run's fields configuration, or nil,
-- places = of its values, data = where the run's data is, or nil }
-- @treturn ?string what is wrong
function M.open(where, options)
  local lfs = require "lfs"
  local Model = require "moonrank.model"
  local file, message = Model.file(where)
  if not file then return nil, message end
  local folder = file == where and path_of.folder(where) or where
  local model
  model, message = Model.load(file)
  if not model then return nil, message end
  local opened = { model = model, file = file, pool = options.pool, labels = options.labels,
    progress = options.progress }
  -- A run folder has both files; a fields.yaml alone may be anybody's.
  local has_run = lfs.attributes(path_of.join(folder, "config.yaml"), "mode") == "file"
  local beside = path_of.join(folder, "fields.yaml")
  if has_run and lfs.attributes(beside, "mode") == "file" then
    local fields, places = config.fields(beside, options.set)
    if not fields then return nil, places end
    opened.fields, opened.data, opened.places = fields, fields.data, places
  elseif options.set and options.set[1] then
    return nil, ("--set %s: %s is not in a run folder, there is nothing to override"):format(
      options.set[1], file)
  end
  return opened
end

local function copy(map)
  local result = {}
  for key, value in pairs(map) do result[key] = value end
  return result
end

-- How files are read: in the format that the name tells, all else as the training data was.
local function text_of(path, opened)
  local text = config.text(opened.data or opened.model.fields_config.data)
  text.format = text_format.of_name(path) or text.format or "csv"
  if not text_format.has_cells(text.format) and not text_format.needs_columns(text.format) then
    text.columns = nil
  end
  text.root = "."
  if opened.data then
    text.bad_rows, text.bad_rows_limit = opened.data.bad_rows, opened.data.bad_rows_limit
  end
  return text
end

local function find_files(pattern)
  local paths = path_of.is_pattern(pattern) and path_of.glob(pattern) or { pattern }
  if #paths == 0 then return nil, ('no file matches "%s"'):format(pattern) end
  return paths
end

local function open_files(data, paths)
  local folder, trouble = path_of.temporary_folder()
  if not folder then return nil, trouble end
  local ok, split, message = pcall(data.open_files, data, paths, "data", { folder = folder })
  -- The cache stays readable while it is open; nothing is left behind, whatever happens.
  path_of.remove_folder(folder)
  if not ok then error(split, 0) end
  return split, message
end

--- Whether a name is that of a part of a run's data: all else is a path.
-- @tparam string what
-- @treturn boolean
function M.is_split(what) return what == "train" or what == "valid" or what == "test" end

local is_split = M.is_split

-- Data by the rules that the model was trained with.
local function describe(opened, what)
  local values = copy(opened.model.fields_config)
  if is_split(what) and not opened.data then
    return nil, ("%s does not say where the %s data is; name a file with --data"):format(
      opened.file, what)
  end
  values.data = is_split(what) and opened.data or text_of(what, opened)
  local data, message = Dataset.open(values, { pool = opened.pool, labels = opened.labels,
    places = opened.places, progress = opened.progress })
  if not data then return nil, message end
  local ok
  ok, message = data:fit(C.mr_graph_schema(opened.model.graph))
  if not ok then return nil, message end
  return data
end

local function absent(opened, what)
  local has = {}
  for _, name in ipairs { "train", "valid", "test" } do
    if config_split.has(opened, name) then has[#has + 1] = name end
  end
  return ("the run of %s has no %s data; name other data with --data: %s or a file"):format(
    opened.file, what, table.concat(has, ", "))
end

--- Open data for a model: a split of the run's own data, or files, whose cache is not kept.
-- @tparam table opened  as of open()
-- @tparam string what  train, valid, test, or a path or pattern
-- @treturn ?Split
-- @treturn ?string what is wrong
function M.split(opened, what)
  local data, message = describe(opened, what)
  if not data then return nil, message end
  if not is_split(what) then
    local paths, missing = find_files(what)
    if not paths then return nil, missing end
    return open_files(data, paths)
  end
  local split
  split, message = data:split(what)
  if not split then return nil, message or absent(opened, what) end
  return split
end

--- Open rows for a model that are read once: a split of the run's own data, or files, part by part.
-- @tparam table opened  as of open()
-- @tparam string what  train, valid, test, or a path or pattern
-- @treturn ?table with next(), bad_rows_line() and close(), as a Stream has them
-- @treturn ?string what is wrong
function M.stream(opened, what)
  if is_split(what) then
    local split, message = M.split(opened, what)
    return split and Stream.of_split(split), message
  end
  local data, message = describe(opened, what)
  if not data then return nil, message end
  local paths
  paths, message = find_files(what)
  if not paths then return nil, message end
  return data:stream_files(paths, "data")
end

return M
