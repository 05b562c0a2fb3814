#include "graph/run.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/denormals.h"
#include "data/fit.h"
#include "graph/run_check.h"
#include "kernel/family.h"
#include "kernel/kernel.h"

enum { DEFAULT_LANES = 16, DEFAULT_SLICE = 4 << 20 };

/* ---- cutting the batch ---- */

/* Requests and samples from where to where. */
struct stretch {
  int64_t first[MR_DOMAINS], end[MR_DOMAINS];
};

static int64_t rows_before(const mr_batch *batch, int domain, const int64_t at[MR_DOMAINS]) {
  if (domain < MR_DOMAINS) return at[domain];
  const struct mr__batch_sequence *sequence = &batch->sequences[mr__sequence_of(domain)];
  if (mr__is_pairs(domain)) return sequence->first_pair[at[MR_SAMPLE]];
  return sequence->first[at[batch->schema->sequences[mr__sequence_of(domain)].domain]];
}

static int64_t count_rows(const mr_batch *batch, int domain, const struct stretch *s) {
  return rows_before(batch, domain, s->end) - rows_before(batch, domain, s->first);
}

/* Whether a slice may be so large. What a request has once is in all of its slices. */
static int fits(const mr_run *run, const mr_batch *batch, const struct stretch *s,
                int64_t most_samples) {
  const struct mr__plan *plan = &run->plan;
  int one = s->end[MR_REQUEST] - s->first[MR_REQUEST] == 1;
  for (int i = 0; i < plan->n_domains; i++) {
    int d = plan->domains[i];
    if (one && mr__is_shared(batch->schema, d)) continue;
    int64_t most = d == MR_SAMPLE ? most_samples : plan->most_rows[mr__region(d)];
    if (count_rows(batch, d, s) > most) return 0;
  }
  return 1;
}

static int add_slice(mr_run *run, const mr_batch *batch, const struct stretch *s, int64_t *most) {
  MR_TRY(mr__grow(&run->slices, &run->slices_capacity, run->n_slices + 1, sizeof *run->slices));
  struct mr__slice *slice = &run->slices[run->n_slices++];
  int64_t first = s->first[MR_REQUEST], end = s->end[MR_REQUEST];
  slice->opens = s->first[MR_SAMPLE] == batch->first_sample[first];
  slice->closes = s->end[MR_SAMPLE] == batch->first_sample[end];
  slice->opens_lane = slice->opens_shared = 0;
  slice->first[MR_REQUEST] = first;
  slice->rows[MR_REQUEST] = end - first;
  if (end - first > most[MR__SAMPLE_REGION]) most[MR__SAMPLE_REGION] = end - first;
  for (int i = 0; i < run->plan.n_domains; i++) {
    int d = run->plan.domains[i], region = mr__region(d);
    slice->first[d] = rows_before(batch, d, s->first);
    slice->rows[d] = count_rows(batch, d, s);
    if (slice->rows[d] > most[region]) most[region] = slice->rows[d];
  }
  return MR_OK;
}

/* A request that does not fit: slices of as many samples as do, of one at least. */
static int cut_request(mr_run *run, const mr_batch *batch, struct stretch s, int64_t *most) {
  int64_t end = s.end[MR_SAMPLE];
  for (; s.first[MR_SAMPLE] < end; s.first[MR_SAMPLE] = s.end[MR_SAMPLE]) {
    struct stretch more = s;
    more.end[MR_SAMPLE] = s.first[MR_SAMPLE] + 1;
    do s.end[MR_SAMPLE] = more.end[MR_SAMPLE]++;
    while (more.end[MR_SAMPLE] <= end &&
          fits(run, batch, &more, run->plan.most_rows[MR__SAMPLE_REGION]));
    MR_TRY(add_slice(run, batch, &s, most));
  }
  return MR_OK;
}

/* How the requests of a batch are shared out among slices. */
struct cut {
  const mr_run *run;
  const mr_batch *batch;
  int64_t slices, work; /* of the batch: how many there are to be, if it has sequences, else 0 */
};

