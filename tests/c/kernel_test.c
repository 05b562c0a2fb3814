/* The products of dense layers: every kernel family against scalar loops of fused multiply-adds,
 * bit by bit, for many shapes; nothing read or written outside; and near to what OpenBLAS says. */
#include <math.h>
#include <string.h>

#include "base/random.h"
#include "check.h"
#include "families.h"
#include "guarded.h"
#include "kernel/blas.h"
#include "kernel/kernel.h"
#include "kernel/vec.h"

enum { MOST_ROWS = 40 };

static const int input_sizes[] = {1, 2, 3, 5, 8, 16, 17, 63, 131, 700};
static const int output_sizes[] = {1, 15, 16, 17, 36, 47, 48, 49, 80, 96, 97, 400};
#define COUNT(array) (int)(sizeof(array) / sizeof *(array))

static mr__dense_forward_fn *const forwards[] = {mr__dense_forward_plain,
#if MR_X86
                                                 mr__dense_forward_avx2, mr__dense_forward_avx512
#endif
};

static mr__dense_weights_fn *const weights[] = {mr__dense_weights_plain,
#if MR_X86
                                                mr__dense_weights_avx2, mr__dense_weights_avx512
#endif
};

static mr__paired_weights_fn *const paired_weights[] = {mr__paired_weights_plain,
#if MR_X86
                                                        mr__paired_weights_avx2,
                                                        mr__paired_weights_avx512
#endif
};

static mr__pack_fn *const packs_transposed[] = {mr__pack_transposed_plain,
#if MR_X86
                                                mr__pack_transposed_avx2,
                                                mr__pack_transposed_avx512
#endif
};

static mr__one_fn *const one_forwards[] = {mr__one_forward_plain,
#if MR_X86
                                           mr__one_forward_avx2, mr__one_forward_avx512
#endif
};

static mr__one_fn *const one_backwards[] = {mr__one_backward_plain,
#if MR_X86
                                            mr__one_backward_avx2, mr__one_backward_avx512
#endif
};

static mr__weighted_sum_fn *const weighted_sums[] = {mr__weighted_sum_plain,
#if MR_X86
                                                     mr__weighted_sum_avx2,
                                                     mr__weighted_sum_avx512
#endif
};

static float number(uint64_t stream, uint64_t i) {
  struct mr__random4 r = mr__random(11, MR__RANDOM_TEST, stream, i);
  return 2.0f * mr__uniform(r.v[0]) - 1.0f;
}

static void fill(float *p, size_t n, uint64_t stream) {
  for (size_t i = 0; i < n; i++) p[i] = number(stream, i);
}

/* One layer: x and start are [MOST_ROWS, ..] without gaps, `y` is what the rule says. */
struct layer {
  int inputs, outputs;
  struct guarded weights, packed, x, bias, start;
  float *y, *y_from; /* started by the bias, and by `start` */
};

static float *expected(const struct layer *l, const float *start, int ld_start) {
  float *y = malloc((size_t)MOST_ROWS * (size_t)l->outputs * sizeof *y);
  NEED(y);
  for (int r = 0; r < MOST_ROWS; r++)
    for (int c = 0; c < l->outputs; c++) {
      float sum = start[r * ld_start + c];
      for (int k = 0; k < l->inputs; k++)
        sum = fmaf(l->x.p[r * l->inputs + k], l->weights.p[k * l->outputs + c], sum);
      y[r * l->outputs + c] = sum;
    }
  return y;
}

static void make_layer(struct layer *l, int inputs, int outputs) {
  size_t in = (size_t)inputs, out = (size_t)outputs;
  *l = (struct layer){.inputs = inputs, .outputs = outputs};
  l->weights = guarded_floats(in * out);
  l->packed = guarded_floats(mr__packed_size(inputs, outputs));
  l->x = guarded_floats(MOST_ROWS * in);
  l->bias = guarded_floats(out);
  l->start = guarded_floats(MOST_ROWS * out);
  fill(l->weights.p, in * out, 1);
  fill(l->x.p, MOST_ROWS * in, 2);
  fill(l->bias.p, out, 3);
  fill(l->start.p, MOST_ROWS * out, 4);
  mr__pack(l->weights.p, inputs, outputs, l->packed.p);
  l->y = expected(l, l->bias.p, 0);
  l->y_from = expected(l, l->start.p, outputs);
}

static void free_layer(struct layer *l) {
  guarded_free(&l->weights);
  guarded_free(&l->packed);
  guarded_free(&l->x);
  guarded_free(&l->bias);
  guarded_free(&l->start);
  free(l->y);
  free(l->y_from);
}

