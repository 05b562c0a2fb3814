--- The blocks of a builder about sequences: behaviours, what they are held against, and how any
-- number of them becomes one vector.
--
-- A sequence's members that have a field of the same name and table line up with it: `sequence`
-- gives their embeddings, `target` those of the fields, from the same tables and in the same order,
-- so that a behaviour and an ad can be subtracted, multiplied and compared.
-- @submodule moonrank.Builder
local suggest = require "moonrank.suggest"

local Blocks = {}

local tools -- the builder's own functions: of `install`

local UNIT_OPTIONS = { hidden = true, activation = true, outer = true, softmax = true,
  scaled_dot = true, extra = true, name = true }
local POOL_OPTIONS = { kind = true, weight = true, name = true }

local function find(self, what, name)
  tools.check_self(self, what)
  local names = {}
  for i, sequence in ipairs(self.sequence_list) do
    if sequence.name == name then return sequence end
    names[i] = sequence.name
  end
  return tools.fail(('%s: no sequence "%s"%s'):format(what, tostring(name),
    #names == 0 and ", the fields file has none" or suggest.phrase(tostring(name), names)))
end

--- The names of the sequences, in the order of the fields file.
-- @tparam[opt] string side  user, ad, scene or context: of these only
-- @treturn {string,...}
function Blocks:sequences(side)
  tools.check_self(self, "sequences")
  local names = {}
  for _, sequence in ipairs(self.sequence_list) do
    if side == nil or sequence.side == side then names[#names + 1] = sequence.name end
  end
  return names
end

local function aligned(self, what, name, opt, pick)
  local sequence, chosen = find(self, what, name), {}
  tools.check_names(what, opt, tools.embed_options)
  for _, member in ipairs(sequence.members) do chosen[#chosen + 1] = pick(member) end
  return tools.joined(self, tools.lookups_of(self, chosen, opt)) or tools.fail(('%s: no member of '
    .. 'sequence "%s" has the name and table of an id field; m:embed "%s" has all members'):format(
    what, name, name))
end

--- The behaviours of a sequence: the embeddings of its members that have a field of their name and
-- table, side by side in the order of the fields file. (Of all members: embed, numbers, inputs.)
-- @tparam string name
-- @tparam[opt] table opt  as of embed
-- @treturn Node [behaviours, width]
-- @raise when there is no such sequence or no such member
function Blocks:sequence(name, opt)
  return aligned(self, "sequence", name, opt or {},
    function(member) return member.field and member end)
end

--- What the behaviours of a sequence are held against: the embeddings of the fields that its
-- members have the names of, from the same tables and in the same order, as wide as
-- m:sequence(name, opt).
-- @tparam string name  of a sequence
-- @tparam[opt] table opt  as of embed
-- @treturn Node [samples, width]
-- @raise as of sequence
function Blocks:target(name, opt)
  return aligned(self, "target", name, opt or {}, function(member) return member.field end)
end

--- What else a sequence has: the embeddings and numbers of the members that m:sequence leaves out.
-- @tparam string name  of a sequence
-- @tparam[opt] table opt  as of embed
-- @treturn ?Node [behaviours, width], nil where there are none
function Blocks:others(name, opt)
  local names = {}
  for _, member in ipairs(find(self, "others", name).members) do
    if not (member.field and member.table) then names[#names + 1] = member.name end
  end
  return names[1] and self:inputs(names, opt)
end

--- Many rows as one: the behaviours of an owner, or the pairs of a sample.
-- @tparam Node x  [behaviours, width]
-- @tparam[opt] table opt  kind ("mean"): sum, mean or max; or weight: [behaviours or pairs, 1], for
-- the sum of the weighted rows
-- @treturn Node [owners, or samples where x or the weight is of pairs, width]; of no rows zeros
function Blocks:pool(x, opt)
  tools.check_self(self, "pool")
  opt = opt or {}
  tools.check_names("pool", opt, POOL_OPTIONS)
  tools.check_inputs(self, tools.ops.pool, { x })
  if x == nil then tools.fail "pool: input x is missing" end
  if opt.weight == nil then return tools.add(self, tools.ops.pool, { x }, opt) end
  if opt.kind and opt.kind ~= "sum" then
    tools.fail(('pool: kind is "%s", with a weight it is sum'):format(tostring(opt.kind)))
  end
  return tools.add(self, tools.ops.pool_weighted, { x, opt.weight }, { name = opt.name })
end

--- How many behaviours a sequence has.
-- @tparam string name
-- @tparam[opt] table opt  transform ("none"): log1p for ln(1 + n)
-- @treturn Node [owners, 1]
function Blocks:length(name, opt)
  if type(name) == "table" then return tools.add(self, tools.ops.length, {}, name) end
  local options = { column = find(self, "length", name).members[1].name }
  for key, value in pairs(opt or {}) do options[key] = value end
  return tools.add(self, tools.ops.length, {}, options)
end

local function check_unit(self, q, k, opt)
  tools.check_self(self, "attention_unit")
  tools.check_names("attention_unit", opt, UNIT_OPTIONS)
  if q == nil or k == nil then
    tools.fail(("attention_unit: input %s is missing"):format(q == nil and "q" or "k"))
  end
  tools.check_inputs(self, { name = "attention_unit" }, { q, k })
  if q.width ~= k.width then
    tools.fail(("attention_unit: q is %d wide and k %d; m:target and m:sequence give the same "
      .. "fields of both"):format(q.width, k.width))
  end
  for _, name in ipairs { "hidden", "activation", "outer", "extra" } do
    if opt.scaled_dot and opt[name] then
      tools.fail(("attention_unit: %s does not go with scaled_dot, which has no layers"):format(
        name))
    end
  end
end

-- The planner knows this concat under a dense layer: q, k, q - k, q * k, in this order, go first.
local function meeting(self, q, k, opt)
  local add, ops = tools.add, tools.ops
  local inputs = { q, k, add(self, ops.subtract, { q, k }, {}),
    add(self, ops.multiply, { q, k }, {}) }
  if opt.outer then inputs[#inputs + 1] = add(self, ops.outer, { q, k }, {}) end
  if opt.extra then inputs[#inputs + 1] = opt.extra end
  return add(self, ops.concat, inputs, {})
end

--- How much each behaviour matters to an ad: the local activation unit of DIN (Zhou et al. 2018,
-- eq. 3), a network on [q, k, q - k, q * k] with one linear output. Its weights need not add up to
-- 1: their sum is the strength of the interest.
-- @tparam Node q  of the ad: m:target(name)
-- @tparam Node k  [behaviours, width of q]: m:sequence(name)
-- @tparam[opt] table opt  hidden ({ 80, 40 }), activation ("prelu"); outer (false): the products of
-- each number of q with each of k as well; extra: a value of the sequence that the network reads
-- too, m:numbers(name) for one; scaled_dot (false): q k / sqrt(width) instead of the network;
-- softmax (false): over the behaviours, so that weights add up to 1; name
-- @treturn Node [pairs, 1], for m:pool(x, { weight = })
-- @raise when q and k are of different widths, or of two sequences
function Blocks:attention_unit(q, k, opt)
  opt = opt or {}
  check_unit(self, q, k, opt)
  local weight
  if opt.scaled_dot then
    weight = tools.add(self, tools.ops.dot, { q, k }, { scale = "root" })
  else
    weight = tools.layers(self, "attention_unit", meeting(self, q, k, opt), { out = 1,
      hidden = opt.hidden or { 80, 40 }, activation = opt.activation or "prelu", name = opt.name })
  end
  return opt.softmax and tools.add(self, tools.ops.softmax, { weight }, {}) or weight
end

local M = {}

--- Add the blocks to the builder.
-- @tparam table Builder
-- @tparam table own  the functions of its own that they need
function M.install(Builder, own)
  tools = own
  tools.ops = Builder.ops()
  tools.own_sources[debug.getinfo(1, "S").source] = true
  for name, block in pairs(Blocks) do Builder[name] = block end
end

return M
