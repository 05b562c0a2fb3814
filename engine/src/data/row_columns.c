/* Columns with one value, or vector, a row: ids and crosses of them, groups, numbers, labels,
 * weights, times, scenarios. A loop goes over the cells of one column, or over ids of several that
 * lie side by side; codes of ids wait until all of a step's are there and are put into the records
 * together. */
#include "data/row_parser.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "data/fit.h"
#include "kernel/family.h"

enum mr__number mr__parse_float(const struct mr__row_parser *parser,
                                const struct mr__column *column, struct mr__text text,
                                float *value) {
  if (column->type == MR_LABEL && parser->heading->sparse && text.size == 2 &&
      memcmp(text.at, "-1", 2) == 0)
    text = (struct mr__text){"0", 1};
  if (column->type == MR_LABEL && text.size == 0 && parser->layout->schema->n_labels > 1) {
    *value = NAN;
    return MR__NUMBER_OK;
  }
  if (column->type == MR_LABEL)
    return mr__cell_label(column, text, value) ? MR__NUMBER_OK : MR__NUMBER_BAD;
  if (column->type == MR_WEIGHT)
    return mr__cell_weight(text, value) ? MR__NUMBER_OK : MR__NUMBER_BAD;
  return mr__cell_number(column, text, value);
}

int mr__parse_vector(struct mr__row_parser *parser, size_t row, struct mr__item item, int *bad) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  struct mr__bad_vector trouble;
  MR_TRY(mr__grow(&parser->vector, &parser->vector_capacity, mr__column_words(column),
                  sizeof *parser->vector));
  struct mr__text text = mr__read_cell(parser, row, item.position);
  *bad = mr__cell_vector(column, text, parser->vector, &trouble) != MR__NUMBER_OK;
  if (*bad) mr__note_bad_vector(parser, row, item, &trouble);
  return MR_OK;
}

/* Where the codes of a column wait until all of a step's are there (put_all_codes). */
static uint32_t *codes_of(struct mr__row_parser *parser, int column) {
  const struct mr__layout *layout = parser->layout;
  int domain = layout->schema->columns[column].domain;
  size_t place = (layout->at[column] - layout->records[domain].codes_at) / 4;
  return parser->codes[domain] + place * parser->lists[domain].n;
}

/* Into the records. */
static void put_all_codes(struct mr__row_parser *parser) {
  for (int domain = 0; domain < MR_DOMAINS; domain++) {
    const struct mr__record *shape = &parser->layout->records[domain];
    const struct mr__row_list *list = &parser->lists[domain];
    char *records = parser->rows.sides[domain].records;
    if (shape->n_codes > 0 && list->n > 0)
      mr__family()->put_words(records + shape->codes_at, list->record_at, list->n,
                              parser->codes[domain], list->n, (size_t)shape->n_codes);
  }
}

/* Where the cells of one column lie: cell i between at[i * stride] and at[i * stride + 1], which is
 * the form of the scanner's ends. */
struct marks {
  const uint32_t *at;
  size_t stride;
};

/* Cells of the rows of a list, without the quotes around them. */
static struct marks find_cells(struct mr__row_parser *parser, const struct mr__row_list *list,
                               int position) {
  const struct mr__scan *scan = &parser->scan;
  size_t n_cells = (size_t)parser->heading->n_cells;
  if (parser->heading->is_placed && list->n == parser->n_rows)
    return (struct marks){parser->places + 2 * position, 2 * n_cells};
  int is_inner = position > 0 && position < parser->heading->n_cells - 1;
  if (is_inner && !parser->heading->is_placed && list->n == parser->n_rows && !scan->has_quotes)
    return (struct marks){scan->ends + position - 1, n_cells};
  uint32_t *marks = parser->marks;
  for (size_t i = 0; i < list->n; i++) {
    struct mr__text raw = mr__raw_cell(parser, list->rows[i], position);
    uint32_t start = (uint32_t)(raw.at - scan->text);
    uint32_t quoted = scan->has_quotes && raw.size > 0 && *raw.at == '"';
    marks[2 * i] = start + quoted - 1;
    marks[2 * i + 1] = start + (uint32_t)raw.size - quoted;
  }
  return (struct marks){marks, 2};
}

/* The keys of one column in the rows of a list. */
static void hash_cells(struct mr__row_parser *parser, struct mr__item item,
                       const struct mr__row_list *list, uint64_t *keys) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  struct marks marks = find_cells(parser, list, item.position);
  mr__family()->cell_keys(keys, parser->scan.text, marks.at, marks.stride, list->n, column->seed);
  for (size_t i = 0; parser->scan.has_quotes && i < list->n; i++) {
    struct mr__text text = mr__read_cell(parser, list->rows[i], item.position);
    if (text.at == parser->unquoted) keys[i] = mr__key(text.at, text.size, column->seed);
  }
}

