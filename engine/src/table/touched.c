#include "table/touched.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "kernel/family.h"

/* A table that more than this part of a batch's occurrences falls to is cut into its shards, for
 * the threads; and one with more occurrences than this, for their caches. */
enum { SPLIT_PART = 8, MOST_WHOLE = 1 << 16 };

enum { PROBE_AHEAD = 16 }; /* keys whose slots are asked for while others are read */
enum { STRETCH = 256 };    /* codes whose places are found at a time */
enum { NARROW = 8 };       /* floats of a value that is copied */

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
  rows->memos = mr__calloc((size_t)n_tables, sizeof *rows->memos);
  rows->shares = mr__calloc((size_t)n_tables * MR__SHARDS, sizeof *rows->shares);
  rows->taken = mr__calloc((size_t)n_tables * MR__SHARDS, sizeof *rows->taken);
  if (!rows->columns || !rows->memos || !rows->shares || !rows->taken) return mr__fail_memory();
  return list_columns(rows);
}

static void free_memos(struct mr__touched *rows) {
  mr__free_block(rows->memo_block, rows->memo_bytes);
  rows->memo_block = NULL;
  rows->memo_bytes = 0;
  rows->memos_of = 0;
}

void mr__touched_clear(struct mr__touched *rows) {
  for (int c = 0; rows->columns && c < rows->n_columns; c++) {
    mr__free(rows->columns[c].row);
    mr__free(rows->columns[c].at);
    mr__free(rows->columns[c].own_codes);
    mr__free(rows->columns[c].own_keys);
    mr__free(rows->columns[c].refused);
  }
  mr__free(rows->columns);
  free_memos(rows);
  mr__free(rows->memos);
  for (int s = 0; rows->shares && s < rows->n_tables * MR__SHARDS; s++) {
    struct mr__share *share = &rows->shares[s];
    mr__free(share->place_of);
    mr__free(share->row_of);
    mr__free(share->row);
    mr__free(share->values);
  }
  mr__free(rows->shares);
  mr__free(rows->taken);
  mr__free(rows->table_columns);
  mr__free(rows->first_column);
  memset(rows, 0, sizeof *rows);
}

static int check_count(const mr_batch *batch, int c) {
  int64_t n = batch->columns[c].n;
  if (n >= UINT32_MAX)
    return mr__fail(MR_EINVAL, "column \"%s\" has %lld values in one batch, at most %u fit",
                    batch->schema->columns[c].name, (long long)n, UINT32_MAX - 1);
  return MR_OK;
}

/* Room for pointers to the rows of a column's occurrences. */
static int grow_rows(struct mr__touched *rows, int c) {
  struct mr__column_rows *column = &rows->columns[c];
  column->place = NULL;
  column->values = NULL;
  return mr__grow(&column->row, &column->row_capacity, column->n, sizeof *column->row);
}

static int count_columns(struct mr__touched *rows, const mr_batch *batch) {
  for (int c = 0; c < rows->n_columns; c++) {
    if (rows->table_of[c] < 0) continue;
    struct mr__column_rows *column = &rows->columns[c];
    const struct mr__batch_column *keys = &batch->columns[c];
    column->n = (uint32_t)keys->n;
    column->is_bag = keys->offsets != NULL;
    column->width = rows->tables[rows->table_of[c]].width;
    column->codes = keys->codes;
    column->keys = keys->keys;
    column->n_refused = 0;
    MR_TRY(check_count(batch, c));
  }
  return MR_OK;
}

/* ---- memos ---- */

/* Columns of one table of a model have one table of the schema. */
static int coded_table(const struct mr__touched *rows, const mr_batch *batch, int t) {
  return batch->schema->columns[rows->table_columns[rows->first_column[t]]].table;
}

static int has_columns(const struct mr__touched *rows, int t) {
  return rows->first_column[t] < rows->first_column[t + 1];
}

