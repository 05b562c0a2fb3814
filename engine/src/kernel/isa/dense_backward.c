/* The gradient of a dense layer's weights (kernel/kernel.h has the rule).
 *
 * A tile of inputs x columns stays in registers while the rows go by: per row a load of the
 * gradient's vectors and, per input, one broadcast feeding an FMA per vector. Some hundred rows of
 * one panel of the gradient stay in the first-level cache while all inputs go over them, and the
 * next tile's place in dw, which it adds to in the end, is asked for a line at a time. */
#include "kernel/isa.h"
#include "kernel/kernel.h"
#include "kernel/tile.h"

#include <string.h>

enum { ROWS_AT_ONCE = 96, AHEAD = 8, CHUNK = 4 }; /* rows */

/* dq of what the partial sums hold. */
static void finish_paired(const struct mr__weight_call *call) {
  const struct mr__paired_sums *to = call->paired;
  for (int i = 0; to->dq && i < call->inputs; i++)
    to->dq[i] += mr__add_partials(to->partials + (size_t)i * MR__PARTIALS);
}

static void begin_paired(const struct mr__weight_call *call) {
  memset(call->paired->partials, 0,
         (size_t)call->inputs * MR__PARTIALS * sizeof *call->paired->partials);
}

#ifdef VECTOR

/* What a vector of T gives beside dw. */
static inline __attribute__((always_inline)) void add_paired(const struct mr__weight_call *call,
                                                             VECTOR t, int input, int column,
                                                             columns_mask there) {
  const struct mr__paired_sums *to = call->paired;
  const int64_t at = (int64_t)input * call->lddw + column;
  VECTOR q = BROADCAST(to->q[input]);
  store_columns(to->dproduct + at, FMA(q, t, load_columns(to->dproduct + at, there)), there);
  float *partials = to->partials + (size_t)input * MR__PARTIALS + column % MR__PARTIALS;
  VECTOR sum = LOAD(partials);
  STORE(partials, choose_columns(FMA(t, load_columns(to->product + at, there), sum), sum, there));
}

/* The panel of dy that is in hand: `vectors` whole vectors a row, filled with zeros. */
struct panel {
  _Alignas(64) float dy[ROWS_AT_ONCE * TILE_VECTORS * LANES];
};

/* Adds its rows to db as they go by. */
static void pack_panel(struct panel *panel, const struct mr__weight_call *call, int64_t row,
                       int64_t rows, int column, int vectors) {
  for (int v = 0; v < vectors; v++) {
    columns_mask there = first_columns(call->outputs - column - v * LANES);
    float *db = call->db ? call->db + column + v * LANES : NULL, *to = panel->dy + v * LANES;
    const float *dy = call->dy + row * call->lddy + column + v * LANES;
    VECTOR sum = db ? load_columns(db, there) : BROADCAST(0.0f);
    for (int64_t r = 0; r < rows; r++, dy += call->lddy, to += vectors * LANES) {
      VECTOR g = load_columns(dy, there);
      sum = ADD(sum, g);
      STORE(to, g);
    }
    if (db) store_columns(db, sum, there);
  }
}

/* `n` rows: x and dy move on. Rows of x lie too far apart for the hardware to see them coming. */
#define ROWS(INPUTS, VECTORS, n)                                                                   \
  for (int64_t r = 0; r < (n); r++, x += call->ldx, dy += VECTORS * LANES) {                       \
    VECTOR g[VECTORS];                                                                             \
    __builtin_prefetch(x + AHEAD * call->ldx);                                                     \
    UNROLL for (int v = 0; v < VECTORS; v++) g[v] = LOAD(dy + v * LANES);                          \
    UNROLL for (int i = 0; i < INPUTS; i++) {                                                      \
      VECTOR s = BROADCAST(x[i]);                                                                  \
      UNROLL for (int v = 0; v < VECTORS; v++) sum[i][v] = FMA(s, g[v], sum[i][v]);                \
    }                                                                                              \
  }

