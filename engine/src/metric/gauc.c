/* GAUC: the AUC inside every group (user), averaged by the group's rows.
 *
 *   gauc = sum_u n_u AUC_u / sum_u n_u          over the groups u that have both classes
 *
 * (Zhou et al., "Deep Interest Network", KDD 2018, eq. 10, n_u = impressions; the variant with
 * n_u = clicks is given beside it.)
 *
 * Rows are sorted by (group, score) in place: a radix sort from the highest byte down, linear in
 * the rows whatever the groups look like: one huge, all of one row, or keys that share most bytes.
 * 16 bytes of memory a row. The first byte cuts the rows into parts of whole groups, which the
 * threads take; before, they take blocks of the rows, count where each part's go, and put them
 * there.
 *
 * n_u AUC_u is rounded once, to a multiple of 2^-64, and summed as an integer: the order of groups
 * and the number of threads change nothing. With weights n_u is the sum of the group's, and sums
 * are of doubles, in the order of the groups. */
#include "metric/scores.h"

#include "base/alloc.h"

enum { BYTES = 256, SMALL = 32, BLOCKS = 16 };

struct row {
  uint64_t group;
  uint32_t score;
  uint32_t mark; /* the top bit: its label; the others: those of its weight, if there is one */
};

enum { LABEL_BIT = 31 };

struct tally {
  mr__u128 won_by_rows, won_by_clicks; /* in units of 2^-64 */
  int64_t groups, groups_used, rows_used, clicks_used;
  double weighted_rows, weighted_clicks, weighted_won, weighted_won_by_clicks;
};

struct job {
  const mr_scores *from;
  struct row *rows;
  int64_t next[BLOCKS][BYTES]; /* how many rows of each part a block has, then where they go */
  int64_t bounds[BYTES + 1];   /* part i is rows[bounds[i]] up to rows[bounds[i + 1]] */
  struct tally tallies[BYTES];
};

/* The top bit of a weight is its sign, which is always 0. */
static uint32_t mark_of(const mr_scores *from, int64_t i) {
  uint32_t bits = 0;
  if (from->weights) memcpy(&bits, &from->weights[i], sizeof bits);
  bits &= ~(UINT32_C(1) << LABEL_BIT); /* of -0 */
  return bits | (uint32_t)(from->labels[i] != 0.0f) << LABEL_BIT;
}

static float weight_of(const struct row *row) {
  uint32_t bits = row->mark & ~(UINT32_C(1) << LABEL_BIT);
  float weight;
  memcpy(&weight, &bits, sizeof weight);
  return weight;
}

static int count_block(void *argument, int64_t block, int worker) {
  (void)worker;
  struct job *job = argument;
  const mr_scores *from = job->from;
  int64_t end = mr__scores_cut(from->n, BLOCKS, block + 1);
  for (int64_t i = mr__scores_cut(from->n, BLOCKS, block); i < end; i++)
    job->next[block][mr__scores_mix(from->groups[i]) >> 56]++;
  return MR_OK;
}

static int fill_block(void *argument, int64_t block, int worker) {
  (void)worker;
  struct job *job = argument;
  const mr_scores *from = job->from;
  int64_t end = mr__scores_cut(from->n, BLOCKS, block + 1);
  for (int64_t i = mr__scores_cut(from->n, BLOCKS, block); i < end; i++) {
    uint64_t group = mr__scores_mix(from->groups[i]);
    job->rows[job->next[block][group >> 56]++] = (struct row){
        .group = group, .score = mr__score_key(from->scores[i]), .mark = mark_of(from, i)};
  }
  return MR_OK;
}

/* The rows into their parts, in the order in which they are given. */
static int fill_parts(struct job *job, mr_pool *pool) {
  MR_TRY(mr__pool_run(pool, count_block, job, BLOCKS));
  int64_t place = 0;
  for (int part = 0; part < BYTES; part++) {
    job->bounds[part] = place;
    for (int block = 0; block < BLOCKS; block++) {
      int64_t here = job->next[block][part];
      job->next[block][part] = place;
      place += here;
    }
  }
  job->bounds[BYTES] = place;
  return mr__pool_run(pool, fill_block, job, BLOCKS);
}

static int comes_before(const struct row *a, const struct row *b) {
  return a->group != b->group ? a->group < b->group : a->score < b->score;
}

static void insertion_sort(struct row *rows, int64_t n) {
  for (int64_t i = 1; i < n; i++) {
    struct row row = rows[i];
    int64_t at = i;
    for (; at > 0 && comes_before(&row, &rows[at - 1]); at--) rows[at] = rows[at - 1];
    rows[at] = row;
  }
}

