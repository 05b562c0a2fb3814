/* Keys of id values: 64-bit XXH3 of the text, seeded by the name of the table, so that equal
 * texts of different tables have unrelated keys. Key 0 is reserved for "unknown". */
#ifndef MR_BASE_HASH_H
#define MR_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

enum { MR__UNKNOWN_KEY = 0 };

uint64_t mr__hash(const void *bytes, size_t size, uint64_t seed);

/* The seed of a table's keys. */
uint64_t mr__table_seed(const char *table_name);

/* The key of one value; MR__UNKNOWN_KEY of an empty text alone. */
uint64_t mr__key(const char *text, size_t size, uint64_t table_seed);

#endif
