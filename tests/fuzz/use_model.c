#include "use_model.h"

#include <math.h>

#include "fuzz.h"

enum { REQUESTS = 4, SAMPLES = 18, MOST_BEHAVIOURS = 3 * SAMPLES, MOST_NODES = 200 };
/* One is larger than the smallest slice. */
static const int32_t samples_of[REQUESTS] = {1, 13, 2, 2};

/* ---- graphs as data ---- */

int fuzz_read_graph(mr_graph **graph, const struct mr__json *from) {
  const struct mr__json *schema_json = mr__json_get(from, "schema");
  const struct mr__json *graph_json = mr__json_get(from, "graph");
  mr_schema *schema;
  *graph = NULL;
  if (!schema_json || !graph_json) return MR_END;
  int status = mr__schema_read(&schema, schema_json);
  if (status != MR_OK) {
    FUZZ_CHECK(!schema, "a schema in spite of the failure");
    fuzz_check_error(status);
    return status;
  }
  status = mr__graph_read(graph, graph_json, schema);
  mr_schema_free(schema);
  if (status == MR_OK) return MR_OK;
  FUZZ_CHECK(!*graph, "a graph in spite of the failure");
  fuzz_check_error(status);
  return status;
}

static void write_graph(struct mr__string *out, const mr_graph *graph) {
  *out = (struct mr__string){0};
  mr__puts(out, "{\"graph\":");
  mr__graph_write(out, graph);
  mr__puts(out, ",\"schema\":");
  mr__schema_write(out, graph->schema);
  mr__puts(out, "}");
}

void fuzz_check_round_trip(const mr_graph *graph) {
  struct mr__string text, again;
  struct mr__json json;
  mr_graph *copy;
  write_graph(&text, graph);
  FUZZ_CHECK(mr__json_parse(&json, text.p, text.n) == MR_OK, "%s: %s", mr_last_error(), text.p);
  FUZZ_CHECK(fuzz_read_graph(&copy, &json) == MR_OK, "%s: %s", mr_last_error(), text.p);
  write_graph(&again, copy);
  FUZZ_CHECK(strcmp(text.p, again.p) == 0, "%s reads back as %s", text.p, again.p);
  mr_graph_free(copy);
  mr__json_clear(&json);
  mr__string_clear(&text);
  mr__string_clear(&again);
}

/* ---- the batch ---- */

static uint64_t some_key(const mr_schema *schema, int column, int64_t i) {
  static const char *const texts[] = {"a", "b", "c"};
  return i % 4 == 3 ? 0 : mr_schema_key(schema, column, texts[i % 4], 1);
}

static void fill_bags(mr_batch *batch, const mr_schema *schema, int column, int64_t rows) {
  int32_t offsets[MOST_BEHAVIOURS + 1] = {0};
  uint64_t keys[3 * MOST_BEHAVIOURS];
  for (int64_t r = 0; r < rows; r++) {
    offsets[r + 1] = offsets[r] + (int32_t)(r % 4); /* some are empty */
    for (int32_t i = offsets[r]; i < offsets[r + 1]; i++) keys[i] = some_key(schema, column, r + i);
  }
  FUZZ_CHECK(mr_batch_set_bags(batch, column, offsets, keys) == MR_OK, "%s", mr_last_error());
}

/* Histories of 2, 0, 1 behaviours and so on, fewer where the sequence keeps fewer. */
static void fill_sequences(mr_batch *batch, const mr_schema *schema) {
  for (int s = 0; s < (int)schema->n_sequences; s++) {
    int32_t offsets[SAMPLES + 1] = {0}, most = schema->sequences[s].max;
    int64_t rows = mr_batch_rows(batch, schema->sequences[s].domain);
    for (int64_t r = 0; r < rows; r++) {
      int32_t n = (int32_t)((r + 1) * 2 % 3);
      offsets[r + 1] = offsets[r] + (most > 0 && n > most ? most : n);
    }
    FUZZ_CHECK(mr_batch_set_sequence(batch, s, offsets) == MR_OK, "%s", mr_last_error());
  }
}

static void fill_batch(mr_batch *batch, const mr_schema *schema) {
  fill_sequences(batch, schema);
  for (int c = 0; c < (int)schema->n_columns; c++) {
    const struct mr__column *column = &schema->columns[c];
    int64_t rows = mr_batch_rows(batch, mr__column_domain(column));
    float *floats = mr_batch_floats(batch, c);
    int64_t width = column->type == MR_VECTOR ? column->width : 1;
    for (int64_t i = 0; floats && i < rows * width; i++)
      floats[i] = column->type == MR_LABEL ? (float)(i % 2) : 0.25f * (float)(i % 9) - 1;
    if (column->type == MR_ID)
      for (int64_t r = 0; r < rows; r++) mr_batch_keys(batch, c)[r] = some_key(schema, c, r);
    if (column->type == MR_IDS) fill_bags(batch, schema, c, rows);
  }
}

/* ---- predicting ---- */

struct outputs {
  int32_t nodes[MOST_NODES];
  int32_t n;
  int64_t floats[MOST_NODES];
  float *values[MOST_NODES];
};

