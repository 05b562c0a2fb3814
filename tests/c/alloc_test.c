/* Every allocation failing in turn, from the schema to a trained model and a checkpoint on disk and
 * back: a status and its text, no crash, nothing leaked. And once memory is there again the call
 * that failed can be made again: the end is the same as without the failure. Besides, blocks that
 * share pages. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/random.h"
#include "check.h"
#include "moonrank.h"

enum { REQUESTS = 24, COLUMNS = 6, STEPS = 2 };

static const mr_column_spec columns[COLUMNS] = {
    {.name = "ad", .type = MR_ID, .domain = MR_SAMPLE},
    {.name = "tags", .type = MR_IDS, .domain = MR_SAMPLE},
    {.name = "user", .type = MR_ID, .domain = MR_REQUEST},
    {.name = "last", .table = "ad", .type = MR_IDS, .domain = MR_REQUEST},
    {.name = "price", .type = MR_NUMBER, .domain = MR_SAMPLE},
    {.name = "click", .type = MR_LABEL, .domain = MR_SAMPLE}};

/* One node: its op, inputs and options; numbers count the nodes that were asked for. */
static const struct {
  const char *op, *name;
  int inputs[4], n_inputs;
  mr_option options[3];
  int n_options;
} nodes[] = {
    {"lookup", NULL, {0}, 0, {{"column", 0, "ad"}, {"dim", 4, NULL}}, 2},
    {"lookup", NULL, {0}, 0, {{"column", 0, "tags"}, {"dim", 3, NULL}}, 2},
    {"lookup", NULL, {0}, 0, {{"column", 0, "user"}, {"dim", 4, NULL}}, 2},
    {"lookup", NULL, {0}, 0, {{"column", 0, "last"}, {"dim", 4, NULL}}, 2},
    {"column", NULL, {0}, 0, {{"column", 0, "price"}}, 1},
    {"concat", NULL, {2, 3}, 2, {{0}}, 0},
    {"concat", NULL, {0, 1, 4, 5}, 4, {{0}}, 0},
    {"dense", "hidden", {6}, 1, {{"out", 8, NULL}}, 1},
    {"batch_norm", "norm", {7}, 1, {{0}}, 0},
    {"relu", NULL, {8}, 1, {{0}}, 0},
    {"dropout", NULL, {9}, 1, {{"rate", 0.25, NULL}}, 1},
    {"dense", "out", {10}, 1, {{"out", 1, NULL}}, 1},
    {"lookup", NULL, {0}, 0, {{"column", 0, "ad"}, {"dim", 1, NULL}, {"part", 0, "linear"}}, 3},
    {"add", NULL, {11, 12}, 2, {{0}}, 0},
    {"column", NULL, {0}, 0, {{"column", 0, "click"}}, 1},
    {"logloss", NULL, {13, 14}, 2, {{0}}, 0},
    {"sigmoid", NULL, {13}, 1, {{0}}, 0}};
enum { NODES = sizeof nodes / sizeof *nodes, PROBABILITY = NODES - 1 };

/* Everything that one story makes. */
struct story {
  mr_schema *schema;
  mr_graph *graph, *again;
  mr_model *model, *copy;
  mr_pool *pool;
  mr_batch *batches[STEPS];
  mr_run *run, *predict;
  int32_t node[NODES];
  int64_t samples;
  float *scores; /* [samples], of predicting after training */
  char *about;
};

static void free_story(struct story *s) {
  mr_run_free(s->run), mr_run_free(s->predict);
  mr_model_free(s->model), mr_model_free(s->copy);
  mr_graph_free(s->graph), mr_graph_free(s->again);
  for (int b = 0; b < STEPS; b++) mr_batch_free(s->batches[b]);
  mr_schema_free(s->schema);
  mr_pool_free(s->pool);
  mr_text_free(s->about);
  free(s->scores);
}

static int retries; /* 1: a call that ran out of memory is made again */

#define STEP(call)                                                                                 \
  do {                                                                                             \
    int step_status = (call);                                                                      \
    if (step_status == MR_EMEMORY && retries) {                                                    \
      mr_alloc_fail_after(-1);                                                                     \
      step_status = (call);                                                                        \
    }                                                                                              \
    if (step_status != MR_OK) return step_status;                                                  \
  } while (0)

