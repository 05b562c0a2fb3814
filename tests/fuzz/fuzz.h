/* What the fuzz targets share. A target is one file NAME_fuzz.c that defines
 * LLVMFuzzerTestOneInput; it is linked with the engine's object files, either to libFuzzer
 * (tools/fuzz) or to replay.c, which runs the committed corpus as a test.
 *
 * Three calls of the system are replaced for the engine under test: mmap of a file gives a heap
 * copy of exactly its size, so that reading past the end is seen; and fsync does nothing. */
#ifndef MR_TESTS_FUZZ_H
#define MR_TESTS_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "moonrank.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold for any input. */
#define FUZZ_CHECK(condition, ...)                                                                 \
  do {                                                                                             \
    if (!(condition)) {                                                                            \
      fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                              \
      fprintf(stderr, __VA_ARGS__);                                                                \
      fprintf(stderr, "\n");                                                                       \
      abort();                                                                                     \
    }                                                                                              \
  } while (0)

/* The path of a file in a folder of this process, removed at its end. Valid for good. */
const char *fuzz_path(const char *name);
/* Write such a file; its path. */
const char *fuzz_write(const char *name, const void *bytes, size_t size);
/* The bytes of a file, to be freed. */
char *fuzz_read(const char *path, size_t *size);
/* Two files must have the same bytes. */
void fuzz_check_same_files(const char *a, const char *b);

/* A failure leaves one line of text, and is never for want of memory. */
void fuzz_check_error(int status);

/* A pool of so many threads, kept for good. */
mr_pool *fuzz_pool(int threads);

/* Numbers taken from the front of the input; 0 once it is used up. */
struct fuzz_input {
  const uint8_t *at;
  size_t size;
};
static inline unsigned fuzz_byte(struct fuzz_input *input) {
  if (input->size == 0) return 0;
  input->size--;
  return *input->at++;
}

#endif
