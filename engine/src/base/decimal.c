#include "base/decimal.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

/* There always is one, and it takes no memory. */
static locale_t c_locale(void) { return newlocale(LC_ALL_MASK, "C", (locale_t)0); }

double mr__decimal_double(const char *text) {
  locale_t c = c_locale();
  double value = strtod_l(text, NULL, c);
  freelocale(c);
  return value;
}

float mr__decimal_float(const char *text) {
  locale_t c = c_locale();
  float value = strtof_l(text, NULL, c);
  freelocale(c);
  return value;
}

void mr__decimal_print(char *out, size_t size, int digits, double x) {
  locale_t c = c_locale(), before = uselocale(c);
  snprintf(out, size, "%.*g", digits, x);
  uselocale(before);
  freelocale(c);
}