/* Bytes 0 to 7 are those of the group, 8 to 11 those of the score, highest first. */
enum { SCORE_BYTE = 8, END_BYTE = 12 };

static unsigned byte_of(const struct row *row, int byte) {
  return byte < SCORE_BYTE ? (unsigned)(row->group >> (56 - 8 * byte)) & 0xFF
                           : row->score >> (24 - 8 * (byte - SCORE_BYTE)) & 0xFF;
}

/* The first byte in which the rows differ, or END_BYTE. */
static int first_difference(const struct row *rows, int64_t n) {
  uint64_t group = 0;
  uint32_t score = 0;
  for (int64_t i = 1; i < n; i++) {
    group |= rows[i].group ^ rows[0].group;
    score |= rows[i].score ^ rows[0].score;
  }
  if (group) return __builtin_clzll(group) / 8;
  return score ? SCORE_BYTE + __builtin_clz(score) / 8 : END_BYTE;
}

/* Put the rows in order of one byte; value v ends up in rows[bounds[v]] up to rows[bounds[v + 1]].
 * In place (McIlroy, Bostic and McIlroy, "Engineering Radix Sort", 1993): every row is swapped into
 * the next free place of its value. */
static void split_by_byte(struct row *rows, int64_t n, int byte, int64_t bounds[BYTES + 1]) {
  int64_t next[BYTES] = {0};
  for (int64_t i = 0; i < n; i++) next[byte_of(&rows[i], byte)]++;
  bounds[0] = 0;
  for (int v = 0; v < BYTES; v++) {
    bounds[v + 1] = bounds[v] + next[v];
    next[v] = bounds[v];
  }
  for (int v = 0; v < BYTES; v++)
    while (next[v] < bounds[v + 1]) {
      struct row row = rows[next[v]];
      for (unsigned home; (home = byte_of(&row, byte)) != (unsigned)v;) {
        struct row moved_out = rows[next[home]];
        rows[next[home]++] = row;
        row = moved_out;
      }
      rows[next[v]++] = row;
    }
}

/* Every level fixes at least one byte, so it is at most END_BYTE deep. */
static void sort_rows(struct row *rows, int64_t n) {
  if (n <= SMALL) {
    insertion_sort(rows, n);
    return;
  }
  int byte = first_difference(rows, n);
  if (byte == END_BYTE) return;
  int64_t bounds[BYTES + 1];
  split_by_byte(rows, n, byte, bounds);
  for (int v = 0; v < BYTES; v++) sort_rows(rows + bounds[v], bounds[v + 1] - bounds[v]);
}

static mr__u128 in_units(double won) { return (mr__u128)(won * 0x1p64); }

static void add_group(struct tally *tally, const struct mr__pairs *pairs) {
  tally->groups++;
  if (pairs->positives == 0 || pairs->negatives == 0) return;
  double auc = mr__pairs_auc(pairs);
  int64_t n = pairs->positives + pairs->negatives;
  tally->groups_used++;
  tally->rows_used += n;
  tally->clicks_used += pairs->positives;
  tally->won_by_rows += in_units((double)n * auc);
  tally->won_by_clicks += in_units((double)pairs->positives * auc);
}

/* rows sorted by (group, score) */
static void count_groups(struct tally *tally, const struct row *rows, int64_t n) {
  for (int64_t i = 0; i < n;) {
    struct mr__pairs pairs = {0};
    uint64_t group = rows[i].group;
    while (i < n && rows[i].group == group) {
      uint32_t score = rows[i].score;
      int64_t count[2] = {0};
      for (; i < n && rows[i].group == group && rows[i].score == score; i++)
        count[rows[i].mark >> LABEL_BIT]++;
      mr__pairs_add(&pairs, count[1], count[0]);
    }
    add_group(tally, &pairs);
  }
}

static void add_weighted_group(struct tally *tally, const struct mr__weighted_pairs *pairs,
                               int64_t rows) {
  double auc = mr__weighted_pairs_auc(pairs);
  tally->groups++;
  if (isnan(auc)) return;
  double clicks = mr__weight_of(pairs->positives), n = clicks + mr__weight_of(pairs->negatives);
  tally->groups_used++;
  tally->rows_used += rows;
  tally->weighted_rows += n;
  tally->weighted_clicks += clicks;
  tally->weighted_won += n * auc;
  tally->weighted_won_by_clicks += clicks * auc;
}

