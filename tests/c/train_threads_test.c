/* Text to trained model through the public functions, with eight threads and with one: the same
 * file, byte by byte. Meant to run under a race detector too: readers, loader, lanes, the update of
 * tables and the metrics all share memory here. */
#include "moonrank.h"

#include <string.h>
#include <unistd.h>

#include "check.h"

enum { ROWS = 6000, EPOCHS = 2, PATH_BYTES = 300 };

static char folder[64] = "/tmp/moonrank-test-XXXXXX";

static const char *path_of(const char *name) {
  static char paths[8][PATH_BYTES];
  static int next;
  char *path = paths[next++ % 8];
  snprintf(path, PATH_BYTES, "%s/%s", folder, name);
  return path;
}

/* ---- data ---- */

static unsigned drawn = 1;
static unsigned draw(unsigned below) {
  drawn = drawn * 1664525u + 1013904223u;
  return (drawn >> 8) % below;
}

/* Requests of one to five rows. */
static void write_text(const char *path) {
  FILE *file = fopen(path, "w");
  NEED(file);
  fprintf(file, "rid,user,seen,past,gaps,ad,tags,price,click\n");
  for (int row = 0, request = 0; row < ROWS; request++) {
    unsigned user = draw(300), seen = draw(80), n = 1 + draw(5), behaviours = draw(9);
    char past[100] = "", gaps[100] = "";
    for (unsigned i = 0, at = 0, gap_at = 0; i < behaviours; i++) {
      at += (unsigned)snprintf(past + at, sizeof past - at, "%sa%u", i ? " " : "", draw(100));
      gap_at += (unsigned)snprintf(gaps + gap_at, sizeof gaps - gap_at, "%s%u", i ? " " : "",
                                   draw(30));
    }
    for (unsigned i = 0; i < n && row < ROWS; i++, row++) {
      unsigned ad = draw(100);
      fprintf(file, "%d,u%u,a%u a%u,%s,%s,a%u,t%u|t%u,%u.5,%d\n", request, user, seen, seen + 7,
              past, gaps, ad, ad % 9, draw(20), draw(40), (ad % 3 == 0) == (draw(5) > 0));
    }
  }
  NEED(fclose(file) == 0);
}

static mr_schema *new_schema(void) {
  static const mr_column_spec columns[] = {
      {.name = "rid", .type = MR_REQUEST_KEY, .domain = MR_REQUEST},
      {.name = "user", .type = MR_ID, .domain = MR_REQUEST},
      {.name = "seen", .table = "ad", .type = MR_IDS, .domain = MR_REQUEST, .separator = ' '},
      {.name = "past.ad", .source = "past", .table = "ad", .type = MR_ID, .sequence = "past"},
      {.name = "past.gap", .source = "gaps", .type = MR_NUMBER, .sequence = "past"},
      {.name = "ad", .type = MR_ID, .domain = MR_SAMPLE},
      {.name = "tags", .type = MR_IDS, .domain = MR_SAMPLE, .separator = '|'},
      {.name = "price", .type = MR_NUMBER, .domain = MR_SAMPLE, .transform = MR_LOG1P},
      {.name = "click", .type = MR_LABEL, .domain = MR_SAMPLE},
      {.name = "who", .source = "user", .type = MR_GROUP, .domain = MR_SAMPLE},
      {.name = "weight", .source = "price", .type = MR_WEIGHT, .domain = MR_SAMPLE},
      {.name = "place", .source = "user", .type = MR_SCENARIO, .domain = MR_SAMPLE},
      {.name = "time", .source = "price", .type = MR_TIME, .domain = MR_SAMPLE},
  };
  static const mr_sequence_spec past = {.name = "past", .domain = MR_REQUEST, .max = 6};
  mr_schema *schema;
  NEED(mr_schema_new(&schema) == MR_OK);
  NEED(mr_schema_add_table(schema, "user", 2) == MR_OK);
  NEED(mr_schema_add_sequence(schema, &past) == MR_OK);
  for (size_t c = 0; c < sizeof columns / sizeof *columns; c++)
    NEED(mr_schema_add_column(schema, &columns[c]) == MR_OK);
  return schema;
}

