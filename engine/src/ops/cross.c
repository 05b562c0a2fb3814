/* A cross layer of DCN (Wang et al. 2017, eq. 3): with s = <x, w>, one number a row,
 *   y = x0 s + b + x,
 *   dx0 = dy s,  ds = <dy, x0>,  dx = dy + ds w,  dw = sum over rows of ds x,  db = sum of dy. */
#include "graph/op.h"
#include "kernel/vec.h"

enum { X0, X }; /* inputs; in the first layer they are one */
enum { WEIGHT, BIAS };

static int shape(struct mr__shape *s) {
  if (s->widths[X0] != s->widths[X])
    return mr__fail(MR_ESHAPE, "x is %d wide, x0 is %d wide", s->widths[X], s->widths[X0]);
  if (s->widths[X] == 0) return mr__fail(MR_ESHAPE, "the inputs have no columns");
  s->width = s->widths[X];
  s->saved = 1; /* s */
  s->n_params = 2;
  s->params[WEIGHT] = (struct mr__param_spec){.name = "weight",
                                              .rows = s->width,
                                              .columns = 1,
                                              .trained = 1,
                                              .decays = 1,
                                              .start = MR__PARAM_GLOROT};
  s->params[BIAS] = (struct mr__param_spec){
      .name = "bias", .rows = 1, .columns = s->width, .trained = 1, .start = MR__PARAM_CONSTANT};
  return MR_OK;
}

static void forward(const struct mr__call *c) {
  int width = c->y.width;
  const float *w = c->param[WEIGHT], *b = c->param[BIAS];
  for (int64_t r = 0; r < c->rows; r++) {
    const float *x0 = mr__row(&c->x[X0], r), *x = mr__row(&c->x[X], r);
    float *y = mr__row(&c->y, r), s = mr__dot(x, w, width);
    for (int e = 0; e < width; e++) y[e] = mr__fma(x0[e], s, b[e]) + x[e];
    *mr__row(&c->saved, r) = s;
  }
}

static void backward(const struct mr__call *c) {
  int width = c->dy.width;
  const float *w = c->param[WEIGHT];
  for (int64_t r = 0; r < c->rows; r++) {
    const float *x0 = mr__row(&c->x[X0], r), *x = mr__row(&c->x[X], r), *dy = mr__row(&c->dy, r);
    float s = *mr__row(&c->saved, r), ds = mr__dot(dy, x0, width);
    mr__axpy(c->dparam[WEIGHT], ds, x, width);
    mr__accumulate(c->dparam[BIAS], dy, width);
    if (c->dx[X0].p) {
      float *dx0 = mr__row(&c->dx[X0], r);
      for (int e = 0; e < width; e++) dx0[e] = c->add[X0] ? mr__fma(dy[e], s, dx0[e]) : dy[e] * s;
    }
    if (c->dx[X].p) {
      float *dx = mr__row(&c->dx[X], r);
      for (int e = 0; e < width; e++) {
        float g = mr__fma(ds, w[e], dy[e]);
        dx[e] = c->add[X] ? dx[e] + g : g;
      }
    }
  }
}

const struct mr__op MR_FAMILY(mr__op_cross) = {
    .name = "cross",
    .doc = "y = x0 <x, w> + b + x, a layer of a cross network (Wang et al. 2017, eq. 3)",
    .inputs = {"x0", "x"},
    .flags = MR__READS_X,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .samples = {"3 3", "1 1", "16 16", "41 41", "5r 5", "5 5r"},
};
