/* The gradient of a dense layer's weights (kernel/kernel.h has the rule).
 *
 * A tile of inputs x columns stays in registers while the rows go by: per row a load of the
 * gradient's vectors and, per input, one broadcast feeding an FMA per vector. Some hundred rows of
 * one panel of the gradient stay in the first-level cache while all inputs go over them, and the
 * next tile's place in dw, which it adds to in the end, is asked for a line at a time. */
#include "kernel/isa.h"
#include "kernel/kernel.h"
#include "kernel/weight_tile.h"

#ifdef VECTOR

/* One tile: INPUTS x VECTORS accumulators, of which `left` columns exist. */
#define TILE(INPUTS, VECTORS)                                                                      \
  static inline __attribute__((always_inline)) void tile_##INPUTS##_##VECTORS(                     \
      const struct mr__weight_call *call, const float *dy, int64_t row, int64_t rows, int input,   \
      int column, int left) {                                                                      \
    VECTOR sum[INPUTS][VECTORS];                                                                   \
    columns_mask there[VECTORS];                                                                   \
    for (int v = 0; v < VECTORS; v++) there[v] = first_columns(left - v * LANES);                  \
    const int add = call->add || row > 0, ldx = call->ldx, ld_next = call->lddw;                   \
    const float *x = call->x + row * call->ldx + input;                                            \
    float *dw = call->dw + (int64_t)input * call->lddw + column;                                   \
    const float *next = dw + (int64_t)INPUTS * call->lddw;                                         \
    SUM_ROWS(INPUTS, VECTORS)                                                                      \
    UNROLL for (int i = 0; i < INPUTS; i++)                                                        \
      UNROLL for (int v = 0; v < VECTORS; v++) {                                                   \
        float *to = dw + (int64_t)i * call->lddw + v * LANES;                                      \
        if (add) sum[i][v] = ADD(load_columns(to, there[v]), sum[i][v]);                           \
        store_columns(to, sum[i][v], there[v]);                                                    \
      }                                                                                            \
  }

/* All inputs against VECTORS vectors of columns of some rows; MOST inputs at a time. */
#define COLUMNS(MOST, VECTORS)                                                                     \
  static void columns_##VECTORS(const struct mr__weight_call *call, const float *dy, int64_t row,  \
                                int64_t rows, int column, int left) {                              \
    int i = 0, n = call->inputs;                                                                   \
    for (; i + MOST <= n; i += MOST)                                                               \
      tile_##MOST##_##VECTORS(call, dy, row, rows, i, column, left);                               \
    for (; i + 4 <= n; i += 4) tile_4_##VECTORS(call, dy, row, rows, i, column, left);             \
    for (; i < n; i++) tile_1_##VECTORS(call, dy, row, rows, i, column, left);                     \
  }

#if TILE_VECTORS == 3
TILE(8, 3) TILE(4, 3) TILE(1, 3)
TILE(8, 2) TILE(4, 2) TILE(1, 2)
TILE(16, 1) TILE(4, 1) TILE(1, 1)
COLUMNS(8, 3) COLUMNS(8, 2) COLUMNS(16, 1)
#else
TILE(6, 2) TILE(4, 2) TILE(1, 2)
TILE(6, 1) TILE(4, 1) TILE(1, 1)
COLUMNS(6, 2) COLUMNS(6, 1)
#endif

static void some_rows(const struct mr__weight_call *call, int64_t row, int64_t rows) {
  _Alignas(64) float dy[MR__ROWS_AT_ONCE * TILE_VECTORS * LANES];
  for (int column = 0; column < call->outputs;) {
    int left = call->outputs - column, vectors = (left + LANES - 1) / LANES;
    if (vectors > TILE_VECTORS) vectors = TILE_VECTORS;
    pack_rows(dy, call->dy + row * call->lddy + column, call->lddy, rows, vectors, left,
              call->db ? call->db + column : NULL);
    switch (vectors) {
#if TILE_VECTORS == 3
    case 3:
      columns_3(call, dy, row, rows, column, left);
      break;
#endif
    case 2:
      columns_2(call, dy, row, rows, column, left);
      break;
    default:
      columns_1(call, dy, row, rows, column, left);
    }
    column += vectors * LANES;
  }
}

void MR_FAMILY(mr__dense_weights)(const struct mr__weight_call *call) {
  for (int64_t row = 0; row < call->rows; row += MR__ROWS_AT_ONCE)
    some_rows(call, row,
              call->rows - row < MR__ROWS_AT_ONCE ? call->rows - row : MR__ROWS_AT_ONCE);
}

#else /* any CPU: the rule itself, element by element */

void MR_FAMILY(mr__dense_weights)(const struct mr__weight_call *call) {
  for (int64_t row = 0; row < call->rows; row += MR__ROWS_AT_ONCE) {
    int64_t end = row + MR__ROWS_AT_ONCE < call->rows ? row + MR__ROWS_AT_ONCE : call->rows;
    for (int64_t r = row; call->db && r < end; r++)
      mr__accumulate(call->db, call->dy + r * call->lddy, call->outputs);
    for (int i = 0; i < call->inputs; i++)
      for (int c = 0; c < call->outputs; c++) {
        float sum = 0;
        for (int64_t r = row; r < end; r++)
          sum = mr__fma(call->x[r * call->ldx + i], call->dy[r * call->lddy + c], sum);
        float *dw = call->dw + (int64_t)i * call->lddw + c;
        *dw = call->add || row > 0 ? *dw + sum : sum;
      }
  }
}

#endif
