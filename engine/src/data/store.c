#include "data/store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/files.h"
#include "base/hash.h"
#include "data/fit.h"
#include "data/part.h"

static const char magic[8] = "MRCACHE";
enum { BYTE_ORDER_MARK = 0x01020304 };

/* ---- the plan of a file ---- */

static uint64_t align_up(uint64_t bytes) {
  return (bytes + MR__STORE_ALIGN - 1) / MR__STORE_ALIGN * MR__STORE_ALIGN;
}

static size_t count_sections(const struct mr__layout *layout) {
  /* DISTINCT, BAD_ROWS and UNSEEN, keys, views */
  size_t n = 3 + layout->schema->n_tables + (size_t)layout->n_views;
  for (int domain = 0; domain < MR_DOMAINS; domain++)
    n += 1 + (layout->records[domain].varies != 0);
  for (size_t t = 0; t < layout->schema->n_tables; t++)
    n += layout->schema->tables[t].texts ? 2 : 0;
  return n + (layout->schema->request_key >= 0) + (layout->schema->scenario >= 0) +
         mr__schema_fits(layout->schema);
}

size_t mr__store_start(const struct mr__layout *layout) {
  return align_up(sizeof(struct mr__store_header) +
                  count_sections(layout) * sizeof(struct mr__section));
}

static int64_t rows_of(const struct mr__store *store, int domain) {
  return domain == MR_SAMPLE ? store->header.samples : store->header.requests;
}

/* Append a section of count * each bytes. */
static int add_section(struct mr__store *store, enum mr__section_kind kind, int index,
                       int64_t count, uint64_t each) {
  struct mr__store_header *header = &store->header;
  uint64_t bytes, end;
  if (count < 0 || __builtin_mul_overflow((uint64_t)count, each, &bytes) ||
      __builtin_add_overflow(header->file_bytes, bytes, &end) || end > INT64_MAX - MR__STORE_ALIGN)
    return mr__fail(MR_EDATA, "%lld rows are more than a cache can hold", (long long)count);
  store->sections[header->n_sections++] = (struct mr__section){
      .kind = kind, .index = index, .offset = header->file_bytes, .bytes = bytes};
  header->file_bytes = align_up(end);
  return MR_OK;
}

static int add_records(struct mr__store *store, const struct mr__layout *layout, int domain) {
  const struct mr__record *shape = &layout->records[domain];
  uint64_t bytes = store->header.record_bytes[domain], least;
  if (__builtin_mul_overflow((uint64_t)rows_of(store, domain), shape->fixed, &least) ||
      bytes % 4 != 0 || (shape->varies ? bytes < least : bytes != least))
    return mr__fail(MR_EDATA, "%llu bytes of records do not fit %lld rows",
                    (unsigned long long)bytes, (long long)rows_of(store, domain));
  return add_section(store, MR__RECORDS, domain, 1, bytes);
}

static int add_dictionary(struct mr__store *store, int table) {
  int64_t codes = store->codes[table];
  if (codes < MR__CODE_STEP || codes > MR__NEW_CODE || codes % MR__CODE_STEP != 0)
    return mr__fail(MR_EDATA, "%lld codes of a table cannot be", (long long)codes);
  return add_section(store, MR__DICTIONARY, table, codes, 8);
}

/* Of data that was not built with `fit` both are empty. */
static int add_texts(struct mr__store *store, int table) {
  int64_t bytes = store->text_bytes[table];
  MR_TRY(add_section(store, MR__TEXT_ENDS, table, bytes == 0 ? 0 : store->codes[table], 8));
  return add_section(store, MR__TEXTS, table, bytes, 1);
}

static int add_bad_rows(struct mr__store *store) {
  uint64_t n = 0;
  for (int reason = 0; reason < MR_BAD_REASONS; reason++)
    if (__builtin_add_overflow(n, store->header.bad_rows[reason], &n) || n > INT64_MAX)
      return mr__fail(MR_EDATA, "the numbers of wrong rows cannot be");
  return add_section(store, MR__BAD_ROWS, 0, (int64_t)n, 8);
}

