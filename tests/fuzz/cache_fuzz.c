/* The dataset cache (data/store.h): a file of any bytes is refused, or gives whatever numbers but
 * no wild pointer.
 *
 * Input: a byte of choices. With RAW the rest is the file. Otherwise numbers follow (samples,
 * requests, words of the records of both sides, codes of each table / 128, scenarios), which make a
 * true header with its checksum, so that the sections, which are the rest, are believed; what is
 * fitted is true as well, without HOSTILE. */
#include "data/fit.h"
#include "data/store.h"
#include "read_dataset.h"
#include "table/touched.h"

enum { RAW = 1, KEYED = 2, SHUFFLE = 4, HOSTILE = 8 };
enum { MOST_BYTES = 1 << 16 };

static unsigned take16(struct fuzz_input *input) {
  unsigned low = fuzz_byte(input);
  return low | fuzz_byte(input) << 8;
}

/* Give `out` the header and directory that the numbers lead to; MR_EDATA when there is none. */
static int make_head(struct mr__store *out, struct fuzz_input *input, const mr_schema *schema) {
  struct mr__layout *layout;
  FUZZ_CHECK(mr__layout_new(&layout, schema) == MR_OK, "%s", mr_last_error());
  FUZZ_CHECK(mr__store_init(out, layout) == MR_OK, "%s", mr_last_error());
  out->header.schema_fingerprint = mr__schema_fingerprint(schema);
  out->header.samples = fuzz_byte(input);
  out->header.requests = fuzz_byte(input);
  out->header.record_bytes[MR_SAMPLE] = 4 * take16(input);
  out->header.record_bytes[MR_REQUEST] = 4 * take16(input);
  for (size_t t = 0; t < schema->n_tables; t++) out->codes[t] = MR__CODE_STEP * fuzz_byte(input);
  out->scenarios = fuzz_byte(input);
  int status = mr__store_plan(out, layout);
  mr__layout_free(layout);
  if (status != MR_OK) return status;
  if (out->header.file_bytes > MOST_BYTES) return MR_EDATA;
  mr__store_sign(out);
  return MR_OK;
}

/* Put what may be fitted where a cache of the schema has it. */
static void write_fitted(char *to, unsigned choices) {
  mr_schema *fitted = new_schema(choices & KEYED, 1);
  fit_schema(fitted);
  mr__fitted_write(fitted, to);
  mr_schema_free(fitted);
}

static const char *write_file(struct fuzz_input *input, const mr_schema *schema, unsigned choices) {
  struct mr__store store;
  const char *path = NULL;
  if (make_head(&store, input, schema) == MR_OK) {
    size_t size = store.header.file_bytes, head = sizeof store.header;
    size_t directory = store.header.n_sections * sizeof *store.sections;
    char *bytes = calloc(1, size);
    memcpy(bytes, &store.header, head);
    memcpy(bytes + head, store.sections, directory);
    size_t start = (head + directory + MR__STORE_ALIGN - 1) / MR__STORE_ALIGN * MR__STORE_ALIGN;
    size_t left = size > start ? size - start : 0;
    if (input->size) memcpy(bytes + start, input->at, input->size < left ? input->size : left);
    const struct mr__section *names = mr__store_find(&store, MR__SCENARIOS, 0);
    for (uint64_t end = sizeof(struct mr__scenario); end <= names->bytes;
         end += sizeof(struct mr__scenario))
      bytes[names->offset + end - 1] = 0; /* or it is refused */
    if (!(choices & HOSTILE))
      write_fitted(bytes + mr__store_find(&store, MR__FITTED, 0)->offset, choices);
    path = fuzz_write("cache", bytes, size);
    free(bytes);
  }
  mr__store_clear(&store);
  return path;
}

/* Training and predicting read the rows of codes by way of the dictionaries. */
static int touch_rows(const mr_dataset *dataset, const mr_schema *schema, int trains) {
  enum { MOST_TABLES = 16, MOST_COLUMNS = 32 };
  struct mr__table tables[MOST_TABLES];
  struct mr__touched rows;
  int table_of[MOST_COLUMNS], offset;
  FUZZ_CHECK(schema->n_tables <= MOST_TABLES && schema->n_columns <= MOST_COLUMNS,
             "a large schema");
  for (size_t c = 0; c < schema->n_columns; c++) table_of[c] = schema->columns[c].table;
  for (size_t t = 0; t < schema->n_tables; t++) {
    struct mr__slot *slot;
    FUZZ_CHECK(mr__table_init(&tables[t], schema->tables[t].name, 1) == MR_OK &&
                   mr__table_part(&tables[t], "p", 2, MR__START_ZERO, 0, &offset) == MR_OK &&
                   mr__table_insert(&tables[t], MR__UNKNOWN_KEY, &slot) == MR_OK,
               "%s", mr_last_error());
  }
  FUZZ_CHECK(mr__touched_init(&rows, tables, (int)schema->n_tables, table_of,
                              (int)schema->n_columns) == MR_OK,
             "%s", mr_last_error());
  mr_loader *loader;
  mr_batch *batch;
  mr_loader_options options = {.batch = 7};
  FUZZ_CHECK(mr_loader_new(&loader, dataset, &options) == MR_OK, "%s", mr_last_error());
  int status;
  while ((status = mr_loader_next(loader, &batch)) == MR_OK) {
    status = trains ? mr__touched_insert(&rows, batch, NULL) : mr__touched_find(&rows, batch, NULL);
    if (status != MR_OK) break;
    for (size_t c = 0; c < schema->n_columns; c++)
      for (uint32_t i = 0; table_of[c] >= 0 && i < rows.columns[c].n; i++)
        FUZZ_CHECK(*mr__row_at(&rows.columns[c], i) == 0, "a row that is none");
  }
  mr_loader_free(loader);
  mr__touched_clear(&rows);
  for (size_t t = 0; t < schema->n_tables; t++) mr__table_clear(&tables[t]);
  return status == MR_END ? MR_OK : status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct fuzz_input input = {data, size};
  unsigned choices = fuzz_byte(&input);
  int64_t live = mr_alloc_live();
  mr_schema *schema = new_schema(choices & KEYED, 1);
  const char *path = choices & RAW ? fuzz_write("cache", input.at, input.size)
                                   : write_file(&input, schema, choices);
  mr_dataset *dataset = NULL;
  int status = path ? mr_dataset_open(&dataset, schema, path) : MR_END;
  int may_fail = choices & (RAW | HOSTILE);
  FUZZ_CHECK(may_fail || status == MR_OK || status == MR_END, "%s", mr_last_error());
  if (status == MR_OK) status = read_dataset(dataset, schema, !!(choices & SHUFFLE), 0);
  for (int trains = 0; trains < 2 && status == MR_OK; trains++)
    status = touch_rows(dataset, schema, trains);
  if (status < 0) fuzz_check_error(status);
  mr_dataset_close(dataset);
  mr_schema_free(schema);
  FUZZ_CHECK(mr_alloc_live() == live, "%lld blocks are left", (long long)(mr_alloc_live() - live));
  return 0;
}
