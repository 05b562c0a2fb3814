/* How much of a dataset a batch has at most: by the places of the records alone, which is little to
 * read. In whatever order its requests come, that is all of the longest. Where the order is drawn
 * at random, sums of n requests stay near n times their mean (Bernstein's inequality, which holds
 * for draws without replacement: Hoeffding 1963, theorem 4): of 10^11 batches one has more, once in
 * a billion times. */
#ifndef MR_DATA_LARGEST_H
#define MR_DATA_LARGEST_H

#include "data/store.h"

/* Whether a loader draws the order of all requests, rather than taking them as they lie or by
 * blocks of neighbours. */
int mr__loader_draws(const mr_dataset *dataset, const mr_loader_options *options);

struct mr__largest {
  int64_t rows[MR_DOMAINS];    /* of a batch */
  int64_t bytes[MR_DOMAINS];   /* of the values of its bags and sequences */
  int64_t longest[MR_DOMAINS]; /* the same of one record */
  int64_t pair_bytes;          /* those of each sample's request, summed over the samples */
  int64_t samples;             /* of one request */
};

/* batch: samples; is_drawn: their requests are, at random. */
void mr__dataset_largest(const mr_dataset *dataset, int64_t batch, int is_drawn,
                         struct mr__largest *out);

#endif
