/* The forward product of a dense layer (kernel/kernel.h has the rule and the packed layout).
 *
 * A tile of rows x one panel stays in registers while the inputs go by: per input one load of the
 * panel's vectors and, per row, one broadcast feeding an FMA per vector. What comes next is asked
 * for meanwhile: the tile's place in y, which is written in the end, and a line or two at a time
 * the next panel, which nobody has read since the slice before, what lies beside, and the next
 * inputs of long rows. */
#include "kernel/isa.h"
#include "kernel/kernel.h"
#include "kernel/tile.h"

#ifdef VECTOR

enum {
  CHUNK = 64, /* inputs between requests for what comes next, which cost more in smaller portions */
  LONG = 256  /* inputs from which on a tile's rows do not stay in the first-level cache */
};

/* The panel behind the one in hand, of which two lines are asked for at a time. */
struct ahead {
  const float *next, *end;
};

static inline void ask_ahead(struct ahead *ahead) {
  if (ahead->next >= ahead->end) return;
  __builtin_prefetch(ahead->next, 0, 2);
  __builtin_prefetch(ahead->next + MR__VECTOR, 0, 2);
  ahead->next += 2 * MR__VECTOR;
}

/* Weights of a q that are made on the way to their first rows (struct mr__dense_call). */
struct making {
  const float *product, *q; /* the panel of P; q of the input in hand, or of the panel's columns */
  float *to;
};

enum { READY, Q_OF_INPUTS, Q_OF_COLUMNS };

/* `n` inputs: x and panel move on. Several at a time: counting and moving takes the units that
 * multiply. */
#define INPUTS(ROWS, VECTORS, n)                                                                  \
  _Pragma("GCC unroll 4") for (int k = 0; k < (n); k++, x++, panel += step) {                     \
    VECTOR w[VECTORS];                                                                            \
    UNROLL for (int v = 0; v < VECTORS; v++) w[v] = LOAD(panel + v * LANES);                      \
    if (how != READY) {                                                                           \
      UNROLL for (int v = 0; v < VECTORS; v++) {                                                  \
        VECTOR q = how == Q_OF_INPUTS ? BROADCAST(*made.q) : LOAD(made.q + v * LANES);            \
        w[v] = FMA(q, LOAD(made.product + v * LANES), w[v]);                                      \
        STORE(made.to + v * LANES, w[v]);                                                         \
      }                                                                                           \
      made.product += step, made.to += step, made.q += how == Q_OF_INPUTS;                        \
    }                                                                                             \
    UNROLL for (int r = 0; r < ROWS; r++) {                                                       \
      VECTOR s = BROADCAST(x[(int64_t)r * call->ldx]);                                            \
      UNROLL for (int v = 0; v < VECTORS; v++) sum[r][v] = FMA(s, w[v], sum[r][v]);               \
    }                                                                                             \
  }

/* A prelu behind the product, or its gradient where `beside` is what it was given: of n rows of one
 * vector of columns, in order. */
static inline __attribute__((always_inline)) void slope_forward(const struct mr__dense_call *call,
                                                                VECTOR *sum, int step, int64_t row,
                                                                int column, columns_mask there,
                                                                const int n) {
  VECTOR slope = load_columns(call->slopes + column, there);
  float *plain = call->plain ? call->plain + row * call->ld_plain + column : NULL;
  UNROLL for (int r = 0; r < n; r++) {
    VECTOR y = sum[r * step];
    if (plain) store_columns(plain + (int64_t)r * call->ld_plain, y, there);
    sum[r * step] = CHOOSE_ABOVE_ZERO(y, y, MULTIPLY(slope, y));
  }
}

static inline __attribute__((always_inline)) void slope_back(const struct mr__dense_call *call,
                                                             VECTOR *sum, int step, int64_t row,
                                                             int column, columns_mask there,
                                                             const int n) {
  VECTOR slope = load_columns(call->slopes + column, there);
  VECTOR total = load_columns(call->dslopes + column, there);
  const float *beside = call->beside + row * call->ld_beside + column;
  UNROLL for (int r = 0; r < n; r++) {
    VECTOR y = sum[r * step], x = load_columns(beside + (int64_t)r * call->ld_beside, there);
    total = ADD(total, CHOOSE_ABOVE_ZERO(BROADCAST(0.0f), x, MULTIPLY(y, x)));
    sum[r * step] = CHOOSE_ABOVE_ZERO(y, x, MULTIPLY(slope, y));
  }
  store_columns(call->dslopes + column, total, there);
}

