/* The shards that the keys of a table fall into, by their top bits: what one task works on at a
 * time, in a table (table/table.h) as in the dictionary of its codes (data/dictionary.h). */
#ifndef MR_BASE_SHARD_H
#define MR_BASE_SHARD_H

#include <stdint.h>

enum { MR__SHARDS = 16, MR__SHARD_BITS = 4 };

static inline int mr__shard_of(uint64_t key) { return (int)(key >> (64 - MR__SHARD_BITS)); }

#endif
