/* The rows that one step works on, column by column.
 *
 *   requests  0        1     2            a request is what several samples share
 *   samples   0  1  2  3     4  5         first_sample = {0, 3, 4, 6}
 *
 * Without a request column every sample is its own request. A request cut into pieces appears as
 * several requests with equal values. Buffers grow and are kept.
 *
 * A batch that a program fills holds keys. One of a loader holds the codes that its dataset has for
 * the keys of tables (dictionary.h), until someone asks for the keys. */
#ifndef MR_DATA_BATCH_H
#define MR_DATA_BATCH_H

#include "data/dictionary.h"
#include "data/schema.h"

struct mr__batch_column {
  int64_t n;        /* keys or codes: occurrences */
  uint64_t *keys;   /* MR_ID, MR_IDS, MR_GROUP: [n] */
  uint32_t *codes;  /* in place of the keys of a table, where the batch has a coding: [n] */
  int32_t *offsets; /* MR_IDS: [rows + 1], else NULL */
  float *floats;    /* MR_NUMBER, MR_LABEL: [rows]; MR_VECTOR: [rows, width] */
  size_t keys_capacity, codes_capacity, offsets_capacity, floats_capacity;
};

struct mr_batch {
  mr_schema *schema; /* holds a reference */
  int64_t rows[MR_DOMAINS];
  int32_t *first_sample; /* [requests + 1] */
  int32_t *request_of;   /* [samples] */
  int64_t *sample_index; /* [samples]: row of the dataset; its own position when filled by hand */
  struct mr__batch_column *columns; /* [schema->n_columns] */
  const struct mr__coding *coding;  /* what the codes mean; NULL: there are keys only */
  size_t first_sample_capacity, request_of_capacity, sample_index_capacity;
};

/* Without rows yet. */
int mr__batch_new_empty(mr_batch **out, const mr_schema *schema);

/* Set the numbers of rows and make room for them, and for `requests` + 1 in first_sample. What the
 * buffers hold is not touched; bags are empty. */
int mr__batch_resize(mr_batch *batch, int64_t requests, int64_t samples);

/* Turn codes into keys. */
int mr__batch_decode(mr_batch *batch);

/* Fill request_of from first_sample. */
void mr__batch_number_requests(mr_batch *batch);

#endif
