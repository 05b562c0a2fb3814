/* Where each column lies in the record of its domain. */
#include "data/record.h"

#include <string.h>

#include "base/alloc.h"

static int is_view(const struct mr__column *column) {
  return column->domain == MR_SAMPLE &&
         (column->type == MR_NUMBER || column->type == MR_LABEL || column->type == MR_GROUP);
}

static void list_column(struct mr__layout *layout, int index) {
  const struct mr__column *column = &layout->schema->columns[index];
  struct mr__record *record = &layout->records[column->domain];
  layout->bag[index] = layout->view_of[index] = -1;
  switch (column->type) {
  case MR_GROUP:
    record->keys[record->n_keys++] = index;
    break;
  case MR_ID:
    record->codes[record->n_codes++] = index;
    break;
  case MR_NUMBER:
  case MR_LABEL:
    record->floats[record->n_floats++] = index;
    break;
  case MR_IDS:
    layout->bag[index] = record->n_bags;
    record->bags[record->n_bags++] = index;
    break;
  default:
    break;
  }
  if (is_view(column)) {
    layout->view_of[index] = layout->n_views;
    layout->views[layout->n_views++] = index;
  }
}

static void place_columns(struct mr__record *record, size_t *at) {
  record->codes_at = 8 * (size_t)record->n_keys;
  record->floats_at = record->codes_at + 4 * (size_t)record->n_codes;
  record->counts_at = record->floats_at + 4 * (size_t)record->n_floats;
  record->fixed = record->counts_at + 4 * (size_t)record->n_bags;
  for (int i = 0; i < record->n_keys; i++) at[record->keys[i]] = 8 * (size_t)i;
  for (int i = 0; i < record->n_codes; i++) at[record->codes[i]] = record->codes_at + 4 * (size_t)i;
  for (int i = 0; i < record->n_floats; i++)
    at[record->floats[i]] = record->floats_at + 4 * (size_t)i;
  for (int i = 0; i < record->n_bags; i++) at[record->bags[i]] = record->counts_at + 4 * (size_t)i;
}

static int new_lists(struct mr__layout *layout) {
  size_t n = layout->schema->n_columns;
  layout->at = mr__calloc(n, sizeof *layout->at);
  layout->bag = mr__calloc(n, sizeof *layout->bag);
  layout->views = mr__calloc(n, sizeof *layout->views);
  layout->view_of = mr__calloc(n, sizeof *layout->view_of);
  int failed = !layout->at || !layout->bag || !layout->views || !layout->view_of;
  for (int domain = 0; domain < MR_DOMAINS; domain++) {
    struct mr__record *record = &layout->records[domain];
    record->keys = mr__calloc(n, sizeof *record->keys);
    record->codes = mr__calloc(n, sizeof *record->codes);
    record->floats = mr__calloc(n, sizeof *record->floats);
    record->bags = mr__calloc(n, sizeof *record->bags);
    failed |= !record->keys || !record->codes || !record->floats || !record->bags;
  }
  return failed ? mr__fail_memory() : MR_OK;
}

int mr__layout_new(struct mr__layout **out, const mr_schema *schema) {
  *out = NULL;
  struct mr__layout *layout = mr__calloc(1, sizeof *layout);
  if (!layout) return mr__fail_memory();
  layout->schema = mr__schema_retain(schema);
  int status = new_lists(layout);
  if (status != MR_OK) {
    mr__layout_free(layout);
    return status;
  }
  for (size_t i = 0; i < schema->n_columns; i++) list_column(layout, (int)i);
  for (int domain = 0; domain < MR_DOMAINS; domain++)
    place_columns(&layout->records[domain], layout->at);
  *out = layout;
  return MR_OK;
}

void mr__layout_free(struct mr__layout *layout) {
  if (!layout) return;
  for (int domain = 0; domain < MR_DOMAINS; domain++) {
    mr__free(layout->records[domain].keys);
    mr__free(layout->records[domain].codes);
    mr__free(layout->records[domain].floats);
    mr__free(layout->records[domain].bags);
  }
  mr__free(layout->at);
  mr__free(layout->bag);
  mr__free(layout->views);
  mr__free(layout->view_of);
  mr_schema_free(layout->schema);
  mr__free(layout);
}

size_t mr__view_bytes(const struct mr__layout *layout, int view) {
  return layout->schema->columns[layout->views[view]].type == MR_GROUP ? 8 : 4;
}

const char *mr__record_bag(const struct mr__layout *layout, int column, const char *record,
                           uint32_t *count) {
  const struct mr__record *shape = &layout->records[layout->schema->columns[column].domain];
  size_t before = 0;
  for (int b = 0; b <= layout->bag[column]; b++) {
    if (b > 0) before += *count;
    memcpy(count, record + shape->counts_at + 4 * (size_t)b, 4);
  }
  return record + shape->fixed + 4 * before;
}