/* All in one block, which is large enough for huge pages where it matters. */
static int new_memos(struct mr__touched *rows, const mr_batch *batch) {
  size_t n = 0;
  free_memos(rows);
  for (int t = 0; t < rows->n_tables; t++) {
    rows->memos[t] = (struct mr__memo){.layout = rows->tables[t].layout};
    if (has_columns(rows, t)) {
      int coded = coded_table(rows, batch, t);
      rows->memos[t].n = (size_t)batch->coding->n[coded];
      if (rows->tables[t].has_nothing && rows->tables[t].admit > 0)
        rows->memos[t].nothing =
            mr__find_code(batch->coding->keys[coded], rows->memos[t].n, MR__NOTHING_KEY);
    }
    n += rows->memos[t].n;
  }
  size_t bytes = n * sizeof *rows->memo_block;
  rows->memo_block = mr__calloc_block(bytes);
  if (!rows->memo_block) return mr__fail_memory();
  rows->memo_bytes = bytes;
  mr__populate(rows->memo_block, bytes); /* its entries are read first, here and there */
  struct mr__memo_entry *entries = rows->memo_block;
  for (int t = 0; t < rows->n_tables; entries += rows->memos[t++].n)
    rows->memos[t].entries = entries;
  rows->memos_of = batch->coding->serial;
  return MR_OK;
}

/* Where those that are there are of another dataset, or of rows that have other numbers now, new
 * ones. */
static int prepare_memos(struct mr__touched *rows, const mr_batch *batch) {
  if (!batch->coding) return MR_OK;
  int usable = rows->memos_of == batch->coding->serial;
  for (int t = 0; t < rows->n_tables; t++)
    usable &= rows->memos[t].layout == rows->tables[t].layout;
  return usable ? MR_OK : new_memos(rows, batch);
}

/* The first of n numbers that no note of the memo has reached: as mr__table_notes. */
static uint32_t memo_notes(struct mr__memo *memo, uint32_t n) {
  if (memo->next_note > UINT32_MAX - n) {
    for (size_t i = 0; i < memo->n; i++) memo->entries[i].note = 0;
    memo->next_note = 0;
  }
  uint32_t first = memo->next_note > 0 ? memo->next_note : 1;
  memo->next_note = first + n;
  return first;
}

/* The key of a code. A shard of the memo holds numbers of rows of the same shard of the table. */
static int read_code(const struct mr__touched *rows, const mr_batch *batch, int t, uint32_t code,
                     uint64_t *key) {
  *key = batch->coding->keys[coded_table(rows, batch, t)][code];
  if (mr__shard_of(*key) == mr__code_shard(code)) return MR_OK;
  return mr__fail(MR_EDATA,
                  "%s: the cache is damaged at code %u of table \"%s\"; delete it and build it "
                  "again",
                  batch->coding->path, code, rows->tables[t].name);
}

/* ---- predicting ---- */

/* What a column reads where a table has no row of a value. */
static float *other_row(const struct mr__table *table, const mr_batch *batch, int c) {
  int reads_nothing = batch->schema->columns[c].unseen == MR_UNSEEN_ZERO;
  float *nothing = reads_nothing ? mr__table_find(table, MR__NOTHING_KEY) : NULL;
  return nothing ? nothing : mr__table_find(table, MR__UNKNOWN_KEY);
}

static void note_unseen(struct mr__column_rows *to, int64_t position) {
  if (to->unseen++ == 0) to->first_unseen = position;
}

/* Other columns of the table may be at the same entries: what they write there is the same. */
static int find_codes(struct mr__touched *rows, const mr_batch *batch, int c) {
  int t = rows->table_of[c];
  const struct mr__table *table = &rows->tables[t];
  struct mr__memo_entry *entries = rows->memos[t].entries;
  const struct mr__batch_column *column = &batch->columns[c];
  struct mr__column_rows *to = &rows->columns[c];
  float **row = to->row, *other = other_row(table, batch, c);
  const float *nothing = table->has_nothing ? mr__table_find(table, MR__NOTHING_KEY) : NULL;
  for (int64_t i = 0; i < column->n; i++) {
    uint32_t code = column->codes[i];
    uint32_t *known = &entries[code].number_plus_1;
    int64_t number = (int64_t)__atomic_load_n(known, __ATOMIC_RELAXED) - 1;
    if (number < 0) {
      uint64_t key;
      MR_TRY(read_code(rows, batch, t, code, &key));
      number = mr__table_find_number(table, key);
      if (number < UINT32_MAX) __atomic_store_n(known, (uint32_t)(number + 1), __ATOMIC_RELAXED);
    }
    if (number < 0) note_unseen(to, i);
    row[i] = number < 0 ? other : mr__table_numbered(table, mr__code_shard(code), number);
    to->filled += code != MR__UNKNOWN_CODE && (number < 0 || row[i] != nothing);
  }
  return MR_OK;
}

