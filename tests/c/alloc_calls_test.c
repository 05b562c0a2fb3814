/* Every public function with every one of its allocations failing in turn: MR_EMEMORY and its text,
 * nothing returned, nothing leaked, no file left; and then, with memory, MR_OK. (alloc_test goes
 * through a whole training.)
 *
 * The table has a row for each function of moonrank.h that returns a status; the test reads the
 * header and fails when one is missing. */
#include <dirent.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "check.h"
#include "moonrank.h"

enum { N = 40, COLUMNS = 16, NODES = 7 };

static const mr_sequence_spec past = {.name = "past", .domain = MR_SAMPLE, .max = 3};

static const char *const kinds[] = {"a3", "a8"}, *const crossed[] = {"ad", "kind"},
                         *const crossed_bags[] = {"ad", "tags"};

static const mr_column_spec columns[COLUMNS] = {
    {.name = "ad", .type = MR_ID, .domain = MR_SAMPLE},
    {.name = "tags",
     .type = MR_IDS,
     .domain = MR_SAMPLE,
     .separator = '|',
     .weight_separator = ':'},
    {.name = "price", .type = MR_NUMBER, .domain = MR_SAMPLE},
    {.name = "click", .type = MR_LABEL, .domain = MR_SAMPLE},
    {.name = "past", .table = "ad", .type = MR_ID, .domain = MR_SAMPLE, .sequence = "past"},
    {.name = "gaps", .type = MR_NUMBER, .domain = MR_SAMPLE, .sequence = "past"},
    {.name = "words",
     .source = "past",
     .type = MR_IDS,
     .domain = MR_SAMPLE,
     .sequence = "past",
     .separator = '-'},
    {.name = "place", .source = "ad", .type = MR_SCENARIO, .domain = MR_SAMPLE},
    {.name = "worth",
     .source = "price",
     .type = MR_NUMBER,
     .domain = MR_SAMPLE,
     .when_missing = MR_MISSING_MEAN,
     .normalize = 1},
    {.name = "level", .source = "price", .type = MR_BUCKET, .domain = MR_SAMPLE, .buckets = 4},
    {.name = "kind",
     .source = "ad",
     .type = MR_ID,
     .domain = MR_SAMPLE,
     .values = kinds,
     .n_values = 2,
     .unseen = MR_UNSEEN_ZERO},
    {.name = "picture",
     .source = "price",
     .type = MR_VECTOR,
     .domain = MR_SAMPLE,
     .separator = ';',
     .width = 1},
    {.name = "pictures",
     .source = "gaps",
     .type = MR_VECTOR,
     .domain = MR_SAMPLE,
     .sequence = "past",
     .separator = ';',
     .width = 1},
    {.name = "heavy",
     .source = "past",
     .type = MR_IDS,
     .domain = MR_SAMPLE,
     .separator = ' ',
     .weights = "gaps"},
    {.name = "both", .type = MR_ID, .domain = MR_SAMPLE, .cross = crossed, .n_cross = 2},
    {.name = "all",
     .type = MR_IDS,
     .domain = MR_SAMPLE,
     .max = 3,
     .cross = crossed_bags,
     .n_cross = 2}};

static const struct {
  const char *op;
  int32_t inputs[3], n_inputs;
  mr_option options[2];
  int32_t n_options;
} nodes[NODES] = {{"lookup", {0}, 0, {{"column", 0, "ad"}, {"dim", 2, NULL}}, 2},
                  {"lookup", {0}, 0, {{"column", 0, "tags"}, {"dim", 2, NULL}}, 2},
                  {"concat", {0, 1}, 2, {{0}}, 0},
                  {"dense", {2}, 1, {{"out", 1, NULL}}, 1},
                  {"column", {0}, 0, {{"column", 0, "click"}}, 1},
                  {"logloss", {3, 4}, 2, {{0}}, 0},
                  {"sigmoid", {3}, 1, {{0}}, 0}};
enum { LOGIT = 3, PROBABILITY = 6 };

static const mr_run_options run_options = {.batch = N, .dense = {.name = "adam"}};

/* What the calls work on, made while there is memory. */
static mr_schema *schema;
static mr_graph *graph;
static mr_model *model;
static mr_pool *pool;
static mr_batch *batch;
static mr_dataset *dataset;
static mr_loader *loader_of_coded;
static mr_batch *coded; /* of the dataset */
static mr_predictor *predictor;

static char folder[64], text_path[128], gzip_path[128], zstd_path[128], cache_path[128],
    made_path[128], model_path[128], checkpoint[128], spare[128];

/* ---- failing ---- */

static int64_t fail_at; /* the allocation to fail, counted from 0, and all after it */

static void arm(void) { mr_alloc_fail_after(fail_at); }

static int disarm(int status) {
  mr_alloc_fail_after(-1);
  return status;
}

#define ARMED(call) (arm(), disarm(call))

/* The same for a call that returns an object: NULL after a failure. */
#define MAKES(object, call, release)                                                               \
  do {                                                                                             \
    int makes_status = ARMED(call);                                                                \
    CHECK((makes_status == MR_OK) == ((object) != NULL), "status %d", makes_status);               \
    release(object);                                                                               \
    return makes_status;                                                                           \
  } while (0)

#define SOUND(call) NEED((call) == MR_OK)

/* ---- schema, graph, model ---- */

static mr_schema *new_schema(void) {
  mr_schema *s;
  SOUND(mr_schema_new(&s));
  SOUND(mr_schema_add_sequence(s, &past));
  for (int c = 0; c < COLUMNS; c++) SOUND(mr_schema_add_column(s, &columns[c]));
  SOUND(mr_schema_keep_texts(s, 0));
  return s;
}

