#include "table/waiting.h"

#include <string.h>

#include "base/alloc.h"
#include "base/sort.h"

enum { FIRST_SLOTS = 64 }; /* at most 3/5 of the slots are taken */

static size_t slots_for(size_t keys) {
  size_t n = FIRST_SLOTS;
  while (n * 3 / 5 < keys) n *= 2;
  return n;
}

static size_t block_bytes(size_t n_slots) { return n_slots * sizeof(struct mr__waiting_key); }

void mr__waiting_clear(struct mr__waiting *waiting) {
  mr__free_block(waiting->slots, block_bytes(waiting->n_slots));
  *waiting = (struct mr__waiting){0};
}

static struct mr__waiting_key *probe(const struct mr__waiting *waiting, uint64_t key) {
  size_t mask = waiting->n_slots - 1, i = key & mask;
  while (waiting->slots[i].key && waiting->slots[i].key != key) i = (i + 1) & mask;
  return &waiting->slots[i];
}

/* Move those that came since `oldest`, `n` of them, into slots for `room`. */
static int move(struct mr__waiting *waiting, uint32_t oldest, size_t n, size_t room) {
  struct mr__waiting to = {.n_slots = slots_for(room), .n = n};
  to.slots = mr__calloc_block(block_bytes(to.n_slots));
  if (!to.slots) return mr__fail_memory();
  for (size_t i = 0; i < waiting->n_slots; i++) {
    const struct mr__waiting_key *from = &waiting->slots[i];
    if (from->key && from->date >= oldest) *probe(&to, from->key) = *from;
  }
  mr__waiting_clear(waiting);
  *waiting = to;
  return MR_OK;
}

uint32_t mr__waiting_count(const struct mr__waiting *waiting, uint64_t key) {
  return waiting->n_slots ? probe(waiting, key)->count : 0;
}

int mr__waiting_add(struct mr__waiting *waiting, uint64_t key, uint32_t more, uint32_t date) {
  struct mr__waiting_key *slot = waiting->n_slots ? probe(waiting, key) : NULL;
  if (!slot || !slot->key) {
    if (!slot || waiting->n + 1 > waiting->n_slots * 3 / 5) {
      MR_TRY(move(waiting, 0, waiting->n, waiting->n + 1));
      slot = probe(waiting, key);
    }
    *slot = (struct mr__waiting_key){.key = key};
    waiting->n++;
  }
  slot->count += more < UINT32_MAX - slot->count ? more : UINT32_MAX - slot->count;
  slot->date = date;
  return MR_OK;
}

int mr__waiting_drop(struct mr__waiting *waiting, uint32_t oldest) {
  size_t n = 0;
  for (size_t i = 0; i < waiting->n_slots; i++)
    n += waiting->slots[i].key && waiting->slots[i].date >= oldest;
  return n == waiting->n ? MR_OK : move(waiting, oldest, n, n);
}

int64_t mr__waiting_below(const struct mr__waiting *waiting, uint32_t count) {
  int64_t n = 0;
  for (size_t i = 0; i < waiting->n_slots; i++)
    n += waiting->slots[i].key && waiting->slots[i].count < count;
  return n;
}

void mr__waiting_sorted(const struct mr__waiting *waiting, struct mr__waiting_key *out) {
  size_t n = 0;
  for (size_t i = 0; i < waiting->n_slots; i++)
    if (waiting->slots[i].key) out[n++] = waiting->slots[i];
  mr__sort_keyed(out, n);
}

int64_t mr__waiting_filled_bytes(int64_t keys) {
  return (int64_t)block_bytes(slots_for((size_t)keys));
}

int64_t mr__waiting_bytes(int64_t keys) {
  int64_t bytes = mr__waiting_filled_bytes(keys);
  return bytes + bytes / 2;
}
