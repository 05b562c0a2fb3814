#include "data/store_writer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/files.h"
#include "data/fit.h"
#include "data/source.h"

enum { PIECE = 1 << 23 }; /* bytes that are sent to the disk together */

struct mr__store_writer {
  const struct mr__layout *layout;
  char *path, *new_path;
  int files[MR_DOMAINS]; /* of records: that of samples is the new file itself */
  int columns_file;
  const int32_t *stop;            /* borrowed; or NULL */
  int has_new_file;               /* new_path is to be removed */
  const struct mr__bad_rows *bad; /* borrowed; or NULL */
  struct mr__segment *segments;
  size_t n_segments, segments_capacity;
  int64_t rows[MR_DOMAINS];
  uint64_t record_bytes[MR_DOMAINS], columns_bytes;
  int64_t *unseen; /* [columns], once settled */
};

/* ---- plain files ---- */

static int fail_write(const struct mr__store_writer *writer) {
  return mr__fail_file(writer->new_path);
}

static int check_stop(const struct mr__store_writer *writer) {
  return mr__check_stop(writer->stop, writer->new_path, "written");
}

static int write_at(const struct mr__store_writer *writer, int file, const void *data,
                    uint64_t bytes, uint64_t at) {
  const char *p = data;
  MR_TRY(check_stop(writer));
  while (bytes > 0) {
    ssize_t n = pwrite(file, p, bytes, (off_t)at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_write(writer);
    p += n;
    at += (uint64_t)n;
    bytes -= (uint64_t)n;
  }
  return MR_OK;
}

/* Have the system write these bytes to disk from now on: the sync at the end then waits for the
 * last of them only. Whole pieces, each when its end is written: many small orders to the disk hold
 * up whoever writes. A hint, so failures are ignored. */
static void start_writeback(int file, uint64_t bytes, uint64_t at) {
#ifdef SYNC_FILE_RANGE_WRITE
  uint64_t first = at / PIECE * PIECE, end = (at + bytes) / PIECE * PIECE;
  if (end > first) sync_file_range(file, (off_t)first, (off_t)(end - first), SYNC_FILE_RANGE_WRITE);
#else
  (void)file, (void)bytes, (void)at;
#endif
}

static int read_at(const struct mr__store_writer *writer, int file, void *data, uint64_t bytes,
                   uint64_t at) {
  char *p = data;
  while (bytes > 0) {
    ssize_t n = pread(file, p, bytes, (off_t)at);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) errno = EIO; /* someone cut our file */
    if (n <= 0) return fail_write(writer);
    p += n;
    at += (uint64_t)n;
    bytes -= (uint64_t)n;
  }
  return MR_OK;
}

/* Bytes of other files on their way to one place of the new one, many pieces at a time. */
struct copy {
  const struct mr__store_writer *writer;
  const struct mr__column *fitted; /* NULL, or whose numbers they are, as they were parsed */
  char *buffer;                    /* [COPIED] */
  uint64_t n, to;                  /* bytes that wait, and where they go */
};
enum { COPIED = 1 << 18 };

static int begin_copy(struct copy *copy, const struct mr__store_writer *writer,
                      const struct mr__column *fitted, uint64_t to) {
  *copy = (struct copy){.writer = writer, .fitted = fitted, .to = to};
  copy->buffer = mr__malloc(COPIED);
  return copy->buffer ? MR_OK : mr__fail_memory();
}

static int flush_copy(struct copy *copy) {
  float *numbers = (float *)(void *)copy->buffer;
  for (uint64_t i = 0; copy->fitted && i < copy->n / sizeof *numbers; i++)
    numbers[i] = mr__fitted_number(copy->fitted, numbers[i]);
  MR_TRY(write_at(copy->writer, copy->writer->files[MR_SAMPLE], copy->buffer, copy->n, copy->to));
  copy->to += copy->n;
  copy->n = 0;
  return MR_OK;
}

