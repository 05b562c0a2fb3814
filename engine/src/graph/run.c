#include "graph/run.h"

#include <math.h>
#include <string.h>

#include "base/denormals.h"
#include "data/fit.h"
#include "graph/run_check.h"

/* ---- calling ops on a slice ---- */

struct mr__matrix mr__run_kept(const mr_run *run, struct mr__place place, int width) {
  if (place.buffer < 0) return (struct mr__matrix){NULL, 0, width};
  int ld = run->plan.buffers[place.buffer].width;
  return (struct mr__matrix){run->kept[place.buffer] + place.column, ld, width};
}

static struct mr__matrix locate(const mr_run *run, const struct mr__worker *worker,
                                const struct mr__slice *slice, struct mr__place place, int width) {
  if (place.buffer < 0) return (struct mr__matrix){NULL, 0, width};
  const struct mr__buffer *buffer = &run->plan.buffers[place.buffer];
  struct mr__matrix m = {NULL, buffer->width, width};
  if (buffer->kept) {
    m.p = run->kept[place.buffer] + slice->first[buffer->domain] * buffer->width + place.column;
  } else {
    m.ld = buffer->width == 1 ? 1 : mr__row_floats(buffer);
    int region = mr__region(buffer->domain);
    m.p = worker->workspace + buffer->offset * (size_t)run->workspace_rows[region] + place.column;
    if (region == MR__SEQUENCE_REGION)
      m.p +=
          run->plan.workspace[MR__SAMPLE_REGION] * (size_t)run->workspace_rows[MR__SAMPLE_REGION];
  }
  return m;
}

/* Whether relus are left to the ops around them. A check looks at the numbers in between. */
static int folds(const mr_run *run) { return run->check == NULL; }

/* A prelu that another op does in this slice; of none, nothing. */
static struct mr__prelu prelu_of(const mr_run *run, int i, const struct mr__slice *slice, int lane,
                                 const struct mr__worker *worker) {
  if (i < 0 || !folds(run)) return (struct mr__prelu){.slopes = NULL};
  const struct mr__node *node = &run->model->graph->nodes[i];
  const struct mr__node_plan *plan = &run->plan.nodes[i], *x = &run->plan.nodes[node->inputs[0]];
  return (struct mr__prelu){.slopes = run->model->param[node->first_param],
                            .dslopes =
                                run->plan.train ? run->lanes[lane].dparam[node->first_param] : NULL,
                            .x = locate(run, worker, slice, x->value, node->width),
                            .y = locate(run, worker, slice, plan->value, node->width)};
}

/* What a gradient of the node's starts with that node `i` leaves to it. */
static struct mr__given given_by(const mr_run *run, int i, const struct mr__slice *slice,
                                 const struct mr__worker *worker) {
  if (i < 0 || !folds(run)) return (struct mr__given){.weight = {.p = NULL}};
  const struct mr__node *node = &run->model->graph->nodes[i];
  struct mr__place weight = run->plan.nodes[node->inputs[1]].value;
  return (struct mr__given){.weight = locate(run, worker, slice, weight, 1),
                            .dy = locate(run, worker, slice, run->plan.nodes[i].grad, node->width)};
}

/* Everything an op is told about a node in a slice. */
static struct mr__call make_call(const mr_run *run, int i, const struct mr__slice *slice, int lane,
                                 const struct mr__worker *worker) {
  const mr_graph *graph = run->model->graph;
  const struct mr__node *node = &graph->nodes[i];
  const struct mr__node_plan *plan = &run->plan.nodes[i];
  struct mr__lane *l = &run->lanes[lane];
  int domain = node->domain;
  struct mr__call call = {
      .node = node,
      .step = &run->step,
      .rows = slice->rows[domain],
      .first_row = slice->first[domain],
      .slice = slice,
      .opens_lane = plan->shared ? slice->opens_shared : slice->opens_lane,
      .y = locate(run, worker, slice, plan->value, node->width),
      .dy = locate(run, worker, slice, plan->grad, node->width),
      .saved = locate(run, worker, slice, plan->saved, node->saved),
      .x = worker->x,
      .dx = worker->dx,
      .add = slice->opens ? plan->add : worker->add,
      .n_inputs = node->n_inputs,
      .adds = plan->adds,
      .squares = plan->pairs >= 0,
      .relu = plan->relu && folds(run),
      .mask = plan->mask && folds(run),
      .behind = prelu_of(run, plan->behind, slice, lane, worker),
      .before = prelu_of(run, plan->before, slice, lane, worker),
      .gives = plan->gives && folds(run),
      .given = given_by(run, plan->given, slice, worker),
      .param = run->model->param + node->first_param,
      .packed = run->model->packed + run->model->packed_offset[i],
      .packed_back = run->packed_back ? run->packed_back[i] : NULL,
      .scratch = worker->scratch,
      .loss = &l->loss,
  };
  if (run->plan.train) {
    call.dparam = l->dparam + node->first_param;
    call.lane_statistics = l->statistics + run->statistics_offset[i];
    call.statistics = run->statistics + run->statistics_offset[i];
  }
  for (int k = 0; k < node->n_inputs; k++) {
    const struct mr__node_plan *input = &run->plan.nodes[node->inputs[k]];
    int width = graph->nodes[node->inputs[k]].width;
    worker->x[k] = locate(run, worker, slice, input->value, width);
    worker->dx[k] = locate(run, worker, slice, input->grad, width);
    /* What the slices of a request share has had a gradient from those before. */
    if (!slice->opens)
      worker->add[k] = (unsigned char)(plan->add[k] || (input->shared && !plan->shared));
  }
  return call;
}

