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
  s->saved = 2 * dim; /* sum_i x_i, sum_i x_i^2 */
  return MR_OK;
}

/* The sums of the columns d .. d + N - 1 of all vectors. */
#define SUM_VECTORS(N)                                                                            \
  static inline void sum_vectors_##N(int d, const float *x, int width, int dim, float *sums) {    \
    mr__vector##N sum = {0}, squares = {0};                                                       \
    for (int i = d; i < width; i += dim) {                                                        \
      mr__vector##N v = *(const mr__vector##N *)(x + i);                                          \
      sum += v;                                                                                   \
      squares += v * v;                                                                           \
    }                                                                                             \
    *(mr__vector##N *)(sums + d) = sum;                                                           \
    *(mr__vector##N *)(sums + dim + d) = squares;                                                 \
  }
SUM_VECTORS(1)
SUM_VECTORS(4)
SUM_VECTORS(8)
SUM_VECTORS(16)

/* What the columns d .. d + N - 1 give to y, at partial d % 16 whatever the vector width. */
#define SUM_PAIRS(N)                                                                              \
  static inline void sum_pairs_##N(int d, const float *sums, int dim, float *partials) {          \
    mr__vector##N sum = *(const mr__vector##N *)(sums + d);                                       \
    mr__vector##N squares = *(const mr__vector##N *)(sums + dim + d);                             \
    *(mr__vector##N *)(partials + d % MR__PARTIALS) += sum * sum - squares;                       \
  }
SUM_PAIRS(1)
SUM_PAIRS(4)
SUM_PAIRS(8)
SUM_PAIRS(16)

static void forward(const struct mr__call *c) {
  int dim = (int)mr__option_number(c->node, 0), width = c->x[0].width;
  for (int64_t r = 0; r < c->rows; r++) {
    float partials[MR__PARTIALS] = {0}, *sums = mr__row(&c->saved, r);
    if (c->x[0].p) MR__STRETCHES(sum_vectors, dim, mr__row(&c->x[0], r), width, dim, sums);
    MR__STRETCHES(sum_pairs, dim, sums, dim, partials);
    mr__row(&c->y, r)[0] = 0.5f * mr__add_partials(partials);
  }
}

#define SPREAD_PAIRS(N)                                                                           \
  static inline void spread_pairs_##N(int d, const struct mr__call *c, int64_t r, int dim) {      \
    const float *x = mr__row(&c->x[0], r);                                                        \
    float *dx = mr__row(&c->dx[0], r), g = *mr__row(&c->dy, r);                                   \
    mr__vector##N sum = *(mr__vector##N *)(mr__row(&c->saved, r) + d);                            \
    for (int i = d; i < c->x[0].width; i += dim) {                                                \
      mr__vector##N v = g * (sum - *(const mr__vector##N *)(x + i));                              \
      mr__vector##N *to = (mr__vector##N *)(dx + i);                                              \
      if (c->add[0]) v += *to;                                                                    \
      *to = v;                                                                                    \
    }                                                                                             \
  }
SPREAD_PAIRS(1)
SPREAD_PAIRS(4)
SPREAD_PAIRS(8)
SPREAD_PAIRS(16)

static void backward(const struct mr__call *c) {
  int dim = (int)mr__option_number(c->node, 0);
  for (int64_t r = 0; r < c->rows; r++) MR__STRETCHES(spread_pairs, dim, c, r, dim);
}

static const struct mr__option options[] = {{.name = "dim", .kind = MR__WHOLE, .preset = 16,
                                             .least = 1, .most = 4096, .required = 1,
                                             .doc = "floats of one vector"},
                                            {0}};

const struct mr__op MR_FAMILY(mr__op_fm_pairs) = {
    .name = "fm_pairs",
    .doc = "y = sum over i < j of <x_i, x_j>, x holding vectors of dim floats (Rendle 2010, eq. 1)",
    .inputs = {"x"},
    .flags = MR__READS_X | MR__PAIRS,
    .options = options,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .samples = {"6 | dim=2", "8 | dim=4", "51 | dim=17", "12 | dim=1"},
};
