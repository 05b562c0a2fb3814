-- Lists of values and what others read (`values`, `unseen`): in caches
-- (engine/src/data/row_columns.c, store_writer.c), in training (a row that stays zeros), in
-- predicting, and how they are counted.
local data = require "data_helper"
local g = require "graph_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local C = mr.C

local NOTHING = "2ULL" -- the key of the row of zeros
local UNKNOWN = "0ULL"

-- Places are request-side, the others of samples; "tags" and "seen" are bags, "past" a sequence.
local function columns_with(unseen, values)
  local function of(spec)
    spec.unseen, spec.values = unseen, values and { unpack(values) } or nil
    return spec
  end
  return {
    { name = "click", type = "label" },
    of { name = "place", type = "id", side = "request" },
    of { name = "tags", type = "ids", separator = "|" },
    of { name = "past.place", source = "past", table = "place", type = "id", side = "request",
      sequence = "past" },
    of { name = "past.tags", source = "more", table = "tags", type = "ids", separator = "|",
      side = "request", sequence = "past" },
    { name = "rid", type = "request_key", side = "request" },
    sequences = { { name = "past", side = "request", max = 3, keep = "last" } },
  }
end

local VALUES = { "feed", "search", "cart", "never" }
local HEADER = "click,place,tags,past,more,rid\n"

