/* Exact AUC. Scores become integers of the same order, positives at the front of one array and
 * negatives behind them; both parts are radix sorted and merged. Linear in the rows, 8 bytes of
 * memory a row.
 *
 * Rows are cut into parts, each a task, and so is every pass of a sort: a part counts its digits,
 * the counts of all parts become the places that each writes to, and then it moves its keys. The
 * merge is cut by positives. Sums are integers: neither cut nor threads change the result.
 *
 * Rows with weights are judged as one group of GAUC, on one thread.
 *
 * Not a histogram of the scores, the usual shortcut: the ties it makes up depend on where the
 * scores happen to lie. */
#include "metric/scores.h"

#include "base/alloc.h"

enum { DIGIT_BITS = 11, DIGITS = 3, VALUES = 1 << DIGIT_BITS, MOST_PARTS = 16, LARGE = 65536 };

struct job {
  const mr_scores *rows;
  int parts;
  int64_t n_positives, n_negatives;
  const uint32_t *positives, *negatives; /* sorted */
  /* Of the pass at work: */
  uint32_t *keys, *spare;
  int64_t n;
  int digit;
  int64_t next[MOST_PARTS][VALUES]; /* how many keys of each value a part has, then where they go */
  struct mr__pairs pairs[MOST_PARTS];
};

static int64_t cut(const struct job *job, int64_t n, int64_t i) {
  return mr__scores_cut(n, job->parts, i);
}

static unsigned value_of(uint32_t key, int digit) {
  return key >> (digit * DIGIT_BITS) & (VALUES - 1);
}

/* ---- keys: those of positives into keys[0 ..], of negatives into keys[n_positives ..] ---- */

static int count_classes(void *argument, int64_t part, int worker) {
  (void)worker;
  struct job *job = argument;
  int64_t begin = cut(job, job->rows->n, part), end = cut(job, job->rows->n, part + 1),
          positives = 0;
  for (int64_t i = begin; i < end; i++) positives += job->rows->labels[i] != 0.0f;
  job->next[part][1] = positives;
  job->next[part][0] = end - begin - positives;
  return MR_OK;
}

static int split_part(void *argument, int64_t part, int worker) {
  (void)worker;
  struct job *job = argument;
  const mr_scores *rows = job->rows;
  int64_t next[2] = {job->next[part][0], job->next[part][1]};
  int64_t end = cut(job, rows->n, part + 1);
  uint32_t *keys = job->keys;
  for (int64_t i = cut(job, rows->n, part); i < end; i++)
    keys[next[rows->labels[i] != 0.0f]++] = mr__score_key(rows->scores[i]);
  return MR_OK;
}

/* Counts become the places where each part's keys of each value go. Returns 0 when all n keys share
 * one value, so that there is nothing to move. */
static int places_of(struct job *job, int64_t n) {
  int64_t place = 0;
  for (int v = 0; v < VALUES; v++) {
    int64_t before = place;
    for (int part = 0; part < job->parts; part++) {
      int64_t here = job->next[part][v];
      job->next[part][v] = place;
      place += here;
    }
    if (place - before == n) return 0;
  }
  return 1;
}

/* ---- sorting ---- */

static int count_digits(void *argument, int64_t part, int worker) {
  (void)worker;
  struct job *job = argument;
  int64_t *count = job->next[part], end = cut(job, job->n, part + 1);
  const uint32_t *keys = job->keys;
  int digit = job->digit;
  memset(count, 0, sizeof job->next[part]);
  for (int64_t i = cut(job, job->n, part); i < end; i++) count[value_of(keys[i], digit)]++;
  return MR_OK;
}

static int move_keys(void *argument, int64_t part, int worker) {
  (void)worker;
  struct job *job = argument;
  int64_t *next = job->next[part], end = cut(job, job->n, part + 1);
  const uint32_t *keys = job->keys;
  uint32_t *spare = job->spare;
  int digit = job->digit;
  for (int64_t i = cut(job, job->n, part); i < end; i++)
    spare[next[value_of(keys[i], digit)]++] = keys[i];
  return MR_OK;
}

/* Sort ascending, lowest digit first. *sorted is the one of the two arrays that holds the result.
 */
static int sort_keys(struct job *job, uint32_t *keys, uint32_t *spare, int64_t n, mr_pool *pool,
                     const uint32_t **sorted) {
  job->keys = keys;
  job->spare = spare;
  job->n = n;
  for (job->digit = 0; job->digit < DIGITS; job->digit++) {
    MR_TRY(mr__pool_run(pool, count_digits, job, job->parts));
    if (!places_of(job, n)) continue;
    MR_TRY(mr__pool_run(pool, move_keys, job, job->parts));
    uint32_t *moved = job->spare;
    job->spare = job->keys;
    job->keys = moved;
  }
  *sorted = job->keys;
  return MR_OK;
}

