/* Predicting for requests, one candidate or thousands at a time.
 *
 * A predictor is a model, the nodes of its tasks and which columns they read: nothing in it
 * changes, so any number of threads share it. A scratch is what one thread needs: a plan in two
 * stages with its workspace, and the rows of the request in hand.
 *
 *   prepare   values of the request -> its rows -> stage 0, kept
 *   score     values of candidates  -> their rows -> stage 1, some hundreds at a time
 *
 * What a call does not give stands as it was prepared, and what was not prepared is missing. */
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "data/values.h"
#include "graph/run.h"
#include "kernel/family.h"

struct mr_predictor {
  mr_model *model;
  mr_graph *graph;              /* owned with the model, or NULL: both are the caller's */
  int32_t *nodes;               /* [2 * tasks]: logit and probability of each */
  unsigned char *read;          /* [columns]: whether a task depends on it */
  unsigned char *taken;         /* [columns]: whether it is read, or a part of a cross that is */
  unsigned char *read_sequence; /* [sequences]: whether it depends on any column of it */
  atomic_int references;
};

struct mr_scratch {
  const mr_predictor *predictor; /* a reference is held */
  mr_run *run;
  mr_batch *request;       /* one request with one candidate, the values that were prepared */
  mr_batch *batch;         /* the same request with the candidates in hand */
  const mr_values **given; /* [columns]: of this call, or NULL */
  float **out;             /* [2 * tasks] */
  float *values;           /* [2 * tasks, rows]: what `out` points into */
  int64_t rows;            /* of `values` */
  int prepared;
};

/* ---- predictors ---- */

static const mr_graph *graph_of(const mr_predictor *predictor) { return predictor->model->graph; }

static int n_outputs(const mr_predictor *predictor) {
  return 2 * (int)graph_of(predictor)->n_tasks;
}

/* Columns that the tasks depend on; inputs come before the nodes that read them. */
static int list_columns(mr_predictor *predictor) {
  const mr_graph *graph = graph_of(predictor);
  unsigned char *wanted = mr__calloc(graph->n_nodes, 1);
  predictor->read = mr__calloc(graph->schema->n_columns, 1);
  predictor->taken = mr__calloc(graph->schema->n_columns, 1);
  predictor->read_sequence = mr__calloc(graph->schema->n_sequences, 1);
  if (!wanted || !predictor->read || !predictor->taken || !predictor->read_sequence) {
    mr__free(wanted);
    return mr__fail_memory();
  }
  for (int o = 0; o < n_outputs(predictor); o++) wanted[predictor->nodes[o]] = 1;
  for (int i = (int)graph->n_nodes - 1; i >= 0; i--) {
    const struct mr__node *node = &graph->nodes[i];
    if (!wanted[i]) continue;
    for (int k = 0; k < node->n_inputs; k++) wanted[node->inputs[k]] = 1;
    if (mr__node_op(node)->flags & MR__LEAF)
      predictor->read[(size_t)mr__option_number(node, 0)] = 1;
  }
  for (size_t c = 0; c < graph->schema->n_columns; c++) {
    const struct mr__column *column = &graph->schema->columns[c];
    if (predictor->read[c] && column->sequence >= 0) predictor->read_sequence[column->sequence] = 1;
    for (int k = 0; predictor->read[c] && k < column->n_parts; k++)
      predictor->taken[column->parts[k]] = 1;
    predictor->taken[c] |= predictor->read[c];
  }
  mr__free(wanted);
  return MR_OK;
}

static int list_nodes(mr_predictor *predictor) {
  const mr_graph *graph = graph_of(predictor);
  if (graph->n_tasks == 0) return mr__fail(MR_EINVAL, "the model has no task to predict");
  predictor->nodes = mr__calloc(2 * graph->n_tasks, sizeof *predictor->nodes);
  if (!predictor->nodes) return mr__fail_memory();
  for (size_t t = 0; t < graph->n_tasks; t++) {
    predictor->nodes[2 * t] = graph->tasks[t].logit;
    predictor->nodes[2 * t + 1] = graph->tasks[t].probability;
  }
  return MR_OK;
}

/* Takes model and graph over, also on failure; a NULL graph leaves both with the caller. */
static int new_predictor(mr_predictor **out, mr_model *model, mr_graph *graph) {
  mr_predictor *predictor = mr__calloc(1, sizeof *predictor);
  if (!predictor) {
    if (graph) mr_model_free(model);
    mr_graph_free(graph);
    return mr__fail_memory();
  }
  predictor->model = model;
  predictor->graph = graph;
  predictor->references = 1;
  int status = list_nodes(predictor);
  if (status == MR_OK) status = list_columns(predictor);
  if (status != MR_OK) {
    mr_predictor_close(predictor);
    return status;
  }
  *out = predictor;
  return MR_OK;
}