/* Values that are not listed have one key. */
static void list_keys(struct mr__row_parser *parser, struct mr__item item, uint64_t *keys) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  const struct mr__row_list *list = &parser->lists[column->domain];
  for (size_t i = 0; column->n_values > 0 && i < list->n; i++) {
    keys[i] = mr__listed_key(column, keys[i]);
    if (keys[i] == MR__UNLISTED_KEY && mr__column_is_strict(column))
      mr__note_bad_ids(parser, list->rows[i], item);
  }
}

/* How many of n columns lie side by side in the index, without quotes, in every row: the cell
 * behind the last of them is of the same row. */
static int count_neighbours(const struct mr__row_parser *parser, const struct mr__item *items,
                            int n) {
  const struct mr__column *columns = parser->layout->schema->columns;
  if (parser->heading->is_placed || parser->scan.has_quotes || items[0].position == 0 ||
      parser->lists[columns[items[0].column].domain].n != parser->n_rows)
    return 0;
  int k = 0;
  while (k < n && items[k].position == items[0].position + k &&
         items[k].position < parser->heading->n_cells - 1)
    k++;
  return k;
}

/* The keys of n columns of one domain. */
static void hash_columns(struct mr__row_parser *parser, const struct mr__item *items, int n) {
  const struct mr__scan *scan = &parser->scan;
  const struct mr__column *columns = parser->layout->schema->columns;
  const struct mr__row_list *list = &parser->lists[columns[items[0].column].domain];
  size_t n_rows = list->n;
  uint64_t seeds[MR__QUERIES];
  int n_side_by_side = count_neighbours(parser, items, n);
  for (int i = 0; i < n_side_by_side; i++) seeds[i] = columns[items[i].column].seed;
  if (n_side_by_side > 0)
    mr__family()->row_keys(parser->keys, scan->text, scan->ends + items[0].position - 1,
                           (size_t)parser->heading->n_cells, n_rows, seeds, (size_t)n_side_by_side);
  for (int i = n_side_by_side; i < n; i++)
    hash_cells(parser, items[i], list, parser->keys + (size_t)i * n_rows);
}

static void take_groups(struct mr__row_parser *parser, struct mr__item item) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  const struct mr__row_list *list = &parser->lists[column->domain];
  char *records = parser->rows.sides[column->domain].records;
  uint64_t *keys = parser->keys;
  size_t at = parser->layout->at[item.column];
  int view = parser->layout->view_of[item.column];
  hash_cells(parser, item, list, keys);
  const size_t *restrict record_at = list->record_at;
  for (size_t i = 0, n = list->n; i < n; i++) memcpy(records + record_at[i] + at, &keys[i], 8);
  if (view >= 0)
    memcpy(parser->rows.views[view].data + 8 * parser->rows.sides[MR_SAMPLE].n, keys, 8 * list->n);
}

static int is_plain_id(const struct mr__column *column) {
  return column->type == MR_ID && column->sequence < 0;
}

/* How many of the items from here on are ids of one domain and can be taken together. */
static int count_ids(const struct mr__row_parser *parser, const struct mr__item *items, int most) {
  const struct mr__column *columns = parser->layout->schema->columns;
  int n = 0;
  while (n < most && n < MR__QUERIES && is_plain_id(&columns[items[n].column]) &&
         columns[items[n].column].domain == columns[items[0].column].domain)
    n++;
  return n;
}

/* The codes of the first n columns of parser->keys, which are of one domain. */
static int find_codes(struct mr__row_parser *parser, const struct mr__item *items, int n) {
  const struct mr__layout *layout = parser->layout;
  const struct mr__row_list *list = &parser->lists[layout->schema->columns[items[0].column].domain];
  struct mr__query queries[MR__QUERIES];
  for (int k = 0; k < n; k++)
    queries[k] = (struct mr__query){.table = layout->schema->columns[items[k].column].table,
                                    .keys = parser->keys + (size_t)k * list->n,
                                    .codes = codes_of(parser, items[k].column)};
  mr__dictionary_find_all(parser->recent, queries, n, list->n);
  for (int k = 0; k < n; k++)
    for (size_t i = 0; queries[k].n_new > 0 && i < list->n; i++)
      if (queries[k].codes[i] >= MR__NEW_CODE)
        MR_TRY(mr__note_new_key(parser, items[k].column, list->rows[i], queries[k].keys[i],
                                list->record_at[i] + layout->at[items[k].column],
                                &queries[k].codes[i]));
  return MR_OK;
}

