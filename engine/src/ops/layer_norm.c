/* Layer normalisation (Ba, Kiros and Hinton 2016, eq. 3 and 4), per row, over n columns:
 *   mean = sum_e x_e / n,  var = sum_e (x_e - mean)^2 / n,  inverse = 1 / sqrt(var + eps),
 *   x^_e = inverse (x_e - mean),  y_e = gain_e x^_e + bias_e.
 * Backward, with g_e = gain_e dy_e:
 *   dgain_e = sum over rows of dy_e x^_e,  dbias_e = sum over rows of dy_e,
 *   dx_e = inverse (g_e - sum_i g_i / n - x^_e sum_i g_i x^_i / n). */
#include <math.h>

#include "graph/op.h"
#include "kernel/vec.h"

enum { EPS };        /* options */
enum { GAIN, BIAS }; /* params */
enum { MEAN, INVERSE, N_SAVED };

static int shape(struct mr__shape *s) {
  if (s->widths[0] == 0) return mr__fail(MR_ESHAPE, "the input has no columns");
  s->width = s->widths[0];
  s->saved = N_SAVED;
  s->n_params = 2;
  struct mr__param_spec one = {
      .rows = 1, .columns = s->width, .start = MR__PARAM_CONSTANT, .trained = 1};
  s->params[GAIN] = s->params[BIAS] = one;
  s->params[GAIN].name = "gain", s->params[GAIN].scale = 1;
  s->params[BIAS].name = "bias";
  return MR_OK;
}

static void forward(const struct mr__call *c) {
  int width = c->y.width;
  const float *gain = c->param[GAIN], *bias = c->param[BIAS];
  float eps = (float)mr__option_number(c->node, EPS);
  for (int64_t r = 0; r < c->rows; r++) {
    const float *x = mr__row(&c->x[0], r);
    float *y = mr__row(&c->y, r), *saved = mr__row(&c->saved, r);
    float mean = mr__sum(x, width) / (float)width;
    for (int e = 0; e < width; e++) y[e] = x[e] - mean;
    float inverse = 1.0f / sqrtf(mr__dot(y, y, width) / (float)width + eps);
    for (int e = 0; e < width; e++) y[e] = mr__fma(y[e] * inverse, gain[e], bias[e]);
    saved[MEAN] = mean, saved[INVERSE] = inverse;
  }
}

/* What a row adds to the gradients of gain and bias; returns sum g / n and sum g x^ / n. */
static void sum_row(const float *x, const float *dy, const float *saved, const float *gain,
                    int width, float *dgain, float *dbias, float means[2]) {
  float sum[MR__PARTIALS] = {0}, sum_x[MR__PARTIALS] = {0};
  for (int first = 0; first < width; first += MR__PARTIALS) {
    int n = width - first < MR__PARTIALS ? width - first : MR__PARTIALS;
    for (int j = 0; j < n; j++) {
      int e = first + j;
      float normal = (x[e] - saved[MEAN]) * saved[INVERSE], g = gain[e] * dy[e];
      dgain[e] = mr__fma(dy[e], normal, dgain[e]);
      dbias[e] += dy[e];
      sum[j] += g;
      sum_x[j] = mr__fma(g, normal, sum_x[j]);
    }
  }
  means[0] = mr__add_partials(sum) / (float)width;
  means[1] = mr__add_partials(sum_x) / (float)width;
}

static void backward(const struct mr__call *c) {
  int width = c->dy.width;
  const float *gain = c->param[GAIN];
  for (int64_t r = 0; r < c->rows; r++) {
    const float *x = mr__row(&c->x[0], r), *dy = mr__row(&c->dy, r), *saved = mr__row(&c->saved, r);
    float means[2];
    sum_row(x, dy, saved, gain, width, c->dparam[GAIN], c->dparam[BIAS], means);
    if (!c->dx[0].p) continue;
    float *dx = mr__row(&c->dx[0], r);
    for (int e = 0; e < width; e++) {
      float normal = (x[e] - saved[MEAN]) * saved[INVERSE];
      float g = saved[INVERSE] * (gain[e] * dy[e] - mr__fma(normal, means[1], means[0]));
      dx[e] = c->add[0] ? dx[e] + g : g;
    }
  }
}

static const struct mr__option options[] = {{.name = "eps",
                                             .kind = MR__REAL,
                                             .preset = 1e-5,
                                             .least = 1e-12,
                                             .most = 1,
                                             .doc = "added to the variance"},
                                            {0}};

const struct mr__op MR_FAMILY(mr__op_layer_norm) = {
    .name = "layer_norm",
    .doc = "y = gain (x - mean) / sqrt(var + eps) + bias, per row (Ba et al. 2016, eq. 3 and 4)",
    .inputs = {"x"},
    .flags = MR__READS_X,
    .options = options,
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .samples = {"3 | eps=0.1", "2 | eps=1", "16", "41", "20r"},
};
