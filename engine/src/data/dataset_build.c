/* mr_dataset_build: text files to cache.
 *
 * Every thread of the pool runs the same loop:
 *
 *   take a block (one at a time, in order) -> parse it -> wait for the block's turn: give new keys
 *   their codes, join requests across the border, reserve the place -> write it there
 *
 * so one thread reads while others parse (and another decompresses, data/ahead.h), memory is
 * bounded by one block per thread, and everything that depends on the order of blocks happens in
 * that order. The first trouble in the order of the files is the one that is reported, whoever
 * found it first.
 *
 * Where a cross combines buckets the text is read twice: what is fitted comes of the first pass,
 * which writes nothing, and rows of the second, since the combinations that come, how often and in
 * which order cannot be told from numbers whose buckets are not known. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/files.h"
#include "base/hash.h"
#include "data/fit.h"
#include "data/json_lines.h"
#include "data/reader.h"
#include "data/rows.h"
#include "data/selection.h"
#include "data/source.h"
#include "data/store.h"
#include "data/store_writer.h"

/* The last request of the rows so far, which may go on in the next block. */
struct open_request {
  int is_open;
  uint64_t key;
  char *record;
  size_t capacity;
  char (*texts)[MR__EXCERPT_BYTES]; /* [cells] of its request side */
  uint64_t *hashes;                 /* [cells] of what texts shows the beginning of */
};

struct build {
  const struct mr__layout *layout;
  mr_text_format format;
  struct mr__dictionary *dictionary;
  struct mr__store_writer *writer; /* NULL: nothing is written, but what is to be fitted is */

  pthread_mutex_t reading; /* guards reader, selection and next_block */
  struct mr__reader *reader;
  struct mr__selection *selection; /* NULL: all rows */
  int64_t next_block;

  pthread_mutex_t appending; /* guards all below */
  pthread_cond_t turned;
  int64_t turn; /* number of the block to be appended next */
  int stopped;
  const struct mr__heading *heading; /* of the block appended last */
  int64_t line;                      /* of the next block's first row */
  int64_t n_rows;                    /* of the text so far, wrong ones counted */
  struct mr__bad_rows bad;
  size_t bad_capacity;
  struct mr__scenarios scenarios;
  struct mr__fit *fit; /* NULL: nothing is to be fitted */
  struct mr__kept kept;
  struct open_request open;
};

/* What one thread has in hand. */
struct hand {
  struct build *build;
  struct mr__block block;
  int64_t number;
  struct mr__row_parser *parser;
  struct mr__rows *rows;
  struct mr__segment segment;
};

/* ---- order ---- */

static int take_block(struct hand *hand) {
  struct build *build = hand->build;
  pthread_mutex_lock(&build->reading);
  int status = mr__reader_next(build->reader, &hand->block);
  if (status == MR_OK && build->selection)
    status = mr__selection_apply(build->selection, &hand->block);
  if (status != MR_END) hand->number = build->next_block++;
  pthread_mutex_unlock(&build->reading);
  return status;
}

/* Wait until all blocks before this one are appended. Returns with the lock held; 0 when the build
 * has stopped. */
static int wait_for_turn(struct hand *hand) {
  struct build *build = hand->build;
  pthread_mutex_lock(&build->appending);
  while (!build->stopped && build->turn != hand->number)
    pthread_cond_wait(&build->turned, &build->appending);
  return !build->stopped;
}

static void end_turn(struct hand *hand, int status) {
  struct build *build = hand->build;
  build->turn++;
  if (status != MR_OK) build->stopped = 1;
  pthread_cond_broadcast(&build->turned);
  pthread_mutex_unlock(&build->appending);
}

static void stop(struct build *build) {
  pthread_mutex_lock(&build->appending);
  build->stopped = 1;
  pthread_cond_broadcast(&build->turned);
  pthread_mutex_unlock(&build->appending);
}

/* ---- in turn ---- */

static int report(const struct hand *hand, const struct mr__problem *problem) {
  return mr__block_fail(&hand->block, hand->rows, hand->build->line, problem);
}

/* What a cell says, as messages show it. */
static int excerpt_cell(const struct hand *hand, struct mr__text raw, char out[MR__EXCERPT_BYTES]) {
  if (!hand->build->format.quotes || raw.size == 0 || *raw.at != '"') {
    mr__excerpt(out, raw);
    return MR_OK;
  }
  char *plain = mr__malloc(raw.size);
  if (!plain) return mr__fail_memory();
  mr__excerpt(out, (struct mr__text){plain, mr__unquote(plain, raw)});
  mr__free(plain);
  return MR_OK;
}

