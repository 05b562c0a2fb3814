--- Where the peers are and how they are called. What is missing is nil, never an error.
-- @module peers.peers
local json = require "moonrank.json"
local mr = require "moonrank.ffi"

local M = {}
local HERE = debug.getinfo(1, "S").source:match "^@(.*/)" or ""

local function output_of(command)
  local pipe = io.popen(command .. " 2>/dev/null", "r")
  local text = pipe:read "*a"
  pipe:close()
  return text
end

-- Memory that PyTorch frees for a moment is kept and made of huge pages.
local TUNABLES = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296:"
  .. "glibc.malloc.trim_threshold=4294967296:glibc.malloc.top_pad=268435456"

local function has_avx512()
  local file = io.open "/proc/cpuinfo"
  local text = file and file:read "*a" or ""
  if file then file:close() end
  return text:find "%savx512vl%s" and text:find "%savx512dq%s" and true
end

-- The variables that make PyTorch fastest: OpenBLAS with OpenMP, the threads that PyTorch has
-- anyway, instead of threads of its own; kernels for AVX-512 where libraries do not see it.
local function best_environment()
  local set = { "GLIBC_TUNABLES=" .. TUNABLES }
  local libraries = output_of("ls -d /usr/lib/*/openblas-openmp"):match "[^\n]+"
  if libraries then set[#set + 1] = "LD_LIBRARY_PATH=" .. libraries end
  if has_avx512() then
    set[#set + 1], set[#set + 2] = "OPENBLAS_CORETYPE=SkylakeX", "ATEN_CPU_CAPABILITY=avx512"
  end
  return table.concat(set, " "), libraries ~= nil
end

-- Debian's Python before others: its packages are what is installed for the table.
local DEBIAN = { "/usr/bin/python3", "python3" }

-- The first of these programs that imports a module, and the module's version.
local function first_with(module, pythons)
  for _, python in ipairs(pythons) do
    local version = output_of(("'%s' -c 'import %s, numpy; print(%s.__version__)'"):format(python,
      module, module))
    if version ~= "" then return python, (version:gsub("%s+$", "")) end
  end
end

-- Other Pythons: the one of the variable PEER_PYTHON, and what of that name the path has.
local function other_pythons()
  local list = { os.getenv "PEER_PYTHON" }
  for folder in (os.getenv "PATH" or ""):gmatch "[^:]+" do
    for path in output_of(("ls -d '%s'/python3 '%s'/python3.[0-9]*"):format(folder, folder))
      :gmatch "[^\n]+" do
      if not path:find "config$" then list[#list + 1] = path end
    end
  end
  return list
end

--- Whether version a is above b: numbers from the left.
function M.is_newer(a, b)
  local of_a, of_b = a:gmatch "%d+", b:gmatch "%d+"
  for _ = 1, 3 do
    local x, y = tonumber(of_a() or 0), tonumber(of_b() or 0)
    if x ~= y then return x > y end
  end
  return false
end

local function torch_of(python, version)
  local best, openmp = best_environment()
  return {
    version = version,
    about = ("%s; best: %s"):format(version, openmp
      and "OpenMP OpenBLAS, AVX-512 where there is, malloc tuned"
      or "without libopenblas0-openmp, which is not installed"),
    command = function(environment, root, folder, line, given, program)
      local what = ("torch_train.py' --model %s --rows %s --optimizer %s"):format(line.model,
        program, line.optimizer)
      if line.model == "din" then
        what = ("torch_din.py' --program %s --batch %d --score %d"):format(program,
          line.batch or 1024, line.ads or 0)
      end
      return ("env -u OPENBLAS_CORETYPE OMP_NUM_THREADS=%d OPENBLAS_NUM_THREADS=%d %s '%s' "
        .. "-W ignore '%sbench/peers/%s --data '%s' --threads %d --seconds %g --windows %d "
        .. "--warm-up %g"):format(line.threads, line.threads, environment == "best" and best or "",
        python, root, what, folder, line.threads, given.seconds, given.windows, given.warm_up)
    end,
  }
end

--- PyTorch: Debian's.
-- @treturn ?table version, about (a text), command(environment, root, folder, line, given, program)
function M.torch()
  local python, version = first_with("torch", DEBIAN)
  return python and torch_of(python, version)
end

--- A newer PyTorch, where some Python has one: that of the variable PEER_PYTHON, or of the path.
-- @tparam ?table torch  what it is to be newer than
-- @treturn ?table as of torch()
function M.newer_torch(torch)
  for _, other in ipairs(other_pythons()) do
    local python, version = first_with("torch", { other })
    if python and M.is_newer(version, torch and torch.version or "0") then
      return torch_of(python, version)
    end
  end
  return nil
end

-- The first `n` numbers of an array, as a file.
local function write_floats(path, numbers, n)
  local file = assert(io.open(path, "wb"))
  assert(file:write(mr.string(numbers, 4 * n)))
  file:close()
end

--- The AUC of scikit-learn.
-- @param scores  float array
-- @param labels  float array
-- @tparam integer n
-- @treturn ?table auc, seconds, cpu, bytes (beside the rows), version
function M.sklearn_auc(scores, labels, n)
  local python = first_with("sklearn", DEBIAN)
  if not python then return nil end
  local paths = { os.tmpname(), os.tmpname() }
  write_floats(paths[1], scores, n)
  write_floats(paths[2], labels, n)
  local figures = json.decode(output_of(("%s '%ssklearn_auc.py' '%s' '%s'"):format(python, HERE,
    paths[1], paths[2])))
  for _, path in ipairs(paths) do os.remove(path) end
  return figures
end

--- liblinear's trainer.
-- @treturn ?string its version, as the package has it
function M.liblinear()
  if output_of "command -v liblinear-train" == "" then return nil end
  local version = output_of "dpkg-query -W -f '${Version}' liblinear-tools"
  return version ~= "" and version or "of unknown version"
end

--- Rows a second of liblinear from its text form to a logistic regression (its primal solver and
-- stopping rule: several passes over the rows in memory).
-- @treturn number
function M.run_liblinear(folder, clock)
  local start = clock.now()
  local status = os.execute(("liblinear-train -s 0 -q '%s/train.svm' /dev/null"):format(folder))
  local seconds = clock.now() - start
  if status ~= 0 then error("liblinear-train failed on " .. folder .. "/train.svm", 0) end
  local file = assert(io.open(folder .. "/labels.u8", "rb"))
  local rows = file:seek "end"
  file:close()
  return rows / seconds
end

return M
