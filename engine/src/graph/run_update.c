/* The update: lanes are merged, dense weights step, then the rows of the tables. The loops over
 * floats are in kernel/isa/update_loops.c, once per kernel family. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "graph/run.h"
#include "kernel/family.h"
#include "ops/lookup_options.h"

enum { STRETCH = 2048 };

static const struct mr__optimizer *optimizer(const struct mr__optimizer_use *use) {
  return mr__family()->optimizers->optimizers[use->index];
}

/* ---- choosing optimizers ---- */

int32_t mr_optimizer_count(void) { return mr__optimizers_plain.n; }

static int optimizer_options(const struct mr__optimizer *o) {
  int n = 0;
  while (n < MR__OPTIM_OPTIONS && o->options[n].name) n++;
  return n;
}

int mr_optimizer_describe(int32_t index, mr_optimizer_info *info) {
  if (index < 0 || index >= mr__optimizers_plain.n)
    return mr__fail(MR_EINVAL, "optimizer %d, but there are %d", (int)index,
                    mr__optimizers_plain.n);
  const struct mr__optimizer *o = mr__optimizers_plain.optimizers[index];
  *info = (mr_optimizer_info){o->name, o->doc, optimizer_options(o)};
  return MR_OK;
}

int mr_optimizer_option_describe(int32_t index, int32_t option, mr_op_option_info *info) {
  if (index < 0 || index >= mr__optimizers_plain.n || option < 0 ||
      option >= optimizer_options(mr__optimizers_plain.optimizers[index]))
    return mr__fail(MR_EINVAL, "optimizer %d has no option %d", (int)index, (int)option);
  const struct mr__optim_option *o = &mr__optimizers_plain.optimizers[index]->options[option];
  *info = (mr_op_option_info){.name = o->name,
                              .doc = o->doc,
                              .kind = MR_REAL,
                              .preset = o->preset,
                              .least = o->least,
                              .most = o->most};
  return MR_OK;
}

static int set_option(struct mr__optimizer_use *use, const struct mr__optimizer *o,
                      const mr_option *given) {
  for (int i = 0; i < optimizer_options(o); i++) {
    const struct mr__optim_option *option = &o->options[i];
    if (strcmp(option->name, given->name) != 0) continue;
    if (!(given->number >= option->least && given->number <= option->most))
      return mr__fail(MR_EINVAL, "%s.%s is %g, expected %g to %g", o->name, option->name,
                      given->number, option->least, option->most);
    use->options[i] = given->number;
    return MR_OK;
  }
  return mr__fail(MR_EINVAL, "optimizer %s has no option \"%s\"", o->name, given->name);
}

static int choose(struct mr__optimizer_use *use, const mr_optimizer_spec *spec) {
  const char *name = spec->name ? spec->name : "adam";
  for (int i = 0; i < mr__optimizers_plain.n; i++) {
    const struct mr__optimizer *o = mr__optimizers_plain.optimizers[i];
    if (strcmp(o->name, name) != 0) continue;
    use->index = i;
    for (int k = 0; k < optimizer_options(o); k++) use->options[k] = o->options[k].preset;
    for (int k = 0; k < spec->n_options; k++) MR_TRY(set_option(use, o, &spec->options[k]));
    return MR_OK;
  }
  return mr__fail(MR_EINVAL, "there is no optimizer \"%s\"", name);
}

static float state_start(const struct mr__optimizer_use *use) {
  int option = optimizer(use)->start_option;
  return option < 0 ? 0.0f : (float)use->options[option];
}

/* ---- preparing ---- */

static int make_stretches(mr_run *run) {
  const mr_graph *graph = run->model->graph;
  size_t most = 0;
  for (size_t p = 0; p < graph->n_params; p++)
    most += mr__param_size(&graph->params[p]) / STRETCH + 1;
  run->stretches = mr__calloc(most, sizeof *run->stretches);
  if (!run->stretches) return mr__fail_memory();
  for (size_t p = 0; p < graph->n_params; p++) {
    const struct mr__param_spec *spec = &graph->params[p].spec;
    size_t n = mr__param_size(&graph->params[p]);
    int steps = spec->trained && !run->param_frozen[p];
    for (size_t first = 0; steps && first < n; first += STRETCH)
      run->stretches[run->n_stretches++] = (struct mr__stretch){
          run->model->offset[p] + first, n - first < STRETCH ? n - first : STRETCH, spec->decays};
  }
  return MR_OK;
}

