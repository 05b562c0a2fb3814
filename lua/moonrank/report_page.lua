--- The page of a report: one HTML file with its pictures in it, that fetches nothing and runs
-- nothing; on light and on dark ground; every picture has a text and its numbers as a table.
-- @module moonrank.report_page
local report_table = require "moonrank.report_table"
local sorted_keys = require "moonrank.sorted_keys"
local svg = require "moonrank.svg"

local M = {}

local escape, figure = svg.escape, report_table.figure

local STYLE = [[
:root{color-scheme:light dark}
body{margin:0;font:16px/1.5 sans-serif;background:#fff;color:#24292f}
main{max-width:1320px;margin:0 auto;padding:16px}
h1{font-size:24px;margin:0}h2{font-size:18px;margin:32px 0 8px}p{margin:4px 0 12px}
.pictures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,350px),1fr));gap:20px}
.pictures+.pictures{margin-top:20px}figure{margin:0;min-width:0}
svg{display:block;max-width:100%;height:auto}
.wide{overflow-x:auto}summary{cursor:pointer;font-size:14px}
table{border-collapse:collapse;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:3px 10px;border-bottom:1px solid #d0d7de;text-align:right;white-space:nowrap}
th:first-child,td:first-child,.words th,.words td{text-align:left}
.words td{white-space:normal;overflow-wrap:anywhere}
pre{margin:4px 0 12px;font-size:14px;white-space:pre-wrap;overflow-wrap:anywhere}
tbody th{font-weight:normal}.differs th,.differs td{font-weight:bold}
@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}
th,td{border-color:#3d444d}}
]]

-- ---- tables ----

