/* An objective for gradient checks: loss = sum of x r over all elements, so the gradient that
 * reaches x is r, over the number of samples as for every objective. */
#include "graph/step.h"
#include "kernel/vec.h"

static int shape(struct mr__shape *s) {
  if (s->widths[0] != s->widths[1])
    return mr__fail(MR_ESHAPE, "r is %d wide, x is %d wide", s->widths[1], s->widths[0]);
  return MR_OK;
}

static void forward(const struct mr__call *c) {
  double loss = 0;
  for (int64_t r = 0; r < c->rows; r++)
    for (int e = 0; e < c->x[0].width; e++)
      loss += (double)mr__row(&c->x[0], r)[e] * (double)mr__row(&c->x[1], r)[e];
  *c->loss += loss;
}

static void backward(const struct mr__call *c) {
  for (int64_t r = 0; c->dx[0].p && r < c->rows; r++)
    for (int e = 0; e < c->x[0].width; e++) {
      float g = mr__row(&c->x[1], r)[e] * c->step->inverse_samples;
      float *dx = &mr__row(&c->dx[0], r)[e];
      *dx = c->add[0] ? *dx + g : g;
    }
}

const struct mr__op MR_FAMILY(mr__op_probe) = {
    .name = "probe",
    .doc = "objective of gradient checks: the sum of x * r",
    .inputs = {"x", "r"},
    .flags = MR__OBJECTIVE | MR__READS_X,
    .shape = shape,
    .forward = forward,
    .backward = backward,
};