/* Where the numbers of one call lie. */
struct place {
  int first, rows;          /* of the layer's MOST_ROWS */
  int from;                 /* 1: started by rows of `start`, 0: by the bias */
  int gap_x, gap_y, gap_start; /* floats between rows */
};

/* A matrix copied to rows that lie further apart. */
static struct guarded spread(const float *from, int rows, int width, int gap) {
  int ld = width + gap;
  struct guarded g = guarded_floats((size_t)(rows - 1) * (size_t)ld + (size_t)width);
  for (int r = 0; r < rows; r++)
    memcpy(g.p + r * ld, from + r * width, (size_t)width * sizeof(float));
  return g;
}

static void check_place(const struct layer *l, int family, const struct place *p) {
  int ldy = l->outputs + p->gap_y, in = l->inputs, out = l->outputs;
  struct guarded x = spread(l->x.p + p->first * in, p->rows, in, p->gap_x);
  struct guarded start = spread(l->start.p + p->first * out, p->rows, out, p->gap_start);
  size_t n = (size_t)(p->rows - 1) * (size_t)ldy + (size_t)out;
  struct guarded y = guarded_floats(n);
  for (size_t i = 0; i < n; i++) y.p[i] = -77.0f;
  forwards[family](&(struct mr__dense_call){
      .x = x.p, .ldx = in + p->gap_x, .rows = p->rows, .inputs = in, .outputs = out,
      .packed = l->packed.p, .start = p->from ? start.p : l->bias.p,
      .ld_start = p->from ? out + p->gap_start : 0, .y = y.p, .ldy = ldy});
  const float *want = (p->from ? l->y_from : l->y) + p->first * out;
  for (int r = 0; r < p->rows; r++) {
    CHECK(memcmp(y.p + r * ldy, want + r * out, (size_t)out * sizeof(float)) == 0,
          "%s, %d inputs, %d outputs, row %d of %d from %d: other bits than the scalar loop",
          family_names[family], in, out, r, p->rows, p->first);
    for (int c = out; r + 1 < p->rows && c < ldy; c++)
      CHECK(y.p[r * ldy + c] == -77.0f, "%s, %d inputs, %d outputs: wrote behind row %d of %d",
            family_names[family], in, out, r, p->rows);
  }
  guarded_free(&x);
  guarded_free(&start);
  guarded_free(&y);
}

/* A row that is not finite stays alone: the others keep their bits. */
static void check_infinite(const struct layer *l, int family) {
  enum { ROWS = 11, BAD = 5 };
  struct guarded x = spread(l->x.p, ROWS, l->inputs, 0);
  struct guarded y = guarded_floats((size_t)ROWS * (size_t)l->outputs);
  x.p[BAD * l->inputs] = INFINITY;
  if (l->inputs > 1) x.p[BAD * l->inputs + 1] = NAN;
  forwards[family](&(struct mr__dense_call){
      .x = x.p, .ldx = l->inputs, .rows = ROWS, .inputs = l->inputs, .outputs = l->outputs,
      .packed = l->packed.p, .start = l->bias.p, .y = y.p, .ldy = l->outputs});
  for (int r = 0; r < ROWS; r++)
    for (int c = 0; c < l->outputs; c++) {
      float got = y.p[r * l->outputs + c];
      if (r == BAD)
        CHECK(!isfinite(got), "%s: a row of infinities gave %g", family_names[family], (double)got);
      else
        CHECK(got == l->y[r * l->outputs + c], "%s: row %d saw the infinities of row %d",
              family_names[family], r, BAD);
    }
  guarded_free(&x);
  guarded_free(&y);
}

/* y and dx that a relu is folded into: its plain form on what the product alone gives. What lies
 * beside has numbers of both signs, both zeros and NaN. */
static void check_relu(const struct layer *l, int family, int rows, int relu, int gap_beside) {
  static const float odd[] = {0.0f, -0.0f, NAN};
  int out = l->outputs, ld = out + gap_beside;
  struct guarded y = guarded_floats((size_t)rows * (size_t)out);
  struct guarded beside = spread(l->start.p, rows, out, gap_beside);
  for (int r = 0; r < rows; r++)
    if (r % 4 > 0) beside.p[r * ld + r % out] = odd[r % 4 - 1];
  forwards[family](&(struct mr__dense_call){
      .x = l->x.p, .ldx = l->inputs, .rows = rows, .inputs = l->inputs, .outputs = out,
      .packed = l->packed.p, .start = l->bias.p, .y = y.p, .ldy = out, .relu = relu,
      .mask = !relu, .beside = beside.p, .ld_beside = ld});
  for (int r = 0; r < rows; r++)
    for (int c = 0; c < out; c++) {
      float want = l->y[r * out + c], by = relu ? want : beside.p[r * ld + c];
      if (!(by > 0)) want = 0;
      CHECK(memcmp(&y.p[r * out + c], &want, sizeof want) == 0,
            "%s, %d x %d, relu %d: y[%d][%d] is %g, not %g", family_names[family], l->inputs, out,
            relu, r, c, (double)y.p[r * out + c], (double)want);
    }
  guarded_free(&y);
  guarded_free(&beside);
}

