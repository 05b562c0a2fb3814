/* A block is scanned for its rows, whose places decide what stays. Rows that the parser will refuse
 * (too few cells, quotes that are wrong) stay, so that they are refused as ever. */
#include "data/selection.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "data/json_lines.h"

struct mr__selection {
  mr_selection rule;
  mr_text_format format;
  int request_key; /* column of the schema, or -1 */
  struct mr__scan scan;
  char *unquoted;
  uint32_t *places; /* [cells, 2] of the row at hand, where they are looked for */
  size_t unquoted_capacity, places_capacity;

  const struct mr__heading *heading; /* of the rows so far */
  int request_position;
  int64_t file, row; /* numbers of the row at hand, from 1 */
  int has_request;   /* there is a row above it */
  uint64_t request;  /* of the row above */
  double place;      /* of its request */
  int kept;          /* whether it is read */
};

int mr__selection_check(const mr_selection *rule, int layout) {
  if (rule->by < MR_BY_CHANCE || rule->by > MR_BY_TIME_SHARE)
    return mr__fail(MR_EINVAL, "selection is by %d, expected %d to %d", rule->by, MR_BY_CHANCE,
                    MR_BY_TIME_SHARE);
  if ((rule->by == MR_BY_CHANCE) != (rule->column == NULL))
    return mr__fail(MR_EINVAL, rule->column ? "selection by chance has a column"
                                            : "selection has no column to go by");
  if (layout != MR_CELLS && layout != MR_JSON && rule->by != MR_BY_CHANCE)
    return mr__fail(MR_EINVAL, "selection is by %d, and rows of pairs are selected by chance only",
                    rule->by);
  if (!(rule->from < rule->to))
    return mr__fail(MR_EINVAL, "selection is from %.17g to %.17g, expected less to more",
                    rule->from, rule->to);
  return MR_OK;
}

/* ---- cells ---- */

/* The bytes of a cell, with any quotes around it. */
static struct mr__text raw_cell(const struct mr__selection *selection, size_t row, int position) {
  const struct mr__scan *scan = &selection->scan;
  if (selection->heading->json) {
    const uint32_t *place = selection->places + 2 * position;
    return (struct mr__text){scan->text + (place[0] + 1), place[1] - (place[0] + 1)};
  }
  const uint32_t *ends = scan->ends + scan->first[row];
  uint32_t start = position > 0 ? ends[position - 1] + 1 : scan->starts[row], end = ends[position];
  int is_last = scan->first[row] + (uint32_t)position + 1 == scan->first[row + 1];
  if (is_last && end > start && scan->text[end - 1] == '\r') end--;
  return (struct mr__text){scan->text + start, end - start};
}

static struct mr__text read_cell(const struct mr__selection *selection, size_t row, int position) {
  struct mr__text raw = raw_cell(selection, row, position);
  return selection->scan.has_quotes ? mr__unquoted(selection->unquoted, raw) : raw;
}

/* Whether the cells of a row are there. Those of JSON are looked for: until the next row is asked
 * for they are the ones that are read. */
static int has_all_cells(const struct mr__selection *selection, size_t row) {
  const struct mr__scan *scan = &selection->scan;
  struct mr__row_trouble trouble;
  int64_t newlines;
  if (selection->heading->json) {
    uint32_t start = scan->starts[row];
    struct mr__text text = {scan->text + start, scan->starts[row + 1] - 1 - start};
    return mr__json_row(selection->heading, scan->text, NULL, text, selection->places, &newlines,
                        &trouble);
  }
  return selection->heading->sparse ||
         scan->first[row + 1] - scan->first[row] == (uint32_t)selection->heading->n_cells;
}

/* ---- places ---- */

static double unit(uint64_t word) { return (double)(word >> 11) * 0x1p-53; }

static int is_by_time(const mr_selection *rule) {
  return rule->by == MR_BY_TIME || rule->by == MR_BY_TIME_SHARE;
}

/* Where a row stands in the order that is cut; NaN where its time is none. */
static double place_of(const struct mr__selection *selection, size_t row) {
  uint64_t seed = selection->rule.seed;
  int position = selection->rule.by == MR_BY_CHANCE ? selection->request_position
                                                    : selection->heading->selected;
  if (position < 0) {
    int64_t numbers[] = {selection->file, selection->row};
    return unit(mr__hash(numbers, sizeof numbers, seed));
  }
  struct mr__text text = read_cell(selection, row, position);
  double time;
  if (!is_by_time(&selection->rule)) return unit(mr__hash(text.at, text.size, seed));
  return mr__cell_time(text, &time) ? time : (double)NAN;
}

/* ---- one row ---- */

