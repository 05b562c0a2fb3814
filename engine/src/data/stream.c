/* mr_stream: text to parts, on a thread of its own.
 *
 *   block -> part -> [ room for one ] -> the caller
 *
 * The next part is made while the caller works on the one before. A part ends with a request: where
 * the last one of a block may go on, its rows are read once more, with what follows them. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/pool.h"
#include "data/fit.h"
#include "data/part.h"
#include "data/source.h"

struct mr_stream {
  mr_schema *schema; /* holds a reference */
  mr_text_format format;
  const char *const *paths;
  int32_t n_paths;
  int64_t bytes, total; /* bytes: changed atomically */
  int32_t stop;         /* set atomically */

  /* Of the thread. */
  struct mr__reader *reader;
  struct mr__block block;
  char *pristine; /* the block's text, where parsing changes it and it may be read again */
  size_t pristine_capacity;
  struct mr__part_maker *maker;
  struct mr__part_place place;
  int64_t n_rows;

  pthread_t thread;
  int has_thread;
  pthread_mutex_t lock; /* guards all below */
  pthread_cond_t changed;
  mr_dataset *part;           /* that waits for the caller */
  struct mr__failure outcome; /* once there are no more parts: MR_END, or why */
};

/* ---- parts ---- */

static int64_t count_lines(const char *text, size_t size) {
  int64_t n = 0;
  for (const char *at = text, *end = text + size; (at = memchr(at, '\n', (size_t)(end - at))); at++)
    n++;
  return n;
}

static int keep_pristine(mr_stream *stream) {
  const struct mr__block_text *text = &stream->block.text;
  MR_TRY(mr__grow(&stream->pristine, &stream->pristine_capacity, text->size, 1));
  memcpy(stream->pristine, text->text, text->size);
  return MR_OK;
}

/* Have the rest of the block read again. */
static int give_back(mr_stream *stream, const char *text) {
  size_t used = stream->place.used, rest = stream->block.text.size - used;
  if (used == 0 && rest >= (size_t)stream->format.row_bytes)
    return mr__fail(MR_EDATA, "%s:%lld: the rows of a request are longer than %lld bytes",
                    stream->block.heading->path, (long long)stream->place.line,
                    (long long)stream->format.row_bytes);
  return mr__reader_give_back(stream->reader, text + used, rest);
}

/* *out: NULL where a block has no whole request. */
static int next_part(mr_stream *stream, mr_dataset **out) {
  struct mr__block *block = &stream->block;
  struct mr__part_place *place = &stream->place;
  *out = NULL;
  int status = mr__reader_next(stream->reader, block);
  if (status == MR_END && stream->n_rows == 0)
    return mr__fail_no_rows(&stream->format, stream->paths, stream->n_paths,
                            stream->format.bad_rows - place->bad_left);
  if (status != MR_OK) return status;
  if (block->first_line) place->line = block->first_line;
  const char *text = block->text.text;
  place->hold = stream->schema->request_key >= 0 && !block->is_last;
  if (stream->format.layout == MR_JSON) {
    MR_TRY(keep_pristine(stream));
    text = stream->pristine;
  }
  MR_TRY(mr__part_make(stream->maker, out, block, place));
  stream->n_rows += *out ? mr_dataset_samples(*out) : 0;
  place->line += count_lines(text, place->used);
  if (place->used == block->text.size) return MR_OK;
  status = give_back(stream, text);
  if (status != MR_OK) mr_dataset_close(*out);
  return status;
}

/* ---- the thread ---- */

static int wait_for_room(mr_stream *stream) {
  pthread_mutex_lock(&stream->lock);
  while (stream->part && !stream->stop) pthread_cond_wait(&stream->changed, &stream->lock);
  int goes_on = !stream->stop;
  pthread_mutex_unlock(&stream->lock);
  return goes_on;
}

static void hand_over(mr_stream *stream, int status, mr_dataset *part) {
  pthread_mutex_lock(&stream->lock);
  mr__failure_note(&stream->outcome, status);
  if (status >= 0) stream->part = part;
  pthread_cond_signal(&stream->changed);
  pthread_mutex_unlock(&stream->lock);
}

