/* Arithmetic shared by the ops, written so that every kernel family gives the same bits.
 *
 * - Element-wise functions are scalar code that the compiler vectorises; each lane does the same
 *   IEEE operations in the same order as the scalar tail, and fused multiply-adds are explicit.
 * - Where a loop over short vectors must keep its sums in registers, it is written with the vectors
 *   below: the compiler makes each of them from what registers the family has.
 * - Reductions keep MR__PARTIALS partial sums, element i going to partial i % MR__PARTIALS, and add
 *   them in one fixed tree, whatever the vector width. */
#ifndef MR_KERNEL_VEC_H
#define MR_KERNEL_VEC_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { MR__PARTIALS = 16 };

/* Vectors of N floats, at any address. Only element-wise arithmetic, which is the same
 * everywhere. */
typedef float mr__vector1 __attribute__((may_alias));
typedef float mr__vector4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef float mr__vector8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef float mr__vector16 __attribute__((vector_size(64), aligned(4), may_alias));

/* f_16(i, ...), f_8, f_4, f_1: calls for stretches of so many floats that cover n of them. */
#define MR__STRETCHES(f, n, ...)                                                                   \
  do {                                                                                             \
    int i_ = 0;                                                                                    \
    for (; i_ + 16 <= (n); i_ += 16) f##_16(i_, __VA_ARGS__);                                      \
    for (; i_ + 8 <= (n); i_ += 8) f##_8(i_, __VA_ARGS__);                                         \
    for (; i_ + 4 <= (n); i_ += 4) f##_4(i_, __VA_ARGS__);                                         \
    for (; i_ < (n); i_++) f##_1(i_, __VA_ARGS__);                                                 \
  } while (0)

static inline float mr__fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

static inline float mr__from_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static inline uint32_t mr__to_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

/* e^x, within 1.03 ulp of the true value where the result is a normal number; below -87.33 it is
 * 0, above 88.72 infinity. Cody and Waite's reduction x = n ln 2 + r, |r| <= ln 2 / 2, then a
 * polynomial of degree 6 for e^r. */
static inline float mr__exp(float x) {
  float inside = x > -87.33654f ? x : -87.33654f; /* so is NaN, which converts to no integer */
  inside = inside < 88.72283f ? inside : 88.72283f;
  /* Adding and taking away 1.5 * 2^23 rounds to a whole number. */
  float shifted = mr__fma(inside, 1.44269504f, 12582912.0f);
  float n = shifted - 12582912.0f;
  float r = mr__fma(n, -0.693359375f, inside);
  r = mr__fma(n, 2.12194440e-4f, r);
  float p = 1.9875691500e-4f;
  p = mr__fma(p, r, 1.3981999507e-3f);
  p = mr__fma(p, r, 8.3334519073e-3f);
  p = mr__fma(p, r, 4.1665795894e-2f);
  p = mr__fma(p, r, 1.6666665459e-1f);
  p = mr__fma(p, r, 5.0000001201e-1f);
  p = mr__fma(p * r, r, r) + 1.0f;
  /* n is at most 128: 2^n in two halves, so that 2^128 does not overflow on the way. */
  int32_t whole = (int32_t)n, half = whole >> 1;
  float scale0 = mr__from_bits((uint32_t)(half + 127) << 23);
  float scale1 = mr__from_bits((uint32_t)(whole - half + 127) << 23);
  float y = p * scale0 * scale1;
  y = x < -87.33654f ? 0.0f : y;
  return x > 88.72283f ? mr__from_bits(0x7f800000u) : (x != x ? x : y);
}

/* ln x of a positive normal number, within 0.85 ulp; of 0 and denormals that of 2^-126, of negative
 * numbers and NaN it is NaN. x = 2^n (1 + f), sqrt(1/2) <= 1 + f < sqrt(2), then the polynomial of
 * Cephes logf. */
