/* The shards that the keys of a table fall into, by their top bits: what one task works on at a
 * time, in a table (table/table.h) as in the dictionary of its codes (data/dictionary.h).
 *
 * A code of 32 bits is a number (index) within a shard, and the shard. Eight numbers in a row of
 * one shard are codes in a row, so that what is kept for each code in eight bytes fills a line of
 * the cache: threads that work on different shards share none.
 *
 *   code  = index / 8 * 128 + shard * 8 + index % 8 */
#ifndef MR_BASE_SHARD_H
#define MR_BASE_SHARD_H

#include <stddef.h>
#include <stdint.h>

enum { MR__SHARDS = 16, MR__SHARD_BITS = 4 };

enum { MR__CODES_IN_LINE = 8, MR__CODE_STEP = MR__CODES_IN_LINE * MR__SHARDS };

static inline uint32_t mr__code(int shard, uint32_t index) {
  return index / MR__CODES_IN_LINE * MR__CODE_STEP + (uint32_t)shard * MR__CODES_IN_LINE +
         index % MR__CODES_IN_LINE;
}

static inline int mr__code_shard(uint32_t code) {
  return (int)(code / MR__CODES_IN_LINE % MR__SHARDS);
}

static inline uint32_t mr__code_index(uint32_t code) {
  return code / MR__CODE_STEP * MR__CODES_IN_LINE + code % MR__CODES_IN_LINE;
}

static inline int mr__shard_of(uint64_t key) { return (int)(key >> (64 - MR__SHARD_BITS)); }

/* The code of a key among those of `n` codes; 0, that of "unknown", where none is its. */
static inline uint32_t mr__find_code(const uint64_t *keys, size_t n, uint64_t key) {
  uint32_t code;
  for (uint32_t i = 0; (code = mr__code(mr__shard_of(key), i)) < n; i++)
    if (keys[code] == key) return code;
  return 0;
}

#endif
