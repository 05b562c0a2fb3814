/* How fast can a program at most go from a csv file to a logistic regression on this machine?
 *
 *   cmake --build build --target bare_text && build/bench/bare_text DIR [SECONDS]
 *
 * DIR is a folder of bench/generate.c. The line text-csv of the table of speed less all that is not
 * bare: the engine's own loops find the cells and make the keys (scan, row_keys), a block of text
 * at a time; each key is looked for in one open-addressing table whose slots hold key, weight and
 * Adagrad's state, asked for from memory some rows before; and each sample is a step of its own.
 * There are no codes, no cache, no batches, no look at what a cell says, and no rows that are
 * wrong. Two threads take blocks in turn and share the table without a lock, so one loses steps of
 * the other: only the key of a slot is taken by compare-and-swap.
 *
 * Prints a JSON line: rows, and of one and of two threads rows_per_s, the most of the passes that
 * half of SECONDS (default 4) has room for, one at least and each from an empty table, and loss,
 * the mean of the last. */
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "data/scan.h"
#include "kernel/family.h"

enum { FIELDS = 39, BLOCK = 1 << 20, MOST_ROW = 1 << 10, SLOTS = 1 << 22, MOST_THREADS = 2 };

struct slot {
  uint64_t key; /* 0: none */
  float weight, state;
};

static struct slot *slots;
static uint64_t seeds[FIELDS];
static const char *path;
static int64_t file_bytes, next_block;

struct reader {
  pthread_t thread;
  int64_t rows;
  double loss;
};

