/* Texts one after another, found by their number: what keys are hashes of, where a table keeps it
 * (mr_schema_keep_texts). */
#ifndef MR_DATA_TEXTS_H
#define MR_DATA_TEXTS_H

#include <stddef.h>
#include <stdint.h>

struct mr__texts {
  char *bytes;
  size_t *ends; /* [n] */
  size_t n, bytes_capacity, ends_capacity;
};

void mr__texts_clear(struct mr__texts *texts);
int mr__texts_add(struct mr__texts *texts, const char *at, size_t size);
const char *mr__texts_at(const struct mr__texts *texts, size_t i, size_t *size);
/* Text `from` in place of text `to`, which is not behind it; what was between them is lost. */
void mr__texts_move(struct mr__texts *texts, size_t to, size_t from);

/* Text i of those in a file, `n_bytes` of them, by where each ends; "" where that is damaged. */
static inline const char *mr__stored_text(const char *bytes, uint64_t n_bytes, const uint64_t *ends,
                                          uint64_t i, uint64_t *size) {
  uint64_t start = i > 0 ? ends[i - 1] : 0, end = ends[i];
  int is_sound = start <= end && end <= n_bytes;
  *size = is_sound ? end - start : 0;
  return is_sound ? bytes + start : "";
}

#endif