static void note_problem(struct mr__selection *selection, struct mr__block *block, size_t row,
                         size_t at) {
  struct mr__problem *problem = &block->text.problem;
  const struct mr__scan *scan = &selection->scan;
  int position = selection->heading->selected;
  char shown[MR__EXCERPT_BYTES];
  if (problem->status != MR_OK) return;
  mr__excerpt(shown, read_cell(selection, row, position));
  size_t start = (size_t)(raw_cell(selection, row, position).at - scan->text);
  problem->status = MR_EDATA;
  problem->item.position = -1; /* before all that reads the cell */
  problem->at = at + (start - scan->starts[row]);
  if (is_by_time(&selection->rule))
    snprintf(problem->text, sizeof problem->text,
             "\"%s\" is no time (column \"%s\", by which the data is split), expected a number",
             shown, selection->rule.column);
  else
    snprintf(
        problem->text, sizeof problem->text,
        "column \"%s\", by which the data is split, is \"%s\", but another value in an earlier "
        "row of the same request",
        selection->rule.column, shown);
}

/* Whether a row is read. `at`: where it will stand in the text. */
static int choose(struct mr__selection *selection, struct mr__block *block, size_t row, size_t at) {
  selection->row++;
  if (!has_all_cells(selection, row)) return 1;
  if (selection->request_position >= 0) {
    struct mr__text text = read_cell(selection, row, selection->request_position);
    uint64_t request = mr__hash(text.at, text.size, 0);
    int goes_on = selection->has_request && request == selection->request;
    selection->has_request = 1;
    selection->request = request;
    if (goes_on) {
      if (selection->rule.by != MR_BY_VALUE || place_of(selection, row) == selection->place)
        return selection->kept;
      note_problem(selection, block, row, at);
      return 1;
    }
  }
  selection->place = place_of(selection, row);
  selection->kept =
      selection->place >= selection->rule.from && selection->place < selection->rule.to;
  if (!isnan(selection->place)) return selection->kept;
  note_problem(selection, block, row, at);
  return 1;
}

static int64_t lines_of(const struct mr__scan *scan, size_t row) {
  int64_t lines = 1;
  for (size_t i = scan->starts[row]; scan->has_quotes && i + 1 < scan->starts[row + 1]; i++)
    lines += scan->text[i] == '\n';
  return lines;
}

/* ---- a block ---- */

static void follow(struct mr__selection *selection, const struct mr__heading *heading) {
  if (selection->heading == heading) return;
  selection->heading = heading;
  selection->file++;
  selection->row = 0;
  selection->has_request = 0;
  selection->kept = 1;
  selection->request_position = -1;
  for (int i = 0; i < heading->n_items; i++)
    if (heading->items[i].column == selection->request_key)
      selection->request_position = heading->items[i].position;
}

/* The rows of the scanner's step, or up to the first that is broken. Any of their cells fits. */
static int reserve(struct mr__selection *selection) {
  const struct mr__scan *scan = &selection->scan;
  MR_TRY(mr__grow(&selection->places, &selection->places_capacity,
                  2 * (size_t)selection->heading->n_cells, sizeof *selection->places));
  if (!scan->has_quotes || scan->n_rows == 0) return MR_OK;
  return mr__grow(&selection->unquoted, &selection->unquoted_capacity,
                  scan->starts[scan->n_rows] - scan->starts[0], 1);
}

static int add_gap(struct mr__block_text *text, size_t at, int64_t lines) {
  MR_TRY(mr__grow(&text->gaps, &text->gaps_capacity, text->n_gaps + 1, sizeof *text->gaps));
  text->gaps[text->n_gaps++] = (struct mr__gap){at, lines};
  return MR_OK;
}

int mr__selection_apply(struct mr__selection *selection, struct mr__block *block) {
  struct mr__block_text *text = &block->text;
  struct mr__scan *scan = &selection->scan;
  size_t start = (size_t)(text->text - block->buffer), at = 0, done = 0;
  char *buffer = block->buffer + start;
  follow(selection, block->heading);
  int64_t lines = 0;
  int open = !selection->kept; /* a gap */
  mr__scan_start(scan, buffer, text->size, selection->format.delimiter, selection->format.quotes);
  do {
    MR_TRY(mr__scan_step(scan));
    MR_TRY(reserve(selection));
    for (size_t row = 0; row < scan->n_rows; row++) {
      size_t from = scan->starts[row], size = scan->starts[row + 1] - from;
      done = scan->starts[row + 1];
      if (!choose(selection, block, row, at)) {
        lines += lines_of(scan, row);
        open = 1;
        continue;
      }
      if (open) MR_TRY(add_gap(text, at, lines));
      open = 0, lines = 0;
      memmove(buffer + at, buffer + from, size);
      at += size;
    }
  } while (scan->n_rows > 0 && !scan->broken);
  if (lines > 0 || (open && done < text->size)) MR_TRY(add_gap(text, at, lines));
  memmove(buffer + at, buffer + done, text->size - done); /* what has no end */
  text->size = at + (text->size - done);
  memset(buffer + text->size, 0, MR__SCAN_PAD);
  return MR_OK;
}

