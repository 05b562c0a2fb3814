#include "data/fit.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/decimal.h"
#include "base/hash.h"

enum { LEVELS = 48 };

/* Numbers of level l stand for 2^l each. */
struct sketch {
  float *level[LEVELS];
  int32_t n[LEVELS];
  unsigned char second[LEVELS]; /* which of each two goes on next time */
};

struct column_fit {
  int64_t n;
  double mean, squares; /* Welford 1962 */
  struct sketch *sketch;
};

struct mr__fit {
  size_t n_columns;
  struct column_fit *columns;
};

/* ---- what is fitted ---- */

int mr__column_fits(const struct mr__column *column) {
  return column->normalize || column->buckets > 0 || column->when_missing == MR_MISSING_MEAN;
}

int mr__schema_fits(const mr_schema *schema) {
  for (size_t c = 0; c < schema->n_columns; c++)
    if (mr__column_fits(&schema->columns[c])) return 1;
  return 0;
}

int mr__schema_crosses_unfitted(const mr_schema *schema) {
  for (size_t c = 0; c < schema->n_columns; c++)
    for (int k = 0; k < schema->columns[c].n_parts; k++) {
      const struct mr__column *part = &schema->columns[schema->columns[c].parts[k]];
      if (mr__column_fits(part) && !part->is_fitted) return 1;
    }
  return 0;
}

void mr__schema_unfit(mr_schema *schema) {
  for (size_t c = 0; c < schema->n_columns; c++) schema->columns[c].is_fitted = 0;
}

const struct mr__column *mr__schema_unfitted(const mr_schema *schema) {
  for (size_t c = 0; c < schema->n_columns; c++)
    if (mr__column_fits(&schema->columns[c]) && !schema->columns[c].is_fitted)
      return &schema->columns[c];
  return NULL;
}

int mr__fail_unfitted(const struct mr__column *column) {
  return mr__fail(MR_EINVAL, "column \"%s\" is not fitted: build the training data first",
                  column->name);
}

int mr__same_transform(const struct mr__column *a, const struct mr__column *b) {
  return a->when_missing == b->when_missing && a->missing == b->missing && a->clips == b->clips &&
         a->least == b->least && a->most == b->most && a->transform == b->transform &&
         a->normalize == b->normalize && a->buckets == b->buckets && a->is_fitted == b->is_fitted &&
         a->mean == b->mean && a->deviation == b->deviation && a->n_bounds == b->n_bounds &&
         (a->n_bounds == 0 ||
          memcmp(a->bounds, b->bounds, (size_t)a->n_bounds * sizeof *a->bounds) == 0);
}

float mr__fitted_number(const struct mr__column *column, float stored) {
  if (!column->normalize) return isnan(stored) ? (float)column->mean : stored;
  double number = isnan(stored) ? 0 : ((double)stored - column->mean) / column->deviation;
  /* Data that was not fitted to may lie anywhere. */
  return (float)fmax(-(double)FLT_MAX, fmin(number, (double)FLT_MAX));
}

int mr__buckets(const struct mr__column *column) { return column->n_bounds + 2; }

