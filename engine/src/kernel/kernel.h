/* The matrix products of dense layers.
 *
 * Forward: every output element is its start value plus fused multiply-adds over the inputs in
 * ascending order, in one accumulator; a single output is an inner product in partial sums
 * (vec.h). So a row's result depends on nothing but the row: the same bits alone, in any batch, at
 * any position, in any kernel family.
 *
 * Packed weights, [inputs, outputs] cut into panels of 48 columns (the last one 16, 32 or 48 wide,
 * filled with zeros):
 *
 *   panel 0: in 0: w[0][0..47]  in 1: w[1][0..47] ...   panel 1: in 0: w[0][48..95] ...
 *
 * Backward follows the same rule: dx = dy W^T is the forward product with the transposed weights
 * packed, and dw = x^T dy goes over the rows in ascending order. So training has the same bits in
 * every kernel family too. OpenBLAS is the oracle of the tests. */
#ifndef MR_KERNEL_KERNEL_H
#define MR_KERNEL_KERNEL_H

#include <stddef.h>
#include <stdint.h>

enum { MR__PANEL = 48, MR__VECTOR = 16 };

/* Rows whose products of weights' gradients are one sum; most q whose rows are as many together. */
enum { MR__ROWS_AT_ONCE = 96, MR__PAIRED_PARTS = 8 };

/* Floats of the packed form. */
static inline size_t mr__packed_size(int inputs, int outputs) {
  size_t columns = ((size_t)outputs + MR__VECTOR - 1) / MR__VECTOR * MR__VECTOR;
  return (size_t)inputs * columns;
}

/* How wide the panel is that begins at a column; 0 behind the last one. */
static inline int mr__panel_width(int columns, int first) {
  int left = columns - first;
  if (left <= 0) return 0;
  return left < MR__PANEL ? (left + MR__VECTOR - 1) / MR__VECTOR * MR__VECTOR : MR__PANEL;
}

void mr__pack(const float *weights, int inputs, int outputs, float *packed);

/* The packed form of the transposed weights, [outputs, inputs]. */
typedef void mr__pack_fn(const float *weights, int inputs, int outputs, float *packed);
mr__pack_fn mr__pack_transposed_plain, mr__pack_transposed_avx2, mr__pack_transposed_avx512;

struct mr__dense_call {
  const float *x; /* [rows, inputs], stride ldx */
  int ldx;
  int64_t rows;
  int inputs, outputs;
  const float *packed;
  /* [rows, outputs], stride ld_start; stride 0: one row for all (the bias); NULL: zeros. May be
   * y. */
  const float *start;
  int ld_start;
  const float *start_weight; /* [rows], stride ld_weight: start is times that of the row; or NULL */
  int ld_weight;
  float *y; /* [rows, outputs], stride ldy */
  int ldy;
  /* Where q is not NULL, `packed` is W and then P, and the weights are W + diag(q) P, elements
   * w + q p as fused multiply-adds; or, of those transposed, W^T + P^T diag(q). They are made on
   * the way. */
  const float *q; /* [inputs], or [outputs] */
  int q_of_outputs;
  float *made; /* as large as W packed: scratch */
  /* What is done to y before it is written: */
  int relu; /* 1: what is not above 0 becomes 0 */
  int mask; /* 1: y is 0 where `beside` is not above 0; with slopes it is slope y there */
  /* [outputs], or NULL. Without a mask y becomes y where it is above 0, else slope y, and what it
   * was goes to `plain` (NULL: nowhere); with one, dslopes += y beside where `beside` is not above
   * 0, row after row. */
  const float *slopes;
  float *plain; /* [rows, outputs], stride ld_plain */
  int ld_plain;
  float *dslopes; /* [outputs] */
  /* [rows, outputs], stride ld_beside, or NULL: brought near meanwhile for whoever reads it
   * next. */
  const float *beside;
  int ld_beside;
};

typedef void mr__dense_forward_fn(const struct mr__dense_call *call);
mr__dense_forward_fn mr__dense_forward_plain, mr__dense_forward_avx2, mr__dense_forward_avx512;
/* Only make the weights of a q. */
mr__dense_forward_fn mr__make_paired_plain, mr__make_paired_avx2, mr__make_paired_avx512;

