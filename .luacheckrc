std = "luajit"
max_line_length = 100
include_files = { "lua", "models", "examples/**/*.lua", "tests/**/*.lua", "bench/**/*.lua",
  "tools/*.lua", "moonrank", ".luacheckrc", "*.rockspec", ".busted", "config.ld" }
files["tests/**/*_spec.lua"] = { std = "+busted" }
files["tests/helper.lua"] = { std = "+busted" }
files["config.ld"] = { std = "+ldoc" }
