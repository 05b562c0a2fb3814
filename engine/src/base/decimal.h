/* Numbers as texts with a decimal point, whatever the locale of the program that the engine is a
 * part of: strtod and snprintf follow it, and files must not. */
#ifndef MR_BASE_DECIMAL_H
#define MR_BASE_DECIMAL_H

#include <stddef.h>

/* The nearest to a text that is a number. */
double mr__decimal_double(const char *text);
float mr__decimal_float(const char *text);

/* As snprintf of "%.*g", with so many digits. */
void mr__decimal_print(char *out, size_t size, int digits, double x);

#endif
