#include "data/sparse.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

/* One pair, taken apart; `value` ends where the pair does. */
struct pair {
  struct mr__text whole, field, index, value;
};

/* What stands between words. */
static int is_between(char c, int layout) {
  return layout == MR_PAIRS ? c == ',' : c == ' ' || c == '\t';
}

/* A whole number that fits; 0 where the text is anything else. */
static int read_number(struct mr__text text, uint32_t *out) {
  uint64_t value = 0;
  if (text.size == 0 || text.size > 10) return 0;
  for (size_t i = 0; i < text.size; i++) {
    if (text.at[i] < '0' || text.at[i] > '9') return 0;
    value = value * 10 + (uint64_t)(text.at[i] - '0');
  }
  *out = (uint32_t)value;
  return value <= UINT32_MAX;
}

/* The next word of a row, 0 at its end. */
static int next_word(struct mr__text *rest, int layout, struct mr__text *word) {
  const char *at = rest->at, *end = rest->at + rest->size;
  while (at < end && is_between(*at, layout)) at++;
  const char *stop = at;
  while (stop < end && !is_between(*stop, layout)) stop++;
  *word = (struct mr__text){at, (size_t)(stop - at)};
  *rest = (struct mr__text){stop, (size_t)(end - stop)};
  return word->size > 0;
}

/* Cut off what stands before the first colon. */
static int cut(struct mr__text *rest, struct mr__text *first) {
  const char *colon = memchr(rest->at, ':', rest->size);
  if (!colon) return 0;
  *first = (struct mr__text){rest->at, (size_t)(colon - rest->at)};
  rest->size -= first->size + 1;
  rest->at = colon + 1;
  return first->size > 0;
}

static int take_apart(struct mr__text word, int layout, struct pair *pair) {
  if (layout == MR_PAIRS) {
    *pair = (struct pair){.whole = word, .value = word};
    if (!cut(&pair->value, &pair->field)) return 0;
    pair->index = pair->value;
    return pair->value.size > 0;
  }
  pair->whole = pair->value = word;
  pair->field = (struct mr__text){word.at, 0};
  if (layout == MR_LIBFFM && !cut(&pair->value, &pair->field)) return 0;
  return cut(&pair->value, &pair->index) && pair->value.size > 0 &&
         !memchr(pair->value.at, ':', pair->value.size);
}

int mr__sparse_next(struct mr__text *rest, int layout, const char *field, struct mr__text *index,
                    struct mr__text *value) {
  struct mr__text word;
  struct pair pair;
  do {
    if (!next_word(rest, layout, &word) || !take_apart(word, layout, &pair)) return 0;
  } while (layout == MR_PAIRS && !mr__text_is(pair.field, field));
  *index = pair.index;
  *value = pair.value;
  return 1;
}

/* ---- the columns ---- */

/* The number of a cell that comes before the pairs, or -1. */
static int leading_cell(const mr_text_format *format, const char *source) {
  for (int i = 0; i < format->n_names; i++)
    if (strcmp(format->names[i], source) == 0) return i;
  return -1;
}

/* Of named pairs; the number of a field is added by mr__heading_sparse. */
static int named_part_of(const struct mr__column *column, const mr_text_format *format,
                         struct mr__sparse_cell *cell) {
  int leading = leading_cell(format, column->source);
  cell->number = leading < 0 ? 0 : (uint32_t)leading;
  cell->part = leading >= 0                   ? MR__SPARSE_CELL
               : mr__column_is_number(column) ? MR__SPARSE_VALUE
               : column->type == MR_IDS       ? MR__SPARSE_PAIRS
                                              : MR__SPARSE_INDEX;
  if (leading < 0 || column->type != MR_IDS) return MR_OK;
  return mr__fail(MR_EINVAL, "column \"%s\": %s is one value, and a field of type ids reads pairs",
                  column->name, column->source);
}