static int copy_piece(struct copy *copy, int from, uint64_t at, uint64_t bytes) {
  while (bytes > 0) {
    uint64_t some = bytes < COPIED - copy->n ? bytes : COPIED - copy->n;
    MR_TRY(read_at(copy->writer, from, copy->buffer + copy->n, some, at));
    at += some;
    bytes -= some;
    copy->n += some;
    if (copy->n == COPIED) MR_TRY(flush_copy(copy));
  }
  return MR_OK;
}

static char *join(const char *path, const char *suffix) {
  size_t size = strlen(path) + strlen(suffix) + 1;
  char *joined = mr__malloc(size);
  if (joined) snprintf(joined, size, "%s%s", path, suffix);
  return joined;
}

/* A file beside the cache that no longer has a name. */
static int open_nameless(struct mr__store_writer *writer, const char *suffix, int *file) {
  char *path = join(writer->path, suffix);
  if (!path) return mr__fail_memory();
  *file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (*file < 0)
    mr__fail_file(path);
  else
    unlink(path);
  mr__free(path);
  return *file < 0 ? MR_EIO : MR_OK;
}

/* ---- life cycle ---- */

static int open_files(struct mr__store_writer *writer) {
  int flags = O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC;
  writer->files[MR_SAMPLE] = open(writer->new_path, flags, 0666);
  if (writer->files[MR_SAMPLE] < 0) return fail_write(writer);
  writer->has_new_file = 1;
  MR_TRY(open_nameless(writer, ".tmp.requests", &writer->files[MR_REQUEST]));
  return open_nameless(writer, ".tmp.columns", &writer->columns_file);
}

int mr__store_writer_open(struct mr__store_writer **out, const struct mr__layout *layout,
                          const char *path, const int32_t *stop) {
  *out = NULL;
  struct mr__store_writer *writer = mr__calloc(1, sizeof *writer);
  if (!writer) return mr__fail_memory();
  writer->layout = layout;
  writer->stop = stop;
  writer->files[MR_SAMPLE] = writer->files[MR_REQUEST] = writer->columns_file = -1;
  writer->path = mr__strdup(path);
  writer->new_path = join(path, ".tmp");
  int status = writer->path && writer->new_path ? MR_OK : mr__fail_memory();
  if (status == MR_OK) status = open_files(writer);
  if (status != MR_OK) {
    mr__store_writer_free(writer);
    return status;
  }
  *out = writer;
  return MR_OK;
}

void mr__store_writer_free(struct mr__store_writer *writer) {
  if (!writer) return;
  for (int domain = 0; domain < MR_DOMAINS; domain++)
    if (writer->files[domain] >= 0) close(writer->files[domain]);
  if (writer->columns_file >= 0) close(writer->columns_file);
  if (writer->has_new_file) unlink(writer->new_path);
  mr__free(writer->unseen);
  mr__free(writer->segments);
  mr__free(writer->new_path);
  mr__free(writer->path);
  mr__free(writer);
}

int64_t mr__store_writer_rows(const struct mr__store_writer *writer, int domain) {
  return writer->rows[domain];
}

/* Where the records of a domain start in their file. */
static uint64_t records_start(const struct mr__store_writer *writer, int domain) {
  return domain == MR_SAMPLE ? mr__store_start(writer->layout) : 0;
}

/* ---- what waits in the file of columns ---- */

/* Every section but records and counts: `bytes` for each row of a domain. */
struct part {
  enum mr__section_kind kind;
  int index, domain;
  uint64_t bytes;
};

static int count_parts(const struct mr__layout *layout) { return layout->n_views + MR_DOMAINS + 1; }

/* Parts that this schema does not have are 0 bytes a row. */
static struct part part_of(const struct mr__layout *layout, int i) {
  if (i < layout->n_views) return (struct part){MR__VIEW, i, MR_SAMPLE, mr__view_bytes(layout, i)};
  i -= layout->n_views;
  if (i < MR_DOMAINS) {
    uint64_t bytes = layout->records[i].varies ? sizeof(int64_t) : 0;
    return (struct part){MR__OFFSETS, i, i, bytes};
  }
  uint64_t bytes = layout->schema->request_key >= 0 ? sizeof(int64_t) : 0;
  return (struct part){MR__FIRST_SAMPLE, 0, MR_REQUEST, bytes};
}

