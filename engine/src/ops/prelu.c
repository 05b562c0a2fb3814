/* y = x where x > 0, else alpha x, with an alpha for each column (He et al. 2015, eq. 1).
 * dx = dy, or alpha dy; dalpha = sum of dy x over the rows where x is not positive. */
#include "graph/op.h"
#include "kernel/vec.h"

static int shape(struct mr__shape *s) {
  s->width = s->widths[0];
  s->n_params = 1;
  s->params[0] = (struct mr__param_spec){.name = "alpha", .rows = 1, .columns = s->width,
                                         .trained = 1, .start = MR__PARAM_CONSTANT,
                                         .scale = (float)mr__option_number(s->node, 0)};
  return MR_OK;
}

static void forward(const struct mr__call *c) {
  const float *alpha = c->param[0];
  for (int64_t r = 0; r < c->rows; r++) {
    const float *x = mr__row(&c->x[0], r);
    float *y = mr__row(&c->y, r);
    for (int e = 0; e < c->y.width; e++) y[e] = x[e] > 0.0f ? x[e] : alpha[e] * x[e];
  }
}

static void backward(const struct mr__call *c) {
  const float *alpha = c->param[0];
  float *dalpha = c->dparam[0];
  for (int64_t r = 0; r < c->rows; r++) {
    const float *x = mr__row(&c->x[0], r), *dy = mr__row(&c->dy, r);
    for (int e = 0; e < c->dy.width; e++) dalpha[e] += x[e] > 0.0f ? 0.0f : dy[e] * x[e];
    if (!c->dx[0].p) continue;
    float *dx = mr__row(&c->dx[0], r);
    for (int e = 0; e < c->dy.width; e++) {
      float g = x[e] > 0.0f ? dy[e] : alpha[e] * dy[e];
      dx[e] = c->add[0] ? dx[e] + g : g;
    }
  }
}

static const struct mr__option options[] = {{.name = "start", .kind = MR__REAL, .preset = 0.25,
                                             .least = -10, .most = 10,
                                             .doc = "alpha at the start"},
                                            {0}};

const struct mr__op MR_FAMILY(mr__op_prelu) = {
    .name = "prelu",
    .doc = "y = x where x > 0, else alpha x, with an alpha for each column (He et al. 2015)",
    .inputs = {"x"},
    .flags = MR__READS_X | MR__ACTIVATION,
    .options = options,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .samples = {"3", "1", "37 | start=0", "3s"},
};
