--- The log of the simulated exchange, for programs that ask something of it. Where it is not there,
-- a program ends, and says in one line how it is made.
local mr = require "moonrank"

-- folder: this one, ending in a slash; root: of the log, default data/adworld.
return function(folder, root)
  local data = mr.dataset(folder .. "fields.yaml", { root = root })
  local _, missing = data:split "train"
  if missing then
    io.stderr:write(missing, "; to make the log: moonrank simulate --out ", data.config.data.root,
      "\n")
    os.exit(1, true) -- closes the state, and frees with it what is open
  end
  return data
end
