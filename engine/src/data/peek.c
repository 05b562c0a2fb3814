/* The text of a file for programs that look at it before it is described: mr_peek_*. */
#include "base/alloc.h"
#include "data/source.h"
#include "moonrank.h"

struct mr_peek {
  struct mr__source *source;
};

int mr_peek_open(mr_peek **out, const char *path) {
  *out = NULL;
  mr_peek *text = mr__calloc(1, sizeof *text);
  if (!text) return mr__fail_memory();
  int status = mr__source_open(&text->source, path, NULL);
  if (status != MR_OK) {
    mr__free(text);
    return status;
  }
  *out = text;
  return MR_OK;
}

void mr_peek_close(mr_peek *text) {
  if (!text) return;
  mr__source_close(text->source);
  mr__free(text);
}

int32_t mr_peek_is_plain(const mr_peek *text) { return mr__source_is_plain(text->source); }

int mr_peek_read(mr_peek *text, char *buffer, int64_t size, int64_t *got) {
  size_t n = 0;
  *got = 0;
  if (size < 0) return mr__fail(MR_EINVAL, "size is %lld, expected 0 or more", (long long)size);
  MR_TRY(mr__source_read(text->source, buffer, (size_t)size, &n));
  *got = (int64_t)n;
  return MR_OK;
}

int mr_peek_skip(mr_peek *text, int64_t size) {
  if (size < 0) return mr__fail(MR_EINVAL, "size is %lld, expected 0 or more", (long long)size);
  return mr__source_skip(text->source, size);
}
