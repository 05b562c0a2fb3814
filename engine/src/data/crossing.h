/* The combinations of a cross whose parts may have several values: each value of a part with each
 * of the others, in the order in which their columns are named, the last one's changing first. Text
 * and values that a program gives go through the same steps. */
#ifndef MR_DATA_CROSSING_H
#define MR_DATA_CROSSING_H

#include <stddef.h>

#include "data/schema.h"

struct mr__crossing {
  /* Of each part, a row's keys; the weights beside them where the part has such, else NULL. */
  const uint64_t *keys[MR__MOST_PARTS];
  const float *weights[MR__MOST_PARTS];
  size_t n[MR__MOST_PARTS];
  size_t at[MR__MOST_PARTS]; /* of the combination in hand */
  int begun;
};

/* The next combination, 0 at the end; there is none where a part has no value. */
static inline int mr__crossing_next(const struct mr__column *cross, struct mr__crossing *crossing,
                                    uint64_t *key, float *weight) {
  uint64_t keys[MR__MOST_PARTS];
  int k = cross->n_parts - 1;
  if (crossing->begun)
    while (k >= 0 && ++crossing->at[k] == crossing->n[k]) crossing->at[k--] = 0;
  if (k < 0) return 0;
  crossing->begun = 1;
  *weight = 1;
  for (int i = 0; i < cross->n_parts; i++) {
    if (crossing->n[i] == 0) return 0;
    keys[i] = crossing->keys[i][crossing->at[i]];
    if (crossing->weights[i]) *weight = crossing->weights[i][crossing->at[i]];
  }
  *key = mr__cross_key(cross, keys);
  return 1;
}

#endif
