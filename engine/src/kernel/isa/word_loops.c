/* Words of 4 bytes: rows become columns (data/loader.c), and columns rows (data/row_columns.c). */
#include <string.h>

#include "kernel/family.h"
#include "kernel/isa.h"
#include "kernel/turn.h"

/* Columns w to w + MR__SIDE - 1, of as many rows from `first` on. Returns what is too large. */
static inline __attribute__((always_inline)) mr__words turn_square(const char *const *rows,
                                                                   int first,
                                                                   uint32_t *const *columns,
                                                                   const uint32_t *most, int w) {
  mr__words v[MR__SIDE], bound, wrong = {0};
  memcpy(&bound, most + w, sizeof bound);
#pragma GCC unroll 16
  for (int i = 0; i < MR__SIDE; i++) {
    memcpy(&v[i], rows[first + i] + 4 * (size_t)w, sizeof v[i]);
    wrong |= (mr__words)(v[i] > bound);
  }
  mr__turn(v);
#pragma GCC unroll 16
  for (int i = 0; i < MR__SIDE; i++) memcpy(columns[w + i] + first, &v[i], sizeof v[i]);
  return wrong;
}

/* The last square may overlap the one before it. */
int MR_FAMILY(mr__turn_words)(const char *const *rows, uint32_t *const *columns,
                              const uint32_t *most, int n) {
  int any = 0, w = 0;
  mr__words wrong = {0};
  for (; n >= MR__SIDE && w < n; w += MR__SIDE)
    for (int first = 0; first < MR__TURNED_ROWS; first += MR__SIDE)
      wrong |= turn_square(rows, first, columns, most, w + MR__SIDE <= n ? w : n - MR__SIDE);
  for (; w < n; w++)
    for (int i = 0; i < MR__TURNED_ROWS; i++) {
      memcpy(&columns[w][i], rows[i] + 4 * (size_t)w, 4);
      any |= columns[w][i] > most[w];
    }
  for (int i = 0; i < MR__SIDE; i++) any |= wrong[i] != 0;
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
