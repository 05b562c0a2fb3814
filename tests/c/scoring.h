/* What the tests of the predictor share: drawn numbers, graphs, rows of ids, a model file, and
 * scores of a text file; with the folder that these are in. Tests of kinds of columns differ in a
 * `struct scoring` alone, which score_everywhere runs. */
#ifndef MR_TESTS_SCORING_H
#define MR_TESTS_SCORING_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "moonrank.h"

static char folder[64] = "/tmp/moonrank-test-XXXXXX";
static char model_path[96], text_path[96], cache_path[96];
static const mr_text_format csv = {.delimiter = ',', .quotes = 1};
static const char *text_paths[] = {text_path};

static inline void make_folder(void) {
  NEED(mkdtemp(folder));
  snprintf(model_path, sizeof model_path, "%s/model.mr", folder);
  snprintf(text_path, sizeof text_path, "%s/rows.csv", folder);
  snprintf(cache_path, sizeof cache_path, "%s/rows.columns", folder);
}

static unsigned drawn = 1;
static inline unsigned draw(unsigned below) {
  drawn = drawn * 1664525u + 1013904223u;
  return (drawn >> 8) % below;
}

/* ---- graphs ---- */

static inline int32_t add(mr_graph *graph, const char *op, int n_inputs, const int32_t *inputs,
                          int n_options, const mr_option *options) {
  int32_t node;
  int status = mr_graph_add(graph, op, NULL, inputs, n_inputs, options, n_options, &node);
  if (status != MR_OK) fprintf(stderr, "%s: %s\n", op, mr_last_error());
  NEED(status == MR_OK);
  return node;
}

static inline int32_t of_column(mr_graph *graph, const char *op, const char *column) {
  return add(graph, op, 0, NULL, 1, (mr_option[]){{"column", 0, column}});
}

static inline int32_t lookup(mr_graph *graph, const char *column, double dim) {
  return add(graph, "lookup", 0, NULL, 3,
             (mr_option[]){{"column", 0, column}, {"dim", dim, NULL}, {"scale", 0.5, NULL}});
}

static inline int32_t dense(mr_graph *graph, int32_t x, double out) {
  return add(graph, "dense", 1, &x, 1, (mr_option[]){{"out", out, NULL}});
}

/* ---- models ---- */

/* The ids of a table: "a0" up to "a<n - 1>", keys of a column. */
struct ids {
  const char *table;
  int column, n;
  char letter;
};

static inline void make_row(mr_model *model, const char *table, uint64_t key) {
  for (int m = 0; m < mr_model_tables(model); m++) {
    mr_table_info info;
    float *row;
    NEED(mr_model_table(model, m, &info) == MR_OK);
    if (strcmp(info.name, table) == 0) NEED(mr_model_make_row(model, m, key, &row) == MR_OK);
  }
}

/* A model of a graph whose task ctr is `logit`, with a row for each id, to the file. */
static inline void save_graph(mr_schema *schema, mr_graph *graph, int32_t logit,
                              const struct ids *ids, int n_ids) {
  mr_model *model;
  int32_t inputs[] = {logit, of_column(graph, "column", "click")};
  add(graph, "logloss", 2, inputs, 0, NULL);
  int32_t probability = add(graph, "sigmoid", 1, &logit, 0, NULL);
  NEED(mr_graph_add_task(graph, "ctr", logit, probability) == MR_OK);
  NEED(mr_model_new(&model, graph, 11) == MR_OK);
  for (int t = 0; t < n_ids; t++)
    for (int i = 0; i < ids[t].n; i++) {
      char text[16];
      snprintf(text, sizeof text, "%c%d", ids[t].letter, i);
      make_row(model, ids[t].table, mr_schema_key(schema, ids[t].column, text, strlen(text)));
    }
  NEED(mr_model_save(model, model_path, "a test") == MR_OK);
  mr_model_free(model);
  mr_graph_free(graph);
  mr_schema_free(schema);
}

/* ---- models that are trained ---- */

/* Take a step on a batch, which makes rows of what it has, save the model of this graph to the
 * file, and give the logits of the batch by it. */
