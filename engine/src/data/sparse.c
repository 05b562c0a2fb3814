#include "data/sparse.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

/* One pair, taken apart; `value` ends where the pair does. */
struct pair {
  struct mr__text whole, field, index, value;
};

static int is_blank(char c) { return c == ' ' || c == '\t'; }

static int is(struct mr__text text, const char *word) {
  return text.size == strlen(word) && memcmp(text.at, word, text.size) == 0;
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
static int next_word(struct mr__text *rest, struct mr__text *word) {
  const char *at = rest->at, *end = rest->at + rest->size;
  while (at < end && is_blank(*at)) at++;
  const char *stop = at;
  while (stop < end && !is_blank(*stop)) stop++;
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
  pair->whole = pair->value = word;
  pair->field = (struct mr__text){word.at, 0};
  if (layout == MR_LIBFFM && !cut(&pair->value, &pair->field)) return 0;
  return cut(&pair->value, &pair->index) && pair->value.size > 0 &&
         !memchr(pair->value.at, ':', pair->value.size);
}

int mr__sparse_next(struct mr__text *rest, int layout, struct mr__text *index) {
  struct mr__text word;
  struct pair pair;
  if (!next_word(rest, &word) || !take_apart(word, layout, &pair)) return 0;
  *index = pair.index;
  return 1;
}

/* ---- the columns ---- */

static int part_of(const struct mr__column *column, int layout, struct mr__sparse_cell *cell) {
  struct mr__text source = {column->source, strlen(column->source)};
  int type = column->type;
  cell->number = 0;
  if (is(source, "label"))
    cell->part = MR__SPARSE_LABEL;
  else if (is(source, "qid") && layout == MR_LIBSVM)
    cell->part = MR__SPARSE_QID;
  else if (is(source, "features"))
    cell->part = MR__SPARSE_ALL;
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
    cell->part = type == MR_IDS ? MR__SPARSE_PAIRS : MR__SPARSE_INDEX;
  int is_bag = cell->part == MR__SPARSE_ALL || cell->part == MR__SPARSE_PAIRS;
  if (is_bag == (type == MR_IDS)) return MR_OK;
  return mr__fail(MR_EINVAL,
                  is_bag ? "column \"%s\": features are several values, which only a field of "
                           "type ids can hold"
                         : "column \"%s\": %s is one value, and a field of type ids reads pairs",
                  column->name, column->source);
}

int mr__sparse_check(const mr_schema *schema, int layout) {
  const char *name = layout == MR_LIBSVM ? "libsvm" : "libffm";
  struct mr__sparse_cell cell;
  if (schema->n_sequences > 0)
    return mr__fail(MR_EINVAL, "sequence \"%s\": files of %s have no sequences",
                    schema->sequences[0].name, name);
  for (size_t i = 0; i < schema->n_columns; i++) {
    const struct mr__column *column = &schema->columns[i];
    if (column->type == MR_REQUEST_KEY || column->type == MR_VECTOR)
      return mr__fail(MR_EINVAL, "column \"%s\": files of %s have no %s", column->name, name,
                      column->type == MR_VECTOR ? "vectors" : "requests");
    MR_TRY(part_of(column, layout, &cell));
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

int mr__heading_sparse(struct mr__heading *out, const mr_schema *schema,
                       const mr_text_format *format, const char *path) {
  *out = (struct mr__heading){.path = path, .selected = -1, .is_placed = 1};
  size_t n = schema->n_columns;
  out->items = mr__calloc(n, sizeof *out->items);
  out->sparse = mr__calloc(n, sizeof *out->sparse);
  struct mr__sparse_cell *cells = mr__calloc(n, sizeof *cells);
  int status = out->items && out->sparse && cells ? MR_OK : mr__fail_memory();
  for (size_t i = 0; status == MR_OK && i < n; i++) {
    status = part_of(&schema->columns[i], format->layout, &cells[i]);
    if (status == MR_OK) add_cell(out, cells[i]);
  }
  for (size_t i = 0; status == MR_OK && i < n; i++) {
    mr__heading_add(out, (struct mr__item){find_cell(out, cells[i]), (int)i});
  }
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
  return is(value, "1") || (mr__parse_number(value, &number) == MR__NUMBER_OK && number == 1);
}

static int check_one(const struct row *row, const struct pair *pair) {
  char shown[MR__EXCERPT_BYTES];
  if (is_one(pair->value)) return 1;
  return fail(row->trouble, pair->value,
              "value \"%s\" of a key, expected 1 (keys are not weighted)",
              mr__excerpt(shown, pair->value));
}

/* Put a pair into one cell. `goes_on`: the pair before it was of the same number. */
static int put_pair(const struct row *row, int cell, const struct pair *pair, int goes_on) {
  const struct mr__sparse_cell *wanted = &row->heading->sparse[cell];
  int again = is_placed(row, cell);
  if (wanted->part != MR__SPARSE_VALUE && !check_one(row, pair)) return 0;
  if (wanted->part == MR__SPARSE_PAIRS) {
    if (again && !goes_on)
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
                "field %u has several pairs, which only a field of type ids can hold",
                wanted->number);
  place(row, cell, wanted->part == MR__SPARSE_VALUE ? pair->value : pair->index);
  return 1;
}

/* All pairs of a row. */
static int take_pairs(const struct row *row, struct mr__text rest, int all) {
  const struct mr__heading *heading = row->heading;
  struct mr__text word;
  struct pair pair;
  char shown[MR__EXCERPT_BYTES];
  uint32_t number, before = 0;
  for (int n = 0; next_word(&rest, &word); n++, before = number) {
    int is_pair = take_apart(word, row->layout, &pair), is_ffm = row->layout == MR_LIBFFM;
    if (!is_pair)
      return fail(row->trouble, word, "\"%s\" is not %sindex:value", mr__excerpt(shown, word),
                  is_ffm ? "field:" : "");
    int is_number = read_number(is_ffm ? pair.field : pair.index, &number);
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

int mr__sparse_row(const struct mr__heading *heading, int layout, const char *text,
                   struct mr__text row, uint32_t *places, struct mr__row_trouble *trouble) {
  struct row state = {heading, layout, text, places, trouble};
  struct mr__text rest = row, word;
  const char *comment = memchr(row.at, '#', row.size);
  if (comment) rest.size = (size_t)(comment - row.at);
  while (rest.size > 0 && (is_blank(rest.at[rest.size - 1]) || rest.at[rest.size - 1] == '\r'))
    rest.size--;
  for (int cell = 0; cell < heading->n_cells; cell++)
    place(&state, cell, (struct mr__text){row.at, 0});
  if (!next_word(&rest, &word) || memchr(word.at, ':', word.size))
    return fail(trouble, row, "the row has no label");
  int all = 0;
  for (int cell = 0; cell < heading->n_unnumbered; cell++)
    if (heading->sparse[cell].part == MR__SPARSE_LABEL) place(&state, cell, word);
  struct mr__text behind = rest;
  int has_qid = layout == MR_LIBSVM && next_word(&behind, &word) && word.size > 4 &&
                memcmp(word.at, "qid:", 4) == 0;
  if (has_qid) rest = behind;
  for (int cell = 0; cell < heading->n_unnumbered; cell++) {
    if (heading->sparse[cell].part == MR__SPARSE_QID && has_qid)
      place(&state, cell, (struct mr__text){word.at + 4, word.size - 4});
    if (heading->sparse[cell].part == MR__SPARSE_ALL) place(&state, cell, rest), all = 1;
  }
  return take_pairs(&state, rest, all);
}
