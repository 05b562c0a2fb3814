/* Two models on the same rows: by how much their figures differ, and how far that could be chance.
 *
 * Rows of one group (user) are not independent, so whole groups are drawn, with the Poisson form of
 * the bootstrap (Chamandy et al. 2012): in each draw a group counts w times, w from Poisson(1), a
 * function of (seed, draw, group) only. Both models are judged on the same draw, so what they have
 * in common cancels. The interval is that of the middle 95 % of the draws' differences; p is twice
 * the share of draws on the smaller side of no difference.
 *
 * Rows are sorted by each model's score once, and cut into the bins of the calibration error, which
 * stay what they are; a draw is then one walk over them, with w as weights. Draws are tasks; the
 * threads change nothing. All counts are sums of weights, where rows have none of 1 each: exact up
 * to 2^53. */
#include "metric/scores.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/random.h"

enum { MODELS = 2, BINS = 10 };
enum { AUC, GAUC, LOGLOSS, ENTROPY, CALIBRATION, ERROR, FIGURES };

/* A row in the order of a model's scores: group * 4 + label * 2 + whether the next one ties. */
typedef uint64_t entry;

struct group {
  double weight, positives; /* sums of its rows' weights */
  double loss[MODELS];      /* sum over its rows */
  double p[MODELS];         /* and of what is predicted */
  double auc[MODELS];       /* NaN where a class is missing */
  double below, in_run;     /* negatives, while rows are walked through */
  double won;
};

struct job {
  const mr_scores *rows;
  const float *scores[MODELS];
  uint64_t seed;
  uint32_t *group_of; /* [rows] */
  struct group *groups;
  int64_t n_groups;
  entry *order[MODELS];  /* [rows] */
  float *weight[MODELS]; /* [rows] in that order; NULL: 1 each */
  double *gap[MODELS];   /* [rows] in that order: predicted less label */
  int64_t bin_end[MODELS][BINS];
  int32_t draws;
  double *differences[FIGURES]; /* [draws] */
};

/* ---- groups, numbered as they first come ---- */

static int make_groups(struct job *job) {
  int64_t n = job->rows->n;
  job->group_of = mr__calloc((size_t)n, sizeof *job->group_of);
  if (!job->group_of) return mr__fail_memory();
  if (job->rows->groups) {
    MR_TRY(mr_keys_number(job->group_of, &job->n_groups, job->rows->groups, n));
  } else {
    for (int64_t i = 0; i < n; i++) job->group_of[i] = (uint32_t)i;
    job->n_groups = n;
  }
  job->groups = mr__calloc((size_t)job->n_groups, sizeof *job->groups);
  if (!job->groups) return mr__fail_memory();
  for (int64_t i = 0; i < n; i++) {
    struct group *group = &job->groups[job->group_of[i]];
    int positive = job->rows->labels[i] != 0.0f;
    double weight = mr__scores_weight(job->rows, i);
    group->weight += weight;
    group->positives += positive ? weight : 0;
    for (int m = 0; m < MODELS; m++) {
      double logit = (double)job->scores[m][i], small = exp(-fabs(logit));
      double loss = mr__scores_loss(logit, small, positive);
      group->loss[m] += weight > 0 ? weight * loss : 0;
      group->p[m] += weight * mr__scores_probability(logit, small);
    }
  }
  return MR_OK;
}

/* ---- the order of a model's scores ---- */

static int sort_rows(void *argument, int64_t m, int worker) {
  (void)worker;
  struct job *job = argument;
  int64_t n = job->rows->n;
  uint64_t *keys = mr__malloc((size_t)n * sizeof *keys);
  if (!keys) return mr__fail_memory();
  uint64_t *sorted = job->order[m]; /* the sorted keys become entries there */
  for (int64_t i = 0; i < n; i++)
    keys[i] = (uint64_t)mr__score_key(job->scores[m][i]) << 32 | (uint64_t)i;
  mr__scores_sort(keys, sorted, n);
  for (int64_t i = 0; i < n; i++) {
    uint32_t row = (uint32_t)sorted[i];
    uint64_t ties = i + 1 < n && sorted[i + 1] >> 32 == sorted[i] >> 32;
    uint64_t positive = job->rows->labels[row] != 0.0f;
    double logit = (double)job->scores[m][row];
    job->gap[m][i] = mr__scores_probability(logit, exp(-fabs(logit))) - (double)positive;
    sorted[i] = (uint64_t)job->group_of[row] << 2 | positive << 1 | ties;
    if (job->weight[m]) job->weight[m][i] = job->rows->weights[row];
  }
  mr__free(keys);
  for (int b = 0; b < BINS; b++) { /* as mr_metric_reliability cuts: ties go with their first row */
    int64_t end = mr__scores_cut(n, BINS, b + 1);
    while (end > 0 && end < n && sorted[end - 1] & 1) end++;
    job->bin_end[m][b] = end;
  }
  return MR_OK;
}

/* ---- the AUC inside each group ---- */

static double weight_at(const float *weights, int64_t i) {
  return weights ? (double)weights[i] : 1;
}

