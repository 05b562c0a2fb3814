--- Every configuration key: name, type, default, range and one line of help.
--
-- The one table behind the validator (moonrank.config), `moonrank help config` and docs/config.md.
-- A description is a table with
--
--     type      whole, number, boolean, text, word, list, map, named, pick or either; any, which
--               is not looked at and stays a node of moonrank.yaml
--     doc       one line of help
--     default   what stands for a key that is not given
--     required  true: the key must be given
--     unless    of a required one: a key beside it, with which it may be left out
--     min, max  range of whole and number; above: an exclusive lower bound
--     words     of word: the allowed ones
--     of        of list and named: the description of an item; named maps have free keys
--     keys      of map and pick: the descriptions by name, in order; a pick takes exactly one of
--               them, and its name alone stands for that one with its defaults
--     forms     of either: descriptions of different YAML kinds
--     open      of map: other keys are allowed and left to someone else
--     optional  of map: nothing is filled in where the key is not given
--     only      of the keys of a data field or a sequence's member: the types it belongs to
--     alike     the key whose inner keys are the same; the reference does not repeat them
--     path      true: a path, relative to the folder of the file it is written in; "lua": so if it
--               ends in .lua, else a name
-- @module moonrank.config_keys
local M = {}

local function key(name, description)
  description.name = name
  return description
end

local function rate(default)
  return key("lr", { type = "number", above = 0, max = 1e6, default = default,
    doc = "learning rate" })
end

local function epsilon(default)
  return key("eps", { type = "number", min = 1e-30, max = 1, default = default,
    doc = "added to the root" })
end

local function optimizer(name, doc, default, alike)
  return key(name, {
    type = "pick", doc = doc, default = default, alike = alike,
    keys = {
      key("adam", { type = "map", doc = "Adam with bias correction; in row form, moments of a row "
        .. "move only when it is in the batch", keys = {
        rate(0.001),
        key("beta1", { type = "number", min = 0, max = 0.999999, default = 0.9,
          doc = "decay of the mean of gradients" }),
        key("beta2", { type = "number", min = 0, max = 0.999999, default = 0.999,
          doc = "decay of the mean of squared gradients" }),
        epsilon(1e-8),
      } }),
      key("adagrad", { type = "map", doc = "Adagrad", keys = {
        rate(0.01),
        epsilon(1e-10),
        key("start", { type = "number", min = 0, max = 1e6, default = 0,
          doc = "what the sums of squares start from" }),
      } }),
      key("sgd", { type = "map", doc = "plain gradient descent", keys = { rate(0.1) } }),
      key("momentum", { type = "map", doc = "gradient descent with momentum; in row form, "
        .. "that of a row moves only when it is in the batch", keys = {
        rate(0.01),
        key("momentum", { type = "number", min = 0, max = 0.999999, default = 0.9,
          doc = "decay of the sum of gradients" }),
        key("nesterov", { type = "number", min = 0, max = 1, default = 0,
          doc = "1: Nesterov's form; between 0 and 1: a mix of both" }),
      } }),
      key("ftrl", { type = "map", doc = "FTRL-Proximal; with l1 many weights become 0. Gradients "
        .. "are means over the batch: large batches want a small beta and l1", keys = {
        rate(0.1),
        key("beta", { type = "number", min = 1e-30, max = 1e6, default = 1,
          doc = "added to the root" }),
        key("l1", { type = "number", min = 0, max = 1e6, default = 0,
          doc = "weights whose gradients add up to no more than this are 0" }),
        key("l2", { type = "number", min = 0, max = 1e6, default = 0,
          doc = "pull towards 0, once, not at each step" }),
      } }),
    },
  })
end

local SPLIT_FORMS = {
  { type = "text" },
  { type = "list", of = { type = "text" } },
}

local function split(name, doc, required)
  return key(name, { type = "either", forms = SPLIT_FORMS, required = required, doc = doc })
end

local function width(default)
  return key("dim", { type = "whole", min = 1, max = 4096, default = default,
    doc = "floats per row" })
end

local function min_count(default)
  return key("min_count", { type = "whole", min = 1, default = default,
    doc = "values seen less often in the training data count as unknown" })
end

local function admit()
  return key("admit", { type = "map", optional = true, doc = "give keys a row of their own only "
    .. "once training has met them often enough; default: at once", keys = {
    key("count", { type = "whole", min = 1, max = 2147483647, required = true, doc = "how often: "
      .. "the row is there from the batch after; until then the key counts as unseen" }),
  } })
