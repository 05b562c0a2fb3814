/* y = the inputs side by side. Where the planner can, inputs are computed right into their
 * columns of y, and their gradients read from those of dy; then nothing is copied here. */
#include "graph/op.h"
#include "kernel/vec.h"

static int shape(struct mr__shape *s) {
  int64_t width = 0;
  for (int i = 0; i < s->n_inputs; i++) width += s->widths[i];
  s->width = width < INT32_MAX ? (int)width : INT32_MAX; /* refused long before */
  return MR_OK;
}

static void forward(const struct mr__call *c) {
  int column = 0;
  for (int i = 0; i < c->n_inputs; i++) {
    int there = c->x[i].p == c->y.p + column; /* computed in place */
    for (int64_t r = 0; !there && r < c->rows; r++)
      for (int e = 0; e < c->x[i].width; e++)
        mr__row(&c->y, r)[column + e] = mr__row(&c->x[i], r)[e];
    column += c->x[i].width;
  }
}

static void backward(const struct mr__call *c) {
  int column = 0;
  for (int i = 0; i < c->n_inputs; i++) {
    int there = c->dx[i].p == c->dy.p + column;
    for (int64_t r = 0; c->dx[i].p && !there && r < c->rows; r++) {
      const float *dy = mr__row(&c->dy, r) + column;
      float *dx = mr__row(&c->dx[i], r);
      for (int e = 0; e < c->dx[i].width; e++) dx[e] = c->add[i] ? dx[e] + dy[e] : dy[e];
    }
    column += c->x[i].width;
  }
}

const struct mr__op MR_FAMILY(mr__op_concat) = {
    .name = "concat",
    .doc = "y = the inputs side by side",
    .inputs = {"x"},
    .variadic = 1,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .samples = {"3 4", "1", "2 5 1", "3r 2"},
};
