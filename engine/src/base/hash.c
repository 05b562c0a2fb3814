#include "base/hash.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t mr__hash(const void *bytes, size_t size, uint64_t seed) {
  return XXH3_64bits_withSeed(bytes, size, seed);
}

uint64_t mr__table_seed(const char *table_name) {
  return XXH3_64bits(table_name, strlen(table_name));
}

uint64_t mr__key(const char *text, size_t size, uint64_t table_seed) {
  if (size == 0) return MR__UNKNOWN_KEY;
  uint64_t key = XXH3_64bits_withSeed(text, size, table_seed);
  return key == MR__UNKNOWN_KEY ? 1 : key;
}
