/* Keys that the dictionary has no code for yet: they are listed, with their texts where these are
 * kept, and get codes in the order of the file once blocks before have theirs. The same of the
 * numbers of scenarios. */
#include "data/row_parser.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "data/fit.h"

/* The value of a bag that has this key, if any. */
static int find_value(const struct mr__column *column, int layout, struct mr__text cell,
                      uint64_t key, struct mr__text *found) {
  struct mr__bag_text bag = {.values = cell, .weights = {"", 0}};
  struct mr__text weight;
  while (mr__bag_next_piece(&bag, layout, column, found, &weight))
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
  return mr__read_cell(parser, row, mr__heading_position(parser->heading, column));
}

/* The text in a row's cell that has this key: those that are new are few enough to be looked for
 * again. All unlisted values have one key, which has none. */
static struct mr__text text_of(struct mr__row_parser *parser, int index, size_t row, uint64_t key) {
  const struct mr__column *column = &parser->layout->schema->columns[index];
  struct mr__text cell = cell_of(parser, row, index), found = cell;
  int there;
  if (column->sequence >= 0)
    there =
        find_behaviour(column, mr__column_sequence(parser, column)->separator, cell, key, &found);
  else if (column->type == MR_IDS)
    there = find_value(column, parser->format.layout, cell, key, &found);
  else
    there = mr__key(cell.at, cell.size, column->seed) == key;
  return there ? found : (struct mr__text){"", 0};
}

/* The text of the n-th value of a part; of a bucket its name, in `room`. */
static struct mr__text text_of_part(struct mr__row_parser *parser, size_t row, int part, size_t n,
                                    char room[MR__EXCERPT_BYTES]) {
  const struct mr__column *column = &parser->layout->schema->columns[part];
  if (column->type == MR_BUCKET) {
    struct mr__text cell = cell_of(parser, row, part);
    mr__bucket_name(room, MR__EXCERPT_BYTES, column, mr__bucket_of_text(column, cell));
    return (struct mr__text){room, strlen(room)};
  }
  struct mr__bag_text rest =
      mr__read_bag(parser, row, part, mr__heading_position(parser->heading, part));
  struct mr__text piece = rest.values, weight;
  for (size_t i = 0; column->type == MR_IDS && i <= n; i++)
    if (!mr__bag_next_value(&rest, parser->format.layout, column, &piece, &weight)) break;
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
  struct mr__crossing crossing = {.begun = 0};
  MR_TRY(mr__find_combination(parser, index, row, key, &crossing));
  for (int i = 0; i < column->n_parts && key != MR__UNKNOWN_KEY; i++) {
    char room[MR__EXCERPT_BYTES];
    text = text_of_part(parser, row, column->parts[i], crossing.at[i], room);
    if (i > 0) MR_TRY(mr__texts_add(joined, MR__CROSS_SIGN, strlen(MR__CROSS_SIGN)));
    MR_TRY(mr__texts_add(joined, text.at, text.size));
  }
  return mr__texts_add(texts, joined->bytes, joined->n > 0 ? joined->ends[joined->n - 1] : 0);
}

int mr__note_new_key(struct mr__row_parser *parser, int column, uint32_t row, uint64_t key,
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

static int by_place_in_text(const void *a, const void *b) {
  const struct mr__new_key *x = a, *y = b;
  if (x->row != y->row) return x->row < y->row ? -1 : 1;
  if (x->column != y->column) return x->column < y->column ? -1 : 1;
  return x->at < y->at ? -1 : x->at > y->at;
}

void mr__sort_new_keys(struct mr__row_parser *parser) {
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
                              const struct mr__heading *heading, struct mr__scenarios *all) {
  int column = layout->schema->scenario;
  if (column < 0 || (rows->problem.status != MR_OK && rows->problem.status != MR_EDATA))
    return MR_OK;
  int32_t map[MR__MOST_SCENARIOS];
  for (size_t i = 0; i < rows->scenarios->n; i++) {
    const struct mr__scenario *own = &rows->scenarios->list[i];
    struct mr__text name = {own->name, strlen(own->name)};
    size_t at = rows->scenarios->at[i];
    MR_TRY(mr__scenarios_find(all, own->key, name, at, &map[i]));
    if (map[i] < MR__MOST_SCENARIOS) continue;
    /* Those of blocks before are among all, and those of this one are in the order of the text. */
    struct mr__item item = {.position = mr__heading_position(heading, column), .column = column};
    mr__note_scenario(rows, layout->schema, at, item, name);
    break;
  }
  if (rows->problem.status != MR_OK) return MR_OK;
  struct mr__view *view = &rows->views[layout->view_of[column]];
  int32_t *numbers = (int32_t *)(void *)view->data;
  for (int64_t i = 0; i < rows->sides[MR_SAMPLE].n; i++) numbers[i] = map[numbers[i]];
  return MR_OK;
}
