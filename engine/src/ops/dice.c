/* Dice (Zhou et al. 2018, section 5.3), per column, over n rows:
 *   p = sigmoid(x^), x^ = (x - mean) / sqrt(var + eps), var biased;  y = p x + (1 - p) alpha x
 *   predicting: the same with moving averages of mean and variance
 *   moving <- (1 - momentum) moving + momentum batch
 * The rows are real ones: a behaviour that is not there has none. Backward, with w the weight of a
 * row, dy summed over what it stands for, h = dy x (1 - alpha) p (1 - p):
 *   dx = dy (p + (1 - p) alpha) + (h - w (sum h + x^ sum h x^) / n) / sqrt(var + eps),
 *   dalpha = sum dy x (1 - p). */
#include "kernel/vec.h"
#include "ops/moments.h"

enum { MOMENTUM, EPS, START };                 /* options */
enum { ALPHA, MOVING_MEAN, MOVING_VARIANCE }; /* params */
enum { MEAN_H = MR__BACK_0, MEAN_H_X = MR__BACK_1 };

static int shape(struct mr__shape *s) {
  s->width = s->widths[0];
  s->statistics = MR__MOMENT_STRETCHES * s->width + 1;
  s->n_params = 3;
  struct mr__param_spec one = {.rows = 1, .columns = s->width, .start = MR__PARAM_CONSTANT};
  for (int p = 0; p < 3; p++) s->params[p] = one;
  s->params[ALPHA].name = "alpha", s->params[ALPHA].trained = 1;
  s->params[ALPHA].scale = (float)mr__option_number(s->node, START);
  s->params[MOVING_MEAN].name = "moving_mean";
  s->params[MOVING_VARIANCE].name = "moving_variance", s->params[MOVING_VARIANCE].scale = 1;
  return MR_OK;
}

static void settle(const struct mr__settle *s) {
  mr__settle_moments(s, mr__option_number(s->node, EPS));
}

static inline float dice(float x, float normal, float alpha) {
  float p = mr__sigmoid(normal);
  return mr__fma(p, x, (1.0f - p) * alpha * x);
}

static void forward(const struct mr__call *c) {
  int width = c->y.width;
  const float *alpha = c->param[ALPHA];
  float eps = (float)mr__option_number(c->node, EPS);
  for (int64_t r = 0; r < c->rows; r++) {
    const float *x = mr__row(&c->x[0], r);
    float *y = mr__row(&c->y, r);
    if (c->step->train) {
      const float *mean = c->statistics, *inverse = mean + MR__INVERSE_DEVIATION * width;
      for (int e = 0; e < width; e++) y[e] = dice(x[e], (x[e] - mean[e]) * inverse[e], alpha[e]);
    } else {
      const float *mean = c->param[MOVING_MEAN], *variance = c->param[MOVING_VARIANCE];
      for (int e = 0; e < width; e++)
        y[e] = dice(x[e], (x[e] - mean[e]) * (1.0f / sqrtf(variance[e] + eps)), alpha[e]);
    }
  }
}

/* [sum h, sum h x^, sum dy x (1 - p)] of the lane. */
static void collect_backward(const struct mr__call *c) {
  int width = c->y.width;
  double *sum = c->lane_statistics, *sum_x = sum + width, *sum_alpha = sum_x + width;
  const float *alpha = c->param[ALPHA], *mean = c->statistics;
  const float *inverse = c->statistics + MR__INVERSE_DEVIATION * width;
  for (int64_t r = 0; r < c->rows; r++) {
    const float *x = mr__row(&c->x[0], r), *dy = mr__row(&c->dy, r);
    for (int e = 0; e < width; e++) {
      float normal = (x[e] - mean[e]) * inverse[e], p = mr__sigmoid(normal);
      float g = dy[e] * x[e] * (1.0f - p), h = g * p * (1.0f - alpha[e]);
      sum[e] += (double)h;
      sum_x[e] += (double)(h * normal);
      sum_alpha[e] += (double)g;
    }
  }
}

static void settle_backward(const struct mr__settle *s) {
  int width = s->width;
  double *total = s->lanes[0], count = (double)mr__moment_count(s);
  for (int l = 1; l < s->n_lanes; l++)
    for (int e = 0; e < 3 * width; e++) total[e] += s->lanes[l][e];
  for (int e = 0; e < width; e++) {
    s->dparam[ALPHA][e] += (float)total[2 * width + e];
    s->statistics[MEAN_H * width + e] = (float)(total[e] / count);
    s->statistics[MEAN_H_X * width + e] = (float)(total[width + e] / count);
  }
}

static void backward(const struct mr__call *c) {
  int width = c->y.width;
  const float *alpha = c->param[ALPHA], *mean = c->statistics;
  const float *inverse = c->statistics + MR__INVERSE_DEVIATION * width;
  const float *mean_h = c->statistics + MEAN_H * width;
  const float *mean_h_x = c->statistics + MEAN_H_X * width;
  for (int64_t r = 0; r < c->rows; r++) {
    const float *x = mr__row(&c->x[0], r), *dy = mr__row(&c->dy, r);
    float *dx = mr__row(&c->dx[0], r);
    float weight = (float)mr__row_weight(c->step, c->node->domain, c->first_row + r);
    for (int e = 0; e < width; e++) {
      float normal = (x[e] - mean[e]) * inverse[e], p = mr__sigmoid(normal), q = 1.0f - p;
      float h = dy[e] * x[e] * (1.0f - alpha[e]) * p * q;
      float centred = h - weight * mr__fma(normal, mean_h_x[e], mean_h[e]);
      float g = mr__fma(dy[e], mr__fma(q, alpha[e], p), centred * inverse[e]);
      dx[e] = c->add[0] ? dx[e] + g : g;
    }
  }
}

static void finish(const struct mr__settle *s) {
  mr__move_moments(s, MOVING_MEAN, mr__option_number(s->node, MOMENTUM), 1.0f);
}

static const struct mr__option options[] = {
    {.name = "momentum", .kind = MR__REAL, .preset = 0.1, .least = 0, .most = 1,
     .doc = "weight of a batch in the moving averages"},
    {.name = "eps", .kind = MR__REAL, .preset = 1e-8, .least = 1e-12, .most = 1,
     .doc = "added to the variance"},
    {.name = "start", .kind = MR__REAL, .preset = 0, .least = -10, .most = 10,
     .doc = "alpha at the start"},
    {0}};

const struct mr__op MR_FAMILY(mr__op_dice) = {
    .name = "dice",
    .doc = "y = p x + (1 - p) alpha x, p = sigmoid((x - mean) / sqrt(var + eps)), per column (Zhou "
           "et al. 2018)",
    .inputs = {"x"},
    .flags = MR__READS_X | MR__STATISTICS | MR__ACTIVATION,
    .options = options,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .collect = mr__collect_moments,
    .settle = settle,
    .collect_backward = collect_backward,
    .settle_backward = settle_backward,
    .finish = finish,
    .samples = {"3", "1 | start=0.3", "20", "4r", "3s | start=-0.25", "2a"},
};