/* ---- counting ---- */

/* The end of the run of equal keys that starts at `from`. */
static int64_t run_end(const uint32_t *keys, int64_t from, int64_t n) {
  int64_t end = from;
  while (end < n && keys[end] == keys[from]) end++;
  return end;
}

/* The first of the sorted keys that is not below `key`. */
static int64_t lower_bound(const uint32_t *keys, int64_t n, uint32_t key) {
  int64_t from = 0;
  while (n > 0) {
    int64_t half = n / 2;
    if (keys[from + half] < key) {
      from += half + 1;
      n -= half + 1;
    } else {
      n = half;
    }
  }
  return from;
}

/* Pairs of a part of the positives, runs of equal ones whole, with all negatives. */
static int count_pairs(void *argument, int64_t part, int worker) {
  (void)worker;
  struct job *job = argument;
  const uint32_t *positives = job->positives, *negatives = job->negatives;
  int64_t n = job->n_negatives, p = cut(job, job->n_positives, part),
          end = cut(job, job->n_positives, part + 1);
  while (p > 0 && p < end && positives[p] == positives[p - 1]) p++; /* that run began before */
  struct mr__pairs pairs = {0};
  int64_t q = p < end ? lower_bound(negatives, n, positives[p]) : 0;
  pairs.negatives = q;
  while (p < end) {
    int64_t p_end = run_end(positives, p, job->n_positives), below = q;
    while (q < n && negatives[q] < positives[p]) q++;
    mr__pairs_add(&pairs, 0, q - below);
    int64_t tied = q;
    while (q < n && negatives[q] == positives[p]) q++;
    mr__pairs_add(&pairs, p_end - p, q - tied);
    p = p_end;
  }
  job->pairs[part] = pairs;
  return MR_OK;
}

static int sort_and_count(struct job *job, uint32_t *keys, mr_pool *pool) {
  int64_t n = job->rows->n, p = job->n_positives, q = job->n_negatives;
  job->keys = keys;
  MR_TRY(mr__pool_run(pool, split_part, job, job->parts));
  MR_TRY(sort_keys(job, keys, keys + n, p, pool, &job->positives));
  MR_TRY(sort_keys(job, keys + p, keys + n + p, q, pool, &job->negatives));
  return mr__pool_run(pool, count_pairs, job, job->parts);
}

static int judge(mr_auc *out, struct job *job, mr_pool *pool) {
  MR_TRY(mr__pool_run(pool, count_classes, job, job->parts));
  for (int part = 0; part < job->parts; part++) {
    int64_t positives = job->next[part][1], negatives = job->next[part][0];
    job->next[part][1] = job->n_positives;
    job->next[part][0] = job->n_negatives;
    job->n_positives += positives;
    job->n_negatives += negatives;
  }
  out->positives = job->n_positives;
  out->negatives = job->n_negatives;
  if (out->positives == 0 || out->negatives == 0) return MR_OK;
  if (job->rows->weights) return mr__weighted_auc(&out->auc, job->rows);
  for (int part = 0; part < job->parts; part++) job->next[part][0] += job->n_positives;
  size_t size;
  if (__builtin_mul_overflow((size_t)job->rows->n, 2 * sizeof(uint32_t), &size))
    return mr__fail_memory();
  uint32_t *keys = mr__malloc_pages(size);
  if (!keys) return mr__fail_memory();
  int status = sort_and_count(job, keys, pool);
  mr__free_pages(keys, size);
  MR_TRY(status);
  struct mr__pairs sum = {.positives = job->n_positives, .negatives = job->n_negatives};
  for (int part = 0; part < job->parts; part++) sum.twice_won += job->pairs[part].twice_won;
  out->auc = mr__pairs_auc(&sum);
  return MR_OK;
}

int mr_metric_auc(mr_auc *out, const mr_scores *rows, mr_pool *pool) {
  *out = (mr_auc){.auc = NAN};
  MR_TRY(mr__scores_check(rows));
  if (rows->n == 0) return MR_OK;
  struct job *job = mr__calloc(1, sizeof *job); /* a quarter of a megabyte */
  if (!job) return mr__fail_memory();
  job->rows = rows;
  job->parts = rows->n < LARGE ? 1 : MOST_PARTS;
  int status = judge(out, job, pool);
  mr__free(job);
  return status;
}
