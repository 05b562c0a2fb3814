-- Numbers in model files were written and read with the decimal sign of the program's locale: where
-- that is a comma, a mean of 1.83 was read as 1, and 1,83 was written, which no one can read.
local ffi = require "ffi"
local helper = require "helper"
local library = require "moonrank"
local mr = require "moonrank.ffi"
local Pool = require "moonrank.pool"
local C = mr.C

local ROWS = 200

ffi.cdef [[
int setenv(const char *name, const char *value, int overwrite);
double strtod(const char *text, char **end);
]]

-- What localedef makes of nothing but decimal_point "<U002C>", in hexadecimal digits.
local COMMA = "141103200600000020000000220000002300000024000000280000002c0000002c0000002c000000"
  .. "00000000414e53495f58332e342d3139363800"

local function with_comma(f)
  local folder = helper.temp_dir()
  assert(require "lfs".mkdir(folder .. "/comma"))
  helper.write(folder .. "/comma/LC_NUMERIC", (COMMA:gsub("..", function(digits)
    return string.char(tonumber(digits, 16))
  end)))
  ffi.C.setenv("LOCPATH", folder, 1)
  local before = os.setlocale(nil, "numeric")
  assert.equal("comma", os.setlocale("comma", "numeric"))
  assert.equal(0, ffi.C.strtod("0.5", nil)) -- else nothing is tested
  local ok, result = pcall(f)
  os.setlocale(before, "numeric")
  return ok and result or error(result, 0)
end

describe("a program with a decimal comma", function()
  local project = helper.make_project { rows = ROWS }
  local fields = helper.read(project .. "/fields.yaml")
  helper.write(project .. "/fields.yaml",
    (fields:gsub("transform: log1p", "transform: log1p, normalize: true")))
  local data, pool = library.dataset(project .. "/fields.yaml"), Pool.new(1)
  local train = data.train
  local model = library.model("dnn", { fields = data.fields,
    options = { hidden = { 4 }, dropout = 0.25, batch_norm = true } })
  local path = project .. "/model.mr"
  assert(model:save(path))

  -- As a C program: cjson looks at the locale once, when it is loaded.
  local function probabilities()
    local predictor, run = mr.new "mr_predictor *[1]", mr.new "mr_run *[1]"
    mr.check(C.mr_predictor_open(predictor, path))
    mr.check(C.mr_predictor_run(run, predictor[0], pool.handle, 256))
    local logits, probability = mr.new("float[?]", ROWS), mr.new("float[?]", ROWS)
    for batch in train:loader { batch = 256 } do
      mr.check(C.mr_run_predict(run[0], batch, mr.new("float *[2]", { logits, probability })))
    end
    C.mr_run_free(run[0])
    C.mr_predictor_close(predictor[0])
    local list = {}
    for i = 1, ROWS do list[i] = probability[i - 1] end
    return list
  end

  it("reads of a model file what others read", function()
    local expected = probabilities()
    assert.same(expected, with_comma(probabilities))
  end)

  it("writes what others write", function()
    local expected = helper.read(path)
    with_comma(function() return assert(model:save(path)) end)
    assert.is_true(helper.read(path) == expected)
  end)
end)