/* y that a prelu is folded into, beside what it was, and dx before a prelu, whose slopes have a
 * gradient; the product starts by a row times a number of each row. */
static void check_slopes(const struct layer *l, int family, int rows, int back, int gap) {
  static const float odd[] = {0.0f, -0.0f, NAN};
  int out = l->outputs, ld = out + gap;
  size_t n = (size_t)out;
  float *want_ds = malloc(n * sizeof *want_ds);
  NEED(want_ds);
  struct guarded y = guarded_floats((size_t)rows * n), plain = guarded_floats((size_t)rows * n);
  struct guarded beside = spread(l->start.p, rows, out, gap);
  struct guarded slopes = guarded_floats(n), ds = guarded_floats(n);
  struct guarded weight = guarded_floats((size_t)rows);
  fill(slopes.p, n, 40), fill(ds.p, n, 41), fill(want_ds, n, 41), fill(weight.p, (size_t)rows, 42);
  for (int r = 0; r < rows; r++)
    if (r % 4 > 0) beside.p[r * ld + r % out] = odd[r % 4 - 1];
  forwards[family](&(struct mr__dense_call){
      .x = l->x.p, .ldx = l->inputs, .rows = rows, .inputs = l->inputs, .outputs = out,
      .packed = l->packed.p, .start = l->bias.p, .start_weight = weight.p, .ld_weight = 1,
      .y = y.p, .ldy = out, .mask = back, .beside = back ? beside.p : NULL, .ld_beside = ld,
      .slopes = slopes.p, .plain = back || gap == 1 ? NULL : plain.p, .ld_plain = out,
      .dslopes = ds.p});
  for (int r = 0; r < rows; r++)
    for (int c = 0; c < out; c++) {
      float sum = weight.p[r] * l->bias.p[c], got = y.p[r * out + c];
      for (int k = 0; k < l->inputs; k++)
        sum = fmaf(l->x.p[r * l->inputs + k], l->weights.p[k * out + c], sum);
      float by = back ? beside.p[r * ld + c] : sum, want = by > 0 ? sum : slopes.p[c] * sum;
      if (!(by > 0)) want_ds[c] += sum * by;
      CHECK(memcmp(&got, &want, sizeof want) == 0,
            "%s, %d x %d, slopes, back %d: y[%d][%d] is %g, not %g", family_names[family],
            l->inputs, out, back, r, c, (double)got, (double)want);
      CHECK(back || gap == 1 || memcmp(&plain.p[r * out + c], &sum, sizeof sum) == 0,
            "%s, %d x %d: plain[%d][%d]", family_names[family], l->inputs, out, r, c);
    }
  for (int c = 0; back && c < out; c++)
    CHECK(ds.p[c] == want_ds[c] || (isnan(ds.p[c]) && isnan(want_ds[c])),
          "%s, %d x %d: the gradient of slope %d is %g, not %g", family_names[family], l->inputs,
          out, c, (double)ds.p[c], (double)want_ds[c]);
  guarded_free(&y), guarded_free(&plain), guarded_free(&beside);
  guarded_free(&slopes), guarded_free(&ds), guarded_free(&weight);
  free(want_ds);
}

static void check_family(const struct layer *l, int family) {
  int small = family == 0 || (long)l->inputs * l->outputs > 20000; /* where time counts */
  for (int rows = 1; rows <= MOST_ROWS; rows += small && rows > 8 ? 7 : 1) {
    check_place(l, family, &(struct place){.rows = rows});
    check_place(l, family, &(struct place){.rows = rows, .from = 1, .gap_x = rows % 4, .gap_y = 3,
                                           .gap_start = rows % 3});
  }
  for (int first = 0; first < MOST_ROWS; first += small ? 13 : 1)
    check_place(l, family, &(struct place){.first = first, .rows = 1, .gap_x = 1, .gap_y = 1});
  check_infinite(l, family);
  for (int rows = 1; rows <= MOST_ROWS; rows += small ? 13 : 3)
    for (int back = 0; back < 2; back++) {
      check_relu(l, family, rows, back, rows % 3);
      check_slopes(l, family, rows, back, rows % 3);
    }
}