end

local function strings()
  return key("strings", { type = "word", words = { "forget", "keep" },
    doc = "keep: the values themselves beside their keys, in the cache of training data and in the "
      .. "model file, so that moonrank inspect and reports can name them; default: forget" })
end

local function expire()
  return key("expire", { type = "map", optional = true, doc = "drop rows while training whose keys "
    .. "come no more; default: never", keys = {
    key("steps", { type = "whole", min = 1, max = 2147483647, required = true,
      doc = "updates that a key may stay away" }),
  } })
end

-- What fills lists up, at fields, members, sequences and defaults.
local function padding(doc, only)
  return key("padding", { type = "either", forms = { { type = "text" }, { type = "whole" } },
    only = only, doc = doc })
end

-- In files of pairs columns are numbers.
local COLUMN_FORMS = { { type = "text" }, { type = "whole", min = 0 } }

local FIELD = { type = "map", keys = {
  key("name", { type = "either", required = true, forms = SPLIT_FORMS,
    doc = "what models call the field; a list describes several fields at once, and f1..f200 "
      .. "stands for 200 names" }),
  key("side", { type = "word", words = { "user", "ad", "scene", "context" }, required = true,
    unless = "cross", doc = "whose it is; all but ad are the same in every row of a request; of a "
      .. "cross by default ad where one of its parts is, else as of the first" }),
  key("type", { type = "word", words = { "id", "ids", "number", "vector" }, required = true,
    doc = "one value, several values, a number, or a fixed number of numbers in one cell" }),
  key("source", { type = "either", forms = { COLUMN_FORMS[1], COLUMN_FORMS[2],
    { type = "list", of = { type = "text" } } },
    doc = "the column of the file; default: the field's name. Of a vector several columns of a "
      .. "number each, as a list or a range such as f1..f64. jsonl: the name of a member, or as "
      .. "user.age of one in an object; libsvm: the number of an index, libffm: of a field, both: "
      .. "features, which are all pairs; pairs: a cell or a field" }),
  key("table", { type = "text", only = { "id", "ids", "number" },
    doc = "the embedding table, shared by all fields that name it; default: the field's name; of a "
      .. "number only with buckets" }),
  key("cross", { type = "list", of = { type = "text" }, only = { "id", "ids" },
    doc = "2 to 8 fields of type id or ids, or numbers with buckets, wherever they stand; this one "
      .. "is no column of the file then: its values are the combinations of theirs; of type ids "
      .. "where one of them is, with max" }),
  key("separator", { type = "text", only = { "ids", "vector" }, default = ",",
    doc = "the character between values; of lists in jsonl there is none to be said" }),
  key("width", { type = "whole", min = 1, max = 1048576, only = { "vector" },
    doc = "how many numbers each cell has; one that is empty stands for zeros; not needed where "
      .. "each has a column" }),
  key("max", { type = "whole", min = 1, only = { "ids" },
    doc = "keep at most this many values, the first ones; default: all" }),
  padding("values that say this are none, wherever they stand, as where lists are filled up with 0 "
    .. "to one length; default: that of defaults", { "ids" }),
  key("weighted", { type = "boolean", only = { "ids" },
    doc = "true: each value has a weight, a number from -1e9 to 1e9 behind it (tea:0.5), of libsvm "
      .. "and libffm the pair's; pool is then sum or mean" }),
  key("weight_separator", { type = "text", only = { "ids" },
    doc = "with weighted: the character between a value and its weight, the last one in it; "
      .. 'default: ":"' }),
  key("weights", { type = "either", forms = COLUMN_FORMS, only = { "ids" },
    doc = "a column of the file that has the weights instead, as many as there are values and with "
      .. "the same separator (csv, tsv, jsonl)" }),
  key("pool", { type = "word", words = { "sum", "mean", "max" }, only = { "ids" },
    default = "mean", doc = "how the rows of several values become one; max: the largest of each "
      .. "of their numbers" }),
  key("values", { type = "list", of = { type = "either", forms = COLUMN_FORMS },
    only = { "id", "ids" },
    doc = "all values that there are, at most 10000: each has a row from the start, however "
      .. "rare" }),
  key("unseen", { type = "word", words = { "unknown", "zero", "error" }, only = { "id", "ids" },
    doc = "what a value reads that is not in values, is rarer than min_count or that the model "
      .. "lacks: the row of unknown values (default); zeros, as an empty cell does then; or it is "
      .. "wrong" }),
  key("transform", { type = "word", words = { "none", "log1p" }, only = { "number" },
    default = "none", doc = "log1p: log(1 + x), for negative x -log(1 - x)" }),
  key("missing", { type = "either", forms = { { type = "number" },
    { type = "word", words = { "mean", "own" } } }, only = { "number" }, default = 0,
    doc = "the value of an empty cell; mean: the training data's; own: a bucket of its own" }),
  key("clip", { type = "list", of = { type = "number" }, only = { "number" },
    doc = "hold numbers within these two, before transform" }),
  key("normalize", { type = "boolean", only = { "number" },
    doc = "true: less the mean of the training data, by its standard deviation, after transform" }),
  key("buckets", { type = "text", only = { "number" },
    doc = "quantile(N): numbers become ids of N buckets with equally many rows of the training "
      .. "data, 2 to 1000, each with a row of the field's table" }),
} }

