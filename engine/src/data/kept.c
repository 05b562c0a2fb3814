#include "data/kept.h"

#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "data/fit.h"

/* ---- codes ---- */

/* The keys of a column's buckets, all of them, and the codes that they get. */
static int code_buckets(const struct mr__kept *kept, const struct mr__column *column,
                        uint32_t *codes) {
  size_t n = (size_t)mr__buckets(column);
  struct mr__new_key *keys = mr__calloc(n, sizeof *keys);
  struct mr__texts names = {0};
  int status = keys ? MR_OK : mr__fail_memory();
  for (size_t i = 0; status == MR_OK && i < n; i++) {
    char name[MR__EXCERPT_BYTES];
    mr__bucket_name(name, sizeof name, column, (int)i);
    keys[i] = (struct mr__new_key){.key = mr__bucket_key(column, (int)i), .code = (uint32_t)i};
    status = mr__texts_add(&names, name, strlen(name));
  }
  if (status == MR_OK)
    status = mr__dictionary_add(kept->dictionary, column->table, keys, n, &names);
  mr__texts_clear(&names);
  for (size_t i = 0; status == MR_OK && i < n; i++) codes[i] = keys[i].code;
  mr__free(keys);
  return status;
}

static int code_numbers(struct mr__kept *kept, const mr_schema *schema) {
  kept->bucket_codes = mr__calloc(schema->n_columns, sizeof *kept->bucket_codes);
  if (!kept->bucket_codes) return mr__fail_memory();
  for (size_t c = 0; c < schema->n_columns; c++) {
    const struct mr__column *column = &schema->columns[c];
    if (column->type != MR_BUCKET) continue;
    uint32_t *codes = mr__calloc((size_t)mr__buckets(column), sizeof *codes);
    if (!codes) return mr__fail_memory();
    kept->bucket_codes[c] = codes;
    MR_TRY(code_buckets(kept, column, codes));
  }
  return MR_OK;
}

/* Give a table a key that is kept however often it comes. */
static int keep_key(const struct mr__kept *kept, int table, uint64_t key, const char *text) {
  struct mr__new_key new_key = {.key = key, .seen = UINT32_MAX};
  struct mr__texts texts = {0};
  int status = mr__texts_add(&texts, text, strlen(text));
  if (status == MR_OK) status = mr__dictionary_add(kept->dictionary, table, &new_key, 1, &texts);
  mr__texts_clear(&texts);
  return status;
}

/* Listed values have codes in training data whether they come or not. */
static int keep_values(const struct mr__kept *kept, const struct mr__column *column, int fit) {
  for (int i = 0; fit && i < column->n_values; i++) {
    uint64_t key = mr__key(column->values[i], strlen(column->values[i]), column->seed);
    MR_TRY(keep_key(kept, column->table, key, column->values[i]));
  }
  if (column->unseen != MR_UNSEEN_ZERO) return MR_OK;
  return keep_key(kept, column->table, MR__NOTHING_KEY, "");
}

static int code_ids(struct mr__kept *kept, const mr_schema *schema, int fit) {
  kept->nothing = mr__calloc(schema->n_tables, sizeof *kept->nothing);
  kept->unlisted = mr__calloc(schema->n_tables, sizeof *kept->unlisted);
  if (!kept->nothing || !kept->unlisted) return mr__fail_memory();
  for (size_t c = 0; c < schema->n_columns; c++)
    if (mr__column_maps(&schema->columns[c])) MR_TRY(keep_values(kept, &schema->columns[c], fit));
  for (size_t t = 0; t < schema->n_tables; t++) {
    kept->nothing[t] = mr__dictionary_code(kept->dictionary, (int)t, MR__NOTHING_KEY);
    kept->unlisted[t] = mr__dictionary_code(kept->dictionary, (int)t, MR__UNLISTED_KEY);
  }
  return MR_OK;
}

int mr__kept_fill(struct mr__kept *kept, const mr_schema *schema, int fit) {
  MR_TRY(code_numbers(kept, schema));
  return code_ids(kept, schema, fit);
}

void mr__kept_clear(struct mr__kept *kept, const mr_schema *schema) {
  for (size_t c = 0; kept->bucket_codes && c < schema->n_columns; c++)
    mr__free(kept->bucket_codes[c]);
  mr__free(kept->bucket_codes);
  mr__free(kept->nothing);
  mr__free(kept->unlisted);
  *kept = (struct mr__kept){0};
}