/* Of what a cell says: a list of one unknown value says more than no values do. */
static uint64_t hash_cell(const struct hand *hand, struct mr__text raw) {
  int is_one = hand->block.heading->json && mr__json_is_one(hand->block.text.text, raw);
  return mr__hash(raw.at, raw.size, (uint64_t)is_one);
}

/* The block goes on with the open request: its first row must say the same. Where another row does
 * not, the message shows what the request began with. */
static int check_border(struct hand *hand) {
  struct build *build = hand->build;
  const mr_schema *schema = build->layout->schema;
  struct mr__rows *rows = hand->rows;
  struct mr__problem *problem = &rows->problem;
  const struct mr__heading *heading = hand->block.heading;
  const char *record = rows->sides[MR_REQUEST].records;
  if (problem->status == MR_EDATA && problem->is_border_difference) {
    int cell = mr__item_cell(schema, problem->item);
    mr__describe_difference(problem, schema, build->open.texts[cell]);
  }
  for (int i = 0; i < heading->n_items; i++) {
    struct mr__item item = heading->items[i];
    int cell = mr__item_cell(schema, item);
    if (schema->columns[item.column].domain != MR_REQUEST || rows->first_wrong[cell]) continue;
    struct mr__text raw = rows->first_cells[cell];
    size_t at = (size_t)(raw.at - hand->block.text.text);
    if (!mr__is_before_problem(problem, at, item) ||
        !mr__request_differs(build->layout, item, record, build->open.record, rows->first_wrong) ||
        hash_cell(hand, raw) == build->open.hashes[cell]) /* the column's other cell it is */
      continue;
    MR_TRY(excerpt_cell(hand, raw, problem->now));
    problem->status = MR_EDATA;
    problem->at = at;
    problem->item = item;
    problem->whole_row = 0;
    mr__describe_difference(problem, schema, build->open.texts[cell]);
  }
  return MR_OK;
}

/* Take note of the rows that were left out. */
static int count_bad_rows(struct hand *hand) {
  struct build *build = hand->build;
  struct mr__rows *rows = hand->rows;
  struct mr__bad_rows *bad = &build->bad;
  MR_TRY(mr__grow(&bad->list, &build->bad_capacity, bad->n + rows->n_bad, sizeof *bad->list));
  for (size_t i = 0; i < rows->n_bad; i++) {
    struct mr__problem *problem = &rows->bad[i].problem;
    if ((int64_t)bad->n == build->format.bad_rows)
      return mr__block_fail_bad(&hand->block, rows, build->line, problem, build->format.bad_rows);
    bad->list[bad->n++] = build->n_rows + rows->bad[i].row;
    bad->counts[problem->reason]++;
  }
  build->n_rows += rows->sides[MR_SAMPLE].n + (int64_t)rows->n_bad;
  return MR_OK;
}

/* Remember the block's last request, for the block after it. */
static int keep_open_request(struct hand *hand) {
  struct build *build = hand->build;
  struct open_request *open = &build->open;
  const struct mr__rows *rows = hand->rows;
  const struct mr__side *side = &rows->sides[MR_REQUEST];
  open->is_open = !rows->before_gap;
  open->key = rows->last_key;
  size_t at = mr__side_at(side, &build->layout->records[MR_REQUEST], side->n - 1);
  MR_TRY(mr__grow(&open->record, &open->capacity, side->size - at, 1));
  if (side->size > at) memcpy(open->record, side->records + at, side->size - at);
  const struct mr__column *columns = build->layout->schema->columns;
  for (size_t i = 0; i < build->layout->schema->n_columns; i++)
    if (columns[i].domain == MR_REQUEST && columns[i].type != MR_REQUEST_KEY)
      for (int k = columns[i].first_cell; k < columns[i].first_cell + mr__column_cells(&columns[i]);
           k++) {
        MR_TRY(excerpt_cell(hand, rows->last_request[k], open->texts[k]));
        open->hashes[k] = hash_cell(hand, rows->last_request[k]);
      }
  return MR_OK;
}

/* How many samples of the block are of its i-th request. */
static int64_t samples_of(const struct mr__rows *rows, int64_t i) {
  int is_last = i + 1 == rows->sides[MR_REQUEST].n;
  int64_t end = is_last ? rows->sides[MR_SAMPLE].n : rows->first_sample[i + 1];
  return end - rows->first_sample[i];
}