/* The bound of a sum of n products, each rounded: n eps sum |x w|, for both sides. */
static void check_blas(const struct layer *l) {
  int in = l->inputs, out = l->outputs;
  float *turned = malloc((size_t)in * (size_t)out * sizeof *turned);
  float *y = malloc((size_t)MOST_ROWS * (size_t)out * sizeof *y);
  NEED(turned && y);
  for (int k = 0; k < in; k++)
    for (int c = 0; c < out; c++) turned[c * in + k] = l->weights.p[k * out + c];
  mr__gemm_nt(MOST_ROWS, out, in, l->x.p, in, turned, in, 0, y, out);
  for (int r = 0; r < MOST_ROWS; r++)
    for (int c = 0; c < out; c++) {
      double size = fabs((double)l->bias.p[c]);
      for (int k = 0; k < in; k++)
        size += fabs((double)l->x.p[r * in + k] * (double)l->weights.p[k * out + c]);
      double off = fabs((double)y[r * out + c] + (double)l->bias.p[c] - (double)l->y[r * out + c]);
      CHECK(off <= 2.0 * (in + 1) * 0x1p-24 * size, "%d inputs, %d outputs: %g from OpenBLAS", in,
            out, off);
    }
  free(turned);
  free(y);
}

/* ---- backward ---- */

enum { WEIGHT_ROWS = 203, BLOCK = 96 }; /* the rows of kernel.h's rule */

/* dw of `rows` rows by the rule: sums of 96 rows, one after another, on top of what is there, or
 * in its place. */
static void expected_weights(float *dw, const float *x, const float *dy, int rows, int in, int out,
                             int add) {
  for (int i = 0; i < in; i++)
    for (int c = 0; c < out; c++)
      for (int first = 0; first < rows; first += BLOCK) {
        float sum = 0;
        for (int r = first; r < rows && r < first + BLOCK; r++)
          sum = fmaf(x[r * in + i], dy[r * out + c], sum);
        dw[i * out + c] = add || first > 0 ? dw[i * out + c] + sum : sum;
      }
}

static void check_weights(int in, int out, int rows, int gap) {
  size_t n = (size_t)in * (size_t)out, m = (size_t)rows;
  float *x = malloc(m * (size_t)in * sizeof *x), *dy = malloc(m * (size_t)out * sizeof *dy);
  float *want = malloc(n * sizeof *want), *near = malloc(n * sizeof *near);
  NEED(x && dy && want && near);
  fill(x, m * (size_t)in, 5);
  fill(dy, m * (size_t)out, 6);
  fill(want, n, 7);
  memcpy(near, want, n * sizeof *near);
  int add = (in + out + rows) % 3 > 0;
  expected_weights(want, x, dy, rows, in, out, add);
  mr__gemm_tn(in, out, rows, x, in, dy, out, add, near, out);
  for (size_t i = 0; i < n; i++)
    CHECK(fabs((double)want[i] - (double)near[i]) <= 4.0 * (rows + 1) * 0x1p-24 * (rows + 1),
          "%d x %d, %d rows: %g, OpenBLAS has %g", in, out, rows, (double)want[i],
          (double)near[i]);
  float *want_db = malloc((size_t)out * sizeof *want_db);
  NEED(want_db);
  fill(want_db, (size_t)out, 8);
  for (int r = 0; r < rows; r++)
    for (int c = 0; c < out; c++) want_db[c] += dy[r * out + c];
  struct guarded x_far = spread(x, rows, in, gap), dy_far = spread(dy, rows, out, 2 * gap);
  for (int family = 0; family < FAMILIES; family++) {
    if (!family_runs(family)) continue;
    float *start = malloc(n * sizeof *start);
    NEED(start);
    fill(start, n, 7);
    struct guarded dw = spread(start, in, out, gap);
    free(start);
    struct guarded db = guarded_floats((size_t)out);
    fill(db.p, (size_t)out, 8);
    weights[family](&(struct mr__weight_call){
        .x = x_far.p, .ldx = in + gap, .dy = dy_far.p, .lddy = out + 2 * gap, .rows = rows,
        .inputs = in, .outputs = out, .dw = dw.p, .lddw = out + gap, .add = add, .db = db.p});
    CHECK(memcmp(db.p, want_db, (size_t)out * sizeof(float)) == 0,
          "%s, the bias of %d outputs, %d rows: other bits than the scalar loop",
          family_names[family], out, rows);
    guarded_free(&db);
    for (int i = 0; i < in; i++) {
      const float *got = dw.p + (size_t)i * (size_t)(out + gap);
      CHECK(memcmp(got, want + (size_t)i * (size_t)out, (size_t)out * sizeof *got) == 0,
            "%s, weights of %d inputs, %d outputs, %d rows: other bits than the scalar loop",
            family_names[family], in, out, rows);
      for (int c = 0; i + 1 < in && c < gap; c++)
        CHECK(got[out + c] == 0, "%s: wrote behind input %d", family_names[family], i);
    }
    guarded_free(&dw);
  }
  guarded_free(&x_far);
  guarded_free(&dy_far);
  free(x), free(dy), free(want), free(near), free(want_db);
}

