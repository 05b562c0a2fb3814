#include "table/touched.h"

#include <string.h>

#include "base/alloc.h"

struct job {
  struct mr__touched *rows;
  const mr_batch *batch;
};

int mr__touched_init(struct mr__touched *rows, struct mr__table *tables, int n_tables,
                  const int *table_of, int n_columns) {
  memset(rows, 0, sizeof *rows);
  rows->tables = tables;
  rows->n_tables = n_tables;
  rows->table_of = table_of;
  rows->n_columns = n_columns;
  rows->columns = mr__calloc((size_t)n_columns, sizeof *rows->columns);
  if (!rows->columns) return mr__fail_memory();
  for (int s = 0; s < MR__SHARDS; s++) {
    rows->shards[s].tables = mr__calloc((size_t)n_tables, sizeof *rows->shards[s].tables);
    if (!rows->shards[s].tables) return mr__fail_memory();
  }
  return MR_OK;
}

void mr__touched_clear(struct mr__touched *rows) {
  for (int c = 0; rows->columns && c < rows->n_columns; c++) {
    mr__free(rows->columns[c].row);
    mr__free(rows->columns[c].at);
    mr__free(rows->columns[c].owner);
  }
  mr__free(rows->columns);
  for (int s = 0; s < MR__SHARDS; s++) {
    struct mr__shard_rows *shard = &rows->shards[s];
    mr__free(shard->tables);
    mr__free(shard->row);
    mr__free(shard->index);
    mr__free(shard->start);
    mr__free(shard->occurrences);
    mr__free(shard->unique_of);
    mr__free(shard->unsorted);
  }
  memset(rows, 0, sizeof *rows);
}

static int grow_columns(struct mr__touched *rows, const mr_batch *batch) {
  for (int c = 0; c < rows->n_columns; c++) {
    if (rows->table_of[c] < 0) continue;
    struct mr__column_rows *column = &rows->columns[c];
    const struct mr__batch_column *keys = &batch->columns[c];
    size_t n = (size_t)keys->n;
    if (keys->n >= UINT32_MAX)
      return mr__fail(MR_EINVAL, "column \"%s\" has %lld values in one batch, at most %u fit",
                      batch->schema->columns[c].name, (long long)keys->n, UINT32_MAX - 1);
    MR_TRY(mr__grow(&column->row, &column->row_capacity, n, sizeof *column->row));
    MR_TRY(mr__grow(&column->at, &column->at_capacity, n, sizeof *column->at));
    if (keys->offsets)
      MR_TRY(mr__grow(&column->owner, &column->owner_capacity, n, sizeof *column->owner));
  }
  return MR_OK;
}

/* ---- predicting ---- */

static int find_column(void *argument, int64_t task, int worker) {
  (void)worker;
  const struct job *job = argument;
  struct mr__touched *rows = job->rows;
  if (rows->table_of[task] < 0) return MR_OK;
  const struct mr__table *table = &rows->tables[rows->table_of[task]];
  const struct mr__batch_column *keys = &job->batch->columns[task];
  float *unknown = mr__table_find(table, MR__UNKNOWN_KEY);
  for (int64_t i = 0; i < keys->n; i++) {
    float *row = mr__table_find(table, keys->keys[i]);
    rows->columns[task].row[i] = row ? row : unknown;
  }
  return MR_OK;
}

int mr__touched_find(struct mr__touched *rows, const mr_batch *batch, mr_pool *pool) {
  MR_TRY(grow_columns(rows, batch));
  struct job job = {rows, batch};
  return mr__pool_run(pool, find_column, &job, rows->n_columns);
}

/* ---- training ---- */

/* Sort a column's positions by shard, keeping their order, and note whose each occurrence is. */
static int split_column(void *argument, int64_t task, int worker) {
  (void)worker;
  const struct job *job = argument;
  if (job->rows->table_of[task] < 0) return MR_OK;
  struct mr__column_rows *column = &job->rows->columns[task];
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
  if (keys->offsets) {
    const struct mr__column *spec = &job->batch->schema->columns[task];
    for (int64_t r = 0; r < job->batch->rows[spec->domain]; r++)
      for (int32_t i = keys->offsets[r]; i < keys->offsets[r + 1]; i++)
        column->owner[i] = (uint32_t)r;
  }
  return MR_OK;
}

/* Bring the slot of a key that will be probed soon into the cache. */
static inline void prefetch_slot(const struct mr__shard *shard, uint64_t key) {
  if (shard->n_slots) __builtin_prefetch(&shard->slots[key & (shard->n_slots - 1)]);
}

enum { AHEAD = 12 };

