/* Transforms of numbers that are fitted to the training data: its mean and deviation, or the bounds
 * of buckets between its quantiles.
 *
 *   text -> clipped, log1p (cell.h) -> fitted -> normalised, or the key of a bucket
 *
 * A number that is missing is NaN until here where its column has no value for it. What is fitted
 * is part of the schema from then on: it lies in the cache and in the model file, and is never
 * fitted again. Numbers are taken one after another in the order of the samples, each as often as
 * it has samples, so threads, blocks and requests change nothing.
 *
 * Quantiles come from buffers of SKETCH numbers (Manku, Rajagopalan and Lindsay 1998): a full one
 * is sorted and every other number of it goes to the next, where each stands for twice as many;
 * first and second ones take turns. Up to SKETCH numbers are exact. Of n numbers L = log2(n /
 * SKETCH) levels of buffers fill, each moves a rank by at most n / SKETCH: a bound is within L /
 * SKETCH of its quantile, 0.1 % for a thousand million numbers. */
#ifndef MR_DATA_FIT_H
#define MR_DATA_FIT_H

#include "data/cell.h"

enum { MR__SKETCH = 16384, MR__MOST_BUCKETS = 1000 };

/* Whether a column has something to be fitted; and whether any of the schema has. */
int mr__column_fits(const struct mr__column *column);
int mr__schema_fits(const mr_schema *schema);

/* Whether the buckets of a cross's part are still to be fitted: until they are nothing is known of
 * its values. */
int mr__schema_crosses_unfitted(const mr_schema *schema);

/* The first column that is still to be fitted, or NULL; and the failure that says so. */
const struct mr__column *mr__schema_unfitted(const mr_schema *schema);
int mr__fail_unfitted(const struct mr__column *column);

/* Whether two columns make the same of every number. */
int mr__same_transform(const struct mr__column *a, const struct mr__column *b);

/* Forget what was fitted. */
void mr__schema_unfit(mr_schema *schema);

/* What a number becomes that was stored as mr__cell_number gives it. */
float mr__fitted_number(const struct mr__column *column, float stored);

/* The bucket of such a number, the last one for a missing one; and a bucket's key. */
int mr__bucket_of(const struct mr__column *column, float stored);
int mr__buckets(const struct mr__column *column);
uint64_t mr__bucket_key(const struct mr__column *column, int bucket);
/* The bucket of a cell's number; of one that is none that of 0. */
int mr__bucket_of_text(const struct mr__column *column, struct mr__text text);
/* The key that a cell of an MR_ID or MR_BUCKET column stands for. */
uint64_t mr__cell_key(const struct mr__column *column, struct mr__text text);
/* Which numbers of the text fall into it: "below 2", "2 to 7" (7 aside), "7 or more", "missing". */
void mr__bucket_name(char *out, size_t size, const struct mr__column *column, int bucket);

/* Take over what was fitted. `bounds` is ascending. MR_EDATA where it cannot be. */
int mr__column_set_fitted(struct mr__column *column, double mean, double deviation,
                          const float *bounds, int n_bounds);

/* All that is fitted in a schema, as bytes of the cache. */
size_t mr__fitted_bytes(const mr_schema *schema);
void mr__fitted_write(const mr_schema *schema, char *out);
/* Take it over where the schema has nothing yet; else it must be the same. MR_EDATA if it is not,
 * or is none. */
int mr__fitted_read(mr_schema *schema, const char *from);

/* ---- fitting ---- */

struct mr__fit; /* of one schema */

int mr__fit_new(struct mr__fit **out, const mr_schema *schema);
void mr__fit_free(struct mr__fit *fit);
/* One number, as stored. */
int mr__fit_add(struct mr__fit *fit, int column, float stored);
/* Put what was found into the columns of a schema. */
int mr__fit_finish(struct mr__fit *fit, mr_schema *schema);

#endif
