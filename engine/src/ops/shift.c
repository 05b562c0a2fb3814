/* y = x + c, for a given c; dx = dy. */
#include "graph/op.h"

static int shape(struct mr__shape *s) {
  s->width = s->widths[0];
  return MR_OK;
}

static void forward(const struct mr__call *c) {
  float by = (float)mr__option_number(c->node, 0);
  for (int64_t r = 0; r < c->rows; r++)
    for (int e = 0; e < c->y.width; e++) mr__row(&c->y, r)[e] = mr__row(&c->x[0], r)[e] + by;
}

static void backward(const struct mr__call *c) {
  for (int64_t r = 0; r < c->rows; r++) {
    const float *dy = mr__row(&c->dy, r);
    float *dx = mr__row(&c->dx[0], r);
    for (int e = 0; e < c->dy.width; e++) dx[e] = c->add[0] ? dx[e] + dy[e] : dy[e];
  }
}

static const struct mr__option options[] = {{.name = "by", .kind = MR__REAL, .preset = 0,
                                             .least = -1e6, .most = 1e6, .required = 1,
                                             .doc = "what is added to each number"},
                                            {0}};

const struct mr__op MR_FAMILY(mr__op_shift) = {
    .name = "shift",
    .doc = "y = x + by, the same for all numbers",
    .inputs = {"x"},
    .options = options,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .samples = {"3 | by=0.5", "1 | by=2", "37 | by=0"},
};
