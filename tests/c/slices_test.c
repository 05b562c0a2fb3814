/* How batches are cut: slices follow one another and leave nothing out, there are as many as
 * samples alone ask for, and where samples have more or less of a sequence none has much more to do
 * than the others. */
#include <string.h>

#include "check.h"
#include "graph/run.h"

enum { REQUESTS = 64, LONGEST = 100, WIDTH = 32 };

static unsigned drawn = 1;
static unsigned draw(unsigned below) {
  drawn = drawn * 1664525u + 1013904223u;
  return (drawn >> 8) % below;
}

static const mr_column_spec columns[] = {
    {.name = "past.ad", .table = "ad", .type = MR_ID, .domain = MR_REQUEST, .sequence = "past"},
    {.name = "ad", .type = MR_ID, .domain = MR_SAMPLE},
    {.name = "click", .type = MR_LABEL, .domain = MR_SAMPLE}};

static mr_schema *new_schema(void) {
  static const mr_sequence_spec past = {.name = "past", .domain = MR_REQUEST};
  mr_schema *schema;
  NEED(mr_schema_new(&schema) == MR_OK && mr_schema_add_sequence(schema, &past) == MR_OK);
  for (size_t c = 0; c < sizeof columns / sizeof *columns; c++)
    NEED(mr_schema_add_column(schema, &columns[c]) == MR_OK);
  return schema;
}

static int32_t add(mr_graph *graph, const char *op, const int32_t *inputs, int n,
                   const char *name, const char *text, double number) {
  mr_option options[] = {{.name = name, .text = text, .number = number},
                         {.name = "dim", .number = WIDTH}};
  int32_t node = -1;
  int status = mr_graph_add(graph, op, NULL, inputs, n, options,
                            !name ? 0 : strcmp(op, "lookup") == 0 ? 2 : 1, &node);
  CHECK(status == MR_OK, "%s", mr_last_error());
  return node;
}

/* A layer over what each sample makes of each behaviour; of `ad` alone without a sequence. */
static void build_graph(mr_graph *graph, int sequence) {
  int32_t ad = add(graph, "lookup", NULL, 0, "column", "ad", 0), x = ad;
  if (sequence) {
    int32_t past = add(graph, "lookup", NULL, 0, "column", "past.ad", 0), both[] = {ad, past};
    int32_t product = add(graph, "multiply", both, 2, NULL, NULL, 0);
    int32_t weight = add(graph, "dense", &product, 1, "out", NULL, 1), pooled[] = {past, weight};
    x = add(graph, "pool_weighted", pooled, 2, NULL, NULL, 0);
  }
  int32_t logit = add(graph, "dense", &x, 1, "out", NULL, 1);
  int32_t objective[] = {logit, add(graph, "column", NULL, 0, "column", "click", 0)};
  add(graph, "logloss", objective, 2, NULL, NULL, 0);
}

/* One to three samples a request, no to LONGEST behaviours; the last eighth has the long ones. */
static mr_batch *new_batch(const mr_schema *schema, int32_t lengths[REQUESTS]) {
  int32_t samples[REQUESTS], first[REQUESTS + 1] = {0};
  for (int q = 0; q < REQUESTS; q++) {
    samples[q] = 1 + (int)draw(3);
    lengths[q] = q < REQUESTS * 7 / 8 ? (int)draw(4) : LONGEST - (int)draw(20);
    first[q + 1] = first[q] + lengths[q];
  }
  mr_batch *batch;
  NEED(mr_batch_new(&batch, schema, REQUESTS, samples) == MR_OK);
  NEED(mr_batch_set_sequence(batch, 0, first) == MR_OK);
  return batch;
}

static void check_order(const mr_run *run, const mr_batch *batch) {
  int64_t at = 0;
  for (size_t s = 0; s < run->n_slices; s++) {
    CHECK(run->slices[s].first[MR_SAMPLE] == at, "slice %zu", s);
    at += run->slices[s].rows[MR_SAMPLE];
  }
  CHECK(at == mr_batch_rows(batch, MR_SAMPLE), "%lld rows in slices", (long long)at);
}

