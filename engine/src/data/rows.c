/* Rows are taken in steps of some 96 KB of text, and a step is worked through column by column:
 * each loop below does one thing to one cell of every row, with text, index and records in cache.
 *
 * Within a step the rows that make a record in a domain are listed: all of them for samples, and
 * for requests those that start one. Other rows of a request are only compared with its record,
 * and that costs a comparison of bytes when the cell repeats the one above. */
#include "data/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "kernel/family.h"

/* The bags of one column in a step. */
struct bags {
  uint64_t *keys;   /* of all rows, one after another */
  uint32_t *codes;  /* of the keys */
  uint32_t *counts; /* [rows of the list] */
  size_t n, keys_capacity, codes_capacity, counts_capacity;
};

/* The rows of a step that make a record in one domain. */
struct list {
  uint32_t *rows;
  size_t *record_at; /* bytes from the start of the side's records */
  size_t n, rows_capacity, record_capacity;
};

struct mr__row_parser {
  const struct mr__layout *layout;
  mr_text_format format;
  const struct mr__heading *heading;
  struct mr__dictionary *dictionary;
  struct mr__recent *recent;
  struct mr__scan scan;
  struct mr__rows rows;

  /* Of the current step. */
  size_t n_rows;       /* whose number of cells is right */
  uint32_t first_row;  /* of the block */
  uint32_t *stops;     /* [n_rows] end of the last cell, before \r\n or \n */
  int64_t *request_of; /* [n_rows] index of its request in the block */
  struct list lists[MR_DOMAINS];
  struct bags *bags;      /* [columns] */
  uint32_t *marks;        /* [2 * n_rows] of one column's cells */
  uint64_t *keys;         /* [n_rows] of one column */
  uint32_t *codes;        /* [n_rows] of one column */
  struct mr__text *above; /* [columns] raw cell of the last row before the step, request side */
  char *unquoted;         /* the last cell that had doubled quotes */
  struct bags other_bag;  /* of a row that does not start its request */
  size_t stops_capacity, request_of_capacity, keys_capacity, codes_capacity, unquoted_capacity;
  size_t marks_capacity;
};

/* ---- life cycle ---- */

int mr__row_parser_new(struct mr__row_parser **out, const struct mr__layout *layout,
                       const mr_text_format *format, struct mr__dictionary *dictionary) {
  *out = NULL;
  struct mr__row_parser *parser = mr__calloc(1, sizeof *parser);
  if (!parser) return mr__fail_memory();
  parser->layout = layout;
  parser->format = *format;
  parser->dictionary = dictionary;
  size_t n = layout->schema->n_columns;
  parser->bags = mr__calloc(n, sizeof *parser->bags);
  parser->above = mr__calloc(n, sizeof *parser->above);
  parser->rows.last_request = mr__calloc(n, sizeof *parser->rows.last_request);
  parser->rows.views = mr__calloc((size_t)layout->n_views, sizeof *parser->rows.views);
  parser->rows.new_keys = mr__calloc(layout->schema->n_tables, sizeof *parser->rows.new_keys);
  int status = MR_OK;
  if (!parser->bags || !parser->above || !parser->rows.last_request || !parser->rows.views ||
      !parser->rows.new_keys)
    status = mr__fail_memory();
  if (status == MR_OK) status = mr__recent_new(&parser->recent, dictionary);
  if (status != MR_OK) {
    mr__row_parser_free(parser);
    return status;
  }
  *out = parser;
  return MR_OK;
}

static void free_bags(struct bags *bags) {
  mr__free(bags->keys);
  mr__free(bags->codes);
  mr__free(bags->counts);
}

static void free_rows(struct mr__rows *rows, const struct mr__layout *layout) {
  for (int domain = 0; domain < MR_DOMAINS; domain++) {
    mr__free(rows->sides[domain].records);
    mr__free(rows->sides[domain].offsets);
  }
  for (int i = 0; rows->views && i < layout->n_views; i++) mr__free(rows->views[i].data);
  mr__free(rows->views);
  for (size_t t = 0; rows->new_keys && t < layout->schema->n_tables; t++)
    mr__free(rows->new_keys[t].list);
  mr__free(rows->new_keys);
  mr__free(rows->first_sample);
  mr__free(rows->last_request);
}