/* ---- shares of the time ---- */

struct moment {
  double time;
  int64_t rows;
};

/* Times of rows, in bounded memory: when there are too many, neighbours become one. */
struct moments {
  struct moment *list;
  size_t n, capacity;
  int64_t rows;
};

static int by_time(const void *a, const void *b) {
  double x = ((const struct moment *)a)->time, y = ((const struct moment *)b)->time;
  return x < y ? -1 : x > y;
}

static void merge_neighbours(struct moments *moments) {
  size_t kept = 0;
  qsort(moments->list, moments->n, sizeof *moments->list, by_time);
  for (size_t i = 0; i < moments->n; i += 2, kept++) {
    moments->list[kept] = moments->list[i];
    if (i + 1 < moments->n) moments->list[kept].rows += moments->list[i + 1].rows;
  }
  moments->n = kept;
}

static int add_moment(struct moments *moments, double time) {
  enum { MOST = 2000000 };
  if (moments->n == MOST) merge_neighbours(moments);
  MR_TRY(mr__grow(&moments->list, &moments->capacity, moments->n + 1, sizeof *moments->list));
  moments->list[moments->n++] = (struct moment){time, 1};
  moments->rows++;
  return MR_OK;
}

/* The time from which on rows have at least this rank. */
static double time_at(const struct moments *moments, double share) {
  double rank = floor(share * (double)moments->rows + 0.5), before = 0;
  if (share <= 0) return -DBL_MAX;
  for (size_t i = 0; i < moments->n; i++) {
    if (before >= rank) return moments->list[i].time;
    before += (double)moments->list[i].rows;
  }
  return INFINITY;
}

static int collect_block(struct mr__selection *selection, const struct mr__block *block,
                         struct moments *moments) {
  struct mr__scan *scan = &selection->scan;
  follow(selection, block->heading);
  mr__scan_start(scan, block->text.text, block->text.size, selection->format.delimiter,
                 selection->format.quotes);
  do {
    MR_TRY(mr__scan_step(scan));
    MR_TRY(reserve(selection));
    for (size_t row = 0; row < scan->n_rows; row++) {
      double time = has_all_cells(selection, row) ? place_of(selection, row) : (double)NAN;
      if (!isnan(time)) MR_TRY(add_moment(moments, time)); /* the others are told of later */
    }
  } while (scan->n_rows > 0 && !scan->broken);
  return MR_OK;
}

static int collect(struct mr__selection *selection, struct mr__reader *reader,
                   struct moments *moments) {
  struct mr__block block = {0};
  int status;
  while ((status = mr__reader_next(reader, &block)) == MR_OK &&
         (status = collect_block(selection, &block, moments)) == MR_OK)
    ;
  mr__block_clear(&block);
  return status == MR_END ? MR_OK : status;
}

int mr__selection_find_times(mr_selection *rule, const mr_schema *schema,
                             const mr_text_format *format, const char *const *paths,
                             int32_t n_paths) {
  struct mr__selection *selection = NULL;
  struct mr__reader *reader = NULL;
  struct moments moments = {0};
  int status = mr__selection_new(&selection, schema, format);
  if (status == MR_OK)
    status = mr__reader_new(&reader, schema, format, paths, n_paths, format->bytes_read);
  if (status == MR_OK) status = collect(selection, reader, &moments);
  if (moments.n > 0) qsort(moments.list, moments.n, sizeof *moments.list, by_time);
  rule->by = MR_BY_TIME;
  rule->from = time_at(&moments, format->selection->from);
  rule->to = time_at(&moments, format->selection->to);
  mr__free(moments.list);
  mr__reader_free(reader);
  mr__selection_free(selection);
  return status;
}

/* ---- life cycle ---- */

int mr__selection_new(struct mr__selection **out, const mr_schema *schema,
                      const mr_text_format *format) {
  *out = NULL;
  struct mr__selection *selection = mr__calloc(1, sizeof *selection);
  if (!selection) return mr__fail_memory();
  selection->rule = *format->selection;
  selection->format = *format;
  selection->request_key = schema->request_key;
  *out = selection;
  return MR_OK;
}

void mr__selection_free(struct mr__selection *selection) {
  if (!selection) return;
  mr__scan_clear(&selection->scan);
  mr__free(selection->unquoted);
  mr__free(selection->places);
  mr__free(selection);
}
