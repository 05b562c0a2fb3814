/* What a server is asked (serve/predictor.c): values of any columns in any form are refused with
 * one line, or scored, and a candidate has the same score alone as among others. The model reads
 * every column that one can; arrays are as long as what is said of them, so that reading past their
 * ends is seen.
 *
 * Input: calls one after another, each a byte that chooses it (PREPARE; NUMBERED: with sizes of
 * texts), one for its rows and one for its values; of each value a byte for the column, one for the
 * form, and its content. */
#include "graph/model.h"
#include "read_dataset.h"

enum { PREPARE = 1, NUMBERED = 2 };
enum { MOST_CALLS = 8, MOST_ROWS = 6, MOST_VALUES = 7, MOST_INPUTS = 32 };
enum { TEXTS, KEYS, FLOATS, FORMS };

/* ---- the model ---- */

static int32_t add_node(mr_graph *graph, const char *op, const int32_t *inputs, int32_t n,
                        const mr_option *options, int32_t n_options) {
  int32_t node;
  FUZZ_CHECK(mr_graph_add(graph, op, NULL, inputs, n, options, n_options, &node) == MR_OK, "%s",
             mr_last_error());
  return node;
}

/* What a column says of a candidate. */
static int32_t read_column(mr_graph *graph, const struct mr__column *column) {
  int has_keys = column->type == MR_IDS || mr__column_is_id(column);
  const mr_option options[] = {{"column", 0, column->name}, {"dim", 2, NULL}};
  int32_t node = add_node(graph, has_keys ? "lookup" : "column", NULL, 0, options, 1 + has_keys);
  return column->sequence < 0 ? node : add_node(graph, "pool", &node, 1, NULL, 0);
}

static int is_read(const struct mr__column *column) {
  return column->type == MR_IDS || column->type == MR_NUMBER || column->type == MR_VECTOR ||
         mr__column_is_id(column);
}

static mr_graph *new_graph(const mr_schema *schema) {
  mr_graph *graph;
  int32_t inputs[MOST_INPUTS], n = 0;
  const mr_option one = {"out", 1, NULL};
  FUZZ_CHECK(mr_graph_new(&graph, schema) == MR_OK, "%s", mr_last_error());
  for (size_t c = 0; c < schema->n_columns; c++)
    if (is_read(&schema->columns[c])) inputs[n++] = read_column(graph, &schema->columns[c]);
  int32_t all = add_node(graph, "concat", inputs, n, NULL, 0);
  int32_t logit = add_node(graph, "dense", &all, 1, &one, 1);
  int32_t probability = add_node(graph, "sigmoid", &logit, 1, NULL, 0);
  FUZZ_CHECK(mr_graph_add_task(graph, "ctr", logit, probability) == MR_OK, "%s", mr_last_error());
  return graph;
}

static mr_predictor *new_predictor(void) {
  mr_predictor *predictor;
  mr_model *model;
  mr_schema *schema = new_schema(1, 1);
  fit_schema(schema);
  mr_graph *graph = new_graph(schema); /* kept for good, like the model */
  mr_schema_free(schema);
  FUZZ_CHECK(mr_model_new(&model, graph, 1) == MR_OK, "%s", mr_last_error());
  FUZZ_CHECK(mr_predictor_new(&predictor, model) == MR_OK, "%s", mr_last_error());
  return predictor;
}

/* ---- values ---- */

/* One column's, in memory of its own. */
struct given {
  mr_values values;
  char *texts[2 * MOST_ROWS]; /* of values, and of their weights */
  void *blocks[8];
};

static void *hold(struct given *given, size_t bytes) {
  int i = 0;
  while (given->blocks[i]) i++;
  given->blocks[i] = malloc(bytes ? bytes : 1);
  FUZZ_CHECK(given->blocks[i], "no memory");
  return given->blocks[i];
}

static void free_given(struct given *given) {
  for (size_t i = 0; i < sizeof given->blocks / sizeof *given->blocks; i++) free(given->blocks[i]);
  for (int i = 0; i < 2 * MOST_ROWS; i++) free(given->texts[i]);
}