void mr__row_parser_free(struct mr__row_parser *parser) {
  if (!parser) return;
  free_rows(&parser->rows, parser->layout);
  mr__scan_clear(&parser->scan);
  for (int domain = 0; domain < MR_DOMAINS; domain++) {
    mr__free(parser->lists[domain].rows);
    mr__free(parser->lists[domain].record_at);
  }
  for (size_t i = 0; parser->bags && i < parser->layout->schema->n_columns; i++)
    free_bags(&parser->bags[i]);
  free_bags(&parser->other_bag);
  mr__recent_free(parser->recent);
  mr__free(parser->bags);
  mr__free(parser->above);
  mr__free(parser->stops);
  mr__free(parser->request_of);
  mr__free(parser->marks);
  mr__free(parser->keys);
  mr__free(parser->codes);
  mr__free(parser->unquoted);
  mr__free(parser);
}

/* ---- cells ---- */

/* The bytes between two ends of cells. */
static inline struct mr__text raw_cell(const struct mr__row_parser *parser, size_t row,
                                       int position) {
  const struct mr__scan *scan = &parser->scan;
  int n_cells = parser->heading->n_cells;
  const uint32_t *ends = scan->ends + row * (size_t)n_cells;
  uint32_t start = position > 0 ? ends[position - 1] + 1 : scan->starts[row];
  uint32_t stop = position < n_cells - 1 ? ends[position] : parser->stops[row];
  return (struct mr__text){scan->text + start, stop - start};
}

static struct mr__text unquote_cell(const struct mr__row_parser *parser, struct mr__text raw) {
  struct mr__text inner = {raw.at + 1, raw.size - 2};
  if (!memchr(inner.at, '"', inner.size)) return inner;
  return (struct mr__text){parser->unquoted, mr__unquote(parser->unquoted, raw)};
}

/* What a cell says. The scanner has checked that quotes come in pairs around the whole cell. */
static inline struct mr__text read_raw(const struct mr__row_parser *parser, struct mr__text raw) {
  if (!parser->scan.has_quotes || raw.size == 0 || *raw.at != '"') return raw;
  return unquote_cell(parser, raw);
}

static inline struct mr__text read_cell(const struct mr__row_parser *parser, size_t row,
                                        int position) {
  return read_raw(parser, raw_cell(parser, row, position));
}

/* ---- problems ---- */

/* Returns whether this is the first problem in the order of the text; then its text is to be
 * written. */
static int is_first_problem(struct mr__row_parser *parser, size_t at, int whole_row) {
  struct mr__problem *problem = &parser->rows.problem;
  if (problem->status != MR_OK && problem->at <= at) return 0;
  problem->status = MR_EDATA;
  problem->at = at;
  problem->whole_row = whole_row;
  return 1;
}

static size_t cell_place(const struct mr__row_parser *parser, size_t row, int position) {
  return (size_t)(raw_cell(parser, row, position).at - parser->scan.text);
}

static void note_bad_value(struct mr__row_parser *parser, size_t row, struct mr__item item,
                           enum mr__number kind) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  struct mr__problem *problem = &parser->rows.problem;
  if (!is_first_problem(parser, cell_place(parser, row, item.position), 0)) return;
  char shown[MR__EXCERPT_BYTES];
  mr__excerpt(shown, read_cell(parser, row, item.position));
  if (column->type == MR_LABEL)
    snprintf(problem->text, sizeof problem->text, "label \"%s\" in column \"%s\", expected 0 or 1",
             shown, column->source);
  else
    snprintf(problem->text, sizeof problem->text, "\"%s\" is %s (column \"%s\")", shown,
             kind == MR__NUMBER_HUGE ? "too large for a float" : "not a number", column->source);
}

static void note_cell_count(struct mr__row_parser *parser, size_t row) {
  const struct mr__scan *scan = &parser->scan;
  struct mr__problem *problem = &parser->rows.problem;
  if (!is_first_problem(parser, scan->starts[row], 1)) return;
  uint32_t n = scan->first[row + 1] - scan->first[row];
  snprintf(problem->text, sizeof problem->text, "%u cell%s, expected %d (as in the header)", n,
           n == 1 ? "" : "s", parser->heading->n_cells);
}

/* The scanner gave up, or text is left that has no end: name the cell whose quotes are wrong. */
static void note_quotes(struct mr__row_parser *parser) {
  const struct mr__scan *scan = &parser->scan;
  size_t start = scan->n_ends ? scan->ends[scan->n_ends - 1] + 1 : scan->starts[0];
  if (!is_first_problem(parser, start, 0)) return;
  size_t stop = scan->broken ? scan->broken_at + 1 : scan->size;
  struct mr__text rest = {scan->text + start, stop - start};
  const char *trouble = mr__quote_trouble(rest);
  snprintf(parser->rows.problem.text, sizeof parser->rows.problem.text, "%s",
           trouble ? trouble : "a quoted cell is not closed");
}