static void add_node(mr_graph *g, int i) {
  int32_t node;
  SOUND(mr_graph_add(g, nodes[i].op, NULL, nodes[i].inputs, nodes[i].n_inputs, nodes[i].options,
                     nodes[i].n_options, &node));
}

static mr_graph *new_graph(int n) {
  mr_graph *g;
  SOUND(mr_graph_new(&g, schema));
  for (int i = 0; i < n; i++) add_node(g, i);
  return g;
}

static mr_model *new_model(void) {
  mr_model *m;
  SOUND(mr_model_new(&m, graph, 1));
  return m;
}

static int isa_set(void) { return ARMED(mr_isa_set("auto")); }

static int pool_new(void) {
  mr_pool *p;
  MAKES(p, mr_pool_new(&p, 3), mr_pool_free);
}

static int limits_measure(void) {
  mr_limits limits;
  return ARMED(mr_limits_measure(&limits, pool));
}

static int schema_new(void) {
  mr_schema *s;
  MAKES(s, mr_schema_new(&s), mr_schema_free);
}

static int schema_add_table(void) {
  mr_schema *s = new_schema();
  int status = ARMED(mr_schema_add_table(s, "another", 2));
  mr_schema_free(s);
  return status;
}

static int schema_keep_texts(void) {
  mr_schema *s = new_schema();
  int status = ARMED(mr_schema_keep_texts(s, 1));
  mr_schema_free(s);
  return status;
}

static int schema_add_column(void) {
  mr_schema *s = new_schema();
  mr_column_spec spec = {.name = "new",
                         .source = "from",
                         .table = "t",
                         .type = MR_IDS,
                         .domain = MR_SAMPLE,
                         .values = kinds,
                         .n_values = 2,
                         .padding = "0"};
  int status = ARMED(mr_schema_add_column(s, &spec));
  CHECK(mr_schema_columns(s) == COLUMNS + (status == MR_OK), "%d columns", mr_schema_columns(s));
  mr_schema_free(s);
  return status;
}

static int schema_add_cross(void) {
  mr_schema *s = new_schema();
  mr_column_spec spec = {
      .name = "cross", .type = MR_ID, .domain = MR_SAMPLE, .cross = crossed, .n_cross = 2};
  int status = ARMED(mr_schema_add_column(s, &spec));
  CHECK(mr_schema_columns(s) == COLUMNS + (status == MR_OK), "%d columns", mr_schema_columns(s));
  mr_schema_free(s);
  return status;
}

static int schema_add_weights(void) {
  mr_schema *s = new_schema();
  mr_column_spec spec = {
      .name = "weighed", .type = MR_IDS, .domain = MR_SAMPLE, .weights = "weights"};
  int status = ARMED(mr_schema_add_column(s, &spec));
  CHECK(mr_schema_columns(s) == COLUMNS + (status == MR_OK), "%d columns", mr_schema_columns(s));
  mr_schema_free(s);
  return status;
}

static const mr_sequence_spec sequence = {.name = "seen", .domain = MR_SAMPLE, .padding = "0"};

static int schema_add_sequence(void) {
  mr_schema *s = new_schema();
  int status = ARMED(mr_schema_add_sequence(s, &sequence));
  CHECK((mr_schema_find_sequence(s, "seen") == 1) == (status == MR_OK), "status %d", status);
  mr_schema_free(s);
  return status;
}

static int schema_sequence(void) {
  mr_schema *s = new_schema();
  mr_sequence_spec spec;
  SOUND(mr_schema_add_sequence(s, &sequence));
  int status = ARMED(mr_schema_sequence(s, 1, &spec));
  mr_schema_free(s);
  return status;
}

static int schema_fit(void) {
  mr_schema *s = new_schema();
  int status = ARMED(mr_schema_fit(s, schema));
  mr_schema_free(s);
  return status;
}

static int graph_new(void) {
  mr_graph *g;
  MAKES(g, mr_graph_new(&g, schema), mr_graph_free);
}

static int graph_add(void) {
  int status = MR_OK;
  for (int i = 0; i < NODES && status == MR_OK; i++) {
    mr_graph *g = new_graph(i);
    int32_t node, before = mr_graph_nodes(g);
    status = ARMED(mr_graph_add(g, nodes[i].op, "name", nodes[i].inputs, nodes[i].n_inputs,
                                nodes[i].options, nodes[i].n_options, &node));
    CHECK(status == MR_OK || mr_graph_nodes(g) == before, "a node in spite of the failure");
    mr_graph_free(g);
  }
  return status;
}

static int graph_describe(void) {
  mr_node_info info;
  return ARMED(mr_graph_describe(graph, 0, &info));
}

static int graph_watch(void) {
  mr_graph *g = new_graph(NODES);
  int status = ARMED(mr_graph_watch(g, LOGIT));
  mr_graph_free(g);
  return status;
}

static int graph_add_task(void) {
  mr_graph *g = new_graph(NODES);
  int status = ARMED(mr_graph_add_task(g, "task", LOGIT, PROBABILITY));
  CHECK(mr_graph_tasks(g) == (status == MR_OK), "a task in spite of the failure");
  mr_graph_free(g);
  return status;
}

static int graph_task(void) {
  mr_task_info info;
  return ARMED(mr_graph_task(graph, 0, &info));
}

