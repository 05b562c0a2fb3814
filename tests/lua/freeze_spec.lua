-- train.freeze: what a pattern names does not move, and everything else moves as it would anyway.
local helper = require "helper"
local mr = require "moonrank"
local tensors = require "moonrank.tensors"
local ffi = require "moonrank.ffi"
local C = ffi.C

local dir = helper.make_project { rows = 600 }
local data = mr.dataset(dir .. "/fields.yaml", { threads = 1 })

-- A linear model and a network with batch norm over the same tables: two parts a table.
local script = helper.write(dir .. "/both.lua", [[
return { build = function(m)
  local deep = m:mlp(m:inputs(), { hidden = { 8, 4 }, batch_norm = true, out = 1, name = "mlp" })
  m:task("ctr", m:add { m:linear(), deep })
end }
]])

local function new_model() return mr.model(script, { fields = data.fields, seed = 3 }) end

-- All numbers of each tensor as one text; of a part the rows by key.
local function snapshot(model)
  local result, info, part = {}, ffi.new "mr_table_info", ffi.new "mr_part_info"
  local weight = ffi.new "mr_param_info"
  for _, tensor in ipairs(tensors.list(model)) do
    if tensor.weight then
      ffi.check(C.mr_model_param(model.handle, tensor.weight, weight))
      result[tensor.name] = ffi.string(ffi.cast("const char *",
        C.mr_model_weights(model.handle, tensor.weight)), 4 * weight.rows * weight.columns)
    else
      ffi.check(C.mr_model_table(model.handle, tensor.table, info))
      ffi.check(C.mr_model_part(model.handle, tensor.table, tensor.part, part))
      local n = tonumber(info.rows)
      local keys = ffi.new("uint64_t[?]", n)
      local values = ffi.new("float[?]", n * info.width)
      ffi.check(C.mr_model_export(model.handle, tensor.table, keys, values))
      local rows = {}
      for r = 0, n - 1 do
        rows[r + 1] = ffi.string(ffi.cast("const char *", values + r * info.width + part.offset),
          4 * part.dim)
      end
      result[tensor.name] = table.concat(rows)
    end
  end
  return result
end

-- The tensors before and after so many steps, all rows made beforehand.
local function train(options, steps)
  local model = new_model()
  options.batch, options.threads, options.seed = 50, 1, 1
  options.dense, options.optimizer = { l2 = 0.01 }, options.optimizer or { sgd = { lr = 0.1 } }
  options.tables = { l2 = 0.01, rows = options.rows }
  options.rows = nil
  local run = mr.trainer(model, options)
  for batch in data.train:loader { batch = 600 } do
    ffi.check(C.mr_run_make_rows(run.handle, batch))
  end
  local before, taken = snapshot(model), 0
  for batch in run:batches(data.train, 1) do
    run:step(batch)
    taken = taken + 1
    if taken == steps then break end
  end
  local after, frozen = snapshot(model), run.frozen
  run:close()
  return before, after, frozen
end

