/* All memory of the engine comes from here, so that tests can count it and make the n-th
 * allocation fail. Every block has one owner, which frees it with mr__free. */
#ifndef MR_BASE_ALLOC_H
#define MR_BASE_ALLOC_H

#include <stddef.h>

#include "base/status.h"

enum { MR__HUGE_PAGE = 2 << 20 }; /* bytes */

/* Each returns NULL when memory runs out, without setting the error text. */
void *mr__malloc(size_t size);
void *mr__calloc(size_t count, size_t size); /* zeroed; NULL when count * size overflows */
void *mr__realloc(void *block, size_t size);
void mr__free(void *block); /* accepts NULL */

/* Aligned to 64 bytes, not zeroed; in huge pages, where the system has them, of which each is at
 * least half full. Freed with mr__free. */
void *mr__malloc_aligned(size_t size);

/* Zeroed pages, aligned to the huge page size and advised to be huge. Freed with mr__free_pages. */
void *mr__malloc_pages(size_t size);
void mr__free_pages(void *block, size_t size);

/* Zeroed, in such pages, which small blocks share. Freed with mr__free_block and the same size. */
void *mr__calloc_block(size_t size);
void mr__free_block(void *block, size_t size); /* accepts NULL */

/* Have the system find all pages of a block now, rather than one by one as they are written, or
 * twice where they are read before that. Only a hint: for memory that is surely used. */
void mr__populate(void *block, size_t size);

char *mr__strdup(const char *text);

/* Make room for `need` elements in *block: for just as many, or so many that appending is linear,
 * at most MR__GROWTH times as many of a block of some pages, and twice of a smaller one. The old
 * content is kept. On failure everything is as before and the error text is set. */
#define MR__GROWTH 1.25
int mr__grow(void *block, size_t *capacity, size_t need, size_t element_size);

#endif
