/* y[q] = sum, mean or maximum of x over the rows that belong to q: the samples of a request, the
 * behaviours of a sequence's owner, the pairs of a sample. Of no rows it is zero.
 * d sum: dx[s] = dy[q]; d mean: dx[s] = dy[q] / n; d max: dy[q] goes to the first s that has it. */
#include <string.h>

#include "graph/step.h"
#include "kernel/vec.h"

enum { SUM, MEAN, MAX };

static int shape(struct mr__shape *s) {
  s->width = s->widths[0];
  return MR_OK;
}

static void forward(const struct mr__call *c) {
  int kind = (int)mr__option_number(c->node, 0), n = c->y.width;
  for (int64_t r = 0; r < c->rows; r++) {
    struct mr__siblings rows = mr__children(c, mr__input_domain(c->node, 0), r);
    int64_t begin = rows.begin, end = rows.end;
    float *y = mr__row(&c->y, r);
    if (begin == end)
      memset(y, 0, (size_t)n * sizeof *y);
    else
      memcpy(y, mr__row(&c->x[0], begin), (size_t)n * sizeof *y);
    for (int64_t i = begin + 1; i < end; i++) {
      const float *x = mr__row(&c->x[0], i);
      if (kind == MAX)
        for (int e = 0; e < n; e++) y[e] = x[e] > y[e] ? x[e] : y[e];
      else
        mr__accumulate(y, x, n);
    }
    if (kind == MEAN && end - begin > 1)
      for (int e = 0; e < n; e++) y[e] *= 1.0f / (float)(end - begin);
  }
}

static void backward_max(const struct mr__call *c, int64_t row, int64_t begin, int64_t end) {
  const float *y = mr__row(&c->y, row), *dy = mr__row(&c->dy, row);
  for (int e = 0; e < c->dy.width; e++) {
    int taken = 0;
    for (int64_t i = begin; i < end; i++) {
      float *dx = mr__row(&c->dx[0], i) + e;
      int here = !taken && mr__row(&c->x[0], i)[e] == y[e];
      float g = here ? dy[e] : 0.0f;
      *dx = c->add[0] ? *dx + g : g;
      taken |= here;
    }
  }
}

static void backward(const struct mr__call *c) {
  int kind = (int)mr__option_number(c->node, 0), n = c->dy.width;
  for (int64_t r = 0; r < c->rows; r++) {
    struct mr__siblings rows = mr__children(c, mr__input_domain(c->node, 0), r);
    int64_t begin = rows.begin, end = rows.end;
    if (kind == MAX) {
      backward_max(c, r, begin, end);
      continue;
    }
    const float *dy = mr__row(&c->dy, r);
    float scale = kind == MEAN ? 1.0f / (float)(end - begin) : 1.0f;
    for (int64_t i = begin; i < end; i++) {
      float *dx = mr__row(&c->dx[0], i);
      for (int e = 0; e < n; e++) dx[e] = c->add[0] ? mr__fma(scale, dy[e], dx[e]) : scale * dy[e];
    }
  }
}

static const struct mr__option options[] = {
    {.name = "kind", .kind = MR__CHOICE, .preset = 1, .choices = "sum mean max",
     .doc = "how rows are pooled"},
    {0}};

const struct mr__op MR_FAMILY(mr__op_pool) = {
    .name = "pool",
    .doc = "y[q] = sum, mean or max of x over the rows that belong to q; of none, zero",
    .inputs = {"x"},
    .flags = MR__ROW_UP | MR__READS_X | MR__READS_Y,
    .options = options,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .samples = {"3 | kind=sum", "4 | kind=mean", "5 | kind=max", "3s | kind=sum", "4a",
                "5s | kind=max"},
};
