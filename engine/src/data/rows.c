/* Rows are taken in steps of some 96 KB of text, and a step is worked through column by column:
 * each loop below does one thing to one cell of every row, with text, index and records in cache.
 *
 * Within a step the rows that make a record in a domain are listed: all of them for samples, and
 * for requests those that start one. Other rows of a request are only compared with its record,
 * and that costs a comparison of bytes when the cell repeats the one above. */
#include "data/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "data/behaviours.h"
#include "data/crossing.h"
#include "data/json_lines.h"
#include "data/sparse.h"
#include "kernel/family.h"

/* The bags of one column in a step. */
struct bags {
  uint64_t *keys;   /* of all rows, one after another */
  uint32_t *codes;  /* of the keys */
  float *weights;   /* the same, where the column has them */
  uint32_t *counts; /* [rows of the list] */
  size_t n, keys_capacity, codes_capacity, weights_capacity, counts_capacity;
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
  struct mr__scenarios scenarios;

  /* Of the current step. */
  const struct mr__block_text *block;
  size_t next_gap;     /* of the block's gaps */
  size_t n_rows;       /* whose number of cells is right */
  uint32_t first_row;  /* of the block */
  uint32_t *stops;     /* [n_rows] end of the last cell, before \r\n or \n */
  uint32_t *places;    /* [n_rows, cells, 2] of rows that are placed: see mr__sparse_row */
  int64_t *request_of; /* [n_rows] index of its request in the block */
  struct list lists[MR_DOMAINS];
  struct bags *bags;                 /* [columns] */
  struct mr__behaviours *behaviours; /* [columns] of those of sequences */
  size_t *tails;                     /* [n_rows] where what comes next in a record goes */
  uint32_t *marks;                   /* [2 * n_rows] of one column's cells */
  int *weight_positions;             /* [columns] of the block's cells of weights */
  uint64_t *keys;                    /* [MR__QUERIES, n_rows] of columns */
  int *part_places; /* [columns] of the parts of crosses that are one id: which, or -1 */
  size_t n_parts;
  uint64_t *part_keys;         /* [n_parts, n_rows] of the rows of each one's list */
  uint64_t *part_last_keys;    /* [n_parts] of the last request before the step */
  uint32_t *codes[MR_DOMAINS]; /* [codes of a record, n_rows] of the records of a step */
  struct mr__text *above;      /* [cells] raw cell of the last row before the step, request side */
  char *unquoted;              /* the last cell that had doubled quotes */
  struct mr__texts joined;     /* the last value of a cross that was new */
  struct bags part_bags[MR__MOST_PARTS];  /* of one row, of parts of a cross */
  struct bags other_bag;                  /* of a row that does not start its request */
  struct mr__behaviours other_behaviours; /* the same */
  struct mr__picks picks;                 /* of the last row */
  float *vector;                          /* the same, and of a row that may be left out */
  char *lists_before; /* the text from byte lists_at on, before lists of JSON were made cells */
  size_t lists_at, lists_size, lists_capacity;
  size_t codes_capacity[MR_DOMAINS];
  size_t stops_capacity, request_of_capacity, keys_capacity, unquoted_capacity;
  size_t marks_capacity, tails_capacity, places_capacity, vector_capacity, part_keys_capacity;
};

/* ---- life cycle ---- */

static int list_parts(struct mr__row_parser *parser) {
  const mr_schema *schema = parser->layout->schema;
  parser->part_places = mr__calloc(schema->n_columns, sizeof *parser->part_places);
  parser->part_last_keys = mr__calloc(schema->n_columns, sizeof *parser->part_last_keys);
  if (!parser->part_places || !parser->part_last_keys) return mr__fail_memory();
  for (size_t c = 0; c < schema->n_columns; c++) parser->part_places[c] = -1;
  for (size_t c = 0; c < schema->n_columns; c++)
    for (int k = 0; k < schema->columns[c].n_parts; k++) {
      int part = schema->columns[c].parts[k], *place = &parser->part_places[part];
      if (schema->columns[part].type == MR_ID && *place < 0) *place = (int)parser->n_parts++;
    }
  return MR_OK;
}

int mr__row_parser_new(struct mr__row_parser **out, const struct mr__layout *layout,
                       const mr_text_format *format, struct mr__dictionary *dictionary) {
  *out = NULL;
  struct mr__row_parser *parser = mr__calloc(1, sizeof *parser);
  if (!parser) return mr__fail_memory();
  parser->layout = layout;
  parser->format = *format;
  parser->dictionary = dictionary;
  parser->rows.scenarios = &parser->scenarios;
  size_t n = layout->schema->n_columns, n_cells = (size_t)layout->schema->n_cells;
  parser->bags = mr__calloc(n, sizeof *parser->bags);
  parser->weight_positions = mr__calloc(n, sizeof *parser->weight_positions);
  parser->behaviours = mr__calloc(n, sizeof *parser->behaviours);
  parser->above = mr__calloc(n_cells, sizeof *parser->above);
  parser->rows.last_request = mr__calloc(n_cells, sizeof *parser->rows.last_request);
  parser->rows.first_cells = mr__calloc(n_cells, sizeof *parser->rows.first_cells);
  parser->rows.views = mr__calloc((size_t)layout->n_views, sizeof *parser->rows.views);
  parser->rows.new_keys = mr__calloc(layout->schema->n_tables, sizeof *parser->rows.new_keys);
  int status = MR_OK;
  if (!parser->bags || !parser->behaviours || !parser->above || !parser->rows.last_request ||
      !parser->rows.first_cells || !parser->rows.views || !parser->rows.new_keys ||
      !parser->weight_positions)
    status = mr__fail_memory();
  if (status == MR_OK) status = list_parts(parser);
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
  mr__free(bags->weights);
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
    mr__free(rows->new_keys[t].list), mr__texts_clear(&rows->new_keys[t].texts);
  mr__free(rows->new_keys);
  mr__free(rows->first_sample);
  mr__free(rows->bad);
  mr__free(rows->inner_newlines);
  mr__free(rows->last_request);
  mr__free(rows->first_cells);
}

void mr__row_parser_free(struct mr__row_parser *parser) {
  if (!parser) return;
  free_rows(&parser->rows, parser->layout);
  mr__scan_clear(&parser->scan);
  for (int domain = 0; domain < MR_DOMAINS; domain++) {
    mr__free(parser->codes[domain]);
    mr__free(parser->lists[domain].rows);
    mr__free(parser->lists[domain].record_at);
  }
  for (size_t i = 0; parser->bags && i < parser->layout->schema->n_columns; i++)
    free_bags(&parser->bags[i]);
  for (size_t i = 0; parser->behaviours && i < parser->layout->schema->n_columns; i++)
    mr__behaviours_clear(&parser->behaviours[i]);
  free_bags(&parser->other_bag);
  for (int k = 0; k < MR__MOST_PARTS; k++) free_bags(&parser->part_bags[k]);
  mr__behaviours_clear(&parser->other_behaviours);
  mr__free(parser->picks.index);
  mr__scenarios_clear(&parser->scenarios);
  mr__recent_free(parser->recent);
  mr__free(parser->bags);
  mr__free(parser->behaviours);
  mr__free(parser->tails);
  mr__free(parser->above);
  mr__free(parser->stops);
  mr__free(parser->places);
  mr__free(parser->lists_before);
  mr__free(parser->request_of);
  mr__free(parser->marks);
  mr__free(parser->keys);
  mr__free(parser->weight_positions);
  mr__free(parser->part_places);
  mr__free(parser->part_keys);
  mr__free(parser->part_last_keys);
  mr__free(parser->unquoted);
  mr__free(parser->vector);
  mr__texts_clear(&parser->joined);
  mr__free(parser);
}

/* ---- cells ---- */

/* The bytes between two ends of cells. */
static inline struct mr__text raw_cell(const struct mr__row_parser *parser, size_t row,
                                       int position) {
  const struct mr__scan *scan = &parser->scan;
  int n_cells = parser->heading->n_cells;
  if (parser->heading->is_placed) {
    const uint32_t *places = parser->places + 2 * (row * (size_t)n_cells + (size_t)position);
    return (struct mr__text){scan->text + (places[0] + 1), places[1] - (places[0] + 1)};
  }
  const uint32_t *ends = scan->ends + row * (size_t)n_cells;
  uint32_t start = position > 0 ? ends[position - 1] + 1 : scan->starts[row];
  uint32_t stop = position < n_cells - 1 ? ends[position] : parser->stops[row];
  return (struct mr__text){scan->text + start, stop - start};
}

/* What a cell says. The scanner has checked that quotes come in pairs around the whole cell. */
static inline struct mr__text read_raw(const struct mr__row_parser *parser, struct mr__text raw) {
  return parser->scan.has_quotes ? mr__unquoted(parser->unquoted, raw) : raw;
}

static inline struct mr__text read_cell(const struct mr__row_parser *parser, size_t row,
                                        int position) {
  return read_raw(parser, raw_cell(parser, row, position));
}

