#include "graph/profile.h"

#include <string.h>

#include "base/alloc.h"
#include "graph/run.h"

static const char *const stage_names[MR__STAGES] = {"probe",        "wait",        "reduce lanes",
                                                    "update dense", "update rows", "pack"};

/* ---- collecting ---- */

void mr__profile_free(struct mr__profile *profile) {
  if (!profile) return;
  mr__free(profile->nodes);
  mr__free(profile);
}

int mr_run_profile(mr_run *run, int32_t on) {
  mr__profile_free(run->profile);
  run->profile = NULL;
  if (!on) return MR_OK;
  struct mr__profile *profile = mr__calloc(1, sizeof *profile);
  if (!profile) return mr__fail_memory();
  profile->n_workers = run->n_workers;
  profile->n_nodes = (int)run->model->graph->n_nodes;
  profile->nodes = mr__calloc((size_t)profile->n_workers * (size_t)profile->n_nodes,
                              MR__PASSES * sizeof *profile->nodes);
  if (!profile->nodes) {
    mr__profile_free(profile);
    return mr__fail_memory();
  }
  run->profile = profile;
  return MR_OK;
}

void mr__profile_start(struct mr__profile *profile) {
  if (profile) profile->last = mr_seconds();
}

static struct mr__spent *spent(const struct mr__profile *profile, int worker, int node, int pass) {
  return &profile->nodes[(worker * profile->n_nodes + node) * MR__PASSES + pass];
}

void mr__profile_node(struct mr__profile *profile, int worker, int node, int pass, double start,
                      int64_t rows) {
  struct mr__spent *s = spent(profile, worker, node, pass);
  s->seconds += mr_seconds() - start;
  s->calls++;
  s->rows += rows;
}

/* ---- bytes that a stage must read and write at least ---- */

/* Keys and slots of the occurrences, or codes and memos, and the pointer to the row of each. */
static double probe_bytes(const mr_run *run) {
  double bytes = 0;
  size_t each = run->step.batch->coding ? sizeof(uint32_t) + sizeof(struct mr__memo_entry)
                                        : sizeof(uint64_t) + sizeof(struct mr__slot);
  for (int c = 0; c < run->rows.n_columns; c++)
    if (run->table_of[c] >= 0)
      bytes += (double)run->step.batch->columns[c].n * (double)(each + sizeof(float *));
  return bytes;
}

/* A gradient for each occurrence, and each distinct row with its states there and back. */
static double row_bytes(const mr_run *run) {
  double floats = 0;
  for (int c = 0; c < run->rows.n_columns; c++)
    if (run->table_of[c] >= 0)
      floats += (double)run->step.batch->columns[c].n *
                (double)run->model->tables[run->table_of[c]].width;
  for (int s = 0; s < run->rows.n_shares; s++) {
    const struct mr__share *share = run->rows.taken[s];
    floats += 2.0 * (double)share->n * (double)run->model->tables[share->table].stride;
  }
  return floats * (double)sizeof(float);
}

static double stage_bytes(const mr_run *run, enum mr__stage stage) {
  double weights = (double)run->model->n_trained * (double)sizeof(float);
  int states = 0;
  while (states < MR__OPTIM_STATES && run->dense_state[states]) states++;
  switch (stage) {
  case MR__STAGE_PROBE:
    return probe_bytes(run);
  case MR__STAGE_REDUCE:
    return weights * (run->lanes_used + 1);
  case MR__STAGE_DENSE:
    return weights * (3 + 2 * states);
  case MR__STAGE_ROWS:
    return row_bytes(run);
  case MR__STAGE_PACK:
    return weights * 2;
  default:
    return 0;
  }
}

void mr__profile_stage(mr_run *run, enum mr__stage stage) {
  struct mr__profile *profile = run->profile;
  if (!profile) return;
  double now = mr_seconds();
  struct mr__spent *s = &profile->stages[stage];
  s->seconds += now - profile->last;
  s->calls++;
  s->rows += run->step.batch->rows[MR_SAMPLE];
  profile->bytes[stage] += stage_bytes(run, stage);
  profile->last = now;
}

