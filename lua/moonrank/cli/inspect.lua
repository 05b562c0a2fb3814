--- moonrank inspect: what is in a model file.
local M = { name = "inspect", summary = "what is in a model file: graph, tables, weights, options" }

local function parser()
  local args = require "moonrank.args"
  local p = args.parser("inspect", "Print what is in a model file.", [[
Every node of the graph with its domain and width, every table with its rows, every weight with its
shape, the options of the script, and the configuration of fields and training. No script runs.]])
  p:argument("model", "a run folder or a model file"):argname "RUN|MODEL"
  p:flag("--verify", "hold every byte against the sums in the file")
  return p
end

function M.usage() return require "moonrank.args".help(parser()) end

local function print_graph(model, mr)
  local C, info = mr.C, mr.new "mr_node_info"
  local graph, domains, widest = model.builder.handle, {}, 8
  for i = 0, C.mr_graph_nodes(graph) - 1 do
    mr.check(C.mr_graph_describe(graph, i, info))
    domains[i] = model.builder.domain_name(graph, tonumber(info.domain))
    widest = math.max(widest, #domains[i])
  end
  local form = ("%%-5s %%-13s %%-%ds %%7s  %%s"):format(widest)
  print(form:format("node", "op", "domain", "width", "inputs"))
  for i = 0, C.mr_graph_nodes(graph) - 1 do
    mr.check(C.mr_graph_describe(graph, i, info))
    local inputs = {}
    for k = 0, info.n_inputs - 1 do inputs[k + 1] = C.mr_graph_input(graph, i, k) end
    local line = form:format(i, mr.string(info.op), domains[i],
      info.width > 0 and info.width or "-", table.concat(inputs, " "))
    print((line:gsub("%s+$", "")))
  end
end

local function print_tables(model, mr)
  local C, info, part = mr.C, mr.new "mr_table_info", mr.new "mr_part_info"
  local grouped = require "moonrank.progress".grouped
  for t = 0, C.mr_model_tables(model.handle) - 1 do
    mr.check(C.mr_model_table(model.handle, t, info))
    local parts = {}
    for p = 0, info.n_parts - 1 do
      mr.check(C.mr_model_part(model.handle, t, p, part))
      parts[p + 1] = ("%s %d"):format(mr.string(part.name), part.dim)
    end
    print(("table   %s: %s rows x %d (%s)"):format(mr.string(info.name),
      grouped(tonumber(info.rows)), info.width, table.concat(parts, ", ")))
  end
end

local function print_weights(model, mr)
  local C, info = mr.C, mr.new "mr_param_info"
  for i = 0, C.mr_model_params(model.handle) - 1 do
    mr.check(C.mr_model_param(model.handle, i, info))
    print(("weight  %s: %d x %d%s"):format(mr.string(info.name), info.rows, info.columns,
      info.trained ~= 0 and "" or " (moving statistic)"))
  end
end

-- As a run folder's files write it, without what is of one machine.
local function print_config(model)
  local yaml = require "moonrank.yaml"
  for _, part in ipairs { { "fields", model.fields_config }, { "train", model.training } } do
    if part[2] then
      print ""
      print((yaml.write { [part[1]] = part[2] }:gsub("\n$", "")))
    end
  end
end

function M.run(words)
  local cli = require "moonrank.cli"
  local options = require "moonrank.args".parse(parser(), words)
  local mr = require "moonrank.ffi"
  local file = require "moonrank.model".file(options.model)
  if options.verify then cli.need(mr.ok(mr.C.mr_model_verify(file))) end
  local model = cli.need(require "moonrank".load(file))
  print(("model   %s"):format(model.script))
  print(("options %s"):format(require "moonrank.json".encode(model.options or {})))
  for _, task in ipairs(model.tasks) do
    print(("task    %s: logit is node %d, probability is node %d"):format(task.name, task.logit.id,
      task.probability.id))
  end
  print_tables(model, mr)
  print_weights(model, mr)
  print ""
  print_graph(model, mr)
  print_config(model)
  if options.verify then print "\nevery byte is as it was written" end
  return 0
end

return M
