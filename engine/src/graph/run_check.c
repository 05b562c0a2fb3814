#include "graph/run_check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernel/family.h"
#include "kernel/vec.h"

enum { NAME_BYTES = 160 }; /* of a node; longer names are cut */

/* ---- words ---- */

static const char *word(float x) { return isnan(x) ? "nan" : x > 0 ? "inf" : "-inf"; }

/* Node "dense_1" (dense), or node 3 (dense). */
static const char *name_of(const mr_run *run, int i, char text[NAME_BYTES]) {
  const struct mr__node *node = &run->model->graph->nodes[i];
  const char *op = mr__op_in_words(mr__node_op(node));
  if (node->name)
    snprintf(text, NAME_BYTES, "node \"%.120s\" (%s)", node->name, op);
  else
    snprintf(text, NAME_BYTES, "node %d (%s)", i, op);
  return text;
}

/* The row of the data, from 1, that a row of a domain is, or for a request begins with. */
static long long data_row(const mr_run *run, int domain, int64_t row) {
  const mr_batch *batch = run->step.batch;
  while (domain > MR_SAMPLE) {
    const struct mr__batch_sequence *sequence = &batch->sequences[mr__sequence_of(domain)];
    if (mr__is_pairs(domain)) { /* the last sample whose pairs do not begin behind it */
      int64_t below = 0, above = batch->rows[MR_SAMPLE];
      while (above - below > 1) {
        int64_t middle = (below + above) / 2;
        *(sequence->first_pair[middle] <= row ? &below : &above) = middle;
      }
      row = below;
    } else {
      row = sequence->owner_of[row];
    }
    domain = mr__parent_domain(batch->schema, domain);
  }
  int64_t sample = domain == MR_REQUEST ? batch->first_sample[row] : row;
  return (long long)batch->sample_index[sample] + 1;
}

/* ---- looking ---- */

struct finding {
  int64_t row; /* of the matrix, -1: all are finite */
  int column;
  float value;
};

static struct finding look(const struct mr__matrix *m, int64_t rows) {
  for (int64_t r = 0; m->p && r < rows; r++) {
    const float *x = mr__row(m, r);
    if (mr__all_finite(x, (size_t)m->width)) continue;
    for (int e = 0; e < m->width; e++)
      if (!isfinite(x[e])) return (struct finding){r, e, x[e]};
  }
  return (struct finding){.row = -1};
}

static struct finding look_at_weight(const mr_run *run, int param, const float *numbers) {
  const struct mr__param_spec *spec = &run->model->graph->params[param].spec;
  struct mr__matrix m = {(float *)(uintptr_t)numbers, spec->columns, spec->columns};
  return look(&m, spec->rows);
}

/* A weight of the node that is not finite itself. */
static int blame_weight(mr_run *run, const struct mr__node *node) {
  for (int p = node->first_param; p < node->first_param + node->n_params; p++) {
    struct finding found = look_at_weight(run, p, run->model->param[p]);
    if (found.row < 0) continue;
    snprintf(run->check->forward, MR__FINDING_BYTES, "weight \"%s\" itself holds %s",
             run->model->graph->params[p].name, word(found.value));
    return 1;
  }
  return 0;
}

/* An embedding row that is not finite itself; `row` of the node's domain reads it. */
static int blame_table(mr_run *run, const struct mr__node *node, int64_t row) {
  const struct mr__lookup *lookup = &run->model->graph->lookups[node->lookup];
  const struct mr__table *table = &run->model->tables[lookup->table];
  const int32_t *offsets = run->step.batch->columns[lookup->column].offsets;
  const struct mr__part *part = &table->parts[lookup->part];
  int64_t begin = offsets ? offsets[row] : row, end = offsets ? offsets[row + 1] : row + 1;
  for (int64_t i = begin; i < end; i++) {
    struct mr__matrix m = {mr__row_at(&run->rows.columns[lookup->column], i) + part->offset, 0,
                           part->dim};
    struct finding found = look(&m, 1);
    if (found.row < 0) continue;
    snprintf(run->check->forward, MR__FINDING_BYTES,
             "table \"%s\" itself holds %s (part \"%s\") for field \"%s\" of row %lld", table->name,
             word(found.value), part->name, node->schema->columns[lookup->column].name,
             data_row(run, node->domain, row));
    return 1;
  }
  return 0;
}

/* ---- forward ---- */

