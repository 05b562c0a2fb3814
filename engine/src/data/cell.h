/* One cell of text and what it means: the rules that training and serving share. */
#ifndef MR_DATA_CELL_H
#define MR_DATA_CELL_H

#include <string.h>

#include "data/schema.h"

struct mr__text {
  const char *at;
  size_t size;
};

static inline int mr__text_is(struct mr__text text, const char *word) {
  return text.size == strlen(word) && memcmp(text.at, word, text.size) == 0;
}

static inline int mr__same_text(struct mr__text a, struct mr__text b) {
  return a.size == b.size && memcmp(a.at, b.at, a.size) == 0;
}

/* Where a cell ends: at the next delimiter or newline outside quotes, or at `end`. */
const char *mr__cell_end(const char *at, const char *end, int delimiter, int quotes);

/* What is wrong with the quotes of a cell by RFC 4180, or NULL. */
const char *mr__quote_trouble(struct mr__text raw);

/* Copy what a cell says, without its quotes; `out` has room for raw.size. Returns the size. */
size_t mr__unquote(char *out, struct mr__text raw);

/* What a cell says whose quotes are right: a part of it, or unquoted in `out`, which has room for
 * raw.size. */
struct mr__text mr__unquoted(char *out, struct mr__text raw);

/* What a cell of an MR_NUMBER or MR_BUCKET column turned out to be, or a value of another one. */
enum mr__number {
  MR__NUMBER_OK,
  MR__NUMBER_MISSING, /* empty, "nan" or "NaN": the column's `missing` value stands in */
  MR__NUMBER_BAD,     /* not a number at all */
  MR__NUMBER_HUGE,    /* infinite, or beyond FLT_MAX */
  MR__NUMBER_COUNT,   /* of an MR_VECTOR column: not as many numbers as its width */
  MR__ID_UNLISTED     /* an id that the column does not list, where that is wrong */
};

/* The rest of the sentence that begins with a value which a column does not list: "none of a,
 * b". */
enum { MR__LIST_BYTES = 200 };
const char *mr__list_phrase(char out[MR__LIST_BYTES], const struct mr__column *column);

/* What is said of text that is MR__NUMBER_BAD or MR__NUMBER_HUGE. */
static inline const char *mr__number_trouble(enum mr__number kind) {
  return kind == MR__NUMBER_HUGE ? "too large for a float" : "not a number";
}

/* The float nearest to the decimal number in `text`, ties to even, whatever the locale. The whole
 * text must be the number, blanks around it aside, and not hexadecimal. Never -0. */
enum mr__number mr__parse_number(struct mr__text text, float *out);

/* As mr__parse_number, with the column's missing value, clipping and transform applied; NaN where a
 * number is missing whose value is not given. What is fitted comes on top (data/fit.h). */
enum mr__number mr__cell_number(const struct mr__column *column, struct mr__text text, float *out);

/* The same of a number that a program gives instead of a text: NaN is a missing one. */
enum mr__number mr__given_number(const struct mr__column *column, float value, float *out);

/* What is wrong with the numbers of a vector. */
struct mr__bad_vector {
  enum mr__number kind; /* MR__NUMBER_OK: nothing; else the first _BAD or _HUGE, or _COUNT */
  uint32_t number;      /* from 1; with _COUNT how many there are */
  struct mr__text text; /* of that number; with _COUNT of all */
};

/* A cell of an MR_VECTOR column: as many numbers as it is wide, the column's separator in between,
 * or nothing, which is zeros. A number that is empty or NaN is _BAD. `out` [width] is zeros where
 * the kind that is returned, as in `bad`, is not MR__NUMBER_OK. */
enum mr__number mr__cell_vector(const struct mr__column *column, struct mr__text text, float *out,
                                struct mr__bad_vector *bad);

/* The message for that: number 2, "x", is not a number. */
void mr__describe_vector(char *out, size_t size, const struct mr__column *column,
                         const struct mr__bad_vector *bad);

/* A number of seconds as a double; returns 0 where the text is no finite number. */
int mr__cell_time(struct mr__text text, double *out);

/* 0 to 1e9; returns 0 where the text is anything else. */
int mr__cell_weight(struct mr__text text, float *out);

/* 0 or 1, by the column's values or least where it has them; returns 0 where the text is no
 * label. */
int mr__cell_label(const struct mr__column *column, struct mr__text text, float *out);

/* What it should be, in words. */
const char *mr__label_phrase(const struct mr__column *column);

/* The next value of an MR_IDS cell: skips empty pieces, returns 0 at the end of the cell. `rest`
 * starts as the whole cell and is moved on. */
int mr__next_piece(struct mr__text *rest, int separator, struct mr__text *piece);

/* The same of values whose weights stand in a cell beside, at the same places; both are moved
 * on. */
int mr__next_weighted(struct mr__text *rest, struct mr__text *weights, int separator,
                      struct mr__text *piece, struct mr__text *weight);

/* Whether a text is the padding of a list, which may have none (NULL). */
static inline int mr__is_padding(struct mr__text text, const char *padding) {
  return padding && mr__text_is(text, padding);
}

/* The key that stands for a value of ids: MR__UNLISTED_KEY where it counts as unlisted. */
static inline uint64_t mr__value_key(const struct mr__column *column, struct mr__text value) {
  return mr__listed_key(column, mr__key(value.at, value.size, column->seed));
}

/* Take the weight off a value that has one, behind the last separator; `weight` is {NULL, 0} where
 * there is none, or no value before it. */
void mr__cut_weight(struct mr__text *piece, int separator, struct mr__text *weight);

/* -1e9 to 1e9; returns 0 where the text is anything else. */
int mr__value_weight(struct mr__text weight, float *out);

/* The message for that: weight "x" of "a" is no number from -1e9 to 1e9. */
void mr__describe_weight(char *out, size_t size, const struct mr__column *column,
                         struct mr__text piece, struct mr__text weight);

/* A cell as error messages show it: at most 40 bytes, cut between UTF-8 characters, and nothing
 * that would break the line or the terminal. */
enum { MR__EXCERPT_BYTES = 48 };
const char *mr__excerpt(char out[MR__EXCERPT_BYTES], struct mr__text text);

#endif
