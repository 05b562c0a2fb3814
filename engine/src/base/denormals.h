/* Numbers below 2^-126 cost processors a hundred times what others do, and where a model fits its
 * rows, or has weights that no gradient reaches any more, training would be full of them: its
 * threads take them for 0. Where a processor has no such mode they stay. */
#ifndef MR_BASE_DENORMALS_H
#define MR_BASE_DENORMALS_H

#if defined(__SSE2__)
#include <xmmintrin.h>

/* From now on in this thread; gives what mr__restore_denormals puts back. */
static inline unsigned mr__flush_denormals(void) {
  enum { INPUTS = 0x40, RESULTS = 0x8000 };
  unsigned before = _mm_getcsr();
  _mm_setcsr(before | INPUTS | RESULTS);
  return before;
}

static inline void mr__restore_denormals(unsigned before) { _mm_setcsr(before); }

#else

static inline unsigned mr__flush_denormals(void) { return 0; }

static inline void mr__restore_denormals(unsigned before) { (void)before; }

#endif

#endif