static int graph_open(void) {
  mr_graph *g;
  char *about;
  int status = ARMED(mr_graph_open(&g, model_path, &about));
  CHECK((status == MR_OK) == (about != NULL), "a text in spite of the failure");
  CHECK((status == MR_OK) == (g != NULL), "a graph in spite of the failure");
  mr_text_free(about);
  mr_graph_free(g);
  return status;
}

static int model_new(void) {
  mr_model *m;
  MAKES(m, mr_model_new(&m, graph, 1), mr_model_free);
}

static int model_param(void) {
  mr_param_info info;
  return ARMED(mr_model_param(model, 0, &info));
}

static int model_changed(void) { return ARMED(mr_model_changed(model)); }

static int model_table(void) {
  mr_table_info info;
  return ARMED(mr_model_table(model, 0, &info));
}

static int model_part(void) {
  mr_part_info info;
  return ARMED(mr_model_part(model, 0, 0, &info));
}

#define NEW_KEY (UINT64_C(1) << 63) /* in a shard that has no rows yet */

static int model_make_row(void) {
  mr_model *m = new_model();
  float *row;
  int status = ARMED(mr_model_make_row(m, 0, NEW_KEY, &row));
  CHECK(status == MR_OK || !mr_model_row(m, 0, NEW_KEY), "a row in spite of the failure");
  mr_model_free(m);
  return status;
}

static int model_export(void) {
  mr_table_info info;
  SOUND(mr_model_table(model, 0, &info));
  uint64_t *keys = malloc((size_t)info.rows * sizeof *keys);
  float *values = malloc((size_t)(info.rows * info.width) * sizeof *values);
  NEED(keys && values);
  int status = ARMED(mr_model_export(model, 0, keys, values));
  free(keys), free(values);
  return status;
}

static int model_assign(void) {
  mr_model *m = new_model();
  int status = ARMED(mr_model_assign(m, model));
  mr_model_free(m);
  return status;
}

static int model_take_weight(void) {
  mr_model *m = new_model();
  int status = ARMED(mr_model_take_weight(m, 0, model, 0));
  mr_model_free(m);
  return status;
}

static int model_take_part(void) {
  mr_model *m = new_model();
  int status = ARMED(mr_model_take_part(m, 0, 0, model, 0, 0));
  mr_model_free(m);
  return status;
}

static int model_check(void) { return ARMED(mr_model_check(model)); }

static int model_save(void) {
  int status = ARMED(mr_model_save(model, spare, "about"));
  CHECK((access(spare, F_OK) == 0) == (status == MR_OK), "a file in spite of the failure");
  unlink(spare);
  return status;
}

static int model_save_named(void) {
  int status = ARMED(mr_model_save_named(model, spare, "about", dataset));
  CHECK((access(spare, F_OK) == 0) == (status == MR_OK), "a file in spite of the failure");
  unlink(spare);
  return status;
}

static int model_load(void) {
  mr_model *m = new_model();
  int status = ARMED(mr_model_load(m, model_path));
  mr_model_free(m);
  return status;
}

static int model_open(void) {
  mr_model *m;
  mr_graph *g;
  char *about;
  int status = ARMED(mr_model_open(&m, &g, model_path, &about));
  CHECK((status == MR_OK) == (m && g && about), "an object in spite of the failure");
  mr_model_free(m);
  mr_graph_free(g);
  mr_text_free(about);
  return status;
}

static int model_verify(void) { return ARMED(mr_model_verify(model_path)); }

/* ---- data ---- */

static int build_from(const char *path, mr_pool *threads) {
  mr_text_format format = {.delimiter = ',', .quotes = 1, .block_bytes = 300};
  mr_schema *s = new_schema(); /* to which nothing is fitted yet */
  int status = ARMED(mr_dataset_build(s, &format, &path, 1, made_path, 1, threads));
  mr_schema_free(s);
  CHECK((access(made_path, F_OK) == 0) == (status == MR_OK), "a cache in spite of the failure");
  char lock[160];
  snprintf(lock, sizeof lock, "%s.lock", made_path); /* stays, for others who build the same */
  unlink(made_path), unlink(lock);
  return status;
}

/* A cache whose numbers are transformed by what is given. */
static int dataset_build_given(void) {
  mr_text_format format = {.delimiter = ','};
  const char *path = text_path;
  mr_schema *s = new_schema();
  SOUND(mr_schema_fit(s, schema));
  int status = ARMED(mr_dataset_build(s, &format, &path, 1, made_path, 0, NULL));
  mr_schema_free(s);
  char lock[160];
  snprintf(lock, sizeof lock, "%s.lock", made_path);
  unlink(made_path), unlink(lock);
  return status;
}

/* The building's own thread allocates at any time, so it is armed from its start to its end. */
static int build_all(void) {
  mr_text_format format = {.delimiter = ',', .quotes = 1};
  mr_build_progress progress;
  const char *path = gzip_path;
  mr_schema *s = new_schema();
  mr_build *build;
  arm();
  int status = mr_build_start(&build, s, &format, &path, 1, made_path, 1, pool);
  CHECK((status == MR_OK) == (build != NULL), "status %d", status);
  while (status == MR_OK) status = mr_build_wait(build, 1000, &progress);
  mr_alloc_fail_after(-1);
  mr_build_free(build);
  mr_schema_free(s);
  char lock[160];
  snprintf(lock, sizeof lock, "%s.lock", made_path);
  unlink(made_path), unlink(lock);
  return status == MR_END ? MR_OK : status;
}

