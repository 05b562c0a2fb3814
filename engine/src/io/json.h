/* JSON as the engine reads it: strict, one tree, at most 2^20 values and 32 levels. Strings hold no
 * NUL and no control character; an object's keys are all different. */
#ifndef MR_IO_JSON_H
#define MR_IO_JSON_H

#include <stddef.h>

#include "base/status.h"

enum mr__json_kind {
  MR__NULL,
  MR__FALSE,
  MR__TRUE,
  MR__NUMBER_VALUE,
  MR__STRING,
  MR__LIST,
  MR__OBJECT
};

struct mr__json {
  enum mr__json_kind kind;
  double number;
  char *text;             /* MR__STRING */
  char *key;              /* of a member of an object */
  struct mr__json *items; /* MR__LIST, MR__OBJECT: in the order of the text */
  size_t n, capacity;
};

/* Read a whole text. Freed with mr__json_clear, also after a failure. */
int mr__json_parse(struct mr__json *out, const char *text, size_t size);
void mr__json_clear(struct mr__json *value);

/* A member, or NULL. */
const struct mr__json *mr__json_get(const struct mr__json *object, const char *key);

/* A member of a wanted kind; MR_EDATA names the key when it is missing or of another kind. */
int mr__json_member(const struct mr__json *object, const char *key, enum mr__json_kind kind,
                    const struct mr__json **out);
int mr__json_text(const struct mr__json *object, const char *key, const char **out);
/* A whole number from `least` to `most`, at most 2^53. */
int mr__json_whole(const struct mr__json *object, const char *key, int64_t least, int64_t most,
                   int64_t *out);
int mr__json_as_whole(const struct mr__json *value, int64_t least, int64_t most, int64_t *out);

/* ---- writing ---- */

/* A text that grows. (mr__text is one that lies somewhere, data/cell.h.) Errors stick: check
 * `status` once at the end. */
struct mr__string {
  char *p;
  size_t n, capacity;
  int status;
};

void mr__string_clear(struct mr__string *text);
void mr__put(struct mr__string *text, const char *bytes, size_t n);
void mr__puts(struct mr__string *text, const char *words);
void mr__putf(struct mr__string *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void mr__put_string(struct mr__string *text, const char *string); /* quoted and escaped */
void mr__put_number(struct mr__string *text, double x); /* the shortest that reads back the same */

#endif
