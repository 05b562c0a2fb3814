/* y = the floats of a column: a number, a label or a vector.
 * Its gradient goes nowhere, unless somebody watches the node. */
#include "graph/step.h"

static int shape(struct mr__shape *s) {
  const struct mr__column *column = &s->node->schema->columns[(int)mr__option_number(s->node, 0)];
  if (column->type != MR_NUMBER && column->type != MR_LABEL && column->type != MR_VECTOR)
    return mr__fail(MR_EINVAL, "column \"%s\" holds keys, expected numbers", column->name);
  s->width = column->type == MR_VECTOR ? column->width : 1;
  return MR_OK;
}

static void forward(const struct mr__call *c) {
  const float *from = c->step->batch->columns[(int)mr__option_number(c->node, 0)].floats;
  for (int64_t r = 0; r < c->rows; r++)
    for (int e = 0; e < c->y.width; e++)
      mr__row(&c->y, r)[e] = from[(c->first_row + r) * c->y.width + e];
}

static const struct mr__option options[] = {
    {.name = "column", .kind = MR__COLUMN, .required = 1, .doc = "number, label or vector column"},
    {0}};

const struct mr__op MR_FAMILY(mr__op_column) = {
    .name = "column",
    .doc = "y = the floats of a column",
    .flags = MR__LEAF,
    .options = options,
    .shape = shape,
    .forward = forward,
};
