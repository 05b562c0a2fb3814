/* The engine's own exp, sigmoid, tanh and log against double precision, in units of the last place,
 * and against themselves: a vectorised loop of any family gives the bits of the scalar function. */
#include "kernel/vec.h"

#include <math.h>

#include "base/random.h"
#include "check.h"
#include "families.h"
#include "vec_loops.h"

enum { CHUNK = 1021, STRIDE = 1009 }; /* odd, so loops end in a scalar tail; prime */

static const struct vec_loops *const loops[] = {&vec_loops_plain,
#if MR_X86
                                                &vec_loops_avx2, &vec_loops_avx512
#endif
};

static double sigmoid(double x) {
  double e = exp(-fabs(x));
  return x < 0 ? e / (1 + e) : 1 / (1 + e);
}

static double log_of_normal(double x) { return log(x >= 0 && x < 0x1p-126 ? 0x1p-126 : x); }

/* A function, its reference, and the bound that vec.h states. */
static const struct function {
  const char *name;
  float (*scalar)(float);
  double (*reference)(double);
  double bound;
} functions[] = {{"exp", mr__exp, exp, 1.03},
                 {"sigmoid", mr__sigmoid, sigmoid, 2.9},
                 {"tanh", mr__tanh, tanh, 1.4},
                 {"log", mr__log, log_of_normal, 0.85}};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

/* The error of `got` in units of the last place of the true value. */
static double ulps(float got, double want) {
  if ((double)got == want) return 0;
  int exponent;
  frexp(want, &exponent);
  if (exponent < -125) exponent = -125;
  return fabs((double)got - want) / ldexp(1.0, exponent - 24);
}

static void check_value(const struct function *f, float x, double *worst) {
  double want = f->reference((double)x);
  float got = f->scalar(x);
  if (isnan(want)) {
    CHECK(isnan(got), "%s(%a) is %g, expected NaN", f->name, (double)x, (double)got);
  } else if (want > 0x1.fffffefp127) { /* rounds to infinity */
    CHECK(isinf(got), "%s(%a) is %a, expected infinity", f->name, (double)x, (double)got);
  } else if ((f->reference == exp || f->reference == sigmoid) &&
             want < 0x1p-126) { /* no normal number */
    CHECK(got >= 0 && got <= 0x1p-126f, "%s(%a) is %a, expected 0", f->name, (double)x,
          (double)got);
  } else {
    double off = ulps(got, want);
    if (off > *worst) *worst = off;
    CHECK(off <= f->bound, "%s(%a) is %a, expected %a: %.3f ulp", f->name, (double)x, (double)got,
          want, off);
  }
}

static int same_bits(float a, float b) {
  return mr__to_bits(a) == mr__to_bits(b) || (isnan(a) && isnan(b));
}

/* The same points through the loops of every family. */
static void check_loops(int f, const float *x, int n) {
  float y[CHUNK];
  for (int family = 0; family < FAMILIES; family++) {
    if (!family_runs(family)) continue;
    const struct vec_loops *l = loops[family];
    void (*const all[FUNCTIONS])(const float *, float *, int) = {l->exp, l->sigmoid, l->tanh,
                                                                 l->log};
    all[f](x, y, n);
    for (int i = 0; i < n; i++)
      CHECK(same_bits(y[i], functions[f].scalar(x[i])), "%s(%a) is %a in a loop of %s, alone %a",
            functions[f].name, (double)x[i], (double)y[i], family_names[family],
            (double)functions[f].scalar(x[i]));
  }
}

/* Every STRIDE-th float there is: all exponents, both signs, infinities, NaN, denormals. */
static void check_sweep(int f) {
  double worst = 0;
  float x[CHUNK];
  int n = 0;
  for (uint64_t bits = 0; bits <= UINT32_MAX; bits += STRIDE) {
    x[n++] = mr__from_bits((uint32_t)bits);
    check_value(&functions[f], x[n - 1], &worst);
    if (n == CHUNK) check_loops(f, x, n), n = 0;
  }
  check_loops(f, x, n);
  printf("%s: within %.3f ulp\n", functions[f].name, worst);
}

