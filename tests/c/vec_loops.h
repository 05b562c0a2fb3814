/* Loops over the functions of kernel/vec.h, compiled once per kernel family. */
#ifndef MR_TESTS_VEC_LOOPS_H
#define MR_TESTS_VEC_LOOPS_H

struct vec_loops {
  void (*exp)(const float *x, float *y, int n);
  void (*sigmoid)(const float *x, float *y, int n);
  void (*tanh)(const float *x, float *y, int n);
  void (*log)(const float *x, float *y, int n);
  float (*sum)(const float *x, int n);
  float (*dot)(const float *x, const float *y, int n);
  void (*axpy)(float *y, float a, const float *x, int n);
};

extern const struct vec_loops vec_loops_plain, vec_loops_avx2, vec_loops_avx512;

#endif
