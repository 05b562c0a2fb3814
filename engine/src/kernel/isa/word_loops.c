/* The loop of the loader over words of 4 bytes (data/loader.c): rows become columns. */
#include <string.h>

#include "kernel/family.h"
#include "kernel/isa.h"

/* Squares of words are turned in registers: 4 by 4, or 16 by 16 where those are wide enough. */
#if defined(__AVX512F__)
enum { SIDE = 16 };
#define LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#else
enum { SIDE = 4 };
#define LOW 0, 4, 1, 5
#define HIGH 2, 6, 3, 7
#endif

typedef uint32_t words __attribute__((vector_size(4 * SIDE)));

/* Each round puts row i and row i + SIDE / 2 word by word beside one another: log SIDE rounds turn
 * the square. */
static inline __attribute__((always_inline)) void turn(words v[SIDE]) {
#pragma GCC unroll 4
  for (int round = 1; round < SIDE; round *= 2) {
    words next[SIDE];
#pragma GCC unroll 8
    for (int i = 0; i < SIDE / 2; i++) {
      next[2 * i] = __builtin_shufflevector(v[i], v[i + SIDE / 2], LOW);
      next[2 * i + 1] = __builtin_shufflevector(v[i], v[i + SIDE / 2], HIGH);
    }
#pragma GCC unroll 16
    for (int i = 0; i < SIDE; i++) v[i] = next[i];
  }
}

/* Columns w to w + SIDE - 1, of SIDE rows from `first` on. Returns those that are too large. */
static inline __attribute__((always_inline)) words turn_square(const char *const *rows, int first,
                                                               uint32_t *const *columns,
                                                               const uint32_t *most, int w) {
  words v[SIDE], bound, wrong = {0};
  memcpy(&bound, most + w, sizeof bound);
#pragma GCC unroll 16
  for (int i = 0; i < SIDE; i++) {
    memcpy(&v[i], rows[first + i] + 4 * (size_t)w, sizeof v[i]);
    wrong |= (words)(v[i] > bound);
  }
  turn(v);
#pragma GCC unroll 16
  for (int i = 0; i < SIDE; i++) memcpy(columns[w + i] + first, &v[i], sizeof v[i]);
  return wrong;
}

/* The last square may overlap the one before it. */
int MR_FAMILY(mr__turn_words)(const char *const *rows, uint32_t *const *columns,
                              const uint32_t *most, int n) {
  int any = 0, w = 0;
  words wrong = {0};
  for (; n >= SIDE && w < n; w += SIDE)
    for (int first = 0; first < MR__TURNED_ROWS; first += SIDE)
      wrong |= turn_square(rows, first, columns, most, w + SIDE <= n ? w : n - SIDE);
  for (; w < n; w++)
    for (int i = 0; i < MR__TURNED_ROWS; i++) {
      memcpy(&columns[w][i], rows[i] + 4 * (size_t)w, 4);
      any |= columns[w][i] > most[w];
    }
  for (int i = 0; i < SIDE; i++) any |= wrong[i] != 0;
  return any;
}
