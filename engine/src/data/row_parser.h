/* What the files of the row parser share: its state, the cells of a row, and what each file does in
 * a step (data/rows.c):
 *
 *   row_lines      lines become rows, and their cells are found
 *   row_bags       ids with several values, and crosses of them
 *   row_sequences  behaviours
 *   row_columns    all other columns
 *   row_codes      keys and scenarios that are new
 *   row_requests   rows that go on with a request
 *   row_problems   what is wrong, first in the order of the text */
#ifndef MR_DATA_ROW_PARSER_H
#define MR_DATA_ROW_PARSER_H

#include <string.h>

#include "base/alloc.h"
#include "data/behaviours.h"
#include "data/crossing.h"
#include "data/json_lines.h"
#include "data/rows.h"
#include "data/sparse.h"

/* The bags of one column in a step. */
struct mr__bags {
  uint64_t *keys;   /* of all rows, one after another */
  uint32_t *codes;  /* of the keys */
  float *weights;   /* the same, where the column has them */
  uint32_t *counts; /* [rows of the list] */
  size_t n, keys_capacity, codes_capacity, weights_capacity, counts_capacity;
};

/* The rows of a step that make a record in one domain. */
struct mr__row_list {
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
  struct mr__row_list lists[MR_DOMAINS];
  struct mr__bags *bags;             /* [columns] */
  struct mr__behaviours *behaviours; /* [columns] of those of sequences */
  size_t *tails;                     /* [n_rows] where what comes next in a record goes */
  uint32_t *marks;                   /* [2 * n_rows] of one column's cells */
  int *weight_positions;             /* [columns] of the block's cells of weights */
  uint64_t *keys;                    /* [MR__QUERIES, n_rows] of columns */
  int *part_places; /* [columns] of the parts of crosses with one value: which, or -1 */
  size_t n_parts;
  uint64_t *part_keys;         /* [n_parts, n_rows] of the rows of each one's list */
  uint64_t *part_last_keys;    /* [n_parts] of the last request before the step */
  uint32_t *codes[MR_DOMAINS]; /* [codes of a record, n_rows] of the records of a step */
  struct mr__text *above;      /* [cells] raw cell of the last row before the step, request side */
  char *unquoted;              /* the last cell that had doubled quotes */
  struct mr__texts joined;     /* the last value of a cross that was new */
  struct mr__bags part_bags[MR__MOST_PARTS]; /* of one row, of parts of a cross */
  struct mr__bags other_bag;                 /* of a row that does not start its request */
  struct mr__behaviours other_behaviours;    /* the same */
  struct mr__picks picks;                    /* of the last row */
  float *vector;                             /* the same, and of a row that may be left out */
  char *lists_before; /* the text from byte lists_at on, before lists of JSON were made cells */
  size_t lists_at, lists_size, lists_capacity;
  size_t codes_capacity[MR_DOMAINS];
  size_t stops_capacity, request_of_capacity, keys_capacity, unquoted_capacity;
  size_t marks_capacity, tails_capacity, places_capacity, vector_capacity, part_keys_capacity;
};

/* ---- cells ---- */

