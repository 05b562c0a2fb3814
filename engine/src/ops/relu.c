/* y = max(x, 0); dx = dy where y > 0, else 0 (0 at the kink). */
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
    for (int e = 0; e < c->y.width; e++) y[e] = x[e] > 0.0f ? x[e] : 0.0f;
  }
}

static void backward(const struct mr__call *c) {
  for (int64_t r = 0; r < c->rows; r++) {
    const float *y = mr__row(&c->y, r), *dy = mr__row(&c->dy, r);
    float *dx = mr__row(&c->dx[0], r);
    for (int e = 0; e < c->dy.width; e++) {
      float g = y[e] > 0.0f ? dy[e] : 0.0f;
      dx[e] = c->add[0] ? dx[e] + g : g;
    }
  }
}

const struct mr__op MR_FAMILY(mr__op_relu) = {
    .name = "relu",
    .doc = "y = max(x, 0)",
    .inputs = {"x"},
    .flags = MR__INPLACE | MR__READS_Y | MR__ACTIVATION | MR__RELU,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .samples = {"3", "1", "37"},
};