static void find_keys(const struct mr__table *table, const mr_batch *batch, int c,
                      struct mr__column_rows *to) {
  const struct mr__batch_column *column = &batch->columns[c];
  float *other = other_row(table, batch, c), *unknown = mr__table_find(table, MR__UNKNOWN_KEY);
  mr__table_find_all(table, column->keys, column->n, to->row);
  for (int64_t i = 0; i < column->n; i++) {
    to->filled += column->keys[i] != MR__UNKNOWN_KEY;
    if (to->row[i] != unknown) continue;
    if (column->keys[i] != MR__UNKNOWN_KEY) note_unseen(to, i);
    to->row[i] = other;
  }
}

static int find_rows(struct mr__touched *rows, const mr_batch *batch, int c) {
  if (rows->table_of[c] < 0) return MR_OK;
  MR_TRY(check_count(batch, c));
  rows->columns[c].n = (uint32_t)batch->columns[c].n;
  MR_TRY(grow_rows(rows, c));
  rows->columns[c].filled = rows->columns[c].unseen = 0;
  rows->columns[c].first_unseen = -1;
  if (batch->coding) return find_codes(rows, batch, c);
  find_keys(&rows->tables[rows->table_of[c]], batch, c, &rows->columns[c]);
  return MR_OK;
}

/* The owner of a position in lists that begin at starts. */
static int64_t owner_of(const int32_t *starts, int64_t position) {
  int64_t row = 0;
  while (starts[row + 1] <= position) row++;
  return row;
}

int64_t mr__touched_unseen_row(const struct mr__touched *rows, const mr_batch *batch, int c) {
  int sequence = batch->schema->columns[c].sequence;
  if (rows->table_of[c] < 0 || rows->columns[c].unseen == 0) return -1;
  int64_t row = rows->columns[c].first_unseen;
  if (batch->columns[c].offsets) row = owner_of(batch->columns[c].offsets, row);
  return sequence < 0 ? row : owner_of(batch->sequences[sequence].first, row);
}

int mr__touched_find_column(struct mr__touched *rows, const mr_batch *batch, int c) {
  assert(!batch->coding);
  return find_rows(rows, batch, c);
}

static int find_column(void *argument, int64_t task, int worker) {
  (void)worker;
  const struct job *job = argument;
  return find_rows(job->rows, job->batch, (int)task);
}

int mr__touched_find(struct mr__touched *rows, const mr_batch *batch, mr_pool *pool) {
  struct job job = {rows, batch};
  MR_TRY(prepare_memos(rows, batch));
  return mr__pool_run(pool, find_column, &job, rows->n_columns);
}

/* ---- training: keys that have to wait for a row ---- */

static int is_admitted(const struct mr__table *table, uint64_t key) {
  return mr__waiting_count(&table->waiting, key) >= table->admit ||
         mr__table_find_number(table, key) >= 0;
}

static int refuse(struct mr__column_rows *column, uint64_t key) {
  if (column->n_refused == column->refused_capacity)
    MR_TRY(mr__grow(&column->refused, &column->refused_capacity, column->n_refused + 1,
                    sizeof *column->refused));
  column->refused[column->n_refused++] = key;
  return MR_OK;
}

static int admit_codes(struct mr__touched *rows, const mr_batch *batch, int c) {
  int t = rows->table_of[c];
  struct mr__column_rows *column = &rows->columns[c];
  int reads_nothing = batch->schema->columns[c].unseen == MR_UNSEEN_ZERO;
  uint32_t other = reads_nothing ? rows->memos[t].nothing : MR__UNKNOWN_CODE;
  MR_TRY(mr__grow(&column->own_codes, &column->own_codes_capacity, column->n,
                  sizeof *column->own_codes));
  for (uint32_t i = 0; i < column->n; i++) {
    uint32_t code = batch->columns[c].codes[i];
    column->own_codes[i] = code;
    if (rows->memos[t].entries[code].number_plus_1) continue;
    uint64_t key;
    MR_TRY(read_code(rows, batch, t, code, &key));
    if (is_admitted(&rows->tables[t], key)) continue;
    column->own_codes[i] = other;
    MR_TRY(refuse(column, key));
  }
  column->codes = column->own_codes;
  return MR_OK;
}

