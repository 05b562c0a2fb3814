--- A model: the graph that a script described, with its weights and tables.
-- @classmod moonrank.Model
local Builder = require "moonrank.builder"
local interrupt = require "moonrank.interrupt"
local json = require "moonrank.json"
local mr = require "moonrank.ffi"
local C = mr.C

local Model = {}
Model.__index = Model

-- What of a fields configuration a model depends on; where the data lies is none of it.
local function portable(config)
  return { version = config.version, label = config.label, group = config.group,
    weight = config.weight, scenario = config.scenario, time = config.time,
    request = config.request, fields = config.fields, sequences = config.sequences,
    tables = config.tables,
    data = require "moonrank.config".text(config.data) }
end

local function finish(self, seed)
  if #self.builder.tasks == 0 then
    error("the script describes no task; end its build with m:task(name, logit)", 0)
  end
  local out = mr.new "mr_model *[1]"
  self.graph = self.graph or self.builder:share() -- the model points into it
  mr.check(C.mr_model_new(out, self.graph, seed), 1)
  self.handle = mr.gc(out[0], C.mr_model_free)
  self.tasks = self.builder.tasks
  return self
end

--- Build the graph of a script and start its weights.
-- @tparam table script  as of moonrank.script's load
-- @tparam table options  fields (of a Dataset), options (of the script), seed (1), init,
-- task_weights (of tasks in the loss, by name)
-- @treturn Model
-- @raise when the script or its graph is wrong, with the script's line
function Model.new(script, options)
  local schema = options.fields.schema
  local builder = Builder.new(schema, options.init, options.task_weights)
  script.build(builder, options.options)
  local self = setmetatable({ builder = builder, fields_config = portable(schema.config),
    script = script.name, text = script.text, options = options.options,
    seed = options.seed or 1 }, Model)
  return finish(self, self.seed)
end

--- The names of its tasks, in the order of the script.
-- @treturn {string,...}
function Model:task_names()
  local names = {}
  for i, task in ipairs(self.tasks) do names[i] = task.name end
  return names
end

--- A second model of the same graph, as it was at the start.
-- @treturn Model
function Model:fresh()
  mr.handle(self, "the model")
  local other = setmetatable({}, Model)
  for key, value in pairs(self) do other[key] = value end
  return finish(other, self.seed)
end

--- A second model of the same graph, with the same weights and rows.
-- @treturn Model
function Model:copy()
  local other = self:fresh()
  other:assign(self)
  return other
end

--- Take over the weights and rows of a model file of the same graph.
-- @tparam string path
-- @treturn ?boolean true
-- @treturn ?string what is wrong
function Model:read(path)
  return mr.ok(C.mr_model_load(mr.handle(self, "the model"), path))
end

--- Take over the weights and rows of a model of the same graph, in place of its own.
-- @tparam Model from
function Model:assign(from)
  mr.check(C.mr_model_assign(mr.handle(self, "the model"), mr.handle(from, "the other model")), 1)
end

--- Take over weights and rows of another model by name; see moonrank.warm_start's apply.
-- @tparam string where  a run folder or a model file
-- @tparam[opt] {string,...} patterns  default: all that both models have
-- @treturn ?table
-- @treturn ?string what is wrong
function Model:warm_start(where, patterns)
  return require "moonrank.warm_start".apply(self, where, patterns)
end

-- What the model file says beside the engine's own schema, graph and numbers.
local function about(self)
  return json.encode { fields = self.fields_config, training = self.training,
    model = { script = self.script, options = self.options, text = self.text } }
end

--- Write the model file.
-- @tparam string path
-- @tparam[opt] Split names  what it was trained on: where tables keep their strings, the values of
-- its keys go into the file
-- @treturn ?boolean true
-- @treturn ?string what is wrong
function Model:save(path, names)
  local keeps = false
  for _, one in pairs(names and names.schema.config.tables or {}) do
    keeps = keeps or one.strings == "keep"
  end
  return mr.ok(C.mr_model_save_named(mr.handle(self, "the model"), path, about(self),
    keeps and mr.handle(names, "the split " .. names.name) or nil))
end

