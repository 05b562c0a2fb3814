/* How fast are the products of dense layers, beside three libraries?
 *
 *   cmake --build build --target products && build/bench/products [ROWS...]
 *
 * For each shape and number of rows (of a slice; 96, 256 and 1024 unless said otherwise) GFLOP/s of
 * one thread, and the share of what its core can do:
 *
 *   y = x W + b      the engine's kernel, then y = x W by OpenBLAS, oneDNN and libxsmm
 *   dx = dy W^T      the same four
 *   dW += x^T dy     the same four
 *
 * oneDNN (Debian's libdnnl2) where it is installed, libxsmm (libxsmm-dev) where it was when the
 * build was configured: its kernels of 64 rows, or 64 inputs for dW, and for dx the weights turned
 * beforehand, since it has no kernel that turns them. Each figure is the best of many short runs,
 * and the yardstick of the core (fused multiply-adds that wait for nothing) is timed between them:
 * a busy machine slows some of the runs, but not all. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef MR_XSMM
#include <libxsmm.h>
#endif

#include "kernel/blas.h"
#include "kernel/family.h"
#include "kernel/kernel.h"
#include "kernel/limits.h"
#include "moonrank.h"

static const struct {
  int in, out;
} shapes[] = {{624, 400}, {400, 400}, {512, 36}, {128, 80}, {64, 16}, {624, 1}};

enum { RUNS = 60 };

typedef int dnnl_sgemm_fn(char ta, char tb, int64_t m, int64_t n, int64_t k, float alpha,
                          const float *a, int64_t lda, const float *b, int64_t ldb, float beta,
                          float *c, int64_t ldc);
typedef void sgemm_fn(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a,
                      int lda, const float *b, int ldb, float beta, float *c, int ldc);
static dnnl_sgemm_fn *dnnl;
static sgemm_fn *sgemm;

/* One layer over some rows. */
struct layer {
  int rows, in, out;
  float *x, *w, *turned, *y, *dw, *db, *packed, *packed_back, *bias, *zeros;
};

enum {
  FORWARD, SGEMM, DNNL, XSMM,
  DX, BLAS_DX, DNNL_DX, XSMM_DX,
  DW, BLAS_DW, DNNL_DW, XSMM_DW,
  KINDS
};
static const char *const kinds[] = {"y",  "OpenBLAS", "oneDNN", "libxsmm",
                                    "dx", "OpenBLAS", "oneDNN", "libxsmm",
                                    "dW", "OpenBLAS", "oneDNN", "libxsmm"};

static int is_there(int kind) {
#ifndef MR_XSMM
  if (kind % 4 == XSMM) return 0;
#endif
  return dnnl || kind % 4 != DNNL;
}

#ifdef MR_XSMM
/* Column by column, as the library sees it: c [m, n] = a [m, k] b [k, n], some columns at a
 * time; or, where b is [n, k], c += a b^T. */
static void run_xsmm(int m, int n, int k, const float *a, const float *b, int ldb, float *c,
                     int turned) {
  enum { BLOCK = 64 };
  const float one = 1, beta = turned ? 1 : 0;
  const int flags = turned ? LIBXSMM_GEMM_FLAG_TRANS_B : LIBXSMM_GEMM_FLAG_NONE;
  for (int i = 0; i < n; i += BLOCK) {
    int some = n - i < BLOCK ? n - i : BLOCK;
    libxsmm_smmfunction kernel =
        libxsmm_smmdispatch(m, some, k, &m, &ldb, &m, &one, &beta, &flags, NULL);
    const float *from = b + (turned ? (size_t)i : (size_t)i * (size_t)ldb);
    if (kernel) kernel(a, from, c + (size_t)i * (size_t)m);
  }
}
#endif

