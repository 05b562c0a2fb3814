/* How often each key of a table was seen, and how many distinct keys there are.
 *
 * Tables with a min_count above 1 are counted exactly: open addressing, 16 bytes a slot, at most
 * half full, in shards by the key's top bits so that threads rarely wait for each other. For all
 * other tables a HyperLogLog sketch of 16 KB estimates the distinct keys with a standard error of
 * 0.8 % (Flajolet et al. 2007), for some 7 % of the time of a build; counting them exactly would
 * cost more than hashing the text does. Both are sums that do not depend on order, so any number of
 * threads finds the same. */
#ifndef MR_DATA_KEY_COUNT_H
#define MR_DATA_KEY_COUNT_H

#include "data/schema.h"

struct mr__key_counter; /* shared by all threads */
struct mr__key_tally;   /* one thread's share */

/* exact: count the tables with a min_count above 1; otherwise all are only estimated. */
int mr__key_counter_new(struct mr__key_counter **out, const mr_schema *schema, int exact);
void mr__key_counter_free(struct mr__key_counter *counter);
int mr__key_counter_is_exact(const struct mr__key_counter *counter, int table);

int mr__key_tally_new(struct mr__key_tally **out, struct mr__key_counter *counter);
void mr__key_tally_free(struct mr__key_tally *tally);

int mr__key_tally_is_exact(const struct mr__key_tally *tally, int table);
int mr__key_tally_add(struct mr__key_tally *tally, int table, const uint64_t *keys, size_t n);

/* Hand the rest of a tally over. Once, when all is added. */
int mr__key_tally_finish(struct mr__key_tally *tally);

/* The rest is for after all tallies are finished. */

/* Make the keys of an exact table that were seen less than its min_count unknown, in place. Returns
 * how many. */
size_t mr__key_counter_forget(const struct mr__key_counter *counter, int table, uint64_t *keys,
                              size_t n);

/* Exact tables: the keys seen min_count times or more. Others: the estimate. */
int64_t mr__key_counter_distinct(const struct mr__key_counter *counter, int table);

#endif
