/* Values that a program gives (mr_values) into the rows of a batch, by the rules that text files
 * follow: one home for both is data/cell.h. */
#ifndef MR_DATA_VALUES_H
#define MR_DATA_VALUES_H

#include "data/batch.h"

/* Whether the values are in a form that their column takes. */
int mr__values_check(const mr_schema *schema, const mr_values *values);

/* The values from `first` on into all rows of the batch's column. Nothing is allocated but for more
 * keys of bags than the column has ever held. MR_EDATA names column and row, counted from 1. */
int mr__values_put(mr_batch *batch, const mr_values *values, int64_t first);

/* The same for a sequence, all of its columns at once: `given` has the values of each column of the
 * schema, or NULL. Behaviours of a column that is not given have no value; where none is given
 * there are none. */
int mr__values_put_sequence(mr_batch *batch, int sequence, const mr_values *const *given,
                            int64_t first);

/* How many behaviours that keeps of a row. `picks` is room to work in. */
int mr__values_length(const mr_schema *schema, int sequence, const mr_values *const *given,
                      int64_t row, struct mr__picks *picks, int64_t *kept);

/* The values of a cross, of those that its parts have in the batch. */
int mr__values_cross(mr_batch *batch, int column);

/* What stands for values that are not given: unknown, an empty bag, the missing number, zeros. */
void mr__values_clear(mr_batch *batch, int column);

/* The first row of `from`, another batch of the schema, into all rows. */
int mr__values_repeat(mr_batch *batch, int column, const mr_batch *from);
int mr__values_repeat_sequence(mr_batch *batch, int sequence, const mr_batch *from);

#endif
