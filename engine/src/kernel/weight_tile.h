/* What the gradients of weights have in common (dense_backward.c, paired_backward.c): sums of
 * x^T dy over some rows, in tiles of inputs x columns that stay in registers. */
#ifndef MR_KERNEL_WEIGHT_TILE_H
#define MR_KERNEL_WEIGHT_TILE_H

#include "kernel/tile.h"

#ifdef VECTOR

enum { AHEAD = 8, CHUNK = 4 }; /* rows */

/* Copy some rows of a panel of dy, `vectors` whole vectors a row, filled with zeros; `left` of its
 * columns exist. The rows are added to db (may be NULL) as they go by. */
static inline void pack_rows(float *to, const float *dy, int lddy, int64_t rows, int vectors,
                             int left, float *db) {
  for (int v = 0; v < vectors; v++) {
    columns_mask there = first_columns(left - v * LANES);
    float *db_columns = db ? db + v * LANES : NULL, *copy = to + v * LANES;
    const float *from = dy + v * LANES;
    VECTOR sum = db ? load_columns(db_columns, there) : BROADCAST(0.0f);
    for (int64_t r = 0; r < rows; r++, from += lddy, copy += vectors * LANES) {
      VECTOR g = load_columns(from, there);
      sum = ADD(sum, g);
      STORE(copy, g);
    }
    if (db) store_columns(db_columns, sum, there);
  }
}

/* `n` rows: x and dy move on. Rows of x lie too far apart for the hardware to see them coming. */
#define SOME_ROWS(INPUTS, VECTORS, n)                                                              \
  for (int64_t r = 0; r < (n); r++, x += ldx, dy += VECTORS * LANES) {                             \
    VECTOR g[VECTORS];                                                                             \
    __builtin_prefetch(x + AHEAD * ldx);                                                           \
    UNROLL for (int v = 0; v < VECTORS; v++) g[v] = LOAD(dy + v * LANES);                          \
    UNROLL for (int i = 0; i < INPUTS; i++) {                                                      \
      VECTOR s = BROADCAST(x[i]);                                                                  \
      UNROLL for (int v = 0; v < VECTORS; v++) sum[i][v] = FMA(s, g[v], sum[i][v]);                \
    }                                                                                              \
  }

/* sum[INPUTS][VECTORS] = x^T dy over `rows` rows of both, of the copied panel of dy. Meanwhile what
 * lies from `next` on, rows of `ld_next` floats, is asked for a line at a time. */
#define SUM_ROWS(INPUTS, VECTORS)                                                                  \
  UNROLL for (int i = 0; i < INPUTS; i++)                                                          \
    UNROLL for (int v = 0; v < VECTORS; v++) sum[i][v] = BROADCAST(0.0f);                          \
  int next_vector = 0;                                                                             \
  for (; rows >= CHUNK; rows -= CHUNK) {                                                           \
    __builtin_prefetch(next, 1);                                                                   \
    next += ++next_vector % VECTORS ? LANES : ld_next - (VECTORS - 1) * LANES;                     \
    _Pragma("GCC unroll 1") SOME_ROWS(INPUTS, VECTORS, CHUNK) /* more and accumulators spill */    \
  }                                                                                                \
  SOME_ROWS(INPUTS, VECTORS, rows)

#endif

#endif