static int build(struct story *s) {
  STEP(mr_schema_new(&s->schema));
  for (int c = 0; c < COLUMNS; c++) STEP(mr_schema_add_column(s->schema, &columns[c]));
  STEP(mr_graph_new(&s->graph, s->schema));
  for (int i = 0; i < NODES; i++) {
    int32_t inputs[4];
    for (int k = 0; k < nodes[i].n_inputs; k++) inputs[k] = s->node[nodes[i].inputs[k]];
    STEP(mr_graph_add(s->graph, nodes[i].op, nodes[i].name, inputs, nodes[i].n_inputs,
                      nodes[i].options, nodes[i].n_options, &s->node[i]));
  }
  STEP(mr_model_new(&s->model, s->graph, 7));
  return MR_OK;
}

static uint32_t draw(uint64_t stream, uint64_t i, uint32_t below) {
  return mr__random(4, MR__RANDOM_TEST, stream, i).v[0] % below;
}

static int fill(struct story *s, int b) {
  int32_t sizes[REQUESTS], offsets[REQUESTS * 4 + 1] = {0};
  uint64_t keys[REQUESTS * 4 * 3];
  for (int q = 0; q < REQUESTS; q++) sizes[q] = 1 + (int32_t)draw(1, (uint64_t)q, 4);
  STEP(mr_batch_new(&s->batches[b], s->schema, REQUESTS, sizes));
  mr_batch *batch = s->batches[b];
  for (int c = 0; c < COLUMNS; c++) {
    uint64_t stream = (uint64_t)(10 + c + b * COLUMNS);
    int64_t rows = mr_batch_rows(batch, columns[c].domain);
    s->samples = mr_batch_rows(batch, MR_SAMPLE);
    for (int64_t r = 0; r < rows; r++) {
      if (columns[c].type == MR_ID)
        mr_batch_keys(batch, c)[r] = draw(stream, (uint64_t)r, 30) * 0x9E3779B97F4A7C15u;
      else if (columns[c].type == MR_LABEL)
        mr_batch_floats(batch, c)[r] = (float)draw(stream, (uint64_t)r, 2);
      else if (columns[c].type == MR_NUMBER)
        mr_batch_floats(batch, c)[r] = (float)draw(stream, (uint64_t)r, 100) / 50.0f;
      offsets[r + 1] = offsets[r] + (int32_t)(r % 4);
      for (int32_t i = offsets[r]; i < offsets[r + 1]; i++)
        keys[i] = draw(stream, (uint64_t)i, 30) * 0x9E3779B97F4A7C15u;
    }
    if (columns[c].type == MR_IDS) STEP(mr_batch_set_bags(batch, c, offsets, keys));
  }
  return MR_OK;
}

static int train(struct story *s, const char *optimizer, int rows_all) {
  mr_run_options options = {
      .batch = 64, .seed = 3, .rows_all = rows_all, .table_l2 = 1e-3, .dense = {.name = optimizer}};
  double loss;
  STEP(mr_pool_new(&s->pool, 2));
  STEP(mr_run_new(&s->run, s->model, s->pool, &options));
  STEP(mr_run_profile(s->run, 1));
  for (int b = 0; b < STEPS; b++) {
    if (!s->batches[b]) MR_TRY(fill(s, b));
    STEP(mr_run_step(s->run, s->batches[b], &loss));
  }
  STEP(mr_run_new_predict(&s->predict, s->model, s->pool, &options, &s->node[PROBABILITY], 1));
  s->scores = calloc((size_t)s->samples, sizeof *s->scores);
  NEED(s->scores);
  STEP(mr_run_predict(s->predict, s->batches[STEPS - 1], &s->scores));
  return MR_OK;
}

static const char *optimizer = "adam";
static int rows_all;

static int build_and_train(struct story *s) {
  MR_TRY(build(s));
  return train(s, optimizer, rows_all);
}

static char path[256], checkpoint[256], folder[256];

/* To disk and back, into a model of a graph that the file itself describes. */
static int save_and_load(struct story *s) {
  STEP(mr_model_save(s->model, path, "about"));
  STEP(mr_graph_open(&s->again, path, &s->about));
  STEP(mr_model_new(&s->copy, s->again, 1));
  STEP(mr_model_load(s->copy, path));
  return MR_OK;
}

/* The training to disk and back. */
static int checkpoint_and_resume(struct story *s) {
  STEP(mr_run_save(s->run, checkpoint, "state"));
  STEP(mr_run_restore(s->run, checkpoint, &s->about));
  return MR_OK;
}

