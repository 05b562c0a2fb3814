/* Embedding tables: key -> row of floats.
 *
 * A table is cut into 16 shards by the top bits of the key. A shard is touched by one task at a
 * time, so rows are inserted and updated by several threads without locks, and which thread takes
 * a shard changes nothing.
 *
 *   shard: slots  open addressing, {key, row + 1 (0: empty), index among the batch's distinct keys}
 *          chunks of 64, 128, 256 ... rows; a row never moves once it is there
 *   row:   [value: part 0 | part 1 | ...][optimizer state 0: width][state 1: width]...
 *
 * Parts are the vectors that different lookups of one key read (a weight for a linear term, an
 * embedding): one probe and one miss serve them all. A new row's start values are a function of
 * (seed, table, part, key). The row of key 0, "unknown", is always there and starts at zero. */
#ifndef MR_TABLE_TABLE_H
#define MR_TABLE_TABLE_H

#include "base/hash.h"
#include "base/status.h"

enum { MR__SHARDS = 16, MR__SHARD_BITS = 4, MR__CHUNKS = 27, MR__FIRST_CHUNK = 64 };

enum mr__start { MR__START_ZERO, MR__START_NORMAL, MR__START_UNIFORM };

struct mr__part {
  char *name;
  int dim, offset; /* floats, within the value */
  enum mr__start start;
  float scale; /* standard deviation, or half width */
};

struct mr__slot {
  uint64_t key;
  uint32_t row_plus_1;
  uint32_t unique;
};

struct mr__shard {
  struct mr__slot *slots;
  size_t n_slots; /* a power of two, or 0 */
  uint32_t n_rows;
  float *chunks[MR__CHUNKS];
};

struct mr__table {
  char *name;
  uint64_t name_hash, seed;
  struct mr__part *parts;
  size_t n_parts, parts_capacity;
  int width;    /* floats of all parts */
  int n_states; /* optimizer states beside the value */
  float state_start[4];
  int stride;   /* floats from row to row */
  struct mr__shard shards[MR__SHARDS];
};

static inline int mr__shard_of(uint64_t key) { return (int)(key >> (64 - MR__SHARD_BITS)); }

static inline float *mr__shard_row(const struct mr__shard *shard, uint32_t row, int stride) {
  uint32_t block = row / MR__FIRST_CHUNK + 1;
  int chunk = 31 - __builtin_clz(block);
  uint32_t first = ((1u << chunk) - 1) * MR__FIRST_CHUNK;
  return shard->chunks[chunk] + (size_t)(row - first) * (size_t)stride;
}

int mr__table_init(struct mr__table *table, const char *name, uint64_t seed);
void mr__table_clear(struct mr__table *table);

/* The part of this name, added if it is not there; MR_EINVAL when it is there with another width.
 * Only before the first row. */
int mr__table_part(struct mr__table *table, const char *name, int dim, enum mr__start start,
                   float scale, int *offset);

/* Lay rows out for an optimizer: `n_states` further vectors per row, which start at `start[i]` in
 * every row, whatever an earlier optimizer left there. Rows move when the number changes. */
int mr__table_set_states(struct mr__table *table, int n_states, const float *start);

/* The row of a key, or NULL. */
float *mr__table_find(const struct mr__table *table, uint64_t key);

/* The slot of a key in its shard, with a new row where the key is new. */
int mr__table_insert(struct mr__table *table, uint64_t key, struct mr__slot **slot);

int64_t mr__table_rows(const struct mr__table *table);

/* At most the bytes of slots and chunks once the table holds so many keys, spread evenly. */
int64_t mr__table_bytes(const struct mr__table *table, int64_t keys);

/* All keys in ascending order, [mr__table_rows]. */
void mr__table_sorted_keys(const struct mr__table *table, uint64_t *keys);

#endif