static int add_sections(struct mr__store *store, const struct mr__layout *layout) {
  int64_t samples = store->header.samples, requests = store->header.requests;
  MR_TRY(add_records(store, layout, MR_SAMPLE)); /* first: it is written while its size grows */
  MR_TRY(add_records(store, layout, MR_REQUEST));
  for (int domain = 0; domain < MR_DOMAINS; domain++)
    if (layout->records[domain].varies)
      MR_TRY(add_section(store, MR__OFFSETS, domain, rows_of(store, domain) + 1, 8));
  if (layout->schema->request_key >= 0)
    MR_TRY(add_section(store, MR__FIRST_SAMPLE, 0, requests + 1, 8));
  MR_TRY(add_section(store, MR__DISTINCT, 0, (int64_t)layout->schema->n_tables, 8));
  for (size_t t = 0; t < layout->schema->n_tables; t++) {
    MR_TRY(add_dictionary(store, (int)t));
    if (layout->schema->tables[t].texts) MR_TRY(add_texts(store, (int)t));
  }
  for (int i = 0; i < layout->n_views; i++)
    MR_TRY(add_section(store, MR__VIEW, i, samples, mr__view_bytes(layout, i)));
  MR_TRY(add_bad_rows(store));
  MR_TRY(add_section(store, MR__UNSEEN, 0, (int64_t)layout->schema->n_columns, 8));
  if (mr__schema_fits(layout->schema))
    MR_TRY(add_section(store, MR__FITTED, 0, 1, mr__fitted_bytes(layout->schema)));
  if (layout->schema->scenario < 0) return MR_OK;
  if (store->scenarios < 1 || store->scenarios > MR__MOST_SCENARIOS)
    return mr__fail(MR_EDATA, "%lld scenarios cannot be", (long long)store->scenarios);
  return add_section(store, MR__SCENARIOS, 0, store->scenarios, sizeof(struct mr__scenario));
}

int mr__store_plan(struct mr__store *store, const struct mr__layout *layout) {
  struct mr__store_header *header = &store->header;
  enum { MOST_ROWS_BITS = 48 };
  if (header->samples < 1 || header->samples >> MOST_ROWS_BITS || header->requests < 1 ||
      header->requests > header->samples ||
      (layout->schema->request_key < 0 && header->requests != header->samples))
    return mr__fail(MR_EDATA, "%lld samples and %lld requests cannot be",
                    (long long)header->samples, (long long)header->requests);
  header->n_sections = 0;
  header->file_bytes = mr__store_start(layout);
  return add_sections(store, layout);
}

int mr__store_init(struct mr__store *store, const struct mr__layout *layout) {
  *store = (struct mr__store){
      .sections = mr__calloc(count_sections(layout), sizeof *store->sections),
      .codes = mr__calloc(layout->schema->n_tables, sizeof *store->codes),
      .text_bytes = mr__calloc(layout->schema->n_tables, sizeof *store->text_bytes),
  };
  return store->sections && store->codes && store->text_bytes ? MR_OK : mr__fail_memory();
}

void mr__store_clear(struct mr__store *store) {
  mr__free(store->sections);
  mr__free(store->codes);
  mr__free(store->text_bytes);
  *store = (struct mr__store){0};
}

const struct mr__section *mr__store_find(const struct mr__store *store, enum mr__section_kind kind,
                                         int index) {
  for (size_t i = 0; i < store->header.n_sections; i++)
    if (store->sections[i].kind == (uint32_t)kind && store->sections[i].index == index)
      return &store->sections[i];
  return NULL;
}

static uint64_t checksum_of(const struct mr__store *store) {
  struct mr__store_header header = store->header;
  header.checksum = 0;
  uint64_t sum = mr__hash(&header, sizeof header, 1);
  return mr__hash(store->sections, header.n_sections * sizeof *store->sections, sum);
}

/* ---- looking at a file ---- */