/* The bytes between two ends of cells. */
static inline struct mr__text mr__raw_cell(const struct mr__row_parser *parser, size_t row,
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
static inline struct mr__text mr__read_raw(const struct mr__row_parser *parser,
                                           struct mr__text raw) {
  return parser->scan.has_quotes ? mr__unquoted(parser->unquoted, raw) : raw;
}

static inline struct mr__text mr__read_cell(const struct mr__row_parser *parser, size_t row,
                                            int position) {
  return mr__read_raw(parser, mr__raw_cell(parser, row, position));
}

/* Whether an empty cell has one behaviour, of which nothing is known. */
static inline int mr__is_one_unknown(const struct mr__row_parser *parser, size_t row,
                                     int position) {
  return parser->heading->json != NULL &&
         mr__json_is_one(parser->scan.text, mr__raw_cell(parser, row, position));
}

/* The values of a column of ids in a row, and the cell of their weights where they have one. */
struct mr__bag_text {
  struct mr__text values, weights;
};

static inline struct mr__bag_text mr__read_bag(const struct mr__row_parser *parser, size_t row,
                                               int c, int position) {
  struct mr__bag_text bag = {.values = mr__read_cell(parser, row, position)};
  if (!parser->layout->schema->columns[c].weights) return bag;
  bag.weights = mr__raw_cell(parser, row, parser->weight_positions[c]);
  /* Two cells of a row have room beside each other. */
  size_t used = bag.values.at == parser->unquoted ? bag.values.size : 0;
  if (parser->scan.has_quotes) bag.weights = mr__unquoted(parser->unquoted + used, bag.weights);
  return bag;
}

/* Whether there are not as many weights as values. */
static inline int mr__bag_lengths_differ(const struct mr__column *column, struct mr__bag_text bag) {
  return column->weights && mr__count_behaviours(bag.values, column->separator) !=
                                mr__count_behaviours(bag.weights, column->separator);
}

/* Whether a column's values that are not listed are wrong. */
static inline int mr__column_is_strict(const struct mr__column *column) {
  return column->n_values > 0 && column->unseen == MR_UNSEEN_ERROR;
}

static inline uint32_t mr__count_cells(const struct mr__scan *scan, size_t row) {
  return scan->first[row + 1] - scan->first[row];
}

static inline const struct mr__sequence *mr__column_sequence(const struct mr__row_parser *parser,
                                                             const struct mr__column *column) {
  return &parser->layout->schema->sequences[column->sequence];
}

/* Whether a column of a sequence has a say in what is padding. */
static inline int mr__says_padding(const mr_schema *schema, const struct mr__column *column) {
  return schema->sequences[column->sequence].padding && column->table >= 0;
}

static inline int mr__skips_bad_rows(const struct mr__row_parser *parser) {
  return parser->format.bad_rows > 0;
}

/* List a key that gets its code later, at this place; until then its number stands there. */
int mr__note_new_key(struct mr__row_parser *parser, int column, uint32_t row, uint64_t key,
                     size_t at, uint32_t *number);

/* Write a code to its place, or the number of a key that gets its code later. */
static inline int mr__put_code(struct mr__row_parser *parser, int column, uint32_t row,
                               uint64_t key, uint32_t code, size_t at) {
  const struct mr__column *spec = &parser->layout->schema->columns[column];
  if (code >= MR__NEW_CODE) MR_TRY(mr__note_new_key(parser, column, row, key, at, &code));
  memcpy(parser->rows.sides[spec->domain].records + at, &code, 4);
  return MR_OK;
}

static inline char *mr__append_words(char *at, const void *words, size_t n) {
  if (n > 0) memcpy(at, words, 4 * n);
  return at + 4 * n;
}

/* ---- rows.c ---- */

/* Room for all that is kept of the step's n_rows. */
int mr__reserve_rows(struct mr__row_parser *parser);

/* ---- row_lines.c ---- */

/* Keep the rows up to the first with a wrong number of cells. */
void mr__check_cell_counts(struct mr__row_parser *parser);

/* Fill in `stops`; only of rows that are not placed. */
void mr__find_stops(struct mr__row_parser *parser);

/* Leave wrong rows out: those behind them take their places in the step's index. */
int mr__filter_rows(struct mr__row_parser *parser);

/* Find the cells of placed rows, up to the first that is wrong or without those that are. */
int mr__take_placed(struct mr__row_parser *parser);

/* ---- row_bags.c ---- */

/* The next value of a bag and its weight, where the column has them; 0 at its end. */
int mr__bag_next_piece(struct mr__bag_text *rest, int layout, const struct mr__column *column,
                       struct mr__text *piece, struct mr__text *weight);

/* The same of what is no padding. */
int mr__bag_next_value(struct mr__bag_text *rest, int layout, const struct mr__column *column,
                       struct mr__text *piece, struct mr__text *weight);

/* Append the keys of one cell; *count of them. *bad: whether the weights are wrong, or one is of no
 * value that the column lists where it must. */
int mr__split_bag(struct mr__bags *bags, const struct mr__column *column, int layout,
                  struct mr__bag_text bag, uint32_t *count, int *bad);

/* The combination of a row that has this key. `crossing` is all zeros before. */
int mr__find_combination(struct mr__row_parser *parser, int c, size_t row, uint64_t key,
                         struct mr__crossing *crossing);

/* The bags of all columns, before records are placed, and into those that are. */
int mr__split_all_bags(struct mr__row_parser *parser);
int mr__copy_bags(struct mr__row_parser *parser, int domain);

/* ---- row_sequences.c ---- */

/* How many behaviours a row has in a column, whose cell was read. */
uint32_t mr__cell_length(const struct mr__row_parser *parser, size_t row, struct mr__item item,
                         struct mr__text cell);

/* The behaviours of a row that are no padding; *out: NULL for all of them, also where columns are
 * not as long as one another, which is wrong. */
int mr__find_picks(struct mr__row_parser *parser, size_t row, int s, const struct mr__picks **out);

/* Add a row's cell to the behaviours of a column. A bad behaviour is noted; *is_bad (may be NULL):
 * whether there is one. */
int mr__add_cell(struct mr__row_parser *parser, struct mr__behaviours *to, size_t row,
                 struct mr__item item, const struct mr__picks *picks, int *is_bad);

/* The behaviours of all columns, before records are placed, and into those that are. */
int mr__take_sequences_apart(struct mr__row_parser *parser);
int mr__copy_sequences(struct mr__row_parser *parser, int domain);

/* ---- row_columns.c ---- */

/* A label, a weight or a number. */
enum mr__number mr__parse_float(const struct mr__row_parser *parser,
                                const struct mr__column *column, struct mr__text text,
                                float *value);

/* The vector of a cell into the parser's own, and note what is wrong with it. *bad: whether
 * something is. */
int mr__parse_vector(struct mr__row_parser *parser, size_t row, struct mr__item item, int *bad);

int mr__take_columns(struct mr__row_parser *parser);

/* ---- row_codes.c ---- */

/* By their places in the text: where several columns have one table, its keys came column after
 * column of each step. */
void mr__sort_new_keys(struct mr__row_parser *parser);

/* ---- row_requests.c ---- */

/* Check the request-side cells of rows that go on with a request. */
int mr__compare_columns(struct mr__row_parser *parser);

/* ---- row_problems.c ---- */

/* Each notes a problem, unless one stands before it in the text. Of the block's first row they keep
 * besides which cells something is wrong with. */

void mr__note_bad_value(struct mr__row_parser *parser, size_t row, struct mr__item item,
                        enum mr__number kind);

/* A scenario that is one more than there may be. */
void mr__note_scenario(struct mr__rows *rows, const mr_schema *schema, size_t at,
                       struct mr__item item, struct mr__text text);

/* The first value of a cell that has a wrong weight or that a strict column does not list, if
 * any. */
void mr__note_bad_ids(struct mr__row_parser *parser, size_t row, struct mr__item item);

void mr__note_bad_vector(struct mr__row_parser *parser, size_t row, struct mr__item item,
                         const struct mr__bad_vector *bad);
void mr__note_bad_behaviour(struct mr__row_parser *parser, size_t row, struct mr__item item,
                            const struct mr__bad_behaviour *bad);

/* Whether all columns of a sequence have equally many behaviours in a row; notes the first, in the
 * order of the text, that has not as many as those before it. */
int mr__check_lengths(struct mr__row_parser *parser, size_t row, int s);

void mr__note_cell_count(struct mr__row_parser *parser, size_t row);

/* The scanner gave up, or text is left that has no end: name the cell whose quotes are wrong. */
void mr__note_quotes(struct mr__row_parser *parser);

void mr__note_trouble(struct mr__row_parser *parser, const struct mr__row_trouble *trouble);
void mr__note_difference(struct mr__row_parser *parser, size_t row, struct mr__item item);
void mr__note_long_row(struct mr__row_parser *parser, size_t row_bytes);

#endif