/* The stream's thread allocates at any time, too. */
static int stream_all(void) {
  mr_text_format format = {.delimiter = ',', .quotes = 1, .block_bytes = 300};
  mr_build_progress progress;
  mr_dataset *part;
  const char *path = gzip_path;
  mr_stream *stream;
  arm();
  int status = mr_stream_open(&stream, schema, &format, &path, 1);
  CHECK((status == MR_OK) == (stream != NULL), "status %d", status);
  while (status == MR_OK) {
    status = mr_stream_next(stream, 1000, &part, &progress);
    mr_dataset_close(part);
  }
  mr_alloc_fail_after(-1);
  mr_stream_close(stream);
  return status == MR_END ? MR_OK : status;
}

static int dataset_build(void) { return build_from(text_path, NULL); }
static int dataset_build_threads(void) { return build_from(text_path, pool); }
static int dataset_build_gzip(void) { return build_from(gzip_path, NULL); }
static int dataset_build_zstd(void) { return build_from(zstd_path, NULL); }

static int keys_texts(void) {
  mr_text_format format = {.delimiter = ',', .quotes = 1};
  const char *path = text_path;
  uint64_t key = 1; /* of no row */
  char *texts;
  MAKES(texts, mr_keys_texts(&texts, schema, &format, &path, 1, 0, &key, 1), mr_text_free);
}

static int dataset_texts(void) {
  uint64_t key = 1; /* of no row */
  char *texts;
  MAKES(texts, mr_dataset_texts(&texts, dataset, 0, &key, 1), mr_text_free);
}

static int dataset_open(void) {
  mr_dataset *d;
  MAKES(d, mr_dataset_open(&d, schema, cache_path), mr_dataset_close);
}

static int batch_new(void) {
  mr_batch *b;
  MAKES(b, mr_batch_new(&b, schema, N, NULL), mr_batch_free);
}

static int batch_reset(void) {
  mr_batch *b;
  SOUND(mr_batch_new(&b, schema, 1, NULL));
  int status = ARMED(mr_batch_reset(b, 1000, NULL));
  if (status != MR_OK) SOUND(mr_batch_reset(b, 2, NULL)); /* it can still be used */
  mr_batch_free(b);
  return status;
}

static int set_bags(mr_batch *b) {
  int32_t offsets[N + 1] = {0};
  uint64_t keys[N * 3];
  for (int r = 0; r < N; r++) offsets[r + 1] = offsets[r] + r % 4;
  for (int i = 0; i < N * 3; i++) keys[i] = (uint64_t)(i % 7) << 60;
  return mr_batch_set_bags(b, 1, offsets, keys);
}

static int batch_set_bags(void) {
  mr_batch *b;
  SOUND(mr_batch_new(&b, schema, N, NULL));
  int status = ARMED(set_bags(b));
  mr_batch_free(b);
  return status;
}

static int batch_set_sequence(void) {
  mr_column_spec spec = {.name = "seen ad", .type = MR_ID, .domain = MR_SAMPLE, .sequence = "seen"};
  int32_t offsets[N + 1] = {0};
  for (int r = 0; r < N; r++) offsets[r + 1] = offsets[r] + r;
  mr_schema *s = new_schema();
  mr_batch *b;
  SOUND(mr_schema_add_sequence(s, &sequence));
  SOUND(mr_schema_add_column(s, &spec));
  SOUND(mr_batch_new(&b, s, N, NULL));
  int status = ARMED(mr_batch_set_sequence(b, 1, offsets));
  if (status != MR_OK) SOUND(mr_batch_reset(b, 2, NULL)); /* it can still be used */
  mr_batch_free(b);
  mr_schema_free(s);
  return status;
}

/* The loader's own thread allocates at any time, so it is armed from its start to its end. */
static int read_all(void) {
  mr_loader_options options = {.batch = 7, .shuffle = 1};
  mr_loader *loader;
  mr_batch *next;
  int status = mr_loader_new(&loader, dataset, &options);
  CHECK((status == MR_OK) == (loader != NULL), "status %d", status);
  while (status == MR_OK) status = mr_loader_next(loader, &next);
  mr_alloc_fail_after(-1);
  mr_loader_free(loader);
  return status == MR_END ? MR_OK : status;
}

static int loader_all(void) {
  arm();
  return read_all();
}

/* ---- runs ---- */

static int run_new(void) {
  mr_model *m = new_model();
  mr_run *r;
  int status = ARMED(mr_run_new(&r, m, pool, &run_options));
  CHECK((status == MR_OK) == (r != NULL), "status %d", status);
  mr_run_free(r);
  mr_model_free(m);
  return status;
}

static int32_t logit = LOGIT;

static int run_new_predict(void) {
  mr_run *r;
  MAKES(r, mr_run_new_predict(&r, model, pool, &run_options, &logit, 1), mr_run_free);
}

/* A run that has seen nothing yet, so that all that grows has still to grow. */
static int with_run_of(const mr_run_options *options, int (*call)(mr_run *)) {
  mr_model *m = new_model();
  mr_run *r;
  SOUND(mr_run_new(&r, m, pool, options));
  int status = call(r);
  mr_run_free(r);
  mr_model_free(m);
  return status;
}

static int with_run(int (*call)(mr_run *)) { return with_run_of(&run_options, call); }

static double loss;

static int call_gradient(mr_run *r) { return ARMED(mr_run_gradient(r, batch, &loss)); }
static int call_make_rows(mr_run *r) { return ARMED(mr_run_make_rows(r, batch)); }
static int call_count(mr_run *r) { return ARMED(mr_run_count(r, batch, 1)); }
static int call_step(mr_run *r) { return ARMED(mr_run_step(r, batch, &loss)); }
static int call_step_codes(mr_run *r) { return ARMED(mr_run_step(r, coded, &loss)); }
static int call_rate(mr_run *r) { return ARMED(mr_run_set_rate(r, 0.5)); }

