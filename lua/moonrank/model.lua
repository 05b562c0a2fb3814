--- A model: the graph that a script described, with its weights and tables.
-- @classmod moonrank.Model
local Builder = require "moonrank.builder"
local json = require "moonrank.json"
local mr = require "moonrank.ffi"
local C = mr.C

local Model = {}
Model.__index = Model

local FORMAT = 1

-- What of a fields configuration a model depends on; where the data lies is none of it.
local function portable(config)
  return { version = config.version, label = config.label, group = config.group,
    request = config.request, fields = config.fields, tables = config.tables,
    data = { format = config.data.format } }
end

local function finish(self, seed)
  if #self.builder.tasks == 0 then
    error("the script describes no task; end its build with m:task(name, logit)", 0)
  end
  local out = mr.new "mr_model *[1]"
  mr.check(C.mr_model_new(out, self.builder.handle, seed), 1)
  self.handle = mr.gc(out[0], C.mr_model_free)
  self.tasks = self.builder.tasks
  return self
end

--- Build the graph of a script and start its weights.
-- @tparam table script  as of moonrank.script's load
-- @tparam table options  fields (of a Dataset), options (of the script), seed (1), init
-- @treturn Model
-- @raise when the script or its graph is wrong, with the script's line
function Model.new(script, options)
  local schema = options.fields.schema
  local builder = Builder.new(schema, options.init)
  script.build(builder, options.options)
  local self = setmetatable({ builder = builder, schema = schema, script = script.name,
    options = options.options, seed = options.seed or 1 }, Model)
  return finish(self, self.seed)
end

--- A second model of the same graph, with the same weights and rows.
-- @treturn Model
function Model:copy()
  local other = setmetatable({}, Model)
  for key, value in pairs(self) do other[key] = value end
  other = finish(other, self.seed)
  other:assign(self)
  return other
end

--- Take over the weights and rows of a model of the same graph. Rows that only this one has stay.
-- @tparam Model from
function Model:assign(from) mr.check(C.mr_model_assign(self.handle, from.handle), 1) end

--- What the model file says of the model beside its numbers.
-- @treturn string JSON
function Model:metadata()
  local tasks = {}
  for i, task in ipairs(self.tasks) do
    tasks[i] = { name = task.name, logit = task.logit.record,
      probability = task.probability.record }
  end
  return json.encode { format = FORMAT, fields = portable(self.schema.config),
    graph = { nodes = self.builder.records, tasks = tasks },
    model = { script = self.script, options = self.options } }
end

--- Write the model file.
-- @tparam string path
-- @treturn ?boolean true
-- @treturn ?string what is wrong
function Model:save(path) return mr.ok(C.mr_model_save(self.handle, path, self:metadata())) end

local function read_metadata(path)
  local out = mr.new "char *[1]"
  local ok, message = mr.ok(C.mr_model_metadata(path, out))
  if not ok then return nil, message end
  local text = mr.string(out[0])
  C.mr_text_free(out[0])
  local metadata
  metadata, message = json.decode(text)
  if not metadata then return nil, ("%s: its metadata is damaged: %s"):format(path, message) end
  if metadata.format ~= FORMAT then
    return nil, ("%s: format %s, expected %d"):format(path, tostring(metadata.format), FORMAT)
  end
  return metadata
end

local function rebuild(metadata)
  local schema = require "moonrank.schema".new(metadata.fields)
  local builder = Builder.new(schema)
  local nodes = builder:replay(metadata.graph.nodes)
  for i, task in ipairs(metadata.graph.tasks) do
    builder.tasks[i] = { name = task.name, logit = nodes[task.logit],
      probability = nodes[task.probability] }
  end
  local self = setmetatable({ builder = builder, schema = schema, fields_config = metadata.fields,
    script = metadata.model.script, options = metadata.model.options, seed = 1 }, Model)
  return finish(self, 1)
end

--- Read a model file.
-- @tparam string path
-- @treturn ?Model with `fields_config`, the fields it was trained on
-- @treturn ?string what is wrong
function Model.load(path)
  local metadata, message = read_metadata(path)
  if not metadata then return nil, message end
  local ok, self = pcall(rebuild, metadata)
  if not ok then return nil, ("%s: %s"):format(path, tostring(self)) end
  ok, message = mr.ok(C.mr_model_load(self.handle, path))
  if not ok then return nil, message end
  return self
end

--- Counts for people: parameters (dense and in rows), tables { name, rows, width }.
-- @treturn table
function Model:describe()
  local d = { parameters = 0, tables = {} }
  local param, info = mr.new "mr_param_info", mr.new "mr_table_info"
  for i = 0, C.mr_model_params(self.handle) - 1 do
    mr.check(C.mr_model_param(self.handle, i, param))
    if param.trained ~= 0 then d.parameters = d.parameters + param.rows * param.columns end
  end
  for i = 0, C.mr_model_tables(self.handle) - 1 do
    mr.check(C.mr_model_table(self.handle, i, info))
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
