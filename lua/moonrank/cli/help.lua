--- moonrank help: what commands there are, how each is used, every configuration key and op.
local M = {
  name = "help",
  summary = "list the commands, or explain one",
  usage = [[
usage: moonrank help [COMMAND]
       moonrank help config [KEY | --markdown]
       moonrank help ops [--markdown]

Without a name, lists the commands. `help config` explains every key of the fields file and the
experiment file, `help config train.optimizer` one of them and those below it; `help ops` what a
model script can call; with --markdown as the pages docs/config.md and docs/ops.md.
]],
}

local REFERENCES = { config = "moonrank.config_reference", ops = "moonrank.ops_reference" }

--- The list of commands, as text.
function M.overview()
  local cli = require "moonrank.cli"
  local lines = { "usage: moonrank COMMAND [ARGUMENTS]", "" }
  for _, name in ipairs(cli.commands()) do
    lines[#lines + 1] = ("  %-10s  %s"):format(name, cli.command(name).summary)
  end
  lines[#lines + 1] = ""
  lines[#lines + 1] = "moonrank help COMMAND explains a command, moonrank help config the files,"
  lines[#lines + 1] = "moonrank help ops what a model script can call."
  return table.concat(lines, "\n") .. "\n"
end

function M.run(args)
  local cli = require "moonrank.cli"
  local topic, option = args[1], args[2]
  if REFERENCES[topic] and #args <= 2 and (option == nil or option == "--markdown") then
    local reference = require(REFERENCES[topic])
    io.write(option and reference.markdown() or reference.text())
  elseif topic == "config" and #args == 2 and option:sub(1, 1) ~= "-" then
    local text, message = require(REFERENCES.config).key(option)
    if not text then cli.usage_error("%s", message) end
    io.write(text)
  elseif #args > 1 then
    cli.usage_error('unexpected argument "%s"; try: moonrank help', args[2])
  elseif topic then
    local usage = cli.command(topic).usage
    if type(usage) == "function" then usage = usage() end
    io.write(usage, usage:sub(-1) == "\n" and "" or "\n")
  else
    io.write(M.overview())
  end
  return 0
end

return M
