#include "io/json.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/decimal.h"

enum { MOST_DEPTH = 32, MOST_VALUES = 1 << 20 };

struct cursor {
  const char *p, *end;
  int depth;
  int values;
};

static int bad(const char *what) { return mr__fail(MR_EDATA, "damaged JSON: %s", what); }

static int value(struct cursor *c, struct mr__json *out);

static int peek(struct cursor *c) {
  while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\t' || *c->p == '\r')) c->p++;
  return c->p < c->end ? (unsigned char)*c->p : -1;
}

static int expect(struct cursor *c, char wanted) {
  if (peek(c) != wanted) return bad("an unexpected character");
  c->p++;
  return MR_OK;
}

/* ---- strings ---- */

static int hex_digit(char d) {
  if (d >= '0' && d <= '9') return d - '0';
  if (d >= 'a' && d <= 'f') return d - 'a' + 10;
  if (d >= 'A' && d <= 'F') return d - 'A' + 10;
  return -1;
}

/* The four digits of \uXXXX. Only the plain characters that our writers escape come this way. */
static int unicode(struct cursor *c, char *out) {
  int code = 0;
  if (c->end - c->p < 4) return bad("it ends inside a string");
  for (int i = 0; i < 4; i++) {
    int digit = hex_digit(*c->p++);
    if (digit < 0) return bad("a broken escape");
    code = code * 16 + digit;
  }
  if (code == 0 || code > 0x7f) return bad("an escape that moonrank does not write");
  *out = (char)code;
  return MR_OK;
}

static int escape(struct cursor *c, char *out) {
  static const char from[] = "\"\\/nrtbf", to[] = "\"\\/\n\r\t\b\f";
  if (c->p >= c->end) return bad("it ends inside a string");
  char e = *c->p++;
  if (e == 'u') return unicode(c, out);
  const char *found = e ? strchr(from, e) : NULL;
  if (!found) return bad("a broken escape");
  *out = to[found - from];
  return MR_OK;
}

static int string(struct cursor *c, char **out) {
  *out = NULL;
  MR_TRY(expect(c, '"'));
  const char *stop = c->p;
  while (stop < c->end && *stop != '"') stop += *stop == '\\' ? 2 : 1;
  if (stop >= c->end) return bad("it ends inside a string");
  char *text = mr__malloc((size_t)(stop - c->p) + 1);
  if (!text) return mr__fail_memory();
  size_t n = 0;
  int status = MR_OK;
  while (status == MR_OK && c->p < stop) {
    char byte = *c->p++;
    if ((unsigned char)byte < 0x20)
      status = bad("a control character in a string");
    else if (byte == '\\')
      status = escape(c, &byte);
    text[n++] = byte;
  }
  if (status != MR_OK) {
    mr__free(text);
    return status;
  }
  c->p = stop + 1;
  text[n] = 0;
  *out = text;
  return MR_OK;
}

/* ---- numbers ---- */

static int digits(struct cursor *c) {
  int n = 0;
  while (c->p < c->end && *c->p >= '0' && *c->p <= '9') c->p++, n++;
  return n;
}

static int number(struct cursor *c, double *out) {
  const char *start = c->p;
  char copy[48];
  if (c->p < c->end && *c->p == '-') c->p++;
  const char *first = c->p;
  int whole = digits(c);
  if (whole == 0 || (whole > 1 && *first == '0')) return bad("a broken number");
  if (c->p < c->end && *c->p == '.') {
    c->p++;
    if (digits(c) == 0) return bad("a broken number");
  }
  if (c->p < c->end && (*c->p == 'e' || *c->p == 'E')) {
    c->p++;
    if (c->p < c->end && (*c->p == '+' || *c->p == '-')) c->p++;
    if (digits(c) == 0) return bad("a broken number");
  }
  size_t n = (size_t)(c->p - start);
  if (n >= sizeof copy) return bad("a number is too long");
  memcpy(copy, start, n);
  copy[n] = 0;
  *out = mr__decimal_double(copy);
  return isfinite(*out) ? MR_OK : bad("a number is too large");
}

/* ---- lists and objects ---- */

