-- Lists that are filled up with zeros, through the whole house: a model that is told so is the one
-- of the same rows without them, in files and in the requests of a program.
local helper = require "helper"
local ffi = require "moonrank.ffi"
local C = ffi.C

local dir, random = helper.temp_dir(), helper.random(4)
local PLACES = 6

-- A list in its first places or its last ones, and as it is.
local function fill(list, at_front)
  local filled = { unpack(list) }
  for _ = #list + 1, PLACES do table.insert(filled, at_front and 1 or #filled + 1, "0") end
  return table.concat(filled, " "), table.concat(list, " ")
end

-- Rows { click, tags, ads, cates, gaps }, lists as texts of both forms.
local rows = {}
for i = 1, 300 do
  local n, ads, cates, gaps, tags, sum = random(PLACES + 1) - 1, {}, {}, {}, {}, 0
  for k = 1, n do
    ads[k], cates[k], gaps[k] = "a" .. random(9), "c" .. random(4), tostring(random(20))
    sum = sum + tonumber(ads[k]:sub(2)) - 5
  end
  for k = 1, random(PLACES + 1) - 1 do tags[k] = "t" .. random(9) end
  local row = { ad = "a" .. random(9), click = sum + random(9) > 4 and 1 or 0, n = n }
  for name, list in pairs { ads = ads, cates = cates, gaps = gaps, tags = tags } do
    row[name] = { fill(list, i % 2 == 0) }
  end
  rows[i] = row
end

local LISTS = { "tags", "ads", "cates", "gaps" }

for form, name in ipairs { "filled", "plain" } do
  local lines, objects = { "click,ad,tags,ads,cates,gaps" }, {}
  for i, row in ipairs(rows) do
    local cells, members = { row.click, row.ad }, { ('"click":%d,"ad":"%s"'):format(row.click,
      row.ad) }
    for c, list in ipairs(LISTS) do
      cells[c + 2] = row[list][form]
      members[c + 1] = ('"%s":[%s]'):format(list,
        (row[list][form]:gsub("[^ ]+", '"%0"'):gsub(" ", ", ")))
    end
    lines[i + 1], objects[i] = table.concat(cells, ","), "{" .. table.concat(members, ", ") .. "}"
  end
  helper.write(("%s/%s.csv"):format(dir, name), table.concat(lines, "\n") .. "\n")
  helper.write(("%s/%s.jsonl"):format(dir, name), table.concat(objects, "\n") .. "\n")
  helper.write(("%s/%s.yaml"):format(dir, name), ([[
data: {train: %s.csv}
label: click
defaults: {dim: 4%s}
fields:
  - {name: ad, side: ad, type: id}
  - {name: tags, side: user, type: ids, separator: " ", max: 4}
sequences:
  - {name: past, side: user, max: 5, of: {ad: ads, cate: {column: cates, type: id},
     gap: {column: gaps, type: number}}}
]]):format(name, form == 1 and ", padding: 0" or ""))
  helper.write(("%s/%s-din.yaml"):format(dir, name), ("fields: %s.yaml\nmodel: {script: din, "
    .. "attention: [8], hidden: [8]}\ntrain: {batch: 64, epochs: 2, optimizer: {adam: {lr: 0.01}}}"
    .. "\n"):format(name))
end

local function run(words, ...)
  local status, out, err = helper.run(words:format(...), dir)
  assert.same({ 0, "" }, { status, err })
  return out
end