-- What else is said of a member that is not, or not in all, as the field of its name.
local MEMBER = { type = "map", keys = {
  key("column", { type = "text", required = true,
    doc = "the column of the file: a value for each behaviour, the separator between them" }),
  key("type", { type = "word", words = { "id", "ids", "number", "vector" },
    doc = "of a behaviour's value; this and what follows default to the field of the member's "
      .. "name, and where there is none to what a field has" }),
  key("table", { type = "text", only = { "id", "ids" },
    doc = "an embedding table that fields, members or tables name; default: that field's, or the "
      .. "member's name" }),
  key("separator", { type = "text", only = { "ids", "vector" },
    doc = "the character between the values of one behaviour" }),
  key("width", { type = "whole", min = 1, max = 1048576, only = { "vector" },
    doc = "how many numbers each behaviour has" }),
  key("max", { type = "whole", min = 1, only = { "ids" },
    doc = "keep at most this many values of a behaviour, the first ones" }),
  padding("values of a behaviour that say this are none", { "ids" }),
  key("pool", { type = "word", words = { "sum", "mean", "max" }, only = { "ids" },
    doc = "how the rows of several values become one" }),
  key("transform", { type = "word", words = { "none", "log1p" }, only = { "number" },
    doc = "as of a field" }),
  key("missing", { type = "number", only = { "number" }, doc = "the value of an empty piece" }),
} }

local SEQUENCE = { type = "map", keys = {
  key("name", { type = "text", required = true, doc = "what models call the sequence" }),
  key("side", { type = "word", words = { "user", "ad", "scene", "context" }, required = true,
    doc = "whose it is; all but an ad's are the same in every row of a request" }),
  key("max", { type = "whole", min = 1, doc = "keep at most this many behaviours; default: all" }),
  key("keep", { type = "word", words = { "first", "last" }, default = "last",
    doc = "which of them: last are the newest where the oldest stand first" }),
  key("separator", { type = "text", default = " ",
    doc = "the character between behaviours; another one than between the values of one" }),
  padding("behaviours whose ids all say this are none, wherever they stand; default: that of "
    .. "defaults"),
  key("of", { type = "named", required = true, of = { type = "either",
    forms = { { type = "text" }, MEMBER } },
    doc = "the members, by name: what is known of a behaviour, each the column of the file that "
      .. "has it; one with the name of a field is of that field's type and table and its "
      .. "counterpart" }),
} }