static uint64_t *part_keys_of(struct mr__row_parser *parser, int column) {
  return parser->part_keys + (size_t)parser->part_places[column] * parser->n_rows;
}

/* The codes of n columns of ids. */
static int take_ids(struct mr__row_parser *parser, const struct mr__item *items, int n) {
  size_t n_rows = parser->lists[parser->layout->schema->columns[items[0].column].domain].n;
  hash_columns(parser, items, n);
  for (int k = 0; k < n; k++) {
    uint64_t *keys = parser->keys + (size_t)k * n_rows;
    list_keys(parser, items[k], keys);
    if (parser->part_places[items[k].column] >= 0 && n_rows > 0)
      memcpy(part_keys_of(parser, items[k].column), keys, n_rows * sizeof *keys);
  }
  return find_codes(parser, items, n);
}

/* The keys of a part, for the rows of the cross's list: those of its own, or where these are
 * requests, of the request that a row is of. That may have begun in a step before. */
static const uint64_t *keys_of_part(struct mr__row_parser *parser, const struct mr__column *cross,
                                    int k, uint64_t *room) {
  int part = cross->parts[k];
  const uint64_t *keys = part_keys_of(parser, part);
  const struct mr__row_list *list = &parser->lists[cross->domain];
  const mr_schema *schema = parser->layout->schema;
  if (schema->columns[part].domain == cross->domain || schema->request_key < 0) return keys;
  uint64_t last = parser->part_last_keys[parser->part_places[part]];
  int64_t before = parser->rows.sides[MR_REQUEST].n;
  for (size_t i = 0; i < list->n; i++) {
    int64_t request = parser->request_of[list->rows[i]] - before;
    room[i] = request >= 0 ? keys[request] : last;
  }
  return room;
}

/* The codes of a cross: the keys of its parts, in the rows of its own domain, become its keys. */
static int take_cross(struct mr__row_parser *parser, int c) {
  const struct mr__column *cross = &parser->layout->schema->columns[c];
  const struct mr__row_list *list = &parser->lists[cross->domain];
  const uint64_t *keys[MR__MOST_PARTS];
  uint64_t parts[MR__MOST_PARTS];
  _Static_assert((int)MR__MOST_PARTS <= (int)MR__QUERIES,
                 "parser->keys has room for the parts of a cross");
  for (int k = 0; k < cross->n_parts; k++)
    keys[k] = keys_of_part(parser, cross, k, parser->keys + (size_t)k * list->n);
  for (size_t i = 0; i < list->n; i++) {
    for (int k = 0; k < cross->n_parts; k++) parts[k] = keys[k][i];
    parser->keys[i] = mr__cross_key(cross, parts);
  }
  return find_codes(parser, &(struct mr__item){.column = c}, 1);
}

/* What rows of the next step that go on with the last request need of it. */
static void keep_last_keys(struct mr__row_parser *parser) {
  const mr_schema *schema = parser->layout->schema;
  size_t n_requests = parser->lists[MR_REQUEST].n;
  if (n_requests == 0) return;
  for (size_t c = 0; c < schema->n_columns; c++)
    if (parser->part_places[c] >= 0 && schema->columns[c].domain == MR_REQUEST)
      parser->part_last_keys[parser->part_places[c]] = part_keys_of(parser, (int)c)[n_requests - 1];
}

static int take_crosses(struct mr__row_parser *parser) {
  const mr_schema *schema = parser->layout->schema;
  for (size_t c = 0; c < schema->n_columns; c++)
    if (schema->columns[c].n_parts > 0 && schema->columns[c].type == MR_ID)
      MR_TRY(take_cross(parser, (int)c));
  keep_last_keys(parser);
  return MR_OK;
}

static void take_floats(struct mr__row_parser *parser, struct mr__item item) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  const struct mr__row_list *list = &parser->lists[column->domain];
  char *records = parser->rows.sides[column->domain].records;
  size_t at = parser->layout->at[item.column] + 4 * (size_t)item.part;
  int view = parser->layout->view_of[item.column];
  char *out = view < 0 ? NULL : parser->rows.views[view].data + 4 * parser->rows.sides[MR_SAMPLE].n;
  uint32_t *codes = column->type == MR_BUCKET ? codes_of(parser, item.column) : NULL;
  uint64_t *keys = parser->part_places[item.column] >= 0 ? part_keys_of(parser, item.column) : NULL;
  for (size_t i = 0; i < list->n; i++) {
    struct mr__text text = mr__read_cell(parser, list->rows[i], item.position);
    float value = 0;
    enum mr__number kind = mr__parse_float(parser, column, text, &value);
    if (kind > MR__NUMBER_MISSING) mr__note_bad_value(parser, list->rows[i], item, kind);
    memcpy(codes ? (char *)&codes[i] : records + list->record_at[i] + at, &value, 4);
    if (out) memcpy(out + 4 * i, &value, 4);
    if (keys) keys[i] = mr__bucket_key(column, mr__bucket_of(column, value));
  }
}

