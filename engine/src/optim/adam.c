/* Adam (Kingma and Ba 2015, algorithm 1), t counting batches from 1:
 *   m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,
 *   w <- w - lr * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps).
 * On embedding rows it is lazy: a row that is not in the batch keeps m, v and w, unless its table
 * says `rows: all`. The bias correction uses the batch count everywhere. */
#include <math.h>

#include "kernel/vec.h"
#include "optim/optim.h"

static void rates(const double *options, int64_t step, struct mr__optim_rates *r) {
  double lr = options[0], beta1 = options[1], beta2 = options[2], eps = options[3];
  double correction1 = 1.0 - pow(beta1, (double)step), correction2 = 1.0 - pow(beta2, (double)step);
  r->v[0] = (float)beta1;
  r->v[1] = (float)(1.0 - beta1);
  r->v[2] = (float)beta2;
  r->v[3] = (float)(1.0 - beta2);
  r->v[4] = (float)(lr / correction1);
  r->v[5] = (float)(1.0 / sqrt(correction2));
  r->v[6] = (float)eps;
}

static void step(const struct mr__optim_rates *r, int n, float *restrict w, const float *restrict g,
                 float *restrict m, float *restrict v) {
  float beta1 = r->v[0], rest1 = r->v[1], beta2 = r->v[2], rest2 = r->v[3];
  float lr = r->v[4], root = r->v[5], eps = r->v[6];
  for (int i = 0; i < n; i++) {
    m[i] = mr__fma(beta1, m[i], rest1 * g[i]);
    v[i] = mr__fma(beta2, v[i], rest2 * (g[i] * g[i]));
    w[i] -= lr * m[i] / mr__fma(sqrtf(v[i]), root, eps);
  }
}

const struct mr__optimizer MR_FAMILY(mr__optim_adam) = {
    .name = "adam",
    .doc = "Adam with bias correction (Kingma and Ba 2015); lazy on rows unless rows: all",
    .options = {{"lr", 0.001, 0, 1e6, "learning rate"},
                {"beta1", 0.9, 0, 0.999999, "decay of the mean of gradients"},
                {"beta2", 0.999, 0, 0.999999, "decay of the mean of squared gradients"},
                {"eps", 1e-8, 1e-30, 1, "added to the root"}},
    .n_states = 2,
    .start_option = -1,
    .rates = rates,
    .step = step,
};