int mr__bucket_of(const struct mr__column *column, float stored) {
  if (isnan(stored)) return column->n_bounds + 1;
  int low = 0, high = column->n_bounds;
  while (low < high) {
    int middle = (low + high) / 2;
    if (column->bounds[middle] <= stored)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

int mr__bucket_of_text(const struct mr__column *column, struct mr__text text) {
  float stored = 0;
  mr__cell_number(column, text, &stored);
  return mr__bucket_of(column, stored);
}

uint64_t mr__cell_key(const struct mr__column *column, struct mr__text text) {
  return column->type == MR_BUCKET ? mr__bucket_key(column, mr__bucket_of_text(column, text))
                                   : mr__value_key(column, text);
}

uint64_t mr__bucket_key(const struct mr__column *column, int bucket) {
  static const char missing[] = "missing";
  char text[8], *at = text + sizeof text;
  if (bucket > column->n_bounds) return mr__key(missing, sizeof missing - 1, column->seed);
  do *--at = (char)('0' + bucket % 10); /* of each candidate: without snprintf */
  while (bucket /= 10);
  return mr__key(at, (size_t)(text + sizeof text - at), column->seed);
}

enum { BOUND_BYTES = 32 };

/* A bound as it is before the transform. */
static const char *write_bound(char out[BOUND_BYTES], const struct mr__column *column, int i) {
  double bound = (double)column->bounds[i];
  if (column->transform == MR_LOG1P) bound = bound < 0 ? -expm1(-bound) : expm1(bound);
  mr__decimal_print(out, BOUND_BYTES, 6, bound);
  return out;
}

void mr__bucket_name(char *out, size_t size, const struct mr__column *column, int bucket) {
  char low[BOUND_BYTES], high[BOUND_BYTES];
  if (bucket > column->n_bounds)
    snprintf(out, size, "missing");
  else if (column->n_bounds == 0)
    snprintf(out, size, "any");
  else if (bucket == 0)
    snprintf(out, size, "below %s", write_bound(high, column, 0));
  else if (bucket == column->n_bounds)
    snprintf(out, size, "%s or more", write_bound(low, column, bucket - 1));
  else
    snprintf(out, size, "%s to %s", write_bound(low, column, bucket - 1),
             write_bound(high, column, bucket));
}

int mr__column_set_fitted(struct mr__column *column, double mean, double deviation,
                          const float *bounds, int n_bounds) {
  int fits = isfinite(mean) && isfinite(deviation) && deviation > 0 && n_bounds >= 0 &&
             n_bounds < (column->buckets > 0 ? column->buckets : 1);
  for (int i = 0; fits && i < n_bounds; i++)
    fits = isfinite(bounds[i]) && (i == 0 || bounds[i - 1] < bounds[i]);
  if (!fits)
    return mr__fail(MR_EDATA, "column \"%s\": what was fitted to its numbers is damaged",
                    column->name);
  float *copy = mr__calloc((size_t)n_bounds, sizeof *copy);
  if (!copy) return mr__fail_memory();
  if (n_bounds > 0) memcpy(copy, bounds, (size_t)n_bounds * sizeof *copy);
  mr__free(column->bounds);
  column->bounds = copy;
  column->n_bounds = n_bounds;
  column->mean = mean;
  column->deviation = deviation;
  column->is_fitted = 1;
  return MR_OK;
}

/* ---- as bytes: for each column that fits double mean, deviation, n_bounds, float [buckets] ----
 */

enum { NUMBERS = 3 };

static size_t column_bytes(const struct mr__column *column) {
  return NUMBERS * sizeof(double) + ((size_t)column->buckets + 1) / 2 * 8;
}

size_t mr__fitted_bytes(const mr_schema *schema) {
  size_t bytes = 0;
  for (size_t c = 0; c < schema->n_columns; c++)
    if (mr__column_fits(&schema->columns[c])) bytes += column_bytes(&schema->columns[c]);
  return bytes;
}

void mr__fitted_write(const mr_schema *schema, char *out) {
  for (size_t c = 0; c < schema->n_columns; c++) {
    const struct mr__column *column = &schema->columns[c];
    if (!mr__column_fits(column)) continue;
    double numbers[NUMBERS] = {column->mean, column->deviation, (double)column->n_bounds};
    memset(out, 0, column_bytes(column));
    memcpy(out, numbers, sizeof numbers);
    if (column->n_bounds > 0)
      memcpy(out + sizeof numbers, column->bounds, (size_t)column->n_bounds * sizeof(float));
    out += column_bytes(column);
  }
}

static int read_column(struct mr__column *column, const char *from) {
  double numbers[NUMBERS];
  float bounds[MR__MOST_BUCKETS];
  memcpy(numbers, from, sizeof numbers);
  int n = numbers[2] >= 0 && numbers[2] <= column->buckets ? (int)numbers[2] : -1;
  if (n > 0) memcpy(bounds, from + sizeof numbers, (size_t)n * sizeof *bounds);
  return mr__column_set_fitted(column, numbers[0], numbers[1], bounds, n);
}

static int is_same(const struct mr__column *column, const char *from) {
  double numbers[NUMBERS];
  memcpy(numbers, from, sizeof numbers);
  return numbers[0] == column->mean && numbers[1] == column->deviation &&
         numbers[2] == (double)column->n_bounds &&
         (column->n_bounds == 0 || memcmp(column->bounds, from + sizeof numbers,
                                          (size_t)column->n_bounds * sizeof(float)) == 0);
}

int mr__fitted_read(mr_schema *schema, const char *from) {
  for (size_t c = 0; c < schema->n_columns; c++) {
    struct mr__column *column = &schema->columns[c];
    if (!mr__column_fits(column)) continue;
    if (!column->is_fitted)
      MR_TRY(read_column(column, from));
    else if (!is_same(column, from))
      return mr__fail(MR_EDATA, "column \"%s\": its numbers were fitted to other data",
                      column->name);
    from += column_bytes(column);
  }
  return MR_OK;
}

int mr_schema_fit(mr_schema *schema, const mr_schema *from) {
  for (size_t c = 0; c < schema->n_columns; c++) {
    struct mr__column *column = &schema->columns[c];
    if (!mr__column_fits(column) || column->is_fitted) continue;
    int32_t other = mr_schema_find(from, column->name);
    const struct mr__column *fitted = other < 0 ? NULL : &from->columns[other];
    if (!fitted || !fitted->is_fitted) return mr__fail_unfitted(column);
    MR_TRY(mr__column_set_fitted(column, fitted->mean, fitted->deviation, fitted->bounds,
                                 fitted->n_bounds));
  }
  return MR_OK;
}

/* ---- quantiles ---- */

static int by_value(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

static int sketch_add(struct sketch *sketch, int level, float number) {
  if (!sketch->level[level]) sketch->level[level] = mr__malloc(MR__SKETCH * sizeof **sketch->level);
  float *list = sketch->level[level];
  if (!list) return mr__fail_memory();
  list[sketch->n[level]++] = number;
  if (sketch->n[level] < MR__SKETCH) return MR_OK;
  sketch->n[level] = 0;
  qsort(list, MR__SKETCH, sizeof *list, by_value);
  int first = sketch->second[level];
  sketch->second[level] = !first;
  for (int i = first; i < MR__SKETCH; i += 2) MR_TRY(sketch_add(sketch, level + 1, list[i]));
  return MR_OK;
}

struct weighed {
  float number;
  int level;
};

static int by_number(const void *a, const void *b) {
  const struct weighed *x = a, *y = b;
  if (x->number != y->number) return x->number < y->number ? -1 : 1;
  return x->level - y->level;
}

/* Bounds between buckets of equally many of `all` numbers, of those that differ. */
static int pick_bounds(const struct weighed *sorted, size_t n, int64_t all, int buckets,
                       float *bounds) {
  int found = 0;
  int64_t below = 0;
  size_t at = 0;
  for (int b = 1; b < buckets; b++) {
    int64_t rank = (int64_t)((__int128)all * b / buckets);
    while (at + 1 < n && below + (INT64_C(1) << sorted[at].level) <= rank)
      below += INT64_C(1) << sorted[at++].level;
    float bound = sorted[at].number;
    if (bound > (found ? bounds[found - 1] : sorted[0].number)) bounds[found++] = bound;
  }
  return found;
}

static int find_bounds(const struct sketch *sketch, int buckets, float *bounds, int *n_bounds) {
  size_t n = 0;
  int64_t all = 0;
  *n_bounds = 0;
  for (int l = 0; l < LEVELS; l++) {
    n += (size_t)sketch->n[l];
    all += (int64_t)sketch->n[l] << l;
  }
  if (n == 0) return MR_OK;
  struct weighed *list = mr__malloc(n * sizeof *list);
  if (!list) return mr__fail_memory();
  n = 0;
  for (int l = 0; l < LEVELS; l++)
    for (int32_t i = 0; i < sketch->n[l]; i++) list[n++] = (struct weighed){sketch->level[l][i], l};
  qsort(list, n, sizeof *list, by_number);
  *n_bounds = pick_bounds(list, n, all, buckets, bounds);
  mr__free(list);
  return MR_OK;
}

/* ---- fitting ---- */

int mr__fit_new(struct mr__fit **out, const mr_schema *schema) {
  *out = NULL;
  struct mr__fit *fit = mr__calloc(1, sizeof *fit);
  if (!fit) return mr__fail_memory();
  fit->n_columns = schema->n_columns;
  fit->columns = mr__calloc(schema->n_columns, sizeof *fit->columns);
  int fine = fit->columns != NULL;
  for (size_t c = 0; fine && c < schema->n_columns; c++) {
    if (schema->columns[c].buckets == 0) continue;
    fit->columns[c].sketch = mr__calloc(1, sizeof *fit->columns[c].sketch);
    fine = fit->columns[c].sketch != NULL;
  }
  if (!fine) {
    mr__fit_free(fit);
    return mr__fail_memory();
  }
  *out = fit;
  return MR_OK;
}

void mr__fit_free(struct mr__fit *fit) {
  if (!fit) return;
  for (size_t c = 0; fit->columns && c < fit->n_columns; c++) {
    struct sketch *sketch = fit->columns[c].sketch;
    for (int l = 0; sketch && l < LEVELS; l++) mr__free(sketch->level[l]);
    mr__free(sketch);
  }
  mr__free(fit->columns);
  mr__free(fit);
}

int mr__fit_add(struct mr__fit *fit, int c, float stored) {
  struct column_fit *column = &fit->columns[c];
  if (isnan(stored)) return MR_OK;
  if (column->sketch) return sketch_add(column->sketch, 0, stored);
  double away = (double)stored - column->mean;
  column->n++;
  column->mean += away / (double)column->n;
  column->squares += away * ((double)stored - column->mean);
  return MR_OK;
}

int mr__fit_finish(struct mr__fit *fit, mr_schema *schema) {
  for (size_t c = 0; c < schema->n_columns; c++) {
    struct mr__column *column = &schema->columns[c];
    const struct column_fit *found = &fit->columns[c];
    float bounds[MR__MOST_BUCKETS];
    int n_bounds = 0;
    if (!mr__column_fits(column)) continue;
    if (found->sketch) MR_TRY(find_bounds(found->sketch, column->buckets, bounds, &n_bounds));
    double deviation = found->n > 0 ? sqrt(found->squares / (double)found->n) : 0;
    MR_TRY(mr__column_set_fitted(column, found->mean, deviation > 0 ? deviation : 1, bounds,
                                 n_bounds));
  }
  return MR_OK;
}
