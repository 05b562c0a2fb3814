/* OpenBLAS, opened at run time after its core type has been chosen.
 *
 * It is the oracle of the tests of the engine's own products and a yardstick of the benchmarks; no
 * model needs it. Several threads call it at once, each for itself; the serial build gives wrong
 * results then, so it is refused. */
#ifndef MR_KERNEL_BLAS_H
#define MR_KERNEL_BLAS_H

#include "base/status.h"

/* Open the library once; MR_ESYSTEM when none is there. Safe from several threads. */
int mr__blas_open(void);

/* The handle of the library that was opened, for programs that call more of it. */
void *mr__blas_library(void);

/* C [m, n] = A [m, k] B^T, B is [n, k]; added to C when add is not 0. All row-major. */
void mr__gemm_nt(int m, int n, int k, const float *a, int lda, const float *b, int ldb, int add,
                 float *c, int ldc);

/* C [m, n] = A^T B, A is [k, m], B is [k, n]; added to C when add is not 0. */
void mr__gemm_tn(int m, int n, int k, const float *a, int lda, const float *b, int ldb, int add,
                 float *c, int ldc);

#endif
