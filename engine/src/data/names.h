/* A few names, found by their text: which members of an object or fields of a row are read. */
#ifndef MR_DATA_NAMES_H
#define MR_DATA_NAMES_H

#include "data/cell.h"

struct mr__names {
  struct mr__name {
    struct mr__text text; /* borrowed */
    int number;           /* what is found */
  } * list;               /* [n] in the order in which they were added */
  uint32_t *slots;        /* [mask + 1] places in the list + 1, or 0 */
  size_t n, mask, list_capacity;
};

/* The number of a name, or -1. */
int mr__names_find(const struct mr__names *names, struct mr__text text);

/* Add a name that is not there yet. */
int mr__names_add(struct mr__names *names, struct mr__text text, int number);

void mr__names_clear(struct mr__names *names);

#endif
