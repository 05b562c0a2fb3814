/* How much of a dataset a batch has at most, in whatever order its rows come: by the places of the
 * records alone, which is little to read. */
#ifndef MR_DATA_LARGEST_H
#define MR_DATA_LARGEST_H

#include "data/store.h"

struct mr__largest {
  int64_t rows[MR_DOMAINS];    /* of a batch */
  int64_t bytes[MR_DOMAINS];   /* of the values of its bags and sequences */
  int64_t longest[MR_DOMAINS]; /* the same of one record */
  int64_t pair_bytes;          /* those of each sample's request, summed over the samples */
  int64_t samples;             /* of one request */
};

/* batch: samples. */
void mr__dataset_largest(const mr_dataset *dataset, int64_t batch, struct mr__largest *out);

#endif