void mr__describe_difference(char *out, size_t size, const char *column, const char *now,
                             const char *before) {
  snprintf(out, size, "column \"%s\" is \"%s\", but \"%s\" in an earlier row of the same request",
           column, now, before);
}

/* ---- rows of a step ---- */

/* Keep the rows up to the first with a wrong number of cells. */
static void check_cell_counts(struct mr__row_parser *parser) {
  const struct mr__scan *scan = &parser->scan;
  uint32_t n_cells = (uint32_t)parser->heading->n_cells;
  size_t row = 0;
  while (row < scan->n_rows && scan->first[row + 1] - scan->first[row] == n_cells) row++;
  parser->n_rows = row;
  if (row < scan->n_rows) note_cell_count(parser, row);
}

static int reserve_rows(struct mr__row_parser *parser) {
  size_t n = parser->n_rows;
  const struct mr__scan *scan = &parser->scan;
  MR_TRY(mr__grow(&parser->stops, &parser->stops_capacity, n, sizeof *parser->stops));
  MR_TRY(
      mr__grow(&parser->request_of, &parser->request_of_capacity, n, sizeof *parser->request_of));
  MR_TRY(mr__grow(&parser->marks, &parser->marks_capacity, 2 * n, sizeof *parser->marks));
  MR_TRY(mr__grow(&parser->keys, &parser->keys_capacity, n, sizeof *parser->keys));
  MR_TRY(mr__grow(&parser->codes, &parser->codes_capacity, n, sizeof *parser->codes));
  for (int domain = 0; domain < MR_DOMAINS; domain++) {
    struct list *list = &parser->lists[domain];
    MR_TRY(mr__grow(&list->rows, &list->rows_capacity, n, sizeof *list->rows));
    MR_TRY(mr__grow(&list->record_at, &list->record_capacity, n, sizeof *list->record_at));
  }
  struct mr__rows *rows = &parser->rows;
  size_t samples = (size_t)rows->sides[MR_SAMPLE].n + n;
  for (int i = 0; i < parser->layout->n_views; i++)
    MR_TRY(mr__grow(&rows->views[i].data, &rows->views[i].capacity, samples,
                    mr__view_bytes(parser->layout, i)));
  MR_TRY(mr__grow(&rows->first_sample, &rows->first_sample_capacity, samples,
                  sizeof *rows->first_sample));
  if (!scan->has_quotes || n == 0) return MR_OK;
  /* Any one cell of these rows fits. */
  return mr__grow(&parser->unquoted, &parser->unquoted_capacity, scan->starts[n] - scan->starts[0],
                  1);
}

static void find_stops(struct mr__row_parser *parser) {
  const struct mr__scan *scan = &parser->scan;
  size_t n_cells = (size_t)parser->heading->n_cells;
  for (size_t row = 0; row < parser->n_rows; row++) {
    const uint32_t *ends = scan->ends + row * n_cells;
    uint32_t stop = ends[n_cells - 1];
    uint32_t start = n_cells > 1 ? ends[n_cells - 2] + 1 : scan->starts[row];
    parser->stops[row] = stop > start && scan->text[stop - 1] == '\r' ? stop - 1 : stop;
  }
}

static void list_all_rows(struct list *list, size_t n) {
  for (size_t row = 0; row < n; row++) list->rows[row] = (uint32_t)row;
  list->n = n;
}

/* Rows whose request key differs from the row before start a request. */
static void list_requests(struct mr__row_parser *parser, int position) {
  struct mr__rows *rows = &parser->rows;
  struct list *list = &parser->lists[MR_REQUEST];
  int64_t samples = rows->sides[MR_SAMPLE].n, requests = rows->sides[MR_REQUEST].n;
  list->n = 0;
  for (size_t row = 0; row < parser->n_rows; row++) {
    struct mr__text text = read_cell(parser, row, position);
    uint64_t key = mr__hash(text.at, text.size, 0);
    if (requests == 0 || key != rows->last_key) {
      if (requests == 0) rows->first_key = key;
      rows->first_sample[requests++] = samples + (int64_t)row;
      list->rows[list->n++] = (uint32_t)row;
    }
    rows->last_key = key;
    parser->request_of[row] = requests - 1;
  }
}