static void take_weight_texts(struct fuzz_input *input, struct given *given, int64_t rows) {
  const char **texts = hold(given, (size_t)rows * sizeof *texts);
  for (int64_t r = 0; r < rows; r++) {
    size_t size = fuzz_byte(input) % 24, some = size < input->size ? size : input->size;
    char *text = given->texts[MOST_ROWS + r] = malloc(some + 1);
    FUZZ_CHECK(text, "no memory");
    memcpy(text, input->at, some);
    text[some] = 0;
    input->at += some, input->size -= some;
    texts[r] = some > 0 || size == 0 ? text : NULL;
  }
  given->values.weight_texts = texts;
}

static void take_texts(struct fuzz_input *input, struct given *given, int64_t rows, int numbered) {
  const char **texts = hold(given, (size_t)rows * sizeof *texts);
  int64_t *sizes = hold(given, (size_t)rows * sizeof *sizes);
  for (int64_t r = 0; r < rows; r++) {
    size_t size = fuzz_byte(input) % 24, some = size < input->size ? size : input->size;
    char *text = given->texts[r] = malloc(some + 1);
    FUZZ_CHECK(text, "no memory");
    memcpy(text, input->at, some);
    text[some] = 0;
    input->at += some, input->size -= some;
    /* None, or one without an end where sizes say it. */
    if (numbered && some > 0) given->texts[r] = text = realloc(text, some);
    texts[r] = some > 0 || size == 0 ? text : NULL;
    sizes[r] = (int64_t)some;
  }
  given->values.texts = texts;
  given->values.sizes = numbered ? sizes : NULL;
}

/* [n + 1] places that mostly ascend; *most of them. */
static const int32_t *take_places(struct fuzz_input *input, struct given *given, int64_t n,
                                  int64_t *most) {
  int32_t *places = hold(given, (size_t)(n + 1) * sizeof *places);
  *most = 0;
  for (int64_t i = 0; i <= n; i++) {
    unsigned byte = fuzz_byte(input);
    places[i] = (i > 0 ? places[i - 1] : 0) + (int32_t)(byte % 6) - (byte > 240 ? 7 : 0);
    if (places[i] > *most) *most = places[i];
  }
  return places;
}

static void take_keys(struct fuzz_input *input, struct given *given, int64_t n) {
  uint64_t *keys = hold(given, (size_t)n * sizeof *keys);
  for (int64_t i = 0; i < n; i++) keys[i] = (uint64_t)fuzz_byte(input) * 0x0101010101010101u;
  given->values.keys = keys;
}

static const float *take_floats(struct fuzz_input *input, struct given *given, int64_t n) {
  float *floats = hold(given, (size_t)n * sizeof *floats);
  for (int64_t i = 0; i < n; i++) {
    uint32_t bits = 0;
    unsigned byte = fuzz_byte(input);
    for (int k = 0; byte >= 250 && k < 4; k++) bits = bits << 8 | fuzz_byte(input);
    memcpy(&floats[i], &bits, sizeof bits);
    if (byte < 250) floats[i] = (float)byte / 8 - 10;
  }
  return floats;
}

static void take_value(struct fuzz_input *input, struct given *given, const mr_schema *schema,
                       int64_t rows, int numbered) {
  int column = (int)(fuzz_byte(input) % (schema->n_columns + 1)) - (fuzz_byte(input) == 255);
  unsigned form = fuzz_byte(input);
  const struct mr__column *spec = &schema->columns[column >= 0 ? column : 0];
  *given = (struct given){.values = {.column = column}};
  if ((size_t)column >= schema->n_columns) spec = &schema->columns[0]; /* it is refused */
  int64_t n = rows;
  if (form % FORMS == TEXTS || form > 250) take_texts(input, given, rows, numbered);
  if (given->values.texts && spec->weights && form < 240) take_weight_texts(input, given, rows);
  if (form % FORMS == TEXTS) return;
  if (spec->sequence >= 0 && form < 245)
    given->values.behaviours = take_places(input, given, n, &n);
  if (spec->sequence >= 0 && form >= 245) n = 0; /* it is refused */
  if (form % FORMS == KEYS && spec->type == MR_IDS && form < 240)
    given->values.offsets = take_places(input, given, n, &n);
  if (form % FORMS == KEYS)
    take_keys(input, given, n);
  else
    given->values.floats = take_floats(input, given, n * (spec->width > 0 ? spec->width : 1));
  if (form % FORMS == KEYS && spec->weighted && form < 240)
    given->values.weights = take_floats(input, given, n);
}

/* ---- calls ---- */

