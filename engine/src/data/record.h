/* How a row lies in memory and in the cache: one record per row and domain.
 *
 *   keys 8 bytes each | codes 4 each | floats 4 each | counts of bags 4 each | codes of bags 4 each
 *   `----------------------------- fixed bytes ----------------------------'
 *
 * The keys are MR_GROUP columns, the codes MR_ID (data/dictionary.h: each stands for a key), the
 * floats MR_NUMBER and MR_LABEL, the bags MR_IDS, each in the order of the schema. MR_REQUEST_KEY
 * and MR_VECTOR are not stored. Records are aligned to 4 bytes, so are the keys.
 *
 * Why rows and not columns: batches are gathered in shuffled order, and a row kept together costs
 * a handful of neighbouring cache lines (or one page, when the data is larger than memory) where
 * 39 columns cost 39 misses. Measured, 4 M rows of 39 keys in random order with prefetching: 5.5 M
 * rows/s from columns, 23 M from rows. What is read column by column (labels, numbers, groups) is
 * kept as columns besides. */
#ifndef MR_DATA_RECORD_H
#define MR_DATA_RECORD_H

#include "data/schema.h"

struct mr__record {
  int n_keys, n_codes, n_floats, n_bags;
  int *keys, *codes, *floats, *bags;            /* their columns */
  size_t codes_at, floats_at, counts_at, fixed; /* bytes; `fixed` 0: nothing is stored */
};

struct mr__layout {
  mr_schema *schema; /* holds a reference */
  struct mr__record records[MR_DOMAINS];
  size_t *at;  /* [columns] place of its key, code, float or count in its record */
  int *bag;    /* [columns] index among the bags of its domain, or -1 */
  int n_views; /* columns kept besides: sample-side numbers, labels and groups */
  int *views;
  int *view_of; /* [columns] index into views, or -1 */
};

int mr__layout_new(struct mr__layout **out, const mr_schema *schema);
void mr__layout_free(struct mr__layout *layout);

/* Bytes of one element of a view: 8 for keys, 4 for floats. */
size_t mr__view_bytes(const struct mr__layout *layout, int view);

/* The codes of a bag in a record, and how many. */
const char *mr__record_bag(const struct mr__layout *layout, int column, const char *record,
                           uint32_t *count);

/* Bytes of the record at `record`, or 0 when it would pass `end`. */
static inline size_t mr__record_bytes(const struct mr__record *shape, const char *record,
                                      const char *end) {
  size_t left = (size_t)(end - record), bags = 0;
  if (left < shape->fixed) return 0;
  const uint32_t *counts = (const uint32_t *)(const void *)(record + shape->counts_at);
  for (int i = 0; i < shape->n_bags; i++) bags += counts[i];
  return (left - shape->fixed) / 4 < bags ? 0 : shape->fixed + 4 * bags;
}

#endif
