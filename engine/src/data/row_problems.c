/* What is wrong in a block of rows: the first in the order of the text stays, with its place and a
 * text that says what is there and what was expected. */
#include "data/row_parser.h"

#include <stdio.h>
#include <string.h>

#include "data/json_lines.h"

static const struct mr__item no_item = {.position = -1, .column = -1};

/* Returns whether this is the first problem in the order of the text; then its text is to be
 * written. */
static int begin_problem(struct mr__rows *rows, size_t at, struct mr__item item) {
  struct mr__problem *problem = &rows->problem;
  if (!mr__is_before_problem(problem, at, item)) return 0;
  problem->status = MR_EDATA;
  problem->reason = MR_BAD_CELLS;
  problem->at = at;
  problem->item = item;
  problem->whole_row = 0;
  problem->is_border_difference = 0;
  return 1;
}

static int is_first_problem(struct mr__row_parser *parser, size_t at, struct mr__item item) {
  return begin_problem(&parser->rows, at, item);
}

static int is_first_of_row(struct mr__row_parser *parser, size_t at) {
  if (!is_first_problem(parser, at, no_item)) return 0;
  parser->rows.problem.whole_row = 1;
  return 1;
}

static int is_first_row(const struct mr__row_parser *parser, size_t row) {
  return parser->first_row + row == 0;
}

/* Something is wrong with a cell of a row. */
static void mark_cell(struct mr__row_parser *parser, size_t row, struct mr__item item) {
  if (is_first_row(parser, row))
    parser->rows.first_wrong[mr__item_cell(parser->layout->schema, item)] = 1;
}

/* The same of all cells of a column. */
static void mark_column(struct mr__row_parser *parser, size_t row,
                        const struct mr__column *column) {
  if (is_first_row(parser, row))
    memset(parser->rows.first_wrong + column->first_cell, 1, (size_t)mr__column_cells(column));
}

static size_t cell_place(const struct mr__row_parser *parser, size_t row, int position) {
  return (size_t)(mr__raw_cell(parser, row, position).at - parser->scan.text);
}

/* Where a value stood before the list that it is of was made a cell. */
static size_t listed_place(const struct mr__row_parser *parser, struct mr__text cell, int position,
                           const char *at) {
  const struct mr__json_cell *shape = &parser->heading->json[position];
  size_t start = (size_t)(cell.at - parser->scan.text) - parser->lists_at, n = 0, n_inner = 0;
  for (const char *p = cell.at; p < at; p++) {
    if (*p == (char)shape->separator)
      n++, n_inner = 0;
    else
      n_inner += shape->inner >= 0 && *p == (char)shape->inner;
  }
  struct mr__text list = {parser->lists_before + start, parser->lists_size - start};
  return parser->lists_at + (size_t)(mr__json_value(list, n, n_inner) - parser->lists_before);
}

/* Whether a cell was made of a list of JSON. */
static int was_list(const struct mr__row_parser *parser, struct mr__text cell, int position) {
  const struct mr__json_cell *cells = parser->heading->json;
  size_t start = (size_t)(cell.at - parser->scan.text);
  return cells && cells[position].separator >= 0 && start > parser->lists_at &&
         parser->lists_before[start - parser->lists_at - 1] == '[';
}

/* Where a piece of a cell stands; of an unquoted copy where the cell does. */
static size_t place_of(const struct mr__row_parser *parser, size_t row, int position,
                       struct mr__text piece) {
  const struct mr__scan *scan = &parser->scan;
  struct mr__text cell = mr__raw_cell(parser, row, position);
  if (was_list(parser, cell, position)) return listed_place(parser, cell, position, piece.at);
  if (piece.at >= scan->text && piece.at < scan->text + scan->size)
    return (size_t)(piece.at - scan->text);
  return cell_place(parser, row, position);
}

