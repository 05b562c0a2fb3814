/* y = the number of behaviours that a row of a sequence's owner has, n or ln(1 + n). */
#include <math.h>

#include "graph/step.h"

static int shape(struct mr__shape *s) {
  const struct mr__column *column = &s->node->schema->columns[(int)mr__option_number(s->node, 0)];
  if (column->sequence < 0)
    return mr__fail(MR_EINVAL, "column \"%s\" is not of a sequence", column->name);
  s->width = 1;
  return MR_OK;
}

static void forward(const struct mr__call *c) {
  const mr_batch *batch = c->step->batch;
  int s = batch->schema->columns[(int)mr__option_number(c->node, 0)].sequence;
  const int32_t *first = batch->sequences[s].first + c->first_row;
  int logarithm = (int)mr__option_number(c->node, 1) == 1;
  for (int64_t r = 0; r < c->rows; r++) {
    double n = first[r + 1] - first[r];
    mr__row(&c->y, r)[0] = (float)(logarithm ? log1p(n) : n);
  }
}

static const struct mr__option options[] = {
    {.name = "column", .kind = MR__COLUMN, .required = 1, .doc = "any column of the sequence"},
    {.name = "transform", .kind = MR__CHOICE, .preset = 0, .choices = "none log1p",
     .doc = "of the number"},
    {0}};

const struct mr__op MR_FAMILY(mr__op_length) = {
    .name = "length",
    .doc = "y = how many behaviours the row has in the sequence of a column",
    .flags = MR__LEAF | MR__ROW_UP,
    .options = options,
    .shape = shape,
    .forward = forward,
};
