/* What the metrics share: the check of their input, the order of scores and the counting of pairs.
 *
 * The AUC of some rows is the share of (positive, negative) pairs in which the positive has the
 * higher score; an equal score counts one half. Halves are avoided by counting twice: all sums are
 * integers, so no order of rows and no number of threads can change a result. */
#ifndef MR_METRIC_SCORES_H
#define MR_METRIC_SCORES_H

#include <math.h>
#include <string.h>

#include "base/pool.h"

typedef unsigned __int128 mr__u128;

/* Counts, pointers, scores that are not NaN, labels that are 0 or 1, weights from 0 to 1e9. */
int mr__scores_check(const mr_scores *rows);

/* The same, and of probabilities that they are some. */
int mr__scores_check_form(const mr_scores *rows, int32_t form);

/* Sort by the upper half of each entry, entries of equal halves in their order, into `sorted`,
 * which has room for n; what `entries` holds is lost. */
void mr__scores_sort(uint64_t *entries, uint64_t *sorted, int64_t n);

/* MR_EINVAL where there are more rows than 32 bits can number. */
int mr__scores_check_count(int64_t n);

static inline double mr__scores_weight(const mr_scores *rows, int64_t i) {
  return rows->weights ? (double)rows->weights[i] : 1;
}

/* The place of a row in error texts: people count from 1. */
static inline long long mr__scores_place(int64_t row) { return (long long)row + 1; }

/* Part i of n rows is [cut(n, parts, i), cut(n, parts, i + 1)). */
static inline int64_t mr__scores_cut(int64_t n, int parts, int64_t i) {
  return n / parts * i + (n % parts < i ? n % parts : i);
}

/* An integer with the order of the score, from -inf to +inf; -0.0 equals 0.0. Not for NaN. */
static inline uint32_t mr__score_key(float score) {
  uint32_t bits;
  memcpy(&bits, &score, sizeof bits);
  if (bits == 0x80000000u) bits = 0;
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* The score of such an integer. */
static inline float mr__score_of_key(uint32_t key) {
  uint32_t bits = key & 0x80000000u ? key & 0x7FFFFFFFu : ~key;
  float score;
  memcpy(&score, &bits, sizeof score);
  return score;
}

/* One to one, so groups stay apart; it spreads keys that are small numbers. */
static inline uint64_t mr__scores_mix(uint64_t key) {
  key = (key ^ key >> 33) * 0xFF51AFD7ED558CCDu;
  key = (key ^ key >> 33) * 0xC4CEB9FE1A85EC53u;
  return key ^ key >> 33;
}

/* softplus(a) = max(a, 0) + log1p(exp(-|a|)), with a the logit of what did not happen, and `small`
 * exp(-|logit|). An infinite logit costs nothing on the right side and infinity on the wrong one,
 * never NaN. */
static inline double mr__scores_loss(double logit, double small, int positive) {
  double against = positive ? -logit : logit;
  return (against > 0 ? against : 0) + log1p(small);
}

/* sigmoid(logit), `small` as above. */
static inline double mr__scores_probability(double logit, double small) {
  return (logit < 0 ? small : 1) / (1 + small);
}

/* What the share of positives, known beforehand, would cost: 0 and 1 have nothing to say. */
static inline double mr__scores_entropy(double share) {
  return share > 0 && share < 1 ? -share * log(share) - (1 - share) * log1p(-share) : NAN;
}

/* Pairs counted so far, over rows that arrive in ascending order of score. */
struct mr__pairs {
  mr__u128 twice_won; /* 2 a pair with the positive above, 1 a tie; 128 bits: n^2 / 2 at most */
  int64_t positives, negatives;
};

/* Add all rows of the next higher score. */
static inline void mr__pairs_add(struct mr__pairs *pairs, int64_t positives, int64_t negatives) {
  pairs->twice_won += (mr__u128)positives * (mr__u128)(2 * pairs->negatives + negatives);
  pairs->positives += positives;
  pairs->negatives += negatives;
}

/* The same of rows with weights: a pair counts the product of its rows'. Weights are summed as
 * integers, in units of 2^-64, so that no order of rows of equal score changes a bit. */
struct mr__weighted_pairs {
  mr__u128 positives, negatives;
  double won;
};

static inline mr__u128 mr__weight_units(float weight) {
  return (mr__u128)((double)weight * 0x1p64);
}

static inline double mr__weight_of(mr__u128 units) { return (double)units * 0x1p-64; }

static inline void mr__weighted_pairs_add(struct mr__weighted_pairs *pairs, mr__u128 positives,
                                          mr__u128 negatives) {
  pairs->won +=
      mr__weight_of(positives) * (mr__weight_of(pairs->negatives) + 0.5 * mr__weight_of(negatives));
  pairs->positives += positives;
  pairs->negatives += negatives;
}

static inline double mr__weighted_pairs_auc(const struct mr__weighted_pairs *pairs) {
  if (pairs->positives == 0 || pairs->negatives == 0) return NAN;
  return pairs->won / mr__weight_of(pairs->positives) / mr__weight_of(pairs->negatives);
}

/* The AUC of rows with weights (gauc.c). */
int mr__weighted_auc(double *out, const mr_scores *rows);

/* NaN where a class is missing. */
static inline double mr__pairs_auc(const struct mr__pairs *pairs) {
  if (pairs->positives == 0 || pairs->negatives == 0) return NAN;
  return (double)pairs->twice_won /
         (double)(2 * (mr__u128)pairs->positives * (mr__u128)pairs->negatives);
}

#endif
