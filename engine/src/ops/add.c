/* y = the sum of the inputs, added from left to right; every dx = dy. Where the plan can, lookups
 * among the inputs are added up in y already, and y's gradient is theirs. */
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
  int begun = 0;
  for (int i = 0; i < c->n_inputs; i++) begun |= c->x[i].p == c->y.p;
  for (int i = 0; i < c->n_inputs; i++) {
    for (int64_t r = 0; c->x[i].p != c->y.p && r < c->rows; r++) {
      float *y = mr__row(&c->y, r);
      const float *x = mr__row(&c->x[i], r);
      for (int e = 0; e < c->y.width; e++) y[e] = begun ? y[e] + x[e] : x[e];
    }
    begun = 1;
  }
}

static void backward(const struct mr__call *c) {
  for (int i = 0; i < c->n_inputs; i++)
    for (int64_t r = 0; c->dx[i].p && c->dx[i].p != c->dy.p && r < c->rows; r++) {
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
    .flags = MR__ADDS_UP,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .samples = {"3 3", "1 1 1", "18", "2r 2"},
};
