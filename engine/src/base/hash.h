/* Keys of id values: 64-bit XXH3 of the text, seeded by the name of the table, so that equal
 * texts of different tables have unrelated keys. Key 0 is reserved for "unknown". */
#ifndef MR_BASE_HASH_H
#define MR_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* Besides: the key of a row of zeros, which columns read instead of "unknown" that say so; and,
 * while a cache is built, that of all values that are not listed. */
enum { MR__UNKNOWN_KEY = 0, MR__NOTHING_KEY = 2, MR__UNLISTED_KEY = 3 };

uint64_t mr__hash(const void *bytes, size_t size, uint64_t seed);

/* The seed of a table's keys. */
uint64_t mr__table_seed(const char *table_name);

/* The key of one value; MR__UNKNOWN_KEY of an empty text alone. */
uint64_t mr__key(const char *text, size_t size, uint64_t table_seed);

#endif
