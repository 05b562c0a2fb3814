/* The options of `lookup`, in order: the graph reads them to lay out tables. */
#ifndef MR_OPS_LOOKUP_OPTIONS_H
#define MR_OPS_LOOKUP_OPTIONS_H

enum {
  MR__LOOKUP_COLUMN,
  MR__LOOKUP_DIM,
  MR__LOOKUP_PART,
  MR__LOOKUP_POOL,
  MR__LOOKUP_START,
  MR__LOOKUP_SCALE
};

enum { MR__POOL_SUM, MR__POOL_MEAN, MR__POOL_MAX }; /* choices of MR__LOOKUP_POOL */

/* What a value counts in its bag: its weight, of a mean by the sum of the sizes of all. */
static inline float mr__weight_share(float weight, const float *sum) {
  if (!sum) return weight;
  return *sum > 0 ? weight / *sum : 0;
}

#endif
