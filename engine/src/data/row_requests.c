/* Rows that go on with a request must say of it what its first row says. Cells that repeat the
 * bytes of the row above need no more; others are parsed and compared with the record. */
#include "data/row_parser.h"

#include <string.h>

/* Whether a code that stands in a record is that of a key. */
static int is_code_of(const struct mr__row_parser *parser, int table, uint32_t code, uint64_t key) {
  if (code >= MR__NEW_CODE)
    return parser->rows.new_keys[table].list[code - MR__NEW_CODE].key == key;
  return mr__dictionary_code(parser->dictionary, table, key) == code;
}

static int column_differs(const struct mr__layout *layout, int column, const char *a,
                          const char *b) {
  struct mr__stored of_a = mr__record_stored(layout, column, a);
  struct mr__stored of_b = mr__record_stored(layout, column, b);
  size_t at = layout->at[column]; /* of the value, or of a count */
  return memcmp(a + at, b + at, 4) != 0 || of_a.n_words != of_b.n_words ||
         memcmp(of_a.words, of_b.words, 4 * of_a.n_words) != 0;
}

/* The same of the weights alone, which follow the codes. */
static int weights_differ(const struct mr__layout *layout, int column, const char *a,
                          const char *b) {
  struct mr__stored of_a = mr__record_stored(layout, column, a);
  struct mr__stored of_b = mr__record_stored(layout, column, b);
  return of_a.n_words != of_b.n_words ||
         memcmp(of_a.words + 4 * of_a.n_codes, of_b.words + 4 * of_b.n_codes,
                4 * (of_a.n_words - of_a.n_codes)) != 0;
}