static inline void train_and_save(mr_graph *graph, int32_t logit, const mr_batch *batch,
                                  mr_pool *pool, float *logits) {
  const mr_run_options options = {.batch = mr_batch_rows(batch, MR_SAMPLE),
                                  .dense = {.name = "adam"}};
  mr_model *model;
  mr_run *run;
  double loss;
  int32_t losses[] = {logit, of_column(graph, "column", "click")};
  add(graph, "logloss", 2, losses, 0, NULL);
  NEED(mr_graph_add_task(graph, "ctr", logit, add(graph, "sigmoid", 1, &logit, 0, NULL)) == MR_OK);
  NEED(mr_model_new(&model, graph, 11) == MR_OK);
  NEED(mr_run_new(&run, model, pool, &options) == MR_OK);
  NEED(mr_run_step(run, batch, &loss) == MR_OK);
  mr_run_free(run);
  NEED(mr_model_save(model, model_path, "a test") == MR_OK);
  NEED(mr_run_new_predict(&run, model, pool, &options, &logit, 1) == MR_OK);
  NEED(mr_run_predict(run, batch, &logits) == MR_OK);
  mr_run_free(run);
  mr_model_free(model);
}

/* ---- scores ---- */

static inline void check_same(const float *a, const float *b, int rows, const char *what) {
  int differ = 0;
  for (int r = 0; r < rows; r++) differ += memcmp(&a[r], &b[r], sizeof *a) != 0;
  CHECK(differ == 0, "%s: %d of %d rows differ", what, differ, rows);
}

/* The rows of the text file, batch by batch; the first batch is read. */
struct text_rows {
  mr_pool *pool;
  mr_dataset *dataset;
  mr_loader *loader;
  mr_batch *batch;
};

static inline void open_rows(struct text_rows *rows, mr_schema *schema, int fit, int64_t in_batch) {
  NEED(mr_pool_new(&rows->pool, 2) == MR_OK);
  NEED(mr_dataset_build(schema, &csv, text_paths, 1, cache_path, fit, rows->pool) == MR_OK);
  NEED(mr_dataset_open(&rows->dataset, schema, cache_path) == MR_OK);
  const mr_loader_options options = {.batch = in_batch};
  NEED(mr_loader_new(&rows->loader, rows->dataset, &options) == MR_OK);
  NEED(mr_loader_next(rows->loader, &rows->batch) == MR_OK);
}

static inline void close_rows(struct text_rows *rows) {
  mr_loader_free(rows->loader);
  mr_dataset_close(rows->dataset);
  mr_pool_free(rows->pool);
  unlink(cache_path);
}

/* Those of all rows of the text file, read by a schema that is freed; out and logits [rows]. */
static inline void score_file(const mr_predictor *predictor, mr_schema *schema, int64_t in_batch,
                              int64_t n_rows, float *logits, float *out) {
  struct text_rows rows;
  mr_run *run;
  int64_t at = 0;
  open_rows(&rows, schema, 0, in_batch);
  NEED(mr_predictor_run(&run, predictor, rows.pool, in_batch) == MR_OK);
  do {
    NEED(mr_run_predict(run, rows.batch, (float *[]){logits, out + at}) == MR_OK);
    at += mr_batch_rows(rows.batch, MR_SAMPLE);
  } while (mr_loader_next(rows.loader, &rows.batch) == MR_OK);
  NEED(at == n_rows);
  mr_run_free(run);
  close_rows(&rows);
  mr_schema_free(schema);
}

/* Two candidates with these values are refused with this message. */
static inline void refused(mr_scratch *scratch, const mr_values *values, int32_t n,
                           const char *expected) {
  float out[2] = {0};
  int status = mr_predictor_score(scratch, 2, values, n, out);
  CHECK(status < 0 && strcmp(mr_last_error(), expected) == 0, "status %d: %s", status,
        status < 0 ? mr_last_error() : "fine");
}

/* Nothing is left in the folder, nor of the `live` blocks more than there were. Returns the status
 * of the test. */
static inline int end_scoring(int64_t live) {
  char lock[160];
  snprintf(lock, sizeof lock, "%s.lock", cache_path);
  unlink(lock);
  unlink(model_path);
  unlink(text_path);
  CHECK(rmdir(folder) == 0, "something is left in %s", folder);
  CHECK(mr_alloc_live() == live, "%lld blocks leak", (long long)(mr_alloc_live() - live));
  return check_end();
}

