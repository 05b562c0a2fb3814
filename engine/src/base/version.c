#include <time.h>

#include "moonrank.h"

int32_t mr_abi(void) { return MR_ABI; }

const char *mr_version(void) { return "0.1.0"; }

double mr_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