static int list_lookups(mr_run *run) {
  const mr_graph *graph = run->model->graph;
  size_t columns = graph->schema->n_columns;
  run->first_lookup = mr__calloc(columns + 1, sizeof *run->first_lookup);
  run->column_lookups = mr__calloc(graph->n_lookups, sizeof *run->column_lookups);
  if (!run->first_lookup || !run->column_lookups) return mr__fail_memory();
  int n = 0;
  for (size_t c = 0; c < columns; c++) {
    run->first_lookup[c] = n;
    for (size_t l = 0; l < graph->n_lookups; l++)
      if (graph->lookups[l].column == (int)c && run->plan.nodes[graph->lookups[l].node].has_grad &&
          mr__run_part_learns(run, &graph->lookups[l]))
        run->column_lookups[n++] = (int)l;
  }
  run->first_lookup[columns] = n;
  return MR_OK;
}

static int check_admission(const mr_run *run) {
  const mr_run_options *o = &run->options;
  for (int t = 0; t < run->model->n_tables; t++) {
    int64_t admit = o->admit ? o->admit[t] : 0, expire = o->expire ? o->expire[t] : 0;
    const char *name = run->model->tables[t].name;
    if (admit < 0 || admit > INT32_MAX)
      return mr__fail(MR_EINVAL, "admit of table \"%s\" is %lld, expected 0 to %d", name,
                      (long long)admit, INT32_MAX);
    if (expire < 0 || expire > INT32_MAX)
      return mr__fail(MR_EINVAL, "expire of table \"%s\" is %lld, expected 0 to %d", name,
                      (long long)expire, INT32_MAX);
    if ((admit > 0 || expire > 0) && (o->rows_all || o->table_mba > 0))
      return mr__fail(MR_EINVAL,
                      "table \"%s\" admits or drops keys while it is trained, and %s makes all "
                      "rows beforehand",
                      name, o->rows_all ? "rows: all" : "mba");
  }
  return MR_OK;
}

/* A row that stays however long its key does not come. */
static int pin_row(struct mr__table *table, uint64_t key) {
  float *row = mr__table_find(table, key);
  if (row) mr__set_row_count(table, row, (uint32_t)MR__NO_DATE);
  return MR_OK;
}

static int prepare_table(mr_run *run, int t, const float *starts) {
  struct mr__table *table = &run->model->tables[t];
  const mr_run_options *o = &run->options;
  table->admit = o->admit ? (uint32_t)o->admit[t] : 0;
  table->expire = o->expire ? (uint32_t)o->expire[t] : 0;
  table->n_dropped = 0;
  mr__waiting_clear(&table->waiting);
  MR_TRY(mr__table_set_states(table, optimizer(&run->table_optimizer)->n_states, starts,
                              o->table_mba > 0 || table->expire > 0));
  return table->expire > 0 ? mr__model_each_kept(run->model, t, pin_row) : MR_OK;
}

int mr__run_prepare_update(mr_run *run) {
  mr_optimizer_spec tables = run->options.tables.name ? run->options.tables : run->options.dense;
  MR_TRY(choose(&run->dense_optimizer, &run->options.dense));
  MR_TRY(choose(&run->table_optimizer, &tables));
  MR_TRY(make_stretches(run));
  MR_TRY(list_lookups(run));
  const mr_run_options *o = &run->options;
  if (o->table_mba > 0 && o->rows_all)
    return mr__fail(MR_EINVAL, "mba regularises the rows of a batch, rows: all moves all of them");
  MR_TRY(check_admission(run));
  run->clips = o->clip_value > 0 || o->clip_row > 0 || o->clip_norm > 0;
  run->clip_scale = 1;
  run->squares = mr__calloc(run->n_stretches + (size_t)run->model->n_tables * MR__SHARDS,
                            sizeof *run->squares);
  if (!run->squares) return mr__fail_memory();
  float start = state_start(&run->dense_optimizer);
  for (int s = 0; s < optimizer(&run->dense_optimizer)->n_states; s++) {
    run->dense_state[s] = mr__malloc_aligned(run->model->n_trained * sizeof(float));
    if (!run->dense_state[s]) return mr__fail_memory();
    for (size_t i = 0; i < run->model->n_trained; i++) run->dense_state[s][i] = start;
  }
  float starts[MR__OPTIM_STATES];
  for (int s = 0; s < MR__OPTIM_STATES; s++) starts[s] = state_start(&run->table_optimizer);
  run->model->trainer = run;
  for (int t = 0; t < run->model->n_tables; t++) MR_TRY(prepare_table(run, t, starts));
  run->options.admit = NULL; /* they are the caller's */
  run->options.expire = NULL;
  return MR_OK;
}