static int call_profile(mr_run *r) { return ARMED(mr_run_profile(r, 1)); }

static int call_profile_line(mr_run *r) {
  mr_profile_line line;
  SOUND(mr_run_profile(r, 1));
  SOUND(mr_run_step(r, batch, &loss));
  return ARMED(mr_run_profile_line(r, 0, &line));
}

static int call_check(mr_run *r) { return ARMED(mr_run_check(r, batch)); }

static int call_update(mr_run *r) {
  SOUND(mr_run_gradient(r, batch, &loss));
  return ARMED(mr_run_update(r));
}

static int call_row_gradient(mr_run *r) {
  float gradient[8];
  SOUND(mr_run_gradient(r, batch, &loss));
  return ARMED(mr_run_row_gradient(r, 0, 1, gradient));
}

static int call_save(mr_run *r) {
  SOUND(mr_run_step(r, batch, &loss));
  int status = ARMED(mr_run_save(r, spare, "state"));
  CHECK((access(spare, F_OK) == 0) == (status == MR_OK), "a folder in spite of the failure");
  SOUND(mr_checkpoint_remove(spare));
  return status;
}

static int call_restore(mr_run *r) {
  char *state;
  int status = ARMED(mr_run_restore(r, checkpoint, &state));
  CHECK((status == MR_OK) == (state != NULL), "a state in spite of the failure");
  mr_text_free(state);
  return status;
}

static int run_check(void) { return with_run(call_check); }
static int run_profile(void) { return with_run(call_profile); }
static int run_profile_line(void) { return with_run(call_profile_line); }
static int run_gradient(void) { return with_run(call_gradient); }
static int run_make_rows(void) { return with_run(call_make_rows); }
static int run_count(void) {
  const mr_run_options options = {.batch = N, .dense = {.name = "adam"}, .table_mba = 0.1};
  return with_run_of(&options, call_count);
}
static int run_update(void) { return with_run(call_update); }
static int run_step(void) { return with_run(call_step); }

/* Keys that wait and rows that expire, by the second step. */
static int call_second_step(mr_run *r) {
  SOUND(mr_run_step(r, batch, &loss));
  return ARMED(mr_run_step(r, batch, &loss));
}

static int with_admission(int (*call)(mr_run *)) {
  static const int32_t ones[8] = {1, 1, 1, 1, 1, 1, 1, 1};
  mr_run_options options = run_options;
  options.admit = options.expire = ones;
  return with_run_of(&options, call);
}

static int run_step_waiting(void) { return with_admission(call_step); }
static int run_step_codes_waiting(void) { return with_admission(call_step_codes); }
static int run_step_admitted(void) { return with_admission(call_second_step); }
static int run_save_waiting(void) { return with_admission(call_save); }
static int run_step_codes(void) { return with_run(call_step_codes); }
static int run_set_rate(void) { return with_run(call_rate); }
static int run_row_gradient(void) { return with_run(call_row_gradient); }
static int run_save(void) { return with_run(call_save); }
static int run_restore(void) { return with_run(call_restore); }

static int predict(const mr_batch *b) {
  mr_run *r;
  float scores[N], *out = scores;
  SOUND(mr_run_new_predict(&r, model, pool, &run_options, &logit, 1));
  int status = ARMED(mr_run_predict(r, b, &out));
  mr_run_free(r);
  return status;
}

static int run_predict(void) { return predict(batch); }
static int run_predict_codes(void) { return predict(coded); }

static int checkpoint_remove(void) {
  mr_model *m = new_model();
  mr_run *r;
  SOUND(mr_run_new(&r, m, pool, &run_options));
  SOUND(mr_run_save(r, spare, ""));
  int status = ARMED(mr_checkpoint_remove(spare));
  if (status != MR_OK) SOUND(mr_checkpoint_remove(spare));
  mr_run_free(r);
  mr_model_free(m);
  return status;
}

/* ---- predictors ---- */

static int predictor_open(void) {
  mr_predictor *p;
  MAKES(p, mr_predictor_open(&p, model_path), mr_predictor_close);
}

static int predictor_new(void) {
  mr_predictor *p;
  MAKES(p, mr_predictor_new(&p, model), mr_predictor_close);
}

static int predictor_run(void) {
  mr_run *r;
  MAKES(r, mr_predictor_run(&r, predictor, pool, N), mr_run_free);
}

static int scratch_new(void) {
  mr_scratch *s;
  MAKES(s, mr_scratch_new(&s, predictor), mr_scratch_free);
}

static const char *const tags_of[N] = {"t1:1|t2:-1|t3:2|t4:0|t5:3", NULL, "t6:2"};
static const mr_values values = {.column = 1, .texts = tags_of};

static int predictor_prepare(void) {
  mr_scratch *s;
  SOUND(mr_scratch_new(&s, predictor));
  int status = ARMED(mr_predictor_prepare(s, &values, 1));
  mr_scratch_free(s);
  return status;
}

static int predictor_score(void) {
  mr_scratch *s;
  float out[N];
  SOUND(mr_scratch_new(&s, predictor));
  SOUND(mr_predictor_prepare(s, NULL, 0));
  int status = ARMED(mr_predictor_score(s, N, &values, 1, out));
  if (status != MR_OK) SOUND(mr_predictor_score(s, N, &values, 1, out)); /* it can still be used */
  mr_scratch_free(s);
  return status;
}