static int part_of(const struct mr__column *column, const mr_text_format *format,
                   struct mr__sparse_cell *cell) {
  struct mr__text source = {column->source, strlen(column->source)};
  int type = column->type, layout = format->layout;
  if (layout == MR_PAIRS) return named_part_of(column, format, cell);
  cell->number = 0;
  if (mr__text_is(source, "label"))
    cell->part = MR__SPARSE_LABEL;
  else if (mr__text_is(source, "qid") && layout == MR_LIBSVM)
    cell->part = MR__SPARSE_QID;
  else if (mr__text_is(source, "features"))
    cell->part = column->weight_separator ? MR__SPARSE_WEIGHTED_ALL : MR__SPARSE_ALL;
  else if (!read_number(source, &cell->number))
    return mr__fail(MR_EINVAL,
                    layout == MR_LIBSVM ? "column \"%s\": its source is \"%s\", expected label, "
                                          "qid, features or the number of an index"
                                        : "column \"%s\": its source is \"%s\", expected label, "
                                          "features or the number of a field",
                    column->name, column->source);
  else if (mr__column_is_number(column) || layout == MR_LIBSVM)
    cell->part = MR__SPARSE_VALUE;
  else
    cell->part = column->weight_separator ? MR__SPARSE_WEIGHTED_PAIRS
                 : type == MR_IDS         ? MR__SPARSE_PAIRS
                                          : MR__SPARSE_INDEX;
  int is_bag = cell->part >= MR__SPARSE_ALL && cell->part <= MR__SPARSE_WEIGHTED_PAIRS;
  if (is_bag == (type == MR_IDS)) return MR_OK;
  return mr__fail(MR_EINVAL,
                  is_bag ? "column \"%s\": features are several values, which only a field of "
                           "type ids can hold"
                         : "column \"%s\": %s is one value, and a field of type ids reads pairs",
                  column->name, column->source);
}

int mr__sparse_check(const mr_schema *schema, const mr_text_format *format) {
  const char *name = format->layout == MR_LIBSVM   ? "libsvm"
                     : format->layout == MR_LIBFFM ? "libffm"
                                                   : "named pairs";
  struct mr__sparse_cell cell;
  if (schema->n_sequences > 0)
    return mr__fail(MR_EINVAL, "sequence \"%s\": files of %s have no sequences",
                    schema->sequences[0].name, name);
  for (size_t i = 0; i < schema->n_columns; i++) {
    const struct mr__column *column = &schema->columns[i];
    if (column->n_parts > 0) continue;
    if (column->type == MR_REQUEST_KEY || column->type == MR_VECTOR)
      return mr__fail(MR_EINVAL, "column \"%s\": files of %s have no %s", column->name, name,
                      column->type == MR_VECTOR ? "vectors" : "requests");
    if (column->weights)
      return mr__fail(MR_EINVAL, "column \"%s\": files of %s have no column of weights",
                      column->name, name);
    MR_TRY(part_of(column, format, &cell));
  }
  return MR_OK;
}

static int compare(const struct mr__sparse_cell *a, const struct mr__sparse_cell *b) {
  int numbered_a = a->part >= MR__SPARSE_PAIRS, numbered_b = b->part >= MR__SPARSE_PAIRS;
  if (numbered_a != numbered_b) return numbered_a - numbered_b;
  if (a->number != b->number) return a->number < b->number ? -1 : 1;
  return (int)a->part - (int)b->part;
}

/* Insert by order; equal ones are one cell. */
static void add_cell(struct mr__heading *heading, struct mr__sparse_cell cell) {
  int i = heading->n_cells;
  for (; i > 0 && compare(&heading->sparse[i - 1], &cell) >= 0; i--)
    if (compare(&heading->sparse[i - 1], &cell) == 0) return;
  memmove(heading->sparse + i + 1, heading->sparse + i,
          (size_t)(heading->n_cells - i) * sizeof *heading->sparse);
  heading->sparse[i] = cell;
  heading->n_cells++;
  heading->n_unnumbered += cell.part < MR__SPARSE_PAIRS;
}

static int find_cell(const struct mr__heading *heading, struct mr__sparse_cell cell) {
  int i = 0;
  while (compare(&heading->sparse[i], &cell) != 0) i++;
  return i;
}

/* The number of a named field. */
static int number_field(struct mr__heading *heading, const struct mr__column *column,
                        struct mr__sparse_cell *cell) {
  struct mr__text source = {column->source, strlen(column->source)};
  int number = mr__names_find(&heading->members, source);
  cell->number = number < 0 ? (uint32_t)heading->members.n : (uint32_t)number;
  return number < 0 ? mr__names_add(&heading->members, source, (int)cell->number) : MR_OK;
}

