--- How fast a trainer takes steps, and where the time goes.
-- @module moonrank.speed
local clock = require "moonrank.clock"
local mr = require "moonrank.ffi"
local report_table = require "moonrank.report_table"
local C = mr.C

local M = {}

--- The machine in one line: CPU, threads, kernel family.
-- @tparam Trainer run
-- @treturn string
function M.machine(run)
  local file = io.open "/proc/cpuinfo"
  local cpu = file and file:read "*a":match "model name%s*:%s*([^\n]*)" or "an unknown CPU"
  if file then file:close() end
  local threads = run.pool.threads
  return ("%s, %d thread%s, %s"):format(cpu, threads, threads == 1 and "" or "s",
    mr.string(C.mr_isa()))
end

--- What the machine does at most: flops, cache_bytes, memory_bytes and rows a second, of all
-- threads together, and layer_flops; see mr_limits. Takes about a second.
-- @tparam Pool pool
-- @treturn table
function M.limits(pool)
  local limits = mr.new "mr_limits"
  mr.check(C.mr_limits_measure(limits, pool.handle), 1)
  return { flops = limits.flops, layer_flops = limits.layer_flops,
    cache_bytes = limits.cache_bytes, memory_bytes = limits.memory_bytes, rows = limits.rows }
end

-- Batches without end, epoch after epoch. Seconds spent waiting for them are added to `waited`.
local function batches(run, split, waited)
  local epoch, loader = 0, nil
  return function()
    local start = clock.now()
    local batch = loader and loader()
    if not batch then
      epoch = epoch + 1
      loader = run:batches(split, epoch)
      batch = loader() or error("the training data is empty", 0)
    end
    waited.seconds = waited.seconds + clock.now() - start
    return batch
  end
end

--- Take steps and time them.
-- @tparam Trainer run
-- @tparam Split split
-- @tparam table options  steps to measure; warm_up: steps before; profile (false); seconds: go on
-- until so long has passed
-- @treturn table steps, samples, seconds, loss (mean, of the last step), waited (for batches,
-- seconds), threads; where asked for, profile (as of Trainer:measured) and limits
function M.measure(run, split, options)
  local waited = { seconds = 0 }
  local next_batch = batches(run, split, waited)
  for _ = 1, options.warm_up do run:step(next_batch()) end
  if options.profile then run:measure(true) end
  waited.seconds = 0
  local result = { steps = 0, samples = 0, threads = run.pool.threads }
  local start = clock.now()
  repeat
    local batch = next_batch()
    local rows = tonumber(C.mr_batch_rows(batch, C.MR_SAMPLE))
    result.loss = run:step(batch) / rows
    result.steps, result.samples = result.steps + 1, result.samples + rows
    result.seconds = clock.now() - start
  until result.steps >= options.steps and result.seconds >= (options.seconds or 0)
  result.waited = waited.seconds
  if options.profile then
    result.profile = run:measured()
    run:measure(false)
    result.limits = M.limits(run.pool)
  end
  return result
end

