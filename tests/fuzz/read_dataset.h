/* Reading whatever a dataset holds, for the targets whose input becomes one. */
#ifndef MR_TESTS_READ_DATASET_H
#define MR_TESTS_READ_DATASET_H

#include "fuzz.h"

/* Columns of every type; `keyed`: with a request key, and columns on both sides. */
mr_schema *new_schema(int keyed, int64_t min_count);
/* Give it what may be fitted to its numbers. */
void fit_schema(mr_schema *schema);

/* Go through all batches and views. Gives MR_OK, or the failure of the loader. Only a dataset that
 * was just built is `trusted` to hold sound values in every place. */
int read_dataset(const mr_dataset *dataset, const mr_schema *schema, int shuffle, int trusted);

#endif
