--- What is worth a word in data, out of its surveys (moonrank.check_columns): each finding has a
-- weight, what was seen, and what to do about it.
-- @module moonrank.check_findings
local check_columns = require "moonrank.check_columns"
local grouped = require "moonrank.progress".grouped
local sorted_keys = require "moonrank.sorted_keys"

local M = {}

local LEAK = 0.95       -- AUC of one column
local NEW = 0.2         -- share of rows with values that the training data lacks
local EMPTY = 0.5
local SHIFT = 0.1       -- difference of a share between splits
local SKEWED, WIDE, FAR = 2, 100, 10
local DAY = 86400

local function percent(share) return ("%.1f %%"):format(100 * share) end

local function add(list, weight, kind, field, text, advice)
  list[#list + 1] = { weight = weight, kind = kind, field = field, text = text, advice = advice }
end

-- ---- labels ----

local function find_labels(list, surveys, names)
  local train = surveys.train
  for _, name in ipairs(sorted_keys(train.tasks)) do
    local task = train.tasks[name]
    if task.n > 0 and (task.positives == 0 or task.positives == task.n) then
      add(list, 100, "one class", nil, ("every label of %s in the training data is %d"):format(name,
        task.positives > 0 and 1 or 0), "name another column as label: there is nothing to learn")
    end
    local rate = task.positives / math.max(task.n, 1)
    local least, most = math.huge, -math.huge
    local far = false
    for _, part in ipairs(task.parts) do
      if part.n > 0 then
        local own = part.positives / part.n
        local error_ = math.sqrt(math.max(rate * (1 - rate), 1e-12) / part.n)
        far = far or math.abs(own - rate) > math.max(6 * error_, 0.2 * rate)
        least, most = math.min(least, own), math.max(most, own)
      end
    end
    if far then
      add(list, 70, "label drift", nil, ("the share of ones of %s goes from %s to %s over ten "
        .. "equal parts of the training data"):format(name, percent(least), percent(most)),
        "if rows are sorted by label or by kind, shuffle stays on; if it is time, compare splits "
          .. "by time")
    end
    for _, split in ipairs(names) do
      local other = surveys[split].tasks[name]
      if split ~= "train" and other and other.n > 0 then
        local own = other.positives / other.n
        local error_ = math.sqrt(math.max(rate * (1 - rate), 1e-12) / other.n)
        if math.abs(own - rate) > math.max(6 * error_, 0.2 * rate) then
          add(list, 65, "label shift", nil, ("the share of ones of %s is %s in train and %s in %s")
            :format(name, percent(rate), percent(own), split),
            "probabilities will be off by as much: look at how the splits were made")
        end
      end
    end
  end
end

-- ---- columns ----

local function find_leak(list, c, many)
  for _, task in ipairs(sorted_keys(c.aucs)) do
    if c.aucs[task] > LEAK then
      add(list, 90 + c.aucs[task], "leak", c.name, ("%s alone ranks the labels%s with an AUC of "
        .. "%.3f"):format(c.name, many and " of " .. task or "", c.aucs[task]),
        "leave it out unless it is known before the click")
    end
  end
end

local function find_constant(list, c)
  local share = c.empty / math.max(c.rows, 1)
  local one = c.keys and c.keys:exact() and c.keys:distinct() == 1 and c.type == "id"
    or c.number and c.number.n > 0 and c.number.min == c.number.max
  if share == 1 or c.lengths and check_columns.length(c, 1) == 0 then
    add(list, 60, "empty", c.name, ("%s is empty in every row"):format(c.name), c.lengths
      and "leave it out, or see its source, separator and padding"
      or "leave it out, or see that its source is right")
  elseif one and share == 0 then
    add(list, 60, "constant", c.name, ("%s has the same value in every row"):format(c.name),
      "leave it out")
  elseif share > EMPTY then
    add(list, 20 + 10 * share, "mostly empty", c.name, ("%s is empty in %s of the rows"):format(
      c.name, percent(share)), c.type == "number"
        and "see that missing: is not a value that others have" or "keep it only if it helps")
  end
end

local function find_once(list, c)
  if not c.keys or c.type ~= "id" or c.sequence then return end
  local all = c.keys:distinct()
  if all > 1000 and all > 0.95 * (c.rows - c.empty) then
    add(list, 55, "one row each", c.name, ("%s has a new value in nearly every row (%s of %s)")
      :format(c.name, grouped(all), grouped(c.rows - c.empty)),
      "leave it out: no value comes again to be known by")
  end
end

local function find_number(list, c, field, can_normalize, times)
  local s = c.number
  if not s or s.n < 2 or s.min == s.max or field.buckets then return end
  local deviation = math.sqrt(s.m2 / s.n)
  local is_vector = c.type == "vector"
  local function text(x) return check_columns.text_of_number(x, c, times) end
  local skew = not is_vector and deviation > 0 and s.m3 / s.n / deviation ^ 3 or 0
  if field.transform ~= "log1p" and s.min >= -s.max / 100 and skew > SKEWED and s.max > FAR then
    add(list, 45 + math.min(skew, 50) / 10, "skewed", c.name,
      ("%s goes from %s to %s with a mean of %s (skewness %.1f)"):format(c.name, text(s.min),
      text(s.max), text(s.mean), skew), "transform: log1p")
    return
  end
  local most, least = s.max, s.min
  if field.transform == "log1p" then
    local function log1p(x) return x < 0 and -math.log(1 - x) or math.log(1 + x) end
    most, least = log1p(most), log1p(least)
  end
  if field.normalize == true then return end
  if math.max(math.abs(most), math.abs(least)) > WIDE then
    add(list, 44, "wide range", c.name,
      ("%s goes from %s to %s"):format(c.name, text(s.min), text(s.max)),
      can_normalize and not is_vector and "normalize: true"
        or "scale it to about 1 when the data is made")
  end
end

local function find_new(list, c, split)
  if not c.looked or c.looked == 0 then return end
  local share = c.unseen / c.looked
  if share > NEW then
    add(list, 30 + 20 * share, "new values", c.name, ("%s of the values of %s in %s are not in the "
      .. "training data"):format(percent(share), c.name, split),
      c.type == "id" and "models know nothing of them: add fields that say what they are"
        or "models know nothing of them")
  end
end

local function find_shift(list, c, before, split)
  local now, then_ = c.empty / math.max(c.rows, 1), before.empty / math.max(before.rows, 1)
  if math.abs(now - then_) > SHIFT then
    add(list, 58, "coverage", c.name, ("%s is empty in %s of the rows of train and %s of %s")
      :format(c.name, percent(then_), percent(now), split),
      "see that both are written by the same code")
  end
end

local function find_duplicates(list, columns)
  local seen = {}
  for _, c in ipairs(columns) do
    local many = c.keys and c.keys:distinct() > 1 or c.number and c.number.min < c.number.max
    if c.print1 and many and (not c.keys or c.keys:exact()) then
      local key = ("%s %d %d"):format(c.number and "number" or "id", c.print1, c.print2)
      if seen[key] then
        add(list, 50, "duplicate", c.name,
          ("%s has the values of %s in every row, if by other names"):format(c.name, seen[key]),
          "leave one of them out")
      else
        seen[key] = c.name
      end
    end
  end
end

-- ---- times ----

-- As it is in the data, and as a date beside it.
local function time_text(time, times)
  local number, date = check_columns.text_of_time(time, times)
  return date and ("%s (%s)"):format(number, date) or number
end

local function find_times(list, surveys, names)
  local latest = surveys.train.times and surveys.train.times.max
  for _, split in ipairs(names) do
    local times = surveys[split].times
    if split ~= "train" and latest and times and times.min < latest then
      add(list, 95, "time", nil, ("%s begins before train ends: its earliest time is %s, the "
        .. "latest of train %s"):format(split, time_text(times.min, times),
        time_text(latest, surveys.train.times)),
        "split by time, or figures promise too much")
    end
    if check_columns.are_dates(times) and times.max > os.time() + DAY then
      add(list, 94, "future", nil, ("the latest time of %s, %s, is yet to come"):format(split,
        time_text(times.max, times)), "see that times are seconds since 1970, not milliseconds")
    end
  end
end

-- Numbers that are times as those of the rows are, and later.
local function find_later(list, c, times)
  if not c.later or not check_columns.is_time(c, times) then return end
  add(list, 93, "future", c.name, ("%s has times after the row's own in %s of %s rows"):format(
    c.name, grouped(c.later), grouped(c.rows)), "leave out what is not known when the ad is shown")
end

--- All findings, the gravest first.
-- @tparam table surveys  by split; train is there
-- @tparam {string,...} names  of the splits
-- @tparam table fields  of the resolved configuration, by field and by member ("click.ad")
-- @tparam boolean can_normalize  whether fields have a key normalize
-- @treturn {table,...} weight, kind, field (or nil), text, advice
function M.find(surveys, names, fields, can_normalize)
  local list, tasks = {}, surveys.train.tasks
  local many = next(tasks, (next(tasks))) ~= nil
  find_labels(list, surveys, names)
  find_times(list, surveys, names)
  find_duplicates(list, surveys.train.columns)
  for i, c in ipairs(surveys.train.columns) do
    find_leak(list, c, many)
    find_later(list, c, surveys.train.times)
    find_constant(list, c)
    find_once(list, c)
    find_number(list, c, fields[c.name] or {}, can_normalize, surveys.train.times)
    for _, split in ipairs(names) do
      if split ~= "train" then
        find_new(list, surveys[split].columns[i], split)
        find_shift(list, surveys[split].columns[i], c, split)
      end
    end
  end
  for i, finding in ipairs(list) do finding.place = i end
  table.sort(list, function(a, b)
    if a.weight ~= b.weight then return a.weight > b.weight end
    return a.place < b.place
  end)
  return list
end

return M
