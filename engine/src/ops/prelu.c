/* y = x where x > 0, else alpha x, with an alpha for each column (He et al. 2015, eq. 1).
 * dx = dy, or alpha dy; dalpha = sum of dy x over the rows where x is not positive. */
#include "graph/op.h"
#include "kernel/vec.h"

static int shape(struct mr__shape *s) {
  s->width = s->widths[0];
  s->n_params = 1;
  s->params[0] = (struct mr__param_spec){.name = "alpha",
                                         .rows = 1,
                                         .columns = s->width,
                                         .trained = 1,
                                         .start = MR__PARAM_CONSTANT,
                                         .scale = (float)mr__option_number(s->node, 0)};
  return MR_OK;
}

static void forward_row(float *restrict y, const float *restrict x, const float *restrict alpha,
                        int n) {
  for (int e = 0; e < n; e++) y[e] = x[e] > 0.0f ? x[e] : alpha[e] * x[e];
}

/* The same on top of x. */
static void forward_in_place(float *restrict y, const float *restrict alpha, int n) {
  for (int e = 0; e < n; e++) y[e] = y[e] > 0.0f ? y[e] : alpha[e] * y[e];
}

static void forward(const struct mr__call *c) {
  for (int64_t r = 0; r < c->rows; r++)
    if (c->y.p == c->x[0].p)
      forward_in_place(mr__row(&c->y, r), c->param[0], c->y.width);
    else
      forward_row(mr__row(&c->y, r), mr__row(&c->x[0], r), c->param[0], c->y.width);
}

static void backward_alpha(float *restrict dalpha, const float *restrict x,
                           const float *restrict dy, int n) {
  for (int e = 0; e < n; e++) dalpha[e] += x[e] > 0.0f ? 0.0f : dy[e] * x[e];
}

static void backward_row(float *restrict dx, const float *restrict x, const float *restrict dy,
                         const float *restrict alpha, int add, int n) {
  if (add)
    for (int e = 0; e < n; e++) dx[e] += x[e] > 0.0f ? dy[e] : alpha[e] * dy[e];
  else
    for (int e = 0; e < n; e++) dx[e] = x[e] > 0.0f ? dy[e] : alpha[e] * dy[e];
}

/* On top of dy. */
static void backward_in_place(float *restrict dx, const float *restrict x,
                              const float *restrict alpha, int n) {
  for (int e = 0; e < n; e++) dx[e] = x[e] > 0.0f ? dx[e] : alpha[e] * dx[e];
}

static void backward(const struct mr__call *c) {
  for (int64_t r = 0; r < c->rows; r++) {
    const float *x = mr__row(&c->x[0], r), *dy = mr__row(&c->dy, r);
    backward_alpha(c->dparam[0], x, dy, c->dy.width);
    if (c->dx[0].p == c->dy.p)
      backward_in_place(mr__row(&c->dx[0], r), x, c->param[0], c->dy.width);
    else if (c->dx[0].p)
      backward_row(mr__row(&c->dx[0], r), x, dy, c->param[0], c->add[0], c->dy.width);
  }
}

static const struct mr__option options[] = {{.name = "start",
                                             .kind = MR__REAL,
                                             .preset = 0.25,
                                             .least = -10,
                                             .most = 10,
                                             .doc = "alpha at the start"},
                                            {0}};

const struct mr__op MR_FAMILY(mr__op_prelu) = {
    .name = "prelu",
    .doc = "y = x where x > 0, else alpha x, with an alpha for each column (He et al. 2015)",
    .inputs = {"x"},
    .flags = MR__READS_X | MR__ACTIVATION | MR__SLOPES | MR__INPLACE_BACK,
    .options = options,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .samples = {"3", "1", "37 | start=0", "3s"},
};
