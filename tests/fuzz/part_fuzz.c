/* Which rows of a text are read (data/selection.h, and wrong rows that are left out): any bytes are
 * read or refused, alike for any size of block and any number of threads, and two parts that are
 * cut at one place have each row once.
 *
 * Input: a byte of choices, one that is the size of small blocks, one for the place of the cut,
 * then the text behind a header. */
#include "read_dataset.h"

enum { BY = 3, KEYED = 4, QUOTES = 8, SKIPS = 16, PAIRS = 32 };
enum { ONE_BLOCK = 1 << 14, MOST_BAD = 6 };

static const char header[] = "click,user,age,seen,gaps,ad,tags,price,rid,pic,pics\n";

/* ---- building ---- */

struct part {
  const char *path, *cache;
  unsigned choices;
  double from, to;
};

static mr_schema *new_part_schema(unsigned choices) {
  static const mr_column_spec pairs[] = {
      {.name = "click", .source = "label", .type = MR_LABEL, .domain = MR_SAMPLE},
      {.name = "all", .source = "features", .type = MR_IDS, .domain = MR_SAMPLE},
      {.name = "price", .source = "3", .type = MR_NUMBER, .domain = MR_SAMPLE}};
  mr_schema *schema;
  if (!(choices & PAIRS)) {
    schema = new_schema(choices & KEYED, 1);
    fit_schema(schema);
    return schema;
  }
  FUZZ_CHECK(mr_schema_new(&schema) == MR_OK, "%s", mr_last_error());
  for (size_t c = 0; c < sizeof pairs / sizeof *pairs; c++)
    FUZZ_CHECK(mr_schema_add_column(schema, &pairs[c]) == MR_OK, "%s", mr_last_error());
  return schema;
}

static int rule_of(unsigned choices) {
  return choices & PAIRS ? MR_BY_CHANCE : (int)(choices & BY);
}

static int build(const struct part *part, int64_t block, int threads, char message[1024]) {
  static const char *const columns[] = {NULL, "user", "price", "price"}; /* MR_BY_CHANCE .. */
  int by = rule_of(part->choices);
  mr_selection rule = {
      .by = by, .column = columns[by], .seed = 7, .from = part->from, .to = part->to};
  mr_text_format format = {.delimiter = ',',
                           .quotes = !!(part->choices & QUOTES),
                           .block_bytes = block,
                           .bad_rows = part->choices & SKIPS ? MOST_BAD : 0,
                           .layout = part->choices & PAIRS ? MR_LIBSVM : MR_CELLS,
                           .selection = &rule};
  mr_schema *schema = new_part_schema(part->choices);
  remove(part->cache);
  int status =
      mr_dataset_build(schema, &format, &part->path, 1, part->cache, 0, fuzz_pool(threads));
  snprintf(message, 1024, "%s", status == MR_OK ? "" : mr_last_error());
  if (status != MR_OK) fuzz_check_error(status);
  mr_schema_free(schema);
  return status;
}

/* ---- what must hold ---- */

/* Whether a message ends so; within it may stand what is in the file. */
static int says(const char *message, const char *end) {
  size_t size = strlen(message), n = strlen(end);
  return size >= n && strcmp(message + size - n, end) == 0;
}

/* Rows of a part, wrong ones counted; -1 where it is refused. */
static int64_t count_rows(const struct part *part, int64_t block) {
  char message[1024], other[1024];
  struct part again = *part;
  again.cache = fuzz_path("one-block");
  int status = build(part, block, 3, message), whole = build(&again, ONE_BLOCK, 1, other);
  FUZZ_CHECK(status == whole && strcmp(message, other) == 0,
             "in blocks of %lld bytes: %d \"%s\", in one: %d \"%s\"", (long long)block, status,
             message, whole, other);
  if (status != MR_OK) return says(message, ": no row falls into this part") ? 0 : -1;
  fuzz_check_same_files(part->cache, again.cache);
  mr_schema *schema = new_part_schema(part->choices);
  mr_dataset *dataset;
  FUZZ_CHECK(mr_dataset_open(&dataset, schema, part->cache) == MR_OK, "%s", mr_last_error());
  if (!(part->choices & PAIRS))
    FUZZ_CHECK(read_dataset(dataset, schema, 1, 1) == MR_OK, "%s", mr_last_error());
  int64_t rows = mr_dataset_samples(dataset);
  for (int reason = 0; reason < MR_BAD_REASONS; reason++)
    rows += mr_dataset_bad_rows(dataset, reason);
  mr_dataset_close(dataset);
  mr_schema_free(schema);
  return rows;
}

/* In a part or another; rows that are wrong are in all parts, because nobody can say in which. */
static void check_parts(const char *path, unsigned choices, int64_t block, double cut) {
  const char *cache = fuzz_path("small-blocks");
  double end = rule_of(choices) == MR_BY_TIME ? 1e300 : 1;
  struct part low = {path, cache, choices, -end, cut}, high = {path, cache, choices, cut, end},
              all = {path, cache, choices, -end, end};
  int64_t n_all = count_rows(&all, block);
  int64_t n_low = count_rows(&low, block), n_high = count_rows(&high, block);
  if (n_all < 0 || n_low < 0 || n_high < 0 || choices & SKIPS) return;
  FUZZ_CHECK(n_low + n_high == n_all, "%lld and %lld rows of %lld", (long long)n_low,
             (long long)n_high, (long long)n_all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct fuzz_input input = {data, size};
  unsigned choices = fuzz_byte(&input);
  int64_t block = fuzz_byte(&input) + 1;
  double cut = fuzz_byte(&input) / 256.0;
  fuzz_pool(1), fuzz_pool(3);
  int64_t live = mr_alloc_live();
  size_t n = choices & PAIRS ? 0 : sizeof header - 1;
  char *text = malloc(n + input.size + 1);
  FUZZ_CHECK(text, "no memory");
  memcpy(text, header, n);
  if (input.size) memcpy(text + n, input.at, input.size);
  check_parts(fuzz_write("part.csv", text, n + input.size), choices, block, cut);
  free(text);
  FUZZ_CHECK(mr_alloc_live() == live, "%lld blocks are left", (long long)(mr_alloc_live() - live));
  return 0;
}