/* One column of the block's rows, each number as often as it has samples. */
static int fit_column(struct build *build, const struct mr__rows *rows, int c) {
  const struct mr__layout *layout = build->layout;
  int domain = layout->schema->columns[c].domain;
  int shared = domain == MR_REQUEST && layout->schema->request_key >= 0;
  const struct mr__side *side = &rows->sides[domain];
  const struct mr__record *shape = &layout->records[domain];
  for (int64_t i = 0; i < side->n; i++) {
    float number;
    memcpy(&number, side->records + mr__side_at(side, shape, i) + layout->at[c], sizeof number);
    for (int64_t times = shared ? samples_of(rows, i) : 1; times > 0; times--)
      MR_TRY(mr__fit_add(build->fit, c, number));
  }
  return MR_OK;
}

static int fit_columns(struct build *build, const struct mr__rows *rows) {
  const mr_schema *schema = build->layout->schema;
  for (size_t c = 0; build->fit && c < schema->n_columns; c++)
    if (mr__column_fits(&schema->columns[c])) MR_TRY(fit_column(build, rows, (int)c));
  return MR_OK;
}

static int append(struct hand *hand) {
  struct build *build = hand->build;
  struct mr__rows *rows = hand->rows;
  int has_key = build->layout->schema->request_key >= 0;
  if (build->heading != hand->block.heading) build->open.is_open = 0;
  build->heading = hand->block.heading;
  if (hand->block.first_line) build->line = hand->block.first_line;
  MR_TRY(mr__rows_settle(rows, build->layout, build->dictionary));
  int goes_on = has_key && rows->sides[MR_REQUEST].n > 0 && !rows->after_gap &&
                build->open.is_open && build->open.key == rows->first_key;
  if (goes_on) MR_TRY(check_border(hand));
  MR_TRY(count_bad_rows(hand));
  MR_TRY(mr__rows_settle_scenarios(rows, build->layout, build->heading, &build->scenarios));
  if (rows->problem.status != MR_OK) return report(hand, &rows->problem);
  build->line += rows->n_lines;
  if (rows->before_gap) build->open.is_open = 0;
  if (rows->sides[MR_SAMPLE].n == 0) return MR_OK;
  MR_TRY(fit_columns(build, rows));
  if (build->writer) MR_TRY(mr__store_writer_reserve(build->writer, rows, goes_on, &hand->segment));
  if (has_key && !(goes_on && rows->sides[MR_REQUEST].n == 1)) MR_TRY(keep_open_request(hand));
  return MR_OK;
}

/* ---- one thread ---- */

static int work_on_block(struct hand *hand, int read_status) {
  struct build *build = hand->build;
  if (read_status == MR_OK)
    hand->rows = mr__row_parser_run(hand->parser, hand->block.heading, &hand->block.text);
  int my_turn = wait_for_turn(hand), status = read_status;
  if (my_turn && status == MR_OK) status = append(hand);
  end_turn(hand, status);
  if (!my_turn) return MR_END; /* someone else's failure is the one to report */
  MR_TRY(status);
  if (!build->writer || hand->rows->sides[MR_SAMPLE].n == 0) return MR_OK;
  return mr__store_writer_write(build->writer, &hand->segment, hand->rows);
}

static int work_on_blocks(struct hand *hand) {
  struct build *build = hand->build;
  MR_TRY(mr__row_parser_new(&hand->parser, build->layout, &build->format, build->dictionary));
  int status = MR_OK;
  while (status == MR_OK) {
    status = take_block(hand);
    if (status != MR_END) status = work_on_block(hand, status);
  }
  return status == MR_END ? MR_OK : status;
}

static int work(void *argument, int64_t task, int worker) {
  (void)task;
  (void)worker;
  struct build *build = argument;
  struct hand hand = {.build = build};
  int status = work_on_blocks(&hand);
  if (status != MR_OK) stop(build);
  mr__row_parser_free(hand.parser);
  mr__block_clear(&hand.block);
  return status;
}

/* ---- the whole build ---- */

static int check_rows(const struct build *build, const char *const *paths, int32_t n_paths) {
  if (mr__store_writer_rows(build->writer, MR_SAMPLE) > 0) return MR_OK;
  if (build->bad.n == 0 && build->selection)
    return mr__fail(MR_EDATA, "%s%s: no row falls into this part", mr__source_name(paths[0]),
                    n_paths == 1 ? "" : " and others");
  return mr__fail_no_rows(&build->format, paths, n_paths, (int64_t)build->bad.n);
}

static void begin(struct build *build, const struct mr__layout *layout,
                  const mr_text_format *format) {
  *build = (struct build){.layout = layout, .format = *format};
  pthread_mutex_init(&build->reading, NULL);
  pthread_mutex_init(&build->appending, NULL);
  pthread_cond_init(&build->turned, NULL);
}

