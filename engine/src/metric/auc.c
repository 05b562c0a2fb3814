/* Exact AUC. Scores become integers of the same order, positives at the front of one array and
 * negatives behind them; both parts are radix sorted and merged. Linear in the rows, 8 bytes of
 * memory a row.
 *
 * Not a histogram of the scores, the usual shortcut: the ties it makes up depend on where the
 * scores happen to lie. */
#include "metric/scores.h"

#include "base/alloc.h"

enum { DIGIT_BITS = 11, DIGITS = 3, VALUES = 1 << DIGIT_BITS };

static unsigned digit(uint32_t key, int d) { return key >> (d * DIGIT_BITS) & (VALUES - 1); }

/* Keys of positives into keys[0 ..], of negatives into keys[positives ..]. */
static void split_keys(const mr_scores *rows, int64_t positives, uint32_t *keys) {
  int64_t next[2] = {positives, 0};
  for (int64_t i = 0; i < rows->n; i++)
    keys[next[rows->labels[i] != 0.0f]++] = mr__score_key(rows->scores[i]);
}

static int64_t count_positives(const mr_scores *rows) {
  int64_t positives = 0;
  for (int64_t i = 0; i < rows->n; i++) positives += rows->labels[i] != 0.0f;
  return positives;
}

/* Counts of one digit become the places where its values start. Returns 0 when all keys share one
 * value, so that there is nothing to move. */
static int starts_of(int64_t *count, int64_t n) {
  int64_t start = 0;
  for (int v = 0; v < VALUES; v++) {
    int64_t here = count[v];
    if (here == n) return 0;
    count[v] = start;
    start += here;
  }
  return 1;
}

/* Sort ascending, lowest digit first. Returns the one of the two arrays that holds the result. */
static uint32_t *sort_keys(uint32_t *keys, uint32_t *spare, int64_t n) {
  int64_t count[DIGITS][VALUES] = {{0}};
  for (int64_t i = 0; i < n; i++)
    for (int d = 0; d < DIGITS; d++) count[d][digit(keys[i], d)]++;
  for (int d = 0; d < DIGITS; d++) {
    if (!starts_of(count[d], n)) continue;
    for (int64_t i = 0; i < n; i++) spare[count[d][digit(keys[i], d)]++] = keys[i];
    uint32_t *sorted = spare;
    spare = keys;
    keys = sorted;
  }
  return keys;
}

/* The end of the run of equal keys that starts at `from`. */
static int64_t run_end(const uint32_t *keys, int64_t from, int64_t n) {
  int64_t end = from;
  while (end < n && keys[end] == keys[from]) end++;
  return end;
}

/* positives and negatives sorted ascending */
static void count_pairs(struct mr__pairs *pairs, const uint32_t *positives, int64_t n_positives,
                        const uint32_t *negatives, int64_t n_negatives) {
  for (int64_t p = 0, q = 0; p < n_positives;) {
    int64_t p_end = run_end(positives, p, n_positives), below = q;
    while (q < n_negatives && negatives[q] < positives[p]) q++;
    mr__pairs_add(pairs, 0, q - below);
    int64_t tied = q;
    while (q < n_negatives && negatives[q] == positives[p]) q++;
    mr__pairs_add(pairs, p_end - p, q - tied);
    p = p_end;
  }
}

int mr_metric_auc(mr_auc *out, const mr_scores *rows) {
  *out = (mr_auc){.auc = NAN};
  MR_TRY(mr__scores_check(rows));
  int64_t n = rows->n, p = count_positives(rows), q = n - p;
  out->positives = p;
  out->negatives = q;
  if (p == 0 || q == 0) return MR_OK;
  size_t size;
  if (__builtin_mul_overflow((size_t)n, 2 * sizeof(uint32_t), &size)) return mr__fail_memory();
  uint32_t *keys = mr__malloc_pages(size);
  if (!keys) return mr__fail_memory();
  split_keys(rows, p, keys);
  uint32_t *positives = sort_keys(keys, keys + n, p);
  uint32_t *negatives = sort_keys(keys + p, keys + n + p, q);
  struct mr__pairs pairs = {0};
  count_pairs(&pairs, positives, p, negatives, q);
  pairs.negatives = q; /* those above every positive win nothing and were not visited */
  mr__free_pages(keys, size);
  out->auc = mr__pairs_auc(&pairs);
  return MR_OK;
}