static void check_special(void) {
  static const struct {
    float x, exp, sigmoid, tanh;
  } cases[] = {{0.0f, 1.0f, 0.5f, 0.0f},
               {-0.0f, 1.0f, 0.5f, -0.0f},
               {INFINITY, INFINITY, 1.0f, 1.0f},
               {-INFINITY, 0.0f, 0.0f, -1.0f},
               {3.4e38f, INFINITY, 1.0f, 1.0f},
               {-3.4e38f, 0.0f, 0.0f, -1.0f},
               {88.8f, INFINITY, 1.0f, 1.0f},
               {-87.5f, 0.0f, 0.0f, -1.0f},
               {1e-45f, 1.0f, 0.5f, 1e-45f},
               {-1e-45f, 1.0f, 0.5f, -1e-45f}};
  for (int i = 0; i < (int)(sizeof cases / sizeof *cases); i++) {
    float x = cases[i].x;
    CHECK(same_bits(mr__exp(x), cases[i].exp), "exp(%g)", (double)x);
    CHECK(same_bits(mr__sigmoid(x), cases[i].sigmoid), "sigmoid(%g)", (double)x);
    CHECK(same_bits(mr__tanh(x), cases[i].tanh), "tanh(%g)", (double)x);
  }
  /* The last float with a finite exp, the first without; the last with a normal one. */
  CHECK(isfinite(mr__exp(88.72283f)), "exp(88.72283)");
  CHECK(isinf(mr__exp(nextafterf(88.72283f, 100.0f))), "exp(88.72284)");
  CHECK(mr__exp(-87.33654f) >= 0x1p-126f, "exp(-87.33654)");
  CHECK(mr__exp(nextafterf(-87.33654f, -100.0f)) == 0.0f, "exp(-87.33655)");
}

static float number(uint64_t i) {
  struct mr__random4 r = mr__random(5, MR__RANDOM_TEST, 0, i);
  return 20.0f * mr__uniform(r.v[0]) - 10.0f;
}

static void check_sums(void) {
  enum { MOST = 1000 };
  float x[MOST], y[MOST];
  for (int i = 0; i < MOST; i++) x[i] = number((uint64_t)i), y[i] = number((uint64_t)(i + MOST));
  for (int n = 0; n <= MOST; n += n < 80 ? 1 : 23) {
    double sum = 0, dot = 0, size_sum = 0, size_dot = 0;
    for (int i = 0; i < n; i++) {
      sum += (double)x[i], size_sum += fabs((double)x[i]);
      dot += (double)x[i] * (double)y[i], size_dot += fabs((double)x[i] * (double)y[i]);
    }
    double bound = (n / 16 + 5) * 0x1p-24;
    CHECK(fabs((double)mr__sum(x, n) - sum) <= bound * size_sum, "sum of %d", n);
    CHECK(fabs((double)mr__dot(x, y, n) - dot) <= bound * size_dot, "dot of %d", n);
    for (int family = 0; family < FAMILIES; family++) {
      if (!family_runs(family)) continue;
      CHECK(same_bits(loops[family]->sum(x, n), mr__sum(x, n)), "sum of %d in %s", n,
            family_names[family]);
      CHECK(same_bits(loops[family]->dot(x, y, n), mr__dot(x, y, n)), "dot of %d in %s", n,
            family_names[family]);
      float z[MOST];
      for (int i = 0; i < n; i++) z[i] = y[i];
      loops[family]->axpy(z, 0.3f, x, n);
      for (int i = 0; i < n; i++)
        CHECK(same_bits(z[i], fmaf(0.3f, x[i], y[i])), "axpy of %d in %s", n, family_names[family]);
    }
  }
}

int main(void) {
  for (int f = 0; f < FUNCTIONS; f++) check_sweep(f);
  check_special();
  check_sums();
  return check_end();
}
