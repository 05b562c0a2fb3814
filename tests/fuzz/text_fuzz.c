/* Text with or without a header into the cache and out again (mr_dataset_build): any bytes are read
 * or refused, alike for any size of block and any number of threads, down to the bytes of the cache
 * and the words of the message.
 *
 * Input: a byte of choices, a byte that is the size of small blocks, then the text. */
#include "read_dataset.h"

enum {
  TABS = 1,
  QUOTES = 2,
  KEYED = 4,
  HEADED = 8,
  RARE = 16,
  SHORT_ROWS = 32,
  THREADS = 64,
  NAMED = 128,           /* the file has no header of its own; wins over HEADED */
  PAIRS = TABS | QUOTES, /* both: libsvm, with KEYED libffm; HEADED does not count */
  JSON = PAIRS | NAMED   /* all three: JSON lines */
};
enum { ONE_BLOCK = 1 << 14 }; /* larger than any input */

static const char header[] = "click,user,age,seen,gaps,ad,tags,price,rid,pic,pics";

static int is_json(unsigned choices) { return (choices & JSON) == JSON; }
static int has_pairs(unsigned choices) { return (choices & JSON) == PAIRS; }
static int has_cells(unsigned choices) { return (choices & PAIRS) != PAIRS; }

/* Columns of files of pairs; those that only one of the two has come last. */
static mr_schema *new_pairs_schema(int ffm, int64_t min_count) {
  static const mr_column_spec specs[] = {
      {.name = "click", .source = "label", .type = MR_LABEL, .domain = MR_SAMPLE},
      {.name = "all", .source = "features", .table = "t", .type = MR_IDS, .domain = MR_SAMPLE},
      {.name = "price", .source = "3", .type = MR_NUMBER, .domain = MR_SAMPLE, .missing = 2},
      {.name = "ad", .source = "7", .table = "t", .type = MR_ID, .domain = MR_SAMPLE},
      {.name = "age", .source = "7", .type = MR_NUMBER, .domain = MR_REQUEST},
      {.name = "who", .source = "7", .type = MR_GROUP, .domain = MR_SAMPLE},
      {.name = "some", .source = "12", .type = MR_IDS, .domain = MR_SAMPLE, .max = 2},
      {.name = "group", .source = "qid", .type = MR_ID, .domain = MR_SAMPLE},
  };
  mr_schema *schema;
  FUZZ_CHECK(mr_schema_new(&schema) == MR_OK, "%s", mr_last_error());
  FUZZ_CHECK(mr_schema_add_table(schema, "t", min_count) == MR_OK, "%s", mr_last_error());
  for (int c = 0; c < 6; c++)
    FUZZ_CHECK(mr_schema_add_column(schema, &specs[c]) == MR_OK, "%s", mr_last_error());
  FUZZ_CHECK(mr_schema_add_column(schema, &specs[ffm ? 6 : 7]) == MR_OK, "%s", mr_last_error());
  return schema;
}

static const char *const names[] = {"click", "user",  "age", "seen", "gaps", "ad",
                                    "tags",  "price", "rid", "pic",  "pics"};

/* The text of the file: with HEADED after a header that has all columns. */
static char *make_text(const struct fuzz_input *input, unsigned choices, size_t *size) {
  size_t n = choices & HEADED && !(choices & NAMED) && has_cells(choices) ? sizeof header : 0;
  char *text = malloc(n + input->size + 1);
  if (n) memcpy(text, header, n - 1), text[n - 1] = '\n';
  for (size_t i = 0; i < n; i++)
    if (text[i] == ',' && choices & TABS) text[i] = '\t';
  if (input->size) memcpy(text + n, input->at, input->size);
  *size = n + input->size;
  return text;
}

static int build(const mr_schema *schema, const char *path, unsigned choices, int64_t block,
                 int threads, const char *cache, char message[1024]) {
  mr_text_format format = {.delimiter = choices & TABS ? '\t' : ',',
                           .quotes = !!(choices & QUOTES),
                           .block_bytes = block,
                           .row_bytes = choices & SHORT_ROWS ? 256 : 0};
  if (choices & NAMED) format.names = names, format.n_names = sizeof names / sizeof *names;
  if (is_json(choices)) format.layout = MR_JSON;
  if (has_pairs(choices)) format.layout = choices & KEYED ? MR_LIBFFM : MR_LIBSVM;
  remove(cache);
  int status =
      mr_dataset_build(schema, &format, &path, 1, cache, !!(choices & RARE), fuzz_pool(threads));
  snprintf(message, 1024, "%s", status == MR_OK ? "" : mr_last_error());
  if (status != MR_OK) fuzz_check_error(status);
  return status;
}

/* A line with nothing on it is no row, and of pairs neither is one with but a comment. */
static int is_row(const char *line, size_t size, unsigned choices) {
  if (has_cells(choices)) return size > 0 && !(size == 1 && *line == '\r');
  size_t i = 0;
  while (i < size && (line[i] == ' ' || line[i] == '\t' || line[i] == '\r')) i++;
  return i < size && !(has_pairs(choices) && line[i] == '#');
}

