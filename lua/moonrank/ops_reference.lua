--- The reference of what a model script can call and of the optimizers, as text for the terminal
-- and as the page docs/ops.md. Ops and optimizers are the engine's own lists; a test holds the page
-- against them.
-- @module moonrank.ops_reference
local Builder = require "moonrank.builder"
local joined = require "moonrank.joined"
local mr = require "moonrank.ffi"
local C = mr.C

local M = {}

-- Methods of moonrank.builder that are made of ops. A test holds their names against it.
local BLOCKS = {
  { 'm:embed(which, { dim, part, pool, start, scale })',
    "the embeddings of id and ids fields, side by side; nil where there is none" },
  { 'm:numbers(which)', "the values of number fields, side by side; nil where there is none" },
  { 'm:inputs(which, { dim, part, pool, start, scale })', "embeddings and numbers, side by side" },
  { 'm:linear(which)', "a weight for each id (part \"linear\" of the tables) and number, and a "
    .. "bias: one number a row" },
  { 'm:sequences(side)', "the names of the sequences, of a side or all" },
  { 'm:sequence(name, { dim, part, pool, start, scale })', "the behaviours of a sequence: the "
    .. "embeddings of its members that a field has the name and table of, side by side" },
  { 'm:target(name, { dim, part, pool, start, scale })', "what they are held against: the "
    .. "embeddings of these fields, from the same tables and as wide" },
  { 'm:others(name, { dim, part, pool, start, scale })', "embeddings and numbers of the other "
    .. "members; nil where there are none" },
  { 'm:attention_unit(q, k, { hidden, activation, outer, extra, scaled_dot, softmax, name })',
    "a weight for each pair of m:target q and m:sequence k: a network of hidden ({ 80, 40 }) and "
    .. "activation (\"prelu\") on q, k, q - k, q * k, with outer their outer product too, with "
    .. "extra a value of the sequence; with scaled_dot q k / sqrt(width) instead; with softmax "
    .. "weights add up to 1" },
  { 'm:pool(x, { kind, weight })', "the rows of x that belong together as one: as the op, or with "
    .. "weight as pool_weighted" },
  { 'm:length(name, { transform })', "how many behaviours a sequence has; of the op, without the "
    .. "name of a column" },
  { 'm:mlp(x, { hidden, activation, dropout, batch_norm, out, name })',
    "for each width of hidden a dense layer, batch_norm if true, the activation (\"relu\") and "
    .. "dropout (0); then a dense layer of width out, if given" },
  { 'm:task(name, logit)', "what the model predicts: logit is trained with logloss against the "
    .. "label of that name in the fields file; the loss is the sum over tasks" },
  { 'm:task_names()', "the tasks of the fields file, ascending" },
}

-- ---- the engine's lists as words ----

