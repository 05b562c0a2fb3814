--- Paths of files: joining, naming, quoting, patterns; folders. No file is opened here.
-- @module moonrank.path
local lfs = require "lfs"

local M = {}

--- The folder of a path, "." for a bare name.
function M.folder(path)
  local folder = path:match "^(.*)/[^/]*$"
  if folder == "" then return "/" end
  return folder or "."
end

--- The last part of a path.
function M.base(path) return path:match "([^/]*)$" end

--- The name of a file without folder and ending: "din" of "examples/din.yaml".
function M.stem(path) return (M.base(path):gsub("(.)%.[^.]*$", "%1")) end

--- A path without the ending that says how the file is compressed.
function M.uncompressed(path)
  return (path:gsub("%.gz$", ""):gsub("%.zst$", ""):gsub("%.lz4$", ""))
end

--- A path as seen from a folder; absolute paths stay. "a/.." is left out unless `a` is a link.
function M.join(folder, path)
  local whole = path
  if path:sub(1, 1) ~= "/" and folder ~= "." then whole = folder:gsub("/$", "") .. "/" .. path end
  local absolute = whole:sub(1, 1) == "/"
  local parts = {}
  for part in whole:gmatch "[^/]+" do
    local above = (absolute and "/" or "") .. table.concat(parts, "/")
    local last = parts[#parts]
    if part == ".." and last and last ~= ".." and
        lfs.symlinkattributes(above, "mode") ~= "link" then
      parts[#parts] = nil
    elseif part == ".." and absolute and not last then
      parts[1] = nil -- the folder above the root is the root
    elseif part ~= "." then
      parts[#parts + 1] = part
    end
  end
  local joined = (absolute and "/" or "") .. table.concat(parts, "/")
  return joined == "" and "." or joined
end

--- A path from the root.
function M.absolute(path) return M.join(lfs.currentdir(), path) end

--- The path of a file as seen from a folder.
function M.relative(folder, path)
  local from, to = {}, {}
  for part in M.absolute(folder):gmatch "[^/]+" do from[#from + 1] = part end
  for part in M.absolute(path):gmatch "[^/]+" do to[#to + 1] = part end
  local same = 0
  while from[same + 1] and from[same + 1] == to[same + 1] do same = same + 1 end
  local parts = {}
  for _ = same + 1, #from do parts[#parts + 1] = ".." end
  for i = same + 1, #to do parts[#parts + 1] = to[i] end
  return #parts == 0 and "." or table.concat(parts, "/")
end

--- A word of a shell's command line that says exactly this text.
function M.quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

--- Make a folder and those above it.
-- @treturn ?boolean
-- @treturn ?string what is wrong
function M.make_folder(path)
  local mode = lfs.attributes(path, "mode")
  if mode == "directory" then return true end
  if mode then return nil, path .. ": Not a directory" end
  local above = M.folder(path)
  if above ~= path and above ~= "." then
    local made, message = M.make_folder(above)
    if not made then return nil, message end
  end
  local made, message = lfs.mkdir(path)
  if made or lfs.attributes(path, "mode") == "directory" then return true end
  return nil, ("%s: %s"):format(path, (message or "cannot be made"):gsub("^.-: ", ""))
end

local names_given = 0

-- A name that hardly anything else has: addresses are others in each process.
local function new_name()
  names_given = names_given + 1
  return ("moonrank-%x-%s-%d"):format(os.time(), tostring {}:match "0x0*(%x+)", names_given)
end

--- Make an empty folder of a name that nothing else has, among the system's temporary files: in the
-- folder TMPDIR, or /tmp.
-- @tparam[opt] string parent  in this folder instead, hidden
-- @treturn ?string
-- @treturn ?string what is wrong
function M.temporary_folder(parent)
  local folder = parent or os.getenv "TMPDIR" or "/tmp"
  for _ = 1, 100 do
    local path = M.join(folder, (parent and "." or "") .. new_name())
    local made, message = lfs.mkdir(path)
    if made then return path end
    if not lfs.attributes(path) then
      return nil, ("cannot make a folder in %s: %s"):format(folder, (message:gsub("^.-: ", "")))
    end
  end
  return nil, ("cannot make a folder in %s: every name is taken"):format(folder)
end

--- The path of a file or folder that is not there, in a folder that need not be there yet.
-- @tparam string folder
-- @tparam string first  what its name begins with
-- @treturn string
function M.new(folder, first) return M.join(folder, first .. new_name()) end

--- How large a file is.
-- @tparam string path
-- @treturn ?integer bytes
-- @treturn ?string what is wrong
function M.size(path)
  local size, message = lfs.attributes(path, "size")
  if not size then return nil, ("%s: %s"):format(path, (message:gsub("^.*: ", ""))) end
  return size
end

--- Remove a folder and the files in it (not folders in it).
function M.remove_folder(path)
  if lfs.attributes(path, "mode") ~= "directory" then return end
  for entry in lfs.dir(path) do
    if entry ~= "." and entry ~= ".." then os.remove(path .. "/" .. entry) end
  end
  lfs.rmdir(path)
end

--- The names of the Lua modules in a folder, sorted; none where there is no such folder.
-- @treturn {string,...}
function M.modules(folder)
  local names = {}
  if lfs.attributes(folder, "mode") ~= "directory" then return names end
  for entry in lfs.dir(folder) do names[#names + 1] = entry:match "^([%w_]+)%.lua$" end
  table.sort(names)
  return names
end

-- A shell pattern as a Lua pattern: * any text, ? one character, [a-z] one of a set.
local function lua_pattern(pattern)
  local out = pattern:gsub("[%^%$%(%)%%%.%+%-]", "%%%0"):gsub("%*", ".*"):gsub("%?", ".")
  out = out:gsub("%[!", "[^"):gsub("(%[[^%]]*%])", function(set) return (set:gsub("%%%-", "-")) end)
  return "^" .. out .. "$"
end

--- Whether a path holds pattern characters.
function M.is_pattern(path) return path:find "[*?%[]" ~= nil end

--- Whether a text, all of it, matches a shell pattern.
-- @tparam string text
-- @tparam string pattern
-- @treturn boolean
function M.matches(text, pattern) return text:find(lua_pattern(pattern)) ~= nil end

--- The files that match a shell pattern, sorted. Patterns stand in the last part only; names that
-- begin with a dot match only a pattern that does.
-- @tparam string pattern
-- @treturn {string,...} empty if none matches
function M.glob(pattern)
  local folder, last = M.folder(pattern), lua_pattern(M.base(pattern))
  local found = {}
  if lfs.attributes(folder, "mode") ~= "directory" then return found end
  for entry in lfs.dir(folder) do
    local hidden = entry:sub(1, 1) == "." and M.base(pattern):sub(1, 1) ~= "."
    local path = M.join(folder, entry)
    if not hidden and entry:find(last) and lfs.attributes(path, "mode") == "file" then
      found[#found + 1] = path
    end
  end
  table.sort(found)
  return found
end

return M
