/* Keys that have no row yet: how often each came so far, and at which step last.
 *
 * Open addressing over the keys, which are hashes; key 0, "unknown", always has a row and so marks
 * an empty slot. A count stays where its key has got a row: if that is dropped, so is the count. */
#ifndef MR_TABLE_WAITING_H
#define MR_TABLE_WAITING_H

#include <stddef.h>
#include <stdint.h>

struct mr__waiting_key {
  uint64_t key;
  uint32_t count, date;
};

struct mr__waiting {
  struct mr__waiting_key *slots;
  size_t n_slots, n; /* slots: a power of two, or 0 */
};

void mr__waiting_clear(struct mr__waiting *waiting);
/* 0 of a key that never came. */
uint32_t mr__waiting_count(const struct mr__waiting *waiting, uint64_t key);
/* `more` of a key; counts stop at 2^32 - 1. MR_EMEMORY: then nothing was counted. */
int mr__waiting_add(struct mr__waiting *waiting, uint64_t key, uint32_t more, uint32_t date);
/* Forget all keys that did not come since `oldest`. */
int mr__waiting_drop(struct mr__waiting *waiting, uint32_t oldest);
/* How many came less often than `count`. */
int64_t mr__waiting_below(const struct mr__waiting *waiting, uint32_t count);
/* All of them by ascending key, [waiting->n]. */
void mr__waiting_sorted(const struct mr__waiting *waiting, struct mr__waiting_key *out);
/* At most the bytes of so many keys, while slots are moved. */
int64_t mr__waiting_bytes(int64_t keys);
/* The same once all are there, and none are moved any more. */
int64_t mr__waiting_filled_bytes(int64_t keys);

#endif
