/* y = a * b, element by element; da = dy b, db = dy a. */
#include "graph/op.h"
#include "kernel/vec.h"

static int shape(struct mr__shape *s) {
  MR_TRY(mr__equal_widths(s));
  s->width = s->widths[0];
  return MR_OK;
}

static void forward(const struct mr__call *c) {
  for (int64_t r = 0; r < c->rows; r++) {
    const float *a = mr__row(&c->x[0], r), *b = mr__row(&c->x[1], r);
    float *y = mr__row(&c->y, r);
    for (int e = 0; e < c->y.width; e++) y[e] = a[e] * b[e];
  }
}

static void backward(const struct mr__call *c) {
  for (int i = 0; i < 2; i++)
    for (int64_t r = 0; c->dx[i].p && r < c->rows; r++) {
      const float *dy = mr__row(&c->dy, r), *other = mr__row(&c->x[1 - i], r);
      float *dx = mr__row(&c->dx[i], r);
      for (int e = 0; e < c->dy.width; e++)
        dx[e] = c->add[i] ? mr__fma(dy[e], other[e], dx[e]) : dy[e] * other[e];
    }
}

const struct mr__op MR_FAMILY(mr__op_multiply) = {
    .name = "multiply",
    .doc = "y = a * b, element by element",
    .inputs = {"a", "b"},
    .flags = MR__READS_X,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .samples = {"3 3", "1 1", "19 19", "4r 4"},
};
