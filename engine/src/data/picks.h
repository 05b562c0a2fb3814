/* The behaviours of a row, of a sequence that has a padding, that are not padding: the same in all
 * of its columns. */
#ifndef MR_DATA_PICKS_H
#define MR_DATA_PICKS_H

#include <stddef.h>
#include <stdint.h>

/* Filled in by data/behaviours.h. */
struct mr__picks {
  uint32_t *index; /* [n] from 0, ascending; until mr__picks_finish [n] whether each is there */
  uint32_t n;
  int n_columns; /* that had a say */
  size_t capacity;
};

#endif
