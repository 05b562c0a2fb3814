#include "data/json_lines.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

enum { LONGEST_NAME = 255, DEEPEST = 64 };

/* ---- the columns ---- */

static struct mr__text source_of(const struct mr__column *column, int part) {
  const char *source = mr__column_source(column, part);
  return (struct mr__text){source, strlen(source)};
}

/* What stands between the values that a column reads. */
static struct mr__json_cell separators_of(const mr_schema *schema,
                                          const struct mr__column *column) {
  int is_list = column->type == MR_IDS || column->type == MR_VECTOR;
  int own = is_list && column->n_sources == 0 ? column->separator : -1;
  if (column->sequence < 0) return (struct mr__json_cell){own, -1};
  return (struct mr__json_cell){schema->sequences[column->sequence].separator, own};
}

/* Whether two columns read one member. */
static int read_one(const struct mr__column *a, const struct mr__column *b) {
  for (int p = 0; p < mr__column_cells(a); p++)
    for (int q = 0; q < mr__column_cells(b); q++)
      if (strcmp(mr__column_source(a, p), mr__column_source(b, q)) == 0) return 1;
  return 0;
}

int mr__json_check(const mr_schema *schema) {
  for (size_t i = 0; i < schema->n_columns; i++) {
    const struct mr__column *column = &schema->columns[i];
    struct mr__json_cell own = separators_of(schema, column);
    for (int p = 0; p < mr__column_cells(column); p++)
      if (source_of(column, p).size > LONGEST_NAME)
        return mr__fail(MR_EINVAL,
                        "column \"%.40s\": its source has %zu bytes, expected at most %d",
                        column->name, source_of(column, p).size, LONGEST_NAME);
    for (size_t k = 0; k < i; k++) {
      struct mr__json_cell other = separators_of(schema, &schema->columns[k]);
      int differ =
          (own.separator >= 0 && other.separator >= 0 && own.separator != other.separator) ||
          (own.inner >= 0 && other.inner >= 0 && own.inner != other.inner);
      if (differ && read_one(column, &schema->columns[k]))
        return mr__fail(MR_EINVAL,
                        "columns \"%s\" and \"%s\" read one member with different separators",
                        schema->columns[k].name, column->name);
    }
  }
  return MR_OK;
}

/* The objects that a member stands in: of a.b.c a and a.b. */
static int add_objects(struct mr__heading *heading, struct mr__text source) {
  for (size_t i = 1; i < source.size; i++) {
    struct mr__text before = {source.at, i};
    if (source.at[i] == '.' && mr__names_find(&heading->objects, before) < 0)
      MR_TRY(mr__names_add(&heading->objects, before, 0));
  }
  return MR_OK;
}

/* The cell of a source, which is made where there is none. */
static int find_cell(struct mr__heading *heading, struct mr__text source, int *position) {
  *position = mr__names_find(&heading->members, source);
  if (*position >= 0) return MR_OK;
  *position = heading->n_cells++;
  heading->json[*position] = (struct mr__json_cell){-1, -1};
  MR_TRY(add_objects(heading, source));
  return mr__names_add(&heading->members, source, *position);
}

static int add_column(struct mr__heading *heading, const mr_schema *schema, int c) {
  const struct mr__column *column = &schema->columns[c];
  struct mr__json_cell own = separators_of(schema, column);
  struct mr__item item = {.column = c};
  for (; item.part < mr__column_cells(column); item.part++) {
    MR_TRY(find_cell(heading, source_of(column, item.part), &item.position));
    if (own.separator >= 0) heading->json[item.position].separator = own.separator;
    if (own.inner >= 0) heading->json[item.position].inner = own.inner;
    mr__heading_add(heading, item);
  }
  return MR_OK;
}

