/* y[i n + j] = a[i] b[j], n the width of b; da[i] = sum over j of dy[i n + j] b[j], db likewise. */
#include <string.h>

#include "graph/op.h"
#include "kernel/vec.h"

static int shape(struct mr__shape *s) {
  int64_t width = (int64_t)s->widths[0] * s->widths[1];
  s->width = width < INT32_MAX ? (int)width : INT32_MAX; /* refused long before */
  return MR_OK;
}

static void forward(const struct mr__call *c) {
  int n = c->x[1].width;
  for (int64_t r = 0; r < c->rows; r++) {
    const float *a = mr__row(&c->x[0], r), *b = mr__row(&c->x[1], r);
    float *y = mr__row(&c->y, r);
    for (int i = 0; i < c->x[0].width; i++)
      for (int j = 0; j < n; j++) y[i * n + j] = a[i] * b[j];
  }
}

static void backward(const struct mr__call *c) {
  int n = c->x[1].width;
  for (int64_t r = 0; c->dx[0].p && r < c->rows; r++) {
    const float *dy = mr__row(&c->dy, r), *b = mr__row(&c->x[1], r);
    float *da = mr__row(&c->dx[0], r);
    for (int i = 0; i < c->x[0].width; i++) {
      float g = mr__dot(dy + i * n, b, n);
      da[i] = c->add[0] ? da[i] + g : g;
    }
  }
  for (int64_t r = 0; c->dx[1].p && r < c->rows; r++) {
    const float *dy = mr__row(&c->dy, r), *a = mr__row(&c->x[0], r);
    float *db = mr__row(&c->dx[1], r);
    if (!c->add[1]) memset(db, 0, (size_t)n * sizeof *db);
    for (int i = 0; i < c->x[0].width; i++) mr__axpy(db, a[i], dy + i * n, n);
  }
}

const struct mr__op MR_FAMILY(mr__op_outer) = {
    .name = "outer",
    .doc = "y = the products of every number of a with every number of b",
    .inputs = {"a", "b"},
    .flags = MR__READS_X,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .samples = {"3 2", "1 1", "4r 19", "2 3s"},
};
