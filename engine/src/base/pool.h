/* The thread pool: one knob for threads, owned by the caller of the engine.
 *
 * mr__pool_run splits a job into `n_tasks` numbered tasks. Which thread runs which task is not
 * fixed, so a task may touch only what belongs to its number; then results do not depend on the
 * number of threads. The calling thread takes tasks too. Jobs do not nest. */
#ifndef MR_BASE_POOL_H
#define MR_BASE_POOL_H

#include <pthread.h>

#include "base/status.h"

/* `worker` is 0 .. threads-1 and is unique among the tasks running at the same moment: an index
 * for scratch memory, never for results. */
typedef int (*mr__task)(void *job, int64_t task, int worker);

/* NULL is a pool of the calling thread alone, here and in mr__pool_run. */
int mr__pool_threads(const mr_pool *pool);

/* Run all tasks and wait. The first failure (by task number, as far as tasks were started)
 * becomes the caller's status and error text; tasks not yet started are dropped. */
int mr__pool_run(mr_pool *pool, mr__task run, void *job, int64_t n_tasks);

/* A thread beside the pool's, which has a stack of a megabyte: the usual eight count where memory
 * is limited. Returns 0 or what errno would be. */
int mr__thread_start(pthread_t *out, void *(*run)(void *), void *argument);

/* The time of CLOCK_MONOTONIC in so many milliseconds, for waiting until then. */
struct timespec mr__time_after(int32_t milliseconds);

#endif