/* The values of a column of ids in a row, and the cell of their weights where they have one. */
struct bag_text {
  struct mr__text values, weights;
};

static struct bag_text read_bag(const struct mr__row_parser *parser, size_t row, int c,
                                int position) {
  struct bag_text bag = {.values = read_cell(parser, row, position)};
  if (!parser->layout->schema->columns[c].weights) return bag;
  bag.weights = raw_cell(parser, row, parser->weight_positions[c]);
  /* Two cells of a row have room beside each other. */
  size_t used = bag.values.at == parser->unquoted ? bag.values.size : 0;
  if (parser->scan.has_quotes) bag.weights = mr__unquoted(parser->unquoted + used, bag.weights);
  return bag;
}

/* Whether there are not as many weights as values. */
static int lengths_differ(const struct mr__column *column, struct bag_text bag) {
  return column->weights && mr__count_behaviours(bag.values, column->separator) !=
                                mr__count_behaviours(bag.weights, column->separator);
}

/* ---- problems ---- */

/* Returns whether this is the first problem in the order of the text; then its text is to be
 * written. */
static int is_first_problem(struct mr__row_parser *parser, size_t at, int whole_row) {
  struct mr__problem *problem = &parser->rows.problem;
  if (problem->status != MR_OK && problem->at <= at) return 0;
  problem->status = MR_EDATA;
  problem->reason = MR_BAD_CELLS;
  problem->at = at;
  problem->whole_row = whole_row;
  return 1;
}

static size_t cell_place(const struct mr__row_parser *parser, size_t row, int position) {
  return (size_t)(raw_cell(parser, row, position).at - parser->scan.text);
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
  struct mr__text cell = raw_cell(parser, row, position);
  if (was_list(parser, cell, position)) return listed_place(parser, cell, position, piece.at);
  if (piece.at >= scan->text && piece.at < scan->text + scan->size)
    return (size_t)(piece.at - scan->text);
  return cell_place(parser, row, position);
}

static void note_bad_value(struct mr__row_parser *parser, size_t row, struct mr__item item,
                           enum mr__number kind) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  struct mr__problem *problem = &parser->rows.problem;
  if (!is_first_problem(parser, cell_place(parser, row, item.position), 0)) return;
  problem->reason = column->type == MR_LABEL ? MR_BAD_LABEL : MR_BAD_NUMBER;
  char shown[MR__EXCERPT_BYTES];
  mr__excerpt(shown, read_cell(parser, row, item.position));
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
  else if (column->type == MR_SCENARIO)
    snprintf(problem->text, sizeof problem->text,
             "scenario \"%s\" in column \"%s\" is one more than the %d that are allowed", shown,
             column->source, MR__MOST_SCENARIOS);
  else
    snprintf(problem->text, sizeof problem->text, "\"%s\" is %s (column \"%s\")", shown,
             mr__number_trouble(kind), mr__column_source(column, item.part));
}

/* Whether a column's values that are not listed are wrong. */
static int is_strict(const struct mr__column *column) {
  return column->n_values > 0 && column->unseen == MR_UNSEEN_ERROR;
}

static int is_unlisted(const struct mr__column *column, struct mr__text text) {
  return mr__listed_key(column, mr__key(text.at, text.size, column->seed)) == MR__UNLISTED_KEY;
}

/* The next value of a bag and its weight, where the column has them; 0 at its end. */
static int next_piece(struct bag_text *rest, int layout, const struct mr__column *column,
                      struct mr__text *piece, struct mr__text *weight) {
  if (layout == MR_LIBSVM || layout == MR_LIBFFM)
    return mr__sparse_next(&rest->values, layout, column->source, piece, weight);
  if (column->weights)
    return mr__next_weighted(&rest->values, &rest->weights, column->separator, piece, weight);
  int found = layout == MR_PAIRS
                  ? mr__sparse_next(&rest->values, layout, column->source, piece, weight)
                  : mr__next_piece(&rest->values, column->separator, piece);
  if (found && column->weight_separator) mr__cut_weight(piece, column->weight_separator, weight);
  return found;
}

/* The same of what is no padding. */
static int next_value(struct bag_text *rest, int layout, const struct mr__column *column,
                      struct mr__text *piece, struct mr__text *weight) {
  int found;
  do {
    found = next_piece(rest, layout, column, piece, weight);
  } while (found && mr__is_padding(*piece, column->padding));
  return found;
}

static void note_bad_weight(struct mr__row_parser *parser, size_t row, struct mr__item item,
                            struct mr__text piece, struct mr__text weight) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  struct mr__problem *problem = &parser->rows.problem;
  size_t at = column->weights ? place_of(parser, row, parser->weight_positions[item.column], weight)
                              : place_of(parser, row, item.position, piece);
  if (!is_first_problem(parser, at, 0)) return;
  char text[160];
  problem->reason = MR_BAD_NUMBER;
  mr__describe_weight(text, sizeof text, column, piece, weight);
  snprintf(problem->text, sizeof problem->text, "%s (column \"%s\")", text,
           column->weights ? column->weights : column->source);
}

static void note_lengths(struct mr__row_parser *parser, size_t row, int c, struct bag_text bag) {
  const struct mr__column *column = &parser->layout->schema->columns[c];
  struct mr__problem *problem = &parser->rows.problem;
  if (!is_first_problem(parser, cell_place(parser, row, parser->weight_positions[c]), 0)) return;
  uint32_t values = mr__count_behaviours(bag.values, column->separator);
  uint32_t weights = mr__count_behaviours(bag.weights, column->separator);
  problem->reason = MR_BAD_NUMBER;
  snprintf(problem->text, sizeof problem->text,
           "column \"%s\" has %u weight%s, column \"%s\" has %u value%s", column->weights, weights,
           weights == 1 ? "" : "s", column->source, values, values == 1 ? "" : "s");
}

/* Note the first value of a cell that has a wrong weight or that a strict column does not list, if
 * any. */
static void note_bad_ids(struct mr__row_parser *parser, size_t row, struct mr__item item) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  struct bag_text rest = read_bag(parser, row, item.column, item.position);
  struct mr__text piece = rest.values, weight;
  if (lengths_differ(column, rest)) {
    note_lengths(parser, row, item.column, rest);
    return;
  }
  int found = column->type == MR_ID && is_unlisted(column, piece);
  uint32_t max = column->max > 0 ? (uint32_t)column->max : UINT32_MAX;
  float value;
  for (uint32_t n = 0; column->type == MR_IDS && !found && n < max; n++) {
    if (!next_value(&rest, parser->format.layout, column, &piece, &weight)) break;
    if (column->weighted && !mr__value_weight(weight, &value)) {
      note_bad_weight(parser, row, item, piece, weight);
      return;
    }
    found = is_strict(column) && is_unlisted(column, piece);
  }
  if (!found || !is_first_problem(parser, cell_place(parser, row, item.position), 0)) return;
  char shown[MR__EXCERPT_BYTES], list[MR__LIST_BYTES];
  struct mr__problem *problem = &parser->rows.problem;
  problem->reason = MR_BAD_ID;
  snprintf(problem->text, sizeof problem->text, "\"%s\" is %s (column \"%s\")",
           mr__excerpt(shown, piece), mr__list_phrase(list, column), column->source);
}

static void note_bad_vector(struct mr__row_parser *parser, size_t row, struct mr__item item,
                            const struct mr__bad_vector *bad) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  struct mr__problem *problem = &parser->rows.problem;
  if (!is_first_problem(parser, place_of(parser, row, item.position, bad->text), 0)) return;
  problem->reason = MR_BAD_NUMBER;
  char text[128];
  mr__describe_vector(text, sizeof text, column, bad);
  snprintf(problem->text, sizeof problem->text, "%s (column \"%s\")", text, column->source);
}

static void note_bad_behaviour(struct mr__row_parser *parser, size_t row, struct mr__item item,
                               const struct mr__bad_behaviour *bad) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  struct mr__problem *problem = &parser->rows.problem;
  if (!is_first_problem(parser, place_of(parser, row, item.position, bad->text), 0)) return;
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

/* Whether all columns of a sequence have equally many behaviours in a row; notes the first, in the
 * order of the text, that has not as many as those before it. */
static int check_lengths(struct mr__row_parser *parser, size_t row, int s) {
  const struct mr__sequence *sequence = &parser->layout->schema->sequences[s];
  const struct mr__heading *heading = parser->heading;
  const struct mr__column *first = NULL;
  uint32_t wanted = 0;
  for (int i = 0; i < heading->n_items; i++) {
    struct mr__item item = heading->items[i];
    const struct mr__column *column = &parser->layout->schema->columns[item.column];
    if (column->sequence != s) continue;
    uint32_t n = mr__count_behaviours(read_cell(parser, row, item.position), sequence->separator);
    if (!first) first = column, wanted = n;
    if (n == wanted) continue;
    struct mr__problem *problem = &parser->rows.problem;
    if (parser->first_row + row == 0) parser->rows.uneven |= UINT32_C(1) << s;
    if (!is_first_problem(parser, cell_place(parser, row, item.position), 0)) return 0;
    problem->reason = MR_BAD_SEQUENCE;
    snprintf(problem->text, sizeof problem->text,
             "sequence \"%s\": column \"%s\" has %u behaviour%s, column \"%s\" has %u",
             sequence->name, column->source, n, n == 1 ? "" : "s", first->source, wanted);
    return 0;
  }
  return 1;
}