--- Take steps and time windows of them.
-- @tparam Trainer run
-- @tparam Split split
-- @tparam table options  warm_up: seconds before; seconds: of a window; windows: how many
-- @treturn table samples_per_s (the median window's), steps, loss (mean, of the last step)
function M.windows(run, split, options)
  local next_batch, result = batches(run, split, { seconds = 0 }), { steps = 0 }
  local function window(seconds)
    local start, samples = clock.now(), 0
    repeat
      local batch = next_batch()
      local rows = tonumber(C.mr_batch_rows(batch, C.MR_SAMPLE))
      result.loss = run:step(batch) / rows
      result.steps, samples = result.steps + 1, samples + rows
      local taken = clock.now() - start
    until taken >= seconds
    return samples / (clock.now() - start)
  end
  window(options.warm_up)
  local speeds = {}
  for i = 1, options.windows do speeds[i] = window(options.seconds) end
  result.samples_per_s = M.median(speeds)
  return result
end

--- The middle one of some numbers, or the mean of the middle two.
-- @tparam {number,...} numbers  at least one
-- @treturn number
function M.median(numbers)
  local sorted = { unpack(numbers) }
  table.sort(sorted)
  local n = #sorted
  return (sorted[math.floor((n + 1) / 2)] + sorted[math.ceil((n + 1) / 2)]) / 2
end

-- ---- the table of the profile ----

-- Lines of equal ops are added up: 39 lookups of one width are one line.
local function grouped(lines)
  local groups, by_label = {}, {}
  for _, line in ipairs(lines) do
    local label = line.op and ("%s %s"):format(line.op, line.width > 0 and line.width or "") or ""
    if line.inputs and #line.inputs == 1 then
      label = ("%s %d -> %d"):format(line.op, line.inputs[1], line.width)
    end
    local key = line.what .. " " .. label
    local group = by_label[key]
    if not group then
      group = { what = line.what, op = line.op, label = label, n = 0, seconds = 0, flops = 0,
        bytes = 0 }
      by_label[key], groups[#groups + 1] = group, group
    end
    group.n = group.n + 1
    for _, name in ipairs { "seconds", "flops", "bytes" } do
      group[name] = group[name] + line[name]
    end
  end
  return groups
end

local function name_of(group)
  local label = group.label ~= "" and " " .. group.label:gsub("%s+$", "") or ""
  return group.what .. label .. (group.n > 1 and (" x %d"):format(group.n) or "")
end

local function rate(amount, seconds)
  return amount > 0 and seconds > 0 and amount / seconds / 1e9 or nil
end

-- Parts whose bytes come from tables or from weights, not from a slice's workspace.
local IN_MEMORY = { probe = true, ["update rows"] = true, ["update dense"] = true,
  ["reduce lanes"] = true, pack = true }

-- The share of the limit that a line came to, or nil where it has none.
local function of_limit(group, limits)
  if group.wall <= 0 or group.flops + group.bytes <= 0 then return nil end
  local in_memory = IN_MEMORY[group.what] or group.op == "lookup"
  local bytes = in_memory and limits.memory_bytes or limits.cache_bytes
  return math.max(group.flops / limits.layer_flops, group.bytes / bytes) / group.wall
end

local function profile_lines(result)
  local groups, rest = grouped(result.profile), result.seconds - result.waited
  for _, group in ipairs(groups) do
    group.wall = group.seconds / result.threads
    rest = rest - group.wall
  end
  local function beside(what, wall)
    groups[#groups + 1] = { what = what, label = "", n = 1, wall = wall, flops = 0, bytes = 0 }
  end
  beside("batch", result.waited)
  beside("other", math.max(rest, 0))
  table.sort(groups, function(a, b)
    if a.wall ~= b.wall then return a.wall > b.wall end
    return name_of(a) < name_of(b)
  end)
  local width = 0
  for _, group in ipairs(groups) do width = math.max(width, #name_of(group)) end
  local report = report_table.new {
    { "where", "%s", name_of, width = width },
    { "ms/step", "%.3f", function(g) return 1e3 * g.wall / result.steps end, width = 8 },
    { "share", "%.1f%%", function(g) return 100 * g.wall / result.seconds end, width = 6 },
    { "GFLOP/s", "%.1f", function(g) return rate(g.flops, g.wall) end },
    { "GB/s", "%.1f", function(g) return rate(g.bytes, g.wall) end, width = 6 },
    { "of limit", "%.0f%%", function(g)
      local share = of_limit(g, result.limits)
      return share and 100 * share
    end },
  }
  local l = result.limits
  local lines = { ("limits   %.0f GFLOP/s, cache %.0f GB/s, memory %.0f GB/s"):format(
    l.layer_flops / 1e9, l.cache_bytes / 1e9, l.memory_bytes / 1e9), "", report.heading() }
  for _, group in ipairs(groups) do lines[#lines + 1] = report.row(group) end
  return lines
end

--- What measure found, as lines of text.
-- @tparam table result
-- @treturn table speed: lines; profile: lines, or nil
function M.report(result)
  local report = report_table.new {
    { "steps", ",", function(r) return r.steps end },
    { "samples/step", ",", function(r) return r.samples / r.steps end },
    { "ms/step", "%.3f", function(r) return 1e3 * r.seconds / r.steps end, width = 8 },
    { "samples/s", ",", function(r) return r.samples / r.seconds end, width = 10 },
    { "loss", "%.6f", function(r) return r.loss end, width = 8 },
  }
  return { speed = { report.heading(), report.row(result) },
    profile = result.profile and profile_lines(result) }
end

return M
