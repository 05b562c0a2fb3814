/* Many normal numbers at a time: those of mr__normal2 (base/random.h), in loops without branches
 * that the compiler turns into vectors. log, sin and cos are polynomials in double with the
 * coefficients of fdlibm (Sun Microsystems 1993), less than 1 ulp off, so that rounded to float
 * they are the nearest float but for one in many millions; the same bits in every family. */
#include <math.h>
#include <string.h>

#include "kernel/family.h"

enum { PAIRS = 32 }; /* at a time */

static inline double double_of(uint64_t bits) {
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static inline uint64_t bits_of(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

/* Of normal numbers above zero: k ln 2 + log(1 + f), 1 + f from the root of 1/2 to that of 2. */
static inline double log_of(double x) {
  const uint64_t one = 0x3ff0000000000000, half_root = 0x3fe6a09e00000000,
                 two_52 = 0x4330000000000000;
  uint64_t shifted = bits_of(x) + (one - half_root);
  double k = double_of(two_52 | shifted >> 52) - (0x1p52 + 1023);
  double f = double_of((shifted & 0x000fffffffffffff) + half_root) - 1;
  double s = f / (2 + f), z = s * s, w = z * z, half = 0.5 * f * f;
  double even = w * (3.999999999940941908e-01 +
                     w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
  double odd = z * (6.666666666666735130e-01 +
                    w * (2.857142874366239149e-01 +
                         w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
  return s * (half + (even + odd)) + k * 1.90821492927058770002e-10 - half + f +
         k * 6.93147180369123816490e-01;
}

/* Of x + tail, at most a quarter of pi. */
static inline double sin_of(double x, double tail) {
  double z = x * x, w = z * z, cube = z * x;
  double r = 8.33333333332248946124e-03 +
             z * (-1.98412698298579493134e-04 + z * 2.75573137070700676789e-06) +
             z * w * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10);
  return x - ((z * (0.5 * tail - cube * r) - tail) - cube * -1.66666666666666324348e-01);
}

static inline double cos_of(double x, double tail) {
  double z = x * x, w = z * z, half = 0.5 * z, most = 1 - half;
  double r = z * (4.16666666666666019037e-02 +
                  z * (-1.38888888888741095749e-03 + z * 2.48015872894767294178e-05)) +
             w * w *
                 (-2.75573143513906633035e-07 +
                  z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11));
  return most + (((1 - most) - half) + (z * r - x * tail));
}

/* Of 0 to 2 pi: n quarters of a turn, and at most an eighth more or less. */
static inline void turn(double angle, double *sine, double *cosine) {
  const double round = 0x1.8p52, quarter = 1.57079632673412561417e+00,
               quarter_tail = 6.07710050650619224932e-11;
  double n = angle * 6.36619772367581382433e-01 + round - round;
  double left = angle - n * quarter, rest = n * quarter_tail;
  double x = left - rest, tail = (left - x) - rest;
  double s = sin_of(x, tail), c = cos_of(x, tail);
  int is_odd = (n == 1) | (n == 3);
  double a = is_odd ? c : s, b = is_odd ? s : c;
  int is_below = (n == 2) | (n == 3), is_left = (n == 1) | (n == 2);
  *sine = is_below ? -a : a;
  *cosine = is_left ? -b : b;
}

static void some_pairs(const uint32_t *words, int n, float *out) {
  double radius[PAIRS], sine[PAIRS], cosine[PAIRS];
  for (int i = 0; i < n; i++)
    radius[i] = sqrt(-2.0 * log_of(((double)words[2 * i] + 0.5) * 0x1p-32));
  for (int i = 0; i < n; i++)
    turn(6.283185307179586 * (((double)words[2 * i + 1] + 0.5) * 0x1p-32), &sine[i], &cosine[i]);
  for (int i = 0; i < n; i++) {
    out[2 * i] = (float)(radius[i] * cosine[i]);
    out[2 * i + 1] = (float)(radius[i] * sine[i]);
  }
}

void MR_FAMILY(mr__normals)(const uint32_t *words, int n_pairs, float *out) {
  for (int first = 0; first < n_pairs; first += PAIRS) {
    int n = n_pairs - first < PAIRS ? n_pairs - first : PAIRS;
    some_pairs(words + 2 * (size_t)first, n, out + 2 * (size_t)first);
  }
}
