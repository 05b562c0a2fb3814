-- The blocks of a model script about sequences, on fields files that have some.
local config = require "moonrank.config"
local g = require "graph_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local Pool = require "moonrank.pool"
local Schema = require "moonrank.schema"
local C = mr.C

local FIELDS = [[
data: {train: train.csv}
label: click
request: rid
defaults: {dim: 4}
fields:
  - {name: user, side: user, type: id}
  - {name: cate, side: ad, type: id, table: category}
  - {name: tags, side: ad, type: ids}
  - {name: item, side: ad, type: id}
  - {name: price, side: ad, type: number}
sequences:
  - name: click
    side: user
    of:
      price: click_prices
      item: click_items
      hour: {column: click_hours, type: id}
      cate: {column: click_cates, table: tags}
      tags: click_tags
  - {name: seen, side: ad, of: {user: seen_users}}
  - {name: buy, side: user, of: {item: buy_items}}
  - {name: when, side: user, of: {hour: {column: hours, type: id}}}
tables: {tags: {dim: 3}, hour: {dim: 2}}
]]

local function new_builder(text)
  local path = helper.temp_dir() .. "/fields.yaml"
  helper.write(path, text or FIELDS)
  local schema = Schema.new(assert(config.fields(path)))
  return g.builder(schema), schema
end

-- The columns that the inputs of a concat look up or read, in order.
local function inputs_of(m, node)
  local list = {}
  local info = mr.new "mr_node_info"
  mr.check(C.mr_graph_describe(m.handle, node.id, info))
  for i = 0, info.n_inputs - 1 do list[i + 1] = C.mr_graph_input(m.handle, node.id, i) end
  return list
end

describe("a sequence in a model script", function()
  it("is in the list of sequences, of all or of a side", function()
    local m = new_builder()
    assert.same({ "click", "seen", "buy", "when" }, m:sequences())
    assert.same({ "seen" }, m:sequences "ad")
    assert.same({}, m:sequences "scene")
  end)

  it("lines up with its target: the same fields, tables and order", function()
    local m = new_builder()
    local q, k = m:target "click", m:sequence "click"
    -- Not cate: its table is another; not price: it is no id; not hour: there is no such field.
    assert.same({ m:embed("tags").id, m:embed("item").id }, inputs_of(m, q))
    assert.same({ m:embed("click.tags").id, m:embed("click.item").id }, inputs_of(m, k))
    assert.same({ "sample", 7, "click", 7 }, { q.domain, q.width, k.domain, k.width })
    local wide = { dim = 5, part = "wide" }
    assert.same({ 10, 10 }, { m:target("click", wide).width, m:sequence("click", wide).width })
    -- Of one member no concat is made; a sequence of the ad is held against what it is of.
    assert.equal(m:embed("item").id, m:target("buy").id)
    assert.equal(m:embed({ "user" }).id, m:target("seen").id)
    assert.same({ "request", "seen" }, { m:target("seen").domain, m:sequence("seen").domain })
  end)

  it("has other members too, those that nothing is held against", function()
    local m = new_builder()
    local others = m:others "click"
    assert.same({ m:embed("click.cate").id, m:embed("click.hour").id,
      m:numbers("click.price").id }, inputs_of(m, others))
    assert.is_nil(m:others "buy")
  end)

  it("is named, or is no part of inputs", function()
    local m = new_builder()
    assert.same({ "sample", 4 * 3 + 3 + 1 }, { m:inputs().domain, m:inputs().width })
    assert.same({ "click", 3 + 3 + 4 + 2 + 1 }, { m:inputs("click").domain,
      m:inputs("click").width })
    assert.same({ "click", 1 }, { m:numbers("click").domain, m:numbers("click").width })
    assert.same({ "seen", 4 }, { m:embed("seen").domain, m:embed("seen").width })
    assert.equal("sample", m:linear().domain)
    assert.equal("request", m:length("click").domain)
    assert.equal("sample", m:length("seen", { transform = "log1p" }).domain)
    assert.equal("sample", m:pool(m:sequence "seen").domain)
    assert.equal("request", m:pool(m:sequence("buy"), { kind = "sum" }).domain)
  end)

  it("is looked up once, however often it is asked for", function()
    local m = new_builder()
    local first = m:inputs "click"
    m:target "click"
    local nodes = C.mr_graph_nodes(m.handle)
    assert.equal(first.id, m:inputs("click").id)
    m:sequence "click"
    m:target "click"
    assert.equal(nodes + 1, C.mr_graph_nodes(m.handle)) -- the concat of the two that line up
    assert.not_equal(m:embed("item").id, m:embed("item", { part = "other" }).id)
    assert.not_equal(m:embed("tags").id, m:embed("tags", { pool = "sum" }).id)
  end)

  it("belongs to each sample where there is no request key", function()
    local m = new_builder((FIELDS:gsub("request: rid\n", "")))
    assert.equal("sample", m:length("click").domain)
    assert.equal("click", m:attention_unit(m:target "click", m:sequence "click").domain)
  end)
end)