static inline float mr__log(float x) {
  float inside = x > 1.17549435e-38f ? x : 1.17549435e-38f;
  uint32_t bits = mr__to_bits(inside);
  uint32_t above = bits - 0x3f3504f3u; /* of sqrt(1/2): its top bits are n */
  float n = (float)((int32_t)above >> 23);
  float f = mr__from_bits((above & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
  float square = f * f;
  float p = 7.0376836292e-2f;
  p = mr__fma(p, f, -1.1514610310e-1f);
  p = mr__fma(p, f, 1.1676998740e-1f);
  p = mr__fma(p, f, -1.2420140846e-1f);
  p = mr__fma(p, f, 1.4249322787e-1f);
  p = mr__fma(p, f, -1.6668057665e-1f);
  p = mr__fma(p, f, 2.0000714765e-1f);
  p = mr__fma(p, f, -2.4999993993e-1f);
  p = mr__fma(p, f, 3.3333331174e-1f);
  float y = mr__fma(p * square, f, n * -2.12194440e-4f);
  y = mr__fma(-0.5f, square, y);
  y = mr__fma(n, 0.693359375f, f + y);
  return x > 3.40282347e38f ? x : (x < 0.0f || x != x ? mr__from_bits(0x7fc00000u) : y);
}

/* 1 / (1 + e^-x), without overflow and without cancellation on either side: within 2.9 ulp where
 * the result is a normal number, 0 below -87.33. */
static inline float mr__sigmoid(float x) {
  float magnitude = mr__from_bits(mr__to_bits(x) & 0x7fffffffu);
  float e = mr__exp(-magnitude);
  float s = 1.0f / (1.0f + e);
  return x < 0.0f ? e * s : s;
}

/* tanh x, within 1.4 ulp: an odd polynomial (Cephes tanhf) below 0.625, above it
 * 1 - 2 / (e^2x + 1). */
static inline float mr__tanh(float x) {
  float magnitude = mr__from_bits(mr__to_bits(x) & 0x7fffffffu);
  float z = x * x;
  float p = -5.70498872745e-3f;
  p = mr__fma(p, z, 2.06390887954e-2f);
  p = mr__fma(p, z, -5.37397155531e-2f);
  p = mr__fma(p, z, 1.33314422036e-1f);
  p = mr__fma(p, z, -3.33332819422e-1f);
  float small = mr__fma(p * z, x, x);
  float large = 1.0f - 2.0f / (mr__exp(2.0f * magnitude) + 1.0f);
  float y = magnitude < 0.625f ? small : large;
  y = mr__from_bits(mr__to_bits(y) | (mr__to_bits(x) & 0x80000000u)); /* also that of -0 */
  return x != x ? x : y;
}

/* The tree: halves on each other, down to one number. */
static inline float mr__add_partials(const float s[MR__PARTIALS]) {
  mr__vector8 t = *(const mr__vector8 *)s + *(const mr__vector8 *)(s + 8);
  const mr__vector4 *half = (const mr__vector4 *)&t;
  mr__vector4 u = half[0] + half[1];
  return (u[0] + u[2]) + (u[1] + u[3]);
}

/* The sum of n floats, within (n / 16 + 5) 2^-24 sum |x_i|. */
static inline float mr__sum(const float *x, int n) {
  float s[MR__PARTIALS] = {0};
  int i = 0;
  for (; i + MR__PARTIALS <= n; i += MR__PARTIALS)
    for (int j = 0; j < MR__PARTIALS; j++) s[j] += x[i + j];
  for (int j = 0; i + j < n; j++) s[j] += x[i + j];
  return mr__add_partials(s);
}

/* The inner product of two vectors of n floats, within (n / 16 + 5) 2^-24 sum |x_i y_i|. */
static inline float mr__dot(const float *x, const float *y, int n) {
  float s[MR__PARTIALS] = {0};
  int i = 0;
  for (; i + MR__PARTIALS <= n; i += MR__PARTIALS)
    for (int j = 0; j < MR__PARTIALS; j++) s[j] = mr__fma(x[i + j], y[i + j], s[j]);
  for (int j = 0; i + j < n; j++) s[j] = mr__fma(x[i + j], y[i + j], s[j]);
  return mr__add_partials(s);
}

/* The sum of squares of n floats in double, where each square is exact. */
static inline double mr__squares(const float *x, int n) {
  double s[MR__PARTIALS] = {0};
  int i = 0;
  for (; i + MR__PARTIALS <= n; i += MR__PARTIALS)
    for (int j = 0; j < MR__PARTIALS; j++) s[j] += (double)x[i + j] * (double)x[i + j];
  for (int j = 0; i + j < n; j++) s[j] += (double)x[i + j] * (double)x[i + j];
  double sum = 0;
  for (int j = 0; j < MR__PARTIALS; j++) sum += s[j];
  return sum;
}

/* Whether no number is infinite or NaN. */
static inline int mr__all_finite(const float *x, size_t n) {
  uint32_t seen = 0; /* adding 1 to an exponent of all ones carries into the top bit */
  for (size_t i = 0; i < n; i++) seen |= (mr__to_bits(x[i]) & 0x7fffffffu) + 0x00800000u;
  return seen < 0x80000000u;
}

/* x = a * x. */
static inline void mr__scale(float *x, float a, int n) {
  for (int i = 0; i < n; i++) x[i] *= a;
}

/* y += a * x. */
static inline void mr__axpy(float *restrict y, float a, const float *restrict x, int n) {
  for (int i = 0; i < n; i++) y[i] = mr__fma(a, x[i], y[i]);
}

/* y += x. */
static inline void mr__accumulate(float *restrict y, const float *restrict x, int n) {
  for (int i = 0; i < n; i++) y[i] += x[i];
}

#endif
