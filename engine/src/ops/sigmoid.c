/* y = 1 / (1 + e^-x); dx = dy y (1 - y). */
#include "graph/op.h"
#include "kernel/vec.h"

static int shape(struct mr__shape *s) {
  s->width = s->widths[0];
  return MR_OK;
}

static void forward(const struct mr__call *c) {
  for (int64_t r = 0; r < c->rows; r++) {
    const float *x = mr__row(&c->x[0], r);
    float *y = mr__row(&c->y, r);
    for (int e = 0; e < c->y.width; e++) y[e] = mr__sigmoid(x[e]);
  }
}

static void backward(const struct mr__call *c) {
  for (int64_t r = 0; r < c->rows; r++) {
    const float *y = mr__row(&c->y, r), *dy = mr__row(&c->dy, r);
    float *dx = mr__row(&c->dx[0], r);
    for (int e = 0; e < c->dy.width; e++) {
      float g = dy[e] * y[e] * (1.0f - y[e]);
      dx[e] = c->add[0] ? dx[e] + g : g;
    }
  }
}

const struct mr__op MR_FAMILY(mr__op_sigmoid) = {
    .name = "sigmoid",
    .doc = "y = 1 / (1 + exp(-x))",
    .inputs = {"x"},
    .flags = MR__INPLACE | MR__READS_Y | MR__ACTIVATION,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .samples = {"3", "1", "37"},
};
