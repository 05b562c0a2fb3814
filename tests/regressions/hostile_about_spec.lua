-- What a model file says about itself was believed: a task that named a wide node made predictions
-- overrun their memory, other things ended in an internal error.
local cjson = require "cjson"
local helper = require "helper"
local library = require "moonrank"
local Model = require "moonrank.model"
local mr = require "moonrank.ffi"
local tensors = require "tensors_helper"
local C = mr.C

describe("the description in a model file", function()
  local project = helper.make_project { rows = 20 }
  local data = library.dataset(project .. "/fields.yaml")
  local model = library.model("dnn", { fields = data.fields, options = { hidden = { 3 } } })
  local path = project .. "/model.mr"
  assert(model:save(path))
  local out, text = mr.new "mr_graph *[1]", mr.new "char *[1]"
  mr.check(C.mr_graph_open(out, path, text))
  local graph, sound = mr.gc(out[0], C.mr_graph_free), mr.string(text[0])
  C.mr_text_free(text[0])

  -- Load a file that says what `change` makes of the sound description.
  local function load(change)
    local about = cjson.decode(sound)
    local other = change(about)
    mr.check(C.mr_model_save(model.handle, path, other or cjson.encode(about)))
    return Model.load(path)
  end

  local function refused(message, change)
    helper.fails_with(path .. ": its description is damaged" .. message, load(change))
  end

  it("loads when nothing is changed", function() assert.truthy(load(function() end)) end)

  it("is refused where a task is not one value a sample", function()
    local info, task, tried = mr.new "mr_node_info", mr.new "mr_task_info", 0
    mr.check(C.mr_graph_task(graph, 0, task))
    local sound_file = tensors.read(path)
    for node = 0, C.mr_graph_nodes(graph) - 1 do
      mr.check(C.mr_graph_describe(graph, node, info))
      if info.width ~= 1 or info.domain ~= C.MR_SAMPLE then
        for _, which in ipairs { "logit", "probability" } do
          local file = tensors.read(path)
          file.metadata.tasks = cjson.encode { { name = "ctr",
            logit = which == "logit" and node or task.logit,
            probability = which == "probability" and node or task.probability } }
          helper.fails_with(('%s: tasks: task "ctr": the %s is node %d (%s), which is not one '
            .. "value a sample"):format(path, which, node, mr.string(info.op)),
            Model.load(tensors.write(path, file)))
          tensors.write(path, sound_file)
          tried = tried + 1
        end
      end
    end
    assert.is_true(tried > 6)
    sound_file.metadata.tasks = "[]"
    helper.fails_with(path .. ": it has no task to predict",
      Model.load(tensors.write(path, sound_file)))
  end)

  it("is refused where it is not what was written", function()
    for _, other in ipairs { "5", "null", '"x"', "[]" } do
      refused("", function() return other end)
    end
    refused("", function(about) about.model = nil end)
    refused("", function(about) about.fields = "x" end)
    refused("", function(about) about.model.options = cjson.null end)
    refused("", function(about) about.training = 5 end)
    refused("", function(about) about.training = { batch = cjson.null } end)
    refused(": label is missing", function(about) about.fields.label = nil end)
    refused(": fields[1].name is 5, expected text or a list", function(about)
      about.fields.fields[1].name = 5
    end)
    refused(': unknown key "more"', function(about) about.fields.more = 1 end)
  end)
end)
