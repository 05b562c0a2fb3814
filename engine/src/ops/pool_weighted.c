/* y[q] = sum of w[s] x[s] over the rows s that belong to q; of none it is zero.
 * dx[s] = w[s] dy[q], dw[s] = <x[s], dy[q]>. Where the weights are of pairs, x may be of the
 * sequence: then it is read there, and not copied for each pair. */
#include "graph/step.h"
#include "kernel/kernel.h"
#include "kernel/vec.h"

enum { X, WEIGHT };

static int shape(struct mr__shape *s) {
  if (s->widths[WEIGHT] != 1)
    return mr__fail(MR_ESHAPE, "weight is %d wide, expected 1", s->widths[WEIGHT]);
  s->width = s->widths[X];
  return MR_OK;
}

/* How far the row of x is before that of its weight. */
static int64_t shift(const struct mr__call *c, int64_t r, struct mr__siblings rows) {
  int below = mr__input_domain(c->node, WEIGHT);
  return mr__input_domain(c->node, X) == below ? 0 : mr__first_behaviour(c, below, r) - rows.begin;
}

static void forward(const struct mr__call *c) {
  const struct mr__matrix *x = &c->x[X], *weight = &c->x[WEIGHT];
  for (int64_t r = 0; r < c->rows; r++) {
    struct mr__siblings rows = mr__children(c, mr__input_domain(c->node, WEIGHT), r);
    MR_FAMILY(mr__weighted_sum)
    (&(struct mr__weighted_call){.x = mr__row(x, rows.begin + shift(c, r, rows)),
                                 .ldx = x->ld,
                                 .rows = rows.end - rows.begin,
                                 .width = x->width,
                                 .weights = mr__row(weight, rows.begin),
                                 .ld_weights = weight->ld,
                                 .y = mr__row(&c->y, r)});
  }
}

static void backward_weight(const struct mr__call *c, int64_t r, struct mr__siblings rows) {
  const struct mr__matrix *x = &c->x[X], *dw = &c->dx[WEIGHT];
  const float *dy = mr__row(&c->dy, r);
  const int64_t first = rows.begin + shift(c, r, rows);
  if (!c->add[WEIGHT]) {
    MR_FAMILY(mr__one_forward)
    (&(struct mr__one_call){.x = mr__row(x, first),
                            .ldx = x->ld,
                            .rows = rows.end - rows.begin,
                            .inputs = x->width,
                            .weights = dy,
                            .y = mr__row(dw, rows.begin),
                            .ldy = dw->ld});
    return;
  }
  for (int64_t i = rows.begin; i < rows.end; i++)
    mr__row(dw, i)[0] += mr__dot(dy, mr__row(x, first + i - rows.begin), x->width);
}

static void weigh(float *restrict y, float w, const float *restrict x, int n) {
  for (int e = 0; e < n; e++) y[e] = w * x[e];
}

static void backward(const struct mr__call *c) {
  int64_t last = -1; /* where the x of the request before begins, whose dx is begun */
  for (int64_t r = 0; r < c->rows; r++) {
    struct mr__siblings rows = mr__children(c, mr__input_domain(c->node, WEIGHT), r);
    if (rows.begin == rows.end) continue;
    if (c->dx[WEIGHT].p) backward_weight(c, r, rows);
    if (!c->dx[X].p || (c->gives && mr__leaves_dx(c, mr__input_domain(c->node, WEIGHT), r)))
      continue;
    const float *dy = mr__row(&c->dy, r);
    int64_t x = shift(c, r, rows);
    int begins = !c->add[X] && x + rows.begin != last;
    last = x + rows.begin;
    for (int64_t i = rows.begin; i < rows.end; i++) {
      float *dx = mr__row(&c->dx[X], x + i), w = mr__row(&c->x[WEIGHT], i)[0];
      if (begins)
        weigh(dx, w, dy, c->dy.width);
      else
        mr__axpy(dx, w, dy, c->dy.width);
    }
  }
}

const struct mr__op MR_FAMILY(mr__op_pool_weighted) = {
    .name = "pool_weighted",
    .doc = "y[q] = sum of weight[s] x[s] over the rows s that belong to q; of none, zero",
    .inputs = {"x", "weight"},
    .flags = MR__ROW_UP | MR__READS_X | MR__GIVES_DX,
    .reach = {MR__OF_SEQUENCE, MR__MEETING},
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .samples = {"3 1", "2s 1s", "3s 1", "17a 1a", "3 1s"},
};