/* One tile: INPUTS x VECTORS accumulators, of which `left` columns exist. */
#define TILE(INPUTS, VECTORS)                                                                      \
  static inline __attribute__((always_inline)) void tile_##INPUTS##_##VECTORS(                     \
      const struct mr__weight_call *call, const float *dy, int64_t row, int64_t rows, int input,   \
      int column, int left) {                                                                      \
    VECTOR sum[INPUTS][VECTORS];                                                                   \
    columns_mask there[VECTORS];                                                                   \
    for (int v = 0; v < VECTORS; v++) there[v] = first_columns(left - v * LANES);                  \
    const int add = call->add || row > 0;                                                          \
    const float *x = call->x + row * call->ldx + input;                                            \
    float *dw = call->dw + (int64_t)input * call->lddw + column;                                   \
    UNROLL for (int i = 0; i < INPUTS; i++)                                                        \
      UNROLL for (int v = 0; v < VECTORS; v++) sum[i][v] = BROADCAST(0.0f);                        \
    const float *next = dw + (int64_t)INPUTS * call->lddw;                                         \
    int next_vector = 0;                                                                           \
    for (; rows >= CHUNK; rows -= CHUNK) {                                                         \
      __builtin_prefetch(next, 1);                                                                 \
      next += ++next_vector % VECTORS ? LANES : call->lddw - (VECTORS - 1) * LANES;                \
      _Pragma("GCC unroll 1") ROWS(INPUTS, VECTORS, CHUNK) /* more and accumulators spill */       \
    }                                                                                              \
    ROWS(INPUTS, VECTORS, rows)                                                                    \
    UNROLL for (int i = 0; i < INPUTS; i++)                                                        \
      UNROLL for (int v = 0; v < VECTORS; v++) {                                                   \
        float *to = dw + (int64_t)i * call->lddw + v * LANES;                                      \
        if (call->paired) add_paired(call, sum[i][v], input + i, column + v * LANES, there[v]);    \
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
  struct panel panel;
  for (int column = 0; column < call->outputs;) {
    int left = call->outputs - column, vectors = (left + LANES - 1) / LANES;
    if (vectors > TILE_VECTORS) vectors = TILE_VECTORS;
    pack_panel(&panel, call, row, rows, column, vectors);
    switch (vectors) {
#if TILE_VECTORS == 3
    case 3:
      columns_3(call, panel.dy, row, rows, column, left);
      break;
#endif
    case 2:
      columns_2(call, panel.dy, row, rows, column, left);
      break;
    default:
      columns_1(call, panel.dy, row, rows, column, left);
    }
    column += vectors * LANES;
  }
}

void MR_FAMILY(mr__dense_weights)(const struct mr__weight_call *call) {
  if (call->paired) begin_paired(call);
  for (int64_t row = 0; row < call->rows; row += ROWS_AT_ONCE)
    some_rows(call, row, call->rows - row < ROWS_AT_ONCE ? call->rows - row : ROWS_AT_ONCE);
  if (call->paired) finish_paired(call);
}

#else /* any CPU: the rule itself, element by element */

static void add_paired(const struct mr__weight_call *call, float t, int i, int c) {
  const struct mr__paired_sums *to = call->paired;
  const int64_t at = (int64_t)i * call->lddw + c;
  to->dproduct[at] = mr__fma(to->q[i], t, to->dproduct[at]);
  float *partial = to->partials + (size_t)i * MR__PARTIALS + c % MR__PARTIALS;
  *partial = mr__fma(t, to->product[at], *partial);
}

void MR_FAMILY(mr__dense_weights)(const struct mr__weight_call *call) {
  if (call->paired) begin_paired(call);
  for (int64_t row = 0; row < call->rows; row += ROWS_AT_ONCE) {
    int64_t end = row + ROWS_AT_ONCE < call->rows ? row + ROWS_AT_ONCE : call->rows;
    for (int64_t r = row; call->db && r < end; r++)
      mr__accumulate(call->db, call->dy + r * call->lddy, call->outputs);
    for (int i = 0; i < call->inputs; i++)
      for (int c = 0; c < call->outputs; c++) {
        float sum = 0;
        for (int64_t r = row; r < end; r++)
          sum = mr__fma(call->x[r * call->ldx + i], call->dy[r * call->lddy + c], sum);
        float *dw = call->dw + (int64_t)i * call->lddw + c;
        *dw = call->add || row > 0 ? *dw + sum : sum;
        if (call->paired) add_paired(call, sum, i, c);
      }
  }
  if (call->paired) finish_paired(call);
}

#endif
