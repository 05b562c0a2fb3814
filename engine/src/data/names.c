#include "data/names.h"

#include "base/alloc.h"
#include "base/hash.h"

/* The slot of a name, or the empty one where it would be. At most half of them are taken. */
static size_t slot_of(const struct mr__names *names, struct mr__text text) {
  size_t slot = (size_t)mr__hash(text.at, text.size, 0) & names->mask;
  for (;; slot = (slot + 1) & names->mask) {
    if (names->slots[slot] == 0) return slot;
    if (mr__same_text(names->list[names->slots[slot] - 1].text, text)) return slot;
  }
}

int mr__names_find(const struct mr__names *names, struct mr__text text) {
  if (names->n == 0) return -1;
  uint32_t place = names->slots[slot_of(names, text)];
  return place == 0 ? -1 : names->list[place - 1].number;
}

static int grow(struct mr__names *names) {
  size_t n_slots = names->n == 0 ? 64 : 2 * (names->mask + 1);
  uint32_t *slots = mr__calloc(n_slots, sizeof *slots);
  if (!slots) return mr__fail_memory();
  mr__free(names->slots);
  names->slots = slots;
  names->mask = n_slots - 1;
  for (size_t i = 0; i < names->n; i++)
    slots[slot_of(names, names->list[i].text)] = (uint32_t)i + 1;
  return MR_OK;
}

int mr__names_add(struct mr__names *names, struct mr__text text, int number) {
  if (names->n == 0 || 2 * (names->n + 1) > names->mask + 1) MR_TRY(grow(names));
  MR_TRY(mr__grow(&names->list, &names->list_capacity, names->n + 1, sizeof *names->list));
  size_t slot = slot_of(names, text);
  names->list[names->n] = (struct mr__name){text, number};
  names->slots[slot] = (uint32_t)++names->n;
  return MR_OK;
}

void mr__names_clear(struct mr__names *names) {
  mr__free(names->list);
  mr__free(names->slots);
  *names = (struct mr__names){0};
}
