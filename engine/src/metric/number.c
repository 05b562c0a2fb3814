/* Distinct keys, numbered as they first come: an open-addressing map, at most half full. */
#include "metric/scores.h"

#include "base/alloc.h"

struct slot {
  uint64_t key;
  uint32_t number_plus_1;
};

int mr_keys_number(uint32_t *numbers, int64_t *distinct, const uint64_t *keys, int64_t n) {
  *distinct = 0;
  if (n < 0 || n >= UINT32_MAX)
    return mr__fail(MR_EINVAL, "n is %lld, expected 0 to %u", (long long)n, UINT32_MAX - 1);
  size_t slots = 16;
  while (slots < 2 * (size_t)n) slots *= 2;
  struct slot *map = mr__calloc(slots, sizeof *map);
  if (!map) return mr__fail_memory();
  for (int64_t i = 0; i < n; i++) {
    size_t at = mr__scores_mix(keys[i]) & (slots - 1);
    while (map[at].number_plus_1 && map[at].key != keys[i]) at = (at + 1) & (slots - 1);
    if (!map[at].number_plus_1) map[at] = (struct slot){keys[i], (uint32_t)++ * distinct};
    numbers[i] = map[at].number_plus_1 - 1;
  }
  mr__free(map);
  return MR_OK;
}