describe("the attention unit", function()
  -- The nodes from `first` on, as "op(inputs)": what the planner has to recognise.
  local function nodes_from(m, first)
    local list, info = {}, mr.new "mr_node_info"
    for i = first, C.mr_graph_nodes(m.handle) - 1 do
      mr.check(C.mr_graph_describe(m.handle, i, info))
      list[#list + 1] = ("%s(%s)"):format(mr.string(info.op), table.concat(inputs_of(m, { id = i }),
        " "))
    end
    return list
  end

  it("is a network on q, k, q - k, q * k", function()
    local m = new_builder()
    local q, k = m:target "buy", m:sequence "buy"
    local first = C.mr_graph_nodes(m.handle)
    assert.same({ 0, 1 }, { q.id, k.id })
    local w = m:attention_unit(q, k)
    assert.same({ "sample x buy", 1 }, { w.domain, w.width })
    local nodes = nodes_from(m, first)
    assert.same({ "broadcast(0)", "broadcast(1)", "subtract(2 3)", "multiply(2 3)",
      "concat(2 3 4 5)" }, { unpack(nodes, 1, 5) }) -- under a dense layer, as the planner has it
    local rest = table.concat(nodes, " ", 6)
    assert.truthy(rest:find "^dense.* prelu%(%d+%) dense.* prelu%(%d+%) dense", rest)
  end)

  it("may have the outer product, another value of the sequence, a softmax", function()
    local m = new_builder()
    local q, k, others = m:target "click", m:sequence "click", m:others "click"
    local before = C.mr_graph_nodes(m.handle)
    local w = m:attention_unit(q, k, { hidden = {}, outer = true, extra = others, softmax = true })
    local list = nodes_from(m, before)
    assert.same({ "softmax", "sample x click" }, { w.op, w.domain })
    local concat = #list
    while not list[concat]:find "^concat" do concat = concat - 1 end
    local info = mr.new "mr_node_info"
    mr.check(C.mr_graph_describe(m.handle, before + concat - 1, info))
    assert.equal(4 * 7 + 7 * 7 + (3 + 2 + 1), info.width)
    assert.equal("outer", list[concat - 2]:match "^%a+")
  end)

  it("may be a scaled dot product instead", function()
    local m = new_builder()
    local w = m:attention_unit(m:target "seen", m:sequence "seen", { scaled_dot = true })
    assert.same({ "dot", "seen", 1 }, { w.op, w.domain, w.width })
  end)

  -- Two PReLU units on one-wide q and k: a number by hand for each weight.
  it("gives the worked numbers", function()
    local schema = g.schema({ { name = "q", type = "number" },
      { name = "k", type = "number", domain = "request", sequence = "click" } },
      { { name = "click", domain = "request" } })
    local m = g.builder(schema)
    local q, k = m:column { column = "q" }, m:column { column = "k" }
    local w = m:attention_unit(q, k, { hidden = { 2 }, name = "unit" })
    local soft = m:pool(k, { weight = m:softmax(w) })
    local dot = m:pool(k, { weight = m:attention_unit(q, k, { scaled_dot = true }) })
    local interest, model = m:pool(k, { weight = w }), g.model(m)
    for name, values in pairs {
      ["unit_dense_1.weight"] = { 0.5, -0.3, 0.2, 0.4, -0.1, 0.1, 0.3, 0.2 },
      ["unit_dense_1.bias"] = { 0, 0.1 }, ["unit_out_1.weight"] = { 0.7, -0.5 },
      ["unit_out_1.bias"] = { 0.05 } } do
      local weights = g.weight(model, name)
      for i, x in ipairs(values) do weights[i - 1] = x end
    end
    mr.check(C.mr_model_changed(model))
    local batch = g.batch(schema, { 2, 1 }) -- both ads, then one without behaviours
    g.set_lengths(batch, schema, "click", { 3, 0 })
    g.fill(batch, schema, "q", 3, function(i) return ({ 2, -1, 2 })[i + 1] end)
    g.fill(batch, schema, "k", 3, function(i) return ({ 1, -1, 3 })[i + 1] end)
    local function values(node, rows) return g.predict(model, Pool.new(1), batch, node, rows) end
    helper.all_near({ 1.04, 0.1575, 1.6, -0.22, -0.12, -0.32 }, values(w, 6), 1e-6)
    helper.all_near({ 5.6825, -1.06, 0 }, values(interest, 3), 1e-6)
    helper.all_near({ 1.844973, 0.866888, 0 }, values(soft, 3), 1e-6)
    helper.all_near({ 2 * (1 + 1 + 9), -1 * (1 + 1 + 9), 0 }, values(dot, 3), 1e-5)
  end)
end)

