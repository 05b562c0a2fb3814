-- `values` and `unseen` of id fields from the fields file to the figures: what train, eval and
-- metrics.jsonl say of values that a model does not know, beside a slow count.
local cjson = require "cjson"
local config = require "moonrank.config"
local helper = require "helper"

local FIELDS = [[
data: {train: train.csv, valid: valid.csv, test: test.csv%s}
label: click
defaults: {dim: 4, min_count: %d}
fields:
  - {name: ad, side: ad, type: id%s}
  - {name: place, side: ad, type: id, values: [feed, search, 7]%s}
]]

local PLACES = { "feed", "search", "7", "other", "" }

-- Rows by split; validation data has ads that training lacks.
local function project(options)
  local dir, rows, random = helper.temp_dir(), {}, helper.random(options.seed or 4)
  for n, split in ipairs { "train", "valid", "test" } do
    local lines = { "click,ad,place" }
    rows[split] = {}
    for i = 1, 400 do
      local place = PLACES[random(options.places or #PLACES)]
      local row = { ad = "a" .. random(60) + (n - 1) * (options.more or 10), place = place }
      rows[split][i] = row
      lines[i + 1] = ("%d,%s,%s"):format(random(2) - 1, row.ad, row.place)
    end
    helper.write(("%s/%s.csv"):format(dir, split), table.concat(lines, "\n") .. "\n")
  end
  helper.write(dir .. "/fields.yaml", FIELDS:format(options.data or "", options.min_count or 1,
    options.ad or "", options.place or ""))
  helper.write(dir .. "/lr.yaml", "fields: fields.yaml\nmodel: {script: lr}\n"
    .. "train: {batch: 64, epochs: 2, seed: 1, optimizer: {adam: {lr: 0.01}}}\n")
  return dir, rows
end

local LISTED = { feed = true, search = true, ["7"] = true }

-- What is unknown of a split: unseen and values, by field.
local function count(rows, split, min_count)
  local times, found = {}, { ad = { 0, 0 }, place = { 0, 0 } }
  for _, row in ipairs(rows.train) do times[row.ad] = (times[row.ad] or 0) + 1 end
  for _, row in ipairs(rows[split]) do
    local ad, place = found.ad, found.place
    ad[1], ad[2] = ad[1] + ((times[row.ad] or 0) < min_count and 1 or 0), ad[2] + 1
    if row.place ~= "" then
      place[1], place[2] = place[1] + (LISTED[row.place] and 0 or 1), place[2] + 1
    end
  end
  return found
end

local function metrics_of(dir)
  local found = {}
  for line in helper.read(dir .. "/run/metrics.jsonl"):gmatch "[^\n]+" do
    local entry = cjson.decode(line)
    if entry.epoch == 1 then found.valid = entry.valid.unseen end
    if entry.test then found.test = entry.test.unseen end
  end
  return found
end

describe("values that a model does not know", function()
  for _, unseen in ipairs { "unknown", "zero" } do
    it("are counted by split and field, with unseen: " .. unseen, function()
      for _, min_count in ipairs { 1, 6 } do
        local dir, rows = project { min_count = min_count, ad = ", unseen: " .. unseen,
          place = ", unseen: " .. unseen }
        local status, out, err = helper.run("train lr.yaml --out run --threads 2", dir)
        assert.same({ 0, "" }, { status, err })
        local metrics, lines = metrics_of(dir), {}
        for _, split in ipairs { "valid", "test" } do
          local expected, parts = count(rows, split, min_count), {}
          for i, name in ipairs { "ad", "place" } do
            assert.same({ field = name, unseen = expected[name][1], values = expected[name][2] },
              metrics[split][i])
            parts[i] = ("%s %.2f %% of %d values"):format(name,
              100 * expected[name][1] / expected[name][2], expected[name][2])
          end
          lines[split] = table.concat(parts, ", ")
          assert.truthy(out:find(("\nunseen   not known to the model in %s: %s\n"):format(split,
            lines[split]), 1, true), out)
        end
        -- Not inside the table of epochs.
        assert.truthy(out:find "\nepoch [^\n]*\n    1 [^\n]*\n    2 [^\n]*\nunseen   not known")
        local train = count(rows, "train", min_count)
        local rare = min_count > 1 and ("ad %d, "):format(train.ad[1]) or ""
        assert.truthy(out:find(("\nunseen   values of train that are rare or not listed: %splace %d"
          .. "\n"):format(rare, train.place[1]), 1, true), out)
        status, out, err = helper.run("eval run --data valid --json figures.json", dir)
        assert.same({ 0, "" }, { status, err })
        assert.truthy(out:find("\nnot known to the model: " .. lines.valid .. "\n", 1, true), out)
        assert.same(metrics.valid,
          cjson.decode(helper.read(dir .. "/figures.json")).figures.unseen)
        -- Other files than the run's, by the model file alone.
        status, out = helper.run("eval run/model.mr --data valid.csv", dir)
        assert.equal(0, status)
        assert.truthy(out:find("\nnot known to the model: " .. lines.valid .. "\n", 1, true), out)
      end
    end)
  end

  it("are not spoken of where there are none", function()
    local dir = project { places = 3, more = 0 }
    local status, out, err = helper.run("train lr.yaml --out run --threads 1", dir)
    assert.same({ 0, "" }, { status, err })
    assert.is_nil(out:find("unseen", 1, true))
  end)

  it("may be wrong", function()
    local dir = project { places = 3, ad = ", unseen: error" }
    local status, _, err = helper.run("train lr.yaml --quiet --out run", dir)
    assert.equal(1, status)
    assert.truthy(err:find 'column "ad", row %d+: the model does not know the value\n$', err)
    dir = project { place = ", unseen: error" }
    status, _, err = helper.run("train lr.yaml --quiet --out run", dir)
    assert.equal(1, status)
    assert.truthy(err:find('train%.csv:%d+:%d+: "other" is none of feed, search, 7 '
      .. '%(column "place"%)\n$'), err)
    -- Unless such rows are left out.
    local rows
    dir, rows = project { place = ", unseen: error", data = ", bad_rows: skip" }
    local out
    status, out, err = helper.run("train lr.yaml --out run", dir)
    assert.same({ 0, "" }, { status, err })
    local others = 0
    for _, row in ipairs(rows.train) do others = others + (row.place == "other" and 1 or 0) end
    assert.truthy(out:find(("\ntrain: %d wrong rows left out (id %d)\n"):format(others, others), 1,
      true), out)
  end)

  it("change what is predicted as they are told to", function()
    -- With few rows of training unknown places learn something; zeros do not.
    local scores = {}
    for _, unseen in ipairs { "unknown", "zero" } do
      local dir = project { place = ", unseen: " .. unseen }
      assert.equal(0, (helper.run("train lr.yaml --quiet --out run", dir)))
      helper.write(dir .. "/few.csv", "ad,place\na1,\na1,other\na1,feed\n")
      local _, out = helper.run("predict run/model.mr --data few.csv", dir)
      scores[unseen] = { out:match "^(%S+)\n(%S+)\n(%S+)\n$" }
      assert.equal(scores[unseen][1], scores[unseen][2])
      assert.not_equal(scores[unseen][1], scores[unseen][3])
    end
    assert.not_equal(scores.unknown[1], scores.zero[1])
  end)
end)

describe("a wrong list of values", function()
  it("is named with its place", function()
    for _, case in ipairs {
      { "values: [a, b, a]", ':5:51: fields[1].values has "a" twice' },
      { "values: []", ":5:44: fields[1].values is an empty list" },
      { "values: [1.5]",
        ":5:45: fields[1].values[1] is 1.5, expected text or a whole number >= 0" },
      { "unseen: eror", ':5:44: fields[1].unseen is "eror", expected unknown, zero or error; '
        .. 'did you mean "error"?' },
      { "unseen: error", ":5:44: fields[1].unseen is error, but values that come fewer than 2 "
        .. "times in training are unseen, by min_count of table ad; list the field's values or "
        .. "set that to 1" },
    } do
      local dir = project { min_count = 2, ad = ", " .. case[1] }
      local values, message = config.fields(dir .. "/fields.yaml")
      assert.is_nil(values)
      assert.equal(dir .. "/fields.yaml" .. case[2], message)
    end
    local dir = project { min_count = 2, ad = ", unseen: error, values: [a]" }
    local values = assert(config.fields(dir .. "/fields.yaml"))
    assert.same({ { "a" }, { "feed", "search", "7" } },
      { values.fields[1].values, values.fields[2].values })
  end)
end)
