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
 * the exponent, which has its maximum taken away, the second lies in [1/2, 1]. So three exps a
 * region and two logs a row are enough, and nothing overflows or loses its region.
 *
 * Rows go in blocks of 16, one a lane of a vector: with a dozen regions a row has too few numbers
 * to fill vectors of its own, and sums over regions would go across them. */
#include <assert.h>

#include "graph/op.h"
#include "kernel/vec.h"

enum { MOST_REGIONS = 64, BLOCK = 16 };

typedef float lanes[BLOCK];

static int shape(struct mr__shape *s) {
  int width = s->widths[0];
  if (width < 2 || width % 2 != 0 || width > 2 * MOST_REGIONS)
    return mr__fail(MR_ESHAPE, "x is %d wide, expected an even number 2 to %d: gates, then fits",
                    width, 2 * MOST_REGIONS);
  s->width = 1;
  s->saved = width;
  return MR_OK;
}

/* share_i = factor_i exp(exponent_i - the largest), divided by their sum; adds sign times the log
 * of the sum to y. */
static void shares(const lanes *restrict exponent, const lanes *restrict factor, int m, float sign,
                   lanes *restrict share, float *restrict y) {
  lanes most, sum = {0};
  memcpy(most, exponent[0], sizeof most);
  for (int i = 1; i < m; i++)
    for (int r = 0; r < BLOCK; r++) most[r] = exponent[i][r] > most[r] ? exponent[i][r] : most[r];
  for (int i = 0; i < m; i++)
    for (int r = 0; r < BLOCK; r++) {
      share[i][r] = factor[i][r] * mr__exp(exponent[i][r] - most[r]);
      sum[r] += share[i][r];
    }
  for (int r = 0; r < BLOCK; r++) {
    y[r] += sign * (most[r] + mr__log(sum[r]));
    sum[r] = 1.0f / sum[r];
  }
  for (int i = 0; i < m; i++)
    for (int r = 0; r < BLOCK; r++) share[i][r] *= sum[r];
}

/* x and slope are [2 m, rows of the block]: slope is dy/dx. */
static void mix(const lanes *restrict x, int m, lanes *restrict slope, float *restrict y) {
  lanes up[MOST_REGIONS], down[MOST_REGIONS], factor[MOST_REGIONS], rest[MOST_REGIONS],
      u[MOST_REGIONS], d[MOST_REGIONS], most;
  memcpy(most, x[0], sizeof most);
  for (int i = 1; i < m; i++)
    for (int r = 0; r < BLOCK; r++) most[r] = x[i][r] > most[r] ? x[i][r] : most[r];
  for (int i = 0; i < m; i++)
    for (int r = 0; r < BLOCK; r++) {
      float a = x[m + i][r], negative = a < 0.0f ? a : 0.0f;
      float e = mr__exp(negative + negative - a); /* of -|a| */
      factor[i][r] = 1.0f / (1.0f + e);
      rest[i][r] = e * factor[i][r]; /* the smaller one of sigmoid(a) and sigmoid(-a) */
      up[i][r] = x[i][r] - most[r] + negative;
      down[i][r] = x[i][r] - most[r] + (negative - a);
    }
  memset(y, 0, sizeof most);
  shares(up, factor, m, 1.0f, u, y);
  shares(down, factor, m, -1.0f, d, y);
  for (int i = 0; i < m; i++)
    for (int r = 0; r < BLOCK; r++) {
      float positive = x[m + i][r] < 0.0f ? rest[i][r] : factor[i][r];
      float negative = x[m + i][r] < 0.0f ? factor[i][r] : rest[i][r];
      slope[i][r] = u[i][r] - d[i][r];
      slope[m + i][r] = u[i][r] * negative + d[i][r] * positive;
    }
}

static void forward(const struct mr__call *c) {
  int m = c->x[0].width / 2;
  assert(m >= 1 && m <= MOST_REGIONS);
  lanes x[2 * MOST_REGIONS], slope[2 * MOST_REGIONS], y;
  for (int64_t first = 0; first < c->rows; first += BLOCK) {
    int n = c->rows - first < BLOCK ? (int)(c->rows - first) : BLOCK;
    for (int i = 0; i < m; i++)
      for (int r = 0; r < BLOCK; r++) {
        x[i][r] = r < n ? mr__row(&c->x[0], first + r)[i] : 0.0f;
        x[m + i][r] = r < n ? mr__row(&c->x[0], first + r)[m + i] : 0.0f;
      }
    mix(x, m, slope, y);
    for (int r = 0; r < n; r++) {
      float *saved = mr__row(&c->saved, first + r);
      mr__row(&c->y, first + r)[0] = y[r];
      for (int e = 0; e < 2 * m; e++) saved[e] = slope[e][r];
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