static int admit_keys(struct mr__touched *rows, const mr_batch *batch, int c) {
  const struct mr__table *table = &rows->tables[rows->table_of[c]];
  struct mr__column_rows *column = &rows->columns[c];
  int reads_nothing = table->has_nothing && batch->schema->columns[c].unseen == MR_UNSEEN_ZERO;
  MR_TRY(
      mr__grow(&column->own_keys, &column->own_keys_capacity, column->n, sizeof *column->own_keys));
  for (uint32_t i = 0; i < column->n; i++) {
    uint64_t key = batch->columns[c].keys[i];
    column->own_keys[i] = key;
    if (is_admitted(table, key)) continue;
    column->own_keys[i] = reads_nothing ? MR__NOTHING_KEY : MR__UNKNOWN_KEY;
    MR_TRY(refuse(column, key));
  }
  column->keys = column->own_keys;
  return MR_OK;
}

static int admit_column(void *argument, int64_t task, int worker) {
  (void)worker;
  const struct job *job = argument;
  int t = job->rows->table_of[task];
  if (t < 0 || job->rows->tables[t].admit == 0) return MR_OK;
  return job->batch->coding ? admit_codes(job->rows, job->batch, (int)task)
                            : admit_keys(job->rows, job->batch, (int)task);
}

struct count_job {
  struct mr__touched *rows;
  uint32_t date;
};

static int count_table(void *argument, int64_t task, int worker) {
  (void)worker;
  const struct count_job *job = argument;
  struct mr__touched *rows = job->rows;
  for (int k = rows->first_column[task]; k < rows->first_column[task + 1]; k++) {
    struct mr__column_rows *column = &rows->columns[rows->table_columns[k]];
    for (size_t i = 0; i < column->n_refused; i++)
      MR_TRY(mr__waiting_add(&rows->tables[task].waiting, column->refused[i], 1, job->date));
    column->n_refused = 0;
  }
  return MR_OK;
}

static int admits(const struct mr__touched *rows) {
  int any = 0;
  for (int t = 0; t < rows->n_tables; t++) any |= rows->tables[t].admit > 0;
  return any;
}

int mr__touched_count(struct mr__touched *rows, int64_t step, mr_pool *pool) {
  struct count_job job = {rows, mr__date(step)};
  return admits(rows) ? mr__pool_run(pool, count_table, &job, rows->n_tables) : MR_OK;
}

/* ---- training: the shares ---- */

static int count_occurrences(const struct mr__touched *rows, int t, uint32_t *n) {
  uint64_t sum = 0;
  for (int k = rows->first_column[t]; k < rows->first_column[t + 1]; k++)
    sum += rows->columns[rows->table_columns[k]].n;
  if (sum >= UINT32_MAX)
    return mr__fail(MR_EINVAL, "table \"%s\" is read %llu times in one batch, at most %u fit",
                    rows->tables[t].name, (unsigned long long)sum, UINT32_MAX - 1);
  *n = (uint32_t)sum;
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
    if (rows->table_of[c] >= 0) total += rows->columns[c].n;
  rows->n_shares = *n_split = 0;
  for (int t = 0; t < rows->n_tables; t++) {
    uint32_t n = 0;
    MR_TRY(count_occurrences(rows, t, &n));
    int split = (int64_t)n * SPLIT_PART > total || n > MOST_WHOLE;
    int step = split ? 1 : MR__SHARDS;
    uint32_t note =
        batch->coding ? memo_notes(&rows->memos[t], n) : mr__table_notes(&rows->tables[t], n);
    for (int s = 0; s < MR__SHARDS; s += step) take_share(rows, t, s, step, note);
    *n_split += split;
  }
  return MR_OK;
}

static int is_split(const struct mr__touched *rows, int t) {
  return rows->shares[t * MR__SHARDS].n_shards == 1;
}

static int grow_positions(struct mr__touched *rows) {
  for (int c = 0; c < rows->n_columns; c++) {
    if (rows->table_of[c] < 0 || !is_split(rows, rows->table_of[c])) continue;
    struct mr__column_rows *column = &rows->columns[c];
    MR_TRY(grow_rows(rows, c));
    MR_TRY(mr__grow(&column->at, &column->at_capacity, column->n, sizeof *column->at));
  }
  return MR_OK;
}

static inline int shard_at(const struct mr__column_rows *column, int64_t i, int coded) {
  return coded ? mr__code_shard(column->codes[i]) : mr__shard_of(column->keys[i]);
}

