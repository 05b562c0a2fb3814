/* The rows that a batch touches, against a brute-force grouping: which keys, whose rows, which
 * occurrences and in which order, for columns that share tables, bags, tables in one piece and in
 * shards, several batches one after another, and notes at their largest number. */
#include "table/touched.h"

#include <string.h>

#include "base/alloc.h"
#include "base/random.h"
#include "check.h"

enum { COLUMNS = 7, TABLES = 3, BATCHES = 12, MOST_BAG = 4 };

static const struct {
  const char *name, *table;
  int type, domain, in_table;
} columns[COLUMNS] = {{"a", "t", MR_ID, MR_SAMPLE, 0},    {"n", NULL, MR_NUMBER, MR_SAMPLE, -1},
                      {"b", "t", MR_ID, MR_REQUEST, 0},   {"c", "t", MR_IDS, MR_SAMPLE, 0},
                      {"d", "u", MR_IDS, MR_REQUEST, 1},  {"e", "u", MR_ID, MR_SAMPLE, 1},
                      {"f", "v", MR_ID, MR_REQUEST, 2}};
static int table_of[COLUMNS];

static uint64_t drawn;
static uint32_t draw(uint32_t below) {
  return mr__random(2, MR__RANDOM_TEST, 9, drawn++).v[0] % below;
}

/* Few different keys, so that they repeat: 0, small ones, and some in every shard. */
static uint64_t draw_key(void) {
  uint64_t n = draw(60);
  return n < 10 ? n : mr__random(3, MR__RANDOM_TEST, 0, n).v[0] * 0x100000001ull;
}

static mr_schema *new_schema(void) {
  mr_schema *schema;
  NEED(mr_schema_new(&schema) == MR_OK);
  for (int c = 0; c < COLUMNS; c++) {
    mr_column_spec spec = {.name = columns[c].name, .table = columns[c].table,
                           .type = columns[c].type, .domain = columns[c].domain};
    NEED(mr_schema_add_column(schema, &spec) == MR_OK);
    table_of[c] = columns[c].in_table;
  }
  return schema;
}

static mr_batch *new_batch(const mr_schema *schema) {
  int32_t sizes[50], offsets[400] = {0};
  uint64_t keys[400 * MOST_BAG];
  int requests = 1 + (int)draw(50);
  for (int q = 0; q < requests; q++) sizes[q] = 1 + (int32_t)draw(6);
  mr_batch *batch;
  NEED(mr_batch_new(&batch, schema, requests, sizes) == MR_OK);
  for (int c = 0; c < COLUMNS; c++) {
    int64_t rows = batch->rows[columns[c].domain];
    if (columns[c].type == MR_ID)
      for (int64_t r = 0; r < rows; r++) batch->columns[c].keys[r] = draw_key();
    if (columns[c].type != MR_IDS) continue;
    for (int64_t r = 0; r < rows; r++) {
      offsets[r + 1] = offsets[r] + (int32_t)draw(MOST_BAG + 1);
      for (int32_t i = offsets[r]; i < offsets[r + 1]; i++) keys[i] = draw_key();
    }
    NEED(mr_batch_set_bags(batch, c, offsets, keys) == MR_OK);
  }
  return batch;
}

/* The occurrences of one key: the columns of its table in order, the rows of each in order. Row r
 * of a column has the number of rows that the domains of the columns before it have, plus r. */
static int occurrences_of(const mr_batch *batch, int table, uint64_t key, uint32_t *out) {
  int n = 0;
  uint32_t first = 0;
  for (int c = 0; c < COLUMNS; c++) {
    if (columns[c].in_table != table) continue;
    const struct mr__batch_column *column = &batch->columns[c];
    int64_t rows = batch->rows[columns[c].domain];
    for (int64_t r = 0; r < rows; r++) {
      int64_t i = column->offsets ? column->offsets[r] : r;
      int64_t end = column->offsets ? column->offsets[r + 1] : r + 1;
      for (; i < end; i++)
        if (column->keys[i] == key) out[n++] = first + (uint32_t)r;
    }
    first += (uint32_t)rows;
  }
  return n;
}

/* Distinct keys of a table in a range of shards, in the order in which they first occur. */
static int distinct_of(const mr_batch *batch, const struct mr__share *share, uint64_t *out) {
  int n = 0;
  for (int c = 0; c < COLUMNS; c++)
    for (int64_t i = 0; columns[c].in_table == share->table && i < batch->columns[c].n; i++) {
      uint64_t key = batch->columns[c].keys[i];
      int shard = mr__shard_of(key) - share->first_shard;
      int known = shard < 0 || shard >= share->n_shards;
      for (int k = 0; k < n; k++) known |= out[k] == key;
      if (!known) out[n++] = key;
    }
  return n;
}

