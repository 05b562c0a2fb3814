/* Asserts of the C tests. A check that fails prints where and what; the program goes on and ends
 * with status 1. */
#ifndef MR_TESTS_CHECK_H
#define MR_TESTS_CHECK_H

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static atomic_int checks_failed; /* threads check too */

/* CHECK(n == 3, "n is %d", n) */
#define CHECK(condition, ...)                                                                      \
  do {                                                                                             \
    if (!(condition) && checks_failed++ < 20) {                                                    \
      printf("%s:%d: %s: ", __FILE__, __LINE__, #condition);                                       \
      printf(__VA_ARGS__);                                                                         \
      printf("\n");                                                                                \
    }                                                                                              \
  } while (0)

/* Stop when what every later check builds on is not there. */
#define NEED(condition)                                                                            \
  do {                                                                                             \
    if (!(condition)) {                                                                            \
      printf("%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);                         \
      exit(1);                                                                                     \
    }                                                                                              \
  } while (0)

/* The end of main. */
static inline int check_end(void) {
  if (checks_failed > 20) printf("and %d more\n", checks_failed - 20);
  return checks_failed ? 1 : 0;
}

#endif
