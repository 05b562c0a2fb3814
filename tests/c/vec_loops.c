#include "vec_loops.h"

#include "kernel/isa.h"
#include "kernel/vec.h"

#define LOOP(name)                                                                                 \
  static void loop_##name(const float *restrict x, float *restrict y, int n) {                     \
    for (int i = 0; i < n; i++) y[i] = mr__##name(x[i]);                                           \
  }
LOOP(exp)
LOOP(sigmoid)
LOOP(tanh)
LOOP(log)

static float sum(const float *x, int n) { return mr__sum(x, n); }
static float dot(const float *x, const float *y, int n) { return mr__dot(x, y, n); }
static void axpy(float *y, float a, const float *x, int n) { mr__axpy(y, a, x, n); }

const struct vec_loops MR_FAMILY(vec_loops) = {loop_exp, loop_sigmoid, loop_tanh, loop_log,
                                               sum,      dot,          axpy};
