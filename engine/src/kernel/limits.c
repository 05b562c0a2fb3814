/* Measuring the limits: every thread of a pool does the same at the same time, the best of a few
 * rounds counts. A product of a dense layer is what the engine's own kernel makes of it, which
 * bench/products.c holds against other libraries. Random rows are read and written as the update
 * of a table does: 64 bytes each, at places of a fixed pseudo-random walk, prefetched some rows
 * ahead. */
#include "kernel/limits.h"

#include <string.h>

#include "base/alloc.h"
#include "base/pool.h"
#include "kernel/family.h"

enum { ROUNDS = 20, ROW = 16, AHEAD = 32 };
/* Copies: 192 KiB lie in a second-level cache, 96 MiB in no cache that is shared by few. */
enum { SMALL = 24 << 10, LARGE = 12 << 20, ROWS = 2 * LARGE / ROW };

struct job {
  int threads;
  int64_t turns;
  float **memory; /* [threads], of 2 LARGE floats */
  int64_t floats; /* copied at a time */
  float *sink;    /* [threads] */
};

static int products(void *argument, int64_t task, int worker) {
  (void)worker;
  const struct job *job = argument;
  job->sink[task] = mr__family()->limit_products(job->turns);
  return MR_OK;
}

/* Numbers of any size multiply as fast as zeros, but a page of zeros may be one that all share. */
static void fill_layer(float *memory) {
  for (int i = 0; i < MR__LIMIT_LAYER_FLOATS; i++) memory[i] = 1.0f / (float)(1 + i % 61);
}

static int layers(void *argument, int64_t task, int worker) {
  (void)worker;
  const struct job *job = argument;
  for (int64_t t = 0; t < job->turns; t++) mr__family()->limit_layer(job->memory[task]);
  return MR_OK;
}

static int copies(void *argument, int64_t task, int worker) {
  (void)worker;
  const struct job *job = argument;
  for (int64_t t = 0; t < job->turns; t++)
    mr__family()->limit_copy(job->memory[task], job->memory[task] + LARGE, job->floats);
  return MR_OK;
}

static inline uint32_t walk(uint32_t *state) {
  *state = *state * 1664525u + 1013904223u;
  return (uint32_t)(((uint64_t)*state * ROWS) >> 32);
}

static int random_rows(void *argument, int64_t task, int worker) {
  (void)worker;
  const struct job *job = argument;
  float *memory = job->memory[task];
  uint32_t ahead = (uint32_t)task, here = (uint32_t)task;
  for (int i = 0; i < AHEAD; i++) walk(&ahead);
  for (int64_t t = 0; t < job->turns; t++) {
    __builtin_prefetch(memory + (size_t)walk(&ahead) * ROW, 1);
    float *row = memory + (size_t)walk(&here) * ROW;
    for (int i = 0; i < ROW; i++) row[i] += 1.0f;
  }
  return MR_OK;
}

/* Seconds of the fastest round. */
static int fastest(mr_pool *pool, mr__task task, struct job *job, double *seconds) {
  *seconds = 1e9;
  for (int round = 0; round < ROUNDS; round++) {
    double start = mr_seconds();
    MR_TRY(mr__pool_run(pool, task, job, job->threads));
    double taken = mr_seconds() - start;
    if (taken < *seconds) *seconds = taken;
  }
  return MR_OK;
}

static int measure(mr_limits *out, mr_pool *pool, float **memory, float *sink) {
  int threads = mr__pool_threads(pool);
  double seconds;
  struct job product = {threads, 1 << 20, memory, 0, sink};
  MR_TRY(fastest(pool, products, &product, &seconds));
  out->flops = (double)threads * (double)product.turns * MR__LIMIT_FLOPS / seconds;
  for (int t = 0; t < threads; t++) fill_layer(memory[t]);
  struct job layer = {threads, 16, memory, 0, sink};
  MR_TRY(fastest(pool, layers, &layer, &seconds));
  out->layer_flops = (double)threads * (double)layer.turns * MR__LIMIT_LAYER_FLOPS / seconds;
  struct job small = {threads, 256, memory, SMALL, sink};
  MR_TRY(fastest(pool, copies, &small, &seconds));
  out->cache_bytes = 8.0 * threads * (double)small.turns * SMALL / seconds;
  struct job large = {threads, 1, memory, LARGE, sink};
  MR_TRY(fastest(pool, copies, &large, &seconds));
  out->memory_bytes = 8.0 * threads * LARGE / seconds;
  struct job rows = {threads, 1 << 19, memory, 0, sink};
  MR_TRY(fastest(pool, random_rows, &rows, &seconds));
  out->rows = (double)threads * (double)rows.turns / seconds;
  return MR_OK;
}

int mr_limits_measure(mr_limits *out, mr_pool *pool) {
  memset(out, 0, sizeof *out);
  int threads = mr__pool_threads(pool), status = MR_OK;
  float **memory = mr__calloc((size_t)threads, sizeof *memory);
  float *sink = mr__calloc((size_t)threads, sizeof *sink);
  if (!memory || !sink) status = mr__fail_memory();
  for (int t = 0; status == MR_OK && t < threads; t++) {
    memory[t] = mr__malloc_pages(2 * LARGE * sizeof(float));
    if (!memory[t]) status = mr__fail_memory();
  }
  if (status == MR_OK) status = measure(out, pool, memory, sink);
  for (int t = 0; memory && t < threads; t++)
    if (memory[t]) mr__free_pages(memory[t], 2 * LARGE * sizeof(float));
  mr__free(memory);
  mr__free(sink);
  return status;
}