void mr__note_bad_value(struct mr__row_parser *parser, size_t row, struct mr__item item,
                        enum mr__number kind) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  struct mr__problem *problem = &parser->rows.problem;
  mark_cell(parser, row, item);
  if (!is_first_problem(parser, cell_place(parser, row, item.position), item)) return;
  problem->reason = column->type == MR_LABEL ? MR_BAD_LABEL : MR_BAD_NUMBER;
  char shown[MR__EXCERPT_BYTES];
  mr__excerpt(shown, mr__read_cell(parser, row, item.position));
  if (column->type == MR_LABEL)
    snprintf(problem->text, sizeof problem->text, "label \"%s\" in column \"%s\", expected %s%s",
             shown, column->source, mr__label_phrase(column),
             parser->heading->sparse                ? ", or -1 for 0"
             : parser->layout->schema->n_labels > 1 ? ", or nothing"
                                                    : "");
  else if (column->type == MR_WEIGHT)
    snprintf(problem->text, sizeof problem->text,
             "weight \"%s\" in column \"%s\", expected a number from 0 to 1e9", shown,
             column->source);
  else if (column->type == MR_TIME)
    snprintf(problem->text, sizeof problem->text,
             "time \"%s\" in column \"%s\", expected a number of seconds", shown, column->source);
  else
    snprintf(problem->text, sizeof problem->text, "\"%s\" is %s (column \"%s\")", shown,
             mr__number_trouble(kind), mr__column_source(column, item.part));
}

void mr__note_scenario(struct mr__rows *rows, const mr_schema *schema, size_t at,
                       struct mr__item item, struct mr__text text) {
  if (!begin_problem(rows, at, item)) return;
  char shown[MR__EXCERPT_BYTES];
  rows->problem.reason = MR_BAD_NUMBER;
  snprintf(rows->problem.text, sizeof rows->problem.text,
           "scenario \"%s\" in column \"%s\" is one more than the %d that are allowed",
           mr__excerpt(shown, text), schema->columns[item.column].source, MR__MOST_SCENARIOS);
}

static int is_unlisted(const struct mr__column *column, struct mr__text text) {
  return mr__value_key(column, text) == MR__UNLISTED_KEY;
}

static void note_bad_weight(struct mr__row_parser *parser, size_t row, struct mr__item item,
                            struct mr__text piece, struct mr__text weight) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  struct mr__problem *problem = &parser->rows.problem;
  size_t at = column->weights ? place_of(parser, row, parser->weight_positions[item.column], weight)
                              : place_of(parser, row, item.position, piece);
  if (!is_first_problem(parser, at, item)) return;
  char text[160];
  problem->reason = MR_BAD_NUMBER;
  mr__describe_weight(text, sizeof text, column, piece, weight);
  snprintf(problem->text, sizeof problem->text, "%s (column \"%s\")", text,
           column->weights ? column->weights : column->source);
}

static void note_lengths(struct mr__row_parser *parser, size_t row, struct mr__item item,
                         struct mr__bag_text bag) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  struct mr__problem *problem = &parser->rows.problem;
  size_t at = cell_place(parser, row, parser->weight_positions[item.column]);
  if (!is_first_problem(parser, at, item)) return;
  uint32_t values = mr__count_behaviours(bag.values, column->separator);
  uint32_t weights = mr__count_behaviours(bag.weights, column->separator);
  problem->reason = MR_BAD_NUMBER;
  snprintf(problem->text, sizeof problem->text,
           "column \"%s\" has %u weight%s, column \"%s\" has %u value%s", column->weights, weights,
           weights == 1 ? "" : "s", column->source, values, values == 1 ? "" : "s");
}