/* The bytes of the model as it is now. */
static char *model_bytes(const mr_model *model, size_t *size) {
  char other[sizeof path + 8];
  snprintf(other, sizeof other, "%s.check", path);
  NEED(mr_model_save(model, other, "about") == MR_OK);
  FILE *file = fopen(other, "rb");
  NEED(file && fseek(file, 0, SEEK_END) == 0);
  *size = (size_t)ftell(file);
  char *bytes = malloc(*size);
  rewind(file);
  NEED(bytes && fread(bytes, 1, *size, file) == *size);
  fclose(file);
  unlink(other);
  return bytes;
}

/* With the n-th allocation failing and all after it; 1 when there was none that late. */
static int fails(int64_t n) {
  int64_t live = mr_alloc_live();
  struct story s = {0};
  mr_alloc_fail_after(n);
  int status = build_and_train(&s);
  mr_alloc_fail_after(-1);
  if (status != MR_OK) {
    CHECK(status == MR_EMEMORY, "allocation %lld: status %d", (long long)n, status);
    CHECK(strcmp(mr_last_error(), "memory ran out") == 0, "allocation %lld: %s", (long long)n,
          mr_last_error());
  }
  free_story(&s);
  CHECK(mr_alloc_live() == live, "allocation %lld failed: %lld blocks leak", (long long)n,
        (long long)(mr_alloc_live() - live));
  return status == MR_OK;
}

static void check_retry(int64_t n, const struct story *wanted, const char *bytes, size_t size) {
  struct story s = {0};
  size_t got_size;
  mr_alloc_fail_after(n);
  int status = build_and_train(&s);
  mr_alloc_fail_after(-1);
  CHECK(status == MR_OK, "allocation %lld failed once, again status %d: %s", (long long)n, status,
        mr_last_error());
  if (status == MR_OK) {
    char *got = model_bytes(s.model, &got_size);
    CHECK(got_size == size && memcmp(got, bytes, size) == 0,
          "allocation %lld failed once: another model", (long long)n);
    CHECK(memcmp(s.scores, wanted->scores, (size_t)s.samples * sizeof(float)) == 0,
          "allocation %lld failed once: other scores", (long long)n);
    free(got);
  }
  free_story(&s);
}

static void check_training(const char *with, int all) {
  int64_t n = 0;
  optimizer = with, rows_all = all, retries = 0;
  while (!fails(n)) n++;
  printf("%s%s: %lld allocations\n", with, all ? ", all rows" : "", (long long)n);
  struct story wanted = {0};
  size_t size;
  NEED(build_and_train(&wanted) == MR_OK);
  char *bytes = model_bytes(wanted.model, &size);
  retries = 1;
  for (int64_t i = 0; i < n; i++) check_retry(i, &wanted, bytes, size);
  free(bytes);
  free_story(&wanted);
}

/* What a call on a trained model has left, all of it or, where an allocation failed, a part. */
static void end_files(struct story *s, int complete, const char *bytes, size_t size) {
  size_t copy_size;
  if (complete) {
    char *copy = model_bytes(s->copy, &copy_size);
    CHECK(copy_size == size && memcmp(copy, bytes, size) == 0, "the copy is another model");
    free(copy);
  }
  mr_model_free(s->copy), mr_graph_free(s->again);
  s->copy = NULL, s->again = NULL;
}

static void end_checkpoint(struct story *s, int complete, const char *bytes, size_t size) {
  (void)bytes, (void)size;
  CHECK(!complete || strcmp(s->about, "state") == 0, "the state is \"%s\"", s->about);
  CHECK(mr_checkpoint_remove(checkpoint) == MR_OK, "%s", mr_last_error());
}

/* Each allocation of a call on a trained model failing in turn: the model stays as it is. */
static void check_call(int (*call)(struct story *),
                       void (*end)(struct story *, int, const char *, size_t)) {
  struct story s = {0};
  size_t size, size_now;
  retries = 0;
  NEED(build_and_train(&s) == MR_OK);
  char *bytes = model_bytes(s.model, &size);
  int64_t live = mr_alloc_live();
  for (int64_t n = 0, complete = 0; !complete; n++) {
    mr_alloc_fail_after(n);
    int status = call(&s);
    mr_alloc_fail_after(-1);
    complete = status == MR_OK;
    CHECK(complete || status == MR_EMEMORY, "allocation %lld: status %d: %s", (long long)n, status,
          mr_last_error());
    end(&s, (int)complete, bytes, size);
    mr_text_free(s.about);
    s.about = NULL;
    CHECK(mr_alloc_live() == live, "allocation %lld failed: %lld blocks leak", (long long)n,
          (long long)(mr_alloc_live() - live));
  }
  char *now = model_bytes(s.model, &size_now);
  CHECK(size_now == size && memcmp(now, bytes, size) == 0, "the model is another one");
  free(now), free(bytes);
  free_story(&s);
}

