/* The rows that a batch touches, against a brute-force grouping: which keys, whose rows, which
 * occurrences and in which order, for columns that share tables, bags, tables in one piece and in
 * shards, several batches one after another, and notes at their largest number; batches of keys, of
 * codes, of both in turn, of two datasets with other codes, and rows that are laid out anew; slots
 * that are there beforehand. */
#include "table/touched.h"

#include <string.h>

#include "base/alloc.h"
#include "base/random.h"
#include "check.h"
#include "families.h"
#include "kernel/family.h"

enum { COLUMNS = 7, TABLES = 3, BATCHES = 12, MOST_BAG = 4, WIDE = 9 };

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

/* ---- codes ---- */

enum { MOST_CODES = 12 * MR__CODE_STEP };

/* A dataset's dictionary of one table, made as keys come. */
static struct dictionary {
  uint64_t keys[TABLES][MOST_CODES];
  uint32_t n[TABLES][MR__SHARDS];
  int64_t codes[TABLES];
  const uint64_t *lists[TABLES];
  struct mr__coding coding;
} dictionaries[2];

static void start_dictionary(struct dictionary *dictionary, uint64_t serial) {
  memset(dictionary, 0, sizeof *dictionary);
  for (int t = 0; t < TABLES; t++) {
    dictionary->n[t][0] = 1; /* unknown */
    dictionary->codes[t] = MOST_CODES;
    dictionary->lists[t] = dictionary->keys[t];
  }
  dictionary->coding = (struct mr__coding){"cache", serial, dictionary->codes, dictionary->lists};
}

static uint32_t code_of(struct dictionary *dictionary, int t, uint64_t key) {
  int s = mr__shard_of(key);
  uint32_t index = 0;
  while (index < dictionary->n[t][s] && dictionary->keys[t][mr__code(s, index)] != key) index++;
  uint32_t code = mr__code(s, index);
  NEED(code < MOST_CODES);
  if (index == dictionary->n[t][s]) dictionary->keys[t][code] = key, dictionary->n[t][s]++;
  CHECK(mr__code_shard(code) == s && mr__code_index(code) == index, "code %u", code);
  return code;
}

/* What holds keys holds the codes of a dataset from now on; the keys stay, to compare with. */
static void encode(mr_batch *batch, struct dictionary *dictionary) {
  for (int c = 0; c < COLUMNS; c++) {
    struct mr__batch_column *column = &batch->columns[c];
    int table = batch->schema->columns[c].table;
    if (table < 0) continue;
    NEED(mr__grow(&column->codes, &column->codes_capacity, (size_t)column->n,
                  sizeof *column->codes) == MR_OK);
    for (int64_t i = 0; i < column->n; i++)
      column->codes[i] = code_of(dictionary, table, column->keys[i]);
  }
  batch->coding = &dictionary->coding;
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

static int is_in(const struct mr__share *share, uint64_t key) {
  int shard = mr__shard_of(key) - share->first_shard;
  return shard >= 0 && shard < share->n_shards;
}

/* The keys of a share by the column and the row that have them: columns in order, rows in order. */
struct occurrence {
  int column;
  uint32_t row;
  uint64_t key;
};

static uint32_t occurrences_of(const mr_batch *batch, const struct mr__share *share,
                               struct occurrence *out) {
  uint32_t n = 0;
  for (int c = 0; c < COLUMNS; c++) {
    const struct mr__batch_column *column = &batch->columns[c];
    if (columns[c].in_table != share->table) continue;
    for (int64_t r = 0; r < batch->rows[columns[c].domain]; r++) {
      int64_t i = column->offsets ? column->offsets[r] : r;
      int64_t end = column->offsets ? column->offsets[r + 1] : r + 1;
      for (; i < end; i++)
        if (is_in(share, column->keys[i]))
          out[n++] = (struct occurrence){c, (uint32_t)r, column->keys[i]};
    }
  }
  return n;
}

/* Distinct keys in the order in which they first occur. */
static uint32_t distinct_of(const struct occurrence *occurrences, uint32_t n, uint64_t *out) {
  uint32_t n_out = 0;
  for (uint32_t i = 0; i < n; i++) {
    int known = 0;
    for (uint32_t k = 0; k < n_out; k++) known |= out[k] == occurrences[i].key;
    if (!known) out[n_out++] = occurrences[i].key;
  }
  return n_out;
}

static void check_occurrences(const struct mr__touched *rows, const struct mr__share *share,
                              const struct occurrence *wanted, const uint64_t *keys) {
  uint32_t i = 0;
  for (int c = 0; c < COLUMNS; c++) {
    if (columns[c].in_table != share->table) continue;
    struct mr__column_share part = mr__column_share(share, &rows->columns[c]);
    for (uint32_t j = 0; j < part.n; i++, j++) {
      uint32_t row = part.listed ? share->row_of[i] : j;
      CHECK(wanted[i].column == c && wanted[i].row == row, "occurrence %u: row %u, expected %u", i,
            row, wanted[i].row);
      CHECK(keys[share->place_of[i]] == wanted[i].key, "occurrence %u: place %u", i,
            share->place_of[i]);
    }
  }
}

static void check_share(const struct mr__touched *rows, const mr_batch *batch,
                        const struct mr__share *share) {
  static struct occurrence wanted[4000];
  static uint64_t keys[4000];
  uint32_t n = occurrences_of(batch, share, wanted), n_keys = distinct_of(wanted, n, keys);
  CHECK(share->n_occurrences == n, "%u occurrences, expected %u", share->n_occurrences, n);
  CHECK(share->n == n_keys, "%u distinct keys, expected %u", share->n, n_keys);
  if (share->n_occurrences != n || share->n != n_keys) return;
  for (uint32_t u = 0; u < n_keys; u++) {
    float *row = mr__table_find(&rows->tables[share->table], keys[u]);
    CHECK(row && share->row[u] == row, "key %u has another row", u);
    CHECK(mr__touched_share(rows, share->table, keys[u]) == share, "key %u: another share", u);
  }
  check_occurrences(rows, share, wanted, keys);
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

/* Where narrow rows are found by place, their values are copied. */
static void check_value(const struct mr__column_rows *column, int64_t i, const float *row) {
  CHECK(!column->place || !column->values == (column->width == WIDE), "values of width %d",
        column->width);
  if (!column->place || !column->values) return;
  size_t bytes = (size_t)column->width * sizeof(float);
  const float *value = column->values + column->place[i] * (size_t)column->width;
  CHECK(memcmp(value, row, bytes) == 0, "occurrence %lld: another value", (long long)i);
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
      CHECK(mr__row_at(&rows->columns[c], i) == row, "column %d, occurrence %lld: another row", c,
            (long long)i);
      check_value(&rows->columns[c], i, row);
    }
  }
}