void mr__run_clear_update(mr_run *run) {
  mr__free(run->stretches);
  mr__free(run->squares);
  mr__free(run->first_lookup);
  mr__free(run->column_lookups);
  for (int s = 0; s < MR__OPTIM_STATES; s++) mr__free(run->dense_state[s]);
}

/* ---- dense weights ---- */

static int fail_gradient(const mr_run *run) {
  return mr__fail(MR_ENAN, "the gradient of step %lld is not finite", (long long)run->steps + 1);
}

static int reduce_stretch(void *argument, int64_t task, int worker) {
  (void)worker;
  mr_run *run = argument;
  return mr__family()->reduce_stretch(run, &run->stretches[task]) ? MR_OK : fail_gradient(run);
}

int mr__run_reduce(mr_run *run) {
  return mr__run_train(run, reduce_stretch, run, (int64_t)run->n_stretches);
}

struct step_job {
  mr_run *run;
  struct mr__optim_rates rates;
};

static struct mr__optim_rates rates(const mr_run *run, const struct mr__optimizer_use *use) {
  double options[MR__OPTIM_OPTIONS];
  memcpy(options, use->options, sizeof options);
  options[0] *= run->rate;
  struct mr__optim_rates r = {{0}};
  optimizer(use)->rates(options, run->steps, &r);
  return r;
}

static int step_stretch(void *argument, int64_t task, int worker) {
  (void)worker;
  const struct step_job *job = argument;
  mr__family()->step_stretch(job->run, &job->rates, &job->run->stretches[task]);
  return MR_OK;
}

/* ---- rows of tables ---- */

static struct mr__reader make_reader(const mr_run *run, const struct mr__share *share,
                                     const struct mr__lookup *lookup, struct mr__column_share part,
                                     uint32_t first) {
  const struct mr__node_plan *node = &run->plan.nodes[lookup->node];
  const struct mr__node_plan *pairs = node->pairs < 0 ? NULL : &run->plan.nodes[node->pairs];
  struct mr__reader reader = {
      .part = lookup->part,
      .offset = run->model->tables[lookup->table].parts[lookup->part].offset,
      .dim = lookup->dim,
      .n = part.n,
      .place = share->place_of + first,
      .row = part.listed ? share->row_of + first : NULL,
      .dy = mr__run_kept(run, pairs ? pairs->grad : node->grad, pairs ? 1 : lookup->dim),
      .at = part.at,
  };
  if (lookup->pool != MR__POOL_SUM) reader.bags = run->step.batch->columns[lookup->column].offsets;
  if (lookup->pool == MR__POOL_MAX) reader.first = mr__run_kept(run, node->saved, lookup->dim);
  if (lookup->weighted) reader.weights = run->step.batch->columns[lookup->column].floats;
  if (lookup->weighted && lookup->pool == MR__POOL_MEAN)
    reader.sums = mr__run_kept(run, node->saved, 1);
  if (pairs) reader.pairs = mr__run_kept(run, pairs->saved, lookup->dim);
  return reader;
}

int mr__run_readers(const mr_run *run, const struct mr__share *share, struct mr__reader *readers) {
  const struct mr__touched *rows = &run->rows;
  int n = 0;
  uint32_t first = 0;
  for (int i = rows->first_column[share->table]; i < rows->first_column[share->table + 1]; i++) {
    int c = rows->table_columns[i];
    struct mr__column_share part = mr__column_share(share, &rows->columns[c]);
    for (int k = run->first_lookup[c]; k < run->first_lookup[c + 1]; k++)
      readers[n++] =
          make_reader(run, share, &run->model->graph->lookups[run->column_lookups[k]], part, first);
    first += part.n;
  }
  return n;
}

static int grow_gradient(const mr_run *run, const struct mr__share *share,
                         struct mr__worker *worker) {
  const struct mr__table *table = &run->model->tables[share->table];
  size_t keys = (size_t)share->n + 1; /* one at least: rows: all needs it without any key */
  MR_TRY(mr__grow(&worker->gradient, &worker->gradient_capacity, keys * (size_t)table->width,
                  sizeof *worker->gradient));
  if (run->options.rows_all)
    MR_TRY(mr__grow(&worker->stepped, &worker->stepped_capacity, mr__table_places(table), 1));
  return mr__grow(&worker->touched, &worker->touched_capacity, keys * table->n_parts, 1);
}