--- The fields file: what the data is.
M.fields = { type = "map", keys = {
  key("version", { type = "whole", min = 1, max = 1, default = 1, doc = "of this file's form" }),
  key("base", { type = "text", path = true,
    doc = "a file whose keys stand where this one gives none" }),
  key("data", { type = "map", required = true, doc = "where the data is", keys = {
    key("root", { type = "text", path = true, default = ".",
      doc = "the folder that the paths below start from" }),
    split("train", "a file, a pattern such as train-*.tsv.zst, \"-\" for "
      .. "standard input, or a list of them", true),
    split("valid", "the same, for the figures after each epoch"),
    split("test", "the same, for the figures at the end"),
    key("split", { type = "map", optional = true, doc = "take validation and test data out of the "
      .. "files of train instead; requests stay whole; default: not", keys = {
      key("by", { type = "word", words = { "random", "time", "group" }, default = "random",
        doc = "random: rows, or whole requests; time: the last ones, of requests by the times of "
          .. "their first rows; group: all rows with one value of a column on one side" }),
      key("column", { type = "text",
        doc = "what time or group goes by; default: the column that the key of that name names" }),
      key("seed", { type = "whole", min = 0, doc = "of random and group; default: 1" }),
      key("valid", { type = "number", above = 0, max = 0.999,
        doc = "validation data, as a share of the rows" }),
      key("test", { type = "number", above = 0, max = 0.999, doc = "test data, as a share" }),
      key("valid_from", { type = "number",
        doc = "by time: validation data is what is not before this, instead of a share" }),
      key("test_from", { type = "number", doc = "the same for test data, which comes last" }),
    } }),
    key("format", { type = "word", words = { "csv", "tsv", "jsonl", "libsvm", "libffm", "pairs" },
      doc = "default: by the name of the first training file, in which svm, ffm and ndjson do, "
        .. "too" }),
    key("header", { type = "boolean", default = true,
      doc = "the first line of each csv or tsv names its columns; false: data.columns does" }),
    key("columns", { type = "list", of = { type = "text" },
      doc = "the names of the columns of files without a header, in their order, or ranges such as "
        .. "f1..f200; of the cells before pairs" }),
    key("bad_rows", { type = "word", words = { "stop", "skip" }, default = "stop",
      doc = "at a row that is wrong: stop with its place, or leave it out and count it" }),
    key("bad_rows_limit", { type = "whole", min = 1, default = 1000,
      doc = "with skip: stop at the next when so many were left out of a split" }),
    key("sample_rate", { type = "either", forms = {
      { type = "number", above = 0, max = 1 },
      { type = "named", of = { type = "number", above = 0, max = 1 } },
    }, doc = "the share of rows with label 0 that the training data kept, or of several tasks a "
      .. "map: predictions p become p / (p + (1 - p) / sample_rate); default: 1" }),
    key("rules", { type = "either", forms = SPLIT_FORMS, doc = "how rows were split and sampled, "
      .. "for people: a file of text as the scripts of the examples write it, or a list of lines; "
      .. "train and report show it" }),
    key("cache", { type = "text", path = true,
      doc = "the folder of column caches; default: .moonrank-cache in data.root" }),
  } }),
  key("defaults", { type = "map", doc = "of tables and lists", keys = { width(16), min_count(1),
    strings(), admit(), expire(), padding "of fields of type ids, and of sequences" } }),
  key("label", { type = "either", required = true, forms = {
    { type = "text" },
    { type = "list", of = { type = "text" } },
    { type = "named", of = { type = "either", forms = { { type = "text" },
      { type = "map", keys = {
        key("column", { type = "text", required = true, doc = "the column with 0 and 1" }),
        key("is", { type = "either", forms = SPLIT_FORMS,
          doc = "the text, or list of texts, that is 1; all others are 0" }),
        key("from", { type = "number", min = -3e38, max = 3e38,
          doc = "numbers from this one on are 1, smaller ones 0" }),
        key("when", { type = "text", doc = "another task, or its column: rows where its label is "
          .. "not 1 have none of this task; default: all have" }),
      } } } } },
  }, doc = "the column with 0 and 1; a column alone is task ctr; a list names tasks and their "
    .. "columns; or a map from task to column, or to what in it is 1. Of several an empty cell is "
    .. "no label" }),
  key("request", { type = "text",
    doc = "consecutive rows with an equal value here share all fields but the ad's" }),
  key("group", { type = "either", forms = COLUMN_FORMS,
    doc = "the column whose values are the groups of GAUC" }),
  key("weight", { type = "either", forms = COLUMN_FORMS,
    doc = "the column with a weight for each row, 0 to 1e9: the row counts as if it came so often, "
      .. "in losses and in figures" }),
  key("scenario", { type = "either", forms = COLUMN_FORMS,
    doc = "a column of at most 4096 values, such as the place of an ad: figures are given for each "
      .. "of them besides" }),
  key("time", { type = "either", forms = COLUMN_FORMS,
    doc = "the column with the time of each row, a number of seconds, for splits" }),
  key("fields", { type = "list", of = FIELD, required = true, doc = "what models see" }),
  key("sequences", { type = "list", of = SEQUENCE,
    doc = "behaviours, any number of them for each request or, on the side of the ad, row" }),
  key("tables", { type = "named", doc = "tables for which the defaults do not fit, by name",
    of = { type = "map", keys = { width(), min_count(), strings(), admit(),
      expire() } } }),
} }