/* dw [inputs, outputs] = x^T dy, or += it: fused multiply-adds over the rows in ascending order, in
 * one accumulator that starts at zero and goes to dw after every 96 rows. db [outputs] += the rows
 * of dy, one after another. */
struct mr__weight_call {
  const float *x; /* [rows, inputs] */
  int ldx;
  const float *dy; /* [rows, outputs] */
  int lddy;
  int64_t rows;
  int inputs, outputs;
  float *dw;
  int lddw;
  int add;   /* 0: what is in dw is overwritten */
  float *db; /* may be NULL */
};

typedef void mr__dense_weights_fn(const struct mr__weight_call *call);
mr__dense_weights_fn mr__dense_weights_plain, mr__dense_weights_avx2, mr__dense_weights_avx512;

/* The same of weights that each q has its own form of, W + diag(q) P, from rows of several q, the
 * parts: with T = x^T dy of a part, dw += T, dproduct += diag(q) T, and dq[i] += the inner product
 * of T[i] and P[i], in 16 partial sums. */
struct mr__paired_rows {
  const float *x, *dy; /* [rows, inputs], [rows, outputs] */
  int64_t rows;
  const float *q; /* [inputs] */
  float *dq;      /* [inputs], or NULL */
};

struct mr__paired_weights {
  const struct mr__paired_rows *parts; /* of at most MR__ROWS_AT_ONCE rows together */
  int n_parts;                         /* at most MR__PAIRED_PARTS */
  int ldx, lddy;
  int inputs, outputs;
  const float *product; /* P [inputs, outputs] */
  float *dw, *dproduct; /* [inputs, outputs] */
  float *partials;      /* [n_parts, inputs, 16]: scratch */
};

typedef void mr__paired_weights_fn(const struct mr__paired_weights *call);
mr__paired_weights_fn mr__paired_weights_plain, mr__paired_weights_avx2, mr__paired_weights_avx512;

/* A layer of one output, whose weights need no packing. */
struct mr__one_call {
  const float *x; /* [rows, inputs] */
  int ldx;
  int64_t rows;
  int inputs;
  const float *weights; /* [inputs] */
  /* Forward: y = start + the inner product of x and weights, in 16 partial sums. */
  float start;
  int relu;     /* this and slopes [1], plain as above */
  float *plain; /* [rows], stride ld_plain */
  int ld_plain;
  float *y; /* [rows], stride ldy */
  int ldy;
  /* Backward: dw += dy x and db += dy, row after row; dx = or += dy weights. */
  const float *dy; /* [rows], stride lddy */
  int lddy;
  float *dw, *db; /* [inputs], [1] */
  float *dx;      /* [rows, inputs]; NULL: not wanted */
  int lddx;
  int add;             /* 1: dx is added to */
  int mask;            /* 1: dx is 0 where x is not above 0; with slopes as above */
  const float *slopes; /* [inputs] */
  const float *beside; /* [rows, inputs], stride ld_beside: with slopes, what x was before */
  int ld_beside;
  float *dslopes; /* [inputs] */
};

typedef void mr__one_fn(const struct mr__one_call *call);
mr__one_fn mr__one_forward_plain, mr__one_forward_avx2, mr__one_forward_avx512;
mr__one_fn mr__one_backward_plain, mr__one_backward_avx2, mr__one_backward_avx512;

/* y [width] = the sum over the rows of weight x, fused multiply-adds from the first row on; of no
 * rows it is 0. */
struct mr__weighted_call {
  const float *x; /* [rows, width] */
  int ldx;
  int64_t rows;
  int width;
  const float *weights; /* [rows], stride ld_weights */
  int ld_weights;
  float *y;
};

typedef void mr__weighted_sum_fn(const struct mr__weighted_call *call);
mr__weighted_sum_fn mr__weighted_sum_plain, mr__weighted_sum_avx2, mr__weighted_sum_avx512;

#endif
