/* The rows of the tables that a batch touches.
 *
 * mr__touched_find (predicting) gives every occurrence of a key the pointer to its row; keys that
 * are not in the table read the row of "unknown". mr__touched_insert (training) makes missing rows
 * and also gives each distinct key a place, at which the update adds up its gradient.
 *
 * Where a batch holds codes, a memo for its dataset tells for each code which row its key has, so a
 * key is looked up in the table once and never again: tables hold their rows by key, and a memo is
 * only a shorter way to them, which is left when rows get other numbers.
 *
 * Keys of a table that admits them only once they came so often (`admit`) have no row before: their
 * occurrences read the row of "unknown", or of zeros where the column wants that. Whether a key may
 * have one depends on the batches before, which mr__touched_count adds this one to.
 *
 * The work is cut into shares, which any thread may take: a share is a whole table, whose keys are
 * probed as they lie in the batch; or, for a table that much of the batch reads, one of its shards,
 * and then positions are sorted by shard before. */
#ifndef MR_TABLE_TOUCHED_H
#define MR_TABLE_TOUCHED_H

#include "base/pool.h"
#include "data/batch.h"
#include "table/table.h"

/* What of a batch falls to one share: occurrences, column after column, each column's in order; and
 * their distinct keys, in the order in which they first occur. */
struct mr__share {
  int table, first_shard, n_shards; /* all shards, or one */
  uint32_t n_occurrences;
  uint32_t *place_of; /* [n_occurrences]: place of the key among the distinct ones */
  uint32_t *row_of;   /* [n_occurrences]: row of the domain; see mr__column_share */
  uint32_t n;         /* distinct keys */
  uint32_t note;      /* slots, or memos, noted below it belong to other batches */
  float **row;        /* [n] */
  float *values;      /* [n, width of the table]: narrow rows' values beside one another, or NULL */
  size_t place_capacity, row_of_capacity, row_capacity, values_capacity;
};

/* Where the row of each occurrence of a column lies: row[i]; or, where `place` is not NULL,
 * distinct[place[i]], which takes less memory in all to write and read. Where `values` is not NULL
 * either, place[i] is also that of a copy of the row's value, which few lines of the cache hold. */
struct mr__column_rows {
  float **row;           /* [n] */
  const uint32_t *place; /* [n], of a share that has all of its table */
  float *const *distinct;
  const float *values; /* [distinct, width] */
  int width;           /* of the table */
  uint32_t n;
  const uint32_t *codes; /* [n], in training: as in the batch, but of keys that are admitted */
  const uint64_t *keys;  /* [n]; one of both */
  uint32_t *own_codes;   /* what they point to where some are not */
  uint64_t *own_keys;
  uint64_t *refused; /* [n_refused]: keys that are not, one for each occurrence */
  size_t n_refused, own_codes_capacity, own_keys_capacity, refused_capacity;
  int64_t filled,
      unseen;           /* once found: values that say something, and those of them without a row */
  int64_t first_unseen; /* the position of one, or -1 */
  int is_bag;
  uint32_t *at; /* of a table in shards: positions sorted by shard */
  uint32_t start[MR__SHARDS + 1];
  size_t row_capacity, at_capacity;
};

static inline float *mr__row_at(const struct mr__column_rows *column, int64_t i) {
  return column->place ? column->distinct[column->place[i]] : column->row[i];
}

/* The occurrences of one column in a share. */
struct mr__column_share {
  const uint32_t *at; /* their positions in the column; NULL: all, in order */
  uint32_t n;
  int listed; /* row_of is filled in; else occurrence i belongs to row i of the domain */
};

struct mr__memo_entry {
  uint32_t number_plus_1; /* of the key's row (mr__table_find_number); 0: not known */
  uint32_t note;          /* as in a slot of the table */
};

/* What is known of the codes of one table. */
struct mr__memo {
  uint32_t layout;                /* of the table */
  struct mr__memo_entry *entries; /* [n] by code */
  size_t n;
  uint32_t next_note;
  uint32_t nothing; /* where keys are admitted: the code of MR__NOTHING_KEY, or of "unknown" */
};

struct mr__touched {
  struct mr__table *tables;
  int n_tables;
  const int *table_of; /* [columns]: the model's table of a column, or -1 */
  int n_columns;
  int *table_columns, *first_column; /* CSR: the columns of each table, in ascending order */
  struct mr__column_rows *columns;
  struct mr__memo *memos; /* [n_tables] */
  uint64_t memos_of;      /* serial of the coding, 0: of none */
  struct mr__memo_entry *memo_block;
  size_t memo_bytes;
  struct mr__share *shares; /* [n_tables][MR__SHARDS]; a whole table uses the first of its own */
  struct mr__share **taken; /* [n_shares]: those in use, of the batch */
  int n_shares;
};

int mr__touched_init(struct mr__touched *rows, struct mr__table *tables, int n_tables,
                     const int *table_of, int n_columns);
void mr__touched_clear(struct mr__touched *rows);
/* One column's rows, on the calling thread, of a batch that holds keys: mr__touched_find is this
 * for every column. */
int mr__touched_find_column(struct mr__touched *rows, const mr_batch *batch, int column);
int mr__touched_find(struct mr__touched *rows, const mr_batch *batch, mr_pool *pool);
/* The row, of its owner where the column is of a sequence, that has the first value without a row
 * in the table; -1 where all have one. After either. */
int64_t mr__touched_unseen_row(const struct mr__touched *rows, const mr_batch *batch, int column);
int mr__touched_insert(struct mr__touched *rows, const mr_batch *batch, mr_pool *pool);
/* Count the keys of the last mr__touched_insert that have to wait, once: they came at this step. */
int mr__touched_count(struct mr__touched *rows, int64_t step, mr_pool *pool);

static inline struct mr__column_share mr__column_share(const struct mr__share *share,
                                                       const struct mr__column_rows *column) {
  if (share->n_shards > 1) return (struct mr__column_share){NULL, column->n, column->is_bag};
  uint32_t begin = column->start[share->first_shard], end = column->start[share->first_shard + 1];
  return (struct mr__column_share){column->at + begin, end - begin, 1};
}

/* The share that a key of a table falls into. */
const struct mr__share *mr__touched_share(const struct mr__touched *rows, int table, uint64_t key);

#endif