local function words_of(option)
  local words = {}
  for word in option.choices:gmatch "%S+" do words[#words + 1] = word end
  return words
end

local function range_of(noun, option)
  return ("%s %.10g to %.10g"):format(noun, option.least, option.most)
end

-- What a script writes for the option.
local function value_of(option)
  if option.kind == C.MR_WHOLE then return range_of("a whole number", option) end
  if option.kind == C.MR_REAL then return range_of("a number", option) end
  if option.kind == C.MR_COLUMN then return "a column's name" end
  if option.kind == C.MR_NAME then return "text" end
  return joined(words_of(option), "or")
end

local function condition_of(option)
  if option.required then return "required" end
  local preset = option.preset
  if option.kind == C.MR_CHOICE then preset = words_of(option)[preset + 1] end
  return "default " .. (type(preset) == "number" and ("%.10g"):format(preset) or preset)
end

-- How a script calls an op.
local function call_of(op)
  local inputs, names = table.concat(op.inputs, ", "), {}
  for i, option in ipairs(op.options) do names[i] = option.name end
  local options = #names > 0 and "{ " .. table.concat(names, ", ") .. " }" or nil
  if #op.inputs == 0 then return ("m:%s%s"):format(op.name, options and " " .. options or "()") end
  if op.variadic then inputs = ("{ %s, ... }"):format(inputs) end
  if op.variadic and not options then return ("m:%s %s"):format(op.name, inputs) end
  return ("m:%s(%s%s)"):format(op.name, inputs, options and ", " .. options or "")
end

--- The optimizers of the engine: name, doc, options (name, doc, kind, preset, least, most).
-- @treturn {table,...}
function M.optimizers()
  local list, info, option = {}, mr.new "mr_optimizer_info", mr.new "mr_op_option_info"
  for i = 0, C.mr_optimizer_count() - 1 do
    mr.check(C.mr_optimizer_describe(i, info))
    local optimizer = { name = mr.string(info.name), doc = mr.string(info.doc), options = {} }
    for k = 0, info.n_options - 1 do
      mr.check(C.mr_optimizer_option_describe(i, k, option))
      optimizer.options[k + 1] = { name = mr.string(option.name), doc = mr.string(option.doc),
        kind = tonumber(option.kind), preset = tonumber(option.preset), least = option.least,
        most = option.most }
    end
    list[i + 1] = optimizer
  end
  return list
end

-- Call visit(title, doc, options) for every op of scripts, and for every optimizer.
local function each_op(visit)
  for _, op in ipairs(Builder.ops()) do
    if not op.internal then visit(call_of(op), op.doc, op.options) end
  end
end

local function each_optimizer(visit)
  for _, o in ipairs(M.optimizers()) do visit(o.name, o.doc, o.options) end
end

--- Names of the methods that are described beside the ops.
-- @treturn {string,...}
function M.blocks()
  local names = {}
  for i, block in ipairs(BLOCKS) do names[i] = block[1]:match "^m:([%w_]+)" end
  return names
end

-- ---- text ----

--- Text for the terminal.
-- @treturn string
function M.text()
  local lines = {}
  local function line(...) lines[#lines + 1] = string.format(...) end
  local function entry(title, doc, options)
    line("  %s", title)
    line("      %s", doc)
    for _, option in ipairs(options) do
      line("      %s: %s; %s", option.name, value_of(option), condition_of(option))
      line("          %s", option.doc)
    end
  end
  line "Blocks of a model script."
  for _, block in ipairs(BLOCKS) do entry(block[1], block[2], {}) end
  line "\nOps of a model script. Inputs are values of the graph; options stand in one table."
  each_op(entry)
  line "\nOptimizers: train.optimizer of an experiment file."
  each_optimizer(entry)
  return table.concat(lines, "\n") .. "\n"
end

-- ---- the page ----

local INTRODUCTION = [[
# Ops and optimizers

<!-- Made by `moonrank help ops --markdown` from the engine's own lists; do not edit. -->

What a model script can call on the `m` that its `build` receives. Every value is a matrix: a row
for each row of its domain (request, sample, a sequence), a column for each number. A value of the
request domain is seen by all samples of the request, so the two can be inputs of one op; a sample
and a behaviour of its request meet in a pair ([architecture.md](architecture.md), section 3).
Inputs come first; options stand in one table. Every op also takes `name`, which leads the names
of its weights; without it they are called after the op and counted: `dense_1.weight`,
`dense_2.weight`.

## Blocks

Made of ops; `which` is a side (`user`, `ad`, `scene`, `context`), `"all"` (the default; of sides
and `"all"` the fields, not the sequences), the name of a field, a sequence or a member of one
(`click.ad_id`), or a list of these. What is asked for twice is computed once.
]]

local function escaped(text) return (text:gsub("[<>*_|]", "\\%0")) end

--- The page docs/ops.md.
-- @treturn string
function M.markdown()
  local lines = { INTRODUCTION, "| call | value |\n|---|---|" }
  local function line(...) lines[#lines + 1] = string.format(...) end
  local function entry(title, doc, options)
    line("### %s\n\n%s\n", title, escaped(doc))
    if #options == 0 then return end
    line "| option | value | | meaning |\n|---|---|---|---|"
    for _, option in ipairs(options) do
      line("| `%s` | %s | %s | %s |", option.name, escaped(value_of(option)),
        escaped(condition_of(option)), escaped(option.doc))
    end
    line ""
  end
  for _, block in ipairs(BLOCKS) do line("| `%s` | %s |", block[1], escaped(block[2])) end
  line "\n## Ops\n"
  each_op(function(title, doc, options) entry(("`%s`"):format(title), doc, options) end)
  line "## Optimizers\n"
  line "`train.optimizer` of an experiment file, and `train.tables.optimizer` for embedding rows.\n"
  each_optimizer(entry)
  return (table.concat(lines, "\n"):gsub("\n+$", "\n"))
end

return M