static int request_position(const struct mr__row_parser *parser) {
  const struct mr__heading *heading = parser->heading;
  for (int i = 0; i < heading->n_items; i++)
    if (heading->items[i].column == parser->layout->schema->request_key)
      return heading->items[i].position;
  return -1;
}

static void list_rows(struct mr__row_parser *parser) {
  list_all_rows(&parser->lists[MR_SAMPLE], parser->n_rows);
  int position = request_position(parser);
  if (position < 0)
    list_all_rows(&parser->lists[MR_REQUEST], parser->n_rows);
  else
    list_requests(parser, position);
}

/* ---- codes ---- */

/* Write a code to its place, or the number of a key that gets its code later. */
static int put_code(struct mr__row_parser *parser, int column, uint32_t row, uint64_t key,
                    uint32_t code, size_t at) {
  const struct mr__column *spec = &parser->layout->schema->columns[column];
  if (code >= MR__NEW_CODE) {
    struct mr__new_keys *new_keys = &parser->rows.new_keys[spec->table];
    size_t i = new_keys->n;
    if (i == new_keys->capacity)
      MR_TRY(mr__grow(&new_keys->list, &new_keys->capacity, i + 1, sizeof *new_keys->list));
    if (i >= MR__NEW_CODE) return mr__fail_memory();
    new_keys->list[new_keys->n++] = (struct mr__new_key){
        .key = key, .at = at, .row = parser->first_row + row, .column = column, .seen = 1};
    code = MR__NEW_CODE + (uint32_t)i;
  }
  memcpy(parser->rows.sides[spec->domain].records + at, &code, 4);
  return MR_OK;
}

/* Whether a code that stands in a record is that of a key. */
static int is_code_of(const struct mr__row_parser *parser, int table, uint32_t code, uint64_t key) {
  if (code >= MR__NEW_CODE)
    return parser->rows.new_keys[table].list[code - MR__NEW_CODE].key == key;
  return mr__dictionary_code(parser->dictionary, table, key) == code;
}

static int by_place_in_text(const void *a, const void *b) {
  const struct mr__new_key *x = a, *y = b;
  if (x->row != y->row) return x->row < y->row ? -1 : 1;
  if (x->column != y->column) return x->column < y->column ? -1 : 1;
  return x->at < y->at ? -1 : x->at > y->at;
}

/* Where several columns have one table, its keys came column after column of each step. */
static void sort_new_keys(struct mr__row_parser *parser) {
  const mr_schema *schema = parser->layout->schema;
  for (size_t t = 0; t < schema->n_tables; t++) {
    int n_columns = 0;
    for (size_t c = 0; c < schema->n_columns; c++) n_columns += schema->columns[c].table == (int)t;
    struct mr__new_keys *keys = &parser->rows.new_keys[t];
    if (n_columns > 1 && keys->n > 1)
      qsort(keys->list, keys->n, sizeof *keys->list, by_place_in_text);
  }
}

int mr__rows_settle(struct mr__rows *rows, const struct mr__layout *layout,
                    struct mr__dictionary *dictionary) {
  for (size_t t = 0; t < layout->schema->n_tables; t++) {
    const struct mr__new_keys *keys = &rows->new_keys[t];
    MR_TRY(mr__dictionary_add(dictionary, (int)t, keys->list, keys->n));
    for (size_t i = 0; i < keys->n; i++) {
      const struct mr__new_key *key = &keys->list[i];
      int domain = layout->schema->columns[key->column].domain;
      memcpy(rows->sides[domain].records + key->at, &key->code, 4);
    }
  }
  return MR_OK;
}

/* ---- bags ---- */

/* Append the keys of one cell; *count of them. */
static int split_bag(struct bags *bags, const struct mr__column *column, struct mr__text text,
                     uint32_t *count) {
  struct mr__text piece;
  uint32_t n = 0, max = column->max > 0 ? (uint32_t)column->max : UINT32_MAX;
  while (n < max && mr__next_piece(&text, column->separator, &piece)) {
    if (bags->n == bags->keys_capacity)
      MR_TRY(mr__grow(&bags->keys, &bags->keys_capacity, bags->n + 1, sizeof *bags->keys));
    bags->keys[bags->n++] = mr__key(piece.at, piece.size, column->seed);
    n++;
  }
  *count = n;
  return MR_OK;
}

