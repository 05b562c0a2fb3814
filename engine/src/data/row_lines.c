/* The lines of a step: which of them are rows, which are empty, and which are wrong. A wrong one
 * ends the parsing, or where so many may be left out is left out: those behind it take its place in
 * the step's index. Cells of libsvm, libffm, pairs and JSON are found here as well, row by row. */
#include "data/row_parser.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "data/json_lines.h"
#include "data/sparse.h"

/* An empty line is no row, but where rows have one cell, which may be empty. */
static int is_empty_line(const struct mr__row_parser *parser, size_t row) {
  const struct mr__scan *scan = &parser->scan;
  if (parser->heading->n_cells == 1 || mr__count_cells(scan, row) != 1) return 0;
  uint32_t start = scan->starts[row], stop = scan->ends[scan->first[row]];
  return stop == start || (stop == start + 1 && scan->text[start] == '\r');
}

/* Put a row of the right number of cells in its place of the index, behind the `kept` ones. */
static void move_row(struct mr__row_parser *parser, size_t row, size_t kept) {
  struct mr__scan *scan = &parser->scan;
  size_t n_cells = (size_t)parser->heading->n_cells;
  memmove(scan->ends + kept * n_cells, scan->ends + scan->first[row], n_cells * sizeof *scan->ends);
  scan->starts[kept] = scan->starts[row];
}

void mr__check_cell_counts(struct mr__row_parser *parser) {
  const struct mr__scan *scan = &parser->scan;
  uint32_t n_cells = (uint32_t)parser->heading->n_cells;
  size_t row = 0;
  while (row < scan->n_rows && mr__count_cells(scan, row) == n_cells) row++;
  parser->n_rows = row;
  for (; row < scan->n_rows; row++) {
    if (is_empty_line(parser, row)) {
      parser->rows.n_empty++;
    } else if (mr__count_cells(scan, row) != n_cells) {
      mr__note_cell_count(parser, row);
      return;
    } else {
      move_row(parser, row, parser->n_rows++);
    }
  }
}

/* The end of a row's last cell, before \r\n or \n. */
static uint32_t stop_of(const struct mr__row_parser *parser, size_t row) {
  const struct mr__scan *scan = &parser->scan;
  size_t n_cells = (size_t)parser->heading->n_cells;
  const uint32_t *ends = scan->ends + row * n_cells;
  uint32_t stop = ends[n_cells - 1];
  uint32_t start = n_cells > 1 ? ends[n_cells - 2] + 1 : scan->starts[row];
  return stop > start && scan->text[stop - 1] == '\r' ? stop - 1 : stop;
}

void mr__find_stops(struct mr__row_parser *parser) {
  if (parser->heading->is_placed) return;
  for (size_t row = 0; row < parser->n_rows; row++) parser->stops[row] = stop_of(parser, row);
}

/* Note the first thing that is wrong in a row, if anything, besides its number of cells. */
static int check_row(struct mr__row_parser *parser, size_t row) {
  const mr_schema *schema = parser->layout->schema;
  struct mr__behaviours *behaviours = &parser->other_behaviours;
  for (int i = 0; i < parser->heading->n_items; i++) {
    struct mr__item item = parser->heading->items[i];
    const struct mr__column *column = &schema->columns[item.column];
    if (column->weights && item.part == MR__WEIGHTS_CELL) continue; /* looked at with its values */
    struct mr__text text = mr__read_cell(parser, row, item.position);
    double time;
    if (column->type == MR_TIME) {
      if (!mr__cell_time(text, &time)) mr__note_bad_value(parser, row, item, MR__NUMBER_BAD);
    } else if ((mr__column_is_strict(column) && column->sequence < 0) || column->weighted) {
      mr__note_bad_ids(parser, row, item);
    } else if (!mr__column_is_strict(column) && !mr__column_is_number(column) &&
               column->type != MR_LABEL && column->type != MR_WEIGHT && column->type != MR_VECTOR) {
      continue;
    } else if (column->sequence >= 0) {
      const struct mr__picks *picks;
      mr__behaviours_start(behaviours);
      MR_TRY(mr__find_picks(parser, row, column->sequence, &picks));
      MR_TRY(mr__add_cell(parser, behaviours, row, item, picks, NULL));
    } else if (column->type == MR_VECTOR && column->n_sources == 0) {
      int bad;
      MR_TRY(mr__parse_vector(parser, row, item, &bad));
    } else {
      float value = 0;
      enum mr__number kind = mr__parse_float(parser, column, text, &value);
      if (kind > MR__NUMBER_MISSING) mr__note_bad_value(parser, row, item, kind);
    }
  }
  for (size_t s = 0; s < schema->n_sequences; s++) mr__check_lengths(parser, row, (int)s);
  return MR_OK;
}

