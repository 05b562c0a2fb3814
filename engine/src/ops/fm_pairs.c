/* The second order of a factorization machine (Rendle 2010, eq. 1 and lemma 3.1): x holds n
 * vectors of `dim` floats side by side,
 *   y = sum over i < j of <x_i, x_j> = 1/2 sum over d of ((sum_i x_id)^2 - sum_i x_id^2),
 *   dx_id = dy (sum_j x_jd - x_id). */
#include "graph/op.h"
#include "kernel/vec.h"

static int shape(struct mr__shape *s) {
  int dim = (int)mr__option_number(s->node, 0);
  if (s->widths[0] % dim != 0)
    return mr__fail(MR_ESHAPE, "x is %d wide, which is not a multiple of dim %d", s->widths[0],
                    dim);
  s->width = 1;
  s->saved = dim;
  return MR_OK;
}

static void forward(const struct mr__call *c) {
  int dim = (int)mr__option_number(c->node, 0), width = c->x[0].width;
  for (int64_t r = 0; r < c->rows; r++) {
    const float *x = mr__row(&c->x[0], r);
    float *sum = mr__row(&c->saved, r);
    float squares[MR__PARTIALS] = {0};
    for (int d = 0; d < dim; d++) sum[d] = 0.0f;
    for (int i = 0; i < width; i += dim) mr__accumulate(sum, x + i, dim);
    /* Partial d % 16 of sum_d (sum_d^2 - sum_i x_id^2): fixed whatever the vector width. */
    for (int d = 0; d < dim; d++) {
      float *s = &squares[d % MR__PARTIALS];
      *s = mr__fma(sum[d], sum[d], *s);
    }
    for (int i = 0; i < width; i += dim)
      for (int d = 0; d < dim; d++) {
        float *s = &squares[d % MR__PARTIALS];
        *s = mr__fma(-x[i + d], x[i + d], *s);
      }
    mr__row(&c->y, r)[0] = 0.5f * mr__add_partials(squares);
  }
}

static void backward(const struct mr__call *c) {
  int dim = (int)mr__option_number(c->node, 0), width = c->x[0].width;
  for (int64_t r = 0; r < c->rows; r++) {
    const float *x = mr__row(&c->x[0], r), *sum = mr__row(&c->saved, r);
    float *dx = mr__row(&c->dx[0], r);
    float g = mr__row(&c->dy, r)[0];
    for (int i = 0; i < width; i += dim)
      for (int d = 0; d < dim; d++) {
        float v = g * (sum[d] - x[i + d]);
        dx[i + d] = c->add[0] ? dx[i + d] + v : v;
      }
  }
}

static const struct mr__option options[] = {{.name = "dim", .kind = MR__WHOLE, .preset = 16,
                                             .least = 1, .most = 4096, .required = 1,
                                             .doc = "floats of one vector"},
                                            {0}};

const struct mr__op MR_FAMILY(mr__op_fm_pairs) = {
    .name = "fm_pairs",
    .doc = "y = sum over i < j of <x_i, x_j>, x holding vectors of dim floats (Rendle 2010, eq. 1)",
    .inputs = {"x"},
    .flags = MR__READS_X,
    .options = options,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .samples = {"6 | dim=2", "8 | dim=4", "51 | dim=17", "12 | dim=1"},
};
