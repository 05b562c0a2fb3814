/* The model file (io/model_file.c): any bytes, as they are and with true sums, are refused or make
 * a model, which predicts, and whose file is canonical. Nothing may need memory that the file does
 * not account for. What can be mapped can be loaded, and a predictor of it scores. */
#include "fuzz.h"
#include "tensors.h"
#include "use_model.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
  return mutate_tensors(data, size, most, seed);
}

/* What loads is saved, loads again, and saved again is the same bytes. */
static void check_canonical(const mr_model *model, const char *about) {
  const char *first = fuzz_path("saved"), *second = fuzz_path("saved-again");
  int status = mr_model_save(model, first, about);
  if (status != MR_OK) {
    fuzz_check_error(status);
    return;
  }
  mr_graph *graph;
  mr_model *copy;
  char *text;
  FUZZ_CHECK(mr_graph_open(&graph, first, &text) == MR_OK, "%s", mr_last_error());
  FUZZ_CHECK(strcmp(about, text) == 0, "the text became \"%s\"", text);
  FUZZ_CHECK(mr_model_new(&copy, graph, 2) == MR_OK, "%s", mr_last_error());
  FUZZ_CHECK(mr_model_load(copy, first) == MR_OK, "%s", mr_last_error());
  FUZZ_CHECK(mr_model_save(copy, second, text) == MR_OK, "%s", mr_last_error());
  fuzz_check_same_files(first, second);
  mr_model_free(copy);
  mr_graph_free(graph);
  mr_text_free(text);
}

/* 1 when the file opens for predicting; then candidates without any value have a score. */
static int map_file(const char *path) {
  enum { CANDIDATES = 3 };
  mr_predictor *predictor;
  mr_scratch *scratch;
  int status = mr_predictor_open(&predictor, path);
  if (status != MR_OK) {
    fuzz_check_error(status);
    return 0;
  }
  size_t tasks = (size_t)mr_predictor_tasks(predictor);
  float *out = malloc(tasks * CANDIDATES * sizeof *out);
  status = mr_scratch_new(&scratch, predictor);
  if (status == MR_OK) status = mr_predictor_score(scratch, CANDIDATES, NULL, 0, out);
  if (status != MR_OK) fuzz_check_error(status);
  for (size_t i = 0; status == MR_OK && i < tasks * (CANDIDATES - 1); i++)
    FUZZ_CHECK(memcmp(&out[i], &out[i + tasks], sizeof *out) == 0 || out[i] != out[i],
               "two candidates alike score %g and %g", (double)out[i], (double)out[i + tasks]);
  mr_scratch_free(scratch);
  mr_predictor_close(predictor);
  free(out);
  return 1;
}

/* 1 when a graph came out of it. */
static int use_file(const char *path) {
  mr_graph *graph;
  mr_model *model;
  char *about;
  int status = mr_graph_open(&graph, path, &about);
  if (status != MR_OK) {
    FUZZ_CHECK(!graph && !about, "a graph in spite of the failure");
    fuzz_check_error(status);
    return 0;
  }
  FUZZ_CHECK(mr_model_new(&model, graph, 1) == MR_OK, "%s", mr_last_error());
  status = mr_model_load(model, path);
  if (map_file(path)) FUZZ_CHECK(status == MR_OK, "it is mapped but not loaded");
  if (status == MR_OK) {
    check_canonical(model, about);
    use_model(model, 1 << 18);
  } else {
    fuzz_check_error(status);
  }
  mr_model_free(model);
  mr_graph_free(graph);
  mr_text_free(about);
  return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_pool(1), fuzz_pool(2);
  int64_t live = mr_alloc_live();
  if (!use_file(fuzz_write("model", data, size))) {
    uint8_t *copy = malloc(size + 1);
    memcpy(copy, data, size);
    sign_tensors(copy, size);
    use_file(fuzz_write("model", copy, size));
    free(copy);
  }
  FUZZ_CHECK(mr_alloc_live() == live, "%lld blocks are left", (long long)(mr_alloc_live() - live));
  return 0;
}
