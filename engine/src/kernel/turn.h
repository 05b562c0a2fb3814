/* Squares of words of 4 bytes are turned in registers: 4 by 4, or 16 by 16 where those are wide
 * enough. Rows become columns. */
#ifndef MR_KERNEL_TURN_H
#define MR_KERNEL_TURN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
enum { MR__SIDE = 16 };
#define MR__LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define MR__HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#else
enum { MR__SIDE = 4 };
#define MR__LOW 0, 4, 1, 5
#define MR__HIGH 2, 6, 3, 7
#endif

typedef uint32_t mr__words __attribute__((vector_size(4 * MR__SIDE)));

/* Each round puts row i and row i + MR__SIDE / 2 word by word beside one another: log MR__SIDE
 * rounds turn the square. */
static inline __attribute__((always_inline)) void mr__turn(mr__words v[MR__SIDE]) {
#pragma GCC unroll 4
  for (int round = 1; round < MR__SIDE; round *= 2) {
    mr__words next[MR__SIDE];
#pragma GCC unroll 8
    for (int i = 0; i < MR__SIDE / 2; i++) {
      next[2 * i] = __builtin_shufflevector(v[i], v[i + MR__SIDE / 2], MR__LOW);
      next[2 * i + 1] = __builtin_shufflevector(v[i], v[i + MR__SIDE / 2], MR__HIGH);
    }
#pragma GCC unroll 16
    for (int i = 0; i < MR__SIDE; i++) v[i] = next[i];
  }
}

/* to[c][r] = from[r][c], 16 of each; rows are ld_from and ld_to floats apart. */
static inline void mr__turn_floats(const float *from, size_t ld_from, float *to, size_t ld_to) {
  for (int r = 0; r < 16; r += MR__SIDE)
    for (int c = 0; c < 16; c += MR__SIDE) {
      mr__words v[MR__SIDE];
#pragma GCC unroll 16
      for (int i = 0; i < MR__SIDE; i++)
        memcpy(&v[i], from + (size_t)(r + i) * ld_from + c, sizeof v[i]);
      mr__turn(v);
#pragma GCC unroll 16
      for (int i = 0; i < MR__SIDE; i++)
        memcpy(to + (size_t)(c + i) * ld_to + r, &v[i], sizeof v[i]);
    }
}

#endif