static uint32_t count_cells(const struct mr__scan *scan, size_t row) {
  return scan->first[row + 1] - scan->first[row];
}

static void note_cell_count(struct mr__row_parser *parser, size_t row) {
  const struct mr__scan *scan = &parser->scan;
  struct mr__problem *problem = &parser->rows.problem;
  if (!is_first_problem(parser, scan->starts[row], 1)) return;
  uint32_t n = count_cells(scan, row);
  snprintf(problem->text, sizeof problem->text, "%u cell%s, expected %d (%s)", n, n == 1 ? "" : "s",
           parser->heading->n_cells,
           parser->heading->in_file ? "as in the header" : "one for each name");
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

/* An empty line is no row, but where rows have one cell, which may be empty. */
static int is_empty_line(const struct mr__row_parser *parser, size_t row) {
  const struct mr__scan *scan = &parser->scan;
  if (parser->heading->n_cells == 1 || count_cells(scan, row) != 1) return 0;
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

/* Keep the rows up to the first with a wrong number of cells. */
static void check_cell_counts(struct mr__row_parser *parser) {
  const struct mr__scan *scan = &parser->scan;
  uint32_t n_cells = (uint32_t)parser->heading->n_cells;
  size_t row = 0;
  while (row < scan->n_rows && count_cells(scan, row) == n_cells) row++;
  parser->n_rows = row;
  for (; row < scan->n_rows; row++) {
    if (is_empty_line(parser, row)) {
      parser->rows.n_empty++;
    } else if (count_cells(scan, row) != n_cells) {
      note_cell_count(parser, row);
      return;
    } else {
      move_row(parser, row, parser->n_rows++);
    }
  }
}

static int reserve_rows(struct mr__row_parser *parser) {
  size_t n = parser->n_rows;
  const struct mr__scan *scan = &parser->scan;
  MR_TRY(mr__grow(&parser->stops, &parser->stops_capacity, n, sizeof *parser->stops));
  MR_TRY(
      mr__grow(&parser->request_of, &parser->request_of_capacity, n, sizeof *parser->request_of));
  MR_TRY(mr__grow(&parser->marks, &parser->marks_capacity, 2 * n, sizeof *parser->marks));
  MR_TRY(mr__grow(&parser->keys, &parser->keys_capacity, MR__QUERIES * n, sizeof *parser->keys));
  MR_TRY(mr__grow(&parser->part_keys, &parser->part_keys_capacity, parser->n_parts * n,
                  sizeof *parser->part_keys));
  MR_TRY(mr__grow(&parser->tails, &parser->tails_capacity, n, sizeof *parser->tails));
  for (int domain = 0; domain < MR_DOMAINS; domain++) {
    struct list *list = &parser->lists[domain];
    MR_TRY(mr__grow(&list->rows, &list->rows_capacity, n, sizeof *list->rows));
    MR_TRY(mr__grow(&list->record_at, &list->record_capacity, n, sizeof *list->record_at));
    MR_TRY(mr__grow(&parser->codes[domain], &parser->codes_capacity[domain],
                    n * (size_t)parser->layout->records[domain].n_codes,
                    sizeof *parser->codes[domain]));
  }
  struct mr__rows *rows = &parser->rows;
  size_t samples = (size_t)rows->sides[MR_SAMPLE].n + n;
  for (int i = 0; i < parser->layout->n_views; i++)
    MR_TRY(mr__grow(&rows->views[i].data, &rows->views[i].capacity, samples,
                    mr__view_bytes(parser->layout, i)));
  MR_TRY(mr__grow(&rows->first_sample, &rows->first_sample_capacity, samples,
                  sizeof *rows->first_sample));
  if (!scan->has_quotes || n == 0) return MR_OK;
  /* Any one cell of these rows fits; where lines are left out starts[n] is no end of the others. */
  return mr__grow(&parser->unquoted, &parser->unquoted_capacity,
                  scan->starts[scan->n_rows] - scan->starts[0] + MR__BEHAVIOURS_PAD, 1);
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

static void find_stops(struct mr__row_parser *parser) {
  if (parser->heading->is_placed) return;
  for (size_t row = 0; row < parser->n_rows; row++) parser->stops[row] = stop_of(parser, row);
}

/* ---- wrong rows ---- */

static inline enum mr__number parse_float(const struct mr__row_parser *parser,
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

static const struct mr__sequence *sequence_of(const struct mr__row_parser *parser,
                                              const struct mr__column *column) {
  return &parser->layout->schema->sequences[column->sequence];
}

/* Whether a column of a sequence has a say in what is padding. */
static int says_padding(const mr_schema *schema, const struct mr__column *column) {
  return schema->sequences[column->sequence].padding && column->table >= 0;
}

/* The behaviours of a row that are no padding; *out: NULL for all of them, also where columns are
 * not as long as one another, which is wrong. */
static int find_picks(struct mr__row_parser *parser, size_t row, int s,
                      const struct mr__picks **out) {
  const struct mr__heading *heading = parser->heading;
  const struct mr__sequence *sequence = &parser->layout->schema->sequences[s];
  struct mr__picks *picks = &parser->picks;
  int n_columns = 0;
  *out = NULL;
  for (int i = 0; sequence->padding && i < heading->n_items; i++) {
    struct mr__item item = heading->items[i];
    const struct mr__column *column = &parser->layout->schema->columns[item.column];
    if (column->sequence != s) continue;
    struct mr__text cell = read_cell(parser, row, item.position);
    uint32_t n = mr__count_behaviours(cell, sequence->separator);
    if (n_columns++ == 0) MR_TRY(mr__picks_start(picks, n));
    if (n != picks->n) return MR_OK;
    if (says_padding(parser->layout->schema, column)) mr__picks_add_cell(picks, sequence, cell);
  }
  if (n_columns == 0) return MR_OK;
  mr__picks_finish(picks);
  *out = picks;
  return MR_OK;
}

/* Add a row's cell to the behaviours of a column. */
static int add_cell(struct mr__row_parser *parser, struct mr__behaviours *to, size_t row,
                    struct mr__item item, const struct mr__picks *picks) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  struct mr__text cell = read_cell(parser, row, item.position);
  struct mr__bad_behaviour bad;
  MR_TRY(mr__behaviours_add(to, column, sequence_of(parser, column), cell, picks, &bad));
  if (bad.kind != MR__NUMBER_OK) note_bad_behaviour(parser, row, item, &bad);
  return MR_OK;
}

/* The vector of a cell into the parser's own, and note what is wrong with it. */
static int parse_vector(struct mr__row_parser *parser, size_t row, struct mr__item item) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  struct mr__bad_vector bad;
  MR_TRY(mr__grow(&parser->vector, &parser->vector_capacity, mr__column_words(column),
                  sizeof *parser->vector));
  struct mr__text text = read_cell(parser, row, item.position);
  if (mr__cell_vector(column, text, parser->vector, &bad) != MR__NUMBER_OK)
    note_bad_vector(parser, row, item, &bad);
  return MR_OK;
}

/* Note the first thing that is wrong in a row, if anything, besides its number of cells. */
static int check_row(struct mr__row_parser *parser, size_t row) {
  const mr_schema *schema = parser->layout->schema;
  struct mr__behaviours *behaviours = &parser->other_behaviours;
  for (int i = 0; i < parser->heading->n_items; i++) {
    struct mr__item item = parser->heading->items[i];
    const struct mr__column *column = &schema->columns[item.column];
    struct mr__text text = read_cell(parser, row, item.position);
    double time;
    if (column->type == MR_TIME) {
      if (!mr__cell_time(text, &time)) note_bad_value(parser, row, item, MR__NUMBER_BAD);
    } else if (column->weights && item.part == MR__WEIGHTS_CELL) {
      continue; /* the values beside are looked at with it */
    } else if ((is_strict(column) && column->sequence < 0) || column->weighted) {
      note_bad_ids(parser, row, item);
    } else if (!is_strict(column) && !mr__column_is_number(column) && column->type != MR_LABEL &&
               column->type != MR_WEIGHT && column->type != MR_VECTOR) {
      continue;
    } else if (column->sequence >= 0) {
      const struct mr__picks *picks;
      mr__behaviours_start(behaviours);
      MR_TRY(find_picks(parser, row, column->sequence, &picks));
      MR_TRY(add_cell(parser, behaviours, row, item, picks));
    } else if (column->type == MR_VECTOR && column->n_sources == 0) {
      MR_TRY(parse_vector(parser, row, item));
    } else {
      float value = 0;
      enum mr__number kind = parse_float(parser, column, text, &value);
      if (kind > MR__NUMBER_MISSING) note_bad_value(parser, row, item, kind);
    }
  }
  for (size_t s = 0; s < schema->n_sequences; s++) check_lengths(parser, row, (int)s);
  return MR_OK;
}

/* Remember the problem as that of a row of the step that is left out. */
static int leave_out(struct mr__row_parser *parser, size_t row) {
  struct mr__rows *rows = &parser->rows;
  MR_TRY(mr__grow(&rows->bad, &rows->bad_capacity, rows->n_bad + 1, sizeof *rows->bad));
  int64_t number = rows->n_lines + (int64_t)row - rows->n_empty;
  rows->bad[rows->n_bad++] = (struct mr__bad_row){number, rows->problem};
  rows->problem = (struct mr__problem){.status = MR_OK};
  rows->uneven = 0;
  return MR_OK;
}

static int skips(const struct mr__row_parser *parser) { return parser->format.bad_rows > 0; }

/* Leave wrong rows out: those behind them take their places in the step's index. */
static int filter_rows(struct mr__row_parser *parser) {
  const struct mr__scan *scan = &parser->scan;
  uint32_t n_cells = (uint32_t)parser->heading->n_cells;
  size_t kept = 0;
  parser->n_rows = scan->n_rows;
  MR_TRY(reserve_rows(parser));
  for (size_t row = 0; row < scan->n_rows; row++) {
    if (is_empty_line(parser, row)) {
      parser->rows.n_empty++;
      continue;
    }
    if (count_cells(scan, row) != n_cells) {
      note_cell_count(parser, row);
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

static void note_trouble(struct mr__row_parser *parser, const struct mr__row_trouble *trouble) {
  struct mr__problem *problem = &parser->rows.problem;
  if (!is_first_problem(parser, (size_t)(trouble->at - parser->scan.text), 0)) return;
  problem->reason = parser->heading->sparse ? MR_BAD_PAIR : MR_BAD_CELLS;
  snprintf(problem->text, sizeof problem->text, "%s", trouble->text);
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

/* Find the cells of rows, up to the first that is wrong or without those that are. */
static int take_placed(struct mr__row_parser *parser) {
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
      note_trouble(parser, &trouble);
    else if (skips(parser))
      MR_TRY(check_row(parser, kept));
    if (parser->rows.problem.status == MR_OK)
      kept++;
    else if (skips(parser))
      MR_TRY(leave_out(parser, row));
    else
      break;
  }
  parser->n_rows = kept;
  return MR_OK;
}

static void list_all_rows(struct list *list, size_t n) {
  for (size_t row = 0; row < n; row++) list->rows[row] = (uint32_t)row;
  list->n = n;
}

/* Whether there is a gap between this row and the one asked for last, or the start of the block.
 * Wrong rows may have stood beside it. */
static int is_after_gap(struct mr__row_parser *parser, size_t row) {
  const struct mr__block_text *block = parser->block;
  size_t before = parser->next_gap;
  while (parser->next_gap < block->n_gaps &&
         block->gaps[parser->next_gap].at <= parser->scan.starts[row])
    parser->next_gap++;
  return parser->next_gap > before;
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
    int after_gap = is_after_gap(parser, row);
    if (requests == 0 || key != rows->last_key || after_gap) {
      if (requests == 0) rows->first_key = key, rows->after_gap = after_gap;
      rows->first_sample[requests++] = samples + (int64_t)row;
      rows->last_at = parser->scan.starts[row];
      list->rows[list->n++] = (uint32_t)row;
    }
    rows->last_key = key;
    parser->request_of[row] = requests - 1;
  }
}

static void list_rows(struct mr__row_parser *parser) {
  int request_key = parser->layout->schema->request_key;
  list_all_rows(&parser->lists[MR_SAMPLE], parser->n_rows);
  if (request_key < 0)
    list_all_rows(&parser->lists[MR_REQUEST], parser->n_rows);
  else
    list_requests(parser, mr__heading_position(parser->heading, request_key));
}

/* ---- codes ---- */

/* The value of a bag that has this key, if any. */
static int find_value(const struct mr__column *column, int layout, struct mr__text cell,
                      uint64_t key, struct mr__text *found) {
  struct bag_text bag = {.values = cell, .weights = {"", 0}};
  struct mr__text weight;
  while (next_piece(&bag, layout, column, found, &weight))
    if (mr__key(found->at, found->size, column->seed) == key) return 1;
  return 0;
}

/* The same of a behaviour, among those of a cell. */
static int find_behaviour(const struct mr__column *column, int separator, struct mr__text cell,
                          uint64_t key, struct mr__text *found) {
  for (const char *at = cell.at, *end = cell.at + cell.size; at <= end;) {
    const char *stop = memchr(at, separator, (size_t)(end - at));
    if (!stop) stop = end;
    *found = (struct mr__text){at, (size_t)(stop - at)};
    if (column->type == MR_ID && mr__key(found->at, found->size, column->seed) == key) return 1;
    if (column->type == MR_IDS && find_value(column, MR_CELLS, *found, key, found)) return 1;
    at = stop + 1;
  }
  return 0;
}

static struct mr__text cell_of(const struct mr__row_parser *parser, size_t row, int column) {
  return read_cell(parser, row, mr__heading_position(parser->heading, column));
}

/* The text in a row's cell that has this key: those that are new are few enough to be looked for
 * again. All unlisted values have one key, which has none. */
static struct mr__text text_of(struct mr__row_parser *parser, int index, size_t row, uint64_t key) {
  const struct mr__column *column = &parser->layout->schema->columns[index];
  struct mr__text cell = cell_of(parser, row, index), found = cell;
  int there;
  if (column->sequence >= 0)
    there = find_behaviour(column, sequence_of(parser, column)->separator, cell, key, &found);
  else if (column->type == MR_IDS)
    there = find_value(column, parser->format.layout, cell, key, &found);
  else
    there = mr__key(cell.at, cell.size, column->seed) == key;
  return there ? found : (struct mr__text){"", 0};
}

/* Append the keys of one cell; *count of them. *bad: whether the weights are wrong. */
static int split_bag(struct bags *bags, const struct mr__column *column, int layout,
                     struct bag_text bag, uint32_t *count, int *bad) {
  struct mr__text piece, weight;
  uint32_t n = 0, max = column->max > 0 ? (uint32_t)column->max : UINT32_MAX;
  *bad = lengths_differ(column, bag);
  while (n < max && next_value(&bag, layout, column, &piece, &weight)) {
    if (bags->n == bags->keys_capacity)
      MR_TRY(mr__grow(&bags->keys, &bags->keys_capacity, bags->n + 1, sizeof *bags->keys));
    if (column->weighted) {
      MR_TRY(mr__grow(&bags->weights, &bags->weights_capacity, bags->n + 1, sizeof *bags->weights));
      *bad |= !mr__value_weight(weight, &bags->weights[bags->n]);
    }
    bags->keys[bags->n++] = mr__listed_key(column, mr__key(piece.at, piece.size, column->seed));
    n++;
  }
  *count = n;
  return MR_OK;
}

/* The keys of a part of a cross in a row, into the parser's own. */
static int split_part(struct mr__row_parser *parser, size_t row, int part, struct bags *bags) {
  const struct mr__column *column = &parser->layout->schema->columns[part];
  int position = mr__heading_position(parser->heading, part), bad; /* it is told with the part */
  uint32_t n;
  bags->n = 0;
  if (column->type == MR_IDS)
    return split_bag(bags, column, parser->format.layout, read_bag(parser, row, part, position), &n,
                     &bad);
  struct mr__text text = read_cell(parser, row, position);
  MR_TRY(mr__grow(&bags->keys, &bags->keys_capacity, 1, sizeof *bags->keys));
  bags->keys[bags->n++] = mr__listed_key(column, mr__key(text.at, text.size, column->seed));
  return MR_OK;
}

/* Begin with the combinations of a row, that have no part in `taken`, where others stand already.
 */
static int split_parts(struct mr__row_parser *parser, size_t row, int c, const unsigned char *taken,
                       struct mr__crossing *crossing) {
  const struct mr__column *columns = parser->layout->schema->columns, *cross = &columns[c];
  memset(crossing->at, 0, sizeof crossing->at);
  crossing->begun = 0;
  for (int k = 0; k < cross->n_parts; k++) {
    struct bags *bags = &parser->part_bags[k];
    if (taken[k]) continue;
    MR_TRY(split_part(parser, row, cross->parts[k], bags));
    crossing->keys[k] = bags->keys;
    crossing->weights[k] = columns[cross->parts[k]].weighted ? bags->weights : NULL;
    crossing->n[k] = bags->n;
  }
  return MR_OK;
}

static const unsigned char none_taken[MR__MOST_PARTS];

/* The combination of a row that has this key. */
static int find_combination(struct mr__row_parser *parser, int c, size_t row, uint64_t key,
                            struct mr__crossing *crossing) {
  const struct mr__column *cross = &parser->layout->schema->columns[c];
  uint64_t other;
  float weight;
  MR_TRY(split_parts(parser, row, c, none_taken, crossing));
  while (mr__crossing_next(cross, crossing, &other, &weight) && other != key) continue;
  return MR_OK;
}

/* The text of the n-th value of a part. */
static struct mr__text text_of_part(struct mr__row_parser *parser, size_t row, int part, size_t n) {
  const struct mr__column *column = &parser->layout->schema->columns[part];
  struct bag_text rest = read_bag(parser, row, part, mr__heading_position(parser->heading, part));
  struct mr__text piece = rest.values, weight;
  for (size_t i = 0; column->type == MR_IDS && i <= n; i++)
    if (!next_value(&rest, parser->format.layout, column, &piece, &weight)) break;
  return piece;
}

/* Keep the text of a key that is new: of a cross those of its parts, which say something all, or
 * its key is unknown. */
static int keep_text(struct mr__row_parser *parser, struct mr__texts *texts, int index, size_t row,
                     uint64_t key) {
  const struct mr__column *column = &parser->layout->schema->columns[index];
  struct mr__texts *joined = &parser->joined;
  struct mr__text text;
  if (column->n_parts == 0) {
    text = text_of(parser, index, row, key);
    return mr__texts_add(texts, text.at, text.size);
  }
  joined->n = 0;
  struct mr__crossing crossing;
  MR_TRY(find_combination(parser, index, row, key, &crossing));
  for (int i = 0; i < column->n_parts && key != MR__UNKNOWN_KEY; i++) {
    text = text_of_part(parser, row, column->parts[i], crossing.at[i]);
    if (i > 0) MR_TRY(mr__texts_add(joined, MR__CROSS_SIGN, strlen(MR__CROSS_SIGN)));
    MR_TRY(mr__texts_add(joined, text.at, text.size));
  }
  return mr__texts_add(texts, joined->bytes, joined->n > 0 ? joined->ends[joined->n - 1] : 0);
}

/* List a key that gets its code later, at this place; until then its number stands there. */
static int note_new_key(struct mr__row_parser *parser, int column, uint32_t row, uint64_t key,
                        size_t at, uint32_t *number) {
  struct mr__new_keys *new_keys =
      &parser->rows.new_keys[parser->layout->schema->columns[column].table];
  size_t i = new_keys->n;
  if (i == new_keys->capacity)
    MR_TRY(mr__grow(&new_keys->list, &new_keys->capacity, i + 1, sizeof *new_keys->list));
  if (i >= MR__NEW_CODE) return mr__fail_memory();
  new_keys->list[new_keys->n++] = (struct mr__new_key){
      .key = key, .at = at, .row = parser->first_row + row, .column = column, .seen = 1};
  if (mr__dictionary_has_texts(parser->dictionary, parser->layout->schema->columns[column].table)) {
    new_keys->list[i].code = (uint32_t)i;
    MR_TRY(keep_text(parser, &new_keys->texts, column, row, key));
  }
  *number = MR__NEW_CODE + (uint32_t)i;
  return MR_OK;
}

/* Write a code to its place, or the number of a key that gets its code later. */
static int put_code(struct mr__row_parser *parser, int column, uint32_t row, uint64_t key,
                    uint32_t code, size_t at) {
  const struct mr__column *spec = &parser->layout->schema->columns[column];
  if (code >= MR__NEW_CODE) MR_TRY(note_new_key(parser, column, row, key, at, &code));
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
    const struct mr__texts *texts =
        mr__dictionary_has_texts(dictionary, (int)t) ? &keys->texts : NULL;
    MR_TRY(mr__dictionary_add(dictionary, (int)t, keys->list, keys->n, texts));
    for (size_t i = 0; i < keys->n; i++) {
      const struct mr__new_key *key = &keys->list[i];
      int domain = layout->schema->columns[key->column].domain;
      memcpy(rows->sides[domain].records + key->at, &key->code, 4);
    }
  }
  return MR_OK;
}

int mr__rows_settle_scenarios(struct mr__rows *rows, const struct mr__layout *layout,
                              struct mr__scenarios *all) {
  if (layout->schema->scenario < 0) return MR_OK;
  int32_t map[MR__MOST_SCENARIOS];
  for (size_t i = 0; i < rows->scenarios->n; i++) {
    const struct mr__scenario *own = &rows->scenarios->list[i];
    struct mr__text name = {own->name, strlen(own->name)};
    MR_TRY(mr__scenarios_find(all, own->key, name, &map[i]));
    if (map[i] == MR__MOST_SCENARIOS)
      return mr__fail(MR_EDATA, "scenario column \"%s\" has more than %d values",
                      layout->schema->columns[layout->schema->scenario].source, MR__MOST_SCENARIOS);
  }
  struct mr__view *view = &rows->views[layout->view_of[layout->schema->scenario]];
  int32_t *numbers = (int32_t *)(void *)view->data;
  for (int64_t i = 0; i < rows->sides[MR_SAMPLE].n; i++) numbers[i] = map[numbers[i]];
  return MR_OK;
}

/* ---- bags ---- */

/* Whether one of the last `count` keys is that of values that are not listed. */
static int lists_unlisted(const struct bags *bags, uint32_t count) {
  for (size_t i = bags->n - count; i < bags->n; i++)
    if (bags->keys[i] == MR__UNLISTED_KEY) return 1;
  return 0;
}

static int split_bags(struct mr__row_parser *parser, struct mr__item item) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  const struct list *list = &parser->lists[column->domain];
  struct bags *bags = &parser->bags[item.column];
  bags->n = 0;
  MR_TRY(mr__grow(&bags->counts, &bags->counts_capacity, list->n, sizeof *bags->counts));
  for (size_t i = 0; i < list->n; i++) {
    struct bag_text bag = read_bag(parser, list->rows[i], item.column, item.position);
    int bad;
    MR_TRY(split_bag(bags, column, parser->format.layout, bag, &bags->counts[i], &bad));
    if (bad || (is_strict(column) && lists_unlisted(bags, bags->counts[i])))
      note_bad_ids(parser, list->rows[i], item);
  }
  MR_TRY(mr__grow(&bags->codes, &bags->codes_capacity, bags->n, sizeof *bags->codes));
  mr__dictionary_find(parser->recent, column->table, bags->keys, bags->n, bags->codes);
  return MR_OK;
}

/* The bags of a cross, of those of its parts, which are split already where their rows are the
 * same. */
static int cross_bags(struct mr__row_parser *parser, int c) {
  const mr_schema *schema = parser->layout->schema;
  const struct mr__column *cross = &schema->columns[c];
  const struct list *list = &parser->lists[cross->domain];
  struct bags *to = &parser->bags[c];
  unsigned char taken[MR__MOST_PARTS] = {0};
  size_t next[MR__MOST_PARTS] = {0};
  to->n = 0;
  MR_TRY(mr__grow(&to->counts, &to->counts_capacity, list->n, sizeof *to->counts));
  for (int k = 0; k < cross->n_parts; k++) {
    const struct mr__column *part = &schema->columns[cross->parts[k]];
    taken[k] = part->type == MR_IDS && (part->domain == cross->domain || schema->request_key < 0);
  }
  for (size_t i = 0; i < list->n; i++) {
    struct mr__crossing crossing;
    size_t before = to->n, most = (size_t)cross->max;
    for (int k = 0; k < cross->n_parts; k++) {
      const struct bags *from = &parser->bags[cross->parts[k]];
      if (!taken[k]) continue;
      crossing.n[k] = from->counts[i];
      if (from->counts[i] == 0) continue;
      crossing.keys[k] = from->keys + next[k];
      crossing.weights[k] =
          schema->columns[cross->parts[k]].weighted ? from->weights + next[k] : NULL;
      next[k] += from->counts[i];
    }
    MR_TRY(split_parts(parser, list->rows[i], c, taken, &crossing));
    uint64_t key;
    float weight;
    while (to->n - before < most && mr__crossing_next(cross, &crossing, &key, &weight)) {
      MR_TRY(mr__grow(&to->keys, &to->keys_capacity, to->n + 1, sizeof *to->keys));
      if (cross->weighted) {
        MR_TRY(mr__grow(&to->weights, &to->weights_capacity, to->n + 1, sizeof *to->weights));
        to->weights[to->n] = weight;
      }
      to->keys[to->n++] = key;
    }
    to->counts[i] = (uint32_t)(to->n - before);
  }
  MR_TRY(mr__grow(&to->codes, &to->codes_capacity, to->n, sizeof *to->codes));
  mr__dictionary_find(parser->recent, cross->table, to->keys, to->n, to->codes);
  return MR_OK;
}

static int split_all_bags(struct mr__row_parser *parser) {
  const mr_schema *schema = parser->layout->schema;
  const struct mr__heading *heading = parser->heading;
  for (int i = 0; i < heading->n_items; i++) {
    const struct mr__column *column = &parser->layout->schema->columns[heading->items[i].column];
    if (column->type == MR_IDS && column->sequence < 0 && heading->items[i].part == 0)
      MR_TRY(split_bags(parser, heading->items[i]));
  }
  for (size_t c = 0; c < schema->n_columns; c++)
    if (schema->columns[c].n_parts > 0 && schema->columns[c].type == MR_IDS)
      MR_TRY(cross_bags(parser, (int)c));
  return MR_OK;
}

/* ---- sequences ---- */

static int take_apart(struct mr__row_parser *parser, struct mr__item item) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  const struct list *list = &parser->lists[column->domain];
  struct mr__behaviours *behaviours = &parser->behaviours[item.column];
  mr__behaviours_start(behaviours);
  for (size_t i = 0; i < list->n; i++)
    MR_TRY(add_cell(parser, behaviours, list->rows[i], item, NULL));
  return MR_OK;
}

/* All columns of a sequence that has a padding, row after row. */
static int take_picks_apart(struct mr__row_parser *parser, int s) {
  const struct mr__heading *heading = parser->heading;
  const struct mr__column *columns = parser->layout->schema->columns;
  const struct list *list = &parser->lists[parser->layout->schema->sequences[s].domain];
  const struct mr__picks *picks;
  for (int i = 0; i < heading->n_items; i++)
    if (columns[heading->items[i].column].sequence == s)
      mr__behaviours_start(&parser->behaviours[heading->items[i].column]);
  for (size_t r = 0; r < list->n; r++) {
    MR_TRY(find_picks(parser, list->rows[r], s, &picks));
    for (int i = 0; i < heading->n_items; i++) {
      struct mr__item item = heading->items[i];
      if (columns[item.column].sequence == s)
        MR_TRY(add_cell(parser, &parser->behaviours[item.column], list->rows[r], item, picks));
    }
  }
  return MR_OK;
}

/* The columns of a sequence have equally many behaviours in each row. A row where they have not is
 * a problem, and gets a record without any, so that it can be read as far as the step goes. */
static void compare_lengths(struct mr__row_parser *parser, int domain,
                            const struct mr__record_sequence *sequence) {
  const struct list *list = &parser->lists[domain];
  const struct mr__history *first = parser->behaviours[sequence->columns[0]].cells;
  int n_columns = sequence->n_words + sequence->n_bags;
  for (int c = 1; c < n_columns; c++) {
    const struct mr__history *cells = parser->behaviours[sequence->columns[c]].cells;
    for (size_t i = 0; i < list->n; i++) {
      if (cells[i].length == first[i].length) continue;
      check_lengths(parser, list->rows[i], sequence->sequence);
      for (int k = 0; k < n_columns; k++)
        parser->behaviours[sequence->columns[k]].cells[i].words = 0;
    }
  }
}

static int take_sequences_apart(struct mr__row_parser *parser) {
  const struct mr__heading *heading = parser->heading;
  const mr_schema *schema = parser->layout->schema;
  for (int i = 0; i < heading->n_items; i++) {
    int s = schema->columns[heading->items[i].column].sequence;
    if (s >= 0 && !schema->sequences[s].padding) MR_TRY(take_apart(parser, heading->items[i]));
  }
  for (size_t s = 0; s < schema->n_sequences; s++)
    if (schema->sequences[s].padding) MR_TRY(take_picks_apart(parser, (int)s));
  for (int domain = 0; domain < MR_DOMAINS; domain++)
    for (int q = 0; q < parser->layout->records[domain].n_sequences; q++)
      compare_lengths(parser, domain, &parser->layout->records[domain].sequences[q]);
  return MR_OK;
}

/* ---- records ---- */

/* Words of the sequences of the i-th record of a step. */
static size_t sequence_words(const struct mr__row_parser *parser, int domain, size_t i) {
  const struct mr__record *shape = &parser->layout->records[domain];
  size_t n = 0;
  for (int q = 0; q < shape->n_sequences; q++) {
    const struct mr__record_sequence *sequence = &shape->sequences[q];
    for (int c = 0; c < sequence->n_words + sequence->n_bags; c++)
      n += parser->behaviours[sequence->columns[c]].cells[i].words;
  }
  return n;
}

/* Decide where the records of a step lie; bags and sequences say how long each is. */
static int place_records(struct mr__row_parser *parser, int domain) {
  const struct mr__record *shape = &parser->layout->records[domain];
  struct mr__side *side = &parser->rows.sides[domain];
  struct list *list = &parser->lists[domain];
  size_t at = side->size;
  for (size_t i = 0; i < list->n; i++) {
    size_t words = sequence_words(parser, domain, i);
    for (int b = 0; b < shape->n_bags; b++)
      words += mr__bag_width(shape, b) * parser->bags[shape->bags[b]].counts[i];
    list->record_at[i] = at;
    at += shape->fixed + 4 * words;
  }
  side->size = at;
  MR_TRY(mr__grow(&side->records, &side->records_capacity, at, 1));
  if (!shape->varies) return MR_OK;
  MR_TRY(mr__grow(&side->offsets, &side->offsets_capacity, (size_t)side->n + list->n,
                  sizeof *side->offsets));
  for (size_t i = 0; i < list->n; i++)
    side->offsets[(size_t)side->n + i] = (int64_t)list->record_at[i];
  return MR_OK;
}

static char *put_words(char *at, const void *words, size_t n) {
  if (n > 0) memcpy(at, words, 4 * n);
  return at + 4 * n;
}

static int copy_bags(struct mr__row_parser *parser, int domain) {
  const struct mr__record *shape = &parser->layout->records[domain];
  const struct list *list = &parser->lists[domain];
  char *records = parser->rows.sides[domain].records;
  for (int b = 0; b < shape->n_bags; b++) parser->bags[shape->bags[b]].n = 0;
  for (size_t i = 0; shape->varies && i < list->n; i++) {
    size_t at = list->record_at[i] + shape->fixed;
    for (int b = 0; b < shape->n_bags; b++) {
      struct bags *bags = &parser->bags[shape->bags[b]];
      uint32_t count = bags->counts[i];
      memcpy(records + list->record_at[i] + shape->counts_at + 4 * (size_t)b, &count, 4);
      for (size_t end = bags->n + count; bags->n < end; bags->n++, at += 4)
        MR_TRY(put_code(parser, shape->bags[b], list->rows[i], bags->keys[bags->n],
                        bags->codes[bags->n], at));
      if (mr__bag_width(shape, b) == 1) continue;
      put_words(records + at, bags->weights + (bags->n - count), count);
      at += 4 * (size_t)count;
    }
    parser->tails[i] = at;
  }
  return MR_OK;
}

/* Keys of one row that have no codes yet; their places begin at `at`. */
static int put_new_codes(struct mr__row_parser *parser, int column, uint32_t row,
                         const uint64_t *keys, const uint32_t *codes, size_t n, size_t at) {
  for (size_t i = 0; i < n; i++)
    if (codes[i] >= MR__NEW_CODE)
      MR_TRY(put_code(parser, column, row, keys[i], codes[i], at + 4 * i));
  return MR_OK;
}

/* One column of a sequence to the tails of the records. */
static int copy_behaviours(struct mr__row_parser *parser, int column) {
  const struct mr__column *spec = &parser->layout->schema->columns[column];
  const struct list *list = &parser->lists[spec->domain];
  const struct mr__behaviours *from = &parser->behaviours[column];
  char *records = parser->rows.sides[spec->domain].records;
  size_t n_new = 0, n = 0, n_keys = 0, words = mr__column_words(spec);
  if (spec->table >= 0)
    n_new = mr__dictionary_find(parser->recent, spec->table, from->keys, from->n_keys, from->codes);
  for (size_t i = 0; i < list->n; i++) {
    const struct mr__history *cell = &from->cells[i];
    char *at = records + parser->tails[i];
    if (cell->words > 0 && from->floats)
      put_words(at, from->floats + n * words, cell->kept * words);
    if (cell->words > 0 && spec->type == MR_IDS) at = put_words(at, from->sizes + n, cell->kept);
    if (cell->words > 0 && cell->keys > 0) put_words(at, from->codes + n_keys, cell->keys);
    if (cell->words > 0 && n_new > 0)
      MR_TRY(put_new_codes(parser, column, list->rows[i], from->keys + n_keys, from->codes + n_keys,
                           cell->keys, (size_t)(at - records)));
    n += cell->kept;
    n_keys += cell->keys;
    parser->tails[i] += 4 * (size_t)cell->words;
  }
  return MR_OK;
}

static int copy_sequences(struct mr__row_parser *parser, int domain) {
  const struct mr__record *shape = &parser->layout->records[domain];
  const struct list *list = &parser->lists[domain];
  if (shape->n_sequences == 0) return MR_OK; /* nor, maybe, records */
  char *counts = parser->rows.sides[domain].records + shape->counts_at;
  for (int q = 0; q < shape->n_sequences; q++) {
    const struct mr__record_sequence *sequence = &shape->sequences[q];
    const struct mr__history *cells = parser->behaviours[sequence->columns[0]].cells;
    for (size_t i = 0; i < list->n; i++) {
      uint32_t count = cells[i].words > 0 ? cells[i].kept : 0;
      memcpy(counts + list->record_at[i] + 4 * (size_t)(shape->n_bags + q), &count, 4);
    }
    for (int c = 0; c < sequence->n_words + sequence->n_bags; c++)
      MR_TRY(copy_behaviours(parser, sequence->columns[c]));
  }
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
    const struct list *list = &parser->lists[domain];
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
static struct marks find_cells(struct mr__row_parser *parser, const struct list *list,
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
    struct mr__text raw = raw_cell(parser, list->rows[i], position);
    uint32_t start = (uint32_t)(raw.at - scan->text);
    uint32_t quoted = scan->has_quotes && raw.size > 0 && *raw.at == '"';
    marks[2 * i] = start + quoted - 1;
    marks[2 * i + 1] = start + (uint32_t)raw.size - quoted;
  }
  return (struct marks){marks, 2};
}

/* The keys of one column in the rows of a list. */
static void hash_cells(struct mr__row_parser *parser, struct mr__item item, const struct list *list,
                       uint64_t *keys) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  struct marks marks = find_cells(parser, list, item.position);
  mr__family()->cell_keys(keys, parser->scan.text, marks.at, marks.stride, list->n, column->seed);
  for (size_t i = 0; parser->scan.has_quotes && i < list->n; i++) {
    struct mr__text text = read_cell(parser, list->rows[i], item.position);
    if (text.at == parser->unquoted) keys[i] = mr__key(text.at, text.size, column->seed);
  }
}

