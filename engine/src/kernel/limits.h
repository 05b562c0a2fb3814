/* What this machine can do at most: yardsticks for a profile. */
#ifndef MR_KERNEL_LIMITS_H
#define MR_KERNEL_LIMITS_H

#include <stdint.h>

/* Floating-point operations of one turn of mr__limit_products. */
enum {
  MR__LIMIT_CHAINS = 12,
  MR__LIMIT_WIDTH = 16,
  MR__LIMIT_FLOPS = 2 * MR__LIMIT_CHAINS * MR__LIMIT_WIDTH
};

/* Fused multiply-adds that wait for nothing. Returns a number that depends on all of them. */
typedef float mr__limit_products_fn(int64_t turns);
mr__limit_products_fn mr__limit_products_plain, mr__limit_products_avx2, mr__limit_products_avx512;

typedef void mr__limit_copy_fn(float *to, const float *from, int64_t floats);
mr__limit_copy_fn mr__limit_copy_plain, mr__limit_copy_avx2, mr__limit_copy_avx512;

#endif
