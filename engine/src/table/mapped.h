/* Rows of a table as a model file holds them, mapped into memory and never changed: keys in
 * ascending order, their rows in the same order, and a directory.
 *
 *   keys       k0 k1 k2 | k3 | k4 k5 ...       ascending as unsigned numbers
 *   directory  0         3    4 ...            the first key of each bucket, and at the end n
 *
 * A bucket is the keys that begin with the same `bits` bits. Keys are hashes, so a bucket holds
 * two to four of them: a lookup reads one entry of the directory, one line of keys and the row. It
 * stays right, if slower, for keys of any other distribution, and within the mapping whatever the
 * directory says. */
#ifndef MR_TABLE_MAPPED_H
#define MR_TABLE_MAPPED_H

#include <stddef.h>
#include <stdint.h>

struct mr__mapped {
  const uint64_t *keys;     /* [n]; NULL: the table has rows of its own */
  const float *rows;        /* [n, width] */
  const int32_t *directory; /* [2^bits + 1] */
  int64_t n;
  int bits;
  const uint64_t *text_ends; /* [n]: where the text of each key ends; NULL: they have none */
  const char *texts;         /* [text_bytes] */
  uint64_t text_bytes;
};

/* The text of a row's key, NULL where the file has none; "" where it is damaged. */
const char *mr__mapped_text(const struct mr__mapped *mapped, int64_t row, int64_t *size);

enum { MR__MOST_DIRECTORY_BITS = 29 };

/* How many bits the directory of n keys takes: a function of n alone, since files are canonical. */
int mr__directory_bits(int64_t n);

/* The directory of ascending keys, [2^bits + 1]. */
void mr__directory_make(int32_t *directory, int bits, const uint64_t *keys, int64_t n);

/* Bring in what a lookup will read: first, then second. */
void mr__mapped_prefetch_directory(const struct mr__mapped *mapped, uint64_t key);
void mr__mapped_prefetch_keys(const struct mr__mapped *mapped, uint64_t key);

/* The number of a key's row, or -1. */
int64_t mr__mapped_find(const struct mr__mapped *mapped, uint64_t key);

#endif
