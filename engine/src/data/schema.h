/* What the data is: columns, their types, the domain their rows live in, and the tables that
 * their keys belong to. Fixed before any file is read; shared by training and serving.
 *
 * Datasets, batches and models hold a reference, since a collector frees objects in any order:
 * mr_schema_free gives up one reference, and nothing is added while there is a second. */
#ifndef MR_DATA_SCHEMA_H
#define MR_DATA_SCHEMA_H

#include "base/hash.h"
#include "base/status.h"

struct mr__sequence {
  char *name;
  int domain; /* of the owner */
  int max, keep, separator;
  char *padding; /* or NULL */
};

struct mr__column {
  char *name;
  char *source;
  uint64_t seed; /* of its keys: of the table's name, or of its own where it has no table */
  int table;     /* index into tables, or -1 */
  int type;
  int domain;   /* in a sequence that of its owner */
  int sequence; /* or -1 */
  int separator, max, width;
  int weighted;         /* 1: of an MR_IDS column whose values have weights */
  int weight_separator; /* where these stand behind the values, else 0 */
  char *weights;        /* the source of the cell that they have alone, else NULL */
  char *padding;        /* of an MR_IDS column that has some, else NULL */
  int when;             /* of a label: another's column, or -1 */
  char **values;        /* [n_values], in the order given; 0: any value */
  uint64_t *listed;     /* [n_values] their keys, ascending */
  int n_values, unseen;
  char **sources; /* [n_sources] of a vector that has a cell for each number; 0: one for all */
  int n_sources;
  int first_cell; /* among the cells of all columns, in their order */
  int *parts;     /* [n_parts] of a cross: the columns whose values it combines; 0: none */
  int n_parts;
  int when_missing, clips, transform, normalize, buckets;
  float missing, least, most;
  /* Fitted to the training data (data/fit.h): */
  int is_fitted, n_bounds;
  float *bounds; /* [n_bounds] between buckets, ascending */
  double mean, deviation;
};

struct mr__table_spec {
  char *name;
  uint64_t seed; /* of its keys */
  int64_t min_count;
  int texts; /* 1: kept with the keys of training data */
};

struct mr_schema {
  struct mr__column *columns;
  size_t n_columns, columns_capacity;
  struct mr__table_spec *tables;
  size_t n_tables, tables_capacity;
  struct mr__sequence *sequences;
  size_t n_sequences, sequences_capacity;
  int n_cells; /* of the text, as many as its columns are read from */
  int n_labels;
  int request_key;            /* column that says where a request ends, or -1 */
  int weight, scenario, time; /* columns, or -1 */
  int references;             /* atomic */
};

/* So many that a slice of a batch can say where it is in each of their domains. */
enum { MR__MOST_SEQUENCES = 30, MR__MOST_DOMAINS = MR_DOMAINS + 2 * MR__MOST_SEQUENCES };

static inline int mr__rows_domain(int sequence) { return MR_DOMAINS + 2 * sequence; }
static inline int mr__pairs_domain(int sequence) { return MR_DOMAINS + 2 * sequence + 1; }
static inline int mr__is_pairs(int domain) { return domain >= MR_DOMAINS && domain % 2 != 0; }
/* The sequence that a domain is of, or -1. */
static inline int mr__sequence_of(int domain) {
  return domain < MR_DOMAINS ? -1 : (domain - MR_DOMAINS) / 2;
}
/* So many columns a cross combines at most. */
enum { MR__MOST_PARTS = 8 };
#define MR__CROSS_SIGN " & " /* between their texts, where one is wanted of it */

/* Whether a column has one key a row. */
static inline int mr__column_is_id(const struct mr__column *column) {
  return column->type == MR_ID || column->type == MR_BUCKET;
}
/* Whether its texts are numbers of the data. */
static inline int mr__column_is_number(const struct mr__column *column) {
  return column->type == MR_NUMBER || column->type == MR_BUCKET;
}
/* Whether a key is that of a listed value; and of keys what counts as unlisted, become
 * MR__UNLISTED_KEY. */
int mr__column_lists(const struct mr__column *column, uint64_t key);
static inline uint64_t mr__listed_key(const struct mr__column *column, uint64_t key) {
  return column->n_values == 0 || key == 0 || mr__column_lists(column, key) ? key
                                                                            : MR__UNLISTED_KEY;
}
/* The key of a cross, of those of its parts; MR__UNKNOWN_KEY where one says nothing. */
uint64_t mr__cross_key(const struct mr__column *cross, const uint64_t *keys);
/* Whether its codes are settled only once all rows of a cache are known. */
static inline int mr__column_maps(const struct mr__column *column) {
  return column->table >= 0 && (column->n_values > 0 || column->unseen == MR_UNSEEN_ZERO);
}
/* Words of 4 bytes that a row has of a column of floats, or of one that has one key a row. */
static inline size_t mr__column_words(const struct mr__column *column) {
  return column->type == MR_VECTOR ? (size_t)column->width : 1;
}
/* Of a column with weights beside its values: the cell that has them. */
enum { MR__WEIGHTS_CELL = 1 };
/* The cells of the text that it has in a row; a cross has none. */
static inline int mr__column_cells(const struct mr__column *column) {
  if (column->n_parts > 0) return 0;
  if (column->weights) return 2;
  return column->n_sources > 0 ? column->n_sources : 1;
}
static inline const char *mr__column_source(const struct mr__column *column, int part) {
  if (column->weights && part == MR__WEIGHTS_CELL) return column->weights;
  return column->n_sources > 0 ? column->sources[part] : column->source;
}
/* Where the rows of a column are. */
static inline int mr__column_domain(const struct mr__column *column) {
  return column->sequence < 0 ? column->domain : mr__rows_domain(column->sequence);
}
static inline int mr__schema_domains(const mr_schema *schema) {
  return MR_DOMAINS + 2 * (int)schema->n_sequences;
}

int mr__schema_find_table(const mr_schema *schema, const char *name); /* index or -1 */

/* Take a reference, given back with mr_schema_free. */
mr_schema *mr__schema_retain(const mr_schema *schema);

/* A 64-bit fingerprint of all that decides the content of a cache. */
uint64_t mr__schema_fingerprint(const mr_schema *schema);

#endif
