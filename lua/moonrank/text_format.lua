--- How the engine is to read text files.
-- @module moonrank.text_format
local path_of = require "moonrank.path"

local M = {}

local FORMATS = {
  csv = { delimiter = (","):byte(), quotes = 1 },
  tsv = { delimiter = ("\t"):byte(), quotes = 0 },
  libsvm = { layout = "MR_LIBSVM" },
  libffm = { layout = "MR_LIBFFM" },
  jsonl = { layout = "MR_JSON" },
  pairs = { layout = "MR_PAIRS" },
}
local ENDINGS = { csv = "csv", tsv = "tsv", svm = "libsvm", libsvm = "libsvm", ffm = "libffm",
  libffm = "libffm", jsonl = "jsonl", ndjson = "jsonl" }

-- What stands between the values of a list of JSON lines, and of a list in it, unless a separator
-- is given: bytes that texts have none of.
M.LIST, M.INNER_LIST = "\31", "\30"

--- What the name of a file says.
-- @tparam string path
-- @treturn ?string csv, tsv, libsvm, libffm or jsonl; nil where the name does not tell
function M.of_name(path) return ENDINGS[path_of.uncompressed(path):match "%.([^./]*)$"] end

--- Whether rows are pairs behind a label, and no columns have names.
function M.has_pairs(format) return format == "libsvm" or format == "libffm" end

--- Whether the names of cells are those of data.columns alone.
function M.needs_columns(format) return format == "pairs" end

--- Whether rows are cells in an order, which a header or the configuration names.
function M.has_cells(format) return FORMATS[format].delimiter ~= nil end

--- A value of a configuration as files have it: whole numbers in all of their digits.
-- @tparam string|number value
-- @treturn string
function M.written(value) return type(value) == "number" and ("%d"):format(value) or value end

--- What fills up the lists of a field or sequence.
-- @tparam boolean has_lists  whether it has any
-- @tparam ?string|number own  its own padding
-- @tparam table defaults  of the fields file
-- @treturn ?string nil where there is none
function M.padding(has_lists, own, defaults)
  return has_lists and M.written(own or defaults.padding) or nil
end

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