static int64_t work_before(const struct cut *cut, int64_t request) {
  const struct mr__plan *plan = &cut->run->plan;
  const int64_t at[MR_DOMAINS] = {request, cut->batch->first_sample[request]};
  int64_t sum = plan->work[MR_REQUEST] * request;
  for (int i = 0; i < plan->n_domains; i++)
    sum += plan->work[plan->domains[i]] * rows_before(cut->batch, plan->domains[i], at);
  return sum;
}

static struct cut make_cut(const mr_run *run, const mr_batch *batch) {
  struct cut cut = {.run = run, .batch = batch};
  if (run->plan.n_domains == 1) return cut;
  int64_t most = run->plan.most_rows[MR__SAMPLE_REGION];
  cut.slices = (batch->rows[MR_SAMPLE] + most - 1) / most;
  cut.work = work_before(&cut, batch->rows[MR_REQUEST]);
  return cut;
}

/* The slice that a request is of: that in which the middle of its work falls, if all have as much
 * to do. Samples differ in what they have of sequences, and lanes are to end together. */
static int64_t slice_of(const struct cut *cut, int64_t request) {
  if (cut->slices == 0) return 0;
  double twice = (double)(work_before(cut, request) + work_before(cut, request + 1));
  return (int64_t)(twice * (double)cut->slices / (2 * (double)cut->work));
}

/* As many whole requests as fit and are of the first one's slice. */
static struct stretch whole_requests(const struct cut *cut, struct stretch s) {
  const struct mr__plan *plan = &cut->run->plan;
  int64_t slice = slice_of(cut, s.first[MR_REQUEST]);
  int64_t most = cut->slices > 0 ? plan->most_short : plan->most_rows[MR__SAMPLE_REGION];
  while (s.end[MR_REQUEST] < cut->batch->rows[MR_REQUEST] &&
         slice_of(cut, s.end[MR_REQUEST]) == slice) {
    struct stretch more = s;
    more.end[MR_SAMPLE] = cut->batch->first_sample[++more.end[MR_REQUEST]];
    if (!fits(cut->run, cut->batch, &more, most)) break;
    s = more;
  }
  return s;
}

/* Between requests, and where the plan allows it inside large ones. */
static int cut_slices(mr_run *run, const mr_batch *batch, int64_t *most) {
  const int32_t *first = batch->first_sample;
  const struct cut cut = make_cut(run, batch);
  run->n_slices = 0;
  for (int64_t q = 0; q < batch->rows[MR_REQUEST];) {
    struct stretch s = {.first = {q, first[q]}, .end = {q + 1, first[q + 1]}};
    if (!run->plan.whole_requests &&
        !fits(run, batch, &s, run->plan.most_rows[MR__SAMPLE_REGION])) {
      MR_TRY(cut_request(run, batch, s, most));
    } else {
      s = whole_requests(&cut, s);
      MR_TRY(add_slice(run, batch, &s, most));
    }
    q = s.end[MR_REQUEST];
  }
  return MR_OK;
}

/* Lanes own contiguous runs of slices, and there are no more lanes than slices. In training a
 * request's slices are of one lane, since their gradient is one sum; in predicting each lane computes
 * for itself what they share. */
static void share_slices(mr_run *run) {
  int64_t n = 0, lanes = run->n_lanes;
  for (size_t s = 0; s < run->n_slices; s++) n += !run->plan.train || run->slices[s].opens;
  if (lanes > n) lanes = n;
  run->lanes_used = (int)lanes;
  int64_t at = -1, lane = 0;
  for (size_t s = 0; s < run->n_slices; s++) {
    struct mr__slice *slice = &run->slices[s];
    at += !run->plan.train || slice->opens;
    if (lane < lanes && at == lane * n / lanes) {
      run->lane_slices[lane++] = (int64_t)s;
      slice->opens_lane = slice->opens = slice->opens_shared = 1;
    } else if (!slice->opens) {
      slice->opens_shared = run->slices[s - 1].opens_shared;
    }
  }
  run->lane_slices[lanes] = (int64_t)run->n_slices;
}

