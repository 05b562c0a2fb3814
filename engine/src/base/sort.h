/* Records by ascending key, in place: no memory is asked for, and nothing can fail. */
#ifndef MR_BASE_SORT_H
#define MR_BASE_SORT_H

#include <stddef.h>
#include <stdint.h>

void mr__sort_keys(uint64_t *keys, size_t n);

/* Of 16 bytes, the first 8 of which are the key; those with equal keys come in any order. */
void mr__sort_keyed(void *records, size_t n);

#endif
