/* Adagrad (Duchi, Hazan and Singer 2011): s <- s + g^2, w <- w - lr g / (sqrt(s) + eps). */
#include <math.h>

#include "kernel/vec.h"
#include "optim/optim.h"

static void rates(const double *options, int64_t step, struct mr__optim_rates *r) {
  (void)step;
  r->v[0] = (float)options[0];
  r->v[1] = (float)options[1];
}

static void step(const struct mr__optim_rates *r, int n, float *restrict w, const float *restrict g,
                 float *restrict sum, float *state1) {
  (void)state1;
  float lr = r->v[0], eps = r->v[1];
  for (int i = 0; i < n; i++) {
    sum[i] = mr__fma(g[i], g[i], sum[i]);
    w[i] -= lr * g[i] / (sqrtf(sum[i]) + eps);
  }
}

const struct mr__optimizer MR_FAMILY(mr__optim_adagrad) = {
    .name = "adagrad",
    .doc = "s <- s + g^2; w <- w - lr * g / (sqrt(s) + eps) (Duchi et al. 2011)",
    .options = {{"lr", 0.01, 0, 1e6, "learning rate"},
                {"eps", 1e-10, 1e-30, 1, "added to the root"},
                {"start", 0, 0, 1e6, "start value of s"}},
    .n_states = 1,
    .start_option = 2,
    .rates = rates,
    .step = step,
};
