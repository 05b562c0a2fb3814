/* What is fitted to numbers is in the model file: rows have the same bits in the cache of the
 * training data, in a file that is read by a schema fitted from the model, and request by request
 * from texts and from floats; and those of one who works out mean, deviation and bounds himself.
 * Then what is refused: data that nothing was fitted to, and data that is fitted otherwise. */
#include "moonrank.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "scoring.h"

enum { ROWS = 400, IN_REQUEST = 4, TEXT = 16, BUCKETS = 5 };

static const mr_column_spec columns[] = {
    {.name = "age",
     .type = MR_NUMBER,
     .domain = MR_REQUEST,
     .when_missing = MR_MISSING_MEAN,
     .normalize = 1},
    {.name = "price",
     .type = MR_BUCKET,
     .domain = MR_SAMPLE,
     .when_missing = MR_MISSING_OWN,
     .clips = 1,
     .least = 0,
     .most = 60,
     .transform = MR_LOG1P,
     .buckets = BUCKETS},
    {.name = "click", .type = MR_LABEL, .domain = MR_SAMPLE},
    {.name = "rid", .type = MR_REQUEST_KEY, .domain = MR_REQUEST}};
enum { AGE, PRICE, CLICK, RID, COLUMNS };

static char ages[ROWS][TEXT], prices[ROWS][TEXT];
static float bounds[BUCKETS]; /* [0] is not used */

static void make_data(void) {
  for (int r = 0; r < ROWS; r++) {
    if (r % IN_REQUEST)
      memcpy(ages[r], ages[r - 1], TEXT);
    else
      snprintf(ages[r], TEXT, "%u.5", draw(80));
    if (r % (5 * IN_REQUEST) < IN_REQUEST) *ages[r] = 0;
    snprintf(prices[r], TEXT, "%u.%u", draw(90), draw(100));
    if (draw(10) == 0) *prices[r] = 0;
  }
}

static void write_text(int clicks) {
  FILE *file = fopen(text_path, "w");
  NEED(file);
  fprintf(file, "rid,age,price%s\n", clicks ? ",click" : "");
  for (int r = 0; r < ROWS; r++) {
    fprintf(file, "%d,%s,%s", r / IN_REQUEST, ages[r], prices[r]);
    fprintf(file, clicks ? ",%d\n" : "\n", r % 2);
  }
  NEED(fclose(file) == 0);
}

/* ---- by hand ---- */

