/* y = the sum of the vectors of `dim` floats that x holds side by side, [rows, dim]; of all columns
 * where dim is 1. dx = dy in every vector. */
#include "graph/op.h"
#include "kernel/vec.h"

static int shape(struct mr__shape *s) {
  int dim = (int)mr__option_number(s->node, 0);
  if (s->widths[0] % dim != 0)
    return mr__fail(MR_ESHAPE, "x is %d wide, which is not a multiple of dim %d", s->widths[0],
                    dim);
  s->width = dim;
  return MR_OK;
}

static void forward(const struct mr__call *c) {
  int dim = c->y.width, width = c->x[0].width;
  for (int64_t r = 0; r < c->rows; r++) {
    const float *x = mr__row(&c->x[0], r);
    float *y = mr__row(&c->y, r);
    if (dim == 1) {
      y[0] = mr__sum(x, width);
      continue;
    }
    for (int d = 0; d < dim; d++) y[d] = x[d];
    for (int e = dim; e < width; e += dim) mr__accumulate(y, x + e, dim);
  }
}

static void backward(const struct mr__call *c) {
  int dim = c->dy.width;
  for (int64_t r = 0; r < c->rows; r++) {
    const float *dy = mr__row(&c->dy, r);
    float *dx = mr__row(&c->dx[0], r);
    for (int e = 0; e < c->dx[0].width; e += dim)
      for (int d = 0; d < dim; d++) dx[e + d] = c->add[0] ? dx[e + d] + dy[d] : dy[d];
  }
}

static const struct mr__option options[] = {{.name = "dim",
                                             .kind = MR__WHOLE,
                                             .preset = 1,
                                             .least = 1,
                                             .most = 4096,
                                             .doc = "floats of one vector"},
                                            {0}};

const struct mr__op MR_FAMILY(mr__op_sum) = {
    .name = "sum",
    .doc = "y = the sum of the vectors of dim floats in x; of all its columns where dim is 1",
    .inputs = {"x"},
    .flags = MR__ADDS_UP,
    .options = options,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .samples = {"3", "1", "39", "6 | dim=2", "51 | dim=17", "20 | dim=20"},
};