static void judge_run(struct group *groups, const entry *run, const float *weights, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    if (!(run[i] & 2)) groups[run[i] >> 2].in_run += weight_at(weights, i);
  for (int64_t i = 0; i < n; i++) {
    struct group *group = &groups[run[i] >> 2];
    if (run[i] & 2) group->won += weight_at(weights, i) * (group->below + 0.5 * group->in_run);
  }
  for (int64_t i = 0; i < n; i++) {
    struct group *group = &groups[run[i] >> 2];
    group->below += group->in_run;
    group->in_run = 0;
  }
}

static double auc_of(double won, double positives, double negatives) {
  return positives > 0 && negatives > 0 ? won / (positives * negatives) : NAN;
}

static void judge_groups(struct job *job, int m) {
  int64_t n = job->rows->n;
  const entry *order = job->order[m];
  const float *weights = job->weight[m];
  for (int64_t first = 0, i = 0; i < n; i++)
    if (!(order[i] & 1)) {
      judge_run(job->groups, order + first, weights ? weights + first : NULL, i + 1 - first);
      first = i + 1;
    }
  for (int64_t g = 0; g < job->n_groups; g++) {
    struct group *group = &job->groups[g];
    group->auc[m] = auc_of(group->won, group->positives, group->below);
    group->below = 0;
    group->won = 0;
  }
}

/* ---- figures with weights ---- */

/* The AUC, and the sum of what the bins are off, of a model's rows. */
static void walk(const struct job *job, int m, const unsigned char *draws, double *auc,
                 double *off) {
  const entry *order = job->order[m];
  double won = 0, sum[2] = {0, 0}, run[2] = {0, 0}; /* negatives, positives */
  *off = 0;
  for (int64_t b = 0, i = 0; b < BINS; b++) {
    double gap = 0;
    for (; i < job->bin_end[m][b]; i++) {
      double weight = weight_at(job->weight[m], i) * draws[order[i] >> 2];
      gap += weight * job->gap[m][i];
      run[order[i] >> 1 & 1] += weight;
      if (order[i] & 1) continue;
      won += run[1] * (sum[0] + 0.5 * run[0]);
      for (int label = 0; label < 2; label++) {
        sum[label] += run[label];
        run[label] = 0;
      }
    }
    *off += fabs(gap);
  }
  *auc = auc_of(won, sum[1], sum[0]);
}

static void judge(const struct job *job, const unsigned char *weights,
                  double out[FIGURES][MODELS]) {
  double auc[MODELS] = {0}, loss[MODELS] = {0}, p[MODELS] = {0}, used = 0, rows = 0, positives = 0;
  for (int64_t g = 0; g < job->n_groups; g++) {
    const struct group *group = &job->groups[g];
    double n = weights[g] * group->weight;
    rows += n;
    positives += weights[g] * group->positives;
    for (int m = 0; m < MODELS; m++) {
      loss[m] += weights[g] * group->loss[m];
      p[m] += weights[g] * group->p[m];
    }
    if (isnan(group->auc[0])) continue;
    used += n;
    for (int m = 0; m < MODELS; m++) auc[m] += n * group->auc[m];
  }
  for (int m = 0; m < MODELS; m++) {
    double off;
    walk(job, m, weights, &out[AUC][m], &off);
    out[GAUC][m] = job->rows->groups ? auc[m] / used : NAN;
    out[LOGLOSS][m] = loss[m] / rows;
    out[ENTROPY][m] = out[LOGLOSS][m] / mr__scores_entropy(positives / rows);
    out[CALIBRATION][m] = positives > 0 ? p[m] / positives : NAN;
    out[ERROR][m] = off / rows;
  }
}

/* Poisson(1) from a word: how many of the distribution's steps it lies above. */
static unsigned char poisson(uint32_t word) {
  static const double below[] = {0.36787944117144233, 0.73575888234288467, 0.91969860292860584,
                                 0.98101184312384626, 0.99634015317265634, 0.99940581518241833,
                                 0.99991675885071196, 0.99998975080332536, 0.99999887479740203,
                                 0.99999988857452166, 0.99999998995223363};
  double u = (double)word * 0x1p-32;
  unsigned char n = 0;
  while (n < sizeof below / sizeof *below && u >= below[n]) n++;
  return n;
}

static int draw(void *argument, int64_t number, int worker) {
  (void)worker;
  const struct job *job = argument;
  unsigned char *weights = mr__malloc((size_t)job->n_groups + 4);
  if (!weights) return mr__fail_memory();
  for (int64_t g = 0; g < job->n_groups; g += 4) {
    struct mr__random4 words =
        mr__random(job->seed, MR__RANDOM_BOOTSTRAP, (uint64_t)number, (uint64_t)g / 4);
    for (int i = 0; i < 4; i++) weights[g + i] = poisson(words.v[i]);
  }
  double figures[FIGURES][MODELS];
  judge(job, weights, figures);
  for (int f = 0; f < FIGURES; f++) job->differences[f][number] = figures[f][0] - figures[f][1];
  mr__free(weights);
  return MR_OK;
}