static int split_bags(struct mr__row_parser *parser, struct mr__item item) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  const struct list *list = &parser->lists[column->domain];
  struct bags *bags = &parser->bags[item.column];
  bags->n = 0;
  MR_TRY(mr__grow(&bags->counts, &bags->counts_capacity, list->n, sizeof *bags->counts));
  for (size_t i = 0; i < list->n; i++) {
    struct mr__text text = read_cell(parser, list->rows[i], item.position);
    MR_TRY(split_bag(bags, column, text, &bags->counts[i]));
  }
  MR_TRY(mr__grow(&bags->codes, &bags->codes_capacity, bags->n, sizeof *bags->codes));
  mr__dictionary_find(parser->recent, column->table, bags->keys, bags->n, bags->codes);
  return MR_OK;
}

static int split_all_bags(struct mr__row_parser *parser) {
  const struct mr__heading *heading = parser->heading;
  for (int i = 0; i < heading->n_items; i++)
    if (parser->layout->schema->columns[heading->items[i].column].type == MR_IDS)
      MR_TRY(split_bags(parser, heading->items[i]));
  return MR_OK;
}

/* ---- records ---- */

/* Decide where the records of a step lie; the bags say how long each is. */
static int place_records(struct mr__row_parser *parser, int domain) {
  const struct mr__record *shape = &parser->layout->records[domain];
  struct mr__side *side = &parser->rows.sides[domain];
  struct list *list = &parser->lists[domain];
  size_t at = side->size;
  for (size_t i = 0; i < list->n; i++) {
    size_t bag_keys = 0;
    for (int b = 0; b < shape->n_bags; b++) bag_keys += parser->bags[shape->bags[b]].counts[i];
    list->record_at[i] = at;
    at += shape->fixed + 4 * bag_keys;
  }
  side->size = at;
  MR_TRY(mr__grow(&side->records, &side->records_capacity, at, 1));
  if (shape->n_bags == 0) return MR_OK;
  MR_TRY(mr__grow(&side->offsets, &side->offsets_capacity, (size_t)side->n + list->n,
                  sizeof *side->offsets));
  for (size_t i = 0; i < list->n; i++)
    side->offsets[(size_t)side->n + i] = (int64_t)list->record_at[i];
  return MR_OK;
}

static int copy_bags(struct mr__row_parser *parser, int domain) {
  const struct mr__record *shape = &parser->layout->records[domain];
  const struct list *list = &parser->lists[domain];
  char *records = parser->rows.sides[domain].records;
  for (int b = 0; b < shape->n_bags; b++) parser->bags[shape->bags[b]].n = 0;
  for (size_t i = 0; shape->n_bags > 0 && i < list->n; i++) {
    size_t at = list->record_at[i] + shape->fixed;
    for (int b = 0; b < shape->n_bags; b++) {
      struct bags *bags = &parser->bags[shape->bags[b]];
      uint32_t count = bags->counts[i];
      memcpy(records + list->record_at[i] + shape->counts_at + 4 * (size_t)b, &count, 4);
      for (size_t end = bags->n + count; bags->n < end; bags->n++, at += 4)
        MR_TRY(put_code(parser, shape->bags[b], list->rows[i], bags->keys[bags->n],
                        bags->codes[bags->n], at));
    }
  }
  return MR_OK;
}

/* The codes of a column's keys, into the records. */
static int put_codes(struct mr__row_parser *parser, int column, const uint64_t *keys) {
  const struct mr__column *spec = &parser->layout->schema->columns[column];
  const struct list *list = &parser->lists[spec->domain];
  char *records = parser->rows.sides[spec->domain].records + parser->layout->at[column];
  uint32_t *codes = parser->codes;
  size_t n_new = mr__dictionary_find(parser->recent, spec->table, keys, list->n, codes);
  const size_t *restrict record_at = list->record_at;
  for (size_t i = 0, n = list->n; i < n; i++) memcpy(records + record_at[i], &codes[i], 4);
  for (size_t i = 0; n_new > 0 && i < list->n; i++)
    if (codes[i] >= MR__NEW_CODE)
      MR_TRY(put_code(parser, column, list->rows[i], keys[i], codes[i],
                      list->record_at[i] + parser->layout->at[column]));
  return MR_OK;
}

/* Where the cells of one column lie: cell i between at[i * stride] and at[i * stride + 1], which is
 * the form of the scanner's ends. */