/* ---- descriptions ---- */

static int op_describe(void) {
  mr_op_info info;
  return ARMED(mr_op_describe(0, &info));
}

static int op_option_describe(void) {
  mr_op_option_info info;
  int32_t op = 0;
  while (mr_op_option_describe(op, 0, &info) != MR_OK) op++;
  return ARMED(mr_op_option_describe(op, 0, &info));
}

static int optimizer_describe(void) {
  mr_optimizer_info info;
  return ARMED(mr_optimizer_describe(0, &info));
}

static int optimizer_option_describe(void) {
  mr_op_option_info info;
  return ARMED(mr_optimizer_option_describe(0, 0, &info));
}

/* ---- metrics ---- */

static float scores_of[N], labels_of[N], weights_of[N];
static uint64_t groups_of[N];
static const mr_scores rows = {
    .n = N, .scores = scores_of, .labels = labels_of, .groups = groups_of};

static const mr_scores weighted = {
    .n = N, .scores = scores_of, .labels = labels_of, .weights = weights_of, .groups = groups_of};

static int metric_auc_weighted(void) {
  mr_auc out;
  return ARMED(mr_metric_auc(&out, &weighted, NULL));
}

static int metric_compare_weighted(void) {
  mr_comparison out;
  return ARMED(mr_metric_compare(&out, &weighted, scores_of, 2, 1, pool));
}

static int metric_auc(void) {
  mr_auc out;
  return ARMED(mr_metric_auc(&out, &rows, NULL));
}

static int metric_gauc(void) {
  mr_gauc out;
  return ARMED(mr_metric_gauc(&out, &rows, pool));
}

static int metric_compare(void) {
  mr_comparison out;
  return ARMED(mr_metric_compare(&out, &rows, scores_of, 2, 1, pool));
}

static int metric_logloss(void) {
  mr_logloss out;
  return ARMED(mr_metric_logloss(&out, &rows, MR_LOGIT, pool));
}

static int metric_reliability(void) {
  mr_reliability out;
  mr_bin bins[3];
  return ARMED(mr_metric_reliability(&out, bins, 3, &rows, MR_LOGIT));
}

static int keys_number(void) {
  uint32_t numbers[N];
  int64_t distinct;
  return ARMED(mr_keys_number(numbers, &distinct, groups_of, N));
}

/* ---- files ---- */

static int sink_open(void) {
  char path[160];
  mr_sink *s;
  snprintf(path, sizeof path, "%s.zst", spare);
  MAKES(s, mr_sink_open(&s, path), mr_sink_abort);
}

static int sink_write(void) {
  mr_sink *s;
  SOUND(mr_sink_open(&s, spare));
  int status = ARMED(mr_sink_write(s, "text", 4));
  mr_sink_abort(s);
  return status;
}

static int sink_close(void) {
  mr_sink *s;
  SOUND(mr_sink_open(&s, spare));
  int status = ARMED(mr_sink_close(s));
  unlink(spare);
  return status;
}

static int block_new(void) {
  void *block;
  MAKES(block, mr_block_new(&block, 100), mr_block_free);
}

static int peek_open(void) {
  mr_peek *t;
  MAKES(t, mr_peek_open(&t, gzip_path), mr_peek_close);
}

static mr_peek *new_peek(void) {
  mr_peek *t;
  SOUND(mr_peek_open(&t, gzip_path));
  return t;
}

static int peek_read(void) {
  char buffer[16];
  int64_t got;
  mr_peek *t = new_peek();
  int status = ARMED(mr_peek_read(t, buffer, sizeof buffer, &got));
  mr_peek_close(t);
  return status;
}

static int peek_skip(void) {
  mr_peek *t = new_peek();
  int status = ARMED(mr_peek_skip(t, 16));
  mr_peek_close(t);
  return status;
}

static int file_sync(void) { return ARMED(mr_file_sync(text_path)); }

static int folder_names(void) {
  char *names;
  MAKES(names, mr_folder_names(&names, folder), mr_text_free);
}

static int process_start(void) {
  const char *const words[] = {"true", NULL};
  int64_t pid;
  int32_t ended;
  int status = ARMED(mr_process_start(&pid, words, "/dev/null"));
  if (status == MR_OK) SOUND(mr_process_wait(pid, 60, &ended));
  return status;
}

static int process_wait(void) {
  const char *const words[] = {"true", NULL};
  int64_t pid;
  int32_t ended;
  SOUND(mr_process_start(&pid, words, "/dev/null"));
  return ARMED(mr_process_wait(pid, 60, &ended));
}

static int process_stop(void) {
  const char *const words[] = {"sleep", "60", NULL};
  int64_t pid;
  int32_t ended;
  SOUND(mr_process_start(&pid, words, "/dev/null"));
  int status = ARMED(mr_process_stop(pid));
  SOUND(mr_process_wait(pid, 60, &ended));
  return status;
}

static int lock_take(void) {
  char path[256];
  int32_t lock;
  snprintf(path, sizeof path, "%s/lock", folder);
  int status = ARMED(mr_lock_take(&lock, path));
  mr_lock_release(lock);
  unlink(path);
  return status;
}

/* ---- the table ---- */