/* ---- what the draws say ---- */

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* The value below which a share of the n sorted ones lies, between neighbours by proportion. */
static double quantile(const double *sorted, int64_t n, double share) {
  double at = share * (double)(n - 1);
  int64_t i = (int64_t)at;
  return i + 1 < n ? sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}

static mr_difference describe(double *differences, int32_t draws, const double figures[MODELS]) {
  mr_difference d = {figures[0], figures[1], figures[0] - figures[1], NAN, NAN, NAN};
  int64_t n = 0, negative = 0, positive = 0; /* draws that lack a class say nothing */
  for (int32_t i = 0; i < draws; i++)
    if (!isnan(differences[i])) differences[n++] = differences[i];
  if (n == 0 || isnan(d.difference)) return d;
  for (int64_t i = 0; i < n; i++) {
    negative += differences[i] <= 0;
    positive += differences[i] >= 0;
  }
  qsort(differences, (size_t)n, sizeof *differences, by_value);
  d.low = quantile(differences, n, 0.025);
  d.high = quantile(differences, n, 0.975);
  double p = 2.0 * (double)((negative < positive ? negative : positive) + 1) / (double)(n + 1);
  d.p = p < 1 ? p : 1;
  return d;
}

/* A calibration error counts the noise of its bins, and that of a draw the draw's as well: what
 * this adds in the mean is taken off again. */
static void recentre(double *differences, int32_t draws, double difference) {
  double sum = 0;
  int32_t n = 0;
  for (int32_t i = 0; i < draws; i++)
    if (!isnan(differences[i])) sum += differences[i], n++;
  for (int32_t i = 0; i < draws && n > 0; i++) differences[i] += difference - sum / n;
}

static int compare(mr_comparison *out, struct job *job, mr_pool *pool) {
  int64_t n = job->rows->n;
  MR_TRY(make_groups(job));
  for (int m = 0; m < MODELS; m++) {
    job->order[m] = mr__malloc((size_t)n * sizeof **job->order);
    job->gap[m] = mr__malloc((size_t)n * sizeof **job->gap);
    if (!job->order[m] || !job->gap[m]) return mr__fail_memory();
    if (!job->rows->weights) continue;
    job->weight[m] = mr__malloc((size_t)n * sizeof **job->weight);
    if (!job->weight[m]) return mr__fail_memory();
  }
  MR_TRY(mr__pool_run(pool, sort_rows, job, MODELS));
  for (int m = 0; m < MODELS; m++) judge_groups(job, m);
  for (int f = 0; f < FIGURES; f++) {
    job->differences[f] = mr__calloc((size_t)job->draws, sizeof **job->differences);
    if (!job->differences[f]) return mr__fail_memory();
  }
  unsigned char *once = mr__malloc((size_t)job->n_groups);
  if (!once) return mr__fail_memory();
  memset(once, 1, (size_t)job->n_groups);
  double figures[FIGURES][MODELS];
  judge(job, once, figures);
  mr__free(once);
  MR_TRY(mr__pool_run(pool, draw, job, job->draws));
  out->groups = job->n_groups;
  out->auc = describe(job->differences[AUC], job->draws, figures[AUC]);
  out->gauc = describe(job->differences[GAUC], job->draws, figures[GAUC]);
  out->logloss = describe(job->differences[LOGLOSS], job->draws, figures[LOGLOSS]);
  out->normalised_entropy = describe(job->differences[ENTROPY], job->draws, figures[ENTROPY]);
  out->calibration = describe(job->differences[CALIBRATION], job->draws, figures[CALIBRATION]);
  recentre(job->differences[ERROR], job->draws, figures[ERROR][0] - figures[ERROR][1]);
  out->calibration_error = describe(job->differences[ERROR], job->draws, figures[ERROR]);
  return MR_OK;
}

int mr_metric_compare(mr_comparison *out, const mr_scores *rows, const float *other, int32_t draws,
                      uint64_t seed, mr_pool *pool) {
  const mr_difference none = {NAN, NAN, NAN, NAN, NAN, NAN};
  *out = (mr_comparison){none, none, none, none, none, none, 0};
  mr_scores second = *rows;
  second.scores = other;
  MR_TRY(mr__scores_check(rows));
  MR_TRY(mr__scores_check(&second));
  if (draws < 1) return mr__fail(MR_EINVAL, "draws is %d, expected 1 or more", (int)draws);
  MR_TRY(mr__scores_check_count(rows->n));
  if (rows->n == 0) return MR_OK;
  struct job job = {.rows = rows, .scores = {rows->scores, other}, .seed = seed, .draws = draws};
  int status = compare(out, &job, pool);
  mr__free(job.group_of);
  mr__free(job.groups);
  for (int m = 0; m < MODELS; m++) {
    mr__free(job.order[m]);
    mr__free(job.weight[m]);
    mr__free(job.gap[m]);
  }
  for (int f = 0; f < FIGURES; f++) mr__free(job.differences[f]);
  return status;
}
