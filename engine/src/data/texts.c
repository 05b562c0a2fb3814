#include "data/texts.h"

#include <string.h>

#include "base/alloc.h"

void mr__texts_clear(struct mr__texts *texts) {
  mr__free(texts->bytes);
  mr__free(texts->ends);
  *texts = (struct mr__texts){0};
}

static size_t start_of(const struct mr__texts *texts, size_t i) {
  return i > 0 ? texts->ends[i - 1] : 0;
}

int mr__texts_add(struct mr__texts *texts, const char *at, size_t size) {
  size_t start = start_of(texts, texts->n);
  MR_TRY(mr__grow(&texts->bytes, &texts->bytes_capacity, start + size, 1));
  MR_TRY(mr__grow(&texts->ends, &texts->ends_capacity, texts->n + 1, sizeof *texts->ends));
  if (size > 0) memcpy(texts->bytes + start, at, size);
  texts->ends[texts->n++] = start + size;
  return MR_OK;
}

const char *mr__texts_at(const struct mr__texts *texts, size_t i, size_t *size) {
  *size = texts->ends[i] - start_of(texts, i);
  return texts->bytes + start_of(texts, i);
}

void mr__texts_move(struct mr__texts *texts, size_t to, size_t from) {
  size_t size, start = start_of(texts, to);
  const char *at = mr__texts_at(texts, from, &size);
  if (size > 0) memmove(texts->bytes + start, at, size);
  texts->ends[to] = start + size;
}
