/* Over the rows of one parent (the behaviours of an owner, the pairs of a sample, the samples of a
 * request), per column: y_i = e^x_i / sum over j of e^x_j and
 * dx_i = y_i (dy_i - sum over j of dy_j y_j). Of no rows there is nothing to compute. */
#include "graph/step.h"
#include "kernel/vec.h"

static int shape(struct mr__shape *s) {
  s->width = s->widths[0];
  return MR_OK;
}

static int64_t parents(const struct mr__call *c) {
  return c->slice->rows[mr__parent_domain(c->node->schema, c->node->domain)];
}

/* The largest is subtracted, so that nothing overflows. */
static void forward(const struct mr__call *c) {
  for (int64_t p = 0; p < parents(c); p++) {
    struct mr__siblings rows = mr__children(c, c->node->domain, p);
    for (int e = 0; rows.begin < rows.end && e < c->y.width; e++) {
      float most = mr__row(&c->x[0], rows.begin)[e], sum = 0;
      for (int64_t r = rows.begin + 1; r < rows.end; r++) {
        float x = mr__row(&c->x[0], r)[e];
        most = x > most ? x : most;
      }
      for (int64_t r = rows.begin; r < rows.end; r++) {
        float y = mr__exp(mr__row(&c->x[0], r)[e] - most);
        mr__row(&c->y, r)[e] = y;
        sum += y;
      }
      for (int64_t r = rows.begin; r < rows.end; r++) mr__row(&c->y, r)[e] /= sum;
    }
  }
}

static void backward(const struct mr__call *c) {
  for (int64_t p = 0; p < parents(c); p++) {
    struct mr__siblings rows = mr__children(c, c->node->domain, p);
    for (int e = 0; e < c->dy.width; e++) {
      float mean = 0;
      for (int64_t r = rows.begin; r < rows.end; r++)
        mean = mr__fma(mr__row(&c->dy, r)[e], mr__row(&c->y, r)[e], mean);
      for (int64_t r = rows.begin; r < rows.end; r++) {
        float g = mr__row(&c->y, r)[e] * (mr__row(&c->dy, r)[e] - mean);
        float *dx = mr__row(&c->dx[0], r) + e;
        *dx = c->add[0] ? *dx + g : g;
      }
    }
  }
}

const struct mr__op MR_FAMILY(mr__op_softmax) = {
    .name = "softmax",
    .doc = "y = softmax of x over the rows of one parent, per column",
    .inputs = {"x"},
    .flags = MR__INPLACE | MR__READS_Y | MR__SIBLINGS,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .samples = {"3", "1s", "2a", "17s"},
};