struct marks {
  const uint32_t *at;
  size_t stride;
};

/* Cells of the rows of a list, without the quotes around them. */
static struct marks find_cells(struct mr__row_parser *parser, const struct list *list,
                               int position) {
  const struct mr__scan *scan = &parser->scan;
  size_t n_cells = (size_t)parser->heading->n_cells;
  int is_inner = position > 0 && position < parser->heading->n_cells - 1;
  if (is_inner && list->n == parser->n_rows && !scan->has_quotes)
    return (struct marks){scan->ends + position - 1, n_cells};
  uint32_t *marks = parser->marks;
  for (size_t i = 0; i < list->n; i++) {
    struct mr__text raw = raw_cell(parser, list->rows[i], position);
    uint32_t start = (uint32_t)(raw.at - scan->text);
    uint32_t quoted = scan->has_quotes && raw.size > 0 && *raw.at == '"';
    marks[2 * i] = start + quoted - 1;
    marks[2 * i + 1] = start + (uint32_t)raw.size - quoted;
  }
  return (struct marks){marks, 2};
}

/* The keys of one column. */
static void hash_cells(struct mr__row_parser *parser, const struct list *list, int position,
                       uint64_t seed) {
  struct marks marks = find_cells(parser, list, position);
  mr__family()->cell_keys(parser->keys, parser->scan.text, marks.at, marks.stride, list->n, seed);
  for (size_t i = 0; parser->scan.has_quotes && i < list->n; i++) {
    struct mr__text text = read_cell(parser, list->rows[i], position);
    if (text.at == parser->unquoted) parser->keys[i] = mr__key(text.at, text.size, seed);
  }
}

static int take_keys(struct mr__row_parser *parser, struct mr__item item) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  const struct list *list = &parser->lists[column->domain];
  char *records = parser->rows.sides[column->domain].records;
  uint64_t *keys = parser->keys, seed = column->seed;
  size_t at = parser->layout->at[item.column];
  int view = parser->layout->view_of[item.column];
  hash_cells(parser, list, item.position, seed);
  if (column->table >= 0) return put_codes(parser, item.column, keys);
  const size_t *restrict record_at = list->record_at;
  for (size_t i = 0, n = list->n; i < n; i++) memcpy(records + record_at[i] + at, &keys[i], 8);
  if (view >= 0)
    memcpy(parser->rows.views[view].data + 8 * parser->rows.sides[MR_SAMPLE].n, keys, 8 * list->n);
  return MR_OK;
}

static inline enum mr__number parse_float(const struct mr__column *column, struct mr__text text,
                                          float *value) {
  if (column->type == MR_LABEL) return mr__cell_label(text, value) ? MR__NUMBER_OK : MR__NUMBER_BAD;
  return mr__cell_number(column, text, value);
}

static void take_floats(struct mr__row_parser *parser, struct mr__item item) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  const struct list *list = &parser->lists[column->domain];
  char *records = parser->rows.sides[column->domain].records;
  size_t at = parser->layout->at[item.column];
  int view = parser->layout->view_of[item.column];
  char *out = view < 0 ? NULL : parser->rows.views[view].data + 4 * parser->rows.sides[MR_SAMPLE].n;
  for (size_t i = 0; i < list->n; i++) {
    struct mr__text text = read_cell(parser, list->rows[i], item.position);
    float value = 0;
    enum mr__number kind = parse_float(column, text, &value);
    if (kind > MR__NUMBER_MISSING) note_bad_value(parser, list->rows[i], item, kind);
    memcpy(records + list->record_at[i] + at, &value, 4);
    if (out) memcpy(out + 4 * i, &value, 4);
  }
}

static int take_columns(struct mr__row_parser *parser) {
  const struct mr__heading *heading = parser->heading;
  for (int i = 0; i < heading->n_items; i++) {
    struct mr__item item = heading->items[i];
    switch (parser->layout->schema->columns[item.column].type) {
    case MR_ID:
    case MR_GROUP:
      MR_TRY(take_keys(parser, item));
      break;
    case MR_NUMBER:
    case MR_LABEL:
      take_floats(parser, item);
      break;
    default:
      break;
    }
  }
  return MR_OK;
}

/* ---- rows that do not start their request ---- */

