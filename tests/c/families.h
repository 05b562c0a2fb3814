/* The kernel families that this CPU can run. */
#ifndef MR_TESTS_FAMILIES_H
#define MR_TESTS_FAMILIES_H

#include "moonrank.h"

static const char *const family_names[] = {"plain", "avx2", "avx512"};

enum { FAMILIES = MR_X86 ? 3 : 1 };

static inline int family_runs(int family) {
  int status = mr_isa_set(family_names[family]);
  mr_isa_set("auto");
  return status == MR_OK;
}

#endif