/* The last node, and those before it as far as they are not too wide. */
static void choose_outputs(struct outputs *out, const mr_graph *graph, const mr_batch *batch,
                           int64_t most_width) {
  out->n = 0;
  int64_t width = 0;
  for (int32_t i = mr_graph_nodes(graph) - 1; i >= 0 && out->n < MOST_NODES; i--) {
    const struct mr__node *node = &graph->nodes[i];
    width += node->width;
    if (width > most_width && out->n > 0) break;
    if (node->width == 0) continue; /* an objective */
    out->floats[out->n] = (int64_t)node->width * mr_batch_rows(batch, node->domain);
    out->nodes[out->n++] = i;
  }
}

static int predict(struct outputs *out, mr_model *model, const mr_batch *batch, int threads,
                   int64_t rows) {
  mr_run *run;
  mr_run_options options = {.batch = rows, .lanes = threads};
  int status = mr_run_new_predict(&run, model, fuzz_pool(threads), &options, out->nodes, out->n);
  for (int i = 0; i < out->n; i++) out->values[i] = NULL;
  if (status != MR_OK) return status;
  for (int i = 0; i < out->n; i++) {
    out->values[i] = malloc((size_t)out->floats[i] * sizeof(float));
    FUZZ_CHECK(out->values[i], "no memory for %lld floats", (long long)out->floats[i]);
  }
  status = mr_run_predict(run, batch, out->values);
  mr_run_free(run);
  return status;
}

static void free_values(struct outputs *out) {
  for (int i = 0; i < out->n; i++) free(out->values[i]);
}

static void check_equal(const struct outputs *a, const struct outputs *b, const mr_graph *graph) {
  for (int i = 0; i < a->n; i++)
    for (int64_t k = 0; k < a->floats[i]; k++) {
      float x = a->values[i][k], y = b->values[i][k];
      FUZZ_CHECK(memcmp(&x, &y, sizeof x) == 0 || (isnan(x) && isnan(y)),
                 "node %d (%s), float %lld: %g in small slices, %g in one", a->nodes[i],
                 graph->nodes[a->nodes[i]].op_name, (long long)k, (double)x, (double)y);
    }
}

static void predict_twice(mr_model *model, const mr_batch *batch, int64_t most_width) {
  static struct outputs small, large;
  choose_outputs(&small, model->graph, batch, most_width);
  if (small.n == 0) return;
  large = small;
  int first = predict(&small, model, batch, 2, 1), second = predict(&large, model, batch, 1, 1000);
  if (first != MR_OK || second != MR_OK)
    fuzz_check_error(first != MR_OK ? first : second);
  else
    check_equal(&small, &large, model->graph);
  free_values(&small);
  free_values(&large);
}

/* ---- training ---- */

/* 1 when the two runs have the same gradient, bit by bit. */
static int same_gradient(mr_run *a, mr_run *b, const mr_model *model) {
  int same = 1;
  for (int32_t p = 0; p < mr_model_params(model); p++) {
    const float *x = mr_run_weight_gradient(a, p), *y = mr_run_weight_gradient(b, p);
    const struct mr__param_spec *spec = &model->graph->params[p].spec;
    size_t floats = (size_t)spec->rows * (size_t)spec->columns;
    same &= !x == !y && (!x || memcmp(x, y, floats * sizeof *x) == 0);
  }
  return same;
}

/* A gradient, with any number of threads the same, and a step. */
static void train(mr_model *model, const mr_batch *batch) {
  mr_option rate = {.name = "lr", .number = 0.1};
  mr_optimizer_spec sgd = {"sgd", &rate, 1};
  mr_run_options options = {.batch = 8, .lanes = 3, .seed = 1, .dense = sgd, .tables = sgd};
  mr_run *run, *other = NULL;
  double loss, other_loss;
  int status = mr_run_new(&run, model, fuzz_pool(2), &options);
  if (status == MR_OK) status = mr_run_new(&other, model, fuzz_pool(1), &options);
  if (status == MR_OK) status = mr_run_gradient(run, batch, &loss);
  if (status == MR_OK) {
    FUZZ_CHECK(mr_run_gradient(other, batch, &other_loss) == MR_OK, "%s", mr_last_error());
    FUZZ_CHECK(loss == other_loss, "a loss of %.17g with two threads, %.17g with one", loss,
               other_loss);
    FUZZ_CHECK(same_gradient(run, other, model), "another gradient with two threads");
    status = mr_run_update(run);
  }
  if (status != MR_OK) fuzz_check_error(status);
  mr_run_free(run);
  mr_run_free(other);
}

static int has_objective(const mr_graph *graph) {
  for (size_t i = 0; i < graph->n_nodes; i++)
    if (graph->nodes[i].width == 0) return 1;
  return 0;
}

void use_model(mr_model *model, int64_t most_width) {
  mr_batch *batch;
  int status = mr_batch_new(&batch, model->graph->schema, REQUESTS, samples_of);
  if (status != MR_OK) {
    fuzz_check_error(status);
    return;
  }
  fill_batch(batch, model->graph->schema);
  predict_twice(model, batch, most_width);
  if (has_objective(model->graph)) train(model, batch);
  mr_batch_free(batch);
}
