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

/* The product of a dense layer alone, forward, with its operands in the second-level cache: the
 * rate that products can attain, which load what they multiply. `memory` has room for
 * MR__LIMIT_LAYER_FLOATS, numbers of which no sum overflows. */
enum {
  MR__LIMIT_ROWS = 96,
  MR__LIMIT_SIDE = 400, /* inputs and outputs */
  MR__LIMIT_LAYER_FLOATS = 2 * MR__LIMIT_ROWS * MR__LIMIT_SIDE + MR__LIMIT_SIDE * MR__LIMIT_SIDE,
  MR__LIMIT_LAYER_FLOPS = 2 * MR__LIMIT_ROWS * MR__LIMIT_SIDE * MR__LIMIT_SIDE
};
typedef void mr__limit_layer_fn(float *memory);
mr__limit_layer_fn mr__limit_layer_plain, mr__limit_layer_avx2, mr__limit_layer_avx512;

typedef void mr__limit_copy_fn(float *to, const float *from, int64_t floats);
mr__limit_copy_fn mr__limit_copy_plain, mr__limit_copy_avx2, mr__limit_copy_avx512;

#endif