int mr__heading_json(struct mr__heading *out, const mr_schema *schema, const mr_text_format *format,
                     const char *path) {
  const char *selected = format->selection ? format->selection->column : NULL;
  *out = (struct mr__heading){.path = path, .selected = -1, .is_placed = 1};
  size_t n = schema->n_columns;
  size_t n_cells = (size_t)schema->n_cells;
  out->items = mr__calloc(n_cells, sizeof *out->items);
  out->json = mr__calloc(n_cells + 1, sizeof *out->json);
  int status = out->items && out->json ? MR_OK : mr__fail_memory();
  for (size_t i = 0; status == MR_OK && i < n; i++) status = add_column(out, schema, (int)i);
  if (status == MR_OK && selected)
    status = find_cell(out, (struct mr__text){selected, strlen(selected)}, &out->selected);
  if (status != MR_OK) mr__heading_clear(out);
  return status;
}

/* ---- rows ---- */

/* A row while it is read. */
struct row {
  const struct mr__heading *heading;
  const char *text, *at, *end;
  char *writable; /* of `text`, or NULL */
  uint32_t *places;
  int64_t newlines;
  struct mr__row_trouble *trouble;
  char path[LONGEST_NAME + 1]; /* of the object that is read, each name with a dot behind it */
  size_t path_size;
  char name[6 * LONGEST_NAME]; /* the last that had escapes */
};

