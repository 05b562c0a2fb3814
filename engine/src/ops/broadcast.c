/* y[s] = x[request of s]; dx[q] = sum of dy[s] over the samples s of q, in order. */
#include <string.h>

#include "graph/step.h"
#include "kernel/vec.h"

static int shape(struct mr__shape *s) {
  s->width = s->widths[0];
  return MR_OK;
}

static int64_t request(const struct mr__call *c, int64_t row) {
  return c->step->batch->request_of[c->first_row + row] - c->first_input_row;
}

static void forward(const struct mr__call *c) {
  for (int64_t r = 0; r < c->rows; r++) {
    const float *x = mr__row(&c->x[0], request(c, r));
    float *y = mr__row(&c->y, r);
    for (int e = 0; e < c->y.width; e++) y[e] = x[e];
  }
}

static void backward(const struct mr__call *c) {
  int64_t last = -1;
  for (int64_t r = 0; r < c->rows; r++) {
    int64_t q = request(c, r);
    float *dx = mr__row(&c->dx[0], q);
    const float *dy = mr__row(&c->dy, r);
    if (q != last && !c->add[0])
      memcpy(dx, dy, (size_t)c->dy.width * sizeof *dx);
    else
      mr__accumulate(dx, dy, c->dy.width);
    last = q;
  }
}

const struct mr__op MR_FAMILY(mr__op_broadcast) = {
    .name = "broadcast",
    .doc = "y[s] = x[request of s]; inserted where a sample-side op reads a request-side value",
    .inputs = {"x"},
    .flags = MR__ROW_DOWN | MR__INTERNAL,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .samples = {"3r", "1r", "17r"},
};
