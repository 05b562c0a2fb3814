--- Scores and what they are judged by, cut into slices: figures of each scenario, for one.
--
-- Rows are a table { n, scores, labels, weights, groups } of FFI arrays; weights and groups may be
-- missing.
-- @module moonrank.scenarios
local mr = require "moonrank.ffi"

local M = {}

local TYPES = { scores = "float[?]", labels = "float[?]", weights = "float[?]",
  groups = "uint64_t[?]" }

-- Where the rows of each slice begin; starts[n_slices] is the end.
local function starts_of(slice_of, n, n_slices)
  local starts = mr.new("int64_t[?]", n_slices + 1)
  for i = 0, n - 1 do
    local slice = slice_of[i]
    if slice < 0 or slice >= n_slices then return nil end
    starts[slice + 1] = starts[slice + 1] + 1
  end
  for slice = 1, n_slices do starts[slice] = starts[slice] + starts[slice - 1] end
  return starts
end

local function sorted_copy(name, from, slice_of, n, starts, n_slices)
  local next_of = mr.new("int64_t[?]", n_slices + 1)
  mr.copy(next_of, starts, 8 * (n_slices + 1))
  local copy = mr.new(TYPES[name], math.max(n, 1))
  for i = 0, n - 1 do
    local slice = slice_of[i]
    copy[next_of[slice]] = from[i]
    next_of[slice] = next_of[slice] + 1
  end
  return copy
end

--- Cut rows into slices; within a slice they keep their order.
-- @tparam table rows
-- @param slice_of  integers from 0, one a row
-- @tparam integer n_slices
-- @treturn ?{table,...} rows of each slice, views of copies that live as long as any of them; nil
-- where `slice_of` has a number that is none
function M.cut(rows, slice_of, n_slices)
  local starts = starts_of(slice_of, rows.n, n_slices)
  if not starts then return nil end
  local copies, slices = {}, {}
  for name in pairs(TYPES) do
    if rows[name] ~= nil then
      copies[name] = sorted_copy(name, rows[name], slice_of, rows.n, starts, n_slices)
    end
  end
  for slice = 1, n_slices do
    local first = tonumber(starts[slice - 1])
    local one = { n = tonumber(starts[slice]) - first, copies = copies }
    for name, copy in pairs(copies) do one[name] = copy + first end
    slices[slice] = one
  end
  return slices
end

return M