static int fail(struct row *row, const char *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(struct row *row, const char *at, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  row->trouble->at = at;
  vsnprintf(row->trouble->text, sizeof row->trouble->text, format, arguments);
  va_end(arguments);
  return 0;
}

#ifdef __clang_analyzer__
#define fail(...) ((void)fail(__VA_ARGS__), 0) /* it does not look into what takes `...` */
#endif

static int ends_word(char c) {
  switch (c) {
  case ' ':
  case '\t':
  case '\r':
  case ',':
  case ':':
  case '[':
  case ']':
  case '{':
  case '}':
  case '"':
    return 1;
  default:
    return 0;
  }
}

/* What comes is not what is expected. */
static int fail_expected(struct row *row, const char *wanted) {
  if (row->at == row->end) return fail(row, row->at, "the line ends, expected %s", wanted);
  const char *stop = row->at + 1;
  while (stop < row->end && !ends_word(*row->at) && !ends_word(*stop)) stop++;
  char shown[MR__EXCERPT_BYTES];
  mr__excerpt(shown, (struct mr__text){row->at, (size_t)(stop - row->at)});
  return fail(row, row->at, "%s, expected %s", shown, wanted);
}

static void skip_blanks(struct row *row) {
  while (row->at < row->end && (*row->at == ' ' || *row->at == '\t' || *row->at == '\r')) row->at++;
}

/* Go past one character that must come next, blanks before it. */
static int take(struct row *row, char wanted, const char *what) {
  skip_blanks(row);
  if (row->at == row->end || *row->at != wanted) return fail_expected(row, what);
  row->at++;
  return 1;
}

static int comes(struct row *row, char c) {
  skip_blanks(row);
  return row->at < row->end && *row->at == c;
}

/* A string at its quote: what stands within, and whether there are escapes in it. */
static int take_string(struct row *row, struct mr__text *inner, int *escaped) {
  const char *start = ++row->at;
  *escaped = 0;
  for (;;) {
    const char *quote = memchr(row->at, '"', (size_t)(row->end - row->at));
    if (!quote) return fail(row, start - 1, "a string is not closed");
    const char *slash = memchr(row->at, '\\', (size_t)(quote - row->at));
    if (!slash) {
      *inner = (struct mr__text){start, (size_t)(quote - start)};
      row->at = quote + 1;
      return 1;
    }
    *escaped = 1;
    if (slash + 1 >= row->end) return fail(row, start - 1, "a string is not closed");
    row->at = slash + 2;
  }
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four hexadecimal digits, or -1. */
static int32_t take_hex(const char *at, const char *end) {
  int32_t value = 0;
  if (end - at < 4) return -1;
  for (int i = 0; i < 4; i++) {
    int digit = hex_digit(at[i]);
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

static size_t put_utf8(char *out, uint32_t c) {
  if (c < 0x80) {
    out[0] = (char)c;
    return 1;
  }
  if (c < 0x800) {
    out[0] = (char)(0xC0 | c >> 6);
    out[1] = (char)(0x80 | (c & 0x3F));
    return 2;
  }
  size_t n = c < 0x10000 ? 3 : 4;
  out[0] = (char)(n == 3 ? 0xE0 | c >> 12 : 0xF0 | c >> 18);
  for (size_t i = 1; i < n; i++) out[i] = (char)(0x80 | (c >> 6 * (n - 1 - i) & 0x3F));
  return n;
}

/* What \uXXXX at `at` means, with a second one behind it where both are one character. Half of such
 * a pair alone means U+FFFD. Returns where it ends, or NULL. */
static const char *take_unicode(const char *at, const char *end, uint32_t *c) {
  int32_t first = take_hex(at + 2, end);
  if (first < 0) return NULL;
  *c = (uint32_t)first;
  at += 6;
  if (first < 0xD800 || first > 0xDFFF) return at;
  int32_t second =
      first < 0xDC00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u' ? take_hex(at + 2, end) : -1;
  if (second < 0xDC00 || second > 0xDFFF) {
    *c = 0xFFFD;
    return at;
  }
  *c = 0x10000 + ((*c - 0xD800) << 10) + ((uint32_t)second - 0xDC00);
  return at + 6;
}

/* Write what a string says; `out` may be its own place or one before it. */
static int unescape(struct row *row, struct mr__text inner, char *out, size_t *size) {
  static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
  const char *at = inner.at, *end = inner.at + inner.size;
  char *start = out;
  while (at < end) {
    if (*at != '\\') {
      *out++ = *at++;
      continue;
    }
    const char *known = at[1] ? strchr(names, at[1]) : NULL;
    uint32_t c = 0;
    const char *next = known ? at + 2 : at[1] == 'u' ? take_unicode(at, end, &c) : NULL;
    if (!next) {
      char shown[MR__EXCERPT_BYTES];
      size_t left = (size_t)(end - at), shown_size = at[1] == 'u' ? 6 : 2;
      mr__excerpt(shown, (struct mr__text){at, left < shown_size ? left : shown_size});
      return fail(row, at, "\"%s\" is no escape of JSON", shown);
    }
    if (known) c = (unsigned char)meant[known - names];
    row->newlines += c == '\n';
    out += put_utf8(out, c);
    at = next;
  }
  *size = (size_t)(out - start);
  return 1;
}

/* Go past a value: of what is in it only quotes and brackets are looked at. */
static int skip_nested(struct row *row) {
  const char *start = row->at;
  uint64_t is_object = 0; /* a bit for each that is open */
  int depth = 0;
  while (row->at < row->end) {
    struct mr__text inner;
    int escaped;
    char c = *row->at;
    if (c == '"') {
      if (!take_string(row, &inner, &escaped)) return 0;
      continue;
    }
    if (c == '{' || c == '[') {
      if (depth == DEEPEST)
        return fail(row, row->at, "lists and objects are nested more than %d deep", DEEPEST);
      is_object = is_object << 1 | (c == '{');
      depth++;
    } else if (c == '}' || c == ']') {
      if ((is_object & 1) != (c == '}')) return fail_expected(row, c == '}' ? "]" : "}");
      is_object >>= 1;
      depth--;
    }
    row->at++;
    if (depth == 0) return 1;
  }
  return fail(row, start, "a %s is not closed", *start == '{' ? "{" : "[");
}

/* A number, true, false or null: its text, none of null. What programs write that is no JSON, NaN
 * and Infinity, is taken for what cells of a csv would be: nothing, and a number that is too
 * large. */
static int take_word(struct row *row, struct mr__text *word) {
  const char *start = row->at;
  while (row->at < row->end && !ends_word(*row->at)) row->at++;
  *word = (struct mr__text){start, (size_t)(row->at - start)};
  if (mr__text_is(*word, "null") || mr__text_is(*word, "NaN")) {
    word->size = 0;
  } else if (mr__text_is(*word, "true") || mr__text_is(*word, "false")) {
    word->at = *start == 't' ? "1" : "0";
    word->size = 1;
  } else if (mr__text_is(*word, "Infinity")) {
    return 1;
  } else if (word->size == 0 || !(*start == '-' || (*start >= '0' && *start <= '9'))) {
    row->at = start;
    return fail_expected(row, "a value of JSON");
  }
  return 1;
}

/* One value that is neither a list nor an object, written to `out`. */
static int put_scalar(struct row *row, char *out, size_t *size) {
  struct mr__text text;
  int escaped = 0;
  if (row->at < row->end && *row->at == '"') {
    if (!take_string(row, &text, &escaped)) return 0;
    if (escaped) return unescape(row, text, out, size);
  } else if (!take_word(row, &text)) {
    return 0;
  }
  memmove(out, text.at, text.size);
  *size = text.size;
  return 1;
}

static int is_in(struct mr__text text, int byte) {
  return byte >= 0 && text.size > 0 && memchr(text.at, byte, text.size) != NULL;
}

/* The values of a list to `*out`, the separator in between. A cell's values have none of its
 * separators in them; depth: 0 of a list, 1 of one in it. */
static int put_list(struct row *row, char **out, const struct mr__json_cell *cell, int depth) {
  const int separator = depth == 0 ? cell->separator : cell->inner;
  const int may_nest = depth == 0 && cell->inner >= 0;
  const char *start = row->at++;
  for (int n = 0; !comes(row, ']'); n++) {
    if (n > 0 && !take(row, ',', ", or ] behind a value of a list")) return 0;
    skip_blanks(row);
    if (n > 0) *(*out)++ = (char)separator;
    int c = row->at < row->end ? *row->at : 0;
    if (c == '[' && may_nest) {
      if (!put_list(row, out, cell, 1)) return 0;
      continue;
    }
    if (c == '[' || c == '{')
      return fail(row, row->at, "%s in a list, expected single values%s",
                  c == '[' ? "a list" : "an object", may_nest ? " or lists of them" : "");
    size_t size;
    const char *at = row->at;
    if (row->at == row->end) return fail(row, start, "a [ is not closed");
    if (!put_scalar(row, *out, &size)) return 0;
    struct mr__text value = {*out, size};
    if (is_in(value, cell->separator) || is_in(value, cell->inner)) {
      char shown[MR__EXCERPT_BYTES];
      return fail(row, at, "the value \"%s\" of a list has the separator in it",
                  mr__excerpt(shown, value));
    }
    *out += size;
  }
  row->at++;
  return 1;
}

static void place(struct row *row, int position, const char *at, size_t size) {
  row->places[2 * position] = (uint32_t)(at - row->text) - 1;
  row->places[2 * position + 1] = (uint32_t)(at + size - row->text);
}

/* The value of a member that is read, made where it stands. */
static int make_cell(struct row *row, int position, struct mr__text name) {
  const struct mr__json_cell *cell = &row->heading->json[position];
  char shown[MR__EXCERPT_BYTES];
  int is_list = *row->at == '[';
  if (*row->at == '{' || (is_list && cell->separator < 0))
    return fail(row, row->at, "member \"%s\" is %s, expected %s", mr__excerpt(shown, name),
                is_list ? "a list" : "an object",
                cell->separator < 0 ? "one value" : "a list or one value");
  char *out = row->writable + (row->at - row->text) + (is_list || *row->at == '"'), *end = out;
  size_t size = 0;
  if (is_list && !put_list(row, &end, cell, 0)) return 0;
  if (!is_list && !put_scalar(row, out, &size)) return 0;
  place(row, position, out, is_list ? (size_t)(end - out) : size);
  return 1;
}

/* Go past a value; *raw: it, or what is within the quotes of a string. */
static int skip_value(struct row *row, struct mr__text *raw) {
  const char *start = row->at;
  int escaped;
  if (row->at < row->end && *row->at == '"') return take_string(row, raw, &escaped);
  int is_nested = row->at < row->end && (*row->at == '{' || *row->at == '[');
  if (is_nested ? !skip_nested(row) : !take_word(row, raw)) return 0;
  *raw = (struct mr__text){start, (size_t)(row->at - start)};
  return 1;
}

/* On to the n-th value of a list. */
static void go_to_value(struct row *row, size_t n) {
  struct mr__text raw;
  for (size_t i = 0; i < n; i++) {
    skip_blanks(row);
    skip_value(row, &raw);
    skip_blanks(row);
    row->at += row->at < row->end; /* the comma */
  }
  skip_blanks(row);
}

const char *mr__json_value(struct mr__text list, size_t n, size_t n_inner) {
  struct mr__row_trouble none;
  struct row state = {.at = list.at, .end = list.at + list.size, .trouble = &none};
  go_to_value(&state, n);
  if (state.at < state.end && *state.at == '[') {
    state.at++;
    go_to_value(&state, n_inner);
  }
  return state.at + (state.at < state.end && *state.at == '"');
}

int mr__json_is_one(const char *text, struct mr__text cell) {
  if (cell.size > 0 || cell.at == text || cell.at[-1] != '[') return 0;
  const char *at = cell.at; /* nothing was written over what stood there */
  while (*at == ' ' || *at == '\t') at++;
  return *at != ']';
}

static int read_object(struct row *row);

/* The object that is the value of a member, with members in it that are read. */
static int read_inner(struct row *row, struct mr__text name) {
  size_t before = row->path_size;
  memmove(row->path, name.at, name.size); /* it may be there already */
  row->path[name.size] = '.';
  row->path_size = name.size + 1;
  if (!read_object(row)) return 0;
  row->path_size = before;
  return 1;
}

/* The value of a member of that name in the object that is read. */
static int read_member(struct row *row, struct mr__text name) {
  const struct mr__heading *heading = row->heading;
  struct mr__text raw;
  if (row->path_size > 0 && row->path_size + name.size <= LONGEST_NAME) {
    memcpy(row->path + row->path_size, name.at, name.size);
    name = (struct mr__text){row->path, row->path_size + name.size};
  } else if (row->path_size > 0) {
    return skip_value(row, &raw);
  }
  if (row->at < row->end && *row->at == '{' && name.size <= LONGEST_NAME &&
      mr__names_find(&heading->objects, name) >= 0)
    return read_inner(row, name);
  int position = mr__names_find(&heading->members, name);
  if (position < 0) return skip_value(row, &raw);
  char shown[MR__EXCERPT_BYTES];
  if (row->places[2 * position] + 1 != row->places[2 * position + 1])
    return fail(row, row->at, "member \"%s\" is there twice", mr__excerpt(shown, name));
  if (row->at == row->end) return fail_expected(row, "a value");
  if (row->writable) return make_cell(row, position, name);
  if (!skip_value(row, &raw)) return 0;
  place(row, position, raw.at, raw.size);
  return 1;
}

/* The name of a member, without its escapes. One that is too long to be read is empty. */
static int take_name(struct row *row, struct mr__text *name) {
  int escaped;
  if (!comes(row, '"')) return fail_expected(row, "the name of a member");
  if (!take_string(row, name, &escaped)) return 0;
  if (!escaped) return 1;
  size_t size = 0;
  int fits = name->size <= sizeof row->name;
  if (fits && !unescape(row, *name, row->name, &size)) return 0;
  *name = (struct mr__text){row->name, size};
  return 1;
}

static int read_object(struct row *row) {
  struct mr__text name;
  if (!take(row, '{', "an object")) return 0;
  for (int n = 0; !comes(row, '}'); n++) {
    if (n > 0 && !take(row, ',', ", or } behind a member")) return 0;
    if (!take_name(row, &name)) return 0;
    if (!take(row, ':', ": behind the name of a member")) return 0;
    skip_blanks(row);
    if (!read_member(row, name)) return 0;
  }
  row->at++;
  return 1;
}

int mr__json_row(const struct mr__heading *heading, const char *text, char *writable,
                 struct mr__text row, uint32_t *places, int64_t *newlines,
                 struct mr__row_trouble *trouble) {
  struct row state = {.heading = heading,
                      .text = text,
                      .at = row.at,
                      .end = row.at + row.size,
                      .writable = writable,
                      .places = places,
                      .trouble = trouble};
  for (int cell = 0; cell < heading->n_cells; cell++) place(&state, cell, row.at, 0);
  int is_row = read_object(&state);
  skip_blanks(&state);
  if (is_row && state.at < state.end) is_row = fail_expected(&state, "the end of the line");
  *newlines = state.newlines;
  return is_row;
}
