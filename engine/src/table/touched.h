/* The rows of the tables that a batch touches.
 *
 * mr__touched_find (predicting) gives every occurrence of a key the pointer to its row; keys that
 * are not in the table read the row of "unknown". mr__touched_insert (training) makes missing rows
 * and also lists the distinct keys with their occurrences in order, so that the update can go over
 * a row's occurrences, gradient and optimizer in one pass.
 *
 * The work is cut into shares, which any thread may take: a share is a whole table, whose keys are
 * probed as they lie in the batch; or, for a table that much of the batch reads, one of its shards,
 * and then positions are sorted by shard before. */
#ifndef MR_TABLE_TOUCHED_H
#define MR_TABLE_TOUCHED_H

#include "base/pool.h"
#include "data/batch.h"
#include "table/table.h"

/* The distinct keys of one share, in the order in which they first occur. Occurrences are numbers:
 * that of row r of a column's domain is r + the column's `first`, so those of one key ascend from
 * column to column and from row to row. */
struct mr__share {
  int table, first_shard, n_shards; /* all shards, or one */
  uint32_t n_occurrences;
  uint32_t n;            /* distinct keys */
  uint32_t note;         /* slots noted below it belong to other batches */
  float **row;           /* [n] */
  uint32_t *start;       /* [n + 1]: CSR into occurrences */
  uint32_t *occurrences; /* [n_occurrences] */
  uint32_t *place_of;    /* scratch, [n_occurrences]: place of an occurrence's key */
  size_t row_capacity, start_capacity, occurrences_capacity, place_capacity;
};

struct mr__column_rows {
  float **row;     /* [keys]: where the row of each occurrence lies */
  uint32_t *owner; /* bags: the row of the domain that an occurrence belongs to */
  uint32_t first;  /* number of the occurrence in row 0, among those of the table */
  uint32_t *at;    /* of a table in shards: positions sorted by shard */
  uint32_t start[MR__SHARDS + 1];
  size_t row_capacity, at_capacity, owner_capacity;
};

struct mr__touched {
  struct mr__table *tables;
  int n_tables;
  const int *table_of; /* [columns]: the model's table of a column, or -1 */
  int n_columns;
  int *table_columns, *first_column; /* CSR: the columns of each table, in ascending order */
  struct mr__column_rows *columns;
  struct mr__share *shares; /* [n_tables][MR__SHARDS]; a whole table uses the first of its own */
  struct mr__share **taken; /* [n_shares]: those in use, of the batch */
  int n_shares;
};

int mr__touched_init(struct mr__touched *rows, struct mr__table *tables, int n_tables,
                     const int *table_of, int n_columns);
void mr__touched_clear(struct mr__touched *rows);
/* One column's rows, on the calling thread: mr__touched_find is this for every column. */
int mr__touched_find_column(struct mr__touched *rows, const mr_batch *batch, int column);
int mr__touched_find(struct mr__touched *rows, const mr_batch *batch, mr_pool *pool);
int mr__touched_insert(struct mr__touched *rows, const mr_batch *batch, mr_pool *pool);

/* The share that a key of a table falls into. */
const struct mr__share *mr__touched_share(const struct mr__touched *rows, int table, uint64_t key);

#endif
