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

#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

#define VECTOR __m256
#define LANES 8
#define LOAD(p) _mm256_loadu_ps(p)
#define BROADCAST(x) _mm256_set1_ps(x)
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define STORE(p, v) _mm256_storeu_ps(p, v)
#define ADD(a, b) _mm256_add_ps(a, b)
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

#endif

#endif
