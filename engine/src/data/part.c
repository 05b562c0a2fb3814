#include "data/part.h"

#include <string.h>

#include "base/alloc.h"
#include "data/kept.h"

/* Keys of a dictionary, of all tables: with codes and what runs note of them, some 10 MB. */
enum { MOST_KEYS = 1 << 18 };

/* What the codes of some parts mean. Places of codes that are not given yet are filled in while
 * other parts are read, which have none of these. */
struct codes {
  int references; /* atomic */
  uint64_t serial;
  int64_t *n; /* [tables]: places */
  uint64_t **keys;
  int n_tables;
};

struct mr__part_maker {
  struct mr__layout *layout;
  mr_text_format format;
  struct mr__dictionary *dictionary; /* NULL: a new one is to begin */
  struct mr__row_parser *parser;
  struct codes *codes; /* of the last part */
};

struct mr__part {
  struct codes *codes;
  char *records[MR_DOMAINS];
  int64_t *offsets[MR_DOMAINS], *first_sample;
  int64_t *distinct, *unseen; /* [tables], [columns] */
  int64_t *bad_list;
};

/* ---- codes ---- */

static void release_codes(struct codes *codes) {
  if (!codes || __atomic_sub_fetch(&codes->references, 1, __ATOMIC_ACQ_REL) > 0) return;
  for (int t = 0; codes->keys && t < codes->n_tables; t++) mr__free(codes->keys[t]);
  mr__free(codes->keys);
  mr__free(codes->n);
  mr__free(codes);
}

static struct codes *retain_codes(struct codes *codes) {
  __atomic_add_fetch(&codes->references, 1, __ATOMIC_RELAXED);
  return codes;
}

/* All codes of a dictionary, and room for as many. */
static int list_codes(struct codes *codes, const struct mr__dictionary *dictionary) {
  codes->n = mr__calloc((size_t)codes->n_tables, sizeof *codes->n);
  codes->keys = mr__calloc((size_t)codes->n_tables, sizeof *codes->keys);
  if (!codes->n || !codes->keys) return mr__fail_memory();
  for (int t = 0; t < codes->n_tables; t++) {
    int64_t n = mr__dictionary_codes(dictionary, t);
    codes->n[t] = 2 * n;
    codes->keys[t] = mr__calloc((size_t)codes->n[t], sizeof *codes->keys[t]);
    if (!codes->keys[t]) return mr__fail_memory();
    mr__dictionary_keys(dictionary, t, 0, n, codes->keys[t]);
  }
  return MR_OK;
}

static int new_codes(struct codes **out, const struct mr__dictionary *dictionary, int n_tables,
                     uint64_t serial) {
  struct codes *codes = *out = mr__calloc(1, sizeof *codes);
  if (!codes) return mr__fail_memory();
  codes->references = 1;
  codes->serial = serial;
  codes->n_tables = n_tables;
  int status = list_codes(codes, dictionary);
  if (status == MR_OK) return MR_OK;
  release_codes(codes);
  *out = NULL;
  return status;
}

static int have_room(const struct codes *codes, const struct mr__dictionary *dictionary) {
  for (int t = 0; codes && t < codes->n_tables; t++)
    if (mr__dictionary_codes(dictionary, t) > codes->n[t]) return 0;
  return codes != NULL;
}

/* Know the codes of a part's new keys. `serial` is that of its dataset. */
static int take_codes(struct mr__part_maker *maker, const struct mr__rows *rows, uint64_t serial) {
  int n_tables = (int)maker->layout->schema->n_tables;
  if (!have_room(maker->codes, maker->dictionary)) {
    release_codes(maker->codes);
    return new_codes(&maker->codes, maker->dictionary, n_tables, serial);
  }
  for (int t = 0; t < n_tables; t++)
    for (size_t i = 0; i < rows->new_keys[t].n; i++)
      maker->codes->keys[t][rows->new_keys[t].list[i].code] = rows->new_keys[t].list[i].key;
  return MR_OK;
}

/* ---- the maker ---- */

static void end_dictionary(struct mr__part_maker *maker) {
  mr__row_parser_free(maker->parser);
  mr__dictionary_free(maker->dictionary);
  release_codes(maker->codes);
  maker->parser = NULL;
  maker->dictionary = NULL;
  maker->codes = NULL;
}

static int begin_dictionary(struct mr__part_maker *maker) {
  int64_t keys = 0;
  for (size_t t = 0; maker->dictionary && t < maker->layout->schema->n_tables; t++)
    keys += mr__dictionary_distinct(maker->dictionary, (int)t);
  if (keys > MOST_KEYS) end_dictionary(maker);
  if (maker->parser) return MR_OK;
  end_dictionary(maker);
  MR_TRY(mr__dictionary_new(&maker->dictionary, maker->layout->schema, 0));
  return mr__row_parser_new(&maker->parser, maker->layout, &maker->format, maker->dictionary);
}

int mr__part_maker_new(struct mr__part_maker **out, const mr_schema *schema,
                       const mr_text_format *format) {
  *out = NULL;
  struct mr__part_maker *maker = mr__calloc(1, sizeof *maker);
  if (!maker) return mr__fail_memory();
  maker->format = *format;
  int status = mr__layout_new(&maker->layout, schema);
  if (status != MR_OK) {
    mr__part_maker_free(maker);
    return status;
  }
  *out = maker;
  return MR_OK;
}

void mr__part_maker_free(struct mr__part_maker *maker) {
  if (!maker) return;
  end_dictionary(maker);
  mr__layout_free(maker->layout);
  mr__free(maker);
}

/* ---- parts ---- */