-- Cells are texts; the first column has the names of the rows. A wide one scrolls by itself.
local function table_of(label, headings, rows, class)
  local lines = { ('<div class="wide" role="region" aria-label="%s" tabindex="0"><table%s>'
    .. "<thead><tr>"):format(escape(label), class and (' class="%s"'):format(class) or "") }
  for _, heading in ipairs(headings) do
    lines[#lines + 1] = ('<th scope="col">%s</th>'):format(escape(heading))
  end
  lines[#lines + 1] = "</tr></thead><tbody>"
  for _, row in ipairs(rows) do
    lines[#lines + 1] = ("<tr%s>"):format(row.class and (' class="%s"'):format(row.class) or "")
    for i, cell in ipairs(row) do
      lines[#lines + 1] = (i == 1 and '<th scope="row">%s</th>' or "<td>%s</td>")
        :format(escape(cell))
    end
    lines[#lines + 1] = "</tr>"
  end
  lines[#lines + 1] = "</tbody></table></div>"
  return table.concat(lines) .. "\n"
end

-- `groups` are lists of runs, one for each task.
local function figures_table(groups)
  local rows, headings = {}, { "run", "model", "rows", "AUC", "GAUC", "logloss",
    "normalised entropy", "calibration", "calibration error", "dense weights" }
  if groups[1].task then table.insert(headings, 2, "task") end
  for _, runs in ipairs(groups) do
    for _, run in ipairs(runs) do
      local f = run.figures
      local row = { run.name, run.script, figure(f.rows, ","), figure(f.auc, "%.6f"),
        figure(f.gauc, "%.6f"), figure(f.logloss, "%.6f"), figure(f.normalised_entropy, "%.6f"),
        figure(f.calibration, "%.4f"), figure(run.reliability.calibration_error, "%.6f"),
        figure(run.parameters, ",") }
      if runs.task then table.insert(row, 2, runs.task) end
      rows[#rows + 1] = row
    end
  end
  return table_of("Figures", headings, rows)
end

-- Settings of all runs; where they differ first.
local function settings_table(runs)
  local all, headings = {}, { "setting" }
  for i, run in ipairs(runs) do
    headings[i + 1] = run.name
    for name in pairs(run.settings) do all[name] = true end
  end
  local differ, same = {}, {}
  for _, name in ipairs(sorted_keys(all)) do
    local row, equal = { name }, true
    for i, run in ipairs(runs) do
      row[i + 1] = run.settings[name] or "-"
      equal = equal and row[i + 1] == row[2]
    end
    row.class = not equal and "differs" or nil
    table.insert(equal and same or differ, row)
  end
  for _, row in ipairs(same) do differ[#differ + 1] = row end
  return table_of("Settings", headings, differ, "words")
end

-- ---- pictures ----

-- A picture with its numbers beneath.
local function add_picture(page, picture, headings, rows)
  page.count = page.count + 1
  picture.id = "p" .. page.count
  picture.title = (picture.panel or picture.bars).title
  local text = "<figure>\n%s<details><summary>Numbers: %s</summary>\n%s</details></figure>\n"
  page[#page + 1] = text:format(svg.figure(picture), escape(picture.title),
    table_of("Numbers: " .. picture.title, headings, rows))
end

-- "lr 0.681, fm 0.720" of a figure that each run has.
local function in_words(runs, get, format)
  local words = {}
  for i, run in ipairs(runs) do
    words[i] = ("%s %s"):format(run.name, figure(get(run), format or "%.4f"))
  end
  return table.concat(words, ", ")
end

-- A figure of an epoch, of the run's task where there are several.
local function epoch_value(run, epoch, part, name)
  local figures = epoch[part]
  if figures and figures.tasks then figures = figures.tasks[run.task] end
  return figures and figures[name]
end

-- "of buy" behind a title, where there are several tasks.
local function of_task(runs) return runs.task and " of " .. runs.task or "" end

-- One panel of curves over the epochs: of each run a series for each { part, name, title }.
local function add_curves(page, runs, title, unit, wanted)
  local series, headings, rows = {}, { "epoch" }, {}
  for _, run in ipairs(runs) do
    for _, want in ipairs(wanted) do
      local one = { name = (#runs > 1 and run.name or "") .. (want[3] or "") }
      for _, epoch in ipairs(run.epochs) do
        local value = epoch_value(run, epoch, want[1], want[2])
        if value then
          one[#one + 1] = { epoch.epoch, value }
          rows[epoch.epoch] = rows[epoch.epoch] or { tostring(epoch.epoch) }
          rows[epoch.epoch][#series + 2] = ("%.6f"):format(value)
        end
      end
      if #one > 0 then
        if one.name == "" then one.name = unit end
        series[#series + 1] = one
        headings[#series + 1] = one.name
      end
    end
  end
  if #series == 0 then return end
  local list = {}
  for _, number in ipairs(sorted_keys(rows)) do
    local row = rows[number]
    for i = 2, #headings do row[i] = row[i] or "-" end
    list[#list + 1] = row
  end
  add_picture(page, { description = ("%s by epoch: %s at the end."):format(unit,
      in_words(runs, function(run)
        local last = run.epochs[#run.epochs]
        return last and epoch_value(run, last, wanted[#wanted][1], wanted[#wanted][2])
      end)),
    panel = { title = title, x = { title = "epoch", tight = true, whole = true },
      y = { title = unit, tight = true }, series = series } }, headings, list)
end

local function add_validation(page, runs, unit)
  local title = (unit:gsub("^l", "L")) .. " of validation"
  if runs.task then title = ("%s: %s"):format(title, runs.task) end
  add_curves(page, runs, title, unit, { { "valid", unit:lower() } })
end

-- The loss of a training is that of all tasks together.
local function add_learning(page, groups)
  if #groups == 1 and #groups[1] == 1 then
    add_curves(page, groups[1], "Logloss by epoch", "logloss",
      { { "train", "logloss", "training" }, { "valid", "logloss", "validation" } })
  else
    add_curves(page, groups.runs, "Logloss of training", "logloss", { { "train", "logloss" } })
    for _, runs in ipairs(groups) do add_validation(page, runs, "logloss") end
  end
  for _, runs in ipairs(groups) do
    add_validation(page, runs, "AUC")
    add_validation(page, runs, "GAUC")
  end
end

local function add_roc(page, runs)
  local series, rows = {}, {}
  for i, run in ipairs(runs) do
    series[i] = run.roc
    if not run.roc[1] then return end -- clicks alone, or none
    run.roc.name, run.roc.plain = ("%s: %.4f"):format(run.name, run.figures.auc), true
    for k = 1, #run.roc, math.max(1, math.floor(#run.roc / 20)) do
      rows[#rows + 1] = { run.name, ("%.4f"):format(run.roc[k][1]),
        ("%.4f"):format(run.roc[k][2]) }
    end
  end
  add_picture(page, { description = "How many of the clicked rows lie above a score, by how many "
      .. "of the others do. The area beneath is the AUC: "
      .. in_words(runs, function(run) return run.figures.auc end) .. ".",
    panel = { title = "ROC and AUC" .. of_task(runs),
      x = { title = "share of rows without a click" },
      y = { title = "share of clicked rows" }, series = series, diagonal = true } },
    { "run", "without a click", "clicked" }, rows)
end

local function add_reliability(page, runs)
  local series, rows, least, most = {}, {}, math.huge, 0
  for i, run in ipairs(runs) do
    series[i] = { name = run.name }
    for k, bin in ipairs(run.reliability.bins) do
      series[i][k] = { bin.mean_probability, bin.mean_label, bin.low, bin.high }
      least, most = math.min(least, bin.low, bin.mean_probability), math.max(most, bin.high)
      rows[#rows + 1] = { run.name, ("%.6f"):format(bin.mean_probability),
        ("%.6f"):format(bin.mean_label), ("%.6f to %.6f"):format(bin.low, bin.high),
        figure(bin.rows, ",") }
    end
  end
  if #rows == 0 then return end
  local log = least > 0 and most > 10 * least or nil
  add_picture(page, { description = "The share of clicked rows by the probability predicted, in "
      .. "bins of equal count with 95 % intervals; on the dotted line they are equal. Expected "
      .. "calibration error: " .. in_words(runs, function(run)
        return run.reliability.calibration_error
      end) .. ".",
    panel = { title = "Reliability" .. of_task(runs), x = { title = "predicted", log = log },
      y = { title = "clicked", log = log }, series = series, diagonal = true } },
    { "run", "predicted", "clicked", "95 % interval", "rows" }, rows)
end

local function add_histogram(page, runs, run)
  if not run.histogram[1] then return end -- no row has a label
  local without, with, rows = { name = "not clicked", plain = true },
    { name = "clicked", plain = true }, {}
  for k, bin in ipairs(run.histogram) do
    for _, x in ipairs { bin[1], bin[2] } do -- steps
      without[#without + 1], with[#with + 1] = { x, bin[3] }, { x, bin[4] }
    end
    rows[k] = { ("%.4g to %.4g"):format(bin[1], bin[2]), ("%.5f"):format(bin[3]),
      ("%.5f"):format(bin[4]) }
  end
  add_picture(page, { description = "How the predictions for clicked rows and for others are "
      .. "spread: the share of each in forty equal steps.",
    panel = { title = "Predictions" .. of_task(runs) .. (#runs > 1 and ": " .. run.name or ""),
      x = run.histogram.log and { title = "predicted", log = true }
        or { title = "predicted", tight = true },
      y = { title = "share of rows" }, series = { without, with } } },
    { "predicted", "not clicked", "clicked" }, rows)
end

-- Bars of one number for each name; values[name][i] is that of run i.
local function add_bars(page, runs, picture)
  local names, rows, headings = {}, {}, { picture.what }
  for i, run in ipairs(runs) do names[i], headings[i + 1] = run.name, run.name end
  for k, bar in ipairs(picture.rows) do
    rows[k] = { bar.name }
    for i = 1, #runs do rows[k][i + 1] = bar[i] and picture.text(bar[i]) or "-" end
  end
  if #picture.rows == 0 then return end
  add_picture(page, { description = picture.description, bars = { title = picture.title,
    x = { title = picture.unit, from = picture.from, text = picture.text }, names = names,
    rows = picture.rows } }, headings, rows)
end

-- The rows of a picture of bars: names in the order of the first run, then those others add; what
-- is not a number in any run is left out.
local function bar_rows(runs, list_of, value_of)
  local rows, by_name = {}, {}
  for i, run in ipairs(runs) do
    for _, item in ipairs(list_of(run)) do
      local value = value_of(item)
      if value == value and math.abs(value) < math.huge then
        local row = by_name[item.name]
        if not row then
          row = { name = item.name }
          rows[#rows + 1], by_name[item.name] = row, row
        end
        row[i] = value
      end
    end
  end
  return rows
end

-- What the runs have slices by, in the order of the first that has it.
local function slice_fields(runs)
  local fields, seen = {}, {}
  for _, run in ipairs(runs) do
    for _, by in ipairs(run.by) do
      if not seen[by.field] then fields[#fields + 1], seen[by.field] = by.field, true end
    end
  end
  return fields
end

local function add_slices(page, runs, field)
  local function list_of(run)
    for _, by in ipairs(run.by) do
      if by.field == field then return by.slices end
    end
    return {}
  end
  add_bars(page, runs, { title = ("AUC%s by %s"):format(of_task(runs), field), what = field,
    unit = "AUC", from = 0.5,
    description = ("The AUC of the rows of each %s; bars begin at 0.5, which is chance.")
      :format(field),
    text = function(v) return ("%.4f"):format(v) end,
    rows = bar_rows(runs, list_of, function(s) return s.auc end) })
  add_bars(page, runs, { title = ("Calibration%s by %s"):format(of_task(runs), field),
    what = field, unit = "predicted / clicked", from = 1,
    description = ("Predicted by actual clicks of each %s; bars begin at 1, which is right.")
      :format(field),
    text = function(v) return ("%.3f"):format(v) end,
    rows = bar_rows(runs, list_of, function(s) return s.calibration end) })
end

local function add_tables(page, runs)
  add_bars(page, runs, { title = "Tables", what = "table", unit = "numbers", from = 0,
    description = "How many numbers each embedding table holds: its rows by their width.",
    text = svg.number, rows = bar_rows(runs, function(run) return run.tables end,
      function(t) return t.rows * t.width end) })
end

-- ---- the page ----

local function section(page, title, text)
  page[#page + 1] = ("<h2>%s</h2>\n<p>%s</p>\n"):format(escape(title), escape(text))
end

-- How the rows were split and sampled: once for all runs that have the same rules.
local function add_rules(page, runs)
  local blocks, by_text = {}, {}
  for _, run in ipairs(runs) do
    local text = table.concat(run.rules, "\n")
    if not by_text[text] then
      by_text[text] = {}
      blocks[#blocks + 1] = { text = text, names = by_text[text] }
    end
    table.insert(by_text[text], run.name)
  end
  if #blocks == 1 and blocks[1].text == "" then return end
  section(page, "Data", "How its rows were split and sampled.")
  for _, block in ipairs(blocks) do
    if #blocks > 1 then
      page[#page + 1] = ("<p>%s:</p>\n"):format(escape(table.concat(block.names, ", ")))
    end
    page[#page + 1] = ("<pre>%s</pre>\n"):format(escape(block.text == "" and "not said"
      or block.text))
  end
end

local function pictures(page, runs, ...)
  page[#page + 1] = '<div class="pictures">\n'
  for _, add in ipairs { ... } do add(page, runs) end
  page[#page + 1] = "</div>\n"
end

-- What the runs were judged on: "test of lr, fm".
local function data_in_words(runs)
  local same, words = true, {}
  for i, run in ipairs(runs) do
    same = same and run.data == runs[1].data
    words[i] = ("%s of %s"):format(run.data, run.name)
  end
  return same and runs[1].data or table.concat(words, ", ")
end

-- Lists of the runs as each task sees them; where one has several tasks, a list for each, in the
-- order in which they first come, else one.
local function by_task(runs)
  local groups, lists, several = { runs = runs }, {}, false
  for _, run in ipairs(runs) do several = several or #run.tasks > 1 end
  for _, run in ipairs(runs) do
    for _, task in ipairs(run.tasks) do
      local name = several and task.task or ""
      if not lists[name] then
        lists[name] = { task = several and name or nil }
        groups[#groups + 1] = lists[name]
      end
      local seen = {}
      for key, value in pairs(run) do seen[key] = value end
      for key, value in pairs(task) do seen[key] = value end
      table.insert(lists[name], seen)
    end
  end
  return groups
end

local function add_task(page, runs)
  section(page, "Ranking and calibration" .. of_task(runs), "On the data named above.")
  pictures(page, runs, add_roc, add_reliability, function()
    for _, run in ipairs(runs) do add_histogram(page, runs, run) end
  end)
  for i, field in ipairs(slice_fields(runs)) do
    if i == 1 then
      section(page, "Slices" .. of_task(runs), "Figures of the rows of each value alone.")
    end
    pictures(page, runs, function() add_slices(page, runs, field) end)
  end
end

--- The text of a report.
-- @tparam {table,...} runs  one to four of different names, as of report_data.read
-- @treturn string
function M.text(runs)
  local names, page, groups = {}, { count = 0 }, by_task(runs)
  for i, run in ipairs(runs) do names[i] = run.name end
  local title = "moonrank: " .. table.concat(names, ", ")
  page[1] = ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
    .. '<meta name="viewport" content="width=device-width, initial-scale=1">'
    .. "<title>%s</title>\n<style>%s%s</style></head>\n<body><main>\n<h1>%s</h1>\n<p>%s</p>\n")
    :format(escape(title), svg.style(), STYLE, escape(title),
      escape(("Data: %s. Numbers stand under each picture."):format(data_in_words(runs))))
  page[2] = figures_table(groups)
  add_rules(page, runs)
  section(page, "Learning", "After each epoch.")
  pictures(page, groups, add_learning)
  for _, task in ipairs(groups) do add_task(page, task) end
  section(page, "Size", "What the model files hold.")
  pictures(page, runs, add_tables)
  section(page, "Settings", #runs > 1 and "Those that differ come first, in bold."
    or "Of the experiment and its fields file, every default filled in.")
  page[#page + 1] = settings_table(runs)
  page[#page + 1] = "</main></body></html>\n"
  return table.concat(page)
end

return M
