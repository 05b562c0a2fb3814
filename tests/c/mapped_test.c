/* Lookups in mapped rows (table/mapped.h) against a plain search: keys spread like hashes, all in
 * one bucket, none but the unknown one; and whatever a directory says, nothing outside the arrays
 * is read. */
#include "table/mapped.h"

#include <string.h>

#include "check.h"
#include "guarded.h"

enum { MOST = 5000 };

static uint64_t state = 1;
static uint64_t draw(void) { /* splitmix64 (Steele, Lea and Flood 2014) */
  uint64_t z = state += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

static int by_key(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

/* n different keys, 0 among them; `shift` bits of each are zero at the top. */
static int make_keys(uint64_t *keys, int n, int shift) {
  keys[0] = 0;
  for (int i = 1; i < n; i++) keys[i] = draw() >> shift;
  if (n > 1 && shift == 0) keys[1] = UINT64_MAX;
  qsort(keys, (size_t)n, sizeof *keys, by_key);
  int kept = 1;
  for (int i = 1; i < n; i++)
    if (keys[i] != keys[kept - 1]) keys[kept++] = keys[i];
  return kept;
}

static int64_t search(const uint64_t *keys, int n, uint64_t key) {
  for (int i = 0; i < n; i++)
    if (keys[i] == key) return i;
  return -1;
}

static void check_keys(int n, int shift) {
  static uint64_t drawn[MOST];
  n = make_keys(drawn, n, shift);
  int bits = mr__directory_bits(n);
  size_t entries = ((size_t)1 << bits) + 1;
  /* The arrays end where memory does. */
  struct guarded keys = guarded_floats((size_t)n * 2), directory = guarded_floats(entries);
  memcpy(keys.p, drawn, (size_t)n * sizeof *drawn);
  int32_t *first = (int32_t *)(void *)directory.p;
  struct mr__mapped mapped = {
      .keys = (const uint64_t *)(const void *)keys.p, .directory = first, .n = n, .bits = bits};
  mr__directory_make(first, bits, mapped.keys, n);
  CHECK(first[0] == 0 && first[entries - 1] == n, "the directory goes from %d to %d of %d keys",
        first[0], first[entries - 1], n);
  for (int i = 0; i < n; i += 1 + n / 400) {
    int64_t row = mr__mapped_find(&mapped, drawn[i]);
    CHECK(row == i, "%d keys, shift %d: key %d is at %lld", n, shift, i, (long long)row);
    for (uint64_t other = drawn[i] - 1; other != drawn[i] + 2; other++) {
      row = mr__mapped_find(&mapped, other);
      CHECK(row == search(drawn, n, other), "a neighbour of key %d is at %lld", i, (long long)row);
    }
  }
  for (int round = 0; round < 200; round++) {
    uint64_t key = draw() >> shift;
    int64_t row = mr__mapped_find(&mapped, key);
    CHECK(row == search(drawn, n, key), "a key drawn at random is at %lld", (long long)row);
  }
  for (int round = 0; round < 200; round++) { /* a damaged directory */
    for (size_t e = 0; e < entries; e++)
      first[e] = draw() % 4 ? (int32_t)draw() : (int32_t)(draw() % (uint64_t)(n + 1));
    uint64_t key = drawn[draw() % (uint64_t)n];
    mr__mapped_prefetch_directory(&mapped, key);
    mr__mapped_prefetch_keys(&mapped, key);
    int64_t row = mr__mapped_find(&mapped, key);
    CHECK(row == -1 || drawn[row] == key, "row %lld of another key", (long long)row);
  }
  guarded_free(&keys);
  guarded_free(&directory);
}

int main(void) {
  static const int sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 100, 1023, 1024, 1025, MOST};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    check_keys(sizes[i], 0);
    check_keys(sizes[i], 2);  /* a quarter of the buckets */
    check_keys(sizes[i], 50); /* one bucket of all */
  }
  for (int64_t n = 1; n < 1 << 20; n = n * 3 / 2 + 1) {
    int64_t buckets = (int64_t)1 << mr__directory_bits(n);
    CHECK(n < 4 ? buckets == 1 : n / buckets >= 2 && n / buckets < 4, "%lld keys in %lld buckets",
          (long long)n, (long long)buckets);
  }
  CHECK(mr__directory_bits(INT32_MAX) == MR__MOST_DIRECTORY_BITS, "the largest table");
  return check_end();
}
