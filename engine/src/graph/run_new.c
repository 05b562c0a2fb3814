/* Making and freeing a run. */
#include <string.h>

#include "base/alloc.h"
#include "graph/run.h"
#include "kernel/kernel.h"

enum { DEFAULT_LANES = 16, DEFAULT_SLICE = 4 << 20 };

static int make_workers(mr_run *run) {
  const mr_graph *graph = run->model->graph;
  size_t inputs = 1, scratch = 1;
  for (size_t i = 0; i < graph->n_nodes; i++) {
    if ((size_t)graph->nodes[i].n_inputs > inputs) inputs = (size_t)graph->nodes[i].n_inputs;
    if (graph->nodes[i].scratch > scratch) scratch = graph->nodes[i].scratch;
  }
  run->n_workers = mr__pool_threads(run->pool);
  run->workers = mr__calloc((size_t)run->n_workers, sizeof *run->workers);
  if (!run->workers) return mr__fail_memory();
  for (int w = 0; w < run->n_workers; w++) {
    struct mr__worker *worker = &run->workers[w];
    worker->x = mr__calloc(inputs, sizeof *worker->x);
    worker->dx = mr__calloc(inputs, sizeof *worker->dx);
    worker->add = mr__calloc(inputs, sizeof *worker->add);
    worker->readers = mr__calloc(graph->n_lookups, sizeof *worker->readers);
    worker->scratch = mr__malloc_aligned(scratch * sizeof *worker->scratch);
    if (!worker->x || !worker->dx || !worker->add || !worker->readers || !worker->scratch)
      return mr__fail_memory();
  }
  return MR_OK;
}

static int needs_packed_back(const mr_run *run, size_t i) {
  const struct mr__node *node = &run->model->graph->nodes[i];
  return node->packed_back > 0 && run->plan.nodes[i].has_grad &&
         run->plan.nodes[node->inputs[0]].grad.buffer >= 0;
}

/* The kernels load whole vectors: one panel is left behind the last weight. */
static size_t packed_back_floats(const mr_run *run, size_t i) {
  return mr__whole_lines(run->model->graph->nodes[i].packed_back + MR__PANEL);
}

/* Backward needs the weights in a form of its own where an input's gradient is wanted: all of them
 * in one block, which has huge pages where each by itself were too small for one. */
static int make_packed_back(mr_run *run) {
  const mr_graph *graph = run->model->graph;
  run->packed_back = mr__calloc(graph->n_nodes, sizeof *run->packed_back);
  if (!run->packed_back) return mr__fail_memory();
  size_t total = 0;
  for (size_t i = 0; i < graph->n_nodes; i++)
    if (needs_packed_back(run, i)) total += packed_back_floats(run, i);
  if (total == 0) return MR_OK;
  float *at = run->packed_back_block = mr__malloc_aligned(total * sizeof *at);
  if (!at) return mr__fail_memory();
  memset(at, 0, total * sizeof *at);
  for (size_t i = 0; i < graph->n_nodes; i++) {
    if (!needs_packed_back(run, i)) continue;
    run->packed_back[i] = at;
    at += packed_back_floats(run, i);
  }
  return MR_OK;
}

/* Weights whose op overwrites their gradient need no zeros, as far as its backward runs. */
static int list_zeroed(mr_run *run) {
  const mr_graph *graph = run->model->graph;
  run->zeroed = mr__calloc(graph->n_params, sizeof *run->zeroed);
  if (!run->zeroed) return mr__fail_memory();
  for (size_t p = 0; p < graph->n_params; p++) {
    const struct mr__param *param = &graph->params[p];
    const struct mr__node *node = &graph->nodes[param->node];
    int overwritten = (mr__node_op(node)->flags & MR__WRITES_PARAM) &&
                      (int)p == node->first_param && run->plan.nodes[param->node].has_grad;
    if (param->spec.trained && !overwritten)
      run->zeroed[run->n_zeroed++] =
          (struct mr__zeroed){run->model->offset[p], mr__param_size(param)};
  }
  return MR_OK;
}

static int make_lanes(mr_run *run) {
  const mr_graph *graph = run->model->graph;
  run->statistics_offset = mr__calloc(graph->n_nodes, sizeof *run->statistics_offset);
  if (!run->statistics_offset) return mr__fail_memory();
  for (size_t i = 0; i < graph->n_nodes; i++) {
    run->statistics_offset[i] = run->n_statistics;
    run->n_statistics += (size_t)graph->nodes[i].statistics;
  }
  if (run->plan.train) MR_TRY(list_zeroed(run));
  run->statistics = mr__calloc(run->n_statistics, sizeof *run->statistics);
  run->n_lanes = run->options.lanes;
  run->lanes = mr__calloc((size_t)run->n_lanes, sizeof *run->lanes);
  if (!run->lanes || !run->statistics) return mr__fail_memory();
  if (!run->plan.train) return MR_OK;
  size_t stride = mr__odd_lines(run->model->n_trained);
  run->gradients = mr__malloc_aligned((size_t)run->n_lanes * stride * sizeof *run->gradients);
  if (!run->gradients) return mr__fail_memory();
  memset(run->gradients, 0, (size_t)run->n_lanes * stride * sizeof *run->gradients);
  for (int l = 0; l < run->n_lanes; l++) {
    struct mr__lane *lane = &run->lanes[l];
    lane->gradient = run->gradients + (size_t)l * stride;
    lane->dparam = mr__calloc(graph->n_params, sizeof *lane->dparam);
    lane->statistics = mr__calloc(run->n_statistics, sizeof *lane->statistics);
    if (!lane->dparam || !lane->statistics) return mr__fail_memory();
    for (size_t p = 0; p < graph->n_params; p++)
      if (graph->params[p].spec.trained) lane->dparam[p] = lane->gradient + run->model->offset[p];
  }
  return MR_OK;
}