/* Values that are not listed have one key. */
static void list_keys(struct mr__row_parser *parser, struct mr__item item, uint64_t *keys) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  const struct list *list = &parser->lists[column->domain];
  for (size_t i = 0; column->n_values > 0 && i < list->n; i++) {
    keys[i] = mr__listed_key(column, keys[i]);
    if (keys[i] == MR__UNLISTED_KEY && is_strict(column)) note_bad_ids(parser, list->rows[i], item);
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
  const struct list *list = &parser->lists[columns[items[0].column].domain];
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
  const struct list *list = &parser->lists[column->domain];
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
  const struct list *list = &parser->lists[layout->schema->columns[items[0].column].domain];
  struct mr__query queries[MR__QUERIES];
  for (int k = 0; k < n; k++)
    queries[k] = (struct mr__query){.table = layout->schema->columns[items[k].column].table,
                                    .keys = parser->keys + (size_t)k * list->n,
                                    .codes = codes_of(parser, items[k].column)};
  mr__dictionary_find_all(parser->recent, queries, n, list->n);
  for (int k = 0; k < n; k++)
    for (size_t i = 0; queries[k].n_new > 0 && i < list->n; i++)
      if (queries[k].codes[i] >= MR__NEW_CODE)
        MR_TRY(note_new_key(parser, items[k].column, list->rows[i], queries[k].keys[i],
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
  const struct list *list = &parser->lists[cross->domain];
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
  const struct list *list = &parser->lists[cross->domain];
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
  const struct list *list = &parser->lists[column->domain];
  char *records = parser->rows.sides[column->domain].records;
  size_t at = parser->layout->at[item.column] + 4 * (size_t)item.part;
  int view = parser->layout->view_of[item.column];
  char *out = view < 0 ? NULL : parser->rows.views[view].data + 4 * parser->rows.sides[MR_SAMPLE].n;
  uint32_t *codes = column->type == MR_BUCKET ? codes_of(parser, item.column) : NULL;
  for (size_t i = 0; i < list->n; i++) {
    struct mr__text text = read_cell(parser, list->rows[i], item.position);
    float value = 0;
    enum mr__number kind = parse_float(parser, column, text, &value);
    if (kind > MR__NUMBER_MISSING) note_bad_value(parser, list->rows[i], item, kind);
    memcpy(codes ? (char *)&codes[i] : records + list->record_at[i] + at, &value, 4);
    if (out) memcpy(out + 4 * i, &value, 4);
  }
}

static int take_vectors(struct mr__row_parser *parser, struct mr__item item) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  const struct list *list = &parser->lists[column->domain];
  char *records = parser->rows.sides[column->domain].records + parser->layout->at[item.column];
  for (size_t i = 0; i < list->n; i++) {
    MR_TRY(parse_vector(parser, list->rows[i], item));
    memcpy(records + list->record_at[i], parser->vector, 4 * mr__column_words(column));
  }
  return MR_OK;
}

/* Labels that there are only where another is 1, which comes before them in the schema. */
static void mask_labels(struct mr__row_parser *parser) {
  const struct mr__layout *layout = parser->layout;
  const struct list *list = &parser->lists[MR_SAMPLE];
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
    if (!mr__cell_time(read_cell(parser, row, item.position), &out[row]))
      note_bad_value(parser, row, item, MR__NUMBER_BAD);
}

static int take_scenarios(struct mr__row_parser *parser, struct mr__item item) {
  int32_t *out = (int32_t *)(void *)view_of(parser, item, sizeof *out);
  uint64_t seed = parser->layout->schema->columns[item.column].seed;
  for (size_t row = 0; row < parser->n_rows; row++) {
    struct mr__text text = read_cell(parser, row, item.position);
    uint64_t key = mr__hash(text.at, text.size, seed);
    MR_TRY(mr__scenarios_find(&parser->scenarios, key, text, &out[row]));
    if (out[row] == MR__MOST_SCENARIOS) {
      out[row] = 0;
      note_bad_value(parser, row, item, MR__NUMBER_BAD);
    }
  }
  return MR_OK;
}

static int take_columns(struct mr__row_parser *parser) {
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

/* ---- rows that do not start their request ---- */

static int column_differs(const struct mr__layout *layout, int column, const char *a,
                          const char *b) {
  struct mr__stored of_a = mr__record_stored(layout, column, a);
  struct mr__stored of_b = mr__record_stored(layout, column, b);
  size_t at = layout->at[column]; /* of the value, or of a count */
  return memcmp(a + at, b + at, 4) != 0 || of_a.n_words != of_b.n_words ||
         memcmp(of_a.words, of_b.words, 4 * of_a.n_words) != 0;
}

int mr__request_differs(const struct mr__layout *layout, struct mr__item item, const char *a,
                        const char *b) {
  const mr_schema *schema = layout->schema;
  const struct mr__column *spec = &schema->columns[item.column];
  if (spec->type == MR_REQUEST_KEY) return 0;
  size_t at = layout->at[item.column] + 4 * (size_t)item.part;
  if (spec->n_sources > 0) return memcmp(a + at, b + at, 4) != 0;
  int differs = column_differs(layout, item.column, a, b);
  if (spec->sequence < 0 || !says_padding(schema, spec)) return differs;
  for (size_t c = 0; !differs && c < schema->n_columns; c++)
    differs = schema->columns[c].sequence == spec->sequence && column_differs(layout, (int)c, a, b);
  return differs;
}

/* Whether the codes that stand in a record are those of the keys. */
static int are_codes_of(const struct mr__row_parser *parser, int table, const char *codes,
                        const uint64_t *keys, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!is_code_of(parser, table, mr__record_word(codes, i), keys[i])) return 0;
  return 1;
}

static int same_words(const void *a, const char *b, size_t n) {
  return n == 0 || memcmp(a, b, 4 * n) == 0;
}

/* Whether the behaviours of a cell are not those of the record. */
static int behaviours_differ(struct mr__row_parser *parser, size_t row, struct mr__item item,
                             const char *record, int *differs) {
  const struct mr__layout *layout = parser->layout;
  const struct mr__column *column = &layout->schema->columns[item.column];
  struct mr__behaviours *now = &parser->other_behaviours;
  struct mr__stored before = mr__record_stored(layout, item.column, record);
  struct mr__bad_behaviour bad;
  const struct mr__picks *picks;
  *differs = 0;
  mr__behaviours_start(now);
  MR_TRY(find_picks(parser, row, column->sequence, &picks));
  struct mr__text cell = read_cell(parser, row, item.position);
  MR_TRY(mr__behaviours_add(now, column, sequence_of(parser, column), cell, picks, &bad));
  /* In this order, as in a row that starts a request: of two problems at one place the first stays.
   */
  if (bad.kind != MR__NUMBER_OK) note_bad_behaviour(parser, row, item, &bad);
  if (!check_lengths(parser, row, column->sequence) || bad.kind != MR__NUMBER_OK) return MR_OK;
  *differs = now->n != mr__record_word(record + layout->at[item.column], 0) ||
             now->cells[0].words != before.n_words;
  if (*differs) return MR_OK;
  if (column->table < 0)
    *differs = !same_words(now->floats, before.words, now->cells[0].words); /* bit by bit */
  else
    *differs = (column->type == MR_IDS && !same_words(now->sizes, before.words, now->n)) ||
               !are_codes_of(parser, column->table, before.codes, now->keys, now->n_keys);
  return MR_OK;
}

/* The same of all that the cell has a say in: where it says what is padding, other values of the
 * other columns may be left, although their cells are the same. */
static int sequence_differs(struct mr__row_parser *parser, size_t row, struct mr__item item,
                            const char *record, int *differs) {
  const struct mr__heading *heading = parser->heading;
  const mr_schema *schema = parser->layout->schema;
  const struct mr__column *column = &schema->columns[item.column];
  MR_TRY(behaviours_differ(parser, row, item, record, differs));
  if (!says_padding(schema, column)) return MR_OK;
  for (int i = 0; !*differs && i < heading->n_items; i++)
    if (schema->columns[heading->items[i].column].sequence == column->sequence)
      MR_TRY(behaviours_differ(parser, row, heading->items[i], record, differs));
  return MR_OK;
}

/* Whether a cell says something else than the record of its request. */
static int cell_differs(struct mr__row_parser *parser, size_t row, struct mr__item item,
                        const char *record, int *differs) {
  const struct mr__layout *layout = parser->layout;
  const struct mr__column *column = &layout->schema->columns[item.column];
  if (column->sequence >= 0) return sequence_differs(parser, row, item, record, differs);
  struct mr__text text = read_cell(parser, row, item.position);
  const char *stored = record + layout->at[item.column] + 4 * (size_t)item.part;
  if (mr__column_is_number(column) || column->n_sources > 0) {
    float value = 0;
    enum mr__number kind = parse_float(parser, column, text, &value);
    if (kind > MR__NUMBER_MISSING) note_bad_value(parser, row, item, kind);
    *differs = memcmp((const char *)&value, stored, 4) != 0; /* bit by bit */
  } else if (column->type == MR_VECTOR) {
    MR_TRY(parse_vector(parser, row, item));
    *differs = !same_words(parser->vector, stored, mr__column_words(column));
  } else if (column->type == MR_IDS) {
    struct bags *bags = &parser->other_bag;
    uint32_t n;
    int bad;
    bags->n = 0;
    struct mr__item values = item;
    values.part = 0;
    values.position = mr__heading_position(parser->heading, item.column);
    struct bag_text bag = read_bag(parser, row, item.column, values.position);
    MR_TRY(split_bag(bags, column, parser->format.layout, bag, &n, &bad));
    struct mr__stored before = mr__record_stored(layout, item.column, record);
    *differs = n != before.n_codes ||
               !are_codes_of(parser, column->table, before.codes, bags->keys, n) ||
               !same_words(bags->weights, before.codes + 4 * (size_t)n, before.n_words - n);
    if (bad) note_bad_ids(parser, row, values), *differs = 0;
  } else {
    uint64_t key = mr__listed_key(column, mr__key(text.at, text.size, column->seed));
    *differs = column->table < 0 ? memcmp(&key, stored, 8) != 0
                                 : !are_codes_of(parser, column->table, stored, &key, 1);
  }
  return MR_OK;
}

/* Such a row counts for the keys it repeats: as often as if nothing were shared. */
static void count_again(struct mr__row_parser *parser, int column, const char *record) {
  const struct mr__layout *layout = parser->layout;
  int table = layout->schema->columns[column].table;
  struct mr__stored part = mr__record_stored(layout, column, record);
  for (size_t i = 0; i < part.n_codes; i++) {
    uint32_t code = mr__record_word(part.codes, i);
    if (code >= MR__NEW_CODE) parser->rows.new_keys[table].list[code - MR__NEW_CODE].seen++;
  }
  mr__dictionary_count(parser->dictionary, table, (const uint32_t *)(const void *)part.codes,
                       part.n_codes);
}

static const char *request_record(const struct mr__row_parser *parser, int64_t request) {
  const struct mr__side *side = &parser->rows.sides[MR_REQUEST];
  return side->records + mr__side_at(side, &parser->layout->records[MR_REQUEST], request);
}

static void note_difference(struct mr__row_parser *parser, size_t row, struct mr__item item) {
  struct mr__problem *problem = &parser->rows.problem;
  if (!is_first_problem(parser, cell_place(parser, row, item.position), 0)) return;
  /* One after the other: reading the second may overwrite the text of the first. */
  int cell = mr__item_cell(parser->layout->schema, item);
  char now[MR__EXCERPT_BYTES], before[MR__EXCERPT_BYTES];
  mr__excerpt(now, read_cell(parser, row, item.position));
  mr__excerpt(before, read_raw(parser, parser->rows.last_request[cell]));
  mr__describe_difference(problem->text, sizeof problem->text,
                          mr__item_source(parser->layout->schema, item), now, before);
}

static int compare_column(struct mr__row_parser *parser, struct mr__item item, int counted) {
  const struct list *list = &parser->lists[MR_REQUEST];
  int cell = mr__item_cell(parser->layout->schema, item);
  struct mr__text above = parser->above[cell];
  size_t next = 0;
  for (size_t row = 0; row < parser->n_rows; row++) {
    struct mr__text raw = raw_cell(parser, row, item.position);
    if (next < list->n && list->rows[next] == row) {
      parser->rows.last_request[cell] = raw;
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
  parser->above[cell] = above;
  return MR_OK;
}

/* A cross is the same in all rows of a request as its parts are. */
static void count_cross_again(struct mr__row_parser *parser, int c) {
  const struct list *list = &parser->lists[MR_REQUEST];
  size_t next = 0;
  for (size_t row = 0; row < parser->n_rows; row++)
    if (next < list->n && list->rows[next] == row)
      next++;
    else
      count_again(parser, c, request_record(parser, parser->request_of[row]));
}

static int is_counted(const struct mr__row_parser *parser, const struct mr__column *column) {
  return column->table >= 0 && mr__dictionary_counts(parser->dictionary, column->table);
}

/* Check the request-side cells of rows that go on with a request. */
static int compare_columns(struct mr__row_parser *parser) {
  const mr_schema *schema = parser->layout->schema;
  const struct mr__heading *heading = parser->heading;
  if (schema->request_key < 0) return MR_OK;
  for (size_t c = 0; c < schema->n_columns; c++) {
    const struct mr__column *column = &schema->columns[c];
    if (column->n_parts > 0 && column->domain == MR_REQUEST && is_counted(parser, column))
      count_cross_again(parser, (int)c);
  }
  for (int i = 0; i < heading->n_items; i++) {
    struct mr__item item = heading->items[i];
    const struct mr__column *column = &schema->columns[item.column];
    if (column->domain != MR_REQUEST || column->type == MR_REQUEST_KEY) continue;
    MR_TRY(compare_column(parser, item, item.part == 0 && is_counted(parser, column)));
  }
  return MR_OK;
}

/* ---- blocks ---- */

static void keep_first_cells(struct mr__row_parser *parser) {
  const struct mr__heading *heading = parser->heading;
  for (int i = 0; i < heading->n_items; i++) {
    struct mr__item item = heading->items[i];
    parser->rows.first_cells[mr__item_cell(parser->layout->schema, item)] =
        raw_cell(parser, 0, item.position);
  }
}

static int run_step(struct mr__row_parser *parser) {
  if (parser->heading->is_placed)
    MR_TRY(take_placed(parser));
  else if (skips(parser))
    MR_TRY(filter_rows(parser));
  else
    check_cell_counts(parser);
  if (parser->n_rows == 0) return MR_OK; /* the first one is the problem, or all are left out */
  MR_TRY(reserve_rows(parser));
  find_stops(parser);
  if (parser->rows.sides[MR_SAMPLE].n == 0) keep_first_cells(parser);
  list_rows(parser);
  MR_TRY(split_all_bags(parser));
  MR_TRY(take_sequences_apart(parser));
  for (int domain = 0; domain < MR_DOMAINS; domain++) {
    MR_TRY(place_records(parser, domain));
    MR_TRY(copy_bags(parser, domain));
    MR_TRY(copy_sequences(parser, domain));
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
  for (int i = 0; i < heading->n_items; i++)
    if (heading->items[i].part == MR__WEIGHTS_CELL)
      parser->weight_positions[heading->items[i].column] = heading->items[i].position;
  parser->heading = heading;
  parser->block = block;
  parser->next_gap = 0;
  for (int domain = 0; domain < MR_DOMAINS; domain++)
    rows->sides[domain].n = 0, rows->sides[domain].size = 0;
  for (size_t t = 0; t < parser->layout->schema->n_tables; t++)
    rows->new_keys[t].n = rows->new_keys[t].texts.n = 0;
  rows->n_lines = rows->n_empty = 0;
  rows->n_bad = rows->n_inner_newlines = 0;
  rows->uneven = 0;
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
  for (size_t i = 0; i < block->n_gaps; i++) parser->rows.n_lines += block->gaps[i].lines;
  parser->rows.before_gap = parser->next_gap < block->n_gaps;
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
  if (block->problem.status != MR_OK &&
      (problem->status == MR_OK ||
       (problem->status == MR_EDATA && block->problem.at < problem->at)))
    *problem = block->problem;
  return &parser->rows;
}
