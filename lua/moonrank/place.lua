--- Where this copy of moonrank lies. This file is that of a checkout; `make install` writes another
-- one, whose paths start from its own folder too, so that an installation can be moved as a whole.
-- @module moonrank.place
local M = {}

local root = debug.getinfo(1, "S").source:match "^@(.*)lua/moonrank/place%.lua$" or ""
if root == "./" then root = "" end -- paths in messages are as people write them

-- A build of another configuration (sanitizers) is chosen by MOONRANK_BUILD, for tests only.
local build = os.getenv "MOONRANK_BUILD" or root .. "build"

--- The folder of the library's Lua files, with a final slash.
M.modules = root .. "lua/moonrank/"
--- The folder of the models that come with it, with a final slash.
M.models = root .. "models/"
--- The engine.
M.library = build .. "/libmoonrank.so"
--- What the engine's header declares, for LuaJIT.
M.declarations = build .. "/moonrank_cdef.h"


--- What mends a missing or stale engine, for messages.
M.mend_engine = "run: make build"
--- What mends a missing Lua module, for messages.
M.mend_modules = "run: make setup"

return M
