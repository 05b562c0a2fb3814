#include "read_dataset.h"

#include <math.h>
#include <string.h>

#include "data/fit.h"

static const mr_sequence_spec sequences[] = {
    {.name = "past", .domain = MR_REQUEST, .max = 4, .keep = MR_KEEP_LAST},
    {.name = "near", .domain = MR_SAMPLE, .separator = '|', .padding = "0"},
};

static const char *const kinds[] = {"x", "a1", "a2"}, *const bits[] = {"0", "1"},
                         *const crossed[] = {"user", "ad", "sure"},
                         *const bags[] = {"strong", "seen", "tags", "user"},
                         *const aged[] = {"level", "user"}, *const aged_bags[] = {"tags", "level"};

static const mr_column_spec specs[] = {
    {.name = "click", .type = MR_LABEL, .domain = MR_SAMPLE},
    {.name = "user", .type = MR_ID, .domain = MR_REQUEST},
    {.name = "age", .type = MR_NUMBER, .domain = MR_REQUEST, .missing = 0.5f},
    {.name = "seen", .table = "ad", .type = MR_IDS, .domain = MR_REQUEST, .separator = ' '},
    {.name = "ad", .type = MR_ID, .domain = MR_SAMPLE},
    {.name = "tags",
     .type = MR_IDS,
     .domain = MR_SAMPLE,
     .separator = '|',
     .max = 3,
     .padding = "0"},
    {.name = "price", .type = MR_NUMBER, .domain = MR_SAMPLE, .transform = MR_LOG1P},
    {.name = "who", .source = "user", .type = MR_GROUP, .domain = MR_SAMPLE},
    {.name = "picture",
     .source = "pic",
     .type = MR_VECTOR,
     .domain = MR_SAMPLE,
     .separator = ';',
     .width = 3},
    {.name = "past.ad", .source = "seen", .table = "ad", .type = MR_ID, .sequence = "past"},
    {.name = "past.gap", .source = "gaps", .type = MR_NUMBER, .sequence = "past", .missing = 2},
    {.name = "past.tags",
     .source = "seen",
     .table = "tags",
     .type = MR_IDS,
     .sequence = "past",
     .separator = '|',
     .max = 2},
    {.name = "past.picture",
     .source = "pics",
     .type = MR_VECTOR,
     .sequence = "past",
     .separator = ';',
     .width = 2},
    {.name = "near.tag", .source = "tags", .type = MR_ID, .domain = MR_SAMPLE, .sequence = "near"},
    {.name = "near.words",
     .source = "tags",
     .type = MR_IDS,
     .domain = MR_SAMPLE,
     .sequence = "near",
     .separator = ' '},
    {.name = "weight", .source = "click", .type = MR_WEIGHT, .domain = MR_SAMPLE},
    {.name = "place", .source = "user", .type = MR_SCENARIO, .domain = MR_SAMPLE},
    {.name = "time", .source = "click", .type = MR_TIME, .domain = MR_SAMPLE},
    {.name = "worth",
     .source = "price",
     .type = MR_NUMBER,
     .domain = MR_SAMPLE,
     .when_missing = MR_MISSING_MEAN,
     .clips = 1,
     .least = -10,
     .most = 1e30f,
     .normalize = 1},
    {.name = "level",
     .source = "age",
     .type = MR_BUCKET,
     .domain = MR_REQUEST,
     .when_missing = MR_MISSING_OWN,
     .buckets = 3},
    {.name = "kind",
     .source = "tags",
     .table = "tags",
     .type = MR_IDS,
     .domain = MR_SAMPLE,
     .separator = '|',
     .max = 3,
     .values = kinds,
     .n_values = 2,
     .unseen = MR_UNSEEN_ZERO},
    {.name = "past.kind",
     .source = "seen",
     .table = "kind",
     .type = MR_ID,
     .sequence = "past",
     .values = kinds + 1,
     .n_values = 2},
    {.name = "sure",
     .source = "click",
     .type = MR_ID,
     .domain = MR_SAMPLE,
     .values = bits,
     .n_values = 2,
     .unseen = MR_UNSEEN_ERROR},
    {.name = "both", .type = MR_ID, .domain = MR_SAMPLE, .cross = crossed, .n_cross = 3},
    {.name = "strong",
     .source = "pics",
     .table = "tags",
     .type = MR_IDS,
     .domain = MR_SAMPLE,
     .separator = ' ',
     .weights = "gaps"},
    {.name = "all",
     .table = "both",
     .type = MR_IDS,
     .domain = MR_SAMPLE,
     .max = 7,
     .cross = bags,
     .n_cross = 4},
    {.name = "aged", .type = MR_ID, .domain = MR_REQUEST, .cross = aged, .n_cross = 2},
    {.name = "tags.aged",
     .table = "aged",
     .type = MR_IDS,
     .domain = MR_SAMPLE,
     .max = 4,
     .cross = aged_bags,
     .n_cross = 2},
    {.name = "rid", .type = MR_REQUEST_KEY, .domain = MR_REQUEST},
};
enum { COLUMNS = sizeof specs / sizeof *specs };

