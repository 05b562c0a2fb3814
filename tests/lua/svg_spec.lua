-- lua/moonrank/svg.lua: ticks and places by hand, well-formed text, what is legible without colours
-- and without eyes.
local helper = require "helper"
local svg = require "moonrank.svg"

local function ticks(...)
  local texts = {}
  for i, tick in ipairs(svg.ticks(...)) do texts[i] = svg.number(tick) end
  return table.concat(texts, " ")
end

local function picture(changes)
  local panel = { title = "Speed", x = { title = "keys", log = true }, y = { title = "samples/s" },
    series = { { name = "one", { 10, 0 }, { 100, 50 }, { 10000, 100 } },
      { name = "two", { 1000, 25 } } } }
  for name, value in pairs(changes or {}) do panel[name] = value end
  return { title = "Growth", description = "How it grows", panels = { panel } }
end

-- Elements close in the order they were opened, attributes have quotes.
local function assert_well_formed(text)
  local open = {}
  for slash, name, attributes, empty in text:gmatch "<(/?)([%w]+)([^<>]-)(/?)>" do
    if slash == "/" then
      assert.equal(table.remove(open), name)
    elseif empty == "" then
      open[#open + 1] = name
    end
    assert.equal("", (attributes:gsub('%s[%w%-]+="[^"<>]*"', "")))
  end
  assert.same({}, open)
end

describe("ticks", function()
  it("of even steps start at 0 and reach the most, in ones, twos or fives", function()
    assert.equal("0 1 2 3 4", ticks(1, 4))
    assert.equal("0 20k 40k 60k 80k 100k 120k", ticks(5, 110000))
    assert.equal("0 200 400 600 800", ticks(5, 601))
    assert.equal("0 0.005 0.01 0.015 0.02 0.025 0.03", ticks(0, 0.03))
    assert.equal("0 0.2 0.4 0.6 0.8 1", ticks(0, 0))
  end)

  it("of powers reach around all values, and are never one alone where values differ", function()
    assert.equal("10k 100k 1M 10M 100M", ticks(9984, 5e7, true))
    assert.equal("10 20 50 100 200 500", ticks(10, 500, true))
    assert.equal("50k 100k 200k", ticks(52000, 178000, true))
    assert.equal("10 100 1k 10k 100k", ticks(32, 16384, true))
    for _, case in ipairs { { 1, 2 }, { 3, 4 }, { 0.07, 0.6 }, { 99, 1e9 } } do
      local list = svg.ticks(case[1], case[2], true)
      assert.is_true(#list >= 2 and list[1] <= 1.01 * case[1] and list[#list] >= case[2] / 1.01)
    end
  end)

  it("are written short", function()
    for text, value in pairs { ["0"] = 0, ["999"] = 999, ["1k"] = 999.6, ["1.5M"] = 1.5e6,
      ["50M"] = 5e7, ["2G"] = 2e9, ["0.05"] = 0.05 } do
      assert.equal(text, svg.number(value))
    end
  end)
end)

describe("a picture", function()
  it("puts points where they belong", function()
    -- The frame: x from 62 to 402 over 10 .. 10,000; y from 276 up to 92 over 0 .. 100.
    local text = svg.picture(picture())
    local path = text:match '<g class="s1">\n<path class="line" d="([^"]+)"/>'
    assert.equal("M62.0 276.0L175.3 184.0L402.0 92.0", path)
    assert.truthy(text:find('<circle cx="175.3" cy="184.0" r="3.5"/>', 1, true))
    assert.truthy(text:find('<rect x="285.5" y="226.8" width="6.4" height="6.4"/>', 1, true))
    assert.truthy(text:find('viewBox="0 0 420 324"', 1, true))
  end)

  it("has room for numbers of many decimals beside the title of their axis", function()
    local text = svg.picture(picture { y = { title = "GAUC", tight = true },
      series = { { name = "one", { 10, 0.60432 }, { 100, 0.60587 } } } })
    local title = tonumber(text:match 'translate%(([%d.]+) [%d.]+%) rotate%(%-90%)')
    local ends, number = text:match '<text x="([%d.]+)" y="[%d.]+" text%-anchor="end">(0.6050)<'
    -- Letters of 12 pixels are at most 7 wide; those of the title stand 4 to the right of its line.
    assert.is_true(ends - 7 * #number >= title + 4)
    assert.truthy(text:find(('d="M%g '):format(ends + 6), 1, true)) -- the frame is behind them
    assert.truthy(text:find("h" .. 402 - (ends + 6), 1, true)) -- and ends where it did
  end)

  it("has room for half of the last number below", function()
    local text = svg.picture(picture { x = { title = "predicted", tight = true },
      series = { { name = "one", { 0.49951, 0.1 }, { 0.50147, 0.2 } } } })
    local place, number = text:match '<text x="([%d.]+)" y="[%d.]+" text%-anchor="middle">(0.5015)<'
    assert.is_true(tonumber(place) + 7 * #number / 2 <= 420)
  end)

  it("has an axis around a number that stays as it is", function()
    for value, expected in pairs { [1] = "0.90 0.95 1.00 1.05 1.10", [0.25] =
      "0.22 0.23 0.24 0.25 0.26 0.27 0.28",
      [0] = "-0.6 -0.4 -0.2 0.0 0.2 0.4 0.6" } do
      local text, numbers = svg.picture(picture { y = { title = "GAUC", tight = true },
        series = { { name = "one", { 10, value }, { 100, value } } } }), {}
      for number in text:gmatch 'text%-anchor="end">([-%d.]+)<' do
        numbers[#numbers + 1] = number
      end
      assert.equal(expected, table.concat(numbers, " "))
    end
  end)

  it("is well-formed, whatever the words in it", function()
    local given = picture { title = 'a < b & "c" > d' }
    given.panels[1].series[1].name = "<script>"
    given.panels[2], given.panels[3] = given.panels[1], given.panels[1]
    local text = svg.picture(given)
    assert_well_formed(text)
    assert.truthy(text:find("a &lt; b &amp; &quot;c&quot; &gt; d", 1, true))
    assert.truthy(text:find("&lt;script&gt;", 1, true))
    assert.truthy(text:find('viewBox="0 0 840 614"', 1, true)) -- two columns, two rows
  end)

  it("has a text for those who do not see it, and units at its axes", function()
    local text = svg.picture(picture())
    assert.truthy(text:find('role="img" aria-labelledby="title description"', 1, true))
    assert.truthy(text:find('<title id="title">Growth</title>', 1, true))
    assert.truthy(text:find('<desc id="description">How it grows</desc>', 1, true))
    assert.truthy(text:find(">keys</text>", 1, true) and text:find(">samples/s</text>", 1, true))
  end)

  it("tells series apart without colours, and has colours for light and dark ground", function()
    local series = {}
    for i = 1, 4 do series[i] = { name = "s" .. i, { 10, i }, { 100, i } } end
    local text, dashes, shapes = svg.picture(picture { series = series }), {}, {}
    for i = 1, 4 do
      dashes[text:match("%.s" .. i .. " %.line{stroke%-dasharray:([^}]+)}")] = true
      local shape = text:match('<g class="s' .. i .. '">\n<path[^\n]+\n(<[^\n]+)')
      shapes[shape:gsub("[%d.]+ [%d.]+", "", 1):gsub('"[%d.]+"', "")] = true
    end
    assert.same({ 4, 4 }, { helper.count(dashes), helper.count(shapes) })
    local dark = text:match "@media%(prefers%-color%-scheme:dark%)(%b{})"
    for i = 1, 4 do
      assert.truthy(dark:find((".s%d{fill:#"):format(i), 1, true))
    end
    assert.truthy(dark:find(".ground{fill:#0d1117}", 1, true))
  end)

  it("breaks the line of a legend that is too long, and has room for it", function()
    local series = {}
    for i = 1, 4 do series[i] = { name = ("model %d "):format(i):rep(3), { 10, 0 }, { 100, 9 } } end
    local text = svg.picture(picture { series = series })
    local at = {}
    for x, y in text:gmatch '<path class="line" d="M(%d+) (%d+)h26"/>' do
      at[#at + 1] = x .. " " .. y
    end
    -- Each takes 54 + 24 * 7 pixels of 420: one a line, the first at 34 + 34 from the top.
    assert.same({ "14 68", "14 86", "14 104", "14 122" }, at)
    local lines = {}
    for y in text:gmatch '<path class="grid" d="M62 ([%d.]+)h340"/>' do lines[#lines + 1] = y end
    assert.same({ "276.0", ("%.1f"):format(92 + 3 * 18) }, { lines[1], lines[#lines] })
  end)

  it("says which figure does not fit", function()
    local function fails(message, changes)
      assert.has_error(function() svg.picture(picture(changes)) end, message)
    end
    fails('panel "Speed" has no points', { series = {} })
    fails('panel "Speed" has no points', { series = { { name = "a" } } })
    fails('panel "Speed": keys is 0, expected a number above 0',
      { series = { { name = "a", { 0, 1 } } } })
    fails('panel "Speed": samples/s is -1, expected a number of at least 0',
      { series = { { name = "a", { 1, -1 } } } })
    fails('panel "Speed": samples/s is inf, expected a number of at least 0',
      { series = { { name = "a", { 1, math.huge } } } })
  end)
end)

describe("a picture of bars", function()
  local function bars(changes)
    local given = { title = "AUC by place", x = { title = "AUC", from = 0.5,
      text = function(v) return ("%.2f"):format(v) end }, names = { "lr", "fm" },
      rows = { { name = "feed", 0.6, 0.7 }, { name = "search", nil, 0.5 }, { name = "x", 0.4 } } }
    for name, value in pairs(changes or {}) do given[name] = value end
    return svg.figure { id = "p1", title = "AUC", description = "By place.", bars = given }
  end

  it("begins each where it is told to, and has a legend where there are several series", function()
    -- From 0.4 to 0.7 over 420 - 74 - 62 pixels: the names take 20 + 6 * 7 to the left.
    local text = bars()
    assert_well_formed(text)
    local step = (420 - 74 - 62) / 3
    local found = {}
    local pattern = '<g class="s(%d)"><rect x="([%d.]+)" y="[%d.]+" width="([%d.]+)" height="12"/>'
    for i, x, width in text:gmatch(pattern) do
      found[#found + 1] = ("%s %s %s"):format(i, x, width)
    end
    local function bar(i, from, length)
      return ("%d %.1f %.1f"):format(i, 62 + from * step, length * step)
    end
    assert.same({ bar(1, 1, 1), bar(2, 1, 2), bar(2, 1, 0), bar(1, 0, 1) }, found)
    assert.truthy(text:find('<rect x="14" y="29" width="26" height="10"/>\n<text x="46" y="38">lr<',
      1, true))
    assert.is_nil(bars({ names = { "lr" } }):find('height="10"/>', 1, true))
  end)

  it("has where bars begin on its axis, where all values are on one side of it", function()
    for _, values in ipairs { { 0.3, 0.2 }, { 0.6, 0.7 } } do
      local text = bars { names = { "lr" },
        rows = { { name = "feed", values[1] }, { name = "search", values[2] } } }
      local begins, ends = text:match 'M([%d.]+) .*M([%d.]+) %d+V'
      local n = 0
      for x, width in text:gmatch '<rect x="([%d.]+)" y="[%d.]+" width="([%d.]+)" height="12"/>' do
        n = n + 1
        assert.is_true(x - begins > -0.1 and x + width - ends < 0.1)
      end
      assert.equal(2, n)
    end
  end)

  it("shortens names at a letter, not within one", function()
    local letter = "\195\188"
    local text = bars { rows = { { name = letter:rep(30), 0.6 }, { name = letter:rep(24), 0.6 } } }
    assert.truthy(text:find(">" .. letter:rep(23) .. "..</text>", 1, true))
    assert.truthy(text:find(">" .. letter:rep(24) .. "</text>", 1, true))
  end)

  it("is well-formed, whatever the words in it", function()
    local text = bars { rows = { { name = 'a<"b">\1&', 0.6 } }, names = { "<i>", "&" } }
    assert_well_formed(text)
    assert.truthy(text:find(">a&lt;&quot;b&quot;&gt;?&amp;</text>", 1, true))
  end)
end)