/* The kernels of the family in use, by its name. */
#if MR_X86
#define KERNEL(name)                                                                               \
  (strcmp(mr_isa(), "avx512") == 0 ? name##_avx512                                                 \
   : strcmp(mr_isa(), "avx2") == 0 ? name##_avx2                                                   \
                                   : name##_plain)
#else
#define KERNEL(name) name##_plain
#endif
static mr__dense_forward_fn *forward_kernel(void) { return KERNEL(mr__dense_forward); }
static mr__dense_weights_fn *weight_kernel(void) { return KERNEL(mr__dense_weights); }
static mr__one_fn *one_forward(void) { return KERNEL(mr__one_forward); }
static mr__one_fn *one_backward(void) { return KERNEL(mr__one_backward); }

/* Of one output: forward, or dW and, for the figure of dx, dx in the same pass. */
static void run_one(const struct layer *l, int kind) {
  struct mr__one_call call = {.x = l->x,
                              .ldx = l->in,
                              .rows = l->rows,
                              .inputs = l->in,
                              .weights = l->w,
                              .y = l->y,
                              .ldy = 1,
                              .dy = l->y,
                              .lddy = 1,
                              .dw = l->dw,
                              .db = l->db,
                              .dx = kind == DX ? l->x : NULL,
                              .lddx = l->in};
  (kind == FORWARD ? one_forward : one_backward)()(&call);
}

static void run(const struct layer *l, int kind) {
  int m = l->rows, k = l->in, n = l->out;
  if (n == 1 && (kind == FORWARD || kind == DX || kind == DW)) {
    run_one(l, kind);
    return;
  }
  switch (kind) {
  case FORWARD:
    forward_kernel()(&(struct mr__dense_call){.x = l->x,
                                              .ldx = k,
                                              .rows = m,
                                              .inputs = k,
                                              .outputs = n,
                                              .packed = l->packed,
                                              .start = l->bias,
                                              .y = l->y,
                                              .ldy = n});
    break;
  case SGEMM:
    sgemm(101, 111, 111, m, n, k, 1, l->x, k, l->w, n, 0, l->y, n);
    break;
  case DNNL:
    dnnl('N', 'N', m, n, k, 1, l->x, k, l->w, n, 0, l->y, n);
    break;
  case DX:
    forward_kernel()(&(struct mr__dense_call){.x = l->y,
                                              .ldx = n,
                                              .rows = m,
                                              .inputs = n,
                                              .outputs = k,
                                              .packed = l->packed_back,
                                              .start = l->zeros,
                                              .y = l->x,
                                              .ldy = k});
    break;
#ifdef MR_XSMM
  case XSMM:
    run_xsmm(n, m, k, l->w, l->x, k, l->y, 0);
    break;
  case XSMM_DX:
    run_xsmm(k, m, n, l->turned, l->y, n, l->x, 0);
    break;
  case XSMM_DW:
    run_xsmm(n, k, m, l->y, l->x, k, l->dw, 1);
    break;
#endif
  case BLAS_DX:
    mr__gemm_nt(m, k, n, l->y, n, l->w, n, 0, l->x, k);
    break;
  case DW:
    weight_kernel()(&(struct mr__weight_call){.x = l->x,
                                                .ldx = k,
                                                .dy = l->y,
                                                .lddy = n,
                                                .rows = m,
                                                .inputs = k,
                                                .outputs = n,
                                                .dw = l->dw,
                                                .lddw = n,
                                                .add = 1,
                                                .db = l->db});
    break;
  case BLAS_DW:
    mr__gemm_tn(k, n, m, l->x, k, l->y, n, 1, l->dw, n);
    break;
  case DNNL_DX:
    dnnl('N', 'T', m, k, n, 1, l->y, n, l->w, n, 0, l->x, k);
    break;
  default:
    dnnl('T', 'N', k, n, m, 1, l->x, k, l->y, n, 1, l->dw, n);
  }
}

static float *numbers(size_t n) {
  float *p = aligned_alloc(64, (n * sizeof *p + 63) / 64 * 64);
  for (size_t i = 0; i < n; i++) p[i] = (float)(i % 13) / 13.0f - 0.45f;
  return p;
}

static double best_peak(double best) {
  enum { TURNS = 1 << 13 };
  double start = mr_seconds();
  volatile float kept = mr__family()->limit_products(TURNS);
  (void)kept;
  double rate = (double)TURNS * MR__LIMIT_FLOPS / (mr_seconds() - start);
  return rate > best ? rate : best;
}

static void measure(struct layer l) {
  double best[KINDS] = {0}, peak = 0, flops = 2.0 * l.rows * l.in * l.out;
  int times = (int)(2e7 / flops) + 1; /* a run is some fraction of a millisecond */
  for (int r = 0; r < RUNS; r++) {
    peak = best_peak(peak);
    for (int kind = 0; kind < KINDS; kind++) {
      if (!is_there(kind)) continue;
      memset(l.dw, 0, (size_t)l.in * (size_t)l.out * sizeof(float));
      run(&l, kind);
      double start = mr_seconds();
      for (int t = 0; t < times; t++) run(&l, kind);
      double rate = flops * times / (mr_seconds() - start);
      if (kind == DX && l.out == 1) rate *= 2;
      if (rate > best[kind]) best[kind] = rate;
    }
  }
  printf("%4d rows %4d x %-4d", l.rows, l.in, l.out);
  for (int kind = 0; kind < KINDS; kind++)
    if (best[kind] > 0) printf("  %6.1f %3.0f%%", best[kind] / 1e9, 100 * best[kind] / peak);
  printf("   core %.1f\n", peak / 1e9);
}

int main(int argc, char **argv) {
  int preset[] = {96, 256, 1024}, n = argc > 1 ? argc - 1 : 3;
  if (mr__blas_open() != MR_OK) {
    fprintf(stderr, "products: %s\n", mr_last_error());
    return 1;
  }
  void *blas = mr__blas_library();
  setenv("OMP_NUM_THREADS", "1", 1); /* oneDNN's, read when its library is loaded */
  void *other = dlopen("libdnnl.so.2", RTLD_NOW);
  sgemm = (sgemm_fn *)dlsym(blas, "cblas_sgemm");
  dnnl = other ? (dnnl_sgemm_fn *)dlsym(other, "dnnl_sgemm") : NULL;
  printf("%s, %s; GFLOP/s of one thread, share of its core\n%-19s", mr_isa(), mr_blas(), "");
  for (int kind = 0; kind < KINDS; kind++)
    if (is_there(kind)) printf("  %11s", kinds[kind]);
  printf("\n");
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
    for (int i = 0; i < n; i++) {
      struct layer l = {.rows = argc > 1 ? atoi(argv[1 + i]) : preset[i],
                        .in = shapes[s].in,
                        .out = shapes[s].out};
      size_t in = (size_t)l.in, out = (size_t)l.out, rows = (size_t)l.rows;
      l.x = numbers(rows * in), l.w = numbers(in * out), l.y = numbers(rows * out);
      l.dw = numbers(in * out), l.bias = numbers(out);
      l.db = numbers(out);
      l.packed = numbers(mr__packed_size(l.in, l.out) + MR__PANEL);
      l.packed_back = numbers(mr__packed_size(l.out, l.in) + MR__PANEL);
      l.zeros = calloc(in + 16, sizeof(float));
      mr__pack(l.w, l.in, l.out, l.packed);
      l.turned = numbers(in * out);
      for (size_t k = 0; k < in; k++)
        for (size_t o = 0; o < out; o++) l.turned[o * in + k] = l.w[k * out + o];
      measure(l);
      free(l.x), free(l.w), free(l.y), free(l.dw), free(l.bias), free(l.packed);
      free(l.turned), free(l.db), free(l.packed_back), free(l.zeros);
    }
  return 0;
}