static int check_clip(const char *name, double most) {
  if (most == 0 || (most >= 1e-30 && most <= 1e30)) return MR_OK;
  return mr__fail(MR_EINVAL, "%s is %g, expected 1e-30 to 1e+30, or 0 for none", name, most);
}

static int check_options(const mr_run_options *o) {
  if (o->batch < 1)
    return mr__fail(MR_EINVAL, "batch is %lld, expected 1 or more", (long long)o->batch);
  if (o->lanes < 0 || o->lanes > MR__MOST_LANES)
    return mr__fail(MR_EINVAL, "lanes is %d, expected 1 to %d, or 0 for %d", (int)o->lanes,
                    MR__MOST_LANES, DEFAULT_LANES);
  if (o->slice_bytes < 0)
    return mr__fail(MR_EINVAL, "slice_bytes is %lld, expected 0 or more",
                    (long long)o->slice_bytes);
  MR_TRY(check_clip("clip_value", o->clip_value));
  MR_TRY(check_clip("clip_row", o->clip_row));
  return check_clip("clip_norm", o->clip_norm);
}

/* What steps and what is frozen, before the plan is made. */
static int list_learners(mr_run *run) {
  const mr_graph *graph = run->model->graph;
  const mr_run_options *o = &run->options;
  run->learns = mr__calloc(graph->n_nodes, 1);
  run->param_frozen = mr__calloc(graph->n_params, 1);
  run->first_part = mr__calloc((size_t)run->model->n_tables, sizeof *run->first_part);
  size_t n_parts = 0;
  for (int t = 0; run->first_part && t < run->model->n_tables; t++) {
    run->first_part[t] = n_parts;
    n_parts += run->model->tables[t].n_parts;
  }
  run->part_learns = mr__calloc(n_parts, 1);
  if (!run->learns || !run->param_frozen || !run->first_part || !run->part_learns)
    return mr__fail_memory();
  for (size_t p = 0; p < n_parts; p++)
    run->part_learns[p] = !(o->frozen_parts && o->frozen_parts[p]);
  for (size_t p = 0; p < graph->n_params; p++) {
    run->param_frozen[p] = o->frozen_weights && o->frozen_weights[p];
    if (graph->params[p].spec.trained && !run->param_frozen[p])
      run->learns[graph->params[p].node] = 1;
  }
  for (size_t l = 0; l < graph->n_lookups; l++)
    run->learns[graph->lookups[l].node] =
        (unsigned char)mr__run_part_learns(run, &graph->lookups[l]);
  run->options.frozen_parts = run->options.frozen_weights = NULL; /* they are the caller's */
  return MR_OK;
}

/* The tables of the columns that the plan reads; a batch may lack the others. */
static int list_tables(mr_run *run) {
  const mr_graph *graph = run->model->graph;
  run->table_of = mr__calloc(graph->schema->n_columns, sizeof *run->table_of);
  if (!run->table_of) return mr__fail_memory();
  for (size_t c = 0; c < graph->schema->n_columns; c++) run->table_of[c] = -1;
  for (size_t l = 0; l < graph->n_lookups; l++)
    if (run->plan.nodes[graph->lookups[l].node].wanted)
      run->table_of[graph->lookups[l].column] = graph->lookups[l].table;
  return MR_OK;
}

