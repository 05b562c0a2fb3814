/* What the ops may know of the step that they run in. */
#ifndef MR_GRAPH_STEP_H
#define MR_GRAPH_STEP_H

#include "data/batch.h"
#include "graph/graph.h"
#include "table/touched.h"

/* A part of the batch: of each domain, the rows from first on. */
struct mr__slice {
  int64_t first[MR__MOST_DOMAINS], rows[MR__MOST_DOMAINS];
  int opens_lane;    /* it is its lane's first */
  int opens, closes; /* the requests that its samples are of: a request of several slices is opened
                        by the first and closed by the last of them */
  int opens_shared;  /* those requests are their lane's first */
};

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
  const mr_batch *batch = step->batch;
  if (!mr__is_shared(batch->schema, domain)) return 1;
  if (domain != MR_REQUEST) row = batch->sequences[mr__sequence_of(domain)].owner_of[row];
  return batch->first_sample[row + 1] - batch->first_sample[row];
}

/* How often a row counts in the loss: the weight of its sample. */
static inline float mr__loss_weight(const struct mr__call *c, int64_t r) {
  const mr_batch *batch = c->step->batch;
  int weight = batch->schema->weight;
  if (weight < 0 || c->node->domain != MR_SAMPLE) return 1;
  return batch->columns[weight].floats[c->first_row + r];
}

/* Where the rows of a domain begin that belong to a row of its parent domain. */
static inline int64_t mr__first_child(const mr_batch *batch, int domain, int64_t parent) {
  if (domain == MR_SAMPLE) return batch->first_sample[parent];
  const struct mr__batch_sequence *sequence = &batch->sequences[mr__sequence_of(domain)];
  return mr__is_pairs(domain) ? sequence->first_pair[parent] : sequence->first[parent];
}

/* Rows of a domain, counted from the slice's first one. */
struct mr__siblings {
  int64_t begin, end;
};

/* Those that belong to the row `r` of the slice in the domain above, as far as the slice has
 * them. */
static inline struct mr__siblings mr__children(const struct mr__call *c, int domain, int64_t r) {
  const mr_batch *batch = c->step->batch;
  int above = mr__parent_domain(batch->schema, domain);
  int64_t row = c->slice->first[above] + r, first = c->slice->first[domain];
  int64_t begin = mr__first_child(batch, domain, row) - first;
  int64_t end = mr__first_child(batch, domain, row + 1) - first;
  int64_t most = c->slice->rows[domain];
  return (struct mr__siblings){begin < 0 ? 0 : begin, end > most ? most : end};
}

/* The row of the slice in the sequence's domain that is the first of the pairs of sample `r`. */
static inline int64_t mr__first_behaviour(const struct mr__call *c, int pairs, int64_t r) {
  const mr_batch *batch = c->step->batch;
  int s = mr__sequence_of(pairs);
  int32_t request = batch->request_of[c->slice->first[MR_SAMPLE] + r];
  return batch->sequences[s].first[request] - c->slice->first[mr__rows_domain(s)];
}

/* Whether the rows of `domain` that belong to row `r` of the slice in the domain above are the only
 * ones that meet their behaviours: then who makes a gradient of these can leave it to the next
 * one. */
static inline int mr__leaves_dx(const struct mr__call *c, int domain, int64_t r) {
  const mr_batch *batch = c->step->batch;
  if (!mr__is_pairs(domain)) return 1;
  int32_t request = batch->request_of[c->slice->first[MR_SAMPLE] + r];
  return batch->first_sample[request + 1] - batch->first_sample[request] == 1;
}

#endif
