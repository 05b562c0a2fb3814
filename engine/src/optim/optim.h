/* Optimizers. One file engine/src/optim/<name>.c and one line in optim.def each.
 *
 * `step` moves n weights that lie together, with their gradient and states: a stretch of the dense
 * weights, or one part of one embedding row. So the dense and the row form are one function. */
#ifndef MR_OPTIM_OPTIM_H
#define MR_OPTIM_OPTIM_H

#include "base/status.h"
#include "kernel/isa.h"

enum { MR__OPTIM_OPTIONS = 6, MR__OPTIM_STATES = 2 };

struct mr__optim_option {
  const char *name;
  double preset, least, most;
  const char *doc;
};

/* What a step needs, worked out once per batch. */
struct mr__optim_rates {
  float v[8];
};

struct mr__optimizer {
  const char *name;
  const char *doc;
  struct mr__optim_option options[MR__OPTIM_OPTIONS]; /* ends with a NULL name; [0] is lr */
  int n_states;
  int start_option; /* the option that states start at, or -1 for zero */
  void (*rates)(const double *options, int64_t step, struct mr__optim_rates *rates);
  void (*step)(const struct mr__optim_rates *rates, int n, float *w, const float *g, float *state0,
               float *state1);
};

struct mr__optimizer_list {
  const struct mr__optimizer *const *optimizers;
  int n;
};
extern const struct mr__optimizer_list mr__optimizers_plain, mr__optimizers_avx2,
    mr__optimizers_avx512;

#endif
