/* What the data is: columns, their types, the domain their rows live in, and the tables that
 * their keys belong to. Fixed before any file is read; shared by training and serving.
 *
 * Datasets, batches and models hold a reference, since a collector frees objects in any order:
 * mr_schema_free gives up one reference, and nothing is added while there is a second. */
#ifndef MR_DATA_SCHEMA_H
#define MR_DATA_SCHEMA_H

#include "base/status.h"

struct mr__column {
  char *name;
  char *source;
  uint64_t seed; /* of its keys: of the table's name, or of its own where it has no table */
  int table;     /* index into tables, or -1 */
  int type, domain;
  int separator, max, width, transform;
  float missing;
};

struct mr__table_spec {
  char *name;
  uint64_t seed; /* of its keys */
  int64_t min_count;
};

struct mr_schema {
  struct mr__column *columns;
  size_t n_columns, columns_capacity;
  struct mr__table_spec *tables;
  size_t n_tables, tables_capacity;
  int request_key; /* column that says where a request ends, or -1 */
  int references;  /* atomic */
};

int mr__schema_find_table(const mr_schema *schema, const char *name); /* index or -1 */

/* Take a reference, given back with mr_schema_free. */
mr_schema *mr__schema_retain(const mr_schema *schema);

/* A 64-bit fingerprint of all that decides the content of a cache. */
uint64_t mr__schema_fingerprint(const mr_schema *schema);

#endif
