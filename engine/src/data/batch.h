/* The rows that one step works on, column by column.
 *
 *   requests  0        1     2            a request is what several samples share
 *   samples   0  1  2  3     4  5         first_sample = {0, 3, 4, 6}
 *
 * Without a request column every sample is its own request. A request cut into pieces appears as
 * several requests with equal values. Buffers grow and are kept.
 *
 *   a sequence of the request        0 1 2 | 3 | (none)          first = {0, 3, 4, 4}
 *   its pairs: samples 0, 1, 2 with behaviours 0 1 2, sample 3 with 3    first_pair = {0, 3, 6, 9,
 *                                                                             10, 10, 10}
 *
 * A batch that a program fills holds keys. One of a loader holds the codes that its dataset has for
 * the keys of tables (dictionary.h), until someone asks for the keys. */
#ifndef MR_DATA_BATCH_H
#define MR_DATA_BATCH_H

#include "data/dictionary.h"
#include "data/picks.h"
#include "data/schema.h"

struct mr__batch_column {
  int64_t n;        /* keys or codes: occurrences */
  uint64_t *keys;   /* MR_ID, MR_IDS, MR_BUCKET, MR_GROUP: [n] */
  uint32_t *codes;  /* in place of the keys of a table, where the batch has a coding: [n] */
  int32_t *offsets; /* MR_IDS: [rows + 1], else NULL */
  float *floats; /* MR_NUMBER, MR_LABEL, MR_WEIGHT: [rows]; MR_VECTOR: [rows, width]; MR_IDS, where
                    they have them: weights [n] */
  size_t keys_capacity, codes_capacity, offsets_capacity, floats_capacity;
};

struct mr__batch_sequence {
  int64_t rows;        /* behaviours */
  int32_t *first;      /* [rows of its owner + 1]: row r owns behaviours first[r] .. first[r + 1] */
  int32_t *owner_of;   /* [rows] */
  int64_t *first_pair; /* [samples + 1]: the pairs of each sample; of a request's sequence */
  size_t first_capacity, owner_of_capacity, first_pair_capacity;
};

struct mr_batch {
  mr_schema *schema; /* holds a reference */
  int64_t rows[MR_DOMAINS];
  int32_t *first_sample; /* [requests + 1] */
  int32_t *request_of;   /* [samples] */
  int64_t *sample_index; /* [samples]: row of the dataset; its own position when filled by hand */
  struct mr__batch_column *columns;     /* [schema->n_columns] */
  struct mr__batch_sequence *sequences; /* [schema->n_sequences] */
  const struct mr__coding *coding;      /* what the codes mean; NULL: there are keys only */
  struct mr__picks picks; /* of the last row that a program's values were taken from */
  size_t first_sample_capacity, request_of_capacity, sample_index_capacity;
};

/* Without rows yet. */
int mr__batch_new_empty(mr_batch **out, const mr_schema *schema);

/* Set the numbers of rows and make room for them, and for `requests` + 1 in first_sample. What the
 * buffers hold is not touched; bags and sequences are empty. */
int mr__batch_resize(mr_batch *batch, int64_t requests, int64_t samples);

/* Other samples of the one request of a batch, whose own values and sequences stay. */
int mr__batch_resize_samples(mr_batch *batch, int64_t samples);

/* Turn codes into keys. */
int mr__batch_decode(mr_batch *batch);

/* Fill request_of from first_sample. */
void mr__batch_number_requests(mr_batch *batch);

/* Number the behaviours and pairs of a sequence, once its `first` and the samples of the requests
 * are there; the second makes room in its columns besides, and empties their bags. */
int mr__batch_number_behaviours(mr_batch *batch, int sequence);
int mr__batch_resize_sequence(mr_batch *batch, int sequence);

/* The rows of any domain. */
int64_t mr__batch_rows(const mr_batch *batch, int domain);

#endif
