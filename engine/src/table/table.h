/* Embedding tables: key -> row of floats.
 *
 * A table is cut into 16 shards by the top bits of the key. A shard is touched by one task at a
 * time, so rows are inserted and updated by several threads without locks, and which thread takes
 * a shard changes nothing.
 *
 *   shard: slots  open addressing, {key, row + 1 (0: empty), note of mr__table_notes}
 *          chunks of 64, 128, 256 ... rows; a row never moves once it is there
 *
 * A full index is not moved in one go, which would stop a step for as long as the table is large:
 * slots of twice the size come beside the old ones, and each insert moves some more, whole runs of
 * occupied slots in their order. So the home of a key in the old slots tells in which of the two
 * the key is, and a probe looks in one place only:
 *
 *   old:  | as before | start: moved, no key has its home here | start + n_moved: as before |
 *
 * `start` was an empty slot: no run of keys went over it, and the last one to be moved, around the
 * end of the old slots, ends there or beyond.
 *
 * Shards grow at about the same time, so the memory of all of them for one size of index, or for
 * one chunk, is one block, made by the shard that first needs it: large enough for huge pages,
 * without which random rows cost half as much again.
 *
 *   row:   [value: part 0 | part 1 | ...][optimizer state 0: width][state 1: width]...[count]
 *
 * Parts are the vectors that different lookups of one key read (a weight for a linear term, an
 * embedding): one probe and one miss serve them all. A new row's start values are a function of
 * (seed, table, part, key). The row of key 0, "unknown", is always there and starts at zero. Where
 * a training wants it, a row also knows in how many samples its key is, or, where rows expire, at
 * which step it came last: then those that did not come for long are dropped, and their shard's
 * other rows get new numbers. Keys may have to wait for their row until they came often enough.
 *
 * Or a table has no rows of its own but those of a model file (table/mapped.h): they are found like
 * any others, and nothing is inserted or trained. */
#ifndef MR_TABLE_TABLE_H
#define MR_TABLE_TABLE_H

#include <string.h>

#include "base/hash.h"
#include "base/shard.h"
#include "base/status.h"
#include "table/mapped.h"
#include "table/waiting.h"

enum { MR__CHUNKS = 27, MR__FIRST_CHUNK = 64, MR__SLOT_SIZES = 32 };
/* Rows of keys that stand for no value, at most: "unknown", and that of zeros. */
enum { MR__ROWS_OF_NONE = 2 };

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
  uint32_t note;
};

struct mr__shard {
  struct mr__slot *slots;
  size_t n_slots;        /* a power of two, or 0 */
  struct mr__slot *old;  /* half as many, while they are moved; else NULL */
  size_t start, n_moved; /* of the old slots */
  uint32_t n_rows;
  float *chunks[MR__CHUNKS];
};

/* The blocks that shards have their memory in (mr__calloc_block): huge pages, or parts of them. */
struct mr__table_memory {
  void *chunks[MR__CHUNKS];
  void *slots[MR__SLOT_SIZES]; /* FIRST_SLOTS << i for each shard */
  int left[MR__SLOT_SIZES];    /* shards that have gone on to larger ones: the last frees it */
};

struct mr__table {
  char *name;
  uint64_t name_hash, seed;
  struct mr__part *parts;
  size_t n_parts, parts_capacity;
  int width;                  /* floats of all parts */
  int n_states;               /* optimizer states beside the value */
  int counted;                /* 1: rows have a count, last of all */
  int has_nothing;            /* 1: the row of MR__NOTHING_KEY is there and stays zeros */
  uint32_t admit;             /* a key has a row once it came so often; 0: at once */
  uint32_t expire;            /* a row that did not come for so many steps is dropped; 0: never */
  struct mr__waiting waiting; /* where keys are admitted */
  int64_t n_dropped;          /* rows */
  float state_start[4];
  int stride;      /* floats from row to row */
  uint32_t layout; /* changes whenever rows get other numbers */
  uint32_t next_note;
  struct mr__table_memory memory;
  struct mr__shard shards[MR__SHARDS];
  struct mr__mapped mapped;
};

static inline float *mr__shard_row(const struct mr__shard *shard, uint32_t row, int stride) {
  uint32_t block = row / MR__FIRST_CHUNK + 1;
  int chunk = 31 - __builtin_clz(block);
  uint32_t first = ((1u << chunk) - 1) * MR__FIRST_CHUNK;
  return shard->chunks[chunk] + (size_t)(row - first) * (size_t)stride;
}

/* The count of a row, in a table that is counted. */
static inline uint32_t mr__row_count(const struct mr__table *table, const float *row) {
  uint32_t count;
  memcpy(&count, row + table->stride - 1, sizeof count);
  return count;
}

static inline void mr__set_row_count(const struct mr__table *table, float *row, uint32_t count) {
  memcpy(row + table->stride - 1, &count, sizeof count);
}

/* Where rows expire, the count is the step at which the row came last, or this: it stays. */
enum { MR__NO_DATE = -1 };

/* A step as the date of a row. */
static inline uint32_t mr__date(int64_t step) {
  return step < UINT32_MAX ? (uint32_t)step : UINT32_MAX - 1;
}

/* Every row's count becomes 0. */
void mr__table_forget_counts(struct mr__table *table);

/* The slots that a key's is among; *mask is their number less one. Only where there are slots. */
static inline struct mr__slot *mr__shard_slots_of(const struct mr__shard *shard, uint64_t key,
                                                  size_t *mask) {
  *mask = shard->n_slots - 1;
  if (!shard->old) return shard->slots;
  size_t old_mask = shard->n_slots / 2 - 1;
  if (((key - shard->start) & old_mask) < shard->n_moved) return shard->slots;
  *mask = old_mask;
  return shard->old;
}

