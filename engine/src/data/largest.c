#include "data/largest.h"

#include <string.h>

/* How many rows there are of each size, in words; the last stands for all that are longer. */
enum { SIZES = 1 << 12 };
struct sizes {
  int64_t counts[SIZES];
  int64_t longest; /* in bytes */
};

static void count_size(struct sizes *sizes, int64_t bytes, int64_t times) {
  sizes->counts[bytes / 4 < SIZES ? bytes / 4 : SIZES - 1] += times;
  if (bytes > sizes->longest) sizes->longest = bytes;
}

/* Bytes of the n largest: no n of them have more. */
static int64_t sum_largest(const struct sizes *sizes, int64_t n) {
  int64_t bytes = 0;
  for (int64_t k = SIZES - 1; k >= 0 && n > 0; n -= sizes->counts[k], k--)
    bytes +=
        (n < sizes->counts[k] ? n : sizes->counts[k]) * (k == SIZES - 1 ? sizes->longest : 4 * k);
  return bytes;
}

/* What a record has beyond what all of its domain have; 0 where it is damaged, as the loader will
 * say. */
static int64_t bytes_of(const mr_dataset *dataset, int domain, int64_t row) {
  const int64_t *offsets = dataset->offsets[domain];
  uint64_t start = (uint64_t)offsets[row], end = (uint64_t)offsets[row + 1];
  uint64_t fixed = dataset->layout->records[domain].fixed;
  int sound = start <= end && end <= dataset->record_bytes[domain] && end - start >= fixed;
  return sound ? (int64_t)(end - start - fixed) : 0;
}

static int64_t samples_of(const mr_dataset *dataset, int64_t request) {
  const int64_t *first = dataset->first_sample;
  if (!first) return 1;
  return first[request + 1] > first[request] ? first[request + 1] - first[request] : 1;
}

void mr__dataset_largest(const mr_dataset *dataset, int64_t batch, struct mr__largest *out) {
  *out = (struct mr__largest){.samples = 1};
  for (int domain = 0; domain < MR_DOMAINS; domain++) {
    struct sizes sizes = {.longest = 0};
    int64_t rows = dataset->rows[domain];
    out->rows[domain] = rows < batch ? rows : batch;
    for (int64_t row = 0; dataset->offsets[domain] && row < rows; row++)
      count_size(&sizes, bytes_of(dataset, domain, row), 1);
    out->bytes[domain] = sum_largest(&sizes, batch);
    out->longest[domain] = sizes.longest;
  }
  struct sizes pairs = {.longest = 0};
  for (int64_t row = 0; dataset->first_sample && row < dataset->rows[MR_REQUEST]; row++) {
    int64_t samples = samples_of(dataset, row);
    if (samples > batch) samples = batch;
    if (samples > out->samples) out->samples = samples;
    if (dataset->offsets[MR_REQUEST])
      count_size(&pairs, bytes_of(dataset, MR_REQUEST, row), samples);
  }
  out->pair_bytes = sum_largest(&pairs, batch);
}
