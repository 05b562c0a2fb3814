/* The gradients of weights that each q has its own form of (kernel/kernel.h has the rule).
 *
 * The three matrices that a tile of T meets in the end, dw, dP and P, are together larger than the
 * first-level cache, and there are few rows of a q to pay for them. So a tile goes over the rows of
 * several q before the next one begins: it finds its part of the three near for all but the first.
 */
#include "kernel/isa.h"
#include "kernel/kernel.h"
#include "kernel/weight_tile.h"

#include <assert.h>
#include <string.h>

static float *partials_of(const struct mr__paired_weights *call, int part, int input) {
  return call->partials + ((size_t)part * (size_t)call->inputs + (size_t)input) * MR__PARTIALS;
}

/* dq of what the partial sums hold. */
static void finish(const struct mr__paired_weights *call) {
  for (int p = 0; p < call->n_parts; p++)
    for (int i = 0; call->parts[p].dq && i < call->inputs; i++)
      call->parts[p].dq[i] += mr__add_partials(partials_of(call, p, i));
}

#ifdef VECTOR

enum { PARTS = MR__PARTIALS / LANES };

/* Columns of a vector of which all may be known to be there: masks cost. */
static inline VECTOR load(const float *p, columns_mask there, int full) {
  return full ? LOAD(p) : load_columns(p, there);
}

static inline void store(float *p, VECTOR v, columns_mask there, int full) {
  if (full)
    STORE(p, v);
  else
    store_columns(p, v, there);
}

/* One tile of T of one part: INPUTS x VECTORS accumulators, of which `left` columns exist. Call and
 * part are copies, so that no store can change them. */
#define TILE(INPUTS, VECTORS)                                                                      \
  static inline __attribute__((always_inline)) void tile_##INPUTS##_##VECTORS(                     \
      const struct mr__paired_weights call, const struct mr__paired_rows part, float *partials,    \
      const float *dy, int input, int column, int left, const int full) {                          \
    VECTOR sum[INPUTS][VECTORS];                                                                   \
    columns_mask there[VECTORS];                                                                   \
    for (int v = 0; v < VECTORS; v++) there[v] = first_columns(left - v * LANES);                  \
    const int ldx = call.ldx, ld_next = call.outputs;                                              \
    int64_t rows = part.rows;                                                                      \
    const float *x = part.x + input, *q = part.q + input;                                          \
    const int64_t at = (int64_t)input * call.outputs + column;                                     \
    const float *next = call.dproduct + at, *product = call.product + at;                          \
    float *dw = call.dw + at, *dproduct = call.dproduct + at;                                      \
    SUM_ROWS(INPUTS, VECTORS)                                                                      \
    UNROLL for (int i = 0; i < INPUTS; i++) {                                                      \
      VECTOR scale = BROADCAST(q[i]), partial[PARTS], w[VECTORS], p[VECTORS];                      \
      UNROLL for (int h = 0; h < PARTS; h++)                                                       \
        partial[h] = column > 0 ? LOAD(partials + h * LANES) : BROADCAST(0.0f);                    \
      UNROLL for (int v = 0; v < VECTORS; v++) { /* loads before stores: P, dP and dw lie */       \
        VECTOR t = sum[i][v], *h = &partial[v % PARTS]; /* at like places of their pages */        \
        const int c = v * LANES;                                                                   \
        w[v] = ADD(load(dw + c, there[v], full), t);                                               \
        p[v] = FMA(scale, t, load(dproduct + c, there[v], full));                                  \
        VECTOR sum_h = FMA(t, load(product + c, there[v], full), *h);                              \
        *h = full ? sum_h : choose_columns(sum_h, *h, there[v]);                                   \
      }                                                                                            \
      UNROLL for (int v = 0; v < VECTORS; v++) {                                                   \
        store(dw + v * LANES, w[v], there[v], full);                                               \
        store(dproduct + v * LANES, p[v], there[v], full);                                         \
      }                                                                                            \
      UNROLL for (int h = 0; h < PARTS; h++) STORE(partials + h * LANES, partial[h]);              \
      dw += call.outputs, dproduct += call.outputs, product += call.outputs;                       \
      partials += MR__PARTIALS;                                                                    \
      /* else the places of all rows are worked out, and kept in memory, before the first */       \
      __asm__("" : "+r"(dw), "+r"(dproduct), "+r"(product), "+r"(partials));                       \
    }                                                                                              \
  }

