/* The cells of a sequence's column taken apart: a cell holds the behaviours of its row, with the
 * sequence's separator in between. An empty cell has none, unless lists say themselves what they
 * have (data/json_lines.h); an empty piece is a behaviour whose value is unknown, or the number's
 * `missing`. */
#ifndef MR_DATA_BEHAVIOURS_H
#define MR_DATA_BEHAVIOURS_H

#include "data/cell.h"
#include "data/picks.h"

/* Bytes behind a cell that are readable. */
enum { MR__BEHAVIOURS_PAD = 64 };

/* Begin a row of so many behaviours; then each column of keys says which of them it has. Where none
 * does they are all there. */
int mr__picks_start(struct mr__picks *picks, uint32_t length);
void mr__picks_add_cell(struct mr__picks *picks, const struct mr__sequence *sequence,
                        struct mr__text cell);
void mr__picks_finish(struct mr__picks *picks);

/* One cell. */
struct mr__history {
  uint32_t length; /* behaviours that it has, padding and all */
  uint32_t kept;   /* of those, by the sequence's max */
  uint32_t keys;   /* that these have */
  uint32_t words;  /* that they take in a record */
};

/* Cells of one column, what they hold one after another. */
struct mr__behaviours {
  struct mr__history *cells; /* [n_cells] */
  uint64_t *keys;            /* MR_ID: [n]; MR_IDS: of all bags [n_keys] */
  uint32_t *codes;           /* room for as many, which the caller fills in */
  float *floats;             /* MR_NUMBER: [n]; MR_VECTOR: [n, width] */
  uint32_t *sizes;           /* MR_IDS: [n] of bags */
  size_t n_cells, n, n_keys;
  const uint32_t *picked; /* of the cell at hand, where only some are; else NULL */
  uint32_t *marks;        /* of the last cell */
  size_t cells_capacity, keys_capacity, codes_capacity, floats_capacity, sizes_capacity,
      marks_capacity;
};

/* The first behaviour of a cell that is no number or no vector, or not listed where that is
 * wrong. */
struct mr__bad_behaviour {
  enum mr__number kind; /* MR__NUMBER_OK: there is none */
  uint32_t number;      /* from 1 */
  struct mr__text text;
  struct mr__bad_vector vector; /* of an MR_VECTOR column */
};

void mr__behaviours_clear(struct mr__behaviours *behaviours);

/* Forget the cells. */
void mr__behaviours_start(struct mr__behaviours *behaviours);

/* Append a cell: its behaviours that are picked, of no more than it has, or with NULL all.
 * `is_one`: an empty cell has one. MR_OK with a bad behaviour too: then 0 stands for a number. */
int mr__behaviours_add(struct mr__behaviours *behaviours, const struct mr__column *column,
                       const struct mr__sequence *sequence, struct mr__text cell, int is_one,
                       const struct mr__picks *picks, struct mr__bad_behaviour *bad);

/* How many behaviours a cell has. Nothing behind it is read. */
uint32_t mr__count_behaviours(struct mr__text cell, int separator);

/* Of `length` behaviours, how many are kept, and where the first of them is. */
static inline uint32_t mr__kept_behaviours(const struct mr__sequence *sequence, uint32_t length,
                                           uint32_t *first) {
  uint32_t most = sequence->max > 0 ? (uint32_t)sequence->max : UINT32_MAX;
  uint32_t kept = length < most ? length : most;
  *first = sequence->keep == MR_KEEP_LAST ? length - kept : 0;
  return kept;
}

#endif