static int take_vectors(struct mr__row_parser *parser, struct mr__item item) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  const struct mr__row_list *list = &parser->lists[column->domain];
  char *records = parser->rows.sides[column->domain].records + parser->layout->at[item.column];
  for (size_t i = 0; i < list->n; i++) {
    int bad;
    MR_TRY(mr__parse_vector(parser, list->rows[i], item, &bad));
    memcpy(records + list->record_at[i], parser->vector, 4 * mr__column_words(column));
  }
  return MR_OK;
}

/* Labels that there are only where another is 1, which comes before them in the schema. */
static void mask_labels(struct mr__row_parser *parser) {
  const struct mr__layout *layout = parser->layout;
  const struct mr__row_list *list = &parser->lists[MR_SAMPLE];
  const float none = NAN;
  for (int c = 0; c < (int)layout->schema->n_columns; c++) {
    int when = layout->schema->columns[c].when;
    if (when < 0) continue;
    char *view = parser->rows.views[layout->view_of[c]].data + 4 * parser->rows.sides[MR_SAMPLE].n;
    for (size_t i = 0; i < list->n; i++) {
      char *record = parser->rows.sides[MR_SAMPLE].records + list->record_at[i];
      float value;
      memcpy(&value, record + layout->at[when], 4);
      if (value == 1) continue;
      memcpy(record + layout->at[c], &none, 4);
      memcpy(view + 4 * i, &none, 4);
    }
  }
}

/* Where the values of a column go that is not in records. */
static char *view_of(const struct mr__row_parser *parser, struct mr__item item, size_t size) {
  int view = parser->layout->view_of[item.column];
  return parser->rows.views[view].data + size * (size_t)parser->rows.sides[MR_SAMPLE].n;
}

static void take_times(struct mr__row_parser *parser, struct mr__item item) {
  double *out = (double *)(void *)view_of(parser, item, sizeof *out);
  for (size_t row = 0; row < parser->n_rows; row++)
    if (!mr__cell_time(mr__read_cell(parser, row, item.position), &out[row]))
      mr__note_bad_value(parser, row, item, MR__NUMBER_BAD);
}

static int take_scenarios(struct mr__row_parser *parser, struct mr__item item) {
  int32_t *out = (int32_t *)(void *)view_of(parser, item, sizeof *out);
  uint64_t seed = parser->layout->schema->columns[item.column].seed;
  for (size_t row = 0; row < parser->n_rows; row++) {
    struct mr__text text = mr__read_cell(parser, row, item.position);
    uint64_t key = mr__hash(text.at, text.size, seed);
    size_t at = (size_t)(mr__raw_cell(parser, row, item.position).at - parser->scan.text);
    MR_TRY(mr__scenarios_find(&parser->scenarios, key, text, at, &out[row]));
    if (out[row] == MR__MOST_SCENARIOS) {
      out[row] = 0;
      mr__note_scenario(&parser->rows, parser->layout->schema, at, item, text);
    }
  }
  return MR_OK;
}

int mr__take_columns(struct mr__row_parser *parser) {
  const struct mr__heading *heading = parser->heading;
  for (int i = 0, n = 1; i < heading->n_items; i += n) {
    struct mr__item item = heading->items[i];
    n = 1;
    if (parser->layout->schema->columns[item.column].sequence >= 0) continue;
    switch (parser->layout->schema->columns[item.column].type) {
    case MR_ID:
      n = count_ids(parser, &heading->items[i], heading->n_items - i);
      MR_TRY(take_ids(parser, &heading->items[i], n));
      break;
    case MR_GROUP:
      take_groups(parser, item);
      break;
    case MR_NUMBER:
    case MR_BUCKET:
    case MR_LABEL:
    case MR_WEIGHT:
      take_floats(parser, item);
      break;
    case MR_VECTOR:
      if (parser->layout->schema->columns[item.column].n_sources > 0)
        take_floats(parser, item);
      else
        MR_TRY(take_vectors(parser, item));
      break;
    case MR_TIME:
      take_times(parser, item);
      break;
    case MR_SCENARIO:
      MR_TRY(take_scenarios(parser, item));
      break;
    default:
      break;
    }
  }
  MR_TRY(take_crosses(parser));
  put_all_codes(parser);
  mask_labels(parser);
  return MR_OK;
}
