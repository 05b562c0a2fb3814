/* Rows are taken in steps of some 96 KB of text, and a step is worked through column by column:
 * each loop does one thing to one cell of every row, with text, index and records in cache. Here a
 * step's rows are listed, its records placed, and the parts of the parser (data/row_parser.h)
 * called in their order.
 *
 * Within a step the rows that make a record in a domain are listed: all of them for samples, and
 * for requests those that start one. Other rows of a request are only compared with its record,
 * and that costs a comparison of bytes when the cell repeats the one above. */
#include "data/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "data/row_parser.h"

static int list_parts(struct mr__row_parser *parser) {
  const mr_schema *schema = parser->layout->schema;
  parser->part_places = mr__calloc(schema->n_columns, sizeof *parser->part_places);
  parser->part_last_keys = mr__calloc(schema->n_columns, sizeof *parser->part_last_keys);
  if (!parser->part_places || !parser->part_last_keys) return mr__fail_memory();
  for (size_t c = 0; c < schema->n_columns; c++) parser->part_places[c] = -1;
  for (size_t c = 0; c < schema->n_columns; c++)
    for (int k = 0; k < schema->columns[c].n_parts; k++) {
      int part = schema->columns[c].parts[k], *place = &parser->part_places[part];
      if (schema->columns[part].type != MR_IDS && *place < 0) *place = (int)parser->n_parts++;
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
  parser->rows.first_wrong = mr__calloc(n_cells, sizeof *parser->rows.first_wrong);
  parser->rows.views = mr__calloc((size_t)layout->n_views, sizeof *parser->rows.views);
  parser->rows.new_keys = mr__calloc(layout->schema->n_tables, sizeof *parser->rows.new_keys);
  int status = MR_OK;
  if (!parser->bags || !parser->behaviours || !parser->above || !parser->rows.last_request ||
      !parser->rows.first_cells || !parser->rows.first_wrong || !parser->rows.views ||
      !parser->rows.new_keys || !parser->weight_positions)
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

static void free_bags(struct mr__bags *bags) {
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
  mr__free(rows->first_wrong);
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

int mr__reserve_rows(struct mr__row_parser *parser) {
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
    struct mr__row_list *list = &parser->lists[domain];
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

static void list_all_rows(struct mr__row_list *list, size_t n) {
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
  struct mr__row_list *list = &parser->lists[MR_REQUEST];
  int64_t samples = rows->sides[MR_SAMPLE].n, requests = rows->sides[MR_REQUEST].n;
  list->n = 0;
  for (size_t row = 0; row < parser->n_rows; row++) {
    struct mr__text text = mr__read_cell(parser, row, position);
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
  struct mr__row_list *list = &parser->lists[domain];
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

static void keep_first_cells(struct mr__row_parser *parser) {
  const struct mr__heading *heading = parser->heading;
  for (int i = 0; i < heading->n_items; i++) {
    struct mr__item item = heading->items[i];
    parser->rows.first_cells[mr__item_cell(parser->layout->schema, item)] =
        mr__raw_cell(parser, 0, item.position);
  }
}

static int run_step(struct mr__row_parser *parser) {
  if (parser->heading->is_placed)
    MR_TRY(mr__take_placed(parser));
  else if (mr__skips_bad_rows(parser))
    MR_TRY(mr__filter_rows(parser));
  else
    mr__check_cell_counts(parser);
  if (parser->n_rows == 0) return MR_OK; /* the first one is the problem, or all are left out */
  MR_TRY(mr__reserve_rows(parser));
  mr__find_stops(parser);
  if (parser->rows.sides[MR_SAMPLE].n == 0) keep_first_cells(parser);
  list_rows(parser);
  MR_TRY(mr__split_all_bags(parser));
  MR_TRY(mr__take_sequences_apart(parser));
  for (int domain = 0; domain < MR_DOMAINS; domain++) {
    MR_TRY(place_records(parser, domain));
    MR_TRY(mr__copy_bags(parser, domain));
    MR_TRY(mr__copy_sequences(parser, domain));
  }
  MR_TRY(mr__take_columns(parser));
  MR_TRY(mr__compare_columns(parser));
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
  memset(rows->first_wrong, 0, (size_t)parser->layout->schema->n_cells);
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
  mr__sort_new_keys(parser);
  for (size_t i = 0; i < block->n_gaps; i++) parser->rows.n_lines += block->gaps[i].lines;
  parser->rows.before_gap = parser->next_gap < block->n_gaps;
  if (status != MR_OK) {
    problem->status = status;
    snprintf(problem->text, sizeof problem->text, "%s", mr_last_error());
  } else if (problem->status == MR_OK && scan->broken) {
    mr__note_quotes(parser);
  } else if (problem->status == MR_OK && scan->starts[scan->n_rows] < scan->size) {
    if (block->long_row > 0)
      mr__note_long_row(parser, block->long_row);
    else
      mr__note_quotes(parser);
  }
  if (block->problem.status != MR_OK &&
      (problem->status == MR_OK ||
       (problem->status == MR_EDATA && block->problem.at <= problem->at)))
    *problem = block->problem;
  return &parser->rows;
}
