/* OpenBLAS, opened at run time after its core type has been chosen.
 *
 * It does the backward products, one thread each inside the engine's own lanes. The serial build
 * gives wrong results when several threads call it, so it is refused. */
#ifndef MR_KERNEL_BLAS_H
#define MR_KERNEL_BLAS_H

#include "base/status.h"

/* Open the library once; MR_ESYSTEM when none is there. Safe from several threads. */
int mr__blas_open(void);

/* C [m, n] = A [m, k] B^T, B is [n, k]; added to C when add is not 0. All row-major. */
void mr__gemm_nt(int m, int n, int k, const float *a, int lda, const float *b, int ldb, int add,
                 float *c, int ldc);

/* C [m, n] = A^T B, A is [k, m], B is [k, n]; added to C when add is not 0. */
void mr__gemm_tn(int m, int n, int k, const float *a, int lda, const float *b, int ldb, int add,
                 float *c, int ldc);

#endif
