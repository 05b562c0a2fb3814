/* Gradient descent with momentum (Polyak 1964), and Nesterov's form of it as Sutskever et al. 2013,
 * eq. 3 and 4, rewritten so that w is where the gradient is taken:
 *   v <- momentum v + g,  w <- w - lr v,  in Nesterov's form  w <- w - lr (g + momentum v).
 * `nesterov` mixes the two, 0 and 1 being one of them. On embedding rows it is lazy: a row that is
 * not in the batch keeps v and w, unless its table says `rows: all`. */
#include "kernel/vec.h"
#include "optim/optim.h"

static void rates(const double *options, int64_t step, struct mr__optim_rates *r) {
  (void)step;
  r->v[0] = (float)-options[0];
  r->v[1] = (float)options[1];
  r->v[2] = (float)options[2];
  r->v[3] = (float)(1.0 - options[2]);
}

static void step(const struct mr__optim_rates *r, int n, float *restrict w, const float *restrict g,
                 float *restrict v, float *state1) {
  (void)state1;
  float minus_lr = r->v[0], momentum = r->v[1], nesterov = r->v[2], rest = r->v[3];
  for (int i = 0; i < n; i++) {
    v[i] = mr__fma(momentum, v[i], g[i]);
    float along = mr__fma(nesterov, mr__fma(momentum, v[i], g[i]), rest * v[i]);
    w[i] = mr__fma(minus_lr, along, w[i]);
  }
}

const struct mr__optimizer MR_FAMILY(mr__optim_momentum) = {
    .name = "momentum",
    .doc = "v <- momentum * v + g; w <- w - lr * v, or w - lr * (g + momentum * v) with nesterov "
           "(Sutskever et al. 2013); lazy on rows unless rows: all",
    .options = {{"lr", 0.01, 0, 1e6, "learning rate"},
                {"momentum", 0.9, 0, 0.999999, "decay of the sum of gradients"},
                {"nesterov", 0, 0, 1, "1: Nesterov's form; between 0 and 1: a mix of both"}},
    .n_states = 1,
    .start_option = -1,
    .rates = rates,
    .step = step,
};
