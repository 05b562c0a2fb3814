--- Where the peers are and how they are called. What is missing is nil, never an error.
-- @module peers.peers
local M = {}

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

--- PyTorch: the first python3 that has it.
-- @treturn ?table about (a text), command(environment, root, folder, line, given, program)
function M.torch()
  local best, openmp = best_environment()
  for _, python in ipairs { "python3", "/usr/bin/python3" } do
    local version = output_of(python .. " -c 'import torch, numpy; print(torch.__version__)'")
    if version ~= "" then
      return {
        about = ("%s; best: %s"):format(version:gsub("%s+$", ""), openmp
          and "OpenMP OpenBLAS, AVX-512 where there is, malloc tuned"
          or "without libopenblas0-openmp, which is not installed"),
        command = function(environment, root, folder, line, given, program)
          return ("env -u OPENBLAS_CORETYPE OMP_NUM_THREADS=%d OPENBLAS_NUM_THREADS=%d %s %s "
            .. "'%sbench/peers/torch_train.py' --data '%s' --model %s --rows %s --optimizer %s "
            .. "--threads %d --seconds %g --windows %d --warm-up %g"):format(line.threads,
            line.threads, environment == "best" and best or "", python, root, folder, line.model,
            program, line.optimizer, line.threads, given.seconds, given.windows, given.warm_up)
        end,
      }
    end
  end
  return nil
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