/* Pairs of the rows of the group that starts at `i`, which moves behind it. */
static struct mr__weighted_pairs weigh_group(const struct row *rows, int64_t n, int64_t *at) {
  struct mr__weighted_pairs pairs = {0};
  int64_t i = *at;
  uint64_t group = rows[i].group;
  while (i < n && rows[i].group == group) {
    uint32_t score = rows[i].score;
    mr__u128 weight[2] = {0};
    for (; i < n && rows[i].group == group && rows[i].score == score; i++)
      weight[rows[i].mark >> LABEL_BIT] += mr__weight_units(weight_of(&rows[i]));
    mr__weighted_pairs_add(&pairs, weight[1], weight[0]);
  }
  *at = i;
  return pairs;
}

static void weigh_groups(struct tally *tally, const struct row *rows, int64_t n) {
  for (int64_t i = 0, first = 0; i < n; first = i) {
    struct mr__weighted_pairs pairs = weigh_group(rows, n, &i);
    add_weighted_group(tally, &pairs, i - first);
  }
}

static int run_part(void *argument, int64_t part, int worker) {
  (void)worker;
  struct job *job = argument;
  struct row *rows = job->rows + job->bounds[part];
  int64_t n = job->bounds[part + 1] - job->bounds[part];
  sort_rows(rows, n);
  if (job->from->weights)
    weigh_groups(&job->tallies[part], rows, n);
  else
    count_groups(&job->tallies[part], rows, n);
  return MR_OK;
}

static void sum_up(mr_gauc *out, const struct job *job) {
  struct tally sum = {0};
  for (int i = 0; i < BYTES; i++) {
    const struct tally *part = &job->tallies[i];
    sum.won_by_rows += part->won_by_rows;
    sum.won_by_clicks += part->won_by_clicks;
    sum.groups += part->groups;
    sum.groups_used += part->groups_used;
    sum.rows_used += part->rows_used;
    sum.clicks_used += part->clicks_used;
    sum.weighted_rows += part->weighted_rows;
    sum.weighted_clicks += part->weighted_clicks;
    sum.weighted_won += part->weighted_won;
    sum.weighted_won_by_clicks += part->weighted_won_by_clicks;
  }
  out->groups = sum.groups;
  out->groups_used = sum.groups_used;
  out->rows_used = sum.rows_used;
  if (sum.groups_used == 0) return;
  if (job->from->weights) {
    out->gauc = sum.weighted_won / sum.weighted_rows;
    out->gauc_by_clicks = sum.weighted_won_by_clicks / sum.weighted_clicks;
    return;
  }
  out->gauc = (double)sum.won_by_rows * 0x1p-64 / (double)sum.rows_used;
  out->gauc_by_clicks = (double)sum.won_by_clicks * 0x1p-64 / (double)sum.clicks_used;
}

int mr__weighted_auc(double *out, const mr_scores *rows) {
  size_t size;
  if (__builtin_mul_overflow((size_t)rows->n, sizeof(struct row), &size)) return mr__fail_memory();
  struct row *sorted = mr__malloc_pages(size);
  if (!sorted) return mr__fail_memory();
  for (int64_t i = 0; i < rows->n; i++)
    sorted[i] = (struct row){.score = mr__score_key(rows->scores[i]), .mark = mark_of(rows, i)};
  sort_rows(sorted, rows->n);
  int64_t at = 0;
  struct mr__weighted_pairs pairs = weigh_group(sorted, rows->n, &at);
  *out = mr__weighted_pairs_auc(&pairs);
  mr__free_pages(sorted, size);
  return MR_OK;
}

int mr_metric_gauc(mr_gauc *out, const mr_scores *rows, mr_pool *pool) {
  *out = (mr_gauc){.gauc = NAN, .gauc_by_clicks = NAN};
  MR_TRY(mr__scores_check(rows));
  if (rows->n == 0) return MR_OK;
  if (!rows->groups) return mr__fail(MR_EINVAL, "groups are missing");
  size_t size;
  if (__builtin_mul_overflow((size_t)rows->n, sizeof(struct row), &size)) return mr__fail_memory();
  struct job job = {.from = rows, .rows = mr__malloc_pages(size)};
  if (!job.rows) return mr__fail_memory();
  int status = fill_parts(&job, pool);
  if (status == MR_OK) status = mr__pool_run(pool, run_part, &job, BYTES);
  if (status == MR_OK) sum_up(out, &job);
  mr__free_pages(job.rows, size);
  return status;
}