int mr__request_differs(const struct mr__layout *layout, struct mr__item item, const char *a,
                        const char *b, const unsigned char *wrong) {
  const mr_schema *schema = layout->schema;
  const struct mr__column *spec = &schema->columns[item.column];
  if (spec->type == MR_REQUEST_KEY) return 0;
  size_t at = layout->at[item.column] + 4 * (size_t)item.part;
  if (spec->n_sources > 0) return memcmp(a + at, b + at, 4) != 0;
  if (spec->weights && item.part == MR__WEIGHTS_CELL)
    return weights_differ(layout, item.column, a, b);
  int differs = column_differs(layout, item.column, a, b);
  if (spec->sequence < 0 || !mr__says_padding(schema, spec)) return differs;
  for (size_t c = 0; !differs && c < schema->n_columns; c++)
    differs = schema->columns[c].sequence == spec->sequence &&
              !wrong[schema->columns[c].first_cell] && column_differs(layout, (int)c, a, b);
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

/* Whether the behaviours of a cell are not those of the record; *is_wrong: what they are cannot be
 * said. */
static int behaviours_differ(struct mr__row_parser *parser, size_t row, struct mr__item item,
                             const char *record, int *differs, int *is_wrong) {
  const struct mr__layout *layout = parser->layout;
  const struct mr__column *column = &layout->schema->columns[item.column];
  struct mr__behaviours *now = &parser->other_behaviours;
  struct mr__stored before = mr__record_stored(layout, item.column, record);
  const struct mr__picks *picks;
  int is_bad;
  *differs = 0;
  mr__behaviours_start(now);
  MR_TRY(mr__find_picks(parser, row, column->sequence, &picks));
  /* In this order, as in a row that starts a request: of two problems at one place the first stays.
   */
  MR_TRY(mr__add_cell(parser, now, row, item, picks, &is_bad));
  *is_wrong = !mr__check_lengths(parser, row, column->sequence) || is_bad;
  if (*is_wrong) return MR_OK;
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
  int is_wrong;
  MR_TRY(behaviours_differ(parser, row, item, record, differs, &is_wrong));
  if (is_wrong || !mr__says_padding(schema, column)) return MR_OK;
  for (int i = 0; !*differs && i < heading->n_items; i++)
    if (schema->columns[heading->items[i].column].sequence == column->sequence)
      MR_TRY(behaviours_differ(parser, row, heading->items[i], record, differs, &is_wrong));
  return MR_OK;
}

/* Whether a cell says something else than the record of its request. What is wrong with it is
 * noted: then that is told, and no difference. */
static int cell_differs(struct mr__row_parser *parser, size_t row, struct mr__item item,
                        const char *record, int *differs) {
  const struct mr__layout *layout = parser->layout;
  const struct mr__column *column = &layout->schema->columns[item.column];
  if (column->sequence >= 0) return sequence_differs(parser, row, item, record, differs);
  struct mr__text text = mr__read_cell(parser, row, item.position);
  const char *stored = record + layout->at[item.column] + 4 * (size_t)item.part;
  if (mr__column_is_number(column) || column->n_sources > 0) {
    float value = 0;
    enum mr__number kind = mr__parse_float(parser, column, text, &value);
    if (kind > MR__NUMBER_MISSING) mr__note_bad_value(parser, row, item, kind);
    *differs = memcmp((const char *)&value, stored, 4) != 0; /* bit by bit */
  } else if (column->type == MR_VECTOR) {
    int bad;
    MR_TRY(mr__parse_vector(parser, row, item, &bad));
    *differs = !bad && !same_words(parser->vector, stored, mr__column_words(column));
  } else if (column->type == MR_IDS) {
    struct mr__bags *bags = &parser->other_bag;
    uint32_t n;
    int bad;
    bags->n = 0;
    struct mr__item values = item;
    values.part = 0;
    values.position = mr__heading_position(parser->heading, item.column);
    struct mr__bag_text bag = mr__read_bag(parser, row, item.column, values.position);
    MR_TRY(mr__split_bag(bags, column, parser->format.layout, bag, &n, &bad));
    struct mr__stored before = mr__record_stored(layout, item.column, record);
    int is_of_weights = column->weights && item.part == MR__WEIGHTS_CELL;
    *differs =
        n != before.n_codes ||
        !same_words(bags->weights, before.codes + 4 * (size_t)n, before.n_words - n) ||
        (!is_of_weights && !are_codes_of(parser, column->table, before.codes, bags->keys, n));
    if (bad) mr__note_bad_ids(parser, row, values), *differs = 0;
  } else {
    uint64_t key = mr__value_key(column, text);
    *differs = column->table < 0 ? memcmp(&key, stored, 8) != 0
                                 : !are_codes_of(parser, column->table, stored, &key, 1);
    if (key == MR__UNLISTED_KEY && mr__column_is_strict(column))
      mr__note_bad_ids(parser, row, item), *differs = 0;
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

static int compare_column(struct mr__row_parser *parser, struct mr__item item, int counted) {
  const struct mr__row_list *list = &parser->lists[MR_REQUEST];
  int cell = mr__item_cell(parser->layout->schema, item);
  /* Empty lists and those of one unknown value have the same cell. */
  int says_more =
      parser->heading->json && parser->layout->schema->columns[item.column].sequence >= 0;
  struct mr__text above = parser->above[cell];
  size_t next = 0;
  for (size_t row = 0; row < parser->n_rows; row++) {
    struct mr__text raw = mr__raw_cell(parser, row, item.position);
    if (next < list->n && list->rows[next] == row) {
      parser->rows.last_request[cell] = raw;
      next++;
    } else {
      const char *record = request_record(parser, parser->request_of[row]);
      /* As the request began: what has changed is another cell that has a say in the column. */
      int differs =
          (!mr__same_text(raw, above) && !mr__same_text(raw, parser->rows.last_request[cell])) ||
          (says_more && raw.size == 0);
      if (differs) MR_TRY(cell_differs(parser, row, item, record, &differs));
      if (differs) mr__note_difference(parser, row, item);
      if (counted) count_again(parser, item.column, record);
    }
    above = raw;
  }
  parser->above[cell] = above;
  return MR_OK;
}

/* A cross is the same in all rows of a request as its parts are. */
static void count_cross_again(struct mr__row_parser *parser, int c) {
  const struct mr__row_list *list = &parser->lists[MR_REQUEST];
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

int mr__compare_columns(struct mr__row_parser *parser) {
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