int mr__request_differs(const struct mr__layout *layout, int column, const char *a, const char *b) {
  size_t at = layout->at[column];
  switch (layout->schema->columns[column].type) {
  case MR_GROUP:
    return memcmp(a + at, b + at, 8) != 0;
  case MR_ID:
  case MR_NUMBER:
    return memcmp(a + at, b + at, 4) != 0;
  case MR_IDS: {
    uint32_t n_a, n_b;
    const char *codes_a = mr__record_bag(layout, column, a, &n_a);
    const char *codes_b = mr__record_bag(layout, column, b, &n_b);
    return n_a != n_b || memcmp(codes_a, codes_b, 4 * (size_t)n_a) != 0;
  }
  default:
    return 0;
  }
}

static uint32_t read_code(const char *codes, uint32_t i) {
  uint32_t code;
  memcpy(&code, codes + 4 * (size_t)i, 4);
  return code;
}

/* Whether a cell says something else than the record of its request. */
static int cell_differs(struct mr__row_parser *parser, size_t row, struct mr__item item,
                        const char *record, int *differs) {
  const struct mr__layout *layout = parser->layout;
  const struct mr__column *column = &layout->schema->columns[item.column];
  struct mr__text text = read_cell(parser, row, item.position);
  const char *stored = record + layout->at[item.column];
  if (column->type == MR_NUMBER) {
    float value = 0;
    enum mr__number kind = parse_float(column, text, &value);
    if (kind > MR__NUMBER_MISSING) note_bad_value(parser, row, item, kind);
    *differs = memcmp((const char *)&value, stored, 4) != 0; /* bit by bit */
  } else if (column->type == MR_IDS) {
    struct bags *bags = &parser->other_bag;
    uint32_t count, n;
    bags->n = 0;
    MR_TRY(split_bag(bags, column, text, &n));
    const char *codes = mr__record_bag(layout, item.column, record, &count);
    *differs = n != count;
    for (uint32_t i = 0; !*differs && i < n; i++)
      *differs = !is_code_of(parser, column->table, read_code(codes, i), bags->keys[i]);
  } else {
    uint64_t key = mr__key(text.at, text.size, column->seed);
    *differs = column->table < 0 ? memcmp(&key, stored, 8) != 0
                                 : !is_code_of(parser, column->table, read_code(stored, 0), key);
  }
  return MR_OK;
}

/* Such a row counts for the keys it repeats: as often as if nothing were shared. */
static void count_again(struct mr__row_parser *parser, int column, const char *record) {
  const struct mr__layout *layout = parser->layout;
  int table = layout->schema->columns[column].table;
  uint32_t n = 1;
  const char *codes = record + layout->at[column];
  if (layout->bag[column] >= 0) codes = mr__record_bag(layout, column, record, &n);
  for (uint32_t i = 0; i < n; i++) {
    uint32_t code = read_code(codes, i);
    if (code >= MR__NEW_CODE)
      parser->rows.new_keys[table].list[code - MR__NEW_CODE].seen++;
    else
      mr__dictionary_count(parser->dictionary, table, code);
  }
}

static const char *request_record(const struct mr__row_parser *parser, int64_t request) {
  const struct mr__side *side = &parser->rows.sides[MR_REQUEST];
  const struct mr__record *shape = &parser->layout->records[MR_REQUEST];
  return side->records +
         (shape->n_bags > 0 ? side->offsets[request] : request * (int64_t)shape->fixed);
}

static void note_difference(struct mr__row_parser *parser, size_t row, struct mr__item item) {
  struct mr__problem *problem = &parser->rows.problem;
  if (!is_first_problem(parser, cell_place(parser, row, item.position), 0)) return;
  /* One after the other: reading the second may overwrite the text of the first. */
  char now[MR__EXCERPT_BYTES], before[MR__EXCERPT_BYTES];
  mr__excerpt(now, read_cell(parser, row, item.position));
  mr__excerpt(before, read_raw(parser, parser->rows.last_request[item.column]));
  mr__describe_difference(problem->text, sizeof problem->text,
                          parser->layout->schema->columns[item.column].source, now, before);
}

static int compare_column(struct mr__row_parser *parser, struct mr__item item, int counted) {
  const struct list *list = &parser->lists[MR_REQUEST];
  struct mr__text above = parser->above[item.column];
  size_t next = 0;
  for (size_t row = 0; row < parser->n_rows; row++) {
    struct mr__text raw = raw_cell(parser, row, item.position);
    if (next < list->n && list->rows[next] == row) {
      parser->rows.last_request[item.column] = raw;
      next++;
    } else {
      const char *record = request_record(parser, parser->request_of[row]);
      int differs = raw.size != above.size || memcmp(raw.at, above.at, raw.size) != 0;
      if (differs) MR_TRY(cell_differs(parser, row, item, record, &differs));
      if (differs) note_difference(parser, row, item);
      if (counted) count_again(parser, item.column, record);
    }
    above = raw;
  }
  parser->above[item.column] = above;
  return MR_OK;
}