/* ---- one output ---- */

/* The inner product by vec.h's rule, from scratch: element i goes to partial sum i % 16, and those
 * are added in halves. */
static float inner(const float *x, const float *w, int n) {
  float s[16] = {0};
  for (int i = 0; i < n; i++) s[i % 16] = fmaf(x[i], w[i], s[i % 16]);
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; i++) s[i] += s[i + half];
  return s[0];
}

static float above_zero(float a) { return a > 0 ? a : 0; }

static void check_one_forward(const struct guarded *x, const float *w, int rows, int in, int gap) {
  int relu = (rows + in) % 3;
  const float slope = -0.75f;
  for (int family = 0; family < FAMILIES; family++) {
    if (!family_runs(family)) continue;
    struct guarded y = guarded_floats((size_t)(rows - 1) * 3 + 1);
    struct guarded plain = guarded_floats((size_t)(rows - 1) * 2 + 1);
    one_forwards[family](&(struct mr__one_call){.x = x->p, .ldx = in + gap, .rows = rows,
                                                .inputs = in, .weights = w, .start = 0.25f,
                                                .relu = relu == 1, .y = y.p, .ldy = 3,
                                                .slopes = relu == 2 ? &slope : NULL,
                                                .plain = plain.p, .ld_plain = 2});
    for (int r = 0; r < rows; r++) {
      float want = 0.25f + inner(x->p + r * (in + gap), w, in);
      CHECK(plain.p[2 * r] == want, "%s, one output, plain row %d", family_names[family], r);
      if (relu == 1) want = above_zero(want);
      if (relu == 2 && !(want > 0)) want = slope * want;
      CHECK(memcmp(&y.p[3 * r], &want, sizeof want) == 0,
            "%s, one output of %d inputs, row %d of %d: %g, not %g", family_names[family], in, r,
            rows, (double)y.p[3 * r], (double)want);
    }
    guarded_free(&y);
    guarded_free(&plain);
  }
}

static void check_one_backward(const struct guarded *x, const float *w, int rows, int in, int gap,
                               int kind) {
  size_t n = (size_t)in, m = (size_t)rows;
  int add = kind == 1 || kind == 5, slopes = kind >= 4, mask = kind == 2 || slopes;
  int wanted = kind != 3;
  float *dy = malloc(m * sizeof *dy), *want = malloc(n * sizeof *want), want_db = 0.5f;
  float *want_dx = malloc(m * n * sizeof *want_dx), *want_ds = malloc(n * sizeof *want_ds);
  NEED(dy && want && want_dx && want_ds);
  struct guarded slope = guarded_floats(n), beside = guarded_floats(m * n);
  fill(slope.p, n, 43), fill(beside.p, m * n, 44), fill(want_ds, n, 45);
  fill(dy, m, 9);
  fill(want, n, 10);
  fill(want_dx, m * n, 11);
  for (int r = 0; r < rows; r++) {
    want_db += dy[r];
    for (int e = 0; e < in; e++) {
      float *dx = &want_dx[r * in + e], to = x->p[r * (in + gap) + e];
      want[e] = fmaf(dy[r], to, want[e]);
      *dx = add ? fmaf(dy[r], w[e], *dx) : dy[r] * w[e];
      float by = slopes ? beside.p[r * in + e] : to;
      if (!mask || by > 0) continue;
      want_ds[e] += *dx * by;
      *dx = slopes ? slope.p[e] * *dx : 0;
    }
  }
  for (int family = 0; family < FAMILIES; family++) {
    if (!family_runs(family)) continue;
    struct guarded dw = guarded_floats(n), dx = guarded_floats(m * n), ds = guarded_floats(n);
    float db = 0.5f;
    fill(ds.p, n, 45);
    fill(dw.p, n, 10);
    fill(dx.p, m * n, 11);
    one_backwards[family](&(struct mr__one_call){
        .x = x->p, .ldx = in + gap, .rows = rows, .inputs = in, .weights = w, .dy = dy, .lddy = 1,
        .dw = dw.p, .db = &db, .dx = wanted ? dx.p : NULL, .lddx = in, .add = add, .mask = mask,
        .slopes = slopes ? slope.p : NULL, .beside = beside.p, .ld_beside = in, .dslopes = ds.p});
    CHECK(!slopes || memcmp(ds.p, want_ds, n * sizeof(float)) == 0,
          "%s, one output of %d inputs, %d rows: slopes have another gradient than the loop's",
          family_names[family], in, rows);
    CHECK(db == want_db && memcmp(dw.p, want, n * sizeof(float)) == 0,
          "%s, one output of %d inputs, %d rows: weights have other bits than the scalar loop",
          family_names[family], in, rows);
    CHECK(!wanted || memcmp(dx.p, want_dx, m * n * sizeof(float)) == 0,
          "%s, one output of %d inputs, %d rows: dx %d has other bits than the scalar loop",
          family_names[family], in, rows, kind);
    guarded_free(&dw);
    guarded_free(&dx);
    guarded_free(&ds);
  }
  guarded_free(&slope), guarded_free(&beside);
  free(dy), free(want), free(want_dx), free(want_ds);
}

