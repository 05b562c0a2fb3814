/* The way back from keys to their texts, for the few keys that a table of figures names. Where the
 * cache keeps no texts the files are read again, up to the row that has the last of them. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "data/fit.h"
#include "data/json_lines.h"
#include "data/reader.h"
#include "data/store.h"

struct search {
  const mr_text_format *format;
  const struct mr__column *columns, *wanted;
  /* The cells of a row that say what it is: of a cross those of its parts. */
  int n_parts, parts[MR__MOST_PARTS];
  uint64_t part_keys[MR__MOST_PARTS];
  char part_texts[MR__MOST_PARTS][MR__EXCERPT_BYTES];
  const uint64_t *keys;
  int32_t n_keys, n_missing;
  char (*texts)[MR__EXCERPT_BYTES]; /* [n_keys] */
};

/* Take a cell of a row. */
static void take_cell(struct search *search, int k, struct mr__text cell) {
  const struct mr__column *column = &search->columns[search->parts[k]];
  search->part_keys[k] = mr__cell_key(column, cell);
  if (column->type == MR_BUCKET)
    mr__bucket_name(search->part_texts[k], sizeof search->part_texts[k], column,
                    mr__bucket_of_text(column, cell));
  else
    mr__excerpt(search->part_texts[k], cell);
}

/* The value of a row, all of its cells taken. */
static void compare(struct search *search) {
  uint64_t key = search->part_keys[0];
  if (search->wanted->n_parts > 0) key = mr__cross_key(search->wanted, search->part_keys);
  if (key == MR__UNKNOWN_KEY) return; /* of many texts, where it is a cross */
  for (int32_t i = 0; i < search->n_keys; i++) {
    if (search->keys[i] != key || search->texts[i][0]) continue;
    char text[MR__MOST_PARTS * (MR__EXCERPT_BYTES + 3)];
    size_t size = 0;
    for (int k = 0; k < search->n_parts; k++)
      size += (size_t)snprintf(text + size, sizeof text - size, "%s%s", k ? MR__CROSS_SIGN : "",
                               search->part_texts[k]);
    mr__excerpt(search->texts[i], (struct mr__text){text, size});
    search->n_missing -= search->texts[i][0] != 0;
  }
}

static void search_block(struct search *search, const struct mr__block *block, char *plain) {
  const char *at = block->text.text, *end = at + block->text.size;
  const int n_parts = search->n_parts;
  int positions[MR__MOST_PARTS], cell = 0;
  for (int k = 0; k < n_parts; k++)
    positions[k] = mr__heading_position(block->heading, search->parts[k]);
  while (at < end && search->n_missing > 0) {
    const char *stop = mr__cell_end(at, end, search->format->delimiter, search->format->quotes);
    int is_last = stop < end && *stop == '\n';
    for (int k = 0; k < n_parts; k++) {
      if (cell != positions[k]) continue;
      struct mr__text raw = {at, (size_t)(stop - at)};
      if (is_last && raw.size > 0 && stop[-1] == '\r') raw.size--;
      if (search->format->quotes) raw = mr__unquoted(plain, raw);
      take_cell(search, k, raw);
    }
    if (is_last) compare(search);
    cell = is_last ? 0 : cell + 1;
    at = stop + 1;
  }
}

/* The same of JSON lines. Rows that are wrong have no cells. */
static int search_lines(struct search *search, const struct mr__block *block) {
  const struct mr__heading *heading = block->heading;
  char *at = block->text.text, *end = at + block->text.size;
  uint32_t *places = mr__calloc(2 * (size_t)heading->n_cells, sizeof *places);
  if (!places) return mr__fail_memory();
  for (char *stop; at < end && search->n_missing > 0; at = stop + 1) {
    struct mr__row_trouble trouble;
    int64_t newlines;
    stop = memchr(at, '\n', (size_t)(end - at));
    if (!stop) break;
    struct mr__text row = {at, (size_t)(stop - at)};
    if (!mr__json_row(heading, at, at, row, places, &newlines, &trouble)) continue;
    for (int k = 0; k < search->n_parts; k++) {
      const uint32_t *place = places + 2 * mr__heading_position(heading, search->parts[k]);
      take_cell(search, k, (struct mr__text){at + (place[0] + 1), place[1] - (place[0] + 1)});
    }
    compare(search);
  }
  mr__free(places);
  return MR_OK;
}

