/* Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy
 * as 1, 2, 3", SC 2011). A number is a function of (seed, purpose, where), never of the order in
 * which numbers are asked for, so threads, batches and resumed runs see the same ones. */
#ifndef MR_BASE_RANDOM_H
#define MR_BASE_RANDOM_H

#include <math.h>
#include <stdint.h>

/* What a stream of numbers is for; part of the key, so purposes never share numbers. */
enum mr__purpose {
  MR__RANDOM_TABLE = 1,   /* start values of embedding rows: counter is (key, element / 4) */
  MR__RANDOM_DENSE = 2,   /* start values of dense weights: counter is (parameter, element / 4) */
  MR__RANDOM_DROPOUT = 3, /* counter is (step, node, row, element / 4) */
  MR__RANDOM_SHUFFLE = 4, /* counter is (epoch, position) */
  MR__RANDOM_TEST = 5,
  MR__RANDOM_BOOTSTRAP = 6 /* counter is (draw, group / 4) */
};

struct mr__random4 {
  uint32_t v[4];
};

static inline struct mr__random4 mr__philox(struct mr__random4 counter, uint32_t key0,
                                            uint32_t key1) {
  for (int round = 0; round < 10; round++) {
    uint64_t product0 = (uint64_t)0xD2511F53u * counter.v[0];
    uint64_t product1 = (uint64_t)0xCD9E8D57u * counter.v[2];
    struct mr__random4 next = {
        {(uint32_t)(product1 >> 32) ^ counter.v[1] ^ key0, (uint32_t)product1,
         (uint32_t)(product0 >> 32) ^ counter.v[3] ^ key1, (uint32_t)product0}};
    counter = next;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

/* Four words for (seed, purpose) and a position of two 64-bit halves. The seed fills one key word
 * and half of the other; the purpose keeps streams apart. */
static inline struct mr__random4 mr__random(uint64_t seed, enum mr__purpose purpose, uint64_t a,
                                            uint64_t b) {
  struct mr__random4 counter = {
      {(uint32_t)a, (uint32_t)(a >> 32), (uint32_t)b, (uint32_t)(b >> 32)}};
  return mr__philox(counter, (uint32_t)seed,
                    (uint32_t)(seed >> 32) ^ ((uint32_t)purpose * 0x9E3779B1u));
}

/* In [0, 1), with 24 bits: exact in float. */
static inline float mr__uniform(uint32_t word) { return (float)(word >> 8) * 0x1p-24f; }

/* Two independent standard normals from two words (Box and Muller), in double so that the same
 * value comes out on every CPU. */
static inline void mr__normal2(uint32_t word0, uint32_t word1, float out[2]) {
  double u = ((double)word0 + 0.5) * 0x1p-32, v = ((double)word1 + 0.5) * 0x1p-32;
  double radius = sqrt(-2.0 * log(u)), angle = 6.283185307179586 * v;
  out[0] = (float)(radius * cos(angle));
  out[1] = (float)(radius * sin(angle));
}

#endif
