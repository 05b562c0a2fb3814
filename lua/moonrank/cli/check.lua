--- moonrank check: data held against its fields file before anything is trained.
local M = { name = "check", summary = "look at the data of a fields file: figures and findings" }

local function parser()
  local args = require "moonrank.args"
  local p = args.parser("check", "Look at all data of a fields file, or of an experiment's.", [[
Prints of each column what share is empty, how many different values there are, how long lists are
and the AUC that it has alone, for each label; of other data than train, what share of the values
train lacks; the share of ones over ten equal parts of the file; with an experiment, the memory that
its training will take; and then what is worth a word, the gravest first, with what to do about it.
Figures are exact, but: after ~ they are of a fair sample of the values, where a column has over a
million of them (fewer where there are many columns), and the AUC is of up to 200,000 rows. The data
is read into a column cache of its own, which is removed. Exit status 0 whatever is found.]])
  p:argument("config", "a fields file or an experiment file"):argname "CONFIG"
  args.add_set(p)
  p:flag("--json", "print one JSON object instead")
  p:option("--threads", "threads to use; default: one per CPU"):argname "N"
  p:flag("--quiet", "print no progress")
  return p
end

function M.usage() return require "moonrank.args".help(parser()) end

-- Whether a file says what data is, rather than what to run.
local function is_fields_file(path, cli)
  local root = cli.need(require "moonrank.yaml".read(path))
  local index = root.index or {}
  return index.data ~= nil or index.label ~= nil
    or index.fields ~= nil and index.fields.node.type == "list"
end

-- Lengths at the shares of rows that are shown.
local function lengths_of(c)
  local lengths = {}
  for i, p in ipairs { 0.5, 0.9, 0.99, 1 } do
    lengths[i] = require "moonrank.check_columns".length(c, p)
  end
  return lengths
end

local function share(part, all) return all > 0 and ("%.1f %%"):format(100 * part / all) or "-" end

