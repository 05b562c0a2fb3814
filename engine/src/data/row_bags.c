/* Columns of ids with several values, and crosses of them: the cells of a step are split into keys,
 * all of a column one after another, and copied into the records when their places are known. */
#include "data/row_parser.h"

#include <string.h>

#include "base/alloc.h"
#include "data/crossing.h"
#include "data/fit.h"
#include "data/sparse.h"

int mr__bag_next_piece(struct mr__bag_text *rest, int layout, const struct mr__column *column,
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

int mr__bag_next_value(struct mr__bag_text *rest, int layout, const struct mr__column *column,
                       struct mr__text *piece, struct mr__text *weight) {
  int found;
  do {
    found = mr__bag_next_piece(rest, layout, column, piece, weight);
  } while (found && mr__is_padding(*piece, column->padding));
  return found;
}

int mr__split_bag(struct mr__bags *bags, const struct mr__column *column, int layout,
                  struct mr__bag_text bag, uint32_t *count, int *bad) {
  struct mr__text piece, weight;
  uint32_t n = 0, max = column->max > 0 ? (uint32_t)column->max : UINT32_MAX;
  int is_strict = mr__column_is_strict(column);
  *bad = mr__bag_lengths_differ(column, bag);
  while (n < max && mr__bag_next_value(&bag, layout, column, &piece, &weight)) {
    if (bags->n == bags->keys_capacity)
      MR_TRY(mr__grow(&bags->keys, &bags->keys_capacity, bags->n + 1, sizeof *bags->keys));
    if (column->weighted) {
      MR_TRY(mr__grow(&bags->weights, &bags->weights_capacity, bags->n + 1, sizeof *bags->weights));
      *bad |= !mr__value_weight(weight, &bags->weights[bags->n]);
    }
    uint64_t key = mr__value_key(column, piece);
    *bad |= is_strict && key == MR__UNLISTED_KEY;
    bags->keys[bags->n++] = key;
    n++;
  }
  *count = n;
  return MR_OK;
}

/* The keys of a part of a cross in a row, into the parser's own. */
static int split_part(struct mr__row_parser *parser, size_t row, int part, struct mr__bags *bags) {
  const struct mr__column *column = &parser->layout->schema->columns[part];
  int position = mr__heading_position(parser->heading, part), bad; /* it is told with the part */
  uint32_t n;
  bags->n = 0;
  if (column->type == MR_IDS)
    return mr__split_bag(bags, column, parser->format.layout,
                         mr__read_bag(parser, row, part, position), &n, &bad);
  struct mr__text text = mr__read_cell(parser, row, position);
  MR_TRY(mr__grow(&bags->keys, &bags->keys_capacity, 1, sizeof *bags->keys));
  bags->keys[bags->n++] = mr__cell_key(column, text);
  return MR_OK;
}

/* Add the parts of a row to its combinations; those in `taken` are there already. */
static int split_parts(struct mr__row_parser *parser, size_t row, int c, const unsigned char *taken,
                       struct mr__crossing *crossing) {
  const struct mr__column *columns = parser->layout->schema->columns, *cross = &columns[c];
  for (int k = 0; k < cross->n_parts; k++) {
    struct mr__bags *bags = &parser->part_bags[k];
    if (taken[k]) continue;
    MR_TRY(split_part(parser, row, cross->parts[k], bags));
    crossing->keys[k] = bags->keys;
    crossing->weights[k] = columns[cross->parts[k]].weighted ? bags->weights : NULL;
    crossing->n[k] = bags->n;
  }
  return MR_OK;
}

static const unsigned char none_taken[MR__MOST_PARTS];

int mr__find_combination(struct mr__row_parser *parser, int c, size_t row, uint64_t key,
                         struct mr__crossing *crossing) {
  const struct mr__column *cross = &parser->layout->schema->columns[c];
  uint64_t other;
  float weight;
  MR_TRY(split_parts(parser, row, c, none_taken, crossing));
  while (mr__crossing_next(cross, crossing, &other, &weight) && other != key) continue;
  return MR_OK;
}

static int split_bags(struct mr__row_parser *parser, struct mr__item item) {
  const struct mr__column *column = &parser->layout->schema->columns[item.column];
  const struct mr__row_list *list = &parser->lists[column->domain];
  struct mr__bags *bags = &parser->bags[item.column];
  bags->n = 0;
  MR_TRY(mr__grow(&bags->counts, &bags->counts_capacity, list->n, sizeof *bags->counts));
  for (size_t i = 0; i < list->n; i++) {
    struct mr__bag_text bag = mr__read_bag(parser, list->rows[i], item.column, item.position);
    int bad;
    MR_TRY(mr__split_bag(bags, column, parser->format.layout, bag, &bags->counts[i], &bad));
    if (bad) mr__note_bad_ids(parser, list->rows[i], item);
  }
  MR_TRY(mr__grow(&bags->codes, &bags->codes_capacity, bags->n, sizeof *bags->codes));
  mr__dictionary_find(parser->recent, column->table, bags->keys, bags->n, bags->codes);
  return MR_OK;
}

/* Which parts of a cross are split already: bags of the same rows. */
static void list_taken(const mr_schema *schema, const struct mr__column *cross,
                       unsigned char taken[MR__MOST_PARTS]) {
  for (int k = 0; k < cross->n_parts; k++) {
    const struct mr__column *part = &schema->columns[cross->parts[k]];
    taken[k] = part->type == MR_IDS && (part->domain == cross->domain || schema->request_key < 0);
  }
}

/* Add these parts of the i-th row to its combinations; `next` goes on to those of the next row. */
static void take_parts(const struct mr__row_parser *parser, size_t i,
                       const struct mr__column *cross, const unsigned char *taken, size_t *next,
                       struct mr__crossing *crossing) {
  const struct mr__column *columns = parser->layout->schema->columns;
  for (int k = 0; k < cross->n_parts; k++) {
    const struct mr__bags *from = &parser->bags[cross->parts[k]];
    if (!taken[k]) continue;
    crossing->n[k] = from->counts[i];
    if (from->counts[i] == 0) continue; /* there may be no keys at all */
    crossing->keys[k] = from->keys + next[k];
    crossing->weights[k] = columns[cross->parts[k]].weighted ? from->weights + next[k] : NULL;
    next[k] += from->counts[i];
  }
}

/* Append a row's combinations, as many as are kept. */
static int add_combinations(struct mr__bags *to, const struct mr__column *cross,
                            struct mr__crossing *crossing, uint32_t *count) {
  uint64_t key;
  float weight;
  uint32_t n = 0;
  for (; n < (uint32_t)cross->max && mr__crossing_next(cross, crossing, &key, &weight); n++) {
    MR_TRY(mr__grow(&to->keys, &to->keys_capacity, to->n + 1, sizeof *to->keys));
    if (cross->weighted) {
      MR_TRY(mr__grow(&to->weights, &to->weights_capacity, to->n + 1, sizeof *to->weights));
      to->weights[to->n] = weight;
    }
    to->keys[to->n++] = key;
  }
  *count = n;
  return MR_OK;
}

/* The bags of a cross. */
static int cross_bags(struct mr__row_parser *parser, int c) {
  const struct mr__column *cross = &parser->layout->schema->columns[c];
  const struct mr__row_list *list = &parser->lists[cross->domain];
  struct mr__bags *to = &parser->bags[c];
  unsigned char taken[MR__MOST_PARTS] = {0};
  size_t next[MR__MOST_PARTS] = {0};
  to->n = 0;
  MR_TRY(mr__grow(&to->counts, &to->counts_capacity, list->n, sizeof *to->counts));
  list_taken(parser->layout->schema, cross, taken);
  for (size_t i = 0; i < list->n; i++) {
    struct mr__crossing crossing = {.begun = 0};
    take_parts(parser, i, cross, taken, next, &crossing);
    MR_TRY(split_parts(parser, list->rows[i], c, taken, &crossing));
    MR_TRY(add_combinations(to, cross, &crossing, &to->counts[i]));
  }
  MR_TRY(mr__grow(&to->codes, &to->codes_capacity, to->n, sizeof *to->codes));
  mr__dictionary_find(parser->recent, cross->table, to->keys, to->n, to->codes);
  return MR_OK;
}

int mr__split_all_bags(struct mr__row_parser *parser) {
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

int mr__copy_bags(struct mr__row_parser *parser, int domain) {
  const struct mr__record *shape = &parser->layout->records[domain];
  const struct mr__row_list *list = &parser->lists[domain];
  char *records = parser->rows.sides[domain].records;
  for (int b = 0; b < shape->n_bags; b++) parser->bags[shape->bags[b]].n = 0;
  for (size_t i = 0; shape->varies && i < list->n; i++) {
    size_t at = list->record_at[i] + shape->fixed;
    for (int b = 0; b < shape->n_bags; b++) {
      struct mr__bags *bags = &parser->bags[shape->bags[b]];
      uint32_t count = bags->counts[i];
      memcpy(records + list->record_at[i] + shape->counts_at + 4 * (size_t)b, &count, 4);
      for (size_t end = bags->n + count; bags->n < end; bags->n++, at += 4)
        MR_TRY(mr__put_code(parser, shape->bags[b], list->rows[i], bags->keys[bags->n],
                            bags->codes[bags->n], at));
      if (count == 0 || mr__bag_width(shape, b) == 1) continue; /* no weights: perhaps no array */
      mr__append_words(records + at, bags->weights + (bags->n - count), count);
      at += 4 * (size_t)count;
    }
    parser->tails[i] = at;
  }
  return MR_OK;
}