mr_schema *new_schema(int keyed, int64_t min_count) {
  mr_schema *schema;
  FUZZ_CHECK(mr_schema_new(&schema) == MR_OK, "%s", mr_last_error());
  FUZZ_CHECK(mr_schema_add_table(schema, "user", min_count) == MR_OK, "%s", mr_last_error());
  for (size_t s = 0; s < sizeof sequences / sizeof *sequences; s++)
    FUZZ_CHECK(mr_schema_add_sequence(schema, &sequences[s]) == MR_OK, "%s", mr_last_error());
  for (int c = 0; c < (keyed ? COLUMNS : COLUMNS - 1); c++)
    FUZZ_CHECK(mr_schema_add_column(schema, &specs[c]) == MR_OK, "%s", mr_last_error());
  return schema;
}

void fit_schema(mr_schema *schema) {
  static const float bounds[] = {1, 2.5f};
  for (size_t c = 0; c < schema->n_columns; c++) {
    struct mr__column *column = &schema->columns[c];
    int n = column->buckets ? 2 : 0;
    if (mr__column_fits(column))
      FUZZ_CHECK(mr__column_set_fitted(column, 1, 2, bounds, n) == MR_OK, "%s", mr_last_error());
  }
}

uint64_t fuzz_sum; /* not static, so that the compiler cannot leave out the reading */

/* Only that it can be read. */
static void touch(const void *bytes, size_t size) {
  const unsigned char *p = bytes;
  for (size_t i = 0; i < size; i++) fuzz_sum += p[i];
}

static void check_sequence(mr_batch *batch, int s, int trusted) {
  int64_t owners = mr_batch_rows(batch, sequences[s].domain);
  int64_t rows = mr_batch_rows(batch, MR_DOMAINS + 2 * s);
  const int32_t *offsets = mr_batch_sequence(batch, s);
  FUZZ_CHECK(offsets[0] == 0 && offsets[owners] == rows, "%d behaviours of %lld", offsets[owners],
             (long long)rows);
  for (int64_t r = 0; r < owners; r++) {
    int32_t n = offsets[r + 1] - offsets[r];
    FUZZ_CHECK(n >= 0, "%s has %d behaviours", sequences[s].name, n);
    if (trusted && sequences[s].max) FUZZ_CHECK(n <= sequences[s].max, "%d behaviours", n);
  }
}

static int64_t rows_of_column(const mr_batch *batch, int c) {
  if (!specs[c].sequence) return mr_batch_rows(batch, specs[c].domain);
  return mr_batch_rows(batch, MR_DOMAINS + 2 * (strcmp(specs[c].sequence, "near") == 0));
}

static void check_column(mr_batch *batch, int c, int trusted) {
  int64_t rows = rows_of_column(batch, c);
  const float *floats = mr_batch_floats(batch, c);
  const uint64_t *keys = mr_batch_keys(batch, c);
  const int32_t *offsets = mr_batch_offsets(batch, c);
  int64_t width = specs[c].width ? specs[c].width : 1;
  for (int64_t r = 0; floats && !offsets && trusted && r < rows * width; r++) {
    FUZZ_CHECK(isfinite(floats[r]), "%s is %g", specs[c].name, (double)floats[r]);
    if (specs[c].type == MR_LABEL)
      FUZZ_CHECK(floats[r] == 0 || floats[r] == 1, "label %g", (double)floats[r]);
  }
  for (int64_t r = 0; offsets && r < rows; r++) {
    int32_t n = offsets[r + 1] - offsets[r];
    FUZZ_CHECK(n >= 0, "%s has a bag of %d", specs[c].name, n);
    if (trusted && specs[c].max) FUZZ_CHECK(n <= specs[c].max, "%d values", n);
  }
  int64_t n_keys = offsets ? offsets[rows] : rows;
  int is_weighted = specs[c].weights || specs[c].cross == bags;
  if (is_weighted) width = n_keys > 0, rows = n_keys;
  if (floats) touch(floats, (size_t)(rows * width) * sizeof *floats);
  if (keys && n_keys > 0) touch(keys, (size_t)n_keys * sizeof *keys);
}

