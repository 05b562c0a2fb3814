--- Pictures of figures: panels of lines over a common kind of axis, as SVG text.
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

local function escape(text)
  return (tostring(text):gsub("[&<>\"]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;",
    ['"'] = "&quot;" }))
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

-- The multiples of 1, 2 or 5 times a power of ten from 0 to `most` or beyond, at most seven.
local function even_ticks(most)
  local power = 10 ^ math.floor(math.log10(most))
  for _, step in ipairs { 0.2, 0.5, 1, 2, 5 } do
    local n = math.ceil(most / (step * power) - 1e-9)
    if n <= 6 then
      local ticks = {}
      for i = 0, n do ticks[i + 1] = i * step * power end
      return ticks
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
  return even_ticks(most > 0 and most or 1)
end

-- An axis over all values of a panel: its ticks, and place(value) from 0 to 1.
local function axis_of(given, panel, index)
  local least, most = math.huge, -math.huge
  for _, series in ipairs(panel.series) do
    for _, point in ipairs(series) do
      local value = point[index]
      if value ~= value or value < 0 or value == math.huge or given.log and value == 0 then
        error(('panel "%s": %s is %s, expected a number %s 0'):format(panel.title, given.title,
          tostring(value), given.log and "above" or "of at least"), 0)
      end
      least, most = math.min(least, value), math.max(most, value)
    end
  end
  if least > most then error(('panel "%s" has no points'):format(panel.title), 0) end
  local ticks = M.ticks(least, most, given.log)
  local scale = given.log and math.log10 or function(value) return value end
  local from, to = scale(ticks[1]), scale(ticks[#ticks])
  if to == from then to = from + 1 end
  return { ticks = ticks, place = function(value) return (scale(value) - from) / (to - from) end }
end

local MARKERS = {
  function(x, y) return ('<circle cx="%.1f" cy="%.1f" r="3.5"/>'):format(x, y) end,
  function(x, y)
    return ('<rect x="%.1f" y="%.1f" width="6.4" height="6.4"/>'):format(x - 3.2, y - 3.2)
  end,
  function(x, y) return ('<path d="M%.1f %.1fl4 7h-8z"/>'):format(x, y - 4.2) end,
  function(x, y) return ('<path d="M%.1f %.1fl4.4 4.4-4.4 4.4-4.4-4.4z"/>'):format(x, y - 4.4) end,
}

local function draw_panel(add, panel, left, top)
  local x_axis, y_axis = axis_of(panel.x, panel, 1), axis_of(panel.y, panel, 2)
  local x0, y0 = left + PANEL.left, top + PANEL.height - PANEL.bottom
  local width = PANEL.width - PANEL.left - PANEL.right
  local height = PANEL.height - PANEL.top - PANEL.bottom
  local function x_of(value) return x0 + width * x_axis.place(value) end
  local function y_of(value) return y0 - height * y_axis.place(value) end
  add('<text class="head" x="%g" y="%g">%s</text>', left + 12, top + 16, escape(panel.title))
  for _, tick in ipairs(y_axis.ticks) do
    add('<path class="grid" d="M%g %.1fh%g"/>', x0, y_of(tick), width)
    add('<text x="%g" y="%.1f" text-anchor="end">%s</text>', x0 - 6, y_of(tick) + 4, M.number(tick))
  end
  for _, tick in ipairs(x_axis.ticks) do
    add('<path class="grid" d="M%.1f %gv%g"/>', x_of(tick), y0, -height)
    add('<text x="%.1f" y="%g" text-anchor="middle">%s</text>', x_of(tick), y0 + 16, M.number(tick))
  end
  add('<text x="%g" y="%g" text-anchor="middle">%s</text>', x0 + width / 2, y0 + 36,
    escape(panel.x.title))
  add('<text transform="translate(%g %g) rotate(-90)" text-anchor="middle">%s</text>', left + 14,
    y0 - height / 2, escape(panel.y.title))
  local legend = left + 14
  for i, series in ipairs(panel.series) do
    local marker, path = MARKERS[(i - 1) % #MARKERS + 1], {}
    add('<g class="s%d">', (i - 1) % #COLOURS + 1)
    for k, point in ipairs(series) do
      path[k] = ("%s%.1f %.1f"):format(k == 1 and "M" or "L", x_of(point[1]), y_of(point[2]))
    end
    add('<path class="line" d="%s"/>', table.concat(path))
    for _, point in ipairs(series) do add("%s", marker(x_of(point[1]), y_of(point[2]))) end
    add('<path class="line" d="M%g %gh26"/>%s', legend, top + 34, marker(legend + 13, top + 34))
    add('<text x="%g" y="%g">%s</text></g>', legend + 32, top + 38, escape(series.name))
    legend = legend + 46 + CHARACTER * #tostring(series.name)
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
    .. ".line{fill:none;stroke-width:2}" .. table.concat(light)
    .. "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.ground{fill:#0d1117}"
    .. ".grid{stroke:#3d444d}" .. table.concat(dark) .. "}"
end

--- A picture of panels side by side.
-- @tparam table picture  title, description (for those who do not see it), columns (2), panels: a
-- list of { title, x = axis, y = axis, series }; an axis is { title (with its unit), log = true or
-- nil }, a series a list of points { x, y } with a name. Up to four series tell apart.
-- @treturn string the text of an SVG file
-- @raise where a panel has no points, or a value does not fit its axis
function M.picture(picture)
  local lines = {}
  local function add(format, ...) lines[#lines + 1] = format:format(...) end
  local columns = math.min(picture.columns or 2, #picture.panels)
  local width = columns * PANEL.width
  local height = HEAD + math.ceil(#picture.panels / columns) * PANEL.height
  add('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" '
    .. 'role="img" aria-labelledby="title description">', width, height, width, height)
  add('<title id="title">%s</title>', escape(picture.title))
  add('<desc id="description">%s</desc>', escape(picture.description))
  add("<style>%s</style>", style())
  add('<rect class="ground" width="%d" height="%d"/>', width, height)
  add('<text class="title" x="12" y="23">%s</text>', escape(picture.title))
  for i, panel in ipairs(picture.panels) do
    draw_panel(add, panel, (i - 1) % columns * PANEL.width,
      HEAD + math.floor((i - 1) / columns) * PANEL.height)
  end
  add "</svg>"
  return table.concat(lines, "\n") .. "\n"
end

return M
