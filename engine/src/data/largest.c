#include "data/largest.h"

#include <math.h>
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

/* 1 where their places are damaged, as above. */
static int64_t samples_of(const mr_dataset *dataset, int64_t request) {
  int64_t first, n;
  mr__dataset_samples_of(dataset, request, &first, &n);
  return n;
}

/* ---- requests that are drawn ---- */

/* Sums over all requests of what one has, in bytes, and of its samples. */
struct drawn {
  double sum, squares, with_samples, most;
};

struct draws {
  double n, samples, samples_squares; /* requests; sums over them */
  struct drawn of[MR_DOMAINS], pairs;
};

static void add_drawn(struct drawn *drawn, double bytes, double samples) {
  drawn->sum += bytes;
  drawn->squares += bytes * bytes;
  drawn->with_samples += bytes * samples;
  if (bytes > drawn->most) drawn->most = bytes;
}

static double samples_bytes(const mr_dataset *dataset, int64_t request) {
  if (!dataset->offsets[MR_SAMPLE]) return 0;
  int64_t first, n, rows = dataset->rows[MR_SAMPLE];
  mr__dataset_samples_of(dataset, request, &first, &n);
  if (first < 0 || first > rows || n > rows - first) return 0; /* damaged, as above */
  double bytes = 0;
  for (int64_t i = first; i < first + n; i++) bytes += (double)bytes_of(dataset, MR_SAMPLE, i);
  return bytes;
}

static void sum_draws(const mr_dataset *dataset, struct draws *draws) {
  *draws = (struct draws){.n = (double)dataset->rows[MR_REQUEST]};
  for (int64_t request = 0; request < dataset->rows[MR_REQUEST]; request++) {
    double samples = (double)samples_of(dataset, request);
    double bytes =
        dataset->offsets[MR_REQUEST] ? (double)bytes_of(dataset, MR_REQUEST, request) : 0;
    draws->samples += samples;
    draws->samples_squares += samples * samples;
    add_drawn(&draws->of[MR_REQUEST], bytes, samples);
    add_drawn(&draws->of[MR_SAMPLE], samples_bytes(dataset, request), samples);
    if (dataset->first_sample) add_drawn(&draws->pairs, bytes * samples, samples);
  }
}

/* How far a sum of n numbers is above n times their mean, but once in e^48 = 7 * 10^20 draws. */
static double excess(double n, double variance, double most) {
  const double log_odds = 48;
  double range = log_odds * most / 3;
  return range + sqrt(range * range + 2 * log_odds * n * (variance > 0 ? variance : 0));
}

/* Requests of a batch: as many as have its samples, if they have few. */
static double requests_drawn(const struct draws *draws, double batch) {
  double mean = draws->samples / draws->n, n = batch / mean;
  double variance = draws->samples_squares / draws->n - mean * mean;
  for (int round = 0; round < 8; round++) n = (batch + excess(n, variance, mean)) / mean;
  return n < batch ? n : batch;
}

/* What n requests with `batch` samples have: in the mean `rate` for each sample, and what they have
 * less that is 0 in the mean. One at each end may be there with a part of its samples only. */
static int64_t most_drawn(const struct draws *draws, const struct drawn *drawn, double n,
                          double batch, int64_t in_any_order) {
  double rate = drawn->sum / draws->samples;
  double variance =
      (drawn->squares - 2 * rate * drawn->with_samples + rate * rate * draws->samples_squares) /
      draws->n;
  double most = rate * batch + excess(n, variance, drawn->most) + 2 * drawn->most;
  return most < (double)in_any_order ? (int64_t)most : in_any_order;
}

static void take_drawn(const mr_dataset *dataset, double batch, struct mr__largest *out) {
  struct draws draws;
  sum_draws(dataset, &draws);
  if (draws.n < 1) return;
  double n = requests_drawn(&draws, batch);
  if (n + 2 < (double)out->rows[MR_REQUEST]) out->rows[MR_REQUEST] = (int64_t)n + 2;
  for (int domain = 0; domain < MR_DOMAINS; domain++)
    out->bytes[domain] = most_drawn(&draws, &draws.of[domain], n, batch, out->bytes[domain]);
  out->pair_bytes = most_drawn(&draws, &draws.pairs, n, batch, out->pair_bytes);
}

/* ---- */

void mr__dataset_largest(const mr_dataset *dataset, int64_t batch, int is_drawn,
                         struct mr__largest *out) {
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
  if (is_drawn) take_drawn(dataset, (double)batch, out);
}
