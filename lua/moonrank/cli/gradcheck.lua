--- moonrank gradcheck: whether the gradients of a model script are those of its forward pass.
local M = { name = "gradcheck", summary = "check the gradients of a model script" }

local function parser()
  local args = require "moonrank.args"
  local p = args.parser("gradcheck", "Check a script's gradients against differences of its loss.",
    [[
The graph gets a random batch, random rows and random weights; dropout and batch norm work as in
training. Each dense weight and each part of a table, then all together, is moved along random
directions: "backward" is the slope that its gradient gives, "forward" the slope of the loss itself,
both where they are furthest apart; "error" is relative, over all directions. Exit status 1 when one
is above 0.01.]])
  p:argument("script", "a name in models/, or the path of a .lua file"):argname "SCRIPT"
  p:option("--set", "an option of the script, such as hidden=[16,8]"):argname "OPTION=VALUE"
    :count "*"
  p:option("--fields", "the fields file whose fields the script sees; default: a small set of "
    .. "both sides and all types"):argname "FILE"
  p:option("--seed", "of everything random; default: 1"):argname "N"
  return p
end

function M.usage() return require "moonrank.args".help(parser()) end

-- The script's options: its defaults, and what --set gives.
local function options_of(script, texts)
  local cli, yaml = require "moonrank.cli", require "moonrank.yaml"
  local given, source = {}, {}
  for _, text in ipairs(texts) do
    local option = "--set " .. text
    local name, value = text:match "^([%w_]+)=(.*)$"
    if not name then
      cli.fail("%s: expected OPTION=VALUE, such as hidden=[16,8]", option)
    end
    given[name] = yaml.plain(cli.need(yaml.parse(value, "--set", option)))
    source[name] = option
  end
  local options, message, name = require "moonrank.script".options(script, given)
  if not options then cli.fail("%s: %s", source[name], message) end
  return options
end

local function verdict(group)
  if not group.ok then return "FAIL" end
  return group.faint and "PASS (within rounding)" or "PASS"
end

local function print_groups(result)
  local width = 0
  for _, group in ipairs(result.groups) do width = math.max(width, #group.name) end
  local report = require "moonrank.report_table".new {
    { "", "%s", function(g) return g.name end, width = width },
    { "numbers", ",", function(g) return g.numbers end, width = 9 },
    { "backward", "%.4e", function(g) return g.analytic end, width = 11 },
    { "forward", "%.4e", function(g) return g.numeric end, width = 11 },
    { "error", "%.1e", function(g) return g.error end, width = 7 },
    { "", "%s", verdict },
  }
  print(report.heading())
  for _, group in ipairs(result.groups) do print(report.row(group)) end
end

local function print_sum(result, tolerance)
  local failed = 0
  for _, group in ipairs(result.groups) do failed = failed + (group.ok and 0 or 1) end
  if failed == 0 then
    print(("PASS: every error is at most %g"):format(tolerance))
  else
    print(("FAIL: %d of %d errors are above %g"):format(failed, #result.groups, tolerance))
  end
end

function M.run(words)
  local cli, args = require "moonrank.cli", require "moonrank.args"
  local given = args.parse(parser(), words)
  local seed = args.whole("--seed", given.seed, 0, 2 ^ 53 - 1)
  local script = cli.need(require "moonrank.script".load(given.script))
  local options = options_of(script, given.set)
  local gradcheck = require "moonrank.gradcheck"
  local fields = given.fields and cli.need(require "moonrank.config".fields(given.fields))
  local result = cli.guard(gradcheck.check, script, { options = options, fields = fields,
    seed = seed })
  print(("model    %s (%s)"):format(script.name, script.path))
  print(("fields   %s"):format(given.fields or "the built-in set"))
  print(("batch    %d samples of %d requests, mean loss %.6f\n"):format(result.samples,
    result.requests, result.loss))
  print_groups(result)
  print ""
  print_sum(result, gradcheck.tolerance)
  return result.ok and 0 or 1
end

return M
