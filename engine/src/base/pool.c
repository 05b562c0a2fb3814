/* A pool of threads that take numbered tasks.
 *
 * Tasks are cut into stretches, one for each thread, which takes its own first and then what is
 * left of others'. Jobs of as many tasks are cut alike, so a thread finds in its core's caches what
 * it had in hand in the job, or the step, before: with one counter for all, weights and their
 * optimizer's states went from core to core.
 *
 * A job is over when its tasks are, not when every thread has looked at it: one that the system
 * has not scheduled in time, because others use the machine, finds the next job instead. So that
 * it cannot take a task of a job it does not know, each counter carries the job's number.
 *
 * Workers wait on a condition variable between jobs; a short spin before sleeping keeps the
 * wake-up within microseconds while jobs follow each other closely, as the phases of a training
 * step do, and costs nothing once the pool is idle. Other threads that can run have their turn in
 * it. */
#include "base/pool.h"

#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"

enum { MAX_THREADS = 256, SPIN_ROUNDS = 4000 };

struct worker {
  pthread_t thread;
  mr_pool *pool;
  int index;
};

/* Counters that different threads change are in different lines of the cache, and neighbours of
 * them are not asked for together. */
struct stretch {
  atomic_ullong next; /* number of the job << 32 | next task */
  char padding[128 - sizeof(atomic_ullong)];
};

struct mr_pool {
  int n_threads; /* the caller's included */
  struct worker *workers;
  int n_started;

  pthread_mutex_t lock;
  pthread_cond_t work, done;
  atomic_llong generation; /* one per job; changes under the lock */
  int stopping;

  mr__task run; /* these three are read under the lock */
  void *job;
  int64_t n_tasks;
  struct stretch *stretches; /* [n_threads] */
  atomic_llong finished;     /* tasks of the current job */

  /* The lowest task that failed, or INT64_MAX; written under the lock. Tasks behind it are dropped,
   * those before it still run: one of them may fail too, and then it is the first. */
  atomic_llong failed_task;
  struct mr__failure failure;
};

int mr__pool_threads(const mr_pool *pool) { return pool ? pool->n_threads : 1; }

static void note_failure(mr_pool *pool, int64_t task, int status) {
  pthread_mutex_lock(&pool->lock);
  if (task < atomic_load(&pool->failed_task)) {
    atomic_store(&pool->failed_task, task);
    mr__failure_note(&pool->failure, status);
  }
  pthread_mutex_unlock(&pool->lock);
}

/* What a thread needs to know of a job. */
struct assignment {
  uint32_t number;
  mr__task run;
  void *job;
  int64_t n_tasks;
};

/* How many stretches a job has, and where one of them begins. */
static int count_stretches(const mr_pool *pool, int64_t n_tasks) {
  return n_tasks < pool->n_threads ? (int)n_tasks : pool->n_threads;
}

static int64_t first_task(int stretch, int n_stretches, int64_t n_tasks) {
  return stretch * n_tasks / n_stretches;
}

/* The next task of a stretch of this job, or -1. */
static int64_t take_from(struct stretch *stretch, const struct assignment *a, int64_t end) {
  unsigned long long next = atomic_load(&stretch->next);
  for (;;) {
    if ((uint32_t)(next >> 32) != a->number || (int64_t)(uint32_t)next >= end) return -1;
    if (atomic_compare_exchange_weak(&stretch->next, &next, next + 1)) return (uint32_t)next;
  }
}

/* The next task of this job for a worker, or -1. */
static int64_t take_task(mr_pool *pool, int worker, const struct assignment *a) {
  int n = count_stretches(pool, a->n_tasks);
  for (int i = 0; i < n; i++) {
    int own = (worker + i) % n;
    int64_t task = take_from(&pool->stretches[own], a, first_task(own + 1, n, a->n_tasks));
    if (task >= 0) return task;
  }
  return -1;
}

static void take_tasks(mr_pool *pool, int worker, const struct assignment *a) {
  int64_t task;
  while ((task = take_task(pool, worker, a)) >= 0) {
    if (task < atomic_load(&pool->failed_task)) {
      int status = a->run(a->job, task, worker);
      if (status != MR_OK) note_failure(pool, task, status);
    }
    if (atomic_fetch_add(&pool->finished, 1) + 1 == a->n_tasks && worker != 0) {
      pthread_mutex_lock(&pool->lock);
      pthread_cond_signal(&pool->done);
      pthread_mutex_unlock(&pool->lock);
    }
  }
}

/* One round of spinning. Now and then a thread that waits for the core may have it, such as a
 * loader's that fills the next batch. */