/* All inputs of all parts against VECTORS vectors of columns; MOST inputs at a time. */
#define COLUMNS(MOST, VECTORS)                                                                     \
  static void columns_##VECTORS(const struct mr__paired_weights *given, const float *panel,        \
                                int column, int left) {                                            \
    const struct mr__paired_weights call = *given;                                                 \
    for (int i = 0, step; i < call.inputs; i += step) {                                            \
      const float *dy = panel;                                                                     \
      step = i + MOST <= call.inputs ? MOST : 1;                                                   \
      for (int p = 0; p < call.n_parts; p++) {                                                     \
        const struct mr__paired_rows part = call.parts[p];                                         \
        float *partials = partials_of(&call, p, i);                                                \
        if (step == MOST && left >= VECTORS * LANES)                                               \
          tile_##MOST##_##VECTORS(call, part, partials, dy, i, column, left, 1);                   \
        else if (step == MOST)                                                                     \
          tile_##MOST##_##VECTORS(call, part, partials, dy, i, column, left, 0);                   \
        else                                                                                       \
          tile_1_##VECTORS(call, part, partials, dy, i, column, left, 0);                          \
        dy += part.rows * VECTORS * LANES;                                                         \
      }                                                                                            \
    }                                                                                              \
  }

#if TILE_VECTORS == 3
TILE(8, 3) TILE(1, 3) TILE(8, 2) TILE(1, 2) TILE(16, 1) TILE(1, 1)
COLUMNS(8, 3) COLUMNS(8, 2) COLUMNS(16, 1)
#else /* whole numbers of partials */
TILE(6, 2) TILE(1, 2)
COLUMNS(6, 2)
#endif

void MR_FAMILY(mr__paired_weights)(const struct mr__paired_weights *call) {
  _Alignas(64) float dy[MR__ROWS_AT_ONCE * TILE_VECTORS * LANES];
  for (int column = 0; column < call->outputs;) {
    int left = call->outputs - column;
    int vectors = (left + MR__VECTOR - 1) / MR__VECTOR * PARTS;
    if (vectors > TILE_VECTORS) vectors = TILE_VECTORS;
    float *to = dy;
    for (int p = 0; p < call->n_parts; p++) {
      const struct mr__paired_rows *part = &call->parts[p];
      pack_rows(to, part->dy + column, call->lddy, part->rows, vectors, left, NULL);
      to += part->rows * vectors * LANES;
    }
    assert(to <= dy + sizeof dy / sizeof *dy);
    switch (vectors) {
#if TILE_VECTORS == 3
    case 3:
      columns_3(call, dy, column, left);
      break;
    case 1:
      columns_1(call, dy, column, left);
      break;
#endif
    default:
      columns_2(call, dy, column, left);
    }
    column += vectors * LANES;
  }
  finish(call);
}

#else /* any CPU: the rule itself, element by element */

void MR_FAMILY(mr__paired_weights)(const struct mr__paired_weights *call) {
  memset(call->partials, 0,
         (size_t)call->n_parts * (size_t)call->inputs * MR__PARTIALS * sizeof *call->partials);
  for (int p = 0; p < call->n_parts; p++) {
    const struct mr__paired_rows *part = &call->parts[p];
    for (int i = 0; i < call->inputs; i++)
      for (int c = 0; c < call->outputs; c++) {
        const int64_t at = (int64_t)i * call->outputs + c;
        float t = 0, *partial = partials_of(call, p, i) + c % MR__PARTIALS;
        for (int64_t r = 0; r < part->rows; r++)
          t = mr__fma(part->x[r * call->ldx + i], part->dy[r * call->lddy + c], t);
        call->dw[at] += t;
        call->dproduct[at] = mr__fma(part->q[i], t, call->dproduct[at]);
        *partial = mr__fma(t, call->product[at], *partial);
      }
  }
  finish(call);
}

#endif
