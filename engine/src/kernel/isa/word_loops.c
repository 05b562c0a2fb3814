/* Words of 4 bytes: rows become columns (data/loader.c), and columns rows (data/rows.c). */
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

/* ---- the other way ---- */

/* Squares of eight in any family: text is parsed by threads that stay off the wide registers, since
 * a core lowers its clock for them (scan_loops.c). */
enum { EIGHT = 8 };
typedef uint32_t eight_words __attribute__((vector_size(4 * EIGHT)));

/* Words w to w + 7 of eight rows. */
static inline __attribute__((always_inline)) void put_square(char *records, const size_t *at,
                                                             const uint32_t *columns, size_t stride,
                                                             size_t w) {
  eight_words v[EIGHT];
#pragma GCC unroll 8
  for (size_t i = 0; i < EIGHT; i++) memcpy(&v[i], columns + (w + i) * stride, sizeof v[i]);
#pragma GCC unroll 3
  for (int round = 1; round < EIGHT; round *= 2) {
    eight_words next[EIGHT];
#pragma GCC unroll 4
    for (int i = 0; i < EIGHT / 2; i++) {
      next[2 * i] = __builtin_shufflevector(v[i], v[i + EIGHT / 2], 0, 8, 1, 9, 2, 10, 3, 11);
      next[2 * i + 1] = __builtin_shufflevector(v[i], v[i + EIGHT / 2], 4, 12, 5, 13, 6, 14, 7, 15);
    }
#pragma GCC unroll 8
    for (int i = 0; i < EIGHT; i++) v[i] = next[i];
  }
#pragma GCC unroll 8
  for (int i = 0; i < EIGHT; i++) memcpy(records + at[i] + 4 * w, &v[i], sizeof v[i]);
}

/* The last square of a row may overlap the one before it, and so may the last eight rows. */
void MR_FAMILY(mr__put_words)(char *records, const size_t *at, size_t n_rows,
                              const uint32_t *columns, size_t stride, size_t n) {
  int squares = n >= EIGHT && n_rows >= EIGHT;
  for (size_t i = 0; squares && i < n_rows; i += EIGHT) {
    size_t first = i + EIGHT <= n_rows ? i : n_rows - EIGHT;
    for (size_t w = 0; w < n; w += EIGHT)
      put_square(records, at + first, columns + first, stride, w + EIGHT <= n ? w : n - EIGHT);
  }
  for (size_t w = 0; !squares && w < n; w++)
    for (size_t i = 0; i < n_rows; i++)
      memcpy(records + at[i] + 4 * w, columns + w * stride + i, 4);
}
