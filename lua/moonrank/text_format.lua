--- How the engine is to read text files.
-- @module moonrank.text_format
local path_of = require "moonrank.path"

local M = {}

local FORMATS = {
  csv = { delimiter = (","):byte(), quotes = 1 },
  tsv = { delimiter = ("\t"):byte(), quotes = 0 },
  libsvm = { layout = "MR_LIBSVM" },
  libffm = { layout = "MR_LIBFFM" },
}
local ENDINGS = { csv = "csv", tsv = "tsv", svm = "libsvm", libsvm = "libsvm", ffm = "libffm",
  libffm = "libffm" }

--- What the name of a file says.
-- @tparam string path
-- @treturn ?string csv, tsv, libsvm or libffm; nil where the name does not tell
function M.of_name(path) return ENDINGS[path_of.uncompressed(path):match "%.([^./]*)$"] end

--- Whether rows are pairs behind a label, and no columns have names.
function M.has_pairs(format) return FORMATS[format].layout ~= nil end

local held = setmetatable({}, { __mode = "k" }) -- what a format points into lives as long as it

--- The format of files.
-- @tparam table data  `format`, of files without a header `columns`, and `bad_rows` with their
-- limit, as in a configuration
-- @tparam[opt] table selection  the fields of an mr_selection: which rows are read
-- @return an mr_text_format
function M.new(data, selection)
  local mr = require "moonrank.ffi" -- names are known without the engine
  local format = mr.new "mr_text_format"
  for key, value in pairs(FORMATS[data.format]) do
    format[key] = key == "layout" and mr.C[value] or value
  end
  if data.bad_rows == "skip" then format.bad_rows = data.bad_rows_limit end
  if data.columns then
    local names = mr.new("const char *[?]", #data.columns, data.columns)
    format.names, format.n_names = names, #data.columns
    held[format] = { names, data.columns }
  end
  if selection then
    local rule = mr.new("mr_selection", selection)
    format.selection = rule
    held[format] = { held[format], rule, selection }
  end
  return format
end

return M
