/* What the ops may know of the step that they run in. */
#ifndef MR_GRAPH_STEP_H
#define MR_GRAPH_STEP_H

#include "data/batch.h"
#include "graph/graph.h"
#include "table/touched.h"

struct mr__step {
  const mr_batch *batch;
  const struct mr__touched *rows;
  const int *part_offsets; /* [lookups]: where a lookup's part lies in its table's rows */
  const struct mr__lookup *lookups;
  int train;
  uint64_t seed;
  int64_t number;        /* of the step, from 1 */
  float inverse_samples; /* the loss is a mean over the batch */
};

/* How many samples a row of the domain stands for: the weight of its statistics. */
static inline int32_t mr__row_weight(const struct mr__step *step, int domain, int64_t row) {
  if (domain == MR_SAMPLE) return 1;
  return step->batch->first_sample[row + 1] - step->batch->first_sample[row];
}

#endif
