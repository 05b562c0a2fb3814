/* The loops of the update over floats, once per kernel family. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "graph/run.h"
#include "kernel/family.h"
#include "kernel/kernel.h"
#include "kernel/vec.h"
#include "ops/lookup_options.h"

enum {
  AHEAD = 12,            /* rows asked for while others are worked on */
  VECTORS_AHEAD = 64,    /* of gradients that nobody has read since they were written */
  MOST_PREFETCHED = 256, /* floats of each */
  NARROW = 8,            /* floats of a row that steps together with others */
  TOGETHER = 32          /* rows */
};

struct job {
  mr_run *run;
  const struct mr__optim_rates *rates;
  const struct mr__optimizer *optimizer;
};

static const struct mr__optimizer *optimizer(const mr_run *run) {
  return MR_FAMILY(mr__optimizers).optimizers[run->table_optimizer.index];
}

/* Lane l takes in lane l + gap, for gaps 1, 2, 4 ...: a tree that depends on the number of lanes
 * only. The sum ends in lane 0. */
static void add_lanes(const mr_run *run, size_t first, int n) {
  for (int gap = 1; gap < run->lanes_used; gap *= 2)
    for (int l = 0; l + gap < run->lanes_used; l += 2 * gap)
      mr__accumulate(run->lanes[l].gradient + first, run->lanes[l + gap].gradient + first, n);
}

/* The same of a power of two of lanes, in registers, as far as whole vectors go: only lane 0 is
 * written. Returns how many floats those are. */
static inline __attribute__((always_inline)) int add_whole_tree(const mr_run *run, size_t first,
                                                                int n, const int lanes) {
  enum { MOST = 16 };
  const float *from[MOST];
  for (int l = 0; l < lanes; l++) from[l] = run->lanes[l].gradient + first;
  float *to = run->lanes[0].gradient + first;
  int i = 0;
  for (; i + MR__VECTOR <= n; i += MR__VECTOR) {
    mr__vector16 sum[MOST];
#pragma GCC unroll 16
    for (int l = 0; l < lanes; l++) sum[l] = *(const mr__vector16 *)(from[l] + i);
#pragma GCC unroll 4
    for (int gap = 1; gap < lanes; gap *= 2)
#pragma GCC unroll 8
      for (int l = 0; l + gap < lanes; l += 2 * gap) sum[l] += sum[l + gap];
    *(mr__vector16 *)(to + i) = sum[0];
  }
  return i;
}

static int add_whole_vectors(const mr_run *run, size_t first, int n) {
  switch (run->lanes_used) {
  case 2:
    return add_whole_tree(run, first, n, 2);
  case 4:
    return add_whole_tree(run, first, n, 4);
  case 8:
    return add_whole_tree(run, first, n, 8);
  case 16:
    return add_whole_tree(run, first, n, 16);
  default:
    return 0;
  }
}

int MR_FAMILY(mr__reduce_stretch)(const mr_run *run, const struct mr__stretch *stretch) {
  int n = (int)stretch->n, done = add_whole_vectors(run, stretch->first, n);
  add_lanes(run, stretch->first + (size_t)done, n - done);
  return mr__all_finite(run->lanes[0].gradient + stretch->first, stretch->n);
}

/* ---- clipping: of the gradient of the loss, before any penalty ---- */

static void clip_value(const mr_run_options *o, float *g, int n) {
  float most = (float)o->clip_value;
  if (most == 0) return;
  for (int i = 0; i < n; i++) {
    g[i] = g[i] > most ? most : g[i]; /* NaN stays */
    g[i] = g[i] < -most ? -most : g[i];
  }
}

static void clip_row(const mr_run_options *o, float *g, int n) {
  clip_value(o, g, n);
  if (o->clip_row == 0) return;
  double norm = sqrt(mr__squares(g, n));
  if (norm > o->clip_row) mr__scale(g, (float)(o->clip_row / norm), n);
}

double MR_FAMILY(mr__stretch_squares)(const mr_run *run, const struct mr__stretch *stretch) {
  float *g = run->lanes[0].gradient + stretch->first;
  clip_value(&run->options, g, (int)stretch->n);
  return mr__squares(g, (int)stretch->n);
}

/* ---- penalties ---- */

/* The factor of a row's own l2 penalty. */
static double row_l2(const mr_run_options *o, const struct mr__table *table, const float *row) {
  if (o->table_mba == 0) return o->table_l2;
  uint32_t n = mr__row_count(table, row);
  return o->table_l2 + o->table_mba / (n > 0 ? n : 1);
}

