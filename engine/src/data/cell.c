/* Numbers, labels and bags from text.
 *
 * Most numbers take the path of Clinger (1990): a mantissa below 2^53 times or over a power of ten
 * up to 10^22 is one correctly rounded double. Rounding that double to float is right too, unless
 * it lies exactly between two floats or below the normal range; those, and numbers with more
 * digits, are left to strtof on a copy in canonical form. */
#include "data/cell.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/decimal.h"

const char *mr__cell_end(const char *at, const char *end, int delimiter, int quotes) {
  int inside = 0;
  for (; at < end; at++) {
    inside ^= quotes && *at == '"';
    if (!inside && (*at == (char)delimiter || *at == '\n')) break;
  }
  return at;
}

const char *mr__quote_trouble(struct mr__text raw) {
  static const char stray[] = "a quote inside a cell that does not start with one";
  const char *p = raw.at, *end = raw.at + raw.size;
  if (p == end || *p != '"') return raw.size && memchr(p, '"', raw.size) ? stray : NULL;
  for (p++; p < end; p += 2) {
    p = memchr(p, '"', (size_t)(end - p));
    if (!p) break;
    if (p + 1 == end) return NULL;
    if (p[1] != '"') return "text after the closing quote of a cell";
  }
  return "a quoted cell is not closed";
}

size_t mr__unquote(char *out, struct mr__text raw) {
  if (raw.size < 2 || *raw.at != '"') {
    memcpy(out, raw.at, raw.size);
    return raw.size;
  }
  size_t size = 0;
  for (const char *p = raw.at + 1, *last = raw.at + raw.size - 1; p < last; p++) {
    out[size++] = *p;
    p += *p == '"'; /* the second of a doubled quote */
  }
  return size;
}

struct mr__text mr__unquoted(char *out, struct mr__text raw) {
  if (raw.size == 0 || *raw.at != '"') return raw;
  struct mr__text inner = {raw.at + 1, raw.size - 2};
  if (!memchr(inner.at, '"', inner.size)) return inner;
  return (struct mr__text){out, mr__unquote(out, raw)};
}

/* A number taken apart. Of `digits` only those after leading zeros count. */
struct decimal {
  int negative;
  const char *digits, *digits_end; /* may hold one point */
  uint64_t mantissa;               /* the first 18 digits that count */
  int n_digits;                    /* digits that count, the dropped ones included */
  int64_t exponent;                /* of ten, for the mantissa */
};

enum { MANTISSA_DIGITS = 18, EXPONENT_LIMIT = 1000000 };

static int is_digit(char c) { return (unsigned char)(c - '0') < 10; }

static const char *take_digits(struct decimal *number, const char *p, const char *end,
                               int after_point) {
  for (; p < end && is_digit(*p); p++) {
    if (number->n_digits < MANTISSA_DIGITS) {
      number->mantissa = number->mantissa * 10 + (uint64_t)(*p - '0');
      number->n_digits += number->mantissa != 0;
      number->exponent -= after_point;
    } else {
      number->n_digits += number->n_digits < EXPONENT_LIMIT;
      number->exponent += !after_point;
    }
  }
  return p;
}

/* Returns 0 when p..end is not an optional sign and digits. */
static int take_exponent(struct decimal *number, const char *p, const char *end) {
  int negative = p < end && *p == '-';
  if (p < end && (*p == '-' || *p == '+')) p++;
  if (p == end) return 0;
  int64_t value = 0;
  for (; p < end && is_digit(*p); p++)
    if (value < EXPONENT_LIMIT) value = value * 10 + (*p - '0');
  number->exponent += negative ? -value : value;
  return p == end;
}

static int take_apart(struct decimal *number, struct mr__text text) {
  const char *p = text.at, *end = text.at + text.size;
  *number = (struct decimal){.negative = p < end && *p == '-'};
  if (p < end && (*p == '-' || *p == '+')) p++;
  number->digits = p;
  p = take_digits(number, p, end, 0);
  int has_point = p < end && *p == '.';
  if (has_point) p = take_digits(number, p + 1, end, 1);
  number->digits_end = p;
  if (p - number->digits - has_point < 1) return 0;
  if (p < end && (*p == 'e' || *p == 'E')) return take_exponent(number, p + 1, end);
  return p == end;
}

