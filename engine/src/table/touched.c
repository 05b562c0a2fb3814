#include "table/touched.h"

#include <string.h>

#include "base/alloc.h"

/* A table that more than this part of a batch's occurrences falls to is cut into its shards. */
enum { SPLIT_PART = 8, PROBE_AHEAD = 16 };

struct job {
  struct mr__touched *rows;
  const mr_batch *batch;
};

static int list_columns(struct mr__touched *rows) {
  rows->table_columns = mr__calloc((size_t)rows->n_columns, sizeof *rows->table_columns);
  rows->first_column = mr__calloc((size_t)rows->n_tables + 1, sizeof *rows->first_column);
  if (!rows->table_columns || !rows->first_column) return mr__fail_memory();
  int n = 0;
  for (int t = 0; t < rows->n_tables; t++) {
    rows->first_column[t] = n;
    for (int c = 0; c < rows->n_columns; c++)
      if (rows->table_of[c] == t) rows->table_columns[n++] = c;
  }
  rows->first_column[rows->n_tables] = n;
  return MR_OK;
}

int mr__touched_init(struct mr__touched *rows, struct mr__table *tables, int n_tables,
                     const int *table_of, int n_columns) {
  memset(rows, 0, sizeof *rows);
  rows->tables = tables;
  rows->n_tables = n_tables;
  rows->table_of = table_of;
  rows->n_columns = n_columns;
  rows->columns = mr__calloc((size_t)n_columns, sizeof *rows->columns);
  rows->shares = mr__calloc((size_t)n_tables * MR__SHARDS, sizeof *rows->shares);
  rows->taken = mr__calloc((size_t)n_tables * MR__SHARDS, sizeof *rows->taken);
  if (!rows->columns || !rows->shares || !rows->taken) return mr__fail_memory();
  return list_columns(rows);
}

void mr__touched_clear(struct mr__touched *rows) {
  for (int c = 0; rows->columns && c < rows->n_columns; c++) {
    mr__free(rows->columns[c].row);
    mr__free(rows->columns[c].at);
    mr__free(rows->columns[c].owner);
  }
  mr__free(rows->columns);
  for (int s = 0; rows->shares && s < rows->n_tables * MR__SHARDS; s++) {
    struct mr__share *share = &rows->shares[s];
    mr__free(share->row);
    mr__free(share->start);
    mr__free(share->occurrences);
    mr__free(share->place_of);
  }
  mr__free(rows->shares);
  mr__free(rows->taken);
  mr__free(rows->table_columns);
  mr__free(rows->first_column);
  memset(rows, 0, sizeof *rows);
}

/* Room for the rows of a column's occurrences. */
static int grow_rows(struct mr__touched *rows, const mr_batch *batch, int c) {
  struct mr__column_rows *column = &rows->columns[c];
  int64_t n = batch->columns[c].n;
  if (n >= UINT32_MAX)
    return mr__fail(MR_EINVAL, "column \"%s\" has %lld values in one batch, at most %u fit",
                    batch->schema->columns[c].name, (long long)n, UINT32_MAX - 1);
  return mr__grow(&column->row, &column->row_capacity, (size_t)n, sizeof *column->row);
}

static int grow_columns(struct mr__touched *rows, const mr_batch *batch) {
  for (int c = 0; c < rows->n_columns; c++) {
    if (rows->table_of[c] < 0) continue;
    struct mr__column_rows *column = &rows->columns[c];
    const struct mr__batch_column *keys = &batch->columns[c];
    MR_TRY(grow_rows(rows, batch, c));
    if (keys->offsets)
      MR_TRY(mr__grow(&column->owner, &column->owner_capacity, (size_t)keys->n,
                      sizeof *column->owner));
  }
  return MR_OK;
}

/* ---- predicting ---- */

int mr__touched_find_column(struct mr__touched *rows, const mr_batch *batch, int c) {
  if (rows->table_of[c] < 0) return MR_OK;
  MR_TRY(grow_rows(rows, batch, c));
  const struct mr__batch_column *keys = &batch->columns[c];
  mr__table_find_all(&rows->tables[rows->table_of[c]], keys->keys, keys->n, rows->columns[c].row);
  return MR_OK;
}

static int find_column(void *argument, int64_t task, int worker) {
  (void)worker;
  const struct job *job = argument;
  return mr__touched_find_column(job->rows, job->batch, (int)task);
}

int mr__touched_find(struct mr__touched *rows, const mr_batch *batch, mr_pool *pool) {
  struct job job = {rows, batch};
  return mr__pool_run(pool, find_column, &job, rows->n_columns);
}

/* ---- training: the shares ---- */