/* One tile: ROWS x VECTORS accumulators. `panel` is where the tile's columns start in the packed
 * panel, `step` the panel's width, `left` how many of the tile's columns exist; `how` says whether
 * the weights are made on the way. */
#define TILE(ROWS, VECTORS)                                                                       \
  static inline __attribute__((always_inline)) void tile_##ROWS##_##VECTORS(                      \
      const struct mr__dense_call *call, struct ahead *ahead, int64_t row, const float *panel,    \
      int step, int column, int left, const int how, struct making made) {                        \
    VECTOR sum[ROWS][VECTORS];                                                                    \
    columns_mask there[VECTORS];                                                                  \
    for (int v = 0; v < VECTORS; v++) there[v] = first_columns(left - v * LANES);                 \
    const float *x = call->x + row * call->ldx;                                                   \
    float *y = call->y + row * call->ldy + column;                                                \
    UNROLL for (int r = 0; r < ROWS; r++)                                                         \
      UNROLL for (int v = 0; v < VECTORS; v++)                                                    \
        __builtin_prefetch(y + (int64_t)r * call->ldy + v * LANES, 1);                            \
    if (call->start_weight) {                                                                     \
      const float *start = call->start + row * call->ld_start + column;                           \
      UNROLL for (int r = 0; r < ROWS; r++) {                                                     \
        VECTOR weight = BROADCAST(call->start_weight[(row + r) * call->ld_weight]);               \
        UNROLL for (int v = 0; v < VECTORS; v++)                                                  \
          sum[r][v] = MULTIPLY(weight, load_columns(start + (int64_t)r * call->ld_start +         \
                                                    v * LANES, there[v]));                        \
      }                                                                                           \
    } else if (call->start && call->ld_start == 0) {                                              \
      UNROLL for (int v = 0; v < VECTORS; v++) {                                                  \
        VECTOR start = load_columns(call->start + column + v * LANES, there[v]);                  \
        UNROLL for (int r = 0; r < ROWS; r++) sum[r][v] = start;                                  \
      }                                                                                           \
    } else if (call->start) {                                                                     \
      const float *start = call->start + row * call->ld_start + column;                           \
      UNROLL for (int r = 0; r < ROWS; r++)                                                       \
        UNROLL for (int v = 0; v < VECTORS; v++)                                                  \
          sum[r][v] = load_columns(start + (int64_t)r * call->ld_start + v * LANES, there[v]);    \
    } else {                                                                                      \
      UNROLL for (int r = 0; r < ROWS; r++)                                                       \
        UNROLL for (int v = 0; v < VECTORS; v++) sum[r][v] = BROADCAST(0.0f);                     \
    }                                                                                             \
    const int ld_near = call->beside ? call->ld_beside : call->ldy;                               \
    const float *near = (call->beside ? call->beside : call->y) + (row + ROWS) * ld_near + column; \
    int near_vector = 0, left_inputs = call->inputs;                                              \
    for (; left_inputs >= CHUNK; left_inputs -= CHUNK) {                                          \
      UNROLL for (int n = 0; n < CHUNK; n += MR__VECTOR) {                                        \
        ask_ahead(ahead);                                                                         \
        __builtin_prefetch(near, 0, 2);                                                           \
        near += ++near_vector % VECTORS ? LANES : ld_near - (VECTORS - 1) * LANES;                \
        if (call->inputs >= LONG)                                                                 \
          UNROLL for (int r = 0; r < ROWS; r++)                                                   \
              __builtin_prefetch(x + (int64_t)r * call->ldx + CHUNK + n);                         \
      }                                                                                           \
      INPUTS(ROWS, VECTORS, CHUNK)                                                                \
    }                                                                                             \
    INPUTS(ROWS, VECTORS, left_inputs)                                                            \
    if (call->relu)                                                                               \
      UNROLL for (int r = 0; r < ROWS; r++)                                                       \
        UNROLL for (int v = 0; v < VECTORS; v++) sum[r][v] = ABOVE_ZERO(sum[r][v]);               \
    if (call->slopes && call->mask) {                                                             \
      UNROLL for (int v = 0; v < VECTORS; v++)                                                    \
        slope_back(call, &sum[0][v], VECTORS, row, column + v * LANES, there[v], ROWS);           \
    } else if (call->slopes) {                                                                    \
      UNROLL for (int v = 0; v < VECTORS; v++)                                                    \
        slope_forward(call, &sum[0][v], VECTORS, row, column + v * LANES, there[v], ROWS);        \
    } else if (call->mask) {                                                                      \
      const float *beside = call->beside + row * call->ld_beside + column;                        \
      UNROLL for (int r = 0; r < ROWS; r++)                                                       \
        UNROLL for (int v = 0; v < VECTORS; v++)                                                  \
          sum[r][v] = WHERE_ABOVE_ZERO(                                                           \
              sum[r][v],                                                                          \
              load_columns(beside + (int64_t)r * call->ld_beside + v * LANES, there[v]));         \
    }                                                                                             \
    UNROLL for (int r = 0; r < ROWS; r++)                                                         \
      UNROLL for (int v = 0; v < VECTORS; v++)                                                    \
        store_columns(y + (int64_t)r * call->ldy + v * LANES, sum[r][v], there[v]);               \
  }

