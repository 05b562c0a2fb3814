#include "table/mapped.h"

#include "data/texts.h"

enum { KEYS_OF_BUCKET = 2 }; /* at least, on average, before the next bit */

int mr__directory_bits(int64_t n) {
  int bits = 0;
  while (bits < MR__MOST_DIRECTORY_BITS && (int64_t)KEYS_OF_BUCKET << (bits + 1) <= n) bits++;
  return bits;
}

static size_t bucket_of(uint64_t key, int bits) {
  return bits == 0 ? 0 : (size_t)(key >> (64 - bits));
}

void mr__directory_make(int32_t *directory, int bits, const uint64_t *keys, int64_t n) {
  size_t bucket = 0;
  for (int64_t i = 0; i < n; i++)
    for (; bucket <= bucket_of(keys[i], bits); bucket++) directory[bucket] = (int32_t)i;
  for (; bucket <= (size_t)1 << bits; bucket++) directory[bucket] = (int32_t)n;
}

static int64_t within(int64_t i, int64_t n) { return i < 0 ? 0 : i > n ? n : i; }

void mr__mapped_prefetch_directory(const struct mr__mapped *mapped, uint64_t key) {
  __builtin_prefetch(&mapped->directory[bucket_of(key, mapped->bits)]);
}

void mr__mapped_prefetch_keys(const struct mr__mapped *mapped, uint64_t key) {
  int64_t first = mapped->directory[bucket_of(key, mapped->bits)];
  __builtin_prefetch(&mapped->keys[within(first, mapped->n)]);
}

int64_t mr__mapped_find(const struct mr__mapped *mapped, uint64_t key) {
  enum { FEW = 8 };
  size_t bucket = bucket_of(key, mapped->bits);
  int64_t begin = within(mapped->directory[bucket], mapped->n);
  int64_t end = within(mapped->directory[bucket + 1], mapped->n);
  while (end - begin > FEW) {
    int64_t middle = begin + (end - begin) / 2;
    if (mapped->keys[middle] <= key)
      begin = middle;
    else
      end = middle;
  }
  for (int64_t i = begin; i < end; i++)
    if (mapped->keys[i] == key) return i;
  return -1;
}

const char *mr__mapped_text(const struct mr__mapped *mapped, int64_t row, int64_t *size) {
  *size = 0;
  if (!mapped->text_ends || row < 0 || row >= mapped->n) return NULL;
  uint64_t bytes;
  const char *text =
      mr__stored_text(mapped->texts, mapped->text_bytes, mapped->text_ends, (uint64_t)row, &bytes);
  *size = (int64_t)bytes;
  return text;
}
