/* How a row lies in memory and in the cache: one record per row and domain.
 *
 *   keys 8 bytes each | codes | floats | vectors | counts of bags and sequences | codes of bags |
 *   `----------------------------- fixed bytes -------------------------------'   sequences
 *
 * The keys are MR_GROUP columns, the codes MR_ID and MR_BUCKET (data/dictionary.h: each stands for
 * a key; while a cache is built that of a bucket is the number), the floats MR_NUMBER, MR_LABEL and
 * MR_WEIGHT, the vectors MR_VECTOR, `width` floats each, the bags MR_IDS, each in the order of the
 * schema, but bags with weights behind the others: behind the codes of such a bag stand as many
 * floats. MR_REQUEST_KEY is not stored, MR_SCENARIO and MR_TIME as columns besides only. All but
 * the keys are words of 4 bytes; records are aligned to 4 bytes, so are the keys.
 *
 * A sequence lies in the record of its owner: it has one count, of its behaviours, and then, column
 * by column,
 *
 *   codes or floats [count] of each MR_ID, MR_NUMBER and (times its width) MR_VECTOR |
 *   sizes [count], codes of each MR_IDS
 *
 * A sequence without columns is not stored.
 *
 * Why rows and not columns: batches are gathered in shuffled order, and a row kept together costs
 * a handful of neighbouring cache lines (or one page, when the data is larger than memory) where
 * 39 columns cost 39 misses. Measured, 4 M rows of 39 keys in random order with prefetching: 5.5 M
 * rows/s from columns, 23 M from rows. What is read column by column (labels, weights, numbers,
 * groups) is kept as columns besides. */
#ifndef MR_DATA_RECORD_H
#define MR_DATA_RECORD_H

#include <string.h>

#include "data/schema.h"

struct mr__record_sequence {
  int sequence;
  int n_words, n_bags; /* columns with equally many words for each behaviour, and with a bag */
  size_t words;        /* of those n_words columns, for each behaviour */
  int *columns;        /* [n_words + n_bags] */
};

struct mr__record {
  int n_keys, n_codes, n_floats, n_vectors, n_bags, n_sequences;
  int n_weighted;                              /* bags, the last of them, that have weights */
  int *keys, *codes, *floats, *vectors, *bags; /* their columns */
  struct mr__record_sequence *sequences;
  /* bytes; `fixed` 0: nothing is stored */
  size_t codes_at, floats_at, vectors_at, counts_at, fixed;
  int varies; /* in size: there are bags or sequences */
};

struct mr__layout {
  mr_schema *schema; /* holds a reference */
  struct mr__record records[MR_DOMAINS];
  size_t *at;  /* [columns] place of its key, code, floats or count in its record */
  int n_views; /* columns kept besides: of samples, all but ids, vectors and keys of requests */
  int *views;
  int *view_of; /* [columns] index into views, or -1 */
};

int mr__layout_new(struct mr__layout **out, const mr_schema *schema);
void mr__layout_free(struct mr__layout *layout);

/* Bytes of one element of a view: 8 for keys and times, 4 for floats and numbers of scenarios. */
size_t mr__view_bytes(const struct mr__layout *layout, int view);

/* What a record holds of a column, its count aside. */
struct mr__stored {
  const char *words;
  size_t n_words;
  const char *codes; /* those that are codes; NULL: none */
  size_t n_codes;
};
struct mr__stored mr__record_stored(const struct mr__layout *layout, int column,
                                    const char *record);

static inline uint32_t mr__record_word(const char *words, size_t i) {
  uint32_t word;
  memcpy(&word, words + 4 * i, sizeof word);
  return word;
}

/* Words of each value of the b-th bag: its code, and its weight where it has one. */
static inline size_t mr__bag_width(const struct mr__record *shape, int b) {
  return b < shape->n_bags - shape->n_weighted ? 1 : 2;
}

/* Words of the bags of a record. */
static inline size_t mr__record_bag_words(const struct mr__record *shape, const char *record) {
  size_t n = 0;
  for (int b = 0; b < shape->n_bags; b++)
    n += mr__bag_width(shape, b) * mr__record_word(record + shape->counts_at, (size_t)b);
  return n;
}

/* The count of the q-th sequence. */
static inline uint32_t mr__record_count(const struct mr__record *shape, const char *record, int q) {
  return mr__record_word(record + shape->counts_at, (size_t)shape->n_bags + (size_t)q);
}

/* Bytes of the record at `record`, or 0 when it would pass `end`. */
size_t mr__record_bytes(const struct mr__record *shape, const char *record, const char *end);

#endif