/* Sort the positions of a column of a split table by shard, keeping their order. */
static int split_column(void *argument, int64_t task, int worker) {
  (void)worker;
  const struct job *job = argument;
  const struct mr__touched *rows = job->rows;
  if (rows->table_of[task] < 0 || !is_split(rows, rows->table_of[task])) return MR_OK;
  struct mr__column_rows *column = &rows->columns[task];
  int coded = job->batch->coding != NULL;
  uint32_t next[MR__SHARDS] = {0};
  for (int64_t i = 0; i < column->n; i++) next[shard_at(column, i, coded)]++;
  uint32_t sum = 0;
  for (int s = 0; s < MR__SHARDS; s++) {
    uint32_t count = next[s];
    column->start[s] = next[s] = sum;
    sum += count;
  }
  column->start[MR__SHARDS] = sum;
  for (int64_t i = 0; i < column->n; i++)
    column->at[next[shard_at(column, i, coded)]++] = (uint32_t)i;
  return MR_OK;
}

/* ---- training: the keys of a share ---- */

/* Where the keys of each shard of a share would be at home, next to one another. */
struct homes {
  struct {
    struct mr__slot *slots;
    uint64_t mask;
  } shards[MR__SHARDS];
};

static void list_homes(const struct mr__table *table, const struct mr__share *share,
                       struct homes *homes) {
  static struct mr__slot none; /* empty, and never written */
  /* Other shards may be growing, in other threads. */
  for (int s = share->first_shard; s < share->first_shard + share->n_shards; s++) {
    const struct mr__shard *shard = &table->shards[s];
    homes->shards[s].slots = shard->n_slots ? shard->slots : &none;
    homes->shards[s].mask = shard->n_slots ? shard->n_slots - 1 : 0;
  }
}

static inline struct mr__slot *home_of(const struct homes *homes, uint64_t key) {
  int s = mr__shard_of(key);
  return homes->shards[s].slots + (key & homes->shards[s].mask);
}

/* The next place is that of a slot's key, which the batch has not had so far. */
static inline void take_place(const struct mr__table *table, const struct mr__shard *shard,
                              struct mr__slot *slot, struct mr__share *share) {
  slot->note = share->note + share->n;
  share->row[share->n] = mr__shard_row(shard, slot->row_plus_1 - 1, table->stride);
  __builtin_prefetch(share->row[share->n++]); /* forward reads it soon */
}

/* A key that is not at its home: it has no row yet, or lies further on. Where it comes for the
 * first time in this batch it takes its home over from a key that the batch has not had so far: a
 * probe that ends there ends here as well. So keys that come in every batch are soon found at the
 * first look. */
static int find_slowly(struct mr__table *table, uint64_t key, struct mr__share *share,
                       struct homes *homes, uint32_t *place) {
  struct mr__slot *slot, *home;
  struct mr__shard *shard = &table->shards[mr__shard_of(key)];
  const struct mr__slot *slots = shard->slots;
  MR_TRY(mr__table_insert(table, key, &slot));
  if (shard->slots != slots) list_homes(table, share, homes);
  if (slot->note < share->note) take_place(table, shard, slot, share);
  *place = slot->note - share->note;
  home = mr__shard_home(shard, key);
  if (home->note < share->note) {
    struct mr__slot other = *home;
    *home = *slot;
    *slot = other;
  }
  return MR_OK;
}

/* The row of a code whose key is not known to have one. */
static int find_number(struct mr__touched *rows, const mr_batch *batch, int t, uint32_t code,
                       struct mr__memo_entry *entry) {
  uint64_t key;
  struct mr__slot *slot;
  MR_TRY(read_code(rows, batch, t, code, &key));
  MR_TRY(mr__table_insert(&rows->tables[t], key, &slot));
  entry->number_plus_1 = slot->row_plus_1;
  return MR_OK;
}

/* Ask for the slots of keys that get their rows now, all of a stretch at once, so that most misses
 * overlap. Always inline, as mr__table_prefetch. */
static inline __attribute__((always_inline)) void
prefetch_fresh(const struct mr__touched *rows, const mr_batch *batch, int t, const uint32_t *codes,
               const uint32_t *fresh, uint32_t n) {
  const struct mr__memo_entry *entries = rows->memos[t].entries;
  const uint64_t *keys = batch->coding->keys[coded_table(rows, batch, t)];
  for (uint32_t k = 0; k < n; k++) {
    uint32_t code = codes[fresh[k]];
    if (entries[code].number_plus_1 == 0 && mr__shard_of(keys[code]) == mr__code_shard(code))
      mr__table_prefetch(&rows->tables[t], keys[code]);
  }
}