/* Probe one column's keys of a shard; new distinct keys are appended from `first` on. */
static int probe_column(struct mr__touched *rows, const mr_batch *batch, int c, int s,
                        struct mr__distinct *distinct, uint32_t *n_occurrences) {
  struct mr__shard_rows *out = &rows->shards[s];
  struct mr__column_rows *column = &rows->columns[c];
  struct mr__table *table = &rows->tables[rows->table_of[c]];
  const struct mr__shard *shard = &table->shards[s];
  const uint64_t *keys = batch->columns[c].keys;
  uint32_t end = column->start[s + 1], j = *n_occurrences;
  for (uint32_t i = column->start[s]; i < end; i++, j++) {
    if (i + AHEAD < end) prefetch_slot(shard, keys[column->at[i + AHEAD]]);
    uint32_t at = column->at[i];
    struct mr__slot *slot;
    MR_TRY(mr__table_insert(table, keys[at], &slot));
    uint32_t row = slot->row_plus_1 - 1, u = slot->unique;
    /* The slot's note of its place among the distinct keys may be of an earlier batch: it holds
     * only if that place is this row's. */
    if (u >= distinct->n || out->index[distinct->first + u] != row) {
      u = slot->unique = distinct->n++;
      out->index[distinct->first + u] = row;
      out->row[distinct->first + u] = mr__shard_row(shard, row, table->stride);
    }
    column->row[at] = out->row[distinct->first + u];
    out->unique_of[j] = u;
    out->unsorted[j] = (struct mr__occurrence){(uint32_t)c, at};
  }
  *n_occurrences = j;
  return MR_OK;
}

/* Counting sort of the occurrences by distinct key; stable, so each key's stay in order. */
static void sort_occurrences(struct mr__shard_rows *out, struct mr__distinct distinct, int t,
                             uint32_t first_occurrence, uint32_t n_occurrences) {
  uint32_t *start = out->start + distinct.first + t;
  memset(start, 0, (distinct.n + 1) * sizeof *start);
  for (uint32_t j = first_occurrence; j < n_occurrences; j++) start[out->unique_of[j] + 1]++;
  start[0] = first_occurrence;
  for (uint32_t u = 0; u < distinct.n; u++) start[u + 1] += start[u];
  for (uint32_t j = first_occurrence; j < n_occurrences; j++)
    out->occurrences[start[out->unique_of[j]]++] = out->unsorted[j];
  for (uint32_t u = distinct.n; u > 0; u--) start[u] = start[u - 1];
  start[0] = first_occurrence;
}

static int insert_shard(void *argument, int64_t task, int worker) {
  (void)worker;
  const struct job *job = argument;
  struct mr__touched *rows = job->rows;
  struct mr__shard_rows *out = &rows->shards[task];
  size_t total = 0;
  for (int c = 0; c < rows->n_columns; c++)
    if (rows->table_of[c] >= 0)
      total += rows->columns[c].start[task + 1] - rows->columns[c].start[task];
  MR_TRY(mr__grow(&out->row, &out->row_capacity, total, sizeof *out->row));
  MR_TRY(mr__grow(&out->index, &out->index_capacity, total, sizeof *out->index));
  MR_TRY(mr__grow(&out->start, &out->start_capacity, total + (size_t)rows->n_tables + 1,
                  sizeof *out->start));
  MR_TRY(mr__grow(&out->occurrences, &out->occurrences_capacity, total, sizeof *out->occurrences));
  MR_TRY(mr__grow(&out->unique_of, &out->unique_capacity, total, sizeof *out->unique_of));
  MR_TRY(mr__grow(&out->unsorted, &out->unsorted_capacity, total, sizeof *out->unsorted));
  uint32_t n_distinct = 0, n_occurrences = 0;
  for (int t = 0; t < rows->n_tables; t++) {
    struct mr__distinct *distinct = &out->tables[t];
    uint32_t first = n_occurrences;
    *distinct = (struct mr__distinct){n_distinct, 0};
    for (int c = 0; c < rows->n_columns; c++)
      if (rows->table_of[c] == t)
        MR_TRY(probe_column(rows, job->batch, c, (int)task, distinct, &n_occurrences));
    sort_occurrences(out, *distinct, t, first, n_occurrences);
    n_distinct += distinct->n;
  }
  return MR_OK;
}

int mr__touched_insert(struct mr__touched *rows, const mr_batch *batch, mr_pool *pool) {
  MR_TRY(grow_columns(rows, batch));
  struct job job = {rows, batch};
  MR_TRY(mr__pool_run(pool, split_column, &job, rows->n_columns));
  return mr__pool_run(pool, insert_shard, &job, MR__SHARDS);
}
