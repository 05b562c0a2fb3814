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

/* The loops over a row are functions, whose arguments the compiler may take not to overlap. */
static void forward_row(float *restrict y, const float *restrict x, const float *restrict mean,
                        const float *restrict inverse, const float *restrict alpha, int width) {
  for (int e = 0; e < width; e++) y[e] = dice(x[e], (x[e] - mean[e]) * inverse[e], alpha[e]);
}

static void predict_row(float *restrict y, const float *restrict x, const float *restrict mean,
                        const float *restrict variance, const float *restrict alpha, float eps,
                        int width) {
  for (int e = 0; e < width; e++)
    y[e] = dice(x[e], (x[e] - mean[e]) * (1.0f / sqrtf(variance[e] + eps)), alpha[e]);
}

static void forward(const struct mr__call *c) {
  int width = c->y.width;
  const float *mean = c->statistics, *alpha = c->param[ALPHA];
  float eps = (float)mr__option_number(c->node, EPS);
  for (int64_t r = 0; r < c->rows; r++) {
    const float *x = mr__row(&c->x[0], r);
    float *y = mr__row(&c->y, r);
    if (c->step->train)
      forward_row(y, x, mean, mean + MR__INVERSE_DEVIATION * width, alpha, width);
    else
      predict_row(y, x, c->param[MOVING_MEAN], c->param[MOVING_VARIANCE], alpha, eps, width);
  }
}

/* What a row adds to the sums of a column. */
struct part {
  float g, h, h_x;
};

static inline struct part part_of(float x, float dy, float mean, float inverse, float alpha) {
  float normal = (x - mean) * inverse, p = mr__sigmoid(normal);
  float g = dy * x * (1.0f - p), h = g * p * (1.0f - alpha);
  return (struct part){g, h, h * normal};
}

static void collect_row(double *restrict sum, double *restrict sum_x, double *restrict sum_alpha,
                        const float *restrict x, const float *restrict dy,
                        const float *restrict mean, const float *restrict inverse,
                        const float *restrict alpha, int width) {
  for (int e = 0; e < width; e++) {
    struct part a = part_of(x[e], dy[e], mean[e], inverse[e], alpha[e]);
    sum[e] += (double)a.h;
    sum_x[e] += (double)a.h_x;
    sum_alpha[e] += (double)a.g;
  }
}

/* Two rows, one after the other: the sums are read and written once for both. */
static void collect_two(double *restrict sum, double *restrict sum_x, double *restrict sum_alpha,
                        const float *restrict x, const float *restrict dy, const float *restrict x1,
                        const float *restrict dy1, const float *restrict mean,
                        const float *restrict inverse, const float *restrict alpha, int width) {
  for (int e = 0; e < width; e++) {
    struct part a = part_of(x[e], dy[e], mean[e], inverse[e], alpha[e]);
    struct part b = part_of(x1[e], dy1[e], mean[e], inverse[e], alpha[e]);
    sum[e] = sum[e] + (double)a.h + (double)b.h;
    sum_x[e] = sum_x[e] + (double)a.h_x + (double)b.h_x;
    sum_alpha[e] = sum_alpha[e] + (double)a.g + (double)b.g;
  }
}

/* [sum h, sum h x^, sum dy x (1 - p)] of the lane. */
static void collect_backward(const struct mr__call *c) {
  int width = c->y.width;
  double *sum = c->lane_statistics;
  const float *mean = c->statistics, *inverse = mean + MR__INVERSE_DEVIATION * width;
  int64_t r = 0;
  for (; r + 2 <= c->rows; r += 2)
    collect_two(sum, sum + width, sum + 2 * width, mr__row(&c->x[0], r), mr__row(&c->dy, r),
                mr__row(&c->x[0], r + 1), mr__row(&c->dy, r + 1), mean, inverse, c->param[ALPHA],
                width);
  for (; r < c->rows; r++)
    collect_row(sum, sum + width, sum + 2 * width, mr__row(&c->x[0], r), mr__row(&c->dy, r), mean,
                inverse, c->param[ALPHA], width);
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

static inline float gradient(float x, float dy, float mean, float inverse, float alpha,
                             float mean_h, float mean_h_x, float weight) {
  float normal = (x - mean) * inverse, p = mr__sigmoid(normal), q = 1.0f - p;
  float h = dy * x * (1.0f - alpha) * p * q;
  float centred = h - weight * mr__fma(normal, mean_h_x, mean_h);
  return mr__fma(dy, mr__fma(q, alpha, p), centred * inverse);
}

static void backward_row(float *restrict dx, const float *restrict x, const float *restrict dy,
                         const float *restrict s, const float *restrict alpha, float weight,
                         int add, int width) {
  const float *mean = s + MR__MEAN * width, *inverse = s + MR__INVERSE_DEVIATION * width;
  const float *h = s + MEAN_H * width, *h_x = s + MEAN_H_X * width;
  if (add)
    for (int e = 0; e < width; e++)
      dx[e] += gradient(x[e], dy[e], mean[e], inverse[e], alpha[e], h[e], h_x[e], weight);
  else
    for (int e = 0; e < width; e++)
      dx[e] = gradient(x[e], dy[e], mean[e], inverse[e], alpha[e], h[e], h_x[e], weight);
}

static void backward(const struct mr__call *c) {
  for (int64_t r = 0; r < c->rows; r++)
    backward_row(mr__row(&c->dx[0], r), mr__row(&c->x[0], r), mr__row(&c->dy, r), c->statistics,
                 c->param[ALPHA],
                 (float)mr__row_weight(c->step, c->node->domain, c->first_row + r), c->add[0],
                 c->y.width);
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
