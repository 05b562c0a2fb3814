/* Loops that do as much as a core can (kernel/limits.h). */
#include "kernel/isa.h"
#include "kernel/kernel.h"
#include "kernel/limits.h"
#include "kernel/vec.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#define VECTOR __m512
#define LANES 16
#define SET(x) _mm512_set1_ps(x)
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define ADD(a, b) _mm512_add_ps(a, b)
#define FIRST(a) _mm512_cvtss_f32(a)
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define VECTOR __m256
#define LANES 8
#define SET(x) _mm256_set1_ps(x)
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define ADD(a, b) _mm256_add_ps(a, b)
#define FIRST(a) _mm256_cvtss_f32(a)
#else
#define VECTOR float
#define LANES 1
#define SET(x) (x)
#define FMA(a, b, c) mr__fma(a, b, c)
#define ADD(a, b) ((a) + (b))
#define FIRST(a) (a)
#endif

/* Twelve chains cover the latency of the units. */
float MR_FAMILY(mr__limit_products)(int64_t turns) {
  VECTOR sum[MR__LIMIT_CHAINS], factor = SET(0.999f);
  for (int c = 0; c < MR__LIMIT_CHAINS; c++) sum[c] = SET((float)c);
  for (int64_t t = 0; t < turns * (MR__LIMIT_WIDTH / LANES); t++)
    for (int c = 0; c < MR__LIMIT_CHAINS; c++) sum[c] = FMA(sum[c], factor, factor);
  for (int c = 1; c < MR__LIMIT_CHAINS; c++) sum[0] = ADD(sum[0], sum[c]);
  return FIRST(sum[0]);
}

void MR_FAMILY(mr__limit_layer)(float *memory) {
  float *x = memory, *y = x + MR__LIMIT_ROWS * MR__LIMIT_SIDE;
  struct mr__dense_call call = {.x = x,
                                .ldx = MR__LIMIT_SIDE,
                                .rows = MR__LIMIT_ROWS,
                                .inputs = MR__LIMIT_SIDE,
                                .outputs = MR__LIMIT_SIDE,
                                .packed = y + MR__LIMIT_ROWS * MR__LIMIT_SIDE,
                                .y = y,
                                .ldy = MR__LIMIT_SIDE};
  MR_FAMILY(mr__dense_forward)(&call);
}

void MR_FAMILY(mr__limit_copy)(float *to, const float *from, int64_t floats) {
  float *restrict y = to;
  const float *restrict x = from;
  for (int64_t i = 0; i < floats; i++) y[i] = x[i];
}