/* ---- tasks of training ---- */

struct training {
  mr__task run;
  void *job;
};

static int run_training(void *argument, int64_t task, int worker) {
  const struct training *training = argument;
  unsigned before = mr__flush_denormals();
  int status = training->run(training->job, task, worker);
  mr__restore_denormals(before);
  return status;
}

int mr__run_train(mr_run *run, mr__task task, void *job, int64_t n_tasks) {
  struct training training = {task, job};
  return mr__pool_run(run->check ? NULL : run->pool, run_training, &training, n_tasks);
}

/* ---- a unit: one walk over all slices ---- */

struct unit_job {
  mr_run *run;
  int unit;
  float *const *out; /* predicting */
};

static int starts_phase(const mr_run *run, int i) {
  return run->plan.train && (mr__node_op(&run->model->graph->nodes[i])->flags & MR__STATISTICS);
}

/* One function of a node's op on a slice. */
static void call_op(mr_run *run, void (*function)(const struct mr__call *call), int i, int pass,
                    const struct mr__slice *slice, int lane, const struct mr__worker *worker) {
  double start = run->profile ? mr_seconds() : 0;
  struct mr__call call = make_call(run, i, slice, lane, worker);
  function(&call);
  if (run->profile)
    mr__profile_node(run->profile, (int)(worker - run->workers), i, pass, start, call.rows);
  if (!run->check) return;
  const struct mr__op *op = mr__node_op(call.node);
  if (function == op->forward) mr__check_forward(run, i, slice, &call);
  if (function == op->backward) mr__check_backward(run, i, slice, &call);
}

/* Of what requests share, or of the rest. */
static void forward_part(mr_run *run, int phase, int shared, const struct mr__slice *slice,
                         int lane, const struct mr__worker *worker) {
  const mr_graph *graph = run->model->graph;
  for (int i = 0; i < (int)graph->n_nodes; i++) {
    const struct mr__node_plan *plan = &run->plan.nodes[i];
    if (!plan->wanted || plan->filled || plan->shared != shared) continue;
    if (plan->folded_forward && folds(run)) continue;
    const struct mr__op *op = mr__node_op(&graph->nodes[i]);
    if (plan->phase == phase)
      call_op(run, op->forward, i, MR__PASS_FORWARD, slice, lane, worker);
    else if (plan->phase == phase + 1 && starts_phase(run, i))
      call_op(run, op->collect, i, MR__PASS_FORWARD, slice, lane, worker);
  }
}

static void forward_slice(mr_run *run, int phase, const struct mr__slice *slice, int lane,
                          const struct mr__worker *worker) {
  if (slice->opens) forward_part(run, phase, 1, slice, lane, worker);
  forward_part(run, phase, 0, slice, lane, worker);
}

/* Whether backward has anything to compute: gradients of weights, or of an input. */
static int wants_backward(const mr_run *run, int i) {
  const struct mr__node *node = &run->model->graph->nodes[i];
  int wanted = node->n_params > 0 && !starts_phase(run, i);
  for (int k = 0; k < node->n_inputs; k++)
    wanted |= run->plan.nodes[node->inputs[k]].grad.buffer >= 0;
  return wanted;
}

