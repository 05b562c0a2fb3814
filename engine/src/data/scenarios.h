/* The values of a column of which there are few, numbered in the order in which they first come. */
#ifndef MR_DATA_SCENARIOS_H
#define MR_DATA_SCENARIOS_H

#include "data/cell.h"

enum { MR__MOST_SCENARIOS = 4096 };

struct mr__scenario {
  uint64_t key;
  char name[MR__EXCERPT_BYTES]; /* as messages show it */
};

struct mr__scenarios {
  struct mr__scenario *list;
  size_t *at;      /* [n] where each came first: byte of its block */
  uint16_t *slots; /* open addressing by key: number + 1, or 0 */
  size_t n, capacity, at_capacity;
};

void mr__scenarios_clear(struct mr__scenarios *scenarios);

/* The number of a value, which is added where it is new. One more than MR__MOST_SCENARIOS gets the
 * number MR__MOST_SCENARIOS and is not added. */
int mr__scenarios_find(struct mr__scenarios *scenarios, uint64_t key, struct mr__text name,
                       size_t at, int32_t *number);

#endif