static void add_penalty(double l1, double l2, const float *w, float *g, int n) {
  if (l2 > 0) mr__axpy(g, (float)l2, w, n);
  if (l1 == 0) return;
  float pull = (float)l1;
  for (int i = 0; i < n; i++) g[i] += w[i] > 0 ? pull : w[i] < 0 ? -pull : 0;
}

/* ---- dense weights ---- */

void MR_FAMILY(mr__step_stretch)(const mr_run *run, const struct mr__optim_rates *rates,
                                 const struct mr__stretch *stretch) {
  int n = (int)stretch->n;
  float *w = run->model->dense + stretch->first, *g = run->lanes[0].gradient + stretch->first;
  float *state[MR__OPTIM_STATES];
  for (int s = 0; s < MR__OPTIM_STATES; s++)
    state[s] = run->dense_state[s] ? run->dense_state[s] + stretch->first : NULL;
  clip_value(&run->options, g, n);
  if (run->clip_scale != 1) mr__scale(g, run->clip_scale, n);
  if (stretch->decays) add_penalty(run->options.dense_l1, run->options.dense_l2, w, g, n);
  MR_FAMILY(mr__optimizers)
      .optimizers[run->dense_optimizer.index]
      ->step(rates, n, w, g, state[0], state[1]);
}

/* ---- rows of tables ---- */

static inline int64_t row_of(const struct mr__reader *reader, uint32_t i) {
  return reader->row ? reader->row[i] : i;
}

/* Add the gradients of N columns of a reader's dy at their keys' places. Rows of dy lie far apart,
 * so they are asked for ahead. */
