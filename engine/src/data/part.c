#include "data/part.h"

#include <string.h>

#include "base/alloc.h"
#include "data/kept.h"

struct mr__part {
  struct mr__dictionary *dictionary;
  struct mr__row_parser *parser; /* has the records */
  uint64_t *keys;                /* of all tables, by code */
  int64_t *distinct, *unseen;    /* [tables], [columns] */
  int64_t *bad_list;
};

void mr__part_free(struct mr__part *part) {
  if (!part) return;
  mr__row_parser_free(part->parser);
  mr__dictionary_free(part->dictionary);
  mr__free(part->keys);
  mr__free(part->distinct);
  mr__free(part->unseen);
  mr__free(part->bad_list);
  mr__free(part);
}

/* Leave out the last request. Wrong rows before it stay. */
static void hold_last(struct mr__rows *rows, const struct mr__layout *layout) {
  struct mr__side *requests = &rows->sides[MR_REQUEST], *samples = &rows->sides[MR_SAMPLE];
  int64_t last = requests->n - 1, first_sample = rows->first_sample[last];
  requests->size = mr__side_at(requests, &layout->records[MR_REQUEST], last);
  samples->size = mr__side_at(samples, &layout->records[MR_SAMPLE], first_sample);
  requests->n = last;
  samples->n = first_sample;
  while (rows->n_bad > 0 && rows->bad[rows->n_bad - 1].problem.at >= rows->last_at) rows->n_bad--;
}

/* Lists of places end with the end of the last one. */
static int close_places(struct mr__rows *rows, const struct mr__layout *layout) {
  for (int domain = 0; domain < MR_DOMAINS; domain++) {
    struct mr__side *side = &rows->sides[domain];
    size_t n = (size_t)side->n;
    if (!layout->records[domain].varies) continue;
    MR_TRY(mr__grow(&side->offsets, &side->offsets_capacity, n + 1, sizeof *side->offsets));
    side->offsets[n] = (int64_t)side->size;
  }
  if (layout->schema->request_key < 0) return MR_OK;
  size_t n = (size_t)rows->sides[MR_REQUEST].n;
  MR_TRY(mr__grow(&rows->first_sample, &rows->first_sample_capacity, n + 1,
                  sizeof *rows->first_sample));
  rows->first_sample[n] = rows->sides[MR_SAMPLE].n;
  return MR_OK;
}

static int map_records(struct mr__part *part, const struct mr__layout *layout,
                       struct mr__rows *rows) {
  struct mr__kept kept = {.dictionary = part->dictionary};
  int status = mr__kept_fill(&kept, layout->schema, 0);
  int is_idle = status != MR_OK || mr__kept_is_idle(&kept, layout->schema);
  for (int domain = 0; domain < MR_DOMAINS && !is_idle; domain++) {
    const struct mr__side *side = &rows->sides[domain];
    const struct mr__record *shape = &layout->records[domain];
    for (int64_t i = 0; shape->fixed > 0 && i < side->n; i++)
      mr__kept_map(&kept, layout, domain, side->records + mr__side_at(side, shape, i),
                   part->unseen);
  }
  mr__kept_clear(&kept, layout->schema);
  return status;
}

static int copy_keys(mr_dataset *dataset, struct mr__part *part) {
  struct mr__coding *coding = &dataset->coding;
  int n_tables = (int)dataset->layout->schema->n_tables;
  int64_t n = 0;
  for (int t = 0; t < n_tables; t++) n += coding->n[t] = mr__dictionary_codes(part->dictionary, t);
  uint64_t *keys = part->keys = mr__malloc((size_t)n * sizeof *part->keys);
  if (!keys) return mr__fail_memory();
  for (int t = 0; t < n_tables; keys += coding->n[t++]) {
    coding->keys[t] = keys;
    mr__dictionary_keys(part->dictionary, t, 0, coding->n[t], keys);
    part->distinct[t] = mr__dictionary_distinct(part->dictionary, t);
  }
  return MR_OK;
}

static int list_bad(mr_dataset *dataset, struct mr__part *part, const struct mr__rows *rows) {
  part->bad_list = mr__malloc(rows->n_bad * sizeof *part->bad_list);
  if (!part->bad_list) return mr__fail_memory();
  for (size_t i = 0; i < rows->n_bad; i++) {
    part->bad_list[i] = rows->bad[i].row;
    dataset->bad_rows[rows->bad[i].problem.reason]++;
  }
  if (rows->n_bad > 0) dataset->bad_list = part->bad_list;
  return MR_OK;
}

static void show_rows(mr_dataset *dataset, const struct mr__part *part,
                      const struct mr__rows *rows) {
  const struct mr__layout *layout = dataset->layout;
  for (int domain = 0; domain < MR_DOMAINS; domain++) {
    const struct mr__side *side = &rows->sides[domain];
    dataset->rows[domain] = side->n;
    dataset->records[domain] = side->records;
    dataset->record_bytes[domain] = side->size;
    if (layout->records[domain].varies) dataset->offsets[domain] = side->offsets;
  }
  if (layout->schema->request_key >= 0) dataset->first_sample = rows->first_sample;
  dataset->distinct = part->distinct;
  dataset->unseen = part->unseen;
}

static int fill(mr_dataset *dataset, const mr_text_format *format, struct mr__block *block,
                struct mr__part_place *place) {
  const struct mr__layout *layout = dataset->layout;
  const mr_schema *schema = layout->schema;
  struct mr__part *part = dataset->part;
  part->distinct = mr__calloc(schema->n_tables, sizeof *part->distinct);
  part->unseen = mr__calloc(schema->n_columns, sizeof *part->unseen);
  if (!part->distinct || !part->unseen) return mr__fail_memory();
  MR_TRY(mr__dictionary_new(&part->dictionary, schema, 0));
  MR_TRY(mr__row_parser_new(&part->parser, layout, format, part->dictionary));
  struct mr__rows *rows = mr__row_parser_run(part->parser, block->heading, &block->text);
  MR_TRY(mr__rows_settle(rows, layout, part->dictionary));
  place->used = block->text.size;
  if (place->hold && rows->problem.status == MR_OK && rows->sides[MR_REQUEST].n > 0) {
    place->used = rows->last_at;
    hold_last(rows, layout);
  }
  if ((int64_t)rows->n_bad > place->bad_left)
    return mr__block_fail_bad(block, rows, place->line, &rows->bad[place->bad_left].problem,
                              format->bad_rows);
  if (rows->problem.status != MR_OK)
    return mr__block_fail(block, rows, place->line, &rows->problem);
  place->bad_left -= (int64_t)rows->n_bad;
  MR_TRY(close_places(rows, layout));
  MR_TRY(map_records(part, layout, rows));
  MR_TRY(copy_keys(dataset, part));
  MR_TRY(list_bad(dataset, part, rows));
  show_rows(dataset, part, rows);
  return MR_OK;
}

int mr__part_new(mr_dataset **out, const mr_schema *schema, const mr_text_format *format,
                 struct mr__block *block, struct mr__part_place *place) {
  mr_dataset *dataset;
  *out = NULL;
  MR_TRY(mr__dataset_new(&dataset, schema, block->heading->path));
  dataset->part = mr__calloc(1, sizeof *dataset->part);
  int status = dataset->part ? MR_OK : mr__fail_memory();
  if (status == MR_OK) status = fill(dataset, format, block, place);
  if (status == MR_OK && (dataset->rows[MR_SAMPLE] > 0 || dataset->bad_list))
    *out = dataset;
  else
    mr_dataset_close(dataset);
  return status;
}
