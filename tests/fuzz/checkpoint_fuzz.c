/* Checkpoints (io/checkpoint.c): a run takes any bytes in place of one of the three files, or
 * refuses them; a refusal leaves a run that can be restored from a sound one.
 *
 * Input: a byte that chooses the file, then its bytes. Of the files of tensors the sums are made
 * true, and the manifest is made to fit; of a manifest that still ends with a sum, that one. */
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "fuzz.h"
#include "tensors.h"

enum { DENSE, TABLES, MANIFEST, FILES };
static const char *const names[FILES] = {"dense.safetensors", "tables.safetensors",
                                         "manifest.json"};

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
  if (size < 2 || data[0] % FILES == MANIFEST) return mutate_tensors(data, size, most, 0);
  return 1 + mutate_tensors(data + 1, size - 1, most - 1, seed);
}

/* ---- the run ---- */

struct job {
  mr_schema *schema;
  mr_graph *graph;
  mr_model *model;
  mr_run *run;
  mr_batch *batch;
};

static int add(mr_graph *graph, const char *op, const int32_t *inputs, int n, mr_option option) {
  mr_option options[] = {option, {.name = "dim", .number = 2}};
  int n_options = !option.name ? 0 : strcmp(op, "lookup") == 0 ? 2 : 1;
  int32_t node;
  FUZZ_CHECK(mr_graph_add(graph, op, op, inputs, n, options, n_options, &node) == MR_OK, "%s",
             mr_last_error());
  return node;
}

static void build_graph(mr_graph *graph) {
  mr_option none = {0};
  int x = add(graph, "lookup", NULL, 0, (mr_option){.name = "column", .text = "ad"});
  x = add(graph, "dense", &(int32_t){x}, 1, (mr_option){.name = "out", .number = 1});
  x = add(graph, "batch_norm", &(int32_t){x}, 1, none);
  int click = add(graph, "column", NULL, 0, (mr_option){.name = "column", .text = "click"});
  add(graph, "logloss", (int32_t[]){x, click}, 2, none);
}

static struct job new_job(void) {
  struct job job;
  mr_column_spec ad = {.name = "ad", .type = MR_ID, .domain = MR_SAMPLE};
  mr_column_spec click = {.name = "click", .type = MR_LABEL, .domain = MR_SAMPLE};
  mr_option rate = {.name = "lr", .number = 0.1};
  mr_optimizer_spec adam = {"adam", &rate, 1};
  mr_run_options options = {.batch = 4, .lanes = 1, .dense = adam, .tables = adam};
  int status = mr_schema_new(&job.schema);
  if (status == MR_OK) status = mr_schema_add_column(job.schema, &ad);
  if (status == MR_OK) status = mr_schema_add_column(job.schema, &click);
  if (status == MR_OK) status = mr_graph_new(&job.graph, job.schema);
  if (status == MR_OK) build_graph(job.graph);
  if (status == MR_OK) status = mr_model_new(&job.model, job.graph, 1);
  if (status == MR_OK) status = mr_run_new(&job.run, job.model, fuzz_pool(1), &options);
  if (status == MR_OK) status = mr_batch_new(&job.batch, job.schema, 4, NULL);
  FUZZ_CHECK(status == MR_OK, "%s", mr_last_error());
  for (int i = 0; i < 4; i++) mr_batch_keys(job.batch, 0)[i] = (uint64_t)i << 60;
  mr_batch_floats(job.batch, 1)[1] = 1;
  return job;
}

static void free_job(struct job *job) {
  mr_batch_free(job->batch);
  mr_run_free(job->run);
  mr_model_free(job->model);
  mr_graph_free(job->graph);
  mr_schema_free(job->schema);
}

static void step(struct job *job) {
  double loss;
  int status = mr_run_step(job->run, job->batch, &loss);
  if (status != MR_OK) fuzz_check_error(status); /* numbers that are not finite, say */
}

/* ---- the files ---- */

static const char *file_path(const char *folder, int file) {
  char name[64];
  snprintf(name, sizeof name, "%s/%s", folder, names[file]);
  return fuzz_path(name);
}

static void copy_file(int file) {
  size_t size;
  char *bytes = fuzz_read(file_path("sound", file), &size);
  char name[64];
  snprintf(name, sizeof name, "fuzzed/%s", names[file]);
  fuzz_write(name, bytes, size);
  free(bytes);
}