local function make_text(n, seed)
  local random, lines, request = helper.random(seed), {}, ""
  local words = { "feed", "search", "cart", "other", "else", "" }
  local function draw() return words[random(#words)] end
  for i = 1, n do
    if i % 3 == 1 then
      local past, more = {}, {}
      for k = 1, random(5) - 1 do past[k], more[k] = draw(), draw() .. "|" .. draw() end
      if #past == 1 and past[1] == "" then past[1] = "feed" end -- one that is empty would be none
      request = ("%s,%%s,%s,%s,%d"):format(draw(), table.concat(past, " "),
        table.concat(more, " "), i)
    end
    lines[i] = ("%d,%s"):format(i % 2, request:format(draw() .. "|" .. draw()))
  end
  return HEADER .. table.concat(lines, "\n") .. "\n"
end

local function build(columns, text, options, min_count)
  local dir = helper.temp_dir()
  local schema = data.schema(columns, min_count)
  assert(data.build(schema, helper.write(dir .. "/text.csv", text), dir .. "/cache", options))
  return schema, dir .. "/cache"
end

-- The keys of a row as text, lists of bags and behaviours joined.
local function keys_of(value)
  return type(value) == "table" and table.concat(value, " ") or value
end

local NAMES = { "place", "tags", "past.place", "past.tags" }

describe("a list of values", function()
  -- The plain cache's keys, with those of values that are not listed replaced.
  for _, case in ipairs { { "unknown", UNKNOWN }, { "zero", NOTHING } } do
    it("keeps its own values, others read " .. case[1], function()
      local text = make_text(300, 1)
      local plain, plain_cache = build(columns_with(), text)
      local listed = {}
      for _, name in ipairs { "place", "tags" } do
        for _, value in ipairs(VALUES) do listed[data.key(plain, name, value)] = true end
      end
      local before = assert(data.rows(plain, columns_with(), plain_cache))
      for _, options in ipairs { {}, { fit = true } } do
        local columns = columns_with(case[1], VALUES)
        local schema, cache = build(columns, text, options)
        local after, dataset = assert(data.rows(schema, columns, cache)), data.open(schema, cache)
        for _, name in ipairs(NAMES) do
          local unlisted, request = 0, nil
          for i, row in ipairs(before) do
            local first = row.request ~= request or name == "tags"
            request = row.request
            local expected = keys_of(row[name]):gsub("%d+ULL", function(key)
              if key == UNKNOWN then return case[2] end
              if listed[key] then return key end
              unlisted = unlisted + (first and 1 or 0)
              return case[2]
            end)
            assert.equal(expected, keys_of(after[i][name]))
          end
          assert.is_true(unlisted > 20)
          assert.equal(unlisted,
            tonumber(C.mr_dataset_unseen(dataset, C.mr_schema_find(schema, name))))
        end
        local distinct = options.fit and 4 or 3 -- all that are listed, or those that came
        assert.equal(distinct, tonumber(C.mr_dataset_distinct(dataset,
          C.mr_schema_find_table(schema, "place"))))
      end
    end)
  end

  it("keeps values that are rarer than min_count", function()
    local text = HEADER .. "1,feed,cart,feed,cart,1\n0,other,more|more,,,2\n1,other,,,,3\n"
    local columns = columns_with("unknown", VALUES)
    local schema, cache = build(columns, text, { fit = true }, { place = 2, tags = 2 })
    local rows = assert(data.rows(schema, columns, cache))
    assert.equal(data.key(schema, "place", "feed"), rows[1].place)
    assert.equal(data.key(schema, "tags", "cart"), rows[1].tags)
    assert.same({ UNKNOWN, UNKNOWN .. " " .. UNKNOWN }, { rows[2].place, rows[2].tags })
  end)

  it("gives the same bytes for any number of threads and any size of block", function()
    local dir, text = helper.temp_dir(), make_text(900, 2)
    local path = helper.write(dir .. "/text.csv", text)
    for _, unseen in ipairs { "unknown", "zero" } do
      data.check_same_bytes(function()
        return data.schema(columns_with(unseen, VALUES), { place = 40 })
      end, path, dir .. "/cache")
    end
  end)

  it("counts rare values of training data as well", function()
    local columns = columns_with()
    local schema, cache = build(columns, HEADER .. "1,a,x|y,,,1\n0,a,y|z,,,2\n1,b,,,,3\n0,,,,,4\n",
      { fit = true }, { place = 2, tags = 2 })
    local dataset = data.open(schema, cache)
    local counts = {}
    for _, name in ipairs(NAMES) do
      counts[name] = tonumber(C.mr_dataset_unseen(dataset, C.mr_schema_find(schema, name)))
    end
    assert.same({ place = 1, tags = 2, ["past.place"] = 0, ["past.tags"] = 0 }, counts)
  end)

  it("is found in a column by its first row that has one, listed, rare or not", function()
    local rows = { place = "1,feed,,,,1\n", tags = "0,,|x,,,2\n",
      ["past.place"] = "0,,, cart, ,3\n", ["past.tags"] = "0,,, , x,4\n" }
    local blank = ("0,,,,,5\n"):rep(3)
    for _, unseen in ipairs { "unknown", "zero" } do
      for _, here in ipairs(NAMES) do
        for _, options in ipairs { {}, { fit = true } } do
          local schema, cache = build(columns_with(unseen, VALUES), HEADER .. blank .. rows[here],
            options, { place = 2, tags = 2 })
          local dataset = data.open(schema, cache)
          for _, name in ipairs(NAMES) do
            assert.equal(name == here and 1 or 0,
              C.mr_dataset_has_values(dataset, C.mr_schema_find(schema, name)), name)
          end
          assert.equal(0, C.mr_dataset_has_values(dataset, -1))
          assert.equal(0, C.mr_dataset_has_values(dataset, C.mr_schema_find(schema, "click")))
        end
      end
    end
  end)

  it("may make all others wrong, which is told with the place or left out", function()
    local columns = columns_with("error", { "feed", "search", "cart" })
    local cases = {
      { "1,serch,,,,1", '2:3: "serch" is none of feed, search, cart (column "place")' },
      { "1,feed,cart||x|feed,,,1", '2:8: "x" is none of feed, search, cart (column "tags")' },
      { "1,feed,,cart no feed,a b c,1",
        '2:14: "no" is none of feed, search, cart (column "past", behaviour 2)' },
      { "1,feed,,cart,feed|x,1",
        '2:19: "x" is none of feed, search, cart (column "more", behaviour 1)' },
    }
    for _, case in ipairs(cases) do
      local dir = helper.temp_dir()
      local path = helper.write(dir .. "/f.csv", HEADER .. case[1] .. "\n")
      helper.fails_with(path .. ":" .. case[2], data.build(data.schema(columns), path,
        dir .. "/cache"))
      local good = "1,feed,cart,search,cart|feed,9\n"
      for _, block in ipairs { 0, 1 } do
        helper.write(dir .. "/f.csv", HEADER .. case[1] .. "\n" .. good)
        local schema = data.schema(columns)
        assert(data.build(schema, path, dir .. "/cache", { bad_rows = 5, block = block }))
        assert.same({ { 0, 0, 0, 0, 0, 1 }, { 0 } }, { data.bad_rows(schema, dir .. "/cache") })
        assert.equal(1, #assert(data.rows(schema, columns, dir .. "/cache")))
      end
    end
    local many = {}
    for i = 1, 60 do many[i] = "value" .. i end
    local schema = data.schema { { name = "click", type = "label" },
      { name = "x", type = "id", values = many, unseen = "error" } }
    local path = helper.write(helper.temp_dir() .. "/f.csv", "click,x\n1,value60\n1,v\n")
    helper.fails_with(path .. ':3:3: "v" is none of the 60 values listed (column "x")',
      data.build(schema, path, path .. ".cache"))
  end)

  it("is checked", function()
    local schema = data.new_schema()
    for _, case in ipairs {
      { { values = { "a", "b", "a" } }, 'column "x": its list has a value twice' },
      { { values = { "a", "" } }, 'column "x": value 2 of its list is empty' },
    } do
      case[1].name, case[1].type = "x", "id"
      helper.fails_with(case[2], data.add_column(schema, case[1]))
    end
    local column = { name = "x", type = "ids" }
    local spec = data.spec(column)
    spec.unseen = 3
    helper.fails_with(
      'column "x": unseen is 3, expected 0 (unknown), 1 (zero) or 2 (error)',
      mr.ok(C.mr_schema_add_column(schema, spec)))
  end)
end)

-- ---- models ----

local function one_column(unseen, values, kind)
  local list = values and mr.new("const char *[?]", #values, values)
  local schema = g.schema { { name = "click", type = "label" } }
  local spec = mr.new("mr_column_spec", { name = "ad", type = kind or C.MR_ID, domain = C.MR_SAMPLE,
    values = list, n_values = values and #values or 0, unseen = C["MR_UNSEEN_" .. unseen:upper()] })
  mr.check(C.mr_schema_add_column(schema.handle, spec))
  schema.columns.ad = 1
  return schema, list
end

local function new_model(schema, dim)
  local b = g.builder(schema)
  local x = b:dense(b:lookup { column = "ad", dim = dim or 3, start = "normal", scale = 0.5 },
    { out = 1 })
  b:logloss(x, b:column { column = "click" })
  mr.check(C.mr_graph_add_task(b.handle, "ctr", x.id, b:sigmoid(x).id))
  return g.model(b), x.id
end

local function fill(schema, keys)
  local batch = g.batch(schema, #keys)
  for i, key in ipairs(keys) do
    C.mr_batch_keys(batch, 1)[i - 1] = key
    C.mr_batch_floats(batch, 0)[i - 1] = i % 2
  end
  return batch
end

local pool = data.pool(2)

local function new_run(model, node)
  local out = mr.new "mr_run *[1]"
  mr.check(C.mr_run_new_predict(out, model, pool, mr.new("mr_run_options", { batch = 64 }),
    mr.new("int32_t[1]", node), 1))
  return mr.gc(out[0], C.mr_run_free)
end

-- The floats of a node, or nil and the message.
local function predict(model, node, batch, n)
  local run, scores = new_run(model, node), mr.new("float[?]", n)
  local ok, message = mr.ok(C.mr_run_predict(run, batch, mr.new("float *[1]", scores)))
  return ok and scores, message
end

describe("a field whose unseen values are zeros", function()
  it("has a row for them that no optimizer and no penalty moves", function()
    for _, options in ipairs {
      { optimizer = "adam", table_l2 = 0.1, clip_norm = 0.5 },
      { optimizer = "ftrl", table_l1 = 0.1 },
      { optimizer = "adagrad", rows_all = 1, table_l2 = 0.1 },
      { optimizer = "momentum", clip_row = 0.1 }, { optimizer = "sgd" },
    } do
      for _, dim in ipairs { 1, 3, 32 } do
        local schema = one_column "zero"
        local model = new_model(schema, dim)
        local run = g.run(model, options)
        for step = 1, 5 do
          local batch = fill(schema, { 2, 77, 2, 78, 0, 77 + step })
          g.gradient(run, batch)
          g.update(run)
        end
        local nothing, unknown = C.mr_model_row(model, 0, 2), C.mr_model_row(model, 0, 0)
        local moved = 0
        for e = 0, dim - 1 do
          assert.equal(0, nothing[e])
          moved = moved + math.abs(unknown[e])
        end
        assert.is_true(moved > 0)
      end
    end
  end)

  it("reads them where the model lacks a key, and is told from unknown", function()
    for _, unseen in ipairs { "zero", "unknown" } do
      local schema = one_column(unseen)
      local model, node = new_model(schema)
      local run = g.run(model, { optimizer = "adam", lr = 0.1 })
      for _ = 1, 4 do
        g.gradient(run, fill(schema, { 0, 77, 0, 78 }))
        g.update(run)
      end
      local scores = predict(model, node, fill(schema, { 77, 0, 99, 2 }), 4)
      -- The row of zeros leaves the layer's bias.
      local info, bias = mr.new "mr_param_info", nil
      for i = 0, C.mr_model_params(model) - 1 do
        mr.check(C.mr_model_param(model, i, info))
        if mr.string(info.name):find "bias" then bias = C.mr_model_weights(model, i)[0] end
      end
      if unseen == "zero" then
        assert.same({ bias, bias, bias }, { scores[1], scores[2], scores[3] })
      else
        assert.equal(scores[1], scores[2])
        assert.not_equal(bias, scores[1])
      end
    end
  end)
end)

describe("predicting", function()
  it("counts values and those that the model lacks, as a slow loop does", function()
    local text = make_text(300, 5)
    local cases = { { "unknown" }, { "zero" }, { "unknown", VALUES }, { "zero", VALUES } }
    for _, case in ipairs(cases) do
      local columns = columns_with(case[1], case[2])
      local schema, cache = build(columns, text)
      local b = g.builder { handle = schema, columns = {}, fields = {}, tasks = {}, sequences = {} }
      local node = b:sum(b:concat { b:lookup { column = "place", dim = 2 },
        b:lookup { column = "tags", dim = 2 } })
      local model, row, known = g.model(b), mr.new "float *[1]", {}
      for _, name in ipairs { "place", "tags" } do
        local table = name == "place" and 0 or 1
        mr.check(C.mr_model_make_row(model, table, C.mr_schema_key(schema,
          C.mr_schema_find(schema, name), "other", 5), row))
        for _, value in ipairs { "other", unpack(case[2] or {}) } do
          known[data.key(schema, name, value)] = true
        end
      end
      local run, scores = new_run(model, node.id), mr.new "float[64]"
      local loader = data.loader(data.open(schema, cache), { batch = 50 })
      while true do
        local batch = data.next_batch(loader)
        if not batch then break end
        mr.check(C.mr_run_predict(run, batch, mr.new("float *[1]", scores)))
      end
      local rows = assert(data.rows(schema, columns, cache))
      for _, name in ipairs { "place", "tags" } do
        local values, unseen, request = 0, 0, nil
        for _, one in ipairs(rows) do
          if name == "tags" or one.request ~= request then
            for key in keys_of(one[name]):gmatch "%d+ULL" do
              if key ~= UNKNOWN and key ~= NOTHING then
                values, unseen = values + 1, unseen + (known[key] and 0 or 1)
              end
            end
          end
          request = one.request
        end
        local column = C.mr_schema_find(schema, name)
        assert.same({ values, unseen }, { tonumber(C.mr_run_values(run, column)),
          tonumber(C.mr_run_unseen(run, column)) })
        assert.equal(case[2] == nil, unseen > 0)
      end
      assert.equal(0, tonumber(C.mr_run_values(run, 99)))
    end
  end)

  it("says which row has a value that may not be unseen", function()
    local schema = one_column "error"
    local model, node = new_model(schema)
    mr.check(C.mr_model_make_row(model, 0, 77, mr.new "float *[1]"))
    helper.fails_with('column "ad", row 3: the model does not know the value',
      predict(model, node, fill(schema, { 77, 0, 99, 98 }), 4))
    assert.truthy(predict(model, node, fill(schema, { 77, 0 }), 2))
  end)

  it("from a model file has its lists, and says what is not in them", function()
    local schema = one_column("error", { "feed", "search" })
    local model = new_model(schema)
    local path = helper.temp_dir() .. "/model.mr"
    mr.check(C.mr_model_save(model, path, ""))
    local out, scratch = mr.new "mr_predictor *[1]", mr.new "mr_scratch *[1]"
    mr.check(C.mr_predictor_open(out, path))
    local predictor = mr.gc(out[0], C.mr_predictor_close)
    mr.check(C.mr_scratch_new(scratch, predictor))
    scratch = mr.gc(scratch[0], C.mr_scratch_free)
    local function score(texts, n, keys)
      local list = texts and mr.new("const char *[?]", n, texts)
      local values = mr.new("mr_values[1]")
      values[0].column, values[0].texts, values[0].keys = 1, list, keys
      local scores = mr.new("float[?]", n)
      local ok, message = mr.ok(C.mr_predictor_score(scratch, n, values, 1, scores))
      return ok and { scores[0], scores[1] }, message
    end
    local scores = assert(score({ "feed", "search" }, 2))
    assert.not_equal(scores[1], scores[2]) -- each has a row, which nothing was trained on
    helper.fails_with('column "ad", row 2: "cart" is none of feed, search',
      score({ "feed", "cart" }, 2))
    helper.fails_with('column "ad", row 1: "key 0000000000000063" is none of feed, search',
      score(nil, 2, mr.new("uint64_t[2]", 99, 0)))
  end)
end)
