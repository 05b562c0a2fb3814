/* What the ops of dense layers share: their options and weights, and the parts of a layer that is a
 * chain of nodes (graph/split.h). */
#ifndef MR_OPS_DENSE_PART_H
#define MR_OPS_DENSE_PART_H

#include "graph/step.h"
#include "kernel/kernel.h"
#include "kernel/vec.h"
#include "ops/weight_rows.h"

enum { MR__DENSE_OUT, MR__DENSE_START, MR__DENSE_SCALE, MR__DENSE_OFFSET, MR__DENSE_OPTIONS };

/* clang-format off */
#define MR__DENSE_OPTION_LIST                                                                     \
  {.name = "out", .kind = MR__WHOLE, .preset = 1, .least = 1, .most = 1 << 16, .required = 1,     \
   .doc = "width of the output"},                                                                 \
  {.name = "start", .kind = MR__CHOICE, .preset = 0, .choices = "glorot normal",                  \
   .doc = "distribution of the weights at the start"},                                            \
  {.name = "scale", .kind = MR__REAL, .preset = 0.01, .least = 0, .most = 1e3,                    \
   .doc = "standard deviation of a normal start"},                                                \
  {.name = "offset", .kind = MR__REAL, .preset = 0, .least = -1e6, .most = 1e6,                   \
   .doc = "start value of the bias"}
/* clang-format on */

/* The weight of `inputs` rows and the bias. */
static inline void mr__dense_params(struct mr__shape *s, int inputs) {
  int out = (int)mr__option_number(s->node, MR__DENSE_OUT);
  int normal = (int)mr__option_number(s->node, MR__DENSE_START) == 1;
  s->n_params = 2;
  s->params[0] =
      (struct mr__param_spec){.name = "weight",
                              .rows = inputs,
                              .columns = out,
                              .trained = 1,
                              .decays = 1,
                              .start = normal ? MR__PARAM_NORMAL : MR__PARAM_GLOROT,
                              .scale = (float)mr__option_number(s->node, MR__DENSE_SCALE)};
  s->params[1] =
      (struct mr__param_spec){.name = "bias",
                              .rows = 1,
                              .columns = out,
                              .trained = 1,
                              .start = MR__PARAM_CONSTANT,
                              .scale = (float)mr__option_number(s->node, MR__DENSE_OFFSET)};
}

/* Have the product write y from a row on, through the activation that is left to it. */
static inline void mr__dense_y(const struct mr__call *c, int64_t row, struct mr__dense_call *call) {
  call->relu = c->relu;
  call->slopes = c->behind.slopes;
  call->plain = NULL;
  call->y = mr__row(&c->y, row);
  call->ldy = c->y.ld;
  if (!c->behind.slopes || c->behind.y.p == c->y.p) return;
  call->plain = call->y;
  call->ld_plain = call->ldy;
  call->y = mr__row(&c->behind.y, row);
  call->ldy = c->behind.y.ld;
}

/* y = x W + b of the only input, W packed. */
static inline void mr__dense_forward_x(const struct mr__call *c) {
  struct mr__dense_call call = {.x = c->x[0].p,
                                .ldx = c->x[0].ld,
                                .rows = c->rows,
                                .inputs = c->x[0].width,
                                .outputs = c->y.width,
                                .packed = c->packed,
                                .start = c->param[1]};
  mr__dense_y(c, 0, &call);
  MR_FAMILY(mr__dense_forward)(&call);
}

/* dx = dy W^T of so many rows, W packed transposed, from `first` on of dy and `to` on of the
 * input's. It reads x beside, or what x was before a prelu, for its sign (`mask`), or only so that
 * the weights' gradient finds it near. */
