/* Calibration in bins: whether of the rows that were given 3 % three in a hundred were clicked.
 *
 * Rows are sorted by score and cut into bins of equal count. Rows of one score stay together, in
 * the bin that the first of them falls into, so no order of the rows changes a bin; a bin that
 * is left without rows is not there. Per bin
 *
 *   mean probability p, share of positives y, and the 95 % interval of y (Wilson 1927):
 *   (y + z^2 / 2n +- z sqrt(y (1 - y) / n + z^2 / 4n^2)) / (1 + z^2 / n),  z = 1.96
 *
 * and over all bins the expected calibration error, sum n_b |p_b - y_b| / n. Where rows have
 * weights, shares and n are of weights, and n in the interval is that of Kish, (sum w)^2 / sum
 * w^2. */
#include "metric/scores.h"

#include "base/alloc.h"

enum { MOST_BINS = 100000 };

struct job {
  const mr_scores *rows;
  const uint64_t *sorted; /* [n] score key << 32 | row */
  int32_t form;
};

/* Of the bin at work, over its rows. */
struct sums {
  double weight, squares, p, y;
};

/* Add the sorted rows [from, to), which have one score, to a bin. */
static void add_run(const struct job *job, mr_bin *bin, struct sums *sums, int64_t from,
                    int64_t to) {
  const mr_scores *rows = job->rows;
  bin->most = mr__score_of_key((uint32_t)(job->sorted[from] >> 32));
  if (bin->rows == 0) bin->least = bin->most;
  double score = (double)bin->most, weight = 0;
  double p = job->form == MR_LOGIT ? mr__scores_probability(score, exp(-fabs(score))) : score;
  for (int64_t i = from; i < to; i++) {
    uint32_t row = (uint32_t)job->sorted[i];
    double w = mr__scores_weight(rows, row);
    int positive = rows->labels[row] != 0.0f;
    bin->positives += positive;
    sums->y += positive ? w : 0;
    sums->squares += w * w;
    weight += w;
  }
  bin->rows += to - from;
  sums->p += p * weight;
  sums->weight += weight;
}

static void finish(mr_bin *bin, const struct sums *sums) {
  const double z = 1.959963984540054;
  double y = sums->y / sums->weight;
  double n = sums->weight * sums->weight / sums->squares, wide = z * z / n;
  double half = z * sqrt(y * (1 - y) / n + wide / (4 * n));
  bin->mean_probability = sums->p / sums->weight;
  bin->mean_label = y;
  bin->low = y <= 0 ? 0 : (y + wide / 2 - half) / (1 + wide);
  bin->high = y >= 1 ? 1 : (y + wide / 2 + half) / (1 + wide);
}

static void cut(const struct job *job, mr_reliability *out, mr_bin *bins, int32_t n_bins) {
  const uint64_t *sorted = job->sorted;
  int64_t n = job->rows->n, bin = 0; /* that a row falls into */
  double error = 0, weight = 0;
  for (int64_t from = 0; from < n;) {
    mr_bin *at = &bins[out->n_bins];
    struct sums sums = {0};
    *at = (mr_bin){0};
    while (mr__scores_cut(n, n_bins, bin + 1) <= from) bin++;
    while (from < mr__scores_cut(n, n_bins, bin + 1)) {
      int64_t to = from + 1;
      while (to < n && sorted[to] >> 32 == sorted[from] >> 32) to++;
      add_run(job, at, &sums, from, to);
      from = to;
    }
    if (sums.weight == 0) continue; /* the next takes its place */
    finish(at, &sums);
    out->n_bins++;
    weight += sums.weight;
    error += sums.weight * fabs(at->mean_probability - at->mean_label);
  }
  out->calibration_error = error / weight;
}

int mr_metric_reliability(mr_reliability *out, mr_bin *bins, int32_t n_bins, const mr_scores *rows,
                          int32_t form) {
  *out = (mr_reliability){NAN, 0};
  if (n_bins < 1 || n_bins > MOST_BINS)
    return mr__fail(MR_EINVAL, "bins is %d, expected 1 to %d", (int)n_bins, MOST_BINS);
  MR_TRY(mr__scores_check_form(rows, form));
  int64_t n = rows->n;
  MR_TRY(mr__scores_check_count(n));
  if (n == 0) return MR_OK;
  uint64_t *keys = mr__malloc((size_t)n * sizeof *keys), *sorted = NULL;
  if (keys) sorted = mr__malloc((size_t)n * sizeof *sorted);
  if (sorted) {
    for (int64_t i = 0; i < n; i++)
      keys[i] = (uint64_t)mr__score_key(rows->scores[i]) << 32 | (uint64_t)i;
    mr__scores_sort(keys, sorted, n);
    cut(&(struct job){rows, sorted, form}, out, bins, n_bins);
  }
  mr__free(keys);
  mr__free(sorted);
  return sorted ? MR_OK : mr__fail_memory();
}