static void check_cut(int sequence, int lanes, int64_t usual) {
  mr_schema *schema = new_schema();
  mr_graph *graph;
  mr_model *model;
  mr_run *run;
  int32_t lengths[REQUESTS];
  mr_batch *batch = new_batch(schema, lengths);
  double loss;
  int64_t samples = mr_batch_rows(batch, MR_SAMPLE);
  mr_run_options options = {.batch = REQUESTS * 2, .lanes = lanes};
  NEED(mr_graph_new(&graph, schema) == MR_OK);
  build_graph(graph, sequence);
  NEED(mr_model_new(&model, graph, 1) == MR_OK);
  NEED(mr_run_new(&run, model, NULL, &options) == MR_OK);
  CHECK(mr_run_slice_rows(run) == usual, "%lld rows", (long long)mr_run_slice_rows(run));
  NEED(mr_run_gradient(run, batch, &loss) == MR_OK);
  check_order(run, batch);
  int64_t all = 0, most = 0, slices = (samples + usual - 1) / usual;
  for (size_t s = 0; s < run->n_slices; s++) {
    int64_t work = 0, q = run->slices[s].first[MR_REQUEST];
    for (int64_t r = 0; r < run->slices[s].rows[MR_REQUEST]; r++) {
      int64_t n = batch->first_sample[q + r + 1] - batch->first_sample[q + r];
      work += n * (1 + lengths[q + r]);
    }
    all += work;
    if (work > most) most = work;
    CHECK(sequence || run->slices[s].rows[MR_SAMPLE] <= usual, "slice %zu", s);
  }
  if (sequence) { /* some slice may be left out, where a request is more than one's work */
    CHECK(run->n_slices <= (size_t)slices, "%zu of %lld", run->n_slices, (long long)slices);
    CHECK(most <= all / slices + 3 * (LONGEST + 1), "%lld of %lld", (long long)most,
          (long long)all);
  }
  mr_run_free(run);
  mr_model_free(model);
  mr_graph_free(graph);
  mr_batch_free(batch);
  mr_schema_free(schema);
}

/* Predicting, a slice is a multiple of 8 rows, since products go over so many at once; training, it
 * is a lane's share. */
static void check_share(int64_t samples, int lanes, int64_t trained, int64_t predicted) {
  mr_schema *schema = new_schema();
  mr_graph *graph;
  mr_model *model;
  mr_run *run;
  mr_run_options options = {.batch = samples, .lanes = lanes};
  NEED(mr_graph_new(&graph, schema) == MR_OK);
  int32_t ad = add(graph, "lookup", NULL, 0, "column", "ad", 0);
  int32_t logit = add(graph, "dense", &ad, 1, "out", NULL, 1);
  int32_t objective[] = {logit, add(graph, "column", NULL, 0, "column", "click", 0)};
  add(graph, "logloss", objective, 2, NULL, NULL, 0);
  NEED(mr_model_new(&model, graph, 1) == MR_OK);
  NEED(mr_run_new(&run, model, NULL, &options) == MR_OK);
  CHECK(mr_run_slice_rows(run) == trained, "%lld rows", (long long)mr_run_slice_rows(run));
  mr_run_free(run);
  NEED(mr_run_new_predict(&run, model, NULL, &options, &logit, 1) == MR_OK);
  CHECK(mr_run_slice_rows(run) == predicted, "%lld rows", (long long)mr_run_slice_rows(run));
  mr_run_free(run);
  mr_model_free(model);
  mr_graph_free(graph);
  mr_schema_free(schema);
}

int main(void) {
  check_share(200, 16, 13, 16);
  check_share(1024, 16, 64, 64);
  check_share(5, 1, 8, 8);
  check_share(100000, 1, 1024, 1024);

  for (int i = 0; i < 20; i++) {
    check_cut(1, 0, 8);
    check_cut(0, 0, 8);
    check_cut(1, 2, 64);
    check_cut(1, 4, 32);
    check_cut(0, 4, 32);
  }
  return check_end();
}