int mr__heading_sparse(struct mr__heading *out, const mr_schema *schema,
                       const mr_text_format *format, const char *path) {
  *out = (struct mr__heading){.path = path, .selected = -1, .is_placed = 1};
  out->n_leading = format->layout == MR_PAIRS ? format->n_names : 0;
  size_t n = schema->n_columns;
  out->items = mr__calloc(n, sizeof *out->items);
  out->sparse = mr__calloc(n, sizeof *out->sparse);
  struct mr__sparse_cell *cells = mr__calloc(n, sizeof *cells);
  int status = out->items && out->sparse && cells ? MR_OK : mr__fail_memory();
  for (size_t i = 0; status == MR_OK && i < n; i++) {
    if (schema->columns[i].n_parts > 0) continue;
    status = part_of(&schema->columns[i], format, &cells[i]);
    if (status == MR_OK && format->layout == MR_PAIRS && cells[i].part != MR__SPARSE_CELL)
      status = number_field(out, &schema->columns[i], &cells[i]);
    if (status == MR_OK) add_cell(out, cells[i]);
  }
  for (size_t i = 0; status == MR_OK && i < n; i++)
    if (schema->columns[i].n_parts == 0)
      mr__heading_add(out,
                      (struct mr__item){.position = find_cell(out, cells[i]), .column = (int)i});
  mr__free(cells);
  if (status != MR_OK) mr__heading_clear(out);
  return status;
}

/* ---- rows ---- */