enum use { KEYS, CODES, BOTH, TWO_DATASETS };

static void choose_form(mr_batch *batch, enum use use, int b) {
  if (use == KEYS || (use == BOTH && b % 3 == 1)) return;
  encode(batch, &dictionaries[use == TWO_DATASETS && b % 2]);
}

static void check(const mr_schema *schema, int threads, enum use use) {
  static const char *const names[TABLES] = {"t", "u", "v"};
  struct mr__table tables[TABLES];
  mr_pool *pool;
  struct mr__touched rows;
  struct mr__slot *slot;
  int offset;
  NEED(mr_pool_new(&pool, threads) == MR_OK);
  for (int t = 0; t < TABLES; t++) {
    NEED(mr__table_init(&tables[t], names[t], 1) == MR_OK);
    int dim = t == 1 ? WIDE : 3;
    NEED(mr__table_part(&tables[t], "embedding", dim, MR__START_NORMAL, 1, &offset) == MR_OK);
    NEED(mr__table_insert(&tables[t], MR__UNKNOWN_KEY, &slot) == MR_OK);
  }
  NEED(mr__touched_init(&rows, tables, TABLES, table_of, COLUMNS) == MR_OK);
  start_dictionary(&dictionaries[0], 1);
  start_dictionary(&dictionaries[1], 2);
  code_of(&dictionaries[1], 0, 77); /* whose codes are other ones */
  for (int b = 0; b < BATCHES; b++) {
    if (b == BATCHES / 2) /* soon no number is left for notes */
      for (int t = 0; t < TABLES; t++)
        tables[t].next_note = rows.memos[t].next_note = UINT32_MAX - 300;
    if (b == BATCHES / 3) /* rows move, and get other numbers */
      for (int t = 0; t < TABLES; t++)
        NEED(mr__table_set_states(&tables[t], 1, (float[]){0.5f}, 0) == MR_OK);
    mr_batch *batch = new_batch(schema), *other = new_batch(schema);
    choose_form(batch, use, b), choose_form(other, use, b);
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

/* A dictionary that names a key of another shard is found out, and nothing is written. */
static void check_damage(const mr_schema *schema) {
  struct mr__table table;
  struct mr__touched rows;
  struct mr__slot *slot;
  int offset;
  static const int only_v[COLUMNS] = {-1, -1, -1, -1, -1, -1, 0};
  NEED(mr__table_init(&table, "v", 1) == MR_OK);
  NEED(mr__table_part(&table, "embedding", 3, MR__START_NORMAL, 1, &offset) == MR_OK);
  NEED(mr__table_insert(&table, MR__UNKNOWN_KEY, &slot) == MR_OK);
  NEED(mr__touched_init(&rows, &table, 1, only_v, COLUMNS) == MR_OK);
  for (int trains = 0; trains < 2; trains++) {
    mr_batch *batch = new_batch(schema);
    start_dictionary(&dictionaries[0], 3 + (uint64_t)trains);
    batch->columns[6].keys[0] = 1;
    encode(batch, &dictionaries[0]);
    dictionaries[0].keys[2][batch->columns[6].codes[0]] = UINT64_MAX;
    int status = trains ? mr__touched_insert(&rows, batch, NULL)
                        : mr__touched_find(&rows, batch, NULL);
    CHECK(status == MR_EDATA, "status %d", status);
    CHECK(strcmp(mr_last_error(), "cache: the cache is damaged at code 1 of table \"v\"; delete it "
                                  "and build it again") == 0, "%s", mr_last_error());
    mr_batch_free(batch);
  }
  CHECK(mr__table_rows(&table) == 1, "a row was made");
  mr__touched_clear(&rows);
  mr__table_clear(&table);
}

/* The first batch of a dataset makes slots for all keys that its dictionary may have, 12 * 8 in a
 * shard, but not where keys are admitted or expire. */
static void check_reserve(const mr_schema *schema) {
  static const int only_v[COLUMNS] = {-1, -1, -1, -1, -1, -1, 0};
  static const struct {
    uint32_t admit, expire;
  } cases[] = {{0, 0}, {5, 0}, {0, 9}};
  for (int i = 0; i < 3; i++) {
    struct mr__table table;
    struct mr__touched rows;
    struct mr__slot *slot;
    int offset;
    NEED(mr__table_init(&table, "v", 1) == MR_OK);
    NEED(mr__table_part(&table, "embedding", 3, MR__START_NORMAL, 1, &offset) == MR_OK);
    NEED(mr__table_insert(&table, MR__UNKNOWN_KEY, &slot) == MR_OK);
    NEED(mr__touched_init(&rows, &table, 1, only_v, COLUMNS) == MR_OK);
    table.admit = cases[i].admit, table.expire = cases[i].expire;
    mr_batch *batch = new_batch(schema);
    start_dictionary(&dictionaries[0], 5 + (uint64_t)i);
    encode(batch, &dictionaries[0]);
    NEED(mr__touched_insert(&rows, batch, NULL) == MR_OK);
    for (int s = 0; s < MR__SHARDS; s++)
      CHECK(i == 0 ? table.shards[s].n_slots == 256 : table.shards[s].n_slots < 128,
            "shard %d has %zu slots", s, table.shards[s].n_slots);
    mr_batch_free(batch);
    mr__touched_clear(&rows);
    mr__table_clear(&table);
  }
}

/* The loop over codes, in every family, beside a plain one: any number, and notes of all sizes. */
static void check_note_codes(void) {
  enum { ENTRIES = 300, MOST = 100 };
  struct mr__memo_entry entries[ENTRIES];
  uint32_t codes[MOST], place_of[MOST], fresh[MOST + MR__FRESH_PAD];
  for (int family = 0; family < FAMILIES; family++)
    for (uint32_t n = 0; n <= MOST && family_runs(family); n++) {
      uint32_t note = n % 2 ? 1000 : UINT32_MAX - 1000, n_fresh, k = 0;
      for (int i = 0; i < ENTRIES; i++) {
        uint32_t others[] = {0, 1, note - 1, note, note + 1, note + draw(900)};
        entries[i] = (struct mr__memo_entry){draw(UINT32_MAX), others[draw(6)]};
      }
      for (uint32_t i = 0; i < n; i++) codes[i] = draw(ENTRIES);
      mr_isa_set(family_names[family]);
      n_fresh = mr__family()->note_codes(entries, codes, n, note, place_of, fresh);
      mr_isa_set("auto");
      for (uint32_t i = 0; i < n; i++) {
        uint32_t noted = entries[codes[i]].note;
        if (noted >= note) {
          CHECK(place_of[i] == noted - note, "place %u, expected %u", place_of[i], noted - note);
          continue;
        }
        CHECK(k < n_fresh && fresh[k] == i, "code %u of %u is not listed", i, n);
        k++;
      }
      CHECK(n_fresh == k, "%u of %u codes are listed, expected %u", n_fresh, n, k);
    }
}

int main(void) {
  int64_t live = mr_alloc_live();
  mr_schema *schema = new_schema();
  for (enum use use = KEYS; use <= TWO_DATASETS; use++) {
    check(schema, 1, use);
    check(schema, 4, use);
  }
  check_damage(schema);
  check_reserve(schema);
  check_note_codes();
  mr_schema_free(schema);
  CHECK(mr_alloc_live() == live, "%lld blocks leak", (long long)(mr_alloc_live() - live));
  return check_end();
}
