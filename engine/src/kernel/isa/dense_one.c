/* A dense layer of one output (kernel/kernel.h has the rule). Both passes go over x once, some rows
 * at a time: forward so that sums do not wait for each other, backward so that dw and the weights
 * are read once for all of them. */
#include "kernel/isa.h"
#include "kernel/kernel.h"
#include "kernel/tile.h"

enum { TOGETHER = 4 }; /* rows */

static void finish(const struct mr__one_call *call, int64_t row, float product) {
  float y = call->start + product;
  if (call->plain) call->plain[row * call->ld_plain] = y;
  if (call->relu && !(y > 0.0f)) y = 0.0f;
  if (call->slopes && !(y > 0.0f)) y = call->slopes[0] * y;
  call->y[row * call->ldy] = y;
}

#ifdef VECTOR

enum { PARTS = MR__PARTIALS / LANES };

/* The first two steps of mr__add_partials. */
static inline __m128 quarter_of(const VECTOR *sum) {
#if LANES == 16
  __m256 half = _mm256_add_ps(_mm512_castps512_ps256(sum[0]), _mm512_extractf32x8_ps(sum[0], 1));
#else
  __m256 half = _mm256_add_ps(sum[0], sum[1]);
#endif
  return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

/* The last two, of four sums at once: (q0 + q2) + (q1 + q3) of each. */
static inline __m128 add_quarters(const __m128 q[TOGETHER]) {
  __m128 two = _mm_add_ps(_mm_movelh_ps(q[0], q[1]), _mm_movehl_ps(q[1], q[0]));
  __m128 more = _mm_add_ps(_mm_movelh_ps(q[2], q[3]), _mm_movehl_ps(q[3], q[2]));
  return _mm_add_ps(_mm_shuffle_ps(two, more, 0x88), _mm_shuffle_ps(two, more, 0xdd));
}

/* Inner products of n rows of x and the weights, bit by bit those of mr__dot. */
static inline __attribute__((always_inline)) void forward_rows(const struct mr__one_call *call,
                                                               int64_t row, const int n) {
  VECTOR sum[TOGETHER][PARTS];
  UNROLL for (int r = 0; r < n; r++) UNROLL for (int p = 0; p < PARTS; p++)
    sum[r][p] = BROADCAST(0.0f);
  const float *x = call->x + row * call->ldx, *w = call->weights;
  int left = call->inputs;
  for (; left >= MR__PARTIALS; left -= MR__PARTIALS, x += MR__PARTIALS, w += MR__PARTIALS)
    UNROLL for (int p = 0; p < PARTS; p++) {
      VECTOR weights = LOAD(w + p * LANES);
      UNROLL for (int r = 0; r < n; r++)
        sum[r][p] = FMA(LOAD(x + (int64_t)r * call->ldx + p * LANES), weights, sum[r][p]);
    }
  for (int p = 0; p < PARTS; p++) { /* what lies behind the inputs is not added at all */
    columns_mask there = first_columns(left - p * LANES);
    VECTOR weights = load_columns(w + p * LANES, there);
    UNROLL for (int r = 0; r < n; r++) {
      VECTOR inputs = load_columns(x + (int64_t)r * call->ldx + p * LANES, there);
      sum[r][p] = choose_columns(FMA(inputs, weights, sum[r][p]), sum[r][p], there);
    }
  }
  __m128 quarter[TOGETHER] = {_mm_setzero_ps()};
  UNROLL for (int r = 0; r < n; r++) quarter[r] = quarter_of(sum[r]);
  float products[TOGETHER];
  _mm_storeu_ps(products, add_quarters(quarter));
  UNROLL for (int r = 0; r < n; r++) finish(call, row + r, products[r]);
}

void MR_FAMILY(mr__one_forward)(const struct mr__one_call *call) {
  int64_t row = 0;
  for (; row + TOGETHER <= call->rows; row += TOGETHER) forward_rows(call, row, TOGETHER);
  for (; row < call->rows; row++) forward_rows(call, row, 1);
}

/* `left` columns from e on, of n rows. The call is a copy, so that no store can change it. */
static inline __attribute__((always_inline)) void backward_columns(struct mr__one_call call,
                                                                   const VECTOR *g, int64_t row,
                                                                   int e, int left, const int n) {
  const columns_mask there = first_columns(left);
  VECTOR dw = load_columns(call.dw + e, there), w = load_columns(call.weights + e, there);
  VECTOR slope = BROADCAST(0.0f), dslope = slope;
  if (call.slopes) {
    slope = load_columns(call.slopes + e, there);
    dslope = load_columns(call.dslopes + e, there);
  }
  UNROLL for (int r = 0; r < n; r++) {
    VECTOR inputs = load_columns(call.x + (row + r) * call.ldx + e, there);
    dw = FMA(g[r], inputs, dw);
    if (!call.dx) continue;
    float *dx = call.dx + (row + r) * call.lddx + e;
    VECTOR back = call.add ? FMA(g[r], w, load_columns(dx, there)) : MULTIPLY(g[r], w);
    if (call.slopes) {
      VECTOR x = load_columns(call.beside + (row + r) * call.ld_beside + e, there);
      dslope = ADD(dslope, CHOOSE_ABOVE_ZERO(BROADCAST(0.0f), x, MULTIPLY(back, x)));
      back = CHOOSE_ABOVE_ZERO(back, x, MULTIPLY(slope, back));
    } else if (call.mask) {
      back = WHERE_ABOVE_ZERO(back, inputs);
    }
    store_columns(dx, back, there);
  }
  store_columns(call.dw + e, dw, there);
  if (call.slopes) store_columns(call.dslopes + e, dslope, there);
}

static inline __attribute__((always_inline)) void backward_rows(struct mr__one_call call,
                                                                int64_t row, const int n) {
  VECTOR g[TOGETHER];
  UNROLL for (int r = 0; r < n; r++) {
    g[r] = BROADCAST(call.dy[(row + r) * call.lddy]);
    *call.db += call.dy[(row + r) * call.lddy];
  }
  int e = 0;
  for (; e + LANES <= call.inputs; e += LANES) backward_columns(call, g, row, e, LANES, n);
  if (e < call.inputs) backward_columns(call, g, row, e, call.inputs - e, n);
}

void MR_FAMILY(mr__one_backward)(const struct mr__one_call *call) {
  int64_t row = 0;
  for (; row + TOGETHER <= call->rows; row += TOGETHER) backward_rows(*call, row, TOGETHER);
  for (; row < call->rows; row++) backward_rows(*call, row, 1);
}

#else /* any CPU: the rule itself, row by row */

void MR_FAMILY(mr__one_forward)(const struct mr__one_call *call) {
  for (int64_t r = 0; r < call->rows; r++)
    finish(call, r, mr__dot(call->x + r * call->ldx, call->weights, call->inputs));
}

void MR_FAMILY(mr__one_backward)(const struct mr__one_call *call) {
  for (int64_t r = 0; r < call->rows; r++) {
    const float *x = call->x + r * call->ldx;
    float g = call->dy[r * call->lddy];
    *call->db += g;
    mr__axpy(call->dw, g, x, call->inputs);
    float *dx = call->dx ? call->dx + r * call->lddx : NULL;
    for (int e = 0; dx && e < call->inputs; e++) {
      dx[e] = call->add ? mr__fma(g, call->weights[e], dx[e]) : g * call->weights[e];
      float beside = call->slopes ? call->beside[r * call->ld_beside + e] : x[e];
      if (!call->mask || beside > 0.0f) continue;
      if (call->slopes) call->dslopes[e] += dx[e] * beside;
      dx[e] = call->slopes ? call->slopes[e] * dx[e] : 0.0f;
    }
  }
}

#endif