/* Number the occurrences of a table's columns, one column after another. */
static int number_occurrences(struct mr__touched *rows, const mr_batch *batch, int t,
                              uint32_t *n) {
  int64_t keys = 0, numbers = 0;
  for (int k = rows->first_column[t]; k < rows->first_column[t + 1]; k++) {
    int c = rows->table_columns[k];
    rows->columns[c].first = (uint32_t)numbers;
    keys += batch->columns[c].n;
    numbers += batch->rows[batch->schema->columns[c].domain];
    if (keys >= UINT32_MAX || numbers >= UINT32_MAX)
      return mr__fail(MR_EINVAL,
                      "table \"%s\" is read more than %u times in one batch, at column \"%s\"",
                      rows->tables[t].name, UINT32_MAX - 1, batch->schema->columns[c].name);
  }
  *n = (uint32_t)keys;
  return MR_OK;
}

static void take_share(struct mr__touched *rows, int t, int first, int n, uint32_t note) {
  struct mr__share *share = &rows->shares[t * MR__SHARDS + first];
  share->table = t;
  share->first_shard = first;
  share->n_shards = n;
  share->note = note;
  rows->taken[rows->n_shares++] = share;
}

/* Which cut is taken depends on the batch alone, and the sums of a key not even on the cut. */
static int cut_shares(struct mr__touched *rows, const mr_batch *batch, int *n_split) {
  int64_t total = 0;
  for (int c = 0; c < rows->n_columns; c++)
    if (rows->table_of[c] >= 0) total += batch->columns[c].n;
  rows->n_shares = *n_split = 0;
  for (int t = 0; t < rows->n_tables; t++) {
    uint32_t n = 0;
    MR_TRY(number_occurrences(rows, batch, t, &n));
    int split = (int64_t)n * SPLIT_PART > total;
    int step = split ? 1 : MR__SHARDS;
    uint32_t note = mr__table_notes(&rows->tables[t], n);
    for (int s = 0; s < MR__SHARDS; s += step) take_share(rows, t, s, step, note);
    *n_split += split;
  }
  return MR_OK;
}

static int is_split(const struct mr__touched *rows, int t) {
  return rows->shares[t * MR__SHARDS].n_shards == 1;
}

static int grow_positions(struct mr__touched *rows, const mr_batch *batch) {
  for (int c = 0; c < rows->n_columns; c++) {
    if (rows->table_of[c] < 0 || !is_split(rows, rows->table_of[c])) continue;
    struct mr__column_rows *column = &rows->columns[c];
    MR_TRY(mr__grow(&column->at, &column->at_capacity, (size_t)batch->columns[c].n,
                    sizeof *column->at));
  }
  return MR_OK;
}

static void note_owners(struct mr__touched *rows, const mr_batch *batch, int c) {
  const int32_t *offsets = batch->columns[c].offsets;
  int64_t n = batch->rows[batch->schema->columns[c].domain];
  for (int64_t r = 0; offsets && r < n; r++)
    for (int32_t i = offsets[r]; i < offsets[r + 1]; i++)
      rows->columns[c].owner[i] = (uint32_t)r;
}

/* Sort the positions of a column of a split table by shard, keeping their order. */
static int split_column(void *argument, int64_t task, int worker) {
  (void)worker;
  const struct job *job = argument;
  struct mr__touched *rows = job->rows;
  if (rows->table_of[task] < 0 || !is_split(rows, rows->table_of[task])) return MR_OK;
  struct mr__column_rows *column = &rows->columns[task];
  const struct mr__batch_column *keys = &job->batch->columns[task];
  uint32_t next[MR__SHARDS] = {0};
  for (int64_t i = 0; i < keys->n; i++) next[mr__shard_of(keys->keys[i])]++;
  uint32_t sum = 0;
  for (int s = 0; s < MR__SHARDS; s++) {
    uint32_t count = next[s];
    column->start[s] = next[s] = sum;
    sum += count;
  }
  column->start[MR__SHARDS] = sum;
  for (int64_t i = 0; i < keys->n; i++)
    column->at[next[mr__shard_of(keys->keys[i])]++] = (uint32_t)i;
  note_owners(rows, job->batch, (int)task);
  return MR_OK;
}

/* ---- training: the keys of a share ---- */

/* A column's keys in a share: all of them in order (at is NULL), or some positions. */
struct stretch {
  const uint32_t *at;
  uint32_t n;
};

static struct stretch stretch_of(const struct mr__share *share,
                                 const struct mr__column_rows *column,
                                 const struct mr__batch_column *keys) {
  if (share->n_shards > 1) return (struct stretch){NULL, (uint32_t)keys->n};
  uint32_t begin = column->start[share->first_shard], end = column->start[share->first_shard + 1];
  return (struct stretch){column->at + begin, end - begin};
}

/* The place of a key among the distinct ones of its share, a new one at its first occurrence. */
static inline int find_place(struct mr__table *table, uint64_t key, struct mr__share *share,
                             uint32_t *place) {
  struct mr__shard *shard = &table->shards[mr__shard_of(key)];
  struct mr__slot *slot = shard->n_slots ? mr__shard_probe(shard, key) : NULL;
  if (!slot || !slot->row_plus_1) MR_TRY(mr__table_insert(table, key, &slot));
  if (slot->note < share->note) {
    slot->note = share->note + share->n;
    float *row = mr__shard_row(shard, slot->row_plus_1 - 1, table->stride);
    __builtin_prefetch(row); /* forward reads it soon */
    share->row[share->n] = row;
    share->start[++share->n] = 0;
  }
  *place = slot->note - share->note;
  return MR_OK;
}

