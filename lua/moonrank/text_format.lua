--- How the engine is to read text files.
-- @module moonrank.text_format
local mr = require "moonrank.ffi"

local M = {}

local FORMATS = {
  csv = { delimiter = (","):byte(), quotes = 1 },
  tsv = { delimiter = ("\t"):byte(), quotes = 0 },
}

--- The format of files.
-- @tparam table data  `format`, and of files without a header `columns`, as in a configuration
-- @treturn table `struct`, an mr_text_format, valid while the table is held
function M.new(data)
  local format = { struct = mr.new("mr_text_format", FORMATS[data.format]) }
  if data.columns then
    format.columns = data.columns
    format.names = mr.new("const char *[?]", #data.columns, data.columns)
    format.struct.names, format.struct.n_names = format.names, #data.columns
  end
  return format
end

return M
