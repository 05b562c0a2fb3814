--- Training: epochs of steps, figures after each, the best model kept.
--
--     local run = Trainer.new(model, { optimizer = { adam = { lr = 1e-3 } }, batch = 4096 })
--     run:on("epoch", function(e) print(e.number, e.valid.auc) end)
--     run:fit(data, { epochs = 2 })
--     print(run:evaluate(data.test).gauc)
-- @classmod moonrank.Trainer
local Pool = require "moonrank.pool"
local Predictor = require "moonrank.predictor"
local Split = require "moonrank.split"
local clock = require "moonrank.clock"
local monitors = require "moonrank.monitor"
local mr = require "moonrank.ffi"
local schedule = require "moonrank.schedule"
local sorted_keys = require "moonrank.sorted_keys"
local suggest = require "moonrank.suggest"
local tensors = require "moonrank.tensors"
local C = mr.C

local Trainer = {}
Trainer.__index = Trainer

local PROGRESS_SECONDS = 0.1
local LEAST_GAIN = 1e-6 -- of the monitor, to count as an improvement
local MOST_ROWS = 2147483647 -- of a batch, for the engine

local OPTIONS = { "batch", "epochs", "seed", "threads", "lanes", "shuffle", "optimizer", "tables",
  "dense", "monitor", "patience", "reduce_on_plateau", "eval_batch", "checkpoint", "schedule",
  "warm_up", "clip", "freeze" }
local HOOKS = { epoch = true, progress = true, step = true, checkpoint = true }

