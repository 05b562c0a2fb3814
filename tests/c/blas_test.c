/* Small products from sixteen threads at once: the same bits as from one, and near to a plain
 * loop. (The serial build of OpenBLAS fails this; blas.h says why it is refused.) */
#include "kernel/blas.h"

#include <math.h>
#include <string.h>

#include "base/pool.h"
#include "base/random.h"
#include "check.h"

enum { TASKS = 3000, THREADS = 16, ROUNDS = 6, MOST = 80 };

struct product {
  int m, n, k, transposed, add; /* transposed: A^T B, else A B^T */
  float *a, *b, *c0, *c;
};

static struct product products[TASKS];

static uint32_t word(uint64_t stream, uint64_t i) {
  return mr__random(3, MR__RANDOM_TEST, stream, i).v[0];
}

static float *numbers(int n, uint64_t stream) {
  float *p = malloc((size_t)n * sizeof *p);
  NEED(p);
  for (int i = 0; i < n; i++) p[i] = 2.0f * mr__uniform(word(stream, (uint64_t)i)) - 1.0f;
  return p;
}

static void make_product(struct product *p, uint64_t i) {
  p->m = 1 + (int)(word(1, i) % MOST);
  p->n = 1 + (int)(word(2, i) % MOST);
  p->k = 1 + (int)(word(3, i) % MOST);
  p->transposed = (int)(word(4, i) % 2);
  p->add = (int)(word(5, i) % 2);
  p->a = numbers(p->m * p->k, 10 + 3 * i);
  p->b = numbers(p->n * p->k, 11 + 3 * i);
  p->c0 = numbers(p->m * p->n, 12 + 3 * i);
  p->c = malloc((size_t)(p->m * p->n) * sizeof(float));
  NEED(p->c);
}

static int run_product(void *job, int64_t task, int worker) {
  (void)job, (void)worker;
  const struct product *p = &products[task];
  memcpy(p->c, p->c0, (size_t)(p->m * p->n) * sizeof(float));
  if (p->transposed)
    mr__gemm_tn(p->m, p->n, p->k, p->a, p->m, p->b, p->n, p->add, p->c, p->n);
  else
    mr__gemm_nt(p->m, p->n, p->k, p->a, p->k, p->b, p->k, p->add, p->c, p->n);
  return MR_OK;
}

static void check_near(const struct product *p) {
  for (int i = 0; i < p->m; i++)
    for (int j = 0; j < p->n; j++) {
      double sum = p->add ? (double)p->c0[i * p->n + j] : 0, size = fabs(sum);
      for (int k = 0; k < p->k; k++) {
        double a = (double)(p->transposed ? p->a[k * p->m + i] : p->a[i * p->k + k]);
        double b = (double)(p->transposed ? p->b[k * p->n + j] : p->b[j * p->k + k]);
        sum += a * b, size += fabs(a * b);
      }
      CHECK(fabs((double)p->c[i * p->n + j] - sum) <= (p->k + 2) * 0x1p-24 * size,
            "%d x %d x %d: element [%d][%d] is %g, expected %g", p->m, p->n, p->k, i, j,
            (double)p->c[i * p->n + j], sum);
    }
}

int main(void) {
  NEED(mr__blas_open() == MR_OK);
  for (int i = 0; i < TASKS; i++) make_product(&products[i], (uint64_t)i);
  float *alone[TASKS];
  for (int i = 0; i < TASKS; i++) {
    size_t bytes = (size_t)(products[i].m * products[i].n) * sizeof(float);
    run_product(NULL, i, 0);
    check_near(&products[i]);
    NEED(alone[i] = malloc(bytes));
    memcpy(alone[i], products[i].c, bytes);
  }
  mr_pool *pool;
  NEED(mr_pool_new(&pool, THREADS) == MR_OK);
  for (int round = 0; round < ROUNDS; round++) {
    NEED(mr__pool_run(pool, run_product, NULL, TASKS) == MR_OK);
    for (int i = 0; i < TASKS; i++) {
      const struct product *p = &products[i];
      CHECK(memcmp(p->c, alone[i], (size_t)(p->m * p->n) * sizeof(float)) == 0,
            "round %d: product %d (%d x %d x %d) has other bits from %d threads", round, i, p->m,
            p->n, p->k, THREADS);
    }
  }
  mr_pool_free(pool);
  for (int i = 0; i < TASKS; i++) {
    free(products[i].a), free(products[i].b), free(products[i].c0), free(products[i].c);
    free(alone[i]);
  }
  return check_end();
}