int mr__run_grow_gradients(mr_run *run) {
  for (int w = 0; w < run->n_workers; w++)
    for (int s = 0; s < run->rows.n_shares; s++)
      MR_TRY(grow_gradient(run, run->rows.taken[s], &run->workers[w]));
  return MR_OK;
}

static int update_share(void *argument, int64_t task, int worker) {
  const struct step_job *job = argument;
  const struct mr__share *share = job->run->rows.taken[task];
  mr__family()->update_share(job->run, &job->rates, share, worker);
  const struct mr__table *table = &job->run->model->tables[share->table];
  uint32_t date = mr__date(job->run->steps);
  for (uint32_t u = 0; table->expire > 0 && u < share->n; u++)
    if (mr__row_count(table, share->row[u]) != (uint32_t)MR__NO_DATE)
      mr__set_row_count(table, share->row[u], date);
  return MR_OK;
}

/* ---- rows that expire ---- */

struct drop_job {
  mr_run *run;
  uint32_t dropped[]; /* [tables][MR__SHARDS] */
};

/* Looked for four times while a row may be away. */
static int drops_now(const mr_run *run, const struct mr__table *table) {
  int64_t every = table->expire > 4 ? table->expire / 4 : 1;
  return table->expire > 0 && run->steps % every == 0 && run->steps >= table->expire;
}

static int drop_shard(void *argument, int64_t task, int worker) {
  (void)worker;
  struct drop_job *job = argument;
  struct mr__table *table = &job->run->model->tables[task / MR__SHARDS];
  if (!drops_now(job->run, table)) return MR_OK;
  uint32_t oldest = mr__date(job->run->steps - table->expire + 1);
  if (task % MR__SHARDS == 0) MR_TRY(mr__waiting_drop(&table->waiting, oldest));
  return mr__table_drop(table, (int)(task % MR__SHARDS), oldest, &job->dropped[task]);
}

static int drop_rows(mr_run *run) {
  int any = 0, n = run->model->n_tables * MR__SHARDS;
  for (int t = 0; t < run->model->n_tables; t++) any |= drops_now(run, &run->model->tables[t]);
  if (!any) return MR_OK;
  struct drop_job *job = mr__calloc(1, sizeof *job + (size_t)n * sizeof job->dropped[0]);
  if (!job) return mr__fail_memory();
  job->run = run;
  int status = mr__pool_run(run->pool, drop_shard, job, n);
  for (int i = 0; i < n; i++) {
    struct mr__table *table = &run->model->tables[i / MR__SHARDS];
    table->n_dropped += job->dropped[i];
    table->layout += job->dropped[i] > 0;
  }
  mr__free(job);
  return status;
}

int64_t mr_run_waiting(const mr_run *run, int32_t t) {
  if (t < 0 || t >= run->model->n_tables) return 0;
  const struct mr__table *table = &run->model->tables[t];
  return mr__waiting_below(&table->waiting, table->admit);
}

int64_t mr_run_dropped(const mr_run *run, int32_t t) {
  return t >= 0 && t < run->model->n_tables ? run->model->tables[t].n_dropped : 0;
}

/* ---- the global norm ---- */

static int sum_squares(void *argument, int64_t task, int worker) {
  mr_run *run = argument;
  int64_t share = task - (int64_t)run->n_stretches;
  run->squares[task] = share < 0 ? mr__family()->stretch_squares(run, &run->stretches[task])
                                 : mr__family()->share_squares(run, run->rows.taken[share], worker);
  return MR_OK;
}

/* The first of two passes over the gradient: how much the second one scales it down. Sums are added
 * in the order of the tasks, so the threads change nothing. */
static int measure(mr_run *run) {
  if (run->options.clip_norm == 0) return MR_OK;
  size_t n = run->n_stretches + (size_t)run->rows.n_shares;
  MR_TRY(mr__run_train(run, sum_squares, run, (int64_t)n));
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += run->squares[i];
  if (!isfinite(sum)) return fail_gradient(run);
  double norm = sqrt(sum), most = run->options.clip_norm;
  run->clip_scale = norm > most ? (float)(most / norm) : 1;
  return MR_OK;
}