void mr__note_bad_ids(struct mr__row_parser *parser, size_t row, struct mr__item item) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  struct mr__bag_text rest = mr__read_bag(parser, row, item.column, item.position);
  struct mr__text piece = rest.values, weight;
  if (mr__bag_lengths_differ(column, rest)) {
    mark_column(parser, row, column);
    note_lengths(parser, row, item, rest);
    return;
  }
  int found = column->type == MR_ID && is_unlisted(column, piece);
  uint32_t max = column->max > 0 ? (uint32_t)column->max : UINT32_MAX;
  float value;
  for (uint32_t n = 0; column->type == MR_IDS && !found && n < max; n++) {
    if (!mr__bag_next_value(&rest, parser->format.layout, column, &piece, &weight)) break;
    if (column->weighted && !mr__value_weight(weight, &value)) {
      mark_column(parser, row, column);
      note_bad_weight(parser, row, item, piece, weight);
      return;
    }
    found = mr__column_is_strict(column) && is_unlisted(column, piece);
  }
  if (found) mark_column(parser, row, column);
  if (!found || !is_first_problem(parser, cell_place(parser, row, item.position), item)) return;
  char shown[MR__EXCERPT_BYTES], list[MR__LIST_BYTES];
  struct mr__problem *problem = &parser->rows.problem;
  problem->reason = MR_BAD_ID;
  snprintf(problem->text, sizeof problem->text, "\"%s\" is %s (column \"%s\")",
           mr__excerpt(shown, piece), mr__list_phrase(list, column), column->source);
}

void mr__note_bad_vector(struct mr__row_parser *parser, size_t row, struct mr__item item,
                         const struct mr__bad_vector *bad) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  struct mr__problem *problem = &parser->rows.problem;
  mark_cell(parser, row, item);
  if (!is_first_problem(parser, place_of(parser, row, item.position, bad->text), item)) return;
  problem->reason = MR_BAD_NUMBER;
  char text[128];
  mr__describe_vector(text, sizeof text, column, bad);
  snprintf(problem->text, sizeof problem->text, "%s (column \"%s\")", text, column->source);
}

void mr__note_bad_behaviour(struct mr__row_parser *parser, size_t row, struct mr__item item,
                            const struct mr__bad_behaviour *bad) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  struct mr__problem *problem = &parser->rows.problem;
  mark_cell(parser, row, item);
  if (!is_first_problem(parser, place_of(parser, row, item.position, bad->text), item)) return;
  int unlisted = bad->kind == MR__ID_UNLISTED;
  problem->reason = unlisted ? MR_BAD_ID : MR_BAD_NUMBER;
  char shown[MR__EXCERPT_BYTES], list[MR__LIST_BYTES], text[MR__LIST_BYTES + MR__EXCERPT_BYTES];
  if (column->type == MR_VECTOR)
    mr__describe_vector(text, sizeof text, column, &bad->vector);
  else
    snprintf(text, sizeof text, "\"%s\" is %s", mr__excerpt(shown, bad->text),
             unlisted ? mr__list_phrase(list, column) : mr__number_trouble(bad->kind));
  snprintf(problem->text, sizeof problem->text, "%s (column \"%s\", behaviour %u)", text,
           column->source, bad->number);
}

/* All columns of a sequence in a row. */
static void mark_sequence(struct mr__row_parser *parser, size_t row, int s) {
  const mr_schema *schema = parser->layout->schema;
  for (size_t c = 0; c < schema->n_columns; c++)
    if (schema->columns[c].sequence == s) mark_column(parser, row, &schema->columns[c]);
}

int mr__check_lengths(struct mr__row_parser *parser, size_t row, int s) {
  const struct mr__sequence *sequence = &parser->layout->schema->sequences[s];
  const struct mr__heading *heading = parser->heading;
  const struct mr__column *first = NULL;
  uint32_t wanted = 0;
  for (int i = 0; i < heading->n_items; i++) {
    struct mr__item item = heading->items[i];
    const struct mr__column *column = &parser->layout->schema->columns[item.column];
    if (column->sequence != s) continue;
    uint32_t n = mr__cell_length(parser, row, item, mr__read_cell(parser, row, item.position));
    if (!first) first = column, wanted = n;
    if (n == wanted) continue;
    struct mr__problem *problem = &parser->rows.problem;
    mark_sequence(parser, row, s);
    if (!is_first_problem(parser, cell_place(parser, row, item.position), item)) return 0;
    problem->reason = MR_BAD_SEQUENCE;
    snprintf(problem->text, sizeof problem->text,
             "sequence \"%s\": column \"%s\" has %u behaviour%s, column \"%s\" has %u",
             sequence->name, column->source, n, n == 1 ? "" : "s", first->source, wanted);
    return 0;
  }
  return 1;
}