/* Find the places of a stretch of codes: note those of codes that the batch had before, then go
 * through the others. */
static int probe_stretch(struct mr__touched *rows, const mr_batch *batch, struct mr__share *share,
                         const uint32_t *codes, uint32_t n, uint32_t *place_of) {
  struct mr__memo_entry *entries = rows->memos[share->table].entries;
  uint32_t fresh[STRETCH + MR__FRESH_PAD], note = share->note;
  uint32_t n_fresh = mr__family()->note_codes(entries, codes, n, note, place_of, fresh);
  prefetch_fresh(rows, batch, share->table, codes, fresh, n_fresh);
  const struct mr__table *table = &rows->tables[share->table];
  float **row = share->row;
  uint32_t distinct = share->n;
  for (uint32_t k = 0; k < n_fresh; k++) {
    uint32_t code = codes[fresh[k]];
    struct mr__memo_entry *entry = &entries[code];
    if (entry->note < note) { /* not had in this stretch either: it takes the next place */
      if (entry->number_plus_1 == 0) MR_TRY(find_number(rows, batch, share->table, code, entry));
      row[distinct] = mr__shard_row(&table->shards[mr__code_shard(code)], entry->number_plus_1 - 1,
                                    table->stride);
      __builtin_prefetch(row[distinct]); /* forward reads it soon */
      entry->note = note + distinct++;
    }
    place_of[fresh[k]] = entry->note - note;
  }
  share->n = distinct;
  return MR_OK;
}

/* Find the places of one column's codes. */
static int probe_codes(struct mr__touched *rows, const mr_batch *batch, int c,
                       struct mr__share *share, struct mr__column_share part, uint32_t *place_of) {
  const uint32_t *codes = rows->columns[c].codes;
  for (uint32_t first = 0; first < part.n; first += STRETCH) {
    uint32_t own[STRETCH], n = part.n - first < STRETCH ? part.n - first : STRETCH;
    for (uint32_t j = 0; part.at && j < n; j++) own[j] = codes[part.at[first + j]];
    MR_TRY(probe_stretch(rows, batch, share, part.at ? own : codes + first, n, place_of + first));
  }
  return MR_OK;
}

/* Find the places of one column's keys. */
static int probe_column(struct mr__touched *rows, const uint64_t *keys, struct mr__share *share,
                        struct mr__column_share part, uint32_t *place_of) {
  struct mr__table *table = &rows->tables[share->table];
  const uint32_t *at = part.at, note = share->note;
  struct homes homes;
  list_homes(table, share, &homes);
  for (uint32_t j = 0; j < part.n; j++) {
    uint32_t i = at ? at[j] : j, ahead = j + PROBE_AHEAD < part.n ? j + PROBE_AHEAD : j;
    __builtin_prefetch(home_of(&homes, keys[at ? at[ahead] : ahead]));
    struct mr__slot *home = home_of(&homes, keys[i]);
    if (home->key != keys[i] || home->row_plus_1 == 0) {
      MR_TRY(find_slowly(table, keys[i], share, &homes, &place_of[j]));
      continue;
    }
    if (home->note < note) take_place(table, &table->shards[mr__shard_of(keys[i])], home, share);
    place_of[j] = home->note - note;
  }
  return MR_OK;
}

/* Lookups read the rows of one share by their places, and rows that are in many by pointers. */
static void show_rows(struct mr__column_rows *column, const struct mr__share *share,
                      struct mr__column_share part, const uint32_t *place_of) {
  if (!part.at) {
    column->place = place_of;
    column->distinct = share->row;
    column->values = share->values;
  }
  for (uint32_t j = 0; part.at && j < part.n; j++)
    column->row[part.at[j]] = share->row[place_of[j]];
}

/* Whose each occurrence of a column is: the rows of a bag's keys, or where they were sorted. */
static void list_rows(const struct mr__batch_column *keys, struct mr__column_share part,
                      uint32_t *row_of) {
  uint32_t row = 0;
  for (uint32_t j = 0; j < part.n; j++) {
    uint32_t i = part.at ? part.at[j] : j;
    while (keys->offsets && (uint32_t)keys->offsets[row + 1] <= i) row++;
    row_of[j] = keys->offsets ? row : i;
  }
}

