--- moonrank inspect: what is in a model file.
local M = { name = "inspect", summary = "what is in a model file: graph, tables, weights, options" }

local function parser()
  local args = require "moonrank.args"
  local p = args.parser("inspect", "Print what is in a model file.", [[
Every node of the graph with its domain and width, every table with its rows, every weight with its
shape, the options of the script, and the configuration of fields and training. No script runs.
With --data every node's rows in that data too: how often it is computed, once in its domain; "-"
where it never is, as the inputs of a layer that is computed in parts.]])
  p:argument("model", "a run folder or a model file"):argname "RUN|MODEL"
  p:option("--data", "a file or pattern; or train, valid or test of the run"):argname "DATA"
  p:option("--table", "the rows of this table with the largest norms as well"):argname "NAME"
  p:option("--top", "how many of them (default: 20)"):argname "N"
  p:flag("--verify", "hold every byte against the sums in the file")
  return p
end

function M.usage() return require "moonrank.args".help(parser()) end

-- The rows that a split has of each domain that nodes are in, by the domain's number.
local function count_rows(split, domains, mr)
  local rows = {}
  for batch in split:loader { batch = 65536 } do
    for domain in pairs(domains) do
      rows[domain] = (rows[domain] or 0) + tonumber(mr.C.mr_batch_rows(batch, domain))
    end
  end
  return rows
end

local function nodes_of(model, mr)
  local C, info = mr.C, mr.new "mr_node_info"
  local graph, nodes = model.builder.handle, {}
  for i = 0, C.mr_graph_nodes(graph) - 1 do
    mr.check(C.mr_graph_describe(graph, i, info))
    local inputs = {}
    for k = 0, info.n_inputs - 1 do inputs[k + 1] = C.mr_graph_input(graph, i, k) end
    nodes[i + 1] = { op = mr.string(info.op), domain = tonumber(info.domain), width = info.width,
      inputs = inputs }
  end
  return nodes
end

-- Mark the nodes that something predicted or the loss, which has no width, needs.
local function mark_computed(nodes, tasks)
  for _, task in ipairs(tasks) do
    nodes[task.logit.id + 1].computed, nodes[task.probability.id + 1].computed = true, true
  end
  for i = #nodes, 1, -1 do -- inputs come before those that read them
    local node = nodes[i]
    node.computed = node.computed or node.width == 0
    for _, input in ipairs(node.computed and node.inputs or {}) do
      nodes[input + 1].computed = true
    end
  end
end

local function print_graph(model, split, mr)
  local nodes, domains, widest = nodes_of(model, mr), {}, 8
  for _, node in ipairs(nodes) do
    local name = model.builder.domain_name(model.builder.handle, node.domain)
    domains[node.domain], widest = name, math.max(widest, #name)
  end
  local rows = split and count_rows(split, domains, mr)
  local grouped = require "moonrank.progress".grouped
  mark_computed(nodes, model.tasks)
  local form = ("%%-5s %%-13s %%-%ds %s%%7s  %%s"):format(widest, rows and "%13s " or "%s")
  local function line(...) print((form:format(...):gsub("%s+$", ""))) end
  line("node", "op", "domain", rows and "rows" or "", "width", "inputs")
  for i, node in ipairs(nodes) do
    line(i - 1, node.op, domains[node.domain],
      rows and (node.computed and grouped(rows[node.domain] or 0) or "-") or "",
      node.width > 0 and node.width or "-", table.concat(node.inputs, " "))
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

-- The rows that weigh most, by the values of their keys where the file has these.
local function print_rows(model, name, most)
  local cli, names = require "moonrank.cli", {}
  local tables = model:describe().tables
  for t, one in ipairs(tables) do
    names[t] = one.name
    if one.name == name then
      local rows = model:largest_rows(t, most)
      print ""
      print(("%-16s  %12s%s"):format("key", "norm", rows[1].text and "  value" or ""))
      for _, row in ipairs(rows) do
        local text = row.text and (row.key == ("0"):rep(16) and "(unknown)"
          or row.text:gsub("%c", "?")) or ""
        print((("%s  %12.6g  %s"):format(row.key, row.norm, text):gsub("%s+$", "")))
      end
      if not rows[1].text then
        print(("the values are not known: tables.%s.strings: keep in the fields file keeps them")
          :format(name))
      end
      return
    end
  end
  cli.fail('there is no table "%s"%s', name, require "moonrank.suggest".phrase(name, names))
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
  local args = require "moonrank.args"
  local options = args.parse(parser(), words)
  local top = args.whole("--top", options.top, 1, 1e6) or 20
  local mr = require "moonrank.ffi"
  local file = cli.need(require "moonrank.model".file(options.model))
  if options.verify then cli.need(mr.ok(mr.C.mr_model_verify(file))) end
  local model_data = require "moonrank.model_data"
  local opened = cli.need(model_data.open(options.model, { labels = false }))
  local split = options.data and cli.need(model_data.split(opened, options.data))
  local model = opened.model
  print(("model   %s"):format(model.script))
  print(("options %s"):format(require "moonrank.json".encode(model.options or {})))
  for _, task in ipairs(model.tasks) do
    print(("task    %s: logit is node %d, probability is node %d"):format(task.name, task.logit.id,
      task.probability.id))
  end
  print_tables(model, mr)
  print_weights(model, mr)
  print ""
  print_graph(model, split, mr)
  if options.table then print_rows(model, options.table, top) end
  print_config(model)
  if options.verify then print "\nevery byte is as it was written" end
  return 0
end

return M
