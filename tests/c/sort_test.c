/* Sorting by keys beside the C library's qsort. */
#include "base/sort.h"

#include <string.h>

#include "base/random.h"
#include "check.h"

enum { MOST = 100000 };

struct keyed {
  uint64_t key;
  uint32_t number, checked; /* checked: made of the key, to see that records stay together */
};

static int by_key(const void *a, const void *b) {
  uint64_t x, y;
  memcpy(&x, a, sizeof x);
  memcpy(&y, b, sizeof y);
  return (x > y) - (x < y);
}

static uint64_t word(uint64_t i) {
  struct mr__random4 r = mr__random(7, MR__RANDOM_TEST, i, 1);
  return (uint64_t)r.v[0] << 32 | r.v[1];
}

/* Spread evenly; few different; alike but for some bits in the middle, the lowest or the highest;
 * ascending; descending; all equal; the ends of the range. */
enum { KINDS = 9 };
static uint64_t key_of(int kind, uint64_t i, uint64_t n) {
  switch (kind) {
  case 0:
    return word(i);
  case 1:
    return word(i) % 5 * 0x1111111111111111u;
  case 2:
    return 0xabcd000000001234u | (word(i) & 0x3ff) << 20;
  case 3:
    return 0xffffffffffffff00u | (word(i) & 0xff);
  case 4:
    return word(i) << 60;
  case 5:
    return i * 3;
  case 6:
    return (n - i) * 0x100000001u;
  case 7:
    return 42;
  default:
    return i % 2 ? 0 : UINT64_MAX;
  }
}

static void check(int kind, size_t n) {
  uint64_t *keys = malloc((n + 1) * sizeof *keys), *wanted = malloc((n + 1) * sizeof *wanted);
  struct keyed *records = malloc((n + 1) * sizeof *records);
  unsigned char *seen = calloc(n + 1, 1);
  NEED(keys && wanted && records && seen);
  for (size_t i = 0; i < n; i++) {
    uint64_t key = key_of(kind, i, n);
    keys[i] = wanted[i] = key;
    records[i] = (struct keyed){key, (uint32_t)i, (uint32_t)(key * 0x9e3779b9u)};
  }
  keys[n] = 1; /* not to be touched */
  records[n] = (struct keyed){1, 2, 3};
  qsort(wanted, n, sizeof *wanted, by_key);
  mr__sort_keys(keys, n);
  mr__sort_keyed(records, n);
  CHECK(n == 0 || memcmp(keys, wanted, n * sizeof *keys) == 0, "keys of kind %d, %zu", kind, n);
  size_t wrong = 0;
  for (size_t i = 0; i < n; i++) {
    wrong += records[i].key != wanted[i] || seen[records[i].number]++ ||
             records[i].checked != (uint32_t)(records[i].key * 0x9e3779b9u);
  }
  CHECK(wrong == 0, "%zu of %zu records of kind %d", wrong, n, kind);
  CHECK(keys[n] == 1 && records[n].key == 1 && records[n].number == 2, "kind %d, %zu", kind, n);
  free(keys);
  free(wanted);
  free(records);
  free(seen);
}

int main(void) {
  static const size_t sizes[] = {0, 1, 2, 3, 31, 32, 33, 255, 256, 257, 1000, 4097, MOST};
  for (int kind = 0; kind < KINDS; kind++)
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) check(kind, sizes[i]);
  return check_end();
}