static const char *part_data(const struct mr__rows *rows, struct part part) {
  switch (part.kind) {
  case MR__VIEW:
    return rows->views[part.index].data;
  case MR__OFFSETS:
    return (const char *)rows->sides[part.index].offsets;
  default:
    return (const char *)rows->first_sample;
  }
}

/* ---- segments ---- */

/* Bytes of the first request's record, which is already there when a request goes on. */
static size_t first_request_bytes(const struct mr__layout *layout, const struct mr__rows *rows) {
  const struct mr__side *side = &rows->sides[MR_REQUEST];
  const struct mr__record *shape = &layout->records[MR_REQUEST];
  if (shape->fixed == 0) return 0; /* nor are there records */
  return mr__record_bytes(shape, side->records, side->records + side->size);
}

int mr__store_writer_reserve(struct mr__store_writer *writer, const struct mr__rows *rows,
                             int goes_on, struct mr__segment *out) {
  MR_TRY(mr__grow(&writer->segments, &writer->segments_capacity, writer->n_segments + 1,
                  sizeof *writer->segments));
  struct mr__segment segment = {.columns_at = writer->columns_bytes, .goes_on = goes_on};
  for (int domain = 0; domain < MR_DOMAINS; domain++) {
    int dropped = goes_on && domain == MR_REQUEST;
    segment.first[domain] = writer->rows[domain];
    segment.n[domain] = rows->sides[domain].n - dropped;
    segment.record_at[domain] = writer->record_bytes[domain];
    segment.record_bytes[domain] = rows->sides[domain].size;
    if (dropped) segment.record_bytes[domain] -= first_request_bytes(writer->layout, rows);
    writer->rows[domain] += segment.n[domain];
    writer->record_bytes[domain] += segment.record_bytes[domain];
  }
  for (int i = 0; i < count_parts(writer->layout); i++) {
    struct part part = part_of(writer->layout, i);
    writer->columns_bytes += part.bytes * (uint64_t)segment.n[part.domain];
  }
  writer->segments[writer->n_segments++] = *out = segment;
  return MR_OK;
}

/* From places in the block to places in the dataset. */
static void shift_offsets(const struct mr__layout *layout, const struct mr__segment *segment,
                          struct mr__rows *rows) {
  for (int domain = 0; domain < MR_DOMAINS; domain++) {
    struct mr__side *side = &rows->sides[domain];
    int64_t shift =
        (int64_t)(segment->record_at[domain] + segment->record_bytes[domain]) - (int64_t)side->size;
    for (int64_t i = 0; layout->records[domain].varies && i < side->n; i++)
      side->offsets[i] += shift;
  }
  for (int64_t i = 0; layout->schema->request_key >= 0 && i < rows->sides[MR_REQUEST].n; i++)
    rows->first_sample[i] += segment->first[MR_SAMPLE];
}

int mr__store_writer_write(struct mr__store_writer *writer, const struct mr__segment *segment,
                           struct mr__rows *rows) {
  const struct mr__layout *layout = writer->layout;
  shift_offsets(layout, segment, rows);
  for (int domain = 0; domain < MR_DOMAINS; domain++) {
    const struct mr__side *side = &rows->sides[domain];
    uint64_t bytes = segment->record_bytes[domain];
    if (bytes == 0) continue;
    uint64_t at = records_start(writer, domain) + segment->record_at[domain];
    const char *records = side->records + (side->size - bytes);
    MR_TRY(write_at(writer, writer->files[domain], records, bytes, at));
    if (domain == MR_SAMPLE) start_writeback(writer->files[domain], bytes, at);
  }
  uint64_t at = segment->columns_at;
  for (int i = 0; i < count_parts(layout); i++) {
    struct part part = part_of(layout, i);
    uint64_t bytes = part.bytes * (uint64_t)segment->n[part.domain];
    int dropped = segment->goes_on && part.domain == MR_REQUEST;
    if (bytes > 0)
      MR_TRY(write_at(writer, writer->columns_file,
                      part_data(rows, part) + (dropped ? part.bytes : 0), bytes, at));
    at += bytes;
  }
  return MR_OK;
}