local function table_of(survey, is_train)
  local grouped = require "moonrank.progress".grouped
  local widest = 5
  local function number(name) -- of a column
    return function(c)
      return c.number and require "moonrank.check_columns".text_of_number(c.number[name], c,
        survey.times) or "-"
    end
  end
  for _, c in ipairs(survey.columns) do widest = math.max(widest, #c.name) end
  local function lengths(c)
    return c.lengths and table.concat(lengths_of(c), "/") or "-"
  end
  local columns = {
    { "field", "%s", function(c) return c.name end, width = widest },
    { "type", "%s", function(c) return c.type end, width = 6 },
    { "empty", "%7s", function(c) return share(c.empty, c.rows) end, width = 7 },
    { "different", "%9s", function(c)
      return c.keys and (c.keys:exact() and "" or "~") .. grouped(c.keys:distinct()) or "-"
    end, width = 9 },
    { "length 50/90/99/100 %", "%21s", lengths },
    { "least", "%10s", number "min", width = 10 },
    { "mean", "%10s", number "mean", width = 10 },
    { "most", "%10s", number "max", width = 10 },
  }
  if is_train then
    local tasks = require "moonrank.sorted_keys"(survey.tasks)
    for _, task in ipairs(tasks) do
      columns[#columns + 1] = { #tasks > 1 and "AUC of " .. task or "AUC alone", "%.4f",
        function(c) return c.aucs[task] end }
    end
  else
    columns[#columns + 1] = { "not in train", "%12s", function(c)
      return c.looked and (c.looked > 0 and share(c.unseen, c.looked) or "-") or "-"
    end }
  end
  return require "moonrank.report_table".new(columns)
end

local function print_label(survey)
  for _, name in ipairs(require "moonrank.sorted_keys"(survey.tasks)) do
    local task, parts = survey.tasks[name], {}
    for i, part in ipairs(task.parts) do
      parts[i] = part.n > 0 and ("%.1f"):format(100 * part.positives / part.n) or "-"
    end
    print(("label %s: %s ones; over ten equal parts of the file, in %%: %s"):format(name,
      share(task.positives, task.n), table.concat(parts, " ")))
  end
end

local function print_times(survey)
  local times = survey.times
  if not times then return end
  local function text(time)
    local number, date = require "moonrank.check_columns".text_of_time(time, times)
    return date or number
  end
  print(("times: %s to %s"):format(text(times.min), text(times.max)))
end

local function print_memory(parts)
  local function mb(bytes) return require "moonrank.progress".grouped(math.ceil(bytes / 2 ^ 20)) end
  print(("memory of a training: about %s MB: weights %s, tables %s, batches %s, figures %s, the "
    .. "program %s, and the mapped cache %s, which the system takes back when it needs to"):format(
    mb(parts.total), mb(parts.weights), mb(parts.tables), mb(parts.batches),
    mb(parts.figures), mb(parts.process), mb(parts.cache)))
end

local ALIKE = 10 -- findings of one kind that are told one by one, where there are many more

-- The columns of findings of one kind behind those that are told, in the order of the fields file.
local function rest_of(findings, kind)
  local list, n = {}, 0
  for _, finding in ipairs(findings) do
    if finding.kind == kind then
      n = n + 1
      if n > ALIKE then list[#list + 1] = finding end
    end
  end
  table.sort(list, function(a, b) return a.place < b.place end)
  for i, finding in ipairs(list) do list[i] = finding.field end
  return list
end

-- The gravest first; of a kind that many columns have the rest together.
local function print_findings(findings)
  local counts, n = {}, 0
  for _, finding in ipairs(findings) do
    local kind = finding.kind
    local count, rest = (counts[kind] or 0) + 1, rest_of(findings, kind)
    counts[kind] = count
    if count <= ALIKE or #rest <= 2 then
      n = n + 1
      print(("%2d. %s: %s; %s"):format(n, kind, finding.text, finding.advice))
    elseif count == ALIKE + 1 then
      n = n + 1
      print(("%2d. %s: %d more columns have it: %s; --json tells of each"):format(n, kind, #rest,
        table.concat((require "moonrank.name_ranges".compress(rest)), ", ")))
    end
  end
end

local function print_report(report)
  local grouped = require "moonrank.progress".grouped
  for _, name in ipairs(report.names) do
    local survey = report.surveys[name]
    print(("%s: %s rows, %s requests"):format(name, grouped(survey.rows), grouped(survey.requests)))
    print_label(survey)
    print_times(survey)
    local lines = table_of(survey, name == "train")
    print(lines.heading())
    for _, c in ipairs(survey.columns) do print(lines.row(c)) end
    print ""
  end
  if report.memory then
    print_memory(report.memory)
    print ""
  end
  if #report.findings == 0 then print "nothing found that is worth a word" end
  print_findings(report.findings)
end

-- Plain tables, without what JSON has no word for.
local function plain(report)
  local json = require "moonrank.json"
  local out = { splits = {}, findings = {}, memory = report.memory }
  for _, name in ipairs(report.names) do
    local survey, columns, tasks = report.surveys[name], {}, {}
    for i, c in ipairs(survey.columns) do
      local one = { name = c.name, type = c.type, rows = c.rows, empty = c.empty,
        aucs = next(c.aucs) and c.aucs, looked = c.looked, unseen = c.unseen }
      if c.keys then one.distinct, one.exact = c.keys:distinct(), c.keys:exact() end
      if c.number and c.number.n > 0 then
        local s = c.number
        local deviation = math.sqrt(s.m2 / s.n)
        one.min, one.max, one.mean, one.deviation = s.min, s.max, s.mean, deviation
        one.skewness = deviation > 0 and s.m3 / s.n / deviation ^ 3 or 0
      end
      if c.lengths then one.lengths = lengths_of(c) end
      columns[i] = one
    end
    for task, figures in pairs(survey.tasks) do tasks[task] = figures end
    out.splits[name] = { rows = survey.rows, requests = survey.requests, columns = columns,
      tasks = tasks }
  end
  for i, f in ipairs(report.findings) do
    out.findings[i] = { kind = f.kind, field = f.field, text = f.text, advice = f.advice,
      weight = f.weight }
  end
  return json.defined(out)
end

function M.run(words)
  local cli = require "moonrank.cli"
  local args = require "moonrank.args"
  local options = args.parse(parser(), words)
  local config = require "moonrank.config"
  local threads = args.whole("--threads", options.threads, 1, 256)
  local progress = require "moonrank.progress".new { quiet = options.quiet or options.json }
  local values, places, configuration
  if is_fields_file(options.config, cli) then
    values, places = config.fields(options.config, options.set)
    cli.need(values, places)
  else
    configuration = cli.need(config.experiment(options.config, options.set))
    values, places = configuration.fields, configuration.fields_places
  end
  local pool = require "moonrank.pool".new(threads)
  local opened
  if configuration then -- first, so that what is wrong with it is told at once
    opened = require "moonrank.experiment".without_data(configuration,
      require "moonrank.schema".new(values).fields, pool.threads)
  end
  local report = cli.need(require "moonrank.check".look(values, { pool = pool, places = places,
    reading = function(name) progress:note(("reading the %s data ..."):format(name)) end }))
  progress:clear()
  if opened then report.memory = require "moonrank.check_memory".forecast(opened, report) end
  if options.json then
    print(require "moonrank.json".encode(plain(report)))
  else
    print_report(report)
  end
  return 0
end

return M