static mr_dataset *new_dataset(const mr_schema *schema, const char *cache, mr_pool *pool) {
  const char *text = path_of("text.csv");
  mr_text_format format = {.delimiter = ',', .quotes = 1, .block_bytes = 5000};
  mr_dataset *dataset;
  NEED(mr_dataset_build(schema, &format, &text, 1, cache, 1, pool) == MR_OK);
  NEED(mr_dataset_open(&dataset, schema, cache) == MR_OK);
  CHECK(mr_dataset_samples(dataset) == ROWS, "%lld rows", (long long)mr_dataset_samples(dataset));
  return dataset;
}

/* ---- the model ---- */

static int add(mr_graph *graph, const char *op, const int32_t *inputs, int n,
               const mr_option *options, int n_options) {
  int32_t node = -1;
  int status = mr_graph_add(graph, op, NULL, inputs, n, options, n_options, &node);
  CHECK(status == MR_OK, "%s", mr_last_error());
  return node;
}

static int add_lookup(mr_graph *graph, const char *column) {
  mr_option options[] = {{.name = "column", .text = column}, {.name = "dim", .number = 6}};
  return add(graph, "lookup", NULL, 0, options, 2);
}

static int add_column(mr_graph *graph, const char *column) {
  mr_option option = {.name = "column", .text = column};
  return add(graph, "column", NULL, 0, &option, 1);
}

static int add_one(mr_graph *graph, const char *op, int input, const mr_option *option) {
  return add(graph, op, &(int32_t){input}, 1, option, option ? 1 : 0);
}

/* What a sample makes of its request's past behaviours: they weigh by their likeness to the ad. */
static int add_interest(mr_graph *graph, int ad) {
  int32_t past[] = {add_lookup(graph, "past.ad"), add_column(graph, "past.gap")};
  int32_t both[] = {ad, past[0]};
  int32_t weighted[] = {add(graph, "concat", past, 2, NULL, 0),
                        add(graph, "dot", both, 2, NULL, 0)};
  return add(graph, "pool_weighted", weighted, 2, NULL, 0);
}

/* Both sides, bags, a sequence, batch norm, dropout; gives the logit's number. */
static int build_graph(mr_graph *graph) {
  mr_option wide = {.name = "out", .number = 24}, one = {.name = "out", .number = 1};
  mr_option rate = {.name = "rate", .number = 0.2};
  int32_t user[] = {add_lookup(graph, "user"), add_lookup(graph, "seen")};
  int side = add_one(graph, "dense", add(graph, "concat", user, 2, NULL, 0), &wide);
  side = add_one(graph, "relu", add_one(graph, "batch_norm", side, NULL), NULL);
  int ad = add_lookup(graph, "ad");
  int32_t all[] = {side, ad, add_lookup(graph, "tags"), add_column(graph, "price"),
                   add_interest(graph, ad)};
  int x = add_one(graph, "dense", add(graph, "concat", all, 5, NULL, 0), &wide);
  x = add_one(graph, "dropout", add_one(graph, "relu", x, NULL), &rate);
  int32_t logit = add_one(graph, "dense", x, &one);
  int32_t objective[] = {logit, add_column(graph, "click")};
  add(graph, "logloss", objective, 2, NULL, 0);
  return logit;
}

static void train(mr_model *model, const mr_dataset *dataset, mr_pool *pool) {
  mr_option rate = {.name = "lr", .number = 0.01};
  mr_optimizer_spec adam = {"adam", &rate, 1};
  mr_run_options options = {.batch = 500, .seed = 3, .dense = adam, .tables = adam};
  mr_run *run;
  NEED(mr_run_new(&run, model, pool, &options) == MR_OK);
  for (int epoch = 0; epoch < EPOCHS; epoch++) {
    mr_loader_options order = {.batch = 500, .seed = 3, .epoch = epoch, .shuffle = 1};
    mr_loader *loader, *other;
    mr_batch *batch;
    NEED(mr_loader_new(&loader, dataset, &order) == MR_OK);
    NEED(mr_loader_new(&other, dataset, &order) == MR_OK); /* given up while it is at work */
    double loss;
    while (mr_loader_next(loader, &batch) == MR_OK) {
      CHECK(mr_run_step(run, batch, &loss) == MR_OK, "%s", mr_last_error());
      if (other) mr_loader_free(other);
      other = NULL;
    }
    mr_loader_free(loader);
  }
  mr_run_free(run);
}