static int open_files(struct build *build, const mr_schema *schema, const char *const *paths,
                      int32_t n_paths, int32_t fit) {
  build->open.texts = mr__calloc((size_t)schema->n_cells, sizeof *build->open.texts);
  build->open.hashes = mr__calloc((size_t)schema->n_cells, sizeof *build->open.hashes);
  if (!build->open.texts || !build->open.hashes) return mr__fail_memory();
  MR_TRY(mr__dictionary_new(&build->dictionary, schema, fit));
  if (mr__schema_unfitted(schema)) MR_TRY(mr__fit_new(&build->fit, schema));
  MR_TRY(mr__reader_new(&build->reader, schema, &build->format, paths, n_paths,
                        build->format.bytes_read));
  if (build->format.selection) MR_TRY(mr__selection_new(&build->selection, schema, &build->format));
  return MR_OK;
}

static int read_blocks(struct build *build, mr_pool *pool) {
  return mr__pool_run(pool, work, build, mr__pool_threads(pool));
}

static int write_cache(struct build *build, const mr_schema *schema, const char *const *paths,
                       int32_t n_paths, const char *cache_path, int32_t fit, uint64_t fingerprint,
                       mr_pool *pool) {
  MR_TRY(open_files(build, schema, paths, n_paths, fit));
  MR_TRY(mr__store_writer_open(&build->writer, build->layout, cache_path, build->format.stop));
  MR_TRY(read_blocks(build, pool));
  MR_TRY(check_rows(build, paths, n_paths));
  if (build->fit) MR_TRY(mr__fit_finish(build->fit, build->layout->schema));
  build->kept.dictionary = build->dictionary;
  build->kept.scenarios = &build->scenarios;
  MR_TRY(mr__kept_fill(&build->kept, schema, fit));
  mr__store_writer_bad_rows(build->writer, &build->bad);
  return mr__store_writer_finish(build->writer, &build->kept, fingerprint, pool);
}

static void clear(struct build *build) {
  if (build->layout) mr__kept_clear(&build->kept, build->layout->schema);
  mr__store_writer_free(build->writer);
  mr__reader_free(build->reader);
  mr__selection_free(build->selection);
  mr__dictionary_free(build->dictionary);
  mr__scenarios_clear(&build->scenarios);
  mr__fit_free(build->fit);
  mr__free(build->open.record);
  mr__free(build->open.texts);
  mr__free(build->open.hashes);
  mr__free(build->bad.list);
  pthread_cond_destroy(&build->turned);
  pthread_mutex_destroy(&build->appending);
  pthread_mutex_destroy(&build->reading);
}

/* The first of two passes. A text without rows is told of by the second. */
static int fit_first(const struct mr__layout *layout, const mr_text_format *format,
                     const char *const *paths, int32_t n_paths, mr_pool *pool) {
  struct build build;
  begin(&build, layout, format);
  int status = open_files(&build, layout->schema, paths, n_paths, 1);
  if (status == MR_OK) status = read_blocks(&build, pool);
  if (status == MR_OK) status = mr__fit_finish(build.fit, layout->schema);
  clear(&build);
  return status;
}

/* What decides the content besides the schema; of the format only what changes the meaning. */
static int fingerprint_sources(const mr_text_format *format, const char *const *paths,
                               int32_t n_paths, int64_t fit, uint64_t *out) {
  int64_t numbers[] = {format->delimiter, format->quotes,  fit, n_paths, format->n_names,
                       format->layout,    format->bad_rows};
  uint64_t sum = mr__hash(numbers, sizeof numbers, 0);
  for (int32_t i = 0; i < format->n_names; i++)
    sum = mr__hash(format->names[i], strlen(format->names[i]), sum + 1);
  const mr_selection *rule = format->selection;
  if (rule) {
    double range[] = {rule->from, rule->to};
    uint64_t how[] = {(uint64_t)rule->by, rule->seed};
    sum = mr__hash(range, sizeof range, sum);
    sum = mr__hash(how, sizeof how, sum);
    if (rule->column) sum = mr__hash(rule->column, strlen(rule->column), sum);
  }
  for (int32_t i = 0; i < n_paths; i++) {
    struct mr__file_stamp stamp;
    MR_TRY(mr__file_stamp(paths[i], &stamp));
    int64_t file[] = {stamp.size, stamp.mtime_ns, stamp.ctime_ns};
    char real[PATH_MAX]; /* whatever folder the path was typed in */
    const char *path = realpath(paths[i], real) ? real : paths[i];
    sum = mr__hash(path, strlen(path), sum + 1);
    sum = mr__hash(file, sizeof file, sum + 2);
  }
  *out = sum;
  return MR_OK;
}