static void stop(const char *what) {
  perror(what);
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static struct slot *home_of(uint64_t key) { return &slots[key & (SLOTS - 1)]; }

static struct slot *find(uint64_t key) {
  for (struct slot *slot = home_of(key);; slot = slot + 1 < slots + SLOTS ? slot + 1 : slots) {
    uint64_t there = __atomic_load_n(&slot->key, __ATOMIC_RELAXED);
    if (there == 0 &&
        __atomic_compare_exchange_n(&slot->key, &there, key, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
      return slot;
    if (there == key) return slot;
  }
}

/* Of numbers that both threads change: no order among them is wanted. */
static float read_number(const float *from) {
  float value;
  __atomic_load(from, &value, __ATOMIC_RELAXED);
  return value;
}

static void write_number(float *to, float value) { __atomic_store(to, &value, __ATOMIC_RELAXED); }

/* One step of Adagrad (Duchi, Hazan and Singer 2011) on one sample. Returns its loss. */
static double learn(struct slot *const *of, float label) {
  const float rate = 0.01f, start = 1e-6f;
  float z = 0;
  for (int c = 0; c < FIELDS; c++) z += read_number(&of[c]->weight);
  float p = 1 / (1 + expf(-z)), g = p - label, square = g * g;
  for (int c = 0; c < FIELDS; c++) {
    struct slot *slot = of[c];
    float state = read_number(&slot->state) + square;
    write_number(&slot->state, state);
    write_number(&slot->weight, read_number(&slot->weight) - rate * g / sqrtf(state + start));
  }
  return -log(label > 0.5f ? (double)p : 1 - (double)p);
}

/* The rows of a step, whose keys lie column by column. */
static void learn_rows(struct reader *reader, const struct mr__scan *scan, const uint64_t *keys) {
  enum { ROWS_AHEAD = 8 };
  size_t n = scan->n_rows;
  for (size_t r = 0; r < n + ROWS_AHEAD; r++) {
    for (size_t c = 0; r < n && c < FIELDS; c++) __builtin_prefetch(home_of(keys[c * n + r]), 1);
    if (r < ROWS_AHEAD) continue;
    struct slot *of[FIELDS];
    for (size_t c = 0; c < FIELDS; c++) of[c] = find(keys[c * n + r - ROWS_AHEAD]);
    reader->loss += learn(of, scan->text[scan->starts[r - ROWS_AHEAD]] == '1' ? 1.0f : 0.0f);
  }
  reader->rows += (int64_t)n;
}

/* The rows that begin in a block; the first row of all is the heading. */
static void learn_block(struct reader *reader, struct mr__scan *scan, const char *text, size_t size,
                        uint64_t *keys) {
  mr__scan_start(scan, text, size, ',', 0);
  while (mr__scan_step(scan) == MR_OK && scan->n_rows > 0) {
    mr__family()->row_keys(keys, text, scan->ends, FIELDS + 1, scan->n_rows, seeds, FIELDS);
    learn_rows(reader, scan, keys);
  }
}

static void *work(void *argument) {
  struct reader *reader = argument;
  struct mr__scan scan = {0};
  char *buffer = malloc(BLOCK + 2 * MOST_ROW);
  uint64_t *keys = malloc(sizeof *keys * FIELDS * (BLOCK / FIELDS));
  int file = open(path, O_RDONLY);
  if (!buffer || !keys || file < 0) stop(path);
  for (;;) {
    int64_t at = __atomic_fetch_add(&next_block, 1, __ATOMIC_RELAXED) * BLOCK;
    if (at >= file_bytes) break;
    ssize_t n = pread(file, buffer, BLOCK + MOST_ROW, (off_t)at);
    if (n < 0) stop(path);
    char *first = memchr(buffer, '\n', (size_t)n);
    char *end = n > BLOCK ? memchr(buffer + BLOCK, '\n', (size_t)n - BLOCK) : buffer + n - 1;
    if (!first || !end) stop("a row is longer than MOST_ROW");
    learn_block(reader, &scan, first + 1, (size_t)(end - first), keys);
  }
  close(file);
  mr__scan_clear(&scan);
  free(keys);
  free(buffer);
  return NULL;
}

/* One pass by so many threads. Returns its rows a second. */
static double pass(int threads, int64_t *rows, double *loss) {
  struct reader readers[MOST_THREADS] = {{0}};
  slots = mr__malloc_pages(SLOTS * sizeof *slots);
  if (!slots) stop("slots");
  next_block = 0;
  double start = now();
  for (int i = 0; i < threads; i++)
    if (pthread_create(&readers[i].thread, NULL, work, &readers[i])) stop("a thread");
  *rows = 0;
  *loss = 0;
  for (int i = 0; i < threads; i++) {
    pthread_join(readers[i].thread, NULL);
    *rows += readers[i].rows;
    *loss += readers[i].loss;
  }
  double seconds = now() - start;
  *loss /= (double)*rows;
  mr__free_pages(slots, SLOTS * sizeof *slots);
  return (double)*rows / seconds;
}

int main(int argc, char **argv) {
  if (argc < 2) return fprintf(stderr, "bare_text: which folder?\n"), 2;
  double seconds = argc > 2 ? atof(argv[2]) : 4, most[MOST_THREADS] = {0}, loss[MOST_THREADS];
  char *name = malloc(strlen(argv[1]) + sizeof "/train.csv");
  struct stat of;
  int64_t rows = 0;
  if (!name) stop("memory");
  sprintf(name, "%s/train.csv", argv[1]);
  path = name;
  if (stat(path, &of)) stop(path);
  file_bytes = of.st_size;
  for (int c = 0; c < FIELDS; c++) {
    char table[8];
    snprintf(table, sizeof table, "c%d", c + 1);
    seeds[c] = mr__table_seed(table);
  }
  for (int t = 0; t < MOST_THREADS; t++) {
    double until = now() + seconds / MOST_THREADS;
    do {
      double speed = pass(t + 1, &rows, &loss[t]);
      if (speed > most[t]) most[t] = speed;
    } while (now() < until);
  }
  printf("{\"rows\":%lld,\"loss\":[%.6f,%.6f],\"rows_per_s\":[%.0f,%.0f]}\n", (long long)rows,
         loss[0], loss[1], most[0], most[1]);
  free(name);
  return 0;
}