/* Of narrow rows many values fit a line of the cache, and each row is in a line of its own. */
static int copies_values(const struct mr__table *table, const struct mr__share *share) {
  return table->width <= NARROW && share->n_shards > 1;
}

static void copy_values(const struct mr__table *table, const struct mr__share *share) {
  size_t width = (size_t)table->width;
  for (uint32_t u = 0; u < share->n; u++)
    for (size_t e = 0; e < width; e++) share->values[u * width + e] = share->row[u][e];
}

/* An empty share has lists too: places in them are pointed at before any is read. */
static int grow_share(const struct mr__table *table, struct mr__share *share) {
  size_t n = share->n_occurrences > 0 ? share->n_occurrences : 1;
  MR_TRY(mr__grow(&share->place_of, &share->place_capacity, n, sizeof *share->place_of));
  MR_TRY(mr__grow(&share->row_of, &share->row_of_capacity, n, sizeof *share->row_of));
  if (copies_values(table, share))
    MR_TRY(mr__grow(&share->values, &share->values_capacity, n * (size_t)table->width,
                    sizeof *share->values));
  return mr__grow(&share->row, &share->row_capacity, n, sizeof *share->row);
}

static int insert_share(void *argument, int64_t task, int worker) {
  (void)worker;
  const struct job *job = argument;
  struct mr__touched *rows = job->rows;
  struct mr__share *share = rows->taken[task];
  const struct mr__table *table = &rows->tables[share->table];
  const int *columns = rows->table_columns + rows->first_column[share->table];
  int n_columns = rows->first_column[share->table + 1] - rows->first_column[share->table];
  share->n = share->n_occurrences = 0;
  for (int k = 0; k < n_columns; k++)
    share->n_occurrences += mr__column_share(share, &rows->columns[columns[k]]).n;
  MR_TRY(grow_share(table, share));
  uint32_t first = 0;
  for (int k = 0; k < n_columns; k++) {
    const struct mr__batch_column *keys = &job->batch->columns[columns[k]];
    struct mr__column_share part = mr__column_share(share, &rows->columns[columns[k]]);
    uint32_t *place_of = share->place_of + first;
    if (job->batch->coding)
      MR_TRY(probe_codes(rows, job->batch, columns[k], share, part, place_of));
    else
      MR_TRY(probe_column(rows, rows->columns[columns[k]].keys, share, part, place_of));
    show_rows(&rows->columns[columns[k]], share, part, place_of);
    if (part.listed) list_rows(keys, part, share->row_of + first);
    first += part.n;
  }
  if (copies_values(table, share)) copy_values(table, share);
  return MR_OK;
}

/* Tables begin with slots for all keys of the dataset, but where these may never have a row. Codes
 * are as many as the largest shard's keys need. */
static int reserve_tables(struct mr__touched *rows) {
  for (int t = 0; t < rows->n_tables; t++) {
    struct mr__table *table = &rows->tables[t];
    if (table->admit > 0 || table->expire > 0) continue;
    size_t in_shard = rows->memos[t].n / MR__SHARDS;
    if (in_shard >= MR__CODES_IN_LINE)
      MR_TRY(mr__table_reserve(table, in_shard - (MR__CODES_IN_LINE - 1)));
  }
  return MR_OK;
}

int mr__touched_insert(struct mr__touched *rows, const mr_batch *batch, mr_pool *pool) {
  int n_split;
  uint64_t memos_of = rows->memos_of;
  MR_TRY(count_columns(rows, batch));
  MR_TRY(prepare_memos(rows, batch));
  if (rows->memos_of != memos_of) MR_TRY(reserve_tables(rows));
  struct job job = {rows, batch};
  if (admits(rows)) MR_TRY(mr__pool_run(pool, admit_column, &job, rows->n_columns));
  MR_TRY(cut_shares(rows, batch, &n_split));
  MR_TRY(grow_positions(rows));
  if (n_split > 0) MR_TRY(mr__pool_run(pool, split_column, &job, rows->n_columns));
  return mr__pool_run(pool, insert_share, &job, rows->n_shares);
}

const struct mr__share *mr__touched_share(const struct mr__touched *rows, int table, uint64_t key) {
  return &rows->shares[table * MR__SHARDS + (is_split(rows, table) ? mr__shard_of(key) : 0)];
}
