/* y = the sum of the inputs, added from left to right; every dx = dy. */
#include "graph/op.h"
#include "kernel/vec.h"

static int shape(struct mr__shape *s) {
  for (int i = 1; i < s->n_inputs; i++)
    if (s->widths[i] != s->widths[0])
      return mr__fail(MR_ESHAPE, "input %d is %d wide, input 1 is %d wide", i + 1, s->widths[i],
                      s->widths[0]);
  s->width = s->widths[0];
  return MR_OK;
}

static void forward(const struct mr__call *c) {
  for (int64_t r = 0; r < c->rows; r++) {
    float *y = mr__row(&c->y, r);
    for (int e = 0; e < c->y.width; e++) y[e] = mr__row(&c->x[0], r)[e];
    for (int i = 1; i < c->n_inputs; i++) mr__accumulate(y, mr__row(&c->x[i], r), c->y.width);
  }
}

static void backward(const struct mr__call *c) {
  for (int i = 0; i < c->n_inputs; i++)
    for (int64_t r = 0; c->dx[i].p && r < c->rows; r++) {
      const float *dy = mr__row(&c->dy, r);
      float *dx = mr__row(&c->dx[i], r);
      for (int e = 0; e < c->dy.width; e++) dx[e] = c->add[i] ? dx[e] + dy[e] : dy[e];
    }
}

const struct mr__op MR_FAMILY(mr__op_add) = {
    .name = "add",
    .doc = "y = the sum of the inputs, element by element",
    .inputs = {"x"},
    .variadic = 1,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .samples = {"3 3", "1 1 1", "18", "2r 2"},
};
