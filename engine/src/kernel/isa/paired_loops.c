/* A weight for each q (kernel/kernel.h): in the packed form of the weights, input i is a row of
 * each panel; in that of the transposed ones it is a column. */
#include "kernel/isa.h"
#include "kernel/kernel.h"
#include "kernel/tile.h"

/* to = w + q p, 16 of each; q is one number or as many. */
static inline __attribute__((always_inline)) void
one_vector(float *to, const float *w, const float *p, const float *q, const int one) {
#ifdef VECTOR
  UNROLL for (int v = 0; v < MR__VECTOR; v += LANES)
      STORE(to + v, FMA(one ? BROADCAST(*q) : LOAD(q + v), LOAD(p + v), LOAD(w + v)));
#else
  for (int e = 0; e < MR__VECTOR; e++) to[e] = mr__fma(q[one ? 0 : e], p[e], w[e]);
#endif
}

static void make_forward(const struct mr__dense_call *call) {
  const size_t n = mr__packed_size(call->inputs, call->outputs);
  size_t at = 0;
  for (int first = 0; first < call->outputs; first += MR__PANEL) {
    int width = mr__panel_width(call->outputs, first);
    for (int i = 0; i < call->inputs; i++)
      for (int c = 0; c < width; c += MR__VECTOR, at += MR__VECTOR)
        one_vector(call->made + at, call->packed + at, call->packed + n + at, call->q + i, 1);
  }
}

static void make_back(const struct mr__dense_call *call) {
  const size_t n = mr__packed_size(call->inputs, call->outputs);
  size_t at = 0;
  for (int first = 0; first < call->outputs; first += MR__PANEL) {
    int width = mr__panel_width(call->outputs, first), there = call->outputs - first;
    float q[MR__PANEL] = {0};
    for (int i = 0; i < MR__PANEL && i < there; i++) q[i] = call->q[first + i];
    for (int i = 0; i < call->inputs; i++)
      for (int c = 0; c < width; c += MR__VECTOR, at += MR__VECTOR)
        one_vector(call->made + at, call->packed + at, call->packed + n + at, q + c, 0);
  }
}

void MR_FAMILY(mr__make_paired)(const struct mr__dense_call *call) {
  if (call->q_of_outputs)
    make_back(call);
  else
    make_forward(call);
}
