--- busted output for tools/test: the plain one, and the counts "passed failed skipped" written to
-- the file named by -Xoutput when the suite has ended. A file that does not load counts as failed.
local busted = require "busted"
local plain = require "busted.outputHandlers.plainTerminal"

return function(options)
  local handler = plain(options)
  busted.subscribe({ "suite", "end" }, function()
    local file = assert(io.open(options.arguments[1], "w"))
    file:write(("%d %d %d\n"):format(handler.successesCount,
      handler.failuresCount + handler.errorsCount, handler.pendingsCount))
    file:close()
    return nil, true
  end)
  return handler
end