static struct ahead panel_behind(const struct mr__dense_call *call, const float *panel,
                                 int column) {
  const float *next = panel + (size_t)call->inputs * (size_t)mr__panel_width(call->outputs, column);
  size_t width = (size_t)mr__panel_width(call->outputs, column + MR__PANEL);
  return (struct ahead){next, next + (size_t)call->inputs * width};
}

#if TILE_ROWS == 8
#define TILES(VECTORS)                                                                            \
  TILE(8, VECTORS) TILE(7, VECTORS) TILE(6, VECTORS) TILE(5, VECTORS)                             \
  TILE(4, VECTORS) TILE(3, VECTORS) TILE(2, VECTORS) TILE(1, VECTORS)
TILES(3) TILES(2) TILES(1)

/* The last rows, fewer than 8. */
#define LAST(ROWS, VECTORS)                                                                       \
  case ROWS:                                                                                      \
    tile_##ROWS##_##VECTORS(call, ahead, row, panel, step, column, left, READY, made);            \
    break;

/* All rows against `VECTORS` vectors of columns. Where the panel is to be made, there are 8
 * rows. */
#define COLUMNS(VECTORS)                                                                          \
  static void columns_##VECTORS(const struct mr__dense_call *call, struct ahead *ahead,           \
                                const float *panel, int step, int column, int left, int how,      \
                                struct making made) {                                             \
    int64_t row = 0, rows = call->rows;                                                           \
    if (how == Q_OF_INPUTS)                                                                       \
      tile_8_##VECTORS(call, ahead, row, panel, step, column, left, Q_OF_INPUTS, made), row = 8;  \
    else if (how == Q_OF_COLUMNS)                                                                 \
      tile_8_##VECTORS(call, ahead, row, panel, step, column, left, Q_OF_COLUMNS, made), row = 8; \
    if (how != READY) panel = made.to;                                                            \
    for (; row + 8 <= rows; row += 8)                                                             \
      tile_8_##VECTORS(call, ahead, row, panel, step, column, left, READY, made);                 \
    switch (rows - row) {                                                                         \
      LAST(7, VECTORS) LAST(6, VECTORS) LAST(5, VECTORS) LAST(4, VECTORS) LAST(3, VECTORS)        \
      LAST(2, VECTORS) LAST(1, VECTORS)                                                           \
    default:                                                                                      \
      break;                                                                                      \
    }                                                                                             \
  }
COLUMNS(3) COLUMNS(2) COLUMNS(1)

enum { MAKING_ROWS = 8 }; /* fewer take weights of a q that are ready */