--- The rows of a table with the largest norms, the largest first.
-- @tparam integer t  the table's number, from 1
-- @tparam integer most
-- @treturn {table,...} { key (16 hexadecimal digits), text (nil where the file has none), norm }
function Model:largest_rows(t, most)
  local handle, info = mr.handle(self, "the model"), mr.new "mr_table_info"
  mr.check(C.mr_model_table(handle, t - 1, info), 2)
  local n, width = tonumber(info.rows), info.width
  local keys, values = mr.array("uint64_t", n), mr.array("float", n * width)
  mr.check(C.mr_model_export(handle, t - 1, keys, values))
  local norms, order = mr.array("double", n), {}
  for r = 0, n - 1 do
    local sum = 0
    for e = r * width, (r + 1) * width - 1 do sum = sum + values[e] * values[e] end
    norms[r] = math.sqrt(sum)
    local at = #order + 1
    while at > 1 and norms[order[at - 1]] < norms[r] do at = at - 1 end
    if at <= most then
      table.insert(order, at, r)
      order[most + 1] = nil
    end
  end
  local rows, size = {}, mr.new "int64_t[1]"
  for i, r in ipairs(order) do
    local text = C.mr_model_row_text(handle, t - 1, r, size)
    rows[i] = { key = require "bit".tohex(keys[r]), norm = norms[r],
      text = text ~= nil and mr.string(text, tonumber(size[0])) or nil }
  end
  mr.free(keys)
  mr.free(values)
  mr.free(norms)
  return rows
end

-- The text "about" of a model file, as tables; the engine's own parts were checked by the engine.
local function said_of(text, path)
  local said, message = json.decode(text)
  -- What is for people alone is printed one day: it must be plain values.
  if type(said) ~= "table" or type(said.fields) ~= "table" or type(said.model) ~= "table"
    or said.training ~= nil and type(said.training) ~= "table"
    or not interrupt.pcall(json.encode, { said.model, said.training }) then
    return nil, ("%s: its description is damaged%s"):format(path, message and ": " .. message or "")
  end
  said.fields, message =
    require "moonrank.config".stored(said.fields, path .. ": its description is damaged")
  if not said.fields then return nil, message end
  return said
end

--- The model file of a run folder; of a file, itself.
-- @tparam string where
-- @treturn ?string
-- @treturn ?string what is wrong: the folder holds runs, or one that is not finished
function Model.file(where)
  local mode = require "lfs".attributes
  if mode(where, "mode") ~= "directory" then return where end
  local folder = where:gsub("(.)/+$", "%1")
  local file = folder .. "/model.mr"
  if mode(file, "mode") then return file end
  local run = require "moonrank.run_folder".inside(folder)
  if run then
    return nil, ("%s holds several runs: name one of them, such as %s"):format(folder, run)
  elseif mode(folder .. "/config.yaml", "mode") then
    return nil, ("%s has no model yet: its training is not finished"):format(folder)
  end
  return file
end

--- Open a model file for predicting. No script runs: the graph is in the file. Its tables stay in
-- the file, which is mapped: it must not be changed in place while the model is open.
-- @tparam string path
-- @treturn ?Model with `fields_config`, the fields it was trained on, and for people, where the
-- file has them, `training`, the options of its trainer, and `text`, its script's source
-- @treturn ?string what is wrong
function Model.load(path)
  local model, graph, text = mr.new "mr_model *[1]", mr.new "mr_graph *[1]", mr.new "char *[1]"
  local ok, message = mr.ok(C.mr_model_open(model, graph, path, text))
  if not ok then return nil, message end
  local about = mr.string(text[0])
  C.mr_text_free(text[0]) -- what follows may raise
  local self = setmetatable({ handle = mr.gc(model[0], C.mr_model_free),
    builder = Builder.open(mr.gc(graph[0], C.mr_graph_free)), seed = 1 }, Model)
  self.graph = self.builder:share()
  local said, trouble = said_of(about, path)
  if not said then return nil, trouble end
  self.tasks = self.builder.tasks
  if #self.tasks == 0 then return nil, path .. ": it has no task to predict" end
  self.fields_config, self.training = said.fields, said.training
  self.script, self.options, self.text = said.model.script, said.model.options, said.model.text
  return self
end

--- Counts for people: parameters (dense and in rows), tables { name, rows, width }.
-- @treturn table
function Model:describe()
  local handle = mr.handle(self, "the model")
  local d = { parameters = 0, tables = {} }
  local param, info = mr.new "mr_param_info", mr.new "mr_table_info"
  for i = 0, C.mr_model_params(handle) - 1 do
    mr.check(C.mr_model_param(handle, i, param))
    if param.trained ~= 0 then d.parameters = d.parameters + param.rows * param.columns end
  end
  for i = 0, C.mr_model_tables(handle) - 1 do
    mr.check(C.mr_model_table(handle, i, info))
    d.tables[i + 1] = { name = mr.string(info.name), rows = tonumber(info.rows),
      width = info.width }
  end
  return d
end

--- Free weights, tables and graph now rather than at some later collection. May be called twice.
function Model:close()
  if self.handle then
    C.mr_model_free(mr.gc(self.handle, nil))
    self.handle = nil
  end
end

return Model
