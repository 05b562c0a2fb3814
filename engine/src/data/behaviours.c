#include "data/behaviours.h"

#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "kernel/family.h"

void mr__behaviours_clear(struct mr__behaviours *behaviours) {
  mr__free(behaviours->cells);
  mr__free(behaviours->keys);
  mr__free(behaviours->codes);
  mr__free(behaviours->floats);
  mr__free(behaviours->sizes);
  mr__free(behaviours->marks);
  *behaviours = (struct mr__behaviours){0};
}

void mr__behaviours_start(struct mr__behaviours *behaviours) {
  behaviours->n_cells = behaviours->n = behaviours->n_keys = 0;
}

static int reserve_keys(struct mr__behaviours *to, size_t n) {
  MR_TRY(mr__grow(&to->keys, &to->keys_capacity, n, sizeof *to->keys));
  return mr__grow(&to->codes, &to->codes_capacity, n, sizeof *to->codes);
}

/* Room for so many more behaviours. */
static int reserve(struct mr__behaviours *to, const struct mr__column *column, size_t kept) {
  size_t n = to->n + kept;
  switch (column->type) {
  case MR_ID:
    return reserve_keys(to, n);
  case MR_IDS:
    return mr__grow(&to->sizes, &to->sizes_capacity, n, sizeof *to->sizes);
  default:
    return mr__grow(&to->floats, &to->floats_capacity, n * mr__column_words(column),
                    sizeof *to->floats);
  }
}

/* ---- padding ---- */

int mr__picks_start(struct mr__picks *picks, uint32_t length) {
  MR_TRY(mr__grow(&picks->index, &picks->capacity, length, sizeof *picks->index));
  if (length > 0) memset(picks->index, 0, length * sizeof *picks->index);
  picks->n = length;
  picks->n_columns = 0;
  return MR_OK;
}

void mr__picks_add_cell(struct mr__picks *picks, const struct mr__sequence *sequence,
                        struct mr__text cell) {
  const char *at = cell.at, *end = cell.at + cell.size;
  for (uint32_t i = 0; i < picks->n; i++) {
    const char *stop = memchr(at, sequence->separator, (size_t)(end - at));
    if (!stop) stop = end;
    struct mr__text piece = {at, (size_t)(stop - at)};
    picks->index[i] |= !mr__is_padding(piece, sequence->padding);
    at = stop < end ? stop + 1 : end;
  }
  picks->n_columns++;
}

void mr__picks_finish(struct mr__picks *picks) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < picks->n; i++)
    if (picks->index[i] || picks->n_columns == 0) picks->index[n++] = i;
  picks->n = n;
}

/* Have the marks of picked behaviours alone, one after another. */
static void pick_marks(struct mr__behaviours *to, const struct mr__picks *picks) {
  for (uint32_t i = 0; i < picks->n; i++)
    memmove(to->marks + 2 * (size_t)i, to->marks + 2 * (size_t)picks->index[i],
            2 * sizeof *to->marks);
}

/* Behaviour i of the cell at hand as messages count them. */
static uint32_t number_of(const struct mr__behaviours *to, uint32_t i) {
  return (to->picked ? to->picked[i] : i) + 1;
}

/* ---- values ---- */

/* Piece i of a cell that is cut at marks. */
static struct mr__text piece_at(struct mr__text cell, const uint32_t *marks, size_t i) {
  uint32_t start = marks[2 * i] + 1;
  return (struct mr__text){cell.at + start, marks[2 * i + 1] - start};
}

static void add_numbers(struct mr__behaviours *to, const struct mr__column *column,
                        struct mr__text cell, uint32_t first, uint32_t kept,
                        struct mr__bad_behaviour *bad) {
  for (uint32_t i = 0; i < kept; i++) {
    struct mr__text piece = piece_at(cell, to->marks, first + i);
    float *out = &to->floats[to->n + i];
    enum mr__number kind = mr__cell_number(column, piece, out);
    if (kind <= MR__NUMBER_MISSING) continue;
    *out = 0;
    if (bad->kind == MR__NUMBER_OK)
      *bad = (struct mr__bad_behaviour){kind, number_of(to, first + i), piece, {0}};
  }
}

static void add_vectors(struct mr__behaviours *to, const struct mr__column *column,
                        struct mr__text cell, uint32_t first, uint32_t kept,
                        struct mr__bad_behaviour *bad) {
  for (uint32_t i = 0; i < kept; i++) {
    struct mr__text piece = piece_at(cell, to->marks, first + i);
    float *out = &to->floats[(to->n + i) * (size_t)column->width];
    struct mr__bad_vector trouble;
    enum mr__number kind = mr__cell_vector(column, piece, out, &trouble);
    if (kind != MR__NUMBER_OK && bad->kind == MR__NUMBER_OK)
      *bad = (struct mr__bad_behaviour){kind, number_of(to, first + i), trouble.text, trouble};
  }
}

/* The key that stands for a behaviour's value, the `number`-th; one that is not listed may be
 * wrong. */
