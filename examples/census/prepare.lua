--- Rows of Census-Income (KDD): who has an income over 50,000, and who never married.
--
--     luajit examples/census/prepare.lua --data DIR [--file census-income.data] [--seed 1]
--
-- DIR holds the file, plain or gzip: 42 columns without a heading. Rows go to data/census, or to
-- --out. The labels are made of marital status and income, which are no features, nor is the weight
-- of the instance.
local here = arg[0]:match "^(.*/)" or ""
package.path = here .. "../../lua/?.lua;" .. here .. "../../lua/?/init.lua;" .. package.path
local prepare = require "moonrank.prepare"

-- The UCI order of columns.
local NAMES = { "age", "worker_class", "industry", "occupation", "education", "wage", "enrolled",
  "marital", "major_industry", "major_occupation", "race", "hispanic", "sex", "union",
  "unemployment", "employment", "gains", "losses", "dividends", "filer", "region", "state",
  "household", "household_summary", "instance_weight", "migration_msa", "migration_region",
  "migration_within", "same_house", "sunbelt", "persons", "under_18", "father_birth",
  "mother_birth", "own_birth", "citizenship", "own_business", "veterans_form", "veterans",
  "weeks", "year", "income" }
local NO_FEATURE = { marital = true, instance_weight = true, income = true }

local function read(folder, name)
  local rows, path, number = {}, ("%s/%s"):format(folder, name), 0
  prepare.each_line(folder, name, "^(.*)$", function(line)
    local of, cells, n = {}, {}, 0
    number = number + 1
    for cell in (line .. ","):gmatch "%s*([^,]-)%s*," do
      n = n + 1
      local column = NAMES[n]
      if column then of[column] = cell end
      if column and not NO_FEATURE[column] then cells[#cells + 1] = cell end
    end
    if n ~= #NAMES then
      error(("%s:%d: expected %d columns, found %d"):format(path, number, #NAMES, n), 0)
    end
    cells[#cells + 1] = of.income == "50000+." and "1" or "0"
    cells[#cells + 1] = of.marital == "Never married" and "1" or "0"
    rows[number] = table.concat(cells, "\t")
  end)
  return rows
end

prepare.main({ name = "census", summary = "Rows of Census-Income (KDD)." }, function(given)
  local columns = {}
  for _, column in ipairs(NAMES) do
    if not NO_FEATURE[column] then columns[#columns + 1] = column end
  end
  columns[#columns + 1], columns[#columns + 2] = "income", "single"
  local counts, rule = prepare.write_at_random(given, columns, read(given.data, given.file))
  return counts, { rule, "rule   income is 1 from 50,000 on, single where somebody never married" }
end, function(p)
  p:option("--file", "of the folder", "census-income.data"):argname "NAME"
end)
