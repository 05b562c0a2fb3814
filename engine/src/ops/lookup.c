/* y[r] = the embedding row of the id of r; of a bag, the sum or the mean over its ids. An empty
 * bag is the zero vector; an id that the table lacks reads its row "unknown".
 *
 * There is no backward here: the update of the table gathers, for each distinct key, the
 * gradients of y at its occurrences (run_update.c), d row = sum over occurrences of dy[r], for a
 * mean divided by the size of the bag. */
#include <string.h>

#include "graph/step.h"
#include "kernel/vec.h"
#include "ops/lookup_options.h"

static int shape(struct mr__shape *s) {
  const struct mr__column *column =
      &s->node->schema->columns[(int)mr__option_number(s->node, MR__LOOKUP_COLUMN)];
  if (column->type != MR_ID && column->type != MR_IDS)
    return mr__fail(MR_EINVAL, "column \"%s\" holds numbers, expected ids", column->name);
  s->width = (int)mr__option_number(s->node, MR__LOOKUP_DIM);
  return MR_OK;
}

static void bag(const struct mr__call *c, float *const *rows, int32_t begin, int32_t end,
                int offset, int mean, float *y) {
  int n = c->y.width;
  if (begin == end) {
    memset(y, 0, (size_t)n * sizeof *y);
    return;
  }
  memcpy(y, rows[begin] + offset, (size_t)n * sizeof *y);
  for (int32_t i = begin + 1; i < end; i++) mr__accumulate(y, rows[i] + offset, n);
  if (mean && end - begin > 1) {
    float scale = 1.0f / (float)(end - begin);
    for (int e = 0; e < n; e++) y[e] *= scale;
  }
}

static void forward(const struct mr__call *c) {
  const struct mr__lookup *lookup = &c->step->lookups[c->node->lookup];
  const int offset = c->step->part_offsets[c->node->lookup];
  float *const *rows = c->step->rows->columns[lookup->column].row;
  const int32_t *offsets = c->step->batch->columns[lookup->column].offsets;
  int width = c->y.width;
  for (int64_t r = 0; r < c->rows; r++) {
    float *y = mr__row(&c->y, r);
    int64_t at = c->first_row + r;
    if (offsets) {
      bag(c, rows, offsets[at], offsets[at + 1], offset, lookup->mean, y);
    } else {
      const float *from = rows[at] + offset;
      for (int e = 0; e < width; e++) y[e] = from[e];
    }
  }
}

static const struct mr__option options[] = {
    {.name = "column", .kind = MR__COLUMN, .required = 1, .doc = "id or ids column"},
    {.name = "dim", .kind = MR__WHOLE, .preset = 16, .least = 1, .most = 4096, .required = 1,
     .doc = "floats per key"},
    {.name = "part", .kind = MR__NAME, .choices = "embedding",
     .doc = "which vector of the key; lookups of one part share it"},
    {.name = "pool", .kind = MR__CHOICE, .preset = 1, .choices = "sum mean",
     .doc = "how a bag becomes one vector"},
    {.name = "start", .kind = MR__CHOICE, .preset = 1, .choices = "zero normal uniform",
     .doc = "distribution of new rows"},
    {.name = "scale", .kind = MR__REAL, .preset = 0.01, .least = 0, .most = 1e3,
     .doc = "standard deviation (normal) or half width (uniform) of new rows"},
    {0}};

const struct mr__op MR_FAMILY(mr__op_lookup) = {
    .name = "lookup",
    .doc = "y[r] = row of the id of r; of a bag, the sum or mean over its ids",
    .flags = MR__LEAF,
    .options = options,
    .shape = shape,
    .forward = forward,
};
