--- Pictures of figures: panels of lines over a common kind of axis, or of bars, as SVG text.
--
-- A picture is legible on light and on dark pages (it asks for the reader's colour scheme and
-- brings its own ground), without colours (every series has a marker and a dash of its own), and
-- without eyes (title and description are part of it).
-- @module moonrank.svg
local M = {}

-- All sizes are pixels. The frame of a panel is where its lines are.
local PANEL = { width = 420, height = 290, left = 62, right = 18, top = 58, bottom = 48 }
local HEAD, CHARACTER = 34, 7 -- the title's height; about a letter's width

-- Okabe and Ito's colours, which the colour-blind tell apart: on light ground, on dark ground.
local COLOURS = { { "#0072b2", "#56b4e9" }, { "#d55e00", "#e69f00" }, { "#007a5a", "#2fc79b" },
  { "#a0528a", "#dd9ac6" } }
local DASHES = { "", "7 4", "2 3", "9 3 2 3" }

--- A text as it stands between tags or in quotes.
-- @tparam string text
-- @treturn string
function M.escape(text)
  return (tostring(text):gsub("[&<>\"]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;",
    ['"'] = "&quot;" }):gsub("[%z\1-\8\11\12\14-\31\127]", "?"))
end
local escape = M.escape

-- Letters of a text, and the text cut to at most so many: bytes that go on a letter of UTF-8 are
-- not counted.
local function letters(text) return select(2, tostring(text):gsub("[^\128-\191]", "")) end

local function shortened(text, most)
  if letters(text) <= most then return text end
  local at = 0
  for _ = 1, most do at = text:find("[^\128-\191]", at + 1) end -- where the last one begins
  return text:sub(1, at - 1) .. ".."
end

--- A number for an axis: three digits and k, M, G.
-- @tparam number value
-- @treturn string
function M.number(value)
  for _, unit in ipairs { { 1e9, "G" }, { 1e6, "M" }, { 1e3, "k" } } do
    if math.abs(value) >= 0.9995 * unit[1] then
      return ("%.3g"):format(value / unit[1]) .. unit[2]
    end
  end
  return ("%.3g"):format(value)
end

