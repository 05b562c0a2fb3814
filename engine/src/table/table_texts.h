/* The texts of a table's keys, out of the dataset that it is trained on. */
#ifndef MR_TABLE_TABLE_TEXTS_H
#define MR_TABLE_TABLE_TEXTS_H

#include "data/texts.h"
#include "moonrank.h"
#include "table/table.h"

/* One for each row, by ascending key; none at all where the dataset has none of this table. */
int mr__table_texts(const struct mr__table *table, const mr_dataset *names, struct mr__texts *out);

#endif