static void check_one(int in, int rows) {
  int gap = rows % 3;
  struct guarded w = guarded_floats((size_t)in);
  float *close = malloc((size_t)rows * (size_t)in * sizeof *close);
  NEED(close);
  fill(w.p, (size_t)in, 12);
  fill(close, (size_t)rows * (size_t)in, 13);
  close[0] = -0.0f;
  struct guarded x = spread(close, rows, in, gap);
  check_one_forward(&x, w.p, rows, in, gap);
  for (int kind = 0; kind < 6; kind++) check_one_backward(&x, w.p, rows, in, gap, kind);
  guarded_free(&x);
  guarded_free(&w);
  free(close);
}

/* dx = dy W^T is the forward product with the transposed weights packed, started by nothing. */
static void check_inputs(const struct layer *l) {
  int in = l->inputs, out = l->outputs;
  size_t n = (size_t)in * (size_t)out, packed = mr__packed_size(out, in);
  float *turned = malloc(n * sizeof *turned), *by_hand = malloc(packed * sizeof *by_hand);
  struct guarded at_once = guarded_floats(packed);
  NEED(turned && by_hand);
  for (int i = 0; i < in; i++)
    for (int c = 0; c < out; c++) turned[c * in + i] = l->weights.p[i * out + c];
  mr__pack(turned, out, in, by_hand);
  for (int family = 0; family < FAMILIES; family++) {
    if (!family_runs(family)) continue;
    fill(at_once.p, packed, 9);
    packs_transposed[family](l->weights.p, in, out, at_once.p);
    CHECK(memcmp(by_hand, at_once.p, packed * sizeof *by_hand) == 0,
          "%s, %d x %d packed transposed", family_names[family], in, out);
    struct guarded dx = guarded_floats((size_t)MOST_ROWS * (size_t)in);
    struct mr__dense_call call = {.x = l->start.p, .ldx = out, .rows = MOST_ROWS, .inputs = out,
                                  .outputs = in, .packed = at_once.p, .y = dx.p, .ldy = in};
    for (int add = 0; add < 2; add++) { /* then once more, on top of itself */
      call.start = add ? dx.p : NULL;
      call.ld_start = in;
      forwards[family](&call);
    }
    for (int r = 0; r < MOST_ROWS; r++)
      for (int i = 0; i < in; i++) {
        float sum = 0;
        for (int add = 0; add < 2; add++)
          for (int c = 0; c < out; c++)
            sum = fmaf(l->start.p[r * out + c], l->weights.p[i * out + c], sum);
        CHECK(dx.p[r * in + i] == sum, "%s, %d x %d: dx[%d][%d] is %g, not %g",
              family_names[family], in, out, r, i, (double)dx.p[r * in + i], (double)sum);
      }
    guarded_free(&dx);
  }
  guarded_free(&at_once);
  free(turned), free(by_hand);
}

/* The layout that kernel.h draws, by a second, slower reading of it. */
static void check_packed(const struct layer *l) {
  int all = (int)mr__packed_size(1, l->outputs);
  for (int c = 0; c < all; c++) {
    int panel = c / MR__PANEL, left = all - panel * MR__PANEL;
    int width = left < MR__PANEL ? left : MR__PANEL;
    const float *first = l->packed.p + (size_t)panel * MR__PANEL * (size_t)l->inputs;
    for (int k = 0; k < l->inputs; k++) {
      float want = c < l->outputs ? l->weights.p[k * l->outputs + c] : 0.0f;
      CHECK(first[k * width + c % MR__PANEL] == want, "packed weight [%d][%d]", k, c);
    }
  }
}

