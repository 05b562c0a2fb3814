-- moonrank report: what the page says against loops over the text and against eval, and how it
-- looks in a browser, which measures every word of it on light and dark ground and in a narrow
-- window.
local helper = require "helper"
local json = require "moonrank.json"
local report_data = require "moonrank.report_data"
local report_page = require "moonrank.report_page"

local pool = require "moonrank.pool".new(2)

-- Labels, weights and probabilities of a file as typed commands see them: { { label, weight, p } }.
local function rows_of(run, file, weight_column)
  local scores = file .. ".scores"
  assert.equal(0, (helper.run(("predict %s --data %s --out %s"):format(run, file, scores))))
  local rows, next_line = {}, io.lines(file)
  next_line()
  for score in io.lines(scores) do
    local cells = {}
    for cell in (next_line() .. ","):gmatch "([^,]*)," do cells[#cells + 1] = cell end
    rows[#rows + 1] = { label = tonumber(cells[1]), p = tonumber(score),
      weight = weight_column and tonumber(cells[weight_column]) or 1 }
  end
  return rows
end

-- The shares of rows of a label at or above a probability, both by slow loops.
local function curve_at(rows, least)
  local above, all = { [0] = 0, [1] = 0 }, { [0] = 0, [1] = 0 }
  for _, row in ipairs(rows) do
    all[row.label] = all[row.label] + row.weight
    if row.p >= least then above[row.label] = above[row.label] + row.weight end
  end
  return above[0] / all[0], above[1] / all[1]
end

local function area_under(points)
  local area = 0
  for i = 2, #points do
    area = area + (points[i][1] - points[i - 1][1]) * (points[i][2] + points[i - 1][2]) / 2
  end
  return area
end

-- The first rows of a file in one of their own.
local function head_of(file, n)
  local lines = {}
  for line in io.lines(file) do
    lines[#lines + 1] = line
    if #lines > n then break end
  end
  return helper.write(file .. ".head.csv", table.concat(lines, "\n") .. "\n")
end

-- Texts of the cells of the table behind a summary, or of the first table: a list of lists.
local function table_in(page, summary)
  local from = summary and page:find("<summary>Numbers: " .. summary .. "</summary>", 1, true) or 1
  local rows = {}
  for row in page:match("<tbody>(.-)</tbody>", from):gmatch "<tr.->(.-)</tr>" do
    local cells = {}
    for cell in row:gmatch "<t[hd][^>]*>(.-)</t[hd]>" do cells[#cells + 1] = cell end
    rows[#rows + 1] = cells
  end
  return rows
end

-- A project with runs of lr and fm, and scenarios: the four quarters of the day.
local dir

setup(function()
  dir = helper.make_project {}
  helper.add_columns(dir, "part", function(line)
    return ("part %d"):format(line:match "^%d,[^,]+,[^,]+,[^,]+,(%d+)" / 6)
  end)
  local fields = helper.read(dir .. "/fields.yaml"):gsub("group: user", "%0\nscenario: part")
    :gsub("\ndata: {", "%0rules: [split  by chance, " .. ("rule " .. ("x"):rep(150)) .. "], ")
  helper.write(dir .. "/fields.yaml", fields)
  helper.make_runs(dir, "--set train.epochs=3")
end)

describe("the data of a report", function()
  it("has an ROC curve whose points are exact and whose area is the AUC", function()
    local run = assert(report_data.read(dir .. "/fm", { pool = pool })).tasks[1]
    local rows = rows_of(dir .. "/fm", dir .. "/test.csv")
    local levels, at = {}, {}
    for _, row in ipairs(rows) do levels[row.p] = true end
    for p in pairs(levels) do
      local x, y = curve_at(rows, p)
      at[("%.9f %.9f"):format(x, y)] = true
    end
    assert.is_true(#run.roc > 150)
    for i = 2, #run.roc do
      assert.is_true(at[("%.9f %.9f"):format(run.roc[i][1], run.roc[i][2])], "point " .. i)
    end
    assert.same({ { 0, 0 }, { 1, 1 } }, { run.roc[1], run.roc[#run.roc] })
    local auc = helper.evaluate(dir .. "/fm --data test").figures.auc
    assert.equal(auc, run.figures.auc)
    assert.is_true(math.abs(area_under(run.roc) - auc) < 1e-3)
    local few = head_of(dir .. "/test.csv", 120) -- a point for each score
    local exact = assert(report_data.read(dir .. "/fm", { pool = pool, data = few })).tasks[1]
    local auc_of_few = helper.evaluate(("%s/fm --data %s"):format(dir, few)).figures.auc
    helper.all_near({ auc_of_few }, { area_under(exact.roc) }, 1e-12)
  end)

  it("counts weights", function()
    local folder = helper.make_project { rows = 400 }
    helper.add_columns(folder, "w", function(_, i) return i % 3 end)
    helper.write(folder .. "/fields.yaml", (helper.read(folder .. "/fields.yaml")
      :gsub("group: user", "weight: w")))
    assert.equal(0, (helper.run(("train %s/lr.yaml --quiet --out %s/lr"):format(folder, folder))))
    local run = assert(report_data.read(folder .. "/lr", { pool = pool })).tasks[1]
    local rows, clicks = rows_of(folder .. "/lr", folder .. "/test.csv", 7), 0
    local auc = helper.evaluate(folder .. "/lr --data test").figures.auc
    helper.all_near({ auc }, { area_under(run.roc) }, 1e-9)
    for _, row in ipairs(rows) do clicks = clicks + row.label * row.weight end
    for _, bin in ipairs(run.histogram) do
      local with = 0
      for _, row in ipairs(rows) do
        if row.p > bin[1] * 1.00001 and row.p < bin[2] * 0.99999 then
          with = with + row.label * row.weight
        end
      end
      assert.is_true(bin[4] >= with / clicks - 1e-9)
    end
  end)

  it("has shares of rows in equal steps of the probability", function()
    local run = assert(report_data.read(dir .. "/lr", { pool = pool })).tasks[1]
    local rows, n, sums = rows_of(dir .. "/lr", dir .. "/test.csv"), { [0] = 0, [1] = 0 }, { 0, 0 }
    for _, row in ipairs(rows) do n[row.label] = n[row.label] + 1 end
    assert.equal(40, #run.histogram)
    for _, bin in ipairs(run.histogram) do
      for label = 0, 1 do
        local sure, maybe = 0, 0 -- inside, and where rounding decides
        for _, row in ipairs(rows) do
          if row.label == label and row.p > bin[1] - 1e-6 and row.p < bin[2] + 1e-6 then
            maybe = maybe + 1
            if row.p > bin[1] + 1e-6 and row.p < bin[2] - 1e-6 then sure = sure + 1 end
          end
        end
        local share = bin[3 + label] * n[label]
        assert.is_true(share > sure - 1e-9 and share < maybe + 1e-9)
        sums[label + 1] = sums[label + 1] + bin[3 + label]
      end
    end
    helper.all_near({ 1, 1 }, sums, 1e-9)
  end)

  it("is of the test data where there is some, else of the validation data", function()
    assert.equal("test", assert(report_data.read(dir .. "/lr", { pool = pool })).data)
    local folder = helper.make_project { rows = 200 }
    helper.write(folder .. "/fields.yaml", (helper.read(folder .. "/fields.yaml")
      :gsub(", test: test.csv", "")))
    assert.equal(0, (helper.run(("train %s/lr.yaml --quiet --out %s/lr"):format(folder, folder))))
    assert.equal("valid", assert(report_data.read(folder .. "/lr", { pool = pool })).data)
    helper.write(folder .. "/fields.yaml", (helper.read(folder .. "/fields.yaml")
      :gsub(", valid: valid.csv", "")))
    assert.equal(0, (helper.run(("train %s/lr.yaml --quiet --out %s/lr"):format(folder, folder))))
    local run = assert(report_data.read(folder .. "/lr", { pool = pool }))
    assert.equal("train", run.data)
    assert.truthy(report_page.text { run }:find("Logloss by epoch", 1, true))
  end)
end)

describe("moonrank report", function()
  local function report(arguments)
    local status, out, err = helper.run("report " .. arguments)
    assert.same({ 0, "" }, { status, err })
    return helper.read((out:gsub("\n$", ""))), (out:gsub("\n$", ""))
  end

  it("writes report.html into the run, with the figures that eval prints", function()
    local page, path = report(dir .. "/fm --by ad")
    assert.equal(dir .. "/fm/report.html", path)
    local of = helper.evaluate(dir .. "/fm --data test --bins 10 --by ad")
    local f = of.figures
    assert.same({ "fm", "fm", "500", ("%.6f"):format(f.auc), ("%.6f"):format(f.gauc),
      ("%.6f"):format(f.logloss), ("%.6f"):format(f.normalised_entropy),
      ("%.4f"):format(f.calibration), ("%.6f"):format(of.calibration_error) },
      { unpack(table_in(page)[1], 1, 9) })
    local bins = table_in(page, "Reliability")
    assert.equal(#of.bins, #bins)
    for i, bin in ipairs(of.bins) do
      assert.same({ "fm", ("%.6f"):format(bin.mean_probability), ("%.6f"):format(bin.mean_label),
        ("%.6f to %.6f"):format(bin.low, bin.high), tostring(bin.rows) }, bins[i])
    end
    local parts = table_in(page, "AUC by part")
    assert.equal(4, #parts)
    for i, part in ipairs(f.scenarios) do
      assert.same({ "part " .. i - 1, ("%.4f"):format(part.auc) }, parts[i])
    end
    local ads = table_in(page, "Calibration by ad")
    local slice = of.by[1].slices[1]
    assert.same({ slice.name, ("%.3f"):format(slice.calibration) }, ads[1])
    assert.equal(11, #ads) -- ten and the others
  end)

  it("has the epochs of metrics.jsonl, the sizes of the tables and the settings", function()
    local page = report(dir .. "/fm")
    local epochs = table_in(page, "Logloss by epoch")
    for i, line in ipairs(helper.figures(dir .. "/fm")) do
      if line.epoch then
        assert.same({ tostring(line.epoch), ("%.6f"):format(line.train.logloss),
          ("%.6f"):format(line.valid.logloss) }, epochs[i])
      end
    end
    assert.equal(3, #epochs)
    local names, numbers = {}, {}
    for i, row in ipairs(table_in(page, "Tables")) do
      names[i], numbers[i] = row[1], tonumber(row[2])
    end
    assert.same({ "user", "hour", "ad", "tags" }, names)
    -- 50 users, 24 hours, 30 ads, 5 + 2 tags, and a row for all others; a weight and 16 more.
    assert.same({ 51 * 17, 25 * 17, 31 * 17, 8 * 17 }, numbers)
    for name, value in pairs { ["train.optimizer.adam.lr"] = "0.01", ["data.test"] = "test.csv",
      ["defaults.dim"] = "4", ["fields.price"] =
        "{missing: 0, name: price, side: ad, source: price, transform: log1p, type: number}" } do
      assert.truthy(page:find(('<th scope="row">%s</th><td>%s</td>'):format(name, value), 1, true))
    end
  end)

  it("puts runs beside each other, those of one name by their folders", function()
    local page = report(("%s/lr %s/fm/ --out %s/two.html"):format(dir, dir, dir))
    for _, name in ipairs { "lr", "fm" } do
      local auc = helper.evaluate(("%s/%s --data test"):format(dir, name)).figures.auc
      assert.truthy(page:find((">%s: %.4f</text>"):format(name, auc), 1, true))
      assert.truthy(page:find(("<title[^>]*>Predictions: %s</title>"):format(name)))
    end
    assert.truthy(page:find('<tr class="differs"><th scope="row">model.script</th><td>lr</td>'
      .. "<td>fm</td></tr>", 1, true))
    assert.truthy(page:find('<tr><th scope="row">train.batch</th><td>256</td><td>256</td></tr>', 1,
      true))
    assert.equal(0, (helper.run(("train %s/lr.yaml --quiet --set defaults.dim=8 --out %s/other/lr")
      :format(dir, dir))))
    page = report(("%s/lr %s/other/lr --data valid"):format(dir, dir))
    assert.truthy(page:find("<th scope=\"col\">" .. dir .. "/other/lr</th>", 1, true))
    assert.truthy(page:find("<p>Data: valid.", 1, true))
    assert.truthy(page:find('<tr class="differs"><th scope="row">defaults.dim</th><td>4</td>'
      .. "<td>8</td></tr>", 1, true))
  end)

  it("tells how the rows were split and sampled, by data.split and data.rules", function()
    local folder = helper.make_project { rows = 200 }
    local fields = helper.read(folder .. "/fields.yaml")
    local function train(name, data)
      helper.write(folder .. "/fields.yaml", (fields:gsub("\ndata: {", "%0" .. data)))
      local status, _, err = helper.run(("train %s/lr.yaml --quiet --out %s/%s"):format(folder,
        folder, name))
      assert.same({ 0, "" }, { status, err })
    end
    helper.write(folder .. "/made.txt", "split  by hand, <2:1>\n\nrule   each row once\n")
    train("a", "rules: made.txt, ")
    train("b", "rules: made.txt, ")
    local by_hand = "<pre>split  by hand, &lt;2:1&gt;\nrule   each row once</pre>\n"
    local heading = "<h2>Data</h2>\n<p>How its rows were split and sampled.</p>\n"
    local page = report(("%s/a %s/b"):format(folder, folder))
    assert.truthy(page:find(heading .. by_hand .. "<h2>Learning", 1, true))
    train("none", "")
    fields = fields:gsub("valid: valid.csv, test: test.csv",
      "split: {by: random, valid: 0.2, test: 0.1}")
    train("c", "rules: [rule   drawn], ")
    page = report(("%s/a %s/none %s/b %s/c"):format(folder, folder, folder, folder))
    assert.truthy(page:find(heading .. "<p>a, b:</p>\n" .. by_hand .. "<p>none:</p>\n"
      .. "<pre>not said</pre>\n<p>c:</p>\n<pre>split  at random, seed 1: valid 20 %, test 10 %\n"
      .. "rule   drawn</pre>\n<h2>Learning", 1, true), page:match "<h2>Data.-<h2>")
    -- Nothing is known of a file's rows, and where there are no rules nothing is said.
    for _, words in ipairs { ("%s/a --data %s/test.csv"):format(folder, folder),
      folder .. "/none" } do
      assert.is_nil(report(words):find("<h2>Data", 1, true))
    end
    assert.equal(0, (helper.shell("rm " .. helper.quote(folder .. "/made.txt"))))
    local status, out, err = helper.run(("report %s/a"):format(folder))
    assert.same({ 1, "" }, { status, out })
    assert.equal(("data.rules: %s/made.txt: No such file or directory\n"):format(folder),
      err:match "^moonrank: [^\n]+/a/fields%.yaml:%d+:%d+: (.*)$")
  end)

  it("fetches nothing, and names in it stay names", function()
    local folder = dir .. '/a<b>&"c"'
    os.execute(("cp -R %s/lr '%s'"):format(dir, folder))
    local page = report(helper.quote(folder))
    assert.truthy(page:find("<h1>moonrank: a&lt;b&gt;&amp;&quot;c&quot;</h1>", 1, true))
    assert.is_nil(page:find("a<b>", 1, true))
    assert.is_nil(page:gsub('xmlns="http://www.w3.org/2000/svg"', ""):find "https?:")
    for _, word in ipairs { "<script", "<link", "<img", "url(", "@import", " src=", " href=" } do
      assert.is_nil(page:find(word, 1, true), word)
    end
  end)

  it("is the same for any number of threads", function()
    local one = report(dir .. "/fm --threads 1")
    assert.equal(one, (report(dir .. "/fm --threads 3")))
  end)

  it("says in one line what is wrong", function()
    local cases = {
      { 1, ("moonrank: %s/lr/model.mr/metrics.jsonl: Not a directory; a report is of run "
        .. "folders\n"):format(dir), "report %s/lr/model.mr" },
      { 1, 'moonrank: there is no field "adz" of one value a row; did you mean "ad"?\n',
        "report %s/lr --by adz" },
      { 2, "moonrank: 5 runs are given, expected 1 to 4\n", "report a b c d e" },
      { 2, 'moonrank: missing argument "runs"; try: moonrank help report\n', "report" },
    }
    for _, case in ipairs(cases) do
      assert.same({ case[1], "", case[2] }, { helper.run((case[3]:gsub("%%s", dir))) })
    end
  end)
end)

-- ---- in a browser ----

-- What the browser says of a page: scripts measure it and leave their result as its text.
local MEASURE = [=[
<script>
const out = { texts: 0, clipped: [], overlapping: [], faint: [], problems: [] };
function channels(text) { return text.match(/[\d.]+/g).slice(0, 3).map(Number); }
function luminance(text) {
  const [r, g, b] = channels(text).map(c => (c /= 255) <= 0.03928 ? c / 12.92
    : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function contrast(a, b) {
  const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p);
  return (x + 0.05) / (y + 0.05);
}
const ground = getComputedStyle(document.body).backgroundColor;
out.ground = luminance(ground);
for (const svg of document.querySelectorAll("svg")) {
  const name = svg.querySelector("title").textContent, frame = svg.getBoundingClientRect();
  const parsed = new DOMParser().parseFromString(svg.outerHTML, "image/svg+xml");
  if (parsed.querySelector("parsererror")) out.problems.push(name + ": not well-formed");
  if (svg.getAttribute("role") != "img") out.problems.push(name + ": no role");
  for (const id of svg.getAttribute("aria-labelledby").split(" "))
    if (!document.getElementById(id)?.textContent) out.problems.push(name + ": no text for it");
  if (!svg.closest("figure").querySelector("details table")) out.problems.push(name + ": no table");
  const paper = getComputedStyle(svg.querySelector(".ground")).fill;
  const boxes = [];
  for (const text of svg.querySelectorAll("text")) {
    const b = text.getBoundingClientRect(), words = name + ": " + text.textContent;
    out.texts++;
    if (b.width == 0 || b.left < frame.left - 0.5 || b.right > frame.right + 0.5
      || b.top < frame.top - 0.5 || b.bottom > frame.bottom + 0.5) out.clipped.push(words);
    if (contrast(getComputedStyle(text).fill, paper) < 7) out.faint.push(words);
    for (const [other, otherWords] of boxes)
      if (b.left < other.right - 1 && b.right > other.left + 1 && b.top < other.bottom - 3.5
        && b.bottom > other.top + 3.5) out.overlapping.push(words + " / " + otherWords);
    boxes.push([b, words]);
  }
  for (const line of svg.querySelectorAll(".line, g[class^=s] > rect")) {
    const style = getComputedStyle(line);
    if (contrast(line.matches(".line") ? style.stroke : style.fill, paper) < 3)
      out.faint.push(name + ": a series");
  }
}
for (const cell of document.querySelectorAll("h1, h2, p, pre, th, td, summary"))
  if (contrast(getComputedStyle(cell).color, ground) < 7) out.faint.push(cell.textContent);
const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
if (new Set(ids).size != ids.length) out.problems.push("an id is there twice");
out.wider = document.documentElement.scrollWidth - document.documentElement.clientWidth;
out.width = innerWidth;
out.fetched = performance.getEntriesByType("resource").length;
document.body.textContent = "MEASURED" + JSON.stringify(out) + "MEASURED";
</script>
]=]

local function chromium(arguments)
  local profile = helper.temp_dir()
  return helper.shell(("timeout 120 chromium --headless=new --no-sandbox --disable-gpu "
    .. "--disable-dev-shm-usage --no-first-run --disable-background-networking "
    .. "--hide-scrollbars --user-data-dir=%s %s"):format(profile, arguments))
end

-- The page in a frame of a width, measured.
local function measure(page, width, dark)
  local folder = helper.temp_dir()
  helper.write(folder .. "/page.html", (page:gsub("</body>", function()
    return MEASURE .. "</body>"
  end)))
  local _, out = chromium(("--window-size=%d,900 %s --dump-dom file://%s/page.html"):format(width,
    dark and "--blink-settings=preferredColorScheme=0" or "", folder))
  local text = out:match "MEASURED({.*})MEASURED"
  assert.truthy(text, "chromium said nothing")
  text = text:gsub("&lt;", "<"):gsub("&gt;", ">"):gsub("&amp;", "&")
  return assert(json.decode(text))
end

-- A project with runs "a" and "b" of two tasks: click, and of clicks buy.
local HEADS = [[
return {
  name = "heads",
  options = { hidden = { 8 } },
  build = function(m, opt)
    local x = m:mlp(m:inputs(), { hidden = opt.hidden })
    for _, task in ipairs(m:task_names()) do m:task(task, m:dense(x, { out = 1 })) end
  end,
}
]]
local function make_tasks()
  local folder, random = helper.make_project { rows = 600 }, helper.random(3)
  helper.add_columns(folder, "buy", function(line)
    return line:sub(1, 1) == "1" and tostring(random(2) - 1) or ""
  end)
  helper.write(folder .. "/fields.yaml", (helper.read(folder .. "/fields.yaml")
    :gsub("label: click", "label: [click, buy]"):gsub("group: user", "%0\nscenario: hour")))
  helper.write(folder .. "/heads.lua", HEADS)
  helper.write(folder .. "/heads.yaml", "fields: fields.yaml\nmodel: {script: heads.lua}\n"
    .. "train: {batch: 64, epochs: 2}\n")
  for name, hidden in pairs { a = 8, b = 4 } do
    assert.equal(0, (helper.run(("train %s/heads.yaml --quiet --out %s/%s "
      .. "--set 'model.hidden=[%d]'"):format(folder, folder, name, hidden))))
  end
  return folder
end

describe("moonrank report of several tasks", function()
  local folder = make_tasks()
  local path = folder .. "/two.html"

  it("has the figures and pictures of each", function()
    local status, _, err = helper.run(("report %s/a %s/b --out %s"):format(folder, folder, path))
    assert.same({ 0, "" }, { status, err })
    local page = helper.read(path)
    local rows, of = table_in(page), {}
    for _, run in ipairs { "a", "b" } do of[run] = helper.evaluate(folder .. "/" .. run).figures end
    local expected = {}
    for _, task in ipairs { "buy", "click" } do
      for _, run in ipairs { "a", "b" } do
        local f = of[run].tasks[task]
        expected[#expected + 1] = { run, task, "heads", tostring(f.rows), ("%.6f"):format(f.auc) }
      end
      for _, title in ipairs { "AUC of validation: " .. task, "Logloss of validation: " .. task,
        "ROC and AUC of " .. task, "Reliability of " .. task, ("Predictions of %s: b"):format(task),
        ("AUC of %s by hour"):format(task), ("Calibration of %s by hour"):format(task) } do
        assert.truthy(page:find(("Numbers: %s</summary>"):format(title), 1, true), title)
      end
      for i, line in ipairs(table_in(page, "AUC of validation: " .. task)) do
        assert.same({ tostring(i), ("%.6f"):format(helper.figures(folder .. "/a")[i].valid
          .tasks[task].auc) }, { line[1], line[2] })
      end
    end
    for i, row in ipairs(rows) do rows[i] = { unpack(row, 1, 5) } end
    assert.same(expected, rows)
    assert.equal(1, select(2, page:gsub("<summary>Numbers: Logloss of training</summary>", "")))
  end)

  it("leaves out the pictures of a task that has no label there", function()
    local lines = {}
    for line in io.lines(folder .. "/test.csv") do
      lines[#lines + 1] = #lines == 0 and line or line:gsub("[^,]*$", "")
    end
    helper.write(folder .. "/clicks.csv", table.concat(lines, "\n") .. "\n")
    local status, _, err = helper.run(("report %s/a --data %s/clicks.csv"):format(folder, folder))
    assert.same({ 0, "" }, { status, err })
    local page = helper.read(folder .. "/a/report.html")
    assert.truthy(page:find("Numbers: Reliability of click<", 1, true))
    for _, title in ipairs { "ROC and AUC", "Reliability", "Predictions" } do
      assert.is_nil(page:find(("Numbers: %s of buy<"):format(title), 1, true))
    end
  end)

  for _, case in ipairs { { "light", 1300, false }, { "dark and narrow", 500, true } } do
    it("is legible in a browser: " .. case[1], function()
      local m = measure(helper.read(path), case[2], case[3])
      assert.same({ {}, {}, {}, {} }, { m.problems, m.clipped, m.overlapping, m.faint })
      assert.same({ case[2], 0, 0 }, { m.width, m.wider, m.fetched })
    end)
  end
end)

describe("in a browser", function()
  local page, path

  setup(function()
    path = dir .. "/three.html"
    os.execute(("cp -R %s/fm %s/'another model, of a long name'"):format(dir, dir))
    assert.equal(0, (helper.run(("report %s/lr %s/fm %s/'another model, of a long name' --by hour "
      .. "--by user --out %s"):format(dir, dir, dir, path))))
    page = helper.read(path)
  end)

  for _, case in ipairs { { "light", 1300, false }, { "dark", 1300, true },
    { "narrow", 500, true } } do
    it("the page is legible, whole and complete: " .. case[1], function()
      local m = measure(page, case[2], case[3])
      assert.same({ {}, {}, {}, {} }, { m.problems, m.clipped, m.overlapping, m.faint })
      assert.equal(case[3], m.ground < 0.1)
      assert.same({ case[2], 0, 0 }, { m.width, m.wider, m.fetched })
      assert.is_true(m.texts > 200)
    end)
  end

  it("is drawn, and looks different on dark ground", function()
    local sizes = {}
    for i, dark in ipairs { "", "--blink-settings=preferredColorScheme=0" } do
      local picture = ("%s/page%d.png"):format(dir, i)
      chromium(("--window-size=1300,2000 %s --screenshot=%s file://%s"):format(dark, picture, path))
      local bytes = helper.read(picture)
      assert.equal("\137PNG\r\n\26\n", bytes:sub(1, 8))
      sizes[i] = #bytes
    end
    assert.is_true(sizes[1] > 50000 and sizes[1] ~= sizes[2]) -- an empty page has a tenth
  end)
end)