static void judge(mr_model *model, const mr_dataset *dataset, int32_t logit, mr_pool *pool,
                  double figures[3]) {
  static float scores[ROWS];
  mr_run_options options = {.batch = 500};
  mr_loader_options order = {.batch = 500};
  mr_run *run;
  mr_loader *loader;
  mr_batch *batch;
  mr_auc auc;
  mr_gauc gauc;
  mr_logloss loss;
  int64_t at = 0;
  NEED(mr_run_new_predict(&run, model, pool, &options, &logit, 1) == MR_OK);
  NEED(mr_loader_new(&loader, dataset, &order) == MR_OK);
  while (mr_loader_next(loader, &batch) == MR_OK) {
    float *out = scores + at;
    CHECK(mr_run_predict(run, batch, &out) == MR_OK, "%s", mr_last_error());
    at += mr_batch_rows(batch, MR_SAMPLE);
  }
  mr_scores rows = {.n = at,
                    .scores = scores,
                    .labels = mr_dataset_floats(dataset, 8),
                    .groups = mr_dataset_keys(dataset, 9)};
  CHECK(mr_metric_auc(&auc, &rows, NULL) == MR_OK, "%s", mr_last_error());
  CHECK(mr_metric_gauc(&gauc, &rows, pool) == MR_OK, "%s", mr_last_error());
  CHECK(mr_metric_logloss(&loss, &rows, MR_LOGIT, pool) == MR_OK, "%s", mr_last_error());
  figures[0] = auc.auc, figures[1] = gauc.gauc, figures[2] = loss.logloss;
  mr_loader_free(loader);
  mr_run_free(run);
}

/* ---- the comparison ---- */

static void run_all(int threads, const char *cache, const char *file, double figures[3]) {
  mr_pool *pool;
  mr_graph *graph;
  mr_model *model;
  NEED(mr_pool_new(&pool, threads) == MR_OK);
  mr_schema *schema = new_schema();
  mr_dataset *dataset = new_dataset(schema, cache, pool);
  NEED(mr_graph_new(&graph, schema) == MR_OK);
  int logit = build_graph(graph);
  NEED(mr_model_new(&model, graph, 5) == MR_OK);
  train(model, dataset, pool);
  judge(model, dataset, logit, pool, figures);
  CHECK(mr_model_save(model, file, "") == MR_OK, "%s", mr_last_error());
  mr_model_free(model);
  mr_graph_free(graph);
  mr_dataset_close(dataset);
  mr_schema_free(schema);
  mr_pool_free(pool);
}

static size_t read_file(const char *path, char *bytes, size_t most) {
  FILE *file = fopen(path, "r");
  NEED(file);
  size_t n = fread(bytes, 1, most, file);
  fclose(file);
  return n;
}

static void check_same(const char *a, const char *b) {
  static char x[1 << 20], y[1 << 20];
  size_t n = read_file(a, x, sizeof x), m = read_file(b, y, sizeof y);
  CHECK(n > 0 && n < sizeof x, "%s has %zu bytes", a, n);
  CHECK(n == m && memcmp(x, y, n) == 0, "%s and %s differ", a, b);
}

int main(void) {
  double one[3], eight[3];
  NEED(mkdtemp(folder));
  write_text(path_of("text.csv"));
  run_all(1, path_of("cache1"), path_of("one.mr"), one);
  run_all(8, path_of("cache8"), path_of("eight.mr"), eight);
  check_same(path_of("cache1"), path_of("cache8"));
  check_same(path_of("one.mr"), path_of("eight.mr"));
  CHECK(memcmp(one, eight, sizeof one) == 0, "AUC %.17g and %.17g", one[0], eight[0]);
  CHECK(eight[0] > 0.7, "AUC %g: it has learned nothing", eight[0]);
  CHECK(mr_alloc_live() == 0, "%lld blocks are left", (long long)mr_alloc_live());
  static const char *const names[] = {"text.csv",    "cache1", "cache8",  "cache1.lock",
                                      "cache8.lock", "one.mr", "eight.mr"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(path_of(names[i]));
  CHECK(rmdir(folder) == 0, "%s is not empty", folder);
  return check_end();
}