/* The end of a manifest: the sum of what is before it. */
enum { END_BYTES = 13 + 32 + 3 };
static const char end_begins[] = ",\"xxh3_128\":\"";

static void write_sum(char *to, const void *bytes, size_t size) {
  XXH128_hash_t sum = XXH3_128bits(bytes, size);
  char text[33];
  snprintf(text, sizeof text, "%016llx%016llx", (unsigned long long)sum.high64,
           (unsigned long long)sum.low64);
  memcpy(to, text, 32);
}

static void sign_manifest(char *text, size_t size) {
  size_t n = strlen(end_begins);
  if (size < END_BYTES || memcmp(text + size - END_BYTES, end_begins, n) != 0) return;
  write_sum(text + size - END_BYTES + n, text, size - END_BYTES);
}

/* The sound manifest with the sizes and sums of the files that are there now. */
static void write_manifest(void) {
  size_t n, size;
  char *sound = fuzz_read(file_path("sound", MANIFEST), &n);
  char text[2048];
  int used = snprintf(text, sizeof text, "{\"files\":[");
  for (int i = DENSE; i <= TABLES; i++) {
    char sum[33] = "";
    char *bytes = fuzz_read(file_path("fuzzed", i), &size);
    write_sum(sum, bytes, size);
    used += snprintf(text + used, sizeof text - (size_t)used,
                     "%s{\"name\":\"%s\",\"size\":%zu,\"xxh3_128\":\"%s\"}", i ? "," : "",
                     names[i], size, sum);
    free(bytes);
  }
  const char *rest = memchr(sound, ']', n);
  FUZZ_CHECK(rest, "the manifest has no list of files");
  size_t left = n - (size_t)(rest - sound);
  FUZZ_CHECK((size_t)used + left <= sizeof text, "the manifest is too long");
  memcpy(text + used, rest, left);
  sign_manifest(text, (size_t)used + left);
  fuzz_write("fuzzed/manifest.json", text, (size_t)used + left);
  free(sound);
}

static void write_files(int file, const uint8_t *data, size_t size) {
  uint8_t *copy = malloc(size + 1);
  char name[64];
  if (size) memcpy(copy, data, size);
  for (int i = 0; i < FILES; i++) copy_file(i);
  if (file == MANIFEST)
    sign_manifest((char *)copy, size);
  else
    sign_tensors(copy, size);
  snprintf(name, sizeof name, "fuzzed/%s", names[file]);
  fuzz_write(name, copy, size);
  if (file != MANIFEST) write_manifest();
  free(copy);
}

/* ---- the target ---- */

static void restore(struct job *job, const char *folder, int must) {
  char *state;
  int status = mr_run_restore(job->run, folder, &state);
  FUZZ_CHECK(status == MR_OK || !must, "%s", mr_last_error());
  if (status != MR_OK) {
    FUZZ_CHECK(!state, "a state in spite of the failure");
    fuzz_check_error(status);
  }
  mr_text_free(state);
}

/* The sound files must still be taken after they were signed here: else nothing would be read. */
static void save_sound(void) {
  struct job job = new_job();
  step(&job);
  FUZZ_CHECK(mr_run_save(job.run, fuzz_path("sound"), "state") == MR_OK, "%s", mr_last_error());
  FUZZ_CHECK(mkdir(fuzz_path("fuzzed"), 0777) == 0, "no folder");
  for (int i = 0; i < FILES; i++) {
    size_t size;
    char *bytes = fuzz_read(file_path("sound", i), &size);
    write_files(i, (const uint8_t *)bytes, size);
    restore(&job, fuzz_path("fuzzed"), 1);
    free(bytes);
  }
  free_job(&job);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct fuzz_input input = {data, size};
  int file = (int)(fuzz_byte(&input) % FILES);
  fuzz_pool(1);
  if (access(fuzz_path("sound"), F_OK) != 0) save_sound();
  int64_t live = mr_alloc_live();
  write_files(file, input.at, input.size);
  struct job job = new_job();
  restore(&job, fuzz_path("fuzzed"), 0);
  step(&job);
  restore(&job, fuzz_path("sound"), 1);
  step(&job);
  free_job(&job);
  FUZZ_CHECK(mr_alloc_live() == live, "%lld blocks are left", (long long)(mr_alloc_live() - live));
  return 0;
}