void mr__note_cell_count(struct mr__row_parser *parser, size_t row) {
  const struct mr__scan *scan = &parser->scan;
  struct mr__problem *problem = &parser->rows.problem;
  if (!is_first_of_row(parser, scan->starts[row])) return;
  uint32_t n = mr__count_cells(scan, row);
  snprintf(problem->text, sizeof problem->text, "%u cell%s, expected %d (%s)", n, n == 1 ? "" : "s",
           parser->heading->n_cells,
           parser->heading->in_file ? "as in the header" : "one for each name");
}

void mr__note_quotes(struct mr__row_parser *parser) {
  const struct mr__scan *scan = &parser->scan;
  size_t start = scan->n_ends ? scan->ends[scan->n_ends - 1] + 1 : scan->starts[0];
  if (!is_first_problem(parser, start, no_item)) return;
  size_t stop = scan->broken ? scan->broken_at + 1 : scan->size;
  struct mr__text rest = {scan->text + start, stop - start};
  const char *trouble = mr__quote_trouble(rest);
  snprintf(parser->rows.problem.text, sizeof parser->rows.problem.text, "%s",
           trouble ? trouble : "a quoted cell is not closed");
}

void mr__describe_difference(struct mr__problem *problem, const mr_schema *schema,
                             const char *before) {
  const char *name = mr__item_source(schema, problem->item);
  if (!*problem->now && !*before) /* only lists of JSON differ where their cells do not */
    snprintf(problem->text, sizeof problem->text,
             "column \"%s\" is empty in one row of a request and a list of one unknown value in "
             "another",
             name);
  else
    snprintf(problem->text, sizeof problem->text,
             "column \"%s\" is \"%s\", but \"%s\" in an earlier row of the same request", name,
             problem->now, before);
}

void mr__note_trouble(struct mr__row_parser *parser, const struct mr__row_trouble *trouble) {
  struct mr__problem *problem = &parser->rows.problem;
  if (!is_first_problem(parser, (size_t)(trouble->at - parser->scan.text), no_item)) return;
  problem->reason = parser->heading->sparse ? MR_BAD_PAIR : MR_BAD_CELLS;
  snprintf(problem->text, sizeof problem->text, "%s", trouble->text);
}

void mr__note_difference(struct mr__row_parser *parser, size_t row, struct mr__item item) {
  struct mr__problem *problem = &parser->rows.problem;
  if (!is_first_problem(parser, cell_place(parser, row, item.position), item)) return;
  problem->is_border_difference = parser->request_of[row] == 0;
  /* One after the other: reading the second may overwrite the text of the first. */
  int cell = mr__item_cell(parser->layout->schema, item);
  char before[MR__EXCERPT_BYTES];
  mr__excerpt(problem->now, mr__read_cell(parser, row, item.position));
  mr__excerpt(before, mr__read_raw(parser, parser->rows.last_request[cell]));
  mr__describe_difference(problem, parser->layout->schema, before);
}

void mr__note_long_row(struct mr__row_parser *parser, size_t row_bytes) {
  const struct mr__scan *scan = &parser->scan;
  if (!is_first_of_row(parser, scan->starts[scan->n_rows])) return;
  snprintf(parser->rows.problem.text, sizeof parser->rows.problem.text,
           "a row is longer than %zu bytes%s", row_bytes,
           parser->format.quotes ? "; is a quote missing?" : "");
}
