/* The dataset cache: one file, mapped into memory, written once and never changed.
 *
 *   header | directory | sections, each at a multiple of 64
 *
 *   RECORDS (domain)   the records of record.h, one after another
 *   OFFSETS (domain)   int64 [rows + 1], where each record starts; only where they vary in size
 *   FIRST_SAMPLE       int64 [requests + 1]; only with a request key
 *   DISTINCT           int64 [tables], distinct keys of each table, "unknown" aside
 *   DICTIONARY (table) uint64 [codes], the key of each code (dictionary.h)
 *   TEXT_ENDS (table)  uint64 [codes], where the text of each code ends; only where the schema has
 *   TEXTS (table)      texts kept, and both are empty in data that was not built with `fit`
 *   VIEW (column)      float, int32, uint64 or double [samples]
 *   BAD_ROWS           int64 [bad_rows], rows of the text that were left out
 *   UNSEEN             int64 [columns], values of each that were not listed, or rare
 *   FITTED             what is fitted to numbers (data/fit.h); only where something is
 *   SCENARIOS          struct mr__scenario [number of them]; only with a column of scenarios
 *
 * Which sections there are and how long each is follows from the schema, the numbers of rows, the
 * bytes of the records and of texts and the numbers of codes and scenarios: mr__store_plan computes
 * the directory, and a file is accepted only when its own is equal. A checksum covers header and
 * directory. What the sections hold is checked where it is used: a damaged cache is refused or
 * gives wrong numbers, never a wild pointer.
 *
 * Numbers are in the byte order of the machine; the header tells a foreign one. */
#ifndef MR_DATA_STORE_H
#define MR_DATA_STORE_H

#include "data/dictionary.h"
#include "data/record.h"
#include "data/scenarios.h"

enum { MR__STORE_VERSION = 8, MR__STORE_ALIGN = 64 };

struct mr__store_header {
  char magic[8]; /* "MRCACHE" */
  uint32_t version, byte_order;
  uint64_t checksum; /* of header and directory, with this field 0 */
  uint64_t file_bytes;
  uint64_t schema_fingerprint, source_fingerprint;
  int64_t samples, requests;
  uint64_t record_bytes[MR_DOMAINS];
  uint64_t n_sections;
  uint64_t bad_rows[MR_BAD_REASONS]; /* left out, by reason */
};

enum mr__section_kind {
  MR__RECORDS = 1,
  MR__OFFSETS = 2,
  MR__FIRST_SAMPLE = 3,
  MR__DISTINCT = 4,
  MR__DICTIONARY = 5,
  MR__VIEW = 6,
  MR__SCENARIOS = 7,
  MR__BAD_ROWS = 8,
  MR__FITTED = 9,
  MR__UNSEEN = 10,
  MR__TEXT_ENDS = 11,
  MR__TEXTS = 12
};

struct mr__section {
  uint32_t kind;
  int32_t index; /* domain, table, view, or 0 */
  uint64_t offset, bytes;
};

/* Rows of the text that were left out. */
struct mr__bad_rows {
  int64_t counts[MR_BAD_REASONS];
  int64_t *list; /* [n] ascending */
  size_t n;
};

/* Header and directory of a dataset. */
struct mr__store {
  struct mr__store_header header;
  struct mr__section *sections; /* [header.n_sections] */
  int64_t *codes;               /* [tables], multiples of MR__CODE_STEP */
  int64_t *text_bytes;          /* [tables], 0: there are none */
  int64_t scenarios;
};

/* Empty, with room for what the layout leads to. Cleared in any case. */
int mr__store_init(struct mr__store *store, const struct mr__layout *layout);
void mr__store_clear(struct mr__store *store);

/* Sections the schema leads to, before any row is read: the first one starts at
 * mr__store_start(layout) and holds the records of samples. */
size_t mr__store_start(const struct mr__layout *layout);

/* Fill in sections, n_sections and file_bytes from samples, requests, record_bytes, codes and
 * scenarios. MR_EDATA when they cannot be true. */
int mr__store_plan(struct mr__store *store, const struct mr__layout *layout);
const struct mr__section *mr__store_find(const struct mr__store *store, enum mr__section_kind kind,
                                         int index);

/* Fill in magic, version and checksum: the last step before writing. */
void mr__store_sign(struct mr__store *store);

/* What a file at `path` claims to be, for deciding whether it is up to date: MR_END when there is
 * none, or when it is a cache that cannot be used; MR_EINVAL when it is something else, which must
 * not be overwritten. */
int mr__store_peek(const char *path, struct mr__store_header *out);

struct mr_dataset {
  struct mr__layout *layout;
  char *path;
  int references; /* atomic */
  char *map;
  size_t map_bytes;
  int64_t rows[MR_DOMAINS];
  /* Into the map; NULL where the dataset has none. */
  const char *records[MR_DOMAINS];
  uint64_t record_bytes[MR_DOMAINS];
  const int64_t *offsets[MR_DOMAINS];
  const int64_t *first_sample; /* NULL: every sample is its own request */
  const int64_t *distinct;
  struct mr__coding coding;
  const char **views; /* [layout->n_views] */
  uint64_t bad_rows[MR_BAD_REASONS];
  const int64_t *bad_list;
  const struct mr__scenario *scenarios;
  int32_t n_scenarios;
  const char *fitted;
  const int64_t *unseen;
  const uint64_t **text_ends; /* [tables]; NULL: there are none */
  const char **texts;         /* [tables] */
  uint64_t *text_bytes;       /* [tables] */
  struct mr__part *part;      /* NULL, or what it lies in instead of a file (part.h) */
};

/* A dataset without rows that lies nowhere yet; path: for messages. */
int mr__dataset_new(mr_dataset **out, const mr_schema *schema, const char *path);

/* The text of a code of a table that has them; "" where the file is damaged. */
const char *mr__dataset_text(const mr_dataset *dataset, int table, uint32_t code, size_t *size);

/* The samples of a request. 0 where the file is damaged, and then *n is 1. */
static inline int mr__dataset_samples_of(const mr_dataset *dataset, int64_t request, int64_t *first,
                                         int64_t *n) {
  *first = request;
  *n = 1;
  if (!dataset->first_sample) return 1;
  *first = dataset->first_sample[request];
  int64_t end = dataset->first_sample[request + 1];
  if (*first < 0 || end <= *first || end > dataset->rows[MR_SAMPLE]) return 0;
  *n = end - *first;
  return 1;
}

/* Where the record of a row is; NULL where the file is damaged. With bags, it lies in its section
 * and is as long as its counts say. */
static inline const char *mr__dataset_record(const mr_dataset *dataset, int domain, int64_t row) {
  const struct mr__record *shape = &dataset->layout->records[domain];
  const char *records = dataset->records[domain];
  const int64_t *offsets = dataset->offsets[domain];
  if (!offsets) return records + (uint64_t)row * shape->fixed;
  uint64_t start = (uint64_t)offsets[row], end = (uint64_t)offsets[row + 1];
  if (start > end || end > dataset->record_bytes[domain] || start % 4 != 0 || end == start ||
      mr__record_bytes(shape, records + start, records + end) != end - start)
    return NULL;
  return records + start;
}

/* Take a reference, given back with mr_dataset_close. */
mr_dataset *mr__dataset_retain(const mr_dataset *dataset);

#endif