static const struct {
  const char *name;
  int (*call)(void);
} calls[] = {{"mr_isa_set", isa_set},
             {"mr_pool_new", pool_new},
             {"mr_limits_measure", limits_measure},
             {"mr_schema_new", schema_new},
             {"mr_schema_add_table", schema_add_table},
             {"mr_schema_keep_texts", schema_keep_texts},
             {"mr_schema_add_column", schema_add_column},
             {"mr_schema_add_column", schema_add_cross},
             {"mr_schema_add_column", schema_add_weights},
             {"mr_schema_add_sequence", schema_add_sequence},
             {"mr_schema_sequence", schema_sequence},
             {"mr_schema_fit", schema_fit},
             {"mr_build_start", build_all},
             {"mr_build_wait", build_all},
             {"mr_stream_open", stream_all},
             {"mr_stream_next", stream_all},
             {"mr_dataset_build", dataset_build},
             {"mr_dataset_build", dataset_build_threads},
             {"mr_dataset_build", dataset_build_given},
             {"mr_dataset_build", dataset_build_gzip},
             {"mr_dataset_build", dataset_build_zstd},
             {"mr_dataset_open", dataset_open},
             {"mr_batch_new", batch_new},
             {"mr_batch_reset", batch_reset},
             {"mr_batch_set_bags", batch_set_bags},
             {"mr_batch_set_sequence", batch_set_sequence},
             {"mr_loader_new", loader_all},
             {"mr_loader_next", loader_all},
             {"mr_op_describe", op_describe},
             {"mr_op_option_describe", op_option_describe},
             {"mr_graph_new", graph_new},
             {"mr_graph_add", graph_add},
             {"mr_graph_describe", graph_describe},
             {"mr_graph_watch", graph_watch},
             {"mr_graph_add_task", graph_add_task},
             {"mr_graph_task", graph_task},
             {"mr_graph_open", graph_open},
             {"mr_model_new", model_new},
             {"mr_model_param", model_param},
             {"mr_model_changed", model_changed},
             {"mr_model_table", model_table},
             {"mr_model_part", model_part},
             {"mr_model_make_row", model_make_row},
             {"mr_model_export", model_export},
             {"mr_model_assign", model_assign},
             {"mr_model_take_weight", model_take_weight},
             {"mr_model_take_part", model_take_part},
             {"mr_model_check", model_check},
             {"mr_model_save", model_save},
             {"mr_model_save_named", model_save_named},
             {"mr_model_load", model_load},
             {"mr_model_open", model_open},
             {"mr_model_verify", model_verify},
             {"mr_run_new", run_new},
             {"mr_run_new_predict", run_new_predict},
             {"mr_run_gradient", run_gradient},
             {"mr_run_check", run_check},
             {"mr_run_make_rows", run_make_rows},
             {"mr_run_count", run_count},
             {"mr_run_update", run_update},
             {"mr_run_step", run_step},
             {"mr_run_step", run_step_codes},
             {"mr_run_step", run_step_waiting},
             {"mr_run_step", run_step_codes_waiting},
             {"mr_run_step", run_step_admitted},
             {"mr_run_set_rate", run_set_rate},
             {"mr_run_row_gradient", run_row_gradient},
             {"mr_run_predict", run_predict},
             {"mr_run_predict", run_predict_codes},
             {"mr_run_profile", run_profile},
             {"mr_run_profile_line", run_profile_line},
             {"mr_run_save", run_save},
             {"mr_run_save", run_save_waiting},
             {"mr_run_restore", run_restore},
             {"mr_checkpoint_remove", checkpoint_remove},
             {"mr_predictor_open", predictor_open},
             {"mr_predictor_new", predictor_new},
             {"mr_predictor_run", predictor_run},
             {"mr_scratch_new", scratch_new},
             {"mr_predictor_prepare", predictor_prepare},
             {"mr_predictor_score", predictor_score},
             {"mr_optimizer_describe", optimizer_describe},
             {"mr_optimizer_option_describe", optimizer_option_describe},
             {"mr_metric_auc", metric_auc},
             {"mr_metric_auc", metric_auc_weighted},
             {"mr_metric_compare", metric_compare_weighted},
             {"mr_metric_gauc", metric_gauc},
             {"mr_metric_compare", metric_compare},
             {"mr_metric_logloss", metric_logloss},
             {"mr_metric_reliability", metric_reliability},
             {"mr_keys_number", keys_number},
             {"mr_keys_texts", keys_texts},
             {"mr_dataset_texts", dataset_texts},
             {"mr_sink_open", sink_open},
             {"mr_sink_write", sink_write},
             {"mr_sink_close", sink_close},
             {"mr_block_new", block_new},
             {"mr_peek_open", peek_open},
             {"mr_peek_read", peek_read},
             {"mr_peek_skip", peek_skip},
             {"mr_file_sync", file_sync},
             {"mr_folder_names", folder_names},
             {"mr_process_start", process_start},
             {"mr_process_wait", process_wait},
             {"mr_process_stop", process_stop},
             {"mr_lock_take", lock_take}};
enum { CALLS = sizeof calls / sizeof *calls };

/* Functions that return a status are declared as "int mr_...(" at the start of a line. */
static void check_header(void) {
  FILE *header = fopen(MR_HEADER, "r");
  char line[512], name[128];
  int found = 0;
  NEED(header);
  while (fgets(line, sizeof line, header)) {
    if (strncmp(line, "int ", 4) != 0 || sscanf(line, "int %127[a-z_0-9](", name) != 1) continue;
    int known = 0;
    for (int i = 0; i < CALLS; i++) known |= strcmp(calls[i].name, name) == 0;
    CHECK(known, "%s is not in the table of calls", name);
    found++;
  }
  fclose(header);
  CHECK(found >= 50, "only %d functions were found", found);
}

