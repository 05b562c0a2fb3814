#include "kernel/blas.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

typedef void sgemm_fn(int order, int trans_a, int trans_b, int m, int n, int k, float alpha,
                      const float *a, int lda, const float *b, int ldb, float beta, float *c,
                      int ldc);

enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static sgemm_fn *sgemm;
static void *opened;
static char description[128];

/* OpenBLAS does not know CPUs younger than itself and falls back to AVX2 kernels, half the speed
 * of its AVX-512 ones. It reads the core type from the environment when it is loaded; the user's
 * own choice stands. */
static int choose_core(void) {
#if MR_X86
  __builtin_cpu_init();
  if (getenv("OPENBLAS_CORETYPE") == NULL && __builtin_cpu_supports("avx512f") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd"))
    return setenv("OPENBLAS_CORETYPE", "SkylakeX", 0) == 0;
#endif
  return 0;
}

/* "OpenBLAS 0.3.21, SkylakeX": the start of its configuration, and the kernels that it chose. */
static void describe(void *library) {
  char *(*config)(void) = (char *(*)(void))dlsym(library, "openblas_get_config");
  char *(*core)(void) = (char *(*)(void))dlsym(library, "openblas_get_corename");
  const char *text = config ? config() : "OpenBLAS";
  size_t length = strlen(text), blank = strcspn(text, " ");
  if (blank < length) length = blank + 1 + strcspn(text + blank + 1, " ");
  snprintf(description, sizeof description, "%.*s, %s", (int)length, text,
           core ? core() : "unknown core");
}

static int open_library(void) {
  static const char *const names[] = {
      "openblas-pthread/libopenblas.so.0", /* Debian's pthread variant, beside other variants */
      "libopenblas.so.0", "libopenblas.so"};
  static const char *const folders[] = {"", "/usr/lib/x86_64-linux-gnu/",
                                        "/usr/lib/aarch64-linux-gnu/", "/usr/lib/", "/usr/lib64/"};
  int chosen = choose_core();
  void *library = NULL;
  for (size_t n = 0; !library && n < sizeof names / sizeof *names; n++)
    for (size_t f = 0; !library && f < sizeof folders / sizeof *folders; f++) {
      char path[256];
      snprintf(path, sizeof path, "%s%s", folders[f], names[n]);
      if (n == 0 && f == 0) continue; /* a relative folder would depend on where we run */
      library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
  if (chosen) unsetenv("OPENBLAS_CORETYPE");
  if (!library)
    return mr__fail(MR_ESYSTEM, "OpenBLAS was not found; install the package libopenblas0-pthread");
  int (*parallel)(void) = (int (*)(void))dlsym(library, "openblas_get_parallel");
  void (*set_threads)(int) = (void (*)(int))dlsym(library, "openblas_set_num_threads");
  sgemm_fn *found = (sgemm_fn *)dlsym(library, "cblas_sgemm");
  if (!parallel || !set_threads || !found)
    return mr__fail(MR_ESYSTEM, "the OpenBLAS that was found lacks cblas_sgemm");
  if (parallel() == 0)
    return mr__fail(MR_ESYSTEM, "the serial build of OpenBLAS gives wrong results from several "
                                "threads; install the package libopenblas0-pthread");
  set_threads(1);
  describe(library);
  opened = library;
  sgemm = found;
  return MR_OK;
}

int mr__blas_open(void) {
  pthread_mutex_lock(&lock);
  int status = sgemm ? MR_OK : open_library();
  pthread_mutex_unlock(&lock);
  return status;
}

void *mr__blas_library(void) { return opened; }

const char *mr_blas(void) { return mr__blas_open() == MR_OK ? description : NULL; }

void mr__gemm_nt(int m, int n, int k, const float *a, int lda, const float *b, int ldb, int add,
                 float *c, int ldc) {
  sgemm(ROW_MAJOR, NO_TRANS, TRANS, m, n, k, 1.0f, a, lda, b, ldb, add ? 1.0f : 0.0f, c, ldc);
}

void mr__gemm_tn(int m, int n, int k, const float *a, int lda, const float *b, int ldb, int add,
                 float *c, int ldc) {
  sgemm(ROW_MAJOR, TRANS, NO_TRANS, m, n, k, 1.0f, a, lda, b, ldb, add ? 1.0f : 0.0f, c, ldc);
}
