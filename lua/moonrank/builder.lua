--- What a model script's `build` receives: one method for every op of the engine, made from the
-- engine's own list, and the blocks that scripts share (embed, mlp, task ...).
--
-- A script only describes. Every call adds a node to the engine's graph; mistakes raise at the
-- script's own line.
-- @classmod moonrank.Builder
local mr = require "moonrank.ffi"
local sorted_keys = require "moonrank.sorted_keys"
local suggest = require "moonrank.suggest"
local C = mr.C

local Builder = {}
Builder.__index = Builder

-- A value in the graph: [rows of its domain, width].
local Node = {}
Node.__index = Node
Node.__tostring = function(node)
  return ("%s [%s, %d]"):format(node.op, node.domain, node.width)
end

--- What a domain is called: "request", "sample", the name of a sequence, or that of its pairs,
-- "sample x click".
-- @param graph  `mr_graph *`
-- @param domain  a number of the engine's
-- @treturn string
function Builder.domain_name(graph, domain)
  if domain == C.MR_REQUEST then return "request" end
  if domain == C.MR_SAMPLE then return "sample" end
  local spec = mr.new "mr_sequence_spec"
  local sequence = math.floor((domain - C.MR_DOMAINS) / 2)
  mr.check(C.mr_schema_sequence(C.mr_graph_schema(graph), sequence, spec))
  local name = mr.string(spec.name)
  return domain % 2 == C.MR_DOMAINS % 2 and name or "sample x " .. name
end

-- ---- the engine's list of ops ----

local KIND_NAMES = {
  [C.MR_WHOLE] = "a whole number", [C.MR_REAL] = "a number", [C.MR_CHOICE] = "a word",
  [C.MR_COLUMN] = "a column's name", [C.MR_NAME] = "a name",
}

local function describe_option(op, index)
  local info = mr.new "mr_op_option_info"
  mr.check(C.mr_op_option_describe(op, index, info))
  local function text(p) return p ~= nil and mr.string(p) or nil end
  return {
    name = mr.string(info.name), doc = mr.string(info.doc), kind = tonumber(info.kind),
    choices = text(info.choices), preset = text(info.text) or tonumber(info.preset),
    least = info.least, most = info.most, required = info.required ~= 0,
    numeric = info.kind == C.MR_WHOLE or info.kind == C.MR_REAL,
  }
end

local function describe_op(index)
  local info = mr.new "mr_op_info"
  mr.check(C.mr_op_describe(index, info))
  local op = { name = mr.string(info.name), doc = mr.string(info.doc), inputs = {}, options = {},
    samples = {}, variadic = info.variadic ~= 0, objective = info.objective ~= 0,
    internal = info.internal ~= 0, activation = info.activation ~= 0 }
  for i = 0, info.n_inputs - 1 do op.inputs[i + 1] = mr.string(info.inputs[i]) end
  for i = 0, info.n_options - 1 do op.options[i + 1] = describe_option(index, i) end
  for i = 0, info.n_samples - 1 do op.samples[i + 1] = mr.string(C.mr_op_sample(index, i)) end
  for _, option in ipairs(op.options) do op.options[option.name] = option end
  return op
end

local op_list

--- The ops of the engine, by number and by name: name, doc, inputs (names), variadic, objective,
-- internal, options (name, doc, kind, preset, least, most, choices, required), samples.
-- @treturn table
function Builder.ops()
  if op_list then return op_list end
  op_list = {}
  for i = 0, C.mr_op_count() - 1 do
    local op = describe_op(i)
    op_list[i + 1], op_list[op.name] = op, op
  end
  return op_list
end

-- ---- mistakes ----

local own_sources = { [debug.getinfo(1, "S").source] = true }

-- Raise at the line of whoever called the builder: the script, or a block that it defines.
local function fail(message)
  for level = 2, 100 do
    local info = debug.getinfo(level, "Sl")
    if not info then break end
    if not own_sources[info.source] and info.currentline > 0 then
      error(("%s:%d: %s"):format(info.short_src, info.currentline, message), 0)
    end
  end
  error(message, 0)
end

-- ---- adding nodes ----

local function option_names(op)
  local names = { "name" }
  for i, option in ipairs(op.options) do names[i + 1] = option.name end
  return names
end