/* MR_OK: nothing to do; MR_END: to be built. */
static int check_cache(const mr_schema *schema, const char *path, uint64_t fingerprint) {
  struct mr__store_header header;
  MR_TRY(mr__store_peek(path, &header));
  if (header.source_fingerprint != fingerprint) return MR_END;
  mr_dataset *dataset;
  int status = mr_dataset_open(&dataset, schema, path);
  mr_dataset_close(dataset);
  return status == MR_EDATA ? MR_END : status;
}

/* Wait for a lock, and no longer than until told to stop. */
static int wait_for_lock(int lock, const char *path, const int32_t *stop) {
  enum { LOOK_MS = 50 };
  struct timespec nap = {0, LOOK_MS * 1000000L};
  for (;;) {
    if (flock(lock, stop ? LOCK_EX | LOCK_NB : LOCK_EX) == 0) return MR_OK;
    if (errno != EINTR && errno != EWOULDBLOCK) return mr__fail_file(path);
    MR_TRY(mr__check_stop(stop, path, "waited for"));
    if (errno == EWOULDBLOCK) nanosleep(&nap, NULL);
  }
}

/* The lock is on a file beside the cache, which stays: removing it would race with those who wait
 * for it. */
static int lock_cache(const char *cache_path, const int32_t *stop, int *lock) {
  size_t size = strlen(cache_path) + sizeof ".lock";
  char *path = mr__malloc(size);
  if (!path) return mr__fail_memory();
  snprintf(path, size, "%s.lock", cache_path);
  *lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  int status = *lock >= 0 ? wait_for_lock(*lock, path, stop) : mr__fail_file(path);
  if (status != MR_OK && *lock >= 0) close(*lock);
  mr__free(path);
  return status;
}

/* What is wanted of the text as both passes take it: its times are looked for once. */
static int settle_selection(mr_text_format *format, mr_selection *rule, const mr_schema *schema,
                            const char *const *paths, int32_t n_paths) {
  if (!format->selection || format->selection->by != MR_BY_TIME_SHARE) return MR_OK;
  *rule = *format->selection;
  MR_TRY(mr__selection_find_times(rule, schema, format, paths, n_paths));
  format->selection = rule;
  return MR_OK;
}

static int check_arguments(const mr_schema *schema, int32_t n_paths) {
  if (schema->n_columns == 0) return mr__fail(MR_EINVAL, "the schema has no columns");
  if (n_paths < 1) return mr__fail(MR_EINVAL, "there are no files to read");
  return MR_OK;
}

int mr_dataset_build(const mr_schema *schema, const mr_text_format *format,
                     const char *const *paths, int32_t n_paths, const char *cache_path, int32_t fit,
                     mr_pool *pool) {
  uint64_t fingerprint;
  int lock = -1, is_given = mr__schema_fits(schema) && !mr__schema_unfitted(schema);
  struct build build;
  mr_text_format checked = *format;
  mr_selection rule;
  MR_TRY(check_arguments(schema, n_paths));
  MR_TRY(mr__text_format_check(&checked, schema));
  if (format->selection) MR_TRY(mr__selection_check(format->selection, format->layout));
  MR_TRY(fingerprint_sources(format, paths, n_paths, fit != 0, &fingerprint));
  int status = check_cache(schema, cache_path, fingerprint);
  if (status != MR_END) return status;
  const struct mr__column *unfitted = mr__schema_unfitted(schema);
  if (!fit && unfitted) return mr__fail_unfitted(unfitted);
  if (fit && is_given) { /* not what this data would be fitted to: nobody may take it for that */
    enum { GIVEN = 2 };
    MR_TRY(fingerprint_sources(format, paths, n_paths, GIVEN, &fingerprint));
  }
  MR_TRY(lock_cache(cache_path, format->stop, &lock));
  struct mr__layout *layout = NULL;
  status = check_cache(schema, cache_path, fingerprint); /* another process may have built it */
  if (status == MR_END) {
    status = mr__layout_new(&layout, schema);
    if (status == MR_OK) status = settle_selection(&checked, &rule, schema, paths, n_paths);
    begin(&build, layout, &checked);
    if (status == MR_OK && mr__schema_crosses_unfitted(schema))
      status = fit_first(layout, &checked, paths, n_paths, pool);
    if (status == MR_OK)
      status = write_cache(&build, schema, paths, n_paths, cache_path, fit, fingerprint, pool);
    if (status != MR_OK && layout && !is_given) mr__schema_unfit(layout->schema);
    clear(&build);
    mr__layout_free(layout);
  }
  close(lock);
  return status;
}
