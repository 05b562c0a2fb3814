/* y = a - b, element by element; da = dy, db = -dy. */
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
    for (int e = 0; e < c->y.width; e++) y[e] = a[e] - b[e];
  }
}

static void backward(const struct mr__call *c) {
  for (int i = 0; i < 2; i++)
    for (int64_t r = 0; c->dx[i].p && r < c->rows; r++) {
      const float *dy = mr__row(&c->dy, r);
      float *dx = mr__row(&c->dx[i], r), sign = i == 0 ? 1.0f : -1.0f;
      for (int e = 0; e < c->dy.width; e++)
        dx[e] = c->add[i] ? dx[e] + sign * dy[e] : sign * dy[e];
    }
}

const struct mr__op MR_FAMILY(mr__op_subtract) = {
    .name = "subtract",
    .doc = "y = a - b, element by element",
    .inputs = {"a", "b"},
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .samples = {"3 3", "1 1", "19r 19", "2 2s", "3a 3"},
};
