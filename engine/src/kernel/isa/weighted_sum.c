/* The sum of rows by their weights (kernel/kernel.h has the rule): some columns of it stay in
 * registers while the rows go by. */
#include "kernel/isa.h"
#include "kernel/kernel.h"
#include "kernel/tile.h"

#ifdef VECTOR

/* `n` vectors of columns from e on, of which `left` columns exist. */
static inline __attribute__((always_inline)) void columns(const struct mr__weighted_call *call,
                                                          int e, int left, const int n) {
  enum { MOST = 8 };
  const columns_mask there = first_columns(left - (n - 1) * LANES); /* in the last vector */
  const float *x = call->x + e, *weight = call->weights;
  const int64_t ldx = call->ldx, ld_weights = call->ld_weights;
  VECTOR sum[MOST];
  UNROLL for (int v = 0; v < n; v++) sum[v] = BROADCAST(0.0f);
  for (int64_t r = 0; r < call->rows; r++, x += ldx, weight += ld_weights) {
    VECTOR w = BROADCAST(*weight);
    UNROLL for (int v = 0; v + 1 < n; v++) sum[v] = FMA(w, LOAD(x + v * LANES), sum[v]);
    sum[n - 1] = FMA(w, load_columns(x + (n - 1) * LANES, there), sum[n - 1]);
  }
  UNROLL for (int v = 0; v + 1 < n; v++) STORE(call->y + e + v * LANES, sum[v]);
  store_columns(call->y + e + (n - 1) * LANES, sum[n - 1], there);
}

void MR_FAMILY(mr__weighted_sum)(const struct mr__weighted_call *call) {
  int e = 0, width = call->width;
  for (; e + 8 * LANES <= width; e += 8 * LANES) columns(call, e, 8 * LANES, 8);
  for (; e + 4 * LANES <= width; e += 4 * LANES) columns(call, e, 4 * LANES, 4);
  for (; e + 2 * LANES <= width; e += 2 * LANES) columns(call, e, 2 * LANES, 2);
  for (; e < width; e += LANES) columns(call, e, width - e, 1);
}

#else /* any CPU: row by row */

void MR_FAMILY(mr__weighted_sum)(const struct mr__weighted_call *call) {
  memset(call->y, 0, (size_t)call->width * sizeof *call->y);
  for (int64_t r = 0; r < call->rows; r++)
    mr__axpy(call->y, call->weights[r * call->ld_weights], call->x + r * call->ldx, call->width);
}

#endif