int mr_predictor_new(mr_predictor **out, mr_model *model) {
  *out = NULL;
  return new_predictor(out, model, NULL);
}

int mr_predictor_open(mr_predictor **out, const char *path) {
  mr_model *model;
  mr_graph *graph;
  char *about;
  *out = NULL;
  MR_TRY(mr_model_open(&model, &graph, path, &about));
  mr_text_free(about);
  int status = new_predictor(out, model, graph);
  return status == MR_OK || status == MR_EMEMORY ? status : mr__fail_at(status, "%s", path);
}

void mr_predictor_close(mr_predictor *predictor) {
  if (!predictor || atomic_fetch_sub(&predictor->references, 1) > 1) return;
  mr__free(predictor->nodes);
  mr__free(predictor->read);
  mr__free(predictor->taken);
  mr__free(predictor->read_sequence);
  if (predictor->graph) mr_model_free(predictor->model);
  mr_graph_free(predictor->graph);
  mr__free(predictor);
}

const mr_schema *mr_predictor_schema(const mr_predictor *predictor) {
  return graph_of(predictor)->schema;
}

int32_t mr_predictor_tasks(const mr_predictor *predictor) {
  return mr_graph_tasks(graph_of(predictor));
}

const char *mr_predictor_task(const mr_predictor *predictor, int32_t task) {
  mr_task_info info;
  return mr_graph_task(graph_of(predictor), task, &info) == MR_OK ? info.name : NULL;
}

int mr_predictor_run(mr_run **out, const mr_predictor *predictor, mr_pool *pool, int64_t batch) {
  const mr_run_options options = {.batch = batch};
  return mr_run_new_predict(out, predictor->model, pool, &options, predictor->nodes,
                            n_outputs(predictor));
}

/* ---- scratches ---- */

static int make_scratch(mr_scratch *scratch) {
  const mr_predictor *predictor = scratch->predictor;
  const mr_schema *schema = graph_of(predictor)->schema;
  size_t outputs = (size_t)n_outputs(predictor);
  MR_TRY(mr__run_new_staged(&scratch->run, predictor->model, predictor->nodes, (int32_t)outputs));
  MR_TRY(mr_batch_new(&scratch->request, schema, 1, NULL));
  MR_TRY(mr_batch_new(&scratch->batch, schema, 1, NULL));
  scratch->given = mr__calloc(schema->n_columns, sizeof *scratch->given);
  scratch->out = mr__calloc(outputs, sizeof *scratch->out);
  if (!scratch->given || !scratch->out) return mr__fail_memory();
  return mr_predictor_prepare(scratch, NULL, 0);
}

int mr_scratch_new(mr_scratch **out, mr_predictor *predictor) {
  *out = NULL;
  mr_scratch *scratch = mr__calloc(1, sizeof *scratch);
  if (!scratch) return mr__fail_memory();
  atomic_fetch_add(&predictor->references, 1);
  scratch->predictor = predictor;
  int status = make_scratch(scratch);
  if (status != MR_OK) {
    mr_scratch_free(scratch);
    return status;
  }
  *out = scratch;
  return MR_OK;
}

void mr_scratch_free(mr_scratch *scratch) {
  if (!scratch) return;
  mr_run_free(scratch->run);
  mr_batch_free(scratch->request);
  mr_batch_free(scratch->batch);
  mr__free(scratch->given);
  mr__free(scratch->out);
  mr__free(scratch->values);
  mr_predictor_close((mr_predictor *)(uintptr_t)scratch->predictor);
  mr__free(scratch);
}

/* ---- values ---- */

/* Note which columns a call gives, each once. */
static int note_given(mr_scratch *scratch, const mr_values *values, int32_t n) {
  const mr_schema *schema = graph_of(scratch->predictor)->schema;
  memset(scratch->given, 0, schema->n_columns * sizeof *scratch->given);
  for (int32_t i = 0; i < n; i++) {
    MR_TRY(mr__values_check(schema, &values[i]));
    const struct mr__column *column = &schema->columns[values[i].column];
    if (scratch->given[values[i].column])
      return mr__fail(MR_EINVAL, "column \"%s\" is given twice", column->name);
    scratch->given[values[i].column] = &values[i];
  }
  /* Columns of sequences that are not read say nothing of their length either. */
  for (size_t c = 0; c < schema->n_columns; c++)
    if (!scratch->predictor->taken[c]) scratch->given[c] = NULL;
  return MR_OK;
}

static int is_given(const mr_scratch *scratch, int s) {
  const mr_schema *schema = graph_of(scratch->predictor)->schema;
  for (size_t c = 0; c < schema->n_columns; c++)
    if (scratch->given[c] && schema->columns[c].sequence == s) return 1;
  return 0;
}