/* ---- once all rows are known: rare keys, fitted numbers ---- */

/* One segment's records of one domain in memory. */
struct scratch {
  char *records;
  size_t capacity;
  int64_t *unseen; /* [columns] */
};

struct rare_job {
  struct mr__store_writer *writer;
  const struct mr__kept *kept;
  struct scratch *scratch; /* [threads] */
};

static int map_segment(void *argument, int64_t task, int worker) {
  struct rare_job *job = argument;
  struct mr__store_writer *writer = job->writer;
  struct scratch *scratch = &job->scratch[worker];
  const struct mr__segment *segment = &writer->segments[task];
  for (int domain = 0; domain < MR_DOMAINS; domain++) {
    const struct mr__record *shape = &writer->layout->records[domain];
    uint64_t bytes = segment->record_bytes[domain];
    uint64_t place = records_start(writer, domain) + segment->record_at[domain];
    if (bytes == 0) continue;
    MR_TRY(mr__grow(&scratch->records, &scratch->capacity, bytes, 1));
    MR_TRY(read_at(writer, writer->files[domain], scratch->records, bytes, place));
    for (size_t at = 0, size; at < bytes; at += size) {
      size = mr__record_bytes(shape, scratch->records + at, scratch->records + bytes);
      assert(size > 0); /* we wrote them */
      mr__kept_map(job->kept, writer->layout, domain, scratch->records + at, scratch->unseen);
    }
    MR_TRY(write_at(writer, writer->files[domain], scratch->records, bytes, place));
  }
  return MR_OK;
}

static void free_scratch(struct scratch *scratch, int n) {
  for (int i = 0; i < n; i++) {
    mr__free(scratch[i].records);
    mr__free(scratch[i].unseen);
  }
  mr__free(scratch);
}

static int make_scratch(struct scratch **out, int n, size_t n_columns) {
  *out = mr__calloc((size_t)n, sizeof **out);
  int fine = *out != NULL;
  for (int i = 0; fine && i < n; i++) {
    (*out)[i].unseen = mr__calloc(n_columns, sizeof *(*out)[i].unseen);
    fine = (*out)[i].unseen != NULL;
  }
  if (fine) return MR_OK;
  if (*out) free_scratch(*out, n);
  return mr__fail_memory();
}

static int settle_records(struct mr__store_writer *writer, const struct mr__kept *kept,
                          mr_pool *pool) {
  const mr_schema *schema = writer->layout->schema;
  int threads = mr__pool_threads(pool);
  writer->unseen = mr__calloc(schema->n_columns, sizeof *writer->unseen);
  if (!writer->unseen) return mr__fail_memory();
  if (mr__kept_is_idle(kept, schema)) return MR_OK;
  mr__kept_forget_rare(kept, schema);
  struct rare_job job = {.writer = writer, .kept = kept};
  MR_TRY(make_scratch(&job.scratch, threads, schema->n_columns));
  int status = mr__pool_run(pool, map_segment, &job, (int64_t)writer->n_segments);
  for (int i = 0; i < threads; i++)
    for (size_t c = 0; c < schema->n_columns; c++) writer->unseen[c] += job.scratch[i].unseen[c];
  free_scratch(job.scratch, threads);
  return status;
}

/* ---- the finished file ---- */

/* The column of a view whose numbers are fitted, or NULL. */
static const struct mr__column *fitted_view(const struct mr__layout *layout, struct part part) {
  if (part.kind != MR__VIEW) return NULL;
  const struct mr__column *column = &layout->schema->columns[layout->views[part.index]];
  return mr__column_fits(column) ? column : NULL;
}

