#include "data/scenarios.h"

#include "base/alloc.h"

enum { SLOTS = 4 * MR__MOST_SCENARIOS };

void mr__scenarios_clear(struct mr__scenarios *scenarios) {
  mr__free(scenarios->list);
  mr__free(scenarios->at);
  mr__free(scenarios->slots);
  *scenarios = (struct mr__scenarios){0};
}

int mr__scenarios_find(struct mr__scenarios *scenarios, uint64_t key, struct mr__text name,
                       size_t at, int32_t *number) {
  if (!scenarios->slots) scenarios->slots = mr__calloc(SLOTS, sizeof *scenarios->slots);
  if (!scenarios->slots) return mr__fail_memory();
  size_t slot = key % SLOTS;
  for (; scenarios->slots[slot]; slot = (slot + 1) % SLOTS) {
    *number = scenarios->slots[slot] - 1;
    if (scenarios->list[*number].key == key) return MR_OK;
  }
  *number = (int32_t)scenarios->n;
  if (scenarios->n == MR__MOST_SCENARIOS) return MR_OK;
  MR_TRY(
      mr__grow(&scenarios->list, &scenarios->capacity, scenarios->n + 1, sizeof *scenarios->list));
  MR_TRY(
      mr__grow(&scenarios->at, &scenarios->at_capacity, scenarios->n + 1, sizeof *scenarios->at));
  scenarios->at[scenarios->n] = at;
  struct mr__scenario *added = &scenarios->list[scenarios->n++];
  *added = (struct mr__scenario){.key = key};
  mr__excerpt(added->name, name);
  scenarios->slots[slot] = (uint16_t)scenarios->n;
  return MR_OK;
}
