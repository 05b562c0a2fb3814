/* Vectors of the kernel family that is being compiled, for tiles of matrix products. VECTOR is not
 * defined where there are none. */
#ifndef MR_KERNEL_TILE_H
#define MR_KERNEL_TILE_H

#include "kernel/vec.h"

/* Accumulators stay in registers only where the loops over them are gone. */
#define UNROLL _Pragma("GCC unroll 16")

#if defined(__AVX512F__)
#include <immintrin.h>

#define VECTOR __m512
#define LANES 16
#define LOAD(p) _mm512_loadu_ps(p)
#define BROADCAST(x) _mm512_set1_ps(x)
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define STORE(p, v) _mm512_storeu_ps(p, v)
#define ADD(a, b) _mm512_add_ps(a, b)
#define MULTIPLY(a, b) _mm512_mul_ps(a, b)
#define ABOVE_ZERO(a) _mm512_max_ps(a, _mm512_setzero_ps()) /* else 0, also of NaN */
/* a where b is above 0, else 0. */
#define WHERE_ABOVE_ZERO(a, b)                                                                     \
  _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(b, _mm512_setzero_ps(), _CMP_GT_OQ), a)
/* a where b is above 0, else c. */
#define CHOOSE_ABOVE_ZERO(a, b, c)                                                                 \
  _mm512_mask_mov_ps(c, _mm512_cmp_ps_mask(b, _mm512_setzero_ps(), _CMP_GT_OQ), a)
#define TILE_ROWS 8 /* and three vectors: 24 accumulators of 32 registers */
#define TILE_VECTORS 3

/* The first n columns of a vector, all or none where n is beyond; what lies behind them in memory
 * is neither read nor written. */
typedef __mmask16 columns_mask;
static inline columns_mask first_columns(int n) {
  return (columns_mask)(n >= LANES ? 0xffff : n > 0 ? (1u << n) - 1 : 0);
}
static inline VECTOR load_columns(const float *p, columns_mask mask) {
  return _mm512_maskz_loadu_ps(mask, p);
}
static inline void store_columns(float *y, VECTOR v, columns_mask mask) {
  _mm512_mask_storeu_ps(y, mask, v);
}
/* a in these columns, b in the others. */
static inline VECTOR choose_columns(VECTOR a, VECTOR b, columns_mask mask) {
  return _mm512_mask_mov_ps(b, mask, a);
}

#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

#define VECTOR __m256
#define LANES 8
#define LOAD(p) _mm256_loadu_ps(p)
#define BROADCAST(x) _mm256_set1_ps(x)
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define STORE(p, v) _mm256_storeu_ps(p, v)
#define ADD(a, b) _mm256_add_ps(a, b)
#define MULTIPLY(a, b) _mm256_mul_ps(a, b)
#define ABOVE_ZERO(a) _mm256_max_ps(a, _mm256_setzero_ps())
#define WHERE_ABOVE_ZERO(a, b) _mm256_and_ps(_mm256_cmp_ps(b, _mm256_setzero_ps(), _CMP_GT_OQ), a)
#define CHOOSE_ABOVE_ZERO(a, b, c)                                                                 \
  _mm256_blendv_ps(c, a, _mm256_cmp_ps(b, _mm256_setzero_ps(), _CMP_GT_OQ))
#define TILE_ROWS 6 /* and two vectors: 12 accumulators of 16 registers */
#define TILE_VECTORS 2

typedef __m256i columns_mask;
static inline columns_mask first_columns(int n) {
  const __m256i column = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), column);
}
static inline VECTOR load_columns(const float *p, columns_mask mask) {
  return _mm256_maskload_ps(p, mask);
}
static inline void store_columns(float *y, VECTOR v, columns_mask mask) {
  _mm256_maskstore_ps(y, mask, v);
}
static inline VECTOR choose_columns(VECTOR a, VECTOR b, columns_mask mask) {
  return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(mask));
}

#endif

#endif