static int copy_segments(struct copy *copy, const struct part *part, int part_index) {
  const struct mr__store_writer *writer = copy->writer;
  for (size_t s = 0; s < writer->n_segments; s++) {
    const struct mr__segment *segment = &writer->segments[s];
    uint64_t from = segment->columns_at;
    for (int i = 0; i < part_index; i++) {
      struct part before = part_of(writer->layout, i);
      from += before.bytes * (uint64_t)segment->n[before.domain];
    }
    MR_TRY(copy_piece(copy, writer->columns_file, from,
                      part->bytes * (uint64_t)segment->n[part->domain]));
  }
  return flush_copy(copy);
}

/* Gather one part from all segments, then the end that closes a list of places. */
static int write_part(const struct mr__store_writer *writer, const struct mr__store *store,
                      int part_index) {
  const struct mr__layout *layout = writer->layout;
  struct part part = part_of(layout, part_index);
  struct copy copy;
  if (part.bytes == 0) return MR_OK;
  MR_TRY(begin_copy(&copy, writer, fitted_view(layout, part),
                    mr__store_find(store, part.kind, part.index)->offset));
  int status = copy_segments(&copy, &part, part_index);
  mr__free(copy.buffer);
  if (status != MR_OK || part.kind == MR__VIEW) return status;
  int64_t end = part.kind == MR__OFFSETS ? (int64_t)writer->record_bytes[part.domain]
                                         : writer->rows[MR_SAMPLE];
  return write_at(writer, writer->files[MR_SAMPLE], &end, sizeof end, copy.to);
}

static int write_requests(const struct mr__store_writer *writer, const struct mr__store *store) {
  struct copy copy;
  if (writer->record_bytes[MR_REQUEST] == 0) return MR_OK;
  MR_TRY(begin_copy(&copy, writer, NULL, mr__store_find(store, MR__RECORDS, MR_REQUEST)->offset));
  int status = copy_piece(&copy, writer->files[MR_REQUEST], 0, writer->record_bytes[MR_REQUEST]);
  if (status == MR_OK) status = flush_copy(&copy);
  mr__free(copy.buffer);
  return status;
}

static int write_distinct(const struct mr__store_writer *writer, const struct mr__store *store,
                          struct mr__dictionary *dictionary) {
  uint64_t at = mr__store_find(store, MR__DISTINCT, 0)->offset;
  for (size_t i = 0; i < writer->layout->schema->n_tables; i++) {
    int64_t distinct = mr__dictionary_distinct(dictionary, (int)i);
    MR_TRY(write_at(writer, writer->files[MR_SAMPLE], &distinct, sizeof distinct, at + 8 * i));
  }
  return MR_OK;
}

static int write_dictionary(const struct mr__store_writer *writer, const struct mr__store *store,
                            const struct mr__dictionary *dictionary, int table) {
  enum { SOME = 4096 };
  uint64_t keys[SOME], at = mr__store_find(store, MR__DICTIONARY, table)->offset;
  int64_t codes = store->codes[table];
  for (int64_t first = 0; first < codes; first += SOME) {
    int64_t n = codes - first < SOME ? codes - first : SOME;
    mr__dictionary_keys(dictionary, table, first, n, keys);
    MR_TRY(write_at(writer, writer->files[MR_SAMPLE], keys, sizeof *keys * (uint64_t)n,
                    at + sizeof *keys * (uint64_t)first));
  }
  return MR_OK;
}

static int64_t count_text_bytes(const struct mr__dictionary *dictionary, int table) {
  if (!mr__dictionary_has_texts(dictionary, table)) return 0;
  size_t sum = 0, size;
  for (int64_t code = 0; code < mr__dictionary_codes(dictionary, table); code++) {
    mr__dictionary_text(dictionary, table, (uint32_t)code, &size);
    sum += size;
  }
  return (int64_t)sum;
}

