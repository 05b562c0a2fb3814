--- The seeds of the fuzz targets, made by the project's own writers. To be run again when a format
-- changes, from the checkout:
--
--     . tools/lua-path && luajit tests/fuzz/make_corpus.lua
--
-- It writes tests/fuzz/corpus/TARGET/seed_* and hostile_*; inputs that once failed lie beside them
-- under other names and stay.
package.path = "lua/?.lua;lua/?/init.lua;tests/?.lua;" .. package.path
local json = require "moonrank.json"
local cjson = require "cjson"
local data = require "data_helper"
local g = require "graph_helper"
local helper = require "helper"
local mr = require "moonrank.ffi"
local tensors = require "tensors_helper"
local C = mr.C

local CORPUS = "tests/fuzz/corpus/"

local function put(target, name, bytes)
  local most = ({ model = 16384, cache = 16384 })[target] or 4096 -- as in tools/fuzz
  assert(#bytes < most, name .. " is too large for a seed: " .. #bytes)
  if not name:find "^hostile_" then name = "seed_" .. name end
  helper.write(CORPUS .. target .. "/" .. name, bytes)
end

local function number(bytes, at, size)
  local value = 0
  for i = size, 1, -1 do value = value * 256 + bytes:byte(at + i) end
  return value
end

-- A file of tensors without the blanks that fill its header up to a page.
local function compact(path) return helper.read(tensors.write(path, tensors.read(path))) end

-- ---- models ----

local columns = {
  user = { name = "user", type = "id", domain = "request" },
  ad = { name = "ad", type = "id" },
  tags = { name = "tags", type = "ids" },
  price = { name = "price", type = "number" },
  level = { name = "level", type = "bucket", buckets = 3 },
  worth = { name = "worth", type = "number", normalize = true },
  picture = { name = "picture", type = "vector", width = 3 },
  click = { name = "click", type = "label" },
}
-- Only these, to stay small.
local columns_of = { lr = { "user", "ad", "price" }, fm = { "user", "ad", "tags" },
  dnn = { "ad", "picture" }, pool = { "user", "ad" }, fitted = { "ad", "level", "worth" } }

local function lookup(b, column, options)
  options = options or {}
  options.column, options.dim = column, options.dim or 2
  return b:lookup(options)
end

local graphs = {
  lr = function(b)
    local terms = { lookup(b, "user", { dim = 1, part = "weight", start = "zero" }),
      lookup(b, "ad", { dim = 1, part = "weight", start = "zero" }), b:column { column = "price" } }
    return b:bias(b:sum(b:concat(terms)))
  end,
  fm = function(b)
    local x = b:concat { lookup(b, "user"), lookup(b, "ad"), lookup(b, "tags", { pool = "sum" }) }
    return b:add { b:fm_pairs(x, { dim = 2 }), lookup(b, "ad", { dim = 1, part = "weight" }) }
  end,
  dnn = function(b)
    local x = b:concat { lookup(b, "ad"), b:column { column = "picture" } }
    x = b:batch_norm(b:dense(x, { out = 3 }))
    return b:sum(b:dropout(b:tanh(x), { rate = 0.5 }))
  end,
  fitted = function(b)
    return b:sum(b:concat { lookup(b, "ad"), lookup(b, "level"), b:column { column = "worth" } })
  end,
  pool = function(b)
    local ad = lookup(b, "ad", { dim = 3 })
    local best = b:pool(ad, { kind = "max" })
    local user = b:dense(b:concat { best, b:pool(ad), lookup(b, "user") }, { out = 3 })
    return b:sum(b:multiply(b:sigmoid(user), ad))
  end,
}

local function model_seed(name, build)
  local list = { columns.click }
  for i, column in ipairs(columns_of[name]) do list[i + 1] = columns[column] end
  local schema = g.schema(list)
  if name == "fitted" then
    local path = helper.temp_dir() .. "/text"
    helper.write(path, "click,ad,level,worth\n1,a,3,7\n0,b,4,1\n1,b,9,2.5\n")
    assert(data.build(schema.handle, path, path .. ".cache", { fit = true }))
  end
  local b = g.builder(schema)
  local logit = build(b)
  b:logloss(logit, b:column { column = "click" })
  mr.check(C.mr_graph_add_task(b.handle, "ctr", logit.id, b:sigmoid(logit).id))
  local model = g.model(b)
  for table = 0, C.mr_model_tables(model) - 1 do
    for _, text in ipairs { "a", "b" } do
      mr.check(C.mr_model_make_row(model, table, g.key(schema, "ad", text), mr.new "float *[1]"))
    end
  end
  local path = helper.temp_dir() .. "/model"
  mr.check(C.mr_model_save(model, path, '{"name":"' .. name .. '"}'))
  local bytes = compact(path)
  put("model", name, bytes)
  local header = bytes:sub(9):match "^(%b{})"
  local about = cjson.decode(header).__metadata__
  put("graph", name, '{"graph":' .. about.graph .. ',"schema":' .. about.schema .. "}")
  put("json", name, header)
end

-- A model file without a weight, of a graph over vectors of these widths; the fuzz target makes its
-- sums true. Each such file asks for gigabytes.
local function hostile_seed(name, widths, nodes)
  local list = {}
  for i, width in ipairs(widths) do
    list[i] = { domain = 1, max = 0, missing = 0, name = "x" .. i, separator = 0, source = "x",
      transform = 0, type = 7, width = width }
  end
  local header = ('{"__metadata__":%s,"sums":{"dtype":"I64","shape":[1,2],"data_offsets":[0,16]}}')
    :format(json.encode { about = "", format = "1", graph = "[" .. table.concat(nodes, ",") .. "]",
      schema = '{"columns":' .. json.encode(list) .. ',"tables":[]}', tasks = "[]" })
  local length, rest = {}, #header
  for i = 1, 8 do length[i], rest = string.char(rest % 256), math.floor(rest / 256) end
  put("model", "hostile_" .. name, table.concat(length) .. header .. ("\0"):rep(16))
end

local function node(op, inputs, options)
  return ('{"inputs":[%s],"op":"%s","options":{%s}}'):format(inputs, op, options or "")
end

local function hostile_seeds()
  local column = node("column", "", '"column":"x1"')
  hostile_seed("dense", { 1000000 }, { column, node("dense", "0", '"out":65536') })
  hostile_seed("vector", { 1, 2147483647 }, { column })
  local nodes, inputs = { column }, {}
  for i = 1, 45 do nodes[i + 1], inputs[i] = node("tanh", "0"), i end
  nodes[#nodes + 1] = node("add", table.concat(inputs, ","))
  hostile_seed("workspace", { 1000000 }, nodes)
end

-- ---- checkpoints: of the run that checkpoint_fuzz.c makes ----

local function checkpoint_seeds()
  local schema = g.schema { columns.ad, columns.click }
  local b = g.builder(schema)
  local x = b:dense(b:lookup { column = "ad", dim = 2, name = "lookup" },
    { out = 1, name = "dense" })
  b:logloss(b:batch_norm(x, { name = "batch_norm" }), b:column { column = "click" })
  local run = g.run(g.model(b), { optimizer = "adam", lanes = 1, batch = 4 })
  local batch = g.batch(schema, 4)
  for i = 0, 3 do C.mr_batch_keys(batch, 0)[i] = 1152921504606846976ULL * i end
  C.mr_batch_floats(batch, 1)[1] = 1
  g.gradient(run, batch)
  g.update(run)
  local folder = helper.temp_dir() .. "/checkpoint"
  mr.check(C.mr_run_save(run.handle, folder, "state"))
  for i, name in ipairs { "dense.safetensors", "tables.safetensors", "manifest.json" } do
    local path = folder .. "/" .. name
    local bytes = name:find "%.json$" and helper.read(path) or compact(path)
    put("checkpoint", name:match "^%a+", string.char(i - 1) .. bytes)
  end
end

-- ---- datasets ----

local HEADER = "click,user,age,seen,gaps,ad,tags,price,rid,pic,pics"
local ROWS = {
  "1,u1,30,a1 a2,1 2,a1,x|y,2.5,r1,1;2;3,1;2 3;4",
  "0,u1,30,a1 a2,1.0 2,a2,,0,r1,-.5;0;1e9,1.0;2 3;4",
  "0,u2,,,,a1,x|y z|z|x,1e-3,r2,0;0;0,",
  "1,u1,30.0,a3|b a4 a1 a2 a1,3  1 7 9,a3,z,17,r3,1;1;1,0;1  1;0 2;2 1;3",
}
-- As in text_fuzz.c.
local TABS, QUOTES, KEYED, HEADED, RARE, SHORT, THREADS, NAMED = 1, 2, 4, 8, 16, 32, 64, 128

local function text_seed(name, choices, block, text)
  put("text", name, string.char(choices, block) .. text)
end

local function text_seeds()
  local text = HEADER .. "\n" .. table.concat(ROWS, "\n") .. "\n"
  text_seed("plain", 0, 40, text)
  text_seed("keyed", KEYED + THREADS, 10, text)
  text_seed("tabs", TABS + KEYED + RARE, 60, (text:gsub(",", "\t")))
  text_seed("quotes", QUOTES + KEYED + RARE, 20, HEADER .. "\r\n"
    .. '1,"u,1",30,"a1 ""a2",1 2,a1,"x|""y""","2.5",r1,"1;2;3",1;2 3;4\r\n'
    .. '0,"u,1",30,"a1 ""a2","1 2","a\n2",,,r1,,"1;2 3;4"\r\n')
  text_seed("headed", HEADED + SHORT + THREADS, 30, table.concat(ROWS, "\n"))
  text_seed("headed_quotes", HEADED + QUOTES + KEYED, 3, table.concat(ROWS, "\n"))
  text_seed("named", NAMED + KEYED + QUOTES, 25, "\239\187\191" .. table.concat(ROWS, "\r\n"))
  text_seed("libsvm", TABS + QUOTES + THREADS, 9,
    "1 qid:4 1:1 7:1 12:1\n-1 3:1.0  9:1 \r\n+1 # none\n")
  text_seed("libffm", TABS + QUOTES + KEYED + RARE, 30,
    "1 3:3:1 7:9:1 12:a:1 12:b:1\n-1 12:a:1 12:c:1.0\n0 7:9:1e0 1:1:1 # 9\n")
  text_seed("libffm_twice", TABS + QUOTES + KEYED, 30, "1 12:a:1\n1 12:a:1 7:9:1 12:b:1\n")
  local json_rows = '{"click":1,"user":"u1","age":30,"seen":["a1","a2"],"gaps":[1,2],"ad":"a1",'
    .. '"tags":["x","y"],"price":2.5,"rid":1,"pic":[1,2,3],'
    .. '"pics":[[1,2],[3,4]],"more":{"a":[1,{"b":null}]}}\n'
    .. ' { "rid" : 1, "click" : false, "user" : "\\u0075\\u0031", "age":3e1, "seen":[["a1"],'
    .. '"a2"],\t"gaps":[1.0,2],"pics":[[1,2],[3,4]],'
    .. '"ad":"a\\n\\ud83d\\ude00\\"","tags":"x y|z","price":null} \r\n'
    .. '{"click":0,"seen":[],"tags":["x",null,true]}'
  local JSON = TABS + QUOTES + NAMED
  text_seed("json", JSON + THREADS, 90, json_rows)
  text_seed("json_keyed", JSON + KEYED + RARE, 200, json_rows)
  text_seed("json_wrong", JSON + KEYED, 70, '{"click":1,"user":"a\\nb","ad":"\\n"}\n{"click":1,'
    .. '"gaps":[1,"x"],"pics":[[1,2],[3,4]],"seen":[1,2]}\n')
  text_seed("bom", RARE, 5, "\239\187\191rid,price,tags,ad,seen,age,user,click,more,gaps,pic,pics\n"
    .. "r1,1,x,a1,a2,3,u1,0,?,4,,1;2\n")
  text_seed("uneven", HEADED + KEYED, 9, ROWS[1] .. "\n0,u1,30,a1 a2,1 2 3,a2,,0,r1,,1;2 3;4\n")
  text_seed("no_number", HEADED + KEYED, 19, ROWS[1] .. "\n0,u1,30,a1 a2,1 b,a2,,0,r1,,1;2 3;4\n")
  text_seed("no_vector", HEADED + KEYED, 19, ROWS[1] .. "\n0,u1,3,a1 a2,1 2,a2,,0,r1,1;2,1;x 3;4\n")
end

-- Choices as in part_fuzz.c, behind its header.
local function part_seeds()
  local BY_VALUE, BY_TIME, BY_TIME_SHARE, REQUESTS, QUOTED, SKIPS, PAIRS = 1, 2, 3, 4, 8, 16, 32
  local function seed(name, choices, block, text)
    put("part", name, string.char(choices, block, 128) .. text)
  end
  local text = table.concat(ROWS, "\n") .. "\n"
  seed("chance", 0, 30, text)
  seed("requests", REQUESTS, 20, text)
  seed("value", BY_VALUE + REQUESTS, 40, text)
  seed("time", BY_TIME + QUOTED, 9, text)
  seed("time_share", BY_TIME_SHARE + QUOTED + REQUESTS, 12, text:gsub(",,", ",3,"))
  seed("wrong", SKIPS + QUOTED, 25, text .. "1,u1\n0,u2,x,,,a1,,1,r2,,\n2,u,,,,a,,1,r,,\n" .. text)
  seed("pairs", PAIRS + SKIPS, 11, "1 1:1 7:1 12:1\n-1 3:1.0  9:1 \r\n+1 # none\n0 3:x\n")
end

-- The columns of new_schema in read_dataset.c.
local cache_columns = {
  { name = "click", type = "label" }, { name = "user", type = "id", side = "request" },
  { name = "age", type = "number", side = "request", missing = 0.5 },
  { name = "seen", table = "ad", type = "ids", side = "request", separator = " " },
  { name = "ad", type = "id" }, { name = "tags", type = "ids", separator = "|", max = 3 },
  { name = "price", type = "number", log1p = true },
  { name = "who", source = "user", type = "group" },
  { name = "picture", source = "pic", type = "vector", width = 3, separator = ";" },
  { name = "past.ad", source = "seen", table = "ad", type = "id", side = "request",
    sequence = "past" },
  { name = "past.gap", source = "gaps", type = "number", missing = 2, side = "request",
    sequence = "past" },
  { name = "past.tags", source = "seen", table = "tags", type = "ids", separator = "|", max = 2,
    side = "request", sequence = "past" },
  { name = "past.picture", source = "pics", type = "vector", width = 2, separator = ";",
    side = "request", sequence = "past" },
  { name = "near.tag", source = "tags", type = "id", sequence = "near" },
  { name = "near.words", source = "tags", type = "ids", separator = " ", sequence = "near" },
  { name = "weight", source = "click", type = "weight" },
  { name = "place", source = "user", type = "scenario" },
  { name = "time", source = "click", type = "time" },
  { name = "worth", source = "price", type = "number", missing = "mean", clip = { -10, 1e30 },
    normalize = true },
  { name = "level", source = "age", type = "bucket", side = "request", missing = "own",
    buckets = 3 },
  { name = "kind", source = "tags", table = "tags", type = "ids", separator = "|", max = 3,
    values = { "x", "a1" }, unseen = "zero" },
  { name = "past.kind", source = "seen", table = "kind", type = "id", side = "request",
    sequence = "past", values = { "a1", "a2" } },
  { name = "sure", source = "click", type = "id", values = { "0", "1" }, unseen = "error" },
  { name = "both", type = "id", cross = { "user", "ad", "sure" } },
  { name = "strong", source = "pics", table = "tags", type = "ids", separator = " ",
    weights_source = "gaps" },
  { name = "all", table = "both", type = "ids", max = 7,
    cross = { "strong", "seen", "tags", "user" } },
  { name = "aged", type = "id", side = "request", cross = { "level", "user" } },
  { name = "tags.aged", table = "aged", type = "ids", max = 4, cross = { "tags", "level" } },
  { name = "rid", type = "request_key", side = "request" },
}

local function cache_seed(name, keyed)
  local schema = data.new_schema()
  mr.check(C.mr_schema_add_table(schema, "user", 1))
  assert(data.add_sequence(schema, { name = "past", side = "request", max = 4, keep = "last" }))
  assert(data.add_sequence(schema, { name = "near", separator = "|" }))
  for i = 1, keyed and #cache_columns or #cache_columns - 1 do
    assert(data.add_column(schema, cache_columns[i]))
  end
  local dir = helper.temp_dir()
  -- The header of a cache knows the path and the time of its text: the same for every run.
  local text = helper.write("build/corpus.csv", HEADER .. "\n" .. table.concat(ROWS, "\n") .. "\n")
  assert(helper.shell("touch -d @0 " .. text) == 0)
  assert(data.build(schema, text, dir .. "/cache", { fit = true }))
  local bytes, choice = helper.read(dir .. "/cache"), keyed and 2 or 0
  put("cache", name .. "_raw", string.char(choice + 1) .. bytes)
  -- struct mr__store_header: what the fuzz target fills in again, and where the sections start.
  local samples, requests = number(bytes, 48, 8), number(bytes, 56, 8)
  local sizes = { number(bytes, 64, 8) / 4, number(bytes, 72, 8) / 4 }
  local n_sections, codes, scenarios = number(bytes, 80, 8), "", 0
  for at = 136, 136 + 24 * (n_sections - 1), 24 do -- uint64 [codes]: 128 at a time
    if number(bytes, at, 4) == 5 then
      codes = codes .. string.char(number(bytes, at + 16, 8) / 8 / 128)
    elseif number(bytes, at, 4) == 7 then -- struct mr__scenario
      scenarios = number(bytes, at + 16, 8) / 56
    end
  end
  local sections = math.ceil((136 + 24 * n_sections) / 64) * 64
  put("cache", name, string.char(choice, samples, requests, sizes[1] % 256, sizes[1] / 256,
    sizes[2] % 256, sizes[2] / 256) .. codes .. string.char(scenarios) .. bytes:sub(sections + 1))
end

-- ---- requests: calls as request_fuzz.c reads them, of the columns above ----

local column_number = {}
for i, column in ipairs(cache_columns) do column_number[column.name] = i - 1 end
local PREPARE, NUMBERED, TEXTS, KEYED_FORM, FLOATS = 1, 2, 0, 1, 2

local function value(name, form, content)
  return string.char(column_number[name], 0, form) .. content
end

local function texts(name, ...)
  local content = {}
  for i, text in ipairs { ... } do content[i] = string.char(#text) .. text end
  return value(name, TEXTS, table.concat(content))
end

local function calls(...) return table.concat { ... } end

local function prepare(...)
  return string.char(PREPARE, select("#", ...)) .. calls(...)
end

local function score(rows, ...)
  return string.char(NUMBERED, rows, select("#", ...)) .. calls(...)
end

local function request_seeds()
  put("request", "texts", calls(
    prepare(texts("user", "u1"), texts("age", "30"), texts("seen", "a1 a2"),
      texts("past.ad", "a1 a2"), texts("past.gap", "1 2"), texts("level", "7")),
    score(3, texts("ad", "a1", "a2", ""), texts("tags", "x|y", "", "z"),
      texts("price", "2.5", "", "1e3"), texts("near.tag", "x|y", "z", ""),
      texts("near.words", "x|y z", "z", ""), texts("worth", "1", "2", "-9")),
    score(2, texts("ad", "a3", "a4"), texts("price", "1", "?")),
    score(2, value("strong", TEXTS, "\3x y\1z" .. "\0051 0.5\4-2e3"), texts("ad", "a3", "a4"))))
  put("request", "numbers", calls(
    prepare(value("user", KEYED_FORM, "\5"), value("seen", KEYED_FORM, "\0\2\7\9"),
      value("past.ad", KEYED_FORM, "\0\2\3\4"), value("past.gap", FLOATS, "\0\2\100\90"),
      value("past.tags", KEYED_FORM, "\0\2\0\1\2\3\4\5"), value("age", FLOATS, "\99")),
    score(2, value("ad", KEYED_FORM, "\1\2"), value("tags", KEYED_FORM, "\0\2\1\5\6\7"),
      value("picture", FLOATS, "\90\91\92\93\94\95"),
      value("price", FLOATS, "\81\250\127\192\0\0"),
      value("strong", KEYED_FORM, "\0\2\1\5\6\7\90\91\70"),
      value("near.tag", KEYED_FORM, "\0\1\2\8\9\10"))))
  put("request", "for_all", calls(prepare(texts("ad", "a1"), texts("tags", "x"),
    texts("near.tag", "x|y"), texts("price", "3"), texts("rid", "r")), score(6), score(0)))
end

-- ---- compressed files ----

local function source_seeds()
  local dir = helper.temp_dir()
  local text = (HEADER .. "\n"):rep(20)
  helper.write(dir .. "/text", text)
  for name, command in pairs { gzip = "gzip -n", zstd = "zstd -q --check",
    zstd_fast = "zstd -q -1 --no-check", lz4 = "lz4 -q -9 --content-size",
    lz4_linked = "lz4 -q -BD --no-frame-crc" } do
    local status, out = helper.shell(("%s -c %s/text"):format(command, dir))
    assert(status == 0, command)
    put("source", name, "\3" .. out)
    put("source", name .. "_twice", "\20" .. out .. out)
    put("source", name .. "_cut", "\9" .. out:sub(1, -3))
  end
  put("source", "plain", "\7" .. text)
  put("source", "skippable", "\1\80\42\77\24\4\0\0\0abcd")
  put("source", "gzip_pad", "\40" .. helper.read(CORPUS .. "source/seed_gzip"):sub(2)
    .. ("\0"):rep(30))
end

-- ---- the rest ----

for name, build in pairs(graphs) do model_seed(name, build) end
hostile_seeds()
put("json", "words", '[true,false,null,-0,1e-9,1.5E+10,"\\u0041\\n\\"",{"a":{},"b":[]}]')
put("json", "object", json.encode { a = { 1, 2, { b = "c" } }, d = "\1" })
checkpoint_seeds()
text_seeds()
part_seeds()
cache_seed("plain", false)
cache_seed("keyed", true)
request_seeds()
source_seeds()
os.execute("rm -rf " .. helper.quote((helper.temp_dir():gsub("/%d+$", ""))))