/* A product with the weights W + diag(q) P, or with those transposed, against loops over them. */
static void check_made(int in, int out, int rows, int back) {
  size_t n = (size_t)in * (size_t)out, packed = mr__packed_size(back ? out : in, back ? in : out);
  struct guarded w = guarded_floats(n), p = guarded_floats(n), both = guarded_floats(2 * packed);
  struct guarded q = guarded_floats((size_t)in), made = guarded_floats(packed);
  int inputs = back ? out : in, outputs = back ? in : out;
  struct guarded x = guarded_floats((size_t)rows * (size_t)inputs);
  struct guarded y = guarded_floats((size_t)rows * (size_t)outputs);
  fill(w.p, n, 20), fill(p.p, n, 21), fill(q.p, (size_t)in, 22);
  fill(x.p, (size_t)rows * (size_t)inputs, 23);
  (back ? mr__pack_transposed_plain : mr__pack)(w.p, in, out, both.p);
  (back ? mr__pack_transposed_plain : mr__pack)(p.p, in, out, both.p + packed);
  for (int family = 0; family < FAMILIES; family++) {
    if (!family_runs(family)) continue;
    forwards[family](&(struct mr__dense_call){
        .x = x.p, .ldx = inputs, .rows = rows, .inputs = inputs, .outputs = outputs,
        .packed = both.p, .q = q.p, .q_of_outputs = back, .made = made.p, .y = y.p,
        .ldy = outputs});
    for (int r = 0; r < rows; r++)
      for (int c = 0; c < outputs; c++) {
        float want = 0;
        for (int k = 0; k < inputs; k++) {
          int i = back ? c : k, o = back ? k : c;
          want = fmaf(x.p[r * inputs + k], fmaf(q.p[i], p.p[i * out + o], w.p[i * out + o]), want);
        }
        CHECK(y.p[r * outputs + c] == want, "%s, %d x %d, back %d, row %d of %d: %g, not %g",
              family_names[family], in, out, back, r, rows, (double)y.p[r * outputs + c],
              (double)want);
      }
  }
  guarded_free(&w), guarded_free(&p), guarded_free(&both), guarded_free(&q);
  guarded_free(&made), guarded_free(&x), guarded_free(&y);
}

/* Gradients of such weights from three q, the second without a gradient of its own, by the rule. */
static void check_paired(int in, int out) {
  enum { PARTS = 3 };
  static const int part_rows[PARTS] = {9, 1, 22};
  size_t n = (size_t)in * (size_t)out, rows = 32;
  struct guarded x = guarded_floats(rows * (size_t)in), dy = guarded_floats(rows * (size_t)out);
  struct guarded p = guarded_floats(n), q = guarded_floats(PARTS * (size_t)in);
  struct guarded dw = guarded_floats(n), dp = guarded_floats(n);
  struct guarded dq = guarded_floats(PARTS * (size_t)in);
  struct guarded sums = guarded_floats(PARTS * MR__PARTIALS * (size_t)in);
  float *want_dw = malloc(n * sizeof *want_dw), *want_dp = malloc(n * sizeof *want_dp);
  float *want_dq = malloc(PARTS * (size_t)in * sizeof *want_dq);
  NEED(want_dw && want_dp && want_dq);
  fill(x.p, rows * (size_t)in, 30), fill(dy.p, rows * (size_t)out, 31), fill(p.p, n, 32);
  fill(q.p, PARTS * (size_t)in, 33);
  fill(want_dw, n, 34), fill(want_dp, n, 35), fill(want_dq, PARTS * (size_t)in, 36);
  for (int part = 0, first = 0; part < PARTS; first += part_rows[part++])
    for (int i = 0; i < in; i++) {
      float partial[MR__PARTIALS] = {0};
      for (int o = 0; o < out; o++) {
        float t = 0;
        for (int r = first; r < first + part_rows[part]; r++)
          t = fmaf(x.p[r * in + i], dy.p[r * out + o], t);
        want_dw[i * out + o] += t;
        want_dp[i * out + o] = fmaf(q.p[part * in + i], t, want_dp[i * out + o]);
        float *s = &partial[o % MR__PARTIALS];
        *s = fmaf(t, p.p[i * out + o], *s);
      }
      for (int half = 8; half > 0; half /= 2)
        for (int h = 0; h < half; h++) partial[h] += partial[h + half];
      if (part != 1) want_dq[part * in + i] += partial[0];
    }
  for (int family = 0; family < FAMILIES; family++) {
    struct mr__paired_rows parts[PARTS];
    for (int part = 0, first = 0; part < PARTS; first += part_rows[part++])
      parts[part] = (struct mr__paired_rows){x.p + first * in, dy.p + first * out, part_rows[part],
                                             q.p + part * in, part == 1 ? NULL : dq.p + part * in};
    if (!family_runs(family)) continue;
    fill(dw.p, n, 34), fill(dp.p, n, 35), fill(dq.p, PARTS * (size_t)in, 36);
    fill(sums.p, PARTS * MR__PARTIALS * (size_t)in, 37);
    paired_weights[family](&(struct mr__paired_weights){
        .parts = parts, .n_parts = PARTS, .ldx = in, .lddy = out, .inputs = in, .outputs = out,
        .product = p.p, .dw = dw.p, .dproduct = dp.p, .partials = sums.p});
    CHECK(memcmp(dw.p, want_dw, n * sizeof(float)) == 0 &&
              memcmp(dp.p, want_dp, n * sizeof(float)) == 0,
          "%s, %d x %d: other gradients of weights than the loop's", family_names[family], in, out);
    CHECK(memcmp(dq.p, want_dq, PARTS * (size_t)in * sizeof(float)) == 0,
          "%s, %d x %d: other gradients of q than the loop's", family_names[family], in, out);
  }
  free(want_dw), free(want_dp), free(want_dq);
  guarded_free(&x), guarded_free(&dy), guarded_free(&p), guarded_free(&q);
  guarded_free(&dw), guarded_free(&dp), guarded_free(&dq), guarded_free(&sums);
}