static void backward_part(mr_run *run, int unit, int shared, const struct mr__slice *slice,
                          int lane, const struct mr__worker *worker) {
  const mr_graph *graph = run->model->graph;
  int phase = 2 * (run->plan.n_phases - 1) - unit;
  for (int i = (int)graph->n_nodes - 1; i >= 0; i--) {
    const struct mr__node_plan *plan = &run->plan.nodes[i];
    if (!plan->has_grad || plan->shared != shared) continue;
    const struct mr__op *op = mr__node_op(&graph->nodes[i]);
    if (starts_phase(run, i) && plan->phase == phase)
      call_op(run, op->collect_backward, i, MR__PASS_BACKWARD, slice, lane, worker);
    if (plan->backward_unit != unit || !op->backward) continue;
    if (plan->folded_backward && folds(run)) continue;
    if (wants_backward(run, i))
      call_op(run, op->backward, i, MR__PASS_BACKWARD, slice, lane, worker);
  }
}

static void backward_slice(mr_run *run, int unit, const struct mr__slice *slice, int lane,
                           const struct mr__worker *worker) {
  backward_part(run, unit, 0, slice, lane, worker);
  if (slice->closes) backward_part(run, unit, 1, slice, lane, worker);
}

static void copy_outputs(const mr_run *run, const struct mr__slice *slice,
                         const struct mr__worker *worker, float *const *out) {
  int goes_on = slice->first[MR_SAMPLE] > run->step.batch->first_sample[slice->first[MR_REQUEST]];
  for (int o = 0; o < run->n_outputs; o++) {
    const struct mr__node *node = &run->model->graph->nodes[run->outputs[o]];
    /* Slices that go on with a request have its values too; its first one hands them out. */
    if (run->plan.nodes[run->outputs[o]].shared && goes_on) continue;
    struct mr__matrix y =
        locate(run, worker, slice, run->plan.nodes[run->outputs[o]].value, node->width);
    for (int64_t r = 0; r < slice->rows[node->domain]; r++)
      memcpy(out[o] + (slice->first[node->domain] + r) * node->width, mr__row(&y, r),
             (size_t)node->width * sizeof(float));
  }
}

static int run_lane(void *argument, int64_t task, int worker) {
  struct unit_job *job = argument;
  mr_run *run = job->run;
  struct mr__lane *lane = &run->lanes[task];
  int phases = run->plan.n_phases, unit = job->unit;
  if (run->plan.train && unit == phases - 1)
    for (size_t z = 0; z < run->n_zeroed; z++)
      memset(lane->gradient + run->zeroed[z].first, 0, run->zeroed[z].n * sizeof *lane->gradient);
  for (int64_t s = run->lane_slices[task]; s < run->lane_slices[task + 1]; s++) {
    const struct mr__slice *slice = &run->slices[s];
    if (unit < phases) forward_slice(run, unit, slice, (int)task, &run->workers[worker]);
    if (run->plan.train && unit >= phases - 1)
      backward_slice(run, unit, slice, (int)task, &run->workers[worker]);
    if (job->out) copy_outputs(run, slice, &run->workers[worker], job->out);
  }
  return MR_OK;
}

struct mr__settle mr__run_settle(const mr_run *run, int i, double **lanes) {
  const struct mr__node *node = &run->model->graph->nodes[i];
  for (int l = 0; l < run->lanes_used; l++)
    lanes[l] = run->lanes[l].statistics + run->statistics_offset[i];
  return (struct mr__settle){.node = node,
                             .lanes = lanes,
                             .n_lanes = run->lanes_used,
                             .statistics = run->statistics + run->statistics_offset[i],
                             .param = run->model->param + node->first_param,
                             .frozen = run->param_frozen + node->first_param,
                             .dparam = run->lanes[0].dparam + node->first_param,
                             .width = node->width};
}

static void zero_statistics(mr_run *run, int i) {
  for (int l = 0; l < run->lanes_used; l++)
    memset(run->lanes[l].statistics + run->statistics_offset[i], 0,
           (size_t)run->model->graph->nodes[i].statistics * sizeof(double));
}

/* Merge what the lanes collected in a unit. */
static void settle(mr_run *run, int unit) {
  int phases = run->plan.n_phases;
  for (int i = 0; i < (int)run->model->graph->n_nodes; i++) {
    const struct mr__node_plan *plan = &run->plan.nodes[i];
    if (!plan->wanted || !starts_phase(run, i)) continue;
    double *lanes[MR__MOST_LANES];
    struct mr__settle call = mr__run_settle(run, i, lanes);
    const struct mr__op *op = mr__node_op(&run->model->graph->nodes[i]);
    if (unit < phases && plan->phase == unit + 1) {
      op->settle(&call);
      zero_statistics(run, i);
    }
    if (unit >= phases - 1 && plan->has_grad && plan->phase == 2 * (phases - 1) - unit)
      op->settle_backward(&call);
  }
}