/* Blocks of all sizes, taken and given back in any order: zeroed when they come, and nobody writes
 * to a block but its owner. */
static void check_blocks(void) {
  enum { BLOCKS = 40, TURNS = 2000 };
  struct {
    unsigned char *at;
    size_t size;
    unsigned char filled_with;
  } blocks[BLOCKS] = {{0}};
  int64_t live = mr_alloc_live();
  for (uint64_t turn = 0; turn < TURNS + BLOCKS; turn++) {
    struct mr__random4 words = mr__random(7, MR__RANDOM_TEST, 0, turn);
    size_t i = turn < TURNS ? words.v[0] % BLOCKS : turn - TURNS, wrong = 0;
    for (size_t b = 0; blocks[i].at && b < blocks[i].size; b++)
      wrong += blocks[i].at[b] != blocks[i].filled_with;
    CHECK(wrong == 0, "%zu of %zu bytes are not what was written", wrong, blocks[i].size);
    mr__free_block(blocks[i].at, blocks[i].size);
    blocks[i].at = NULL;
    if (turn >= TURNS) continue;
    /* Of most orders of magnitude, and now and then about the size of a huge page. */
    size_t most = words.v[1] % 16 ? (size_t)1 << words.v[1] % 18 : MR__HUGE_PAGE + 4096;
    blocks[i].size = 1 + words.v[2] % most;
    blocks[i].filled_with = (unsigned char)(1 + words.v[3] % 255);
    NEED(blocks[i].at = mr__calloc_block(blocks[i].size));
    CHECK((uintptr_t)blocks[i].at % 16 == 0, "a block begins at %p", (void *)blocks[i].at);
    for (size_t b = 0; b < blocks[i].size; b++) wrong += blocks[i].at[b] != 0;
    CHECK(wrong == 0, "%zu of %zu bytes are not zero", wrong, blocks[i].size);
    memset(blocks[i].at, blocks[i].filled_with, blocks[i].size);
  }
  CHECK(mr_alloc_live() == live, "%lld blocks leak", (long long)(mr_alloc_live() - live));
  mr_alloc_fail_after(0);
  CHECK(!mr__calloc_block(64), "a planned failure did not happen");
  mr_alloc_fail_after(-1);
}

/* Every page of a block that was populated is there, what was written stays, the rest is zero. */
static void check_populated(void) {
#ifdef MADV_POPULATE_WRITE
  enum { PAGE = 4096, PAGES = 700, SIZE = PAGES * PAGE }; /* one huge page and small ones */
  unsigned char there[PAGES], *block;
  size_t n_before = 0, n = 0, wrong = 0;
  NEED(block = mr__calloc_block(SIZE));
  block[SIZE - 1] = 7;
  NEED(mincore(block, SIZE, there) == 0);
  for (size_t i = 0; i < PAGES; i++) n_before += there[i] & 1;
  CHECK(n_before < PAGES, "all pages of a block are there before it is used");
  if (madvise(block, PAGE, MADV_POPULATE_WRITE) == 0) { /* a Linux that has it */
    mr__populate(block + 1, SIZE - 1);
    NEED(mincore(block, SIZE, there) == 0);
    for (size_t i = 0; i < PAGES; i++) n += there[i] & 1;
    CHECK(n == PAGES, "%zu of %d pages are there", n, PAGES);
  }
  for (size_t b = 0; b < SIZE; b++) wrong += block[b] != (b == SIZE - 1 ? 7 : 0);
  CHECK(wrong == 0, "%zu bytes have changed", wrong);
  mr__free_block(block, SIZE);
#endif
}

int main(void) {
  snprintf(folder, sizeof folder, "/tmp/moonrank-alloc-XXXXXX");
  NEED(mkdtemp(folder));
  snprintf(path, sizeof path, "%.200s/model.mr", folder);
  snprintf(checkpoint, sizeof checkpoint, "%.200s/checkpoint", folder);
  int64_t live = mr_alloc_live();
  check_blocks();
  check_populated();
  check_training("adam", 0);
  check_training("adagrad", 1);
  check_call(save_and_load, end_files);
  check_call(checkpoint_and_resume, end_checkpoint);
  CHECK(mr_alloc_live() == live, "%lld blocks leak", (long long)(mr_alloc_live() - live));
  unlink(path);
  CHECK(rmdir(folder) == 0, "something is left in %s", folder);
  return check_end();
}