-- The multiples of 1, 2 or 5 times a power of ten from `least` or before to `most` or beyond, at
-- most seven; and the step.
local function even_ticks(least, most)
  local power = 10 ^ math.floor(math.log10(most - least))
  for _, step in ipairs { 0.2, 0.5, 1, 2, 5, 10 } do
    step = step * power
    local first, last = math.floor(least / step + 1e-9), math.ceil(most / step - 1e-9)
    if last - first <= 6 then
      local ticks = {}
      for i = first, last do ticks[#ticks + 1] = i * step end
      return ticks, step
    end
  end
end

-- Powers of ten around [least, most]; where they are fewer than four, with 2 and 5 times each. A
-- value that lies outside by a hundredth needs no further tick.
local function log_ticks(least, most)
  least, most = 1.01 * least, most / 1.01
  local ticks, first = {}, math.floor(math.log10(least))
  local last = math.ceil(math.log10(most))
  if last - first >= 3 then
    for power = first, math.max(last, first + 1) do ticks[#ticks + 1] = 10 ^ power end
    return ticks
  end
  local all = {}
  for power = first, last do
    for _, factor in ipairs { 1, 2, 5 } do all[#all + 1] = factor * 10 ^ power end
  end
  for i, tick in ipairs(all) do -- from the last one not above `least` to the first not below `most`
    local next_one, before = all[i + 1] or math.huge, all[i - 1] or 0
    if next_one > least and before < most then
      ticks[#ticks + 1] = tick
    end
  end
  return ticks
end

--- The ticks of an axis: they reach from its least to its most, or beyond.
-- @tparam number least
-- @tparam number most
-- @tparam boolean log  powers of ten; else multiples from 0
-- @treturn {number,...}
function M.ticks(least, most, log)
  if log then return log_ticks(least, most) end
  return (even_ticks(0, most > 0 and most or 1))
end

-- The ticks of an axis as it is given, and their texts.
local function ticks_of(given, least, most)
  local ticks, step
  if given.tight then
    if most == least then -- a tenth around a figure, half a step around a count
      local around = not given.whole and 0.1 * math.abs(least) or 0.5
      if around == 0 then around = 0.5 end
      least, most = least - around, most + around
    end
    ticks, step = even_ticks(least, most)
    if given.whole and step < 1 then
      ticks, step = {}, 1
      for tick = math.floor(least), math.ceil(most) do ticks[#ticks + 1] = tick end
    end
  else
    ticks = M.ticks(least, most, given.log)
  end
  local texts = {}
  for i, tick in ipairs(ticks) do
    local decimals = step and math.max(0, math.ceil(-math.log10(step) - 1e-9))
    texts[i] = decimals and math.abs(tick) < 1000 and ("%%.%df"):format(decimals):format(tick)
      or M.number(tick)
  end
  return ticks, texts
end

local function check_value(given, panel, value)
  local low = given.tight and -math.huge or 0
  if value ~= value or value < low or math.abs(value) == math.huge or given.log and value == 0 then
    error(('panel "%s": %s is %s, expected a number%s'):format(panel.title, given.title,
      tostring(value), given.tight and "" or given.log and " above 0" or " of at least 0"), 0)
  end
end

-- An axis over all values of a panel: its ticks with their texts, and place(value) from 0 to 1.
-- `indices` are those of a point's numbers on this axis.
local function axis_of(given, panel, indices)
  local least, most = math.huge, -math.huge
  for _, series in ipairs(panel.series) do
    for _, point in ipairs(series) do
      for _, index in ipairs(indices) do
        local value = point[index]
        if value then
          check_value(given, panel, value)
          least, most = math.min(least, value), math.max(most, value)
        end
      end
    end
  end
  if least > most then error(('panel "%s" has no points'):format(panel.title), 0) end
  local from = given.from
  if from then least, most = math.min(least, from), math.max(most, from) end
  local ticks, texts = ticks_of(given, least, most)
  local scale = given.log and math.log10 or function(value) return value end
  local first, last = scale(ticks[1]), scale(ticks[#ticks])
  if last == first then last = first + 1 end
  return { ticks = ticks, texts = texts,
    place = function(value) return (scale(value) - first) / (last - first) end }
end

local MARKERS = {
  function(x, y) return ('<circle cx="%.1f" cy="%.1f" r="3.5"/>'):format(x, y) end,
  function(x, y)
    return ('<rect x="%.1f" y="%.1f" width="6.4" height="6.4"/>'):format(x - 3.2, y - 3.2)
  end,
  function(x, y) return ('<path d="M%.1f %.1fl4 7h-8z"/>'):format(x, y - 4.2) end,
  function(x, y) return ('<path d="M%.1f %.1fl4.4 4.4-4.4 4.4-4.4-4.4z"/>'):format(x, y - 4.4) end,
}

-- The place of each name of a legend, and how often its line breaks where names are long.
local function legend_places(names)
  local places, x, line = {}, 14, 0
  for i, name in ipairs(names) do
    local width = 54 + CHARACTER * letters(name)
    if x > 14 and x + width - 14 > PANEL.width then x, line = 14, line + 1 end
    places[i] = { x = x, line = line }
    x = x + width
  end
  return places, line
end

local LEGEND_LINE = 18

local function draw_series(add, series, i, x_of, y_of, legend_x, legend_y)
  local marker, path = MARKERS[(i - 1) % #MARKERS + 1], {}
  add('<g class="s%d">', (i - 1) % #COLOURS + 1)
  for k, point in ipairs(series) do
    path[k] = ("%s%.1f %.1f"):format(k == 1 and "M" or "L", x_of(point[1]), y_of(point[2]))
  end
  add('<path class="line" d="%s"/>', table.concat(path))
  for _, point in ipairs(series) do
    if point[3] then
      add('<path class="span" d="M%.1f %.1fV%.1f"/>', x_of(point[1]), y_of(point[3]),
        y_of(point[4]))
    end
    if not series.plain then add("%s", marker(x_of(point[1]), y_of(point[2]))) end
  end
  add('<path class="line" d="M%g %gh26"/>%s', legend_x, legend_y,
    series.plain and "" or marker(legend_x + 13, legend_y))
  add('<text x="%g" y="%g">%s</text></g>', legend_x + 32, legend_y + 4, escape(series.name))
end

local function draw_panel(add, panel, left, top)
  local x_axis, y_axis = axis_of(panel.x, panel, { 1 }), axis_of(panel.y, panel, { 2, 3, 4 })
  local names = {}
  for i, series in ipairs(panel.series) do names[i] = series.name end
  local legend, lines = legend_places(names)
  local room = 0 -- for the texts beside the frame, between it and the axis's title
  for _, text in ipairs(y_axis.texts) do room = math.max(room, 26 + CHARACTER * letters(text)) end
  local x0, y0 = left + math.max(PANEL.left, room), top + PANEL.height - PANEL.bottom
  -- The last number of the axis below is centred at the frame's end.
  local right = math.max(PANEL.right, 1 + CHARACTER * letters(x_axis.texts[#x_axis.texts]) / 2)
  local width = left + PANEL.width - right - x0
  local height = PANEL.height - PANEL.top - PANEL.bottom - lines * LEGEND_LINE
  local function x_of(value) return x0 + width * x_axis.place(value) end
  local function y_of(value) return y0 - height * y_axis.place(value) end
  add('<text class="head" x="%g" y="%g">%s</text>', left + 12, top + 16, escape(panel.title))
  for i, tick in ipairs(y_axis.ticks) do
    add('<path class="grid" d="M%g %.1fh%g"/>', x0, y_of(tick), width)
    add('<text x="%g" y="%.1f" text-anchor="end">%s</text>', x0 - 6, y_of(tick) + 4,
      y_axis.texts[i])
  end
  for i, tick in ipairs(x_axis.ticks) do
    add('<path class="grid" d="M%.1f %gv%g"/>', x_of(tick), y0, -height)
    add('<text x="%.1f" y="%g" text-anchor="middle">%s</text>', x_of(tick), y0 + 16,
      x_axis.texts[i])
  end
  add('<text x="%g" y="%g" text-anchor="middle">%s</text>', x0 + width / 2, y0 + 36,
    escape(panel.x.title))
  add('<text transform="translate(%g %g) rotate(-90)" text-anchor="middle">%s</text>', left + 14,
    y0 - height / 2, escape(panel.y.title))
  if panel.diagonal then
    local least = math.max(x_axis.ticks[1], y_axis.ticks[1])
    local most = math.min(x_axis.ticks[#x_axis.ticks], y_axis.ticks[#y_axis.ticks])
    add('<path class="diagonal" d="M%.1f %.1fL%.1f %.1f"/>', x_of(least), y_of(least), x_of(most),
      y_of(most))
  end
  for i, series in ipairs(panel.series) do
    draw_series(add, series, i, x_of, y_of, left + legend[i].x,
      top + 34 + legend[i].line * LEGEND_LINE)
  end
end

local function style()
  local light, dark = {}, {}
  for i, colour in ipairs(COLOURS) do
    local rule = ".s%d{fill:%s;stroke:%s}"
    light[i], dark[i] = rule:format(i, colour[1], colour[1]), rule:format(i, colour[2], colour[2])
    light[#COLOURS + i] = (".s%d .line{stroke-dasharray:%s}"):format(i,
      DASHES[i] == "" and "none" or DASHES[i])
  end
  return "text{font:12px sans-serif;fill:#24292f;stroke:none}"
    .. ".title{font-size:16px;font-weight:bold}.head{font-weight:bold}.ground{fill:#fff}"
    .. ".grid{stroke:#d0d7de;fill:none}"
    .. ".line{fill:none;stroke-width:2}.diagonal,.span{fill:none}"
    .. ".diagonal{stroke:#818b98;stroke-dasharray:3 4}" .. table.concat(light)
    .. "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.ground{fill:#0d1117}"
    .. ".grid{stroke:#3d444d}" .. table.concat(dark) .. "}"
end

-- Of bars: the height of one, the blank between groups, and the room around all.
local BARS = { height = 14, gap = 10, top = 30, right = 74, bottom = 44, name = 24 }

-- Where things of a picture of bars are: the legend only where there are several series.
local function bars_layout(bars)
  local legend, lines = {}, -1
  if #bars.names > 1 then legend, lines = legend_places(bars.names) end
  local widest = 0
  for _, row in ipairs(bars.rows) do
    widest = math.max(widest, math.min(BARS.name + 1, letters(row.name)))
  end
  local group = #bars.names * BARS.height + BARS.gap
  local top = BARS.top + (lines < 0 and 0 or 8 + (lines + 1) * LEGEND_LINE)
  return { legend = legend, left = 20 + widest * CHARACTER, top = top, group = group,
    bottom = top + #bars.rows * group, height = top + #bars.rows * group + BARS.bottom }
end

local function draw_bars_axis(add, bars, axis, layout, x_of)
  for i, tick in ipairs(axis.ticks) do
    add('<path class="grid" d="M%.1f %gV%g"/>', x_of(tick), layout.top - 6, layout.bottom)
    add('<text x="%.1f" y="%g" text-anchor="middle">%s</text>', x_of(tick), layout.bottom + 16,
      axis.texts[i])
  end
  add('<text x="%g" y="%g" text-anchor="middle">%s</text>',
    (x_of(axis.ticks[1]) + x_of(axis.ticks[#axis.ticks])) / 2, layout.bottom + 36,
    escape(bars.x.title))
  for i, place in ipairs(layout.legend) do
    local y = 34 + place.line * LEGEND_LINE
    add('<g class="s%d"><rect x="%g" y="%g" width="26" height="10"/>', i, place.x, y - 5)
    add('<text x="%g" y="%g">%s</text></g>', place.x + 32, y + 4, escape(bars.names[i]))
  end
end

-- Bars to the right or, below x.from, to the left; a group a row, the values behind them.
local function draw_bars(add, bars)
  local layout, values = bars_layout(bars), {}
  for _, row in ipairs(bars.rows) do
    for i = 1, #bars.names do values[#values + 1] = row[i] and { row[i] } end
  end
  local axis = axis_of({ title = bars.x.title, tight = true, from = bars.x.from },
    { title = bars.title, series = { values } }, { 1 })
  local width = PANEL.width - layout.left - BARS.right
  local function x_of(value) return layout.left + width * axis.place(value) end
  add('<text class="head" x="12" y="16">%s</text>', escape(bars.title))
  draw_bars_axis(add, bars, axis, layout, x_of)
  local base = x_of(bars.x.from)
  for k, row in ipairs(bars.rows) do
    local y = layout.top + (k - 1) * layout.group
    add('<text x="%g" y="%g" text-anchor="end">%s</text>', layout.left - 6,
      y + #bars.names * BARS.height / 2 + 4, escape(shortened(row.name, BARS.name)))
    for i = 1, #bars.names do
      if row[i] then
        local x, at = x_of(row[i]), y + (i - 1) * BARS.height
        add('<g class="s%d"><rect x="%.1f" y="%g" width="%.1f" height="%g"/>', i,
          math.min(x, base), at + 1, math.abs(x - base), BARS.height - 2)
        add('<text x="%.1f" y="%g">%s</text></g>', math.max(x, base) + 4, at + BARS.height - 3,
          escape(bars.x.text(row[i])))
      end
    end
  end
end

--- The rules for a page of pictures made by M.figure.
-- @treturn string
M.style = style

local function begin(add, picture, width, height)
  local id = picture.id and picture.id .. "-" or ""
  add('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" '
    .. 'role="img" aria-labelledby="%stitle %sdescription">', width, height, width, height, id, id)
  add('<title id="%stitle">%s</title>', id, escape(picture.title))
  add('<desc id="%sdescription">%s</desc>', id, escape(picture.description))
  if not picture.id then add("<style>%s</style>", style()) end
  add('<rect class="ground" width="%d" height="%d"/>', width, height)
end

--- A picture for a page that has M.style: one panel, or bars.
-- @tparam table picture  id (different from all others of the page), title, description, and panel,
-- as of M.picture, or bars: { title, x = { title, from = where bars begin, text = function(value)
-- }, names = of up to four series, rows = a list of { name =, value of each series or nil ... } }
-- @treturn string an svg element
-- @raise as M.picture
function M.figure(picture)
  local lines = {}
  local function add(format, ...) lines[#lines + 1] = format:format(...) end
  local bars = picture.bars
  begin(add, picture, PANEL.width, bars and bars_layout(bars).height or PANEL.height)
  if bars then draw_bars(add, bars) else draw_panel(add, picture.panel, 0, 0) end
  add "</svg>"
  return table.concat(lines, "\n") .. "\n"
end

--- A picture of panels side by side.
-- @tparam table picture  title, description (for those who do not see it), columns (2), panels: a
-- list of { title, x = axis, y = axis, series, diagonal = true where x = y is drawn }; an axis is {
-- title (with its unit), log = true or nil, tight = true for one that need not begin at 0, whole =
-- true for one without fractions }, a series a list of points { x, y, low, high (of an interval, or
-- nil) } with a name and, for a line without markers, plain = true. Up to four series tell apart.
-- @treturn string the text of an SVG file
-- @raise where a panel has no points, or a value does not fit its axis
function M.picture(picture)
  local lines = {}
  local function add(format, ...) lines[#lines + 1] = format:format(...) end
  local columns = math.min(picture.columns or 2, #picture.panels)
  local width = columns * PANEL.width
  local height = HEAD + math.ceil(#picture.panels / columns) * PANEL.height
  begin(add, picture, width, height)
  add('<text class="title" x="12" y="23">%s</text>', escape(picture.title))
  for i, panel in ipairs(picture.panels) do
    draw_panel(add, panel, (i - 1) % columns * PANEL.width,
      HEAD + math.floor((i - 1) / columns) * PANEL.height)
  end
  add "</svg>"
  return table.concat(lines, "\n") .. "\n"
end

return M