/* Texts that may be NULL. */
static int same_text(const char *a, const char *b) { return a && b ? strcmp(a, b) == 0 : a == b; }

static int same_sequence(const mr_schema *a, const mr_schema *b, int s) {
  if (s < 0) return 1;
  const struct mr__sequence *x = &a->sequences[s], *y = &b->sequences[s];
  return strcmp(x->name, y->name) == 0 && x->max == y->max && x->keep == y->keep &&
         x->separator == y->separator && same_text(x->padding, y->padding);
}

static int same_parts(const mr_schema *a, const struct mr__column *of_a, const mr_schema *b,
                      const struct mr__column *of_b) {
  if (of_a->n_parts != of_b->n_parts) return 0;
  for (int i = 0; i < of_a->n_parts; i++)
    if (strcmp(a->columns[of_a->parts[i]].name, b->columns[of_b->parts[i]].name) != 0) return 0;
  return 1;
}

static int same_list(const struct mr__column *a, const struct mr__column *b) {
  size_t n = (size_t)a->n_values;
  return a->n_values == b->n_values &&
         (n == 0 || memcmp(a->listed, b->listed, n * sizeof *a->listed) == 0);
}

/* Whether values of a column mean the same in two schemas. */
static int same_column(const mr_schema *a, const struct mr__column *of_a, const mr_schema *b,
                       const struct mr__column *of_b) {
  return strcmp(of_a->name, of_b->name) == 0 && of_a->type == of_b->type &&
         of_a->domain == of_b->domain && of_a->width == of_b->width &&
         mr__same_transform(of_a, of_b) && of_a->separator == of_b->separator &&
         of_a->max == of_b->max && of_a->weighted == of_b->weighted &&
         same_text(of_a->padding, of_b->padding) && of_a->sequence == of_b->sequence &&
         of_a->unseen == of_b->unseen && same_list(of_a, of_b) &&
         same_sequence(a, b, of_a->sequence) && same_parts(a, of_a, b, of_b) &&
         (of_a->table < 0 || a->tables[of_a->table].seed == b->tables[of_b->table].seed);
}

/* A batch may come from a schema of its own (data without labels, say), as long as the columns
 * that the plan reads are the same there. */
static int check_schema(const mr_run *run, const mr_schema *schema) {
  const mr_graph *graph = run->model->graph;
  if (schema == graph->schema) return MR_OK;
  for (size_t i = 0; i < graph->n_nodes; i++) {
    const struct mr__op *op = mr__node_op(&graph->nodes[i]);
    if (!run->plan.nodes[i].wanted || !(op->flags & MR__LEAF)) continue;
    size_t c = (size_t)mr__option_number(&graph->nodes[i], 0);
    const struct mr__column *wanted = &graph->schema->columns[c];
    if (c >= schema->n_columns || !same_column(graph->schema, wanted, schema, &schema->columns[c]))
      return mr__fail(MR_EINVAL, "the data lacks column \"%s\" as the model was trained on it",
                      wanted->name);
  }
  return MR_OK;
}

static int use_batch(mr_run *run, const mr_batch *batch) {
  MR_TRY(check_schema(run, batch->schema));
  if (batch->rows[MR_SAMPLE] < 1) return mr__fail(MR_EINVAL, "the batch is empty");
  MR_TRY(mr__run_cut(run, batch));
  run->step.batch = batch;
  run->step.rows = &run->rows;
  run->step.inverse_samples = (float)(1.0 / (double)batch->rows[MR_SAMPLE]);
  run->step.number = run->steps + 1;
  return MR_OK;
}

int mr__run_check_trains(const mr_run *run) {
  return run->plan.train ? MR_OK : mr__fail(MR_EINVAL, "this run only predicts");
}

int mr__run_check_trainer(const mr_run *run) {
  if (run->model->trainer == run) return MR_OK;
  return mr__fail(MR_EINVAL, "another run has begun to train this model since");
}