/* Remember the problem as that of a row of the step that is left out. */
static int leave_out(struct mr__row_parser *parser, size_t row) {
  struct mr__rows *rows = &parser->rows;
  MR_TRY(mr__grow(&rows->bad, &rows->bad_capacity, rows->n_bad + 1, sizeof *rows->bad));
  int64_t number = rows->n_lines + (int64_t)row - rows->n_empty;
  rows->bad[rows->n_bad++] = (struct mr__bad_row){number, rows->problem};
  rows->problem = (struct mr__problem){.status = MR_OK};
  memset(rows->first_wrong, 0, (size_t)parser->layout->schema->n_cells);
  return MR_OK;
}

int mr__filter_rows(struct mr__row_parser *parser) {
  const struct mr__scan *scan = &parser->scan;
  uint32_t n_cells = (uint32_t)parser->heading->n_cells;
  size_t kept = 0;
  parser->n_rows = scan->n_rows;
  MR_TRY(mr__reserve_rows(parser));
  for (size_t row = 0; row < scan->n_rows; row++) {
    if (is_empty_line(parser, row)) {
      parser->rows.n_empty++;
      continue;
    }
    if (mr__count_cells(scan, row) != n_cells) {
      mr__note_cell_count(parser, row);
    } else {
      move_row(parser, row, kept);
      parser->stops[kept] = stop_of(parser, kept);
      MR_TRY(check_row(parser, kept));
    }
    if (parser->rows.problem.status == MR_OK)
      kept++;
    else
      MR_TRY(leave_out(parser, row));
  }
  parser->n_rows = kept;
  return MR_OK;
}

/* Newlines in the values of a row are none in the file. */
static int note_newlines(struct mr__row_parser *parser, struct mr__text row) {
  struct mr__rows *rows = &parser->rows;
  for (size_t i = 0; i < row.size; i++) {
    if (row.at[i] != '\n') continue;
    MR_TRY(mr__grow(&rows->inner_newlines, &rows->inner_newlines_capacity,
                    rows->n_inner_newlines + 1, sizeof *rows->inner_newlines));
    rows->inner_newlines[rows->n_inner_newlines++] = (size_t)(row.at - parser->scan.text) + i;
  }
  return MR_OK;
}

/* Find the cells of a row; *found: 0 where it is wrong. */
static int place_cells(struct mr__row_parser *parser, struct mr__text row, uint32_t *places,
                       struct mr__row_trouble *trouble, int *found) {
  const char *text = parser->scan.text;
  int64_t newlines = 0;
  if (parser->heading->sparse) {
    *found = mr__sparse_row(parser->heading, parser->format.layout, text, row, places, trouble);
    return MR_OK;
  }
  *found =
      mr__json_row(parser->heading, text, parser->block->text, row, places, &newlines, trouble);
  return newlines > 0 ? note_newlines(parser, row) : MR_OK;
}

/* A line with nothing on it, or nothing but a comment, is no row. */
static int is_blank_line(const struct mr__row_parser *parser, struct mr__text line) {
  int layout = parser->format.layout, has_comments = layout == MR_LIBSVM || layout == MR_LIBFFM;
  for (size_t i = 0; i < line.size; i++) {
    char c = line.at[i];
    if (has_comments && c == '#') return 1;
    if (c != ' ' && c != '\t' && c != '\r') return 0;
  }
  return 1;
}

/* Keep the text of a step where what stands in it will be moved. */
static int keep_lists(struct mr__row_parser *parser) {
  const struct mr__heading *heading = parser->heading;
  const struct mr__scan *scan = &parser->scan;
  int has_lists = 0;
  for (int cell = 0; heading->json && cell < heading->n_cells; cell++)
    has_lists |= heading->json[cell].separator >= 0;
  if (!has_lists) return MR_OK;
  parser->lists_at = scan->starts[0];
  parser->lists_size = scan->starts[scan->n_rows] - scan->starts[0];
  MR_TRY(mr__grow(&parser->lists_before, &parser->lists_capacity, parser->lists_size, 1));
  memcpy(parser->lists_before, scan->text + parser->lists_at, parser->lists_size);
  return MR_OK;
}

int mr__take_placed(struct mr__row_parser *parser) {
  struct mr__scan *scan = &parser->scan;
  size_t n_cells = (size_t)parser->heading->n_cells, kept = 0;
  struct mr__row_trouble trouble;
  MR_TRY(mr__grow(&parser->places, &parser->places_capacity, 2 * n_cells * scan->n_rows,
                  sizeof *parser->places));
  MR_TRY(keep_lists(parser));
  for (size_t row = 0; row < scan->n_rows; row++) {
    struct mr__text text = {scan->text + scan->starts[row], scan->ends[row] - scan->starts[row]};
    int found;
    if (is_blank_line(parser, text)) {
      parser->rows.n_empty++;
      continue;
    }
    MR_TRY(place_cells(parser, text, parser->places + 2 * n_cells * kept, &trouble, &found));
    scan->starts[kept] = scan->starts[row];
    if (!found)
      mr__note_trouble(parser, &trouble);
    else if (mr__skips_bad_rows(parser))
      MR_TRY(check_row(parser, kept));
    if (parser->rows.problem.status == MR_OK)
      kept++;
    else if (mr__skips_bad_rows(parser))
      MR_TRY(leave_out(parser, row));
    else
      break;
  }
  parser->n_rows = kept;
  return MR_OK;
}
