/* Batch normalisation (Ioffe and Szegedy 2015, algorithm 1), per column, over n rows:
 *   training:   x^ = (x - mean) / sqrt(var + eps), var biased;  y = gamma x^ + beta
 *   predicting: the same with moving averages of mean and variance
 *   moving <- (1 - momentum) moving + momentum batch, with the unbiased variance n / (n - 1) var
 * Backward, with w the weight of a row, dy summed over what it stands for:
 *   dgamma = sum dy x^, dbeta = sum dy,
 *   dx = gamma / sqrt(var + eps) (dy - w (dbeta + x^ dgamma) / n). */
#include <math.h>

#include "kernel/vec.h"
#include "ops/moments.h"

enum { MOMENTUM, EPS };                            /* options */
enum { GAMMA, BETA, MOVING_MEAN, MOVING_VARIANCE }; /* params */
enum { MEAN_DY = MR__BACK_0, MEAN_DY_X = MR__BACK_1 };

static int shape(struct mr__shape *s) {
  s->width = s->widths[0];
  s->statistics = MR__MOMENT_STRETCHES * s->width + 1;
  s->n_params = 4;
  struct mr__param_spec one = {.rows = 1, .columns = s->width, .start = MR__PARAM_CONSTANT};
  for (int p = 0; p < 4; p++) s->params[p] = one;
  s->params[GAMMA].name = "gamma", s->params[GAMMA].scale = 1, s->params[GAMMA].trained = 1;
  s->params[BETA].name = "beta", s->params[BETA].trained = 1;
  s->params[MOVING_MEAN].name = "moving_mean";
  s->params[MOVING_VARIANCE].name = "moving_variance", s->params[MOVING_VARIANCE].scale = 1;
  return MR_OK;
}

static void settle(const struct mr__settle *s) {
  mr__settle_moments(s, mr__option_number(s->node, EPS));
}

static void forward(const struct mr__call *c) {
  int width = c->y.width;
  const float *gamma = c->param[GAMMA], *beta = c->param[BETA];
  float eps = (float)mr__option_number(c->node, EPS);
  for (int64_t r = 0; r < c->rows; r++) {
    const float *x = mr__row(&c->x[0], r);
    float *y = mr__row(&c->y, r);
    if (c->step->train) {
      const float *mean = c->statistics, *inverse = c->statistics + MR__INVERSE_DEVIATION * width;
      for (int e = 0; e < width; e++)
        y[e] = mr__fma((x[e] - mean[e]) * inverse[e], gamma[e], beta[e]);
    } else {
      const float *mean = c->param[MOVING_MEAN], *variance = c->param[MOVING_VARIANCE];
      for (int e = 0; e < width; e++)
        y[e] = mr__fma((x[e] - mean[e]) * (1.0f / sqrtf(variance[e] + eps)), gamma[e], beta[e]);
    }
  }
}

/* [sum dy, sum dy x^] of the lane. */
static void collect_backward(const struct mr__call *c) {
  int width = c->y.width;
  double *sum = c->lane_statistics, *sum_x = sum + width;
  const float *mean = c->statistics, *inverse = c->statistics + MR__INVERSE_DEVIATION * width;
  for (int64_t r = 0; r < c->rows; r++) {
    const float *x = mr__row(&c->x[0], r), *dy = mr__row(&c->dy, r);
    for (int e = 0; e < width; e++) {
      sum[e] += (double)dy[e];
      sum_x[e] += (double)(dy[e] * ((x[e] - mean[e]) * inverse[e]));
    }
  }
}

static void settle_backward(const struct mr__settle *s) {
  int width = s->width;
  double *total = s->lanes[0];
  for (int l = 1; l < s->n_lanes; l++)
    for (int e = 0; e < 2 * width; e++) total[e] += s->lanes[l][e];
  double count = (double)mr__moment_count(s);
  for (int e = 0; e < width; e++) {
    s->dparam[BETA][e] += (float)total[e];
    s->dparam[GAMMA][e] += (float)total[width + e];
    s->statistics[MEAN_DY * width + e] = (float)(total[e] / count);
    s->statistics[MEAN_DY_X * width + e] = (float)(total[width + e] / count);
  }
}

static void backward(const struct mr__call *c) {
  int width = c->y.width;
  const float *gamma = c->param[GAMMA], *mean = c->statistics;
  const float *inverse = c->statistics + MR__INVERSE_DEVIATION * width;
  const float *mean_dy = c->statistics + MEAN_DY * width;
  const float *mean_dy_x = c->statistics + MEAN_DY_X * width;
  for (int64_t r = 0; r < c->rows; r++) {
    const float *x = mr__row(&c->x[0], r), *dy = mr__row(&c->dy, r);
    float *dx = mr__row(&c->dx[0], r);
    float weight = (float)mr__row_weight(c->step, c->node->domain, c->first_row + r);
    for (int e = 0; e < width; e++) {
      float normal = (x[e] - mean[e]) * inverse[e];
      float centred = dy[e] - weight * mr__fma(normal, mean_dy_x[e], mean_dy[e]);
      float g = gamma[e] * inverse[e] * centred;
      dx[e] = c->add[0] ? dx[e] + g : g;
    }
  }
}

static void finish(const struct mr__settle *s) {
  float count = mr__moment_count(s), unbiased = count > 1 ? count / (count - 1) : 1;
  mr__move_moments(s, MOVING_MEAN, mr__option_number(s->node, MOMENTUM), unbiased);
}

static const struct mr__option options[] = {
    {.name = "momentum", .kind = MR__REAL, .preset = 0.1, .least = 0, .most = 1,
     .doc = "weight of a batch in the moving averages"},
    {.name = "eps", .kind = MR__REAL, .preset = 1e-5, .least = 1e-12, .most = 1,
     .doc = "added to the variance"},
    {0}};

const struct mr__op MR_FAMILY(mr__op_batch_norm) = {
    .name = "batch_norm",
    .doc = "y = gamma (x - mean) / sqrt(var + eps) + beta, per column (Ioffe and Szegedy 2015)",
    .inputs = {"x"},
    .flags = MR__READS_X | MR__STATISTICS,
    .options = options,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .collect = mr__collect_moments,
    .settle = settle,
    .collect_backward = collect_backward,
    .settle_backward = settle_backward,
    .finish = finish,
    .samples = {"3", "1", "20", "4r"},
};
