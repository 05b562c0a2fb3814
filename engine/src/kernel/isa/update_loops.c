/* The loops of the update over floats, once per kernel family. */
#include <math.h>
#include <string.h>

#include "graph/run.h"
#include "kernel/family.h"
#include "kernel/vec.h"

enum { PREFETCH_AHEAD = 8 };

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
int MR_FAMILY(mr__reduce_stretch)(const mr_run *run, const struct mr__stretch *stretch) {
  for (int gap = 1; gap < run->lanes_used; gap *= 2)
    for (int l = 0; l + gap < run->lanes_used; l += 2 * gap)
      mr__accumulate(run->lanes[l].gradient + stretch->first,
                     run->lanes[l + gap].gradient + stretch->first, (int)stretch->n);
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
  if (stretch->decays && run->options.dense_l2 > 0)
    mr__axpy(g, (float)run->options.dense_l2, w, n);
  MR_FAMILY(mr__optimizers)
      .optimizers[run->dense_optimizer.index]
      ->step(rates, n, w, g, state[0], state[1]);
}

/* ---- rows of tables ---- */

/* total + the gradients of N columns of a reader, over occurrences in order. The total stays in a
 * register: rows are mostly as narrow as one or two vectors. */
#define SUM_COLUMNS(N)                                                                            \
  typedef float vector##N __attribute__((vector_size(4 * (N))));                                  \
  static inline void sum_columns_##N(const struct mr__reader *reader, int column,                 \
                                     const uint32_t *occurrence, uint32_t n, float *gradient) {   \
    vector##N total, x;                                                                           \
    memcpy(&total, gradient + column, sizeof total);                                              \
    for (uint32_t i = 0; i < n; i++) {                                                            \
      int64_t row = occurrence[i] - reader->first;                                                \
      memcpy(&x, mr__row(&reader->dy, row) + column, sizeof x);                                   \
      total += reader->bags ? x / (float)(reader->bags[row + 1] - reader->bags[row]) : x;         \
    }                                                                                             \
    memcpy(gradient + column, &total, sizeof total);                                              \
  }
SUM_COLUMNS(1)
SUM_COLUMNS(4)
SUM_COLUMNS(8)
SUM_COLUMNS(16)

static void sum_reader(const struct mr__reader *reader, const uint32_t *occurrence, uint32_t n,
                       float *gradient) {
  int c = 0;
  for (; c + 16 <= reader->dim; c += 16) sum_columns_16(reader, c, occurrence, n, gradient);
  for (; c + 8 <= reader->dim; c += 8) sum_columns_8(reader, c, occurrence, n, gradient);
  for (; c + 4 <= reader->dim; c += 4) sum_columns_4(reader, c, occurrence, n, gradient);
  for (; c < reader->dim; c++) sum_columns_1(reader, c, occurrence, n, gradient);
}

void MR_FAMILY(mr__sum_occurrences)(const struct mr__reader *readers, int n_readers,
                                    const struct mr__share *share, uint32_t u, float *gradient,
                                    unsigned char *touched) {
  const uint32_t *next = share->occurrences + share->start[u];
  const uint32_t *end = share->occurrences + share->start[u + 1];
  for (const struct mr__reader *reader = readers; reader < readers + n_readers; reader++) {
    while (next < end && *next < reader->first) next++;
    const uint32_t *stop = next;
    if (next < end && end[-1] < reader->end) stop = end; /* all that are left, as a rule */
    while (stop < end && *stop < reader->end) stop++;
    if (next == stop) continue;
    touched[reader->part] = 1;
    sum_reader(reader, next, (uint32_t)(stop - next), gradient + reader->offset);
  }
}