static uint64_t listed(const struct mr__column *column, uint64_t key, struct mr__text value,
                       uint32_t number, struct mr__bad_behaviour *bad) {
  key = mr__listed_key(column, key);
  if (key == MR__UNLISTED_KEY && column->unseen == MR_UNSEEN_ERROR && bad->kind == MR__NUMBER_OK)
    *bad = (struct mr__bad_behaviour){.kind = MR__ID_UNLISTED, .number = number, .text = value};
  return key;
}

static int add_bag(struct mr__behaviours *to, const struct mr__column *column, struct mr__text rest,
                   uint32_t *size, uint32_t number, struct mr__bad_behaviour *bad) {
  struct mr__text piece;
  uint32_t n = 0, max = column->max > 0 ? (uint32_t)column->max : UINT32_MAX;
  while (n < max && mr__next_piece(&rest, column->separator, &piece)) {
    if (mr__is_padding(piece, column->padding)) continue;
    if (to->n_keys == to->keys_capacity || to->n_keys == to->codes_capacity)
      MR_TRY(reserve_keys(to, to->n_keys + 1));
    uint64_t key = mr__key(piece.at, piece.size, column->seed);
    to->keys[to->n_keys++] = listed(column, key, piece, number, bad);
    n++;
  }
  *size = n;
  return MR_OK;
}

static int add_bags(struct mr__behaviours *to, const struct mr__column *column,
                    struct mr__text cell, uint32_t first, uint32_t kept,
                    struct mr__bad_behaviour *bad) {
  for (uint32_t i = 0; i < kept; i++)
    MR_TRY(add_bag(to, column, piece_at(cell, to->marks, first + i), &to->sizes[to->n + i],
                   number_of(to, first + i), bad));
  return MR_OK;
}

/* padding: of a behaviour that is there, as its other columns say: it is unknown. */
static void add_ids(struct mr__behaviours *to, const struct mr__column *column,
                    struct mr__text cell, uint32_t first, uint32_t kept, const char *padding,
                    struct mr__bad_behaviour *bad) {
  if (kept == 0) return;
  uint64_t *keys = to->keys + to->n;
  mr__family()->cell_keys(keys, cell.at, to->marks + 2 * first, 2, kept, column->seed);
  uint64_t none = padding ? mr__key(padding, strlen(padding), column->seed) : MR__UNKNOWN_KEY;
  for (uint32_t i = 0; padding && i < kept; i++)
    if (keys[i] == none) keys[i] = MR__UNKNOWN_KEY;
  for (uint32_t i = 0; column->n_values > 0 && i < kept; i++)
    keys[i] = listed(column, keys[i], piece_at(cell, to->marks, first + i),
                     number_of(to, first + i), bad);
}

int mr__behaviours_add(struct mr__behaviours *to, const struct mr__column *column,
                       const struct mr__sequence *sequence, struct mr__text cell, int is_one,
                       const struct mr__picks *picks, struct mr__bad_behaviour *bad) {
  uint32_t length = 0, first, kept;
  size_t keys_before = to->n_keys;
  bad->kind = MR__NUMBER_OK;
  MR_TRY(mr__grow(&to->cells, &to->cells_capacity, to->n_cells + 1, sizeof *to->cells));
  if (cell.size > 0 || is_one) {
    MR_TRY(mr__grow(&to->marks, &to->marks_capacity, MR__MOST_MARKS(cell.size), sizeof *to->marks));
    length = (uint32_t)mr__family()->split_cell(to->marks, cell.at, cell.size,
                                                (char)sequence->separator);
  }
  to->picked = picks ? picks->index : NULL;
  if (picks) pick_marks(to, picks);
  kept = mr__kept_behaviours(sequence, picks ? picks->n : length, &first);
  MR_TRY(reserve(to, column, kept));
  if (column->type == MR_IDS)
    MR_TRY(add_bags(to, column, cell, first, kept, bad));
  else if (column->type == MR_NUMBER)
    add_numbers(to, column, cell, first, kept, bad);
  else if (column->type == MR_VECTOR)
    add_vectors(to, column, cell, first, kept, bad);
  else
    add_ids(to, column, cell, first, kept, sequence->padding, bad);
  to->n += kept;
  if (column->type == MR_ID) to->n_keys = to->n;
  uint32_t keys = (uint32_t)(to->n_keys - keys_before), words;
  if (__builtin_mul_overflow(kept, mr__column_words(column), &words)) return mr__fail_memory();
  to->cells[to->n_cells++] = (struct mr__history){
      .length = length,
      .kept = kept,
      .keys = keys,
      .words = column->type == MR_IDS ? kept + keys : words,
  };
  return MR_OK;
}

uint32_t mr__count_behaviours(struct mr__text cell, int separator) {
  uint32_t n = cell.size > 0;
  for (size_t i = 0; i < cell.size; i++) n += cell.at[i] == (char)separator;
  return n;
}
