/* American flag sort (McIlroy, Bostic and McIlroy, "Engineering radix sort", 1993): records are
 * counted by the highest bits in which any two differ, swapped into their groups, and each group is
 * sorted by the bits below. Groups become a dozen records or so, which are inserted one by one. */
#include "base/sort.h"

#include <string.h>

enum { MOST_BITS = 8, FEW = 32, MOST_BYTES = 16 };

typedef void sort_fn(char *list, size_t n);

static inline __attribute__((always_inline)) uint64_t key_at(const char *record) {
  uint64_t key;
  memcpy(&key, record, sizeof key);
  return key;
}

static inline __attribute__((always_inline)) void insert_few(char *list, size_t n, size_t bytes) {
  for (size_t i = 1; i < n; i++) {
    char record[MOST_BYTES];
    memcpy(record, list + i * bytes, bytes);
    uint64_t key = key_at(record);
    size_t to = i;
    for (; to > 0 && key_at(list + (to - 1) * bytes) > key; to--)
      memcpy(list + to * bytes, list + (to - 1) * bytes, bytes);
    memcpy(list + to * bytes, record, bytes);
  }
}

/* Bits in which some keys differ from the first. */
static inline __attribute__((always_inline)) uint64_t differing(const char *list, size_t n,
                                                                size_t bytes) {
  uint64_t first = key_at(list), bits = 0;
  for (size_t i = 1; i < n; i++) bits |= key_at(list + i * bytes) ^ first;
  return bits;
}

/* `again` sorts a group: the function that this is inlined into. Each call takes a bit at least off
 * the keys of its groups, so there are at most 64 within one another. */
static inline __attribute__((always_inline)) void sort(char *list, size_t n, size_t bytes,
                                                       sort_fn *again) {
  if (n < FEW) {
    insert_few(list, n, bytes);
    return;
  }
  uint64_t differ = differing(list, n, bytes);
  if (differ == 0) return;
  int high = 64 - __builtin_clzll(differ); /* bits from there on are the same in all */
  int bits = 60 - __builtin_clzll(n);      /* groups of 8 to 16, if keys are spread evenly */
  if (bits > MOST_BITS) bits = MOST_BITS;
  if (bits > high) bits = high;
  int shift = high - bits;
  size_t groups = (size_t)1 << bits, at[1 << MOST_BITS], end[1 << MOST_BITS];
  memset(end, 0, groups * sizeof *end);
  for (size_t i = 0; i < n; i++) end[key_at(list + i * bytes) >> shift & (groups - 1)]++;
  for (size_t g = 0, sum = 0; g < groups; g++) {
    at[g] = sum;
    end[g] = sum += end[g];
  }
  for (size_t g = 0; g < groups; g++)
    for (; at[g] < end[g]; at[g]++) {
      char record[MOST_BYTES], other[MOST_BYTES];
      memcpy(record, list + at[g] * bytes, bytes);
      for (size_t to; (to = key_at(record) >> shift & (groups - 1)) != g;) {
        char *place = list + at[to]++ * bytes;
        memcpy(other, place, bytes);
        memcpy(place, record, bytes);
        memcpy(record, other, bytes);
      }
      memcpy(list + at[g] * bytes, record, bytes);
    }
  for (size_t g = 0, first = 0; g < groups; first = end[g++])
    if (end[g] - first > 1) again(list + first * bytes, end[g] - first);
}

static void sort_8(char *list, size_t n) { sort(list, n, 8, sort_8); }
static void sort_16(char *list, size_t n) { sort(list, n, 16, sort_16); }

void mr__sort_keys(uint64_t *keys, size_t n) { sort_8((char *)keys, n); }
void mr__sort_keyed(void *records, size_t n) { sort_16(records, n); }