describe("lists that are filled up", function()
  local expected
  setup(function()
    for _, name in ipairs { "filled", "plain" } do
      run("train %s-din.yaml --quiet --out %s", name, name)
    end
    expected = run "predict plain plain.csv"
  end)

  it("make the model of the lists as they are", function()
    assert.equal(expected, run "predict filled filled.csv")
    assert.equal(expected, run "predict filled filled.jsonl")
    assert.equal(expected, run "predict filled plain.csv") -- which have none to be dropped
    assert.truthy(run "predict plain filled.csv" ~= expected)
  end)

  it("are as long as what is in them", function()
    local lengths = {}
    local none = 0
    for i, row in ipairs(rows) do
      lengths[i], none = math.min(row.n, 5), none + (row.n == 0 and 1 or 0)
    end
    table.sort(lengths)
    local found = {}
    for _, one in ipairs(require "moonrank.json".decode(run "check filled.yaml --json").splits.train
      .columns) do
      found[one.name] = { one.distinct, one.lengths and one.lengths[1], one.empty }
    end
    assert.same({ 9, lengths[#rows / 2], none }, found["past.ad"])
    assert.same(4, found["past.cate"][1])
    assert.same(9, found.tags[1])
  end)

  it("come in requests of a program, as texts or as keys", function()
    local out = ffi.new "mr_predictor *[1]"
    ffi.check(C.mr_predictor_open(out, dir .. "/filled/model.mr"))
    local predictor = ffi.gc(out[0], C.mr_predictor_close)
    local made = ffi.new "mr_scratch *[1]"
    ffi.check(C.mr_scratch_new(made, predictor))
    local scratch, schema = ffi.gc(made[0], C.mr_scratch_free), C.mr_predictor_schema(predictor)
    local n, names = #rows, { ad = "ad", tags = "tags", ["past.ad"] = "ads",
      ["past.cate"] = "cates", ["past.gap"] = "gaps" }
    local function list_of(name)
      local list = {}
      for i, row in ipairs(rows) do list[i] = name == "ad" and row.ad or row[name][1] end
      return list
    end
    -- The pieces of all lists as keys or floats, and where each row begins.
    local function given_apart(value, column, name)
      local starts, list = ffi.new("int32_t[?]", n + 1), {}
      for i, text in ipairs(list_of(name)) do
        for piece in text:gmatch "[^ ]+" do list[#list + 1] = piece end
        starts[i] = #list
      end
      value[name == "tags" and "offsets" or "behaviours"] = name ~= "ad" and starts or nil
      if name == "gaps" then
        for k, piece in ipairs(list) do list[k] = tonumber(piece) end
        local floats = ffi.new("float[?]", #list, list) -- value.floats alone does not hold it
        value.floats = floats
        return { starts, floats }
      end
      local keys = ffi.new("uint64_t[?]", #list)
      for k, piece in ipairs(list) do
        keys[k - 1] = C.mr_schema_key(schema, column, piece, #piece)
      end
      value.keys = keys
      return { starts, keys }
    end
    for _, form in ipairs { "texts", "keys", "both" } do
      local values, held, at = ffi.new("mr_values[?]", 5), {}, 0
      for column_name, name in pairs(names) do
        local value, column = values[at], C.mr_schema_find(schema, column_name)
        value.column, at = column, at + 1
        if form == "texts" or form == "both" and name == "cates" then
          held[at] = ffi.new("const char *[?]", n, list_of(name))
          value.texts = held[at]
        else
          held[at] = given_apart(value, column, name)
        end
      end
      local scores, i = ffi.new("float[?]", n), 0
      ffi.check(C.mr_predictor_prepare(scratch, nil, 0))
      ffi.check(C.mr_predictor_score(scratch, n, values, at, scores))
      for line in expected:gmatch "[^\n]+" do
        assert.near(tonumber(line), scores[i], 1e-7)
        i = i + 1
      end
      assert.equal(n, i)
      if form == "texts" then -- the place of what is wrong is that in the list as it is given
        local cells = list_of "gaps"
        cells[1] = "0 0 0 0 0 x"
        local others = list_of "ads"
        others[1] = "0 0 0 0 0 a1"
        local cates = list_of "cates"
        cates[1] = "0 0 0 0 0 0"
        for k = 0, 4 do
          local column = values[k].column
          for name, list in pairs { ["past.gap"] = cells, ["past.ad"] = others,
            ["past.cate"] = cates } do
            if column == C.mr_schema_find(schema, name) then
              held[name] = ffi.new("const char *[?]", n, list)
              values[k].texts = held[name]
            end
          end
        end
        assert.is_true(C.mr_predictor_score(scratch, n, values, at, scores) < 0)
        assert.equal('column "past.gap", row 1, behaviour 6: "x" is not a number', ffi.last_error())
      end
    end
  end)
end)

describe("a padding", function()
  local function resolve(fields, head)
    helper.write(dir .. "/f.yaml", "data: {train: x.csv}\nlabel: click\n" .. (head or "")
      .. "fields:\n  - {name: ad, side: ad, type: id}\n" .. fields)
    return require "moonrank.config".fields(dir .. "/f.yaml")
  end
  local function refused(message, fields, head)
    helper.fails_with(dir .. "/f.yaml:" .. message, resolve(fields, head))
  end

  it("is that of a field or sequence, else of the defaults", function()
    local config = assert(resolve([[
  - {name: a, side: ad, type: ids}
  - {name: b, side: ad, type: ids, padding: none}
sequences:
  - {name: s, side: ad, of: {ad: x, b: {column: y, separator: "|"},
     c: {column: z, type: ids, separator: "|"}}}
  - {name: t, side: ad, padding: 9007199254740991, of: {ad: x}}
  - {name: u, side: ad, of: {n: {column: x, type: number}}}
]], "defaults: {padding: -1}\n"))
    local fields, sequences = config.fields, config.sequences
    assert.same({ nil, "-1", "none" },
      { fields[1].padding, fields[2].padding, fields[3].padding })
    assert.same({ "-1", "none", "-1" },
      { sequences[1].padding, sequences[1].of.b.padding, sequences[1].of.c.padding })
    assert.is_nil(sequences[1].of.ad.padding)
    assert.same({ "9007199254740991" }, { sequences[2].padding, sequences[3].padding })
    -- Listed values are written as padding is: in all of their digits.
    assert.same({ "100000000000000" },
      assert(resolve "  - {name: a, side: ad, type: id, values: [100000000000000]}\n").fields[2]
        .values)
  end)

  it("is told by ids", function()
    refused('5:35: fields[2].padding is for type ids, this field is of type id',
      "  - {name: a, side: ad, type: id, padding: 0}\n")
    refused("6:34: sequences[1].padding: no member is of type id or ids, which would tell what is "
      .. "padding", "sequences:\n"
      .. "  - {name: s, side: ad, padding: 0, of: {n: {column: x, type: number}}}\n")
    refused('5:45: fields[2].padding is "", expected text or a whole number',
      '  - {name: a, side: ad, type: ids, padding: ""}\n')
    refused("3:21: defaults.padding is 0.5, expected text or a whole number", "",
      "defaults: {padding: 0.5}\n")
  end)
end)
