/* The mean and variance of each column over all rows of a batch, for ops whose statistics they are.
 * A request's row counts as often as it has samples, so that they equal those of the ungrouped
 * rows.
 *
 * A lane's statistics are [count, mean, sum of squared deviations]; slices and lanes merge by the
 * formula of Chan, Golub and LeVeque (1979). Settled, they are stretches of `width` floats, with
 * the count behind the last one: MR__MOMENT_STRETCHES * width + 1. */
#ifndef MR_OPS_MOMENTS_H
#define MR_OPS_MOMENTS_H

#include <math.h>

#include "graph/step.h"

enum {
  MR__MEAN,
  MR__INVERSE_DEVIATION,
  MR__VARIANCE,
  MR__BACK_0, /* the op's own, of its backward pass */
  MR__BACK_1,
  MR__MOMENT_STRETCHES
};

/* Merge (count, mean, m2) of a part into that of a whole. */
static inline void mr__merge_moments(double *count, double *mean, double *m2, double part_count,
                                     const double *part_mean, const double *part_m2, int width) {
  if (part_count == 0) return;
  double total = *count + part_count;
  for (int e = 0; e < width; e++) {
    double delta = part_mean[e] - mean[e];
    mean[e] += delta * (part_count / total);
    m2[e] += part_m2[e] + delta * delta * (*count * part_count / total);
  }
  *count = total;
}

enum { MR__MOMENT_BLOCK = 256 }; /* columns at a time: a slice's own sums fit on the stack */

static inline void mr__collect_columns(const struct mr__call *c, int first, int width) {
  double mean[MR__MOMENT_BLOCK] = {0}, m2[MR__MOMENT_BLOCK] = {0}, count = 0;
  int domain = c->node->domain;
  for (int64_t r = 0; r < c->rows; r++) {
    const float *x = mr__row(&c->x[0], r) + first;
    double weight = mr__row_weight(c->step, domain, c->first_row + r);
    count += weight;
    for (int e = 0; e < width; e++) mean[e] += weight * (double)x[e];
  }
  for (int e = 0; e < width; e++) mean[e] /= count;
  for (int64_t r = 0; r < c->rows; r++) {
    const float *x = mr__row(&c->x[0], r) + first;
    double weight = mr__row_weight(c->step, domain, c->first_row + r);
    for (int e = 0; e < width; e++) {
      double delta = (double)x[e] - mean[e];
      m2[e] += weight * delta * delta;
    }
  }
  int all = c->y.width;
  double *lane = c->lane_statistics, before = lane[0];
  mr__merge_moments(&before, lane + 1 + first, lane + 1 + all + first, count, mean, m2, width);
  if (first + width == all) lane[0] = before;
}

static inline void mr__collect_moments(const struct mr__call *c) {
  for (int first = 0; first < c->y.width; first += MR__MOMENT_BLOCK) {
    int left = c->y.width - first;
    mr__collect_columns(c, first, left < MR__MOMENT_BLOCK ? left : MR__MOMENT_BLOCK);
  }
}

static inline void mr__settle_moments(const struct mr__settle *s, double eps) {
  int width = s->width;
  double *total = s->lanes[0];
  for (int l = 1; l < s->n_lanes; l++)
    mr__merge_moments(&total[0], total + 1, total + 1 + width, s->lanes[l][0], s->lanes[l] + 1,
                      s->lanes[l] + 1 + width, width);
  double count = total[0];
  for (int e = 0; e < width; e++) {
    double variance = count > 0 ? total[1 + width + e] / count : 0;
    s->statistics[MR__MEAN * width + e] = (float)total[1 + e];
    s->statistics[MR__VARIANCE * width + e] = (float)variance;
    s->statistics[MR__INVERSE_DEVIATION * width + e] = (float)(1.0 / sqrt(variance + eps));
  }
  s->statistics[MR__MOMENT_STRETCHES * width] = (float)count;
}

/* The rows of the batch, weighted. */
static inline float mr__moment_count(const struct mr__settle *s) {
  return s->statistics[MR__MOMENT_STRETCHES * s->width];
}

/* moving <- (1 - momentum) moving + momentum batch, in the params `mean` and `mean` + 1, with
 * `scale` times the variance of the batch. One without rows says nothing. */
static inline void mr__move_moments(const struct mr__settle *s, int mean, double momentum,
                                    float scale) {
  int width = s->width, variance = mean + 1;
  float part = (float)momentum;
  if (mr__moment_count(s) == 0) return;
  for (int e = 0; e < width; e++) {
    float *m = &s->param[mean][e], *v = &s->param[variance][e];
    if (!s->frozen[mean]) *m += part * (s->statistics[MR__MEAN * width + e] - *m);
    if (!s->frozen[variance])
      *v += part * (scale * s->statistics[MR__VARIANCE * width + e] - *v);
  }
}

#endif
