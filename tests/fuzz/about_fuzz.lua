--- What the Lua library reads of a model file, its text "about" (lua/moonrank/model.lua): any text
-- is refused with one line, or the model loads, finds its data and predicts. Mutations of what
-- a model of a small project says, as a tree and as text, from a seed.
--
--     luajit tests/fuzz/about_fuzz.lua SECONDS FOLDER [SEED]   what fails is kept in FOLDER
--     luajit tests/fuzz/about_fuzz.lua replay                  the committed inputs, once each
package.path = "lua/?.lua;lua/?/init.lua;tests/?.lua;" .. package.path
local cjson = require "cjson"
local fuzz = require "fuzz.fuzz_loop"
local helper = require "helper"
local library = require "moonrank"
local Model = require "moonrank.model"
local model_data = require "moonrank.model_data"
local mr = require "moonrank.ffi"
local Pool = require "moonrank.pool"
local Predictor = require "moonrank.predictor"
local C = mr.C

-- ---- a model ----

local project = helper.make_project { rows = 60 }
local data = library.dataset(project .. "/fields.yaml")
local model = library.model("fm", { fields = data.fields })
local pool = Pool.new(1)
local path = fuzz.folder .. "/model.mr"
assert(model:save(path))
local graph, text = mr.new "mr_graph *[1]", mr.new "char *[1]"
mr.check(C.mr_graph_open(graph, path, text))
local sound = mr.string(text[0])
C.mr_text_free(text[0])
C.mr_graph_free(graph[0])

-- ---- what must hold ----

local function check(about)
  if about:find "%z" then return end -- ends a C text
  mr.check(C.mr_model_save(model.handle, path, about))
  local loaded = fuzz.call("Model.load", Model.load, path)
  if not loaded then return end
  local opened = fuzz.call("model_data.open", model_data.open, path,
    { labels = false, pool = pool })
  if not opened then return end
  local split = fuzz.call("model_data.split", model_data.split, opened, project .. "/test.csv")
  if not split then return end
  local ok, message = pcall(function()
    local written = Predictor.new(opened.model, pool, { batch = 7 }):predict(split,
      { write = function() return true end })
    assert(written == 15)
  end)
  -- Data of other columns than the model's is for the engine to refuse.
  if not ok and not tostring(message):find "the data lacks column" then error(message, 0) end
  split:close()
end

-- ---- mutations of the tree ----

local random = math.random
local values = { cjson.null, true, false, -1, 0, 0.5, 3, 1e9, 2147483648, 1e300, "", "id", "user",
  "ad", "../x", ("x"):rep(300), "a\nb", {}, { 1, 2 }, { x = 1 } }

local function keys_of(map)
  local keys = {}
  for key in pairs(map) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  return keys
end

-- A random place in the tree: the table that holds it, and its key.
local function place_in(tree)
  local holder, key = { tree }, 1
  while type(holder[key]) == "table" and next(holder[key]) ~= nil and random(5) > 1 do
    holder = holder[key]
    local keys = keys_of(holder)
    key = keys[random(#keys)]
  end
  return holder, key
end

local function mutate_tree(tree)
  local holder, key = place_in(tree)
  local what = random(5)
  if holder[key] == tree then return end
  if what == 1 then
    holder[key] = nil
  elseif what == 2 then
    local other, from = place_in(tree)
    if type(other[from]) ~= "table" then holder[key] = other[from] end
  elseif what == 3 and type(key) == "string" then
    holder[key .. "x"], holder[key] = holder[key], nil
  else
    holder[key] = values[random(#values)]
  end
end

local function mutate(inputs)
  local about = inputs[random(#inputs)]
  local ok, tree = pcall(cjson.decode, about)
  if ok and type(tree) == "table" and random(6) > 1 then
    for _ = 1, random(3) do mutate_tree(tree) end
    local encoded
    ok, encoded = pcall(cjson.encode, tree)
    if ok then return encoded end
  end
  return fuzz.mutate_text(about)
end

fuzz.run("about", { sound }, check, mutate)