static int grow_workspaces(mr_run *run, const int64_t most[MR__REGIONS]) {
  const struct mr__plan *plan = &run->plan;
  size_t floats = 0;
  int small = 0;
  for (int r = 0; r < MR__REGIONS; r++) {
    small |= most[r] > run->workspace_rows[r];
    if (most[r] > run->workspace_rows[r]) run->workspace_rows[r] = most[r];
    if (run->workspace_rows[r] < plan->most_rows[r]) run->workspace_rows[r] = plan->most_rows[r];
    floats += plan->workspace[r] * (size_t)run->workspace_rows[r];
  }
  for (int w = 0; small && w < run->n_workers; w++) {
    mr__free(run->workers[w].workspace);
    run->workers[w].workspace = mr__malloc_aligned(floats * sizeof(float));
    if (!run->workers[w].workspace) {
      memset(run->workspace_rows, 0, sizeof run->workspace_rows);
      return mr__fail_memory();
    }
  }
  return MR_OK;
}

static int grow_kept(mr_run *run, const mr_batch *batch) {
  for (size_t b = 0; b < run->plan.n_buffers; b++) {
    const struct mr__buffer *buffer = &run->plan.buffers[b];
    if (!buffer->kept) continue;
    size_t floats = (size_t)mr__batch_rows(batch, buffer->domain) * (size_t)buffer->width;
    if (floats <= run->kept_capacity[b]) continue;
    mr__free(run->kept[b]);
    run->kept_capacity[b] = 0;
    run->kept[b] = mr__malloc_aligned(floats * sizeof(float));
    if (!run->kept[b]) return mr__fail_memory();
    run->kept_capacity[b] = floats;
  }
  return MR_OK;
}

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
      m.p += run->plan.workspace[MR__SAMPLE_REGION] *
             (size_t)run->workspace_rows[MR__SAMPLE_REGION];
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
  return (struct mr__prelu){
      .slopes = run->model->param[node->first_param],
      .dslopes = run->plan.train ? run->lanes[lane].dparam[node->first_param] : NULL,
      .x = locate(run, worker, slice, x->value, node->width),
      .y = locate(run, worker, slice, plan->value, node->width)};
}

/* What a gradient of the node's starts with that node `i` leaves to it. */
static struct mr__given given_by(const mr_run *run, int i, const struct mr__slice *slice,
                                 const struct mr__worker *worker) {
  if (i < 0 || !folds(run)) return (struct mr__given){.weight = {.p = NULL}};
  const struct mr__node *node = &run->model->graph->nodes[i];
  struct mr__place weight = run->plan.nodes[node->inputs[1]].value;
  return (struct mr__given){
      .weight = locate(run, worker, slice, weight, 1),
      .dy = locate(run, worker, slice, run->plan.nodes[i].grad, node->width)};
}