static void multiply(const struct mr__dense_call *call) {
  const float *panel = call->packed;
  int how = !call->q ? READY : call->q_of_outputs ? Q_OF_COLUMNS : Q_OF_INPUTS;
  struct making made = {NULL, call->q, call->made};
  if (how != READY) made.product = panel + mr__packed_size(call->inputs, call->outputs);
  float q[MR__PANEL] = {0}; /* whole vectors of it are read */
  for (int column = 0; column < call->outputs; column += MR__PANEL) {
    int left = call->outputs - column, width = mr__panel_width(call->outputs, column);
    struct ahead ahead = panel_behind(call, panel, column);
    if (how == Q_OF_COLUMNS) {
      for (int c = 0; c < left && c < MR__PANEL; c++) q[c] = call->q[column + c];
      made.q = q;
    }
    if (width == 3 * LANES)
      columns_3(call, &ahead, panel, width, column, left, how, made);
    else if (width == 2 * LANES)
      columns_2(call, &ahead, panel, width, column, left, how, made);
    else
      columns_1(call, &ahead, panel, width, column, left, how, made);
    size_t floats = (size_t)call->inputs * (size_t)width;
    panel += floats;
    if (how != READY) made.product += floats, made.to += floats;
  }
}

#else /* 8 lanes, 16 registers: tiles of 6 rows x 16 columns inside the panel */
TILE(6, 2) TILE(2, 2) TILE(1, 2)

static void columns_2(const struct mr__dense_call *call, struct ahead *ahead, const float *panel,
                      int step, int column, int left) {
  int64_t row = 0, rows = call->rows;
  const struct making none = {NULL, NULL, NULL};
  for (; row + 6 <= rows; row += 6)
    tile_6_2(call, ahead, row, panel, step, column, left, READY, none);
  for (; row + 2 <= rows; row += 2)
    tile_2_2(call, ahead, row, panel, step, column, left, READY, none);
  if (row < rows) tile_1_2(call, ahead, row, panel, step, column, left, READY, none);
}

enum { MAKING_ROWS = INT32_MAX };

static void multiply(const struct mr__dense_call *call) {
  const float *panel = call->packed;
  for (int column = 0; column < call->outputs; column += MR__PANEL) {
    int left = call->outputs - column, width = mr__panel_width(call->outputs, column);
    struct ahead ahead = panel_behind(call, panel, column);
    for (int c = 0; c < width; c += MR__VECTOR)
      columns_2(call, &ahead, panel + c, width, column + c, left - c);
    panel += (size_t)call->inputs * (size_t)width;
  }
}
#endif

#else /* any CPU: the rule itself, element by element */

enum { MAKING_ROWS = INT32_MAX };

/* What is written to y where the product is `sum`. */
static float finished(const struct mr__dense_call *call, int64_t row, int column, float sum) {
  if (call->mask) {
    float beside = call->beside[row * call->ld_beside + column];
    if (beside > 0.0f) return sum;
    if (!call->slopes) return 0.0f;
    call->dslopes[column] += sum * beside;
    return call->slopes[column] * sum;
  }
  if (call->plain) call->plain[row * call->ld_plain + column] = sum;
  if (sum > 0.0f) return sum;
  return call->relu ? 0.0f : call->slopes ? call->slopes[column] * sum : sum;
}

static void multiply(const struct mr__dense_call *call) {
  for (int64_t row = 0; row < call->rows; row++) {
    const float *x = call->x + row * call->ldx;
    const float *panel = call->packed;
    for (int column = 0; column < call->outputs; column += MR__PANEL) {
      int left = call->outputs - column < MR__PANEL ? call->outputs - column : MR__PANEL;
      int width = (left + MR__VECTOR - 1) / MR__VECTOR * MR__VECTOR;
      for (int c = 0; c < left; c++) {
        float sum = call->start ? call->start[row * call->ld_start + column + c] : 0.0f;
        if (call->start_weight) sum = call->start_weight[row * call->ld_weight] * sum;
        for (int k = 0; k < call->inputs; k++)
          sum = mr__fma(x[k], panel[(size_t)k * width + c], sum);
        call->y[row * call->ldy + column + c] = finished(call, row, column + c, sum);
      }
      panel += (size_t)call->inputs * width;
    }
  }
}

#endif

void MR_FAMILY(mr__dense_forward)(const struct mr__dense_call *call) {
  if (!call->q || call->rows >= MAKING_ROWS) {
    multiply(call);
    return;
  }
  struct mr__dense_call ready = *call;
  MR_FAMILY(mr__make_paired)(call);
  ready.packed = call->made;
  ready.q = NULL;
  multiply(&ready);
}