int mr_run_gradient(mr_run *run, const mr_batch *batch, double *loss) {
  *loss = NAN;
  MR_TRY(mr__run_check_trains(run));
  MR_TRY(mr__run_check_trainer(run));
  run->has_gradient = 0;
  mr__profile_start(run->profile);
  MR_TRY(use_batch(run, batch));
  MR_TRY(mr__touched_insert(&run->rows, batch, run->pool));
  MR_TRY(mr__run_grow_gradients(run));
  mr__profile_stage(run, MR__STAGE_PROBE);
  MR_TRY(mr__run_prepare_back(run));
  for (int l = 0; l < run->lanes_used; l++) {
    run->lanes[l].loss = 0;
    memset(run->lanes[l].statistics, 0, run->n_statistics * sizeof(double));
  }
  for (int unit = 0; unit < mr__plan_units(&run->plan); unit++) {
    struct unit_job job = {run, unit, NULL};
    MR_TRY(mr__run_train(run, run_lane, &job, run->lanes_used));
    settle(run, unit);
  }
  mr__profile_stage(run, MR__STAGE_GRAPH);
  double sum = 0;
  for (int l = 0; l < run->lanes_used; l++) sum += run->lanes[l].loss;
  *loss = sum;
  if (!isfinite(sum))
    return mr__fail(MR_ENAN, "the loss of step %lld is not finite", (long long)run->steps + 1);
  MR_TRY(mr__run_reduce(run));
  mr__profile_stage(run, MR__STAGE_REDUCE);
  run->has_gradient = 1;
  return MR_OK;
}

int mr_run_make_rows(mr_run *run, const mr_batch *batch) {
  MR_TRY(mr__run_check_trains(run));
  MR_TRY(check_schema(run, batch->schema));
  run->has_gradient = 0;
  return mr__touched_insert(&run->rows, batch, run->pool);
}

int mr_run_step(mr_run *run, const mr_batch *batch, double *loss) {
  MR_TRY(mr_run_gradient(run, batch, loss));
  return mr_run_update(run);
}

/* A value without a row in a column where that is wrong; its place is that of the row in the data.
 */
static int fail_unseen(const mr_batch *batch, int c, int64_t row) {
  const struct mr__column *column = &batch->schema->columns[c];
  if (column->domain == MR_REQUEST) row = batch->first_sample[row];
  if (batch->coding) row = batch->sample_index[row];
  return mr__fail(MR_EDATA, "column \"%s\", row %lld: the model does not know the value",
                  column->name, (long long)row + 1);
}

static int count_unseen(mr_run *run, const mr_batch *batch) {
  for (int c = 0; c < run->rows.n_columns; c++) {
    const struct mr__column_rows *found = &run->rows.columns[c];
    if (run->rows.table_of[c] < 0) continue;
    if (found->unseen > 0 && batch->schema->columns[c].unseen == MR_UNSEEN_ERROR)
      return fail_unseen(batch, c, mr__touched_unseen_row(&run->rows, batch, c));
    run->values[c] += found->filled;
    run->unseen[c] += found->unseen;
  }
  return MR_OK;
}

int64_t mr_run_values(const mr_run *run, int32_t column) {
  return column >= 0 && column < run->rows.n_columns ? run->values[column] : 0;
}

int64_t mr_run_unseen(const mr_run *run, int32_t column) {
  return column >= 0 && column < run->rows.n_columns ? run->unseen[column] : 0;
}

int mr_run_predict(mr_run *run, const mr_batch *batch, float *const *out) {
  if (run->plan.train) return mr__fail(MR_EINVAL, "this run only trains");
  mr__profile_start(run->profile);
  MR_TRY(use_batch(run, batch));
  MR_TRY(mr__touched_find(&run->rows, batch, run->pool));
  MR_TRY(count_unseen(run, batch));
  mr__profile_stage(run, MR__STAGE_PROBE);
  struct unit_job job = {run, 0, out};
  MR_TRY(mr__pool_run(run->pool, run_lane, &job, run->lanes_used));
  mr__profile_stage(run, MR__STAGE_GRAPH);
  return MR_OK;
}

int mr__run_use_rows(mr_run *run, const mr_batch *batch) {
  run->step.batch = batch;
  run->step.rows = &run->rows;
  run->step.number = 1;
  run->lanes_used = 1;
  return mr__run_cut_whole(run, batch);
}

void mr__run_stage(mr_run *run, int stage, float *const *out) {
  forward_slice(run, stage, &run->slices[0], 0, &run->workers[0]);
  if (out) copy_outputs(run, &run->slices[0], &run->workers[0], out);
}

const float *mr_run_watched(mr_run *run, int32_t node) {
  if (node < 0 || (size_t)node >= run->model->graph->n_nodes || !run->plan.train) return NULL;
  struct mr__place place = run->plan.nodes[node].grad;
  /* One that was not watched when the plan was made may lie inside another's. */
  int own = place.buffer >= 0 && run->model->graph->nodes[node].watched &&
            run->plan.buffers[place.buffer].width == run->model->graph->nodes[node].width;
  return own ? run->kept[place.buffer] : NULL;
}

int64_t mr_run_steps(const mr_run *run) { return run->steps; }

int64_t mr_run_slice_rows(const mr_run *run) { return run->plan.most_rows[MR__SAMPLE_REGION]; }
