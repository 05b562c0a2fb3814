#include <time.h>

#include "moonrank.h"

int32_t mr_abi(void) { return MR_ABI; }

const char *mr_version(void) { return MR_VERSION; }

const char *mr_compiler(void) {
#ifdef __clang__
  return __VERSION__;
#else
  return "gcc " __VERSION__;
#endif
}

double mr_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