#define SUM_COLUMNS(N)                                                                            \
  static inline void sum_columns_##N(int column, const struct mr__reader *reader, float *sums,    \
                                     int width) {                                                 \
    for (uint32_t i = 0; i < reader->n; i++) {                                                    \
      int64_t row = row_of(reader, i);                                                            \
      mr__vector##N *sum = (mr__vector##N *)(sums + (size_t)reader->place[i] * width + column);   \
      const float *dy = mr__row(&reader->dy, row) + column;                                       \
      if (N > 1 && i + AHEAD < reader->n)                                                         \
        __builtin_prefetch(dy + (row_of(reader, i + AHEAD) - row) * reader->dy.ld);               \
      if (reader->bags)                                                                           \
        *sum += *(const mr__vector##N *)dy / (float)(reader->bags[row + 1] - reader->bags[row]);  \
      else                                                                                        \
        *sum += *(const mr__vector##N *)dy;                                                       \
    }                                                                                             \
  }
SUM_COLUMNS(1)
SUM_COLUMNS(4)
SUM_COLUMNS(8)
SUM_COLUMNS(16)

/* Of bags that were read by their largest numbers. */
static void sum_largest(const struct mr__reader *reader, float *sums, int width) {
  for (uint32_t i = 0; i < reader->n; i++) {
    int64_t row = row_of(reader, i), position = reader->at ? reader->at[i] : i;
    int32_t own = (int32_t)(position - reader->bags[row]), first;
    const float *dy = mr__row(&reader->dy, row), *firsts = mr__row(&reader->first, row);
    float *sum = sums + (size_t)reader->place[i] * (size_t)width;
    for (int e = 0; e < reader->dim; e++) {
      memcpy(&first, &firsts[e], sizeof first);
      sum[e] += first == own ? dy[e] : 0;
    }
  }
}

/* Of bags with weights. */
static void sum_weighted(const struct mr__reader *reader, float *sums, int width) {
  for (uint32_t i = 0; i < reader->n; i++) {
    int64_t row = row_of(reader, i), position = reader->at ? reader->at[i] : i;
    const float *by = reader->sums.p ? mr__row(&reader->sums, row) : NULL;
    mr__axpy(sums + (size_t)reader->place[i] * (size_t)width,
             mr__weight_share(reader->weights[position], by), mr__row(&reader->dy, row),
             reader->dim);
  }
}

/* Of wide vectors all columns of a row at a time, in whole eights: each lies in lines of its own.
 * Where rows follow one another in memory, the processor asks for dy by itself; else it has to come
 * further than the sums, and is asked for earlier. Called with what the compiler may then take as
 * known. */
static inline __attribute__((always_inline)) void sum_each(const struct mr__reader *reader,
                                                           float *sums, int width, int dim) {
  const uint32_t *place = reader->place, *rows = reader->row, n = reader->n;
  const struct mr__matrix dys = reader->dy;
  const uint32_t whole = (uint32_t)(VECTORS_AHEAD * MR__VECTOR / dim);
  const uint32_t far = whole > AHEAD ? whole : AHEAD;
  int apart = rows || dys.ld != dim;
  for (uint32_t i = 0; i < n; i++) {
    const float *dy = mr__row(&dys, rows ? rows[i] : i);
    float *sum = sums + (size_t)place[i] * width;
    if (i + AHEAD < n) {
      const float *to = sums + (size_t)place[i + AHEAD] * width;
      for (int e = 0; e < dim; e += MR__VECTOR) __builtin_prefetch(to + e, 1);
    }
    if (apart && i + far < n) {
      const float *soon = mr__row(&dys, rows ? rows[i + far] : i + far);
      for (int e = 0; e < dim; e += MR__VECTOR) __builtin_prefetch(soon + e, 0, 2);
    }
    int e = 0;
    for (; e + MR__VECTOR <= dim; e += MR__VECTOR)
      *(mr__vector16 *)(sum + e) += *(const mr__vector16 *)(dy + e);
    if (e < dim) *(mr__vector8 *)(sum + e) += *(const mr__vector8 *)(dy + e);
  }
}

static void sum_wide(const struct mr__reader *reader, float *sums, int width) {
  if (reader->dim == 24) /* mlr's, with its preset of 12 regions */
    sum_each(reader, sums, width, 24);
  else if (reader->dim == 16)
    sum_each(reader, sums, width, 16);
  else
    sum_each(reader, sums, width, reader->dim);
}

/* Of one float a row, which come in order: nothing but additions. */
static void sum_floats(const struct mr__reader *reader, float *restrict sums, int width) {
  const uint32_t *restrict place = reader->place, n = reader->n;
  const float *restrict dy = reader->dy.p;
  size_t ld = (size_t)reader->dy.ld;
  for (uint32_t i = 0; i < n; i++) sums[(size_t)place[i] * width] += dy[i * ld];
}

/* The same for lookups that meet in pairs. `rows` has the values of the share's rows. */
#define SUM_PAIRS(N)                                                                              \
  static inline void sum_pairs_##N(int column, const struct mr__reader *reader,                   \
                                   float *const *rows, float *sums, int width) {                  \
    for (uint32_t i = 0; i < reader->n; i++) {                                                    \
      int64_t row = row_of(reader, i);                                                            \
      size_t place = reader->place[i];                                                            \
      if (i + AHEAD < reader->n) {                                                                \
        const float *soon = rows[reader->place[i + AHEAD]] + reader->offset + column;             \
        __builtin_prefetch(soon), __builtin_prefetch(soon + N - 1);                               \
      }                                                                                           \
      mr__vector##N all = *(mr__vector##N *)(mr__row(&reader->pairs, row) + column);              \
      mr__vector##N own = *(mr__vector##N *)(rows[place] + reader->offset + column);              \
      *(mr__vector##N *)(sums + place * width + column) +=                                        \
          *mr__row(&reader->dy, row) * (all - own);                                               \
    }                                                                                             \
  }
SUM_PAIRS(1)
SUM_PAIRS(4)
SUM_PAIRS(8)
SUM_PAIRS(16)

static void mark_part(const struct mr__reader *reader, const struct mr__share *share,
                      unsigned char *touched, size_t n_parts) {
  touched += reader->part;
  if (reader->n == share->n_occurrences) /* the table's only column: it reads every key */
    for (size_t u = 0; u < share->n; u++) touched[u * n_parts] = 1;
  else
    for (uint32_t i = 0; i < reader->n; i++) touched[reader->place[i] * n_parts] = 1;
}

/* The row of zeros has no gradient, and so it never moves. */
static void keep_nothing(const struct mr__table *table, const struct mr__share *share,
                         float *gradient) {
  const float *nothing = mr__table_find(table, MR__NOTHING_KEY);
  for (uint32_t u = 0; u < share->n; u++)
    if (share->row[u] == nothing)
      memset(gradient + (size_t)u * (size_t)table->width, 0, (size_t)table->width * sizeof(float));
}

void MR_FAMILY(mr__sum_share)(const mr_run *run, const struct mr__share *share,
                              const struct mr__worker *worker) {
  const struct mr__table *table = &run->model->tables[share->table];
  memset(worker->gradient, 0, share->n * (size_t)table->width * sizeof(float));
  memset(worker->touched, 0, share->n * table->n_parts);
  int n = mr__run_readers(run, share, worker->readers);
  for (const struct mr__reader *reader = worker->readers; reader < worker->readers + n; reader++) {
    float *sums = worker->gradient + reader->offset;
    mark_part(reader, share, worker->touched, table->n_parts);
    if (reader->pairs.p)
      MR__STRETCHES(sum_pairs, reader->dim, reader, share->row, sums, table->width);
    else if (reader->first.p)
      sum_largest(reader, sums, table->width);
    else if (reader->weights)
      sum_weighted(reader, sums, table->width);
    else if (reader->dim >= MR__VECTOR && reader->dim % (MR__VECTOR / 2) == 0 && !reader->bags)
      sum_wide(reader, sums, table->width);
    else if (reader->dim == 1 && !reader->row && !reader->bags)
      sum_floats(reader, sums, table->width);
    else
      MR__STRETCHES(sum_columns, reader->dim, reader, sums, table->width);
  }
  if (table->has_nothing) keep_nothing(table, share, worker->gradient);
  for (uint32_t u = 0; run->clips && u < share->n; u++)
    clip_row(&run->options, worker->gradient + (size_t)u * (size_t)table->width, table->width);
}

static void step_row(const struct job *job, const struct mr__table *table, float *row,
                     float *gradient, const unsigned char *touched) {
  const struct mr__optimizer *o = job->optimizer;
  const mr_run_options *options = &job->run->options;
  double l2 = row_l2(options, table, row);
  for (size_t p = 0; p < table->n_parts;) {
    if (!touched[p]) {
      p++;
      continue;
    }
    /* Parts that lie side by side step together. */
    int first = table->parts[p].offset, n = 0;
    for (; p < table->n_parts && touched[p]; p++) n += table->parts[p].dim;
    add_penalty(options->table_l1, l2, row + first, gradient + first, n);
    o->step(job->rates, n, row + first, gradient + first, row + table->width + first,
            row + 2 * table->width + first);
  }
}

/* Ask for a row that steps soon, with its states; of a long one the rest comes in order. */
static void prefetch_row(const float *row, int stride) {
  int floats = stride < MOST_PREFETCHED ? stride : MOST_PREFETCHED;
  for (int f = 0; f < floats; f += 16) __builtin_prefetch(row + f, 1);
  __builtin_prefetch(row + floats - 1, 1);
}

/* Rows narrower than a vector step together, side by side in copies: the optimizer's loop then runs
 * over whole vectors. They are read in all their parts. */
static inline __attribute__((always_inline)) void step_together(const struct job *job,
                                                                const struct mr__table *table,
                                                                float *const *row, int n,
                                                                float *gradient, int width) {
  float copy[1 + MR__OPTIM_STATES][TOGETHER * NARROW];
  int vectors = 1 + table->n_states;
  const mr_run_options *options = &job->run->options;
  assert(vectors >= 1 && vectors <= 1 + MR__OPTIM_STATES);
  for (int v = 0; v < vectors; v++)
    for (int i = 0; i < n; i++)
      for (int e = 0; e < width; e++) copy[v][i * width + e] = row[i][v * width + e];
  if (options->table_mba == 0)
    add_penalty(options->table_l1, options->table_l2, copy[0], gradient, n * width);
  for (int i = 0; options->table_mba > 0 && i < n; i++)
    add_penalty(options->table_l1, row_l2(options, table, row[i]), copy[0] + i * width,
                gradient + i * width, width);
  job->optimizer->step(job->rates, n * width, copy[0], gradient, copy[1], copy[2]);
  for (int v = 0; v < vectors; v++)
    for (int i = 0; i < n; i++)
      for (int e = 0; e < width; e++) row[i][v * width + e] = copy[v][i * width + e];
}

static void step_narrow(const struct job *job, const struct mr__share *share,
                        const struct mr__table *table, float *gradient) {
  for (uint32_t u = 0; u < share->n; u += TOGETHER) {
    int n = share->n - u < TOGETHER ? (int)(share->n - u) : TOGETHER;
    for (uint32_t i = u + TOGETHER; i < u + 2 * TOGETHER && i < share->n; i++)
      prefetch_row(share->row[i], table->stride);
    if (table->width == 1)
      step_together(job, table, share->row + u, n, gradient + u, 1);
    else
      step_together(job, table, share->row + u, n, gradient + (size_t)u * (size_t)table->width,
                    table->width);
  }
}

/* Rows of which all parts were read, without a penalty: nothing to find out for each. */
static void step_whole(const struct job *job, const struct mr__share *share,
                       const struct mr__table *table, float *gradient) {
  void (*step)(const struct mr__optim_rates *, int, float *, const float *, float *, float *) =
      job->optimizer->step;
  int width = table->width, stride = table->stride;
  for (uint32_t u = 0; u < share->n; u++, gradient += width) {
    float *row = share->row[u];
    if (u + AHEAD < share->n) prefetch_row(share->row[u + AHEAD], stride);
    step(job->rates, width, row, gradient, row + width, row + 2 * width);
  }
}

static void step_distinct(const struct job *job, const struct mr__share *share,
                          const struct mr__worker *worker) {
  const mr_run *run = job->run;
  const struct mr__table *table = &run->model->tables[share->table];
  const unsigned char *learns = run->part_learns + run->first_part[share->table];
  float *gradient = worker->gradient;
  const unsigned char *touched = worker->touched;
  for (uint32_t u = 0; run->clip_scale != 1 && u < share->n; u++)
    mr__scale(gradient + (size_t)u * (size_t)table->width, run->clip_scale, table->width);
  const mr_run_options *options = &run->options;
  int has_penalty = options->table_l1 > 0 || options->table_l2 > 0 || options->table_mba > 0;
  int is_whole = !memchr(touched, 0, share->n * table->n_parts);
  if (is_whole && table->width <= NARROW) {
    step_narrow(job, share, table, gradient);
    return;
  }
  if (is_whole && !has_penalty) {
    step_whole(job, share, table, gradient);
    return;
  }
  for (uint32_t u = 0; u < share->n; u++, gradient += table->width, touched += table->n_parts) {
    if (u + AHEAD < share->n) prefetch_row(share->row[u + AHEAD], table->stride);
    step_row(job, table, share->row[u], gradient, run->options.rows_all ? learns : touched);
  }
}

/* rows: all. The rows that the batch lacks take their step too, with no gradient but the
 * penalty's: then the table moves as a dense framework's would. */
static void step_others(const struct job *job, const struct mr__share *share,
                        const struct mr__worker *worker) {
  const mr_run *run = job->run;
  const struct mr__table *table = &run->model->tables[share->table];
  const unsigned char *learns = run->part_learns + run->first_part[share->table];
  memset(worker->stepped, 0, mr__table_places(table));
  for (uint32_t u = 0; u < share->n; u++)
    worker->stepped[mr__table_place(table, share->row[u])] = 1;
  for (int s = share->first_shard; s < share->first_shard + share->n_shards; s++) {
    const struct mr__shard *shard = &table->shards[s];
    for (size_t i = 0; i < mr__shard_all_slots(shard); i++) {
      const struct mr__slot *slot = mr__shard_slot(shard, i);
      if (!slot->row_plus_1) continue;
      float *row = mr__shard_row(shard, slot->row_plus_1 - 1, table->stride);
      if (worker->stepped[mr__table_place(table, row)]) continue;
      memset(worker->gradient, 0, (size_t)table->width * sizeof(float));
      step_row(job, table, row, worker->gradient, learns);
    }
  }
}

void MR_FAMILY(mr__update_share)(mr_run *run, const struct mr__optim_rates *rates,
                                 const struct mr__share *share, int index) {
  const struct mr__worker *worker = &run->workers[index];
  const struct job *job = &(struct job){run, rates, optimizer(run)};
  const struct mr__table *table = &run->model->tables[share->table];
  if (!memchr(run->part_learns + run->first_part[share->table], 1, table->n_parts)) return;
  MR_FAMILY(mr__sum_share)(run, share, worker);
  step_distinct(job, share, worker);
  if (run->options.rows_all) step_others(job, share, worker);
}

double MR_FAMILY(mr__share_squares)(const mr_run *run, const struct mr__share *share, int index) {
  const struct mr__worker *worker = &run->workers[index];
  int width = run->model->tables[share->table].width;
  MR_FAMILY(mr__sum_share)(run, share, worker);
  double sum = 0;
  for (uint32_t u = 0; u < share->n; u++)
    sum += mr__squares(worker->gradient + (size_t)u * (size_t)width, width);
  return sum;
}