/* Everything an op is told about a node in a slice. */
static struct mr__call make_call(const mr_run *run, int i, const struct mr__slice *slice,
                                 int lane, const struct mr__worker *worker) {
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
static void call_op(mr_run *run, void (*function)(const struct mr__call *call), int i,
                    int pass, const struct mr__slice *slice, int lane,
                    const struct mr__worker *worker) {
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
  int goes_on = slice->first[MR_SAMPLE] >
                run->step.batch->first_sample[slice->first[MR_REQUEST]];
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
      memset(lane->gradient + run->zeroed[z].first, 0,
             run->zeroed[z].n * sizeof *lane->gradient);
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

static int same_sequence(const mr_schema *a, const mr_schema *b, int s) {
  if (s < 0) return 1;
  const struct mr__sequence *x = &a->sequences[s], *y = &b->sequences[s];
  return strcmp(x->name, y->name) == 0 && x->max == y->max && x->keep == y->keep &&
         x->separator == y->separator;
}

static int same_parts(const mr_schema *a, const struct mr__column *of_a, const mr_schema *b,
                      const struct mr__column *of_b) {
  if (of_a->n_parts != of_b->n_parts) return 0;
  for (int i = 0; i < of_a->n_parts; i++)
    if (strcmp(a->columns[of_a->parts[i]].name, b->columns[of_b->parts[i]].name) != 0) return 0;
  return 1;
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
    const struct mr__column *there = c < schema->n_columns ? &schema->columns[c] : NULL;
    if (!there || strcmp(there->name, wanted->name) != 0 || there->type != wanted->type ||
        there->domain != wanted->domain || there->width != wanted->width ||
        !mr__same_transform(there, wanted) || there->separator != wanted->separator ||
        there->max != wanted->max || there->sequence != wanted->sequence ||
        there->unseen != wanted->unseen || there->n_values != wanted->n_values ||
        !same_sequence(schema, graph->schema, wanted->sequence) ||
        !same_parts(schema, there, graph->schema, wanted) ||
        (wanted->table >= 0 &&
         schema->tables[there->table].seed != graph->schema->tables[wanted->table].seed))
      return mr__fail(MR_EINVAL, "the data lacks column \"%s\" as the model was trained on it",
                      wanted->name);
  }
  return MR_OK;
}

static int use_batch(mr_run *run, const mr_batch *batch) {
  MR_TRY(check_schema(run, batch->schema));
  if (batch->rows[MR_SAMPLE] < 1) return mr__fail(MR_EINVAL, "the batch is empty");
  int64_t most[MR__REGIONS] = {0};
  MR_TRY(cut_slices(run, batch, most));
  share_slices(run);
  MR_TRY(grow_workspaces(run, most));
  MR_TRY(grow_kept(run, batch));
  run->step.batch = batch;
  run->step.rows = &run->rows;
  run->step.inverse_samples = (float)(1.0 / (double)batch->rows[MR_SAMPLE]);
  run->step.number = run->steps + 1;
  return MR_OK;
}

int mr__run_check_trainer(const mr_run *run) {
  if (run->model->trainer == run) return MR_OK;
  return mr__fail(MR_EINVAL, "another run has begun to train this model since");
}

int mr_run_gradient(mr_run *run, const mr_batch *batch, double *loss) {
  *loss = NAN;
  if (!run->plan.train) return mr__fail(MR_EINVAL, "this run only predicts");
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
  if (!run->plan.train) return mr__fail(MR_EINVAL, "this run only predicts");
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
  int64_t most[MR__REGIONS] = {0};
  const struct stretch all = {.end = {batch->rows[MR_REQUEST], batch->rows[MR_SAMPLE]}};
  run->n_slices = 0;
  MR_TRY(add_slice(run, batch, &all, most));
  MR_TRY(grow_workspaces(run, most));
  return grow_kept(run, batch);
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

int64_t mr_run_slice_rows(const mr_run *run) {
  return run->plan.most_rows[MR__SAMPLE_REGION];
}

/* ---- making and freeing ---- */

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
  return (run->model->graph->nodes[i].packed_back + MR__PANEL + 15) / 16 * 16;
}

/* Backward needs the weights in a form of its own where an input's gradient is wanted: all of them in
 * one block, which has huge pages where each by itself were too small for one. */
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
          (struct mr__zeroed){run->model->offset[p],
                              (size_t)param->spec.rows * (size_t)param->spec.columns};
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
  /* An odd number of cache lines apart, so that not all find their place in the same sets. */
  size_t stride = ((run->model->n_trained + 15) / 16 | 1) * 16;
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
  MR_TRY(grow_workspaces(run, run->plan.most_rows));
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

int mr_run_new_predict(mr_run **out, mr_model *model, mr_pool *pool,
                       const mr_run_options *options, const int32_t *nodes, int32_t n_nodes) {
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