/* Rows by their weights, one fused multiply-add after another. */
static void check_weighted_sum(int width, int rows) {
  int gap = rows % 3, most = rows > 0 ? rows : 1;
  float *close = malloc((size_t)most * (size_t)width * sizeof *close);
  NEED(close);
  fill(close, (size_t)most * (size_t)width, 21);
  struct guarded x = spread(close, most, width, gap), w = guarded_floats((size_t)most * 2 - 1);
  fill(w.p, (size_t)most * 2 - 1, 22);
  for (int family = 0; family < FAMILIES; family++) {
    if (!family_runs(family)) continue;
    struct guarded y = guarded_floats((size_t)width);
    for (int e = 0; e < width; e++) y.p[e] = -77.0f;
    weighted_sums[family](&(struct mr__weighted_call){.x = x.p, .ldx = width + gap, .rows = rows,
                                                      .width = width, .weights = w.p,
                                                      .ld_weights = 2, .y = y.p});
    for (int e = 0; e < width; e++) {
      float want = 0;
      for (int r = 0; r < rows; r++) want = fmaf(w.p[2 * r], close[r * width + e], want);
      CHECK(memcmp(&y.p[e], &want, sizeof want) == 0,
            "%s, %d rows of %d columns by their weights: column %d is %g, not %g",
            family_names[family], rows, width, e, (double)y.p[e], (double)want);
    }
    guarded_free(&y);
  }
  guarded_free(&x);
  guarded_free(&w);
  free(close);
}

int main(void) {
  NEED(mr__blas_open() == MR_OK);
  for (int i = 0; i < COUNT(input_sizes); i++)
    for (int o = 0; o < COUNT(output_sizes); o++) {
      struct layer layer;
      make_layer(&layer, input_sizes[i], output_sizes[o]);
      check_packed(&layer);
      check_blas(&layer);
      if (layer.inputs < 200) check_inputs(&layer);
      for (int family = 0; family < FAMILIES; family++)
        if (family_runs(family)) check_family(&layer, family);
      free_layer(&layer);
    }
  static const int rows[] = {1, 2, 7, BLOCK, BLOCK + 1, WEIGHT_ROWS};
  for (int r = 0; r < COUNT(rows); r++)
    for (int o = 0; o < COUNT(output_sizes); o++)
      for (int i = 0; i < COUNT(input_sizes) - 1; i++)
        check_weights(input_sizes[i], output_sizes[o], rows[r], (i + o) % 3);
  static const int made_rows[] = {1, 7, 8, 13, 23};
  for (int i = 0; i < COUNT(input_sizes) - 1; i++)
    for (int o = 1; o < COUNT(output_sizes) - 1; o++) {
      check_paired(input_sizes[i], output_sizes[o]);
      for (int r = 0; r < 2 * COUNT(made_rows); r++)
        check_made(input_sizes[i], output_sizes[o], made_rows[r / 2], r % 2);
    }
  for (int i = 0; i < COUNT(input_sizes); i++)
    for (int n = 1; n < 11; n++) check_one(input_sizes[i], n);
  for (int i = 0; i < COUNT(input_sizes); i++)
    for (int n = 0; n < 6; n++) check_weighted_sum(input_sizes[i], n);
  return check_end();
}
