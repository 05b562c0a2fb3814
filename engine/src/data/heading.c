/* Finding the schema's columns among the names of a file's columns. */
#include "data/heading.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

/* The names of a file's columns; `text` holds those of a header row one after another. */
struct names {
  const char *place; /* of the header in the file */
  char *text;
  struct mr__text *list;
  size_t n, capacity;
};

static int split_row(struct names *names, const mr_text_format *format, const char *path,
                     struct mr__text row) {
  names->text = mr__malloc(row.size);
  if (!names->text) return mr__fail_memory();
  char *out = names->text;
  const char *at = row.at, *end = row.at + row.size;
  for (;;) {
    const char *stop = mr__cell_end(at, end, format->delimiter, format->quotes);
    struct mr__text raw = {at, (size_t)(stop - at)};
    const char *trouble = format->quotes ? mr__quote_trouble(raw) : NULL;
    if (trouble) return mr__fail(MR_EDATA, "%s:1: %s (in the header)", path, trouble);
    MR_TRY(mr__grow(&names->list, &names->capacity, names->n + 1, sizeof *names->list));
    size_t size = raw.size;
    if (format->quotes)
      size = mr__unquote(out, raw);
    else
      memcpy(out, raw.at, raw.size);
    names->list[names->n++] = (struct mr__text){out, size};
    out += size;
    if (stop == end) return MR_OK;
    at = stop + 1;
  }
}

static int lower(char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }

/* Edits (insert, delete, replace) between two names, letter case aside; large when one is long. */
static int distance(struct mr__text a, const char *b) {
  enum { LONGEST = 63, FAR = 1000 };
  size_t size = strlen(b);
  int row[LONGEST + 1];
  if (a.size > LONGEST || size > LONGEST) return FAR;
  for (size_t j = 0; j <= size; j++) row[j] = (int)j;
  for (size_t i = 1; i <= a.size; i++) {
    int corner = row[0];
    row[0] = (int)i;
    for (size_t j = 1; j <= size; j++) {
      int replaced = corner + (lower(a.at[i - 1]) != lower(b[j - 1]));
      corner = row[j];
      int other = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
      row[j] = replaced < other ? replaced : other;
    }
  }
  return row[size];
}

static const struct mr__text *nearest(const struct names *names, const char *wanted) {
  const struct mr__text *best = NULL;
  int least = (int)(strlen(wanted) + 1) / 3 + 1; /* further away is no help */
  for (size_t i = 0; i < names->n; i++) {
    int edits = distance(names->list[i], wanted);
    if (edits >= least) continue;
    least = edits;
    best = &names->list[i];
  }
  return best;
}

/* "a, b, c and 12 more", bounded. */
static void list_names(char *out, size_t size, const struct names *names) {
  char shown[MR__EXCERPT_BYTES];
  size_t used = 0;
  out[0] = 0;
  for (size_t i = 0; i < names->n; i++) {
    mr__excerpt(shown, names->list[i]);
    if (used + strlen(shown) + 32 > size) {
      snprintf(out + used, size - used, " and %zu more", names->n - i);
      return;
    }
    used += (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "", shown);
  }
}

static int list_given(struct names *names, const mr_text_format *format) {
  size_t n = (size_t)format->n_names;
  MR_TRY(mr__grow(&names->list, &names->capacity, n, sizeof *names->list));
  for (; names->n < n; names->n++)
    names->list[names->n] =
        (struct mr__text){format->names[names->n], strlen(format->names[names->n])};
  return MR_OK;
}

static int fail_missing(const struct names *names, const char *path, const char *wanted) {
  char list[320], shown[MR__EXCERPT_BYTES], guess[MR__EXCERPT_BYTES + 32] = "";
  const struct mr__text *near = nearest(names, wanted);
  if (near) snprintf(guess, sizeof guess, "; did you mean \"%s\"?", mr__excerpt(shown, *near));
  list_names(list, sizeof list, names);
  return mr__fail(MR_EDATA, "%s%s: column \"%s\" is missing%s (columns: %s)", path, names->place,
                  wanted, guess, list);
}

static int find_position(const struct names *names, const char *path, const char *wanted,
                         int *position) {
  *position = -1;
  for (size_t i = 0; i < names->n; i++) {
    if (!mr__text_is(names->list[i], wanted)) continue;
    if (*position >= 0)
      return mr__fail(MR_EDATA, "%s%s: column \"%s\" is there twice (cells %d and %zu)", path,
                      names->place, wanted, *position + 1, i + 1);
    *position = (int)i;
  }
  return *position < 0 ? fail_missing(names, path, wanted) : MR_OK;
}

void mr__heading_add(struct mr__heading *heading, struct mr__item item) {
  int i = heading->n_items++;
  for (; i > 0 && heading->items[i - 1].position > item.position; i--)
    heading->items[i] = heading->items[i - 1];
  heading->items[i] = item;
}

int mr__heading_position(const struct mr__heading *heading, int column) {
  int i = 0;
  while (heading->items[i].column != column || heading->items[i].part != 0) i++;
  return heading->items[i].position;
}

static int map_columns(struct mr__heading *heading, const mr_schema *schema,
                       const struct names *names) {
  heading->items = mr__calloc((size_t)schema->n_cells, sizeof *heading->items);
  if (!heading->items) return mr__fail_memory();
  for (size_t i = 0; i < schema->n_columns; i++) {
    const struct mr__column *column = &schema->columns[i];
    struct mr__item item = {.column = (int)i};
    for (; item.part < mr__column_cells(column); item.part++) {
      const char *source = mr__column_source(column, item.part);
      MR_TRY(find_position(names, heading->path, source, &item.position));
      mr__heading_add(heading, item);
    }
  }
  return MR_OK;
}

static int finish(struct mr__heading *out, const mr_schema *schema, const mr_text_format *format,
                  struct names *names, int status) {
  const char *selected = format->selection ? format->selection->column : NULL;
  out->n_cells = (int)names->n;
  out->selected = -1;
  if (status == MR_OK) status = map_columns(out, schema, names);
  if (status == MR_OK && selected)
    status = find_position(names, out->path, selected, &out->selected);
  mr__free(names->text);
  mr__free(names->list);
  if (status != MR_OK) mr__heading_clear(out);
  return status;
}

int mr__heading_read(struct mr__heading *out, const mr_schema *schema, const mr_text_format *format,
                     const char *path, struct mr__text row) {
  struct names names = {.place = ":1"};
  *out = (struct mr__heading){.path = path, .in_file = 1};
  return finish(out, schema, format, &names, split_row(&names, format, path, row));
}

int mr__heading_given(struct mr__heading *out, const mr_schema *schema,
                      const mr_text_format *format, const char *path) {
  struct names names = {.place = ""};
  *out = (struct mr__heading){.path = path};
  return finish(out, schema, format, &names, list_given(&names, format));
}

void mr__heading_clear(struct mr__heading *heading) {
  mr__free(heading->items);
  mr__free(heading->sparse);
  mr__free(heading->json);
  mr__names_clear(&heading->members);
  mr__names_clear(&heading->objects);
  *heading = (struct mr__heading){0};
}
