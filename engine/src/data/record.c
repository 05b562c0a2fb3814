/* Where each column lies in the record of its domain. */
#include "data/record.h"

#include "base/alloc.h"

static int is_view(const struct mr__column *column) {
  if (column->domain != MR_SAMPLE || column->sequence >= 0) return 0;
  switch (column->type) {
  case MR_NUMBER:
  case MR_LABEL:
  case MR_GROUP:
  case MR_WEIGHT:
  case MR_SCENARIO:
  case MR_TIME:
    return 1;
  default:
    return 0;
  }
}

static void list_column(struct mr__layout *layout, int index) {
  const struct mr__column *column = &layout->schema->columns[index];
  struct mr__record *record = &layout->records[column->domain];
  layout->view_of[index] = -1;
  if (column->sequence >= 0) return;
  switch (column->type) {
  case MR_GROUP:
    record->keys[record->n_keys++] = index;
    break;
  case MR_ID:
  case MR_BUCKET:
    record->codes[record->n_codes++] = index;
    break;
  case MR_NUMBER:
  case MR_LABEL:
  case MR_WEIGHT:
    record->floats[record->n_floats++] = index;
    break;
  case MR_VECTOR:
    record->vectors[record->n_vectors++] = index;
    break;
  case MR_IDS:
    if (!column->weighted) record->bags[record->n_bags++] = index;
    break;
  default:
    break;
  }
  if (is_view(column)) {
    layout->view_of[index] = layout->n_views;
    layout->views[layout->n_views++] = index;
  }
}

static void list_weighted(struct mr__layout *layout, int index) {
  const struct mr__column *column = &layout->schema->columns[index];
  struct mr__record *record = &layout->records[column->domain];
  if (!column->weighted) return;
  record->bags[record->n_bags++] = index;
  record->n_weighted++;
}

static int has_word(const struct mr__column *column) {
  return column->type == MR_ID || column->type == MR_NUMBER || column->type == MR_VECTOR;
}

/* The columns of a sequence, those with equally many words for each behaviour first. */
static int list_sequence(struct mr__layout *layout, int s) {
  const mr_schema *schema = layout->schema;
  struct mr__record *record = &layout->records[schema->sequences[s].domain];
  struct mr__record_sequence *sequence = &record->sequences[record->n_sequences];
  for (size_t i = 0; i < schema->n_columns; i++) {
    if (schema->columns[i].sequence != s) continue;
    if (has_word(&schema->columns[i])) {
      sequence->n_words++;
      sequence->words += mr__column_words(&schema->columns[i]);
    }
    sequence->n_bags += schema->columns[i].type == MR_IDS;
  }
  if (sequence->n_words + sequence->n_bags == 0) return MR_OK;
  sequence->sequence = s;
  sequence->columns =
      mr__calloc((size_t)sequence->n_words + (size_t)sequence->n_bags, sizeof *sequence->columns);
  if (!sequence->columns) return mr__fail_memory();
  record->n_sequences++;
  int word = 0, bag = sequence->n_words;
  for (size_t i = 0; i < schema->n_columns; i++) {
    if (schema->columns[i].sequence != s) continue;
    if (has_word(&schema->columns[i])) sequence->columns[word++] = (int)i;
    if (schema->columns[i].type == MR_IDS) sequence->columns[bag++] = (int)i;
  }
  return MR_OK;
}

static void place_columns(struct mr__layout *layout, struct mr__record *record) {
  size_t *at = layout->at;
  record->codes_at = 8 * (size_t)record->n_keys;
  record->floats_at = record->codes_at + 4 * (size_t)record->n_codes;
  record->vectors_at = record->counts_at = record->floats_at + 4 * (size_t)record->n_floats;
  for (int i = 0; i < record->n_vectors; i++) {
    at[record->vectors[i]] = record->counts_at;
    record->counts_at += 4 * mr__column_words(&layout->schema->columns[record->vectors[i]]);
  }
  record->fixed = record->counts_at + 4 * (size_t)(record->n_bags + record->n_sequences);
  record->varies = record->n_bags + record->n_sequences > 0;
  for (int i = 0; i < record->n_keys; i++) at[record->keys[i]] = 8 * (size_t)i;
  for (int i = 0; i < record->n_codes; i++) at[record->codes[i]] = record->codes_at + 4 * (size_t)i;
  for (int i = 0; i < record->n_floats; i++)
    at[record->floats[i]] = record->floats_at + 4 * (size_t)i;
  for (int i = 0; i < record->n_bags; i++) at[record->bags[i]] = record->counts_at + 4 * (size_t)i;
  for (int q = 0; q < record->n_sequences; q++) {
    const struct mr__record_sequence *sequence = &record->sequences[q];
    for (int i = 0; i < sequence->n_words + sequence->n_bags; i++)
      at[sequence->columns[i]] = record->counts_at + 4 * (size_t)(record->n_bags + q);
  }
}

static int new_lists(struct mr__layout *layout) {
  size_t n = layout->schema->n_columns;
  layout->at = mr__calloc(n, sizeof *layout->at);
  layout->views = mr__calloc(n, sizeof *layout->views);
  layout->view_of = mr__calloc(n, sizeof *layout->view_of);
  int failed = !layout->at || !layout->views || !layout->view_of;
  for (int domain = 0; domain < MR_DOMAINS; domain++) {
    struct mr__record *record = &layout->records[domain];
    record->keys = mr__calloc(n, sizeof *record->keys);
    record->codes = mr__calloc(n, sizeof *record->codes);
    record->floats = mr__calloc(n, sizeof *record->floats);
    record->vectors = mr__calloc(n, sizeof *record->vectors);
    record->bags = mr__calloc(n, sizeof *record->bags);
    record->sequences = mr__calloc(layout->schema->n_sequences, sizeof *record->sequences);
    failed |= !record->keys || !record->codes || !record->floats || !record->vectors ||
              !record->bags || !record->sequences;
  }
  return failed ? mr__fail_memory() : MR_OK;
}