static void check_objective(mr_run *run, int i, const struct mr__slice *slice, double loss) {
  char name[NAME_BYTES];
  if (isfinite(loss)) return;
  int64_t first = slice->first[MR_SAMPLE];
  snprintf(run->check->forward, MR__FINDING_BYTES, "%s is %s in the rows from %lld on",
           name_of(run, i, name), word((float)loss), data_row(run, MR_SAMPLE, first));
}

/* NaN is that there is none. */
static int is_label(const struct mr__node *node) {
  return mr__node_op(node)->flags & MR__LEAF &&
         node->schema->columns[(int)mr__option_number(node, 0)].type == MR_LABEL;
}

void mr__check_forward(mr_run *run, int i, const struct mr__slice *slice,
                       const struct mr__call *call) {
  const struct mr__node *node = call->node;
  char *text = run->check->forward, name[NAME_BYTES];
  if (*text) return;
  if (node->width == 0) {
    check_objective(run, i, slice, *call->loss);
    return;
  }
  struct finding found = look(&call->y, call->rows);
  if (found.row < 0 || is_label(node)) return;
  int64_t row = call->first_row + found.row;
  if (node->lookup >= 0 && blame_table(run, node, row)) return;
  if (blame_weight(run, node)) return;
  if (mr__node_op(node)->flags & MR__LEAF)
    snprintf(text, MR__FINDING_BYTES, "field \"%s\" holds %s in row %lld",
             node->schema->columns[(int)mr__option_number(node, 0)].name, word(found.value),
             data_row(run, node->domain, row));
  else
    snprintf(text, MR__FINDING_BYTES, "%s gives %s in column %d of row %lld", name_of(run, i, name),
             word(found.value), found.column + 1, data_row(run, node->domain, row));
}

/* ---- backward ---- */

void mr__check_backward(mr_run *run, int i, const struct mr__slice *slice,
                        const struct mr__call *call) {
  const struct mr__node *node = call->node;
  const mr_graph *graph = run->model->graph;
  char *text = run->check->backward, name[NAME_BYTES], from[NAME_BYTES];
  for (int k = 0; !*text && k < node->n_inputs; k++) {
    int domain = graph->nodes[node->inputs[k]].domain;
    struct finding found = look(&call->dx[k], slice->rows[domain]);
    if (found.row >= 0)
      snprintf(text, MR__FINDING_BYTES,
               "the gradient of %s that comes from %s is %s in column %d "
               "of row %lld",
               name_of(run, node->inputs[k], name), name_of(run, i, from), word(found.value),
               found.column + 1, data_row(run, domain, slice->first[domain] + found.row));
  }
  for (int p = 0; !*text && p < node->n_params; p++) {
    if (!call->dparam[p] || run->param_frozen[node->first_param + p]) continue;
    struct finding found = look_at_weight(run, node->first_param + p, call->dparam[p]);
    if (found.row >= 0)
      snprintf(text, MR__FINDING_BYTES,
               "the gradient of weight \"%s\" is %s in the rows from %lld "
               "on",
               graph->params[node->first_param + p].name, word(found.value),
               data_row(run, MR_SAMPLE, slice->first[MR_SAMPLE]));
  }
}

/* ---- sums over the batch ---- */

/* Of the gradient as it is clipped: so the global norm, which asks, meets it. */
static int check_row_sums(mr_run *run) {
  for (int i = 0; i < run->rows.n_shares; i++) {
    const struct mr__share *share = run->rows.taken[i];
    if (!isfinite(mr__family()->share_squares(run, share, 0)))
      return mr__fail(MR_ENAN,
                      "the gradient of a row of table \"%s\", summed over the batch, is not finite",
                      run->model->tables[share->table].name);
  }
  return MR_OK;
}

static int check_sums(mr_run *run) {
  for (size_t p = 0; p < run->model->graph->n_params; p++) {
    const float *gradient = mr_run_weight_gradient(run, (int32_t)p);
    if (gradient && look_at_weight(run, (int)p, gradient).row >= 0)
      return mr__fail(MR_ENAN,
                      "the gradient of weight \"%s\", summed over the batch, is not finite",
                      run->model->graph->params[p].name);
  }
  return check_row_sums(run);
}

int mr_run_check(mr_run *run, const mr_batch *batch) {
  struct mr__check check = {.forward = ""};
  double loss;
  run->check = &check;
  int status = mr_run_gradient(run, batch, &loss);
  run->check = NULL;
  run->has_gradient = 0;
  if (status != MR_OK && status != MR_ENAN) return status;
  if (*check.forward) return mr__fail(MR_ENAN, "%s", check.forward);
  if (*check.backward) return mr__fail(MR_ENAN, "%s", check.backward);
  int sums = check_sums(run);
  return sums != MR_OK ? sums : status;
}