static int search_files(struct search *search, struct mr__reader *reader) {
  struct mr__block block = {0};
  char *plain = NULL;
  size_t capacity = 0;
  int status = MR_OK;
  while (status == MR_OK && search->n_missing > 0) {
    status = mr__reader_next(reader, &block);
    if (status == MR_OK && block.heading->sparse) break; /* pairs: no cell has a place of its own */
    if (status == MR_OK) status = mr__grow(&plain, &capacity, block.text.size + 1, 1);
    if (status == MR_OK && block.heading->json)
      status = search_lines(search, &block);
    else if (status == MR_OK)
      search_block(search, &block, plain);
  }
  mr__free(plain);
  mr__block_clear(&block);
  return status == MR_END ? MR_OK : status;
}

/* What a bucket is called lies in the schema. */
static void name_buckets(struct search *search, const struct mr__column *column) {
  for (int b = 0; b < mr__buckets(column); b++)
    for (int32_t i = 0; i < search->n_keys; i++)
      if (search->keys[i] == mr__bucket_key(column, b))
        mr__bucket_name(search->texts[i], sizeof search->texts[i], column, b);
}

static int write_lines(char **out, const struct search *search) {
  char *at = *out = mr__malloc((size_t)search->n_keys * MR__EXCERPT_BYTES + 1);
  if (!at) return mr__fail_memory();
  for (int32_t i = 0; i < search->n_keys; i++) {
    size_t size = strlen(search->texts[i]);
    memcpy(at, search->texts[i], size);
    at += size;
    *at++ = '\n';
  }
  *at = 0;
  return MR_OK;
}

int mr_keys_texts(char **texts, const mr_schema *schema, const mr_text_format *format,
                  const char *const *paths, int32_t n_paths, int32_t column, const uint64_t *keys,
                  int32_t n_keys) {
  *texts = NULL;
  mr_text_format checked = *format;
  if (column < 0 || (size_t)column >= schema->n_columns || n_keys < 0)
    return mr__fail(MR_EINVAL, "there is no column %d, or no number of %d keys", (int)column,
                    (int)n_keys);
  const struct mr__column *spec = &schema->columns[column];
  if ((!mr__column_is_id(spec) && spec->type != MR_GROUP) || spec->sequence >= 0)
    return mr__fail(MR_EINVAL, "column \"%s\" does not hold one key a row", spec->name);
  MR_TRY(mr__text_format_check(&checked, schema));
  struct search search = {.format = &checked,
                          .columns = schema->columns,
                          .wanted = spec,
                          .n_parts = spec->n_parts > 0 ? spec->n_parts : 1,
                          .parts = {column},
                          .keys = keys,
                          .n_keys = n_keys,
                          .n_missing = n_keys};
  for (int k = 0; k < spec->n_parts; k++) search.parts[k] = spec->parts[k];
  search.texts = mr__calloc((size_t)n_keys + 1, sizeof *search.texts);
  if (!search.texts) return mr__fail_memory();
  struct mr__reader *reader = NULL;
  int status = MR_OK;
  if (spec->type == MR_BUCKET) {
    name_buckets(&search, spec);
  } else {
    status = mr__reader_new(&reader, schema, &checked, paths, n_paths, NULL);
    if (status == MR_OK) status = search_files(&search, reader);
  }
  if (status == MR_OK) status = write_lines(texts, &search);
  mr__reader_free(reader);
  mr__free(search.texts);
  return status;
}

int mr_dataset_texts(char **texts, const mr_dataset *dataset, int32_t table, const uint64_t *keys,
                     int32_t n_keys) {
  *texts = NULL;
  if (n_keys < 0 || !mr_dataset_has_texts(dataset, table))
    return mr__fail(MR_EINVAL, "there are no texts of table %d, or no number of %d keys",
                    (int)table, (int)n_keys);
  struct search search = {.n_keys = n_keys};
  search.texts = mr__calloc((size_t)n_keys + 1, sizeof *search.texts);
  if (!search.texts) return mr__fail_memory();
  for (int32_t i = 0; i < n_keys; i++) {
    uint32_t code =
        mr__find_code(dataset->coding.keys[table], (size_t)dataset->coding.n[table], keys[i]);
    if (code == MR__UNKNOWN_CODE) continue;
    struct mr__text text;
    text.at = mr__dataset_text(dataset, table, code, &text.size);
    mr__excerpt(search.texts[i], text);
  }
  int status = write_lines(texts, &search);
  mr__free(search.texts);
  return status;
}