static int make_run(mr_run *run, const int32_t *nodes, int n_nodes, int staged) {
  const mr_graph *graph = run->model->graph;
  if (run->options.lanes == 0) run->options.lanes = DEFAULT_LANES;
  if (run->options.slice_bytes == 0) run->options.slice_bytes = DEFAULT_SLICE;
  run->rate = 1;
  run->step.train = nodes == NULL;
  run->step.seed = run->options.seed;
  run->step.lookups = graph->lookups;
  run->step.part_offsets = run->model->part_offsets;
  MR_TRY(list_learners(run));
  const struct mr__plan_options wanted = {.outputs = nodes,
                                          .n_outputs = n_nodes,
                                          .learns = run->learns,
                                          .staged = staged,
                                          .batch = run->options.batch,
                                          .slice_bytes = run->options.slice_bytes,
                                          .lanes = run->options.lanes};
  MR_TRY(mr__plan_make(&run->plan, graph, &wanted));
  run->kept = mr__calloc(run->plan.n_buffers, sizeof *run->kept);
  run->kept_capacity = mr__calloc(run->plan.n_buffers, sizeof *run->kept_capacity);
  if (!run->kept || !run->kept_capacity) return mr__fail_memory();
  MR_TRY(make_workers(run));
  MR_TRY(make_lanes(run));
  MR_TRY(mr__run_grow_workspaces(run, run->plan.most_rows));
  if (run->plan.train) MR_TRY(make_packed_back(run));
  if (run->plan.train) MR_TRY(mr__run_prepare_update(run));
  MR_TRY(list_tables(run));
  run->values = mr__calloc(graph->schema->n_columns, sizeof *run->values);
  run->unseen = mr__calloc(graph->schema->n_columns, sizeof *run->unseen);
  if (!run->values || !run->unseen) return mr__fail_memory();
  return mr__touched_init(&run->rows, run->model->tables, run->model->n_tables, run->table_of,
                          (int)graph->schema->n_columns);
}

static int new_run(mr_run **out, mr_model *model, mr_pool *pool, const mr_run_options *options,
                   const int32_t *nodes, int32_t n_nodes, int staged) {
  *out = NULL;
  MR_TRY(check_options(options));
  for (int32_t i = 0; i < n_nodes; i++) {
    if (nodes[i] < 0 || (size_t)nodes[i] >= model->graph->n_nodes)
      return mr__fail(MR_EINVAL, "output node %d, but there are %zu nodes", (int)nodes[i],
                      model->graph->n_nodes);
    if (model->graph->nodes[nodes[i]].width == 0)
      return mr__fail(MR_EINVAL, "output node %d is an objective, which has no value",
                      (int)nodes[i]);
  }
  mr_run *run = mr__calloc(1, sizeof *run);
  if (!run) return mr__fail_memory();
  run->model = model;
  run->pool = pool;
  run->options = *options;
  int status = MR_OK;
  if (nodes) {
    run->outputs = mr__calloc((size_t)n_nodes, sizeof *run->outputs);
    if (!run->outputs) status = mr__fail_memory();
    run->n_outputs = n_nodes;
    for (int32_t i = 0; status == MR_OK && i < n_nodes; i++) run->outputs[i] = nodes[i];
  }
  if (status == MR_OK) status = make_run(run, run->outputs, n_nodes, staged);
  if (status != MR_OK) {
    mr_run_free(run);
    return status;
  }
  *out = run;
  return MR_OK;
}

int mr_run_new(mr_run **out, mr_model *model, mr_pool *pool, const mr_run_options *options) {
  return new_run(out, model, pool, options, NULL, 0, 0);
}

int mr_run_new_predict(mr_run **out, mr_model *model, mr_pool *pool, const mr_run_options *options,
                       const int32_t *nodes, int32_t n_nodes) {
  *out = NULL;
  if (!nodes || n_nodes < 1) return mr__fail(MR_EINVAL, "no output node is asked for");
  return new_run(out, model, pool, options, nodes, n_nodes, 0);
}

int mr__run_new_staged(mr_run **out, mr_model *model, const int32_t *nodes, int32_t n_nodes) {
  /* So many rows at once that slices are as large as the workspace allows. */
  const mr_run_options options = {.batch = (int64_t)1 << 20, .lanes = 1};
  return new_run(out, model, NULL, &options, nodes, n_nodes, 1);
}

void mr_run_free(mr_run *run) {
  if (!run) return;
  for (int w = 0; run->workers && w < run->n_workers; w++) {
    mr__free(run->workers[w].workspace);
    mr__free(run->workers[w].x);
    mr__free(run->workers[w].dx);
    mr__free(run->workers[w].add);
    mr__free(run->workers[w].gradient);
    mr__free(run->workers[w].touched);
    mr__free(run->workers[w].stepped);
    mr__free(run->workers[w].readers);
    mr__free(run->workers[w].scratch);
  }
  mr__free(run->workers);
  for (int l = 0; run->lanes && l < run->n_lanes; l++) {
    mr__free(run->lanes[l].dparam);
    mr__free(run->lanes[l].statistics);
  }
  mr__free(run->lanes);
  mr__free(run->gradients);
  mr__free(run->packed_back_block);
  mr__free(run->packed_back);
  mr__free(run->zeroed);
  for (size_t b = 0; run->kept && b < run->plan.n_buffers; b++) mr__free(run->kept[b]);
  mr__free(run->kept);
  mr__free(run->kept_capacity);
  mr__free(run->statistics_offset);
  mr__free(run->statistics);
  mr__free(run->slices);
  mr__free(run->outputs);
  mr__free(run->table_of);
  mr__free(run->values);
  mr__free(run->unseen);
  mr__free(run->learns);
  mr__free(run->param_frozen);
  mr__free(run->part_learns);
  mr__free(run->first_part);
  mr__profile_free(run->profile);
  mr__run_clear_update(run);
  mr__touched_clear(&run->rows);
  mr__plan_clear(&run->plan);
  mr__free(run);
}