local function moved(before, after)
  local list = {}
  for name in pairs(before) do
    if before[name] ~= after[name] then list[#list + 1] = name end
  end
  table.sort(list)
  return list
end

local function all_but(names)
  local left, list = {}, {}
  for _, name in ipairs(names) do left[name] = true end
  for _, tensor in ipairs(tensors.list(new_model())) do
    if not left[tensor.name] then list[#list + 1] = tensor.name end
  end
  table.sort(list)
  return list
end

describe("freezing", function()
  it("is off by default: everything moves", function()
    assert.same(all_but {}, moved(train({}, 3)))
  end)

  for what, case in pairs {
    ["a weight"] = { { "mlp_dense_2.weight" }, { "mlp_dense_2.weight" } },
    ["a node's weights and moving statistics"] = { { "mlp_norm_1.*" }, { "mlp_norm_1.gamma",
      "mlp_norm_1.beta", "mlp_norm_1.moving_mean", "mlp_norm_1.moving_variance" } },
    ["one moving statistic"] = { { "*_2.moving_mean" }, { "mlp_norm_2.moving_mean" } },
    ["a table with all its parts"] = { { "table.user" },
      { "table.user.embedding", "table.user.linear" } },
    ["one part of each table"] = { { "table.*.linear" }, { "table.user.linear",
      "table.hour.linear", "table.ad.linear", "table.tags.linear" } },
    ["all tables and the first layer"] = { { "table.*", "mlp_dense_1.*" }, {
      "table.user.linear", "table.hour.linear", "table.ad.linear", "table.tags.linear",
      "table.user.embedding", "table.hour.embedding", "table.ad.embedding",
      "table.tags.embedding", "mlp_dense_1.weight", "mlp_dense_1.bias" } },
  } do
    for _, rows in ipairs { "touched", "all" } do
      it(("leaves %s as it is, and the rest moves (rows: %s)"):format(what, rows), function()
        local before, after = train({ freeze = case[1], rows = rows,
          optimizer = { adam = { lr = 0.01 } } }, 5)
        assert.same(all_but(case[2]), moved(before, after))
      end)

      it(("of %s changes nothing in the first step of the others (rows: %s)"):format(what, rows),
        function()
          local _, whole = train({ rows = rows }, 1)
          local _, after = train({ freeze = case[1], rows = rows }, 1)
          local frozen = {}
          for _, name in ipairs(case[2]) do frozen[name] = true end
          for name, text in pairs(after) do
            if not frozen[name] then
              assert.is_true(text == whole[name], name .. " took another step")
            end
          end
        end)
    end
  end

  it("has no part in the global norm", function()
    -- One bias steps alone: its gradient is the whole gradient, however large the others are.
    local before, after = train({ freeze = { "table.*", "mlp_*", "dense_1.weight" },
      clip = { norm = 1e-4 } }, 1)
    assert.same({ "dense_1.bias" }, moved(before, after))
    local function number(text) return ffi.cast("const float *", text)[0] end
    local step = math.abs(number(after["dense_1.bias"]) - number(before["dense_1.bias"]))
    assert(math.abs(step - 0.1 * 1e-4) < 1e-10)
  end)

  it("says what is frozen, a whole table by its own name", function()
    local _, _, frozen = train({ freeze = { "table.user", "table.ad.linear", "*norm_1.b*" } }, 1)
    assert.same({ "mlp_norm_1.beta", "table.user", "table.ad.linear" }, frozen)
  end)

  it("is refused where a pattern matches nothing, or everything is frozen", function()
    local model = new_model()
    helper.raises('freeze: "table.usr" matches no weight and no table of the model; did you mean '
      .. '"table.user"?', mr.trainer, model, { freeze = { "table.user", "table.usr" } })
    helper.raises("freeze leaves nothing to train", mr.trainer, model,
      { freeze = { "table.*", "*.weight", "*.bias", "*.gamma", "*.beta" } })
    helper.raises("freeze is table.user, expected a list of patterns", mr.trainer, model,
      { freeze = "table.user" })
  end)
end)

describe("train.freeze", function()
  it("names the place of a pattern that matches nothing", function()
    local path = helper.write(dir .. "/frozen.yaml", [[
fields: fields.yaml
model: {script: lr}
train:
  freeze: [table.user, tabel.ad]
]])
    local status, _, err = helper.run(("train %s --quiet --out %s/x"):format(path, dir))
    assert.equal(1, status)
    assert.equal(('moonrank: %s:4:24: train.freeze: "tabel.ad" matches no weight and no table of '
      .. 'the model; did you mean "table.ad"?\n'):format(path), err)
  end)

  it("is said before training starts", function()
    local _, out = helper.run(("train %s/lr.yaml --out %s/y --set '%s'"):format(dir, dir,
      'train.freeze=["table.[ah]*", "*t"]'))
    assert.truthy(out:find("\nfrozen   dense_1.weight, table.hour, table.ad\n", 1, true))
  end)
end)