/* The slot at which the search for a key starts. Only where there are slots. */
static inline struct mr__slot *mr__shard_home(const struct mr__shard *shard, uint64_t key) {
  size_t mask;
  struct mr__slot *slots = mr__shard_slots_of(shard, key, &mask);
  return slots + (key & mask);
}

/* The slot that a key has, or would get: then it is empty. Only where there are slots. */
static inline struct mr__slot *mr__shard_probe(const struct mr__shard *shard, uint64_t key) {
  size_t mask;
  struct mr__slot *slots = mr__shard_slots_of(shard, key, &mask);
  for (size_t i = key & mask;; i = (i + 1) & mask)
    if (slots[i].row_plus_1 == 0 || slots[i].key == key) return &slots[i];
}

/* For walks over all slots: their number, those that are being moved included, and the i-th. */
static inline size_t mr__shard_all_slots(const struct mr__shard *shard) {
  return shard->old ? shard->n_slots + shard->n_slots / 2 : shard->n_slots;
}

static inline struct mr__slot *mr__shard_slot(const struct mr__shard *shard, size_t i) {
  return i < shard->n_slots ? &shard->slots[i] : &shard->old[i - shard->n_slots];
}

/* Bring the slot of a key that will be probed soon into the cache. Always inline: gcc drops calls
 * of a function that does nothing but ask. */
static inline __attribute__((always_inline)) void mr__table_prefetch(const struct mr__table *table,
                                                                     uint64_t key) {
  const struct mr__shard *shard = &table->shards[mr__shard_of(key)];
  if (shard->n_slots) __builtin_prefetch(mr__shard_home(shard, key));
}

int mr__table_init(struct mr__table *table, const char *name, uint64_t seed);
void mr__table_clear(struct mr__table *table);

/* The part of this name, added if it is not there; MR_EINVAL when it is there with another width.
 * Only before the first row. */
int mr__table_part(struct mr__table *table, const char *name, int dim, enum mr__start start,
                   float scale, int *offset);

/* Lay rows out for an optimizer: `n_states` further vectors per row, which start at `start[i]` in
 * every row, whatever an earlier optimizer left there; and a count, which starts at 0, where
 * `counted` is 1. Rows move when their length changes. */
int mr__table_set_states(struct mr__table *table, int n_states, const float *start, int counted);

/* Take the rows of a file, in place of what the table has; they outlive it. */
void mr__table_map(struct mr__table *table, const struct mr__mapped *mapped);

/* The row of a key, or NULL; of mapped rows, not to be written to. */
float *mr__table_find(const struct mr__table *table, uint64_t key);

/* The number of a key's row, or -1: within its shard, or of the file. It stays the same while the
 * table's `layout` does. */
int64_t mr__table_find_number(const struct mr__table *table, uint64_t key);
float *mr__table_numbered(const struct mr__table *table, int shard, int64_t number);

/* Where a row of the table's own memory lies, as a number below mr__table_places: the same for as
 * long as `layout` is. */
size_t mr__table_place(const struct mr__table *table, const float *row);
size_t mr__table_places(const struct mr__table *table);

/* The rows of `n` keys, that of unknown values for those that have none; [n]. */
void mr__table_find_all(const struct mr__table *table, const uint64_t *keys, int64_t n,
                        float **rows);

/* `floats` of each row of keys that the table has, from the `from`-th on, [n, floats]. */
void mr__table_copy(const struct mr__table *table, const uint64_t *keys, int64_t n, int from,
                    int floats, float *out);

/* The slot of a key in its shard, with a new row where the key is new. */
int mr__table_insert(struct mr__table *table, uint64_t key, struct mr__slot **slot);

/* A key's row whose values the caller writes, all of them, at once: a new one has none, and only
 * its states begin as they should. */
int mr__table_put(struct mr__table *table, uint64_t key, float **row);

/* Slots for so many keys in each shard at once, where a table has few keys so far: then none need
 * to move while they come. */
int mr__table_reserve(struct mr__table *table, size_t keys_of_shard);

/* The first of n numbers in a row that no slot's note has reached: whoever notes one of them at a
 * slot can tell it later from the notes of earlier batches, which are below. 0 is never one. */
uint32_t mr__table_notes(struct mr__table *table, uint32_t n);

/* Drop the rows of a shard that came last before `oldest`; *dropped is how many. The others get new
 * numbers: whoever drops some raises `layout`. */
int mr__table_drop(struct mr__table *table, int shard, uint32_t oldest, uint32_t *dropped);

int64_t mr__table_rows(const struct mr__table *table);

/* At most the bytes of slots and chunks once the table holds so many keys, spread evenly, and of
 * their counts where they are admitted. */
int64_t mr__table_bytes(const struct mr__table *table, int64_t keys);
/* What of it so many rows touch, and so many keys that are counted: chunks of rows are not full at
 * their end, and pages that were never written take no memory. */
int64_t mr__table_filled_bytes(const struct mr__table *table, int64_t rows, int64_t keys);
/* The same at most, on the way to so many keys, too: while slots are moved, but where they are
 * reserved at once for so many codes; 0: they are not. */
int64_t mr__table_touched_bytes(const struct mr__table *table, int64_t keys, int64_t codes);

/* All keys in ascending order, [mr__table_rows]. */
void mr__table_sorted_keys(const struct mr__table *table, uint64_t *keys);

/* The values of all rows of `from`, a table of the same parts, in place of what `table` has. */
int mr__table_assign(struct mr__table *table, const struct mr__table *from);

/* The same for one part of each, of the same width. */
int mr__table_assign_part(struct mr__table *table, int part, const struct mr__table *from,
                          int from_part);

#endif