static int by_text(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted: a header may have tens of thousands of keys. */
static int check_keys(const struct mr__json *object) {
  const char **keys = mr__malloc(object->n * sizeof *keys);
  if (!keys) return mr__fail_memory();
  for (size_t i = 0; i < object->n; i++) keys[i] = object->items[i].key;
  qsort(keys, object->n, sizeof *keys, by_text);
  int twice = 0;
  for (size_t i = 1; i < object->n; i++) twice |= strcmp(keys[i - 1], keys[i]) == 0;
  mr__free(keys);
  return twice ? bad("a key is there twice") : MR_OK;
}

static int add_item(struct mr__json *parent, char *key, struct mr__json **item) {
  int status = mr__grow(&parent->items, &parent->capacity, parent->n + 1, sizeof *parent->items);
  if (status != MR_OK) {
    mr__free(key);
    return status;
  }
  *item = &parent->items[parent->n++];
  **item = (struct mr__json){.key = key};
  return MR_OK;
}

static int items(struct cursor *c, struct mr__json *out, char close) {
  if (++c->depth > MOST_DEPTH) return bad("it is nested too deeply");
  c->p++;
  if (peek(c) == close) {
    c->p++;
    c->depth--;
    return MR_OK;
  }
  for (;;) {
    char *key = NULL;
    struct mr__json *item = NULL;
    if (out->kind == MR__OBJECT) {
      MR_TRY(string(c, &key));
      int status = expect(c, ':');
      if (status != MR_OK) mr__free(key);
      MR_TRY(status);
    }
    MR_TRY(add_item(out, key, &item));
    MR_TRY(value(c, item));
    if (peek(c) != ',') break;
    c->p++;
  }
  c->depth--;
  MR_TRY(expect(c, close));
  return out->kind == MR__OBJECT ? check_keys(out) : MR_OK;
}

static int word(struct cursor *c, const char *text) {
  size_t n = strlen(text);
  if ((size_t)(c->end - c->p) < n || memcmp(c->p, text, n) != 0) return bad("an unknown word");
  c->p += n;
  return MR_OK;
}

static int value(struct cursor *c, struct mr__json *out) {
  if (++c->values > MOST_VALUES) return bad("it has too many values");
  switch (peek(c)) {
    case '{': out->kind = MR__OBJECT; return items(c, out, '}');
    case '[': out->kind = MR__LIST; return items(c, out, ']');
    case '"': out->kind = MR__STRING; return string(c, &out->text);
    case 't': out->kind = MR__TRUE; return word(c, "true");
    case 'f': out->kind = MR__FALSE; return word(c, "false");
    case 'n': out->kind = MR__NULL; return word(c, "null");
    default: out->kind = MR__NUMBER_VALUE; return number(c, &out->number);
  }
}

int mr__json_parse(struct mr__json *out, const char *text, size_t size) {
  struct cursor c = {.p = text, .end = text + size};
  *out = (struct mr__json){0};
  MR_TRY(value(&c, out));
  return peek(&c) == -1 ? MR_OK : bad("something follows its end");
}

void mr__json_clear(struct mr__json *value) {
  for (size_t i = 0; i < value->n; i++) mr__json_clear(&value->items[i]);
  mr__free(value->items);
  mr__free(value->text);
  mr__free(value->key);
  *value = (struct mr__json){0};
}

/* ---- looking things up ---- */

const struct mr__json *mr__json_get(const struct mr__json *object, const char *key) {
  for (size_t i = 0; object->kind == MR__OBJECT && i < object->n; i++)
    if (strcmp(object->items[i].key, key) == 0) return &object->items[i];
  return NULL;
}

int mr__json_member(const struct mr__json *object, const char *key, enum mr__json_kind kind,
                    const struct mr__json **out) {
  *out = mr__json_get(object, key);
  if (!*out) return mr__fail(MR_EDATA, "\"%s\" is missing", key);
  if ((*out)->kind != kind) return mr__fail(MR_EDATA, "\"%s\" is of the wrong kind", key);
  return MR_OK;
}

int mr__json_text(const struct mr__json *object, const char *key, const char **out) {
  const struct mr__json *member;
  *out = NULL;
  MR_TRY(mr__json_member(object, key, MR__STRING, &member));
  *out = member->text;
  return MR_OK;
}

int mr__json_as_whole(const struct mr__json *value, int64_t least, int64_t most, int64_t *out) {
  if (value->kind != MR__NUMBER_VALUE || value->number != floor(value->number) ||
      fabs(value->number) > 0x1p53 || (int64_t)value->number < least ||
      (int64_t)value->number > most)
    return mr__fail(MR_EDATA, "a number is not whole or out of range");
  *out = (int64_t)value->number;
  return MR_OK;
}

int mr__json_whole(const struct mr__json *object, const char *key, int64_t least, int64_t most,
                   int64_t *out) {
  const struct mr__json *member;
  *out = 0;
  MR_TRY(mr__json_member(object, key, MR__NUMBER_VALUE, &member));
  int status = mr__json_as_whole(member, least, most, out);
  return status == MR_OK ? MR_OK : mr__fail_at(status, "\"%s\"", key);
}

/* ---- writing ---- */

void mr__string_clear(struct mr__string *text) {
  mr__free(text->p);
  *text = (struct mr__string){0};
}

void mr__put(struct mr__string *text, const char *bytes, size_t n) {
  if (text->status != MR_OK) return;
  text->status = mr__grow(&text->p, &text->capacity, text->n + n + 1, 1);
  if (text->status != MR_OK) return;
  memcpy(text->p + text->n, bytes, n);
  text->n += n;
  text->p[text->n] = 0;
}

void mr__puts(struct mr__string *text, const char *words) { mr__put(text, words, strlen(words)); }

void mr__putf(struct mr__string *text, const char *format, ...) {
  char buffer[512];
  va_list args;
  va_start(args, format);
  vsnprintf(buffer, sizeof buffer, format, args);
  va_end(args);
  mr__puts(text, buffer);
}

void mr__put_string(struct mr__string *text, const char *string) {
  mr__puts(text, "\"");
  for (; *string; string++) {
    unsigned char c = (unsigned char)*string;
    if (c == '"' || c == '\\')
      mr__putf(text, "\\%c", c);
    else if (c < 0x20)
      mr__putf(text, "\\u%04x", c);
    else
      mr__put(text, string, 1);
  }
  mr__puts(text, "\"");
}

void mr__put_number(struct mr__string *text, double x) {
  char buffer[40];
  if (x == floor(x) && fabs(x) < 0x1p53) { /* as people write whole numbers: 100, not 1e+02 */
    mr__putf(text, "%.0f", x);
    return;
  }
  for (int digits_used = 1; digits_used <= 17; digits_used++) {
    mr__decimal_print(buffer, sizeof buffer, digits_used, x);
    if (mr__decimal_double(buffer) == x) break;
  }
  mr__puts(text, buffer);
}