int mr__kept_is_idle(const struct mr__kept *kept, const mr_schema *schema) {
  int any = mr__schema_fits(schema);
  for (size_t c = 0; c < schema->n_columns; c++) any |= mr__column_maps(&schema->columns[c]);
  for (size_t t = 0; t < schema->n_tables; t++)
    any |= mr__dictionary_counts(kept->dictionary, (int)t);
  return !any;
}

void mr__kept_forget_rare(const struct mr__kept *kept, const mr_schema *schema) {
  mr__dictionary_settle(kept->dictionary);
  for (size_t t = 0; t < schema->n_tables; t++)
    if (kept->nothing[t] < MR__NEW_CODE && mr__dictionary_counts(kept->dictionary, (int)t))
      mr__dictionary_map(kept->dictionary, (int)t, &kept->nothing[t], 1);
}

/* ---- records ---- */

/* What stands at `at` is the number as it was parsed. */
static void map_number(const struct mr__kept *kept, const struct mr__layout *layout, int column,
                       char *at) {
  const struct mr__column *spec = &layout->schema->columns[column];
  float number;
  memcpy(&number, at, sizeof number);
  if (spec->type == MR_BUCKET) {
    memcpy(at, &kept->bucket_codes[column][mr__bucket_of(spec, number)], 4);
  } else {
    number = mr__fitted_number(spec, number);
    memcpy(at, &number, sizeof number);
  }
}

static int64_t count_unknown(const uint32_t *codes, size_t n) {
  int64_t unknown = 0;
  for (size_t i = 0; i < n; i++) unknown += codes[i] == MR__UNKNOWN_CODE;
  return unknown;
}

/* Values that are rare or not listed are counted, and read as the column wants it. */
static void map_codes(const struct mr__kept *kept, const struct mr__column *spec, uint32_t *codes,
                      size_t n, int64_t *unseen) {
  *unseen -= count_unknown(codes, n);
  for (size_t i = 0; spec->n_values > 0 && i < n; i++)
    if (codes[i] == kept->unlisted[spec->table]) codes[i] = MR__UNKNOWN_CODE;
  if (mr__dictionary_counts(kept->dictionary, spec->table))
    mr__dictionary_map(kept->dictionary, spec->table, codes, n);
  *unseen += count_unknown(codes, n);
  if (spec->unseen != MR_UNSEEN_ZERO) return;
  for (size_t i = 0; i < n; i++)
    if (codes[i] == MR__UNKNOWN_CODE) codes[i] = kept->nothing[spec->table];
}

static void map_column(const struct mr__kept *kept, const struct mr__layout *layout, int column,
                       char *record, int64_t *unseen) {
  const struct mr__column *spec = &layout->schema->columns[column];
  int table = spec->table;
  if (mr__column_fits(spec)) map_number(kept, layout, column, record + layout->at[column]);
  if (table < 0 || spec->type == MR_BUCKET ||
      !(mr__column_maps(spec) || mr__dictionary_counts(kept->dictionary, table)))
    return;
  struct mr__stored part = mr__record_stored(layout, column, record);
  char *codes = record + (part.codes - record);
  map_codes(kept, spec, (uint32_t *)(void *)codes, part.n_codes, &unseen[column]);
}

void mr__kept_map(const struct mr__kept *kept, const struct mr__layout *layout, int domain,
                  char *record, int64_t *unseen) {
  const struct mr__record *shape = &layout->records[domain];
  for (int c = 0; c < shape->n_codes; c++)
    map_column(kept, layout, shape->codes[c], record, unseen);
  for (int f = 0; f < shape->n_floats; f++)
    map_column(kept, layout, shape->floats[f], record, unseen);
  for (int b = 0; b < shape->n_bags; b++) map_column(kept, layout, shape->bags[b], record, unseen);
  for (int q = 0; q < shape->n_sequences; q++) {
    const struct mr__record_sequence *sequence = &shape->sequences[q];
    for (int i = 0; i < sequence->n_words + sequence->n_bags; i++)
      map_column(kept, layout, sequence->columns[i], record, unseen);
  }
}