static int names_in_folder(void) {
  DIR *list = opendir(folder);
  int n = 0;
  NEED(list);
  while (readdir(list)) n++;
  closedir(list);
  return n;
}

static void sweep(int index) {
  enum { MOST = 5000 };
  const char *name = calls[index].name;
  int64_t live = mr_alloc_live(), n = 0;
  int files = names_in_folder(), status = MR_EMEMORY;
  for (; status != MR_OK && n < MOST; n++) {
    fail_at = n;
    status = calls[index].call();
    CHECK(status == MR_OK || status == MR_EMEMORY, "%s, allocation %lld: status %d: %s", name,
          (long long)n, status, mr_last_error());
    const char *text = strstr(mr_last_error(), "memory ran out");
    CHECK(status == MR_OK || (text && strcmp(text, "memory ran out") == 0),
          "%s, allocation %lld: %s", name, (long long)n, mr_last_error());
    CHECK(mr_alloc_live() == live, "%s, allocation %lld: %lld blocks leak", name, (long long)n,
          (long long)(mr_alloc_live() - live));
    CHECK(names_in_folder() == files, "%s, allocation %lld: a file is left", name, (long long)n);
  }
  CHECK(status == MR_OK, "%s fails without end", name);
  printf("%-30s %lld allocations\n", name, (long long)(n - 1));
}

/* ---- what the calls work on ---- */

static void write_texts(void) {
  char text[N * 60 + 40];
  size_t n = (size_t)snprintf(text, sizeof text, "ad,tags,price,click,past,gaps\n");
  for (int i = 0; i < N; i++)
    n += (size_t)snprintf(text + n, sizeof text - n, "a%d,t%d:1|t%d:-2,%d.5,%d,a%d w-%d,%d %d\n",
                          i % 9, i % 5, i % 3, i, i % 2, i % 7, i % 4, i, i);
  mr_sink *sink;
  SOUND(mr_sink_open(&sink, text_path));
  SOUND(mr_sink_write(sink, text, n));
  SOUND(mr_sink_close(sink));
  SOUND(mr_sink_open(&sink, zstd_path));
  SOUND(mr_sink_write(sink, text, n));
  SOUND(mr_sink_close(sink));
  gzFile gzip = gzopen(gzip_path, "wb");
  NEED(gzip && gzwrite(gzip, text, (unsigned)n) == (int)n && gzclose(gzip) == Z_OK);
}

static void place(char path[128], const char *name) { snprintf(path, 128, "%s/%s", folder, name); }

static void begin(void) {
  snprintf(folder, sizeof folder, "/tmp/moonrank-calls-XXXXXX");
  NEED(mkdtemp(folder));
  place(text_path, "text.csv"), place(gzip_path, "text.gz"), place(zstd_path, "text.zst");
  place(cache_path, "cache"), place(made_path, "made"), place(model_path, "model.mr");
  place(checkpoint, "checkpoint"), place(spare, "spare");
  write_texts();
  schema = new_schema();
  graph = new_graph(NODES);
  SOUND(mr_graph_add_task(graph, "ctr", LOGIT, PROBABILITY));
  model = new_model();
  SOUND(mr_pool_new(&pool, 2));
  SOUND(mr_batch_new(&batch, schema, N, NULL));
  SOUND(set_bags(batch));
  for (int i = 0; i < N; i++) {
    mr_batch_keys(batch, 0)[i] = (uint64_t)(i % 9) << 59;
    mr_batch_floats(batch, 3)[i] = labels_of[i] = (float)(i % 2);
    scores_of[i] = (float)(i % 7), weights_of[i] = (float)(i % 3), groups_of[i] = (uint64_t)(i % 5);
  }
  mr_text_format format = {.delimiter = ','};
  const char *path = text_path;
  SOUND(mr_dataset_build(schema, &format, &path, 1, cache_path, 1, NULL));
  SOUND(mr_dataset_open(&dataset, schema, cache_path));
  mr_loader_options options = {.batch = N}; /* all: its thread has nothing more to do then */
  SOUND(mr_loader_new(&loader_of_coded, dataset, &options));
  SOUND(mr_loader_next(loader_of_coded, &coded));
  NEED(mr_batch_rows(coded, MR_SAMPLE) == mr_dataset_samples(dataset));
  mr_run *run;
  SOUND(mr_run_new(&run, model, pool, &run_options));
  SOUND(mr_run_step(run, batch, &loss));
  SOUND(mr_run_save(run, checkpoint, "state"));
  mr_run_free(run);
  SOUND(mr_model_save(model, model_path, "about"));
  SOUND(mr_predictor_open(&predictor, model_path));
}

static void end(void) {
  mr_predictor_close(predictor);
  mr_loader_free(loader_of_coded);
  mr_dataset_close(dataset);
  mr_batch_free(batch);
  mr_pool_free(pool);
  mr_model_free(model);
  mr_graph_free(graph);
  mr_schema_free(schema);
  SOUND(mr_checkpoint_remove(checkpoint));
  snprintf(spare, sizeof spare, "%.100s.lock", cache_path);
  const char *const files[] = {text_path, gzip_path, zstd_path, cache_path, spare, model_path};
  for (int i = 0; i < 6; i++) unlink(files[i]);
  CHECK(rmdir(folder) == 0, "something is left in %s", folder);
}

int main(void) {
  int64_t live = mr_alloc_live();
  check_header();
  begin();
  for (int i = 0; i < CALLS; i++) sweep(i);
  end();
  CHECK(mr_alloc_live() == live, "%lld blocks leak", (long long)(mr_alloc_live() - live));
  return check_end();
}