-- Options in the order of their names, so that the same script gives the same model file.
local function check_options(op, given)
  local names, options = {}, {}
  for name in pairs(given) do names[#names + 1] = tostring(name) end
  table.sort(names)
  for _, name in ipairs(names) do
    local option, value = op.options[name], given[name]
    if name == "name" then
      if type(value) ~= "string" then fail(op.name .. ": name is not a text") end
    elseif not option then
      fail(('%s: unknown option "%s"%s'):format(op.name, name,
        suggest.phrase(name, option_names(op))))
    elseif type(value) ~= (option.numeric and "number" or "string") then
      fail(("%s: %s is %s, expected %s"):format(op.name, name,
        type(value) == "string" and '"' .. value .. '"' or tostring(value),
        KIND_NAMES[option.kind]))
    else
      options[#options + 1] = { name = name, value = value, numeric = option.numeric }
    end
  end
  return options
end

local function check_inputs(self, op, inputs)
  for i = 1, table.maxn(inputs) do -- a list may have holes
    local node = inputs[i]
    if getmetatable(node) ~= Node then
      fail(("%s: input %d is %s, expected a value of the graph"):format(op.name, i,
        node == nil and "nil" or "a " .. type(node)))
    elseif node.builder ~= self then
      fail(("%s: input %d belongs to another model"):format(op.name, i))
    end
  end
end

-- The name that leads a node's weights: the op's, numbered in order.
local function weight_name(self, op, given)
  if given then return given end
  self.counts[op.name] = (self.counts[op.name] or 0) + 1
  return ("%s_%d"):format(op.name, self.counts[op.name])
end

local function add(self, op, inputs, given)
  if not self.handle then fail("the graph is closed") end
  check_inputs(self, op, inputs)
  local options = check_options(op, given)
  local name = weight_name(self, op, given.name)
  local ids = mr.new("int32_t[?]", math.max(#inputs, 1))
  for i, node in ipairs(inputs) do ids[i - 1] = node.id end
  local list = mr.new("mr_option[?]", math.max(#options, 1))
  for i, option in ipairs(options) do
    list[i - 1].name = option.name
    if option.numeric then list[i - 1].number = option.value
    else list[i - 1].text = option.value end
  end
  local id = mr.new "int32_t[1]"
  if C.mr_graph_add(self.handle, op.name, name, ids, #inputs, list, #options, id) < 0 then
    fail(mr.last_error())
  end
  local info = mr.new "mr_node_info"
  mr.check(C.mr_graph_describe(self.handle, id[0], info))
  return setmetatable({ id = id[0], op = op.name, width = info.width, builder = self,
    domain = Builder.domain_name(self.handle, info.domain) }, Node)
end

-- m:dense(x, { out = 8 }), m:concat { a, b }, m:lookup { column = "age", dim = 4 }: the inputs,
-- of a variadic op as one list, then the options.
local function method(op)
  return function(self, ...)
    local n = op.variadic and 1 or #op.inputs
    local inputs, given = {}, select(n + 1, ...)
    for i = 1, n do
      inputs[i] = (select(i, ...))
      if inputs[i] == nil and not op.variadic then
        fail(("%s: input %s is missing"):format(op.name, op.inputs[i]))
      end
    end
    if op.variadic then
      inputs = inputs[1]
      if type(inputs) ~= "table" or getmetatable(inputs) == Node then
        fail(("%s: expected a list of inputs"):format(op.name))
      end
    end
    if given ~= nil and (type(given) ~= "table" or getmetatable(given) == Node) then
      fail(("%s: expected a table of options after the inputs"):format(op.name))
    end
    return add(self, op, inputs, given or {})
  end
end

for _, op in ipairs(Builder.ops()) do
  if not op.internal then Builder[op.name] = method(op) end
end

--- Start an empty graph over a schema's columns.
-- @tparam Schema schema
-- @tparam[opt] table init  start of embedding rows: { normal = s } or { uniform = s }
-- @tparam[opt] table task_weights  of tasks in the loss, by name (1)
-- @treturn Builder
function Builder.new(schema, init, task_weights)
  local out = mr.new "mr_graph *[1]"
  mr.check(C.mr_graph_new(out, schema.handle))
  return setmetatable({ handle = mr.gc(out[0], C.mr_graph_free), schema = schema, counts = {},
    known = {}, fields = schema.fields, sequence_list = schema.sequences,
    init = init or { normal = 0.01 }, tasks = {}, task_weights = task_weights or {} }, Builder)
end

--- A builder around the graph of a model file: nothing is added to it.
-- @param handle  `mr_graph *`, owned from now on
-- @treturn Builder
function Builder.open(handle)
  local self = setmetatable({ handle = handle, counts = {}, known = {}, fields = {},
    sequence_list = {}, tasks = {} }, Builder)
  local info, task = mr.new "mr_node_info", mr.new "mr_task_info"
  local function node(id)
    mr.check(C.mr_graph_describe(handle, id, info))
    return setmetatable({ id = id, op = mr.string(info.op), width = info.width, builder = self,
      domain = Builder.domain_name(handle, info.domain) }, Node)
  end
  for i = 0, C.mr_graph_tasks(handle) - 1 do
    mr.check(C.mr_graph_task(handle, i, task))
    self.tasks[i + 1] = { name = mr.string(task.name), logit = node(task.logit),
      probability = node(task.probability) }
  end
  return self
end

-- ---- blocks ----

local function check_self(self, what)
  if type(self) ~= "table" or getmetatable(self) ~= Builder then
    fail(("call it with a colon: m:%s(...)"):format(what))
  end
end

-- The options of a block: a table with no names but these.
local function check_names(what, opt, known)
  if type(opt) ~= "table" or getmetatable(opt) == Node then
    fail(("%s: expected a table of options, got %s"):format(what,
      opt == nil and "nothing" or tostring(opt)))
  end
  local names = sorted_keys(known)
  for name in pairs(opt) do
    if not known[name] then
      fail(('%s: unknown option "%s"%s'):format(what, tostring(name),
        suggest.phrase(tostring(name), names)))
    end
  end
end

local function listed(which) return type(which) == "table" and which or { which or "all" } end

local SIDES = { user = true, ad = true, scene = true, context = true }

local function known_names(self)
  local names = { "all", "user", "ad", "scene", "context" }
  for _, field in ipairs(self.fields) do names[#names + 1] = field.name end
  for _, sequence in ipairs(self.sequence_list) do
    names[#names + 1] = sequence.name
    for _, member in ipairs(sequence.members) do names[#names + 1] = member.name end
  end
  return names
end

-- The fields of a side, of a name, or "all", and the members of sequences that are named, in the
-- order of the fields file. Sequences have no part in "all" and sides: their rows are others.
local function select_fields(self, which)
  local chosen, found = {}, {}
  for _, name in ipairs(listed(which)) do chosen[name] = true end
  local fields = {}
  local function take(field, name, of_all)
    if not (chosen[field.name] or chosen[name] or of_all) then return end
    fields[#fields + 1] = field
    found[field.name], found[name] = true, true
  end
  for _, field in ipairs(self.fields) do take(field, field.side, chosen.all) end
  for _, sequence in ipairs(self.sequence_list) do
    for _, member in ipairs(sequence.members) do take(member, sequence.name) end
  end
  for _, name in ipairs(listed(which)) do
    if not found[name] and name ~= "all" and not SIDES[name] then
      fail(('no field, side or sequence "%s"%s'):format(tostring(name),
        suggest.phrase(tostring(name), known_names(self))))
    end
  end
  return fields
end

-- A value that was asked for before is the same node, so nothing is looked up or copied twice.
local function once(self, key, make)
  self.known[key] = self.known[key] or make()
  return self.known[key]
end

local function column_of(self, field)
  return once(self, "column " .. field.name, function()
    return add(self, Builder.ops().column, {}, { column = field.name })
  end)
end

-- The number and vector fields of a selection, behind other nodes.
local function add_columns(self, which, nodes)
  for _, field in ipairs(select_fields(self, which)) do
    if field.type == "number" or field.type == "vector" then
      nodes[#nodes + 1] = column_of(self, field)
    end
  end
  return nodes
end

local EMBED_OPTIONS = { dim = true, part = true, pool = true, start = true, scale = true }

local function lookup_of(self, field, opt)
  local start = opt.start or (self.init.uniform and "uniform" or "normal")
  local options = {
    column = field.name, dim = opt.dim or field.dim,
    part = type(opt.part) == "function" and opt.part(field) or opt.part,
    pool = opt.pool or field.pool, start = start, scale = opt.scale or self.init[start],
  }
  local key = ("lookup %s %s %s %s %s %s"):format(options.column, options.dim, options.part,
    options.pool, options.start, options.scale)
  return once(self, key, function() return add(self, Builder.ops().lookup, {}, options) end)
end

local function lookups_of(self, fields, opt)
  local nodes = {}
  for _, field in ipairs(fields) do
    if field.type == "id" or field.type == "ids" then
      nodes[#nodes + 1] = lookup_of(self, field, opt)
    end
  end
  return nodes
end

local function lookups(self, which, opt)
  check_self(self, "embed")
  check_names("embed", opt, EMBED_OPTIONS)
  return lookups_of(self, select_fields(self, which), opt)
end

local function joined(self, nodes)
  if #nodes == 0 then return nil end
  if #nodes == 1 then return nodes[1] end
  local ids = {}
  for i, node in ipairs(nodes) do ids[i] = node.id end
  return once(self, "concat " .. table.concat(ids, " "), function()
    return add(self, Builder.ops().concat, nodes, {})
  end)
end

--- The embeddings of id fields, side by side.
-- @param[opt="all"] which  a side (user, ad, scene, context), the name of a field, of a sequence or
-- of a member of one ("click.ad_id"), or a list of them; sequences are in no side, nor in "all"
-- @tparam[opt] table opt  dim (the table's), part ("embedding"), pool (the field's), start, scale
-- @treturn ?Node nil where there is no id field
function Builder:embed(which, opt) return joined(self, lookups(self, which, opt or {})) end

--- The values of number and vector fields, side by side.
-- @param[opt="all"] which  as of embed
-- @treturn ?Node nil where there is no such field
function Builder:numbers(which)
  check_self(self, "numbers")
  return joined(self, add_columns(self, which, {}))
end

--- Embeddings and numbers, side by side: what a network reads.
-- @param[opt="all"] which  as of embed
-- @tparam[opt] table opt  as of embed
-- @treturn Node
-- @raise when there is no field
function Builder:inputs(which, opt)
  local nodes = add_columns(self, which, lookups(self, which, opt or {}))
  return joined(self, nodes) or fail("inputs: there is no field")
end

-- Fields that share a table share embeddings, but what an id tells as a clicked ad is not what it
-- tells as the ad that is shown: in a linear model each field has weights of its own.
local function linear_part(field)
  if field.table == nil or field.table == field.name then return "linear" end
  return "linear." .. field.name
end

--- A linear model: one weight for each id of each field (part "linear", or "linear.<field>" in a
-- table of another name; started at zero) and for each number, also of vectors, and a bias.
-- @param[opt="all"] which  as of embed
-- @treturn Node [rows, 1]
-- @raise when there is no field
function Builder:linear(which)
  local ids = joined(self, lookups(self, which, { dim = 1, part = linear_part, start = "zero" }))
  local numbers = self:numbers(which)
  local ops = Builder.ops()
  local weighted = numbers
    and add(self, ops.dense, { numbers }, { out = 1, start = "normal", scale = 0 })
  local summed = ids and add(self, ops.sum, { ids }, {})
  if summed and weighted then return add(self, ops.add, { summed, weighted }, {}) end
  if weighted then return weighted end -- its own bias is the model's
  if not summed then fail("linear: there is no field") end
  return add(self, ops.bias, { summed }, {})
end

local MLP_OPTIONS = { hidden = true, activation = true, dropout = true, batch_norm = true,
  out = true, name = true }

local function activation_of(what, name)
  local ops, names = Builder.ops(), {}
  for _, op in ipairs(ops) do
    if op.activation then names[#names + 1] = op.name end
  end
  local op = ops[name]
  if op and op.activation then return op end
  local hint = suggest.phrase(tostring(name), names)
  return fail(('%s: no activation "%s"%s'):format(what, tostring(name),
    hint ~= "" and hint or ", expected one of: " .. table.concat(names, ", ")))
end

local function check_hidden(what, hidden)
  for i, width in ipairs(type(hidden) == "table" and hidden or { "x" }) do
    if type(width) ~= "number" then
      fail(("%s: hidden is %s, expected a list of widths"):format(what,
        i == 1 and tostring(hidden) or "a list with " .. tostring(width)))
    end
  end
end

-- The layers of a network that may be part of a block called `what`.
local function layers(self, what, x, opt)
  check_hidden(what, opt.hidden or {})
  local ops = Builder.ops()
  local activation = activation_of(what, opt.activation or "relu")
  local function named(kind, i) return opt.name and ("%s_%s_%d"):format(opt.name, kind, i) end
  for i, width in ipairs(opt.hidden or {}) do
    x = add(self, ops.dense, { x }, { out = width, name = named("dense", i) })
    if opt.batch_norm then x = add(self, ops.batch_norm, { x }, { name = named("norm", i) }) end
    x = add(self, activation, { x }, {})
    if (opt.dropout or 0) > 0 then
      x = add(self, ops.dropout, { x }, { rate = opt.dropout })
    end
  end
  if opt.out then x = add(self, ops.dense, { x }, { out = opt.out, name = named("out", 1) }) end
  return x
end

--- Dense layers: for each width of `hidden` a dense layer, batch norm if asked for, activation and
-- dropout; then a last dense layer of width `out`, if given.
-- @tparam Node x
-- @tparam table opt  hidden ({}), activation ("relu"), dropout (0), batch_norm (false), out, name
-- @treturn Node
function Builder:mlp(x, opt)
  check_self(self, "mlp")
  check_names("mlp", opt, MLP_OPTIONS)
  return layers(self, "mlp", x, opt)
end

--- The names of the tasks that the fields file has labels of.
-- @treturn {string,...} ascending
function Builder:task_names()
  check_self(self, "task_names")
  local names = {}
  for i, task in ipairs(self.schema.tasks) do names[i] = task.name end
  table.sort(names)
  return names
end

--- Say what the model predicts: a logit trained with logloss against the label of a task; the loss
-- is the sum over the tasks.
-- @tparam string name  a task of the fields file
-- @tparam Node logit  [sample, 1]
-- @raise when the fields file has no such task
function Builder:task(name, logit)
  check_self(self, "task")
  for _, task in ipairs(self.tasks) do
    if task.name == name then fail(('task "%s" is there already'):format(tostring(name))) end
  end
  if getmetatable(logit) ~= Node then
    fail(("task: the logit is %s, expected a value of the graph"):format(
      logit == nil and "nil" or "a " .. type(logit)))
  end
  local names, found = {}, nil
  for i, task in ipairs(self.schema.tasks) do
    names[i] = task.name
    if task.name == name then found = task end
  end
  if not found then
    fail(('no task "%s", the label has %s%s'):format(tostring(name), table.concat(names, ", "),
      suggest.phrase(tostring(name), names)))
  end
  local ops = Builder.ops()
  check_inputs(self, ops.logloss, { logit })
  -- A logit of the request alone is the same for its samples; the outputs are theirs.
  if logit.domain == "request" then logit = add(self, ops.broadcast, { logit }, {}) end
  local label = add(self, ops.column, {}, { column = found.column_name })
  add(self, ops.logloss, { logit, label }, { weight = self.task_weights[name] })
  local rate = self.schema.config and self.schema.config.data.sample_rate
  if type(rate) == "table" then rate = rate[name] end
  -- p / (p + (1 - p) / rate) is the sigmoid of the logit and log(rate).
  if rate and rate ~= 1 then logit = add(self, ops.shift, { logit }, { by = math.log(rate) }) end
  local probability = add(self, ops.sigmoid, { logit }, {})
  mr.check(C.mr_graph_add_task(self.handle, name, logit.id, probability.id), 1)
  table.insert(self.tasks, { name = name, logit = logit, probability = probability })
end

--- Keep a node's gradient for mr_run_watched, for tests and gradient checks.
-- @tparam Node node
function Builder:watch(node)
  mr.check(C.mr_graph_watch(mr.handle(self, "the graph"), node.id), 1)
end

--- The graph, for a model that will point into it: it then lives as long as the model, whenever the
-- builder is closed.
-- @return `mr_graph *`
function Builder:share()
  self.shared = true
  return mr.handle(self, "the graph")
end

--- Free the graph now rather than at some later collection, unless models share it. May be called
-- twice.
function Builder:close()
  if self.handle and not self.shared then C.mr_graph_free(mr.gc(self.handle, nil)) end
  self.handle = nil
end

require "moonrank.sequence_blocks".install(Builder, { add = add, fail = fail, joined = joined,
  lookups_of = lookups_of, layers = layers, check_self = check_self, check_names = check_names,
  check_inputs = check_inputs, embed_options = EMBED_OPTIONS, own_sources = own_sources })

return Builder