/* Where the rows of a column's keys are, of values from the `first` on; some columns must have all.
 */
static int find_column(mr_scratch *scratch, int c, int64_t first) {
  const struct mr__column *column = &graph_of(scratch->predictor)->schema->columns[c];
  struct mr__touched *rows = &scratch->run->rows;
  MR_TRY(mr__touched_find_column(rows, scratch->batch, c));
  if (column->unseen != MR_UNSEEN_ERROR) return MR_OK;
  int64_t row = mr__touched_unseen_row(rows, scratch->batch, c);
  if (row < 0) return MR_OK;
  return mr__fail(MR_EDATA, "column \"%s\", row %lld: the model does not know the value",
                  column->name, (long long)(first + row) + 1);
}

static int find_sequence(mr_scratch *scratch, int s, int64_t first) {
  const mr_schema *schema = graph_of(scratch->predictor)->schema;
  for (size_t c = 0; c < schema->n_columns; c++)
    if (scratch->predictor->read[c] && schema->columns[c].sequence == s)
      MR_TRY(find_column(scratch, (int)c, first));
  return MR_OK;
}

/* One column of the request in hand, and where its keys' rows are. */
static int prepare_column(mr_scratch *scratch, int c) {
  const struct mr__column *column = &scratch->batch->schema->columns[c];
  const mr_values *values = scratch->given[c];
  if (column->n_parts > 0) {
    if (column->domain != MR_REQUEST) return MR_OK;
    MR_TRY(mr__values_cross(scratch->batch, c));
    return find_column(scratch, c, 0);
  }
  if (values)
    MR_TRY(mr__values_put(scratch->request, values, 0));
  else
    mr__values_clear(scratch->request, c);
  if (column->domain != MR_REQUEST) return MR_OK;
  MR_TRY(mr__values_repeat(scratch->batch, c, scratch->request));
  return scratch->predictor->read[c] ? find_column(scratch, c, 0) : MR_OK;
}

static int prepare_sequence(mr_scratch *scratch, int s) {
  MR_TRY(mr__values_put_sequence(scratch->request, s, scratch->given, 0));
  if (scratch->batch->schema->sequences[s].domain != MR_REQUEST) return MR_OK;
  MR_TRY(mr__values_repeat_sequence(scratch->batch, s, scratch->request));
  return find_sequence(scratch, s, 0);
}

static int prepare(mr_scratch *scratch, const mr_values *values, int32_t n) {
  const mr_predictor *predictor = scratch->predictor;
  const mr_schema *schema = graph_of(predictor)->schema;
  MR_TRY(note_given(scratch, values, n));
  MR_TRY(mr__batch_resize(scratch->batch, 1, 1));
  scratch->batch->first_sample[0] = 0;
  scratch->batch->first_sample[1] = 1;
  for (size_t c = 0; c < schema->n_columns; c++)
    if (predictor->taken[c] && schema->columns[c].sequence < 0)
      MR_TRY(prepare_column(scratch, (int)c));
  for (size_t s = 0; s < schema->n_sequences; s++)
    if (predictor->read_sequence[s]) MR_TRY(prepare_sequence(scratch, (int)s));
  MR_TRY(mr__run_use_rows(scratch->run, scratch->batch));
  mr__run_stage(scratch->run, 0, NULL);
  return MR_OK;
}

int mr_predictor_prepare(mr_scratch *scratch, const mr_values *values, int32_t n) {
  int status = prepare(scratch, values, n);
  scratch->prepared = status == MR_OK;
  return status;
}

/* ---- candidates ---- */

/* At most `rows`: so many candidates from the `first` on as have no more behaviours, all together,
 * than are computed at once. */
static int fit_behaviours(const mr_scratch *scratch, int s, int64_t first, int64_t *rows) {
  const mr_schema *schema = graph_of(scratch->predictor)->schema;
  int64_t most = scratch->run->plan.most_rows[MR__SEQUENCE_REGION], sum = 0;
  struct mr__picks *picks = &scratch->batch->picks;
  int given = is_given(scratch, s);
  for (int64_t r = 0; r < *rows; r++) {
    int64_t n = scratch->request->sequences[s].rows;
    if (given) MR_TRY(mr__values_length(schema, s, scratch->given, first + r, picks, &n));
    if ((sum += n) > most) *rows = r;
  }
  return MR_OK;
}

/* How many candidates from the `first` on are computed at once: one at least. Of a request's
 * sequence each of them has a pair with each behaviour. */