/* ---- tests of kinds of columns ---- */

struct scoring {
  const mr_column_spec *columns; /* of which one is the label */
  int n_columns;
  const char *made;   /* what values that are not texts are given as */
  int rows, distinct; /* so many rows; more other scores than the first row's */
  void (*write_text)(int labels);
  void (*check_batch)(const mr_schema *schema, mr_batch *all_rows);
  int32_t (*add_inputs)(mr_graph *graph); /* the model is a tanh layer above them, and its logit */
  void (*score_requests)(mr_predictor *predictor, int as_made, float *out);
  void (*check_refused)(mr_predictor *predictor);
};

static inline mr_schema *schema_of(const mr_column_spec *columns, int n, int labels) {
  mr_schema *schema;
  NEED(mr_schema_new(&schema) == MR_OK);
  for (int c = 0; c < n; c++)
    if (labels || columns[c].type != MR_LABEL)
      NEED(mr_schema_add_column(schema, &columns[c]) == MR_OK);
  return schema;
}

/* A model of the schema that the training data was fitted by, trained a step, and the logits of
 * that data by it. */
static inline void train_on_text(const struct scoring *of, float *logits) {
  mr_schema *schema = schema_of(of->columns, of->n_columns, 1);
  struct text_rows rows;
  mr_graph *graph;
  of->write_text(1);
  open_rows(&rows, schema, 1, of->rows);
  NEED(mr_batch_rows(rows.batch, MR_SAMPLE) == of->rows);
  of->check_batch(schema, rows.batch);
  NEED(mr_graph_new(&graph, schema) == MR_OK);
  int32_t layer = dense(graph, of->add_inputs(graph), 6);
  int32_t logit = dense(graph, add(graph, "tanh", 1, &layer, 0, NULL), 1);
  train_and_save(graph, logit, rows.batch, rows.pool, logits);
  mr_graph_free(graph);
  mr_schema_free(schema);
  close_rows(&rows);
}

static inline mr_schema *schema_fitted(const struct scoring *of, const mr_predictor *predictor) {
  mr_schema *schema = schema_of(of->columns, of->n_columns, 0);
  NEED(mr_schema_fit(schema, mr_predictor_schema(predictor)) == MR_OK);
  return schema;
}

/* The rows of a file have the same scores in the cache of the training data, in a file without
 * labels, in small batches, and request by request from texts and from what programs have made. */
static inline void check_scores_of(const struct scoring *of, mr_predictor *predictor,
                                   const float *trained) {
  int rows = of->rows, distinct = 0;
  float *logits = malloc((size_t)rows * sizeof *logits);
  float *file = malloc((size_t)rows * sizeof *file);
  float *requests = malloc((size_t)rows * sizeof *requests);
  NEED(logits && file && requests);
  of->write_text(0);
  score_file(predictor, schema_fitted(of, predictor), rows, rows, logits, file);
  check_same(trained, logits, rows, "a file");
  score_file(predictor, schema_fitted(of, predictor), 32, rows, logits, requests);
  check_same(file, requests, rows, "small batches");
  of->score_requests(predictor, 0, requests);
  check_same(file, requests, rows, "texts");
  of->score_requests(predictor, 1, requests);
  check_same(file, requests, rows, of->made);
  for (int r = 1; r < rows; r++) distinct += requests[r] != requests[0];
  CHECK(distinct > of->distinct, "%d scores tell little", distinct);
  free(logits), free(file), free(requests);
}

/* All of a test; returns its status. */
static inline int score_everywhere(const struct scoring *of) {
  float *trained = malloc((size_t)of->rows * sizeof *trained);
  int64_t live = mr_alloc_live();
  mr_predictor *predictor;
  NEED(trained);
  make_folder();
  train_on_text(of, trained);
  NEED(mr_predictor_open(&predictor, model_path) == MR_OK);
  check_scores_of(of, predictor, trained);
  of->check_refused(predictor);
  mr_predictor_close(predictor);
  free(trained);
  return end_scoring(live);
}

#endif
