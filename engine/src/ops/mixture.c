/* A mixture of logistic regressions: LS-PLM or MLR (Gai et al. 2017, eq. 2), as a logit. A row of x
 * holds m gates z and m fits a side by side:
 *   p = sum_i softmax(z)_i sigmoid(a_i), y = log p - log(1 - p).
 * Neither p nor 1 - p is formed: with s(a) = log sigmoid(a), and as 1 - p = sum_i softmax(z)_i
 * sigmoid(-a_i),
 *   y = U - D, U = log sum_i exp(z_i + s(a_i)), D = log sum_i exp(z_i + s(-a_i)),
 * where log sum_i exp(z_i) has cancelled. With the shares u_i = exp(z_i + s(a_i) - U) and
 * d_i = exp(z_i + s(-a_i) - D), each of which add up to 1,
 *   dz_i = dy (u_i - d_i), da_i = dy (u_i sigmoid(-a_i) + d_i sigmoid(a_i)).
 * Under logloss that is the posterior form: for a positive (p - 1) (u - d) = softmax(z) - u.
 *
 * A sigmoid is taken apart, sigmoid(a) = exp(min(a, 0)) / (1 + exp(-|a|)): the first factor joins
 * the exponent, which has its maximum taken away, the second lies in [1/2, 1]. So one exp for each
 * share and two logs a row are enough, and nothing overflows or loses its region. */
#include "graph/op.h"
#include "kernel/vec.h"

enum { MOST_REGIONS = 64 };

static int shape(struct mr__shape *s) {
  int width = s->widths[0];
  if (width % 2 != 0 || width > 2 * MOST_REGIONS)
    return mr__fail(MR_ESHAPE, "x is %d wide, expected an even number up to %d: gates, then fits",
                    width, 2 * MOST_REGIONS);
  s->width = 1;
  s->saved = width;
  return MR_OK;
}

static float largest(const float *x, int n) {
  float most = x[0];
  for (int i = 1; i < n; i++) most = x[i] > most ? x[i] : most;
  return most;
}

/* share_i = factor_i exp(exponent_i - the largest), divided by their sum; the log of the sum. */
static float shares(const float *exponent, const float *factor, int m, float *share) {
  float most = largest(exponent, m);
  for (int i = 0; i < m; i++) share[i] = factor[i] * mr__exp(exponent[i] - most);
  float sum = mr__sum(share, m), scale = 1.0f / sum;
  for (int i = 0; i < m; i++) share[i] *= scale;
  return most + mr__log(sum);
}

static void forward(const struct mr__call *c) {
  int m = c->x[0].width / 2;
  for (int64_t r = 0; r < c->rows; r++) {
    const float *z = mr__row(&c->x[0], r), *a = z + m;
    float *dz = mr__row(&c->saved, r), *da = dz + m;
    float up[MOST_REGIONS], down[MOST_REGIONS], factor[MOST_REGIONS], u[MOST_REGIONS],
        d[MOST_REGIONS];
    float most = largest(z, m);
    for (int i = 0; i < m; i++) {
      float negative = a[i] < 0.0f ? a[i] : 0.0f;
      up[i] = z[i] - most + negative;
      down[i] = z[i] - most + (negative - a[i]);
      factor[i] = mr__sigmoid(a[i] < 0.0f ? -a[i] : a[i]);
    }
    mr__row(&c->y, r)[0] = shares(up, factor, m, u) - shares(down, factor, m, d);
    for (int i = 0; i < m; i++) {
      dz[i] = u[i] - d[i];
      da[i] = u[i] * mr__sigmoid(-a[i]) + d[i] * mr__sigmoid(a[i]);
    }
  }
}

static void backward(const struct mr__call *c) {
  for (int64_t r = 0; r < c->rows; r++) {
    const float *slope = mr__row(&c->saved, r);
    float *dx = mr__row(&c->dx[0], r);
    float g = mr__row(&c->dy, r)[0];
    for (int e = 0; e < c->x[0].width; e++)
      dx[e] = c->add[0] ? mr__fma(g, slope[e], dx[e]) : g * slope[e];
  }
}

const struct mr__op MR_FAMILY(mr__op_mixture) = {
    .name = "mixture",
    .doc = "y = the logit of sum_i softmax(z)_i * sigmoid(a_i), x holding the gates z, then the "
           "fits a (Gai et al. 2017, eq. 2)",
    .inputs = {"x"},
    .shape = shape,
    .forward = forward,
    .backward = backward,
    .samples = {"24", "2", "6", "38"},
};