static int write_texts(const struct mr__store_writer *writer, const struct mr__store *store,
                       const struct mr__dictionary *dictionary, int table) {
  enum { SOME = 4096 };
  if (store->text_bytes[table] == 0) return MR_OK;
  int file = writer->files[MR_SAMPLE];
  uint64_t ends[SOME], end = 0, at = mr__store_find(store, MR__TEXT_ENDS, table)->offset;
  uint64_t texts = mr__store_find(store, MR__TEXTS, table)->offset;
  struct mr__texts some = {0};
  int status = MR_OK;
  for (int64_t first = 0; status == MR_OK && first < store->codes[table]; first += SOME) {
    int64_t n = store->codes[table] - first < SOME ? store->codes[table] - first : SOME;
    uint64_t before = end;
    some.n = 0;
    for (int64_t i = 0; status == MR_OK && i < n; i++) {
      size_t size;
      const char *text = mr__dictionary_text(dictionary, table, (uint32_t)(first + i), &size);
      status = mr__texts_add(&some, text, size);
      if (status == MR_OK) ends[i] = end = before + some.ends[i];
    }
    if (status == MR_OK)
      status = write_at(writer, file, ends, 8 * (uint64_t)n, at + 8 * (uint64_t)first);
    if (status == MR_OK) status = write_at(writer, file, some.bytes, end - before, texts + before);
  }
  mr__texts_clear(&some);
  return status;
}

static int write_fitted(const struct mr__store_writer *writer, const struct mr__store *store) {
  const struct mr__section *section = mr__store_find(store, MR__FITTED, 0);
  if (!section) return MR_OK;
  char *bytes = mr__malloc(section->bytes);
  if (!bytes) return mr__fail_memory();
  mr__fitted_write(writer->layout->schema, bytes);
  int status = write_at(writer, writer->files[MR_SAMPLE], bytes, section->bytes, section->offset);
  mr__free(bytes);
  return status;
}

struct section_job {
  const struct mr__store_writer *writer;
  const struct mr__store *store;
  const struct mr__dictionary *dictionary;
};

/* The records of requests, the parts, and the dictionaries of the tables. */
static int write_large_section(void *argument, int64_t task, int worker) {
  (void)worker;
  const struct section_job *job = argument;
  int i = (int)task - 1, n_parts = count_parts(job->writer->layout);
  if (task == 0) return write_requests(job->writer, job->store);
  if (i < n_parts) return write_part(job->writer, job->store, i);
  i -= n_parts;
  MR_TRY(write_dictionary(job->writer, job->store, job->dictionary, i));
  return write_texts(job->writer, job->store, job->dictionary, i);
}

static int write_sections(const struct mr__store_writer *writer, struct mr__store *store,
                          const struct mr__kept *kept, mr_pool *pool) {
  int file = writer->files[MR_SAMPLE];
  const mr_schema *schema = writer->layout->schema;
  struct section_job job = {writer, store, kept->dictionary};
  MR_TRY(mr__pool_run(pool, write_large_section, &job,
                      1 + count_parts(writer->layout) + (int64_t)schema->n_tables));
  MR_TRY(write_distinct(writer, store, kept->dictionary));
  MR_TRY(write_at(writer, file, writer->unseen, 8 * schema->n_columns,
                  mr__store_find(store, MR__UNSEEN, 0)->offset));
  const struct mr__section *scenarios = mr__store_find(store, MR__SCENARIOS, 0);
  MR_TRY(write_fitted(writer, store));
  if (scenarios)
    MR_TRY(write_at(writer, file, kept->scenarios->list, scenarios->bytes, scenarios->offset));
  if (writer->bad && writer->bad->n > 0)
    MR_TRY(write_at(writer, file, writer->bad->list, 8 * writer->bad->n,
                    mr__store_find(store, MR__BAD_ROWS, 0)->offset));
  mr__store_sign(store);
  MR_TRY(write_at(writer, file, &store->header, sizeof store->header, 0));
  MR_TRY(write_at(writer, file, store->sections, store->header.n_sections * sizeof *store->sections,
                  sizeof store->header));
  if (ftruncate(file, (off_t)store->header.file_bytes) != 0) return fail_write(writer);
  return MR_OK;
}