/* Check the request-side cells of rows that go on with a request. */
static int compare_columns(struct mr__row_parser *parser) {
  const mr_schema *schema = parser->layout->schema;
  const struct mr__heading *heading = parser->heading;
  if (schema->request_key < 0) return MR_OK;
  for (int i = 0; i < heading->n_items; i++) {
    struct mr__item item = heading->items[i];
    const struct mr__column *column = &schema->columns[item.column];
    if (column->domain != MR_REQUEST || column->type == MR_REQUEST_KEY) continue;
    int counted = column->table >= 0 && mr__dictionary_counts(parser->dictionary, column->table);
    MR_TRY(compare_column(parser, item, counted));
  }
  return MR_OK;
}

/* ---- blocks ---- */

static int run_step(struct mr__row_parser *parser) {
  check_cell_counts(parser);
  if (parser->n_rows == 0) return MR_OK; /* the first one is the problem */
  MR_TRY(reserve_rows(parser));
  find_stops(parser);
  list_rows(parser);
  MR_TRY(split_all_bags(parser));
  for (int domain = 0; domain < MR_DOMAINS; domain++) {
    MR_TRY(place_records(parser, domain));
    MR_TRY(copy_bags(parser, domain));
  }
  MR_TRY(take_columns(parser));
  MR_TRY(compare_columns(parser));
  for (int domain = 0; domain < MR_DOMAINS; domain++)
    parser->rows.sides[domain].n += (int64_t)parser->lists[domain].n;
  return MR_OK;
}

static int run_steps(struct mr__row_parser *parser) {
  struct mr__scan *scan = &parser->scan;
  struct mr__rows *rows = &parser->rows;
  do {
    MR_TRY(mr__scan_step(scan));
    if (scan->n_rows == 0) break;
    parser->first_row = (uint32_t)rows->sides[MR_SAMPLE].n;
    MR_TRY(run_step(parser));
    rows->n_lines += (int64_t)scan->n_rows;
  } while (rows->problem.status == MR_OK && !scan->broken);
  rows->n_lines += scan->inner_newlines;
  return MR_OK;
}

static void note_long_row(struct mr__row_parser *parser, size_t row_bytes) {
  const struct mr__scan *scan = &parser->scan;
  if (!is_first_problem(parser, scan->starts[scan->n_rows], 1)) return;
  snprintf(parser->rows.problem.text, sizeof parser->rows.problem.text,
           "a row is longer than %zu bytes%s", row_bytes,
           parser->format.quotes ? "; is a quote missing?" : "");
}

static void start_block(struct mr__row_parser *parser, const struct mr__heading *heading,
                        const struct mr__block_text *block) {
  struct mr__rows *rows = &parser->rows;
  parser->heading = heading;
  for (int domain = 0; domain < MR_DOMAINS; domain++)
    rows->sides[domain].n = 0, rows->sides[domain].size = 0;
  for (size_t t = 0; t < parser->layout->schema->n_tables; t++) rows->new_keys[t].n = 0;
  rows->n_lines = 0;
  rows->problem = (struct mr__problem){.status = MR_OK};
  mr__scan_start(&parser->scan, block->text, block->size, parser->format.delimiter,
                 parser->format.quotes);
}

struct mr__rows *mr__row_parser_run(struct mr__row_parser *parser,
                                    const struct mr__heading *heading,
                                    const struct mr__block_text *block) {
  const struct mr__scan *scan = &parser->scan;
  struct mr__problem *problem = &parser->rows.problem;
  start_block(parser, heading, block);
  int status = run_steps(parser);
  sort_new_keys(parser);
  if (status != MR_OK) {
    problem->status = status;
    snprintf(problem->text, sizeof problem->text, "%s", mr_last_error());
  } else if (problem->status == MR_OK && scan->broken) {
    note_quotes(parser);
  } else if (problem->status == MR_OK && scan->starts[scan->n_rows] < scan->size) {
    if (block->long_row > 0)
      note_long_row(parser, block->long_row);
    else
      note_quotes(parser);
  }
  return &parser->rows;
}