static int prepare_node_back(void *argument, int64_t task, int worker) {
  (void)worker;
  mr_run *run = argument;
  const struct mr__node *node = &run->model->graph->nodes[task];
  if (run->packed_back[task])
    mr__node_op(node)->prepare_back(node, run->model->param + node->first_param,
                                    run->packed_back[task]);
  return MR_OK;
}

int mr__run_prepare_back(mr_run *run) {
  if (run->packed_version == run->model->version) return MR_OK;
  run->packed_version = run->model->version;
  return mr__pool_run(run->pool, prepare_node_back, run, (int64_t)run->model->graph->n_nodes);
}

/* Both forms of a node's weights, one task each. */
static int prepare_node(void *argument, int64_t task, int worker) {
  mr_run *run = argument;
  if (task % 2) return prepare_node_back(run, task / 2, worker);
  mr__model_prepare(run->model, (size_t)task / 2);
  return MR_OK;
}

int mr_run_update(mr_run *run) {
  if (!run->has_gradient)
    return mr__fail(MR_EINVAL, "there is no gradient to step along; run mr_run_gradient first");
  MR_TRY(mr__run_check_trainer(run));
  run->has_gradient = 0;
  mr__profile_start(run->profile);
  MR_TRY(measure(run));
  run->steps++;
  struct step_job dense = {run, rates(run, &run->dense_optimizer)};
  MR_TRY(mr__run_train(run, step_stretch, &dense, (int64_t)run->n_stretches));
  mr__profile_stage(run, MR__STAGE_DENSE);
  struct step_job tables = {run, rates(run, &run->table_optimizer)};
  MR_TRY(mr__run_train(run, update_share, &tables, run->rows.n_shares));
  MR_TRY(mr__touched_count(&run->rows, run->steps, run->pool));
  MR_TRY(drop_rows(run));
  mr__profile_stage(run, MR__STAGE_ROWS);
  for (size_t i = 0; i < run->model->graph->n_nodes; i++) {
    const struct mr__op *op = mr__node_op(&run->model->graph->nodes[i]);
    if (!op->finish || !run->plan.nodes[i].wanted) continue;
    double *lanes[MR__MOST_LANES];
    struct mr__settle call = mr__run_settle(run, (int)i, lanes);
    op->finish(&call);
  }
  run->packed_version = ++run->model->version;
  int prepares = 0; /* whether the threads need to be woken */
  for (size_t i = 0; i < run->model->graph->n_nodes; i++)
    prepares |= mr__node_op(&run->model->graph->nodes[i])->prepare != NULL;
  if (prepares)
    MR_TRY(mr__pool_run(run->pool, prepare_node, run, 2 * (int64_t)run->model->graph->n_nodes));
  mr__profile_stage(run, MR__STAGE_PACK);
  return MR_OK;
}

int mr_run_set_rate(mr_run *run, double factor) {
  if (!(factor >= 0 && factor <= 1e6))
    return mr__fail(MR_EINVAL, "the rate factor is %g, expected 0 to 1e+06", factor);
  run->rate = factor;
  return MR_OK;
}

/* ---- views of the gradient ---- */

const float *mr_run_weight_gradient(mr_run *run, int32_t param) {
  const mr_graph *graph = run->model->graph;
  if (!run->plan.train || param < 0 || (size_t)param >= graph->n_params || run->param_frozen[param])
    return NULL;
  return run->lanes[0].dparam[param];
}

int mr_run_row_gradient(mr_run *run, int32_t t, uint64_t key, float *gradient) {
  if (t < 0 || t >= run->model->n_tables)
    return mr__fail(MR_EINVAL, "table %d, but there are %d", (int)t, run->model->n_tables);
  const struct mr__table *table = &run->model->tables[t];
  memset(gradient, 0, (size_t)table->width * sizeof *gradient);
  if (!run->has_gradient) return mr__fail(MR_EINVAL, "there is no gradient");
  const float *row = mr__table_find(table, key);
  const struct mr__share *share = mr__touched_share(&run->rows, t, key);
  if (row) mr__family()->sum_share(run, share, &run->workers[0]);
  for (uint32_t u = 0; row && u < share->n; u++)
    if (share->row[u] == row)
      memcpy(gradient, run->workers[0].gradient + (size_t)u * (size_t)table->width,
             (size_t)table->width * sizeof *gradient);
  return MR_OK;
}