-- { adam = { lr = 1e-3 } } as the engine's mr_optimizer_spec; what it points into goes to `keep`.
local function set_optimizer(spec, given, keep)
  if not given then return end
  local name = type(given) == "table" and next(given) or nil
  if type(name) ~= "string" or type(given[name]) ~= "table" or next(given, name) ~= nil then
    error("an optimizer is given as { name = { options } }, for one name", 5)
  end
  local names = sorted_keys(given[name])
  local options = mr.new("mr_option[?]", math.max(#names, 1))
  for i, option in ipairs(names) do
    options[i - 1].name = option
    options[i - 1].number = given[name][option]
  end
  keep[#keep + 1], keep[#keep + 2], keep[#keep + 3] = name, options, names
  spec.name, spec.options, spec.n_options = name, options, #names
end

-- What `freeze` names, as two arrays of flags; they go to `keep`.
local function set_frozen(self, given, keep)
  if not self.options.freeze then return end
  local list = tensors.list(self.model)
  local frozen, message = tensors.match(list, self.options.freeze)
  if not frozen then error("freeze: " .. message, 4) end
  local weights, parts = mr.new("unsigned char[?]", #list), mr.new("unsigned char[?]", #list)
  local n_weights, set = C.mr_model_params(self.model.handle), {}
  for _, tensor in ipairs(frozen) do set[tensor] = true end
  local learns = false
  for i, tensor in ipairs(list) do -- weights come first, then the parts of all tables
    if tensor.weight then weights[i - 1] = set[tensor] and 1 or 0
    else parts[i - 1 - n_weights] = set[tensor] and 1 or 0 end
    learns = learns or tensor.trained and not set[tensor]
  end
  if not learns then error("freeze leaves nothing to train", 4) end
  given.frozen_weights, given.frozen_parts = weights, parts
  keep[#keep + 1], keep[#keep + 2] = weights, parts
  self.frozen = tensors.names(list, frozen)
end

-- What the fields file says of the tables' keys while training, as two arrays; they go to `keep`.
local function set_admission(self, given, keep)
  local configured = self.model.fields_config and self.model.fields_config.tables or {}
  local list = self.model:describe().tables
  local admit, expire = mr.new("int32_t[?]", #list + 1), mr.new("int32_t[?]", #list + 1)
  for i, t in ipairs(list) do
    local own = configured[t.name] or {}
    admit[i - 1], expire[i - 1] = own.admit and own.admit.count or 0,
      own.expire and own.expire.steps or 0
    self.counts_keys = self.counts_keys or own.admit ~= nil or own.expire ~= nil
  end
  given.admit, given.expire = admit, expire
  keep[#keep + 1], keep[#keep + 2] = admit, expire
end

local function make_run(self)
  mr.handle(self.model, "the model")
  local o, keep = self.options, {}
  local tables, dense, clip = o.tables or {}, o.dense or {}, o.clip or {}
  local given = mr.new("mr_run_options", { batch = o.batch, lanes = o.lanes or 0, seed = o.seed,
    rows_all = tables.rows == "all" and 1 or 0, table_l1 = tables.l1 or 0,
    table_l2 = tables.l2 or 0, dense_l1 = dense.l1 or 0, dense_l2 = dense.l2 or 0,
    clip_value = clip.value or 0, clip_row = clip.row or 0, clip_norm = clip.norm or 0,
    table_mba = tables.mba or 0 })
  set_optimizer(given.dense, o.optimizer, keep)
  set_optimizer(given.tables, tables.optimizer, keep)
  set_frozen(self, given, keep)
  set_admission(self, given, keep)
  local out = mr.new "mr_run *[1]"
  mr.check(C.mr_run_new(out, self.model.handle, self.pool.handle, given), 2)
  self.handle = mr.gc(out[0], C.mr_run_free)
end

local ROWS = { "touched", "all" }

local function one_of(words, value, what)
  for _, word in ipairs(words) do
    if word == value then return end
  end
  error(('%s is %s, expected one of: %s'):format(what,
    type(value) == "string" and '"' .. value .. '"' or tostring(value),
    table.concat(words, ", ")), 4)
end

local function whole(value, what, least, most)
  if type(value) ~= "number" or value % 1 ~= 0 or value < least or value > most then
    error(("%s is %s, expected a whole number %d to %.0f"):format(what, tostring(value), least,
      most), 4)
  end
end

local function names_of(map, known, what)
  if type(map) ~= "table" then
    error(("%s is %s, expected a table"):format(what, tostring(map)), 4)
  end
  for name in pairs(map) do
    local found = false
    for _, word in ipairs(known) do found = found or word == name end
    if not found then
      error(('unknown option "%s" of %s%s'):format(tostring(name), what,
        suggest.phrase(tostring(name), known)), 4)
    end
  end
end

-- What a script may get wrong; the command's configuration was checked before.
local function check_options(o, model)
  whole(o.batch, "batch", 1, MOST_ROWS)
  if o.eval_batch then whole(o.eval_batch, "eval_batch", 1, MOST_ROWS) end
  whole(o.seed, "seed", 0, 2 ^ 53 - 1)
  whole(o.epochs, "epochs", 1, 2 ^ 53 - 1)
  local names = monitors.names(model:task_names())
  if type(o.monitor) == "table" then
    names_of(o.monitor, names, "monitor")
  else
    one_of(names, o.monitor, "monitor")
  end
  if o.tables then
    names_of(o.tables, { "optimizer", "rows", "l1", "l2", "mba", "init" }, "tables")
    one_of(ROWS, o.tables.rows or "touched", "tables.rows")
  end
  if o.dense then names_of(o.dense, { "l1", "l2" }, "dense") end
  if o.reduce_on_plateau then
    names_of(o.reduce_on_plateau, { "factor", "patience", "min_lr" }, "reduce_on_plateau")
  end
  if o.freeze and type(o.freeze) ~= "table" then
    error(("freeze is %s, expected a list of patterns"):format(tostring(o.freeze)), 3)
  end
  if o.clip then names_of(o.clip, { "value", "row", "norm" }, "clip") end
  if type(o.shuffle) == "table" then
    names_of(o.shuffle, { "memory" }, "shuffle")
    whole(o.shuffle.memory, "shuffle.memory", 1, 1e9)
  end
  if o.checkpoint then names_of(o.checkpoint, { "minutes", "steps", "keep" }, "checkpoint") end
end

-- What of the options decides the model, for its file: no threads, no folders, nor how often it
-- was saved.
local function portable(o)
  local result = {}
  for name, value in pairs(o) do result[name] = value end
  result.threads, result.checkpoint, result.eval_batch = nil, nil, nil
  if o.warm_start then result.warm_start = { names = o.warm_start.names } end
  return result
end

--- Prepare a model for training.
-- @tparam Model model
-- @tparam[opt] table options  the keys of `train` in an experiment file, and eval_batch
-- @treturn Trainer
-- @raise when an option is unknown or wrong
function Trainer.new(model, options)
  local o = { batch = 4096, seed = 1, shuffle = true, epochs = 1, monitor = "auc" }
  for name, value in pairs(options or {}) do
    local known = false
    for _, option in ipairs(OPTIONS) do known = known or option == name end
    if not known then
      error(('unknown option "%s" of a trainer%s'):format(tostring(name),
        suggest.phrase(tostring(name), OPTIONS)), 2)
    end
    o[name] = value
  end
  check_options(o, model)
  model.training = portable(o)
  local self = setmetatable({ model = model, options = o, hooks = {}, epoch = 0, rate = 1,
    pool = Pool.new(o.threads) }, Trainer)
  make_run(self)
  return self
end

--- Be told: "epoch" after each epoch, with { number, train = { logloss }, valid = figures or nil,
-- rows_per_second, seconds, processor_seconds (of all threads), peak_memory (of the process until
-- then, bytes), best (whether it is the best so far), rate }; "progress" some times a second, with
-- { epoch, rows, total, rows_per_second }; "step" after each step, with { number, loss, rows };
-- "checkpoint" before one is written, with the state, to which a hook may add.
-- @tparam string event
-- @tparam function hook
function Trainer:on(event, hook)
  if not HOOKS[event] then
    error(('no event "%s", expected epoch, progress, step or checkpoint'):format(
      tostring(event)), 2)
  end
  self.hooks[event] = self.hooks[event] or {}
  table.insert(self.hooks[event], hook)
end

local function tell(self, event, about)
  for _, hook in ipairs(self.hooks[event] or {}) do hook(about) end
end

-- A number that is not finite ends the training; `not_finite` tells this end from others.
local function stop_not_finite(self, message)
  self.not_finite = true
  error(message, 0)
end

-- Why a step failed: computed once more, every number looked at.
local function explain(self, batch)
  local message = mr.last_error()
  if C.mr_run_check(self.handle, batch) == C.MR_ENAN and mr.last_error() ~= message then
    message = ("%s: %s"):format(message, (mr.last_error():gsub("row (%d+)$",
      "row %1 of the training data")))
  end
  stop_not_finite(self, message)
end

--- Take one step on a batch of a split's loader.
-- @param batch  `mr_batch *`
-- @treturn number the sum of the loss over the batch's samples, before the step
-- @treturn integer how many samples these are
-- @raise when memory runs out, or the loss or the gradient is not finite: then the message names
-- where (`mr_run_check`), and nothing has stepped
function Trainer:step(batch)
  mr.handle(self, "the trainer")
  mr.handle(self.model, "the model")
  mr.handle(self.pool, "the pool of threads")
  Split.check_batch(batch)
  self.loss = self.loss or mr.new "double[1]"
  local factor = schedule.factor(self.options.schedule, self.options.warm_up,
    tonumber(C.mr_run_steps(self.handle)) + 1)
  mr.check(C.mr_run_set_rate(self.handle, self.rate * factor), 1)
  local status = C.mr_run_step(self.handle, batch, self.loss)
  if status == C.MR_ENAN then explain(self, batch) end
  mr.check(status, 1)
  return self.loss[0], tonumber(C.mr_batch_rows(batch, C.MR_SAMPLE))
end

local function loader_options(o, epoch, skip)
  return { batch = o.batch, shuffle = o.shuffle and true, seed = o.seed, epoch = epoch,
    shuffle_bytes = type(o.shuffle) == "table" and o.shuffle.memory * 2 ^ 20 or 0, skip = skip }
end

--- Batches of an epoch, as training takes them.
-- @tparam Split split
-- @tparam integer epoch  from 1
-- @tparam[opt=0] integer skip  batches to leave out at the start
-- @return an iterator over `mr_batch *`
function Trainer:batches(split, epoch, skip)
  mr.handle(self, "the trainer")
  return split:loader(loader_options(self.options, epoch, skip))
end

-- ---- checkpoints ----

--- Keep checkpoints in a folder while fitting, as often as the option `checkpoint` says.
-- @tparam string folder
function Trainer:keep_checkpoints(folder)
  local o = self.options.checkpoint or {}
  self.checkpoints = require "moonrank.checkpoints".new(folder, o.keep)
  self.saved_at, self.saved_step = clock.now(), 0
end

-- What of the epoch is done: batches, and the sums over their samples.
local function start_part() return { batches = 0, loss = 0, rows = 0, weight = 0 } end

local function state_of(self)
  local part = self.part or start_part()
  return { epoch = self.epoch, batches = self.part and part.batches or -1, -- -1: between epochs
    loss = part.loss, rows = part.rows, weight = part.weight, rate = self.rate,
    waited = self.waited, best_value = self.best_value, best_epoch = self.best_epoch,
    stopped = self.stopped or false }
end

-- Write one now. Saving changes nothing in the run.
local function save_checkpoint(self)
  local state = state_of(self)
  tell(self, "checkpoint", state)
  local ok, message = self.checkpoints:save(self.handle, state)
  if not ok then error(message, 0) end
  self.saved_at, self.saved_step = clock.now(), tonumber(C.mr_run_steps(self.handle))
end

local function is_due(self)
  local o = self.options.checkpoint or {}
  if o.steps and tonumber(C.mr_run_steps(self.handle)) - self.saved_step >= o.steps then
    return true
  end
  return clock.now() - self.saved_at >= 60 * (o.minutes or 10)
end

--- Go on from the newest checkpoint of keep_checkpoints' folder.
-- @treturn ?table its state
-- @treturn ?string what is wrong
function Trainer:resume()
  mr.handle(self, "the trainer")
  local state, message = self.checkpoints:restore(self.handle)
  if not state then return nil, message end
  self.epoch, self.rate, self.waited = state.epoch, state.rate, state.waited
  self.best_value, self.best_epoch = state.best_value, state.best_epoch
  self.stopped = state.stopped
  if state.batches >= 0 then -- in the middle of an epoch
    self.part = { batches = state.batches, loss = state.loss, rows = state.rows,
      weight = state.weight or state.rows }
  end
  self.saved_step = tonumber(C.mr_run_steps(self.handle))
  if self.best_epoch then
    self.best = self.model:fresh()
    local ok
    ok, message = self.best:read(self.checkpoints:best(self.best_epoch))
    if not ok then return nil, message end
  end
  return state
end

-- ---- epochs ----

-- The sum of the weights of a batch's samples.
local function weight_of(split, batch, n)
  if not split.schema.weight then return n end
  local weights, sum = C.mr_batch_floats(batch, split.schema.weight), 0
  for i = 0, n - 1 do sum = sum + weights[i] end
  return sum
end

local function train_epoch(self, split)
  local part, total = self.part, split:samples()
  local start, processor, rows_before = clock.now(), clock.processor(), part.rows
  local told = start
  for batch in self:batches(split, self.epoch, part.batches) do
    local step_loss, n = self:step(batch)
    part.loss, part.rows, part.batches = part.loss + step_loss, part.rows + n, part.batches + 1
    part.weight = part.weight + weight_of(split, batch, n)
    if self.hooks.step then
      tell(self, "step", { number = tonumber(C.mr_run_steps(self.handle)), loss = step_loss / n,
        rows = n })
    end
    local now = clock.now()
    if now - told >= PROGRESS_SECONDS then
      told = now
      tell(self, "progress", { epoch = self.epoch, rows = part.rows, total = total,
        rows_per_second = (part.rows - rows_before) / (now - start) })
    end
    self.interrupted = C.mr_signals_seen() > 0
    if self.interrupted then break end
    if self.checkpoints and is_due(self) then save_checkpoint(self) end
  end
  return part.rows - rows_before, clock.now() - start, clock.processor() - processor
end

-- A figure that the data does not define must not look like one: comparing with it says nothing.
local function defined(figures, name)
  local value, figure = monitors.figure(figures, name)
  if value ~= nil and math.abs(value) == math.huge then
    error(("the monitor %s is infinite on the validation data"):format(name), 0)
  end
  if value ~= nil and value == value then return value end
  if figure == "gauc" and value == nil then
    error(("the monitor %s needs groups; name their column as `group` in the fields file"):format(
      name), 0)
  end
  error(("the monitor %s is not defined on the validation data: it needs rows of both labels%s")
    :format(name, figure == "gauc" and " in one group" or ""), 0)
end

local function monitored(self, figures)
  return monitors.value(monitors.weights(self.options.monitor), defined, figures)
end

-- The learning rate of an optimizer as options name it, or that of its presets.
local function rate_of(optimizer)
  local name, given = next(optimizer)
  if given.lr then return given.lr end
  local info, option = mr.new "mr_optimizer_info", mr.new "mr_op_option_info"
  for i = 0, C.mr_optimizer_count() - 1 do
    mr.check(C.mr_optimizer_describe(i, info))
    mr.check(C.mr_optimizer_option_describe(i, 0, option)) -- the first one is lr
    if mr.string(info.name) == name then return option.preset end
  end
end

local function lower_rate(self)
  local plateau = self.options.reduce_on_plateau
  if not plateau or self.waited % (plateau.patience or 1) ~= 0 then return end
  -- The factor's floor keeps the larger share of min_lr in any learning rate there is.
  local least, min_lr = 0, plateau.min_lr or 1e-6
  local tables = self.options.tables or {}
  for _, optimizer in ipairs { self.options.optimizer or { adam = {} }, tables.optimizer } do
    local lr = rate_of(optimizer)
    if lr > 0 then least = math.max(least, min_lr / lr) end
  end
  self.rate = math.max(self.rate * (plateau.factor or 0.1), math.min(least, self.rate))
end

-- Keep the best model so far; wait, slow down or stop where there is no gain. The best model is a
-- copy, as large as the model itself.
local function judge(self, figures)
  local value = monitored(self, figures)
  if not self.best_value or value > self.best_value + LEAST_GAIN then
    self.best_value, self.best_epoch, self.waited = value, self.epoch, 0
    if not self.best then self.best = self.model:copy() else self.best:assign(self.model) end
    if self.checkpoints then
      assert(require "moonrank.path".make_folder(self.checkpoints.folder))
      assert(self.best:save(self.checkpoints:best(self.epoch)))
    end
    return true
  end
  self.waited = self.waited + 1
  lower_rate(self)
  self.stopped = self.options.patience ~= nil and self.waited >= self.options.patience
  return false
end

-- With `rows: all` every row takes every step, also before the batch that first has its key: so all
-- of them are made first. With `mba` all are counted first, after a resume again.
local function prepare_rows(self, split)
  local tables, handle = self.options.tables or {}, self.handle
  if (tables.mba or 0) > 0 and self.counted ~= split then
    local first = 1
    for batch in split:loader { batch = self.options.batch } do
      mr.check(C.mr_run_count(handle, batch, first), 1)
      first = 0
    end
    self.counted = split
  elseif tables.rows == "all" and tonumber(C.mr_run_steps(handle)) == 0 then
    for batch in split:loader { batch = self.options.batch } do
      mr.check(C.mr_run_make_rows(handle, batch), 1)
    end
  end
end

--- Train. With validation data, the model of the epoch with the best monitor is what evaluate and
-- save use afterwards; without, the last one. Called again, it goes on where it stopped.
-- @tparam table data  with `train` and, if there is any, `valid`
-- @tparam[opt] table options  epochs (those of the trainer's options); stop_after: return after
-- this epoch, to go on later
-- @treturn Trainer itself; `interrupted` is true where a signal (mr_signals_catch) stopped it
-- @raise as step does, and where after an epoch a weight is not finite; `not_finite` is then true
function Trainer:fit(data, options)
  local epochs = options and options.epochs or self.options.epochs
  local stop_after = options and options.stop_after or epochs
  local train, valid = data.train, data.valid
  self.split = train -- for names
  mr.handle(self, "the trainer")
  mr.handle(self.model, "the model")
  prepare_rows(self, train)
  while self.epoch < math.min(epochs, stop_after) and not self.stopped or self.part do
    if not self.part then
      self.epoch, self.part = self.epoch + 1, start_part()
    end
    local rows, seconds, processor_seconds = train_epoch(self, train)
    if self.interrupted then break end
    local loss = self.part.loss / (self.part.weight > 0 and self.part.weight or 1)
    local e = { number = self.epoch, train = { logloss = loss }, seconds = seconds,
      processor_seconds = processor_seconds, peak_memory = clock.peak_memory(),
      rows_per_second = rows / math.max(seconds, 1e-9), rate = self.rate }
    if C.mr_model_check(self.model.handle) == C.MR_ENAN then
      stop_not_finite(self, ("after step %d %s"):format(tonumber(C.mr_run_steps(self.handle)),
        mr.last_error()))
    end
    if valid then
      self:use(self.model)
      e.valid = self.predictor:evaluate(valid)
      e.best = judge(self, e.valid)
    end
    self.part = nil
    tell(self, "epoch", e)
    if self.checkpoints then save_checkpoint(self) end
  end
  if self.interrupted and self.checkpoints then save_checkpoint(self) end
  if self.best then self:use(self.best) end
  return self
end

--- Choose the model that evaluate, predict and save speak of.
-- @tparam Model model  of the same graph
function Trainer:use(model)
  mr.handle(self, "the trainer")
  if self.used == model and self.predictor then return end
  if self.predictor then self.predictor:close() end
  self.used = model
  self.predictor = Predictor.new(model, self.pool, { batch = self.options.eval_batch })
end

--- What evaluates and predicts.
-- @treturn Predictor
function Trainer:predictor_of_model()
  mr.handle(self, "the trainer")
  if not self.predictor then self:use(self.model) end
  return self.predictor
end

--- Figures of the model on a split; see Predictor:evaluate.
-- @tparam Split split
-- @treturn table
function Trainer:evaluate(split) return self:predictor_of_model():evaluate(split) end

--- Write probabilities; see Predictor:predict.
function Trainer:predict(split, sink) return self:predictor_of_model():predict(split, sink) end

--- Write the model file.
-- @tparam string path
-- @treturn ?boolean true
-- @treturn ?string what is wrong
function Trainer:save(path)
  mr.handle(self, "the trainer")
  return (self.used or self.model):save(path, self.split)
end

-- What finds the rows of a dataset's keys by their codes.
local function memo_bytes(codes) return 8 * codes end

-- What training takes beside tables and the buffers of its steps: the loader, and judging.
local function add_bytes_of_data(self, d, data)
  d.bytes = data.train:run_bytes(self.handle, loader_options(self.options))
  d.loader_bytes = data.train:loader_bytes(loader_options(self.options))
  d.figure_bytes = 0
  local opened = data.splits or data -- a dataset would open test data that nobody asked for
  for _, name in ipairs { "valid", "test" } do
    local split = opened[name]
    if split then
      local batches, figures = self:predictor_of_model():bytes(split)
      d.figure_bytes = math.max(d.figure_bytes, batches + figures)
    end
  end
end

--- Counts for people: see Model:describe; bytes is what batches need beside the model; with data,
-- table_bytes is what the tables, and the memos of codes, need at most once they hold every key of
-- the training data, loader_bytes what the loader holds at most, and figure_bytes what evaluation
-- takes, its batches included.
-- @tparam[opt] table data  with `train` and, if there are any, `valid` and `test`
-- @treturn table
function Trainer:describe(data)
  mr.handle(self, "the trainer")
  local d = self.model:describe()
  d.bytes = tonumber(C.mr_run_bytes(self.handle))
  if not data then return d end
  d.table_bytes = 0
  local best = data.valid and self.model:fresh() -- a copy without states of optimizers
  for i, t in ipairs(d.tables) do
    local keys, codes = data.train:distinct(t.name), data.train:codes(t.name)
    t.keys = keys
    d.table_bytes = d.table_bytes + memo_bytes(codes)
      + tonumber(C.mr_model_table_touched(self.model.handle, i - 1, keys + 1, codes))
    if best then
      d.table_bytes = d.table_bytes + memo_bytes(data.valid:codes(t.name))
        + tonumber(C.mr_model_table_touched(best.handle, i - 1, keys + 1, codes))
    end
  end
  if best then best:close() end
  add_bytes_of_data(self, d, data)
  return d
end

--- What came of the keys of tables that admit them by count, or whose rows expire: { table, rows,
-- waiting (keys that did not come often enough yet), dropped (rows) }.
-- @treturn {table,...} empty where there is no such table
function Trainer:keys()
  local handle, list = mr.handle(self, "the trainer"), {}
  local configured = self.counts_keys and self.model.fields_config.tables or {}
  for i, t in ipairs(self.model:describe().tables) do
    local own = configured[t.name] or {}
    if own.admit or own.expire then
      list[#list + 1] = { table = t.name, rows = t.rows,
        waiting = own.admit and tonumber(C.mr_run_waiting(handle, i - 1)),
        dropped = own.expire and tonumber(C.mr_run_dropped(handle, i - 1)) }
    end
  end
  return list
end

--- Measure from now on where the time of steps goes, or stop and forget.
-- @tparam boolean on
function Trainer:measure(on)
  mr.check(C.mr_run_profile(mr.handle(self, "the trainer"), on and 1 or 0), 1)
end

--- Where the time of the steps since measure(true) went, in the order of the graph: for each node
-- and pass, and each part of the step beside the graph, { what, node (number), op, width, inputs
-- (their widths), calls, rows, seconds (of all threads together), flops, bytes }; see
-- mr_profile_line.
-- @treturn {table,...} empty where nothing is measured
function Trainer:measured()
  local handle = mr.handle(self, "the trainer")
  local graph, lines = self.model.builder.handle, {}
  local line, info = mr.new "mr_profile_line", mr.new "mr_node_info"
  for i = 0, C.mr_run_profile_lines(handle) - 1 do
    mr.check(C.mr_run_profile_line(handle, i, line))
    if line.calls > 0 then
      local l = { what = mr.string(line.what), seconds = line.seconds, flops = line.flops,
        bytes = line.bytes, calls = tonumber(line.calls), rows = tonumber(line.rows) }
      if line.node >= 0 then
        mr.check(C.mr_graph_describe(graph, line.node, info))
        l.node, l.op, l.width, l.inputs = line.node, mr.string(info.op), info.width, {}
        for k = 0, info.n_inputs - 1 do
          mr.check(C.mr_graph_describe(graph, C.mr_graph_input(graph, line.node, k), info))
          l.inputs[k + 1] = info.width
        end
      end
      lines[#lines + 1] = l
    end
  end
  return lines
end

--- Free buffers and threads now rather than at some later collection. May be called twice.
function Trainer:close()
  if self.predictor then self.predictor:close() end
  if self.best then self.best:close() end
  if self.handle then
    C.mr_run_free(mr.gc(self.handle, nil))
    self.handle = nil
  end
  self.pool:close()
end

return Trainer