--- The experiment file: what to run.
M.experiment = { type = "map", keys = {
  key("version", { type = "whole", min = 1, max = 1, default = 1, doc = "of this file's form" }),
  key("base", { type = "text", path = true,
    doc = "a file whose keys stand where this one gives none" }),
  key("fields", { type = "text", path = true, required = true, doc = "the fields file" }),
  key("model", { type = "map", required = true, open = true,
    doc = "the script, and beside it any of the script's own options", keys = {
    key("script", { type = "text", path = "lua", required = true,
      doc = "a name in models/, or the path of a .lua file, relative to this file" }),
  } }),
  key("train", { type = "map", doc = "how to train", keys = {
    key("batch", { type = "whole", min = 1, max = 2147483647, default = 4096,
      doc = "samples per update" }),
    key("epochs", { type = "whole", min = 1, default = 1, doc = "passes over the training data" }),
    key("seed", { type = "whole", min = 0, default = 1,
      doc = "of start values, order and dropout; same seed, same model, whatever the threads" }),
    key("threads", { type = "either", default = "auto", doc = "auto: one per CPU", forms = {
      { type = "word", words = { "auto" } },
      { type = "whole", min = 1, max = 256 },
    } }),
    key("lanes", { type = "whole", min = 1, max = 256, default = 16,
      doc = "parts of a batch that threads may take, of 8 samples at least; as few as threads are "
        .. "faster where batches are small; another number gives other rounding" }),
    key("shuffle", { type = "either", default = true, doc = "a new order of the requests every "
      .. "epoch, a function of seed and epoch", forms = {
      { type = "boolean" },
      { type = "map", keys = {
        key("memory", { type = "whole", min = 1, max = 1000000000, required = true,
          doc = "megabytes: a cache with more rows than fit is shuffled by blocks, some of about a "
            .. "megabyte at a time, that much together; default: any" }),
      } },
    } }),
    optimizer("optimizer", "of dense weights, and of tables that have none of their own",
      { adam = {} }),
    key("tables", { type = "map", doc = "how embedding rows are trained", keys = {
      optimizer("optimizer", "of embedding rows; default: as train.optimizer", nil,
        "train.optimizer"),
      key("rows", { type = "word", words = { "touched", "all" }, default = "touched",
        doc = "rows that a batch updates; all: every row, as dense frameworks do (small tables)" }),
      key("l1", { type = "number", min = 0, default = 0,
        doc = "penalty l1 times the sum of absolute values, of the rows that are updated; brings "
          .. "weights near 0 (to 0: the l1 of ftrl)" }),
      key("l2", { type = "number", min = 0, default = 0,
        doc = "penalty l2 / 2 times the sum of squares, of the rows that are updated" }),
      key("mba", { type = "number", min = 0, default = 0,
        doc = "mini-batch aware regularisation (DIN, eq. 4-7): a row that the batch has is pulled "
          .. "by mba / n of itself, n being the training samples that have its key; the optimizer "
          .. "takes it as part of the gradient; not with rows: all" }),
      key("init", { type = "pick", default = { normal = 0.01 }, doc = "start values of rows",
        keys = {
          key("normal", { type = "number", min = 0, doc = "normal with this deviation" }),
          key("uniform", { type = "number", min = 0, doc = "uniform between minus this and this" }),
        } }),
    } }),
    key("dense", { type = "map", doc = "how dense weights are trained", keys = {
      key("l1", { type = "number", min = 0, default = 0,
        doc = "penalty l1 times the sum of absolute values of weights, not of biases" }),
      key("l2", { type = "number", min = 0, default = 0,
        doc = "penalty l2 / 2 times the sum of squares of weights, not of biases" }),
    } }),
    key("clip", { type = "map", optional = true,
      doc = "clip the gradient of the loss, in this order, before penalties; default: not", keys = {
      key("value", { type = "number", min = 1e-30, max = 1e30,
        doc = "each number to between minus this and this" }),
      key("row", { type = "number", min = 1e-30, max = 1e30,
        doc = "each embedding row's, summed over the batch, to this norm" }),
      key("norm", { type = "number", min = 1e-30, max = 1e30,
        doc = "all of it, dense weights and rows, to this norm; sums the rows twice" }),
    } }),
    key("warm_start", { type = "map", optional = true,
      doc = "take weights and rows from another model before the first step; default: not", keys = {
      key("model", { type = "text", path = true, required = true,
        doc = "a run folder or a model file" }),
      key("names", { type = "list", of = { type = "text" },
        doc = "patterns as of train.freeze; shapes must be equal; default: all that both have" }),
    } }),
    key("freeze", { type = "list", of = { type = "text" },
      doc = "patterns of the weights and tables that take no step and no penalty, by the names of "
        .. "moonrank inspect: dense_1.*, table.user, table.user.linear (one part); * at the start "
        .. "stands in quotes" }),
    key("monitor", { type = "either", default = "auc",
      doc = "what to improve on the validation data, by more than 1e-6, so of equals the first is "
        .. "the best: auc, gauc or logloss, of the first task, or as in buy.auc of any; a map sums "
        .. "figures by weight, that of logloss negative, as less is better; one that is not "
        .. "defined is an error", forms = {
      { type = "text" },
      { type = "named", of = { type = "number" } },
    } }),
    key("task_weights", { type = "named", optional = true, of = { type = "number", min = 0,
      max = 1e6 }, doc = "of tasks in the loss, by name, which is the sum over them; default: 1" }),
    key("patience", { type = "whole", min = 1,
      doc = "stop after so many epochs without improvement; default: never" }),
    key("reduce_on_plateau", { type = "map", optional = true,
      doc = "lower the learning rate when the monitor stops improving; default: never", keys = {
      key("factor", { type = "number", above = 0, max = 1, default = 0.1,
        doc = "what the rate is multiplied by" }),
      key("patience", { type = "whole", min = 1, default = 1,
        doc = "epochs without improvement before that" }),
      key("min_lr", { type = "number", min = 0, default = 1e-6,
        doc = "no learning rate below this, not counting schedule and warm_up" }),
    } }),
    key("schedule", { type = "pick", default = { constant = {} },
      doc = "how the learning rate goes with time, as a factor on lr", keys = {
      key("constant", { type = "map", doc = "always 1", keys = {} }),
      key("step", { type = "map", doc = "down by a factor every so many updates", keys = {
        key("every", { type = "whole", min = 1, required = true, doc = "updates" }),
        key("factor", { type = "number", above = 0, max = 1, default = 0.1,
          doc = "what the rate is multiplied by" }),
      } }),
      key("cosine", { type = "map", doc = "from 1 down half a cosine wave", keys = {
        key("steps", { type = "whole", min = 1, required = true, doc = "updates until the end" }),
        key("least", { type = "number", min = 0, max = 1, default = 0, doc = "the factor there" }),
      } }),
    } }),
    key("warm_up", { type = "whole", min = 0, default = 0,
      doc = "updates over which the rate rises from 0, in equal parts" }),
    key("checkpoint", { type = "map", doc = "how often the state is saved; each epoch in any case",
      keys = {
      key("minutes", { type = "number", above = 0, default = 10, doc = "at most this far apart" }),
      key("steps", { type = "whole", min = 1,
        doc = "and after so many updates; default: by time" }),
      key("keep", { type = "whole", min = 1, default = 3, doc = "how many are kept" }),
    } }),
  } }),
  key("eval", { type = "map", doc = "how to evaluate and predict", keys = {
    key("batch", { type = "whole", min = 1, max = 2147483647, default = 4096,
      doc = "samples at a time" }),
  } }),
  key("tune", { type = "map", optional = true,
    doc = "what moonrank tune searches; to all else it is as if it were not there", keys = {
    key("over", { type = "named", required = true, of = { type = "either", forms = {
      { type = "list", of = { type = "any" } },
      { type = "map", keys = {
        key("min", { type = "number", required = true, doc = "of a range: the least" }),
        key("max", { type = "number", required = true, doc = "the most" }),
        key("log", { type = "boolean", default = false,
          doc = "as many draws from 1 to 10 as from 10 to 100" }),
        key("whole", { type = "boolean", default = false, doc = "whole numbers only" }),
      } } } }, doc = "by its name, such as train.optimizer.adam.lr, of each key that is searched "
        .. "the list of its values, or a range" }),
    key("trials", { type = "whole", min = 1, max = 10000,
      doc = "how many are drawn; default: 20, and where there are lists alone every combination" }),
    key("seed", { type = "whole", min = 0, default = 1, doc = "of the draws" }),
    key("halving", { type = "map", optional = true, doc = "successive halving: all trials begin, "
      .. "and at some epochs only the best go on; default: all to the end", keys = {
      key("epochs", { type = "whole", min = 1, default = 1, doc = "until the first choice" }),
      key("factor", { type = "whole", min = 2, max = 100, default = 3,
        doc = "one of so many goes on, for so many times the epochs until the next choice" }),
    } }),
  } }),
} }

return M