static inline void mr__dense_backward_x(const struct mr__call *c, int input, int64_t first,
                                        int64_t rows, int64_t to, int add) {
  const struct mr__matrix *x = c->before.slopes ? &c->before.x : &c->x[input], *dx = &c->dx[input];
  if (!dx->p) return;
  const struct mr__dense_call call = {.x = mr__row(&c->dy, first),
                                      .ldx = c->dy.ld,
                                      .rows = rows,
                                      .inputs = c->dy.width,
                                      .outputs = x->width,
                                      .packed = c->packed_back,
                                      .start = add ? mr__row(dx, to) : NULL,
                                      .ld_start = dx->ld,
                                      .y = mr__row(dx, to),
                                      .ldy = dx->ld,
                                      .mask = c->mask,
                                      .slopes = c->before.slopes,
                                      .dslopes = c->before.dslopes,
                                      .beside = mr__row(x, to),
                                      .ld_beside = x->ld};
  MR_FAMILY(mr__dense_forward)(&call);
}

/* ---- links of a chain: y = start + x W, start of the row above or of the row itself ---- */

enum { MR__LINK_START, MR__LINK_X, MR__LINK_Q };

static inline int mr__link_shape(struct mr__shape *s, int rows_option, int product) {
  s->width = s->lent[0].columns;
  if (s->widths[MR__LINK_START] != s->width)
    return mr__fail(MR_ESHAPE, "start is %d wide, the weight %d", s->widths[MR__LINK_START],
                    s->width);
  int forms = product ? 2 : 1, inputs = s->widths[MR__LINK_X];
  s->packed = (size_t)forms * mr__packed_size(inputs, s->width);
  s->packed_back = (size_t)forms * mr__packed_size(s->width, inputs);
  return mr__check_rows(mr__option_text(s->node, rows_option), inputs, s->lent[0].rows, product);
}

/* Whether the rows of y read one row of start together. */
static inline int mr__starts_above(const struct mr__call *c) {
  return mr__input_domain(c->node, MR__LINK_START) != c->node->domain;
}

/* The rows of y that belong to a row of the domain above, and those of x that they read. */
struct mr__link {
  int64_t begin, rows, x;
};

static inline struct mr__link mr__link_of(const struct mr__call *c, int64_t above) {
  int domain = c->node->domain;
  struct mr__siblings s = mr__children(c, domain, above);
  int own = mr__input_domain(c->node, MR__LINK_X) == domain;
  return (struct mr__link){s.begin, s.end - s.begin,
                           own ? s.begin : mr__first_behaviour(c, domain, above)};
}

static inline int64_t mr__rows_above(const struct mr__call *c) {
  return c->slice->rows[mr__parent_domain(c->node->schema, c->node->domain)];
}

/* The gradient of start: that of y, or its sum over the rows that read it, in order. */
static inline void mr__link_backward_start(const struct mr__call *c) {
  const struct mr__matrix *dx = &c->dx[MR__LINK_START];
  int add = c->add[MR__LINK_START], width = c->dy.width;
  if (!dx->p) return;
  int above = mr__starts_above(c);
  int64_t n = above ? mr__rows_above(c) : c->rows;
  for (int64_t r = 0; r < n; r++) {
    struct mr__siblings rows = {r, r + 1};
    if (above) rows = mr__children(c, c->node->domain, r);
    float *to = mr__row(dx, r);
    if (!add) memset(to, 0, (size_t)width * sizeof *to);
    for (int64_t i = rows.begin; i < rows.end; i++) mr__accumulate(to, mr__row(&c->dy, i), width);
  }
}

/* dW of some rows: x is as wide as the rows that the text names. */
static inline void mr__part_weights(const struct mr__call *c, const char *text, const float *x,
                                    int ldx, int64_t first, int64_t rows, float *db) {
  struct mr__weight_rows run;
  struct mr__weight_call call = {.ldx = ldx,
                                 .dy = mr__row(&c->dy, first),
                                 .lddy = c->dy.ld,
                                 .rows = rows,
                                 .outputs = c->dy.width,
                                 .lddw = c->dy.width,
                                 .add = 1};
  for (; mr__next_rows(&text, &run) == 1; x += run.count, db = NULL) {
    call.x = x;
    call.inputs = run.count;
    call.dw = c->dparam[0] + (size_t)run.first * (size_t)c->dy.width;
    call.db = db;
    MR_FAMILY(mr__dense_weights)(&call);
  }
}

#endif