static int64_t count_rows(const char *text, size_t size, unsigned choices) {
  const char *line = text, *end = text + size, *stop;
  int64_t rows = 0;
  if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) line += 3;
  if (has_cells(choices) && !(choices & NAMED)) rows = -1; /* the header */
  for (; line < end; line = stop + 1) {
    stop = memchr(line, '\n', (size_t)(end - line));
    if (!stop) stop = end;
    rows += is_row(line, (size_t)(stop - line), choices);
  }
  return rows;
}

static int is_compressed(const char *text, size_t size) {
  return size > 3 &&
         (memcmp(text, "\x1F\x8B", 2) == 0 || memcmp(text, "\x28\xB5\x2F", 3) == 0 ||
          memcmp(text, "\x04\x22\x4D", 3) == 0 || memcmp(text + 1, "\x2A\x4D\x18", 3) == 0);
}

/* Only that batches come, with numbers that are finite. */
static void read_pairs(const mr_dataset *dataset, const mr_schema *schema) {
  mr_loader_options options = {.batch = 5};
  mr_loader *loader;
  mr_batch *batch;
  int64_t samples = 0;
  int price = mr_schema_find(schema, "price");
  FUZZ_CHECK(mr_loader_new(&loader, dataset, &options) == MR_OK, "%s", mr_last_error());
  while (mr_loader_next(loader, &batch) == MR_OK) {
    int64_t rows = mr_batch_rows(batch, MR_SAMPLE);
    const float *prices = mr_batch_floats(batch, price);
    for (int64_t i = 0; i < rows; i++) FUZZ_CHECK(prices[i] - prices[i] == 0, "not finite");
    int all = mr_schema_find(schema, "all");
    FUZZ_CHECK(mr_batch_offsets(batch, all)[rows] == 0 || mr_batch_keys(batch, all), "no keys");
    samples += rows;
  }
  FUZZ_CHECK(samples == mr_dataset_samples(dataset), "%lld samples", (long long)samples);
  mr_loader_free(loader);
}

static void read_back(const mr_schema *schema, const char *cache, const char *text, size_t size,
                      unsigned choices) {
  mr_dataset *dataset;
  FUZZ_CHECK(mr_dataset_open(&dataset, schema, cache) == MR_OK, "%s", mr_last_error());
  int pairs = has_pairs(choices);
  int64_t rows = count_rows(text, size, choices);
  if ((!has_cells(choices) || !(choices & QUOTES)) && !is_compressed(text, size))
    FUZZ_CHECK(mr_dataset_samples(dataset) == rows, "%lld rows of %lld",
               (long long)mr_dataset_samples(dataset), (long long)rows);
  if (pairs) read_pairs(dataset, schema);
  for (int shuffle = 0; shuffle < 2 && !pairs; shuffle++)
    FUZZ_CHECK(read_dataset(dataset, schema, shuffle, 1) == MR_OK, "%s", mr_last_error());
  mr_dataset_close(dataset);
}

/* With RARE what there is to fit is fitted by the build, else it is given. */
static mr_schema *make_schema(unsigned choices) {
  int keyed = choices & KEYED, min_count = choices & RARE ? 2 : 1;
  if (has_pairs(choices)) return new_pairs_schema(keyed, min_count);
  mr_schema *schema = new_schema(keyed, min_count);
  if (!(choices & RARE)) fit_schema(schema);
  return schema;
}

static void build_twice(const mr_schema *schema, const mr_schema *other_schema, const char *path,
                        unsigned choices, int64_t block, const char *text, size_t size) {
  const char *small = fuzz_path("small-blocks"), *large = fuzz_path("one-block");
  char message[1024], other[1024];
  int status = build(schema, path, choices, block, choices & THREADS ? 3 : 1, small, message);
  int64_t all = choices & SHORT_ROWS ? 256 : ONE_BLOCK;
  int again = build(other_schema, path, choices, all, 1, large, other);
  /* Of two faults the one that is met first is told; in compressed data that depends. */
  int alike = is_compressed(text, size) ? (status == MR_OK) == (again == MR_OK)
                                        : status == again && strcmp(message, other) == 0;
  FUZZ_CHECK(alike, "in blocks of %lld bytes: %d \"%s\", in one: %d \"%s\"", (long long)block,
             status, message, again, other);
  if (status != MR_OK) return;
  fuzz_check_same_files(small, large);
  read_back(schema, small, text, size, choices);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct fuzz_input input = {data, size};
  unsigned choices = fuzz_byte(&input), block = fuzz_byte(&input) + 1;
  fuzz_pool(1), fuzz_pool(3);
  int64_t live = mr_alloc_live();
  size_t n;
  char *text = make_text(&input, choices, &n);
  mr_schema *schema = make_schema(choices), *other = make_schema(choices);
  build_twice(schema, other, fuzz_write("text.csv", text, n), choices, block, text, n);
  mr_schema_free(schema);
  mr_schema_free(other);
  free(text);
  FUZZ_CHECK(mr_alloc_live() == live, "%lld blocks are left", (long long)(mr_alloc_live() - live));
  return 0;
}