/* Find the rows of one column's keys, and count the occurrences of each distinct key at
 * start[place + 1]. */
static int probe_column(struct mr__touched *rows, const uint64_t *keys, int c,
                        struct mr__share *share, struct stretch stretch, uint32_t *place_of) {
  struct mr__table *table = &rows->tables[share->table];
  float **row = rows->columns[c].row;
  const uint32_t *at = stretch.at;
  for (uint32_t j = 0; j < stretch.n; j++) {
    uint32_t i = at ? at[j] : j, ahead = j + PROBE_AHEAD, place;
    if (ahead < stretch.n) mr__table_prefetch(table, keys[at ? at[ahead] : ahead]);
    MR_TRY(find_place(table, keys[i], share, &place));
    row[i] = share->row[place];
    place_of[j] = place;
    share->start[place + 1]++;
  }
  return MR_OK;
}

/* Put the numbers of one column's occurrences where their key's list stands: start[place] moves
 * on to the end of the list. */
static void list_column(const struct mr__column_rows *column, int is_bag, struct mr__share *share,
                        struct stretch stretch, const uint32_t *place_of) {
  for (uint32_t j = 0; j < stretch.n; j++) {
    uint32_t i = stretch.at ? stretch.at[j] : j;
    uint32_t number = column->first + (is_bag ? column->owner[i] : i);
    share->occurrences[share->start[place_of[j]]++] = number;
  }
}

static int grow_share(struct mr__share *share) {
  size_t n = share->n_occurrences;
  MR_TRY(mr__grow(&share->row, &share->row_capacity, n, sizeof *share->row));
  MR_TRY(mr__grow(&share->start, &share->start_capacity, n + 1, sizeof *share->start));
  MR_TRY(mr__grow(&share->occurrences, &share->occurrences_capacity, n,
                  sizeof *share->occurrences));
  return mr__grow(&share->place_of, &share->place_capacity, n, sizeof *share->place_of);
}

static int insert_share(void *argument, int64_t task, int worker) {
  (void)worker;
  const struct job *job = argument;
  struct mr__touched *rows = job->rows;
  struct mr__share *share = rows->taken[task];
  const int *columns = rows->table_columns + rows->first_column[share->table];
  int n_columns = rows->first_column[share->table + 1] - rows->first_column[share->table];
  share->n = share->n_occurrences = 0;
  for (int k = 0; k < n_columns; k++)
    share->n_occurrences +=
        stretch_of(share, &rows->columns[columns[k]], &job->batch->columns[columns[k]]).n;
  MR_TRY(grow_share(share));
  share->start[0] = 0;
  uint32_t *place_of = share->place_of;
  for (int k = 0; k < n_columns; k++) {
    const struct mr__batch_column *keys = &job->batch->columns[columns[k]];
    struct stretch stretch = stretch_of(share, &rows->columns[columns[k]], keys);
    if (share->n_shards > 1) note_owners(rows, job->batch, columns[k]);
    MR_TRY(probe_column(rows, keys->keys, columns[k], share, stretch, place_of));
    place_of += stretch.n;
  }
  for (uint32_t u = 0; u < share->n; u++) share->start[u + 1] += share->start[u];
  place_of = share->place_of;
  for (int k = 0; k < n_columns; k++) {
    const struct mr__batch_column *keys = &job->batch->columns[columns[k]];
    struct stretch stretch = stretch_of(share, &rows->columns[columns[k]], keys);
    list_column(&rows->columns[columns[k]], keys->offsets != NULL, share, stretch, place_of);
    place_of += stretch.n;
  }
  /* Each start is now the end of its list, which is the next one's start. */
  memmove(share->start + 1, share->start, share->n * sizeof *share->start);
  share->start[0] = 0;
  return MR_OK;
}

int mr__touched_insert(struct mr__touched *rows, const mr_batch *batch, mr_pool *pool) {
  int n_split;
  MR_TRY(grow_columns(rows, batch));
  MR_TRY(cut_shares(rows, batch, &n_split));
  MR_TRY(grow_positions(rows, batch));
  struct job job = {rows, batch};
  if (n_split > 0) MR_TRY(mr__pool_run(pool, split_column, &job, rows->n_columns));
  return mr__pool_run(pool, insert_share, &job, rows->n_shares);
}

const struct mr__share *mr__touched_share(const struct mr__touched *rows, int table,
                                          uint64_t key) {
  return &rows->shares[table * MR__SHARDS + (is_split(rows, table) ? mr__shard_of(key) : 0)];
}