static void check_batch(mr_batch *batch, const mr_dataset *dataset, const mr_schema *schema,
                        int trusted) {
  int64_t requests = mr_batch_rows(batch, MR_REQUEST), samples = mr_batch_rows(batch, MR_SAMPLE);
  const int32_t *first = mr_batch_first_sample(batch);
  FUZZ_CHECK(requests > 0 && first[0] == 0 && first[requests] == samples, "%d samples of %lld",
             first[requests], (long long)samples);
  for (int64_t q = 0; q < requests; q++) FUZZ_CHECK(first[q] < first[q + 1], "an empty request");
  for (int s = 0; s < 2; s++) check_sequence(batch, s, trusted);
  for (int c = 0; c < mr_schema_columns(schema); c++) check_column(batch, c, trusted);
  const float *labels = mr_dataset_floats(dataset, 0);
  const int64_t *index = mr_batch_sample_index(batch);
  for (int64_t i = 0; i < samples; i++) {
    FUZZ_CHECK(index[i] >= 0 && index[i] < mr_dataset_samples(dataset), "row %lld",
               (long long)index[i]);
    if (trusted)
      FUZZ_CHECK(mr_batch_floats(batch, 0)[i] == labels[index[i]], "another label in row %lld",
                 (long long)index[i]);
  }
}

static void read_views(const mr_dataset *dataset, const mr_schema *schema, int trusted) {
  size_t samples = (size_t)mr_dataset_samples(dataset);
  for (int c = 0; c < mr_schema_columns(schema); c++) {
    const float *floats = mr_dataset_floats(dataset, c);
    const uint64_t *keys = mr_dataset_keys(dataset, c);
    if (floats) touch(floats, samples * sizeof *floats);
    const double *times = mr_dataset_times(dataset, c);
    if (keys) touch(keys, samples * sizeof *keys);
    if (times) touch(times, samples * sizeof *times);
  }
  const int32_t *scenario = mr_dataset_scenario(dataset);
  for (size_t i = 0; i < samples; i++)
    if (trusted)
      FUZZ_CHECK(mr_dataset_scenario_name(dataset, scenario[i]), "scenario %d", scenario[i]);
  touch(scenario, samples * sizeof *scenario);
  for (int32_t i = 0; i < mr_dataset_scenarios(dataset); i++) {
    const char *name = mr_dataset_scenario_name(dataset, i);
    touch(name, strlen(name));
  }
  for (const char *const *name = (const char *const[]){"user", "ad", "tags", NULL}; *name; name++) {
    int64_t n = mr_dataset_distinct(dataset, mr_schema_find_table(schema, *name));
    if (trusted) FUZZ_CHECK(n >= 0, "%lld keys in \"%s\"", (long long)n, *name);
  }
}

int read_dataset(const mr_dataset *dataset, const mr_schema *schema, int shuffle, int trusted) {
  mr_loader_options options = {.batch = 5, .seed = 3, .shuffle = shuffle};
  mr_loader *loader;
  mr_batch *batch;
  int64_t samples = 0;
  read_views(dataset, schema, trusted);
  FUZZ_CHECK(mr_loader_bytes(dataset, &options) > 0, "no bytes");
  FUZZ_CHECK(mr_loader_new(&loader, dataset, &options) == MR_OK, "%s", mr_last_error());
  int status;
  while ((status = mr_loader_next(loader, &batch)) == MR_OK) {
    check_batch(batch, dataset, schema, trusted);
    samples += mr_batch_rows(batch, MR_SAMPLE);
  }
  if (status == MR_END && trusted)
    FUZZ_CHECK(samples == mr_dataset_samples(dataset), "%lld samples of %lld", (long long)samples,
               (long long)mr_dataset_samples(dataset));
  mr_loader_free(loader);
  return status == MR_END ? MR_OK : status;
}
