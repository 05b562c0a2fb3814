/* What the tests of the predictor share: drawn numbers, graphs, rows of ids, a model file, and scores
 * of a text file; with the folder that these are in. */
#ifndef MR_TESTS_SCORING_H
#define MR_TESTS_SCORING_H

#include <string.h>
#include <unistd.h>

#include "check.h"
#include "moonrank.h"

static char folder[64] = "/tmp/moonrank-test-XXXXXX";
static char model_path[96], text_path[96], cache_path[96];

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

/* Take a step on a batch, which makes rows of what it has, save the model of this graph to the file,
 * and give the logits of the batch by it. */
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

/* Those of all rows of the text file, read by a schema that is freed; out and logits [rows]. */
static inline void score_file(const mr_predictor *predictor, mr_schema *schema, int64_t in_batch,
                              int64_t rows, float *logits, float *out) {
  const mr_text_format format = {.delimiter = ',', .quotes = 1};
  const char *paths[] = {text_path};
  mr_pool *pool;
  mr_dataset *dataset;
  mr_loader *loader;
  mr_run *run;
  mr_batch *batch;
  int64_t at = 0;
  NEED(mr_pool_new(&pool, 2) == MR_OK);
  NEED(mr_dataset_build(schema, &format, paths, 1, cache_path, 0, pool) == MR_OK);
  NEED(mr_dataset_open(&dataset, schema, cache_path) == MR_OK);
  NEED(mr_loader_new(&loader, dataset, &(mr_loader_options){.batch = in_batch}) == MR_OK);
  NEED(mr_predictor_run(&run, predictor, pool, in_batch) == MR_OK);
  while (mr_loader_next(loader, &batch) == MR_OK) {
    NEED(mr_run_predict(run, batch, (float *[]){logits, out + at}) == MR_OK);
    at += mr_batch_rows(batch, MR_SAMPLE);
  }
  NEED(at == rows);
  mr_run_free(run);
  mr_loader_free(loader);
  mr_dataset_close(dataset);
  mr_schema_free(schema);
  mr_pool_free(pool);
  unlink(cache_path);
}

/* Two candidates with these values are refused with this message. */
static inline void refused(mr_scratch *scratch, const mr_values *values, int32_t n,
                           const char *expected) {
  float out[2] = {0};
  int status = mr_predictor_score(scratch, 2, values, n, out);
  CHECK(status < 0 && strcmp(mr_last_error(), expected) == 0, "status %d: %s", status,
        status < 0 ? mr_last_error() : "fine");
}

/* Nothing is left in the folder, nor of the `live` blocks more than there were. Returns the status of
 * the test. */
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

#endif
