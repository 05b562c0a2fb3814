/* y = x + b, one learned number per column. db = sum of dy over rows. */
#include "graph/op.h"
#include "kernel/vec.h"

static int shape(struct mr__shape *s) {
  s->width = s->widths[0];
  s->n_params = 1;
  s->params[0] = (struct mr__param_spec){.name = "bias", .rows = 1, .columns = s->width,
                                         .trained = 1, .start = MR__PARAM_CONSTANT};
  return MR_OK;
}

static void forward(const struct mr__call *c) {
  for (int64_t r = 0; r < c->rows; r++)
    for (int e = 0; e < c->y.width; e++)
      mr__row(&c->y, r)[e] = mr__row(&c->x[0], r)[e] + c->param[0][e];
}

static void backward(const struct mr__call *c) {
  for (int64_t r = 0; r < c->rows; r++) {
    const float *dy = mr__row(&c->dy, r);
    mr__accumulate(c->dparam[0], dy, c->dy.width);
    if (!c->dx[0].p || c->dx[0].p == c->dy.p) continue;
    float *dx = mr__row(&c->dx[0], r);
    for (int e = 0; e < c->dy.width; e++) dx[e] = c->add[0] ? dx[e] + dy[e] : dy[e];
  }
}

const struct mr__op MR_FAMILY(mr__op_bias) = {
    .name = "bias",
    .doc = "y = x + b",
    .inputs = {"x"},
    .flags = MR__INPLACE,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .samples = {"3", "1", "20"},
};