/* The same values from row `first` on. */
static mr_values rows_from(const mr_values *values, const mr_schema *schema, int64_t first) {
  mr_values from = *values;
  const struct mr__column *column = &schema->columns[values->column];
  int64_t width = column->width > 0 ? column->width : 1;
  if (from.texts) from.texts += first;
  if (from.sizes) from.sizes += first;
  if (from.weight_texts) from.weight_texts += first;
  if (from.behaviours) {
    from.behaviours += first;
    return from;
  }
  if (from.floats) from.floats += first * width;
  if (from.offsets)
    from.offsets += first;
  else if (from.keys)
    from.keys += first;
  return from;
}

/* Each candidate alone; `scores` are those of all, which were refused where it is NULL. */
static void score_alone(mr_scratch *scratch, const mr_schema *schema, int64_t rows,
                        const mr_values *values, int32_t n, const float *scores) {
  int refused = 0;
  for (int64_t r = 0; r < rows; r++) {
    mr_values one[MOST_VALUES];
    float *score = malloc(sizeof *score);
    for (int32_t i = 0; i < n; i++) one[i] = rows_from(&values[i], schema, r);
    int status = mr_predictor_score(scratch, 1, one, n, score);
    if (status != MR_OK) fuzz_check_error(status);
    refused |= status != MR_OK;
    if (status == MR_OK && scores)
      FUZZ_CHECK(memcmp(score, &scores[r], sizeof *score) == 0 ||
                     (*score != *score && scores[r] != scores[r]),
                 "candidate %lld scores %g alone, %g among %lld", (long long)r, (double)*score,
                 (double)scores[r], (long long)rows);
    free(score);
  }
  FUZZ_CHECK(refused == !scores, "%lld candidates are %s, but one alone is not", (long long)rows,
             scores ? "scored" : "refused");
}

/* A value of no column, or one too many, is a mistake however few rows there are. */
static int is_judged_by_row(const mr_values *values, int32_t n, const mr_schema *schema) {
  for (int32_t i = 0; i < n; i++)
    if (values[i].column < 0 || (size_t)values[i].column >= schema->n_columns) return 0;
  return 1;
}

static void score(mr_scratch *scratch, const mr_schema *schema, int64_t rows,
                  const mr_values *values, int32_t n) {
  float *scores = malloc((size_t)rows * sizeof *scores + 1);
  int status = mr_predictor_score(scratch, rows, values, n, scores);
  if (status != MR_OK) fuzz_check_error(status);
  if (rows > 0 && is_judged_by_row(values, n, schema))
    score_alone(scratch, schema, rows, values, n, status == MR_OK ? scores : NULL);
  free(scores);
}

static void call(struct fuzz_input *input, mr_scratch *scratch, const mr_schema *schema) {
  unsigned choices = fuzz_byte(input);
  int64_t rows = choices & PREPARE ? 1 : fuzz_byte(input) % (MOST_ROWS + 1);
  int32_t n = (int32_t)(fuzz_byte(input) % (MOST_VALUES + 1));
  struct given given[MOST_VALUES];
  mr_values values[MOST_VALUES] = {{0}};
  for (int32_t i = 0; i < n; i++) {
    take_value(input, &given[i], schema, rows, choices & NUMBERED);
    values[i] = given[i].values;
  }
  if (choices & PREPARE) {
    int status = mr_predictor_prepare(scratch, values, n);
    if (status != MR_OK) fuzz_check_error(status);
    if (status != MR_OK) /* it goes on with a request that says nothing */
      FUZZ_CHECK(mr_predictor_prepare(scratch, NULL, 0) == MR_OK, "%s", mr_last_error());
  } else {
    score(scratch, schema, rows, values, n);
  }
  for (int32_t i = 0; i < n; i++) free_given(&given[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static mr_predictor *predictor;
  if (!predictor) predictor = new_predictor();
  struct fuzz_input input = {data, size};
  const mr_schema *schema = mr_predictor_schema(predictor);
  int64_t live = mr_alloc_live();
  mr_scratch *scratch;
  FUZZ_CHECK(mr_scratch_new(&scratch, predictor) == MR_OK, "%s", mr_last_error());
  for (int i = 0; i < MOST_CALLS && input.size > 0; i++) call(&input, scratch, schema);
  mr_scratch_free(scratch);
  FUZZ_CHECK(mr_alloc_live() == live, "%lld blocks are left", (long long)(mr_alloc_live() - live));
  return 0;
}
