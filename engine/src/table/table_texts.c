/* The texts of a table's keys, out of the dataset that it is trained on. */
#include "base/alloc.h"
#include "base/sort.h"
#include "data/store.h"
#include "table/table.h"
#include "table/table_texts.h"

struct coded_key {
  uint64_t key;
  uint32_t code;
};

/* The keys of a dataset's codes, ascending; codes that no key has are left out. */
static size_t sort_codes(const mr_dataset *dataset, int table, struct coded_key *out) {
  size_t n = 0;
  for (int64_t code = 0; code < dataset->coding.n[table]; code++) {
    uint64_t key = dataset->coding.keys[table][code];
    if (key != MR__UNKNOWN_KEY) out[n++] = (struct coded_key){key, (uint32_t)code};
  }
  mr__sort_keyed(out, n);
  return n;
}

/* The texts of a table's keys, in their order; "" of those that the dataset lacks. */
static int join_texts(const struct mr__table *table, const mr_dataset *dataset, int from,
                      const struct coded_key *codes, size_t n_codes, struct mr__texts *out) {
  size_t n = (size_t)mr__table_rows(table), at = 0;
  uint64_t *keys = mr__malloc(n * sizeof *keys);
  if (!keys) return mr__fail_memory();
  mr__table_sorted_keys(table, keys);
  int status = MR_OK;
  for (size_t i = 0; status == MR_OK && i < n; i++) {
    size_t size = 0;
    const char *text = "";
    while (at < n_codes && codes[at].key < keys[i]) at++;
    if (at < n_codes && codes[at].key == keys[i])
      text = mr__dataset_text(dataset, from, codes[at].code, &size);
    status = mr__texts_add(out, text, size);
  }
  mr__free(keys);
  return status;
}

int mr__table_texts(const struct mr__table *table, const mr_dataset *names, struct mr__texts *out) {
  int from = mr__schema_find_table(names->layout->schema, table->name);
  if (from < 0 || !names->text_ends[from]) return MR_OK;
  struct coded_key *codes = mr__malloc((size_t)names->coding.n[from] * sizeof *codes);
  if (!codes) return mr__fail_memory();
  int status = join_texts(table, names, from, codes, sort_codes(names, from, codes), out);
  mr__free(codes);
  return status;
}