static int fail(struct mr__row_trouble *trouble, struct mr__text at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(struct mr__row_trouble *trouble, struct mr__text at, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  trouble->at = at.at;
  vsnprintf(trouble->text, sizeof trouble->text, format, arguments);
  va_end(arguments);
  return 0;
}

/* A row while its cells are found. */
struct row {
  const struct mr__heading *heading;
  int layout;
  const char *text;
  uint32_t *places;
  struct mr__row_trouble *trouble;
};

static void place(const struct row *row, int cell, struct mr__text bytes) {
  row->places[2 * cell] = (uint32_t)(bytes.at - row->text) - 1;
  row->places[2 * cell + 1] = (uint32_t)(bytes.at + bytes.size - row->text);
}

static int is_placed(const struct row *row, int cell) {
  return row->places[2 * cell] + 1 != row->places[2 * cell + 1];
}

/* The first cell of a number, or where it would be. */
static int first_cell(const struct mr__heading *heading, uint32_t number) {
  int low = heading->n_unnumbered, high = heading->n_cells;
  while (low < high) {
    int middle = (low + high) / 2;
    if (heading->sparse[middle].number < number)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static int is_one(struct mr__text value) {
  float number = 0;
  return mr__text_is(value, "1") ||
         (mr__parse_number(value, &number) == MR__NUMBER_OK && number == 1);
}

static int check_one(const struct row *row, const struct pair *pair) {
  char shown[MR__EXCERPT_BYTES];
  if (is_one(pair->value)) return 1;
  return fail(row->trouble, pair->value,
              "value \"%s\" of a key, expected 1 (its field is not weighted)",
              mr__excerpt(shown, pair->value));
}

static const char *field_name(const struct row *row, const struct mr__sparse_cell *cell,
                              char shown[MR__EXCERPT_BYTES]) {
  if (row->layout == MR_PAIRS)
    return mr__excerpt(shown, row->heading->members.list[cell->number].text);
  snprintf(shown, MR__EXCERPT_BYTES, "%u", cell->number);
  return shown;
}

/* Put a pair into one cell. `goes_on`: the pair before it was of the same number. */
static int put_pair(const struct row *row, int cell, const struct pair *pair, int goes_on) {
  const struct mr__sparse_cell *wanted = &row->heading->sparse[cell];
  int again = is_placed(row, cell);
  char shown[MR__EXCERPT_BYTES];
  int is_weighted = wanted->part == MR__SPARSE_WEIGHTED_PAIRS;
  if (row->layout != MR_PAIRS && wanted->part != MR__SPARSE_VALUE && !is_weighted &&
      !check_one(row, pair))
    return 0;
  if (wanted->part == MR__SPARSE_PAIRS || is_weighted) {
    if (again && !goes_on && row->layout != MR_PAIRS)
      return fail(row->trouble, pair->whole,
                  "field %u comes again behind others; its pairs must stand together",
                  wanted->number);
    if (!again) place(row, cell, pair->whole);
    row->places[2 * cell + 1] = (uint32_t)(pair->whole.at + pair->whole.size - row->text);
    return 1;
  }
  if (again && row->layout == MR_LIBSVM)
    return fail(row->trouble, pair->whole, "index %u is there twice", wanted->number);
  if (again)
    return fail(row->trouble, pair->whole,
                "field %s has several pairs, which only a field of type ids can hold",
                field_name(row, wanted, shown));
  place(row, cell, wanted->part == MR__SPARSE_VALUE ? pair->value : pair->index);
  return 1;
}

static int find_field(const struct mr__heading *heading, struct mr__text name, uint32_t *number) {
  int found = mr__names_find(&heading->members, name);
  *number = (uint32_t)found;
  return found >= 0;
}

/* All pairs of a row. */
static int take_pairs(const struct row *row, struct mr__text rest, int all) {
  const struct mr__heading *heading = row->heading;
  struct mr__text word;
  struct pair pair;
  char shown[MR__EXCERPT_BYTES];
  uint32_t number, before = 0;
  for (int n = 0; next_word(&rest, row->layout, &word); n++, before = number) {
    int is_pair = take_apart(word, row->layout, &pair), is_ffm = row->layout == MR_LIBFFM;
    if (!is_pair)
      return fail(row->trouble, word, "\"%s\" is not %s", mr__excerpt(shown, word),
                  is_ffm                    ? "field:index:value"
                  : row->layout == MR_PAIRS ? "field:text"
                                            : "index:value");
    int is_number = row->layout == MR_PAIRS
                        ? find_field(heading, pair.field, &number)
                        : read_number(is_ffm ? pair.field : pair.index, &number);
    if (!is_number) number = UINT32_MAX;
    if (!is_number && is_ffm)
      return fail(row->trouble, word, "field \"%s\" is not a number",
                  mr__excerpt(shown, pair.field));
    if (all && !check_one(row, &pair)) return 0;
    if (!is_number) continue;
    for (int cell = first_cell(heading, number);
         cell < heading->n_cells && heading->sparse[cell].number == number; cell++)
      if (!put_pair(row, cell, &pair, n > 0 && before == number)) return 0;
  }
  return 1;
}

/* The cells before named pairs; `rest` is moved behind them. */
static int take_leading(const struct row *row, struct mr__text *rest) {
  const struct mr__heading *heading = row->heading;
  const char *at = rest->at, *end = rest->at + rest->size;
  for (int i = 0; i < heading->n_leading; i++) {
    if (at > end)
      return fail(row->trouble, *rest, "%d cell%s, expected %d before pairs", i, i == 1 ? "" : "s",
                  heading->n_leading);
    const char *stop = memchr(at, ',', (size_t)(end - at));
    if (!stop) stop = end;
    for (int cell = 0; cell < heading->n_unnumbered; cell++)
      if (heading->sparse[cell].number == (uint32_t)i)
        place(row, cell, (struct mr__text){at, (size_t)(stop - at)});
    at = stop + 1;
  }
  if (at > end) at = end;
  *rest = (struct mr__text){at, (size_t)(end - at)};
  return 1;
}

int mr__sparse_row(const struct mr__heading *heading, int layout, const char *text,
                   struct mr__text row, uint32_t *places, struct mr__row_trouble *trouble) {
  struct row state = {heading, layout, text, places, trouble};
  struct mr__text rest = row, word;
  const char *comment = layout == MR_PAIRS ? NULL : memchr(row.at, '#', row.size);
  if (comment) rest.size = (size_t)(comment - row.at);
  for (char c; rest.size > 0; rest.size--) {
    c = rest.at[rest.size - 1];
    if (c != '\r' && !is_between(c, MR_LIBSVM)) break;
  }
  for (int cell = 0; cell < heading->n_cells; cell++)
    place(&state, cell, (struct mr__text){row.at, 0});
  if (layout == MR_PAIRS) return take_leading(&state, &rest) && take_pairs(&state, rest, 0);
  if (!next_word(&rest, layout, &word) || memchr(word.at, ':', word.size))
    return fail(trouble, row, "the row has no label");
  int all = 0;
  for (int cell = 0; cell < heading->n_unnumbered; cell++)
    if (heading->sparse[cell].part == MR__SPARSE_LABEL) place(&state, cell, word);
  struct mr__text behind = rest;
  int has_qid = layout == MR_LIBSVM && next_word(&behind, layout, &word) && word.size > 4 &&
                memcmp(word.at, "qid:", 4) == 0;
  if (has_qid) rest = behind;
  for (int cell = 0; cell < heading->n_unnumbered; cell++) {
    if (heading->sparse[cell].part == MR__SPARSE_QID && has_qid)
      place(&state, cell, (struct mr__text){word.at + 4, word.size - 4});
    if (heading->sparse[cell].part == MR__SPARSE_ALL) place(&state, cell, rest), all = 1;
    if (heading->sparse[cell].part == MR__SPARSE_WEIGHTED_ALL) place(&state, cell, rest);
  }
  return take_pairs(&state, rest, all);
}
