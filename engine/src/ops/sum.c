/* y = the sum of x over its columns, [rows, 1]; dx = dy in every column. */
#include "graph/op.h"
#include "kernel/vec.h"

static int shape(struct mr__shape *s) {
  s->width = 1;
  return MR_OK;
}

static void forward(const struct mr__call *c) {
  for (int64_t r = 0; r < c->rows; r++)
    mr__row(&c->y, r)[0] = mr__sum(mr__row(&c->x[0], r), c->x[0].width);
}

static void backward(const struct mr__call *c) {
  for (int64_t r = 0; r < c->rows; r++) {
    float g = mr__row(&c->dy, r)[0];
    float *dx = mr__row(&c->dx[0], r);
    for (int e = 0; e < c->dx[0].width; e++) dx[e] = c->add[0] ? dx[e] + g : g;
  }
}

const struct mr__op MR_FAMILY(mr__op_sum) = {
    .name = "sum",
    .doc = "y = the sum over the columns of x",
    .inputs = {"x"},
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .samples = {"3", "1", "39"},
};
