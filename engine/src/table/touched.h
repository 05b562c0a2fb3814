/* The rows of the tables that a batch touches.
 *
 * mr__touched_find (predicting) gives every occurrence of a key the pointer to its row; keys that
 * are not in the table read the row of "unknown". mr__touched_insert (training) makes missing rows
 * and also lists, for each shard and table, the distinct keys with their occurrences in order, so
 * that the update can go over a row's occurrences, gradient and optimizer in one pass. */
#ifndef MR_TABLE_TOUCHED_H
#define MR_TABLE_TOUCHED_H

#include "base/pool.h"
#include "data/batch.h"
#include "table/table.h"

struct mr__occurrence {
  uint32_t column; /* of the schema */
  uint32_t at;     /* position among the column's keys in the batch */
};

/* Distinct keys of one table in one shard: indices into the arrays of struct mr__shard_rows. */
struct mr__distinct {
  uint32_t first, n;
};

struct mr__shard_rows {
  struct mr__distinct *tables; /* [n_tables] */
  float **row;                 /* [distinct] */
  uint32_t *index;             /* [distinct]: number of the row in its shard */
  uint32_t *start;             /* [distinct + n_tables]: CSR into occurrences; table t shifted by t */
  struct mr__occurrence *occurrences;
  uint32_t *unique_of; /* scratch */
  struct mr__occurrence *unsorted;
  size_t row_capacity, index_capacity, start_capacity, occurrences_capacity, unique_capacity,
      unsorted_capacity;
};

struct mr__column_rows {
  float **row;        /* [keys]: where the row of each occurrence lies */
  uint32_t *at;       /* positions sorted by shard */
  uint32_t *owner;    /* bags: the row of the domain that an occurrence belongs to */
  uint32_t start[MR__SHARDS + 1];
  size_t row_capacity, at_capacity, owner_capacity;
};

struct mr__touched {
  struct mr__table *tables;
  int n_tables;
  const int *table_of; /* [columns]: the model's table of a column, or -1 */
  int n_columns;
  struct mr__column_rows *columns;
  struct mr__shard_rows shards[MR__SHARDS];
};

int mr__touched_init(struct mr__touched *rows, struct mr__table *tables, int n_tables,
                  const int *table_of, int n_columns);
void mr__touched_clear(struct mr__touched *rows);
int mr__touched_find(struct mr__touched *rows, const mr_batch *batch, mr_pool *pool);
int mr__touched_insert(struct mr__touched *rows, const mr_batch *batch, mr_pool *pool);

#endif