static void check_share(const struct mr__touched *rows, const mr_batch *batch,
                        const struct mr__share *share) {
  uint64_t keys[4000];
  uint32_t wanted[4000];
  int n = distinct_of(batch, share, keys);
  CHECK((int)share->n == n, "%u distinct keys, expected %d", share->n, n);
  if ((int)share->n != n) return;
  for (int u = 0; u < n; u++) {
    float *row = mr__table_find(&rows->tables[share->table], keys[u]);
    CHECK(row && share->row[u] == row, "key %d has another row", u);
    CHECK(mr__touched_share(rows, share->table, keys[u]) == share, "key %d: another share", u);
    int count = occurrences_of(batch, share->table, keys[u], wanted);
    CHECK((int)(share->start[u + 1] - share->start[u]) == count,
          "key %d occurs %u times, expected %d", u, share->start[u + 1] - share->start[u], count);
    CHECK(memcmp(share->occurrences + share->start[u], wanted,
                 (size_t)count * sizeof *wanted) == 0,
          "key %d: other occurrences, or another order", u);
  }
}

/* Every shard of every table belongs to one share; a table that rules the batch is split. */
static void check_cut(const struct mr__touched *rows) {
  int seen[TABLES][MR__SHARDS] = {{0}};
  for (int i = 0; i < rows->n_shares; i++)
    for (int s = 0; s < rows->taken[i]->n_shards; s++)
      seen[rows->taken[i]->table][rows->taken[i]->first_shard + s]++;
  for (int t = 0; t < TABLES; t++)
    for (int s = 0; s < MR__SHARDS; s++)
      CHECK(seen[t][s] == 1, "shard %d of table %d is in %d shares", s, t, seen[t][s]);
  CHECK(mr__touched_share(rows, 0, 0)->n_shards == 1, "the table of most columns is not split");
  CHECK(mr__touched_share(rows, 2, 0)->n_shards == MR__SHARDS, "a small table is split");
}

static void check_columns(const struct mr__touched *rows, const mr_batch *batch, int found) {
  for (int c = 0; c < COLUMNS; c++) {
    const struct mr__batch_column *column = &batch->columns[c];
    if (table_of[c] < 0) continue;
    const struct mr__table *table = &rows->tables[table_of[c]];
    for (int64_t i = 0; i < column->n; i++) {
      float *row = mr__table_find(table, column->keys[i]);
      CHECK(found || row, "a key of the batch has no row");
      if (!row) row = mr__table_find(table, MR__UNKNOWN_KEY);
      CHECK(rows->columns[c].row[i] == row, "column %d, occurrence %lld: another row", c,
            (long long)i);
    }
    for (int64_t r = 0; !found && column->offsets && r < batch->rows[columns[c].domain]; r++)
      for (int32_t i = column->offsets[r]; i < column->offsets[r + 1]; i++)
        CHECK(rows->columns[c].owner[i] == r, "column %d: occurrence %d belongs to row %u", c, i,
              rows->columns[c].owner[i]);
  }
}

static void check(const mr_schema *schema, int threads) {
  static const char *const names[TABLES] = {"t", "u", "v"};
  struct mr__table tables[TABLES];
  mr_pool *pool;
  struct mr__touched rows;
  struct mr__slot *slot;
  int offset;
  NEED(mr_pool_new(&pool, threads) == MR_OK);
  for (int t = 0; t < TABLES; t++) {
    NEED(mr__table_init(&tables[t], names[t], 1) == MR_OK);
    NEED(mr__table_part(&tables[t], "embedding", 3, MR__START_NORMAL, 1, &offset) == MR_OK);
    NEED(mr__table_insert(&tables[t], MR__UNKNOWN_KEY, &slot) == MR_OK);
  }
  NEED(mr__touched_init(&rows, tables, TABLES, table_of, COLUMNS) == MR_OK);
  for (int b = 0; b < BATCHES; b++) {
    if (b == BATCHES / 2) /* soon no number is left for notes */
      for (int t = 0; t < TABLES; t++) tables[t].next_note = UINT32_MAX - 300;
    mr_batch *batch = new_batch(schema), *other = new_batch(schema);
    NEED(mr__touched_find(&rows, other, pool) == MR_OK); /* some of its keys are unknown */
    check_columns(&rows, other, 1);
    NEED(mr__touched_insert(&rows, batch, pool) == MR_OK);
    check_columns(&rows, batch, 0);
    check_cut(&rows);
    for (int i = 0; i < rows.n_shares; i++) check_share(&rows, batch, rows.taken[i]);
    mr_batch_free(batch), mr_batch_free(other);
  }
  mr__touched_clear(&rows);
  for (int t = 0; t < TABLES; t++) mr__table_clear(&tables[t]);
  mr_pool_free(pool);
}

int main(void) {
  int64_t live = mr_alloc_live();
  mr_schema *schema = new_schema();
  check(schema, 1);
  check(schema, 4);
  mr_schema_free(schema);
  CHECK(mr_alloc_live() == live, "%lld blocks leak", (long long)(mr_alloc_live() - live));
  return check_end();
}
