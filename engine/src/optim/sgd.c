/* Plain gradient descent: w <- w - lr g. */
#include "kernel/vec.h"
#include "optim/optim.h"

static void rates(const double *options, int64_t step, struct mr__optim_rates *r) {
  (void)step;
  r->v[0] = (float)-options[0];
}

static void step(const struct mr__optim_rates *r, int n, float *restrict w, const float *restrict g,
                 float *state0, float *state1) {
  (void)state0, (void)state1;
  for (int i = 0; i < n; i++) w[i] = mr__fma(r->v[0], g[i], w[i]);
}

const struct mr__optimizer MR_FAMILY(mr__optim_sgd) = {
    .name = "sgd",
    .doc = "w <- w - lr * g",
    .options = {{"lr", 0.1, 0, 1e6, "learning rate"}},
    .n_states = 0,
    .start_option = -1,
    .rates = rates,
    .step = step,
};