static int by_value(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

static float price_of(const char *text) {
  return (float)log1p(fmin((double)strtof(text, NULL), 60));
}

static void find_bounds(void) {
  static float sorted[ROWS];
  int n = 0;
  for (int r = 0; r < ROWS; r++)
    if (*prices[r]) sorted[n++] = price_of(prices[r]);
  qsort(sorted, (size_t)n, sizeof *sorted, by_value);
  for (int b = 1; b < BUCKETS; b++) bounds[b] = sorted[n * b / BUCKETS];
}

static void bucket_text(int row, char text[TEXT]) {
  int bucket = 0;
  while (bucket + 1 < BUCKETS && price_of(prices[row]) >= bounds[bucket + 1]) bucket++;
  snprintf(text, TEXT, *prices[row] ? "%d" : "missing", bucket);
}

/* ---- the model ---- */

/* The mean and the deviation of the ages that are there, in two passes. */
static void fit_ages(double *mean, double *deviation) {
  double sum = 0, squares = 0;
  int n = 0;
  for (int r = 0; r < ROWS; r++)
    if (*ages[r]) sum += strtod(ages[r], NULL), n++;
  *mean = sum / n;
  for (int r = 0; r < ROWS; r++)
    if (*ages[r]) squares += pow(strtod(ages[r], NULL) - *mean, 2);
  *deviation = sqrt(squares / n);
}

static void check_row(const mr_schema *schema, mr_batch *batch, int r) {
  char text[TEXT];
  double mean, deviation;
  bucket_text(r, text);
  fit_ages(&mean, &deviation);
  uint64_t key = mr_schema_key(schema, PRICE, text, strlen(text));
  CHECK(mr_batch_keys(batch, PRICE)[r] == key, "row %d: %s is not bucket %s", r, prices[r], text);
  double age = *ages[r] ? (strtod(ages[r], NULL) - mean) / deviation : 0;
  float here = mr_batch_floats(batch, AGE)[r / IN_REQUEST];
  CHECK(fabs((double)here - age) < 1e-5, "row %d: age %g, expected %g", r, (double)here, age);
}

static void check_batch(const mr_schema *schema, mr_batch *batch) {
  for (int r = 0; r < ROWS; r++) check_row(schema, batch, r);
}

static int32_t add_inputs(mr_graph *graph) {
  int32_t x[] = {of_column(graph, "column", "age"), lookup(graph, "price", 4)};
  return add(graph, "concat", 2, x, 0, NULL);
}

/* ---- scores ---- */

static void score_requests(mr_predictor *predictor, int as_floats, float *out) {
  mr_scratch *scratch;
  NEED(mr_scratch_new(&scratch, predictor) == MR_OK);
  for (int r = 0; r < ROWS; r += IN_REQUEST) {
    const char *age = ages[r], *texts[IN_REQUEST];
    float years = *age ? strtof(age, NULL) : NAN, numbers[IN_REQUEST];
    for (int i = 0; i < IN_REQUEST; i++) {
      texts[i] = prices[r + i];
      numbers[i] = *texts[i] ? strtof(texts[i], NULL) : NAN;
    }
    mr_values request = {.column = AGE}, candidates = {.column = PRICE};
    if (as_floats)
      request.floats = &years, candidates.floats = numbers;
    else
      request.texts = &age, candidates.texts = texts;
    NEED(mr_predictor_prepare(scratch, &request, 1) == MR_OK);
    NEED(mr_predictor_score(scratch, IN_REQUEST, &candidates, 1, out + r) == MR_OK);
  }
  mr_scratch_free(scratch);
}

static void check_refused(mr_predictor *predictor) {
  const uint64_t key = 7;
  mr_scratch *scratch;
  NEED(mr_scratch_new(&scratch, predictor) == MR_OK);
  refused(scratch, &(mr_values){.column = PRICE, .keys = &key}, 1,
          "column \"price\" is a number, which is not given as keys");
  refused(scratch, &(mr_values){.column = PRICE, .texts = (const char *[]){"1", "cheap"}}, 1,
          "column \"price\", row 2: \"cheap\" is not a number");
  mr_scratch_free(scratch);

  mr_schema *schema = schema_of(columns, COLUMNS, 0);
  CHECK(mr_dataset_build(schema, &csv, text_paths, 1, cache_path, 0, NULL) == MR_EINVAL &&
            strcmp(mr_last_error(),
                   "column \"age\" is not fitted: build the training data first") == 0,
        "%s", mr_last_error());
  mr_schema *other = schema_of(columns, COLUMNS, 0);
  CHECK(mr_schema_fit(schema, other) == MR_EINVAL &&
            strcmp(mr_last_error(),
                   "column \"age\" is not fitted: build the training data first") == 0,
        "%s", mr_last_error());
  mr_schema_free(other);

  /* Fitted to half of the rows. */
  FILE *file = fopen(text_path, "w");
  NEED(file);
  fprintf(file, "rid,age,price\n1,3,4\n2,5,6\n");
  NEED(fclose(file) == 0);
  NEED(mr_dataset_build(schema, &csv, text_paths, 1, cache_path, 1, NULL) == MR_OK);
  mr_batch *batch;
  mr_run *run;
  mr_pool *pool;
  float logit, probability;
  NEED(mr_pool_new(&pool, 1) == MR_OK);
  NEED(mr_batch_new(&batch, schema, 1, NULL) == MR_OK);
  NEED(mr_predictor_run(&run, predictor, pool, 1) == MR_OK);
  CHECK(mr_run_predict(run, batch, (float *[]){&logit, &probability}) == MR_EINVAL &&
            strcmp(mr_last_error(),
                   "the data lacks column \"age\" as the model was trained on it") == 0,
        "%s", mr_last_error());
  mr_run_free(run);
  mr_batch_free(batch);
  mr_pool_free(pool);
  mr_schema_free(schema);
  unlink(cache_path);
}

int main(void) {
  const struct scoring test = {columns,    COLUMNS,     "floats",   ROWS,           ROWS / 2,
                               write_text, check_batch, add_inputs, score_requests, check_refused};
  make_data();
  find_bounds();
  return score_everywhere(&test);
}