/* ---- reading ---- */

int32_t mr_run_profile_lines(const mr_run *run) {
  return run->profile ? run->profile->n_nodes * MR__PASSES + MR__STAGES : 0;
}

static int same_buffer(struct mr__place a, struct mr__place b) {
  return a.buffer >= 0 && a.buffer == b.buffer;
}

/* Floats that a pass over one row must read and write at least. An input that lies inside the
 * output from the start (of a concat) costs nothing. */
static double floats_per_row(const mr_run *run, int index, int pass) {
  const struct mr__node *node = &run->model->graph->nodes[index];
  const struct mr__node_plan *plan = &run->plan.nodes[index];
  unsigned flags = mr__node_op(node)->flags;
  double floats = node->width + node->saved;
  for (int k = 0; k < node->n_inputs; k++) {
    int width = node->input_widths[k];
    const struct mr__node_plan *input = &run->plan.nodes[node->inputs[k]];
    if (!(flags & MR__INPLACE) &&
        (pass == MR__PASS_FORWARD ? same_buffer(input->value, plan->value)
                                  : same_buffer(input->grad, plan->grad))) {
      floats -= width;
      continue;
    }
    if (pass == MR__PASS_FORWARD || (flags & MR__READS_X)) floats += width;
    if (pass == MR__PASS_BACKWARD && input->grad.buffer >= 0)
      floats += plan->add[k] ? 2 * width : width;
  }
  if (pass == MR__PASS_BACKWARD && (flags & MR__READS_Y)) floats += node->width;
  return node->lookup >= 0 ? 2 * floats : floats;
}

/* Two for each weight and row forward, and as many for the weights' gradient and the input's. */
static double flops_per_row(const mr_run *run, int index, int pass) {
  const struct mr__node *node = &run->model->graph->nodes[index];
  double weights = (double)mr__row_weights(run->model->graph, index);
  int dx = 0;
  for (int k = 0; k < node->n_inputs; k++) dx |= run->plan.nodes[node->inputs[k]].grad.buffer >= 0;
  return pass == MR__PASS_FORWARD ? 2 * weights : (dx ? 4 : 2) * weights;
}

static void node_line(const mr_run *run, int index, int pass, mr_profile_line *line) {
  static const char *const names[MR__PASSES] = {"forward", "backward"};
  *line = (mr_profile_line){.what = names[pass], .node = index};
  for (int w = 0; w < run->profile->n_workers; w++) {
    const struct mr__spent *s = spent(run->profile, w, index, pass);
    line->seconds += s->seconds;
    line->calls += s->calls;
    line->rows += s->rows;
  }
  line->bytes = floats_per_row(run, index, pass) * (double)sizeof(float) * (double)line->rows;
  line->flops = flops_per_row(run, index, pass) * (double)line->rows;
}

/* What of the stage "graph" no node accounts for: threads without a lane, merging statistics. */
static double unaccounted(const mr_run *run, double all) {
  const struct mr__profile *profile = run->profile;
  for (int i = 0; i < profile->n_workers * profile->n_nodes * MR__PASSES; i++)
    all -= profile->nodes[i].seconds;
  return all > 0 ? all : 0;
}

int mr_run_profile_line(const mr_run *run, int32_t index, mr_profile_line *line) {
  int32_t lines = mr_run_profile_lines(run);
  if (index < 0 || index >= lines)
    return mr__fail(MR_EINVAL, "profile line %d, but there are %d", (int)index, (int)lines);
  int stage = index - run->profile->n_nodes * MR__PASSES;
  if (stage < 0) {
    node_line(run, index / MR__PASSES, index % MR__PASSES, line);
    return MR_OK;
  }
  const struct mr__spent *s = &run->profile->stages[stage];
  double seconds = s->seconds * run->profile->n_workers;
  *line =
      (mr_profile_line){.what = stage_names[stage],
                        .node = -1,
                        .calls = s->calls,
                        .rows = s->rows,
                        .bytes = run->profile->bytes[stage],
                        .seconds = stage == MR__STAGE_GRAPH ? unaccounted(run, seconds) : seconds};
  return MR_OK;
}
