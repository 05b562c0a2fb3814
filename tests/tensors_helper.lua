--- Files of tensors as docs/model_file.md describes them, read and written with nothing of the
-- engine: what its own reader must take, and whole files with true sums that it must refuse.
local cjson = require "cjson"
local ffi = require "ffi"
local helper = require "helper"
local json = require "moonrank.json"

local M = {}

M.SIZES = { F32 = 4, I64 = 8, I32 = 4, U8 = 1 }

-- The library of sums itself, by its own function that returns a struct.
local xxhash
local function sum_of(bytes, size)
  if not xxhash then
    ffi.cdef "typedef struct { uint64_t low64, high64; } XXH128_hash_t;"
    ffi.cdef "XXH128_hash_t XXH3_128bits(const void *data, size_t size);"
    local ok, library = pcall(ffi.load, "xxhash")
    xxhash = ok and library or ffi.load "libxxhash.so.0"
  end
  return xxhash.XXH3_128bits(bytes, size)
end

local function u64(number) return ffi.string(ffi.new("uint64_t[1]", number), 8) end

local function number_at(text, at)
  return tonumber(ffi.cast("const uint64_t *", ffi.cast("const char *", text) + at)[0])
end

--- A file as { metadata =, tensors = { { name =, dtype =, shape =, data = } ... } }, without its
-- fillers and sums.
function M.read(path)
  local text = helper.read(path)
  local length = number_at(text, 0)
  local header = cjson.decode(text:sub(9, 8 + length))
  local file = { metadata = header.__metadata__ or {}, tensors = {} }
  header.__metadata__ = nil
  for name, t in pairs(header) do
    if not name:find "^pad%d+$" and name ~= "sums" then
      table.insert(file.tensors, { name = name, dtype = t.dtype, shape = t.shape,
        at = t.data_offsets[1], data = text:sub(9 + length + t.data_offsets[1],
          8 + length + t.data_offsets[2]) })
    end
  end
  table.sort(file.tensors, function(a, b) return a.at < b.at or a.at == b.at and a.data == "" end)
  return file
end

--- The tensor of a name.
function M.find(file, name)
  for _, t in ipairs(file.tensors) do
    if t.name == name then return t end
  end
  error("there is no tensor " .. name)
end

-- The header's entry of a tensor that starts at an offset; cjson would order its keys anyhow.
local function entry(t, at)
  return ('%s:{"dtype":"%s","shape":%s,"data_offsets":[%d,%d]}'):format(cjson.encode(t.name),
    t.dtype, #t.shape == 0 and "[]" or cjson.encode(t.shape), at, at + #t.data)
end

--- Write a file with true sums, whatever it says.
-- @tparam string path
-- @tparam table file  as of read()
-- @treturn string path
function M.write(path, file)
  local entries, pieces, sums, at = { '"__metadata__":' .. json.encode(file.metadata) }, {}, {}, 0
  local function put(t, with_sum)
    entries[#entries + 1] = entry(t, at)
    pieces[#pieces + 1] = t.data
    at = at + #t.data
    if with_sum then
      local sum = sum_of(t.data, #t.data)
      sums[#sums + 1] = u64(sum.low64) .. u64(sum.high64)
    end
  end
  local function fill(with_sum)
    local gap = -at % 64
    if gap == 0 then return end
    put({ name = "pad" .. #pieces, dtype = "U8", shape = { gap }, data = ("\0"):rep(gap) },
      with_sum)
  end
  for _, t in ipairs(file.tensors) do
    fill(true)
    put(t, true)
  end
  fill(false)
  put({ name = "sums", dtype = "I64", shape = { 1 + #sums, 2 }, data = ("x"):rep(16 + 16 * #sums) })
  local header = "{" .. table.concat(entries, ",") .. "}"
  header = header .. (" "):rep(-(8 + #header) % 64)
  header = u64(#header) .. header
  local sum = sum_of(header, #header)
  pieces[#pieces] = u64(sum.low64) .. u64(sum.high64) .. table.concat(sums)
  return helper.write(path, header .. table.concat(pieces))
end

return M