void mr__part_free(struct mr__part *part) {
  if (!part) return;
  release_codes(part->codes);
  for (int domain = 0; domain < MR_DOMAINS; domain++) {
    mr__free(part->records[domain]);
    mr__free(part->offsets[domain]);
  }
  mr__free(part->first_sample);
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

static int map_records(const struct mr__part_maker *maker, struct mr__part *part,
                       struct mr__rows *rows) {
  const struct mr__layout *layout = maker->layout;
  struct mr__kept kept = {.dictionary = maker->dictionary};
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

/* A copy of a list, and its end. */
static int copy_places(int64_t **out, const int64_t *places, int64_t n, int64_t end) {
  int64_t *copy = *out = mr__malloc(((size_t)n + 1) * sizeof *copy);
  if (!copy) return mr__fail_memory();
  if (n > 0) memcpy(copy, places, (size_t)n * sizeof *copy);
  copy[n] = end;
  return MR_OK;
}

/* The parser's buffers are used again. */
static int copy_rows(mr_dataset *dataset, struct mr__part *part, const struct mr__rows *rows) {
  const struct mr__layout *layout = dataset->layout;
  for (int domain = 0; domain < MR_DOMAINS; domain++) {
    const struct mr__side *side = &rows->sides[domain];
    part->records[domain] = mr__malloc(side->size);
    if (!part->records[domain]) return mr__fail_memory();
    if (side->size > 0) memcpy(part->records[domain], side->records, side->size);
    dataset->rows[domain] = side->n;
    dataset->records[domain] = part->records[domain];
    dataset->record_bytes[domain] = side->size;
    if (!layout->records[domain].varies) continue;
    MR_TRY(copy_places(&part->offsets[domain], side->offsets, side->n, (int64_t)side->size));
    dataset->offsets[domain] = part->offsets[domain];
  }
  if (layout->schema->request_key < 0) return MR_OK;
  MR_TRY(copy_places(&part->first_sample, rows->first_sample, rows->sides[MR_REQUEST].n,
                     rows->sides[MR_SAMPLE].n));
  dataset->first_sample = part->first_sample;
  return MR_OK;
}

static int list_bad(mr_dataset *dataset, struct mr__part *part, const struct mr__rows *rows) {
  if (rows->n_bad == 0) return MR_OK;
  part->bad_list = mr__malloc(rows->n_bad * sizeof *part->bad_list);
  if (!part->bad_list) return mr__fail_memory();
  for (size_t i = 0; i < rows->n_bad; i++) {
    part->bad_list[i] = rows->bad[i].row;
    dataset->bad_rows[rows->bad[i].problem.reason]++;
  }
  dataset->bad_list = part->bad_list;
  return MR_OK;
}

static void show_codes(mr_dataset *dataset, struct mr__part *part, struct codes *codes) {
  part->codes = retain_codes(codes);
  dataset->coding.serial = codes->serial;
  for (int t = 0; t < codes->n_tables; t++) {
    dataset->coding.n[t] = codes->n[t];
    dataset->coding.keys[t] = codes->keys[t];
  }
  dataset->distinct = part->distinct;
  dataset->unseen = part->unseen;
}

/* Parse a block and take what the part is to have of it. */
static int parse(struct mr__part_maker *maker, struct mr__block *block,
                 struct mr__part_place *place, struct mr__rows **out) {
  struct mr__rows *rows = *out = mr__row_parser_run(maker->parser, block->heading, &block->text);
  MR_TRY(mr__rows_settle(rows, maker->layout, maker->dictionary));
  place->used = block->text.size;
  if (place->hold && rows->problem.status == MR_OK && rows->sides[MR_REQUEST].n > 0) {
    place->used = rows->last_at;
    hold_last(rows, maker->layout);
  }
  if ((int64_t)rows->n_bad > place->bad_left)
    return mr__block_fail_bad(block, rows, place->line, &rows->bad[place->bad_left].problem,
                              maker->format.bad_rows);
  if (rows->problem.status != MR_OK)
    return mr__block_fail(block, rows, place->line, &rows->problem);
  place->bad_left -= (int64_t)rows->n_bad;
  return MR_OK;
}

static int fill(struct mr__part_maker *maker, mr_dataset *dataset, struct mr__block *block,
                struct mr__part_place *place) {
  const mr_schema *schema = maker->layout->schema;
  struct mr__part *part = dataset->part;
  struct mr__rows *rows;
  part->distinct = mr__calloc(schema->n_tables, sizeof *part->distinct);
  part->unseen = mr__calloc(schema->n_columns, sizeof *part->unseen);
  if (!part->distinct || !part->unseen) return mr__fail_memory();
  MR_TRY(begin_dictionary(maker));
  MR_TRY(parse(maker, block, place, &rows));
  MR_TRY(map_records(maker, part, rows));
  MR_TRY(take_codes(maker, rows, dataset->coding.serial));
  show_codes(dataset, part, maker->codes);
  MR_TRY(copy_rows(dataset, part, rows));
  return list_bad(dataset, part, rows);
}

int mr__part_make(struct mr__part_maker *maker, mr_dataset **out, struct mr__block *block,
                  struct mr__part_place *place) {
  mr_dataset *dataset;
  *out = NULL;
  MR_TRY(mr__dataset_new(&dataset, maker->layout->schema, block->heading->path));
  dataset->part = mr__calloc(1, sizeof *dataset->part);
  int status = dataset->part ? MR_OK : mr__fail_memory();
  if (status == MR_OK) status = fill(maker, dataset, block, place);
  if (status == MR_OK && (dataset->rows[MR_SAMPLE] > 0 || dataset->bad_list))
    *out = dataset;
  else
    mr_dataset_close(dataset);
  return status;
}