/* The gradient of a distinct key's row into the worker's, clipped by value and by row. */
static void find_gradient(const mr_run *run, const struct mr__share *share, uint32_t u,
                          int n_readers, const struct mr__worker *worker) {
  const struct mr__table *table = &run->model->tables[share->table];
  memset(worker->row_gradient, 0, (size_t)table->width * sizeof(float));
  memset(worker->touched, 0, table->n_parts);
  MR_FAMILY(mr__sum_occurrences)(worker->readers, n_readers, share, u, worker->row_gradient,
                                 worker->touched);
  if (run->clips) clip_row(&run->options, worker->row_gradient, table->width);
}

static void step_row(const struct job *job, const struct mr__table *table, float *row,
                     float *gradient, const unsigned char *touched) {
  const struct mr__optimizer *o = job->optimizer;
  float l2 = (float)job->run->options.table_l2;
  for (size_t p = 0; p < table->n_parts;) {
    if (!touched[p]) {
      p++;
      continue;
    }
    /* Parts that lie side by side step together. */
    int first = table->parts[p].offset, n = 0;
    for (; p < table->n_parts && touched[p]; p++) n += table->parts[p].dim;
    if (l2 > 0) mr__axpy(gradient + first, l2, row + first, n);
    o->step(job->rates, n, row + first, gradient + first, row + table->width + first,
            row + 2 * table->width + first);
  }
}

static void step_distinct(const struct job *job, const struct mr__share *share, int n_readers,
                          const struct mr__worker *worker) {
  const mr_run *run = job->run;
  const struct mr__table *table = &run->model->tables[share->table];
  for (uint32_t u = 0; u < share->n; u++) {
    if (u + PREFETCH_AHEAD < share->n) __builtin_prefetch(share->row[u + PREFETCH_AHEAD], 1);
    find_gradient(run, share, u, n_readers, worker);
    if (run->clip_scale != 1) mr__scale(worker->row_gradient, run->clip_scale, table->width);
    if (run->options.rows_all)
      memcpy(worker->touched, run->part_learns + run->first_part[share->table], table->n_parts);
    step_row(job, table, share->row[u], worker->row_gradient, worker->touched);
  }
}

/* rows: all. The rows that the batch lacks take their step too, with no gradient but the
 * penalty's: then the table moves as a dense framework's would. */
static void step_others(const struct job *job, const struct mr__share *share,
                        const struct mr__worker *worker) {
  const mr_run *run = job->run;
  const struct mr__table *table = &run->model->tables[share->table];
  memcpy(worker->touched, run->part_learns + run->first_part[share->table], table->n_parts);
  for (int s = share->first_shard; s < share->first_shard + share->n_shards; s++) {
    const struct mr__shard *shard = &table->shards[s];
    for (size_t i = 0; i < shard->n_slots; i++) {
      const struct mr__slot *slot = &shard->slots[i];
      if (!slot->row_plus_1 || slot->note >= share->note) continue;
      memset(worker->row_gradient, 0, (size_t)table->width * sizeof(float));
      step_row(job, table, mr__shard_row(shard, slot->row_plus_1 - 1, table->stride),
               worker->row_gradient, worker->touched);
    }
  }
}

void MR_FAMILY(mr__update_share)(mr_run *run, const struct mr__optim_rates *rates,
                                 const struct mr__share *share, int index) {
  const struct mr__worker *worker = &run->workers[index];
  const struct job *job = &(struct job){run, rates, optimizer(run)};
  const struct mr__table *table = &run->model->tables[share->table];
  if (!memchr(run->part_learns + run->first_part[share->table], 1, table->n_parts)) return;
  int n_readers = mr__run_readers(run, share->table, worker->readers);
  step_distinct(job, share, n_readers, worker);
  if (run->options.rows_all) step_others(job, share, worker);
}

double MR_FAMILY(mr__share_squares)(const mr_run *run, const struct mr__share *share, int index) {
  const struct mr__worker *worker = &run->workers[index];
  int n_readers = mr__run_readers(run, share->table, worker->readers);
  double sum = 0;
  for (uint32_t u = 0; u < share->n; u++) {
    find_gradient(run, share, u, n_readers, worker);
    sum += mr__squares(worker->row_gradient, run->model->tables[share->table].width);
  }
  return sum;
}
