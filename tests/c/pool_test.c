/* The thread pool: every task runs once, workers are told apart, and the failure that reaches the
 * caller is that of the lowest task, with its text, for any number of threads. Meant to run under
 * a race detector too (cmake -DMR_SANITIZE=thread). */
#include "base/pool.h"

#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "check.h"

enum { MOST_TASKS = 400 };

static const int thread_counts[] = {1, 2, 3, 4, 8, 16};

/* Threads beyond the cores wait for each other's spinning. */
static int runs(int threads) { return threads <= 2 ? 6000 : threads <= 4 ? 1500 : 400; }

struct job {
  int ran[MOST_TASKS];  /* plain: a task touches only what is its own */
  atomic_int busy[256]; /* by worker */
  int threads;
  int64_t fails[2]; /* tasks that fail, -1: none */
};

static int run_task(void *argument, int64_t task, int worker) {
  struct job *job = argument;
  CHECK(worker >= 0 && worker < job->threads, "worker %d of %d", worker, job->threads);
  CHECK(atomic_fetch_add(&job->busy[worker], 1) == 0, "two tasks run as worker %d", worker);
  job->ran[task]++;
  atomic_fetch_sub(&job->busy[worker], 1);
  if (task == job->fails[0] || task == job->fails[1])
    return mr__fail(task % 2 ? MR_EDATA : MR_EIO, "task %lld failed", (long long)task);
  return MR_OK;
}

/* Thousands of small jobs, one after another; then one without tasks. */
static void check_all_run(mr_pool *pool, int threads) {
  for (int i = 0; i < runs(threads); i++) {
    struct job job = {.threads = threads, .fails = {-1, -1}};
    int tasks = i % 9 == 0 ? i % MOST_TASKS : i % 7;
    NEED(mr__pool_run(pool, run_task, &job, tasks) == MR_OK);
    for (int t = 0; t < MOST_TASKS; t++)
      CHECK(job.ran[t] == (t < tasks), "task %d of %d ran %d times", t, tasks, job.ran[t]);
  }
  struct job job = {.threads = threads, .fails = {-1, -1}};
  CHECK(mr__pool_run(pool, run_task, &job, 0) == MR_OK, "no tasks");
  CHECK(mr__pool_run(pool, run_task, &job, -3) == MR_OK, "fewer than no tasks");
}

static void check_failures(mr_pool *pool, int threads) {
  for (int i = 0; i < runs(threads) / 2; i++) {
    int tasks = 2 + i % 60, low = i % tasks, high = (low + i / 7) % tasks;
    if (high < low) low = high, high = i % tasks;
    struct job job = {.threads = threads, .fails = {high, low}};
    mr__fail(MR_EINVAL, "an older text, long enough to show behind a shorter one: %0100d", i);
    int status = mr__pool_run(pool, run_task, &job, tasks);
    char want[64];
    snprintf(want, sizeof want, "task %d failed", low);
    CHECK(status == (low % 2 ? MR_EDATA : MR_EIO), "status %d for task %d", status, low);
    CHECK(strcmp(mr_last_error(), want) == 0, "\"%s\", expected \"%s\"", mr_last_error(), want);
    for (int t = 0; t < tasks; t++)
      CHECK(job.ran[t] <= 1 && (t > low || job.ran[t] == 1), "task %d ran %d times", t, job.ran[t]);
  }
  /* A failure leaves no trace in the next job. */
  struct job job = {.threads = threads, .fails = {-1, -1}};
  CHECK(mr__pool_run(pool, run_task, &job, 50) == MR_OK, "the job after a failure");
}

/* ---- who takes what ---- */

struct meeting {
  atomic_int begun;
  int until;            /* so many have begun: then tasks end */
  int waits;            /* which tasks wait: those below it */
  atomic_int first[16]; /* of each worker, -1: none */
};

/* Wait, ten seconds at most, for what other threads do. */
static int wait_for(atomic_int *count, int n) {
  time_t end = time(NULL) + 10;
  while (atomic_load(count) < n && time(NULL) < end) sched_yield();
  return atomic_load(count) >= n;
}

static int meet(void *argument, int64_t task, int worker) {
  struct meeting *meeting = argument;
  int none = -1;
  atomic_compare_exchange_strong(&meeting->first[worker], &none, (int)task);
  atomic_fetch_add(&meeting->begun, 1);
  if (task < meeting->waits)
    CHECK(wait_for(&meeting->begun, meeting->until), "task %lld waits in vain", (long long)task);
  return MR_OK;
}

static struct meeting new_meeting(int until, int waits) {
  struct meeting meeting = {.until = until, .waits = waits};
  for (int w = 0; w < 16; w++) atomic_init(&meeting.first[w], -1);
  return meeting;
}

/* Each thread begins with its own stretch of the tasks; and what is left of a stretch whose thread
 * is busy is done by others. */
static void check_stretches(mr_pool *pool, int threads) {
  enum { EACH = 3 };
  struct meeting all = new_meeting(threads, threads * EACH);
  NEED(mr__pool_run(pool, meet, &all, threads * EACH) == MR_OK);
  for (int w = 0; w < threads; w++)
    CHECK(atomic_load(&all.first[w]) == w * EACH, "worker %d of %d began with task %d", w, threads,
          atomic_load(&all.first[w]));
  struct meeting one = new_meeting(threads * EACH, 1);
  NEED(mr__pool_run(pool, meet, &one, threads * EACH) == MR_OK);
}

static void check_arguments(void) {
  mr_pool *pool = (mr_pool *)&pool;
  CHECK(mr_pool_new(&pool, 0) == MR_EINVAL && pool == NULL, "no threads");
  CHECK(strcmp(mr_last_error(), "threads is 0, expected 1 to 256") == 0, "%s", mr_last_error());
  CHECK(mr_pool_new(&pool, 257) == MR_EINVAL && pool == NULL, "257 threads");
  CHECK(strcmp(mr_last_error(), "threads is 257, expected 1 to 256") == 0, "%s", mr_last_error());
  mr_pool_free(NULL);
  CHECK(strcmp(mr_last_error(), "threads is 257, expected 1 to 256") == 0, "_free touched it");
}

int main(void) {
  check_arguments();
  for (int i = 0; i < (int)(sizeof thread_counts / sizeof *thread_counts); i++) {
    mr_pool *pool;
    NEED(mr_pool_new(&pool, thread_counts[i]) == MR_OK);
    CHECK(mr__pool_threads(pool) == thread_counts[i], "%d threads", mr__pool_threads(pool));
    check_all_run(pool, thread_counts[i]);
    check_failures(pool, thread_counts[i]);
    if (thread_counts[i] > 1) check_stretches(pool, thread_counts[i]);
    mr_pool_free(pool);
  }
  for (int i = 0; i < 50; i++) { /* freed while its threads are still starting */
    mr_pool *pool;
    NEED(mr_pool_new(&pool, 1 + i % 16) == MR_OK);
    mr_pool_free(pool);
  }
  return check_end();
}