int mr__layout_new(struct mr__layout **out, const mr_schema *schema) {
  *out = NULL;
  struct mr__layout *layout = mr__calloc(1, sizeof *layout);
  if (!layout) return mr__fail_memory();
  layout->schema = mr__schema_retain(schema);
  int status = new_lists(layout);
  for (size_t s = 0; status == MR_OK && s < schema->n_sequences; s++)
    status = list_sequence(layout, (int)s);
  if (status != MR_OK) {
    mr__layout_free(layout);
    return status;
  }
  for (size_t i = 0; i < schema->n_columns; i++) list_column(layout, (int)i);
  for (size_t i = 0; i < schema->n_columns; i++) list_weighted(layout, (int)i);
  for (int domain = 0; domain < MR_DOMAINS; domain++)
    place_columns(layout, &layout->records[domain]);
  *out = layout;
  return MR_OK;
}

void mr__layout_free(struct mr__layout *layout) {
  if (!layout) return;
  for (int domain = 0; domain < MR_DOMAINS; domain++) {
    mr__free(layout->records[domain].keys);
    mr__free(layout->records[domain].codes);
    mr__free(layout->records[domain].floats);
    mr__free(layout->records[domain].vectors);
    mr__free(layout->records[domain].bags);
    for (int q = 0; q < layout->records[domain].n_sequences; q++)
      mr__free(layout->records[domain].sequences[q].columns);
    mr__free(layout->records[domain].sequences);
  }
  mr__free(layout->at);
  mr__free(layout->views);
  mr__free(layout->view_of);
  mr_schema_free(layout->schema);
  mr__free(layout);
}

size_t mr__view_bytes(const struct mr__layout *layout, int view) {
  int type = layout->schema->columns[layout->views[view]].type;
  return type == MR_GROUP || type == MR_TIME ? 8 : 4;
}

/* ---- what a record holds ---- */

static struct mr__stored bag_part(const struct mr__record *shape, int column, const char *record) {
  const char *words = record + shape->fixed;
  int b = 0;
  for (; shape->bags[b] != column; b++)
    words += 4 * mr__bag_width(shape, b) * mr__record_word(record + shape->counts_at, (size_t)b);
  uint32_t n = mr__record_word(record + shape->counts_at, (size_t)b);
  return (struct mr__stored){words, mr__bag_width(shape, b) * n, words, n};
}

static size_t sum_sizes(const char *words, uint32_t n) {
  size_t sum = 0;
  for (uint32_t i = 0; i < n; i++) sum += mr__record_word(words, i);
  return sum;
}

static struct mr__stored member_part(const struct mr__layout *layout, int column,
                                     const char *record) {
  const struct mr__record *shape = &layout->records[layout->schema->columns[column].domain];
  struct mr__stored part = {.words =
                                record + shape->fixed + 4 * mr__record_bag_words(shape, record)};
  for (int q = 0;; q++) {
    const struct mr__record_sequence *sequence = &shape->sequences[q];
    uint32_t n = mr__record_count(shape, record, q);
    for (int i = 0; i < sequence->n_words + sequence->n_bags; i++) {
      int is_bag = i >= sequence->n_words;
      size_t each = mr__column_words(&layout->schema->columns[sequence->columns[i]]);
      part.n_words = is_bag ? n + sum_sizes(part.words, n) : n * each;
      if (sequence->columns[i] == column) {
        part.codes = part.words + (is_bag ? 4 * (size_t)n : 0);
        part.n_codes = is_bag ? part.n_words - n : n;
        return part;
      }
      part.words += 4 * part.n_words;
    }
  }
}

struct mr__stored mr__record_stored(const struct mr__layout *layout, int column,
                                    const char *record) {
  const struct mr__column *spec = &layout->schema->columns[column];
  const char *words = record + layout->at[column];
  struct mr__stored part = {.words = words, .n_words = mr__column_words(spec)};
  if (spec->type == MR_GROUP) part.n_words = 2;
  if (spec->sequence >= 0)
    part = member_part(layout, column, record);
  else if (spec->type == MR_IDS)
    part = bag_part(&layout->records[spec->domain], column, record);
  else if (mr__column_is_id(spec))
    part = (struct mr__stored){words, 1, words, 1};
  if (spec->table < 0) part.codes = NULL, part.n_codes = 0;
  return part;
}

/* Words are added up as they come, so that a damaged count stops before it is multiplied. */
size_t mr__record_bytes(const struct mr__record *shape, const char *record, const char *end) {
  size_t left = (size_t)(end - record);
  if (left < shape->fixed) return 0;
  left = (left - shape->fixed) / 4;
  size_t words = mr__record_bag_words(shape, record);
  for (int q = 0; q < shape->n_sequences && words <= left; q++) {
    const struct mr__record_sequence *sequence = &shape->sequences[q];
    size_t n = mr__record_count(shape, record, q);
    words += n * sequence->words;
    for (int b = 0; b < sequence->n_bags; b++) {
      words += n;
      if (words > left) return 0;
      const char *sizes = record + shape->fixed + 4 * (words - n);
      for (size_t i = 0; i < n && words <= left; i++) words += mr__record_word(sizes, i);
    }
  }
  return words > left ? 0 : shape->fixed + 4 * words;
}