void mr__store_writer_bad_rows(struct mr__store_writer *writer, const struct mr__bad_rows *bad) {
  writer->bad = bad;
}

/* Wait for the disk piece by piece, so that it can be stopped: a sync of all waits for gigabytes.
 * The pieces after it are on their way meanwhile. */
static int sync_parts(const struct mr__store_writer *writer, uint64_t bytes) {
#ifdef SYNC_FILE_RANGE_WRITE
  enum { AHEAD = 8 };
  int file = writer->files[MR_SAMPLE];
  uint64_t sent = 0;
  for (uint64_t at = 0; at < bytes; at += PIECE) {
    MR_TRY(check_stop(writer));
    for (; sent < bytes && sent < at + AHEAD * (uint64_t)PIECE; sent += PIECE)
      start_writeback(file, PIECE, sent);
    unsigned flags = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE;
    int failed = sync_file_range(file, (off_t)at, PIECE, flags | SYNC_FILE_RANGE_WAIT_AFTER) != 0;
    /* What it was told of writing, the sync after it is not told again. */
    if (failed && (errno == EIO || errno == ENOSPC || errno == EDQUOT)) return fail_write(writer);
  }
#else
  (void)bytes;
#endif
  return check_stop(writer);
}

static int put_in_place(struct mr__store_writer *writer, uint64_t bytes) {
  char folder[MR__PATH_BYTES];
  MR_TRY(mr__path_parent(folder, writer->path));
  MR_TRY(sync_parts(writer, bytes));
  if (fsync(writer->files[MR_SAMPLE]) != 0) return fail_write(writer);
  MR_TRY(check_stop(writer));
  if (rename(writer->new_path, writer->path) != 0) return mr__fail_file(writer->path);
  writer->has_new_file = 0;
  return mr__sync_folder(folder); /* a rename is on disk only when the folder is */
}

static int plan_and_write(const struct mr__store_writer *writer, struct mr__store *store,
                          const struct mr__kept *kept, uint64_t source_fingerprint, mr_pool *pool) {
  const mr_schema *schema = writer->layout->schema;
  store->header.samples = writer->rows[MR_SAMPLE];
  store->header.requests = writer->rows[MR_REQUEST];
  store->header.schema_fingerprint = mr__schema_fingerprint(schema);
  store->header.source_fingerprint = source_fingerprint;
  for (int reason = 0; writer->bad && reason < MR_BAD_REASONS; reason++)
    store->header.bad_rows[reason] = (uint64_t)writer->bad->counts[reason];
  for (int domain = 0; domain < MR_DOMAINS; domain++)
    store->header.record_bytes[domain] = writer->record_bytes[domain];
  for (size_t t = 0; t < schema->n_tables; t++)
    store->codes[t] = mr__dictionary_codes(kept->dictionary, (int)t);
  for (size_t t = 0; t < schema->n_tables; t++)
    store->text_bytes[t] = count_text_bytes(kept->dictionary, (int)t);
  store->scenarios = (int64_t)kept->scenarios->n;
  MR_TRY(mr__store_plan(store, writer->layout));
  return write_sections(writer, store, kept, pool);
}

int mr__store_writer_finish(struct mr__store_writer *writer, const struct mr__kept *kept,
                            uint64_t source_fingerprint, mr_pool *pool) {
  MR_TRY(settle_records(writer, kept, pool));
  struct mr__store store;
  int status = mr__store_init(&store, writer->layout);
  if (status == MR_OK) status = plan_and_write(writer, &store, kept, source_fingerprint, pool);
  uint64_t bytes = store.header.file_bytes;
  mr__store_clear(&store);
  if (status == MR_OK) status = put_in_place(writer, bytes);
  return status;
}