static int rows_at_once(const mr_scratch *scratch, int64_t first, int64_t *rows) {
  const struct mr__plan *plan = &scratch->run->plan;
  const mr_schema *schema = graph_of(scratch->predictor)->schema;
  if (plan->whole_requests) return MR_OK;
  if (*rows > plan->most_rows[MR__SAMPLE_REGION]) *rows = plan->most_rows[MR__SAMPLE_REGION];
  for (int i = 0; i < plan->n_domains; i++) {
    int s = mr__sequence_of(plan->domains[i]);
    if (s < 0 || mr__is_shared(schema, plan->domains[i])) continue;
    MR_TRY(fit_behaviours(scratch, s, first, rows));
  }
  if (*rows < 1) *rows = 1;
  return MR_OK;
}

static int grow_outputs(mr_scratch *scratch, int64_t rows) {
  size_t outputs = (size_t)n_outputs(scratch->predictor);
  if (rows > scratch->rows) {
    int64_t most = scratch->run->plan.most_rows[MR__SAMPLE_REGION];
    if (rows < most) rows = most;
    mr__free(scratch->values);
    scratch->rows = 0;
    scratch->values = mr__calloc(outputs * (size_t)rows, sizeof *scratch->values);
    if (!scratch->values) return mr__fail_memory();
    scratch->rows = rows;
  }
  for (size_t o = 0; o < outputs; o++)
    scratch->out[o] = scratch->values + o * (size_t)scratch->rows;
  return MR_OK;
}

/* The candidates' columns of a batch of `rows` of them, from the `first` on. */
static int put_candidates(mr_scratch *scratch, int64_t first) {
  const mr_predictor *predictor = scratch->predictor;
  const mr_schema *schema = predictor->model->graph->schema;
  for (size_t s = 0; s < schema->n_sequences; s++) {
    if (!predictor->read_sequence[s] || schema->sequences[s].domain != MR_SAMPLE) continue;
    MR_TRY(is_given(scratch, (int)s)
               ? mr__values_put_sequence(scratch->batch, (int)s, scratch->given, first)
               : mr__values_repeat_sequence(scratch->batch, (int)s, scratch->request));
    MR_TRY(find_sequence(scratch, (int)s, first));
  }
  for (size_t c = 0; c < schema->n_columns; c++) {
    const struct mr__column *column = &schema->columns[c];
    if (!predictor->taken[c] || column->domain != MR_SAMPLE || column->sequence >= 0) continue;
    const mr_values *values = scratch->given[c];
    if (column->n_parts > 0)
      MR_TRY(mr__values_cross(scratch->batch, (int)c));
    else
      MR_TRY(values ? mr__values_put(scratch->batch, values, first)
                    : mr__values_repeat(scratch->batch, (int)c, scratch->request));
    if (predictor->read[c]) MR_TRY(find_column(scratch, (int)c, first));
  }
  return MR_OK;
}

static int score_some(mr_scratch *scratch, int64_t first, int64_t rows, float *out) {
  mr_batch *batch = scratch->batch;
  size_t tasks = graph_of(scratch->predictor)->n_tasks;
  MR_TRY(mr__batch_resize_samples(batch, rows));
  MR_TRY(put_candidates(scratch, first));
  MR_TRY(grow_outputs(scratch, rows));
  MR_TRY(mr__run_use_rows(scratch->run, batch));
  mr__run_stage(scratch->run, 1, scratch->out);
  for (size_t t = 0; t < tasks; t++)
    for (int64_t r = 0; r < rows; r++)
      out[((size_t)(first + r)) * tasks + t] = scratch->out[2 * t + 1][r];
  return MR_OK;
}

/* What is of the request was given to prepare, or not at all. */
static int check_sides(const mr_scratch *scratch, const mr_values *values, int32_t n) {
  const mr_schema *schema = graph_of(scratch->predictor)->schema;
  for (int32_t i = 0; i < n; i++)
    if (schema->columns[values[i].column].domain == MR_REQUEST)
      return mr__fail(MR_EINVAL, "column \"%s\" is of the request; give it to mr_predictor_prepare",
                      schema->columns[values[i].column].name);
  return MR_OK;
}

int mr_predictor_score(mr_scratch *scratch, int64_t rows, const mr_values *values, int32_t n,
                       float *out) {
  if (!scratch->prepared)
    return mr__fail(MR_EINVAL, "there is no request; the last mr_predictor_prepare failed");
  if (rows < 0 || rows > INT32_MAX)
    return mr__fail(MR_EINVAL, "%lld rows, expected 0 to %d", (long long)rows, INT32_MAX);
  MR_TRY(note_given(scratch, values, n));
  MR_TRY(check_sides(scratch, values, n));
  for (int64_t first = 0, some; first < rows; first += some) {
    some = rows - first;
    MR_TRY(rows_at_once(scratch, first, &some));
    MR_TRY(score_some(scratch, first, some, out));
  }
  return MR_OK;
}
