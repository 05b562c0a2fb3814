/* Memory whose end is the end of the accessible pages: one float too far is a crash. */
#ifndef MR_TESTS_GUARDED_H
#define MR_TESTS_GUARDED_H

#include <stddef.h>
#include <sys/mman.h>

#include "check.h"

struct guarded {
  char *pages;
  size_t size;
  float *p; /* [n] */
};

static inline struct guarded guarded_floats(size_t n) {
  enum { PAGE = 4096 };
  size_t bytes = n * sizeof(float), kept = (bytes + PAGE - 1) / PAGE * PAGE;
  struct guarded g = {.size = kept + PAGE};
  g.pages = mmap(NULL, g.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  NEED(g.pages != MAP_FAILED);
  NEED(mprotect(g.pages + kept, PAGE, PROT_NONE) == 0);
  g.p = (float *)(g.pages + kept - bytes);
  return g;
}

static inline void guarded_free(struct guarded *g) { munmap(g->pages, g->size); }

#endif