static int open_reader(mr_stream *stream) {
  MR_TRY(mr__reader_new(&stream->reader, stream->schema, &stream->format, stream->paths,
                        stream->n_paths, &stream->bytes));
  MR_TRY(mr__part_maker_new(&stream->maker, stream->schema, &stream->format));
  mr__reader_go_live(stream->reader);
  return MR_OK;
}

static void *work(void *argument) {
  mr_stream *stream = argument;
  int status = open_reader(stream);
  if (status != MR_OK) hand_over(stream, status, NULL);
  while (status == MR_OK && wait_for_room(stream)) {
    mr_dataset *part;
    status = next_part(stream, &part);
    if (status != MR_OK || part) hand_over(stream, status, part);
  }
  return NULL;
}

/* ---- the caller ---- */

static int check(mr_stream *stream) {
  if (stream->schema->n_columns == 0) return mr__fail(MR_EINVAL, "the schema has no columns");
  if (stream->n_paths < 1) return mr__fail(MR_EINVAL, "there are no files to read");
  if (stream->format.selection)
    return mr__fail(MR_EINVAL, "a selection of rows needs a column cache");
  const struct mr__column *unfitted = mr__schema_unfitted(stream->schema);
  if (unfitted) return mr__fail_unfitted(unfitted);
  return mr__text_format_check(&stream->format, stream->schema);
}

static int start(mr_stream *stream) {
  int error = mr__thread_start(&stream->thread, work, stream);
  if (error)
    return mr__fail(MR_ESYSTEM, "the thread that reads could not be started: %s", strerror(error));
  stream->has_thread = 1;
  return MR_OK;
}

int mr_stream_open(mr_stream **out, const mr_schema *schema, const mr_text_format *format,
                   const char *const *paths, int32_t n_paths) {
  *out = NULL;
  mr_stream *stream = mr__calloc(1, sizeof *stream);
  if (!stream) return mr__fail_memory();
  stream->schema = mr__schema_retain(schema);
  stream->format = *format;
  stream->format.stop = &stream->stop;
  stream->paths = paths;
  stream->n_paths = n_paths;
  stream->total = mr__sources_bytes(paths, n_paths);
  stream->place.bad_left = format->bad_rows;
  pthread_condattr_t by_clock;
  pthread_condattr_init(&by_clock);
  pthread_condattr_setclock(&by_clock, CLOCK_MONOTONIC);
  pthread_mutex_init(&stream->lock, NULL);
  pthread_cond_init(&stream->changed, &by_clock);
  pthread_condattr_destroy(&by_clock);
  int status = check(stream);
  if (status == MR_OK) status = start(stream);
  if (status != MR_OK) {
    mr_stream_close(stream);
    return status;
  }
  *out = stream;
  return MR_OK;
}

int mr_stream_next(mr_stream *stream, int32_t milliseconds, mr_dataset **out,
                   mr_build_progress *progress) {
  *out = NULL;
  if (milliseconds < 0)
    return mr__fail(MR_EINVAL, "milliseconds is %d, expected 0 or more", (int)milliseconds);
  struct timespec until = mr__time_after(milliseconds);
  pthread_mutex_lock(&stream->lock);
  while (!stream->part && stream->outcome.status == MR_OK &&
         pthread_cond_timedwait(&stream->changed, &stream->lock, &until) != ETIMEDOUT)
    ;
  *out = stream->part;
  stream->part = NULL;
  int status = *out ? MR_OK : mr__failure_tell(&stream->outcome);
  pthread_cond_signal(&stream->changed);
  pthread_mutex_unlock(&stream->lock);
  *progress = (mr_build_progress){__atomic_load_n(&stream->bytes, __ATOMIC_RELAXED), stream->total};
  return status;
}

void mr_stream_close(mr_stream *stream) {
  if (!stream) return;
  pthread_mutex_lock(&stream->lock);
  __atomic_store_n(&stream->stop, 1, __ATOMIC_RELAXED);
  pthread_cond_signal(&stream->changed);
  pthread_mutex_unlock(&stream->lock);
  if (stream->has_thread) pthread_join(stream->thread, NULL);
  pthread_cond_destroy(&stream->changed);
  pthread_mutex_destroy(&stream->lock);
  mr_dataset_close(stream->part);
  mr__part_maker_free(stream->maker);
  mr__reader_free(stream->reader);
  mr__block_clear(&stream->block);
  mr__free(stream->pristine);
  mr_schema_free(stream->schema);
  mr__free(stream);
}
