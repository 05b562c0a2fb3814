-- For LuaRocks, in the folder of the sources: luarocks make --deps-mode=none
-- (or without the option, where the rocks of the dependencies can be had).
rockspec_format = "3.0"
package = "moonrank"
version = "0.1.0-1"

-- Needed in every rockspec; `make` takes the sources from the folder that it is called in.
source = { url = "git+file://." }

description = {
  summary = "Trains models of click-through rates and predicts with them",
  license = "MIT",
}

dependencies = { "lua == 5.1", "argparse", "lua-cjson", "luafilesystem", "lyaml" }

build = {
  type = "make",
  build_target = "build",
  install_target = "install-rock",
  -- LuaRocks moves the modules and the command into its tree afterwards. The engine lies among the
  -- modules and is moved with them.
  install_variables = {
    PREFIX = "$(PREFIX)",
    BINDIR = "$(BINDIR)",
    LUADIR = "$(LUADIR)",
    LIBDIR = "$(LUADIR)/moonrank",
  },
}

-- The command starts LuaJIT and finds its modules itself; a wrapper would start LuaRocks' own Lua.
deploy = { wrap_bin_scripts = false }