describe("what is wrong with a sequence in a script", function()
  local m = new_builder()
  local function wrong(message, f, ...)
    local ok, got = pcall(f, ...)
    assert.is_false(ok)
    -- The line is that of this file, wherever in the builder it was found out.
    local about = debug.getinfo(f, "S")
    local line = tonumber(got:match "^tests/lua/sequence_blocks_spec%.lua:(%d+): ")
    assert.truthy(line and line >= about.linedefined and line <= about.lastlinedefined, got)
    assert.equal(("tests/lua/sequence_blocks_spec.lua:%d: %s"):format(line, message), got)
  end

  it("is said at the script's own line", function()
    wrong('sequence: no sequence "clik"; did you mean "click"?', function() m:sequence "clik" end)
    wrong('target: no sequence "itm"', function() m:target "itm" end)
    wrong('length: no sequence "buyy"; did you mean "buy"?', function() m:length "buyy" end)
    wrong('no field, side or sequence "click.itm"; did you mean "click.item"?',
      function() m:embed "click.itm" end)
    wrong('target: no member of sequence "when" has the name and table of an id field; '
      .. 'm:embed "when" has all members', function() m:target "when" end)
    wrong("attention_unit: q is 4 wide and k 7; m:target and m:sequence give the same fields of "
      .. "both", function() m:attention_unit(m:target "buy", m:sequence "click") end)
    wrong('subtract: inputs are of sequence "buy" and of sequence "seen"; pool one of them first',
      function() m:attention_unit(m:sequence "buy", m:sequence "seen") end)
    wrong('concat: inputs are of sequence "buy" and of the pairs of sequence "click"; pool one of '
      .. "them first", function()
      m:concat { m:sequence "buy", m:add { m:embed "item", m:embed "click.item" } }
    end)
    wrong('concat: inputs are of sequence "click" and of sequence "buy"; pool one of them first',
      function() m:concat { m:inputs(), m:inputs "click", m:inputs "buy" } end)
    -- With an ad beside it the value is of pairs, which no script speaks of.
    for _, x in ipairs { m:inputs "click", m:concat { m:inputs(), m:inputs "click" } } do
      wrong('logloss: logit has a row for each behaviour of sequence "click", expected one for '
        .. "each sample; pool it first", function() m:task("ctr", m:dense(x, { out = 1 })) end)
    end
    wrong('logloss: logit has a row for each behaviour of sequence "seen", expected one for '
      .. "each sample; pool it first",
      function() m:task("ctr", m:dense(m:inputs "seen", { out = 1 })) end)
    wrong("attention_unit: input k is missing", function() m:attention_unit(m:target "buy") end)
    wrong('attention_unit: input 1 is a string, expected a value of the graph',
      function() m:attention_unit("ad", "click") end)
    wrong('attention_unit: unknown option "hiden"; did you mean "hidden"?',
      function() m:attention_unit(m:target "buy", m:sequence "buy", { hiden = {} }) end)
    wrong('attention_unit: no activation "dise"; did you mean "dice"?',
      function() m:attention_unit(m:target "buy", m:sequence "buy", { activation = "dise" }) end)
    wrong("attention_unit: hidden is 80, expected a list of widths",
      function() m:attention_unit(m:target "buy", m:sequence "buy", { hidden = 80 }) end)
    wrong("attention_unit: outer does not go with scaled_dot, which has no layers",
      function() m:attention_unit(m:target "buy", m:sequence "buy",
        { scaled_dot = true, outer = true }) end)
    wrong('pool: kind is "mean", with a weight it is sum',
      function() m:pool(m:sequence "buy", { kind = "mean", weight = m:sequence "buy" }) end)
    wrong("pool_weighted: weight is 4 wide, expected 1",
      function() m:pool(m:sequence "buy", { weight = m:sequence "buy" }) end)
    wrong('pool: unknown option "how"', function() m:pool(m:sequence "buy", { how = "mean" }) end)
    wrong("pool: input x is missing", function() m:pool() end)
    wrong("call it with a colon: m:sequences(...)", function() m.sequences "user" end)
    local plain = new_builder(FIELDS:match "^.*price[^\n]*number}\n")
    wrong('sequence: no sequence "click", the fields file has none',
      function() plain:sequence "click" end)
  end)
end)

describe("the scripts about histories", function()
  it("run where a user has nothing but a history", function()
    local fields = Schema.new(assert(config.fields "examples/beauty/fields.yaml")).fields
    local script = require "moonrank.script"
    for name, inputs in pairs { din = 4 * 32, base = 4 * 32, youtube_dnn = 2 * 32 } do
      local loaded = assert(script.load(name))
      local model = require "moonrank.model".new(loaded, { fields = fields,
        options = loaded.options })
      local first = name == "din" and "dense_4.weight" or "dense_1.weight"
      assert.equal(inputs, (select(2, g.weight(model.handle, first))), name)
    end
  end)
end)

describe("a network", function()
  for _, activation in ipairs { "prelu", "dice" } do
    it("may have " .. activation .. " between its layers", function()
      local m = new_builder()
      local y = m:mlp(m:inputs(), { hidden = { 5, 3 }, activation = activation, out = 1 })
      assert.equal(1, y.width)
      local model = g.model(m)
      for i, width in ipairs { 5, 3 } do
        local alpha, _, columns = g.weight(model, ("%s_%d.alpha"):format(activation, i))
        assert.equal(width, columns)
        assert.equal(activation == "prelu" and 0.25 or 0, alpha[0])
      end
      if activation == "dice" then
        assert.equal(0, g.weight(model, "dice_2.moving_mean")[2])
        assert.equal(1, g.weight(model, "dice_2.moving_variance")[2])
      end
    end)
  end
end)