int mr__store_peek(const char *path, struct mr__store_header *out) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return errno == ENOENT ? MR_END : mr__fail_file(path);
  memset(out, 0, sizeof *out);
  ssize_t n = read(file, out, sizeof *out);
  struct stat status;
  int known = fstat(file, &status) == 0;
  close(file);
  if (n < 0) return mr__fail_file(path);
  if (n > 0 && memcmp(out->magic, magic, sizeof magic) != 0)
    return mr__fail(MR_EINVAL, "%s: the file is no dataset cache, and is not overwritten", path);
  if (n < (ssize_t)sizeof *out || !known || out->version != MR__STORE_VERSION ||
      out->byte_order != BYTE_ORDER_MARK || out->file_bytes != (uint64_t)status.st_size)
    return MR_END;
  return MR_OK;
}

void mr__store_sign(struct mr__store *store) {
  memcpy(store->header.magic, magic, sizeof magic);
  store->header.version = MR__STORE_VERSION;
  store->header.byte_order = BYTE_ORDER_MARK;
  store->header.checksum = checksum_of(store);
}

/* ---- opening ---- */

static int map_file(mr_dataset *dataset) {
  int file = open(dataset->path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return mr__fail_file(dataset->path);
  struct stat status;
  if (fstat(file, &status) != 0) {
    close(file);
    return mr__fail_file(dataset->path);
  }
  if (!S_ISREG(status.st_mode) || status.st_size < (off_t)sizeof(struct mr__store_header)) {
    close(file);
    return mr__fail(MR_EDATA, "%s: the file is no dataset cache", dataset->path);
  }
  dataset->map_bytes = (size_t)status.st_size;
  void *map = mmap(NULL, dataset->map_bytes, PROT_READ, MAP_SHARED, file, 0);
  int error = errno;
  close(file);
  errno = error;
  if (map == MAP_FAILED) return mr__fail_file(dataset->path);
  dataset->map = map;
  return MR_OK;
}

static int check_header(const mr_dataset *dataset, const struct mr__store_header *header,
                        const mr_schema *schema) {
  const char *path = dataset->path;
  if (memcmp(header->magic, magic, sizeof magic) != 0)
    return mr__fail(MR_EDATA, "%s: the file is no dataset cache", path);
  if (header->byte_order != BYTE_ORDER_MARK)
    return mr__fail(MR_EDATA, "%s: the cache is damaged or of a machine of other byte order", path);
  if (header->version != MR__STORE_VERSION)
    return mr__fail(MR_EDATA, "%s: the cache has format %u, expected %d; build it again", path,
                    header->version, MR__STORE_VERSION);
  if (header->file_bytes != dataset->map_bytes)
    return mr__fail(MR_EDATA, "%s: the cache has %llu bytes, expected %llu; build it again", path,
                    (unsigned long long)dataset->map_bytes, (unsigned long long)header->file_bytes);
  if (header->schema_fingerprint != mr__schema_fingerprint(schema))
    return mr__fail(MR_EDATA, "%s: the cache was built with another schema; build it again", path);
  return MR_OK;
}

/* The numbers of codes and scenarios stand in the directory alone: as it claims them. */
static void read_codes(const mr_dataset *dataset, struct mr__store *store) {
  const char *directory = dataset->map + sizeof store->header;
  if (dataset->map_bytes < mr__store_start(dataset->layout)) return;
  for (size_t i = 0; i < count_sections(dataset->layout); i++) {
    struct mr__section section;
    memcpy(&section, directory + i * sizeof section, sizeof section);
    if (section.kind == MR__DICTIONARY && section.index >= 0 &&
        (size_t)section.index < dataset->layout->schema->n_tables)
      store->codes[section.index] = (int64_t)(section.bytes / 8);
    if (section.kind == MR__TEXTS && section.index >= 0 &&
        (size_t)section.index < dataset->layout->schema->n_tables)
      store->text_bytes[section.index] = (int64_t)section.bytes;
    if (section.kind == MR__SCENARIOS)
      store->scenarios = (int64_t)(section.bytes / sizeof(struct mr__scenario));
  }
}

/* Accept the file only if its directory is the one that its numbers lead to. */
static int check_store(const mr_dataset *dataset, struct mr__store *store) {
  const struct mr__store_header *header = &store->header;
  struct mr__store_header claimed;
  memcpy(&claimed, dataset->map, sizeof claimed);
  MR_TRY(check_header(dataset, &claimed, dataset->layout->schema));
  store->header = claimed;
  read_codes(dataset, store);
  int status = mr__store_plan(store, dataset->layout);
  size_t bytes = (size_t)header->n_sections * sizeof *store->sections;
  if (status != MR_OK || header->n_sections != claimed.n_sections ||
      header->file_bytes != claimed.file_bytes ||
      memcmp(store->sections, dataset->map + sizeof claimed, bytes) != 0 ||
      checksum_of(store) != claimed.checksum)
    return mr__fail(MR_EDATA, "%s: the cache is damaged; build it again", dataset->path);
  return MR_OK;
}

static const char *section_at(const mr_dataset *dataset, const struct mr__store *store,
                              enum mr__section_kind kind, int index) {
  const struct mr__section *section = mr__store_find(store, kind, index);
  return section ? dataset->map + section->offset : NULL;
}

static void find_sections(mr_dataset *dataset, const struct mr__store *store) {
  dataset->rows[MR_SAMPLE] = store->header.samples;
  dataset->rows[MR_REQUEST] = store->header.requests;
  for (int domain = 0; domain < MR_DOMAINS; domain++) {
    dataset->records[domain] = section_at(dataset, store, MR__RECORDS, domain);
    dataset->record_bytes[domain] = store->header.record_bytes[domain];
    dataset->offsets[domain] = (const void *)section_at(dataset, store, MR__OFFSETS, domain);
  }
  dataset->first_sample = (const void *)section_at(dataset, store, MR__FIRST_SAMPLE, 0);
  dataset->distinct = (const void *)section_at(dataset, store, MR__DISTINCT, 0);
  for (size_t t = 0; t < dataset->layout->schema->n_tables; t++) {
    dataset->coding.keys[t] = (const void *)section_at(dataset, store, MR__DICTIONARY, (int)t);
    dataset->coding.n[t] = store->codes[t];
    if (!dataset->layout->schema->tables[t].texts || store->text_bytes[t] == 0) continue;
    dataset->text_ends[t] = (const void *)section_at(dataset, store, MR__TEXT_ENDS, (int)t);
    dataset->texts[t] = section_at(dataset, store, MR__TEXTS, (int)t);
    dataset->text_bytes[t] = (uint64_t)store->text_bytes[t];
  }
  memcpy(dataset->bad_rows, store->header.bad_rows, sizeof dataset->bad_rows);
  if (mr__store_find(store, MR__BAD_ROWS, 0)->bytes > 0)
    dataset->bad_list = (const void *)section_at(dataset, store, MR__BAD_ROWS, 0);
  for (int i = 0; i < dataset->layout->n_views; i++)
    dataset->views[i] = section_at(dataset, store, MR__VIEW, i);
  dataset->scenarios = (const void *)section_at(dataset, store, MR__SCENARIOS, 0);
  dataset->n_scenarios = (int32_t)store->scenarios;
  dataset->unseen = (const void *)section_at(dataset, store, MR__UNSEEN, 0);
  dataset->fitted = section_at(dataset, store, MR__FITTED, 0);
}

/* That names end. */
static int check_scenarios(const mr_dataset *dataset) {
  for (int32_t i = 0; dataset->scenarios && i < dataset->n_scenarios; i++)
    if (!memchr(dataset->scenarios[i].name, 0, MR__EXCERPT_BYTES))
      return mr__fail(MR_EDATA, "%s: the cache is damaged; build it again", dataset->path);
  return MR_OK;
}

/* The last step of opening: the schema, which others may hold, has them from now on. */
static int take_fitted(const mr_dataset *dataset) {
  if (!dataset->fitted) return MR_OK;
  int status = mr__fitted_read(dataset->layout->schema, dataset->fitted);
  return status == MR_EDATA ? mr__fail_at(status, "%s", dataset->path) : status;
}

static uint64_t last_serial; /* atomic */

static int start_dataset(mr_dataset *dataset, const mr_schema *schema, const char *path) {
  dataset->references = 1;
  dataset->path = mr__strdup(path);
  if (!dataset->path) return mr__fail_memory();
  MR_TRY(mr__layout_new(&dataset->layout, schema));
  size_t n_tables = schema->n_tables;
  dataset->views = mr__calloc((size_t)dataset->layout->n_views, sizeof *dataset->views);
  struct mr__coding *coding = &dataset->coding;
  coding->path = dataset->path;
  coding->serial = __atomic_add_fetch(&last_serial, 1, __ATOMIC_RELAXED);
  coding->keys = mr__calloc(n_tables, sizeof *coding->keys);
  coding->n = mr__calloc(n_tables, sizeof *coding->n);
  dataset->text_ends = mr__calloc(n_tables, sizeof *dataset->text_ends);
  dataset->texts = mr__calloc(n_tables, sizeof *dataset->texts);
  dataset->text_bytes = mr__calloc(n_tables, sizeof *dataset->text_bytes);
  if (!dataset->views || !coding->keys || !coding->n || !dataset->text_ends || !dataset->texts ||
      !dataset->text_bytes)
    return mr__fail_memory();
  return MR_OK;
}

int mr__dataset_new(mr_dataset **out, const mr_schema *schema, const char *path) {
  *out = NULL;
  mr_dataset *dataset = mr__calloc(1, sizeof *dataset);
  if (!dataset) return mr__fail_memory();
  int status = start_dataset(dataset, schema, path);
  if (status != MR_OK) {
    mr_dataset_close(dataset);
    return status;
  }
  *out = dataset;
  return MR_OK;
}

static int open_file(mr_dataset *dataset) {
  MR_TRY(map_file(dataset));
  struct mr__store store;
  int status = mr__store_init(&store, dataset->layout);
  if (status == MR_OK) status = check_store(dataset, &store);
  if (status == MR_OK) find_sections(dataset, &store);
  mr__store_clear(&store);
  if (status == MR_OK) status = check_scenarios(dataset);
  return status == MR_OK ? take_fitted(dataset) : status;
}

int mr_dataset_open(mr_dataset **out, const mr_schema *schema, const char *cache_path) {
  mr_dataset *dataset;
  *out = NULL;
  MR_TRY(mr__dataset_new(&dataset, schema, cache_path));
  int status = open_file(dataset);
  if (status != MR_OK) {
    mr_dataset_close(dataset);
    return status;
  }
  *out = dataset;
  return MR_OK;
}

mr_dataset *mr__dataset_retain(const mr_dataset *dataset) {
  mr_dataset *held = (mr_dataset *)(uintptr_t)dataset; /* only the count is touched */
  __atomic_add_fetch(&held->references, 1, __ATOMIC_RELAXED);
  return held;
}

void mr_dataset_close(mr_dataset *dataset) {
  if (!dataset || __atomic_sub_fetch(&dataset->references, 1, __ATOMIC_ACQ_REL) > 0) return;
  if (dataset->map) munmap(dataset->map, dataset->map_bytes);
  mr__part_free(dataset->part);
  mr__layout_free(dataset->layout);
  mr__free(dataset->views);
  mr__free(dataset->coding.keys);
  mr__free(dataset->coding.n);
  mr__free(dataset->text_ends);
  mr__free(dataset->texts);
  mr__free(dataset->text_bytes);
  mr__free(dataset->path);
  mr__free(dataset);
}

/* ---- views ---- */

int64_t mr_dataset_samples(const mr_dataset *dataset) { return dataset->rows[MR_SAMPLE]; }

int64_t mr_dataset_requests(const mr_dataset *dataset) { return dataset->rows[MR_REQUEST]; }

int64_t mr_dataset_bad_rows(const mr_dataset *dataset, int32_t reason) {
  return reason < 0 || reason >= MR_BAD_REASONS ? 0 : (int64_t)dataset->bad_rows[reason];
}

const int64_t *mr_dataset_bad_list(const mr_dataset *dataset) { return dataset->bad_list; }

int64_t mr_dataset_distinct(const mr_dataset *dataset, int32_t table) {
  if (table < 0 || (size_t)table >= dataset->layout->schema->n_tables) return -1;
  return dataset->distinct[table];
}

int64_t mr_dataset_codes(const mr_dataset *dataset, int32_t table) {
  if (table < 0 || (size_t)table >= dataset->layout->schema->n_tables) return -1;
  return dataset->coding.n[table];
}

int32_t mr_dataset_has_texts(const mr_dataset *dataset, int32_t table) {
  return table >= 0 && (size_t)table < dataset->layout->schema->n_tables &&
         dataset->text_ends[table] != NULL;
}

const char *mr__dataset_text(const mr_dataset *dataset, int table, uint32_t code, size_t *size) {
  uint64_t bytes;
  const char *text = mr__stored_text(dataset->texts[table], dataset->text_bytes[table],
                                     dataset->text_ends[table], code, &bytes);
  *size = (size_t)bytes;
  return text;
}

int64_t mr_dataset_unseen(const mr_dataset *dataset, int32_t column) {
  if (column < 0 || (size_t)column >= dataset->layout->schema->n_columns) return 0;
  return dataset->unseen[column];
}

/* Whether a key says something, however rare it is. */
static int is_value(const mr_dataset *dataset, int table, uint32_t code) {
  if ((int64_t)code >= dataset->coding.n[table]) return 0; /* damaged, as the loader will say */
  uint64_t key = dataset->coding.keys[table][code];
  return key != MR__UNKNOWN_KEY && key != MR__NOTHING_KEY;
}

int32_t mr_dataset_has_values(const mr_dataset *dataset, int32_t column) {
  const struct mr__layout *layout = dataset->layout;
  if (column < 0 || (size_t)column >= layout->schema->n_columns) return 0;
  const struct mr__column *spec = &layout->schema->columns[column];
  if (spec->table < 0 || dataset->unseen[column] > 0) return spec->table >= 0;
  for (int64_t row = 0; row < dataset->rows[spec->domain]; row++) {
    const char *record = mr__dataset_record(dataset, spec->domain, row);
    if (!record) continue;
    struct mr__stored stored = mr__record_stored(layout, column, record);
    for (size_t i = 0; i < stored.n_codes; i++)
      if (is_value(dataset, spec->table, mr__record_word(stored.codes, i))) return 1;
  }
  return 0;
}

static const void *find_view(const mr_dataset *dataset, int32_t column) {
  int view = dataset->layout->view_of[column];
  return view >= 0 ? dataset->views[view] : NULL;
}

/* What a column holds; 0 where there is no such column. */
static int type_of(const mr_dataset *dataset, int32_t column) {
  const mr_schema *schema = dataset->layout->schema;
  return column < 0 || (size_t)column >= schema->n_columns ? 0 : schema->columns[column].type;
}

const float *mr_dataset_floats(const mr_dataset *dataset, int32_t column) {
  int type = type_of(dataset, column);
  int has_floats = type == MR_NUMBER || type == MR_LABEL || type == MR_WEIGHT;
  return has_floats ? find_view(dataset, column) : NULL;
}

const uint64_t *mr_dataset_keys(const mr_dataset *dataset, int32_t column) {
  return type_of(dataset, column) == MR_GROUP ? find_view(dataset, column) : NULL;
}

const double *mr_dataset_times(const mr_dataset *dataset, int32_t column) {
  return type_of(dataset, column) == MR_TIME ? find_view(dataset, column) : NULL;
}

const int32_t *mr_dataset_scenario(const mr_dataset *dataset) {
  int column = dataset->layout->schema->scenario;
  return column >= 0 ? find_view(dataset, column) : NULL;
}

int32_t mr_dataset_scenarios(const mr_dataset *dataset) { return dataset->n_scenarios; }

const char *mr_dataset_scenario_name(const mr_dataset *dataset, int32_t scenario) {
  if (scenario < 0 || scenario >= dataset->n_scenarios) return NULL;
  return dataset->scenarios[scenario].name;
}
