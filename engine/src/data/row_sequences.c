/* The columns of sequences: the cells of a step are taken apart into behaviours
 * (data/behaviours.h), columns of one sequence compared in length, and copied into the records. */
#include "data/row_parser.h"

#include <string.h>

uint32_t mr__cell_length(const struct mr__row_parser *parser, size_t row, struct mr__item item,
                         struct mr__text cell) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  if (cell.size == 0) return (uint32_t)mr__is_one_unknown(parser, row, item.position);
  return mr__count_behaviours(cell, mr__column_sequence(parser, column)->separator);
}

int mr__find_picks(struct mr__row_parser *parser, size_t row, int s, const struct mr__picks **out) {
  const struct mr__heading *heading = parser->heading;
  const struct mr__sequence *sequence = &parser->layout->schema->sequences[s];
  struct mr__picks *picks = &parser->picks;
  int n_columns = 0;
  *out = NULL;
  for (int i = 0; sequence->padding && i < heading->n_items; i++) {
    struct mr__item item = heading->items[i];
    const struct mr__column *column = &parser->layout->schema->columns[item.column];
    if (column->sequence != s) continue;
    struct mr__text cell = mr__read_cell(parser, row, item.position);
    uint32_t n = mr__cell_length(parser, row, item, cell);
    if (n_columns++ == 0) MR_TRY(mr__picks_start(picks, n));
    if (n != picks->n) return MR_OK;
    if (mr__says_padding(parser->layout->schema, column)) mr__picks_add_cell(picks, sequence, cell);
  }
  if (n_columns == 0) return MR_OK;
  mr__picks_finish(picks);
  *out = picks;
  return MR_OK;
}

int mr__add_cell(struct mr__row_parser *parser, struct mr__behaviours *to, size_t row,
                 struct mr__item item, const struct mr__picks *picks, int *is_bad) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  struct mr__text cell = mr__read_cell(parser, row, item.position);
  int is_one = mr__is_one_unknown(parser, row, item.position);
  struct mr__bad_behaviour bad;
  MR_TRY(mr__behaviours_add(to, column, mr__column_sequence(parser, column), cell, is_one, picks,
                            &bad));
  if (bad.kind != MR__NUMBER_OK) mr__note_bad_behaviour(parser, row, item, &bad);
  if (is_bad) *is_bad = bad.kind != MR__NUMBER_OK;
  return MR_OK;
}

static int take_apart(struct mr__row_parser *parser, struct mr__item item) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  const struct mr__row_list *list = &parser->lists[column->domain];
  struct mr__behaviours *behaviours = &parser->behaviours[item.column];
  mr__behaviours_start(behaviours);
  for (size_t i = 0; i < list->n; i++)
    MR_TRY(mr__add_cell(parser, behaviours, list->rows[i], item, NULL, NULL));
  return MR_OK;
}

/* All columns of a sequence that has a padding, row after row. */
static int take_picks_apart(struct mr__row_parser *parser, int s) {
  const struct mr__heading *heading = parser->heading;
  const struct mr__column *columns = parser->layout->schema->columns;
  const struct mr__row_list *list = &parser->lists[parser->layout->schema->sequences[s].domain];
  const struct mr__picks *picks;
  for (int i = 0; i < heading->n_items; i++)
    if (columns[heading->items[i].column].sequence == s)
      mr__behaviours_start(&parser->behaviours[heading->items[i].column]);
  for (size_t r = 0; r < list->n; r++) {
    MR_TRY(mr__find_picks(parser, list->rows[r], s, &picks));
    for (int i = 0; i < heading->n_items; i++) {
      struct mr__item item = heading->items[i];
      if (columns[item.column].sequence == s)
        MR_TRY(mr__add_cell(parser, &parser->behaviours[item.column], list->rows[r], item, picks,
                            NULL));
    }
  }
  return MR_OK;
}

/* The columns of a sequence have equally many behaviours in each row. A row where they have not is
 * a problem, and gets a record without any, so that it can be read as far as the step goes. */
static void compare_lengths(struct mr__row_parser *parser, int domain,
                            const struct mr__record_sequence *sequence) {
  const struct mr__row_list *list = &parser->lists[domain];
  const struct mr__history *first = parser->behaviours[sequence->columns[0]].cells;
  int n_columns = sequence->n_words + sequence->n_bags;
  for (int c = 1; c < n_columns; c++) {
    const struct mr__history *cells = parser->behaviours[sequence->columns[c]].cells;
    for (size_t i = 0; i < list->n; i++) {
      if (cells[i].length == first[i].length) continue;
      mr__check_lengths(parser, list->rows[i], sequence->sequence);
      for (int k = 0; k < n_columns; k++)
        parser->behaviours[sequence->columns[k]].cells[i].words = 0;
    }
  }
}

int mr__take_sequences_apart(struct mr__row_parser *parser) {
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

/* Keys of one row that have no codes yet; their places begin at `at`. */
static int put_new_codes(struct mr__row_parser *parser, int column, uint32_t row,
                         const uint64_t *keys, const uint32_t *codes, size_t n, size_t at) {
  for (size_t i = 0; i < n; i++)
    if (codes[i] >= MR__NEW_CODE)
      MR_TRY(mr__put_code(parser, column, row, keys[i], codes[i], at + 4 * i));
  return MR_OK;
}

/* One column of a sequence to the tails of the records. */
static int copy_behaviours(struct mr__row_parser *parser, int column) {
  const struct mr__column *spec = &parser->layout->schema->columns[column];
  const struct mr__row_list *list = &parser->lists[spec->domain];
  const struct mr__behaviours *from = &parser->behaviours[column];
  char *records = parser->rows.sides[spec->domain].records;
  size_t n_new = 0, n = 0, n_keys = 0, words = mr__column_words(spec);
  if (spec->table >= 0)
    n_new = mr__dictionary_find(parser->recent, spec->table, from->keys, from->n_keys, from->codes);
  for (size_t i = 0; i < list->n; i++) {
    const struct mr__history *cell = &from->cells[i];
    char *at = records + parser->tails[i];
    if (cell->words > 0 && from->floats)
      mr__append_words(at, from->floats + n * words, cell->kept * words);
    if (cell->words > 0 && spec->type == MR_IDS)
      at = mr__append_words(at, from->sizes + n, cell->kept);
    if (cell->words > 0 && cell->keys > 0) mr__append_words(at, from->codes + n_keys, cell->keys);
    if (cell->words > 0 && n_new > 0)
      MR_TRY(put_new_codes(parser, column, list->rows[i], from->keys + n_keys, from->codes + n_keys,
                           cell->keys, (size_t)(at - records)));
    n += cell->kept;
    n_keys += cell->keys;
    parser->tails[i] += 4 * (size_t)cell->words;
  }
  return MR_OK;
}

int mr__copy_sequences(struct mr__row_parser *parser, int domain) {
  const struct mr__record *shape = &parser->layout->records[domain];
  const struct mr__row_list *list = &parser->lists[domain];
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
