/* y[r] = x[the row that r belongs to]; dx = sum of dy over the rows that belong to it, in order.
 * Samples see the values of their request, behaviours those of their owner, and pairs those of
 * their sample and of their behaviour. */
#include <string.h>

#include "graph/step.h"
#include "kernel/vec.h"

static int shape(struct mr__shape *s) {
  s->width = s->widths[0];
  return MR_OK;
}

static void copy(float *to, const float *from, int n) {
  for (int e = 0; e < n; e++) to[e] = from[e];
}

/* Pairs read the behaviours of their request once for each of its samples. */
static int reads_sequence(const struct mr__call *c) {
  return mr__is_pairs(c->node->domain) && mr__input_domain(c->node, 0) != MR_SAMPLE;
}

static void forward(const struct mr__call *c) {
  int domain = c->node->domain, width = c->y.width;
  int64_t parents = c->slice->rows[mr__parent_domain(c->node->schema, domain)];
  int tiles = reads_sequence(c);
  for (int64_t p = 0; p < parents; p++) {
    struct mr__siblings rows = mr__children(c, domain, p);
    int64_t from = tiles ? mr__first_behaviour(c, domain, p) - rows.begin : 0;
    for (int64_t r = rows.begin; r < rows.end; r++)
      copy(mr__row(&c->y, r), mr__row(&c->x[0], tiles ? from + r : p), width);
  }
}

/* The behaviours of a request get their gradient from its first sample on. */
static void backward_sequence(const struct mr__call *c) {
  int domain = c->node->domain, width = c->dy.width;
  int64_t last = -1;
  for (int64_t p = 0; p < c->slice->rows[MR_SAMPLE]; p++) {
    struct mr__siblings rows = mr__children(c, domain, p);
    int64_t to = mr__first_behaviour(c, domain, p), n = rows.end - rows.begin;
    int begins = !c->add[0] && to != last;
    for (int64_t i = 0; i < n; i++) {
      float *dx = mr__row(&c->dx[0], to + i);
      const float *dy = mr__row(&c->dy, rows.begin + i);
      if (begins)
        copy(dx, dy, width);
      else
        mr__accumulate(dx, dy, width);
    }
    if (n > 0) last = to;
  }
}

static void backward(const struct mr__call *c) {
  int domain = c->node->domain, width = c->dy.width;
  int64_t parents = c->slice->rows[mr__parent_domain(c->node->schema, domain)];
  if (reads_sequence(c)) {
    backward_sequence(c);
    return;
  }
  for (int64_t p = 0; p < parents; p++) {
    struct mr__siblings rows = mr__children(c, domain, p);
    float *dx = mr__row(&c->dx[0], p);
    if (!c->add[0] && rows.begin == rows.end) memset(dx, 0, (size_t)width * sizeof *dx);
    for (int64_t r = rows.begin; r < rows.end; r++)
      if (r == rows.begin && !c->add[0])
        copy(dx, mr__row(&c->dy, r), width);
      else
        mr__accumulate(dx, mr__row(&c->dy, r), width);
  }
}

static const struct mr__option options[] = {
    {.name = "to", .kind = MR__WHOLE, .preset = MR_SAMPLE, .least = MR_SAMPLE,
     .most = MR__MOST_DOMAINS - 1, .doc = "the domain of the output"},
    {0}};

const struct mr__op MR_FAMILY(mr__op_broadcast) = {
    .name = "broadcast",
    .doc =
        "y[r] = x[the row that r belongs to]; inserted where an op reads the value of an ancestor",
    .inputs = {"x"},
    .flags = MR__ROW_DOWN | MR__INTERNAL,
    .options = options,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .samples = {"3r", "1r", "17r", "3r | meets=click", "3s", "2 | meets=click"},
};