static void relax(int round) {
  enum { ROUNDS = 64 };
  if (round % ROUNDS == ROUNDS - 1) sched_yield();
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

static void *work(void *argument) {
  struct worker *self = argument;
  mr_pool *pool = self->pool;
  long long seen = 0;
  for (;;) {
    for (int i = 0; i < SPIN_ROUNDS && atomic_load(&pool->generation) == seen; i++) relax(i);
    pthread_mutex_lock(&pool->lock);
    while (!pool->stopping && atomic_load(&pool->generation) == seen)
      pthread_cond_wait(&pool->work, &pool->lock);
    int stopping = pool->stopping;
    seen = atomic_load(&pool->generation);
    struct assignment a = {(uint32_t)seen, pool->run, pool->job, pool->n_tasks};
    pthread_mutex_unlock(&pool->lock);
    if (stopping) return NULL;
    take_tasks(pool, self->index, &a);
  }
}

int mr__pool_run(mr_pool *pool, mr__task run, void *job, int64_t n_tasks) {
  if (n_tasks <= 0) return MR_OK;
  if (n_tasks > INT32_MAX)
    return mr__fail(MR_EINVAL, "a job of %lld tasks, at most %d are possible", (long long)n_tasks,
                    INT32_MAX);
  if (!pool || pool->n_started == 0 || n_tasks == 1) {
    for (int64_t task = 0; task < n_tasks; task++) MR_TRY(run(job, task, 0));
    return MR_OK;
  }
  pthread_mutex_lock(&pool->lock);
  pool->run = run;
  pool->job = job;
  pool->n_tasks = n_tasks;
  atomic_store(&pool->failed_task, INT64_MAX);
  pool->failure.status = MR_OK;
  atomic_store(&pool->finished, 0);
  struct assignment a = {(uint32_t)(atomic_load(&pool->generation) + 1), run, job, n_tasks};
  for (int i = 0, n = count_stretches(pool, n_tasks); i < n; i++)
    atomic_store(&pool->stretches[i].next, (unsigned long long)a.number << 32 |
                                               (unsigned long long)first_task(i, n, n_tasks));
  atomic_fetch_add(&pool->generation, 1);
  pthread_cond_broadcast(&pool->work);
  pthread_mutex_unlock(&pool->lock);

  take_tasks(pool, 0, &a);

  for (int i = 0; i < SPIN_ROUNDS && atomic_load(&pool->finished) != n_tasks; i++) relax(i);
  pthread_mutex_lock(&pool->lock);
  while (atomic_load(&pool->finished) != n_tasks) pthread_cond_wait(&pool->done, &pool->lock);
  pthread_mutex_unlock(&pool->lock);
  return mr__failure_tell(&pool->failure);
}

int mr__thread_start(pthread_t *out, void *(*run)(void *), void *argument) {
  enum { STACK = 1 << 20 };
  pthread_attr_t small;
  int error = pthread_attr_init(&small);
  if (error) return error;
  error = pthread_attr_setstacksize(&small, STACK);
  if (!error) error = pthread_create(out, &small, run, argument);
  pthread_attr_destroy(&small);
  return error;
}

struct timespec mr__time_after(int32_t milliseconds) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += milliseconds / 1000;
  until.tv_nsec += (long)(milliseconds % 1000) * 1000000;
  if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
  return until;
}

int mr_pool_new(mr_pool **out, int32_t threads) {
  *out = NULL;
  if (threads < 1 || threads > MAX_THREADS)
    return mr__fail(MR_EINVAL, "threads is %d, expected 1 to %d", (int)threads, MAX_THREADS);
  mr_pool *pool = mr__calloc(1, sizeof *pool);
  if (!pool) return mr__fail_memory();
  pool->workers = mr__calloc((size_t)threads, sizeof *pool->workers);
  pool->stretches = mr__calloc((size_t)threads, sizeof *pool->stretches);
  if (!pool->workers || !pool->stretches) {
    mr__free(pool->workers);
    mr__free(pool->stretches);
    mr__free(pool);
    return mr__fail_memory();
  }
  pool->n_threads = threads;
  pthread_mutex_init(&pool->lock, NULL);
  pthread_cond_init(&pool->work, NULL);
  pthread_cond_init(&pool->done, NULL);
  for (int i = 1; i < threads; i++) {
    struct worker *worker = &pool->workers[pool->n_started];
    worker->pool = pool;
    worker->index = i;
    int error = pthread_create(&worker->thread, NULL, work, worker);
    if (error) {
      mr_pool_free(pool);
      return mr__fail(MR_ESYSTEM, "thread %d of %d could not be started: %s", i + 1, (int)threads,
                      strerror(error));
    }
    pool->n_started++;
  }
  *out = pool;
  return MR_OK;
}

void mr_pool_free(mr_pool *pool) {
  if (!pool) return;
  pthread_mutex_lock(&pool->lock);
  pool->stopping = 1;
  atomic_fetch_add(&pool->generation, 1);
  pthread_cond_broadcast(&pool->work);
  pthread_mutex_unlock(&pool->lock);
  for (int i = 0; i < pool->n_started; i++) pthread_join(pool->workers[i].thread, NULL);
  pthread_mutex_destroy(&pool->lock);
  pthread_cond_destroy(&pool->work);
  pthread_cond_destroy(&pool->done);
  mr__free(pool->workers);
  mr__free(pool->stretches);
  mr__free(pool);
}
