/* mr_build: mr_dataset_build on a thread of its own, watched by whoever started it. */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "base/pool.h"
#include "data/fit.h"
#include "data/source.h"
#include "moonrank.h"

struct mr_build {
  const mr_schema *schema;
  mr_text_format format;
  const char *const *paths;
  int32_t n_paths;
  const char *cache_path;
  int32_t fit;
  mr_pool *pool;
  int64_t bytes, total; /* bytes: changed atomically */
  int32_t stop;         /* set atomically */

  pthread_t thread;
  int has_thread;
  pthread_mutex_t lock; /* guards all below */
  pthread_cond_t ended;
  struct mr__failure outcome; /* MR_OK: going on; MR_END: done */
};

static void *work(void *argument) {
  mr_build *build = argument;
  int status = mr_dataset_build(build->schema, &build->format, build->paths, build->n_paths,
                                build->cache_path, build->fit, build->pool);
  pthread_mutex_lock(&build->lock);
  mr__failure_note(&build->outcome, status == MR_OK ? MR_END : status);
  pthread_cond_signal(&build->ended);
  pthread_mutex_unlock(&build->lock);
  return NULL;
}

/* Files that cannot be looked at are a failure of the building. */
static int64_t total_of(const mr_build *build) {
  const mr_selection *rule = build->format.selection;
  int64_t times = rule && rule->by == MR_BY_TIME_SHARE ? 2 : 1;
  if (build->fit && mr__schema_crosses_unfitted(build->schema)) times++;
  return times * mr__sources_bytes(build->paths, build->n_paths);
}

static int start(mr_build *build) {
  int error = mr__thread_start(&build->thread, work, build);
  if (error)
    return mr__fail(MR_ESYSTEM, "the thread that builds a cache could not be started: %s",
                    strerror(error));
  build->has_thread = 1;
  return MR_OK;
}

int mr_build_start(mr_build **out, const mr_schema *schema, const mr_text_format *format,
                   const char *const *paths, int32_t n_paths, const char *cache_path, int32_t fit,
                   mr_pool *pool) {
  *out = NULL;
  mr_build *build = mr__calloc(1, sizeof *build);
  if (!build) return mr__fail_memory();
  build->schema = schema;
  build->format = *format;
  build->format.bytes_read = &build->bytes;
  build->format.stop = &build->stop;
  build->paths = paths;
  build->n_paths = n_paths;
  build->cache_path = cache_path;
  build->fit = fit;
  build->pool = pool;
  build->total = total_of(build);
  pthread_condattr_t by_clock;
  pthread_condattr_init(&by_clock);
  pthread_condattr_setclock(&by_clock, CLOCK_MONOTONIC);
  pthread_mutex_init(&build->lock, NULL);
  pthread_cond_init(&build->ended, &by_clock);
  pthread_condattr_destroy(&by_clock);
  int status = start(build);
  if (status != MR_OK) {
    mr_build_free(build);
    return status;
  }
  *out = build;
  return MR_OK;
}

int mr_build_wait(mr_build *build, int32_t milliseconds, mr_build_progress *progress) {
  if (milliseconds < 0)
    return mr__fail(MR_EINVAL, "milliseconds is %d, expected 0 or more", (int)milliseconds);
  struct timespec until = mr__time_after(milliseconds);
  pthread_mutex_lock(&build->lock);
  while (build->outcome.status == MR_OK &&
         pthread_cond_timedwait(&build->ended, &build->lock, &until) != ETIMEDOUT)
    ;
  int status = mr__failure_tell(&build->outcome);
  pthread_mutex_unlock(&build->lock);
  *progress = (mr_build_progress){__atomic_load_n(&build->bytes, __ATOMIC_RELAXED), build->total};
  return status;
}

void mr_build_free(mr_build *build) {
  if (!build) return;
  __atomic_store_n(&build->stop, 1, __ATOMIC_RELAXED);
  if (build->has_thread) pthread_join(build->thread, NULL);
  pthread_cond_destroy(&build->ended);
  pthread_mutex_destroy(&build->lock);
  mr__free(build);
}
