/* FTRL-Proximal with a rate for each coordinate (McMahan et al. 2013, algorithm 1); lr is the
 * paper's alpha:
 *   z <- z + g - sigma w,  n <- n + g^2,  sigma = the growth of (beta + sqrt(n)) / lr,
 *   w = 0 where |z| <= l1, else -(z - sign(z) l1) / k,  k = (beta + sqrt(n)) / lr + l2.
 * The paper starts at w = 0. Here w may start anywhere, and lr may change: where w is not 0, the
 * last line gives z = -(w k + sign(w) l1), with the n and lr of the step before, and what sigma
 * takes from it comes to the same with those of this step:
 *   z <- g - (w k + sign(w) l1).
 * Where w is 0, sigma w is too. A weight without gradient, and all at a rate of 0, stay as they
 * are, states included; so on embedding rows it is lazy in any case. */
#include <math.h>

#include "kernel/vec.h"
#include "optim/optim.h"

static const float least_rate = 1e-30f; /* 1 / lr must be finite */

static void rates(const double *options, int64_t step, struct mr__optim_rates *r) {
  (void)step;
  r->v[0] = (float)options[0];
  for (int i = 1; i < 4; i++) r->v[i] = (float)options[i];
}

static void step(const struct mr__optim_rates *r, int n, float *restrict w, const float *restrict g,
                 float *restrict z, float *restrict squares) {
  float lr = r->v[0], beta = r->v[1], l1 = r->v[2], l2 = r->v[3];
  if (lr < least_rate) return;
  float per_lr = 1.0f / lr;
  for (int i = 0; i < n; i++) {
    float sum = mr__fma(g[i], g[i], squares[i]);
    float k = mr__fma(beta + sqrtf(sum), per_lr, l2);
    float before = w[i] == 0.0f ? z[i] : -mr__fma(w[i], k, copysignf(l1, w[i]));
    float after = before + g[i];
    float beyond = fabsf(after) - l1;
    float moved = beyond <= 0.0f ? 0.0f : -copysignf(beyond, after) / k;
    squares[i] = sum; /* the same without gradient */
    z[i] = g[i] == 0.0f ? z[i] : after;
    w[i] = g[i] == 0.0f ? w[i] : moved;
  }
}

const struct mr__optimizer MR_FAMILY(mr__optim_ftrl) = {
    .name = "ftrl",
    .doc =
        "FTRL-Proximal (McMahan et al. 2013, algorithm 1): z <- z + g - sigma * w; n <- n + g^2; "
        "w <- 0 where |z| <= l1, else -(z - sign(z) * l1) / ((beta + sqrt(n)) / lr + l2)",
    .options = {{"lr", 0.1, 0, 1e6, "the learning rate alpha"},
                {"beta", 1, 1e-30, 1e6, "added to the root"},
                {"l1", 0, 0, 1e6, "weights whose gradients add up to no more than this are 0"},
                {"l2", 0, 0, 1e6, "pull towards 0, once, not at each step"}},
    .n_states = 2,
    .start_option = -1,
    .rates = rates,
    .step = step,
};