/* 1 and a value when one double operation gives the nearest float for certain. */
static int quick_value(const struct decimal *number, float *out) {
  static const double power_of_ten[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                        1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                        1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  if (number->n_digits > MANTISSA_DIGITS || number->mantissa > (uint64_t)1 << 53 ||
      number->exponent < -22 || number->exponent > 22)
    return 0;
  double value = (double)number->mantissa;
  if (number->exponent < 0) value /= power_of_ten[-number->exponent];
  if (number->exponent > 0) value *= power_of_ten[number->exponent];
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  int between_two_floats = (bits & 0x1FFFFFFF) == 0x10000000;
  if (between_two_floats || value > FLT_MAX || (value < FLT_MIN && value != 0)) return 0;
  *out = (float)value;
  return 1;
}

enum { KEPT = 120, WRITTEN = KEPT + 32 };

/* The same number as "digits e exponent". Halfway cases of float have at most 112
 * digits, so 120 of them and one that stands for all others decide every rounding. Returns 0 for
 * zero. */
static int write_value(const struct decimal *number, char text[WRITTEN]) {
  int n = 0, dropped = 0;
  int64_t exponent = number->exponent;
  for (const char *p = number->digits; p < number->digits_end; p++) {
    if (*p == '.' || (n == 0 && *p == '0')) continue;
    if (n < KEPT)
      text[n++] = *p;
    else
      dropped |= *p != '0';
  }
  if (n == 0) return 0;
  /* The exponent belongs to the first 18 digits; it is lower for each more that is written. */
  if (n > MANTISSA_DIGITS) exponent -= n - MANTISSA_DIGITS;
  if (dropped) text[n++] = '1', exponent--;
  if (exponent > EXPONENT_LIMIT) exponent = EXPONENT_LIMIT;
  if (exponent < -EXPONENT_LIMIT) exponent = -EXPONENT_LIMIT;
  snprintf(text + n, WRITTEN - (size_t)n, "e%d", (int)exponent);
  return 1;
}

static float careful_value(const struct decimal *number) {
  char text[WRITTEN];
  if (!write_value(number, text)) return 0;
  return mr__decimal_float(text);
}

static int is_infinite(struct mr__text text) {
  if (text.size && (*text.at == '-' || *text.at == '+')) text.at++, text.size--;
  return mr__text_is(text, "inf") || mr__text_is(text, "Inf") || mr__text_is(text, "INF") ||
         mr__text_is(text, "infinity") || mr__text_is(text, "Infinity");
}

/* Most numbers are counts: up to nine digits and nothing else, rounded once on the way to float. */
static int take_count(struct mr__text text, float *out) {
  uint32_t value = 0;
  if (text.size > 9) return 0;
  for (size_t i = 0; i < text.size; i++) {
    if (!is_digit(text.at[i])) return 0;
    value = value * 10 + (uint32_t)(text.at[i] - '0');
  }
  *out = (float)value;
  return 1;
}

static struct mr__text without_blanks(struct mr__text text) {
  while (text.size > 0 && *text.at == ' ') text.at++, text.size--;
  while (text.size > 0 && text.at[text.size - 1] == ' ') text.size--;
  return text;
}

enum mr__number mr__parse_number(struct mr__text text, float *out) {
  if (text.size == 0) return MR__NUMBER_MISSING;
  if (take_count(text, out)) return MR__NUMBER_OK;
  struct decimal number;
  text = without_blanks(text);
  if (text.size == 0) return MR__NUMBER_MISSING;
  if (!take_apart(&number, text)) {
    if (mr__text_is(text, "nan") || mr__text_is(text, "NaN")) return MR__NUMBER_MISSING;
    return is_infinite(text) ? MR__NUMBER_HUGE : MR__NUMBER_BAD;
  }
  float value;
  if (!quick_value(&number, &value)) value = careful_value(&number);
  if (value > FLT_MAX) return MR__NUMBER_HUGE;
  *out = number.negative && value != 0 ? -value : value;
  return MR__NUMBER_OK;
}

static float transform(const struct mr__column *column, float value) {
  if (column->clips) value = value < column->least ? column->least : value;
  if (column->clips) value = value > column->most ? column->most : value;
  if (column->transform != MR_LOG1P) return value;
  /* In double, so that the float is the same whichever C library computes it. */
  double size = log1p(fabs((double)value));
  return (float)(value < 0 ? -size : size);
}

static float missing_value(const struct mr__column *column) {
  return column->when_missing == MR_MISSING_VALUE ? column->missing : NAN;
}

enum mr__number mr__cell_number(const struct mr__column *column, struct mr__text text, float *out) {
  float value = missing_value(column);
  enum mr__number kind = mr__parse_number(text, &value);
  if (kind <= MR__NUMBER_MISSING) *out = transform(column, value);
  return kind;
}

enum mr__number mr__given_number(const struct mr__column *column, float value, float *out) {
  if (isinf(value)) return MR__NUMBER_HUGE;
  int missing = isnan(value);
  *out = transform(column, missing ? missing_value(column) : value);
  return missing ? MR__NUMBER_MISSING : MR__NUMBER_OK;
}

static enum mr__number bad_vector(const struct mr__column *column, float *out,
                                  struct mr__bad_vector *bad) {
  memset(out, 0, (size_t)column->width * sizeof *out);
  return bad->kind;
}

enum mr__number mr__cell_vector(const struct mr__column *column, struct mr__text text, float *out,
                                struct mr__bad_vector *bad) {
  uint32_t n = 0, width = (uint32_t)column->width;
  *bad = (struct mr__bad_vector){.kind = MR__NUMBER_OK};
  if (text.size == 0) return bad_vector(column, out, bad);
  for (const char *at = text.at, *end = text.at + text.size, *stop; at <= end; at = stop + 1, n++) {
    stop = memchr(at, column->separator, (size_t)(end - at));
    if (!stop) stop = end;
    struct mr__text piece = {at, (size_t)(stop - at)};
    if (n >= width || bad->kind != MR__NUMBER_OK) continue;
    enum mr__number kind = mr__parse_number(piece, &out[n]);
    if (kind == MR__NUMBER_MISSING) kind = MR__NUMBER_BAD;
    if (kind != MR__NUMBER_OK) *bad = (struct mr__bad_vector){kind, n + 1, piece};
  }
  if (n != width) *bad = (struct mr__bad_vector){MR__NUMBER_COUNT, n, text};
  return bad->kind == MR__NUMBER_OK ? MR__NUMBER_OK : bad_vector(column, out, bad);
}

void mr__describe_vector(char *out, size_t size, const struct mr__column *column,
                         const struct mr__bad_vector *bad) {
  char shown[MR__EXCERPT_BYTES];
  if (bad->kind == MR__NUMBER_COUNT)
    snprintf(out, size, "%u number%s, expected %d", bad->number, bad->number == 1 ? "" : "s",
             column->width);
  else
    snprintf(out, size, "number %u, \"%s\", is %s", bad->number, mr__excerpt(shown, bad->text),
             mr__number_trouble(bad->kind));
}

int mr__cell_time(struct mr__text text, double *out) {
  struct decimal number;
  char written[WRITTEN];
  *out = 0;
  if (!take_apart(&number, without_blanks(text))) return 0;
  if (number.exponent == 0 && number.n_digits <= 15) { /* whole seconds, exact */
    *out = (double)number.mantissa * (number.negative ? -1 : 1);
    return 1;
  }
  if (!write_value(&number, written)) return 1;
  double value = mr__decimal_double(written);
  *out = number.negative ? -value : value;
  return isfinite(value) != 0;
}

int mr__cell_weight(struct mr__text text, float *out) {
  return mr__parse_number(text, out) == MR__NUMBER_OK && *out >= 0 && *out <= 1e9F;
}

int mr__cell_label(const struct mr__column *column, struct mr__text text, float *out) {
  if (column->n_values > 0) {
    *out = mr__value_key(column, text) == MR__UNLISTED_KEY ? 0.0f : 1.0f;
    return text.size > 0;
  }
  if (column->clips) {
    float number = 0;
    enum mr__number kind = mr__parse_number(text, &number);
    *out = number >= column->least ? 1.0f : 0.0f;
    return kind == MR__NUMBER_OK;
  }
  if (text.size == 1 && (*text.at == '0' || *text.at == '1')) {
    *out = (float)(*text.at - '0');
    return 1;
  }
  return mr__parse_number(text, out) == MR__NUMBER_OK && (*out == 0 || *out == 1);
}

const char *mr__label_phrase(const struct mr__column *column) {
  return column->n_values > 0 ? "a text" : column->clips ? "a number" : "0 or 1";
}

/* What stands up to the next separator, which may be nothing. */
static struct mr__text cut_piece(struct mr__text *rest, int separator) {
  const char *stop = rest->size > 0 ? memchr(rest->at, separator, rest->size) : NULL;
  struct mr__text piece = {rest->at, stop ? (size_t)(stop - rest->at) : rest->size};
  size_t step = stop ? piece.size + 1 : piece.size;
  rest->at += step;
  rest->size -= step;
  return piece;
}

int mr__next_piece(struct mr__text *rest, int separator, struct mr__text *piece) {
  while (rest->size > 0) {
    *piece = cut_piece(rest, separator);
    if (piece->size > 0) return 1;
  }
  return 0;
}

int mr__next_weighted(struct mr__text *rest, struct mr__text *weights, int separator,
                      struct mr__text *piece, struct mr__text *weight) {
  while (rest->size > 0) {
    *piece = cut_piece(rest, separator);
    *weight = cut_piece(weights, separator);
    if (piece->size > 0) return 1;
  }
  return 0;
}

void mr__cut_weight(struct mr__text *piece, int separator, struct mr__text *weight) {
  size_t n = piece->size;
  while (n > 0 && piece->at[n - 1] != (char)separator) n--;
  *weight = (struct mr__text){NULL, 0};
  if (n < 2) return;
  *weight = (struct mr__text){piece->at + n, piece->size - n};
  piece->size = n - 1;
}

int mr__value_weight(struct mr__text weight, float *out) {
  *out = 0;
  if (!weight.at || mr__parse_number(weight, out) != MR__NUMBER_OK) return 0;
  return *out >= -1e9f && *out <= 1e9f;
}

void mr__describe_weight(char *out, size_t size, const struct mr__column *column,
                         struct mr__text piece, struct mr__text weight) {
  char value[MR__EXCERPT_BYTES], shown[MR__EXCERPT_BYTES];
  mr__excerpt(value, piece);
  if (weight.at)
    snprintf(out, size, "weight \"%s\" of \"%s\" is no number from -1e9 to 1e9",
             mr__excerpt(shown, weight), value);
  else
    snprintf(out, size, "\"%s\" is not value%cweight", value, column->weight_separator);
}

const char *mr__list_phrase(char out[MR__LIST_BYTES], const struct mr__column *column) {
  size_t size = (size_t)snprintf(out, MR__LIST_BYTES, "none of");
  for (int i = 0; i < column->n_values; i++) {
    char shown[MR__EXCERPT_BYTES];
    mr__excerpt(shown, (struct mr__text){column->values[i], strlen(column->values[i])});
    size += (size_t)snprintf(out + size, MR__LIST_BYTES - size, "%s %s", i ? "," : "", shown);
    if (size < MR__LIST_BYTES) continue;
    snprintf(out, MR__LIST_BYTES, "none of the %d values listed", column->n_values);
    break;
  }
  return out;
}

const char *mr__excerpt(char out[MR__EXCERPT_BYTES], struct mr__text text) {
  enum { SHOWN = 40 };
  size_t size = text.size;
  if (size > SHOWN) {
    size = SHOWN;
    while (size > SHOWN - 4 && ((unsigned char)text.at[size] & 0xC0) == 0x80) size--;
  }
  for (size_t i = 0; i < size; i++) {
    unsigned char c = (unsigned char)text.at[i];
    out[i] = text.at[i];
    if (c < 32 || c == 127) out[i] = '?';
  }
  snprintf(out + size, MR__EXCERPT_BYTES - size, "%s", text.size > size ? "..." : "");
  return out;
}
