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
void MR_FAMILY(mr__reduce_stretch)(const mr_run *run, const struct mr__stretch *stretch) {
  for (int gap = 1; gap < run->lanes_used; gap *= 2)
    for (int l = 0; l + gap < run->lanes_used; l += 2 * gap)
      mr__accumulate(run->lanes[l].gradient + stretch->first,
                     run->lanes[l + gap].gradient + stretch->first, (int)stretch->n);
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

/* The sum over a key's occurrences, in their order, of the gradients of the lookups that read it.
 * touched[p] says which parts were read at all. */
void MR_FAMILY(mr__sum_occurrences)(const mr_run *run, const struct mr__table *table,
                                    const struct mr__occurrence *occurrence, uint32_t n,
                                    float *gradient, unsigned char *touched) {
  const mr_graph *graph = run->model->graph;
  memset(gradient, 0, (size_t)table->width * sizeof *gradient);
  memset(touched, 0, table->n_parts);
  for (uint32_t i = 0; i < n; i++) {
    uint32_t column = occurrence[i].column, at = occurrence[i].at;
    const int32_t *offsets = run->step.batch->columns[column].offsets;
    int64_t row = offsets ? run->rows.columns[column].owner[at] : at;
    for (int k = run->first_lookup[column]; k < run->first_lookup[column + 1]; k++) {
      const struct mr__lookup *lookup = &graph->lookups[run->column_lookups[k]];
      struct mr__matrix dy =
          mr__run_kept(run, run->plan.nodes[lookup->node].grad, lookup->dim);
      float *sum = gradient + table->parts[lookup->part].offset;
      if (lookup->mean && offsets)
        mr__axpy(sum, 1.0f / (float)(offsets[row + 1] - offsets[row]), mr__row(&dy, row),
                 lookup->dim);
      else
        mr__accumulate(sum, mr__row(&dy, row), lookup->dim);
      touched[lookup->part] = 1;
    }
  }
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

static void step_distinct(const struct job *job, int shard, int t,
                          const struct mr__worker *worker, uint32_t *stamps) {
  mr_run *run = job->run;
  const struct mr__table *table = &run->model->tables[t];
  const struct mr__shard_rows *rows = &run->rows.shards[shard];
  struct mr__distinct distinct = rows->tables[t];
  const uint32_t *start = rows->start + distinct.first + t;
  for (uint32_t u = 0; u < distinct.n; u++) {
    if (u + PREFETCH_AHEAD < distinct.n)
      __builtin_prefetch(rows->row[distinct.first + u + PREFETCH_AHEAD], 1);
    MR_FAMILY(mr__sum_occurrences)(run, table, rows->occurrences + start[u],
                                   start[u + 1] - start[u], worker->row_gradient,
                                   worker->touched);
    if (run->clips) {
      clip_row(&run->options, worker->row_gradient, table->width);
      if (run->clip_scale != 1) mr__scale(worker->row_gradient, run->clip_scale, table->width);
    }
    if (run->options.rows_all) {
      memcpy(worker->touched, run->part_learns + run->first_part[t], table->n_parts);
      stamps[rows->index[distinct.first + u]] = (uint32_t)run->steps;
    }
    step_row(job, table, rows->row[distinct.first + u], worker->row_gradient, worker->touched);
  }
}

/* rows: all. The rows that the batch lacks take their step too, with no gradient but the
 * penalty's: then the table moves as a dense framework's would. */
static void step_others(const struct job *job, int shard, int t,
                        const struct mr__worker *worker, const uint32_t *stamps) {
  mr_run *run = job->run;
  const struct mr__table *table = &run->model->tables[t];
  memcpy(worker->touched, run->part_learns + run->first_part[t], table->n_parts);
  for (uint32_t r = 0; r < table->shards[shard].n_rows; r++) {
    if (stamps[r] == (uint32_t)run->steps) continue;
    memset(worker->row_gradient, 0, (size_t)table->width * sizeof(float));
    step_row(job, table, mr__shard_row(&table->shards[shard], r, table->stride),
             worker->row_gradient, worker->touched);
  }
}

int MR_FAMILY(mr__update_shard)(mr_run *run, const struct mr__optim_rates *rates, int shard,
                                int index) {
  const struct mr__worker *worker = &run->workers[index];
  const struct job *job = &(struct job){run, rates, optimizer(run)};
  for (int t = 0; t < run->model->n_tables; t++) {
    if (!memchr(run->part_learns + run->first_part[t], 1, run->model->tables[t].n_parts)) continue;
    if (!run->options.rows_all) {
      step_distinct(job, shard, t, worker, NULL);
      continue;
    }
    size_t rows = run->model->tables[t].shards[shard].n_rows;
    if (rows == 0) continue;
    memset(run->stamps[shard], 0, rows * sizeof *run->stamps[shard]);
    step_distinct(job, shard, t, worker, run->stamps[shard]);
    step_others(job, shard, t, worker, run->stamps[shard]);
  }
  return MR_OK;
}

double MR_FAMILY(mr__shard_squares)(const mr_run *run, int shard, int index) {
  const struct mr__worker *worker = &run->workers[index];
  const struct mr__shard_rows *rows = &run->rows.shards[shard];
  double sum = 0;
  for (int t = 0; t < run->model->n_tables; t++) {
    const struct mr__table *table = &run->model->tables[t];
    struct mr__distinct distinct = rows->tables[t];
    const uint32_t *start = rows->start + distinct.first + t;
    for (uint32_t u = 0; u < distinct.n; u++) {
      MR_FAMILY(mr__sum_occurrences)(run, table, rows->occurrences + start[u],
                                     start[u + 1] - start[u], worker->row_gradient,
                                     worker->touched);
      clip_row(&run->options, worker->row_gradient, table->width);
      sum += mr__squares(worker->row_gradient, table->width);
    }
  }
  return sum;
}
